//! What the bridge promises: the core's gradients are candle's own, and training helps.

use bridge_common::relative_difference;
use candle_core::Result;
use nearfar_core::{BatchLoss, Triplet};

use super::*;

/// Shares of the largest number: both sides compute in single precision.
const TOLERANCE: f32 = 1e-5;
const ALPHA: f64 = 0.2;
const BETA: f32 = 1.2;

/// A first batch: its inputs and embeddings by an untrained network, and what the core says of them.
fn first_batch(embedder: &Embedder) -> (Tensor, Vec<f32>, BatchLoss<f32>) {
    let samples = Samples::of(0..8, 4);
    let inputs = constant(samples.inputs, INPUTS).unwrap();
    let x = numbers(&embedder.forward(&inputs).unwrap());
    let (core, key) = (Fast::new(1).unwrap(), Key::new(SEED, Stream::Negatives, 0));
    let rows = Embeddings::new(&x, DIM).unwrap();
    let betas = [BETA; 32];
    let loss = batch_loss(&core, &objective().unwrap(), rows, &samples.labels, &betas, key).unwrap();
    (inputs, x, loss)
}

/// The margin loss of the drawn tuples, in candle's operations: the mean over active terms.
fn margin_loss(x: &Tensor, beta: &Tensor, loss: &BatchLoss<f32>) -> Result<Tensor> {
    let rows = |which: fn(&Triplet) -> u32| {
        let indices: Vec<u32> = loss.draws.iter().map(|draw| which(&draw.triplet)).collect();
        x.index_select(&Tensor::new(indices, x.device())?, 0)
    };
    let anchors = rows(|t| t.anchor)?;
    let distance = |others: Tensor| (&anchors - others)?.sqr()?.sum(1)?.sqrt();
    let near = (distance(rows(|t| t.positive)?)?.broadcast_sub(beta)? + ALPHA)?.relu()?;
    let far = (distance(rows(|t| t.negative)?)?.neg()?.broadcast_add(beta)? + ALPHA)?.relu()?;
    let terms = Tensor::cat(&[near, far], 0)?;
    let active = terms.gt(0_f32)?.to_dtype(terms.dtype())?.sum_all()?;
    terms.sum_all()? / active.detach()
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn the_gradient_at_the_embeddings_is_that_of_candle() {
    let (_, x, loss) = first_batch(&Embedder::new().unwrap());
    let x = Var::from_tensor(&constant(x, DIM).unwrap()).unwrap();
    let beta = Var::from_vec(vec![BETA], 1, &Device::Cpu).unwrap();
    let own = margin_loss(&x, &beta, &loss).unwrap();
    assert!(relative_difference(&[loss.report.loss as f32], &numbers(&own)) < TOLERANCE);
    let gradients = own.backward().unwrap();
    assert!(relative_difference(&loss.dx, &numbers(gradients.get(&x).unwrap())) < TOLERANCE);
    let sum = loss.dbetas.iter().sum();
    assert!(relative_difference(&[sum], &numbers(gradients.get(&beta).unwrap())) < TOLERANCE);
}

#[test]
fn the_gradient_at_the_weights_is_that_of_candle() {
    let embedder = Embedder::new().unwrap();
    let (inputs, _, loss) = first_batch(&embedder);
    let x = embedder.forward(&inputs).unwrap();
    let carrier = (&x * constant(loss.dx.clone(), DIM).unwrap()).unwrap().sum_all().unwrap();
    let bridged = carrier.backward().unwrap();
    let beta = Tensor::new(&[BETA], &Device::Cpu).unwrap();
    let own = margin_loss(&x, &beta, &loss).unwrap().backward().unwrap();
    assert_eq!(embedder.weights.len(), 4);
    for weight in &embedder.weights {
        let [bridged, own] = [&bridged, &own].map(|gradients| numbers(gradients.get(weight).unwrap()));
        assert!(relative_difference(&bridged, &own) < TOLERANCE);
    }
}

#[test]
fn training_helps_on_unseen_classes() {
    let [[first, last], [before, after]] = train(&Samples::of(0..40, 8), &Samples::of(40..80, 8)).unwrap();
    assert!(last < 0.6 * first, "the loss went from {first} to {last}");
    assert!(after > before + 0.4, "Recall@1 went from {before} to {after}");
}
