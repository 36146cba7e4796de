//! Class-disjoint parts: what the data say themselves, and seeded choices of classes for the rest.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use nearfar_core::{Key, Stream, shuffle};

use super::source::{Parts, Source};
use super::{DataSet, Samples};
use crate::config::DataConfig;

/// Classes that each of training and test must have.
const FEWEST: usize = 2;

pub(super) fn split(source: Source, config: &DataConfig) -> Result<DataSet> {
    let Source { name, parts } = source;
    let (train, validation, test) = match parts {
        Parts::Split { train, validation, test } => (train, validation, test),
        Parts::Whole(samples) => {
            pairs(&samples).with_context(|| name.clone())?;
            let classes = samples.classes.len();
            ensure!(
                classes >= 2 * FEWEST,
                "{name} has {classes} classes: at least {} are needed, to train on some and test on others",
                2 * FEWEST
            );
            let test = ((classes as f64 * config.test).round() as usize).clamp(FEWEST, classes - FEWEST);
            let (train, test) = hold_out(&samples, &by_class(&samples), test, config.split_seed, 0);
            (train, None, test)
        }
    };
    pairs(&train).with_context(|| format!("{name}, training part"))?;
    let (train, validation) = match validation {
        Some(validation) => (train, validation),
        None => validation_part(train, config),
    };
    Ok(DataSet { name, train, validation, test })
}

/// Refuses samples without positive or without negative pairs.
fn pairs(samples: &Samples) -> Result<()> {
    ensure!(samples.classes.len() >= FEWEST, "there is one class only, so there are no negative pairs");
    let mut sizes = vec![0; samples.classes.len()];
    samples.labels.iter().for_each(|&label| sizes[label as usize] += 1);
    ensure!(
        sizes.iter().any(|&size| size > 1),
        "every class has a single sample, so there are no positive pairs"
    );
    Ok(())
}

/// Takes whole groups, or classes where there are none, out of the training part until the share is reached.
fn validation_part(train: Samples, config: &DataConfig) -> (Samples, Samples) {
    let units = train.groups.clone().unwrap_or_else(|| by_class(&train));
    let wanted = (train.classes.len() as f64 * config.validation).round() as usize;
    if wanted < FEWEST {
        return (train, Samples::default());
    }
    let (kept, held) = hold_out(&train, &units, wanted, config.split_seed, 1);
    // Groups may be large: rather no validation than nothing to train on.
    if kept.classes.len() < FEWEST || pairs(&kept).is_err() {
        (train, Samples::default())
    } else {
        (kept, held)
    }
}

/// Every class a group of its own.
fn by_class(samples: &Samples) -> Vec<u32> {
    (0..samples.classes.len() as u32).collect()
}

/// Moves groups of classes, in the order of a seeded permutation, until at least `wanted` classes are held out.
fn hold_out(samples: &Samples, groups: &[u32], wanted: usize, seed: u64, purpose: u32) -> (Samples, Samples) {
    let mut order: Vec<u32> = groups.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    shuffle(&mut order, Key::new(seed, Stream::Split, 0), purpose);
    let mut held = BTreeSet::new();
    for group in order {
        let count = groups.iter().filter(|&g| held.contains(g)).count();
        if count >= wanted {
            break;
        }
        held.insert(group);
    }
    let is_held = |class: u32| held.contains(&groups[class as usize]);
    (samples.of_classes(|class| !is_held(class)), samples.of_classes(is_held))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(classes: i64, each: usize) -> Samples {
        let labels: Vec<i64> = (0..classes).flat_map(|class| std::iter::repeat_n(class, each)).collect();
        Samples::labelled([1, 1, 1], vec![1.0; labels.len()], &labels).unwrap()
    }

    fn config() -> DataConfig {
        DataConfig { source: "x".into(), validation: 0.25, test: 0.5, split_seed: 3 }
    }

    fn whole(samples: Samples) -> Source {
        Source { name: "x".into(), parts: Parts::Whole(samples) }
    }

    #[test]
    fn parts_have_no_class_in_common_and_lose_none() {
        let data = split(whole(samples(16, 3)), &config()).unwrap();
        let mut names: Vec<_> =
            [&data.train, &data.validation, &data.test].map(|p| p.classes.clone()).concat();
        assert_eq!([&data.train, &data.validation, &data.test].map(|p| p.classes.len()), [6, 2, 8]);
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 16);
        assert_eq!(data, split(whole(samples(16, 3)), &config()).unwrap());
    }

    #[test]
    fn validation_takes_whole_groups() {
        let mut train = samples(12, 2);
        train.groups = Some((0..12).map(|class| class / 3).collect());
        let source = Parts::Split { train, validation: None, test: samples(2, 2) };
        let data = split(Source { name: "x".into(), parts: source }, &config()).unwrap();
        assert_eq!(data.validation.classes.len(), 3);
        let groups = data.validation.groups.unwrap();
        assert!(groups.iter().all(|&g| g == groups[0]));
    }

    #[test]
    fn data_that_cannot_be_split_say_why() {
        let error = |s| format!("{:#}", split(whole(s), &config()).unwrap_err());
        assert!(error(samples(1, 5)).contains("one class only"));
        assert!(error(samples(9, 1)).contains("single sample"));
        assert!(error(samples(3, 5)).contains("at least 4"));
    }
}
