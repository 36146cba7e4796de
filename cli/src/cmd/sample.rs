//! `sample`: negatives for given embeddings, as a csv of triplets.

use std::io::Write;
use std::ops::Range;
use std::thread;

use anyhow::Result;
use nearfar_core::{Draw, DrawReport, Embeddings, Key, Row, Stream, squared_distance};
use serde_json::json;

use super::{Answer, backend, ensure_near_and_far, read_embedded, threads, unit_rows};
use crate::args::{Common, SampleArgs};
use crate::config::{Config, Dimension, DimensionName, Far, FarName, SamplerConfig};
use crate::plan;
use crate::recipe::Recipe;
use crate::write::stream_file;

/// Anchors whose lines a thread makes before they are written.
const ANCHORS: usize = 32;

pub(super) fn run(args: &SampleArgs, common: &Common) -> Result<Answer> {
    // Refuses a GPU: log-probabilities are exact, and so in double precision.
    backend(common)?;
    anyhow::ensure!(
        args.far != Far::Named(FarName::Active),
        "--far active follows a boundary, and here is none: give none or a distance"
    );
    let set = read_embedded(&args.embeddings, &args.labels)?;
    ensure_near_and_far(&set, &args.labels)?;
    anyhow::ensure!(
        !args.second || set.originals.len() > 2,
        "--second needs a third class, {} has two",
        args.labels.display()
    );
    let unit = unit_rows(&set, args.normalize, &args.embeddings)?;
    let x = Embeddings::new(&unit, set.dim)?;
    let config = SamplerConfig {
        kind: args.sampler,
        dimension: dimension(&args.dimension, x, &set.labels),
        near: args.near,
        far: args.far,
        empty: args.empty,
    };
    let sampler = plan::build_sampler(&config, set.dim, args.alpha)?;
    let key = Key::new(common.seed.unwrap_or(Config::recipe(Recipe::Best).seed), Stream::Negatives, 0);

    // The lines of a few anchors, and what is to be said of them.
    let lines = |anchors: Range<usize>| {
        let (mut text, mut report) = (Vec::new(), DrawReport::default());
        let (mut distances, mut scratch) = (vec![0.0; x.count()], vec![0.0; x.count()]);
        for anchor in anchors {
            for (distance, other) in distances.iter_mut().zip(x.rows()) {
                *distance = squared_distance(x.row(anchor), other).sqrt();
            }
            let row = Row {
                anchor,
                anchors: set.labels.len(),
                labels: &set.labels,
                distances: &distances,
                beta: 0.0,
            };
            report = report.plus(sampler.draw_row(&row, args.draws, key, &mut scratch, &mut |draw| {
                write_line(&mut text, draw, args.second).expect("memory takes every line");
            }));
        }
        (text, report)
    };
    let total = stream_file(&args.out, |csv| {
        writeln!(csv, "anchor,positive,negative,{}log_prob", if args.second { "second," } else { "" })?;
        let mut total = DrawReport::default();
        // A round gives each thread some anchors; a disk that is full stops the work after one.
        for round in (0..x.count()).step_by(threads(common) * ANCHORS) {
            let end = (round + threads(common) * ANCHORS).min(x.count());
            let parts = thread::scope(|scope| {
                let lines = &lines;
                let start = |first| scope.spawn(move || lines(first..(first + ANCHORS).min(end)));
                let running: Vec<_> = (round..end).step_by(ANCHORS).map(start).collect();
                running.into_iter().map(|thread| thread.join().expect("no thread panics")).collect::<Vec<_>>()
            });
            for (text, report) in parts {
                csv.write_all(&text)?;
                total = total.plus(report);
            }
        }
        Ok(total)
    })?;
    let effective = if total.anchors > 0 { total.effective_negatives / total.anchors as f64 } else { 0.0 };
    let text = format!(
        "{}: {} triplets of {} anchors, {} anchors without a candidate, {effective:.1} effective negatives\n",
        args.out.display(),
        total.triplets,
        total.anchors,
        total.anchors_without_candidate
    );
    let json = json!({
        "triplets": total.triplets,
        "anchors": total.anchors,
        "anchors_without_negative": total.anchors_without_candidate,
        "effective_negatives": effective,
    });
    Ok(Answer { text, json })
}

fn write_line(csv: &mut Vec<u8>, draw: Draw<f64>, second: bool) -> std::io::Result<()> {
    let Draw { triplet: t, log_prob, .. } = draw;
    write!(csv, "{},{},{},", t.anchor, t.positive, t.negative)?;
    if let Some(third) = draw.second.filter(|_| second) {
        write!(csv, "{third},")?;
    }
    writeln!(csv, "{log_prob}")
}

/// The dimension as a number: what follows the data is measured on all negatives.
fn dimension(dimension: &Dimension, x: Embeddings<'_, f64>, labels: &[u32]) -> Dimension {
    let Dimension::Named(name @ (DimensionName::Effective | DimensionName::Fitted)) = *dimension else {
        return *dimension;
    };
    let mut moments = nearfar_core::kernel::NegativeMoments::default();
    for i in 0..x.count() {
        for j in (0..x.count()).filter(|&j| labels[i] != labels[j]) {
            moments.add(1.0 - 0.5 * squared_distance(x.row(i), x.row(j)));
        }
    }
    Dimension::Number(match name {
        DimensionName::Effective => moments.effective_dimension(),
        _ => moments.fitted_dimension(),
    })
}
