//! MATLAB's level 5 files: what lists of pictures need of them, which is numbers, text, cells and structures.
//!
//! ```text
//! 128 bytes of head, the last four of them version 0x0100 and "IM"; then elements:
//! type u32, bytes u32, content, padding to 8     or, for up to 4 bytes: type u16, bytes u16, content in 4
//! 14 matrix: flags, sizes, name, content by class        15 compressed: a zlib stream of one element
//! ```
//! Source: "MAT-File Format", The MathWorks. Read here since the crates that know structures panic on broken files.
//! Left out: big-endian files, sparse and complex numbers, objects, and version 7.3, which is another format.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use flate2::read::ZlibDecoder;

use super::bytes;

/// Most bytes of a file, and of what it unfolds to.
const BYTES_MAX: u64 = 256 << 20;

/// Deepest nesting of cells and structures.
const DEPTH_MAX: usize = 8;

/// Most fields of a structure.
const FIELDS_MAX: usize = 256;

/// The content of a variable, by columns.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Numbers(Vec<f64>),
    Text(String),
    Cells(Vec<Value>),
    /// Names of the fields, and the values of one structure after the other.
    Structures(Vec<String>, Vec<Value>),
    /// What cannot be read: only an error where it is wanted.
    Other,
}

impl Value {
    /// The only number.
    pub(super) fn number(&self) -> Option<f64> {
        if let Self::Numbers(numbers) = self
            && let [number] = numbers[..]
        {
            Some(number)
        } else {
            None
        }
    }

    /// The text.
    pub(super) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
}

/// All variables of a file; every error names it.
pub(super) fn read(path: &Path) -> Result<BTreeMap<String, Value>> {
    let file = || format!("in {}", path.display());
    let stored = bytes::read_to_end(bytes::open(path)?.take(BYTES_MAX + 1)).with_context(file)?;
    parse(&stored).with_context(file)
}

fn parse(stored: &[u8]) -> Result<BTreeMap<String, Value>> {
    ensure!(stored.len() as u64 <= BYTES_MAX, "it has more than {BYTES_MAX} bytes");
    let (head, mut rest) = stored.split_at_checked(128).context("it is too short for a MATLAB file")?;
    ensure!(
        !head.starts_with(b"MATLAB 7.3"),
        "it is a MATLAB 7.3 file; save it again with -v7, or give a csv of path,label"
    );
    ensure!(head.ends_with(&[0x00, 0x01, b'I', b'M']), "it is no little-endian MATLAB 5 file");
    let mut variables = BTreeMap::new();
    while !rest.is_empty() {
        let at = stored.len() - rest.len();
        let one = || -> Result<(String, Value, &[u8])> {
            let element = Element::read(rest)?;
            // Only here, at the outermost level, is a compressed element not padded.
            let rest = element.after(element.kind != COMPRESSED);
            if element.kind != COMPRESSED {
                let (name, value) = matrix(&element, 0)?;
                return Ok((name, value, rest));
            }
            let limit = BYTES_MAX + 1;
            let unfolded = bytes::read_to_end(ZlibDecoder::new(element.content).take(limit))?;
            ensure!((unfolded.len() as u64) < limit, "it unfolds to more than {BYTES_MAX} bytes");
            let (name, value) = matrix(&Element::read(&unfolded)?, 0)?;
            Ok((name, value, rest))
        };
        let (name, value, after) = one().with_context(|| format!("element at byte {at}"))?;
        variables.insert(name, value);
        rest = after;
    }
    Ok(variables)
}

const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;

/// A piece of a file: its type, its content and what follows.
struct Element<'a> {
    kind: u32,
    content: &'a [u8],
    /// From the content on.
    from: &'a [u8],
    /// Whether type, length and content shared eight bytes.
    small: bool,
}

