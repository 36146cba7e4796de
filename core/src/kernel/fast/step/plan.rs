//! How a batch is cut: panels of 32, blocks of columns whose sums are kept, squares of rows that one task computes.
//!
//! Everything follows from the shape of the batch, nothing from the number of threads. Squares of a memory's rows with
//! each other are nobody's task.

use core::ops::Range;

use pulp::Simd;

use super::Spread;
use super::cell::{Cell, Tally};
use super::tile::{Batch, Column, Pack, TILE, columns_of_panel, pack};

/// Embeddings laid out anew for all tasks at once take no more bytes than this; beyond, each task lays out the panels
/// that it needs.
const PACKED: usize = 12 << 20;
/// Bytes that cells and tallies may take.
const KEPT: usize = 52_000_000;
/// Blocks across a square.
const BLOCKS: usize = 4;

/// Blocks and squares of `count` rows, of which the first `anchors` are the batch.
///
/// Square (I, J), `I <= J`, is one task if I holds an anchor. It keeps for each panel of rows of I a cell of sums over each
/// block of columns of J, then for each panel of J one over each block of I: `[2][blocks][panels]`. Of a square on the diagonal the first
/// half is both.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) anchors: usize,
    pub(super) count: usize,
    /// Columns of a block.
    pub(super) block: usize,
    /// Rows and columns of a square: a few blocks.
    pub(super) rows: usize,
}

impl Plan {
    pub(super) fn new(anchors: usize, count: usize) -> Self {
        let mut block = TILE;
        loop {
            let plan = Self { anchors, count, block, rows: BLOCKS * block };
            if plan.tasks() * plan.bytes_by_task() <= KEPT || block >= count {
                return plan;
            }
            block += TILE;
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
        2 * self.panels_kept() * self.blocks_in_square()
    }

    /// One for each panel of rows, then one for each of columns; of a square on the diagonal the first are both.
    pub(super) fn tallies_by_task(&self) -> usize {
        2 * self.panels_kept()
    }

    /// Bytes of both.
    pub(super) fn bytes_by_task(&self) -> usize {
        self.kept_by_task() * size_of::<Cell>() + self.tallies_by_task() * size_of::<Tally>()
    }

    pub(super) fn panels_in_square(&self) -> usize {
        self.rows / TILE
    }

    fn blocks_in_square(&self) -> usize {
        BLOCKS.min(self.blocks())
    }

    /// Panels of a square that have cells and tallies.
    pub(super) fn panels_kept(&self) -> usize {
        self.panels_in_square().min(self.panels_of_anchors())
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

    /// The task of each square that a panel meets, in order, and whether the panel lies in its columns.
    fn tasks_of(&self, panel: usize) -> impl Iterator<Item = (usize, bool)> + use<> {
        let (plan, square) = (*self, panel / self.panels_in_square());
        (0..plan.side()).map(move |other| {
            let (low, high) = (square.min(other), square.max(other));
            (plan.tasks_before(high) + low, other < square)
        })
    }

    /// The cells of the anchors of `panel` over all blocks, in order.
    pub(super) fn cells(&self, panel: usize) -> impl Iterator<Item = usize> + use<> {
        let (panels, blocks, by_task) = (self.panels_kept(), self.blocks_in_square(), self.kept_by_task());
        let of_square = move |(task, in_columns): (usize, bool)| {
            let first = task * by_task + usize::from(in_columns) * (by_task / 2) + panel % panels;
            (0..blocks).map(move |block| first + block * panels)
        };
        self.tasks_of(panel).flat_map(of_square).take(self.blocks())
    }

    /// The tallies of the anchors of `panel` over all squares, in order.
    pub(super) fn tallies(&self, panel: usize) -> impl Iterator<Item = usize> + use<> {
        let (panels, by_task) = (self.panels_kept(), self.tallies_by_task());
        self.tasks_of(panel)
            .map(move |(task, in_columns)| task * by_task + usize::from(in_columns) * panels + panel % panels)
    }
}

/// Panels of embeddings: all of them, or one at a time.
#[derive(Clone, Copy)]
pub(super) struct Panels<'a> {
    pub(super) batch: Batch<'a>,
    /// All panels, or nothing.
    pub(super) packed: &'a [Column],
}

impl<'a> Panels<'a> {
    /// Lays out all panels in `store` if they are few enough.
    pub(super) fn new(spread: Spread, batch: Batch<'a>, store: &'a mut Vec<Column>) -> Self {
        let panels = batch.count.div_ceil(TILE);
        let by_panel = columns_of_panel(batch.dim);
        let all = panels * by_panel * size_of::<Column>() <= PACKED;
        store.resize(if all { panels * by_panel } else { 0 }, Column::default());
        if all {
            spread.pieces(store, by_panel, |panel, store| {
                spread.set.run(Pack { batch: &batch, first: panel * TILE, panel: store });
            });
        }
        Self { batch, packed: store }
    }

    /// Whether all panels of this batch are laid out in `store`, to the last bit.
    pub(super) fn hold(spread: Spread, batch: Batch<'_>, store: &[Column]) -> bool {
        let by_panel = columns_of_panel(batch.dim);
        let mut scratch = vec![Column::default(); by_panel];
        let same = |(panel, store): (usize, &[Column])| {
            spread.set.run(Pack { batch: &batch, first: panel * TILE, panel: &mut scratch });
            Column::same(&scratch, store)
        };
        !store.is_empty() && store.chunks_exact(by_panel).enumerate().all(same)
    }

    /// Panels one after another; `scratch` holds them where they are not all laid out.
    #[inline(always)]
    pub(super) fn get<'s, S: Simd>(
        &'s self,
        simd: S,
        panels: Range<usize>,
        scratch: &'s mut Vec<Column>,
    ) -> &'s [Column] {
        let len = columns_of_panel(self.batch.dim);
        if !self.packed.is_empty() {
            return &self.packed[panels.start * len..panels.end * len];
        }
        scratch.resize(panels.len() * len, Column::default());
        for (panel, store) in panels.zip(scratch.chunks_exact_mut(len)) {
            pack(simd, &self.batch, panel * TILE, store);
        }
        scratch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_has_a_place_of_its_own() {
        let alone = [1, 2, 31, 33, 128, 129, 500, 1024, 17_000].map(|count| (count, count));
        for (anchors, count) in alone.into_iter().chain([(1, 129), (40, 128), (150, 700), (160, 8352)]) {
            let plan = Plan::new(anchors, count);
            let mut seen = vec![false; plan.tasks() * plan.kept_by_task()];
            let mut tallied = vec![false; plan.tasks() * plan.tallies_by_task()];
            for panel in 0..plan.panels_of_anchors() {
                for (block, cell) in plan.cells(panel).enumerate() {
                    assert!(!seen[cell], "panel {panel}, block {block} of {count}");
                    seen[cell] = true;
                }
                assert_eq!(plan.cells(panel).count(), plan.blocks());
                for tally in plan.tallies(panel) {
                    assert!(!tallied[tally], "panel {panel} of {count}");
                    tallied[tally] = true;
                }
                assert_eq!(plan.tallies(panel).count(), plan.side());
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
                assert!(plan.tasks() * plan.bytes_by_task() <= KEPT, "{plan:?}");
            }
        }
    }
}
