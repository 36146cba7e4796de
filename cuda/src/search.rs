//! Retrieval: places of matches, and nearest candidates. Rows of distances pass strip by strip.

use nearfar_core::kernel::{MatchRanks, SearchView};

use crate::device::Cuda;
use crate::error::Error;
use crate::launch::Grid;
use crate::memory::{Buffer, count};
use crate::pairs::{Pairing, Side};

/// Threads that look at one query: as in `kernels/search.cu`.
const TEAM: u32 = 256;

/// Where the matches of each query lie.
#[derive(Debug, PartialEq)]
struct Matches {
    /// Candidates by class, in order in each.
    members: Vec<u32>,
    /// Where the class of each query begins and ends in `members`.
    begins: Vec<u32>,
    ends: Vec<u32>,
    /// `lists[q]..lists[q + 1]`: places for the matches of query q, itself not among them.
    lists: Vec<usize>,
}

impl Matches {
    fn new(queries: &[u32], candidates: &[u32], leave_self_out: bool) -> Self {
        let mut members: Vec<u32> = (0..candidates.len() as u32).collect();
        members.sort_unstable_by_key(|&i| (candidates[i as usize], i));
        let below = |label: u32| members.partition_point(|&i| candidates[i as usize] < label);
        let upto = |label: u32| members.partition_point(|&i| candidates[i as usize] <= label);
        let bounds: Vec<(usize, usize)> = queries.iter().map(|&label| (below(label), upto(label))).collect();
        let mut lists = vec![0];
        for (begin, end) in &bounds {
            lists.push(lists[lists.len() - 1] + end - begin - usize::from(leave_self_out));
        }
        let (begins, ends) = bounds.iter().map(|&(begin, end)| (begin as u32, end as u32)).unzip();
        Self { members, begins, ends, lists }
    }
}

impl Cuda {
    /// Ranks of the matches of each query among the candidates; without `candidates` each query is searched among
    /// the other queries, itself left out by index. No array of queries x candidates is kept.
    ///
    /// Places beyond `depth` and beyond the number of matches of a query are left out.
    pub fn match_ranks(
        &self,
        dim: usize,
        depth: usize,
        queries: SearchView<'_, Buffer>,
        candidates: Option<SearchView<'_, Buffer>>,
    ) -> Result<MatchRanks, Error> {
        let mut ranks = MatchRanks::default();
        self.match_places(dim, queries, candidates, |places| {
            let last = depth.max(places.len());
            let listed = places.iter().copied().take_while(|&place| place as usize <= last);
            ranks.push(places.len() as u32, listed);
        })?;
        Ok(ranks)
    }

    /// Gives `take` the places of the matches of each query, in the order of the queries.
    fn match_places(
        &self,
        dim: usize,
        queries: SearchView<'_, Buffer>,
        candidates: Option<SearchView<'_, Buffer>>,
        mut take: impl FnMut(&[u32]),
    ) -> Result<(), Error> {
        let (among, leave_self_out) = (candidates.unwrap_or(queries), candidates.is_none());
        let (n, columns) = (queries.count, among.count);
        let pairing = Pairing::new(n, columns, dim)?;
        let matches = Matches::new(&queries.labels[..n], &among.labels[..columns], leave_self_out);
        let members = self.words(&matches.members)?;
        let (begins, ends) = (self.words(&matches.begins)?, self.words(&matches.ends)?);
        let (query_labels, labels) =
            (self.words(&queries.labels[..n])?, self.words(&among.labels[..columns])?);
        let (x, y) = (queries.embeddings.read(n * dim), among.embeddings.read(columns * dim));
        let longest = pairing.strips().map(|rows| matches.lists[rows.end] - matches.lists[rows.start]).max();
        let longest = longest.unwrap_or(0);
        count(longest)?;
        let mut scratch = self.scratch();
        let ([mut x_squares, mut y_squares, mut strip, mut found], [], [mut ranks, mut lists]) = scratch
            .arrays(self, [n, columns, pairing.strip_len(), longest], [], [longest, pairing.strip + 1])?;
        self.squares(n, dim, &x, &mut x_squares)?;
        self.squares(columns, dim, &y, &mut y_squares)?;
        let (x_squares, y_squares) = (x_squares.as_view(), y_squares.as_view());
        for rows in pairing.strips() {
            let (x, y) = (Side { x: &x, squares: &x_squares }, Side { x: &y, squares: &y_squares });
            self.distances(&pairing, &rows, x, y, &mut strip)?;
            let before = matches.lists[rows.start];
            let own: Vec<u32> =
                matches.lists[rows.start..=rows.end].iter().map(|&at| (at - before) as u32).collect();
            self.send(&own, &mut lists.slice_mut(..own.len()))?;
            self.launch(
                "rank",
                Grid { blocks: (count(rows.len())?, 1, 1), threads: (TEAM, 1) },
                [
                    strip.slice(..rows.len() * columns).into(),
                    query_labels.slice(..n).into(),
                    labels.slice(..columns).into(),
                    begins.slice(..n).into(),
                    ends.slice(..n).into(),
                    members.slice(..columns).into(),
                    lists.slice(..own.len()).into(),
                    found.slice_mut(..).into(),
                    ranks.slice_mut(..).into(),
                    count(rows.start)?.into(),
                    count(columns)?.into(),
                    u32::from(leave_self_out).into(),
                ],
            )?;
            let mut host = vec![0; own[rows.len()] as usize];
            self.fetch(&ranks.slice(..host.len()), &mut host)?;
            for list in own.windows(2) {
                take(&host[list[0] as usize..list[1] as usize]);
            }
        }
        Ok(())
    }

