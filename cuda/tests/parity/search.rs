//! Retrieval against the reference: ranks, ties and nearest candidates.

use nearfar_core::kernel::{Backend, SearchView, scalar::Reference};

use crate::bench::{device, numbers, up};

/// Rows with duplicates among them, and labels in no order.
fn set(seed: u64, count: usize, dim: usize, classes: u32) -> (Vec<f32>, Vec<u32>) {
    let labels = numbers(seed, count).iter().map(|v| ((v + 1.0) * 1e6) as u32 % classes).collect();
    let mut x = numbers(seed + 1, count * dim);
    for copy in (5..count).step_by(7) {
        x.copy_within((copy - 3) * dim..(copy - 2) * dim, copy * dim);
    }
    (x, labels)
}

fn searches_agree(queries: (usize, u32), candidates: Option<(usize, u32)>, dim: usize) {
    let Some(cuda) = device() else { return };
    let (x, labels) = set(1, queries.0, dim, queries.1);
    let other = candidates.map(|(count, classes)| set(9, count, dim, classes));
    let host = |x, labels, count| SearchView { embeddings: x, labels, count };
    let query = host(&x, &labels[..], queries.0);
    let among = other.as_ref().map(|(x, labels)| host(x, &labels[..], labels.len()));
    let xs = up(cuda, &x);
    let others = other.as_ref().map(|(x, labels)| (up(cuda, x), labels));
    let device_query = SearchView { embeddings: &xs, labels: &labels, count: queries.0 };
    let device_among =
        others.as_ref().map(|(x, labels)| SearchView { embeddings: x, labels, count: labels.len() });

    for depth in [0, 5, 1000] {
        let want = Reference.match_ranks(dim, depth, query, among).unwrap();
        assert_eq!(
            cuda.match_ranks(dim, depth, device_query, device_among).unwrap(),
            want,
            "{queries:?} {candidates:?}"
        );
    }
    for k in [0, 1, 3, 40, 1000] {
        let want = Reference.nearest(dim, k, query, among).unwrap();
        let got = cuda.nearest(dim, k, device_query, device_among).unwrap();
        assert_eq!(got.len(), want.len(), "{k} nearest of {queries:?} {candidates:?}");
        // Where the two differ the candidates are as far, to rounding.
        let y = other.as_ref().map_or(&x, |(x, _)| x);
        let each = want.len() / queries.0.max(1);
        for (i, (&got, &want)) in got.iter().zip(&want).enumerate() {
            let distance = |j: u32| {
                let row = |x: &[f32], j: usize| x[j * dim..][..dim].to_vec();
                nearfar_core::squared_distance(&row(&x, i / each), &row(y, j as usize))
            };
            assert!(
                (distance(got) - distance(want)).abs() <= 1e-5 * distance(want),
                "place {i}: {got}, not {want}"
            );
        }
        let again = cuda.nearest(dim, k, device_query, device_among).unwrap();
        assert_eq!(got, again, "two runs differ");
    }
}

#[test]
fn a_set_searched_in_itself_agrees() {
    searches_agree((1, 1), None, 3);
    searches_agree((2, 1), None, 4);
    searches_agree((40, 1), None, 5);
    searches_agree((70, 9), None, 8);
    searches_agree((150, 40), None, 6);
}

#[test]
fn queries_searched_among_candidates_agree() {
    searches_agree((3, 2), Some((1, 1)), 3);
    searches_agree((5, 4), Some((130, 3)), 4);
    searches_agree((130, 6), Some((33, 9)), 7);
}

#[test]
fn a_search_in_two_strips_agrees() {
    let Some(cuda) = device() else { return };
    // A strip of distances is 2^22 numbers in whole tiles of 128 rows: here 128 queries, and one in a strip of its own.
    let (queries, candidates, dim) = (129, (1 << 14) + 6, 4);
    let (x, labels) = set(1, queries, dim, 40);
    let (y, among) = set(9, candidates, dim, 40);
    let (xs, ys) = (up(cuda, &x), up(cuda, &y));
    let query = SearchView { embeddings: &xs, labels: &labels, count: queries };
    let other = SearchView { embeddings: &ys, labels: &among, count: candidates };
    let places = cuda.match_ranks(dim, 3, query, Some(other)).unwrap();
    let nearest = cuda.nearest(dim, 5, query, Some(other)).unwrap();
    // The queries on both sides of the boundary, by themselves.
    for first in [127, 128] {
        let alone = x[first * dim..][..dim].to_vec();
        let query = SearchView { embeddings: &alone, labels: &labels[first..=first], count: 1 };
        let other = SearchView { embeddings: &y, labels: &among, count: candidates };
        let want = Reference.match_ranks(dim, 3, query, Some(other)).unwrap();
        assert!(want.places(0).count() > 0);
        assert_eq!(
            places.places(first).collect::<Vec<_>>(),
            want.places(0).collect::<Vec<_>>(),
            "query {first}"
        );
        let want = Reference.nearest(dim, 5, query, Some(other)).unwrap();
        assert_eq!(nearest[5 * first..][..5], want, "query {first}");
    }
}

#[test]
fn a_collapsed_set_ranks_matches_last() {
    let Some(cuda) = device() else { return };
    let (n, dim) = (30, 4);
    let x = [0.5_f32; 120];
    let labels: Vec<u32> = (0..n as u32).map(|i| i % 3).collect();
    let xs = up(cuda, &x);
    let view = SearchView { embeddings: &xs, labels: &labels, count: n };
    let host = x.to_vec();
    let want = Reference
        .match_ranks(dim, n, SearchView { embeddings: &host, labels: &labels, count: n }, None)
        .unwrap();
    assert_eq!(cuda.match_ranks(dim, n, view, None).unwrap(), want);
    // Equal distances: the lower index first.
    let nearest = cuda.nearest(dim, 3, view, None).unwrap();
    assert_eq!(nearest[..6], [1, 2, 3, 0, 2, 3]);
}
