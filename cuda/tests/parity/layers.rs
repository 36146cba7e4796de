//! Norms, ReLU, pooling and the optimisers.

use nearfar_core::kernel::{AdamStep, Backend, NormShape, PoolShape, SgdStep, scalar::Reference};

use crate::bench::{
    Tolerance::{Exact, Rounded, Statistics},
    check, device, fresh, numbers, twice, up,
};

fn norm_agrees(rows: usize, channels: usize, relu: bool, spoil: impl Fn(&mut [f32])) {
    let Some(cuda) = device() else { return };
    let shape = NormShape { rows, channels, epsilon: 1e-5, relu };
    // Off centre, so that a variance from plain sums of squares would lose digits.
    let mut x: Vec<f32> = numbers(1, rows * channels).iter().map(|v| 0.01 * v + 3.0).collect();
    spoil(&mut x);
    let (affine, dy) = (numbers(2, 2 * channels), numbers(3, x.len()));
    let running: Vec<f32> = numbers(4, 2 * channels).iter().map(|v| v.abs()).collect();
    let (mut y, mut inferred, mut saved) = (vec![0.0; x.len()], vec![0.0; x.len()], vec![0.0; 2 * channels]);
    let mut moved = running.clone();
    Reference.norm(shape, &x, &affine, &mut saved, &mut moved, 0.1, &mut y).unwrap();
    Reference.norm_infer(shape, &x, &affine, &running, &mut inferred).unwrap();
    let (mut daffine, mut dx) = (vec![0.0; 2 * channels], vec![0.0; x.len()]);
    Reference.norm_backward(shape, &x, &affine, &saved, &dy, &mut daffine, &mut dx).unwrap();
    twice(|| {
        let (xs, affines, dys) = (up(cuda, &x), up(cuda, &affine), up(cuda, &dy));
        let (mut runnings, unmoved) = (up(cuda, &running), up(cuda, &running));
        let (mut out, mut infer, mut saves) =
            (fresh(cuda, y.len()), fresh(cuda, y.len()), fresh(cuda, saved.len()));
        cuda.norm(shape, &xs, &affines, &mut saves, &mut runnings, 0.1, &mut out).unwrap();
        cuda.norm_infer(shape, &xs, &affines, &unmoved, &mut infer).unwrap();
        let (mut daffines, mut dxs) = (fresh(cuda, daffine.len()), fresh(cuda, dx.len()));
        // The reference's own statistics, so that one comparison does not carry the other's rounding.
        let statistics = up(cuda, &saved);
        cuda.norm_backward(shape, &xs, &affines, &statistics, &dys, &mut daffines, &mut dxs).unwrap();
        vec![
            check("saved", cuda, &saves, &saved, Rounded),
            check("running", cuda, &runnings, &moved, Rounded),
            check("y", cuda, &out, &y, Statistics),
            check("inferred", cuda, &infer, &inferred, Exact),
            check("daffine", cuda, &daffines, &daffine, Statistics),
            check("dx", cuda, &dxs, &dx, Statistics),
        ]
    });
}

#[test]
fn norms_agree() {
    for (rows, channels) in [(1, 1), (2, 3), (9, 32), (65, 33), (200, 5), (131, 70), (700, 3)] {
        norm_agrees(rows, channels, false, |_| ());
        norm_agrees(rows, channels, true, |_| ());
    }
}

#[test]
fn a_channel_with_nan_is_nan_and_its_neighbours_are_not() {
    for relu in [false, true] {
        norm_agrees(20, 3, relu, |x| x[3 * 7 + 1] = f32::NAN);
    }
}

#[test]
fn relu_and_its_gradient_agree_bit_for_bit() {
    let Some(cuda) = device() else { return };
    for len in [0, 1, 255, 257, 1023, 1025, 3000] {
        let mut x = numbers(1, len);
        let dy = numbers(2, len);
        // Kinks of both signs, and NaN, which is not above zero.
        for (i, v) in [0.0, -0.0, f32::NAN, f32::INFINITY].into_iter().enumerate().take(len) {
            x[i] = v;
        }
        let (mut y, mut dx) = (vec![0.0; len], vec![0.0; len]);
        Reference.relu(len, &x, &mut y).unwrap();
        Reference.relu_backward(len, &y, &dy, &mut dx).unwrap();
        twice(|| {
            let (xs, dys) = (up(cuda, &x), up(cuda, &dy));
            let (mut ys, mut dxs) = (fresh(cuda, len), fresh(cuda, len));
            cuda.relu(len, &xs, &mut ys).unwrap();
            cuda.relu_backward(len, &ys, &dys, &mut dxs).unwrap();
            vec![check("y", cuda, &ys, &y, Exact), check("dx", cuda, &dxs, &dx, Exact)]
        });
    }
}

