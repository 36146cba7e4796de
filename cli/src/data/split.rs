//! Holding classes out: for testing where the data do not say which, then for validation.
//!
//! The choice is a function of `split_seed` and of the classes alone. Whole groups are held out for validation where
//! classes have groups: characters of one alphabet resemble each other, so an alphabet that is only half unseen is
//! not unseen.

use std::collections::BTreeSet;

use anyhow::{Result, bail, ensure};
use nearfar_core::{Key, Stream, shuffle};

use super::source::{Found, Parts};
use super::{DataSet, Samples};
use crate::config::DataConfig;

/// Fewest classes of a part: with one, nothing is far from anything.
const CLASSES_MIN: usize = 2;

/// What a choice is for: the item of its random numbers.
#[derive(Clone, Copy)]
enum Choice {
    Test = 0,
    Validation = 1,
    ValidationGroups = 2,
}

/// Makes the three parts.
pub(super) fn divide(found: Found, name: String, config: &DataConfig) -> Result<DataSet> {
    let Parts { train, validation, test, queries } = match found {
        Found::Parts(parts) => *parts,
        Found::Whole(samples) => hold_out_test(&samples, config)?,
    };
    can_teach(&train, "train")?;
    match &queries {
        Some(queries) => can_answer(&test, queries)?,
        None => can_teach(&test, "test")?,
    }
    let (train, validation) = match validation {
        Some(validation) => {
            can_teach(&validation, "validation")?;
            (train, validation)
        }
        None => hold_out_validation(train, config)?,
    };
    can_teach(&train, "train")?;
    Ok(DataSet { name, train, validation, test, queries })
}

/// Splits a set by class; both parts must keep enough classes.
fn hold_out_test(samples: &Samples, config: &DataConfig) -> Result<Parts> {
    can_teach(samples, "whole")?;
    let share = config.test;
    ensure!(share > 0.0 && share < 1.0, "data.test is {share}; a share lies between 0 and 1");
    let classes = samples.classes.len();
    let held = portion(share, classes);
    ensure!(
        held >= CLASSES_MIN && classes - held >= CLASSES_MIN,
        "a test share of {share} of {classes} classes is {held}; {CLASSES_MIN} at least must be in each of train and \
         test"
    );
    let (held, kept) = choose(classes, held, config.split_seed, Choice::Test);
    Ok(Parts {
        train: samples.of_classes(&kept),
        validation: None,
        test: samples.of_classes(&held),
        queries: None,
    })
}

/// Splits training data, by group where there are two groups or more; a share too small for two classes holds out
/// nothing, and so does one in which no class has two samples.
fn hold_out_validation(train: Samples, config: &DataConfig) -> Result<(Samples, Samples)> {
    let share = config.validation;
    ensure!((0.0..1.0).contains(&share), "data.validation is {share}; a share lies in [0, 1)");
    let classes = train.classes.len();
    let distinct =
        |groups: &[u32]| groups.iter().copied().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>();
    let (held, kept) = match train.groups.as_deref().map(|groups| (groups, distinct(groups))) {
        Some((groups, names)) if names.len() > 1 => {
            let count = portion(share, names.len());
            let (held, _) = choose(names.len(), count, config.split_seed, Choice::ValidationGroups);
            let held: BTreeSet<u32> = held.into_iter().map(|place| names[place as usize]).collect();
            (0..classes as u32).partition(|&class| held.contains(&groups[class as usize]))
        }
        _ => choose(classes, portion(share, classes), config.split_seed, Choice::Validation),
    };
    let validation = train.of_classes(&held);
    if held.len() < CLASSES_MIN || can_teach(&validation, "validation").is_err() {
        let nothing = train.select(&[]);
        return Ok((train, nothing));
    }
    ensure!(
        kept.len() >= CLASSES_MIN,
        "a validation share of {share} leaves {} of {classes} classes to train on; {CLASSES_MIN} are needed",
        kept.len()
    );
    Ok((train.of_classes(&kept), validation))
}

/// A share of a count, to the nearest whole number.
fn portion(share: f64, count: usize) -> usize {
    (share * count as f64).round() as usize
}

/// Chooses `held` of `0..count`: those, and the rest, each in rising order.
fn choose(count: usize, held: usize, seed: u64, choice: Choice) -> (Vec<u32>, Vec<u32>) {
    let mut order: Vec<u32> = (0..count as u32).collect();
    shuffle(&mut order, Key::new(seed, Stream::Split, 0), choice as u32);
    let mut kept = order.split_off(held.min(count));
    order.sort_unstable();
    kept.sort_unstable();
    (order, kept)
}

/// Both a near and a far sample must exist: two classes, and two samples in one of them.
fn can_teach(samples: &Samples, part: &str) -> Result<()> {
    let classes = samples.classes.len();
    ensure!(
        classes >= CLASSES_MIN,
        "the {part} part has {classes} class{}; {CLASSES_MIN} are needed to tell near from far",
        if classes == 1 { "" } else { "es" }
    );
    ensure!(
        samples.by_class().iter().any(|members| members.len() > 1),
        "every class of the {part} part has one sample; two of a class are needed to tell near from far"
    );
    let first = samples.stored(0)?;
    for index in 1..samples.count() {
        if samples.stored(index)? != first {
            return Ok(());
        }
    }
    bail!("all samples of the {part} part are equal: there is nothing to tell apart")
}

