//! Distance weighted sampling of a whole batch in single precision, at the speed of the hardware.
//!
//! Weights are symmetric but for the far cut, so only the upper triangle of the matrix of pairs is computed, tile by
//! tile: cosines in registers, weights while the tile is near, sums of rows and columns, and the tile is forgotten.
//! What a memory holds has columns and no rows: of its pairs with each other none is looked at.
//! What stays are the sums of each anchor over blocks of columns. A draw chooses the block by them and computes only
//! that block again. Storage beyond the embeddings is O(N m) and at most 64 MB \[R9\].
//!
//! The order of all sums is fixed by the shape: the same bits for any number of threads and any instruction set. Not
//! the bits of the reference: a draw differs from the reference's where its uniform number falls within rounding of
//! the border between two candidates.

mod cell;
mod classes;
mod draw;
mod law;
pub(super) mod math;
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
use cell::Cell;
use classes::Classes;
use draw::{Choose, Pick, Read, Totals};
use law::Law;
use plan::{Panels, Plan};
use tile::{Batch, Lifts, TILE, Tile, cosines};
use weights::{Sides, TileSums};

/// Panels of anchors whose sums one task puts together.
const PANELS: usize = 4;
/// Rows of a square whose cosines are kept: those of all its tiles lie in a second cache.
const KNOWN: usize = 128;
/// Draws that one task finishes.
const DRAWS: usize = 128;
/// The block of draws that need none: their negative is known.
const DONE: u32 = u32::MAX;

/// Memory that stays between steps.
#[derive(Debug, Default)]
pub(super) struct Workspace {
    packed: Vec<f32>,
    kept: Vec<Cell>,
    cuts: Vec<f32>,
    labels: Vec<u32>,
    lift: Vec<f32>,
    groups: Vec<(Vec<Pick>, DrawReport)>,
    sorted: Vec<Pick>,
    cosines: Vec<Tile>,
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
    let Workspace { packed, kept, cuts, labels: all_labels, lift, groups, sorted, cosines } = workspace;
    let law = Law::of(weighting, betas, cuts)?;
    let active = matches!(weighting.far(), FarCut::Active { .. });
    let anchors = betas.len();
    let plan = Plan::new(anchors, x.count());
    let padded = plan.panels() * TILE;
    cuts.resize(padded, f32::INFINITY);
    all_labels.clear();
    all_labels.extend_from_slice(labels);
    all_labels.resize(padded, 0);
    lift.clear();
    lift.resize(padded, f32::NEG_INFINITY);
    spread.set.run(Lifts { x: single, dim: x.dim(), out: lift });
    let batch = Batch { x: single, dim: x.dim(), count: x.count(), lift };
    let panels = Panels::new(batch, packed);
    kept.resize(plan.tasks() * plan.kept_by_task(), Cell::default());
    // Of a batch of one square all cosines are kept, so that no draw computes them again.
    let one_square = plan.tasks() == 1 && plan.rows <= KNOWN;
    cosines.resize_with(if one_square { plan.panels_in_square().pow(2) } else { 0 }, Tile::new);
    let (labels_here, cuts) = (&*all_labels, &*cuts);
    let square = |task: usize, kept: &mut [Cell], cosines: &mut [Tile]| {
        let labels = labels_here;
        spread.set.run(Square { plan, law, panels, labels, cuts, active, task, kept, cosines });
    };
    if one_square {
        square(0, kept, cosines);
    } else {
        spread.pieces(kept, plan.kept_by_task(), |task, kept| square(task, kept, &mut []));
    }

    let classes = Classes::new(anchors, labels);
    groups.resize_with(plan.panels_of_anchors().div_ceil(PANELS), Default::default);
    spread.pieces(groups, 1, |group, out| {
        let mut totals = Totals::default();
        let (picks, report) = &mut out[0];
        picks.clear();
        *report = DrawReport::default();
        for panel in group * PANELS..((group + 1) * PANELS).min(plan.panels_of_anchors()) {
            spread.set.run(Read { plan: &plan, kept, panel, totals: &mut totals });
            for anchor in panel * TILE..((panel + 1) * TILE).min(anchors) {
                let class = classes.of_batch(anchor);
                if class.len() == 1 || classes.of(anchor).len() == x.count() {
                    continue;
                }
                if totals.total[anchor % TILE] > 0.0 {
                    *report = report.plus(pick_all(kept, &totals, anchor, class, key, picks));
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
                    *report = report.plus(draw_exactly(x, labels, betas, sampler, anchor, key, picks));
                }
            }
        }
    });

