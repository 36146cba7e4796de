//! The hot paths on one thread, each at two sizes; a test run does each once. What they compute is checked here for
//! sense, and number by number in the suites: nobody gets faster by computing less.
//!
//! `cargo bench -p nearfar-core`; `nearfar bench` compares the same paths with the least time that they need.

use divan::Bencher;
use nearfar_core::isotonic::{Isotonic, Options};
use nearfar_core::kernel::fast::Fast;
use nearfar_core::kernel::{Backend, BatchView, SearchView};
use nearfar_core::net::{Architecture, InputShape, LayerSpec, Network, Optimizer};
use nearfar_core::{
    Cap, Draw, EmptyRow, FarCut, Key, Loss, Margin, Objective, Reduction, Sampler, Stream, Weighting,
    normalize_row,
};

/// Samples of a class.
const PER_CLASS: usize = 4;
/// Numbers in an embedding.
const DIM: usize = 128;

fn main() {
    divan::main();
}

fn numbers(len: usize, item: u32) -> Vec<f32> {
    let key = Key::new(6, Stream::Init, 0);
    (0..len).map(|i| (key.uniform(item, i as u32) - 0.5) as f32).collect()
}

/// Random unit rows and their classes.
fn embeddings(n: usize) -> (Vec<f32>, Vec<u32>) {
    let mut rows = vec![0.0; n * DIM];
    for (row, raw) in rows.chunks_exact_mut(DIM).zip(numbers(n * DIM, 0).chunks_exact(DIM)) {
        normalize_row(raw, row).expect("a direction");
    }
    (rows, (0..n).map(|i| (i / PER_CLASS) as u32).collect())
}

/// Loss and gradients of a batch with the margin loss, its negatives chosen by `sampler`.
fn batch(bencher: Bencher<'_, '_>, n: usize, sampler: fn(Weighting<f32>) -> Sampler<f32>) {
    let fast = Fast::new(1).expect("a pool");
    let ((rows, labels), betas) = (embeddings(n), vec![1.2_f32; n]);
    let weighting =
        Weighting::new(DIM as f64, Cap::Near(0.5), FarCut::At(1.4), EmptyRow::Skip).expect("a law");
    let loss = Loss::Margin(Margin::new(0.2, 0.0).expect("a margin"));
    let sampler = sampler(weighting);
    let tuples = if sampler.draws() { n * (PER_CLASS - 1) } else { 0 };
    let objective = Objective::new(loss, sampler, Reduction::MeanActive).expect("parts that fit");
    let view =
        BatchView { embeddings: &rows, labels: &labels, betas: &betas, anchors: n, count: n, dim: DIM };
    let (mut draws, mut dx, mut dbetas) = (Vec::<Draw<f32>>::new(), vec![0.0; n * DIM], vec![0.0; n]);
    let mut step = 0;
    bencher.bench_local(|| {
        step += 1;
        let key = Key::new(5, Stream::Negatives, step);
        let drawn = fast.draw(view, &objective, key, &mut draws).expect("a batch");
        let report = fast.loss(view, &objective, &draws, &mut dx, &mut dbetas).expect("a batch");
        assert_eq!((drawn.anchors as usize, drawn.triplets as usize), (n, tuples));
        assert!(report.loss > 0.0 && dx.iter().all(|d| d.is_finite()));
    });
}

/// Distance weighted sampling.
#[divan::bench(args = [128, 1024])]
fn step(bencher: Bencher<'_, '_>, n: usize) {
    batch(bencher, n, Sampler::DistanceWeighted);
}

/// Every negative with its probability.
#[divan::bench(args = [128, 1024])]
fn expected(bencher: Bencher<'_, '_>, n: usize) {
    batch(bencher, n, Sampler::Expected);
}

/// Where the matches of each sample stand among its hundred nearest.
#[divan::bench(args = [128, 2048])]
fn search(bencher: Bencher<'_, '_>, n: usize) {
    let fast = Fast::new(1).expect("a pool");
    let (rows, labels) = embeddings(n);
    let view = SearchView { embeddings: &rows, labels: &labels, count: n };
    bencher.bench_local(|| {
        let ranks = fast.match_ranks(DIM, 100, view, None).expect("a set");
        assert_eq!(ranks.count(), n);
    });
}

/// Forward, backward and Adam of a network, the gradient to the embeddings given.
fn train(bencher: Bencher<'_, '_>, architecture: Architecture, n: usize) {
    let fast = Fast::new(1).expect("a pool");
    let (input, dx) = (numbers(n * architecture.input().len(), 1), numbers(n * architecture.dim(), 2));
    let mut network = Network::new(&fast, architecture, n, 0).expect("a network");
    let optimizer = Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 0.0 };
    let mut step = 0;
    bencher.bench_local(|| {
        let embeddings = network.forward(&input, n).expect("a batch");
        let lengths: f32 = embeddings[..n * DIM].iter().map(|x| x * x).sum();
        assert!((lengths / n as f32 - 1.0).abs() < 1e-3, "embeddings have length 1");
        network.backward(&input, &dx).expect("a batch");
        network.update(optimizer, 1e-3, step).expect("parameters");
        step += 1;
    });
}

const INPUT: InputShape = InputShape { height: 28, width: 28, channels: 1 };

#[divan::bench(args = [8, 128])]
fn mlp(bencher: Bencher<'_, '_>, n: usize) {
    train(bencher, Architecture::mlp(INPUT, &[512, 256], DIM).expect("a network"), n);
}

/// Three convolutions with norms and poolings.
#[divan::bench(args = [2, 32])]
fn conv(bencher: Bencher<'_, '_>, n: usize) {
    use LayerSpec::{Conv, Linear, MaxPool, MeanPool, Norm, Normalize, Relu};
    let mut layers = Vec::new();
    for outputs in [32, 64] {
        layers.extend([Conv { outputs }, Norm, Relu, MaxPool]);
    }
    layers.extend([Conv { outputs: 128 }, Norm, Relu, MeanPool, Linear { outputs: DIM }, Normalize]);
    train(bencher, Architecture::new(INPUT, layers).expect("a network"), n);
}

/// Points in random order.
#[divan::bench(args = [1_000, 100_000])]
fn isotonic(bencher: Bencher<'_, '_>, n: usize) {
    let key = Key::new(7, Stream::Init, 0);
    let x: Vec<f64> = (0..n as u32).map(|i| key.uniform(0, i)).collect();
    let y: Vec<f64> = x.iter().enumerate().map(|(i, x)| x + key.uniform(1, i as u32)).collect();
    let mean = y.iter().sum::<f64>() / n as f64;
    bencher.bench_local(|| {
        let curve = Isotonic::fit(&x, &y, None, Options::default()).expect("points");
        let fitted = curve.fitted().iter().sum::<f64>() / n as f64;
        assert!((fitted - mean).abs() < 1e-9, "a fit keeps the mean");
    });
}
