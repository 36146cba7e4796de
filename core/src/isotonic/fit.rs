//! The fitted curve: from points in any order to blocks, and from blocks to predictions.

use alloc::vec::Vec;
use core::fmt;

use super::{jacobian, pool, quantile};

/// Which way levels go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// They never fall.
    #[default]
    Increasing,
    /// They never rise.
    Decreasing,
    /// The way whose fit has the smaller loss; increasing if both are alike.
    Auto,
}

/// What a query beyond the data gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outside {
    /// The nearest level.
    #[default]
    Clip,
    /// [`IsotonicError::Outside`].
    Error,
    /// NaN.
    Nan,
}

/// What a query between two blocks gets. Inside a block the curve is flat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Between {
    /// A point on the straight line between them.
    #[default]
    Linear,
    /// The level of the left block.
    Step,
}

/// What is fitted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Risk {
    /// The mean: weighted least squares.
    #[default]
    Mean,
    /// A quantile, within (0, 1); 1/2 is least absolute deviations.
    Quantile(f64),
}

/// How to fit, and how to predict.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Options {
    /// Which way levels go.
    pub direction: Direction,
    /// Queries beyond the data.
    pub outside: Outside,
    /// Queries between two blocks.
    pub between: Between,
    /// What is fitted.
    pub risk: Risk,
}

/// A run of points with one level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Block {
    /// Index of its first point among the distinct x that have weight, sorted.
    pub start: usize,
    /// Its first x.
    pub from: f64,
    /// Its last x.
    pub to: f64,
    /// Sum of its weights.
    pub weight: f64,
    /// Its level.
    pub level: f64,
}

/// A monotone curve fitted to points.
///
/// Minimises `sum w (y - f(x))²` (or the tilted absolute loss of [`Risk::Quantile`]) among monotone f. Points with
/// equal x share a level; points without weight are left out. O(n log n) for the sort, O(n) after it.
///
/// ```
/// use nearfar_core::isotonic::{Isotonic, Options};
/// let curve = Isotonic::fit(&[3.0, 1.0, 2.0, 4.0], &[2.0, 1.0, 3.0, 4.0], None, Options::default())?;
/// assert_eq!(curve.fitted(), [2.5, 1.0, 2.5, 4.0]);
/// assert_eq!(curve.predict(1.5)?, 1.75); // half way from 1 to 2.5
/// assert_eq!(curve.predict(9.0)?, 4.0);
/// assert_eq!(curve.blocks().len(), 3);
/// # Ok::<(), nearfar_core::isotonic::IsotonicError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Isotonic {
    pub(super) blocks: Vec<Block>,
    options: Options,
    increasing: bool,
    fitted: Vec<f64>,
    /// Block of each input point; `None` without weight.
    pub(super) block_of: Vec<Option<u32>>,
    pub(super) weights: Vec<f64>,
}

impl Isotonic {
    /// Fits `y` at `x`; `weights` are 1 where none are given.
    pub fn fit(
        x: &[f64],
        y: &[f64],
        weights: Option<&[f64]>,
        options: Options,
    ) -> Result<Self, IsotonicError> {
        let weights = weights.map_or_else(|| alloc::vec![1.0; x.len()], <[f64]>::to_vec);
        check(x, y, &weights, options)?;
        let mut order: Vec<usize> = (0..x.len()).filter(|&i| weights[i] > 0.0).collect();
        // By y within ties: the sums of a tie then do not depend on the order of the input.
        order.sort_unstable_by(|&a, &b| x[a].total_cmp(&x[b]).then(y[a].total_cmp(&y[b])).then(a.cmp(&b)));
        let groups: Vec<&[usize]> = order.chunk_by(|&a, &b| x[a] == x[b]).collect();

        let sides = match options.direction {
            Direction::Increasing => &[true][..],
            Direction::Decreasing => &[false],
            Direction::Auto => &[true, false],
        };
        let mut best: Option<(f64, bool, Vec<f64>)> = None;
        for &increasing in sides {
            let levels = levels(&groups, y, &weights, options.risk, increasing);
            let loss = loss(&groups, &levels, y, &weights, options.risk);
            if best.as_ref().is_none_or(|(least, ..)| loss < *least) {
                best = Some((loss, increasing, levels));
            }
        }
        let Some((_, increasing, levels)) = best else { return Err(IsotonicError::NoWeight) };

        let mut blocks: Vec<Block> = Vec::new();
        let mut block_of = alloc::vec![None; x.len()];
        for (at, (group, &level)) in groups.iter().zip(&levels).enumerate() {
            let (place, weight) = (x[group[0]], group.iter().map(|&i| weights[i]).sum::<f64>());
            match blocks.last_mut() {
                Some(block) if block.level == level => {
                    block.to = place;
                    block.weight += weight;
                }
                _ => blocks.push(Block { start: at, from: place, to: place, weight, level }),
            }
            group.iter().for_each(|&i| block_of[i] = Some(blocks.len() as u32 - 1));
        }
        let mut curve = Self { blocks, options, increasing, fitted: Vec::new(), block_of, weights };
        curve.fitted = x
            .iter()
            .zip(&curve.block_of)
            .map(|(&x, block)| {
                block.map_or_else(|| curve.value(x), |block| curve.blocks[block as usize].level)
            })
            .collect();
        Ok(curve)
    }

