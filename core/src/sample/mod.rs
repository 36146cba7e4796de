//! Choosing negatives: the samplers of the field, one row of distances at a time.
//!
//! Positives are every ordered (anchor, positive) pair of the batch. Draws are with replacement and pure functions
//! of `(seed, step, anchor, draw index)` \[R8\]: a row can be replayed alone.

mod hard;
mod uniform;
mod weighted;

use crate::Scalar;
use crate::batch::{Row, Triplet};
use crate::rng::{Key, Stream};
use crate::weight::{RowWeights, Weighting};

/// A rule that chooses negatives for an anchor.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Sampler<T> {
    /// Any true negative, all alike.
    Uniform,
    /// The nearest negative.
    Hard,
    /// The nearest negative that is farther than the positive, without a band: the paper's, \[E6\].
    Semihard,
    /// Any negative with `d_ap < d_an < d_ap + margin`, all alike.
    SemihardBand {
        /// Width of the band, positive.
        margin: T,
    },
    /// Distance weighted sampling: `Pr(n | a) ∝ min(lambda, 1/q(d_an))` \[E2\].
    DistanceWeighted(Weighting<T>),
    /// Every negative, weighted by its probability under distance weighted sampling: the same expectation, no
    /// sampling variance. Nothing is drawn.
    Expected(Weighting<T>),
    /// Every negative with weight 1. Nothing is drawn.
    All,
}

/// A drawn tuple with the logarithm of the probability of its negative, given anchor and positive.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Draw<T> {
    /// What was drawn.
    pub triplet: Triplet,
    /// A sample of a third class, for the quadruplet loss: any, all alike. `None` if the batch has two classes, and from
    /// a backend whose objective has another loss.
    pub second: Option<u32>,
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
    /// Anchors that have such a pair.
    pub anchors_without_candidate: u64,
    /// Sum over anchors of the effective number of negatives, `1 / sum p²`.
    pub effective_negatives: f64,
    /// Sum over anchors of the share of candidates whose weight was capped.
    pub capped: f64,
}

impl DrawReport {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            anchors: self.anchors + other.anchors,
            triplets: self.triplets + other.triplets,
            without_candidate: self.without_candidate + other.without_candidate,
            anchors_without_candidate: self.anchors_without_candidate + other.anchors_without_candidate,
            effective_negatives: self.effective_negatives + other.effective_negatives,
            capped: self.capped + other.capped,
        }
    }
}

/// A chosen negative.
struct Chosen<T> {
    negative: usize,
    log_prob: T,
    /// Effective number of negatives that it was chosen from.
    effective: f64,
}

impl<T: Scalar> Sampler<T> {
    /// The weighting, where there is one.
    #[must_use]
    pub const fn weighting(&self) -> Option<&Weighting<T>> {
        match self {
            Self::DistanceWeighted(weighting) | Self::Expected(weighting) => Some(weighting),
            _ => None,
        }
    }

    /// Whether negatives are drawn one by one, rather than all taken with weights.
    #[must_use]
    pub const fn draws(&self) -> bool {
        !matches!(self, Self::Expected(_) | Self::All)
    }

