//! Losses of a batch: every loss and reduction, on drawn tuples and on whole rows.

use nearfar_core::kernel::{Backend, scalar::Reference};
use nearfar_core::{
    Cap, Contrastive, Draw, EmptyRow, FarCut, Lifted, Loss, LossReport, Margin, MultiSimilarity, NPair,
    Objective, Quadruplet, Reduction, Sampler, TripletLoss,
};
use nearfar_cuda::{Cuda, Draws};

use crate::batches::{Batch, batches, key, large, near, objective, on_device, weighting, weightings};
use crate::bench::{
    Tolerance::{self, Exact, Product, Weights},
    check, device, fresh, twice,
};

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
