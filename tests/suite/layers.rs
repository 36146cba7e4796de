//! Layers of the fast backend on ragged shapes: near the reference, and the same bits on every instruction set and for
//! any number of threads.

use std::sync::LazyLock;

use nearfar_core::kernel::fast::{Fast, InstructionSet};
use nearfar_core::kernel::scalar::Reference;
use nearfar_core::kernel::{AdamStep, Backend, ConvShape, LinearShape, NormShape, PoolShape};
use nearfar_core::{Key, Stream};
use proptest::prelude::*;

/// Every instruction set of this machine, with one, two and five threads.
static BACKENDS: LazyLock<Vec<Fast>> = LazyLock::new(|| {
    InstructionSet::available()
        .into_iter()
        .flat_map(|set| [1, 2, 5].map(|threads| Fast::with_instruction_set(threads, set).unwrap()))
        .collect()
});

/// Numbers in [-1, 1).
fn numbers(seed: u64, item: u32, len: usize) -> Vec<f32> {
    let key = Key::new(seed, Stream::Init, 3);
    (0..len).map(|i| (2.0 * key.uniform(item, i as u32) - 1.0) as f32).collect()
}

/// Runs `work` on the reference and on every fast backend: results near those of the reference (`allowed`, relative to
/// the largest number of each part, or to 1, which is the order of the inputs: sums may cancel), and equal to the bit
/// among themselves.
fn compare(allowed: f32, work: impl Fn(&dyn Layers) -> Vec<Vec<f32>>) {
    let wanted = work(&Reference);
    let first = work(&BACKENDS[0]);
    assert_eq!(first.len(), wanted.len());
    for (part, (got, wanted)) in first.iter().zip(&wanted).enumerate() {
        let scale = wanted.iter().fold(1.0_f32, |m, v| m.max(v.abs()));
        for (at, (g, w)) in got.iter().zip(wanted).enumerate() {
            assert!((g - w).abs() <= allowed * scale, "part {part}, number {at}: {g} for {w}, scale {scale}");
        }
    }
    for fast in &BACKENDS[1..] {
        let other = work(fast);
        let bits = |parts: &[Vec<f32>]| -> Vec<u32> { parts.iter().flatten().map(|v| v.to_bits()).collect() };
        let (set, threads) = (fast.instruction_set(), fast.threads());
        assert!(bits(&first) == bits(&other), "other bits on {set} with {threads} threads");
    }
}

/// A backend in host memory, as a trait object; its buffers are vectors.
#[allow(clippy::ptr_arg)]
trait Layers {
    fn conv(&self, shape: ConvShape, given: [&Vec<f32>; 2], y: &mut Vec<f32>, picks: &mut Vec<u32>);
    fn conv_backward(
        &self,
        shape: ConvShape,
        given: ([&Vec<f32>; 3], &Vec<u32>),
        dw: &mut Vec<f32>,
        dx: Option<&mut Vec<f32>>,
    );
    fn linear(&self, shape: LinearShape, given: [&Vec<f32>; 4]) -> Vec<Vec<f32>>;
    fn norm(&self, shape: NormShape<f32>, given: [&Vec<f32>; 3]) -> Vec<Vec<f32>>;
    fn pool(&self, shape: PoolShape, given: [&Vec<f32>; 2]) -> Vec<Vec<f32>>;
    fn adam(&self, step: AdamStep<f32>, state: [&Vec<f32>; 4]) -> Vec<Vec<f32>>;
}

impl<B: Backend<f32, Buffer = Vec<f32>, Indices = Vec<u32>>> Layers for B {
    fn conv(&self, shape: ConvShape, [x, w]: [&Vec<f32>; 2], y: &mut Vec<f32>, picks: &mut Vec<u32>) {
        Backend::conv(self, shape, x, w, y, picks).unwrap();
    }

