//! 3x3 convolutions as nine products each, forward and back; the batch in parts as in [`conv`](super::super::conv).

use rayon::prelude::*;

use super::Tiles;
use super::pack::{Panels, round_row, turn};
use super::planes::Planes;
use super::tiles::{BLOCK, Product, STEP};
use crate::kernel::ConvShape;
use crate::kernel::fast::Layers;
use crate::kernel::fast::conv::{images_a_part, join};

/// Which way weights are packed.
#[derive(Clone, Copy)]
enum Way {
    /// From inputs to outputs.
    Forward,
    /// From gradients of outputs to those of inputs: taps in turn, the two sides changed.
    Back,
}

/// Numbers from row to row of the transpose of `planes`: an odd count of cache lines, so that the rows of a tile fall
/// into different sets of the first cache.
fn turned_stride(planes: Planes) -> usize {
    planes.positions().next_multiple_of(2 * BLOCK) + BLOCK
}

impl Layers {
    pub(in crate::kernel::fast) fn conv_half(
        &self,
        tiles: Tiles,
        shape: ConvShape,
        x: &[f32],
        w: &[f32],
        y: &mut [f32],
        picks: &mut [u32],
    ) {
        let ConvShape { batch, height, width, inputs, outputs, pool } = shape;
        let images = images_a_part(batch);
        let size = outputs * if pool { (height / 2) * (width / 2) } else { height * width };
        self.with_weights(shape, w, Way::Forward, |panels, weights| {
            let work = |x: &[f32], y: &mut [f32], picks: &mut [u32]| {
                let at_once = Planes::at_once(shape, images);
                let (planes, results) = (Planes::inputs(shape, at_once), Planes::outputs(shape, at_once));
                self.scratch.half(planes.len(), |xs| {
                    self.scratch.single(results.rows() * results.depth, |sums| {
                        let mut picks = picks.chunks_mut(at_once * size);
                        for (x, y) in x.chunks(at_once * height * width * inputs).zip(y.chunks_mut(at_once * size)) {
                            let images = y.len() / size;
                            let planes = Planes { images, ..planes };
                            let results = Planes { images, ..results };
                            self.set.run(|| planes.fill(x, xs));
                            multiply(tiles, planes, xs, (panels, weights), sums);
                            match picks.next() {
                                Some(picks) => self.set.run(|| results.pool(sums, y, picks)),
                                None => self.set.run(|| results.take(sums, y)),
                            }
                        }
                    });
                });
            };
            let x = x[..batch * height * width * inputs].par_chunks(images * height * width * inputs);
            let y = y[..batch * size].par_chunks_mut(images * size);
            if pool {
                let picks = picks[..batch * size].par_chunks_mut(images * size);
                x.zip(y).zip(picks).for_each(|((x, y), picks)| work(x, y, picks));
            } else {
                x.zip(y).for_each(|(x, y)| work(x, y, &mut []));
            }
        });
    }

    pub(in crate::kernel::fast) fn conv_backward_half(
        &self,
        tiles: Tiles,
        shape: ConvShape,
        x: &[f32],
        w: &[f32],
        dy: &[f32],
        picks: &[u32],
        dw: &mut [f32],
        dx: Option<&mut [f32]>,
    ) {
        let ConvShape { batch, height, width, inputs, outputs, pool } = shape;
        let images = images_a_part(batch);
        let (image, size) =
            (height * width * inputs, outputs * if pool { (height / 2) * (width / 2) } else { height * width });
        let (depth, wide) = (inputs.next_multiple_of(BLOCK), outputs.next_multiple_of(BLOCK));
        let parts = batch.div_ceil(images);
        self.with_weights(shape, w, Way::Back, |panels, weights| {
            self.scratch.single(parts * 9 * depth * wide, |sums| {
                let work = |part: usize, sums: &mut [f32], mut dx: Option<&mut [f32]>| {
                    let end = ((part + 1) * images).min(batch);
                    sums.fill(0.0);
                    let at_once = Planes::at_once(shape, images);
                    let back = Back { shape, tiles, images: at_once };
                    self.scratch.half(back.halves(), |halves| {
                        self.scratch.single(back.planes().rows() * depth, |single| {
                            for first in (part * images..end).step_by(at_once) {
                                let these = first..(first + at_once).min(end);
                                let back = Back { images: these.len(), ..back };
                                let dy = &dy[these.start * size..these.end * size];
                                let picks = if pool { &picks[these.start * size..these.end * size] } else { &[] };
                                let x = &x[these.start * image..these.end * image];
                                let [xs, turned, dys, dy_panels] = back.split(halves);
                                self.set.run(|| back.lay_down(x, dy, picks, xs, turned, dys, dy_panels));
                                back.to_weights(turned, dy_panels, sums);
                                if let Some(dx) = dx.as_deref_mut() {
                                    multiply(tiles, back.gradients(), dys, (panels, weights), single);
                                    let at = (first - part * images) * image;
                                    let dx = &mut dx[at..at + these.len() * image];
                                    self.set.run(|| back.planes().take(single, dx));
                                }
                            }
                        });
                    });
                };
                let parts = sums.par_chunks_mut(9 * depth * wide).enumerate();
                match dx {
                    Some(dx) => parts
                        .zip(dx[..batch * image].par_chunks_mut(images * image))
                        .for_each(|((part, sums), dx)| work(part, sums, Some(dx))),
                    None => parts.for_each(|(part, sums)| work(part, sums, None)),
                }
                let sums = join(9 * depth * wide, sums);
                for (row, dw) in dw.chunks_exact_mut(outputs).take(9 * inputs).enumerate() {
                    let (tap, input) = (row / inputs, row % inputs);
                    dw.copy_from_slice(&sums[(tap * depth + input) * wide..][..outputs]);
                }
            });
        });
    }

