//! The command line. Its names are a contract: options may be added, not renamed.

mod ablate;
mod figures;
mod pairs;
mod train;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use nearfar_core::kernel::fast::InstructionSet;
use nearfar_cuda::Precision;

use crate::config::{Dimension, EmptyKind, Far, LossKind, PenaltyKind, ReductionKind, SamplerKind};
use crate::number::{at_least_zero, boundary, drawing, near, positive, quantile};

pub use ablate::AblateArgs;
pub use figures::FiguresArgs;
pub use pairs::{CalibrateArgs, EmbedPairsArgs, ExportArgs, OneShotArgs, VerifyArgs};
pub use train::TrainArgs;

/// Deep metric learning: embeddings that pull samples of one class near and push others far.
#[derive(Debug, Parser)]
#[command(
    name = "nearfar",
    version,
    propagate_version = true,
    after_help = "Train on the embedded kana set, then look at the report:\n  nearfar train"
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Options of every command.
    #[command(flatten)]
    pub common: Common,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Common {
    /// One machine-readable object on stdout.
    #[arg(long, global = true)]
    pub json: bool,
    /// Where to compute: auto, cpu, cuda or cuda:N.
    #[arg(long, global = true, default_value = "auto", value_name = "DEVICE")]
    pub device: Device,
    /// Threads; results do not depend on it. Default: all cores.
    #[arg(long, global = true, value_name = "T", value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
    /// Seed of every random number, 0 if none is given: of train (over what --config says), of the draws of sample,
    /// of the k-means and the resamples of eval, of the simulated points of figures. The other commands have no chance
    /// in them.
    #[arg(long, global = true, value_name = "SEED")]
    pub seed: Option<u64>,
}

/// Where to compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The best that is there.
    Auto,
    /// The processor.
    Cpu,
    /// A CUDA device, by number.
    Cuda(usize),
}

impl std::str::FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|n| n.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| "expected auto, cpu, cuda or cuda:N".to_owned()),
        }
    }
}

