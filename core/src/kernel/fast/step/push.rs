//! How all negatives push the 32 rows of a panel: the second pass of [`expected`](super::expected), for one panel.
//!
//! ```text
//! dx_i = sum over j of t_ij (x_i - x_j) = (sum over j of t_ij) x_i - sum over j of t_ij x_j
//! t_ij = (p_ij l'_i(d_ij) + p_ji l'_j(d_ij)) / d_ij
//! ```
//!
//! with `p_ij` the share of i's pairs that j is, and `l_i` the loss at i's boundary. The tile of `t` is computed with j
//! down and i across, so that the last sum is a product of its transpose with rows as they lie.

use pulp::{Simd, WithSimd};

use super::expected::{Ends, PairLoss};
use super::law::{LEAST, NEAR_COSINE};
use super::sums::Sums;
use super::tile::{TILE, Tile, cosines};
use super::weights::{Sides, inverse_distance, log_weight, or_zero, part_classes, weight};
use crate::distance::distance;
use crate::kernel::fast::tile::{MultiplyTransposed, Rows, padded, panel_width};
use crate::loss::batch::{Terms, inverse_or_zero};

/// Sums of what the negatives of the 32 rows of a panel come to.
pub(super) struct Far {
    value: [f64; TILE],
    active: [f64; TILE],
    weight: [f64; TILE],
    d_beta: [f64; TILE],
    /// `sum of t_ij`.
    own: [f64; TILE],
    /// `sum of t_ij x_j`, rows of `stride` numbers.
    others: Vec<f32>,
    stride: usize,
}

impl Far {
    /// The gradient of row `a` of the panel, which is `x`.
    #[inline(always)]
    pub(super) fn gradient(&self, a: usize, x: &[f32], gradient: &mut [f32]) {
        let own = self.own[a] as f32;
        for ((gradient, x), others) in gradient.iter_mut().zip(x).zip(&self.others[a * self.stride..]) {
            *gradient = own * x - others;
        }
    }

    pub(super) fn terms(&self, a: usize) -> Terms {
        Terms {
            value: self.value[a],
            active: self.active[a],
            terms: self.weight[a],
            d_beta: self.d_beta[a],
            tuples: 0.0,
        }
    }
}

/// One panel.
pub(super) struct Push<'a> {
    pub(super) sums: &'a Sums<'a>,
    pub(super) ends: &'a Ends,
    pub(super) pairs: &'a PairLoss,
    pub(super) betas: &'a [f32],
    pub(super) panel: usize,
}

impl WithSimd for Push<'_> {
    type Output = Far;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Far {
        let Self { sums, pairs, panel, .. } = self;
        let batch = &sums.panels.batch;
        let (dim, stride) = (batch.dim, padded::<f32, S>(batch.dim));
        let none = [0.0; TILE];
        let mut far = Far {
            value: none,
            active: none,
            weight: none,
            d_beta: none,
            own: none,
            others: vec![0.0; TILE * stride],
            stride,
        };
        let (mut scratch, mut last_rows) = (Vec::new(), Vec::new());
        let packed = sums.panels.get(simd, panel..panel + 1, &mut scratch);
        let mut tile = Tile::new();
        let mut near = Vec::new();
        for other in 0..sums.plan.panels() {
            let first = other * TILE;
            let rows = TILE.min(batch.count - first);
            let ids: [u32; TILE] = core::array::from_fn(|r| (first + r) as u32);
            cosines(simd, batch, &ids[..rows], panel * TILE, packed, &mut tile);
            let side = |panel: usize| panel * TILE..(panel + 1) * TILE;
            let sides = Sides {
                row_labels: &sums.labels[side(other)],
                row_cuts: &sums.cuts[side(other)],
                labels: &sums.labels[side(panel)],
                cuts: &sums.cuts[side(panel)],
                active: false,
            };
            if sides.may_match() {
                part_classes(simd, &sides, &mut tile);
            }
            take_near(simd, rows, &mut tile, &mut near);
            match pairs {
                PairLoss::Margin(_) => self.far_pairs::<S, false>(simd, other, rows, &mut tile, &mut far),
                PairLoss::Contrastive(_) => self.far_pairs::<S, true>(simd, other, rows, &mut tile, &mut far),
            }
            for (r, i, cosine) in near.drain(..) {
                let share = self.near_pair(first + r, i, cosine, &mut far);
                tile.0[r][i] = share;
                far.own[i] += f64::from(share);
            }
            // Rows as they lie, each followed by the next, whose numbers end in columns that nobody reads.
            let end = (first + rows - 1) * dim + stride;
            let data = if end <= batch.x.len() {
                &batch.x[first * dim..]
            } else {
                last_rows.clear();
                last_rows.extend_from_slice(&batch.x[first * dim..]);
                last_rows.resize((rows - 1) * dim + stride, 0.0);
                &last_rows
            };
            let width = panel_width::<f32, S>();
            simd.vectorize(MultiplyTransposed {
                count: TILE,
                inner: rows,
                panels: stride / width,
                a: Rows { data: tile.0.as_flattened(), stride: TILE },
                b: Rows { data, stride: dim },
                next: width,
                add: other > 0,
                c: &mut far.others,
                stride,
            });
        }
        far
    }
}

