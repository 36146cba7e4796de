//! Slow forms by definition, in double precision, sharing no code with what they judge.

/// Chord distance.
#[must_use]
pub fn distance(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
}

/// Exact probabilities of distance weighted sampling for one anchor: `min(1/q(near), 1/q(d))` over its negatives with
/// `d < far`, normalised; in logarithms, with the largest set apart.
#[must_use]
pub fn inverse_density(
    labels: &[u32],
    distances: &[f64],
    anchor: usize,
    n: f64,
    near: f64,
    far: f64,
) -> Vec<f64> {
    let ln = |d: f64| -((n - 2.0) * d.ln() + 0.5 * (n - 3.0) * (1.0 - 0.25 * d * d).max(0.0).ln());
    let ln_weight = |j: usize| {
        let candidate = labels[j] != labels[anchor] && distances[j] < far;
        if candidate { ln(distances[j]).min(ln(near)) } else { f64::NEG_INFINITY }
    };
    let all: Vec<f64> = (0..labels.len()).map(ln_weight).collect();
    let largest = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return vec![0.0; labels.len()];
    }
    let weights: Vec<f64> = all.iter().map(|l| (l - largest).exp()).collect();
    let total: f64 = weights.iter().sum();
    weights.iter().map(|w| w / total).collect()
}

/// Retrieval quality by sorting everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quality {
    /// Recall at each K.
    pub recall: Vec<f64>,
    /// Precision at each K.
    pub precision: Vec<f64>,
    /// R-precision.
    pub r_precision: f64,
    /// MAP@R.
    pub map_at_r: f64,
    /// Queries without a match.
    pub without_match: usize,
}

/// Every row a query against all others; among equal distances other classes come first.
#[must_use]
pub fn retrieval(x: &[f64], dim: usize, labels: &[u32], ks: &[usize]) -> Quality {
    let row = |i: usize| &x[i * dim..][..dim];
    let none = || vec![0.0; ks.len()];
    let mut quality = Quality { recall: none(), precision: none(), ..Quality::default() };
    let mut queries = 0.0;
    for q in 0..labels.len() {
        let mut others: Vec<(f64, bool)> = (0..labels.len())
            .filter(|&j| j != q)
            .map(|j| (distance(row(q), row(j)), labels[j] == labels[q]))
            .collect();
        // false sorts before true: the wrong class first.
        others.sort_by(|a, b| a.partial_cmp(b).expect("distances are numbers"));
        let r = others.iter().filter(|o| o.1).count();
        if r == 0 {
            quality.without_match += 1;
            continue;
        }
        queries += 1.0;
        for (recall, &k) in quality.recall.iter_mut().zip(ks) {
            *recall += f64::from(others.iter().take(k).any(|o| o.1));
        }
        for (precision, &k) in quality.precision.iter_mut().zip(ks) {
            *precision += others.iter().take(k).filter(|o| o.1).count() as f64 / k as f64;
        }
        let mut found = 0.0;
        for (place, other) in others.iter().take(r).enumerate() {
            if other.1 {
                found += 1.0;
                quality.map_at_r += found / (place + 1) as f64 / r as f64;
            }
        }
        quality.r_precision += found / r as f64;
    }
    let means = [&mut quality.r_precision, &mut quality.map_at_r];
    for value in quality.recall.iter_mut().chain(&mut quality.precision).chain(means) {
        *value /= f64::max(queries, 1.0);
    }
    quality
}
