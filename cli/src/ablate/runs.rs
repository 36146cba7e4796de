//! The runs of a grid: processes of this very program, some at a time, each in a folder that tells whether it is done.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use anyhow::{Context, Result, anyhow, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::table::Outcome;
use super::{Cell, Grid, Variant};
use crate::config::Config;
use crate::record::Summary;
use crate::report;
use crate::write::replace_file;

/// Steps of the run that tells what a step costs.
const PROBE: u32 = 20;

/// One run of a grid.
#[derive(Clone, Copy)]
struct Job<'a> {
    cell: &'a Cell,
    variant: &'a Variant,
    seed: u64,
}

/// How runs are made.
#[derive(Clone, Debug)]
pub struct Runner {
    /// This program.
    pub program: PathBuf,
    /// The folder of the grid.
    pub out: PathBuf,
    /// Runs at a time.
    pub jobs: usize,
    /// Threads of each.
    pub threads: usize,
    /// As `--device` says it.
    pub device: String,
}

impl Runner {
    /// Runs what has not run yet; returns all outcomes, and for each cell the variant that validation chose.
    ///
    /// A cell with several variants first runs each with the first seed. The one with the highest MAP@R on the
    /// validation classes stands for the cell, the first of several, and runs with the other seeds.
    pub fn run(&self, grid: &Grid) -> Result<(Vec<Outcome>, Vec<String>)> {
        let first = grid.seeds[0];
        let variants: usize = grid.cells.iter().map(|cell| cell.variants.len()).sum();
        let bar = progress(variants + (grid.seeds.len() - 1) * grid.cells.len());
        let trial: Vec<Job<'_>> = grid
            .cells
            .iter()
            .flat_map(|cell| cell.variants.iter().map(move |variant| Job { cell, variant, seed: first }))
            .collect();
        let mut outcomes = self.all(&trial, &bar)?;

        let mut chosen = Vec::new();
        let mut rest = Vec::new();
        for cell in &grid.cells {
            let score = |variant: &Variant| {
                let ran = outcomes.iter().find(|o| o.cell == cell.name() && o.variant == variant.name);
                ran.and_then(|outcome| outcome.validation)
            };
            let best = match &cell.variants[..] {
                [only] => only,
                several => {
                    let mut best = (&several[0], f64::NEG_INFINITY);
                    for variant in several {
                        let score = score(variant).with_context(|| {
                            format!(
                                "{} has variants to choose among, but no validation classes to choose by: give a \
                                 share by data.validation in --config",
                                cell.name()
                            )
                        })?;
                        if score > best.1 {
                            best = (variant, score);
                        }
                    }
                    best.0
                }
            };
            chosen.push(best.name.clone());
            rest.extend(grid.seeds[1..].iter().map(|&seed| Job { cell, variant: best, seed }));
        }
        outcomes.extend(self.all(&rest, &bar)?);
        bar.finish_and_clear();
        Ok((outcomes, chosen))
    }

