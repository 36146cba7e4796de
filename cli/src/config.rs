//! The run file: every number of an experiment, in TOML, with the two recipes as its defaults.
//!
//! A run is `recipe`, overlaid by `--config FILE.toml`, overlaid by options of the command line; what came out is
//! written to the run folder as `config.toml`, and alone makes the same run again. All errors are reported at once.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::overlay::Overlay;

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

/// Kind of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ModelKind {
    /// Fully connected layers.
    Mlp,
    /// 3x3 convolutions.
    Cnn,
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
}

/// What a class with too few samples does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum SmallClasses {
    /// It is left out of training.
    Skip,
    /// It gives all it has.
    Take,
    /// The run stops.
    Error,
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
}

/// Name of a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LossKind {
    /// `d²` and `max(0, alpha - d)²`.
    Contrastive,
    /// `max(0, d_ap² - d_an² + alpha)`.
    Triplet,
    /// `max(0, d_ap - d_an + alpha)`.
    TripletL2,
    /// `max(0, alpha ± (d - beta))`.
    Margin,
    /// N-pair, over all negatives.
    Npair,
    /// Two triplet terms.
    Quadruplet,
    /// Lifted structure, over all negatives.
    Lifted,
    /// Multi-similarity, over all pairs.
    MultiSimilarity,
}

impl LossKind {
    /// Takes the whole batch rather than drawn tuples.
    #[must_use]
    pub const fn takes_all(self) -> bool {
        matches!(self, Self::Npair | Self::Lifted | Self::MultiSimilarity)
    }

    /// Has the margin `alpha`.
    #[must_use]
    pub const fn has_alpha(self) -> bool {
        !matches!(self, Self::Npair | Self::MultiSimilarity)
    }
}

impl fmt::Display for LossKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().expect("no loss is hidden").get_name())
    }
}

impl fmt::Display for SamplerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().expect("no sampler is hidden").get_name())
    }
}

/// What active terms are divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ReductionKind {
    /// Their own count.
    MeanActive,
    /// The count of all terms.
    Mean,
    /// Nothing.
    Sum,
}

/// Form of the boundary penalty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum PenaltyKind {
    /// `nu` times the sum of all boundary parameters, once.
    Paper,
    /// `nu` times the sum over the anchors of the batch, inside the mean.
    Batch,
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

/// How the boundary moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum BoundaryMode {
    /// It stays.
    Fixed,
    /// It follows its gradient.
    Gradient,
    /// It goes the share `rate` of the way to the best boundary of each batch.
    Exact,
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

/// Name of a sampler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum SamplerKind {
    /// Any negative.
    Uniform,
    /// The nearest negative.
    Hard,
    /// The nearest beyond the positive.
    Semihard,
    /// Any within `alpha` beyond the positive.
    SemihardBand,
    /// By the inverse density of distances.
    DistanceWeighted,
    /// Every negative with its distance-weighted probability.
    Expected,
    /// Every negative.
    All,
}

/// Dimension whose density is inverted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "ambient, effective, fitted or a number is needed")]
pub enum Dimension {
    /// A name.
    Named(DimensionName),
    /// A number, at least 2.
    Number(f64),
}

/// Dimension whose density is inverted, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DimensionName {
    /// D, as in the paper.
    Ambient,
    /// `1 / mean(cos²)` over the negatives of each batch.
    Effective,
    /// The maximum-likelihood fit to the negatives of each batch.
    Fitted,
}

/// As an option of the command line gives it.
impl FromStr for Dimension {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "ambient" => Self::Named(DimensionName::Ambient),
            "effective" => Self::Named(DimensionName::Effective),
            "fitted" => Self::Named(DimensionName::Fitted),
            _ => match text.parse() {
                Ok(n) if n >= 2.0 && f64::is_finite(n) => Self::Number(n),
                _ => return Err("expected ambient, effective, fitted or a number of at least 2".to_owned()),
            },
        })
    }
}

/// Where candidates end.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "none, active or a distance is needed")]
pub enum Far {
    /// A name.
    Named(FarName),
    /// A distance.
    Number(f64),
}

/// Where candidates end, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FarName {
    /// Nowhere.
    None,
    /// At `alpha + beta(anchor)`.
    Active,
}

/// As an option of the command line gives it.
impl FromStr for Far {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "none" => Self::Named(FarName::None),
            "active" => Self::Named(FarName::Active),
            _ => match text.parse() {
                Ok(d) if d > 0.0 && f64::is_finite(d) => Self::Number(d),
                _ => return Err("expected none, active or a positive distance".to_owned()),
            },
        })
    }
}

/// What an anchor without candidates does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum EmptyKind {
    /// It sits out.
    Skip,
    /// It takes its nearest negative.
    Nearest,
    /// It takes any negative.
    Uniform,
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

/// Kind of an optimiser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerKind {
    /// Adam, or AdamW where weights decay.
    Adam,
    /// Gradient descent with momentum.
    Sgd,
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

/// Reach of the elastic distortion.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "auto or a share of the side is needed")]
pub enum Elastic {
    /// A name.
    Named(ElasticName),
    /// A share of the smaller side.
    Number(f64),
}

/// Reach of the elastic distortion, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ElasticName {
    /// By how often the run shows each sample.
    Auto,
}

impl Elastic {
    /// The share; 0 as long as `auto` has not been [settled](crate::plan::settle).
    #[must_use]
    pub const fn reach(self) -> f64 {
        match self {
            Self::Named(ElasticName::Auto) => 0.0,
            Self::Number(share) => share,
        }
    }
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
