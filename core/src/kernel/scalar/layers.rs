//! Layers of a network as plain loops over slices, in the order of the formula. Sums run in double precision.

use alloc::vec;

use super::super::{AdamStep, ConvShape, LinearShape, NormShape, PoolShape, SgdStep};
use super::optim;
use crate::Scalar;

/// The layers and optimisers of the reference.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::kernel) struct Layers;

impl Layers {
    pub(in crate::kernel) fn linear<T: Scalar>(
        &self,
        shape: LinearShape,
        x: &[T],
        w: &[T],
        b: &[T],
        y: &mut [T],
    ) {
        let LinearShape { rows, inputs, outputs, relu } = shape;
        for r in 0..rows {
            for o in 0..outputs {
                let mut sum = b[o].to_f64();
                for i in 0..inputs {
                    sum += x[r * inputs + i].to_f64() * w[i * outputs + o].to_f64();
                }
                y[r * outputs + o] = T::from_f64(if relu && !(sum > 0.0) { 0.0 } else { sum });
            }
        }
    }

    pub(in crate::kernel) fn linear_backward<T: Scalar>(
        &self,
        shape: LinearShape,
        x: &[T],
        w: &[T],
        y: &[T],
        dy: &mut [T],
        dw: &mut [T],
        db: &mut [T],
        dx: Option<&mut [T]>,
    ) {
        let LinearShape { rows, inputs, outputs, relu } = shape;
        if relu {
            for (dy, &y) in dy.iter_mut().zip(&y[..rows * outputs]) {
                *dy = if y > T::ZERO { *dy } else { T::ZERO };
            }
        }
        for i in 0..inputs {
            for o in 0..outputs {
                let sum: f64 =
                    (0..rows).map(|r| x[r * inputs + i].to_f64() * dy[r * outputs + o].to_f64()).sum();
                dw[i * outputs + o] = T::from_f64(sum);
            }
        }
        for o in 0..outputs {
            db[o] = T::from_f64((0..rows).map(|r| dy[r * outputs + o].to_f64()).sum());
        }
        if let Some(dx) = dx {
            for r in 0..rows {
                for i in 0..inputs {
                    let sum: f64 = (0..outputs)
                        .map(|o| dy[r * outputs + o].to_f64() * w[i * outputs + o].to_f64())
                        .sum();
                    dx[r * inputs + i] = T::from_f64(sum);
                }
            }
        }
    }

    pub(in crate::kernel) fn conv<T: Scalar>(
        &self,
        shape: ConvShape,
        x: &[T],
        w: &[T],
        y: &mut [T],
        picks: &mut [u32],
    ) {
        let (ci, co) = (shape.inputs, shape.outputs);
        let mut sums = vec![0.0_f64; shape.batch * shape.height * shape.width * co];
        taps(shape, |input, output, tap| {
            for i in 0..ci {
                for o in 0..co {
                    sums[output * co + o] += x[input * ci + i].to_f64() * w[(tap * ci + i) * co + o].to_f64();
                }
            }
        });
        if !shape.pool {
            for (y, sum) in y.iter_mut().zip(&sums) {
                *y = T::from_f64(*sum);
            }
            return;
        }
        pool_windows(shape.pooling(), |output, window| {
            let values = window.map(|at| T::from_f64(sums[at]));
            let pick = (1..4).fold(0, |best, at| if values[at] > values[best] { at } else { best });
            (y[output], picks[output]) = (values[pick], pick as u32);
        });
    }

    pub(in crate::kernel) fn conv_backward<T: Scalar>(
        &self,
        shape: ConvShape,
        x: &[T],
        w: &[T],
        dy: &[T],
        picks: &[u32],
        dw: &mut [T],
        dx: Option<&mut [T]>,
    ) {
        let (ci, co) = (shape.inputs, shape.outputs);
        // A pooling passes the gradient of a window on to the pixel that was picked.
        let mut whole =
            vec![T::ZERO; if shape.pool { shape.batch * shape.height * shape.width * co } else { 0 }];
        if shape.pool {
            pool_windows(shape.pooling(), |output, window| {
                whole[window[picks[output] as usize]] = dy[output]
            });
        }
        let dy = if shape.pool { &whole[..] } else { dy };
        let mut sums = vec![0.0_f64; 9 * ci * co];
        taps(shape, |input, output, tap| {
            for i in 0..ci {
                for o in 0..co {
                    sums[(tap * ci + i) * co + o] +=
                        x[input * ci + i].to_f64() * dy[output * co + o].to_f64();
                }
            }
        });
        for (dw, sum) in dw.iter_mut().zip(&sums) {
            *dw = T::from_f64(*sum);
        }
        if let Some(dx) = dx {
            let mut sums = vec![0.0_f64; shape.batch * shape.height * shape.width * ci];
            taps(shape, |input, output, tap| {
                for i in 0..ci {
                    for o in 0..co {
                        sums[input * ci + i] +=
                            w[(tap * ci + i) * co + o].to_f64() * dy[output * co + o].to_f64();
                    }
                }
            });
            for (dx, sum) in dx.iter_mut().zip(&sums) {
                *dx = T::from_f64(*sum);
            }
        }
    }

