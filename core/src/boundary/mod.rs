//! The boundary of the margin loss: its parameters, their penalty, and a step against their gradient.
//!
//! Source: Wu et al. 2017, sec. 4: `beta(i) = beta0 + beta_class(c(i)) + beta_img(i)` \[E8\], penalty `nu` times their
//! sum \[E9\]. The step is one rule ([`BoundaryShape`]) for parameters here and for those that a backend keeps
//! ([`LearnedBoundary`](crate::LearnedBoundary)); the exact minimum, which has no learning rate, is in `exact`.

mod exact;

pub use exact::{BoundaryFit, Kink, Penalty, exact_boundary};

use alloc::vec::Vec;

use crate::Scalar;

/// A boundary with optional parts for each class and each image.
///
/// ```
/// use nearfar_core::Boundary;
/// let mut boundary = Boundary::new(1.2_f64, 3, 0);
/// boundary.classes_mut()[2] = -0.2;
/// let mut betas = Vec::new();
/// boundary.of(&[(0, 0), (2, 1)], &mut betas); // (class, image) of each anchor
/// assert_eq!(betas, [1.2, 1.0]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Boundary<T> {
    /// beta0, then the classes, then the images.
    parameters: Vec<T>,
    velocity: Vec<T>,
    shape: BoundaryShape,
}

/// How many parameters a boundary has: beta0, one for each of `classes` and one for each of `images`, 0 for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoundaryShape {
    /// Parts of classes.
    pub classes: usize,
    /// Parts of images.
    pub images: usize,
}

impl BoundaryShape {
    /// Number of parameters.
    #[must_use]
    pub const fn count(self) -> usize {
        1 + self.classes + self.images
    }

    /// Indices of the parameters of an anchor: beta0, its class, its image.
    fn parts(self, (class, image): (u32, u32)) -> impl Iterator<Item = usize> + use<> {
        let class = (self.classes > 0).then_some(1 + class as usize);
        let image = (self.images > 0).then_some(1 + self.classes + image as usize);
        core::iter::once(0).chain(class).chain(image)
    }

    /// Boundary of an anchor.
    pub(crate) fn of<T: Scalar>(self, parameters: &[T], anchor: (u32, u32)) -> T {
        self.parts(anchor).map(|i| parameters[i]).sum()
    }

    /// One step of the parameters, see [`Boundary::step`].
    pub(crate) fn step<T: Scalar>(
        self,
        parameters: &mut [T],
        velocity: &mut [T],
        anchors: impl Iterator<Item = (u32, u32)>,
        gradients: &[T],
        step: BoundaryStep<T>,
    ) {
        if gradients.iter().all(|&g| g == T::ZERO) {
            return;
        }
        let mut sums: Vec<Option<T>> = alloc::vec![None; self.count()];
        for (anchor, &gradient) in anchors.zip(gradients) {
            for part in self.parts(anchor) {
                *sums[part].get_or_insert(T::ZERO) += gradient;
            }
        }
        for ((parameter, velocity), sum) in parameters.iter_mut().zip(velocity).zip(sums) {
            if let Some(sum) = sum {
                *velocity = step.momentum * *velocity + sum + step.nu;
                *parameter -= step.rate * *velocity;
            }
        }
    }
}

/// How the boundary follows its gradient: `u <- momentum u + g; beta <- beta - rate u`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BoundaryStep<T> {
    /// Learning rate, of its own: boundaries live on another scale than weights.
    pub rate: T,
    /// Share of the last velocity that stays.
    pub momentum: T,
    /// Weight of the paper's penalty, `nu` times the sum of all parameters.
    pub nu: T,
}

impl<T: Scalar> Boundary<T> {
    /// `beta0 = start`; parts for `classes` classes and `images` images, 0 of either for none, start at 0.
    #[must_use]
    pub fn new(start: T, classes: usize, images: usize) -> Self {
        Self::of_shape(start, BoundaryShape { classes, images })
    }

    /// As [`new`](Self::new).
    pub(crate) fn of_shape(start: T, shape: BoundaryShape) -> Self {
        let mut parameters = alloc::vec![T::ZERO; shape.count()];
        parameters[0] = start;
        Self { velocity: alloc::vec![T::ZERO; parameters.len()], parameters, shape }
    }

    /// How many parameters there are.
    #[must_use]
    pub fn shape(&self) -> BoundaryShape {
        self.shape
    }

    /// beta0.
    #[must_use]
    pub fn base(&self) -> T {
        self.parameters[0]
    }

    /// Sets beta0.
    pub fn set_base(&mut self, beta: T) {
        self.parameters[0] = beta;
    }

    /// Parts of the classes; empty where there are none.
    #[must_use]
    pub fn classes(&self) -> &[T] {
        &self.parameters[1..=self.shape.classes]
    }

    /// Parts of the classes, to be changed.
    pub fn classes_mut(&mut self) -> &mut [T] {
        &mut self.parameters[1..=self.shape.classes]
    }

    /// Everything that a resumed run needs: parameters, then velocities.
    #[must_use]
    pub fn state(&self) -> Vec<T> {
        self.parameters.iter().chain(&self.velocity).copied().collect()
    }

    /// Sets what [`state`](Self::state) gave; false if the size is another.
    #[must_use]
    pub fn restore(&mut self, state: &[T]) -> bool {
        let count = self.parameters.len();
        if state.len() != 2 * count {
            return false;
        }
        self.parameters.copy_from_slice(&state[..count]);
        self.velocity.copy_from_slice(&state[count..]);
        true
    }

    /// Boundary of each anchor, given as (class, image).
    pub fn of(&self, anchors: &[(u32, u32)], betas: &mut Vec<T>) {
        betas.clear();
        betas.extend(anchors.iter().map(|&anchor| self.shape.of(&self.parameters, anchor)));
    }

    /// The paper's penalty, `nu` times the sum of all parameters.
    #[must_use]
    pub fn penalty(&self, nu: T) -> T {
        nu * self.parameters.iter().copied().sum::<T>()
    }

    /// One step against the gradient: `gradients` are those to the boundary of each anchor.
    ///
    /// A part whose anchors are not in the batch keeps its value and its velocity; an all-zero gradient (no active
    /// pair) moves nothing, the penalty included \[R10\].
    pub fn step(&mut self, anchors: &[(u32, u32)], gradients: &[T], step: BoundaryStep<T>) {
        let anchors = anchors.iter().copied();
        self.shape.step(&mut self.parameters, &mut self.velocity, anchors, gradients, step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_is_not_in_the_batch_keeps_its_value() {
        let mut boundary = Boundary::new(1.0_f64, 3, 0);
        let step = BoundaryStep { rate: 0.1, momentum: 0.9, nu: 0.5 };
        boundary.step(&[(1, 0)], &[2.0], step);
        assert_eq!(boundary.classes(), [0.0, -0.25, 0.0]);
        let before = boundary.clone();
        boundary.step(&[(1, 0)], &[0.0], step);
        assert_eq!(boundary, before);
    }
}
