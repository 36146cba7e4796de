//! One block of rows against one of columns: which pairs are within a bound.

use core::ops::Range;

use pulp::{Simd, WithSimd};

use super::few::Few;
use super::measure::Measure;
use super::screen::{SQUARE, Screen};
use super::tile::{TILE_MULTIPLE, any, lanes, many_registers, products};
use super::{BLOCK, Collector, Ends, Set};

/// One block of rows against one of columns.
pub(super) struct Sweep<'a, C> {
    pub(super) rows: &'a Set<'a>,
    pub(super) first_row: usize,
    pub(super) row_count: usize,
    pub(super) columns: &'a Set<'a>,
    pub(super) first_column: usize,
    pub(super) ends: Ends<'a, C>,
}

impl<C: Collector> WithSimd for Sweep<'_, C> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if many_registers::<S>() { self.sweep::<S, 8, 3>(simd) } else { self.sweep::<S, 6, 2>(simd) }
    }
}

impl<C: Collector> Sweep<'_, C> {
    #[inline(always)]
    fn sweep<S: Simd, const ROWS: usize, const VECTORS: usize>(mut self, simd: S) {
        let column_count = (self.columns.count() - self.first_column).min(BLOCK);
        let mut few = Few::NONE;
        let Some(screen) = Screen::new(self.rows, self.columns) else {
            return self.multiply::<S, ROWS, VECTORS>(simd, 0..self.row_count, 0..column_count, &mut few);
        };
        for row in (0..self.row_count).step_by(SQUARE) {
            for column in (0..column_count).step_by(SQUARE) {
                let rows = row..(row + SQUARE).min(self.row_count);
                let columns = column..(column + SQUARE).min(column_count);
                if matches!(self.ends, Ends::Same(_)) && columns.end <= rows.start + 1 {
                    continue; // as below
                }
                if self.screen(simd, screen, rows.clone(), columns.clone(), &mut few) {
                    if C::Measure::BY_CHAIN {
                        self.multiply_few(&mut few);
                    }
                    self.offer(&few);
                } else {
                    self.multiply::<S, ROWS, VECTORS>(simd, rows, columns, &mut few);
                }
            }
        }
    }

    /// All pairs of some rows with some columns, from the first of a tile on.
    #[inline(always)]
    fn multiply<S: Simd, const ROWS: usize, const VECTORS: usize>(
        &mut self,
        simd: S,
        rows: Range<usize>,
        columns: Range<usize>,
        few: &mut Few,
    ) {
        let width = VECTORS * S::F32_LANES;
        let minus_two = simd.splat_f32s(-2.0);
        // The panel stays in the first-level cache while strips, which are narrower, pass.
        for column in columns.step_by(width) {
            let panel = self.columns.panel((self.first_column + column) / width);
            let others = S::as_simd_f32s(&self.columns.reduced[self.first_column + column..][..width]).0;
            for row in rows.clone().step_by(ROWS) {
                if matches!(self.ends, Ends::Same(_)) && column + width <= row + 1 {
                    break; // every column of the tile stands at or before each row: seen from the other end
                }
                let strip = self.rows.strip((self.first_row + row) / ROWS);
                let sums = products::<S, ROWS, VECTORS>(simd, strip, panel);
                let squares = &self.rows.reduced[self.first_row + row..][..ROWS];
                let (row_bounds, column_bounds) = self.ends.bounds();
                let row_bounds = &row_bounds[row..][..ROWS];
                let column_bounds = S::as_simd_f32s(&column_bounds[column..][..width]).0;
                // Bit r: somebody in row r of the tile is within a bound.
                let mut found = 0_u32;
                for r in 0..ROWS {
                    let bound = simd.splat_f32s(row_bounds[r]);
                    let mut within = [simd.less_than_f32s(bound, bound); VECTORS];
                    for v in 0..VECTORS {
                        let lengths = simd.add_f32s(simd.splat_f32s(squares[r]), others[v]);
                        let value = simd.mul_add_f32s(minus_two, sums[r][v], lengths);
                        within[v] =
                            simd.less_than_or_equal_f32s(value, simd.max_f32s(bound, column_bounds[v]));
                    }
                    found |= u32::from(any::<S, VECTORS>(simd, within)) << r;
                }
                if found != 0 {
                    let products = sums;
                    few.clear();
                    self.look(row, column, found, lanes::<S, ROWS, VECTORS>(&products), width, few);
                    self.offer(few);
                }
            }
        }
    }

    /// Finds the pairs within a bound in the rows of a tile that `found` names, one bit each; `products` are those of the
    /// tile.
    #[inline(never)]
    fn look(&self, row: usize, column: usize, mut found: u32, products: &[f32], width: usize, few: &mut Few) {
        while found != 0 {
            let r = found.trailing_zeros() as usize;
            found &= found - 1;
            self.look_at_row(row + r, column, &products[r * width..][..width], few);
        }
    }

    /// Finds them in one row, with the columns from `first` on.
    fn look_at_row(&self, row: usize, first: usize, products: &[f32], few: &mut Few) {
        let same = matches!(self.ends, Ends::Same(_));
        let (row_bounds, column_bounds) = self.ends.bounds();
        let (length, bound) = (self.rows.reduced[self.first_row + row], row_bounds[row]);
        let columns = self.columns.reduced[self.first_column + first..].iter().zip(&column_bounds[first..]);
        // A byte a lane, eight of them to be looked at together: most are 0.
        let mut hits = [0_u8; TILE_MULTIPLE];
        for ((hit, product), (other, column_bound)) in hits.iter_mut().zip(products).zip(columns) {
            let value = length + other - 2.0 * product;
            *hit = u8::from((value <= bound) | (value <= *column_bound));
        }
        for (at, hits) in (0..).step_by(8).zip(hits.as_chunks::<8>().0) {
            let mut hits = u64::from_le_bytes(*hits);
            while hits != 0 {
                let lane = at + hits.trailing_zeros() as usize / 8;
                hits &= hits - 1;
                if !same || row < first + lane {
                    few.push(row, first + lane, products[lane]);
                }
            }
        }
    }

    /// Measures pairs and offers each to those of its ends in whose bounds it is.
    #[inline(always)]
    fn offer(&mut self, few: &Few) {
        for (row, column, product) in few.pairs() {
            let (i, j) = (self.first_row + row, self.first_column + column);
            let squared = C::Measure::squared(self.rows, i, self.columns, j, product);
            let (row_bounds, column_bounds) = self.ends.bounds();
            let (row_bound, column_bound) = (row_bounds[row], column_bounds[column]);
            if squared <= row_bound.into() {
                self.ends.rows().offer(row, j, squared);
            }
            if squared <= column_bound.into()
                && let Some(columns) = self.ends.columns()
            {
                columns.offer(column, i, squared);
            }
        }
    }
}
