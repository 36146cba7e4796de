//! The passes of a 3x3 convolution over a part of the batch, by [`winograd`]: tiles are transformed a few rows of tiles
//! at a time, so that what sixteen small products read and write stays in the cache.

use pulp::{Simd, WithSimd};

use super::lanes::{WIDEST, get, put};
use super::patch::{Margin, Tiling};
use super::tile::{Multiply, MultiplyTransposed, Rows, padded, panel_width};
use super::winograd;
use crate::kernel::ConvShape;

/// Tiles that are transformed together, about: eight blocks of six rows.
const TILES: usize = 48;
/// Output channels whose transformed tiles are held at once.
const BLOCK: usize = 64;
/// Numbers between the sixteen planes of a transform: without them planes would share the sets of a cache.
const GAP: usize = 16;

/// Rows of tiles that are transformed together.
fn band(tiling: Tiling) -> usize {
    (TILES / tiling.cols).max(1)
}

/// Numbers of scratch memory that a pass over a part needs, on any instruction set.
pub(super) fn scratch_len(shape: ConvShape, tiling: Tiling) -> usize {
    let inputs = shape.inputs.next_multiple_of(WIDEST);
    let tiles = band(tiling) * tiling.cols;
    2 * Margin::new(shape, tiling, inputs).len() + 16 * (2 * (tiles * inputs + GAP) + tiles * BLOCK + GAP)
}

/// Numbers of transformed weights, or of their gradient, on any instruction set.
pub(super) fn weights_len(shape: ConvShape) -> usize {
    16 * shape.inputs.next_multiple_of(WIDEST) * shape.outputs.next_multiple_of(WIDEST)
}

/// Numbers of a pass that depend on the instruction set.
#[derive(Clone, Copy)]
struct Plan {
    shape: ConvShape,
    tiling: Tiling,
    margin: Margin,
    /// Channels, padded to whole panels.
    inputs: usize,
    outputs: usize,
    /// Numbers from one of the sixteen planes of transformed inputs, or outputs, to the next.
    input_plane: usize,
    output_plane: usize,
}

impl Plan {
    #[inline(always)]
    fn new<S: Simd>(shape: ConvShape, tiling: Tiling) -> Self {
        let (inputs, outputs) = (padded::<f32, S>(shape.inputs), padded::<f32, S>(shape.outputs));
        let tiles = band(tiling) * tiling.cols;
        let margin = Margin::new(shape, tiling, inputs);
        let (input_plane, output_plane) = (tiles * inputs + GAP, tiles * BLOCK + GAP);
        Self { shape, tiling, margin, inputs, outputs, input_plane, output_plane }
    }

    /// Numbers in an input image.
    fn image_len(&self) -> usize {
        self.shape.height * self.shape.width * self.shape.inputs
    }

    /// Blocks of output channels: (first, count).
    fn blocks(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let outputs = self.outputs;
        (0..outputs).step_by(BLOCK).map(move |first| (first, BLOCK.min(outputs - first)))
    }

    /// Transforms the inputs of rows `rows` of tiles, counted over all images.
    #[inline(always)]
    fn transform<S: Simd>(
        &self,
        simd: S,
        rows: core::ops::Range<usize>,
        x: &[f32],
        padded: &mut [f32],
        planes: &mut [f32],
    ) {
        let depth = self.inputs;
        let mut tile = 0;
        for row in rows.clone() {
            let (image, row_inside) = (row / self.tiling.rows, row % self.tiling.rows);
            // An image of which an earlier band saw the first rows lies there still.
            if row_inside == 0 {
                self.margin.fill(&x[image * self.image_len()..][..self.image_len()], padded);
            }
            let line = self.margin.cols * depth;
            let lines = &padded[2 * row_inside * line..][..4 * line];
            for col in 0..self.tiling.cols {
                for channel in (0..depth).step_by(S::F32_LANES) {
                    let mut d = [[simd.splat_f32s(0.0); 4]; 4];
                    for i in 0..4 {
                        for j in 0..4 {
                            d[i][j] = get(simd, &lines[i * line + (2 * col + j) * depth + channel..]);
                        }
                    }
                    let v = winograd::input(simd, d);
                    for i in 0..4 {
                        for j in 0..4 {
                            let at = (4 * i + j) * self.input_plane + tile * depth + channel;
                            put(simd, &mut planes[at..], v[i][j]);
                        }
                    }
                }
                tile += 1;
            }
        }
    }
}

/// Sixteen vectors, one from each plane.
#[inline(always)]
fn gather<S: Simd>(simd: S, planes: &[f32], plane: usize, at: usize) -> [[S::f32s; 4]; 4] {
    let mut m = [[simd.splat_f32s(0.0); 4]; 4];
    for i in 0..4 {
        for j in 0..4 {
            m[i][j] = get(simd, &planes[(4 * i + j) * plane + at..]);
        }
    }
    m
}