/// Pairs in a vector: their cosines, logarithms of weights, distances and their inverses.
struct Pair<S: Simd> {
    c: S::f32s,
    log: S::f32s,
    d: S::f32s,
    inverse: S::f32s,
}

impl<S: Simd> Pair<S> {
    #[inline(always)]
    fn new(simd: S, slope: S::f32s, c: S::f32s) -> Self {
        let log = log_weight(simd, slope, c);
        // What is no pair gets a distance too, so that its numbers are finite; it has no probability.
        let whole = simd.max_f32s(c, simd.splat_f32s(-1.0));
        let inverse = inverse_distance(simd, whole);
        let two = simd.splat_f32s(2.0);
        let q = simd.max_f32s(simd.negate_mul_add_f32s(two, whole, two), simd.splat_f32s(LEAST));
        Self { c, log, d: simd.mul_f32s(q, inverse), inverse }
    }
}

/// One end of pairs: see [`Ends`].
struct End<S: Simd> {
    minus_reference: S::f32s,
    cap: S::f32s,
    scale: S::f32s,
    reach: S::f32s,
    cut: S::f32s,
}

impl<S: Simd> End<S> {
    /// The share of a pair in this end's pairs, that of active ones, the loss, and minus its slope.
    #[inline(always)]
    fn pair<const SQUARED: bool>(&self, simd: S, pair: &Pair<S>) -> [S::f32s; 4] {
        let zero = simd.splat_f32s(0.0);
        let w = weight(simd, pair.log, pair.inverse, self.minus_reference);
        let w = simd.mul_f32s(or_zero(simd, simd.min_f32s(w, self.cap)), self.scale);
        let p = simd.select_f32s(simd.greater_than_f32s(pair.c, self.cut), w, zero);
        let inside = simd.max_f32s(simd.sub_f32s(self.reach, pair.d), zero);
        let active = simd.select_f32s(simd.greater_than_f32s(inside, zero), p, zero);
        let value = simd.mul_f32s(p, inside);
        if SQUARED {
            [p, active, simd.mul_f32s(value, inside), simd.add_f32s(value, value)]
        } else {
            [p, active, value, active]
        }
    }
}

