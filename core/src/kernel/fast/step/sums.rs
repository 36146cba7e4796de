//! The sums of weights of a whole batch: what a draw chooses blocks by, and what a probability is a share of.
//!
//! Weights are symmetric but for the far cut, so only the upper triangle of the matrix of pairs is computed, tile by
//! tile: cosines in registers, weights while the tile is near, sums of rows and columns, and the tile is forgotten.
//! What a memory holds has columns and no rows: of its pairs with each other none is looked at.

use pulp::{Simd, WithSimd};

use super::Spread;
use super::cell::{Cell, Tally};
use super::known::Known;
use super::law::Law;
use super::partial::Rows;
use super::plan::{Panels, Plan};
use super::tile::{Batch, Column, Lifts, TILE, Tile, columns_of_panel, cosines};
use super::tile_sums::{Out, TileSums};
use super::weights::{Labels, Sides, part_classes, range};
use crate::Scalar;
use crate::batch::Embeddings;
use crate::weight::{FarCut, Weighting};

/// Rows of a batch whose weights are kept: those of all its tiles lie in a second cache.
const KNOWN: usize = 128;

/// Memory that stays between steps.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) packed: Vec<Column>,
    pub(super) kept: Vec<Cell>,
    pub(super) tallies: Vec<Tally>,
    cuts: Vec<f32>,
    labels: Vec<u32>,
    ranges: Vec<[u32; 2]>,
    lift: Vec<f32>,
    known: Vec<Known>,
    /// What all this is of, where the next may ask for it again. A sampler that draws nothing reports by the sums that
    /// its loss then divides by: they are computed once.
    of: Option<Made>,
}

/// What sums were made of, but for embeddings, labels and cuts: law, whether cuts differ between anchors, and the numbers
/// of anchors, rows and components.
type Made = (Law, bool, [usize; 3]);

/// Sums of each anchor over blocks of columns, and what they were made of.
pub(super) struct Sums<'a> {
    pub(super) plan: Plan,
    pub(super) law: Law,
    pub(super) panels: Panels<'a>,
    /// Labels and least cosines (exclusive) of candidates, padded to whole panels.
    pub(super) labels: Labels<'a>,
    pub(super) cuts: &'a [f32],
    pub(super) kept: &'a [Cell],
    /// What there is to report, `[task][rows, columns][panels of a square]`.
    pub(super) tallies: &'a [Tally],
    /// The weights of a small batch, `[row panel][column panel]` with none below the diagonal, if wanted; else nothing.
    pub(super) known: &'a [Known],
}

impl<'a> Sums<'a> {
    /// Of the rows `x`, of which as many as there are `betas` are anchors; `draws`: the weights of a small batch are
    /// wanted too. `None` where this path does not apply: another precision, one row, or a law that cosines in single
    /// precision are too coarse for (see [`Law::of`]).
    pub(super) fn new<T: Scalar>(
        spread: Spread,
        tables: &'a mut Tables,
        (x, labels, betas): (Embeddings<'a, T>, &[u32], &[T]),
        weighting: &Weighting<T>,
        draws: bool,
    ) -> Option<Self> {
        let single = T::as_single(x.as_slice()).filter(|_| x.count() > 1)?;
        let mut cuts = Vec::new();
        let law = Law::of(weighting, betas, &mut cuts)?;
        let (anchors, dim) = (betas.len(), x.dim());
        let active = matches!(weighting.far(), FarCut::Active { .. });
        let plan = Plan::new(anchors, x.count());
        let padded = plan.panels() * TILE;
        cuts.resize(padded, f32::INFINITY);
        let made = Some((law, active, [anchors, x.count(), dim]));
        let again = tables.of.take() == made
            && !draws
            && tables.cuts == cuts
            && tables.labels[..labels.len()] == *labels
            && Panels::hold(spread, Batch::new(single, dim, &tables.lift), &tables.packed);
        tables.cuts = cuts;
        let Tables { packed, kept, tallies, cuts, labels: all_labels, ranges, lift, known, of } = tables;
        if again {
            let panels = Panels { batch: Batch::new(single, dim, lift), packed };
            let labels = Labels { all: all_labels, ranges };
            return Some(Self { plan, law, panels, labels, cuts, kept, tallies, known });
        }
        all_labels.clear();
        all_labels.extend_from_slice(labels);
        all_labels.resize(padded, 0);
        ranges.clear();
        ranges.extend(all_labels.chunks(TILE).map(range));
        lift.clear();
        lift.resize(padded, f32::NEG_INFINITY);
        spread.set.run(Lifts { x: single, dim, out: lift });
        let panels = Panels::new(spread, Batch::new(single, dim, lift), packed);
        kept.resize(plan.tasks() * plan.kept_by_task(), Cell::default());
        tallies.resize(plan.tasks() * plan.tallies_by_task(), Tally::default());
        // One square of blocks that are a panel each: a cell has the reference of its one tile.
        let is_known = draws && plan.tasks() == 1 && plan.rows <= KNOWN;
        known.resize_with(if is_known { plan.panels_in_square().pow(2) } else { 0 }, Known::new);
        let (labels, cuts) = (Labels { all: all_labels, ranges }, &*cuts);
        let square = |task: usize, kept: &mut [Cell], tallies: &mut [Tally], known: &mut [Known]| {
            spread.set.run(Square { plan, law, panels, labels, cuts, active, task, kept, tallies, known });
        };
        if is_known {
            square(0, kept, tallies, known);
        } else {
            let (kept, tallies) =
                ((&mut kept[..], plan.kept_by_task()), (&mut tallies[..], plan.tallies_by_task()));
            spread.pieces_of_both(kept, tallies, |task, kept, tallies| square(task, kept, tallies, &mut []));
        }
        *of = made.filter(|_| !draws);
        Some(Self { plan, law, panels, labels, cuts, kept, tallies, known })
    }
}

/// The sums of one square of the plan.
struct Square<'a> {
    plan: Plan,
    law: Law,
    panels: Panels<'a>,
    labels: Labels<'a>,
    cuts: &'a [f32],
    active: bool,
    task: usize,
    kept: &'a mut [Cell],
    tallies: &'a mut [Tally],
    /// Where weights are kept, `[row panel][column panel]`; or nothing.
    known: &'a mut [Known],
}

