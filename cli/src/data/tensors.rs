//! safetensors: inputs are `images`, `embeddings`, `features` or `x`, labels `labels` or `y`.
//!
//! The library checks that names, sizes and places fit each other and the file. Left out: types of a byte and less but
//! for whole numbers.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use super::npy::{Element, Number, half};
use super::{Samples, arrays, bytes};

/// Reads a file; every error names it.
pub(super) fn read(path: &Path) -> Result<Samples> {
    let reader = bytes::open(path)?;
    bytes::read_to_end(reader).and_then(|file| parse(&file)).with_context(|| format!("in {}", path.display()))
}

fn parse(file: &[u8]) -> Result<Samples> {
    let tensors =
        SafeTensors::deserialize(file).map_err(|error| anyhow::anyhow!("it is not safetensors: {error}"))?;
    let find =
        |names: &[&'static str]| names.iter().find_map(|&name| Some((name, tensors.tensor(name).ok()?)));
    let inputs = find(&arrays::INPUTS)
        .with_context(|| format!("it has none of the tensors {}", arrays::INPUTS.join(", ")))?;
    let labels = find(&arrays::LABELS)
        .with_context(|| format!("it has none of the tensors {}", arrays::LABELS.join(", ")))?;
    let groups = find(&arrays::GROUPS).map(|named| whole_numbers(&named)).transpose()?;
    arrays::samples(inputs.1.shape(), numbers(&inputs)?, whole_numbers(&labels)?, groups)
}

fn whole_numbers(named: &(&str, TensorView<'_>)) -> Result<Vec<i64>> {
    let (name, tensor) = named;
    ensure!(matches!(tensor.shape(), [_] | [_, 1]), "`{name}` has sizes {:?}; [N] is needed", tensor.shape());
    numbers(named)
}

/// The values of a tensor, which are little-endian, as `T`.
fn numbers<T: Element>((name, tensor): &(&str, TensorView<'_>)) -> Result<Vec<T>> {
    let read: fn([u8; 8]) -> Number = match tensor.dtype() {
        Dtype::F32 => |b| Number::F32(f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
        Dtype::F16 => |b| Number::F32(half(u16::from_le_bytes([b[0], b[1]]))),
        // The upper half of a single.
        Dtype::BF16 => |b| Number::F32(f32::from_le_bytes([0, 0, b[0], b[1]])),
        Dtype::F64 => |b| Number::F64(f64::from_le_bytes(b)),
        Dtype::I8 => |b| Number::Int(i64::from(b[0] as i8)),
        Dtype::I16 => |b| Number::Int(i64::from(i16::from_le_bytes([b[0], b[1]]))),
        Dtype::I32 => |b| Number::Int(i64::from(i32::from_le_bytes([b[0], b[1], b[2], b[3]]))),
        Dtype::I64 => |b| Number::Int(i64::from_le_bytes(b)),
        // Bytes beyond the width are zero.
        Dtype::U8 | Dtype::U16 | Dtype::U32 | Dtype::U64 => |b| Number::Uint(u64::from_le_bytes(b)),
        other => bail!("`{name}` has type {other}; F16, BF16, F32, F64 and integers can be read"),
    };
    let width = tensor.dtype().bitsize() / 8;
    let per_row = tensor.shape().iter().skip(1).product::<usize>().max(1);
    let value = |(place, stored): (usize, &[u8])| {
        let mut wide = [0; 8];
        wide[..width].copy_from_slice(stored);
        let number = read(wide);
        T::of(number).with_context(|| {
            let (row, column) = (place / per_row, place % per_row);
            format!("`{name}`, row {row}, value {column} {}", number.refusal(T::WANTED))
        })
    };
    tensor.data().chunks_exact(width).enumerate().map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of these tensors.
    fn file(tensors: &[(&str, Dtype, &[usize], &[u8])]) -> Vec<u8> {
        let view = |(name, dtype, sizes, data): &(&str, Dtype, &[usize], &[u8])| {
            ((*name).to_owned(), TensorView::new(*dtype, sizes.to_vec(), data).unwrap().to_owned_parts())
        };
        let owned: Vec<_> = tensors.iter().map(view).collect();
        let views = owned.iter().map(|(name, (dtype, sizes, data))| {
            (name.clone(), TensorView::new(*dtype, sizes.clone(), data).unwrap())
        });
        safetensors::serialize(views, None).unwrap()
    }

    trait OwnedParts {
        fn to_owned_parts(&self) -> (Dtype, Vec<usize>, Vec<u8>);
    }

    impl OwnedParts for TensorView<'_> {
        fn to_owned_parts(&self) -> (Dtype, Vec<usize>, Vec<u8>) {
            (self.dtype(), self.shape().to_vec(), self.data().to_vec())
        }
    }

    fn floats(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    fn error(file: &[u8]) -> String {
        format!("{:#}", parse(file).unwrap_err())
    }

    #[test]
    fn embeddings_and_labels_are_read_by_name() {
        let data = floats(&[0.5, -1.0, 2.0, 3.0]);
        let samples = parse(&file(&[
            ("embeddings", Dtype::F32, &[2, 2], &data),
            ("labels", Dtype::I16, &[2], &[0xFF, 0xFF, 3, 0]),
        ]))
        .unwrap();
        assert_eq!((samples.shape, samples.values()), ([1, 1, 2], &[0.5, -1.0, 2.0, 3.0][..]));
        assert_eq!(samples.original, [-1, 3]);
    }

    #[test]
    fn halves_of_both_kinds_are_read() {
        for (dtype, one) in [(Dtype::F16, 0x3C00_u16), (Dtype::BF16, 0x3F80)] {
            let data: Vec<u8> = [one, one | 0x8000].iter().flat_map(|bits| bits.to_le_bytes()).collect();
            let samples =
                parse(&file(&[("features", dtype, &[2, 1], &data), ("y", Dtype::U8, &[2], &[1, 2])]))
                    .unwrap();
            assert_eq!(samples.values(), [1.0, -1.0], "{dtype}");
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let data = floats(&[0.5, f32::NAN]);
        let labels: (&str, Dtype, &[usize], &[u8]) = ("y", Dtype::U8, &[2], &[1, 2]);
        assert!(
            error(&file(&[("x", Dtype::F32, &[2, 1], &data), labels]))
                .ends_with("`x`, row 1, value 0 is NaN")
        );
        assert!(error(&file(&[("x", Dtype::F32, &[2, 1], &data)])).contains("none of the tensors labels, y"));
        assert!(error(&file(&[labels])).contains("none of the tensors images"));
        let good = floats(&[0.5, 1.0]);
        let x: (&str, Dtype, &[usize], &[u8]) = ("x", Dtype::F32, &[2, 1], &good);
        assert!(error(&file(&[x, ("y", Dtype::U8, &[3], &[1, 2, 3])])).contains("2 samples but 3 labels"));
        assert!(
            error(&file(&[x, ("y", Dtype::F32, &[2], &good)])).contains("value 0 is 0.5: a whole number")
        );
        assert!(error(&file(&[x, ("y", Dtype::U8, &[1, 2], &[1, 2])])).contains("[1, 2]; [N] is needed"));
        assert!(error(&file(&[("x", Dtype::F8_E4M3, &[2, 1], &[0; 2]), labels])).contains("type F8_E4M3"));
        assert!(error(&file(&[("x", Dtype::U8, &[2], &[0; 2]), labels])).contains("sizes [2]"));
        assert!(error(&file(&[("x", Dtype::U8, &[0, 2], &[]), labels])).contains("no values"));
    }

    #[test]
    fn every_cut_and_every_lie_is_an_error() {
        let whole = file(&[("x", Dtype::U8, &[2, 1], &[1, 2]), ("y", Dtype::U8, &[2], &[1, 2])]);
        for end in 0..whole.len() {
            assert!(parse(&whole[..end]).is_err(), "cut at {end}");
        }
        assert!(parse(&[&whole[..], &[0]].concat()).is_err());
        assert!(error(&[0xFF; 16]).contains("not safetensors"));
        for place in 0..whole.len() {
            let mut changed = whole.clone();
            changed[place] ^= 0x15;
            // A changed value is no error; only a panic would fail.
            let _ = parse(&changed);
        }
    }
}
