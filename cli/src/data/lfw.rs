//! Labeled Faces in the Wild: a folder a person, and lists of pairs of faces to tell apart.
//!
//! ```text
//! lfw/Aaron_Peirsol/Aaron_Peirsol_0001.jpg      or lfw-deepfunneled, lfw_funneled; or the folders beside the lists
//! pairs.txt            10  300                  folds, and pairs of each kind in each
//!                      Abel_Pacheco  1  4       300 pairs of one person, then 300 of two
//!                      Abdel_Madi_Shabneh  1  Dean_Barker  1
//! pairsDevTrain.txt    1100                     the same in one fold; pairsDevTest.txt too
//! peopleDevTrain.txt   4038                     people to learn from, and those of peopleDevTest.txt to test on
//!                      Aaron_Eckhart  1         name, and number of pictures
//! ```
//! Without the lists of people the set is split as any other. Source: Huang, Ramesh, Berg, Learned-Miller, "Labeled
//! Faces in the Wild", University of Massachusetts, Amherst, technical report 07-49, 2007.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::Samples;
use super::folder;
use super::gather::{self, Lists, Reading};
use super::lines::{Line, Lines};
use super::source::Found;

/// Any of these lists says that a folder is one of this set.
const SIGNS: [&str; 6] = [
    "pairs.txt",
    "pairsDevTrain.txt",
    "pairsDevTest.txt",
    "people.txt",
    "peopleDevTrain.txt",
    "peopleDevTest.txt",
];

/// Whether the folder is one of this set.
pub(super) fn is_here(folder: &Path) -> bool {
    SIGNS.iter().any(|sign| folder.join(sign).is_file())
}

/// Reads the set: in two parts where the lists of people are there.
pub(super) fn read(folder: &Path, reading: &Reading) -> Result<Found> {
    let names = ["lfw", "lfw-deepfunneled", "lfw_funneled", "lfw-funneled"];
    let root = names.map(|name| folder.join(name)).into_iter().find(|root| root.is_dir());
    let root: PathBuf = root.unwrap_or_else(|| folder.to_owned());
    let (entries, names) = folder::list(&root)?;
    ensure!(!entries.is_empty(), "{} has no folders of people", root.display());
    let [train, test] = ["peopleDevTrain.txt", "peopleDevTest.txt"].map(|list| folder.join(list));
    if !(train.is_file() && test.is_file()) {
        return gather::whole(entries, &names, true, reading).map(Found::Whole);
    }
    let (train, test) = (people(&train, &names)?, people(&test, &names)?);
    let of = |people: &BTreeSet<i64>| {
        entries.iter().filter(|entry| people.contains(&entry.class)).cloned().collect()
    };
    let lists = Lists { train: of(&train), test: of(&test), names, photographs: true, ..Lists::default() };
    lists.into_parts(reading).map(|parts| Found::Parts(Box::new(parts)))
}

/// The classes of a list of people.
fn people(list: &Path, names: &BTreeMap<i64, String>) -> Result<BTreeSet<i64>> {
    let class_of: HashMap<&str, i64> = names.iter().map(|(&class, name)| (name.as_str(), class)).collect();
    let lines = Lines::read(list)?;
    let mut rows = lines.iter();
    let claimed = match rows.next() {
        Some(line) => {
            let [count] = line.fields("a count of people")?;
            line.number::<usize>(count, "count of people")?
        }
        None => 0,
    };
    let mut classes = BTreeSet::new();
    for line in rows {
        let [name, count] = line.fields("name and count of pictures")?;
        line.number::<usize>(count, "count of pictures")?;
        let class = class_of.get(name).ok_or_else(|| line.place.error(format!("{name} has no folder")))?;
        classes.insert(*class);
    }
    ensure!(classes.len() == claimed, "{} names {} of {claimed} people", list.display(), classes.len());
    Ok(classes)
}

/// Two samples, and whether they are of one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The fold that it is tested in, from 0.
    pub fold: usize,
    /// A sample.
    pub i: usize,
    /// Another.
    pub j: usize,
    /// Whether they are of one person.
    pub same: bool,
}

/// The pairs of a list of LFW, as places among these samples.
///
/// Errors name the list and the line: a pair whose picture is not among the samples, a line of another form, and fewer
/// or more pairs than its first line says.
pub fn pairs(list: &Path, samples: &Samples) -> Result<Vec<Pair>> {
    let pictures = samples.pictures().context("pairs are of pictures in files; these samples are none")?;
    let stem = |index| pictures.path(index).file_stem().and_then(|stem| stem.to_str());
    let places: HashMap<&str, usize> =
        (0..samples.count()).filter_map(|index| Some((stem(index)?, index))).collect();
    let find = |line: &Line<'_>, name: &str, number: &str| {
        let number: u32 = line.number(number, "number of a picture")?;
        let file = format!("{name}_{number:04}");
        places
            .get(&*file)
            .copied()
            .ok_or_else(|| line.place.error(format!("{file} is not among the samples")))
    };
    let lines = Lines::read(list)?;
    let mut rows = lines.iter();
    let head = rows.next().with_context(|| format!("{} has no pairs", list.display()))?;
    let (folds, each) = match head.fields::<2>("folds and pairs") {
        Ok([folds, each]) => (folds, each),
        Err(_) => ("1", head.fields::<1>("a count of pairs, or folds and pairs")?[0]),
    };
    let folds: usize = head.number(folds, "count of folds")?;
    let each: usize = head.number(each, "count of pairs")?;
    let claimed = each.checked_mul(2).and_then(|fold| fold.checked_mul(folds)).filter(|&count| count > 0);
    let claimed = claimed.ok_or_else(|| head.place.error("it claims no pairs, or more than there can be"))?;
    let mut pairs = Vec::new();
    for line in rows {
        let place = pairs.len();
        ensure!(place < claimed, line.place.error(format!("there are more than {claimed} pairs")));
        // In each fold those of one person come first.
        let same = place % (2 * each) < each;
        let (i, j) = if same {
            let [name, one, other] = line.fields("name and two pictures")?;
            (find(&line, name, one)?, find(&line, name, other)?)
        } else {
            let [name, one, other_name, other] = line.fields("two names, each with a picture")?;
            (find(&line, name, one)?, find(&line, other_name, other)?)
        };
        pairs.push(Pair { fold: place / (2 * each), i, j, same });
    }
    ensure!(pairs.len() == claimed, "{} has {} of {claimed} pairs", list.display(), pairs.len());
    Ok(pairs)
}
