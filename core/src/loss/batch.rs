//! From the terms of a batch to one number and its gradient to the embeddings.
//!
//! Two walks: over drawn tuples, whose few distances are taken from differences, and over rows, for what takes all
//! negatives. Neither keeps an array of N x N numbers \[R9\].

use alloc::vec::Vec;

use super::{Loss, LossReport, Objective, Reduction};
use crate::Scalar;
use crate::batch::{Embeddings, Row};
use crate::distance::{distance, dot};
use crate::sample::Draw;

/// What the terms met so far come to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Terms {
    pub(crate) value: f64,
    pub(crate) active: f64,
    pub(crate) terms: f64,
    /// Derivative to the boundary of the anchor.
    pub(crate) d_beta: f64,
    /// Tuples of the anchor: what the boundary penalty counts.
    pub(crate) tuples: f64,
}

impl Terms {
    pub(crate) fn add(&mut self, weight: f64, value: impl Scalar) {
        let value = value.to_f64();
        self.value += weight * value;
        self.terms += weight;
        if value > 0.0 {
            self.active += weight;
        }
    }

    fn plus(&mut self, other: Self) {
        self.value += other.value;
        self.active += other.active;
        self.terms += other.terms;
    }

    /// Adds `nu` times the boundary of each anchor for each of its tuples; nothing if no term is active \[R10\].
    fn penalize<T: Scalar>(
        &mut self,
        nu: T,
        betas: &[T],
        dbetas: &mut [T],
        tuples: impl Iterator<Item = (usize, f64)>,
    ) {
        if self.active == 0.0 || nu == T::ZERO {
            return;
        }
        for (anchor, count) in tuples {
            self.value += count * nu.to_f64() * betas[anchor].to_f64();
            dbetas[anchor] += nu * T::from_f64(count);
        }
    }

    /// The reduced value, and the factor of all gradients; `None` where no term is active: they are 0.
    fn reduce<T: Scalar>(&self, reduction: Reduction) -> (LossReport, Option<T>) {
        let &Self { value, active, terms, .. } = self;
        if active == 0.0 {
            return (LossReport { loss: 0.0, active, terms }, None);
        }
        let divisor = match reduction {
            Reduction::MeanActive => active,
            Reduction::Mean => terms,
            Reduction::Sum => 1.0,
        };
        (LossReport { loss: value / divisor, active, terms }, Some(T::from_f64(1.0 / divisor)))
    }
}

/// `1/d`, and 0 at `d = 0`: the subgradient of the distance.
pub(crate) fn inverse_or_zero<T: Scalar>(distance: T) -> T {
    if distance > T::ZERO { T::ONE / distance } else { T::ZERO }
}

/// How a pair of embeddings pulls on each other: `dx_i += same x_i + cross x_j`, and the same with i and j swapped.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pull<T> {
    same: T,
    cross: T,
}

impl<T: Scalar> Pull<T> {
    fn add(&mut self, other: Self) {
        self.same += other.same;
        self.cross += other.cross;
    }

    /// Of a derivative to the distance: `∂d/∂x_i = (x_i - x_j)/d`, 0 at d = 0 \[R11\].
    fn of_distance(d_distance: T, distance: T) -> Self {
        let share = d_distance * inverse_or_zero(distance);
        Self { same: share, cross: -share }
    }

    /// Of a derivative to the inner product.
    fn of_product(d_product: T) -> Self {
        Self { same: T::ZERO, cross: d_product }
    }
}

/// Where the walk over tuples gets distances, and what becomes of its pulls.
pub(crate) trait Pairs<T> {
    /// The distance of a pair. Pairs are asked for in the order of [`tuple_pairs`].
    fn distance(&mut self, i: usize, j: usize) -> T;
    /// `share (x_i - x_j)` is to be added to the gradient of i and subtracted from that of j.
    fn pull(&mut self, i: usize, j: usize, share: T);
}

