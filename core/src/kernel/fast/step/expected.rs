//! The loss of all pairs with the probabilities of distance weighted sampling, and its gradient: what drawing gives in
//! expectation.
//!
//! Two passes over the pairs, neither of which writes them down. The first takes each anchor's sum of weights
//! ([`sums`](super::sums)); with it, one tile of the second knows both ends' probabilities of its pairs, so that each
//! row of the gradient is gathered by one task ([`push`](super::push)) and nothing is added across threads.

use super::classes::Classes;
use super::draw::{Read, Totals};
use super::push::Push;
use super::sums::Sums;
use super::tile::TILE;
use super::{Spread, Workspace};
use crate::Scalar;
use crate::batch::Embeddings;
use crate::distance::distance;
use crate::loss::batch::{Terms, finish, inverse_or_zero};
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
/// A pair counts `scale min(cap, 2^(log - reference) / d)`: its probability times the number of positives.
#[derive(Default)]
pub(super) struct Ends {
    pub(super) minus_reference: Vec<f32>,
    pub(super) cap: Vec<f32>,
    /// 0 for what has no pairs of its own: a remembered row, or an anchor without a positive or a candidate.
    pub(super) scale: Vec<f32>,
    pub(super) reach: Vec<f32>,
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
    let (single, single_betas) = (T::as_single(x.as_slice())?, T::as_single(betas)?);
    let dx = &mut dx[..anchors * dim];
    let gradient = T::as_single_mut(dx)?;
    let sums = Sums::new(spread, &mut workspace.tables, (x, labels, betas), weighting)?;
    let classes = Classes::new(anchors, labels);
    let ends = ends(spread, &sums, &classes, single_betas, &pairs, weighting.empty())?;

    let mut terms = vec![Terms::default(); anchors];
    let row = |anchor: usize| &single[anchor * dim..][..dim];
    let panel = |panel: usize, gradient: &mut [f32], terms: &mut [Terms]| {
        let far =
            spread.set.run(Push { sums: &sums, ends: &ends, pairs: &pairs, betas: single_betas, panel });
        let first = panel * TILE;
        for (a, (gradient, terms)) in gradient.chunks_exact_mut(dim).zip(terms).enumerate() {
            let anchor = first + a;
            far.gradient(a, row(anchor), gradient);
            *terms = far.terms(a);
            let counts = |i: usize| ends.scale[i] > 0.0;
            for positive in classes.of_batch(anchor).iter().map(|&i| i as usize).filter(|&i| i != anchor) {
                let d = distance(row(anchor), row(positive));
                let mut slope = 0.0;
                if counts(anchor) {
                    let pair = pairs.pair(d, single_betas[anchor], true);
                    terms.add(1.0, pair.value);
                    terms.d_beta += f64::from(pair.d_beta);
                    terms.tuples += 1.0;
                    slope += pair.d_distance;
                }
                if counts(positive) {
                    slope += pairs.pair(d, single_betas[positive], true).d_distance;
                }
                let share = slope * inverse_or_zero(d);
                for (k, gradient) in gradient.iter_mut().enumerate() {
                    *gradient += share * (row(anchor)[k] - row(positive)[k]);
                }
            }
        }
    };
    spread.pieces_of_both((gradient, TILE * dim), (&mut terms, TILE), panel);
    Some(finish(objective, &terms, betas, dx, &mut dbetas[..anchors]))
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
    let (plan, rows) = (&sums.plan, sums.labels.len());
    let mut ends = Ends {
        minus_reference: vec![0.0; rows],
        cap: vec![0.0; rows],
        scale: vec![0.0; rows],
        reach: vec![f32::NEG_INFINITY; rows],
    };
    let mut totals = Totals::default();
    for (anchor, &beta) in betas.iter().enumerate() {
        let a = anchor % TILE;
        if a == 0 {
            spread.set.run(Read { plan, kept: sums.kept, panel: anchor / TILE, totals: &mut totals });
        }
        let positives = classes.of_batch(anchor).len() - 1;
        let negatives = plan.count - classes.of(anchor).len();
        if positives == 0 || negatives == 0 {
            continue;
        }
        if totals.total[a] > 0.0 {
            ends.minus_reference[anchor] = -totals.reference[a];
            ends.cap[anchor] = sums.law.cap_over(totals.reference[a]);
            ends.scale[anchor] = (positives as f64 / totals.total[a]) as f32;
            ends.reach[anchor] = pairs.reach(beta);
        } else if empty != EmptyRow::Skip {
            return None;
        }
    }
    Some(ends)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{CUTS, labels, remembered, rounding, rows, weighting};
    use crate::kernel::fast::{Fast, InstructionSet};
    use crate::kernel::scalar::Reference;
    use crate::kernel::{Backend, BatchView};
    use crate::{
        Cap, Contrastive, EmptyRow, FarCut, Key, Loss, LossReport, Margin, Objective, Reduction, Sampler,
        Scalar, Stream, Weighting,
    };

