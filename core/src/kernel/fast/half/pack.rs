//! Numbers on their way into a product: rounded to bf16, and laid out as the tiles read them.

use pulp::{Simd, WithSimd};

use super::tiles::{BLOCK, PANEL, STEP};

/// The nearest bf16, ties to even. A NaN stays one; what would not be a normal number is 0, as the tiles would read it.
#[inline(always)]
pub(super) fn round(x: f32) -> u16 {
    let bits = x.to_bits();
    let sign = (bits >> 16) & 0x8000;
    let nearest = (bits.wrapping_add(0x7fff + ((bits >> 16) & 1))) >> 16;
    let kept = if nearest & 0x7f80 == 0 { sign } else { nearest };
    (if bits << 1 > 0xff00_0000 { sign | 0x7fc0 } else { kept }) as u16
}

/// Rounds `from` to the start of `to`; the rest of `to` is 0.
#[inline(always)]
pub(super) fn round_row(from: &[f32], to: &mut [u16]) {
    let (to, rest) = to.split_at_mut(from.len());
    for (to, &from) in to.iter_mut().zip(from) {
        *to = round(from);
    }
    rest.fill(0);
}

/// Right sides of products, `terms x columns`, one block of columns after the other; both are padded with zeros.
#[derive(Clone, Copy)]
pub(super) struct Panels {
    /// Steps of a block.
    pub(super) steps: usize,
    /// Blocks of columns.
    pub(super) blocks: usize,
}

impl Panels {
    pub(super) fn new(terms: usize, columns: usize) -> Self {
        Self { steps: terms.div_ceil(STEP), blocks: columns.div_ceil(BLOCK) }
    }

    /// Numbers in a block.
    pub(super) fn block_len(&self) -> usize {
        self.steps * PANEL
    }

    /// Numbers in all.
    pub(super) fn len(&self) -> usize {
        self.blocks * self.block_len()
    }

    /// Packs a pair of terms, number `pair`: all columns of the even one and of the odd one.
    #[inline(always)]
    pub(super) fn pair(&self, pair: usize, even: &[u16], odd: &[u16], panels: &mut [u16]) {
        let (step, row) = (pair / (STEP / 2), pair % (STEP / 2));
        for (half, (even, odd)) in even.chunks(BLOCK / 2).zip(odd.chunks(BLOCK / 2)).enumerate() {
            let tile = (half / 2 * self.steps + step) * PANEL + half % 2 * PANEL / 2;
            let to = &mut panels[tile + row * BLOCK..][..BLOCK];
            for ((to, &even), &odd) in to.chunks_exact_mut(2).zip(even).zip(odd) {
                (to[0], to[1]) = (even, odd);
            }
        }
    }
}

/// Packs rows of `columns` numbers, a term each.
pub(super) struct Pairs<'a> {
    pub(super) panels: Panels,
    pub(super) columns: usize,
    pub(super) rows: &'a [u16],
    pub(super) to: &'a mut [u16],
}

impl WithSimd for Pairs<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { panels, columns, rows, to } = self;
        for (pair, rows) in rows.chunks_exact(2 * columns).enumerate() {
            let (even, odd) = rows.split_at(columns);
            panels.pair(pair, even, odd, to);
        }
    }
}

/// Rounds rows of `columns` numbers, the first of them and then each `stride` numbers on, to rows of `depth`; rows for
/// which there are no numbers are 0.
pub(super) struct RoundRows<'a> {
    pub(super) columns: usize,
    pub(super) stride: usize,
    pub(super) depth: usize,
    pub(super) from: &'a [f32],
    pub(super) to: &'a mut [u16],
}

impl WithSimd for RoundRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { columns, stride, depth, from, to } = self;
        let mut from = from.chunks(stride);
        for to in to.chunks_exact_mut(depth) {
            match from.next() {
                Some(from) => round_row(&from[..columns], to),
                None => to.fill(0),
            }
        }
    }
}

/// Rows and columns of a square of pairs that is turned in registers.
const SQUARE: usize = BLOCK / 2;