/// Pairs of a batch, one after another: the gradient grows at once. Only the batch has one: the first rows, as many as
/// `dx` has.
pub(crate) struct Sequential<'a, T> {
    pub(crate) x: Embeddings<'a, T>,
    pub(crate) dx: &'a mut [T],
}

impl<T: Scalar> Pairs<T> for Sequential<'_, T> {
    fn distance(&mut self, i: usize, j: usize) -> T {
        distance(self.x.row(i), self.x.row(j))
    }

    fn pull(&mut self, i: usize, j: usize, share: T) {
        let dim = self.x.dim();
        let anchors = self.dx.len() / dim;
        for k in 0..dim {
            let force = share * (self.x.row(i)[k] - self.x.row(j)[k]);
            if i < anchors {
                self.dx[i * dim + k] += force;
            }
            if j < anchors {
                self.dx[j * dim + k] -= force;
            }
        }
    }
}

/// Value of drawn tuples, in order, and the factor of the gradient that `pairs` has gathered; `None` where it is 0.
pub(crate) fn tuple_loss<T: Scalar>(
    objective: &Objective<T>,
    draws: &[Draw<T>],
    betas: &[T],
    dbetas: &mut [T],
    pairs: &mut impl Pairs<T>,
) -> (LossReport, Option<T>) {
    dbetas.fill(T::ZERO);
    let mut total = Terms::default();
    for draw in draws {
        let [a, p, n] =
            [draw.triplet.anchor, draw.triplet.positive, draw.triplet.negative].map(|i| i as usize);
        let (near, far) = (pairs.distance(a, p), pairs.distance(a, n));
        match objective.loss {
            Loss::Contrastive(loss) => {
                for (j, d, same) in [(p, near, true), (n, far, false)] {
                    let pair = loss.pair(d, same);
                    total.add(1.0, pair.value);
                    pull(pairs, a, j, d, pair.d_distance);
                }
            }
            Loss::Margin(loss) => {
                for (j, d, same) in [(p, near, true), (n, far, false)] {
                    let pair = loss.pair(d, betas[a], same);
                    total.add(1.0, pair.value);
                    pull(pairs, a, j, d, pair.d_distance);
                    dbetas[a] += pair.d_beta;
                }
            }
            Loss::Triplet(loss) => {
                let grad = loss.triplet(near, far);
                total.add(1.0, grad.value);
                pull(pairs, a, p, near, grad.d_near);
                pull(pairs, a, n, far, grad.d_far);
            }
            Loss::Quadruplet(loss) => {
                let grad = loss.first().triplet(near, far);
                total.add(1.0, grad.value);
                pull(pairs, a, p, near, grad.d_near);
                pull(pairs, a, n, far, grad.d_far);
                if let Some(m) = draw.second.map(|m| m as usize) {
                    let apart = pairs.distance(n, m);
                    let grad = loss.second().triplet(near, apart);
                    total.add(1.0, grad.value);
                    pull(pairs, a, p, near, grad.d_near);
                    pull(pairs, n, m, apart, grad.d_far);
                }
            }
            Loss::NPair(_) | Loss::Lifted(_) | Loss::MultiSimilarity(_) => {
                unreachable!("an objective refuses drawn tuples for losses that take all negatives")
            }
        }
    }
    if let Loss::Margin(loss) = objective.loss {
        let anchors = draws.iter().map(|draw| (draw.triplet.anchor as usize, 1.0));
        total.penalize(loss.nu(), betas, dbetas, anchors);
    }
    let (report, scale) = total.reduce(objective.reduction);
    scale_by(scale, dbetas);
    (report, scale)
}

/// Adds what `d_distance` means for both ends of a pair at `distance`.
fn pull<T: Scalar>(pairs: &mut impl Pairs<T>, i: usize, j: usize, distance: T, d_distance: T) {
    let share = d_distance * inverse_or_zero(distance);
    if share != T::ZERO {
        pairs.pull(i, j, share);
    }
}

