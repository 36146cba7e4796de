//! Every loss against PyTorch's autodiff, and against central differences off the kinks, on both backends.

use std::collections::BTreeMap;

use nearfar_core::kernel::fast::Fast;
use nearfar_core::kernel::scalar::Reference;
use nearfar_core::kernel::{Backend, BatchView};
use nearfar_core::{
    Cap, Contrastive, Draw, EmptyRow, FarCut, Lifted, Loss, LossReport, Margin, MultiSimilarity, NPair,
    Objective, Quadruplet, Reduction, Sampler, Scalar, Triplet, TripletLoss, Weighting,
    normalize_row_backward,
};
use nearfar_tests::generate::unit;
use nearfar_tests::gradcheck;
use nearfar_tests::tolerance::{Precision, Quantity, tolerance};
use nearfar_tests::vectors::{self, relative_error};
use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct Vectors {
    dim: usize,
    labels: Vec<u32>,
    z: Vec<f64>,
    beta: Vec<f64>,
    alpha: f64,
    alpha2: f64,
    scale: f64,
    nu: f64,
    tuples: Vec<[u32; 4]>,
    pub(crate) cases: Vec<Case>,
}

#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) loss: String,
    reduction: String,
    value: f64,
    active: f64,
    terms: f64,
    dx: Vec<f64>,
    dz: Vec<f64>,
    dbeta: Vec<f64>,
}

/// The objectives of the vectors, by the names that `make.py` gives them.
fn objectives<T: Scalar>(v: &Vectors, reduction: Reduction) -> BTreeMap<&'static str, Objective<T>> {
    let t = T::from_f64;
    let weighting = || {
        Weighting::new(v.dim as f64, Cap::Near(t(0.5)), FarCut::None, EmptyRow::Skip).expect("valid numbers")
    };
    let contrastive = || Loss::Contrastive(Contrastive::new(t(v.alpha + 1.0)).unwrap());
    let margin = |nu| Loss::Margin(Margin::new(t(v.alpha), t(nu)).unwrap());
    let triplet = || Loss::Triplet(TripletLoss::squared(t(v.alpha)).unwrap());
    let list = [
        ("contrastive", contrastive(), Sampler::Uniform),
        ("triplet", triplet(), Sampler::Uniform),
        ("triplet-l2", Loss::Triplet(TripletLoss::plain(t(v.alpha)).unwrap()), Sampler::Uniform),
        ("margin", margin(0.0), Sampler::Uniform),
        ("margin-nu", margin(v.nu), Sampler::Uniform),
        ("quadruplet", Loss::Quadruplet(Quadruplet::new(t(v.alpha), t(v.alpha2)).unwrap()), Sampler::Uniform),
        ("npair", Loss::NPair(NPair::new(t(v.scale)).unwrap()), Sampler::All),
        ("lifted", Loss::Lifted(Lifted::new(t(v.alpha)).unwrap()), Sampler::All),
        (
            "multi-similarity",
            Loss::MultiSimilarity(MultiSimilarity::new(t(2.0), t(50.0), t(0.5)).unwrap()),
            Sampler::All,
        ),
        ("margin-expected", margin(0.0), Sampler::Expected(weighting())),
        ("triplet-expected", triplet(), Sampler::Expected(weighting())),
        ("contrastive-all", contrastive(), Sampler::All),
    ];
    list.into_iter()
        .map(|(name, loss, sampler)| (name, Objective::new(loss, sampler, reduction).unwrap()))
        .collect()
}

fn draws<T: Scalar>(v: &Vectors) -> Vec<Draw<T>> {
    let draw = |&[anchor, positive, negative, second]: &[u32; 4]| Draw {
        triplet: Triplet { anchor, positive, negative },
        second: Some(second),
        log_prob: T::ZERO,
    };
    v.tuples.iter().map(draw).collect()
}

/// Value, gradient to the rows and to the boundaries.
fn evaluate<T: Scalar, B: Backend<T>>(
    backend: &B,
    v: &Vectors,
    objective: &Objective<T>,
    x: &[f64],
    betas: &[f64],
) -> (LossReport, Vec<f64>, Vec<f64>) {
    let put = |values: &[f64]| {
        let host: Vec<T> = values.iter().map(|&v| T::from_f64(v)).collect();
        let mut buffer = backend.zeros(host.len()).unwrap();
        backend.upload(&host, &mut buffer).unwrap();
        buffer
    };
    let (embeddings, betas) = (put(x), put(betas));
    let labels = backend.indices(&v.labels).unwrap();
    let count = v.labels.len();
    let view = BatchView {
        embeddings: &embeddings,
        labels: &labels,
        betas: &betas,
        anchors: count,
        count,
        dim: v.dim,
    };
    let draws = if objective.sampler().draws() {
        backend.upload_draws(&draws(v)).unwrap()
    } else {
        B::Draws::default()
    };
    let (mut dx, mut dbetas) = (put(&vec![9.0; x.len()]), put(&vec![9.0; count]));
    let report = backend.loss(view, objective, &draws, &mut dx, &mut dbetas).unwrap();
    let take = |buffer: &B::Buffer, len| {
        let mut host = vec![T::ZERO; len];
        backend.download(buffer, &mut host).unwrap();
        host.into_iter().map(T::to_f64).collect::<Vec<f64>>()
    };
    (report, take(&dx, x.len()), take(&dbetas, count))
}

