//! How all positives pull the rows of a panel: what is left of the second pass of [`expected`](super::expected) after
//! [`push`](super::push). Positives are few and may lie near, so each pair is taken by its differences.

use pulp::{Simd, WithSimd};

use super::classes::Classes;
use super::expected::{Ends, PairLoss};
use super::far::Far;
use super::tile::{Batch, TILE};
use crate::distance::squared_distance;
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
    fn with_simd<S: Simd>(self, _: S) {
        let Self { batch, classes, ends, pairs, betas, panel, far, gradient, terms } = self;
        for (a, (gradient, terms)) in gradient.chunks_exact_mut(batch.dim).zip(terms).enumerate() {
            let anchor = panel * TILE + a;
            let own = batch.row(anchor);
            let share = far.own[a] as f32;
            for (gradient, x) in gradient.iter_mut().zip(own) {
                *gradient -= share * x;
            }
            *terms = far.terms(a);
            for &positive in classes.of_batch(anchor) {
                let positive = positive as usize;
                if positive == anchor {
                    continue;
                }
                let theirs = batch.row(positive);
                let d = squared_distance(own, theirs).sqrt();
                let mut slope = 0.0;
                if ends.scale[anchor] > 0.0 {
                    let pair = pairs.pair(d, betas[anchor], true);
                    terms.add(1.0, pair.value);
                    terms.d_beta += f64::from(pair.d_beta);
                    terms.tuples += 1.0;
                    slope += pair.d_distance;
                }
                if ends.scale[positive] > 0.0 {
                    slope += pairs.pair(d, betas[positive], true).d_distance;
                }
                let share = slope * inverse_or_zero(d);
                for ((gradient, x), y) in gradient.iter_mut().zip(own).zip(theirs) {
                    *gradient += share * (x - y);
                }
            }
        }
    }
}
