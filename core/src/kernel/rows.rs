//! The metric operations of the backends in host memory: everything that looks at one row of distances at a time.
//!
//! How rows of squared distances come about is the backend's: [`RowSource`]. What is done with a row is the formula
//! layer's. Results are put together in the order of the rows, so threads do not show.

use alloc::vec;
use alloc::vec::Vec;

use super::{BatchView, MatchRanks, NegativeMoments, Neighbour, SearchView};
use crate::Scalar;
use crate::batch::{BatchError, Embeddings, Row};
use crate::distance;
use crate::loss::batch::{Sequential, Walk, finish, row_sum, row_terms, scale_by, tuple_loss};
use crate::loss::{LossReport, Objective};
use crate::metric::retrieval::{nearest_row, rank_row};
use crate::rng::Key;
use crate::sample::{Draw, DrawReport};

/// Anchors whose pulls on all rows are held at once: memory beyond the embeddings is O(N + M) \[R9\].
const ROWS_AT_ONCE: usize = 64;

/// Rows of squared Euclidean distances, pairs closer than the rounding of `2 - 2c` allows recomputed \[R2\].
pub(super) trait RowSource {
    /// Calls `work(row, squared distances of queries[row] to every candidate)` for every query and returns the
    /// results in order.
    fn map<T: Scalar, R: Send>(
        &self,
        queries: Embeddings<'_, T>,
        candidates: Embeddings<'_, T>,
        work: impl Fn(usize, &mut [T]) -> R + Sync,
    ) -> Vec<R>;

    /// As [`Backend::match_ranks`](super::Backend::match_ranks); row by row, where there is no better way.
    fn match_ranks<T: Scalar>(
        &self,
        dim: usize,
        depth: usize,
        queries: SearchView<'_, Vec<T>>,
        candidates: Option<SearchView<'_, Vec<T>>>,
    ) -> MatchRanks
    where
        Self: Sized,
    {
        match_ranks(self, dim, depth, queries, candidates)
    }

    /// As [`Backend::nearest`](super::Backend::nearest); row by row, where there is no better way.
    fn nearest<T: Scalar>(
        &self,
        dim: usize,
        k: usize,
        queries: SearchView<'_, Vec<T>>,
        candidates: Option<SearchView<'_, Vec<T>>>,
    ) -> Vec<u32>
    where
        Self: Sized,
    {
        nearest(self, dim, k, queries, candidates)
    }

    /// As [`Backend::neighbours`](super::Backend::neighbours); row by row, where there is no better way.
    fn neighbours<T: Scalar>(
        &self,
        dim: usize,
        k: usize,
        queries: &[T],
        candidates: Option<&[T]>,
    ) -> Vec<Neighbour>
    where
        Self: Sized,
    {
        neighbours(self, dim, k, queries, candidates)
    }
}

/// The candidates on the lists of the queries, as many for each, with their distances.
pub(super) fn measured<T: Scalar>(
    dim: usize,
    queries: &[T],
    candidates: &[T],
    lists: &[u32],
) -> Vec<Neighbour> {
    let k = (lists.len() * dim).checked_div(queries.len()).unwrap_or(0);
    let of = |x: &[T], index: u32| Neighbour {
        index,
        squared: squared_distance_double(x, &candidates[index as usize * dim..][..dim]),
    };
    let asked = queries.chunks_exact(dim).zip(lists.chunks(k.max(1)));
    asked.flat_map(|(x, list)| list.iter().map(move |&index| of(x, index))).collect()
}

/// `|x - y|²` in double precision: of f32 the differences are exact but for the last bit.
#[inline(always)]
pub(crate) fn squared_distance_double<T: Scalar>(x: &[T], y: &[T]) -> f64 {
    const LANES: usize = 8;
    let (xs, x_rest) = x.as_chunks::<LANES>();
    let (ys, y_rest) = y.as_chunks::<LANES>();
    let term = |x: T, y: T| {
        let difference = x.to_f64() - y.to_f64();
        difference * difference
    };
    let mut lanes = [0.0; LANES];
    for (x, y) in xs.iter().zip(ys) {
        for lane in 0..LANES {
            lanes[lane] += term(x[lane], y[lane]);
        }
    }
    let rest: f64 = x_rest.iter().zip(y_rest).map(|(&x, &y)| term(x, y)).sum();
    lanes.iter().sum::<f64>() + rest
}

