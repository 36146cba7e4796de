//! Sums of the weights of a tile over its rows and columns.
//!
//! Where the weights of a tile span less than [`SPAN`], the tile has one reference for all, and one weight serves both
//! ends of a pair. It is that of the tile before where that serves: then no weight waits until the span is known.
//! Elsewhere every row and every column has its own.
//!
//! Logarithms of the whole tile come first, exponentials after them: a weight is one chain of some hundred cycles, and
//! in short loops a processor works on several at once.

use pulp::{Simd, WithSimd};

use super::cell::{Cell, Tally};
use super::known::Known;
use super::law::Law;
use super::partial::{Partial, Rows, lane, totals};
use super::tile::{HALF, TILE, Tile};
use super::weights::{Sides, inverse_distance, log_weight, or_zero, weight, weight_within};

/// Octaves that the weights of a tile may span around one reference: squares of weights must stay normal numbers.
const SPAN: f32 = 100.0;
/// Octaves that `1/d` may add to the bound on a weight.
const ABOVE_BOUND: f32 = 2.2;

/// What comes out of a tile.
#[derive(Default)]
pub(super) struct Out {
    /// Sums of each row over its columns, and of each column over its rows.
    pub(super) cells: [Cell; 2],
    /// Of each column.
    pub(super) columns: Tally,
}

/// Sums of a tile. `None` where there is no candidate.
pub(super) struct TileSums<'a> {
    pub(super) law: &'a Law,
    pub(super) sides: &'a Sides<'a>,
    pub(super) tile: &'a mut Tile,
    pub(super) logs: &'a mut Tile,
    pub(super) rows: &'a mut Rows,
    /// Of the rows: where they are closed into if their reference changes.
    pub(super) tally: &'a mut Tally,
    pub(super) out: &'a mut Out,
    /// Where the weights themselves are wanted.
    pub(super) known: Option<&'a mut Known>,
}

impl WithSimd for TileSums<'_> {
    /// Whether there is a candidate; `out` is written only then.
    type Output = bool;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> bool {
        let Self { law, sides, tile, logs, rows, tally, out, known } = self;
        let span = if sides.active {
            all_logs::<S, true>(simd, law, sides, tile, logs)
        } else {
            all_logs::<S, false>(simd, law, sides, tile, logs)
        };
        let Some([low, high]) = span else { return false };
        let capped = high + ABOVE_BOUND >= law.cap as f32;
        let (low, high) = (law.below_cap(low), law.below_cap(high));
        let weighted = Weighted { law, sides, tile, logs };
        if high - low > SPAN {
            let references = own_references(simd, &weighted);
            let mut own = Rows::new();
            weighted.sums::<S, true, true, true>(simd, &references, &mut own, out, known);
            own.close(simd, &references[0], tally);
            return true;
        }
        // Not an expression that chooses: that would wait for the span.
        if !(low >= rows.reference - 0.5 * SPAN && high <= rows.reference + 0.5 * SPAN) {
            rows.close_all(simd, tally);
            change(&mut rows.reference, low, high);
        }
        let references = [[rows.reference; TILE]; 2];
        match (sides.active, capped) {
            (false, false) => weighted.sums::<S, false, false, false>(simd, &references, rows, out, known),
            (false, true) => weighted.sums::<S, false, false, true>(simd, &references, rows, out, known),
            (true, _) => weighted.sums::<S, true, false, true>(simd, &references, rows, out, known),
        }
        true
    }
}

/// A reference for weights from `low` to `high`.
#[cold]
#[inline(never)]
fn change(reference: &mut f32, low: f32, high: f32) {
    *reference = (0.5 * (low + high)).round_ties_even();
}

