//! Places of the matches of each query, counted without an order of the candidates.
//!
//! Rows are sorted by class first, so that the matches of a query stand in one run. Their distances come first, from
//! products with that run, and are sorted. Then all pairs stream by: a candidate of another class adds one to the
//! first match that it stands before. The place of match i is i plus what was counted up to it, and only grows; once
//! it passes the last place of interest the match is given up, and the bound falls to the match before it.

use core::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::measure::{ByProduct, Measure};
use super::tile::{lanes, many_registers, products};
use super::{BLOCK, Collector, Labeled, Means, Set, TILE_MULTIPLE, sweep_pairs, sweep_rows};
use crate::batch::Embeddings;
use crate::kernel::MatchRanks;
use crate::metric::retrieval::tie_slack;

/// What the counts of all queries may take together, in bytes. Beyond it queries are done few at a time, and each
/// product serves one of its ends only.
const COUNTS: usize = 256 << 20;

/// Rows of one kind of search in the order of their classes.
struct ByClass {
    /// Index of each row before.
    order: Vec<u32>,
    labels: Vec<u32>,
    values: Vec<f32>,
    dim: usize,
}

impl ByClass {
    fn new(view: Labeled<'_>) -> Self {
        let mut order: Vec<u32> = (0..view.rows.count() as u32).collect();
        order.sort_by_key(|&i| view.labels[i as usize]);
        let labels = order.iter().map(|&i| view.labels[i as usize]).collect();
        let mut values = Vec::with_capacity(view.rows.as_slice().len());
        order.iter().for_each(|&i| values.extend_from_slice(view.rows.row(i as usize)));
        Self { order, labels, values, dim: view.rows.dim() }
    }

    fn set(&self, means: Means) -> Option<Set<'_>> {
        Set::new(Embeddings::new(&self.values, self.dim).expect("whole rows"), means)
    }

    /// Where the rows of a class stand.
    fn class(&self, label: u32) -> Range<usize> {
        let start = self.labels.partition_point(|&l| l < label);
        start..start + self.labels[start..].partition_point(|&l| l == label)
    }
}

/// A block of queries.
struct Block {
    /// Its first query.
    first: usize,
    /// The row behind the last place of interest, at least.
    depth: usize,
    bounds: Vec<f32>,
    /// Of each query: the candidates of its class, itself among them where it is one.
    classes: Vec<Range<usize>>,
    /// Of each query, its part of `matches` and `nearer`; one more at the end.
    offsets: Vec<usize>,
    /// How far a candidate of another class may be to stand before each match, increasing.
    matches: Vec<f32>,
    /// Candidates that stand before this match but not before the one before it.
    nearer: Vec<u32>,
    /// Of each query, the matches whose place is still of interest.
    open: Vec<usize>,
    /// Of each query, the sum of `nearer` over them.
    counted: Vec<usize>,
}

impl Block {
    fn new(first: usize, classes: Vec<Range<usize>>, itself: bool, depth: usize) -> Self {
        let open: Vec<usize> = classes.iter().map(|class| class.len() - usize::from(itself)).collect();
        let mut offsets = vec![0];
        offsets.extend(open.iter().scan(0, |sum, matches| {
            *sum += matches;
            Some(*sum)
        }));
        let total = offsets[open.len()];
        let bounds = vec![f32::NEG_INFINITY; open.len().next_multiple_of(TILE_MULTIPLE)];
        Self {
            first,
            depth,
            bounds,
            matches: vec![0.0; total],
            nearer: vec![0; total],
            counted: vec![0; open.len()],
            classes,
            offsets,
            open,
        }
    }

    /// The distances to the matches, in order, and the first bounds.
    fn measure(&mut self, queries: &Set<'_>, among: &Set<'_>, itself: bool) {
        queries.means.instructions.run(Matches { block: self, queries, among, itself });
        let slack = tie_slack::<f32>();
        for query in 0..self.classes.len() {
            let matches = &mut self.matches[self.offsets[query]..self.offsets[query + 1]];
            matches.sort_unstable_by(f32::total_cmp);
            matches.iter_mut().for_each(|m| *m *= slack);
            self.bounds[query] = matches.last().copied().unwrap_or(f32::NEG_INFINITY);
        }
    }

    fn finish(&self) -> MatchRanks {
        let mut ranks = MatchRanks::default();
        for query in 0..self.classes.len() {
            let nearer = &self.nearer[self.offsets[query]..self.offsets[query + 1]];
            let mut before = 0;
            let places = (1..).zip(&nearer[..self.open[query]]).map(|(place, nearer)| {
                before += nearer;
                place + before
            });
            ranks.push(nearer.len() as u32, places);
        }
        ranks
    }
}

impl Collector for Block {
    type Measure = ByProduct;

    fn bounds(&self) -> &[f32] {
        &self.bounds
    }

