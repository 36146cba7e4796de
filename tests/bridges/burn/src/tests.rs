//! What the bridge promises: the core's gradients are burn's own, and training helps.

use bridge_common::relative_difference;
use burn::tensor::Int;
use nearfar_core::{BatchLoss, Triplet};

use super::*;

/// Shares of the largest number: both sides compute in single precision.
const TOLERANCE: f32 = 1e-5;
const ALPHA: f32 = 0.2;
const BETA: f32 = 1.2;

/// A first batch: its inputs and embeddings by an untrained network, and what the core says of them.
fn first_batch(embedder: &Embedder, device: &Device) -> (Tensor<2>, Vec<f32>, BatchLoss<f32>) {
    let samples = Samples::of(0..8, 4);
    let inputs = constant(samples.inputs, INPUTS, device);
    let x: Vec<f32> = embedder.forward(inputs.clone()).into_data().try_into_vec().unwrap();
    let (core, key) = (Fast::new(1).unwrap(), Key::new(SEED, Stream::Negatives, 0));
    let rows = Embeddings::new(&x, DIM).unwrap();
    let betas = [BETA; 32];
    let loss = batch_loss(&core, &objective().unwrap(), rows, &samples.labels, &betas, key).unwrap();
    (inputs, x, loss)
}

/// The margin loss of the drawn tuples, in burn's operations: the mean over active terms.
fn margin_loss(x: Tensor<2>, beta: Tensor<1>, loss: &BatchLoss<f32>) -> Tensor<1> {
    let device = x.device();
    let rows = |which: fn(&Triplet) -> u32| {
        let indices: Vec<i32> = loss.draws.iter().map(|draw| which(&draw.triplet) as i32).collect();
        x.clone().select(0, Tensor::<1, Int>::from_data(indices.as_slice(), &device))
    };
    let anchors = rows(|t| t.anchor);
    let distance =
        |others: Tensor<2>| (anchors.clone() - others).powi_scalar(2).sum_dim(1).sqrt().squeeze_dim::<1>(1);
    let near = relu(distance(rows(|t| t.positive)) - beta.clone() + ALPHA);
    let far = relu(-distance(rows(|t| t.negative)) + beta + ALPHA);
    let terms = Tensor::cat(vec![near, far], 0);
    let active = terms.clone().greater_scalar(0.0).float().sum();
    terms.sum() / active.detach()
}

fn numbers<const D: usize>(tensor: Option<Tensor<D>>) -> Vec<f32> {
    tensor.expect("a gradient").into_data().try_into_vec().unwrap()
}

#[test]
fn the_gradient_at_the_embeddings_is_that_of_burn() {
    let device = Device::flex().autodiff();
    device.seed(SEED);
    let (_, x, loss) = first_batch(&Embedder::new(&device), &device);
    let x = constant(x, DIM, &device).require_grad();
    let beta = Tensor::<1>::from_floats([BETA], &device).require_grad();
    let own = margin_loss(x.clone(), beta.clone(), &loss);
    assert!(relative_difference(&[loss.report.loss as f32], &numbers(Some(own.clone()))) < TOLERANCE);
    let gradients = own.backward();
    assert!(relative_difference(&loss.dx, &numbers(x.grad(&gradients))) < TOLERANCE);
    let sum = loss.dbetas.iter().sum();
    assert!(relative_difference(&[sum], &numbers(beta.grad(&gradients))) < TOLERANCE);
}

#[test]
fn the_gradient_at_the_weights_is_that_of_burn() {
    let device = Device::flex().autodiff();
    device.seed(SEED);
    let embedder = Embedder::new(&device);
    let (inputs, _, loss) = first_batch(&embedder, &device);
    let gradients = |loss: Tensor<1>| {
        let of = GradientsParams::from_grads(loss.backward(), &embedder);
        let layers = [&embedder.hidden, &embedder.output];
        let weights = layers.map(|layer| numbers(of.get::<2>(layer.weight.id)));
        let biases = layers.map(|layer| numbers(of.get::<1>(layer.bias.as_ref().unwrap().id)));
        [weights, biases].concat()
    };
    let x = || embedder.forward(inputs.clone());
    let bridged = gradients((x() * constant(loss.dx.clone(), DIM, &device)).sum());
    let own = gradients(margin_loss(x(), Tensor::from_floats([BETA], &device), &loss));
    for (bridged, own) in bridged.iter().zip(&own) {
        assert!(relative_difference(bridged, own) < TOLERANCE);
    }
}

#[test]
fn training_helps_on_unseen_classes() {
    let [[first, last], [before, after]] = train(&Samples::of(0..40, 8), &Samples::of(40..80, 8)).unwrap();
    assert!(last < 0.6 * first, "the loss went from {first} to {last}");
    assert!(after > before + 0.4, "Recall@1 went from {before} to {after}");
}
