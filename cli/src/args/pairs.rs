//! Options of the verbs that judge pairs and trials, and of `export`.

use std::path::PathBuf;

use clap::Args;

use crate::number::rate;

/// Options of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Embeddings, f32 or f64 `[N, D]`.
    #[arg(long, value_name = "E.npy")]
    pub embeddings: PathBuf,
    /// The pairs: tab separated fold, i, j, same (1 or 0), rows counted from 0; a first line may name the columns.
    #[arg(long, value_name = "P.tsv")]
    pub pairs: PathBuf,
    /// False accept rates at which the true accept rate is reported.
    #[arg(long, value_name = "FAR", value_delimiter = ',', default_value = "0.01,0.001", value_parser = rate, allow_negative_numbers = true)]
    pub far: Vec<f64>,
    /// Also judge the pairs by the threshold and the probabilities that `calibrate` saved.
    #[arg(long, value_name = "C.json")]
    pub calibration: Option<PathBuf>,
    /// Divide each row by its length first.
    #[arg(long)]
    pub normalize: bool,
}

/// Options of `calibrate`.
#[derive(Debug, Args)]
pub struct CalibrateArgs {
    /// Embeddings, f32 or f64 `[N, D]`.
    #[arg(long, value_name = "E.npy")]
    pub embeddings: PathBuf,
    /// The pairs, as for verify.
    #[arg(long, value_name = "P.tsv")]
    pub pairs: PathBuf,
    /// The calibration. As calibration.json in a run folder it is found by `embed --pairs`.
    #[arg(long, value_name = "C.json")]
    pub out: PathBuf,
    /// The false accept rate that the threshold keeps on these pairs. Default: the threshold with most right answers.
    #[arg(long, value_parser = rate, allow_negative_numbers = true)]
    pub far: Option<f64>,
    /// A drawing: P(same) over distance, and how true it is, each fold judged by a fit to the others.
    #[arg(long, value_name = "F.svg")]
    pub plot: Option<PathBuf>,
    /// Divide each row by its length first.
    #[arg(long)]
    pub normalize: bool,
}

/// Options of `oneshot`.
#[derive(Debug, Args)]
pub struct OneShotArgs {
    /// Embeddings, f32 or f64 `[N, D]`.
    #[arg(long, value_name = "E.npy")]
    pub embeddings: PathBuf,
    /// The trials, tab separated: run, test, the right candidate, then all candidates; rows counted from 0.
    #[arg(long, value_name = "T.tsv")]
    pub trials: PathBuf,
    /// Divide each row by its length first.
    #[arg(long)]
    pub normalize: bool,
}

/// Options of `export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// A run folder, or a model file.
    #[arg(long)]
    pub run: PathBuf,
    /// The network as ONNX: raw inputs in, unit embeddings out.
    #[arg(long, value_name = "M.onnx")]
    pub out: PathBuf,
}

/// Options of `embed` for pairs.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Pairs")]
pub struct EmbedPairsArgs {
    /// Also compare these pairs of samples: tab separated i, j, or as for verify.
    #[arg(long, value_name = "P.tsv", requires = "pairs_out")]
    pub pairs: Option<PathBuf>,
    /// What was found: i, j, distance, p_same, accepted.
    #[arg(long, value_name = "D.tsv", requires = "pairs")]
    pub pairs_out: Option<PathBuf>,
    /// What `calibrate` saved. Default: calibration.json in the run folder.
    #[arg(long, value_name = "C.json", requires = "pairs")]
    pub calibration: Option<PathBuf>,
    /// A list of pairs of LFW (pairs.txt, pairsDevTest.txt) to look up among what is embedded.
    #[arg(long, value_name = "pairs.txt", requires = "pairs_tsv")]
    pub lfw_pairs: Option<PathBuf>,
    /// Those pairs as verify reads them: fold, i, j, same.
    #[arg(long, value_name = "P.tsv", requires = "lfw_pairs")]
    pub pairs_tsv: Option<PathBuf>,
}
