//! `isotonic`: the monotone curve through a csv of points.

use anyhow::{Context, Result, ensure};
use nearfar_core::isotonic::{Direction, Isotonic, Options, Risk};
use serde_json::json;

use super::Answer;
use crate::args::{DirectionArg, IsotonicArgs};
use crate::write::replace_file;

/// Columns of the input.
#[derive(serde::Deserialize)]
struct Point {
    x: f64,
    y: f64,
    weight: Option<f64>,
}

pub(super) fn run(args: &IsotonicArgs) -> Result<Answer> {
    let naming = || format!("in {}", args.input.display());
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(&args.input).with_context(naming)?;
    let (mut x, mut y, mut weights) = (Vec::new(), Vec::new(), Vec::new());
    for (row, point) in (2..).zip(reader.deserialize()) {
        let point: Point = point.with_context(|| format!("{}, line {row}", args.input.display()))?;
        x.push(point.x);
        y.push(point.y);
        weights.push(point.weight.unwrap_or(1.0));
    }
    ensure!(!x.is_empty(), "{} holds no points: it needs columns x,y and rows", args.input.display());
    let direction = match args.direction {
        DirectionArg::Increasing => Direction::Increasing,
        DirectionArg::Decreasing => Direction::Decreasing,
        DirectionArg::Auto => Direction::Auto,
    };
    let risk = args.quantile.map_or(Risk::Mean, Risk::Quantile);
    let curve = Isotonic::fit(&x, &y, Some(&weights), Options { direction, risk, ..Options::default() })
        .with_context(|| format!("{} (points are counted from 0)", args.input.display()))?;

    let mut csv = String::from("x,y,fit\n");
    for ((x, y), fit) in x.iter().zip(&y).zip(curve.fitted()) {
        csv += &format!("{x},{y},{fit}\n");
    }
    replace_file(&args.out, csv.as_bytes())?;
    let blocks: Vec<_> = curve
        .blocks()
        .iter()
        .map(
            |b| json!({ "start": b.start, "from": b.from, "to": b.to, "weight": b.weight, "level": b.level }),
        )
        .collect();
    let text = format!("{}: {} points in {} blocks\n", args.out.display(), x.len(), blocks.len());
    Ok(Answer { text, json: json!({ "increasing": curve.is_increasing(), "blocks": blocks }) })
}
