//! Batches of any shape, with a memory behind them or without, and what is asked of them.

use nearfar_core::kernel::BatchView;
use nearfar_core::{
    Cap, EmptyRow, FarCut, Key, Loss, Objective, Reduction, Sampler, Stream, Weighting, squared_distance,
};
use nearfar_cuda::Cuda;

use crate::bench::{numbers, up};

/// A batch of unit rows with labels and a boundary for each, and remembered rows behind it: those without a boundary.
pub(crate) struct Batch {
    pub(crate) x: Vec<f32>,
    pub(crate) labels: Vec<u32>,
    pub(crate) betas: Vec<f32>,
    pub(crate) dim: usize,
}

impl Batch {
    /// Rows spread around one of `classes` directions, so that classes overlap; labels in no order.
    pub(crate) fn new(seed: u64, count: usize, dim: usize, classes: u32) -> Self {
        let labels: Vec<u32> =
            numbers(seed, count).iter().map(|v| ((v + 1.0) * 1e6) as u32 % classes).collect();
        let (centres, noise) = (numbers(seed + 1, classes as usize * dim), numbers(seed + 2, count * dim));
        let mut x = vec![0.0; count * dim];
        for (i, &label) in labels.iter().enumerate() {
            let row: Vec<f32> =
                (0..dim).map(|k| 0.6 * centres[label as usize * dim + k] + noise[i * dim + k]).collect();
            nearfar_core::normalize_row(&row, &mut x[i * dim..][..dim]).unwrap();
        }
        let betas = numbers(seed + 3, count).iter().map(|v| 1.2 + 0.2 * v).collect();
        Self { x, labels, betas, dim }
    }

    /// The last rows become a memory.
    pub(crate) fn of_anchors(mut self, anchors: usize) -> Self {
        self.betas.truncate(anchors);
        self
    }

    pub(crate) fn anchors(&self) -> usize {
        self.betas.len()
    }

    pub(crate) fn count(&self) -> usize {
        self.labels.len()
    }

    pub(crate) fn host(&self) -> BatchView<'_, Vec<f32>, Vec<u32>> {
        BatchView {
            embeddings: &self.x,
            labels: &self.labels,
            betas: &self.betas,
            anchors: self.anchors(),
            count: self.count(),
            dim: self.dim,
        }
    }

    pub(crate) fn distance(&self, i: u32, j: u32) -> f64 {
        let row = |i: u32| &self.x[i as usize * self.dim..][..self.dim];
        f64::from(squared_distance(row(i), row(j))).sqrt()
    }
}

/// Whole quads and ragged rows, one tile and several, one class, one sample, a class of one; with a memory and without.
pub(crate) fn batches() -> Vec<Batch> {
    vec![
        Batch::new(1, 1, 3, 1),
        Batch::new(2, 6, 4, 1),
        Batch::new(3, 7, 5, 7),
        Batch::new(4, 33, 8, 4),
        Batch::new(5, 40, 18, 9),
        Batch::new(9, 47, 8, 6).of_anchors(20),
        Batch::new(10, 83, 5, 11).of_anchors(33),
    ]
}

/// More than one tile of rows, whole quads; alone, and before a memory.
pub(crate) fn large() -> [Batch; 2] {
    [Batch::new(6, 135, 20, 30), Batch::new(11, 180, 20, 30).of_anchors(131)]
}

/// Runs `work` with the batch on the device, labels longer than they need be.
pub(crate) fn on_device<R>(
    cuda: &Cuda,
    batch: &Batch,
    work: impl FnOnce(BatchView<'_, nearfar_cuda::Buffer, nearfar_cuda::Indices>) -> R,
) -> R {
    let (x, betas) = (up(cuda, &batch.x), up(cuda, &batch.betas));
    let mut longer = batch.labels.clone();
    longer.extend([0, 1]);
    let labels = cuda.indices(&longer).unwrap();
    work(BatchView {
        embeddings: &x,
        labels: &labels,
        betas: &betas,
        anchors: batch.anchors(),
        count: batch.count(),
        dim: batch.dim,
    })
}

pub(crate) fn weighting(dimension: f64, cap: Cap<f32>, far: FarCut<f32>, empty: EmptyRow) -> Weighting<f32> {
    Weighting::new(dimension, cap, far, empty).unwrap()
}

/// Weightings that differ in dimension, cap, cut and policy.
pub(crate) fn weightings() -> Vec<Weighting<f32>> {
    use EmptyRow::{Nearest, Skip, Uniform};
    vec![
        weighting(20.0, Cap::Near(0.5), FarCut::At(1.4), Skip),
        weighting(2.0, Cap::Near(0.01), FarCut::None, Skip),
        weighting(3.7, Cap::LnLambda(0.5), FarCut::None, Nearest),
        weighting(128.0, Cap::Near(0.5), FarCut::Active { margin: 0.1 }, Skip),
        weighting(2048.0, Cap::Near(0.9), FarCut::At(1.6), Uniform),
        weighting(12.0, Cap::Near(0.5), FarCut::At(0.9), Nearest),
        weighting(12.0, Cap::Near(0.5), FarCut::At(0.9), Uniform),
        weighting(12.0, Cap::Near(0.5), FarCut::Active { margin: -0.3 }, Skip),
    ]
}

pub(crate) fn samplers_that_draw() -> Vec<Sampler<f32>> {
    let mut samplers =
        vec![Sampler::Uniform, Sampler::Hard, Sampler::Semihard, Sampler::SemihardBand { margin: 0.15 }];
    samplers.extend(weightings().into_iter().map(Sampler::DistanceWeighted));
    samplers
}

pub(crate) fn objective(loss: Loss<f32>, sampler: Sampler<f32>, reduction: Reduction) -> Objective<f32> {
    Objective::new(loss, sampler, reduction).unwrap()
}

pub(crate) fn key() -> Key {
    Key::new(0x1234_5678_9abc, Stream::Negatives, 17)
}

pub(crate) fn near(got: f64, want: f64, tolerance: f64) -> bool {
    (got - want).abs() <= tolerance * want.abs().max(1.0) || got == want
}