    /// Lends the weights, packed one way.
    fn with_weights<R>(
        &self,
        shape: ConvShape,
        w: &[f32],
        way: Way,
        work: impl FnOnce(Panels, &[u16]) -> R,
    ) -> R {
        let ConvShape { inputs, outputs, .. } = shape;
        let (terms, columns) = match way {
            Way::Forward => (inputs, outputs),
            Way::Back => (outputs, inputs),
        };
        let depth = terms.next_multiple_of(STEP);
        let panels = Panels::new(9 * depth, columns);
        let tap = inputs * outputs;
        self.scratch.half(panels.len(), |packed| {
            self.scratch.half(tap + depth * columns, |scratch| {
                let (plain, rows) = scratch.split_at_mut(tap);
                self.set.run(|| {
                    packed.fill(0);
                    rows.fill(0);
                    for (at, w) in w.chunks_exact(tap).take(9).enumerate() {
                        match way {
                            Way::Forward => round_row(w, &mut rows[..tap]),
                            Way::Back => {
                                round_row(w, plain);
                                turn((inputs, outputs), (plain, outputs), (rows, inputs));
                            }
                        }
                        let at = match way {
                            Way::Forward => at,
                            Way::Back => 8 - at,
                        };
                        for (pair, rows) in rows.chunks_exact(2 * columns).enumerate() {
                            let (even, odd) = rows.split_at(columns);
                            panels.pair(at * depth / 2 + pair, even, odd, packed);
                        }
                    }
                });
            });
            work(panels, packed)
        })
    }
}

/// All windows of `planes` times packed weights, to `sums`, a row of whole blocks each.
fn multiply(
    tiles: Tiles,
    planes: Planes,
    xs: &[u16],
    (panels, weights): (Panels, &[u16]),
    sums: &mut [f32],
) {
    for (block, b) in weights.chunks_exact(panels.block_len()).enumerate() {
        let product = Product {
            blocks: planes.rows() / BLOCK,
            a: xs,
            stride: planes.depth,
            starts: &planes.taps(planes.depth),
            run: planes.depth / STEP,
            b,
            add: false,
            c: &mut sums[block * BLOCK..],
            width: panels.blocks * BLOCK,
        };
        product.run(tiles);
    }
}

/// Some images on their way back.
#[derive(Clone, Copy)]
struct Back {
    shape: ConvShape,
    tiles: Tiles,
    images: usize,
}

impl Back {
    fn planes(&self) -> Planes {
        Planes::inputs(self.shape, self.images)
    }

    fn gradients(&self) -> Planes {
        Planes::outputs(self.shape, self.images)
    }

    /// Numbers of bf16 that it needs: inputs, their transpose, gradients, and these as a right side.
    fn halves(&self) -> usize {
        let (x, dy) = (self.planes(), self.gradients());
        x.len() + x.depth * turned_stride(x) + dy.len() + dy.rows() * dy.depth
    }

    fn split<'h>(&self, halves: &'h mut [u16]) -> [&'h mut [u16]; 4] {
        let (x, dy) = (self.planes(), self.gradients());
        let (xs, rest) = halves.split_at_mut(x.len());
        let (turned, rest) = rest.split_at_mut(x.depth * turned_stride(x));
        let (dys, rest) = rest.split_at_mut(dy.len());
        [xs, turned, dys, &mut rest[..dy.rows() * dy.depth]]
    }

    /// Inputs and gradients in the forms that the products take.
    #[inline(always)]
    fn lay_down(
        &self,
        x: &[f32],
        dy: &[f32],
        picks: &[u32],
        xs: &mut [u16],
        turned: &mut [u16],
        dys: &mut [u16],
        dy_panels: &mut [u16],
    ) {
        let (planes, gradients) = (self.planes(), self.gradients());
        planes.fill(x, xs);
        turn((planes.positions(), planes.depth), (xs, planes.depth), (turned, turned_stride(planes)));
        if self.shape.pool {
            gradients.spread(dy, picks, dys);
        } else {
            gradients.fill(dy, dys);
        }
        let (depth, panels) = (gradients.depth, Panels::new(gradients.rows(), gradients.depth));
        let rows = &dys[gradients.lead() * depth..][..gradients.rows() * depth];
        for (pair, rows) in rows.chunks_exact(2 * depth).enumerate() {
            let (even, odd) = rows.split_at(depth);
            panels.pair(pair, even, odd, dy_panels);
        }
    }

    /// Adds the gradient of the weights, `[9][inputs][outputs]`, both padded.
    fn to_weights(&self, turned: &[u16], dy_panels: &[u16], sums: &mut [f32]) {
        let (planes, gradients) = (self.planes(), self.gradients());
        let panels = Panels::new(gradients.rows(), gradients.depth);
        let tap_len = planes.depth * gradients.depth;
        for (start, sums) in planes.taps(1).into_iter().zip(sums.chunks_exact_mut(tap_len)) {
            for (block, b) in dy_panels.chunks_exact(panels.block_len()).enumerate() {
                let product = Product {
                    blocks: planes.depth / BLOCK,
                    a: turned,
                    stride: turned_stride(planes),
                    starts: &[start],
                    run: panels.steps,
                    b,
                    add: true,
                    c: &mut sums[block * BLOCK..],
                    width: gradients.depth,
                };
                product.run(self.tiles);
            }
        }
    }
}
