//! What one thread of this machine does at most: the unit in which the hot paths are measured.

use core::hint::black_box;
use std::time::Instant;

use pulp::{Simd, WithSimd};

use super::InstructionSet;
use super::half::Tiles;
use super::step::math;

/// Operations on f32 that one thread does in a second, at best.
///
/// ```
/// use nearfar_core::kernel::fast::{InstructionSet, Rates};
/// let rates = Rates::measure(InstructionSet::best());
/// assert!(rates.multiply_adds > rates.logarithms); // a logarithm takes a dozen of them
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Fused multiplications with addition, all operands in registers.
    pub multiply_adds: f64,
    /// Logarithms of the own vector form, operands in the first cache.
    pub logarithms: f64,
    /// Exponentials, likewise.
    pub exponentials: f64,
    /// Multiplications with addition of bf16 numbers by the tile units, operands in the first cache; none where there are
    /// no such units, or a lesser instruction set was asked for.
    pub tile_multiply_adds: Option<f64>,
}

/// Times each loop this often; the fastest counts, since all that disturbs makes slower.
const TRIES: usize = 25;
/// As [`TRIES`], for a glance.
const FEW: usize = 3;

impl Rates {
    /// Measures the rates; takes about a tenth of a second.
    #[must_use]
    pub fn measure(set: InstructionSet) -> Self {
        Self::best_of(TRIES, set)
    }

    /// As [`measure`](Self::measure) within some milliseconds: what the machine does just now, where others slow it down.
    ///
    /// ```
    /// use nearfar_core::kernel::fast::{InstructionSet, Rates};
    /// assert!(Rates::glance(InstructionSet::best()).multiply_adds > 0.0);
    /// ```
    #[must_use]
    pub fn glance(set: InstructionSet) -> Self {
        Self::best_of(FEW, set)
    }

    fn best_of(tries: usize, set: InstructionSet) -> Self {
        let best = |work: &dyn Fn() -> f64| {
            (0..tries)
                .map(|_| {
                    let start = Instant::now();
                    work() / start.elapsed().as_secs_f64()
                })
                .fold(0.0, f64::max)
        };
        Self {
            multiply_adds: best(&|| set.run(MultiplyAdds)),
            logarithms: best(&|| set.run(Elementary { exponential: false })),
            exponentials: best(&|| set.run(Elementary { exponential: true })),
            tile_multiply_adds: match Tiles::new(set) {
                units @ Tiles::Units(_) => Some(best(&|| units.work())),
                Tiles::Plain(_) => None,
            },
        }
    }
}

/// Independent chains of multiply-adds: enough to hide their latency.
struct MultiplyAdds;

impl WithSimd for MultiplyAdds {
    /// Multiply-adds done.
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        const CHAINS: usize = 12;
        const ROUNDS: usize = 100_000;
        let (factor, term) = (simd.splat_f32s(black_box(0.5)), simd.splat_f32s(black_box(1.0)));
        let mut chains = [simd.splat_f32s(0.0); CHAINS];
        for _ in 0..ROUNDS {
            for chain in &mut chains {
                *chain = simd.mul_add_f32s(*chain, factor, term);
            }
        }
        black_box(chains);
        (ROUNDS * CHAINS * S::F32_LANES) as f64
    }
}

/// An elementary function over a block of numbers that stays in the first cache.
struct Elementary {
    exponential: bool,
}

impl WithSimd for Elementary {
    /// Functions evaluated.
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        const LEN: usize = 1024;
        const ROUNDS: usize = 100;
        let mut numbers = [black_box(0.7_f32); LEN];
        for _ in 0..ROUNDS {
            let (vectors, _) = S::as_mut_simd_f32s(&mut numbers);
            for vector in vectors {
                // Written back as it was: each round works on the same numbers.
                let value =
                    if self.exponential { math::exp2(simd, *vector) } else { math::log2(simd, *vector) };
                *vector = simd.min_f32s(simd.max_f32s(value, simd.splat_f32s(0.7)), simd.splat_f32s(0.7));
            }
            black_box(&mut numbers);
        }
        (ROUNDS * LEN) as f64
    }
}