/// The transpose of `rows x columns` bf16, `from_stride` and `to_stride` numbers from row to row.
#[inline(always)]
pub(super) fn turn(
    (rows, columns): (usize, usize),
    (from, from_stride): (&[u16], usize),
    (to, to_stride): (&mut [u16], usize),
) {
    let (whole_rows, whole_columns) = (rows / BLOCK * BLOCK, columns / SQUARE * SQUARE);
    for row in (0..whole_rows).step_by(BLOCK) {
        for column in (0..whole_columns).step_by(SQUARE) {
            let mut square = [[0_u32; SQUARE]; SQUARE];
            for (pair, pairs) in square.iter_mut().enumerate() {
                let at = (row + 2 * pair) * from_stride + column;
                let (even, odd) = (&from[at..at + SQUARE], &from[at + from_stride..][..SQUARE]);
                for ((pair, &even), &odd) in pairs.iter_mut().zip(even).zip(odd) {
                    *pair = u32::from(even) | u32::from(odd) << 16;
                }
            }
            // Row i and row i + 8 become one, number by number; four times that is the transpose.
            for _ in 0..SQUARE.ilog2() {
                let (upper, lower) = square.split_at(SQUARE / 2);
                let mut merged = [[0; SQUARE]; SQUARE];
                for ((merged, upper), lower) in merged.chunks_exact_mut(2).zip(upper).zip(lower) {
                    let merged = merged.as_flattened_mut().chunks_exact_mut(2);
                    for ((merged, &a), &b) in merged.zip(upper).zip(lower) {
                        (merged[0], merged[1]) = (a, b);
                    }
                }
                square = merged;
            }
            for (i, pairs) in square.iter().enumerate() {
                let to = &mut to[(column + i) * to_stride + row..][..BLOCK];
                for (to, &pair) in to.chunks_exact_mut(2).zip(pairs) {
                    (to[0], to[1]) = (pair as u16, (pair >> 16) as u16);
                }
            }
        }
    }
    for row in 0..rows {
        let done = if row < whole_rows { whole_columns } else { 0 };
        for column in done..columns {
            to[column * to_stride + row] = from[row * from_stride + column];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tiles::wide;
    use super::*;

    #[test]
    fn rounding_is_to_nearest_even_and_keeps_what_is_no_number() {
        // 1 + 2^-8 lies between two and goes to the even one; beyond it the nearer one is taken.
        let cases = [
            (1.0, 1.0),
            (1.0 + 1.0 / 256.0, 1.0),
            (1.0 + 3.0 / 256.0, 1.0 + 1.0 / 64.0),
            (-1.003_906_4, -1.0 - 1.0 / 128.0),
            (f32::MAX, f32::INFINITY),
            (f32::NEG_INFINITY, f32::NEG_INFINITY),
            (f32::MIN_POSITIVE, f32::MIN_POSITIVE),
            (-f32::MIN_POSITIVE / 2.0, 0.0),
        ];
        for (x, wanted) in cases {
            assert_eq!(wide(round(x)), wanted, "{x:e}");
        }
        assert!(wide(round(f32::NAN)).is_nan() && wide(round(f32::from_bits(0xffff_ffff))).is_nan());
        assert_eq!(round(-1e-45), 0x8000);
    }

    #[test]
    fn pairs_of_terms_lie_beside_one_another() {
        let panels = Panels::new(34, 33);
        assert_eq!((panels.steps, panels.blocks, panels.len()), (2, 2, 4 * PANEL));
        let mut to = vec![0; panels.len()];
        let (even, odd): (Vec<u16>, Vec<u16>) = ((1..34).collect(), (101..134).collect());
        panels.pair(16, &even, &odd, &mut to);
        // Block 0, step 1, first row of its two tiles; then block 1, of which one column is there.
        assert_eq!(to[PANEL..PANEL + 4], [1, 101, 2, 102]);
        assert_eq!(to[PANEL + PANEL / 2..][..4], [17, 117, 18, 118]);
        assert_eq!(to[3 * PANEL..][..4], [33, 133, 0, 0]);
        assert_eq!(to.iter().filter(|&&x| x != 0).count(), 66);
    }

    #[test]
    fn a_transpose_has_each_number_at_its_place() {
        for (rows, columns) in [(1, 1), (37, 5), (5, 37), (32, 16), (64, 48), (70, 35)] {
            let (from_stride, to_stride) = (columns + 3, rows + 1);
            let from: Vec<u16> = (0..(rows * from_stride) as u16).collect();
            let mut to = vec![9999; columns * to_stride];
            turn((rows, columns), (&from, from_stride), (&mut to, to_stride));
            for (column, to) in to.chunks_exact(to_stride).enumerate() {
                let wanted = (0..rows).map(|row| (row * from_stride + column) as u16);
                assert!(
                    to[..rows].iter().copied().eq(wanted) && to[rows] == 9999,
                    "{rows} x {columns}, {column}"
                );
            }
        }
    }
}
