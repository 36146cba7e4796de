//! Chord distances between embeddings, one pair at a time, and the projection onto the sphere.
//!
//! Products and sums are plain loops in a fixed order: the same bits on every machine, with or without `std`.

use core::fmt;

use crate::Scalar;
use crate::batch::BatchError;

/// Partial sums that run side by side, so that the compiler may use vectors without reordering anything.
const LANES: usize = 16;

/// Below this share of the mean squared length, `a² + b² - 2ab` has lost too many digits \[R2\].
const NEAR: f64 = 0.05;

/// Sum over i of `term(x[i], y[i])`: sixteen partial sums, added in order at the end. Always inlined, into loops that are
/// compiled for wider vectors.
#[inline(always)]
fn lane_sum<T: Scalar>(x: &[T], y: &[T], term: impl Fn(T, T) -> T) -> T {
    let (xs, x_rest) = x.as_chunks::<LANES>();
    let (ys, y_rest) = y.as_chunks::<LANES>();
    let mut lanes = [T::ZERO; LANES];
    for (x, y) in xs.iter().zip(ys) {
        for lane in 0..LANES {
            lanes[lane] += term(x[lane], y[lane]);
        }
    }
    for (lane, (&x, &y)) in x_rest.iter().zip(y_rest).enumerate() {
        lanes[lane] += term(x, y);
    }
    lanes.into_iter().sum()
}

/// Inner product of two rows; the cosine, if both have length 1.
///
/// ```
/// assert_eq!(nearfar_core::dot(&[1.0, 2.0], &[3.0, 0.5]), 4.0);
/// ```
#[must_use]
#[inline(always)]
pub fn dot<T: Scalar>(x: &[T], y: &[T]) -> T {
    lane_sum(x, y, |x, y| x * y)
}

/// `|x - y|²`, from the differences: full relative accuracy however near the two are.
///
/// ```
/// assert_eq!(nearfar_core::squared_distance(&[1.0, 2.0], &[4.0, 6.0]), 25.0);
/// ```
#[must_use]
#[inline(always)]
pub fn squared_distance<T: Scalar>(x: &[T], y: &[T]) -> T {
    lane_sum(x, y, |x, y| (x - y) * (x - y))
}

/// Chord length `d = |x - y|`, in [0, 2] for unit rows.
///
/// The gradient is `∂d/∂x = (x - y) / d`; at `d = 0` the subgradient 0 is used throughout \[R11\].
///
/// ```
/// assert_eq!(nearfar_core::distance(&[1.0, 0.0], &[-1.0, 0.0]), 2.0);
/// ```
#[must_use]
pub fn distance<T: Scalar>(x: &[T], y: &[T]) -> T {
    squared_distance(x, y).sqrt()
}

/// `|x - y|²` from `|x|²`, `|y|²` and `x·y`; if the two are so near that this loses its digits, from `exact` \[R2\].
///
/// ```
/// use nearfar_core::{squared_distance, squared_from_product};
/// let (x, y) = ([1.0_f32, 0.0], [0.0, 1.0]);
/// assert_eq!(squared_from_product(1.0, 1.0, 0.0, || squared_distance(&x, &y)), 2.0);
/// ```
pub fn squared_from_product<T: Scalar>(xx: T, yy: T, xy: T, exact: impl FnOnce() -> T) -> T {
    let squared = xx + yy - T::TWO * xy;
    if squared > T::from_f64(0.5 * NEAR) * (xx + yy) { squared } else { exact() }
}

/// Why a row has no direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RowError {
    /// All numbers are zero.
    Zero,
    /// A number is NaN or infinite.
    NotFinite,
}

impl RowError {
    /// The same error of a row in a batch.
    #[must_use]
    pub const fn at_row(self, row: usize) -> BatchError {
        match self {
            Self::Zero => BatchError::ZeroRow { row },
            Self::NotFinite => BatchError::NotFinite { row },
        }
    }
}

impl fmt::Display for RowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Zero => "a row of zeros has no direction",
            Self::NotFinite => "a row holds NaN or infinity",
        })
    }
}

impl core::error::Error for RowError {}

