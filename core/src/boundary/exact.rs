//! The exact minimum of the margin loss in its boundary \[E10\], and what a penalty adds to it.
//!
//! For fixed distances the loss is convex and piecewise linear in beta. The penalty adds one constant slope to it, so all
//! that the minimum must know of a penalty is its weight. Source: ours.

use alloc::vec::Vec;

use super::{Boundary, BoundaryShape};
use crate::Scalar;
use crate::loss::Reduction;

/// How a boundary goes to the exact minimum of the margin loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BoundaryFit<T> {
    /// Margin of the loss.
    pub alpha: T,
    /// What the loss adds for its boundaries.
    pub penalty: Penalty<T>,
    /// Share of the way to the minimum.
    pub rate: T,
}

impl<T: Scalar> Boundary<T> {
    /// Moves each part in turn (beta0, then classes, then images) the share `rate` of the way to its exact minimum,
    /// the others held: block coordinate descent on the summed loss of `pairs` with its penalty, which never raises
    /// it at rate 1.
    ///
    /// ```text
    /// part <- part + rate (best - part),   best = the (P - w)-th smallest kink of the part's pairs       [E10]
    /// w = nu P         Penalty::PerTuple: each of the part's P tuples adds nu beta                        [E9]
    /// w = nu divisor   Penalty::Once: nu beta once, beside a loss divided by the divisor                  [E9]
    /// ```
    /// `pairs` are (anchor's place in `anchors`, distance, same class): of each tuple its positive and its negative,
    /// so that a part has as many tuples as positives. A part without pairs keeps its value, and so does one whose
    /// minimum is unbounded because the penalty outweighs its positives (`w >= P`).
    ///
    /// ```
    /// use nearfar_core::{Boundary, BoundaryFit, Penalty, Reduction};
    /// // Two tuples: positives at 0.5 and 0.7, negatives at 1.5 and 1.9; kinks 0.7, 0.9, 1.3, 1.7.
    /// let pairs = [(0, 0.5, true), (0, 1.5, false), (0, 0.7, true), (0, 1.9, false)];
    /// let best = |penalty| {
    ///     let mut boundary = Boundary::new(1.2_f64, 0, 0);
    ///     boundary.minimize(&[(0, 0)], &pairs, BoundaryFit { alpha: 0.2, penalty, rate: 1.0 });
    ///     boundary.base()
    /// };
    /// assert!((best(Penalty::PerTuple { nu: 0.0 }) - 0.9).abs() < 1e-15); // the second of four
    /// assert!((best(Penalty::PerTuple { nu: 0.5 }) - 0.7).abs() < 1e-15); // the first
    /// assert_eq!(best(Penalty::PerTuple { nu: 1.0 }), 1.2); // it would fall for ever: it stays
    /// // The mean of all four pairs divides by 4, so 0.25 beside it is 1 in the sum.
    /// assert!((best(Penalty::Once { nu: 0.25, reduction: Reduction::Mean }) - 0.7).abs() < 1e-15);
    /// ```
    pub fn minimize(&mut self, anchors: &[(u32, u32)], pairs: &[(u32, T, bool)], fit: BoundaryFit<T>) {
        self.shape.minimize(&mut self.parameters, |anchor| anchors[anchor as usize], pairs, fit);
    }
}

impl BoundaryShape {
    /// See [`Boundary::minimize`]; `of` says class and image of an anchor.
    pub(crate) fn minimize<T: Scalar>(
        self,
        parameters: &mut [T],
        of: impl Fn(u32) -> (u32, u32),
        pairs: &[(u32, T, bool)],
        fit: BoundaryFit<T>,
    ) {
        let BoundaryFit { alpha, penalty, rate } = fit;
        let active = |&&(anchor, distance, same): &&(u32, T, bool)| {
            let y = if same { T::ONE } else { -T::ONE };
            alpha + y * (distance - self.of(parameters, of(anchor))) > T::ZERO
        };
        let divisor = penalty.divisor(pairs.len(), || pairs.iter().filter(active).count());
        let mut groups: Vec<Vec<usize>> = alloc::vec![Vec::new(); self.count()];
        for (at, &(anchor, ..)) in pairs.iter().enumerate() {
            for part in self.parts(of(anchor)) {
                groups[part].push(at);
            }
        }
        let mut kinks = Vec::new();
        for (part, group) in groups.iter().enumerate() {
            kinks.clear();
            let mut positives = T::ZERO;
            for &at in group {
                let (anchor, distance, same) = pairs[at];
                let others: T = self
                    .parts(of(anchor))
                    .filter(|&other| other != part)
                    .map(|other| parameters[other])
                    .sum();
                positives += if same { T::ONE } else { T::ZERO };
                kinks.push(Kink::of_pair(distance - others, same, alpha));
            }
            let weight = penalty.weight(positives, divisor);
            if let Some(best) = exact_boundary(&mut kinks, positives, weight) {
                let value = &mut parameters[part];
                *value += rate * (best - *value);
            }
        }
    }
}

