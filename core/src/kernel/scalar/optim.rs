//! Optimisers on one tensor, number by number.

use super::super::{AdamStep, SgdStep};
use crate::Scalar;

/// `base` to a whole power, by squaring: the same bits everywhere.
fn power(base: f64, mut exponent: u32) -> f64 {
    let (mut result, mut square) = (1.0, base);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result *= square;
        }
        square *= square;
        exponent >>= 1;
    }
    result
}

impl<T: Scalar> AdamStep<T> {
    /// What is the same for all numbers of a step: `rate / (1 - b1^t)`, `1 / sqrt(1 - b2^t)` and `1 - rate decay`.
    ///
    /// ```
    /// use nearfar_core::kernel::AdamStep;
    /// let step = AdamStep { rate: 0.5, beta1: 0.5, beta2: 0.75, epsilon: 0.0, decay: 0.5, step: 1 };
    /// assert_eq!(step.factors(), (1.0, 2.0, 0.75));
    /// ```
    #[must_use]
    pub fn factors(&self) -> (T, T, T) {
        let Self { rate, beta1, beta2, decay, step, .. } = *self;
        let correct1 = T::from_f64(1.0 - power(beta1.to_f64(), step));
        let correct2 = T::from_f64(1.0 - power(beta2.to_f64(), step));
        (rate / correct1, T::ONE / correct2.sqrt(), T::ONE - rate * decay)
    }
}

/// What an element of [`adam`] is multiplied with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Factors<T> {
    pub(crate) beta1: T,
    /// `1 - beta1`.
    pub(crate) rest1: T,
    pub(crate) beta2: T,
    /// `1 - beta2`.
    pub(crate) rest2: T,
    /// What weight decay leaves.
    pub(crate) keep: T,
    /// The rate over the bias correction of the first moment.
    pub(crate) scale: T,
    /// The root of the bias correction of the second, inverse.
    pub(crate) root: T,
    pub(crate) epsilon: T,
}

impl<T: Scalar> Factors<T> {
    pub(crate) fn new(step: AdamStep<T>) -> Self {
        let (scale, root, keep) = step.factors();
        let AdamStep { beta1, beta2, epsilon, .. } = step;
        Self { beta1, rest1: T::ONE - beta1, beta2, rest2: T::ONE - beta2, keep, scale, root, epsilon }
    }
}

pub(crate) fn adam<T: Scalar>(step: AdamStep<T>, w: &mut [T], g: &[T], m: &mut [T], v: &mut [T]) {
    let Factors { beta1, rest1, beta2, rest2, keep, scale, root, epsilon } = Factors::new(step);
    for (((w, &g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
        *m = beta1 * *m + rest1 * g;
        *v = beta2 * *v + rest2 * g * g;
        *w = *w * keep - scale * *m / (v.sqrt() * root + epsilon);
    }
}

pub(crate) fn sgd<T: Scalar>(step: SgdStep<T>, w: &mut [T], g: &[T], u: &mut [T]) {
    let SgdStep { rate, momentum, decay } = step;
    for ((w, &g), u) in w.iter_mut().zip(g).zip(u) {
        *u = momentum * *u + g + decay * *w;
        *w -= rate * *u;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_of_adam_has_the_length_of_the_rate() {
        let step = AdamStep { rate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 0.0, decay: 0.0, step: 1 };
        let (mut w, mut m, mut v) = ([1.0_f64, 1.0], [0.0; 2], [0.0; 2]);
        adam(step, &mut w, &[1e-3, -50.0], &mut m, &mut v);
        assert!((w[0] - 0.99).abs() < 1e-12 && (w[1] - 1.01).abs() < 1e-12, "{w:?}");
    }

    #[test]
    fn power_by_squaring_is_repeated_multiplication() {
        assert_eq!(power(0.5, 10), 1.0 / 1024.0);
        assert_eq!(power(0.9, 0), 1.0);
    }
}
