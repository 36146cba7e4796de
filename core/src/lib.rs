//! Deep metric learning in numbers that can be checked.
//!
//! An embedding is trained by pulling samples of one class near and pushing others far. This crate holds the
//! mathematics, in the order in which a reader of Wu, Manmatha, Smola, Krähenbühl, "Sampling Matters in Deep
//! Embedding Learning" (ICCV 2017) meets it:
//!
//! 1. the law of distances on the sphere: [`Density`], [`effective_dimension`], [`gradient_noise`];
//! 2. weights and draws of negatives: [`Weighting`], [`Sampler`], [`Row`];
//! 3. losses: [`Margin`] with its [`Boundary`], and its neighbours ([`Loss`]), joined to an [`Objective`];
//! 4. what is learned from ordered numbers: [`isotonic`] regression;
//! 5. batches over a whole network: the seam [`kernel::Backend`], [`net::Network`], [`Composer`], [`ClassMeans`] and
//!    [`Memory`] of batches past; over another framework's network: [`batch_loss`];
//! 6. after training: [`Whitening`] within classes;
//! 7. quality: [`metric`].
//!
//! The formulas see one pair or one row at a time, need neither `std` nor an allocator, and give the same bits on
//! every machine. Feature `alloc` adds what owns memory, feature `std` (default) the fast CPU backend.
#![cfg_attr(not(any(feature = "std", test)), no_std)]
#![deny(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;

mod batch;
#[cfg(feature = "alloc")]
mod batch_loss;
#[cfg(feature = "alloc")]
mod boundary;
#[cfg(feature = "alloc")]
mod class_means;
#[cfg(feature = "alloc")]
mod compose;
mod density;
#[cfg(feature = "alloc")]
mod discriminant;
mod distance;
mod draw;
pub mod isotonic;
#[cfg(feature = "alloc")]
pub mod kernel;
#[cfg(feature = "alloc")]
mod learned;
mod loss;
mod math;
#[cfg(feature = "alloc")]
mod memory;
#[cfg(feature = "alloc")]
pub mod metric;
#[cfg(feature = "alloc")]
pub mod net;
mod noise;
mod rng;
mod sample;
#[cfg(feature = "alloc")]
mod scatter;
mod weight;
#[cfg(feature = "alloc")]
mod whiten;

pub use batch::{BatchError, Embeddings, Row, Triplet, UNIT_TOLERANCE};
#[cfg(feature = "alloc")]
pub use batch_loss::{BatchLoss, batch_loss};
#[cfg(feature = "alloc")]
pub use boundary::{Boundary, BoundaryFit, BoundaryShape, BoundaryStep, Kink, Penalty, exact_boundary};
#[cfg(feature = "alloc")]
pub use class_means::ClassMeans;
#[cfg(feature = "alloc")]
pub use compose::{ComposeError, Composer, SmallClass};
pub use density::{Density, DensityError, effective_dimension, fitted_dimension};
#[cfg(feature = "alloc")]
pub use discriminant::Discriminants;
pub use distance::{
    RowError, distance, dot, normalize_row, normalize_row_backward, squared_distance, squared_from_product,
};
pub use draw::pick;
#[cfg(feature = "alloc")]
pub use learned::LearnedBoundary;
pub use loss::{
    Contrastive, Lifted, Loss, LossError, LossReport, Margin, MultiSimilarity, NPair, Objective,
    ObjectiveError, PairGrad, Quadruplet, Reduction, TripletGrad, TripletLoss,
};
pub use math::Scalar;
#[cfg(feature = "alloc")]
pub use memory::{Ages, Memory, MemoryState, remembered_share};
pub use noise::{NoiseError, gradient_noise};
pub use rng::{Key, Stream, philox4x32_10, shuffle};
pub use sample::{Draw, DrawReport, Sampler};
#[cfg(feature = "alloc")]
pub use scatter::ScatterError;
pub use weight::{Cap, EmptyRow, FarCut, RowWeights, Weighting, WeightingError};
#[cfg(feature = "alloc")]
pub use whiten::Whitening;

/// The program in the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
