//! How the negatives of a tile push each other: what each pair counts at both of its ends, and the sums of it.
//!
//! Where the references of all ends of a tile lie within [`SPAN`] octaves, a pair's weight is computed once and serves
//! both ends; elsewhere each end has its own.

use pulp::{Simd, WithSimd};

use super::expected::{Ends, PairLoss};
use super::far::{Back, Far};
use super::law::{LEAST, Law, NEAR_COSINE};
use super::math::exp2;
use super::partial::lane;
use super::tile::{HALF, TILE, Tile};
use super::weights::{inverse_distance, log_weight, weight};

/// Octaves that references of one tile may span around the middle: what counts for an end lies within some eighty octaves
/// of its reference, and [`exp2`] reaches 126.
const SPAN: f32 = 64.0;
/// Weights below this are taken as 0: `2^-118`.
const FLUSH: f32 = f32::from_bits((127 - 118) << 23);
/// Pairs that count less than this are taken as 0: `2^-100`.
const NOTHING: f32 = f32::from_bits((127 - 100) << 23);

/// Pairs in a vector: their cosines, logarithms of weights, distances and their inverses.
struct Pair<S: Simd> {
    c: S::f32s,
    log: S::f32s,
    d: S::f32s,
    inverse: S::f32s,
}

impl<S: Simd> Pair<S> {
    #[inline(always)]
    fn new(simd: S, slope: S::f32s, c: S::f32s) -> Self {
        let log = log_weight(simd, slope, c);
        // What is no pair gets a distance too, so that its numbers are finite; it has no probability.
        let whole = simd.max_f32s(c, simd.splat_f32s(-1.0));
        let inverse = inverse_distance(simd, whole);
        let two = simd.splat_f32s(2.0);
        let q = simd.max_f32s(simd.negate_mul_add_f32s(two, whole, two), simd.splat_f32s(LEAST));
        Self { c, log, d: simd.mul_f32s(q, inverse), inverse }
    }
}

/// The ends of pairs that lie in a panel: see [`Ends`].
#[repr(align(64))]
struct Side {
    minus_reference: [f32; TILE],
    /// What a weight over the reference is multiplied by.
    factor: [f32; TILE],
    /// Weights up to this count nothing.
    least: [f32; TILE],
    /// The most that a pair counts.
    most: [f32; TILE],
    reach: [f32; TILE],
    cut: [f32; TILE],
}

impl Side {
    /// `common`: the reference of all weights of the tile, if it has one.
    #[inline(always)]
    fn new<S: Simd>(simd: S, ends: &Ends, panel: usize, common: Option<f32>) -> Self {
        let here =
            |numbers: &[f32]| -> [f32; TILE] { numbers[panel * TILE..][..TILE].try_into().expect("a panel") };
        let mut side = Self {
            minus_reference: here(&ends.minus_reference),
            factor: here(&ends.scale),
            least: [FLUSH; TILE],
            most: here(&ends.most),
            reach: here(&ends.reach),
            cut: here(&ends.cut),
        };
        if let Some(common) = common {
            let (common, nothing) = (simd.splat_f32s(common), simd.splat_f32s(NOTHING));
            let minus = S::as_simd_f32s(&side.minus_reference).0;
            let (factors, leasts) =
                (S::as_mut_simd_f32s(&mut side.factor).0, S::as_mut_simd_f32s(&mut side.least).0);
            for ((factor, least), &minus) in factors.iter_mut().zip(leasts).zip(minus) {
                // Of whole numbers the power is exact.
                *factor = simd.mul_f32s(*factor, exp2(simd, simd.add_f32s(common, minus)));
                *least = simd.max_f32s(*least, simd.div_f32s(nothing, *factor));
            }
        }
        side
    }
}

/// One end of pairs.
struct End<S: Simd> {
    minus_reference: S::f32s,
    factor: S::f32s,
    least: S::f32s,
    most: S::f32s,
    reach: S::f32s,
    cut: S::f32s,
}

impl<S: Simd> End<S> {
    /// What `of` takes of each of the numbers: a vector of them, or one for all lanes.
    #[inline(always)]
    fn new(side: &Side, of: impl Fn(&[f32; TILE]) -> S::f32s) -> Self {
        Self {
            minus_reference: of(&side.minus_reference),
            factor: of(&side.factor),
            least: of(&side.least),
            most: of(&side.most),
            reach: of(&side.reach),
            cut: of(&side.cut),
        }
    }

    /// The loss, what counts and is active, what counts, and minus the slope of the loss; `w` is the weight over the
    /// common reference. `OWN`: there is none. `SQUARED`: the loss is the square of how far a negative is inside of the
    /// reach, not that itself.
    #[inline(always)]
    fn pair<const SQUARED: bool, const OWN: bool>(
        &self,
        simd: S,
        pair: &Pair<S>,
        mut w: S::f32s,
    ) -> [S::f32s; 4] {
        let zero = simd.splat_f32s(0.0);
        if OWN {
            w = weight(simd, pair.log, pair.inverse, self.minus_reference);
        }
        let counts =
            simd.and_m32s(simd.greater_than_f32s(pair.c, self.cut), simd.greater_than_f32s(w, self.least));
        let w = simd.select_f32s(counts, w, zero);
        let p = simd.min_f32s(simd.mul_f32s(w, self.factor), self.most);
        let inside = simd.max_f32s(simd.sub_f32s(self.reach, pair.d), zero);
        let active = simd.select_f32s(simd.greater_than_f32s(inside, zero), p, zero);
        let value = simd.mul_f32s(p, inside);
        if SQUARED {
            [simd.mul_f32s(value, inside), active, p, simd.add_f32s(value, value)]
        } else {
            [value, active, p, active]
        }
    }
}

