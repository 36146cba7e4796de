//! One verb each; and what they share: where to compute, and what they answer.

mod ablate;
mod bench;
mod calibrate;
mod confidence;
mod density;
mod doctor;
mod embed;
mod eval;
mod export;
mod figures;
mod isotonic;
mod loss;
mod oneshot;
mod pairs;
mod sample;
mod settings;
mod train;
mod verify;

use std::collections::BTreeSet;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use nearfar_core::kernel::fast::Fast;
use nearfar_core::{Embeddings, Scalar, normalize_row};
use nearfar_cuda::Precision;

use crate::args::{Cli, Command, Common, Device};
use crate::data::npy::{self, Matrix};
use crate::place::Place;

/// What a verb has to say: to people, and to programs.
#[derive(Debug)]
pub struct Answer {
    /// Lines for a terminal.
    pub text: String,
    /// The same as one object.
    pub json: serde_json::Value,
}

/// The program: parses its arguments, does what they say, and prints the answer, or one line of error.
///
/// 0 done, 1 failed, 2 wrong usage (by clap).
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let text = match run(&cli) {
        Ok(answer) if cli.common.json => format!("{}\n", answer.json),
        Ok(answer) => answer.text,
        Err(error) => return fail(&format!("{error:#}")),
    };
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        // A reader that has seen enough, as `head`, is no failure.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            fail(&format!("the answer cannot be written to stdout: {error}"))
        }
        _ => ExitCode::SUCCESS,
    }
}

/// The whole chain on one line: what could not be done, and why. If stderr is gone too, the code must do.
fn fail(message: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "error: {message}");
    ExitCode::FAILURE
}

/// Does what the command line says.
pub fn run(cli: &Cli) -> Result<Answer> {
    let common = &cli.common;
    match &cli.command {
        Command::Train(args) => train::run(args, common),
        Command::Embed(args) => embed::run(args, common),
        Command::Eval(args) => eval::run(args, common),
        Command::Verify(args) => verify::run(args),
        Command::Calibrate(args) => calibrate::run(args),
        Command::OneShot(args) => oneshot::run(args),
        Command::Export(args) => export::run(args),
        Command::Sample(args) => sample::run(args, common),
        Command::Loss(args) => loss::run(args, common),
        Command::Density(args) => density::run(args),
        Command::Isotonic(args) => isotonic::run(args),
        Command::Doctor => doctor::run(common),
        Command::Bench(args) => bench::run(args, common),
        Command::Ablate(args) => ablate::run(args, common),
        Command::Figures(args) => figures::run(args, common),
    }
}

/// Threads to use: as asked for, or one a core.
fn threads(common: &Common) -> usize {
    common.threads.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from)
}

/// Where single precision is computed, or what of a network asks for less.
fn place(common: &Common, precision: Precision) -> Result<Place> {
    Place::open(common.device, precision, threads(common))
}

/// The processor, for what is computed in double precision, which the GPU layer has not.
fn backend(common: &Common) -> Result<Fast> {
    ensure_cpu(common)?;
    Fast::new(threads(common)).context("cannot start the threads")
}

/// An error if a GPU was asked for.
fn ensure_cpu(common: &Common) -> Result<()> {
    if let Device::Cuda(_) = common.device {
        bail!("this is computed in double precision, on the CPU: leave --device cuda out");
    }
    Ok(())
}

/// Embeddings and labels from files. In double precision, unless a verb says otherwise: commands on files are exact
/// before they are fast.
struct Embedded<T = f64> {
    values: Vec<T>,
    dim: usize,
    /// Labels numbered from 0.
    labels: Vec<u32>,
    /// What each stands for in the file, increasing.
    originals: Vec<i64>,
}

/// Reads `[N, D]` embeddings and N labels that fit.
fn read_embedded(embeddings: &Path, labels: &Path) -> Result<Embedded> {
    labelled(npy::read_matrix(embeddings)?, embeddings, labels)
}

/// Embeddings with the labels of a file, if they fit.
fn labelled<T>(matrix: Matrix<T>, embeddings: &Path, labels: &Path) -> Result<Embedded<T>> {
    let Matrix { rows: count, cols: dim, values } = matrix;
    let original = npy::read_labels(labels)?;
    ensure!(
        original.len() == count,
        "{} holds {} labels, {} holds {count} embeddings",
        labels.display(),
        original.len(),
        embeddings.display()
    );
    let mut distinct = original.clone();
    distinct.sort_unstable();
    distinct.dedup();
    let dense =
        |label: &i64| distinct.binary_search(label).map(|i| i as u32).expect("every label is among them");
    Ok(Embedded { labels: original.iter().map(dense).collect(), originals: distinct, values, dim })
}

/// An error unless something is near and something far: two classes, and two samples in one of them.
fn ensure_near_and_far<T>(set: &Embedded<T>, path: &Path) -> Result<()> {
    ensure_two_classes(set, path)?;
    ensure!(
        set.originals.len() < set.labels.len(),
        "every class of {} has one sample; two of a class are needed to tell near from far",
        path.display()
    );
    Ok(())
}

fn ensure_two_classes<T>(set: &Embedded<T>, path: &Path) -> Result<()> {
    ensure!(
        set.originals.len() > 1,
        "all samples of {} have one label, {}; two classes are needed to tell near from far",
        path.display(),
        set.originals[0]
    );
    Ok(())
}

/// An error that names file and row for a row of zeros, which has no direction.
fn ensure_directions<T: Scalar>(values: &[T], dim: usize, path: &Path) -> Result<()> {
    match values.chunks_exact(dim).position(|row| row.iter().all(|&v| v == T::ZERO)) {
        Some(row) => bail!("row {row} of {} is all zeros: it has no direction", path.display()),
        None => Ok(()),
    }
}

/// An error for options that were given and that what was chosen would not look at.
fn ensure_used(chosen: &str, options: &[(&str, bool, bool)]) -> Result<()> {
    let idle: BTreeSet<&str> =
        options.iter().filter(|(_, given, used)| *given && !used).map(|(name, ..)| *name).collect();
    if idle.is_empty() {
        return Ok(());
    }
    let it = if idle.len() == 1 { "it" } else { "them" };
    let idle = idle.into_iter().collect::<Vec<_>>().join(", ");
    bail!("{idle} would have no effect with {chosen}: leave {it} out")
}

/// Divides each row by its length; a row that has none is an error that names file and row.
fn normalize_rows(values: &[f64], dim: usize, path: &Path) -> Result<Vec<f64>> {
    let mut unit = vec![0.0; values.len()];
    for (row, (z, x)) in values.chunks_exact(dim).zip(unit.chunks_exact_mut(dim)).enumerate() {
        normalize_row(z, x)
            .map_err(|error| error.at_row(row))
            .with_context(|| format!("{}", path.display()))?;
    }
    Ok(unit)
}

/// Rows of length 1: made so where asked for, else checked.
fn unit_rows(set: &Embedded, normalize: bool, path: &Path) -> Result<Vec<f64>> {
    if normalize {
        return normalize_rows(&set.values, set.dim, path);
    }
    Embeddings::unit(&set.values, set.dim)
        .with_context(|| format!("{} (--normalize divides each row by its length)", path.display()))?;
    Ok(set.values.clone())
}
