//! Inner products of packed rows.
//!
//! Rows are laid out in groups whose numbers are interleaved, `[group][component][row of the group]`; a tile is the
//! products of a narrow group (a strip) with a wide one (a panel), held in registers over all components. Each product
//! is one chain of fused multiply-adds from component 0 up, so its bits depend neither on the tile's shape nor on the
//! instruction set, and `x·y` is `y·x`.

use pulp::{Simd, WithSimd};

use crate::kernel::fast::InstructionSet;
use crate::kernel::fast::tile::chains;

/// Rows and columns of every tile divide this.
pub(super) const TILE_MULTIPLE: usize = 48;

/// Rows of a strip and of a panel: the tile that fits the registers of an instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TileShape {
    /// Rows of a strip.
    pub(super) rows: usize,
    /// Rows of a panel, which are the columns of the tile.
    pub(super) columns: usize,
}

impl TileShape {
    /// The shape that kernels use on `set`: 8 rows by 3 vectors with 32 registers, 6 by 2 with fewer.
    pub(super) fn of(set: InstructionSet) -> Self {
        struct Ask;
        impl WithSimd for Ask {
            type Output = TileShape;
            fn with_simd<S: Simd>(self, _: S) -> TileShape {
                let (rows, vectors) = if many_registers::<S>() { (8, 3) } else { (6, 2) };
                TileShape { rows, columns: vectors * S::F32_LANES }
            }
        }
        set.run(Ask)
    }
}

/// Whether tiles are 8 rows by 3 vectors rather than 6 by 2.
#[inline(always)]
pub(super) const fn many_registers<S: Simd>() -> bool {
    S::REGISTER_COUNT >= 32
}

/// The rows of `x` in groups of `width`, interleaved; the last group is filled up with zeros.
pub(super) fn pack(x: &[f32], dim: usize, width: usize) -> Vec<f32> {
    let mut packed = vec![0.0; (x.len() / dim).div_ceil(width) * width * dim];
    for (group, rows) in packed.chunks_exact_mut(width * dim).zip(x.chunks(width * dim)) {
        for (at, row) in rows.chunks_exact(dim).enumerate() {
            for (to, &value) in group[at..].iter_mut().step_by(width).zip(row) {
                *to = value;
            }
        }
    }
    packed
}

/// Products of each row of `strip` (`ROWS` interleaved rows) with each of `panel` (`VECTORS` vectors of them).
#[inline(always)]
pub(super) fn products<S: Simd, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    strip: &[f32],
    panel: &[f32],
) -> [[S::f32s; VECTORS]; ROWS] {
    let (strip, _) = strip.as_chunks::<ROWS>();
    let (panel, _) = S::as_simd_f32s(panel).0.as_chunks::<VECTORS>();
    let panel = &panel[..strip.len()];
    let zeros = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
    chains::<f32, S, ROWS, VECTORS>(simd, 0..strip.len(), |k, r| strip[k][r], |k| panel[k], zeros)
}

/// The numbers of a tile, row after row.
#[inline(always)]
pub(super) fn lanes<S: Simd, const ROWS: usize, const VECTORS: usize>(
    tile: &[[S::f32s; VECTORS]; ROWS],
) -> &[f32] {
    pulp::bytemuck::cast_slice(tile.as_flattened())
}

/// Whether any lane of any of the masks is set.
#[inline(always)]
pub(super) fn any<S: Simd, const VECTORS: usize>(simd: S, masks: [S::m32s; VECTORS]) -> bool {
    let mut all = masks[0];
    for v in 1..VECTORS {
        all = simd.or_m32s(all, masks[v]);
    }
    pulp::bytemuck::bytes_of(&all).iter().fold(0, |all, byte| all | byte) != 0
}

/// A bit a lane.
#[inline(always)]
pub(super) fn bits<S: Simd>(mask: S::m32s) -> u32 {
    // Masks are bits or lanes that are all bits or none.
    match *pulp::bytemuck::bytes_of(&mask) {
        [bits] => u32::from(bits),
        [low, high] => u32::from(u16::from_le_bytes([low, high])),
        ref lanes => {
            (0..).zip(lanes.iter().step_by(4)).fold(0, |bits, (at, lane)| bits | u32::from(lane & 1) << at)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct All<'a> {
        strip: &'a [f32],
        panel: &'a [f32],
    }

    impl WithSimd for All<'_> {
        type Output = Vec<f32>;
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
            if many_registers::<S>() {
                lanes::<S, 8, 3>(&products::<S, 8, 3>(simd, self.strip, self.panel)).to_vec()
            } else {
                lanes::<S, 6, 2>(&products::<S, 6, 2>(simd, self.strip, self.panel)).to_vec()
            }
        }
    }

    #[test]
    fn products_are_one_chain_of_fused_steps_on_every_instruction_set() {
        let dim = 37;
        let value = |i: usize| ((i * 2_654_435_761) % 1000) as f32 / 500.0 - 1.0;
        let x: Vec<f32> = (0..TILE_MULTIPLE * dim).map(value).collect();
        let chain = |i: usize, j: usize| {
            (0..dim).fold(0.0_f32, |sum, k| x[i * dim + k].mul_add(x[j * dim + k], sum)).to_bits()
        };
        for set in InstructionSet::available() {
            let shape = TileShape::of(set);
            assert_eq!((TILE_MULTIPLE % shape.rows, TILE_MULTIPLE % shape.columns), (0, 0), "{set}");
            let (strips, panels) = (pack(&x, dim, shape.rows), pack(&x, dim, shape.columns));
            let got =
                set.run(All { strip: &strips[..shape.rows * dim], panel: &panels[..shape.columns * dim] });
            for (at, got) in got.iter().enumerate() {
                let (i, j) = (at / shape.columns, at % shape.columns);
                assert_eq!(got.to_bits(), chain(i, j), "{set}: {i}, {j}");
            }
        }
    }

    #[test]
    fn the_last_group_is_filled_with_zeros() {
        assert_eq!(pack(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, 2), [1.0, 3.0, 2.0, 4.0, 5.0, 0.0, 6.0, 0.0]);
    }
}
