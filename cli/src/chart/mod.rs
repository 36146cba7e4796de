//! Charts as SVG, drawn by plotters, and the same curves as csv. Names of curves stand above the data, never on them.

mod draw;
mod layout;

use anyhow::{Result, anyhow};
use plotters::style::RGBColor;

/// Size of text in pixels.
pub(crate) const FONT: u32 = 13;

/// Size of a chart without a title of its own, in pixels.
const SIZE: (u32, u32) = (480, 290);

/// Colours that people with any colour vision tell apart (Okabe and Ito 2008), without their yellow, which is lost on
/// white.
pub(crate) const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(90, 90, 90),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(0, 0, 0),
];

/// How a curve is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mark {
    /// A line through the points; a single point is a circle.
    Line,
    /// The same, dashed.
    Dashed,
    /// Circles, with a bar over one standard error to both sides where there is one.
    Points,
    /// A staircase: bins of this width around the points.
    Bins {
        /// Width of a bin.
        width: f64,
        /// Whether the area below is filled.
        filled: bool,
    },
}

/// A curve.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    /// Whether the legend names it; an overlay of another curve says itself what it belongs to.
    pub(crate) listed: bool,
    pub(crate) points: Vec<(f64, f64)>,
    /// Standard errors of the points' second numbers; empty where they have none.
    pub(crate) errors: Vec<f64>,
    pub(crate) mark: Mark,
    /// Place of its colour; by default its own place among the curves that have points.
    pub(crate) colour: Option<usize>,
}

impl Series {
    /// A curve of this mark.
    pub(crate) fn new(name: &str, mark: Mark, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), listed: true, points, errors: Vec::new(), mark, colour: None }
    }

    /// A line.
    pub(crate) fn line(name: &str, points: Vec<(f64, f64)>) -> Self {
        Self::new(name, Mark::Line, points)
    }

    /// Weights of equal parts of [0, 2] as a density: bins whose area is 1.
    pub(crate) fn histogram(name: &str, weights: &[f64]) -> Self {
        let total: f64 = weights.iter().sum();
        let width = 2.0 / weights.len().max(1) as f64;
        let height = |weight: f64| if total > 0.0 { weight / (total * width) } else { 0.0 };
        let point = |(bin, &weight): (usize, &f64)| ((bin as f64 + 0.5) * width, height(weight));
        let points = weights.iter().enumerate().map(point).collect();
        Self::new(name, Mark::Bins { width, filled: true }, points)
    }

    /// The same for counts.
    pub(crate) fn counts(name: &str, counts: &[u64]) -> Self {
        Self::histogram(name, &counts.iter().map(|&count| count as f64).collect::<Vec<_>>())
    }

    /// On top of the curve with the colour of this place, and not in the legend.
    pub(crate) const fn over(mut self, place: usize) -> Self {
        self.listed = false;
        self.coloured(place)
    }

    /// Only the outline of its bins.
    pub(crate) fn outline(mut self) -> Self {
        if let Mark::Bins { filled, .. } = &mut self.mark {
            *filled = false;
        }
        self
    }

    /// With the colour of this place.
    pub(crate) const fn coloured(mut self, place: usize) -> Self {
        self.colour = Some(place);
        self
    }
}

/// One field with axes. Numbers that are not finite are left out.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    pub(crate) title: String,
    /// Names of the axes, units in brackets.
    pub(crate) x: String,
    pub(crate) y: String,
    pub(crate) series: Vec<Series>,
    /// What the first axis holds at least, beside 0 and the curves.
    pub(crate) x_to: f64,
    /// Whether the curves have an order: then their colours go from dark to light.
    pub(crate) ordered: bool,
}

impl Chart {
    /// A chart without a title.
    pub(crate) fn new(x: &str, y: &str, series: Vec<Series>) -> Self {
        Self { title: String::new(), x: x.into(), y: y.into(), series, x_to: 0.0, ordered: false }
    }

    /// With a title.
    pub(crate) fn titled(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// With an axis that goes to `end`.
    pub(crate) const fn up_to(mut self, end: f64) -> Self {
        self.x_to = end;
        self
    }

    /// With colours that show the order of the curves.
    pub(crate) const fn ordered(mut self) -> Self {
        self.ordered = true;
        self
    }

    /// The chart alone, as SVG; the same chart gives the same bytes.
    pub(crate) fn draw(self) -> Result<String> {
        Figure { title: "", note: String::new(), columns: 1, panel: SIZE, charts: vec![self] }.draw()
    }
}

/// Charts side by side under one title.
#[derive(Clone, Debug)]
pub(crate) struct Figure<'a> {
    pub(crate) title: &'a str,
    /// What to know before reading it, in short lines.
    pub(crate) note: String,
    pub(crate) columns: u32,
    /// Size of each chart.
    pub(crate) panel: (u32, u32),
    pub(crate) charts: Vec<Chart>,
}

