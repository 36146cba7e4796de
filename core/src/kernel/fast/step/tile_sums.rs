//! Sums of the weights of a tile over its rows and columns.
//!
//! Where the weights of a tile span less than [`SPAN`], the tile has one reference for all, and one weight serves both
//! ends of a pair. Elsewhere every row and every column has its own.
//!
//! Logarithms of the whole tile come first, exponentials after them: a weight is one chain of some hundred cycles, and
//! in short loops a processor works on several at once.

use pulp::{Simd, WithSimd};

use super::cell::Cell;
use super::law::Law;
use super::tile::{HALF, TILE, Tile};
use super::weights::{Sides, inverse_distance, log_weight, or_zero, part_classes, weight};

/// Octaves that the weights of a tile may span around one reference: squares of weights must stay normal numbers.
const SPAN: f32 = 100.0;
/// Octaves that `1/d` may add to the bound on a weight.
const ABOVE_BOUND: f32 = 2.2;
/// One capped candidate in a count; one candidate is 1.
const CAPPED: u32 = 1 << 16;

/// What is written down between the passes over a tile.
pub(super) struct Scratch {
    logs: Tile,
    rows: Rows,
}

/// Of each row, what its columns l and l + 16 come to.
struct Rows {
    sums: [[f32; HALF]; TILE],
    squares: [[f32; HALF]; TILE],
    counts: [[u32; HALF]; TILE],
}

impl Scratch {
    pub(super) const fn new() -> Self {
        let zeros = [[0.0; HALF]; TILE];
        Self { logs: Tile::new(), rows: Rows { sums: zeros, squares: zeros, counts: [[0; HALF]; TILE] } }
    }
}

/// Sums of a tile: of each row over its columns, and of each column over its rows. `None` where there is no candidate.
pub(super) struct TileSums<'a> {
    pub(super) law: &'a Law,
    pub(super) sides: &'a Sides<'a>,
    pub(super) tile: &'a mut Tile,
    pub(super) scratch: &'a mut Scratch,
    pub(super) out: &'a mut [Cell; 2],
}

impl WithSimd for TileSums<'_> {
    /// Whether there is a candidate; `out` is written only then.
    type Output = bool;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> bool {
        let Self { law, sides, tile, scratch, out } = self;
        let Scratch { logs, rows } = scratch;
        if sides.may_match() {
            part_classes(simd, sides, tile);
        }
        let Some([low, high]) = all_logs(simd, law, sides, tile, logs) else { return false };
        let capped = high + ABOVE_BOUND >= law.cap as f32;
        let (low, high) = (law.below_cap(low), law.below_cap(high));
        let weighted = Weighted { law, sides, tile, logs };
        if high - low > SPAN {
            let references = own_references(simd, &weighted);
            weighted.sums::<S, true, true, true>(simd, &references, rows, out);
            return true;
        }
        let references = [[(0.5 * (low + high)).round_ties_even(); TILE]; 2];
        match (sides.active, capped) {
            (false, false) => weighted.sums::<S, false, false, false>(simd, &references, rows, out),
            (false, true) => weighted.sums::<S, false, false, true>(simd, &references, rows, out),
            (true, _) => weighted.sums::<S, true, false, true>(simd, &references, rows, out),
        }
        true
    }
}

/// Logarithms of all weights, and the least and the largest of candidates.
#[inline(always)]
fn all_logs<S: Simd>(
    simd: S,
    law: &Law,
    sides: &Sides<'_>,
    tile: &Tile,
    logs: &mut Tile,
) -> Option<[f32; 2]> {
    let slope = simd.splat_f32s(law.slope);
    let (cuts, _) = S::as_simd_f32s(sides.cuts);
    let (none_low, none_high) = (simd.splat_f32s(f32::INFINITY), simd.splat_f32s(-1.0));
    let (mut low, mut high) = (none_low, none_high);
    for r in 0..TILE {
        let cut = simd.splat_f32s(sides.row_cuts[r]);
        let ((row, _), (logs, _)) = (S::as_simd_f32s(&tile.0[r]), S::as_mut_simd_f32s(&mut logs.0[r]));
        for v in 0..TILE / S::F32_LANES {
            let log = log_weight(simd, slope, row[v]);
            logs[v] = log;
            let candidate = simd.greater_than_f32s(row[v], simd.min_f32s(cut, cuts[v]));
            high = simd.max_f32s(high, simd.select_f32s(candidate, log, none_high));
            low = simd.min_f32s(low, simd.select_f32s(candidate, log, none_low));
        }
    }
    // Logarithms of candidates are positive but for rounding around 0.
    let (low, high) = (simd.reduce_min_f32s(low), simd.reduce_max_f32s(high));
    (low < f32::INFINITY).then_some([low, high])
}

