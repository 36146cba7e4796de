//! Inputs with their classes: reading them, holding classes out, and varying them.
//!
//! No class is in two parts of a set: what is learned on some classes is judged on others. Every file is read as if
//! it were hostile; an error is one line that names the file and the place.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::args::Part;
use crate::config::DataConfig;

mod arrays;
pub mod augment;
mod bytes;
mod elastic;
mod folder;
mod idx;
mod kana;
pub mod normalize;
pub mod npy;
mod npz;
pub mod pairs;
mod source;
mod split;
mod table;
mod tensors;

/// Samples and their classes.
///
/// ```
/// use nearfar::data::Samples;
/// // Three samples of two features, stored with labels 7, 3 and 7.
/// let samples = Samples::new([1, 1, 2], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0], vec![7, 3, 7])?;
/// assert_eq!(samples.labels, [1, 0, 1]);
/// assert_eq!(samples.classes, ["3", "7"]);
/// assert_eq!(samples.of_classes(&[1]).values, [0.0, 1.0, 4.0, 5.0]);
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Samples {
    /// Height, width and channels of a sample; a vector of D numbers is `[1, 1, D]`.
    pub shape: [usize; 3],
    /// `[N, height, width, channels]`, in the scale of the file: 0 to 255 for images of bytes.
    pub values: Vec<f32>,
    /// Classes as `0..classes.len()`, `[N]`; each of them occurs.
    pub labels: Vec<u32>,
    /// Names by label: those of the file, or its numbers as text.
    pub classes: Vec<String>,
    /// Group of each class, an alphabet perhaps; groups are held out as wholes.
    pub groups: Option<Vec<u32>>,
    /// Labels as stored, `[N]`; of named classes, the place of the name in alphabetical order.
    pub original: Vec<i64>,
}

impl Samples {
    /// Puts samples and stored labels together. Classes are numbered by rising stored label.
    ///
    /// Errors: no values, a count of labels other than that of samples, or a value that is not finite (with its row).
    pub fn new(shape: [usize; 3], values: Vec<f32>, original: Vec<i64>) -> Result<Self> {
        let size = bytes::product(&shape)?;
        ensure!(size > 0 && !values.is_empty(), "there are no values");
        ensure!(
            values.len().is_multiple_of(size),
            "{} values are no whole samples of {shape:?}",
            values.len()
        );
        let count = values.len() / size;
        ensure!(original.len() == count, "there are {count} samples but {} labels", original.len());
        if let Some(place) = values.iter().position(|value| !value.is_finite()) {
            bail!(
                "row {}, value {}: {} is not a number to learn from",
                place / size,
                place % size,
                values[place]
            );
        }
        let stored: BTreeSet<i64> = original.iter().copied().collect();
        u32::try_from(stored.len()).context("there are more classes than can be numbered")?;
        let stored: Vec<i64> = stored.into_iter().collect();
        // Every label is in `stored`, so both arms of the search give its place.
        let dense = |label: &i64| stored.binary_search(label).unwrap_or_else(|place| place) as u32;
        let labels = original.iter().map(dense).collect();
        let classes = stored.iter().map(i64::to_string).collect();
        Ok(Self { shape, values, labels, classes, groups: None, original })
    }

    /// Names classes by the stored label, `names[label]`; every label must have its name.
    pub fn with_names(mut self, names: &[String]) -> Result<Self> {
        for (&label, &stored) in self.labels.iter().zip(&self.original) {
            let name = usize::try_from(stored).ok().and_then(|at| names.get(at));
            let name = name.with_context(|| format!("class {stored} has no name among {}", names.len()))?;
            self.classes[label as usize].clone_from(name);
        }
        Ok(self)
    }

    /// Puts classes into groups, given the group of each sample, `[N]`; a class in two groups is an error.
    pub fn with_groups(mut self, stored: &[i64]) -> Result<Self> {
        ensure!(
            stored.len() == self.count(),
            "there are {} samples but {} groups",
            self.count(),
            stored.len()
        );
        let mut of_class: Vec<Option<i64>> = vec![None; self.classes.len()];
        for (&label, &group) in self.labels.iter().zip(stored) {
            let known = of_class[label as usize].get_or_insert(group);
            let class = &self.classes[label as usize];
            ensure!(*known == group, "class {class} is in two groups, {known} and {group}");
        }
        let distinct: BTreeMap<i64, u32> =
            of_class.iter().flatten().collect::<BTreeSet<_>>().into_iter().copied().zip(0..).collect();
        self.groups = Some(of_class.iter().flatten().map(|group| distinct[group]).collect());
        Ok(self)
    }

