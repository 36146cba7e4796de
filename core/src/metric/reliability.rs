//! Are stated probabilities true? What was predicted against what happened, in bins.
//!
//! Sources: Brier 1950 for the score; Niculescu-Mizil and Caruana, "Predicting good probabilities with supervised
//! learning", ICML 2005, for the diagram.

use alloc::vec::Vec;

/// Predictions that fell into one bin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bin {
    /// Where it begins; the bin holds predictions from here to below the next one, the last its end too.
    pub from: f64,
    /// Where it ends.
    pub to: f64,
    /// Predictions in it.
    pub count: u64,
    /// Their mean.
    pub predicted: f64,
    /// Share of them that came true.
    pub observed: f64,
}

/// The reliability of predicted probabilities.
///
/// ```text
/// brier = mean (p - y)²        error = sum over bins of count / n |predicted - observed|
/// ```
/// `p` within [0, 1] (others are clipped), `y` 1 where it came true, else 0. `error` is the expected calibration error;
/// it depends on the bins and is biased upwards in small ones, the Brier score does not and is not.
///
/// ```
/// use nearfar_core::metric::reliability::Reliability;
/// let r = Reliability::of(&[0.1, 0.3, 0.9, 0.9], &[false, false, true, false], 2);
/// assert_eq!(r.bins.len(), 2);
/// assert_eq!((r.bins[0].predicted, r.bins[0].observed), (0.2, 0.0));
/// assert_eq!((r.bins[1].predicted, r.bins[1].observed), (0.9, 0.5));
/// assert!((r.error - 0.3).abs() < 1e-15); // (0.2 + 0.4) / 2
/// assert!((r.brier - 0.23).abs() < 1e-15); // (0.01 + 0.09 + 0.01 + 0.81) / 4
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reliability {
    /// Bins of equal width that hold something, by probability.
    pub bins: Vec<Bin>,
    /// Brier score.
    pub brier: f64,
    /// Expected calibration error over the bins.
    pub error: f64,
}

impl Reliability {
    /// Puts predictions into `bins` bins of equal width (at least one). No predictions: no bins, and 0.
    ///
    /// # Panics
    /// If the slices differ in length.
    #[must_use]
    pub fn of(predicted: &[f64], truth: &[bool], bins: usize) -> Self {
        assert_eq!(predicted.len(), truth.len(), "an outcome for each prediction");
        let width = bins.max(1);
        let mut sums = alloc::vec![(0_u64, 0.0_f64, 0_u64); width];
        let mut squares = 0.0;
        for (&p, &happened) in predicted.iter().zip(truth) {
            let p = p.clamp(0.0, 1.0);
            let bin = &mut sums[((p * width as f64) as usize).min(width - 1)];
            *bin = (bin.0 + 1, bin.1 + p, bin.2 + u64::from(happened));
            let off = p - f64::from(u8::from(happened));
            squares += off * off;
        }
        let total = predicted.len().max(1) as f64;
        let edge = |at: usize| at as f64 / width as f64;
        let bins: Vec<Bin> = (0..)
            .zip(sums)
            .filter(|(_, (count, ..))| *count > 0)
            .map(|(at, (count, sum, true_ones))| Bin {
                from: edge(at),
                to: edge(at + 1),
                count,
                predicted: sum / count as f64,
                observed: true_ones as f64 / count as f64,
            })
            .collect();
        let off = |bin: &Bin| bin.count as f64 / total * crate::Scalar::abs(bin.predicted - bin.observed);
        let error = bins.iter().map(off).sum();
        Self { bins, brier: squares / total, error }
    }
}
