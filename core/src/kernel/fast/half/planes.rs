//! Images one behind the other, so that a window's nine pixels lie at nine fixed distances.
//!
//! ```text
//! lead | image 0: rows of width pixels and one of zeros; a row of zeros | image 1 | ... | lead
//! ```
//! The zeros at the end of a row are those before the next one as well, and so are those between images. A product over
//! all positions, zeros too, then needs no unfolding: tap (i, j) is the same array, begun `i pitch + j` positions later.
//! What it finds at the zeros' own positions is read by nobody.

use pulp::{Simd, WithSimd};

use super::pack::{round, round_row};
use super::tiles::BLOCK;
use crate::kernel::ConvShape;

/// Positions that are multiplied before the next images come: few, so that they stay in the second cache.
const POSITIONS: usize = 1024;

/// Some images of one size, each position with `depth` numbers: its channels and zeros up to whole steps.
#[derive(Clone, Copy)]
pub(super) struct Planes {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
    pub(super) depth: usize,
    pub(super) images: usize,
}

impl Planes {
    /// `images` inputs of a convolution.
    pub(super) fn inputs(shape: ConvShape, images: usize) -> Self {
        let ConvShape { height, width, inputs: channels, .. } = shape;
        Self { height, width, channels, depth: channels.next_multiple_of(BLOCK), images }
    }

    /// `images` outputs of it, before the pooling.
    pub(super) fn outputs(shape: ConvShape, images: usize) -> Self {
        Self::inputs(ConvShape { inputs: shape.outputs, ..shape }, images)
    }

    /// Images that are taken at once, of `images`.
    pub(super) fn at_once(shape: ConvShape, images: usize) -> usize {
        (POSITIONS / Self::inputs(shape, 1).image()).clamp(1, images)
    }

    /// Positions from one row of pixels to the next.
    fn pitch(&self) -> usize {
        self.width + 1
    }

    /// Positions of an image with its zeros.
    fn image(&self) -> usize {
        (self.height + 1) * self.pitch()
    }

    /// Positions before the first image: as far as its first window reaches back.
    pub(super) fn lead(&self) -> usize {
        self.pitch() + 1
    }

    /// Positions that are multiplied: whole blocks.
    pub(super) fn rows(&self) -> usize {
        (self.images * self.image()).next_multiple_of(BLOCK)
    }

    /// Positions in all: whole blocks.
    pub(super) fn positions(&self) -> usize {
        (self.rows() + 2 * self.lead()).next_multiple_of(BLOCK)
    }

    /// Numbers in all.
    pub(super) fn len(&self) -> usize {
        self.positions() * self.depth
    }

    /// Where each tap of the first window lies, if positions are `step` numbers apart.
    pub(super) fn taps(&self, step: usize) -> [usize; 9] {
        core::array::from_fn(|tap| (tap / 3 * self.pitch() + tap % 3) * step)
    }

    /// Which row of the product is pixel (y, x) of an image.
    fn row(&self, image: usize, y: usize, x: usize) -> usize {
        image * self.image() + y * self.pitch() + x
    }

    /// Lays images down, rounded.
    #[inline(always)]
    pub(super) fn fill(&self, images: &[f32], to: &mut [u16]) {
        let Self { height, width, channels, depth, .. } = *self;
        let mut filled = 0;
        for (line, from) in images.chunks_exact(width * channels).enumerate() {
            let at = (self.lead() + self.row(line / height, line % height, 0)) * depth;
            to[filled..at].fill(0);
            filled = at + width * depth;
            if channels == depth {
                round_row(from, &mut to[at..filled]);
                continue;
            }
            for (to, from) in to[at..filled].chunks_exact_mut(depth).zip(from.chunks_exact(channels)) {
                round_row(from, to);
            }
        }
        to[filled..self.len()].fill(0);
    }

    /// Lays the gradients of pooled images down, rounded: each at the pixel that was picked.
    #[inline(always)]
    pub(super) fn spread(&self, pooled: &[f32], picks: &[u32], to: &mut [u16]) {
        let Self { channels, depth, .. } = *self;
        to[..self.len()].fill(0);
        for (window, (from, picks)) in
            pooled.chunks_exact(channels).zip(picks.chunks_exact(channels)).enumerate()
        {
            for pixel in 0..4 {
                let at = (self.lead() + self.pixel(window, pixel)) * depth;
                for ((to, &from), &pick) in to[at..at + channels].iter_mut().zip(from).zip(picks) {
                    *to = if pick as usize == pixel { round(from) } else { 0 };
                }
            }
        }
    }

    /// The row of a pixel, 0 to 3 in reading order, of a window of the pooling.
    fn pixel(&self, window: usize, pixel: usize) -> usize {
        let (rows, cols) = (self.height / 2, self.width / 2);
        let (image, row, col) = (window / (rows * cols), window / cols % rows, window % cols);
        self.row(image, 2 * row + pixel / 2, 2 * col + pixel % 2)
    }

    /// Takes images out of the sums of a product.
    #[inline(always)]
    fn take(&self, sums: &[f32], images: &mut [f32]) {
        let Self { height, width, channels, depth, .. } = *self;
        for (line, to) in images.chunks_exact_mut(width * channels).enumerate() {
            let from = &sums[self.row(line / height, line % height, 0) * depth..];
            for (to, from) in to.chunks_exact_mut(channels).zip(from.chunks(depth)) {
                to.copy_from_slice(&from[..channels]);
            }
        }
    }

    /// As [`take`](Self::take), of each window of the pooling the first largest number, and which of the four it was.
    #[inline(always)]
    fn pool(&self, sums: &[f32], pooled: &mut [f32], picks: &mut [u32]) {
        let Self { channels, depth, .. } = *self;
        let windows = pooled.chunks_exact_mut(channels).zip(picks.chunks_exact_mut(channels));
        for (window, (best, picks)) in windows.enumerate() {
            let of = |pixel: usize| &sums[self.pixel(window, pixel) * depth..][..channels];
            best.copy_from_slice(of(0));
            picks.fill(0);
            for pixel in 1..4 {
                for ((best, pick), &value) in best.iter_mut().zip(&mut *picks).zip(of(pixel)) {
                    let larger = value > *best;
                    *best = if larger { value } else { *best };
                    *pick = if larger { pixel as u32 } else { *pick };
                }
            }
        }
    }
}

/// Lays images down.
pub(super) struct Fill<'a> {
    pub(super) planes: Planes,
    pub(super) images: &'a [f32],
    pub(super) to: &'a mut [u16],
}

impl WithSimd for Fill<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.planes.fill(self.images, self.to);
    }
}

/// Takes images out of the sums of a product: pooled where there is room for what was picked.
pub(super) struct Take<'a> {
    pub(super) planes: Planes,
    pub(super) sums: &'a [f32],
    pub(super) images: &'a mut [f32],
    pub(super) picks: Option<&'a mut [u32]>,
}

impl WithSimd for Take<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        match self.picks {
            Some(picks) => self.planes.pool(self.sums, self.images, picks),
            None => self.planes.take(self.sums, self.images),
        }
    }
}
