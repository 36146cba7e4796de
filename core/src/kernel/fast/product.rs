//! Products of whole matrices in either precision, on the kernel of [`tile`](super::tile): the right side is packed
//! once for as many left sides as there are.

use pulp::{Simd, WithSimd};

use super::InstructionSet;
use super::lanes::Lanes;
use super::tile::{Multiply, Rows, panel_width};
use crate::Scalar;

/// Rows of the left side that stay in the second cache while the panels of the right side pass.
const ROWS: usize = 48;

/// A matrix in a slice: `rows x cols`, row-major, or the transpose of one that is.
#[derive(Clone, Copy)]
pub(super) struct Mat<'a, T> {
    data: &'a [T],
    rows: usize,
    cols: usize,
    transposed: bool,
}

impl<'a, T> Mat<'a, T> {
    /// The first `rows x cols` numbers of `data`, row after row.
    pub(super) fn new(data: &'a [T], rows: usize, cols: usize) -> Self {
        Self { data: &data[..rows * cols], rows, cols, transposed: false }
    }

    /// The same numbers, read as the transpose.
    pub(super) fn t(self) -> Self {
        Self { rows: self.cols, cols: self.rows, transposed: !self.transposed, ..self }
    }
}

/// The right side of products: panels of columns for one instruction set, the last one filled up with zeros.
pub(super) struct Packed<T> {
    set: InstructionSet,
    panels: Vec<T>,
    inner: usize,
    cols: usize,
}

impl<T: Scalar> Packed<T> {
    pub(super) fn new(set: InstructionSet, b: Mat<'_, T>) -> Self {
        let width = set.run(Width { double: T::as_double(&[]).is_some() });
        let (inner, cols) = (b.rows, b.cols);
        let mut panels = vec![T::ZERO; inner * cols.next_multiple_of(width)];
        for (first, panel) in (0..cols).step_by(width).zip(panels.chunks_exact_mut((inner * width).max(1))) {
            let here = width.min(cols - first);
            if b.transposed {
                for (column, from) in b.data[first * inner..].chunks_exact(inner).take(here).enumerate() {
                    for (to, &from) in panel.chunks_exact_mut(width).zip(from) {
                        to[column] = from;
                    }
                }
            } else {
                for (to, from) in panel.chunks_exact_mut(width).zip(b.data.chunks_exact(cols)) {
                    to[..here].copy_from_slice(&from[first..first + here]);
                }
            }
        }
        Self { set, panels, inner, cols }
    }
}

/// Columns of a panel.
struct Width {
    double: bool,
}

impl WithSimd for Width {
    type Output = usize;

    fn with_simd<S: Simd>(self, _: S) -> usize {
        if self.double { panel_width::<f64, S>() } else { panel_width::<f32, S>() }
    }
}

/// `c = a b`, or `c += a b` if `add`; `c` is row-major.
///
/// One thread. Each number is one chain of fused multiply-adds over the inner dimension, so it has the same bits
/// however the callers cut their work.
pub(super) fn product<T: Scalar>(a: Mat<'_, T>, b: &Packed<T>, add: bool, c: &mut [T]) {
    let (m, n, inner) = (a.rows, b.cols, b.inner);
    assert_eq!(a.cols, inner, "inner dimensions");
    let c = &mut c[..m * n];
    if m == 0 || n == 0 {
        return;
    }
    if inner == 0 {
        if !add {
            c.fill(T::ZERO);
        }
        return;
    }
    let turned: Vec<T>;
    let rows = if a.transposed {
        turned = (0..m).flat_map(|row| a.data[row..].iter().step_by(m).copied()).collect();
        &turned
    } else {
        a.data
    };
    match (T::as_single(rows), T::as_single(&b.panels)) {
        (Some(a), Some(panels)) => {
            let c = T::as_single_mut(c).expect("one precision");
            b.set.run(Product { m, n, inner, a, panels, add, c });
        }
        _ => {
            let both = T::as_double(rows).zip(T::as_double(&b.panels)).zip(T::as_double_mut(c));
            let ((a, panels), c) = both.expect("a number is f32 or f64");
            b.set.run(Product { m, n, inner, a, panels, add, c });
        }
    }
}

