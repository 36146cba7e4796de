//! Isotonic regression: the best fit that never falls (or never rises), exact and in one pass after sorting.
//!
//! Sources: Ayer et al. 1955 and Barlow et al. 1972 for pool adjacent violators; the quantile form is the slope
//! trick on a heap; the interval form follows IntervalRank (Moon et al., WSDM 2010). Double precision throughout.
//! Uses here: distance to probability of being of one class; its blocks are the convex hull of the ROC.

#[cfg(feature = "alloc")]
mod error;
#[cfg(feature = "alloc")]
mod fit;
#[cfg(feature = "alloc")]
mod interval;
#[cfg(feature = "alloc")]
mod jacobian;
#[cfg(feature = "alloc")]
mod levels;
#[cfg(feature = "alloc")]
mod order;
mod pool;
#[cfg(feature = "alloc")]
mod quantile;

#[cfg(feature = "alloc")]
pub use error::IsotonicError;
#[cfg(feature = "alloc")]
pub use fit::{Between, Block, Direction, Isotonic, Options, Outside, Risk};
#[cfg(feature = "alloc")]
pub use interval::{IntervalError, interval_thresholds};
pub use pool::pool;
