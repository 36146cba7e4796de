//! The weights of a small batch, all of them, so that no draw computes its own again.

use pulp::Simd;

use super::tile::{TILE, turn_tile};

/// The weights of a tile as they went into the sums: 0 for what is no candidate, over the references of the cells of
/// both.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(super) struct Known {
    /// Those that its rows give.
    pub(super) to_rows: [[f32; TILE]; TILE],
    /// Those that its columns give, row after row; [`turn`](Self::turn) makes it column after column.
    pub(super) to_columns: [[f32; TILE]; TILE],
}

impl Known {
    pub(super) const fn new() -> Self {
        Self { to_rows: [[0.0; TILE]; TILE], to_columns: [[0.0; TILE]; TILE] }
    }

    /// For [`weights`], once all are written.
    #[inline(always)]
    pub(super) fn turn<S: Simd>(&mut self, simd: S) {
        let rows = self.to_columns;
        turn_tile(simd, &rows, &mut self.to_columns);
    }
}

/// The weights that `anchor` gives the samples of a panel; from the tiles `[row panel][column panel]` of a batch of so
/// many panels, of which there is none below the diagonal.
#[inline(always)]
pub(super) fn weights(known: &[Known], panels: usize, anchor: usize, panel: usize) -> &[f32; TILE] {
    let (own, at) = (anchor / TILE, anchor % TILE);
    if own <= panel {
        &known[own * panels + panel].to_rows[at]
    } else {
        &known[panel * panels + own].to_columns[at]
    }
}
