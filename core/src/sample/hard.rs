//! Nearest negatives.

use super::Chosen;
use crate::Scalar;
use crate::batch::Row;

/// The nearest negative farther than `beyond`; the lowest index among equals.
///
/// With `beyond = -inf` it is hard mining; with the distance of the positive it is the paper's semi-hard choice,
/// `argmin over j with d_aj > d_ap of d_aj` \[E6\].
pub(super) fn nearest_beyond<T: Scalar>(row: &Row<'_, T>, beyond: T) -> Option<Chosen<T>> {
    let mut best: Option<usize> = None;
    for j in row.negatives().filter(|&j| row.distances[j] > beyond) {
        if best.is_none_or(|best| row.distances[j] < row.distances[best]) {
            best = Some(j);
        }
    }
    best.map(|negative| Chosen { negative, log_prob: T::ZERO, effective: 1.0 })
}
