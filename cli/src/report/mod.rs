//! What a run shows of itself: a table, a file of looks, a page.

mod looks;
mod table;

pub use looks::{append, read_looks, truncate_to};
pub use table::scores_table;

use crate::record::Story;

/// x
pub fn page(_story: &Story, _target: &[(f64, f64)]) -> String {
    String::new()
}
