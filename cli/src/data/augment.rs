//! Variation of inputs: images are shifted, turned, scaled, sheared and distorted a little at random.
//!
//! What happens to an image is a function of the seed, the step and its place in the batch alone. Where the image
//! does not reach, the mean of its border is taken, channel by channel and before normalisation: on a plain
//! background that is the background, whatever its colour.
//!
//! A letter that is turned by a right angle or mirrored is another letter, so that is done to whole classes: with
//! [`AugmentConfig::symmetry`] some classes of a batch are shown turned or mirrored, every sample of a class alike,
//! and the network meets up to eight times as many classes. (Santoro, Bartunov, Botvinick, Wierstra, Lillicrap,
//! "Meta-learning with memory-augmented neural networks", ICML 2016, section 4.1, turn Omniglot's classes.)

use anyhow::{Result, ensure};
use nearfar_core::Key;

use super::elastic::Sheet;
use crate::config::AugmentConfig;

/// Ranges of variation for samples of one shape; vectors are left as they are.
///
/// ```text
/// x' = t + centre + (1 + f) R(phi) S(k) (x - e(x') - centre)      S(k) moves a pixel k * height-from-centre to the side
/// t_x, t_y in ±shift, whole     phi in ±rotation     f in ±scale     k in ±shear     uniform, independent
/// e: a sheet pulled at 4 x 4 points by up to elastic * side each way
/// ```
/// Only a `share` of the samples is turned, scaled, sheared and distorted: values between pixels are bilinear, which
/// blurs, and a network that saw no sharp image in training would meet its first one when it is used. Before that,
/// with probability `symmetry`, all samples of a class are turned or mirrored by one of the eight symmetries of the
/// square; of the four of the rectangle if the sides differ.
///
/// ```
/// use nearfar::config::{AugmentConfig, Elastic};
/// use nearfar::data::augment::Augmentation;
/// use nearfar_core::{Key, Stream};
/// let elastic = Elastic::Number(0.1);
/// let config = AugmentConfig { shift: 2, rotation: 10.0, scale: 0.1, shear: 0.0, elastic, share: 0.5, symmetry: 0.5 };
/// let augmentation = Augmentation::new(&config, [28, 28, 1])?;
/// let (image, mut out) = (vec![7.0; 28 * 28], vec![0.0; 28 * 28]);
/// augmentation.apply(Key::new(0, Stream::Augment, 1), [0, 0], &image, &mut out);
/// // A blank page stays one.
/// assert!(out.iter().all(|value: &f32| (value - 7.0).abs() < 1e-5));
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Augmentation {
    shape: [usize; 3],
    shift: u32,
    /// In radians.
    rotation: f64,
    scale: f64,
    shear: f64,
    /// In pixels.
    elastic: f64,
    share: f64,
    symmetry: f64,
}

/// A symmetry of the square about its centre: where `[x, y]` was before, as two rows of a matrix.
type Symmetry = [[f64; 2]; 2];

/// The four of a rectangle come first; the last four exchange its sides.
const SYMMETRIES: [Symmetry; 8] = [
    [[1.0, 0.0], [0.0, 1.0]],
    [[-1.0, 0.0], [0.0, -1.0]],
    [[-1.0, 0.0], [0.0, 1.0]],
    [[1.0, 0.0], [0.0, -1.0]],
    [[0.0, 1.0], [-1.0, 0.0]],
    [[0.0, -1.0], [1.0, 0.0]],
    [[0.0, 1.0], [1.0, 0.0]],
    [[0.0, -1.0], [-1.0, 0.0]],
];

