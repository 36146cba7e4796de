//! Layers as matrix products and streamed loops, on threads.
//!
//! Work is cut into pieces whose size follows from the shape alone, never from the number of threads, and sums over
//! pieces run in the order of the pieces: any number of threads gives the same bits.

use rayon::prelude::*;

use super::product::{Mat, product};
use crate::Scalar;
use crate::kernel::{ConvShape, LinearShape, NormShape, PoolShape};

/// Rows of a linear layer that one task computes.
const LINEAR_ROWS: usize = 64;
/// Numbers in one task of an elementwise loop.
const ELEMENTS: usize = 1 << 14;
/// Rows whose sums are taken in the layer's own precision before they join the total in double precision.
const NORM_BLOCK: usize = 64;
/// Blocks of rows in one task of a batch norm.
const NORM_BLOCKS: usize = 32;
/// Rows of an unfolded convolution that one product takes, at least: enough to pay for packing the weights.
const CONV_ROWS: usize = 392;
/// Partial sums of a convolution's weight gradient.
const CONV_PARTS: usize = 16;

pub(super) fn linear<T: Scalar>(shape: LinearShape, x: &[T], w: &[T], b: &[T], y: &mut [T]) {
    let LinearShape { rows, inputs, outputs } = shape;
    let w = Mat::new(w, inputs, outputs);
    let (x, y) = (&x[..rows * inputs], &mut y[..rows * outputs]);
    y.par_chunks_mut(LINEAR_ROWS * outputs).zip(x.par_chunks(LINEAR_ROWS * inputs)).for_each(|(y, x)| {
        for row in y.chunks_exact_mut(outputs) {
            row.copy_from_slice(&b[..outputs]);
        }
        product(Mat::new(x, x.len() / inputs, inputs), w, true, y);
    });
}

pub(super) fn linear_backward<T: Scalar>(
    shape: LinearShape,
    x: &[T],
    w: &[T],
    dy: &[T],
    dw: &mut [T],
    db: &mut [T],
    dx: Option<&mut [T]>,
) {
    let LinearShape { rows, inputs, outputs } = shape;
    let (dw, dy) = (&mut dw[..inputs * outputs], &dy[..rows * outputs]);
    let dy_matrix = Mat::new(dy, rows, outputs);
    // A task computes some rows of dw: it reads a band of columns of x, gathered first so that the product sees a
    // whole matrix.
    dw.par_chunks_mut(LINEAR_ROWS * outputs).enumerate().for_each(|(task, dw)| {
        let band = dw.len() / outputs;
        let first = task * LINEAR_ROWS;
        let gathered: Vec<T> = x[..rows * inputs]
            .chunks_exact(inputs)
            .flat_map(|row| row[first..first + band].iter().copied())
            .collect();
        product(Mat::new(&gathered, rows, band).t(), dy_matrix, false, dw);
    });
    db[..outputs].fill(T::ZERO);
    for row in dy.chunks_exact(outputs) {
        for (db, &dy) in db.iter_mut().zip(row) {
            *db += dy;
        }
    }
    if let Some(dx) = dx {
        let w = Mat::new(w, inputs, outputs).t();
        dx[..rows * inputs]
            .par_chunks_mut(LINEAR_ROWS * inputs)
            .zip(dy.par_chunks(LINEAR_ROWS * outputs))
            .for_each(|(dx, dy)| product(Mat::new(dy, dy.len() / outputs, outputs), w, false, dx));
    }
}

/// Unfolds one image for a 3x3 kernel: row p of `cols` holds the nine neighbours of pixel p, `[9, channels]`.
fn unfold<T: Scalar>(height: usize, width: usize, channels: usize, image: &[T], cols: &mut [T]) {
    for (pixel, patch) in cols.chunks_exact_mut(9 * channels).enumerate() {
        let (y, x) = (pixel / width, pixel % width);
        for (dy, band) in patch.chunks_exact_mut(3 * channels).enumerate() {
            let (first, last) = neighbours(x, width);
            if y + dy == 0 || y + dy > height {
                band.fill(T::ZERO);
                continue;
            }
            let source = (y + dy - 1) * width;
            // The three horizontal neighbours lie side by side; at an edge one of them is padding.
            let (left, right) = ((first + 1 - x) * channels, (last + 1 - x + 1) * channels);
            band[..left].fill(T::ZERO);
            band[left..right]
                .copy_from_slice(&image[(source + first) * channels..(source + last + 1) * channels]);
            band[right..].fill(T::ZERO);
        }
    }
}

