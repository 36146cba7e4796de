//! The law of distance weighted sampling in terms of cosines, and when cosines are too coarse for it.
//!
//! With `c = 1 - d²/2` the product `d² (1 - d²/4)` is `1 - c²`, so that
//!
//! ```text
//! w(d) = d^-(n-2) (1 - d²/4)^-(n-3)/2 = 2^(slope log2(1 - c²)) / sqrt(2 - 2c),   slope = -(n-3)/2
//! ```
//! One logarithm, one exponential and one inverse root a pair, and the pair weighs the same from both ends but for the
//! far cut.

use core::f64::consts::LN_2;

use crate::Scalar;
use crate::density::ln_q_unnormalized;
use crate::math::floor;
use crate::weight::{FarCut, Weighting};

/// Squared distance below which `2 - 2c` has lost too many digits \[R2\].
const NEAR: f64 = 0.05;

/// The cosine at that distance. The weight of a nearer pair is the cap.
pub(super) const NEAR_COSINE: f32 = (1.0 - 0.5 * NEAR) as f32;

/// `1 - c²` and `2 - 2c` are not taken below this.
pub(super) const LEAST: f32 = 1e-12;

/// Weights by cosine. Logarithms are to base 2.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Law {
    pub(super) slope: f32,
    pub(super) cap: f64,
    /// The cap is `cap_rest 2^whole_cap`, the rest in `[1, 2)`.
    whole_cap: f32,
    cap_rest: f32,
}

impl Law {
    /// The law and the least cosine (exclusive) of each anchor's candidates; `None` where cosines in single precision
    /// are too coarse: a dimension below 3 (its density is unbounded at d = 2), or a cap or a far cut at a distance
    /// with `d² < 0.05`, since the weights of pairs nearer than that would then matter.
    pub(super) fn of<T: Scalar>(weighting: &Weighting<T>, betas: &[T], cuts: &mut Vec<f32>) -> Option<Self> {
        let n = weighting.density().dimension();
        let (power, bend) = weighting.density().exponents();
        let cap = weighting.ln_cap().to_f64();
        if n < 3.0 || cap > -ln_q_unnormalized(power, bend, Scalar::sqrt(NEAR)) {
            return None;
        }
        cuts.clear();
        if let FarCut::Active { .. } = weighting.far() {
            cuts.extend(betas.iter().map(|&beta| cosine_of_cut(weighting.far_end(beta).to_f64())));
        } else {
            cuts.resize(betas.len(), cosine_of_cut(weighting.far_end(T::ZERO).to_f64()));
        }
        let coarse = |&cut: &f32| cut > NEAR_COSINE && cut < f32::INFINITY;
        if cuts.iter().any(coarse) {
            return None;
        }
        let cap = cap / LN_2;
        let whole = floor(cap);
        let cap_rest = Scalar::exp((cap - whole) * LN_2) as f32;
        Some(Self { slope: (-bend) as f32, cap, whole_cap: whole as f32, cap_rest })
    }

    /// The logarithm of a weight, or of the cap where that is less; the factor `1/d` aside, which lies in `[1/2, 4.5]`
    /// here.
    pub(super) fn below_cap(&self, log: f32) -> f32 {
        f32::min(log, self.cap as f32)
    }

    /// The cap over `2^reference` for a whole reference, as large as a number may be.
    pub(super) fn cap_over(&self, reference: f32) -> f32 {
        let octaves = (self.whole_cap - reference).clamp(-126.0, 127.0);
        self.cap_rest * f32::from_bits(((octaves as i32 + 127) as u32) << 23)
    }
}

/// Distances below `cut` are cosines above this.
fn cosine_of_cut(cut: f64) -> f32 {
    if cut > 0.0 { (1.0 - 0.5 * cut * cut) as f32 } else { f32::INFINITY }
}
