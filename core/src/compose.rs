//! Batches: some classes, `m` samples of each, so that every sample finds positives in its batch.
//!
//! A batch is a pure function of the seed and its number, and of the order of classes where the caller has one: a run
//! that is taken up again needs no other state.

use alloc::vec::Vec;
use core::fmt;

use crate::rng::{Key, Stream, shuffle};

/// What a class with fewer than `m` samples does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SmallClass {
    /// It gives all it has; a class of one sample then serves as negative only.
    #[default]
    Take,
    /// It is left out.
    Skip,
    /// Nothing is composed: [`ComposeError::SmallClass`].
    Refuse,
}

/// Composes batches of `classes` classes with `per_class` samples each, both without replacement.
///
/// Classes come in passes, each a permutation of all of them, cut into `ceil(K / classes)` batches; the last batch
/// of a pass is filled up with the first classes of the same pass. Samples of a class come in rounds, each a
/// permutation cut into `ceil(size / m)` parts filled up in the same way; each pass uses the next part. No batch
/// holds a class or a sample twice.
///
/// ```
/// use nearfar_core::{Composer, SmallClass};
/// let labels = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2];
/// let composer = Composer::new(&labels, 2, 2, SmallClass::Take, 7)?;
/// // Three classes in batches of two: 2 batches a pass. Four samples by two: 2 passes.
/// assert_eq!(composer.epoch(), 4);
/// let mut batch = Vec::new();
/// composer.batch(0, &mut batch);
/// assert_eq!(batch.len(), 4);
/// # Ok::<(), nearfar_core::ComposeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Composer {
    /// Samples of each class that takes part.
    members: Vec<Vec<u32>>,
    /// Label of each, rising.
    labels: Vec<u32>,
    classes: usize,
    per_class: usize,
    seed: u64,
}

impl Composer {
    /// A plan over samples with these labels. More classes than there are means all of them.
    pub fn new(
        labels: &[u32],
        classes: usize,
        per_class: usize,
        small: SmallClass,
        seed: u64,
    ) -> Result<Self, ComposeError> {
        if classes < 2 || per_class < 2 {
            return Err(ComposeError::TooSmall { classes, per_class });
        }
        let count = labels.iter().max().map_or(0, |&label| label as usize + 1);
        // One slot a class is affordable only for labels without gaps.
        if count > labels.len() {
            return Err(ComposeError::Gaps { largest: count - 1, samples: labels.len() });
        }
        let mut members = alloc::vec![Vec::new(); count];
        for (sample, &label) in labels.iter().enumerate() {
            members[label as usize].push(sample as u32);
        }
        let is_small = |class: &Vec<u32>| !class.is_empty() && class.len() < per_class;
        if small == SmallClass::Refuse
            && let Some(class) = members.iter().position(is_small)
        {
            return Err(ComposeError::SmallClass { class, samples: members[class].len(), per_class });
        }
        let takes_part =
            |class: &Vec<u32>| !class.is_empty() && (small != SmallClass::Skip || !is_small(class));
        let labels =
            (0..).zip(&members).filter(|(_, class)| takes_part(class)).map(|(label, _)| label).collect();
        members.retain(takes_part);
        if members.len() < 2 {
            return Err(ComposeError::Classes(members.len()));
        }
        if members.iter().all(|class| class.len() < 2) {
            return Err(ComposeError::Singletons);
        }
        let classes = classes.min(members.len());
        Ok(Self { members, labels, classes, per_class, seed })
    }

