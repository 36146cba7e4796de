//! From lists of picture files to samples: every file looked at, one size for all, in memory or on demand.
//!
//! The headers of all files are read at the start, so that what is missing or too large is known before a run begins.
//! What fits into memory is decoded then; of the rest only the paths are kept. Which of the two it is changes nothing
//! but speed: sizes, colours and all that is drawn depend on the files alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};

use super::picture::{self, Area, Geometry, Picture, Pictures};
use super::source::Parts;
use super::{Samples, bytes, parallel};
use crate::config::DataConfig;

/// Most memory for the numbers of decoded pictures, 1 GiB.
pub(super) const MEMORY: u64 = 1 << 30;

/// Pictures that are looked at, spread evenly, where a set is too large to decode all of it only for its colours or
/// its means.
pub(super) const PROBES: usize = 1024;

/// The paper's sizes, for photographs whose run file names none.
const PAPER: (usize, usize) = (256, 227);

/// How pictures are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Sizes, as the run file names them.
    pub geometry: Geometry,
    /// Threads that decode.
    pub workers: usize,
    /// Most memory for the numbers of decoded pictures, in bytes.
    pub memory: u64,
}

impl Reading {
    /// With the sizes of a run file, in at most 1 GiB, on all cores.
    #[must_use]
    pub fn of(config: &DataConfig) -> Self {
        let &DataConfig { resize, crop, mirror, boxes, .. } = config;
        Self { geometry: Geometry { resize, crop, mirror, boxes }, ..Self::default() }
    }
}

impl Default for Reading {
    /// Pictures as they are, in at most 1 GiB, on all cores.
    fn default() -> Self {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        Self { geometry: Geometry::default(), workers, memory: MEMORY }
    }
}

/// A picture of a list.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) file: PathBuf,
    pub(super) class: i64,
    pub(super) area: Option<Area>,
    /// Where a list names it, for errors.
    pub(super) place: Option<Place>,
}

/// A place in a list.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) list: Arc<Path>,
    /// What is counted from 1: lines, or annotations.
    pub(super) unit: &'static str,
    pub(super) number: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "in {}, {} {}", self.list.display(), self.unit, self.number)
    }
}

impl Place {
    /// An error at this place.
    pub(super) fn error(&self, what: impl std::fmt::Display) -> anyhow::Error {
        anyhow::anyhow!("{self}: {what}")
    }
}

/// What a layout says of a set.
#[derive(Debug, Default)]
pub(super) struct Lists {
    pub(super) train: Vec<Entry>,
    pub(super) validation: Option<Vec<Entry>>,
    pub(super) test: Vec<Entry>,
    /// Queries that are searched among the test part, rather than that part among itself.
    pub(super) queries: Option<Vec<Entry>>,
    /// Names of the classes that have some.
    pub(super) names: BTreeMap<i64, String>,
    /// Photographs get the paper's sizes where the run file names none, and are in colour.
    pub(super) photographs: bool,
}

impl Lists {
    /// The parts as samples. Errors: a class to learn from that is also one to test on, and those of [`whole`].
    pub(super) fn into_parts(self, reading: &Reading) -> Result<Parts> {
        let Self { train, validation, test, queries, names, photographs } = self;
        let has = (validation.is_some(), queries.is_some());
        let mut part_of: BTreeMap<i64, usize> = BTreeMap::new();
        let parts = [Some(train), validation, Some(test), queries];
        for (place, part) in parts.iter().enumerate() {
            // Queries are of the classes of the test part.
            let place = place.min(2);
            for entry in part.iter().flatten() {
                let known = *part_of.entry(entry.class).or_insert(place);
                let name = || names.get(&entry.class).cloned().unwrap_or_else(|| entry.class.to_string());
                ensure!(
                    known == place,
                    "{}class {} is in two parts, but test classes must be unseen",
                    entry.place.as_ref().map_or_else(String::new, |place| format!("{place}: ")),
                    name()
                );
            }
        }
        for (name, part) in ["train", "validation", "test", "query"].iter().zip(&parts) {
            ensure!(part.as_ref().is_none_or(|part| !part.is_empty()), "its {name} part has no pictures");
        }
        let parts: Vec<Vec<Entry>> = parts.into_iter().flatten().collect();
        let mut samples = gather(parts, &names, photographs, reading)?.into_iter();
        let mut next = || samples.next().context("every part has its samples");
        Ok(Parts {
            train: next()?,
            validation: if has.0 { Some(next()?) } else { None },
            test: next()?,
            queries: if has.1 { Some(next()?) } else { None },
        })
    }
}

/// One list as samples.
pub(super) fn whole(
    entries: Vec<Entry>,
    names: &BTreeMap<i64, String>,
    photographs: bool,
    reading: &Reading,
) -> Result<Samples> {
    gather(vec![entries], names, photographs, reading)?.pop().context("one part gives one set")
}

