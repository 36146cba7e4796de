//! Losses of a whole row: one anchor with all its positives and negatives.
//!
//! All sums of exponentials are taken with their largest exponent set apart: no overflow, no lost row.

use super::LossError;
use crate::Scalar;

/// `ln sum exp(v)`; `-inf` of nothing.
pub(crate) fn ln_sum_exp<T: Scalar>(values: impl Iterator<Item = T> + Clone) -> T {
    let largest = values.clone().fold(T::NEG_INFINITY, |largest, v| Scalar::max(v, largest));
    if !(largest > T::NEG_INFINITY) {
        return largest;
    }
    largest + values.map(|v| (v - largest).exp()).sum::<T>().ln()
}

/// `ln(1 + exp(v))` and its derivative `1 / (1 + exp(-v))`.
fn softplus<T: Scalar>(v: T) -> (T, T) {
    let tail = (-v.abs()).exp();
    let value = Scalar::max(v, T::ZERO) + tail.ln_1p();
    let slope = if v > T::ZERO { T::ONE / (T::ONE + tail) } else { tail / (T::ONE + tail) };
    (value, slope)
}

/// N-pair loss (Sohn 2016) of one (anchor, positive) pair against all negatives of the anchor.
///
/// ```text
/// l = ln(1 + sum_n exp(s (c_an - c_ap))) = softplus(S - s c_ap),   S = ln sum_n exp(s c_an)
/// dl/dc_ap = -s sigma,   dl/dc_an = s sigma exp(s c_an - S),       sigma = 1/(1 + exp(s c_ap - S))
/// ```
/// `c` are inner products of unit rows, `s > 0` their scale. Smooth everywhere.
///
/// ```
/// use nearfar_core::NPair;
/// let loss = NPair::new(2.0_f64)?;
/// // One negative as near as the positive: ln 2.
/// let (value, d_positive) = loss.pair(0.5, loss.ln_sum([0.5].into_iter()));
/// assert!((value - 2.0_f64.ln()).abs() < 1e-15);
/// assert_eq!(d_positive, -1.0);
/// # Ok::<(), nearfar_core::LossError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NPair<T> {
    scale: T,
}

impl<T: Scalar> NPair<T> {
    /// Scale of the inner products, positive. Sohn's rows have free length; on the sphere the scale stands for it.
    pub fn new(scale: T) -> Result<Self, LossError> {
        Ok(Self { scale: LossError::positive("scale", scale)? })
    }

    /// Scale of the inner products.
    #[must_use]
    pub const fn scale(&self) -> T {
        self.scale
    }

    /// `S`, over the inner products with all negatives.
    #[must_use]
    pub fn ln_sum(&self, cosines: impl Iterator<Item = T> + Clone) -> T {
        ln_sum_exp(cosines.map(|c| self.scale * c))
    }

    /// Value, and derivative to `c_ap`.
    #[must_use]
    pub fn pair(&self, positive: T, ln_sum: T) -> (T, T) {
        let (value, sigma) = softplus(ln_sum - self.scale * positive);
        (value, -self.scale * sigma)
    }

    /// Share of a negative in minus the derivative to `c_ap`: the shares of all negatives sum to 1.
    #[must_use]
    pub fn share(&self, negative: T, ln_sum: T) -> T {
        (self.scale * negative - ln_sum).exp()
    }
}

/// Lifted structured loss (Oh Song et al. 2016) of one unordered positive pair {i, j}, its smooth bound.
///
/// ```text
/// J = ln(sum_k exp(alpha - d_ik) + sum_l exp(alpha - d_jl)) + d_ij,   l = max(0, J)² / 2
/// ```
/// `k` and `l` run over the negatives of i and of j. The derivative to J is `max(0, J)`; its kink is smooth.
///
/// ```
/// use nearfar_core::Lifted;
/// let loss = Lifted::new(1.0_f64)?;
/// let side = loss.ln_sum([1.0].into_iter()); // one negative at alpha: exp(0)
/// let (value, slope) = loss.pair(0.5, side, side);
/// assert!((slope - (2.0_f64.ln() + 0.5)).abs() < 1e-15 && (value - slope * slope / 2.0).abs() < 1e-15);
/// # Ok::<(), nearfar_core::LossError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lifted<T> {
    alpha: T,
}

impl<T: Scalar> Lifted<T> {
    /// Margin `alpha >= 0`.
    pub fn new(alpha: T) -> Result<Self, LossError> {
        Ok(Self { alpha: LossError::at_least_zero("alpha", alpha)? })
    }

    /// Margin.
    #[must_use]
    pub const fn alpha(&self) -> T {
        self.alpha
    }

