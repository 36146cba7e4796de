//! Negatives within the block that was drawn: by weights that are known, or that are computed again.

use core::f64::consts::LN_2;

use pulp::{Simd, WithSimd};

use super::draw::Pick;
use super::known::weights;
use super::law::Law;
use super::math::log2;
use super::sums::Sums;
use super::tile::{TILE, Tile, cosines, turn_tile};
use super::weights::{log_weight, weight_or_zero};

/// Chooses the negatives of some draws: in any order where all weights are known, else sorted by block.
pub(super) struct Choose<'a> {
    pub(super) sums: &'a Sums<'a>,
    pub(super) picks: &'a mut [Pick],
}

impl WithSimd for Choose<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { sums, picks } = self;
        if sums.known.is_empty() {
            weighed_again(simd, sums, picks);
        } else {
            by_known(simd, sums, picks);
        }
    }
}

/// By the weights that were summed; a block is a panel.
#[inline(always)]
fn by_known<S: Simd>(simd: S, sums: &Sums<'_>, picks: &mut [Pick]) {
    let panels = sums.plan.panels_in_square();
    let (mut rows, mut columns) = ([[0.0; TILE]; TILE], [[0.0; TILE]; TILE]);
    for group in picks.chunks_mut(TILE) {
        for (row, pick) in rows.iter_mut().zip(group.iter()) {
            *row = *weights(sums.known, panels, pick.anchor as usize, pick.block as usize);
        }
        let mut walk = Walk::new(group);
        turn_tile(simd, &rows, &mut columns);
        walk.pass(&columns, |r| group[r].block as usize, group.len());
        walk.settle(simd, group);
    }
}

/// By weights of the anchors with each panel of the block.
#[inline(always)]
fn weighed_again<S: Simd>(simd: S, sums: &Sums<'_>, picks: &mut [Pick]) {
    let &Sums { plan, law, panels, labels, cuts, .. } = sums;
    let labels = labels.all;
    let mut scratch = Vec::new();
    let (mut tile, mut logs, mut columns) = (Tile::new(), Tile::new(), [[0.0; TILE]; TILE]);
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
                let packed = panels.get(simd, panel..panel + 1, &mut scratch);
                let anchors = &anchors[..group.len()];
                cosines(simd, &panels.batch, anchors, panel * TILE, packed, &mut tile);
                let sides = (&labels[panel * TILE..][..TILE], labels, cuts);
                weigh(simd, &law, group, sides, &mut tile, &mut logs);
                let (rows, _) = tile.0.split_first_chunk().expect("more than a tile");
                turn_tile(simd, rows, &mut columns);
                walk.pass(&columns, |_| panel, group.len());
            }
            walk.settle(simd, group);
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

    /// Over the weights of one panel for each draw: `columns[j][r]` that of its sample j for draw r.
    #[inline(always)]
    fn pass(&mut self, columns: &[[f32; TILE]; TILE], panel_of: impl Fn(usize) -> usize, draws: usize) {
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
                self.chosen[r] = (panel_of(r) * TILE) as u32 + at;
                self.weight[r] = columns[at as usize][r];
            }
            self.open[r] = passed[r] == TILE as u32;
        }
    }

    /// What was chosen, and the probability of it.
    #[inline(always)]
    fn settle<S: Simd>(&self, simd: S, group: &mut [Pick]) {
        let mut logs = self.weight;
        for log in S::as_mut_simd_f32s(&mut logs).0 {
            *log = log2(simd, *log);
        }
        for (r, pick) in group.iter_mut().enumerate() {
            pick.negative = self.chosen[r];
            pick.log_prob = (f64::from(logs[r]) * LN_2 + pick.ln_one) as f32;
        }
    }
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
