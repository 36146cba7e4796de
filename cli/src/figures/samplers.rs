//! At which distances each sampler chooses: the samplers of the core on one batch.

use anyhow::{Context, Result};
use clap::ValueEnum;
use nearfar_core::{Density, DrawReport, Embeddings, Key, Row, Sampler, Stream, distance, normalize_row};

use super::Shown;
use crate::chart::{Chart, Figure, Mark, Series};
use crate::config::{Dimension, EmptyKind, Far, SamplerConfig, SamplerKind};
use crate::plan::build_sampler;
use crate::record::BINS;

/// The batch: classes, samples of each, dimension, and the length of a sample's own part against that of its class.
const CLASSES: usize = 200;
const EACH: usize = 5;
const DIM: usize = 8;
const SPREAD: f64 = 0.6;
/// Draws an anchor.
const DRAWS: u32 = 20;
/// The defaults of `sample`: cap, far cut, band.
const NEAR: f64 = 0.5;
const FAR: f64 = 1.4;
const ALPHA: f64 = 0.2;
/// Places of blue, orange and grey among the colours.
const BLUE: usize = 0;
const ORANGE: usize = 1;
const GREY: usize = 4;

pub(super) fn figure(seed: u64) -> Result<Shown> {
    let batch = Batch::new(seed)?;
    let kinds = SamplerKind::value_variants().iter().filter(|kind| **kind != SamplerKind::All);
    let charts = kinds.map(|&kind| batch.chart(kind, seed)).collect::<Result<_>>()?;
    Ok(Shown {
        name: "samplers",
        caption: "Uniform draws pile up where all negatives are, hard and semi-hard ones where gradients are noise. \
                  Distance weighted sampling spreads its draws over all distances from the cap to the far cut; \
                  expected draws nothing and weighs every negative so.",
        figure: Figure {
            title: "The distances at which each sampler chooses negatives",
            note: format!(
                "{CLASSES} classes of {EACH} samples on the sphere in {DIM} dimensions, each a class direction and \
                 {SPREAD} of its own (seed {seed}); {DRAWS} draws an anchor.\nWeights 1/q(d) of n = {DIM}, capped at \
                 d = {NEAR}, none beyond {FAR}; band of {ALPHA}. Wanted: density q(d) min(1/q({NEAR}), 1/q(d))."
            ),
            columns: 3,
            panel: (360, 270),
            charts,
        },
    })
}

/// Embeddings with labels, and their distances row by row.
struct Batch {
    labels: Vec<u32>,
    distances: Vec<f64>,
}

impl Batch {
    /// Class directions are uniform on the sphere, and so is each sample by itself: distances of negatives follow the
    /// law of the sphere.
    fn new(seed: u64) -> Result<Self> {
        let key = Key::new(seed, Stream::Simulation, 2);
        let direction = |item: usize| -> Result<[f64; DIM]> {
            let normals = (0..DIM.div_ceil(2) as u32).flat_map(|pair| key.normals(item as u32, pair));
            let z: Vec<f64> = normals.take(DIM).collect();
            let mut x = [0.0; DIM];
            normalize_row(&z, &mut x).context("a simulated point has no direction")?;
            Ok(x)
        };
        let mut values = Vec::new();
        for sample in 0..CLASSES * EACH {
            let (class, own) = (direction(sample / EACH)?, direction(CLASSES + sample)?);
            let z: Vec<f64> = class.iter().zip(own).map(|(c, o)| c + SPREAD * o).collect();
            let mut x = [0.0; DIM];
            normalize_row(&z, &mut x).context("a simulated point has no direction")?;
            values.extend(x);
        }
        let x = Embeddings::new(&values, DIM)?;
        let distances = x.rows().flat_map(|a| x.rows().map(move |b| distance(a, b))).collect();
        let labels = (0..CLASSES as u32).flat_map(|class| [class; EACH]).collect();
        Ok(Self { labels, distances })
    }

