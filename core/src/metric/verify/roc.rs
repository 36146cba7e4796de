//! The curve of all thresholds, and what is read off it.

use alloc::vec::Vec;

use super::{Judged, VerifyError};

/// A threshold, and what it does to the pairs of its curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Operating {
    /// Pairs at most this far are accepted; half way to the next distance, and `-inf` where none is accepted.
    pub threshold: f64,
    /// Share of same pairs that are accepted.
    pub tar: f64,
    /// Share of different pairs that are accepted.
    pub far: f64,
    /// Share of all pairs that are answered rightly.
    pub accuracy: f64,
}

/// On which curve the equal error rate is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Crossing {
    /// Straight lines between neighbouring points of the ROC: what most tools print.
    #[default]
    Points,
    /// The convex hull of the ROC: what the best mixture of thresholds reaches, at most the rate of the points. The
    /// blocks of isotonic regression are its edges.
    Hull,
}

/// Accepted pairs of both kinds at one threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Step {
    distance: f64,
    same: u64,
    different: u64,
}

/// The curve of all thresholds, from none accepted to all.
///
/// ```
/// use nearfar_core::metric::verify::{Crossing, Judged, Roc};
/// let pair = |distance, same| Judged { distance, same };
/// // One different pair stands between the same ones.
/// let roc = Roc::of(&[pair(0.2, true), pair(0.6, true), pair(0.4, false), pair(0.9, false)])?;
/// assert_eq!(roc.auc(), 0.75); // three of four (same, different) are in order
/// // Points (FAR, TAR): (0, 0) (0, 1/2) (1/2, 1/2) (1/2, 1) (1, 1).
/// assert_eq!(roc.eer(Crossing::Points), 0.5);
/// // The hull goes straight from (0, 1/2) to (1/2, 1) and meets FAR = 1 - TAR at 1/4.
/// assert_eq!(roc.eer(Crossing::Hull), 0.25);
/// let best = roc.best();
/// assert_eq!((best.accuracy, best.tar, best.far), (0.75, 0.5, 0.0));
/// assert!((best.threshold - 0.3).abs() < 1e-15);
/// # Ok::<(), nearfar_core::metric::verify::VerifyError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Roc {
    /// By distance, each one once; counts never fall.
    steps: Vec<Step>,
}

impl Roc {
    /// The curve of these pairs.
    ///
    /// Errors: a distance that is NaN or infinite, no same pair, no different pair.
    pub fn of(pairs: &[Judged]) -> Result<Self, VerifyError> {
        let order = sorted(pairs)?;
        let roc = Self::of_sorted(order.iter().map(|&i| pairs[i]));
        let last = roc.all();
        if last.same == 0 {
            return Err(VerifyError::NoSame);
        }
        if last.different == 0 {
            return Err(VerifyError::NoDifferent);
        }
        Ok(roc)
    }

    pub(super) fn of_sorted(pairs: impl Iterator<Item = Judged>) -> Self {
        let mut steps: Vec<Step> = Vec::new();
        for Judged { distance, same } in pairs {
            let before = steps.last().copied().unwrap_or(Step { distance, same: 0, different: 0 });
            let next = Step {
                distance,
                same: before.same + u64::from(same),
                different: before.different + u64::from(!same),
            };
            match steps.last_mut() {
                Some(last) if last.distance == distance => *last = next,
                _ => steps.push(next),
            }
        }
        Self { steps }
    }

    /// Everything accepted.
    fn all(&self) -> Step {
        self.steps.last().copied().unwrap_or(Step { distance: 0.0, same: 0, different: 0 })
    }

