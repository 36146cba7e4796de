//! `sample`: negatives for given embeddings, as a csv of triplets.

use anyhow::{Context, Result};
use nearfar_core::{DrawReport, Embeddings, Key, Row, Stream, squared_distance};
use serde_json::json;

use super::{Answer, backend, read_embedded, unit_rows};
use crate::args::{Common, SampleArgs};
use crate::config::{Config, Dimension, DimensionName, Far, SamplerConfig};
use crate::plan;
use crate::recipe::Recipe;
use crate::write::replace_file;

pub(super) fn run(args: &SampleArgs, common: &Common) -> Result<Answer> {
    // Refuses a device that is not there; the rows themselves are few enough for plain loops.
    backend(common)?;
    let set = read_embedded(&args.embeddings, &args.labels)?;
    let unit = unit_rows(&set, args.normalize, &args.embeddings)?;
    let x = Embeddings::new(&unit, set.dim)?;
    let far = plan::parse_far(&args.far)?;
    anyhow::ensure!(
        matches!(far, Far::Number(_)) || args.far == "none",
        "--far {} is none or a distance",
        args.far
    );
    let config = SamplerConfig {
        kind: args.sampler,
        dimension: dimension(&plan::parse_dimension(&args.dimension)?, x, &set.labels),
        near: args.near,
        far,
        empty: args.empty,
    };
    let sampler = plan::build_sampler(&config, set.dim, args.alpha)?;
    anyhow::ensure!(sampler.draws(), "{:?} draws nothing: it takes every negative", args.sampler);
    let key = Key::new(common.seed.unwrap_or(Config::recipe(Recipe::Best).seed), Stream::Negatives, 0);

    let mut csv = String::from("anchor,positive,negative,log_prob\n");
    let mut total = DrawReport::default();
    let (mut distances, mut scratch) = (vec![0.0; x.count()], vec![0.0; x.count()]);
    for anchor in 0..x.count() {
        for (distance, other) in distances.iter_mut().zip(x.rows()) {
            *distance = squared_distance(x.row(anchor), other).sqrt();
        }
        let row = Row { anchor, labels: &set.labels, distances: &distances, beta: 0.0 };
        total = total.plus(sampler.draw_row(&row, args.draws, key, &mut scratch, &mut |draw| {
            let t = draw.triplet;
            csv += &format!("{},{},{},{}\n", t.anchor, t.positive, t.negative, draw.log_prob);
        }));
    }
    replace_file(&args.out, csv.as_bytes()).context("no triplets were written")?;
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
