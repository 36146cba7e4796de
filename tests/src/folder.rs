//! Folders as wholes: what lies in them, byte by byte.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// All files of a folder by name.
///
/// # Panics
/// If the folder or a file in it cannot be read, or it holds a folder.
#[must_use]
pub fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap()))
        .collect()
}

/// Both hold the same files with the same bytes.
///
/// # Panics
/// If not, naming the file.
pub fn assert_same(one: &Path, other: &Path) {
    let (one, other) = (content(one), content(other));
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&one), names(&other));
    for (name, bytes) in &one {
        assert!(bytes == &other[name], "{name} differs");
    }
}
