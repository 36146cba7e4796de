//! Rows to be multiplied with rows: each number of a product is the inner product of two of them.

use pulp::{Simd, WithSimd};

use super::dots::Dots;
use super::pack::round_row;
use super::tiles::{BLOCK, PANEL, Product, STEP, Tiles, wide};
use crate::kernel::fast::InstructionSet;
use crate::kernel::fast::scratch::Lined;

/// What multiplies rows that are rounded.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernel::fast) enum HalfProducts {
    Tiles(Tiles),
    Dots(Dots),
}

impl HalfProducts {
    /// What this processor has that takes less time than products of f32, if the best instruction set is not held back.
    pub(in crate::kernel::fast) fn new(set: InstructionSet) -> Option<Self> {
        let tiles = Tiles::new(set);
        if tiles.are_units() {
            Some(Self::Tiles(tiles))
        } else {
            Dots::new().filter(|_| set == InstructionSet::best()).map(Self::Dots)
        }
    }

    /// All that this machine has, and the plain one.
    #[cfg(test)]
    pub(in crate::kernel::fast) fn available(set: InstructionSet) -> Vec<Self> {
        let tiles = [Tiles::Plain(set), Tiles::new(set)].map(Self::Tiles);
        tiles.into_iter().chain(Dots::new().map(Self::Dots)).collect()
    }
}

/// Rows rounded to bf16, laid out as both sides of a product.
pub(in crate::kernel::fast) struct HalfRows {
    /// Numbers in a row: whole steps.
    depth: usize,
    /// `[row][depth]`.
    left: Lined<u16>,
    /// `[row / 32][step][2][16 pairs of terms][16 rows][2]`.
    right: Lined<u16>,
    error: f32,
}

impl HalfRows {
    /// Rows and columns of a product are multiples of this.
    pub(in crate::kernel::fast) const MULTIPLE: usize = BLOCK;

    /// `rows` of `dim` numbers each. Behind the last one are zeros, a block of them at least, so that `count` rows from
    /// any row on may be rounded up.
    pub(in crate::kernel::fast) fn new(set: InstructionSet, rows: &[f32], dim: usize) -> Self {
        set.run(Rounded { rows, dim })
    }

    /// The largest `|x - bf16(x)| / |x|` of a row: at most 2^-9 where no number is subnormal, and less where they are of all
    /// kinds.
    pub(in crate::kernel::fast) fn error(&self) -> f32 {
        self.error
    }

    /// Products of `count` rows from `first` on with `width` rows of `columns` from `first_column` on, both multiples of
    /// [`MULTIPLE`](Self::MULTIPLE), as is `first_column`. Rows of `products` lie `stride` apart.
    pub(in crate::kernel::fast) fn products(
        &self,
        by: HalfProducts,
        (first, count): (usize, usize),
        columns: &Self,
        (first_column, width): (usize, usize),
        (products, stride): (&mut [f32], usize),
    ) {
        let Self { depth, left, .. } = self;
        let panels = columns.right[first_column * depth..][..width * depth].chunks_exact(BLOCK * depth);
        for (panel, b) in panels.enumerate() {
            let product = Product {
                blocks: count / BLOCK,
                a: &left[first * depth..],
                stride: *depth,
                starts: &[0],
                run: depth / STEP,
                b,
                add: false,
                c: &mut products[panel * BLOCK..],
                width: stride,
            };
            match by {
                HalfProducts::Tiles(tiles) => product.run(tiles),
                HalfProducts::Dots(dots) => dots.multiply(product),
            }
        }
    }
}

/// Rows to be rounded.
struct Rounded<'a> {
    rows: &'a [f32],
    dim: usize,
}

