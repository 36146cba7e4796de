//! npy, the format of NumPy: embeddings, labels and inputs, read exactly and written whole or not at all.
//!
//! Source: NumPy Enhancement Proposal 1, versions 1 to 3 of the format. The header is read here and not by the
//! library that writes it: that one takes memory for a header of any promised length, and follows nested brackets
//! as deep as they go. Left out: structured, complex, text and pickled values.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use npyz::WriterBuilder;

use super::bytes;
use crate::write::replace_file;

/// Longest header; NumPy itself refuses longer ones.
const HEADER_MAX: usize = 1 << 16;

/// A number of a file, before it becomes an [`Element`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A half or a float.
    F32(f32),
    /// A double.
    F64(f64),
    /// A signed integer.
    Int(i64),
    /// An unsigned integer or a truth value.
    Uint(u64),
}

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            // As short as it may be: 1e300, not three hundred digits.
            Self::F32(value) => write!(f, "{value:?}"),
            Self::F64(value) => write!(f, "{value:?}"),
            Self::Int(value) => value.fmt(f),
            Self::Uint(value) => value.fmt(f),
        }
    }
}

impl Number {
    /// Why it is no [`Element`] of a kind that needs `wanted`: only what is finite has a fault of its own kind.
    pub(super) fn refusal(self, wanted: &str) -> String {
        match self {
            Self::F32(value) if !value.is_finite() => format!("is {self}"),
            Self::F64(value) if !value.is_finite() => format!("is {self}"),
            _ => format!("is {self}: {wanted} is needed"),
        }
    }
}

/// Types of values in memory: f32, f64 and, for labels, i64.
pub trait Element: Copy + npyz::AutoSerialize {
    /// What a number must be to fit, in words.
    const WANTED: &str;

    /// The number in this type, rounded to the nearest if need be; `None` where it does not fit.
    fn of(number: Number) -> Option<Self>;
}

impl Element for f32 {
    const WANTED: &str = "a number within the range of f32";

    fn of(number: Number) -> Option<Self> {
        let value = match number {
            Number::F32(value) => value,
            Number::F64(value) => value as f32,
            Number::Int(value) => value as f32,
            Number::Uint(value) => value as f32,
        };
        value.is_finite().then_some(value)
    }
}

impl Element for f64 {
    const WANTED: &str = "a number";

    fn of(number: Number) -> Option<Self> {
        let value = match number {
            Number::F32(value) => value.into(),
            Number::F64(value) => value,
            Number::Int(value) => value as f64,
            Number::Uint(value) => value as f64,
        };
        value.is_finite().then_some(value)
    }
}

impl Element for i64 {
    const WANTED: &str = "a whole number within the range of i64";

    fn of(number: Number) -> Option<Self> {
        match number {
            Number::Int(value) => Some(value),
            Number::Uint(value) => value.try_into().ok(),
            Number::F32(_) | Number::F64(_) => None,
        }
    }
}

/// Rows of numbers, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix<T> {
    /// Rows, N.
    pub rows: usize,
    /// Numbers in a row, D.
    pub cols: usize,
    /// `[N, D]`.
    pub values: Vec<T>,
}

/// An array with its sizes, outermost first; values in that order.
#[derive(Debug, PartialEq)]
pub(super) struct Array<T> {
    pub(super) sizes: Vec<usize>,
    pub(super) values: Vec<T>,
}

impl<T> Array<T> {
    fn into_matrix(self) -> Result<Matrix<T>> {
        let [rows, cols] = self.sizes[..] else {
            bail!("it has sizes {:?}; rows and columns are needed", self.sizes)
        };
        Ok(Matrix { rows, cols, values: self.values })
    }
}

impl Array<i64> {
    /// Labels: `[N]`, or the `[N, 1]` of a column.
    pub(super) fn into_labels(self) -> Result<Vec<i64>> {
        ensure!(matches!(self.sizes[..], [_] | [_, 1]), "labels have sizes [N], here are {:?}", self.sizes);
        Ok(self.values)
    }
}

/// Reads rows of numbers in type `T`; f32 from f32 and f64 from any float are exact.
///
/// Errors name the file, and the row where a number is not finite (or not whole, for `T` = i64).
///
/// ```
/// use nearfar::data::npy::{Matrix, read_matrix, write};
/// let path = tempfile::tempdir()?.keep().join("e.npy");
/// write(&path, &[2, 1], &[0.6_f32, 0.8])?;
/// assert_eq!(read_matrix(&path)?, Matrix { rows: 2, cols: 1, values: vec![0.6_f32, 0.8] });
/// # std::fs::remove_dir_all(path.parent().unwrap())?;
/// # Ok::<(), anyhow::Error>(())
/// ```
pub fn read_matrix<T: Element>(path: &Path) -> Result<Matrix<T>> {
    read(path, |reader| array(reader)?.into_matrix())
}

