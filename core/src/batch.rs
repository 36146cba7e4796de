//! Shapes: a batch of unit embeddings with labels, and the index types that samplers hand to losses. Checked once,
//! here; everything downstream trusts them.

use core::fmt;

use nalgebra::{DMatrixView, Dyn};

use crate::Scalar;

/// How far the length of an embedding may be from 1: rows given from outside are rarely normalised to the last bit.
pub const UNIT_TOLERANCE: f64 = 1e-3;

/// `count` embeddings of `dim` numbers each, one after another: row-major `[N, D]`, which is byte for byte a
/// column-major `D x N` matrix with one embedding a column.
///
/// ```
/// use nearfar_core::Embeddings;
/// let e = Embeddings::new(&[1.0_f32, 0.0, 0.0, 1.0], 2)?;
/// assert_eq!((e.count(), e.dim()), (2, 2));
/// assert_eq!(e.row(1), [0.0, 1.0]);
/// assert_eq!(e.as_matrix()[(1, 1)], 1.0); // component 1 of embedding 1
/// # Ok::<(), nearfar_core::BatchError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Embeddings<'a, T> {
    data: &'a [T],
    dim: usize,
}

impl<'a, T: Scalar> Embeddings<'a, T> {
    /// A view of `data`, whose length must be a multiple of `dim >= 1`. Values are not looked at.
    pub fn new(data: &'a [T], dim: usize) -> Result<Self, BatchError> {
        if dim == 0 || !data.len().is_multiple_of(dim) {
            return Err(BatchError::Shape { len: data.len(), dim });
        }
        Ok(Self { data, dim })
    }

    /// As [`new`](Self::new), and every row must be finite and of length 1 within [`UNIT_TOLERANCE`].
    pub fn unit(data: &'a [T], dim: usize) -> Result<Self, BatchError> {
        let view = Self::new(data, dim)?;
        for (row, x) in view.rows().enumerate() {
            let norm = Scalar::sqrt(x.iter().map(|v| v.to_f64() * v.to_f64()).sum::<f64>());
            if !norm.is_finite() {
                return Err(BatchError::NotFinite { row });
            }
            if !(Scalar::abs(norm - 1.0) <= UNIT_TOLERANCE) {
                return Err(BatchError::NotUnit { row, norm });
            }
        }
        Ok(view)
    }

    /// Number of embeddings, N.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.data.len() / self.dim
    }

    /// Numbers in one embedding, D.
    #[must_use]
    pub const fn dim(&self) -> usize {
        self.dim
    }

    /// One embedding.
    #[must_use]
    pub fn row(&self, index: usize) -> &'a [T] {
        &self.data[index * self.dim..][..self.dim]
    }

    /// All embeddings in order.
    pub fn rows(&self) -> core::slice::ChunksExact<'a, T> {
        self.data.chunks_exact(self.dim)
    }

    /// All numbers, row after row.
    #[must_use]
    pub const fn as_slice(&self) -> &'a [T] {
        self.data
    }

    /// The same memory as a `D x N` nalgebra matrix: one embedding a column.
    #[must_use]
    pub fn as_matrix(&self) -> DMatrixView<'a, T> {
        DMatrixView::from_slice_generic(self.data, Dyn(self.dim), Dyn(self.count()))
    }

    /// The columns of a nalgebra matrix as embeddings; it shares their memory.
    #[cfg(feature = "alloc")]
    pub fn from_matrix(matrix: &'a nalgebra::DMatrix<T>) -> Result<Self, BatchError> {
        Self::new(matrix.as_slice(), matrix.nrows())
    }
}

/// An anchor, a sample of its class, and a sample of another class: indices into the batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Triplet {
    /// The sample in question.
    pub anchor: u32,
    /// Another sample of the same class.
    pub positive: u32,
    /// A sample of another class.
    pub negative: u32,
}

/// Why a batch was refused.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum BatchError {
    /// `len` numbers cannot be rows of `dim`.
    Shape {
        /// Count of numbers given.
        len: usize,
        /// Numbers asked for in a row.
        dim: usize,
    },
    /// A row holds NaN or infinity.
    NotFinite {
        /// Index of the first such row.
        row: usize,
    },
    /// A row that must be normalised is all zero.
    ZeroRow {
        /// Index of the first such row.
        row: usize,
    },
    /// A row that must have unit length has another.
    NotUnit {
        /// Index of the first such row.
        row: usize,
        /// Its length.
        norm: f64,
    },
    /// Label count and embedding count differ.
    Labels {
        /// Count of labels.
        labels: usize,
        /// Count of embeddings.
        count: usize,
    },
    /// Count of boundaries and embedding count differ.
    Betas {
        /// Count of boundaries.
        betas: usize,
        /// Count of embeddings.
        count: usize,
    },
    /// The boundary of an anchor is NaN or infinite.
    Beta {
        /// Index of the first such anchor.
        row: usize,
        /// Its boundary.
        value: f64,
    },
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Shape { len, dim } => write!(f, "{len} numbers are not whole rows of {dim}"),
            Self::NotFinite { row } => write!(f, "row {row} holds NaN or infinity"),
            Self::ZeroRow { row } => write!(f, "row {row} is all zero and has no direction"),
            Self::NotUnit { row, norm } => write!(f, "row {row} has length {norm:.6}, not 1"),
            Self::Labels { labels, count } => write!(f, "{labels} labels for {count} embeddings"),
            Self::Betas { betas, count } => write!(f, "{betas} boundaries for {count} embeddings"),
            Self::Beta { row, value } => write!(f, "row {row} has the boundary {value}"),
        }
    }
}

impl core::error::Error for BatchError {}

/// One anchor and its distances to the whole batch, and to what a memory holds behind it.
///
/// ```
/// use nearfar_core::Row;
/// // Three samples of a batch, and two remembered ones: they are negatives or nothing.
/// let row = Row { anchor: 0, anchors: 3, labels: &[7, 7, 8, 7, 9], distances: &[0.0; 5], beta: 1.2 };
/// assert!(row.positives().eq([1]));
/// assert!(row.negatives().eq([2, 4]));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Row<'a, T> {
    /// Index of the anchor.
    pub anchor: usize,
    /// Samples of the batch, the first so many: anchors and positives are among them. Those behind are remembered from
    /// earlier batches.
    pub anchors: usize,
    /// Class of each sample.
    pub labels: &'a [u32],
    /// Distance from the anchor to each sample; its own entry is not read.
    pub distances: &'a [T],
    /// Boundary of the anchor, for the active far cut.
    pub beta: T,
}

impl<T> Row<'_, T> {
    /// Other samples of the anchor's class in the batch, in order.
    pub fn positives(&self) -> impl Iterator<Item = usize> + Clone + '_ {
        let (anchor, label) = (self.anchor, self.labels[self.anchor]);
        self.labels[..self.anchors]
            .iter()
            .enumerate()
            .filter(move |&(j, &other)| other == label && j != anchor)
            .map(|(j, _)| j)
    }

    /// Samples of other classes, in order, those of the memory last.
    pub fn negatives(&self) -> impl Iterator<Item = usize> + Clone + '_ {
        let label = self.labels[self.anchor];
        self.labels.iter().enumerate().filter(move |&(_, &other)| other != label).map(|(j, _)| j)
    }
}
