//! How fast each operation is, and how far from what memory and arithmetic allow: a line of CSV each.
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

use nearfar_core::kernel::{AdamStep, ConvShape, LinearShape, NormShape, PoolShape};
use nearfar_cuda::{Buffer, Cuda, Error};

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
        let (micros, tera, giga) = (best * 1e6, operations as f64 / best / 1e12, bytes as f64 / best / 1e9);
        println!("{name},{micros:.1},{tera:.3},{giga:.1}");
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
}

fn main() -> Result<(), Error> {
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
    println!("operation,microseconds,tera operations/s,GB/s");
    let rates = Rates { cuda, launches, batches };
    if small {
        rates.linear(5, 20, 12)?;
        rates.conv(1, 5, 4, 8, false)?;
        rates.conv(1, 5, 4, 8, true)?;
        rates.norm(30, 5)?;
        rates.pointwise(1, 6, 4)?;
        return rates.normalize(9, 20);
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
    rates.normalize(100_000, 512)
}
