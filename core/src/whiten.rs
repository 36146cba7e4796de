//! Whitening within classes: a linear map after which directions in which samples of one class scatter count less.

use crate::Scalar;
use crate::batch::Embeddings;
use crate::scatter::{Scatter, ScatterError};

/// The map `z -> C⁻¹ z` fitted to classes that are known, for classes that are not.
///
/// ```text
/// W = 1/N sum over i of (x_i - m)(x_i - m)ᵀ           m: mean of the class of sample i
/// S = W + shrink (tr W / D) I,  S / det(S)^(1/D) = C Cᵀ      C lower triangular, det C = 1
/// |C⁻¹ (z - z')|² = (z - z')ᵀ S⁻¹ (z - z') det(S)^(1/D)
/// ```
/// A network scatters samples of new classes along the directions in which it scattered those that it learned from.
/// The larger `shrink`, the nearer the map is to none. Before a normalisation only the direction of `C⁻¹ z` matters, and
/// a linear layer takes the map in: [`Network::whiten`](crate::net::Network::whiten).
///
/// Source: Bar-Hillel, Hertz, Shental, Weinshall, "Learning a Mahalanobis metric from equivalence constraints", JMLR 6
/// (2005), section 2 (relevant component analysis); shrinkage towards a multiple of the identity as in Ledoit and Wolf
/// (2004), with a given weight.
///
/// ```
/// use nearfar_core::{Embeddings, Whitening};
/// // Two classes that differ in the second number and scatter in the first: W = diag(0.01, 0).
/// let x = [0.0, 1.0, 0.2, 1.0, 0.0, -1.0, 0.2, -1.0];
/// let whitening = Whitening::fit(Embeddings::new(&x, 2)?, &[0, 0, 1, 1], 1.0)?.unwrap();
/// // S = diag(0.015, 0.005): a step along the first number now counts 1 / sqrt(3) of one along the second.
/// let mut z = [1.0, 0.0, 0.0, 1.0];
/// whitening.apply(&mut z);
/// assert!((z[0] / z[3] - 1.0 / 3.0_f64.sqrt()).abs() < 1e-12);
/// assert!((z[0] * z[3] - 1.0).abs() < 1e-12); // det = 1
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Whitening(Scatter);

impl Whitening {
    /// The map for embeddings `[N, D]` and their classes; `shrink > 0`. Takes `N D² / 2 + D³ / 6` multiplications and
    /// `D²` numbers of memory, in double precision.
    ///
    /// `None` where there is no scatter: every class is one point, within the rounding of the embeddings.
    ///
    /// Errors: a row that is not finite, another number of labels, a `shrink` that is no positive number.
    pub fn fit<T: Scalar>(
        embeddings: Embeddings<'_, T>,
        labels: &[u32],
        shrink: f64,
    ) -> Result<Option<Self>, ScatterError> {
        let Some(mut scatter) = Scatter::fit(embeddings, labels, shrink)? else { return Ok(None) };
        let dim = scatter.dim;
        let ln_det: f64 = (0..dim).map(|i| Scalar::ln(scatter.factor[i * dim + i])).sum();
        let scale = Scalar::exp(-ln_det / dim as f64);
        scatter.factor.iter_mut().for_each(|value| *value *= scale);
        Ok(Some(Self(scatter)))
    }

    /// Numbers in one embedding, D.
    #[must_use]
    pub const fn dim(&self) -> usize {
        self.0.dim
    }

