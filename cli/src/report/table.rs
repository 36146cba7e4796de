//! The table that a run prints at its end.

use std::fmt::Write;

use crate::record::{Scores, Summary};

/// Rows of the table: what, and how good.
pub(super) fn rows(summary: &Summary) -> [(&'static str, &Scores); 3] {
    [
        ("raw input", &summary.baselines.raw),
        ("untrained network", &summary.baselines.untrained),
        ("trained network", &summary.test),
    ]
}

/// Quality on the unseen classes, beside what needs no training.
#[must_use]
pub fn scores_table(summary: &Summary) -> String {
    let [samples, classes] = summary.unseen;
    let mut text = format!("{}: {samples} samples of {classes} unseen classes\n\n", summary.data);
    let names: Vec<String> = summary.test.recall.keys().map(|k| format!("R@{k}")).collect();
    let mut line = |head: &str, cells: &[String]| {
        let _ = write!(text, "{head:<18}");
        for cell in cells {
            let _ = write!(text, "{cell:>8}");
        }
        text.push('\n');
    };
    line("", &[&names[..], &["MAP@R".to_owned(), "R-prec".to_owned()]].concat());
    for (head, scores) in rows(summary) {
        let values = scores.recall.values().chain([&scores.map_at_r, &scores.r_precision]);
        line(head, &values.map(|v| format!("{v:.3}")).collect::<Vec<_>>());
    }
    text
}