impl Augmentation {
    /// Checks the ranges: shift within the image, rotation at most 180°, scale and shear below 1, elastic at
    /// most 1/2, share and symmetry shares.
    pub fn new(config: &AugmentConfig, shape: [usize; 3]) -> Result<Self> {
        let &AugmentConfig { shift, rotation, scale, shear, elastic, share, symmetry } = config;
        let elastic = elastic.reach();
        let [height, width, _] = shape;
        let is_vector = height == 1 && width == 1;
        let side = height.min(width);
        ensure!(
            is_vector || (shift as usize) < side,
            "augment.shift is {shift}; it must be less than the side, {side}"
        );
        ensure!(
            (0.0..=180.0).contains(&rotation),
            "augment.rotation is {rotation}; it lies in [0, 180] degrees"
        );
        ensure!((0.0..1.0).contains(&scale), "augment.scale is {scale}; it lies in [0, 1)");
        ensure!((0.0..1.0).contains(&shear), "augment.shear is {shear}; it lies in [0, 1)");
        ensure!((0.0..=0.5).contains(&elastic), "augment.elastic is {elastic}; it lies in [0, 0.5]");
        ensure!((0.0..=1.0).contains(&share), "augment.share is {share}; it lies in [0, 1]");
        ensure!((0.0..=1.0).contains(&symmetry), "augment.symmetry is {symmetry}; it lies in [0, 1]");
        let (on, shift) = if is_vector { (0.0, 0) } else { (1.0, shift) };
        Ok(Self {
            shape,
            shift,
            rotation: rotation.to_radians() * on,
            scale: scale * on,
            shear: shear * on,
            // A row or column of pixels has no inside to pull.
            elastic: if side < 2 { 0.0 } else { elastic * on * side as f64 },
            share,
            symmetry: symmetry * on,
        })
    }

    /// Writes a variation of the raw sample `raw` to `out`, both `[height, width, channels]`, or it panics.
    ///
    /// `key` gives the seed and the step; indices 0 to 4 and from 7 on are drawn for the place in the batch, 5 and 6
    /// for the class.
    pub fn apply(&self, key: Key, [place, class]: [u32; 2], raw: &[f32], out: &mut [f32]) {
        let [height, width, channels] = self.shape;
        let size = height * width * channels;
        assert!(raw.len() == size && out.len() == size, "a sample has {size} values");
        if self.shift == 0 && [self.rotation, self.scale, self.shear, self.elastic, self.symmetry] == [0.0; 5]
        {
            out.copy_from_slice(raw);
            return;
        }
        let [[xx, xy], [yx, yy]] = SYMMETRIES[self.symmetry_of(key, class)];
        let whole =
            |index| key.below(place, index, 2 * self.shift as usize + 1) as f64 - f64::from(self.shift);
        let (right, down) = (whole(0), whole(1));
        let on = if key.uniform(place, 7) < self.share { 1.0 } else { 0.0 };
        let within = |range: f64, index| on * range * (2.0 * key.uniform(place, index) - 1.0);
        let (sin, cos) = within(self.rotation, 2).sin_cos();
        let grow = 1.0 + within(self.scale, 3);
        let shear = within(self.shear, 4);
        let sheet = (on * self.elastic > 0.0).then(|| Sheet::draw(key, place, 8, self.elastic));
        let fill = border_mean(raw, self.shape);
        let (middle_y, middle_x) = ((height as f64 - 1.0) / 2.0, (width as f64 - 1.0) / 2.0);
        for y in 0..height {
            let pulls = sheet.as_ref().map(|sheet| sheet.row(y, height));
            for x in 0..width {
                // From where it is seen back to where it was: turned back, unscaled, unsheared, its class as it was.
                let (dx, dy) = (x as f64 - middle_x - right, y as f64 - middle_y - down);
                let (u, v) = ((cos * dx + sin * dy) / grow, (cos * dy - sin * dx) / grow);
                let u = u - shear * v;
                let [right, down] = pulls.map_or([0.0; 2], |pulls| pulls.at(x, width));
                let (u, v) = (u + right, v + down);
                let at = [yx * u + yy * v + middle_y, xx * u + xy * v + middle_x];
                let pixel = &mut out[(y * width + x) * channels..][..channels];
                bilinear(raw, self.shape, &fill, at, pixel);
            }
        }
    }

    /// What a class, turned as `leader` is, is shown as in the batch of `key`: a number for it and each of its eight
    /// symmetries. Turned, it is another class than it was; within a batch, shown alike, it is one class all the same.
    #[must_use]
    pub fn shown_as(&self, key: Key, class: u32, leader: u32) -> u32 {
        class * SYMMETRIES.len() as u32 + self.symmetry_of(key, leader) as u32
    }

    /// The class that is shown as this number, if it is neither turned nor mirrored.
    #[must_use]
    pub const fn plain(shown: u32) -> Option<u32> {
        let eight = SYMMETRIES.len() as u32;
        if shown.is_multiple_of(eight) { Some(shown / eight) } else { None }
    }

