//! How fast each operation is, against the least time that its bytes and operations take on the chip at the clocks
//! its driver states: a line of CSV each. `cnn step` and `mlp step` are whole training steps, upload included.
//!
//! ```text
//! cargo run --release -p nearfar-cuda --example rates            the shapes of training
//! cargo run --release -p nearfar-cuda --example rates -- small   tiny ones, to see that it runs
//! ```
//!
//! Times are the smallest of several batches of launches, from the host's clock, the wait at the end of each batch
//! included. The smallest favours a device that nothing else uses; batches hide the time of a single launch. Buffers
//! stay in the cache between launches if they fit there, as they do in training.

use std::time::Instant;

use nearfar_core::kernel::{
    AdamStep, Batch, BatchView, ConvShape, HostBatch, LinearShape, NormShape, PoolShape, SearchView,
};
use nearfar_core::net::{Architecture, InputShape, Network, Optimizer};
use nearfar_core::{
    Cap, EmptyRow, FarCut, Key, Loss, Margin, Objective, Reduction, Sampler, Stream, Weighting,
};
use nearfar_cuda::{Buffer, Cuda, Draws, Error};

/// Launches of one batch, and batches.
const LAUNCHES: u32 = 20;
const BATCHES: u32 = 10;

struct Rates {
    cuda: Cuda,
    launches: u32,
    batches: u32,
}

impl Rates {
    /// Numbers without pattern or meaning.
    fn filled(&self, len: usize) -> Result<Buffer, Error> {
        let host: Vec<f32> = (0..len).map(|i| (i % 1013) as f32 / 506.0 - 1.0).collect();
        let mut buffer = self.cuda.zeros(len)?;
        self.cuda.upload(&host, &mut buffer)?;
        Ok(buffer)
    }

    /// Prints one line; `operations` and `bytes` are the least that the operation needs.
    fn line(
        &self,
        name: &str,
        operations: usize,
        bytes: usize,
        mut run: impl FnMut() -> Result<(), Error>,
    ) -> Result<(), Error> {
        run()?;
        self.cuda.synchronize()?;
        let mut best = f64::INFINITY;
        for _ in 0..self.batches {
            let start = Instant::now();
            for _ in 0..self.launches {
                run()?;
            }
            self.cuda.synchronize()?;
            best = best.min(start.elapsed().as_secs_f64() / f64::from(self.launches));
        }
        let floor = self.cuda.limits().map(|limits| limits.floor(operations as f64, bytes as f64));
        let told =
            floor.map_or_else(|| ",".into(), |floor| format!("{:.2},{:.2}", floor * 1e6, best / floor));
        let (tera, giga) = (operations as f64 / best / 1e12, bytes as f64 / best / 1e9);
        println!("{name},{:.1},{told},{tera:.3},{giga:.1}", best * 1e6);
        Ok(())
    }

    fn linear(&self, rows: usize, inputs: usize, outputs: usize) -> Result<(), Error> {
        let shape = LinearShape { rows, inputs, outputs, relu: true };
        let (x, w, b) = (self.filled(rows * inputs)?, self.filled(inputs * outputs)?, self.filled(outputs)?);
        let mut dy = self.filled(rows * outputs)?;
        let (mut y, mut dw) = (self.cuda.zeros(rows * outputs)?, self.cuda.zeros(inputs * outputs)?);
        let (mut db, mut dx) = (self.cuda.zeros(outputs)?, self.cuda.zeros(rows * inputs)?);
        let operations = 2 * rows * inputs * outputs;
        let bytes = 4 * (rows * inputs + inputs * outputs + rows * outputs);
        let name = format!("{rows}x{inputs}x{outputs}");
        self.line(&format!("linear {name}"), operations, bytes, || {
            self.cuda.linear(shape, &x, &w, &b, &mut y)
        })?;
        self.line(&format!("linear_backward {name}"), 2 * operations, 2 * bytes, || {
            self.cuda.linear_backward(shape, &x, &w, &y, &mut dy, &mut dw, &mut db, Some(&mut dx))
        })
    }

    fn conv(
        &self,
        batch: usize,
        side: usize,
        inputs: usize,
        outputs: usize,
        pool: bool,
    ) -> Result<(), Error> {
        let shape = ConvShape { batch, height: side, width: side, inputs, outputs, pool };
        let mut picks = self.cuda.indices(&vec![0; batch * (side / 2) * (side / 2) * outputs])?;
        let (pixels, weights) = (batch * side * side, 9 * inputs * outputs);
        let (x, w, dy) =
            (self.filled(pixels * inputs)?, self.filled(weights)?, self.filled(pixels * outputs)?);
        let (mut y, mut dw, mut dx) = (
            self.cuda.zeros(pixels * outputs)?,
            self.cuda.zeros(weights)?,
            self.cuda.zeros(pixels * inputs)?,
        );
        let (operations, bytes) = (2 * pixels * weights, 4 * (pixels * (inputs + outputs) + weights));
        let pooled = if pool { " pool" } else { "" };
        let name = format!("{batch}x{side}x{side} {inputs}->{outputs}{pooled}");
        self.line(&format!("conv {name}"), operations, bytes, || {
            self.cuda.conv(shape, &x, &w, &mut y, &mut picks)
        })?;
        self.line(&format!("conv_backward {name}"), 2 * operations, 2 * bytes, || {
            self.cuda.conv_backward(shape, &x, &w, &dy, &picks, &mut dw, Some(&mut dx))
        })
    }

