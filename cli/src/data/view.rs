//! What a network sees of a picture: a part of it, mirrored or not.
//!
//! Wu et al., section 5: pictures are resized to 256 x 256; in training a part of 227 x 227 at a random place,
//! mirrored half of the time; outside training the part in the middle.

use nearfar_core::Key;

/// Indices of the random numbers of a view; those below belong to [`super::augment`].
const DOWN: u32 = 8;
const RIGHT: u32 = 9;
const MIRROR: u32 = 10;

/// A part of a picture of `frame` (height, width, channels), of the size of `shape`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct View {
    frame: [usize; 3],
    shape: [usize; 3],
    /// Rows above it, columns before it.
    at: [usize; 2],
    mirrored: bool,
}

/// The part in the middle; with an odd number of pixels to spare, one more is left below and to the right.
pub(super) fn middle(frame: [usize; 3], shape: [usize; 3]) -> View {
    View { frame, shape, at: [(frame[0] - shape[0]) / 2, (frame[1] - shape[1]) / 2], mirrored: false }
}

/// A part at a random place, mirrored with probability 1/2 if `mirror` says so: a function of `key` and of the place
/// in the batch alone.
pub(super) fn random(frame: [usize; 3], shape: [usize; 3], mirror: bool, key: Key, place: u32) -> View {
    let spare = |side: usize, index| key.below(place, index, frame[side] - shape[side] + 1);
    View {
        frame,
        shape,
        at: [spare(0, DOWN), spare(1, RIGHT)],
        mirrored: mirror && frame[1] > 1 && key.uniform(place, MIRROR) < 0.5,
    }
}

impl View {
    /// Writes the part of `picture`, `[frame]`, to `out`, `[shape]`.
    pub(super) fn show(&self, picture: &[f32], out: &mut [f32]) {
        let Self { frame: [_, width, channels], shape: [_, shown, _], at: [down, right], mirrored } = *self;
        for (y, row) in out.chunks_exact_mut(shown * channels).enumerate() {
            let from = ((down + y) * width + right) * channels;
            row.copy_from_slice(&picture[from..][..shown * channels]);
            if mirrored {
                // The pixels of a row change places; the channels of a pixel do not.
                for x in 0..shown / 2 {
                    for channel in 0..channels {
                        row.swap(x * channels + channel, (shown - 1 - x) * channels + channel);
                    }
                }
            }
        }
    }
}

/// Means of a picture, `[shape]`, over the cells of a grid of at most `side` x `side`, and the grid's shape: a picture
/// that is no larger stays what it is.
pub(crate) fn miniature(picture: &[f32], shape: [usize; 3], side: usize) -> (Vec<f32>, [usize; 3]) {
    let [height, width, channels] = shape;
    let (rows, columns) = (height.min(side), width.min(side));
    let mut out = Vec::with_capacity(rows * columns * channels);
    for row in 0..rows {
        let (top, bottom) = (row * height / rows, (row + 1) * height / rows);
        for column in 0..columns {
            let (left, right) = (column * width / columns, (column + 1) * width / columns);
            for channel in 0..channels {
                let row_sum = |y: usize| -> f64 {
                    (left..right).map(|x| f64::from(picture[(y * width + x) * channels + channel])).sum()
                };
                let sum: f64 = (top..bottom).map(row_sum).sum();
                out.push((sum / ((bottom - top) * (right - left)) as f64) as f32);
            }
        }
    }
    (out, [rows, columns, channels])
}

#[cfg(test)]
mod tests {
    use nearfar_core::Stream;

    use super::*;

    fn shown(view: View, picture: &[f32]) -> Vec<f32> {
        let mut out = vec![f32::NAN; view.shape.iter().product()];
        view.show(picture, &mut out);
        out
    }

    #[test]
    fn the_middle_is_the_middle() {
        let picture: Vec<f32> = (0..16).map(|v| v as f32).collect();
        assert_eq!(shown(middle([4, 4, 1], [2, 2, 1]), &picture), [5.0, 6.0, 9.0, 10.0]);
        assert_eq!(shown(middle([4, 4, 1], [3, 3, 1]), &picture)[..3], [0.0, 1.0, 2.0]);
        assert_eq!(shown(middle([2, 4, 2], [2, 2, 2]), &picture)[..4], [2.0, 3.0, 4.0, 5.0]);
        assert_eq!(shown(middle([4, 4, 1], [4, 4, 1]), &picture), picture);
    }

    #[test]
    fn every_place_and_both_sides_come_about_and_each_is_a_part_of_the_picture() {
        let picture: Vec<f32> = (0..5 * 4 * 2).map(|v| v as f32).collect();
        let mut seen = std::collections::BTreeSet::new();
        for place in 0..400 {
            let view = random([5, 4, 2], [3, 3, 2], true, Key::new(3, Stream::Augment, 7), place);
            let out = shown(view, &picture);
            let [down, right] = view.at;
            for (y, x, c) in (0..3).flat_map(|y| (0..3).flat_map(move |x| (0..2).map(move |c| (y, x, c)))) {
                let from = if view.mirrored { right + 2 - x } else { right + x };
                assert_eq!(out[(y * 3 + x) * 2 + c], picture[((down + y) * 4 + from) * 2 + c]);
            }
            seen.insert((view.at, view.mirrored));
        }
        // Three rows, two columns, two sides; the chance that one of 12 is missing is below 12 (11/12)^400, 1e-14.
        assert_eq!(seen.len(), 12);
    }

    #[test]
    fn a_miniature_holds_the_means_of_its_cells() {
        let picture: Vec<f32> = (0..3 * 4 * 2).map(|v| v as f32).collect();
        let (small, shape) = miniature(&picture, [3, 4, 2], 2);
        assert_eq!(shape, [2, 2, 2]);
        // The first row of cells is one pixel high, the second two.
        assert_eq!(small, [1.0, 2.0, 5.0, 6.0, 13.0, 14.0, 17.0, 18.0]);
        assert_eq!(miniature(&picture, [3, 4, 2], 9), (picture.clone(), [3, 4, 2]));
    }

    #[test]
    fn nothing_to_choose_changes_nothing() {
        let picture = [1.0, 2.0, 3.0, 4.0];
        for place in 0..20 {
            let view = random([2, 2, 1], [2, 2, 1], false, Key::new(0, Stream::Augment, 0), place);
            assert_eq!(shown(view, &picture), picture);
        }
    }
}