impl WithSimd for Square<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { plan, law, panels, labels, cuts, active, task, kept, tallies, known } = self;
        let (across, down) = plan.square(task);
        let (panels_in_square, panels_kept) = (plan.panels_in_square(), plan.panels_kept());
        let here = |square: usize, panels: usize| {
            square * panels_in_square..((square + 1) * panels_in_square).min(panels)
        };
        tallies.fill(Tally::default());
        let (of_rows, of_columns) = kept.split_at_mut(plan.kept_by_task() / 2);
        let (tallies_of_rows, tallies_of_columns) = tallies.split_at_mut(panels_kept);
        // Of panels counted within the square: the cell of one over the block that the other lies in.
        let panels_in_block = plan.block / TILE;
        let place = |panel: usize, other: usize| other / panels_in_block * panels_kept + panel;
        // A cell is first met with the first panel of its block.
        let keep = |cell: &mut Cell, other: usize, sums: &Cell| {
            if other.is_multiple_of(panels_in_block) { *cell = *sums } else { cell.add(sums) }
        };
        let mut store = Vec::new();
        let columns = here(down, plan.panels());
        let packed = panels.get(simd, columns.clone(), &mut store);
        let (mut tile, mut logs, mut rows) = (Tile::new(), Tile::new(), Rows::new());
        let mut out = Out::default();
        let side = |panel: usize| panel * TILE..(panel + 1) * TILE;
        for (row, i) in here(across, plan.panels_of_anchors()).enumerate() {
            let anchors: [u32; TILE] = core::array::from_fn(|r| (i * TILE + r) as u32);
            let packed = packed.chunks_exact(columns_of_panel(panels.batch.dim));
            for ((column, j), packed) in columns.clone().enumerate().zip(packed) {
                if j < i {
                    continue;
                }
                cosines(simd, &panels.batch, &anchors, j * TILE, packed, &mut tile);
                part_classes(simd, labels, (i, j), &mut tile);
                let sides = Sides { row_cuts: &cuts[side(i)], cuts: &cuts[side(j)], active };
                let (law, sides, logs, tally) = (&law, &sides, &mut logs, &mut tallies_of_rows[row]);
                let (tile, rows, out) = (&mut tile, &mut rows, &mut out);
                let mut known = known.get_mut(i * panels_in_square + j);
                let of_tile = known.as_deref_mut();
                let any =
                    simd.vectorize(TileSums { law, sides, tile, logs, rows, tally, out, known: of_tile });
                if !any {
                    *out = Out::default();
                } else if let Some(known) = known.filter(|_| i != j) {
                    known.turn(simd);
                }
                keep(&mut of_rows[place(row, column)], column, &out.cells[0]);
                if i != j && j < plan.panels_of_anchors() {
                    let (kept, tallies) = if across == down {
                        (&mut *of_rows, &mut *tallies_of_rows)
                    } else {
                        (&mut *of_columns, &mut *tallies_of_columns)
                    };
                    keep(&mut kept[place(column, row)], row, &out.cells[1]);
                    tallies[column].add(&out.columns);
                }
            }
            rows.close_all(simd, &mut tallies_of_rows[row]);
        }
    }
}
