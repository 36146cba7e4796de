//! `embed`: data through a trained network.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::settings::load;
use super::{Answer, backend, threads};
use crate::args::{Common, EmbedArgs};
use crate::config::Config;
use crate::data::{self, Reading, Samples, lfw, npy};
use crate::model::ModelFile;
use crate::quality;
use crate::recipe::Recipe;
use crate::write::{ensure_writable, replace_file};

pub(super) fn run(args: &EmbedArgs, common: &Common) -> Result<Answer> {
    let others = args.labels_out.iter().chain(&args.pairs_tsv).map(PathBuf::as_path);
    ensure_writable([args.out.as_path()].into_iter().chain(others))?;
    let path = if args.run.is_dir() { args.run.join("model.safetensors") } else { args.run.clone() };
    let model = ModelFile::load(&path)?;
    let config = Config::recipe(Recipe::Best)
        .overlay(&model.card.config)
        .with_context(|| format!("in the configuration that {} carries", path.display()))?;
    // The data that the model was trained on are split as they were then; others are taken as they are.
    let samples = if args.data == config.data.source {
        load(&config, common)?.part(args.part)?
    } else {
        let mut reading = Reading { workers: threads(common), ..Reading::of(&config.data) };
        // Boxes belong to the data, not to the model.
        reading.geometry.boxes = false;
        data::load_all_as(&args.data, args.part, &reading)?
    };
    ensure!(samples.count() > 0, "the {:?} part of {} has no samples", args.part, args.data);
    let pairs = args.lfw_pairs.as_deref().map(|list| pairs(list, &samples)).transpose()?;
    let input = model.card.architecture.input();
    ensure!(
        samples.shape == [input.height, input.width, input.channels],
        "the model takes inputs of shape {:?}, {} has {:?}",
        [input.height, input.width, input.channels],
        args.data,
        samples.shape
    );
    let backend = backend(common)?;
    let mut network = model.network(&backend, quality::at_once(samples.size()), false)?;
    let embeddings = quality::embed(&backend, &mut network, &model.card.normalization, &samples)?;
    let dim = model.card.architecture.dim();
    if let (Some(out), Some(pairs)) = (&args.pairs_tsv, pairs) {
        replace_file(out, pairs.as_bytes())?;
    }
    npy::write(&args.out, &[samples.count(), dim], &embeddings)?;
    if let Some(path) = &args.labels_out {
        npy::write(path, &[samples.count()], &samples.original)?;
    }
    let text = format!("{}: {} embeddings of {dim} numbers\n", args.out.display(), samples.count());
    Ok(Answer { text, json: json!({ "n": samples.count(), "dim": dim, "classes": samples.classes.len() }) })
}

/// The pairs of a list of LFW, as verify reads them.
fn pairs(list: &Path, samples: &Samples) -> Result<String> {
    let mut text = String::from("fold\ti\tj\tsame\n");
    for lfw::Pair { fold, i, j, same } in lfw::pairs(list, samples)? {
        text += &format!("{fold}\t{i}\t{j}\t{}\n", u8::from(same));
    }
    Ok(text)
}
