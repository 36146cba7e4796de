//! Boundaries that learn, on a backend: their parameters and velocities stay there between steps.

use crate::Scalar;
use crate::boundary::{Boundary, BoundaryFit, BoundaryShape, BoundaryStep};
use crate::kernel::Backend;

/// The parameters of a [`Boundary`] on a backend, with the boundaries of a batch that are made of them.
///
/// A step asks for the boundary of each anchor ([`of`](Self::of)), evaluates its loss with them, and moves them against
/// their gradient ([`step`](Self::step)) or to their exact minimum ([`fit`](Self::fit)); all by the rules of [`Boundary`]. Only classes and images of the anchors come
/// from the host. What it is made of and what it becomes can be looked at by [`download`](Self::download).
///
/// ```
/// use nearfar_core::kernel::{Backend, HostBatch, scalar::Reference};
/// use nearfar_core::{Boundary, BoundaryStep, LearnedBoundary};
/// let mut learned = LearnedBoundary::new(&Reference, &Boundary::new(1.0_f64, 3, 0), 2)?;
/// // Two anchors, (class, image) of each: classes 1 and 2.
/// let parts = &[(1, 0), (2, 1)];
/// let host: HostBatch<'_, f64> = HostBatch { anchors: 2, parts, ..HostBatch::default() };
/// let mut there = None;
/// let parts = &Reference.upload_batch(host, &mut there)?.parts;
/// assert_eq!(learned.of(parts, 2)?, &[1.0, 1.0]);
/// let step = BoundaryStep { rate: 0.5, momentum: 0.0, nu: 0.0 };
/// learned.step(parts, &vec![1.0, -0.5], 2, step)?;
/// // beta0 has both gradients, each class its own: 1 - 0.5 (1 - 0.5), 0 - 0.5 x 1, 0 + 0.5 x 0.5.
/// let after = learned.download()?;
/// assert_eq!((after.base(), after.classes()), (0.75, &[0.0, -0.5, 0.25][..]));
/// # Ok::<(), nearfar_core::BatchError>(())
/// ```
pub struct LearnedBoundary<'a, T: Scalar, B: Backend<T>> {
    backend: &'a B,
    shape: BoundaryShape,
    /// Parameters, then velocities.
    state: B::Buffer,
    /// Of the last batch.
    betas: B::Buffer,
}

impl<'a, T: Scalar, B: Backend<T>> LearnedBoundary<'a, T, B> {
    /// Brings `boundary` there, for batches of at most `batch` anchors.
    pub fn new(backend: &'a B, boundary: &Boundary<T>, batch: usize) -> Result<Self, B::Error> {
        let (state, shape) = (boundary.state(), boundary.shape());
        let mut there = backend.zeros(state.len())?;
        backend.upload(&state, &mut there)?;
        Ok(Self { backend, shape, state: there, betas: backend.zeros(batch)? })
    }

    /// Boundary of each of `anchors` samples, whose classes and images are `parts`.
    pub fn of(&mut self, parts: &B::Indices, anchors: usize) -> Result<&B::Buffer, B::Error> {
        self.backend.boundaries(self.shape, anchors, parts, &self.state, &mut self.betas)?;
        Ok(&self.betas)
    }

    /// What [`of`](Self::of) gave last.
    #[must_use]
    pub fn betas(&self) -> &B::Buffer {
        &self.betas
    }

    /// One step against `dbetas`, the gradients to the boundaries of the anchors. Returns the penalty before it, `nu`
    /// times the sum of all parameters.
    pub fn step(
        &mut self,
        parts: &B::Indices,
        dbetas: &B::Buffer,
        anchors: usize,
        step: BoundaryStep<T>,
    ) -> Result<T, B::Error> {
        self.backend.boundary_step(self.shape, step, anchors, parts, dbetas, &mut self.state)
    }

    /// Moves them towards the exact minimum of the margin loss of `draws` among the `count` `embeddings` `[count, dim]`, see
    /// [`Boundary::minimize`].
    pub fn fit(
        &mut self,
        parts: &B::Indices,
        anchors: usize,
        count: usize,
        dim: usize,
        embeddings: &B::Buffer,
        draws: &B::Draws,
        fit: BoundaryFit<T>,
    ) -> Result<(), B::Error> {
        let (shape, state) = (self.shape, &mut self.state);
        self.backend.boundary_fit(shape, fit, anchors, parts, count, dim, embeddings, draws, state)
    }

    /// The boundary as it stands.
    pub fn download(&self) -> Result<Boundary<T>, B::Error> {
        let mut boundary = Boundary::of_shape(T::ZERO, self.shape);
        let mut state = boundary.state();
        self.backend.download(&self.state, &mut state)?;
        let fits = boundary.restore(&state);
        debug_assert!(fits, "a state of this shape");
        Ok(boundary)
    }

    /// Sets what [`Boundary::state`] gave; false if the size is another.
    pub fn restore(&mut self, state: &[T]) -> Result<bool, B::Error> {
        let fits = state.len() == 2 * self.shape.count();
        if fits {
            self.backend.upload(state, &mut self.state)?;
        }
        Ok(fits)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::kernel::HostBatch;
    use crate::kernel::scalar::Reference;
    use crate::rng::{Key, Stream};

    #[test]
    fn steps_on_a_backend_are_those_of_the_host_and_can_be_taken_up() {
        let (mut host, mut there) = (Boundary::new(1.2_f32, 3, 7), None);
        let mut learned = LearnedBoundary::new(&Reference, &host, 9).unwrap();
        let step = BoundaryStep { rate: 0.1, momentum: 0.9, nu: 0.03 };
        for k in 0..5 {
            let key = Key::new(8, Stream::Init, k);
            let anchors = 9 - k as usize;
            let parts: Vec<_> =
                (0..anchors as u32).map(|i| (key.below(i, 0, 3) as u32, key.below(i, 1, 7) as u32)).collect();
            let dbetas: Vec<_> = (0..anchors as u32).map(|i| key.uniform(i, 2) as f32 - 0.5).collect();
            let sent: HostBatch<'_, f32> = HostBatch { anchors, parts: &parts, ..HostBatch::default() };
            let sent = &Reference.upload_batch(sent, &mut there).unwrap().parts;
            let mut betas = Vec::new();
            host.of(&parts, &mut betas);
            assert_eq!(learned.of(sent, anchors).unwrap()[..anchors], betas);
            let penalty = learned.step(sent, &dbetas, anchors, step).unwrap();
            assert_eq!(penalty, host.penalty(step.nu));
            host.step(&parts, &dbetas, step);
            assert_eq!(learned.download().unwrap(), host);
            let mut other = LearnedBoundary::new(&Reference, &Boundary::new(0.0, 3, 7), 9).unwrap();
            assert!(other.restore(&host.state()).unwrap() && !other.restore(&[0.0; 21]).unwrap());
            learned = other;
        }
    }
}
