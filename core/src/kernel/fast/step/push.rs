//! How negatives push each other: the second pass of [`expected`](super::expected), for some panels of rows with some
//! others.
//!
//! ```text
//! dx_i = sum over j of t_ij (x_j - x_i) = sum over j of t_ij x_j - (sum over j of t_ij) x_i
//! t_ij = -(p_ij l'_i(d_ij) + p_ji l'_j(d_ij)) / d_ij
//! ```
//!
//! with `p_ij` the share of i's pairs that j is, and `l_i` the loss at i's boundary. `t` is symmetric: a pair is looked
//! at once, and its tile and the transpose of it, each against rows as they lie, are what both ends are pushed.

use core::ops::Range;

use pulp::{Simd, WithSimd};

use super::expected::{Ends, PairLoss};
use super::far::{Back, Counted, Far};
use super::share::{Shares, take_near};
use super::sums::Sums;
use super::tile::{Batch, Column, TILE, Tile, columns_of_panel, cosines, turn_tile};
use super::weights::part_classes;
use crate::distance::distance;
use crate::kernel::fast::tile::{MultiplyTransposed, Rows, padded, panel_width};
use crate::loss::batch::inverse_or_zero;

/// Numbers of a panel of a product at most.
const WIDEST: usize = 32;

/// Some panels of anchors and what becomes of them.
pub(super) struct Unit<'a> {
    pub(super) panels: Range<usize>,
    /// `sum of t_ij x_j` so far; only anchors have a row.
    pub(super) gradient: &'a mut [f32],
    /// Of each panel.
    pub(super) far: &'a mut [Far],
}

/// Whom a unit meets.
pub(super) enum Others<'a, 'u> {
    /// Itself.
    Own,
    Anchors(&'a mut Unit<'u>),
    /// Panels that a memory holds: constant.
    Remembered(Range<usize>),
}

/// What all units read.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) sums: &'a Sums<'a>,
    pub(super) ends: &'a Ends,
    pub(super) pairs: &'a PairLoss,
    pub(super) betas: &'a [f32],
}

/// All pairs of a unit with others, at both ends.
pub(super) struct Push<'a, 'u> {
    pub(super) field: Field<'a>,
    pub(super) unit: &'a mut Unit<'u>,
    pub(super) others: Others<'a, 'u>,
    /// As many numbers as [`scratch`](Self::scratch) says, of any value.
    pub(super) scratch: &'a mut [f32],
}

impl Push<'_, '_> {
    /// Numbers that work with units of so many panels takes for itself.
    pub(super) const fn scratch(panels: usize, dim: usize) -> usize {
        let rows = panels * TILE;
        2 * rows * rows + 2 * rows * dim.next_multiple_of(WIDEST)
    }
}

impl WithSimd for Push<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { field, unit, others, scratch } = self;
        let Field { sums, ends, pairs, .. } = field;
        let Unit { panels: across, gradient, far } = unit;
        let (down, own, mut theirs) = match others {
            Others::Own => (across.clone(), true, None),
            Others::Anchors(Unit { panels, gradient, far }) => (panels.clone(), false, Some((gradient, far))),
            Others::Remembered(panels) => (panels, false, None),
        };
        let both = own || theirs.is_some();
        let (width, depth) = (across.len() * TILE, down.len() * TILE);
        let (mut packs, mut tile, mut other) = (Vec::new(), Tile::new(), [[0.0; TILE]; TILE]);
        let mut near = Vec::new();
        let packed = sums.panels.get(simd, across.clone(), &mut packs);
        let (shares, scratch) = scratch.split_at_mut(width * depth);
        let (turned, product) = scratch.split_at_mut(width * depth);
        for (b, j) in down.clone().enumerate() {
            let mut back = Back::new();
            let columns = across.clone().zip(packed.chunks_exact(columns_of_panel(sums.panels.batch.dim)));
            for (a, (i, packed)) in columns.enumerate().filter(|&(_, (i, _))| !own || i <= j) {
                let rows = field.cosines(simd, j, i, packed, &mut tile);
                take_near(simd, rows, &mut tile, &mut near);
                // A tile on the diagonal has its pairs twice: its rows are its columns.
                let diagonal = own && i == j;
                simd.vectorize(Shares {
                    law: &sums.law,
                    ends,
                    pairs,
                    down: j,
                    across: i,
                    rows,
                    both,
                    tile: &mut tile,
                    far: &mut far[a],
                    back: (both && !diagonal).then_some(&mut back),
                });
                for (r, c, cosine) in near.drain(..) {
                    let ([here, there], share) = field.near_pair(i * TILE + c, j * TILE + r, cosine);
                    tile.0[r][c] = share;
                    far[a].add_pair(c, here, share);
                    if both && !diagonal {
                        let far = theirs.as_mut().map_or(&mut *far, |(_, far)| far);
                        far[b].add_pair(r, there, share);
                    }
                }
                let (tile, _) = tile.0.split_first_chunk::<TILE>().expect("a tile has as many rows");
                put(tile, (b, a), width, shares);
                if both && !diagonal {
                    turn_tile(simd, tile, &mut other);
                    let (to, stride) = if own { (&mut *shares, width) } else { (&mut *turned, depth) };
                    put(&other, (a, b), stride, to);
                }
            }
            if both {
                let far = theirs.as_mut().map_or(&mut *far, |(_, far)| far);
                back.close(simd, pairs, &mut far[b]);
            }
        }
        field.push(simd, (shares, width), &down, product, gradient);
        if let Some((gradient, _)) = theirs {
            field.push(simd, (turned, depth), across, product, gradient);
        }
    }
}