/// A reference for each row and for each column: half the span below its largest weight.
#[inline(always)]
fn own_references<S: Simd>(simd: S, of: &Weighted<'_>) -> [[f32; TILE]; 2] {
    let (cuts, _) = S::as_simd_f32s(of.sides.cuts);
    let mut high = [[0.0_f32; TILE]; 2];
    let [of_rows, of_columns] = &mut high;
    let (of_columns, _) = S::as_mut_simd_f32s(of_columns);
    let zero = simd.splat_f32s(0.0);
    for r in 0..TILE {
        let cut = simd.splat_f32s(of.sides.row_cuts[r]);
        let mut of_row = zero;
        let ((row, _), (logs, _)) = (S::as_simd_f32s(&of.tile.0[r]), S::as_simd_f32s(&of.logs.0[r]));
        for v in 0..TILE / S::F32_LANES {
            let to_row = simd.select_f32s(simd.greater_than_f32s(row[v], cut), logs[v], zero);
            let to_column = simd.select_f32s(simd.greater_than_f32s(row[v], cuts[v]), logs[v], zero);
            of_row = simd.max_f32s(of_row, to_row);
            of_columns[v] = simd.max_f32s(of_columns[v], to_column);
        }
        of_rows[r] = simd.reduce_max_f32s(of_row);
    }
    high.map(|side| side.map(|high| (of.law.below_cap(high) - 0.5 * SPAN).round_ties_even()))
}

/// Three numbers a vector: the sum of weights, of their squares, and the count of candidates.
#[derive(Clone, Copy)]
struct Partial<S: Simd>(S::f32s, S::f32s, S::u32s);

impl<S: Simd> Partial<S> {
    #[inline(always)]
    fn zero(simd: S) -> Self {
        Self(simd.splat_f32s(0.0), simd.splat_f32s(0.0), simd.splat_u32s(0))
    }

    #[inline(always)]
    fn add(&mut self, simd: S, other: Self) {
        self.0 = simd.add_f32s(self.0, other.0);
        self.1 = simd.add_f32s(self.1, other.1);
        self.2 = simd.add_u32s(self.2, other.2);
    }
}

/// What weights that are candidates add.
#[inline(always)]
fn terms<S: Simd, const CAP: bool>(simd: S, w: S::f32s, cap: S::f32s, candidate: S::m32s) -> Partial<S> {
    let w = if CAP { simd.min_f32s(w, cap) } else { w };
    let count = if CAP {
        let (one, capped) = (simd.splat_u32s(1), simd.splat_u32s(1 + CAPPED));
        simd.select_u32s(simd.less_than_f32s(w, cap), one, capped)
    } else {
        simd.splat_u32s(1)
    };
    let w = simd.select_f32s(candidate, w, simd.splat_f32s(0.0));
    Partial(w, simd.mul_f32s(w, w), simd.select_u32s(candidate, count, simd.splat_u32s(0)))
}

/// A tile whose logarithms are known.
struct Weighted<'a> {
    law: &'a Law,
    sides: &'a Sides<'a>,
    tile: &'a Tile,
    logs: &'a Tile,
}

