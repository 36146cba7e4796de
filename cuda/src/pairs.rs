//! Strips of squared distances, and the moments of the negatives.

use std::ops::Range;

use cudarc::driver::{CudaView, CudaViewMut};
use nearfar_core::kernel::{BatchView, NegativeMoments};

use crate::device::Cuda;
use crate::error::Error;
use crate::launch::{Arg, Grid};
use crate::memory::{Buffer, Indices, count};

/// Rows of a tile, and threads: as in `kernels/product.cuh`.
const TILE_ROWS: usize = 128;
const THREADS: u32 = 128;
/// Warps of a block whose warps take a row each: as in the kernels.
const ROW_WARPS: u32 = 8;
/// Numbers of a strip, 16 MB: it stays in the cache of the device until it is read.
const STRIP: usize = 1 << 22;
/// Columns that one sum of a tile covers.
pub(crate) const BLOCK: usize = 32;

/// Every row of one set of embeddings with every row of another (or the same), strip by strip.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pairing {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) dim: usize,
    /// Rows of all strips but the last.
    pub(crate) strip: usize,
}

impl Pairing {
    pub(crate) fn new(rows: usize, columns: usize, dim: usize) -> Result<Self, Error> {
        count(rows.saturating_mul(dim).max(columns.saturating_mul(dim)))?;
        let strip = (STRIP / columns.max(1) / TILE_ROWS * TILE_ROWS).max(TILE_ROWS).min(rows);
        count(strip.saturating_mul(columns))?;
        Ok(Self { rows, columns, dim, strip })
    }

    /// Numbers of a strip.
    pub(crate) fn strip_len(&self) -> usize {
        self.strip * self.columns
    }

    /// Sums of tiles across a row.
    pub(crate) fn blocks(&self) -> usize {
        self.columns.div_ceil(BLOCK)
    }

    /// The strips, as ranges of rows.
    pub(crate) fn strips(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let Self { rows, strip, .. } = *self;
        (0..rows).step_by(strip.max(1)).map(move |first| first..(first + strip).min(rows))
    }

    /// Tiles over these rows.
    fn tiles(&self, rows: usize) -> Grid {
        let across = self.columns.div_ceil(if self.is_aligned() { 64 } else { 32 });
        Grid { blocks: (rows.div_ceil(TILE_ROWS) as u32, across as u32, 1), threads: (THREADS, 1) }
    }

    /// Whether rows are whole quads.
    fn is_aligned(&self) -> bool {
        self.dim.is_multiple_of(4)
    }

    /// The kernel for such rows.
    fn kernel(&self, [wide, ragged]: [&'static str; 2]) -> &'static str {
        if self.is_aligned() { wide } else { ragged }
    }
}

/// A warp for each of `rows`.
pub(crate) fn row_grid(rows: usize) -> Grid {
    Grid { blocks: ((rows as u32).div_ceil(ROW_WARPS), 1, 1), threads: (32 * ROW_WARPS, 1) }
}

/// Embeddings with their squared lengths.
#[derive(Clone, Copy)]
pub(crate) struct Side<'a> {
    pub(crate) x: &'a CudaView<'a, f32>,
    pub(crate) squares: &'a CudaView<'a, f32>,
}

impl Cuda {
    /// `squares[i] = |x_i|²`.
    pub(crate) fn squares(
        &self,
        rows: usize,
        dim: usize,
        x: &CudaView<'_, f32>,
        squares: &mut CudaViewMut<'_, f32>,
    ) -> Result<(), Error> {
        self.launch(
            "squares",
            row_grid(rows),
            [
                x.slice(..rows * dim).into(),
                squares.slice_mut(..rows).into(),
                count(rows)?.into(),
                count(dim)?.into(),
            ],
        )
    }

