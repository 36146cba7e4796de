//! Verification: is this pair of one class? From distances of pairs whose answer is known, the receiver operating
//! characteristic (ROC) and what is read off it, and accuracy with a threshold that never saw the pairs it judges.
//!
//! ```text
//! accepted        d <= t
//! TAR(t)          accepted same pairs / same pairs                    (true accept rate)
//! FAR(t)          accepted different pairs / different pairs          (false accept rate)
//! FRR(t)          1 - TAR(t)
//! AUC             P(d_same < d_different) + P(d_same = d_different) / 2
//! ```
//! Pairs at one distance are accepted together, so they are one step of the curve. Sources: Fawcett, "An introduction
//! to ROC analysis", Pattern Recognition Letters 27 (2006); Huang, Ramesh, Berg, Learned-Miller, "Labeled Faces in the
//! Wild", tech. rep. 07-49 (2007), for the ten folds.

mod folds;
mod roc;

use core::fmt;

pub use folds::{Fold, KFold};
pub use roc::{Crossing, Operating, Roc};

/// A pair whose answer is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// How far the two are apart; any finite number, less is nearer.
    pub distance: f64,
    /// Whether they are of one class.
    pub same: bool,
}

/// Why pairs cannot be judged.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum VerifyError {
    /// No pair is of one class.
    NoSame,
    /// No pair is of two classes.
    NoDifferent,
    /// A distance that is NaN or infinite.
    Distance {
        /// Of which pair.
        index: usize,
        /// The distance.
        value: f64,
    },
    /// A false accept rate outside [0, 1].
    Far(f64),
    /// Another number of fold labels than of pairs.
    Folds {
        /// Labels.
        folds: usize,
        /// Pairs.
        pairs: usize,
    },
    /// All pairs are in this fold: no other one gives a threshold.
    OneFold(u32),
    /// All pairs outside this fold are of one kind: they give no threshold.
    OneSided(u32),
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NoSame => f.write_str("no pair is of one class (same = 1)"),
            Self::NoDifferent => f.write_str("no pair is of two classes (same = 0)"),
            Self::Distance { index, value } => write!(f, "the distance of pair {index} is {value}"),
            Self::Far(far) => write!(f, "a false accept rate of {far} is not within [0, 1]"),
            Self::Folds { folds, pairs } => write!(f, "{folds} fold labels for {pairs} pairs"),
            Self::OneFold(fold) => {
                write!(f, "all pairs are in fold {fold}: the threshold of a fold comes from the others")
            }
            Self::OneSided(fold) => write!(f, "outside fold {fold} all pairs are of one kind"),
        }
    }
}

impl core::error::Error for VerifyError {}