/// Rows in the precision that a file keeps them in.
#[derive(Clone, Debug, PartialEq)]
pub enum Rows {
    /// Halves or floats: exact in single precision.
    Single(Matrix<f32>),
    /// Doubles; whole numbers too, which single precision would round.
    Double(Matrix<f64>),
}

/// Reads rows of numbers without rounding any.
pub fn read_rows(path: &Path) -> Result<Rows> {
    read(path, |mut reader| {
        let header = Header::read(&mut reader)?;
        match header.kind == Kind::Float && header.width <= 4 {
            true => Ok(Rows::Single(values(&header, reader)?.into_matrix()?)),
            false => Ok(Rows::Double(values(&header, reader)?.into_matrix()?)),
        }
    })
}

/// Reads labels of any integer type, `[N]` or `[N, 1]`.
pub fn read_labels(path: &Path) -> Result<Vec<i64>> {
    read(path, |reader| array(reader)?.into_labels())
}

/// Writes `values` of these sizes, little-endian and in C order; a crash leaves the old file or the new.
pub fn write<T: Element>(path: &Path, sizes: &[usize], values: &[T]) -> Result<()> {
    ensure!(bytes::product(sizes)? == values.len(), "{} values do not have sizes {sizes:?}", values.len());
    let sizes: Vec<u64> = sizes.iter().map(|&size| size as u64).collect();
    let mut file = Vec::new();
    let mut writer = npyz::WriteOptions::new().default_dtype().shape(&sizes).writer(&mut file).begin_nd()?;
    writer.extend(values.iter())?;
    writer.finish()?;
    replace_file(path, &file)
}

/// Reads an array of a file, gzip or not; every error names it.
pub(super) fn read<R>(path: &Path, parse: impl FnOnce(Box<dyn Read>) -> Result<R>) -> Result<R> {
    let reader = bytes::open(path)?;
    parse(reader).with_context(|| format!("in {}", path.display()))
}

/// Reads an array, and insists that nothing follows it.
pub(super) fn array<T: Element>(mut reader: impl Read) -> Result<Array<T>> {
    let header = Header::read(&mut reader)?;
    values(&header, reader)
}

/// Reads what `header` promises.
fn values<T: Element>(header: &Header, reader: impl Read) -> Result<Array<T>> {
    let count = bytes::product(&header.sizes)?;
    ensure!(count > 0, "it is empty: its sizes are {:?}", header.sizes);
    let stored = bytes::read_exactly(reader, bytes::product(&[count, header.width])?)?;
    let per_row = count / header.sizes.first().map_or(1, |&rows| rows);
    let strides = header.strides();
    let mut values = Vec::with_capacity(count);
    for place in 0..count {
        let at = strides.as_deref().map_or(place, |strides| stored_place(place, &header.sizes, strides));
        let number = header.number(&stored[at * header.width..][..header.width]);
        let value = T::of(number).with_context(|| {
            let (row, column) = (place / per_row, place % per_row);
            format!("row {row}, value {column} {}", number.refusal(T::WANTED))
        })?;
        values.push(value);
    }
    Ok(Array { sizes: header.sizes.clone(), values })
}

/// Where the value that is `place`-th by rows is stored, by the steps of each size.
fn stored_place(mut place: usize, sizes: &[usize], strides: &[usize]) -> usize {
    let mut at = 0;
    for (size, stride) in sizes.iter().zip(strides).rev() {
        at += place % size * stride;
        place /= size;
    }
    at
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Bool,
    Int,
    Uint,
    Float,
}

#[derive(Debug, PartialEq)]
struct Header {
    kind: Kind,
    /// Bytes of a value.
    width: usize,
    big_endian: bool,
    by_columns: bool,
    sizes: Vec<usize>,
}

impl Header {
    fn read(reader: &mut impl Read) -> Result<Self> {
        let mut start = [0_u8; 8];
        reader.read_exact(&mut start).context("it is too short for npy")?;
        ensure!(
            start.starts_with(b"\x93NUMPY"),
            "it is not npy: it starts with {:?}",
            start[..6].escape_ascii().to_string()
        );
        let mut length = [0_u8; 4];
        let places = match start[6] {
            1 => 2,
            2 | 3 => 4,
            version => bail!("its npy version is {version}; 1 to 3 can be read"),
        };
        reader.read_exact(&mut length[..places]).context("it ends within its header")?;
        let length = u32::from_le_bytes(length) as usize;
        ensure!(length <= HEADER_MAX, "its header claims {length} bytes; at most {HEADER_MAX} can be");
        let mut text = vec![0_u8; length];
        reader.read_exact(&mut text).context("it ends within its header")?;
        let text = std::str::from_utf8(&text).context("its header is not text")?;
        Self::parse(text).with_context(|| format!("its header {:?} cannot be read", text.trim_end()))
    }

