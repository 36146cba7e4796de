//! `density`: the law of distances on the sphere, in numbers and as a drawing.

use anyhow::{Result, ensure};
use nearfar_core::{Cap, Density, EmptyRow, FarCut, Weighting};
use serde_json::json;

use super::Answer;
use crate::args::DensityArgs;
use crate::chart::{Chart, Figure, Series};
use crate::write::replace_file;

/// Distances that are listed where none are asked for.
const DEFAULT: [f64; 7] = [0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75];

pub(super) fn run(args: &DensityArgs) -> Result<Answer> {
    let density = Density::new(args.n)?;
    let weighting = Weighting::new(args.n, Cap::Near(args.near), FarCut::None, EmptyRow::Skip)?;
    let at = if args.at.is_empty() { &DEFAULT[..] } else { &args.at };
    let mut text = format!(
        "n {}  ln Z {:.6}  mean {:.6}  variance {:.6}  mode {:.6}  median {:.6}\n{:>8}{:>14}{:>14}{:>14}{:>14}\n",
        args.n,
        density.ln_z(),
        density.mean(),
        density.variance(),
        density.mode(),
        density.median(),
        "d",
        "q",
        "ln q",
        "cdf",
        "ln weight"
    );
    let mut rows = Vec::new();
    for &d in at {
        ensure!((0.0..=2.0).contains(&d), "--at holds {d}; distances on the sphere lie within 0 and 2");
        let (ln_q, cdf, ln_weight) = (density.ln_q(d), density.cdf(d), weighting.ln_weight(d));
        let q = ln_q.exp();
        text += &format!("{d:>8}{q:>14.6e}{ln_q:>14.6}{cdf:>14.6e}{ln_weight:>14.6}\n");
        rows.push(json!({ "d": d, "q": q, "ln_q": ln_q, "cdf": cdf, "ln_weight": ln_weight }));
    }
    if let Some(path) = &args.plot {
        replace_file(path, picture(&density, &weighting, args.near)?.as_bytes())?;
    }
    let json = json!({
        "n": args.n,
        "ln_z": density.ln_z(),
        "mean": density.mean(),
        "variance": density.variance(),
        "mode": density.mode(),
        "median": density.median(),
        "rows": rows,
    });
    Ok(Answer { text, json })
}

/// The density, and the capped weights as a share of the cap, stretched to the same height.
fn picture(density: &Density, weighting: &Weighting<f64>, near: f64) -> Result<String> {
    let points = |f: &dyn Fn(f64) -> f64| -> Vec<(f64, f64)> {
        (0..=400).map(|i| f64::from(i) * 0.005).map(|d| (d, f(d))).collect()
    };
    let curve = points(&|d| density.ln_q(d).exp());
    let top = curve.iter().map(|p| p.1).filter(|q| q.is_finite()).fold(0.0, f64::max);
    let cap = weighting.ln_weight(near);
    let weights = points(&|d| top * (weighting.ln_weight(d) - cap).exp());
    let series =
        vec![Series::line("density q(d)", curve), Series::line("weight, its cap as high as q", weights)];
    let chart = Chart::new("distance (chord length, 0 to 2)", "density (per unit of distance)", series);
    let title = format!("Distances of random points, n = {}", density.dimension());
    Figure {
        title: &title,
        note: format!("Weights 1/q(d), capped at their value at d = {near}."),
        columns: 1,
        panel: (640, 380),
        charts: vec![chart],
    }
    .draw()
}
