//! Pairs of samples and one-shot trials, as tab separated tables of indices.
//!
//! ```text
//! pairs     fold  i  j  same        same: 1 one class, 0 two; a header may name the columns in any order, among others
//! trials    run  test  right  candidate  candidate ...
//! ```
//! The first line is a header where none of its fields is a whole number. Indices count rows of the embeddings from 0.
//! Every error has its line.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use csv::{ReaderBuilder, StringRecord, Trim};

use super::{bytes, table};

/// Two samples, and what is known of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// One row of the embeddings.
    pub i: u32,
    /// The other one.
    pub j: u32,
    /// Fold and answer, where the file has them.
    pub known: Option<Known>,
}

/// What is known of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its fold, any number.
    pub fold: u32,
    /// Whether both are of one class.
    pub same: bool,
}

/// One-shot classification: which of the candidates is of the class of the test?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Its run, any number.
    pub run: u32,
    /// The row to classify.
    pub test: u32,
    /// Rows of the candidates, a class each.
    pub candidates: Vec<u32>,
    /// Place of the right one among them.
    pub right: usize,
}

/// Reads pairs of `count` samples, gzip or not. With `known`, all must say fold and answer; without, a file of the two
/// columns i and j will do, and columns `fold` and `same` are not read.
///
/// ```
/// use nearfar::data::pairs::{Known, Pair, read_pairs};
/// let path = tempfile::tempdir()?.keep().join("p.tsv");
/// std::fs::write(&path, "fold\ti\tj\tsame\n0\t2\t1\t1\n")?;
/// let known = Some(Known { fold: 0, same: true });
/// assert_eq!(read_pairs(&path, 3, true)?, [Pair { i: 2, j: 1, known }]);
/// assert!(read_pairs(&path, 2, true).unwrap_err().to_string().contains("p.tsv"));
/// # std::fs::remove_dir_all(path.parent().unwrap())?;
/// # Ok::<(), anyhow::Error>(())
/// ```
pub fn read_pairs(path: &Path, count: usize, known: bool) -> Result<Vec<Pair>> {
    let reader = bytes::open(path)?;
    parse_pairs(reader, count, known).with_context(|| format!("in {}", path.display()))
}

/// Reads trials on `count` samples, gzip or not; all have as many candidates, at least two.
pub fn read_trials(path: &Path, count: usize) -> Result<Vec<Trial>> {
    let reader = bytes::open(path)?;
    parse_trials(reader, count).with_context(|| format!("in {}", path.display()))
}

/// Columns of a file of pairs.
struct Columns {
    fold: Option<usize>,
    i: usize,
    j: usize,
    same: Option<usize>,
    /// How many there are.
    count: usize,
}

impl Columns {
    /// By the names in the first line; those of the authors' lists of Omniglot pairs are known too.
    fn named(header: &StringRecord, known: bool) -> Result<Self> {
        let find = |names: &[&str]| -> Result<Option<usize>> {
            let named = |field: &str| names.iter().any(|name| field.eq_ignore_ascii_case(name));
            let mut at = header.iter().enumerate().filter(|(_, field)| named(field)).map(|(at, _)| at);
            let first = at.next();
            ensure!(at.next().is_none(), "its first line names the column {} twice", names[0]);
            Ok(first)
        };
        let need = |names: &[&str]| {
            let text = header.iter().collect::<Vec<_>>().join(", ");
            find(names)?.with_context(|| format!("its first line names no column {}, but {text}", names[0]))
        };
        Ok(Self {
            i: need(&["i", "index_a"])?,
            j: need(&["j", "index_b"])?,
            fold: if known { Some(need(&["fold"])?) } else { None },
            same: if known { Some(need(&["same"])?) } else { None },
            count: header.len(),
        })
    }

    /// By their number, where no line names them.
    fn placed(first: &StringRecord, known: bool) -> Result<Self> {
        let count = first.len();
        match count {
            4 => Ok(Self { fold: Some(0), i: 1, j: 2, same: Some(3), count }),
            2 if !known => Ok(Self { fold: None, i: 0, j: 1, same: None, count }),
            _ => bail!(
                "line {} has {count} fields; {} are needed, between tabs, or a first line that names them",
                line_of(first),
                if known { "fold, i, j, same" } else { "i, j (or fold, i, j, same)" }
            ),
        }
    }
}

