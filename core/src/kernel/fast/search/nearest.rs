//! The k nearest candidates of each query.
//!
//! What comes within a query's bound is put down in no order; where its place is full, the k nearest of it stay and the
//! bound falls to the last of them. So a candidate costs much the same for any k.
//!
//! The first bound of a large k is a guess from a sample of the candidates: the t-th nearest of one in [`SHARE`]. Of
//! the k nearest the sample holds about `c = k / SHARE`; with `t = c + 3 sqrt(c) + 1` its t-th nearest lies behind them
//! for all but some queries in a thousand. A query that ends with k candidates has thereby proved its guess; the
//! others are searched again without one. (A query that is in the sample itself has one candidate less there, and is
//! a little less likely to be right.)

use rayon::prelude::*;

use super::measure::{ByDifferences, ByProduct, Measure, Rough, Squared};
use super::{BLOCK, Collector, Set, TILE_MULTIPLE, sweep_pairs, sweep_rows};
use crate::kernel::Neighbour;
use crate::rng::{Key, Stream};

/// Of so many candidates one is in the sample: more would cost more products than they save candidates.
const SHARE: usize = 16;

/// From this k on a guess is worth its sample.
const LEAST_GUESSED: usize = 8;

type KeyBy<M> = <<M as Measure>::Squared as Squared>::Key;
type FoundBy<M> = <<M as Measure>::Squared as Squared>::Found;

/// The nearest of each query of a block so far.
struct Block<M: Measure> {
    k: usize,
    /// Keys that a query has room for.
    room: usize,
    bounds: Vec<f32>,
    /// Of each query, the key beyond which nothing is wanted.
    last: Vec<KeyBy<M>>,
    /// How many of its keys each query has.
    filled: Vec<usize>,
    /// `[query][room]`, and whatever is behind it.
    keys: Vec<KeyBy<M>>,
}

impl<M: Measure> Block<M> {
    /// `bounds` are the first ones; infinite where there are none. `keys` is memory for them, of a block before if there was
    /// one: that of a large k takes the system longer to give than the search to fill.
    fn new(queries: usize, k: usize, bounds: Option<Vec<f32>>, mut keys: Vec<KeyBy<M>>) -> Self {
        let mut bounds = bounds.unwrap_or_else(|| vec![f32::INFINITY; queries]);
        let last = bounds.iter().map(|&bound| M::Squared::from(bound).key(u32::MAX)).collect();
        bounds.resize(queries.next_multiple_of(TILE_MULTIPLE), f32::NEG_INFINITY);
        let room = k + k / 4 + 1;
        if keys.len() < queries * room {
            keys = vec![KeyBy::<M>::default(); queries * room];
        }
        Self { k, room, bounds, last, filled: vec![0; queries], keys }
    }

    /// The keys of a query so far, in no order.
    fn keys(&mut self, query: usize) -> &mut [KeyBy<M>] {
        &mut self.keys[query * self.room..][..self.filled[query]]
    }

    /// Bounds behind the k-th nearest of each query; infinite where fewer came.
    fn farthest(mut self) -> Vec<f32> {
        let k = self.k;
        let kth = |keys: &mut [KeyBy<M>]| match keys.len() < k {
            true => f32::INFINITY,
            false => M::Squared::bound(*keys.select_nth_unstable(k - 1).1),
        };
        (0..self.filled.len()).map(|query| kth(self.keys(query))).collect()
    }

    /// Writes the k nearest of each query to `lists` (`[query][k]`), nearest first; returns the queries to whom fewer
    /// came.
    fn finish(&mut self, lists: &mut [FoundBy<M>]) -> Vec<usize> {
        let k = self.k;
        let mut open = Vec::new();
        for (query, list) in lists.chunks_exact_mut(k).enumerate() {
            let keys = self.keys(query);
            if keys.len() < k {
                open.push(query);
                continue;
            }
            if keys.len() > k {
                keys.select_nth_unstable(k - 1);
            }
            keys[..k].sort_unstable();
            list.iter_mut().zip(keys).for_each(|(to, &mut key)| *to = M::Squared::found(key));
        }
        open
    }
}

impl<M: Measure> Collector for Block<M> {
    type Measure = M;

    fn bounds(&self) -> &[f32] {
        &self.bounds
    }

    #[inline]
    fn offer(&mut self, query: usize, candidate: usize, squared: M::Squared) {
        let key = squared.key(candidate as u32);
        if key > self.last[query] {
            return;
        }
        let at = self.filled[query];
        self.keys[query * self.room + at] = key;
        self.filled[query] = at + 1;
        if at + 1 == self.room {
            let k = self.k;
            let last = *self.keys(query).select_nth_unstable(k - 1).1;
            self.filled[query] = k;
            self.last[query] = last;
            self.bounds[query] = M::Squared::bound(last);
        }
    }
}

/// Some of `count` candidates, drawn without regard to their order: one of each [`SHARE`] that stand side by side.
fn sample(count: usize) -> impl Iterator<Item = usize> {
    let key = Key::new(0, Stream::Search, 0);
    (0..count / SHARE).map(move |at| at * SHARE + key.below(at as u32, 0, SHARE))
}

/// The rank in the sample that is the guess for `k`, if one is worth its sample.
fn guessed(k: usize, count: usize) -> Option<usize> {
    let expected = k as f32 / SHARE as f32;
    let rank = (expected + 3.0 * expected.sqrt() + 1.0).ceil() as usize;
    (k >= LEAST_GUESSED && count >= 2 * rank * SHARE).then_some(rank)
}