    /// A strip of squared distances: `rows` of `x` with all of `y`.
    pub(crate) fn distances(
        &self,
        pairing: &Pairing,
        rows: &Range<usize>,
        x: Side<'_>,
        y: Side<'_>,
        strip: &mut CudaViewMut<'_, f32>,
    ) -> Result<(), Error> {
        let Pairing { columns, dim, .. } = *pairing;
        self.launch(
            pairing.kernel(["distances_wide", "distances_ragged"]),
            pairing.tiles(rows.len()),
            [
                x.x.slice(rows.start * dim..rows.end * dim).into(),
                y.x.slice(..columns * dim).into(),
                x.squares.slice(rows.clone()).into(),
                y.squares.slice(..columns).into(),
                strip.slice_mut(..rows.len() * columns).into(),
                count(rows.len())?.into(),
                count(columns)?.into(),
                count(dim)?.into(),
            ],
        )
    }

    /// A strip of inner products: `rows` of `x` with all of `x`.
    pub(crate) fn products(
        &self,
        pairing: &Pairing,
        rows: &Range<usize>,
        x: &CudaView<'_, f32>,
        strip: &mut CudaViewMut<'_, f32>,
    ) -> Result<(), Error> {
        let Pairing { columns, dim, .. } = *pairing;
        // The plain product writes whole quads too, so its columns must be some.
        let (kernel, across) = match pairing.is_aligned() && columns.is_multiple_of(4) {
            true => ("linear_dx_wide", columns.div_ceil(64)),
            false => ("linear_dx_ragged", columns.div_ceil(32)),
        };
        self.launch(
            kernel,
            Grid { blocks: (rows.len().div_ceil(TILE_ROWS) as u32, across as u32, 1), threads: (THREADS, 1) },
            [
                x.slice(rows.start * dim..rows.end * dim).into(),
                x.slice(..columns * dim).into(),
                strip.slice_mut(..rows.len() * columns).into(),
                count(rows.len())?.into(),
                count(columns)?.into(),
                count(dim)?.into(),
                count(dim)?.into(),
            ],
        )
    }

    /// Log-weights of `rows` of `x` with all of `x`, as sums over blocks of columns: see `kernels/draw.cu`.
    pub(crate) fn weigh(
        &self,
        pairing: &Pairing,
        rows: &Range<usize>,
        x: Side<'_>,
        labels: &CudaView<'_, u32>,
        betas: &CudaView<'_, f32>,
        law: Law,
        blocks: &mut CudaViewMut<'_, f32>,
    ) -> Result<(), Error> {
        let Pairing { columns, dim, .. } = *pairing;
        let [power, bend, ln_cap, far, active] = law.args();
        self.launch(
            pairing.kernel(["weigh_wide", "weigh_ragged"]),
            pairing.tiles(rows.len()),
            [
                x.x.slice(rows.start * dim..rows.end * dim).into(),
                x.x.slice(..columns * dim).into(),
                x.squares.slice(rows.clone()).into(),
                x.squares.slice(..columns).into(),
                labels.slice(..columns).into(),
                betas.slice(..rows.end).into(),
                blocks.slice_mut(..4 * rows.len() * pairing.blocks()).into(),
                count(rows.start)?.into(),
                count(rows.len())?.into(),
                count(columns)?.into(),
                count(dim)?.into(),
                power,
                bend,
                ln_cap,
                far,
                active,
            ],
        )
    }

    /// `out[f]` = sum over i of `fields[i, f]`, `F` numbers each.
    pub(crate) fn totals<const F: usize>(
        &self,
        rows: usize,
        fields: &CudaView<'_, f64>,
        out: &mut CudaViewMut<'_, f64>,
    ) -> Result<(), Error> {
        self.launch(
            "totals",
            Grid { blocks: (1, 1, 1), threads: (256, 1) },
            [
                fields.slice(..F * rows).into(),
                out.slice_mut(..F).into(),
                count(rows)?.into(),
                count(F)?.into(),
            ],
        )
    }

