//! Fully connected layers: products by blocks that fit a cache, the bias and the ReLU where the result is put together.
//!
//! `y = x w` and `dx = dy wᵀ` are cut by columns: a task packs its part of the weights, which are read once, and keeps
//! its columns in a tile of its own. `dw = xᵀ dy` is cut by rows of `dw`.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::tile::{Multiply, MultiplyStrips, Rows, blocks, panel_width};
use super::{Layers, general};
use crate::Scalar;
use crate::kernel::LinearShape;

/// Columns of a result that one task computes: two panels of the widest set.
const COLUMNS: usize = 64;
/// Numbers of the inner dimension that are packed at once.
const INNER: usize = 256;
/// Rows of the left side that are multiplied with a packed block while both lie in the second cache.
const ROWS: usize = 128;
/// Rows of the weights' gradient that one task computes.
const BAND: usize = 48;
/// Rows of a result that one task puts together.
const FINISHED: usize = 32;

impl Layers {
    pub(in crate::kernel) fn linear<T: Scalar>(
        &self,
        shape: LinearShape,
        x: &[T],
        w: &[T],
        b: &[T],
        y: &mut [T],
    ) {
        match (T::as_single(x), T::as_single(w), T::as_single(b), T::as_single_mut(y)) {
            (Some(x), Some(w), Some(b), Some(y)) => {
                let LinearShape { rows, inputs, outputs, relu } = shape;
                let finish = |column: usize, y: &mut [f32], tile: &[f32]| {
                    for ((y, &sum), &b) in y.iter_mut().zip(tile).zip(&b[column..]) {
                        let value = sum + b;
                        *y = if relu && !(value > 0.0) { 0.0 } else { value };
                    }
                };
                let weights = Weights { data: w, stride: outputs, transposed: false };
                self.by_columns((rows, inputs, outputs), x, weights, y, finish);
            }
            _ => general::linear(self.set, shape, x, w, b, y),
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
        let dy = &mut dy[..rows * outputs];
        self.set.run(Bias { outputs, relu, y: &y[..rows * outputs], dy: &mut *dy, db: &mut db[..outputs] });
        match (T::as_single(x), T::as_single(w), T::as_single(dy), T::as_single_mut(dw)) {
            (Some(x), Some(w), Some(dy), Some(dw)) => {
                self.weights_gradient(shape, x, dy, dw);
                if let Some(dx) = dx.and_then(T::as_single_mut) {
                    let weights = Weights { data: w, stride: outputs, transposed: true };
                    let finish = |_, dx: &mut [f32], tile: &[f32]| dx.copy_from_slice(tile);
                    self.by_columns((rows, outputs, inputs), dy, weights, dx, finish);
                }
            }
            _ => general::linear_backward(self.set, shape, x, w, dy, dw, dx),
        }
    }

    /// `y = x weights`, each stretch of a row given to `finish(first column, stretch of y, sums)`.
    fn by_columns(
        &self,
        (rows, inner, outputs): (usize, usize, usize),
        x: &[f32],
        weights: Weights<'_>,
        y: &mut [f32],
        finish: impl Fn(usize, &mut [f32], &[f32]) + Sync,
    ) {
        if rows * outputs == 0 {
            return;
        }
        self.scratch.single(outputs.div_ceil(COLUMNS) * rows * COLUMNS, |tiles| {
            tiles.par_chunks_mut(rows * COLUMNS).enumerate().for_each(|(task, tile)| {
                let columns = task * COLUMNS..((task + 1) * COLUMNS).min(outputs);
                self.scratch.single(INNER * COLUMNS, |packed| {
                    self.set.run(Columns { rows, inner, x, weights, columns, packed, tile });
                });
            });
            let tiles = &*tiles;
            y[..rows * outputs].par_chunks_mut(FINISHED * outputs).enumerate().for_each(|(task, y)| {
                for (r, y) in y.chunks_exact_mut(outputs).enumerate() {
                    for (group, y) in y.chunks_mut(COLUMNS).enumerate() {
                        let at = (group * rows + task * FINISHED + r) * COLUMNS;
                        finish(group * COLUMNS, y, &tiles[at..at + y.len()]);
                    }
                }
            });
        });
    }

    /// `dw = xᵀ dy`.
    fn weights_gradient(&self, shape: LinearShape, x: &[f32], dy: &[f32], dw: &mut [f32]) {
        let LinearShape { rows, inputs, outputs, .. } = shape;
        let wide = outputs.next_multiple_of(COLUMNS);
        if inputs * outputs == 0 {
            return;
        }
        self.scratch.single(rows * wide, |packed| {
            let from = Weights { data: dy, stride: outputs, transposed: false };
            self.set.run(Pack { from, inner: 0..rows, columns: 0..outputs, packed: &mut *packed });
            let packed = &*packed;
            dw[..inputs * outputs].par_chunks_mut(BAND * outputs).enumerate().for_each(|(task, dw)| {
                self.scratch.single(BAND * (rows + wide), |scratch| {
                    self.set.run(Band { shape, first: task * BAND, x, packed, dw, scratch });
                });
            });
        });
    }
}

/// A matrix that is packed: row-major with rows `stride` apart, or the transpose of one.
#[derive(Clone, Copy)]
struct Weights<'a> {
    data: &'a [f32],
    stride: usize,
    transposed: bool,
}