    /// Number of samples, N.
    #[must_use]
    pub fn count(&self) -> usize {
        self.labels.len()
    }

    /// Numbers in a sample.
    #[must_use]
    pub fn size(&self) -> usize {
        self.shape.iter().product()
    }

    /// The numbers of a sample.
    #[must_use]
    pub fn sample(&self, index: usize) -> &[f32] {
        let size = self.size();
        &self.values[index * size..][..size]
    }

    /// Samples of each class, in their order.
    #[must_use]
    pub fn by_class(&self) -> Vec<Vec<usize>> {
        let mut members = vec![Vec::new(); self.classes.len()];
        for (sample, &label) in self.labels.iter().enumerate() {
            members[label as usize].push(sample);
        }
        members
    }

    /// Samples by index, in that order; classes that do not occur go, and the others keep their order.
    #[must_use]
    pub fn select(&self, indices: &[usize]) -> Self {
        let kept: BTreeSet<u32> = indices.iter().map(|&index| self.labels[index]).collect();
        let renamed: BTreeMap<u32, u32> = kept.iter().copied().zip(0..).collect();
        Self {
            shape: self.shape,
            values: indices.iter().flat_map(|&index| self.sample(index)).copied().collect(),
            labels: indices.iter().map(|&index| renamed[&self.labels[index]]).collect(),
            classes: kept.iter().map(|&class| self.classes[class as usize].clone()).collect(),
            groups: self.groups.as_ref().map(|of| kept.iter().map(|&class| of[class as usize]).collect()),
            original: indices.iter().map(|&index| self.original[index]).collect(),
        }
    }

    /// All samples of some classes, in their order.
    #[must_use]
    pub fn of_classes(&self, classes: &[u32]) -> Self {
        let mut wanted = vec![false; self.classes.len()];
        for &class in classes {
            wanted[class as usize] = true;
        }
        let kept: Vec<usize> =
            (0..self.count()).filter(|&index| wanted[self.labels[index] as usize]).collect();
        self.select(&kept)
    }

    /// Two sets one after the other; classes are told apart by name, and no name may be in both.
    fn join(mut self, other: &Self) -> Self {
        let classes = self.classes.len() as u32;
        let group = self.groups.as_ref().and_then(|of| of.iter().max()).map_or(0, |&last| last + 1);
        self.values.extend_from_slice(&other.values);
        self.labels.extend(other.labels.iter().map(|label| label + classes));
        self.classes.extend(other.classes.iter().cloned());
        self.original.extend_from_slice(&other.original);
        self.groups = match (self.groups, &other.groups) {
            (Some(mut own), Some(others)) => {
                own.extend(others.iter().map(|of| of + group));
                Some(own)
            }
            _ => None,
        };
        self
    }
}

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
}

impl DataSet {
    /// A checksum (CRC-32) of shapes, values, labels and class names of the three parts: data that differ have
    /// another, but for one case in four thousand million. It guards against mistakes, not against intent.
    #[must_use]
    pub fn fingerprint(&self) -> u32 {
        let mut crc = flate2::Crc::new();
        for part in [&self.train, &self.validation, &self.test] {
            part.shape.iter().for_each(|&size| crc.update(&(size as u64).to_le_bytes()));
            // In blocks: the checksum is fast on many bytes at once, and a whole copy could be large.
            let mut block = Vec::new();
            for values in part.values.chunks(1 << 14) {
                block.clear();
                block.extend(values.iter().flat_map(|value| value.to_le_bytes()));
                crc.update(&block);
            }
            part.labels.iter().for_each(|label| crc.update(&label.to_le_bytes()));
            for class in &part.classes {
                crc.update(class.as_bytes());
                crc.update(&[0]);
            }
        }
        crc.sum()
    }

