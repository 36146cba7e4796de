//! Retrieval: Recall@K, Precision@K, R-precision and MAP@R from the places of each query's matches.
//!
//! A query leaves itself out by its index, never by its column, so duplicates are neighbours like any other. Ties are
//! broken against the query: what is exactly as far as a match stands before it, so that an embedding whose samples
//! all coincide scores near 0 rather than 1. Sources: Musgrave, Belongie, Lim, "A Metric Learning Reality Check",
//! ECCV 2020, for MAP@R and R-precision.

use alloc::vec::Vec;

use crate::Scalar;
use crate::kernel::MatchRanks;

/// Squared distances closer than this share (in units of the last place) are ties: a product-based distance knows no
/// better, as pairs nearer than \[R2\] allows are recomputed.
const TIE_ULPS: f64 = 128.0;

/// What the squared distance of a match is multiplied by: what lies within is as far as it, or nearer.
pub(crate) fn tie_slack<T: Scalar>() -> T {
    T::from_f64(1.0 + TIE_ULPS * T::EPSILON.to_f64())
}

/// Appends to `ranks` a query: the places, from 1, of the samples with `label` among all candidates, up to the larger
/// of `depth` and their number.
///
/// `squared` are the squared distances from the query to every candidate, `itself` the index of the query if it is
/// one of them.
pub(crate) fn rank_row<T: Scalar>(
    label: u32,
    itself: Option<usize>,
    labels: &[u32],
    squared: &[T],
    depth: usize,
    ranks: &mut MatchRanks,
) {
    let others = || labels.iter().zip(squared).enumerate().filter(move |&(j, _)| Some(j) != itself);
    let mut matches: Vec<T> = others().filter(|(_, (l, _))| **l == label).map(|(_, (_, d))| *d).collect();
    matches.sort_unstable_by(|a, b| a.partial_cmp(b).unwrap_or(core::cmp::Ordering::Equal));
    matches.iter_mut().for_each(|m| *m *= tie_slack());
    let Some(&last) = matches.last() else { return ranks.push(0, []) };
    // nearer[i]: samples of other classes that stand before match i but not before match i - 1.
    let mut nearer = alloc::vec![0_u32; matches.len()];
    for (_, (_, &distance)) in others().filter(|(_, (l, d))| **l != label && !(last < **d)) {
        nearer[matches.partition_point(|&m| m < distance)] += 1;
    }
    let mut before = 0;
    let places = (1..).zip(&nearer).map(|(place, nearer)| {
        before += nearer;
        place + before
    });
    let last = depth.max(matches.len());
    ranks.push(matches.len() as u32, places.take_while(|&place| place as usize <= last));
}

/// The `k` nearest candidates of a query, itself left out, nearest first, the lower index first among equals.
pub(crate) fn nearest_row<T: Scalar>(k: usize, itself: Option<usize>, squared: &[T]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..squared.len() as u32).filter(|&j| Some(j as usize) != itself).collect();
    let by_distance = |a: &u32, b: &u32| {
        let (x, y) = (squared[*a as usize], squared[*b as usize]);
        x.partial_cmp(&y).unwrap_or(core::cmp::Ordering::Equal).then(a.cmp(b))
    };
    if k < order.len() {
        order.select_nth_unstable_by(k, by_distance);
        order.truncate(k);
    }
    order.sort_unstable_by(by_distance);
    order
}

/// Retrieval quality, means over the queries that have a match at all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Retrieval {
    /// Recall@K for each K asked for: share of queries with a match among their K nearest.
    pub recall: Vec<f64>,
    /// Precision@K for each K asked for: mean share of matches among the K nearest, of K even where there are fewer.
    pub precision: Vec<f64>,
    /// Share of queries whose nearest candidate is a match; Recall@1 by another name.
    pub precision_at_1: f64,
    /// Mean share of matches among the R nearest, R the number of matches of the query.
    pub r_precision: f64,
    /// Mean average precision over the R nearest: `1/R sum over i <= R of precision(i) [i is a match]`.
    pub map_at_r: f64,
    /// Queries that have a match.
    pub queries: usize,
    /// Queries that have none and are left out.
    pub without_match: usize,
}