    /// Runs of one level, by x.
    #[must_use]
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Whether levels rise; what [`Direction::Auto`] chose.
    #[must_use]
    pub const fn is_increasing(&self) -> bool {
        self.increasing
    }

    /// The curve at each input point, in the order of the input; at one without weight, clipped.
    #[must_use]
    pub fn fitted(&self) -> &[f64] {
        &self.fitted
    }

    /// The curve at `x`. Errors: NaN, and a query beyond the data under [`Outside::Error`].
    pub fn predict(&self, x: f64) -> Result<f64, IsotonicError> {
        if x.is_nan() {
            return Err(IsotonicError::NotFinite { what: "query", index: 0, value: x });
        }
        let (first, last) = (self.blocks[0].from, self.blocks[self.blocks.len() - 1].to);
        if first <= x && x <= last {
            return Ok(self.value(x));
        }
        match self.options.outside {
            Outside::Clip => Ok(self.value(x)),
            Outside::Nan => Ok(f64::NAN),
            Outside::Error => Err(IsotonicError::Outside { x, first, last }),
        }
    }

    /// The curve at `x`, clipped.
    fn value(&self, x: f64) -> f64 {
        let next = self.blocks.partition_point(|block| block.from <= x);
        let Some(left) = next.checked_sub(1).map(|i| self.blocks[i]) else { return self.blocks[0].level };
        let Some(&right) = self.blocks.get(next) else { return left.level };
        if x <= left.to || self.options.between == Between::Step {
            return left.level;
        }
        left.level + (right.level - left.level) * ((x - left.to) / (right.from - left.to))
    }

    /// Derivative of every fitted value to the data along `dy`: the weighted mean of `dy` over the value's block, 0
    /// at points without weight. Only for [`Risk::Mean`], whose fit is smooth off the changes of blocks.
    ///
    /// ```
    /// use nearfar_core::isotonic::{Isotonic, Options};
    /// let curve = Isotonic::fit(&[1.0, 2.0, 3.0], &[1.0, 3.0, 2.0], None, Options::default())?;
    /// assert_eq!(curve.jacobian_product(&[1.0, 1.0, 0.0]), [1.0, 0.5, 0.5]);
    /// assert_eq!(curve.transposed_jacobian_product(&[0.0, 1.0, 0.0]), [0.0, 0.5, 0.5]);
    /// # Ok::<(), nearfar_core::isotonic::IsotonicError>(())
    /// ```
    #[must_use]
    pub fn jacobian_product(&self, dy: &[f64]) -> Vec<f64> {
        jacobian::forward(self, dy)
    }

    /// Gradient to the data of `sum g · fitted`: see [`jacobian_product`](Self::jacobian_product).
    #[must_use]
    pub fn transposed_jacobian_product(&self, g: &[f64]) -> Vec<f64> {
        jacobian::backward(self, g)
    }
}

/// Level of each group of equal x.
fn levels(groups: &[&[usize]], y: &[f64], weights: &[f64], risk: Risk, increasing: bool) -> Vec<f64> {
    let sign = if increasing { 1.0 } else { -1.0 };
    let mut levels = match risk {
        Risk::Mean => {
            let mut sums: Vec<f64> = groups.iter().map(|g| g.iter().map(|&i| weights[i]).sum()).collect();
            let mut values: Vec<f64> = groups
                .iter()
                .zip(&sums)
                .map(|(g, sum)| sign * g.iter().map(|&i| y[i] * (weights[i] / sum)).sum::<f64>())
                .collect();
            let mut ends = alloc::vec![0; groups.len()];
            let blocks = pool(&mut values, &mut sums, &mut ends);
            let mut levels = Vec::with_capacity(groups.len());
            for block in 0..blocks {
                levels.resize(ends[block], values[block]);
            }
            levels
        }
        // The tau-quantile of y is minus the (1 - tau)-quantile of -y.
        Risk::Quantile(tau) => {
            let points: Vec<Vec<(f64, f64)>> =
                groups.iter().map(|g| g.iter().map(|&i| (sign * y[i], weights[i])).collect()).collect();
            quantile::fit(&points, if increasing { tau } else { 1.0 - tau })
        }
    };
    levels.iter_mut().for_each(|level| *level *= sign);
    levels
}

/// The loss that the fit minimises.
fn loss(groups: &[&[usize]], levels: &[f64], y: &[f64], weights: &[f64], risk: Risk) -> f64 {
    let term = |i: usize, level: f64| {
        let off = y[i] - level;
        weights[i]
            * match risk {
                Risk::Mean => off * off,
                Risk::Quantile(tau) if off > 0.0 => tau * off,
                Risk::Quantile(tau) => (tau - 1.0) * off,
            }
    };
    groups.iter().zip(levels).map(|(group, &level)| group.iter().map(|&i| term(i, level)).sum::<f64>()).sum()
}

