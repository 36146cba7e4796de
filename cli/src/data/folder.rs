//! A folder of class folders with images: png, jpeg, webp, bmp, gif or pnm, all of one size.
//!
//! The set is grey where every pixel of every image is, else red, green and blue. What is transparent is laid on
//! white. Names that start with a point are passed over; every other file must be an image, so that none is missed.
//! Left out: scaling, which decides results and belongs to who makes the set; animation, but for its first picture.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use image::{DynamicImage, ImageFormat, ImageReader, Limits};

use super::{Samples, bytes};

/// Largest side of an image.
const SIDE_MAX: u32 = 4096;

/// Most memory for decoding one image: 16 bytes for each of 4096 x 4096 pixels.
const DECODE_MAX: u64 = 256 << 20;

/// Folders within a folder, by name.
pub(super) fn folders(path: &Path) -> Result<Vec<PathBuf>> {
    Ok(entries(path)?.into_iter().filter(|entry| entry.is_dir()).collect())
}

/// Reads a set; classes are named by their folders.
pub(super) fn read(path: &Path) -> Result<Samples> {
    let mut size = None;
    let mut pixels: Vec<u8> = Vec::new();
    let mut labels = Vec::new();
    let mut names = Vec::new();
    for entry in entries(path)? {
        ensure!(entry.is_dir(), "{} is not a class folder, beside folders that are", entry.display());
        let files = entries(&entry)?;
        ensure!(!files.is_empty(), "{} has no images", entry.display());
        for file in files {
            ensure!(file.is_file(), "{} is not an image", file.display());
            let stored = bytes::read_to_end(bytes::open(&file)?);
            stored
                .and_then(|stored| decode(&stored, &file, &mut size, &mut pixels))
                .with_context(|| format!("in {}", file.display()))?;
            labels.push(names.len() as i64);
        }
        names.push(entry.file_name().unwrap_or_default().to_string_lossy().into_owned());
    }
    let Some((width, height, _)) = size else { bail!("{} has no class folders", path.display()) };
    let is_grey = pixels.chunks_exact(3).all(|rgb| rgb[0] == rgb[1] && rgb[1] == rgb[2]);
    let channels = if is_grey { 1 } else { 3 };
    let values = pixels.iter().step_by(3 / channels).map(|&value| f32::from(value)).collect();
    Samples::new([height as usize, width as usize, channels], values, labels)?.with_names(&names)
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

/// Adds an image as red, green and blue; `size` is that of the first image, and its name.
fn decode(
    stored: &[u8],
    path: &Path,
    size: &mut Option<(u32, u32, PathBuf)>,
    pixels: &mut Vec<u8>,
) -> Result<()> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_MAX);
    limits.max_image_height = Some(SIDE_MAX);
    limits.max_alloc = Some(DECODE_MAX);
    let open = || -> Result<_> {
        let mut reader = ImageReader::new(Cursor::new(stored)).with_guessed_format()?;
        reader.limits(limits.clone());
        Ok(reader)
    };
    // The size is in the header: an image of another one is refused before memory is taken for it.
    let (width, height) = open()?.into_dimensions().map_err(plain)?;
    ensure!(
        width <= SIDE_MAX && height <= SIDE_MAX,
        "it is {width} x {height}; a side is at most {SIDE_MAX} pixels"
    );
    let (first_width, first_height, first) = size.get_or_insert_with(|| (width, height, path.to_owned()));
    ensure!(
        (width, height) == (*first_width, *first_height),
        "it is {width} x {height}, but {} is {first_width} x {first_height}; all must be of one size",
        first.display()
    );
    let reader = open()?;
    ensure!(reader.format() != Some(ImageFormat::Jpeg) || jpeg_ends(stored), "not an image: it breaks off");
    let image = reader.decode().map_err(plain)?;
    pixels.extend_from_slice(&on_white(&image));
    Ok(())
}

/// Whether the last scan of a jpeg is followed by the mark of the end: the decoder makes up what is missing.
fn jpeg_ends(stored: &[u8]) -> bool {
    let last = |mark: [u8; 2]| stored.windows(2).rposition(|pair| pair == mark);
    last([0xFF, 0xD9]) > last([0xFF, 0xDA])
}

/// Red, green and blue of every pixel, in front of white.
fn on_white(image: &DynamicImage) -> Vec<u8> {
    if !image.color().has_alpha() {
        return image.to_rgb8().into_raw();
    }
    let blend = |value: u8, alpha: u8| {
        let (value, alpha) = (u32::from(value), u32::from(alpha));
        ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
    };
    image
        .to_rgba8()
        .pixels()
        .flat_map(|p| [blend(p[0], p[3]), blend(p[1], p[3]), blend(p[2], p[3])])
        .collect()
}

/// An error of the decoder, in one line.
fn plain(error: image::ImageError) -> anyhow::Error {
    let text = error.to_string();
    anyhow::anyhow!(
        "not an image that can be read: {}",
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    )
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
        let error = format!("{:#}", read(folder.path()).unwrap_err());
        assert!(!error.contains('\n'), "{error}");
        error
    }

    #[test]
    fn classes_are_folders_in_order_and_grey_stays_grey() {
        let folder = set([10, 10, 10], [20, 20, 20]);
        let samples = read(folder.path()).unwrap();
        assert_eq!(samples.shape, [2, 1, 1]);
        assert_eq!(samples.values, [20.0, 20.0, 10.0, 10.0, 10.0, 10.0]);
        assert_eq!((samples.labels, samples.classes), (vec![0, 1, 1], vec!["a".to_owned(), "b".to_owned()]));
    }

    #[test]
    fn one_coloured_pixel_makes_the_set_coloured() {
        let folder = set([1, 2, 3], [20, 20, 20]);
        let samples = read(folder.path()).unwrap();
        assert_eq!(samples.shape, [2, 1, 3]);
        assert_eq!(samples.sample(1), [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]);
    }

    #[test]
    fn the_transparent_is_white() {
        let folder = set([0, 0, 0], [0, 0, 0]);
        RgbaImage::from_pixel(1, 2, Rgba([0, 0, 0, 0])).save(folder.path().join("a/x.png")).unwrap();
        assert_eq!(read(folder.path()).unwrap().values[..4], [0.0, 0.0, 255.0, 255.0]);
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
                assert!(read(folder.path()).is_err(), "{name} cut at {end}");
            }
            for place in 0..whole.len() {
                let mut changed = whole.clone();
                changed[place] ^= 0xFF;
                std::fs::write(&path, &changed).unwrap();
                // Some bytes mean nothing; only a panic would fail.
                let _ = read(folder.path());
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
