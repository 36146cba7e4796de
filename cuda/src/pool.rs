//! Pooling.

use nearfar_core::kernel::PoolShape;

use crate::device::Cuda;
use crate::error::Error;
use crate::launch::{Arg, Grid};
use crate::memory::{Buffer, Indices, count};

/// The windows of a pooling, as its kernels take them.
#[derive(Clone, Copy)]
struct Windows {
    /// Numbers before and after.
    input: usize,
    output: usize,
    grid: Grid,
    /// Batch, height, width, channels.
    size: [u32; 4],
}

impl Windows {
    /// A thread for each number after.
    fn forward(shape: PoolShape) -> Result<Self, Error> {
        let PoolShape { batch, height, width, channels } = shape;
        Self::of(shape, batch * (height / 2) * (width / 2) * channels)
    }

    /// A thread for each window, those cut off at the last row and column too: their gradient is 0.
    fn backward(shape: PoolShape) -> Result<Self, Error> {
        let PoolShape { batch, height, width, channels } = shape;
        Self::of(shape, batch * height.div_ceil(2) * width.div_ceil(2) * channels)
    }

    fn of(shape: PoolShape, threads: usize) -> Result<Self, Error> {
        let PoolShape { batch, height, width, channels } = shape;
        let input = batch * height * width * channels;
        count(input)?;
        Ok(Self {
            input,
            output: batch * (height / 2) * (width / 2) * channels,
            grid: Grid::points(count(threads)?),
            size: [count(batch)?, count(height)?, count(width)?, count(channels)?],
        })
    }
}

impl Cuda {
    /// Largest of each 2x2 window.
    pub fn max_pool(&self, shape: PoolShape, x: &Buffer, y: &mut Buffer) -> Result<(), Error> {
        let Windows { input, output, grid, size } = Windows::forward(shape)?;
        let [batch, height, width, channels] = size;
        let (x, y) = (x.read(input).into(), y.write(output).into());
        self.launch("max_pool", grid, [x, y, batch.into(), height.into(), width.into(), channels.into()])
    }

    /// The gradient goes to the first largest of each window, in reading order.
    pub fn max_pool_backward(
        &self,
        shape: PoolShape,
        x: &Buffer,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<(), Error> {
        let windows = Windows::backward(shape)?;
        self.spread("max_pool_backward", windows, x.read(windows.input).into(), dy, dx)
    }

    /// Largest of each 2x2 window, and which pixel of it that was: the first, 0 to 3 in reading order.
    pub(crate) fn max_pool_picks(
        &self,
        shape: PoolShape,
        x: &Buffer,
        y: &mut Buffer,
        picks: &mut Indices,
    ) -> Result<(), Error> {
        let Windows { input, output, grid, size } = Windows::forward(shape)?;
        let [batch, height, width, channels] = size;
        let (x, y, picks) = (x.read(input).into(), y.write(output).into(), picks.write(output).into());
        let args = [x, y, picks, batch.into(), height.into(), width.into(), channels.into()];
        self.launch("max_pool_picks", grid, args)
    }

    /// The gradient goes to the pixel that was picked of each window.
    pub(crate) fn max_pool_spread(
        &self,
        shape: PoolShape,
        picks: &Indices,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<(), Error> {
        let windows = Windows::backward(shape)?;
        self.spread("max_pool_spread", windows, picks.read(windows.output).into(), dy, dx)
    }

    /// Gradients to every pixel; `by` says which of a window gets it.
    fn spread(
        &self,
        kernel: &'static str,
        windows: Windows,
        by: Arg<'_>,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<(), Error> {
        let Windows { input, output, grid, size } = windows;
        let [batch, height, width, channels] = size;
        let (dy, dx) = (dy.read(output).into(), dx.write(input).into());
        let args = [by, dy, dx, batch.into(), height.into(), width.into(), channels.into()];
        self.launch(kernel, grid, args)
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
