//! csv: a sample a line, numbers and a label; the label is the column `label`, or the last.
//!
//! The first line is a header where none of its fields is a number, or where one of them is `label`. Labels are whole
//! numbers or, where one is not, names in alphabetical order.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use csv::{ReaderBuilder, StringRecord, Trim};

use super::{Samples, bytes};

/// Reads a file, gzip or not; every error names it, and the line.
pub(super) fn read(path: &Path) -> Result<Samples> {
    let reader = bytes::open(path)?;
    parse(reader).with_context(|| format!("in {}", path.display()))
}

fn parse(reader: impl Read) -> Result<Samples> {
    let mut lines =
        ReaderBuilder::new().has_headers(false).flexible(true).trim(Trim::All).from_reader(reader);
    let mut record = StringRecord::new();
    let mut values = Vec::new();
    let mut labels: Vec<String> = Vec::new();
    // Fields of a line, and which of them is the label: known from the first line on.
    let mut layout: Option<(usize, usize)> = None;
    while lines.read_record(&mut record).map_err(plain)? {
        let line = record.position().map_or(0, csv::Position::line);
        let (fields, label) = match layout {
            Some(layout) => layout,
            None => {
                ensure!(
                    record.len() >= 2,
                    "line {line} has one field; numbers and a label are needed, between commas"
                );
                let named = record.iter().position(|field| field.eq_ignore_ascii_case("label"));
                let first = (record.len(), named.unwrap_or(record.len() - 1));
                layout = Some(first);
                if named.is_some() || record.iter().all(|field| field.parse::<f32>().is_err()) {
                    continue;
                }
                first
            }
        };
        ensure!(record.len() == fields, "line {line} has {} fields, the first has {fields}", record.len());
        for (column, field) in record.iter().enumerate() {
            if column == label {
                ensure!(!field.is_empty(), "line {line} has an empty label");
                labels.push(field.to_owned());
                continue;
            }
            match field.parse::<f32>() {
                Ok(value) if value.is_finite() => values.push(value),
                _ => bail!("line {line}, field {}: {field:?} is not a number to learn from", column + 1),
            }
        }
    }
    let Some((fields, _)) = layout else { bail!("it has no lines") };
    ensure!(!labels.is_empty(), "it has a header and no lines");
    let shape = [1, 1, fields - 1];
    if let Ok(numbers) = labels.iter().map(|label| label.parse()).collect() {
        return Samples::new(shape, values, numbers);
    }
    let names: Vec<String> = labels.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect();
    // Every label is among the names, so both arms of the search give its place.
    let place = |label: &String| names.binary_search(label).unwrap_or_else(|place| place) as i64;
    Samples::new(shape, values, labels.iter().map(place).collect())?.with_names(&names)
}

/// An error of the reader, with its line first and without the words around it.
pub(super) fn plain(error: csv::Error) -> anyhow::Error {
    let line = error.position().map(csv::Position::line);
    let text = match error.kind() {
        csv::ErrorKind::Utf8 { err, .. } => format!("not text: {err}"),
        csv::ErrorKind::Io(err) => err.to_string(),
        other => format!("{other:?}"),
    };
    match line {
        Some(line) => anyhow::anyhow!("line {line}: {text}"),
        None => anyhow::anyhow!(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &[u8]) -> String {
        format!("{:#}", parse(text).unwrap_err())
    }

    #[test]
    fn the_last_column_is_the_label_with_and_without_a_header() {
        for text in ["1,2,7\n3,4.5,-7\n", "a,b,c\n1,2,7\n3,4.5,-7", "1, 2, 7\r\n\r\n3, 4.5, -7\r\n"] {
            let samples = parse(text.as_bytes()).unwrap();
            assert_eq!(samples.shape, [1, 1, 2], "{text:?}");
            assert_eq!(samples.values(), [1.0, 2.0, 3.0, 4.5], "{text:?}");
            assert_eq!((samples.original, samples.labels), (vec![7, -7], vec![1, 0]), "{text:?}");
        }
    }

    #[test]
    fn a_column_named_label_is_the_label_wherever_it_is() {
        let samples = parse(&b"0,Label,1\n5,2,6\n"[..]).unwrap();
        assert_eq!((samples.values(), &samples.original[..]), (&[5.0, 6.0][..], &[2][..]));
    }

    #[test]
    fn names_are_classes_in_alphabetical_order() {
        let samples = parse(&b"1,Z\n2,A\n3,Z\n"[..]).unwrap();
        assert_eq!(samples.classes, ["A", "Z"]);
        assert_eq!(samples.labels, [1, 0, 1]);
        // One label that is not a number makes all of them names.
        assert_eq!(parse(&b"1,10\n2,9\n3,x\n"[..]).unwrap().classes, ["10", "9", "x"]);
    }

    #[test]
    fn errors_name_the_line() {
        assert!(error(b"1,2,0\n1,abc,0\n").contains("line 2, field 2: \"abc\" is not a number"));
        assert!(error(b"1,nan,0\n").contains("line 1, field 2: \"nan\""));
        assert!(error(b"a,b,l\n1,inf,0\n").contains("line 2, field 2: \"inf\""));
        assert!(error(b"1,1e99,0\n").contains("line 1, field 2: \"1e99\""));
        assert!(error(b"1,abc,3\n").contains("line 1, field 2"));
        assert!(error(b"1,2,0\n1,0\n").contains("line 2 has 2 fields, the first has 3"));
        assert!(error(b"1,2,0\n1,2,\n").contains("line 2 has an empty label"));
        assert!(error(b"1\n2\n").contains("line 1 has one field"));
        assert!(error(b"1,2,\xFF\n").contains("line 1: not text"));
    }

    #[test]
    fn files_without_samples_are_errors() {
        assert!(error(b"\n\n").contains("no lines"));
        assert!(error(b"a,b,label\n").contains("a header and no lines"));
    }

    #[test]
    fn gzip_is_unfolded_and_an_error_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv.gz");
        std::fs::write(&path, bytes::tests::fold(b"1,2,0\n")).unwrap();
        assert_eq!(read(&path).unwrap().values(), [1.0, 2.0]);
        std::fs::write(&path, bytes::tests::fold(b"1,x,0\n")).unwrap();
        assert!(format!("{:#}", read(&path).unwrap_err()).contains("t.csv.gz: line 1"));
    }
}