    /// Parses `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }`, its keys in any order.
    fn parse(text: &str) -> Result<Self> {
        let mut rest = Rest(text.trim());
        let (mut kind, mut by_columns, mut sizes) = (None, None, None);
        rest.expect("{")?;
        while !rest.take("}") {
            let key = rest.quoted()?;
            rest.expect(":")?;
            match key {
                "descr" => kind = Some(number_type(rest.quoted().context("its type is not a single one")?)?),
                "fortran_order" if rest.take("True") => by_columns = Some(true),
                "fortran_order" if rest.take("False") => by_columns = Some(false),
                "shape" => sizes = Some(rest.sizes()?),
                _ => bail!("`{key}` has no meaning there"),
            }
            if !rest.take(",") {
                rest.expect("}")?;
                break;
            }
        }
        ensure!(rest.0.is_empty(), "something follows it");
        let (kind, width, big_endian) = kind.context("`descr` is missing")?;
        let by_columns = by_columns.context("`fortran_order` is missing")?;
        Ok(Self { kind, width, big_endian, by_columns, sizes: sizes.context("`shape` is missing")? })
    }

    /// Steps from a value to the next along each size, where the first size varies fastest.
    fn strides(&self) -> Option<Vec<usize>> {
        self.by_columns.then(|| {
            let before = |place: usize| self.sizes[..place].iter().product();
            (0..self.sizes.len()).map(before).collect()
        })
    }

    /// A value of `width` bytes.
    fn number(&self, bytes: &[u8]) -> Number {
        let join = |bits: u64, &byte: &u8| bits << 8 | u64::from(byte);
        let bits =
            if self.big_endian { bytes.iter().fold(0, join) } else { bytes.iter().rev().fold(0, join) };
        let unused = 64 - 8 * self.width as u32;
        match (self.kind, self.width) {
            (Kind::Float, 2) => Number::F32(half(bits as u16)),
            (Kind::Float, 4) => Number::F32(f32::from_bits(bits as u32)),
            (Kind::Float, _) => Number::F64(f64::from_bits(bits)),
            // Up to the top and down again: the sign comes along.
            (Kind::Int, _) => Number::Int((bits << unused) as i64 >> unused),
            (Kind::Uint | Kind::Bool, _) => Number::Uint(bits),
        }
    }
}

/// Kind, width and order of bytes of `<f4` and the like.
fn number_type(text: &str) -> Result<(Kind, usize, bool)> {
    let unknown = || format!("type '{text}' is not read; f2, f4, f8, i1 to i8, u1 to u8 and b1 are");
    let (order, kind, width) = match text.as_bytes() {
        [order @ (b'<' | b'>' | b'|' | b'='), kind, width] => (order, kind, width),
        _ => bail!(unknown()),
    };
    let (kind, widths): (_, &[u8]) = match kind {
        b'f' => (Kind::Float, b"248"),
        b'i' => (Kind::Int, b"1248"),
        b'u' => (Kind::Uint, b"1248"),
        b'b' => (Kind::Bool, b"1"),
        _ => bail!(unknown()),
    };
    ensure!(widths.contains(width), unknown());
    Ok((kind, usize::from(width - b'0'), *order == b'>'))
}

/// The float of the same value as a half of these bits.
pub(super) fn half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    sign * match exponent {
        0 => fraction * 2_f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1024.0 + fraction) * 2_f32.powi(exponent - 25),
    }
}

/// What is left of a header.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    /// Steps over `token` and the blanks after it, if it is next.
    fn take(&mut self, token: &str) -> bool {
        let after = self.0.strip_prefix(token);
        self.0 = after.map_or(self.0, str::trim_start);
        after.is_some()
    }

    fn expect(&mut self, token: &str) -> Result<()> {
        ensure!(self.take(token), "`{token}` is missing before {:?}", self.0);
        Ok(())
    }

    fn quoted(&mut self) -> Result<&'a str> {
        let quote = if self.0.starts_with('"') { '"' } else { '\'' };
        let inner = self.0.strip_prefix(quote).and_then(|rest| rest.split_once(quote));
        let (text, rest) = inner.with_context(|| format!("a name is missing before {:?}", self.0))?;
        self.0 = rest.trim_start();
        Ok(text)
    }

    fn sizes(&mut self) -> Result<Vec<usize>> {
        self.expect("(")?;
        let (inside, rest) = self.0.split_once(')').context("its sizes do not end")?;
        self.0 = rest.trim_start();
        let numbers = inside.split(',').map(str::trim).filter(|number| !number.is_empty());
        // Python 2 wrote long integers as 3L.
        let parse = |number: &str| number.trim_end_matches('L').parse();
        numbers.map(|number| parse(number).with_context(|| format!("{number:?} is not a size"))).collect()
    }
}

#[cfg(test)]
#[path = "npy_tests.rs"]
pub(super) mod tests;
