//! Matrix products through the `gemm` crate, which picks AVX-512, AVX2 with FMA, NEON or plain code at run time.
//! The one door to its unsafe interface.

use crate::Scalar;

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
        assert!(
            data.len() >= rows * cols,
            "a matrix of {rows} x {cols} needs more than {} numbers",
            data.len()
        );
        Self { data, rows, cols, transposed: false }
    }

    /// The same numbers, read as the transpose.
    pub(super) fn t(self) -> Self {
        Self { rows: self.cols, cols: self.rows, transposed: !self.transposed, ..self }
    }

    /// Row and column stride.
    fn strides(&self) -> (isize, isize) {
        if self.transposed { (1, self.rows as isize) } else { (self.cols as isize, 1) }
    }
}

/// `c = a b`, or `c += a b` if `add`; `c` is row-major.
///
/// One thread; an element of `c` is a sum over the inner dimension whose order depends on the three sizes only, so
/// callers who cut their work in pieces of a fixed size get the same bits for any number of threads.
pub(super) fn product<T: Scalar>(a: Mat<'_, T>, b: Mat<'_, T>, add: bool, c: &mut [T]) {
    let (m, n, k) = (a.rows, b.cols, a.cols);
    assert_eq!(k, b.rows, "inner dimensions");
    assert!(c.len() >= m * n, "a product of {m} x {n} needs more than {} numbers", c.len());
    if m == 0 || n == 0 {
        return;
    }
    let ((ars, acs), (brs, bcs)) = (a.strides(), b.strides());
    // SAFETY: `a`, `b` and `c` hold m x k, k x n and m x n numbers at these strides (asserted in `Mat::new` and
    // above); `c` is borrowed mutably, so it overlaps neither; T is f32 or f64 (sealed), which gemm supports.
    #[allow(unsafe_code)]
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            n as isize,
            add,
            a.data.as_ptr(),
            acs,
            ars,
            b.data.as_ptr(),
            bcs,
            brs,
            T::ONE,
            T::ONE,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
