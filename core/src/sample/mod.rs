//! Choosing negatives: the samplers of the field, each one row of distances at a time.

use crate::Scalar;
use crate::batch::Triplet;
use crate::weight::Weighting;

/// A rule that chooses negatives for an anchor.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Sampler<T> {
    /// Any true negative, all alike.
    Uniform,
    /// The nearest negative.
    Hard,
    /// The nearest negative that is farther than the positive, without a band (the paper's, [E6]).
    Semihard,
    /// Any negative with `d_ap < d_an < d_ap + margin`, all alike.
    SemihardBand {
        /// Width of the band.
        margin: T,
    },
    /// Distance weighted sampling: `Pr(n | a) ∝ min(lambda, 1/q(d_an))` [E2].
    DistanceWeighted(Weighting<T>),
    /// Every negative, weighted by its probability under distance weighted sampling: the same expectation, no
    /// sampling variance.
    Expected(Weighting<T>),
    /// Every negative with weight 1.
    All,
}

/// One anchor and its distances to the whole batch.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a, T> {
    /// Index of the anchor.
    pub anchor: usize,
    /// Class of each sample of the batch.
    pub labels: &'a [u32],
    /// Distance from the anchor to each sample; its own entry is not read.
    pub distances: &'a [T],
    /// Boundary of the anchor, for the active far cut.
    pub beta: T,
}

/// A drawn triplet with the logarithm of the probability of its negative, given anchor and positive.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Draw<T> {
    /// What was drawn.
    pub triplet: Triplet,
    /// `ln Pr(negative | anchor, positive)`.
    pub log_prob: T,
}

/// What happened over the anchors of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DrawReport {
    /// Anchors with at least one positive and one negative.
    pub anchors: u64,
    /// Tuples that were drawn.
    pub triplets: u64,
    /// (Anchor, positive) pairs for which the rule had no candidate, whatever the policy then did.
    pub without_candidate: u64,
    /// Sum over anchors of the effective number of negatives, `1 / sum p²`.
    pub effective_negatives: f64,
    /// Sum over anchors of the share of candidates whose weight was capped.
    pub capped: f64,
}
