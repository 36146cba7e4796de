//! Isotonic regression against scikit-learn. Its laws stand beside its code.

use nearfar_core::isotonic::{Direction, Isotonic, Options};
use nearfar_tests::tolerance::{Precision::Double, Quantity, tolerance};
use nearfar_tests::vectors;
use serde::Deserialize;

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    increasing: bool,
    x: Vec<f64>,
    y: Vec<f64>,
    w: Vec<f64>,
    queries: Vec<f64>,
    fit: Vec<f64>,
}

#[test]
fn fits_with_ties_and_weights_are_those_of_scikit_learn() {
    let vectors: Vectors = vectors::read("isotonic");
    assert_eq!(vectors.cases.len(), 8);
    for (at, case) in vectors.cases.into_iter().enumerate() {
        let direction = if case.increasing { Direction::Increasing } else { Direction::Decreasing };
        let options = Options { direction, ..Options::default() };
        let curve = Isotonic::fit(&case.x, &case.y, Some(&case.w), options).unwrap();
        for (query, wanted) in case.queries.iter().zip(&case.fit) {
            let error = (curve.predict(*query).unwrap() - wanted).abs();
            assert!(error < tolerance(Quantity::Isotonic, Double), "case {at} at {query}: off by {error:e}");
        }
    }
}

#[derive(Deserialize)]
struct Documented {
    cases: Vec<DocumentedCase>,
}

#[derive(Deserialize)]
struct DocumentedCase {
    name: String,
    auto: bool,
    #[serde(flatten)]
    case: Case,
}

#[test]
fn the_documented_cases_of_scikit_learn_come_out_the_same() {
    let vectors: Documented = vectors::read("isotonic-documented");
    assert_eq!(vectors.cases.len(), 13);
    for DocumentedCase { name, auto, case } in vectors.cases {
        let direction = match (auto, case.increasing) {
            (true, _) => Direction::Auto,
            (false, true) => Direction::Increasing,
            (false, false) => Direction::Decreasing,
        };
        let options = Options { direction, ..Options::default() };
        let curve = Isotonic::fit(&case.x, &case.y, Some(&case.w), options).unwrap();
        assert_eq!(curve.is_increasing(), case.increasing, "{name}");
        let scale = case.y.iter().fold(1.0_f64, |most, y| most.max(y.abs()));
        for (query, wanted) in case.queries.iter().zip(&case.fit) {
            let error = (curve.predict(*query).unwrap() - wanted).abs() / scale;
            assert!(error < tolerance(Quantity::Isotonic, Double), "{name} at {query}: off by {error:e}");
        }
    }
}
