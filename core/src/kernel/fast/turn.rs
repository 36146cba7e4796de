//! The transpose of a square of sixteen by sixteen numbers: sums of lanes that belong to different rows, side by side.

use pulp::Simd;

/// Numbers on a side.
pub(super) const SIDE: usize = 16;

/// Sixteen rows.
pub(super) type Square = [[f32; SIDE]; SIDE];

/// Rows become columns.
///
/// Where a row is one vector, by halves: rows that lie 8 apart exchange 8 lanes, then 4, 2 and 1. Elsewhere number by
/// number, which those sets do faster than to rotate lanes. (The merges by which bf16 is turned, in `half/pack.rs`, take
/// longer here on either kind of set.)
#[inline(always)]
pub(super) fn turn<S: Simd>(simd: S, square: &mut Square) {
    if S::F32_LANES == SIDE {
        let mut rows = [simd.splat_f32s(0.0); SIDE];
        rows.copy_from_slice(S::as_simd_f32s(square.as_flattened()).0);
        exchange::<S, 8>(simd, &mut rows);
        exchange::<S, 4>(simd, &mut rows);
        exchange::<S, 2>(simd, &mut rows);
        exchange::<S, 1>(simd, &mut rows);
        S::as_mut_simd_f32s(square.as_flattened_mut()).0.copy_from_slice(&rows);
        return;
    }
    let rows = *square;
    for (c, column) in square.iter_mut().enumerate() {
        for (to, row) in column.iter_mut().zip(&rows) {
            *to = row[c];
        }
    }
}

/// Of rows `APART`, the upper one's lanes with that bit and the lower one's without it change places.
#[inline(always)]
fn exchange<S: Simd, const APART: usize>(simd: S, rows: &mut [S::f32s; SIDE]) {
    const LANES: [u32; SIDE] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
    let bit = simd.and_u32s(S::as_simd_u32s(&LANES).0[0], simd.splat_u32s(APART as u32));
    let without = simd.equal_u32s(bit, simd.splat_u32s(0));
    for upper in 0..SIDE {
        if upper & APART == 0 {
            let (a, b) = (rows[upper], rows[upper + APART]);
            rows[upper] = simd.select_f32s(without, a, simd.rotate_right_f32s(b, APART));
            rows[upper + APART] = simd.select_f32s(without, simd.rotate_left_f32s(a, APART), b);
        }
    }
}

/// Of each row the sum of its numbers, in order. The rows are lost.
#[inline(always)]
pub(super) fn row_sums<S: Simd>(simd: S, rows: &mut Square) -> [f32; SIDE] {
    turn(simd, rows);
    let mut sums = [0.0; SIDE];
    let (lanes, _) = S::as_mut_simd_f32s(&mut sums);
    for column in rows {
        for (sum, &numbers) in lanes.iter_mut().zip(S::as_simd_f32s(column).0) {
            *sum = simd.add_f32s(*sum, numbers);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use pulp::WithSimd;

    use super::*;
    use crate::kernel::fast::InstructionSet;

    struct Turn<'a>(&'a mut Square);

    impl WithSimd for Turn<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            turn(simd, self.0);
        }
    }

    #[test]
    fn rows_become_columns_on_every_instruction_set() {
        for set in InstructionSet::available() {
            let mut square: Square = core::array::from_fn(|r| core::array::from_fn(|c| (16 * r + c) as f32));
            set.run(Turn(&mut square));
            for (r, row) in square.iter().enumerate() {
                for (c, number) in row.iter().enumerate() {
                    assert_eq!(*number, (16 * c + r) as f32, "row {r}, column {c}, {set}");
                }
            }
        }
    }
}
