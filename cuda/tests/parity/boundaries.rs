//! Boundaries that learn: what each anchor's is, the steps of their parameters, and their minimum, to the bit.

use nearfar_core::kernel::{Backend, HostBatch, scalar::Reference};
use nearfar_core::{
    Boundary, BoundaryFit, BoundaryShape, BoundaryStep, Cap, EmptyRow, FarCut, Loss, Penalty, Reduction,
    Sampler, TripletLoss,
};
use nearfar_cuda::{Buffer, Cuda, Draws, Indices};

use crate::batches::{Batch, key, objective, on_device, weighting};
use crate::bench::{Tolerance::Exact, check, device, fresh, numbers, twice, up};

/// One anchor, one class, every image its own and images again, no parts of either kind, more than one block.
const CASES: [(usize, usize, usize); 9] = [
    (1, 0, 0),
    (1, 1, 0),
    (1, 3, 7),
    (33, 1, 0),
    (40, 5, 9),
    (40, 0, 3),
    (256, 17, 2000),
    (300, 0, 0),
    (531, 12, 40),
];

/// Class and image of each anchor, in no order, within the shape.
fn parts(seed: u64, anchors: usize, classes: usize, images: usize) -> Vec<(u32, u32)> {
    let pick = |v: f32, of: usize| ((v + 1.0) * 1e6) as u32 % of.max(1) as u32;
    let (class, image) = (numbers(seed, anchors), numbers(seed + 1, anchors));
    class.iter().zip(image).map(|(&c, i)| (pick(c, classes), pick(i, images))).collect()
}

fn sent(cuda: &Cuda, parts: &[(u32, u32)]) -> Indices {
    let (host, mut there) = (HostBatch { anchors: parts.len(), parts, ..HostBatch::default() }, None);
    cuda.upload_batch(host, &mut there).unwrap();
    there.unwrap().parts
}

fn flat(parts: &[(u32, u32)]) -> Vec<u32> {
    parts.iter().flat_map(|&(class, image)| [class, image]).collect()
}

/// Starts of beta0 and all parts, and velocities.
fn state(seed: u64, shape: BoundaryShape) -> Vec<f32> {
    numbers(seed, 2 * shape.count()).iter().map(|v| 0.3 * v).collect()
}

/// A gradient for each anchor, 0 for some.
fn gradients(seed: u64, anchors: usize) -> Vec<f32> {
    numbers(seed, anchors).into_iter().map(|v| if v < -0.6 { 0.0 } else { v }).collect()
}

#[test]
fn boundaries_and_three_of_their_steps_are_those_of_the_reference() {
    let Some(cuda) = device() else { return };
    for (seed, (anchors, classes, images)) in (200..).step_by(20).zip(CASES) {
        let shape = BoundaryShape { classes, images };
        for nu in [0.0, 0.07] {
            let step = BoundaryStep { rate: 0.1, momentum: 0.9, nu };
            let start = state(seed, shape);
            let mut want = start.clone();
            let mut steps = Vec::new();
            for k in 0..3 {
                // Other classes and images each time.
                let list = parts(seed + 3 * k, anchors, classes, images);
                let dbetas = gradients(seed + 10 + k, anchors);
                let mut betas = vec![0.0; anchors];
                let words = flat(&list);
                Reference.boundaries(shape, anchors, &words, &want, &mut betas).unwrap();
                let penalty =
                    Reference.boundary_step(shape, step, anchors, &words, &dbetas, &mut want).unwrap();
                steps.push((list, dbetas, betas, penalty, want.clone()));
            }
            twice(|| {
                let mut results = Vec::new();
                let mut there = up(cuda, &start);
                for (list, dbetas, betas, penalty, after) in &steps {
                    let what = format!("{anchors} anchors, {classes} classes, {images} images");
                    let (list, dbetas, mut got) = (sent(cuda, list), up(cuda, dbetas), fresh(cuda, anchors));
                    cuda.boundaries(shape, anchors, &list, &there, &mut got).unwrap();
                    results.push(check(&what, cuda, &got, betas, Exact));
                    let sum = cuda.boundary_step(shape, step, anchors, &list, &dbetas, &mut there).unwrap();
                    // The reference adds some thousand numbers in single precision, one after another.
                    assert!(
                        (sum - penalty).abs() <= 1e-5 * (1.0 + penalty.abs()),
                        "{what}: {sum}, {penalty}"
                    );
                    results.push(check(&what, cuda, &there, after, Exact));
                    results.push(vec![sum]);
                }
                results
            });
        }
    }
}

#[test]
fn nothing_moves_without_a_gradient_and_a_nan_reaches_its_parts() {
    let Some(cuda) = device() else { return };
    let (anchors, shape) = (300, BoundaryShape { classes: 4, images: 90 });
    let (list, start) = (parts(3, anchors, 4, 90), state(4, shape));
    let step = BoundaryStep { rate: 0.1, momentum: 0.9, nu: 0.5 };
    let after = |dbetas: &[f32]| -> (Buffer, Vec<f32>) {
        let (words, mut there, mut want) = (sent(cuda, &list), up(cuda, &start), start.clone());
        cuda.boundary_step(shape, step, anchors, &words, &up(cuda, dbetas), &mut there).unwrap();
        Reference.boundary_step(shape, step, anchors, &flat(&list), &dbetas.to_vec(), &mut want).unwrap();
        (there, want)
    };
    let (there, want) = after(&vec![-0.0; anchors]);
    assert_eq!(want, start);
    check("no gradient", cuda, &there, &want, Exact);
    // The one anchor with a gradient is in the second tile.
    let mut one = vec![0.0; anchors];
    one[290] = f32::NAN;
    let (there, want) = after(&one);
    assert!(want.iter().filter(|v| v.is_nan()).count() == 6 && want != start);
    check("one gradient", cuda, &there, &want, Exact);
}