/// The walk over the rows of a batch, and the gradient that grows on it: that of the batch alone, as many rows as `dx`
/// has.
pub(crate) struct Walk<'a, T> {
    x: Embeddings<'a, T>,
    dx: &'a mut [T],
    /// Of each anchor so far.
    pub(crate) terms: Vec<Terms>,
}

impl<'a, T: Scalar> Walk<'a, T> {
    pub(crate) fn new(x: Embeddings<'a, T>, dx: &'a mut [T]) -> Self {
        dx.fill(T::ZERO);
        let terms = Vec::with_capacity(dx.len() / x.dim());
        Self { x, dx, terms }
    }

    /// Adds the terms of the next rows: what [`row_terms`] gave, in order.
    pub(crate) fn rows(&mut self, rows: Vec<(Terms, Vec<Pull<T>>)>) {
        let dim = self.x.dim();
        for (terms, pulls) in rows {
            let anchor = self.terms.len();
            self.terms.push(terms);
            let x_anchor = self.x.row(anchor);
            for (j, Pull { same, cross }) in pulls.into_iter().enumerate() {
                if same == T::ZERO && cross == T::ZERO {
                    continue;
                }
                let x_other = self.x.row(j);
                let own = &mut self.dx[anchor * dim..][..dim];
                for k in 0..dim {
                    own[k] += same * x_anchor[k] + cross * x_other[k];
                }
                if let Some(theirs) = self.dx.get_mut(j * dim..(j + 1) * dim) {
                    for k in 0..dim {
                        theirs[k] += same * x_other[k] + cross * x_anchor[k];
                    }
                }
            }
        }
    }
}

/// Value and gradients of a batch from the terms of its anchors and the gradient `dx` of their sum: the boundary
/// penalty joins, and all is divided by what the reduction says.
pub(crate) fn finish<T: Scalar>(
    objective: &Objective<T>,
    terms: &[Terms],
    betas: &[T],
    dx: &mut [T],
    dbetas: &mut [T],
) -> LossReport {
    let mut total = Terms::default();
    for (dbeta, terms) in dbetas.iter_mut().zip(terms) {
        *dbeta = T::from_f64(terms.d_beta);
        total.plus(*terms);
    }
    if let Loss::Margin(loss) = objective.loss {
        let tuples = terms.iter().map(|terms| terms.tuples).enumerate();
        total.penalize(loss.nu(), betas, dbetas, tuples);
    }
    let (report, scale) = total.reduce(objective.reduction);
    scale_by(scale, dx);
    scale_by(scale, dbetas);
    report
}

/// Multiplies all numbers, or makes them 0 where there is no factor.
pub(crate) fn scale_by<T: Scalar>(scale: Option<T>, numbers: &mut [T]) {
    match scale {
        Some(scale) => numbers.iter_mut().for_each(|number| *number *= scale),
        None => numbers.fill(T::ZERO),
    }
}

