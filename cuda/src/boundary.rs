//! Boundaries that follow their gradient: their parameters live on the device.

use nearfar_core::{BoundaryShape, BoundaryStep};

use crate::device::Cuda;
use crate::error::Error;
use crate::launch::Grid;
use crate::memory::{Buffer, Indices, count};

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
}
