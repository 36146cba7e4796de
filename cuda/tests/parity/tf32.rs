//! Products on tensor cores: against the reference on operands that are rounded here, and against what the same device
//! computes in single precision.

use nearfar_core::kernel::{Backend, ConvShape, LinearShape, scalar::Reference};
use nearfar_cuda::Cuda;

use crate::bench::{
    Tolerance::{Exact, Statistics, Tensor},
    check, device, fresh, numbers, tensor_device, twice, up,
};
use crate::checkup;

/// A finite number with 10 bits behind the point, to nearest, ties away from zero.
fn tf32(v: &f32) -> f32 {
    f32::from_bits((v.to_bits() + 0x1000) & !0x1fff)
}

fn rounded(values: &[f32]) -> Vec<f32> {
    values.iter().map(tf32).collect()
}

fn sizes(values: &[f32]) -> Vec<f32> {
    values.iter().map(|v| v.abs()).collect()
}

/// What a product may lose: both operands of each term within 2^-11 of themselves.
const LOSS: f32 = 2.0 / 2048.0 + 1.0 / 4_194_304.0;

/// Holds tf32 against single, number by number: within the stated bound of `sums`, those of the terms' sizes, and not the
/// same by twice what `Tolerance::Tensor` puts down to rounding.
fn differs_within_bounds(what: &str, got: &[f32], single: &[f32], sums: &[f32]) {
    let largest = |values: &[f32]| values.iter().fold(0.0_f32, |largest, v| largest.max(v.abs()));
    let rounding = 1.2e-5 * largest(single);
    let mut farthest = 0.0_f32;
    for ((got, single), sum) in got.iter().zip(single).zip(sums) {
        let apart = (got - single).abs();
        assert!(apart <= LOSS * sum + rounding, "{what}: {got}, in single {single}, of {sum}");
        farthest = farthest.max(apart);
    }
    assert!(farthest > 2.0 * rounding, "{what}: as near as f32 ({farthest:e})");
}

/// Operands of a linear layer.
struct Layer {
    shape: LinearShape,
    x: Vec<f32>,
    w: Vec<f32>,
    b: Vec<f32>,
    /// Gradient of the output, where a ReLU passes it.
    dy: Vec<f32>,
    /// The output that a ReLU looks at.
    y: Vec<f32>,
}

impl Layer {
    fn new(rows: usize, inputs: usize, outputs: usize, relu: bool) -> Self {
        let shape = LinearShape { rows, inputs, outputs, relu };
        let y = numbers(5, rows * outputs);
        let passes = |(dy, y): (&f32, &f32)| if relu && y <= &0.0 { 0.0 } else { *dy };
        Self {
            shape,
            x: numbers(1, rows * inputs),
            w: numbers(2, inputs * outputs),
            b: numbers(3, outputs),
            dy: numbers(4, y.len()).iter().zip(&y).map(passes).collect(),
            y,
        }
    }

    /// Forward and gradients by the reference, of operands that `map` changed.
    fn of(&self, map: fn(&[f32]) -> Vec<f32>) -> [Vec<f32>; 4] {
        let shape = self.shape;
        let (x, w, mut dy) = (map(&self.x), map(&self.w), map(&self.dy));
        let (mut y, mut dw) = (vec![0.0; dy.len()], vec![0.0; w.len()]);
        let (mut db, mut dx) = (vec![0.0; shape.outputs], vec![0.0; x.len()]);
        Reference.linear(shape, &x, &w, &self.b, &mut y).unwrap();
        Reference.linear_backward(shape, &x, &w, &self.y, &mut dy, &mut dw, &mut db, Some(&mut dx)).unwrap();
        [y, dw, db, dx]
    }

    /// What tensor cores are to give. The gradient of the bias is no product: its terms stay as they are.
    fn wanted(&self) -> [Vec<f32>; 4] {
        let ([y, dw, _, dx], [_, _, db, _]) = (self.of(rounded), self.of(<[f32]>::to_vec));
        [y, dw, db, dx]
    }

