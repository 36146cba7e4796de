//! The passes of a 3x3 convolution whose input has few channels, as the first layer of a network: a row of tiles is
//! unfolded, and one small product does the rest. With one channel in, the transforms of [`winograd`](super::winograd)
//! would cost as much as they save.

use pulp::{Simd, WithSimd};

use super::lanes::{WIDEST, get, put};
use super::patch::{Margin, Tiling};
use super::tile::{Multiply, MultiplyTransposed, Rows, padded, panel_width};
use crate::kernel::ConvShape;

/// Numbers of scratch memory that a pass needs, on any instruction set.
pub(super) fn scratch_len(shape: ConvShape, tiling: Tiling) -> usize {
    let pixels = 4 * tiling.cols;
    Margin::new(shape, tiling, shape.inputs).len()
        + pixels * (9 * shape.inputs + shape.outputs.next_multiple_of(WIDEST))
        + WIDEST
}

/// Numbers of packed weights, or of their gradient, on any instruction set.
pub(super) fn weights_len(shape: ConvShape) -> usize {
    9 * shape.inputs * shape.outputs.next_multiple_of(WIDEST)
}

/// The windows of a row of tiles: `[tile][pixel][tap][channel]`.
fn unfold(margin: Margin, tiling: Tiling, row: usize, image: &[f32], cols: &mut [f32]) {
    // Three taps at once, by a length that is known: a copy of a few bytes is then no call.
    match margin.depth {
        1 => unfold_bands::<3>(margin, tiling, row, image, cols),
        2 => unfold_bands::<6>(margin, tiling, row, image, cols),
        3 => unfold_bands::<9>(margin, tiling, row, image, cols),
        4 => unfold_bands::<12>(margin, tiling, row, image, cols),
        depth => unreachable!("an input of {depth} channels is not unfolded"),
    }
}

fn unfold_bands<const BAND: usize>(
    margin: Margin,
    tiling: Tiling,
    row: usize,
    image: &[f32],
    cols: &mut [f32],
) {
    let (bands, _) = cols.as_chunks_mut::<BAND>();
    let (patches, _) = bands.as_chunks_mut::<3>();
    for (at, patch) in patches.iter_mut().take(4 * tiling.cols).enumerate() {
        let (y, x) = (2 * row + at % 4 / 2, 2 * (at / 4) + at % 2);
        for (dy, to) in patch.iter_mut().enumerate() {
            let from = &image[((y + dy) * margin.cols + x) * margin.depth..];
            *to = *from.first_chunk().expect("a window lies within the margin");
        }
    }
}

/// Packs weights into panels.
pub(super) struct Pack<'a> {
    pub(super) shape: ConvShape,
    pub(super) w: &'a [f32],
    pub(super) panels: &'a mut [f32],
}

impl WithSimd for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let (width, outputs) = (panel_width::<f32, S>(), self.shape.outputs);
        let inner = 9 * self.shape.inputs;
        for (p, panel) in
            self.panels.chunks_exact_mut(inner * width).take(outputs.div_ceil(width)).enumerate()
        {
            let count = width.min(outputs - p * width);
            for (to, from) in panel.chunks_exact_mut(width).zip(self.w.chunks_exact(outputs)) {
                to[..count].copy_from_slice(&from[p * width..][..count]);
                to[count..].fill(0.0);
            }
        }
    }
}

