//! Negatives by kept sums: the block that the running sum ends in.

use core::f64::consts::LN_2;

use pulp::{Simd, WithSimd};

use super::cell::{Cell, inverse, power_of_two_f64};
use super::sums::Sums;
use super::tile::TILE;
use crate::sample::DrawReport;

/// A draw whose block is known.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pick {
    pub(super) anchor: u32,
    pub(super) positive: u32,
    /// Number of the draw among the anchor's.
    pub(super) index: u32,
    pub(super) block: u32,
    /// Where the running sum stops, within the block, over `2^reference`.
    pub(super) rest: f32,
    pub(super) reference: f32,
    /// `ln` of the probability of a weight of 1 over `2^reference`.
    pub(super) ln_one: f64,
    pub(super) negative: u32,
    pub(super) log_prob: f32,
    pub(super) second: Option<u32>,
    /// Place among all draws, anchors in order.
    pub(super) slot: u32,
}

/// The sums of the 32 anchors of a panel put together.
#[derive(Default)]
pub(super) struct Totals {
    /// The cells.
    cells: Vec<usize>,
    /// Running sums before each block, and that of all, over `2^reference`.
    running: Vec<[f64; TILE]>,
    pub(super) reference: [f32; TILE],
    /// Over `2^reference`.
    pub(super) total: [f64; TILE],
    squares: [f64; TILE],
    candidates: [f64; TILE],
    capped: [f64; TILE],
}

/// Reads the sums of a panel into `totals`, blocks in order.
pub(super) struct Read<'a> {
    pub(super) sums: &'a Sums<'a>,
    pub(super) panel: usize,
    pub(super) totals: &'a mut Totals,
}

impl WithSimd for Read<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { sums: &Sums { plan, kept, tallies, .. }, panel, totals } = self;
        totals.cells.clear();
        totals.cells.extend(plan.cells(panel));
        totals.running.clear();
        totals.running.push([0.0; TILE]);
        let cells = || totals.cells.iter().map(|&cell| &kept[cell]);
        let mut reference = [f32::NEG_INFINITY; TILE];
        for cell in cells() {
            for a in 0..TILE {
                let here = if cell.sum[a] > 0.0 { cell.reference[a] } else { f32::NEG_INFINITY };
                reference[a] = f32::max(reference[a], here);
            }
        }
        let (mut total, mut squares) = ([0.0; TILE], [0.0; TILE]);
        for cell in cells() {
            for a in 0..TILE {
                let scale = power_of_two_f64(cell.reference[a] - reference[a]);
                let scale = if cell.sum[a] > 0.0 { scale } else { 0.0 };
                total[a] += f64::from(cell.sum[a]) * scale;
            }
            totals.running.push(total);
        }
        let (mut candidates, mut capped) = ([0.0; TILE], [0.0; TILE]);
        for tally in plan.tallies(panel).map(|tally| &tallies[tally]) {
            for a in 0..TILE {
                let scale = power_of_two_f64(tally.reference[a] - reference[a]);
                let scale = if tally.squares[a] > 0.0 { scale } else { 0.0 };
                squares[a] += f64::from(tally.squares[a]) * (scale * scale);
                candidates[a] += f64::from(tally.candidates[a]);
                capped[a] += f64::from(tally.capped[a]);
            }
        }
        (totals.reference, totals.total, totals.squares) = (reference, total, squares);
        (totals.candidates, totals.capped) = (candidates, capped);
    }
}

impl Totals {
    /// What there is to report of anchor `a` of the panel, which has a candidate, but for its tuples.
    pub(super) fn report(&self, a: usize) -> DrawReport {
        DrawReport {
            anchors: 1,
            effective_negatives: self.total[a] * self.total[a] / self.squares[a],
            capped: self.capped[a] / self.candidates[a],
            ..DrawReport::default()
        }
    }

    /// The block in which the running sum of anchor `a` passes `uniform` of the total, and where in it.
    pub(super) fn pick(&self, kept: &[Cell], a: usize, ln_total: f64, uniform: f64) -> Pick {
        let target = uniform * self.total[a];
        // A block without weight adds nothing, so it is never the first to pass.
        let after = &self.running[1..];
        let passed = after.partition_point(|running| running[a] <= target);
        let block = if passed < after.len() {
            passed
        } else {
            after.partition_point(|running| running[a] < self.total[a])
        };
        let reference = kept[self.cells[block]].reference[a];
        let octaves = reference - self.reference[a];
        Pick {
            block: block as u32,
            rest: ((target - self.running[block][a]) * inverse(power_of_two_f64(octaves))) as f32,
            reference,
            ln_one: f64::from(octaves) * LN_2 - ln_total,
            ..Pick::default()
        }
    }
}