    /// Loss, and gradients to embeddings and boundaries.
    type Loss3 = (LossReport, Vec<f32>, Vec<f32>);

    fn of<T: Scalar, B>(
        backend: &B,
        objective: &Objective<T>,
        x: &Vec<T>,
        labels: &Vec<u32>,
        betas: &Vec<T>,
    ) -> (LossReport, Vec<T>, Vec<T>)
    where
        B: Backend<T, Buffer = Vec<T>, Indices = Vec<u32>, Draws = Vec<crate::Draw<T>>>,
    {
        let (anchors, count) = (betas.len(), labels.len());
        let view = BatchView { embeddings: x, labels, betas, anchors, count, dim: x.len() / count };
        let (mut dx, mut dbetas) = (vec![T::from_f64(7.0); anchors * view.dim], vec![T::ONE; anchors]);
        let mut draws = Vec::new();
        backend.draw(view, objective, Key::new(0, Stream::Negatives, 0), &mut draws).unwrap();
        let report = backend.loss(view, objective, &draws, &mut dx, &mut dbetas).unwrap();
        (report, dx, dbetas)
    }

    fn betas(anchors: usize) -> Vec<f32> {
        (0..anchors).map(|i| 1.1 + 0.01 * (i % 7) as f32).collect()
    }

    fn losses<T: Scalar>() -> [Loss<T>; 3] {
        let number = T::from_f64;
        [
            Loss::Margin(Margin::new(number(f64::from(0.2_f32)), number(0.0)).unwrap()),
            Loss::Margin(Margin::new(number(0.25), number(0.0625)).unwrap()),
            Loss::Contrastive(Contrastive::new(number(1.25)).unwrap()),
        ]
    }

    /// The fast backend against the reference in double precision. Returns the largest derivative.
    fn compare(
        name: &str,
        weighting: &Weighting<f32>,
        x: &Vec<f32>,
        labels: &Vec<u32>,
        anchors: usize,
    ) -> f64 {
        let betas = betas(anchors);
        let wide = |numbers: &[f32]| numbers.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
        let n = weighting.density().dimension();
        let far = match weighting.far() {
            FarCut::None => FarCut::None,
            FarCut::At(cut) => FarCut::At(f64::from(cut)),
            FarCut::Active { margin } => FarCut::Active { margin: f64::from(margin) },
        };
        let cap = match weighting.cap() {
            Cap::Near(d) => Cap::Near(f64::from(d)),
            Cap::LnLambda(ln) => Cap::LnLambda(f64::from(ln)),
        };
        let exact = Weighting::new(n, cap, far, weighting.empty()).unwrap();
        let mut largest = 0.0;
        for (loss, wide_loss) in losses::<f32>().into_iter().zip(losses::<f64>()) {
            for reduction in [Reduction::MeanActive, Reduction::Mean, Reduction::Sum] {
                let name = format!("{name}: {loss:?}, {reduction:?}");
                let objective =
                    Objective::new(loss, Sampler::Expected(weighting.clone()), reduction).unwrap();
                let (report, dx, dbetas) = of(&Fast::new(1).unwrap(), &objective, x, labels, &betas);
                let objective =
                    Objective::new(wide_loss, Sampler::Expected(exact.clone()), reduction).unwrap();
                let (truth, dx_truth, dbetas_truth) =
                    of(&Reference, &objective, &wide(x), labels, &wide(&betas));
                let close = |what: &str, got: f64, truth: f64, scale: f64| {
                    let allowed = (1e-5 + 2.0 * rounding(n)) * (scale + truth.abs());
                    assert!((got - truth).abs() <= allowed, "{name}: {what} is {got}, not {truth}");
                };
                close("the loss", report.loss, truth.loss, 1e-3);
                close("the active weight", report.active, truth.active, 1e-3);
                close("the weight", report.terms, truth.terms, 1e-3);
                // What one term weighs: where terms cancel, derivatives are exact to that.
                let unit = match reduction {
                    Reduction::MeanActive => 1.0 / truth.active.max(1.0),
                    Reduction::Mean => 1.0 / truth.terms.max(1.0),
                    Reduction::Sum => 1.0,
                };
                for (what, got, truth) in [("dx", &dx, &dx_truth), ("dbeta", &dbetas, &dbetas_truth)] {
                    let scale = truth.iter().fold(unit, |scale: f64, v| scale.max(v.abs()));
                    largest = f64::max(largest, scale);
                    for (i, (&got, &truth)) in got.iter().zip(truth).enumerate() {
                        close(&format!("{what}[{i}]"), f64::from(got), truth, scale);
                    }
                }
            }
        }
        largest
    }

