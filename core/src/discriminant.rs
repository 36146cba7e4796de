//! Linear discriminants: the few directions in which classes differ most beside how they scatter.

use alloc::vec;
use alloc::vec::Vec;

use nalgebra::DMatrix;

use crate::Scalar;
use crate::batch::Embeddings;
use crate::scatter::{Scatter, ScatterError};

/// The map `z -> A z` from K numbers to D, fitted to classes that are known, for classes that are not.
///
/// ```text
/// W = 1/N sum over i of (x_i - m)(x_i - m)ᵀ                  m: mean of the class of sample i
/// B = 1/N sum over i of (m - mean)(m - mean)ᵀ
/// S = W + shrink (tr W / K) I = C Cᵀ
/// A = V C⁻¹          rows of V: the D eigenvectors of C⁻¹ B C⁻ᵀ with the largest eigenvalues, largest first
/// ```
/// Rows of A are directions in which `B` is large beside `S`; in them `A S Aᵀ = I`. C classes differ in at most
/// `C - 1` directions: where that is less than D, the last rows of A are 0. An eigenvector has its largest number
/// positive, the first of several.
///
/// It brings several embeddings of one sample, put side by side, back to the size of one: what they agree on is kept.
///
/// Source: Fisher, "The use of multiple measurements in taxonomic problems", Annals of Eugenics 7 (1936), for two
/// classes; Rao (1948) for more; shrinkage as in [`Whitening`](crate::Whitening).
///
/// ```
/// use nearfar_core::{Discriminants, Embeddings};
/// // Two classes that differ in the second number and scatter in the first: W = diag(1, 0), B = diag(0, 4).
/// let x = [1.0, 2.0, -1.0, 2.0, 1.0, -2.0, -1.0, -2.0];
/// let map = Discriminants::fit(Embeddings::new(&x, 2)?, &[0, 0, 1, 1], 1, 1.0)?.unwrap();
/// // S = diag(1.5, 0.5): the direction is the second one, of length 1 / sqrt(0.5).
/// let mut y = [0.0; 2];
/// map.apply(&[5.0, 1.0, 0.0, -3.0], &mut y);
/// assert!((y[0] - 2.0_f64.sqrt()).abs() < 1e-12 && (y[1] + 3.0 * 2.0_f64.sqrt()).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Discriminants {
    inputs: usize,
    /// A, `[D, K]`.
    weights: Vec<f64>,
}

/// Least eigenvalue, beside the largest, of a direction in which classes differ: below it is rounding.
const LEAST: f64 = 1e-9;

impl Discriminants {
    /// The map for rows `[N, K]` and their classes to `dim` numbers; `shrink > 0`. Takes some `N K² / 2 + 10 K³`
    /// multiplications and `3 K²` numbers of memory, in double precision.
    ///
    /// `None` where there is no scatter (every class is one point, within the rounding of the embeddings), or where all
    /// classes have one mean.
    ///
    /// Errors: a row that is not finite, another number of labels, a `shrink` that is no positive number, more
    /// discriminants than there are numbers, or none.
    pub fn fit<T: Scalar>(
        embeddings: Embeddings<'_, T>,
        labels: &[u32],
        dim: usize,
        shrink: f64,
    ) -> Result<Option<Self>, ScatterError> {
        let inputs = embeddings.dim();
        if dim == 0 || dim > inputs {
            return Err(ScatterError::Dim { dim, inputs });
        }
        let Some(scatter) = Scatter::fit(embeddings, labels, shrink)? else { return Ok(None) };
        let (mut means, sizes) = (scatter.means.clone(), &scatter.sizes);
        let count: f64 = sizes.iter().sum();
        let mut mean = vec![0.0; inputs];
        for (row, size) in means.chunks_exact(inputs).zip(sizes) {
            mean.iter_mut().zip(row).for_each(|(sum, value)| *sum += value * (size / count));
        }
        for (row, &size) in means.chunks_exact_mut(inputs).zip(sizes) {
            let root = Scalar::sqrt(size);
            row.iter_mut().zip(&mean).for_each(|(value, mean)| *value = root * (*value - mean));
        }
        scatter.solve(&mut means);
        // Columns are classes: their product with itself is C⁻¹ B C⁻ᵀ.
        let whitened = DMatrix::from_vec(inputs, sizes.len(), means);
        let eigen = (&whitened * whitened.transpose()).symmetric_eigen();
        let mut order: Vec<usize> = (0..inputs).collect();
        order.sort_by(|&i, &j| eigen.eigenvalues[j].total_cmp(&eigen.eigenvalues[i]));
        let largest = eigen.eigenvalues[order[0]];
        if !(largest > f64::EPSILON) {
            return Ok(None);
        }
        let mut weights = vec![0.0; dim * inputs];
        for (row, &at) in weights.chunks_exact_mut(inputs).zip(&order) {
            if eigen.eigenvalues[at] < LEAST * largest {
                break;
            }
            let vector = eigen.eigenvectors.column(at);
            let top = vector.iter().fold(0.0_f64, |top, v| if v.abs() > top.abs() { *v } else { top });
            row.iter_mut().zip(&vector).for_each(|(w, v)| *w = if top < 0.0 { -v } else { *v });
            solve_transposed(inputs, &scatter.factor, row);
            // The factor is that of sums over the samples, not of means.
            row.iter_mut().for_each(|w| *w *= Scalar::sqrt(count));
        }
        Ok(Some(Self { inputs, weights }))
    }

