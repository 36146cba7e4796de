//! Samples in safetensors: a tensor of samples and one of labels, by the names that archives use.

use std::path::Path;

use anyhow::{Context, Result, bail};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::source::{LABEL_NAMES, SAMPLE_NAMES, shape_of};
use super::{Samples, bytes};

pub(super) fn read(path: &Path) -> Result<Samples> {
    parse(&bytes::read(path)?).with_context(|| format!("in {}", path.display()))
}

/// Samples from the bytes of a file; the library checks sizes against bytes.
pub(crate) fn parse(bytes: &[u8]) -> Result<Samples> {
    let tensors = SafeTensors::deserialize(bytes).context("this is no safetensors file")?;
    let find = |names: &[&str]| -> Result<TensorView<'_>> {
        let found = names.iter().find_map(|name| tensors.tensor(name).ok());
        found.with_context(|| format!("it has no tensor {}", names.join(" or ")))
    };
    let (samples, labels) = (find(&SAMPLE_NAMES)?, find(&LABEL_NAMES)?);
    let values = match samples.dtype() {
        Dtype::U8 => samples.data().iter().map(|&v| f32::from(v)).collect(),
        Dtype::F32 => samples.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        Dtype::F64 => samples.data().as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect(),
        other => bail!("samples of type {other:?} are not read; U8, F32 and F64 are"),
    };
    let original: Vec<i64> = match labels.dtype() {
        Dtype::U8 => labels.data().iter().map(|&v| i64::from(v)).collect(),
        Dtype::I32 => labels.data().as_chunks().0.iter().map(|b| i64::from(i32::from_le_bytes(*b))).collect(),
        Dtype::I64 => labels.data().as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect(),
        other => bail!("labels of type {other:?} are not read; U8, I32 and I64 are"),
    };
    Samples::labelled(shape_of(samples.shape())?, values, &original)
}
