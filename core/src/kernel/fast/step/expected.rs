//! The loss of all pairs with the probabilities of distance weighted sampling, and its gradient: what drawing gives in
//! expectation.
//!
//! Two passes over the pairs, neither of which writes them down. The first takes each anchor's sum of weights
//! ([`sums`](super::sums)); with it, one tile of the second knows both ends' probabilities of its pairs, so that a pair
//! of negatives is looked at once ([`push`](super::push)). Rows meet in rounds ([`rounds`]), in which each row of the
//! gradient has one task. Positives follow ([`pull`](super::pull)).

use super::classes::Classes;
use super::draw::{Read, Totals};
use super::far::Far;
use super::pull::Pull;
use super::push::Field;
use super::rounds;
use super::sums::Sums;
use super::tile::TILE;
use super::{Spread, Workspace};
use crate::Scalar;
use crate::batch::Embeddings;
use crate::loss::batch::{Terms, finish};
use crate::loss::{Contrastive, Loss, LossReport, Margin, Objective, PairGrad};
use crate::sample::Sampler;
use crate::weight::EmptyRow;

/// A loss of single pairs.
#[derive(Clone, Copy)]
pub(super) enum PairLoss {
    Margin(Margin<f32>),
    Contrastive(Contrastive<f32>),
}

impl PairLoss {
    fn of<T: Scalar>(loss: &Loss<T>) -> Option<Self> {
        let single = |number: T| number.to_f64() as f32;
        match loss {
            Loss::Margin(loss) => Margin::new(single(loss.alpha()), 0.0).ok().map(Self::Margin),
            Loss::Contrastive(loss) => Contrastive::new(single(loss.alpha())).ok().map(Self::Contrastive),
            _ => None,
        }
    }

    pub(super) fn pair(&self, distance: f32, beta: f32, same: bool) -> PairGrad<f32> {
        match self {
            Self::Margin(loss) => loss.pair(distance, beta, same),
            Self::Contrastive(loss) => loss.pair(distance, same),
        }
    }

    /// Whether the loss of a negative is the square of how far it is inside of the reach, not that itself.
    pub(super) const fn is_squared(&self) -> bool {
        matches!(self, Self::Contrastive(_))
    }

    /// Distance below which a negative of an anchor with this boundary is pushed.
    fn reach(&self, beta: f32) -> f32 {
        match self {
            Self::Margin(loss) => loss.alpha() + beta,
            Self::Contrastive(loss) => loss.alpha(),
        }
    }
}

/// What makes probabilities of an anchor's weights, for all rows up to whole panels.
///
/// A pair counts `min(most, scale 2^(log - reference) / d)`: its probability times the number of positives.
pub(super) struct Ends {
    pub(super) minus_reference: Vec<f32>,
    /// 0 for what has no pairs of its own: a remembered row, or an anchor without a positive or a candidate.
    pub(super) scale: Vec<f32>,
    pub(super) most: Vec<f32>,
    pub(super) reach: Vec<f32>,
    /// The least cosine (exclusive) of what counts; infinite where nothing does.
    pub(super) cut: Vec<f32>,
    /// The least and the largest reference of each panel.
    spans: Vec<[f32; 2]>,
}

impl Ends {
    /// The middle of the references of two panels, a whole number, unless they span more than so many octaves.
    pub(super) fn common_reference(&self, i: usize, j: usize, span: f32) -> Option<f32> {
        let ([low, high], [other_low, other_high]) = (self.spans[i], self.spans[j]);
        let (low, high) = (f32::min(low, other_low), f32::max(high, other_high));
        // Where there is no reference at all, any will do.
        let middle = if low <= high { (0.5 * (low + high)).round_ties_even() } else { 0.0 };
        (high - low <= span).then_some(middle)
    }
}

/// Value and gradients; `None` where this path does not apply: another sampler, a loss that is not one of pairs, none
/// of [`Sums`], or an anchor without a candidate whose policy gives it one.
pub(in crate::kernel::fast) fn loss<T: Scalar>(
    spread: Spread,
    workspace: &mut Workspace,
    (x, labels, betas): (Embeddings<'_, T>, &[u32], &[T]),
    objective: &Objective<T>,
    dx: &mut [T],
    dbetas: &mut [T],
) -> Option<LossReport> {
    let Sampler::Expected(weighting) = objective.sampler() else { return None };
    let pairs = PairLoss::of(objective.loss())?;
    let (dim, anchors) = (x.dim(), betas.len());
    let single_betas = T::as_single(betas)?;
    let dx = &mut dx[..anchors * dim];
    let gradient = T::as_single_mut(dx)?;
    let sums = Sums::new(spread, &mut workspace.tables, (x, labels, betas), weighting, false)?;
    let classes = Classes::new(anchors, labels);
    let ends = ends(spread, &sums, &classes, single_betas, &pairs, weighting.empty())?;

    let (sums, classes, ends, pairs, all_betas, betas) =
        (&sums, &classes, &ends, &pairs, betas, single_betas);
    gradient.fill(0.0);
    let mut far = vec![Far::default(); sums.plan.panels_of_anchors()];
    let field = Field { sums, ends, pairs, betas };
    rounds::push(spread, &workspace.scratch, field, gradient, &mut far);

    let (batch, far) = (&sums.panels.batch, &far);
    let mut terms = vec![Terms::default(); anchors];
    let panel = |panel: usize, gradient: &mut [f32], terms: &mut [Terms]| {
        let far = &far[panel];
        spread.set.run(Pull { batch, classes, ends, pairs, betas, panel, far, gradient, terms });
    };
    spread.pieces_of_both((gradient, TILE * dim), (&mut terms, TILE), panel);
    Some(finish(objective, &terms, all_betas, dx, &mut dbetas[..anchors]))
}

/// `None` if an anchor that has no candidate is to get one.
fn ends(
    spread: Spread,
    sums: &Sums<'_>,
    classes: &Classes,
    betas: &[f32],
    pairs: &PairLoss,
    empty: EmptyRow,
) -> Option<Ends> {
    let (plan, rows) = (&sums.plan, sums.labels.all.len());
    let mut ends = Ends {
        minus_reference: vec![0.0; rows],
        scale: vec![0.0; rows],
        most: vec![0.0; rows],
        reach: vec![f32::NEG_INFINITY; rows],
        cut: vec![f32::INFINITY; rows],
        spans: vec![[f32::INFINITY, f32::NEG_INFINITY]; rows / TILE],
    };
    let mut totals = Totals::default();
    for (anchor, &beta) in betas.iter().enumerate() {
        let a = anchor % TILE;
        if a == 0 {
            spread.set.run(Read { sums, panel: anchor / TILE, totals: &mut totals });
        }
        let positives = classes.of_batch(anchor).len() - 1;
        let negatives = plan.count - classes.of(anchor).len();
        if positives == 0 || negatives == 0 {
            continue;
        }
        if totals.total[a] > 0.0 {
            let reference = totals.reference[a];
            ends.minus_reference[anchor] = -reference;
            ends.scale[anchor] = (positives as f64 / totals.total[a]) as f32;
            ends.most[anchor] = sums.law.cap_over(reference) * ends.scale[anchor];
            ends.reach[anchor] = pairs.reach(beta);
            ends.cut[anchor] = sums.cuts[anchor];
            let [low, high] = &mut ends.spans[anchor / TILE];
            (*low, *high) = (low.min(reference), high.max(reference));
        } else if empty != EmptyRow::Skip {
            return None;
        }
    }
    Some(ends)
}