/// Transforms and packs weights: `[16][panels][inputs][width]`, and for the way back, block by block of output
/// channels, `[16][blocks][panels of inputs][channels of the block][width]`.
pub(super) struct Pack<'a> {
    pub(super) shape: ConvShape,
    pub(super) tiling: Tiling,
    pub(super) w: &'a [f32],
    pub(super) panels: &'a mut [f32],
    /// Numbers are given to [`Pack::panels`] transposed.
    pub(super) transposed: bool,
}

impl WithSimd for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { shape, tiling, w, panels, transposed } = self;
        let plan = Plan::new::<S>(shape, tiling);
        let (width, lanes) = (panel_width::<f32, S>(), S::F32_LANES);
        let plane = if transposed { plan.inputs * plan.outputs } else { shape.inputs * plan.outputs };
        if transposed {
            panels[..16 * plane].fill(0.0);
        }
        for input in 0..shape.inputs {
            for output in (0..plan.outputs).step_by(lanes) {
                let mut g = [simd.splat_f32s(0.0); 9];
                let count = lanes.min(shape.outputs.saturating_sub(output));
                if count > 0 {
                    for (tap, g) in g.iter_mut().enumerate() {
                        *g = get(simd, &w[(tap * shape.inputs + input) * shape.outputs + output..][..count]);
                    }
                }
                let u = winograd::weights(simd, g);
                for f in 0..16 {
                    let u = u[f / 4][f % 4];
                    if !transposed {
                        let (panel, inside) = (output / width, output % width);
                        let at = f * plane + (panel * shape.inputs + input) * width + inside;
                        put(simd, &mut panels[at..], u);
                        continue;
                    }
                    let mut numbers = [0.0; WIDEST];
                    put(simd, &mut numbers, u);
                    let block = output / BLOCK * BLOCK;
                    let deep = BLOCK.min(plan.outputs - block);
                    let (panel, inside) = (input / width, input % width);
                    for (k, &number) in numbers[..lanes].iter().enumerate() {
                        let row = output - block + k;
                        panels[f * plane + block * plan.inputs + (panel * deep + row) * width + inside] =
                            number;
                    }
                }
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
        let plan = Plan::new::<S>(shape, tiling);
        let (padded, rest) = scratch.split_at_mut(plan.margin.len());
        let (v, m) = rest.split_at_mut(16 * plan.input_plane);
        let all = x.len() / plan.image_len() * tiling.rows;
        let size = tiling.output_len();
        for first in (0..all).step_by(band(tiling)) {
            let rows = first..(first + band(tiling)).min(all);
            let tiles = rows.len() * tiling.cols;
            plan.transform(simd, rows.clone(), x, padded, v);
            for (block, count) in plan.blocks() {
                for f in 0..16 {
                    let a = Rows { data: &v[f * plan.input_plane..], stride: plan.inputs };
                    let weights =
                        &panels[(f * plan.outputs + block) * shape.inputs..][..count * shape.inputs];
                    let m = &mut m[f * plan.output_plane..];
                    let (inner, stride) = (shape.inputs, count);
                    simd.vectorize(Multiply {
                        count: tiles,
                        inner,
                        a,
                        panels: weights,
                        add: false,
                        c: m,
                        stride,
                    });
                }
                let mut tile = 0;
                for row in rows.clone() {
                    let (image, row) = (row / tiling.rows, row % tiling.rows);
                    let y = &mut y[image * size..][..size];
                    let picks = if tiling.pool { &mut picks[image * size..][..size] } else { &mut [][..] };
                    for col in 0..tiling.cols {
                        for c in (0..count.min(shape.outputs - block)).step_by(S::F32_LANES) {
                            let m = gather(simd, m, plan.output_plane, tile * count + c);
                            let values = winograd::output(simd, m);
                            tiling.emit(simd, (row, col), block + c, values, y, picks);
                        }
                        tile += 1;
                    }
                }
            }
        }
    }
}

