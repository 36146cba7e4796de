//! Inputs that the tests share. All are functions of a seed.

use nearfar_core::{Key, Stream, normalize_row};

/// `count` uniform points of the unit sphere in `dim` dimensions, row after row.
#[must_use]
pub fn sphere(seed: u64, count: usize, dim: usize) -> Vec<f64> {
    let key = Key::new(seed, Stream::Init, 0);
    let z: Vec<f64> = (0..count * dim).map(|i| key.normals(0, i as u32)[0]).collect();
    unit(&z, dim)
}

/// Rows divided by their length.
#[must_use]
pub fn unit(z: &[f64], dim: usize) -> Vec<f64> {
    let mut x = vec![0.0; z.len()];
    for (z, x) in z.chunks_exact(dim).zip(x.chunks_exact_mut(dim)) {
        normalize_row(z, x).expect("rows of normal numbers have a direction");
    }
    x
}

/// Embeddings as a half-trained network gives them: classes of `each` samples in a cone around a direction of their
/// own; `spread` is the length of the noise against that of the direction.
#[must_use]
pub fn clusters(seed: u64, classes: usize, each: usize, dim: usize, spread: f64) -> (Vec<f64>, Vec<u32>) {
    let centres = sphere(seed, classes, dim);
    let noise = sphere(seed + 1, classes * each, dim);
    let z: Vec<f64> = noise
        .chunks_exact(dim)
        .enumerate()
        .flat_map(|(i, noise)| {
            let centre = &centres[i / each * dim..][..dim];
            noise.iter().zip(centre).map(|(n, c)| c + spread * n).collect::<Vec<_>>()
        })
        .collect();
    (unit(&z, dim), labels(classes, each))
}

/// 0, 0, ..., 1, 1, ...
#[must_use]
pub fn labels(classes: usize, each: usize) -> Vec<u32> {
    (0..classes as u32).flat_map(|class| std::iter::repeat_n(class, each)).collect()
}

/// The same numbers in single precision.
#[must_use]
pub fn single(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&v| v as f32).collect()
}
