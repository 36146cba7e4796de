//! What operations of the seam are told: sizes of layers, settings of a step, and views of a batch or of a set.

use crate::Scalar;

/// Shape of a fully connected layer on a batch: `y [rows, outputs] = x [rows, inputs] w [inputs, outputs] + b`, and
/// `max(y, 0)` if a ReLU follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearShape {
    /// Samples in the batch.
    pub rows: usize,
    /// Numbers in one sample.
    pub inputs: usize,
    /// Numbers in one output.
    pub outputs: usize,
    /// Whether a ReLU follows.
    pub relu: bool,
}

/// Shape of a 3x3 convolution with padding 1 and stride 1: `x [batch, height, width, inputs]`,
/// `w [3, 3, inputs, outputs]`, `y [batch, height, width, outputs]`; if a 2x2 pooling follows, its output instead:
/// `y [batch, height / 2, width / 2, outputs]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvShape {
    /// Images in the batch.
    pub batch: usize,
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
    /// Whether a pooling follows, see [`Backend::max_pool`](crate::kernel::Backend::max_pool).
    pub pool: bool,
}

impl ConvShape {
    /// The pooling of its full output.
    #[must_use]
    pub const fn pooling(&self) -> PoolShape {
        let Self { batch, height, width, outputs, .. } = *self;
        PoolShape { batch, height, width, channels: outputs }
    }
}

/// Shape of a batch normalisation: `rows` samples (for images, pixels) of `channels` numbers, and a ReLU if one
/// follows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormShape<T> {
    /// Samples, or pixels of all samples.
    pub rows: usize,
    /// Channels, each normalised by itself.
    pub channels: usize,
    /// Added to the variance.
    pub epsilon: T,
    /// Whether a ReLU follows.
    pub relu: bool,
}

/// Shape of a 2x2 pooling with stride 2 (a last odd row or column is dropped), or of a mean over the whole image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolShape {
    /// Images in the batch.
    pub batch: usize,
    /// Rows of an input image.
    pub height: usize,
    /// Columns of an input image.
    pub width: usize,
    /// Channels, in and out.
    pub channels: usize,
}

/// One step of Adam with decoupled weight decay (Kingma and Ba 2015; Loshchilov and Hutter 2019).
///
/// ```text
/// m <- b1 m + (1 - b1) g          v <- b2 v + (1 - b2) g^2
/// w <- w - rate decay w - rate (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon)
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep<T> {
    /// Learning rate.
    pub rate: T,
    /// Decay of the first moment, b1.
    pub beta1: T,
    /// Decay of the second moment, b2.
    pub beta2: T,
    /// Keeps the division finite.
    pub epsilon: T,
    /// Decoupled weight decay.
    pub decay: T,
    /// Number of this step, t, from 1.
    pub step: u32,
}

/// One step of stochastic gradient descent with momentum: `u <- momentum u + g + decay w; w <- w - rate u`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdStep<T> {
    /// Learning rate.
    pub rate: T,
    /// Share of the last velocity that stays.
    pub momentum: T,
    /// L2 penalty.
    pub decay: T,
}

/// A batch in host memory, as a step sends it to a backend. Any of its arrays may be empty.
///
/// ```
/// use nearfar_core::kernel::{Backend, HostBatch, scalar::Reference};
/// // Two samples of two numbers; of a memory behind them one row of another class.
/// let (inputs, labels, parts) = (&[0.1, 0.2, 0.3, 0.4], &[7, 7, 8], &[(7, 0), (7, 1)]);
/// let mut there = None;
/// let batch = Reference.upload_batch(HostBatch { inputs, labels, anchors: 2, parts }, &mut there)?;
/// assert_eq!((&batch.inputs[..], &batch.parts[..]), (&inputs[..], &[7, 0, 7, 1][..]));
/// # Ok::<(), nearfar_core::BatchError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct HostBatch<'a, T> {
    /// What goes into the network, `[anchors, size]`.
    pub inputs: &'a [T],
    /// Class of each row that the step sees, `[count]`: of the batch, and behind it of a memory.
    pub labels: &'a [u32],
    /// Samples of the batch, N.
    pub anchors: usize,
    /// Class and image of each anchor, `[anchors]`: what their boundaries are made of.
    pub parts: &'a [(u32, u32)],
}

