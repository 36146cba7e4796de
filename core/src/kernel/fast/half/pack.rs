//! Numbers on their way into a product: rounded to bf16, and laid out as the tiles read them.

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

/// The transpose of `rows x columns` bf16, `from_stride` and `to_stride` numbers from row to row.
#[inline(always)]
pub(super) fn turn(
    (rows, columns): (usize, usize),
    (from, from_stride): (&[u16], usize),
    (to, to_stride): (&mut [u16], usize),
) {
    for row in (0..rows).step_by(STEP) {
        for column in 0..columns {
            let to = &mut to[column * to_stride + row..][..STEP.min(rows - row)];
            for (to, from) in to.iter_mut().zip(from[row * from_stride + column..].iter().step_by(from_stride)) {
                *to = *from;
            }
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
    fn a_transpose_of_a_transpose_is_the_same() {
        let from: Vec<u16> = (0..37 * 40).collect();
        let (mut there, mut back) = (vec![0; 5 * 41], vec![0; 37 * 40]);
        turn((37, 5), (&from, 40), (&mut there, 41));
        turn((5, 37), (&there, 41), (&mut back, 40));
        assert_eq!((there[0], there[1], there[41]), (0, 40, 1));
        assert!((0..37).all(|row| back[row * 40..][..5] == from[row * 40..][..5]));
    }
}
