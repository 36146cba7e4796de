//! Tests of MATLAB files; and a writer of small ones, for the tests of sets that have them.

use std::io::Write;

use super::*;

/// An element, padded.
fn element(kind: u32, content: &[u8]) -> Vec<u8> {
    let mut out = [kind.to_le_bytes(), (content.len() as u32).to_le_bytes()].concat();
    out.extend(content);
    out.resize(out.len().next_multiple_of(8), 0);
    out
}

/// A matrix of a class, with what its content is.
fn matrix_of(class: u8, sizes: &[i32], name: &str, content: &[u8]) -> Vec<u8> {
    let sizes: Vec<u8> = sizes.iter().flat_map(|size| size.to_le_bytes()).collect();
    let head = [element(6, &[class, 0, 0, 0, 0, 0, 0, 0]), element(5, &sizes), element(1, name.as_bytes())];
    element(MATRIX, &[&head.concat()[..], content].concat())
}

/// A text, in the short form where it fits.
pub(in crate::data) fn text(value: &str) -> Vec<u8> {
    let units: Vec<u8> = value.encode_utf16().flat_map(u16::to_le_bytes).collect();
    matrix_of(4, &[1, value.encode_utf16().count() as i32], "", &element(4, &units))
}

/// A number, stored as MATLAB stores small whole ones: a byte in an element of eight.
pub(in crate::data) fn number(value: u8) -> Vec<u8> {
    matrix_of(6, &[1, 1], "", &[2, 0, 1, 0, value, 0, 0, 0])
}

pub(in crate::data) fn cells(name: &str, values: &[Vec<u8>]) -> Vec<u8> {
    matrix_of(1, &[1, values.len() as i32], name, &values.concat())
}

pub(in crate::data) fn structures(name: &str, fields: &[&str], rows: &[Vec<Vec<u8>>]) -> Vec<u8> {
    let mut names = vec![0; 32 * fields.len()];
    for (at, field) in fields.iter().enumerate() {
        names[32 * at..][..field.len()].copy_from_slice(field.as_bytes());
    }
    // The length of the names is an element of the short form.
    let head = [vec![5, 0, 4, 0, 32, 0, 0, 0], element(1, &names)].concat();
    matrix_of(2, &[1, rows.len() as i32], name, &[head, rows.concat().concat()].concat())
}

/// A file of these variables, each compressed or not.
pub(in crate::data) fn file(variables: &[Vec<u8>], compressed: bool) -> Vec<u8> {
    let mut out = b"MATLAB 5.0 MAT-file, Platform: GLNXA64".to_vec();
    out.resize(124, b' ');
    out.extend([0x00, 0x01, b'I', b'M']);
    for variable in variables {
        if compressed {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(variable).unwrap();
            let packed = encoder.finish().unwrap();
            out.extend([COMPRESSED.to_le_bytes(), (packed.len() as u32).to_le_bytes()].concat());
            out.extend(packed);
        } else {
            out.extend(variable);
        }
    }
    out
}

fn example(compressed: bool) -> Vec<u8> {
    let rows = [vec![text("a.jpg"), number(7)], vec![text("ß.jpg"), number(8)]];
    let doubles: Vec<u8> = [1.5_f64, -2.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    let variables = [
        structures("annotations", &["fname", "class"], &rows),
        cells("class_names", &[text("one"), text("")]),
        matrix_of(6, &[2, 1], "x", &element(9, &doubles)),
        matrix_of(5, &[0, 0], "sparse", &[]),
    ];
    file(&variables, compressed)
}

fn error(stored: &[u8]) -> String {
    let error = format!("{:#}", parse(stored).unwrap_err());
    assert!(!error.contains('\n'), "{error}");
    error
}

#[test]
fn structures_cells_text_and_numbers_are_read_compressed_or_not() {
    for compressed in [false, true] {
        let variables = parse(&example(compressed)).unwrap();
        let text = |value: &str| Value::Text(value.to_owned());
        let number = |value| Value::Numbers(vec![value]);
        assert_eq!(
            variables["annotations"],
            Value::Structures(
                vec!["fname".to_owned(), "class".to_owned()],
                vec![text("a.jpg"), number(7.0), text("ß.jpg"), number(8.0)]
            )
        );
        assert_eq!(variables["class_names"], Value::Cells(vec![text("one"), text("")]));
        assert_eq!(variables["x"], Value::Numbers(vec![1.5, -2.0]));
        assert_eq!(variables["sparse"], Value::Other);
        assert_eq!((variables["x"].number(), variables["x"].text()), (None, None));
    }
}

#[test]
fn other_formats_are_named() {
    assert!(error(b"short").contains("too short"));
    let mut newer = example(false);
    newer[..10].copy_from_slice(b"MATLAB 7.3");
    assert!(error(&newer).contains("-v7"));
    let mut big = example(false);
    big[126..128].copy_from_slice(b"MI");
    assert!(error(&big).contains("little-endian"));
}

#[test]
fn claims_without_bytes_take_no_memory() {
    let cells = matrix_of(1, &[i32::MAX, 1], "c", &[]);
    assert!(error(&file(&[cells], false)).contains("claims 2147483647 values in 0 bytes"));
    let huge = matrix_of(1, &[i32::MAX; 3], "c", &[]);
    assert!(error(&file(&[huge], false)).contains("more than memory has"));
    let negative = matrix_of(6, &[-1, 1], "n", &element(9, &[]));
    assert!(error(&file(&[negative], false)).contains("sizes"));
    let mut long = element(MATRIX, &[]);
    long[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(
        error(&file(&[long], false)).contains("element at byte 128: an element ends after 0 of 4294967295")
    );
    let mut deep = number(1);
    for _ in 0..2 * DEPTH_MAX {
        deep = super::tests::cells("d", &[deep]);
    }
    assert!(error(&file(&[deep], true)).contains("nested more than 8 deep"));
}

#[test]
fn no_cut_and_no_changed_byte_makes_it_panic() {
    for compressed in [false, true] {
        let whole = example(compressed);
        for end in 0..whole.len() {
            // A cut between two variables is a file of fewer; one within must be seen.
            if let Ok(variables) = parse(&whole[..end]) {
                assert!(variables.len() < 4, "cut at {end}");
            }
        }
        for place in 124..whole.len() {
            for change in [0xFF, 0x80, 0x01] {
                let mut changed = whole.clone();
                changed[place] ^= change;
                // Some bytes are values; only a panic would fail.
                let _ = parse(&changed);
            }
        }
    }
}
