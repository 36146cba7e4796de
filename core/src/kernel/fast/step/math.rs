//! Logarithm, exponential and inverse root of vectors: own polynomials, the same bits on every instruction set.
//!
//! Coefficients are minimax fits by Remez' exchange, relative error weighted evenly over the interval, rounded to
//! `f32`. Only additions, products, fused products and bit operations are used: no estimate instruction, whose bits
//! differ between vendors, and no division or root, which cost more than all the rest here.

use pulp::Simd;

/// Of `log2(1 + f) / f` on `[sqrt(1/2) - 1, sqrt(2) - 1]`, relative error 2.7e-8 before rounding.
const LOG2: [f32; 9] = [
    core::f32::consts::LOG2_E,
    -0.721_347_35,
    0.480_910_64,
    -0.360_703_68,
    0.287_916_25,
    -0.238_944_82,
    0.215_715_6,
    -0.207_269_73,
    0.125_837_01,
];

/// Of `2^f` on `[-1/2, 1/2]`, relative error 7.5e-8 before rounding.
const EXP2: [f32; 6] = [1.0, 0.693_146_97, 0.240_221_2, 0.055_507_133, 0.009_675_541, 0.001_327_647_2];

/// Bits of `sqrt(1/2)`: mantissas are taken from there to `sqrt(2)`, so that 1 lies inside and `log2` keeps its digits.
const HALF_ROOT: u32 = 0x3f35_04f3;

/// `log2(t)` for normal `t` in `(0, 2)`: relative error below 3e-7 around `t = 1`, absolute below 2^-22 of the
/// exponent elsewhere.
#[inline(always)]
pub(in crate::kernel::fast) fn log2<S: Simd>(simd: S, t: S::f32s) -> S::f32s {
    let shifted = simd.add_u32s(simd.transmute_u32s_f32s(t), simd.splat_u32s(0x3f80_0000 - HALF_ROOT));
    // A small whole number, as the low bits of 2^23 + it.
    let exponent = simd.wrapping_dyn_shr_u32s(shifted, simd.splat_u32s(23));
    let exponent = simd.transmute_f32s_u32s(simd.or_u32s(exponent, simd.splat_u32s(0x4b00_0000)));
    let exponent = simd.sub_f32s(exponent, simd.splat_f32s(8_388_608.0 + 127.0));
    let mantissa = simd.and_u32s(shifted, simd.splat_u32s(0x007f_ffff));
    let mantissa = simd.transmute_f32s_u32s(simd.add_u32s(mantissa, simd.splat_u32s(HALF_ROOT)));
    let f = simd.sub_f32s(mantissa, simd.splat_f32s(1.0));
    let mut p = simd.splat_f32s(LOG2[8]);
    for k in (0..8).rev() {
        p = simd.mul_add_f32s(p, f, simd.splat_f32s(LOG2[k]));
    }
    simd.mul_add_f32s(p, f, exponent)
}

/// `2^x`, relative error below 3e-7; `x` is clamped to `[-126, 126]`.
#[inline(always)]
pub(in crate::kernel::fast) fn exp2<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    exp2_within(simd, simd.min_f32s(simd.max_f32s(x, simd.splat_f32s(-126.0)), simd.splat_f32s(126.0)))
}

/// The same for `x` in `[-126, 126]`; any number for others.
#[inline(always)]
pub(super) fn exp2_within<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    // 1.5 2^23 + 127: adding it rounds x to a whole number n, whose bits then are the low ones, biased.
    let shift = simd.splat_f32s(12_582_912.0 + 127.0);
    let biased = simd.add_f32s(x, shift);
    let f = simd.sub_f32s(x, simd.sub_f32s(biased, shift));
    let mut p = simd.splat_f32s(EXP2[5]);
    for k in (0..5).rev() {
        p = simd.mul_add_f32s(p, f, simd.splat_f32s(EXP2[k]));
    }
    let power = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(biased), simd.splat_u32s(23));
    simd.mul_f32s(p, simd.transmute_f32s_u32s(power))
}

