//! Negatives by kept sums: first the block that the running sum ends in, then the sample within the block, whose
//! weights are computed again.

use core::f64::consts::LN_2;

use pulp::{Simd, WithSimd};

use super::cell::{Cell, power_of_two_f64};
use super::law::Law;
use super::math::log2;
use super::sums::Sums;
use super::tile::{TILE, Tile, cosines};
use super::weights::{log_weight, weight_or_zero};
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
    /// Running sums over the blocks, over `2^reference`.
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
        let passed = self.running.partition_point(|running| running[a] <= target);
        let block = if passed < self.running.len() {
            passed
        } else {
            self.running.partition_point(|running| running[a] < self.total[a])
        };
        let before = if block == 0 { 0.0 } else { self.running[block - 1][a] };
        let reference = kept[self.cells[block]].reference[a];
        let octaves = reference - self.reference[a];
        Pick {
            block: block as u32,
            rest: ((target - before) / power_of_two_f64(octaves)) as f32,
            reference,
            ln_one: f64::from(octaves) * LN_2 - ln_total,
            ..Pick::default()
        }
    }
}

/// Chooses the negatives of some draws, which are sorted by block.
pub(super) struct Choose<'a> {
    pub(super) sums: &'a Sums<'a>,
    pub(super) picks: &'a mut [Pick],
}

impl WithSimd for Choose<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { sums, picks } = self;
        let &Sums { plan, law, panels, labels, cuts, cosines: known, .. } = sums;
        let mut scratch = Vec::new();
        let (mut tile, mut logs) = (Tile::new(), Tile::new());
        for run in picks.chunk_by_mut(|a, b| a.block == b.block) {
            for group in run.chunks_mut(TILE) {
                let mut anchors = [0_u32; TILE];
                let mut walk = Walk::new(group);
                for (anchor, pick) in anchors.iter_mut().zip(group.iter()) {
                    *anchor = pick.anchor;
                }
                let panels_in_block = plan.block / TILE;
                let first = group[0].block as usize * panels_in_block;
                for panel in first..(first + panels_in_block).min(plan.panels()) {
                    if !walk.open[..group.len()].contains(&true) {
                        break;
                    }
                    let group = &*group;
                    if known.is_empty() {
                        let packed = panels.get(panel..panel + 1, &mut scratch);
                        let anchors = &anchors[..group.len()];
                        cosines(simd, &panels.batch, anchors, panel * TILE, packed, &mut tile);
                    } else {
                        for (row, pick) in tile.0.iter_mut().zip(group) {
                            *row = known_row(known, plan.panels_in_square(), pick.anchor as usize, panel);
                        }
                    }
                    let columns = (&labels[panel * TILE..][..TILE], labels, cuts);
                    weigh(simd, &law, group, columns, &mut tile, &mut logs);
                    walk.pass(&tile, panel, group.len());
                }
                let mut logs = walk.weight;
                for log in S::as_mut_simd_f32s(&mut logs).0 {
                    *log = log2(simd, *log);
                }
                for (r, pick) in group.iter_mut().enumerate() {
                    pick.negative = walk.chosen[r];
                    pick.log_prob = (f64::from(logs[r]) * LN_2 + pick.ln_one) as f32;
                }
            }
        }
    }
}

/// Running sums of up to 32 draws side by side.
struct Walk {
    rest: [f32; TILE],
    running: [f32; TILE],
    /// Whose running sum has not passed its rest.
    open: [bool; TILE],
    /// The sample where it passed, and its weight; until then the last with a weight, in case rounding leaves the
    /// rest beyond all.
    chosen: [u32; TILE],
    weight: [f32; TILE],
}

impl Walk {
    fn new(group: &[Pick]) -> Self {
        let mut rest = [0.0; TILE];
        for (rest, pick) in rest.iter_mut().zip(group) {
            *rest = pick.rest;
        }
        Self { rest, running: [0.0; TILE], open: [true; TILE], chosen: [0; TILE], weight: [1.0; TILE] }
    }

    /// Over the weights of one panel, a row of the tile for each draw.
    #[inline(always)]
    fn pass(&mut self, tile: &Tile, panel: usize, draws: usize) {
        let mut columns = [[0.0_f32; TILE]; TILE];
        for r in 0..draws {
            for j in 0..TILE {
                columns[j][r] = tile.0[r][j];
            }
        }
        // Samples up to which the running sum has not passed, and the last one with a weight.
        let (mut passed, mut last) = ([0_u32; TILE], [u32::MAX; TILE]);
        let (mut running, rest) = (self.running, self.rest);
        for j in 0..TILE {
            for r in 0..TILE {
                running[r] += columns[j][r];
                passed[r] += u32::from(running[r] <= rest[r]);
                last[r] = if columns[j][r] > 0.0 { j as u32 } else { last[r] };
            }
        }
        self.running = running;
        for r in 0..draws {
            if !self.open[r] {
                continue;
            }
            let at = if passed[r] < TILE as u32 { passed[r] } else { last[r] };
            if at < TILE as u32 {
                self.chosen[r] = (panel * TILE) as u32 + at;
                self.weight[r] = tile.0[r][at as usize];
            }
            self.open[r] = passed[r] == TILE as u32;
        }
    }
}

/// The cosines of one anchor with a panel among those of all pairs of panels.
fn known_row(known: &[Tile], panels: usize, anchor: usize, panel: usize) -> [f32; TILE] {
    let (own, at) = (anchor / TILE, anchor % TILE);
    if own <= panel {
        return known[own * panels + panel].0[at];
    }
    let tile = &known[panel * panels + own].0;
    core::array::from_fn(|j| tile[j][at])
}

/// Cosines of the anchors of some draws with a panel become weights. `(labels of the panel, labels, cuts)`.
#[inline(always)]
fn weigh<S: Simd>(
    simd: S,
    law: &Law,
    group: &[Pick],
    (panel_labels, labels, cuts): (&[u32], &[u32], &[f32]),
    tile: &mut Tile,
    logs: &mut Tile,
) {
    let slope = simd.splat_f32s(law.slope);
    for (row, logs) in tile.0.iter().zip(&mut logs.0).take(group.len()) {
        let ((row, _), (logs, _)) = (S::as_simd_f32s(row), S::as_mut_simd_f32s(logs));
        for (log, &c) in logs.iter_mut().zip(row) {
            *log = log_weight(simd, slope, c);
        }
    }
    let (panel_labels, _) = S::as_simd_u32s(panel_labels);
    let zero = simd.splat_f32s(0.0);
    for ((pick, row), logs) in group.iter().zip(&mut tile.0).zip(&logs.0) {
        let anchor = pick.anchor as usize;
        let (label, cut) = (simd.splat_u32s(labels[anchor]), simd.splat_f32s(cuts[anchor]));
        let minus_reference = simd.splat_f32s(-pick.reference);
        let cap = simd.splat_f32s(law.cap_over(pick.reference));
        let ((row, _), (logs, _)) = (S::as_mut_simd_f32s(row), S::as_simd_f32s(logs));
        for v in 0..TILE / S::F32_LANES {
            let w = weight_or_zero(simd, row[v], logs[v], minus_reference, cap);
            let w = simd.select_f32s(simd.greater_than_f32s(row[v], cut), w, zero);
            row[v] = simd.select_f32s(simd.equal_u32s(panel_labels[v], label), zero, w);
        }
    }
}
