//! Samples and their classes: numbers in memory, or pictures in files that are decoded when they are wanted.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};

use super::gather::{MEMORY, PROBES};
use super::picture::{Geometry, Pictures};
use super::{bytes, parallel, view};

/// Samples and their classes.
///
/// ```
/// use nearfar::data::Samples;
/// // Three samples of two features, stored with labels 7, 3 and 7.
/// let samples = Samples::new([1, 1, 2], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0], vec![7, 3, 7])?;
/// assert_eq!(samples.labels, [1, 0, 1]);
/// assert_eq!(samples.classes, ["3", "7"]);
/// assert_eq!(samples.of_classes(&[1]).values(), [0.0, 1.0, 4.0, 5.0]);
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Samples {
    /// Height, width and channels of what a network sees; a vector of D numbers is `[1, 1, D]`.
    pub shape: [usize; 3],
    /// Classes as `0..classes.len()`, `[N]`; each of them occurs.
    pub labels: Vec<u32>,
    /// Names by label: those of the file, or its numbers as text.
    pub classes: Vec<String>,
    /// Group of each class, an alphabet perhaps; groups are held out as wholes.
    pub groups: Option<Vec<u32>>,
    /// Labels as stored, `[N]`; of named classes, the place of the name in alphabetical order.
    pub original: Vec<i64>,
    /// Threads that prepare inputs in the background; with 1, they are prepared when they are wanted. The inputs do
    /// not depend on it.
    pub workers: usize,
    /// `[N, frame]`; empty where pictures are decoded when they are wanted.
    values: Arc<Vec<f32>>,
    /// Where the samples come from, if from pictures in files.
    pictures: Option<Pictures>,
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
        Self::labelled(shape, values, None, original)
    }

    /// Puts pictures and stored labels together; `values` are the decoded frames, or none.
    pub(super) fn of_pictures(pictures: Pictures, values: Vec<f32>, original: Vec<i64>) -> Result<Self> {
        ensure!(pictures.files.len() == original.len(), "there are as many pictures as labels");
        let shape = pictures.geometry.shape(pictures.frame);
        Self::labelled(shape, values, Some(pictures), original)
    }

    fn labelled(
        shape: [usize; 3],
        values: Vec<f32>,
        pictures: Option<Pictures>,
        original: Vec<i64>,
    ) -> Result<Self> {
        let stored: BTreeSet<i64> = original.iter().copied().collect();
        u32::try_from(stored.len()).context("there are more classes than can be numbered")?;
        let stored: Vec<i64> = stored.into_iter().collect();
        // Every label is in `stored`, so both arms of the search give its place.
        let dense = |label: &i64| stored.binary_search(label).unwrap_or_else(|place| place) as u32;
        let labels = original.iter().map(dense).collect();
        let classes = stored.iter().map(i64::to_string).collect();
        let values = Arc::new(values);
        Ok(Self { shape, labels, classes, groups: None, original, workers: 1, values, pictures })
    }

    /// Names classes by the stored label, `names[label]`; every label must have its name.
    pub fn with_names(self, names: &[String]) -> Result<Self> {
        self.named(|stored| {
            let name = usize::try_from(stored).ok().and_then(|at| names.get(at));
            name.with_context(|| format!("class {stored} has no name among {}", names.len()))
        })
    }

    /// Names classes by the stored label; every label must have its name.
    pub(super) fn named<'n>(mut self, name: impl Fn(i64) -> Result<&'n String>) -> Result<Self> {
        for (&label, &stored) in self.labels.iter().zip(&self.original) {
            self.classes[label as usize].clone_from(name(stored)?);
        }
        Ok(self)
    }

    /// The same samples with other stored labels, `[N]`, and classes numbered by them; groups stay with their class.
    pub(super) fn relabelled(mut self, original: Vec<i64>) -> Result<Self> {
        let groups = self.groups.take();
        let values = Arc::unwrap_or_clone(self.values);
        let fresh = Self::labelled(self.shape, values, self.pictures, original)?;
        Ok(Self { groups, workers: self.workers, ..fresh })
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

    /// Numbers in what a network sees of a sample.
    #[must_use]
    pub fn size(&self) -> usize {
        self.shape.iter().product()
    }

    /// Height, width and channels of what is stored of a sample: larger than [`shape`](Self::shape) where a part of
    /// the picture is shown.
    #[must_use]
    pub fn frame(&self) -> [usize; 3] {
        self.pictures.as_ref().map_or(self.shape, |pictures| pictures.frame)
    }

    /// All numbers, `[N, height, width, channels]` of the [`frame`](Self::frame), in the scale of the file: 0 to 255
    /// for images of bytes. Empty where pictures are decoded when they are wanted.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The files of the samples, where these are pictures, and how they are shown.
    #[must_use]
    pub fn pictures(&self) -> Option<&Pictures> {
        self.pictures.as_ref()
    }

    /// How pictures are shown; as they are, where they are not from files.
    #[must_use]
    pub fn geometry(&self) -> Geometry {
        self.pictures.as_ref().map_or_else(Geometry::default, |pictures| pictures.geometry)
    }

    /// What is stored of a sample, `[frame]`. Errors: a picture that cannot be read, with its file.
    pub fn stored(&self, index: usize) -> Result<Cow<'_, [f32]>> {
        match &self.pictures {
            Some(pictures) if self.values.is_empty() => {
                let mut frame = Vec::new();
                pictures.decode(index, &mut frame)?;
                Ok(Cow::Owned(frame))
            }
            _ => {
                let size = self.frame().iter().product::<usize>();
                Ok(Cow::Borrowed(&self.values[index * size..][..size]))
            }
        }
    }

    /// What a network sees of a sample outside training, `[shape]`: the middle of what is stored.
    pub fn sample(&self, index: usize) -> Result<Cow<'_, [f32]>> {
        let stored = self.stored(index)?;
        let frame = self.frame();
        if frame == self.shape {
            return Ok(stored);
        }
        let mut shown = vec![0.0; self.size()];
        view::middle(frame, self.shape).show(&stored, &mut shown);
        Ok(Cow::Owned(shown))
    }

    /// What a network sees of some samples outside training, each given to `put` with its equal share of `out`.
    pub(crate) fn read(
        &self,
        range: Range<usize>,
        out: &mut [f32],
        put: impl Fn(&[f32], &mut [f32]) + Sync,
    ) -> Result<()> {
        let share = out.len() / range.len().max(1);
        // Numbers in memory are there already.
        let workers = if self.values.is_empty() { self.workers } else { 1 };
        parallel::for_each(workers, range.zip(out.chunks_exact_mut(share.max(1))), |(index, out)| {
            put(&self.sample(index)?, out);
            Ok(())
        })
    }

    /// Labels by the numbering of another part of the same set; classes that it lacks get the number after its last.
    #[must_use]
    pub fn labels_among(&self, other: &Self) -> Vec<u32> {
        let known: BTreeMap<&str, u32> = other.classes.iter().map(String::as_str).zip(0..).collect();
        let missing = other.classes.len() as u32;
        let of = |&label: &u32| known.get(&*self.classes[label as usize]).copied().unwrap_or(missing);
        self.labels.iter().map(of).collect()
    }

    /// What a network sees of all samples outside training, one after the other; of pictures that would fill more
    /// than 1 GiB, of some, spread evenly: the files alone decide of which.
    pub fn glance(&self) -> Result<Cow<'_, [f32]>> {
        if self.frame() == self.shape && !self.values.is_empty() {
            return Ok(Cow::Borrowed(self.values()));
        }
        let (frame, size): (usize, usize) = (self.frame().iter().product(), self.size());
        let fit = usize::try_from(MEMORY)? / 4 / frame;
        let step = if self.count() <= fit { 1 } else { self.count().div_ceil(fit.clamp(1, PROBES)) };
        let picked: Vec<usize> = (0..self.count()).step_by(step).collect();
        let mut values = vec![0.0; picked.len() * size];
        let pieces = picked.into_iter().zip(values.chunks_exact_mut(size));
        parallel::for_each(self.workers, pieces, |(index, out)| {
            out.copy_from_slice(&self.sample(index)?);
            Ok(())
        })?;
        Ok(Cow::Owned(values))
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
        let size: usize = if self.values.is_empty() { 0 } else { self.frame().iter().product() };
        let values = indices.iter().flat_map(|&index| &self.values[index * size..][..size]).copied();
        Self {
            shape: self.shape,
            labels: indices.iter().map(|&index| renamed[&self.labels[index]]).collect(),
            classes: kept.iter().map(|&class| self.classes[class as usize].clone()).collect(),
            groups: self.groups.as_ref().map(|of| kept.iter().map(|&class| of[class as usize]).collect()),
            original: indices.iter().map(|&index| self.original[index]).collect(),
            workers: self.workers,
            values: Arc::new(values.collect()),
            pictures: self.pictures.as_ref().map(|pictures| pictures.select(indices)),
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

    /// Two parts of one set, one after the other; classes are the same if their names are.
    #[must_use]
    pub(super) fn join(mut self, other: &Self) -> Self {
        let group = self.groups.as_ref().and_then(|of| of.iter().max()).map_or(0, |&last| last + 1);
        let mut known: BTreeMap<String, u32> = self.classes.iter().cloned().zip(0..).collect();
        let mut places = Vec::with_capacity(other.classes.len());
        for (label, class) in other.classes.iter().enumerate() {
            let next = self.classes.len() as u32;
            let place = *known.entry(class.clone()).or_insert(next);
            places.push(place);
            if place == next {
                self.classes.push(class.clone());
                if let (Some(own), Some(others)) = (&mut self.groups, &other.groups) {
                    own.push(others[label] + group);
                }
            }
        }
        if other.groups.is_none() {
            self.groups = None;
        }
        Arc::make_mut(&mut self.values).extend_from_slice(other.values());
        self.labels.extend(other.labels.iter().map(|&label| places[label as usize]));
        self.original.extend_from_slice(&other.original);
        if let (Some(own), Some(others)) = (&mut self.pictures, &other.pictures) {
            own.files.extend(others.files.iter().cloned());
        }
        self
    }
}

#[cfg(test)]
#[path = "samples_tests.rs"]
mod tests;