impl Figure<'_> {
    /// The figure as SVG; the same figure gives the same bytes. Where all charts name the same curves, the names stand
    /// once, above them all.
    pub(crate) fn draw(&self) -> Result<String> {
        let mut svg = String::new();
        draw::figure(&mut svg, self).map_err(|error| anyhow!("cannot draw {}: {error}", self.about()))?;
        Ok(svg)
    }

    fn about(&self) -> &str {
        if self.title.is_empty() { self.charts.first().map_or("a chart", |c| &c.y) } else { self.title }
    }

    /// Every point of every curve a line: the chart's title, the curve's name, the point, and its standard error where
    /// any point has one. Columns are named by the axes; a histogram's points are the centres of its bins.
    pub(crate) fn csv(&self) -> Result<Vec<u8>> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        let curves = || self.charts.iter().flat_map(|chart| chart.series.iter().map(move |s| (chart, s)));
        let with_errors = curves().any(|(_, series)| !series.errors.is_empty());
        let axis = |name: fn(&Chart) -> &str| {
            let name = self.charts.first().map_or("", name);
            name.split(" (").next().unwrap_or(name).to_owned()
        };
        let mut head = vec!["panel".to_owned(), "curve".into(), axis(|c| &c.x), axis(|c| &c.y)];
        head.extend(with_errors.then(|| "standard error".to_owned()));
        csv.write_record(&head)?;
        for (chart, series) in curves() {
            for (at, (x, y)) in series.points.iter().enumerate() {
                let mut record = vec![chart.title.clone(), series.name.clone(), x.to_string(), y.to_string()];
                let error = series.errors.get(at).map(f64::to_string).unwrap_or_default();
                record.extend(with_errors.then_some(error));
                csv.write_record(&record)?;
            }
        }
        Ok(csv.into_inner()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_one_point_and_nan_are_drawn() {
        for points in
            [vec![], vec![(1.0, 1.0)], vec![(0.0, f64::NAN), (1.0, 2.0)], vec![(0.0, 3.0), (1.0, 3.0)]]
        {
            for mark in [Mark::Line, Mark::Dashed, Mark::Points, Mark::Bins { width: 0.1, filled: true }] {
                let chart = Chart::new("step", "loss", vec![Series::new("a", mark, points.clone())]);
                assert!(chart.draw().unwrap().contains("</svg>"));
            }
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
        let svg = Chart::new("step", "Recall@1", series).draw().unwrap();
        assert!(svg.contains("<circle") && svg.contains("one") && svg.contains("level"), "{svg}");
        assert!(!svg.contains("absent") && !svg.contains("nothing"), "{svg}");
    }

    #[test]
    fn a_histogram_has_area_one() {
        let series = Series::counts("d", &[1, 3, 0, 4]);
        let Mark::Bins { width, filled: true } = series.mark else { panic!("{:?}", series.mark) };
        assert_eq!(series.points[1].0, 0.75);
        assert!((series.points.iter().map(|p| p.1 * width).sum::<f64>() - 1.0).abs() < 1e-12);
        let large = Series::counts("d", &[u64::MAX, u64::MAX]);
        assert_eq!(large.points, [(0.5, 0.5), (1.5, 0.5)]);
    }

    #[test]
    fn names_that_all_charts_share_stand_once() {
        let chart = |second: &str| {
            let curve = |name: &str| Series::line(name, vec![(0.0, 0.0), (1.0, 1.0)]);
            Chart::new("distance (chord)", "density (per unit)", vec![curve("first"), curve(second)])
        };
        let figure = |charts: Vec<Chart>| Figure {
            title: "Two",
            note: "a note\nof two lines".into(),
            columns: 2,
            panel: (300, 200),
            charts,
        };
        let count = |charts| figure(charts).draw().unwrap().matches("\nfirst\n").count();
        assert_eq!(count(vec![chart("second"), chart("second")]), 1);
        assert_eq!(count(vec![chart("second"), chart("third")]), 2);
        let mut with_error = chart("a, b").titled("left");
        with_error.series[1].errors = vec![0.5, 0.25];
        let csv = String::from_utf8(figure(vec![with_error]).csv().unwrap()).unwrap();
        let wanted = "panel,curve,distance,density,standard error\nleft,first,0,0,\nleft,first,1,1,\n\
                      left,\"a, b\",0,0,0.5\nleft,\"a, b\",1,1,0.25\n";
        assert_eq!(csv, wanted);
    }
}
