//! Instruction sets: which there are on this machine, and how a kernel is run on one of them.
//!
//! Kernels are written once over [`pulp::Simd`] and compiled for each set; the choice is made at run time. A kernel
//! fixes the order of its sums by itself, never by the number of lanes, and fuses each multiplication with its
//! addition: every set gives the same bits.

use core::fmt;

use pulp::{Simd, WithSimd};

use crate::Scalar;

/// An instruction set that kernels are compiled for.
///
/// ```
/// use nearfar_core::kernel::fast::InstructionSet;
/// let all = InstructionSet::available();
/// assert_eq!(all[0], InstructionSet::best());
/// assert!(all.contains(&InstructionSet::Plain)); // every machine has this one
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstructionSet {
    /// AVX-512 (F, BW, CD, DQ, VL): 16 lanes of f32.
    Avx512,
    /// AVX2 with FMA: 8 lanes.
    Avx2,
    /// NEON: 4 lanes.
    Neon,
    /// No vector instructions: one lane.
    Plain,
}

impl InstructionSet {
    /// Those that this machine has, the best first.
    #[must_use]
    pub fn available() -> Vec<Self> {
        [Self::Avx512, Self::Avx2, Self::Neon, Self::Plain]
            .into_iter()
            .filter(|set| set.is_available())
            .collect()
    }

    /// The best that this machine has.
    #[must_use]
    pub fn best() -> Self {
        Self::available()[0]
    }

    /// Whether this machine has it.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            Self::Avx512 => pulp::x86::V4::try_new().is_some(),
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            Self::Avx2 => pulp::x86::V3::try_new().is_some(),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => pulp::aarch64::Neon::try_new().is_some(),
            set => set == Self::Plain,
        }
    }

    /// Runs `work` compiled for this set; without vector instructions on a machine that lacks it.
    #[inline]
    pub(super) fn run<W: WithSimd>(self, work: W) -> W::Output {
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        {
            if self == Self::Avx512
                && let Some(simd) = pulp::x86::V4::try_new()
            {
                return Simd::vectorize(simd, work);
            }
            if self == Self::Avx2
                && let Some(simd) = pulp::x86::V3::try_new()
            {
                return Simd::vectorize(simd, work);
            }
        }
        #[cfg(target_arch = "aarch64")]
        if self == Self::Neon
            && let Some(simd) = pulp::aarch64::Neon::try_new()
        {
            return Simd::vectorize(simd, work);
        }
        Simd::vectorize(pulp::Scalar::new(), work)
    }
}

impl fmt::Display for InstructionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Avx512 => "AVX-512",
            Self::Avx2 => "AVX2",
            Self::Neon => "NEON",
            Self::Plain => "no SIMD",
        })
    }
}

/// Numbers to which scratch memory is padded: two vectors of the widest set.
pub(super) const WIDEST: usize = 32;

/// The first vector of `from`; what lies beyond its end is 0.
#[inline(always)]
pub(super) fn get<S: Simd>(simd: S, from: &[f32]) -> S::f32s {
    match S::as_simd_f32s(from).0.first() {
        Some(&vector) => vector,
        None => simd.partial_load_f32s(from),
    }
}

/// Writes `vector` to the start of `to`; what lies beyond its end is dropped.
#[inline(always)]
pub(super) fn put<S: Simd>(simd: S, to: &mut [f32], vector: S::f32s) {
    match S::as_mut_simd_f32s(to).0.first_mut() {
        Some(place) => *place = vector,
        None => simd.partial_store_f32s(to, vector),
    }
}

/// A number as kernels see it that are written for both precisions: vectors of it on any instruction set.
pub(super) trait Lanes: Scalar {
    /// A vector of these numbers.
    type Vector<S: Simd>: Copy;

    /// Numbers in a vector.
    fn lanes<S: Simd>() -> usize {
        size_of::<Self::Vector<S>>() / size_of::<Self>()
    }
    /// The vectors at the start of a slice.
    fn vectors<S: Simd>(numbers: &[Self]) -> &[Self::Vector<S>];
    /// As [`vectors`](Self::vectors), to be written.
    fn vectors_mut<S: Simd>(numbers: &mut [Self]) -> &mut [Self::Vector<S>];
    /// One number in all lanes.
    fn splat<S: Simd>(simd: S, number: Self) -> Self::Vector<S>;
    /// `a b`.
    fn multiply<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// `a b + c`, rounded once.
    fn multiply_add<S: Simd>(
        simd: S,
        a: Self::Vector<S>,
        b: Self::Vector<S>,
        c: Self::Vector<S>,
    ) -> Self::Vector<S>;
}

macro_rules! lanes {
    ($number:ident, $vector:ident, $get:ident, $get_mut:ident, $splat:ident, $mul:ident, $mul_add:ident) => {
        impl Lanes for $number {
            type Vector<S: Simd> = S::$vector;

            #[inline(always)]
            fn vectors<S: Simd>(numbers: &[Self]) -> &[S::$vector] {
                S::$get(numbers).0
            }
            #[inline(always)]
            fn vectors_mut<S: Simd>(numbers: &mut [Self]) -> &mut [S::$vector] {
                S::$get_mut(numbers).0
            }
            #[inline(always)]
            fn splat<S: Simd>(simd: S, number: Self) -> S::$vector {
                simd.$splat(number)
            }
            #[inline(always)]
            fn multiply<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
                simd.$mul(a, b)
            }
            #[inline(always)]
            fn multiply_add<S: Simd>(simd: S, a: S::$vector, b: S::$vector, c: S::$vector) -> S::$vector {
                simd.$mul_add(a, b, c)
            }
        }
    };
}

lanes!(f32, f32s, as_simd_f32s, as_mut_simd_f32s, splat_f32s, mul_f32s, mul_add_f32s);
lanes!(f64, f64s, as_simd_f64s, as_mut_simd_f64s, splat_f64s, mul_f64s, mul_add_f64s);