/// A tile of cosines that becomes one of `t`: of the first `rows` rows of panel `down`, with panel `across`.
pub(super) struct Shares<'a> {
    pub(super) law: &'a Law,
    pub(super) ends: &'a Ends,
    pub(super) pairs: &'a PairLoss,
    pub(super) down: usize,
    pub(super) across: usize,
    pub(super) rows: usize,
    /// Whether rows are anchors.
    pub(super) both: bool,
    pub(super) tile: &'a mut Tile,
    /// Of the columns.
    pub(super) far: &'a mut Far,
    /// Of the rows, where they are wanted.
    pub(super) back: Option<&'a mut Back>,
}

impl WithSimd for Shares<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let common = self.ends.common_reference(self.down, self.across, SPAN);
        match (self.pairs.is_squared(), common) {
            (false, Some(_)) => self.of_ends::<S, false, false>(simd, common),
            (false, None) => self.of_ends::<S, false, true>(simd, common),
            (true, Some(_)) => self.of_ends::<S, true, false>(simd, common),
            (true, None) => self.of_ends::<S, true, true>(simd, common),
        }
    }
}

impl Shares<'_> {
    #[inline(always)]
    fn of_ends<S: Simd, const SQUARED: bool, const OWN: bool>(self, simd: S, common: Option<f32>) {
        if self.both {
            self.shares::<S, SQUARED, OWN, true>(simd, common);
        } else {
            self.shares::<S, SQUARED, OWN, false>(simd, common);
        }
    }

    /// `BOTH`: rows are anchors.
    #[inline(always)]
    fn shares<S: Simd, const SQUARED: bool, const OWN: bool, const BOTH: bool>(
        self,
        simd: S,
        common: Option<f32>,
    ) {
        let Self { law, ends, down, across, rows, tile, far, mut back, .. } = self;
        let side = |panel| Side::new(simd, ends, panel, common);
        let (of_columns, of_rows) = (side(across), side(down));
        let (zero, slope) = (simd.splat_f32s(0.0), simd.splat_f32s(law.slope));
        let minus_common = simd.splat_f32s(-common.unwrap_or(0.0));
        let vectors = HALF / S::F32_LANES;
        let mut sums = [[0.0_f32; TILE]; 4];
        for u in 0..vectors {
            let [left, right] = [u, u + vectors];
            let columns = [
                End::<S>::new(&of_columns, |numbers| S::as_simd_f32s(numbers).0[left]),
                End::new(&of_columns, |numbers| S::as_simd_f32s(numbers).0[right]),
            ];
            let mut own = [[zero; 4]; 2];
            for r in 0..rows {
                let (row, _) = S::as_mut_simd_f32s(&mut tile.0[r]);
                let other = End::<S>::new(&of_rows, |numbers| simd.splat_f32s(numbers[r]));
                let mut theirs = [zero; 4];
                for h in 0..2 {
                    let v = u + h * vectors;
                    let pair = Pair::new(simd, slope, row[v]);
                    let w = if OWN { zero } else { weight(simd, pair.log, pair.inverse, minus_common) };
                    let [value, active, p, mut push] = columns[h].pair::<SQUARED, OWN>(simd, &pair, w);
                    own[h][0] = simd.add_f32s(own[h][0], value);
                    own[h][1] = simd.add_f32s(own[h][1], active);
                    own[h][2] = simd.add_f32s(own[h][2], p);
                    if BOTH {
                        let [value, active, p, pushed] = other.pair::<SQUARED, OWN>(simd, &pair, w);
                        theirs[0] = simd.add_f32s(theirs[0], value);
                        theirs[1] = simd.add_f32s(theirs[1], active);
                        theirs[2] = simd.add_f32s(theirs[2], p);
                        push = simd.add_f32s(push, pushed);
                    }
                    let t = simd.mul_f32s(push, pair.inverse);
                    own[h][3] = simd.add_f32s(own[h][3], t);
                    theirs[3] = simd.add_f32s(theirs[3], t);
                    row[v] = t;
                }
                if let Some(back) = back.as_mut().filter(|_| BOTH) {
                    for q in 0..4 {
                        let sum = lane::<S>(&mut back.0[q][r], u);
                        *sum = simd.add_f32s(*sum, theirs[q]);
                    }
                }
            }
            for h in 0..2 {
                for q in 0..4 {
                    *lane::<S>(&mut sums[q], u + h * vectors) = own[h][q];
                }
            }
        }
        far.add(&sums, SQUARED);
    }
}

/// Lists pairs that lie near each other, as `(row, column, cosine)`, and takes them out of the tile.
#[inline(always)]
pub(super) fn take_near<S: Simd>(simd: S, rows: usize, tile: &mut Tile, near: &mut Vec<(usize, usize, f32)>) {
    let mut highest = simd.splat_f32s(f32::NEG_INFINITY);
    for row in &tile.0[..rows] {
        for &c in S::as_simd_f32s(row).0 {
            highest = simd.max_f32s(highest, c);
        }
    }
    if simd.reduce_max_f32s(highest) <= NEAR_COSINE {
        return;
    }
    for (r, row) in tile.0[..rows].iter_mut().enumerate() {
        for (i, c) in row.iter_mut().enumerate().filter(|(_, c)| **c > NEAR_COSINE) {
            near.push((r, i, *c));
            *c = f32::NEG_INFINITY;
        }
    }
}
