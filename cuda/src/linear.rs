//! Fully connected layers, and how a product is cut into blocks.

use nearfar_core::kernel::LinearShape;

use crate::device::Cuda;
use crate::error::Error;
use crate::launch::Grid;
use crate::memory::{Buffer, count};
use crate::precision::Precision;

/// Rows of a tile, numbers of k in one step, threads: as in `kernels/product.cuh`.
const TILE_ROWS: usize = 128;
const DEPTH: usize = 16;
const THREADS: u32 = 128;
/// Blocks that fill a large device twice over. A constant, and not asked of the device, so that results do not depend
/// on it.
const BLOCKS_WANTED: usize = 256;
/// Steps of k that make a block worth its start.
const STEPS_LEAST: usize = 4;

/// The kernels of one product.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kernels {
    /// [`Precision::Single`]: wide, slim, ragged.
    pub(crate) single: [&'static str; 3],
    /// [`Precision::Tf32`]: wide, which is slim too, and ragged.
    pub(crate) tf32: [&'static str; 2],
    /// [`Precision::Bf16`], likewise.
    pub(crate) bf16: [&'static str; 2],
}

/// Of `y = x w + b`.
pub(crate) const FORWARD: Kernels = Kernels {
    single: ["linear_wide", "linear_slim", "linear_ragged"],
    tf32: ["linear_tf32_wide", "linear_tf32_ragged"],
    bf16: ["linear_bf16_wide", "linear_bf16_ragged"],
};
const WEIGHTS: Kernels = Kernels {
    single: ["linear_dw_wide", "linear_dw_slim", "linear_dw_ragged"],
    tf32: ["linear_dw_tf32_wide", "linear_dw_tf32_ragged"],
    bf16: ["linear_dw_bf16_wide", "linear_dw_bf16_ragged"],
};
const INPUTS: Kernels = Kernels {
    single: ["linear_dx_wide", "linear_dx_slim", "linear_dx_ragged"],
    tf32: ["linear_dx_tf32_wide", "linear_dx_tf32_ragged"],
    bf16: ["linear_dx_bf16_wide", "linear_dx_bf16_ragged"],
};

/// Which form of a product kernel runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Tiles of 128 x 64.
    Wide,
    /// Tiles of 128 x 32.
    Slim,
    /// The same, for rows that are no multiple of 4 numbers.
    Ragged,
}

/// How `out [rows, columns]`, a sum over `depth`, is cut: by its shape alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    pub(crate) form: Form,
    /// Numbers of k in one block.
    pub(crate) chunk: u32,
    /// Chunks of k; partial results are joined if there are several.
    pub(crate) chunks: usize,
    pub(crate) grid: Grid,
    /// Numbers of the result.
    pub(crate) len: usize,
    columns: u32,
}

impl Cut {
    pub(crate) fn new(rows: usize, columns: usize, depth: usize, aligned: bool) -> Result<Self, Error> {
        let form = match aligned {
            false => Form::Ragged,
            true if columns <= 32 => Form::Slim,
            true => Form::Wide,
        };
        let tile_columns = if form == Form::Wide { 64 } else { 32 };
        let (down, across) = (rows.div_ceil(TILE_ROWS), columns.div_ceil(tile_columns));
        let steps = depth.div_ceil(DEPTH).max(1);
        let wanted = (BLOCKS_WANTED / (down * across).max(1)).clamp(1, steps.div_ceil(STEPS_LEAST));
        let chunk = steps.div_ceil(wanted) * DEPTH;
        let chunks = depth.div_ceil(chunk).max(1);
        count(depth)?;
        Ok(Self {
            form,
            chunk: count(chunk)?,
            chunks,
            grid: Grid { blocks: (count(down)?, count(across)?, chunks as u32), threads: (THREADS, 1) },
            len: count(rows.saturating_mul(columns))? as usize,
            columns: count(columns)?,
        })
    }

    /// The kernel of this form.
    pub(crate) fn kernel(&self, precision: Precision, kernels: Kernels) -> &'static str {
        let [wide, slim, ragged] = match precision {
            Precision::Single => kernels.single,
            // A slim result is one tile across, of either width.
            Precision::Tf32 => [kernels.tf32[0], kernels.tf32[0], kernels.tf32[1]],
            Precision::Bf16 => [kernels.bf16[0], kernels.bf16[0], kernels.bf16[1]],
        };
        match self.form {
            Form::Wide => wide,
            Form::Slim => slim,
            Form::Ragged => ragged,
        }
    }
}

