//! Negatives by kept sums: first the block that the running sum ends in, then the sample within the block, whose
//! weights are computed again.

use core::f64::consts::LN_2;

use pulp::{Simd, WithSimd};

use super::law::Law;
use super::plan::{Panels, Plan};
use super::tile::{TILE, Tile, cosines};
use super::weights::{Sums, weight_or_zero};
use crate::Scalar;

/// A draw whose block is known.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pick {
    pub(super) anchor: u32,
    pub(super) positive: u32,
    /// Number of the draw among the anchor's.
    pub(super) index: u32,
    pub(super) block: u32,
    /// Where the running sum stops, within the block, over `2^reference`.
    pub(super) rest: f64,
    pub(super) reference: f32,
    /// `ln` of the probability of a weight of 1 over `2^reference`.
    pub(super) ln_one: f64,
    pub(super) negative: u32,
    pub(super) log_prob: f32,
    pub(super) second: Option<u32>,
    /// Place among all draws, anchors in order.
    pub(super) slot: u32,
}

/// The sums of one anchor put together.
pub(super) struct Totals {
    /// Running sums over the blocks, over `2^reference`.
    running: Vec<f64>,
    reference: f32,
    ln_total: f64,
    pub(super) total: f64,
    pub(super) effective: f64,
    pub(super) candidates: u32,
    pub(super) capped: u32,
}

impl Totals {
    pub(super) fn new() -> Self {
        Self {
            running: Vec::new(),
            reference: 0.0,
            ln_total: 0.0,
            total: 0.0,
            effective: 0.0,
            candidates: 0,
            capped: 0,
        }
    }

    /// Reads the sums of `anchor`, blocks in order.
    pub(super) fn read(&mut self, plan: &Plan, kept: &[Sums], anchor: usize) {
        let blocks = || plan.sums_of(kept, anchor);
        self.reference = blocks()
            .filter(|sums| sums.sum > 0.0)
            .fold(f32::NEG_INFINITY, |reference, sums| f32::max(reference, sums.reference));
        let (mut squares, mut total) = (0.0, 0.0);
        (self.candidates, self.capped) = (0, 0);
        self.running.clear();
        for sums in blocks() {
            self.candidates += sums.candidates;
            self.capped += sums.capped;
            if sums.sum > 0.0 {
                let scale = power_of_two(sums.reference - self.reference);
                total += f64::from(sums.sum) * scale;
                squares += f64::from(sums.squares) * scale * scale;
            }
            self.running.push(total);
        }
        self.total = total;
        self.effective = total * total / squares;
        self.ln_total = Scalar::ln(total);
    }

    /// The block in which the running sum passes `uniform` of the total, and where in it.
    pub(super) fn pick(&self, plan: &Plan, kept: &[Sums], anchor: usize, uniform: f64) -> Pick {
        let target = uniform * self.total;
        // A block without weight adds nothing, so it is never the first to pass.
        let passed = self.running.partition_point(|&running| running <= target);
        let block = if passed < self.running.len() {
            passed
        } else {
            self.running.partition_point(|&running| running < self.total)
        };
        let before = if block == 0 { 0.0 } else { self.running[block - 1] };
        let reference = kept[plan.place(anchor, block)].reference;
        let octaves = reference - self.reference;
        Pick {
            anchor: anchor as u32,
            block: block as u32,
            rest: (target - before) / power_of_two(octaves),
            reference,
            ln_one: f64::from(octaves) * LN_2 - self.ln_total,
            ..Pick::default()
        }
    }
}

/// `2^x` for a whole number `x <= 0`; 0 below -1000.
fn power_of_two(x: f32) -> f64 {
    if x < -1000.0 { 0.0 } else { f64::from_bits(((x as i64 + 1023) as u64) << 52) }
}

/// Chooses the negatives of some draws, which are sorted by block.
pub(super) struct Choose<'a> {
    pub(super) plan: Plan,
    pub(super) law: Law,
    pub(super) panels: Panels<'a>,
    /// Labels and least cosines, padded to whole panels.
    pub(super) labels: &'a [u32],
    pub(super) cuts: &'a [f32],
    pub(super) picks: &'a mut [Pick],
}

impl WithSimd for Choose<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { plan, law, panels, labels, cuts, picks } = self;
        let mut scratch = Vec::new();
        let mut tile = Tile::new();
        for run in picks.chunk_by_mut(|a, b| a.block == b.block) {
            for group in run.chunks_mut(TILE) {
                let mut anchors = [0_u32; TILE];
                // The running sum, and the last weight that is not 0, in case rounding leaves the target beyond all.
                let mut running = [0.0_f64; TILE];
                let mut last = [(0_u32, 0.0_f32); TILE];
                let mut open = [true; TILE];
                for (anchor, pick) in anchors.iter_mut().zip(group.iter()) {
                    *anchor = pick.anchor;
                }
                let panels_in_block = plan.block / TILE;
                let first = group[0].block as usize * panels_in_block;
                for panel in first..(first + panels_in_block).min(plan.panels()) {
                    if !open[..group.len()].contains(&true) {
                        break;
                    }
                    let packed = panels.get(panel, &mut scratch);
                    cosines(simd, &panels.batch, &anchors[..group.len()], panel * TILE, packed, &mut tile);
                    let labels_here = &labels[panel * TILE..][..TILE];
                    for (r, pick) in group.iter().enumerate() {
                        if !open[r] {
                            continue;
                        }
                        let row = &mut tile.0[r];
                        let anchor = pick.anchor as usize;
                        weigh(simd, &law, pick, labels[anchor], cuts[anchor], labels_here, row);
                        for (j, &w) in row.iter().enumerate() {
                            if w > 0.0 {
                                running[r] += f64::from(w);
                                last[r] = ((panel * TILE + j) as u32, w);
                                if pick.rest < running[r] {
                                    open[r] = false;
                                    break;
                                }
                            }
                        }
                    }
                }
                for (r, pick) in group.iter_mut().enumerate() {
                    let (negative, w) = last[r];
                    pick.negative = negative;
                    pick.log_prob = (Scalar::ln(f64::from(w)) + pick.ln_one) as f32;
                }
            }
        }
    }
}

/// Cosines of one anchor with a panel become weights.
#[inline(always)]
fn weigh<S: Simd>(
    simd: S,
    law: &Law,
    pick: &Pick,
    label: u32,
    cut: f32,
    labels: &[u32],
    row: &mut [f32; TILE],
) {
    let (labels, _) = S::as_simd_u32s(labels);
    let (row, _) = S::as_mut_simd_f32s(row);
    let (slope, cap) = (simd.splat_f32s(law.slope), simd.splat_f32s(law.cap_over(pick.reference)));
    let minus_reference = simd.splat_f32s(-pick.reference);
    let (label, cut) = (simd.splat_u32s(label), simd.splat_f32s(cut));
    let zero = simd.splat_f32s(0.0);
    for v in 0..TILE / S::F32_LANES {
        let w = weight_or_zero(simd, slope, row[v], minus_reference, cap);
        let w = simd.select_f32s(simd.greater_than_f32s(row[v], cut), w, zero);
        row[v] = simd.select_f32s(simd.equal_u32s(labels[v], label), zero, w);
    }
}
