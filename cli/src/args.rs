//! The command line. Its names are a contract: options may be added, not renamed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{
    BoundaryMode, EmptyKind, LossKind, ModelKind, OptimizerKind, PenaltyKind, ReductionKind, SamplerKind,
    SmallClasses,
};
use crate::recipe::Recipe;

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
    /// Seed of every random number. Default: 0, or what --config says.
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

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a network; everything goes to one run folder.
    #[command(
        after_help = "Example:\n  nearfar train --data ../shared/data/omniglot --seed 1 --out runs/omniglot"
    )]
    Train(Box<TrainArgs>),
    /// Embed data with a trained network.
    #[command(
        after_help = "Example:\n  nearfar embed --run runs/kana-1 --data kana --out E.npy --labels-out L.npy"
    )]
    Embed(EmbedArgs),
    /// Retrieval and clustering quality of embeddings.
    #[command(after_help = "Example:\n  nearfar eval --embeddings E.npy --labels L.npy --k 1,2,4,8")]
    Eval(EvalArgs),
    /// Choose negatives for given embeddings.
    #[command(
        after_help = "Example:\n  nearfar sample --embeddings E.npy --labels L.npy --sampler distance-weighted --out T.csv"
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
}

/// Options of `train`; each one overrides the configuration.
#[derive(Debug, Default, Args)]
pub struct TrainArgs {
    /// `kana`, or a path: IDX, npy, npz, csv, safetensors, a folder of these, or a folder of class folders.
    #[arg(long, value_name = "kana|PATH")]
    pub data: Option<String>,
    /// Where the numbers start from.
    #[arg(long, value_enum, default_value_t)]
    pub recipe: Recipe,
    /// A file that overlays the recipe; any part of a run's config.toml.
    #[arg(long, value_name = "FILE.toml")]
    pub config: Option<PathBuf>,
    /// The run folder. Default: the next free runs/NAME-K.
    #[arg(long, value_name = "RUN", conflicts_with = "resume")]
    pub out: Option<PathBuf>,
    /// Go on with a run that was broken off.
    #[arg(long, value_name = "RUN", conflicts_with_all = ["config", "data"])]
    pub resume: Option<PathBuf>,
    /// Kind of network.
    #[arg(long, value_enum)]
    pub model: Option<ModelKind>,
    /// The loss.
    #[arg(long, value_enum)]
    pub loss: Option<LossKind>,
    /// How negatives are chosen.
    #[arg(long, value_enum)]
    pub sampler: Option<SamplerKind>,
    /// Numbers in an embedding.
    #[arg(long, value_name = "D")]
    pub dim: Option<usize>,
    /// Samples of each class in a batch.
    #[arg(long, value_name = "m")]
    pub per_class: Option<usize>,
    /// Classes in a batch.
    #[arg(long, value_name = "C")]
    pub classes_per_batch: Option<usize>,
    /// What a class with fewer samples does.
    #[arg(long, value_enum)]
    pub small_classes: Option<SmallClasses>,
    /// Passes over the training data.
    #[arg(long, value_name = "E", conflicts_with = "steps")]
    pub epochs: Option<f64>,
    /// Steps.
    #[arg(long, value_name = "S")]
    pub steps: Option<u32>,
    /// Steps between two looks at the validation classes.
    #[arg(long, value_name = "S")]
    pub every: Option<u32>,
    /// Margin.
    #[arg(long)]
    pub alpha: Option<f64>,
    /// Boundary of the margin loss at the start.
    #[arg(long)]
    pub beta: Option<f64>,
    /// How the boundary moves.
    #[arg(long, value_enum)]
    pub boundary: Option<BoundaryMode>,
    /// Learning rate of the boundary.
    #[arg(long, value_name = "RATE")]
    pub beta_rate: Option<f64>,
    /// Boundary penalty.
    #[arg(long)]
    pub nu: Option<f64>,
    /// Form of the boundary penalty.
    #[arg(long, value_enum)]
    pub penalty: Option<PenaltyKind>,
    /// What active terms are divided by.
    #[arg(long, value_enum)]
    pub reduction: Option<ReductionKind>,
    /// Dimension whose density is inverted: ambient, effective, fitted or a number.
    #[arg(long, value_name = "N")]
    pub dimension: Option<String>,
    /// What an anchor without candidates does.
    #[arg(long, value_enum)]
    pub empty: Option<EmptyKind>,
    /// Optimiser.
    #[arg(long, value_enum)]
    pub optimizer: Option<OptimizerKind>,
    /// Largest learning rate.
    #[arg(long)]
    pub rate: Option<f64>,
    /// Share of the training classes that is held out for validation.
    #[arg(long, value_name = "SHARE")]
    pub validation: Option<f64>,
}