#[test]
fn pools_and_their_gradients_agree_bit_for_bit() {
    let Some(cuda) = device() else { return };
    for (batch, height, width, channels) in
        [(1, 1, 1, 1), (2, 2, 2, 3), (3, 5, 4, 2), (1, 6, 7, 5), (2, 3, 3, 40)]
    {
        let shape = PoolShape { batch, height, width, channels };
        // Few different values: windows with ties.
        let mut x: Vec<f32> =
            numbers(1, batch * height * width * channels).iter().map(|v| (v * 2.0).round()).collect();
        x[0] = f32::NAN;
        let pooled = batch * (height / 2) * (width / 2) * channels;
        let (dy, dmean) = (numbers(2, pooled), numbers(3, batch * channels));
        let finite = numbers(4, x.len());
        let (mut y, mut mean) = (vec![0.0; pooled], vec![0.0; batch * channels]);
        let (mut dx, mut dx_mean) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        Reference.max_pool(shape, &x, &mut y).unwrap();
        Reference.max_pool_backward(shape, &x, &dy, &mut dx).unwrap();
        Reference.mean_pool(shape, &finite, &mut mean).unwrap();
        Reference.mean_pool_backward(shape, &dmean, &mut dx_mean).unwrap();
        twice(|| {
            let (xs, dys, dmeans, finites) =
                (up(cuda, &x), up(cuda, &dy), up(cuda, &dmean), up(cuda, &finite));
            let (mut ys, mut means) = (fresh(cuda, y.len()), fresh(cuda, mean.len()));
            let (mut dxs, mut dxs_mean) = (fresh(cuda, dx.len()), fresh(cuda, dx.len()));
            cuda.max_pool(shape, &xs, &mut ys).unwrap();
            cuda.max_pool_backward(shape, &xs, &dys, &mut dxs).unwrap();
            cuda.mean_pool(shape, &finites, &mut means).unwrap();
            cuda.mean_pool_backward(shape, &dmeans, &mut dxs_mean).unwrap();
            vec![
                check("max", cuda, &ys, &y, Exact),
                check("max dx", cuda, &dxs, &dx, Exact),
                check("mean", cuda, &means, &mean, Exact),
                check("mean dx", cuda, &dxs_mean, &dx_mean, Exact),
            ]
        });
    }
}

#[test]
fn steps_of_both_optimisers_agree_bit_for_bit() {
    let Some(cuda) = device() else { return };
    let len = 1300;
    let (w, g) = (numbers(1, len), numbers(2, len));
    let adam = |step| AdamStep { rate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 0.05, step };
    let sgd = SgdStep { rate: 0.1, momentum: 0.9, decay: 1e-3 };
    let (mut wa, mut m, mut v) = (w.clone(), vec![0.0; len], vec![0.0; len]);
    let (mut ws, mut u) = (w.clone(), vec![0.0; len]);
    for step in 1..=3 {
        Reference.adam(adam(step), len, &mut wa, &g, &mut m, &mut v).unwrap();
        Reference.sgd(sgd, len, &mut ws, &g, &mut u).unwrap();
    }
    twice(|| {
        let (mut was, mut wss, gs) = (up(cuda, &w), up(cuda, &w), up(cuda, &g));
        let zeros = vec![0.0; len];
        let (mut ms, mut vs, mut us) = (up(cuda, &zeros), up(cuda, &zeros), up(cuda, &zeros));
        for step in 1..=3 {
            cuda.adam(adam(step), len, &mut was, &gs, &mut ms, &mut vs).unwrap();
            cuda.sgd(sgd, len, &mut wss, &gs, &mut us).unwrap();
        }
        vec![
            check("adam w", cuda, &was, &wa, Exact),
            check("adam m", cuda, &ms, &m, Exact),
            check("adam v", cuda, &vs, &v, Exact),
            check("sgd w", cuda, &wss, &ws, Exact),
            check("sgd u", cuda, &us, &u, Exact),
        ]
    });
}
