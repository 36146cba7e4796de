//! Losses of one triplet or quadruplet.

use super::LossError;
use crate::Scalar;

/// Value and derivatives of a triplet's loss.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TripletGrad<T> {
    /// The loss.
    pub value: T,
    /// Its derivative to the distance that should be small.
    pub d_near: T,
    /// Its derivative to the distance that should be large.
    pub d_far: T,
}

/// Triplet loss (Weinberger and Saul 2009; Schroff et al. 2015), squared \[E4\] or not \[E5\].
///
/// ```text
/// squared: l = max(0, d_ap² - d_an² + alpha),   dl/dd_ap = 2 d_ap,  dl/dd_an = -2 d_an
/// plain:   l = max(0, d_ap - d_an + alpha),     dl/dd_ap = 1,       dl/dd_an = -1
/// ```
/// where `l > 0`; all is 0 elsewhere, the kink included. Distances are chord lengths in [0, 2].
///
/// ```
/// use nearfar_core::{TripletGrad, TripletLoss};
/// let loss = TripletLoss::plain(0.25)?;
/// assert_eq!(loss.triplet(1.0, 1.0), TripletGrad { value: 0.25, d_near: 1.0, d_far: -1.0 });
/// let loss = TripletLoss::squared(0.25)?;
/// assert_eq!(loss.triplet(1.0, 0.5), TripletGrad { value: 1.0, d_near: 2.0, d_far: -1.0 });
/// # Ok::<(), nearfar_core::LossError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TripletLoss<T> {
    alpha: T,
    squared: bool,
}

impl<T: Scalar> TripletLoss<T> {
    /// On squared distances; `alpha >= 0`.
    pub fn squared(alpha: T) -> Result<Self, LossError> {
        Ok(Self { alpha: LossError::at_least_zero("alpha", alpha)?, squared: true })
    }

    /// On plain distances; `alpha >= 0`.
    pub fn plain(alpha: T) -> Result<Self, LossError> {
        Ok(Self { alpha: LossError::at_least_zero("alpha", alpha)?, squared: false })
    }

    /// Margin between the two.
    #[must_use]
    pub const fn alpha(&self) -> T {
        self.alpha
    }

    /// Whether distances are squared.
    #[must_use]
    pub const fn is_squared(&self) -> bool {
        self.squared
    }

    /// Loss of a positive at `near` and a negative at `far`.
    #[must_use]
    pub fn triplet(&self, near: T, far: T) -> TripletGrad<T> {
        let (value, d_near, d_far) = if self.squared {
            (near * near - far * far + self.alpha, T::TWO * near, -T::TWO * far)
        } else {
            (near - far + self.alpha, T::ONE, -T::ONE)
        };
        if value > T::ZERO { TripletGrad { value, d_near, d_far } } else { TripletGrad::default() }
    }
}

/// Quadruplet loss (Chen, Chen, Zhang, Huang 2017), with fixed margins.
///
/// ```text
/// l = max(0, d_ap² - d_an² + alpha) + max(0, d_ap² - d_nm² + alpha2)
/// ```
/// `m` is a sample of a third class: the second term wants every pair of one class nearer than any pair of two.
/// The two are terms of their own in means. Where a batch has two classes there is no `m` and no second term.
///
/// ```
/// use nearfar_core::Quadruplet;
/// let loss = Quadruplet::new(0.5, 0.25)?;
/// assert_eq!(loss.first().triplet(1.0, 1.0).value, 0.5);
/// assert_eq!(loss.second().triplet(1.0, 1.0).value, 0.25);
/// # Ok::<(), nearfar_core::LossError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quadruplet<T> {
    first: TripletLoss<T>,
    second: TripletLoss<T>,
}

impl<T: Scalar> Quadruplet<T> {
    /// Margins of the two terms, both at least 0.
    pub fn new(alpha: T, alpha2: T) -> Result<Self, LossError> {
        let alpha2 = LossError::at_least_zero("alpha2", alpha2)?;
        Ok(Self { first: TripletLoss::squared(alpha)?, second: TripletLoss::squared(alpha2)? })
    }

    /// The term with the anchor's negative.
    #[must_use]
    pub const fn first(&self) -> TripletLoss<T> {
        self.first
    }

    /// The term with two samples of other classes.
    #[must_use]
    pub const fn second(&self) -> TripletLoss<T> {
        self.second
    }
}