/// Options of `embed`.
#[derive(Debug, Args)]
pub struct EmbedArgs {
    /// A run folder, or a model file.
    #[arg(long)]
    pub run: PathBuf,
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
}

/// A part of a data set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Classes that the network learned from.
    Train,
    /// Classes that chose the recipe.
    Validation,
    /// Unseen classes.
    #[default]
    Test,
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
    /// Ranks at which recall is reported.
    #[arg(long, value_delimiter = ',', default_value = "1,2,4,8")]
    pub k: Vec<usize>,
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
    /// The rule.
    #[arg(long, value_enum)]
    pub sampler: SamplerKind,
    /// Draws an anchor, instead of one a positive.
    #[arg(long, value_name = "k", value_parser = clap::value_parser!(u32).range(1..))]
    pub draws: Option<u32>,
    /// The triplets: anchor,positive,negative,log_prob.
    #[arg(long, value_name = "T.csv")]
    pub out: PathBuf,
    /// Dimension whose density is inverted: ambient, effective, fitted or a number.
    #[arg(long, value_name = "N", default_value = "ambient")]
    pub dimension: String,
    /// Distance whose weight caps all others.
    #[arg(long, value_name = "d_lo", default_value_t = 0.5)]
    pub near: f64,
    /// Where candidates end: none or a distance.
    #[arg(long, value_name = "d", default_value = "1.4")]
    pub far: String,
    /// Width of the band of semihard-band.
    #[arg(long, default_value_t = 0.2)]
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
    /// The tuples: a csv with columns anchor,positive,negative. Not for losses over the whole batch.
    #[arg(long, value_name = "T.csv")]
    pub triplets: Option<PathBuf>,
    /// The loss.
    #[arg(long, value_enum)]
    pub loss: LossKind,
    /// Margin.
    #[arg(long, default_value_t = 0.2)]
    pub alpha: f64,
    /// Second margin of the quadruplet loss.
    #[arg(long, default_value_t = 0.1)]
    pub alpha2: f64,
    /// Boundary of the margin loss.
    #[arg(long, default_value_t = 1.2)]
    pub beta: f64,
    /// Scale of the cosines of the N-pair loss.
    #[arg(long, default_value_t = 16.0)]
    pub scale: f64,
    /// Boundary penalty.
    #[arg(long, default_value_t = 0.0)]
    pub nu: f64,
    /// Form of the boundary penalty.
    #[arg(long, value_enum, default_value = "batch")]
    pub penalty: PenaltyKind,
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
    #[arg(long)]
    pub n: f64,
    /// Distances in (0, 2).
    #[arg(long, value_delimiter = ',')]
    pub at: Vec<f64>,
    /// Distance whose weight caps all others.
    #[arg(long, value_name = "d_lo", default_value_t = 0.5)]
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
    #[arg(long, value_name = "TAU")]
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
}

/// Direction of an isotonic fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DirectionArg {
    /// Levels rise.
    #[default]
    Increasing,
    /// Levels fall.
    Decreasing,
    /// By the sign of the rank correlation.
    Auto,
}
