//! Fully connected layers: a task rounds and packs some columns of the weights and multiplies all rows with them.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::Tiles;
use super::pack::{Pairs, Panels, RoundRows, turn};
use super::tiles::{BLOCK, Product, STEP};
use crate::kernel::LinearShape;
use crate::kernel::fast::Layers;
use crate::kernel::fast::linear::Weights;

/// Rows of a result that one task puts together, and of the left side that one rounds.
const FINISHED: usize = 32;
/// Columns of the weights that one task packs: rows of some cache lines each, one after the other.
const PACKED: usize = 4 * BLOCK;
/// Blocks of rows of the weights' gradient that one task computes.
const BAND: usize = 2;

impl Layers {
    /// `y = x weights`, each stretch of a row given to `finish(first column, stretch of y, sums)`.
    pub(in crate::kernel::fast) fn by_columns_half(
        &self,
        tiles: Tiles,
        (rows, inner, outputs): (usize, usize, usize),
        x: &[f32],
        weights: Weights<'_>,
        y: &mut [f32],
        finish: impl Fn(usize, &mut [f32], &[f32]) + Sync,
    ) {
        let (depth, tall) = (inner.next_multiple_of(STEP), rows.next_multiple_of(BLOCK));
        self.scratch.half(tall * depth, |xs| {
            self.round_rows((rows, inner), x, depth, xs);
            let xs = &*xs;
            self.scratch.single(outputs.div_ceil(BLOCK) * tall * BLOCK, |sums| {
                sums.par_chunks_mut(tall * PACKED).enumerate().for_each(|(task, sums)| {
                    let columns = task * PACKED..((task + 1) * PACKED).min(outputs);
                    let panels = Panels::new(inner, columns.len());
                    let scratch_len = 2 * depth * panels.blocks * BLOCK;
                    self.scratch.half(panels.len() + scratch_len, |scratch| {
                        let (b, scratch) = scratch.split_at_mut(panels.len());
                        self.set.run(PackColumns { weights, inner, columns, panels, scratch, to: &mut *b });
                        let (blocks, run) = (tall / BLOCK, depth / STEP);
                        for (b, c) in
                            b.chunks_exact(panels.block_len()).zip(sums.chunks_exact_mut(tall * BLOCK))
                        {
                            let product = Product {
                                blocks,
                                a: xs,
                                stride: depth,
                                starts: &[0],
                                run,
                                b,
                                add: false,
                                c,
                                width: BLOCK,
                            };
                            product.run(tiles);
                        }
                    });
                });
                let sums = &*sums;
                y[..rows * outputs].par_chunks_mut(FINISHED * outputs).enumerate().for_each(|(task, y)| {
                    for (r, y) in y.chunks_exact_mut(outputs).enumerate() {
                        for (block, y) in y.chunks_mut(BLOCK).enumerate() {
                            let at = (block * tall + task * FINISHED + r) * BLOCK;
                            finish(block * BLOCK, y, &sums[at..at + y.len()]);
                        }
                    }
                });
            });
        });
    }

    /// `dw = xᵀ dy`.
    pub(in crate::kernel::fast) fn weights_gradient_half(
        &self,
        tiles: Tiles,
        shape: LinearShape,
        x: &[f32],
        dy: &[f32],
        dw: &mut [f32],
    ) {
        let LinearShape { rows, inputs, outputs, .. } = shape;
        let (tall, wide) = (rows.next_multiple_of(STEP), outputs.next_multiple_of(BLOCK));
        let panels = Panels::new(rows, outputs);
        self.scratch.half(tall * wide + panels.len(), |scratch| {
            let (dys, b) = scratch.split_at_mut(tall * wide);
            self.round_rows((rows, outputs), dy, wide, dys);
            self.set.run(Pairs { panels, columns: wide, rows: dys, to: &mut *b });
            let b = &*b;
            dw[..inputs * outputs].par_chunks_mut(BAND * BLOCK * outputs).enumerate().for_each(
                |(task, dw)| {
                    let (first, count) = (task * BAND * BLOCK, dw.len() / outputs);
                    let blocks = count.div_ceil(BLOCK);
                    self.scratch.half(tall * BLOCK * BAND * 2, |scratch| {
                        let (plain, turned) = scratch.split_at_mut(tall * BLOCK * BAND);
                        let (from, depth) = (&x[first..rows * inputs], blocks * BLOCK);
                        let plain = &mut plain[..tall * depth];
                        let round = RoundRows { columns: count, stride: inputs, depth, from, to: plain };
                        self.set.run(Turned { round, turned: &mut *turned });
                        self.scratch.single(BAND * BLOCK * wide, |sums| {
                            for (block, b) in b.chunks_exact(panels.block_len()).enumerate() {
                                let (run, c) = (panels.steps, &mut sums[block * BLOCK..]);
                                let product = Product {
                                    blocks,
                                    a: turned,
                                    stride: tall,
                                    starts: &[0],
                                    run,
                                    b,
                                    add: false,
                                    c,
                                    width: wide,
                                };
                                product.run(tiles);
                            }
                            // Straight into `dw`, whose rows begin anywhere in a line, takes longer.
                            for (to, from) in dw.chunks_exact_mut(outputs).zip(sums.chunks_exact(wide)) {
                                to.copy_from_slice(&from[..outputs]);
                            }
                        });
                    });
                },
            );
        });
    }

    /// Rounds `rows x columns` numbers to rows of `depth`; rows beyond the last one are 0.
    fn round_rows(&self, (rows, columns): (usize, usize), x: &[f32], depth: usize, xs: &mut [u16]) {
        let (filled, rest) = xs.split_at_mut(rows * depth);
        rest.fill(0);
        let x = x[..rows * columns].par_chunks(FINISHED * columns);
        filled.par_chunks_mut(FINISHED * depth).zip(x).for_each(|(to, from)| {
            self.set.run(RoundRows { columns, stride: columns, depth, from, to });
        });
    }
}

/// Packs some columns of the weights.
struct PackColumns<'a> {
    weights: Weights<'a>,
    inner: usize,
    columns: core::ops::Range<usize>,
    panels: Panels,
    /// Twice the blocks.
    scratch: &'a mut [u16],
    to: &'a mut [u16],
}

impl WithSimd for PackColumns<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { weights: Weights { data, stride, transposed }, inner, columns, panels, scratch, to } =
            self;
        let (depth, width) = (panels.steps * STEP, panels.blocks * BLOCK);
        let (plain, rows) = scratch.split_at_mut(depth * width);
        if transposed {
            let from = &data[columns.start * stride..columns.end * stride];
            let round = RoundRows { columns: inner, stride, depth, from, to: plain };
            Turned { round, turned: &mut *rows }.with_simd(simd);
        } else {
            let from = &data[columns.start..inner * stride];
            RoundRows { columns: columns.len(), stride, depth: width, from, to: &mut *rows }.with_simd(simd);
        }
        Pairs { panels, columns: width, rows, to }.with_simd(simd);
    }
}

/// Rounds rows and turns them: a column of them is a row of `turned`.
struct Turned<'a> {
    round: RoundRows<'a>,
    turned: &'a mut [u16],
}

impl WithSimd for Turned<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { round: RoundRows { columns, stride, depth, from, to }, turned } = self;
        let rows = to.len() / depth;
        RoundRows { columns, stride, depth, from, to: &mut *to }.with_simd(simd);
        turn((rows, depth), (to, depth), (turned, rows));
    }
}
