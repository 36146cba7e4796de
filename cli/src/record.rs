//! What a run writes down: one [`Look`] a line in `metrics.jsonl`, and the [`Summary`] at its end.
//!
//! No times and no names of machines: the same run gives the same bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::Config;

/// Bins of the histograms of distances: equal parts of [0, 2].
pub const BINS: usize = 40;

/// The state of a run after some steps. Means are over the steps since the last look.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Look {
    /// Steps done.
    pub step: u32,
    /// Passes over the training data done.
    pub epoch: f64,
    /// Mean loss.
    pub loss: f64,
    /// Mean share of terms with a positive value.
    pub active: f64,
    /// Learning rate of the last step.
    pub rate: f64,
    /// beta0.
    pub beta: f64,
    /// Smallest, median and largest boundary of a class, where classes have their own.
    pub beta_classes: Option<[f64; 3]>,
    /// Dimension whose density was inverted, where one was.
    pub dimension: Option<f64>,
    /// Mean effective number of negatives of an anchor.
    pub effective_negatives: f64,
    /// Mean share of candidates whose weight was capped.
    pub capped: f64,
    /// Share of (anchor, positive) pairs without a candidate.
    pub without_candidate: f64,
    /// Mean distance of the positive pairs of the last batch.
    pub positive_distance: f64,
    /// Histogram of the distances of all negative pairs of the last batch, and of the batch with what a memory held,
    /// [`BINS`] parts of [0, 2].
    pub negatives: Vec<u64>,
    /// The same of the negatives that were drawn; empty where none are drawn.
    pub drawn: Vec<u64>,
    /// Retrieval on the validation classes.
    pub validation: Option<Scores>,
    /// The memory at the last step; not there where a run has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Remembered>,
}

/// A memory of earlier batches, as a step saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Remembered {
    /// Rows that were held.
    pub rows: usize,
    /// Mean of their ages in steps.
    pub mean_age: f64,
    /// Age of the oldest.
    pub max_age: u32,
    /// Share of the negatives that came from there: of those that were drawn for the loss; or where the loss draws none,
    /// of their weight, mean over the anchors. 0 before the warm-up is over.
    pub share: f64,
}

/// Retrieval quality: every sample is a query against all others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Recall@K by K.
    pub recall: BTreeMap<String, f64>,
    /// Mean average precision at R.
    pub map_at_r: f64,
    /// R-precision.
    pub r_precision: f64,
}

/// The same test for what needs no training.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Baselines {
    /// The inputs themselves, by Euclidean distance of their unit vectors.
    pub raw: Scores,
    /// The network before its first step.
    pub untrained: Scores,
}

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Name of the data.
    pub data: String,
    /// Steps done.
    pub steps: u32,
    /// Seed.
    pub seed: u64,
    /// Where it ran.
    pub device: String,
    /// Training samples and classes.
    pub train: [usize; 2],
    /// Test samples and classes; no class of training is among them.
    pub unseen: [usize; 2],
    /// Quality on the test classes.
    pub test: Scores,
    /// The same without training.
    pub baselines: Baselines,
}

impl Summary {
    /// Names of the measures, of MAP@R and Recall@1, by which the raw inputs are at least as good as the network.
    #[must_use]
    pub fn not_helped(&self) -> Vec<&'static str> {
        let (raw, trained) = (&self.baselines.raw, &self.test);
        let map = (trained.map_at_r <= raw.map_at_r).then_some("MAP@R");
        let recall = |scores: &Scores| scores.recall.get("1").copied().unwrap_or(0.0);
        map.into_iter().chain((recall(trained) <= recall(raw)).then_some("Recall@1")).collect()
    }
}

/// One unseen sample and its nearest neighbours, as pictures.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbours {
    /// The query.
    pub query: Picture,
    /// Its neighbours, nearest first, and whether each is of the query's class.
    pub found: Vec<(Picture, bool)>,
}

/// A small picture for a report.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// Class name.
    pub label: String,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// 1 or 3.
    pub channels: usize,
    /// Bytes, row by row, channels innermost.
    pub bytes: Vec<u8>,
}

/// Everything the report of a run shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Story {
    /// Name of the run folder.
    pub name: String,
    /// Every number of it.
    pub config: Config,
    /// All looks, in order.
    pub looks: Vec<Look>,
    /// Its end.
    pub summary: Summary,
    /// Some neighbours; empty where samples are no pictures.
    pub neighbours: Vec<Neighbours>,
}