/// Logarithms of all weights, and the least and the largest of candidates. `ACTIVE`: the ends of a pair have cuts of
/// their own.
#[inline(always)]
fn all_logs<S: Simd, const ACTIVE: bool>(
    simd: S,
    law: &Law,
    sides: &Sides<'_>,
    tile: &Tile,
    logs: &mut Tile,
) -> Option<[f32; 2]> {
    let slope = simd.splat_f32s(law.slope);
    let (cuts, _) = S::as_simd_f32s(sides.cuts);
    let (mut low, mut high) = (simd.splat_f32s(f32::INFINITY), simd.splat_f32s(-1.0));
    for r in 0..TILE {
        let row_cut = simd.splat_f32s(sides.row_cuts[r]);
        let ((row, _), (logs, _)) = (S::as_simd_f32s(&tile.0[r]), S::as_mut_simd_f32s(&mut logs.0[r]));
        for v in 0..TILE / S::F32_LANES {
            let log = log_weight(simd, slope, row[v]);
            logs[v] = log;
            let cut = if ACTIVE { simd.min_f32s(row_cut, cuts[v]) } else { row_cut };
            let candidate = simd.greater_than_f32s(row[v], cut);
            high = simd.select_f32s(candidate, simd.max_f32s(high, log), high);
            low = simd.select_f32s(candidate, simd.min_f32s(low, log), low);
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
        out: &mut Out,
        mut known: Option<&mut Known>,
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
        let [of_rows, of_columns] = &mut out.cells;
        let vectors = HALF / S::F32_LANES;
        for u in 0..vectors {
            let mut columns = [Partial::zero(simd); 2];
            for r in 0..TILE {
                let (cosines, _) = S::as_simd_f32s(&tile.0[r]);
                let (logs, _) = S::as_simd_f32s(&logs.0[r]);
                let cut = simd.splat_f32s(sides.row_cuts[r]);
                let (minus_row, cap_row) = (simd.splat_f32s(minus[0][r]), simd.splat_f32s(caps[0][r]));
                let squares = lane::<S>(&mut rows.squares[r], u);
                let candidates = lane::<S>(&mut rows.candidates[r], u);
                let capped = lane::<S>(&mut rows.capped[r], u);
                let mut row = Partial {
                    squares: *squares,
                    candidates: *candidates,
                    capped: *capped,
                    ..Partial::zero(simd)
                };
                for h in 0..2 {
                    let v = u + h * vectors;
                    let (c, log) = (cosines[v], logs[v]);
                    let inverse = inverse_distance(simd, c);
                    let mut w = if OWN {
                        or_zero(simd, weight(simd, log, inverse, minus_row))
                    } else {
                        weight_within::<S, CAP>(simd, log, inverse, minus_row)
                    };
                    let candidate = simd.greater_than_f32s(c, cut);
                    let to_row = row.add::<CAP>(simd, w, cap_row, candidate);
                    let (mut cap, mut of_column) = (cap_row, candidate);
                    if OWN {
                        w = or_zero(simd, weight(simd, log, inverse, minus_columns[v]));
                        cap = cap_columns[v];
                    }
                    if OWN || ACTIVE {
                        of_column = simd.greater_than_f32s(c, cut_columns[v]);
                    }
                    let to_column = columns[h].add::<CAP>(simd, w, cap, of_column);
                    if let Some(known) = &mut known {
                        *lane::<S>(&mut known.to_rows[r], v) = to_row;
                        *lane::<S>(&mut known.to_columns[r], v) = to_column;
                    }
                }
                *lane::<S>(&mut rows.sums[r], u) = row.sum;
                (*squares, *candidates) = (row.squares, row.candidates);
                if CAP {
                    *capped = row.capped;
                }
            }
            for h in 0..2 {
                let v = u + h * vectors;
                *lane::<S>(&mut of_columns.sum, v) = columns[h].sum;
                *lane::<S>(&mut out.columns.squares, v) = columns[h].squares;
                *lane::<S>(&mut out.columns.candidates, v) = columns[h].candidates;
                *lane::<S>(&mut out.columns.capped, v) = columns[h].capped;
            }
        }
        of_rows.sum = totals(simd, &rows.sums);
        [of_rows.reference, of_columns.reference] = *references;
        out.columns.reference = references[1];
    }
}
