//! Losses of drawn tuples in single precision: distances and gradients by SIMD and threads, the formulas by the same
//! walk as everywhere.
//!
//! The walk writes down who pulls whom how strongly; then each row gathers its pulls in that order. Distances are
//! summed as [`distance`](crate::distance) sums them, and nothing is fused, so the result has the very bits of the
//! sequential walk, on any number of threads and any instruction set.

use core::slice;

use pulp::{Simd, WithSimd};

use super::step::Spread;
use super::turn::{SIDE, row_sums};
use crate::Scalar;
use crate::batch::{Embeddings, Triplet};
use crate::loss::batch::{Pairs, tuple_loss};
use crate::loss::{Loss, LossReport, Objective};
use crate::sample::Draw;

/// Partial sums of a distance.
const LANES: usize = SIDE;
/// Pairs whose distances one task computes.
const PAIRS: usize = 512;
/// Rows whose gradients one task gathers.
const ROWS: usize = 64;

/// Memory that stays between steps.
#[derive(Debug, Default)]
pub(super) struct Lists {
    pairs: Vec<[u32; 2]>,
    distances: Vec<f32>,
    /// Who pulls whom how strongly, in the order of the tuples.
    pulls: Vec<(u32, u32, f32)>,
    ends: Ends,
}

/// Value and gradients of drawn tuples; `None` for another precision or a sampler that draws nothing.
pub(super) fn loss<T: Scalar>(
    spread: Spread,
    lists: &mut Lists,
    (x, _, betas): (Embeddings<'_, T>, &[u32], &[T]),
    objective: &Objective<T>,
    draws: &[Draw<T>],
    dx: &mut [T],
    dbetas: &mut [T],
) -> Option<LossReport> {
    let single = T::as_single(x.as_slice()).filter(|_| objective.sampler().draws())?;
    let (dim, anchors) = (x.dim(), betas.len());
    let gradient = T::as_single_mut(&mut dx[..anchors * dim])?;
    let Lists { pairs, distances, pulls, ends } = lists;
    list_pairs(objective, draws, pairs);
    distances.resize(pairs.len(), 0.0);
    spread.pieces(distances, PAIRS, |piece, out| {
        let pairs = &pairs[piece * PAIRS..][..out.len()];
        spread.set.run(Distances { x: single, dim, pairs, out });
    });
    pulls.clear();
    let mut listed = Listed { distances: distances.iter(), pulls };
    let (report, scale) = tuple_loss(objective, draws, betas, &mut dbetas[..anchors], &mut listed);
    let Some(scale) = scale else {
        gradient.fill(0.0);
        return Some(report);
    };
    ends.sort(x.count(), pulls);
    let (ends, scale) = (&*ends, scale.to_f64() as f32);
    spread.pieces(gradient, ROWS * dim, |piece, out| {
        spread.set.run(Gather { x: single, dim, ends, first: piece * ROWS, scale, out });
    });
    Some(report)
}

/// Distances that are known, and a list of pulls.
struct Listed<'a> {
    distances: slice::Iter<'a, f32>,
    pulls: &'a mut Vec<(u32, u32, f32)>,
}

impl<T: Scalar> Pairs<T> for Listed<'_> {
    fn distance(&mut self, _: usize, _: usize) -> T {
        T::from_f64(f64::from(*self.distances.next().expect("a distance for each pair of the tuples")))
    }

    fn pull(&mut self, i: usize, j: usize, share: T) {
        self.pulls.push((i as u32, j as u32, share.to_f64() as f32));
    }
}

/// The pulls on each row, in the order of the tuples: `(other row, share)`.
#[derive(Debug, Default)]
struct Ends {
    starts: Vec<u32>,
    list: Vec<(u32, f32)>,
}

impl Ends {
    fn sort(&mut self, rows: usize, pulls: &[(u32, u32, f32)]) {
        let Self { starts, list } = self;
        // Counted two places on, so that filling moves each start to where it belongs.
        starts.clear();
        starts.resize(rows + 2, 0);
        for &(i, j, _) in pulls {
            starts[i as usize + 2] += 1;
            starts[j as usize + 2] += 1;
        }
        for row in 2..rows + 2 {
            starts[row] += starts[row - 1];
        }
        // Every place is written.
        list.resize(2 * pulls.len(), (0, 0.0));
        for &(i, j, share) in pulls {
            for (row, other) in [(i, j), (j, i)] {
                let start = &mut starts[row as usize + 1];
                list[*start as usize] = (other, share);
                *start += 1;
            }
        }
    }

