//! `calibrate`: P(same class | distance) and a threshold, from pairs whose answer is known.

use anyhow::{Context, Result};
use nearfar_core::metric::reliability::Reliability;
use serde_json::{Value, json};

use super::Answer;
use super::pairs::{Rows, judged};
use crate::args::CalibrateArgs;
use crate::calibration::{self, Calibration};
use crate::report::calibration_chart;
use crate::write::{ensure_writable, replace_file};

pub(super) fn run(args: &CalibrateArgs) -> Result<Answer> {
    ensure_writable([args.out.as_path()].into_iter().chain(args.plot.as_deref()))?;
    let rows = Rows::read(&args.embeddings, args.normalize)?;
    let (pairs, folds) = judged(&rows, &args.pairs)?;
    let naming = || format!("in {}", args.pairs.display());
    let calibration = Calibration::fit(&pairs, args.far).with_context(naming)?;
    let one_fold = folds.iter().all(|fold| *fold == folds[0]);
    let reliability = if one_fold && args.plot.is_none() {
        None
    } else {
        Some(calibration::reliability(&pairs, &folds).with_context(naming)?)
    };
    let stored = calibration.stored();
    if let (Some(path), Some(reliability)) = (&args.plot, &reliability) {
        let svg = calibration_chart(stored, |d| calibration.p_same(d), reliability, stored.pairs)?;
        replace_file(path, svg.as_bytes())?;
    }
    calibration.save(&args.out)?;

    let mut text = format!(
        "{}: {} pairs, {} of one class, {} blocks\nEER {:.4}\n",
        args.out.display(),
        stored.pairs,
        stored.same,
        stored.blocks.len(),
        stored.eer
    );
    text += &match stored.threshold {
        Some(t) => format!("threshold {t:.6}: TAR {:.4}, FAR {:.4}\n", stored.tar, stored.far),
        None => "no threshold keeps this false accept rate: no pair is accepted\n".to_owned(),
    };
    let mut json = serde_json::to_value(stored)?;
    json["reliability"] = Value::Null;
    if let Some(Reliability { bins, brier, error }) = reliability {
        text += &format!(
            "of folds by fits to the others: Brier score {brier:.4}, calibration error {error:.4}\n"
        );
        let bins: Vec<Value> = bins
            .iter()
            .map(|b| {
                json!({ "p_from": b.from, "p_to": b.to, "pairs": b.count, "predicted": b.predicted, "observed": b.observed })
            })
            .collect();
        json["reliability"] = json!({ "bins": bins, "brier": brier, "calibration_error": error });
    }
    Ok(Answer { text, json })
}
