//! Tests of npy: what NumPy writes, what a library writes, and what nobody should have written.

use super::*;

/// A version 1 file with this header and these bytes of values.
pub(in crate::data) fn npy(header: &str, values: &[u8]) -> Vec<u8> {
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(values);
    file
}

fn header(descr: &str, by_columns: &str, sizes: &str) -> String {
    format!("{{'descr': '{descr}', 'fortran_order': {by_columns}, 'shape': {sizes}, }}    \n")
}

fn error<T: Element + std::fmt::Debug>(file: &[u8]) -> String {
    format!("{:#}", array::<T>(file).unwrap_err())
}

#[test]
fn floats_survive_their_file_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("e.npy");
    let singles = [1.0_f32, -0.0, f32::MIN_POSITIVE / 2.0, f32::MAX, 0.1, -7.5];
    write(&path, &[3, 2], &singles).unwrap();
    let read = read_matrix::<f32>(&path).unwrap();
    assert_eq!((read.rows, read.cols), (3, 2));
    assert_eq!(read.values.map_bits(), singles.to_vec().map_bits());
    let doubles = [0.1_f64, f64::MAX, -5e-324];
    write(&path, &[1, 3], &doubles).unwrap();
    assert_eq!(read_matrix::<f64>(&path).unwrap().values, doubles);
}

trait MapBits {
    fn map_bits(&self) -> Vec<u32>;
}

impl MapBits for Vec<f32> {
    fn map_bits(&self) -> Vec<u32> {
        self.iter().map(|value| value.to_bits()).collect()
    }
}

#[test]
fn labels_survive_their_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.npy");
    let labels = [i64::MIN, -1, 0, i64::MAX];
    write(&path, &[4], &labels).unwrap();
    assert_eq!(read_labels(&path).unwrap(), labels);
    write(&path, &[4, 1], &labels).unwrap();
    assert_eq!(read_labels(&path).unwrap(), labels);
    write(&path, &[2, 2], &labels).unwrap();
    assert!(read_labels(&path).unwrap_err().to_string().contains("l.npy"));
    assert!(write(&path, &[3], &labels).is_err());
}

#[test]
fn every_integer_type_gives_labels() {
    for (descr, bytes, expected) in [
        ("|i1", &[0xFF, 0x01][..], [-1, 1]),
        ("|u1", &[0xFF, 0x01], [255, 1]),
        ("|b1", &[0, 1], [0, 1]),
        ("<i2", &[0xFE, 0xFF, 1, 0], [-2, 1]),
        (">i2", &[0xFF, 0xFE, 0, 1], [-2, 1]),
        ("<u4", &[0xFF, 0xFF, 0xFF, 0xFF, 1, 0, 0, 0], [0xFFFF_FFFF, 1]),
        (">i8", &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFD, 0, 0, 0, 0, 0, 0, 0, 1], [-3, 1]),
    ] {
        let file = npy(&header(descr, "False", "(2,)"), bytes);
        assert_eq!(array::<i64>(&file[..]).unwrap().into_labels().unwrap(), expected, "{descr}");
    }
}

#[test]
fn halves_are_widened_exactly() {
    // 1, the largest, the smallest positive, -2.
    let file = npy(&header("<f2", "False", "(4,)"), &[0x00, 0x3C, 0xFF, 0x7B, 0x01, 0x00, 0x00, 0xC0]);
    assert_eq!(array::<f32>(&file[..]).unwrap().values, [1.0, 65504.0, 5.960_464_5e-8, -2.0]);
    assert!(half(0x7C00).is_infinite() && half(0x7E00).is_nan());
}