    fn conv_backward(
        &self,
        shape: ConvShape,
        ([x, w, dy], picks): ([&Vec<f32>; 3], &Vec<u32>),
        dw: &mut Vec<f32>,
        dx: Option<&mut Vec<f32>>,
    ) {
        Backend::conv_backward(self, shape, x, w, dy, picks, dw, dx).unwrap();
    }

    fn linear(&self, shape: LinearShape, [x, w, b, dy]: [&Vec<f32>; 4]) -> Vec<Vec<f32>> {
        let LinearShape { rows, inputs, outputs, .. } = shape;
        // What a buffer held before must not show.
        let [mut y, mut dw, mut db, mut dx] =
            [rows * outputs, inputs * outputs, outputs, rows * inputs].map(|len| vec![f32::NAN; len]);
        Backend::linear(self, shape, x, w, b, &mut y).unwrap();
        // A number next to the kink may fall on either side of it: all go back the way that the reference took.
        let (mut kept, mut dy) = (y.clone(), dy.clone());
        Backend::linear(&Reference, shape, x, w, b, &mut kept).unwrap();
        self.linear_backward(shape, x, w, &kept, &mut dy, &mut dw, &mut db, Some(&mut dx)).unwrap();
        vec![y, dw, db, dx]
    }

    fn norm(&self, shape: NormShape<f32>, [x, affine, dy]: [&Vec<f32>; 3]) -> Vec<Vec<f32>> {
        let (len, pair) = (shape.rows * shape.channels, 2 * shape.channels);
        let [mut y, mut dx, mut inferred] = [(); 3].map(|()| vec![f32::NAN; len]);
        let (mut saved, mut daffine) = (vec![f32::NAN; pair], vec![f32::NAN; pair]);
        let mut running = vec![1.0; pair];
        Backend::norm(self, shape, x, affine, &mut saved, &mut running, 0.1, &mut y).unwrap();
        self.norm_backward(shape, x, affine, &saved, dy, &mut daffine, &mut dx).unwrap();
        self.norm_infer(shape, x, affine, &running, &mut inferred).unwrap();
        vec![y, running, daffine, dx, inferred]
    }

    fn pool(&self, shape: PoolShape, [x, dy]: [&Vec<f32>; 2]) -> Vec<Vec<f32>> {
        let PoolShape { batch, height, width, channels } = shape;
        let pooled = batch * (height / 2) * (width / 2) * channels;
        let (mut y, mut dx) = (vec![f32::NAN; pooled], vec![f32::NAN; x.len()]);
        self.max_pool(shape, x, &mut y).unwrap();
        self.max_pool_backward(shape, x, dy, &mut dx).unwrap();
        let (mut mean, mut spread) = (vec![f32::NAN; batch * channels], vec![f32::NAN; x.len()]);
        self.mean_pool(shape, x, &mut mean).unwrap();
        self.mean_pool_backward(shape, dy, &mut spread).unwrap();
        vec![y, dx, mean, spread]
    }

    fn adam(&self, step: AdamStep<f32>, [w, g, m, v]: [&Vec<f32>; 4]) -> Vec<Vec<f32>> {
        let [mut w, mut m, mut v] = [w, m, v].map(Clone::clone);
        Backend::adam(self, step, g.len(), &mut w, g, &mut m, &mut v).unwrap();
        vec![w, m, v]
    }
}

