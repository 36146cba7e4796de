//! Clustering: seeded k-means over the seam, and the agreement of two labelings: NMI and AMI.
//!
//! Sources: Arthur and Vassilvitskii 2007 for the start of k-means, Lloyd 1982 for its steps; Vinh, Epps, Bailey 2010
//! for the expected mutual information of random labelings with given sizes.

use alloc::vec::Vec;

use crate::Scalar;
use crate::distance::squared_distance;
use crate::kernel::{Backend, SearchView};
use crate::math::ln_gamma;
use crate::rng::Key;

/// Rounds after which k-means stops if it has not settled.
const ROUNDS: usize = 25;

/// Rows looked at for each centre when the start is chosen, so that its cost grows with k² and not with N k.
const ROWS_A_CENTRE: usize = 32;

/// Assigns each of the `[N, dim]` rows of `x` to one of `k` clusters (at most N, at least 1): k-means++ start by
/// `key`, among every s-th row where there are more than 32 a cluster; then Lloyd's steps until nothing moves, 25 at
/// most.
///
/// A cluster that runs empty takes the row that is farthest from its own centre. The same result on every backend
/// but for ties within rounding.
///
/// ```
/// use nearfar_core::{Key, Stream, kernel::scalar::Reference, metric::cluster::k_means};
/// let x = [0.0_f64, 0.1, 5.0, 5.1];
/// let of = k_means(&Reference, &x, 1, 2, Key::new(0, Stream::Cluster, 0))?;
/// assert!(of[0] == of[1] && of[2] == of[3] && of[0] != of[2]);
/// # Ok::<(), nearfar_core::BatchError>(())
/// ```
pub fn k_means<T: Scalar, B: Backend<T>>(
    backend: &B,
    x: &[T],
    dim: usize,
    k: usize,
    key: Key,
) -> Result<Vec<u32>, B::Error> {
    let count = x.len() / dim;
    let k = k.clamp(1, count.max(1));
    if count == 0 {
        return Ok(Vec::new());
    }
    let mut centres = start(x, dim, k, key);
    let mut points = backend.zeros(x.len())?;
    backend.upload(x, &mut points)?;
    let mut buffer = backend.zeros(centres.len())?;
    let no_labels: Vec<u32> = alloc::vec![0; count];
    let mut of = Vec::new();
    for _ in 0..ROUNDS {
        backend.upload(&centres, &mut buffer)?;
        let points = SearchView { embeddings: &points, labels: &no_labels, count };
        let among = SearchView { embeddings: &buffer, labels: &no_labels[..k], count: k };
        let mut next = backend.nearest(dim, 1, points, Some(among))?;
        fill_empty(x, dim, &centres, &mut next);
        if next == of {
            break;
        }
        of = next;
        move_centres(x, dim, &of, &mut centres);
    }
    Ok(of)
}

/// Centres far from each other: each next one is a row drawn with probability proportional to its squared distance
/// from those that are there.
fn start<T: Scalar>(x: &[T], dim: usize, k: usize, key: Key) -> Vec<T> {
    let stride = (x.len() / dim / (ROWS_A_CENTRE * k)).max(1);
    let count = x.len() / dim / stride;
    let row = |i: usize| &x[i * stride * dim..][..dim];
    let mut centres = row(key.below(0, 0, count)).to_vec();
    let mut nearest = alloc::vec![f64::INFINITY; count];
    for centre in 1..k {
        let last = &centres[(centre - 1) * dim..];
        for (i, nearest) in nearest.iter_mut().enumerate() {
            *nearest = Scalar::min(squared_distance(row(i), last).to_f64(), *nearest);
        }
        let total = nearest.iter().sum::<f64>();
        // All rows coincide with centres: any will do.
        let chosen =
            crate::draw::pick(&nearest, total, key.uniform(centre as u32, 0)).unwrap_or(centre % count);
        centres.extend_from_slice(row(chosen));
    }
    centres
}

