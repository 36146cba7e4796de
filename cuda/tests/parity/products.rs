//! Linear layers and convolutions: one block and many, one chunk of k and several, whole quads and ragged rows.

use nearfar_core::kernel::{Backend, ConvShape, LinearShape, scalar::Reference};

use crate::bench::{
    Tolerance::{Product, Statistics},
    check, device, fresh, numbers, twice, up,
};

fn linear_agrees(rows: usize, inputs: usize, outputs: usize) {
    let Some(cuda) = device() else { return };
    let shape = LinearShape { rows, inputs, outputs };
    let (x, w) = (numbers(1, rows * inputs), numbers(2, inputs * outputs));
    let (b, dy) = (numbers(3, outputs), numbers(4, rows * outputs));
    let mut y = vec![0.0; rows * outputs];
    let (mut dw, mut db, mut dx) = (vec![0.0; w.len()], vec![0.0; outputs], vec![0.0; x.len()]);
    Reference.linear(shape, &x, &w, &b, &mut y).unwrap();
    Reference.linear_backward(shape, &x, &w, &dy, &mut dw, &mut db, Some(&mut dx)).unwrap();
    twice(|| {
        let (xs, ws, bs, dys) = (up(cuda, &x), up(cuda, &w), up(cuda, &b), up(cuda, &dy));
        let mut out = fresh(cuda, y.len());
        cuda.linear(shape, &xs, &ws, &bs, &mut out).unwrap();
        let (mut dws, mut dbs, mut dxs) =
            (fresh(cuda, dw.len()), fresh(cuda, db.len()), fresh(cuda, dx.len()));
        cuda.linear_backward(shape, &xs, &ws, &dys, &mut dws, &mut dbs, Some(&mut dxs)).unwrap();
        vec![
            check("y", cuda, &out, &y, Product),
            check("dw", cuda, &dws, &dw, Product),
            check("db", cuda, &dbs, &db, Statistics),
            check("dx", cuda, &dxs, &dx, Product),
        ]
    });
}

#[test]
fn a_linear_layer_of_one_number_agrees() {
    linear_agrees(1, 1, 1);
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
}

#[test]
fn linear_layers_whose_sums_are_cut_into_chunks_agree() {
    linear_agrees(5, 300, 8);
    linear_agrees(150, 12, 40);
    linear_agrees(130, 132, 68);
    linear_agrees(1000, 4, 4);
}

#[test]
fn gradients_to_parameters_alone_are_the_same() {
    let Some(cuda) = device() else { return };
    let shape = LinearShape { rows: 6, inputs: 8, outputs: 4 };
    let (x, w, dy) = (up(cuda, &numbers(1, 48)), up(cuda, &numbers(2, 32)), up(cuda, &numbers(3, 24)));
    let run = |with_dx: bool| {
        let (mut dw, mut db, mut dx) = (fresh(cuda, 32), fresh(cuda, 4), fresh(cuda, 48));
        cuda.linear_backward(shape, &x, &w, &dy, &mut dw, &mut db, with_dx.then_some(&mut dx)).unwrap();
        let mut host = vec![0.0; 32];
        cuda.download(&dw, &mut host).unwrap();
        host
    };
    assert_eq!(run(true), run(false));
}

fn conv_agrees(batch: usize, height: usize, width: usize, inputs: usize, outputs: usize) {
    let Some(cuda) = device() else { return };
    let shape = ConvShape { batch, height, width, inputs, outputs };
    let pixels = batch * height * width;
    let (x, w) = (numbers(5, pixels * inputs), numbers(6, 9 * inputs * outputs));
    let dy = numbers(7, pixels * outputs);
    let (mut y, mut dw, mut dx) = (vec![0.0; dy.len()], vec![0.0; w.len()], vec![0.0; x.len()]);
    Reference.conv(shape, &x, &w, &mut y).unwrap();
    Reference.conv_backward(shape, &x, &w, &dy, &mut dw, Some(&mut dx)).unwrap();
    twice(|| {
        let (xs, ws, dys) = (up(cuda, &x), up(cuda, &w), up(cuda, &dy));
        let (mut out, mut dws, mut dxs) =
            (fresh(cuda, y.len()), fresh(cuda, dw.len()), fresh(cuda, dx.len()));
        cuda.conv(shape, &xs, &ws, &mut out).unwrap();
        cuda.conv_backward(shape, &xs, &ws, &dys, &mut dws, Some(&mut dxs)).unwrap();
        vec![
            check("y", cuda, &out, &y, Product),
            check("dw", cuda, &dws, &dw, Product),
            check("dx", cuda, &dxs, &dx, Product),
        ]
    });
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
}

#[test]
fn convolutions_over_many_pixels_agree() {
    conv_agrees(4, 9, 8, 4, 4);
}
