//! DeepFashion In-Shop Clothes Retrieval: clothes to learn from, and queries that are searched in a gallery.
//!
//! ```text
//! Eval/list_eval_partition.txt     52712
//!                                  image_name item_id evaluation_status
//!                                  img/WOMEN/Dresses/id_00000002/02_1_front.jpg id_00000002 train
//! Img/img/                         or img/ beside the list
//! ```
//! The status is train, query or gallery. Source: Liu, Luo, Qiu, Wang, Tang, "DeepFashion: powering robust clothes
//! recognition and retrieval with rich annotations", CVPR 2016.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::gather::{Entry, Lists};
use super::lines::Lines;

const LIST: &str = "list_eval_partition.txt";

/// The list of the set that the folder is one of.
pub(super) fn is_here(folder: &Path) -> Option<PathBuf> {
    [folder.join("Eval").join(LIST), folder.join(LIST)].into_iter().find(|list| list.is_file())
}

/// What the set says of itself.
pub(super) fn lists(folder: &Path, list: &Path) -> Result<Lists> {
    let root = ["Img", "."].map(|root| folder.join(root)).into_iter().find(|root| root.join("img").is_dir());
    let root = root.unwrap_or_else(|| folder.to_owned());
    let lines = Lines::read(list)?;
    let mut rows = lines.iter().peekable();
    // A count and the names of the fields, as they were published; a list without them is one all the same.
    let claimed = match rows.peek().map(|line| (line, line.fields::<1>("a count"))) {
        Some((line, Ok([count]))) => Some(line.number::<usize>(count, "count of images")?),
        _ => None,
    };
    let rows: Vec<_> = rows
        .skip(usize::from(claimed.is_some()))
        .map(|line| Ok((line.fields::<3>("image_name, item_id and evaluation_status")?, line)))
        .collect::<Result<_>>()?;
    let rows = &rows[usize::from(rows.first().is_some_and(|([name, ..], _)| *name == "image_name"))..];
    if let Some(claimed) = claimed {
        let count = rows.len();
        ensure!(count == claimed, "{} lists {count} of {claimed} images", lines.path().display());
    }
    // Items are numbered in the order of their names.
    let items: BTreeSet<&str> = rows.iter().map(|([_, item, _], _)| *item).collect();
    let items: Vec<&str> = items.into_iter().collect();
    let names = (0..).zip(items.iter().map(|&item| item.to_owned())).collect();
    let mut lists = Lists { names, queries: Some(Vec::new()), photographs: true, ..Lists::default() };
    for ([image, item, status], line) in rows {
        // Every item is among them, so both arms of the search give its place.
        let class = items.binary_search(item).unwrap_or_else(|at| at) as i64;
        let part = match *status {
            "train" => &mut lists.train,
            "query" => lists.queries.get_or_insert_default(),
            "gallery" => &mut lists.test,
            _ => return Err(line.place.error(format!("{status:?} is neither train, query nor gallery"))),
        };
        let file = line.path(&root, image)?;
        part.push(Entry { file, class, area: None, place: Some(line.place.clone()) });
    }
    Ok(lists)
}
