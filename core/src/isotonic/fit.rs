//! The fitted curve: from points in any order to blocks, and from blocks to predictions.

use alloc::vec::Vec;

use super::error::IsotonicError;
use super::jacobian;
use super::levels::{Data, Run};
use super::order::Order;

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
    /// `None` if all are 1.
    weights: Option<Vec<f64>>,
}

impl Isotonic {
    /// Fits `y` at `x`; `weights` are 1 where none are given.
    pub fn fit(
        x: &[f64],
        y: &[f64],
        weights: Option<&[f64]>,
        options: Options,
    ) -> Result<Self, IsotonicError> {
        check(x, y, weights, options)?;
        let data = Data { weights, order: Order::new(x, y, weights) };
        let fit = |increasing| (increasing, data.runs(options.risk, increasing));
        let (increasing, runs) = match options.direction {
            Direction::Increasing => fit(true),
            Direction::Decreasing => fit(false),
            Direction::Auto => {
                let (rising, falling) = (fit(true), fit(false));
                let loss = |runs: &[Run]| data.loss(runs, options.risk);
                if loss(&falling.1) < loss(&rising.1) { falling } else { rising }
            }
        };

        let mut blocks: Vec<Block> = Vec::with_capacity(runs.len());
        let mut fitted = alloc::vec![0.0; x.len()];
        let mut groups = data.order.groups();
        let mut start = 0;
        for run in &runs {
            let (mut first, mut last, mut weight) = (None, 0, 0.0);
            for group in groups.by_ref().take(run.end - start) {
                for &point in group {
                    fitted[point.index()] = run.level;
                    weight += data.weight(point);
                }
                last = group[0].index();
                first.get_or_insert(last);
            }
            let (from, to) = (x[first.unwrap_or(last)], x[last]);
            blocks.push(Block { start, from, to, weight, level: run.level });
            start = run.end;
        }
        let mut curve = Self { blocks, options, increasing, fitted, weights: weights.map(<[f64]>::to_vec) };
        for (point, &weight) in weights.unwrap_or_default().iter().enumerate() {
            if weight == 0.0 {
                curve.fitted[point] = curve.value(x[point]);
            }
        }
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

    /// The block of each input point with its weight; `None` for one without.
    pub(super) fn memberships(&self) -> impl Iterator<Item = Option<(usize, f64)>> {
        let of = move |(point, &level): (usize, &f64)| {
            let weight = self.weights.as_ref().map_or(1.0, |weights| weights[point]);
            // Levels of blocks all differ, and rise or fall.
            let before =
                |block: &Block| if self.increasing { block.level < level } else { block.level > level };
            (weight > 0.0).then(|| (self.blocks.partition_point(before), weight))
        };
        self.fitted.iter().enumerate().map(of)
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

fn check(x: &[f64], y: &[f64], weights: Option<&[f64]>, options: Options) -> Result<(), IsotonicError> {
    for (what, other) in [("y", y.len()), ("weights", weights.map_or(x.len(), <[f64]>::len))] {
        if other != x.len() {
            return Err(IsotonicError::Length { what, len: other, points: x.len() });
        }
    }
    let given = weights.unwrap_or_default();
    for (what, values) in [("x", x), ("y", y), ("weight", given)] {
        if let Some(index) = values.iter().position(|v| !v.is_finite()) {
            return Err(IsotonicError::NotFinite { what, index, value: values[index] });
        }
    }
    if let Some(index) = given.iter().position(|&w| w < 0.0) {
        return Err(IsotonicError::NegativeWeight { index, value: given[index] });
    }
    if let Risk::Quantile(tau) = options.risk
        && !(tau > 0.0 && tau < 1.0)
    {
        return Err(IsotonicError::Quantile(tau));
    }
    let none = weights.map_or(x.is_empty(), |weights| weights.iter().all(|&w| w == 0.0));
    if none { Err(IsotonicError::NoWeight) } else { Ok(()) }
}

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
    fn no_weights_are_weights_of_one() {
        let (x, y) = ([2.0, 1.0, 2.0, 4.0, 3.0], [0.5, 1.0, 3.0, 2.0, -1.0]);
        for risk in [Risk::Mean, Risk::Quantile(0.3)] {
            let fit = |weights| Isotonic::fit(&x, &y, weights, Options { risk, ..auto() }).unwrap();
            let (none, ones) = (fit(None), fit(Some(&[1.0; 5][..])));
            assert_eq!((none.blocks(), none.fitted()), (ones.blocks(), ones.fitted()));
            assert_eq!(none.jacobian_product(&y), ones.jacobian_product(&y));
        }
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