/// Puts a tile at its place, tiles down and across, among rows of `stride` numbers.
fn put(tile: &[[f32; TILE]; TILE], (down, across): (usize, usize), stride: usize, to: &mut [f32]) {
    let rows = to[down * TILE * stride + across * TILE..].chunks_mut(stride);
    for (to, row) in rows.zip(tile) {
        to[..TILE].copy_from_slice(row);
    }
}

impl Field<'_> {
    /// Cosines of the rows of panel `down` with those of panel `across`, which is `packed`; returns how many rows there
    /// are.
    #[inline(always)]
    fn cosines<S: Simd>(
        &self,
        simd: S,
        down: usize,
        across: usize,
        packed: &[Column],
        tile: &mut Tile,
    ) -> usize {
        let batch = &self.sums.panels.batch;
        let rows = rows(batch, &(down..down + 1));
        let ids: [u32; TILE] = core::array::from_fn(|r| (down * TILE + r) as u32);
        cosines(simd, batch, &ids[..rows], across * TILE, packed, tile);
        part_classes(simd, self.sums.labels, (down, across), tile);
        rows
    }

    /// `t` of two rows that lie near each other, by their differences; and for each of both what the pair counts there
    /// with its loss, if it does.
    fn near_pair(&self, i: usize, j: usize, cosine: f32) -> ([Counted; 2], f32) {
        let batch = &self.sums.panels.batch;
        let d = distance(batch.row(i), batch.row(j));
        let ends = [i, j].map(|anchor| {
            let counts = cosine > self.ends.cut[anchor];
            counts.then(|| (self.ends.most[anchor], self.pairs.pair(d, self.betas[anchor], false)))
        });
        let slope: f32 = ends.iter().flatten().map(|(p, pair)| p * pair.d_distance).sum();
        (ends, -slope * inverse_or_zero(d))
    }

    /// Adds to each row of the gradient what its column of the shares, so many side by side, makes of the rows of panels
    /// `down`.
    #[inline(always)]
    fn push<S: Simd>(
        &self,
        simd: S,
        (shares, columns): (&[f32], usize),
        down: &Range<usize>,
        scratch: &mut [f32],
        gradient: &mut [f32],
    ) {
        let batch = &self.sums.panels.batch;
        let (dim, stride, width) = (batch.dim, padded::<f32, S>(batch.dim), panel_width::<f32, S>());
        let (first, rows) = (down.start * TILE, rows(batch, down));
        let (copies, product) = scratch.split_at_mut(rows * stride);
        // In lines of a cache, and followed by numbers that nobody reads.
        for (r, copy) in copies.chunks_exact_mut(stride).enumerate() {
            copy[..dim].copy_from_slice(batch.row(first + r));
        }
        let whole = dim.is_multiple_of(WIDEST);
        let (count, c) =
            if whole { (gradient.len() / dim, &mut *gradient) } else { (columns, &mut *product) };
        let (a, b) = (Rows { data: shares, stride: columns }, Rows { data: copies, stride });
        let panels = stride / width;
        simd.vectorize(MultiplyTransposed {
            count,
            inner: rows,
            panels,
            a,
            b,
            next: width,
            add: whole,
            c,
            stride,
        });
        if !whole {
            for (gradient, sums) in gradient.chunks_exact_mut(dim).zip(product.chunks_exact(stride)) {
                for (gradient, sum) in gradient.iter_mut().zip(sums) {
                    *gradient += sum;
                }
            }
        }
    }
}

/// Rows of some panels.
fn rows(batch: &Batch<'_>, panels: &Range<usize>) -> usize {
    (panels.end * TILE).min(batch.count) - panels.start * TILE
}