    /// `C⁻¹ z` in place of each row `z` of `[count, D]`.
    ///
    /// # Panics
    /// If the numbers are not whole rows.
    pub fn apply<T: Scalar>(&self, rows: &mut [T]) {
        self.0.solve(rows);
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;
    use crate::{BatchError, Key, Stream};

    /// `count` drawn rows in `classes` classes, and their labels.
    fn drawn(count: usize, dim: usize, classes: u32) -> (Vec<f64>, Vec<u32>) {
        let key = Key::new(8, Stream::Init, 0);
        let numbers = (0..count * dim).map(|i| key.normals(0, i as u32)[0]).collect();
        (numbers, (0..count as u32).map(|i| i * 7 % classes).collect())
    }

    /// S by definition, but for its factor: double loops over pairs of one class.
    fn shrunk(x: &[f64], labels: &[u32], dim: usize, shrink: f64) -> Vec<f64> {
        let mut w = vec![0.0; dim * dim];
        for (i, &label) in labels.iter().enumerate() {
            let size = labels.iter().filter(|&&other| other == label).count() as f64;
            for (j, _) in labels.iter().enumerate().filter(|(_, other)| **other == label) {
                // Sum over pairs of (x_i - x_j)(x_i - x_j)ᵀ / (2 size) is the scatter about the mean.
                for (at, w) in w.iter_mut().enumerate() {
                    let apart = |k: usize| x[i * dim + k] - x[j * dim + k];
                    *w += apart(at / dim) * apart(at % dim) / (2.0 * size);
                }
            }
        }
        let trace: f64 = (0..dim).map(|i| w[i * dim + i]).sum();
        (0..dim).for_each(|i| w[i * dim + i] += shrink * trace / dim as f64);
        w
    }

    #[test]
    fn the_map_turns_the_shrunk_scatter_into_a_multiple_of_the_identity() {
        for (dim, classes, shrink) in [(1, 2, 1.0), (3, 4, 0.01), (20, 3, 2.0), (33, 5, 0.3)] {
            let (x, labels) = drawn(40, dim, classes);
            let whitening =
                Whitening::fit(Embeddings::new(&x, dim).unwrap(), &labels, shrink).unwrap().unwrap();
            // C⁻¹ S C⁻ᵀ: rows, then columns.
            let mut s = shrunk(&x, &labels, dim, shrink);
            whitening.apply(&mut s);
            let mut turned: Vec<f64> = (0..dim * dim).map(|at| s[at % dim * dim + at / dim]).collect();
            whitening.apply(&mut turned);
            let first = turned[0];
            for (at, value) in turned.iter().enumerate() {
                let wanted = if at / dim == at % dim { first } else { 0.0 };
                assert!((value - wanted).abs() < 1e-10 * first, "dim {dim}, {at}: {value} and {wanted}");
            }
            let mut unit: Vec<f64> = (0..dim * dim).map(|at| f64::from(at / dim == at % dim)).collect();
            whitening.apply(&mut unit);
            let det: f64 = (0..dim).map(|i| unit[i * dim + i]).product();
            assert!((det - 1.0).abs() < 1e-10, "{det}");
        }
    }

    #[test]
    fn order_and_names_of_classes_do_not_matter_and_much_shrinkage_is_no_map() {
        let (x, labels) = drawn(30, 4, 3);
        let fit = |x: &[f64], labels: &[u32], shrink| {
            Whitening::fit(Embeddings::new(x, 4).unwrap(), labels, shrink).unwrap().unwrap()
        };
        let renamed: Vec<u32> = labels.iter().map(|label| u32::MAX - label).collect();
        let (a, b) = (fit(&x, &labels, 1.0), fit(&x, &renamed, 1.0));
        assert!(a.0.factor.iter().zip(&b.0.factor).all(|(a, b)| (a - b).abs() < 1e-12));
        let mut z = [1.0, -2.0, 3.0, 0.5];
        fit(&x, &labels, 1e12).apply(&mut z);
        assert!(z.iter().zip([1.0, -2.0, 3.0, 0.5]).all(|(z, was)| (z - was).abs() < 1e-9), "{z:?}");
    }

    #[test]
    fn classes_that_are_points_give_no_map_and_bad_input_is_refused() {
        let fit = |x: &[f32], labels: &[u32], shrink| {
            Whitening::fit(Embeddings::new(x, 2).unwrap(), labels, shrink)
        };
        assert_eq!(fit(&[1.0, 0.0, 1.0, 0.0, 0.0, 1.0], &[3, 3, 4], 1.0), Ok(None));
        assert_eq!(fit(&[], &[], 1.0), Ok(None));
        for value in [0.0, -1.0, f64::INFINITY] {
            assert_eq!(fit(&[1.0, 0.0], &[0], value), Err(ScatterError::Shrink { value }));
        }
        assert!(matches!(fit(&[1.0, 0.0], &[0], f64::NAN), Err(ScatterError::Shrink { .. })));
        let labels = BatchError::Labels { labels: 1, count: 2 };
        assert_eq!(fit(&[1.0; 4], &[0], 1.0), Err(ScatterError::Batch(labels)));
        let row = BatchError::NotFinite { row: 1 };
        assert_eq!(fit(&[1.0, 0.0, 0.0, f32::NAN], &[0, 0], 1.0), Err(ScatterError::Batch(row)));
    }
}
