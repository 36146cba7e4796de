//! Retrieval against brute force and pytorch-metric-learning, clustering against scikit-learn.

use nearfar::quality::retrieval;
use nearfar_core::kernel::Backend;
use nearfar_core::kernel::fast::Fast;
use nearfar_core::kernel::scalar::Reference;
use nearfar_core::metric::cluster::Agreement;
use nearfar_core::metric::exact;
use nearfar_core::metric::retrieval::Retrieval;
use nearfar_tests::generate::{clusters, labels, single, sphere};
use nearfar_tests::oracle;
use nearfar_tests::tolerance::{Precision, Precision::Double, Quantity, tolerance};
use nearfar_tests::vectors;
use serde::Deserialize;

const KS: [usize; 5] = [1, 2, 4, 8, 50];

/// Name, embeddings, dimension, labels.
type Case = (&'static str, Vec<f64>, usize, Vec<u32>);

fn cases() -> Vec<Case> {
    let (clustered, of) = clusters(3, 20, 6, 16, 1.2);
    // Every third row is a copy of an earlier one, of its own class or of another.
    let mut duplicated = clustered.clone();
    for i in (2..120).step_by(3) {
        let from = (i * 7) % i;
        duplicated.copy_within(from * 16..(from + 1) * 16, i * 16);
    }
    let mut with_singles = of.clone();
    with_singles[5] = 100;
    with_singles[77] = 101;
    let one = sphere(1, 1, 8);
    vec![
        ("random", sphere(2, 150, 8), 8, labels(30, 5)),
        ("clustered", clustered.clone(), 16, of.clone()),
        ("duplicates", duplicated, 16, of),
        ("collapsed", one.repeat(60), 8, labels(12, 5)),
        ("classes of one", clustered, 16, with_singles),
    ]
}

fn compare<B: Backend<f64>>(backend: &B) {
    for (name, x, dim, labels) in cases() {
        let got = retrieval(backend, &x, dim, &labels, &KS).unwrap();
        let wanted = oracle::retrieval(&x, dim, &labels, &KS);
        let pairs = got.recall.iter().zip(&wanted.recall);
        let close = |a: f64, b: f64| (a - b).abs() < tolerance(Quantity::Retrieval, Double);
        assert!(pairs.clone().all(|(a, b)| close(*a, *b)), "{name}: {got:?}, {wanted:?}");
        assert!(close(got.r_precision, wanted.r_precision), "{name}: {got:?}, {wanted:?}");
        assert!(close(got.map_at_r, wanted.map_at_r), "{name}: {got:?}, {wanted:?}");
        assert_eq!(got.without_match, wanted.without_match, "{name}");
    }
}

#[test]
fn retrieval_is_brute_force_on_both_backends() {
    compare(&Reference);
    compare(&Fast::new(2).unwrap());
}

#[test]
fn retrieval_in_single_precision_differs_by_ties_only() {
    let fast = Fast::new(2).unwrap();
    for (name, x, dim, labels) in cases() {
        let got = retrieval(&fast, &single(&x), dim, &labels, &KS).unwrap();
        let wanted = oracle::retrieval(&x, dim, &labels, &KS);
        let error = (got.map_at_r - wanted.map_at_r).abs();
        assert!(error < tolerance(Quantity::Retrieval, Precision::Single), "{name}: {error}");
    }
}

#[test]
fn retrieval_of_single_precision_rows_is_brute_force_to_the_last_place() {
    let fast = Fast::new(2).unwrap();
    for (name, x, dim, labels) in cases() {
        let rows = single(&x);
        let ranks = exact::match_ranks(&fast, dim, 50, exact::Labeled { rows: &rows, labels: &labels }, None);
        let got = Retrieval::of(&ranks.unwrap(), &KS);
        let same: Vec<f64> = rows.iter().map(|&v| f64::from(v)).collect();
        let wanted = oracle::retrieval(&same, dim, &labels, &KS);
        let pairs = got.recall.iter().zip(&wanted.recall);
        let all = pairs.chain([(&got.r_precision, &wanted.r_precision), (&got.map_at_r, &wanted.map_at_r)]);
        for (got, wanted) in all {
            assert!((got - wanted).abs() < tolerance(Quantity::Retrieval, Double), "{name}: {got}, {wanted}");
        }
    }
}

#[test]
fn a_collapsed_embedding_scores_near_zero() {
    let x = sphere(1, 1, 8).repeat(60);
    let got = retrieval(&Fast::new(1).unwrap(), &x, 8, &labels(12, 5), &KS).unwrap();
    assert_eq!((got.recall[0], got.map_at_r), (0.0, 0.0));
}

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Labelings>,
}