    /// The number of pairs of one class, and of two.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        let Step { same, different, .. } = self.all();
        (same, different)
    }

    /// Points (accepted different pairs, accepted same pairs), from (0, 0) on.
    fn points(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        [(0, 0)].into_iter().chain(self.steps.iter().map(|s| (s.different, s.same)))
    }

    /// Area under the curve: the share of (same, different) that are in order, ties by half.
    #[must_use]
    pub fn auc(&self) -> f64 {
        let Step { same, different, .. } = self.all();
        let mut twice = 0_u128;
        let mut before = (0, 0);
        for (x, y) in self.points() {
            twice += u128::from(x - before.0) * u128::from(y + before.1);
            before = (x, y);
        }
        twice as f64 / (2.0 * same as f64 * different as f64)
    }

    /// Equal error rate: FAR where it equals FRR on the curve that `crossing` names.
    ///
    /// FAR - FRR rises from -1 to 1 along the edges and stands still on none, so there is one crossing.
    #[must_use]
    pub fn eer(&self, crossing: Crossing) -> f64 {
        let Step { same, different, .. } = self.all();
        let points: Vec<(u64, u64)> = match crossing {
            Crossing::Points => self.points().collect(),
            Crossing::Hull => self.hull(),
        };
        let rates = |&(x, y): &(u64, u64)| (x as f64 / different as f64, 1.0 - y as f64 / same as f64);
        // FAR - FRR goes from -1 at the first point to 1 at the last.
        for edge in points.windows(2) {
            let ((far0, frr0), (far1, frr1)) = (rates(&edge[0]), rates(&edge[1]));
            if far1 >= frr1 {
                let (below, above) = (frr0 - far0, far1 - frr1);
                let share = below / (below + above);
                return far0 + share * (far1 - far0);
            }
        }
        1.0
    }

    /// Corners of the least concave curve above all points.
    fn hull(&self) -> Vec<(u64, u64)> {
        let mut hull: Vec<(u64, u64)> = Vec::new();
        for point in self.points() {
            while let [.., a, b] = hull[..] {
                let turn =
                    |(x, y): (u64, u64)| (i128::from(x) - i128::from(a.0), i128::from(y) - i128::from(a.1));
                let (to_b, to_point) = (turn(b), turn(point));
                // b lies on or below the line from a to the point.
                if to_b.0 * to_point.1 < to_b.1 * to_point.0 {
                    break;
                }
                hull.pop();
            }
            hull.push(point);
        }
        hull
    }

    /// The threshold after step `at` (`None`: before the first), with its rates.
    fn operating(&self, at: Option<usize>) -> Operating {
        let all = self.all();
        let (threshold, same, different) = match at {
            None => (f64::NEG_INFINITY, 0, 0),
            Some(at) => {
                let Step { distance, same, different } = self.steps[at];
                let next = self.steps.get(at + 1).map_or(distance, |next| next.distance);
                (between(distance, next), same, different)
            }
        };
        Operating {
            threshold,
            tar: same as f64 / all.same as f64,
            far: different as f64 / all.different as f64,
            accuracy: (same + all.different - different) as f64 / (all.same + all.different) as f64,
        }
    }

    /// The threshold with the most right answers; the lowest of several.
    #[must_use]
    pub fn best(&self) -> Operating {
        let (mut at, mut most) = (None, self.all().different);
        for (i, step) in self.steps.iter().enumerate() {
            let right = step.same + self.all().different - step.different;
            if right > most {
                (at, most) = (Some(i), right);
            }
        }
        self.operating(at)
    }

    /// The highest threshold whose FAR on these pairs is at most `far`; no interpolation, so its TAR was reached.
    ///
    /// With fewer than `1 / far` different pairs none of them may be accepted. Errors: `far` outside [0, 1] or NaN.
    ///
    /// ```
    /// use nearfar_core::metric::verify::{Judged, Roc};
    /// let pair = |distance, same| Judged { distance, same };
    /// let roc = Roc::of(&[pair(1.0, true), pair(2.0, false), pair(3.0, true), pair(4.0, false)])?;
    /// let strict = roc.at_far(0.1)?;
    /// assert_eq!((strict.threshold, strict.tar, strict.far), (1.5, 0.5, 0.0));
    /// assert_eq!(roc.at_far(0.5)?.tar, 1.0);
    /// # Ok::<(), nearfar_core::metric::verify::VerifyError>(())
    /// ```
    pub fn at_far(&self, far: f64) -> Result<Operating, VerifyError> {
        if !(0.0..=1.0).contains(&far) {
            return Err(VerifyError::Far(far));
        }
        let different = self.all().different as f64;
        let within = self.steps.partition_point(|step| step.different as f64 / different <= far);
        Ok(self.operating(within.checked_sub(1)))
    }

    /// What a threshold from elsewhere does to these pairs.
    #[must_use]
    pub fn at_threshold(&self, threshold: f64) -> Operating {
        let within = self.steps.partition_point(|step| step.distance <= threshold);
        Operating { threshold, ..self.operating(within.checked_sub(1)) }
    }
}

/// Half way from one distance to the next, never the next itself: that would accept its pairs.
fn between(distance: f64, next: f64) -> f64 {
    let middle = distance + 0.5 * (next - distance);
    if middle < next { middle } else { distance }
}

/// Indices of pairs by distance, or the first distance that is no number.
pub(super) fn sorted(pairs: &[Judged]) -> Result<Vec<usize>, VerifyError> {
    if let Some(index) = pairs.iter().position(|pair| !pair.distance.is_finite()) {
        return Err(VerifyError::Distance { index, value: pairs[index].distance });
    }
    let mut order: Vec<usize> = (0..pairs.len()).collect();
    // total_cmp tells -0 from 0, which are one distance: ordered next to each other, they still make one step.
    order.sort_unstable_by(|&a, &b| pairs[a].distance.total_cmp(&pairs[b].distance).then(a.cmp(&b)));
    Ok(order)
}
