//! Losses of a batch and of a memory behind it, term by term as their definitions say, in double precision.
//!
//! The first `anchors` rows are the batch: anchors and positives. Every row of another class is a negative, wherever it
//! is. Nothing is reduced here: a term is its weight and its value.

use crate::oracle::distance;

/// The numbers of the losses, the same for all.
pub const ALPHA: f64 = 0.9;
/// Second margin of the quadruplet loss.
pub const ALPHA2: f64 = 0.7;
/// Scale of the N-pair loss.
pub const SCALE: f64 = 6.0;
/// Sharpness of multi-similarity for positives and for negatives, and where it turns.
pub const SIMILARITY: [f64; 3] = [2.0, 12.0, 0.4];

/// A batch, and what it remembers.
#[derive(Clone, Debug)]
pub struct Seen<'a> {
    /// Rows, `[count, dim]`.
    pub x: &'a [f64],
    /// Numbers in a row.
    pub dim: usize,
    /// Class of each row.
    pub labels: &'a [u32],
    /// Boundary of each anchor; as many as the batch has rows.
    pub betas: &'a [f64],
}

/// A term: its weight and its value.
pub type Term = (f64, f64);

impl Seen<'_> {
    fn row(&self, i: usize) -> &[f64] {
        &self.x[i * self.dim..][..self.dim]
    }

    fn d(&self, i: usize, j: usize) -> f64 {
        distance(self.row(i), self.row(j))
    }

    fn c(&self, i: usize, j: usize) -> f64 {
        self.row(i).iter().zip(self.row(j)).map(|(a, b)| a * b).sum()
    }

    fn positives(&self, a: usize) -> Vec<usize> {
        (0..self.betas.len()).filter(|&p| p != a && self.labels[p] == self.labels[a]).collect()
    }

    fn negatives(&self, a: usize) -> Vec<usize> {
        (0..self.labels.len()).filter(|&n| self.labels[n] != self.labels[a]).collect()
    }

    /// Value of the pair (a, j) in the loss `name`.
    fn pair(&self, name: &str, a: usize, j: usize) -> f64 {
        let (d, same) = (self.d(a, j), self.labels[a] == self.labels[j]);
        match (name, same) {
            ("contrastive", true) => d * d,
            ("contrastive", false) => (ALPHA - d).max(0.0).powi(2),
            ("margin", true) => (ALPHA + d - self.betas[a]).max(0.0),
            ("margin", false) => (ALPHA - d + self.betas[a]).max(0.0),
            _ => panic!("{name} is no loss of pairs"),
        }
    }

    fn triplet(&self, name: &str, near: f64, far: f64, alpha: f64) -> f64 {
        if name == "triplet-l2" {
            (near - far + alpha).max(0.0)
        } else {
            (near * near - far * far + alpha).max(0.0)
        }
    }

    /// Terms of drawn tuples: anchor, positive, negative, and a sample of a third class.
    #[must_use]
    pub fn of_tuples(&self, name: &str, tuples: &[[usize; 4]]) -> Vec<Term> {
        let mut terms = Vec::new();
        for &[a, p, n, m] in tuples {
            match name {
                "contrastive" | "margin" => terms.extend([p, n].map(|j| (1.0, self.pair(name, a, j)))),
                "triplet" | "triplet-l2" => {
                    terms.push((1.0, self.triplet(name, self.d(a, p), self.d(a, n), ALPHA)));
                }
                "quadruplet" => {
                    terms.push((1.0, self.triplet(name, self.d(a, p), self.d(a, n), ALPHA)));
                    terms.push((1.0, self.triplet(name, self.d(a, p), self.d(n, m), ALPHA2)));
                }
                _ => panic!("{name} is no loss of tuples"),
            }
        }
        terms
    }

    /// Terms of whole rows. `law` gives the probabilities of an anchor's negatives, or nothing where each counts as one;
    /// an anchor whose law is all zero, or without positives under a law, has no term.
    #[must_use]
    pub fn of_rows(&self, name: &str, law: Option<&[Vec<f64>]>) -> Vec<Term> {
        let mut terms = Vec::new();
        for a in 0..self.betas.len() {
            let (positives, negatives) = (self.positives(a), self.negatives(a));
            let known = law.is_none_or(|law| law[a].iter().sum::<f64>() > 0.5 && !positives.is_empty());
            let share = |n: usize| law.map_or(1.0, |law| law[a][n]);
            let exponentials = |exponent: &dyn Fn(usize) -> f64, of: &[usize]| -> f64 {
                of.iter().map(|&j| exponent(j).exp()).sum()
            };
            match name {
                "contrastive" | "margin" if known => {
                    terms.extend(positives.iter().map(|&p| (1.0, self.pair(name, a, p))));
                    // All negatives of an anchor together weigh as much as its positives, under a law.
                    let all = law.map_or(1.0, |_| positives.len() as f64);
                    terms.extend(negatives.iter().map(|&n| (all * share(n), self.pair(name, a, n))));
                }
                "triplet" | "triplet-l2" if known => {
                    for (&p, &n) in positives.iter().flat_map(|p| negatives.iter().map(move |n| (p, n))) {
                        terms.push((share(n), self.triplet(name, self.d(a, p), self.d(a, n), ALPHA)));
                    }
                }
                "npair" => {
                    for &p in &positives {
                        let sum = exponentials(&|n| SCALE * (self.c(a, n) - self.c(a, p)), &negatives);
                        terms.push((1.0, (1.0 + sum).ln()));
                    }
                }
                "lifted" => {
                    for &p in positives.iter().filter(|&&p| a < p) {
                        let side = |i: usize| exponentials(&|n| ALPHA - self.d(i, n), &self.negatives(i));
                        let j = ((side(a) + side(p)).ln() + self.d(a, p)).max(0.0);
                        terms.push((1.0, 0.5 * j * j));
                    }
                }
                "multi-similarity" => {
                    let [alpha, beta, lambda] = SIMILARITY;
                    let near = exponentials(&|p| -alpha * (self.c(a, p) - lambda), &positives);
                    let far = exponentials(&|n| beta * (self.c(a, n) - lambda), &negatives);
                    terms.push((1.0, (1.0 + near).ln() / alpha + (1.0 + far).ln() / beta));
                }
                _ => assert!(!known, "{name} is no loss of rows"),
            }
        }
        terms
    }
}
