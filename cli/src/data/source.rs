//! What is at a path: a set known by its lists, or files known by their names, inputs paired with their labels, parts
//! with each other.
//!
//! A name says the part it belongs to by its first word (`train`, `background`; `val`; `test`, `evaluation`, `t10k`),
//! what it holds by another (`images`, `labels`, `alphabets`), and the format by its end. Other files are left alone.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::arrays::{GROUPS, INPUTS, LABELS, samples};
use super::gather::Reading;
use super::{Samples, cars, cub, folder, idx, inshop, lfw, list, npy, npz, products, table, tensors};

/// A set as it was found.
#[derive(Debug, PartialEq)]
pub(super) enum Found {
    /// Without parts.
    Whole(Samples),
    /// In parts.
    Parts(Box<Parts>),
}

impl Found {
    /// Every part of it.
    pub(super) fn parts_mut(&mut self) -> Vec<&mut Samples> {
        match self {
            Self::Whole(samples) => vec![samples],
            Self::Parts(parts) => {
                let Parts { train, validation, test, queries } = &mut **parts;
                [Some(train), validation.as_mut(), Some(test), queries.as_mut()]
                    .into_iter()
                    .flatten()
                    .collect()
            }
        }
    }
}

/// Parts without a common class, but for queries, which are of the classes of the test part.
#[derive(Debug, PartialEq)]
pub(super) struct Parts {
    pub(super) train: Samples,
    pub(super) validation: Option<Samples>,
    pub(super) test: Samples,
    pub(super) queries: Option<Samples>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Whole,
    Train,
    Validation,
    Test,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Idx,
    Npy,
    Npz,
    Csv,
    Safetensors,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Inputs,
    Labels,
    Groups,
    Everything,
}

/// A file whose name says what it is.
#[derive(Clone, Debug, PartialEq)]
struct Piece {
    path: PathBuf,
    role: Role,
    format: Format,
    holds: Holds,
}

/// Reads what is at `path`.
pub(super) fn read(path: &Path, reading: &Reading) -> Result<Found> {
    let kind = std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    if kind.is_dir() {
        if let Some(found) = known(path, reading)? {
            return Ok(found);
        }
        let pieces = pieces(path)?;
        return match &pieces[..] {
            [] => read_class_folders(path, reading),
            [piece] if piece.format == Format::Csv && list::is_here(&piece.path)? => {
                list::read(&piece.path, reading)
            }
            pieces => read_pieces(path, pieces, reading),
        };
    }
    let piece = Piece::of(path).with_context(|| {
        format!(
            "the name of {} does not say what it holds: csv, npz, safetensors, or npy and IDX with one of {} in it",
            path.display(),
            INPUTS.join(", ")
        )
    })?;
    if piece.format == Format::Csv && list::is_here(path)? {
        return list::read(path, reading);
    }
    let beside = match piece.holds {
        Holds::Everything => return Ok(Found::Whole(read_part(path, &[piece], reading)?)),
        Holds::Inputs => {
            path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
        }
        Holds::Labels | Holds::Groups => bail!("{} holds no inputs; give the file that does", path.display()),
    };
    let companion =
        |other: &Piece| other.role == piece.role && matches!(other.holds, Holds::Labels | Holds::Groups);
    let mut set: Vec<Piece> = pieces(beside)?.into_iter().filter(companion).collect();
    set.push(piece);
    Ok(Found::Whole(read_part(path, &set, reading)?))
}

/// A set that its lists make known, read in the parts that are usual for it.
fn known(folder: &Path, reading: &Reading) -> Result<Option<Found>> {
    let lists = if cub::is_here(folder) {
        cub::lists(folder, reading)?
    } else if cars::is_here(folder) {
        cars::lists(folder, reading)?
    } else if products::is_here(folder) {
        products::lists(folder)?
    } else if let Some(list) = inshop::is_here(folder) {
        inshop::lists(folder, &list)?
    } else if lfw::is_here(folder) {
        return lfw::read(folder, reading).map(Some);
    } else {
        return Ok(None);
    };
    let parts =
        lists.into_parts(reading).with_context(|| format!("cannot read the set {}", folder.display()))?;
    Ok(Some(Found::Parts(Box::new(parts))))
}

