//! Weights of a tile and their sums over rows and columns.
//!
//! Weights of f32 need a reference, since their logarithms span hundreds of octaves. Where those of a tile span less
//! than [`SPAN`], the tile has one for all, and one weight serves both ends of a pair. Elsewhere every row and every
//! column has its own.

use pulp::Simd;

use super::law::{LEAST, Law};
use super::math::{exp2, inverse_sqrt, log2};
use super::tile::{HALF, TILE, Tile};

/// Octaves that the weights of a tile may span around one reference: squares of weights must stay normal numbers.
const SPAN: f32 = 100.0;
/// Octaves below its reference where a weight is taken as 0.
const FLUSH: f32 = -118.0;
/// One capped candidate in a count; one candidate is 1.
const CAPPED: u32 = 1 << 16;

/// Sums over the weights of one anchor with some columns, in units of `2^reference`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sums {
    pub(super) sum: f32,
    pub(super) squares: f32,
    pub(super) reference: f32,
    pub(super) candidates: u32,
    pub(super) capped: u32,
}

impl Sums {
    /// Adds sums over other columns of the same anchor.
    pub(super) fn add(&mut self, other: &Self) {
        if self.sum == 0.0 {
            let (candidates, capped) = (self.candidates, self.capped);
            *self = *other;
            self.candidates += candidates;
            self.capped += capped;
            return;
        }
        self.candidates += other.candidates;
        self.capped += other.capped;
        if other.sum == 0.0 {
            return;
        }
        let reference = f32::max(self.reference, other.reference);
        let [mine, theirs] = [self.reference - reference, other.reference - reference].map(power_of_two);
        self.sum = self.sum * mine + other.sum * theirs;
        self.squares = self.squares * (mine * mine) + other.squares * (theirs * theirs);
        self.reference = reference;
    }
}

/// `2^x` for a whole number `x <= 0`; 0 below -126.
fn power_of_two(x: f32) -> f32 {
    if x < -126.0 { 0.0 } else { f32::from_bits(((x as i32 + 127) as u32) << 23) }
}

/// What a pair weighs over `2^reference`: `min(cap, 2^(slope log2(1 - c²) - reference) / sqrt(2 - 2c))`.
#[inline(always)]
pub(super) fn weight<S: Simd>(
    simd: S,
    slope: S::f32s,
    c: S::f32s,
    minus_reference: S::f32s,
    cap: S::f32s,
) -> S::f32s {
    let least = simd.splat_f32s(LEAST);
    let t = simd.max_f32s(simd.negate_mul_add_f32s(c, c, simd.splat_f32s(1.0)), least);
    let x = simd.mul_add_f32s(slope, log2(simd, t), minus_reference);
    let two = simd.splat_f32s(2.0);
    let q = simd.max_f32s(simd.negate_mul_add_f32s(two, c, two), least);
    simd.min_f32s(simd.mul_f32s(exp2(simd, x), inverse_sqrt(simd, q)), cap)
}

/// As [`weight`], and 0 where that is too far below the reference.
#[inline(always)]
pub(super) fn weight_or_zero<S: Simd>(
    simd: S,
    slope: S::f32s,
    c: S::f32s,
    minus_reference: S::f32s,
    cap: S::f32s,
) -> S::f32s {
    let w = weight(simd, slope, c, minus_reference, cap);
    let least = simd.splat_f32s(f32::from_bits(((FLUSH as i32 + 127) as u32) << 23));
    simd.select_f32s(simd.greater_than_f32s(w, least), w, simd.splat_f32s(0.0))
}

/// Labels and least cosines of the two sides of a tile.
pub(super) struct Sides<'a> {
    pub(super) row_labels: &'a [u32],
    pub(super) row_cuts: &'a [f32],
    pub(super) labels: &'a [u32],
    pub(super) cuts: &'a [f32],
    /// Whether cuts differ between anchors.
    pub(super) active: bool,
}

