//! How all positives pull the rows of a panel: what is left of the second pass of [`expected`](super::expected) after
//! [`push`](super::push). Positives are few and may lie near, so each pair is taken by its differences.

use pulp::{Simd, WithSimd};

use super::classes::Classes;
use super::expected::{Ends, PairLoss};
use super::far::Far;
use super::tile::{Batch, TILE};
use crate::kernel::fast::tuples::Distances;
use crate::loss::batch::{Terms, inverse_or_zero};

/// One panel: what its negatives come to, and what is written of both.
pub(super) struct Pull<'a> {
    pub(super) batch: &'a Batch<'a>,
    pub(super) classes: &'a Classes,
    pub(super) ends: &'a Ends,
    pub(super) pairs: &'a PairLoss,
    pub(super) betas: &'a [f32],
    pub(super) panel: usize,
    pub(super) far: &'a Far,
    /// Of each anchor of the panel; what [`push`](super::push) made of it.
    pub(super) gradient: &'a mut [f32],
    pub(super) terms: &'a mut [Terms],
}

impl WithSimd for Pull<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { batch, classes, ends, pairs, betas, panel, far, gradient, terms } = self;
        let anchors = (0..terms.len()).map(|a| panel * TILE + a);
        let pulled: Vec<[u32; 2]> = anchors
            .flat_map(|anchor| {
                classes.of_batch(anchor).iter().map(move |&positive| [anchor as u32, positive])
            })
            .filter(|[anchor, positive]| anchor != positive)
            .collect();
        let mut distances = vec![0.0; pulled.len()];
        Distances { x: batch.x, dim: batch.dim, pairs: &pulled, out: &mut distances }.with_simd(simd);

        for (a, (gradient, terms)) in gradient.chunks_exact_mut(batch.dim).zip(&mut *terms).enumerate() {
            let share = far.own[a] as f32;
            for (gradient, x) in gradient.iter_mut().zip(batch.row(panel * TILE + a)) {
                *gradient -= share * x;
            }
            *terms = far.terms(a);
        }
        for (&[anchor, positive], d) in pulled.iter().zip(distances) {
            let (anchor, positive) = (anchor as usize, positive as usize);
            let (a, mut slope) = (anchor - panel * TILE, 0.0);
            if ends.scale[anchor] > 0.0 {
                let pair = pairs.pair(d, betas[anchor], true);
                let terms = &mut terms[a];
                terms.add(1.0, pair.value);
                terms.d_beta += f64::from(pair.d_beta);
                terms.tuples += 1.0;
                slope += pair.d_distance;
            }
            if ends.scale[positive] > 0.0 {
                slope += pairs.pair(d, betas[positive], true).d_distance;
            }
            let share = slope * inverse_or_zero(d);
            let gradient = &mut gradient[a * batch.dim..][..batch.dim];
            for ((gradient, x), y) in gradient.iter_mut().zip(batch.row(anchor)).zip(batch.row(positive)) {
                *gradient += share * (x - y);
            }
        }
    }
}
