//! Tests of chance, with stated error: every test here fails a right program with probability at most [`ALPHA`].

use statrs::distribution::{ChiSquared, ContinuousCDF};

/// Probability that a right sampler fails one test. With about a hundred such tests a false alarm comes once in ten
/// thousand changes of a stream; with fixed seeds it never comes back by itself.
pub const ALPHA: f64 = 1e-6;

/// Pearson's chi-squared: whether `counts` may come from `probabilities`. Cells that expect fewer than five are
/// pooled. A count where the probability is 0 fails at once.
pub fn chi_squared(counts: &[u64], probabilities: &[f64]) -> Result<(), String> {
    let total: u64 = counts.iter().sum();
    let (mut statistic, mut cells) = (0.0, 0);
    let mut pooled = (0.0, 0.0);
    let mut add = |count: f64, expected: f64| {
        statistic += (count - expected) * (count - expected) / expected;
        cells += 1;
    };
    for (cell, (&count, &p)) in counts.iter().zip(probabilities).enumerate() {
        if p == 0.0 && count > 0 {
            return Err(format!("cell {cell} is impossible and was drawn {count} times"));
        }
        let expected = p * total as f64;
        if expected >= 5.0 {
            add(count as f64, expected);
        } else {
            pooled = (pooled.0 + count as f64, pooled.1 + expected);
        }
    }
    if pooled.1 >= 5.0 {
        add(pooled.0, pooled.1);
    } else if pooled.1 > 0.0 {
        // Too rare for Pearson: no more than a far tail of a Poisson law, bounded by exp(c - e - c ln(c/e)).
        let (count, expected) = pooled;
        let ln_bound =
            if count > expected { count - expected - count * (count / expected).ln() } else { 0.0 };
        if ln_bound < ALPHA.ln() {
            return Err(format!("rare cells were drawn {count} times, {expected:.3} were expected"));
        }
    }
    if cells < 2 {
        return Ok(());
    }
    let freedom = f64::from(cells - 1);
    let p = 1.0 - ChiSquared::new(freedom).map_err(|e| e.to_string())?.cdf(statistic);
    if p < ALPHA {
        Err(format!("chi-squared {statistic:.1} with {freedom} degrees of freedom, p = {p:.1e}"))
    } else {
        Ok(())
    }
}

/// Kolmogorov and Smirnov: whether `sample` may come from the law with this distribution function. The bound is that
/// of Dvoretzky, Kiefer, Wolfowitz and Massart, `P(D > e) <= 2 exp(-2 n e²)`, exact in its promise for every n.
pub fn kolmogorov_smirnov(sample: &mut [f64], cdf: impl Fn(f64) -> f64) -> Result<(), String> {
    sample.sort_by(f64::total_cmp);
    let n = sample.len() as f64;
    let gap = sample
        .iter()
        .enumerate()
        .map(|(i, &v)| {
            let p = cdf(v);
            (p - i as f64 / n).abs().max(((i + 1) as f64 / n - p).abs())
        })
        .fold(0.0, f64::max);
    let bound = ((2.0 / ALPHA).ln() / (2.0 * n)).sqrt();
    if gap > bound {
        Err(format!("the largest gap is {gap:.4}, {bound:.4} is allowed for n = {n}"))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_laws_are_found() {
        assert!(chi_squared(&[600, 400], &[0.5, 0.5]).is_err());
        assert!(chi_squared(&[510, 490], &[0.5, 0.5]).is_ok());
        assert!(chi_squared(&[999, 1], &[1.0, 0.0]).is_err());
        let mut sample: Vec<f64> = (0..1000).map(|i| (f64::from(i) / 1000.0).powi(2)).collect();
        assert!(kolmogorov_smirnov(&mut sample, |v| v).is_err());
        let mut sample: Vec<f64> = (0..1000).map(|i| f64::from(i) / 1000.0).collect();
        assert!(kolmogorov_smirnov(&mut sample, |v| v).is_ok());
    }
}
