//! The optimisers in one pass over memory: IEEE operations only, so every instruction set gives the same bits.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::Layers;
use super::lanes::{get, put};
use crate::Scalar;
use crate::kernel::scalar::optim;
use crate::kernel::{AdamStep, SgdStep};

/// Numbers in one task.
const ELEMENTS: usize = 1 << 14;

impl Layers {
    pub(in crate::kernel) fn adam<T: Scalar>(
        &self,
        step: AdamStep<T>,
        w: &mut [T],
        g: &[T],
        m: &mut [T],
        v: &mut [T],
    ) {
        let factors = single(optim::Factors::new(step));
        let tasks = w.par_chunks_mut(ELEMENTS).zip(g.par_chunks(ELEMENTS));
        let tasks = tasks.zip(m.par_chunks_mut(ELEMENTS)).zip(v.par_chunks_mut(ELEMENTS));
        tasks.for_each(|(((w, g), m), v)| {
            match (T::as_single_mut(w), T::as_single(g), T::as_single_mut(m), T::as_single_mut(v)) {
                (Some(w), Some(g), Some(m), Some(v)) => {
                    self.set.run(Adam { factors, w, g, m, v });
                }
                _ => optim::adam(step, w, g, m, v),
            }
        });
    }

    pub(in crate::kernel) fn sgd<T: Scalar>(&self, step: SgdStep<T>, w: &mut [T], g: &[T], u: &mut [T]) {
        let tasks = w.par_chunks_mut(ELEMENTS).zip(g.par_chunks(ELEMENTS)).zip(u.par_chunks_mut(ELEMENTS));
        tasks.for_each(|((w, g), u)| optim::sgd(step, w, g, u));
    }
}

/// The same factors in single precision, which they have where they are used.
fn single<T: Scalar>(factors: optim::Factors<T>) -> optim::Factors<f32> {
    let of = |factor: T| factor.to_f64() as f32;
    optim::Factors {
        beta1: of(factors.beta1),
        rest1: of(factors.rest1),
        beta2: of(factors.beta2),
        rest2: of(factors.rest2),
        keep: of(factors.keep),
        scale: of(factors.scale),
        root: of(factors.root),
        epsilon: of(factors.epsilon),
    }
}

struct Adam<'a> {
    factors: optim::Factors<f32>,
    w: &'a mut [f32],
    g: &'a [f32],
    m: &'a mut [f32],
    v: &'a mut [f32],
}

impl WithSimd for Adam<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { factors, w, g, m, v } = self;
        let optim::Factors { beta1, rest1, beta2, rest2, keep, scale, root, epsilon } = factors;
        let (beta1, rest1) = (simd.splat_f32s(beta1), simd.splat_f32s(rest1));
        let (beta2, rest2) = (simd.splat_f32s(beta2), simd.splat_f32s(rest2));
        let (keep, scale) = (simd.splat_f32s(keep), simd.splat_f32s(-scale));
        let (root, epsilon) = (simd.splat_f32s(root), simd.splat_f32s(epsilon));
        let lanes = S::F32_LANES;
        let rows = w.chunks_mut(lanes).zip(g.chunks(lanes)).zip(m.chunks_mut(lanes)).zip(v.chunks_mut(lanes));
        for (((w, g), m), v) in rows {
            let g = get(simd, g);
            let first = simd.mul_add_f32s(beta1, get(simd, m), simd.mul_f32s(rest1, g));
            let second = simd.mul_add_f32s(beta2, get(simd, v), simd.mul_f32s(simd.mul_f32s(rest2, g), g));
            let below = simd.mul_add_f32s(simd.sqrt_f32s(second), root, epsilon);
            let change = simd.div_f32s(simd.mul_f32s(scale, first), below);
            let moved = simd.mul_add_f32s(get(simd, w), keep, change);
            put(simd, m, first);
            put(simd, v, second);
            put(simd, w, moved);
        }
    }
}
