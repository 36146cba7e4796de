//! Samplers against their exact laws: chi-squared over whole rows, in the dimensions where peers underflow.

use nearfar_core::kernel::fast::Fast;
use nearfar_core::kernel::scalar::Reference;
use nearfar_core::kernel::{Backend, BatchView};
use nearfar_core::{
    Cap, Draw, EmptyRow, FarCut, Key, Loss, Objective, Reduction, Row, Sampler, Scalar, Stream, TripletLoss,
    Weighting,
};
use nearfar_tests::generate::{clusters, labels, sphere};
use nearfar_tests::oracle;
use nearfar_tests::stat::chi_squared;
use nearfar_tests::tolerance::{Precision, Quantity, tolerance};

/// Every sampler by its name on the command line, with a numeric parameter where it has one. `complete.rs` holds it
/// against the list of the program.
pub(crate) fn samplers<T: Scalar>(dim: usize) -> Vec<(&'static str, Sampler<T>)> {
    let weighting =
        |far| Weighting::new(dim as f64, Cap::Near(T::from_f64(0.5)), far, EmptyRow::Skip).unwrap();
    vec![
        ("uniform", Sampler::Uniform),
        ("hard", Sampler::Hard),
        ("semihard", Sampler::Semihard),
        ("semihard-band", Sampler::SemihardBand { margin: T::from_f64(0.2) }),
        ("distance-weighted", Sampler::DistanceWeighted(weighting(FarCut::None))),
        ("expected", Sampler::Expected(weighting(FarCut::None))),
        ("all", Sampler::All),
    ]
}

/// The exact law of a sampler's negative for one anchor and positive, by definition.
fn law(name: &str, labels: &[u32], d: &[f64], anchor: usize, positive: usize, dim: usize) -> Vec<f64> {
    let negative = |j: usize| labels[j] != labels[anchor];
    let among = |keep: &dyn Fn(usize) -> bool| -> Vec<f64> {
        let count = (0..labels.len()).filter(|&j| negative(j) && keep(j)).count().max(1) as f64;
        (0..labels.len()).map(|j| if negative(j) && keep(j) { 1.0 / count } else { 0.0 }).collect()
    };
    let least = |beyond: f64| {
        (0..labels.len())
            .filter(|&j| negative(j) && d[j] > beyond)
            .map(|j| d[j])
            .fold(f64::INFINITY, f64::min)
    };
    match name {
        "uniform" => among(&|_| true),
        "hard" => among(&|j| d[j] == least(-1.0)),
        "semihard" => among(&|j| d[j] == least(d[positive])),
        "semihard-band" => among(&|j| d[positive] < d[j] && d[j] < d[positive] + 0.2),
        "distance-weighted" => oracle::inverse_density(labels, d, anchor, dim as f64, 0.5, f64::INFINITY),
        other => panic!("{other} draws nothing"),
    }
}

fn distances(x: &[f64], dim: usize, anchor: usize) -> Vec<f64> {
    x.chunks_exact(dim).map(|other| oracle::distance(&x[anchor * dim..][..dim], other)).collect()
}

/// 20,000 draws of each of three anchors, for each sampler that draws, at D = 2, 3, 16, 128, 512, 2048.
#[test]
fn draws_follow_the_exact_law_in_every_dimension() {
    for dim in [2, 3, 16, 128, 512, 2048] {
        let (x, labels) = clusters(dim as u64, 15, 4, dim, 3.0);
        follow_the_law(dim, &x, &labels, labels.len(), [0, 17, 59]);
    }
}

/// The same with 22 rows for a batch and 38 remembered ones, two of them of the last anchor's class.
#[test]
fn with_a_memory_draws_follow_the_exact_law() {
    for dim in [3, 16, 128] {
        let (x, labels) = clusters(dim as u64, 15, 4, dim, 3.0);
        follow_the_law(dim, &x, &labels, 22, [0, 17, 21]);
    }
}

fn follow_the_law(dim: usize, x: &[f64], labels: &[u32], anchors: usize, of: [usize; 3]) {
    const DRAWS: u32 = 20_000;
    for (name, sampler) in samplers::<f64>(dim).into_iter().filter(|(_, s)| s.draws()) {
        for anchor in of {
            let d = distances(x, dim, anchor);
            let row = Row { anchor, anchors, labels, distances: &d, beta: 1.2 };
            let positives: Vec<usize> = row.positives().collect();
            let mut counts = vec![vec![0_u64; labels.len()]; labels.len()];
            let key = Key::new(5, Stream::Negatives, 1);
            let mut worst = 0.0_f64;
            sampler.draw_row(&row, Some(DRAWS), key, &mut vec![0.0; labels.len()], &mut |draw| {
                let (p, n) = (draw.triplet.positive as usize, draw.triplet.negative as usize);
                assert_ne!(labels[n], labels[anchor], "{name} drew a positive or the anchor");
                assert!(p < anchors, "{name} took a remembered positive");
                counts[p][n] += 1;
                let exact = law_of(name, labels, &d, anchor, p, dim, n);
                worst = worst.max((draw.log_prob - exact).abs());
            });
            let allowed = tolerance(Quantity::LogProbability, Precision::Double);
            assert!(worst < allowed, "{name} at D = {dim}: log-probability off by {worst:e}");
            for &p in &positives {
                if counts[p].iter().all(|&c| c == 0) {
                    continue; // no candidate for this positive, which only the semi-hard rules know
                }
                let law = law(name, labels, &d, anchor, p, dim);
                chi_squared(&counts[p], &law)
                    .unwrap_or_else(|e| panic!("{name} at D = {dim}, anchor {anchor}, positive {p}: {e}"));
            }
        }
    }
}