fn reduction(name: &str) -> Reduction {
    match name {
        "mean-active" => Reduction::MeanActive,
        "mean" => Reduction::Mean,
        _ => Reduction::Sum,
    }
}

fn against_autodiff<T: Scalar, B: Backend<T>>(backend: &B, precision: Precision) {
    let v: Vectors = vectors::read("losses");
    let x = unit(&v.z, v.dim);
    let allowed = tolerance(Quantity::Loss, precision);
    for case in &v.cases {
        let objective = &objectives::<T>(&v, reduction(&case.reduction))[case.loss.as_str()];
        let (report, dx, dbetas) = evaluate(backend, &v, objective, &x, &v.beta);
        let name = format!("{} {} on {}", case.loss, case.reduction, backend.name());
        let value = relative_error(&[report.loss], &[case.value]);
        assert!(value < allowed, "{name}: value {} for {}", report.loss, case.value);
        assert!(
            (report.active - case.active).abs() < 1e-4 && (report.terms - case.terms).abs() < 1e-4,
            "{name}"
        );
        let error = relative_error(&dx, &case.dx);
        assert!(error < allowed, "{name}: gradient off by {error:e}");
        if case.dbeta.iter().any(|&g| g != 0.0) {
            let error = relative_error(&dbetas, &case.dbeta);
            assert!(error < allowed, "{name}: boundary gradient off by {error:e}");
        }
        let mut dz = vec![0.0; dx.len()];
        for row in 0..v.labels.len() {
            let at = row * v.dim..(row + 1) * v.dim;
            normalize_row_backward(&v.z[at.clone()], &x[at.clone()], &dx[at.clone()], &mut dz[at]);
        }
        let error = relative_error(&dz, &case.dz);
        assert!(error < allowed, "{name}: gradient through the normalisation off by {error:e}");
    }
}

#[test]
fn values_and_gradients_are_those_of_autodiff() {
    against_autodiff::<f64, _>(&Reference, Precision::Double);
    against_autodiff::<f64, _>(&Fast::new(2).unwrap(), Precision::Double);
    against_autodiff::<f32, _>(&Reference, Precision::Single);
    against_autodiff::<f32, _>(&Fast::new(2).unwrap(), Precision::Single);
}

#[test]
fn gradients_are_central_differences_off_the_kinks() {
    let v: Vectors = vectors::read("losses");
    let x = unit(&v.z, v.dim);
    for (name, objective) in objectives::<f64>(&v, Reduction::Sum) {
        // Weights of negatives are constants of the gradient, so the expected forms have no such check; autodiff
        // above holds them fixed too.
        if name.ends_with("expected") {
            continue;
        }
        let (_, dx, dbetas) = evaluate(&Reference, &v, &objective, &x, &v.beta);
        let (worst, skipped) =
            gradcheck::check(&x, &dx, |x| evaluate(&Reference, &v, &objective, x, &v.beta).0.loss);
        assert!(worst < tolerance(Quantity::Difference, Precision::Double), "{name}: {worst:e}");
        assert!(skipped * 10 <= x.len(), "{name}: {skipped} of {} coordinates lie at kinks", x.len());
        let (worst, _) = gradcheck::check(&v.beta, &dbetas, |betas| {
            evaluate(&Reference, &v, &objective, &x, betas).0.loss
        });
        assert!(worst < tolerance(Quantity::Difference, Precision::Double), "{name}, boundary: {worst:e}");
    }
}

#[test]
fn losses_move_with_a_rotation_of_everything() {
    // Swapping two coordinates and turning one around is an orthogonal map: values stay, gradients move along.
    let v: Vectors = vectors::read("losses");
    let x = unit(&v.z, v.dim);
    let turn = |rows: &[f64]| -> Vec<f64> {
        rows.chunks_exact(v.dim).flat_map(|row| [row[1], -row[0], row[3], row[2], row[4]]).collect()
    };
    for (name, objective) in objectives::<f64>(&v, Reduction::MeanActive) {
        let (straight, dx, _) = evaluate(&Reference, &v, &objective, &x, &v.beta);
        let (turned, turned_dx, _) = evaluate(&Reference, &v, &objective, &turn(&x), &v.beta);
        assert!((straight.loss - turned.loss).abs() < 1e-12, "{name}");
        assert!(relative_error(&turned_dx, &turn(&dx)) < 1e-11, "{name}");
    }
}
