//! The transforms of a 3x3 convolution by Winograd's minimal filtering F(2x2, 3x3) (Winograd 1980; Lavin and Gray
//! 2016): sixteen products for a tile of 2x2 outputs where the sum over the window takes thirty-six.
//!
//! ```text
//! Y = Aᵀ [(G g Gᵀ) ∘ (Bᵀ d B)] A        d: 4x4 inputs, g: 3x3 weights, Y: 2x2 outputs
//!
//!      1  0 -1  0          1    0   0
//! Bᵀ = 0  1  1  0     G =  1/2  1/2 1/2     Aᵀ = 1  1  1  0
//!      0 -1  1  0          1/2 -1/2 1/2          0  1 -1 -1
//!      0  1  0 -1          0    0   1
//! ```
//!
//! The entries are 0, 1 and 1/2, so a transform adds a few roundings and amplifies none: outputs are as exact as those
//! of the direct sum. Each backward pass is the adjoint of the forward step. Every function takes one vector of
//! channels at each place.

use pulp::Simd;

/// `Bᵀ d B`.
#[inline(always)]
pub(super) fn input<S: Simd>(simd: S, d: [[S::f32s; 4]; 4]) -> [[S::f32s; 4]; 4] {
    let mut rows = d;
    for j in 0..4 {
        rows[0][j] = simd.sub_f32s(d[0][j], d[2][j]);
        rows[1][j] = simd.add_f32s(d[1][j], d[2][j]);
        rows[2][j] = simd.sub_f32s(d[2][j], d[1][j]);
        rows[3][j] = simd.sub_f32s(d[1][j], d[3][j]);
    }
    let mut all = rows;
    for i in 0..4 {
        let r = rows[i];
        all[i] = [
            simd.sub_f32s(r[0], r[2]),
            simd.add_f32s(r[1], r[2]),
            simd.sub_f32s(r[2], r[1]),
            simd.sub_f32s(r[1], r[3]),
        ];
    }
    all
}

/// The adjoint of [`input`]: `B v Bᵀ`.
#[inline(always)]
pub(super) fn input_adjoint<S: Simd>(simd: S, v: [[S::f32s; 4]; 4]) -> [[S::f32s; 4]; 4] {
    let mut rows = v;
    for j in 0..4 {
        rows[0][j] = v[0][j];
        rows[1][j] = simd.add_f32s(simd.sub_f32s(v[1][j], v[2][j]), v[3][j]);
        rows[2][j] = simd.sub_f32s(simd.add_f32s(v[1][j], v[2][j]), v[0][j]);
        rows[3][j] = simd.neg_f32s(v[3][j]);
    }
    let mut all = rows;
    for i in 0..4 {
        let r = rows[i];
        all[i] = [
            r[0],
            simd.add_f32s(simd.sub_f32s(r[1], r[2]), r[3]),
            simd.sub_f32s(simd.add_f32s(r[1], r[2]), r[0]),
            simd.neg_f32s(r[3]),
        ];
    }
    all
}

/// `Aᵀ m A`: the 2x2 outputs in reading order.
#[inline(always)]
pub(super) fn output<S: Simd>(simd: S, m: [[S::f32s; 4]; 4]) -> [S::f32s; 4] {
    let (mut top, mut bottom) = (m[0], m[0]);
    for j in 0..4 {
        top[j] = simd.add_f32s(simd.add_f32s(m[0][j], m[1][j]), m[2][j]);
        bottom[j] = simd.sub_f32s(simd.sub_f32s(m[1][j], m[2][j]), m[3][j]);
    }
    [
        simd.add_f32s(simd.add_f32s(top[0], top[1]), top[2]),
        simd.sub_f32s(simd.sub_f32s(top[1], top[2]), top[3]),
        simd.add_f32s(simd.add_f32s(bottom[0], bottom[1]), bottom[2]),
        simd.sub_f32s(simd.sub_f32s(bottom[1], bottom[2]), bottom[3]),
    ]
}

/// The adjoint of [`output`]: `A y Aᵀ`.
#[inline(always)]
pub(super) fn output_adjoint<S: Simd>(simd: S, y: [S::f32s; 4]) -> [[S::f32s; 4]; 4] {
    let (left, right) = (spread2(simd, y[0], y[2]), spread2(simd, y[1], y[3]));
    let mut all = [left; 4];
    for i in 0..4 {
        all[i] = spread2(simd, left[i], right[i]);
    }
    all
}

/// A column of `A` times a pair.
#[inline(always)]
fn spread2<S: Simd>(simd: S, a: S::f32s, b: S::f32s) -> [S::f32s; 4] {
    [a, simd.add_f32s(a, b), simd.sub_f32s(a, b), simd.neg_f32s(b)]
}

/// `G g Gᵀ` of the nine weights in reading order.
#[inline(always)]
pub(super) fn weights<S: Simd>(simd: S, g: [S::f32s; 9]) -> [[S::f32s; 4]; 4] {
    let mut columns = [[g[0]; 4]; 3];
    for j in 0..3 {
        columns[j] = spread3(simd, [g[j], g[3 + j], g[6 + j]]);
    }
    let mut all = [[g[0]; 4]; 4];
    for i in 0..4 {
        all[i] = spread3(simd, [columns[0][i], columns[1][i], columns[2][i]]);
    }
    all
}

/// `G` times three numbers.
#[inline(always)]
fn spread3<S: Simd>(simd: S, [a, b, c]: [S::f32s; 3]) -> [S::f32s; 4] {
    let half = simd.splat_f32s(0.5);
    let (outer, middle) = (simd.mul_f32s(half, simd.add_f32s(a, c)), simd.mul_f32s(half, b));
    [a, simd.add_f32s(outer, middle), simd.sub_f32s(outer, middle), c]
}

/// The adjoint of [`weights`]: `Gᵀ u G`.
#[inline(always)]
pub(super) fn weights_adjoint<S: Simd>(simd: S, u: [[S::f32s; 4]; 4]) -> [S::f32s; 9] {
    let mut columns = [[u[0][0]; 3]; 4];
    for j in 0..4 {
        columns[j] = gather3(simd, [u[0][j], u[1][j], u[2][j], u[3][j]]);
    }
    let mut all = [u[0][0]; 9];
    for i in 0..3 {
        let row = gather3(simd, [columns[0][i], columns[1][i], columns[2][i], columns[3][i]]);
        all[3 * i] = row[0];
        all[3 * i + 1] = row[1];
        all[3 * i + 2] = row[2];
    }
    all
}

/// `Gᵀ` times four numbers.
#[inline(always)]
fn gather3<S: Simd>(simd: S, u: [S::f32s; 4]) -> [S::f32s; 3] {
    let half = simd.splat_f32s(0.5);
    let outer = simd.mul_f32s(half, simd.add_f32s(u[1], u[2]));
    let middle = simd.mul_f32s(half, simd.sub_f32s(u[1], u[2]));
    [simd.add_f32s(u[0], outer), middle, simd.add_f32s(outer, u[3])]
}
