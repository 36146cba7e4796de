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

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use nearfar_core::net::Tensor;

use crate::config::Config;
use crate::model::{ModelCard, ModelFile};
use crate::recipe::Recipe;
use crate::record::{Look, Summary};
use crate::report;
use crate::write::replace_file;

/// A folder that belongs to one run.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// A new folder, with the configuration in it: `out`, which must not exist, or the next free `runs/NAME-K`.
    pub fn create(out: Option<&Path>, name: &str, config: &Config) -> Result<Self> {
        let path = match out {
            Some(path) => {
                ensure!(
                    !path.exists(),
                    "{} exists already: choose another --out, or go on with it by --resume {0}",
                    path.display()
                );
                fs::create_dir_all(path)
                    .with_context(|| format!("cannot create the run folder {}", path.display()))?;
                path.to_owned()
            }
            None => next_free(name)?,
        };
        let run = Self { path };
        replace_file(&run.file("config.toml"), config.to_toml().as_bytes())?;
        replace_file(&run.file("metrics.jsonl"), b"")?;
        Ok(run)
    }

    /// A folder that is there, and its configuration.
    pub fn open(path: &Path) -> Result<(Self, Config)> {
        let run = Self { path: path.to_owned() };
        let config = run.file("config.toml");
        ensure!(config.exists(), "{} is no run folder: it has no config.toml", path.display());
        ensure!(
            !run.file("model.safetensors").exists(),
            "{} is finished: there is nothing to resume",
            path.display()
        );
        let config = Config::recipe(Recipe::Best).overlay_file(&config)?;
        Ok((run, config))
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
        ModelFile::save(&self.file("state.safetensors"), card, &[("step", look.step.to_string())], state)
    }

    /// The state that was saved last, and its step; `None` if the run broke off before the first.
    pub fn state(&self) -> Result<Option<(u32, ModelFile)>> {
        let (path, metrics) = (self.file("state.safetensors"), self.file("metrics.jsonl"));
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
        let state = self.file("state.safetensors");
        fs::remove_file(&state).with_context(|| format!("cannot remove {}", state.display()))
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