fn precision(text: &str) -> Result<Precision, String> {
    match text {
        "single" => Ok(Precision::Single),
        "tf32" => Ok(Precision::Tf32),
        "bf16" => Ok(Precision::Bf16),
        _ => Err("expected single, tf32 or bf16".to_owned()),
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a network; everything goes to one run folder.
    #[command(
        after_help = "Every number of a run has a key in its run file: --show-config prints them all with what they \
                      mean.\n\nExample:\n  nearfar train --data ../shared/data/omniglot --seed 1 --out runs/omniglot"
    )]
    Train(Box<TrainArgs>),
    /// Embed data with a trained network, or with several at once; compare pairs of samples.
    #[command(
        after_help = "Example:\n  nearfar embed --run runs/kana-1 --data kana --out E.npy --labels-out L.npy\n  \
                      nearfar embed --run runs/kana-1 --run runs/kana-2 --data kana --out E.npy"
    )]
    Embed(EmbedArgs),
    /// Retrieval and clustering quality of embeddings.
    #[command(after_help = "Example:\n  nearfar eval --embeddings E.npy --labels L.npy --k 1,2,4,8")]
    Eval(EvalArgs),
    /// Are pairs of one class? Accuracy over folds, equal error rate, area under the ROC.
    #[command(after_help = "Example:\n  nearfar verify --embeddings E.npy --pairs P.tsv")]
    Verify(VerifyArgs),
    /// Learn P(same class | distance) and a threshold from pairs.
    #[command(
        after_help = "Example:\n  nearfar calibrate --embeddings E.npy --pairs P.tsv --far 0.01 --out C.json --plot C.svg"
    )]
    Calibrate(CalibrateArgs),
    /// One-shot trials: which of the candidates is nearest to the test?
    #[command(name = "oneshot", after_help = "Example:\n  nearfar oneshot --embeddings E.npy --trials T.tsv")]
    OneShot(OneShotArgs),
    /// The trained network as ONNX, to be served anywhere.
    #[command(after_help = "Example:\n  nearfar export --run runs/kana-1 --out model.onnx")]
    Export(ExportArgs),
    /// Choose negatives for given embeddings.
    #[command(
        after_help = "Example:\n  nearfar sample --embeddings E.npy --labels L.npy --sampler distance-weighted --out T.csv\n  \
                      nearfar sample --embeddings E.npy --labels L.npy --sampler uniform --second --out Q.csv"
    )]
    Sample(SampleArgs),
    /// Value and gradient of a loss on given tuples.
    #[command(
        after_help = "Example:\n  nearfar loss --embeddings E.npy --labels L.npy --triplets T.csv --loss margin --grad-out G.npy"
    )]
    Loss(LossArgs),
    /// The law of distances on the sphere.
    #[command(after_help = "Example:\n  nearfar density --n 128 --at 0.5,1.0,1.4 --plot q.svg")]
    Density(DensityArgs),
    /// Isotonic regression of a csv with columns x,y and optionally weight.
    #[command(after_help = "Example:\n  nearfar isotonic --in xy.csv --out fit.csv")]
    Isotonic(IsotonicArgs),
    /// What this machine has, and each kernel checked against the reference.
    #[command(after_help = "Example:\n  nearfar doctor --json")]
    Doctor,
    /// The hot paths, timed against the least that their arithmetic needs on this machine.
    #[command(after_help = "Example:\n  nearfar bench --n 1024,4096 --dim 128 --threads 1")]
    Bench(BenchArgs),
    /// Does sampling matter on these data? Losses by samplers by seeds, in tables with standard errors.
    #[command(
        after_help = "Examples:\n  nearfar ablate --preset paper --seeds 5 --jobs 2 --out grids/paper\n  nearfar ablate \
                      --losses margin,triplet --samplers uniform,distance-weighted --cpu-seconds 30 --out grids/mine"
    )]
    Ablate(AblateArgs),
    /// The figures of the paper's argument, as pictures and as csv: densities, gradient noise, samplers, losses; of
    /// runs, how they learned.
    #[command(after_help = "Example:\n  nearfar figures --run runs/kana-1 --run runs/kana-2 --out figures")]
    Figures(FiguresArgs),
}

/// Options of `embed`.
#[derive(Debug, Args)]
pub struct EmbedArgs {
    /// A run folder, or a model file; given more than once, their embeddings are joined to one.
    #[arg(long, required = true)]
    pub run: Vec<PathBuf>,
    /// The data, as for train; a split set gives its test part.
    #[arg(long, value_name = "kana|PATH")]
    pub data: String,
    /// Which part of a split set.
    #[arg(long, value_enum, default_value_t)]
    pub part: Part,
    /// The embeddings, f32 `[N, D]`.
    #[arg(long, value_name = "E.npy")]
    pub out: PathBuf,
    /// Their labels, i64 `[N]`.
    #[arg(long, value_name = "L.npy")]
    pub labels_out: Option<PathBuf>,
    /// Products of the network, as for train.
    #[arg(long, default_value_t, value_name = "single|tf32|bf16", value_parser = precision)]
    pub precision: Precision,
    /// Pairs among the samples.
    #[command(flatten)]
    pub pairs: EmbedPairsArgs,
}

/// A part of a data set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Classes that the network learned from.
    Train,
    /// Classes that chose the recipe.
    Validation,
    /// Unseen classes; of a set with queries, the gallery.
    #[default]
    Test,
    /// Queries that are searched in the test part.
    Query,
    /// Everything.
    All,
}

