//! Reading files whole: plain or gzip, told apart by their first bytes.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use flate2::bufread::MultiGzDecoder;

/// A reader of the content of a file, unpacked if it is gzip.
pub(super) fn open(path: &Path) -> Result<Box<dyn Read>> {
    let naming = || format!("cannot read {}", path.display());
    let mut file = BufReader::new(File::open(path).with_context(naming)?);
    let start = std::io::BufRead::fill_buf(&mut file).with_context(naming)?;
    ensure!(!start.is_empty(), "{} is empty", path.display());
    let packed = start.starts_with(&[0x1f, 0x8b]);
    Ok(if packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) })
}

/// The content of a file. Memory grows with what is really there, whatever a header claims.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes).with_context(|| format!("cannot read {}", path.display()))?;
    ensure!(!bytes.is_empty(), "{} is empty", path.display());
    Ok(bytes)
}
