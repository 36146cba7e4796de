//! The loss of all pairs against the reference in double precision.

use super::tests::{CUTS, labels, remembered, rounding, rows, view, weighting};
use crate::kernel::fast::{Fast, InstructionSet};
use crate::kernel::scalar::Reference;
use crate::kernel::{Backend, BatchView};
use crate::{
    Cap, Contrastive, EmptyRow, FarCut, Key, Loss, LossReport, Margin, Objective, Reduction, Sampler, Scalar,
    Stream, Weighting,
};

/// The loss, and its gradients to embeddings and boundaries.
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

/// The fast backend against the reference in double precision, with every loss and reduction. Returns the largest
/// derivative.
fn compare(name: &str, weighting: &Weighting<f32>, x: &Vec<f32>, labels: &Vec<u32>, anchors: usize) -> f64 {
    let reductions = [Reduction::MeanActive, Reduction::Mean, Reduction::Sum];
    compare_by(3, &reductions, name, weighting, x, labels, anchors)
}

/// As [`compare`], with some of the losses and these reductions.
fn compare_by(
    some: usize,
    reductions: &[Reduction],
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
    for (loss, wide_loss) in losses::<f32>().into_iter().zip(losses::<f64>()).take(some) {
        for &reduction in reductions {
            let name = format!("{name}: {loss:?}, {reduction:?}");
            let objective = Objective::new(loss, Sampler::Expected(weighting.clone()), reduction).unwrap();
            let (report, dx, dbetas) = of(&Fast::new(1).unwrap(), &objective, x, labels, &betas);
            let objective = Objective::new(wide_loss, Sampler::Expected(exact.clone()), reduction).unwrap();
            let (truth, dx_truth, dbetas_truth) = of(&Reference, &objective, &wide(x), labels, &wide(&betas));
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
fn units_of_several_panels_meet_too() {
    // Units of two panels, of four, and of four beside a memory; the last unit is not whole.
    for (anchors, count, each, dim) in [(1100, 1100, 20, 5), (2090, 2090, 30, 32), (2055, 2200, 30, 3)] {
        let labels = labels(count, each);
        let x = rows(4, &labels, dim, 1.0);
        for n in [3.0, 128.0] {
            let law = weighting(n, Cap::Near(0.5), FarCut::None, EmptyRow::Skip);
            let name = format!("{anchors} of {count} x {dim}, n {n}");
            compare_by(1, &[Reduction::Mean], &name, &law, &x, &labels, anchors);
        }
    }
}

#[test]
fn references_that_lie_far_apart_are_not_made_one() {
    // Half of the rows stand around the corners of a wide cross, where the nearest negative weighs little; the others
    // crowd at the cap, more than a hundred octaves above.
    let (count, dim) = (160, 24);
    let labels = labels(count, 2);
    let mut x = rows(5, &labels, dim, 30.0);
    let crowd = rows(6, &vec![0; count / 2], dim, 0.45);
    for (place, row) in crowd.chunks_exact(dim).enumerate() {
        let at = place / 4 * 8 + place % 4;
        x[at * dim..][..dim].copy_from_slice(row);
    }
    for far in CUTS {
        let law = weighting(512.0, Cap::Near(0.5), far, EmptyRow::Skip);
        compare(&format!("two crowds, {law:?}"), &law, &x, &labels, count);
    }
}

#[test]
fn the_sums_of_a_report_serve_the_loss_of_the_same_batch_alone() {
    struct Case {
        x: Vec<f32>,
        labels: Vec<u32>,
        betas: Vec<f32>,
        objective: Objective<f32>,
    }
    let case = |n: f64, cap: f32, far| {
        let sampler = Sampler::Expected(weighting(n, Cap::Near(cap), far, EmptyRow::Skip));
        let objective = Objective::new(losses()[0], sampler, Reduction::Sum).unwrap();
        let labels = labels(96, 4);
        Case { x: rows(2, &labels, 16, 1.0), labels, betas: betas(96), objective }
    };
    let active = || case(16.0, 0.5, CUTS[2]);
    let mut cases =
        vec![active(), case(16.0, 0.5, CUTS[0]), case(20.0, 0.5, CUTS[2]), case(16.0, 1.2, CUTS[2])];
    cases.extend([active(), active(), active(), active()]);
    cases[4].x[700] += 0.01;
    cases[5].labels.swap(0, 40);
    cases[6].betas[3] = 0.9;
    cases[7].betas.truncate(90);
    let loss = |fast: &Fast, Case { x, labels, betas, objective }: &Case| {
        let (mut dx, mut dbetas) = (vec![7.0; betas.len() * 16], vec![7.0; betas.len()]);
        let report = fast.loss(view(x, labels, betas), objective, &Vec::new(), &mut dx, &mut dbetas).unwrap();
        (report, dx, dbetas)
    };
    let alone: Vec<_> = cases.iter().map(|case| loss(&Fast::new(1).unwrap(), case)).collect();
    let fast = Fast::new(1).unwrap();
    for (a, reported) in cases.iter().enumerate() {
        for (b, lost) in cases.iter().enumerate() {
            assert!(a == b || alone[a] != alone[b], "{a} and {b} are different batches");
            let Case { x, labels, betas, objective } = reported;
            let key = Key::new(0, Stream::Negatives, 0);
            fast.draw(view(x, labels, betas), objective, key, &mut Vec::new()).unwrap();
            for _ in 0..2 {
                assert!(loss(&fast, lost) == alone[b], "{b} after the report of {a}");
            }
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
            let first = of(&Fast::new(1).unwrap(), &objective, &x, &labels, &betas);
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
