//! Verification, calibration and one-shot trials in numbers: against scikit-learn, by brute force, and their laws.

use nearfar_core::isotonic::{Direction, Isotonic, Options};
use nearfar_core::metric::bootstrap::class_intervals;
use nearfar_core::metric::verify::{Crossing, Judged, KFold, Roc, VerifyError};
use nearfar_core::{Key, Stream};
use nearfar_tests::tolerance::{Precision::Double, Quantity, tolerance};
use nearfar_tests::vectors;
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    distance: Vec<f64>,
    same: Vec<u8>,
    auc: f64,
    eer: f64,
    tar_at_far: Vec<[f64; 2]>,
}

fn judged(distance: f64, same: bool) -> Judged {
    Judged { distance, same }
}

fn close(got: f64, wanted: f64) -> bool {
    (got - wanted).abs() < tolerance(Quantity::Verification, Double)
}

#[test]
fn auc_eer_and_rates_are_those_of_scikit_learn() {
    let vectors: Vectors = vectors::read("verification");
    assert_eq!(vectors.cases.len(), 6);
    for (at, case) in vectors.cases.into_iter().enumerate() {
        let pairs: Vec<Judged> =
            case.distance.iter().zip(&case.same).map(|(&d, &same)| judged(d, same == 1)).collect();
        let roc = Roc::of(&pairs).unwrap();
        assert!(close(roc.auc(), case.auc), "case {at}: {} {}", roc.auc(), case.auc);
        let eer = roc.eer(Crossing::Points);
        assert!(close(eer, case.eer), "case {at}: {eer} {}", case.eer);
        for [far, tar] in case.tar_at_far {
            let got = roc.at_far(far).unwrap();
            assert!(close(got.tar, tar) && got.far <= far, "case {at} at {far}: {got:?} {tar}");
        }
    }
}

/// Pairs on a coarse grid, so that ties are many, with at least one of each kind.
fn pairs() -> impl Strategy<Value = Vec<Judged>> {
    prop::collection::vec((0..12_u32, any::<bool>()), 2..60).prop_map(|list| {
        let mut list: Vec<Judged> = list.into_iter().map(|(d, s)| judged(f64::from(d) / 8.0, s)).collect();
        (list[0].same, list[1].same) = (true, false);
        list
    })
}

/// Shares of right answers, and of accepted pairs of each kind, by counting.
fn by_counting(pairs: &[Judged], threshold: f64) -> [f64; 3] {
    let share = |kind: bool| {
        let of: Vec<_> = pairs.iter().filter(|p| p.same == kind).collect();
        of.iter().filter(|p| p.distance <= threshold).count() as f64 / of.len() as f64
    };
    let right = pairs.iter().filter(|p| (p.distance <= threshold) == p.same).count();
    [right as f64 / pairs.len() as f64, share(true), share(false)]
}

/// Equal error rate on the edges that the blocks of an isotonic fit are.
fn eer_by_blocks(pairs: &[Judged]) -> f64 {
    let distances: Vec<f64> = pairs.iter().map(|p| p.distance).collect();
    let same: Vec<f64> = pairs.iter().map(|p| f64::from(u8::from(p.same))).collect();
    let options = Options { direction: Direction::Decreasing, ..Options::default() };
    let curve = Isotonic::fit(&distances, &same, None, options).unwrap();
    let all = same.iter().sum::<f64>();
    let (mut far, mut frr) = (0.0, 1.0);
    for block in curve.blocks() {
        let next_far = far + block.weight * (1.0 - block.level) / (pairs.len() as f64 - all);
        let next_frr = frr - block.weight * block.level / all;
        if next_far >= next_frr {
            let share = (frr - far) / ((frr - far) + (next_far - next_frr));
            return far + share * (next_far - far);
        }
        (far, frr) = (next_far, next_frr);
    }
    f64::NAN
}