/// The adjoint of [`unfold`]: adds each patch back to the pixels that it was taken from.
fn fold<T: Scalar>(height: usize, width: usize, channels: usize, cols: &[T], image: &mut [T]) {
    image.fill(T::ZERO);
    for (pixel, patch) in cols.chunks_exact(9 * channels).enumerate() {
        let (y, x) = (pixel / width, pixel % width);
        for (dy, band) in patch.chunks_exact(3 * channels).enumerate() {
            if y + dy == 0 || y + dy > height {
                continue;
            }
            let (first, last) = neighbours(x, width);
            let source = (y + dy - 1) * width;
            let (left, right) = ((first + 1 - x) * channels, (last + 1 - x + 1) * channels);
            let target = &mut image[(source + first) * channels..(source + last + 1) * channels];
            for (target, &value) in target.iter_mut().zip(&band[left..right]) {
                *target += value;
            }
        }
    }
}

/// First and last column within one of `x`.
fn neighbours(x: usize, width: usize) -> (usize, usize) {
    (x.saturating_sub(1), (x + 1).min(width - 1))
}

/// Images that one product of a convolution takes together.
fn images_together(shape: ConvShape) -> usize {
    CONV_ROWS.div_ceil(shape.height * shape.width).min(shape.batch).max(1)
}

pub(super) fn conv<T: Scalar>(shape: ConvShape, x: &[T], w: &[T], y: &mut [T]) {
    let ConvShape { batch, height, width, inputs, outputs } = shape;
    let pixels = height * width;
    let together = images_together(shape);
    let w = Mat::new(w, 9 * inputs, outputs);
    let (x, y) = (&x[..batch * pixels * inputs], &mut y[..batch * pixels * outputs]);
    y.par_chunks_mut(together * pixels * outputs)
        .zip(x.par_chunks(together * pixels * inputs))
        .for_each_init(
            || vec![T::ZERO; together * pixels * 9 * inputs],
            |cols, (y, x)| {
                let rows = x.len() / inputs;
                for (image, cols) in
                    x.chunks_exact(pixels * inputs).zip(cols.chunks_exact_mut(pixels * 9 * inputs))
                {
                    unfold(height, width, inputs, image, cols);
                }
                product(Mat::new(cols, rows, 9 * inputs), w, false, y);
            },
        );
}

pub(super) fn conv_backward<T: Scalar>(
    shape: ConvShape,
    x: &[T],
    w: &[T],
    dy: &[T],
    dw: &mut [T],
    dx: Option<&mut [T]>,
) {
    let ConvShape { batch, height, width, inputs, outputs } = shape;
    let pixels = height * width;
    let together = images_together(shape);
    let (x, dy) = (&x[..batch * pixels * inputs], &dy[..batch * pixels * outputs]);
    let dw = &mut dw[..9 * inputs * outputs];
    // The batch falls into at most CONV_PARTS parts, each with its own sum, added in order at the end.
    let images_a_part = batch.div_ceil(CONV_PARTS).next_multiple_of(together);
    let parts: Vec<Vec<T>> = x
        .par_chunks(images_a_part * pixels * inputs)
        .zip(dy.par_chunks(images_a_part * pixels * outputs))
        .map_init(
            || vec![T::ZERO; together * pixels * 9 * inputs],
            |cols, (x, dy)| {
                let mut part = vec![T::ZERO; 9 * inputs * outputs];
                for (x, dy) in
                    x.chunks(together * pixels * inputs).zip(dy.chunks(together * pixels * outputs))
                {
                    let rows = x.len() / inputs;
                    for (image, cols) in
                        x.chunks_exact(pixels * inputs).zip(cols.chunks_exact_mut(pixels * 9 * inputs))
                    {
                        unfold(height, width, inputs, image, cols);
                    }
                    product(
                        Mat::new(cols, rows, 9 * inputs).t(),
                        Mat::new(dy, rows, outputs),
                        true,
                        &mut part,
                    );
                }
                part
            },
        )
        .collect();
    dw.fill(T::ZERO);
    for part in &parts {
        for (dw, &part) in dw.iter_mut().zip(part) {
            *dw += part;
        }
    }
    if let Some(dx) = dx {
        let w = Mat::new(w, 9 * inputs, outputs).t();
        dx[..batch * pixels * inputs]
            .par_chunks_mut(together * pixels * inputs)
            .zip(dy.par_chunks(together * pixels * outputs))
            .for_each_init(
                || vec![T::ZERO; together * pixels * 9 * inputs],
                |cols, (dx, dy)| {
                    product(Mat::new(dy, dy.len() / outputs, outputs), w, false, cols);
                    for (image, cols) in
                        dx.chunks_exact_mut(pixels * inputs).zip(cols.chunks_exact(pixels * 9 * inputs))
                    {
                        fold(height, width, inputs, cols, image);
                    }
                },
            );
    }
}

