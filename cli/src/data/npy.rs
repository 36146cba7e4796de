//! NumPy files: `.npy` arrays and `.npz` archives of them, read and written through the `npyz` crate.
//!
//! That crate trusts headers, so a header is looked at here first: its length, its nesting, and whether the sizes
//! that it claims are backed by bytes.

use std::io::{Cursor, Read};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use npyz::{DType, NpyFile, Order, TypeChar, WriterBuilder};

use super::bytes;
use crate::write::replace_file;

/// Longest header that is looked at; NumPy's own are below 200 bytes.
const LONGEST_HEADER: usize = 1 << 14;

/// An array of numbers.
#[derive(Debug, PartialEq)]
pub struct Array {
    /// Sizes, outermost first.
    pub sizes: Vec<usize>,
    /// Numbers in row-major order.
    pub numbers: Numbers,
}

/// Numbers of a file, by kind.
#[derive(Debug, PartialEq)]
pub enum Numbers {
    /// f32.
    Single(Vec<f32>),
    /// f64.
    Double(Vec<f64>),
    /// Any integer type.
    Integer(Vec<i64>),
}

impl Numbers {
    /// In single precision.
    #[must_use]
    pub fn to_f32(&self) -> Vec<f32> {
        match self {
            Self::Single(v) => v.clone(),
            Self::Double(v) => v.iter().map(|&v| v as f32).collect(),
            Self::Integer(v) => v.iter().map(|&v| v as f32).collect(),
        }
    }

    /// In double precision.
    #[must_use]
    pub fn to_f64(&self) -> Vec<f64> {
        match self {
            Self::Single(v) => v.iter().map(|&v| f64::from(v)).collect(),
            Self::Double(v) => v.clone(),
            Self::Integer(v) => v.iter().map(|&v| v as f64).collect(),
        }
    }
}

/// Looks at a header before the library does. Returns its text.
fn guard(bytes: &[u8]) -> Result<()> {
    ensure!(bytes.starts_with(b"\x93NUMPY"), "this is no npy file");
    let (start, length) = match bytes.get(6..12) {
        Some(&[1, _, a, b, ..]) => (10, u16::from_le_bytes([a, b]) as usize),
        Some(&[2 | 3, _, a, b, c, d]) => (12, u32::from_le_bytes([a, b, c, d]) as usize),
        Some(&[version, ..]) => bail!("npy version {version} is not read"),
        _ => bail!("the npy header is cut off"),
    };
    ensure!(length <= LONGEST_HEADER, "the npy header claims to be {length} bytes long");
    let text = bytes.get(start..start + length).context("the npy header is cut off")?;
    let text = std::str::from_utf8(text).context("the npy header is no text")?;
    let depth = text.chars().filter(|c| "([{".contains(*c)).count();
    ensure!(depth <= 8, "the npy header is nested {depth} deep: no array of numbers");
    let (_, shape) = text.split_once("'shape'").context("the npy header has no shape")?;
    let shape =
        shape.split_once('(').and_then(|(_, rest)| rest.split_once(')')).context("its shape is no tuple")?.0;
    let mut count = 1_usize;
    for size in shape.split(',').map(str::trim).filter(|size| !size.is_empty()) {
        let size: usize = size.parse().ok().with_context(|| format!("`{size}` in its shape is no size"))?;
        count = count.checked_mul(size).with_context(|| format!("the sizes ({shape}) overflow"))?;
    }
    let rest = bytes.len() - start - length;
    ensure!(count <= rest, "the npy header claims {count} numbers, the file holds {rest} bytes");
    Ok(())
}

/// An array from the bytes of a `.npy` file. Nothing is allocated from sizes that the bytes do not back.
pub fn parse(bytes: &[u8]) -> Result<Array> {
    guard(bytes)?;
    let mut rest = bytes;
    let file = NpyFile::new(&mut rest).context("the npy header cannot be read")?;
    let sizes: Vec<usize> = file.shape().iter().map(|&size| size as usize).collect();
    ensure!(
        file.order() == Order::C || sizes.len() < 2,
        "the array is in Fortran order: save numpy.ascontiguousarray(x)"
    );
    let DType::Plain(kind) = file.dtype() else { bail!("a structured array is no array of numbers") };
    let count: usize = sizes.iter().product();
    let width = kind.num_bytes().context("the items have no fixed size")?;
    ensure!(width > 0 && kind.type_char() != TypeChar::Object, "items of type {kind} are no numbers");
    let numbers = match (kind.type_char(), width) {
        (TypeChar::Float, 4) => Numbers::Single(file.into_vec()?),
        (TypeChar::Float, 8) => Numbers::Double(file.into_vec()?),
        (TypeChar::Bool, 1) => {
            Numbers::Integer(file.into_vec::<bool>()?.into_iter().map(i64::from).collect())
        }
        (TypeChar::Int, 1) => Numbers::Integer(file.into_vec::<i8>()?.into_iter().map(i64::from).collect()),
        (TypeChar::Int, 2) => Numbers::Integer(file.into_vec::<i16>()?.into_iter().map(i64::from).collect()),
        (TypeChar::Int, 4) => Numbers::Integer(file.into_vec::<i32>()?.into_iter().map(i64::from).collect()),
        (TypeChar::Int, 8) => Numbers::Integer(file.into_vec()?),
        (TypeChar::Uint, 1) => Numbers::Integer(file.into_vec::<u8>()?.into_iter().map(i64::from).collect()),
        (TypeChar::Uint, 2) => Numbers::Integer(file.into_vec::<u16>()?.into_iter().map(i64::from).collect()),
        (TypeChar::Uint, 4) => Numbers::Integer(file.into_vec::<u32>()?.into_iter().map(i64::from).collect()),
        (TypeChar::Uint, 8) => {
            let wide: Vec<u64> = file.into_vec()?;
            let narrow = wide.into_iter().map(i64::try_from).collect::<Result<_, _>>();
            Numbers::Integer(narrow.context("a number is above 2^63")?)
        }
        _ => bail!("items of type {kind} are not read; f32, f64, bool and integers are"),
    };
    ensure!(rest.is_empty(), "{} bytes follow the {count} numbers of the array", rest.len());
    Ok(Array { sizes, numbers })
}

