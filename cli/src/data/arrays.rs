//! Arrays that make up a set: the names they go by, and their sizes.

use anyhow::{Result, bail};

use super::Samples;

/// Words for inputs.
pub(super) const INPUTS: [&str; 4] = ["images", "embeddings", "features", "x"];
/// Words for labels.
pub(super) const LABELS: [&str; 2] = ["labels", "y"];
/// Words for groups of classes.
pub(super) const GROUPS: [&str; 2] = ["groups", "alphabets"];

/// Inputs of these sizes, `[N, D]`, `[N, H, W]` or `[N, H, W, C]`, with their labels and groups.
pub(super) fn samples(
    sizes: &[usize],
    values: Vec<f32>,
    labels: Vec<i64>,
    groups: Option<Vec<i64>>,
) -> Result<Samples> {
    let shape = match *sizes {
        [_, features] => [1, 1, features],
        [_, height, width] => [height, width, 1],
        [_, channels @ 1..=4, height, width] if width > 4 => bail!(
            "inputs have sizes {sizes:?}, which looks like {channels} channels of {height} x {width}; channels come last"
        ),
        [_, height, width, channels] => [height, width, channels],
        _ => bail!("inputs have sizes {sizes:?}; [N, D], [N, H, W] and [N, H, W, C] can be read"),
    };
    let samples = Samples::new(shape, values, labels)?;
    match groups {
        Some(groups) => samples.with_groups(&groups),
        None => Ok(samples),
    }
}
