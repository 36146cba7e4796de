//! Draws, losses and moments of a batch: every sampler, loss, reduction, cut and policy, on batches of any shape.

use nearfar_core::kernel::{Backend, BatchView, scalar::Reference};
use nearfar_core::{
    Cap, Contrastive, Draw, DrawReport, EmptyRow, FarCut, Key, Lifted, Loss, LossReport, Margin,
    MultiSimilarity, NPair, Objective, Quadruplet, Reduction, Sampler, Stream, TripletLoss, Weighting,
    squared_distance,
};
use nearfar_cuda::{Cuda, Draws};

use crate::bench::{
    Tolerance::{self, Exact, Product, Weights},
    check, device, fresh, numbers, twice, up,
};

/// A batch of unit rows with labels and a boundary for each, and remembered rows behind it: those without a boundary.
struct Batch {
    x: Vec<f32>,
    labels: Vec<u32>,
    betas: Vec<f32>,
    dim: usize,
}

impl Batch {
    /// Rows spread around one of `classes` directions, so that classes overlap; labels in no order.
    fn new(seed: u64, count: usize, dim: usize, classes: u32) -> Self {
        let labels: Vec<u32> =
            numbers(seed, count).iter().map(|v| ((v + 1.0) * 1e6) as u32 % classes).collect();
        let (centres, noise) = (numbers(seed + 1, classes as usize * dim), numbers(seed + 2, count * dim));
        let mut x = vec![0.0; count * dim];
        for (i, &label) in labels.iter().enumerate() {
            let row: Vec<f32> =
                (0..dim).map(|k| 0.6 * centres[label as usize * dim + k] + noise[i * dim + k]).collect();
            nearfar_core::normalize_row(&row, &mut x[i * dim..][..dim]).unwrap();
        }
        let betas = numbers(seed + 3, count).iter().map(|v| 1.2 + 0.2 * v).collect();
        Self { x, labels, betas, dim }
    }

    /// The last rows become a memory.
    fn of_anchors(mut self, anchors: usize) -> Self {
        self.betas.truncate(anchors);
        self
    }

    fn anchors(&self) -> usize {
        self.betas.len()
    }

    fn count(&self) -> usize {
        self.labels.len()
    }

    fn host(&self) -> BatchView<'_, Vec<f32>, Vec<u32>> {
        BatchView {
            embeddings: &self.x,
            labels: &self.labels,
            betas: &self.betas,
            anchors: self.anchors(),
            count: self.count(),
            dim: self.dim,
        }
    }

    fn distance(&self, i: u32, j: u32) -> f64 {
        let row = |i: u32| &self.x[i as usize * self.dim..][..self.dim];
        f64::from(squared_distance(row(i), row(j))).sqrt()
    }
}

/// Whole quads and ragged rows, one tile and several, one class, one sample, a class of one; with a memory and without.
fn batches() -> Vec<Batch> {
    vec![
        Batch::new(1, 1, 3, 1),
        Batch::new(2, 6, 4, 1),
        Batch::new(3, 7, 5, 7),
        Batch::new(4, 33, 8, 4),
        Batch::new(5, 40, 18, 9),
        Batch::new(9, 47, 8, 6).of_anchors(20),
        Batch::new(10, 83, 5, 11).of_anchors(33),
    ]
}

/// More than one tile of rows, whole quads; alone, and before a memory.
fn large() -> [Batch; 2] {
    [Batch::new(6, 135, 20, 30), Batch::new(11, 180, 20, 30).of_anchors(131)]
}

