//! The drawing of a calibration: P(same) over distance, and how true it is.

use anyhow::{Result, anyhow};
use nearfar_core::metric::reliability::Reliability;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use crate::calibration::Stored;

/// Size of the drawing in pixels, and of its text.
const SIZE: (u32, u32) = (960, 440);
const FONT: u32 = 14;

/// Colours that people with any colour vision tell apart (Okabe and Ito 2008).
const BLUE_LINE: RGBColor = RGBColor(0, 114, 178);
const ORANGE: RGBColor = RGBColor(213, 94, 0);
const GREY: RGBColor = RGBColor(120, 120, 120);

/// Left: the curve `p_same` with the threshold. Right: what the fits to the other folds predicted for each fold, against
/// what was seen, with the share of pairs in each bin.
pub fn calibration_chart(
    stored: &Stored,
    p_same: impl Fn(f64) -> f64,
    reliability: &Reliability,
    pairs: u64,
) -> Result<String> {
    let mut svg = String::new();
    draw(&mut svg, stored, p_same, reliability, pairs)
        .map_err(|error| anyhow!("cannot draw the calibration: {error}"))?;
    Ok(svg)
}

fn draw(
    svg: &mut String,
    stored: &Stored,
    p_same: impl Fn(f64) -> f64,
    reliability: &Reliability,
    pairs: u64,
) -> Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let (left, right) = root.split_horizontally(SIZE.0 / 2);
    probability(&left, stored, p_same)?;
    reliability_diagram(&right, reliability, pairs)?;
    root.present()?;
    Ok(())
}

type Area<'s> = DrawingArea<SVGBackend<'s>, plotters::coord::Shift>;
type Chart<'c, 's> = ChartContext<'c, SVGBackend<'s>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Axes from 0 to `end` and from 0 to a little above 1: `[title, x, y]`, with so many decimals on the first.
fn axes<'c, 's>(
    area: &'c Area<'s>,
    [title, x, y]: [&str; 3],
    end: f64,
    decimals: usize,
) -> Result<Chart<'c, 's>, Box<dyn std::error::Error>>
where
    's: 'c,
{
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", FONT + 3))
        .margin(10)
        .margin_right(24)
        .x_label_area_size(42)
        .y_label_area_size(54)
        .build_cartesian_2d(0.0..end, 0.0..1.02)?;
    chart
        .configure_mesh()
        .x_desc(x)
        .y_desc(y)
        .label_style(("sans-serif", FONT))
        .x_labels(7)
        .y_labels(6)
        .x_label_formatter(&|x| format!("{x:.decimals$}"))
        .y_label_formatter(&|y| format!("{y:.1}"))
        .max_light_lines(0)
        .draw()?;
    Ok(chart)
}

/// Names of what was drawn.
fn legend<'c, 's: 'c>(
    chart: &mut Chart<'c, 's>,
    place: SeriesLabelPosition,
) -> Result<(), Box<dyn std::error::Error>> {
    chart
        .configure_series_labels()
        .position(place)
        .margin(8)
        .label_font(("sans-serif", FONT))
        .background_style(WHITE.mix(0.9))
        .border_style(GREY.mix(0.5))
        .draw()
        // Its error borrows from the drawing.
        .map_err(|error| error.to_string())?;
    Ok(())
}

fn probability(
    area: &Area<'_>,
    stored: &Stored,
    p_same: impl Fn(f64) -> f64,
) -> Result<(), Box<dyn std::error::Error>> {
    let last = stored.blocks.last().map_or(1.0, |block| block.distance_to);
    let end = if last > 0.0 { last * 1.02 } else { 1.0 };
    let names = ["Probability of one class by distance", "distance", "P(same class)"];
    let mut chart = axes(area, names, end, 2)?;
    let curve = (0..=480).map(|i| f64::from(i) / 480.0 * end).map(|d| (d, p_same(d)));
    chart
        .draw_series(LineSeries::new(curve, BLUE_LINE.stroke_width(2)))?
        .label("isotonic fit")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], BLUE_LINE.stroke_width(2)));
    if let Some(threshold) = stored.threshold.filter(|t| (0.0..=end).contains(t)) {
        let dashed =
            DashedLineSeries::new([(threshold, 0.0), (threshold, 1.02)], 5, 4, ORANGE.stroke_width(2));
        chart
            .draw_series(dashed)?
            .label(format!("threshold {threshold:.3}: FAR {:.4}, TAR {:.3}", stored.far, stored.tar))
            .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], ORANGE.stroke_width(2)));
    }
    legend(&mut chart, SeriesLabelPosition::LowerLeft)
}

fn reliability_diagram(
    area: &Area<'_>,
    reliability: &Reliability,
    pairs: u64,
) -> Result<(), Box<dyn std::error::Error>> {
    let names = [
        "Reliability: each fold by a fit to the others",
        "predicted P(same class)",
        "share of same pairs; share of pairs",
    ];
    let mut chart = axes(area, names, 1.0, 1)?;
    let bars = reliability.bins.iter().map(|bin| {
        let share = bin.count as f64 / pairs.max(1) as f64;
        Rectangle::new([(bin.from + 0.01, 0.0), (bin.to - 0.01, share)], GREY.mix(0.3).filled())
    });
    chart
        .draw_series(bars)?
        .label("share of all pairs in the bin")
        .legend(|(x, y)| Rectangle::new([(x, y - 5), (x + 18, y + 5)], GREY.mix(0.3).filled()));
    chart
        .draw_series(DashedLineSeries::new([(0.0, 0.0), (1.0, 1.0)], 5, 4, GREY.stroke_width(1)))?
        .label("as predicted")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], GREY.stroke_width(1)));
    let points: Vec<(f64, f64)> = reliability.bins.iter().map(|bin| (bin.predicted, bin.observed)).collect();
    chart.draw_series(LineSeries::new(points.clone(), BLUE_LINE.stroke_width(2)))?;
    chart
        .draw_series(points.into_iter().map(|point| Circle::new(point, 4, BLUE_LINE.filled())))?
        .label(format!("seen (Brier score {:.3})", reliability.brier))
        .legend(|(x, y)| Circle::new((x + 9, y), 4, BLUE_LINE.filled()));
    legend(&mut chart, SeriesLabelPosition::UpperLeft)
}
