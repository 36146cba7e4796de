//! Pictures in files: png, jpeg, webp, bmp, gif or pnm, decoded to one size.
//!
//! What is transparent is laid on white. A picture is grey by the weights of ITU-R BT.601, which leave what is grey as
//! it is. Left out: animation, but for its first picture; colour profiles and the turns that a camera notes.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use image::imageops::FilterType;
use image::{DynamicImage, ImageFormat, ImageReader, Limits, RgbImage, imageops};

use super::bytes;

/// Largest side of a picture.
const SIDE_MAX: u32 = 16_384;

/// Most memory for decoding one picture, and most bytes of its file.
const DECODE_MAX: u64 = 512 << 20;

/// How pictures are shown to a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Geometry {
    /// Side of the square that they are resized to; 0 leaves them as they are.
    pub resize: usize,
    /// Side of the square part that is shown, at random places in training and else in the middle; 0 shows all.
    pub crop: usize,
    /// Whether half of them are mirrored in training.
    pub mirror: bool,
    /// Whether only the part within the box of the object is taken, where the data have boxes.
    pub boxes: bool,
}

impl Geometry {
    /// What a network sees of a picture of `frame`.
    pub(super) fn shape(&self, [height, width, channels]: [usize; 3]) -> [usize; 3] {
        if self.crop == 0 { [height, width, channels] } else { [self.crop, self.crop, channels] }
    }
}

/// A part of a picture in pixels; it may reach beyond it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

impl Area {
    /// The whole pixels that it touches, as left, top, width and height; an error if there are none.
    fn within(&self, width: u32, height: u32) -> Result<[u32; 4]> {
        let Self { left, top, right, bottom } = *self;
        let (from_x, from_y) = (left.floor().max(0.0), top.floor().max(0.0));
        let (to_x, to_y) = (right.ceil().min(width.into()), bottom.ceil().min(height.into()));
        let is_finite = [left, top, right, bottom].iter().all(|side| side.is_finite());
        ensure!(
            is_finite && to_x > from_x && to_y > from_y,
            "its box, {left} to {right} and {top} to {bottom}, holds nothing of {width} x {height} pixels"
        );
        // Within the sides of the picture, which are u32.
        Ok([from_x as u32, from_y as u32, (to_x - from_x) as u32, (to_y - from_y) as u32])
    }
}

/// A file, and the part of it that is taken.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Picture {
    pub(super) path: PathBuf,
    pub(super) area: Option<Area>,
}

/// Files of pictures that are decoded to one size.
#[derive(Clone, Debug, PartialEq)]
pub struct Pictures {
    pub(super) files: Vec<Arc<Picture>>,
    /// Height, width and channels of a decoded picture.
    pub(super) frame: [usize; 3],
    pub(super) geometry: Geometry,
}

impl Pictures {
    /// The file of a sample.
    #[must_use]
    pub fn path(&self, index: usize) -> &Path {
        &self.files[index].path
    }

    /// The same of some samples, in that order.
    pub(super) fn select(&self, indices: &[usize]) -> Self {
        Self { files: indices.iter().map(|&index| Arc::clone(&self.files[index])).collect(), ..*self }
    }

    /// Appends the decoded picture, `[frame]`; an error names the file.
    pub(super) fn decode(&self, index: usize, out: &mut Vec<f32>) -> Result<()> {
        let [height, width, channels] = self.frame;
        let pixels = rgb(&self.files[index], [height, width], self.geometry.resize > 0)?;
        out.extend(numbers(&pixels, channels));
        Ok(())
    }
}

/// Red, green and blue of every pixel as numbers, or its grey.
pub(super) fn numbers(pixels: &[u8], channels: usize) -> Box<dyn Iterator<Item = f32> + '_> {
    if channels == 3 {
        return Box::new(pixels.iter().map(|&value| f32::from(value)));
    }
    let grey = |rgb: &[u8]| {
        let [r, g, b] = [rgb[0], rgb[1], rgb[2]].map(u32::from);
        ((299 * r + 587 * g + 114 * b + 500) / 1000) as f32
    };
    Box::new(pixels.chunks_exact(3).map(grey))
}

/// A file that may hold a picture. Errors: none that is a plain file, an empty one, one larger than any picture needs.
fn open(path: &Path) -> Result<File> {
    let name = || format!("cannot read {}", path.display());
    // Opening a pipe or a terminal would wait for ever.
    let kind = std::fs::metadata(path).with_context(name)?;
    ensure!(kind.is_file(), "{} is not an image", path.display());
    ensure!(kind.len() > 0, "{} is empty", path.display());
    ensure!(
        kind.len() <= DECODE_MAX,
        "{} has {} bytes; {DECODE_MAX} at most can be",
        path.display(),
        kind.len()
    );
    File::open(path).with_context(name)
}

fn reader<R: BufRead + Seek>(stored: R) -> Result<ImageReader<R>> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_MAX);
    limits.max_image_height = Some(SIDE_MAX);
    limits.max_alloc = Some(DECODE_MAX);
    let mut reader = ImageReader::new(stored).with_guessed_format()?;
    reader.limits(limits);
    Ok(reader)
}

