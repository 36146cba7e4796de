//! Batch normalisation with the ReLU that may follow it. The output is computed anew where the backward pass needs to
//! know its sign, so nothing but the input is read there.
//!
//! Sums run in double precision over differences from the first row: one pass gives mean and variance, and the mean's
//! square cannot drown the variance.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::Layers;
use crate::Scalar;
use crate::kernel::NormShape;

/// Rows whose sums one task takes.
const ROWS: usize = 2048;
/// Numbers in one task of an elementwise loop.
const ELEMENTS: usize = 1 << 14;

impl Layers {
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
        let NormShape { rows, channels, epsilon, .. } = shape;
        let x = &x[..rows * channels];
        let Some(origin) = x.get(..channels).filter(|origin| !origin.is_empty()) else { return };
        self.scratch.double(2 * channels, |sums| {
            self.sums(channels, x, x, sums, Moments { origin });
            let count = rows as f64;
            for c in 0..channels {
                let mean = sums[c] / count;
                let squares = Scalar::max(sums[channels + c] - sums[c] * mean, 0.0);
                let var = squares / count;
                saved[c] = T::from_f64(origin[c].to_f64() + mean);
                saved[channels + c] = T::from_f64(1.0 / Scalar::sqrt(var + epsilon.to_f64()));
                let unbiased = if rows > 1 { squares / (count - 1.0) } else { var };
                running[c] += momentum * (saved[c] - running[c]);
                running[channels + c] += momentum * (T::from_f64(unbiased) - running[channels + c]);
            }
        });
        let (mean, inverse) = saved.split_at(channels);
        self.scaled(shape, x, mean, affine, inverse, y);
    }

    pub(in crate::kernel) fn norm_infer<T: Scalar>(
        &self,
        shape: NormShape<T>,
        x: &[T],
        affine: &[T],
        running: &[T],
        y: &mut [T],
    ) {
        let NormShape { rows, channels, epsilon, .. } = shape;
        let (mean, var) = running.split_at(channels);
        let inverse: Vec<T> = var[..channels].iter().map(|&v| T::ONE / (v + epsilon).sqrt()).collect();
        self.scaled(shape, &x[..rows * channels], mean, affine, &inverse, y);
    }

    /// `y = (x - mean) (inverse scale) + shift`, channel by channel, and the ReLU.
    fn scaled<T: Scalar>(
        &self,
        shape: NormShape<T>,
        x: &[T],
        mean: &[T],
        affine: &[T],
        inverse: &[T],
        y: &mut [T],
    ) {
        let affine = Affine::new(shape, mean, affine, inverse);
        let piece = pieces(shape.channels);
        y[..x.len()].par_chunks_mut(piece).zip(x.par_chunks(piece)).for_each(|(y, x)| {
            self.set.run(Apply { affine, x, y });
        });
    }

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
        let NormShape { rows, channels, .. } = shape;
        let (x, dy, dx) = (&x[..rows * channels], &dy[..rows * channels], &mut dx[..rows * channels]);
        if x.is_empty() {
            return;
        }
        let (mean, inverse) = saved.split_at(channels);
        let affine = Affine::new(shape, mean, affine, inverse);
        self.scratch.double(2 * channels, |sums| {
            self.sums(channels, x, dy, sums, affine);
            for (daffine, &sum) in daffine.iter_mut().zip(&*sums) {
                *daffine = T::from_f64(sum);
            }
        });
        let daffine = &daffine[..2 * channels];
        let share = T::ONE / T::from_usize(rows);
        let piece = pieces(channels);
        dx.par_chunks_mut(piece)
            .zip(x.par_chunks(piece))
            .zip(dy.par_chunks(piece))
            .for_each(|((dx, x), dy)| self.set.run(Back { affine, share, daffine, x, dy, dx }));
    }

    /// Two sums over rows for each channel, `[first sums; second sums]`, of `term` of x and y.
    fn sums<T: Scalar>(&self, channels: usize, x: &[T], y: &[T], sums: &mut [f64], term: impl Term<T>) {
        let piece = ROWS * channels;
        self.scratch.double(x.len().div_ceil(piece) * 2 * channels, |parts| {
            let inputs = x.par_chunks(piece).zip(y.par_chunks(piece));
            parts.par_chunks_mut(2 * channels).zip(inputs).for_each(|(part, (x, y))| {
                self.set.run(Sums { channels, x, y, term, part });
            });
            sums.fill(0.0);
            for part in parts.chunks_exact(2 * channels) {
                for (sum, part) in sums.iter_mut().zip(part) {
                    *sum += part;
                }
            }
        });
    }
}

/// Whole rows of about [`ELEMENTS`] numbers.
fn pieces(channels: usize) -> usize {
    (ELEMENTS / channels).max(1) * channels
}

/// What makes an output of an input.
#[derive(Clone, Copy)]
struct Affine<'a, T> {
    relu: bool,
    mean: &'a [T],
    inverse: &'a [T],
    scale: &'a [T],
    shift: &'a [T],
}

