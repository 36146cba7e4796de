//! 3x3 convolutions as nine products each, forward and back; the batch in parts as in [`conv`](super::super::conv).

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::Tiles;
use super::pack::{Pairs, Panels, round_row, turn};
use super::planes::{Fill, Planes, Take};
use super::tiles::{BLOCK, PANEL, Product, STEP};
use crate::kernel::ConvShape;
use crate::kernel::fast::Layers;
use crate::kernel::fast::conv::{images_a_part, join};
use crate::kernel::fast::patch::Tiling;

/// Steps of a right side that are multiplied before the next ones: few, so that they stay in the first cache.
const STEPS: usize = 12;

/// The same where sums are many and their own way from memory is what is long.
const SUMMED: usize = 32;

/// Which way weights are packed.
#[derive(Clone, Copy)]
enum Way {
    /// From inputs to outputs.
    Forward,
    /// From gradients of outputs to those of inputs: taps in turn, the two sides changed.
    Back,
}

impl Way {
    /// Terms of a tap, and columns.
    fn sides(self, shape: ConvShape) -> (usize, usize) {
        match self {
            Self::Forward => (shape.inputs, shape.outputs),
            Self::Back => (shape.outputs, shape.inputs),
        }
    }
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
        let ConvShape { batch, height, width, inputs, pool, .. } = shape;
        let images = images_a_part(batch);
        let size = Tiling::new(shape).output_len();
        self.with_weights(shape, w, Way::Forward, |panels, weights| {
            let work = |x: &[f32], y: &mut [f32], picks: &mut [u32]| {
                let at_once = Planes::at_once(shape, images);
                let (planes, results) = (Planes::inputs(shape, at_once), Planes::outputs(shape, at_once));
                self.scratch.half(planes.len(), |xs| {
                    self.scratch.single(results.rows() * results.depth, |sums| {
                        let mut picks = picks.chunks_mut(at_once * size);
                        for (x, y) in
                            x.chunks(at_once * height * width * inputs).zip(y.chunks_mut(at_once * size))
                        {
                            let images = y.len() / size;
                            let planes = Planes { images, ..planes };
                            let results = Planes { images, ..results };
                            self.set.run(Fill { planes, images: x, to: &mut *xs });
                            multiply(tiles, planes, xs, (panels, weights), sums);
                            let picks = picks.next();
                            self.set.run(Take { planes: results, sums: &*sums, images: y, picks });
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
        let (image, size) = (height * width * inputs, Tiling::new(shape).output_len());
        let (depth, wide) = (inputs.next_multiple_of(BLOCK), outputs.next_multiple_of(BLOCK));
        let parts = batch.div_ceil(images);
        self.with_weights(shape, w, Way::Back, |panels, weights| {
            self.scratch.single(parts * 9 * depth * wide, |sums| {
                let work = |part: usize, sums: &mut [f32], mut dx: Option<&mut [f32]>| {
                    let end = ((part + 1) * images).min(batch);
                    let at_once = Planes::at_once(shape, images);
                    let back = Back { shape, tiles, images: at_once };
                    self.scratch.half(back.halves(), |halves| {
                        self.scratch.single(back.planes().rows() * depth, |single| {
                            for first in (part * images..end).step_by(at_once) {
                                let these = first..(first + at_once).min(end);
                                let back = Back { images: these.len(), ..back };
                                let dy = &dy[these.start * size..these.end * size];
                                let picks =
                                    if pool { &picks[these.start * size..these.end * size] } else { &[] };
                                let x = &x[these.start * image..these.end * image];
                                let mut forms = back.split(halves);
                                self.set.run(LayDown { back, x, dy, picks, forms: &mut forms });
                                back.weights_gradient(&forms, first > part * images, sums);
                                if let Some(dx) = dx.as_deref_mut() {
                                    multiply(tiles, back.gradients(), forms.dy, (panels, weights), single);
                                    let at = (first - part * images) * image;
                                    let dx = &mut dx[at..at + these.len() * image];
                                    let (planes, sums) = (back.planes(), &*single);
                                    self.set.run(Take { planes, sums, images: dx, picks: None });
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
        let (terms, columns) = way.sides(shape);
        let depth = terms.next_multiple_of(STEP);
        let panels = Panels::new(9 * depth, columns);
        self.scratch.half(panels.len(), |packed| {
            self.scratch.half(inputs * outputs + 9 * depth * columns, |scratch| {
                self.set.run(PackWeights { shape, w, way, panels, scratch, packed });
            });
            work(panels, packed)
        })
    }
}

/// Packs the weights one way.
struct PackWeights<'a> {
    shape: ConvShape,
    w: &'a [f32],
    way: Way,
    panels: Panels,
    scratch: &'a mut [u16],
    packed: &'a mut [u16],
}

impl WithSimd for PackWeights<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { shape, w, way, panels, scratch, packed } = self;
        let (ConvShape { inputs, outputs, .. }, (_, columns)) = (shape, way.sides(shape));
        let tap = inputs * outputs;
        let (plain, rows) = scratch.split_at_mut(tap);
        rows.fill(0);
        let tap_len = rows.len() / 9;
        for (at, w) in w.chunks_exact(tap).take(9).enumerate() {
            match way {
                Way::Forward => round_row(w, &mut rows[at * tap_len..][..tap]),
                Way::Back => {
                    round_row(w, plain);
                    turn((inputs, outputs), (plain, outputs), (&mut rows[(8 - at) * tap_len..], inputs));
                }
            }
        }
        packed.fill(0);
        Pairs { panels, columns, rows, to: packed }.with_simd(simd);
    }
}

/// All windows of `planes` times packed weights, to `sums`, a row of whole blocks each.
fn multiply(tiles: Tiles, planes: Planes, xs: &[u16], (panels, weights): (Panels, &[u16]), sums: &mut [f32]) {
    let (taps, run) = (planes.taps(planes.depth), planes.depth / STEP);
    let at_once = (STEPS / run).clamp(1, 9);
    for (block, b) in weights.chunks_exact(panels.block_len()).enumerate() {
        for (part, (starts, b)) in taps.chunks(at_once).zip(b.chunks(at_once * run * PANEL)).enumerate() {
            let product = Product {
                blocks: planes.rows() / BLOCK,
                a: xs,
                stride: planes.depth,
                starts,
                run,
                b,
                add: part > 0,
                c: &mut sums[block * BLOCK..],
                width: panels.blocks * BLOCK,
            };
            product.run(tiles);
        }
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

    fn split<'h>(&self, halves: &'h mut [u16]) -> Forms<'h> {
        let (x, dy) = (self.planes(), self.gradients());
        let (inputs, rest) = halves.split_at_mut(x.len());
        let (turned, rest) = rest.split_at_mut(x.depth * turned_stride(x));
        let (gradients, rest) = rest.split_at_mut(dy.len());
        Forms { x: inputs, turned, dy: gradients, panels: &mut rest[..dy.rows() * dy.depth] }
    }

    /// The gradient of the weights, `[9][inputs][outputs]`, both padded; added to what is there if `add`.
    fn weights_gradient(&self, forms: &Forms<'_>, add: bool, sums: &mut [f32]) {
        let (planes, gradients) = (self.planes(), self.gradients());
        let panels = Panels::new(gradients.rows(), gradients.depth);
        let tap_len = planes.depth * gradients.depth;
        for (block, b) in forms.panels.chunks_exact(panels.block_len()).enumerate() {
            for (part, b) in b.chunks(SUMMED * PANEL).enumerate() {
                for (start, sums) in planes.taps(1).into_iter().zip(sums.chunks_exact_mut(tap_len)) {
                    let product = Product {
                        blocks: planes.depth / BLOCK,
                        a: forms.turned,
                        stride: turned_stride(planes),
                        starts: &[start + part * SUMMED * STEP],
                        run: b.len() / PANEL,
                        b,
                        add: add || part > 0,
                        c: &mut sums[block * BLOCK..],
                        width: gradients.depth,
                    };
                    product.run(self.tiles);
                }
            }
        }
    }
}

/// Inputs and gradients as the products take them.
struct Forms<'h> {
    x: &'h mut [u16],
    /// The transpose of `x`: a channel a row.
    turned: &'h mut [u16],
    dy: &'h mut [u16],
    /// `dy` as a right side.
    panels: &'h mut [u16],
}

/// Makes them.
struct LayDown<'a, 'h> {
    back: Back,
    x: &'a [f32],
    dy: &'a [f32],
    picks: &'a [u32],
    forms: &'a mut Forms<'h>,
}

impl WithSimd for LayDown<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { back, x, dy, picks, forms } = self;
        let (planes, gradients) = (back.planes(), back.gradients());
        planes.fill(x, forms.x);
        let (size, stride) = ((planes.positions(), planes.depth), turned_stride(planes));
        turn(size, (forms.x, planes.depth), (forms.turned, stride));
        if back.shape.pool {
            gradients.spread(dy, picks, forms.dy);
        } else {
            gradients.fill(dy, forms.dy);
        }
        let (columns, panels) = (gradients.depth, Panels::new(gradients.rows(), gradients.depth));
        let rows = &forms.dy[gradients.lead() * columns..][..gradients.rows() * columns];
        Pairs { panels, columns, rows, to: forms.panels }.with_simd(simd);
    }
}
