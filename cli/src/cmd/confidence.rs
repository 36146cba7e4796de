//! How far the figures of `eval` can be trusted: intervals by drawing whole classes of queries anew.

use nearfar_core::kernel::MatchRanks;
use nearfar_core::metric::bootstrap::{Interval, RESAMPLES, class_intervals};
use nearfar_core::metric::retrieval::Retrieval;
use nearfar_core::{Key, Stream};
use serde_json::{Map, Value, json};

/// Level of the intervals.
const LEVEL: f64 = 0.95;

/// Intervals of the retrieval figures.
pub(super) struct Confidence {
    pub(super) r_precision: Interval,
    pub(super) map_at_r: Interval,
    /// At each K that was asked for.
    pub(super) recall: Vec<Interval>,
}

impl Confidence {
    /// `labels` are those of the queries; `None` if all queries with a match are of one class.
    pub(super) fn of(ranks: &MatchRanks, labels: &[u32], ks: &[usize], seed: u64) -> Option<Self> {
        let (mut values, mut classes) = (vec![Vec::new(); 2 + ks.len()], Vec::new());
        for (query, &label) in labels.iter().enumerate() {
            let Some(one) = Retrieval::of_query(ranks, query, ks) else { continue };
            classes.push(label);
            let all = [one.r_precision, one.map_at_r].into_iter().chain(one.recall);
            values.iter_mut().zip(all).for_each(|(values, value)| values.push(value));
        }
        let values: Vec<&[f64]> = values.iter().map(Vec::as_slice).collect();
        let intervals = class_intervals(&values, &classes, LEVEL, Key::new(seed, Stream::Bootstrap, 0))?;
        let mut intervals = intervals.into_iter();
        let (r_precision, map_at_r) = (intervals.next()?, intervals.next()?);
        Some(Self { r_precision, map_at_r, recall: intervals.collect() })
    }

    /// Ends of each interval, and how they came about.
    pub(super) fn json(&self, ks: &[usize]) -> Value {
        let ends = |interval: &Interval| json!([interval.low, interval.high]);
        let recall: Map<_, _> = ks.iter().zip(&self.recall).map(|(k, i)| (k.to_string(), ends(i))).collect();
        json!({
            "level": LEVEL,
            "method": "percentile bootstrap over classes of queries",
            "resamples": RESAMPLES,
            "recall": recall,
            "r_precision": ends(&self.r_precision),
            "map_at_r": ends(&self.map_at_r),
        })
    }
}
