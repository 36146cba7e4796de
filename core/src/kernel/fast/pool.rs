//! Pooling and the ReLU where they stand alone: streamed loops, image by image or in pieces of a fixed size.

use rayon::prelude::*;

use super::Layers;
use crate::Scalar;
use crate::kernel::PoolShape;

/// Numbers in one task of an elementwise loop.
const ELEMENTS: usize = 1 << 14;

impl Layers {
    pub(in crate::kernel) fn relu<T: Scalar>(&self, x: &[T], y: &mut [T]) {
        y.par_chunks_mut(ELEMENTS).zip(x.par_chunks(ELEMENTS)).for_each(|(y, x)| {
            for (y, &x) in y.iter_mut().zip(x) {
                *y = if x > T::ZERO { x } else { T::ZERO };
            }
        });
    }

    pub(in crate::kernel) fn relu_backward<T: Scalar>(&self, y: &[T], dy: &[T], dx: &mut [T]) {
        dx.par_chunks_mut(ELEMENTS).zip(y.par_chunks(ELEMENTS)).zip(dy.par_chunks(ELEMENTS)).for_each(
            |((dx, y), dy)| {
                for ((dx, &y), &dy) in dx.iter_mut().zip(y).zip(dy) {
                    *dx = if y > T::ZERO { dy } else { T::ZERO };
                }
            },
        );
    }

    pub(in crate::kernel) fn max_pool<T: Scalar>(&self, shape: PoolShape, x: &[T], y: &mut [T]) {
        let PoolShape { batch, height, width, channels } = shape;
        let (oh, ow) = (height / 2, width / 2);
        if oh * ow == 0 {
            return;
        }
        per_image(batch, (x, height * width * channels), (y, oh * ow * channels), |x, y| {
            for (pixel, y) in y.chunks_exact_mut(channels).enumerate() {
                let [a, b, c, d] = window(pixel, ow, width, channels).map(|at| &x[at..at + channels]);
                for k in 0..channels {
                    y[k] = a[k].max(b[k]).max(c[k].max(d[k]));
                }
            }
        });
    }

    pub(in crate::kernel) fn max_pool_backward<T: Scalar>(
        &self,
        shape: PoolShape,
        x: &[T],
        dy: &[T],
        dx: &mut [T],
    ) {
        let PoolShape { batch, height, width, channels } = shape;
        let (oh, ow) = (height / 2, width / 2);
        let (size, pooled) = (height * width * channels, oh * ow * channels);
        let (x, dy, dx) = (&x[..batch * size], &dy[..batch * pooled], &mut dx[..batch * size]);
        if pooled == 0 {
            dx.fill(T::ZERO);
            return;
        }
        dx.par_chunks_exact_mut(size)
            .zip(x.par_chunks_exact(size))
            .zip(dy.par_chunks_exact(pooled))
            .for_each(|((dx, x), dy)| {
                // Only a last odd row or column belongs to no window.
                if (height | width) & 1 == 1 {
                    dx.fill(T::ZERO);
                }
                for (pixel, dy) in dy.chunks_exact(channels).enumerate() {
                    let at = window(pixel, ow, width, channels);
                    let whole = channels - channels % LANES;
                    for k in (0..whole).step_by(LANES) {
                        give::<T, LANES>(at.map(|at| at + k), x, &dy[k..], dx);
                    }
                    for k in whole..channels {
                        give::<T, 1>(at.map(|at| at + k), x, &dy[k..], dx);
                    }
                }
            });
    }

    pub(in crate::kernel) fn mean_pool<T: Scalar>(&self, shape: PoolShape, x: &[T], y: &mut [T]) {
        let PoolShape { batch, height, width, channels } = shape;
        let share = T::ONE / T::from_usize(height * width);
        per_image(batch, (x, height * width * channels), (y, channels), |x, y| {
            y.fill(T::ZERO);
            for x in x.chunks_exact(channels) {
                for (y, &x) in y.iter_mut().zip(x) {
                    *y += x;
                }
            }
            for y in y {
                *y *= share;
            }
        });
    }

    pub(in crate::kernel) fn mean_pool_backward<T: Scalar>(&self, shape: PoolShape, dy: &[T], dx: &mut [T]) {
        let PoolShape { batch, height, width, channels } = shape;
        let share = T::ONE / T::from_usize(height * width);
        per_image(batch, (dy, channels), (dx, height * width * channels), |dy, dx| {
            for dx in dx.chunks_exact_mut(channels) {
                for (dx, &dy) in dx.iter_mut().zip(dy) {
                    *dx = dy * share;
                }
            }
        });
    }
}

/// Runs `image(input image, output image)` over the batch; the sizes are numbers in one image.
fn per_image<T: Scalar>(
    batch: usize,
    x: (&[T], usize),
    y: (&mut [T], usize),
    image: impl Fn(&[T], &mut [T]) + Sync + Send,
) {
    let (x, y) = ((&x.0[..batch * x.1], x.1), (&mut y.0[..batch * y.1], y.1));
    y.0.par_chunks_exact_mut(y.1).zip(x.0.par_chunks_exact(x.1)).for_each(|(y, x)| image(x, y));
}

/// Where the four pixels of an output pixel's window start, in reading order.
fn window(pixel: usize, out_width: usize, width: usize, channels: usize) -> [usize; 4] {
    let first = (2 * (pixel / out_width) * width + 2 * (pixel % out_width)) * channels;
    [first, first + channels, first + width * channels, first + (width + 1) * channels]
}

/// Channels of a pixel that [`give`] takes at once.
const LANES: usize = 8;

/// Gives `L` gradients of a window to the first largest of its four pixels, in reading order, and zeros to the others.
///
/// In arrays of its own, without a branch on the data: as vector instructions it is several times as fast as a
/// scatter to the place of the largest.
fn give<T: Scalar, const L: usize>(at: [usize; 4], x: &[T], dy: &[T], dx: &mut [T]) {
    let load = |from: &[T]| -> [T; L] { from[..L].try_into().expect("L numbers") };
    let pixels = at.map(|at| load(&x[at..]));
    let mut largest = pixels[0];
    for pixel in &pixels[1..] {
        for k in 0..L {
            largest[k] = if pixel[k] > largest[k] { pixel[k] } else { largest[k] };
        }
    }
    let mut left = load(dy);
    for (at, pixel) in at.into_iter().zip(&pixels) {
        let mut given = [T::ZERO; L];
        for k in 0..L {
            given[k] = if pixel[k] < largest[k] { T::ZERO } else { left[k] };
            left[k] = if pixel[k] < largest[k] { left[k] } else { T::ZERO };
        }
        dx[at..at + L].copy_from_slice(&given);
    }
}
