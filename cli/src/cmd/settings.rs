//! The configuration of a run: from recipe, file and options, or from the folder of a run that was broken off.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::{ensure_used, threads};
use crate::args::{Common, TrainArgs};
use crate::config::{BoundaryMode, Config, Far, FarName, LossKind, SamplerKind};
use crate::data::{self, DataSet, Reading};
use crate::overlay::Overlay;
use crate::plan;
use crate::run::RunFolder;

/// The data of a run, with the threads that were asked for.
pub(super) fn load(config: &Config, common: &Common) -> Result<DataSet> {
    let reading = Reading { workers: threads(common), ..Reading::of(&config.data) };
    data::load_as(&config.data.source, &config.data, &reading)
}

/// Configuration and data of a run that was broken off.
pub(super) fn resumed(path: &Path, common: &Common) -> Result<(Config, DataSet)> {
    ensure!(common.seed.is_none(), "--seed cannot be used with --resume: a run keeps its seed");
    let config = RunFolder::config_of(path)?;
    plan::check(&config).with_context(|| format!("in {}", path.join("config.toml").display()))?;
    let source = &config.data.source;
    let data = load(&config, common).with_context(|| match std::path::absolute(source) {
        Ok(looked_for) if source != "kana" && Path::new(source).is_relative() => format!(
            "the run names its data as {source}, which from here is {}: go to the folder in which it was begun",
            looked_for.display()
        ),
        _ => "the data of the run cannot be read".to_owned(),
    })?;
    Ok((config, data))
}

/// The recipe, overlaid by the file and by the options; all mistakes of all of them are one error.
pub(super) fn configure(args: &TrainArgs, common: &Common) -> Result<Config> {
    let base = Config::recipe(args.recipe);
    let overlay = args.config.as_deref().map(|path| Overlay::of_file(&base, path)).transpose()?;
    // A loss that takes a certain sampler gets it, unless another was asked for.
    let sampler_given = args.sampler.is_some() || overlay.as_ref().is_some_and(|o| o.names("sampler.kind"));
    let (mut config, mistakes) = overlay.map_or((base, Vec::new()), |o| (o.config, o.mistakes));
    fn set<V: Clone>(place: &mut V, option: &Option<V>) {
        if let Some(value) = option {
            place.clone_from(value);
        }
    }
    set(&mut config.seed, &common.seed);
    set(&mut config.data.source, &args.data);
    set(&mut config.data.validation, &args.validation);
    set(&mut config.data.resize, &args.resize);
    set(&mut config.data.crop, &args.crop);
    config.data.mirror |= args.mirror;
    config.data.boxes |= args.boxes;
    set(&mut config.model.kind, &args.model);
    set(&mut config.model.dim, &args.dim);
    set(&mut config.batch.classes, &args.classes_per_batch);
    set(&mut config.batch.per_class, &args.per_class);
    set(&mut config.batch.small_classes, &args.small_classes);
    set(&mut config.loss.kind, &args.loss);
    set(&mut config.loss.alpha, &args.alpha);
    set(&mut config.loss.nu, &args.nu);
    set(&mut config.loss.penalty, &args.penalty);
    set(&mut config.loss.reduction, &args.reduction);
    set(&mut config.boundary.start, &args.beta);
    set(&mut config.boundary.mode, &args.boundary);
    set(&mut config.boundary.rate, &args.beta_rate);
    set(&mut config.sampler.kind, &args.sampler);
    set(&mut config.sampler.dimension, &args.dimension);
    set(&mut config.sampler.near, &args.near);
    set(&mut config.sampler.far, &args.far);
    set(&mut config.sampler.empty, &args.empty);
    set(&mut config.memory.size, &args.memory);
    set(&mut config.optimizer.kind, &args.optimizer);
    set(&mut config.optimizer.rate, &args.rate);
    set(&mut config.train.steps, &args.steps);
    set(&mut config.train.every, &args.every);
    if !sampler_given {
        match config.loss.kind {
            LossKind::Quadruplet => config.sampler.kind = SamplerKind::DistanceWeighted,
            loss if loss.takes_all() => config.sampler.kind = SamplerKind::All,
            _ => {}
        }
    }
    plan::check_beside(&config, mistakes)?;
    ensure_effect(args, &config)?;
    Ok(config)
}

/// An option that the chosen loss and sampler would not look at is a misunderstanding.
fn ensure_effect(args: &TrainArgs, config: &Config) -> Result<()> {
    let (loss, sampler) = (config.loss.kind, &config.sampler);
    let weighted = matches!(sampler.kind, SamplerKind::DistanceWeighted | SamplerKind::Expected);
    let active = weighted && sampler.far == Far::Named(FarName::Active);
    // The boundary also ends the candidates of an active cut.
    let (margin, beta) = (loss == LossKind::Margin, loss == LossKind::Margin || active);
    let moves = margin && config.boundary.mode != BoundaryMode::Fixed;
    let alpha = loss.has_alpha() || active || sampler.kind == SamplerKind::SemihardBand;
    ensure_used(
        &format!("loss {loss} and sampler {}", sampler.kind),
        &[
            ("--alpha", args.alpha.is_some(), alpha),
            ("--beta", args.beta.is_some(), beta),
            ("--boundary", args.boundary.is_some(), margin),
            ("--nu", args.nu.is_some(), margin),
            ("--penalty", args.penalty.is_some(), margin),
            ("--dimension", args.dimension.is_some(), weighted),
            ("--near", args.near.is_some(), weighted),
            ("--far", args.far.is_some(), weighted),
            ("--empty", args.empty.is_some(), weighted),
        ],
    )?;
    ensure_used("a boundary that does not move", &[("--beta-rate", args.beta_rate.is_some(), moves)])
}
