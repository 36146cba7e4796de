//! The loss of all pairs against the reference in double precision.

use super::tests::{CUTS, labels, remembered, rounding, rows, weighting};
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

/// The fast backend against the reference in double precision. Returns the largest derivative.
fn compare(name: &str, weighting: &Weighting<f32>, x: &Vec<f32>, labels: &Vec<u32>, anchors: usize) -> f64 {
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
