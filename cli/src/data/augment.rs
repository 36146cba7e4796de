//! Variation of training images: one affine map each, with shift, rotation, size and shear drawn anew at every step.
//! Features are left alone.

use nearfar_core::Key;

use super::Samples;
use crate::config::AugmentConfig;

/// How far images vary.
#[derive(Clone, Debug)]
pub struct Augmentation {
    ranges: AugmentConfig,
    shape: [usize; 3],
    /// What lies beyond the edge: the mean of all border pixels of the training samples.
    background: Vec<f32>,
}

impl Augmentation {
    /// Variation of such samples.
    #[must_use]
    pub fn new(ranges: &AugmentConfig, samples: &Samples) -> Self {
        let [height, width, channels] = samples.shape;
        let mut background = vec![0.0_f64; channels];
        let mut count = 0.0;
        for image in samples.values.chunks_exact(samples.size()) {
            for (at, pixel) in image.chunks_exact(channels).enumerate() {
                let (y, x) = (at / width, at % width);
                if y == 0 || x == 0 || y + 1 == height || x + 1 == width {
                    background.iter_mut().zip(pixel).for_each(|(sum, &v)| *sum += f64::from(v));
                    count += 1.0;
                }
            }
        }
        let background = background.into_iter().map(|sum| (sum / f64::max(count, 1.0)) as f32).collect();
        Self { ranges: ranges.clone(), shape: samples.shape, background }
    }

    /// A varied copy of `image`; `place` is its place in the batch, `key` that of the step.
    pub fn apply(&self, image: &[f32], key: Key, place: u32, out: &mut [f32]) {
        let [height, width, channels] = self.shape;
        let AugmentConfig { shift, rotation, scale, shear } = self.ranges;
        if height < 2 || width < 2 || [shift, rotation, scale, shear] == [0.0; 4] {
            out.copy_from_slice(image);
            return;
        }
        let draw = |index: u32, range: f64| range * (2.0 * key.uniform(place, index) - 1.0);
        let (sin, cos) = draw(0, rotation).to_radians().sin_cos();
        let (dx, dy) = (draw(1, shift), draw(2, shift));
        // Sizes are drawn on a logarithmic scale: as often up as down.
        let size = draw(3, (1.0 + scale).ln()).exp();
        let slant = draw(4, shear);
        // The inverse map: where in the source a pixel of the result comes from, around the centre.
        let [a, b, c, d] = [cos / size, (sin + slant * cos) / size, -sin / size, (cos - slant * sin) / size];
        let (cx, cy) = (0.5 * (width - 1) as f64, 0.5 * (height - 1) as f64);
        for (at, pixel) in out.chunks_exact_mut(channels).enumerate() {
            let (x, y) = ((at % width) as f64 - cx - dx, (at / width) as f64 - cy - dy);
            self.sample(image, a * x + b * y + cx, c * x + d * y + cy, pixel);
        }
    }

    /// Bilinear value at a point between pixels.
    fn sample(&self, image: &[f32], x: f64, y: f64, pixel: &mut [f32]) {
        let [height, width, channels] = self.shape;
        let (x0, y0) = (x.floor(), y.floor());
        let (fx, fy) = ((x - x0) as f32, (y - y0) as f32);
        let weights = [(1.0 - fx) * (1.0 - fy), fx * (1.0 - fy), (1.0 - fx) * fy, fx * fy];
        pixel.fill(0.0);
        for (corner, weight) in weights.into_iter().enumerate() {
            let (px, py) = (x0 as i64 + (corner % 2) as i64, y0 as i64 + (corner / 2) as i64);
            let inside = (0..width as i64).contains(&px) && (0..height as i64).contains(&py);
            let source = if inside {
                &image[(py as usize * width + px as usize) * channels..][..channels]
            } else {
                &self.background[..]
            };
            pixel.iter_mut().zip(source).for_each(|(v, &s)| *v += weight * s);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nearfar_core::Stream;

    fn blob() -> Samples {
        let mut values = vec![0.0; 81];
        values[4 * 9 + 4] = 90.0;
        Samples::labelled([9, 9, 1], values, &[0]).unwrap()
    }

    fn ranges(shift: f64, rotation: f64) -> AugmentConfig {
        AugmentConfig { shift, rotation, scale: 0.0, shear: 0.0 }
    }

    #[test]
    fn a_shift_moves_ink_and_keeps_its_amount() {
        let samples = blob();
        let augmentation = Augmentation::new(&ranges(2.0, 0.0), &samples);
        let mut out = vec![0.0; 81];
        for place in 0..20 {
            augmentation.apply(&samples.values, Key::new(1, Stream::Augment, 0), place, &mut out);
            assert!((out.iter().sum::<f32>() - 90.0).abs() < 1e-3);
        }
    }

    #[test]
    fn a_rotation_keeps_the_centre_and_nothing_to_vary_keeps_all() {
        let samples = blob();
        let mut out = vec![0.0; 81];
        let key = Key::new(1, Stream::Augment, 0);
        Augmentation::new(&ranges(0.0, 90.0), &samples).apply(&samples.values, key, 3, &mut out);
        assert!((out[40] - 90.0).abs() < 1e-3);
        Augmentation::new(&ranges(0.0, 0.0), &samples).apply(&samples.values, key, 3, &mut out);
        assert_eq!(out, samples.values);
    }
}
