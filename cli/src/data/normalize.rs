//! Scaling of inputs: mean and deviation of the training samples, one of each a channel.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::Samples;

/// `(x - mean) / deviation` for each channel; features have a channel each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Normalization {
    mean: Vec<f32>,
    deviation: Vec<f32>,
}

impl Normalization {
    /// Fits the training samples. A channel that never varies is only centred.
    #[must_use]
    pub fn fit(samples: &Samples) -> Self {
        let channels = samples.shape[2];
        let (mut sums, mut squares) = (vec![0.0_f64; channels], vec![0.0_f64; channels]);
        let count = (samples.values.len() / channels).max(1) as f64;
        for pixel in samples.values.chunks_exact(channels) {
            pixel.iter().zip(&mut sums).for_each(|(&v, sum)| *sum += f64::from(v));
        }
        let mean: Vec<f64> = sums.iter().map(|sum| sum / count).collect();
        for pixel in samples.values.chunks_exact(channels) {
            for ((&v, mean), square) in pixel.iter().zip(&mean).zip(&mut squares) {
                *square += (f64::from(v) - mean) * (f64::from(v) - mean);
            }
        }
        let deviation = squares.iter().map(|square| (square / count).sqrt() as f32);
        Self {
            mean: mean.iter().map(|&mean| mean as f32).collect(),
            deviation: deviation.map(|d| if d > 0.0 { d } else { 1.0 }).collect(),
        }
    }

    /// Whether it is one for so many channels, and divides by nothing but positive numbers: it may come from a file.
    pub fn check(&self, channels: usize) -> Result<()> {
        ensure!(
            self.mean.len() == channels && self.deviation.len() == channels,
            "the normalisation is for {} channels, the input has {channels}",
            self.mean.len()
        );
        let good = self.mean.iter().all(|m| m.is_finite())
            && self.deviation.iter().all(|d| *d > 0.0 && d.is_finite());
        ensure!(
            good,
            "the normalisation holds a deviation that is not positive, or numbers that are not finite"
        );
        Ok(())
    }

    /// Scales one sample.
    pub fn apply(&self, raw: &[f32], out: &mut [f32]) {
        let channels = self.mean.len();
        for (raw, out) in raw.chunks_exact(channels).zip(out.chunks_exact_mut(channels)) {
            for c in 0..channels {
                out[c] = (raw[c] - self.mean[c]) / self.deviation[c];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scaled_samples_have_mean_zero_and_deviation_one() {
        let samples = Samples::labelled([1, 1, 2], vec![1.0, 5.0, 3.0, 5.0], &[0, 1]).unwrap();
        let normalization = Normalization::fit(&samples);
        let mut out = [0.0; 4];
        normalization.apply(&samples.values, &mut out);
        assert_eq!(out, [-1.0, 0.0, 1.0, 0.0]);
    }

    #[test]
    fn a_deviation_of_zero_from_a_file_is_refused() {
        let hostile = Normalization { mean: vec![0.0], deviation: vec![0.0] };
        assert!(hostile.check(1).is_err());
        assert!(hostile.check(2).is_err());
    }
}
