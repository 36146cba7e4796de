//! Accuracy with a threshold that never saw the pairs it judges.

use alloc::vec::Vec;

use super::roc::sorted;
use super::{Judged, Roc, VerifyError};
use crate::metric::mean_with_error;

/// One fold, judged by the threshold of all others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fold {
    /// Its label.
    pub fold: u32,
    /// Pairs in it.
    pub pairs: u64,
    /// The [best](Roc::best) threshold on the pairs of all other folds.
    pub threshold: f64,
    /// Share of its pairs that this threshold answers rightly.
    pub accuracy: f64,
}

/// Accuracy over folds, each judged by the threshold of the others.
///
/// ```text
/// mean = (1/F) sum_f accuracy_f        stderr = sqrt( sum_f (accuracy_f - mean)² / (F - 1) ) / sqrt(F)
/// ```
/// Every fold weighs the same, as in the protocol of LFW. The folds share training pairs, so the standard error is
/// that protocol's, not one of independent trials.
///
/// ```
/// use nearfar_core::metric::verify::{Judged, KFold};
/// let pair = |distance, same| Judged { distance, same };
/// let pairs = [pair(0.0, true), pair(1.0, false), pair(0.2, true), pair(0.4, false)];
/// let folds = KFold::of(&pairs, &[3, 3, 8, 8])?;
/// // Fold 3 gets 0.3 and is right twice; fold 8 gets 0.5 and takes its different pair for a same one.
/// assert_eq!(folds.folds.iter().map(|f| (f.fold, f.accuracy)).collect::<Vec<_>>(), [(3, 1.0), (8, 0.5)]);
/// assert_eq!((folds.folds[1].threshold, folds.mean), (0.5, 0.75));
/// assert_eq!(folds.stderr, 0.25); // sqrt(2 · 0.25² / 1) / sqrt(2)
/// # Ok::<(), nearfar_core::metric::verify::VerifyError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct KFold {
    /// By label.
    pub folds: Vec<Fold>,
    /// Mean accuracy.
    pub mean: f64,
    /// Its standard error.
    pub stderr: f64,
}

impl KFold {
    /// Judges pairs whose folds are `folds`, any labels.
    ///
    /// Errors: those of [`Roc::of`], another number of labels than of pairs, one fold only, and a fold without which
    /// there is no same or no different pair to choose a threshold by.
    pub fn of(pairs: &[Judged], folds: &[u32]) -> Result<Self, VerifyError> {
        if folds.len() != pairs.len() {
            return Err(VerifyError::Folds { folds: folds.len(), pairs: pairs.len() });
        }
        let order = sorted(pairs)?;
        // Says whether a kind is absent altogether, before a fold is blamed for it.
        Roc::of(pairs)?;
        let mut labels = folds.to_vec();
        labels.sort_unstable();
        labels.dedup();
        if let [only] = labels[..] {
            return Err(VerifyError::OneFold(only));
        }
        let mut list = Vec::with_capacity(labels.len());
        for fold in labels {
            let part = |inside: bool| {
                Roc::of_sorted(order.iter().filter(|&&i| (folds[i] == fold) == inside).map(|&i| pairs[i]))
            };
            let others = part(false);
            if others.counts().0 == 0 || others.counts().1 == 0 {
                return Err(VerifyError::OneSided(fold));
            }
            let (threshold, own) = (others.best().threshold, part(true));
            list.push(Fold {
                fold,
                pairs: own.counts().0 + own.counts().1,
                threshold,
                accuracy: own.at_threshold(threshold).accuracy,
            });
        }
        let accuracies: Vec<f64> = list.iter().map(|fold| fold.accuracy).collect();
        let (mean, stderr) = mean_with_error(&accuracies);
        let stderr = stderr.unwrap_or(0.0); // there are two folds or more
        Ok(Self { folds: list, mean, stderr })
    }
}
