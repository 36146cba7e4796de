//! One product of blocks of 32 x 32: the instruction of the tile units, or the same in plain numbers ([`plain`](super::plain)).
//!
//! ```text
//! c[i, j] = (c[i, j] +) sum over steps s of S_s(i, j)
//! S_s     = even + odd, where from k = 0 to 15 and from 0
//!           even = fma(a[i, 2k],     b[2k, j],     even)
//!           odd  = fma(a[i, 2k + 1], b[2k + 1, j], odd)
//! ```
//! Each operation rounds to nearest; a result below f32's normal numbers is 0. The order is the instruction's.

use core::hint::black_box;

use super::amx::Amx;
use crate::kernel::fast::InstructionSet;

/// Rows of a tile, and columns of a tile of sums.
pub(super) const TILE: usize = 16;
/// Rows and columns of a block: two tiles each way, so that each tile that is loaded is used twice.
pub(super) const BLOCK: usize = 2 * TILE;
/// Terms of a sum that one step adds.
pub(super) const STEP: usize = 32;
/// Numbers of the right side in a step.
pub(super) const PANEL: usize = STEP * BLOCK;

/// What multiplies.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernel::fast) enum Tiles {
    /// The tile units of this processor.
    Units(Amx),
    /// The same sums by other instructions.
    Plain(InstructionSet),
}

impl Tiles {
    /// The tile units, if the best instruction set is not held back and they are there.
    pub(in crate::kernel::fast) fn new(set: InstructionSet) -> Self {
        match Amx::new() {
            Some(amx) if set == InstructionSet::best() => Self::Units(amx),
            _ => Self::Plain(set),
        }
    }

    /// Whether the processor multiplies.
    pub(in crate::kernel::fast) fn are_units(self) -> bool {
        matches!(self, Self::Units(_))
    }

    /// A product whose operands stay in the first cache, again and again; returns its multiply-adds.
    pub(in crate::kernel::fast) fn work(self) -> f64 {
        const RUN: usize = 6;
        const ROUNDS: usize = 2_000;
        let (a, b) = (vec![0x3f80; BLOCK * RUN * STEP], vec![0x3f80; RUN * PANEL]);
        let mut c = vec![0.0; BLOCK * BLOCK];
        for _ in 0..ROUNDS {
            let (blocks, stride, starts, width) = (1, RUN * STEP, &[0], BLOCK);
            Product { blocks, a: &a, stride, starts, run: RUN, b: &b, add: false, c: &mut c, width }
                .run(self);
            black_box(&mut c);
        }
        (ROUNDS * BLOCK * BLOCK * RUN * STEP) as f64
    }
}

/// `c = a b`, or `c += a b` if `add`, for some blocks of rows and one block of columns.
pub(super) struct Product<'a> {
    /// Blocks of rows.
    pub(super) blocks: usize,
    /// The left side in bf16; a row is `stride` numbers behind the one before it.
    pub(super) a: &'a [u16],
    pub(super) stride: usize,
    /// Where the first row has its terms: from each start `run` steps.
    pub(super) starts: &'a [usize],
    pub(super) run: usize,
    /// The right side in bf16: for each step two tiles, `[2][16 pairs of terms][16 columns][2]`.
    pub(super) b: &'a [u16],
    pub(super) add: bool,
    /// The sums; a row is `width` numbers behind the one before it.
    pub(super) c: &'a mut [f32],
    pub(super) width: usize,
}

impl Product<'_> {
    /// # Panics
    /// If a slice is shorter than what is read or written of it.
    pub(super) fn check(&self) {
        let Some(last) = (self.blocks * BLOCK).checked_sub(1) else { return };
        let start = self.starts.iter().max().map_or(0, |start| start + self.run * STEP);
        assert!(start + last * self.stride <= self.a.len(), "the left side");
        assert!(self.starts.len() * self.run * PANEL <= self.b.len(), "the right side");
        assert!(last * self.width + BLOCK <= self.c.len(), "the sums");
    }

    /// Multiplies.
    ///
    /// # Panics
    /// As [`check`](Self::check).
    pub(super) fn run(self, tiles: Tiles) {
        self.check();
        match tiles {
            Tiles::Units(amx) => amx.multiply(self),
            Tiles::Plain(set) => set.run(self),
        }
    }
}

