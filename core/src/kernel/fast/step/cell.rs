//! Sums of weights that outlive their tile, of 32 anchors side by side: over the columns of one block, by which blocks
//! are chosen, and over those of a square, which are reported.
//!
//! Weights of f32 need a reference, since their logarithms span hundreds of octaves: sums are in units of
//! `2^reference`, a whole number for each anchor.

use super::tile::TILE;

/// Sums of the 32 anchors of a panel over a block.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Cell {
    pub(super) sum: [f32; TILE],
    pub(super) reference: [f32; TILE],
}

impl Cell {
    /// Adds sums of the same anchors over other columns.
    #[inline(always)]
    pub(super) fn add(&mut self, other: &Self) {
        for a in 0..TILE {
            let ends = [(self.sum[a], self.reference[a]), (other.sum[a], other.reference[a])];
            let (reference, [mine, theirs]) = common(ends);
            self.sum[a] = self.sum[a] * mine + other.sum[a] * theirs;
            self.reference[a] = reference;
        }
    }
}

/// What there is to report of the 32 anchors of a panel, over a square: sums of squares of weights, and counts, which
/// are whole numbers below 2^24.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Tally {
    pub(super) squares: [f32; TILE],
    pub(super) reference: [f32; TILE],
    pub(super) candidates: [f32; TILE],
    pub(super) capped: [f32; TILE],
}

impl Tally {
    /// Adds that of the same anchors over other columns.
    #[inline(always)]
    pub(super) fn add(&mut self, other: &Self) {
        for a in 0..TILE {
            let ends = [(self.squares[a], self.reference[a]), (other.squares[a], other.reference[a])];
            let (reference, [mine, theirs]) = common(ends);
            self.squares[a] = self.squares[a] * (mine * mine) + other.squares[a] * (theirs * theirs);
            self.reference[a] = reference;
            self.candidates[a] += other.candidates[a];
            self.capped[a] += other.capped[a];
        }
    }
}

/// The larger reference of two sums, and what both are multiplied by for it. What has no weight has no reference.
#[inline(always)]
fn common([(mine, my_reference), (theirs, their_reference)]: [(f32, f32); 2]) -> (f32, [f32; 2]) {
    let my_reference = if mine > 0.0 { my_reference } else { their_reference };
    let their_reference = if theirs > 0.0 { their_reference } else { my_reference };
    let reference = f32::max(my_reference, their_reference);
    (reference, [my_reference, their_reference].map(|own| power_of_two(own - reference)))
}

/// `2^x` for a whole number `x <= 0`; 0 below -126.
#[inline(always)]
fn power_of_two(x: f32) -> f32 {
    // The low bits of 1.5 2^23 + x are x; 127 makes an exponent of them.
    let bits = (f32::max(x, -127.0) + 12_582_912.0).to_bits();
    f32::from_bits(bits.wrapping_add(127) << 23)
}

/// `2^x` for a whole number `x <= 0`; 0 below -1022.
#[inline(always)]
pub(super) fn power_of_two_f64(x: f32) -> f64 {
    let bits = (f64::from(f32::max(x, -1023.0)) + 6_755_399_441_055_744.0).to_bits();
    f64::from_bits(bits.wrapping_add(1023) << 52)
}

/// `1/p` of a power of two between `2^-1022` and `2^1022`.
#[inline(always)]
pub(super) fn inverse(p: f64) -> f64 {
    f64::from_bits((2046 << 52) - p.to_bits())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_two_are_exact() {
        for x in -126..=0 {
            assert_eq!(power_of_two(x as f32), f32::powi(2.0, x));
        }
        for x in -1022..=0 {
            assert_eq!(power_of_two_f64(x as f32), f64::powi(2.0, x));
            assert_eq!(inverse(f64::powi(2.0, x)), f64::powi(2.0, -x));
        }
        assert_eq!((power_of_two(-127.0), power_of_two(-5000.0)), (0.0, 0.0));
        assert_eq!((power_of_two_f64(-1023.0), power_of_two_f64(f32::NEG_INFINITY)), (0.0, 0.0));
    }

    #[test]
    fn sums_over_different_references_add_up() {
        let cell = |sum, reference| Cell { sum: [sum; TILE], reference: [reference; TILE] };
        let mut kept = Cell::default();
        kept.add(&cell(3.0, 5.0));
        assert_eq!(kept, cell(3.0, 5.0), "a sum of nothing takes the other's reference");
        kept.add(&cell(1.0, 7.0));
        // 3 2^5 + 2^7 = (3/4 + 1) 2^7.
        assert_eq!((kept.sum[4], kept.reference[4]), (1.75, 7.0));
        kept.add(&cell(0.0, 900.0));
        assert_eq!((kept.sum[4], kept.reference[4]), (1.75, 7.0));
    }

    #[test]
    fn tallies_add_up_in_the_square_of_their_references() {
        let tally = |weight: f32, reference| Tally {
            squares: [weight * weight; TILE],
            reference: [reference; TILE],
            candidates: [1.0; TILE],
            capped: [weight; TILE],
        };
        let mut kept = Tally::default();
        kept.add(&tally(3.0, 5.0));
        assert_eq!(kept, tally(3.0, 5.0));
        kept.add(&tally(1.0, 7.0));
        // (3 2^5)^2 + (2^7)^2 = (9/16 + 1) 2^14.
        assert_eq!((kept.squares[4], kept.reference[4]), (1.5625, 7.0));
        kept.add(&tally(0.0, 900.0));
        assert_eq!((kept.squares[4], kept.reference[4]), (1.5625, 7.0));
        assert_eq!((kept.candidates[4], kept.capped[4]), (3.0, 4.0));
    }
}
