//! Where things go: names in rows, numbers on axes, the span of an axis.

use super::FONT;

/// Height of a row of names.
pub(super) const ROW: u32 = 18;

/// A name where it stands: x, row, and as much of its text as the row holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) x: u32,
    pub(super) row: u32,
    pub(super) text: String,
}

/// Left of the first name, and of its text.
const EDGE: u32 = 10;
pub(super) const KEY: u32 = 21;

/// Width of a letter, by a guess: sans-serif letters are a little narrower.
const LETTER: u32 = FONT * 11 / 20;

/// A text within this width. One that is too long loses its beginning: the end of a path says more.
pub(super) fn fitting(text: &str, width: u32) -> String {
    let (letters, most) = (text.chars().count(), (width / LETTER).max(2) as usize);
    if letters <= most {
        return text.to_owned();
    }
    std::iter::once('\u{2026}').chain(text.chars().skip(letters - most + 1)).collect()
}

/// As many names in a row as fit.
pub(super) fn places(names: &[&str], width: u32) -> Vec<Place> {
    let (mut x, mut row) = (EDGE, 0);
    names
        .iter()
        .map(|name| {
            let text = fitting(name, width.saturating_sub(EDGE + KEY));
            let wide = KEY + text.chars().count() as u32 * LETTER + 14;
            if x > EDGE && x + wide > width {
                (x, row) = (EDGE, row + 1);
            }
            let place = Place { x, row, text };
            x += wide;
            place
        })
        .collect()
}

/// Height of rows of names.
pub(super) fn rows_height(places: &[Place]) -> u32 {
    places.last().map_or(0, |last| (last.row + 1) * ROW + 6)
}

/// A number on an axis of this length: no more decimals than tell it from its neighbours.
pub(super) fn tick(value: f64, span: f64) -> String {
    let decimals = (1.0 - (span / 10.0).log10().floor()).clamp(0.0, 9.0) as usize;
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".into() } else { text.into() }
}

/// From the least to the largest, never empty; with a share of air above, and below what lies under 0.
pub(super) fn range(values: impl Iterator<Item = f64>, air: f64) -> (f64, f64) {
    let (low, high) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    if low > high {
        return (0.0, 1.0);
    }
    let high = if high > low { high } else { low + 1.0 };
    let air = air * (high - low);
    (if low < 0.0 { low - air } else { low }, high + air)
}

/// The corners of bins of this width around points: down to 0 at both ends, and wherever bins do not meet.
pub(super) fn stairs(points: &[(f64, f64)], width: f64) -> Vec<(f64, f64)> {
    let mut corners = Vec::new();
    let mut end: Option<f64> = None;
    for &(x, y) in points {
        let (left, right) = (x - 0.5 * width, x + 0.5 * width);
        match end {
            Some(end) if left - end <= 1e-9 => {}
            Some(end) => corners.extend([(end, 0.0), (left, 0.0)]),
            None => corners.push((left, 0.0)),
        }
        corners.extend([(left, y), (right, y)]);
        end = Some(right);
    }
    corners.extend(end.map(|end| (end, 0.0)));
    corners
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_on_axes_are_short() {
        assert_eq!([tick(20.0, 100.0), tick(0.5, 2.0), tick(-0.0, 1.0)], ["20", "0.5", "0"]);
        assert_eq!([tick(0.001, 0.004), tick(1200.0, 5000.0), tick(1.25, 2.0)], ["0.001", "1200", "1.25"]);
    }

    #[test]
    fn names_stand_in_rows_within_the_picture() {
        let names = ["a name of some length, the very first", "a name of some length, the second", "c"];
        let places = places(&names, 480);
        assert_eq!(places.iter().map(|p| p.row).collect::<Vec<_>>(), [0, 1, 1]);
        assert!(places[2].x > places[1].x && places[0].text == names[0]);
    }

    #[test]
    fn a_name_too_long_for_a_row_keeps_its_end() {
        let long = format!("{}/the-end", "folder/".repeat(30));
        let places = places(&["short", &long, "other"], 300);
        assert_eq!(places.iter().map(|p| p.row).collect::<Vec<_>>(), [0, 1, 2]);
        let text = &places[1].text;
        assert!(text.starts_with('\u{2026}') && text.ends_with("/the-end"), "{text}");
        assert!(EDGE + KEY + text.chars().count() as u32 * LETTER <= 300, "{text}");
    }

    #[test]
    fn stairs_go_down_where_bins_do_not_meet() {
        let corners = stairs(&[(0.5, 2.0), (1.5, 1.0), (3.5, 4.0)], 1.0);
        let wanted = [
            (0.0, 0.0),
            (0.0, 2.0),
            (1.0, 2.0),
            (1.0, 1.0),
            (2.0, 1.0),
            (2.0, 0.0),
            (3.0, 0.0),
            (3.0, 4.0),
            (4.0, 4.0),
            (4.0, 0.0),
        ];
        assert_eq!(corners, wanted);
        assert!(stairs(&[], 1.0).is_empty());
    }
}
