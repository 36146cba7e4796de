//! A figure onto a drawing area of plotters.

use std::error::Error;

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::layout::{KEY, ROW, fitting, places, range, rows_height, stairs, tick};
use super::{COLOURS, Chart, FONT, Figure, Mark, Series};

type Area<'s> = DrawingArea<SVGBackend<'s>, Shift>;
type Axes<'c, 's> = ChartContext<'c, SVGBackend<'s>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Left of the field, for numbers and the name of the axis.
const LEFT: u32 = 58;
const MARGIN: u32 = 8;

/// Dark to light in equal parts, after viridis, whose yellow is lost on white.
const RAMP: [[f64; 3]; 5] =
    [[68.0, 1.0, 84.0], [59.0, 82.0, 139.0], [33.0, 145.0, 140.0], [94.0, 201.0, 98.0], [230.0, 175.0, 20.0]];

/// A line of the legend.
#[derive(Clone, Debug, PartialEq)]
struct Entry<'c> {
    name: &'c str,
    colour: RGBColor,
    mark: Mark,
}

/// A curve that has points, with what is drawn of it.
struct Drawn<'c> {
    series: &'c Series,
    colour: RGBColor,
    /// Finite points; of bins their corners.
    points: Vec<(f64, f64)>,
    /// Ends of the bars of standard errors.
    bars: Vec<[(f64, f64); 2]>,
}

fn drawn(chart: &Chart) -> Vec<Drawn<'_>> {
    let finite = |(x, y): &(f64, f64)| x.is_finite() && y.is_finite();
    let with_points = || chart.series.iter().filter(|series| series.points.iter().any(finite)).enumerate();
    let place = |at: usize, series: &Series| series.colour.unwrap_or(at);
    let most = with_points().map(|(at, series)| place(at, series)).max().unwrap_or(0);
    with_points()
        .map(|(at, series)| {
            let colour = match place(at, series) {
                place if chart.ordered => ramp(place as f64 / most.max(1) as f64),
                place => COLOURS[place % COLOURS.len()],
            };
            let points: Vec<(f64, f64)> = series.points.iter().copied().filter(finite).collect();
            let bars = series
                .points
                .iter()
                .zip(&series.errors)
                .map(|(&(x, y), error)| [(x, y - error), (x, y + error)])
                .filter(|ends| ends.iter().all(finite))
                .collect();
            let points =
                if let Mark::Bins { width, .. } = series.mark { stairs(&points, width) } else { points };
            Drawn { series, colour, points, bars }
        })
        .collect()
}

/// A colour of the ramp, `share` in [0, 1].
fn ramp(share: f64) -> RGBColor {
    let at = share * (RAMP.len() - 1) as f64;
    let low = (at as usize).min(RAMP.len() - 2);
    let part = at - low as f64;
    let [r, g, b] =
        [0, 1, 2].map(|i| (RAMP[low][i] + part * (RAMP[low + 1][i] - RAMP[low][i])).round() as u8);
    RGBColor(r, g, b)
}

/// What the legend says; nothing of a single curve, which the axis names.
fn entries<'c>(curves: &[Drawn<'c>]) -> Vec<Entry<'c>> {
    if curves.len() < 2 {
        return Vec::new();
    }
    curves
        .iter()
        .filter(|curve| curve.series.listed)
        .map(|curve| Entry { name: &curve.series.name, colour: curve.colour, mark: curve.series.mark })
        .collect()
}

pub(super) fn figure(svg: &mut String, figure: &Figure<'_>) -> Result<(), Box<dyn Error>> {
    let (width, height) = figure.panel;
    let columns = figure.columns.max(1);
    let lines = figure.charts.len().max(1).div_ceil(columns as usize) as u32;
    let curves: Vec<Vec<Drawn<'_>>> = figure.charts.iter().map(drawn).collect();
    let legends: Vec<Vec<Entry<'_>>> = curves.iter().map(|curves| entries(curves)).collect();
    let shared: &[Entry<'_>] = match &legends[..] {
        [first, second, ..] if first == second && legends.iter().all(|other| other == first) => first,
        _ => &[],
    };
    let title = if figure.title.is_empty() { 0 } else { ROW + 10 };
    let note = figure.note.lines().count() as u32 * ROW;
    let names = legend_height(shared, columns * width);
    let head = title + note + names;
    let root = SVGBackend::with_string(svg, (columns * width, head + lines * height)).into_drawing_area();
    root.fill(&WHITE)?;
    let (top, fields) = root.split_vertically(head);
    if title > 0 {
        top.draw(&Text::new(figure.title.to_owned(), (10, 9), ("sans-serif", FONT + 4)))?;
    }
    for (line, text) in figure.note.lines().enumerate() {
        let y = title + line as u32 * ROW + 2;
        top.draw(&Text::new(text.to_owned(), (10, y as i32), ("sans-serif", FONT)))?;
    }
    legend(&top.split_vertically(title + note).1, shared)?;
    let areas = fields.split_evenly((lines as usize, columns as usize));
    for (((area, chart), curves), names) in areas.iter().zip(&figure.charts).zip(&curves).zip(&legends) {
        panel(area, chart, curves, if shared.is_empty() { names } else { &[] })?;
    }
    root.present()?;
    Ok(())
}

