//! `kana`: pictures of Japanese characters in fifteen fonts, inside the program.
//!
//! Katakana to learn from, the same sounds in hiragana to test on: 71 classes each. `assets/kana/CREDITS.md` names
//! the fonts. Class by class and font by font, 98 bytes an image, a bit a pixel, the most significant first.

use anyhow::{Context, Result, ensure};

use super::source::Parts;
use super::{Samples, bytes};

const PACKED: &[u8] = include_bytes!("../../assets/kana/kana-142x15-28x28-1bpp.bin.gz");
const NAMES: &str = include_str!("../../assets/kana/classes.txt");

const SIDE: usize = 28;
const FONTS: usize = 15;
const SCRIPT: usize = 71;

/// Both scripts; ink is 255.
pub(super) fn parts() -> Result<Parts> {
    let size = SIDE * SIDE;
    let count = 2 * SCRIPT * FONTS;
    let bits =
        bytes::read_exactly(bytes::unfold(PACKED), count * size / 8).context("in the embedded kana set")?;
    let names: Vec<String> = NAMES.lines().map(str::to_owned).collect();
    ensure!(names.len() == 2 * SCRIPT, "the embedded kana set has {} names", names.len());
    let pixel = |place: usize| if bits[place / 8] >> (7 - place % 8) & 1 == 1 { 255.0 } else { 0.0 };
    let script = |first: usize| {
        let classes = first..first + SCRIPT;
        let values = (classes.start * FONTS * size..classes.end * FONTS * size).map(pixel).collect();
        let original = classes.flat_map(|class| [class as i64; FONTS]).collect();
        Samples::new([SIDE, SIDE, 1], values, original)?.with_names(&names)
    };
    Ok(Parts { train: script(0)?, validation: None, test: script(SCRIPT)?, queries: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn katakana_teach_and_hiragana_test() {
        let Parts { train, validation, test, .. } = parts().unwrap();
        assert!(validation.is_none());
        assert_eq!((train.count(), test.count()), (1065, 1065));
        assert_eq!((&*train.classes[0], &*train.classes[70]), ("ア", "ン"));
        assert_eq!((&*test.classes[0], &*test.classes[70]), ("あ", "ん"));
        assert_eq!((test.original[0], test.labels[0]), (71, 0));
        assert!(train.values().iter().all(|&v| v == 0.0 || v == 255.0));
        // Every picture has ink, and far from everywhere.
        for part in [&train, &test] {
            for index in 0..part.count() {
                let ink = part.sample(index).unwrap().iter().filter(|&&v| v == 255.0).count();
                assert!((10..500).contains(&ink), "sample {index} has {ink} pixels of ink");
            }
        }
    }

    #[test]
    fn bits_come_most_significant_first_by_rows() {
        let bits = bytes::read_exactly(bytes::unfold(PACKED), 2 * SCRIPT * FONTS * SIDE * SIDE / 8).unwrap();
        let first = parts().unwrap().train.sample(0).unwrap().to_vec();
        let drawn: Vec<u8> = first
            .chunks(8)
            .map(|pixels| pixels.iter().fold(0, |byte, &pixel| byte << 1 | u8::from(pixel == 255.0)))
            .collect();
        assert_eq!(drawn, bits[..SIDE * SIDE / 8]);
    }
}