    /// Draws the negatives of one anchor: one for each positive, or `per_anchor` in all, whose positives then cycle.
    ///
    /// `scratch` has one number for each sample of the batch. `emit` gets the tuples in order. The report is of this
    /// anchor alone; an anchor without positives or without negatives is not counted at all.
    ///
    /// ```
    /// use nearfar_core::{Key, Row, Sampler, Stream};
    /// let row = Row { anchor: 0, anchors: 4, labels: &[5, 5, 6, 7], distances: &[0.0, 0.8, 0.6, 1.1], beta: 1.2 };
    /// let mut drawn = Vec::new();
    /// let key = Key::new(0, Stream::Negatives, 0);
    /// Sampler::Semihard.draw_row(&row, None, key, &mut [0.0; 4], &mut |draw| drawn.push(draw.triplet.negative));
    /// assert_eq!(drawn, [3]); // the nearest beyond the positive at 0.8
    /// ```
    pub fn draw_row(
        &self,
        row: &Row<'_, T>,
        per_anchor: Option<u32>,
        key: Key,
        scratch: &mut [T],
        emit: &mut impl FnMut(Draw<T>),
    ) -> DrawReport {
        let positives = row.positives().count() as u32;
        let negatives = row.negatives().count();
        if positives == 0 || negatives == 0 {
            return DrawReport::default();
        }
        let mut report = DrawReport { anchors: 1, ..DrawReport::default() };
        let (weights, fallback) = match self.weighting() {
            Some(weighting) => weighted::row(weighting, row, scratch),
            None => (RowWeights::default(), false),
        };
        if weights.candidates > 0 {
            report.capped = weights.capped as f64 / weights.candidates as f64;
        }
        let draws = if self.draws() { per_anchor.unwrap_or(positives) } else { 0 };
        for (index, positive) in (0..draws).zip(row.positives().cycle()) {
            let chosen = match self {
                Self::Uniform => uniform::any(row, negatives, key, index),
                Self::Hard => hard::nearest_beyond(row, T::NEG_INFINITY),
                Self::Semihard => hard::nearest_beyond(row, row.distances[positive]),
                Self::SemihardBand { margin } => uniform::in_band(row, positive, *margin, key, index),
                Self::DistanceWeighted(_) => weighted::draw(row, &weights, scratch, key, index),
                Self::Expected(_) | Self::All => None,
            };
            report.without_candidate += u64::from(fallback || chosen.is_none());
            let Some(Chosen { negative, log_prob, effective }) = chosen else { continue };
            report.triplets += 1;
            report.effective_negatives += effective / f64::from(draws);
            let [anchor, positive, negative] = [row.anchor, positive, negative].map(|i| i as u32);
            let second = uniform::third_class(row, negative, key.with_stream(Stream::SecondNegatives), index);
            emit(Draw { triplet: Triplet { anchor, positive, negative }, second, log_prob });
        }
        match self {
            Self::Expected(_) => {
                report.effective_negatives = weights.effective;
                report.without_candidate = if fallback { u64::from(positives) } else { 0 };
            }
            Self::All => report.effective_negatives = negatives as f64,
            _ => {}
        }
        report.anchors_without_candidate = u64::from(report.without_candidate > 0);
        report
    }

