//! nearfar's sampler and loss inside a candle training loop.
//!
//! candle embeds a batch and has its own layers, automatic differentiation and optimiser. The core draws negatives
//! and gives the loss with its gradient G to the embeddings X. Back in candle, `sum(X ∘ G)` with G held constant has
//! just that gradient to X, and its backward carries it through the normalisation into the network.

use std::error::Error;

use bridge_common::{INPUTS, Samples, first_and_last, recall_at_1};
use candle_core::{Device, Shape, Tensor, Var};
use candle_nn::{AdamW, Linear, Module, Optimizer, ParamsAdamW};
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
struct Embedder {
    hidden: Linear,
    output: Linear,
    weights: Vec<Var>,
}

impl Embedder {
    fn new() -> candle_core::Result<Self> {
        let mut weights = Vec::new();
        let hidden = linear(INPUTS, 64, &mut weights)?;
        let output = linear(64, DIM, &mut weights)?;
        Ok(Self { hidden, output, weights })
    }
}

impl Module for Embedder {
    fn forward(&self, inputs: &Tensor) -> candle_core::Result<Tensor> {
        let z = self.output.forward(&self.hidden.forward(inputs)?.relu()?)?;
        z.broadcast_div(&z.sqr()?.sum_keepdim(1)?.sqrt()?)
    }
}

/// A layer whose first weights come from the seed: candle's own cannot be seeded on the CPU.
fn linear(inputs: usize, outputs: usize, weights: &mut Vec<Var>) -> candle_core::Result<Linear> {
    let (key, bound) = (Key::new(SEED, Stream::Init, 0), 1.0 / (inputs as f64).sqrt());
    let mut var = |shape: Shape| {
        let uniform = |k| (bound * (2.0 * key.uniform(weights.len() as u32, k) - 1.0)) as f32;
        let numbers = (0..shape.elem_count() as u32).map(uniform).collect();
        weights.push(Var::from_vec(numbers, shape, &Device::Cpu)?);
        Ok::<_, candle_core::Error>(weights[weights.len() - 1].as_tensor().clone())
    };
    Ok(Linear::new(var((outputs, inputs).into())?, Some(var(outputs.into())?)))
}

/// Numbers `[N, columns]` as a constant.
fn constant(numbers: Vec<f32>, columns: usize) -> candle_core::Result<Tensor> {
    let rows = numbers.len() / columns;
    Tensor::from_vec(numbers, (rows, columns), &Device::Cpu)
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
    let core = Fast::new(1)?;
    let embedder = Embedder::new()?;
    let mut adam = AdamW::new(embedder.weights.clone(), ParamsAdamW { lr: 0.003, ..Default::default() })?;
    let objective = objective()?;
    let mut boundary = Boundary::new(1.2, 0, 0);
    let composer = Composer::new(&training.labels, 8, 4, SmallClass::Take, SEED)?;
    let look = || -> Result<f64, Box<dyn Error>> {
        let x = embedder.forward(&constant(unseen.inputs.clone(), INPUTS)?)?;
        Ok(recall_at_1(&core, &x.flatten_all()?.to_vec1()?, &unseen.labels)?)
    };

    let before = look()?;
    let (mut batch, mut betas, mut losses) = (Vec::new(), Vec::new(), Vec::new());
    for step in 0..STEPS {
        composer.batch(step, &mut batch);
        let (inputs, labels) = training.gather(&batch);
        let anchors: Vec<_> = labels.iter().copied().zip(batch.iter().copied()).collect();
        boundary.of(&anchors, &mut betas);

        // candle forward, the core's loss and gradient, candle backward.
        let x = embedder.forward(&constant(inputs, INPUTS)?)?;
        let numbers = x.flatten_all()?.to_vec1()?;
        let key = Key::new(SEED, Stream::Negatives, step);
        let loss = batch_loss(&core, &objective, Embeddings::new(&numbers, DIM)?, &labels, &betas, key)?;
        let carrier = (x * constant(loss.dx, DIM)?)?.sum_all()?;

        adam.backward_step(&carrier)?;
        boundary.step(&anchors, &loss.dbetas, BoundaryStep { rate: 0.01, momentum: 0.9, nu: 0.0 });
        losses.push(loss.report.loss);
    }
    Ok([first_and_last(&losses), [before, look()?]])
}

fn main() -> Result<(), Box<dyn Error>> {
    let [[first, last], [before, after]] = train(&Samples::of(0..40, 8), &Samples::of(40..80, 8))?;
    println!("loss {first:.3} -> {last:.3}");
    println!("Recall@1 on 40 unseen classes {before:.3} -> {after:.3}");
    Ok(())
}

#[cfg(test)]
mod tests;