fn lines(reader: impl Read) -> csv::Reader<impl Read> {
    let mut builder = ReaderBuilder::new();
    // No field of numbers needs quotes, and an open one would swallow the rest of the file.
    builder.has_headers(false).flexible(true).quoting(false).delimiter(b'\t').trim(Trim::All);
    builder.from_reader(reader)
}

fn is_header(record: &StringRecord) -> bool {
    record.iter().all(|field| field.parse::<i64>().is_err())
}

fn line_of(record: &StringRecord) -> u64 {
    record.position().map_or(0, csv::Position::line)
}

/// A whole number of at least 0.
fn number(record: &StringRecord, at: usize) -> Result<u32> {
    let field = &record[at];
    field
        .parse()
        .ok()
        .with_context(|| format!("line {}, field {}: {field:?} is no whole number", line_of(record), at + 1))
}

/// A row of the embeddings.
fn index(record: &StringRecord, at: usize, count: usize) -> Result<u32> {
    let index = number(record, at)?;
    ensure!(
        (index as usize) < count,
        "line {}, field {}: there is no sample {index} among {count}",
        line_of(record),
        at + 1
    );
    Ok(index)
}

fn parse_pairs(reader: impl Read, count: usize, known: bool) -> Result<Vec<Pair>> {
    let mut lines = lines(reader);
    let mut record = StringRecord::new();
    let mut columns: Option<Columns> = None;
    let mut pairs = Vec::new();
    while lines.read_record(&mut record).map_err(table::plain)? {
        let line = line_of(&record);
        let columns = match &columns {
            Some(columns) => columns,
            None if is_header(&record) => {
                columns = Some(Columns::named(&record, known)?);
                continue;
            }
            None => columns.insert(Columns::placed(&record, known)?),
        };
        ensure!(
            record.len() == columns.count,
            "line {line} has {} fields, the first has {}",
            record.len(),
            columns.count
        );
        let (i, j) = (index(&record, columns.i, count)?, index(&record, columns.j, count)?);
        ensure!(i != j, "line {line} pairs sample {i} with itself");
        let known = match (columns.fold, columns.same) {
            (Some(fold), Some(same)) if known => {
                let same = match &record[same] {
                    "0" => false,
                    "1" => true,
                    other => bail!("line {line}, field {}: same is {other:?}, neither 0 nor 1", same + 1),
                };
                Some(Known { fold: number(&record, fold)?, same })
            }
            _ => None,
        };
        pairs.push(Pair { i, j, known });
    }
    ensure!(columns.is_some(), "it has no lines");
    ensure!(!pairs.is_empty(), "it has a header and no pairs");
    Ok(pairs)
}

