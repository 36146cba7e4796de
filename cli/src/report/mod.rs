//! What a run shows of itself: a table, a file of looks, a page with charts.

mod calibration;
mod charts;
mod document;
mod html;
mod looks;
mod table;

pub use calibration::calibration_chart;
pub use document::document;
pub use html::page;
pub use looks::{append, read_looks, truncate_to};
pub use table::scores_table;
