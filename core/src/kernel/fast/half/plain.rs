//! The sums of the tile units by other instructions, to the last bit.
//!
//! What takes time is that a result below f32's normal numbers has to become 0, step by step. It is mostly not needed: a
//! bf16 of at least `2^e` is a multiple of `2^(e-7)`, so with the least exponents of both sides every product is a multiple
//! of `2^(e+f-14)`; and so is every sum, since rounding leaves a multiple of something larger. What is not 0 is then no
//! less than that, and where that is a normal number nothing else can come out.

use pulp::{Simd, WithSimd, bytemuck};

use super::tiles::{BLOCK, PANEL, Product, STEP, TILE};

/// Pairs of terms in a step.
const PAIRS: usize = STEP / 2;

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if self.stays_normal() { self.sums::<S, false>(simd) } else { self.sums::<S, true>(simd) }
    }
}

impl Product<'_> {
    /// Whether no sum of products can be below f32's normal numbers and not 0.
    #[inline(always)]
    fn stays_normal(&self) -> bool {
        let Self { blocks, a, stride, starts, run, b, .. } = *self;
        let mut least = u16::MAX;
        for row in 0..blocks * BLOCK {
            for start in starts {
                least = least.min(least_size(&a[row * stride + start..][..run * STEP]));
            }
        }
        let other = least_size(&b[..starts.len() * run * PANEL]);
        // Biased by 127 each; zeros alone have no least number.
        let exponent = |size: u16| i32::from(size >> 7) - 127;
        exponent(least) + exponent(other) - 14 >= f32::MIN_EXP - 1
    }

    /// All sums. `LOOK`: at every result, which may be below the normal numbers.
    #[inline(always)]
    fn sums<S: Simd, const LOOK: bool>(self, simd: S) {
        // Rows at once, tiles at once and vectors of a tile: as many sums as registers hold.
        match S::F32_LANES {
            16 => self.blocks::<S, LOOK, 4, 2, 1>(simd),
            8 => self.blocks::<S, LOOK, 2, 1, 2>(simd),
            4 => self.blocks::<S, LOOK, 2, 1, 4>(simd),
            _ => self.blocks::<S, LOOK, 1, 1, TILE>(simd),
        }
    }

    #[inline(always)]
    fn blocks<S: Simd, const LOOK: bool, const ROWS: usize, const TILES: usize, const V: usize>(
        self,
        simd: S,
    ) {
        let Self { blocks, a, stride, starts, run, b, add, c, width } = self;
        // `[step][tile][pair][column]`: a pair is an even term in the low half and an odd one in the high.
        let (tiles, _) = bytemuck::cast_slice::<u16, u32>(b).as_chunks::<{ PANEL / 4 }>();
        for row in (0..blocks * BLOCK).step_by(ROWS) {
            for tile in (0..2).step_by(TILES) {
                let place = |r: usize, t: usize| (row + r) * width + (tile + t) * TILE;
                let mut sums = [[[simd.splat_f32s(0.0); V]; TILES]; ROWS];
                for (r, t) in (0..ROWS).flat_map(|r| (0..TILES).map(move |t| (r, t))).filter(|_| add) {
                    sums[r][t].copy_from_slice(S::as_simd_f32s(&c[place(r, t)..][..TILE]).0);
                }
                let steps = starts.iter().flat_map(|&start| (0..run).map(move |step| start + step * STEP));
                for (step, from) in steps.enumerate() {
                    let rows: [&[u16]; ROWS] =
                        core::array::from_fn(|r| &a[(row + r) * stride + from..][..STEP]);
                    let tiles: [&[u32; PANEL / 4]; TILES] =
                        core::array::from_fn(|t| &tiles[2 * step + tile + t]);
                    add_step::<S, LOOK, ROWS, TILES, V>(simd, &mut sums, rows, tiles);
                }
                for (r, t) in (0..ROWS).flat_map(|r| (0..TILES).map(move |t| (r, t))) {
                    S::as_mut_simd_f32s(&mut c[place(r, t)..][..TILE]).0.copy_from_slice(&sums[r][t]);
                }
            }
        }
    }
}

/// The bits of the number next to 0 but for its sign; all bits if all are 0.
#[inline(always)]
fn least_size(numbers: &[u16]) -> u16 {
    // Less 1, by which 0 becomes the largest.
    let least = numbers.iter().fold(u16::MAX, |least, x| least.min((x & 0x7fff).wrapping_sub(1)));
    least.saturating_add(1)
}

