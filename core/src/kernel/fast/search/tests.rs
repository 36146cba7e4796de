//! Search by streams of pairs against brute force in double precision, on every instruction set and on threads.

use super::{Labeled, Means, Set, TILE_MULTIPLE, match_ranks, nearest, neighbours, ranks};
use crate::batch::Embeddings;
use crate::kernel::fast::half::HalfProducts;
use crate::kernel::fast::{Fast, InstructionSet};
use crate::kernel::scalar::Reference;
use crate::kernel::{Backend, MatchRanks, Neighbour, SearchView};
use crate::rng::{Key, Stream};

/// Uniform in [-1, 1), in steps of 1/8: sums of products are exact, so ties and order are those of double precision.
fn grid(seed: u64, count: usize, dim: usize) -> Vec<f32> {
    let key = Key::new(seed, Stream::Init, 0);
    (0..count * dim).map(|i| key.below(0, i as u32, 16) as f32 / 8.0 - 1.0).collect()
}

fn labels(seed: u64, count: usize, classes: usize) -> Vec<u32> {
    let key = Key::new(seed, Stream::Init, 1);
    (0..count).map(|i| key.below(1, i as u32, classes) as u32).collect()
}

fn view<'a>(x: &'a Vec<f32>, labels: &'a [u32]) -> SearchView<'a, Vec<f32>> {
    SearchView { embeddings: x, labels, count: labels.len() }
}

fn squared(x: &[f32], y: &[f32]) -> f64 {
    x.iter().zip(y).map(|(x, y)| (f64::from(*x) - f64::from(*y)).powi(2)).sum()
}

/// By definition: a match's place counts itself, the matches before it, and all others that are not farther.
fn ranks_by_definition(
    dim: usize,
    depth: usize,
    queries: SearchView<'_, Vec<f32>>,
    candidates: Option<SearchView<'_, Vec<f32>>>,
) -> MatchRanks {
    let among = candidates.unwrap_or(queries);
    let mut ranks = MatchRanks::default();
    for (q, x) in queries.embeddings.chunks_exact(dim).enumerate() {
        let others: Vec<(f64, u32)> = among
            .embeddings
            .chunks_exact(dim)
            .zip(among.labels)
            .enumerate()
            .filter(|(j, _)| candidates.is_some() || *j != q)
            .map(|(_, (y, label))| (squared(x, y), *label))
            .collect();
        let mut matches: Vec<f64> = others.iter().filter(|o| o.1 == queries.labels[q]).map(|o| o.0).collect();
        matches.sort_by(f64::total_cmp);
        let last = depth.max(matches.len());
        let places: Vec<u32> = (1..)
            .zip(&matches)
            .map(|(place, &d)| {
                let tied = d * (1.0 + 1e-6);
                place + others.iter().filter(|o| o.1 != queries.labels[q] && o.0 <= tied).count() as u32
            })
            .filter(|&place| place as usize <= last)
            .collect();
        ranks.push(matches.len() as u32, places);
    }
    ranks
}

fn nearest_by_definition(
    dim: usize,
    k: usize,
    queries: SearchView<'_, Vec<f32>>,
    candidates: Option<SearchView<'_, Vec<f32>>>,
) -> Vec<u32> {
    let among = candidates.unwrap_or(queries);
    let mut all = Vec::new();
    for (q, x) in queries.embeddings.chunks_exact(dim).enumerate() {
        let mut order: Vec<(f64, u32)> = (0..)
            .zip(among.embeddings.chunks_exact(dim))
            .filter(|&(j, _)| candidates.is_some() || j as usize != q)
            .map(|(j, y)| (squared(x, y), j))
            .collect();
        order.sort_by(|a, b| a.partial_cmp(b).unwrap());
        all.extend(order.iter().take(k).map(|&(_, j)| j));
    }
    all
}

/// Sets that stress one thing each: ragged sizes, ties, copies, one point, one class, classes of one.
fn sets() -> Vec<(&'static str, usize, Vec<f32>, Vec<u32>)> {
    let mut copies = grid(3, 300, 20);
    for i in (2..300).step_by(3) {
        let from = (i * 7) % i;
        copies.copy_within(from * 20..(from + 1) * 20, i * 20);
    }
    vec![
        ("two", 3, grid(1, 2, 3), vec![0, 0]),
        ("ragged", 37, grid(2, 605, 37), labels(2, 605, 12)),
        ("ties", 2, grid(4, 500, 2), labels(4, 500, 30)),
        ("copies", 20, copies, labels(3, 300, 25)),
        ("one point", 8, grid(5, 1, 8).repeat(130), labels(5, 130, 9)),
        ("zeros", 8, vec![0.0; 8 * 50], labels(5, 50, 9)),
        ("one class", 5, grid(6, 97, 5), vec![7; 97]),
        ("classes of one", 16, grid(7, 200, 16), (0..200).rev().collect()),
    ]
}