    fn of(&self, row: usize) -> &[(u32, f32)] {
        &self.list[self.starts[row] as usize..self.starts[row + 1] as usize]
    }
}

/// The distance of each pair of rows, from the differences.
pub(super) struct Distances<'a> {
    pub(super) x: &'a [f32],
    pub(super) dim: usize,
    pub(super) pairs: &'a [[u32; 2]],
    pub(super) out: &'a mut [f32],
}

impl WithSimd for Distances<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match S::F32_LANES {
            16 => self.all::<S, 1>(simd),
            8 => self.all::<S, 2>(simd),
            4 => self.all::<S, 4>(simd),
            _ => self.all::<S, LANES>(simd),
        }
    }
}

impl Distances<'_> {
    /// `NV` vectors hold the sixteen partial sums.
    #[inline(always)]
    fn all<S: Simd, const NV: usize>(self, simd: S) {
        let Self { x, dim, pairs, out } = self;
        // Sixteen pairs at once: their partial sums are joined side by side, each in order.
        for (out, pairs) in out.chunks_mut(LANES).zip(pairs.chunks(LANES)) {
            let mut lanes = [[0.0_f32; LANES]; LANES];
            for (lanes, &[i, j]) in lanes.iter_mut().zip(pairs) {
                let (xs, x_rest) = x[i as usize * dim..][..dim].as_chunks::<LANES>();
                let (ys, y_rest) = x[j as usize * dim..][..dim].as_chunks::<LANES>();
                let mut sums = [simd.splat_f32s(0.0); NV];
                for (x, y) in xs.iter().zip(ys) {
                    let ((x, _), (y, _)) = (S::as_simd_f32s(x), S::as_simd_f32s(y));
                    for v in 0..NV {
                        let apart = simd.sub_f32s(x[v], y[v]);
                        sums[v] = simd.add_f32s(sums[v], simd.mul_f32s(apart, apart));
                    }
                }
                S::as_mut_simd_f32s(lanes).0[..NV].copy_from_slice(&sums);
                for (lane, (x, y)) in lanes.iter_mut().zip(x_rest.iter().zip(y_rest)) {
                    *lane += (x - y) * (x - y);
                }
            }
            let mut squares = row_sums(simd, &mut lanes);
            for square in S::as_mut_simd_f32s(&mut squares).0 {
                *square = simd.sqrt_f32s(*square);
            }
            out.copy_from_slice(&squares[..out.len()]);
        }
    }
}

struct Gather<'a> {
    x: &'a [f32],
    dim: usize,
    ends: &'a Ends,
    /// First of the rows, and their gradients.
    first: usize,
    scale: f32,
    out: &'a mut [f32],
}

impl WithSimd for Gather<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, dim, ends, first, scale, out } = self;
        for (r, out) in out.chunks_exact_mut(dim).enumerate() {
            let own = &x[(first + r) * dim..][..dim];
            let pulls = ends.of(first + r);
            let mut at = 0;
            while at + 8 * S::F32_LANES <= dim {
                columns::<S, 8>(simd, x, own, pulls, at, scale, out);
                at += 8 * S::F32_LANES;
            }
            while at + 4 * S::F32_LANES <= dim {
                columns::<S, 4>(simd, x, own, pulls, at, scale, out);
                at += 4 * S::F32_LANES;
            }
            while at + S::F32_LANES <= dim {
                columns::<S, 1>(simd, x, own, pulls, at, scale, out);
                at += S::F32_LANES;
            }
            for k in at..dim {
                let mut sum = 0.0;
                for &(other, share) in pulls {
                    sum += share * (own[k] - x[other as usize * dim + k]);
                }
                out[k] = sum * scale;
            }
        }
    }
}

/// The gradient of one row in `NV` vectors of columns from `at` on.
#[inline(always)]
fn columns<S: Simd, const NV: usize>(
    simd: S,
    x: &[f32],
    own: &[f32],
    pulls: &[(u32, f32)],
    at: usize,
    scale: f32,
    out: &mut [f32],
) {
    let (dim, width) = (own.len(), NV * S::F32_LANES);
    // Copied, so that it is loaded once and not with each pull.
    let mut own_columns = [simd.splat_f32s(0.0); NV];
    own_columns.copy_from_slice(S::as_simd_f32s(&own[at..at + width]).0);
    let (out, _) = S::as_mut_simd_f32s(&mut out[at..at + width]);
    let mut sums = [simd.splat_f32s(0.0); NV];
    for &(other, share) in pulls {
        let (theirs, _) = S::as_simd_f32s(&x[other as usize * dim + at..][..width]);
        let share = simd.splat_f32s(share);
        for v in 0..NV {
            sums[v] = simd.add_f32s(sums[v], simd.mul_f32s(share, simd.sub_f32s(own_columns[v], theirs[v])));
        }
    }
    for v in 0..NV {
        out[v] = simd.mul_f32s(sums[v], simd.splat_f32s(scale));
    }
}