    /// The map with these weights `[D, K]`, row after row; `None` if they are no whole rows of K numbers.
    #[must_use]
    pub fn from_weights<T: Scalar>(inputs: usize, weights: &[T]) -> Option<Self> {
        let whole = inputs > 0 && !weights.is_empty() && weights.len().is_multiple_of(inputs);
        whole.then(|| Self { inputs, weights: weights.iter().map(|w| w.to_f64()).collect() })
    }

    /// A, `[D, K]`, row after row.
    #[must_use]
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// Numbers before the map, K.
    #[must_use]
    pub const fn inputs(&self) -> usize {
        self.inputs
    }

    /// Numbers after it, D.
    #[must_use]
    pub const fn dim(&self) -> usize {
        self.weights.len() / self.inputs
    }

    /// `A z` of each row of `[count, K]`, into `[count, D]`.
    ///
    /// # Panics
    /// If these are not as many whole rows.
    pub fn apply<T: Scalar>(&self, rows: &[T], out: &mut [T]) {
        let (inputs, dim) = (self.inputs, self.dim());
        assert!(rows.len().is_multiple_of(inputs), "{} numbers are not rows of {inputs}", rows.len());
        assert_eq!(out.len(), rows.len() / inputs * dim, "numbers after the map");
        let mut wide = vec![0.0; inputs];
        for (row, out) in rows.chunks_exact(inputs).zip(out.chunks_exact_mut(dim)) {
            wide.iter_mut().zip(row).for_each(|(wide, value)| *wide = value.to_f64());
            for (value, weights) in out.iter_mut().zip(self.weights.chunks_exact(inputs)) {
                *value = T::from_f64(crate::distance::dot(weights, &wide));
            }
        }
    }
}