/// Length of a row, by its largest number first: nothing overflows, and a row of tiny numbers keeps its direction.
fn norm<T: Scalar>(z: &[T]) -> (T, T) {
    let (chunks, rest) = z.as_chunks::<LANES>();
    let mut largest = [T::ZERO; LANES];
    for chunk in chunks {
        for lane in 0..LANES {
            largest[lane] = Scalar::max(chunk[lane].abs(), largest[lane]);
        }
    }
    let largest = largest.into_iter().chain(rest.iter().map(|v| v.abs())).fold(T::ZERO, Scalar::max);
    let square = |v: T| {
        let v = (v / largest).to_f64();
        v * v
    };
    let mut squares = [0.0; LANES];
    for chunk in chunks {
        for lane in 0..LANES {
            squares[lane] += square(chunk[lane]);
        }
    }
    let squares: f64 = squares.into_iter().chain(rest.iter().map(|&v| square(v))).sum();
    (largest, T::from_f64(Scalar::sqrt(squares)))
}

/// `x = z / |z|`; returns `|z|`.
///
/// Errors: a row of zeros, NaN or infinity. Gradient: [`normalize_row_backward`].
///
/// ```
/// let mut x = [0.0; 2];
/// assert_eq!(nearfar_core::normalize_row(&[3.0, 4.0], &mut x)?, 5.0);
/// assert_eq!(x, [0.6, 0.8]);
/// # Ok::<(), nearfar_core::RowError>(())
/// ```
pub fn normalize_row<T: Scalar>(z: &[T], x: &mut [T]) -> Result<T, RowError> {
    // Every number is looked at: to stop at the first that is not finite takes longer.
    if z.iter().fold(false, |any, v| any | !v.is_finite()) {
        return Err(RowError::NotFinite);
    }
    let (largest, length) = norm(z);
    if !(largest > T::ZERO) {
        return Err(RowError::Zero);
    }
    for (x, &z) in x.iter_mut().zip(z) {
        *x = z / largest / length;
    }
    Ok(largest * length)
}

/// Gradient through [`normalize_row`]: `dz = (I - x xᵀ) dx / |z|` \[R12\].
///
/// ```
/// // Moving z = (2, 0) sideways turns x half as fast; moving it outwards does nothing.
/// let mut dz = [0.0; 2];
/// nearfar_core::normalize_row_backward(&[2.0, 0.0], &[1.0, 0.0], &[5.0, 3.0], &mut dz);
/// assert_eq!(dz, [0.0, 1.5]);
/// ```
pub fn normalize_row_backward<T: Scalar>(z: &[T], x: &[T], dx: &[T], dz: &mut [T]) {
    let (largest, length) = norm(z);
    let along = dot(x, dx);
    for ((dz, &x), &dx) in dz.iter_mut().zip(x).zip(dx) {
        *dz = (dx - along * x) / largest / length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_duplicates_keep_their_distance_in_single_precision() {
        // Two unit rows 1e-3 apart: 2 - 2c knows no digit of d², the difference all of them.
        let (x, y) = ([1.0_f32, 0.0], [1.0_f32 - 5e-7, 1e-3]);
        let squared =
            squared_from_product(dot(&x, &x), dot(&y, &y), dot(&x, &y), || squared_distance(&x, &y));
        assert!((squared - 1e-6).abs() < 1e-12, "{squared}");
    }

    #[test]
    fn tiny_and_huge_rows_have_a_direction() {
        let mut x = [0.0_f32; 2];
        for scale in [1e-44_f32, 1e-30, 1e30, 2e38] {
            normalize_row(&[scale, scale], &mut x).unwrap();
            assert!((x[0] - 0.5_f32.sqrt()).abs() < 1e-6, "{scale}: {x:?}");
        }
    }

    #[test]
    fn rows_without_direction_are_refused() {
        let mut x = [0.0_f64; 2];
        assert_eq!(normalize_row(&[0.0, -0.0], &mut x), Err(RowError::Zero));
        assert_eq!(normalize_row(&[1.0, f64::NAN], &mut x), Err(RowError::NotFinite));
        assert_eq!(normalize_row(&[f64::INFINITY, 0.0], &mut x), Err(RowError::NotFinite));
    }
}
