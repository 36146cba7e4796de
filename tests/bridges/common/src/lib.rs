//! What both bridges share: samples to learn from, and the look at what was learned.

use std::ops::Range;

use nearfar_core::kernel::{Backend, SearchView};
use nearfar_core::metric::retrieval::Retrieval;
use nearfar_core::{Key, Stream};

/// Numbers in one input.
pub const INPUTS: usize = 24;

/// Of them, those that tell the class.
const TELLING: u32 = 6;

/// Samples of classes that lie near their centres in a few inputs and anywhere in the others, which are louder. What
/// is learned from some classes holds for all: which inputs to look at.
pub struct Samples {
    /// `[N, INPUTS]`.
    pub inputs: Vec<f32>,
    /// Class of each, `[N]`.
    pub labels: Vec<u32>,
}

impl Samples {
    /// The samples of these classes, always the same.
    #[must_use]
    pub fn of(classes: Range<u32>, per_class: u32) -> Self {
        let normal = |step, class, k| Key::new(1, Stream::Samples, step).normals(class, k)[0];
        let (mut inputs, mut labels) = (Vec::new(), Vec::new());
        for class in classes {
            for sample in 1..=per_class {
                labels.push(class);
                inputs.extend((0..INPUTS as u32).map(|k| {
                    let noise = normal(sample, class, k);
                    let value = if k < TELLING { normal(0, class, k) + 0.3 * noise } else { 1.5 * noise };
                    value as f32
                }));
            }
        }
        Self { inputs, labels }
    }

    /// Inputs and classes of the samples of a batch.
    #[must_use]
    pub fn gather(&self, batch: &[u32]) -> (Vec<f32>, Vec<u32>) {
        let inputs = batch.iter().flat_map(|&i| &self.inputs[i as usize * INPUTS..][..INPUTS]);
        (inputs.copied().collect(), batch.iter().map(|&i| self.labels[i as usize]).collect())
    }
}

/// Recall@1: the share of samples whose nearest neighbour is of their class. `x` is `[N, D]`.
pub fn recall_at_1<B>(backend: &B, x: &[f32], labels: &[u32]) -> Result<f64, B::Error>
where
    B: Backend<f32, Buffer = Vec<f32>>,
{
    let (x, count) = (x.to_vec(), labels.len());
    let queries = SearchView { embeddings: &x, labels, count };
    let ranks = backend.match_ranks(x.len() / count, 1, queries, None)?;
    Ok(Retrieval::of(&ranks, &[1]).precision_at_1)
}

/// Mean loss of the first and of the last 20 steps.
#[must_use]
pub fn first_and_last(losses: &[f64]) -> [f64; 2] {
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    [mean(&losses[..20]), mean(&losses[losses.len() - 20..])]
}

/// The largest difference, as a share of the largest number expected.
#[must_use]
pub fn relative_difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0_f32, |largest, v| largest.max(v.abs()));
    assert!(largest > 0.0, "nothing to compare");
    found.iter().zip(expected).fold(0.0_f32, |worst, (a, b)| worst.max((a - b).abs())) / largest
}