/// Height and width of what is taken of a picture, by its header alone: one that claims too much is refused before
/// memory is taken for it.
pub(super) fn sides(picture: &Picture) -> Result<[usize; 2]> {
    let file = BufReader::new(open(&picture.path)?);
    let sides = || -> Result<[usize; 2]> {
        let (width, height) = reader(file)?.into_dimensions().map_err(plain)?;
        ensure!(
            width <= SIDE_MAX && height <= SIDE_MAX,
            "it is {width} x {height}; a side is at most {SIDE_MAX} pixels"
        );
        let [_, _, width, height] = match picture.area {
            Some(area) => area.within(width, height)?,
            None => [0, 0, width, height],
        };
        Ok([height as usize, width as usize])
    };
    sides().with_context(|| format!("in {}", picture.path.display()))
}

/// Red, green and blue of every pixel of a picture of these sides: made so if `resized`, else found so.
pub(super) fn rgb(picture: &Picture, [height, width]: [usize; 2], resized: bool) -> Result<Vec<u8>> {
    let file = open(&picture.path)?;
    let decode = || -> Result<Vec<u8>> {
        let stored = bytes::read_to_end(file.take(DECODE_MAX))?;
        let reader = reader(Cursor::new(&stored[..]))?;
        ensure!(
            reader.format() != Some(ImageFormat::Jpeg) || jpeg_ends(&stored),
            "not an image: it breaks off"
        );
        let mut pixels = on_white(&reader.decode().map_err(plain)?);
        if let Some(area) = picture.area {
            let [left, top, width, height] = area.within(pixels.width(), pixels.height())?;
            pixels = imageops::crop_imm(&pixels, left, top, width, height).to_image();
        }
        // The caller's sides are those of memory, which a picture of its own size fits.
        let wanted = (width as u32, height as u32);
        if pixels.dimensions() != wanted {
            ensure!(resized, "it is {} x {}, no longer {width} x {height}", pixels.width(), pixels.height());
            pixels = imageops::resize(&pixels, wanted.0, wanted.1, FilterType::Triangle);
        }
        Ok(pixels.into_raw())
    };
    decode().with_context(|| format!("in {}", picture.path.display()))
}

/// Whether the last scan of a jpeg is followed by the mark of the end: the decoder makes up what is missing.
fn jpeg_ends(stored: &[u8]) -> bool {
    let last = |mark: [u8; 2]| stored.windows(2).rposition(|pair| pair == mark);
    last([0xFF, 0xD9]) > last([0xFF, 0xDA])
}

/// Red, green and blue of every pixel, in front of white.
fn on_white(image: &DynamicImage) -> RgbImage {
    if !image.color().has_alpha() {
        return image.to_rgb8();
    }
    let blend = |value: u8, alpha: u8| {
        let (value, alpha) = (u32::from(value), u32::from(alpha));
        ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
    };
    let rgba = image.to_rgba8();
    RgbImage::from_fn(rgba.width(), rgba.height(), |x, y| {
        let image::Rgba([r, g, b, a]) = *rgba.get_pixel(x, y);
        image::Rgb([r, g, b].map(|value| blend(value, a)))
    })
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
    use image::Rgb;

    use super::*;

    fn saved(folder: &tempfile::TempDir, image: &RgbImage) -> Picture {
        let path = folder.path().join("p.png");
        image.save(&path).unwrap();
        Picture { path, area: None }
    }

    #[test]
    fn a_box_is_cut_to_the_picture_and_must_hold_some_of_it() {
        let area = |left, top, right, bottom| Area { left, top, right, bottom }.within(10, 5);
        assert_eq!(area(1.5, 2.0, 3.5, 4.0).unwrap(), [1, 2, 3, 2]);
        assert_eq!(area(-7.0, -7.0, 1e300, 1e300).unwrap(), [0, 0, 10, 5]);
        for bad in [area(10.0, 0.0, 20.0, 5.0), area(3.0, 0.0, 3.0, 5.0), area(f64::NAN, 0.0, f64::NAN, 5.0)]
        {
            assert!(bad.unwrap_err().to_string().contains("holds nothing"));
        }
    }

    #[test]
    fn resizing_keeps_a_plain_picture_plain_and_averages_another() {
        let folder = tempfile::tempdir().unwrap();
        let plain = saved(&folder, &RgbImage::from_pixel(7, 3, Rgb([9, 8, 7])));
        assert_eq!(rgb(&plain, [2, 2], true).unwrap(), [9, 8, 7].repeat(4));
        let halves = saved(&folder, &RgbImage::from_fn(8, 4, |x, _| Rgb([if x < 4 { 0 } else { 200 }; 3])));
        let small = rgb(&halves, [1, 2], true).unwrap();
        assert!(small[0] < 40 && small[3] > 160, "{small:?}");
        assert_eq!(sides(&halves).unwrap(), [4, 8]);
        // Its right half alone.
        let half = Picture { area: Some(Area { left: 4.0, top: 0.0, right: 8.0, bottom: 4.0 }), ..halves };
        assert_eq!(rgb(&half, [2, 2], true).unwrap(), [200; 12]);
        assert!(format!("{:#}", rgb(&plain, [2, 2], false).unwrap_err()).contains("no longer 2 x 2"));
    }

    #[test]
    fn grey_stays_what_it_is_and_colours_are_weighed() {
        let pixels = [0, 0, 0, 77, 77, 77, 255, 255, 255, 255, 0, 0];
        assert_eq!(numbers(&pixels, 1).collect::<Vec<_>>(), [0.0, 77.0, 255.0, 76.0]);
        assert_eq!(numbers(&pixels[..3], 3).count(), 3);
    }
}