struct Product<'a, T> {
    m: usize,
    n: usize,
    inner: usize,
    a: &'a [T],
    panels: &'a [T],
    add: bool,
    c: &'a mut [T],
}

impl<T: Lanes> WithSimd for Product<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { m, n, inner, a, panels, add, c } = self;
        let width = panel_width::<T, S>();
        let whole = n / width * width;
        let (whole_panels, last_panel) = panels.split_at(whole * inner);
        // The last panel reaches beyond the rows of `c`, so its products have a place of their own.
        let mut narrow = vec![T::ZERO; if whole < n { ROWS * width } else { 0 }];
        for (a, c) in a.chunks(ROWS * inner).zip(c.chunks_mut(ROWS * n)) {
            let (count, a) = (a.len() / inner, Rows { data: a, stride: inner });
            let panels = whole_panels;
            simd.vectorize(Multiply { count, inner, a, panels, add, c: &mut *c, stride: n });
            if whole < n {
                for (narrow, c) in narrow.chunks_exact_mut(width).zip(c.chunks_exact(n)) {
                    narrow[..n - whole].copy_from_slice(&c[whole..]);
                }
                let (panels, c_narrow) = (last_panel, &mut narrow[..]);
                simd.vectorize(Multiply { count, inner, a, panels, add, c: c_narrow, stride: width });
                for (narrow, c) in narrow.chunks_exact(width).zip(c.chunks_exact_mut(n)) {
                    c[whole..].copy_from_slice(&narrow[..n - whole]);
                }
            }
        }
        debug_assert_eq!(c.len(), m * n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `c + a b` by chains of fused steps, in the precision of T.
    fn plain<T: Scalar>(
        fused: impl Fn(T, T, T) -> T,
        (m, n, k): (usize, usize, usize),
        a: &[T],
        b: &[T],
        c: &mut [T],
    ) {
        for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
            c[i * n + j] = (0..k).fold(c[i * n + j], |sum, l| fused(a[i * k + l], b[l * n + j], sum));
        }
    }

    fn transpose<T: Copy>(rows: usize, cols: usize, x: &[T]) -> Vec<T> {
        (0..cols).flat_map(|j| (0..rows).map(move |i| x[i * cols + j])).collect()
    }

    fn check<T: Scalar>(fused: impl Fn(T, T, T) -> T) {
        let value = |i: usize| T::from_f64(((i * 2_654_435_761) % 1000) as f64 / 500.0 - 1.0);
        for (m, n, k) in
            [(1, 1, 1), (5, 3, 7), (6, 16, 20), (50, 33, 9), (101, 70, 130), (3, 40, 0), (0, 4, 2)]
        {
            let a: Vec<T> = (0..m * k).map(value).collect();
            let b: Vec<T> = (0..k * n).map(|i| value(i + 77)).collect();
            let c: Vec<T> = (0..m * n).map(|i| value(i + 5)).collect();
            let (a_turned, b_turned) = (transpose(m, k, &a), transpose(k, n, &b));
            for set in InstructionSet::available() {
                for add in [false, true] {
                    let mut expected = if add { c.clone() } else { vec![T::ZERO; m * n] };
                    plain(&fused, (m, n, k), &a, &b, &mut expected);
                    for a in [Mat::new(&a, m, k), Mat::new(&a_turned, k, m).t()] {
                        for b in [Mat::new(&b, k, n), Mat::new(&b_turned, n, k).t()] {
                            let mut got = c.clone();
                            product(a, &Packed::new(set, b), add, &mut got);
                            assert!(got == expected, "{set}: {m} x {n} over {k}, add {add}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn products_are_chains_of_fused_steps_in_either_precision_on_every_instruction_set() {
        check(f32::mul_add);
        check(f64::mul_add);
    }
}