impl WithSimd for Rounded<'_> {
    type Output = HalfRows;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> HalfRows {
        let Self { rows, dim } = self;
        let depth = dim.next_multiple_of(STEP);
        let len = ((rows.len() / dim).next_multiple_of(BLOCK) + BLOCK) * depth;
        let (mut left, mut right) = (Lined::<u16>::new(len), Lined::<u16>::new(len));
        let mut error = 0.0_f64;
        for (row, to) in rows.chunks_exact(dim).zip(left.chunks_exact_mut(depth)) {
            round_row(row, to);
            error = error.max(lost_share(row, to));
        }
        for (rows, to) in left.chunks_exact(BLOCK * depth).zip(right.chunks_exact_mut(BLOCK * depth)) {
            for (at, row) in rows.chunks_exact(depth).enumerate() {
                let (tile, column) = (at / (BLOCK / 2), at % (BLOCK / 2));
                for (terms, to) in row.chunks_exact(STEP).zip(to.chunks_exact_mut(PANEL)) {
                    let to = &mut to[tile * PANEL / 2..][..PANEL / 2];
                    for (pair, to) in terms.chunks_exact(2).zip(to.chunks_exact_mut(BLOCK)) {
                        to[2 * column..][..2].copy_from_slice(pair);
                    }
                }
            }
        }
        // Up, whatever the roundings of this line.
        HalfRows { depth, left, right, error: (error.sqrt() * (1.0 + 1e-6)) as f32 }
    }
}

/// `|x - half|² / |x|²`; 0 of zeros.
#[inline(always)]
fn lost_share(x: &[f32], half: &[u16]) -> f64 {
    const LANES: usize = 8;
    let (mut lost, mut square) = ([0.0; LANES], [0.0; LANES]);
    for (x, half) in x.chunks(LANES).zip(half.chunks(LANES)) {
        for (((lost, square), &x), &half) in lost.iter_mut().zip(&mut square).zip(x).zip(half) {
            let off = f64::from(x) - f64::from(wide(half));
            *lost += off * off;
            *square += f64::from(x) * f64::from(x);
        }
    }
    let square: f64 = square.iter().sum();
    if square > 0.0 { lost.iter().sum::<f64>() / square } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::fast::half::pack::round;

    #[test]
    fn products_are_those_of_the_rounded_rows_and_the_error_is_the_largest() {
        let (count, dim) = (70, 37);
        let x: Vec<f32> = (0..count * dim).map(|i| ((i * 7919) % 1000) as f32 / 499.0 - 1.0).collect();
        let rows = HalfRows::new(InstructionSet::best(), &x, dim);
        let half: Vec<f32> = x.iter().map(|&x| wide(round(x))).collect();
        let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| f64::from(x * y)).sum::<f64>();
        // From a row in the midst of a block on, to behind the last one.
        let (first, first_column, stride) = (33, 32, 100);
        for by in HalfProducts::available(InstructionSet::best()) {
            let mut products = vec![7.0; 63 * stride + 64];
            rows.products(by, (first, 64), &rows, (first_column, 64), (&mut products, stride));
            for (i, j) in (0..64).flat_map(|i| (0..64).map(move |j| (i, j))) {
                let row = |at: usize| half.get(at * dim..(at + 1) * dim).unwrap_or(&[]);
                let wanted = dot(row(first + i), row(first_column + j));
                let found = f64::from(products[i * stride + j]);
                assert!((found - wanted).abs() < 1e-5, "{by:?}, {i}, {j}: {found} for {wanted}");
            }
        }
        let errors = x.chunks_exact(dim).zip(half.chunks_exact(dim)).map(|(x, half)| {
            let lost: Vec<f32> = x.iter().zip(half).map(|(x, half)| x - half).collect();
            (dot(&lost, &lost) / dot(x, x)).sqrt()
        });
        let largest = errors.fold(0.0, f64::max);
        let error = f64::from(rows.error());
        assert!(error >= largest && error < 1.001 * largest, "{error} for {largest}");
        assert!(error < 1.0 / 512.0);
    }

    #[test]
    fn zeros_and_what_bf16_cannot_hold_have_their_errors() {
        assert_eq!(HalfRows::new(InstructionSet::best(), &[0.0; 6], 3).error(), 0.0);
        // Subnormal numbers are zeros to the units: all is lost.
        let error = HalfRows::new(InstructionSet::best(), &[1e-39, 0.0, 1.0, 2.0], 2).error();
        assert!((1.0..1.001).contains(&error), "{error}");
    }
}
