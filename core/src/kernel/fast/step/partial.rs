//! Sums of weights lane by lane, and how lanes become one number.

use pulp::Simd;

use super::cell::Tally;
use super::tile::{HALF, TILE};

/// Of weights that are candidates, lane by lane: their sum, that of their squares, how many they are, and how many of
/// these are capped.
#[derive(Clone, Copy)]
pub(super) struct Partial<S: Simd> {
    pub(super) sum: S::f32s,
    pub(super) squares: S::f32s,
    pub(super) candidates: S::f32s,
    pub(super) capped: S::f32s,
}

impl<S: Simd> Partial<S> {
    #[inline(always)]
    pub(super) fn zero(simd: S) -> Self {
        let zero = simd.splat_f32s(0.0);
        Self { sum: zero, squares: zero, candidates: zero, capped: zero }
    }

    /// Adds those of `w` that are candidates; returns what they came to, 0 for the others. `CAP`: they may reach the cap.
    #[inline(always)]
    pub(super) fn add<const CAP: bool>(
        &mut self,
        simd: S,
        w: S::f32s,
        cap: S::f32s,
        candidate: S::m32s,
    ) -> S::f32s {
        let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
        let count = simd.select_f32s(candidate, one, zero);
        let mut w = w;
        if CAP {
            self.capped =
                simd.add_f32s(self.capped, simd.select_f32s(simd.less_than_f32s(w, cap), zero, count));
            w = simd.min_f32s(w, cap);
        }
        let w = simd.select_f32s(candidate, w, zero);
        self.sum = simd.add_f32s(self.sum, w);
        self.squares = simd.mul_add_f32s(w, w, self.squares);
        self.candidates = simd.add_f32s(self.candidates, count);
        w
    }
}

/// Of each row, what its columns l and l + 16 come to; tiles side by side are added up before their lanes are.
pub(super) struct Rows {
    /// That of all rows, or not a number: no tile had one for all yet.
    pub(super) reference: f32,
    /// Of the tile at hand.
    pub(super) sums: [[f32; HALF]; TILE],
    pub(super) squares: [[f32; HALF]; TILE],
    pub(super) candidates: [[f32; HALF]; TILE],
    pub(super) capped: [[f32; HALF]; TILE],
}

impl Rows {
    pub(super) const fn new() -> Self {
        let zeros = [[0.0; HALF]; TILE];
        Self { reference: f32::NAN, sums: zeros, squares: zeros, candidates: zeros, capped: zeros }
    }

    /// Adds to `tally` what the tiles up to here have come to, and begins anew.
    #[inline(always)]
    pub(super) fn close<S: Simd>(&mut self, simd: S, references: &[f32; TILE], tally: &mut Tally) {
        let squares = totals(simd, &self.squares);
        let (candidates, capped) = (totals(simd, &self.candidates), totals(simd, &self.capped));
        tally.add(&Tally { squares, reference: *references, candidates, capped });
        let zeros = [[0.0; HALF]; TILE];
        (self.squares, self.candidates, self.capped) = (zeros, zeros, zeros);
    }

    /// As [`close`](Self::close) under the reference of all rows.
    #[inline(always)]
    pub(super) fn close_all<S: Simd>(&mut self, simd: S, tally: &mut Tally) {
        self.close(simd, &[self.reference; TILE], tally);
    }
}

/// Vector `v` of some numbers.
#[inline(always)]
pub(super) fn lane<S: Simd>(numbers: &mut [f32], v: usize) -> &mut S::f32s {
    &mut S::as_mut_simd_f32s(numbers).0[v]
}

/// Of each row the sum of its sixteen numbers: halves onto each other, four times.
#[inline(always)]
pub(super) fn totals<S: Simd>(simd: S, rows: &[[f32; HALF]; TILE]) -> [f32; TILE] {
    let mut totals = [0.0; TILE];
    for r in 0..TILE {
        let mut sums = [simd.splat_f32s(0.0); HALF];
        let mut vectors = HALF / S::F32_LANES;
        sums[..vectors].copy_from_slice(S::as_simd_f32s(&rows[r]).0);
        while vectors > 1 {
            vectors /= 2;
            for v in 0..vectors {
                sums[v] = simd.add_f32s(sums[v], sums[v + vectors]);
            }
        }
        totals[r] = simd.reduce_sum_f32s(sums[0]);
    }
    totals
}
