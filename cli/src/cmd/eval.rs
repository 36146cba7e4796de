//! `eval`: retrieval and clustering quality of embeddings in files.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use nearfar_core::kernel::fast::Fast;
use nearfar_core::kernel::{Backend, MatchRanks, SearchView};
use nearfar_core::metric::bootstrap::Interval;
use nearfar_core::metric::cluster::{Agreement, k_means};
use nearfar_core::metric::exact;
use nearfar_core::metric::retrieval::Retrieval;
use nearfar_core::{Key, Scalar, Stream};
use nearfar_cuda::Precision;
use serde_json::{Map, json};

use super::confidence::Confidence;
use super::{
    Answer, Embedded, ensure_directions, ensure_near_and_far, ensure_two_classes, labelled, place, threads,
};
use crate::args::{Common, Device, EvalArgs};
use crate::data::npy::{self, Matrix, Rows};
use crate::place::Place;

/// What is counted on: places of matches, and clusters.
struct Found {
    ranks: MatchRanks,
    /// None where they were not asked for.
    clusters: Option<Vec<u32>>,
    device: String,
}

/// Other samples that ask, and their classes in the numbering of the set.
struct Queries<T> {
    values: Vec<T>,
    labels: Vec<u32>,
}

pub(super) fn run(args: &EvalArgs, common: &Common) -> Result<Answer> {
    ensure!(args.k.iter().all(|&k| k >= 1), "--k holds 0: ranks are counted from 1");
    let asked = args.queries.as_deref().map(npy::read_rows).transpose()?;
    match (npy::read_rows(&args.embeddings)?, asked) {
        (Rows::Single(set), None) => answer(args, common, set, None, single),
        (Rows::Single(set), Some(Rows::Single(asked))) => answer(args, common, set, Some(asked), single),
        (set, asked) => answer(args, common, doubled(set), asked.map(doubled), double),
    }
}

/// The same numbers in double precision.
fn doubled(rows: Rows) -> Matrix<f64> {
    match rows {
        Rows::Double(matrix) => matrix,
        Rows::Single(Matrix { rows, cols, values }) => {
            Matrix { rows, cols, values: values.into_iter().map(f64::from).collect() }
        }
    }
}

/// Looks at the files, has `find` do the work, and reports.
fn answer<T: Scalar>(
    args: &EvalArgs,
    common: &Common,
    set: Matrix<T>,
    asked: Option<Matrix<T>>,
    find: impl FnOnce(&EvalArgs, &Common, &Embedded<T>, Option<&Queries<T>>) -> Result<Found>,
) -> Result<Answer> {
    let set = labelled(set, &args.embeddings, &args.labels)?;
    match &asked {
        Some(_) => ensure_two_classes(&set, &args.labels)?,
        None => ensure_near_and_far(&set, &args.labels)?,
    }
    ensure_directions(&set.values, set.dim, &args.embeddings)?;
    let queries = match (asked, &args.queries, &args.query_labels) {
        (Some(matrix), Some(path), Some(labels)) => Some(queries(&set, args, matrix, path, labels)?),
        _ => None,
    };
    let count = set.labels.len();
    let Found { ranks, clusters, device } = find(args, common, &set, queries.as_ref())?;
    let quality = Retrieval::of(&ranks, &args.k);
    ensure!(quality.queries > 0, "no query has a sample of its class to find");
    let asked_labels = queries.as_ref().map_or(&set.labels, |queries| &queries.labels);
    let confidence = Confidence::of(&ranks, asked_labels, &args.k, common.seed.unwrap_or(0));
    let agreement = clusters.map(|clusters| Agreement::of(&set.labels, &clusters));
    let agreement = agreement.as_ref();

    let by_rank = |values: &[f64]| -> Map<_, _> {
        args.k.iter().zip(values).map(|(k, v)| (k.to_string(), json!(v))).collect()
    };
    let json = json!({
        "n": count,
        "dim": set.dim,
        "classes": set.originals.len(),
        "recall": by_rank(&quality.recall),
        "precision": by_rank(&quality.precision),
        "precision_at_1": quality.precision_at_1,
        "r_precision": quality.r_precision,
        "map_at_r": quality.map_at_r,
        "nmi": agreement.map(Agreement::nmi_arithmetic),
        "nmi_geometric": agreement.map(Agreement::nmi_geometric),
        "ami": agreement.map(Agreement::ami),
        "device": device,
        "queries": quality.queries,
        "queries_without_match": quality.without_match,
        "confidence": confidence.as_ref().map(|c| c.json(&args.k)),
    });
    let mut text = format!("{count} embeddings of {} numbers, {} classes\n", set.dim, set.originals.len());
    let mut line = |name: &str, value: f64, interval: Option<&Interval>| {
        text += &format!("{name:<16}{value:.4}");
        if let Some(Interval { low, high }) = interval {
            text += &format!("  [{low:.4}, {high:.4}]");
        }
        text.push('\n');
    };
    let of = confidence.as_ref();
    for (at, (k, recall)) in args.k.iter().zip(&quality.recall).enumerate() {
        line(&format!("Recall@{k}"), *recall, of.map(|c| &c.recall[at]));
    }
    for (k, precision) in args.k.iter().zip(&quality.precision) {
        line(&format!("Precision@{k}"), *precision, None);
    }
    line("R-precision", quality.r_precision, of.map(|c| &c.r_precision));
    line("MAP@R", quality.map_at_r, of.map(|c| &c.map_at_r));
    if let Some(agreement) = agreement {
        line("NMI", agreement.nmi_arithmetic(), None);
        line("NMI, geometric", agreement.nmi_geometric(), None);
        line("AMI", agreement.ami(), None);
    }
    if confidence.is_some() {
        text += "[ , ]: 95 % of resamples, whole classes of queries drawn anew among the same candidates\n";
    }
    if quality.without_match > 0 {
        text += &format!("{} queries have no match and are left out\n", quality.without_match);
    }
    Ok(Answer { text, json })
}

