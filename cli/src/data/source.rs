//! What lies at a path: formats are told by the names of files, parts by the names that data sets use.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::{Samples, bytes, folder, idx, kana, npy, show, table, tensors};

/// Data as they were found.
#[derive(Debug)]
pub(super) struct Source {
    /// Short name, for run folders.
    pub(super) name: String,
    pub(super) parts: Parts,
}

/// What the data say of their parts.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one of it in a run, and it is taken apart at once")]
pub(super) enum Parts {
    /// Nothing: all in one.
    Whole(Samples),
    /// Training and test, perhaps validation.
    Split { train: Samples, validation: Option<Samples>, test: Samples },
}

/// Names of parts, as data sets use them: at the start of a file's name, or as a folder's.
const TRAIN: [&str; 2] = ["train", "background"];
const VALIDATION: [&str; 2] = ["val", "validation"];
const TEST: [&str; 3] = ["test", "evaluation", "t10k"];

/// Names that arrays of samples and of labels have in archives.
pub(super) const SAMPLE_NAMES: [&str; 5] = ["images", "x", "features", "embeddings", "data"];
pub(super) const LABEL_NAMES: [&str; 3] = ["labels", "y", "targets"];

/// `kana`, or what lies at a path.
pub(super) fn open(source: &str) -> Result<Source> {
    if source == "kana" {
        let (train, test) = kana::load();
        return Ok(Source { name: "kana".into(), parts: Parts::Split { train, validation: None, test } });
    }
    let path = Path::new(source);
    ensure!(path.exists(), "there is no {source}: --data is `kana`, a file or a folder");
    let stem = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let stem = stem.file_name().unwrap_or_default().to_string_lossy();
    let name = stem.split('.').next().filter(|s| !s.is_empty()).unwrap_or("data").to_owned();
    let parts = if path.is_dir() { folder_parts(path)? } else { Parts::Whole(file(path)?) };
    Ok(Source { name, parts })
}

