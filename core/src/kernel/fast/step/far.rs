//! What negatives come to, anchor by anchor, from whichever end of a pair it was met.

use pulp::Simd;

use super::expected::PairLoss;
use super::tile::{HALF, TILE};
use crate::kernel::fast::turn::row_sums;
use crate::loss::PairGrad;
use crate::loss::batch::Terms;

/// What a pair counts at one of its ends, and its loss there; `None` where it does not.
pub(super) type Counted = Option<(f32, PairGrad<f32>)>;

/// What the negatives of the 32 rows of a panel come to.
#[derive(Clone, Copy, Default)]
pub(super) struct Far {
    value: [f64; TILE],
    active: [f64; TILE],
    weight: [f64; TILE],
    d_beta: [f64; TILE],
    /// `sum of t_ij`.
    pub(super) own: [f64; TILE],
}

impl Far {
    pub(super) fn terms(&self, a: usize) -> Terms {
        Terms {
            value: self.value[a],
            active: self.active[a],
            terms: self.weight[a],
            d_beta: self.d_beta[a],
            tuples: 0.0,
        }
    }

    /// Adds sums of `[value, active, weight, t]`.
    pub(super) fn add(&mut self, sums: &[[f32; TILE]; 4], squared: bool) {
        for a in 0..TILE {
            self.value[a] += f64::from(sums[0][a]);
            self.active[a] += f64::from(sums[1][a]);
            self.weight[a] += f64::from(sums[2][a]);
            if !squared {
                self.d_beta[a] += f64::from(sums[1][a]);
            }
            self.own[a] += f64::from(sums[3][a]);
        }
    }

    /// Adds a pair of row `a`, and its `t`.
    pub(super) fn add_pair(&mut self, a: usize, pair: Counted, t: f32) {
        if let Some((p, pair)) = pair {
            let p = f64::from(p);
            self.value[a] += p * f64::from(pair.value);
            self.active[a] += if pair.value > 0.0 { p } else { 0.0 };
            self.weight[a] += p;
            self.d_beta[a] += p * f64::from(pair.d_beta);
        }
        self.own[a] += f64::from(t);
    }
}

/// The same sums of the rows of tiles side by side, `[value, active, weight, t]`: what their columns l and l + 16 come
/// to.
pub(super) struct Back(pub(super) [[[f32; HALF]; TILE]; 4]);

impl Back {
    pub(super) const fn new() -> Self {
        Self([[[0.0; HALF]; TILE]; 4])
    }

    /// Adds the sums to those of the rows' panel.
    #[inline(always)]
    pub(super) fn close<S: Simd>(self, simd: S, pairs: &PairLoss, far: &mut Far) {
        let mut sums = [[0.0; TILE]; 4];
        for (sums, lanes) in sums.iter_mut().zip(self.0) {
            let (lanes, _) = lanes.as_chunks::<HALF>();
            for (sums, rows) in sums.chunks_exact_mut(HALF).zip(lanes) {
                let mut rows = *rows;
                sums.copy_from_slice(&row_sums(simd, &mut rows));
            }
        }
        far.add(&sums, pairs.is_squared());
    }
}