/// `C⁻ᵀ v` in place of `v`, C lower triangular.
fn solve_transposed(dim: usize, factor: &[f64], v: &mut [f64]) {
    for i in (0..dim).rev() {
        let row = &factor[i * dim..][..=i];
        v[i] /= row[i];
        let here = v[i];
        v[..i].iter_mut().zip(row).for_each(|(value, c)| *value -= c * here);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Key, Stream};

    /// Rows of `classes` classes around means of their own, in no order.
    fn drawn(count: usize, inputs: usize, classes: u32) -> (Vec<f64>, Vec<u32>) {
        let key = Key::new(5, Stream::Init, 0);
        let labels: Vec<u32> = (0..count as u32).map(|i| i * 7 % classes).collect();
        let number = |at: usize| {
            let (i, k) = (at / inputs, at % inputs);
            let spread = 1.0 + k as f64 / inputs as f64;
            key.normals(1 + labels[i], k as u32)[0] + spread * key.normals(100 + i as u32, k as u32)[1]
        };
        ((0..count * inputs).map(number).collect(), labels)
    }

    /// W and B by definition, over all pairs: `sum over i, j of w_ij (x_i - x_j)(x_i - x_j)ᵀ`.
    fn scatters(x: &[f64], labels: &[u32], inputs: usize) -> [DMatrix<f64>; 2] {
        let n = labels.len();
        let row = |i: usize| DMatrix::from_row_slice(1, inputs, &x[i * inputs..][..inputs]);
        let (mut within, mut total) = (DMatrix::zeros(inputs, inputs), DMatrix::zeros(inputs, inputs));
        for i in 0..n {
            let size = labels.iter().filter(|&&label| label == labels[i]).count() as f64;
            for j in 0..n {
                let apart = row(i) - row(j);
                let outer = apart.transpose() * apart;
                if labels[i] == labels[j] {
                    within += &outer / (2.0 * size * n as f64);
                }
                total += outer / (2.0 * (n * n) as f64);
            }
        }
        let between = total - &within;
        [within, between]
    }

    #[test]
    fn the_map_makes_both_scatters_diagonal_and_keeps_the_largest_ratios() {
        for (count, inputs, classes, dim, shrink) in
            [(60, 6, 9, 4, 0.5), (40, 5, 8, 5, 2.0), (30, 3, 4, 1, 0.01)]
        {
            let (x, labels) = drawn(count, inputs, classes);
            let map = Discriminants::fit(Embeddings::new(&x, inputs).unwrap(), &labels, dim, shrink)
                .unwrap()
                .unwrap();
            assert_eq!((map.dim(), map.inputs()), (dim, inputs));
            let a = DMatrix::from_row_slice(dim, inputs, map.weights());
            let [within, between] = scatters(&x, &labels, inputs);
            let s = &within + DMatrix::identity(inputs, inputs) * (shrink * within.trace() / inputs as f64);
            let unit = &a * &s * a.transpose();
            assert!((unit - DMatrix::identity(dim, dim)).abs().max() < 1e-9);
            let kept = &a * &between * a.transpose();
            let ratios: Vec<f64> = kept.diagonal().iter().copied().collect();
            assert!((&kept - DMatrix::from_diagonal(&kept.diagonal())).abs().max() < 1e-9 * ratios[0]);
            assert!(ratios.windows(2).all(|pair| pair[0] >= pair[1] - 1e-9), "{ratios:?}");
            // The largest of all ratios, by another route: no direction of many has a larger one.
            let key = Key::new(6, Stream::Init, 1);
            for i in 0..2000 {
                let v = DMatrix::from_fn(1, inputs, |_, k| key.normals(i, k as u32)[0]);
                let [b, s] = [&between, &s].map(|m| (&v * m * v.transpose())[0]);
                assert!(b / s <= ratios[0] * (1.0 + 1e-9), "{} beside {}", b / s, ratios[0]);
            }
        }
    }

    #[test]
    fn directions_beyond_what_classes_differ_in_are_zero() {
        let (x, labels) = drawn(30, 6, 3);
        let map = Discriminants::fit(Embeddings::new(&x, 6).unwrap(), &labels, 4, 1.0).unwrap().unwrap();
        let lengths: Vec<f64> =
            map.weights().chunks_exact(6).map(|row| row.iter().map(|w| w * w).sum()).collect();
        assert!(lengths[..2].iter().all(|&l| l > 0.0) && lengths[2..] == [0.0; 2], "{lengths:?}");
        let again = Discriminants::from_weights(6, map.weights()).unwrap();
        assert_eq!(again, map);
        assert!(Discriminants::from_weights(5, map.weights()).is_none());
        assert!(Discriminants::from_weights::<f64>(0, &[]).is_none());
    }

    #[test]
    fn what_has_no_discriminants_is_none_or_refused() {
        let fit = |x: &[f64], labels: &[u32], dim| {
            Discriminants::fit(Embeddings::new(x, 2).unwrap(), labels, dim, 1.0)
        };
        assert_eq!(fit(&[1.0, 0.0, 1.0, 0.0], &[3, 3], 1), Ok(None));
        // Both classes about one mean.
        assert_eq!(fit(&[1.0, 0.0, -1.0, 0.0, 0.0, 1.0, 0.0, -1.0], &[0, 0, 1, 1], 1), Ok(None));
        assert_eq!(fit(&[1.0, 0.0], &[0], 0), Err(ScatterError::Dim { dim: 0, inputs: 2 }));
        assert_eq!(fit(&[1.0, 0.0], &[0], 3), Err(ScatterError::Dim { dim: 3, inputs: 2 }));
    }
}
