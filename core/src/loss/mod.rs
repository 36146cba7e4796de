//! Losses: one pair, one tuple or one row at a time; and the objective of a batch.

use core::marker::PhantomData;

/// A loss, the sampler that feeds it and the reduction: everything that turns a batch into one number.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective<T> {
    marker: PhantomData<T>,
}

/// Value of an objective on a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LossReport {
    /// The reduced value.
    pub loss: f64,
    /// Terms (their weight, where they are weighted) with a positive value.
    pub active: f64,
    /// All terms.
    pub terms: f64,
}
