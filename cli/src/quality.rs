//! Embedding whole sets, and their retrieval quality.

use anyhow::{Context, Result};
use nearfar_core::kernel::{Backend, SearchView};
use nearfar_core::metric::retrieval::Retrieval;
use nearfar_core::net::Network;
use nearfar_core::{Discriminants, Scalar, normalize_row};

use crate::data::normalize::Normalization;
use crate::data::{DataSet, Samples, ahead, miniature};
use crate::record::Scores;
use crate::views::Views;

/// Ranks at which recall is reported.
pub const RANKS: [usize; 4] = [1, 2, 4, 8];

/// Largest side of pictures that are compared pixel by pixel, and side of the miniatures of larger ones.
const RAW: (usize, usize) = (64, 32);

/// Samples that are embedded at once outside training: fewer of large ones, for their activations fill memory.
#[must_use]
pub fn at_once(size: usize) -> usize {
    ((1 << 22) / size.max(1)).clamp(16, 256)
}

/// Embeddings of all samples, `[N, D]`, with the running statistics of the network; inputs are read ahead. Of moved
/// views the mean, as a unit vector again; of turned views what `joint` makes of all of them, and without it the picture
/// as it is.
pub fn embed<B: Backend<f32>>(
    backend: &B,
    network: &mut Network<'_, f32, B>,
    normalization: &Normalization,
    views: Views,
    joint: Option<&Discriminants>,
    samples: &Samples,
) -> Result<Vec<f32>> {
    let dim = network.architecture().dim();
    if let (true, Some(joint)) = (views.turned(), joint) {
        let mut embeddings = vec![0.0; samples.count() * dim];
        let (mut wide, mut joined) = (Vec::new(), Vec::new());
        each_view(backend, network, normalization, views, views.count(), samples, |first, view, rows| {
            side_by_side(views.count(), view, dim, rows, &mut wide);
            if view + 1 < views.count() {
                return Ok(());
            }
            joined.resize(rows.len(), 0.0);
            joint.apply(&wide, &mut joined);
            unit_rows(dim, &joined, &mut embeddings[first * dim..][..rows.len()])
        })?;
        return Ok(embeddings);
    }
    let mut sums = vec![0.0; samples.count() * dim];
    let moved = if views.turned() { 1 } else { views.count() };
    each_view(backend, network, normalization, views, moved, samples, |first, _, rows| {
        let sums = &mut sums[first * dim..][..rows.len()];
        sums.iter_mut().zip(rows).for_each(|(sum, value)| *sum += value);
        Ok(())
    })?;
    if moved == 1 {
        return Ok(sums);
    }
    let mut embeddings = vec![0.0; sums.len()];
    unit_rows(dim, &sums, &mut embeddings)?;
    Ok(embeddings)
}

/// Embeddings of all views of each sample side by side, `[N, V D]`.
pub fn embed_views<B: Backend<f32>>(
    backend: &B,
    network: &mut Network<'_, f32, B>,
    normalization: &Normalization,
    views: Views,
    samples: &Samples,
) -> Result<Vec<f32>> {
    let (dim, count) = (network.architecture().dim(), views.count());
    let (mut all, mut wide) = (Vec::with_capacity(samples.count() * count * dim), Vec::new());
    each_view(backend, network, normalization, views, count, samples, |_, view, rows| {
        side_by_side(count, view, dim, rows, &mut wide);
        if view + 1 == count {
            all.extend_from_slice(&wide);
        }
        Ok(())
    })?;
    Ok(all)
}

/// Puts rows `[n, dim]` of view number `view` to their place in `wide`, `[n, count, dim]`.
fn side_by_side(count: usize, view: usize, dim: usize, rows: &[f32], wide: &mut Vec<f32>) {
    wide.resize(rows.len() * count, 0.0);
    for (row, wide) in rows.chunks_exact(dim).zip(wide.chunks_exact_mut(count * dim)) {
        wide[view * dim..][..dim].copy_from_slice(row);
    }
}

/// Rows as unit vectors.
fn unit_rows(dim: usize, rows: &[f32], out: &mut [f32]) -> Result<()> {
    for (row, out) in rows.chunks_exact(dim).zip(out.chunks_exact_mut(dim)) {
        normalize_row(row, out).context(NO_DIRECTION)?;
    }
    Ok(())
}