    pub(in crate::kernel) fn norm<T: Scalar>(
        &self,
        shape: NormShape<T>,
        x: &[T],
        affine: &[T],
        saved: &mut [T],
        running: &mut [T],
        momentum: T,
        y: &mut [T],
    ) {
        let NormShape { rows, channels, epsilon, relu } = shape;
        for c in 0..channels {
            let (mean, var) = moments(shape, x, c);
            saved[c] = T::from_f64(mean);
            saved[channels + c] = T::from_f64(1.0 / Scalar::sqrt(var + epsilon.to_f64()));
            // One row has no unbiased variance; its biased one, 0, is kept.
            let unbiased = if rows > 1 { var * rows as f64 / (rows - 1) as f64 } else { var };
            running[c] += momentum * (T::from_f64(mean) - running[c]);
            running[channels + c] += momentum * (T::from_f64(unbiased) - running[channels + c]);
            for r in 0..rows {
                let at = r * channels + c;
                let value = (x[at] - saved[c]) * (saved[channels + c] * affine[c]) + affine[channels + c];
                y[at] = if relu && !(value > T::ZERO) { T::ZERO } else { value };
            }
        }
    }

    pub(in crate::kernel) fn norm_infer<T: Scalar>(
        &self,
        shape: NormShape<T>,
        x: &[T],
        affine: &[T],
        running: &[T],
        y: &mut [T],
    ) {
        let NormShape { rows, channels, epsilon, relu } = shape;
        for c in 0..channels {
            let scale = affine[c] / (running[channels + c] + epsilon).sqrt();
            for r in 0..rows {
                let at = r * channels + c;
                let value = (x[at] - running[c]) * scale + affine[channels + c];
                y[at] = if relu && !(value > T::ZERO) { T::ZERO } else { value };
            }
        }
    }

    /// With `h = (x - mean) r`: `dshift = Σ dy`, `dscale = Σ dy h`, `dx = scale r (dy - dshift/rows - h dscale/rows)`.
    pub(in crate::kernel) fn norm_backward<T: Scalar>(
        &self,
        shape: NormShape<T>,
        x: &[T],
        affine: &[T],
        saved: &[T],
        dy: &[T],
        daffine: &mut [T],
        dx: &mut [T],
    ) {
        let NormShape { rows, channels, relu, .. } = shape;
        for c in 0..channels {
            let (mean, inverse) = (saved[c], saved[channels + c]);
            let active =
                |at: usize| !relu || (x[at] - mean) * (inverse * affine[c]) + affine[channels + c] > T::ZERO;
            let given = |at: usize| if active(at) { dy[at] } else { T::ZERO };
            let (mut dshift, mut dscale) = (0.0, 0.0);
            for r in 0..rows {
                let at = r * channels + c;
                dshift += given(at).to_f64();
                dscale += given(at).to_f64() * ((x[at] - mean) * inverse).to_f64();
            }
            daffine[c] = T::from_f64(dscale);
            daffine[channels + c] = T::from_f64(dshift);
            let (mean_shift, mean_scale) =
                (T::from_f64(dshift / rows as f64), T::from_f64(dscale / rows as f64));
            for r in 0..rows {
                let at = r * channels + c;
                let h = (x[at] - mean) * inverse;
                dx[at] = affine[c] * inverse * (given(at) - mean_shift - h * mean_scale);
            }
        }
    }

