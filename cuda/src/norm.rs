//! Batch normalisation.

use nearfar_core::kernel::NormShape;

use crate::device::Cuda;
use crate::error::Error;
use crate::launch::Grid;
use crate::memory::{Buffer, count};

/// Rows that an elementwise thread takes: as in `kernels/norm.cu`.
const STEPS: usize = 4;
/// Blocks of 256 threads that fill a large device; a constant, so that results do not depend on the device.
const BLOCKS_WANTED: usize = 1024;
/// Rows that make a block of sums worth its start.
const ROWS_LEAST: usize = 64;

/// How the rows are cut.
struct Cut {
    rows: u32,
    channels: u32,
    /// Numbers of x.
    len: usize,
    /// Rows of one partial sum, and how many of them.
    chunk: u32,
    chunks: usize,
    sums: Grid,
    elementwise: Grid,
    joins: Grid,
    /// Whether a ReLU follows, as the kernels take it.
    relu: u32,
}

impl Cut {
    fn new(shape: NormShape<f32>) -> Result<Self, Error> {
        let NormShape { rows, channels, relu, .. } = shape;
        let across = channels.div_ceil(Grid::GROUP.0 as usize);
        let wanted = (BLOCKS_WANTED / across.max(1)).clamp(1, rows.div_ceil(ROWS_LEAST).max(1));
        let chunk = rows.div_ceil(wanted).max(1);
        let chunks = rows.div_ceil(chunk);
        let grid = |down: usize| -> Result<Grid, Error> {
            Ok(Grid { blocks: (count(down)?, count(across)?, 1), threads: Grid::GROUP })
        };
        Ok(Self {
            rows: count(rows)?,
            channels: count(channels)?,
            len: count(rows.saturating_mul(channels))? as usize,
            chunk: count(chunk)?,
            chunks,
            sums: grid(chunks)?,
            elementwise: grid(rows.div_ceil(Grid::GROUP.1 as usize * STEPS))?,
            joins: Grid::groups(count(channels)?),
            relu: u32::from(relu),
        })
    }
}

impl Cuda {
    /// Batch normalisation by the statistics of this batch, and the ReLU.
    pub fn norm(
        &self,
        shape: NormShape<f32>,
        x: &Buffer,
        affine: &Buffer,
        saved: &mut Buffer,
        running: &mut Buffer,
        momentum: f32,
        y: &mut Buffer,
    ) -> Result<(), Error> {
        let cut = Cut::new(shape)?;
        let pair = 2 * shape.channels;
        let mut scratch = self.scratch();
        let (_, mut partial) = scratch.both(self, 0, cut.chunks * pair)?;
        self.launch(
            "norm_moments",
            cut.sums,
            [
                x.read(cut.len).into(),
                partial.slice_mut(..).into(),
                cut.rows.into(),
                cut.channels.into(),
                cut.chunk.into(),
            ],
        )?;
        self.launch(
            "norm_statistics",
            cut.joins,
            [
                x.read(cut.len).into(),
                partial.as_view().into(),
                saved.write(pair).into(),
                running.write(pair).into(),
                cut.rows.into(),
                cut.channels.into(),
                (cut.chunks as u32).into(),
                shape.epsilon.into(),
                momentum.into(),
            ],
        )?;
        self.launch(
            "norm_apply",
            cut.elementwise,
            [
                x.read(cut.len).into(),
                affine.read(pair).into(),
                saved.read(pair).into(),
                y.write(cut.len).into(),
                cut.rows.into(),
                cut.channels.into(),
                cut.relu.into(),
            ],
        )
    }

    /// Batch normalisation by the running statistics, and the ReLU.
    pub fn norm_infer(
        &self,
        shape: NormShape<f32>,
        x: &Buffer,
        affine: &Buffer,
        running: &Buffer,
        y: &mut Buffer,
    ) -> Result<(), Error> {
        let cut = Cut::new(shape)?;
        let pair = 2 * shape.channels;
        self.launch(
            "norm_infer",
            cut.elementwise,
            [
                x.read(cut.len).into(),
                affine.read(pair).into(),
                running.read(pair).into(),
                y.write(cut.len).into(),
                cut.rows.into(),
                cut.channels.into(),
                cut.relu.into(),
                shape.epsilon.into(),
            ],
        )
    }

    /// Gradients of [`norm`](Self::norm) with its ReLU; `daffine` is `[dscale; dshift]`.
    pub fn norm_backward(
        &self,
        shape: NormShape<f32>,
        x: &Buffer,
        affine: &Buffer,
        saved: &Buffer,
        dy: &Buffer,
        daffine: &mut Buffer,
        dx: &mut Buffer,
    ) -> Result<(), Error> {
        let cut = Cut::new(shape)?;
        let pair = 2 * shape.channels;
        let mut scratch = self.scratch();
        let (mut means, mut partial) = scratch.both(self, pair, cut.chunks * pair)?;
        self.launch(
            "norm_backward_sums",
            cut.sums,
            [
                x.read(cut.len).into(),
                affine.read(pair).into(),
                saved.read(pair).into(),
                dy.read(cut.len).into(),
                partial.slice_mut(..).into(),
                cut.rows.into(),
                cut.channels.into(),
                cut.chunk.into(),
                cut.relu.into(),
            ],
        )?;
        self.launch(
            "norm_backward_join",
            cut.joins,
            [
                partial.as_view().into(),
                daffine.write(pair).into(),
                means.slice_mut(..).into(),
                cut.rows.into(),
                cut.channels.into(),
                (cut.chunks as u32).into(),
            ],
        )?;
        self.launch(
            "norm_backward_apply",
            cut.elementwise,
            [
                x.read(cut.len).into(),
                affine.read(pair).into(),
                saved.read(pair).into(),
                dy.read(cut.len).into(),
                means.as_view().into(),
                dx.write(cut.len).into(),
                cut.rows.into(),
                cut.channels.into(),
                cut.relu.into(),
            ],
        )
    }
}
