//! The standard CPU backend: SIMD matrix products and threads.

/// The fast CPU backend.
#[derive(Debug)]
pub struct Fast;
