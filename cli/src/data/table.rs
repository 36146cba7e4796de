//! Feature tables: CSV, plain or gzip, one sample a row; the class is in the column `label`, or in the last one.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::{Samples, bytes};

/// Reads a table.
pub fn read(path: &Path) -> Result<Samples> {
    parse(&bytes::read(path)?).with_context(|| format!("in {}", path.display()))
}

/// Samples from the text of a table. A first row with a field that is no number, label apart, is a header.
pub fn parse(text: &[u8]) -> Result<Samples> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).trim(csv::Trim::All).from_reader(text);
    let mut records = reader.records();
    let first = records.next().context("the table is empty")?.context("row 1 cannot be read")?;
    ensure!(first.len() >= 2, "row 1 has {} columns; a table has features and a label", first.len());
    let named = first.iter().position(|field| field.eq_ignore_ascii_case("label"));
    let header =
        named.is_some() || first.iter().take(first.len() - 1).any(|field| field.parse::<f32>().is_err());
    let at = named.unwrap_or(first.len() - 1);

    let (mut values, mut names) = (Vec::new(), Vec::new());
    let rows = (!header).then_some(Ok(first)).into_iter().chain(records);
    for (row, record) in (if header { 2.. } else { 1.. }).zip(rows) {
        let record = record.with_context(|| format!("row {row} cannot be read"))?;
        for (column, field) in record.iter().enumerate() {
            if column == at {
                names.push(field.to_owned());
                continue;
            }
            let value: f32 = field
                .parse()
                .ok()
                .with_context(|| format!("row {row}, column {}: `{field}` is no number", column + 1))?;
            ensure!(value.is_finite(), "row {row}, column {}: {field} is not finite", column + 1);
            values.push(value);
        }
    }
    ensure!(!names.is_empty(), "the table has a header and no rows");

    let mut classes: Vec<String> = names.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect();
    // Numbers in the order of numbers, other names by the alphabet.
    if let Ok(mut numbered) =
        classes.iter().map(|name| Ok((name.parse::<i64>()?, name.clone()))).collect::<Result<Vec<_>>>()
    {
        numbered.sort();
        classes = numbered.into_iter().map(|(_, name)| name).collect();
    }
    let index: std::collections::HashMap<&str, u32> = classes.iter().map(String::as_str).zip(0..).collect();
    let labels = names.iter().map(|name| index[name.as_str()]).collect();
    let features = values.len() / names.len();
    Samples::new([1, 1, features], values, labels, classes.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_with_and_without_header_are_read() {
        let samples = parse(b"a,label,b\n1,x,2\n3,y,4\n").unwrap();
        assert_eq!((&samples.values[..], &samples.labels[..]), (&[1.0, 2.0, 3.0, 4.0][..], &[0, 1][..]));
        let samples = parse(b"1,2,10\n3,4,9\n").unwrap();
        assert_eq!(samples.classes, ["9", "10"]);
        assert_eq!(samples.labels, [1, 0]);
    }

    #[test]
    fn mistakes_name_row_and_column() {
        let error = |text: &[u8]| format!("{:#}", parse(text).unwrap_err());
        assert!(error(b"1,2,a\n3,x,b\n").contains("row 2, column 2: `x` is no number"));
        assert!(error(b"1,2,a\nNaN,2,b\n").contains("row 2, column 1: NaN is not finite"));
        assert!(error(b"1,2,a\n3,b\n").contains("row 2"));
        assert!(error(b"f,label\n").contains("no rows"));
    }
}
