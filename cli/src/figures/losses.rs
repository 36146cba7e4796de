//! Shapes of the losses: what one pair costs by its distance, and how it is pulled or pushed.

use std::iter::once;

use anyhow::Result;
use clap::ValueEnum;
use nearfar_core::Loss;

use super::Shown;
use crate::chart::{Chart, Figure, Mark, Series};
use crate::config::{Config, LossConfig, LossKind};
use crate::plan::build_loss;
use crate::recipe::Recipe;

/// The other distance, for losses that see a positive and a negative at once.
const OTHER: f64 = 1.0;
/// The contrastive loss's margin: distances of unit vectors need a scale there.
const CONTRASTIVE: f64 = 1.0;
/// Boundary of the margin loss.
const BETA: f64 = 1.2;

pub(super) fn figure() -> Result<Shown> {
    let charts = LossKind::value_variants().iter().map(|&kind| chart(kind));
    let config = numbers(LossKind::Margin);
    Ok(Shown {
        name: "losses",
        caption: "A negative that is too near: the contrastive and the squared triplet loss push it the less, the nearer \
                  it is or the farther it shall go; the margin loss and the plain triplet loss push all alike.",
        figure: Figure {
            title: "Losses of one positive or one negative pair, and their derivatives",
            note: format!(
                "alpha = {}, of the contrastive loss {CONTRASTIVE}; beta = {BETA}; alpha2 = {}; scale = {}. A loss that \
                 sees a positive and a negative has the other one at distance {OTHER}.\nnpair: one negative; lifted: \
                 one at each end; quadruplet: both negatives at d; multi-similarity: 2, 50, 1/2. Derivatives are per \
                 unit of distance.",
                config.alpha, config.alpha2, config.scale
            ),
            columns: 4,
            panel: (270, 250),
            charts: charts.collect::<Result<_>>()?,
        },
    })
}

/// The numbers of a loss as runs have them.
fn numbers(kind: LossKind) -> LossConfig {
    let recipe = Config::recipe(Recipe::Paper).loss;
    let alpha = if kind == LossKind::Contrastive { CONTRASTIVE } else { recipe.alpha };
    LossConfig { kind, alpha, ..recipe }
}

fn chart(kind: LossKind) -> Result<Chart> {
    let loss = build_loss(&numbers(kind))?;
    let mut series = Vec::new();
    for (same, name, colour) in [(true, "positive", 0), (false, "negative", 1)] {
        let points = (0..=200).map(|i| f64::from(i) * 0.01).map(|d| (d, shape(&loss, d, same)));
        let (values, slopes) = points.map(|(d, [value, slope])| ((d, value), (d, slope))).unzip();
        series.push(Series::line(&format!("{name} pair"), values).coloured(colour));
        let slope = Series::new(&format!("{name} pair: derivative"), Mark::Dashed, slopes);
        series.push(slope.coloured(colour));
    }
    Ok(Chart::new("distance d (chord length)", "loss; derivative", series).titled(kind.to_string()))
}

/// A loss at distance `d` of its positive (`same`) or of its negative, the other at [`OTHER`]; and its derivative
/// to `d`.
fn shape(loss: &Loss<f64>, d: f64, same: bool) -> [f64; 2] {
    let (near, far) = if same { (d, OTHER) } else { (OTHER, d) };
    // Of unit vectors: c = 1 - d²/2, dc/dd = -d.
    let cosine = |d: f64| 1.0 - 0.5 * d * d;
    match loss {
        Loss::Contrastive(loss) => {
            let pair = loss.pair(d, same);
            [pair.value, pair.d_distance]
        }
        Loss::Margin(loss) => {
            let pair = loss.pair(d, BETA, same);
            [pair.value, pair.d_distance]
        }
        Loss::Triplet(loss) => {
            let triplet = loss.triplet(near, far);
            [triplet.value, if same { triplet.d_near } else { triplet.d_far }]
        }
        Loss::Quadruplet(loss) => {
            let terms = [loss.first(), loss.second()].map(|term| term.triplet(near, far));
            let slope = terms.map(|term| if same { term.d_near } else { term.d_far });
            [terms[0].value + terms[1].value, slope[0] + slope[1]]
        }
        Loss::NPair(loss) => {
            let sum = loss.ln_sum(once(cosine(far)));
            let (value, d_positive) = loss.pair(cosine(near), sum);
            let d_negative = -d_positive * loss.share(cosine(far), sum);
            [value, -d * if same { d_positive } else { d_negative }]
        }
        Loss::Lifted(loss) => {
            let side = loss.ln_sum(once(far));
            // Both ends weigh the same, and each has one negative: J falls with d as it rises with the positive.
            let (value, slope) = loss.pair(near, side, side);
            [value, if same { slope } else { -slope * loss.share(far, side) }]
        }
        Loss::MultiSimilarity(loss) => {
            let [of_near, of_far] = loss.sides(once(cosine(near)), once(cosine(far)));
            let c = cosine(d);
            let slope = if same { loss.d_positive(c, of_near) } else { loss.d_negative(c, of_far) };
            [loss.value(of_near, of_far), -d * slope]
        }
        _ => [f64::NAN; 2],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_are_those_of_the_values_off_the_kinks() {
        let mut compared = 0;
        for &kind in LossKind::value_variants() {
            let loss = build_loss(&numbers(kind)).unwrap();
            for same in [true, false] {
                // No kink of these numbers is a multiple of 0.01 and 0.003.
                for d in (1..190).map(|i| 0.003 + 0.01 * f64::from(i)) {
                    let h = 1e-5;
                    let at = |d| shape(&loss, d, same);
                    let wanted = (at(d + h)[0] - at(d - h)[0]) / (2.0 * h);
                    let [value, slope] = at(d);
                    assert!(value.is_finite() && (slope - wanted).abs() < 1e-6, "{kind}, {same}, d = {d}");
                    compared += 1;
                }
            }
        }
        assert_eq!(compared, 8 * 2 * 189);
    }

    #[test]
    fn losses_have_the_values_that_can_be_worked_out_by_hand() {
        let at = |kind, d, same| shape(&build_loss(&numbers(kind)).unwrap(), d, same);
        let close = |got: [f64; 2], wanted: [f64; 2]| {
            assert!(got.iter().zip(wanted).all(|(g, w)| (g - w).abs() < 1e-12), "{got:?}, {wanted:?}");
        };
        close(at(LossKind::Contrastive, 0.5, false), [0.25, -1.0]);
        close(at(LossKind::Margin, 1.25, true), [0.25, 1.0]);
        close(at(LossKind::Margin, 1.5, false), [0.0, 0.0]);
        close(at(LossKind::Triplet, 0.5, false), [1.0 - 0.25 + 0.2, -1.0]);
        close(at(LossKind::TripletL2, 1.1, true), [0.3, 1.0]);
        // Positive and negative alike: ln 2, and half of the scale times the distance.
        close(at(LossKind::Npair, 1.0, false), [2.0_f64.ln(), -8.0]);
    }
}