/// Sums over rows of `term(row numbers of x, of y)` for each channel: short runs in T, totals in double precision,
/// both in a fixed order. `width` numbers a row are summed.
fn column_sums<T: Scalar>(
    channels: usize,
    width: usize,
    x: &[T],
    y: &[T],
    term: impl Fn(&[T], &[T], &mut [T]) + Sync,
) -> Vec<f64> {
    let piece = NORM_BLOCK * NORM_BLOCKS * channels;
    let parts: Vec<Vec<f64>> = x
        .par_chunks(piece)
        .zip(y.par_chunks(piece))
        .map(|(x, y)| {
            let mut total = vec![0.0_f64; width];
            let mut run = vec![T::ZERO; width];
            for (x, y) in x.chunks(NORM_BLOCK * channels).zip(y.chunks(NORM_BLOCK * channels)) {
                run.fill(T::ZERO);
                for (x, y) in x.chunks_exact(channels).zip(y.chunks_exact(channels)) {
                    term(x, y, &mut run);
                }
                for (total, run) in total.iter_mut().zip(&run) {
                    *total += run.to_f64();
                }
            }
            total
        })
        .collect();
    let mut sums = vec![0.0; width];
    for part in &parts {
        for (sum, part) in sums.iter_mut().zip(part) {
            *sum += part;
        }
    }
    sums
}

pub(super) fn norm<T: Scalar>(
    shape: NormShape<T>,
    x: &[T],
    affine: &[T],
    saved: &mut [T],
    running: &mut [T],
    momentum: T,
    y: &mut [T],
) {
    let NormShape { rows, channels, epsilon } = shape;
    let (x, y) = (&x[..rows * channels], &mut y[..rows * channels]);
    let sums = column_sums(channels, channels, x, x, |x, _, run| {
        for (run, &x) in run.iter_mut().zip(x) {
            *run += x;
        }
    });
    for (saved, sum) in saved.iter_mut().zip(&sums) {
        *saved = T::from_f64(sum / rows as f64);
    }
    let (mean, inverse) = saved.split_at_mut(channels);
    let mean = &*mean;
    let squares = column_sums(channels, channels, x, x, |x, _, run| {
        for c in 0..channels {
            let centred = x[c] - mean[c];
            run[c] += centred * centred;
        }
    });
    for c in 0..channels {
        let var = squares[c] / rows as f64;
        inverse[c] = T::from_f64(1.0 / Scalar::sqrt(var + epsilon.to_f64()));
        let unbiased = if rows > 1 { squares[c] / (rows - 1) as f64 } else { var };
        running[c] += momentum * (mean[c] - running[c]);
        running[channels + c] += momentum * (T::from_f64(unbiased) - running[channels + c]);
    }
    let scale: Vec<T> = (0..channels).map(|c| inverse[c] * affine[c]).collect();
    scale_shift(channels, x, mean, &scale, &affine[channels..], y);
}

/// `y = (x - mean) scale + shift`, channel by channel.
fn scale_shift<T: Scalar>(channels: usize, x: &[T], mean: &[T], scale: &[T], shift: &[T], y: &mut [T]) {
    let piece = (ELEMENTS / channels).max(1) * channels;
    y.par_chunks_mut(piece).zip(x.par_chunks(piece)).for_each(|(y, x)| {
        for (y, x) in y.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
            for c in 0..channels {
                y[c] = (x[c] - mean[c]) * scale[c] + shift[c];
            }
        }
    });
}

pub(super) fn norm_infer<T: Scalar>(shape: NormShape<T>, x: &[T], affine: &[T], running: &[T], y: &mut [T]) {
    let NormShape { rows, channels, epsilon } = shape;
    let scale: Vec<T> = (0..channels).map(|c| affine[c] / (running[channels + c] + epsilon).sqrt()).collect();
    let (x, y) = (&x[..rows * channels], &mut y[..rows * channels]);
    scale_shift(channels, x, running, &scale, &affine[channels..], y);
}

