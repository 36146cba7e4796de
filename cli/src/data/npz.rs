//! npz: a zip of npy files; inputs are `x`, `images`, `embeddings` or `features`, labels `y` or `labels`.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use zip::ZipArchive;

use super::{Samples, arrays, bytes, npy};

type Archive = ZipArchive<BufReader<File>>;

/// Reads a file; every error names it.
pub(super) fn read(path: &Path) -> Result<Samples> {
    let kind = std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    ensure!(kind.is_file() && kind.len() > 0, "{} is empty or not a file", path.display());
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(BufReader::new(file)).with_context(|| format!("in {}", path.display()))
}

fn parse(file: BufReader<File>) -> Result<Samples> {
    let mut archive = ZipArchive::new(file).context("it is not npz")?;
    let inputs = member(&mut archive, &arrays::INPUTS, |reader| npy::array::<f32>(reader))?
        .with_context(|| format!("it has none of the arrays {}", arrays::INPUTS.join(", ")))?;
    let labels = member(&mut archive, &arrays::LABELS, |reader| npy::array(reader)?.into_labels())?
        .with_context(|| format!("it has none of the arrays {}", arrays::LABELS.join(", ")))?;
    let groups = member(&mut archive, &arrays::GROUPS, |reader| npy::array(reader)?.into_labels())?;
    arrays::samples(&inputs.sizes, inputs.values, labels, groups)
}

/// Parses the first of `names` that the archive has.
fn member<R>(
    archive: &mut Archive,
    names: &[&str],
    parse: impl FnOnce(Box<dyn Read + '_>) -> Result<R>,
) -> Result<Option<R>> {
    let file = |name: &str| format!("{name}.npy");
    let has = |name: &&&str| archive.index_for_name(&file(name)).is_some();
    let Some(name) = names.iter().find(has) else { return Ok(None) };
    let stored = archive.by_name(&file(name)).with_context(|| format!("cannot unpack `{name}`"))?;
    parse(Box::new(bytes::limit(stored))).map(Some).with_context(|| format!("array `{name}`"))
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use npyz::WriterBuilder;
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    /// An archive of one-byte arrays.
    fn npz(arrays: &[(&str, &[u64], &[u8])]) -> Vec<u8> {
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, sizes, values) in arrays {
            let mut npy = Vec::new();
            let mut array =
                npyz::WriteOptions::new().default_dtype().shape(sizes).writer(&mut npy).begin_nd().unwrap();
            array.extend(values.iter()).unwrap();
            array.finish().unwrap();
            archive.start_file(format!("{name}.npy"), SimpleFileOptions::default()).unwrap();
            archive.write_all(&npy).unwrap();
        }
        archive.finish().unwrap().into_inner()
    }

    fn read_bytes(file: &[u8]) -> Result<Samples> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("set.npz");
        std::fs::write(&path, file).unwrap();
        read(&path)
    }

    #[test]
    fn images_labels_and_groups_are_read_by_name() {
        let file = npz(&[
            ("labels", &[3], &[5, 4, 5]),
            ("images", &[3, 1, 2], &[1, 2, 3, 4, 5, 6]),
            ("alphabets", &[3], &[9, 8, 9]),
        ]);
        let samples = read_bytes(&file).unwrap();
        assert_eq!(samples.shape, [1, 2, 1]);
        assert_eq!(samples.values(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!((samples.labels, samples.groups), (vec![1, 0, 1], Some(vec![0, 1])));
    }

    #[test]
    fn what_is_missing_or_uneven_is_named() {
        let error = |file: &[u8]| format!("{:#}", read_bytes(file).unwrap_err());
        assert!(error(&npz(&[("x", &[1, 1], &[1])])).contains("set.npz: it has none of the arrays labels"));
        assert!(error(&npz(&[("y", &[1], &[1])])).contains("none of the arrays images"));
        let uneven = npz(&[("x", &[2, 1], &[1, 2]), ("y", &[3], &[1, 2, 3])]);
        assert!(error(&uneven).contains("2 samples but 3 labels"));
        assert!(error(b"").contains("empty"));
        assert!(error(b"not a zip").contains("not npz"));
    }

    #[test]
    fn no_changed_byte_and_no_cut_makes_it_panic() {
        let whole = npz(&[("x", &[2, 1], &[1, 2]), ("y", &[2], &[1, 2])]);
        for end in 0..whole.len() {
            assert!(read_bytes(&whole[..end]).is_err(), "cut at {end}");
        }
        for place in 0..whole.len() {
            for change in [0xFF, 0x80, 0x01] {
                let mut changed = whole.clone();
                changed[place] ^= change;
                // Some bytes, such as dates, mean nothing here; only a panic would fail.
                let _ = read_bytes(&changed);
            }
        }
    }
}