    /// The same on the device, each array held against what is wanted.
    fn got(&self, cuda: &Cuda, [y, dw, db, dx]: &[Vec<f32>; 4]) -> Vec<Vec<f32>> {
        let (x, w, b) = (up(cuda, &self.x), up(cuda, &self.w), up(cuda, &self.b));
        let (seen, mut dys) = (up(cuda, &self.y), up(cuda, &self.dy));
        let mut out = fresh(cuda, y.len());
        cuda.linear(self.shape, &x, &w, &b, &mut out).unwrap();
        let (mut dws, mut dbs, mut dxs) =
            (fresh(cuda, dw.len()), fresh(cuda, db.len()), fresh(cuda, dx.len()));
        cuda.linear_backward(self.shape, &x, &w, &seen, &mut dys, &mut dws, &mut dbs, Some(&mut dxs))
            .unwrap();
        vec![
            check("y", cuda, &out, y, Tensor),
            check("dw", cuda, &dws, dw, Tensor),
            check("db", cuda, &dbs, db, Statistics),
            check("dx", cuda, &dxs, dx, Tensor),
        ]
    }
}

fn linear_agrees(rows: usize, inputs: usize, outputs: usize) {
    let Some(cuda) = tensor_device() else { return };
    for relu in [false, true] {
        let layer = Layer::new(rows, inputs, outputs, relu);
        let wanted = layer.wanted();
        twice(|| layer.got(cuda, &wanted));
    }
}

#[test]
fn a_linear_layer_of_one_number_agrees() {
    linear_agrees(1, 1, 1);
}

#[test]
fn linear_layers_with_one_side_of_one_number_agree() {
    linear_agrees(1, 9, 70);
    linear_agrees(33, 1, 5);
    linear_agrees(140, 17, 1);
}

#[test]
fn linear_layers_of_ragged_rows_agree() {
    linear_agrees(131, 5, 3);
    linear_agrees(7, 70, 33);
    linear_agrees(3, 6, 129);
}

#[test]
fn linear_layers_of_whole_quads_agree() {
    linear_agrees(9, 20, 12);
    linear_agrees(130, 36, 68);
    linear_agrees(1, 4, 32);
}

#[test]
fn linear_layers_whose_sums_are_cut_into_chunks_agree() {
    linear_agrees(5, 300, 8);
    linear_agrees(130, 132, 68);
    linear_agrees(301, 7, 10);
}

#[test]
fn a_linear_layer_is_not_that_of_single_precision_and_as_near_as_is_said() {
    let (Some(cuda), Some(single)) = (tensor_device(), device()) else { return };
    for (rows, inputs, outputs) in [(70, 60, 36), (45, 51, 37)] {
        let layer = Layer::new(rows, inputs, outputs, false);
        let got = layer.got(cuda, &layer.wanted());
        let single = layer.got(single, &layer.of(<[f32]>::to_vec));
        let sums = Layer { b: vec![0.0; outputs], ..layer }.of(sizes);
        for (at, what) in [(0, "y"), (1, "dw"), (3, "dx")] {
            differs_within_bounds(what, &got[at], &single[at], &sums[at]);
        }
        assert_eq!(got[2], single[2], "the gradient of the bias");
    }
}

#[test]
fn a_number_half_way_is_rounded_away_from_zero_and_nan_stays_in_its_row() {
    let Some(cuda) = tensor_device() else { return };
    // One input, weights of 1: each output is its row's number, as the device rounded it.
    let half = 1.0 / 2048.0;
    let x = [1.0 + half, -1.0 - half, 1.0 + 0.9 * half, 1.0 + 1.1 * half, f32::NAN, 0.1, f32::MAX, 0.0];
    let step = 2.0 * half;
    let y = [1.0 + step, -1.0 - step, 1.0, 1.0 + step, f32::NAN, 0.099_975_586, f32::INFINITY, 0.0];
    let shape = LinearShape { rows: 8, inputs: 1, outputs: 1, relu: false };
    let mut out = fresh(cuda, 8);
    cuda.linear(shape, &up(cuda, &x), &up(cuda, &[1.0]), &up(cuda, &[0.0]), &mut out).unwrap();
    check("y", cuda, &out, &y, Exact);
}

/// Operands of a convolution without pooling.
struct Image {
    shape: ConvShape,
    x: Vec<f32>,
    w: Vec<f32>,
    dy: Vec<f32>,
}

