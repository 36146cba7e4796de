//! The law of distances on the sphere: how far apart two random points of the unit sphere in R^n are.
//!
//! Source: Wu et al. 2017, eq. 1 \[E1\]; with `t = d²/4` it is the symmetric law Beta(a, a), `a = (n - 1)/2`. The
//! incomplete beta function is Lentz's form of its continued fraction (Abramowitz and Stegun 26.5.8).

use core::fmt;

use crate::math::{Scalar, digamma, ln_gamma, ln_gamma_half_step};

/// Density of the chord length between two uniform points of the unit sphere in R^n.
///
/// ```text
/// q(d) = d^(n-2) (1 - d²/4)^((n-3)/2) / Z_n,   Z_n = B(1/2, (n-1)/2),   d in [0, 2]
/// ```
/// `n` is real and at least 2: an effective dimension need not be whole. At n = 2 the density is unbounded at
/// `d = 2`; n = 3 is the straight line `d/2`. Everything is formed from logarithms, which alone stay finite: at
/// n = 2048 they span over a thousand nats \[R1\].
///
/// Accuracy: `ln q` to about `n` units in the last place of 1; [`cdf`](Self::cdf) to 1e-13 absolute.
///
/// ```
/// use nearfar_core::Density;
/// let q = Density::new(3.0)?;
/// assert!((q.ln_q(1.0) - 0.5_f64.ln()).abs() < 1e-15); // q(d) = d/2
/// assert!((q.cdf(1.0) - 0.25).abs() < 1e-15);          // d²/4
/// assert!((q.quantile(0.25) - 1.0).abs() < 1e-14);
/// # Ok::<(), nearfar_core::DensityError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Density {
    n: f64,
    ln_z: f64,
}

/// Why there is no such sphere.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum DensityError {
    /// The dimension is below 2, infinite or NaN.
    Dimension(f64),
}

impl fmt::Display for DensityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Dimension(n) = self;
        write!(f, "dimension {n} is not a finite number of at least 2")
    }
}

impl core::error::Error for DensityError {}

/// `exponent * ln(base)` with `0 * ln 0 = 0`: a factor that the dimension switches off.
pub(crate) fn ln_power<T: Scalar>(exponent: T, base: T) -> T {
    if exponent == T::ZERO { T::ZERO } else { exponent * base.ln() }
}

/// `ln q` without its normaliser, `(n-2) ln d + (n-3)/2 (ln(2-d) + ln(2+d) - 2 ln 2)`, from the two exponents.
///
/// `(2 - d)(2 + d)/4` keeps its digits near d = 2, where `1 - d²/4` cancels. Distances are clamped to [0, 2].
pub(crate) fn ln_q_unnormalized<T: Scalar>(power: T, bend: T, d: T) -> T {
    let d = Scalar::max(Scalar::min(d, T::TWO), T::ZERO);
    let cap = (T::TWO - d) * (T::TWO + d) * T::from_f64(0.25);
    ln_power(power, d) + ln_power(bend, cap)
}

impl Density {
    /// The law for dimension `n`, finite and at least 2.
    pub fn new(n: f64) -> Result<Self, DensityError> {
        if !(n >= 2.0 && n.is_finite()) {
            return Err(DensityError::Dimension(n));
        }
        // ln B(1/2, (n-1)/2) = ln sqrt(pi) - (ln G(n/2) - ln G((n-1)/2))
        let ln_z = 0.5 * Scalar::ln(core::f64::consts::PI) - ln_gamma_half_step(0.5 * (n - 1.0));
        Ok(Self { n, ln_z })
    }

    /// The dimension.
    #[must_use]
    pub const fn dimension(&self) -> f64 {
        self.n
    }

    /// `ln Z_n`.
    #[must_use]
    pub const fn ln_z(&self) -> f64 {
        self.ln_z
    }

    /// Exponents of `d` and of `1 - d²/4`.
    pub(crate) const fn exponents(&self) -> (f64, f64) {
        (self.n - 2.0, 0.5 * (self.n - 3.0))
    }

    /// `ln q(d)`; `-inf` where the density is 0, which outside [0, 2] is everywhere.
    #[must_use]
    pub fn ln_q(&self, d: f64) -> f64 {
        if !(0.0..=2.0).contains(&d) {
            return if d.is_nan() { d } else { f64::NEG_INFINITY };
        }
        let (power, bend) = self.exponents();
        ln_q_unnormalized(power, bend, d) - self.ln_z
    }

