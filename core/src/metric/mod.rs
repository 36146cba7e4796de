//! Quality of embeddings: retrieval, clustering, verification; and how far the figures can be trusted.

pub mod bootstrap;
pub mod cluster;
pub mod exact;
pub mod oneshot;
pub mod reliability;
pub mod retrieval;
pub mod verify;

/// The mean of some numbers with its standard error, which one number has not; NaN of none.
///
/// ```text
/// mean = sum x / n        error = sqrt( sum (x - mean)² / (n - 1) / n )
/// ```
///
/// ```
/// use nearfar_core::metric::mean_with_error;
/// assert_eq!(mean_with_error(&[1.0, 0.5]), (0.75, Some(0.25))); // deviations of 1/4: sqrt(2/16 / 1 / 2)
/// assert_eq!(mean_with_error(&[5.0]), (5.0, None));
/// ```
#[must_use]
pub fn mean_with_error(values: &[f64]) -> (f64, Option<f64>) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>();
    let error = || crate::Scalar::sqrt(squares / (count - 1.0) / count);
    (mean, (values.len() > 1).then(error))
}