pub(super) fn norm_backward<T: Scalar>(
    shape: NormShape<T>,
    x: &[T],
    affine: &[T],
    saved: &[T],
    dy: &[T],
    daffine: &mut [T],
    dx: &mut [T],
) {
    let NormShape { rows, channels, .. } = shape;
    let (x, dy, dx) = (&x[..rows * channels], &dy[..rows * channels], &mut dx[..rows * channels]);
    let (mean, inverse) = saved.split_at(channels);
    let sums = column_sums(channels, 2 * channels, x, dy, |x, dy, run| {
        let (dscale, dshift) = run.split_at_mut(channels);
        for c in 0..channels {
            dscale[c] += dy[c] * ((x[c] - mean[c]) * inverse[c]);
            dshift[c] += dy[c];
        }
    });
    for (daffine, sum) in daffine.iter_mut().zip(&sums) {
        *daffine = T::from_f64(*sum);
    }
    let per_row: Vec<T> = sums.iter().map(|sum| T::from_f64(sum / rows as f64)).collect();
    let piece = (ELEMENTS / channels).max(1) * channels;
    dx.par_chunks_mut(piece).zip(x.par_chunks(piece)).zip(dy.par_chunks(piece)).for_each(|((dx, x), dy)| {
        for ((dx, x), dy) in
            dx.chunks_exact_mut(channels).zip(x.chunks_exact(channels)).zip(dy.chunks_exact(channels))
        {
            for c in 0..channels {
                let h = (x[c] - mean[c]) * inverse[c];
                dx[c] = affine[c] * inverse[c] * (dy[c] - per_row[channels + c] - h * per_row[c]);
            }
        }
    });
}

pub(super) fn relu<T: Scalar>(x: &[T], y: &mut [T]) {
    y.par_chunks_mut(ELEMENTS).zip(x.par_chunks(ELEMENTS)).for_each(|(y, x)| {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = if x > T::ZERO { x } else { T::ZERO };
        }
    });
}

pub(super) fn relu_backward<T: Scalar>(y: &[T], dy: &[T], dx: &mut [T]) {
    dx.par_chunks_mut(ELEMENTS).zip(y.par_chunks(ELEMENTS)).zip(dy.par_chunks(ELEMENTS)).for_each(
        |((dx, y), dy)| {
            for ((dx, &y), &dy) in dx.iter_mut().zip(y).zip(dy) {
                *dx = if y > T::ZERO { dy } else { T::ZERO };
            }
        },
    );
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

pub(super) fn max_pool<T: Scalar>(shape: PoolShape, x: &[T], y: &mut [T]) {
    let PoolShape { batch, height, width, channels } = shape;
    let (oh, ow) = (height / 2, width / 2);
    per_image(batch, (x, height * width * channels), (y, oh * ow * channels), |x, y| {
        for (pixel, y) in y.chunks_exact_mut(channels).enumerate() {
            let [a, b, c, d] = window(pixel, ow, width, channels).map(|at| &x[at..at + channels]);
            for k in 0..channels {
                y[k] = a[k].max(b[k]).max(c[k].max(d[k]));
            }
        }
    });
}

/// Where the four pixels of an output pixel's window start, in reading order.
fn window(pixel: usize, out_width: usize, width: usize, channels: usize) -> [usize; 4] {
    let first = (2 * (pixel / out_width) * width + 2 * (pixel % out_width)) * channels;
    [first, first + channels, first + width * channels, first + (width + 1) * channels]
}

pub(super) fn max_pool_backward<T: Scalar>(shape: PoolShape, x: &[T], dy: &[T], dx: &mut [T]) {
    let PoolShape { batch, height, width, channels } = shape;
    let (oh, ow) = (height / 2, width / 2);
    let (size, pooled) = (height * width * channels, oh * ow * channels);
    let (x, dy, dx) = (&x[..batch * size], &dy[..batch * pooled], &mut dx[..batch * size]);
    dx.par_chunks_exact_mut(size).zip(x.par_chunks_exact(size)).zip(dy.par_chunks_exact(pooled)).for_each(
        |((dx, x), dy)| {
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
        },
    );
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

pub(super) fn mean_pool<T: Scalar>(shape: PoolShape, x: &[T], y: &mut [T]) {
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

pub(super) fn mean_pool_backward<T: Scalar>(shape: PoolShape, dy: &[T], dx: &mut [T]) {
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
