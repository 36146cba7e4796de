//! Bytes of a file nobody vouches for: memory grows with what is there, never with what a header promises.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use flate2::bufread::MultiGzDecoder;

/// Most bytes that a compressed file may unfold to, 4 GiB: a small file can claim any amount.
const UNFOLDED_MAX: u64 = 1 << 32;

/// Bytes that are asked for at a time.
const CHUNK: usize = 1 << 20;

/// A reader of the file's bytes, unfolded where the first two say gzip.
pub(super) fn open(path: &Path) -> Result<Box<dyn Read>> {
    // Opening a pipe or a terminal would wait for ever.
    let kind = std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    ensure!(kind.is_file(), "{} is not a file", path.display());
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut file = BufReader::with_capacity(1 << 16, file);
    let start = file.fill_buf().with_context(|| format!("cannot read {}", path.display()))?;
    ensure!(!start.is_empty(), "{} is empty", path.display());
    if start.starts_with(&[0x1f, 0x8b]) { Ok(Box::new(unfold(file))) } else { Ok(Box::new(file)) }
}

/// A reader of what a gzip stream unfolds to.
pub(super) fn unfold<'a>(reader: impl BufRead + 'a) -> impl Read + 'a {
    limit(MultiGzDecoder::new(reader))
}

/// The same bytes, and an error where they unfold too far.
pub(super) fn limit<'a>(inner: impl Read + 'a) -> impl Read + 'a {
    Limited { inner, left: UNFOLDED_MAX }
}

/// Fails, instead of ending as `Read::take` does, where there is more than `left`.
struct Limited<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let got = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(got as u64).ok_or_else(|| {
            std::io::Error::other(format!("it unfolds to more than {UNFOLDED_MAX} bytes; give it unpacked"))
        })?;
        Ok(got)
    }
}

/// Exactly `count` bytes, and then the end: fewer or more are errors that say how many belong there.
pub(super) fn read_exactly(reader: impl Read, count: usize) -> Result<Vec<u8>> {
    let limit = (count as u64).saturating_add(1);
    let bytes = read_to_end(reader.take(limit))?;
    ensure!(bytes.len() >= count, "it ends after {} of {count} bytes of values", bytes.len());
    ensure!(bytes.len() == count, "it goes on after its {count} bytes of values");
    Ok(bytes)
}

/// All bytes to the end; memory that cannot be had is an error.
pub(super) fn read_to_end(mut reader: impl Read) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        // At most doubling, as a vector does, but by a request that may fail.
        if bytes.try_reserve(CHUNK).is_err() {
            bail!("its {} bytes and more do not fit into memory", bytes.len());
        }
        if reader.by_ref().take(CHUNK as u64).read_to_end(&mut bytes)? == 0 {
            return Ok(bytes);
        }
    }
}

/// `counts` multiplied, or an error that names them: a product that wraps would pass every later check.
pub(super) fn product(counts: &[usize]) -> Result<usize> {
    counts
        .iter()
        .try_fold(1_usize, |product, &count| product.checked_mul(count))
        .with_context(|| format!("its sizes {counts:?} multiply to more than memory has"))
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;

    use super::*;

    /// The gzip form of `bytes`.
    pub(in crate::data) fn fold(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn exactly_means_neither_fewer_nor_more() {
        assert_eq!(read_exactly(&[1_u8, 2][..], 2).unwrap(), [1, 2]);
        let fewer = read_exactly(&[1_u8][..], 2).unwrap_err().to_string();
        assert_eq!(fewer, "it ends after 1 of 2 bytes of values");
        let more = read_exactly(&[1_u8, 2, 3][..], 2).unwrap_err().to_string();
        assert_eq!(more, "it goes on after its 2 bytes of values");
    }

    #[test]
    fn a_promise_of_many_bytes_reserves_no_more_than_twice_what_is_there() {
        assert!(read_exactly(&[0_u8; 10][..], usize::MAX).unwrap_err().to_string().contains("after 10 of"));
        assert!(read_to_end(&[0_u8; 10][..]).unwrap().capacity() <= 2 * CHUNK);
    }

    #[test]
    fn a_stream_that_unfolds_too_far_is_an_error_and_not_an_end() {
        let mut limited = Limited { inner: std::io::repeat(0), left: 100 };
        assert!(limited.read_to_end(&mut Vec::new()).unwrap_err().to_string().contains("unfolds to more"));
        let mut exact = Limited { inner: &[0_u8; 100][..], left: 100 };
        assert_eq!(exact.read_to_end(&mut Vec::new()).unwrap(), 100);
    }

    #[test]
    fn gzip_is_known_by_its_bytes_and_not_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plain-name");
        std::fs::write(&path, fold(b"hello")).unwrap();
        assert_eq!(read_to_end(open(&path).unwrap()).unwrap(), b"hello");
        std::fs::write(&path, b"hello").unwrap();
        assert_eq!(read_to_end(open(&path).unwrap()).unwrap(), b"hello");
    }

    #[test]
    fn a_folder_an_empty_file_and_a_missing_one_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("empty");
        std::fs::write(&path, b"").unwrap();
        assert!(open(&path).err().unwrap().to_string().ends_with("empty is empty"));
        assert!(open(folder.path()).err().unwrap().to_string().ends_with("is not a file"));
        assert!(open(&folder.path().join("gone")).err().unwrap().to_string().contains("cannot read"));
    }

    #[test]
    fn sizes_that_wrap_are_an_error() {
        assert_eq!(product(&[2, 3]).unwrap(), 6);
        assert!(product(&[usize::MAX, 2]).is_err());
    }
}
