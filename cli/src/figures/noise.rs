//! How noisy the direction of a gradient is, by the distance that it stems from: the closed form, and simulated.

use anyhow::Result;
use nearfar_core::{Key, Stream, gradient_noise};

use super::Shown;
use crate::chart::{Chart, Figure, Mark, Series};

/// Draws behind each simulated point.
const DRAWS: u32 = 1000;
/// Left: noise in each coordinate, at this dimension. Right: dimensions, at this noise.
const NOISES: [f64; 5] = [0.01, 0.02, 0.05, 0.1, 0.2];
const DIMENSION: u32 = 128;
const DIMENSIONS: [u32; 5] = [3, 8, 32, 128, 512];
const NOISE: f64 = 0.1;

pub(super) fn figure(seed: u64) -> Result<Shown> {
    let left: Vec<_> = NOISES.map(|s| (format!("s = {s}"), DIMENSION, s)).into();
    let right: Vec<_> = DIMENSIONS.map(|n| (format!("n = {n}"), n, NOISE)).into();
    let charts = [
        (format!("n = {DIMENSION}: by the noise s of a coordinate"), left),
        (format!("s = {NOISE}: by the dimension n"), right),
    ];
    let charts = charts
        .into_iter()
        .zip(0..)
        .map(|((title, curves), at)| chart(title, &curves, Key::new(seed, Stream::Simulation, at)))
        .collect::<Result<_>>()?;
    Ok(Shown {
        name: "gradient-noise",
        caption: "The gradient of a distance points from one embedding to the other. Embeddings are noisy; the nearer \
                  the negative, the less its gradient says. That is why the nearest negatives are a bad choice.",
        figure: Figure {
            title: "Noise of the gradient's direction against distance",
            note: format!(
                "Direction g = (h + z)/|h + z|: |h| the distance, z normal with standard deviation s in each of n \
                 coordinates; |z| is about s √n.\nTrace of its covariance: 0 is always one direction, 1 is any direction.\nLines: closed \
                 form. Circles: simulated, {DRAWS} draws each, with bars of one standard error (seed {seed})."
            ),
            columns: 2,
            panel: (500, 400),
            charts,
        },
    })
}

/// Curves by name, dimension and noise.
fn chart(title: String, curves: &[(String, u32, f64)], key: Key) -> Result<Chart> {
    let mut lines = Vec::new();
    let mut overlays = Vec::new();
    for ((at, (name, n, s)), item) in curves.iter().enumerate().zip(0..) {
        let closed = |d: f64| Ok((d, gradient_noise(f64::from(*n), d / s)?));
        let points = (0..=200).map(|i| f64::from(i) * 0.01).map(closed).collect::<Result<_>>()?;
        lines.push(Series::line(name, points).coloured(at));
        let mut overlay = Series::new(&format!("{name} simulated"), Mark::Points, Vec::new()).over(at);
        for place in 0..10 {
            let d = 0.1 + 0.2 * f64::from(place);
            let (trace, error) = simulated(*n, d / s, key, item * 10 + place);
            overlay.points.push((d, trace));
            overlay.errors.push(error);
        }
        overlays.push(overlay);
    }
    lines.extend(overlays);
    Ok(Chart::new("distance (chord length, 0 to 2)", "trace of the covariance (no unit)", lines)
        .titled(title)
        .ordered())
}

/// Trace of the covariance of [`DRAWS`] directions, and its standard error: draws `(item, ..)` of `key`.
///
/// With `m` the mean direction, `trace = M/(M-1) (1 - |m|²)`, unbiased. Its variance is about
/// `4 var(m·g)/M + 2 trace²/M²`: the second term, a bound, is what is left where m vanishes.
fn simulated(n: u32, ratio: f64, key: Key, item: u32) -> (f64, f64) {
    let (dim, draws) = (n as usize, f64::from(DRAWS));
    let pairs = n.div_ceil(2);
    let mut directions = Vec::with_capacity(dim * DRAWS as usize);
    for draw in 0..DRAWS {
        let normals = (0..pairs).flat_map(|pair| key.normals(item, draw * pairs + pair));
        let mut g: Vec<f64> = normals.take(dim).collect();
        g[0] += ratio;
        let length = g.iter().map(|v| v * v).sum::<f64>().sqrt();
        directions.extend(g.iter().map(|v| v / length));
    }
    let mut mean = vec![0.0; dim];
    for g in directions.chunks_exact(dim) {
        mean.iter_mut().zip(g).for_each(|(m, v)| *m += v / draws);
    }
    let square = mean.iter().map(|m| m * m).sum::<f64>();
    let along = |g: &[f64]| g.iter().zip(&mean).map(|(v, m)| v * m).sum::<f64>();
    // The mean of m·g is |m|².
    let spread = directions.chunks_exact(dim).map(|g| (along(g) - square).powi(2)).sum::<f64>() / draws;
    let trace = draws / (draws - 1.0) * (1.0 - square);
    (trace, (4.0 * spread / draws + 2.0 * (trace / draws).powi(2)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simulated_points_lie_within_five_standard_errors_of_the_closed_form() {
        for (n, ratio) in [(2, 0.0), (2, 1.0), (3, 3.0), (128, 0.5), (128, 3.0), (128, 10.0), (512, 40.0)] {
            let closed = gradient_noise(f64::from(n), ratio).unwrap();
            let (trace, error) = simulated(n, ratio, Key::new(5, Stream::Simulation, 0), n);
            assert!(
                (trace - closed).abs() < 5.0 * error,
                "n = {n}, k = {ratio}: {trace} ± {error}, {closed}"
            );
            assert!(error < 0.03, "n = {n}, k = {ratio}: a standard error of {error} says nothing");
        }
    }

    #[test]
    fn the_standard_error_is_the_scatter_over_seeds() {
        let runs: Vec<(f64, f64)> =
            (0..60).map(|seed| simulated(8, 2.0, Key::new(seed, Stream::Simulation, 0), 0)).collect();
        let mean = runs.iter().map(|run| run.0).sum::<f64>() / 60.0;
        let scatter = (runs.iter().map(|run| (run.0 - mean).powi(2)).sum::<f64>() / 59.0).sqrt();
        let stated = runs.iter().map(|run| run.1).sum::<f64>() / 60.0;
        // A standard deviation of 60 numbers is known to one part in sqrt(2 · 59), 9 %; four of those.
        assert!((scatter / stated - 1.0).abs() < 0.37, "{scatter} of {stated}");
    }
}
