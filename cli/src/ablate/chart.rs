//! The table as a picture: a point for each cell, with its standard error to both sides.

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::table::{Mean, Table};
use crate::chart::{COLOURS, FONT};

const WIDTH: u32 = 760;
const ROW: u32 = 24;
/// Left of the field, for names.
const NAMES: u32 = 230;
const RECALL: RGBColor = COLOURS[0];
const MAP: RGBColor = COLOURS[1];

/// Recall@1 and MAP@R of each cell; the same table gives the same bytes.
pub(super) fn draw(table: &Table, title: &str) -> Result<String> {
    let mut svg = String::new();
    draw_to(&mut svg, table, title).map_err(|error| anyhow!("cannot draw the table: {error}"))?;
    Ok(svg)
}

fn draw_to(svg: &mut String, table: &Table, title: &str) -> Result<(), Box<dyn std::error::Error>> {
    let rows = table.rows.len();
    let size = (WIDTH, 100 + ROW * rows as u32);
    let root = SVGBackend::with_string(svg, size).into_drawing_area();
    root.fill(&WHITE)?;
    let font = ("sans-serif", FONT);
    root.draw(&Text::new(title.to_owned(), (10, 8), ("sans-serif", FONT + 2)))?;
    for (x, name, colour) in [(10, "Recall@1", RECALL), (110, "MAP@R", MAP)] {
        root.draw(&Circle::new((x + 5, 38), 4, colour.filled()))?;
        root.draw(&Text::new(name, (x + 16, 32), font))?;
    }
    root.draw(&Text::new("unseen classes; mean over seeds and standard error", (190, 32), font))?;
    let (_, field) = root.split_vertically(48);
    let ends = table.rows.iter().flat_map(|row| {
        [row.recall_1, row.map_at_r]
            .map(|m| (m.mean - m.error.unwrap_or(0.0), m.mean + m.error.unwrap_or(0.0)))
    });
    let (low, high) = ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), (a, b)| (l.min(a), h.max(b)));
    let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
    let air = 0.04 * (high - low).max(0.05);
    let mut chart = ChartBuilder::on(&field)
        .margin_right(20)
        .x_label_area_size(36)
        .y_label_area_size(NAMES)
        .build_cartesian_2d(low - air..high + air, 0.0..rows.max(1) as f64)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .y_labels(0)
        .x_desc("share of queries")
        .x_label_formatter(&|x| format!("{x:.2}"))
        .label_style(font)
        .light_line_style(WHITE)
        .max_light_lines(1)
        .draw()?;
    for (at, row) in table.rows.iter().enumerate() {
        // The first row on top.
        let y = rows as f64 - 0.5 - at as f64;
        for (mean, colour) in [(row.recall_1, RECALL), (row.map_at_r, MAP)] {
            let Mean { mean, error } = mean;
            let error = error.unwrap_or(0.0);
            chart.draw_series([PathElement::new(
                [(mean - error, y), (mean + error, y)],
                colour.stroke_width(2),
            )])?;
            chart.draw_series([Circle::new((mean, y), 4, colour.filled())])?;
        }
        let place = chart.plotting_area().map_coordinate(&(low - air, y));
        let best = if table.best == Some(at) { " (best)" } else { "" };
        root.draw(&Text::new(format!("{}{best}", row.cell), (10, place.1 - FONT as i32 / 2), font))?;
    }
    root.present()?;
    Ok(())
}