impl Push<'_> {
    /// The pairs of a tile of cosines that becomes one of `t`. `SQUARED`: the loss is the square of how far a negative
    /// is inside of the reach, not that itself.
    #[inline(always)]
    fn far_pairs<S: Simd, const SQUARED: bool>(
        &self,
        simd: S,
        other: usize,
        rows: usize,
        tile: &mut Tile,
        far: &mut Far,
    ) {
        let (ends, law) = (self.ends, &self.sums.law);
        let here = |numbers: &'_ [f32]| -> [f32; TILE] {
            numbers[self.panel * TILE..][..TILE].try_into().expect("a panel")
        };
        let (references, caps, scales) = (here(&ends.minus_reference), here(&ends.cap), here(&ends.scale));
        let (reaches, cuts) = (here(&ends.reach), here(self.sums.cuts));
        let first = other * TILE;
        let (zero, slope) = (simd.splat_f32s(0.0), simd.splat_f32s(law.slope));
        let mut sums = [[0.0_f32; TILE]; 4];
        for v in 0..TILE / S::F32_LANES {
            let lane = |numbers: &[f32; TILE]| S::as_simd_f32s(numbers).0[v];
            let own_end = End {
                minus_reference: lane(&references),
                cap: lane(&caps),
                scale: lane(&scales),
                reach: lane(&reaches),
                cut: lane(&cuts),
            };
            let mut own = [zero; 4];
            for r in 0..rows {
                let (row, _) = S::as_mut_simd_f32s(&mut tile.0[r]);
                let pair = Pair::new(simd, slope, row[v]);
                let [p, active, value, mut push] = own_end.pair::<SQUARED>(simd, &pair);
                own[0] = simd.add_f32s(own[0], value);
                own[1] = simd.add_f32s(own[1], active);
                own[2] = simd.add_f32s(own[2], p);
                let j = first + r;
                if ends.scale[j] > 0.0 {
                    let other_end = End {
                        minus_reference: simd.splat_f32s(ends.minus_reference[j]),
                        cap: simd.splat_f32s(ends.cap[j]),
                        scale: simd.splat_f32s(ends.scale[j]),
                        reach: simd.splat_f32s(ends.reach[j]),
                        cut: simd.splat_f32s(self.sums.cuts[j]),
                    };
                    push = simd.add_f32s(push, other_end.pair::<SQUARED>(simd, &pair)[3]);
                }
                let t = simd.neg_f32s(simd.mul_f32s(push, pair.inverse));
                own[3] = simd.add_f32s(own[3], t);
                row[v] = t;
            }
            for (sums, own) in sums.iter_mut().zip(own) {
                S::as_mut_simd_f32s(sums).0[v] = own;
            }
        }
        for i in 0..TILE {
            far.value[i] += f64::from(sums[0][i]);
            far.active[i] += f64::from(sums[1][i]);
            far.weight[i] += f64::from(sums[2][i]);
            if !SQUARED {
                far.d_beta[i] += f64::from(sums[1][i]);
            }
            far.own[i] += f64::from(sums[3][i]);
        }
    }

    /// `t` of the pair of row `j` and row `i` of the panel, which lie near each other: by their differences.
    fn near_pair(&self, j: usize, i: usize, cosine: f32, far: &mut Far) -> f32 {
        let batch = &self.sums.panels.batch;
        let own = self.panel * TILE + i;
        let d = distance(batch.row(own), batch.row(j));
        let of = |anchor: usize| {
            let counts = self.ends.scale[anchor] > 0.0 && cosine > self.sums.cuts[anchor];
            let p = self.ends.scale[anchor] * self.ends.cap[anchor];
            counts.then(|| (p, self.pairs.pair(d, self.betas[anchor], false)))
        };
        let (here, there) = (of(own), of(j));
        if let Some((p, pair)) = here {
            let p = f64::from(p);
            far.value[i] += p * f64::from(pair.value);
            far.active[i] += if pair.value > 0.0 { p } else { 0.0 };
            far.weight[i] += p;
            far.d_beta[i] += p * f64::from(pair.d_beta);
        }
        let slope: f32 = [here, there].into_iter().flatten().map(|(p, pair)| p * pair.d_distance).sum();
        slope * inverse_or_zero(d)
    }
}

/// Lists pairs that lie near each other, as `(row, column, cosine)`, and takes them out of the tile.
#[inline(always)]
fn take_near<S: Simd>(simd: S, rows: usize, tile: &mut Tile, near: &mut Vec<(usize, usize, f32)>) {
    let mut highest = simd.splat_f32s(f32::NEG_INFINITY);
    for row in &tile.0[..rows] {
        for &c in S::as_simd_f32s(row).0 {
            highest = simd.max_f32s(highest, c);
        }
    }
    if simd.reduce_max_f32s(highest) <= NEAR_COSINE {
        return;
    }
    for (r, row) in tile.0[..rows].iter_mut().enumerate() {
        for (i, c) in row.iter_mut().enumerate().filter(|(_, c)| **c > NEAR_COSINE) {
            near.push((r, i, *c));
            *c = f32::NEG_INFINITY;
        }
    }
}