fn legend_height(entries: &[Entry<'_>], width: u32) -> u32 {
    rows_height(&places(&entries.iter().map(|entry| entry.name).collect::<Vec<_>>(), width))
}

/// Names with a piece of their curve before each.
fn legend(area: &Area<'_>, entries: &[Entry<'_>]) -> Result<(), Box<dyn Error>> {
    let names: Vec<&str> = entries.iter().map(|entry| entry.name).collect();
    for (entry, place) in entries.iter().zip(places(&names, area.dim_in_pixel().0)) {
        let (x, y) = (place.x as i32, (place.row * ROW + ROW / 2 + 5) as i32);
        let colour = entry.colour;
        let piece =
            |from: i32, to: i32| PathElement::new([(x + from, y), (x + to, y)], colour.stroke_width(2));
        match entry.mark {
            Mark::Line | Mark::Bins { filled: false, .. } => area.draw(&piece(0, 16))?,
            Mark::Dashed => {
                area.draw(&piece(0, 6))?;
                area.draw(&piece(10, 16))?;
            }
            Mark::Points => area.draw(&Circle::new((x + 8, y), 3, colour.filled()))?,
            Mark::Bins { filled: true, .. } => {
                let corners = [(x, y - 5), (x + 16, y + 5)];
                area.draw(&Rectangle::new(corners, colour.mix(0.25).filled()))?;
                area.draw(&Rectangle::new(corners, colour.stroke_width(1)))?;
            }
        }
        let corner = (x + KEY as i32, y - FONT as i32 / 2);
        area.draw(&Text::new(place.text, corner, ("sans-serif", FONT)))?;
    }
    Ok(())
}

fn panel(
    area: &Area<'_>,
    chart: &Chart,
    curves: &[Drawn<'_>],
    names: &[Entry<'_>],
) -> Result<(), Box<dyn Error>> {
    let (width, height) = area.dim_in_pixel();
    let title = if chart.title.is_empty() { 0 } else { ROW + 6 };
    if title > 0 {
        let text = fitting(&chart.title, width.saturating_sub(LEFT + 2 * MARGIN));
        area.draw(&Text::new(text, ((LEFT + MARGIN) as i32, 7), ("sans-serif", FONT + 1)))?;
    }
    let (_, area) = area.split_vertically(title);
    let (top, field) = area.split_vertically(legend_height(names, width));
    legend(&top, names)?;
    let all = || curves.iter().flat_map(|curve| curve.points.iter().chain(curve.bars.iter().flatten()));
    // Steps and distances start at 0, and so does the axis: a single look has its place on it.
    let (x0, x1) = range(all().map(|p| p.0).chain([0.0, chart.x_to]), 0.0);
    let (y0, y1) = range(all().map(|p| p.1).chain([0.0]), 0.05);
    let mut axes = ChartBuilder::on(&field)
        .margin(MARGIN)
        // The last number of the axis stands half beyond its end.
        .margin_right(24)
        .x_label_area_size(38)
        .y_label_area_size(LEFT)
        .build_cartesian_2d(x0..x1, y0..y1)?;
    axes.configure_mesh()
        .x_desc(&*chart.x)
        .y_desc(&*chart.y)
        .x_labels((width / 60).max(5) as usize)
        .y_labels((height / 45) as usize)
        .x_label_formatter(&|x| tick(*x, x1 - x0))
        .y_label_formatter(&|y| tick(*y, y1 - y0))
        .label_style(("sans-serif", FONT))
        .light_line_style(WHITE)
        .max_light_lines(1)
        .draw()?;
    curves.iter().try_for_each(|curve| draw(&mut axes, curve))
}

fn draw(axes: &mut Axes<'_, '_>, curve: &Drawn<'_>) -> Result<(), Box<dyn Error>> {
    let (points, style) = (curve.points.iter().copied(), curve.colour.stroke_width(2));
    match curve.series.mark {
        Mark::Points => {
            axes.draw_series(curve.bars.iter().map(|&ends| PathElement::new(ends, curve.colour)))?;
            axes.draw_series(points.map(|point| Circle::new(point, 3, curve.colour.filled())))?;
        }
        // A line through one point is none.
        Mark::Line | Mark::Dashed if curve.points.len() == 1 => {
            axes.draw_series(points.map(|point| Circle::new(point, 4, curve.colour.filled())))?;
        }
        Mark::Dashed => {
            axes.draw_series(DashedLineSeries::new(points, 5, 4, style))?;
        }
        Mark::Bins { filled: true, .. } => {
            let area = AreaSeries::new(points, 0.0, curve.colour.mix(0.25));
            axes.draw_series(area.border_style(curve.colour))?;
        }
        Mark::Line | Mark::Bins { filled: false, .. } => {
            axes.draw_series(LineSeries::new(points, style))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ramp_goes_from_its_first_colour_to_its_last() {
        assert_eq!([ramp(0.0), ramp(1.0)], [RGBColor(68, 1, 84), RGBColor(230, 175, 20)]);
        assert_eq!(ramp(0.375), RGBColor(46, 114, 140));
    }

    #[test]
    fn an_overlay_has_the_colour_that_it_asks_for_and_no_line_in_the_legend() {
        let points = vec![(0.0, 1.0), (1.0, 2.0)];
        let line = |name: &str| Series::line(name, points.clone());
        let overlay = Series::new("overlay", Mark::Points, points.clone()).over(0);
        let chart = Chart::new("x", "y", vec![line("a"), line("b"), overlay]);
        let curves = drawn(&chart);
        assert_eq!(curves[2].colour, COLOURS[0]);
        let names: Vec<&str> = entries(&curves).iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["a", "b"]);
        let ordered = chart.ordered();
        let colours: Vec<RGBColor> = drawn(&ordered).iter().map(|curve| curve.colour).collect();
        assert_eq!(colours, [ramp(0.0), ramp(1.0), ramp(0.0)]);
    }
}
