//! Search among many embeddings: products at the speed of the hardware, and next to nothing for the rest.
//!
//! Pairs stream by in tiles of products. Each query has a bound, the squared distance beyond which a candidate is of no
//! more use to it; a tile is compared with the bounds of its rows and of its columns, and only the few pairs within
//! one are looked at singly. What is done with those is a [`Collector`]'s: [`ranks`] or [`nearest`]. Their results do
//! not depend on the order of the pairs, so neither do those of the search on threads.
//!
//! The comparison leaves room for the rounding of `|x|² + |y|² - 2 x·y`; a pair that passes it is judged by
//! [`squared_from_product`], which takes near pairs from their differences \[R2\].
//!
//! Where queries are searched among themselves each product serves both its ends. Memory: two packed copies of the
//! embeddings, and what the collectors hold.

mod nearest;
mod ranks;
#[cfg(test)]
mod tests;
mod tile;

use std::sync::{Mutex, MutexGuard, PoisonError};

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::InstructionSet;
use crate::batch::Embeddings;
use crate::distance::{dot, squared_distance, squared_from_product};
use tile::{TILE_MULTIPLE, TileShape, any, lanes, many_registers, pack, products};

pub(super) use nearest::nearest;
pub(super) use ranks::match_ranks;

/// Rows of a block: a block of rows and one of columns (at dimension 128) fill little more than half of a second-level
/// cache of 512 KB, so that what the collectors touch has room beside them.
const BLOCK: usize = 6 * TILE_MULTIPLE;

/// Squared lengths for which the bound on rounding holds: their products neither overflow nor underflow. 0 is fine too.
const SQUARES: core::ops::RangeInclusive<f32> = 1e-28..=1e36;

/// The bounds of columns that ask nothing.
const NOTHING: [f32; BLOCK] = [f32::NEG_INFINITY; BLOCK];

/// Embeddings laid out for the tile kernel.
pub(super) struct Set<'a> {
    rows: Embeddings<'a, f32>,
    squares: Vec<f32>,
    /// Squared lengths less the rounding of a distance; NaN behind the last row, which is within no bound.
    reduced: Vec<f32>,
    strips: Vec<f32>,
    panels: Vec<f32>,
    shape: TileShape,
    instructions: InstructionSet,
}

impl<'a> Set<'a> {
    /// `None` if a length lies so far from 1 that products of f32 could overflow or vanish.
    pub(super) fn new(rows: Embeddings<'a, f32>, instructions: InstructionSet) -> Option<Self> {
        let shape = TileShape::of(instructions);
        let squares: Vec<f32> = rows.rows().map(|row| dot(row, row)).collect();
        if !squares.iter().all(|square| *square == 0.0 || SQUARES.contains(square)) {
            return None;
        }
        // A chain of D fused steps is off by at most D/2 epsilon |x||y|; the lengths and the last sums by less.
        let rounding = (1.25 * rows.dim() as f32 + 64.0) * (0.5 * f32::EPSILON);
        let mut reduced: Vec<f32> = squares.iter().map(|square| square * (1.0 - rounding)).collect();
        reduced.resize(reduced.len().next_multiple_of(TILE_MULTIPLE), f32::NAN);
        let (strips, panels) =
            (pack(rows.as_slice(), rows.dim(), shape.rows), pack(rows.as_slice(), rows.dim(), shape.columns));
        Some(Self { rows, squares, reduced, strips, panels, shape, instructions })
    }

    /// Some of its rows (or of those of a set like it), as a set of their own.
    fn like<'b>(&self, rows: &'b [f32]) -> Set<'b> {
        let rows = Embeddings::new(rows, self.rows.dim()).expect("whole rows");
        Set::new(rows, self.instructions).expect("rows whose lengths were looked at")
    }

    fn count(&self) -> usize {
        self.rows.count()
    }

    /// First rows of the blocks.
    fn blocks(&self) -> impl Iterator<Item = usize> + Clone + use<> {
        (0..self.count()).step_by(BLOCK)
    }

    fn strip(&self, index: usize) -> &[f32] {
        let len = self.shape.rows * self.rows.dim();
        &self.strips[index * len..][..len]
    }

    fn panel(&self, index: usize) -> &[f32] {
        let len = self.shape.columns * self.rows.dim();
        &self.panels[index * len..][..len]
    }

    /// Squared distance of row `i` to row `j` of `other`, whose product is `product`.
    #[inline]
    fn squared(&self, i: usize, other: &Set<'_>, j: usize, product: f32) -> f32 {
        squared_from_product(self.squares[i], other.squares[j], product, || {
            squared_distance(self.rows.row(i), other.rows.row(j))
        })
    }
}

/// Embeddings and their classes.
#[derive(Clone, Copy)]
pub(super) struct Labeled<'a> {
    pub(super) rows: Embeddings<'a, f32>,
    pub(super) labels: &'a [u32],
}

/// What a block of queries gathers from the pairs that stream by. The result must not depend on their order.
pub(super) trait Collector: Send {
    /// For each query of the block (`BLOCK` numbers at most), the squared distance beyond which nothing is wanted.
    /// Negative infinity behind the last query, to a multiple of [`TILE_MULTIPLE`].
    fn bounds(&self) -> &[f32];
    /// Takes candidate `candidate` at a squared distance within the bound of the query (counted in the block).
    fn offer(&mut self, query: usize, candidate: usize, squared: f32);
}