impl Retrieval {
    /// Means over all queries; `ks` are the ranks of Recall@K, none beyond the depth to which places are listed.
    ///
    /// ```
    /// use nearfar_core::{kernel::MatchRanks, metric::retrieval::Retrieval};
    /// // Query 0 finds its two matches at places 1 and 3; query 1 its only match at place 2; query 2 has none.
    /// let mut ranks = MatchRanks::default();
    /// ranks.push(2, [1, 3]);
    /// ranks.push(1, [2]);
    /// ranks.push(0, []);
    /// let quality = Retrieval::of(&ranks, &[1, 2]);
    /// assert_eq!(quality.recall, [0.5, 1.0]);
    /// assert_eq!(quality.precision, [0.5, 0.5]);
    /// assert_eq!(quality.r_precision, 0.25); // (1/2 + 0/1) / 2
    /// assert_eq!(quality.map_at_r, 0.25);
    /// assert_eq!((quality.queries, quality.without_match), (2, 1));
    /// ```
    #[must_use]
    pub fn of(ranks: &MatchRanks, ks: &[usize]) -> Self {
        let none = || alloc::vec![0.0; ks.len()];
        let mut sums = Self { recall: none(), precision: none(), ..Self::default() };
        for query in 0..ranks.count() {
            let Some(one) = Self::of_query(ranks, query, ks) else {
                sums.without_match += 1;
                continue;
            };
            sums.queries += 1;
            sums.recall.iter_mut().zip(one.recall).for_each(|(sum, v)| *sum += v);
            sums.precision.iter_mut().zip(one.precision).for_each(|(sum, v)| *sum += v);
            sums.precision_at_1 += one.precision_at_1;
            sums.map_at_r += one.map_at_r;
            sums.r_precision += one.r_precision;
        }
        let scale = if sums.queries > 0 { 1.0 / sums.queries as f64 } else { 0.0 };
        let means = [&mut sums.precision_at_1, &mut sums.r_precision, &mut sums.map_at_r];
        for mean in means.into_iter().chain(&mut sums.recall).chain(&mut sums.precision) {
            *mean *= scale;
        }
        sums
    }

    /// One query by itself, or `None` if it has no match.
    ///
    /// ```
    /// use nearfar_core::{kernel::MatchRanks, metric::retrieval::Retrieval};
    /// let mut ranks = MatchRanks::default();
    /// ranks.push(2, [1, 3]);
    /// let one = Retrieval::of_query(&ranks, 0, &[4]).unwrap();
    /// assert_eq!((one.precision, one.map_at_r), (vec![0.5], 0.5));
    /// ```
    #[must_use]
    pub fn of_query(ranks: &MatchRanks, query: usize, ks: &[usize]) -> Option<Self> {
        let r = ranks.matches(query);
        if r == 0 {
            return None;
        }
        let places = || ranks.places(query);
        let first = places().next();
        let mut found = 0_u32;
        let precisions = places().take_while(|&place| place <= r).map(|place| {
            found += 1;
            f64::from(found) / f64::from(place)
        });
        let map_at_r = precisions.sum::<f64>() / f64::from(r);
        let share = |k: usize| places().take_while(|&place| place as usize <= k).count() as f64 / k as f64;
        Some(Self {
            recall: ks.iter().map(|&k| f64::from(first.is_some_and(|first| first as usize <= k))).collect(),
            precision: ks.iter().map(|&k| share(k)).collect(),
            precision_at_1: f64::from(first == Some(1)),
            r_precision: f64::from(found) / f64::from(r),
            map_at_r,
            queries: 1,
            without_match: 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranks(label: u32, itself: Option<usize>, labels: &[u32], squared: &[f64]) -> Vec<u32> {
        let mut ranks = MatchRanks::default();
        rank_row(label, itself, labels, squared, squared.len(), &mut ranks);
        ranks.places(0).collect()
    }

    #[test]
    fn ties_stand_before_the_match() {
        assert_eq!(ranks(1, Some(0), &[1, 2, 1, 2], &[0.0, 0.5, 0.5, 0.7]), [2]);
        // Collapsed: all at one point. The match is last.
        assert_eq!(ranks(1, Some(0), &[1, 2, 1, 2, 3], &[0.0; 5]), [4]);
    }

    #[test]
    fn a_duplicate_of_the_query_is_a_neighbour_and_the_query_is_not() {
        assert_eq!(ranks(1, Some(2), &[1, 2, 1], &[0.0, 0.3, 0.0]), [1]);
        assert_eq!(ranks(1, Some(1), &[2, 1, 1], &[0.0, 0.0, 0.2]), [2]);
    }

    #[test]
    fn neighbours_come_in_order_with_the_lower_index_first() {
        assert_eq!(nearest_row(3, Some(1), &[0.5, 0.0, 0.2, 0.5, 0.1]), [4, 2, 0]);
        assert_eq!(nearest_row(9, None, &[0.5, 0.1]), [1, 0]);
    }
}
