//! How embeddings of known classes scatter, and what undoes it: what whitening and linear discriminants are made of.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use crate::Scalar;
use crate::batch::{BatchError, Embeddings};
use crate::distance::dot;

/// The scatter within classes, with shrinkage, as a Cholesky factor; and the means of the classes.
///
/// ```text
/// N S = sum over i of (x_i - m)(x_i - m)ᵀ + shrink (trace / K) I = C Cᵀ        m: mean of the class of sample i
/// ```
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scatter {
    pub(crate) dim: usize,
    /// C, `[K, K]` row after row; above the diagonal nothing is read.
    pub(crate) factor: Vec<f64>,
    /// `[classes, K]`.
    pub(crate) means: Vec<f64>,
    /// Samples of each class.
    pub(crate) sizes: Vec<f64>,
}

impl Scatter {
    /// Of embeddings `[N, K]`; `None` where every class is one point, within the rounding of the embeddings.
    pub(crate) fn fit<T: Scalar>(
        embeddings: Embeddings<'_, T>,
        labels: &[u32],
        shrink: f64,
    ) -> Result<Option<Self>, ScatterError> {
        let (count, dim) = (embeddings.count(), embeddings.dim());
        if !(shrink > 0.0 && shrink.is_finite()) {
            return Err(ScatterError::Shrink { value: shrink });
        }
        if labels.len() != count {
            return Err(ScatterError::Batch(BatchError::Labels { labels: labels.len(), count }));
        }
        let finite = |row: &[T]| row.iter().all(|value| value.is_finite());
        if let Some(row) = embeddings.rows().position(|row| !finite(row)) {
            return Err(ScatterError::Batch(BatchError::NotFinite { row }));
        }
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by_key(|&i| labels[i]);
        let mut factor = vec![0.0; dim * dim];
        let (mut means, mut sizes, mut apart) = (Vec::new(), Vec::new(), Vec::new());
        for class in order.chunk_by(|&i, &j| labels[i] == labels[j]) {
            let mut mean = vec![0.0; dim];
            for &i in class {
                mean.iter_mut().zip(embeddings.row(i)).for_each(|(sum, x)| *sum += x.to_f64());
            }
            mean.iter_mut().for_each(|sum| *sum /= class.len() as f64);
            apart.clear();
            for &i in class {
                apart.extend(embeddings.row(i).iter().zip(&mean).map(|(x, mean)| x.to_f64() - mean));
            }
            // The samples of a class one after the other on each row, which then stays near.
            for (r, row) in factor.chunks_exact_mut(dim).enumerate() {
                for apart in apart.chunks_exact(dim) {
                    let here = apart[r];
                    row[..=r].iter_mut().zip(apart).for_each(|(sum, other)| *sum += here * other);
                }
            }
            means.extend(mean);
            sizes.push(class.len() as f64);
        }
        let trace: f64 = (0..dim).map(|i| factor[i * dim + i]).sum();
        let rounding = f64::from(f32::EPSILON);
        if trace <= rounding * rounding * count as f64 {
            return Ok(None);
        }
        (0..dim).for_each(|i| factor[i * dim + i] += shrink * trace / dim as f64);
        factorize(dim, &mut factor);
        Ok(Some(Self { dim, factor, means, sizes }))
    }

    /// `C⁻¹ z` in place of each row `z` of `[count, K]`.
    ///
    /// # Panics
    /// If the numbers are not whole rows.
    pub(crate) fn solve<T: Scalar>(&self, rows: &mut [T]) {
        assert!(rows.len().is_multiple_of(self.dim), "{} numbers are not rows of {}", rows.len(), self.dim);
        let mut solved = vec![0.0; self.dim];
        for row in rows.chunks_exact_mut(self.dim) {
            for (i, value) in row.iter_mut().enumerate() {
                let of_row = &self.factor[i * self.dim..][..=i];
                solved[i] = (value.to_f64() - dot(&of_row[..i], &solved[..i])) / of_row[i];
                *value = T::from_f64(solved[i]);
            }
        }
    }
}

/// The lower triangle of a positive definite matrix becomes its Cholesky factor.
fn factorize(dim: usize, matrix: &mut [f64]) {
    for i in 0..dim {
        let (before, here) = matrix.split_at_mut(i * dim);
        for j in 0..i {
            let of_j = &before[j * dim..][..=j];
            here[j] = (here[j] - dot(&here[..j], &of_j[..j])) / of_j[j];
        }
        here[i] = Scalar::sqrt(here[i] - dot(&here[..i], &here[..i]));
    }
}

/// Why nothing was fitted.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum ScatterError {
    /// The shrinkage is no positive number.
    Shrink {
        /// What was given.
        value: f64,
    },
    /// More numbers are wanted than there are.
    Dim {
        /// Numbers wanted.
        dim: usize,
        /// Numbers in one row.
        inputs: usize,
    },
    /// The embeddings or their labels are no batch.
    Batch(BatchError),
}

impl fmt::Display for ScatterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shrink { value } => write!(f, "the shrinkage is {value}; it is a positive number"),
            Self::Dim { dim, inputs } => {
                write!(f, "{dim} discriminants are wanted of rows of {inputs} numbers")
            }
            Self::Batch(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ScatterError {}