fn check(x: &[f64], y: &[f64], weights: &[f64], options: Options) -> Result<(), IsotonicError> {
    for (what, other) in [("y", y.len()), ("weights", weights.len())] {
        if other != x.len() {
            return Err(IsotonicError::Length { what, len: other, points: x.len() });
        }
    }
    for (what, values) in [("x", x), ("y", y), ("weight", weights)] {
        if let Some(index) = values.iter().position(|v| !v.is_finite()) {
            return Err(IsotonicError::NotFinite { what, index, value: values[index] });
        }
    }
    if let Some(index) = weights.iter().position(|&w| w < 0.0) {
        return Err(IsotonicError::NegativeWeight { index, value: weights[index] });
    }
    if let Risk::Quantile(tau) = options.risk
        && !(tau > 0.0 && tau < 1.0)
    {
        return Err(IsotonicError::Quantile(tau));
    }
    if weights.iter().all(|&w| w == 0.0) { Err(IsotonicError::NoWeight) } else { Ok(()) }
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn auto() -> Options {
        Options { direction: Direction::Auto, ..Options::default() }
    }

    #[test]
    fn falling_data_are_fitted_falling() {
        let curve = Isotonic::fit(&[1.0, 2.0, 3.0], &[3.0, 1.0, 2.0], None, auto()).unwrap();
        assert!(!curve.is_increasing());
        assert_eq!(curve.fitted(), [3.0, 1.5, 1.5]);
    }

    #[test]
    fn points_without_weight_change_nothing() {
        let (x, y) = ([1.0, 2.0, 3.0], [1.0, 100.0, 3.0]);
        let curve = Isotonic::fit(&x, &y, Some(&[1.0, 0.0, 1.0]), Options::default()).unwrap();
        assert_eq!(curve.fitted(), [1.0, 2.0, 3.0]);
        assert_eq!(curve.blocks().len(), 2);
    }

    #[test]
    fn mistakes_are_named_with_place_and_value() {
        let fit =
            |x: &[f64], y: &[f64], w: &[f64]| Isotonic::fit(x, y, Some(w), Options::default()).unwrap_err();
        assert_eq!(fit(&[1.0], &[1.0], &[-2.0]), IsotonicError::NegativeWeight { index: 0, value: -2.0 });
        assert_eq!(fit(&[1.0], &[1.0], &[0.0]), IsotonicError::NoWeight);
        assert_eq!(fit(&[], &[], &[]), IsotonicError::NoWeight);
        assert_eq!(fit(&[1.0], &[1.0, 2.0], &[1.0]), IsotonicError::Length { what: "y", len: 2, points: 1 });
        assert!(matches!(
            fit(&[1.0, f64::NAN], &[1.0; 2], &[1.0; 2]),
            IsotonicError::NotFinite { index: 1, .. }
        ));
    }

    #[test]
    fn queries_beyond_the_data_follow_their_policy() {
        let fit = |outside| {
            Isotonic::fit(&[1.0, 2.0], &[1.0, 2.0], None, Options { outside, ..Options::default() }).unwrap()
        };
        assert_eq!(fit(Outside::Clip).predict(0.0), Ok(1.0));
        assert!(fit(Outside::Nan).predict(3.0).unwrap().is_nan());
        assert_eq!(
            fit(Outside::Error).predict(3.0),
            Err(IsotonicError::Outside { x: 3.0, first: 1.0, last: 2.0 })
        );
    }

    #[test]
    fn a_step_keeps_the_left_level() {
        let options = Options { between: Between::Step, ..Options::default() };
        let curve = Isotonic::fit(&[1.0, 2.0], &[1.0, 2.0], None, options).unwrap();
        assert_eq!((curve.predict(1.99), curve.predict(2.0)), (Ok(1.0), Ok(2.0)));
    }

    proptest! {
        #[test]
        fn the_order_of_points_does_not_matter(
            points in prop::collection::vec((0..6_i32, -5.0..5.0_f64, 0.0..3.0_f64), 2..40),
            turn in 0..40_usize,
        ) {
            let fit = |points: &[(i32, f64, f64)]| {
                let x: Vec<f64> = points.iter().map(|p| f64::from(p.0)).collect();
                let y: Vec<f64> = points.iter().map(|p| p.1).collect();
                let w: Vec<f64> = points.iter().map(|p| p.2 + 0.1).collect();
                Isotonic::fit(&x, &y, Some(&w), Options::default()).unwrap()
            };
            let mut turned = points.clone();
            let turn = turn % points.len();
            turned.rotate_left(turn);
            let (one, other) = (fit(&points), fit(&turned));
            prop_assert_eq!(one.blocks(), other.blocks());
        }
    }
}
