//! `loss`: value and gradient of a loss on given tuples, or on all pairs of a batch.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use nearfar_core::kernel::{Backend, BatchView};
use nearfar_core::{Draw, Objective, Reduction, Sampler, Triplet, normalize_row_backward};
use serde_json::json;

use super::{Answer, backend, ensure_near_and_far, ensure_used, read_embedded, unit_rows};
use crate::args::{Common, LossArgs};
use crate::config::{LossConfig, LossKind, PenaltyKind, ReductionKind};
use crate::data::npy;
use crate::plan;
use crate::write::ensure_writable;

pub(super) fn run(args: &LossArgs, common: &Common) -> Result<Answer> {
    let margin = args.loss == LossKind::Margin;
    ensure_used(
        &format!("--loss {}", args.loss),
        &[
            ("--alpha", args.alpha.is_some(), args.loss.has_alpha()),
            ("--alpha2", args.alpha2.is_some(), args.loss == LossKind::Quadruplet),
            ("--beta", args.beta.is_some(), margin),
            ("--beta-grad-out", args.beta_grad_out.is_some(), margin),
            ("--nu", args.nu.is_some(), margin),
            ("--penalty", args.penalty.is_some(), margin),
            ("--scale", args.scale.is_some(), args.loss == LossKind::Npair),
        ],
    )?;
    ensure_writable(args.grad_out.iter().chain(&args.beta_grad_out).map(AsRef::as_ref))?;
    let backend = backend(common)?;
    let set = read_embedded(&args.embeddings, &args.labels)?;
    ensure_near_and_far(&set, &args.labels)?;
    let unit = unit_rows(&set, args.normalize, &args.embeddings)?;
    let (count, dim) = (set.labels.len(), set.dim);
    let (sampler, draws) = match (&args.triplets, args.loss.takes_all()) {
        (Some(path), false) => (Sampler::Uniform, read_tuples(path, &set.labels, args.loss)?),
        (None, true) => (Sampler::All, Vec::new()),
        (None, false) => {
            bail!("{} is defined on tuples: give --triplets T.csv, as `sample` writes it", args.loss)
        }
        (Some(_), true) => bail!("{} takes all pairs of the batch: leave --triplets out", args.loss),
    };
    let (beta, nu) = (args.beta.unwrap_or(1.2), args.nu.unwrap_or(0.0));
    let penalty = args.penalty.unwrap_or(PenaltyKind::Batch);
    let config = LossConfig {
        kind: args.loss,
        alpha: args.alpha.unwrap_or(0.2),
        alpha2: args.alpha2.unwrap_or(0.1),
        scale: args.scale.unwrap_or(16.0),
        nu,
        penalty,
        reduction: args.reduction,
    };
    let reduction = match args.reduction {
        ReductionKind::MeanActive => Reduction::MeanActive,
        ReductionKind::Mean => Reduction::Mean,
        ReductionKind::Sum => Reduction::Sum,
    };
    let objective = Objective::new(plan::build_loss::<f64>(&config)?, sampler, reduction)?;

    let (mut embeddings, mut betas) = (backend.zeros(unit.len())?, backend.zeros(count)?);
    backend.upload(&unit, &mut embeddings)?;
    backend.upload(&vec![beta; count], &mut betas)?;
    let labels = Backend::<f64>::indices(&backend, &set.labels)?;
    let view =
        BatchView { embeddings: &embeddings, labels: &labels, betas: &betas, anchors: count, count, dim };
    let (mut dx, mut dbetas) = (backend.zeros(unit.len())?, backend.zeros(count)?);
    let draws = backend.upload_draws(&draws)?;
    let mut report = backend.loss(view, &objective, &draws, &mut dx, &mut dbetas)?;
    let mut d_beta0: f64 = dbetas.iter().sum();
    // The paper's penalty, once for the one boundary there is; nothing where no term is active.
    if margin && penalty == PenaltyKind::Paper && report.active > 0.0 {
        report.loss += nu * beta;
        d_beta0 += nu;
    }

    if let Some(path) = &args.grad_out {
        let gradient =
            if args.through_normalization { through(&set.values, &unit, &dx, dim) } else { dx.clone() };
        npy::write(path, &[count, dim], &gradient)?;
    }
    if let Some(path) = &args.beta_grad_out {
        npy::write(path, &[count], &dbetas)?;
    }
    let text = format!("loss {:.9}, {} of {} terms active\n", report.loss, report.active, report.terms);
    let json = json!({
        "loss": report.loss,
        "active": report.active,
        "terms": report.terms,
        "d_beta": d_beta0,
    });
    Ok(Answer { text, json })
}

/// The gradient to rows before they were divided by their length.
fn through(z: &[f64], x: &[f64], dx: &[f64], dim: usize) -> Vec<f64> {
    let mut dz = vec![0.0; z.len()];
    for (row, dz) in dz.chunks_exact_mut(dim).enumerate() {
        let at = row * dim..(row + 1) * dim;
        normalize_row_backward(&z[at.clone()], &x[at.clone()], &dx[at], dz);
    }
    dz
}

/// Columns of the file of tuples; more are welcome.
#[derive(serde::Deserialize)]
struct Line {
    anchor: u32,
    positive: u32,
    negative: u32,
    second: Option<u32>,
}

/// Tuples that fit the labels. A quadruplet also needs the column `second`, a sample of a third class.
fn read_tuples(path: &Path, labels: &[u32], loss: LossKind) -> Result<Vec<Draw<f64>>> {
    let mut reader =
        csv::Reader::from_path(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut draws = Vec::new();
    for (row, line) in (2..).zip(reader.deserialize()) {
        let naming = || format!("{}, line {row}", path.display());
        let Line { anchor, positive, negative, second } = line.with_context(naming)?;
        let label = |i: u32| {
            labels
                .get(i as usize)
                .copied()
                .with_context(|| format!("there is no sample {i} among {}", labels.len()))
        };
        let check = || -> Result<()> {
            let [a, p, n] = [label(anchor)?, label(positive)?, label(negative)?];
            ensure!(a == p && anchor != positive, "{positive} is no positive of {anchor}");
            ensure!(a != n, "{negative} is no negative of {anchor}");
            if loss == LossKind::Quadruplet {
                let m =
                    label(second.context(
                        "the quadruplet loss needs a column `second`: `sample --second` writes it",
                    )?)?;
                ensure!(m != a && m != n, "sample `second` is of no third class");
            }
            Ok(())
        };
        check().with_context(naming)?;
        draws.push(Draw { triplet: Triplet { anchor, positive, negative }, second, log_prob: 0.0 });
    }
    ensure!(!draws.is_empty(), "{} holds no tuples", path.display());
    Ok(draws)
}
