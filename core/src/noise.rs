//! Noise of a normalised gradient: the paper's argument for spreading negatives over all distances (figure 4a).

use core::fmt;

use crate::math::{Scalar, floor, ln_gamma_half_step};

/// Trace of the covariance of `g = (h + z)/|h + z|`, `z ~ N(0, s² I_n)`: how noisy the direction of a difference of
/// two embeddings is, given their distance `|h|`.
///
/// ```text
/// trace = 1 - rho²,   rho = |E g| = (k/sqrt 2) G((n+1)/2) / G(n/2+1) 1F1(1/2; n/2+1; -k²/2),   k = |h|/s
/// ```
/// `n >= 1` dimensions, `ratio` is k >= 0. Near negatives (small k) have a trace near 1: their gradient points
/// anywhere. Absolute error below 3e-12.
///
/// The hypergeometric function is taken by Kummer's transformation as the mean of a positive sequence over a
/// Poisson law with mean k²/2, summed outward from its mode: no cancellation at any k, about `20 k` terms.
///
/// ```
/// let trace = nearfar_core::gradient_noise(128.0, 1.0)?;
/// assert!((trace - 0.992).abs() < 5e-4);
/// # Ok::<(), nearfar_core::NoiseError>(())
/// ```
pub fn gradient_noise(n: f64, ratio: f64) -> Result<f64, NoiseError> {
    if !(n >= 1.0 && n.is_finite()) {
        return Err(NoiseError::Dimension(n));
    }
    if !(ratio >= 0.0 && ratio.is_finite()) {
        return Err(NoiseError::Ratio(ratio));
    }
    if ratio == 0.0 {
        return Ok(1.0);
    }
    // Beyond this ratio the first term of the expansion in n/k² is exact to 1e-12.
    if ratio * ratio > 1e6 * n {
        return Ok((n - 1.0) / (ratio * ratio));
    }
    // From here as in the formula, with x = k²/2. Kummer: 1F1(1/2; b; -x) = e^-x 1F1(b - 1/2; b; x), b = n/2 + 1. The
    // gamma functions then join to rho = k/sqrt 2 · mean over j ~ Poisson(x) of G((n+1)/2 + j) / G(n/2 + 1 + j).
    let x = 0.5 * ratio * ratio;
    let value = |j: f64| Scalar::exp(-ln_gamma_half_step(0.5 * (n + 1.0) + j));
    let (mut sum, mut mass) = (0.0, 0.0);
    let mode = floor(x);
    let (mut weight, mut j) = (1.0, mode);
    while weight > 1e-18 {
        sum += weight * value(j);
        mass += weight;
        j += 1.0;
        weight *= x / j;
    }
    (weight, j) = (mode / x, mode - 1.0);
    while j >= 0.0 && weight > 1e-18 {
        sum += weight * value(j);
        mass += weight;
        weight *= j / x;
        j -= 1.0;
    }
    let rho = core::f64::consts::FRAC_1_SQRT_2 * ratio * sum / mass;
    Ok((1.0 - rho) * (1.0 + rho))
}

/// Why there is no such noise.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum NoiseError {
    /// The dimension is below 1, infinite or NaN.
    Dimension(f64),
    /// The ratio of distance and noise is negative, infinite or NaN.
    Ratio(f64),
}

impl fmt::Display for NoiseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dimension(n) => write!(f, "dimension {n} is not a finite number of at least 1"),
            Self::Ratio(k) => {
                write!(f, "ratio {k} of distance and noise is not a finite number of at least 0")
            }
        }
    }
}

impl core::error::Error for NoiseError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_the_specification() {
        for (n, k, trace) in [
            (128.0, 1.0, 0.992),
            (128.0, 3.0, 0.935),
            (128.0, 10.0, 0.561),
            (3.0, 1.0, 0.766),
            (3.0, 3.0, 0.209),
            (3.0, 10.0, 0.020),
        ] {
            let got = gradient_noise(n, k).unwrap();
            // The specification rounds 0.93450 up.
            assert!((got - trace).abs() < 5.1e-4, "n = {n}, k = {k}: {got}");
        }
    }

    #[test]
    fn the_sum_meets_its_asymptote() {
        for n in [2.0, 128.0] {
            let k = 900.0 * f64::sqrt(n);
            // The next term of the expansion is of the order (n/k²)², here 1.5e-12.
            let limit = (n - 1.0) / (k * k);
            let got = gradient_noise(n, k).unwrap();
            assert!((got - limit).abs() < 3e-12, "n = {n}: {got}, {limit}");
        }
    }
}
