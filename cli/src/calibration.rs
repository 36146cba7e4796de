//! From distances to decisions: P(same class | distance) by isotonic regression, a threshold, and the file that keeps
//! both.
//!
//! The probability is that of the pairs it was fitted to, with their share of same pairs; where same pairs are rarer,
//! it is too high.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use nearfar_core::isotonic::{Direction, Isotonic, Options};
use nearfar_core::metric::reliability::Reliability;
use nearfar_core::metric::verify::{Crossing, Judged, Roc};
use serde::{Deserialize, Serialize};

use crate::write::replace_file;

/// Version of the file.
const FORMAT: &str = "nearfar-calibration-1";

/// Largest file that is read: a block takes a hundred bytes, and there are fewer blocks than pairs.
const FILE_MAX: u64 = 1 << 28;

/// Bins of a reliability diagram.
pub const BINS: usize = 10;

/// Distances with one probability.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibrationBlock {
    /// Least distance.
    pub distance_from: f64,
    /// Largest distance.
    pub distance_to: f64,
    /// Share of same pairs among them.
    pub p_same: f64,
    /// Number of pairs.
    pub weight: f64,
}

/// What `calibrate` leaves, as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    /// [`FORMAT`].
    format: String,
    /// By distance; levels fall.
    pub blocks: Vec<CalibrationBlock>,
    /// Equal error rate of the pairs.
    pub eer: f64,
    /// Pairs at most this far apart are taken for one class; `null`: none is.
    pub threshold: Option<f64>,
    /// The false accept rate that the threshold was chosen for; `null`: it gives most right answers.
    pub far_wanted: Option<f64>,
    /// Shares of same and of different pairs within the threshold.
    pub tar: f64,
    /// See `tar`.
    pub far: f64,
    /// Pairs, and those of one class.
    pub pairs: u64,
    /// See `pairs`.
    pub same: u64,
}

/// A calibration that can be asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    stored: Stored,
    curve: Isotonic,
}

impl Calibration {
    /// Fits pairs; the threshold is the highest whose false accept rate is at most `far`, or the one with most right
    /// answers.
    ///
    /// ```
    /// use nearfar::calibration::Calibration;
    /// use nearfar_core::metric::verify::Judged;
    /// let pair = |distance, same| Judged { distance, same };
    /// let pairs = [pair(0.25, true), pair(0.5, false), pair(0.75, true), pair(1.25, false)];
    /// let calibration = Calibration::fit(&pairs, None)?;
    /// assert_eq!(calibration.p_same(0.25), 1.0);
    /// assert_eq!(calibration.p_same(0.625), 0.5); // 0.5 and 0.75 are out of order: one block
    /// assert_eq!(calibration.p_same(1.0), 0.25); // half way from one half to nothing
    /// assert_eq!(calibration.threshold(), 0.375);
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn fit(pairs: &[Judged], far: Option<f64>) -> Result<Self> {
        let roc = Roc::of(pairs)?;
        let chosen = far.map_or_else(|| Ok(roc.best()), |far| roc.at_far(far))?;
        let curve = curve(pairs)?;
        let blocks = curve
            .blocks()
            .iter()
            .map(|b| CalibrationBlock {
                distance_from: b.from,
                distance_to: b.to,
                // Shares of counts, but for rounding.
                p_same: b.level.clamp(0.0, 1.0),
                weight: b.weight,
            })
            .collect();
        let (same, different) = roc.counts();
        Self::of(Stored {
            format: FORMAT.to_owned(),
            blocks,
            eer: roc.eer(Crossing::Points),
            threshold: chosen.threshold.is_finite().then_some(chosen.threshold),
            far_wanted: far,
            tar: chosen.tar,
            far: chosen.far,
            pairs: same + different,
            same,
        })
    }

    /// What a file says, if it is a calibration: its blocks are the fit of themselves.
    fn of(stored: Stored) -> Result<Self> {
        ensure!(stored.format == FORMAT, "its format is `{}`, this version reads `{FORMAT}`", stored.format);
        ensure!(!stored.blocks.is_empty(), "it has no blocks");
        for (at, b) in stored.blocks.iter().enumerate() {
            let numbers = [b.distance_from, b.distance_to, b.p_same, b.weight];
            ensure!(numbers.iter().all(|v| v.is_finite()), "block {at} holds a number that is not finite");
            ensure!((0.0..=1.0).contains(&b.p_same), "block {at} has p_same {}", b.p_same);
            ensure!(b.distance_from <= b.distance_to, "block {at} ends before it begins");
        }
        for (at, pair) in stored.blocks.windows(2).enumerate() {
            let in_order = pair[0].distance_to < pair[1].distance_from && pair[0].p_same > pair[1].p_same;
            ensure!(in_order, "block {} does not follow block {at}: distances rise, p_same falls", at + 1);
        }
        // A monotone curve is its own fit, whatever the weights.
        let ends = |b: &CalibrationBlock| [(b.distance_from, b.p_same), (b.distance_to, b.p_same)];
        let (x, y): (Vec<f64>, Vec<f64>) = stored.blocks.iter().flat_map(ends).unzip();
        let curve = Isotonic::fit(&x, &y, None, falling())?;
        Ok(Self { stored, curve })
    }

    /// What the file holds.
    #[must_use]
    pub fn stored(&self) -> &Stored {
        &self.stored
    }

