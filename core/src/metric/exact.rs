//! Places of matches as double precision gives them, found by a search in single precision.
//!
//! The search lists somewhat more candidates than are of interest, with their distances in double precision, from the
//! differences, and those decide. What was not listed lies beyond a horizon: it is at least as far as everything listed,
//! less twice the rounding of the search. A query whose places the horizon leaves open is compared with every candidate.
//! So a file of f32 is judged as exactly as one of f64, in about the time of the search.

use alloc::vec::Vec;

use super::retrieval::{rank_row, tie_slack};
use crate::kernel::{Backend, MatchRanks, Neighbour, squared_distance_double};

/// Squared lengths, beside 0, whose products neither overflow nor vanish in single precision.
const PLAIN: core::ops::RangeInclusive<f64> = 1e-28..=1e36;

/// Candidates listed beyond those of interest: room for the horizon to lie behind them.
const SPARE: usize = 8;

/// Candidates that are listed at once, 128 MB.
const LISTED: usize = 1 << 23;

/// Rows of numbers with the class of each.
#[derive(Clone, Copy, Debug)]
pub struct Labeled<'a> {
    /// `[N, dim]`.
    pub rows: &'a [f32],
    /// `[N]`.
    pub labels: &'a [u32],
}

impl Labeled<'_> {
    fn row(&self, dim: usize, i: usize) -> &[f32] {
        &self.rows[i * dim..][..dim]
    }

    /// Squared lengths, in double precision.
    fn squares(&self, dim: usize) -> impl Iterator<Item = f64> {
        self.rows.chunks_exact(dim).map(|row| row.iter().map(|&v| f64::from(v) * f64::from(v)).sum())
    }
}

/// As [`Backend::match_ranks`], as exact as that of a backend in double precision: places up to the larger of `depth`
/// and the number of matches of each query; without `candidates`, among the other queries.
///
/// ```
/// use nearfar_core::kernel::scalar::Reference;
/// use nearfar_core::metric::exact::{Labeled, match_ranks};
/// // The match of row 0 is nearer than row 2 by one part in eight million: single precision calls that a tie.
/// let rows = [0.0_f32, 1.0, -(1.0 + f32::EPSILON)];
/// let ranks = match_ranks(&Reference, 1, 1, Labeled { rows: &rows, labels: &[0, 0, 1] }, None)?;
/// assert_eq!(ranks.places(0).collect::<Vec<_>>(), [1]);
/// # Ok::<(), nearfar_core::BatchError>(())
/// ```
pub fn match_ranks<B: Backend<f32>>(
    backend: &B,
    dim: usize,
    depth: usize,
    queries: Labeled<'_>,
    candidates: Option<Labeled<'_>>,
) -> Result<MatchRanks, B::Error> {
    match_ranks_by(LISTED, backend, dim, depth, queries, candidates)
}

/// As [`match_ranks`], with no more than about `listed` candidates at once.
fn match_ranks_by<B: Backend<f32>>(
    listed: usize,
    backend: &B,
    dim: usize,
    depth: usize,
    queries: Labeled<'_>,
    candidates: Option<Labeled<'_>>,
) -> Result<MatchRanks, B::Error> {
    let (among, itself) = (candidates.unwrap_or(queries), candidates.is_none());
    let (count, total) = (queries.labels.len(), among.labels.len());
    if total == 0 {
        let mut ranks = MatchRanks::default();
        queries.labels.iter().for_each(|_| ranks.push(0, []));
        return Ok(ranks);
    }
    let matches = matches(queries.labels, among.labels, itself);
    let most = among.squares(dim).fold(0.0, f64::max);
    let squares: Vec<f64> = queries.squares(dim).collect();
    // As in the fast search: a chain of D products, each rounded, and the sums around it. Where they may overflow the
    // search says nothing.
    let plain = |square: f64| square == 0.0 || PLAIN.contains(&square);
    let rounding = match squares.iter().copied().chain(among.squares(dim)).all(plain) {
        true => (1.25 * dim as f64 + 64.0) * 0.5 * f64::from(f32::EPSILON),
        false => f64::INFINITY,
    };

    let (mut found, mut place) = (MatchRanks::default(), alloc::vec![0; count]);
    // Some queries, and for each the list of its nearest `k`, which are `complete` or not.
    let mut judge = |k: usize, part: &[usize], lists: &[Neighbour], complete: bool| {
        for (&query, list) in part.iter().zip(lists.chunks_exact(k)) {
            place[query] = found.count();
            let judged = Judged {
                label: queries.labels[query],
                itself: itself.then_some(query),
                row: queries.row(dim, query),
                among,
                matches: matches[query],
                depth: depth.max(matches[query]),
            };
            judged.push(list, complete, rounding * (squares[query] + most), &mut found);
        }
    };

    // All at once among themselves: each product then serves both its ends.
    let mut order: Vec<usize> = (0..count).collect();
    let most_matches = matches.iter().copied().max().unwrap_or(0);
    let k = (depth.max(most_matches) + SPARE).min(total.saturating_sub(1));
    if itself && k > 0 && count.saturating_mul(k) <= listed {
        let lists = backend.neighbours(dim, k, among.rows, None)?;
        judge(k, &order, &lists, k + 1 == total);
        return Ok(in_order(&found, &place));
    }

    // From the most demanding query down: no part lists deeper than its first one needs.
    order.sort_by_key(|&query| matches[query]);
    let mut rest = &order[..];
    while let Some(&last) = rest.last() {
        let k = (depth.max(matches[last]) + SPARE + usize::from(itself)).min(total);
        let (others, part) = rest.split_at(rest.len().saturating_sub((listed / k.max(1)).max(1)));
        rest = others;
        let rows: Vec<f32> = part.iter().flat_map(|&query| queries.row(dim, query)).copied().collect();
        let lists = backend.neighbours(dim, k, &rows, Some(among.rows))?;
        judge(k, part, &lists, k == total);
    }
    Ok(in_order(&found, &place))
}