    /// Probabilities of the negatives of one anchor up to the factor `1 / total`, for the rules that draw nothing:
    /// the weights of [`Expected`](Self::Expected), its policy for empty rows applied, or 1 for every negative.
    /// Returns the total.
    ///
    /// ```
    /// use nearfar_core::{Row, Sampler};
    /// let row = Row { anchor: 0, anchors: 4, labels: &[5, 5, 6, 7], distances: &[0.0, 0.8, 0.6, 1.1], beta: 1.2 };
    /// let mut weights = [0.0; 4];
    /// assert_eq!(Sampler::All.row_weights(&row, &mut weights), 2.0);
    /// assert_eq!(weights, [0.0, 0.0, 1.0, 1.0]);
    /// ```
    pub fn row_weights(&self, row: &Row<'_, T>, weights: &mut [T]) -> f64 {
        if let Some(weighting) = self.weighting() {
            return weighted::row(weighting, row, weights).0.total;
        }
        weights.fill(T::ZERO);
        let mut count = 0;
        for negative in row.negatives() {
            weights[negative] = T::ONE;
            count += 1;
        }
        f64::from(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weight::{Cap, EmptyRow, FarCut};

    const LABELS: [u32; 6] = [0, 0, 1, 1, 2, 2];
    const DISTANCES: [f64; 6] = [0.0, 0.8, 0.6, 0.9, 0.9, 1.9];

    fn drawn(sampler: &Sampler<f64>) -> (Vec<Draw<f64>>, DrawReport) {
        let row = Row { anchor: 0, anchors: LABELS.len(), labels: &LABELS, distances: &DISTANCES, beta: 1.2 };
        let mut list = Vec::new();
        let key = Key::new(3, Stream::Negatives, 9);
        let report = sampler.draw_row(&row, Some(40), key, &mut [0.0; 6], &mut |draw| list.push(draw));
        (list, report)
    }

    fn weighted(far: FarCut<f64>, empty: EmptyRow) -> Weighting<f64> {
        Weighting::new(8.0, Cap::Near(0.5), far, empty).unwrap()
    }

    #[test]
    fn no_rule_draws_the_anchor_or_a_positive() {
        for sampler in [
            Sampler::Uniform,
            Sampler::Hard,
            Sampler::Semihard,
            Sampler::SemihardBand { margin: 0.2 },
            Sampler::DistanceWeighted(weighted(FarCut::None, EmptyRow::Skip)),
        ] {
            let (list, report) = drawn(&sampler);
            assert_eq!((list.len(), report.triplets), (40, 40), "{sampler:?}");
            assert!(list.iter().all(|draw| LABELS[draw.triplet.negative as usize] != 0), "{sampler:?}");
            assert!(list.iter().all(|draw| {
                let second = LABELS[draw.second.unwrap() as usize];
                second != 0 && second != LABELS[draw.triplet.negative as usize]
            }));
        }
    }

    #[test]
    fn rules_choose_what_their_names_say() {
        assert!(drawn(&Sampler::Hard).0.iter().all(|draw| draw.triplet.negative == 2));
        // Of the two at 0.9 the lower index.
        assert!(drawn(&Sampler::Semihard).0.iter().all(|draw| draw.triplet.negative == 3));
        let (band, _) = drawn(&Sampler::SemihardBand { margin: 0.2 });
        assert!(band.iter().all(|draw| [3, 4].contains(&draw.triplet.negative)));
        assert!(band.iter().all(|draw| (draw.log_prob + 2.0_f64.ln()).abs() < 1e-15));
    }

    #[test]
    fn an_anchor_without_candidate_follows_its_policy_and_is_counted() {
        let sampler = |empty| Sampler::DistanceWeighted(weighted(FarCut::At(0.5), empty));
        let (list, report) = drawn(&sampler(EmptyRow::Skip));
        assert_eq!((list.len(), report.without_candidate, report.anchors_without_candidate), (0, 40, 1));
        let (list, report) = drawn(&sampler(EmptyRow::Nearest));
        assert_eq!((list.len(), report.without_candidate), (40, 40));
        assert!(list.iter().all(|draw| draw.triplet.negative == 2 && draw.log_prob == 0.0));
        let (list, _) = drawn(&sampler(EmptyRow::Uniform));
        assert!((2..6).all(|j| list.iter().any(|draw| draw.triplet.negative == j)));
    }

    #[test]
    fn the_active_cut_follows_the_boundary() {
        let sampler = Sampler::DistanceWeighted(weighted(FarCut::Active { margin: 0.1 }, EmptyRow::Skip));
        let row = Row { anchor: 0, anchors: LABELS.len(), labels: &LABELS, distances: &DISTANCES, beta: 0.7 };
        let key = Key::new(3, Stream::Negatives, 9);
        sampler
            .draw_row(&row, Some(40), key, &mut [0.0; 6], &mut |draw| assert_eq!(draw.triplet.negative, 2));
    }

    #[test]
    fn a_batch_without_positives_or_negatives_has_no_anchor() {
        let key = Key::new(3, Stream::Negatives, 9);
        for labels in [[1, 1, 1], [1, 2, 3]] {
            let row = Row {
                anchor: 0,
                anchors: labels.len(),
                labels: &labels,
                distances: &[0.0, 1.0, 1.0],
                beta: 1.0,
            };
            let report =
                Sampler::<f64>::Uniform.draw_row(&row, None, key, &mut [0.0; 3], &mut |_| panic!("a draw"));
            assert_eq!(report, DrawReport::default());
        }
    }
}