    /// The threshold: pairs at most this far apart are taken for one class. `-inf`: none is.
    #[must_use]
    pub fn threshold(&self) -> f64 {
        self.stored.threshold.unwrap_or(f64::NEG_INFINITY)
    }

    /// Probability that a pair at this distance (a number) is of one class.
    #[must_use]
    pub fn p_same(&self, distance: f64) -> f64 {
        self.curve.predict(distance).unwrap_or(f64::NAN)
    }

    /// Writes the file, whole or not at all.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(&self.stored)?;
        text.push('\n');
        replace_file(path, text.as_bytes())
    }

    /// Reads a file that [`save`](Self::save) wrote.
    pub fn load(path: &Path) -> Result<Self> {
        let size = std::fs::metadata(path)
            .with_context(|| format!("cannot read the calibration {}", path.display()))?
            .len();
        ensure!(size <= FILE_MAX, "{} has {size} bytes: it is no calibration", path.display());
        let text =
            std::fs::read(path).with_context(|| format!("cannot read the calibration {}", path.display()))?;
        Self::decode(&text).with_context(|| format!("{} is no calibration of nearfar", path.display()))
    }

    /// The content of a file.
    pub fn decode(text: &[u8]) -> Result<Self> {
        Self::of(serde_json::from_slice(text)?)
    }
}

fn falling() -> Options {
    Options { direction: Direction::Decreasing, ..Options::default() }
}

fn curve(pairs: &[Judged]) -> Result<Isotonic> {
    let distances: Vec<f64> = pairs.iter().map(|pair| pair.distance).collect();
    let same: Vec<f64> = pairs.iter().map(|pair| f64::from(u8::from(pair.same))).collect();
    Ok(Isotonic::fit(&distances, &same, None, falling())?)
}

/// How true the probabilities are: each fold by a curve that was fitted to all others, since a curve is always true of
/// the pairs it was fitted to. An error for one fold only.
pub fn reliability(pairs: &[Judged], folds: &[u32]) -> Result<Reliability> {
    let mut members: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (at, &fold) in folds.iter().enumerate() {
        members.entry(fold).or_default().push(at);
    }
    if members.len() < 2 {
        bail!("reliability needs two folds or more: each is judged by a fit to the others");
    }
    let mut predicted = vec![0.0; pairs.len()];
    for (&fold, own) in &members {
        let others: Vec<Judged> =
            pairs.iter().zip(folds).filter(|(_, of)| **of != fold).map(|(pair, _)| *pair).collect();
        let curve = curve(&others)?;
        for &at in own {
            predicted[at] = curve.predict(pairs[at].distance)?;
        }
    }
    let truth: Vec<bool> = pairs.iter().map(|pair| pair.same).collect();
    Ok(Reliability::of(&predicted, &truth, BINS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs() -> Vec<Judged> {
        (0..200)
            .map(|i| {
                let distance = f64::from(i % 40) / 20.0;
                Judged { distance, same: f64::from((i * 37) % 100) / 50.0 > distance }
            })
            .collect()
    }

    #[test]
    fn a_file_is_read_back_as_the_same_curve() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("C.json");
        for far in [None, Some(0.01), Some(0.0)] {
            let calibration = Calibration::fit(&pairs(), far).unwrap();
            calibration.save(&path).unwrap();
            let read = Calibration::load(&path).unwrap();
            assert_eq!(read, calibration);
            for d in 0..50 {
                let d = f64::from(d) / 20.0;
                assert_eq!(read.p_same(d), curve(&pairs()).unwrap().predict(d).unwrap(), "{d}");
            }
        }
    }

    #[test]
    fn files_that_are_none_say_why() {
        let good = serde_json::to_value(Calibration::fit(&pairs(), None).unwrap().stored()).unwrap();
        let error = |change: &dyn Fn(&mut serde_json::Value)| {
            let mut bad = good.clone();
            change(&mut bad);
            format!("{:#}", Calibration::decode(bad.to_string().as_bytes()).unwrap_err())
        };
        assert!(error(&|v| v["format"] = "x".into()).contains("its format is `x`"));
        assert!(error(&|v| v["blocks"] = serde_json::json!([])).contains("no blocks"));
        assert!(error(&|v| v["blocks"][0]["p_same"] = 1.5.into()).contains("block 0 has p_same 1.5"));
        assert!(error(&|v| v["blocks"][1]["p_same"] = 1.0.into()).contains("does not follow block 0"));
        assert!(error(&|v| v["blocks"][0]["distance_to"] = 1e9.into()).contains("does not follow block 0"));
        assert!(error(&|v| v["blocks"][0]["weight"] = serde_json::Value::Null).contains("null"));
        assert!(error(&|v| v["more"] = 1.into()).contains("unknown field"));
        assert!(Calibration::decode(b"").is_err() && Calibration::decode(b"[1").is_err());
    }

    #[test]
    fn reliability_is_judged_out_of_fold() {
        let pairs = pairs();
        let folds: Vec<u32> = (0..200).map(|i| i % 5).collect();
        let outside = reliability(&pairs, &folds).unwrap();
        assert!(outside.brier > 0.0 && outside.brier < 0.25, "{outside:?}");
        assert_eq!(outside.bins.iter().map(|bin| bin.count).sum::<u64>(), 200);
        assert!(reliability(&pairs, &[3; 200]).unwrap_err().to_string().contains("two folds"));
    }
}