pub(super) fn normalize<T: Scalar>(count: usize, dim: usize, z: &[T], x: &mut [T]) -> Result<(), BatchError> {
    for row in 0..count {
        let at = row * dim..(row + 1) * dim;
        distance::normalize_row(&z[at.clone()], &mut x[at]).map_err(|error| error.at_row(row))?;
    }
    Ok(())
}

pub(super) fn normalize_backward<T: Scalar>(
    count: usize,
    dim: usize,
    z: &[T],
    x: &[T],
    dx: &[T],
    dz: &mut [T],
) {
    for row in 0..count {
        let at = row * dim..(row + 1) * dim;
        distance::normalize_row_backward(&z[at.clone()], &x[at.clone()], &dx[at.clone()], &mut dz[at]);
    }
}

/// All embeddings, all labels, and the boundaries of the anchors: as many as the batch has samples.
pub(super) fn view<'a, T: Scalar>(
    batch: BatchView<'a, Vec<T>, Vec<u32>>,
) -> (Embeddings<'a, T>, &'a [u32], &'a [T]) {
    let x = Embeddings::new(&batch.embeddings[..batch.count * batch.dim], batch.dim)
        .expect("a batch has whole rows of at least one number");
    (x, &batch.labels[..batch.count], &batch.betas[..batch.anchors])
}

/// Class and image of each anchor, from the words that they came in.
pub(super) fn pairs(parts: &[u32], anchors: usize) -> impl Iterator<Item = (u32, u32)> {
    parts[..2 * anchors].as_chunks().0.iter().map(|&[class, image]| (class, image))
}

/// Of each drawn tuple its positive and its negative pair, as (anchor, distance, same class).
pub(super) fn drawn_pairs<T: Scalar>(x: &[T], dim: usize, draws: &[Draw<T>]) -> Vec<(u32, T, bool)> {
    let row = |i: u32| &x[i as usize * dim..][..dim];
    let pair = |anchor, other, same| (anchor, distance(row(anchor), row(other)), same);
    let triplets = draws.iter().map(|draw| draw.triplet);
    triplets.flat_map(|t| [pair(t.anchor, t.positive, true), pair(t.anchor, t.negative, false)]).collect()
}

pub(super) fn negative_moments<T: Scalar>(
    source: &impl RowSource,
    batch: BatchView<'_, Vec<T>, Vec<u32>>,
) -> NegativeMoments {
    let (x, labels, _) = view(batch);
    let rows = source.map(queries(batch, 0..batch.anchors), x, |anchor, squared| {
        let mut moments = NegativeMoments::default();
        for (j, squared) in squared.iter().enumerate() {
            if labels[j] != labels[anchor] {
                moments.add(1.0 - 0.5 * squared.to_f64());
            }
        }
        moments
    });
    rows.into_iter().fold(NegativeMoments::default(), NegativeMoments::plus)
}

pub(super) fn draw<T: Scalar>(
    source: &impl RowSource,
    batch: BatchView<'_, Vec<T>, Vec<u32>>,
    objective: &Objective<T>,
    key: Key,
    draws: &mut Vec<Draw<T>>,
) -> DrawReport {
    let third = objective.loss().takes_third();
    let rows = over_rows(source, batch, 0..batch.anchors, |row| {
        let mut scratch = vec![T::ZERO; row.labels.len()];
        let mut drawn = Vec::new();
        let mut keep = |draw: Draw<T>| drawn.push(Draw { second: draw.second.filter(|_| third), ..draw });
        let report = objective.sampler().draw_row(row, None, key, &mut scratch, &mut keep);
        (drawn, report)
    });
    draws.clear();
    let mut total = DrawReport::default();
    for (drawn, report) in rows {
        draws.extend(drawn);
        total = total.plus(report);
    }
    total
}

