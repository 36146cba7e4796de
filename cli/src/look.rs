//! Looks at a run: means over the steps since the last one, and the distances of the last batch.

use anyhow::{Result, bail};
use nearfar_core::{Boundary, distance};

use crate::record::{BINS, Look, Scores};
use crate::train::{BatchShot, StepReport};

/// Mean distance of negatives below which a run has collapsed: every sample at about one point.
const COLLAPSED: f64 = 1e-2;

/// Sums over steps.
#[derive(Debug, Default)]
pub struct Since {
    steps: f64,
    loss: f64,
    active: f64,
    terms: f64,
    anchors: f64,
    pairs: f64,
    effective_negatives: f64,
    capped: f64,
    without_candidate: f64,
    last: StepReport,
}

impl Since {
    /// Adds one step.
    pub fn add(&mut self, report: StepReport) {
        let StepReport { loss, drawn, .. } = report;
        self.steps += 1.0;
        self.loss += loss.loss;
        self.active += loss.active;
        self.terms += loss.terms;
        self.anchors += drawn.anchors as f64;
        self.pairs += (drawn.triplets + drawn.without_candidate) as f64;
        self.effective_negatives += drawn.effective_negatives;
        self.capped += drawn.capped;
        self.without_candidate += drawn.without_candidate as f64;
        self.last = report;
    }

    /// Mean loss so far, for a progress bar.
    #[must_use]
    pub fn mean_loss(&self) -> f64 {
        self.loss / self.steps.max(1.0)
    }

    /// The look after `step` steps; a collapse is an error that says what to do.
    pub fn look(
        &self,
        step: u32,
        epoch: usize,
        shot: &BatchShot,
        boundary: &Boundary<f32>,
        validation: Option<Scores>,
    ) -> Result<Look> {
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let distances = Distances::of(shot);
        if distances.negative_mean < COLLAPSED {
            bail!(
                "the embedding has collapsed: at step {step} the mean distance between samples of different classes \
                 is {:.1e}. Lower optimizer.rate, take more classes a batch, or a sampler less hard than `hard` \
                 (distance-weighted, semihard)",
                distances.negative_mean
            );
        }
        Ok(Look {
            step,
            epoch: f64::from(step) / epoch as f64,
            loss: self.mean_loss(),
            active: share(self.active, self.terms),
            rate: self.last.rate,
            beta: f64::from(boundary.base()),
            beta_classes: spread(boundary.classes()),
            dimension: self.last.dimension,
            effective_negatives: share(self.effective_negatives, self.anchors),
            capped: share(self.capped, self.anchors),
            without_candidate: share(self.without_candidate, self.pairs),
            positive_distance: distances.positive_mean,
            negatives: distances.negatives,
            drawn: distances.drawn,
            validation,
            memory: shot.memory,
        })
    }
}

/// Smallest, median and largest; `None` of nothing.
fn spread(values: &[f32]) -> Option<[f64; 3]> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    let (first, last) = (sorted.first()?, sorted.last()?);
    Some([*first, sorted[sorted.len() / 2], *last].map(f64::from))
}

/// Distances within a batch, and of its samples to what a memory holds.
struct Distances {
    positive_mean: f64,
    negative_mean: f64,
    negatives: Vec<u64>,
    drawn: Vec<u64>,
}

impl Distances {
    fn of(shot: &BatchShot) -> Self {
        let count = shot.labels.len();
        let dim = shot.embeddings.len() / count.max(1);
        let row = |i: usize| &shot.embeddings[i * dim..][..dim];
        let (mut negatives, mut drawn) = (vec![0; BINS], vec![0; BINS]);
        // Sum and count of the distances of positive and of negative pairs.
        let mut sums = [[0.0; 2]; 2];
        for i in 0..count {
            for j in 0..i.min(shot.anchors) {
                let d = f64::from(distance(row(i), row(j)));
                let same = shot.labels[i] == shot.labels[j];
                if same && i >= shot.anchors {
                    continue; // no pair of this step
                }
                sums[usize::from(!same)][0] += d;
                sums[usize::from(!same)][1] += 1.0;
                if !same {
                    negatives[bin(d)] += 1;
                }
            }
        }
        for draw in &shot.draws {
            let (a, n) = (draw.triplet.anchor as usize, draw.triplet.negative as usize);
            drawn[bin(f64::from(distance(row(a), row(n))))] += 1;
        }
        if shot.draws.is_empty() {
            drawn.clear();
        }
        let [positive_mean, negative_mean] =
            sums.map(|[sum, count]| if count > 0.0 { sum / count } else { 0.0 });
        Self { positive_mean, negative_mean, negatives, drawn }
    }
}

fn bin(d: f64) -> usize {
    ((d * 0.5 * BINS as f64) as usize).min(BINS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shot(anchors: usize, embeddings: Vec<f32>, labels: Vec<u32>) -> BatchShot {
        BatchShot { anchors, embeddings, labels, memory: None, draws: Vec::new() }
    }

    #[test]
    fn a_collapse_is_named_with_advice() {
        let shot = shot(2, vec![1.0, 0.0, 1.0, 1e-4], vec![0, 1]);
        let error =
            Since::default().look(7, 1, &shot, &Boundary::new(1.2, 0, 0), None).unwrap_err().to_string();
        assert!(error.contains("collapsed") && error.contains("Lower optimizer.rate"), "{error}");
    }

    #[test]
    fn distances_fall_into_their_bins() {
        let shot = shot(3, vec![1.0, 0.0, -1.0, 0.0, 0.0, 1.0], vec![0, 1, 0]);
        let look = Since::default().look(1, 1, &shot, &Boundary::new(1.2, 0, 0), None).unwrap();
        assert_eq!(look.negatives.iter().sum::<u64>(), 2);
        assert_eq!((look.negatives[BINS - 1], look.negatives[28]), (1, 1)); // 2 and sqrt(2) of bins of 0.05
        assert!((look.positive_distance - 2.0_f64.sqrt()).abs() < 1e-6);
    }

    #[test]
    fn a_memory_adds_its_distances_to_the_batch_and_no_positives() {
        // A batch of two classes; a row of the first class and two of another are remembered.
        let embeddings = vec![1.0, 0.0, -1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0];
        let shot = shot(2, embeddings, vec![0, 1, 0, 2, 2]);
        let look = Since::default().look(1, 1, &shot, &Boundary::new(1.2, 0, 0), None).unwrap();
        // The pair of the batch at 2; the others at sqrt(2): class 0 remembered with class 1, and 2 x 2.
        assert_eq!((look.negatives[BINS - 1], look.negatives[28]), (1, 5));
        assert_eq!(look.positive_distance, 0.0);
    }
}
