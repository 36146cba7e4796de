//! The values of other libraries in `tests/vectors`.

use serde::de::DeserializeOwned;

/// One file of vectors.
///
/// # Panics
/// If the file is not there or is another: that is a broken checkout.
#[must_use]
pub fn read<T: DeserializeOwned>(name: &str) -> T {
    let path = format!("{}/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Largest difference, relative to the largest number that is wanted; infinite for different lengths or NaN.
#[must_use]
pub fn relative_error(got: &[f64], wanted: &[f64]) -> f64 {
    if got.len() != wanted.len() {
        return f64::INFINITY;
    }
    let scale = wanted.iter().fold(f64::MIN_POSITIVE, |m, v| m.max(v.abs()));
    let worst = got.iter().zip(wanted).map(|(g, w)| (g - w).abs() / scale);
    worst.fold(0.0, |m, v| if v.is_nan() { f64::INFINITY } else { m.max(v) })
}
