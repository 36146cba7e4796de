//! `metrics.jsonl`: one look a line.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::record::{BINS, Look};
use crate::write::replace_file;

/// Adds a look at the end.
pub fn append(path: &Path, look: &Look) -> Result<()> {
    let line = serde_json::to_string(look)? + "\n";
    let write = || fs::OpenOptions::new().append(true).open(path)?.write_all(line.as_bytes());
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// All looks in order.
pub fn read_looks(path: &Path) -> Result<Vec<Look>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut looks: Vec<Look> = Vec::new();
    for (line, at) in text.lines().zip(1..) {
        let naming = || format!("{}, line {at}", path.display());
        let look: Look = serde_json::from_str(line).with_context(naming)?;
        check(&look, looks.last()).with_context(naming)?;
        looks.push(look);
    }
    Ok(looks)
}

/// An error unless a look is one that a run can have taken after the one before.
fn check(look: &Look, before: Option<&Look>) -> Result<()> {
    if let Some(before) = before {
        ensure!(look.step > before.step, "step {} follows step {}", look.step, before.step);
    }
    for (name, bins, may_lack) in [("negatives", &look.negatives, false), ("drawn", &look.drawn, true)] {
        let good = bins.len() == BINS || may_lack && bins.is_empty();
        ensure!(good, "{name} has {} bins, {BINS} are expected", bins.len());
    }
    for (k, recall) in look.validation.iter().flat_map(|scores| &scores.recall) {
        ensure!((0.0..=1.0).contains(recall), "Recall@{k} = {recall} is no share");
    }
    Ok(())
}

/// Keeps the looks up to `step`: a run that broke off may have looked further than it saved, and its last line may
/// be cut off.
pub fn truncate_to(path: &Path, step: u32) -> Result<()> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let kept = text
        .lines()
        .take_while(|line| serde_json::from_str::<Look>(line).is_ok_and(|look| look.step <= step));
    let kept: String = kept.flat_map(|line| [line, "\n"]).collect();
    replace_file(path, kept.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Scores;

    fn look(step: u32) -> Look {
        Look { step, negatives: vec![1; BINS], ..Look::default() }
    }

    #[test]
    fn a_broken_off_file_is_cut_to_what_was_saved() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        fs::write(&path, "").unwrap();
        for step in [10, 20, 30] {
            append(&path, &look(step)).unwrap();
        }
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"step\":4").unwrap();
        assert!(format!("{:#}", read_looks(&path).unwrap_err()).contains("line 4"));
        truncate_to(&path, 20).unwrap();
        let steps: Vec<u32> = read_looks(&path).unwrap().iter().map(|look| look.step).collect();
        assert_eq!(steps, [10, 20]);
    }
    #[test]
    fn looks_that_no_run_took_are_named_with_their_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let recall = |value| Scores { recall: [("1".to_owned(), value)].into(), ..Scores::default() };
        for (second, words) in [
            (look(10), "step 10 follows step 10"),
            (Look { negatives: vec![1; 7], ..look(20) }, "negatives has 7 bins"),
            (Look { drawn: vec![1; 41], ..look(20) }, "drawn has 41 bins"),
            (Look { validation: Some(recall(1.5)), ..look(20) }, "Recall@1 = 1.5"),
            (Look { validation: Some(recall(f64::NAN)), ..look(20) }, "null"),
        ] {
            fs::write(&path, "").unwrap();
            for look in [&look(10), &second] {
                append(&path, look).unwrap();
            }
            let error = format!("{:#}", read_looks(&path).unwrap_err());
            assert!(error.contains("metrics.jsonl, line 2") && error.contains(words), "{error}");
        }
    }
}