#[test]
fn a_class_without_a_part_is_loud_and_writes_nowhere() {
    let Some(cuda) = device() else { return };
    let shape = BoundaryShape { classes: 2, images: 3 };
    let list = [(1, 2), (2, 0), (0, 3), (u32::MAX, u32::MAX)];
    let (words, mut betas) = (sent(cuda, &list), fresh(cuda, 4));
    let boundary = Boundary::new(1.0_f32, 2, 3);
    let mut there = up(cuda, &boundary.state());
    cuda.boundaries(shape, 4, &words, &there, &mut betas).unwrap();
    check("betas", cuda, &betas, &[1.0, f32::NAN, f32::NAN, f32::NAN], Exact);
    // beta0 has four gradients; class 1 one, class 0 one, images 2 and 0 one each. The rest of the list is nobody's.
    let step = BoundaryStep { rate: 1.0, momentum: 0.0, nu: 0.0 };
    cuda.boundary_step(shape, step, 4, &words, &up(cuda, &[0.25; 4]), &mut there).unwrap();
    let moved = [0.0, -0.25, -0.25, -0.25, 0.0, -0.25, 1.0, 0.25, 0.25, 0.25, 0.0, 0.25];
    check("state", cuda, &there, &moved, Exact);
}

/// Every form of the penalty, one of them so large that no part has a minimum.
fn penalties() -> Vec<Penalty<f32>> {
    let beside = |reduction| Penalty::Once { nu: 0.02, reduction };
    vec![
        Penalty::PerTuple { nu: 0.35 },
        Penalty::PerTuple { nu: 1.5 },
        beside(Reduction::MeanActive),
        beside(Reduction::Mean),
        beside(Reduction::Sum),
    ]
}

#[test]
fn the_exact_minimum_of_drawn_tuples_is_that_of_the_reference() {
    let Some(cuda) = device() else { return };
    // More tuples than a block has threads; a memory behind the batch; no tuple at all.
    let batches = [
        Batch::new(6, 56, 20, 8),
        Batch::new(3, 40, 33, 3).of_anchors(23),
        Batch::new(2, 9, 4, 1),
        Batch::new(1, 1, 3, 1),
    ];
    // The far cut leaves some anchors without a candidate: their places among the tuples are empty.
    let law = weighting(20.0, Cap::Near(0.5), FarCut::At(1.15), EmptyRow::Skip);
    let triplet = Loss::Triplet(TripletLoss::plain(0.2).unwrap());
    let drawing = objective(triplet, Sampler::DistanceWeighted(law), Reduction::MeanActive);
    let (mut skipped, mut drawn, mut moved, mut kept) = (0, Vec::new(), 0, 0);
    for (seed, batch) in (300..).zip(&batches) {
        let (anchors, count, dim) = (batch.anchors(), batch.count(), batch.dim);
        let mut draws = Vec::new();
        skipped += Reference.draw(batch.host(), &drawing, key(), &mut draws).unwrap().without_candidate;
        drawn.push(draws.len());
        for (classes, images) in [(0, 0), (7, 0), (5, 60)] {
            let (shape, list) = (BoundaryShape { classes, images }, parts(seed, anchors, classes, images));
            let mut start = state(seed, shape);
            start[0] += 1.0;
            for penalty in penalties() {
                let (fit, mut want) = (BoundaryFit { alpha: 0.2, penalty, rate: 0.6 }, start.clone());
                Reference
                    .boundary_fit(shape, fit, anchors, &flat(&list), count, dim, &batch.x, &draws, &mut want)
                    .unwrap();
                let stood = want.iter().zip(&start).filter(|(want, start)| want == start).count();
                (moved, kept) = (moved + start.len() - stood, kept + stood - shape.count());
                twice(|| {
                    on_device(cuda, batch, |view| {
                        let (mut own, mut there) = (Draws::default(), up(cuda, &start));
                        cuda.draw(view, &drawing, key(), &mut own).unwrap();
                        let (list, x) = (sent(cuda, &list), view.embeddings);
                        cuda.boundary_fit(shape, fit, anchors, &list, count, dim, x, &own, &mut there)
                            .unwrap();
                        let what = format!("{anchors} anchors, {shape:?}, {penalty:?}");
                        vec![check(&what, cuda, &there, &want, Exact)]
                    })
                });
            }
        }
    }
    println!("{drawn:?} tuples, {skipped} anchors without; {moved} parts moved, {kept} stayed");
    assert!(drawn[0] > 256 && drawn[1] > 50 && drawn[2..] == [0, 0] && skipped > 20, "{drawn:?}, {skipped}");
    assert!(moved > 200 && kept > 200, "{moved}, {kept}");
}