    /// `d ln q / dd = (n-2)/d - (n-3) d / (4 - d²)`, inside (0, 2).
    #[must_use]
    pub fn ln_q_derivative(&self, d: f64) -> f64 {
        (self.n - 2.0) / d - (self.n - 3.0) * d / ((2.0 - d) * (2.0 + d))
    }

    /// Probability of a distance up to `d`: `I_t(a, a)` with `t = d²/4`, `a = (n-1)/2`.
    #[must_use]
    pub fn cdf(&self, d: f64) -> f64 {
        if d.is_nan() {
            return d;
        }
        if d <= 0.0 {
            return 0.0;
        }
        if d >= 2.0 {
            return 1.0;
        }
        let t = 0.25 * d * d;
        let a = 0.5 * (self.n - 1.0);
        // The fraction converges fast below the mean, 1/2; the law of t is symmetric.
        if t <= 0.5 { self.lower_tail(a, t) } else { 1.0 - self.lower_tail(a, 0.25 * (2.0 - d) * (2.0 + d)) }
    }

    /// `I_t(a, a)` for `t <= 1/2`.
    fn lower_tail(&self, a: f64, t: f64) -> f64 {
        let ln_beta = 2.0 * ln_gamma(a) - ln_gamma(2.0 * a);
        let ln_front = a * (Scalar::ln(t) + Scalar::ln_1p(-t)) - ln_beta - Scalar::ln(a);
        Scalar::exp(ln_front) * beta_fraction(a, t)
    }

    /// The distance that a share `p` of pairs does not exceed; NaN unless `p` is in [0, 1].
    ///
    /// Newton's steps on the cdf, kept inside a bracket that halving shrinks.
    #[must_use]
    pub fn quantile(&self, p: f64) -> f64 {
        if !(0.0..=1.0).contains(&p) {
            return f64::NAN;
        }
        if p == 0.0 || p == 1.0 {
            return 2.0 * p;
        }
        let (mut low, mut high) = (0.0_f64, 2.0_f64);
        let mut d = self.median();
        for _ in 0..200 {
            let error = self.cdf(d) - p;
            if error == 0.0 {
                return d;
            }
            if error < 0.0 {
                low = d
            } else {
                high = d
            }
            let newton = d - error * Scalar::exp(-self.ln_q(d));
            let next = if newton > low && newton < high { newton } else { 0.5 * (low + high) };
            if Scalar::abs(next - d) <= f64::EPSILON * d {
                return next;
            }
            d = next;
        }
        d
    }

    /// `E[d] = 2 G(n/2) G(n-1) / (G((n-1)/2) G(n-1/2))`. The mean of `d²` is 2.
    #[must_use]
    pub fn mean(&self) -> f64 {
        2.0 * Scalar::exp(ln_gamma_half_step(0.5 * (self.n - 1.0)) - ln_gamma_half_step(self.n - 1.0))
    }

    /// `Var(d) = 2 - E[d]²`.
    #[must_use]
    pub fn variance(&self) -> f64 {
        let mean = self.mean();
        2.0 - mean * mean
    }

    /// The most likely distance: `2 sqrt((n-2)/(2n-5))` for n > 3, else 2, where the density is largest.
    #[must_use]
    pub fn mode(&self) -> f64 {
        if self.n > 3.0 { 2.0 * Scalar::sqrt((self.n - 2.0) / (2.0 * self.n - 5.0)) } else { 2.0 }
    }

    /// sqrt(2) in every dimension: `t` is symmetric around 1/2.
    #[must_use]
    pub const fn median(&self) -> f64 {
        core::f64::consts::SQRT_2
    }
}

/// Continued fraction of the incomplete beta function with both parameters `a`, at `t <= 1/2`.
fn beta_fraction(a: f64, t: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away_from_zero = |x: f64| if Scalar::abs(x) < TINY { TINY } else { x };
    let mut f = away_from_zero(1.0 - 2.0 * a * t / (a + 1.0));
    let (mut c, mut d) = (1.0, 1.0 / f);
    f = d;
    // Needs about sqrt(a) turns; the bound is never met for n below a million.
    for m in 1..20_000 {
        let m = f64::from(m);
        let even = m * (a - m) * t / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / away_from_zero(1.0 + even * d);
        c = away_from_zero(1.0 + even / c);
        f *= d * c;
        let odd = -(a + m) * (2.0 * a + m) * t / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / away_from_zero(1.0 + odd * d);
        c = away_from_zero(1.0 + odd / c);
        let turn = d * c;
        f *= turn;
        if Scalar::abs(turn - 1.0) < 1e-16 {
            break;
        }
    }
    f
}

