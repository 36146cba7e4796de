//! What a run file says by name.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Kind of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ModelKind {
    /// Fully connected layers.
    Mlp,
    /// 3x3 convolutions.
    Cnn,
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

/// Kind of an optimiser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerKind {
    /// Adam, or AdamW where weights decay.
    Adam,
    /// Gradient descent with momentum.
    Sgd,
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