    #[inline]
    fn offer(&mut self, query: usize, candidate: usize, squared: f32) {
        if self.classes[query].contains(&candidate) {
            return;
        }
        let at = self.offsets[query];
        let (mut open, mut counted) = (self.open[query], self.counted[query] + 1);
        let matches = &self.matches[at..at + open];
        self.nearer[at + matches.partition_point(|&m| m < squared)] += 1;
        let last = self.depth.max(self.offsets[query + 1] - at);
        while open > 0 && open + counted > last {
            open -= 1;
            counted -= self.nearer[at + open] as usize;
        }
        (self.open[query], self.counted[query]) = (open, counted);
        self.bounds[query] = matches[..open].last().copied().unwrap_or(f32::NEG_INFINITY);
    }
}

/// The squared distances of a block of queries to their matches.
struct Matches<'a> {
    block: &'a mut Block,
    queries: &'a Set<'a>,
    among: &'a Set<'a>,
    itself: bool,
}

impl WithSimd for Matches<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if many_registers::<S>() { self.measure::<S, 8, 3>(simd) } else { self.measure::<S, 6, 2>(simd) }
    }
}

impl Matches<'_> {
    #[inline(always)]
    fn measure<S: Simd, const ROWS: usize, const VECTORS: usize>(self, simd: S) {
        let width = VECTORS * S::F32_LANES;
        let block = self.block;
        let count = block.classes.len();
        for row in (0..count).step_by(ROWS) {
            let strip = self.queries.strip((block.first + row) / ROWS);
            let rows = row..(row + ROWS).min(count);
            let mut filled = [0; ROWS];
            let classes = block.classes[rows.clone()].iter().filter(|class| !class.is_empty());
            let start = classes.clone().map(|class| class.start).min().unwrap_or(0);
            let end = classes.map(|class| class.end).max().unwrap_or(0);
            for panel in start / width..end.div_ceil(width) {
                let sums = products::<S, ROWS, VECTORS>(simd, strip, self.among.panel(panel));
                let sums = lanes::<S, ROWS, VECTORS>(&sums);
                for (r, query) in rows.clone().enumerate() {
                    let sums = &sums[r * width..][..width];
                    let class = &block.classes[query];
                    for j in class.start.max(panel * width)..class.end.min((panel + 1) * width) {
                        let i = block.first + query;
                        if self.itself && i == j {
                            continue;
                        }
                        let squared =
                            ByProduct::squared(self.queries, i, self.among, j, sums[j - panel * width]);
                        block.matches[block.offsets[query] + filled[r]] = squared;
                        filled[r] += 1;
                    }
                }
            }
        }
    }
}

/// As [`Backend::match_ranks`](crate::kernel::Backend::match_ranks); `None` where lengths are out of bounds for
/// products of f32.
///
/// Memory beyond the embeddings: four copies of them at most, and 8 bytes a pair of a class, of which at most [`COUNTS`]
/// at once, or those of [`TILE_MULTIPLE`] queries on each thread.
pub(in super::super) fn match_ranks(
    means: Means,
    depth: usize,
    queries: Labeled<'_>,
    candidates: Option<Labeled<'_>>,
) -> Option<MatchRanks> {
    within(COUNTS, means, depth, queries, candidates)
}

/// [`match_ranks`], with at most `bytes` of counts at once.
pub(super) fn within(
    bytes: usize,
    means: Means,
    depth: usize,
    queries: Labeled<'_>,
    candidates: Option<Labeled<'_>>,
) -> Option<MatchRanks> {
    let itself = candidates.is_none();
    let asked = ByClass::new(queries);
    let others = candidates.map(ByClass::new);
    let among = others.as_ref().unwrap_or(&asked);
    let query_set = asked.set(means)?;
    let other_set = match &others {
        Some(others) => Some(others.set(means)?),
        None => None,
    };
    let among_set = other_set.as_ref().unwrap_or(&query_set);

    let classes: Vec<Range<usize>> = asked.labels.iter().map(|&label| among.class(label)).collect();
    let counts = classes.iter().map(|class| class.len() * 8).sum::<usize>();
    let few = counts > bytes;
    let size = if few { TILE_MULTIPLE } else { BLOCK };
    let block = |at: usize| {
        let first = at * size;
        let classes = classes[first..(first + size).min(classes.len())].to_vec();
        let mut block = Block::new(first, classes, itself, depth);
        block.measure(&query_set, among_set, itself);
        block
    };
    let indices = (0..classes.len().div_ceil(size)).into_par_iter();
    let ranks: Vec<MatchRanks> = if itself && !few {
        let blocks = indices.map(block).collect();
        sweep_pairs(&query_set, blocks).iter().map(Block::finish).collect()
    } else {
        indices
            .map(|at| {
                let mut block = block(at);
                let (first, count) = (block.first, block.classes.len());
                sweep_rows(&query_set, first, count, among_set, &mut block);
                block.finish()
            })
            .collect()
    };
    let mut place = vec![0; classes.len()];
    asked.order.iter().enumerate().for_each(|(at, &query)| place[query as usize] = at);
    let mut all = MatchRanks::default();
    place.into_iter().for_each(|at| all.push_from(&ranks[at / size], at % size));
    Some(all)
}
