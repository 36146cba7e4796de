//! The few pairs of a block that are looked at one by one.

use super::tile::TILE_MULTIPLE;

/// Room for all pairs of any tile. So many pairs of a square cost more one by one than the square does.
const ROOM: usize = 8 * TILE_MULTIPLE;

/// Pairs that are multiplied side by side, so that none waits for its own last step.
const TOGETHER: usize = 4;

/// Some pairs, each by its row and its column in the block, with their products.
pub(super) struct Few {
    pairs: [(u16, u16); ROOM],
    products: [f32; ROOM],
    count: usize,
}

impl Few {
    pub(super) const NONE: Self = Self { pairs: [(0, 0); ROOM], products: [0.0; ROOM], count: 0 };

    pub(super) fn clear(&mut self) {
        self.count = 0;
    }

    /// Adds a pair; whether there was room for it.
    #[inline(always)]
    pub(super) fn push(&mut self, row: usize, column: usize, product: f32) -> bool {
        let at = self.count;
        if at == ROOM {
            return false;
        }
        self.pairs[at] = (row as u16, column as u16);
        self.products[at] = product;
        self.count = at + 1;
        true
    }

    /// `(row, column, product)` of each pair.
    #[inline(always)]
    pub(super) fn pairs(&self) -> impl Iterator<Item = (usize, usize, f32)> {
        let pairs = self.pairs[..self.count].iter().zip(&self.products);
        pairs.map(|(&(row, column), &product)| (usize::from(row), usize::from(column), product))
    }

    /// Puts the product of each pair in its place, one chain of fused steps; `rows` are those of a pair, `dim` numbers each.
    #[inline(always)]
    pub(super) fn multiply<'a>(&mut self, dim: usize, rows: impl Fn(usize, usize) -> (&'a [f32], &'a [f32])) {
        let pairs = self.pairs[..self.count].chunks(TOGETHER);
        for (pairs, products) in pairs.zip(self.products.chunks_mut(TOGETHER)) {
            let mut sides = [(&[][..], &[][..]); TOGETHER];
            for at in 0..TOGETHER {
                // Behind the last pair, the last one again.
                let (row, column) = pairs[at.min(pairs.len() - 1)];
                let (x, y) = rows(usize::from(row), usize::from(column));
                sides[at] = (&x[..dim], &y[..dim]);
            }
            let mut sums = [0.0_f32; TOGETHER];
            for k in 0..dim {
                for at in 0..TOGETHER {
                    let (x, y) = sides[at];
                    sums[at] = x[k].mul_add(y[k], sums[at]);
                }
            }
            products.copy_from_slice(&sums);
        }
    }
}
