//! Views of an input outside training: a picture as it is, and moved by one pixel.
//!
//! ```text
//! x = s / |s|,   s = sum over v of x_v        x_v: unit embedding of view v
//! ```
//! Where a stroke falls on the windows of a pooling changes what passes it; the mean over neighbouring places scatters
//! less than one place does. It costs one pass through the network a view, and nothing in training. (Krizhevsky,
//! Sutskever, Hinton, "ImageNet classification with deep convolutional neural networks", NIPS 2012, section 4.1,
//! average over parts of a picture.)

use anyhow::{Result, ensure};

/// Numbers of views that there are: the picture; with its neighbours across edges; with those across corners too.
pub const COUNTS: [usize; 3] = [1, 5, 9];

/// Longest side of a picture whose embedding gains by a pixel: `model.views = 0` leaves larger ones alone.
const SMALL: usize = 64;

/// Where the views look: rows down, columns to the right. [`COUNTS`] cut it.
const OFFSETS: [[isize; 2]; 9] =
    [[0, 0], [-1, 0], [1, 0], [0, -1], [0, 1], [-1, -1], [-1, 1], [1, -1], [1, 1]];

/// The views of inputs of one shape.
///
/// ```
/// use nearfar::views::Views;
/// let views = Views::new(5, [2, 3, 1])?;
/// let picture = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
/// let mut out = [0.0; 6];
/// views.show(4, &picture, &mut out); // one column further right; the last column repeats
/// assert_eq!(out, [2.0, 3.0, 3.0, 5.0, 6.0, 6.0]);
/// assert!(Views::new(5, [1, 1, 6]).is_err()); // a vector has no neighbours
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Views {
    count: usize,
    shape: [usize; 3],
}

impl Views {
    /// `count` views, 1, 5 or 9, of inputs `[height, width, channels]`; vectors have one.
    pub fn new(count: usize, shape: [usize; 3]) -> Result<Self> {
        ensure!(COUNTS.contains(&count), "model.views is {count}; it is 1, 5 or 9");
        let [height, width, _] = shape;
        ensure!(
            count == 1 || height.max(width) > 1,
            "model.views is {count}, but the inputs are vectors, which cannot move: set it to 1"
        );
        Ok(Self { count, shape })
    }

    /// How many views suit inputs of this shape: 5 of small pictures, else 1.
    #[must_use]
    pub fn suited(shape: [usize; 3]) -> usize {
        let side = shape[0].max(shape[1]);
        if (2..=SMALL).contains(&side) { COUNTS[1] } else { COUNTS[0] }
    }

    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Where each looks: rows down, columns to the right, -1 to 1. The first is the picture as it is.
    #[must_use]
    pub fn offsets(&self) -> &'static [[isize; 2]] {
        &OFFSETS[..self.count]
    }

    /// Writes view number `view` of an input to `out`. Beyond its edge the outermost pixels repeat.
    ///
    /// # Panics
    /// If there is no such view, or a slice is not one input.
    pub fn show(&self, view: usize, input: &[f32], out: &mut [f32]) {
        let [height, width, channels] = self.shape;
        let size = height * width * channels;
        assert!(input.len() == size && out.len() == size, "an input has {size} values");
        let [down, right] = self.offsets()[view];
        let within = |at: usize, by: isize, side: usize| at.saturating_add_signed(by).min(side - 1);
        for (y, row) in out.chunks_exact_mut(width * channels).enumerate() {
            let from = within(y, down, height) * width;
            for (x, pixel) in row.chunks_exact_mut(channels).enumerate() {
                let at = (from + within(x, right, width)) * channels;
                pixel.copy_from_slice(&input[at..][..channels]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_view_shows_every_pixel_s_neighbour() {
        let shape = [3, 4, 2];
        let input: Vec<f32> = (0..24).map(|v| v as f32).collect();
        let views = Views::new(9, shape).unwrap();
        for (view, [down, right]) in views.offsets().iter().enumerate() {
            let mut out = vec![f32::NAN; 24];
            views.show(view, &input, &mut out);
            for (y, x, c) in (0..3).flat_map(|y| (0..4).flat_map(move |x| (0..2).map(move |c| (y, x, c)))) {
                let (from_y, from_x) = ((y + down).clamp(0, 2), (x + right).clamp(0, 3));
                let wanted = ((from_y * 4 + from_x) * 2 + c) as f32;
                assert_eq!(out[((y * 4 + x) * 2 + c) as usize], wanted, "view {view} at {y}, {x}, {c}");
            }
        }
        // All nine places are different ones.
        let distinct: std::collections::BTreeSet<_> = views.offsets().iter().collect();
        assert_eq!(distinct.len(), 9);
    }

    #[test]
    fn small_pictures_get_five_views_and_everything_else_one() {
        assert_eq!(Views::suited([28, 28, 1]), 5);
        assert_eq!(Views::suited([1, 64, 3]), 5);
        assert_eq!(Views::suited([227, 227, 3]), 1);
        assert_eq!(Views::suited([1, 1, 784]), 1);
        for bad in [0, 2, 10, usize::MAX] {
            assert!(Views::new(bad, [28, 28, 1]).is_err(), "{bad}");
        }
    }
}
