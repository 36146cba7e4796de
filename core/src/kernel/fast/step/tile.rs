//! Cosines of a tile: up to 32 anchors against a panel of 32 samples, by a register-blocked product.
//!
//! Every cosine is one chain of fused products over rising `k`, so it has the same bits in whatever tile, on whatever
//! instruction set, and from either end of the pair.

use pulp::{Simd, WithSimd};

use crate::kernel::fast::tile::chains;
use crate::kernel::fast::turn::{SIDE, Square, row_sums, turn};

/// Samples in a panel, and anchors in a tile.
pub(super) const TILE: usize = 32;
/// Samples in half a panel.
pub(super) const HALF: usize = SIDE;
/// Components that are multiplied before the next: a half of a panel of so many stays in the first cache.
const DEPTH: usize = 256;
/// Rows that a register block may write beyond a tile's last.
const SPARE: usize = 12;

/// Numbers for each pair of a tile, anchor after anchor; rows from [`TILE`] on are scratch.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Tile(pub(super) [[f32; TILE]; TILE + SPARE]);

impl Tile {
    pub(super) const fn new() -> Self {
        Self([[0.0; TILE]; TILE + SPARE])
    }
}

/// The embeddings of a batch, and for each what makes its cosines exact: `(1 - |x|²) / 2`.
#[derive(Clone, Copy)]
pub(super) struct Batch<'a> {
    pub(super) x: &'a [f32],
    pub(super) dim: usize,
    pub(super) count: usize,
    /// `[count rounded up to whole panels]`; negative infinity for what is no sample.
    pub(super) lift: &'a [f32],
}

impl<'a> Batch<'a> {
    pub(super) fn new(x: &'a [f32], dim: usize, lift: &'a [f32]) -> Self {
        Self { x, dim, count: x.len() / dim, lift }
    }

    /// One embedding; the last one for indices beyond.
    #[inline(always)]
    pub(super) fn row(&self, index: usize) -> &'a [f32] {
        &self.x[index.min(self.count - 1) * self.dim..][..self.dim]
    }
}

/// The rows of a tile become columns of another.
#[inline(always)]
pub(super) fn turn_tile<S: Simd>(simd: S, from: &[[f32; TILE]; TILE], to: &mut [[f32; TILE]; TILE]) {
    for r in (0..TILE).step_by(SIDE) {
        for c in (0..TILE).step_by(SIDE) {
            let mut square: Square = [[0.0; SIDE]; SIDE];
            for k in 0..SIDE {
                square[k].copy_from_slice(&from[r + k][c..c + SIDE]);
            }
            turn(simd, &mut square);
            for k in 0..SIDE {
                to[c + k][r..r + SIDE].copy_from_slice(&square[k]);
            }
        }
    }
}

/// One component of the sixteen samples of half a panel, in a cache line of its own.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
pub(super) struct Column([f32; HALF]);

impl Column {
    /// Whether panels hold the same bits.
    pub(super) fn same(a: &[Self], b: &[Self]) -> bool {
        // All numbers of a column at once: to stop at the first that differs takes several times as long.
        let differ = |(a, b): (&Self, &Self)| {
            a.0.iter().zip(&b.0).fold(0, |differ, (a, b)| differ | (a.to_bits() ^ b.to_bits()))
        };
        a.len() == b.len() && a.iter().zip(b).all(|columns| differ(columns) == 0)
    }
}

/// Columns of a panel of rows of `dim` numbers.
pub(super) const fn columns_of_panel(dim: usize) -> usize {
    TILE / HALF * dim
}

/// Lays out the panel of the samples from `first` on: `[2][dim]` columns, zeros where there is no sample.
#[inline(always)]
pub(super) fn pack<S: Simd>(simd: S, batch: &Batch<'_>, first: usize, panel: &mut [Column]) {
    for (half, columns) in panel.chunks_exact_mut(batch.dim).enumerate() {
        let start = first + half * HALF;
        if start + HALF <= batch.count {
            // Loops, not `map`, which the compiler leaves a call, outside of the instruction set.
            let (squares, rest) = columns.as_chunks_mut::<SIDE>();
            for (at, columns) in squares.iter_mut().enumerate() {
                let mut square: Square = [[0.0; SIDE]; SIDE];
                for l in 0..HALF {
                    square[l].copy_from_slice(&batch.row(start + l)[at * SIDE..][..SIDE]);
                }
                turn(simd, &mut square);
                for l in 0..HALF {
                    columns[l].0 = square[l];
                }
            }
            let first = squares.len() * SIDE;
            for (k, column) in (first..).zip(rest) {
                for l in 0..HALF {
                    column.0[l] = batch.row(start + l)[k];
                }
            }
        } else {
            columns.fill(Column::default());
            for l in 0..batch.count.saturating_sub(start) {
                for (column, &value) in columns.iter_mut().zip(batch.row(start + l)) {
                    column.0[l] = value;
                }
            }
        }
    }
}

