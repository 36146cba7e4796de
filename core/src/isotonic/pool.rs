//! Pool adjacent violators: the increasing weighted least-squares fit of a sequence, in place.

/// Pools `values` with positive `weights` to the increasing sequence nearest to it in weighted least squares.
///
/// Returns the number of blocks B. Afterwards `values[..B]` are their levels, strictly increasing, `weights[..B]`
/// their weights, and `ends[b]` is the index after the last point of block b. All three slices have one length;
/// what lies behind B is left over. O(n), no allocation: each point is pushed once and merged at most once.
///
/// ```
/// use nearfar_core::isotonic::pool;
/// let (mut values, mut weights, mut ends) = ([1.0, 3.0, 2.0, 4.0], [1.0; 4], [0; 4]);
/// let blocks = pool(&mut values, &mut weights, &mut ends);
/// assert_eq!(values[..blocks], [1.0, 2.5, 4.0]);
/// assert_eq!(weights[..blocks], [1.0, 2.0, 1.0]);
/// assert_eq!(ends[..blocks], [1, 3, 4]);
/// ```
pub fn pool(values: &mut [f64], weights: &mut [f64], ends: &mut [usize]) -> usize {
    let mut blocks = 0;
    for point in 0..values.len() {
        let next = (values[point], weights[point], point + 1);
        blocks = push(values, weights, ends, blocks, next);
    }
    blocks
}

/// Puts a point (value, weight, end) behind the first `blocks`, a block of its own, and merges as long as levels fall.
/// Returns the number of blocks; those of the slices behind it are scratch.
pub(super) fn push(
    values: &mut [f64],
    weights: &mut [f64],
    ends: &mut [usize],
    blocks: usize,
    (mut value, mut weight, end): (f64, f64, usize),
) -> usize {
    let mut at = blocks;
    while at > 0 && values[at - 1] >= value {
        at -= 1;
        let both = weights[at] + weight;
        // Towards the heavier by the lighter's share: equal levels stay exactly equal.
        value = values[at] + (value - values[at]) * (weight / both);
        weight = both;
    }
    values[at] = value;
    weights[at] = weight;
    ends[at] = end;
    at + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fit(values: &[f64], weights: &[f64]) -> Vec<f64> {
        let (mut v, mut w, mut ends) = (values.to_vec(), weights.to_vec(), vec![0; values.len()]);
        let blocks = pool(&mut v, &mut w, &mut ends);
        let mut fitted = Vec::new();
        for block in 0..blocks {
            fitted.resize(ends[block], v[block]);
        }
        fitted
    }

    proptest! {
        #[test]
        fn the_fit_is_the_max_min_formula(
            points in prop::collection::vec((-5.0..5.0_f64, 0.1..3.0_f64), 1..9)
        ) {
            let (values, weights): (Vec<f64>, Vec<f64>) = points.into_iter().unzip();
            let fitted = fit(&values, &weights);
            // max over a <= i of min over b >= i of the weighted mean of a..=b
            for i in 0..values.len() {
                let mean = |a: usize, b: usize| {
                    let weight: f64 = weights[a..=b].iter().sum();
                    values[a..=b].iter().zip(&weights[a..=b]).map(|(v, w)| v * w).sum::<f64>() / weight
                };
                let best = (0..=i)
                    .map(|a| (i..values.len()).map(|b| mean(a, b)).fold(f64::INFINITY, f64::min))
                    .fold(f64::NEG_INFINITY, f64::max);
                prop_assert!((fitted[i] - best).abs() < 1e-12);
            }
        }

        #[test]
        fn fitting_twice_is_fitting_once_and_the_mean_is_kept(
            points in prop::collection::vec((-5.0..5.0_f64, 0.1..3.0_f64), 1..60)
        ) {
            let (values, weights): (Vec<f64>, Vec<f64>) = points.into_iter().unzip();
            let fitted = fit(&values, &weights);
            prop_assert!(fitted.windows(2).all(|pair| pair[0] <= pair[1]));
            prop_assert_eq!(&fit(&fitted, &weights), &fitted);
            let moved: f64 = (0..values.len()).map(|i| weights[i] * (values[i] - fitted[i])).sum();
            prop_assert!(moved.abs() < 1e-11);
        }
    }
}
