//! Options of `train`: each overrides the configuration.

use std::path::PathBuf;

use clap::Args;
use nearfar_cuda::Precision;

use super::precision;
use crate::config::{
    BoundaryMode, Dimension, EmptyKind, Far, LossKind, ModelKind, OptimizerKind, PenaltyKind, ReductionKind,
    SamplerKind, SmallClasses,
};
use crate::number::{at_least_zero, boundary, near, positive, share};
use crate::recipe::Recipe;

/// What a run that goes on cannot change: all options of `train` but `--resume`, and `--precision`, which like `--device`
/// says how this process computes.
const SETTLED: [&str; 34] = [
    "memory",
    "data",
    "recipe",
    "config",
    "out",
    "show_config",
    "model",
    "loss",
    "sampler",
    "dim",
    "per_class",
    "classes_per_batch",
    "small_classes",
    "epochs",
    "steps",
    "every",
    "alpha",
    "beta",
    "boundary",
    "beta_rate",
    "nu",
    "penalty",
    "reduction",
    "dimension",
    "near",
    "far",
    "empty",
    "optimizer",
    "rate",
    "validation",
    "resize",
    "crop",
    "mirror",
    "boxes",
];

/// Options of `train`; each one overrides the configuration.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "The run")]
pub struct TrainArgs {
    /// `kana`, or a path: IDX, npy, npz, csv, safetensors, a folder of these, a folder of class folders, a csv that
    /// lists pictures (path,label,split), or the folder of CUB-200-2011, Cars196, Stanford Online Products, In-Shop or
    /// LFW as it is unpacked.
    #[arg(long, value_name = "kana|PATH")]
    pub data: Option<String>,
    /// Where the numbers start from.
    #[arg(long, value_enum, default_value_t)]
    pub recipe: Recipe,
    /// A file that overlays the recipe; any part of a run's config.toml.
    #[arg(long, value_name = "FILE.toml")]
    pub config: Option<PathBuf>,
    /// The run folder. Default: the next free runs/NAME-K. A run that is broken off (Ctrl-C) goes on from its last
    /// look: nearfar train --resume RUN.
    #[arg(long, value_name = "RUN")]
    pub out: Option<PathBuf>,
    /// Go on with a run that was broken off, as its folder says; no other option of the run goes with it.
    #[arg(long, value_name = "RUN", conflicts_with_all = SETTLED)]
    pub resume: Option<PathBuf>,
    /// Products of the network: of f32 numbers as they are, or of numbers rounded to bf16, a relative 2^-8 away at most,
    /// which the tile units of a processor (AMX) and the tensor cores of a GPU multiply faster; or to tf32, 2^-11 away,
    /// on a GPU alone. Weights, gradients and sums are f32 by each. Not kept in the run: say it again with --resume.
    #[arg(long, default_value_t, value_name = "single|tf32|bf16", value_parser = precision)]
    pub precision: Precision,
    /// Print the run file of --recipe, each key with what it means, and stop.
    #[arg(long)]
    pub show_config: bool,
    /// Passes over the training data.
    #[arg(long, value_name = "E", conflicts_with = "steps", value_parser = positive, allow_negative_numbers = true)]
    pub epochs: Option<f64>,
    /// Steps. Default: by the number of training samples.
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(1..))]
    pub steps: Option<u32>,
    /// Steps between two looks at the validation classes.
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(1..))]
    pub every: Option<u32>,
    /// Share of the training classes that is held out for validation.
    #[arg(long, value_name = "SHARE", value_parser = share, allow_negative_numbers = true)]
    pub validation: Option<f64>,
    /// Side that pictures in files are resized to; known sets of photographs get the paper's 256, cropped to 227 and
    /// mirrored.
    #[arg(long, value_name = "SIDE", help_heading = "Pictures")]
    pub resize: Option<usize>,
    /// Side of the part of a picture that is shown: at random places in training, else in the middle.
    #[arg(long, value_name = "SIDE", help_heading = "Pictures")]
    pub crop: Option<usize>,
    /// Mirror pictures half of the time in training.
    #[arg(long, help_heading = "Pictures")]
    pub mirror: bool,
    /// Take the box around the object alone, where the data have boxes (CUB-200-2011, Cars196).
    #[arg(long, help_heading = "Pictures")]
    pub boxes: bool,
    /// Kind of network.
    #[arg(long, value_enum, help_heading = "Network and optimiser")]
    pub model: Option<ModelKind>,
    /// Numbers in an embedding.
    #[arg(long, value_name = "D", help_heading = "Network and optimiser")]
    pub dim: Option<usize>,
    /// Optimiser.
    #[arg(long, value_enum, help_heading = "Network and optimiser")]
    pub optimizer: Option<OptimizerKind>,
    /// Largest learning rate.
    #[arg(long, value_parser = positive, allow_negative_numbers = true, help_heading = "Network and optimiser")]
    pub rate: Option<f64>,
    /// Samples of each class in a batch.
    #[arg(long, value_name = "m", help_heading = "Batches")]
    pub per_class: Option<usize>,
    /// Classes in a batch.
    #[arg(long, value_name = "C", help_heading = "Batches")]
    pub classes_per_batch: Option<usize>,
    /// What a class with fewer samples does.
    #[arg(long, value_enum, help_heading = "Batches")]
    pub small_classes: Option<SmallClasses>,
    /// The loss.
    #[arg(long, value_enum, help_heading = "Loss and boundary")]
    pub loss: Option<LossKind>,
    /// Margin.
    #[arg(long, value_parser = at_least_zero, allow_negative_numbers = true, help_heading = "Loss and boundary")]
    pub alpha: Option<f64>,
    /// Boundary of the margin loss at the start.
    #[arg(long, value_parser = boundary, allow_negative_numbers = true, help_heading = "Loss and boundary")]
    pub beta: Option<f64>,
    /// How the boundary of the margin loss moves.
    #[arg(long, value_enum, help_heading = "Loss and boundary")]
    pub boundary: Option<BoundaryMode>,
    /// Learning rate of the boundary, or with `--boundary exact` the share of the way that it goes.
    #[arg(long, value_name = "RATE", value_parser = at_least_zero, allow_negative_numbers = true, help_heading = "Loss and boundary")]
    pub beta_rate: Option<f64>,
    /// Boundary penalty: the larger, the lower the boundary.
    #[arg(long, value_parser = at_least_zero, allow_negative_numbers = true, help_heading = "Loss and boundary")]
    pub nu: Option<f64>,
    /// Form of the boundary penalty.
    #[arg(long, value_enum, help_heading = "Loss and boundary")]
    pub penalty: Option<PenaltyKind>,
    /// What active terms are divided by.
    #[arg(long, value_enum, help_heading = "Loss and boundary")]
    pub reduction: Option<ReductionKind>,
    /// How negatives are chosen; losses over the whole batch take all.
    #[arg(long, value_enum, help_heading = "Choice of negatives")]
    pub sampler: Option<SamplerKind>,
    /// Dimension whose density is inverted: ambient, effective, fitted or a number.
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Choice of negatives")]
    pub dimension: Option<Dimension>,
    /// Distance whose weight caps all others.
    #[arg(long, value_name = "d_lo", value_parser = near, allow_negative_numbers = true, help_heading = "Choice of negatives")]
    pub near: Option<f64>,
    /// Where candidates end: none, active (where the margin loss ends) or a distance.
    #[arg(long, value_name = "d", allow_negative_numbers = true, help_heading = "Choice of negatives")]
    pub far: Option<Far>,
    /// What an anchor without candidates does.
    #[arg(long, value_enum, help_heading = "Choice of negatives")]
    pub empty: Option<EmptyKind>,
    /// Embeddings of earlier batches that are negatives too; when they come into use, a run file says: memory.warmup.
    #[arg(long, value_name = "ROWS", help_heading = "Choice of negatives")]
    pub memory: Option<usize>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::SETTLED;
    use crate::args::Cli;

    #[test]
    fn a_resumed_run_refuses_every_option_that_would_change_it() {
        let command = Cli::command();
        let train = command.find_subcommand("train").unwrap();
        for argument in train.get_arguments().map(|argument| argument.get_id().as_str()) {
            let stays_open = ["resume", "precision"].contains(&argument);
            assert!(SETTLED.contains(&argument) != stays_open, "--{argument}");
        }
    }
}