/// A short name of the set at `path`: the folder's, or the file's without its ends.
pub(super) fn name(path: &Path) -> String {
    let full = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = full.file_name().map_or_else(|| "data".into(), |name| name.to_string_lossy().into_owned());
    if full.is_dir() { name } else { name.split('.').next().unwrap_or(&name).to_owned() }
}

impl Piece {
    /// `None` where the name says nothing.
    fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_lowercase();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        let (stem, format) = [
            (".npy", Format::Npy),
            (".npz", Format::Npz),
            (".csv", Format::Csv),
            (".safetensors", Format::Safetensors),
            (".idx", Format::Idx),
            ("-ubyte", Format::Idx),
            ("-short", Format::Idx),
        ]
        .into_iter()
        .find_map(|(end, format)| Some((name.strip_suffix(end)?, format)))?;
        let words: Vec<&str> = stem.split(|c: char| !c.is_alphanumeric()).collect();
        let has = |known: &[&str]| words.iter().any(|word| known.contains(word));
        let holds = match format {
            Format::Npz | Format::Csv | Format::Safetensors => Holds::Everything,
            // Bits are not numbers to learn from; where such a file is, one of bytes lies beside it.
            _ if has(&["bitpacked"]) => return None,
            _ if has(&INPUTS) => Holds::Inputs,
            _ if has(&LABELS) => Holds::Labels,
            _ if has(&GROUPS) => Holds::Groups,
            _ => return None,
        };
        Some(Self { path: path.to_owned(), role: role(words.first()?), format, holds })
    }

    fn labels(&self) -> Result<Vec<i64>> {
        match self.format {
            Format::Npy => npy::read_labels(&self.path),
            _ => idx::read(&self.path)?.to_labels().with_context(|| format!("in {}", self.path.display())),
        }
    }
}

/// The part that a word stands for.
fn role(word: &str) -> Role {
    match word {
        "train" | "training" | "background" => Role::Train,
        "val" | "valid" | "validation" => Role::Validation,
        "test" | "t10k" | "evaluation" => Role::Test,
        _ => Role::Whole,
    }
}

/// Files of a folder whose names say what they are, in order of their names.
fn pieces(folder: &Path) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry.with_context(|| format!("cannot read {}", folder.display()))?.path();
        pieces.extend(Piece::of(&path).filter(|_| path.is_file()));
    }
    pieces.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(pieces)
}

/// Reads a folder of files.
fn read_pieces(folder: &Path, pieces: &[Piece], reading: &Reading) -> Result<Found> {
    let of = |role| pieces.iter().filter(|piece| piece.role == role).cloned().collect::<Vec<_>>();
    let roles: BTreeSet<Role> = pieces.iter().map(|piece| piece.role).collect();
    if roles.len() == 1 {
        return Ok(Found::Whole(read_part(folder, pieces, reading)?));
    }
    if let Some(piece) = pieces.iter().find(|piece| piece.role == Role::Whole) {
        bail!(
            "{} belongs to no part, beside others that do; give one file, or move it",
            piece.path.display()
        );
    }
    ensure!(
        roles.contains(&Role::Train) && roles.contains(&Role::Test),
        "{} has a validation part, but not both train and test",
        folder.display()
    );
    let part = |role| read_part(folder, &of(role), reading);
    let validation = roles.contains(&Role::Validation).then(|| part(Role::Validation));
    together(folder, part(Role::Train)?, validation.transpose()?, part(Role::Test)?)
}

/// Reads a folder of class folders, or one whose folders `train`, `test` and perhaps `val` hold class folders.
fn read_class_folders(path: &Path, reading: &Reading) -> Result<Found> {
    let folders = folder::folders(path)?;
    ensure!(
        !folders.is_empty(),
        "{} holds no data: neither files named as such, nor class folders with images",
        path.display()
    );
    let role_of =
        |folder: &PathBuf| folder.file_name().and_then(|name| name.to_str()).map_or(Role::Whole, role);
    let of = |wanted| folders.iter().find(|folder| role_of(folder) == wanted);
    let (Some(train), Some(test)) = (of(Role::Train), of(Role::Test)) else {
        return Ok(Found::Whole(folder::read(path, reading)?));
    };
    if let Some(other) = folders.iter().find(|folder| role_of(folder) == Role::Whole) {
        bail!("{} is neither train, val nor test, beside folders that are", other.display());
    }
    let part = |folder: &PathBuf| folder::read(folder, reading);
    let validation = of(Role::Validation).map(part).transpose()?;
    together(path, part(train)?, validation, part(test)?)
}

