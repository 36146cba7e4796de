//! Layers as products of whole matrices: the path of f64, which checks gradients rather than trains.
//!
//! A convolution unfolds its input; the pooling after it is a pass of its own. Work is cut by shape as everywhere.

use rayon::prelude::*;

use super::InstructionSet;
use super::product::{Mat, Packed, product};
use crate::Scalar;
use crate::kernel::scalar::layers::pool_windows;
use crate::kernel::{ConvShape, LinearShape};

/// Rows of a linear layer that one task computes.
const LINEAR_ROWS: usize = 64;
/// Rows of an unfolded convolution that one product takes, at least: enough to pay for packing the weights.
const CONV_ROWS: usize = 392;
/// Partial sums of a convolution's weight gradient.
const CONV_PARTS: usize = 16;

pub(super) fn linear<T: Scalar>(
    set: InstructionSet,
    shape: LinearShape,
    x: &[T],
    w: &[T],
    b: &[T],
    y: &mut [T],
) {
    let LinearShape { rows, inputs, outputs, relu } = shape;
    let w = Packed::new(set, Mat::new(w, inputs, outputs));
    let (x, y) = (&x[..rows * inputs], &mut y[..rows * outputs]);
    y.par_chunks_mut(LINEAR_ROWS * outputs).zip(x.par_chunks(LINEAR_ROWS * inputs)).for_each(|(y, x)| {
        for row in y.chunks_exact_mut(outputs) {
            row.copy_from_slice(&b[..outputs]);
        }
        product(Mat::new(x, x.len() / inputs, inputs), &w, true, y);
        if relu {
            for y in y {
                *y = if *y > T::ZERO { *y } else { T::ZERO };
            }
        }
    });
}

/// `dw` and `dx` from a `dy` in which inactive outputs are 0 already.
pub(super) fn linear_backward<T: Scalar>(
    set: InstructionSet,
    shape: LinearShape,
    x: &[T],
    w: &[T],
    dy: &[T],
    dw: &mut [T],
    dx: Option<&mut [T]>,
) {
    let LinearShape { rows, inputs, outputs, .. } = shape;
    let (dw, dy) = (&mut dw[..inputs * outputs], &dy[..rows * outputs]);
    let dy_packed = Packed::new(set, Mat::new(dy, rows, outputs));
    // A task computes some rows of dw: it reads a band of columns of x, gathered first so that the product sees a
    // whole matrix.
    dw.par_chunks_mut(LINEAR_ROWS * outputs).enumerate().for_each(|(task, dw)| {
        let band = dw.len() / outputs;
        let first = task * LINEAR_ROWS;
        let gathered: Vec<T> = x[..rows * inputs]
            .chunks_exact(inputs)
            .flat_map(|row| row[first..first + band].iter().copied())
            .collect();
        product(Mat::new(&gathered, rows, band).t(), &dy_packed, false, dw);
    });
    if let Some(dx) = dx {
        let w = Packed::new(set, Mat::new(w, inputs, outputs).t());
        dx[..rows * inputs]
            .par_chunks_mut(LINEAR_ROWS * inputs)
            .zip(dy.par_chunks(LINEAR_ROWS * outputs))
            .for_each(|(dx, dy)| product(Mat::new(dy, dy.len() / outputs, outputs), &w, false, dx));
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

fn conv_whole<T: Scalar>(set: InstructionSet, shape: ConvShape, x: &[T], w: &[T], y: &mut [T]) {
    let ConvShape { batch, height, width, inputs, outputs, .. } = shape;
    let pixels = height * width;
    let together = images_together(shape);
    let w = Packed::new(set, Mat::new(w, 9 * inputs, outputs));
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
                product(Mat::new(cols, rows, 9 * inputs), &w, false, y);
            },
        );
}

fn conv_whole_backward<T: Scalar>(
    set: InstructionSet,
    shape: ConvShape,
    x: &[T],
    w: &[T],
    dy: &[T],
    dw: &mut [T],
    dx: Option<&mut [T]>,
) {
    let ConvShape { batch, height, width, inputs, outputs, .. } = shape;
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
                    let dy = Packed::new(set, Mat::new(dy, rows, outputs));
                    product(Mat::new(cols, rows, 9 * inputs).t(), &dy, true, &mut part);
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
        let w = Packed::new(set, Mat::new(w, 9 * inputs, outputs).t());
        dx[..batch * pixels * inputs]
            .par_chunks_mut(together * pixels * inputs)
            .zip(dy.par_chunks(together * pixels * outputs))
            .for_each_init(
                || vec![T::ZERO; together * pixels * 9 * inputs],
                |cols, (dx, dy)| {
                    product(Mat::new(dy, dy.len() / outputs, outputs), &w, false, cols);
                    for (image, cols) in
                        dx.chunks_exact_mut(pixels * inputs).zip(cols.chunks_exact(pixels * 9 * inputs))
                    {
                        fold(height, width, inputs, cols, image);
                    }
                },
            );
    }
}

pub(super) fn conv<T: Scalar>(
    set: InstructionSet,
    shape: ConvShape,
    x: &[T],
    w: &[T],
    y: &mut [T],
    picks: &mut [u32],
) {
    if !shape.pool {
        return conv_whole(set, shape, x, w, y);
    }
    let mut whole = vec![T::ZERO; shape.batch * shape.height * shape.width * shape.outputs];
    conv_whole(set, shape, x, w, &mut whole);
    pool_windows(shape.pooling(), |output, window| {
        let pick = (1..4).fold(0, |best, at| if whole[window[at]] > whole[window[best]] { at } else { best });
        (y[output], picks[output]) = (whole[window[pick]], pick as u32);
    });
}

pub(super) fn conv_backward<T: Scalar>(
    set: InstructionSet,
    shape: ConvShape,
    x: &[T],
    w: &[T],
    dy: &[T],
    picks: &[u32],
    dw: &mut [T],
    dx: Option<&mut [T]>,
) {
    if !shape.pool {
        return conv_whole_backward(set, shape, x, w, dy, dw, dx);
    }
    let mut whole = vec![T::ZERO; shape.batch * shape.height * shape.width * shape.outputs];
    pool_windows(shape.pooling(), |output, window| whole[window[picks[output] as usize]] = dy[output]);
    conv_whole_backward(set, shape, x, w, &whole, dw, dx);
}