/// Options of `eval`.
#[derive(Debug, Args)]
pub struct EvalArgs {
    /// Embeddings, f32 or f64 `[N, D]`.
    #[arg(long, value_name = "E.npy")]
    pub embeddings: PathBuf,
    /// Labels, any integer type, `[N]`.
    #[arg(long, value_name = "L.npy")]
    pub labels: PathBuf,
    /// Queries that are searched among the embeddings.
    #[arg(long, value_name = "E2.npy", requires = "query_labels")]
    pub queries: Option<PathBuf>,
    /// Their labels.
    #[arg(long, value_name = "L2.npy", requires = "queries")]
    pub query_labels: Option<PathBuf>,
    /// Ranks at which recall is reported, counted from 1.
    #[arg(long, value_delimiter = ',', default_value = "1,2,4,8")]
    pub k: Vec<usize>,
    /// Leave out k-means, and with it NMI and AMI: they take about as long as the search.
    #[arg(long)]
    pub no_clusters: bool,
}

/// Options of `sample`.
#[derive(Debug, Args)]
pub struct SampleArgs {
    /// Unit embeddings, `[N, D]`.
    #[arg(long, value_name = "E.npy")]
    pub embeddings: PathBuf,
    /// Labels, `[N]`.
    #[arg(long, value_name = "L.npy")]
    pub labels: PathBuf,
    /// The rule: uniform, hard, semihard, semihard-band or distance-weighted.
    #[arg(long, value_name = "S", value_parser = drawing)]
    pub sampler: SamplerKind,
    /// Draws an anchor, instead of one a positive; a million at most.
    #[arg(long, value_name = "k", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub draws: Option<u32>,
    /// The triplets: anchor,positive,negative,log_prob.
    #[arg(long, value_name = "T.csv")]
    pub out: PathBuf,
    /// Also draw a sample of a third class, as a column `second` between negative and log_prob: what
    /// `loss --loss quadruplet` needs.
    #[arg(long)]
    pub second: bool,
    /// Dimension whose density is inverted: ambient, effective, fitted or a number.
    #[arg(long, value_name = "N", default_value = "ambient", allow_negative_numbers = true)]
    pub dimension: Dimension,
    /// Distance whose weight caps all others.
    #[arg(long, value_name = "d_lo", default_value_t = 0.5, value_parser = near, allow_negative_numbers = true)]
    pub near: f64,
    /// Where candidates end: none or a distance.
    #[arg(long, value_name = "d", default_value = "1.4", allow_negative_numbers = true)]
    pub far: Far,
    /// Width of the band of semihard-band.
    #[arg(long, default_value_t = 0.2, value_parser = positive, allow_negative_numbers = true)]
    pub alpha: f64,
    /// What an anchor without candidates does.
    #[arg(long, value_enum, default_value = "skip")]
    pub empty: EmptyKind,
    /// Divide each row by its length first.
    #[arg(long)]
    pub normalize: bool,
}

/// Options of `loss`.
#[derive(Debug, Args)]
pub struct LossArgs {
    /// Unit embeddings, `[N, D]`.
    #[arg(long, value_name = "E.npy")]
    pub embeddings: PathBuf,
    /// Labels, `[N]`.
    #[arg(long, value_name = "L.npy")]
    pub labels: PathBuf,
    /// The tuples: a csv with columns anchor,positive,negative and, for the quadruplet loss, second; others are not
    /// read. Not for losses over the whole batch.
    #[arg(long, value_name = "T.csv")]
    pub triplets: Option<PathBuf>,
    /// The loss.
    #[arg(long, value_enum)]
    pub loss: LossKind,
    /// Margin [default: 0.2].
    #[arg(long, value_parser = at_least_zero, allow_negative_numbers = true)]
    pub alpha: Option<f64>,
    /// Second margin of the quadruplet loss [default: 0.1].
    #[arg(long, value_parser = at_least_zero, allow_negative_numbers = true)]
    pub alpha2: Option<f64>,
    /// Boundary of the margin loss [default: 1.2].
    #[arg(long, value_parser = boundary, allow_negative_numbers = true)]
    pub beta: Option<f64>,
    /// Scale of the cosines of the N-pair loss [default: 16].
    #[arg(long, value_parser = positive, allow_negative_numbers = true)]
    pub scale: Option<f64>,
    /// Boundary penalty of the margin loss [default: 0].
    #[arg(long, value_parser = at_least_zero, allow_negative_numbers = true)]
    pub nu: Option<f64>,
    /// Form of the boundary penalty [default: batch].
    #[arg(long, value_enum)]
    pub penalty: Option<PenaltyKind>,
    /// What active terms are divided by.
    #[arg(long, value_enum, default_value = "mean-active")]
    pub reduction: ReductionKind,
    /// Gradient to the rows, `[N, D]`.
    #[arg(long, value_name = "G.npy")]
    pub grad_out: Option<PathBuf>,
    /// Gradient to the boundary of each anchor, `[N]`.
    #[arg(long, value_name = "B.npy")]
    pub beta_grad_out: Option<PathBuf>,
    /// Divide each row by its length first.
    #[arg(long)]
    pub normalize: bool,
    /// Give the gradient to the rows before they were divided by their length.
    #[arg(long)]
    pub through_normalization: bool,
}