/// `1 - |x - y|²/2` of each of `anchors` with each of the panel from `first` on: the cosine, for rows of length 1.
#[inline(always)]
pub(super) fn cosines<S: Simd>(
    simd: S,
    batch: &Batch<'_>,
    anchors: &[u32],
    first: usize,
    panel: &[Column],
    tile: &mut Tile,
) {
    // Vectors at once, halves that they are in, rows at once: as many sums as registers hold, and enough of them to
    // hide the latency of a fused product.
    match S::F32_LANES {
        16 => blocks::<S, 2, 2, 8, 8>(simd, batch, anchors, first, panel, tile),
        8 => blocks::<S, 2, 1, 6, 5>(simd, batch, anchors, first, panel, tile),
        4 => blocks::<S, 4, 1, 6, 5>(simd, batch, anchors, first, panel, tile),
        _ => blocks::<S, 16, 1, 1, 1>(simd, batch, anchors, first, panel, tile),
    }
}

/// Register blocks of `MR` or `FEWER` rows, mixed so that 32 rows leave none over.
#[inline(always)]
fn blocks<S: Simd, const V: usize, const H: usize, const MR: usize, const FEWER: usize>(
    simd: S,
    batch: &Batch<'_>,
    anchors: &[u32],
    first: usize,
    panel: &[Column],
    tile: &mut Tile,
) {
    let lift = &batch.lift[first..][..TILE];
    for half in (0..2).step_by(H) {
        for depth in (0..batch.dim).step_by(DEPTH) {
            let steps = depth..(depth + DEPTH).min(batch.dim);
            let mut halves = [&panel[steps.clone()]; H];
            for h in 0..H {
                halves[h] = &panel[(half + h) * batch.dim..][steps.clone()];
            }
            let mut row = 0;
            while row < anchors.len() {
                let left = anchors.len() - row;
                if left < FEWER || left.is_multiple_of(MR) {
                    micro::<S, V, H, MR>(simd, batch, anchors, row, depth, halves, half, lift, tile);
                    row += MR;
                } else {
                    micro::<S, V, H, FEWER>(simd, batch, anchors, row, depth, halves, half, lift, tile);
                    row += FEWER;
                }
            }
        }
    }
}

/// `MR` rows against `V` vectors of columns, `H` halves of a panel: the components from `depth` on that `halves` hold.
#[inline(always)]
fn micro<S: Simd, const V: usize, const H: usize, const MR: usize>(
    simd: S,
    batch: &Batch<'_>,
    anchors: &[u32],
    row: usize,
    depth: usize,
    halves: [&[Column]; H],
    half: usize,
    lift: &[f32],
    tile: &mut Tile,
) {
    let steps = halves[0].len();
    let (lifts, _) = S::as_simd_f32s(lift);
    let mut rows: [&[f32]; MR] = [&[]; MR];
    let mut sums = [[simd.splat_f32s(0.0); V]; MR];
    for r in 0..MR {
        let anchor = anchors[(row + r).min(anchors.len() - 1)] as usize;
        rows[r] = &batch.row(anchor)[depth..][..steps];
        if depth == 0 {
            let own = simd.splat_f32s(batch.lift[anchor]);
            for v in 0..V {
                sums[r][v] = simd.add_f32s(own, lifts[half * (V / H) + v]);
            }
        } else {
            let (begun, _) = S::as_simd_f32s(&tile.0[row + r]);
            sums[r].copy_from_slice(&begun[half * (V / H)..][..V]);
        }
    }
    let columns = |k: usize| {
        let mut columns = [simd.splat_f32s(0.0); V];
        for h in 0..H {
            let (vectors, _) = S::as_simd_f32s(&halves[h][k].0);
            columns[h * (V / H)..][..V / H].copy_from_slice(&vectors[..V / H]);
        }
        columns
    };
    let sums = chains::<f32, S, MR, V>(simd, 0..steps, |k, r| rows[r][k], columns, sums);
    for r in 0..MR {
        let (out, _) = S::as_mut_simd_f32s(&mut tile.0[row + r]);
        out[half * (V / H)..][..V].copy_from_slice(&sums[r]);
    }
}

/// [`pack`] of one panel.
pub(super) struct Pack<'a> {
    pub(super) batch: &'a Batch<'a>,
    pub(super) first: usize,
    pub(super) panel: &'a mut [Column],
}

impl WithSimd for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        pack(simd, self.batch, self.first, self.panel);
    }
}

/// `(1 - |x|²) / 2` of each row.
pub(super) struct Lifts<'a> {
    pub(super) x: &'a [f32],
    pub(super) dim: usize,
    pub(super) out: &'a mut [f32],
}

impl WithSimd for Lifts<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, dim, out } = self;
        for (x, out) in x.chunks(SIDE * dim).zip(out.chunks_mut(SIDE)) {
            let mut sums: Square = [[0.0; SIDE]; SIDE];
            for (sums, row) in sums.iter_mut().zip(x.chunks_exact(dim)) {
                let (whole, rest) = row.as_chunks::<SIDE>();
                let (lanes, _) = S::as_mut_simd_f32s(sums);
                for numbers in whole {
                    for (lane, &x) in lanes.iter_mut().zip(S::as_simd_f32s(numbers).0) {
                        *lane = simd.mul_add_f32s(x, x, *lane);
                    }
                }
                for (sum, x) in sums.iter_mut().zip(rest) {
                    *sum += x * x;
                }
            }
            let squares = row_sums(simd, &mut sums);
            for (lift, square) in out.iter_mut().zip(squares).take(x.len() / dim) {
                *lift = 0.5 * (1.0 - square);
            }
        }
    }
}
