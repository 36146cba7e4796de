//! Writing files whole or not at all.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use tempfile::NamedTempFile;

/// Puts `bytes` at `path`: written beside it first, then renamed, so that a crash leaves the old file or the new.
pub fn replace_file(path: &Path, bytes: &[u8]) -> Result<()> {
    stream_file(path, |file| Ok(file.write_all(bytes)?))
}

/// As [`replace_file`], for what is too long to be held: `write` is given the file beside `path`. Its error leaves
/// the old file.
pub fn stream_file<V>(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<V>) -> Result<V> {
    let naming = || format!("cannot write {}", path.display());
    let mut file = BufWriter::new(beside(path)?);
    let value = write(&mut file).with_context(naming)?;
    let finish = || -> std::io::Result<()> {
        let file = file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        // A temporary file is private; the result should be as readable as any other new file.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644))?;
        }
        file.persist(path)?;
        Ok(())
    };
    finish().with_context(naming)?;
    Ok(value)
}

/// An error unless each of `paths` can be written: so that work whose last file has no place leaves no first one.
pub fn ensure_writable<'p>(paths: impl IntoIterator<Item = &'p Path>) -> Result<()> {
    for path in paths {
        ensure!(!path.is_dir(), "cannot write {}: it is a folder", path.display());
        drop(beside(path)?);
    }
    Ok(())
}

/// An error unless there is nothing at `path`, or an empty folder: what is there stays as it is.
pub fn ensure_vacant(path: &Path) -> Result<()> {
    if path.is_dir() {
        let mut entries =
            fs::read_dir(path).with_context(|| format!("cannot look into {}", path.display()))?;
        ensure!(
            entries.next().is_none(),
            "{} exists already and is not empty: choose another --out",
            path.display()
        );
        return Ok(());
    }
    ensure!(!path.exists(), "{} exists already and is no folder: choose another --out", path.display());
    Ok(())
}

/// A temporary file in the folder of `path`.
fn beside(path: &Path) -> Result<NamedTempFile> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    tempfile::Builder::new()
        .prefix(".nearfar-")
        .tempfile_in(folder)
        .with_context(|| format!("cannot write {}", path.display()))
}