    /// How the samples of a class are turned or mirrored in the batch of `key`: which of the [`SYMMETRIES`].
    fn symmetry_of(&self, key: Key, class: u32) -> usize {
        let [height, width, _] = self.shape;
        let count = if height == width { 8 } else { 4 };
        if key.uniform(class, 5) < self.symmetry { key.below(class, 6, count) } else { 0 }
    }
}

/// The image at a place between pixels; `fill` wherever it does not reach.
#[inline]
fn bilinear(
    raw: &[f32],
    [height, width, channels]: [usize; 3],
    fill: &[f32],
    at: [f64; 2],
    pixel: &mut [f32],
) {
    let [(top, below), (left, beside)] = at.map(split);
    // Beyond the image on either side a number of a pixel is none.
    let [rows, columns] = [top, left].map(|first| [first as u64, first.wrapping_add(1) as u64]);
    let start = |y: u64, x: u64| (y as usize * width + x as usize) * channels;
    let corners = if rows.iter().all(|&y| y < height as u64) && columns.iter().all(|&x| x < width as u64) {
        let upper = &raw[start(rows[0], columns[0])..][..2 * channels];
        let lower = &raw[start(rows[1], columns[0])..][..2 * channels];
        [&upper[..channels], &upper[channels..], &lower[..channels], &lower[channels..]]
    } else {
        let corner = |y, x| {
            let inside = y < height as u64 && x < width as u64;
            if inside { &raw[start(y, x)..][..channels] } else { fill }
        };
        let [(top, bottom), (left, right)] = [rows.into(), columns.into()];
        [corner(top, left), corner(top, right), corner(bottom, left), corner(bottom, right)]
    };
    for (c, value) in pixel.iter_mut().enumerate() {
        let upper = corners[0][c] * (1.0 - beside) + corners[1][c] * beside;
        let lower = corners[2][c] * (1.0 - beside) + corners[3][c] * beside;
        *value = upper * (1.0 - below) + lower * below;
    }
}

/// The whole number below, and what is left. `f64::floor` would be a call where the program is built for any processor.
#[inline]
fn split(at: f64) -> (i64, f32) {
    let cut = at as i64;
    let whole = cut - i64::from(cut as f64 > at);
    (whole, (at - whole as f64) as f32)
}

/// Mean of the outermost pixels, by channel.
fn border_mean(raw: &[f32], [height, width, channels]: [usize; 3]) -> Vec<f32> {
    let mut sum = vec![0.0_f64; channels];
    let mut count = 0.0;
    for y in 0..height {
        for x in 0..width {
            if y == 0 || x == 0 || y + 1 == height || x + 1 == width {
                let pixel = &raw[(y * width + x) * channels..][..channels];
                sum.iter_mut().zip(pixel).for_each(|(sum, &value)| *sum += f64::from(value));
                count += 1.0;
            }
        }
    }
    sum.iter().map(|sum| (sum / count) as f32).collect()
}

#[cfg(test)]
mod tests {
    use nearfar_core::Stream;

    use super::*;
    use crate::config::Elastic;

    const NONE: AugmentConfig = AugmentConfig {
        shift: 0,
        rotation: 0.0,
        scale: 0.0,
        shear: 0.0,
        elastic: Elastic::Number(0.0),
        share: 1.0,
        symmetry: 0.0,
    };

    const ALL: AugmentConfig = AugmentConfig {
        shift: 2,
        rotation: 10.0,
        scale: 0.1,
        shear: 0.1,
        elastic: Elastic::Number(0.1),
        share: 1.0,
        symmetry: 0.5,
    };

    fn key(step: u32) -> Key {
        Key::new(5, Stream::Augment, step)
    }

    fn varied(config: &AugmentConfig, shape: [usize; 3], step: u32, item: u32, raw: &[f32]) -> Vec<f32> {
        let mut out = vec![f32::NAN; raw.len()];
        Augmentation::new(config, shape).unwrap().apply(key(step), [item, 0], raw, &mut out);
        out
    }

    /// A dot in the middle of 21 x 21 pixels, or off it by `down` and `right`.
    fn dot(down: usize, right: usize) -> Vec<f32> {
        let mut image = vec![0.0; 21 * 21];
        image[(10 + down) * 21 + 10 + right] = 100.0;
        image
    }

