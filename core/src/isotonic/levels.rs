//! The best levels of points in order, and what they cost.

use alloc::vec::Vec;

use super::Risk;
use super::order::{Order, Point};
use super::pool::push;
use super::quantile;

/// A level, and the index after the last distinct x that has it.
pub(super) struct Run {
    pub(super) end: usize,
    pub(super) level: f64,
}

/// What is fitted, by x.
pub(super) struct Data<'a> {
    pub(super) weights: Option<&'a [f64]>,
    pub(super) order: Order,
}

impl Data<'_> {
    pub(super) fn weight(&self, point: Point) -> f64 {
        self.weights.map_or(1.0, |weights| weights[point.index()])
    }

    /// The levels of the best monotone sequence, all different.
    pub(super) fn runs(&self, risk: Risk, increasing: bool) -> Vec<Run> {
        let sign = if increasing { 1.0 } else { -1.0 };
        match risk {
            Risk::Mean => self.means(sign),
            // The tau-quantile of y is minus the (1 - tau)-quantile of -y.
            Risk::Quantile(tau) => self.quantiles(if increasing { tau } else { 1.0 - tau }, sign),
        }
    }

    fn means(&self, sign: f64) -> Vec<Run> {
        // Memory is touched as far as there are blocks, mostly few.
        let count = self.order.len();
        let (mut values, mut sums, mut ends) =
            (alloc::vec![0.0; count], alloc::vec![0.0; count], alloc::vec![0; count]);
        let mut blocks = 0;
        for (at, group) in self.order.groups().enumerate() {
            let (value, weight) = self.mean(group);
            blocks = push(&mut values, &mut sums, &mut ends, blocks, (sign * value, weight, at + 1));
        }
        (0..blocks).map(|block| Run { end: ends[block], level: sign * values[block] }).collect()
    }

    /// Weighted mean and weight of the points of one x.
    fn mean(&self, group: &[Point]) -> (f64, f64) {
        if let &[only] = group {
            return (only.y, self.weight(only));
        }
        let weight = group.iter().map(|&point| self.weight(point)).sum::<f64>();
        (group.iter().map(|&point| point.y * (self.weight(point) / weight)).sum(), weight)
    }

    fn quantiles(&self, tau: f64, sign: f64) -> Vec<Run> {
        let group = |points: &[Point]| -> Vec<(f64, f64)> {
            points.iter().map(|&point| (sign * point.y, self.weight(point))).collect()
        };
        let groups: Vec<Vec<(f64, f64)>> = self.order.groups().map(group).collect();
        let mut runs: Vec<Run> = Vec::new();
        for (at, level) in quantile::fit(&groups, tau).into_iter().enumerate() {
            match runs.last_mut() {
                Some(run) if run.level == sign * level => run.end = at + 1,
                _ => runs.push(Run { end: at + 1, level: sign * level }),
            }
        }
        runs
    }

    /// The loss that the fit minimises.
    pub(super) fn loss(&self, runs: &[Run], risk: Risk) -> f64 {
        let mut run = 0;
        let mut sum = 0.0;
        for (at, group) in self.order.groups().enumerate() {
            run += usize::from(at == runs[run].end);
            for &point in group {
                let off = point.y - runs[run].level;
                sum += self.weight(point)
                    * match risk {
                        Risk::Mean => off * off,
                        Risk::Quantile(tau) if off > 0.0 => tau * off,
                        Risk::Quantile(tau) => (tau - 1.0) * off,
                    };
            }
        }
        sum
    }
}
