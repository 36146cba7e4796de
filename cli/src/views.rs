//! Views of an input outside training: a picture as it is, moved by one pixel, or turned and mirrored.
//!
//! ```text
//! x = s / |s|,   s = sum over v of x_v                        moved           x_v: unit embedding of view v
//!                s = A (x_1, ..., x_8)                        turned          A: linear discriminants
//! ```
//! Where a stroke falls on the windows of a pooling changes what passes it; the mean over neighbouring places scatters
//! less than one place does. (Krizhevsky, Sutskever, Hinton, "ImageNet classification with deep convolutional neural
//! networks", NIPS 2012, section 4.1, average over parts of a picture.) A network that learned turned classes as classes
//! of their own (`augment.symmetry`) sees something else in each of the eight positions of a square: what they agree on
//! in the training classes is kept ([`Discriminants`](nearfar_core::Discriminants)). Each view costs one pass through
//! the network, and nothing in training.

use anyhow::{Result, ensure};

/// Numbers of views that there are: the picture; moved across its edges too; turned and mirrored; moved across its
/// corners too.
pub const COUNTS: [usize; 4] = [1, 5, TURNED, 9];

/// A square and what becomes of it by quarter turns and mirrors.
pub const TURNED: usize = 8;

/// Longest side of a picture whose embedding gains by a pixel: `model.views = 0` leaves larger ones alone.
const SMALL: usize = 64;

/// Where moved views look: rows down, columns to the right. Their number cuts it.
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
/// let square = Views::new(8, [2, 2, 1])?;
/// let mut out = [0.0; 4];
/// square.show(4, &[1.0, 2.0, 3.0, 4.0], &mut out); // mirrored at its diagonal
/// assert_eq!(out, [1.0, 3.0, 2.0, 4.0]);
/// assert!(Views::new(8, [2, 3, 1]).is_err()); // no square
/// assert!(Views::new(5, [1, 1, 6]).is_err()); // a vector has no neighbours
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Views {
    count: usize,
    shape: [usize; 3],
}

impl Views {
    /// `count` views, 1, 5, 8 or 9, of inputs `[height, width, channels]`; vectors have one.
    pub fn new(count: usize, shape: [usize; 3]) -> Result<Self> {
        ensure!(COUNTS.contains(&count), "model.views is {count}; it is 1, 5, 8 or 9");
        let [height, width, _] = shape;
        ensure!(
            count != TURNED || height == width,
            "model.views is {count}, but pictures of {height} x {width} cannot be turned: crop them to squares \
             (data.crop), or set it to 1, 5 or 9"
        );
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

    /// Whether they are the picture turned and mirrored, whose embeddings are joined by a map; else it is moved.
    #[must_use]
    pub const fn turned(&self) -> bool {
        self.count == TURNED
    }

    /// Where each of moved views looks: rows down, columns to the right, -1 to 1. The first is the picture as it is.
    #[must_use]
    pub fn offsets(&self) -> &'static [[isize; 2]] {
        if self.turned() { &[] } else { &OFFSETS[..self.count] }
    }

    /// What is done for each of turned views, in this order: rows upside down, columns right to left, rows for columns.
    /// The first is the picture as it is.
    #[must_use]
    pub fn turns(&self) -> &'static [[bool; 3]] {
        const TURNS: [[bool; 3]; TURNED] = {
            let mut turns = [[false; 3]; TURNED];
            let mut at = 0;
            while at < TURNED {
                turns[at] = [at & 1 > 0, at & 2 > 0, at & 4 > 0];
                at += 1;
            }
            turns
        };
        if self.turned() { &TURNS } else { &[] }
    }

    /// Writes view number `view` of an input to `out`. Beyond the edge of a moved one the outermost pixels repeat.
    ///
    /// # Panics
    /// If there is no such view, or a slice is not one input.
    pub fn show(&self, view: usize, input: &[f32], out: &mut [f32]) {
        let [height, width, channels] = self.shape;
        let size = height * width * channels;
        assert!(input.len() == size && out.len() == size, "an input has {size} values");
        let within = |at: usize, by: isize, side: usize| at.saturating_add_signed(by).min(side - 1);
        let flipped = |at: usize, flip: bool, side: usize| if flip { side - 1 - at } else { at };
        let from = |y: usize, x: usize| {
            if self.turned() {
                let [down, right, across] = self.turns()[view];
                let (y, x) = if across { (x, y) } else { (y, x) };
                (flipped(y, down, height), flipped(x, right, width))
            } else {
                let [down, right] = self.offsets()[view];
                (within(y, down, height), within(x, right, width))
            }
        };
        for (at, pixel) in out.chunks_exact_mut(channels).enumerate() {
            let (y, x) = from(at / width, at % width);
            pixel.copy_from_slice(&input[(y * width + x) * channels..][..channels]);
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
    fn the_eight_turns_are_the_symmetries_of_a_square() {
        let views = Views::new(8, [3, 3, 1]).unwrap();
        let input: Vec<f32> = (0..9).map(|v| v as f32).collect();
        let shown: Vec<Vec<f32>> = (0..8)
            .map(|view| {
                let mut out = vec![f32::NAN; 9];
                views.show(view, &input, &mut out);
                out
            })
            .collect();
        assert_eq!(shown[0], input);
        assert_eq!(shown[1], [6.0, 7.0, 8.0, 3.0, 4.0, 5.0, 0.0, 1.0, 2.0]);
        // Rows upside down, then rows for columns: a quarter turn.
        assert_eq!(shown[5], [6.0, 3.0, 0.0, 7.0, 4.0, 1.0, 8.0, 5.0, 2.0]);
        for (at, out) in shown.iter().enumerate() {
            // The middle stays, and what lies beside it does.
            assert_eq!(out[4], 4.0);
            assert_eq!((out[1] - 4.0).abs() + (out[7] - 4.0).abs(), (out[1] - out[7]).abs());
            assert!(shown[..at].iter().all(|other| other != out), "{at}");
        }
    }

    #[test]
    fn small_pictures_get_five_views_and_everything_else_one() {
        assert_eq!(Views::suited([28, 28, 1]), 5);
        assert_eq!(Views::suited([1, 64, 3]), 5);
        assert_eq!(Views::suited([227, 227, 3]), 1);
        assert_eq!(Views::suited([1, 1, 784]), 1);
        for bad in [0, 2, 7, 10, usize::MAX] {
            assert!(Views::new(bad, [28, 28, 1]).is_err(), "{bad}");
        }
    }
}