    /// Sum, and centre of gravity from the middle: down, right.
    fn centre(image: &[f32]) -> [f64; 3] {
        let mut sums = [0.0; 3];
        for (place, &value) in image.iter().enumerate() {
            let (y, x) = ((place / 21) as f64 - 10.0, (place % 21) as f64 - 10.0);
            sums =
                [sums[0] + f64::from(value), sums[1] + y * f64::from(value), sums[2] + x * f64::from(value)];
        }
        [sums[0], sums[1] / sums[0], sums[2] / sums[0]]
    }

    #[test]
    fn no_range_changes_nothing_and_neither_does_a_vector() {
        let raw: Vec<f32> = (0..12).map(|v| v as f32).collect();
        assert_eq!(varied(&NONE, [2, 2, 3], 0, 0, &raw), raw);
        assert_eq!(varied(&ALL, [1, 1, 12], 0, 0, &raw), raw);
    }

    #[test]
    fn a_variation_is_a_function_of_its_place() {
        let of = |step, item| varied(&ALL, [21, 21, 1], step, item, &dot(3, 2));
        assert_eq!(of(1, 2), of(1, 2));
        assert_ne!(of(1, 2), of(2, 2));
        assert_ne!(of(1, 2), of(1, 3));
    }

    #[test]
    fn a_shift_moves_the_dot_by_what_was_drawn() {
        let config = AugmentConfig { shift: 3, ..NONE };
        let mut seen = [0; 7];
        for item in 0..50 {
            let [sum, down, right] = centre(&varied(&config, [21, 21, 1], 0, item, &dot(0, 0)));
            let drawn = |index| key(0).below(item, index, 7) as f64 - 3.0;
            // Whole pixels: the dot stays a dot.
            assert_eq!([sum, down, right], [100.0, drawn(1), drawn(0)], "{item}");
            seen[(right + 3.0) as usize] += 1;
        }
        // The chance that one of seven is missing after 50 draws is 7 (6/7)^50, 0.003; for this key none is.
        assert!(seen.iter().all(|&count| count > 0), "{seen:?}");
    }

    #[test]
    fn the_share_that_is_not_turned_stays_sharp() {
        let config = AugmentConfig { rotation: 30.0, scale: 0.2, share: 0.4, ..NONE };
        let sharp =
            (0..500).filter(|&item| varied(&config, [21, 21, 1], 0, item, &dot(3, 6)) == dot(3, 6)).count();
        // Binomial, 500 x 0.6: five standard deviations are 55.
        assert!((245..=355).contains(&sharp), "{sharp}");
    }

    #[test]
    fn a_turn_a_change_of_size_and_a_shear_move_a_dot_where_they_should() {
        // Sampling between pixels moves a dot by less than half a pixel.
        for item in 0..50 {
            let drawn = |range: f64, index| range * (2.0 * key(0).uniform(item, index) - 1.0);
            let turned = AugmentConfig { rotation: 30.0, ..NONE };
            let [_, down, right] = centre(&varied(&turned, [21, 21, 1], 0, item, &dot(0, 6)));
            let (sin, cos) = drawn(30.0, 2).to_radians().sin_cos();
            assert!((right - 6.0 * cos).abs() < 0.5 && (down - 6.0 * sin).abs() < 0.5, "turn {item}");
            let scaled = AugmentConfig { scale: 0.3, ..NONE };
            let [_, _, right] = centre(&varied(&scaled, [21, 21, 1], 0, item, &dot(0, 6)));
            assert!((right - 6.0 * (1.0 + drawn(0.3, 3))).abs() < 0.5, "scale {item}");
            let sheared = AugmentConfig { shear: 0.3, ..NONE };
            let [_, down, right] = centre(&varied(&sheared, [21, 21, 1], 0, item, &dot(6, 0)));
            assert!((right - 6.0 * drawn(0.3, 4)).abs() < 0.5 && (down - 6.0).abs() < 1e-9, "shear {item}");
        }
    }

