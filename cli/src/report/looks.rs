//! `metrics.jsonl`: one look a line.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

use crate::record::Look;
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
    let parse = |(at, line)| {
        serde_json::from_str(line).with_context(|| format!("{}, line {}", path.display(), at + 1))
    };
    text.lines().enumerate().map(parse).collect()
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

    #[test]
    fn a_broken_off_file_is_cut_to_what_was_saved() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        fs::write(&path, "").unwrap();
        for step in [10, 20, 30] {
            append(&path, &Look { step, ..Look::default() }).unwrap();
        }
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"step\":4").unwrap();
        assert!(format!("{:#}", read_looks(&path).unwrap_err()).contains("line 4"));
        truncate_to(&path, 20).unwrap();
        let steps: Vec<u32> = read_looks(&path).unwrap().iter().map(|look| look.step).collect();
        assert_eq!(steps, [10, 20]);
    }
}
