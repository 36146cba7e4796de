//! Stanford Online Products: pictures of 22634 things that were sold, 11318 of them to learn from.
//!
//! ```text
//! Ebay_train.txt    image_id class_id super_class_id path
//!                   1 1 1 bicycle_final/111085122871_0.JPG
//! Ebay_test.txt     the same
//! ```
//! Each of the twelve super classes is in both parts, so they are no groups that could be held out. Source: Oh Song,
//! Xiang, Jegelka, Savarese, "Deep metric learning via lifted structured feature embedding", CVPR 2016.

use std::path::Path;

use anyhow::Result;

use super::gather::{Entry, Lists};
use super::lines::Lines;

const LISTS: [&str; 2] = ["Ebay_train.txt", "Ebay_test.txt"];

/// Whether the folder is one of this set.
pub(super) fn is_here(folder: &Path) -> bool {
    LISTS.iter().all(|list| folder.join(list).is_file())
}

/// What the set says of itself.
pub(super) fn lists(folder: &Path) -> Result<Lists> {
    let [train, test] = LISTS.map(|list| entries(folder, list));
    Ok(Lists { train: train?, test: test?, photographs: true, ..Lists::default() })
}

fn entries(folder: &Path, list: &str) -> Result<Vec<Entry>> {
    let lines = Lines::read(&folder.join(list))?;
    let mut entries = Vec::new();
    for line in lines.iter() {
        let [image, class, group, path] = line.fields("image_id, class_id, super_class_id and path")?;
        if line.place.number == 1 && image == "image_id" {
            continue;
        }
        line.number::<i64>(image, "image_id")?;
        line.number::<i64>(group, "super_class_id")?;
        let (class, file) = (line.number(class, "class_id")?, line.path(folder, path)?);
        entries.push(Entry { file, class, area: None, place: Some(line.place) });
    }
    Ok(entries)
}
