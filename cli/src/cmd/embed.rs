//! `embed`: data through a trained network, or through several whose embeddings are joined.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use nearfar_core::kernel::Backend;
use serde_json::json;

use super::pairs::Rows;
use super::settings::load;
use super::{Answer, place, threads};
use crate::args::{Common, EmbedArgs};
use crate::calibration::Calibration;
use crate::config::Config;
use crate::data::pairs::{Pair, read_pairs};
use crate::data::{self, Reading, Samples, lfw, npy};
use crate::model::ModelFile;
use crate::place::Place;
use crate::quality;
use crate::recipe::Recipe;
use crate::write::{ensure_writable, replace_file};

/// A trained network, the configuration that made it, and where it lies.
struct Member {
    path: PathBuf,
    model: ModelFile,
    config: Config,
}

impl Member {
    fn load(run: &Path) -> Result<Self> {
        let path = model_path(run);
        let model = ModelFile::load(&path)?;
        let config = Config::recipe(Recipe::Best)
            .overlay(&model.card.config)
            .with_context(|| format!("in the configuration that {} carries", path.display()))?;
        Ok(Self { path, model, config })
    }
}

/// The model file of a run folder, or what was given itself.
pub(super) fn model_path(run: &Path) -> PathBuf {
    if run.is_dir() { run.join("model.safetensors") } else { run.to_owned() }
}

pub(super) fn run(args: &EmbedArgs, common: &Common) -> Result<Answer> {
    let outputs = [&args.labels_out, &args.pairs.pairs_out, &args.pairs.pairs_tsv].into_iter().flatten();
    ensure_writable([args.out.as_path()].into_iter().chain(outputs.map(PathBuf::as_path)))?;
    let calibration = args.pairs.pairs.as_ref().map(|_| calibration(args)).transpose()?;
    let members = args.run.iter().map(|run| Member::load(run)).collect::<Result<Vec<_>>>()?;
    let samples = samples(args, common, &members)?;
    ensure!(samples.count() > 0, "the {:?} part of {} has no samples", args.part, args.data);
    let pairs = match &args.pairs.pairs {
        Some(path) => read_pairs(path, samples.count(), false)?,
        None => Vec::new(),
    };
    let listed = args.pairs.lfw_pairs.as_deref().map(|list| listed(list, &samples)).transpose()?;
    let place = place(common, args.precision)?;
    let (mut parts, mut dims) = (Vec::new(), Vec::new());
    for Member { path, model, .. } in &members {
        let input = model.card.architecture.input();
        ensure!(
            samples.shape == [input.height, input.width, input.channels],
            "{} takes inputs of shape {:?}, {} has {:?}",
            path.display(),
            [input.height, input.width, input.channels],
            args.data,
            samples.shape
        );
        parts.push(match &place {
            Place::Cpu(fast) => embed(&**fast, model, &samples)?,
            Place::Gpu(cuda) => embed(&**cuda, model, &samples)?,
        });
        dims.push(model.card.architecture.dim());
    }
    let embeddings = quality::join(&parts, &dims);
    let dim: usize = dims.iter().sum();
    let table = calibration.map(|calibration| table(&Rows::of(&embeddings, dim), &pairs, &calibration));
    if let (Some(out), Some(listed)) = (&args.pairs.pairs_tsv, listed) {
        replace_file(out, listed.as_bytes())?;
    }
    npy::write(&args.out, &[samples.count(), dim], &embeddings)?;
    if let Some(path) = &args.labels_out {
        npy::write(path, &[samples.count()], &samples.original)?;
    }
    let mut text = format!("{}: {} embeddings of {dim} numbers\n", args.out.display(), samples.count());
    let mut json = json!({
        "n": samples.count(), "dim": dim, "classes": samples.classes.len(), "runs": members.len(),
        "device": place.name(),
    });
    if let (Some(path), Some((table, accepted))) = (&args.pairs.pairs_out, table) {
        replace_file(path, table.as_bytes())?;
        text += &format!("{}: {} pairs, {accepted} accepted\n", path.display(), pairs.len());
        json["pairs"] = pairs.len().into();
        json["pairs_accepted"] = accepted.into();
    }
    Ok(Answer { text, json })
}

/// The samples to embed. The data that a model was trained on are split as they were then; others are taken as they
/// are. Models that were trained on them by different splits have no common unseen part.
fn samples(args: &EmbedArgs, common: &Common, members: &[Member]) -> Result<Samples> {
    let mut split: Option<&Member> = None;
    for member in members.iter().filter(|member| args.data == member.config.data.source) {
        let first = *split.get_or_insert(member);
        ensure!(
            first.config.data == member.config.data,
            "{} and {} were trained on different parts of {}: what is unseen to one is not to the other",
            first.path.display(),
            member.path.display(),
            args.data
        );
    }
    if let Some(member) = split {
        return load(&member.config, common)?.part(args.part);
    }
    // Pictures get the size that the first model takes; boxes belong to the data, not to a model.
    let mut reading = Reading { workers: threads(common), ..Reading::of(&members[0].config.data) };
    reading.geometry.boxes = false;
    data::load_all_as(&args.data, args.part, &reading)
}

/// What `calibrate` saved: where the options say, or in the run folder.
fn calibration(args: &EmbedArgs) -> Result<Calibration> {
    match (&args.pairs.calibration, &args.run[..]) {
        (Some(path), _) => Calibration::load(path),
        (None, [run]) => Calibration::load(&run.join("calibration.json")).with_context(|| {
            "--pairs needs a calibration: give --calibration C.json, as `calibrate` writes it".to_owned()
        }),
        (None, _) => {
            anyhow::bail!("--pairs with several runs needs the --calibration of their joint embeddings")
        }
    }
}

/// A line for each pair, and how many are accepted.
fn table(rows: &Rows, pairs: &[Pair], calibration: &Calibration) -> (String, usize) {
    let mut text = String::from("i\tj\tdistance\tp_same\taccepted\n");
    let mut count = 0;
    for &Pair { i, j, .. } in pairs {
        let distance = rows.distance(i, j);
        let accepted = distance <= calibration.threshold();
        count += usize::from(accepted);
        let p_same = calibration.p_same(distance);
        text += &format!("{i}\t{j}\t{distance}\t{p_same}\t{}\n", u8::from(accepted));
    }
    (text, count)
}

fn embed<B: Backend<f32>>(backend: &B, model: &ModelFile, samples: &Samples) -> Result<Vec<f32>> {
    let mut network = model.network(backend, quality::at_once(samples.size()), false)?;
    let (card, joint) = (&model.card, model.joint()?);
    quality::embed(backend, &mut network, &card.normalization, card.views, joint.as_ref(), samples)
}

/// The pairs of a list of LFW, as verify reads them.
fn listed(list: &Path, samples: &Samples) -> Result<String> {
    let mut text = String::from("fold\ti\tj\tsame\n");
    for lfw::Pair { fold, i, j, same } in lfw::pairs(list, samples)? {
        text += &format!("{fold}\t{i}\t{j}\t{}\n", u8::from(same));
    }
    Ok(text)
}
