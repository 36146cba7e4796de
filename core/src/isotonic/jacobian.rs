//! Products with the Jacobian of the mean fit: within a block every value is the block's weighted mean.

use alloc::vec::Vec;

use super::Isotonic;

/// Sum over the points of each block of `term(point, weight)`.
fn block_sums(curve: &Isotonic, term: impl Fn(usize, f64) -> f64) -> Vec<f64> {
    let mut sums = alloc::vec![0.0; curve.blocks.len()];
    for (point, place) in curve.memberships().enumerate() {
        if let Some((block, weight)) = place {
            sums[block] += term(point, weight);
        }
    }
    sums
}

/// `J dy`: `sum_j w_j dy_j / W` over the block of each point.
pub(super) fn forward(curve: &Isotonic, dy: &[f64]) -> Vec<f64> {
    let sums = block_sums(curve, |point, weight| weight * dy[point]);
    let of = |(block, _): (usize, f64)| sums[block] / curve.blocks[block].weight;
    curve.memberships().map(|place| place.map_or(0.0, of)).collect()
}

/// `Jᵀ g`: `w_j / W sum_i g_i` over the block of each point.
pub(super) fn backward(curve: &Isotonic, g: &[f64]) -> Vec<f64> {
    let sums = block_sums(curve, |point, _| g[point]);
    let of = |(block, weight): (usize, f64)| weight * sums[block] / curve.blocks[block].weight;
    curve.memberships().map(|place| place.map_or(0.0, of)).collect()
}

#[cfg(test)]
mod tests {
    use crate::isotonic::{Isotonic, Options};

    #[test]
    fn products_agree_with_central_differences_and_with_each_other() {
        let x = [1.0, 2.0, 3.0, 3.0, 4.0, 5.0];
        let y = [0.3, 1.7, 1.1, 1.2, 0.2, 3.0];
        let w = [1.0, 0.5, 2.0, 1.0, 1.5, 0.0];
        let (dy, g) = ([0.4, -1.0, 0.3, 2.0, -0.7, 5.0], [1.0, 0.2, -0.6, 0.9, 1.3, 7.0]);
        let fit = |step: f64| {
            let moved: Vec<f64> = y.iter().zip(&dy).map(|(y, d)| y + step * d).collect();
            Isotonic::fit(&x, &moved, Some(&w), Options::default()).unwrap()
        };
        let product = fit(0.0).jacobian_product(&dy);
        let (up, down) = (fit(1e-6), fit(-1e-6));
        // The last point has no weight: its fitted value is clipped, its derivative 0 by definition.
        for i in 0..5 {
            let difference = (up.fitted()[i] - down.fitted()[i]) / 2e-6;
            assert!((product[i] - difference).abs() < 1e-8, "point {i}");
        }
        let transposed = fit(0.0).transposed_jacobian_product(&g);
        let (left, right): (f64, f64) = (0..6)
            .map(|i| (g[i] * product[i], transposed[i] * dy[i]))
            .fold((0.0, 0.0), |(a, b), (c, d)| (a + c, b + d));
        assert!((left - right).abs() < 1e-12);
    }
}