/// A bf16 as f32.
#[inline(always)]
pub(super) fn wide(x: u16) -> f32 {
    f32::from_bits(u32::from(x) << 16)
}

#[cfg(test)]
mod tests {
    use super::super::pack::round;
    use super::*;
    use crate::rng::{Key, Stream};

    /// bf16 with exponents from `2^-spread` to 2^spread.
    fn numbers(len: usize, seed: u64, spread: f64) -> Vec<u16> {
        let key = Key::new(seed, Stream::Init, 0);
        let uniform = |i: usize, which: u32| 2.0 * key.uniform(which, i as u32) - 1.0;
        (0..len).map(|i| round((uniform(i, 0) * libm::exp2(spread * uniform(i, 1))) as f32)).collect()
    }

    fn multiply(tiles: Tiles, starts: &[usize], run: usize, add: bool, spread: f64) -> Vec<f32> {
        let (blocks, stride, width) = (2, 96, 80);
        let a = numbers((blocks * BLOCK - 1) * stride + 160, 1, spread);
        let b = numbers(starts.len() * run * PANEL, 2, spread);
        let mut c: Vec<f32> = (0..blocks * BLOCK * width).map(|i| i as f32).collect();
        Product { blocks, a: &a, stride, starts, run, b: &b, add, c: &mut c, width }.run(tiles);
        c
    }

    #[test]
    fn plain_numbers_give_the_bytes_of_the_tile_units() {
        let units = Tiles::new(InstructionSet::best());
        if !matches!(units, Tiles::Units(_)) {
            return println!("skipped: this processor has no tile units");
        }
        // From sums of like numbers to products that leave the normal numbers on both sides.
        for (spread, add) in [(0.0, true), (20.0, false), (66.0, true), (120.0, true)] {
            for (starts, run) in [(&[0][..], 1), (&[64, 5, 0], 3), (&[], 2)] {
                let found = multiply(units, starts, run, add, spread);
                for set in InstructionSet::available() {
                    let plain = multiply(Tiles::Plain(set), starts, run, add, spread);
                    for (at, (found, plain)) in found.iter().zip(&plain).enumerate() {
                        let same = found.to_bits() == plain.to_bits() || found.is_nan() && plain.is_nan();
                        assert!(same, "{set}, {starts:?} x {run}, 2^{spread}, {at}: {found:e} for {plain:e}");
                    }
                }
            }
        }
    }

    #[test]
    fn sums_are_those_of_double_precision_and_nothing_else_is_written() {
        let (starts, run) = ([64, 5, 0], 3);
        let c = multiply(Tiles::Plain(InstructionSet::Plain), &starts, run, true, 1.0);
        let (a, b) = (numbers(63 * 96 + 160, 1, 1.0), numbers(3 * run * PANEL, 2, 1.0));
        for (at, &found) in c.iter().enumerate() {
            let (row, column) = (at / 80, at % 80);
            let mut wanted = at as f64;
            let mut scale = at as f64;
            let steps = starts.iter().flat_map(|start| (0..run).map(move |step| start + STEP * step));
            for (step, from) in steps.enumerate().filter(|_| column < BLOCK) {
                for term in 0..STEP {
                    let tile = &b[step * PANEL + column / TILE * PANEL / 2..];
                    let right = tile[term / 2 * BLOCK + 2 * (column % TILE) + term % 2];
                    let product = f64::from(wide(a[row * 96 + from + term])) * f64::from(wide(right));
                    wanted += product;
                    scale += product.abs();
                }
            }
            assert!(
                (f64::from(found) - wanted).abs() <= 1e-6 * scale,
                "{row}, {column}: {found} for {wanted}"
            );
        }
    }

    #[test]
    #[should_panic(expected = "the left side")]
    fn a_left_side_that_is_too_short_is_refused() {
        let (b, mut c) = (vec![0; PANEL], vec![0.0; BLOCK * BLOCK]);
        let (a, starts) = (vec![0; BLOCK * STEP], &[1]);
        Product {
            blocks: 1,
            a: &a,
            stride: STEP,
            starts,
            run: 1,
            b: &b,
            add: false,
            c: &mut c,
            width: BLOCK,
        }
        .run(Tiles::new(InstructionSet::best()));
    }
}
