//! Options of `ablate`.

use std::path::PathBuf;

use clap::Args;

use crate::ablate::Preset;
use crate::config::{LossKind, SamplerKind};
use crate::number::positive;

/// Options of `ablate`.
#[derive(Debug, Args)]
pub struct AblateArgs {
    /// `kana`, or a path, as for train.
    #[arg(long, value_name = "kana|PATH")]
    pub data: Option<String>,
    /// A grid by name. Default, without --losses and --samplers: paper.
    #[arg(long, value_enum)]
    pub preset: Option<Preset>,
    /// Losses, each with every sampler and the paper's numbers.
    #[arg(long, value_enum, value_delimiter = ',', requires = "samplers", conflicts_with = "preset")]
    pub losses: Vec<LossKind>,
    /// Samplers.
    #[arg(long, value_enum, value_delimiter = ',', requires = "losses", conflicts_with = "preset")]
    pub samplers: Vec<SamplerKind>,
    /// Margins to choose among, cell by cell, on the validation classes.
    #[arg(long, value_delimiter = ',', value_parser = positive)]
    pub alphas: Vec<f64>,
    /// Seeds of each cell, counted from --seed.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub seeds: u64,
    /// Steps of every run. Default: by the number of training samples.
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(1..))]
    pub steps: Option<u32>,
    /// Instead: CPU seconds of training of every run; a short run of each cell finds its steps.
    #[arg(long, value_name = "T", conflicts_with = "steps", value_parser = positive)]
    pub cpu_seconds: Option<f64>,
    /// A file that overlays what all cells share: data, network, batches, optimiser, augmentation.
    #[arg(long, value_name = "FILE.toml")]
    pub config: Option<PathBuf>,
    /// Runs at a time, each a process.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: u16,
    /// The folder of the grid; one that is there goes on where it was broken off.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}
