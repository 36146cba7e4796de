//! Distance weighted sampling of a whole batch in single precision, at the speed of the hardware: draws, or the loss of
//! all pairs in expectation.
//!
//! What stays of the matrix of pairs are the sums of each anchor's weights over blocks of columns ([`sums`]). A draw
//! chooses the block by them and computes only that block again; an expectation divides by them. Storage beyond the
//! embeddings is O(N m) and at most 64 MB \[R9\].
//!
//! The order of all sums is fixed by the shape: the same bits for any number of threads and any instruction set. Not
//! the bits of the reference: a draw differs from the reference's where its uniform number falls within rounding of
//! the border between two candidates.

mod cell;
mod choose;
mod classes;
mod draw;
mod expected;
#[cfg(test)]
mod expected_tests;
mod far;
mod known;
mod law;
pub(super) mod math;
mod partial;
mod plan;
mod pull;
mod push;
mod rounds;
mod share;
mod sums;
mod tile;
mod tile_sums;
mod weights;

#[cfg(test)]
mod tests;

use rayon::prelude::*;

use super::InstructionSet;
use super::scratch::Scratch;
use super::tuples::Lists;
use crate::Scalar;
use crate::batch::{Embeddings, Row, Triplet};
use crate::distance;
use crate::loss::Objective;
use crate::rng::{Key, Stream};
use crate::sample::{Draw, DrawReport, Sampler};
use crate::weight::EmptyRow;
use cell::Cell;
use choose::Choose;
use classes::Classes;
use draw::{Pick, Read, Totals};
pub(super) use expected::loss;
use sums::{Sums, Tables};
use tile::TILE;

/// Panels of anchors whose sums one task puts together.
const PANELS: usize = 4;
/// Draws that one task finishes.
const DRAWS: usize = 128;
/// The block of draws that need none: their negative is known.
const DONE: u32 = u32::MAX;

/// Memory that stays between steps.
#[derive(Debug, Default)]
pub(super) struct Workspace {
    tables: Tables,
    groups: Vec<(Vec<Pick>, DrawReport)>,
    sorted: Vec<Pick>,
    scratch: Scratch,
    pub(super) tuples: Lists,
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

    /// `work` on each of `data`.
    fn each<N: Send>(self, data: &mut [N], work: impl Fn(&mut N) + Sync + Send) {
        self.pieces(data, 1, |_, one| work(&mut one[0]));
    }

    /// As [`pieces`](Self::pieces) of two slices, cut into as many.
    fn pieces_of_both<M: Send, N: Send>(
        self,
        (first, first_size): (&mut [M], usize),
        (second, second_size): (&mut [N], usize),
        work: impl Fn(usize, &mut [M], &mut [N]) + Sync + Send,
    ) {
        let work = |(at, (first, second)): (usize, (&mut [M], &mut [N]))| work(at, first, second);
        if self.threads {
            let first = first.par_chunks_mut(first_size);
            first.zip(second.par_chunks_mut(second_size)).enumerate().for_each(work);
        } else {
            first.chunks_mut(first_size).zip(second.chunks_mut(second_size)).enumerate().for_each(work);
        }
    }
}

