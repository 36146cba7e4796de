//! Products of blocks that lie in a cache: one kernel holds a few rows by a few vectors of columns in registers.
//!
//! Each number of a product is one chain of fused multiply-adds over the inner dimension in order, starting from what
//! the block holds: cutting the inner dimension does not change a bit, and neither do the shape of the block and the
//! instruction set.
//!
//! On 16 registers a block is 6 rows by 2 vectors: 12 sums, two vectors of the right side and one number of the left.
//! Twelve multiply-adds in flight hide their latency. With 32 registers it is 8 rows.
//!
//! Run by [`Simd::vectorize`], a product is compiled once for each instruction set and not into each of its callers.

use core::ops::Range;

use pulp::{Simd, WithSimd};

use super::lanes::Lanes;

/// The kernel of every product of this backend: `sums[r][v] += left(k)[r] right(k)[v]`, a step for each k, in order.
///
/// Callers differ in where a step finds its numbers: rows apart, interleaved, or side by side.
#[inline(always)]
pub(super) fn chains<T: Lanes, S: Simd, const M: usize, const V: usize>(
    simd: S,
    steps: Range<usize>,
    left: impl Fn(usize, usize) -> T,
    right: impl Fn(usize) -> [T::Vector<S>; V],
    mut sums: [[T::Vector<S>; V]; M],
) -> [[T::Vector<S>; V]; M] {
    for k in steps {
        let vectors = right(k);
        for r in 0..M {
            let number = T::splat(simd, left(k, r));
            for v in 0..V {
                sums[r][v] = T::multiply_add(simd, number, vectors[v], sums[r][v]);
            }
        }
    }
    sums
}

/// Rows of a block for this instruction set.
const fn block_rows<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 { 8 } else { 6 }
}

/// Columns of a block for this instruction set: the width of a panel.
pub(super) fn panel_width<T: Lanes, S: Simd>() -> usize {
    2 * T::lanes::<S>()
}

/// `count` rounded up to whole panels.
pub(super) fn padded<T: Lanes, S: Simd>(count: usize) -> usize {
    count.next_multiple_of(panel_width::<T, S>())
}

/// A matrix whose rows lie `stride` apart.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a, T> {
    pub(super) data: &'a [T],
    pub(super) stride: usize,
}

/// The two vectors at the start of `row`.
#[inline(always)]
fn pair<T: Lanes, S: Simd>(row: &[T]) -> [T::Vector<S>; 2] {
    let vectors = T::vectors::<S>(&row[..panel_width::<T, S>()]);
    [vectors[0], vectors[1]]
}

#[inline(always)]
fn store<T: Lanes, S: Simd, const M: usize>(sums: [[T::Vector<S>; 2]; M], c: &mut [T], stride: usize) {
    for (r, [left, right]) in sums.into_iter().enumerate() {
        let vectors = T::vectors_mut::<S>(&mut c[r * stride..][..panel_width::<T, S>()]);
        vectors[0] = left;
        vectors[1] = right;
    }
}

/// What a block starts from, and how many steps are in it already: what `c` holds, or the first step's products.
/// (Starting from zeros would keep a register for them.)
#[inline(always)]
fn start<T: Lanes, S: Simd, const M: usize>(
    simd: S,
    x: [T; M],
    [left, right]: [T::Vector<S>; 2],
    add: bool,
    c: &[T],
    stride: usize,
) -> ([[T::Vector<S>; 2]; M], usize) {
    let mut sums = [[left, right]; M];
    for r in 0..M {
        if add {
            sums[r] = pair::<T, S>(&c[r * stride..]);
        } else {
            let x = T::splat(simd, x[r]);
            sums[r] = [T::multiply(simd, x, left), T::multiply(simd, x, right)];
        }
    }
    (sums, usize::from(!add))
}

/// `c = a b` or `c += a b` for M rows of `a` and one panel: `b[k]` holds row k of the panel.
#[inline(always)]
fn row_block<T: Lanes, S: Simd, const M: usize>(
    simd: S,
    a: Rows<'_, T>,
    b: &[[T::Vector<S>; 2]],
    add: bool,
    c: &mut [T],
    stride: usize,
) {
    let inner = b.len();
    let mut rows = [&a.data[..inner]; M];
    let mut first = [T::ZERO; M];
    for r in 0..M {
        rows[r] = &a.data[r * a.stride..][..inner];
        first[r] = rows[r][0];
    }
    let (sums, done) = start::<T, S, M>(simd, first, b[0], add, c, stride);
    let sums = chains::<T, S, M, 2>(simd, done..inner, |k, r| rows[r][k], |k| b[k], sums);
    store::<T, S, M>(sums, c, stride);
}