/// Dimension of the sphere that best explains cosines whose `mean ln(1 - c²)` is given: maximum likelihood.
///
/// The likelihood of a cosine is `(1 - c²)^((n-3)/2) / Z_n`; it is largest where
/// `psi((n-1)/2) - psi(n/2) = mean ln(1 - c²)`, which has one solution. Clamped to `[2, 1e6]`; NaN gives NaN.
///
/// ```
/// // On the circle (n = 2) the mean of ln(1 - c²) is -2 ln 2.
/// let n = nearfar_core::fitted_dimension(-2.0 * 2.0_f64.ln());
/// assert!((n - 2.0).abs() < 1e-9);
/// ```
#[must_use]
pub fn fitted_dimension(mean_ln_one_minus_cos_squared: f64) -> f64 {
    if mean_ln_one_minus_cos_squared.is_nan() {
        return f64::NAN;
    }
    let excess = |n: f64| digamma(0.5 * (n - 1.0)) - digamma(0.5 * n) - mean_ln_one_minus_cos_squared;
    // The excess rises with n. Halving in ln n: 60 turns reach the last bit.
    let (mut low, mut high) = (2.0_f64, 1e6_f64);
    if excess(low) >= 0.0 {
        return low;
    }
    for _ in 0..60 {
        let middle = Scalar::sqrt(low * high);
        if excess(middle) < 0.0 { low = middle } else { high = middle }
    }
    high
}

/// Effective dimension of embeddings whose negatives have this mean squared cosine: `n = 1 / mean(c²)`.
///
/// On the whole sphere `E[c²] = 1/n`, so uniform embeddings give D; embeddings that fill fewer dimensions give
/// fewer. Clamped to at least 2; NaN gives NaN.
///
/// ```
/// assert_eq!(nearfar_core::effective_dimension(0.125), 8.0);
/// assert_eq!(nearfar_core::effective_dimension(1.0), 2.0); // collapsed
/// ```
#[must_use]
pub fn effective_dimension(mean_cos_squared: f64) -> f64 {
    if mean_cos_squared.is_nan() { f64::NAN } else { Scalar::max(1.0 / mean_cos_squared, 2.0).min(1e6) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalisers_and_variances_are_those_of_the_specification() {
        for (n, ln_z) in [
            (2.0, 1.1447299),
            (3.0, core::f64::consts::LN_2),
            (8.0, -0.0184),
            (64.0, -1.1487),
            (128.0, -1.5012),
            (512.0, -2.1988),
        ] {
            assert!((Density::new(n).unwrap().ln_z() - ln_z).abs() < 5e-5, "n = {n}");
        }
        for (n, variance) in [(8.0, 0.0698), (128.0, 0.003933), (512.0, 0.000978)] {
            assert!((Density::new(n).unwrap().variance() - variance).abs() < 5e-5, "n = {n}");
        }
    }

    #[test]
    fn on_the_circle_the_cdf_is_an_angle() {
        let q = Density::new(2.0).unwrap();
        for d in [0.01, 0.5, 1.0, 1.5, 1.99] {
            let angle = 2.0 * libm::asin(0.5 * d) / core::f64::consts::PI;
            assert!((q.cdf(d) - angle).abs() < 1e-14, "d = {d}");
        }
    }

    #[test]
    fn dimensions_below_two_are_refused_with_their_value() {
        for n in [1.99, -3.0, f64::INFINITY] {
            assert_eq!(Density::new(n), Err(DensityError::Dimension(n)));
        }
        assert!(Density::new(f64::NAN).is_err());
    }

    #[test]
    fn a_fit_to_the_exact_law_finds_its_dimension() {
        for n in [2.5, 7.0, 128.0, 2048.0] {
            let mean = digamma(0.5 * (n - 1.0)) - digamma(0.5 * n);
            assert!((fitted_dimension(mean) / n - 1.0).abs() < 1e-7, "n = {n}");
        }
    }
}