impl Image {
    fn new(batch: usize, height: usize, width: usize, inputs: usize, outputs: usize) -> Self {
        let pixels = batch * height * width;
        Self {
            shape: ConvShape { batch, height, width, inputs, outputs, pool: false },
            x: numbers(6, pixels * inputs),
            w: numbers(7, 9 * inputs * outputs),
            dy: numbers(8, pixels * outputs),
        }
    }

    fn of(&self, map: fn(&[f32]) -> Vec<f32>) -> [Vec<f32>; 3] {
        let (x, w, dy) = (map(&self.x), map(&self.w), map(&self.dy));
        let (mut y, mut dw, mut dx) = (vec![0.0; dy.len()], vec![0.0; w.len()], vec![0.0; x.len()]);
        let mut picks = vec![0; dy.len()];
        Reference.conv(self.shape, &x, &w, &mut y, &mut picks).unwrap();
        Reference.conv_backward(self.shape, &x, &w, &dy, &picks, &mut dw, Some(&mut dx)).unwrap();
        [y, dw, dx]
    }

    fn got(&self, cuda: &Cuda, [y, dw, dx]: &[Vec<f32>; 3]) -> Vec<Vec<f32>> {
        let (x, w, dy) = (up(cuda, &self.x), up(cuda, &self.w), up(cuda, &self.dy));
        let mut picks = cuda.indices(&vec![0; y.len()]).unwrap();
        let (mut out, mut dws, mut dxs) =
            (fresh(cuda, y.len()), fresh(cuda, dw.len()), fresh(cuda, dx.len()));
        cuda.conv(self.shape, &x, &w, &mut out, &mut picks).unwrap();
        cuda.conv_backward(self.shape, &x, &w, &dy, &picks, &mut dws, Some(&mut dxs)).unwrap();
        vec![
            check("y", cuda, &out, y, Tensor),
            check("dw", cuda, &dws, dw, Tensor),
            check("dx", cuda, &dxs, dx, Tensor),
        ]
    }
}

fn conv_agrees(batch: usize, height: usize, width: usize, inputs: usize, outputs: usize) {
    let Some(cuda) = tensor_device() else { return };
    let image = Image::new(batch, height, width, inputs, outputs);
    let wanted = image.of(rounded);
    twice(|| image.got(cuda, &wanted));
}

#[test]
fn a_convolution_of_one_pixel_agrees() {
    conv_agrees(1, 1, 1, 1, 1);
}

#[test]
fn convolutions_of_ragged_channels_agree() {
    conv_agrees(3, 5, 7, 1, 6);
    conv_agrees(2, 6, 3, 3, 5);
    conv_agrees(1, 4, 9, 7, 33);
}

#[test]
fn convolutions_of_whole_quads_agree() {
    conv_agrees(2, 5, 6, 4, 8);
    conv_agrees(1, 7, 5, 8, 36);
    conv_agrees(1, 3, 3, 36, 4);
    conv_agrees(4, 9, 8, 4, 4);
}

#[test]
fn a_convolution_is_not_that_of_single_precision_and_as_near_as_is_said() {
    let (Some(cuda), Some(single)) = (tensor_device(), device()) else { return };
    for (inputs, outputs) in [(4, 8), (3, 5)] {
        let image = Image::new(2, 6, 7, inputs, outputs);
        let got = image.got(cuda, &image.of(rounded));
        let single = image.got(single, &image.of(<[f32]>::to_vec));
        let sums = image.of(sizes);
        for (at, what) in ["y", "dw", "dx"].into_iter().enumerate() {
            differs_within_bounds(what, &got[at], &single[at], &sums[at]);
        }
    }
}

#[test]
fn what_is_no_layer_is_that_of_single_precision_bit_for_bit() {
    let (Some(cuda), Some(single)) = (tensor_device(), device()) else { return };
    let list = checkup::compare(cuda, single).unwrap();
    for checked in &list {
        let is_product = ["linear", "conv"].iter().any(|layer| checked.name.starts_with(layer));
        assert_eq!(checked.max_error > 0.0, is_product, "{checked:?}");
    }
    assert!(list.len() > 20);
}