/// `c = aᵀ b` or `c += aᵀ b` for M columns of `a`; both are read row by row, `inner` rows.
#[inline(always)]
fn column_block<T: Lanes, S: Simd, const M: usize>(
    simd: S,
    inner: usize,
    a: Rows<'_, T>,
    b: Rows<'_, T>,
    add: bool,
    c: &mut [T],
    stride: usize,
) {
    let left = |k: usize| -> &[T; M] { a.data[k * a.stride..][..M].try_into().expect("M numbers") };
    let right = |k: usize| pair::<T, S>(&b.data[k * b.stride..]);
    let (sums, done) = start::<T, S, M>(simd, *left(0), right(0), add, c, stride);
    let sums = chains::<T, S, M, 2>(simd, done..inner, |k, r| left(k)[r], right, sums);
    store::<T, S, M>(sums, c, stride);
}

/// As [`column_block`] of columns that are interleaved already and a panel.
#[inline(always)]
fn strip_block<T: Lanes, S: Simd, const M: usize>(
    simd: S,
    strip: &[T],
    b: &[[T::Vector<S>; 2]],
    add: bool,
    c: &mut [T],
    stride: usize,
) {
    let inner = b.len();
    let strip = &strip.as_chunks::<M>().0[..inner];
    let (sums, done) = start::<T, S, M>(simd, strip[0], b[0], add, c, stride);
    let sums = chains::<T, S, M, 2>(simd, done..inner, |k, r| strip[k][r], |k| b[k], sums);
    store::<T, S, M>(sums, c, stride);
}

/// Calls `$block::<T, S, M>(..)` with M = `$rows`.
macro_rules! of_rows {
    ($rows:expr, $block:ident($($argument:expr),*)) => {
        match $rows {
            1 => $block::<T, S, 1>($($argument),*),
            2 => $block::<T, S, 2>($($argument),*),
            3 => $block::<T, S, 3>($($argument),*),
            4 => $block::<T, S, 4>($($argument),*),
            5 => $block::<T, S, 5>($($argument),*),
            6 => $block::<T, S, 6>($($argument),*),
            7 => $block::<T, S, 7>($($argument),*),
            8 => $block::<T, S, 8>($($argument),*),
            rows => unreachable!("a block of {rows} rows"),
        }
    };
}

/// Cuts `count` rows into blocks of nearly the same size, as (first, rows): a last block of one row would wait for its
/// multiply-adds most of the time.
#[inline(always)]
fn blocks<S: Simd>(count: usize) -> impl Iterator<Item = (usize, usize)> {
    let pieces = count.div_ceil(block_rows::<S>());
    let (rows, longer) = (count / pieces.max(1), count % pieces.max(1));
    (0..pieces).map(move |piece| {
        (piece * rows + if piece < longer { piece } else { longer }, rows + usize::from(piece < longer))
    })
}

/// Lays out `count` columns of `a`, `inner` rows, in the strips of [`MultiplyStrips`].
#[inline(always)]
pub(super) fn pack_strips<T: Lanes, S: Simd>(
    simd: S,
    count: usize,
    inner: usize,
    a: Rows<'_, T>,
    strips: &mut [T],
) {
    for (first, rows) in blocks::<S>(count) {
        let strip = &mut strips[first * inner..][..rows * inner];
        let a = Rows { data: &a.data[first..], ..a };
        of_rows!(rows, pack_strip(simd, strip, a));
    }
}

/// As [`pack_strips`] of the transpose of `a`: `count` rows of it, `inner` numbers each.
#[inline(always)]
pub(super) fn turn_strips<T: Lanes, S: Simd>(
    simd: S,
    count: usize,
    inner: usize,
    a: Rows<'_, T>,
    strips: &mut [T],
) {
    for (first, rows) in blocks::<S>(count) {
        let strip = &mut strips[first * inner..][..rows * inner];
        let a = Rows { data: &a.data[first * a.stride..], ..a };
        of_rows!(rows, turn_strip(simd, strip, a));
    }
}

