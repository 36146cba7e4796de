//! `train`: from data to a run folder with a model, a table and a report.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use cpu_time::ProcessTime;
use indicatif::{ProgressBar, ProgressStyle};
use nearfar_core::kernel::{Backend, SearchView};
use serde_json::json;

use super::settings::{configure, load, resumed};
use super::{Answer, place};
use crate::args::{Common, TrainArgs};
use crate::config::Config;
use crate::data::{DataSet, Samples, miniature};
use crate::look::Since;
use crate::model::ModelCard;
use crate::notes::explained;
use crate::place::Place;
use crate::record::{Baselines, Neighbours, Picture, Scores, Story, Summary};
use crate::report;
use crate::run::RunFolder;
use crate::train::Trainer;
use crate::{plan, quality};

/// Queries whose neighbours the report shows, and neighbours of each.
const SHOWN: (usize, usize) = (12, 8);

/// Largest side of the pictures in a report.
const PICTURE: usize = 64;

pub(super) fn run(args: &TrainArgs, common: &Common) -> Result<Answer> {
    let (wall, cpu) = (Instant::now(), ProcessTime::now());
    if args.show_config {
        let config = Config::recipe(args.recipe);
        return Ok(Answer { text: explained(&config), json: serde_json::to_value(&config)? });
    }
    if let Some(out) = &args.out {
        RunFolder::ensure_free(out)?;
    }
    let place = place(common, args.precision)?;
    let (config, data) = match &args.resume {
        Some(path) => resumed(path, common)?,
        None => {
            let mut config = configure(args, common)?;
            let data = load(&config, common)?;
            data.settle(&mut config.data);
            (config, data)
        }
    };
    let (run, summary, training) = match &place {
        Place::Cpu(fast) => fast.run(|| trained(args, &**fast, &place.name(), config, &data))?,
        Place::Gpu(cuda) => trained(args, &**cuda, &place.name(), config, &data)?,
    };
    let text = format!(
        "{}\nrun folder {}: open its report.html\n",
        report::scores_table(&summary),
        run.path().display()
    );
    let json = json!({
        "run": run.path(),
        "steps": summary.steps,
        "seconds": wall.elapsed().as_secs_f64(),
        "cpu_seconds": cpu.elapsed().as_secs_f64(),
        "training_cpu_seconds": training,
        "device": summary.device,
        "seed": summary.seed,
        "test": summary.test,
        "baselines": summary.baselines,
    });
    Ok(Answer { text, json })
}

/// The run on the backend that is there; `device` is its name. Returns what [`go`] does.
fn trained<B: Backend<f32>>(
    args: &TrainArgs,
    backend: &B,
    device: &str,
    mut config: Config,
    data: &DataSet,
) -> Result<(RunFolder, Summary, f64)> {
    if let Some(epochs) = args.epochs {
        config.train.steps = steps_of(epochs, &config, data, backend)?;
    }
    plan::settle(&mut config, data.train.count(), data.train.shape);
    let mut trainer = Trainer::new(backend, &config, data)?;
    let baselines = baselines(data, backend, &mut trainer)?;
    // Only now, with everything checked, does a folder come into being.
    let run = match &args.resume {
        Some(path) => RunFolder::take_up(path, &config, data.fingerprint()?)?,
        None => RunFolder::create(args.out.as_deref(), &data.name, &config, data.fingerprint()?)?,
    };
    let (summary, training) = go(&run, &config, data, backend, device, &mut trainer, baselines)?;
    Ok((run, summary, training))
}

/// Steps of so many epochs.
fn steps_of<B: Backend<f32>>(epochs: f64, config: &Config, data: &DataSet, backend: &B) -> Result<u32> {
    let steps = (epochs * Trainer::new(backend, config, data)?.epoch() as f64).ceil();
    ensure!((1.0..=f64::from(u32::MAX)).contains(&steps), "--epochs {epochs} makes {steps} steps");
    Ok(steps as u32)
}

/// What the unseen classes score by their raw values, and by the network before its first step.
fn baselines<B: Backend<f32>>(
    data: &DataSet,
    backend: &B,
    trainer: &mut Trainer<'_, B>,
) -> Result<Baselines> {
    let dim = trainer.network().architecture().dim();
    Ok(Baselines {
        raw: quality::unseen(backend, data, quality::raw)?,
        untrained: quality::unseen(backend, data, |part| Ok((trainer.embed(part)?, dim)))?,
    })
}

