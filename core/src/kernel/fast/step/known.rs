//! The weights of a small batch, all of them, so that no draw computes its own again.

use super::tile::TILE;

/// The weights of a tile, of its rows and of its columns, as they went into the sums: 0 for what is no candidate, over the
/// references of the cells of both.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(super) struct Known {
    pub(super) to_rows: [[f32; TILE]; TILE],
    pub(super) to_columns: [[f32; TILE]; TILE],
}

impl Known {
    pub(super) const fn new() -> Self {
        Self { to_rows: [[0.0; TILE]; TILE], to_columns: [[0.0; TILE]; TILE] }
    }
}

/// The weights that `anchor` gives the samples of a panel, into column `r`; from the tiles `[row panel][column panel]` of a
/// batch of so many panels, of which there is none below the diagonal.
#[inline(always)]
pub(super) fn take_row(
    known: &[Known],
    panels: usize,
    (anchor, panel): (usize, usize),
    r: usize,
    columns: &mut [[f32; TILE]; TILE],
) {
    let (own, at) = (anchor / TILE, anchor % TILE);
    if own <= panel {
        let row = &known[own * panels + panel].to_rows[at];
        for j in 0..TILE {
            columns[j][r] = row[j];
        }
    } else {
        let row = &known[panel * panels + own].to_columns;
        for j in 0..TILE {
            columns[j][r] = row[j][at];
        }
    }
}
