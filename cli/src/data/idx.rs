//! IDX, the format of MNIST: `0 0 TYPE NDIM`, NDIM big-endian u32 sizes, then the values.
//!
//! Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits". Of its types, u8 (0x08) and
//! i16 (0x0B, big-endian) are read: images are the one, labels of more than 256 classes the other.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::bytes;

/// Most sizes that an array may have: samples, height, width, channels.
const DIMS_MAX: usize = 4;

/// An array with its sizes, outermost first.
#[derive(Debug, PartialEq)]
pub(super) struct Array {
    pub(super) sizes: Vec<usize>,
    pub(super) values: Values,
}

/// Values as they are stored.
#[derive(Debug, PartialEq)]
pub(super) enum Values {
    U8(Vec<u8>),
    I16(Vec<i16>),
}

impl Array {
    /// The values as numbers.
    pub(super) fn to_f32(&self) -> Vec<f32> {
        match &self.values {
            Values::U8(values) => values.iter().map(|&v| f32::from(v)).collect(),
            Values::I16(values) => values.iter().map(|&v| f32::from(v)).collect(),
        }
    }

    /// The values as labels; only an array of one size holds labels.
    pub(super) fn to_labels(&self) -> Result<Vec<i64>> {
        ensure!(self.sizes.len() == 1, "labels have one size, here are {:?}", self.sizes);
        Ok(match &self.values {
            Values::U8(values) => values.iter().map(|&v| i64::from(v)).collect(),
            Values::I16(values) => values.iter().map(|&v| i64::from(v)).collect(),
        })
    }
}

/// Reads a file, gzip or not; every error names it.
pub(super) fn read(path: &Path) -> Result<Array> {
    let reader = bytes::open(path)?;
    parse(reader).with_context(|| format!("in {}", path.display()))
}

/// Reads an array, and insists that nothing follows it.
pub(super) fn parse(mut reader: impl Read) -> Result<Array> {
    let mut head = [0_u8; 4];
    reader.read_exact(&mut head).context("it is too short for IDX")?;
    let [zero, zero_too, kind, dims] = head;
    ensure!([zero, zero_too] == [0, 0], "it is not IDX: its first two bytes are not 0");
    let dims = usize::from(dims);
    ensure!((1..=DIMS_MAX).contains(&dims), "it has {dims} sizes; 1 to {DIMS_MAX} can be read");
    let mut sizes = Vec::with_capacity(DIMS_MAX);
    for _ in 0..dims {
        let mut size = [0_u8; 4];
        reader.read_exact(&mut size).context("it ends within its sizes")?;
        sizes.push(usize::try_from(u32::from_be_bytes(size))?);
    }
    let count = bytes::product(&sizes)?;
    ensure!(count > 0, "it is empty: its sizes are {sizes:?}");
    let values = match kind {
        0x08 => Values::U8(bytes::read_exactly(reader, count)?),
        0x0B => {
            let stored = bytes::read_exactly(reader, bytes::product(&[count, 2])?)?;
            Values::I16(stored.chunks_exact(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]])).collect())
        }
        _ => bail!("its type is {kind:#04x}; 0x08 (u8) and 0x0b (i16) can be read"),
    };
    Ok(Array { sizes, values })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The IDX form of u8 values.
    pub(in crate::data) fn idx_u8(sizes: &[u32], values: &[u8]) -> Vec<u8> {
        let mut file = vec![0, 0, 0x08, sizes.len() as u8];
        file.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
        file.extend(values);
        file
    }

    /// The IDX form of labels.
    pub(in crate::data) fn idx_i16(labels: &[i16]) -> Vec<u8> {
        let mut file = vec![0, 0, 0x0B, 1];
        file.extend((labels.len() as u32).to_be_bytes());
        file.extend(labels.iter().flat_map(|label| label.to_be_bytes()));
        file
    }

    fn error(file: &[u8]) -> String {
        format!("{:#}", parse(file).unwrap_err())
    }

    #[test]
    fn images_and_labels_are_read_as_written() {
        let images = parse(&idx_u8(&[2, 1, 3], &[0, 1, 2, 253, 254, 255])[..]).unwrap();
        assert_eq!(images.sizes, [2, 1, 3]);
        assert_eq!(images.to_f32(), [0.0, 1.0, 2.0, 253.0, 254.0, 255.0]);
        let labels = parse(&idx_i16(&[-1, 0, 1622])[..]).unwrap();
        assert_eq!(labels.to_labels().unwrap(), [-1, 0, 1622]);
    }

    #[test]
    fn an_array_of_two_sizes_holds_no_labels() {
        let array = parse(&idx_u8(&[1, 2], &[0, 1])[..]).unwrap();
        assert!(array.to_labels().unwrap_err().to_string().contains("[1, 2]"));
    }

    #[test]
    fn every_cut_of_a_file_is_an_error() {
        for whole in [idx_u8(&[2, 2], &[1, 2, 3, 4]), idx_i16(&[1, 2])] {
            for end in 0..whole.len() {
                assert!(parse(&whole[..end]).is_err(), "cut at {end}");
            }
        }
    }

    #[test]
    fn bytes_after_the_values_are_an_error() {
        assert_eq!(error(&idx_u8(&[1], &[1, 2])), "it goes on after its 1 bytes of values");
    }

    #[test]
    fn sizes_that_lie_are_an_error_without_memory_for_them() {
        assert!(error(&idx_u8(&[u32::MAX], &[1])).contains("ends after 1 of 4294967295"));
        assert!(error(&idx_u8(&[u32::MAX; 4], &[1])).contains("more than memory has"));
        assert!(error(&idx_u8(&[u32::MAX, u32::MAX], &[1])).contains("ends after 1 of"));
    }

    #[test]
    fn no_values_no_sizes_and_other_types_are_errors() {
        assert!(error(&idx_u8(&[0, 28, 28], &[])).contains("empty"));
        assert!(error(&idx_u8(&[], &[])).contains("0 sizes"));
        assert!(error(&[0, 0, 0x08, 255]).contains("255 sizes"));
        assert!(error(&[0, 0, 0x0D, 1, 0, 0, 0, 1, 0, 0, 0, 0]).contains("0x0d"));
        assert!(error(b"\x89PNG\r\n").contains("not IDX"));
    }

    #[test]
    fn a_gzip_bomb_is_stopped_at_the_promised_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bomb-idx1-ubyte.gz");
        let mut file = idx_u8(&[10], &[]);
        file.resize(1 << 24, 0);
        std::fs::write(&path, bytes::tests::fold(&file)).unwrap();
        let error = format!("{:#}", read(&path).unwrap_err());
        assert!(error.contains("bomb-idx1-ubyte.gz: it goes on after its 10 bytes"), "{error}");
    }

    #[test]
    fn gzip_that_breaks_off_is_an_error_with_the_file_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cut.gz");
        let whole = bytes::tests::fold(&idx_u8(&[4], &[1, 2, 3, 4]));
        std::fs::write(&path, &whole[..whole.len() - 6]).unwrap();
        assert!(format!("{:#}", read(&path).unwrap_err()).contains("cut.gz"));
    }
}
