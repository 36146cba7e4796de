//! Draws and moments of a batch: every sampler, cut and policy, on batches of any shape.

use nearfar_core::kernel::{Backend, scalar::Reference};
use nearfar_core::{Draw, DrawReport, FarCut, Loss, Objective, Quadruplet, Reduction, Sampler, TripletLoss};
use nearfar_cuda::{Cuda, Draws};

use crate::batches::{
    Batch, batches, key, large, near, objective, on_device, samplers_that_draw, weightings,
};
use crate::bench::device;

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
    // The one loss that takes a sample of a third class with each tuple.
    let loss = Loss::Quadruplet(Quadruplet::new(0.2, 0.1).unwrap());
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