/// Adds the 32 products of each row with each tile.
#[inline(always)]
fn add_step<S: Simd, const LOOK: bool, const ROWS: usize, const TILES: usize, const V: usize>(
    simd: S,
    sums: &mut [[[S::f32s; V]; TILES]; ROWS],
    rows: [&[u16]; ROWS],
    tiles: [&[u32; PANEL / 4]; TILES],
) {
    let zero = [[[simd.splat_f32s(0.0); V]; TILES]; ROWS];
    let (mut even, mut odd) = (zero, zero);
    let low =
        |pairs: S::u32s| simd.transmute_f32s_u32s(simd.wrapping_dyn_shl_u32s(pairs, simd.splat_u32s(16)));
    let high = |pairs: S::u32s| simd.transmute_f32s_u32s(simd.and_u32s(pairs, simd.splat_u32s(0xffff_0000)));
    let looked_at = |x: S::f32s| if LOOK { normal(simd, x) } else { x };
    for k in 0..PAIRS {
        let mut columns = [[[zero[0][0][0]; V]; TILES]; 2];
        for t in 0..TILES {
            let pairs = S::as_simd_u32s(&tiles[t][k * TILE..][..TILE]).0;
            for v in 0..V {
                columns[0][t][v] = low(pairs[v]);
                columns[1][t][v] = high(pairs[v]);
            }
        }
        for r in 0..ROWS {
            let pair = u32::from(rows[r][2 * k]) | u32::from(rows[r][2 * k + 1]) << 16;
            let pair = simd.splat_u32s(pair);
            let (left, right) = (low(pair), high(pair));
            for t in 0..TILES {
                for v in 0..V {
                    even[r][t][v] = looked_at(simd.mul_add_f32s(left, columns[0][t][v], even[r][t][v]));
                    odd[r][t][v] = looked_at(simd.mul_add_f32s(right, columns[1][t][v], odd[r][t][v]));
                }
            }
        }
    }
    for r in 0..ROWS {
        for t in 0..TILES {
            for v in 0..V {
                let step = looked_at(simd.add_f32s(even[r][t][v], odd[r][t][v]));
                // What was there before may be a multiple of something less.
                sums[r][t][v] = normal(simd, simd.add_f32s(sums[r][t][v], step));
            }
        }
    }
}

/// 0, with its sign, for what is below the normal numbers.
#[inline(always)]
fn normal<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let sign = simd.and_u32s(simd.transmute_u32s_f32s(x), simd.splat_u32s(1 << 31));
    let is_less = simd.less_than_f32s(simd.abs_f32s(x), simd.splat_f32s(f32::MIN_POSITIVE));
    simd.select_f32s(is_less, simd.transmute_f32s_u32s(sign), x)
}

#[cfg(test)]
mod tests {
    use super::super::pack::round;
    use super::super::tiles::wide;
    use super::*;
    use crate::kernel::fast::InstructionSet;
    use crate::kernel::fast::scratch::Lined;
    use crate::rng::{Key, Stream};

    const STARTS: [usize; 3] = [64, 5, 0];
    const RUN: usize = 2;
    const STRIDE: usize = 96;
    const WIDTH: usize = 40;

    /// Both sides, from numbers of `number(side, index)`.
    fn sides(number: impl Fn(u32, usize) -> f64) -> [Lined<u16>; 2] {
        let mut sides = [63 * STRIDE + 128, STARTS.len() * RUN * PANEL].map(Lined::new);
        for (which, side) in (0..).zip(&mut sides) {
            side.iter_mut().enumerate().for_each(|(at, to)| *to = round(number(which, at) as f32));
        }
        sides
    }

    /// The same number by number: `[row][32 columns]` of the two blocks.
    fn one_by_one([a, b]: &[Lined<u16>; 2], add: bool) -> Vec<u32> {
        let normal = |x: f32| if x.abs() < f32::MIN_POSITIVE { 0.0_f32.copysign(x) } else { x };
        let (mut sums, steps) = (start(), STARTS.iter().flat_map(|start| [*start, start + STEP]));
        let steps: Vec<usize> = steps.collect();
        for (row, column) in (0..2 * BLOCK).flat_map(|row| (0..BLOCK).map(move |column| (row, column))) {
            let mut sum = if add { sums[row * WIDTH + column] } else { 0.0 };
            for (step, from) in steps.iter().enumerate() {
                let mut chains = [0.0_f32; 2];
                for term in 0..STEP {
                    let at = step * PANEL + column / TILE * PANEL / 2 + term / 2 * BLOCK;
                    let right = wide(b[at + 2 * (column % TILE) + term % 2]);
                    let chain = &mut chains[term % 2];
                    *chain = normal(wide(a[row * STRIDE + from + term]).mul_add(right, *chain));
                }
                sum = normal(sum + normal(chains[0] + chains[1]));
            }
            sums[row * WIDTH + column] = sum;
        }
        sums.into_iter().map(f32::to_bits).collect()
    }