/// `y` of some images.
pub(super) struct Forward<'a> {
    pub(super) shape: ConvShape,
    pub(super) tiling: Tiling,
    pub(super) x: &'a [f32],
    pub(super) panels: &'a [f32],
    pub(super) y: &'a mut [f32],
    pub(super) picks: &'a mut [u32],
    pub(super) scratch: &'a mut [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { shape, tiling, x, panels, y, picks, scratch } = self;
        let margin = Margin::new(shape, tiling, shape.inputs);
        let (inner, outputs, pixels) = (9 * shape.inputs, padded::<f32, S>(shape.outputs), 4 * tiling.cols);
        let (image, rest) = scratch.split_at_mut(margin.len());
        let (cols, c) = rest.split_at_mut(pixels * inner);
        let size = tiling.output_len();
        let images = x.chunks_exact(shape.height * shape.width * shape.inputs);
        for (at, (x, y)) in images.zip(y.chunks_exact_mut(size)).enumerate() {
            let picks = if tiling.pool { &mut picks[at * size..][..size] } else { &mut [][..] };
            margin.fill(x, image);
            for row in 0..tiling.rows {
                unfold(margin, tiling, row, image, cols);
                let a = Rows { data: cols, stride: inner };
                let panels = &panels[..inner * outputs];
                let c = &mut *c;
                let stride = outputs;
                simd.vectorize(Multiply { count: pixels, inner, a, panels, add: false, c, stride });
                for col in 0..tiling.cols {
                    for channel in (0..shape.outputs).step_by(S::F32_LANES) {
                        let mut values = [simd.splat_f32s(0.0); 4];
                        for (pixel, value) in values.iter_mut().enumerate() {
                            *value = get(simd, &c[(4 * col + pixel) * outputs + channel..]);
                        }
                        tiling.emit(simd, (row, col), channel, values, y, picks);
                    }
                }
            }
        }
    }
}

/// The gradient of the weights from some images, added to `sums` (`[9 inputs][padded outputs]`).
pub(super) struct Backward<'a> {
    pub(super) shape: ConvShape,
    pub(super) tiling: Tiling,
    pub(super) x: &'a [f32],
    pub(super) dy: &'a [f32],
    pub(super) picks: &'a [u32],
    pub(super) sums: &'a mut [f32],
    pub(super) scratch: &'a mut [f32],
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { shape, tiling, x, dy, picks, sums, scratch } = self;
        let margin = Margin::new(shape, tiling, shape.inputs);
        let (inner, outputs, pixels) = (9 * shape.inputs, padded::<f32, S>(shape.outputs), 4 * tiling.cols);
        let (image, rest) = scratch.split_at_mut(margin.len());
        let (cols, c) = rest.split_at_mut(pixels * inner);
        let size = tiling.output_len();
        let images = x.chunks_exact(shape.height * shape.width * shape.inputs);
        for (at, (x, dy)) in images.zip(dy.chunks_exact(size)).enumerate() {
            let picks = if tiling.pool { &picks[at * size..][..size] } else { &[][..] };
            margin.fill(x, image);
            for row in 0..tiling.rows {
                unfold(margin, tiling, row, image, cols);
                for col in 0..tiling.cols {
                    for channel in (0..outputs).step_by(S::F32_LANES) {
                        let values = tiling.collect(simd, (row, col), channel, dy, picks);
                        for (pixel, value) in values.into_iter().enumerate() {
                            put(simd, &mut c[(4 * col + pixel) * outputs + channel..], value);
                        }
                    }
                }
                let (a, b) = (Rows { data: cols, stride: inner }, Rows { data: c, stride: outputs });
                let width = panel_width::<f32, S>();
                simd.vectorize(MultiplyTransposed {
                    count: inner,
                    inner: pixels,
                    panels: outputs / width,
                    a,
                    b,
                    next: width,
                    add: true,
                    c: &mut *sums,
                    stride: outputs,
                });
            }
        }
    }
}

/// The gradient of the weights without the padding.
pub(super) struct Unpack<'a> {
    pub(super) shape: ConvShape,
    pub(super) sums: &'a [f32],
    pub(super) dw: &'a mut [f32],
}

impl WithSimd for Unpack<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let outputs = self.shape.outputs;
        for (to, from) in
            self.dw.chunks_exact_mut(outputs).zip(self.sums.chunks_exact(padded::<f32, S>(outputs)))
        {
            to.copy_from_slice(&from[..outputs]);
        }
    }
}
