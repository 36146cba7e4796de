//! Inverse-density weights of negatives, in log space, for one anchor at a time.
//!
//! Source: Wu et al. 2017, eq. 2 \[E2\]: `Pr(n | a) ∝ min(lambda, 1/q(d_an))`. Everything is per anchor: cap first,
//! then subtract that anchor's own maximum over its own negatives. No maximum of a batch, and neither positives nor
//! the anchor itself, ever enters \[R3\].

use core::fmt;

use crate::Scalar;
use crate::batch::Row;
use crate::density::{Density, DensityError, ln_q_unnormalized};

/// Upper bound of the weights. It is two-sided: 1/q rises again beyond sqrt(2).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cap<T> {
    /// The weight that 1/q has at this distance, in (0, 2). The paper's form, 0.5.
    Near(T),
    /// `ln lambda` of the normalised 1/q, finite.
    LnLambda(T),
}

/// The distance beyond which a negative is no candidate \[R5\].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FarCut<T> {
    /// None: every negative is a candidate.
    None,
    /// `d < cut`.
    At(T),
    /// `d < margin + beta(anchor)`: only negatives that the margin loss would push.
    Active {
        /// Margin alpha of the loss.
        margin: T,
    },
}

/// What becomes of an anchor none of whose negatives is a candidate \[R6\]. It is counted in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EmptyRow {
    /// It has no tuple in this batch.
    #[default]
    Skip,
    /// It takes its nearest negative.
    Nearest,
    /// It takes any true negative.
    Uniform,
}

/// How negatives are weighted by their distance: the checked parameters of distance weighted sampling.
///
/// ```text
/// ln w(d) = min(ln w(cap), -(n-2) ln d - (n-3)/2 ln(1 - d²/4)),   d below the far cut
/// ```
///
/// ```
/// use nearfar_core::{Cap, EmptyRow, FarCut, Weighting};
/// let w = Weighting::new(128.0, Cap::Near(0.5), FarCut::At(1.4), EmptyRow::Skip)?;
/// assert!((w.ln_weight(1.0) - 17.98_f64).abs() < 5e-3);
/// assert_eq!(w.ln_weight(0.1), w.ln_weight(0.5)); // capped
/// assert_eq!(w.ln_weight(1.95), w.ln_weight(0.5)); // and on the far side
/// # Ok::<(), nearfar_core::WeightingError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Weighting<T> {
    density: Density,
    cap: Cap<T>,
    far: FarCut<T>,
    empty: EmptyRow,
    /// Exponents of `d` and `1 - d²/4` in q, and the capped logarithm: what evaluation needs.
    power: T,
    bend: T,
    ln_cap: T,
}

impl<T: Scalar> Weighting<T> {
    /// Weights that invert the density of dimension `dimension`.
    pub fn new(dimension: f64, cap: Cap<T>, far: FarCut<T>, empty: EmptyRow) -> Result<Self, WeightingError> {
        let density = Density::new(dimension)?;
        let (power, bend) = density.exponents();
        let ln_cap = match cap {
            Cap::Near(d) if d > T::ZERO && d < T::TWO => -ln_q_unnormalized(power, bend, d.to_f64()),
            Cap::LnLambda(ln) if ln.is_finite() => ln.to_f64() - density.ln_z(),
            Cap::Near(value) | Cap::LnLambda(value) => return Err(WeightingError::Cap(value.to_f64())),
        };
        match far {
            FarCut::At(cut) if !(cut > T::ZERO) => return Err(WeightingError::Far(cut.to_f64())),
            FarCut::Active { margin } if !margin.is_finite() => {
                return Err(WeightingError::Far(margin.to_f64()));
            }
            _ => {}
        }
        let (power, bend, ln_cap) = (T::from_f64(power), T::from_f64(bend), T::from_f64(ln_cap));
        Ok(Self { density, cap, far, empty, power, bend, ln_cap })
    }

    /// The same weighting for another dimension.
    pub fn with_dimension(&self, dimension: f64) -> Result<Self, WeightingError> {
        Self::new(dimension, self.cap, self.far, self.empty)
    }

    /// The same weighting with no far cut in place of one that follows a boundary.
    #[must_use]
    pub fn without_active_cut(&self) -> Self {
        let far = if matches!(self.far, FarCut::Active { .. }) { FarCut::None } else { self.far };
        Self { far, ..self.clone() }
    }