impl Cuda {
    /// Runs a product into `out`: at once, or into chunks that are joined. `start(out, last)` queues the kernel; with
    /// `last`, what it writes is the result and gets its bias and ReLU.
    pub(crate) fn product(
        &self,
        cut: &Cut,
        bias: Option<&Buffer>,
        relu: bool,
        out: &mut Buffer,
        start: impl FnOnce(cudarc::driver::CudaViewMut<'_, f32>, bool) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if cut.chunks == 1 {
            return start(out.write(cut.len), true);
        }
        let mut scratch = self.scratch();
        let mut partial = scratch.floats(self, cut.len * cut.chunks)?;
        start(partial.slice_mut(..), false)?;
        let partial = partial.as_view();
        // Without a bias any array stands in for it; the kernel does not look.
        let stand_in = partial.slice(..);
        self.launch(
            "join",
            Grid::groups(cut.len as u32),
            [
                partial.into(),
                bias.map_or(stand_in, |bias| bias.read(cut.columns as usize)).into(),
                out.write(cut.len).into(),
                u32::from(bias.is_some()).into(),
                u32::from(relu).into(),
                (cut.chunks as u32).into(),
                (cut.len as u32).into(),
                cut.columns.into(),
            ],
        )
    }

    /// `y = x w + b`, and the ReLU.
    pub fn linear(
        &self,
        shape: LinearShape,
        x: &Buffer,
        w: &Buffer,
        b: &Buffer,
        y: &mut Buffer,
    ) -> Result<(), Error> {
        let LinearShape { rows, inputs, outputs, relu } = shape;
        let cut = Cut::new(rows, outputs, inputs, is_aligned(shape))?;
        self.product(&cut, Some(b), relu, y, |y, last| {
            self.launch(
                cut.kernel(self.precision(), FORWARD),
                cut.grid,
                [
                    x.read(rows * inputs).into(),
                    w.read(inputs * outputs).into(),
                    b.read(outputs).into(),
                    y.into(),
                    u32::from(last).into(),
                    u32::from(last && relu).into(),
                    count(rows)?.into(),
                    count(inputs)?.into(),
                    count(outputs)?.into(),
                    cut.chunk.into(),
                ],
            )
        })
    }

    /// `dw = xᵀ dy`, `db = column sums of dy`, and `dx = dy wᵀ` where asked for; with a ReLU, `dy` is first set to 0
    /// where `y` is not positive.
    pub fn linear_backward(
        &self,
        shape: LinearShape,
        x: &Buffer,
        w: &Buffer,
        y: &Buffer,
        dy: &mut Buffer,
        dw: &mut Buffer,
        db: &mut Buffer,
        dx: Option<&mut Buffer>,
    ) -> Result<(), Error> {
        let LinearShape { rows, inputs, outputs, relu } = shape;
        if relu {
            self.relu_mask(rows * outputs, y, dy)?;
        }
        let dy = &*dy;
        let cut = Cut::new(inputs, outputs, rows, is_aligned(shape))?;
        self.product(&cut, None, false, dw, |dw, _| {
            self.launch(
                cut.kernel(self.precision(), WEIGHTS),
                cut.grid,
                [
                    x.read(rows * inputs).into(),
                    dy.read(rows * outputs).into(),
                    dw.into(),
                    count(rows)?.into(),
                    count(inputs)?.into(),
                    count(outputs)?.into(),
                    cut.chunk.into(),
                ],
            )
        })?;
        self.column_sums(rows, outputs, dy, db)?;
        let Some(dx) = dx else { return Ok(()) };
        let cut = Cut::new(rows, inputs, outputs, is_aligned(shape))?;
        self.product(&cut, None, false, dx, |dx, _| {
            self.launch(
                cut.kernel(self.precision(), INPUTS),
                cut.grid,
                [
                    dy.read(rows * outputs).into(),
                    w.read(inputs * outputs).into(),
                    dx.into(),
                    count(rows)?.into(),
                    count(inputs)?.into(),
                    count(outputs)?.into(),
                    cut.chunk.into(),
                ],
            )
        })
    }

    /// `sums[c]` = sum of column c of `x [rows, columns]`.
    pub(crate) fn column_sums(
        &self,
        rows: usize,
        columns: usize,
        x: &Buffer,
        sums: &mut Buffer,
    ) -> Result<(), Error> {
        self.launch(
            "column_sums",
            Grid::groups(count(columns)?),
            [
                x.read(rows * columns).into(),
                sums.write(columns).into(),
                count(rows)?.into(),
                count(columns)?.into(),
            ],
        )
    }
}

/// Whether rows of both sides are whole quads.
fn is_aligned(shape: LinearShape) -> bool {
    shape.inputs.is_multiple_of(4) && shape.outputs.is_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_cover_the_depth_once() {
        for rows in [1, 128, 1000] {
            for columns in [1, 32, 33, 512] {
                for depth in [0, 1, 16, 17, 100, 5000, 123_457] {
                    let cut = Cut::new(rows, columns, depth, true).unwrap();
                    let chunk = cut.chunk as usize;
                    assert!(chunk.is_multiple_of(DEPTH) && chunk * cut.chunks >= depth, "{cut:?}");
                    assert!(cut.chunks == 1 || chunk * (cut.chunks - 1) < depth, "{cut:?}");
                }
            }
        }
    }

    #[test]
    fn a_small_result_of_a_long_sum_is_cut_and_a_large_one_is_not() {
        assert!(Cut::new(288, 64, 100_000, true).unwrap().chunks > 64);
        assert_eq!(Cut::new(100_000, 64, 288, true).unwrap().chunks, 1);
    }
}
