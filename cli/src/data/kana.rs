//! The embedded set: 142 kana in 15 fonts. Trains on katakana, tests on hiragana. See `assets/kana/CREDITS.md`.

use std::io::Read;

use super::Samples;

const PACKED: &[u8] = include_bytes!("../../assets/kana/kana-142x15-28x28-1bpp.bin.gz");
const NAMES: &str = include_str!("../../assets/kana/classes.txt");

/// Classes of each half: the same sounds in katakana, then in hiragana.
const HALF: usize = 71;
const FONTS: usize = 15;
const SIDE: usize = 28;

/// Katakana, then hiragana: 1,065 pictures each.
#[must_use]
pub fn load() -> (Samples, Samples) {
    let mut bits = Vec::new();
    flate2::read::GzDecoder::new(PACKED).read_to_end(&mut bits).expect("the embedded set is whole");
    let half = |first: usize| {
        let images = &bits[first * FONTS * SIDE * SIDE / 8..][..HALF * FONTS * SIDE * SIDE / 8];
        let pixels = images.iter().flat_map(|&byte| (0..8).rev().map(move |bit| byte >> bit & 1));
        Samples {
            shape: [SIDE, SIDE, 1],
            values: pixels.map(|ink| f32::from(ink) * 255.0).collect(),
            labels: (0..HALF as u32).flat_map(|class| [class; FONTS]).collect(),
            classes: NAMES.lines().skip(first).take(HALF).map(str::to_owned).collect(),
            groups: None,
        }
    };
    (half(0), half(HALF))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_halves_are_whole_and_have_names() {
        let (katakana, hiragana) = load();
        for half in [&katakana, &hiragana] {
            assert_eq!((half.count(), half.classes.len()), (1065, 71));
            assert!((0..1065).all(|i| half.row(i).contains(&255.0)), "a picture without ink");
        }
        assert_eq!((katakana.class_of(0), hiragana.class_of(0)), ("ア", "あ"));
    }
}