    /// The law that is inverted.
    #[must_use]
    pub const fn density(&self) -> &Density {
        &self.density
    }

    /// Where the weight is capped.
    #[must_use]
    pub const fn cap(&self) -> Cap<T> {
        self.cap
    }

    /// Exponents of `d` and of `1 - d²/4` in the density, and the capped log-weight: all that
    /// [`ln_weight`](Self::ln_weight) evaluates, for a backend that evaluates it elsewhere.
    #[must_use]
    pub const fn law(&self) -> [T; 3] {
        [self.power, self.bend, self.ln_cap]
    }

    /// Where candidates end.
    #[must_use]
    pub const fn far(&self) -> FarCut<T> {
        self.far
    }

    /// What an anchor without candidates does.
    #[must_use]
    pub const fn empty(&self) -> EmptyRow {
        self.empty
    }

    /// Capped log-weight of a distance, without the normaliser `ln Z`; the far cut is not applied.
    ///
    /// Never above the cap, at d = 0 and d = 2 neither; `-inf` only where the density is unbounded (n < 3, d = 2).
    #[must_use]
    pub fn ln_weight(&self, distance: T) -> T {
        Scalar::min(-ln_q_unnormalized(self.power, self.bend, distance), self.ln_cap)
    }

    /// Capped logarithm, without the normaliser.
    #[cfg(feature = "std")]
    pub(crate) const fn ln_cap(&self) -> T {
        self.ln_cap
    }

    /// First distance that is no candidate for this anchor.
    pub(crate) fn far_end(&self, beta: T) -> T {
        match self.far {
            FarCut::None => T::INFINITY,
            FarCut::At(cut) => cut,
            FarCut::Active { margin } => margin + beta,
        }
    }

    /// Weights of one row, divided by their largest: 0 for the anchor, its positives and what lies beyond the cut.
    ///
    /// `weights` has one number for each of `row.distances`. The probability of j is `weights[j] / total`.
    ///
    /// ```
    /// use nearfar_core::{Cap, EmptyRow, FarCut, Row, Weighting};
    /// let w = Weighting::new(3.0, Cap::Near(0.5), FarCut::None, EmptyRow::Skip)?; // q(d) = d/2, so weights ∝ 1/d
    /// let row = Row { anchor: 0, anchors: 4, labels: &[7, 7, 8, 9], distances: &[0.0, 0.3, 0.5, 1.0], beta: 1.2 };
    /// let mut weights = [0.0_f64; 4];
    /// let sum = w.row(&row, &mut weights);
    /// assert!((weights[3] - 0.5).abs() < 1e-15);
    /// assert_eq!((weights[0], weights[1], weights[2]), (0.0, 0.0, 1.0));
    /// assert!((sum.total - 1.5).abs() < 1e-15);
    /// # Ok::<(), nearfar_core::WeightingError>(())
    /// ```
    pub fn row(&self, row: &Row<'_, T>, weights: &mut [T]) -> RowWeights {
        let end = self.far_end(row.beta);
        let label = row.labels[row.anchor];
        let mut largest = T::NEG_INFINITY;
        let (mut candidates, mut capped) = (0_usize, 0_usize);
        for ((weight, &other), &distance) in weights.iter_mut().zip(row.labels).zip(row.distances) {
            // The anchor has its own label, so it is left out with its positives.
            *weight = T::NEG_INFINITY;
            if other != label && distance < end {
                *weight = self.ln_weight(distance);
                if *weight > T::NEG_INFINITY {
                    candidates += 1;
                    capped += usize::from(*weight == self.ln_cap);
                    largest = Scalar::max(*weight, largest);
                }
            }
        }
        if candidates == 0 {
            weights.fill(T::ZERO);
            return RowWeights::default();
        }
        let (mut total, mut squares) = (0.0, 0.0);
        for block in weights.chunks_mut(BLOCK) {
            let (mut sum, mut square) = (T::ZERO, T::ZERO);
            for weight in block {
                *weight = if *weight > T::NEG_INFINITY { (*weight - largest).exp() } else { T::ZERO };
                sum += *weight;
                square += *weight * *weight;
            }
            total += sum.to_f64();
            squares += square.to_f64();
        }
        RowWeights { total, effective: total * total / squares, candidates, capped }
    }
}