/// The run itself: from its first step, or from where it was saved, to its report. Returns the CPU seconds of its
/// steps and looks too.
fn go<B: Backend<f32>>(
    run: &RunFolder,
    config: &Config,
    data: &DataSet,
    backend: &B,
    device: &str,
    trainer: &mut Trainer<'_, B>,
    baselines: Baselines,
) -> Result<(Summary, f64)> {
    let dim = trainer.network().architecture().dim();
    let quality_of = |embeddings: &[f32], samples: &Samples| -> Result<Scores> {
        quality::scores(backend, embeddings, dim, &samples.labels)
    };
    let card = ModelCard {
        architecture: trainer.network().architecture().clone(),
        normalization: trainer.normalization().clone(),
        views: trainer.views(),
        config: config.to_toml(),
    };

    let mut first = 0;
    if let Some((step, state)) = run.state()? {
        trainer.restore(|name| state.tensors.get(name)).context("the saved state does not fit this run")?;
        first = step;
    }
    let cpu = ProcessTime::now();
    let bar = progress(config.train.steps, first);
    let mut since = Since::default();
    for step in first..config.train.steps {
        since.add(trainer.step(step)?);
        bar.set_message(format!("loss {:.4}", since.mean_loss()));
        bar.inc(1);
        let done = step + 1;
        if done % config.train.every == 0 || done == config.train.steps {
            let shot = trainer.shot()?;
            let validation = match data.validation.count() {
                0 => None,
                _ => Some(quality_of(&trainer.embed(&data.validation)?, &data.validation)?),
            };
            let look = since.look(done, trainer.epoch(), &shot, &trainer.boundary()?, validation)?;
            run.save(&look, &card, &trainer.state()?)?;
            since = Since::default();
        }
    }
    bar.finish_and_clear();
    trainer.whiten(&data.train)?;
    let training = cpu.elapsed().as_secs_f64();

    let embeddings = trainer.embed(&data.test)?;
    let test = match &data.queries {
        None => quality_of(&embeddings, &data.test)?,
        Some(_) => quality::unseen(backend, data, |part| Ok((trainer.embed(part)?, dim)))?,
    };
    let summary = Summary {
        data: data.name.clone(),
        steps: config.train.steps,
        seed: config.seed,
        device: device.into(),
        train: [data.train.count(), data.train.classes.len()],
        unseen: [data.test.count(), data.test.classes.len()],
        test,
        baselines,
    };
    let story = Story {
        name: data.name.clone(),
        config: config.clone(),
        looks: run.looks()?,
        summary,
        neighbours: neighbours(backend, &embeddings, dim, &data.test)?,
    };
    let page = report::page(&story, &target(&story))?;
    run.finish(&story.summary, &page, &card, &trainer.model()?)?;
    Ok((story.summary, training))
}

/// A bar on stderr with rate and time left; nothing where stderr is no terminal.
fn progress(steps: u32, first: u32) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {per_sec} left {eta} {msg}");
    let bar = ProgressBar::new(u64::from(steps)).with_style(style.expect("the template is well-formed"));
    bar.set_position(u64::from(first));
    bar.reset_eta();
    bar
}

/// The law of distances in the dimension of the last look, as points to draw; empty where no density is inverted.
fn target(story: &Story) -> Vec<(f64, f64)> {
    let Some(n) = story.looks.last().and_then(|look| look.dimension) else { return Vec::new() };
    let Ok(density) = nearfar_core::Density::new(n) else { return Vec::new() };
    (1..200).map(|i| f64::from(i) * 0.01).map(|d| (d, density.ln_q(d).exp())).collect()
}

/// Some samples with their nearest neighbours, spread evenly over the set; none where samples are no pictures.
fn neighbours<B: Backend<f32>>(
    backend: &B,
    embeddings: &[f32],
    dim: usize,
    samples: &Samples,
) -> Result<Vec<Neighbours>> {
    let [height, width, channels] = samples.shape;
    if height < 2 || width < 2 || !(channels == 1 || channels == 3) {
        return Ok(Vec::new());
    }
    let (shown, k) = (SHOWN.0.min(samples.count()), SHOWN.1.min(samples.count() - 1));
    let queries: Vec<usize> = (0..shown).map(|at| at * samples.count() / shown).collect();
    let buffer_of = |values: &[f32]| -> Result<B::Buffer> {
        let mut buffer = backend.zeros(values.len())?;
        backend.upload(values, &mut buffer)?;
        Ok(buffer)
    };
    let (all, labels) = (buffer_of(embeddings)?, &samples.labels[..]);
    let asked: Vec<f32> = queries.iter().flat_map(|&i| &embeddings[i * dim..][..dim]).copied().collect();
    let (asked, asked_labels) = (buffer_of(&asked)?, queries.iter().map(|&i| labels[i]).collect::<Vec<_>>());
    let asked = SearchView { embeddings: &asked, labels: &asked_labels, count: shown };
    // One more than shown, since a query finds itself too.
    let among = SearchView { embeddings: &all, labels, count: samples.count() };
    let nearest = backend.nearest(dim, k + 1, asked, Some(among))?;
    let picture = |i: usize| -> Result<Picture> {
        let (small, [height, width, channels]) = miniature(&samples.sample(i)?, samples.shape, PICTURE);
        Ok(Picture {
            label: samples.classes[samples.labels[i] as usize].clone(),
            height,
            width,
            channels,
            bytes: small.iter().map(|v| v.clamp(0.0, 255.0) as u8).collect(),
        })
    };
    queries
        .iter()
        .zip(nearest.chunks_exact(k + 1))
        .map(|(&query, nearest)| {
            let others = nearest.iter().map(|&j| j as usize).filter(|&j| j != query).take(k);
            Ok(Neighbours {
                query: picture(query)?,
                found: others
                    .map(|j| Ok((picture(j)?, labels[j] == labels[query])))
                    .collect::<Result<_>>()?,
            })
        })
        .collect()
}
