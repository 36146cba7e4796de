//! Embedding whole sets, and their retrieval quality.

use anyhow::{Context, Result};
use nearfar_core::kernel::{Backend, SearchView};
use nearfar_core::metric::retrieval::Retrieval;
use nearfar_core::net::Network;
use nearfar_core::{Scalar, normalize_row};

use crate::data::Samples;
use crate::data::normalize::Normalization;
use crate::record::Scores;

/// Ranks at which recall is reported.
pub const RANKS: [usize; 4] = [1, 2, 4, 8];

/// Embeddings of all samples, `[N, D]`, with the running statistics of the network.
pub fn embed<B: Backend<f32>>(
    backend: &B,
    network: &mut Network<'_, f32, B>,
    normalization: &Normalization,
    samples: &Samples,
) -> Result<Vec<f32>> {
    let (size, dim) = (samples.size(), network.architecture().dim());
    let mut embeddings = vec![0.0; samples.count() * dim];
    let mut input = vec![0.0; network.capacity() * size];
    let chunks = samples.values.chunks(network.capacity() * size);
    for (raw, out) in chunks.zip(embeddings.chunks_mut(network.capacity() * dim)) {
        let count = raw.len() / size;
        for (raw, input) in raw.chunks_exact(size).zip(input.chunks_exact_mut(size)) {
            normalization.apply(raw, input);
        }
        let buffer = network.infer(&input[..count * size], count).context(
            "the network maps a sample to a point without direction: it is too narrow, or has collapsed \
             (widen the model, lower optimizer.rate, or take another seed)",
        )?;
        backend.download(buffer, out)?;
    }
    Ok(embeddings)
}

/// Embeddings of the same samples by several networks, `parts[r]` `[N, dims[r]]`, as one, `[N, sum of dims]`.
///
/// ```text
/// x = (x_1, ..., x_k) / sqrt(k)        |x| = 1        |x - y|² = mean over r of |x_r - y_r|²
/// ```
/// The squared distance of an ensemble is the mean of those of its members, the cosine too; one part stays as it is.
///
/// ```
/// use nearfar::quality::join;
/// assert_eq!(join(&[vec![1.0, -1.0]], &[1]), [1.0, -1.0]);
/// // Four networks, one number each, two samples.
/// let parts = [[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]].map(Vec::from);
/// assert_eq!(join(&parts, &[1; 4]), [0.5, 0.5, -0.5, 0.5, 0.5, -0.5, 0.5, 0.5]);
/// ```
///
/// # Panics
/// If the parts have different numbers of rows.
#[must_use]
pub fn join(parts: &[Vec<f32>], dims: &[usize]) -> Vec<f32> {
    let counts: Vec<usize> = parts.iter().zip(dims).map(|(part, dim)| part.len() / dim).collect();
    assert!(counts.windows(2).all(|pair| pair[0] == pair[1]), "parts of one number of rows: {counts:?}");
    let length = (parts.len() as f64).sqrt();
    let mut joined = Vec::with_capacity(parts.iter().map(Vec::len).sum());
    for row in 0..counts.first().copied().unwrap_or(0) {
        for (part, &dim) in parts.iter().zip(dims) {
            joined.extend(part[row * dim..][..dim].iter().map(|&v| (f64::from(v) / length) as f32));
        }
    }
    joined
}

/// The inputs themselves as embeddings: divided by their length, but for rows of zeros, which have no direction.
#[must_use]
pub fn raw(samples: &Samples) -> Vec<f32> {
    let mut rows = samples.values.clone();
    for (row, raw) in rows.chunks_exact_mut(samples.size()).zip(samples.values.chunks_exact(samples.size())) {
        if normalize_row(raw, row).is_err() {
            row.fill(0.0);
        }
    }
    rows
}

/// Retrieval among `embeddings`: every sample is a query against all others.
pub fn retrieval<T: Scalar, B: Backend<T>>(
    backend: &B,
    embeddings: &[T],
    dim: usize,
    labels: &[u32],
    ranks: &[usize],
) -> Result<Retrieval, B::Error> {
    let mut buffer = backend.zeros(embeddings.len())?;
    backend.upload(embeddings, &mut buffer)?;
    let view = SearchView { embeddings: &buffer, labels, count: labels.len() };
    let depth = ranks.iter().copied().max().unwrap_or(0);
    Ok(Retrieval::of(&backend.match_ranks(dim, depth, view, None)?, ranks))
}

/// [`retrieval`] as a record.
pub fn scores<B: Backend<f32>>(
    backend: &B,
    embeddings: &[f32],
    dim: usize,
    labels: &[u32],
) -> Result<Scores> {
    let quality = retrieval(backend, embeddings, dim, labels, &RANKS)?;
    let recall = RANKS.iter().zip(&quality.recall).map(|(k, recall)| (k.to_string(), *recall)).collect();
    Ok(Scores { recall, map_at_r: quality.map_at_r, r_precision: quality.r_precision })
}
