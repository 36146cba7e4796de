//! Negatives that are all alike: any, any in a band, any of a third class.

use super::Chosen;
use crate::Scalar;
use crate::batch::Row;
use crate::rng::Key;

/// One of `count` candidates, by its place in the order of the batch.
fn nth<T: Scalar>(
    mut candidates: impl Iterator<Item = usize>,
    count: usize,
    item: usize,
    key: Key,
    index: u32,
) -> Option<Chosen<T>> {
    if count == 0 {
        return None;
    }
    let negative = candidates.nth(key.below(item as u32, index, count))?;
    Some(Chosen { negative, log_prob: -T::from_usize(count).ln(), effective: count as f64 })
}

/// Any true negative.
pub(super) fn any<T: Scalar>(row: &Row<'_, T>, negatives: usize, key: Key, index: u32) -> Option<Chosen<T>> {
    nth(row.negatives(), negatives, row.anchor, key, index)
}

/// Any negative with `d_ap < d_an < d_ap + margin`.
pub(super) fn in_band<T: Scalar>(
    row: &Row<'_, T>,
    positive: usize,
    margin: T,
    key: Key,
    index: u32,
) -> Option<Chosen<T>> {
    let (from, to) = (row.distances[positive], row.distances[positive] + margin);
    let band = row.negatives().filter(|&j| from < row.distances[j] && row.distances[j] < to);
    nth(band.clone(), band.count(), row.anchor, key, index)
}

/// Any sample that has neither the anchor's class nor the negative's.
pub(super) fn third_class<T: Scalar>(row: &Row<'_, T>, negative: u32, key: Key, index: u32) -> Option<u32> {
    let label = row.labels[negative as usize];
    let others = row.negatives().filter(|&j| row.labels[j] != label);
    nth::<T>(others.clone(), others.count(), row.anchor, key, index).map(|chosen| chosen.negative as u32)
}
