//! Cosines of a tile: up to 32 anchors against a panel of 32 samples, by a register-blocked product.
//!
//! Every cosine is one chain of fused products over rising `k`, so it has the same bits in whatever tile, on whatever
//! instruction set, and from either end of the pair.

use pulp::{Simd, WithSimd};

use crate::kernel::fast::tile::chains;

/// Samples in a panel, and anchors in a tile.
pub(super) const TILE: usize = 32;
/// A panel is kept as two halves of 16 columns: `[2][dim][16]`.
pub(super) const HALF: usize = 16;
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

impl Batch<'_> {
    /// One embedding; the last one for indices beyond.
    #[inline(always)]
    pub(super) fn row(&self, index: usize) -> &[f32] {
        &self.x[index.min(self.count - 1) * self.dim..][..self.dim]
    }
}

/// Lays out the panel of the samples from `first` on: `[2][dim][16]`, zeros where there is no sample.
pub(super) fn pack(batch: &Batch<'_>, first: usize, panel: &mut [f32]) {
    for (half, part) in panel.chunks_exact_mut(HALF * batch.dim).enumerate() {
        let start = first + half * HALF;
        let (columns, _) = part.as_chunks_mut::<HALF>();
        if start + HALF <= batch.count {
            let rows: [&[f32]; HALF] = core::array::from_fn(|l| batch.row(start + l));
            for (k, column) in columns.iter_mut().enumerate() {
                for l in 0..HALF {
                    column[l] = rows[l][k];
                }
            }
        } else {
            columns.fill([0.0; HALF]);
            for l in 0..batch.count.saturating_sub(start) {
                for (column, &value) in columns.iter_mut().zip(batch.row(start + l)) {
                    column[l] = value;
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
    panel: &[f32],
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
    panel: &[f32],
    tile: &mut Tile,
) {
    let (panel, _) = panel.as_chunks::<HALF>();
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
    halves: [&[[f32; HALF]]; H],
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
            let (vectors, _) = S::as_simd_f32s(&halves[h][k]);
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
        for (row, out) in x.chunks_exact(dim).zip(out) {
            let (whole, rest) = row.as_chunks::<HALF>();
            let mut sums = [0.0_f32; HALF];
            let (lanes, _) = S::as_mut_simd_f32s(&mut sums);
            for numbers in whole {
                for (lane, &x) in lanes.iter_mut().zip(S::as_simd_f32s(numbers).0) {
                    *lane = simd.mul_add_f32s(x, x, *lane);
                }
            }
            for (sum, x) in sums.iter_mut().zip(rest) {
                *sum += x * x;
            }
            *out = 0.5 * (1.0 - sums.into_iter().sum::<f32>());
        }
    }
}