/// Gives each empty cluster the row farthest from its centre among clusters with more than one.
fn fill_empty<T: Scalar>(x: &[T], dim: usize, centres: &[T], of: &mut [u32]) {
    let clusters = centres.len() / dim;
    let mut sizes = alloc::vec![0_usize; clusters];
    of.iter().for_each(|&c| sizes[c as usize] += 1);
    if !sizes.contains(&0) {
        return;
    }
    let mut far: Vec<(f64, usize)> = of
        .iter()
        .enumerate()
        .map(|(i, &c)| {
            (squared_distance(&x[i * dim..][..dim], &centres[c as usize * dim..][..dim]).to_f64(), i)
        })
        .collect();
    far.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut far = far.into_iter().map(|(_, i)| i);
    for empty in 0..clusters {
        if sizes[empty] > 0 {
            continue;
        }
        if let Some(i) = far.find(|&i| sizes[of[i] as usize] > 1) {
            sizes[of[i] as usize] -= 1;
            of[i] = empty as u32;
            sizes[empty] = 1;
        }
    }
}

/// Each centre to the mean of its rows, summed in double precision in the order of the rows.
fn move_centres<T: Scalar>(x: &[T], dim: usize, of: &[u32], centres: &mut [T]) {
    let mut sums = alloc::vec![0.0_f64; centres.len()];
    let mut sizes = alloc::vec![0.0_f64; centres.len() / dim];
    for (row, &c) in x.chunks_exact(dim).zip(of) {
        sizes[c as usize] += 1.0;
        sums[c as usize * dim..][..dim].iter_mut().zip(row).for_each(|(sum, v)| *sum += v.to_f64());
    }
    for (i, centre) in centres.iter_mut().enumerate() {
        *centre = T::from_f64(sums[i] / Scalar::max(sizes[i / dim], 1.0));
    }
}

/// How two labelings of the same samples go together.
///
/// ```
/// use nearfar_core::metric::cluster::Agreement;
/// // The same partition under other names.
/// let same = Agreement::of(&[0, 0, 1, 1], &[5, 5, 2, 2]);
/// assert!((same.nmi_arithmetic() - 1.0).abs() < 1e-15 && (same.ami() - 1.0).abs() < 1e-12);
/// // Independent ones.
/// assert!(Agreement::of(&[0, 0, 1, 1], &[0, 1, 0, 1]).nmi_arithmetic().abs() < 1e-15);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Agreement {
    rows: Vec<u32>,
    columns: Vec<u32>,
    /// Mutual information in nats.
    mutual: f64,
}

impl Agreement {
    /// Counts common samples. Labels are any numbers; both slices have one length.
    #[must_use]
    pub fn of(one: &[u32], other: &[u32]) -> Self {
        let (rows, one) = dense(one);
        let (columns, other) = dense(other);
        let mut cells: Vec<(u32, u32)> = one.into_iter().zip(other).collect();
        cells.sort_unstable();
        let count = cells.len() as f64;
        let mutual = cells
            .chunk_by(|a, b| a == b)
            .map(|cell| {
                let (i, j) = cell[0];
                let together = cell.len() as f64;
                let apart = f64::from(rows[i as usize]) * f64::from(columns[j as usize]);
                together / count * Scalar::ln(count * together / apart)
            })
            .sum::<f64>();
        Self { rows, columns, mutual: Scalar::max(mutual, 0.0) }
    }

    /// Samples.
    fn count(&self) -> f64 {
        self.rows.iter().map(|&n| f64::from(n)).sum()
    }

    /// Both put everything into one cluster: nothing can disagree.
    fn trivial(&self) -> bool {
        self.rows.len() <= 1 && self.columns.len() <= 1
    }

    /// Mutual information over `mean` of the two entropies; 1 if both labelings are one cluster, 0 if one is.
    fn normalized(&self, mean: impl Fn(f64, f64) -> f64) -> f64 {
        if self.trivial() {
            return 1.0;
        }
        let mean = mean(entropy(&self.rows), entropy(&self.columns));
        if mean > 0.0 { self.mutual / mean } else { 0.0 }
    }

    /// Normalised mutual information by the arithmetic mean of the entropies.
    #[must_use]
    pub fn nmi_arithmetic(&self) -> f64 {
        self.normalized(|a, b| 0.5 * (a + b))
    }

