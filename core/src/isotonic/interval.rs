//! The interval form: thresholds between grades, after IntervalRank (Moon, Smola, Chang, Zheng, WSDM 2010).
//!
//! Each grade of one query owns an interval of scores, the intervals lie in order with a gap of twice the margin, and
//! scores are moved as little as possible to get into theirs. For fixed thresholds the moves are clamps, so what is
//! left is convex in the thresholds. With two grades it is the squared margin loss with a boundary of the query's own.

use alloc::vec::Vec;
use core::fmt;

/// Best thresholds between the grades of one query.
///
/// ```text
/// minimise  sum_i max(0, s_i + alpha - t_g)² + max(0, t_(g-1) + alpha - s_i)²,   g the grade of i
/// such that t_k - t_(k-1) >= 2 alpha
/// ```
/// over `t_0 <= ... <= t_(K-2)`, the thresholds between K grades `0..K`; terms with a threshold that does not exist
/// are left out. Higher grades want higher scores. Where grades are already apart, the lowest minimiser is taken.
/// Exact, by pooling adjacent violators of `t_k - 2 alpha k`. O(K n log n) at worst.
///
/// ```
/// use nearfar_core::isotonic::interval_thresholds;
/// // One violating pair, 0.3 above 0.1: the threshold settles half way.
/// let t = interval_thresholds(&[0.3, 0.1], &[0, 1], 0.0)?;
/// assert!((t[0] - 0.2).abs() < 1e-15);
/// # Ok::<(), nearfar_core::isotonic::IntervalError>(())
/// ```
pub fn interval_thresholds(scores: &[f64], grades: &[u32], alpha: f64) -> Result<Vec<f64>, IntervalError> {
    if scores.len() != grades.len() {
        return Err(IntervalError::Length { scores: scores.len(), grades: grades.len() });
    }
    if let Some(index) = scores.iter().position(|s| !s.is_finite()) {
        return Err(IntervalError::Score { index, value: scores[index] });
    }
    if !(alpha >= 0.0 && alpha.is_finite()) {
        return Err(IntervalError::Margin(alpha));
    }
    let top = grades.iter().copied().max().unwrap_or(0);
    for grade in 0..=top {
        if !grades.contains(&grade) {
            return Err(IntervalError::Empty { grade });
        }
    }
    // Threshold k, shifted by 2 alpha k so that "apart" becomes "in order".
    let mut pools: Vec<Pool> = Vec::new();
    for k in 0..top {
        let shift = 2.0 * alpha * f64::from(k);
        let mut bends: Vec<Bend> = Vec::new();
        for (&s, &grade) in scores.iter().zip(grades) {
            if grade == k {
                bends.push(Bend { at: s + alpha - shift, below: true });
            } else if grade == k + 1 {
                bends.push(Bend { at: s - alpha - shift, below: false });
            }
        }
        let mut pool = Pool::of(bends, 1);
        while pools.last().is_some_and(|last| last.level >= pool.level) {
            let last = pools.pop().expect("it was just looked at");
            pool = Pool::of([last.bends, pool.bends].concat(), last.thresholds + pool.thresholds);
        }
        pools.push(pool);
    }
    let levels = pools.iter().flat_map(|pool| core::iter::repeat_n(pool.level, pool.thresholds));
    Ok((0..top).zip(levels).map(|(k, level)| level + 2.0 * alpha * f64::from(k)).collect())
}

/// One score's say on a threshold: it pushes while the threshold is below (or above) `at`, by twice the distance.
#[derive(Clone, Copy)]
struct Bend {
    at: f64,
    below: bool,
}

/// Thresholds that share a level.
struct Pool {
    bends: Vec<Bend>,
    thresholds: usize,
    level: f64,
}

impl Pool {
    /// With the lowest root of the derivative `sum over active bends of 2 (t - at)`, which rises with t.
    fn of(mut bends: Vec<Bend>, thresholds: usize) -> Self {
        bends.sort_unstable_by(|a, b| a.at.total_cmp(&b.at));
        let mut count = bends.iter().filter(|bend| bend.below).count();
        let mut sum: f64 = bends.iter().filter(|bend| bend.below).map(|bend| bend.at).sum();
        let mut level = bends.last().map_or(0.0, |bend| bend.at);
        for bend in &bends {
            // Up to this bend the same scores push: the root is their mean, if it lies here.
            if count == 0 || sum <= bend.at * count as f64 {
                level = if count == 0 { bend.at } else { sum / count as f64 };
                break;
            }
            if bend.below {
                count -= 1;
                sum -= bend.at;
            } else {
                count += 1;
                sum += bend.at;
            }
        }
        Self { bends, thresholds, level }
    }
}

/// Why there are no thresholds.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum IntervalError {
    /// Scores and grades differ in number.
    Length {
        /// Scores.
        scores: usize,
        /// Grades.
        grades: usize,
    },
    /// A score is NaN or infinite.
    Score {
        /// Where.
        index: usize,
        /// The score.
        value: f64,
    },
    /// The margin is negative or not finite.
    Margin(f64),
    /// A grade below the highest has no score.
    Empty {
        /// The grade.
        grade: u32,
    },
}

impl fmt::Display for IntervalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Length { scores, grades } => write!(f, "{grades} grades for {scores} scores"),
            Self::Score { index, value } => write!(f, "score {index} is {value}"),
            Self::Margin(alpha) => write!(f, "margin {alpha} is not a finite number of at least 0"),
            Self::Empty { grade } => write!(f, "no score has grade {grade}"),
        }
    }
}

impl core::error::Error for IntervalError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn loss(scores: &[f64], grades: &[u32], alpha: f64, t: &[f64]) -> f64 {
        let square = |v: f64| v.max(0.0) * v.max(0.0);
        let term = |(&s, &g): (&f64, &u32)| {
            let above = t.get(g as usize).map_or(0.0, |t| square(s + alpha - t));
            let below = if g > 0 { square(t[g as usize - 1] + alpha - s) } else { 0.0 };
            above + below
        };
        scores.iter().zip(grades).map(term).sum()
    }

    #[test]
    fn grades_that_are_apart_cost_nothing() {
        let (scores, grades) = ([0.0, 1.0, 2.0], [0, 1, 2]);
        let t = interval_thresholds(&scores, &grades, 0.2).unwrap();
        assert_eq!(loss(&scores, &grades, 0.2, &t), 0.0);
    }

    #[test]
    fn a_missing_grade_is_named() {
        assert_eq!(interval_thresholds(&[1.0, 2.0], &[0, 2], 0.1), Err(IntervalError::Empty { grade: 1 }));
    }

    proptest! {
        #[test]
        fn no_thresholds_on_a_grid_are_better(
            scores in prop::collection::vec(0.0..1.0_f64, 9..10),
            alpha in 0.0..0.2_f64,
        ) {
            let grades = [0, 0, 0, 1, 1, 1, 2, 2, 2];
            let t = interval_thresholds(&scores, &grades, alpha).unwrap();
            prop_assert!(t[1] - t[0] >= 2.0 * alpha - 1e-12);
            let best = loss(&scores, &grades, alpha, &t);
            for i in -10..60 {
                for j in -10..60 {
                    let other = [f64::from(i) * 0.025, f64::from(j) * 0.025];
                    if other[1] - other[0] >= 2.0 * alpha {
                        prop_assert!(best <= loss(&scores, &grades, alpha, &other) + 1e-12);
                    }
                }
            }
        }
    }
}