/// Calls `work(first sample, view, unit embeddings of some samples)` for the first `shown` views of all samples, some
/// samples after another and all views of each.
fn each_view<B: Backend<f32>>(
    backend: &B,
    network: &mut Network<'_, f32, B>,
    normalization: &Normalization,
    views: Views,
    shown: usize,
    samples: &Samples,
    mut work: impl FnMut(usize, usize, &[f32]) -> Result<()>,
) -> Result<()> {
    let (size, dim, capacity) = (samples.size(), network.architecture().dim(), network.capacity());
    let starts = (0..samples.count()).step_by(capacity);
    let inputs = |first: usize| -> Result<(usize, Vec<f32>)> {
        let range = first..(first + capacity).min(samples.count());
        let mut inputs = vec![0.0; range.len() * size];
        samples.read(range, &mut inputs, |raw, input| normalization.apply(raw, input))?;
        Ok((first, inputs))
    };
    let (mut seen, mut of_view) = (Vec::new(), Vec::new());
    ahead(samples.workers, starts, inputs, |(first, inputs)| {
        let count = inputs.len() / size;
        seen.resize(inputs.len(), 0.0);
        of_view.resize(count * dim, 0.0);
        for view in 0..shown {
            for (input, seen) in inputs.chunks_exact(size).zip(seen.chunks_exact_mut(size)) {
                views.show(view, input, seen);
            }
            let buffer = network.infer(&seen, count).context(NO_DIRECTION)?;
            backend.download(buffer, &mut of_view)?;
            work(first, view, &of_view)?;
        }
        Ok(())
    })
}

/// Why there is no embedding.
const NO_DIRECTION: &str = "the network maps a sample to a point without direction: it is too narrow, or has collapsed \
                            (widen the model, lower optimizer.rate, or take another seed)";

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

/// The inputs themselves as embeddings, and their length: divided by it, but for rows of zeros, which have no
/// direction. Pictures of more than 64 pixels a side are compared as miniatures of 32.
pub fn raw(samples: &Samples) -> Result<(Vec<f32>, usize)> {
    let [height, width, _] = samples.shape;
    let side = if height.max(width) > RAW.0 && height > 1 { RAW.1 } else { usize::MAX };
    let small = |raw: &[f32]| miniature(raw, samples.shape, side).0;
    let size = small(&vec![0.0; samples.size()]).len();
    let mut rows = vec![0.0; samples.count() * size];
    samples.read(0..samples.count(), &mut rows, |raw, row| {
        if normalize_row(&small(raw), row).is_err() {
            row.fill(0.0);
        }
    })?;
    Ok((rows, size))
}

/// Retrieval of a set's unseen classes: of its queries in its test part, or of that part in itself. `rows` gives
/// embeddings of dimension `dim`.
pub fn unseen<B: Backend<f32>>(
    backend: &B,
    data: &DataSet,
    mut rows: impl FnMut(&Samples) -> Result<(Vec<f32>, usize)>,
) -> Result<Scores> {
    let (gallery, dim) = rows(&data.test)?;
    let Some(queries) = &data.queries else { return scores(backend, &gallery, dim, &data.test.labels) };
    let (asked, _) = rows(queries)?;
    let buffer_of = |values: &[f32]| -> Result<B::Buffer> {
        let mut buffer = backend.zeros(values.len())?;
        backend.upload(values, &mut buffer)?;
        Ok(buffer)
    };
    let (gallery, asked) = (buffer_of(&gallery)?, buffer_of(&asked)?);
    let labels = queries.labels_among(&data.test);
    let asked = SearchView { embeddings: &asked, labels: &labels, count: labels.len() };
    let among = SearchView { embeddings: &gallery, labels: &data.test.labels, count: data.test.count() };
    let depth = RANKS.iter().copied().max().unwrap_or(0);
    Ok(record(&Retrieval::of(&backend.match_ranks(dim, depth, asked, Some(among))?, &RANKS)))
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
    Ok(record(&retrieval(backend, embeddings, dim, labels, &RANKS)?))
}

fn record(quality: &Retrieval) -> Scores {
    let recall = RANKS.iter().zip(&quality.recall).map(|(k, recall)| (k.to_string(), *recall)).collect();
    Scores { recall, map_at_r: quality.map_at_r, r_precision: quality.r_precision }
}