/// The penalty on boundaries \[E9\], beside the sum of the terms of all pairs: its total weight on a boundary that `P`
/// tuples share is `nu P` or `nu divisor`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Penalty<T> {
    /// Every tuple adds `nu` times its anchor's boundary, inside the mean. The form of the authors' code.
    PerTuple {
        /// Weight of the penalty.
        nu: T,
    },
    /// `nu` beta stands once beside the loss that `reduction` makes of the sum. The paper's form. Active pairs are
    /// counted at the boundaries as they stood before the first part moved.
    Once {
        /// Weight of the penalty.
        nu: T,
        /// Says what the sum of terms is divided by.
        reduction: Reduction,
    },
}

impl<T: Scalar> Penalty<T> {
    /// What the reduction divides the sum by, where the penalty stands beside it.
    fn divisor(self, pairs: usize, active: impl FnOnce() -> usize) -> T {
        match self {
            Self::PerTuple { .. } => T::ZERO,
            Self::Once { reduction: Reduction::MeanActive, .. } => T::from_usize(active()),
            Self::Once { reduction: Reduction::Mean, .. } => T::from_usize(pairs),
            Self::Once { reduction: Reduction::Sum, .. } => T::ONE,
        }
    }

    /// Total weight on a boundary that so many tuples share.
    fn weight(self, tuples: T, divisor: T) -> T {
        match self {
            Self::PerTuple { nu } => nu * tuples,
            Self::Once { nu, .. } => nu * divisor,
        }
    }
}

/// A boundary at which one pair of the margin loss turns on or off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kink<T> {
    /// `d + alpha` of a positive pair, `d - alpha` of a negative one.
    pub at: T,
    /// Weight of the pair.
    pub weight: T,
}

impl<T: Scalar> Kink<T> {
    /// The kink of a pair of weight 1.
    #[must_use]
    pub fn of_pair(distance: T, same: bool, alpha: T) -> Self {
        Self { at: if same { distance + alpha } else { distance - alpha }, weight: T::ONE }
    }
}

