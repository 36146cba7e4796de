//! Products of matrices that lie in a cache: blocks of a few rows and two vectors of columns, held in registers.
//!
//! `c += a b` element by element is one chain of fused multiply-adds over the inner dimension in order, starting from
//! what `c` holds: cutting the inner dimension does not change a bit, and neither does the instruction set.
//!
//! Run by [`Simd::vectorize`], a product is compiled once for each instruction set and not into each of its callers.
//!
//! On 16 registers a block is 6 rows by 2 vectors: 12 sums, two vectors of `b` and one number of `a`. Twelve
//! multiply-adds in flight hide their latency. With 32 registers it is 8 rows.

use pulp::{Simd, WithSimd};

/// Rows of a block for this instruction set.
const fn block_rows<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 { 8 } else { 6 }
}

/// Columns of a block for this instruction set: the width of a panel.
pub(super) const fn panel_width<S: Simd>() -> usize {
    2 * S::F32_LANES
}

/// `count` rounded up to whole panels.
pub(super) const fn padded<S: Simd>(count: usize) -> usize {
    count.next_multiple_of(panel_width::<S>())
}

/// A matrix whose rows lie `stride` apart.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) data: &'a [f32],
    pub(super) stride: usize,
}

/// The two vectors at the start of `row`.
#[inline(always)]
fn pair<S: Simd>(row: &[f32]) -> [S::f32s; 2] {
    let vectors = S::as_simd_f32s(&row[..panel_width::<S>()]).0;
    [vectors[0], vectors[1]]
}

#[inline(always)]
fn store<S: Simd, const M: usize>(sums: [[S::f32s; 2]; M], c: &mut [f32], stride: usize) {
    for (r, [left, right]) in sums.into_iter().enumerate() {
        let vectors = S::as_mut_simd_f32s(&mut c[r * stride..][..panel_width::<S>()]).0;
        vectors[0] = left;
        vectors[1] = right;
    }
}

/// What a block starts from, and how many rows of `b` are in it already: what `c` holds, or the products with the first
/// row, `x[r]` being the number of `a` there. (Starting from zeros would keep a register for them.)
#[inline(always)]
fn start<S: Simd, const M: usize>(
    simd: S,
    x: [f32; M],
    [left, right]: [S::f32s; 2],
    add: bool,
    c: &[f32],
    stride: usize,
) -> ([[S::f32s; 2]; M], usize) {
    let mut sums = [[left, right]; M];
    for r in 0..M {
        if add {
            sums[r] = pair::<S>(&c[r * stride..]);
        } else {
            let x = simd.splat_f32s(x[r]);
            sums[r] = [simd.mul_f32s(x, left), simd.mul_f32s(x, right)];
        }
    }
    (sums, usize::from(!add))
}

/// `c = a b` or `c += a b` for M rows of `a` and one panel: `b[k]` holds row k of the panel.
#[inline(always)]
fn row_block<S: Simd, const M: usize>(
    simd: S,
    a: Rows<'_>,
    b: &[[S::f32s; 2]],
    add: bool,
    c: &mut [f32],
    stride: usize,
) {
    let inner = b.len();
    let mut rows = [&a.data[..inner]; M];
    let mut first = [0.0; M];
    for r in 0..M {
        rows[r] = &a.data[r * a.stride..][..inner];
        first[r] = rows[r][0];
    }
    let (mut sums, done) = start::<S, M>(simd, first, b[0], add, c, stride);
    for k in done..inner {
        let [left, right] = b[k];
        for r in 0..M {
            let x = simd.splat_f32s(rows[r][k]);
            sums[r][0] = simd.mul_add_f32s(x, left, sums[r][0]);
            sums[r][1] = simd.mul_add_f32s(x, right, sums[r][1]);
        }
    }
    store::<S, M>(sums, c, stride);
}

/// `c = aᵀ b` or `c += aᵀ b` for M columns of `a`; both are read row by row, `inner` rows.
#[inline(always)]
fn column_block<'a, S: Simd, const M: usize>(
    simd: S,
    inner: usize,
    a: Rows<'a>,
    b: Rows<'a>,
    add: bool,
    c: &mut [f32],
    stride: usize,
) {
    let first: [f32; M] = a.data[..M].try_into().expect("M numbers");
    let (mut sums, done) = start::<S, M>(simd, first, pair::<S>(b.data), add, c, stride);
    // Where one row is all there is, the next would start beyond the end.
    let rest = |from: Rows<'a>| -> &'a [f32] { from.data.get(done * from.stride..).unwrap_or_default() };
    let rows = rest(a).chunks(a.stride).zip(rest(b).chunks(b.stride));
    for (a, b) in rows.take(inner - done) {
        let a: &[f32; M] = a[..M].try_into().expect("M numbers");
        let [left, right] = pair::<S>(b);
        for r in 0..M {
            let x = simd.splat_f32s(a[r]);
            sums[r][0] = simd.mul_add_f32s(x, left, sums[r][0]);
            sums[r][1] = simd.mul_add_f32s(x, right, sums[r][1]);
        }
    }
    store::<S, M>(sums, c, stride);
}

/// Calls `$block::<S, M>(..)` with M = `$rows`.
macro_rules! of_rows {
    ($rows:expr, $block:ident($($argument:expr),*)) => {
        match $rows {
            1 => $block::<S, 1>($($argument),*),
            2 => $block::<S, 2>($($argument),*),
            3 => $block::<S, 3>($($argument),*),
            4 => $block::<S, 4>($($argument),*),
            5 => $block::<S, 5>($($argument),*),
            6 => $block::<S, 6>($($argument),*),
            7 => $block::<S, 7>($($argument),*),
            8 => $block::<S, 8>($($argument),*),
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

/// `c = a b`, or `c += a b` if `add`: `count` rows of `a`, `inner` numbers each, against packed panels of `b`
/// ([`panel_width`] columns each, `[inner, width]` one after another). Rows of `c` lie `stride` apart and hold whole
/// panels.
pub(super) struct Multiply<'a> {
    pub(super) count: usize,
    pub(super) inner: usize,
    pub(super) a: Rows<'a>,
    pub(super) panels: &'a [f32],
    pub(super) add: bool,
    pub(super) c: &'a mut [f32],
    pub(super) stride: usize,
}

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { count, inner, a, panels, add, c, stride } = self;
        let width = panel_width::<S>();
        if inner == 0 {
            return;
        }
        for (p, panel) in panels.chunks_exact(inner * width).enumerate() {
            let panel = S::as_simd_f32s(panel).0.as_chunks::<2>().0;
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
pub(super) struct MultiplyTransposed<'a> {
    pub(super) count: usize,
    pub(super) inner: usize,
    pub(super) panels: usize,
    pub(super) a: Rows<'a>,
    pub(super) b: Rows<'a>,
    pub(super) next: usize,
    pub(super) add: bool,
    pub(super) c: &'a mut [f32],
    pub(super) stride: usize,
}

impl WithSimd for MultiplyTransposed<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { count, inner, panels, a, b, next, add, c, stride } = self;
        let width = panel_width::<S>();
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
