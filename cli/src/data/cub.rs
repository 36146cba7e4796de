//! CUB-200-2011: birds of 200 classes, the first 100 to learn from and the last 100 to test on.
//!
//! ```text
//! images.txt               1 001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg
//! image_class_labels.txt   1 1
//! classes.txt              1 001.Black_footed_Albatross
//! bounding_boxes.txt       1 60.0 27.0 325.0 304.0       left, top, width, height; only if boxes are asked for
//! images/
//! ```
//! Source: Wah, Branson, Welinder, Perona, Belongie, "The Caltech-UCSD Birds-200-2011 Dataset", 2011; the split by
//! classes is that of Oh Song et al., "Deep metric learning via lifted structured feature embedding", CVPR 2016.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use super::gather::{Entry, Lists, Reading};
use super::lines::Lines;
use super::picture::Area;

/// Classes to learn from: 1 to this one.
const TRAIN_CLASSES: i64 = 100;

/// Whether the folder is one of this set.
pub(super) fn is_here(folder: &Path) -> bool {
    folder.join("images.txt").is_file() && folder.join("image_class_labels.txt").is_file()
}

/// What the set says of itself.
pub(super) fn lists(folder: &Path, reading: &Reading) -> Result<Lists> {
    let mut names = BTreeMap::new();
    for line in Lines::read(&folder.join("classes.txt"))?.iter() {
        let (class, name) = line.first_and_rest("class and name")?;
        line.insert(&mut names, line.number(class, "class")?, name.to_owned())?;
    }
    let mut classes: BTreeMap<i64, i64> = BTreeMap::new();
    for line in Lines::read(&folder.join("image_class_labels.txt"))?.iter() {
        let [image, class] = line.fields("image and class")?;
        let class = line.number(class, "class")?;
        if !names.contains_key(&class) {
            return Err(line.place.error(format!("class {class} is not in classes.txt")));
        }
        line.insert(&mut classes, line.number(image, "image")?, class)?;
    }
    let areas = if reading.geometry.boxes { areas(folder)? } else { BTreeMap::new() };
    let mut lists = Lists { names, photographs: true, ..Lists::default() };
    let mut seen = BTreeMap::new();
    for line in Lines::read(&folder.join("images.txt"))?.iter() {
        let (image, path) = line.first_and_rest("image and path")?;
        let image = line.number(image, "image")?;
        line.insert(&mut seen, image, ())?;
        let missing = |file| line.place.error(format!("image {image} is not in {file}"));
        let class = *classes.get(&image).ok_or_else(|| missing("image_class_labels.txt"))?;
        let area = match reading.geometry.boxes {
            true => Some(*areas.get(&image).ok_or_else(|| missing("bounding_boxes.txt"))?),
            false => None,
        };
        let file = line.path(&folder.join("images"), path)?;
        let part = if class <= TRAIN_CLASSES { &mut lists.train } else { &mut lists.test };
        part.push(Entry { file, class, area, place: Some(line.place) });
    }
    Ok(lists)
}

/// Boxes of the birds, by image.
fn areas(folder: &Path) -> Result<BTreeMap<i64, Area>> {
    let mut areas = BTreeMap::new();
    for line in Lines::read(&folder.join("bounding_boxes.txt"))?.iter() {
        let [image, left, top, width, height] = line.fields("image, left, top, width and height")?;
        let number = |field| line.number::<f64>(field, "number of pixels");
        let (left, top) = (number(left)?, number(top)?);
        let area = Area { left, top, right: left + number(width)?, bottom: top + number(height)? };
        line.insert(&mut areas, line.number(image, "image")?, area)?;
    }
    Ok(areas)
}