    /// One part, or all three in the order of the fields.
    #[must_use]
    pub fn part(self, part: Part) -> Samples {
        match part {
            Part::Train => self.train,
            Part::Validation => self.validation,
            Part::Test => self.test,
            Part::All => self.train.join(&self.validation).join(&self.test),
        }
    }
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
    let (found, name) = find(source)?;
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
    let (found, _) = find(source)?;
    let parts = match found {
        source::Found::Whole(samples) => {
            ensure!(
                matches!(part, Part::Test | Part::All),
                "{source} has no {} part of its own",
                if part == Part::Train { "train" } else { "validation" }
            );
            return Ok(samples);
        }
        source::Found::Parts(parts) => *parts,
    };
    Ok(match (part, parts.validation) {
        (Part::Train, _) => parts.train,
        (Part::Test, _) => parts.test,
        (Part::Validation, Some(validation)) => validation,
        (Part::Validation, None) => bail!("{source} has no validation part of its own"),
        (Part::All, Some(validation)) => parts.train.join(&validation).join(&parts.test),
        (Part::All, None) => parts.train.join(&parts.test),
    })
}

/// What is at `source`, and its name.
fn find(source: &str) -> Result<(source::Found, String)> {
    if source == "kana" {
        return Ok((source::Found::Parts(Box::new(kana::parts()?)), source.to_owned()));
    }
    let path = Path::new(source);
    Ok((source::read(path)?, source::name(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four samples of classes 5, 3, 5 and 9, in groups 1, 0, 1 and 0.
    fn samples() -> Samples {
        let samples = Samples::new([1, 1, 1], vec![0.0, 1.0, 2.0, 3.0], vec![5, 3, 5, 9]).unwrap();
        samples.with_groups(&[70, 60, 70, 60]).unwrap()
    }

    #[test]
    fn a_selection_numbers_its_classes_anew() {
        let picked = samples().select(&[3, 0]);
        assert_eq!((picked.values, picked.original), (vec![3.0, 0.0], vec![9, 5]));
        assert_eq!((picked.labels, picked.groups), (vec![1, 0], Some(vec![1, 0])));
        assert_eq!(picked.classes, ["5", "9"]);
        let nothing = samples().select(&[]);
        assert_eq!((nothing.count(), nothing.classes.len(), nothing.size()), (0, 0, 1));
    }

    #[test]
    fn classes_and_members_agree() {
        assert_eq!(samples().by_class(), [vec![1], vec![0, 2], vec![3]]);
        assert_eq!(samples().of_classes(&[1, 2]).values, [0.0, 2.0, 3.0]);
    }

    #[test]
    fn the_fingerprint_follows_values_labels_and_names() {
        let set = |change: &dyn Fn(&mut Samples)| {
            let mut train = samples();
            change(&mut train);
            DataSet { name: "x".into(), train, validation: samples(), test: samples() }.fingerprint()
        };
        let same = set(&|_| {});
        assert_eq!(same, set(&|_| {}));
        assert_ne!(same, set(&|train| train.values[3] = 3.5));
        assert_ne!(same, set(&|train| train.labels.swap(0, 1)));
        assert_ne!(same, set(&|train| train.classes[0] = "4".into()));
    }

    #[test]
    fn joined_parts_keep_their_groups_apart() {
        let (first, rest) = (samples().of_classes(&[0]), samples().of_classes(&[1, 2]));
        let all = first.join(&rest);
        assert_eq!(all.original, [3, 5, 5, 9]);
        assert_eq!((all.labels, all.groups), (vec![0, 1, 1, 2], Some(vec![0, 2, 1])));
    }

    #[test]
    fn what_does_not_fit_is_an_error_with_its_numbers() {
        let error = |values: &[f32], labels: &[i64]| {
            Samples::new([1, 2, 1], values.to_vec(), labels.to_vec()).unwrap_err().to_string()
        };
        assert_eq!(error(&[0.0; 4], &[1, 2, 3]), "there are 2 samples but 3 labels");
        assert!(error(&[0.0; 3], &[1]).contains("no whole samples"));
        assert!(error(&[], &[]).contains("no values"));
        assert!(error(&[0.0, 1.0, f32::NAN, 0.0], &[1, 2]).starts_with("row 1, value 0: NaN"));
        assert!(error(&[0.0, f32::INFINITY], &[1]).starts_with("row 0, value 1: inf"));
        assert!(Samples::new([usize::MAX, 2, 1], vec![0.0], vec![0]).is_err());
        assert!(samples().with_groups(&[1, 2]).unwrap_err().to_string().contains("4 samples but 2 groups"));
        let split = samples().with_groups(&[1, 2, 3, 4]).unwrap_err().to_string();
        assert_eq!(split, "class 5 is in two groups, 1 and 3");
        assert!(
            samples().with_names(&["a".to_owned()]).unwrap_err().to_string().contains("has no name among 1")
        );
    }
}