proptest! {
    #[test]
    fn auc_counts_ordered_pairs(pairs in pairs()) {
        let (mut sum, mut count) = (0.0, 0.0);
        for one in pairs.iter().filter(|p| p.same) {
            for other in pairs.iter().filter(|p| !p.same) {
                count += 1.0;
                sum += if one.distance < other.distance { 1.0 } else if one.distance == other.distance { 0.5 } else { 0.0 };
            }
        }
        let roc = Roc::of(&pairs).unwrap();
        prop_assert!((roc.auc() - sum / count).abs() < 1e-12);
        // Seen in a mirror, everything that was in order is out of it.
        let mirrored: Vec<_> = pairs.iter().map(|p| judged(-p.distance, p.same)).collect();
        prop_assert!((roc.auc() + Roc::of(&mirrored).unwrap().auc() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn only_the_order_of_distances_counts(pairs in pairs()) {
        let roc = Roc::of(&pairs).unwrap();
        let bent: Vec<_> = pairs.iter().map(|p| judged(p.distance.exp(), p.same)).collect();
        let bent = Roc::of(&bent).unwrap();
        prop_assert_eq!(roc.auc(), bent.auc());
        for crossing in [Crossing::Points, Crossing::Hull] {
            prop_assert_eq!(roc.eer(crossing), bent.eer(crossing));
        }
        prop_assert_eq!(roc.best().accuracy, bent.best().accuracy);
    }

    #[test]
    fn both_kinds_of_error_play_the_same_part(pairs in pairs()) {
        // Rejecting in a mirror is accepting: FAR and FRR change places, and their crossing stays.
        let mirrored: Vec<_> = pairs.iter().map(|p| judged(-p.distance, !p.same)).collect();
        let (roc, mirrored) = (Roc::of(&pairs).unwrap(), Roc::of(&mirrored).unwrap());
        for crossing in [Crossing::Points, Crossing::Hull] {
            prop_assert!((roc.eer(crossing) - mirrored.eer(crossing)).abs() < 1e-12);
        }
    }

    #[test]
    fn the_hull_is_what_isotonic_regression_finds(pairs in pairs()) {
        let roc = Roc::of(&pairs).unwrap();
        prop_assert!((roc.eer(Crossing::Hull) - eer_by_blocks(&pairs)).abs() < 1e-12);
        prop_assert!(roc.eer(Crossing::Hull) <= roc.eer(Crossing::Points) + 1e-15);
    }

    #[test]
    fn thresholds_do_what_they_say(pairs in pairs(), far in 0.0..1.0_f64) {
        let roc = Roc::of(&pairs).unwrap();
        let everywhere = || (-1..26).map(|i| f64::from(i) / 16.0);
        let most = everywhere().map(|t| by_counting(&pairs, t)[0]).fold(0.0, f64::max);
        prop_assert!((roc.best().accuracy - most).abs() < 1e-12);
        let best_tar = everywhere().map(|t| by_counting(&pairs, t)).filter(|c| c[2] <= far).map(|c| c[1]).fold(0.0, f64::max);
        let strict = roc.at_far(far).unwrap();
        prop_assert!((strict.tar - best_tar).abs() < 1e-12 && strict.far <= far);
        for point in [roc.best(), strict, roc.at_threshold(0.7)] {
            let counted = by_counting(&pairs, point.threshold);
            for (got, wanted) in [point.accuracy, point.tar, point.far].into_iter().zip(counted) {
                prop_assert!((got - wanted).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn no_fold_sees_its_own_threshold(list in prop::collection::vec((0..12_u32, any::<bool>(), 0..4_u32), 30..60)) {
        let pairs: Vec<_> = list.iter().map(|&(d, s, _)| judged(f64::from(d) / 8.0, s)).collect();
        let folds: Vec<u32> = list.iter().map(|l| 7 * l.2).collect();
        let Ok(result) = KFold::of(&pairs, &folds) else { return Ok(()) };
        let mut sum = 0.0;
        for fold in &result.folds {
            let part = |inside: bool| -> Vec<Judged> {
                pairs.iter().zip(&folds).filter(|(_, f)| (**f == fold.fold) == inside).map(|(p, _)| *p).collect()
            };
            prop_assert_eq!(fold.threshold, Roc::of(&part(false)).unwrap().best().threshold);
            let own = part(true);
            prop_assert_eq!(fold.pairs as usize, own.len());
            let right = own.iter().filter(|p| (p.distance <= fold.threshold) == p.same).count();
            prop_assert!((fold.accuracy - right as f64 / own.len() as f64).abs() < 1e-12, "{:?} {}", fold, right);
            sum += fold.accuracy;
        }
        prop_assert!((result.mean - sum / result.folds.len() as f64).abs() < 1e-12);
        // The order of the file does not matter.
        let backwards = |v: &[Judged]| v.iter().rev().copied().collect::<Vec<_>>();
        let labels: Vec<u32> = folds.iter().rev().copied().collect();
        prop_assert_eq!(KFold::of(&backwards(&pairs), &labels).unwrap(), result);
    }
}

#[test]
fn pairs_that_cannot_be_judged_are_errors_with_their_value() {
    let (near, far) = (judged(0.5, true), judged(1.5, false));
    assert_eq!(Roc::of(&[far, far]), Err(VerifyError::NoSame));
    assert_eq!(Roc::of(&[near]), Err(VerifyError::NoDifferent));
    assert_eq!(Roc::of(&[]), Err(VerifyError::NoSame));
    for value in [f64::INFINITY, f64::NEG_INFINITY] {
        let error = Roc::of(&[near, judged(value, false)]).unwrap_err();
        assert_eq!(error, VerifyError::Distance { index: 1, value });
    }
    let error = KFold::of(&[near, far, judged(f64::NAN, true)], &[0, 1, 1]).unwrap_err();
    assert!(matches!(error, VerifyError::Distance { index: 2, value } if value.is_nan()));
    assert_eq!(KFold::of(&[near, far], &[3, 3]), Err(VerifyError::OneFold(3)));
    assert_eq!(KFold::of(&[near, far], &[3]), Err(VerifyError::Folds { folds: 1, pairs: 2 }));
    // Without fold 0 only near pairs are left.
    assert_eq!(KFold::of(&[near, far, near], &[0, 0, 1]), Err(VerifyError::OneSided(0)));
    let roc = Roc::of(&[near, far]).unwrap();
    for bad in [-0.1, 1.1] {
        assert_eq!(roc.at_far(bad), Err(VerifyError::Far(bad)));
    }
    assert!(roc.at_far(f64::NAN).is_err());
}

#[test]
fn a_collapsed_embedding_is_worth_a_coin() {
    let pairs: Vec<_> = (0..10).map(|i| judged(0.0, i % 2 == 0)).collect();
    let roc = Roc::of(&pairs).unwrap();
    assert_eq!((roc.auc(), roc.eer(Crossing::Points), roc.eer(Crossing::Hull)), (0.5, 0.5, 0.5));
    assert_eq!(roc.at_far(0.1).unwrap().tar, 0.0);
    assert_eq!(roc.best().accuracy, 0.5);
}

/// 400 sets of 30 classes of 10 queries whose share of right answers is drawn for each class: an interval that takes
/// queries for independent would hold the truth in two cases of three; this one in about nineteen of twenty.
#[test]
fn intervals_hold_the_truth_as_often_as_they_say() {
    let (sets, classes, each) = (400, 30, 10);
    let mut held = 0;
    let mut held_by_queries = 0;
    for set in 0..sets {
        let key = Key::new(set, Stream::Init, 0);
        let mut values = Vec::new();
        let mut of = Vec::new();
        for class in 0..classes {
            let share = key.uniform(class, 1000); // mean 1/2: that is the truth
            for query in 0..each {
                values.push(f64::from(u8::from(key.uniform(class, query) < share)));
                of.push(class);
            }
        }
        let bootstrap = Key::new(set, Stream::Bootstrap, 0);
        let interval = class_intervals(&[&values], &of, 0.95, bootstrap).unwrap()[0];
        held += u32::from(interval.low <= 0.5 && 0.5 <= interval.high);
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        held_by_queries += u32::from((mean - 0.5).abs() <= 1.96 * (mean * (1.0 - mean) / n).sqrt());
    }
    let share = f64::from(held) / sets as f64;
    // Binomial with 400 trials of 0.95 has deviation 0.011; the percentile interval of 30 classes is a little narrow.
    assert!((0.90..=0.985).contains(&share), "{share}");
    assert!(f64::from(held_by_queries) / (sets as f64) < 0.85, "{held_by_queries}");
}
