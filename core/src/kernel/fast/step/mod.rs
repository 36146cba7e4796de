//! Distance weighted sampling of a whole batch in single precision, at the speed of the hardware.
//!
//! Weights are symmetric but for the far cut, so only the upper triangle of the matrix of pairs is computed, tile by
//! tile: cosines in registers, weights while the tile is near, sums of rows and columns, and the tile is forgotten.
//! What stays are the sums of each anchor over blocks of columns. A draw chooses the block by them and computes only
//! that block again. Memory beyond the embeddings is O(N m) and at most 64 MB \[R9\].
//!
//! The order of all sums is fixed by the shape: the same bits for any number of threads and any instruction set. Not
//! the bits of the reference: a draw differs from the reference's where its uniform number falls within rounding of
//! the border between two candidates.

mod classes;
mod draw;
mod law;
mod math;
mod plan;
mod tile;
mod weights;

#[cfg(test)]
mod tests;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::InstructionSet;
use crate::Scalar;
use crate::batch::{Embeddings, Row, Triplet};
use crate::distance;
use crate::rng::{Key, Stream};
use crate::sample::{Draw, DrawReport, Sampler};
use crate::weight::{EmptyRow, FarCut};
use classes::Classes;
use draw::{Choose, Pick, Totals};
use law::Law;
use plan::{Panels, Plan};
use tile::{Batch, TILE, Tile, cosines};
use weights::{Sides, Sums, sums};

/// Anchors whose sums one task puts together.
const ANCHORS: usize = 64;
/// Draws that one task finishes.
const DRAWS: usize = 128;
/// The block of draws that need none: their negative is known.
const DONE: u32 = u32::MAX;

/// Memory that stays between steps.
#[derive(Debug, Default)]
pub(super) struct Workspace {
    packed: Vec<f32>,
    kept: Vec<Sums>,
    cuts: Vec<f32>,
}

/// How work is spread: on one instruction set, over the threads of the pool that this runs in, or on this thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spread {
    pub(super) set: InstructionSet,
    pub(super) threads: bool,
}

impl Spread {
    /// `work(piece number, piece)` on each piece of `size` numbers.
    pub(super) fn pieces<N: Send>(
        self,
        data: &mut [N],
        size: usize,
        work: impl Fn(usize, &mut [N]) + Sync + Send,
    ) {
        if self.threads && data.len() > size {
            data.par_chunks_mut(size).enumerate().for_each(|(at, piece)| work(at, piece));
        } else {
            data.chunks_mut(size).enumerate().for_each(|(at, piece)| work(at, piece));
        }
    }
}