/// Draws for every (anchor, positive) pair, none for a sampler that takes all negatives with their weights; or `None`
/// where this path does not apply: another sampler, or none of [`Sums`].
pub(super) fn draw<T: Scalar>(
    spread: Spread,
    workspace: &mut Workspace,
    (x, labels, betas): (Embeddings<'_, T>, &[u32], &[T]),
    objective: &Objective<T>,
    key: Key,
    draws: &mut Vec<Draw<T>>,
) -> Option<DrawReport> {
    let (sampler, third) = (objective.sampler(), objective.loss().takes_third());
    let weighting = sampler.weighting()?;
    let Workspace { tables, groups, sorted, .. } = workspace;
    let sums = Sums::new(spread, tables, (x, labels, betas), weighting, sampler.draws())?;
    let (plan, anchors) = (&sums.plan, betas.len());
    let classes = Classes::new(anchors, labels);
    groups.resize_with(plan.panels_of_anchors().div_ceil(PANELS), Default::default);
    spread.pieces(groups, 1, |group, out| {
        let mut totals = Totals::default();
        let (picks, report) = &mut out[0];
        picks.clear();
        *report = DrawReport::default();
        for panel in group * PANELS..((group + 1) * PANELS).min(plan.panels_of_anchors()) {
            spread.set.run(Read { sums: &sums, panel, totals: &mut totals });
            for anchor in panel * TILE..((panel + 1) * TILE).min(anchors) {
                let class = classes.of_batch(anchor);
                if class.len() == 1 || classes.of(anchor).len() == x.count() {
                    continue;
                }
                let positives = class.len() as u64 - 1;
                if totals.total[anchor % TILE] > 0.0 {
                    let triplets = if sampler.draws() { positives } else { 0 };
                    *report = report.plus(DrawReport { triplets, ..totals.report(anchor % TILE) });
                    if sampler.draws() {
                        pick_all(sums.kept, &totals, anchor, class, key, picks);
                    }
                } else if weighting.empty() == EmptyRow::Skip {
                    *report = report.plus(DrawReport {
                        anchors: 1,
                        without_candidate: positives,
                        anchors_without_candidate: 1,
                        ..DrawReport::default()
                    });
                } else {
                    *report = report.plus(draw_exactly(x, labels, betas, sampler, anchor, key, picks));
                }
            }
        }
    });
    let report = groups.iter().fold(DrawReport::default(), |report, (_, of_group)| report.plus(*of_group));
    draws.clear();
    if !sampler.draws() {
        return Some(report);
    }

    let picks = match &mut groups[..] {
        // Of a small batch any order will do.
        [(picks, _)] if !sums.known.is_empty() => {
            for (slot, pick) in (0..).zip(&mut *picks) {
                pick.slot = slot;
            }
            picks
        }
        groups => {
            sort(plan.blocks(), groups, sorted);
            sorted
        }
    };
    let second_key = key.with_stream(Stream::SecondNegatives);
    spread.pieces(picks, DRAWS, |_, picks| {
        for picks in picks.split_mut(|pick| pick.block == DONE) {
            spread.set.run(Choose { sums: &sums, picks });
        }
        for pick in picks.iter_mut().filter(|_| third) {
            pick.second = classes.third(pick.anchor, pick.negative, second_key, pick.index);
        }
    });
    draws.resize(picks.len(), Draw::default());
    for pick in picks {
        let Pick { anchor, positive, negative, second, .. } = *pick;
        let log_prob = T::from_f64(f64::from(pick.log_prob));
        draws[pick.slot as usize] =
            Draw { triplet: Triplet { anchor, positive, negative }, second, log_prob };
    }
    Some(report)
}

/// All picks by block, those that are done last, each with its place among them.
fn sort(blocks: usize, groups: &[(Vec<Pick>, DrawReport)], sorted: &mut Vec<Pick>) {
    let mut starts = vec![0_usize; blocks + 2];
    for (picks, _) in groups {
        for pick in picks {
            starts[(pick.block as usize).min(blocks) + 1] += 1;
        }
    }
    for block in 0..=blocks {
        starts[block + 1] += starts[block];
    }
    sorted.resize(starts[blocks + 1], Pick::default());
    let picks = groups.iter().flat_map(|(picks, _)| picks);
    for (slot, pick) in picks.enumerate() {
        let start = &mut starts[(pick.block as usize).min(blocks)];
        sorted[*start] = Pick { slot: slot as u32, ..*pick };
        *start += 1;
    }
}

/// The blocks of one anchor's draws.
fn pick_all(kept: &[Cell], totals: &Totals, anchor: usize, class: &[u32], key: Key, picks: &mut Vec<Pick>) {
    let a = anchor % TILE;
    let ln_total = Scalar::ln(totals.total[a]);
    let positives = class.iter().filter(|&&i| i as usize != anchor);
    for (index, &positive) in (0..).zip(positives) {
        let pick = totals.pick(kept, a, ln_total, key.uniform(anchor as u32, index));
        picks.push(Pick { anchor: anchor as u32, positive, index, ..pick });
    }
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
