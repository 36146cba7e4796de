//! The increasing fit of a quantile: least absolute deviations and their tilted kin.
//!
//! Slope trick: the least loss of the points so far, as a function of an upper bound on the last level, is convex,
//! piecewise linear and flat on its right. A heap holds where its slope changes, and by how much.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Ordering;

/// A place where the slope rises by `weight`.
#[derive(PartialEq)]
struct Bend {
    at: f64,
    weight: f64,
}

impl Eq for Bend {}
impl Ord for Bend {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.total_cmp(&other.at)
    }
}
impl PartialOrd for Bend {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Levels of groups of points (value, weight) that minimise `sum w (tau (y - f)₊ + (1 - tau) (f - y)₊)` among the
/// sequences that never fall. Of several minimisers the lowest. O(n log n).
pub(super) fn fit(groups: &[Vec<(f64, f64)>], tau: f64) -> Vec<f64> {
    let mut bends = BinaryHeap::new();
    let mut levels = Vec::with_capacity(groups.len());
    for group in groups {
        let mut excess = 0.0;
        for &(at, weight) in group {
            bends.push(Bend { at, weight });
            // On its right the new term rises by (1 - tau) w: as much is cut off from the top, to be flat again.
            excess += (1.0 - tau) * weight;
        }
        while excess > 0.0 {
            let Some(mut top) = bends.peek_mut() else { break };
            if top.weight > excess {
                top.weight -= excess;
                break;
            }
            excess -= top.weight;
            drop(top);
            bends.pop();
        }
        levels.push(bends.peek().map_or(f64::NEG_INFINITY, |top| top.at));
    }
    // The last level is free; each earlier one is as near to its own best as the next allows.
    for i in (1..levels.len()).rev() {
        if levels[i - 1] > levels[i] {
            levels[i - 1] = levels[i];
        }
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn loss(points: &[(f64, f64)], levels: &[f64], tau: f64) -> f64 {
        points
            .iter()
            .zip(levels)
            .map(|(&(y, w), &f)| w * if y > f { tau * (y - f) } else { (1.0 - tau) * (f - y) })
            .sum()
    }

    /// Least loss over all increasing sequences whose levels are values of the data: an optimum is among them.
    fn brute(points: &[(f64, f64)], tau: f64) -> f64 {
        let mut candidates: Vec<f64> = points.iter().map(|p| p.0).collect();
        candidates.sort_by(f64::total_cmp);
        // best[c]: least loss so far with the last level at most candidates[c].
        let mut best = alloc::vec![0.0; candidates.len()];
        for &point in points {
            let mut least = f64::INFINITY;
            for (best, &level) in best.iter_mut().zip(&candidates) {
                least = least.min(*best + loss(&[point], &[level], tau));
                *best = least;
            }
        }
        best[candidates.len() - 1]
    }

    proptest! {
        #[test]
        fn no_increasing_sequence_has_a_smaller_loss(
            points in prop::collection::vec((-9..9_i32, 1..4_u32), 1..12),
            tau in prop::sample::select(&[0.1, 0.25, 0.5, 0.9][..]),
        ) {
            let points: Vec<(f64, f64)> = points.into_iter().map(|(y, w)| (f64::from(y), f64::from(w))).collect();
            let groups: Vec<_> = points.iter().map(|&p| alloc::vec![p]).collect();
            let levels = fit(&groups, tau);
            prop_assert!(levels.windows(2).all(|pair| pair[0] <= pair[1]));
            prop_assert!((loss(&points, &levels, tau) - brute(&points, tau)).abs() < 1e-9);
        }
    }
}
