//! ReLU.

use crate::device::Cuda;
use crate::error::Error;
use crate::launch::Grid;
use crate::memory::{Buffer, count};

impl Cuda {
    /// `y = max(x, 0)` on the first `len` numbers.
    pub fn relu(&self, len: usize, x: &Buffer, y: &mut Buffer) -> Result<(), Error> {
        let n = count(len)?;
        self.launch("relu", Grid::spans(n), [x.read(len).into(), y.write(len).into(), n.into()])
    }

    /// `dx = dy` where `y > 0`, else 0.
    pub fn relu_backward(&self, len: usize, y: &Buffer, dy: &Buffer, dx: &mut Buffer) -> Result<(), Error> {
        let n = count(len)?;
        self.launch(
            "relu_backward",
            Grid::spans(n),
            [y.read(len).into(), dy.read(len).into(), dx.write(len).into(), n.into()],
        )
    }

    /// `dy = 0` where `y` is not positive.
    pub(crate) fn relu_mask(&self, len: usize, y: &Buffer, dy: &mut Buffer) -> Result<(), Error> {
        let n = count(len)?;
        self.launch("relu_mask", Grid::spans(n), [y.read(len).into(), dy.write(len).into(), n.into()])
    }
}
