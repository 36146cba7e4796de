//! Why there is no isotonic regression.

use core::fmt;

/// Why there is no fit, or no prediction.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum IsotonicError {
    /// There are no points, or none has weight.
    NoWeight,
    /// `y` or weights are of another length than `x`.
    Length {
        /// Which.
        what: &'static str,
        /// Its length.
        len: usize,
        /// That of x.
        points: usize,
    },
    /// NaN or infinity.
    NotFinite {
        /// In what.
        what: &'static str,
        /// Where.
        index: usize,
        /// The value.
        value: f64,
    },
    /// A weight below 0.
    NegativeWeight {
        /// Where.
        index: usize,
        /// The weight.
        value: f64,
    },
    /// A quantile outside (0, 1).
    Quantile(f64),
    /// A query beyond the data.
    Outside {
        /// The query.
        x: f64,
        /// Where the data begin.
        first: f64,
        /// Where they end.
        last: f64,
    },
}

impl fmt::Display for IsotonicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NoWeight => f.write_str("there is no point with a weight above 0"),
            Self::Length { what, len, points } => write!(f, "{len} {what} for {points} x"),
            Self::NotFinite { what, index, value } => write!(f, "{what} {index} is {value}"),
            Self::NegativeWeight { index, value } => write!(f, "weight {index} is {value}, below 0"),
            Self::Quantile(tau) => write!(f, "quantile {tau} is not within (0, 1)"),
            Self::Outside { x, first, last } => write!(f, "{x} lies outside the data, [{first}, {last}]"),
        }
    }
}

impl core::error::Error for IsotonicError {}