    #[test]
    fn the_loss_is_that_of_the_reference_in_double_precision() {
        for (count, each, dim, spread) in
            [(256, 4, 128, 30.0), (160, 5, 16, 1.0), (45, 5, 24, 1.0), (129, 3, 3, 1.0), (33, 3, 8, 0.2)]
        {
            let labels = labels(count, each);
            let x = rows(1, &labels, dim, spread);
            for n in [3.0, 16.0, 128.0] {
                for far in CUTS {
                    let law = weighting(n, Cap::Near(0.5), far, EmptyRow::Skip);
                    let largest = compare(&format!("{count} x {dim}, {law:?}"), &law, &x, &labels, count);
                    assert!(largest > 1e-4, "something is pushed");
                }
            }
        }
    }

    #[test]
    fn with_a_memory_too() {
        for (anchors, count, dim) in [(24, 100, 16), (150, 700, 33), (7, 300, 5), (128, 129, 64)] {
            let labels = remembered(anchors, count);
            let x = rows(anchors as u64, &labels, dim, 3.0);
            for far in CUTS {
                let law = weighting(16.0, Cap::Near(0.5), far, EmptyRow::Skip);
                compare(&format!("{anchors} of {count} x {dim}, {law:?}"), &law, &x, &labels, anchors);
            }
        }
    }

    #[test]
    fn odd_batches_give_what_the_reference_gives() {
        let batches: Vec<(&str, Vec<f32>, Vec<u32>)> = vec![
            ("two", rows(1, &[0, 1], 8, 1.0), vec![0, 1]),
            ("one class", rows(1, &[3; 40], 8, 1.0), vec![3; 40]),
            ("all classes of one", rows(1, &labels(40, 1), 8, 1.0), labels(40, 1)),
            ("classes in no order", rows(1, &labels(66, 2), 16, 1.0), (0..66).map(|i| i * 7 % 9).collect()),
            ("nearly collapsed", rows(1, &[0; 40], 16, 0.02), labels(40, 4)),
            ("collapsed", [1.0, 0.0, 0.0].repeat(36), labels(36, 4)),
            ("duplicates", rows(1, &labels(18, 3), 8, 1.0).repeat(2), labels(36, 3)),
        ];
        for (name, x, labels) in &batches {
            for far in [FarCut::None, FarCut::At(0.6), FarCut::At(1.4), FarCut::Active { margin: 0.2 }] {
                for empty in [EmptyRow::Skip, EmptyRow::Nearest, EmptyRow::Uniform] {
                    let law = weighting(16.0, Cap::Near(0.5), far, empty);
                    compare(&format!("{name}, {law:?}"), &law, x, labels, labels.len());
                }
            }
        }
    }

    #[test]
    fn bits_are_the_same_on_every_instruction_set_and_for_any_number_of_threads() {
        for (anchors, count, dim) in [(300, 300, 128), (150, 411, 19), (64, 64, 512)] {
            let labels = remembered(anchors, count);
            let (x, betas) = (rows(2, &labels, dim, 1.0), betas(anchors));
            for loss in losses() {
                let sampler = Sampler::Expected(weighting(16.0, Cap::Near(0.5), CUTS[2], EmptyRow::Skip));
                let objective = Objective::new(loss, sampler, Reduction::MeanActive).unwrap();
                let first: Loss3 = of(&Fast::new(1).unwrap(), &objective, &x, &labels, &betas);
                for set in InstructionSet::available() {
                    for threads in [1, 2, 5] {
                        let fast = Fast::with_instruction_set(threads, set).unwrap();
                        for _ in 0..2 {
                            let again = of(&fast, &objective, &x, &labels, &betas);
                            assert!(again == first, "{set}, {threads} threads, {loss:?}, D {dim}");
                        }
                    }
                }
            }
        }
    }
}
