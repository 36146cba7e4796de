//! Fully connected layers: products by blocks that fit a cache, the bias and the ReLU where the result is put together.
//!
//! `y = x w` and `dx = dy wᵀ` are cut by columns: a task packs its part of the weights, which are read once, and keeps
//! its columns in a tile of its own. `dw = xᵀ dy` is cut by rows of `dw`.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::tile::{MultiplyStrips, Rows, pack_strips, panel_width, turn_strips};
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
        if let Some(tiles) = self.tiles {
            return self.by_columns_half(tiles, (rows, inner, outputs), x, weights, y, finish);
        }
        let len = outputs.div_ceil(COLUMNS) * rows * COLUMNS;
        self.scratch.single(len + rows * inner, |scratch| {
            let (tiles, strips) = scratch.split_at_mut(len);
            self.set.run(Strips { rows, inner, x, strips: &mut *strips });
            let strips = &*strips;
            tiles.par_chunks_mut(rows * COLUMNS).enumerate().for_each(|(task, tile)| {
                let columns = task * COLUMNS..((task + 1) * COLUMNS).min(outputs);
                self.scratch.single(INNER * COLUMNS, |packed| {
                    self.set.run(Columns { rows, inner, strips, weights, columns, packed, tile });
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
        if inputs * outputs * rows == 0 {
            return dw[..inputs * outputs].fill(0.0);
        }
        if let Some(tiles) = self.tiles {
            return self.weights_gradient_half(tiles, shape, x, dy, dw);
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
pub(super) struct Weights<'a> {
    pub(super) data: &'a [f32],
    pub(super) stride: usize,
    pub(super) transposed: bool,
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
        if !transposed {
            // Row by row, so that a row is read from end to end.
            for (k, from) in data[inner.start * stride..].chunks(stride).take(inner.len()).enumerate() {
                let from = from[columns.clone()].chunks(width);
                for (to, from) in packed[k * width..].chunks_mut(inner.len() * width).zip(from) {
                    if from.len() == width {
                        to[..width].copy_from_slice(&from[..width]);
                    } else {
                        to[..from.len()].copy_from_slice(from);
                        to[from.len()..width].fill(0.0);
                    }
                }
            }
            return;
        }
        let panels = packed.chunks_exact_mut(inner.len().max(1) * width);
        for (first, panel) in columns.clone().step_by(width).zip(panels) {
            let count = width.min(columns.end - first);
            if count < width {
                panel.fill(0.0);
            }
            for (column, row) in data[first * stride..].chunks(stride).take(count).enumerate() {
                for (to, &from) in panel.chunks_exact_mut(width).zip(&row[inner.clone()]) {
                    to[column] = from;
                }
            }
        }
    }
}

/// Lays `x` out in strips: `[inner / INNER][rows / ROWS]` pieces, as [`Columns`] reads them.
struct Strips<'a> {
    rows: usize,
    inner: usize,
    x: &'a [f32],
    strips: &'a mut [f32],
}

impl WithSimd for Strips<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { rows, inner, x, strips } = self;
        for first in (0..inner).step_by(INNER) {
            let these = INNER.min(inner - first);
            for row in (0..rows).step_by(ROWS) {
                let count = ROWS.min(rows - row);
                let from = Rows { data: &x[row * inner + first..], stride: inner };
                let strips = &mut strips[first * rows + row * these..];
                turn_strips(simd, count, these, from, strips);
            }
        }
    }
}

/// Some columns of `x weights`, in a tile of [`COLUMNS`] columns.
struct Columns<'a> {
    rows: usize,
    inner: usize,
    strips: &'a [f32],
    weights: Weights<'a>,
    columns: core::ops::Range<usize>,
    packed: &'a mut [f32],
    tile: &'a mut [f32],
}

impl WithSimd for Columns<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { rows, inner, strips, weights, columns, packed, tile } = self;
        let whole = columns.len().next_multiple_of(panel_width::<f32, S>());
        for first in (0..inner).step_by(INNER) {
            let these = first..(first + INNER).min(inner);
            let packed = &mut packed[..these.len() * whole];
            let columns = columns.clone();
            Pack { from: weights, inner: these.clone(), columns, packed: &mut *packed }.with_simd(simd);
            let width = panel_width::<f32, S>();
            for row in (0..rows).step_by(ROWS) {
                simd.vectorize(MultiplyStrips {
                    count: ROWS.min(rows - row),
                    inner: these.len(),
                    strips: &strips[first * rows + row * these.len()..],
                    b: &*packed,
                    next: these.len() * width,
                    panels: whole / width,
                    add: first > 0,
                    c: &mut tile[row * COLUMNS..],
                    stride: COLUMNS,
                });
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
            let from = Rows { data: &x[row * inputs + first..], stride: inputs };
            pack_strips(simd, band, inner, from, strips);
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

#[cfg(test)]
mod tests {
    use crate::kernel::fast::{Fast, InstructionSet};
    use crate::kernel::scalar::Reference;
    use crate::kernel::{Backend, LinearShape};

    /// `[y, dw, db, dx]`.
    fn run<B: Backend<f32, Buffer = Vec<f32>>>(backend: &B, shape: LinearShape) -> [Vec<f32>; 4] {
        let LinearShape { rows, inputs, outputs, .. } = shape;
        let numbers = |len: usize, seed: usize| -> Vec<f32> {
            (0..len).map(|i| (((i + seed) * 2_654_435_761) % 1000) as f32 / 500.0 - 1.0).collect()
        };
        let (x, w, b) = (numbers(rows * inputs, 1), numbers(inputs * outputs, 2), numbers(outputs, 3));
        let (mut y, mut dy) = (vec![0.0; rows * outputs], numbers(rows * outputs, 4));
        let (mut dw, mut db) = (vec![7.0; inputs * outputs], vec![7.0; outputs]);
        let mut dx = vec![7.0; rows * inputs];
        backend.linear(shape, &x, &w, &b, &mut y).unwrap();
        // Signs of the reference, so that none is decided by rounding.
        let mut kept = y.clone();
        Reference.linear(shape, &x, &w, &b, &mut kept).unwrap();
        backend.linear_backward(shape, &x, &w, &kept, &mut dy, &mut dw, &mut db, Some(&mut dx)).unwrap();
        [y, dw, db, dx]
    }

    #[test]
    fn layers_across_the_borders_of_all_blocks_are_those_of_the_reference() {
        for (rows, inputs, outputs) in
            [(0, 5, 3), (1, 1, 1), (7, 5, 19), (129, 257, 65), (260, 48, 33), (64, 520, 96)]
        {
            let shape = LinearShape { rows, inputs, outputs, relu: rows % 2 == 1 };
            let expected = run(&Reference, shape);
            let first = run(&Fast::new(1).unwrap(), shape);
            for (got, expected) in first.iter().zip(&expected) {
                let largest = expected.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
                for (got, expected) in got.iter().zip(expected) {
                    assert!((got - expected).abs() <= 1e-5 * largest, "{rows} x {inputs} to {outputs}");
                }
            }
            for set in InstructionSet::available() {
                let got = run(&Fast::with_instruction_set(2, set).unwrap(), shape);
                assert!(got == first, "{set}: {rows} x {inputs} to {outputs}");
            }
        }
    }
}