/// The gradient of the transformed weights from some images, added to `sums` (`[16][inputs][padded outputs]`), and
/// `dx` where asked for.
pub(super) struct Backward<'a> {
    pub(super) shape: ConvShape,
    pub(super) tiling: Tiling,
    pub(super) x: &'a [f32],
    pub(super) dy: &'a [f32],
    pub(super) picks: &'a [u32],
    /// Weights, transposed.
    pub(super) panels: &'a [f32],
    pub(super) sums: &'a mut [f32],
    pub(super) dx: Option<&'a mut [f32]>,
    pub(super) scratch: &'a mut [f32],
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { shape, tiling, x, dy, picks, panels, sums, mut dx, scratch } = self;
        let plan = Plan::new::<S>(shape, tiling);
        let (padded_x, rest) = scratch.split_at_mut(plan.margin.len());
        let (padded_dx, rest) = rest.split_at_mut(plan.margin.len());
        let (v, rest) = rest.split_at_mut(16 * plan.input_plane);
        let (dv, dm) = rest.split_at_mut(16 * plan.input_plane);
        let width = panel_width::<f32, S>();
        let all = x.len() / plan.image_len() * tiling.rows;
        let size = tiling.output_len();
        for first in (0..all).step_by(band(tiling)) {
            let rows = first..(first + band(tiling)).min(all);
            let tiles = rows.len() * tiling.cols;
            plan.transform(simd, rows.clone(), x, padded_x, v);
            for (block, count) in plan.blocks() {
                let mut tile = 0;
                for row in rows.clone() {
                    let (image, row) = (row / tiling.rows, row % tiling.rows);
                    let dy = &dy[image * size..][..size];
                    let picks = if tiling.pool { &picks[image * size..][..size] } else { &[][..] };
                    for col in 0..tiling.cols {
                        for c in (0..count).step_by(S::F32_LANES) {
                            let values = tiling.collect(simd, (row, col), block + c, dy, picks);
                            let spread = winograd::output_adjoint(simd, values);
                            for f in 0..16 {
                                let at = f * plan.output_plane + tile * count + c;
                                put(simd, &mut dm[at..], spread[f / 4][f % 4]);
                            }
                        }
                        tile += 1;
                    }
                }
                for f in 0..16 {
                    let a = Rows { data: &v[f * plan.input_plane..], stride: plan.inputs };
                    let b = Rows { data: &dm[f * plan.output_plane..], stride: count };
                    let sums = &mut sums[f * shape.inputs * plan.outputs + block..];
                    simd.vectorize(MultiplyTransposed {
                        count: shape.inputs,
                        inner: tiles,
                        panels: count / width,
                        a,
                        b,
                        next: width,
                        add: true,
                        c: sums,
                        stride: plan.outputs,
                    });
                    if dx.is_some() {
                        let weights =
                            &panels[(f * plan.outputs + block) * plan.inputs..][..count * plan.inputs];
                        let dv = &mut dv[f * plan.input_plane..];
                        simd.vectorize(Multiply {
                            count: tiles,
                            inner: count,
                            a: b,
                            panels: weights,
                            add: block > 0,
                            c: dv,
                            stride: plan.inputs,
                        });
                    }
                }
            }
            if let Some(dx) = dx.as_deref_mut() {
                plan.scatter(simd, rows, dv, padded_dx, dx);
            }
        }
    }
}

impl Plan {
    /// The adjoint of [`transform`](Self::transform).
    #[inline(always)]
    fn scatter<S: Simd>(
        &self,
        simd: S,
        rows: core::ops::Range<usize>,
        planes: &[f32],
        padded: &mut [f32],
        dx: &mut [f32],
    ) {
        let depth = self.inputs;
        let line = self.margin.cols * depth;
        let mut tile = 0;
        for row in rows {
            let (image, row_inside) = (row / self.tiling.rows, row % self.tiling.rows);
            if row_inside == 0 {
                padded.fill(0.0);
            }
            let lines = &mut padded[2 * row_inside * line..][..4 * line];
            for col in 0..self.tiling.cols {
                for channel in (0..depth).step_by(S::F32_LANES) {
                    let v = gather(simd, planes, self.input_plane, tile * depth + channel);
                    let d = winograd::input_adjoint(simd, v);
                    for i in 0..4 {
                        for j in 0..4 {
                            let place = &mut lines[i * line + (2 * col + j) * depth + channel..];
                            let sum = simd.add_f32s(get(simd, place), d[i][j]);
                            put(simd, place, sum);
                        }
                    }
                }
                tile += 1;
            }
            if row_inside + 1 == self.tiling.rows {
                self.margin.take(padded, &mut dx[image * self.image_len()..][..self.image_len()]);
            }
        }
    }
}

/// The gradient of the weights from that of the transformed weights.
pub(super) struct Unpack<'a> {
    pub(super) shape: ConvShape,
    pub(super) tiling: Tiling,
    pub(super) sums: &'a [f32],
    pub(super) dw: &'a mut [f32],
}

impl WithSimd for Unpack<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { shape, tiling, sums, dw } = self;
        let plan = Plan::new::<S>(shape, tiling);
        for input in 0..shape.inputs {
            for output in (0..shape.outputs).step_by(S::F32_LANES) {
                let plane = shape.inputs * plan.outputs;
                let u = gather(simd, sums, plane, input * plan.outputs + output);
                let count = S::F32_LANES.min(shape.outputs - output);
                for (tap, g) in winograd::weights_adjoint(simd, u).into_iter().enumerate() {
                    let at = (tap * shape.inputs + input) * shape.outputs + output;
                    put(simd, &mut dw[at..at + count], g);
                }
            }
        }
    }
}
