//! What a pair weighs by its cosine, in vectors, and which pairs of a tile are none.

use pulp::Simd;

use super::law::LEAST;
use super::math::{exp2, exp2_within, inverse_sqrt, log2};
use super::tile::{TILE, Tile};

/// Octaves below its reference where a weight is taken as 0.
const FLUSH: f32 = -118.0;

/// `log2` of a weight but for its factor `1/d`.
#[inline(always)]
pub(super) fn log_weight<S: Simd>(simd: S, slope: S::f32s, c: S::f32s) -> S::f32s {
    let t = simd.negate_mul_add_f32s(c, c, simd.splat_f32s(1.0));
    simd.mul_f32s(slope, log2(simd, simd.max_f32s(t, simd.splat_f32s(LEAST))))
}

/// `1/d`.
#[inline(always)]
pub(super) fn inverse_distance<S: Simd>(simd: S, c: S::f32s) -> S::f32s {
    let two = simd.splat_f32s(2.0);
    let q = simd.negate_mul_add_f32s(two, c, two);
    inverse_sqrt(simd, simd.max_f32s(q, simd.splat_f32s(LEAST)))
}

/// What a pair weighs over `2^reference`, but for the cap.
#[inline(always)]
pub(super) fn weight<S: Simd>(simd: S, log: S::f32s, inverse: S::f32s, minus_reference: S::f32s) -> S::f32s {
    simd.mul_f32s(exp2(simd, simd.add_f32s(log, minus_reference)), inverse)
}

/// As [`weight`] for candidates that lie within 126 octaves of the reference, or with `CAP` may be any amount above; for
/// others it is any number.
#[inline(always)]
pub(super) fn weight_within<S: Simd, const CAP: bool>(
    simd: S,
    log: S::f32s,
    inverse: S::f32s,
    minus_reference: S::f32s,
) -> S::f32s {
    let octaves = simd.add_f32s(log, minus_reference);
    let octaves = if CAP { simd.min_f32s(octaves, simd.splat_f32s(126.0)) } else { octaves };
    simd.mul_f32s(exp2_within(simd, octaves), inverse)
}

/// `w`, and 0 where that is too far below the reference.
#[inline(always)]
pub(super) fn or_zero<S: Simd>(simd: S, w: S::f32s) -> S::f32s {
    let least = simd.splat_f32s(f32::from_bits(((FLUSH as i32 + 127) as u32) << 23));
    simd.select_f32s(simd.greater_than_f32s(w, least), w, simd.splat_f32s(0.0))
}

/// `min(cap, 2^(log - reference) / d)`, or 0 where that is too far below the reference.
#[inline(always)]
pub(super) fn weight_or_zero<S: Simd>(
    simd: S,
    c: S::f32s,
    log: S::f32s,
    minus_reference: S::f32s,
    cap: S::f32s,
) -> S::f32s {
    let w = weight(simd, log, inverse_distance(simd, c), minus_reference);
    or_zero(simd, simd.min_f32s(w, cap))
}

/// Least cosines of the two sides of a tile.
pub(super) struct Sides<'a> {
    pub(super) row_cuts: &'a [f32],
    pub(super) cuts: &'a [f32],
    /// Whether cuts differ between anchors.
    pub(super) active: bool,
}

/// Labels of all rows, up to whole panels.
#[derive(Clone, Copy)]
pub(super) struct Labels<'a> {
    pub(super) all: &'a [u32],
    /// The least and the largest of each panel.
    pub(super) ranges: &'a [[u32; 2]],
}

/// The least and the largest of some labels.
pub(super) fn range(labels: &[u32]) -> [u32; 2] {
    labels.iter().fold([u32::MAX, 0], |[low, high], &label| [low.min(label), high.max(label)])
}

/// Cosines of pairs of one class become negative infinity, in a tile of panel `down` with panel `across`.
#[inline(always)]
pub(super) fn part_classes<S: Simd>(
    simd: S,
    labels: Labels<'_>,
    (down, across): (usize, usize),
    tile: &mut Tile,
) {
    let [[low, high], [other_low, other_high]] = [labels.ranges[down], labels.ranges[across]];
    if low > other_high || other_low > high {
        return;
    }
    let [of_rows, of_columns] = [down, across].map(|panel| &labels.all[panel * TILE..][..TILE]);
    let (labels, _) = S::as_simd_u32s(of_columns);
    let none = simd.splat_f32s(f32::NEG_INFINITY);
    for r in 0..TILE {
        let label = simd.splat_u32s(of_rows[r]);
        let (row, _) = S::as_mut_simd_f32s(&mut tile.0[r]);
        for (c, &labels) in row.iter_mut().zip(labels) {
            *c = simd.select_f32s(simd.equal_u32s(labels, label), none, *c);
        }
    }
}