/// Options of `density`.
#[derive(Debug, Args)]
pub struct DensityArgs {
    /// Dimension, at least 2; need not be whole.
    #[arg(long, value_parser = positive, allow_negative_numbers = true)]
    pub n: f64,
    /// Distances within 0 and 2.
    #[arg(long, value_delimiter = ',', value_parser = boundary, allow_negative_numbers = true)]
    pub at: Vec<f64>,
    /// Distance whose weight caps all others.
    #[arg(long, value_name = "d_lo", default_value_t = 0.5, value_parser = near, allow_negative_numbers = true)]
    pub near: f64,
    /// A drawing of the density and of the capped weights.
    #[arg(long, value_name = "F.svg")]
    pub plot: Option<PathBuf>,
}

/// Options of `isotonic`.
#[derive(Debug, Args)]
pub struct IsotonicArgs {
    /// Points: a csv with columns x,y and optionally weight.
    #[arg(long = "in", value_name = "XY.csv")]
    pub input: PathBuf,
    /// The fit: x,y,fit.
    #[arg(long, value_name = "F.csv")]
    pub out: PathBuf,
    /// Direction.
    #[arg(long, value_enum, default_value_t)]
    pub direction: DirectionArg,
    /// Fit this quantile instead of the mean.
    #[arg(long, value_name = "TAU", value_parser = quantile, allow_negative_numbers = true)]
    pub quantile: Option<f64>,
}

/// Options of `bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Samples in a batch, in a set to evaluate, and points of a fit.
    #[arg(long, value_delimiter = ',', default_value = "1024,4096")]
    pub n: Vec<usize>,
    /// Numbers in an embedding.
    #[arg(long, value_name = "D", default_value_t = 128)]
    pub dim: usize,
    /// Instructions that the kernels are held to. Default: the best that this machine has.
    #[arg(long, value_name = "SET")]
    pub instructions: Option<InstructionsArg>,
}

/// An instruction set to be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum InstructionsArg {
    /// AVX-512.
    Avx512,
    /// AVX2 with FMA.
    Avx2,
    /// NEON.
    Neon,
    /// No vectors.
    Plain,
}

impl From<InstructionsArg> for InstructionSet {
    fn from(set: InstructionsArg) -> Self {
        match set {
            InstructionsArg::Avx512 => Self::Avx512,
            InstructionsArg::Avx2 => Self::Avx2,
            InstructionsArg::Neon => Self::Neon,
            InstructionsArg::Plain => Self::Plain,
        }
    }
}

/// Direction of an isotonic fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DirectionArg {
    /// Levels rise.
    #[default]
    Increasing,
    /// Levels fall.
    Decreasing,
    /// The one with the smaller loss; on a tie they rise.
    Auto,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn names_do_not_clash() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_is_plain_text() {
        let mut command = Cli::command();
        command.build();
        for verb in command.get_subcommands_mut() {
            let help = verb.render_long_help().to_string();
            assert!(!help.contains("\\["), "{help}");
        }
    }
}