    /// One side's `ln sum exp(alpha - d)` over its negatives.
    #[must_use]
    pub fn ln_sum(&self, distances: impl Iterator<Item = T> + Clone) -> T {
        ln_sum_exp(distances.map(|d| self.alpha - d))
    }

    /// Value and derivative to J, from the distance of the pair and both sides' sums; 0 without any negative.
    #[must_use]
    pub fn pair(&self, distance: T, one: T, other: T) -> (T, T) {
        let j = Scalar::max(ln_sum_exp([one, other].into_iter()) + distance, T::ZERO);
        (T::HALF * j * j, j)
    }

    /// Share of a negative at `distance` in its side's sum.
    #[must_use]
    pub fn share(&self, distance: T, side: T) -> T {
        (self.alpha - distance - side).exp()
    }
}

/// Multi-similarity loss (Wang et al. 2019) of one anchor, without its pair mining.
///
/// ```text
/// l = 1/alpha ln(1 + sum_p exp(-alpha (c_ap - lambda))) + 1/beta ln(1 + sum_n exp(beta (c_an - lambda)))
/// ```
/// `c` are inner products of unit rows; smooth everywhere. The paper's numbers are alpha 2, beta 50, lambda 1/2.
///
/// ```
/// use nearfar_core::MultiSimilarity;
/// let loss = MultiSimilarity::new(2.0_f64, 50.0, 0.5)?;
/// // One positive and one negative, both at lambda: (ln 2)/2 + (ln 2)/50.
/// let [near, far] = loss.sides([0.5].into_iter(), [0.5].into_iter());
/// assert!((loss.value(near, far) - 2.0_f64.ln() * 0.52).abs() < 1e-15);
/// # Ok::<(), nearfar_core::LossError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MultiSimilarity<T> {
    alpha: T,
    beta: T,
    lambda: T,
}

impl<T: Scalar> MultiSimilarity<T> {
    /// Sharpness for positives and for negatives, both positive, and the similarity around which they turn.
    pub fn new(alpha: T, beta: T, lambda: T) -> Result<Self, LossError> {
        let (alpha, beta) = (LossError::positive("alpha", alpha)?, LossError::positive("beta", beta)?);
        if !lambda.is_finite() {
            return Err(LossError { parameter: "lambda", value: lambda.to_f64() });
        }
        Ok(Self { alpha, beta, lambda })
    }

    /// Sharpness for positives, sharpness for negatives, and the similarity around which they turn.
    #[must_use]
    pub const fn parameters(&self) -> [T; 3] {
        [self.alpha, self.beta, self.lambda]
    }

    /// `ln(1 + sum exp ...)` over the positives and over the negatives.
    #[must_use]
    pub fn sides(
        &self,
        positives: impl Iterator<Item = T> + Clone,
        negatives: impl Iterator<Item = T> + Clone,
    ) -> [T; 2] {
        let near = ln_sum_exp(positives.map(|c| -self.alpha * (c - self.lambda)));
        let far = ln_sum_exp(negatives.map(|c| self.beta * (c - self.lambda)));
        [softplus(near).0, softplus(far).0]
    }

    /// The loss, from both sides.
    #[must_use]
    pub fn value(&self, near: T, far: T) -> T {
        near / self.alpha + far / self.beta
    }

    /// Derivative to the inner product with one positive (`near` from [`sides`](Self::sides)).
    #[must_use]
    pub fn d_positive(&self, cosine: T, near: T) -> T {
        -(-self.alpha * (cosine - self.lambda) - near).exp()
    }

    /// Derivative to the inner product with one negative.
    #[must_use]
    pub fn d_negative(&self, cosine: T, far: T) -> T {
        (self.beta * (cosine - self.lambda) - far).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_exponentials_neither_overflow_nor_vanish() {
        assert_eq!(ln_sum_exp([1000.0_f32, 1000.0].into_iter()), 1000.0 + 2.0_f32.ln());
        assert_eq!(ln_sum_exp([-1000.0_f32].into_iter()), -1000.0);
        assert_eq!(ln_sum_exp(core::iter::empty::<f64>()), f64::NEG_INFINITY);
        assert_eq!(softplus(f64::NEG_INFINITY), (0.0, 0.0));
        assert_eq!(softplus(1000.0_f32), (1000.0, 1.0));
    }

    #[test]
    fn a_lifted_pair_without_negatives_has_no_loss() {
        let loss = Lifted::new(1.0_f32).unwrap();
        let none = loss.ln_sum(core::iter::empty());
        assert_eq!(loss.pair(1.5, none, none), (0.0, 0.0));
    }
}
