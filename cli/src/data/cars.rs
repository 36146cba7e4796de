//! Cars196: cars of 196 classes, the first 98 to learn from and the last 98 to test on.
//!
//! ```text
//! cars_annos.mat                 annotations: relative_im_path, bbox_x1 .. bbox_y2, class, test; class_names
//! car_ims/000001.jpg
//! or, as it was published first, in devkit/ or beside the folders of pictures:
//! cars_train_annos.mat           annotations: bbox_x1 .. bbox_y2, class, fname; pictures in cars_train/
//! cars_test_annos_withlabels.mat the same; pictures in cars_test/
//! cars_meta.mat                  class_names
//! ```
//! Pictures of both published parts are joined: the split is by classes. Source: Krause, Stark, Deng, Fei-Fei, "3D
//! object representations for fine-grained categorization", 2013; the split is that of Oh Song et al., CVPR 2016.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};

use super::gather::{Entry, Lists, Place, Reading};
use super::lines::below;
use super::mat::{self, Value};
use super::picture::Area;

/// Classes to learn from: 1 to this one.
const TRAIN_CLASSES: i64 = 98;

const ALL: &str = "cars_annos.mat";
const TRAIN: &str = "cars_train_annos.mat";
const TEST: &str = "cars_test_annos_withlabels.mat";
const META: &str = "cars_meta.mat";

/// Whether the folder is one of this set.
pub(super) fn is_here(folder: &Path) -> bool {
    folder.join(ALL).is_file() || find(folder, TRAIN).is_some()
}

/// A file of the set in the folder, or in its `devkit`.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    [folder.join(name), folder.join("devkit").join(name)].into_iter().find(|path| path.is_file())
}

/// What the set says of itself.
pub(super) fn lists(folder: &Path, reading: &Reading) -> Result<Lists> {
    let boxes = reading.geometry.boxes;
    let (entries, names) = if folder.join(ALL).is_file() {
        let path = folder.join(ALL);
        let variables = mat::read(&path)?;
        (annotations(&path, &variables, folder, boxes)?, class_names(&path, &variables)?)
    } else {
        let needed = |name| find(folder, name).with_context(|| format!("{} has no {name}", folder.display()));
        let mut entries = Vec::new();
        for (list, pictures) in [(TRAIN, "cars_train"), (TEST, "cars_test")] {
            let path = needed(list)?;
            let root = folder.join(pictures);
            // Packed once more by some who pass it on.
            let root = if root.join(pictures).is_dir() { root.join(pictures) } else { root };
            entries.extend(annotations(&path, &mat::read(&path)?, &root, boxes)?);
        }
        let path = needed(META)?;
        (entries, class_names(&path, &mat::read(&path)?)?)
    };
    if let Some(entry) = entries.iter().find(|entry| !names.contains_key(&entry.class)) {
        let unknown = format!("class {} has no name among {}", entry.class, names.len());
        bail!(entry.place.as_ref().map_or(anyhow::anyhow!(unknown.clone()), |place| place.error(unknown)));
    }
    let (train, test) = entries.into_iter().partition(|entry| entry.class <= TRAIN_CLASSES);
    Ok(Lists { train, test, names, photographs: true, ..Lists::default() })
}

/// Names by class, from 1.
fn class_names(path: &Path, variables: &BTreeMap<String, Value>) -> Result<BTreeMap<i64, String>> {
    let Some(Value::Cells(names)) = variables.get("class_names") else {
        bail!("{} has no cells `class_names`", path.display());
    };
    let name = |(class, name): (i64, &Value)| {
        let name = name.text().with_context(|| format!("in {}: name {class} is no text", path.display()))?;
        Ok((class, name.to_owned()))
    };
    (1..).zip(names).map(name).collect()
}

/// The pictures of one list.
fn annotations(
    path: &Path,
    variables: &BTreeMap<String, Value>,
    root: &Path,
    boxes: bool,
) -> Result<Vec<Entry>> {
    let Some(Value::Structures(fields, values)) = variables.get("annotations") else {
        bail!("{} has no structures `annotations`", path.display());
    };
    let column = |name: &str| fields.iter().position(|field| field == name);
    let file = column("relative_im_path").or_else(|| column("fname"));
    let file = file.with_context(|| format!("{}: annotations have no file names", path.display()))?;
    let class =
        column("class").with_context(|| format!("{}: annotations have no `class`", path.display()))?;
    let corners = ["bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"].map(column);
    ensure!(
        !boxes || corners.iter().all(Option::is_some),
        "{}: annotations have no `bbox_x1` to `bbox_y2`",
        path.display()
    );
    let list: Arc<Path> = path.into();
    let mut entries = Vec::new();
    for (number, row) in (1..).zip(values.chunks_exact(fields.len())) {
        let place = Place { list: Arc::clone(&list), unit: "annotation", number };
        let name = row[file].text().ok_or_else(|| place.error("its file name is no text"))?;
        let file =
            below(root, name).ok_or_else(|| place.error(format!("{name:?} leads out of its folder")))?;
        let class = row[class].number().filter(|class| class.fract() == 0.0 && class.abs() < 1e9);
        let class = class.ok_or_else(|| place.error("its class is no whole number"))? as i64;
        let area = if boxes {
            let corner = |at: Option<usize>| at.and_then(|at| row[at].number());
            let [left, top, right, bottom] = corners.map(corner);
            let area = left.zip(top).zip(right.zip(bottom));
            let ((left, top), (right, bottom)) =
                area.ok_or_else(|| place.error("its box is no four numbers"))?;
            // Pixels are counted from 1, and the last one belongs to the box.
            Some(Area { left: left - 1.0, top: top - 1.0, right, bottom })
        } else {
            None
        };
        entries.push(Entry { file, class, area, place: Some(place) });
    }
    Ok(entries)
}