    fn norm(&self, rows: usize, channels: usize) -> Result<(), Error> {
        let shape = NormShape { rows, channels, epsilon: 1e-5, relu: true };
        let len = rows * channels;
        let (x, dy, affine) = (self.filled(len)?, self.filled(len)?, self.filled(2 * channels)?);
        let (mut saved, mut running) = (self.cuda.zeros(2 * channels)?, self.cuda.zeros(2 * channels)?);
        let (mut daffine, mut y) = (self.cuda.zeros(2 * channels)?, self.cuda.zeros(len)?);
        let name = format!("{rows}x{channels}");
        self.line(&format!("norm {name}"), 6 * len, 12 * len, || {
            self.cuda.norm(shape, &x, &affine, &mut saved, &mut running, 0.1, &mut y)
        })?;
        self.line(&format!("norm_backward {name}"), 10 * len, 20 * len, || {
            self.cuda.norm_backward(shape, &x, &affine, &saved, &dy, &mut daffine, &mut y)
        })
    }

    fn pointwise(&self, batch: usize, side: usize, channels: usize) -> Result<(), Error> {
        let shape = PoolShape { batch, height: side, width: side, channels };
        let len = batch * side * side * channels;
        let (x, dy) = (self.filled(len)?, self.filled(len)?);
        let (mut w, mut m, mut v) = (self.filled(len)?, self.cuda.zeros(len)?, self.cuda.zeros(len)?);
        let name = format!("{batch}x{side}x{side}x{channels}");
        self.line(&format!("relu {name}"), len, 8 * len, || self.cuda.relu(len, &x, &mut m))?;
        self.line(&format!("relu_backward {name}"), len, 12 * len, || {
            self.cuda.relu_backward(len, &x, &dy, &mut m)
        })?;
        self.line(&format!("max_pool {name}"), len, 5 * len, || self.cuda.max_pool(shape, &x, &mut m))?;
        self.line(&format!("max_pool_backward {name}"), len, 9 * len, || {
            self.cuda.max_pool_backward(shape, &x, &dy, &mut m)
        })?;
        self.line(&format!("mean_pool {name}"), len, 4 * len, || self.cuda.mean_pool(shape, &x, &mut m))?;
        let step = AdamStep { rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 0.0, step: 1 };
        self.line(&format!("adam {len}"), 12 * len, 28 * len, || {
            self.cuda.adam(step, len, &mut w, &dy, &mut m, &mut v)
        })
    }

    fn normalize(&self, count: usize, dim: usize) -> Result<(), Error> {
        let z = self.filled(count * dim)?;
        let mut x = self.cuda.zeros(count * dim)?;
        let name = format!("normalize {count}x{dim}");
        self.line(&name, 4 * count * dim, 8 * count * dim, || self.cuda.normalize(count, dim, &z, &mut x))
    }

    /// What a step does with a batch of embeddings, and a search in it. Classes of four.
    fn metric(&self, count: usize, dim: usize) -> Result<(), Error> {
        let (z, mut x) = (self.filled(count * dim)?, self.cuda.zeros(count * dim)?);
        self.cuda.normalize(count, dim, &z, &mut x)?;
        let host: Vec<u32> = (0..count as u32).map(|i| i / 4).collect();
        let (labels, mut betas) = (self.cuda.indices(&host)?, self.cuda.zeros(count)?);
        self.cuda.upload(&vec![1.2; count], &mut betas)?;
        let batch = BatchView { embeddings: &x, labels: &labels, betas: &betas, anchors: count, count, dim };
        let objective = objective(dim);
        let (mut draws, mut dx, mut dbetas) =
            (Draws::default(), self.cuda.zeros(count * dim)?, self.cuda.zeros(count)?);
        let (pairs, name) = (count * count * dim, format!("{count}x{dim}"));
        let key = Key::new(0, Stream::Negatives, 0);
        self.line(&format!("moments {name}"), 2 * pairs, 4 * count * dim, || {
            self.cuda.negative_moments(batch).map(drop)
        })?;
        self.line(&format!("draw {name}"), 2 * pairs, 4 * count * dim, || {
            self.cuda.draw(batch, &objective, key, &mut draws).map(drop)
        })?;
        self.line(&format!("draw and loss {name}"), 2 * pairs, 12 * count * dim, || {
            self.cuda.draw(batch, &objective, key, &mut draws)?;
            self.cuda.loss(batch, &objective, &draws, &mut dx, &mut dbetas).map(drop)
        })?;
        let search = SearchView { embeddings: &x, labels: &host, count };
        self.line(&format!("match_ranks {name}"), 2 * pairs, 4 * count * dim, || {
            self.cuda.match_ranks(dim, 8, search, None).map(drop)
        })
    }

