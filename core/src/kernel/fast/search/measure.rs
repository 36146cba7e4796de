//! What a pair that came through the comparison of products is measured by, and how a query keeps it.

use super::Set;
use crate::distance::{squared_distance, squared_from_product};
use crate::kernel::{Neighbour, squared_distance_double};

/// A way to measure pairs.
pub(super) trait Measure: Send {
    /// Whether the product has to be one chain of fused steps; it may be one of bf16 otherwise.
    const BY_CHAIN: bool;
    type Squared: Squared;

    /// Squared distance of row `i` to row `j` of `columns`, whose product is `product`.
    fn squared(rows: &Set<'_>, i: usize, columns: &Set<'_>, j: usize, product: f32) -> Self::Squared;
}

/// By the product, near pairs from their differences \[R2\].
pub(super) struct ByProduct;

impl Measure for ByProduct {
    const BY_CHAIN: bool = true;
    type Squared = f32;

    #[inline(always)]
    fn squared(rows: &Set<'_>, i: usize, columns: &Set<'_>, j: usize, product: f32) -> f32 {
        squared_from_product(rows.squares[i], columns.squares[j], product, || {
            squared_distance(rows.rows.row(i), columns.rows.row(j))
        })
    }
}

/// By whatever product is at hand, for a guess.
pub(super) struct Rough;

impl Measure for Rough {
    const BY_CHAIN: bool = false;
    type Squared = f32;

    #[inline(always)]
    fn squared(rows: &Set<'_>, i: usize, columns: &Set<'_>, j: usize, product: f32) -> f32 {
        (rows.squares[i] + columns.squares[j] - 2.0 * product).max(0.0)
    }
}

/// From the differences, in double precision.
pub(super) struct ByDifferences;

impl Measure for ByDifferences {
    const BY_CHAIN: bool = false;
    type Squared = f64;

    #[inline(always)]
    fn squared(rows: &Set<'_>, i: usize, columns: &Set<'_>, j: usize, _: f32) -> f64 {
        squared_distance_double(rows.rows.row(i), columns.rows.row(j))
    }
}

/// A squared distance, and the keys that order candidates by it, the lower index first among equals: its bits, which
/// order as it does, above the index.
pub(super) trait Squared: Copy + PartialOrd + From<f32> {
    type Key: Copy + Default + Ord + Send;
    /// What is told of a candidate.
    type Found: Copy + Default + Send;

    fn key(self, candidate: u32) -> Self::Key;
    /// A squared distance beyond which nobody stands who is before `key`.
    fn bound(key: Self::Key) -> f32;
    fn found(key: Self::Key) -> Self::Found;
}

impl Squared for f32 {
    type Key = u64;
    type Found = u32;

    #[inline(always)]
    fn key(self, candidate: u32) -> u64 {
        u64::from(self.to_bits()) << 32 | u64::from(candidate)
    }

    #[inline(always)]
    fn bound(key: u64) -> f32 {
        f32::from_bits((key >> 32) as u32)
    }

    fn found(key: u64) -> u32 {
        key as u32
    }
}

impl Squared for f64 {
    type Key = u128;
    type Found = Neighbour;

    #[inline(always)]
    fn key(self, candidate: u32) -> u128 {
        u128::from(self.to_bits()) << 32 | u128::from(candidate)
    }

    #[inline(always)]
    fn bound(key: u128) -> f32 {
        // To nearest, which may be below it: then the next one.
        let squared = Self::found(key).squared;
        let nearest = squared as f32;
        if f64::from(nearest) < squared { nearest.next_up() } else { nearest }
    }

    #[inline(always)]
    fn found(key: u128) -> Neighbour {
        Neighbour { index: key as u32, squared: f64::from_bits((key >> 32) as u64) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_order_as_distances_and_then_as_indices_do() {
        let squared = [0.0, 1e-300, 1.0 - f64::EPSILON, 1.0, 1.0 + f64::EPSILON, 3e38, f64::INFINITY];
        let keys = squared.into_iter().flat_map(|d| [0, 7, u32::MAX].map(|candidate| d.key(candidate)));
        assert!(keys.is_sorted_by(|a, b| a < b));
        let single = [0.0, 1e-45, 1.0, 1.0 + f32::EPSILON, f32::INFINITY];
        let keys = single.into_iter().flat_map(|d| [0, 7, u32::MAX].map(|candidate| d.key(candidate)));
        assert!(keys.is_sorted_by(|a, b| a < b));
        for d in squared {
            let bound = f64::bound(d.key(3));
            assert!(f64::from(bound) >= d && f64::from(bound.next_down()) < d.max(f64::MIN_POSITIVE), "{d}");
            assert_eq!(f64::found(d.key(3)), Neighbour { index: 3, squared: d });
        }
        assert_eq!((f32::bound(0.5_f32.key(9)), f32::found(0.5_f32.key(9))), (0.5, 9));
    }
}