fn convolution(shape: ConvShape, seed: u64) {
    let ConvShape { batch, height, width, inputs, outputs, pool } = shape;
    let out = batch * outputs * if pool { (height / 2) * (width / 2) } else { height * width };
    let (image, weights) = (batch * height * width * inputs, 9 * inputs * outputs);
    let (x, w, dy) = (numbers(seed, 0, image), numbers(seed, 1, weights), numbers(seed, 2, out));
    // Two numbers of a window may be equal but for rounding: all go back the way that the reference took.
    let mut picks = vec![0; out];
    Layers::conv(&Reference, shape, [&x, &w], &mut vec![0.0; out], &mut picks);
    compare(2e-6, |backend| {
        let mut y = vec![f32::NAN; out];
        backend.conv(shape, [&x, &w], &mut y, &mut vec![0; out]);
        let (mut dw, mut dx, mut alone) =
            (vec![f32::NAN; weights], vec![f32::NAN; image], vec![f32::NAN; weights]);
        backend.conv_backward(shape, ([&x, &w, &dy], &picks), &mut dw, Some(&mut dx));
        backend.conv_backward(shape, ([&x, &w, &dy], &picks), &mut alone, None);
        vec![y, dw, dx, alone]
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_convolution_of_any_shape_is_that_of_the_reference(
        (batch, height, width) in (1..7_usize, 1..10_usize, 1..10_usize),
        (inputs, outputs) in (1..20_usize, 1..40_usize),
        pool: bool,
        seed: u64,
    ) {
        convolution(ConvShape { batch, height, width, inputs, outputs, pool }, seed);
    }

    #[test]
    fn a_linear_layer_of_any_shape_is_that_of_the_reference(
        (rows, inputs, outputs) in (1..140_usize, 1..280_usize, 1..140_usize),
        relu: bool,
        seed: u64,
    ) {
        let shape = LinearShape { rows, inputs, outputs, relu };
        let given = [rows * inputs, inputs * outputs, outputs, rows * outputs];
        let given: Vec<_> = given.into_iter().zip(0..).map(|(len, item)| numbers(seed, item, len)).collect();
        compare(1e-5, |backend| backend.linear(shape, [&given[0], &given[1], &given[2], &given[3]]));
    }

    #[test]
    fn a_norm_of_any_shape_is_that_of_the_reference(
        (rows, channels) in (1..200_usize, 1..40_usize),
        relu: bool,
        offset in -50.0_f32..50.0,
        seed: u64,
    ) {
        let shape = NormShape { rows, channels, epsilon: 1e-5, relu };
        let mut x = numbers(seed, 0, rows * channels);
        // A mean that drowns the variance of a naive sum of squares; but few rows may lie so near one another that the
        // rounding of the inputs shows.
        x.iter_mut().for_each(|x| *x += if rows < 8 { 0.0 } else { offset });
        let (affine, dy) = (numbers(seed, 1, 2 * channels), numbers(seed, 2, rows * channels));
        compare(1e-4, |backend| backend.norm(shape, [&x, &affine, &dy]));
    }

    #[test]
    fn pools_of_any_shape_are_those_of_the_reference(
        (batch, height, width, channels) in (1..5_usize, 1..9_usize, 1..9_usize, 1..40_usize),
        seed: u64,
    ) {
        let shape = PoolShape { batch, height, width, channels };
        let len = batch * height * width * channels;
        compare(1e-6, |backend| backend.pool(shape, [&numbers(seed, 0, len), &numbers(seed, 1, len)]));
    }

    #[test]
    fn a_step_of_adam_is_that_of_the_reference(len in 1..70_usize, step in 1..2000_u32, seed: u64) {
        let [w, g, m] = [0, 1, 2].map(|item| numbers(seed, item, len));
        let v: Vec<f32> = numbers(seed, 3, len).iter().map(|v| v * v).collect();
        let step = AdamStep { rate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 0.1, step };
        compare(1e-5, |backend| backend.adam(step, [&w, &g, &m, &v]));
    }
}

#[test]
fn convolutions_of_a_real_size_are_those_of_the_reference() {
    // Several bands of tiles, blocks of channels and parts of the batch.
    let shape = ConvShape { batch: 9, height: 14, width: 13, inputs: 32, outputs: 72, pool: true };
    convolution(shape, 1);
    convolution(ConvShape { batch: 18, height: 28, width: 28, inputs: 1, outputs: 32, ..shape }, 2);
    convolution(ConvShape { height: 7, width: 7, inputs: 64, outputs: 128, pool: false, ..shape }, 3);
}
