//! The hot paths, made ready to be timed: what each does on given sizes, and the least time that the arithmetic in
//! it needs on this machine.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use nearfar_core::isotonic::{Isotonic, Options};
use nearfar_core::kernel::fast::{Fast, InstructionSet, Rates};
use nearfar_core::kernel::{Backend, BatchView};
use nearfar_core::metric::exact::{self, Labeled};
use nearfar_core::metric::retrieval::Retrieval;
use nearfar_core::net::{Architecture, InputShape, LayerSpec, Network, Optimizer};
use nearfar_core::{
    Cap, Draw, EmptyRow, FarCut, Key, Loss, Margin, Objective, Reduction, Sampler, Stream, Weighting,
    normalize_row,
};

/// Samples of a class in a batch or set.
const PER_CLASS: usize = 4;
/// Samples of a batch that has a memory.
const REMEMBERING: usize = 160;
/// Samples in batches of the networks.
const BATCHES: [usize; 2] = [128, 512];
/// How long one path is repeated, and how often at least.
const TIME: Duration = Duration::from_millis(400);
const REPEATS: usize = 5;
/// How long it is repeated between two looks at what the machine does at most: neighbours change that within seconds.
const STRETCH: Duration = Duration::from_millis(40);

/// One measured hot path.
#[derive(Clone, Debug, PartialEq)]
pub struct Timing {
    /// What was run.
    pub name: &'static str,
    /// Samples.
    pub n: usize,
    /// Numbers in an embedding, where there are any.
    pub dim: usize,
    /// Threads.
    pub threads: usize,
    /// Median wall time, microseconds.
    pub median_us: f64,
    /// Least wall time, microseconds: what is left where other work on the machine is felt least.
    pub least_us: f64,
    /// What the arithmetic needs at the rates measured in between on as many threads, microseconds; the median.
    pub floor_us: f64,
    /// Wall time over the floor of the same moment; the median.
    pub ratio: f64,
    /// Most memory that the process held meanwhile, beyond what it held before, in bytes; Linux only.
    pub peak_bytes: Option<u64>,
}

/// Times every hot path on `threads` threads and one instruction set: the metric ones for each n.
pub fn all(threads: usize, set: InstructionSet, sizes: &[usize], dim: usize) -> Result<Vec<Timing>> {
    let fast = Fast::with_instruction_set(threads, set)?;
    // On a thread of the pool, as training runs.
    let mut list = fast.run(|| metric(&fast, sizes, dim))?;
    list.extend(fast.run(|| networks(&fast, ["mlp", "cnn"]))?);
    let half = Fast::with_instruction_set(threads, set)?.with_bf16();
    if half.tile_units() {
        list.extend(half.run(|| networks(&half, ["mlp bf16", "cnn bf16"]))?);
    }
    if threads == 1 {
        for &n in sizes {
            list.push(isotonic(n)?);
        }
    }
    Ok(list)
}

/// Steps and searches.
fn metric(fast: &Fast, sizes: &[usize], dim: usize) -> Result<Vec<Timing>> {
    let mut list = Vec::new();
    for (name, expected) in [("step", false), ("expected", true)] {
        for &n in sizes {
            list.push(step(fast, &Step { name, expected, anchors: n, count: n }, dim)?);
        }
    }
    // The batch of the recipe `best`, the largest n rows of a memory behind it.
    let count = REMEMBERING + sizes.iter().max().copied().unwrap_or(0);
    for (name, expected) in [("step (memory)", false), ("expected (memory)", true)] {
        list.push(step(fast, &Step { name, expected, anchors: REMEMBERING, count }, dim)?);
    }
    for &n in sizes {
        list.push(search(fast, n, dim)?);
    }
    Ok(list)
}

