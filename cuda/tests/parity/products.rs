//! Linear layers and convolutions: one block and many, one chunk of k and several, whole quads and ragged rows.

use nearfar_core::kernel::{Backend, BatchView, ConvShape, LinearShape, scalar::Reference};
use nearfar_cuda::Indices;

use crate::bench::{
    Tolerance::{Exact, Product, Statistics},
    check, device, fresh, numbers, twice, up,
};
use crate::shapes::{CONV_QUADS, CONV_RAGGED, LINEAR_CHUNKS, LINEAR_QUADS, LINEAR_RAGGED, LINEAR_THIN};

fn linear_agrees(shapes: &[[usize; 3]]) {
    for &[rows, inputs, outputs] in shapes {
        for relu in [false, true] {
            linear_with(LinearShape { rows, inputs, outputs, relu });
        }
    }
}

fn linear_with(shape: LinearShape) {
    let Some(cuda) = device() else { return };
    let LinearShape { rows, inputs, outputs, relu } = shape;
    let (x, w) = (numbers(1, rows * inputs), numbers(2, inputs * outputs));
    let (b, dy) = (numbers(3, outputs), numbers(4, rows * outputs));
    let mut y = vec![0.0; rows * outputs];
    let (mut dw, mut db, mut dx) = (vec![0.0; w.len()], vec![0.0; outputs], vec![0.0; x.len()]);
    Reference.linear(shape, &x, &w, &b, &mut y).unwrap();
    // With a ReLU the gradient of the output is masked where it stands: both sides are compared after it.
    let mut masked = dy.clone();
    Reference.linear_backward(shape, &x, &w, &y, &mut masked, &mut dw, &mut db, Some(&mut dx)).unwrap();
    assert!(relu || masked == dy, "without a ReLU nothing is masked");
    twice(|| {
        let (xs, ws, bs, mut dys) = (up(cuda, &x), up(cuda, &w), up(cuda, &b), up(cuda, &dy));
        // The reference's own output, so that both mask the same numbers.
        let ys = up(cuda, &y);
        let mut out = fresh(cuda, y.len());
        cuda.linear(shape, &xs, &ws, &bs, &mut out).unwrap();
        let (mut dws, mut dbs, mut dxs) =
            (fresh(cuda, dw.len()), fresh(cuda, db.len()), fresh(cuda, dx.len()));
        cuda.linear_backward(shape, &xs, &ws, &ys, &mut dys, &mut dws, &mut dbs, Some(&mut dxs)).unwrap();
        vec![
            check("y", cuda, &out, &y, Product),
            check("dw", cuda, &dws, &dw, Product),
            check("db", cuda, &dbs, &db, Statistics),
            check("dy", cuda, &dys, &masked, Exact),
            check("dx", cuda, &dxs, &dx, Product),
        ]
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
fn gradients_to_parameters_alone_are_the_same() {
    let Some(cuda) = device() else { return };
    let shape = LinearShape { rows: 6, inputs: 8, outputs: 4, relu: false };
    let (x, w, y) = (up(cuda, &numbers(1, 48)), up(cuda, &numbers(2, 32)), up(cuda, &numbers(4, 24)));
    let run = |with_dx: bool| {
        let (mut dw, mut db, mut dx) = (fresh(cuda, 32), fresh(cuda, 4), fresh(cuda, 48));
        let mut dy = up(cuda, &numbers(3, 24));
        cuda.linear_backward(shape, &x, &w, &y, &mut dy, &mut dw, &mut db, with_dx.then_some(&mut dx))
            .unwrap();
        let mut host = vec![0.0; 32];
        cuda.download(&dw, &mut host).unwrap();
        host
    };
    assert_eq!(run(true), run(false));
}

fn conv_agrees(shapes: &[[usize; 5]]) {
    for &[batch, height, width, inputs, outputs] in shapes {
        let pixels = batch * height * width;
        let (x, w) = (numbers(5, pixels * inputs), numbers(6, 9 * inputs * outputs));
        for pool in [false, true] {
            conv_with(ConvShape { batch, height, width, inputs, outputs, pool }, &x, &w);
        }
    }
}

fn conv_with(shape: ConvShape, x: &[f32], w: &[f32]) {
    let Some(cuda) = device() else { return };
    let ConvShape { batch, height, width, outputs, pool, .. } = shape;
    let pixels = if pool { batch * (height / 2) * (width / 2) } else { batch * height * width };
    let (x, w) = (x.to_vec(), w.to_vec());
    let dy = numbers(7, pixels * outputs);
    let (mut y, mut dw, mut dx) = (vec![0.0; dy.len()], vec![0.0; w.len()], vec![0.0; x.len()]);
    // No pick is 9: what is not written would be seen.
    let mut picks = vec![9; dy.len()];
    Reference.conv(shape, &x, &w, &mut y, &mut picks).unwrap();
    Reference.conv_backward(shape, &x, &w, &dy, &picks, &mut dw, Some(&mut dx)).unwrap();
    twice(|| {
        let (xs, ws, dys) = (up(cuda, &x), up(cuda, &w), up(cuda, &dy));
        let mut chosen = cuda.indices(&vec![9; dy.len()]).unwrap();
        let (mut out, mut dws, mut dxs) =
            (fresh(cuda, y.len()), fresh(cuda, dw.len()), fresh(cuda, dx.len()));
        cuda.conv(shape, &xs, &ws, &mut out, &mut chosen).unwrap();
        cuda.conv_backward(shape, &xs, &ws, &dys, &chosen, &mut dws, Some(&mut dxs)).unwrap();
        let mut alone = fresh(cuda, dw.len());
        cuda.conv_backward(shape, &xs, &ws, &dys, &chosen, &mut alone, None).unwrap();
        vec![
            check("y", cuda, &out, &y, Product),
            check("dw", cuda, &dws, &dw, Product),
            check("dx", cuda, &dxs, &dx, Product),
            check("dw without dx", cuda, &alone, &dw, Product),
        ]
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
fn a_pooled_convolution_picks_the_first_of_equals() {
    // Sums of small whole numbers are exact in any order, so equal pixels are equal on both sides.
    for (batch, height, width, inputs, outputs) in [(2, 5, 6, 3, 5), (1, 7, 4, 4, 8)] {
        let whole = |seed, len| -> Vec<f32> { numbers(seed, len).iter().map(|v| v.round()).collect() };
        let (x, w) = (whole(8, batch * height * width * inputs), whole(9, 9 * inputs * outputs));
        let shape = ConvShape { batch, height, width, inputs, outputs, pool: true };
        conv_with(shape, &x, &w);
        conv_with(shape, &vec![0.0; x.len()], &w);
    }
}

#[test]
fn indices_that_the_device_wrote_are_read_from_it() {
    let Some(cuda) = device() else { return };
    // One window a sample, and a convolution that hands its input on: the picks are the brightest pixels.
    let shape = ConvShape { batch: 6, height: 2, width: 2, inputs: 1, outputs: 1, pool: true };
    let (mut x, mut w) = (vec![0.0; 24], vec![0.0; 9]);
    w[4] = 1.0;
    let classes = [2_u32, 0, 2, 3, 0, 2];
    for (window, &class) in x.chunks_exact_mut(4).zip(&classes) {
        window[class as usize] = 1.0;
    }
    let mut labels = cuda.indices(&[7; 6]).unwrap();
    let unit: Vec<f32> = (0..6).flat_map(|i| [(i as f32).cos(), (i as f32).sin()]).collect();
    let (embeddings, betas) = (up(cuda, &unit), up(cuda, &[1.0; 6]));
    let pairs = |labels: &Indices| {
        let batch =
            BatchView { embeddings: &embeddings, labels, betas: &betas, anchors: 6, count: 6, dim: 2 };
        cuda.negative_moments(batch).unwrap().pairs
    };
    assert_eq!(pairs(&labels), 0, "all of one class");
    cuda.conv(shape, &up(cuda, &x), &up(cuda, &w), &mut fresh(cuda, 6), &mut labels).unwrap();
    assert_eq!(pairs(&labels), 36 - (9 + 4 + 1));
}