/// Columns whose weights are added in the weights' own precision before they join a total in double precision.
/// [`pick`](crate::draw::pick) walks the same blocks, so both see the same sums.
pub(crate) const BLOCK: usize = 32;

/// Sums over the weights of one row.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RowWeights {
    /// Sum of the weights; at least 1, or 0 without candidates.
    pub total: f64,
    /// Effective number of negatives, `(sum w)² / sum w²`: between 1 and the number of candidates.
    pub effective: f64,
    /// Negatives that can be drawn.
    pub candidates: usize,
    /// Candidates whose weight is the cap.
    pub capped: usize,
}

/// Why a weighting was refused.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum WeightingError {
    /// The dimension has no density.
    Density(DensityError),
    /// A near distance outside (0, 2), or a bound that is not finite.
    Cap(f64),
    /// A far cut that is not positive, or an active margin that is not finite.
    Far(f64),
}

impl From<DensityError> for WeightingError {
    fn from(error: DensityError) -> Self {
        Self::Density(error)
    }
}

impl fmt::Display for WeightingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Density(error) => error.fmt(f),
            Self::Cap(value) => {
                write!(f, "cap {value} is neither a distance inside (0, 2) nor a finite ln lambda")
            }
            Self::Far(value) => write!(f, "far cut {value} leaves no candidate"),
        }
    }
}

impl core::error::Error for WeightingError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(n: f64) -> Weighting<f64> {
        Weighting::new(n, Cap::Near(0.01), FarCut::None, EmptyRow::Skip).unwrap()
    }

    #[test]
    fn log_weights_are_those_of_the_specification() {
        for (d, ln) in [(0.5, 91.37), (1.0, 17.98), (1.2, 4.92), (1.4, -0.31), (1.6, 4.63), (1.9, 64.6)] {
            assert!((plain(128.0).ln_weight(d) - ln).abs() < 0.03, "d = {d}: {}", plain(128.0).ln_weight(d));
        }
    }

    #[test]
    fn the_ends_of_the_range_are_capped_and_finite() {
        for n in [3.5, 128.0, 2048.0] {
            let w = plain(n);
            assert_eq!(w.ln_weight(0.0), w.ln_cap);
            assert_eq!(w.ln_weight(2.0), w.ln_cap);
            assert_eq!(w.ln_weight(2.0 + 1e-9), w.ln_cap);
        }
        // Without a bend nothing happens at 2, with a density unbounded there the weight is 0.
        assert_eq!(plain(3.0).ln_weight(2.0), -2.0_f64.ln());
        assert_eq!(plain(2.0).ln_weight(2.0), f64::NEG_INFINITY);
    }

    #[test]
    fn a_row_at_dimension_2048_in_single_precision_keeps_its_negatives() {
        let w = Weighting::new(2048.0, Cap::Near(0.5_f32), FarCut::None, EmptyRow::Skip).unwrap();
        // A positive at distance 0.1 would outweigh everything by a thousand nats if it entered the maximum.
        let row = Row {
            anchor: 0,
            anchors: 4,
            labels: &[1, 1, 2, 3],
            distances: &[0.0, 0.1, 1.38, 1.41],
            beta: 1.2,
        };
        let mut weights = [0.0; 4];
        let sum = w.row(&row, &mut weights);
        assert_eq!(weights[..3], [0.0, 0.0, 1.0]);
        assert!(weights[3] > 0.0 && sum.total >= 1.0 && sum.candidates == 2);
    }

    #[test]
    fn parameters_that_make_no_sense_are_refused() {
        let make = |n, cap, far| Weighting::<f64>::new(n, cap, far, EmptyRow::Skip);
        assert!(matches!(make(1.0, Cap::Near(0.5), FarCut::None), Err(WeightingError::Density(_))));
        assert_eq!(make(8.0, Cap::Near(0.0), FarCut::None), Err(WeightingError::Cap(0.0)));
        assert_eq!(make(8.0, Cap::Near(2.0), FarCut::None), Err(WeightingError::Cap(2.0)));
        assert!(make(8.0, Cap::LnLambda(f64::INFINITY), FarCut::None).is_err());
        assert_eq!(make(8.0, Cap::Near(0.5), FarCut::At(-1.0)), Err(WeightingError::Far(-1.0)));
    }
}
