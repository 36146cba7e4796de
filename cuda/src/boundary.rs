//! Boundaries that learn, by their gradient or to their exact minimum: their parameters live on the device.

use nearfar_core::{BoundaryFit, BoundaryShape, BoundaryStep, Penalty};

use crate::device::Cuda;
use crate::draw::Draws;
use crate::error::Error;
use crate::launch::Grid;
use crate::memory::{Buffer, Indices, count};
use crate::tuples::reduction_code;

impl Cuda {
    /// Boundary of each of `anchors` samples, whose classes and images are `parts`; `state` holds the parameters and
    /// behind them their velocities. A class or image beyond the shape gives NaN.
    pub fn boundaries(
        &self,
        shape: BoundaryShape,
        anchors: usize,
        parts: &Indices,
        state: &Buffer,
        betas: &mut Buffer,
    ) -> Result<(), Error> {
        let n = count(anchors)?;
        self.launch(
            "boundaries",
            Grid::points(n),
            [
                parts.read(2 * anchors).into(),
                state.read(shape.count()).into(),
                betas.write(anchors).into(),
                n.into(),
                count(shape.classes)?.into(),
                count(shape.images)?.into(),
            ],
        )
    }

    /// One step of the parameters against the gradients to the boundaries of the anchors. Returns the penalty before it,
    /// `nu` times the sum of all parameters, for which it waits where there is one.
    pub fn boundary_step(
        &self,
        shape: BoundaryShape,
        step: BoundaryStep<f32>,
        anchors: usize,
        parts: &Indices,
        dbetas: &Buffer,
        state: &mut Buffer,
    ) -> Result<f32, Error> {
        let (n, len) = (count(anchors)?, shape.count());
        // Formed before the parameters move, and fetched after that was queued: one wait for both.
        let mut scratch = self.scratch();
        let (_, mut sum) = scratch.both(self, 0, 1)?;
        if step.nu != 0.0 {
            let args = [state.read(len).into(), sum.slice_mut(..).into(), count(len)?.into()];
            self.launch("boundary_sum", Grid::points(1), args)?;
        }
        let Grid { blocks: (blocks, ..), threads } = Grid::points(n);
        self.launch(
            "boundary_step",
            // A row of blocks for each kind of part.
            Grid { blocks: (blocks, 3, 1), threads },
            [
                parts.read(2 * anchors).into(),
                dbetas.read(anchors).into(),
                state.write(2 * len).into(),
                n.into(),
                count(shape.classes)?.into(),
                count(shape.images)?.into(),
                step.rate.into(),
                step.momentum.into(),
                step.nu.into(),
            ],
        )?;
        let mut host = [0.0];
        if step.nu != 0.0 {
            self.fetch(&sum.as_view(), &mut host)?;
        }
        Ok(step.nu * host[0] as f32)
    }

    /// Moves the parameters to, or towards, the exact minimum of the margin loss of the drawn tuples, see
    /// [`Boundary::minimize`](nearfar_core::Boundary::minimize); nothing is waited for. `embeddings` are `[rows, dim]`.
    pub fn boundary_fit(
        &self,
        shape: BoundaryShape,
        fit: BoundaryFit<f32>,
        anchors: usize,
        parts: &Indices,
        rows: usize,
        dim: usize,
        embeddings: &Buffer,
        draws: &Draws,
        state: &mut Buffer,
    ) -> Result<(), Error> {
        let (Some(tuples), len) = (draws.tuples(), draws.len()) else { return Ok(()) };
        let BoundaryFit { alpha, penalty, rate } = fit;
        let (n, classes, images) = (count(anchors)?, count(shape.classes)?, count(shape.images)?);
        let (parts, parameters) = (parts.read(2 * anchors), shape.count());
        let mut scratch = self.scratch();
        let ([mut distances, mut divisor], [], []) = scratch.arrays(self, [2 * len, 1], [], [])?;
        self.tuple_distances(dim, &embeddings.read(rows * dim), &tuples, &mut distances)?;
        let (nu, once) = match penalty {
            Penalty::PerTuple { nu } => (nu, false),
            Penalty::Once { nu, reduction } => {
                let args = [
                    parts.slice(..).into(),
                    tuples.slice(..).into(),
                    distances.as_view().into(),
                    state.read(parameters).into(),
                    divisor.slice_mut(..).into(),
                    count(len)?.into(),
                    n.into(),
                    classes.into(),
                    images.into(),
                    alpha.into(),
                    reduction_code(reduction).into(),
                ];
                self.launch("boundary_divisor", Grid::points(1), args)?;
                (nu, true)
            }
        };
        // One kind of part after the other: each is fitted where those before it have gone.
        let blocks = [1, if classes > 0 { n } else { 0 }, if images > 0 { n } else { 0 }];
        let Grid { threads, .. } = Grid::points(1);
        for (kind, blocks) in (0_u32..).zip(blocks).filter(|&(_, blocks)| blocks > 0) {
            self.launch(
                "boundary_fit",
                Grid { blocks: (blocks, 1, 1), threads },
                [
                    parts.slice(..).into(),
                    tuples.slice(..).into(),
                    distances.as_view().into(),
                    divisor.as_view().into(),
                    state.write(parameters).into(),
                    count(len)?.into(),
                    n.into(),
                    classes.into(),
                    images.into(),
                    kind.into(),
                    alpha.into(),
                    rate.into(),
                    nu.into(),
                    u32::from(once).into(),
                ],
            )?;
        }
        Ok(())
    }
}