    #[test]
    fn a_pull_moves_a_dot_by_no_more_than_its_reach_and_each_dot_by_its_own() {
        let config = AugmentConfig { elastic: Elastic::Number(0.1), ..NONE };
        let moved: Vec<[f64; 2]> = (0..40)
            .map(|item| {
                let [_, down, right] = centre(&varied(&config, [21, 21, 1], 0, item, &dot(0, 0)));
                [down, right]
            })
            .collect();
        // A tenth of 21 pixels; sampling between pixels moves a dot by less than half a pixel more.
        assert!(moved.iter().flatten().all(|by| by.abs() < 2.1 + 0.5), "{moved:?}");
        assert!(moved.iter().any(|by| by[0].abs() > 0.5) && moved.iter().any(|by| by[1].abs() > 0.5));
        // Two dots of one image go different ways.
        let of = |down, right| centre(&varied(&config, [21, 21, 1], 0, 3, &dot(down, right)));
        assert!((of(0, 0)[1] - (of(8, 8)[1] - 8.0)).abs() > 1e-3);
    }

    #[test]
    fn a_class_is_turned_as_a_whole_and_every_symmetry_comes_about() {
        // All pixels differ, so a symmetry is known by its image; on whole pixels it moves them exactly.
        let (square, wide) = ([3, 3, 1], [2, 3, 1]);
        let raw: Vec<f32> = (0..9).map(|v| v as f32).collect();
        let augmentation =
            |shape, share| Augmentation::new(&AugmentConfig { symmetry: share, ..NONE }, shape).unwrap();
        let seen = |shape: [usize; 3], share, place| -> std::collections::BTreeSet<Vec<u32>> {
            let turned = |class| {
                let size = shape[0] * shape[1];
                let mut out = vec![f32::NAN; size];
                augmentation(shape, share).apply(key(1), [place, class], &raw[..size], &mut out);
                out.iter().map(|&v| v as u32).collect()
            };
            (0..200).map(turned).collect()
        };
        // The chance that one of eight is missing after 200 draws is 8 (7/8)^200 < 1e-10.
        let all = seen(square, 1.0, 0);
        assert_eq!(all.len(), 8);
        assert!(all.contains(&vec![2, 5, 8, 1, 4, 7, 0, 3, 6]), "a quarter turn");
        assert!(all.contains(&vec![0, 3, 6, 1, 4, 7, 2, 5, 8]), "the diagonal as a mirror");
        assert_eq!(seen(wide, 1.0, 0).len(), 4);
        assert_eq!(seen(square, 0.0, 0).len(), 1);
        for class in 0..50 {
            let of = |place| {
                let mut out = vec![f32::NAN; 9];
                augmentation(square, 0.5).apply(key(1), [place, class], &raw, &mut out);
                out
            };
            assert_eq!(of(0), of(7), "all samples of class {class}");
        }
    }

    #[test]
    fn a_plain_background_stays_plain_in_every_channel() {
        let config = AugmentConfig { shift: 5, rotation: 180.0, scale: 0.5, shear: 0.5, ..ALL };
        let raw: Vec<f32> = [255.0, 0.0, 31.0].repeat(12 * 9);
        for item in 0..20 {
            let out = varied(&config, [12, 9, 3], 0, item, &raw);
            // The two weights of a side sum to 1 within rounding.
            assert!(out.iter().zip(&raw).all(|(a, b)| (a - b).abs() <= 255.0 * 4.0 * f32::EPSILON), "{item}");
        }
    }

    #[test]
    fn values_stay_within_those_of_the_image() {
        let config = AugmentConfig { shift: 4, rotation: 90.0, scale: 0.5, shear: 0.5, ..ALL };
        let raw: Vec<f32> = (0..21 * 21).map(|place| ((place * 7919) % 256) as f32).collect();
        for item in 0..20 {
            let out = varied(&config, [21, 21, 1], 3, item, &raw);
            assert!(out.iter().all(|value| (0.0..=255.001).contains(value)), "{item}");
        }
    }

    #[test]
    fn ranges_that_are_none_are_errors() {
        for bad in [f64::NAN, f64::INFINITY, -1.0, 200.0] {
            for config in [
                AugmentConfig { rotation: bad, ..NONE },
                AugmentConfig { scale: bad, ..NONE },
                AugmentConfig { shear: bad, ..NONE },
                AugmentConfig { elastic: Elastic::Number(bad), ..NONE },
                AugmentConfig { share: bad, ..NONE },
                AugmentConfig { symmetry: bad, ..NONE },
            ] {
                assert!(Augmentation::new(&config, [28, 28, 1]).is_err(), "{config:?}");
            }
        }
        assert!(Augmentation::new(&AugmentConfig { shift: 28, ..NONE }, [28, 28, 1]).is_err());
    }
}
