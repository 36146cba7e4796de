//! The boundaries of a run: where they are kept, what a step takes of them, and how it moves them.

use anyhow::{Result, bail};
use nearfar_core::kernel::{Backend, Batch};
use nearfar_core::{Boundary, BoundaryStep, LearnedBoundary, Penalty};

use crate::config::{BoundaryConfig, BoundaryMode};

/// Those that follow their gradient are the backend's, with their optimiser. Those that are fixed, or fitted to the
/// pairs of a batch by a sort, are the host's.
pub(crate) enum Boundaries<'a, B: Backend<f32>> {
    /// On the host.
    Here(Boundary<f32>),
    /// On the backend.
    There(LearnedBoundary<'a, f32, B>),
}

impl<'a, B: Backend<f32>> Boundaries<'a, B> {
    /// All at `config.start`, for batches of at most `batch` samples.
    pub(crate) fn new(
        backend: &'a B,
        config: &BoundaryConfig,
        [classes, images]: [usize; 2],
        batch: usize,
    ) -> Result<Self> {
        let classes = if config.per_class { classes } else { 0 };
        let images = if config.per_image { images } else { 0 };
        let boundary = Boundary::new(config.start as f32, classes, images);
        Ok(match config.mode {
            BoundaryMode::Gradient => Self::There(LearnedBoundary::new(backend, &boundary, batch)?),
            BoundaryMode::Fixed | BoundaryMode::Exact => Self::Here(boundary),
        })
    }

    /// What the backend must be sent of the anchors of a batch, (class, image) of each: their boundaries, which are put
    /// into `betas`, or their parts.
    pub(crate) fn sent<'t>(
        &self,
        anchors: &'t [(u32, u32)],
        betas: &'t mut Vec<f32>,
    ) -> (&'t [f32], &'t [(u32, u32)]) {
        match self {
            Self::Here(boundary) => {
                boundary.of(anchors, betas);
                (betas, &[])
            }
            Self::There(_) => (&[], anchors),
        }
    }

    /// The boundary of each anchor of a batch that was sent.
    pub(crate) fn of<'t>(
        &'t mut self,
        batch: &'t Batch<B::Buffer, B::Indices>,
        anchors: usize,
    ) -> Result<&'t B::Buffer> {
        Ok(match self {
            Self::Here(_) => &batch.betas,
            Self::There(learned) => learned.of(&batch.parts, anchors)?,
        })
    }

    /// The boundary of each anchor of the last batch, on the host; `betas` are those that were sent.
    pub(crate) fn last(&self, backend: &B, anchors: usize, betas: &[f32]) -> Result<Vec<f32>> {
        Ok(match self {
            Self::Here(_) => betas.to_vec(),
            Self::There(learned) => {
                let mut host = vec![0.0; anchors];
                backend.download(learned.betas(), &mut host)?;
                host
            }
        })
    }

    /// Moves those that follow their gradient, which is `dbetas`. Returns the penalty before it, whatever moves.
    pub(crate) fn step(
        &mut self,
        batch: &Batch<B::Buffer, B::Indices>,
        dbetas: &B::Buffer,
        anchors: usize,
        step: BoundaryStep<f32>,
    ) -> Result<f32> {
        Ok(match self {
            Self::Here(boundary) => boundary.penalty(step.nu),
            Self::There(learned) => learned.step(&batch.parts, dbetas, anchors, step)?,
        })
    }

    /// Moves those that the host keeps to the best of `pairs`, see [`Boundary::minimize`].
    pub(crate) fn minimize(
        &mut self,
        anchors: &[(u32, u32)],
        pairs: &[(u32, f32, bool)],
        alpha: f32,
        penalty: Penalty<f32>,
        rate: f32,
    ) {
        if let Self::Here(boundary) = self {
            boundary.minimize(anchors, pairs, alpha, penalty, rate);
        }
    }

    /// The boundary as it stands.
    pub(crate) fn boundary(&self) -> Result<Boundary<f32>> {
        Ok(match self {
            Self::Here(boundary) => boundary.clone(),
            Self::There(learned) => learned.download()?,
        })
    }

    /// Sets what [`Boundary::state`] gave.
    pub(crate) fn restore(&mut self, state: &[f32]) -> Result<()> {
        let fits = match self {
            Self::Here(boundary) => boundary.restore(state),
            Self::There(learned) => learned.restore(state)?,
        };
        if !fits {
            bail!("the state's boundary is of another size than this run's");
        }
        Ok(())
    }
}