#[test]
fn columns_are_turned_into_rows() {
    // [[1, 2, 3], [4, 5, 6]] by columns.
    let file = npy(&header("|u1", "True", "(2, 3)"), &[1, 4, 2, 5, 3, 6]);
    assert_eq!(array::<f32>(&file[..]).unwrap().values, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    // Value [i, j, k] is i + 2j + 4k where the first size varies fastest.
    let file = npy(&header("|u1", "True", "(2, 2, 2)"), &[0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(array::<i64>(&file[..]).unwrap().values, [0, 4, 2, 6, 1, 5, 3, 7]);
}

#[test]
fn numbers_that_are_none_are_named_with_their_row() {
    let values: Vec<u8> = [1.0_f32, 2.0, 3.0, f32::NAN].iter().flat_map(|v| v.to_le_bytes()).collect();
    let file = npy(&header("<f4", "False", "(2, 2)"), &values);
    assert_eq!(error::<f32>(&file), "row 1, value 1 is NaN");
    // Too large for a float, though not for a double.
    let file = npy(&header("<f8", "False", "(1, 1)"), &1e300_f64.to_le_bytes());
    assert!(error::<f32>(&file).contains("row 0"));
    assert_eq!(array::<f64>(&file[..]).unwrap().values, [1e300]);
}

#[test]
fn labels_that_are_not_whole_or_too_large_are_errors() {
    let file = npy(&header("<f4", "False", "(1,)"), &1.0_f32.to_le_bytes());
    assert!(error::<i64>(&file).contains("value 0 is 1.0: a whole number"));
    let file = npy(&header("<u8", "False", "(1,)"), &u64::MAX.to_le_bytes());
    assert!(error::<i64>(&file).contains("a whole number within the range of i64 is needed"));
}

#[test]
fn every_cut_of_a_file_is_an_error_and_so_is_more() {
    let mut whole = npy(&header("<f4", "False", "(2, 2)"), &[0; 16]);
    for end in 0..whole.len() {
        assert!(array::<f32>(&whole[..end]).is_err(), "cut at {end}");
    }
    whole.push(0);
    assert_eq!(error::<f32>(&whole), "it goes on after its 16 bytes of values");
}

#[test]
fn a_header_that_lies_takes_no_memory() {
    let file = npy(&header("<f8", "False", "(1000000000000, 2)"), &[0; 16]);
    assert!(error::<f64>(&file).contains("ends after 16 of 16000000000000 bytes"));
    let file = npy(&header("<f8", "False", "(9223372036854775807, 9)"), &[]);
    assert!(error::<f64>(&file).contains("more than memory has"));
    let file = npy(&header("<f8", "False", "(2305843009213693952,)"), &[]);
    assert!(error::<f64>(&file).contains("more than memory has"));
    assert!(error::<f64>(b"\x93NUMPY\x02\x00\xff\xff\xff\xff").contains("4294967295 bytes"));
    assert!(error::<f64>(b"\x93NUMPY\x01\x00\xff\xff").contains("ends within its header"));
}

#[test]
fn headers_that_are_none_are_errors() {
    for bad in [
        "",
        "{",
        "{}",
        "()",
        "{'descr': '<f4'",
        "{'descr': '<f4', 'fortran_order': False}",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f4', 'fortran_order': Maybe, 'shape': (1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 99999999999999999999999)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': ((1,),)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} {",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'more': 1}",
        "{'descr': '<f16', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f1', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<U3', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}",
    ] {
        assert!(array::<f32>(&npy(bad, &[0; 4])[..]).is_err(), "{bad}");
    }
    // Brackets nested thousands deep end at the first one.
    assert!(array::<f32>(&npy(&"(".repeat(60_000), &[])[..]).is_err());
    assert!(error::<f32>(&npy(&header("<f4", "False", "(0, 4)"), &[])).contains("empty"));
    assert!(error::<f32>(b"PK\x03\x04 not an array").contains("not npy"));
}

#[test]
fn the_wrong_number_of_sizes_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cube.npy");
    write(&path, &[1, 2, 1], &[1.0_f32, 2.0]).unwrap();
    let error = format!("{:#}", read_matrix::<f32>(&path).unwrap_err());
    assert!(error.contains("cube.npy") && error.contains("[1, 2, 1]"), "{error}");
}