/// A batch where a backend keeps it: the arrays of a [`HostBatch`]. The backend may hold them as parts of one, so they
/// are there to be read.
#[derive(Clone, Debug, Default)]
pub struct Batch<B, I> {
    /// What goes into the network.
    pub inputs: B,
    /// Class of each row that the step sees.
    pub labels: I,
    /// Class and image of each anchor, one after the other: `[anchors, 2]`.
    pub parts: I,
}

/// The embeddings of a batch on a backend, with their labels and the boundary of each anchor; and behind them, if there
/// is one, the embeddings of a memory.
///
/// The first `anchors` rows are the batch: anchors and positives. The rows behind them are candidates for negatives
/// alone: they are no anchor's positive, of whatever class they are, and no gradient goes to them. Without a memory
/// `anchors == count`.
#[derive(Debug)]
pub struct BatchView<'a, B, I> {
    /// Unit embeddings, `[count, dim]`.
    pub embeddings: &'a B,
    /// Class of each embedding, `[count]`.
    pub labels: &'a I,
    /// Boundary of each anchor, `[anchors]`; read by the margin loss and by the active far cut.
    pub betas: &'a B,
    /// Samples of the batch, N.
    pub anchors: usize,
    /// Number of embeddings: the batch's and the memory's, N + M.
    pub count: usize,
    /// Numbers in one embedding, D.
    pub dim: usize,
}

impl<B, I> Clone for BatchView<'_, B, I> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<B, I> Copy for BatchView<'_, B, I> {}

/// A set of embeddings that is searched or that asks, with labels.
#[derive(Debug)]
pub struct SearchView<'a, B> {
    /// Embeddings, `[count, dim]`; any length, compared by Euclidean distance.
    pub embeddings: &'a B,
    /// Class of each embedding.
    pub labels: &'a [u32],
    /// Number of embeddings.
    pub count: usize,
}

impl<B> Clone for SearchView<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<B> Copy for SearchView<'_, B> {}

/// A candidate of a search and its squared distance from the query.
///
/// ```
/// use nearfar_core::kernel::{Backend, Neighbour, scalar::Reference};
/// let nearest = Reference.neighbours(1, 1, &[0.5_f32, 2.0], Some(&[-1.0, 1.0]))?;
/// assert_eq!(nearest, [0.25, 1.0].map(|squared| Neighbour { index: 1, squared }));
/// # Ok::<(), nearfar_core::BatchError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Neighbour {
    /// Index among the candidates.
    pub index: u32,
    /// Squared Euclidean distance, in double precision.
    pub squared: f64,
}

/// What the negatives of a batch look like; the mean of cos² gives the effective dimension, and the moments of the
/// distance the maximum-likelihood one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NegativeMoments {
    /// Ordered (anchor, negative) pairs.
    pub pairs: u64,
    /// Sum of cos² over them.
    pub cos_squared: f64,
    /// Sum of `ln(1 - cos²)` over them, each at least `ln(1e-12)`.
    pub ln_one_minus_cos_squared: f64,
}

impl NegativeMoments {
    /// Adds one pair.
    pub fn add(&mut self, cos: f64) {
        let squared = Scalar::min(cos * cos, 1.0);
        self.pairs += 1;
        self.cos_squared += squared;
        self.ln_one_minus_cos_squared += Scalar::ln(Scalar::max(1.0 - squared, 1e-12));
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            pairs: self.pairs + other.pairs,
            cos_squared: self.cos_squared + other.cos_squared,
            ln_one_minus_cos_squared: self.ln_one_minus_cos_squared + other.ln_one_minus_cos_squared,
        }
    }

    /// `1 / mean(cos²)`, see [`effective_dimension`](crate::effective_dimension); NaN without a pair.
    #[must_use]
    pub fn effective_dimension(&self) -> f64 {
        crate::effective_dimension(self.cos_squared / self.pairs as f64)
    }

    /// The maximum-likelihood dimension, see [`fitted_dimension`](crate::fitted_dimension); NaN without a pair.
    #[must_use]
    pub fn fitted_dimension(&self) -> f64 {
        crate::fitted_dimension(self.ln_one_minus_cos_squared / self.pairs as f64)
    }
}