    /// Largest number of samples in a batch.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.classes * self.per_class
    }

    /// Batches of one pass over the classes.
    #[must_use]
    pub fn pass(&self) -> usize {
        self.members.len().div_ceil(self.classes)
    }

    /// Batches after which every sample was seen at least once: a pass for each part of the largest class.
    #[must_use]
    pub fn epoch(&self) -> usize {
        let parts = self.members.iter().map(|class| class.len().div_ceil(self.per_class)).max().unwrap_or(1);
        self.pass() * parts
    }

    /// The classes that take part, as pass number `pass` takes them.
    #[must_use]
    pub fn order(&self, pass: u32) -> Vec<u32> {
        let mut order = self.labels.clone();
        shuffle(&mut order, Key::new(self.seed, Stream::Classes, pass), 0);
        order
    }

    /// Puts the samples of batch number `step` into `batch`, class after class.
    pub fn batch(&self, step: u32, batch: &mut Vec<u32>) {
        self.batch_in(&self.order(step / self.pass() as u32), step, batch);
    }

    /// As [`batch`](Self::batch), in a pass that takes its classes in an order of the caller: that of
    /// [`order`](Self::order) in another arrangement, or it panics.
    ///
    /// ```
    /// use nearfar_core::{Composer, SmallClass};
    /// let labels = [0, 0, 1, 1, 2, 2, 3, 3];
    /// let composer = Composer::new(&labels, 2, 2, SmallClass::Take, 7)?;
    /// let mut batch = Vec::new();
    /// composer.batch_in(&[3, 1, 2, 0], 0, &mut batch);
    /// batch.sort_unstable();
    /// assert_eq!(batch, [2, 3, 6, 7]); // of classes 3 and 1
    /// # Ok::<(), nearfar_core::ComposeError>(())
    /// ```
    pub fn batch_in(&self, order: &[u32], step: u32, batch: &mut Vec<u32>) {
        assert_eq!(order.len(), self.labels.len(), "classes that take part");
        let (pass, place) = (step / self.pass() as u32, step as usize % self.pass());
        batch.clear();
        for at in place * self.classes..(place + 1) * self.classes {
            let class = self.labels.binary_search(&order[at % order.len()]).expect("a class that takes part");
            // A class that fills up the last batch was in this pass already: it takes a part of a round of its own.
            let extra = at >= order.len();
            self.part(class, pass, extra, batch);
        }
    }

    /// Appends part number `pass` of the samples of a class.
    fn part(&self, class: usize, pass: u32, extra: bool, batch: &mut Vec<u32>) {
        let members = &self.members[class];
        let parts = members.len().div_ceil(self.per_class);
        let (round, place) = (pass / parts as u32, pass as usize % parts);
        let mut order = members.clone();
        // Items 2c and 2c + 1: the regular rounds of class c, and those that fill up.
        shuffle(&mut order, Key::new(self.seed, Stream::Samples, round), 2 * class as u32 + u32::from(extra));
        let wanted = self.per_class.min(members.len());
        batch.extend((place * self.per_class..).take(wanted).map(|at| order[at % order.len()]));
    }
}

/// Why no batches can be composed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ComposeError {
    /// A batch needs two classes and two samples of each.
    TooSmall {
        /// Classes asked for.
        classes: usize,
        /// Samples of each asked for.
        per_class: usize,
    },
    /// A class has fewer samples than asked for, and the policy is to refuse.
    SmallClass {
        /// The class.
        class: usize,
        /// Its samples.
        samples: usize,
        /// Samples asked for.
        per_class: usize,
    },
    /// Labels have gaps: the largest is not below the number of samples.
    Gaps {
        /// The largest label.
        largest: usize,
        /// Number of samples.
        samples: usize,
    },
    /// Fewer than two classes take part.
    Classes(usize),
    /// Every class has a single sample: there are no positives.
    Singletons,
}

impl fmt::Display for ComposeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TooSmall { classes, per_class } => write!(
                f,
                "a batch of {classes} classes with {per_class} samples each has no triplets; both must be at least 2"
            ),
            Self::SmallClass { class, samples, per_class } => {
                write!(f, "class {class} has {samples} samples, fewer than the {per_class} of a batch")
            }
            Self::Gaps { largest, samples } => {
                write!(
                    f,
                    "label {largest} among {samples} samples: labels must be numbered from 0 without gaps"
                )
            }
            Self::Classes(count) => write!(f, "{count} classes take part; there must be at least 2"),
            Self::Singletons => {
                f.write_str("every class has a single sample, so there are no positive pairs")
            }
        }
    }
}

