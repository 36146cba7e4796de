//! The law of distances, against SciPy and against points of the sphere.

use nearfar_core::kernel::NegativeMoments;
use nearfar_core::{Density, gradient_noise};
use nearfar_tests::generate::sphere;
use nearfar_tests::oracle::distance;
use nearfar_tests::stat::kolmogorov_smirnov;
use nearfar_tests::tolerance::{Precision::Double, Quantity, tolerance};
use nearfar_tests::vectors;
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Vectors {
    /// n, d, ln q, cdf.
    rows: Vec<[f64; 4]>,
    /// n, p, d.
    quantiles: Vec<[f64; 3]>,
    /// n, k, trace.
    noise: Vec<[f64; 3]>,
}

#[test]
fn density_quantiles_and_noise_are_those_of_scipy() {
    let vectors: Vectors = vectors::read("density");
    for [n, d, ln_q, cdf] in vectors.rows {
        let law = Density::new(n).unwrap();
        let error = (law.ln_q(d) - ln_q).abs() / (1.0 + ln_q.abs());
        assert!(error < tolerance(Quantity::LnDensity, Double), "ln q, n = {n}, d = {d}: off by {error:e}");
        let error = (law.cdf(d) - cdf).abs();
        assert!(error < tolerance(Quantity::Distribution, Double), "cdf, n = {n}, d = {d}: off by {error:e}");
    }
    for [n, p, d] in vectors.quantiles {
        let error = (Density::new(n).unwrap().quantile(p) - d).abs();
        assert!(
            error < tolerance(Quantity::Distribution, Double),
            "quantile, n = {n}, p = {p}: off by {error:e}"
        );
    }
    for [n, k, trace] in vectors.noise {
        let error = (gradient_noise(n, k).unwrap() - trace).abs();
        assert!(error < tolerance(Quantity::Noise, Double), "noise, n = {n}, k = {k}: off by {error:e}");
    }
}

/// Sample size 4000 pairs for each dimension; alpha in `stat`.
#[test]
fn distances_of_random_points_follow_the_law() {
    for dim in [2, 3, 16, 128, 512, 2048] {
        let points = sphere(dim as u64, 8000, dim);
        let law = Density::new(dim as f64).unwrap();
        let mut distances: Vec<f64> =
            points.chunks_exact(2 * dim).map(|pair| distance(&pair[..dim], &pair[dim..])).collect();
        kolmogorov_smirnov(&mut distances, |d| law.cdf(d)).unwrap_or_else(|e| panic!("dimension {dim}: {e}"));
    }
}

#[test]
fn both_dimensions_from_data_find_that_of_the_sphere() {
    for dim in [3, 16, 64] {
        let points = sphere(7, 4000, dim);
        let mut moments = NegativeMoments::default();
        for pair in points.chunks_exact(2 * dim) {
            moments.add(pair[..dim].iter().zip(&pair[dim..]).map(|(a, b)| a * b).sum());
        }
        // 2000 cosines: the mean square has a relative deviation of about sqrt(2/2000) = 0.03.
        for (name, n) in
            [("effective", moments.effective_dimension()), ("fitted", moments.fitted_dimension())]
        {
            assert!((n / dim as f64 - 1.0).abs() < 0.16, "{name} dimension of {dim}: {n}");
        }
    }
}

proptest! {
    #[test]
    fn the_derivative_is_that_of_the_logarithm(n in 2.0..600.0_f64, d in 0.05..1.95_f64) {
        let law = Density::new(n).unwrap();
        let difference = (law.ln_q(d + 1e-6) - law.ln_q(d - 1e-6)) / 2e-6;
        let exact = law.ln_q_derivative(d);
        prop_assert!((difference - exact).abs() < 1e-6 * (1.0 + n / d));
    }

    #[test]
    fn the_quantile_inverts_the_distribution(n in 2.0..2500.0_f64, p in 1e-9..1.0_f64) {
        let law = Density::new(n).unwrap();
        prop_assert!((law.cdf(law.quantile(p)) - p).abs() < 1e-11);
    }

    #[test]
    fn the_distribution_rises(n in 2.0..2500.0_f64, a in 0.0..2.0_f64, b in 0.0..2.0_f64) {
        let law = Density::new(n).unwrap();
        prop_assert!(law.cdf(a.min(b)) <= law.cdf(a.max(b)) + 1e-15);
    }

    #[test]
    fn the_mode_is_the_top(n in 3.5..2500.0_f64, d in 0.01..1.99_f64) {
        let law = Density::new(n).unwrap();
        prop_assert!(law.ln_q(d) <= law.ln_q(law.mode()) + 1e-9);
    }
}

#[test]
fn the_density_integrates_to_one_and_to_its_moments() {
    for n in [2.5, 3.0, 8.0, 128.0, 2048.0] {
        let law = Density::new(n).unwrap();
        // Midpoints in the distribution function's own scale: d = quantile(p).
        let steps = 4000;
        let (mut mean, mut square) = (0.0, 0.0);
        for i in 0..steps {
            let d = law.quantile((f64::from(i) + 0.5) / f64::from(steps));
            mean += d / f64::from(steps);
            square += d * d / f64::from(steps);
        }
        // The midpoint rule on a quantile with infinite slope at its ends errs by about 1/steps^1.5 of its range.
        assert!((mean - law.mean()).abs() < 2e-4 && (square - 2.0).abs() < 2e-3, "n = {n}: {mean}, {square}");
    }
}
