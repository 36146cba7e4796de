//! The seam: every batched operation that a backend implements, from memory to the loss.
//!
//! [`Backend`] is the one trait between the algorithms and the hardware. Its buffers may live on a device: nothing
//! above this line reads an element of one except through [`Backend::download`]. The operations are those of the
//! training step, whole layers and whole passes rather than single products, so that a backend may fuse and stream
//! as it likes. [`Scalar`](scalar::Reference) is the oracle: plain loops in the order of the formula.
//!
//! Buffers may be longer than an operation needs (a smaller last batch); the shapes say what is used.

mod host;
mod places;
mod rows;
pub mod scalar;
mod shapes;

#[cfg(feature = "std")]
pub mod fast;

use alloc::vec::Vec;

use crate::Scalar;
use crate::batch::BatchError;
use crate::boundary::{BoundaryFit, BoundaryShape, BoundaryStep};
use crate::loss::{LossReport, Objective};
use crate::rng::Key;
use crate::sample::{Draw, DrawReport};

pub use places::MatchRanks;
pub(crate) use rows::squared_distance_double;
pub use shapes::{
    AdamStep, Batch, BatchView, ConvShape, HostBatch, LinearShape, NegativeMoments, Neighbour, NormShape,
    PoolShape, SearchView, SgdStep,
};

/// The batched operations of training and evaluation.
///
/// Implemented by [`scalar::Reference`] (the oracle) and [`fast::Fast`] (SIMD products and threads). Shapes are
/// checked by the layers that call; an operation may panic on a buffer that is too short, as slices do.
pub trait Backend<T: Scalar> {
    /// Numbers, where this backend keeps them.
    type Buffer: Send;
    /// Small unsigned integers, where this backend keeps them.
    type Indices: Send;
    /// Drawn negatives, where this backend keeps them.
    type Draws: Default + Send;
    /// What can go wrong here; bad rows of a batch among it.
    type Error: core::error::Error + From<BatchError> + Send + Sync + 'static;

    /// Short name for reports: `scalar`, `fast`, `cuda:0`.
    fn name(&self) -> &str;

    // ---- memory

