//! 3x3 convolution, alone or with the 2x2 pooling after it: the batch in parts, each on a thread.
//!
//! Parts follow from the batch alone, and what they add to the gradient of the weights is joined in their order: any
//! number of threads gives the same bits.

use rayon::prelude::*;

use super::Layers;
use super::patch::Tiling;
use super::{filter, general, unfold};
use crate::Scalar;
use crate::kernel::ConvShape;

/// Parts of a batch, at most.
const PARTS: usize = 16;
/// Images in a part, at least: each part has a gradient of the weights of its own.
const IMAGES: usize = 4;
/// Channels of an input that is unfolded, at most.
const FEW: usize = 4;
/// Numbers that a task joins.
const JOINED: usize = 1 << 13;

/// Images in a part.
pub(super) fn images_a_part(batch: usize) -> usize {
    batch.div_ceil(PARTS).max(IMAGES)
}

impl Layers {
    pub(in crate::kernel) fn conv<T: Scalar>(
        &self,
        shape: ConvShape,
        x: &[T],
        w: &[T],
        y: &mut [T],
        picks: &mut [u32],
    ) {
        match (T::as_single(x), T::as_single(w), T::as_single_mut(y)) {
            (Some(x), Some(w), Some(y)) => self.conv_single(shape, x, w, y, picks),
            _ => general::conv(self.set, shape, x, w, y, picks),
        }
    }

    fn conv_single(&self, shape: ConvShape, x: &[f32], w: &[f32], y: &mut [f32], picks: &mut [u32]) {
        let ConvShape { batch, height, width, inputs, .. } = shape;
        let tiling = Tiling::new(shape);
        if batch * tiling.count() == 0 {
            return;
        }
        let few = inputs <= FEW;
        if let Some(tiles) = self.tiles.filter(|_| !few) {
            return self.conv_half(tiles, shape, x, w, y, picks);
        }
        let (weights, scratch) = if few {
            (unfold::weights_len(shape), unfold::scratch_len(shape, tiling))
        } else {
            (filter::weights_len(shape), filter::scratch_len(shape, tiling))
        };
        self.scratch.single(weights, |panels| {
            if few {
                self.set.run(unfold::Pack { shape, w, panels: &mut *panels });
            } else {
                self.set.run(filter::Pack { shape, tiling, w, panels: &mut *panels, transposed: false });
            }
            let panels = &*panels;
            let work = |x: &[f32], y: &mut [f32], picks: &mut [u32]| {
                self.scratch.single(scratch, |scratch| {
                    if few {
                        self.set.run(unfold::Forward { shape, tiling, x, panels, y, picks, scratch });
                    } else {
                        self.set.run(filter::Forward { shape, tiling, x, panels, y, picks, scratch });
                    }
                });
            };
            let (images, size) = (images_a_part(batch), tiling.output_len());
            let x = x[..batch * height * width * inputs].par_chunks(images * height * width * inputs);
            let y = y[..batch * size].par_chunks_mut(images * size);
            if shape.pool {
                let picks = picks[..batch * size].par_chunks_mut(images * size);
                x.zip(y).zip(picks).for_each(|((x, y), picks)| work(x, y, picks));
            } else {
                x.zip(y).for_each(|(x, y)| work(x, y, &mut []));
            }
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
        match (T::as_single(x), T::as_single(w), T::as_single(dy), T::as_single_mut(dw)) {
            (Some(x), Some(w), Some(dy), Some(dw)) => {
                self.conv_backward_single(shape, x, w, dy, picks, dw, dx.and_then(T::as_single_mut));
            }
            _ => general::conv_backward(self.set, shape, x, w, dy, picks, dw, dx),
        }
    }

    fn conv_backward_single(
        &self,
        shape: ConvShape,
        x: &[f32],
        w: &[f32],
        dy: &[f32],
        picks: &[u32],
        dw: &mut [f32],
        dx: Option<&mut [f32]>,
    ) {
        let ConvShape { batch, height, width, inputs, outputs, .. } = shape;
        let tiling = Tiling::new(shape);
        let dw = &mut dw[..9 * inputs * outputs];
        let image = height * width * inputs;
        let dx = dx.map(|dx| &mut dx[..batch * image]);
        if batch * tiling.count() == 0 {
            dw.fill(0.0);
            if let Some(dx) = dx {
                dx.fill(0.0);
            }
            return;
        }
        if let Some(tiles) = self.tiles.filter(|_| inputs > FEW) {
            return self.conv_backward_half(tiles, shape, x, w, dy, picks, dw, dx);
        }
        let few = inputs <= FEW && dx.is_none();
        let (weights, scratch) = if few {
            (unfold::weights_len(shape), unfold::scratch_len(shape, tiling))
        } else {
            (filter::weights_len(shape), filter::scratch_len(shape, tiling))
        };
        let (images, size) = (images_a_part(batch), tiling.output_len());
        let parts = batch.div_ceil(images);
        let panels_len = if dx.is_some() { weights } else { 0 };
        self.scratch.single(panels_len, |panels| {
            if dx.is_some() {
                self.set.run(filter::Pack { shape, tiling, w, panels: &mut *panels, transposed: true });
            }
            let panels = &*panels;
            self.scratch.single(parts * weights, |sums| {
                let work = |part: usize, sums: &mut [f32], dx: Option<&mut [f32]>| {
                    let these = part * images..((part + 1) * images).min(batch);
                    let x = &x[these.start * image..these.end * image];
                    let dy = &dy[these.start * size..these.end * size];
                    let picks =
                        if shape.pool { &picks[these.start * size..these.end * size] } else { &[][..] };
                    sums.fill(0.0);
                    self.scratch.single(scratch, |scratch| {
                        if few {
                            self.set.run(unfold::Backward { shape, tiling, x, dy, picks, sums, scratch });
                        } else {
                            self.set.run(filter::Backward {
                                shape,
                                tiling,
                                x,
                                dy,
                                picks,
                                panels,
                                sums,
                                dx,
                                scratch,
                            });
                        }
                    });
                };
                let parts = sums.par_chunks_mut(weights).enumerate();
                match dx {
                    Some(dx) => parts
                        .zip(dx.par_chunks_mut(images * image))
                        .for_each(|((part, sums), dx)| work(part, sums, Some(dx))),
                    None => parts.for_each(|(part, sums)| work(part, sums, None)),
                }
                let sums = join(weights, sums);
                if few {
                    self.set.run(unfold::Unpack { shape, sums, dw });
                } else {
                    self.set.run(filter::Unpack { shape, tiling, sums, dw });
                }
            });
        });
    }
}

/// Adds all parts of `len` numbers to the first, in order, and returns it.
pub(super) fn join(len: usize, sums: &mut [f32]) -> &[f32] {
    let (first, rest) = sums.split_at_mut(len);
    first.par_chunks_mut(JOINED).enumerate().for_each(|(piece, first)| {
        for part in rest.chunks_exact(len) {
            let part = &part[piece * JOINED..][..first.len()];
            for (sum, part) in first.iter_mut().zip(part) {
                *sum += part;
            }
        }
    });
    first
}
