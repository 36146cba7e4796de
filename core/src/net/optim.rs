//! Optimisers and the learning-rate schedule.

use crate::Scalar;
use crate::math::sin_cos;

/// How parameters follow their gradients.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Optimizer {
    /// Adam; with `decay > 0` its decoupled form AdamW.
    Adam {
        /// Decay of the first moment.
        beta1: f64,
        /// Decay of the second moment.
        beta2: f64,
        /// Keeps the division finite.
        epsilon: f64,
        /// Decoupled weight decay, of weights only.
        decay: f64,
    },
    /// Stochastic gradient descent with momentum.
    Sgd {
        /// Share of the last velocity that stays.
        momentum: f64,
        /// L2 penalty, of weights only.
        decay: f64,
    },
}

impl Default for Optimizer {
    fn default() -> Self {
        Self::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 0.0 }
    }
}

/// Learning rate as a function of the step: a linear warm-up, then constant or falling.
///
/// ```
/// use nearfar_core::net::{Decay, Schedule};
/// let schedule = Schedule { rate: 0.1, warmup: 10, steps: 110, decay: Decay::Cosine { floor: 0.0 } };
/// assert_eq!(schedule.rate_at(4), 0.05);               // half way through the warm-up
/// assert_eq!(schedule.rate_at(10), 0.1);               // its end
/// assert!((schedule.rate_at(60) - 0.05).abs() < 1e-12); // half way down
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// The largest rate.
    pub rate: f64,
    /// Steps of linear growth.
    pub warmup: u32,
    /// Steps in all.
    pub steps: u32,
    /// What follows the warm-up.
    pub decay: Decay,
}

/// What a rate does after its warm-up.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Decay {
    /// Nothing.
    Constant,
    /// Half a cosine, down to `floor` times the rate at the last step.
    Cosine {
        /// Share of the rate that is left at the end.
        floor: f64,
    },
}

impl Schedule {
    /// Rate of step `step`, from 0.
    #[must_use]
    pub fn rate_at(&self, step: u32) -> f64 {
        if step < self.warmup {
            return self.rate * f64::from(step + 1) / f64::from(self.warmup);
        }
        match self.decay {
            Decay::Constant => self.rate,
            Decay::Cosine { floor } => {
                let span = f64::from(self.steps.saturating_sub(self.warmup).max(1));
                let done = Scalar::min(f64::from(step - self.warmup) / span, 1.0);
                let (_, cos) = sin_cos(core::f64::consts::PI * done);
                self.rate * (floor + (1.0 - floor) * 0.5 * (1.0 + cos))
            }
        }
    }
}