impl<'a> Element<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self> {
        let (tag, from) = bytes.split_at_checked(8).context("it ends within the head of an element")?;
        let word = |at: usize| u32::from_le_bytes([tag[at], tag[at + 1], tag[at + 2], tag[at + 3]]);
        let (kind, length) = (word(0), word(4) as usize);
        if kind >> 16 != 0 {
            let length = (kind >> 16) as usize;
            ensure!(length <= 4, "a small element claims {length} bytes");
            return Ok(Self { kind: kind & 0xFFFF, content: &tag[4..4 + length], from, small: true });
        }
        let content = from.get(..length);
        let content =
            content.with_context(|| format!("an element ends after {} of {length} bytes", from.len()))?;
        Ok(Self { kind, content, from, small: false })
    }

    /// What follows it; padding that the last element of a file lacks is not missed.
    fn after(&self, padded: bool) -> &'a [u8] {
        if self.small {
            return self.from;
        }
        let length = self.content.len();
        let end = if padded { length.next_multiple_of(8) } else { length };
        self.from.get(end..).unwrap_or(&[])
    }

    /// Its content as numbers, whatever type they are stored in.
    fn numbers(&self) -> Result<Vec<f64>> {
        let width = match self.kind {
            1 | 2 => 1,
            3 | 4 => 2,
            5..=7 => 4,
            9 | 12 | 13 => 8,
            other => bail!("type {other} holds no numbers"),
        };
        ensure!(
            self.content.len().is_multiple_of(width),
            "numbers of {width} bytes in {}",
            self.content.len()
        );
        let number = |stored: &[u8]| {
            let mut wide = [0; 8];
            wide[..width].copy_from_slice(stored);
            let bits = u64::from_le_bytes(wide);
            match self.kind {
                1 => f64::from(wide[0] as i8),
                3 => f64::from(bits as u16 as i16),
                5 => f64::from(bits as u32 as i32),
                7 => f64::from(f32::from_bits(bits as u32)),
                9 => f64::from_bits(bits),
                12 => bits as i64 as f64,
                _ => bits as f64,
            }
        };
        Ok(self.content.chunks_exact(width).map(number).collect())
    }

    /// Its content as text.
    fn text(&self) -> Result<String> {
        Ok(match self.kind {
            1 | 2 | 16 => String::from_utf8_lossy(self.content).into_owned(),
            4 | 17 => {
                let units: Vec<u16> =
                    self.content.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
                String::from_utf16_lossy(&units)
            }
            other => bail!("type {other} holds no text"),
        })
    }
}

/// Elements one after the other.
struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    fn next(&mut self) -> Result<Element<'a>> {
        let element = Element::read(self.0)?;
        self.0 = element.after(true);
        Ok(element)
    }
}

/// The name and the content of a matrix.
fn matrix(element: &Element<'_>, depth: usize) -> Result<(String, Value)> {
    ensure!(depth < DEPTH_MAX, "it is nested more than {DEPTH_MAX} deep");
    ensure!(element.kind == MATRIX, "type {} where a matrix is needed", element.kind);
    if element.content.is_empty() {
        return Ok((String::new(), Value::Numbers(Vec::new())));
    }
    let mut parts = Elements(element.content);
    let flags = parts.next()?;
    let class = *flags.content.first().context("a matrix has no class")?;
    let sizes = parts.next()?.numbers()?;
    let name = parts.next()?.text()?;
    let whole = |size: &f64| (*size >= 0.0 && size.fract() == 0.0).then_some(*size as usize);
    let sizes: Vec<usize> = sizes
        .iter()
        .map(whole)
        .collect::<Option<_>>()
        .with_context(|| format!("`{name}` has sizes {sizes:?}"))?;
    let count = bytes::product(&sizes)?;
    let place = || format!("in `{name}`");
    let value = match class {
        1 => Value::Cells(values(&mut parts, count, depth).with_context(place)?),
        2 => {
            let length = parts.next()?.numbers()?.first().map_or(0, |&length| length as usize);
            ensure!(length > 0, "`{name}` has fields without names");
            let names = parts.next()?;
            let fields: Vec<String> = names
                .content
                .chunks_exact(length)
                .map(|name| String::from_utf8_lossy(name).trim_end_matches('\0').to_owned())
                .collect();
            ensure!(
                (1..=FIELDS_MAX).contains(&fields.len()),
                "`{name}` has {} fields; 1 to {FIELDS_MAX} can be read",
                fields.len()
            );
            let all = bytes::product(&[count, fields.len()])?;
            let values = values(&mut parts, all, depth).with_context(place)?;
            Value::Structures(fields, values)
        }
        4 => Value::Text(parts.next()?.text().with_context(place)?),
        6..=15 => {
            let numbers = parts.next()?.numbers().with_context(place)?;
            ensure!(numbers.len() == count, "`{name}` has {} of {count} numbers", numbers.len());
            Value::Numbers(numbers)
        }
        _ => Value::Other,
    };
    Ok((name, value))
}

/// So many matrices, one after the other.
fn values(parts: &mut Elements<'_>, count: usize, depth: usize) -> Result<Vec<Value>> {
    // Each has a head of eight bytes at least: no memory for more than there can be.
    ensure!(count <= parts.0.len() / 8, "it claims {count} values in {} bytes", parts.0.len());
    (0..count)
        .map(|at| {
            let (_, value) = matrix(&parts.next()?, depth + 1).with_context(|| format!("value {at}"))?;
            Ok(value)
        })
        .collect()
}

#[cfg(test)]
#[path = "mat_tests.rs"]
pub(super) mod tests;