/// Packs rows `inner` and columns `columns` into panels, the last one filled up with zeros.
struct Pack<'a> {
    from: Weights<'a>,
    inner: core::ops::Range<usize>,
    columns: core::ops::Range<usize>,
    packed: &'a mut [f32],
}

impl WithSimd for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { from: Weights { data, stride, transposed }, inner, columns, packed } = self;
        let width = panel_width::<f32, S>();
        let panels = packed.chunks_exact_mut(inner.len().max(1) * width);
        for (first, panel) in columns.clone().step_by(width).zip(panels) {
            let count = width.min(columns.end - first);
            if count < width {
                panel.fill(0.0);
            }
            if transposed {
                for (column, row) in data[first * stride..].chunks(stride).take(count).enumerate() {
                    for (to, &from) in panel.chunks_exact_mut(width).zip(&row[inner.clone()]) {
                        to[column] = from;
                    }
                }
            } else if count == width {
                for (to, from) in
                    panel.chunks_exact_mut(width).zip(data[inner.start * stride..].chunks(stride))
                {
                    to.copy_from_slice(&from[first..first + width]);
                }
            } else {
                for (to, from) in
                    panel.chunks_exact_mut(width).zip(data[inner.start * stride..].chunks(stride))
                {
                    to[..count].copy_from_slice(&from[first..first + count]);
                }
            }
        }
    }
}

/// Some columns of `x weights`, in a tile of [`COLUMNS`] columns.
struct Columns<'a> {
    rows: usize,
    inner: usize,
    x: &'a [f32],
    weights: Weights<'a>,
    columns: core::ops::Range<usize>,
    packed: &'a mut [f32],
    tile: &'a mut [f32],
}

impl WithSimd for Columns<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { rows, inner, x, weights, columns, packed, tile } = self;
        let whole = columns.len().next_multiple_of(panel_width::<f32, S>());
        for first in (0..inner).step_by(INNER) {
            let these = first..(first + INNER).min(inner);
            let packed = &mut packed[..these.len() * whole];
            let columns = columns.clone();
            Pack { from: weights, inner: these.clone(), columns, packed: &mut *packed }.with_simd(simd);
            for row in (0..rows).step_by(ROWS) {
                let count = ROWS.min(rows - row);
                let a = Rows { data: &x[row * inner + first..], stride: inner };
                let c = &mut tile[row * COLUMNS..];
                let (inner, panels, add, stride) = (these.len(), &*packed, first > 0, COLUMNS);
                simd.vectorize(Multiply { count, inner, a, panels, add, c, stride });
            }
        }
    }
}

/// Some rows of `xᵀ dy`, with `dy` packed.
struct Band<'a> {
    shape: LinearShape,
    first: usize,
    x: &'a [f32],
    packed: &'a [f32],
    dw: &'a mut [f32],
    scratch: &'a mut [f32],
}

impl WithSimd for Band<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { shape, first, x, packed, dw, scratch } = self;
        let LinearShape { rows, inputs, outputs, .. } = shape;
        let (width, band) = (panel_width::<f32, S>(), dw.len() / outputs);
        let (strips, tile) = scratch.split_at_mut(rows * BAND);
        let wide = outputs.next_multiple_of(width);
        let c = if wide == outputs { &mut *dw } else { &mut *tile };
        for row in (0..rows).step_by(ROWS) {
            let inner = ROWS.min(rows - row);
            let strips = &mut strips[..inner * band];
            for (start, columns) in blocks::<S>(band) {
                let strip = strips[start * inner..][..columns * inner].chunks_exact_mut(columns);
                for (to, from) in strip.zip(x[row * inputs..].chunks_exact(inputs)) {
                    to.copy_from_slice(&from[first + start..][..columns]);
                }
            }
            simd.vectorize(MultiplyStrips {
                count: band,
                inner,
                strips,
                b: &packed[row * width..],
                next: rows * width,
                panels: wide / width,
                add: row > 0,
                c: &mut *c,
                stride: wide,
            });
        }
        if wide != outputs {
            for (to, from) in dw.chunks_exact_mut(outputs).zip(tile.chunks_exact(wide)) {
                to.copy_from_slice(&from[..outputs]);
            }
        }
    }
}

/// Sets `dy` to 0 where a ReLU was inactive, and sums its columns, in the order of the rows.
struct Bias<'a, T> {
    outputs: usize,
    relu: bool,
    y: &'a [T],
    dy: &'a mut [T],
    db: &'a mut [T],
}

impl<T: Scalar> WithSimd for Bias<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { outputs, relu, y, dy, db } = self;
        db.fill(T::ZERO);
        for (dy, y) in dy.chunks_exact_mut(outputs).zip(y.chunks_exact(outputs)) {
            for ((dy, &y), db) in dy.iter_mut().zip(y).zip(db.iter_mut()) {
                *dy = if relu && !(y > T::ZERO) { T::ZERO } else { *dy };
                *db += *dy;
            }
        }
    }
}
