//! `embed`: data through a trained network.

use anyhow::{Context, Result, ensure};
use nearfar_core::kernel::Backend;
use serde_json::json;

use super::{Answer, place};
use crate::args::{Common, EmbedArgs};
use crate::config::Config;
use crate::data::{self, Samples, npy};
use crate::model::ModelFile;
use crate::place::Place;
use crate::quality;
use crate::recipe::Recipe;
use crate::write::ensure_writable;

/// Samples that are embedded at once.
const CHUNK: usize = 256;

pub(super) fn run(args: &EmbedArgs, common: &Common) -> Result<Answer> {
    ensure_writable([args.out.as_path()].into_iter().chain(args.labels_out.as_deref()))?;
    let path = if args.run.is_dir() { args.run.join("model.safetensors") } else { args.run.clone() };
    let model = ModelFile::load(&path)?;
    let config = Config::recipe(Recipe::Best)
        .overlay(&model.card.config)
        .with_context(|| format!("in the configuration that {} carries", path.display()))?;
    // The data that the model was trained on are split as they were then; others are taken as they are.
    let samples = if args.data == config.data.source {
        data::load(&args.data, &config.data)?.part(args.part)
    } else {
        data::load_all(&args.data, args.part)?
    };
    ensure!(samples.count() > 0, "the {:?} part of {} has no samples", args.part, args.data);
    let input = model.card.architecture.input();
    ensure!(
        samples.shape == [input.height, input.width, input.channels],
        "the model takes inputs of shape {:?}, {} has {:?}",
        [input.height, input.width, input.channels],
        args.data,
        samples.shape
    );
    let embeddings = match place(common)? {
        Place::Cpu(fast) => embed(&*fast, &model, &samples)?,
        Place::Gpu(cuda) => embed(&*cuda, &model, &samples)?,
    };
    let dim = model.card.architecture.dim();
    npy::write(&args.out, &[samples.count(), dim], &embeddings)?;
    if let Some(path) = &args.labels_out {
        npy::write(path, &[samples.count()], &samples.original)?;
    }
    let text = format!("{}: {} embeddings of {dim} numbers\n", args.out.display(), samples.count());
    Ok(Answer { text, json: json!({ "n": samples.count(), "dim": dim, "classes": samples.classes.len() }) })
}

fn embed<B: Backend<f32>>(backend: &B, model: &ModelFile, samples: &Samples) -> Result<Vec<f32>> {
    let mut network = model.network(backend, CHUNK, false)?;
    quality::embed(backend, &mut network, &model.card.normalization, samples)
}
