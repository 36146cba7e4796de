//! Inputs with their classes: reading them, holding classes out, and varying them.
//!
//! No class is in two parts of a set: what is learned on some classes is judged on others. Every file is read as if
//! it were hostile; an error is one line that names the file and the place.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::args::Part;
use crate::config::DataConfig;

mod arrays;
pub mod augment;
mod bytes;
mod cars;
mod cub;
mod elastic;
pub mod feed;
mod folder;
mod gather;
mod idx;
mod inshop;
mod kana;
pub mod lfw;
mod lines;
mod list;
mod mat;
pub mod normalize;
pub mod npy;
mod npz;
pub mod pairs;
mod parallel;
mod picture;
mod products;
mod samples;
mod source;
mod split;
mod table;
mod tensors;
mod view;

pub use self::gather::Reading;
pub(crate) use self::parallel::ahead;
pub use self::picture::{Geometry, Pictures};
pub use self::samples::Samples;
pub(crate) use self::view::miniature;

/// A set in three parts without a common class.
#[derive(Clone, Debug, PartialEq)]
pub struct DataSet {
    /// A short name: that of the folder or the file.
    pub name: String,
    /// Classes to learn from.
    pub train: Samples,
    /// Classes to choose by; empty where the share is too small for two.
    pub validation: Samples,
    /// Unseen classes.
    pub test: Samples,
    /// Queries of unseen classes, searched among the test part; without them that part is searched among itself.
    pub queries: Option<Samples>,
}

impl DataSet {
    /// A checksum (CRC-32) of shapes, values, labels and class names of all parts, or of names and lengths of files
    /// where pictures are decoded when they are wanted: data that differ have another, but for one case in four
    /// thousand million. It guards against mistakes, not against intent.
    pub fn fingerprint(&self) -> Result<u32> {
        let mut crc = flate2::Crc::new();
        for part in [&self.train, &self.validation, &self.test].into_iter().chain(&self.queries) {
            part.shape.iter().for_each(|&size| crc.update(&(size as u64).to_le_bytes()));
            // In blocks: the checksum is fast on many bytes at once, and a whole copy could be large.
            let mut block = Vec::new();
            for values in part.values().chunks(1 << 14) {
                block.clear();
                block.extend(values.iter().flat_map(|value| value.to_le_bytes()));
                crc.update(&block);
            }
            if let Some(pictures) = part.pictures().filter(|_| part.values().is_empty()) {
                for path in (0..part.count()).map(|index| pictures.path(index)) {
                    let file =
                        std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
                    crc.update(path.file_name().unwrap_or_default().as_encoded_bytes());
                    crc.update(&file.len().to_le_bytes());
                }
            }
            part.labels.iter().for_each(|label| crc.update(&label.to_le_bytes()));
            for class in &part.classes {
                crc.update(class.as_bytes());
                crc.update(&[0]);
            }
        }
        Ok(crc.sum())
    }

    /// Writes into a configuration what the data left to choose: the sizes of photographs.
    pub fn settle(&self, config: &mut DataConfig) {
        let Geometry { resize, crop, mirror, boxes } = self.train.geometry();
        if self.train.pictures().is_some() {
            (config.resize, config.crop, config.mirror, config.boxes) = (resize, crop, mirror, boxes);
        }
    }

    /// One part, or all of them in the order of the fields.
    pub fn part(self, part: Part) -> Result<Samples> {
        Ok(match part {
            Part::Train => self.train,
            Part::Validation => self.validation,
            Part::Test => self.test,
            Part::Query => self.queries.with_context(|| no_part(&self.name, "query"))?,
            Part::All => {
                let seen = self.train.join(&self.validation).join(&self.test);
                self.queries.iter().fold(seen, Samples::join)
            }
        })
    }
}

/// What is said where a part is not there.
fn no_part(source: &str, part: &str) -> String {
    format!("{source} has no {part} part of its own")
}

/// Reads `kana` or a path, and holds classes out: for testing where the data do not say which, then for validation.
///
/// Errors: what cannot be read, fewer than two classes left to train or test on, and a part to train or test on in
/// which no class has two samples, so that nothing is near to anything.
///
/// ```
/// use nearfar::{config::Config, recipe::Recipe};
/// let kana = nearfar::data::load("kana", &Config::recipe(Recipe::Best).data)?;
/// assert_eq!(kana.train.classes.len() + kana.validation.classes.len(), 71);
/// assert_eq!((kana.test.classes.len(), kana.test.count()), (71, 71 * 15));
/// # Ok::<(), anyhow::Error>(())
/// ```
pub fn load(source: &str, config: &DataConfig) -> Result<DataSet> {
    load_as(source, config, &Reading::of(config))
}

/// As [`load`], with threads and memory of one's own choice: what comes out does not depend on them.
pub fn load_as(source: &str, config: &DataConfig, reading: &Reading) -> Result<DataSet> {
    let (mut found, name) = find(source, reading)?;
    let Geometry { resize, crop, boxes, .. } = reading.geometry;
    ensure!(
        found.parts_mut().iter().all(|part| part.pictures().is_some())
            || (resize == 0 && crop == 0 && !boxes),
        "{source} is no set of pictures in files: data.resize, data.crop and data.boxes have no meaning there"
    );
    split::divide(found, name, config).with_context(|| format!("cannot split {source}"))
}

/// Reads one part of `kana` or of a path, without holding anything out: for embedding.
///
/// A set without parts is one part, whatever it holds: `Test` and `All` give it whole, and other parts are errors.
///
/// ```
/// use nearfar::args::Part;
/// let hiragana = nearfar::data::load_all("kana", Part::Test)?;
/// assert_eq!((hiragana.classes[0].as_str(), hiragana.original[0]), ("あ", 71));
/// # Ok::<(), anyhow::Error>(())
/// ```
pub fn load_all(source: &str, part: Part) -> Result<Samples> {
    load_all_as(source, part, &Reading::default())
}

/// As [`load_all`], with sizes of pictures, threads and memory of one's own choice.
pub fn load_all_as(source: &str, part: Part, reading: &Reading) -> Result<Samples> {
    let (found, _) = find(source, reading)?;
    let parts = match found {
        source::Found::Whole(samples) => {
            return match part {
                Part::Test | Part::All => Ok(samples),
                Part::Train => bail!(no_part(source, "train")),
                Part::Validation => bail!(no_part(source, "validation")),
                Part::Query => bail!(no_part(source, "query")),
            };
        }
        source::Found::Parts(parts) => *parts,
    };
    let source::Parts { train, validation, test, queries } = parts;
    Ok(match part {
        Part::Train => train,
        Part::Test => test,
        Part::Validation => validation.with_context(|| no_part(source, "validation"))?,
        Part::Query => queries.with_context(|| no_part(source, "query"))?,
        Part::All => [validation.as_ref(), Some(&test), queries.as_ref()]
            .into_iter()
            .flatten()
            .fold(train, Samples::join),
    })
}

/// What is at `source`, and its name.
fn find(source: &str, reading: &Reading) -> Result<(source::Found, String)> {
    let (mut found, name) = if source == "kana" {
        (source::Found::Parts(Box::new(kana::parts()?)), source.to_owned())
    } else {
        let path = Path::new(source);
        (source::read(path, reading)?, source::name(path))
    };
    for part in found.parts_mut() {
        part.workers = reading.workers;
    }
    Ok((found, name))
}

#[cfg(test)]
mod layouts_tests;