/// What a row must know of the other rows, if its loss is one that looks at them: the lifted structure's sum over its
/// negatives.
pub(crate) fn row_sum<T: Scalar>(objective: &Objective<T>) -> Option<impl Fn(&Row<'_, T>) -> T + use<T>> {
    let Loss::Lifted(loss) = objective.loss else { return None };
    Some(move |row: &Row<'_, T>| loss.ln_sum(row.negatives().map(|j| row.distances[j])))
}

/// Terms of one anchor with all its positives and negatives, and its pull on every sample.
///
/// `sums` holds [`row_sum`] of every anchor, and nothing where the loss has none.
pub(crate) fn row_terms<T: Scalar>(
    objective: &Objective<T>,
    x: Embeddings<'_, T>,
    row: &Row<'_, T>,
    sums: &[T],
) -> (Terms, Vec<Pull<T>>) {
    let mut terms = Terms::default();
    let mut pulls = alloc::vec![Pull::default(); row.labels.len()];
    let positives = row.positives().count();
    let mut weights = alloc::vec![T::ZERO; row.labels.len()];
    // Weight of a negative pair, beside weight 1 of each positive pair or triplet's positive.
    let (mut pair_scale, mut triplet_scale) = (1.0, 1.0);
    if !objective.loss.takes_all() {
        let total = objective.sampler.row_weights(row, &mut weights);
        if objective.sampler.weighting().is_some() {
            if positives == 0 || total == 0.0 {
                return (terms, pulls);
            }
            (pair_scale, triplet_scale) = (positives as f64 / total, 1.0 / total);
        }
    }
    let weight = |j: usize, scale: f64| scale * weights[j].to_f64();
    let cosine = |j: usize| dot(x.row(row.anchor), x.row(j));
    match objective.loss {
        Loss::Contrastive(loss) => {
            let pairs = row.positives().map(|p| (p, 1.0, true));
            for (j, weight, same) in pairs.chain(row.negatives().map(|n| (n, weight(n, pair_scale), false))) {
                let pair = loss.pair(row.distances[j], same);
                terms.add(weight, pair.value);
                pulls[j] = Pull::of_distance(T::from_f64(weight) * pair.d_distance, row.distances[j]);
            }
        }
        Loss::Margin(loss) => {
            let pairs = row.positives().map(|p| (p, 1.0, true));
            for (j, weight, same) in pairs.chain(row.negatives().map(|n| (n, weight(n, pair_scale), false))) {
                let pair = loss.pair(row.distances[j], row.beta, same);
                terms.add(weight, pair.value);
                terms.d_beta += weight * pair.d_beta.to_f64();
                pulls[j] = Pull::of_distance(T::from_f64(weight) * pair.d_distance, row.distances[j]);
            }
            terms.tuples = positives as f64;
        }
        Loss::Triplet(loss) => {
            for p in row.positives() {
                let near = row.distances[p];
                for n in row.negatives().filter(|&n| weights[n] > T::ZERO) {
                    let weight = weight(n, triplet_scale);
                    let grad = loss.triplet(near, row.distances[n]);
                    terms.add(weight, grad.value);
                    let weight = T::from_f64(weight);
                    pulls[p].add(Pull::of_distance(weight * grad.d_near, near));
                    pulls[n].add(Pull::of_distance(weight * grad.d_far, row.distances[n]));
                }
            }
        }
        Loss::NPair(loss) => {
            let sum = loss.ln_sum(row.negatives().map(cosine));
            let mut all = T::ZERO;
            for p in row.positives() {
                let (value, d_positive) = loss.pair(cosine(p), sum);
                terms.add(1.0, value);
                pulls[p] = Pull::of_product(d_positive);
                all += d_positive;
            }
            for n in row.negatives() {
                pulls[n] = Pull::of_product(-all * loss.share(cosine(n), sum));
            }
        }
        Loss::Lifted(loss) => {
            let own = sums[row.anchor];
            // Of every pair that this row is one end of: its slope times this side's share in the pair's sum.
            let mut side = T::ZERO;
            for p in row.positives() {
                let (value, slope) = loss.pair(row.distances[p], own, sums[p]);
                let both = super::row::ln_sum_exp([own, sums[p]].into_iter());
                if own > T::NEG_INFINITY {
                    side += slope * (own - both).exp();
                }
                // The pair is one term, of the row that comes first.
                if row.anchor < p {
                    terms.add(1.0, value);
                    pulls[p] = Pull::of_distance(slope, row.distances[p]);
                }
            }
            for n in row.negatives() {
                let d = row.distances[n];
                pulls[n] = Pull::of_distance(-side * loss.share(d, own), d);
            }
        }
        Loss::MultiSimilarity(loss) => {
            let [near, far] = loss.sides(row.positives().map(cosine), row.negatives().map(cosine));
            terms.add(1.0, loss.value(near, far));
            for p in row.positives() {
                pulls[p] = Pull::of_product(loss.d_positive(cosine(p), near));
            }
            for n in row.negatives() {
                pulls[n] = Pull::of_product(loss.d_negative(cosine(n), far));
            }
        }
        Loss::Quadruplet(_) => unreachable!("an objective refuses the quadruplet loss without drawn tuples"),
    }
    (terms, pulls)
}