/// Draws for every (anchor, positive) pair, or `None` where this path does not apply: another sampler, another
/// precision, or a law that cosines in single precision are too coarse for (see [`Law::of`]).
pub(super) fn draw<T: Scalar>(
    spread: Spread,
    workspace: &mut Workspace,
    (x, labels, betas): (Embeddings<'_, T>, &[u32], &[T]),
    sampler: &Sampler<T>,
    key: Key,
    draws: &mut Vec<Draw<T>>,
) -> Option<DrawReport> {
    let Sampler::DistanceWeighted(weighting) = sampler else { return None };
    let single = T::as_single(x.as_slice()).filter(|_| x.count() > 1)?;
    let Workspace { packed, kept, cuts } = workspace;
    let law = Law::of(weighting, betas, cuts)?;
    let active = matches!(weighting.far(), FarCut::Active { .. });
    let plan = Plan::new(x.count());
    let padded = plan.panels() * TILE;
    cuts.resize(padded, f32::INFINITY);
    let mut all_labels = labels.to_vec();
    all_labels.resize(padded, 0);
    let single_rows = single.chunks_exact(x.dim());
    let mut lift: Vec<f32> = single_rows.map(|row| 0.5 * (1.0 - distance::dot(row, row))).collect();
    lift.resize(padded, f32::NEG_INFINITY);
    let batch = Batch { x: single, dim: x.dim(), count: x.count(), lift: &lift };
    let panels = Panels::new(batch, packed);
    kept.clear();
    kept.resize(plan.tasks() * plan.kept_by_task(), Sums::default());
    spread.pieces(kept, plan.kept_by_task(), |task, kept| {
        let (labels, cuts) = (&all_labels, &cuts);
        spread.set.run(Square { plan, law, panels, labels, cuts, active, task, kept });
    });

    let classes = Classes::new(labels);
    let mut groups: Vec<(Vec<Pick>, DrawReport)> = vec![Default::default(); x.count().div_ceil(ANCHORS)];
    spread.pieces(&mut groups, 1, |group, out| {
        let mut totals = Totals::new();
        let (picks, report) = &mut out[0];
        for anchor in group * ANCHORS..((group + 1) * ANCHORS).min(x.count()) {
            let class = classes.of(anchor);
            if class.len() == 1 || class.len() == x.count() {
                continue;
            }
            totals.read(&plan, kept, anchor);
            if totals.total > 0.0 {
                *report = report.plus(pick_all(&plan, kept, &totals, anchor, class, key, picks));
            } else if weighting.empty() == EmptyRow::Skip {
                let without_candidate = class.len() as u64 - 1;
                let (anchors, anchors_without_candidate) = (1, 1);
                *report = report.plus(DrawReport {
                    anchors,
                    without_candidate,
                    anchors_without_candidate,
                    ..DrawReport::default()
                });
            } else {
                *report = report.plus(draw_exactly(x, labels, betas[anchor], sampler, anchor, key, picks));
            }
        }
    });

    let mut report = DrawReport::default();
    let mut starts = vec![0_usize; plan.blocks() + 2];
    for (picks, of_group) in &groups {
        report = report.plus(*of_group);
        for pick in picks {
            starts[(pick.block as usize).min(plan.blocks()) + 1] += 1;
        }
    }
    for block in 0..=plan.blocks() {
        starts[block + 1] += starts[block];
    }
    let mut sorted = vec![Pick::default(); starts[plan.blocks() + 1]];
    let picks = groups.iter().flat_map(|(picks, _)| picks);
    for (slot, pick) in picks.enumerate() {
        let start = &mut starts[(pick.block as usize).min(plan.blocks())];
        sorted[*start] = Pick { slot: slot as u32, ..*pick };
        *start += 1;
    }
    let second_key = key.with_stream(Stream::SecondNegatives);
    spread.pieces(&mut sorted, DRAWS, |_, picks| {
        let open = picks.partition_point(|pick| pick.block < DONE);
        let (labels, cuts) = (&all_labels, &cuts);
        spread.set.run(Choose { plan, law, panels, labels, cuts, picks: &mut picks[..open] });
        for pick in picks {
            pick.second = classes.third(pick.anchor, pick.negative, second_key, pick.index);
        }
    });
    draws.clear();
    draws.resize(sorted.len(), Draw::default());
    for pick in sorted {
        let Pick { anchor, positive, negative, second, .. } = pick;
        let log_prob = T::from_f64(f64::from(pick.log_prob));
        draws[pick.slot as usize] =
            Draw { triplet: Triplet { anchor, positive, negative }, second, log_prob };
    }
    Some(report)
}

/// The blocks of one anchor's draws.
fn pick_all(
    plan: &Plan,
    kept: &[Sums],
    totals: &Totals,
    anchor: usize,
    class: &[u32],
    key: Key,
    picks: &mut Vec<Pick>,
) -> DrawReport {
    let draws = class.len() - 1;
    let mut report = DrawReport { anchors: 1, triplets: draws as u64, ..DrawReport::default() };
    if totals.candidates > 0 {
        report.capped = f64::from(totals.capped) / f64::from(totals.candidates);
    }
    let positives = class.iter().filter(|&&i| i as usize != anchor);
    for (index, &positive) in (0..).zip(positives) {
        report.effective_negatives += totals.effective / draws as f64;
        let pick = totals.pick(plan, kept, anchor, key.uniform(anchor as u32, index));
        picks.push(Pick { positive, index, ..pick });
    }
    report
}

/// The draws of an anchor without a candidate whose policy gives it one: by its exact row.
fn draw_exactly<T: Scalar>(
    x: Embeddings<'_, T>,
    labels: &[u32],
    beta: T,
    sampler: &Sampler<T>,
    anchor: usize,
    key: Key,
    picks: &mut Vec<Pick>,
) -> DrawReport {
    let distances: Vec<T> = x.rows().map(|other| distance::distance(x.row(anchor), other)).collect();
    let row = Row { anchor, labels, distances: &distances, beta };
    let mut scratch = vec![T::ZERO; labels.len()];
    let mut index = 0;
    sampler.draw_row(&row, None, key, &mut scratch, &mut |draw: Draw<T>| {
        let Triplet { anchor, positive, negative } = draw.triplet;
        let log_prob = draw.log_prob.to_f64() as f32;
        picks.push(Pick { anchor, positive, index, block: DONE, negative, log_prob, ..Pick::default() });
        index += 1;
    })
}

/// The sums of one square of the plan.
struct Square<'a> {
    plan: Plan,
    law: Law,
    panels: Panels<'a>,
    labels: &'a [u32],
    cuts: &'a [f32],
    active: bool,
    task: usize,
    kept: &'a mut [Sums],
}

impl WithSimd for Square<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { plan, law, panels, labels, cuts, active, task, kept } = self;
        let (across, down) = plan.square(task);
        let panels_in_square = plan.rows / TILE;
        let here =
            |square: usize| square * panels_in_square..((square + 1) * panels_in_square).min(plan.panels());
        let (of_rows, of_columns) = kept.split_at_mut(plan.kept_by_task() / 2);
        // Within the square: the sums of the 32 anchors of a panel over the block that another panel lies in.
        let place = |panel: usize, other: usize| {
            let block = (other % panels_in_square) * TILE / plan.block;
            block * plan.rows + (panel % panels_in_square) * TILE
        };
        let mut scratch = Vec::new();
        let mut tile = Tile::new();
        for j in here(down) {
            let packed = panels.get(j, &mut scratch);
            for i in here(across).filter(|&i| i <= j) {
                let mut anchors = [0; TILE];
                for (r, anchor) in anchors.iter_mut().enumerate() {
                    *anchor = (i * TILE + r) as u32;
                }
                cosines(simd, &panels.batch, &anchors, j * TILE, packed, &mut tile);
                let side = |panel: usize| panel * TILE..(panel + 1) * TILE;
                let sides = Sides {
                    row_labels: &labels[side(i)],
                    row_cuts: &cuts[side(i)],
                    labels: &labels[side(j)],
                    cuts: &cuts[side(j)],
                    active,
                };
                let Some([rows, columns]) = sums(simd, &law, &sides, &mut tile) else { continue };
                for (kept, sums) in of_rows[place(i, j)..].iter_mut().zip(&rows) {
                    kept.add(sums);
                }
                if i != j {
                    let kept = if across == down { &mut *of_rows } else { &mut *of_columns };
                    for (kept, sums) in kept[place(j, i)..].iter_mut().zip(&columns) {
                        kept.add(sums);
                    }
                }
            }
        }
    }
}