/// The queries of `found` as `place` has them.
fn in_order(found: &MatchRanks, place: &[usize]) -> MatchRanks {
    let mut ranks = MatchRanks::default();
    place.iter().for_each(|&at| ranks.push_from(found, at));
    ranks
}

/// Number of matches of each query.
fn matches(queries: &[u32], candidates: &[u32], itself: bool) -> Vec<usize> {
    let mut sorted = candidates.to_vec();
    sorted.sort_unstable();
    let class = |&label: &u32| {
        sorted.partition_point(|&l| l <= label) - sorted.partition_point(|&l| l < label) - usize::from(itself)
    };
    queries.iter().map(class).collect()
}

/// A query, and what it is held against.
struct Judged<'a> {
    label: u32,
    itself: Option<usize>,
    row: &'a [f32],
    among: Labeled<'a>,
    matches: usize,
    /// The last place of interest.
    depth: usize,
}

impl Judged<'_> {
    /// Adds the places of this query to `ranks`. `list` are its nearest candidates, or `all` of them, chosen by squared
    /// distances that are off by at most `rounding`.
    fn push(&self, list: &[Neighbour], all: bool, rounding: f64, ranks: &mut MatchRanks) {
        if self.matches == 0 {
            return ranks.push(0, []);
        }
        let others = list.iter().filter(|other| Some(other.index as usize) != self.itself);
        let (labels, distances): (Vec<u32>, Vec<f64>) =
            others.map(|other| (self.among.labels[other.index as usize], other.squared)).unzip();
        let horizon = match all {
            true => f64::INFINITY,
            false => distances.iter().fold(0.0, |most, &d| f64::max(most, d)) - 2.0 * rounding,
        };
        // Of a place before the horizon all that stands before it is known.
        let slack = tie_slack::<f64>();
        let sure = || distances.iter().zip(&labels).filter(|(d, _)| **d * slack < horizon);
        let settled = sure().count() >= self.depth
            || sure().filter(|(_, label)| **label == self.label).count() == self.matches;
        let mut found = MatchRanks::default();
        if settled {
            rank_row(self.label, None, &labels, &distances, self.depth, &mut found);
        } else {
            let count = self.among.labels.len();
            let dim = self.row.len();
            let distance = |j| squared_distance_double(self.row, self.among.row(dim, j));
            let distances: Vec<f64> = (0..count).map(distance).collect();
            rank_row(self.label, self.itself, self.among.labels, &distances, self.depth, &mut found);
        }
        let places = found.places(0).take_while(|&place| place as usize <= self.depth);
        ranks.push(self.matches as u32, places);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::SearchView;
    use crate::kernel::scalar::Reference;
    use crate::rng::{Key, Stream};

    /// Rows on a grid so coarse, and moved so little, that single precision cannot tell many of their distances apart.
    fn rows(count: usize, dim: usize, scale: f32) -> Vec<f32> {
        let key = Key::new(3, Stream::Init, 0);
        (0..count * dim)
            .map(|i| {
                let coarse = key.below(i as u32, 0, 4) as f32 - 1.5;
                scale * (coarse + 3e-7 * key.uniform(i as u32, 1) as f32)
            })
            .collect()
    }

    fn wanted(dim: usize, depth: usize, queries: Labeled<'_>, candidates: Option<Labeled<'_>>) -> MatchRanks {
        let double = |x: &[f32]| x.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
        let (x, y) = (double(queries.rows), candidates.map(|c| double(c.rows)));
        let view = SearchView { embeddings: &x, labels: queries.labels, count: queries.labels.len() };
        let among = candidates.zip(y.as_ref()).map(|(c, y)| SearchView {
            embeddings: y,
            labels: c.labels,
            count: c.labels.len(),
        });
        Reference.match_ranks(dim, depth, view, among).unwrap()
    }

    #[test]
    fn nobody_to_be_found_gives_no_places() {
        let queries = Labeled { rows: &[1.0, 0.5], labels: &[5, 6] };
        let nobody = Labeled { rows: &[], labels: &[] };
        let ranks = match_ranks(&Reference, 1, 3, queries, Some(nobody)).unwrap();
        assert_eq!((ranks.count(), ranks.places(0).count(), ranks.places(1).count()), (2, 0, 0));
        assert_eq!(match_ranks(&Reference, 1, 3, nobody, None).unwrap().count(), 0);
    }

    #[test]
    fn places_are_those_of_double_precision() {
        let mut differ = 0;
        for (count, dim, scale) in [(2, 1, 1.0), (90, 3, 1.0), (150, 9, 1.0), (60, 5, 1e25), (60, 5, 0.0)] {
            let x = rows(count, dim, scale);
            let labels: Vec<u32> = (0..count as u32).map(|i| i * i % 23 % 7).collect();
            let (x, labels) = (&x[..], &labels[..]);
            let set = Labeled { rows: x, labels };
            for depth in [1, 4, 1000] {
                let want = wanted(dim, depth, set, None);
                // All at once, and in parts of a few queries.
                for listed in [LISTED, 40] {
                    let got = match_ranks_by(listed, &Reference, dim, depth, set, None).unwrap();
                    assert_eq!(got, want, "{count} rows of {dim}, scale {scale}, depth {depth}, {listed}");
                    #[cfg(feature = "std")]
                    {
                        let fast = crate::kernel::fast::Fast::new(2).unwrap();
                        let got = match_ranks_by(listed, &fast, dim, depth, set, None).unwrap();
                        assert_eq!(
                            got, want,
                            "fast: {count} rows of {dim}, scale {scale}, {depth}, {listed}"
                        );
                    }
                }
                let view = SearchView { embeddings: &x.to_vec(), labels, count };
                differ += usize::from(Reference.match_ranks(dim, depth, view, None).unwrap() != want);
                // Some of them asked about the others; a label that is not there among them.
                let half = count / 2;
                let mut asked = labels[..half].to_vec();
                asked[0] = u32::MAX;
                let (queries, others) = (
                    Labeled { rows: &x[..half * dim], labels: &asked },
                    Labeled { rows: &x[half * dim..], labels: &labels[half..] },
                );
                let got = match_ranks(&Reference, dim, depth, queries, Some(others)).unwrap();
                assert_eq!(got, wanted(dim, depth, queries, Some(others)), "{count} rows, depth {depth}");
            }
        }
        assert!(differ > 3, "the rows are no test: single precision was right in itself, but for {differ}");
    }

    #[test]
    fn a_list_that_ends_among_near_ties_settles_nothing() {
        // Distances 1, 2, 3 and, beyond the list, 3 again as far as single precision can tell, but nearer.
        let rows = [0.0_f32, 1.0, 2.0, -3.0, 3.0 - 2.0 * f32::EPSILON];
        let labels = [0, 1, 1, 0, 1];
        let among = Labeled { rows: &rows, labels: &labels };
        let judged = Judged { label: 0, itself: Some(0), row: &rows[..1], among, matches: 1, depth: 4 };
        let mut ranks = MatchRanks::default();
        let list =
            [0.0, 1.0, 4.0, 9.0].into_iter().zip(0..).map(|(squared, index)| Neighbour { index, squared });
        judged.push(&list.collect::<Vec<_>>(), false, 1e-5, &mut ranks);
        assert_eq!(ranks.places(0).collect::<Vec<_>>(), [4]);
    }
}
