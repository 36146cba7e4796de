//! Inputs of mean 0 and deviation 1: by channel for images, by feature for vectors.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::Samples;

/// What turns raw values into inputs of a network.
///
/// ```text
/// out = (raw - mean_c) / std_c        c = channel of an image, or feature of a vector
/// ```
/// `mean` and `std` have one number for each of the C channels or D features, which lie innermost; `std > 0`. Both
/// are checked when a file is read. A channel that never changes has `std = 1`: it becomes 0.
///
/// ```
/// use nearfar::data::{Samples, normalize::Normalization};
/// // The first feature is 1 or 3, the second always 5.
/// let train = Samples::new([1, 1, 2], vec![1.0, 5.0, 3.0, 5.0], vec![0, 1])?;
/// let normalization = Normalization::fit(&train)?;
/// let mut out = [9.0; 2];
/// normalization.apply(&train.sample(1)?, &mut out);
/// assert_eq!(out, [1.0, 0.0]);
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Normalization {
    mean: Vec<f32>,
    std: Vec<f32>,
}

/// The same before it is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl TryFrom<Stored> for Normalization {
    type Error = String;

    fn try_from(Stored { mean, std }: Stored) -> Result<Self, String> {
        Self::new(mean, std).map_err(|error| error.to_string())
    }
}

impl Normalization {
    /// Given means and deviations.
    ///
    /// Errors: none, lengths that differ, a mean that is not finite, or a deviation that is not finite and positive.
    pub fn new(mean: Vec<f32>, std: Vec<f32>) -> Result<Self> {
        ensure!(
            !mean.is_empty() && mean.len() == std.len(),
            "a normalisation needs as many deviations as means, here are {} and {}",
            std.len(),
            mean.len()
        );
        for (place, (&mean, &std)) in mean.iter().zip(&std).enumerate() {
            ensure!(mean.is_finite(), "mean {place} of the normalisation is {mean}");
            ensure!(std.is_normal() && std > 0.0, "deviation {place} of the normalisation is {std}");
        }
        Ok(Self { mean, std })
    }

    /// Means and deviations (those of the whole population: divided by the count) of some samples; of pictures that
    /// would fill more than 1 GiB, of a thousand of them at most, spread evenly.
    pub fn fit(samples: &Samples) -> Result<Self> {
        let channels = samples.shape[2];
        let values = samples.glance()?;
        let rows = values.len() / channels.max(1);
        ensure!(rows > 0, "there are no samples to normalise by");
        let first: Vec<f64> = values[..channels].iter().map(|&value| value.into()).collect();
        // Sums start at the first value, so that a constant has exactly no deviation.
        let mut sum = vec![0.0_f64; channels];
        for row in values.chunks_exact(channels) {
            for c in 0..channels {
                sum[c] += f64::from(row[c]) - first[c];
            }
        }
        let count = rows as f64;
        let mean: Vec<f64> = (0..channels).map(|c| first[c] + sum[c] / count).collect();
        let mut squares = vec![0.0_f64; channels];
        for row in values.chunks_exact(channels) {
            for c in 0..channels {
                let away = f64::from(row[c]) - mean[c];
                squares[c] += away * away;
            }
        }
        let std = squares.iter().map(|&sum| {
            let std = (sum / count).sqrt() as f32;
            if std.is_normal() { std } else { 1.0 }
        });
        Self::new(mean.iter().map(|&mean| mean as f32).collect(), std.collect())
    }

    /// Means, `[C]`.
    #[must_use]
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// Deviations, `[C]`.
    #[must_use]
    pub fn std(&self) -> &[f32] {
        &self.std
    }

    /// An error unless it has a mean for each channel of samples of this shape.
    pub fn check(&self, shape: [usize; 3]) -> Result<()> {
        let [.., channels] = shape;
        let known = self.mean.len();
        ensure!(
            known == channels,
            "the normalisation knows {known} channels, samples of {shape:?} have {channels}"
        );
        Ok(())
    }

    /// Normalises whole samples, `raw` to `out`.
    ///
    /// Both have the same length, a multiple of the number of channels, or it panics: see [`check`](Self::check).
    pub fn apply(&self, raw: &[f32], out: &mut [f32]) {
        let channels = self.mean.len();
        assert!(
            raw.len() == out.len() && raw.len().is_multiple_of(channels),
            "whole samples of {channels} channels"
        );
        for (raw, out) in raw.chunks_exact(channels).zip(out.chunks_exact_mut(channels)) {
            for c in 0..channels {
                out[c] = (raw[c] - self.mean[c]) / self.std[c];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_normalised_by_channel() {
        // Two images of two pixels and two channels.
        let values = vec![0.0, 7.0, 2.0, 7.0, 4.0, 7.0, 6.0, 7.0];
        let samples = Samples::new([1, 2, 2], values, vec![0, 1]).unwrap();
        let fit = Normalization::fit(&samples).unwrap();
        assert_eq!(fit.mean(), [3.0, 7.0]);
        assert_eq!(fit.std(), [5.0_f32.sqrt(), 1.0]);
        let mut out = vec![0.0; 8];
        fit.apply(samples.values(), &mut out);
        assert_eq!(out.iter().sum::<f32>(), 0.0);
        assert_eq!(out[7], 0.0);
    }

    #[test]
    fn a_constant_that_no_binary_fraction_equals_has_no_deviation() {
        let samples = Samples::new([1, 1, 1], vec![0.1; 1000], vec![0; 1000]).unwrap();
        assert_eq!(Normalization::fit(&samples).unwrap().std(), [1.0]);
    }

    #[test]
    fn it_survives_its_text_and_bad_text_is_an_error() {
        let fit = Normalization::new(vec![0.1, -3.0], vec![1e-3, 77.0]).unwrap();
        let text = serde_json::to_string(&fit).unwrap();
        assert_eq!(serde_json::from_str::<Normalization>(&text).unwrap(), fit);
        for bad in [
            r#"{"mean":[],"std":[]}"#,
            r#"{"mean":[0.0],"std":[1.0,1.0]}"#,
            r#"{"mean":[0.0],"std":[0.0]}"#,
            r#"{"mean":[0.0],"std":[-1.0]}"#,
            r#"{"mean":[0.0],"std":[1e-40]}"#,
            r#"{"mean":[1e99],"std":[1.0]}"#,
            r#"{"mean":[null],"std":[1.0]}"#,
            r#"{"mean":[0.0],"std":[1.0],"more":1}"#,
        ] {
            assert!(serde_json::from_str::<Normalization>(bad).is_err(), "{bad}");
        }
        assert!(Normalization::new(vec![f32::NAN], vec![1.0]).is_err());
        assert!(Normalization::new(vec![0.0], vec![f32::NAN]).is_err());
    }

    #[test]
    fn another_number_of_channels_is_an_error() {
        let fit = Normalization::new(vec![0.0; 3], vec![1.0; 3]).unwrap();
        assert!(fit.check([8, 8, 3]).is_ok());
        assert!(fit.check([8, 8, 1]).unwrap_err().to_string().contains("knows 3 channels"));
    }
}