    fn row(&self, anchor: usize) -> Row<'_, f64> {
        let count = self.labels.len();
        let distances = &self.distances[anchor * count..][..count];
        Row { anchor, anchors: count, labels: &self.labels, distances, beta: 0.0 }
    }

    /// Weights of bins of distances: of all negatives.
    fn all(&self) -> Vec<f64> {
        let mut bins = vec![0.0; BINS];
        for row in (0..self.labels.len()).map(|anchor| self.row(anchor)) {
            row.negatives().for_each(|negative| bins[bin(row.distances[negative])] += 1.0);
        }
        bins
    }

    /// The same of the negatives that a sampler chose, or of all by the weights that it gives them; and what it
    /// reported.
    fn chosen(&self, sampler: &Sampler<f64>, seed: u64) -> (Vec<f64>, DrawReport) {
        let key = Key::new(seed, Stream::Negatives, 0);
        let (mut bins, mut report) = (vec![0.0; BINS], DrawReport::default());
        let mut scratch = vec![0.0; self.labels.len()];
        for row in (0..self.labels.len()).map(|anchor| self.row(anchor)) {
            report = report.plus(sampler.draw_row(&row, Some(DRAWS), key, &mut scratch, &mut |draw| {
                bins[bin(row.distances[draw.triplet.negative as usize])] += 1.0;
            }));
            if !sampler.draws() {
                let total = sampler.row_weights(&row, &mut scratch);
                for negative in row.negatives().filter(|_| total > 0.0) {
                    bins[bin(row.distances[negative])] += scratch[negative] / total;
                }
            }
        }
        (bins, report)
    }

    fn chart(&self, kind: SamplerKind, seed: u64) -> Result<Chart> {
        let (chosen, report) = self.chosen(&sampler(kind)?, seed);
        let effective = report.effective_negatives / report.anchors.max(1) as f64;
        let series = vec![
            Series::histogram("all negatives", &self.all()).coloured(GREY),
            Series::histogram("chosen", &chosen).outline().coloured(BLUE),
            Series::new("wanted: even from the cap to the cut", Mark::Dashed, target()?).coloured(ORANGE),
        ];
        Ok(Chart::new("distance (chord length, 0 to 2)", "density (per unit)", series)
            .titled(format!("{kind}: among {effective:.1} negatives")))
    }
}

fn bin(d: f64) -> usize {
    ((d * 0.5 * BINS as f64) as usize).min(BINS - 1)
}

fn sampler(kind: SamplerKind) -> Result<Sampler<f64>> {
    let config = SamplerConfig {
        kind,
        dimension: Dimension::Number(DIM as f64),
        near: NEAR,
        far: Far::Number(FAR),
        empty: EmptyKind::Skip,
    };
    build_sampler(&config, DIM, ALPHA)
}

/// The density of what is drawn from endless negatives: even where the weight is 1/q, falling as q below the cap.
fn target() -> Result<Vec<(f64, f64)>> {
    let law = Density::new(DIM as f64)?;
    let capped = law.ln_q(NEAR).exp();
    let area = law.cdf(NEAR) / capped + FAR - NEAR;
    let height = |d: f64| if d > FAR { 0.0 } else { (law.ln_q(d).exp() / capped).min(1.0) / area };
    let steps = (0..=400).map(|i| f64::from(i) * 0.005);
    Ok(steps.map(|d| (d, height(d))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bins between cap and cut: 0.5 to 1.4 in steps of 0.05.
    fn between(bins: &[f64]) -> &[f64] {
        &bins[10..28]
    }

    /// `1 / sum p²` over the share of bins: 1 if all bins hold as much, `1/18` if one bin holds all.
    fn evenness(bins: &[f64]) -> f64 {
        let (sum, squares) = bins.iter().fold((0.0, 0.0), |(s, q), v| (s + v, q + v * v));
        sum * sum / squares / bins.len() as f64
    }

    #[test]
    fn weighted_draws_are_even_where_uniform_ones_pile_up() {
        let batch = Batch::new(0).unwrap();
        let even = |kind| evenness(between(&batch.chosen(&sampler(kind).unwrap(), 0).0));
        for kind in [SamplerKind::DistanceWeighted, SamplerKind::Expected] {
            assert!(even(kind) > 0.95, "{kind}: {}", even(kind));
        }
        assert!(even(SamplerKind::Uniform) < 0.6, "{}", even(SamplerKind::Uniform));
        for kind in [SamplerKind::Hard, SamplerKind::Semihard, SamplerKind::SemihardBand] {
            assert!(even(kind) < 0.7, "{kind}: {}", even(kind));
        }
    }

    #[test]
    fn negatives_follow_the_law_and_what_is_wanted_has_area_one() {
        let all = Batch::new(0).unwrap().all();
        let total: f64 = all.iter().sum();
        let law = Density::new(DIM as f64).unwrap();
        let mut below = 0.0;
        for (at, count) in all.iter().enumerate() {
            below += count / total;
            // Of 200 independent directions; a share scatters by less than 1/(2 sqrt(200)) = 0.035.
            let d = (at + 1) as f64 * 0.05;
            assert!((below - law.cdf(d)).abs() < 0.03, "d = {d}: {below}, {}", law.cdf(d));
        }
        let area: f64 = target().unwrap().iter().map(|(_, height)| height * 0.005).sum();
        assert!((area - 1.0).abs() < 5e-3, "{area}");
    }
}
