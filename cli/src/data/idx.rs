//! IDX, the format of MNIST: two zero bytes, a type, a count of dimensions, their sizes (u32, big-endian), the values.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::bytes;

/// Sizes and values of a file; u8 and i16 are read, both become i16.
#[derive(Debug, PartialEq)]
pub struct Idx {
    /// Sizes, outermost first.
    pub sizes: Vec<usize>,
    /// Values in row-major order.
    pub values: Vec<i16>,
}

/// Number of dimensions that a file claims, or `None` if it is no IDX file at all.
pub(super) fn dimensions(path: &Path) -> Option<u8> {
    let mut magic = [0; 4];
    bytes::open(path).ok()?.read_exact(&mut magic).ok()?;
    matches!(magic, [0, 0, 0x08 | 0x0B, _]).then_some(magic[3])
}

/// Reads a file, plain or gzip.
pub fn read(path: &Path) -> Result<Idx> {
    parse(&mut bytes::open(path)?).with_context(|| format!("in {}", path.display()))
}

/// Reads the format from any source. Nothing is allocated beyond the bytes that are really there.
pub fn parse(source: &mut impl Read) -> Result<Idx> {
    let mut magic = [0; 4];
    source.read_exact(&mut magic).context("the IDX header is cut off")?;
    let width = match magic {
        [0, 0, 0x08, _] => 1,
        [0, 0, 0x0B, _] => 2,
        [0, 0, other, _] => bail!("IDX type 0x{other:02x} is not read; 0x08 (u8) and 0x0B (i16) are"),
        _ => bail!("this is no IDX file: it starts with {magic:02x?}"),
    };
    let mut sizes = Vec::new();
    let mut expected: usize = width;
    for dimension in 0..magic[3] {
        let mut size = [0; 4];
        source.read_exact(&mut size).context("the IDX header is cut off")?;
        let size = u32::from_be_bytes(size) as usize;
        sizes.push(size);
        expected = expected
            .checked_mul(size)
            .with_context(|| format!("the sizes of the IDX header overflow at dimension {dimension}"))?;
    }
    ensure!(!sizes.is_empty(), "the IDX header has no dimension");
    ensure!(expected > 0, "the IDX header says that there are no values: sizes {sizes:?}");
    let mut raw = Vec::new();
    source.take(expected as u64 + 1).read_to_end(&mut raw).context("the values cannot be read")?;
    ensure!(
        raw.len() == expected,
        "the IDX header claims {expected} bytes of values, the file holds {}",
        if raw.len() > expected { "more".to_owned() } else { raw.len().to_string() }
    );
    let values = match width {
        1 => raw.into_iter().map(i16::from).collect(),
        _ => raw.as_chunks().0.iter().map(|pair| i16::from_be_bytes(*pair)).collect(),
    };
    Ok(Idx { sizes, values })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_bytes(bytes: &[u8]) -> Result<Idx> {
        parse(&mut &bytes[..])
    }

    #[test]
    fn both_types_are_read() {
        let idx = parse_bytes(&[0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 1, 7, 255]).unwrap();
        assert_eq!(idx, Idx { sizes: vec![2, 1], values: vec![7, 255] });
        let idx = parse_bytes(&[0, 0, 11, 1, 0, 0, 0, 2, 255, 255, 1, 0]).unwrap();
        assert_eq!(idx.values, [-1, 256]);
    }

    #[test]
    fn a_lying_header_allocates_nothing_and_is_named() {
        let mut bytes = vec![0, 0, 8, 3];
        bytes.extend([0xff; 12]);
        assert!(format!("{:#}", parse_bytes(&bytes).unwrap_err()).contains("overflow"));
        let claims = [0, 0, 8, 1, 0x7f, 0, 0, 0, 1, 2];
        assert!(format!("{:#}", parse_bytes(&claims).unwrap_err()).contains("the file holds 2"));
        let more = [0, 0, 8, 1, 0, 0, 0, 1, 1, 2];
        assert!(format!("{:#}", parse_bytes(&more).unwrap_err()).contains("holds more"));
    }

    #[test]
    fn a_cut_header_and_another_format_are_named() {
        assert!(parse_bytes(&[0, 0, 8]).unwrap_err().to_string().contains("cut off"));
        assert!(parse_bytes(b"PK\x03\x04....").unwrap_err().to_string().contains("no IDX"));
        assert!(parse_bytes(&[0, 0, 0x0D, 1, 0, 0, 0, 1]).unwrap_err().to_string().contains("0x0d"));
    }
}