/// Runs `work` with the batch on the device, labels longer than they need be.
fn on_device<R>(
    cuda: &Cuda,
    batch: &Batch,
    work: impl FnOnce(BatchView<'_, nearfar_cuda::Buffer, nearfar_cuda::Indices>) -> R,
) -> R {
    let (x, betas) = (up(cuda, &batch.x), up(cuda, &batch.betas));
    let mut longer = batch.labels.clone();
    longer.extend([0, 1]);
    let labels = cuda.indices(&longer).unwrap();
    work(BatchView {
        embeddings: &x,
        labels: &labels,
        betas: &betas,
        anchors: batch.anchors(),
        count: batch.count(),
        dim: batch.dim,
    })
}

fn weighting(dimension: f64, cap: Cap<f32>, far: FarCut<f32>, empty: EmptyRow) -> Weighting<f32> {
    Weighting::new(dimension, cap, far, empty).unwrap()
}

/// Weightings that differ in dimension, cap, cut and policy.
fn weightings() -> Vec<Weighting<f32>> {
    use EmptyRow::{Nearest, Skip, Uniform};
    vec![
        weighting(20.0, Cap::Near(0.5), FarCut::At(1.4), Skip),
        weighting(2.0, Cap::Near(0.01), FarCut::None, Skip),
        weighting(3.7, Cap::LnLambda(0.5), FarCut::None, Nearest),
        weighting(128.0, Cap::Near(0.5), FarCut::Active { margin: 0.1 }, Skip),
        weighting(2048.0, Cap::Near(0.9), FarCut::At(1.6), Uniform),
        weighting(12.0, Cap::Near(0.5), FarCut::At(0.9), Nearest),
        weighting(12.0, Cap::Near(0.5), FarCut::At(0.9), Uniform),
        weighting(12.0, Cap::Near(0.5), FarCut::Active { margin: -0.3 }, Skip),
    ]
}

fn samplers_that_draw() -> Vec<Sampler<f32>> {
    let mut samplers =
        vec![Sampler::Uniform, Sampler::Hard, Sampler::Semihard, Sampler::SemihardBand { margin: 0.15 }];
    samplers.extend(weightings().into_iter().map(Sampler::DistanceWeighted));
    samplers
}

fn objective(loss: Loss<f32>, sampler: Sampler<f32>, reduction: Reduction) -> Objective<f32> {
    Objective::new(loss, sampler, reduction).unwrap()
}

fn key() -> Key {
    Key::new(0x1234_5678_9abc, Stream::Negatives, 17)
}

/// What the device draws, twice the same to the bit.
fn drawn_twice(cuda: &Cuda, batch: &Batch, objective: &Objective<f32>) -> (Vec<Draw<f32>>, DrawReport) {
    let once = || {
        on_device(cuda, batch, |view| {
            let mut draws = Draws::default();
            let report = cuda.draw(view, objective, key(), &mut draws).unwrap();
            (cuda.download_draws(&draws).unwrap(), report)
        })
    };
    let (first, second) = (once(), once());
    let bits = |list: &[Draw<f32>]| -> Vec<u32> { list.iter().map(|draw| draw.log_prob.to_bits()).collect() };
    assert_eq!(first, second, "two runs differ");
    assert_eq!(bits(&first.0), bits(&second.0), "two runs differ");
    first
}

fn near(got: f64, want: f64, tolerance: f64) -> bool {
    (got - want).abs() <= tolerance * want.abs().max(1.0) || got == want
}

/// Whether a draw of the device is as good as the reference's: two candidates tie within rounding.
///
/// For a weighted draw: the uniform number lies within rounding of the interval of what the device drew. For the rules
/// that look for the nearest: both are as far. For a band: an end of the band lies on a candidate.
fn ties(batch: &Batch, sampler: &Sampler<f32>, got: &Draw<f32>, index: u32) -> bool {
    let anchor = got.triplet.anchor;
    let label = batch.labels[anchor as usize];
    let negatives = || (0..batch.count() as u32).filter(|&j| batch.labels[j as usize] != label);
    match sampler {
        Sampler::DistanceWeighted(weighting) => {
            let end = match weighting.far() {
                FarCut::None => f64::INFINITY,
                FarCut::At(cut) => f64::from(cut),
                FarCut::Active { margin } => f64::from(margin + batch.betas[anchor as usize]),
            };
            let [power, bend, ln_cap] = weighting.law().map(f64::from);
            let ln_weight =
                |d: f64| (-(power * d.ln() + bend * ((2.0 - d) * (2.0 + d) / 4.0).ln())).min(ln_cap);
            let largest = negatives()
                .map(|j| batch.distance(anchor, j))
                .filter(|&d| d < end)
                .map(ln_weight)
                .fold(f64::NEG_INFINITY, f64::max);
            let mut running = 0.0;
            let mut interval = (0.0, 0.0);
            for j in negatives() {
                let d = batch.distance(anchor, j);
                let weight = if d < end { (ln_weight(d) - largest).exp() } else { 0.0 };
                if j == got.triplet.negative {
                    interval = (running, running + weight);
                }
                running += weight;
            }
            let uniform = key().uniform(anchor, index) * running;
            // Log-weights in f32: the exponent times a rounding of the logarithm.
            let slack = running * (1e-6 + 4e-7 * power);
            interval.0 - slack <= uniform && uniform <= interval.1 + slack
        }
        Sampler::SemihardBand { margin } => {
            let from = batch.distance(anchor, got.triplet.positive);
            let ends = [from, from + f64::from(*margin)];
            negatives().any(|j| ends.iter().any(|end| (batch.distance(anchor, j) - end).abs() < 1e-6))
        }
        _ => false,
    }
}

fn draws_agree(cuda: &Cuda, batch: &Batch, sampler: &Sampler<f32>) -> usize {
    let what = format!("{sampler:?} on {} of {}", batch.count(), batch.dim);
    let loss = Loss::Triplet(TripletLoss::plain(0.2).unwrap());
    let objective = objective(loss, sampler.clone(), Reduction::Mean);
    let mut want = Vec::new();
    let wanted = Reference.draw(batch.host(), &objective, key(), &mut want).unwrap();
    let (got, report) = drawn_twice(cuda, batch, &objective);
    assert_eq!(got.len(), want.len(), "{what}");
    let mut differ = 0;
    let (mut anchor, mut index) = (u32::MAX, 0);
    for (got, want) in got.iter().zip(&want) {
        index = if got.triplet.anchor == anchor { index + 1 } else { 0 };
        anchor = got.triplet.anchor;
        assert_eq!(
            (got.triplet.anchor, got.triplet.positive),
            (want.triplet.anchor, want.triplet.positive),
            "{what}"
        );
        if got.triplet.negative == want.triplet.negative {
            assert_eq!(got.second, want.second, "{what}");
            let (p, q) = (f64::from(got.log_prob), f64::from(want.log_prob));
            let power = sampler.weighting().map_or(0.0, |weighting| f64::from(weighting.law()[0]));
            assert!((p - q).abs() <= 2e-6 * (1.0 + q.abs()) + 4e-7 * power, "{what}: {p} for {q}");
        } else {
            assert!(ties(batch, sampler, got, index), "{what}: {got:?} for {want:?}");
            differ += 1;
        }
    }
    let counts = |r: DrawReport| [r.anchors, r.triplets, r.without_candidate, r.anchors_without_candidate];
    assert_eq!(counts(report), counts(wanted), "{what}");
    let effective = (report.effective_negatives, wanted.effective_negatives);
    assert!(near(effective.0, effective.1, 1e-3), "{what}: {effective:?} effective negatives");
    assert!(
        near(report.capped, wanted.capped, 1e-9),
        "{what}: {} capped for {}",
        report.capped,
        wanted.capped
    );
    differ
}

#[test]
fn every_sampler_draws_what_the_reference_draws() {
    let Some(cuda) = device() else { return };
    for batch in batches() {
        for sampler in samplers_that_draw() {
            let ties = draws_agree(cuda, &batch, &sampler);
            assert!(ties <= 2, "{ties} near-ties with {sampler:?} on {} rows", batch.count());
            println!("{ties} near-ties with {sampler:?} on {} rows", batch.count());
        }
    }
    for sampler in [Sampler::Semihard, Sampler::DistanceWeighted(weightings().remove(0))] {
        assert!(large().iter().all(|batch| draws_agree(cuda, batch, &sampler) <= 1), "{sampler:?}");
    }
}

#[test]
fn samplers_that_draw_nothing_report_the_same() {
    let Some(cuda) = device() else { return };
    for batch in batches() {
        let mut samplers = vec![Sampler::All];
        samplers.extend(weightings().into_iter().map(Sampler::Expected));
        for sampler in samplers {
            let loss = Loss::Triplet(TripletLoss::plain(0.2).unwrap());
            let objective = objective(loss, sampler.clone(), Reduction::Mean);
            let want = Reference.draw(batch.host(), &objective, key(), &mut Vec::new()).unwrap();
            let (draws, got) = drawn_twice(cuda, &batch, &objective);
            assert!(draws.is_empty());
            assert!(
                near(got.effective_negatives, want.effective_negatives, 1e-3),
                "{sampler:?}: {got:?} {want:?}"
            );
            assert!(near(got.capped, want.capped, 1e-9), "{sampler:?}: {got:?} {want:?}");
            let rest = |r: DrawReport| DrawReport { effective_negatives: 0.0, capped: 0.0, ..r };
            assert_eq!(rest(got), rest(want), "{sampler:?}");
        }
    }
}

#[test]
fn a_collapsed_batch_draws_by_capped_weights() {
    let Some(cuda) = device() else { return };
    // All rows the same but for the last, which points the other way.
    let mut batch = Batch::new(8, 40, 8, 5);
    let row = batch.x[..8].to_vec();
    batch.x.chunks_exact_mut(8).for_each(|x| x.copy_from_slice(&row));
    batch.x[39 * 8..].iter_mut().for_each(|v| *v = -*v);
    for sampler in samplers_that_draw() {
        assert_eq!(draws_agree(cuda, &batch, &sampler), 0, "{sampler:?}");
    }
}

#[test]
fn moments_of_negatives_agree() {
    let Some(cuda) = device() else { return };
    for batch in batches().into_iter().chain(large()) {
        let want = Reference.negative_moments(batch.host()).unwrap();
        let once = || on_device(cuda, &batch, |view| cuda.negative_moments(view).unwrap());
        let got = once();
        assert_eq!(got, once(), "two runs differ");
        assert_eq!(got.pairs, want.pairs);
        assert!(near(got.cos_squared, want.cos_squared, 2e-6), "{got:?} {want:?}");
        let logs = (got.ln_one_minus_cos_squared, want.ln_one_minus_cos_squared);
        assert!(near(logs.0, logs.1, 2e-6), "{got:?} {want:?}");
    }
}

/// Holds value and gradients against the reference, both with the reference's draws.
fn loss_agrees(
    cuda: &Cuda,
    batch: &Batch,
    objective: &Objective<f32>,
    draws: &[Draw<f32>],
    tolerance: Tolerance,
) {
    let what = format!("{objective:?} on {} of {}", batch.count(), batch.dim);
    let (mut dx, mut dbetas) = (vec![0.0; batch.anchors() * batch.dim], vec![0.0; batch.anchors()]);
    let want = Reference.loss(batch.host(), objective, &draws.to_vec(), &mut dx, &mut dbetas).unwrap();
    twice(|| {
        on_device(cuda, batch, |view| {
            let (mut dxs, mut slopes) = (fresh(cuda, dx.len()), fresh(cuda, dbetas.len()));
            let draws = cuda.upload_draws(draws).unwrap();
            let got = cuda.loss(view, objective, &draws, &mut dxs, &mut slopes).unwrap();
            let slack = match tolerance {
                Exact => 1e-12,
                Weights { power } => 2e-5 + 4e-7 * f64::from(power),
                _ => 2e-5,
            };
            let LossReport { loss, active, terms } = got;
            for (got, want) in [(loss, want.loss), (active, want.active), (terms, want.terms)] {
                assert!(near(got, want, slack), "{what}: {got} for {want}");
            }
            vec![
                check(&format!("dx of {what}"), cuda, &dxs, &dx, tolerance),
                check(&format!("dbetas of {what}"), cuda, &slopes, &dbetas, tolerance),
                vec![loss as f32, active as f32, terms as f32],
            ]
        })
    });
}

const REDUCTIONS: [Reduction; 3] = [Reduction::MeanActive, Reduction::Mean, Reduction::Sum];

#[test]
fn losses_of_drawn_tuples_agree_bit_for_bit() {
    let Some(cuda) = device() else { return };
    let losses = [
        Loss::Contrastive(Contrastive::new(1.1).unwrap()),
        Loss::Triplet(TripletLoss::squared(0.2).unwrap()),
        Loss::Triplet(TripletLoss::plain(0.2).unwrap()),
        Loss::Margin(Margin::new(0.2, 0.0).unwrap()),
        Loss::Margin(Margin::new(0.2, 0.03).unwrap()),
        Loss::Quadruplet(Quadruplet::new(0.3, 0.2).unwrap()),
    ];
    for batch in batches() {
        for (loss, reduction) in losses.iter().flat_map(|loss| REDUCTIONS.map(|reduction| (*loss, reduction)))
        {
            let objective = objective(loss, Sampler::SemihardBand { margin: 0.5 }, reduction);
            let mut draws = Vec::new();
            Reference.draw(batch.host(), &objective, key(), &mut draws).unwrap();
            loss_agrees(cuda, &batch, &objective, &draws, Exact);
        }
    }
}

#[test]
fn losses_without_active_terms_are_exactly_zero() {
    let Some(cuda) = device() else { return };
    let batch = Batch::new(5, 40, 18, 5);
    let mut draws = Vec::new();
    let far = |sampler| {
        objective(Loss::Contrastive(Contrastive::new(0.0).unwrap()), sampler, Reduction::MeanActive)
    };
    Reference.draw(batch.host(), &far(Sampler::Uniform), key(), &mut draws).unwrap();
    // Tuples of far negatives alone: a triplet loss without margin has nothing to do.
    draws.retain(|draw| {
        let [a, p, n] = [draw.triplet.anchor, draw.triplet.positive, draw.triplet.negative];
        batch.distance(a, p) < batch.distance(a, n)
    });
    assert!(!draws.is_empty());
    let idle =
        objective(Loss::Triplet(TripletLoss::plain(0.0).unwrap()), Sampler::Uniform, Reduction::MeanActive);
    loss_agrees(cuda, &batch, &idle, &draws, Exact);
    loss_agrees(cuda, &batch, &idle, &[], Exact);
    // And a batch of one class has no triplet at all.
    let alone = Batch::new(2, 6, 4, 1);
    for loss in [
        Loss::Triplet(TripletLoss::squared(0.2).unwrap()),
        Loss::Lifted(Lifted::new(1.0).unwrap()),
        Loss::NPair(NPair::new(8.0).unwrap()),
    ] {
        loss_agrees(cuda, &alone, &objective(loss, Sampler::All, Reduction::MeanActive), &[], Exact);
    }
}

#[test]
fn draws_of_the_device_feed_its_losses() {
    let Some(cuda) = device() else { return };
    for batch in batches() {
        let margin = Loss::Margin(Margin::new(0.2, 0.01).unwrap());
        let sampler =
            Sampler::DistanceWeighted(weighting(12.0, Cap::Near(0.5), FarCut::At(0.9), EmptyRow::Skip));
        let objective = objective(margin, sampler, Reduction::MeanActive);
        on_device(cuda, &batch, |view| {
            let mut draws = Draws::default();
            cuda.draw(view, &objective, key(), &mut draws).unwrap();
            let host = cuda.download_draws(&draws).unwrap();
            let again = cuda.upload_draws(&host).unwrap();
            let run = |draws: &Draws| {
                let (mut dx, mut dbetas) =
                    (fresh(cuda, batch.anchors() * batch.dim), fresh(cuda, batch.anchors()));
                let report = cuda.loss(view, &objective, draws, &mut dx, &mut dbetas).unwrap();
                let (mut gradient, mut slopes) =
                    (vec![0.0; batch.anchors() * batch.dim], vec![0.0; batch.anchors()]);
                cuda.download(&dx, &mut gradient).unwrap();
                cuda.download(&dbetas, &mut slopes).unwrap();
                (gradient, slopes, report.active, report.terms)
            };
            // Places that hold no tuple change nothing.
            assert_eq!(run(&draws), run(&again));
        });
    }
}

#[test]
fn losses_of_whole_rows_agree() {
    let Some(cuda) = device() else { return };
    let takes_all = [
        Loss::NPair(NPair::new(8.0).unwrap()),
        Loss::Lifted(Lifted::new(1.0).unwrap()),
        Loss::MultiSimilarity(MultiSimilarity::new(2.0, 50.0, 0.5).unwrap()),
    ];
    let takes_any = [
        Loss::Contrastive(Contrastive::new(1.1).unwrap()),
        Loss::Triplet(TripletLoss::squared(0.2).unwrap()),
        Loss::Triplet(TripletLoss::plain(0.2).unwrap()),
        Loss::Margin(Margin::new(0.2, 0.03).unwrap()),
    ];
    for batch in batches() {
        for reduction in REDUCTIONS {
            for loss in takes_all.iter().chain(&takes_any) {
                loss_agrees(cuda, &batch, &objective(*loss, Sampler::All, reduction), &[], Product);
            }
        }
        for weighting in weightings() {
            for loss in takes_any {
                let objective = objective(loss, Sampler::Expected(weighting.clone()), Reduction::MeanActive);
                let [power, ..] = weighting.law();
                loss_agrees(cuda, &batch, &objective, &[], Weights { power });
            }
        }
    }
    // More than one tile of rows.
    for large in large() {
        loss_agrees(cuda, &large, &objective(takes_all[1], Sampler::All, Reduction::Mean), &[], Product);
        let sampler = Sampler::Expected(weightings().remove(0));
        let objective = objective(takes_any[3], sampler, Reduction::Mean);
        loss_agrees(cuda, &large, &objective, &[], Weights { power: 18.0 });
    }
}