    /// Normalised mutual information by the geometric mean of the entropies, as the seed paper's field reports it.
    #[must_use]
    pub fn nmi_geometric(&self) -> f64 {
        self.normalized(|a, b| Scalar::sqrt(a * b))
    }

    /// Adjusted mutual information (arithmetic mean): 0 in expectation for random labelings of these sizes.
    #[must_use]
    pub fn ami(&self) -> f64 {
        if self.trivial() {
            return 1.0;
        }
        let expected = self.expected();
        let range = 0.5 * (entropy(&self.rows) + entropy(&self.columns)) - expected;
        // Two labelings that are all singletons leave no range: they agree.
        if Scalar::abs(range) < 1e-15 { 1.0 } else { (self.mutual - expected) / range }
    }

    /// Expected mutual information over random labelings with these cluster sizes, by the hypergeometric law.
    fn expected(&self) -> f64 {
        let count = self.count();
        let largest = count as usize;
        let ln_factorial: Vec<f64> = (0..=largest).map(|n| ln_gamma(n as f64 + 1.0)).collect();
        let mut sum = 0.0;
        // Clusters of one size have one expectation.
        for (a, rows) in sizes(&self.rows) {
            for &(b, columns) in &sizes(&self.columns) {
                let fixed =
                    ln_factorial[a] + ln_factorial[b] + ln_factorial[largest - a] + ln_factorial[largest - b]
                        - ln_factorial[largest];
                for n in (a + b).saturating_sub(largest).max(1)..=a.min(b) {
                    let ln_probability = fixed
                        - ln_factorial[n]
                        - ln_factorial[a - n]
                        - ln_factorial[b - n]
                        - ln_factorial[largest + n - a - b];
                    let share = n as f64 / count;
                    sum += (rows * columns) as f64
                        * share
                        * Scalar::ln(share * count * count / (a * b) as f64)
                        * Scalar::exp(ln_probability);
                }
            }
        }
        sum
    }
}

/// Sizes of the clusters, and labels numbered from 0 in increasing order.
fn dense(labels: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let mut distinct = labels.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let dense: Vec<u32> =
        labels.iter().map(|label| distinct.binary_search(label).map_or(0, |i| i as u32)).collect();
    let mut sizes = alloc::vec![0; distinct.len()];
    dense.iter().for_each(|&label| sizes[label as usize] += 1);
    (sizes, dense)
}

/// Each size with how often it is there.
fn sizes(of: &[u32]) -> Vec<(usize, usize)> {
    let mut sorted = of.to_vec();
    sorted.sort_unstable();
    sorted.chunk_by(|a, b| a == b).map(|alike| (alike[0] as usize, alike.len())).collect()
}

/// Entropy in nats of cluster sizes.
fn entropy(sizes: &[u32]) -> f64 {
    let count: f64 = sizes.iter().map(|&n| f64::from(n)).sum();
    -sizes.iter().map(|&n| f64::from(n) / count).map(|share| share * Scalar::ln(share)).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::scalar::Reference;
    use crate::rng::Stream;

    #[test]
    fn every_cluster_has_a_sample_even_among_duplicates() {
        let x = [1.0_f64, 1.0, 1.0, 1.0, 9.0];
        let of = k_means(&Reference, &x, 1, 4, Key::new(1, Stream::Cluster, 0)).unwrap();
        assert!((0..4).all(|cluster| of.contains(&cluster)), "{of:?}");
    }

    #[test]
    fn agreement_is_symmetric_and_bounded() {
        let key = Key::new(5, Stream::Init, 0);
        let labels =
            |item: u32, k: usize| -> Vec<u32> { (0..80).map(|i| key.below(item, i, k) as u32).collect() };
        for (k, l) in [(2, 3), (7, 7), (1, 5), (40, 2)] {
            let (one, other) = (labels(0, k), labels(1, l));
            let (there, back) = (Agreement::of(&one, &other), Agreement::of(&other, &one));
            for (a, b) in [(there.nmi_arithmetic(), back.nmi_arithmetic()), (there.ami(), back.ami())] {
                assert!((a - b).abs() < 1e-12 && a < 1.0 + 1e-12, "{k} {l}: {a} {b}");
            }
        }
    }
}
