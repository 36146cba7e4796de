//! Does sampling matter on these data? A grid of losses and samplers, each cell trained with several seeds under the
//! same budget, and tables with honest statistics.
//!
//! ```text
//! DIR/grid.json                       what is compared: cells, their configurations, seeds, budget
//! DIR/cells/CELL[/VARIANT]/seed-K/    a run folder each, and its log
//! DIR/runs.csv table.csv table.md table.svg index.html
//! ```
//! Each run is a process of its own, so that CPU time is counted apart and a grid that is broken off goes on with the
//! first run that has no result. Tables hold no times but CPU seconds.

mod cells;
mod chart;
mod page;
mod runs;
mod table;

pub use cells::{Cell, Preset, Variant, product};
pub use page::{markdown, page, per_run_csv, table_csv};
pub use runs::{Runner, steps_for};
pub use table::{Chosen, Mean, Outcome, Row, Table};

use serde::{Deserialize, Serialize};

/// What is compared; two grids that are alike give the same tables.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grid {
    /// The cells, in the order of the tables.
    pub cells: Vec<Cell>,
    /// Seeds that each cell is trained with.
    pub seeds: Vec<u64>,
    /// CPU seconds of training that each cell gets; without, each gets the steps of its configuration.
    pub cpu_seconds: Option<f64>,
}
