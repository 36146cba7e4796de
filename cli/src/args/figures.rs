//! Options of `figures`.

use std::path::PathBuf;

use clap::Args;

/// Options of `figures`.
#[derive(Debug, Args)]
pub struct FiguresArgs {
    /// A run folder, whose Recall@1 and distances of negatives over training are drawn; given more than once, their
    /// curves stand side by side. Without, these two figures are left out.
    #[arg(long, value_name = "RUN")]
    pub run: Vec<PathBuf>,
    /// The folder of the figures, new or empty: NAME.svg and NAME.csv of each, and index.html with all of them.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}
