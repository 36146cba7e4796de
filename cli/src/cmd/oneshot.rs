//! `oneshot`: classification by the nearest of a few candidates, one of each class.

use anyhow::Result;
use nearfar_core::metric::oneshot::{OneShot, is_right};
use serde_json::{Value, json};

use super::Answer;
use super::pairs::Rows;
use crate::args::OneShotArgs;
use crate::data::pairs::read_trials;

pub(super) fn run(args: &OneShotArgs) -> Result<Answer> {
    let rows = Rows::read(&args.embeddings, args.normalize)?;
    let trials = read_trials(&args.trials, rows.count)?;
    let outcome: Vec<(u32, bool)> = trials
        .iter()
        .map(|trial| {
            let distances: Vec<f64> =
                trial.candidates.iter().map(|&candidate| rows.distance(trial.test, candidate)).collect();
            (trial.run, is_right(&distances, trial.right))
        })
        .collect();
    let result = OneShot::of(&outcome);
    let ways = trials[0].candidates.len();
    let mut text = format!("{} trials of {ways} candidates in {} runs\n", trials.len(), result.runs.len());
    text += &format!("{:<16}{:.4}", "accuracy", result.accuracy);
    if let Some(stderr) = result.stderr {
        text += &format!(" +- {stderr:.4} (standard error over runs)");
    }
    text +=
        &format!("\n{:<16}{:.4}\n{:<16}{:.4}\n", "error", 1.0 - result.accuracy, "chance", 1.0 / ways as f64);
    let runs: Vec<Value> = result
        .runs
        .iter()
        .map(|run| json!({ "run": run.run, "trials": run.trials, "right": run.right }))
        .collect();
    let json = json!({
        "trials": trials.len(),
        "ways": ways,
        "accuracy": result.accuracy,
        "error": 1.0 - result.accuracy,
        "accuracy_stderr": result.stderr,
        "runs": runs,
    });
    Ok(Answer { text, json })
}