fn gather(
    parts: Vec<Vec<Entry>>,
    names: &BTreeMap<i64, String>,
    photographs: bool,
    reading: &Reading,
) -> Result<Vec<Samples>> {
    let mut geometry = reading.geometry;
    if photographs && geometry.resize == 0 && geometry.crop == 0 {
        geometry = Geometry { resize: PAPER.0, crop: PAPER.1, mirror: true, ..geometry };
    }
    ensure!(parts.iter().all(|part| !part.is_empty()), "there are no pictures");
    if let Some(entry) = parts.iter().flatten().find(|entry| geometry.boxes && entry.area.is_none()) {
        bail!("data.boxes is true, but {} has no box", entry.file.display());
    }
    let counts: Vec<usize> = parts.iter().map(Vec::len).collect();
    let (mut files, mut places, mut labels) = (Vec::new(), Vec::new(), Vec::new());
    for entry in parts.into_iter().flatten() {
        let area = entry.area.filter(|_| geometry.boxes);
        files.push(Arc::new(Picture { path: entry.file, area }));
        places.push(entry.place);
        labels.push(entry.class);
    }
    let sides = sides(&files, &places, &geometry, reading.workers)?;
    ensure!(
        geometry.crop <= sides[0].min(sides[1]),
        "data.crop is {}, but pictures are {} x {}",
        geometry.crop,
        sides[1],
        sides[0]
    );
    let decoded = Decoder { files: &files, sides, resized: geometry.resize > 0, workers: reading.workers };
    // In colour, as numbers of four bytes.
    let needed = (files.len() as u64).saturating_mul(bytes::product(&[sides[0], sides[1], 12])? as u64);
    let pixels = if needed <= reading.memory { decoded.all()? } else { Vec::new() };
    let is_grey = !photographs && if pixels.is_empty() { decoded.are_grey(needed)? } else { grey(&pixels) };
    let frame = [sides[0], sides[1], if is_grey { 1 } else { 3 }];
    let pictures = Pictures { files, frame, geometry };
    let size = frame.iter().product::<usize>();
    let mut first = 0;
    counts
        .iter()
        .map(|&count| {
            let range = first..first + count;
            first = range.end;
            let indices: Vec<usize> = range.clone().collect();
            let mut values = Vec::new();
            if !pixels.is_empty() {
                values.reserve_exact(count * size);
                let stored = sides[0] * sides[1] * 3;
                values.extend(picture::numbers(&pixels[range.start * stored..range.end * stored], frame[2]));
            }
            let samples = Samples::of_pictures(pictures.select(&indices), values, labels[range].to_vec())?;
            let numbers: BTreeMap<i64, String> =
                samples.original.iter().map(|&class| (class, class.to_string())).collect();
            let name = |class| names.get(&class).or(numbers.get(&class)).context("every class has a number");
            let mut samples = samples.named(name)?;
            samples.workers = reading.workers;
            Ok(samples)
        })
        .collect()
}

/// Height and width of all pictures; the header of every file is read.
fn sides(
    files: &[Arc<Picture>],
    places: &[Option<Place>],
    geometry: &Geometry,
    workers: usize,
) -> Result<[usize; 2]> {
    let mut found = vec![[0; 2]; files.len()];
    parallel::for_each(workers, files.iter().zip(places).zip(&mut found), |((file, place), found)| {
        let read = picture::sides(file);
        *found = match place {
            Some(place) => read.with_context(|| place.to_string())?,
            None => read?,
        };
        Ok(())
    })?;
    if geometry.resize > 0 {
        return Ok([geometry.resize; 2]);
    }
    let first = found[0];
    if let Some(other) = found.iter().position(|sides| *sides != first) {
        bail!(
            "in {}: it is {} x {}, but {} is {} x {}; give all one size, or set data.resize (the paper: --resize 256 \
             --crop 227 --mirror)",
            files[other].path.display(),
            found[other][1],
            found[other][0],
            files[0].path.display(),
            first[1],
            first[0]
        );
    }
    Ok(first)
}

/// Pictures as red, green and blue.
struct Decoder<'a> {
    files: &'a [Arc<Picture>],
    sides: [usize; 2],
    resized: bool,
    workers: usize,
}

impl Decoder<'_> {
    fn all(&self) -> Result<Vec<u8>> {
        let size = self.sides[0] * self.sides[1] * 3;
        // The caller holds this to its limit.
        let mut pixels = vec![0; size * self.files.len()];
        let pieces = self.files.iter().zip(pixels.chunks_exact_mut(size));
        parallel::for_each(self.workers, pieces, |(file, pixels)| {
            pixels.copy_from_slice(&picture::rgb(file, self.sides, self.resized)?);
            Ok(())
        })?;
        Ok(pixels)
    }

    /// Whether no picture has a colour; where all together need more than [`MEMORY`], by some of them.
    fn are_grey(&self, needed: u64) -> Result<bool> {
        let step = if needed > MEMORY { self.files.len().div_ceil(PROBES) } else { 1 };
        let coloured = std::sync::atomic::AtomicBool::new(false);
        parallel::for_each(self.workers, self.files.iter().step_by(step), |file| {
            if !grey(&picture::rgb(file, self.sides, self.resized)?) {
                coloured.store(true, std::sync::atomic::Ordering::Relaxed);
            }
            Ok(())
        })?;
        Ok(!coloured.into_inner())
    }
}

fn grey(pixels: &[u8]) -> bool {
    pixels.chunks_exact(3).all(|rgb| rgb[0] == rgb[1] && rgb[1] == rgb[2])
}
