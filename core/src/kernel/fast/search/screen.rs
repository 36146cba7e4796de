//! A first look at pairs, by products in bf16: tile units compute them many times faster than f32, vectors twice as fast.
//!
//! With `e` and `f` the largest relative errors that rounding has made in a row of one set and of the other,
//!
//! ```text
//! |x·y - x̂·ŷ| <= |x - x̂| |ŷ| + |x| |y - ŷ| <= (e + f + e f) |x| |y| <= (e + f + e f) (|x|² + |y|²) / 2
//! ```
//! so `|x|² + |y|² - 2 x̂·ŷ`, less twice that, is no more than the squared distance. Between rows of length 1 it is less by
//! some 0.005. Where few pairs of a square are left they are multiplied one by one; where many are, the square is.

use core::ops::Range;

use pulp::Simd;

use super::few::Few;
use super::sweep::Sweep;
use super::tile::{TILE_MULTIPLE, bits};
use super::{Collector, Ends, Set, rounding};
use crate::kernel::fast::half::{HalfProducts, HalfRows};

/// Rows and columns that are looked at together.
pub(super) const SQUARE: usize = 2 * TILE_MULTIPLE;

/// Columns that are multiplied at once. With the rows of a square, and their products, they leave some room in a first
/// cache of 48 KB at 128 numbers in a row.
const WIDTH: usize = HalfRows::MULTIPLE;

/// Products of the rows of a square with so many columns; they begin with a cache line.
#[repr(align(64))]
struct Products([f32; SQUARE * WIDTH]);

/// What two sets are screened with.
#[derive(Clone, Copy)]
pub(super) struct Screen<'a> {
    by: HalfProducts,
    rows: &'a HalfRows,
    columns: &'a HalfRows,
    /// What of a squared length is left when the room for rounding is taken off it.
    kept: f32,
}

impl<'a> Screen<'a> {
    /// `None` where pairs are not screened.
    pub(super) fn new(rows: &'a Set<'_>, columns: &'a Set<'_>) -> Option<Self> {
        let by = rows.means.screen?;
        let (left, right) = (rows.half.as_ref()?, columns.half.as_ref()?);
        let (e, f) = (left.error(), right.error());
        let kept = 1.0 - (e + f + e * f) - rounding(rows.rows.dim());
        Some(Self { by, rows: left, columns: right, kept })
    }
}

impl<C: Collector> Sweep<'_, C> {
    /// Finds the pairs of a square that may be within a bound; whether they are few.
    #[inline(always)]
    pub(super) fn screen<S: Simd>(
        &self,
        simd: S,
        screen: Screen<'_>,
        rows: Range<usize>,
        columns: Range<usize>,
        few: &mut Few,
    ) -> bool {
        let (row_bounds, column_bounds) = self.ends.bounds();
        // Lengths and bounds go on behind the last row and the last column, for the sake of whole vectors.
        let side = |set: &Set<'_>, first: usize, bounds: &[f32]| {
            let (mut lengths, mut to) = ([f32::NAN; SQUARE], [f32::NEG_INFINITY; SQUARE]);
            lengths
                .iter_mut()
                .zip(&set.reduced[first..])
                .for_each(|(to, reduced)| *to = screen.kept * reduced);
            to.iter_mut().zip(bounds).for_each(|(to, &bound)| *to = bound);
            (lengths, to)
        };
        let (row_lengths, row_bounds) =
            side(self.rows, self.first_row + rows.start, &row_bounds[rows.start..]);
        let (lengths, column_bounds) =
            side(self.columns, self.first_column + columns.start, &column_bounds[columns.start..]);

        let same = matches!(self.ends, Ends::Same(_));
        let minus_two = simd.splat_f32s(-2.0);
        let mut products = Products([0.0; SQUARE * WIDTH]);
        few.clear();
        for at in (0..columns.len()).step_by(WIDTH) {
            let first = columns.start + at;
            screen.rows.products(
                screen.by,
                (self.first_row + rows.start, rows.len().next_multiple_of(WIDTH)),
                screen.columns,
                (self.first_column + first, WIDTH),
                (&mut products.0[..], WIDTH),
            );
            let lengths = S::as_simd_f32s(&lengths[at..][..WIDTH]).0;
            let column_bounds = S::as_simd_f32s(&column_bounds[at..][..WIDTH]).0;
            let row_sides = row_lengths.iter().zip(&row_bounds);
            for ((row, (&length, &bound)), products) in
                rows.clone().zip(row_sides).zip(products.0.as_chunks::<WIDTH>().0)
            {
                let (length, bound) = (simd.splat_f32s(length), simd.splat_f32s(bound));
                let vectors = S::as_simd_f32s(products).0;
                let mut within = 0_u32;
                for v in 0..WIDTH / S::F32_LANES {
                    let value = simd.mul_add_f32s(minus_two, vectors[v], simd.add_f32s(length, lengths[v]));
                    let mask = simd.less_than_or_equal_f32s(value, simd.max_f32s(bound, column_bounds[v]));
                    within |= bits::<S>(mask) << (v * S::F32_LANES);
                }
                while within != 0 {
                    let lane = within.trailing_zeros() as usize;
                    within &= within - 1;
                    if (!same || row < first + lane) && !few.push(row, first + lane, products[lane]) {
                        return false;
                    }
                }
            }
        }
        true
    }

    /// The products of pairs, one by one: each by the chain of fused steps of a tile.
    #[inline(always)]
    pub(super) fn multiply_few(&self, few: &mut Few) {
        let (rows, columns) = (self.rows.rows, self.columns.rows);
        few.multiply(rows.dim(), |row, column| {
            (rows.row(self.first_row + row), columns.row(self.first_column + column))
        });
    }
}