/// Sums of a tile: of each row over its columns, and of each column over its rows.
pub(super) fn sums<S: Simd>(
    simd: S,
    law: &Law,
    sides: &Sides<'_>,
    tile: &mut Tile,
) -> Option<[[Sums; TILE]; 2]> {
    struct Work<'a>(&'a Law, &'a Sides<'a>, &'a mut Tile);
    impl pulp::WithSimd for Work<'_> {
        type Output = Option<[[Sums; TILE]; 2]>;
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
            let Work(law, sides, tile) = self;
            let [low, high] = extent(simd, sides, tile)?;
            let (low, high) = (law.bound(low), law.bound(high));
            if high - low <= SPAN {
                let references = [[(0.5 * (low + high)).round_ties_even(); TILE]; 2];
                return Some(if sides.active {
                    both::<S, true, false>(simd, law, sides, tile, &references)
                } else {
                    both::<S, false, false>(simd, law, sides, tile, &references)
                });
            }
            let references = own_references(law, sides, tile);
            Some(both::<S, true, true>(simd, law, sides, tile, &references))
        }
    }
    simd.vectorize(Work(law, sides, tile))
}

/// Least and largest `c²` over the candidates of the tile; cosines of pairs of one class become negative infinity.
#[inline(always)]
fn extent<S: Simd>(simd: S, sides: &Sides<'_>, tile: &mut Tile) -> Option<[f32; 2]> {
    let (labels, _) = S::as_simd_u32s(sides.labels);
    let (cuts, _) = S::as_simd_f32s(sides.cuts);
    let none = simd.splat_f32s(f32::NEG_INFINITY);
    let (mut low, mut high) = (simd.splat_f32s(4.0), simd.splat_f32s(-1.0));
    for r in 0..TILE {
        let label = simd.splat_u32s(sides.row_labels[r]);
        let cut = simd.splat_f32s(sides.row_cuts[r]);
        let (row, _) = S::as_mut_simd_f32s(&mut tile.0[r]);
        for v in 0..TILE / S::F32_LANES {
            let c = simd.select_f32s(simd.equal_u32s(labels[v], label), none, row[v]);
            row[v] = c;
            let candidate = simd.greater_than_f32s(c, simd.min_f32s(cut, cuts[v]));
            let squared = simd.mul_f32s(c, c);
            high = simd.max_f32s(high, simd.select_f32s(candidate, squared, high));
            low = simd.min_f32s(low, simd.select_f32s(candidate, squared, low));
        }
    }
    let (low, high) = (simd.reduce_min_f32s(low), simd.reduce_max_f32s(high));
    (high >= 0.0).then_some([low, high])
}

/// A reference for each row and for each column: half the span below its largest weight.
fn own_references(law: &Law, sides: &Sides<'_>, tile: &Tile) -> [[f32; TILE]; 2] {
    let mut high = [[0.0_f32; TILE]; 2];
    for r in 0..TILE {
        for j in 0..TILE {
            let c = tile.0[r][j];
            if c > sides.row_cuts[r] {
                high[0][r] = high[0][r].max(c * c);
            }
            if c > sides.cuts[j] {
                high[1][j] = high[1][j].max(c * c);
            }
        }
    }
    high.map(|side| side.map(|c_squared| (law.bound(c_squared) - 0.5 * SPAN).round_ties_even()))
}

/// Three numbers a vector: the sum of weights, of their squares, and the count of candidates.
#[derive(Clone, Copy)]
struct Partial<S: Simd>(S::f32s, S::f32s, S::u32s);

impl<S: Simd> Partial<S> {
    #[inline(always)]
    fn zero(simd: S) -> Self {
        Self(simd.splat_f32s(0.0), simd.splat_f32s(0.0), simd.splat_u32s(0))
    }

    /// Adds `w` where `c > cut`.
    #[inline(always)]
    fn add(&mut self, simd: S, w: S::f32s, candidate: S::m32s, count: S::u32s) {
        let w = simd.select_f32s(candidate, w, simd.splat_f32s(0.0));
        self.0 = simd.add_f32s(self.0, w);
        self.1 = simd.mul_add_f32s(w, w, self.1);
        self.2 = simd.add_u32s(self.2, simd.select_u32s(candidate, count, simd.splat_u32s(0)));
    }
}

