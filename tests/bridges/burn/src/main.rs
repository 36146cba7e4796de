//! nearfar's sampler and loss inside a burn training loop.
//!
//! burn embeds a batch and has its own layers, automatic differentiation and optimiser. The core draws negatives and
//! gives the loss with its gradient G to the embeddings X. Back in burn, `sum(X ∘ G)` with G held constant has just
//! that gradient to X, and its backward carries it through the normalisation into the network.

use std::error::Error;

use bridge_common::{INPUTS, Samples, first_and_last, recall_at_1};
use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};
use nearfar_core::kernel::fast::Fast;
use nearfar_core::{
    Boundary, BoundaryStep, Cap, Composer, Embeddings, EmptyRow, FarCut, Key, Loss, Margin, Objective,
    Reduction, Sampler, SmallClass, Stream, Weighting, batch_loss,
};

/// Numbers in one embedding.
const DIM: usize = 16;
const SEED: u64 = 42;
const STEPS: u32 = 200;

/// An MLP whose output lies on the unit sphere.
#[derive(Module, Debug)]
struct Embedder {
    hidden: Linear,
    output: Linear,
}

impl Embedder {
    fn new(device: &Device) -> Self {
        Self {
            hidden: LinearConfig::new(INPUTS, 64).init(device),
            output: LinearConfig::new(64, DIM).init(device),
        }
    }

    fn forward(&self, inputs: Tensor<2>) -> Tensor<2> {
        let z = self.output.forward(relu(self.hidden.forward(inputs)));
        let length = z.clone().powi_scalar(2).sum_dim(1).sqrt();
        z / length
    }
}

/// Numbers `[N, columns]` as a constant.
fn constant(numbers: Vec<f32>, columns: usize, device: &Device) -> Tensor<2> {
    let rows = numbers.len() / columns;
    Tensor::from_data(TensorData::new(numbers, [rows, columns]), device)
}

/// The margin loss on negatives drawn evenly over distance: the method of the paper.
fn objective() -> Result<Objective<f32>, Box<dyn Error>> {
    let alpha = 0.2;
    let far = FarCut::Active { margin: alpha };
    let sampler = Sampler::DistanceWeighted(Weighting::new(DIM as f64, Cap::Near(0.5), far, EmptyRow::Skip)?);
    Ok(Objective::new(Loss::Margin(Margin::new(alpha, 0.0)?), sampler, Reduction::MeanActive)?)
}

/// Trains on some classes; the loss of the first and the last steps, and Recall@1 on other classes before and after.
fn train(training: &Samples, unseen: &Samples) -> Result<[[f64; 2]; 2], Box<dyn Error>> {
    let (core, device) = (Fast::new(1)?, Device::flex().autodiff());
    device.seed(SEED);
    let mut embedder = Embedder::new(&device);
    let mut adam = AdamConfig::new().init();
    let objective = objective()?;
    let mut boundary = Boundary::new(1.2, 0, 0);
    let composer = Composer::new(&training.labels, 8, 4, SmallClass::Take, SEED)?;
    let look = |embedder: &Embedder| -> Result<f64, Box<dyn Error>> {
        let x = embedder.forward(constant(unseen.inputs.clone(), INPUTS, &device));
        Ok(recall_at_1(&core, &x.into_data().try_into_vec()?, &unseen.labels)?)
    };

    let before = look(&embedder)?;
    let (mut batch, mut betas, mut losses) = (Vec::new(), Vec::new(), Vec::new());
    for step in 0..STEPS {
        composer.batch(step, &mut batch);
        let (inputs, labels) = training.gather(&batch);
        let anchors: Vec<_> = labels.iter().copied().zip(batch.iter().copied()).collect();
        boundary.of(&anchors, &mut betas);

        // burn forward, the core's loss and gradient, burn backward.
        let x = embedder.forward(constant(inputs, INPUTS, &device));
        let numbers = x.to_data().try_into_vec()?;
        let key = Key::new(SEED, Stream::Negatives, step);
        let loss = batch_loss(&core, &objective, Embeddings::new(&numbers, DIM)?, &labels, &betas, key)?;
        let carrier = (x * constant(loss.dx, DIM, &device)).sum();

        let gradients = GradientsParams::from_grads(carrier.backward(), &embedder);
        embedder = adam.step(0.003, embedder, gradients);
        boundary.step(&anchors, &loss.dbetas, BoundaryStep { rate: 0.01, momentum: 0.9, nu: 0.0 });
        losses.push(loss.report.loss);
    }
    Ok([first_and_last(&losses), [before, look(&embedder)?]])
}

fn main() -> Result<(), Box<dyn Error>> {
    let [[first, last], [before, after]] = train(&Samples::of(0..40, 8), &Samples::of(40..80, 8))?;
    println!("loss {first:.3} -> {last:.3}");
    println!("Recall@1 on 40 unseen classes {before:.3} -> {after:.3}");
    Ok(())
}

#[cfg(test)]
mod tests;
