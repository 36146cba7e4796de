//! Line charts and histograms as SVG, drawn by plotters.

use anyhow::{Result, anyhow};
use plotters::prelude::*;

/// Size of a chart in pixels.
const SIZE: (u32, u32) = (560, 300);

/// Colours that people with any colour vision tell apart (Okabe and Ito 2008).
const COLOURS: [RGBColor; 5] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(90, 90, 90),
];

/// A named line; the area under it is filled where it is a histogram.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
    pub(super) filled: bool,
}

impl Series {
    pub(super) fn line(name: &str, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), points, filled: false }
    }

    /// Counts in equal parts of [0, 2], as a density: a staircase whose area is 1.
    pub(super) fn histogram(name: &str, counts: &[u64]) -> Self {
        let total: u64 = counts.iter().sum();
        let width = 2.0 / counts.len().max(1) as f64;
        let height = |count: u64| if total > 0 { count as f64 / (total as f64 * width) } else { 0.0 };
        let points = counts
            .iter()
            .enumerate()
            .flat_map(|(bin, &count)| [bin, bin + 1].map(|edge| (edge as f64 * width, height(count))))
            .collect();
        Self { name: name.into(), points, filled: true }
    }
}

/// What is drawn; numbers that are not finite are left out.
#[derive(Clone, Debug)]
pub(super) struct Chart<'a> {
    pub(super) x: &'a str,
    pub(super) y: &'a str,
    pub(super) series: Vec<Series>,
}

impl Chart<'_> {
    /// The chart as SVG; the same chart gives the same bytes.
    pub(super) fn draw(&self) -> Result<String> {
        let mut svg = String::new();
        self.draw_to(&mut svg).map_err(|error| anyhow!("cannot draw the chart of {}: {error}", self.y))?;
        Ok(svg)
    }

    fn draw_to(&self, svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
        let points: Vec<(f64, f64)> = self
            .series
            .iter()
            .flat_map(|s| s.points.iter().copied())
            .filter(|(x, y)| x.is_finite() && y.is_finite())
            .collect();
        let (x0, x1) = range(points.iter().map(|p| p.0), false);
        let (y0, y1) = range(points.iter().map(|p| p.1).chain([0.0]), true);
        let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .margin(10)
            .x_label_area_size(36)
            .y_label_area_size(54)
            .build_cartesian_2d(x0..x1, y0..y1)?;
        chart
            .configure_mesh()
            .x_desc(self.x)
            .y_desc(self.y)
            .light_line_style(WHITE)
            .max_light_lines(1)
            .draw()?;
        for (series, colour) in self.series.iter().zip(COLOURS.iter().cycle()) {
            let points = series.points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite());
            let legend = move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2));
            let drawn = if series.filled {
                chart.draw_series(AreaSeries::new(points, 0.0, colour.mix(0.25)).border_style(*colour))?
            } else {
                chart.draw_series(LineSeries::new(points, colour.stroke_width(2)))?
            };
            drawn.label(series.name.as_str()).legend(legend);
        }
        if self.series.len() > 1 {
            chart
                .configure_series_labels()
                .background_style(WHITE.mix(0.8))
                .border_style(RGBColor(200, 200, 200))
                .draw()?;
        }
        root.present()?;
        Ok(())
    }
}

/// From the least to the largest, never empty; with a little air above where asked for.
fn range(values: impl Iterator<Item = f64>, air: bool) -> (f64, f64) {
    let (low, high) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    if low > high {
        return (0.0, 1.0);
    }
    let high = if high > low { high } else { low + 1.0 };
    (low, if air { high + 0.05 * (high - low) } else { high })
}

/// The law of distances and the capped inverse weights (as a share of the cap), for `density --plot`.
pub fn density_chart(n: f64, density: Vec<(f64, f64)>, weights: Vec<(f64, f64)>) -> Result<String> {
    let top = density.iter().map(|p| p.1).filter(|q| q.is_finite()).fold(0.0, f64::max);
    let scaled = weights.into_iter().map(|(d, w)| (d, w * top)).collect();
    let name = format!("q, n = {n}");
    let series = vec![Series::line(&name, density), Series::line("weight, of the cap", scaled)];
    Chart { x: "distance", y: "density", series }.draw()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_one_point_and_nan_are_drawn() {
        for points in
            [vec![], vec![(1.0, 1.0)], vec![(0.0, f64::NAN), (1.0, 2.0)], vec![(0.0, 3.0), (1.0, 3.0)]]
        {
            let chart = Chart { x: "step", y: "loss", series: vec![Series::line("a", points)] };
            assert!(chart.draw().unwrap().contains("</svg>"));
        }
    }

    #[test]
    fn a_histogram_has_area_one() {
        let series = Series::histogram("d", &[1, 3, 0, 4]);
        let area: f64 = series.points.chunks(2).map(|bin| (bin[1].0 - bin[0].0) * bin[0].1).sum();
        assert!((area - 1.0).abs() < 1e-12);
    }
}
