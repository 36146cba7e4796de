//! The drawing of a calibration: P(same) over distance, and how true it is.

use anyhow::Result;
use nearfar_core::metric::reliability::{Bin, Reliability};

use crate::calibration::Stored;
use crate::chart::{Chart, Figure, Mark, Series};

/// Size of each chart in pixels.
const PANEL: (u32, u32) = (480, 420);
/// Place of grey among the colours.
const GREY: usize = 4;

/// Left: the curve `p_same` with the threshold. Right: what the fits to the other folds predicted for each fold, against
/// what was seen, with the share of pairs in each bin.
pub fn calibration_chart(
    stored: &Stored,
    p_same: impl Fn(f64) -> f64,
    reliability: &Reliability,
    pairs: u64,
) -> Result<String> {
    let charts = vec![probability(stored, p_same), diagram(reliability, pairs)];
    Figure { title: "", note: String::new(), columns: 2, panel: PANEL, charts }.draw()
}

fn probability(stored: &Stored, p_same: impl Fn(f64) -> f64) -> Chart {
    let last = stored.blocks.last().map_or(1.0, |block| block.distance_to);
    let end = if last > 0.0 { last * 1.02 } else { 1.0 };
    let curve = (0..=480).map(|i| f64::from(i) / 480.0 * end).map(|d| (d, p_same(d)));
    let mut series = vec![Series::line("isotonic fit", curve.collect())];
    if let Some(threshold) = stored.threshold.filter(|t| (0.0..=end).contains(t)) {
        let name = format!("threshold {threshold:.3}: FAR {:.4}, TAR {:.3}", stored.far, stored.tar);
        series.push(Series::new(&name, Mark::Dashed, vec![(threshold, 0.0), (threshold, 1.0)]));
    }
    Chart::new("distance", "P(same class)", series).titled("Probability of one class by distance")
}

fn diagram(reliability: &Reliability, pairs: u64) -> Chart {
    let bins = &reliability.bins;
    let share = |bin: &Bin| (0.5 * (bin.from + bin.to), bin.count as f64 / pairs.max(1) as f64);
    let width = bins.first().map_or(0.1, |bin| bin.to - bin.from);
    let bars = Mark::Bins { width, filled: true };
    let seen: Vec<(f64, f64)> = bins.iter().map(|bin| (bin.predicted, bin.observed)).collect();
    let series = vec![
        Series::new("share of all pairs in the bin", bars, bins.iter().map(share).collect()).coloured(GREY),
        Series::new("as predicted", Mark::Dashed, vec![(0.0, 0.0), (1.0, 1.0)]).coloured(GREY),
        Series::line(&format!("seen (Brier score {:.3})", reliability.brier), seen.clone()).coloured(0),
        Series::new("points of it", Mark::Points, seen).over(0),
    ];
    Chart::new("predicted P(same class)", "share of same pairs; share of pairs", series)
        .titled("Reliability: each fold by a fit to the others")
}
