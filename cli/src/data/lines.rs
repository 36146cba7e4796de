//! Lists in text files: a picture, a class or a pair a line, its fields between blanks.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};

use super::bytes;
use super::gather::Place;

/// Most bytes of a list, 256 MiB: the largest that is known has 8.
const LIST_MAX: u64 = 256 << 20;

/// A text file, line by line.
#[derive(Debug)]
pub(super) struct Lines {
    path: Arc<Path>,
    text: String,
}

/// A line that is not blank.
#[derive(Clone, Debug)]
pub(super) struct Line<'a> {
    pub(super) place: Place,
    text: &'a str,
}

impl Lines {
    /// Reads a file. Errors name it: it cannot be read, is too long, or (with the line) is not text.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let reader = bytes::open(path)?;
        let stored = bytes::read_to_end(reader.take(LIST_MAX + 1))
            .with_context(|| format!("in {}", path.display()))?;
        ensure!(
            stored.len() as u64 <= LIST_MAX,
            "{} has more than {LIST_MAX} bytes: it is no list",
            path.display()
        );
        let text = String::from_utf8(stored).map_err(|error| {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = 1 + good.iter().filter(|&&byte| byte == b'\n').count();
            anyhow::anyhow!("in {}, line {line}: it is not text", path.display())
        })?;
        Ok(Self { path: path.into(), text })
    }

    /// All lines that are not blank.
    pub(super) fn iter(&self) -> impl Iterator<Item = Line<'_>> {
        self.text.lines().zip(1..).filter(|(text, _)| !text.trim().is_empty()).map(|(text, number)| Line {
            place: Place { list: Arc::clone(&self.path), unit: "line", number },
            text,
        })
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl<'a> Line<'a> {
    /// Its fields, which must be `N` in number; `what` says in words what they are.
    pub(super) fn fields<const N: usize>(&self, what: &str) -> Result<[&'a str; N]> {
        let fields: Vec<&str> = self.text.split_whitespace().collect();
        let count = fields.len();
        fields
            .try_into()
            .map_err(|_| self.place.error(format!("it has {count} fields; {N} are needed: {what}")))
    }

    /// Its first field and the rest of it, which may hold blanks.
    pub(super) fn first_and_rest(&self, what: &str) -> Result<(&'a str, &'a str)> {
        let text = self.text.trim();
        let parts = text.split_once(char::is_whitespace).map(|(first, rest)| (first, rest.trim_start()));
        parts.ok_or_else(|| self.place.error(format!("it has one field; {what} are needed")))
    }

    /// A field as a number.
    pub(super) fn number<T: FromStr>(&self, field: &str, what: &str) -> Result<T> {
        field.parse().map_err(|_| self.place.error(format!("{field:?} is no {what}")))
    }

    /// A field as a path below `root`: a list that somebody else made must not lead out of its folder.
    pub(super) fn path(&self, root: &Path, field: &str) -> Result<PathBuf> {
        below(root, field)
            .ok_or_else(|| self.place.error(format!("{field:?} leads out of {}", root.display())))
    }

    /// Puts something under a number of the list; twice is an error.
    pub(super) fn insert<T>(&self, map: &mut BTreeMap<i64, T>, number: i64, value: T) -> Result<()> {
        ensure!(map.insert(number, value).is_none(), self.place.error(format!("{number} is there twice")));
        Ok(())
    }
}

/// A relative path below `root`; `None` if it is none.
pub(super) fn below(root: &Path, relative: &str) -> Option<PathBuf> {
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    (!relative.is_empty() && Path::new(relative).components().all(plain)).then(|| root.join(relative))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8]) -> Result<Lines> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list.txt");
        std::fs::write(&path, text).unwrap();
        Lines::read(&path)
    }

    #[test]
    fn blank_lines_count_but_are_not_given() {
        let lines = lines(b"1 a\r\n\n  2\tb c \n").unwrap();
        let all: Vec<_> = lines.iter().collect();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].fields::<2>("x").unwrap(), ["1", "a"]);
        assert_eq!(all[1].first_and_rest("x").unwrap(), ("2", "b c"));
        let error = all[1].fields::<2>("id, name").unwrap_err().to_string();
        assert!(error.ends_with("list.txt, line 3: it has 3 fields; 2 are needed: id, name"), "{error}");
        assert!(
            all[1].number::<i64>("1e3", "number").unwrap_err().to_string().ends_with("\"1e3\" is no number")
        );
    }

    #[test]
    fn no_path_leads_out_of_its_folder() {
        for bad in ["../x", "/etc/x", "a/../../x", ""] {
            assert!(below(Path::new("r"), bad).is_none(), "{bad}");
        }
        assert_eq!(below(Path::new("r"), "a/./b.jpg").unwrap(), Path::new("r/a/./b.jpg"));
    }

    #[test]
    fn what_is_not_text_is_named_with_its_line() {
        let error = lines(b"1 a\n2 \xFF\n").unwrap_err().to_string();
        assert!(error.ends_with("line 2: it is not text"), "{error}");
    }
}