    let mut report = DrawReport::default();
    let mut starts = vec![0_usize; plan.blocks() + 2];
    for (picks, of_group) in &*groups {
        report = report.plus(*of_group);
        for pick in picks {
            starts[(pick.block as usize).min(plan.blocks()) + 1] += 1;
        }
    }
    for block in 0..=plan.blocks() {
        starts[block + 1] += starts[block];
    }
    sorted.resize(starts[plan.blocks() + 1], Pick::default());
    let picks = groups.iter().flat_map(|(picks, _)| picks);
    for (slot, pick) in picks.enumerate() {
        let start = &mut starts[(pick.block as usize).min(plan.blocks())];
        sorted[*start] = Pick { slot: slot as u32, ..*pick };
        *start += 1;
    }
    let second_key = key.with_stream(Stream::SecondNegatives);
    spread.pieces(sorted, DRAWS, |_, picks| {
        let open = picks.partition_point(|pick| pick.block < DONE);
        let (labels, cosines, picks_open) = (labels_here, &*cosines, &mut picks[..open]);
        spread.set.run(Choose { plan, law, panels, labels, cuts, cosines, picks: picks_open });
        for pick in picks {
            pick.second = classes.third(pick.anchor, pick.negative, second_key, pick.index);
        }
    });
    draws.clear();
    draws.resize(sorted.len(), Draw::default());
    for pick in sorted {
        let Pick { anchor, positive, negative, second, .. } = *pick;
        let log_prob = T::from_f64(f64::from(pick.log_prob));
        draws[pick.slot as usize] =
            Draw { triplet: Triplet { anchor, positive, negative }, second, log_prob };
    }
    Some(report)
}

/// The blocks of one anchor's draws.
fn pick_all(
    kept: &[Cell],
    totals: &Totals,
    anchor: usize,
    class: &[u32],
    key: Key,
    picks: &mut Vec<Pick>,
) -> DrawReport {
    let draws = class.len() - 1;
    let mut report = DrawReport { anchors: 1, triplets: draws as u64, ..DrawReport::default() };
    let a = anchor % TILE;
    if totals.candidates[a] > 0 {
        report.capped = f64::from(totals.capped[a]) / f64::from(totals.candidates[a]);
    }
    let ln_total = Scalar::ln(totals.total[a]);
    let positives = class.iter().filter(|&&i| i as usize != anchor);
    for (index, &positive) in (0..).zip(positives) {
        report.effective_negatives += totals.effective(a) / draws as f64;
        let pick = totals.pick(kept, a, ln_total, key.uniform(anchor as u32, index));
        picks.push(Pick { anchor: anchor as u32, positive, index, ..pick });
    }
    report
}

/// The draws of an anchor without a candidate whose policy gives it one: by its exact row.
fn draw_exactly<T: Scalar>(
    x: Embeddings<'_, T>,
    labels: &[u32],
    betas: &[T],
    sampler: &Sampler<T>,
    anchor: usize,
    key: Key,
    picks: &mut Vec<Pick>,
) -> DrawReport {
    let distances: Vec<T> = x.rows().map(|other| distance::distance(x.row(anchor), other)).collect();
    let row = Row { anchor, anchors: betas.len(), labels, distances: &distances, beta: betas[anchor] };
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
    kept: &'a mut [Cell],
    /// Where cosines are kept, `[row panel][column panel]`; or nothing.
    cosines: &'a mut [Tile],
}

impl WithSimd for Square<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { plan, law, panels, labels, cuts, active, task, kept, cosines: known } = self;
        let (across, down) = plan.square(task);
        let panels_in_square = plan.panels_in_square();
        let here = |square: usize, panels: usize| {
            square * panels_in_square..((square + 1) * panels_in_square).min(panels)
        };
        kept.fill(Cell::default());
        let (of_rows, of_columns) = kept.split_at_mut(plan.kept_by_task() / 2);
        // Within the square: the cell of a panel over the block that another panel lies in.
        let place = |panel: usize, other: usize| {
            (other % panels_in_square) * TILE / plan.block * panels_in_square + panel % panels_in_square
        };
        let mut scratch = Vec::new();
        let (mut tile, mut logs) = (Tile::new(), Tile::new());
        let mut out = [Cell::default(); 2];
        for j in here(down, plan.panels()) {
            let packed = panels.get(j, &mut scratch);
            for i in here(across, plan.panels_of_anchors()).filter(|&i| i <= j) {
                let anchors: [u32; TILE] = core::array::from_fn(|r| (i * TILE + r) as u32);
                let known = known.get_mut(i * panels_in_square + j);
                let tile = known.unwrap_or(&mut tile);
                cosines(simd, &panels.batch, &anchors, j * TILE, packed, tile);
                let side = |panel: usize| panel * TILE..(panel + 1) * TILE;
                let sides = Sides {
                    row_labels: &labels[side(i)],
                    row_cuts: &cuts[side(i)],
                    labels: &labels[side(j)],
                    cuts: &cuts[side(j)],
                    active,
                };
                let (law, sides, logs) = (&law, &sides, &mut logs);
                if !simd.vectorize(TileSums { law, sides, tile, logs, out: &mut out }) {
                    continue;
                }
                of_rows[place(i, j)].add(&out[0]);
                if i != j && j < plan.panels_of_anchors() {
                    let kept = if across == down { &mut *of_rows } else { &mut *of_columns };
                    kept[place(j, i)].add(&out[1]);
                }
            }
        }
    }
}