fn parse_trials(reader: impl Read, count: usize) -> Result<Vec<Trial>> {
    let mut lines = lines(reader);
    let mut record = StringRecord::new();
    let mut trials: Vec<Trial> = Vec::new();
    let mut first = true;
    while lines.read_record(&mut record).map_err(table::plain)? {
        let line = line_of(&record);
        if std::mem::take(&mut first) && is_header(&record) {
            continue;
        }
        ensure!(
            record.len() >= 5,
            "line {line} has {} fields; a run, a test, the right candidate and two candidates or more are needed, \
             between tabs",
            record.len()
        );
        let (run, test) = (number(&record, 0)?, index(&record, 1, count)?);
        let right = index(&record, 2, count)?;
        let candidates: Vec<u32> =
            (3..record.len()).map(|at| index(&record, at, count)).collect::<Result<_>>()?;
        let place = candidates.iter().position(|&candidate| candidate == right);
        let right = place.with_context(|| format!("line {line}: {right} is not among the candidates"))?;
        ensure!(!candidates.contains(&test), "line {line}: the test {test} is a candidate itself");
        let distinct: BTreeSet<u32> = candidates.iter().copied().collect();
        ensure!(distinct.len() == candidates.len(), "line {line} lists a candidate twice");
        if let Some(before) = trials.first() {
            ensure!(
                before.candidates.len() == candidates.len(),
                "line {line} has {} candidates, the first trial has {}",
                candidates.len(),
                before.candidates.len()
            );
        }
        trials.push(Trial { run, test, candidates, right });
    }
    ensure!(!trials.is_empty(), "it holds no trials");
    Ok(trials)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<Pair> {
        parse_pairs(text.as_bytes(), 10, true).unwrap()
    }

    #[test]
    fn columns_are_found_by_place_and_by_name() {
        let wanted = Pair { i: 4, j: 5, known: Some(Known { fold: 3, same: true }) };
        for text in [
            "3\t4\t5\t1\n",
            "fold\ti\tj\tsame\n3\t4\t5\t1\n",
            "Same\tkind\tj\ti\tfold\n1\twithin\t5\t4\t3",
            "fold\tindex_a\tindex_b\tsame\tkind\r\n\r\n3\t 4\t5\t1\tany\r\n",
        ] {
            assert_eq!(pairs(text), [wanted], "{text:?}");
        }
        for text in ["4\t5", "i\tj\n4\t5", "3\t4\t5\t1"] {
            let got = parse_pairs(text.as_bytes(), 10, false).unwrap();
            assert_eq!(got, [Pair { known: None, ..wanted }], "{text:?}");
        }
    }

    #[test]
    fn bad_pairs_are_named_with_their_line() {
        for (text, part) in [
            ("", "no lines"),
            ("\n\n", "no lines"),
            ("fold\ti\tj\tsame\n", "a header and no pairs"),
            ("fold\ti\tk\tsame\n", "names no column j"),
            ("fold\ti\ti\tj\tsame\n", "names the column i twice"),
            ("0\t1\t2\n", "line 1 has 3 fields"),
            ("0,1,2,1\n", "names no column i"),
            ("0\t1\t2\t1\n0\t1\t2\n", "line 2 has 3 fields, the first has 4"),
            ("0\t1\t10\t1\n", "line 1, field 3: there is no sample 10 among 10"),
            ("0\t1\t-2\t1\n", "line 1, field 3: \"-2\" is no whole number"),
            ("0\t1\t2.0\t1\n", "\"2.0\" is no whole number"),
            ("0\t1\t99999999999999999999\t1\n", "is no whole number"),
            ("x\t1\t2\t1\n", "line 1, field 1: \"x\" is no whole number"),
            ("0\t1\t2\t2\n", "same is \"2\", neither 0 nor 1"),
            ("0\t1\t2\ttrue\n", "neither 0 nor 1"),
            ("0\t1\t2\t1\n0\t3\t3\t1\n", "line 2 pairs sample 3 with itself"),
            ("fold\ti\tj\tsame\n0\t\"1\t2\t1\n", "line 2, field 2"),
        ] {
            let error = format!("{:#}", parse_pairs(text.as_bytes(), 10, true).unwrap_err());
            assert!(error.contains(part), "{text:?}: {error}");
        }
        let error = format!("{:#}", parse_pairs(&b"0\t1\t\xFF\t1\n"[..], 10, true).unwrap_err());
        assert!(error.contains("line 1: not text"), "{error}");
    }

    #[test]
    fn trials_know_their_right_candidate() {
        let wanted = Trial { run: 1, test: 9, candidates: vec![2, 3, 4], right: 1 };
        for text in ["1\t9\t3\t2\t3\t4\n", "run\ttest\tright\tcandidates, tab separated\n1\t9\t3\t2\t3\t4"] {
            assert_eq!(parse_trials(text.as_bytes(), 10).unwrap(), std::slice::from_ref(&wanted), "{text:?}");
        }
    }

    #[test]
    fn bad_trials_are_named_with_their_line() {
        for (text, part) in [
            ("", "no trials"),
            ("run\ttest\n", "no trials"),
            ("1\t9\t3\t3\n", "line 1 has 4 fields"),
            ("1\t9\t5\t2\t3\n", "line 1: 5 is not among the candidates"),
            ("1\t3\t2\t2\t3\n", "the test 3 is a candidate itself"),
            ("1\t9\t2\t2\t2\n", "lists a candidate twice"),
            ("1\t9\t2\t2\t3\n1\t9\t2\t2\t3\t4\n", "line 2 has 3 candidates, the first trial has 2"),
            ("1\t10\t2\t2\t3\n", "there is no sample 10 among 10"),
            ("x\t9\t2\t2\t3\n", "line 1, field 1"),
        ] {
            let error = format!("{:#}", parse_trials(text.as_bytes(), 10).unwrap_err());
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }
}