/// A gallery needs two classes, one of them that of a query.
fn can_answer(gallery: &Samples, queries: &Samples) -> Result<()> {
    let classes = gallery.classes.len();
    ensure!(
        classes >= CLASSES_MIN,
        "the gallery has {classes} class; {CLASSES_MIN} are needed to tell near from far"
    );
    let known: BTreeSet<i64> = gallery.original.iter().copied().collect();
    ensure!(
        queries.original.iter().any(|class| known.contains(class)),
        "no query has a sample of its class in the gallery"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::recipe::Recipe;

    /// `each` samples of one number in each of `classes` classes.
    fn samples(classes: usize, each: usize) -> Samples {
        let original: Vec<i64> = (0..classes * each).map(|i| (i / each) as i64).collect();
        Samples::new([1, 1, 1], original.iter().map(|&l| l as f32).collect(), original).unwrap()
    }

    fn config(validation: f64, test: f64, split_seed: u64) -> DataConfig {
        DataConfig { validation, test, split_seed, ..Config::recipe(Recipe::Best).data }
    }

    fn whole(samples: Samples, config: &DataConfig) -> Result<DataSet> {
        divide(Found::Whole(samples), "name".into(), config)
    }

    #[test]
    fn parts_share_no_class_and_lose_none() {
        let set = whole(samples(40, 3), &config(0.25, 0.5, 1)).unwrap();
        assert_eq!([&set.train, &set.validation, &set.test].map(|part| part.classes.len()), [15, 5, 20]);
        let mut all: Vec<_> =
            [&set.train, &set.validation, &set.test].iter().flat_map(|part| part.classes.clone()).collect();
        all.sort_by_key(|name| name.parse::<u32>().unwrap());
        assert_eq!(all, samples(40, 3).classes);
        assert_eq!(set.train.count() + set.validation.count() + set.test.count(), 120);
        // A class takes its samples along: the value of each is its stored label.
        for part in [&set.train, &set.validation, &set.test] {
            for (i, &label) in part.labels.iter().enumerate() {
                assert_eq!(part.values()[i], part.original[i] as f32);
                assert_eq!(part.classes[label as usize], part.original[i].to_string());
            }
        }
    }

    #[test]
    fn the_seed_alone_decides() {
        let of = |seed| whole(samples(40, 2), &config(0.1, 0.5, seed)).unwrap();
        assert_eq!(of(3), of(3));
        assert_ne!(of(3).test.classes, of(4).test.classes);
    }

    #[test]
    fn whole_groups_are_held_out() {
        // Twelve classes in four groups of three.
        let train = samples(12, 2);
        let stored: Vec<i64> = train.original.iter().map(|label| 100 + label / 3).collect();
        let parts = Parts {
            train: train.with_groups(&stored).unwrap(),
            validation: None,
            test: samples(2, 2),
            queries: None,
        };
        let set = divide(Found::Parts(Box::new(parts)), "name".into(), &config(0.25, 0.5, 0)).unwrap();
        assert_eq!((set.train.classes.len(), set.validation.classes.len()), (9, 3));
        let held = set.validation.groups.unwrap();
        assert!(held.iter().all(|group| *group == held[0]));
        assert!(!set.train.groups.unwrap().contains(&held[0]));
    }

    #[test]
    fn a_share_too_small_for_two_classes_holds_out_nothing() {
        let set = whole(samples(10, 2), &config(0.2, 0.5, 0)).unwrap();
        assert_eq!((set.train.classes.len(), set.validation.count()), (5, 0));
        assert_eq!(set.validation.shape, set.train.shape);
    }

    #[test]
    fn too_few_classes_are_an_error_with_their_count() {
        let error = whole(samples(1, 5), &config(0.1, 0.5, 0)).unwrap_err().to_string();
        assert!(error.contains("has 1 class;"), "{error}");
        let error = whole(samples(3, 5), &config(0.1, 0.5, 0)).unwrap_err().to_string();
        assert!(error.contains("0.5 of 3 classes is 2"), "{error}");
        let error = whole(samples(6, 5), &config(0.9, 0.5, 0)).unwrap_err().to_string();
        assert!(error.contains("leaves 0 of 3 classes"), "{error}");
    }

    #[test]
    fn classes_of_one_sample_are_an_error() {
        let error = whole(samples(10, 1), &config(0.1, 0.5, 0)).unwrap_err().to_string();
        assert!(error.contains("every class of the whole part has one sample"), "{error}");
    }

    #[test]
    fn shares_that_are_none_are_errors() {
        for bad in [f64::NAN, -0.1, 1.0, f64::INFINITY] {
            assert!(whole(samples(10, 2), &config(bad, 0.5, 0)).is_err(), "validation {bad}");
            assert!(whole(samples(10, 2), &config(0.1, bad, 0)).is_err(), "test {bad}");
        }
    }
}