fn backends() -> Vec<Fast> {
    InstructionSet::available()
        .into_iter()
        .flat_map(|set| [1, 2, 5].map(|threads| Fast::with_instruction_set(threads, set).unwrap()))
        .collect()
}

#[test]
fn places_among_themselves_are_those_of_the_definition() {
    for (name, dim, x, labels) in sets() {
        for depth in [0, 1, 8, 1000] {
            let wanted = ranks_by_definition(dim, depth, view(&x, &labels), None);
            assert_eq!(Reference.match_ranks(dim, depth, view(&x, &labels), None).unwrap(), wanted, "{name}");
            for fast in backends() {
                let got = fast.match_ranks(dim, depth, view(&x, &labels), None).unwrap();
                assert!(
                    got == wanted,
                    "{name}, depth {depth}, {}, {} threads",
                    fast.instruction_set(),
                    fast.threads()
                );
            }
        }
    }
}

#[test]
fn places_in_a_gallery_are_those_of_the_definition() {
    for (name, dim, x, labels) in sets() {
        // Queries that are in the gallery too, and classes that are not.
        let (q, mut of) = ([&grid(9, 61, dim)[..], &x[..dim]].concat(), labels.repeat(40)[..61].to_vec());
        of.push(u32::MAX);
        let (queries, gallery) = (view(&q, &of), Some(view(&x, &labels)));
        let wanted = ranks_by_definition(dim, 4, queries, gallery);
        assert_eq!(Reference.match_ranks(dim, 4, queries, gallery).unwrap(), wanted, "{name}");
        for fast in backends() {
            assert!(
                fast.match_ranks(dim, 4, queries, gallery).unwrap() == wanted,
                "{name}, {}",
                fast.instruction_set()
            );
        }
    }
}

#[test]
fn counts_that_do_not_fit_are_done_few_queries_at_a_time_with_the_same_places() {
    for (name, dim, x, labels) in sets() {
        let rows = Embeddings::new(&x, dim).unwrap();
        let means = Means::new(InstructionSet::best(), dim);
        let within = |bytes| ranks::within(bytes, means, 8, Labeled { rows, labels: &labels }, None).unwrap();
        assert!(within(usize::MAX) == within(0), "{name}");
    }
}

#[test]
fn neighbours_are_those_of_the_definition() {
    for (name, dim, x, labels) in sets() {
        let q = [&grid(9, 61, dim)[..], &x[..dim]].concat();
        let of = vec![0; 62];
        for k in [0, 1, 4, 33, 300] {
            let among_themselves = nearest_by_definition(dim, k, view(&x, &labels), None);
            let gallery = Some(view(&x, &labels));
            let wanted = nearest_by_definition(dim, k, view(&q, &of), gallery);
            for fast in backends() {
                let got = fast.nearest(dim, k, view(&x, &labels), None).unwrap();
                assert!(got == among_themselves, "{name}, k {k}, {}", fast.instruction_set());
                assert!(fast.nearest(dim, k, view(&q, &of), gallery).unwrap() == wanted, "{name}, k {k}");
            }
        }
    }
}

/// By definition, with the squared distances in double precision: exact on these grids, whatever the order of the sums.
fn neighbours_by_definition(
    dim: usize,
    k: usize,
    queries: SearchView<'_, Vec<f32>>,
    candidates: Option<SearchView<'_, Vec<f32>>>,
) -> Vec<Neighbour> {
    let among = candidates.unwrap_or(queries);
    let lists = nearest_by_definition(dim, k, queries, candidates);
    let k = lists.len() / queries.count;
    let row = |x: &SearchView<'_, Vec<f32>>, i: usize| x.embeddings[i * dim..][..dim].to_vec();
    let of = |(at, index): (usize, u32)| Neighbour {
        index,
        squared: squared(&row(&queries, at / k), &row(&among, index as usize)),
    };
    lists.into_iter().enumerate().map(of).collect()
}

#[test]
fn neighbours_in_double_precision_are_those_of_the_definition() {
    for (name, dim, x, labels) in sets() {
        let q = [&grid(9, 61, dim)[..], &x[..dim]].concat();
        for k in [0, 1, 4, 33, 300] {
            let among_themselves = neighbours_by_definition(dim, k, view(&x, &labels), None);
            let wanted = neighbours_by_definition(dim, k, view(&q, &[0; 62]), Some(view(&x, &labels)));
            assert_eq!(Reference.neighbours(dim, k, &x, None).unwrap(), among_themselves, "{name}, k {k}");
            for fast in backends() {
                assert!(
                    fast.neighbours(dim, k, &x, None).unwrap() == among_themselves,
                    "{name}, k {k}, {}",
                    fast.instruction_set()
                );
                assert!(fast.neighbours(dim, k, &q, Some(&x)).unwrap() == wanted, "{name}, k {k}");
            }
        }
    }
}