#[derive(Deserialize)]
struct Labelings {
    one: Vec<u32>,
    other: Vec<u32>,
    nmi: f64,
    nmi_geometric: f64,
    ami: f64,
}

#[test]
fn agreement_is_that_of_scikit_learn() {
    let vectors: Vectors = vectors::read("metrics");
    for (at, case) in vectors.cases.into_iter().enumerate() {
        let agreement = Agreement::of(&case.one, &case.other);
        let pairs = [
            (agreement.nmi_arithmetic(), case.nmi),
            (agreement.nmi_geometric(), case.nmi_geometric),
            (agreement.ami(), case.ami),
        ];
        for (got, wanted) in pairs {
            assert!(
                (got - wanted).abs() < tolerance(Quantity::Agreement, Double),
                "case {at}: {got}, {wanted}"
            );
        }
    }
}

#[derive(Deserialize)]
struct Accuracies {
    cases: Vec<Accuracy>,
}

#[derive(Deserialize)]
struct Accuracy {
    dim: usize,
    x: Vec<f64>,
    labels: Vec<u32>,
    clustering: Vec<u32>,
    recall_at_1: f64,
    r_precision: f64,
    map_at_r: f64,
    nmi: f64,
    ami: f64,
    nmi_sklearn: f64,
    nmi_geometric: f64,
    ami_sklearn: f64,
}

#[test]
fn quality_is_that_of_pytorch_metric_learning_and_scikit_learn() {
    let vectors: Accuracies = vectors::read("accuracy");
    assert_eq!(vectors.cases.len(), 3);
    for (at, case) in vectors.cases.into_iter().enumerate() {
        let got = retrieval(&Fast::new(1).unwrap(), &case.x, case.dim, &case.labels, &KS).unwrap();
        let agreement = Agreement::of(&case.labels, &case.clustering);
        let pairs = [
            ("Recall@1", got.recall[0], case.recall_at_1),
            ("Precision@1", got.precision[0], case.recall_at_1),
            ("R-precision", got.r_precision, case.r_precision),
            ("MAP@R", got.map_at_r, case.map_at_r),
            ("NMI", agreement.nmi_arithmetic(), case.nmi),
            ("AMI", agreement.ami(), case.ami),
            ("NMI", agreement.nmi_arithmetic(), case.nmi_sklearn),
            ("geometric NMI", agreement.nmi_geometric(), case.nmi_geometric),
            ("AMI", agreement.ami(), case.ami_sklearn),
        ];
        for (name, got, wanted) in pairs {
            // The other side works in single precision, on data without ties in it.
            assert!((got - wanted).abs() < 1e-6, "case {at}, {name}: {got} {wanted}");
        }
    }
}

#[test]
fn precision_at_k_counts_matches_among_the_k_nearest() {
    for (name, x, dim, labels) in cases() {
        let got = retrieval(&Fast::new(1).unwrap(), &x, dim, &labels, &KS).unwrap();
        let wanted = oracle::retrieval(&x, dim, &labels, &KS).precision;
        let close = |(a, b): (&f64, &f64)| (a - b).abs() < tolerance(Quantity::Retrieval, Double);
        assert!(got.precision.iter().zip(&wanted).all(close), "{name}: {:?} {wanted:?}", got.precision);
    }
}