    pub(in crate::kernel) fn relu<T: Scalar>(&self, x: &[T], y: &mut [T]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = if x > T::ZERO { x } else { T::ZERO };
        }
    }

    pub(in crate::kernel) fn relu_backward<T: Scalar>(&self, y: &[T], dy: &[T], dx: &mut [T]) {
        for ((dx, &y), &dy) in dx.iter_mut().zip(y).zip(dy) {
            *dx = if y > T::ZERO { dy } else { T::ZERO };
        }
    }

    pub(in crate::kernel) fn max_pool<T: Scalar>(&self, shape: PoolShape, x: &[T], y: &mut [T]) {
        pool_windows(shape, |output, window| y[output] = x[first_largest(x, window)]);
    }

    pub(in crate::kernel) fn max_pool_backward<T: Scalar>(
        &self,
        shape: PoolShape,
        x: &[T],
        dy: &[T],
        dx: &mut [T],
    ) {
        dx[..shape.batch * shape.height * shape.width * shape.channels].fill(T::ZERO);
        pool_windows(shape, |output, window| dx[first_largest(x, window)] = dy[output]);
    }

    pub(in crate::kernel) fn mean_pool<T: Scalar>(&self, shape: PoolShape, x: &[T], y: &mut [T]) {
        let (pixels, channels) = (shape.height * shape.width, shape.channels);
        for image in 0..shape.batch {
            for c in 0..channels {
                let sum: f64 = (0..pixels).map(|p| x[(image * pixels + p) * channels + c].to_f64()).sum();
                y[image * channels + c] = T::from_f64(sum / pixels as f64);
            }
        }
    }

    pub(in crate::kernel) fn mean_pool_backward<T: Scalar>(&self, shape: PoolShape, dy: &[T], dx: &mut [T]) {
        let (pixels, channels) = (shape.height * shape.width, shape.channels);
        let share = T::ONE / T::from_usize(pixels);
        for image in 0..shape.batch {
            for p in 0..pixels {
                for c in 0..channels {
                    dx[(image * pixels + p) * channels + c] = dy[image * channels + c] * share;
                }
            }
        }
    }

    pub(in crate::kernel) fn adam<T: Scalar>(
        &self,
        step: AdamStep<T>,
        w: &mut [T],
        g: &[T],
        m: &mut [T],
        v: &mut [T],
    ) {
        optim::adam(step, w, g, m, v);
    }

    pub(in crate::kernel) fn sgd<T: Scalar>(&self, step: SgdStep<T>, w: &mut [T], g: &[T], u: &mut [T]) {
        optim::sgd(step, w, g, u);
    }
}

/// Calls `visit(input pixel, output pixel, tap)` for every pair that a 3x3 kernel with padding 1 joins; pixels are
/// indices over the whole batch, taps are 0..9 in reading order.
fn taps(shape: ConvShape, mut visit: impl FnMut(usize, usize, usize)) {
    let ConvShape { batch, height, width, .. } = shape;
    for image in 0..batch {
        for y in 0..height {
            for x in 0..width {
                for tap in 0..9 {
                    let (sy, sx) = (y + tap / 3, x + tap % 3);
                    if (1..=height).contains(&sy) && (1..=width).contains(&sx) {
                        let origin = image * height * width;
                        visit(origin + (sy - 1) * width + sx - 1, origin + y * width + x, tap);
                    }
                }
            }
        }
    }
}

/// Mean and biased variance of each channel.
fn moments<T: Scalar>(shape: NormShape<T>, x: &[T], channel: usize) -> (f64, f64) {
    let NormShape { rows, channels, .. } = shape;
    let value = |r: usize| x[r * channels + channel].to_f64();
    let mean = (0..rows).map(value).sum::<f64>() / rows as f64;
    let var = (0..rows).map(|r| (value(r) - mean) * (value(r) - mean)).sum::<f64>() / rows as f64;
    (mean, var)
}

/// Calls `visit(output number, its window of four input numbers in reading order)`.
pub(crate) fn pool_windows(shape: PoolShape, mut visit: impl FnMut(usize, [usize; 4])) {
    let PoolShape { batch, height, width, channels } = shape;
    let (oh, ow) = (height / 2, width / 2);
    for image in 0..batch {
        for y in 0..oh {
            for x in 0..ow {
                for c in 0..channels {
                    let at = |dy: usize, dx: usize| {
                        ((image * height + 2 * y + dy) * width + 2 * x + dx) * channels + c
                    };
                    let output = ((image * oh + y) * ow + x) * channels + c;
                    visit(output, [at(0, 0), at(0, 1), at(1, 0), at(1, 1)]);
                }
            }
        }
    }
}

/// The first largest of a window.
fn first_largest<T: Scalar>(x: &[T], window: [usize; 4]) -> usize {
    window.into_iter().fold(window[0], |best, at| if x[at] > x[best] { at } else { best })
}