/// The boundary that minimises the summed margin loss of some pairs, plus `penalty` beta \[E10\].
///
/// The loss falls with slope `-P` far on the left (all positives active, total weight P) and each kink adds its
/// weight, so the minimum is where the running weight of the sorted kinks reaches `P - w`, w the total weight of the
/// penalty: for unit weights the `(P - w)`-th smallest, rounded up, of
/// `{d_pos + alpha} ∪ {d_neg - alpha}`. The lowest minimiser is returned; `None` if there is none: no kinks, or
/// `w >= P`, where the loss falls for ever. Sorts `kinks`. O(k log k).
///
/// ```
/// use nearfar_core::{Kink, exact_boundary};
/// // A positive at 0.5 and a negative at 1.5, alpha 0.2: anything in [0.7, 1.3] separates them.
/// let mut kinks = [Kink::of_pair(1.5, false, 0.2), Kink::of_pair(0.5, true, 0.2)];
/// assert_eq!(exact_boundary(&mut kinks, 1.0, 0.0), Some(0.7));
/// assert_eq!(exact_boundary(&mut kinks, 1.0, 1.0), None);
/// ```
pub fn exact_boundary<T: Scalar>(kinks: &mut [Kink<T>], positives: T, penalty: T) -> Option<T> {
    let target = positives - penalty;
    if !(target > T::ZERO) {
        return None;
    }
    kinks.sort_unstable_by(|a, b| a.at.partial_cmp(&b.at).unwrap_or(core::cmp::Ordering::Equal));
    let mut running = T::ZERO;
    for kink in &*kinks {
        running += kink.weight;
        if running >= target {
            return Some(kink.at);
        }
    }
    kinks.last().map(|kink| kink.at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::Margin;
    use crate::rng::{Key, Stream};

    /// All the way to the minimum.
    fn whole(penalty: Penalty<f64>) -> BoundaryFit<f64> {
        BoundaryFit { alpha: 0.2, penalty, rate: 1.0 }
    }

    fn pairs(seed: u64, count: u32) -> Vec<(u32, f64, bool)> {
        let key = Key::new(seed, Stream::Init, 0);
        (0..count).map(|i| (i % 6, 0.4 + key.uniform(i, 0), key.below(i, 1, 3) == 0)).collect()
    }

    fn total(boundary: &Boundary<f64>, anchors: &[(u32, u32)], pairs: &[(u32, f64, bool)]) -> f64 {
        let mut betas = Vec::new();
        boundary.of(anchors, &mut betas);
        let margin = Margin::new(0.2, 0.0).unwrap();
        pairs.iter().map(|&(a, d, same)| margin.pair(d, betas[a as usize], same).value).sum()
    }

    #[test]
    fn no_boundary_on_a_grid_is_better_than_the_exact_one() {
        for seed in 0..20 {
            let pairs = pairs(seed, 60);
            let positives = pairs.iter().filter(|p| p.2).count() as f64;
            for nu in [0.0, 3.0, 7.5] {
                let value = |beta: f64| total(&Boundary::new(beta, 0, 0), &[(0, 0); 6], &pairs) + nu * beta;
                let mut kinks: Vec<_> =
                    pairs.iter().map(|&(_, d, same)| Kink::of_pair(d, same, 0.2)).collect();
                let best = exact_boundary(&mut kinks, positives, nu).unwrap();
                for step in 0..400 {
                    assert!(value(best) <= value(f64::from(step) * 0.005) + 1e-12, "seed {seed}, nu {nu}");
                }
            }
        }
    }

    #[test]
    fn both_penalties_find_the_best_of_a_grid() {
        for seed in 0..20 {
            // One positive and one negative a tuple; three classes, a part each.
            let key = Key::new(seed, Stream::Init, 1);
            let (anchors, tuples) = ([(0, 0), (1, 1), (2, 2)], 40);
            let pairs: Vec<_> = (0..tuples)
                .flat_map(|i| {
                    [(i % 3, 0.3 + key.uniform(i, 0), true), (i % 3, 0.7 + key.uniform(i, 1), false)]
                })
                .collect();
            let mean =
                |beta: f64| total(&Boundary::new(beta, 0, 0), &[(0, 0); 3], &pairs) / f64::from(2 * tuples);
            for nu in [0.0, 0.03, 0.1, 0.3] {
                // The reduced loss of all pairs, as a run prints it, with its penalty in either form.
                let per_tuple =
                    |beta: f64| mean(beta) + nu * beta * f64::from(tuples) / f64::from(2 * tuples);
                let once = |beta: f64| mean(beta) + nu * beta;
                let values: [&dyn Fn(f64) -> f64; 2] = [&per_tuple, &once];
                let penalties = [Penalty::PerTuple { nu }, Penalty::Once { nu, reduction: Reduction::Mean }];
                for (penalty, value) in penalties.into_iter().zip(values) {
                    let mut boundary = Boundary::new(1.2, 0, 0);
                    boundary.minimize(&anchors, &pairs, whole(penalty));
                    for step in 0..500 {
                        let beta = f64::from(step) * 0.004;
                        assert!(
                            value(boundary.base()) <= value(beta) + 1e-12,
                            "seed {seed}, {penalty:?}, {beta}"
                        );
                    }
                }
                // Each class's part alone: the same, over the tuples of that class.
                let mut boundary = Boundary::new(1.2, 3, 0);
                boundary.minimize(&anchors, &pairs, whole(Penalty::PerTuple { nu }));
                let own: Vec<_> = pairs.iter().copied().filter(|pair| pair.0 == 2).collect();
                let value = |beta: f64| {
                    let penalty = nu * beta * (own.len() / 2) as f64;
                    total(&Boundary::new(beta, 0, 0), &[(0, 0); 3], &own) + penalty
                };
                let best = boundary.base() + boundary.classes()[2];
                for step in 0..500 {
                    assert!(value(best) <= value(f64::from(step) * 0.004) + 1e-12, "seed {seed}, nu {nu}");
                }
            }
        }
    }

    #[test]
    fn a_penalty_beside_the_mean_of_active_pairs_counts_them_where_the_parts_stood() {
        let (anchors, pairs) = ([(0, 0), (1, 1), (2, 2), (0, 3), (1, 4), (2, 5)], pairs(9, 90));
        let start = Boundary::new(1.1, 3, 0);
        let active = pairs.iter().filter(|&&pair| total(&start, &anchors, &[pair]) > 0.0).count();
        assert!(active > 20 && active < 80, "{active}");
        let [mut once, mut summed] = [start.clone(), start];
        once.minimize(&anchors, &pairs, whole(Penalty::Once { nu: 0.1, reduction: Reduction::MeanActive }));
        let nu = 0.1 * active as f64;
        summed.minimize(&anchors, &pairs, whole(Penalty::Once { nu, reduction: Reduction::Sum }));
        assert_eq!(once, summed);
        assert!(once.base() < 1.1 && once.classes() != [0.0; 3]);
    }

    #[test]
    fn block_coordinate_descent_never_raises_the_loss() {
        let anchors = [(0, 0), (0, 1), (1, 2), (1, 3), (2, 4), (2, 5)];
        let pairs = pairs(5, 120);
        let mut boundary = Boundary::new(1.9, 3, 6);
        let mut last = total(&boundary, &anchors, &pairs);
        for _ in 0..5 {
            boundary.minimize(&anchors, &pairs, whole(Penalty::PerTuple { nu: 0.0 }));
            let now = total(&boundary, &anchors, &pairs);
            assert!(now <= last + 1e-12, "{now} after {last}");
            last = now;
        }
    }
}