/// Queries that fit the set.
fn queries<T: Scalar>(
    set: &Embedded<T>,
    args: &EvalArgs,
    matrix: Matrix<T>,
    path: &Path,
    labels: &Path,
) -> Result<Queries<T>> {
    let Matrix { rows, cols: dim, values } = matrix;
    ensure!(
        dim == set.dim,
        "{} has {dim} numbers a row, {} has {}",
        path.display(),
        args.embeddings.display(),
        set.dim
    );
    let labels = among(&npy::read_labels(labels)?, &set.originals);
    ensure!(labels.len() == rows, "{} query labels for {rows} queries", labels.len());
    ensure_directions(&values, dim, path)?;
    Ok(Queries { values, labels })
}

/// Places up to which matches are listed.
fn depth(args: &EvalArgs) -> usize {
    args.k.iter().copied().max().unwrap_or(0)
}

fn key(common: &Common) -> Key {
    Key::new(common.seed.unwrap_or(0), Stream::Cluster, 0)
}

/// Files of single precision: found on any backend, judged as exactly as in double precision.
fn single(
    args: &EvalArgs,
    common: &Common,
    set: &Embedded<f32>,
    queries: Option<&Queries<f32>>,
) -> Result<Found> {
    fn on<B: Backend<f32>>(
        backend: &B,
        args: &EvalArgs,
        key: Key,
        set: &Embedded<f32>,
        queries: Option<&Queries<f32>>,
    ) -> Result<(MatchRanks, Option<Vec<u32>>)> {
        let all = exact::Labeled { rows: &set.values, labels: &set.labels };
        let asked = queries.map(|q| exact::Labeled { rows: &q.values, labels: &q.labels });
        let ranks =
            exact::match_ranks(backend, set.dim, depth(args), asked.unwrap_or(all), asked.map(|_| all))?;
        Ok((ranks, clusters(backend, args, key, set)?))
    }
    // A search, not a network.
    let place = place(common, Precision::Single)?;
    let (ranks, clusters) = match &place {
        Place::Cpu(fast) => on(&**fast, args, key(common), set, queries)?,
        Place::Gpu(cuda) => on(&**cuda, args, key(common), set, queries)?,
    };
    Ok(Found { ranks, clusters, device: place.name() })
}

/// Files of double precision.
fn double(
    args: &EvalArgs,
    common: &Common,
    set: &Embedded<f64>,
    queries: Option<&Queries<f64>>,
) -> Result<Found> {
    if let Device::Cuda(_) = common.device {
        bail!(
            "these embeddings are doubles or whole numbers, and the GPU computes in single precision: leave \
             --device cuda out, or store them as f4"
        );
    }
    let backend = Fast::new(threads(common)).context("cannot start the threads")?;
    let gallery = SearchView { embeddings: &set.values, labels: &set.labels, count: set.labels.len() };
    let ranks = match queries {
        Some(Queries { values, labels }) => {
            let asked = SearchView { embeddings: values, labels, count: labels.len() };
            backend.match_ranks(set.dim, depth(args), asked, Some(gallery))?
        }
        None => backend.match_ranks(set.dim, depth(args), gallery, None)?,
    };
    let clusters = clusters(&backend, args, key(common), set)?;
    Ok(Found { ranks, clusters, device: "cpu".into() })
}

/// As many clusters as there are classes, unless they are not wanted.
fn clusters<T: Scalar, B: Backend<T>>(
    backend: &B,
    args: &EvalArgs,
    key: Key,
    set: &Embedded<T>,
) -> Result<Option<Vec<u32>>> {
    if args.no_clusters {
        return Ok(None);
    }
    Ok(Some(k_means(backend, &set.values, set.dim, set.originals.len(), key)?))
}

/// Labels in the numbering of another set; one that is not there gets a number that no sample has.
fn among(labels: &[i64], originals: &[i64]) -> Vec<u32> {
    labels.iter().map(|label| originals.binary_search(label).map_or(u32::MAX, |i| i as u32)).collect()
}