    /// A training step of a network, as the program makes it: upload, forward, draw, loss, backward, Adam.
    fn network(
        &self,
        name: &str,
        architecture: Architecture,
        count: usize,
        per_class: u32,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let (size, dim) = (architecture.input().len(), architecture.dim());
        let operations = 2 * count * architecture.training_multiply_adds();
        let bytes = 4 * (count * size + 7 * architecture.parameter_count());
        let mut network = Network::new(&self.cuda, architecture, count, 0)?;
        let input: Vec<f32> = (0..count * size).map(|i| (i * i % 1013) as f32 / 506.0 - 1.0).collect();
        let labels: Vec<u32> = (0..count as u32).map(|i| i / per_class).collect();
        let (mut betas, mut draws, mut there) = (self.cuda.zeros(count)?, Draws::default(), None);
        self.cuda.upload(&vec![1.2; count], &mut betas)?;
        let (mut dx, mut dbetas) = (self.cuda.zeros(count * dim)?, self.cuda.zeros(count)?);
        let (objective, optimizer, mut step) = (objective(dim), Optimizer::default(), 0);
        self.line(&format!("{name} step {count}"), operations, bytes, || {
            let host = HostBatch { inputs: &input, labels: &labels, anchors: count, parts: &[] };
            let Batch { inputs, labels, .. } = self.cuda.upload_batch(host, &mut there)?;
            let embeddings = network.forward(inputs, count)?;
            let batch = BatchView { embeddings, labels, betas: &betas, anchors: count, count, dim };
            self.cuda.draw(batch, &objective, Key::new(0, Stream::Negatives, step), &mut draws)?;
            self.cuda.loss(batch, &objective, &draws, &mut dx, &mut dbetas)?;
            network.backward(inputs, &dx)?;
            network.update(optimizer, 1e-3, step)?;
            step += 1;
            Ok(())
        })?;
        Ok(())
    }
}

fn image(side: usize) -> InputShape {
    InputShape { height: side, width: side, channels: 1 }
}

/// Distance weighted sampling with the margin loss, by the paper's numbers.
fn objective(dim: usize) -> Objective<f32> {
    let weighting = Weighting::new(dim as f64, Cap::Near(0.5), FarCut::At(1.4), EmptyRow::Skip);
    let margin = Loss::Margin(Margin::new(0.2, 0.0).expect("valid numbers"));
    let sampler = Sampler::DistanceWeighted(weighting.expect("valid numbers"));
    Objective::new(margin, sampler, Reduction::MeanActive).expect("they go together")
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let small = std::env::args().any(|arg| arg == "small");
    let cuda = match Cuda::new(0) {
        Ok(cuda) => cuda,
        Err(error) => {
            println!("skipped: no CUDA device ({error})");
            return Ok(());
        }
    };
    let (launches, batches) = if small { (1, 1) } else { (LAUNCHES, BATCHES) };
    println!("# {}", cuda.device());
    println!("operation,microseconds,floor,ratio,tera operations/s,GB/s");
    let rates = Rates { cuda, launches, batches };
    if small {
        rates.linear(5, 20, 12)?;
        rates.conv(1, 5, 4, 8, false)?;
        rates.conv(1, 5, 4, 8, true)?;
        rates.norm(30, 5)?;
        rates.pointwise(1, 6, 4)?;
        rates.normalize(9, 20)?;
        rates.metric(12, 8)?;
        return rates.network("mlp", Architecture::mlp(image(6), &[9], 5)?, 8, 4);
    }
    // The multilayer perceptron and the two convolutions of the recipes, then sizes that fill a device.
    for (rows, inputs, outputs) in [(128, 784, 512), (128, 512, 256), (128, 256, 128), (4096, 4096, 4096)] {
        rates.linear(rows, inputs, outputs)?;
    }
    for (batch, side, inputs, outputs) in
        [(128, 28, 1, 32), (128, 14, 32, 64), (128, 7, 64, 128), (64, 56, 128, 128)]
    {
        for pool in [false, true] {
            rates.conv(batch, side, inputs, outputs, pool)?;
        }
    }
    for (rows, channels) in [(128 * 14 * 14, 32), (128 * 7 * 7, 64), (128, 256), (1_000_000, 64)] {
        rates.norm(rows, channels)?;
    }
    for (batch, side, channels) in [(128, 14, 32), (256, 112, 64)] {
        rates.pointwise(batch, side, channels)?;
    }
    rates.normalize(128, 128)?;
    rates.normalize(100_000, 512)?;
    for (count, dim) in [(128, 128), (4096, 128), (65_536, 128)] {
        rates.metric(count, dim)?;
    }
    rates.network("mlp", Architecture::mlp(image(28), &[512, 256], 128)?, 120, 5)?;
    rates.network("cnn", Architecture::cnn(image(28), &[32, 64, 128], 1, 128)?, 120, 5)
}
