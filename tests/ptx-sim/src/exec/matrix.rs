//! Tensor cores: `ldmatrix` and `mma.sync`, with the layouts of fragments as the PTX manual draws them.
//!
//! `g` is a lane's number divided by 4 (its row), `t` the rest (its column). Products of short numbers are exact in
//! double, and sums are kept in double and rounded once: the true sum to half an ulp. Hardware cuts bits while it
//! aligns summands, differently by generation, so tests must allow for that.

use super::block::{Block, LANES};
use crate::arith::{widen_bf16, widen_f16};
use crate::fault::{Check, bad_address};
use crate::op::{Matrix, Place, Reg, Src};

impl Block<'_> {
    /// Loads 8 by 8 matrices of 16-bit elements; lanes 8m to 8m+7 hold the addresses of the rows of matrix m.
    pub(super) fn load_matrix(
        &mut self,
        start: usize,
        d: [Reg; 4],
        count: usize,
        transposed: bool,
        from: Place,
    ) -> Check<()> {
        let mut matrices = [[[0u16; 8]; 8]; 4];
        for (m, matrix) in matrices.iter_mut().enumerate().take(count) {
            for (row, elements) in matrix.iter_mut().enumerate() {
                let lane = start + 8 * m + row;
                let address = self.value(lane, from.base).wrapping_add(from.offset as u64) & 0xffff_ffff;
                if !address.is_multiple_of(16) {
                    return bad_address(format!("misaligned matrix row at byte {address} of shared memory"));
                }
                for word in 0..4 {
                    let value = self.read_shared(lane, address + 4 * word as u64, 4)?;
                    (elements[2 * word], elements[2 * word + 1]) = (value as u16, (value >> 16) as u16);
                }
            }
        }
        for lane in 0..LANES {
            let (g, t) = (lane / 4, lane % 4);
            for (m, matrix) in matrices.iter().enumerate().take(count) {
                let (low, high) = if transposed {
                    (matrix[2 * t][g], matrix[2 * t + 1][g])
                } else {
                    (matrix[g][2 * t], matrix[g][2 * t + 1])
                };
                self.set(start + lane, d[m], u64::from(low) | u64::from(high) << 16);
            }
        }
        Ok(())
    }

    /// `D = A B + C`: 16 by k times k by 8.
    pub(super) fn multiply(
        &mut self,
        start: usize,
        kind: Matrix,
        k: usize,
        d: [Reg; 4],
        a: &[Src],
        b: &[Src],
        c: &[Src; 4],
    ) {
        let (mut left, mut right) = ([[0f64; 16]; 16], [[0f64; 8]; 16]);
        let packed = if kind == Matrix::Tf32 { 1 } else { 2 };
        // Columns that one register of every lane of a row covers.
        let span = 4 * packed;
        for lane in 0..LANES {
            let (g, t) = (lane / 4, lane % 4);
            for part in 0..packed {
                let column = packed * t + part;
                for (at, source) in a.iter().enumerate() {
                    let bits = self.value(start + lane, *source) as u32;
                    left[g + 8 * (at % 2)][column + span * (at / 2)] = element(kind, bits, part);
                }
                for (at, source) in b.iter().enumerate() {
                    let bits = self.value(start + lane, *source) as u32;
                    right[column + span * at][g] = element(kind, bits, part);
                }
            }
        }
        for lane in 0..LANES {
            let (g, t) = (lane / 4, lane % 4);
            let mut results = [0; 4];
            for (at, result) in results.iter_mut().enumerate() {
                let (row, column) = (g + 8 * (at / 2), 2 * t + at % 2);
                let start = f64::from(f32::from_bits(self.value(start + lane, c[at]) as u32));
                let sum = (0..k).fold(start, |sum, i| left[row][i].mul_add(right[i][column], sum));
                let sum = sum as f32;
                *result = u64::from(if sum.is_nan() { 0x7fff_ffff } else { sum.to_bits() });
            }
            for (register, result) in d.iter().zip(results) {
                self.set(start + lane, *register, result);
            }
        }
    }
}

/// An element of a register. Of a tf32 the hardware looks at the upper 19 bits.
fn element(kind: Matrix, bits: u32, part: usize) -> f64 {
    let half = (bits >> (16 * part)) as u16;
    f64::from(match kind {
        Matrix::Tf32 => f32::from_bits(bits & !0x1fff),
        Matrix::Bf16 => widen_bf16(half),
        Matrix::F16 => widen_f16(half),
    })
}
