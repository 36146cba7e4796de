//! Products on tensor cores, in each format: against the reference on operands that are rounded here, and against what
//! the same device computes in single precision.

use nearfar_core::kernel::{Backend, ConvShape, LinearShape, scalar::Reference};
use nearfar_cuda::Cuda;

use crate::bench::{
    Tolerance::{Exact, Statistics, Tensor},
    check, device, fresh, numbers, twice, up,
};
use crate::checkup;
use crate::formats::{Format, each};
use crate::shapes::{CONV_QUADS, CONV_RAGGED, LINEAR_CHUNKS, LINEAR_QUADS, LINEAR_RAGGED, LINEAR_THIN};

fn sizes(values: &[f32]) -> Vec<f32> {
    values.iter().map(|v| v.abs()).collect()
}

/// Holds a format against single, number by number: within the stated bound of `sums`, those of the terms' sizes, and
/// not the same by twice what `Tolerance::Tensor` puts down to rounding.
fn differs_within_bounds(format: &Format, what: &str, got: &[f32], single: &[f32], sums: &[f32]) {
    let what = format!("{what} in {}", format.precision);
    let largest = |values: &[f32]| values.iter().fold(0.0_f32, |largest, v| largest.max(v.abs()));
    let rounding = 1.2e-5 * largest(single);
    let mut farthest = 0.0_f32;
    for ((got, single), sum) in got.iter().zip(single).zip(sums) {
        let apart = (got - single).abs();
        assert!(apart <= format.loss * sum + rounding, "{what}: {got}, in single {single}, of {sum}");
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
    fn wanted(&self, format: &Format) -> [Vec<f32>; 4] {
        let ([y, dw, _, dx], [_, _, db, _]) = (self.of(format.rounded), self.of(<[f32]>::to_vec));
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
        let precision = cuda.precision();
        vec![
            check(&format!("y in {precision}"), cuda, &out, y, Tensor),
            check(&format!("dw in {precision}"), cuda, &dws, dw, Tensor),
            check(&format!("db in {precision}"), cuda, &dbs, db, Statistics),
            check(&format!("dx in {precision}"), cuda, &dxs, dx, Tensor),
        ]
    }
}

fn linear_agrees(shapes: &[[usize; 3]]) {
    each(|format, cuda| {
        for &[rows, inputs, outputs] in shapes {
            for relu in [false, true] {
                let layer = Layer::new(rows, inputs, outputs, relu);
                let wanted = layer.wanted(format);
                twice(|| layer.got(cuda, &wanted));
            }
        }
    });
}

#[test]
fn linear_layers_with_sides_of_one_number_agree() {
    linear_agrees(LINEAR_THIN);
}

#[test]
fn linear_layers_of_ragged_rows_agree() {
    linear_agrees(LINEAR_RAGGED);
}

#[test]
fn linear_layers_of_whole_quads_agree() {
    linear_agrees(LINEAR_QUADS);
}

#[test]
fn linear_layers_whose_sums_are_cut_into_chunks_agree() {
    linear_agrees(LINEAR_CHUNKS);
}

#[test]
fn a_linear_layer_is_not_that_of_single_precision_and_as_near_as_is_said() {
    each(|format, cuda| {
        for (rows, inputs, outputs) in [(70, 60, 36), (45, 51, 37)] {
            let layer = Layer::new(rows, inputs, outputs, false);
            let got = layer.got(cuda, &layer.wanted(format));
            let single = layer.got(device().unwrap(), &layer.of(<[f32]>::to_vec));
            let sums = Layer { b: vec![0.0; outputs], ..layer }.of(sizes);
            for (at, what) in [(0, "y"), (1, "dw"), (3, "dx")] {
                differs_within_bounds(format, what, &got[at], &single[at], &sums[at]);
            }
            assert_eq!(got[2], single[2], "the gradient of the bias");
        }
    });
}

#[test]
fn operands_are_rounded_as_is_said_and_nan_stays_in_its_row() {
    each(|format, cuda| {
        // One input, weights of 1: each output is its row's number, as the device rounded it.
        let (mut x, mut y): (Vec<f32>, Vec<f32>) = format.told.iter().copied().unzip();
        x.extend([f32::NAN, 0.0, f32::NEG_INFINITY]);
        y.extend([f32::NAN, 0.0, f32::NEG_INFINITY]);
        let shape = LinearShape { rows: x.len(), inputs: 1, outputs: 1, relu: false };
        let mut out = fresh(cuda, y.len());
        cuda.linear(shape, &up(cuda, &x), &up(cuda, &[1.0]), &up(cuda, &[0.0]), &mut out).unwrap();
        check(&format!("y in {}", format.precision), cuda, &out, &y, Exact);
    });
}

/// Operands of a convolution without pooling.
struct Image {
    shape: ConvShape,
    x: Vec<f32>,
    w: Vec<f32>,
    dy: Vec<f32>,
}

impl Image {
    fn new([batch, height, width, inputs, outputs]: [usize; 5]) -> Self {
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
        let precision = cuda.precision();
        vec![
            check(&format!("y in {precision}"), cuda, &out, y, Tensor),
            check(&format!("dw in {precision}"), cuda, &dws, dw, Tensor),
            check(&format!("dx in {precision}"), cuda, &dxs, dx, Tensor),
        ]
    }
}

fn conv_agrees(shapes: &[[usize; 5]]) {
    each(|format, cuda| {
        for &shape in shapes {
            let image = Image::new(shape);
            let wanted = image.of(format.rounded);
            twice(|| image.got(cuda, &wanted));
        }
    });
}

#[test]
fn convolutions_of_ragged_channels_agree() {
    conv_agrees(CONV_RAGGED);
}

#[test]
fn convolutions_of_whole_quads_agree() {
    conv_agrees(CONV_QUADS);
}

#[test]
fn a_convolution_is_not_that_of_single_precision_and_as_near_as_is_said() {
    each(|format, cuda| {
        for (inputs, outputs) in [(4, 8), (3, 5)] {
            let image = Image::new([2, 6, 7, inputs, outputs]);
            let got = image.got(cuda, &image.of(format.rounded));
            let single = image.got(device().unwrap(), &image.of(<[f32]>::to_vec));
            let sums = image.of(sizes);
            for (at, what) in ["y", "dw", "dx"].into_iter().enumerate() {
                differs_within_bounds(format, what, &got[at], &single[at], &sums[at]);
            }
        }
    });
}

#[test]
fn what_is_no_layer_is_that_of_single_precision_bit_for_bit() {
    each(|format, cuda| {
        let list = checkup::compare(cuda, device().unwrap()).unwrap();
        for checked in &list {
            let is_product = ["linear", "conv"].iter().any(|layer| checked.name.starts_with(layer));
            assert_eq!(checked.max_error > 0.0, is_product, "{}: {checked:?}", format.precision);
        }
        assert!(list.len() > 20);
    });
}
