//! `verify`: how well a distance tells pairs of one class from pairs of two.

use anyhow::{Context, Result};
use nearfar_core::metric::reliability::Reliability;
use nearfar_core::metric::verify::{Crossing, KFold, Roc};
use serde_json::{Map, Value, json};

use super::Answer;
use super::pairs::{Rows, judged};
use crate::args::VerifyArgs;
use crate::calibration::{BINS, Calibration};

pub(super) fn run(args: &VerifyArgs) -> Result<Answer> {
    let calibration = args.calibration.as_deref().map(Calibration::load).transpose()?;
    let rows = Rows::read(&args.embeddings, args.normalize)?;
    let (pairs, folds) = judged(&rows, &args.pairs)?;
    let naming = || format!("in {}", args.pairs.display());
    let roc = Roc::of(&pairs).with_context(naming)?;
    let cross = KFold::of(&pairs, &folds).with_context(naming)?;
    let (same, different) = roc.counts();

    let mut text = format!("{} pairs, {same} of one class, {} folds\n", pairs.len(), cross.folds.len());
    text += &format!("{:<16}{:.4} +- {:.4} (standard error)\n", "accuracy", cross.mean, cross.stderr);
    let (eer, hull) = (roc.eer(Crossing::Points), roc.eer(Crossing::Hull));
    for (name, value) in [("EER", eer), ("EER of the hull", hull), ("AUC", roc.auc())] {
        text += &format!("{name:<16}{value:.4}\n");
    }
    let mut rates = Map::new();
    for &far in &args.far {
        let point = roc.at_far(far)?;
        let accepted = (point.far * different as f64).round();
        let name = format!("TAR@FAR {far}");
        text += &format!("{name:<16}{:.4} ({accepted} of {different} different pairs accepted)\n", point.tar);
        rates.insert(far.to_string(), json!(point.tar));
    }
    let folds: Vec<Value> = cross
        .folds
        .iter()
        .map(|f| {
            json!({ "fold": f.fold, "pairs": f.pairs, "threshold": finite(f.threshold), "accuracy": f.accuracy })
        })
        .collect();
    let mut json = json!({
        "pairs": pairs.len(),
        "same": same,
        "dim": rows.dim,
        "accuracy_mean": cross.mean,
        "accuracy_stderr": cross.stderr,
        "eer": eer,
        "eer_hull": hull,
        "auc": roc.auc(),
        "tar_at_far": rates,
        "folds": folds,
    });
    if let Some(calibration) = calibration {
        let point = roc.at_threshold(calibration.threshold());
        let predicted: Vec<f64> = pairs.iter().map(|pair| calibration.p_same(pair.distance)).collect();
        let truth: Vec<bool> = pairs.iter().map(|pair| pair.same).collect();
        let Reliability { brier, error, .. } = Reliability::of(&predicted, &truth, BINS);
        text += &format!(
            "by the calibration: accuracy {:.4}, TAR {:.4}, FAR {:.4}, Brier score {brier:.4}, calibration error {error:.4}\n",
            point.accuracy, point.tar, point.far
        );
        json["calibration"] = json!({
            "threshold": finite(point.threshold),
            "accuracy": point.accuracy,
            "tar": point.tar,
            "far": point.far,
            "brier": brier,
            "calibration_error": error,
        });
    }
    Ok(Answer { text, json })
}

/// JSON has no infinity: a threshold that accepts nothing is `null`.
fn finite(threshold: f64) -> Option<f64> {
    threshold.is_finite().then_some(threshold)
}