    /// Moments of the cosines of all (anchor, negative) pairs.
    pub fn negative_moments(&self, batch: BatchView<'_, Buffer, Indices>) -> Result<NegativeMoments, Error> {
        let BatchView { anchors, count: n, dim, .. } = batch;
        let pairing = Pairing::new(anchors, n, dim)?;
        let groups = batch.labels.groups(self, anchors, n)?;
        let (x, labels) = (batch.embeddings.read(n * dim), batch.labels.read(n));
        let mut scratch = self.scratch();
        let ([mut squares, mut blocks], [mut fields, mut sums], []) =
            scratch.arrays(self, [n, 2 * pairing.strip * pairing.blocks()], [2 * anchors, 2], [])?;
        self.squares(n, dim, &x, &mut squares)?;
        let squares = squares.as_view();
        for rows in pairing.strips() {
            self.launch(
                pairing.kernel(["moments_wide", "moments_ragged"]),
                pairing.tiles(rows.len()),
                [
                    x.slice(rows.start * dim..rows.end * dim).into(),
                    x.slice(..).into(),
                    squares.slice(rows.clone()).into(),
                    squares.slice(..).into(),
                    labels.slice(..).into(),
                    blocks.slice_mut(..2 * rows.len() * pairing.blocks()).into(),
                    count(rows.start)?.into(),
                    count(rows.len())?.into(),
                    count(n)?.into(),
                    count(dim)?.into(),
                ],
            )?;
            self.launch(
                "row_moments",
                row_grid(rows.len()),
                [
                    blocks.slice(..2 * rows.len() * pairing.blocks()).into(),
                    fields.slice_mut(..).into(),
                    count(rows.start)?.into(),
                    count(rows.len())?.into(),
                    count(pairing.blocks())?.into(),
                ],
            )?;
        }
        self.totals::<2>(anchors, &fields.as_view(), &mut sums)?;
        let mut host = [0.0; 2];
        self.fetch(&sums.as_view(), &mut host)?;
        Ok(NegativeMoments {
            pairs: groups.negatives(),
            cos_squared: host[0],
            ln_one_minus_cos_squared: host[1],
        })
    }
}

/// The weighting of negatives as the kernels take it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Law {
    /// Exponents of `d` and of `1 - d²/4`, and the capped log-weight.
    law: [f32; 3],
    far: f32,
    active: bool,
    /// What an anchor without candidates does: 0 nothing, 1 its nearest negative, 2 any.
    pub(crate) empty: u32,
}

impl Law {
    pub(crate) fn new(weighting: &nearfar_core::Weighting<f32>) -> Self {
        use nearfar_core::{EmptyRow, FarCut};
        let (far, active) = match weighting.far() {
            FarCut::None => (f32::INFINITY, false),
            FarCut::At(cut) => (cut, false),
            FarCut::Active { margin } => (margin, true),
        };
        let empty = match weighting.empty() {
            EmptyRow::Skip => 0,
            EmptyRow::Nearest => 1,
            EmptyRow::Uniform => 2,
        };
        Self { law: weighting.law(), far, active, empty }
    }

    /// For kernels that take a law and do not look at it.
    pub(crate) const NONE: Self = Self { law: [0.0; 3], far: f32::INFINITY, active: false, empty: 0 };

    pub(crate) fn args(self) -> [Arg<'static>; 5] {
        let [power, bend, ln_cap] = self.law;
        [power.into(), bend.into(), ln_cap.into(), self.far.into(), u32::from(self.active).into()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strips_cover_the_rows_once_and_fit_the_cache() {
        for (rows, columns) in [(0, 0), (1, 1), (300, 300), (5000, 5000), (129, 100_000), (70_000, 64)] {
            let pairing = Pairing::new(rows, columns, 8).unwrap();
            let strips: Vec<Range<usize>> = pairing.strips().collect();
            assert_eq!(strips.iter().map(Range::len).sum::<usize>(), rows);
            assert!(strips.windows(2).all(|pair| pair[0].end == pair[1].start));
            assert!(strips.iter().all(|strip| strip.len() <= pairing.strip));
            assert!(pairing.strip_len() <= STRIP.max(TILE_ROWS * columns), "{pairing:?}");
        }
    }
}