/// Reads the files of one part.
fn read_part(place: &Path, pieces: &[Piece], reading: &Reading) -> Result<Samples> {
    let one = |holds| {
        let mut found = pieces.iter().filter(|piece| piece.holds == holds);
        let (first, second) = (found.next(), found.next());
        match (first, second) {
            (Some(first), Some(second)) => {
                bail!("{} and {} hold the same; give one", first.path.display(), second.path.display())
            }
            _ => Ok(first),
        }
    };
    let inputs = match (one(Holds::Inputs)?, one(Holds::Everything)?) {
        (Some(inputs), None) => inputs,
        (Some(inputs), Some(all)) => {
            bail!("{} and {} hold the same; give one", inputs.path.display(), all.path.display())
        }
        (None, Some(all)) => {
            return match all.format {
                Format::Npz => npz::read(&all.path),
                Format::Csv if list::is_here(&all.path)? => match list::read(&all.path, reading)? {
                    Found::Whole(samples) => Ok(samples),
                    Found::Parts(_) => bail!("{} has parts, but is one itself", all.path.display()),
                },
                Format::Csv => table::read(&all.path),
                _ => tensors::read(&all.path),
            };
        }
        (None, None) => bail!("{} has labels without inputs", place.display()),
    };
    let labels = one(Holds::Labels)?.with_context(|| {
        format!(
            "no labels beside {}: the same name is needed with `labels` for `images`",
            inputs.path.display()
        )
    })?;
    let groups = one(Holds::Groups)?.map(Piece::labels).transpose()?;
    let (sizes, values) = match inputs.format {
        Format::Npy => {
            let array = npy::read(&inputs.path, npy::array)?;
            (array.sizes, array.values)
        }
        _ => {
            let array = idx::read(&inputs.path)?;
            let values = array.to_f32();
            (array.sizes, values)
        }
    };
    samples(&sizes, values, labels.labels()?, groups)
        .with_context(|| format!("in {} with {}", inputs.path.display(), labels.path.display()))
}

/// Checks that parts fit each other, and numbers named classes over all of them.
fn together(
    place: &Path,
    mut train: Samples,
    mut validation: Option<Samples>,
    mut test: Samples,
) -> Result<Found> {
    let mut parts: Vec<&mut Samples> =
        [Some(&mut train), validation.as_mut(), Some(&mut test)].into_iter().flatten().collect();
    let shape = parts[0].shape;
    let mut names = BTreeSet::new();
    for part in &parts {
        ensure!(
            part.shape == shape,
            "{}: samples of one part are {shape:?}, of another {:?}",
            place.display(),
            part.shape
        );
        for class in &part.classes {
            ensure!(
                names.insert(class.clone()),
                "{}: class {class} is in two parts, but test classes must be unseen; give one file, and it is split by class",
                place.display()
            );
        }
    }
    let named = |part: &&mut Samples| {
        part.labels
            .iter()
            .zip(&part.original)
            .any(|(&label, stored)| part.classes[label as usize] != stored.to_string())
    };
    if parts.iter().any(named) {
        let order: Vec<String> = names.into_iter().collect();
        for part in &mut parts {
            // Every name is in the order, so both arms of the search give its place.
            let place = |&label: &u32| {
                order.binary_search(&part.classes[label as usize]).unwrap_or_else(|at| at) as i64
            };
            let stored = part.labels.iter().map(place).collect();
            **part = part.clone().relabelled(stored)?.with_names(&order)?;
        }
    }
    Ok(Found::Parts(Box::new(Parts { train, validation, test, queries: None })))
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