/// Reads a `.npy` file.
pub fn read(path: &Path) -> Result<Array> {
    parse(&bytes::read(path)?).with_context(|| format!("in {}", path.display()))
}

/// The first array of a `.npz` archive that has one of these names.
pub fn read_member(archive: &[u8], names: &[&str]) -> Result<Array> {
    let mut archive = npyz::npz::NpzArchive::new(Cursor::new(archive)).context("this is no npz archive")?;
    let found: Vec<String> = archive.array_names().map(str::to_owned).collect();
    let name = names.iter().find(|name| found.iter().any(|other| other == *name)).with_context(|| {
        format!("it has no array {}; there are: {}", names.join(" or "), found.join(", "))
    })?;
    let mut bytes = Vec::new();
    let file_name = npyz::npz::file_name_from_array_name(name);
    let mut member = archive.zip_archive().by_name(&file_name).with_context(|| format!("in {file_name}"))?;
    member.read_to_end(&mut bytes).with_context(|| format!("in {file_name}"))?;
    parse(&bytes).with_context(|| format!("in {file_name}"))
}

/// Finite `[N, D]` numbers of a `.npy` file in double precision, and D.
pub fn read_matrix(path: &Path) -> Result<(Vec<f64>, usize)> {
    let array = read(path)?;
    let &[count, dim] = &array.sizes[..] else {
        bail!("{} has sizes {:?}; embeddings are [N, D]", path.display(), array.sizes)
    };
    ensure!(count > 0 && dim > 0, "{} holds {count} rows of {dim} numbers", path.display());
    ensure!(
        !matches!(array.numbers, Numbers::Integer(_)),
        "{} holds integers; embeddings are f32 or f64",
        path.display()
    );
    let values = array.numbers.to_f64();
    if let Some(at) = values.iter().position(|v| !v.is_finite()) {
        bail!("{}: row {} holds NaN or infinity (column {})", path.display(), at / dim, at % dim);
    }
    Ok((values, dim))
}

/// `[N]` integers of a `.npy` file.
pub fn read_labels(path: &Path) -> Result<Vec<i64>> {
    let array = read(path)?;
    let &[_] = &array.sizes[..] else {
        bail!("{} has sizes {:?}; labels are [N]", path.display(), array.sizes)
    };
    match array.numbers {
        Numbers::Integer(labels) => Ok(labels),
        _ => bail!("{} holds numbers with a fraction; labels are integers", path.display()),
    }
}

/// Writes an array, whole or not at all.
pub fn write<T: npyz::Serialize + npyz::AutoSerialize>(
    path: &Path,
    sizes: &[usize],
    values: &[T],
) -> Result<()> {
    let sizes: Vec<u64> = sizes.iter().map(|&size| size as u64).collect();
    let mut bytes = Vec::new();
    let mut writer = npyz::WriteOptions::new().default_dtype().shape(&sizes).writer(&mut bytes).begin_nd()?;
    writer.extend(values.iter())?;
    writer.finish()?;
    replace_file(path, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded() -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        write(&path, &[2, 2], &[1.0_f32, 2.0, 3.0, 4.5]).unwrap();
        std::fs::read(path).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let array = parse(&encoded()).unwrap();
        assert_eq!(array, Array { sizes: vec![2, 2], numbers: Numbers::Single(vec![1.0, 2.0, 3.0, 4.5]) });
    }

    #[test]
    fn every_cut_of_a_file_is_an_error() {
        let bytes = encoded();
        for length in 0..bytes.len() {
            assert!(parse(&bytes[..length]).is_err(), "{length} bytes");
        }
        assert!(parse(&[&bytes[..], b"x"].concat()).unwrap_err().to_string().contains("follow"));
    }

    #[test]
    fn a_lying_header_allocates_nothing_and_is_named() {
        for (shape, word) in [("9999999999999, 9", "claims"), ("9999999999999, 9999999999999", "overflow")] {
            let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}");
            let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
            bytes.extend((header.len() as u16 + 1).to_le_bytes());
            bytes.extend(header.as_bytes());
            bytes.extend(b"\n12345678");
            let error = format!("{:#}", parse(&bytes).unwrap_err());
            assert!(error.contains(word), "{error}");
        }
        let mut long = b"\x93NUMPY\x02\x00".to_vec();
        long.extend([0xff; 4]);
        assert!(parse(&long).unwrap_err().to_string().contains("claims to be"));
    }
}