    /// A buffer of `len` zeros.
    fn zeros(&self, len: usize) -> Result<Self::Buffer, Self::Error>;
    /// Copies `host` to the start of `buffer`.
    fn upload(&self, host: &[T], buffer: &mut Self::Buffer) -> Result<(), Self::Error>;
    /// Copies the start of `buffer` to `host`.
    fn download(&self, buffer: &Self::Buffer, host: &mut [T]) -> Result<(), Self::Error>;
    /// Copies `len` numbers of `from`, those from `from_at` on, to the place `to_at` of `to`.
    fn copy(
        &self,
        from: &Self::Buffer,
        from_at: usize,
        to: &mut Self::Buffer,
        to_at: usize,
        len: usize,
    ) -> Result<(), Self::Error>;
    /// Indices with the values of `host`.
    fn indices(&self, host: &[u32]) -> Result<Self::Indices, Self::Error>;
    /// Brings all that a step needs of its batch to `there`, in one copy where the backend has memory of its own. What
    /// `there` held is over, and its memory is used again.
    fn upload_batch<'t>(
        &self,
        batch: HostBatch<'_, T>,
        there: &'t mut Option<Batch<Self::Buffer, Self::Indices>>,
    ) -> Result<&'t Batch<Self::Buffer, Self::Indices>, Self::Error>;

    // ---- layers: forward, and backward to inputs and parameters. Gradients are written, not added.

    /// `y = x w + b`, and the ReLU.
    fn linear(
        &self,
        shape: LinearShape,
        x: &Self::Buffer,
        w: &Self::Buffer,
        b: &Self::Buffer,
        y: &mut Self::Buffer,
    ) -> Result<(), Self::Error>;
    /// `dw = xᵀ dy`, `db = column sums of dy`, and `dx = dy wᵀ` where asked for. With a ReLU, `dy` is first set to 0
    /// where `y` is not positive; it is the caller's no more.
    fn linear_backward(
        &self,
        shape: LinearShape,
        x: &Self::Buffer,
        w: &Self::Buffer,
        y: &Self::Buffer,
        dy: &mut Self::Buffer,
        dw: &mut Self::Buffer,
        db: &mut Self::Buffer,
        dx: Option<&mut Self::Buffer>,
    ) -> Result<(), Self::Error>;

    /// 3x3 convolution, no bias (a norm follows it), and the pooling. With a pooling, `picks` receives for each number
    /// of `y` which pixel of its window it was, 0 to 3 in reading order: the first largest.
    fn conv(
        &self,
        shape: ConvShape,
        x: &Self::Buffer,
        w: &Self::Buffer,
        y: &mut Self::Buffer,
        picks: &mut Self::Indices,
    ) -> Result<(), Self::Error>;
    /// Gradients of [`conv`](Self::conv).
    fn conv_backward(
        &self,
        shape: ConvShape,
        x: &Self::Buffer,
        w: &Self::Buffer,
        dy: &Self::Buffer,
        picks: &Self::Indices,
        dw: &mut Self::Buffer,
        dx: Option<&mut Self::Buffer>,
    ) -> Result<(), Self::Error>;

    /// Batch normalisation by the statistics of this batch: `y = scale (x - mean) / sqrt(var + epsilon) + shift`.
    ///
    /// The ReLU follows. `affine` is `[scale; shift]` (2 channels), `saved` receives `[mean; 1/sqrt(var + epsilon)]`, and `running`
    /// `[mean; var]` moves towards this batch's by `momentum` (unbiased variance).
    fn norm(
        &self,
        shape: NormShape<T>,
        x: &Self::Buffer,
        affine: &Self::Buffer,
        saved: &mut Self::Buffer,
        running: &mut Self::Buffer,
        momentum: T,
        y: &mut Self::Buffer,
    ) -> Result<(), Self::Error>;
    /// Batch normalisation by the running statistics, and the ReLU.
    fn norm_infer(
        &self,
        shape: NormShape<T>,
        x: &Self::Buffer,
        affine: &Self::Buffer,
        running: &Self::Buffer,
        y: &mut Self::Buffer,
    ) -> Result<(), Self::Error>;
    /// Gradients of [`norm`](Self::norm) with its ReLU, which was active where the output, computed anew, is positive;
    /// `daffine` is `[dscale; dshift]`.
    fn norm_backward(
        &self,
        shape: NormShape<T>,
        x: &Self::Buffer,
        affine: &Self::Buffer,
        saved: &Self::Buffer,
        dy: &Self::Buffer,
        daffine: &mut Self::Buffer,
        dx: &mut Self::Buffer,
    ) -> Result<(), Self::Error>;

    /// `y = max(x, 0)` on the first `len` numbers.
    fn relu(&self, len: usize, x: &Self::Buffer, y: &mut Self::Buffer) -> Result<(), Self::Error>;
    /// `dx = dy` where `y > 0`, else 0: the gradient at the kink is that of the inactive side.
    fn relu_backward(
        &self,
        len: usize,
        y: &Self::Buffer,
        dy: &Self::Buffer,
        dx: &mut Self::Buffer,
    ) -> Result<(), Self::Error>;

    /// Largest of each 2x2 window.
    fn max_pool(&self, shape: PoolShape, x: &Self::Buffer, y: &mut Self::Buffer) -> Result<(), Self::Error>;
    /// The gradient goes to the first largest of each window, in reading order.
    fn max_pool_backward(
        &self,
        shape: PoolShape,
        x: &Self::Buffer,
        dy: &Self::Buffer,
        dx: &mut Self::Buffer,
    ) -> Result<(), Self::Error>;
    /// Mean over all pixels of each channel.
    fn mean_pool(&self, shape: PoolShape, x: &Self::Buffer, y: &mut Self::Buffer) -> Result<(), Self::Error>;
    /// Spreads the gradient evenly over the pixels.
    fn mean_pool_backward(
        &self,
        shape: PoolShape,
        dy: &Self::Buffer,
        dx: &mut Self::Buffer,
    ) -> Result<(), Self::Error>;

    /// `x = z / |z|` for each of `count` rows; a zero or non-finite row is an error that names it.
    fn normalize(
        &self,
        count: usize,
        dim: usize,
        z: &Self::Buffer,
        x: &mut Self::Buffer,
    ) -> Result<(), Self::Error>;
    /// `dz = (I - x xᵀ) dx / |z|`.
    fn normalize_backward(
        &self,
        count: usize,
        dim: usize,
        z: &Self::Buffer,
        x: &Self::Buffer,
        dx: &Self::Buffer,
        dz: &mut Self::Buffer,
    ) -> Result<(), Self::Error>;

    // ---- optimisers, on the first `len` numbers

    /// One step of Adam; `m` and `v` are its moments.
    fn adam(
        &self,
        step: AdamStep<T>,
        len: usize,
        w: &mut Self::Buffer,
        g: &Self::Buffer,
        m: &mut Self::Buffer,
        v: &mut Self::Buffer,
    ) -> Result<(), Self::Error>;
    /// One step of gradient descent; `u` is the velocity.
    fn sgd(
        &self,
        step: SgdStep<T>,
        len: usize,
        w: &mut Self::Buffer,
        g: &Self::Buffer,
        u: &mut Self::Buffer,
    ) -> Result<(), Self::Error>;

    // ---- metric learning

    /// Moments of the cosines of all (anchor, negative) pairs.
    fn negative_moments(
        &self,
        batch: BatchView<'_, Self::Buffer, Self::Indices>,
    ) -> Result<NegativeMoments, Self::Error>;

    /// Draws one negative for each (anchor, positive) pair, anchors in order, positives in order; and a sample of a third
    /// class, if the loss takes one.
    ///
    /// Samplers that draw nothing (expected, all) leave `draws` empty and still report.
    fn draw(
        &self,
        batch: BatchView<'_, Self::Buffer, Self::Indices>,
        objective: &Objective<T>,
        key: Key,
        draws: &mut Self::Draws,
    ) -> Result<DrawReport, Self::Error>;

    /// Value of the objective on the batch, `dx` its gradient to the embeddings of the batch `[anchors, dim]` (not
    /// through the normalisation) and `dbetas` to the boundary of each anchor `[anchors]`. What a memory holds is
    /// constant.
    fn loss(
        &self,
        batch: BatchView<'_, Self::Buffer, Self::Indices>,
        objective: &Objective<T>,
        draws: &Self::Draws,
        dx: &mut Self::Buffer,
        dbetas: &mut Self::Buffer,
    ) -> Result<LossReport, Self::Error>;

    /// Boundary of each of `anchors` samples: beta0 and the parts of its class and of its image, which are `parts`.
    /// `state` holds the parameters and behind them their velocities, `[2, parameters]`.
    fn boundaries(
        &self,
        shape: BoundaryShape,
        anchors: usize,
        parts: &Self::Indices,
        state: &Self::Buffer,
        betas: &mut Self::Buffer,
    ) -> Result<(), Self::Error>;
    /// One step of the parameters against the gradients to the boundaries of the anchors, as
    /// [`Boundary::step`](crate::Boundary::step): summed over the anchors that share a part, in their order. Returns the
    /// penalty before it, `nu` times the sum of all parameters.
    fn boundary_step(
        &self,
        shape: BoundaryShape,
        step: BoundaryStep<T>,
        anchors: usize,
        parts: &Self::Indices,
        dbetas: &Self::Buffer,
        state: &mut Self::Buffer,
    ) -> Result<T, Self::Error>;

    /// Moves the parameters to, or towards, the exact minimum of the margin loss of the drawn tuples, as
    /// [`Boundary::minimize`](crate::Boundary::minimize): the pairs are those of each anchor with its positive and with its
    /// negative, their distances are from the differences. `embeddings` are `[count, dim]`.
    fn boundary_fit(
        &self,
        shape: BoundaryShape,
        fit: BoundaryFit<T>,
        anchors: usize,
        parts: &Self::Indices,
        count: usize,
        dim: usize,
        embeddings: &Self::Buffer,
        draws: &Self::Draws,
        state: &mut Self::Buffer,
    ) -> Result<(), Self::Error>;

    /// The drawn tuples, for reports and files.
    fn download_draws(&self, draws: &Self::Draws) -> Result<Vec<Draw<T>>, Self::Error>;
    /// Tuples that were chosen elsewhere.
    fn upload_draws(&self, draws: &[Draw<T>]) -> Result<Self::Draws, Self::Error>;

    // ---- evaluation

    /// Ranks of the matches of each query among the candidates; without `candidates` each query is searched among
    /// the other queries, itself left out by index. No array of queries x candidates is kept.
    ///
    /// Places beyond `depth` and beyond the number of matches of a query are left out: the larger of the two is where
    /// Recall@`depth`, R-precision and MAP@R end.
    fn match_ranks(
        &self,
        dim: usize,
        depth: usize,
        queries: SearchView<'_, Self::Buffer>,
        candidates: Option<SearchView<'_, Self::Buffer>>,
    ) -> Result<MatchRanks, Self::Error>;

    /// The `k` nearest candidates of each query, nearest first, ties by lower index; as
    /// [`match_ranks`](Self::match_ranks) without `candidates`.
    fn nearest(
        &self,
        dim: usize,
        k: usize,
        queries: SearchView<'_, Self::Buffer>,
        candidates: Option<SearchView<'_, Self::Buffer>>,
    ) -> Result<Vec<u32>, Self::Error>;

    /// The candidates nearest to each query with their squared distances from the differences, in double precision:
    /// `[queries][k]` in no order, `k` at most the number of candidates; as [`match_ranks`](Self::match_ranks) without
    /// `candidates`.
    ///
    /// A backend may choose by its own precision: a candidate left out may be nearer than one listed by what that rounds
    /// off. Rows are in host memory: the distances are looked at there, each too rarely to be worth a way to a device.
    fn neighbours(
        &self,
        dim: usize,
        k: usize,
        queries: &[T],
        candidates: Option<&[T]>,
    ) -> Result<Vec<Neighbour>, Self::Error> {
        let upload = |rows: &[T]| -> Result<Self::Buffer, Self::Error> {
            let mut buffer = self.zeros(rows.len())?;
            self.upload(rows, &mut buffer)?;
            Ok(buffer)
        };
        let (count, total) = (queries.len() / dim, candidates.map_or(0, |rows| rows.len() / dim));
        let labels = alloc::vec![0; count.max(total)];
        let asked = upload(queries)?;
        let among = candidates.map(upload).transpose()?;
        let view = SearchView { embeddings: &asked, labels: &labels[..count], count };
        let among = among.as_ref().map(|rows| SearchView {
            embeddings: rows,
            labels: &labels[..total],
            count: total,
        });
        let lists = self.nearest(dim, k, view, among)?;
        Ok(rows::measured(dim, queries, candidates.unwrap_or(queries), &lists))
    }
}