impl core::error::Error for ComposeError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(sizes: &[usize]) -> Vec<u32> {
        sizes.iter().enumerate().flat_map(|(class, &size)| core::iter::repeat_n(class as u32, size)).collect()
    }

    #[test]
    fn an_epoch_sees_every_sample_and_no_batch_one_twice() {
        for (sizes, classes, per_class) in [(&[7, 3, 12, 5, 4][..], 2, 3), (&[4; 9], 4, 2), (&[2, 2], 5, 2)] {
            let labels = labels(sizes);
            let composer = Composer::new(&labels, classes, per_class, SmallClass::Take, 3).unwrap();
            let mut seen = alloc::vec![0; labels.len()];
            let mut batch = Vec::new();
            for step in 0..composer.epoch() {
                composer.batch(step as u32, &mut batch);
                assert!(batch.len() <= composer.capacity());
                let mut sorted = batch.clone();
                sorted.sort_unstable();
                sorted.dedup();
                assert_eq!(sorted.len(), batch.len(), "a sample twice in {batch:?}");
                batch.iter().for_each(|&i| seen[i as usize] += 1);
            }
            assert!(seen.iter().all(|&n| n > 0), "{sizes:?}: {seen:?}");
        }
    }

    #[test]
    fn a_batch_is_a_function_of_its_number() {
        let labels = labels(&[6; 10]);
        let composer = Composer::new(&labels, 4, 3, SmallClass::Take, 3).unwrap();
        let (mut one, mut other) = (Vec::new(), Vec::new());
        composer.batch(17, &mut one);
        composer.batch(3, &mut other);
        assert_ne!(one, other);
        composer.batch(17, &mut other);
        assert_eq!(one, other);
    }

    #[test]
    fn an_order_of_the_caller_decides_which_classes_meet() {
        let labels = labels(&[6, 3, 6, 6]);
        let composer = Composer::new(&labels, 2, 3, SmallClass::Take, 3).unwrap();
        let (mut batch, mut given) = (Vec::new(), Vec::new());
        for step in 0..8 {
            let order = composer.order(step / 2);
            composer.batch(step, &mut batch);
            composer.batch_in(&order, step, &mut given);
            assert_eq!(batch, given);
            // Backwards, the pass's other batch has these classes.
            composer.batch_in(&order.into_iter().rev().collect::<Vec<_>>(), step ^ 1, &mut given);
            batch.sort_unstable();
            given.sort_unstable();
            assert_eq!(batch, given);
        }
    }

    #[test]
    fn classes_that_are_too_small_follow_the_policy() {
        let labels = labels(&[5, 1, 5]);
        let make = |small| Composer::new(&labels, 3, 2, small, 0);
        assert_eq!(make(SmallClass::Take).unwrap().members.len(), 3);
        assert_eq!(make(SmallClass::Skip).unwrap().members.len(), 2);
        let mut order = make(SmallClass::Skip).unwrap().order(3);
        order.sort_unstable();
        assert_eq!(order, [0, 2]);
        let refused = ComposeError::SmallClass { class: 1, samples: 1, per_class: 2 };
        assert_eq!(make(SmallClass::Refuse).unwrap_err(), refused);
    }

    #[test]
    fn data_without_pairs_are_refused() {
        let make = |labels: &[u32]| Composer::new(labels, 2, 2, SmallClass::Take, 0).unwrap_err();
        assert_eq!(make(&[0, 0, 0]), ComposeError::Classes(1));
        assert_eq!(make(&[0, 1, 2]), ComposeError::Singletons);
        assert_eq!(make(&[]), ComposeError::Classes(0));
        assert_eq!(make(&[0, u32::MAX]), ComposeError::Gaps { largest: u32::MAX as usize, samples: 2 });
    }
}
