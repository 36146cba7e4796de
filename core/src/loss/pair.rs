//! Losses of one pair: contrastive and margin-based.

use super::LossError;
use crate::Scalar;

/// Value and derivatives of a pair's loss.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PairGrad<T> {
    /// The loss.
    pub value: T,
    /// Its derivative to the distance.
    pub d_distance: T,
    /// Its derivative to the boundary; 0 for losses that have none.
    pub d_beta: T,
}

/// Contrastive loss of one pair (Hadsell, Chopra, LeCun 2006) \[E3\].
///
/// ```text
/// same class: l = d²,                     dl/dd = 2d
/// otherwise:  l = max(0, alpha - d)²,     dl/dd = -2 max(0, alpha - d)
/// ```
/// `d` is a chord length in [0, 2]; smooth but for the jump of the second derivative at `d = alpha`.
///
/// ```
/// use nearfar_core::{Contrastive, PairGrad};
/// let loss = Contrastive::new(1.0)?;
/// assert_eq!(loss.pair(0.5, true), PairGrad { value: 0.25, d_distance: 1.0, d_beta: 0.0 });
/// assert_eq!(loss.pair(0.5, false), PairGrad { value: 0.25, d_distance: -1.0, d_beta: 0.0 });
/// # Ok::<(), nearfar_core::LossError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contrastive<T> {
    alpha: T,
}

impl<T: Scalar> Contrastive<T> {
    /// Negatives beyond `alpha >= 0` are left alone.
    pub fn new(alpha: T) -> Result<Self, LossError> {
        Ok(Self { alpha: LossError::at_least_zero("alpha", alpha)? })
    }

    /// Distance beyond which negatives are left alone.
    #[must_use]
    pub const fn alpha(&self) -> T {
        self.alpha
    }

    /// Loss at distance `d`.
    #[must_use]
    pub fn pair(&self, d: T, same: bool) -> PairGrad<T> {
        let (value, d_distance) = if same {
            (d * d, T::TWO * d)
        } else {
            let inside = Scalar::max(self.alpha - d, T::ZERO);
            (inside * inside, -T::TWO * inside)
        };
        PairGrad { value, d_distance, d_beta: T::ZERO }
    }
}

/// Margin-based loss of one pair (Wu et al. 2017, sec. 4) \[E7\].
///
/// ```text
/// l = max(0, alpha + y (d - beta))     y = +1 same class, -1 otherwise
/// dl/dd = y,  dl/dbeta = -y            where l > 0; all three are 0 elsewhere, the kink included
/// ```
/// `d` is a chord length in [0, 2], `beta` the boundary of the anchor, `beta0 + beta_class + beta_img` \[E8\].
///
/// `nu` weighs the penalty that pulls boundaries down, in the form of the authors' example code: `nu` times the
/// boundaries of the anchors of all tuples, inside the mean \[E9\]. It is added by the objective of a batch; the
/// paper's form, once for each parameter, belongs to [`Boundary`](crate::Boundary).
///
/// ```
/// use nearfar_core::{Margin, PairGrad};
/// let loss = Margin::new(0.25, 0.0)?;
/// // A negative at distance 1 is inside the boundary: push it out, pull the boundary in.
/// assert_eq!(loss.pair(1.0, 1.25, false), PairGrad { value: 0.5, d_distance: -1.0, d_beta: 1.0 });
/// assert_eq!(loss.pair(1.5, 1.25, false), PairGrad::default()); // at the kink
/// # Ok::<(), nearfar_core::LossError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Margin<T> {
    alpha: T,
    nu: T,
}

impl<T: Scalar> Margin<T> {
    /// Margin `alpha >= 0` on each side of the boundary, and `nu >= 0`.
    pub fn new(alpha: T, nu: T) -> Result<Self, LossError> {
        Ok(Self { alpha: LossError::at_least_zero("alpha", alpha)?, nu: LossError::at_least_zero("nu", nu)? })
    }

    /// Margin on each side of the boundary.
    #[must_use]
    pub const fn alpha(&self) -> T {
        self.alpha
    }

    /// Weight of the boundary penalty.
    #[must_use]
    pub const fn nu(&self) -> T {
        self.nu
    }

    /// Loss at distance `d` with boundary `beta`.
    #[must_use]
    pub fn pair(&self, d: T, beta: T, same: bool) -> PairGrad<T> {
        let y = if same { T::ONE } else { -T::ONE };
        let value = self.alpha + y * (d - beta);
        if value > T::ZERO { PairGrad { value, d_distance: y, d_beta: -y } } else { PairGrad::default() }
    }
}