/// One strip of the transpose.
#[inline(always)]
fn turn_strip<T: Lanes, S: Simd, const M: usize>(_: S, strip: &mut [T], a: Rows<'_, T>) {
    let (strip, _) = strip.as_chunks_mut::<M>();
    let mut rows = [&a.data[..strip.len()]; M];
    for r in 0..M {
        rows[r] = &a.data[r * a.stride..][..strip.len()];
    }
    for (k, to) in strip.iter_mut().enumerate() {
        for r in 0..M {
            to[r] = rows[r][k];
        }
    }
}

/// One strip. Its width is a constant, so that a row of it is moved by a few instructions.
#[inline(always)]
fn pack_strip<T: Lanes, S: Simd, const M: usize>(_: S, strip: &mut [T], a: Rows<'_, T>) {
    for (to, from) in strip.as_chunks_mut::<M>().0.iter_mut().zip(a.data.chunks(a.stride)) {
        to.copy_from_slice(&from[..M]);
    }
}

/// `c = a b`, or `c += a b` if `add`: `count` rows of `a`, `inner` numbers each, against packed panels of `b`
/// ([`panel_width`] columns each, `[inner, width]` one after another). Rows of `c` lie `stride` apart and hold whole
/// panels.
pub(super) struct Multiply<'a, T> {
    pub(super) count: usize,
    pub(super) inner: usize,
    pub(super) a: Rows<'a, T>,
    pub(super) panels: &'a [T],
    pub(super) add: bool,
    pub(super) c: &'a mut [T],
    pub(super) stride: usize,
}

impl<T: Lanes> WithSimd for Multiply<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { count, inner, a, panels, add, c, stride } = self;
        let width = panel_width::<T, S>();
        if inner == 0 {
            return;
        }
        for (p, panel) in panels.chunks_exact(inner * width).enumerate() {
            let panel = T::vectors::<S>(panel).as_chunks::<2>().0;
            for (first, rows) in blocks::<S>(count) {
                let a = Rows { data: &a.data[first * a.stride..], ..a };
                let c = &mut c[first * stride + p * width..];
                of_rows!(rows, row_block(simd, a, panel, add, c, stride));
            }
        }
    }
}

/// `c = aᵀ b`, or `c += aᵀ b` if `add`: `count` columns of `a` against `panels` panels of columns of `b`, over
/// `inner` rows of both. The panels of `b` lie `next` numbers apart. Rows of `c` lie `stride` apart and hold whole
/// panels.
pub(super) struct MultiplyTransposed<'a, T> {
    pub(super) count: usize,
    pub(super) inner: usize,
    pub(super) panels: usize,
    pub(super) a: Rows<'a, T>,
    pub(super) b: Rows<'a, T>,
    pub(super) next: usize,
    pub(super) add: bool,
    pub(super) c: &'a mut [T],
    pub(super) stride: usize,
}

impl<T: Lanes> WithSimd for MultiplyTransposed<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { count, inner, panels, a, b, next, add, c, stride } = self;
        let width = panel_width::<T, S>();
        for p in 0..panels {
            let b = Rows { data: &b.data[p * next..], ..b };
            for (first, rows) in blocks::<S>(count) {
                let a = Rows { data: &a.data[first..], ..a };
                let c = &mut c[first * stride + p * width..];
                of_rows!(rows, column_block(simd, inner, a, b, add, c, stride));
            }
        }
    }
}

/// As [`MultiplyTransposed`] where `a` lies in strips, one for each of the [`blocks`] of its columns, and `b` in
/// panels: both are read from end to end.
pub(super) struct MultiplyStrips<'a, T> {
    pub(super) count: usize,
    pub(super) inner: usize,
    /// `[inner, columns of the block]` for each block, one after another.
    pub(super) strips: &'a [T],
    /// Panels of `inner` rows, `next` numbers apart.
    pub(super) b: &'a [T],
    pub(super) next: usize,
    pub(super) panels: usize,
    pub(super) add: bool,
    pub(super) c: &'a mut [T],
    pub(super) stride: usize,
}

impl<T: Lanes> WithSimd for MultiplyStrips<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { count, inner, strips, b, next, panels, add, c, stride } = self;
        let width = panel_width::<T, S>();
        for p in 0..panels {
            let panel = T::vectors::<S>(&b[p * next..][..inner * width]).as_chunks::<2>().0;
            for (first, rows) in blocks::<S>(count) {
                let strip = &strips[first * inner..][..rows * inner];
                let c = &mut c[first * stride + p * width..];
                of_rows!(rows, strip_block(simd, strip, panel, add, c, stride));
            }
        }
    }
}
