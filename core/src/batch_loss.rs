//! One batch for a program that has networks and optimisers of its own: embeddings in, loss and gradient out.

use alloc::vec::Vec;

use crate::Scalar;
use crate::batch::{BatchError, Embeddings};
use crate::kernel::{Backend, BatchView};
use crate::loss::{LossReport, Objective};
use crate::rng::Key;
use crate::sample::{Draw, DrawReport};

/// The value of an objective on a batch, its gradient, and what was drawn for it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BatchLoss<T> {
    /// The reduced value, and how many of its terms were active.
    pub report: LossReport,
    /// Gradient to the unit embeddings, `[N, D]`; not through their normalisation, see
    /// [`normalize_row_backward`](crate::normalize_row_backward).
    pub dx: Vec<T>,
    /// Gradient to the boundary of each anchor, `[N]`; 0 for losses without one.
    pub dbetas: Vec<T>,
    /// The tuples that the loss was evaluated on; empty for samplers that draw nothing.
    pub draws: Vec<Draw<T>>,
    /// What the sampler did.
    pub drawn: DrawReport,
}

/// Draws the negatives of a batch and evaluates the loss on them, on any backend.
///
/// ```text
/// draws ~ sampler(X, y, betas; key)       loss = L(X, betas; draws)
/// dx = ∂L/∂X,  dbetas = ∂L/∂betas         the draws held fixed
/// ```
/// A framework with automatic differentiation takes `dx` as a constant `G` and runs its backward on `sum(X ∘ G)`,
/// whose gradient to X is G: that carries it through its normalisation into its network.
///
/// `embeddings` are unit rows `[N, D]`, `labels` their classes and `betas` the boundary of each `[N]`, which the
/// margin loss and the active far cut read. A batch without an active term has value and gradient 0.
///
/// Errors: a row that is not finite or not of unit length, counts that differ, and those of the backend.
///
/// ```
/// use nearfar_core::kernel::scalar::Reference;
/// use nearfar_core::{Embeddings, Key, Loss, Objective, Reduction, Sampler, Stream, TripletLoss, batch_loss};
/// let x = [1.0, 0.0, 0.8, 0.6, 0.0, 1.0_f64];
/// let loss = Loss::Triplet(TripletLoss::squared(0.5)?);
/// let objective = Objective::new(loss, Sampler::Hard, Reduction::Sum)?;
/// let key = Key::new(42, Stream::Negatives, 0); // seed and step
/// let batch = batch_loss(&Reference, &objective, Embeddings::new(&x, 2)?, &[7, 7, 8], &[1.2; 3], key)?;
/// // Two tuples, (0, 1, 2) and (1, 0, 2). The first has d² = 0.4 and 2 and is content, the second 0.4 and 0.8.
/// assert_eq!((batch.draws.len(), batch.report.active), (2, 1.0));
/// assert!((batch.report.loss - (0.5 + 0.4 - 0.8)).abs() < 1e-12);
/// // Sample 2 is to leave sample 1: -2 (x2 - x1).
/// assert!((batch.dx[4] - 1.6).abs() < 1e-12 && (batch.dx[5] + 0.8).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn batch_loss<T: Scalar, B: Backend<T>>(
    backend: &B,
    objective: &Objective<T>,
    embeddings: Embeddings<'_, T>,
    labels: &[u32],
    betas: &[T],
    key: Key,
) -> Result<BatchLoss<T>, B::Error> {
    let (x, count, dim) = (embeddings.as_slice(), embeddings.count(), embeddings.dim());
    Embeddings::unit(x, dim)?;
    if labels.len() != count {
        return Err(BatchError::Labels { labels: labels.len(), count }.into());
    }
    if betas.len() != count {
        return Err(BatchError::Betas { betas: betas.len(), count }.into());
    }
    if let Some(row) = betas.iter().position(|beta| !beta.is_finite()) {
        return Err(BatchError::Beta { row, value: betas[row].to_f64() }.into());
    }
    let put = |numbers: &[T]| -> Result<B::Buffer, B::Error> {
        let mut buffer = backend.zeros(numbers.len())?;
        backend.upload(numbers, &mut buffer)?;
        Ok(buffer)
    };
    let (there, there_betas, there_labels) = (put(x)?, put(betas)?, backend.indices(labels)?);
    let view = BatchView {
        embeddings: &there,
        labels: &there_labels,
        betas: &there_betas,
        anchors: count,
        count,
        dim,
    };
    let (mut draws, mut dx, mut dbetas) =
        (B::Draws::default(), backend.zeros(x.len())?, backend.zeros(count)?);
    let drawn = backend.draw(view, objective, key, &mut draws)?;
    let report = backend.loss(view, objective, &draws, &mut dx, &mut dbetas)?;
    let get = |buffer: &B::Buffer, len| -> Result<Vec<T>, B::Error> {
        let mut numbers = alloc::vec![T::ZERO; len];
        backend.download(buffer, &mut numbers)?;
        Ok(numbers)
    };
    let (dx, dbetas) = (get(&dx, x.len())?, get(&dbetas, count)?);
    Ok(BatchLoss { report, dx, dbetas, draws: backend.download_draws(&draws)?, drawn })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::scalar::Reference;
    use crate::{Cap, EmptyRow, FarCut, Loss, Margin, Reduction, Sampler, Stream, Weighting};

    const LABELS: [u32; 6] = [0, 0, 1, 1, 2, 2];

    fn objective() -> Objective<f64> {
        let weighting =
            Weighting::new(2.0, Cap::Near(0.5), FarCut::Active { margin: 0.2 }, EmptyRow::Skip).unwrap();
        let margin = Loss::Margin(Margin::new(0.2, 0.0).unwrap());
        Objective::new(margin, Sampler::DistanceWeighted(weighting), Reduction::MeanActive).unwrap()
    }

    fn evaluate(x: &[f64], labels: &[u32], betas: &[f64]) -> Result<BatchLoss<f64>, BatchError> {
        let key = Key::new(3, Stream::Negatives, 9);
        batch_loss(&Reference, &objective(), Embeddings::new(x, 2)?, labels, betas, key)
    }

    /// Points on the circle, unit to the last bit or nearly.
    fn circle() -> Vec<f64> {
        let angles = [0.0_f64, 0.5, 0.9, 1.7, 2.0, 2.6];
        angles.iter().flat_map(|angle| [angle.cos(), angle.sin()]).collect()
    }

    #[test]
    fn the_gradient_is_that_of_the_drawn_tuples() {
        let x = circle();
        let batch = evaluate(&x, &LABELS, &[0.9; 6]).unwrap();
        assert_eq!(batch.draws.len(), batch.drawn.triplets as usize);
        assert!(batch.report.active > 0.0);
        // By definition, over the tuples that were reported, the count of active terms being locally constant.
        let margin = Margin::new(0.2, 0.0).unwrap();
        let value = |x: &[f64], beta: f64| {
            let distance =
                |i: u32, j: u32| crate::distance(&x[2 * i as usize..][..2], &x[2 * j as usize..][..2]);
            let terms = batch.draws.iter().flat_map(|draw| {
                let t = draw.triplet;
                [(distance(t.anchor, t.positive), true), (distance(t.anchor, t.negative), false)]
            });
            terms.map(|(d, same)| margin.pair(d, beta, same).value).sum::<f64>() / batch.report.active
        };
        assert!((value(&x, 0.9) - batch.report.loss).abs() < 1e-12);
        let step = 1e-6;
        for k in 0..x.len() {
            let at = |by: f64| {
                let mut moved = x.clone();
                moved[k] += by;
                value(&moved, 0.9)
            };
            let slope = (at(step) - at(-step)) / (2.0 * step);
            assert!((slope - batch.dx[k]).abs() < 1e-8, "{k}: {slope} and {}", batch.dx[k]);
        }
        let slope = (value(&x, 0.9 + step) - value(&x, 0.9 - step)) / (2.0 * step);
        assert!((slope - batch.dbetas.iter().sum::<f64>()).abs() < 1e-8);
    }

    #[test]
    fn what_is_no_batch_is_refused() {
        let x = circle();
        assert_eq!(evaluate(&x, &LABELS[..5], &[0.9; 6]), Err(BatchError::Labels { labels: 5, count: 6 }));
        assert_eq!(evaluate(&x, &LABELS, &[0.9; 7]), Err(BatchError::Betas { betas: 7, count: 6 }));
        let infinite = [0.9, f64::INFINITY, 0.9, 0.9, 0.9, 0.9];
        assert_eq!(evaluate(&x, &LABELS, &infinite), Err(BatchError::Beta { row: 1, value: f64::INFINITY }));
        let with = |number: f64| {
            let mut x = x.clone();
            x[4] = number;
            evaluate(&x, &LABELS, &[0.9; 6])
        };
        assert_eq!(with(f64::NAN), Err(BatchError::NotFinite { row: 2 }));
        assert!(matches!(with(2.0), Err(BatchError::NotUnit { row: 2, .. })));
    }

    #[test]
    fn one_class_has_nothing_to_draw_and_no_gradient() {
        let batch = evaluate(&circle(), &[4; 6], &[0.9; 6]).unwrap();
        assert_eq!((batch.report.loss, batch.draws.len()), (0.0, 0));
        assert!(batch.dx.iter().chain(&batch.dbetas).all(|&g| g == 0.0));
    }
}
