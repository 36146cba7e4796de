//! Search among many embeddings: products at the speed of the hardware, and next to nothing for the rest.
//!
//! Pairs stream by in tiles of products. Each query has a bound, the squared distance beyond which a candidate is of no
//! more use to it; a tile is compared with the bounds of its rows and of its columns, and only the few pairs within
//! one are looked at singly. What is done with those is a [`Collector`]'s: [`ranks`] or [`nearest`]. Their results do
//! not depend on the order of the pairs, so neither do those of the search on threads.
//!
//! The comparison leaves room for the rounding of `|x|² + |y|² - 2 x·y`; a pair that passes it is measured as the
//! collector asks ([`measure`]): from the product, or from the differences in double precision.
//!
//! Where the processor multiplies bf16, by tile units or by vectors, pairs are screened first by such products, which leave
//! more room for rounding ([`screen`]); what passes is multiplied anew in f32. The results are the same numbers.
//!
//! Where queries are searched among themselves each product serves both its ends. Memory: two packed copies of the
//! embeddings at most, as much as one more for the screen, and what the collectors hold.

mod few;
mod measure;
mod nearest;
mod ranks;
mod screen;
mod sweep;
#[cfg(test)]
mod tests;
mod tile;

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::InstructionSet;
use super::half::{HalfProducts, HalfRows};
use crate::batch::Embeddings;
use crate::distance::dot;
use measure::Measure;
use sweep::Sweep;
use tile::{TILE_MULTIPLE, TileShape, pack};

pub(super) use nearest::{nearest, neighbours};
pub(super) use ranks::match_ranks;

/// Rows of a block: a block of rows and one of columns (at dimension 128) fill little more than half of a second-level
/// cache of 512 KB, so that what the collectors touch has room beside them.
const BLOCK: usize = 6 * TILE_MULTIPLE;

/// Squared lengths for which the bound on rounding holds: their products neither overflow nor underflow. 0 is fine too.
const SQUARES: core::ops::RangeInclusive<f32> = 1e-28..=1e36;

/// The bounds of columns that ask nothing.
const NOTHING: [f32; BLOCK] = [f32::NEG_INFINITY; BLOCK];

/// Numbers in a row from which on a screen is worth its own work.
const LEAST_SCREENED: usize = 32;

/// What a search runs on.
#[derive(Clone, Copy)]
pub(super) struct Means {
    instructions: InstructionSet,
    /// What multiplies in bf16, if pairs are screened.
    screen: Option<HalfProducts>,
}

impl Means {
    /// The means for embeddings of `dim` numbers on this machine.
    pub(super) fn new(instructions: InstructionSet, dim: usize) -> Self {
        let screen = HalfProducts::new(instructions).filter(|_| dim >= LEAST_SCREENED);
        Self { instructions, screen }
    }
}

/// Embeddings laid out for the tile kernel.
pub(super) struct Set<'a> {
    rows: Embeddings<'a, f32>,
    squares: Vec<f32>,
    /// Squared lengths less the rounding of a distance; NaN behind the last row, which is within no bound.
    reduced: Vec<f32>,
    /// The rows as one side of a tile and as the other, laid out when the first tile asks.
    strips: OnceLock<Vec<f32>>,
    panels: OnceLock<Vec<f32>>,
    shape: TileShape,
    /// The same rows in bf16, if pairs are screened.
    half: Option<HalfRows>,
    means: Means,
}

/// What `|x|² + |y|² - 2 x·y` by products of f32 may be off by, as a part of `|x|² + |y|²`.
///
/// A chain of D fused steps is off by at most D/2 epsilon |x||y|; the lengths and the last sums by less.
fn rounding(dim: usize) -> f32 {
    (1.25 * dim as f32 + 64.0) * (0.5 * f32::EPSILON)
}

/// The squared length of each row.
struct Squares<'a>(Embeddings<'a, f32>);

impl WithSimd for Squares<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Vec<f32> {
        let mut squares = vec![0.0; self.0.count()];
        for (square, row) in squares.iter_mut().zip(self.0.rows()) {
            *square = dot(row, row);
        }
        squares
    }
}

