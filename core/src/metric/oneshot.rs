//! One-shot classification: one sample of each of k classes, and a test sample that belongs to one of them.
//!
//! Source: Lake, Salakhutdinov, Tenenbaum, "Human-level concept learning through probabilistic program induction",
//! Science 350 (2015): 20 runs of 20 trials, each among 20 characters of one alphabet.

use alloc::vec::Vec;

use super::mean_with_error;

/// Whether the nearest candidate is the `right` one: nearer than every other, so that a tie is an error.
///
/// ```
/// use nearfar_core::metric::oneshot::is_right;
/// assert!(is_right(&[0.5, 0.2, 0.9], 1));
/// assert!(!is_right(&[0.5, 0.2, 0.2], 1)); // a collapsed embedding must not score
/// ```
#[must_use]
pub fn is_right(distances: &[f64], right: usize) -> bool {
    distances.iter().enumerate().all(|(at, &other)| at == right || distances[right] < other)
}

/// Trials of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its label.
    pub run: u32,
    /// Trials.
    pub trials: u64,
    /// Trials that were right.
    pub right: u64,
}

/// Accuracy over runs of trials.
///
/// ```text
/// accuracy = right trials / trials        stderr = sqrt( sum_r (a_r - mean a)² / (R - 1) ) / sqrt(R)
/// ```
/// with `a_r` the accuracy of run r of R. Trials of a run share their candidates, so runs are what varies.
///
/// ```
/// use nearfar_core::metric::oneshot::OneShot;
/// let result = OneShot::of(&[(1, true), (1, true), (2, true), (2, false)]);
/// assert_eq!((result.accuracy, result.stderr), (0.75, Some(0.25)));
/// assert_eq!(result.runs[1].right, 1);
/// assert_eq!(OneShot::of(&[(1, true)]).stderr, None);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OneShot {
    /// By label.
    pub runs: Vec<Run>,
    /// Share of all trials that were right; 0 without trials.
    pub accuracy: f64,
    /// Standard error of the mean over runs; `None` for one run.
    pub stderr: Option<f64>,
}

impl OneShot {
    /// Counts trials: run, and whether it was right.
    #[must_use]
    pub fn of(trials: &[(u32, bool)]) -> Self {
        let mut sorted = trials.to_vec();
        sorted.sort_unstable();
        let runs: Vec<Run> = sorted
            .chunk_by(|a, b| a.0 == b.0)
            .map(|run| Run {
                run: run[0].0,
                trials: run.len() as u64,
                right: run.iter().filter(|trial| trial.1).count() as u64,
            })
            .collect();
        let right: u64 = runs.iter().map(|run| run.right).sum();
        let accuracies: Vec<f64> = runs.iter().map(|run| run.right as f64 / run.trials as f64).collect();
        let (_, stderr) = mean_with_error(&accuracies);
        Self { accuracy: right as f64 / trials.len().max(1) as f64, runs, stderr }
    }
}