/// The two sums. `ACTIVE`: the ends of a pair have cuts of their own. `OWN`: they have references of their own.
#[inline(always)]
fn both<S: Simd, const ACTIVE: bool, const OWN: bool>(
    simd: S,
    law: &Law,
    sides: &Sides<'_>,
    tile: &Tile,
    references: &[[f32; TILE]; 2],
) -> [[Sums; TILE]; 2] {
    let slope = simd.splat_f32s(law.slope);
    let minus = references.map(|side| side.map(|reference| -reference));
    let caps = if OWN {
        references.map(|side| side.map(|reference| law.cap_over(reference)))
    } else {
        [[law.cap_over(references[0][0]); TILE]; 2]
    };
    let (minus_columns, _) = S::as_simd_f32s(&minus[1]);
    let (cap_columns, _) = S::as_simd_f32s(&caps[1]);
    let (cut_columns, _) = S::as_simd_f32s(sides.cuts);
    let (one, capped) = (simd.splat_u32s(1), simd.splat_u32s(1 + CAPPED));
    // Of each row, what its columns l and l + 16 come to.
    let mut row_sums = [[0.0_f32; HALF]; TILE];
    let mut row_squares = [[0.0_f32; HALF]; TILE];
    let mut row_counts = [[0_u32; HALF]; TILE];
    let mut column_sums = [0.0_f32; TILE];
    let mut column_squares = [0.0_f32; TILE];
    let mut column_counts = [0_u32; TILE];
    let vectors = HALF / S::F32_LANES;
    for u in 0..vectors {
        let mut columns = [Partial::zero(simd); 2];
        for r in 0..TILE {
            let (cosines, _) = S::as_simd_f32s(&tile.0[r]);
            let cut = simd.splat_f32s(sides.row_cuts[r]);
            let (minus_row, cap_row) = (simd.splat_f32s(minus[0][r]), simd.splat_f32s(caps[0][r]));
            let mut row = Partial::zero(simd);
            for h in 0..2 {
                let v = u + h * vectors;
                let c = cosines[v];
                let w = if OWN {
                    weight_or_zero(simd, slope, c, minus_row, cap_row)
                } else {
                    weight(simd, slope, c, minus_row, cap_row)
                };
                let count = simd.select_u32s(simd.less_than_f32s(w, cap_row), one, capped);
                let candidate = simd.greater_than_f32s(c, cut);
                row.add(simd, w, candidate, count);
                if OWN {
                    let w = weight_or_zero(simd, slope, c, minus_columns[v], cap_columns[v]);
                    let count = simd.select_u32s(simd.less_than_f32s(w, cap_columns[v]), one, capped);
                    columns[h].add(simd, w, simd.greater_than_f32s(c, cut_columns[v]), count);
                } else if ACTIVE {
                    columns[h].add(simd, w, simd.greater_than_f32s(c, cut_columns[v]), count);
                } else {
                    columns[h].add(simd, w, candidate, count);
                }
            }
            S::as_mut_simd_f32s(&mut row_sums[r]).0[u] = row.0;
            S::as_mut_simd_f32s(&mut row_squares[r]).0[u] = row.1;
            S::as_mut_simd_u32s(&mut row_counts[r]).0[u] = row.2;
        }
        for h in 0..2 {
            let v = u + h * vectors;
            S::as_mut_simd_f32s(&mut column_sums).0[v] = columns[h].0;
            S::as_mut_simd_f32s(&mut column_squares).0[v] = columns[h].1;
            S::as_mut_simd_u32s(&mut column_counts).0[v] = columns[h].2;
        }
    }
    let mut out = [[Sums::default(); TILE]; 2];
    for r in 0..TILE {
        out[0][r] = Sums {
            sum: halve(row_sums[r], |a, b| a + b),
            squares: halve(row_squares[r], |a, b| a + b),
            reference: references[0][r],
            ..counted(halve(row_counts[r], |a, b| a + b))
        };
        out[1][r] = Sums {
            sum: column_sums[r],
            squares: column_squares[r],
            reference: references[1][r],
            ..counted(column_counts[r])
        };
    }
    out
}

fn counted(count: u32) -> Sums {
    Sums { candidates: count % CAPPED, capped: count / CAPPED, ..Sums::default() }
}

/// Sum of sixteen numbers: halves onto each other, four times.
#[inline(always)]
fn halve<N: Copy>(mut lanes: [N; HALF], add: impl Fn(N, N) -> N) -> N {
    for width in [8, 4, 2, 1] {
        for l in 0..width {
            lanes[l] = add(lanes[l], lanes[l + width]);
        }
    }
    lanes[0]
}
