//! The numbers that `tests/no_std` expects, computed with all features on: the same bits with and without `std`.

use nearfar_core::isotonic::pool;
use nearfar_core::{
    Cap, Density, EmptyRow, FarCut, Key, Margin, Row, Sampler, Stream, Weighting, gradient_noise,
    normalize_row, philox4x32_10,
};

/// The function of `tests/no_std/src/main.rs`, letter by letter: the test below compares the two texts.
fn numbers(mut give: impl FnMut(u64)) {
    let law = Density::new(128.0).unwrap();
    give(law.ln_q(1.0).to_bits());
    give(law.cdf(1.3).to_bits());
    give(law.quantile(0.25).to_bits());
    give(gradient_noise(128.0, 3.0).unwrap().to_bits());
    give(u64::from(philox4x32_10([1, 2, 3, 4], [5, 6])[0]));
    let mut x = [0.0_f32; 3];
    normalize_row(&[1.0, 2.0, 3.0], &mut x).unwrap();
    give(u64::from(x[2].to_bits()));
    let weighting = Weighting::new(16.0, Cap::Near(0.5_f32), FarCut::At(1.4), EmptyRow::Skip).unwrap();
    give(u64::from(weighting.ln_weight(0.9).to_bits()));
    let row = Row {
        anchor: 0,
        anchors: 5,
        labels: &[1, 1, 2, 3, 4],
        distances: &[0.0, 0.4, 0.7, 0.9, 1.1],
        beta: 1.2,
    };
    let key = Key::new(1, Stream::Negatives, 2);
    Sampler::DistanceWeighted(weighting).draw_row(&row, Some(2), key, &mut [0.0; 5], &mut |draw| {
        give(u64::from(draw.triplet.negative));
        give(u64::from(draw.log_prob.to_bits()));
    });
    give(Margin::new(0.2, 0.0).unwrap().pair(1.0_f64, 1.2, false).value.to_bits());
    let (mut values, mut weights, mut ends) = ([1.0, 3.0, 2.0], [1.0, 2.0, 1.0], [0; 3]);
    give(pool(&mut values, &mut weights, &mut ends) as u64);
    give(values[1].to_bits());
}

#[test]
fn numbers_have_the_same_bits_with_and_without_std() {
    let mut list = Vec::new();
    numbers(|bits| list.push(bits));
    let text: String = list.iter().map(|bits| format!("    0x{bits:016x},\n")).collect();
    let expected = std::fs::read_to_string(crate::tidy::root().join("tests/no_std/expected.in")).unwrap();
    assert_eq!(
        expected,
        format!("[\n{text}]\n"),
        "a change of these bits is stream-breaking: tag it in CHANGELOG"
    );
}

#[test]
fn both_sides_compute_the_same() {
    let body = |path: &str| {
        let text = std::fs::read_to_string(crate::tidy::root().join(path)).unwrap();
        let start = text.find("fn numbers(").unwrap();
        text[start..start + text[start..].find("\n}\n").unwrap()].to_owned()
    };
    assert_eq!(body("tests/no_std/src/main.rs"), body("tests/suite/freestanding.rs"));
}
