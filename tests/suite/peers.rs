//! What peers get wrong (SPEC, section 8): each line is a test, here or where its subject lives.
//!
//! Elsewhere: global maximum and lost rows, `sampling.rs`; draws and threads, `sampling.rs`; semi-hard, `sampling.rs`;
//! self by index and ties, `metrics.rs` and `core/src/metric/retrieval.rs`; batches without replacement,
//! `core/src/compose.rs`.

use nearfar_core::kernel::fast::Fast;
use nearfar_core::kernel::{Backend, BatchView};
use nearfar_core::{
    Cap, Contrastive, Draw, EmptyRow, FarCut, Key, Loss, LossReport, Margin, Objective, Quadruplet,
    Reduction, Row, Sampler, Stream, TripletLoss, Weighting,
};
use nearfar_tests::generate::{clusters, single, sphere};

/// Draws and evaluates; gradient to the rows and to the boundaries.
fn step(
    objective: &Objective<f32>,
    x: &[f32],
    labels: &[u32],
    beta: f32,
) -> (LossReport, Vec<f32>, Vec<f32>) {
    let backend = Fast::new(2).unwrap();
    let embeddings = x.to_vec();
    let betas = vec![beta; labels.len()];
    let labels = labels.to_vec();
    let (count, dim) = (labels.len(), x.len() / labels.len());
    let view =
        BatchView { embeddings: &embeddings, labels: &labels, betas: &betas, anchors: count, count, dim };
    let mut draws: Vec<Draw<f32>> = Vec::new();
    backend.draw(view, objective, Key::new(1, Stream::Negatives, 0), &mut draws).unwrap();
    let (mut dx, mut dbetas) = (vec![f32::NAN; x.len()], vec![f32::NAN; count]);
    let report = backend.loss(view, objective, &draws, &mut dx, &mut dbetas).unwrap();
    (report, dx, dbetas)
}

fn active_weighting(margin: f32) -> Weighting<f32> {
    Weighting::new(8.0, Cap::Near(0.5), FarCut::Active { margin }, EmptyRow::Skip).unwrap()
}

#[test]
fn a_positive_at_distance_zero_does_not_flatten_the_weights_of_negatives() {
    // The anchor's twin and itself at distance 0: were they in the maximum, all negatives would underflow to 0 and
    // the draw would turn uniform over everything.
    let mut x = sphere(1, 40, 512);
    x.copy_within(0..512, 512);
    let labels: Vec<u32> = (0..40).map(|i| i / 2).collect();
    let weighting = Weighting::new(512.0, Cap::Near(0.5_f32), FarCut::None, EmptyRow::Skip).unwrap();
    let x = single(&x);
    let distances: Vec<f32> = x.chunks_exact(512).map(|row| nearfar_core::distance(&x[..512], row)).collect();
    let row = Row { anchor: 0, anchors: labels.len(), labels: &labels, distances: &distances, beta: 1.2 };
    let mut weights = vec![0.0; 40];
    let sums = weighting.row(&row, &mut weights);
    assert_eq!((weights[0], weights[1]), (0.0, 0.0));
    assert_eq!(sums.candidates, 38);
    assert!(sums.total >= 1.0 && sums.effective < 38.0, "{sums:?}");
}

#[test]
fn the_cut_follows_a_learned_boundary() {
    // With beta 0.5 and margin 0.2 the fixed 1.4 of peers would draw negatives that the loss ignores.
    let (x, labels) = clusters(2, 10, 4, 8, 2.0);
    let margin = Loss::Margin(Margin::new(0.2_f32, 0.0).unwrap());
    let objective =
        Objective::new(margin, Sampler::DistanceWeighted(active_weighting(0.2)), Reduction::Mean).unwrap();
    let backend = Fast::new(1).unwrap();
    let (embeddings, betas) = (single(&x), vec![0.5_f32; 40]);
    let view =
        BatchView { embeddings: &embeddings, labels: &labels, betas: &betas, anchors: 40, count: 40, dim: 8 };
    let mut draws: Vec<Draw<f32>> = Vec::new();
    backend.draw(view, &objective, Key::new(1, Stream::Negatives, 0), &mut draws).unwrap();
    for draw in draws {
        let row = |i: u32| &embeddings[i as usize * 8..][..8];
        let d = nearfar_core::distance(row(draw.triplet.anchor), row(draw.triplet.negative));
        assert!(d < 0.7 + 1e-5, "drawn at {d}");
    }
}

