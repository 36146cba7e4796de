//! Rows by rows on processors that multiply pairs of bf16 (AVX-512 BF16): half the time of f32, without tile units.
//!
//! Each number of a product is one chain over the pairs of terms, from 0: first one term of a pair is added, then the
//! other, and what is below f32's normal numbers becomes 0. These are not the sums of the tile units, so a network,
//! whose bytes are the same everywhere, has no use for them; a bound on their rounding holds as for those.

#[cfg(target_arch = "x86_64")]
pub(in crate::kernel::fast) use x86::Dots;

#[cfg(not(target_arch = "x86_64"))]
pub(in crate::kernel::fast) use nowhere::Dots;

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod x86 {
    use core::arch::x86_64::{__m512, __m512bh, _mm512_dpbf16_ps, _mm512_setzero_ps};
    use core::mem::transmute;

    use pulp::bytemuck;

    use super::super::tiles::{BLOCK, PANEL, Product, STEP};

    /// Rows whose sums registers hold, with two vectors of columns each.
    const ROWS: usize = 8;
    /// Pairs of terms in a step.
    const PAIRS: usize = STEP / 2;

    /// One pair of terms of each of sixteen columns.
    type Column = [u32; 16];

    /// Proof that this processor multiplies pairs.
    #[derive(Clone, Copy, Debug)]
    pub(in crate::kernel::fast) struct Dots(());

    impl Dots {
        /// `None` where the processor does not.
        pub(in super::super) fn new() -> Option<Self> {
            let found = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bf16");
            found.then_some(Self(()))
        }

        /// What [`Product::run`] does but for the order of the sums; from one start, and not onto what is there.
        pub(in super::super) fn multiply(self, product: Product<'_>) {
            product.check();
            // SAFETY: `self` is proof that the processor has both sets of instructions.
            unsafe { multiply(product) }
        }
    }

    /// One pair of each of sixteen columns.
    fn vector(pairs: [u32; 16]) -> __m512bh {
        // SAFETY: both are 64 bytes, any bits of which are valid.
        unsafe { transmute(pairs) }
    }

    fn numbers(sums: [__m512; 2]) -> [f32; BLOCK] {
        // SAFETY: both are 128 bytes, any bits of which are valid.
        unsafe { transmute(sums) }
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    fn multiply(Product { blocks, a, stride, starts, run, b, add, c, width }: Product<'_>) {
        debug_assert!(starts.len() == 1 && !add);
        // Both sides lie on cache lines, and a row is whole steps: pairs of terms are aligned.
        let a: &[u32] = bytemuck::cast_slice(&a[starts[0]..]);
        let b: &[Column] = bytemuck::cast_slice(&b[..run * PANEL]);
        let (steps, _) = b.as_chunks::<{ 2 * PAIRS }>();
        for first in (0..blocks * BLOCK).step_by(ROWS) {
            let mut rows = [&a[..run * PAIRS]; ROWS];
            for r in 0..ROWS {
                rows[r] = &a[(first + r) * stride / 2..][..run * PAIRS];
            }
            let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
            for (step, columns) in steps.iter().enumerate() {
                let (left, right) = columns.split_at(PAIRS);
                for k in 0..PAIRS {
                    let (left, right) = (vector(left[k]), vector(right[k]));
                    for r in 0..ROWS {
                        let pair = vector([rows[r][step * PAIRS + k]; 16]);
                        sums[r][0] = _mm512_dpbf16_ps(sums[r][0], pair, left);
                        sums[r][1] = _mm512_dpbf16_ps(sums[r][1], pair, right);
                    }
                }
            }
            for r in 0..ROWS {
                c[(first + r) * width..][..BLOCK].copy_from_slice(&numbers(sums[r]));
            }
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod nowhere {
    use super::super::tiles::Product;

    /// No machine of this kind has these instructions.
    #[derive(Clone, Copy, Debug)]
    pub(in crate::kernel::fast) enum Dots {}

    impl Dots {
        pub(in super::super) fn new() -> Option<Self> {
            None
        }

        pub(in super::super) fn multiply(self, _: Product<'_>) {
            match self {}
        }
    }
}