/// Who asks in a sweep over rows and columns.
enum Ends<'a, C> {
    /// The rows.
    Rows(&'a mut C),
    /// Both: rows and columns are one block, each pair of which is seen once.
    Same(&'a mut C),
    /// Both, two blocks of one set.
    Both(&'a mut C, &'a mut C),
}

impl<C: Collector> Ends<'_, C> {
    fn rows(&mut self) -> &mut C {
        match self {
            Self::Rows(rows) | Self::Same(rows) | Self::Both(rows, _) => rows,
        }
    }

    fn columns(&mut self) -> Option<&mut C> {
        match self {
            Self::Rows(_) => None,
            Self::Same(columns) | Self::Both(_, columns) => Some(columns),
        }
    }

    fn bounds(&self) -> (&[f32], &[f32]) {
        match self {
            Self::Rows(rows) => (rows.bounds(), &NOTHING),
            Self::Same(both) => (both.bounds(), both.bounds()),
            Self::Both(rows, columns) => (rows.bounds(), columns.bounds()),
        }
    }
}

/// One block of rows against one of columns.
struct Sweep<'a, C> {
    rows: &'a Set<'a>,
    first_row: usize,
    row_count: usize,
    columns: &'a Set<'a>,
    first_column: usize,
    ends: Ends<'a, C>,
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
        let width = VECTORS * S::F32_LANES;
        let column_count = (self.columns.count() - self.first_column).min(BLOCK);
        let minus_two = simd.splat_f32s(-2.0);
        // The panel stays in the first-level cache while strips, which are narrower, pass.
        for column in (0..column_count).step_by(width) {
            let panel = self.columns.panel((self.first_column + column) / width);
            let others = S::as_simd_f32s(&self.columns.reduced[self.first_column + column..][..width]).0;
            for row in (0..self.row_count).step_by(ROWS) {
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
                    self.look(row, column, found, lanes::<S, ROWS, VECTORS>(&products), width);
                }
            }
        }
    }

    /// Looks at the rows of a tile that `found` names, one bit each; `products` are those of the tile.
    #[inline(never)]
    fn look(&mut self, row: usize, column: usize, mut found: u32, products: &[f32], width: usize) {
        while found != 0 {
            let r = found.trailing_zeros() as usize;
            found &= found - 1;
            self.look_at_row(row + r, column, &products[r * width..][..width]);
        }
    }

    /// Looks singly at the pairs of one row with the columns from `first` on.
    fn look_at_row(&mut self, row: usize, first: usize, products: &[f32]) {
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
                    self.offer(row, first + lane, products[lane]);
                }
            }
        }
    }

    /// Offers a pair to those of its ends in whose bounds it is.
    #[inline]
    fn offer(&mut self, row: usize, column: usize, product: f32) {
        let (i, j) = (self.first_row + row, self.first_column + column);
        let squared = self.rows.squared(i, self.columns, j, product);
        let (row_bounds, column_bounds) = self.ends.bounds();
        let (row_bound, column_bound) = (row_bounds[row], column_bounds[column]);
        if squared <= row_bound {
            self.ends.rows().offer(row, j, squared);
        }
        if squared <= column_bound
            && let Some(columns) = self.ends.columns()
        {
            columns.offer(column, i, squared);
        }
    }
}

/// The rows `first..first + count` (a multiple of [`TILE_MULTIPLE`] and at most [`BLOCK`]) of `queries` against all
/// candidates.
fn sweep_rows<C: Collector>(queries: &Set<'_>, first: usize, count: usize, among: &Set<'_>, block: &mut C) {
    for first_column in among.blocks() {
        queries.instructions.run(Sweep {
            rows: queries,
            first_row: first,
            row_count: count,
            columns: among,
            first_column,
            ends: Ends::Rows(block),
        });
    }
}

/// Every pair of a set once, for both its ends; `blocks` are those of the set.
///
/// Pairs of blocks go by how far apart they stand: where labels or files put like next to like, bounds fall early.
fn sweep_pairs<C: Collector>(set: &Set<'_>, blocks: Vec<C>) -> Vec<C> {
    let count = blocks.len();
    let blocks: Vec<Mutex<C>> = blocks.into_iter().map(Mutex::new).collect();
    let pairs: Vec<(usize, usize)> =
        (0..count).flat_map(|apart| (0..count - apart).map(move |i| (i, i + apart))).collect();
    pairs.into_par_iter().for_each(|(i, j)| {
        // The lower block first, always: no two tasks wait for each other.
        let mut rows = lock(&blocks[i]);
        let mut columns = (i != j).then(|| lock(&blocks[j]));
        let ends = match &mut columns {
            None => Ends::Same(&mut *rows),
            Some(columns) => Ends::Both(&mut *rows, &mut **columns),
        };
        let row_count = (set.count() - i * BLOCK).min(BLOCK);
        let (first_row, first_column) = (i * BLOCK, j * BLOCK);
        set.instructions.run(Sweep { rows: set, first_row, row_count, columns: set, first_column, ends });
    });
    blocks.into_iter().map(|block| block.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
}

/// A panic in another task ends the search anyway; its block is not read again.
fn lock<C>(block: &Mutex<C>) -> MutexGuard<'_, C> {
    block.lock().unwrap_or_else(PoisonError::into_inner)
}
