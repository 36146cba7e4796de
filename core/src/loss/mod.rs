//! Losses: one pair, one tuple or one row at a time; and the objective of a batch.
//!
//! The seed paper's losses (contrastive, triplet, margin) and those that its users expect beside them. Each formula
//! gives its value with its derivatives to distances or inner products; [`batch`] carries them to the embeddings.

#[cfg(feature = "alloc")]
pub(crate) mod batch;
mod pair;
mod row;
mod tuple;

use core::fmt;

pub use pair::{Contrastive, Margin, PairGrad};
pub use row::{Lifted, MultiSimilarity, NPair};
pub use tuple::{Quadruplet, TripletGrad, TripletLoss};

use crate::Scalar;
use crate::sample::Sampler;
use crate::weight::WeightingError;

/// A parameter of a loss that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossError {
    /// Its name.
    pub parameter: &'static str,
    /// Its value.
    pub value: f64,
}

impl LossError {
    fn at_least_zero<T: Scalar>(parameter: &'static str, value: T) -> Result<T, Self> {
        let good = value >= T::ZERO && value.is_finite();
        if good { Ok(value) } else { Err(Self { parameter, value: value.to_f64() }) }
    }

    fn positive<T: Scalar>(parameter: &'static str, value: T) -> Result<T, Self> {
        let good = value > T::ZERO && value.is_finite();
        if good { Ok(value) } else { Err(Self { parameter, value: value.to_f64() }) }
    }
}

impl fmt::Display for LossError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {} is out of range", self.parameter, self.value)
    }
}

impl core::error::Error for LossError {}

/// A loss with its parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Loss<T> {
    /// See [`Contrastive`].
    Contrastive(Contrastive<T>),
    /// See [`TripletLoss`].
    Triplet(TripletLoss<T>),
    /// See [`Margin`].
    Margin(Margin<T>),
    /// See [`Quadruplet`].
    Quadruplet(Quadruplet<T>),
    /// See [`NPair`].
    NPair(NPair<T>),
    /// See [`Lifted`].
    Lifted(Lifted<T>),
    /// See [`MultiSimilarity`].
    MultiSimilarity(MultiSimilarity<T>),
}

impl<T> Loss<T> {
    /// Whether the loss is defined on all negatives at once, so that nothing is to be drawn.
    #[must_use]
    pub const fn takes_all(&self) -> bool {
        matches!(self, Self::NPair(_) | Self::Lifted(_) | Self::MultiSimilarity(_))
    }

    /// Whether the loss takes a sample of a third class with each drawn tuple.
    #[must_use]
    pub const fn takes_third(&self) -> bool {
        matches!(self, Self::Quadruplet(_))
    }
}

/// What the sum of all terms is divided by \[R10\]. Without an active term, value and gradient are exactly 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reduction {
    /// Terms with a positive value: as the paper's authors do.
    #[default]
    MeanActive,
    /// All terms.
    Mean,
    /// Nothing.
    Sum,
}

/// A loss, the sampler that feeds it and the reduction: everything that turns a batch into one number.
///
/// Terms: a drawn tuple gives the pair losses two, a positive and a negative pair, the triplet loss one, the
/// quadruplet loss two. [`Sampler::Expected`] gives each positive pair weight 1 and a negative pair its probability
/// times the number of positives: the expectation of what would be drawn. [`Sampler::All`] gives weight 1 to all.
///
/// ```
/// use nearfar_core::{Loss, Margin, Objective, Reduction, Sampler};
/// let margin = Loss::Margin(Margin::new(0.2_f32, 0.0)?);
/// let objective = Objective::new(margin, Sampler::Uniform, Reduction::MeanActive)?;
/// assert_eq!(objective.sampler(), &Sampler::Uniform);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Objective<T> {
    loss: Loss<T>,
    sampler: Sampler<T>,
    reduction: Reduction,
}

impl<T: Scalar> Objective<T> {
    /// A loss with a sampler that can feed it.
    pub fn new(loss: Loss<T>, sampler: Sampler<T>, reduction: Reduction) -> Result<Self, ObjectiveError> {
        if loss.takes_all() && sampler != Sampler::All {
            return Err(ObjectiveError::TakesAll);
        }
        if matches!(loss, Loss::Quadruplet(_)) && !sampler.draws() {
            return Err(ObjectiveError::NeedsDraws);
        }
        if let Sampler::SemihardBand { margin } = sampler
            && !(margin > T::ZERO)
        {
            return Err(ObjectiveError::Band(margin.to_f64()));
        }
        Ok(Self { loss, sampler, reduction })
    }

    /// The loss.
    #[must_use]
    pub const fn loss(&self) -> &Loss<T> {
        &self.loss
    }

    /// The sampler.
    #[must_use]
    pub const fn sampler(&self) -> &Sampler<T> {
        &self.sampler
    }

    /// The reduction.
    #[must_use]
    pub const fn reduction(&self) -> Reduction {
        self.reduction
    }

    /// What a boundary is fitted to: the same, but negatives are drawn, and without an active cut.
    ///
    /// A cut that follows the boundary leaves only negatives which push it down; fitted to those, it would fall
    /// without end. Unchanged for samplers that know no cut.
    #[must_use]
    pub fn observer(&self) -> Self {
        let sampler = match &self.sampler {
            Sampler::DistanceWeighted(w) | Sampler::Expected(w) => {
                Sampler::DistanceWeighted(w.without_active_cut())
            }
            other => other.clone(),
        };
        Self { sampler, ..self.clone() }
    }

    /// The same with the density of another dimension inverted; unchanged if no density is.
    pub fn with_dimension(&self, dimension: f64) -> Result<Self, WeightingError> {
        let sampler = match &self.sampler {
            Sampler::DistanceWeighted(w) => Sampler::DistanceWeighted(w.with_dimension(dimension)?),
            Sampler::Expected(w) => Sampler::Expected(w.with_dimension(dimension)?),
            other => other.clone(),
        };
        Ok(Self { sampler, ..self.clone() })
    }
}

/// Why a loss and a sampler do not go together.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum ObjectiveError {
    /// The loss is defined on all negatives, so the sampler must be `all`.
    TakesAll,
    /// The loss is defined on drawn tuples; the sampler draws none.
    NeedsDraws,
    /// A semi-hard band without width.
    Band(f64),
}

impl fmt::Display for ObjectiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TakesAll => f.write_str("this loss takes all negatives at once: its sampler is `all`"),
            Self::NeedsDraws => {
                f.write_str("the quadruplet loss needs a sampler that draws tuples: any but expected and all")
            }
            Self::Band(margin) => write!(f, "a semi-hard band of width {margin} holds nothing"),
        }
    }
}

impl core::error::Error for ObjectiveError {}

/// Value of an objective on a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LossReport {
    /// The reduced value.
    pub loss: f64,
    /// Terms (their weight, where they are weighted) with a positive value.
    pub active: f64,
    /// All terms.
    pub terms: f64,
}
