//! A folder of class folders with images: PNG, JPEG, WebP and what else the `image` crate was built with.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use image::{DynamicImage, GenericImageView};

use super::source::entries;
use super::{Samples, show};

/// Reads all images, class folders and files in the order of their names. All must have one size; if any has
/// colours, all are read with three channels.
pub(super) fn read(path: &Path) -> Result<Samples> {
    let mut images = Vec::new();
    let mut classes = Vec::new();
    for folder in entries(path)?.into_iter().filter(|entry| entry.is_dir()) {
        let label = classes.len() as u32;
        for file in entries(&folder)?.into_iter().filter(|entry| entry.is_file() && !hidden(entry)) {
            let image = image::ImageReader::open(&file)
                .and_then(image::ImageReader::with_guessed_format)
                .with_context(|| format!("cannot read {}", show(&file)))?
                .decode()
                .with_context(|| format!("{} is no image that can be read", show(&file)))?;
            images.push((file, image, label));
        }
        if images.last().is_some_and(|(.., last)| *last == label) {
            classes.push(folder.file_name().unwrap_or_default().to_string_lossy().into_owned());
        }
    }
    let (first, size) = match images.first() {
        Some((file, image, _)) => (file.clone(), image.dimensions()),
        None => anyhow::bail!("{} has no class folder with images", show(path)),
    };
    let colour = images.iter().any(|(_, image, _)| image.color().has_color());
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    for (file, image, label) in &images {
        ensure!(
            image.dimensions() == size,
            "{} is {:?} pixels, {} is {:?}: all images must have one size",
            show(file),
            image.dimensions(),
            show(&first),
            size
        );
        append(image, colour, &mut values);
        labels.push(*label);
    }
    let shape = [size.1 as usize, size.0 as usize, if colour { 3 } else { 1 }];
    Samples::new(shape, values, labels, classes)
}

fn append(image: &DynamicImage, colour: bool, values: &mut Vec<f32>) {
    if colour {
        values.extend(image.to_rgb8().into_raw().into_iter().map(f32::from));
    } else {
        values.extend(image.to_luma8().into_raw().into_iter().map(f32::from));
    }
}

/// Files that systems leave behind, such as `.DS_Store`.
fn hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}