/// `1 / sqrt(q)` for normal `q`, relative error below 3e-7: an estimate from the bits (3.5e-2), a step of third order
/// (1.1e-4), one of second (2e-8).
#[inline(always)]
pub(super) fn inverse_sqrt<S: Simd>(simd: S, q: S::f32s) -> S::f32s {
    let half = simd.wrapping_dyn_shr_u32s(simd.transmute_u32s_f32s(q), simd.splat_u32s(1));
    let y = simd.transmute_f32s_u32s(simd.sub_u32s(simd.splat_u32s(0x5f37_59df), half));
    let e = simd.mul_f32s(simd.mul_f32s(q, y), y);
    let p = simd.mul_add_f32s(simd.splat_f32s(0.375), e, simd.splat_f32s(-1.25));
    let p = simd.mul_add_f32s(p, e, simd.splat_f32s(1.875));
    let y = simd.mul_f32s(y, p);
    let e = simd.mul_f32s(simd.mul_f32s(q, y), y);
    simd.mul_f32s(y, simd.mul_add_f32s(simd.splat_f32s(-0.5), e, simd.splat_f32s(1.5)))
}

#[cfg(test)]
mod tests {
    use pulp::WithSimd;

    use super::*;
    use crate::kernel::fast::InstructionSet;

    /// The three functions on a slice of arguments whose length is a multiple of 16.
    struct Table<'a>(&'a [f32]);

    impl WithSimd for Table<'_> {
        type Output = [Vec<f32>; 3];

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
            let mut out = [vec![0.0; self.0.len()], vec![0.0; self.0.len()], vec![0.0; self.0.len()]];
            let [log, exp, root] = &mut out;
            let (x, _) = S::as_simd_f32s(self.0);
            let (log, _) = S::as_mut_simd_f32s(log);
            let (exp, _) = S::as_mut_simd_f32s(exp);
            let (root, _) = S::as_mut_simd_f32s(root);
            for i in 0..x.len() {
                log[i] = log2(simd, x[i]);
                exp[i] = exp2(simd, x[i]);
                root[i] = inverse_sqrt(simd, x[i]);
            }
            out
        }
    }

    #[test]
    fn polynomials_keep_the_stated_accuracy_on_every_instruction_set() {
        // Each binade from 2^-40 to 2, and exponents from -126 to 126.
        let mut positive = Vec::new();
        for e in -40..1 {
            positive.extend((0..4096).map(|i| (1.0 + i as f32 / 4096.0) * f32::powi(2.0, e)));
        }
        positive.extend((1..1600).map(|i| 1.0 - (i as f32) * f32::EPSILON / 2.0));
        positive.resize(positive.len().next_multiple_of(16), 1.0);
        let exponents: Vec<f32> = (0..1 << 16).map(|i| -126.0 + 252.0 * i as f32 / 65535.0).collect();
        let tables: Vec<_> = InstructionSet::available()
            .into_iter()
            .map(|set| (set.run(Table(&positive)), set.run(Table(&exponents))))
            .collect();
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        for (of_positive, of_exponents) in &tables {
            for (x, (&log, &root)) in positive.iter().zip(of_positive[0].iter().zip(&of_positive[2])) {
                let exact = f64::from(*x).log2();
                let error = (f64::from(log) - exact).abs();
                assert!(error <= 3e-7 * exact.abs(), "log2({x}) is off by {error:e} of {exact}");
                let exact = f64::from(*x).sqrt().recip();
                assert!((f64::from(root) / exact - 1.0).abs() < 3e-7, "1/sqrt({x}) = {root}");
            }
            for (x, &exp) in exponents.iter().zip(&of_exponents[1]) {
                let exact = f64::from(*x).exp2();
                assert!((f64::from(exp) / exact - 1.0).abs() < 3e-7, "2^{x} = {exp}");
            }
            for k in [0, 2] {
                assert_eq!(bits(&of_positive[k]), bits(&tables[0].0[k]), "bits of function {k}");
            }
            assert_eq!(bits(&of_exponents[1]), bits(&tables[0].1[1]));
        }
    }
}
