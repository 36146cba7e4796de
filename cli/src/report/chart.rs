//! Line charts and histograms as SVG, drawn by plotters. Names of lines stand above the data, never on them.

use anyhow::{Result, anyhow};
use plotters::prelude::*;

/// Size of a chart in pixels.
const SIZE: (u32, u32) = (480, 290);
/// Size of its text, and of a row of names.
const FONT: u32 = 13;
const ROW: u32 = 18;

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
        let finite = |series: &Series| -> Vec<(f64, f64)> {
            series.points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect()
        };
        let drawn: Vec<(&Series, Vec<(f64, f64)>)> =
            self.series.iter().map(|s| (s, finite(s))).filter(|(_, points)| !points.is_empty()).collect();
        let all = || drawn.iter().flat_map(|(_, points)| points);
        // Steps and distances start at 0, and so does the axis: a single look has its place on it.
        let (x0, x1) = range(all().map(|p| p.0).chain([0.0]), 0.0);
        let (y0, y1) = range(all().map(|p| p.1).chain([0.0]), 0.05);
        let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let names: Vec<&str> =
            if drawn.len() > 1 { drawn.iter().map(|(s, _)| s.name.as_str()).collect() } else { Vec::new() };
        let places = places(&names);
        let rows = places.last().map_or(0, |&(_, row)| row + 1);
        let (legend, field) = root.split_vertically(rows * ROW + if rows > 0 { 6 } else { 0 });
        for ((name, &(x, row)), colour) in names.iter().zip(&places).zip(COLOURS.iter().cycle()) {
            let (x, y) = (x as i32, (row * ROW + ROW / 2 + 5) as i32);
            legend.draw(&PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)))?;
            let text = (*name).to_owned();
            legend.draw(&Text::new(text, (x + 21, y - FONT as i32 / 2), ("sans-serif", FONT)))?;
        }
        let mut chart = ChartBuilder::on(&field)
            .margin(8)
            // The last number of the axis stands half beyond its end.
            .margin_right(24)
            .x_label_area_size(38)
            .y_label_area_size(58)
            .build_cartesian_2d(x0..x1, y0..y1)?;
        chart
            .configure_mesh()
            .x_desc(self.x)
            .y_desc(self.y)
            .x_labels(8)
            .y_labels(6)
            .x_label_formatter(&|x| tick(*x, x1 - x0))
            .y_label_formatter(&|y| tick(*y, y1 - y0))
            .label_style(("sans-serif", FONT))
            .light_line_style(WHITE)
            .max_light_lines(1)
            .draw()?;
        for ((series, points), colour) in drawn.into_iter().zip(COLOURS.iter().cycle()) {
            if series.filled {
                chart.draw_series(AreaSeries::new(points, 0.0, colour.mix(0.25)).border_style(*colour))?;
            } else if let [point] = points[..] {
                // A line through one point is none.
                chart.draw_series([Circle::new(point, 4, colour.filled())])?;
            } else {
                chart.draw_series(LineSeries::new(points, colour.stroke_width(2)))?;
            }
        }
        root.present()?;
        Ok(())
    }
}

/// Where names go: x, and a row each; as many in a row as fit by a guess of their width.
fn places(names: &[&str]) -> Vec<(u32, u32)> {
    let (mut x, mut row) = (10, 0);
    names
        .iter()
        .map(|name| {
            let width = 21 + name.chars().count() as u32 * (FONT * 11 / 20) + 14;
            if x > 10 && x + width > SIZE.0 {
                (x, row) = (10, row + 1);
            }
            let place = (x, row);
            x += width;
            place
        })
        .collect()
}

/// A number on an axis of this length: no more decimals than tell it from its neighbours.
fn tick(value: f64, span: f64) -> String {
    let decimals = (1.0 - (span / 10.0).log10().floor()).clamp(0.0, 9.0) as usize;
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".into() } else { text.into() }
}

/// From the least to the largest, never empty; with a share of air above.
fn range(values: impl Iterator<Item = f64>, air: f64) -> (f64, f64) {
    let (low, high) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    if low > high {
        return (0.0, 1.0);
    }
    let high = if high > low { high } else { low + 1.0 };
    (low, high + air * (high - low))
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
    fn a_single_look_is_a_point_and_lines_without_points_have_no_name() {
        let series = vec![
            Series::line("one", vec![(20.0, 0.5)]),
            Series::line("absent", vec![]),
            Series::line("nothing", vec![(1.0, f64::NAN)]),
            Series::line("level", vec![(0.0, 0.25), (20.0, 0.25)]),
        ];
        let svg = Chart { x: "step", y: "Recall@1", series }.draw().unwrap();
        assert!(svg.contains("<circle") && svg.contains("one") && svg.contains("level"), "{svg}");
        assert!(!svg.contains("absent") && !svg.contains("nothing"), "{svg}");
    }

    #[test]
    fn numbers_on_axes_are_short() {
        assert_eq!([tick(20.0, 100.0), tick(0.5, 2.0), tick(-0.0, 1.0)], ["20", "0.5", "0"]);
        assert_eq!([tick(0.001, 0.004), tick(1200.0, 5000.0), tick(1.25, 2.0)], ["0.001", "1200", "1.25"]);
    }

    #[test]
    fn names_stand_in_rows_within_the_picture() {
        let places = places(&["a name of some length, first", "a name of some length, the second", "c"]);
        assert_eq!(places.iter().map(|p| p.1).collect::<Vec<_>>(), [0, 1, 1]);
        assert!(places[2].0 > places[1].0);
    }

    #[test]
    fn a_histogram_has_area_one() {
        let series = Series::histogram("d", &[1, 3, 0, 4]);
        let area: f64 = series.points.chunks(2).map(|bin| (bin[1].0 - bin[0].0) * bin[0].1).sum();
        assert!((area - 1.0).abs() < 1e-12);
    }
}
