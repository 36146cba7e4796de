//! Real numbers: the sealed [`Scalar`] trait over `f32` and `f64`, and the special functions.
//!
//! This is the only file that names `libm`. Every elementary function goes through it by name, so that the same
//! input gives the same bits on a laptop, a microcontroller and in wasm, with or without `std`. Nothing here is
//! contracted to a fused multiply-add.

use core::fmt::{Debug, Display, LowerExp};
use core::iter::Sum;
use core::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// A real number of this library: `f32` or `f64`, nothing else.
///
/// ```
/// use nearfar_core::Scalar;
/// assert_eq!(<f32 as Scalar>::from_f64(0.5), 0.5_f32);
/// assert_eq!(Scalar::sqrt(2.25_f64), 1.5);
/// ```
pub trait Scalar:
    sealed::Sealed
    + nalgebra::Scalar
    + Copy
    + Default
    + PartialOrd
    + Debug
    + Display
    + LowerExp
    + Send
    + Sync
    + Sum
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + DivAssign
    + 'static
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// 2.
    const TWO: Self;
    /// 1/2.
    const HALF: Self;
    /// Positive infinity.
    const INFINITY: Self;
    /// Negative infinity: the logarithm of an impossible event.
    const NEG_INFINITY: Self;
    /// The gap between 1 and the next number.
    const EPSILON: Self;

    /// The nearest number of this type.
    fn from_f64(value: f64) -> Self;
    /// The same number in double precision.
    fn to_f64(self) -> f64;
    /// Square root; NaN below 0.
    fn sqrt(self) -> Self;
    /// Natural logarithm; `-inf` at 0.
    fn ln(self) -> Self;
    /// Exponential function.
    fn exp(self) -> Self;
    /// `ln(1 + self)`, exact near 0.
    fn ln_1p(self) -> Self;
    /// Absolute value.
    fn abs(self) -> Self;
    /// The same slice if its numbers are `f32`: the door to kernels that are written for single precision.
    fn as_single(values: &[Self]) -> Option<&[f32]>;
    /// As [`as_single`](Self::as_single), to be written.
    fn as_single_mut(values: &mut [Self]) -> Option<&mut [f32]>;
    /// The same slice if its numbers are `f64`.
    fn as_double(values: &[Self]) -> Option<&[f64]>;
    /// As [`as_double`](Self::as_double), to be written.
    fn as_double_mut(values: &mut [Self]) -> Option<&mut [f64]>;
    /// Neither infinite nor NaN.
    fn is_finite(self) -> bool;

    /// A count as a number of this type.
    fn from_usize(value: usize) -> Self {
        Self::from_f64(value as f64)
    }
    /// The larger of two numbers; `other` if `self` is NaN.
    fn max(self, other: Self) -> Self {
        if self > other { self } else { other }
    }
    /// The smaller of two numbers; `other` if `self` is NaN.
    fn min(self, other: Self) -> Self {
        if self < other { self } else { other }
    }
}

macro_rules! scalar {
    ($t:ident, $sqrt:ident, $ln:ident, $exp:ident, $ln_1p:ident, $abs:ident, $single:expr, $single_mut:expr, $double:expr, $double_mut:expr) => {
        impl Scalar for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const TWO: Self = 2.0;
            const HALF: Self = 0.5;
            const INFINITY: Self = $t::INFINITY;
            const NEG_INFINITY: Self = $t::NEG_INFINITY;
            const EPSILON: Self = $t::EPSILON;

            #[inline]
            fn from_f64(value: f64) -> Self {
                value as $t
            }
            #[inline]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            #[inline]
            fn sqrt(self) -> Self {
                libm::$sqrt(self)
            }
            #[inline]
            fn ln(self) -> Self {
                libm::$ln(self)
            }
            #[inline]
            fn exp(self) -> Self {
                libm::$exp(self)
            }
            #[inline]
            fn ln_1p(self) -> Self {
                libm::$ln_1p(self)
            }
            #[inline]
            fn abs(self) -> Self {
                libm::$abs(self)
            }
            #[inline]
            fn as_single(values: &[Self]) -> Option<&[f32]> {
                $single(values)
            }
            #[inline]
            fn as_single_mut(values: &mut [Self]) -> Option<&mut [f32]> {
                $single_mut(values)
            }
            #[inline]
            fn as_double(values: &[Self]) -> Option<&[f64]> {
                $double(values)
            }
            #[inline]
            fn as_double_mut(values: &mut [Self]) -> Option<&mut [f64]> {
                $double_mut(values)
            }
            #[inline]
            fn is_finite(self) -> bool {
                $t::is_finite(self)
            }
        }
    };
}