/// As [`Backend::nearest`](crate::kernel::Backend::nearest); without `among` the queries are searched among each
/// other. Memory beyond the sets: 10 k bytes a query, or those of the queries at hand where there are `among`.
pub(in super::super) fn nearest(k: usize, queries: &Set<'_>, among: Option<&Set<'_>>) -> Vec<u32> {
    lists::<ByProduct>(k, queries, among, |&index| index)
}

/// As [`Backend::neighbours`](crate::kernel::Backend::neighbours), by double precision alone. Memory as of [`nearest`], 20 k
/// bytes a query.
pub(in super::super) fn neighbours(k: usize, queries: &Set<'_>, among: Option<&Set<'_>>) -> Vec<Neighbour> {
    lists::<ByDifferences>(k, queries, among, |neighbour| neighbour.index)
}

/// The lists of all queries, nearest first; `index` is that of a candidate on one.
fn lists<M: Measure>(
    k: usize,
    queries: &Set<'_>,
    among: Option<&Set<'_>>,
    index: impl Fn(&FoundBy<M>) -> u32,
) -> Vec<FoundBy<M>> {
    let (candidates, itself) = (among.unwrap_or(queries), among.is_none());
    let k = k.min(candidates.count().saturating_sub(usize::from(itself)));
    let Some(rank) = guessed(k, candidates.count()) else { return search::<M>(k, queries, among, None).0 };
    let rows: Vec<f32> =
        sample(candidates.count()).flat_map(|row| candidates.rows.row(row)).copied().collect();
    let (mut lists, open) = search::<M>(k, queries, among, Some((rank, &candidates.like(&rows))));
    if open.is_empty() {
        return lists;
    }
    // Held against all candidates, a query meets itself.
    let rows: Vec<f32> = open.iter().flat_map(|&query| queries.rows.row(query)).copied().collect();
    let most = k + usize::from(itself);
    let (again, _) = search::<M>(most, &queries.like(&rows), Some(candidates), None);
    for (&query, found) in open.iter().zip(again.chunks_exact(most)) {
        let others = found.iter().filter(|found| !itself || index(found) as usize != query);
        lists[query * k..][..k].iter_mut().zip(others).for_each(|(to, &found)| *to = found);
    }
    lists
}

/// The lists of all queries, and the queries whose guess was too near; guesses are the `rank`-th nearest of a sample.
fn search<M: Measure>(
    k: usize,
    queries: &Set<'_>,
    among: Option<&Set<'_>>,
    guess: Option<(usize, &Set<'_>)>,
) -> (Vec<FoundBy<M>>, Vec<usize>) {
    let mut lists = vec![FoundBy::<M>::default(); queries.count() * k];
    if k == 0 {
        return (lists, Vec::new());
    }
    let size = |first: usize| (queries.count() - first).min(BLOCK);
    let block = |first: usize, keys: Vec<KeyBy<M>>| {
        let bounds = guess.map(|(rank, sample)| {
            let mut block = Block::<Rough>::new(size(first), rank, None, Vec::new());
            sweep_rows(queries, first, size(first), sample, &mut block);
            block.farthest()
        });
        Block::<M>::new(size(first), k, bounds, keys)
    };
    let firsts: Vec<usize> = queries.blocks().collect();
    let parts = lists.par_chunks_mut(BLOCK * k);
    let open: Vec<Vec<usize>> = match among {
        None => {
            let blocks = firsts.par_iter().map(|&first| block(first, Vec::new())).collect();
            let blocks = sweep_pairs(queries, blocks).into_par_iter();
            blocks.zip(parts).map(|(mut block, part)| block.finish(part)).collect()
        }
        Some(among) => {
            let one = |keys: &mut Vec<KeyBy<M>>, (&first, part): (&usize, &mut [FoundBy<M>])| {
                let mut block = block(first, core::mem::take(keys));
                sweep_rows(queries, first, size(first), among, &mut block);
                let open = block.finish(part);
                *keys = block.keys;
                open
            };
            firsts.par_iter().zip(parts).map_init(Vec::new, one).collect()
        }
    };
    let open =
        firsts.iter().zip(open).flat_map(|(first, open)| open.into_iter().map(move |query| first + query));
    (lists, open.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Embeddings;
    use crate::kernel::fast::InstructionSet;
    use crate::kernel::fast::search::Means;
    use crate::metric::retrieval::nearest_row;

    #[test]
    fn a_guess_that_was_too_near_is_found_out_and_its_query_searched_again() {
        // Just what is in the sample lies apart from all others: of those points six neighbours are found at once
        // among what was sampled, so that their guess has no room for the others.
        let (count, k) = (2048, 40);
        let drawn: Vec<usize> = sample(count).collect();
        let x: Vec<f32> = (0..count)
            .map(|i| (i * 7 % count) as f32 / 4096.0 + if drawn.contains(&i) { 0.0 } else { 8.0 })
            .collect();
        let means = Means::new(InstructionSet::best(), 1);
        let set = Set::new(Embeddings::new(&x, 1).unwrap(), means).unwrap();
        let rank = guessed(k, count).unwrap();
        let sampled: Vec<f32> = drawn.iter().map(|&i| x[i]).collect();
        for among in [None, Some(&set)] {
            let (_, open) = search::<ByProduct>(k, &set, among, Some((rank, &set.like(&sampled))));
            assert_eq!(open, drawn);
            let lists = nearest(k, &set, among);
            for (query, list) in lists.chunks_exact(k).enumerate() {
                let squared: Vec<f32> = x.iter().map(|y| (x[query] - y) * (x[query] - y)).collect();
                assert_eq!(list, nearest_row(k, among.is_none().then_some(query), &squared), "query {query}");
            }
        }
    }
}