    /// The `k` nearest candidates of each query, nearest first, ties by lower index; as
    /// [`match_ranks`](Self::match_ranks) without `candidates`.
    pub fn nearest(
        &self,
        dim: usize,
        k: usize,
        queries: SearchView<'_, Buffer>,
        candidates: Option<SearchView<'_, Buffer>>,
    ) -> Result<Vec<u32>, Error> {
        let (among, leave_self_out) = (candidates.unwrap_or(queries), candidates.is_none());
        let (n, columns) = (queries.count, among.count);
        let k = k.min(columns.saturating_sub(usize::from(leave_self_out)));
        if k == 0 {
            return Ok(Vec::new());
        }
        let pairing = Pairing::new(n, columns, dim)?;
        let (x, y) = (queries.embeddings.read(n * dim), among.embeddings.read(columns * dim));
        count(pairing.strip.saturating_mul(k))?;
        let mut scratch = self.scratch();
        // Keys are 64 bits wide, as doubles are.
        let ([mut x_squares, mut y_squares, mut strip], [mut keys], [mut indices]) = scratch.arrays(
            self,
            [n, columns, pairing.strip_len()],
            [pairing.strip * k],
            [pairing.strip * k],
        )?;
        self.squares(n, dim, &x, &mut x_squares)?;
        self.squares(columns, dim, &y, &mut y_squares)?;
        let (x_squares, y_squares) = (x_squares.as_view(), y_squares.as_view());
        let mut all = Vec::with_capacity(n * k);
        for rows in pairing.strips() {
            let (x, y) = (Side { x: &x, squares: &x_squares }, Side { x: &y, squares: &y_squares });
            self.distances(&pairing, &rows, x, y, &mut strip)?;
            self.launch(
                "nearest",
                Grid { blocks: (count(rows.len())?, 1, 1), threads: (TEAM, 1) },
                [
                    strip.slice(..rows.len() * columns).into(),
                    keys.slice_mut(..).into(),
                    indices.slice_mut(..).into(),
                    count(rows.start)?.into(),
                    count(columns)?.into(),
                    count(k)?.into(),
                    u32::from(leave_self_out).into(),
                ],
            )?;
            let mut host = vec![0; rows.len() * k];
            self.fetch(&indices.slice(..host.len()), &mut host)?;
            all.extend(host);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_have_a_place_for_each_match() {
        let matches = Matches::new(&[5, 2, 9], &[2, 5, 5, 2, 2], false);
        assert_eq!(matches.members, [0, 3, 4, 1, 2]);
        assert_eq!((matches.begins, matches.ends), (vec![3, 0, 5], vec![5, 3, 5]));
        assert_eq!(matches.lists, [0, 2, 5, 5]);
        assert_eq!(Matches::new(&[1, 1, 4], &[1, 1, 4], true).lists, [0, 1, 2, 2]);
    }
}