scalar!(f32, sqrtf, logf, expf, log1pf, fabsf, Some, Some, |_| None, |_| None);
scalar!(f64, sqrt, log, exp, log1p, fabs, |_| None, |_| None, Some, Some);

/// The largest whole number not above `x`.
pub(crate) fn floor(x: f64) -> f64 {
    libm::floor(x)
}

/// Natural logarithm of the gamma function for positive arguments.
pub(crate) fn ln_gamma(x: f64) -> f64 {
    libm::lgamma(x)
}

/// `ln G(y + 1/2) - ln G(y)` for `y > 0`, to a few units in the last place of 1: the difference of two gamma functions
/// of large arguments would lose what the law of distances needs.
///
/// Recurrence up to 16, then the asymptotic series in `1/y` (Tricomi and Erdélyi 1951).
pub(crate) fn ln_gamma_half_step(mut y: f64) -> f64 {
    let mut below = 1.0;
    while y < 16.0 {
        below *= y / (y + 0.5);
        y += 1.0;
    }
    let r = 1.0 / (y * y);
    let series =
        (1.0 / 8.0 - r * (1.0 / 192.0 - r * (1.0 / 640.0 - r * (17.0 / 14336.0 - r * (31.0 / 18432.0))))) / y;
    0.5 * libm::log(y) - series + libm::log(below)
}

/// Digamma function, the derivative of `ln gamma`, for positive arguments; absolute error below 1e-13.
///
/// Recurrence up to 10, then the asymptotic series in `1/x²` (Abramowitz and Stegun 6.3.18).
pub(crate) fn digamma(mut x: f64) -> f64 {
    let mut sum = 0.0;
    while x < 10.0 {
        sum -= 1.0 / x;
        x += 1.0;
    }
    let y = 1.0 / (x * x);
    let series =
        y * (1.0 / 12.0 - y * (1.0 / 120.0 - y * (1.0 / 252.0 - y * (1.0 / 240.0 - y * (1.0 / 132.0)))));
    sum + libm::log(x) - 0.5 / x - series
}

/// Sine and cosine of an angle in radians, in double precision.
pub(crate) fn sin_cos(angle: f64) -> (f64, f64) {
    (libm::sin(angle), libm::cos(angle))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_steps_of_the_gamma_function_are_exact_where_they_are_known() {
        // G(1/2) = sqrt pi, G(1) = 1, G(3/2) = sqrt(pi)/2; and two half steps are one whole: G(y+1) = y G(y).
        let ln_sqrt_pi = 0.5 * core::f64::consts::PI.ln();
        assert!((ln_gamma_half_step(0.5) + ln_sqrt_pi).abs() < 4e-15);
        assert!((ln_gamma_half_step(1.0) - (ln_sqrt_pi - core::f64::consts::LN_2)).abs() < 4e-15);
        for y in [0.3, 5.0, 15.9, 16.1, 1e3, 1e9] {
            let whole = ln_gamma_half_step(y) + ln_gamma_half_step(y + 0.5);
            assert!((whole - f64::ln(y)).abs() < 4e-15, "y = {y}: {whole}");
        }
    }

    #[test]
    fn digamma_is_known_at_one_and_climbs_by_its_recurrence() {
        assert!((digamma(1.0) + 0.577_215_664_901_532_9).abs() < 1e-13);
        for x in [0.5, 3.25, 40.0] {
            assert!((digamma(x + 1.0) - digamma(x) - 1.0 / x).abs() < 1e-13, "x = {x}");
        }
    }
}
