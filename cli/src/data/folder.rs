//! A folder of class folders with images: png, jpeg, webp, bmp, gif or pnm.
//!
//! The set is grey where every pixel of every image is, else red, green and blue. Names that start with a point are
//! passed over; every other file must be an image, so that none is missed. Images are of one size, or the run file
//! says to which they are resized: that decides results.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::Samples;
use super::gather::{self, Entry, Reading};

/// Folders within a folder, by name.
pub(super) fn folders(path: &Path) -> Result<Vec<PathBuf>> {
    Ok(entries(path)?.into_iter().filter(|entry| entry.is_dir()).collect())
}

/// Reads a set; classes are named by their folders.
pub(super) fn read(path: &Path, reading: &Reading) -> Result<Samples> {
    for entry in entries(path)? {
        ensure!(entry.is_dir(), "{} is not a class folder, beside folders that are", entry.display());
    }
    let (pictures, names) = list(path)?;
    ensure!(!pictures.is_empty(), "{} has no class folders", path.display());
    gather::whole(pictures, &names, false, reading)
}

/// The images of all class folders, and the names of the classes.
pub(super) fn list(path: &Path) -> Result<(Vec<Entry>, BTreeMap<i64, String>)> {
    let (mut pictures, mut names) = (Vec::new(), BTreeMap::new());
    for (class, folder) in (0..).zip(folders(path)?) {
        let files = entries(&folder)?;
        ensure!(!files.is_empty(), "{} has no images", folder.display());
        pictures.extend(files.into_iter().map(|file| Entry { file, class, area: None, place: None }));
        names.insert(class, folder.file_name().unwrap_or_default().to_string_lossy().into_owned());
    }
    Ok((pictures, names))
}

/// What is in a folder, by name, but for names that start with a point.
fn entries(path: &Path) -> Result<Vec<PathBuf>> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))? {
        let entry = entry.with_context(|| format!("cannot read {}", path.display()))?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            entries.push(entry.path());
        }
    }
    entries.sort();
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage, Rgba, RgbaImage};

    use super::*;

    /// A folder with classes `b` and `a`, whose images are one pixel wide and two high.
    fn set(first: [u8; 3], second: [u8; 3]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, colour) in [("b/1.png", first), ("b/0.png", first), ("a/x.bmp", second)] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            RgbImage::from_pixel(1, 2, Rgb(colour)).save(path).unwrap();
        }
        std::fs::write(folder.path().join(".hidden"), "x").unwrap();
        folder
    }

    fn error(folder: &tempfile::TempDir) -> String {
        let error = format!("{:#}", read(folder.path(), &Reading::default()).unwrap_err());
        assert!(!error.contains('\n'), "{error}");
        error
    }

    #[test]
    fn classes_are_folders_in_order_and_grey_stays_grey() {
        let folder = set([10, 10, 10], [20, 20, 20]);
        let samples = read(folder.path(), &Reading::default()).unwrap();
        assert_eq!(samples.shape, [2, 1, 1]);
        assert_eq!(samples.values(), [20.0, 20.0, 10.0, 10.0, 10.0, 10.0]);
        assert_eq!((samples.labels, samples.classes), (vec![0, 1, 1], vec!["a".to_owned(), "b".to_owned()]));
    }

    #[test]
    fn one_coloured_pixel_makes_the_set_coloured() {
        let folder = set([1, 2, 3], [20, 20, 20]);
        let samples = read(folder.path(), &Reading::default()).unwrap();
        assert_eq!(samples.shape, [2, 1, 3]);
        assert_eq!(samples.sample(1).unwrap()[..], [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]);
    }

    #[test]
    fn the_transparent_is_white() {
        let folder = set([0, 0, 0], [0, 0, 0]);
        RgbaImage::from_pixel(1, 2, Rgba([0, 0, 0, 0])).save(folder.path().join("a/x.png")).unwrap();
        assert_eq!(read(folder.path(), &Reading::default()).unwrap().values()[..4], [0.0, 0.0, 255.0, 255.0]);
    }

    #[test]
    fn the_first_image_of_another_size_is_named() {
        let folder = set([0; 3], [0; 3]);
        RgbImage::new(3, 2).save(folder.path().join("b/05.png")).unwrap();
        let error = error(&folder);
        assert!(error.contains("05.png: it is 3 x 2, but") && error.contains("x.bmp is 1 x 2"), "{error}");
    }

    #[test]
    fn files_that_are_no_images_are_named() {
        let folder = set([0; 3], [0; 3]);
        let path = folder.path().join("b/notes.txt");
        std::fs::write(&path, "hello").unwrap();
        assert!(error(&folder).contains("notes.txt: not an image"));
        std::fs::write(&path, "").unwrap();
        assert!(error(&folder).contains("notes.txt is empty"));
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(error(&folder).contains("notes.txt is not an image"));
        std::fs::remove_dir(&path).unwrap();
        std::fs::write(folder.path().join("c"), "x").unwrap();
        assert!(error(&folder).contains("c is not a class folder"));
        std::fs::remove_file(folder.path().join("c")).unwrap();
        std::fs::create_dir(folder.path().join("c")).unwrap();
        assert!(error(&folder).contains("c has no images"));
    }

    #[test]
    fn cut_and_changed_images_are_errors_or_images_but_never_a_panic() {
        let folder = set([0; 3], [0; 3]);
        // The last chunk of a png, 12 bytes, holds nothing of the picture.
        std::fs::remove_file(folder.path().join("b/0.png")).unwrap();
        for (name, spare) in [("b/1.png", 12), ("a/x.bmp", 0), ("a/y.jpg", 0), ("b/0.webp", 0)] {
            let path = folder.path().join(name);
            RgbImage::from_pixel(1, 2, Rgb([9, 9, 9])).save(&path).unwrap();
            let whole = std::fs::read(&path).unwrap();
            for end in 0..whole.len() - spare {
                std::fs::write(&path, &whole[..end]).unwrap();
                assert!(read(folder.path(), &Reading::default()).is_err(), "{name} cut at {end}");
            }
            for place in 0..whole.len() {
                let mut changed = whole.clone();
                changed[place] ^= 0xFF;
                std::fs::write(&path, &changed).unwrap();
                // Some bytes mean nothing; only a panic would fail.
                let _ = read(folder.path(), &Reading::default());
            }
            std::fs::write(&path, &whole).unwrap();
        }
    }

    #[test]
    fn an_image_that_claims_to_be_huge_takes_no_memory() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        std::fs::write(folder.path().join("a/huge.pgm"), "P5 4000000000 4000000000 255\n").unwrap();
        let error = error(&folder);
        assert!(error.contains("huge.pgm"), "{error}");
    }
}
