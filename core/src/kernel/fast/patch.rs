//! Tiles of 2x2 pixels: how a convolution's outputs leave the registers, and how their gradients enter them, with or
//! without the 2x2 pooling that may follow; and images with a margin of zeros, of which every window is whole.
//!
//! A pooled convolution never writes its full output: a tile is a window of the pooling, and only its largest number
//! and which of the four it was are kept.

use pulp::Simd;

use super::lanes::{get, put};
use crate::kernel::ConvShape;

/// The tiles of an image.
#[derive(Clone, Copy)]
pub(super) struct Tiling {
    height: usize,
    width: usize,
    outputs: usize,
    pub(super) pool: bool,
    /// Tiles above one another.
    pub(super) rows: usize,
    /// Tiles beside one another.
    pub(super) cols: usize,
}

impl Tiling {
    pub(super) fn new(shape: ConvShape) -> Self {
        let ConvShape { height, width, outputs, pool, .. } = shape;
        // A pooling drops a last odd row or column; what is dropped is not computed.
        let cut = |size: usize| if pool { size / 2 } else { size.div_ceil(2) };
        Self { height, width, outputs, pool, rows: cut(height), cols: cut(width) }
    }

    /// Tiles of an image.
    pub(super) fn count(&self) -> usize {
        self.rows * self.cols
    }

    /// Numbers in an output image.
    pub(super) fn output_len(&self) -> usize {
        self.outputs * if self.pool { self.count() } else { self.height * self.width }
    }

    /// Where channel `channel` of pixel `pixel` (0..4, in reading order) of a tile lies in an output image that is
    /// not pooled; none beyond its edge.
    #[inline(always)]
    fn place(&self, row: usize, col: usize, pixel: usize, channel: usize) -> Option<usize> {
        let (y, x) = (2 * row + pixel / 2, 2 * col + pixel % 2);
        (y < self.height && x < self.width).then_some((y * self.width + x) * self.outputs + channel)
    }

    /// Writes a vector of channels from `channel` on, for the four pixels of a tile, to an output image.
    #[inline(always)]
    pub(super) fn emit<S: Simd>(
        &self,
        simd: S,
        (row, col): (usize, usize),
        channel: usize,
        values: [S::f32s; 4],
        y: &mut [f32],
        picks: &mut [u32],
    ) {
        let count = S::F32_LANES.min(self.outputs - channel);
        if !self.pool {
            for pixel in 0..4 {
                if let Some(at) = self.place(row, col, pixel, channel) {
                    put(simd, &mut y[at..at + count], values[pixel]);
                }
            }
            return;
        }
        let (mut best, mut pick) = (values[0], simd.splat_u32s(0));
        for pixel in 1..4 {
            let larger = simd.greater_than_f32s(values[pixel], best);
            best = simd.select_f32s(larger, values[pixel], best);
            pick = simd.select_u32s(larger, simd.splat_u32s(pixel as u32), pick);
        }
        let at = (row * self.cols + col) * self.outputs + channel;
        put(simd, &mut y[at..at + count], best);
        let picks = &mut picks[at..at + count];
        match S::as_mut_simd_u32s(picks).0.first_mut() {
            Some(place) => *place = pick,
            None => simd.partial_store_u32s(picks, pick),
        }
    }

    /// The gradients of the four pixels of a tile, for a vector of channels: the adjoint of [`emit`](Self::emit).
    #[inline(always)]
    pub(super) fn collect<S: Simd>(
        &self,
        simd: S,
        (row, col): (usize, usize),
        channel: usize,
        dy: &[f32],
        picks: &[u32],
    ) -> [S::f32s; 4] {
        let mut values = [simd.splat_f32s(0.0); 4];
        if channel >= self.outputs {
            return values;
        }
        let count = S::F32_LANES.min(self.outputs - channel);
        if !self.pool {
            for pixel in 0..4 {
                if let Some(at) = self.place(row, col, pixel, channel) {
                    values[pixel] = get(simd, &dy[at..at + count]);
                }
            }
            return values;
        }
        let at = (row * self.cols + col) * self.outputs + channel;
        let given = get(simd, &dy[at..at + count]);
        let picks = &picks[at..at + count];
        let pick = match S::as_simd_u32s(picks).0.first() {
            Some(&vector) => vector,
            None => simd.partial_load_u32s(picks),
        };
        for pixel in 0..4 {
            let chosen = simd.equal_u32s(pick, simd.splat_u32s(pixel as u32));
            values[pixel] = simd.select_f32s(chosen, given, values[pixel]);
        }
        values
    }
}

/// An image with one row and column of zeros before it and enough after it, channels padded with zeros.
#[derive(Clone, Copy)]
pub(super) struct Margin {
    height: usize,
    width: usize,
    channels: usize,
    /// Rows with the margin, and columns.
    pub(super) rows: usize,
    pub(super) cols: usize,
    /// Channels with the padding.
    pub(super) depth: usize,
}

impl Margin {
    /// For the windows of all tiles.
    pub(super) fn new(shape: ConvShape, tiling: Tiling, depth: usize) -> Self {
        let ConvShape { height, width, inputs: channels, .. } = shape;
        Self { height, width, channels, rows: 2 * tiling.rows + 2, cols: 2 * tiling.cols + 2, depth }
    }

    /// Numbers in it.
    pub(super) fn len(&self) -> usize {
        self.rows * self.cols * self.depth
    }

    /// Rows and columns of the image that windows reach.
    fn inside(&self) -> (usize, usize) {
        (self.height.min(self.rows - 1), self.width.min(self.cols - 1))
    }

    /// Where row `y` of the image starts.
    fn start(&self, y: usize) -> usize {
        ((y + 1) * self.cols + 1) * self.depth
    }

    /// Lays `image` into `padded`.
    pub(super) fn fill(&self, image: &[f32], padded: &mut [f32]) {
        padded.fill(0.0);
        let (height, width) = self.inside();
        for y in 0..height {
            let from = &image[y * self.width * self.channels..][..width * self.channels];
            let to = &mut padded[self.start(y)..][..width * self.depth];
            if self.channels == self.depth {
                to.copy_from_slice(from);
                continue;
            }
            for (to, from) in to.chunks_exact_mut(self.depth).zip(from.chunks_exact(self.channels)) {
                to[..self.channels].copy_from_slice(from);
            }
        }
    }

    /// Takes the image out of `padded`: the adjoint of [`fill`](Self::fill).
    pub(super) fn take(&self, padded: &[f32], image: &mut [f32]) {
        let (height, width) = self.inside();
        if (height, width) != (self.height, self.width) {
            image.fill(0.0);
        }
        for y in 0..height {
            let to = &mut image[y * self.width * self.channels..][..width * self.channels];
            let from = &padded[self.start(y)..][..width * self.depth];
            for (to, from) in to.chunks_exact_mut(self.channels).zip(from.chunks_exact(self.depth)) {
                to.copy_from_slice(&from[..self.channels]);
            }
        }
    }
}
