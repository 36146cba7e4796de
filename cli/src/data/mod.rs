//! Data: samples with labels, from the embedded set or from files, split so that no test class is seen in training.

pub mod augment;
pub mod idx;
pub mod kana;
pub mod normalize;
pub mod npy;
pub mod table;

mod bytes;
mod folder;
mod source;
mod split;
mod tensors;

use std::path::Path;

use anyhow::{Result, ensure};

use crate::args::Part;
use crate::config::DataConfig;

/// Samples of one shape with their classes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// Height, width, channels; features are one pixel with a channel each.
    pub shape: [usize; 3],
    /// All numbers, sample after sample, channels innermost, in the scale of the file.
    pub values: Vec<f32>,
    /// Class of each sample, numbered from 0 without gaps.
    pub labels: Vec<u32>,
    /// Name of each class.
    pub classes: Vec<String>,
    /// Group of each class, such as its alphabet, where the data have groups.
    pub groups: Option<Vec<u32>>,
}

impl Samples {
    /// Samples with labels of any integers, which become names of classes in increasing order.
    pub fn labelled(shape: [usize; 3], values: Vec<f32>, original: &[i64]) -> Result<Self> {
        let mut distinct = original.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let names = distinct.iter().map(ToString::to_string).collect();
        let dense = |label: &i64| distinct.binary_search(label).expect("every label is among them") as u32;
        Self::new(shape, values, original.iter().map(dense).collect(), names)
    }

    /// Checked parts: as many labels as samples, every number finite.
    fn new(shape: [usize; 3], values: Vec<f32>, labels: Vec<u32>, classes: Vec<String>) -> Result<Self> {
        let samples = Self { shape, values, labels, classes, groups: None };
        ensure!(samples.size() > 0, "samples of {shape:?} hold no numbers");
        let count = samples.values.len() / samples.size();
        ensure!(count == samples.labels.len(), "{} labels for {count} samples", samples.labels.len());
        if let Some(at) = samples.values.iter().position(|v| !v.is_finite()) {
            anyhow::bail!(
                "row {} holds NaN or infinity (number {})",
                at / samples.size(),
                at % samples.size()
            );
        }
        Ok(samples)
    }

    /// Numbers in one sample.
    #[must_use]
    pub fn size(&self) -> usize {
        self.shape.iter().product()
    }

    /// Number of samples.
    #[must_use]
    pub fn count(&self) -> usize {
        self.labels.len()
    }

    /// One sample.
    #[must_use]
    pub fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.size()..][..self.size()]
    }

    /// Name of a sample's class.
    #[must_use]
    pub fn class_of(&self, index: usize) -> &str {
        &self.classes[self.labels[index] as usize]
    }

    /// The samples of the classes that `keep` accepts, classes numbered anew in the same order.
    #[must_use]
    pub fn of_classes(&self, keep: impl Fn(u32) -> bool) -> Self {
        let kept: Vec<u32> = (0..self.classes.len() as u32).filter(|&class| keep(class)).collect();
        let mut part = Self {
            shape: self.shape,
            classes: kept.iter().map(|&class| self.classes[class as usize].clone()).collect(),
            groups: self
                .groups
                .as_ref()
                .map(|groups| kept.iter().map(|&class| groups[class as usize]).collect()),
            ..Self::default()
        };
        for (sample, label) in self.labels.iter().enumerate() {
            if let Ok(label) = kept.binary_search(label) {
                part.labels.push(label as u32);
                part.values.extend_from_slice(self.row(sample));
            }
        }
        part
    }

    /// Appends other samples of the same shape; their classes are others even where names agree.
    fn append(&mut self, other: &Self) {
        let first = self.classes.len() as u32;
        self.values.extend_from_slice(&other.values);
        self.labels.extend(other.labels.iter().map(|label| first + label));
        self.classes.extend_from_slice(&other.classes);
        self.groups = None;
    }
}

/// Data in parts with disjoint classes.
#[derive(Clone, Debug, PartialEq)]
pub struct DataSet {
    /// Short name, for run folders.
    pub name: String,
    /// What a network learns from.
    pub train: Samples,
    /// Classes held out to choose recipes; may be empty.
    pub validation: Samples,
    /// Unseen classes, used once at the end.
    pub test: Samples,
}

/// Reads what the configuration names and splits it.
pub fn load(config: &DataConfig) -> Result<DataSet> {
    split::split(source::open(&config.source)?, config)
}

/// One part of the data at `source`, for embedding.
pub fn load_part(config: &DataConfig, part: Part) -> Result<Samples> {
    if let (Part::All, source::Parts::Whole(samples)) = (part, source::open(&config.source)?.parts) {
        return Ok(samples);
    }
    let DataSet { train, validation, test, .. } = load(config)?;
    Ok(match part {
        Part::Train => train,
        Part::Validation => validation,
        Part::Test => test,
        Part::All => {
            let mut all = train;
            all.append(&validation);
            all.append(&test);
            all
        }
    })
}

/// `path` as messages show it.
fn show(path: &Path) -> String {
    path.display().to_string()
}