impl Weighted<'_> {
    /// The two sums. `ACTIVE`: the ends of a pair have cuts of their own. `OWN`: they have references of their own.
    /// `CAP`: weights may reach the cap.
    #[inline(always)]
    fn sums<S: Simd, const ACTIVE: bool, const OWN: bool, const CAP: bool>(
        &self,
        simd: S,
        references: &[[f32; TILE]; 2],
        rows: &mut Rows,
        out: &mut [Cell; 2],
    ) {
        let Self { law, sides, tile, logs } = *self;
        let minus = references.map(|side| side.map(|reference| -reference));
        let caps = if OWN {
            references.map(|side| side.map(|reference| law.cap_over(reference)))
        } else {
            [[law.cap_over(references[0][0]); TILE]; 2]
        };
        let (minus_columns, _) = S::as_simd_f32s(&minus[1]);
        let (cap_columns, _) = S::as_simd_f32s(&caps[1]);
        let (cut_columns, _) = S::as_simd_f32s(sides.cuts);
        let mut column_counts = [0_u32; TILE];
        let [of_rows, of_columns] = &mut *out;
        let vectors = HALF / S::F32_LANES;
        for u in 0..vectors {
            let mut columns = [Partial::zero(simd); 2];
            for r in 0..TILE {
                let (cosines, _) = S::as_simd_f32s(&tile.0[r]);
                let (logs, _) = S::as_simd_f32s(&logs.0[r]);
                let cut = simd.splat_f32s(sides.row_cuts[r]);
                let (minus_row, cap_row) = (simd.splat_f32s(minus[0][r]), simd.splat_f32s(caps[0][r]));
                let mut row = Partial::zero(simd);
                for h in 0..2 {
                    let v = u + h * vectors;
                    let (c, log) = (cosines[v], logs[v]);
                    let inverse = inverse_distance(simd, c);
                    let mut w = weight(simd, log, inverse, minus_row);
                    if OWN {
                        w = or_zero(simd, w);
                    }
                    let candidate = simd.greater_than_f32s(c, cut);
                    let to_row = terms::<S, CAP>(simd, w, cap_row, candidate);
                    if h == 0 {
                        row = to_row;
                    } else {
                        row.add(simd, to_row);
                    }
                    if OWN || ACTIVE {
                        if OWN {
                            w = or_zero(simd, weight(simd, log, inverse, minus_columns[v]));
                        }
                        let candidate = simd.greater_than_f32s(c, cut_columns[v]);
                        columns[h].add(simd, terms::<S, CAP>(simd, w, cap_columns[v], candidate));
                    } else {
                        columns[h].add(simd, to_row);
                    }
                }
                S::as_mut_simd_f32s(&mut rows.sums[r]).0[u] = row.0;
                S::as_mut_simd_f32s(&mut rows.squares[r]).0[u] = row.1;
                S::as_mut_simd_u32s(&mut rows.counts[r]).0[u] = row.2;
            }
            for h in 0..2 {
                let v = u + h * vectors;
                S::as_mut_simd_f32s(&mut of_columns.sum).0[v] = columns[h].0;
                S::as_mut_simd_f32s(&mut of_columns.squares).0[v] = columns[h].1;
                S::as_mut_simd_u32s(&mut column_counts).0[v] = columns[h].2;
            }
        }
        of_rows.sum = halve(&rows.sums, |a, b| a + b);
        of_rows.squares = halve(&rows.squares, |a, b| a + b);
        for (counts, cell) in [(halve(&rows.counts, |a, b| a + b), of_rows), (column_counts, of_columns)] {
            cell.candidates = counts.map(|count| count % CAPPED);
            cell.capped = counts.map(|count| count / CAPPED);
        }
        [out[0].reference, out[1].reference] = *references;
    }
}

/// Of each row the sum of its sixteen numbers: halves onto each other, four times.
#[inline(always)]
fn halve<N: Copy + Default>(rows: &[[N; HALF]; TILE], add: impl Fn(N, N) -> N) -> [N; TILE] {
    // Step by step over all rows, so that each step is made of vectors.
    let (mut eight, mut four, mut one) =
        ([[N::default(); 8]; TILE], [[N::default(); 4]; TILE], [N::default(); TILE]);
    for r in 0..TILE {
        for l in 0..8 {
            eight[r][l] = add(rows[r][l], rows[r][l + 8]);
        }
    }
    for r in 0..TILE {
        for l in 0..4 {
            four[r][l] = add(eight[r][l], eight[r][l + 4]);
        }
    }
    for r in 0..TILE {
        one[r] = add(add(four[r][0], four[r][2]), add(four[r][1], four[r][3]));
    }
    one
}
