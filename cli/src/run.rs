//! The run folder: what lies where, how a run begins, is saved, broken off and taken up again.
//!
//! ```text
//! config.toml         every number of the run; alone it makes the same run again
//! metrics.jsonl       one look a line
//! state.safetensors   what an unfinished run goes on from; gone when it is done
//! model.safetensors   the trained network, complete: what `embed` needs
//! summary.json        what came out
//! report.html         the same to look at
//! ```
//! Nothing in it depends on the time, the machine's name or the number of threads.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use nearfar_core::net::Tensor;

use crate::config::Config;
use crate::model::{ModelCard, ModelFile};
use crate::recipe::Recipe;
use crate::record::{Look, Summary};
use crate::report;
use crate::write::replace_file;

/// Name of the state of an unfinished run.
const STATE: &str = "state.safetensors";

/// A folder that belongs to one run, and to this process while it is held.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// Fingerprint of the data, see [`DataSet::fingerprint`](crate::data::DataSet::fingerprint).
    data: u32,
    /// `config.toml`, locked: two processes on one run would spoil it.
    _lock: File,
}

impl RunFolder {
    /// An error if there is something at `out` already; asked before anything is read.
    pub fn ensure_free(out: &Path) -> Result<()> {
        ensure!(
            !out.exists(),
            "{} exists already: choose another --out, or go on with it by --resume {0}",
            out.display()
        );
        Ok(())
    }

    /// A new folder, with the configuration in it: `out`, which must not exist, or the next free `runs/NAME-K`.
    /// `data` is the fingerprint of the data.
    pub fn create(out: Option<&Path>, name: &str, config: &Config, data: u32) -> Result<Self> {
        let path = match out {
            Some(path) => {
                Self::ensure_free(path)?;
                fs::create_dir_all(path)
                    .with_context(|| format!("cannot create the run folder {}", path.display()))?;
                path.to_owned()
            }
            None => next_free(name)?,
        };
        replace_file(&path.join("config.toml"), config.to_toml().as_bytes())?;
        replace_file(&path.join("metrics.jsonl"), b"")?;
        let lock = lock(&path)?;
        Ok(Self { path, data, _lock: lock })
    }

    /// What a run that was broken off says of itself: to be [taken up](Self::take_up) with its data.
    pub fn config_of(path: &Path) -> Result<Config> {
        let config = path.join("config.toml");
        ensure!(config.exists(), "{} is no run folder: it has no config.toml", path.display());
        ensure!(
            !path.join("model.safetensors").exists(),
            "{} is finished: there is nothing to resume",
            path.display()
        );
        let text =
            fs::read_to_string(&config).with_context(|| format!("cannot read {}", config.display()))?;
        Config::recipe(Recipe::Best).overlay(&text).with_context(|| format!("in {}", config.display()))
    }

    /// A folder that is there, to go on with. `data` is the fingerprint of the data as they are now.
    ///
    /// Errors: another process is at work on it; or its state was saved by another configuration or from other data,
    /// so that going on would make a run that neither describes.
    pub fn take_up(path: &Path, config: &Config, data: u32) -> Result<Self> {
        let run = Self { path: path.to_owned(), data, _lock: lock(path)? };
        // Another process may have finished it while the data were read.
        Self::config_of(path)?;
        let saved = run.file(STATE);
        if saved.exists() {
            let state = ModelFile::load(&saved)?;
            ensure!(
                state.card.config == config.to_toml(),
                "{} was changed since the run was saved: put it back, or begin a new run with --config",
                run.file("config.toml").display()
            );
            let then = state.extra.get("data");
            ensure!(
                then.is_some_and(|then| *then == data.to_string()),
                "{} is not what it was when the run was saved: a run cannot go on with other data",
                config.data.source
            );
        }
        Ok(run)
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Saves a look and the state after it. The look is written first: what it is ahead of the state is cut off
    /// when the run is taken up.
    pub fn save(&self, look: &Look, card: &ModelCard, state: &[Tensor<f32>]) -> Result<()> {
        report::append(&self.file("metrics.jsonl"), look)?;
        let extra = [("step", look.step.to_string()), ("data", self.data.to_string())];
        ModelFile::save(&self.file(STATE), card, &extra, state)
    }

    /// The state that was saved last, and its step; `None` if the run broke off before the first.
    pub fn state(&self) -> Result<Option<(u32, ModelFile)>> {
        let (path, metrics) = (self.file(STATE), self.file("metrics.jsonl"));
        if !path.exists() {
            report::truncate_to(&metrics, 0)?;
            return Ok(None);
        }
        let state = ModelFile::load(&path)?;
        let step = state
            .extra
            .get("step")
            .and_then(|text| text.parse().ok())
            .with_context(|| format!("{} does not say after which step it was saved", path.display()))?;
        report::truncate_to(&metrics, step)?;
        Ok(Some((step, state)))
    }

    /// All looks so far.
    pub fn looks(&self) -> Result<Vec<Look>> {
        report::read_looks(&self.file("metrics.jsonl"))
    }

    /// Writes what is left at the end; the model last, as the mark of a finished run.
    pub fn finish(
        &self,
        summary: &Summary,
        page: &str,
        card: &ModelCard,
        model: &[Tensor<f32>],
    ) -> Result<()> {
        let mut text = serde_json::to_string_pretty(summary)?;
        text.push('\n');
        replace_file(&self.file("summary.json"), text.as_bytes())?;
        replace_file(&self.file("report.html"), page.as_bytes())?;
        ModelFile::save(&self.file("model.safetensors"), card, &[], model)?;
        let state = self.file(STATE);
        fs::remove_file(&state).with_context(|| format!("cannot remove {}", state.display()))
    }
}

/// Holds a run folder for this process, until the file is closed or the process ends, however it ends.
fn lock(path: &Path) -> Result<File> {
    let config = path.join("config.toml");
    let file = File::open(&config).with_context(|| format!("cannot read {}", config.display()))?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            bail!("another process is at work on {}: wait for it, or end it", path.display())
        }
        // Some file systems know no locks; that is no reason not to train there.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(file),
    }
}

/// Creates the first `runs/NAME-K` that is free, K from 1.
fn next_free(name: &str) -> Result<PathBuf> {
    let runs = Path::new("runs");
    fs::create_dir_all(runs).context("cannot create the folder runs; name another by --out")?;
    for k in 1_u32.. {
        let path = runs.join(format!("{name}-{k}"));
        // Creating is the test: two runs that start together get two folders.
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).with_context(|| format!("cannot create {}", path.display())),
        }
    }
    bail!("no folder is free in runs")
}