impl<'a> Set<'a> {
    /// `None` if a length lies so far from 1 that products of f32 could overflow or vanish.
    pub(super) fn new(rows: Embeddings<'a, f32>, means: Means) -> Option<Self> {
        let squares = means.instructions.run(Squares(rows));
        if !squares.iter().all(|square| *square == 0.0 || SQUARES.contains(square)) {
            return None;
        }
        let mut reduced: Vec<f32> =
            squares.iter().map(|square| square * (1.0 - rounding(rows.dim()))).collect();
        reduced.resize(reduced.len().next_multiple_of(TILE_MULTIPLE), f32::NAN);
        let half = means.screen.map(|_| HalfRows::new(means.instructions, rows.as_slice(), rows.dim()));
        let shape = TileShape::of(means.instructions);
        let (strips, panels) = Default::default();
        Some(Self { rows, squares, reduced, strips, panels, shape, half, means })
    }

    /// Some of its rows (or of those of a set like it), as a set of their own.
    fn like<'b>(&self, rows: &'b [f32]) -> Set<'b> {
        let rows = Embeddings::new(rows, self.rows.dim()).expect("whole rows");
        Set::new(rows, self.means).expect("rows whose lengths were looked at")
    }

    fn count(&self) -> usize {
        self.rows.count()
    }

    /// First rows of the blocks.
    fn blocks(&self) -> impl Iterator<Item = usize> + Clone + use<> {
        (0..self.count()).step_by(BLOCK)
    }

    fn strip(&self, index: usize) -> &[f32] {
        group(self.rows, &self.strips, self.shape.rows, index)
    }

    fn panel(&self, index: usize) -> &[f32] {
        group(self.rows, &self.panels, self.shape.columns, index)
    }
}

/// One of the groups of `width` rows, all of which are `packed` for the first that is asked for.
#[inline]
fn group<'a>(
    rows: Embeddings<'_, f32>,
    packed: &'a OnceLock<Vec<f32>>,
    width: usize,
    index: usize,
) -> &'a [f32] {
    let packed = packed.get_or_init(|| pack(rows.as_slice(), rows.dim(), width));
    let len = width * rows.dim();
    &packed[index * len..][..len]
}

/// Embeddings and their classes.
#[derive(Clone, Copy)]
pub(super) struct Labeled<'a> {
    pub(super) rows: Embeddings<'a, f32>,
    pub(super) labels: &'a [u32],
}

/// What a block of queries gathers from the pairs that stream by. The result must not depend on their order.
trait Collector: Send {
    /// What pairs are measured by.
    type Measure: Measure;
    /// For each query of the block (`BLOCK` numbers at most), the squared distance beyond which nothing is wanted.
    /// Negative infinity behind the last query, to a multiple of [`TILE_MULTIPLE`].
    fn bounds(&self) -> &[f32];
    /// Takes candidate `candidate` at a squared distance within the bound of the query (counted in the block).
    fn offer(&mut self, query: usize, candidate: usize, squared: SquaredBy<Self>);
}

/// What a collector takes.
type SquaredBy<C> = <<C as Collector>::Measure as Measure>::Squared;

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

/// The rows `first..first + count` (a multiple of [`TILE_MULTIPLE`] and at most [`BLOCK`]) of `queries` against all
/// candidates.
fn sweep_rows<C: Collector>(queries: &Set<'_>, first: usize, count: usize, among: &Set<'_>, block: &mut C) {
    for first_column in among.blocks() {
        queries.means.instructions.run(Sweep {
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
        set.means.instructions.run(Sweep {
            rows: set,
            first_row,
            row_count,
            columns: set,
            first_column,
            ends,
        });
    });
    blocks.into_iter().map(|block| block.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
}

/// A panic in another task ends the search anyway; its block is not read again.
fn lock<C>(block: &Mutex<C>) -> MutexGuard<'_, C> {
    block.lock().unwrap_or_else(PoisonError::into_inner)
}
