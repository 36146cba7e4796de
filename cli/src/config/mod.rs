//! The run file: every number of an experiment, in TOML, with the two recipes as its defaults.
//!
//! A run is `recipe`, overlaid by `--config FILE.toml`, overlaid by options of the command line; what came out is
//! written to the run folder as `config.toml`, and alone makes the same run again. All errors are reported at once.

mod choices;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::overlay::Overlay;

pub use choices::{
    BoundaryMode, Dimension, DimensionName, Elastic, ElasticName, EmptyKind, Far, FarName, LossKind,
    ModelKind, OptimizerKind, PenaltyKind, ReductionKind, SamplerKind, SmallClasses,
};

/// Everything that decides a run, but for the machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Seed of every random number.
    pub seed: u64,
    /// Inputs and their split.
    pub data: DataConfig,
    /// The network.
    pub model: ModelConfig,
    /// How batches are put together.
    pub batch: BatchConfig,
    /// The loss.
    pub loss: LossConfig,
    /// The boundary of the margin loss.
    pub boundary: BoundaryConfig,
    /// How negatives are chosen.
    pub sampler: SamplerConfig,
    /// Negatives from earlier batches.
    pub memory: MemoryConfig,
    /// How weights move.
    pub optimizer: OptimizerConfig,
    /// How inputs vary.
    pub augment: AugmentConfig,
    /// How long, and how often to look.
    pub train: TrainConfig,
}

/// Inputs and their split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// `kana`, or a path.
    pub source: String,
    /// Share of the training classes that is held out for validation, where the data do not say.
    pub validation: f64,
    /// Share of all classes that is held out for testing, where the data do not say.
    pub test: f64,
    /// Seed of these two choices; runs with other seeds then see the same classes.
    pub split_seed: u64,
    /// Side of the square that pictures in files are resized to; 0 leaves them as they are, but for photographs of a
    /// known set, which get the paper's 256, cropped to 227 and mirrored.
    pub resize: usize,
    /// Side of the square part of a picture that is shown: at random places in training, else in the middle; 0 shows
    /// all.
    pub crop: usize,
    /// Whether pictures are mirrored, left to right, half of the time in training.
    pub mirror: bool,
    /// Whether only the box around the object is taken, where the data have boxes.
    pub boxes: bool,
}

/// The network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Its kind.
    pub kind: ModelKind,
    /// Numbers in an embedding, D.
    pub dim: usize,
    /// Widths of the hidden layers of an mlp.
    pub hidden: Vec<usize>,
    /// Channels of the blocks of a cnn.
    pub channels: Vec<usize>,
    /// Convolutions in each of these blocks; the last one is pooled.
    pub depth: usize,
    /// Views of a picture that its embedding is made of outside training: 1; 5 or 9, moved by a pixel, their mean; 8,
    /// turned and mirrored, joined by a map that is fitted after training; 0 chooses by the size of pictures.
    pub views: usize,
    /// Shrinkage of the whitening within classes after training; 0 leaves the network as it was trained.
    pub whiten: f64,
}

/// How batches are put together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchConfig {
    /// Classes in a batch; fewer where the data have fewer.
    pub classes: usize,
    /// Samples of each class, m.
    pub per_class: usize,
    /// What a class with fewer than `per_class` samples does.
    pub small_classes: SmallClasses,
    /// Classes of a batch come in groups of this many that lie near each other by the mean of their embeddings, and a group
    /// is turned alike; 1 leaves to chance which classes meet.
    pub near_classes: usize,
}

/// The loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossConfig {
    /// Its name.
    pub kind: LossKind,
    /// Margin of the contrastive, triplet, margin, quadruplet and lifted losses.
    pub alpha: f64,
    /// Second margin of the quadruplet loss.
    pub alpha2: f64,
    /// Scale of the cosines of the N-pair loss.
    pub scale: f64,
    /// Boundary penalty of the margin loss.
    pub nu: f64,
    /// Its form.
    pub penalty: PenaltyKind,
    /// What active terms are divided by.
    pub reduction: ReductionKind,
}

/// The boundary of the margin loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoundaryConfig {
    /// beta0 at the start.
    pub start: f64,
    /// How it moves.
    pub mode: BoundaryMode,
    /// Learning rate, or share of the way.
    pub rate: f64,
    /// Momentum of the gradient.
    pub momentum: f64,
    /// A part for each class.
    pub per_class: bool,
    /// A part for each image.
    pub per_image: bool,
}

/// How negatives are chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplerConfig {
    /// Its name.
    pub kind: SamplerKind,
    /// Dimension whose density is inverted: `ambient`, `effective`, `fitted` or a number.
    pub dimension: Dimension,
    /// Distance whose weight caps all others.
    pub near: f64,
    /// Where candidates end: `none`, `active` or a distance.
    pub far: Far,
    /// What an anchor without candidates does.
    pub empty: EmptyKind,
}

/// Negatives from earlier batches: a cross-batch memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryConfig {
    /// Embeddings that are remembered; 0 for none.
    pub size: usize,
    /// Steps before which they are gathered and not used.
    pub warmup: u32,
}

/// How weights move.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerConfig {
    /// Its kind.
    pub kind: OptimizerKind,
    /// Largest learning rate.
    pub rate: f64,
    /// Steps of linear growth to it.
    pub warmup: u32,
    /// Share of the rate that is left at the end of a cosine; 1 keeps it constant.
    pub floor: f64,
    /// First-moment decay of Adam, or momentum.
    pub momentum: f64,
    /// Second-moment decay of Adam.
    pub beta2: f64,
    /// Weight decay.
    pub decay: f64,
}

/// How inputs vary; each number is the end of a range around none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AugmentConfig {
    /// Shift in whole pixels.
    pub shift: u32,
    /// Rotation in degrees.
    pub rotation: f64,
    /// Change of size: 0.1 is 10 % up or down.
    pub scale: f64,
    /// Shear: 0.1 moves the top by a tenth of the height.
    pub shear: f64,
    /// Elastic distortion: 0.1 pulls parts of the image apart by up to a tenth of its smaller side; `auto` by how often
    /// the run shows each sample.
    pub elastic: Elastic,
    /// Share of the samples that are turned, scaled, sheared and distorted; the others stay sharp.
    pub share: f64,
    /// Share of the classes of a batch that are turned by right angles or mirrored, each as a whole: new classes.
    pub symmetry: f64,
}

/// How long, and how often to look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Steps in all; 0 chooses them by the number of training samples.
    pub steps: u32,
    /// Steps between two looks at the validation classes and two saved states; 0 looks six times.
    pub every: u32,
}

impl Config {
    /// These numbers overlaid by a TOML text, which may name any part of them; all its mistakes are one error.
    pub fn overlay(&self, text: &str) -> Result<Self> {
        let Overlay { config, mistakes, .. } = Overlay::new(self, text)?;
        ensure!(mistakes.is_empty(), "{}", mistakes.join("; "));
        Ok(config)
    }

    /// The TOML text that makes this run again.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a configuration has no map with unusual keys")
    }
}
