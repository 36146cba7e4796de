//! Pooling.

use nearfar_core::kernel::PoolShape;

use crate::device::Cuda;
use crate::error::Error;
use crate::launch::Grid;
use crate::memory::{Buffer, Indices, count};

impl Cuda {
    /// Largest of each 2x2 window.
    pub fn max_pool(&self, shape: PoolShape, x: &Buffer, y: &mut Buffer) -> Result<(), Error> {
        let PoolShape { batch, height, width, channels } = shape;
        let (input, output) =
            (batch * height * width * channels, batch * (height / 2) * (width / 2) * channels);
        count(input)?;
        self.launch(
            "max_pool",
            Grid::points(count(output)?),
            [
                x.read(input).into(),
                y.write(output).into(),
                count(batch)?.into(),
                count(height)?.into(),
                count(width)?.into(),
                count(channels)?.into(),
            ],
        )
    }

    /// The gradient goes to the first largest of each window, in reading order.
    pub fn max_pool_backward(
        &self,
        shape: PoolShape,
        x: &Buffer,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<(), Error> {
        let PoolShape { batch, height, width, channels } = shape;
        let (input, output) =
            (batch * height * width * channels, batch * (height / 2) * (width / 2) * channels);
        count(input)?;
        self.launch(
            "max_pool_backward",
            Grid::points(count(batch * height.div_ceil(2) * width.div_ceil(2) * channels)?),
            [
                x.read(input).into(),
                dy.read(output).into(),
                dx.write(input).into(),
                count(batch)?.into(),
                count(height)?.into(),
                count(width)?.into(),
                count(channels)?.into(),
            ],
        )
    }

    /// Largest of each 2x2 window, and which pixel of it that was: the first, 0 to 3 in reading order.
    pub(crate) fn max_pool_picks(
        &self,
        shape: PoolShape,
        x: &Buffer,
        y: &mut Buffer,
        picks: &mut Indices,
    ) -> Result<(), Error> {
        let PoolShape { batch, height, width, channels } = shape;
        let (input, output) =
            (batch * height * width * channels, batch * (height / 2) * (width / 2) * channels);
        count(input)?;
        self.launch(
            "max_pool_picks",
            Grid::points(count(output)?),
            [
                x.read(input).into(),
                y.write(output).into(),
                picks.write(output).into(),
                count(batch)?.into(),
                count(height)?.into(),
                count(width)?.into(),
                count(channels)?.into(),
            ],
        )
    }

    /// The gradient goes to the pixel that was picked of each window.
    pub(crate) fn max_pool_spread(
        &self,
        shape: PoolShape,
        picks: &Indices,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<(), Error> {
        let PoolShape { batch, height, width, channels } = shape;
        let (input, output) =
            (batch * height * width * channels, batch * (height / 2) * (width / 2) * channels);
        count(input)?;
        self.launch(
            "max_pool_spread",
            Grid::points(count(batch * height.div_ceil(2) * width.div_ceil(2) * channels)?),
            [
                picks.read(output).into(),
                dy.read(output).into(),
                dx.write(input).into(),
                count(batch)?.into(),
                count(height)?.into(),
                count(width)?.into(),
                count(channels)?.into(),
            ],
        )
    }

    /// Mean over all pixels of each channel.
    pub fn mean_pool(&self, shape: PoolShape, x: &Buffer, y: &mut Buffer) -> Result<(), Error> {
        let PoolShape { batch, height, width, channels } = shape;
        let pixels = height * width;
        count(batch * pixels * channels)?;
        self.launch(
            "mean_pool",
            Grid::points(count(batch * channels)?),
            [
                x.read(batch * pixels * channels).into(),
                y.write(batch * channels).into(),
                count(batch)?.into(),
                count(pixels)?.into(),
                count(channels)?.into(),
            ],
        )
    }

    /// Spreads the gradient evenly over the pixels.
    pub fn mean_pool_backward(&self, shape: PoolShape, dy: &Buffer, dx: &mut Buffer) -> Result<(), Error> {
        let PoolShape { batch, height, width, channels } = shape;
        let pixels = height * width;
        self.launch(
            "mean_pool_backward",
            Grid::points(count(batch * pixels * channels)?),
            [
                dy.read(batch * channels).into(),
                dx.write(batch * pixels * channels).into(),
                count(batch)?.into(),
                count(pixels)?.into(),
                count(channels)?.into(),
            ],
        )
    }
}