/// An MLP at two sizes of batches and a CNN at one, under these names.
fn networks(fast: &Fast, [mlp_name, cnn_name]: [&'static str; 2]) -> Result<Vec<Timing>> {
    Ok(vec![
        network(fast, mlp_name, &mlp()?, BATCHES[0])?,
        network(fast, mlp_name, &mlp()?, BATCHES[1])?,
        network(fast, cnn_name, &cnn()?, BATCHES[0])?,
    ])
}

/// What repeated runs took, and what they would take at best: medians in microseconds, their ratio, and memory.
struct Spent {
    median_us: f64,
    least_us: f64,
    floor_us: f64,
    ratio: f64,
    peak_bytes: Option<u64>,
}

impl Spent {
    fn timing(self, name: &'static str, n: usize, dim: usize, threads: usize) -> Timing {
        let Self { median_us, least_us, floor_us, ratio, peak_bytes } = self;
        Timing { name, n, dim, threads, median_us, least_us, floor_us, ratio, peak_bytes }
    }
}

/// Runs `work` again and again; before and after each stretch `floor` says, in seconds, what one run takes at best just
/// then.
fn time(mut floor: impl FnMut() -> f64, mut work: impl FnMut() -> Result<()>) -> Result<Spent> {
    let before = memory::restart();
    work()?;
    let (mut times, mut floors, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let (start, mut last) = (Instant::now(), floor());
    while times.len() < REPEATS || start.elapsed() < TIME {
        let (stretch, first) = (Instant::now(), times.len());
        while times.len() == first || stretch.elapsed() < STRETCH {
            let once = Instant::now();
            work()?;
            times.push(once.elapsed().as_secs_f64());
        }
        let next = floor();
        let here = 0.5 * (last + next);
        last = next;
        floors.resize(times.len(), here);
        ratios.extend(times[first..].iter().map(|time| time / here));
    }
    let peak_bytes = before.zip(memory::peak()).map(|(before, peak)| peak.saturating_sub(before));
    let sorted = |mut numbers: Vec<f64>| {
        numbers.sort_by(f64::total_cmp);
        (numbers[0], numbers[numbers.len() / 2])
    };
    let ((least, median), (_, floor), (_, ratio)) = (sorted(times), sorted(floors), sorted(ratios));
    Ok(Spent { median_us: 1e6 * median, least_us: 1e6 * least, floor_us: 1e6 * floor, ratio, peak_bytes })
}

/// What one run of so much arithmetic takes at best, for [`time`]; `seconds` is that on one thread.
fn floor(fast: &Fast, seconds: impl Fn(&Rates) -> f64) -> impl FnMut() -> f64 {
    let (set, threads) = (fast.instruction_set(), fast.threads() as f64);
    move || seconds(&Rates::glance(set)) / threads
}

/// Random unit rows with labels.
fn embeddings(n: usize, dim: usize) -> Result<(Vec<f32>, Vec<u32>)> {
    ensure!(n >= 2 * PER_CLASS && dim >= 2, "--n is at least {} and --dim at least 2", 2 * PER_CLASS);
    let key = Key::new(5, Stream::Init, 0);
    let mut rows = vec![0.0; n * dim];
    let mut raw = vec![0.0; dim];
    for (i, row) in rows.chunks_exact_mut(dim).enumerate() {
        for (k, raw) in raw.iter_mut().enumerate() {
            // A sum of four uniform numbers is round enough.
            let part = |at: u32| key.uniform(i as u32, 4 * k as u32 + at) as f32;
            *raw = part(0) + part(1) + part(2) + part(3) - 2.0;
        }
        normalize_row(&raw, row)?;
    }
    Ok((rows, (0..n).map(|i| (i / PER_CLASS) as u32).collect()))
}

/// A step's choice of negatives and its loss with the margin: what it is called, and what it looks at.
struct Step {
    name: &'static str,
    /// Whether negatives are weighted rather than drawn.
    expected: bool,
    anchors: usize,
    count: usize,
}

/// Draws, loss and gradients of one batch: distance weighted sampling, or every negative with its probability.
fn step(fast: &Fast, of: &Step, dim: usize) -> Result<Timing> {
    let Step { name, expected, anchors, count } = *of;
    let (rows, labels) = embeddings(count, dim)?;
    let (labels, betas) = (Backend::<f32>::indices(fast, &labels)?, vec![1.2_f32; anchors]);
    let weighting = Weighting::new(dim as f64, Cap::Near(0.5), FarCut::At(1.4), EmptyRow::Skip)?;
    let sampler = if expected { Sampler::Expected(weighting) } else { Sampler::DistanceWeighted(weighting) };
    let objective = Objective::new(Loss::Margin(Margin::new(0.2, 0.0)?), sampler, Reduction::MeanActive)?;
    let (mut draws, mut dx) = (Vec::<Draw<f32>>::new(), vec![0.0; anchors * dim]);
    let mut dbetas = vec![0.0; anchors];
    let view = BatchView { embeddings: &rows, labels: &labels, betas: &betas, anchors, count, dim };
    let mut step = 0;
    // Each unordered pair that has an anchor once: its product, one logarithm, one exponential. Weighted ones pull on each
    // of their anchors, one multiply-add a component.
    let pairs = anchors as f64 * (count as f64 - 0.5 * anchors as f64);
    let pulls = if expected { (anchors * count * dim) as f64 } else { 0.0 };
    let floor = floor(fast, move |rates| {
        let of_pair = dim as f64 / rates.multiply_adds + 1.0 / rates.logarithms + 1.0 / rates.exponentials;
        pairs * of_pair + pulls / rates.multiply_adds
    });
    let spent = time(floor, || {
        step += 1;
        fast.draw(view, &objective, Key::new(5, Stream::Negatives, step), &mut draws)?;
        fast.loss(view, &objective, &draws, &mut dx, &mut dbetas)?;
        Ok(())
    })?;
    Ok(spent.timing(name, count, dim, fast.threads()))
}

/// Recall@K, R-precision and MAP@R of a set, as `eval` has them.
fn search(fast: &Fast, n: usize, dim: usize) -> Result<Timing> {
    let (rows, labels) = embeddings(n, dim)?;
    let depth = crate::quality::RANKS.into_iter().max().unwrap_or(1);
    let floor = floor(fast, move |rates| 0.5 * (n * n * dim) as f64 / rates.multiply_adds);
    let spent = time(floor, || {
        let set = Labeled { rows: &rows, labels: &labels };
        let ranks = exact::match_ranks(fast, dim, depth, set, None)?;
        std::hint::black_box(Retrieval::of(&ranks, &crate::quality::RANKS));
        Ok(())
    })?;
    Ok(spent.timing("eval", n, dim, fast.threads()))
}

fn mlp() -> Result<Architecture> {
    Ok(Architecture::mlp(InputShape { height: 28, width: 28, channels: 1 }, &[512, 256], 128)?)
}

/// Three convolutions in the order that other frameworks' examples have: norm and ReLU before the pooling.
fn cnn() -> Result<Architecture> {
    use LayerSpec::{Conv, Linear, MaxPool, MeanPool, Norm, Normalize, Relu};
    let mut layers = Vec::new();
    for outputs in [32, 64] {
        layers.extend([Conv { outputs }, Norm, Relu, MaxPool]);
    }
    layers.extend([Conv { outputs: 128 }, Norm, Relu, MeanPool, Linear { outputs: 128 }, Normalize]);
    Ok(Architecture::new(InputShape { height: 28, width: 28, channels: 1 }, layers)?)
}

/// Forward, backward and Adam of a network on batches of `n`; the gradient to the embeddings is given.
fn network(fast: &Fast, name: &'static str, architecture: &Architecture, n: usize) -> Result<Timing> {
    let dim = architecture.dim();
    let key = Key::new(6, Stream::Init, 0);
    let numbers = |len: usize, item: u32| -> Vec<f32> {
        (0..len).map(|i| (key.uniform(item, i as u32) - 0.5) as f32).collect()
    };
    let (input, dx) = (numbers(n * architecture.input().len(), 0), numbers(n * dim, 1));
    let mut network = Network::new(fast, architecture.clone(), n, 0)?;
    let optimizer = Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 0.0 };
    let mut step = 0;
    let (products, half) = ((n * architecture.training_multiply_adds()) as f64, fast.tile_units());
    let floor = floor(fast, move |rates| {
        products / rates.tile_multiply_adds.filter(|_| half).unwrap_or(rates.multiply_adds)
    });
    let spent = time(floor, || {
        network.forward(&input, n)?;
        network.backward(&input, &dx)?;
        network.update(optimizer, 1e-3, step)?;
        step += 1;
        Ok(())
    })?;
    Ok(spent.timing(name, n, dim, fast.threads()))
}

/// Isotonic regression of n points in random order. Its floor is the sort of n whole numbers.
fn isotonic(n: usize) -> Result<Timing> {
    let key = Key::new(7, Stream::Init, 0);
    let x: Vec<f64> = (0..n as u32).map(|i| key.uniform(0, i)).collect();
    let y: Vec<f64> = x.iter().enumerate().map(|(i, x)| x + key.uniform(1, i as u32)).collect();
    let floor = || {
        let mut keys: Vec<u64> = x.iter().map(|x| x.to_bits()).collect();
        let start = Instant::now();
        keys.sort_unstable();
        std::hint::black_box(&keys);
        start.elapsed().as_secs_f64()
    };
    let spent = time(floor, || {
        Isotonic::fit(&x, &y, None, Options::default())?;
        Ok(())
    })?;
    Ok(spent.timing("isotonic", n, 1, 1))
}

/// The most memory that this process held, as the operating system counts it.
mod memory {
    use std::fs;

    /// Starts the count anew and returns what is held now, in bytes. Linux only.
    pub(super) fn restart() -> Option<u64> {
        fs::write("/proc/self/clear_refs", "5").ok()?;
        peak()
    }

    /// The most since [`restart`].
    pub(super) fn peak() -> Option<u64> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(1024 * line.split_whitespace().next()?.parse::<u64>().ok()?)
    }
}

#[cfg(test)]
mod tests {

    #[test]
    fn the_arithmetic_of_a_step_is_counted_right() {
        // 784 x 512 forward and to the weights; 512 x 256 and 256 x 128 to the inputs as well.
        let mlp = 2 * 784 * 512 + 3 * (512 * 256 + 256 * 128);
        assert_eq!(super::mlp().unwrap().training_multiply_adds(), mlp);
        let [first, second] = [2 * 9 * 32 * 784, 3 * 9 * 32 * 64 * 196];
        let cnn = first + second + 3 * 9 * 64 * 128 * 49 + 3 * 128 * 128;
        assert_eq!(super::cnn().unwrap().training_multiply_adds(), cnn);
    }
}
