//! Distance weighted sampling of one row \[E2\].

use super::{Chosen, hard};
use crate::Scalar;
use crate::batch::Row;
use crate::draw::pick;
use crate::rng::Key;
use crate::weight::{EmptyRow, RowWeights, Weighting};

/// Weights of one row, the policy for an empty one applied; and whether it was.
pub(super) fn row<T: Scalar>(
    weighting: &Weighting<T>,
    row: &Row<'_, T>,
    weights: &mut [T],
) -> (RowWeights, bool) {
    let sums = weighting.row(row, weights);
    if sums.candidates > 0 {
        return (sums, false);
    }
    match weighting.empty() {
        EmptyRow::Skip => {}
        EmptyRow::Nearest => {
            if let Some(nearest) = hard::nearest_beyond(row, T::NEG_INFINITY) {
                weights[nearest.negative] = T::ONE;
            }
        }
        EmptyRow::Uniform => row.negatives().for_each(|j| weights[j] = T::ONE),
    }
    let count = weights.iter().filter(|&&weight| weight > T::ZERO).count();
    (RowWeights { total: count as f64, effective: count as f64, candidates: 0, capped: 0 }, true)
}

/// One negative by the weights that [`row`] left.
pub(super) fn draw<T: Scalar>(
    row: &Row<'_, T>,
    sums: &RowWeights,
    weights: &[T],
    key: Key,
    index: u32,
) -> Option<Chosen<T>> {
    let negative = pick(weights, sums.total, key.uniform(row.anchor as u32, index))?;
    let log_prob = T::from_f64(Scalar::ln(weights[negative].to_f64() / sums.total));
    Some(Chosen { negative, log_prob, effective: sums.effective })
}