/// Numbers of all kinds, a third of the rows near others.
fn uneven(count: usize, dim: usize) -> Vec<f32> {
    let key = Key::new(14, Stream::Init, 0);
    let mut x: Vec<f32> = (0..count * dim)
        .map(|i| (key.uniform(0, i as u32) + key.uniform(1, i as u32)) as f32 - 0.9)
        .collect();
    for i in (3..count).step_by(3) {
        let scale = 1.0 + 1e-3 * i as f32 / count as f32;
        for k in 0..dim {
            x[i * dim + k] = scale * x[(i - 3) * dim + k] + 1e-2 * (x[(i - 1) * dim + k]);
        }
    }
    x
}

#[test]
fn pairs_that_are_screened_in_bf16_give_the_same_results() {
    let more = [(700, 33), (300, 64), (97, 1)]
        .map(|(count, dim)| ("uneven", dim, uneven(count, dim), labels(15, count, 50)));
    for (name, dim, x, labels) in sets().into_iter().chain(more) {
        let rows = Embeddings::new(&x, dim).unwrap();
        let some = Embeddings::new(&x[..x.len() / dim / 3 * dim], dim).unwrap();
        for set in InstructionSet::available() {
            let without = Means { instructions: set, screen: None };
            for by in HalfProducts::available(set) {
                let means = Means { instructions: set, screen: Some(by) };
                let asked = Labeled { rows, labels: &labels };
                let few = Labeled { rows: some, labels: &labels[..some.count()] };
                for depth in [1, 30] {
                    let places = |means, among| match_ranks(means, depth, asked, among).unwrap();
                    assert!(places(means, None) == places(without, None), "{name}, {set}");
                    assert!(places(means, Some(few)) == places(without, Some(few)), "{name}, {set}");
                    let within = |means| ranks::within(0, means, depth, asked, None).unwrap();
                    assert!(within(means) == within(without), "{name}, {set}");
                }
                for k in [1, 9, 40] {
                    let sets = |means| (Set::new(rows, means).unwrap(), Set::new(some, means).unwrap());
                    let (screened, plain) = (sets(means), sets(without));
                    for among in [false, true] {
                        let of = |sets: &(Set<'_>, Set<'_>)| {
                            let among = among.then_some(&sets.1);
                            (nearest(k, &sets.0, among), neighbours(k, &sets.0, among))
                        };
                        assert!(of(&screened) == of(&plain), "{name}, {set}, k {k}");
                    }
                }
            }
        }
    }
}

#[test]
fn near_duplicates_are_told_apart_by_their_differences() {
    // Points 1e-4 apart around one of length 1: from products alone their order would be noise.
    let (count, dim) = (2 * TILE_MULTIPLE + 5, 32);
    let base = 1.0 / (dim as f32).sqrt();
    let x: Vec<f32> = grid(11, count, dim).iter().map(|v| base + v * 2e-5).collect();
    let labels = labels(11, count, 10);
    let wanted = nearest_by_definition(dim, 5, view(&x, &labels), None);
    let places = ranks_by_definition(dim, 5, view(&x, &labels), None);
    for fast in backends() {
        assert!(
            fast.nearest(dim, 5, view(&x, &labels), None).unwrap() == wanted,
            "{}",
            fast.instruction_set()
        );
        assert!(
            fast.match_ranks(dim, 5, view(&x, &labels), None).unwrap().places(0).eq(places.places(0)),
            "{}",
            fast.instruction_set()
        );
    }
}

#[test]
fn instruction_sets_and_threads_agree_to_the_last_place_on_any_numbers() {
    let (count, dim) = (1003, 50);
    let key = Key::new(13, Stream::Init, 0);
    let x: Vec<f32> = (0..count * dim).map(|i| key.uniform(2, i as u32) as f32 - 0.4).collect();
    let labels = labels(13, count, 40);
    let all = backends();
    let wanted = all[0].match_ranks(dim, 8, view(&x, &labels), None).unwrap();
    let near = all[0].nearest(dim, 7, view(&x, &labels), None).unwrap();
    for fast in &all[1..] {
        assert!(
            fast.match_ranks(dim, 8, view(&x, &labels), None).unwrap() == wanted,
            "{}",
            fast.instruction_set()
        );
        assert!(fast.nearest(dim, 7, view(&x, &labels), None).unwrap() == near, "{}", fast.instruction_set());
    }
    let slow = Reference.match_ranks(dim, 8, view(&x, &labels), None).unwrap();
    let other = (0..count).filter(|&q| !slow.places(q).eq(wanted.places(q))).count();
    assert!(
        other * 100 < count,
        "{other} of {count} queries differ from the reference: more than ties explain"
    );
}

#[test]
fn lengths_beyond_single_precision_take_the_rows() {
    let x: Vec<f32> = grid(12, 40, 6).iter().map(|v| v * 1e25).collect();
    let labels = labels(12, 40, 5);
    let fast = Fast::new(2).unwrap();
    let got = fast.match_ranks(6, 3, view(&x, &labels), None).unwrap();
    assert_eq!(got, Reference.match_ranks(6, 3, view(&x, &labels), None).unwrap());
}
