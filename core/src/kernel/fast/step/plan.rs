//! How a batch is cut: panels of 32, blocks of columns whose sums are kept, squares of rows that one task computes.
//!
//! Everything follows from the shape of the batch, nothing from the number of threads. Squares of a memory's rows with
//! each other are nobody's task.

use super::tile::{Batch, TILE, pack};

/// Embeddings laid out anew for all tasks at once take no more numbers than this (16 MiB); beyond, each task lays out
/// the panels that it needs.
const PACKED: usize = 1 << 22;
/// Cells of sums that may be kept (48 MB).
const KEPT: usize = 75_000;
/// Rows of a task, at least.
const ROWS: usize = 128;

/// Blocks and squares of `count` rows, of which the first `anchors` are the batch.
///
/// Square (I, J), `I <= J`, is one task if I holds an anchor. It keeps for each panel of rows of I a cell of sums over each block of columns
/// of J, then for each panel of J one over each block of I: `[2][blocks][panels]`. Of a square on the diagonal the first
/// half is both.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) anchors: usize,
    pub(super) count: usize,
    /// Columns of a block.
    pub(super) block: usize,
    /// Rows and columns of a square, a multiple of the block.
    pub(super) rows: usize,
}

impl Plan {
    pub(super) fn new(anchors: usize, count: usize) -> Self {
        let mut block = TILE;
        loop {
            let plan = Self { anchors, count, block, rows: ROWS.max(block) };
            if plan.tasks() * plan.kept_by_task() <= KEPT || block >= count {
                return plan;
            }
            block *= 2;
        }
    }

    /// Squares across.
    fn side(&self) -> usize {
        self.count.div_ceil(self.rows)
    }

    /// Squares down: those that hold an anchor.
    fn side_of_anchors(&self) -> usize {
        self.anchors.div_ceil(self.rows)
    }

    /// Tasks whose J is less.
    fn tasks_before(&self, j: usize) -> usize {
        let own = j.min(self.side_of_anchors());
        own * (own + 1) / 2 + (j - own) * own
    }

    pub(super) fn tasks(&self) -> usize {
        self.tasks_before(self.side())
    }

    /// Cells.
    pub(super) fn kept_by_task(&self) -> usize {
        2 * self.panels_in_square() * self.blocks_in_square()
    }

    pub(super) fn panels_in_square(&self) -> usize {
        self.rows / TILE
    }

    pub(super) fn blocks_in_square(&self) -> usize {
        self.rows / self.block
    }

    /// Number of blocks of columns.
    pub(super) fn blocks(&self) -> usize {
        self.count.div_ceil(self.block)
    }

    /// Panels of all rows.
    pub(super) fn panels(&self) -> usize {
        self.count.div_ceil(TILE)
    }

    /// Panels that hold an anchor.
    pub(super) fn panels_of_anchors(&self) -> usize {
        self.anchors.div_ceil(TILE)
    }

    /// The square of a task: squares by rising J, then I.
    pub(super) fn square(&self, task: usize) -> (usize, usize) {
        let mut j = 0;
        while self.tasks_before(j + 1) <= task {
            j += 1;
        }
        (task - self.tasks_before(j), j)
    }

    /// The cells of the anchors of `panel` over all blocks, in order.
    pub(super) fn cells(&self, panel: usize) -> impl Iterator<Item = usize> + use<> {
        let plan = *self;
        let (panels, blocks, by_task) =
            (self.panels_in_square(), self.blocks_in_square(), self.kept_by_task());
        let (square, within) = (panel / panels, panel % panels);
        let of_square = move |other: usize| {
            let (low, high) = (square.min(other), square.max(other));
            let task = plan.tasks_before(high) + low;
            let first = task * by_task + usize::from(other < square) * (by_task / 2) + within;
            (0..blocks).map(move |block| first + block * panels)
        };
        (0..self.side()).flat_map(of_square).take(self.blocks())
    }
}

/// Panels of embeddings: all of them, or one at a time.
#[derive(Clone, Copy)]
pub(super) struct Panels<'a> {
    pub(super) batch: Batch<'a>,
    /// All panels, or nothing.
    packed: &'a [f32],
}

impl<'a> Panels<'a> {
    /// Lays out all panels in `store` if they are few enough.
    pub(super) fn new(batch: Batch<'a>, store: &'a mut Vec<f32>) -> Self {
        let len = batch.count.next_multiple_of(TILE) * batch.dim;
        store.clear();
        if len <= PACKED {
            store.resize(len, 0.0);
            for (panel, store) in store.chunks_exact_mut(TILE * batch.dim).enumerate() {
                pack(&batch, panel * TILE, store);
            }
        }
        Self { batch, packed: store }
    }

    /// A panel; `scratch` holds it where they are laid out one at a time.
    pub(super) fn get<'s>(&'s self, panel: usize, scratch: &'s mut Vec<f32>) -> &'s [f32] {
        let len = TILE * self.batch.dim;
        if self.packed.is_empty() {
            scratch.resize(len, 0.0);
            pack(&self.batch, panel * TILE, scratch);
            return scratch;
        }
        &self.packed[panel * len..][..len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_has_a_place_of_its_own() {
        let alone = [1, 2, 31, 33, 128, 129, 500, 1024].map(|count| (count, count));
        for (anchors, count) in alone.into_iter().chain([(1, 129), (40, 128), (150, 700), (160, 8352)]) {
            let plan = Plan::new(anchors, count);
            let mut seen = vec![false; plan.tasks() * plan.kept_by_task()];
            for panel in 0..plan.panels_of_anchors() {
                for (block, cell) in plan.cells(panel).enumerate() {
                    assert!(!seen[cell], "panel {panel}, block {block} of {count}");
                    seen[cell] = true;
                }
                assert_eq!(plan.cells(panel).count(), plan.blocks());
            }
            for task in 0..plan.tasks() {
                let (i, j) = plan.square(task);
                assert!(i <= j && i < plan.side_of_anchors() && plan.tasks_before(j) + i == task);
            }
        }
    }

    #[test]
    fn a_memory_costs_its_rows_with_the_anchors_alone() {
        // 160 anchors are two squares down; 8352 rows are 66 across, of which the first has one task.
        assert_eq!(Plan::new(160, 8352).tasks(), 2 * 66 - 1);
        assert_eq!(Plan::new(1024, 1024).tasks(), 36);
    }

    #[test]
    fn sums_stay_below_their_bound() {
        for count in [1000, 4096, 10_000, 65_536, 1 << 20] {
            for anchors in [count, 160] {
                let plan = Plan::new(anchors, count);
                assert!(plan.tasks() * plan.kept_by_task() <= KEPT, "{plan:?}");
            }
        }
    }
}
