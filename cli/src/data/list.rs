//! A csv that lists pictures: `path,label` and perhaps `split`, which is train, val, test, query or gallery.
//!
//! The first line names the columns, in any order; others are not read. Paths are relative to the folder of the list.
//! Labels are whole numbers or, where one is not, names in alphabetical order. Without a column `split` the set is
//! split by class, as any other.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use csv::{ReaderBuilder, StringRecord, Trim};

use super::gather::{self, Entry, Lists, Place, Reading};
use super::source::Found;
use super::{bytes, table};

/// Names of the columns.
const PATHS: [&str; 4] = ["path", "file", "filename", "image"];
const LABELS: [&str; 2] = ["label", "class"];

/// Longest first line.
const HEADER_MAX: u64 = 1 << 16;

/// Whether the first line of the csv names a column of paths and one of labels.
pub(super) fn is_here(path: &Path) -> Result<bool> {
    let mut start = Vec::new();
    bytes::open(path)?
        .take(HEADER_MAX)
        .read_to_end(&mut start)
        .with_context(|| format!("in {}", path.display()))?;
    let mut header = StringRecord::new();
    let mut lines = ReaderBuilder::new().has_headers(false).trim(Trim::All).from_reader(&start[..]);
    // What cannot be read at all is said by who reads it.
    let read = lines.read_record(&mut header).unwrap_or(false);
    Ok(read && column(&header, &PATHS).is_some() && column(&header, &LABELS).is_some())
}

fn column(header: &StringRecord, names: &[&str]) -> Option<usize> {
    header.iter().position(|field| names.iter().any(|name| field.eq_ignore_ascii_case(name)))
}

/// Reads a set; every error names the list and the line, or the picture.
pub(super) fn read(path: &Path, reading: &Reading) -> Result<Found> {
    let rows = rows(path)?;
    let numbers: Option<Vec<i64>> = rows.iter().map(|row| row.label.parse().ok()).collect();
    let mut names = BTreeMap::new();
    let classes = numbers.unwrap_or_else(|| {
        let sorted: Vec<&String> =
            rows.iter().map(|row| &row.label).collect::<BTreeSet<_>>().into_iter().collect();
        names = (0..).zip(sorted.iter().map(|&name| name.clone())).collect();
        // Every label is among them, so both arms of the search give its place.
        rows.iter().map(|row| sorted.binary_search(&&row.label).unwrap_or_else(|at| at) as i64).collect()
    });
    let split = rows.first().is_some_and(|row| row.split.is_some());
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut lists = Lists { names, ..Lists::default() };
    for (row, class) in rows.into_iter().zip(classes) {
        let entry = Entry { file: folder.join(&row.path), class, area: None, place: Some(row.place.clone()) };
        let part = match row.split.as_deref().map(str::to_lowercase).as_deref() {
            None | Some("train" | "training") => &mut lists.train,
            Some("val" | "valid" | "validation") => lists.validation.get_or_insert_default(),
            Some("test" | "gallery") => &mut lists.test,
            Some("query") => lists.queries.get_or_insert_default(),
            Some(other) => {
                return Err(row
                    .place
                    .error(format!("{other:?} is neither train, val, test, query nor gallery")));
            }
        };
        part.push(entry);
    }
    if !split {
        return gather::whole(lists.train, &lists.names, false, reading).map(Found::Whole);
    }
    ensure!(
        !lists.train.is_empty() && !lists.test.is_empty(),
        "{} has a column `split`, but not both train and test (or gallery) in it",
        path.display()
    );
    lists.into_parts(reading).map(|parts| Found::Parts(Box::new(parts)))
}

struct Row {
    path: String,
    label: String,
    split: Option<String>,
    place: Place,
}

fn rows(path: &Path) -> Result<Vec<Row>> {
    let file = || format!("in {}", path.display());
    let reader = bytes::open(path)?;
    let mut lines = ReaderBuilder::new().has_headers(true).flexible(true).trim(Trim::All).from_reader(reader);
    let header = lines.headers().map_err(table::plain).with_context(file)?.clone();
    let (paths, labels) = (column(&header, &PATHS), column(&header, &LABELS));
    let (Some(paths), Some(labels)) = (paths, labels) else {
        bail!("{} has no columns path and label", path.display())
    };
    let splits = column(&header, &["split"]);
    let list: Arc<Path> = path.into();
    let mut record = StringRecord::new();
    let mut rows = Vec::new();
    while lines.read_record(&mut record).map_err(table::plain).with_context(file)? {
        let number = record.position().map_or(0, csv::Position::line) as usize;
        let place = Place { list: Arc::clone(&list), unit: "line", number };
        let field = |at: usize| {
            let field = record.get(at).filter(|field| !field.is_empty());
            field
                .map(str::to_owned)
                .ok_or_else(|| place.error(format!("it has no {}", header.get(at).unwrap_or("such column"))))
        };
        let (path, label, split) = (field(paths)?, field(labels)?, splits.map(field).transpose()?);
        rows.push(Row { path, label, split, place });
    }
    ensure!(!rows.is_empty(), "{} has a header and no lines", path.display());
    Ok(rows)
}