/// The pairs of tuples whose distances the loss takes: anchor and positive, anchor and negative, and for the quadruplet
/// loss the negative and the sample of a third class.
fn list_pairs<T: Scalar>(objective: &Objective<T>, draws: &[Draw<T>], pairs: &mut Vec<[u32; 2]>) {
    let quadruplet = matches!(objective.loss(), Loss::Quadruplet(_));
    pairs.clear();
    for draw in draws {
        let Triplet { anchor, positive, negative } = draw.triplet;
        pairs.extend([[anchor, positive], [anchor, negative]]);
        if let Some(second) = draw.second.filter(|_| quadruplet) {
            pairs.push([negative, second]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Fast;
    use crate::kernel::fast::InstructionSet;
    use crate::kernel::scalar::Reference;
    use crate::kernel::{Backend, BatchView};
    use crate::{
        Contrastive, Draw, Key, Loss, LossReport, Margin, Objective, Quadruplet, Reduction, Sampler, Stream,
        TripletLoss,
    };

    /// Draws, and the loss with its gradients.
    type Step<'a> = dyn Fn(&mut Vec<Draw<f32>>, &mut Vec<f32>, &mut Vec<f32>) -> LossReport + 'a;

    #[test]
    fn the_loss_of_tuples_has_the_bits_of_the_sequential_walk() {
        let losses = [
            Loss::Contrastive(Contrastive::new(1.3).unwrap()),
            Loss::Margin(Margin::new(0.2, 0.05).unwrap()),
            Loss::Triplet(TripletLoss::plain(0.2).unwrap()),
            Loss::Triplet(TripletLoss::squared(0.2).unwrap()),
            Loss::Quadruplet(Quadruplet::new(0.3, 0.2).unwrap()),
            // Nothing is active.
            Loss::Contrastive(Contrastive::new(0.0).unwrap()),
            Loss::Triplet(TripletLoss::plain(0.0).unwrap()),
        ];
        // The last two have a memory behind the batch.
        for (anchors, count, dim) in
            [(24, 24, 3), (150, 150, 16), (200, 200, 77), (160, 160, 128), (20, 150, 16), (140, 300, 33)]
        {
            let key = Key::new(1, Stream::Init, 0);
            let mut x: Vec<f32> =
                (0..count * dim).map(|i| key.normals(0, i as u32)[0] as f32 / (dim as f32).sqrt()).collect();
            // A pair at distance 0.
            x.copy_within(0..dim, dim);
            let labels: Vec<u32> = (0..count).map(|i| i as u32 / 4).collect();
            let betas: Vec<f32> = (0..anchors).map(|i| 1.0 + 0.003 * i as f32).collect();
            let batch = BatchView { embeddings: &x, labels: &labels, betas: &betas, anchors, count, dim };
            for loss in losses {
                for reduction in [Reduction::MeanActive, Reduction::Mean, Reduction::Sum] {
                    let objective = Objective::new(loss, Sampler::Uniform, reduction).unwrap();
                    let run = |backend: &Step<'_>| {
                        let (mut dx, mut dbetas) = (vec![7.0; anchors * dim], vec![7.0; anchors]);
                        let mut draws = Vec::new();
                        let report = backend(&mut draws, &mut dx, &mut dbetas);
                        (report, dx, dbetas)
                    };
                    let key = Key::new(2, Stream::Negatives, 0);
                    let plain = run(&|draws, dx, dbetas| {
                        Reference.draw(batch, &objective, key, draws).unwrap();
                        Reference.loss(batch, &objective, draws, dx, dbetas).unwrap()
                    });
                    for set in InstructionSet::available() {
                        for threads in [1, 2, 5] {
                            let fast = Fast::with_instruction_set(threads, set).unwrap();
                            let got = run(&|draws, dx, dbetas| {
                                Reference.draw(batch, &objective, key, draws).unwrap();
                                fast.loss(batch, &objective, draws, dx, dbetas).unwrap()
                            });
                            assert!(
                                got == plain,
                                "{loss:?}, {reduction:?}, {set}, {threads} threads, D {dim}"
                            );
                        }
                    }
                }
            }
        }
    }
}
