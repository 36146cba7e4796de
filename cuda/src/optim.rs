//! Optimisers.

use nearfar_core::kernel::{AdamStep, SgdStep};

use crate::device::Cuda;
use crate::error::Error;
use crate::launch::Grid;
use crate::memory::{Buffer, count};

impl Cuda {
    /// One step of Adam; `m` and `v` are its moments.
    pub fn adam(
        &self,
        step: AdamStep<f32>,
        len: usize,
        w: &mut Buffer,
        g: &Buffer,
        m: &mut Buffer,
        v: &mut Buffer,
    ) -> Result<(), Error> {
        let (scale, root, keep) = step.factors();
        let n = count(len)?;
        self.launch(
            "adam",
            Grid::spans(n),
            [
                w.write(len).into(),
                g.read(len).into(),
                m.write(len).into(),
                v.write(len).into(),
                n.into(),
                step.beta1.into(),
                step.beta2.into(),
                step.epsilon.into(),
                scale.into(),
                root.into(),
                keep.into(),
            ],
        )
    }

    /// One step of gradient descent; `u` is the velocity.
    pub fn sgd(
        &self,
        step: SgdStep<f32>,
        len: usize,
        w: &mut Buffer,
        g: &Buffer,
        u: &mut Buffer,
    ) -> Result<(), Error> {
        let n = count(len)?;
        self.launch(
            "sgd",
            Grid::spans(n),
            [
                w.write(len).into(),
                g.read(len).into(),
                u.write(len).into(),
                n.into(),
                step.rate.into(),
                step.momentum.into(),
                step.decay.into(),
            ],
        )
    }
}
