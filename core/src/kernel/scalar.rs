//! Plain loops in the order of the formula: the oracle of every other backend, and the fallback everywhere.

/// The reference backend.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reference;