impl<'a, T: Scalar> Affine<'a, T> {
    fn new(shape: NormShape<T>, mean: &'a [T], affine: &'a [T], inverse: &'a [T]) -> Self {
        let channels = shape.channels;
        let (scale, shift) = affine[..2 * channels].split_at(channels);
        Self { relu: shape.relu, mean: &mean[..channels], inverse: &inverse[..channels], scale, shift }
    }
}

/// Two numbers of each channel of a row, to be summed over the rows.
trait Term<T>: Copy + Sync {
    /// Adds those of a row; all five have a number for each channel.
    fn add(&self, x: &[T], y: &[T], first: &mut [f64], second: &mut [f64]);
}

/// Difference from the first row, and its square.
#[derive(Clone, Copy)]
struct Moments<'a, T> {
    origin: &'a [T],
}

impl<T: Scalar> Term<T> for Moments<'_, T> {
    #[inline(always)]
    fn add(&self, x: &[T], _: &[T], first: &mut [f64], second: &mut [f64]) {
        let channels = self.origin.len();
        // Lengths that the compiler sees to be equal leave no check in the loop.
        let (x, first, second) = (&x[..channels], &mut first[..channels], &mut second[..channels]);
        for c in 0..channels {
            let difference = (x[c] - self.origin[c]).to_f64();
            first[c] += difference;
            second[c] += difference * difference;
        }
    }
}

/// The gradients of scale and shift, where the ReLU was active.
impl<T: Scalar> Term<T> for Affine<'_, T> {
    #[inline(always)]
    fn add(&self, x: &[T], dy: &[T], first: &mut [f64], second: &mut [f64]) {
        let Affine { relu, mean, inverse, scale, shift } = *self;
        let channels = mean.len();
        let (inverse, scale, shift) = (&inverse[..channels], &scale[..channels], &shift[..channels]);
        let (x, dy) = (&x[..channels], &dy[..channels]);
        let (first, second) = (&mut first[..channels], &mut second[..channels]);
        for c in 0..channels {
            let centred = x[c] - mean[c];
            let value = centred * (inverse[c] * scale[c]) + shift[c];
            let dy = if relu && !(value > T::ZERO) { T::ZERO } else { dy[c] };
            first[c] += (dy * (centred * inverse[c])).to_f64();
            second[c] += dy.to_f64();
        }
    }
}

struct Apply<'a, T> {
    affine: Affine<'a, T>,
    x: &'a [T],
    y: &'a mut [T],
}

impl<T: Scalar> WithSimd for Apply<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Affine { relu, mean, inverse, scale, shift } = self.affine;
        let channels = mean.len();
        let (inverse, scale, shift) = (&inverse[..channels], &scale[..channels], &shift[..channels]);
        for (y, x) in self.y.chunks_exact_mut(channels).zip(self.x.chunks_exact(channels)) {
            for c in 0..channels {
                let value = (x[c] - mean[c]) * (inverse[c] * scale[c]) + shift[c];
                y[c] = if relu && !(value > T::ZERO) { T::ZERO } else { value };
            }
        }
    }
}

struct Back<'a, T> {
    affine: Affine<'a, T>,
    share: T,
    daffine: &'a [T],
    x: &'a [T],
    dy: &'a [T],
    dx: &'a mut [T],
}

impl<T: Scalar> WithSimd for Back<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { affine, share, daffine, x, dy, dx } = self;
        let channels = affine.mean.len();
        let (dscale, dshift) = daffine.split_at(channels);
        let rows = dx.chunks_exact_mut(channels).zip(x.chunks_exact(channels)).zip(dy.chunks_exact(channels));
        let Affine { relu, mean, inverse, scale, shift } = affine;
        let (inverse, scale, shift) = (&inverse[..channels], &scale[..channels], &shift[..channels]);
        let (dscale, dshift) = (&dscale[..channels], &dshift[..channels]);
        for ((dx, x), dy) in rows {
            for c in 0..channels {
                let centred = x[c] - mean[c];
                let value = centred * (inverse[c] * scale[c]) + shift[c];
                let dy = if relu && !(value > T::ZERO) { T::ZERO } else { dy[c] };
                let rest = dy - dshift[c] * share - centred * inverse[c] * (dscale[c] * share);
                dx[c] = scale[c] * inverse[c] * rest;
            }
        }
    }
}

struct Sums<'a, T, F> {
    channels: usize,
    x: &'a [T],
    y: &'a [T],
    term: F,
    part: &'a mut [f64],
}

impl<T: Scalar, F: Term<T>> WithSimd for Sums<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { channels, x, y, term, part } = self;
        let (first, second) = part.split_at_mut(channels);
        first.fill(0.0);
        second.fill(0.0);
        // Row by row: the sums stay in the first cache, and neighbouring channels are one vector.
        for (x, y) in x.chunks_exact(channels).zip(y.chunks_exact(channels)) {
            term.add(x, y, first, second);
        }
    }
}