/// `ln` of the exact probability of one draw. The law is remembered by the caller's loop being short: it is cheap.
fn law_of(name: &str, labels: &[u32], d: &[f64], anchor: usize, p: usize, dim: usize, n: usize) -> f64 {
    thread_local! {
        static LAST: std::cell::RefCell<(String, Vec<f64>)> = const { std::cell::RefCell::new((String::new(), Vec::new())) };
    }
    LAST.with_borrow_mut(|(key, known)| {
        let wanted = format!("{name} {anchor} {p} {dim}");
        if *key != wanted {
            *known = law(name, labels, d, anchor, p, dim);
            *key = wanted;
        }
        known[n].ln()
    })
}

/// Draws of a whole batch by a backend.
fn drawn<T: Scalar, B: Backend<T>>(backend: &B, sampler: Sampler<T>, x: &[f64], labels: &[u32]) -> Drawn<T> {
    let host: Vec<T> = x.iter().map(|&v| T::from_f64(v)).collect();
    let (mut embeddings, mut betas) = (backend.zeros(x.len()).unwrap(), backend.zeros(labels.len()).unwrap());
    backend.upload(&host, &mut embeddings).unwrap();
    backend.upload(&vec![T::from_f64(1.2); labels.len()], &mut betas).unwrap();
    let indices = backend.indices(labels).unwrap();
    let count = labels.len();
    let view = BatchView {
        embeddings: &embeddings,
        labels: &indices,
        betas: &betas,
        anchors: count,
        count,
        dim: x.len() / labels.len(),
    };
    let loss = Loss::Triplet(TripletLoss::plain(T::from_f64(0.2)).unwrap());
    let objective = Objective::new(loss, sampler, Reduction::MeanActive).unwrap();
    let mut draws = B::Draws::default();
    let report = backend.draw(view, &objective, Key::new(3, Stream::Negatives, 4), &mut draws).unwrap();
    (backend.download_draws(&draws).unwrap(), report)
}

type Drawn<T> = (Vec<Draw<T>>, nearfar_core::DrawReport);

#[test]
fn no_anchor_is_lost_in_single_precision_at_high_dimension() {
    let fast = Fast::new(2).unwrap();
    for dim in [512, 2048] {
        for (x, labels) in [clusters(9, 30, 4, dim, 1.0), (sphere(9, 120, dim), labels(30, 4))] {
            let weighting =
                Weighting::new(dim as f64, Cap::Near(0.5_f32), FarCut::None, EmptyRow::Skip).unwrap();
            let (draws, report) = drawn(&fast, Sampler::DistanceWeighted(weighting), &x, &labels);
            assert_eq!(
                (report.anchors, report.triplets, report.without_candidate),
                (120, 360, 0),
                "D = {dim}"
            );
            assert!(draws.iter().all(|draw| draw.log_prob.is_finite()));
            assert!(
                draws
                    .iter()
                    .all(|d| labels[d.triplet.negative as usize] != labels[d.triplet.anchor as usize])
            );
            for draw in &draws {
                let anchor = draw.triplet.anchor as usize;
                let d = distances(&x, dim, anchor);
                let exact = oracle::inverse_density(&labels, &d, anchor, dim as f64, 0.5, f64::INFINITY)
                    [draw.triplet.negative as usize]
                    .ln();
                let error = (f64::from(draw.log_prob) - exact).abs();
                // Distances near sqrt(2) in f32 carry 1e-7; times the slope of ln q, up to n/d, it is all there is.
                let allowed = tolerance(Quantity::LogProbability, Precision::Single) + 2e-6 * dim as f64;
                assert!(error < allowed, "D = {dim}: log-probability off by {error}");
            }
        }
    }
}

#[test]
fn draws_are_the_same_for_any_number_of_threads_and_for_an_anchor_alone() {
    let (x, labels) = clusters(4, 12, 5, 16, 2.0);
    for (name, sampler) in samplers::<f64>(16).into_iter().filter(|(_, s)| s.draws()) {
        let (one, report) = drawn(&Fast::new(1).unwrap(), sampler.clone(), &x, &labels);
        for threads in [2, 3] {
            let (more, other) = drawn(&Fast::new(threads).unwrap(), sampler.clone(), &x, &labels);
            assert!(one == more && report == other, "{name} with {threads} threads");
        }
        let (plain, _) = drawn(&Reference, sampler.clone(), &x, &labels);
        assert!(
            one.iter().zip(&plain).all(|(a, b)| a.triplet == b.triplet),
            "{name}: the reference draws others"
        );
        let anchor = 31;
        let d = distances(&x, 16, anchor);
        let row = Row { anchor, anchors: labels.len(), labels: &labels, distances: &d, beta: 1.2 };
        let mut alone = Vec::new();
        let key = Key::new(3, Stream::Negatives, 4);
        sampler.draw_row(&row, None, key, &mut [0.0; 60], &mut |draw| alone.push(draw.triplet));
        let within = one.iter().map(|draw| draw.triplet).filter(|t| t.anchor == anchor as u32);
        assert!(within.eq(alone), "{name}: a row alone draws others");
    }
}

#[test]
fn the_report_adds_up() {
    let (x, labels) = clusters(4, 12, 5, 16, 2.0);
    for (name, sampler) in samplers::<f64>(16) {
        let draws_some = sampler.draws();
        let (draws, report) = drawn(&Reference, sampler, &x, &labels);
        assert_eq!(report.triplets, draws.len() as u64, "{name}");
        assert_eq!(report.anchors, 60, "{name}");
        if draws_some {
            assert_eq!(
                report.triplets + report.without_candidate,
                240,
                "{name}: each pair draws or is counted"
            );
        }
        let mean = report.effective_negatives / 60.0;
        assert!((0.0..=55.0 + 1e-9).contains(&mean), "{name}: {mean} effective negatives");
    }
}
