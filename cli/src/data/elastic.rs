//! Elastic distortion: a sheet of rubber over the image, pulled at a few points.
//!
//! Writers and fonts differ by how parts of a character lie to each other, which no turn or shear of the whole shows.
//! (Simard, Steinkraus, Platt, "Best practices for convolutional neural networks applied to visual document
//! analysis", ICDAR 2003, smooth a random field; here a coarse grid is smooth by itself, and cheap.)

use nearfar_core::Key;

/// Points of the grid each way; the outermost lie on the corners of the image.
const GRID: usize = 4;

/// Where the sheet was pulled: `[across, down]` in pixels at each point of the grid, linear between them.
///
/// ```text
/// pull ~ uniform in ±reach, each point and direction by itself
/// ```
#[derive(Clone, Debug)]
pub(super) struct Sheet {
    pulls: [[[f64; 2]; GRID]; GRID],
}

/// The pulls along one row of pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct SheetRow([[f64; 2]; GRID]);

/// Cell of the grid in which a pixel lies, and how far into it.
fn cell(pixel: usize, side: usize) -> (usize, f64) {
    let at = pixel as f64 * (GRID - 1) as f64 / (side - 1) as f64;
    let cell = (at as usize).min(GRID - 2);
    (cell, at - cell as f64)
}

fn between(a: [f64; 2], b: [f64; 2], share: f64) -> [f64; 2] {
    [a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share]
}

impl Sheet {
    /// A sheet for the sample at `place`, from the `2 * 16` numbers that follow index `first`.
    pub(super) fn draw(key: Key, place: u32, first: u32, reach: f64) -> Self {
        let mut index = first;
        let mut pull = || {
            index += 1;
            reach * (2.0 * key.uniform(place, index - 1) - 1.0)
        };
        let mut pulls = [[[0.0; 2]; GRID]; GRID];
        pulls.iter_mut().flatten().flatten().for_each(|value| *value = pull());
        Self { pulls }
    }

    /// Row `y` of `height`, at least 2.
    pub(super) fn row(&self, y: usize, height: usize) -> SheetRow {
        let (top, share) = cell(y, height);
        SheetRow(std::array::from_fn(|x| between(self.pulls[top][x], self.pulls[top + 1][x], share)))
    }
}

impl SheetRow {
    /// `[across, down]` at pixel `x` of `width`, at least 2.
    pub(super) fn at(&self, x: usize, width: usize) -> [f64; 2] {
        let (left, share) = cell(x, width);
        between(self.0[left], self.0[left + 1], share)
    }
}

#[cfg(test)]
mod tests {
    use nearfar_core::Stream;

    use super::*;

    #[test]
    fn the_sheet_goes_through_its_pulls_and_is_straight_between_them() {
        let key = Key::new(3, Stream::Augment, 1);
        let sheet = Sheet::draw(key, 7, 10, 2.0);
        let drawn = |index| 2.0 * (2.0 * key.uniform(7, index) - 1.0);
        // 13 pixels: points of the grid at 0, 4, 8 and 12.
        let at = |y: usize, x: usize| sheet.row(y, 13).at(x, 13);
        assert_eq!(at(0, 0), [drawn(10), drawn(11)]);
        assert_eq!(at(12, 12), [drawn(40), drawn(41)]);
        assert_eq!(at(4, 8), [drawn(10 + 2 * 6), drawn(11 + 2 * 6)]);
        let middle = at(4, 6);
        for way in 0..2 {
            assert!((middle[way] - 0.5 * (at(4, 4)[way] + at(4, 8)[way])).abs() < 1e-15);
        }
    }

    #[test]
    fn no_pull_is_longer_than_its_reach() {
        for place in 0..100 {
            let sheet = Sheet::draw(Key::new(0, Stream::Augment, 0), place, 8, 1.5);
            for pixel in 0..25 {
                assert!(sheet.row(pixel, 25).at(24 - pixel, 25).iter().all(|pull| pull.abs() <= 1.5));
            }
        }
    }
}
