//! Deep metric learning in numbers that can be checked.
#![cfg_attr(not(feature = "std"), no_std)]
#![deny(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;

mod batch;
#[cfg(feature = "alloc")]
pub mod kernel;
mod loss;
mod math;
mod rng;
mod sample;
mod weight;

pub use batch::{BatchError, Embeddings, Triplet, UNIT_TOLERANCE};
pub use loss::{LossReport, Objective};
pub use math::Scalar;
pub use rng::{Key, Stream, philox4x32_10, shuffle};
pub use sample::{Draw, DrawReport, Row, Sampler};
pub use weight::{Cap, EmptyRow, FarCut, Weighting};