pub(super) fn loss<T: Scalar>(
    source: &impl RowSource,
    batch: BatchView<'_, Vec<T>, Vec<u32>>,
    objective: &Objective<T>,
    draws: &[Draw<T>],
    dx: &mut [T],
    dbetas: &mut [T],
) -> LossReport {
    let (x, _, betas) = view(batch);
    let (dx, dbetas) = (&mut dx[..batch.anchors * batch.dim], &mut dbetas[..batch.anchors]);
    if objective.sampler().draws() {
        dx.fill(T::ZERO);
        let (report, scale) = tuple_loss(objective, draws, betas, dbetas, &mut Sequential { x, dx });
        scale_by(scale, dx);
        return report;
    }
    let mut walk = Walk::new(x, dx);
    let sums =
        row_sum(objective).map(|sum| over_rows(source, batch, 0..batch.anchors, sum)).unwrap_or_default();
    for first in (0..batch.anchors).step_by(ROWS_AT_ONCE) {
        let anchors = first..(first + ROWS_AT_ONCE).min(batch.anchors);
        walk.rows(over_rows(source, batch, anchors, |row| row_terms(objective, x, row, &sums)));
    }
    let terms = walk.terms;
    finish(objective, &terms, betas, dx, dbetas)
}

/// `work` on the row of each of `anchors`, results in order.
fn over_rows<T: Scalar, R: Send>(
    source: &impl RowSource,
    batch: BatchView<'_, Vec<T>, Vec<u32>>,
    anchors: core::ops::Range<usize>,
    work: impl Fn(&Row<'_, T>) -> R + Sync,
) -> Vec<R> {
    let (x, labels, betas) = view(batch);
    source.map(queries(batch, anchors.clone()), x, |at, distances| {
        for distance in distances.iter_mut() {
            *distance = distance.sqrt();
        }
        let anchor = anchors.start + at;
        work(&Row { anchor, anchors: batch.anchors, labels, distances, beta: betas[anchor] })
    })
}

/// Some anchors, as rows that are compared with all.
fn queries<'a, T: Scalar>(
    batch: BatchView<'a, Vec<T>, Vec<u32>>,
    anchors: core::ops::Range<usize>,
) -> Embeddings<'a, T> {
    Embeddings::new(&batch.embeddings[anchors.start * batch.dim..anchors.end * batch.dim], batch.dim)
        .expect("whole rows of the batch")
}

fn search<'a, T: Scalar>(dim: usize, view: SearchView<'a, Vec<T>>) -> Embeddings<'a, T> {
    Embeddings::new(&view.embeddings[..view.count * dim], dim).expect("whole rows of at least one number")
}

pub(super) fn match_ranks<T: Scalar>(
    source: &impl RowSource,
    dim: usize,
    depth: usize,
    queries: SearchView<'_, Vec<T>>,
    candidates: Option<SearchView<'_, Vec<T>>>,
) -> MatchRanks {
    let among = candidates.unwrap_or(queries);
    let itself = candidates.is_none();
    let rows = source.map(search(dim, queries), search(dim, among), |query, squared| {
        let mut ranks = MatchRanks::default();
        rank_row(queries.labels[query], itself.then_some(query), among.labels, squared, depth, &mut ranks);
        ranks
    });
    let mut all = MatchRanks::default();
    rows.iter().for_each(|row| all.push_from(row, 0));
    all
}

pub(super) fn nearest<T: Scalar>(
    source: &impl RowSource,
    dim: usize,
    k: usize,
    queries: SearchView<'_, Vec<T>>,
    candidates: Option<SearchView<'_, Vec<T>>>,
) -> Vec<u32> {
    lists(source, k, search(dim, queries), candidates.map(|among| search(dim, among)))
}

pub(super) fn neighbours<T: Scalar>(
    source: &impl RowSource,
    dim: usize,
    k: usize,
    queries: &[T],
    candidates: Option<&[T]>,
) -> Vec<Neighbour> {
    let rows = |x| Embeddings::new(x, dim).expect("whole rows of at least one number");
    let lists = lists(source, k, rows(queries), candidates.map(rows));
    measured(dim, queries, candidates.unwrap_or(queries), &lists)
}

/// The lists of all queries, one after the other.
fn lists<T: Scalar>(
    source: &impl RowSource,
    k: usize,
    queries: Embeddings<'_, T>,
    candidates: Option<Embeddings<'_, T>>,
) -> Vec<u32> {
    let itself = candidates.is_none();
    let rows = source.map(queries, candidates.unwrap_or(queries), |query, squared| {
        nearest_row(k, itself.then_some(query), squared)
    });
    rows.concat()
}
