//! One draw from a row of weights.

use crate::Scalar;
use crate::weight::BLOCK;

/// The index at which the running sum of `weights` passes `uniform * total`; `uniform` in [0, 1), `total` their sum
/// as [`Weighting::row`](crate::Weighting::row) gives it.
///
/// Weights are added in blocks of 32, in order, each block in its own precision and blocks in double precision:
/// plain operations in a fixed order, so that every backend which has the same weights draws the same index. An
/// index of weight 0 is never returned, whatever the rounding; `None` if all weights are 0.
///
/// ```
/// use nearfar_core::pick;
/// let weights = [0.0, 1.0, 0.0, 3.0];
/// assert_eq!(pick(&weights, 4.0, 0.0), Some(1));
/// assert_eq!(pick(&weights, 4.0, 0.25), Some(3)); // probabilities 1/4 and 3/4
/// assert_eq!(pick(&weights, 4.0, 0.999), Some(3));
/// ```
#[must_use]
pub fn pick<T: Scalar>(weights: &[T], total: f64, uniform: f64) -> Option<usize> {
    let target = uniform * total;
    let mut before = 0.0;
    for (block, chunk) in weights.chunks(BLOCK).enumerate() {
        let sum = chunk.iter().copied().sum::<T>().to_f64();
        if target < before + sum {
            let mut running = T::ZERO;
            for (at, &weight) in chunk.iter().enumerate() {
                running += weight;
                if weight > T::ZERO && target < before + running.to_f64() {
                    return Some(block * BLOCK + at);
                }
            }
        }
        before += sum;
    }
    // The last rounding may leave the target at the very end.
    weights.iter().rposition(|&weight| weight > T::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_range_is_the_last_positive_weight() {
        let weights = [1.0_f32, 2.0, 0.0];
        assert_eq!(pick(&weights, 3.0, 1.0), Some(1));
        assert_eq!(pick(&[0.0_f32; 40], 0.0, 0.5), None);
    }

    #[test]
    fn blocks_do_not_shift_indices() {
        let mut weights = [0.0_f64; 100];
        weights[77] = 2.5;
        assert_eq!(pick(&weights, 2.5, 0.3), Some(77));
    }
}