/// Files and folders in a folder, in the order of their names.
pub(super) fn entries(path: &Path) -> Result<Vec<PathBuf>> {
    let list = fs::read_dir(path).and_then(|list| list.map(|entry| Ok(entry?.path())).collect());
    let mut list: Vec<PathBuf> = list.with_context(|| format!("cannot read {}", show(path)))?;
    list.sort();
    Ok(list)
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn folder_parts(path: &Path) -> Result<Parts> {
    let entries = entries(path)?;
    let files: Vec<&PathBuf> = entries.iter().filter(|entry| entry.is_file()).collect();
    let part = |names: &[&str]| -> Result<Option<Samples>> {
        for name in names {
            if let Some(found) = named_part(path, &files, name)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    };
    match (part(&TRAIN)?, part(&VALIDATION)?, part(&TEST)?) {
        (Some(train), validation, Some(test)) => {
            let others = validation.iter().chain([&test]);
            for other in others {
                ensure!(
                    other.shape == train.shape,
                    "{}: training samples have shape {:?}, others {:?}",
                    show(path),
                    train.shape,
                    other.shape
                );
            }
            return Ok(Parts::Split { train, validation, test });
        }
        (Some(only), None, None) | (None, None, Some(only)) => return Ok(Parts::Whole(only)),
        (None, None, None) => {}
        _ => bail!("{} has a validation part but not both of train and test", show(path)),
    }
    if let Some(whole) = named_part(path, &files, "")? {
        return Ok(Parts::Whole(whole));
    }
    ensure!(
        entries.iter().any(|entry| entry.is_dir()),
        "{} holds neither image folders nor files like train-images... with train-labels...",
        show(path)
    );
    Ok(Parts::Whole(folder::read(path)?))
}

/// The part called `name` in a folder: a folder of class folders, a file, or a pair of images and labels.
fn named_part(path: &Path, files: &[&PathBuf], name: &str) -> Result<Option<Samples>> {
    let inner = path.join(name);
    if !name.is_empty() && inner.is_dir() {
        return folder::read(&inner).map(Some);
    }
    let prefix = if name.is_empty() { String::new() } else { format!("{name}-") };
    let kind = |word: &str| -> Vec<&Path> {
        let start = format!("{prefix}{word}");
        files.iter().filter(|file| name_of(file).starts_with(&start)).map(|file| file.as_path()).collect()
    };
    let whole = ["npz", "csv", "csv.gz", "safetensors"]
        .iter()
        .map(|ending| path.join(format!("{}.{ending}", if name.is_empty() { "data" } else { name })))
        .find(|file| file.is_file());
    if let Some(file) = whole {
        return self::file(&file).map(Some);
    }
    let labels = kind("labels");
    let images: Vec<&Path> = ["images", "features", "embeddings"]
        .iter()
        .flat_map(|word| kind(word))
        // One row of bits or one number a sample is no image.
        .filter(|file| name_of(file).contains(".npy") || idx::dimensions(file).is_none_or(|n| n >= 3))
        .collect();
    let (&[images], &[labels]) = (&images[..], &labels[..]) else {
        if images.is_empty() || labels.is_empty() {
            return Ok(None);
        }
        bail!("{}: several files could be the {prefix}images or {prefix}labels; name a file", show(path));
    };
    let mut samples = pair(images, labels)?;
    if let Some(groups) = kind("alphabets").into_iter().chain(kind("groups")).next() {
        let of_sample = integers(groups)?;
        samples.groups =
            Some(class_groups(&samples, &of_sample).with_context(|| format!("in {}", show(groups)))?);
    }
    Ok(Some(samples))
}

/// The group of each class, from that of each sample.
fn class_groups(samples: &Samples, of_sample: &[i64]) -> Result<Vec<u32>> {
    ensure!(of_sample.len() == samples.count(), "{} groups for {} samples", of_sample.len(), samples.count());
    let mut groups = vec![None; samples.classes.len()];
    for (row, (&label, &group)) in samples.labels.iter().zip(of_sample).enumerate() {
        let group = u32::try_from(group).with_context(|| format!("row {row}: group {group} is no index"))?;
        let known = groups[label as usize].get_or_insert(group);
        ensure!(*known == group, "row {row}: class {} is in two groups", samples.class_of(row));
    }
    Ok(groups.into_iter().flatten().collect())
}

/// Samples and labels from two files.
fn pair(images: &Path, labels: &Path) -> Result<Samples> {
    let original = integers(labels)?;
    let (sizes, values) = if idx::dimensions(images).is_some() {
        let idx = idx::read(images)?;
        (idx.sizes, idx.values.into_iter().map(f32::from).collect())
    } else {
        let array = npy::read(images)?;
        (array.sizes, array.numbers.to_f32())
    };
    let count = sizes.first().copied().unwrap_or(0);
    ensure!(
        count == original.len(),
        "{} holds {count} samples, {} holds {} labels",
        show(images),
        show(labels),
        original.len()
    );
    Samples::labelled(shape_of(&sizes)?, values, &original).with_context(|| format!("in {}", show(images)))
}

/// Shape of one sample: `[N, D]`, `[N, H, W]` and `[N, H, W, C]` are read.
pub(super) fn shape_of(sizes: &[usize]) -> Result<[usize; 3]> {
    match *sizes {
        [_, features] => Ok([1, 1, features]),
        [_, height, width] => Ok([height, width, 1]),
        [_, height, width, channels] => Ok([height, width, channels]),
        _ => bail!("sizes {sizes:?} are not those of samples: [N, D], [N, H, W] or [N, H, W, C]"),
    }
}

/// Integers from an IDX or npy file.
fn integers(path: &Path) -> Result<Vec<i64>> {
    if idx::dimensions(path).is_none() {
        return npy::read_labels(path);
    }
    let idx = idx::read(path)?;
    ensure!(idx.sizes.len() == 1, "{} has sizes {:?}; labels are [N]", show(path), idx.sizes);
    Ok(idx.values.into_iter().map(i64::from).collect())
}

/// One file with everything, or one of a pair.
fn file(path: &Path) -> Result<Samples> {
    let name = name_of(path);
    let naming = || format!("in {}", show(path));
    if name.ends_with(".npz") {
        let archive = bytes::read(path)?;
        let samples = npy::read_member(&archive, &SAMPLE_NAMES).with_context(naming)?;
        let labels = npy::read_member(&archive, &LABEL_NAMES).with_context(naming)?;
        let npy::Numbers::Integer(labels) = labels.numbers else {
            bail!("{}: labels are no integers", show(path))
        };
        let shape = shape_of(&samples.sizes).with_context(naming)?;
        return Samples::labelled(shape, samples.numbers.to_f32(), &labels).with_context(naming);
    }
    if name.ends_with(".csv") || name.ends_with(".csv.gz") {
        return table::read(path);
    }
    if name.ends_with(".safetensors") {
        return tensors::read(path);
    }
    // Of a pair: the labels lie beside, under the same name but for the word.
    for word in ["images", "features", "embeddings"] {
        if let Some((prefix, _)) = name.split_once(word) {
            let beside = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let start = format!("{prefix}labels");
            let labels = entries(beside)?.into_iter().find(|file| name_of(file).starts_with(&start));
            let labels =
                labels.with_context(|| format!("{}: there is no {start}... beside it", show(path)))?;
            return pair(path, &labels);
        }
    }
    bail!(
        "{} is of no kind that is read: npz, csv, safetensors, a folder, or ...images... with ...labels... beside it",
        show(path)
    )
}
