//! Confidence intervals of means over queries, by drawing whole classes anew.
//!
//! Queries of one class are near each other, so one class that is easy makes twenty right answers: intervals that take
//! queries for independent are too narrow. Here the unit is the class of the query. Source: Efron and Tibshirani, "An
//! Introduction to the Bootstrap", 1993, chapters 8 and 13 (percentile interval; clusters as units).
//!
//! What is not in it: the candidates stay as they are, so it says nothing of a larger or other gallery; and the network
//! stays as it is, so it says nothing of another seed of training.

use alloc::vec::Vec;

use crate::rng::Key;

/// Resamples: with this many the bounds of a level of 0.95 are the 50th and the 1950th of them in order.
pub const RESAMPLES: usize = 1999;

/// Both ends of an interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Intervals at `level` (within (0, 1)) of the means of several `statistics` of the same queries.
///
/// `classes[q]` is the class of query q, and each statistic has a value for it. A resample draws as many classes as
/// there are, with replacement; its value is the mean over the queries of the drawn classes. The interval lies between
/// the `(B + 1) (1 - level) / 2`-th of the B = [`RESAMPLES`] values from below and the same from above. All statistics
/// share the draws of `key`. `None` with fewer than two classes: there is nothing to vary.
///
/// ```
/// use nearfar_core::{Key, Stream, metric::bootstrap::class_intervals};
/// let key = Key::new(0, Stream::Bootstrap, 0);
/// // Two classes of two queries, one always right and one always wrong: a resample has mean 0, 1/2 or 1.
/// let got = class_intervals(&[&[1.0, 1.0, 0.0, 0.0]], &[4, 4, 9, 9], 0.95, key).unwrap();
/// assert_eq!((got[0].low, got[0].high), (0.0, 1.0));
/// // The same mean in both classes: none differs.
/// let got = class_intervals(&[&[1.0, 0.0, 1.0, 0.0]], &[4, 4, 9, 9], 0.95, key).unwrap();
/// assert_eq!((got[0].low, got[0].high), (0.5, 0.5));
/// assert!(class_intervals(&[&[1.0, 0.0]], &[3, 3], 0.95, key).is_none());
/// ```
#[must_use]
pub fn class_intervals(
    statistics: &[&[f64]],
    classes: &[u32],
    level: f64,
    key: Key,
) -> Option<Vec<Interval>> {
    let mut distinct = classes.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    if distinct.len() < 2 {
        return None;
    }
    let width = statistics.len();
    // By class: the number of its queries, and their sum in each statistic.
    let mut counts = alloc::vec![0.0_f64; distinct.len()];
    let mut sums = alloc::vec![0.0_f64; distinct.len() * width];
    for (query, class) in classes.iter().enumerate() {
        let at = distinct.binary_search(class).unwrap_or_else(|place| place);
        counts[at] += 1.0;
        for (sum, values) in sums[at * width..][..width].iter_mut().zip(statistics) {
            *sum += values[query];
        }
    }
    let mut means: Vec<Vec<f64>> = alloc::vec![Vec::with_capacity(RESAMPLES); width];
    let mut total = alloc::vec![0.0_f64; width];
    for resample in 0..RESAMPLES as u32 {
        total.fill(0.0);
        let mut count = 0.0;
        for draw in 0..distinct.len() as u32 {
            let class = key.below(resample, draw, distinct.len());
            count += counts[class];
            total.iter_mut().zip(&sums[class * width..]).for_each(|(total, sum)| *total += sum);
        }
        means.iter_mut().zip(&total).for_each(|(means, total)| means.push(total / count));
    }
    // 0.05 is no binary fraction: a hair is added, so that 2000 · 0.025 is 50.
    let rank = ((RESAMPLES + 1) as f64 * (1.0 - level) * 0.5 + 1e-9) as usize;
    let rank = rank.clamp(1, RESAMPLES.div_ceil(2));
    let interval = |mut means: Vec<f64>| {
        means.sort_unstable_by(f64::total_cmp);
        Interval { low: means[rank - 1], high: means[RESAMPLES - rank] }
    };
    Some(means.into_iter().map(interval).collect())
}
