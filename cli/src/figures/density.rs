//! How far apart random points of the sphere are: almost always about sqrt 2, the more so the higher the dimension.

use anyhow::Result;
use nearfar_core::Density;

use super::Shown;
use crate::chart::{Chart, Figure, Series};

/// Dimensions, each twice the one before.
const DIMENSIONS: [u32; 8] = [4, 8, 16, 32, 64, 128, 256, 512];

/// Distances between two points of a curve, 1/n of 1.
const STEPS: u32 = 200;

pub(super) fn figure() -> Result<Shown> {
    let curve = |n: u32| -> Result<Series> {
        let density = Density::new(f64::from(n))?;
        let points = (0..=2 * STEPS).map(|i| f64::from(i) / f64::from(STEPS));
        Ok(Series::line(&format!("n = {n}"), points.map(|d| (d, density.ln_q(d).exp())).collect()))
    };
    let curves = DIMENSIONS.into_iter().map(curve).collect::<Result<Vec<_>>>()?;
    let chart = Chart::new("distance (chord length, 0 to 2)", "density (per unit of distance)", curves);
    Ok(Shown {
        name: "density",
        caption: "Two random points of the unit sphere are about √2 apart, and in many dimensions hardly ever anything \
                  else: negatives drawn uniformly are all alike, and too far away to teach.",
        figure: Figure {
            title: "Distances between random points of the unit sphere in n dimensions",
            note: "q(d) = d^(n-2) (1 - d²/4)^((n-3)/2) / Z; the area under each curve is 1".into(),
            columns: 1,
            panel: (800, 420),
            charts: vec![chart.ordered()],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_curve_has_area_one_and_its_top_at_the_mode() {
        let shown = figure().unwrap();
        for (series, n) in shown.figure.charts[0].series.iter().zip(DIMENSIONS) {
            let area: f64 = series
                .points
                .windows(2)
                .map(|pair| 0.5 * (pair[1].0 - pair[0].0) * (pair[0].1 + pair[1].1))
                .sum();
            // The trapezoid rule with steps of 0.005: its error is least where the curve ends flat, and at n = 4 its
            // slope is infinite at 2, an error of the order of step^1.5.
            let error = if n == 4 { 2e-4 } else { 1e-5 };
            assert!((area - 1.0).abs() < error, "n = {n}: area {area}");
            let top = series.points.iter().fold((0.0, 0.0), |top, &p| if p.1 > top.1 { p } else { top });
            let mode = 2.0 * ((f64::from(n) - 2.0) / (2.0 * f64::from(n) - 5.0)).sqrt();
            assert!((top.0 - mode).abs() <= 0.0051, "n = {n}: top at {}, mode {mode}", top.0);
        }
    }
}