#[test]
fn weights_rise_again_beyond_the_middle_but_never_above_the_cap() {
    let weighting = Weighting::new(128.0, Cap::Near(0.5_f64), FarCut::None, EmptyRow::Skip).unwrap();
    assert!(weighting.ln_weight(1.9) > weighting.ln_weight(1.4));
    for d in [0.0, 1e-9, 0.3, 1.938, 1.999, 2.0, 2.0 + 1e-12] {
        let ln = weighting.ln_weight(d);
        assert!(ln.is_finite() && ln <= weighting.ln_weight(0.5), "d = {d}: {ln}");
    }
}

#[test]
fn a_batch_without_an_active_pair_has_loss_zero_and_gradient_zero() {
    // Two classes at opposite poles, each in one point.
    let x = [[1.0_f32, 0.0]; 3].into_iter().chain([[-1.0, 0.0]; 3]).flatten().collect::<Vec<f32>>();
    let labels = [0, 0, 0, 1, 1, 1];
    let losses = [
        Loss::Contrastive(Contrastive::new(0.5).unwrap()),
        Loss::Triplet(TripletLoss::squared(0.2).unwrap()),
        Loss::Triplet(TripletLoss::plain(0.2).unwrap()),
        Loss::Margin(Margin::new(0.2, 0.0).unwrap()),
        Loss::Margin(Margin::new(0.2, 0.5).unwrap()),
        Loss::Quadruplet(Quadruplet::new(0.2, 0.1).unwrap()),
    ];
    for loss in losses {
        for reduction in [Reduction::MeanActive, Reduction::Mean, Reduction::Sum] {
            let objective = Objective::new(loss, Sampler::Uniform, reduction).unwrap();
            let (report, dx, dbetas) = step(&objective, &x, &labels, 1.2);
            assert_eq!((report.loss, report.active), (0.0, 0.0), "{loss:?}");
            assert!(dx.iter().chain(&dbetas).all(|&g| g == 0.0), "{loss:?}: {dx:?}");
        }
    }
}

#[test]
fn the_penalty_of_the_boundary_works() {
    let (x, labels) = clusters(2, 10, 4, 8, 2.0);
    let x = single(&x);
    let objective = |nu| {
        let margin = Loss::Margin(Margin::new(0.2_f32, nu).unwrap());
        Objective::new(margin, Sampler::Uniform, Reduction::Sum).unwrap()
    };
    let (plain, _, plain_betas) = step(&objective(0.0), &x, &labels, 1.2);
    let (pulled, _, betas) = step(&objective(0.1), &x, &labels, 1.2);
    // 120 tuples, each with boundary 1.2; 3 tuples an anchor.
    assert!((pulled.loss - plain.loss - 0.1 * 120.0 * 1.2).abs() < 1e-4);
    assert!(betas.iter().zip(&plain_betas).all(|(a, b)| (a - b - 0.3).abs() < 1e-5));
}

#[test]
fn duplicates_and_opposites_give_no_nan() {
    // Distance 0 (the square root's infinite slope), distance 2 (the density's end), and 2 - 2c below 0 in f32.
    let mut x = single(&sphere(3, 12, 16));
    x.copy_within(0..16, 16);
    x.copy_within(0..16, 48);
    for k in 0..16 {
        x[64 + k] = -x[k];
    }
    let labels: Vec<u32> = (0..12).map(|i| i / 3).collect();
    let weighting = |n| Weighting::new(n, Cap::Near(0.5_f32), FarCut::None, EmptyRow::Skip).unwrap();
    let losses = [
        Loss::Contrastive(Contrastive::new(1.0).unwrap()),
        Loss::Triplet(TripletLoss::plain(0.2).unwrap()),
        Loss::Margin(Margin::new(0.2, 0.0).unwrap()),
    ];
    for loss in losses {
        for n in [2.0, 3.0, 16.0, 512.0, 2048.0] {
            for sampler in
                [Sampler::DistanceWeighted(weighting(n)), Sampler::Expected(weighting(n)), Sampler::All]
            {
                let objective = Objective::new(loss, sampler, Reduction::MeanActive).unwrap();
                let (report, dx, _) = step(&objective, &x, &labels, 1.2);
                assert!(report.loss.is_finite() && dx.iter().all(|g| g.is_finite()), "{loss:?}, n = {n}");
            }
        }
    }
}

/// 2048 samples with triplets of all: N³ numbers would be 34 GB. The memory of the row walk is O(N) a row.
#[test]
fn all_triplets_of_a_large_batch_need_no_cube() {
    let (x, labels) = clusters(6, 512, 4, 8, 1.0);
    let loss = Loss::Triplet(TripletLoss::squared(0.2_f32).unwrap());
    let objective = Objective::new(loss, Sampler::All, Reduction::Mean).unwrap();
    let (report, ..) = step(&objective, &single(&x), &labels, 1.2);
    assert_eq!(report.terms, 2048.0 * 3.0 * 2044.0);
}
