//! 3x3 convolution and its gradients, as products over patches. A pooling that follows works on the full output, which
//! stays on the device and in this operation.

use nearfar_core::kernel::ConvShape;

use crate::device::Cuda;
use crate::error::Error;
use crate::linear::{Cut, Kernels};
use crate::memory::{Buffer, Indices, count};

const FORWARD: Kernels = Kernels {
    single: ["conv_wide", "conv_slim", "conv_ragged"],
    tf32: ["conv_tf32_wide", "conv_tf32_ragged"],
    bf16: ["conv_bf16_wide", "conv_bf16_ragged"],
};
const WEIGHTS: Kernels = Kernels {
    single: ["conv_dw_wide", "conv_dw_slim", "conv_dw_ragged"],
    tf32: ["conv_dw_tf32_wide", "conv_dw_tf32_ragged"],
    bf16: ["conv_dw_bf16_wide", "conv_dw_bf16_ragged"],
};
const INPUTS: Kernels = Kernels {
    single: ["conv_dx_wide", "conv_dx_slim", "conv_dx_ragged"],
    tf32: ["conv_dx_tf32_wide", "conv_dx_tf32_ragged"],
    bf16: ["conv_dx_bf16_wide", "conv_dx_bf16_ragged"],
};

/// Sizes of a convolution.
struct Sizes {
    pixels: usize,
    x: usize,
    w: usize,
    y: usize,
    aligned: bool,
}

impl Sizes {
    fn new(shape: ConvShape) -> Self {
        let ConvShape { batch, height, width, inputs, outputs, .. } = shape;
        let pixels = batch * height * width;
        let aligned = inputs.is_multiple_of(4) && outputs.is_multiple_of(4);
        Self { pixels, x: pixels * inputs, w: 9 * inputs * outputs, y: pixels * outputs, aligned }
    }
}

impl Cuda {
    /// Queues one of the three convolution products: they differ in arrays and kernel only.
    fn conv_product(
        &self,
        shape: ConvShape,
        cut: &Cut,
        kernels: Kernels,
        (a, a_len): (&Buffer, usize),
        (b, b_len): (&Buffer, usize),
        out: &mut Buffer,
    ) -> Result<(), Error> {
        let ConvShape { batch, height, width, inputs, outputs, .. } = shape;
        self.product(cut, None, false, out, |out, _| {
            self.launch(
                cut.kernel(self.precision(), kernels),
                cut.grid,
                [
                    a.read(a_len).into(),
                    b.read(b_len).into(),
                    out.into(),
                    count(batch)?.into(),
                    count(height)?.into(),
                    count(width)?.into(),
                    count(inputs)?.into(),
                    count(outputs)?.into(),
                    cut.chunk.into(),
                ],
            )
        })
    }

    /// 3x3 convolution, no bias, and the pooling with its picks.
    pub fn conv(
        &self,
        shape: ConvShape,
        x: &Buffer,
        w: &Buffer,
        y: &mut Buffer,
        picks: &mut Indices,
    ) -> Result<(), Error> {
        let sizes = Sizes::new(shape);
        let cut = Cut::new(sizes.pixels, shape.outputs, 9 * shape.inputs, sizes.aligned)?;
        let full = |y: &mut Buffer| self.conv_product(shape, &cut, FORWARD, (x, sizes.x), (w, sizes.w), y);
        if !shape.pool {
            return full(y);
        }
        self.with_whole(sizes.y, |whole| {
            full(whole)?;
            self.max_pool_picks(shape.pooling(), whole, y, picks)
        })
    }

    /// Gradients of [`conv`](Self::conv).
    pub fn conv_backward(
        &self,
        shape: ConvShape,
        x: &Buffer,
        w: &Buffer,
        dy: &Buffer,
        picks: &Indices,
        dw: &mut Buffer,
        dx: Option<&mut Buffer>,
    ) -> Result<(), Error> {
        if !shape.pool {
            return self.conv_gradients(shape, x, w, dy, dw, dx);
        }
        self.with_whole(Sizes::new(shape).y, |whole| {
            self.max_pool_spread(shape.pooling(), picks, dy, whole)?;
            self.conv_gradients(shape, x, w, whole, dw, dx)
        })
    }

    /// Gradients from that of the output before any pooling.
    fn conv_gradients(
        &self,
        shape: ConvShape,
        x: &Buffer,
        w: &Buffer,
        dy: &Buffer,
        dw: &mut Buffer,
        dx: Option<&mut Buffer>,
    ) -> Result<(), Error> {
        let sizes = Sizes::new(shape);
        let cut = Cut::new(9 * shape.inputs, shape.outputs, sizes.pixels, sizes.aligned)?;
        self.conv_product(shape, &cut, WEIGHTS, (x, sizes.x), (dy, sizes.y), dw)?;
        let Some(dx) = dx else { return Ok(()) };
        let cut = Cut::new(sizes.pixels, shape.inputs, 9 * shape.outputs, sizes.aligned)?;
        self.conv_product(shape, &cut, INPUTS, (dy, sizes.y), (w, sizes.w), dx)
    }
}