    /// What is there before, some of it near the least normal number.
    fn start() -> Vec<f32> {
        (0..2 * BLOCK * WIDTH).map(|at| (at as f32 - 900.0) * 1e-38).collect()
    }

    struct Look<'a>(Product<'a>, Option<bool>);

    impl WithSimd for Look<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            match self.1 {
                None => self.0.with_simd(simd),
                Some(false) => self.0.sums::<S, false>(simd),
                Some(true) => self.0.sums::<S, true>(simd),
            }
        }
    }

    /// The bits of the sums, with a look at each result, without, or as is chosen; and whether they stay normal.
    fn multiply(
        set: InstructionSet,
        [a, b]: &[Lined<u16>; 2],
        add: bool,
        look: Option<bool>,
    ) -> (Vec<u32>, bool) {
        let mut c = start();
        let (blocks, stride, starts, run, width) = (2, STRIDE, &STARTS, RUN, WIDTH);
        let product = Product { blocks, a, stride, starts, run, b, add, c: &mut c, width };
        let normal = product.stays_normal();
        set.run(Look(product, look));
        (c.into_iter().map(f32::to_bits).collect(), normal)
    }

    #[test]
    fn sums_that_stay_normal_need_no_look() {
        let key = Key::new(1, Stream::Init, 0);
        let uniform = |which: u32, at: usize| 2.0 * key.uniform(which, at as u32) - 1.0;
        let around_one = sides(|which, at| uniform(which, at) + 0.01);
        let far_apart = sides(|which, at| 1.5 * libm::exp2(28.0 * uniform(which, at)));
        let some_zeros = sides(|which, at| f64::from(at % 3 > 0) * (uniform(which, at) + 0.01));
        let zeros = sides(|_, _| 0.0);
        // Sums of which many cancel, of products that are multiples of 2^-126 and little more than that.
        let least = sides(|which, at| {
            let sign = if uniform(which, at) > 0.0 { 1.0 } else { -1.0 };
            sign * (1.0 + (at % 3) as f64 / 128.0) * libm::exp2(-56.0)
        });
        for (name, sides) in [
            ("around one", around_one),
            ("far apart", far_apart),
            ("some zeros", some_zeros),
            ("zeros", zeros),
            ("least", least),
        ] {
            for (set, add) in
                InstructionSet::available().into_iter().flat_map(|set| [(set, false), (set, true)])
            {
                let wanted = one_by_one(&sides, add);
                for look in [None, Some(false), Some(true)] {
                    let (found, normal) = multiply(set, &sides, add, look);
                    assert!(normal && found == wanted, "{name}, {set}, {add}, {look:?}");
                }
            }
        }
    }

    #[test]
    fn sums_that_may_vanish_are_looked_at() {
        // Of each row 1 + 2^-7 and -1, of each column 1 + 2^-7 and 1 + 2^-6, twice, and zeros: 2^-14 is left each time, which
        // the exponents make half of the least normal number.
        let term = |which: u32, at: usize| match (which, at % STEP, at / STEP % PAIRS) {
            (0, 0 | 4, _) => 1.0 + 1.0 / 128.0,
            (0, 2 | 6, _) => -1.0,
            (1, even, 0 | 2) if even % 2 == 0 => 1.0 + 1.0 / 128.0,
            (1, even, 1 | 3) if even % 2 == 0 => 1.0 + 2.0 / 128.0,
            _ => 0.0,
        };
        let sides = sides(|which, at| term(which, at) * libm::exp2(-56.0 - f64::from(which)));
        for set in InstructionSet::available() {
            let wanted = one_by_one(&sides, false);
            let (found, normal) = multiply(set, &sides, false, None);
            assert!(!normal && found == wanted, "{set}");
            // And it is needed.
            assert!(multiply(set, &sides, false, Some(false)).0 != wanted, "{set}");
        }
    }

    #[test]
    fn the_least_number_is_that_next_to_zero() {
        assert_eq!(least_size(&[round(-1.0), 0, 0x8000, round(-0.5), round(2.0)]), round(0.5));
        assert_eq!(least_size(&[0, 0x8000]), u16::MAX);
        assert_eq!(least_size(&[]), u16::MAX);
    }
}