    /// Runs jobs, some at a time; the first error ends what has not begun.
    fn all(&self, jobs: &[Job<'_>], bar: &ProgressBar) -> Result<Vec<Outcome>> {
        let queue = Mutex::new(jobs.iter().enumerate().collect::<VecDeque<_>>());
        let next = || queue.lock().ok()?.pop_front();
        let work = || -> Result<Vec<(usize, Outcome)>> {
            let mut done = Vec::new();
            while let Some((at, job)) = next() {
                bar.set_message(format!("{} seed {}", job.cell.name(), job.seed));
                match self.one(job) {
                    Ok(outcome) => done.push((at, outcome)),
                    Err(error) => {
                        queue.lock().map(|mut left| left.clear()).ok();
                        return Err(error);
                    }
                }
                bar.inc(1);
            }
            Ok(done)
        };
        let mut outcomes = Vec::new();
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..self.jobs).map(|_| scope.spawn(work)).collect();
            for worker in workers {
                outcomes
                    .extend(worker.join().map_err(|_| anyhow!("a thread that waits for runs panicked"))??);
            }
            Ok::<(), anyhow::Error>(())
        })?;
        outcomes.sort_by_key(|&(at, _)| at);
        Ok(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
    }

    /// Makes one run, or goes on with it, or only reads it.
    fn one(&self, job: &Job<'_>) -> Result<Outcome> {
        let parent = self.out.join(job.cell.folder(job.variant));
        let run = parent.join(format!("seed-{}", job.seed));
        if !run.join("model.safetensors").exists() {
            fs::create_dir_all(&parent).with_context(|| format!("cannot create {}", parent.display()))?;
            let mut command = self.train();
            if run.join("config.toml").exists() {
                command.arg("--resume").arg(&run);
            } else {
                if run.exists() {
                    // A process that ended before its first file.
                    fs::remove_dir_all(&run).with_context(|| format!("cannot remove {}", run.display()))?;
                }
                let config = parent.join("config.toml");
                replace_file(&config, job.variant.config.to_toml().as_bytes())?;
                command.arg("--config").arg(&config).args(["--seed", &job.seed.to_string()]);
                command.arg("--out").arg(&run);
            }
            let fresh = !run.exists();
            let answer = answer(&mut command, &parent.join(format!("seed-{}.log", job.seed)))
                .with_context(|| format!("{}, seed {}", job.cell.name(), job.seed))?;
            if fresh {
                // Beside the run folder, which holds nothing that depends on the machine.
                let cost = parent.join(format!("seed-{}.cpu", job.seed));
                replace_file(&cost, answer["training_cpu_seconds"].to_string().as_bytes())?;
            }
        }
        outcome(job, &parent, &run)
    }

    /// The command line of a run, without what is particular to it.
    fn train(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["train", "--json", "--device", &self.device, "--threads", &self.threads.to_string()]);
        command
    }
}

/// Steps that take so many CPU seconds of training with this configuration here, by a short run of it.
pub fn steps_for(runner: &Runner, config: &Config, cpu_seconds: f64) -> Result<u32> {
    let folder = tempfile::tempdir().context("cannot make a folder for a trial run")?;
    let mut config = config.clone();
    config.train.steps = PROBE;
    config.train.every = PROBE;
    let file = folder.path().join("config.toml");
    replace_file(&file, config.to_toml().as_bytes())?;
    let mut command = runner.train();
    command.arg("--config").arg(&file).arg("--out").arg(folder.path().join("run"));
    let answer = answer(&mut command, &folder.path().join("log"))?;
    let took = answer["training_cpu_seconds"].as_f64().context("the trial run does not say what it took")?;
    let steps = (cpu_seconds * f64::from(PROBE) / took).round();
    if !(1.0..=1e9).contains(&steps) {
        bail!("--cpu-seconds {cpu_seconds} makes {steps} steps: a step takes {} s", took / f64::from(PROBE));
    }
    Ok(steps as u32)
}

/// What the program answers; its last words where it fails.
fn answer(command: &mut Command, log: &Path) -> Result<Value> {
    let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let output = command
        .stdin(Stdio::null())
        .stderr(file)
        .stdout(Stdio::piped())
        .spawn()
        .and_then(std::process::Child::wait_with_output)
        .context("cannot start a run")?;
    if !output.status.success() {
        let text = fs::read_to_string(log).unwrap_or_default();
        let last = text.trim_end().lines().last().unwrap_or("it says nothing");
        bail!("the run failed ({}): {}", output.status, last.trim_start_matches("error: "));
    }
    serde_json::from_slice(&output.stdout).context("a run's answer is not what it should be")
}

/// What a finished run says.
fn outcome(job: &Job<'_>, parent: &Path, run: &Path) -> Result<Outcome> {
    let path = run.join("summary.json");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let summary: Summary =
        serde_json::from_str(&text).with_context(|| format!("{} is no summary of a run", path.display()))?;
    let looks = report::read_looks(&run.join("metrics.jsonl"))?;
    let cost = fs::read_to_string(parent.join(format!("seed-{}.cpu", job.seed)));
    Ok(Outcome {
        cell: job.cell.name(),
        variant: job.variant.name.clone(),
        seed: job.seed,
        steps: summary.steps,
        recall: summary.test.recall,
        map_at_r: summary.test.map_at_r,
        validation: looks.last().and_then(|look| look.validation.as_ref()).map(|scores| scores.map_at_r),
        cpu_seconds: cost.ok().and_then(|text| text.trim().parse().ok()),
    })
}

/// A bar over all runs, on stderr; nothing where that is no terminal.
fn progress(runs: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} run {pos}/{len} left {eta} {msg}");
    ProgressBar::new(runs as u64).with_style(style.expect("the template is well-formed"))
}
