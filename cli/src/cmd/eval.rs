//! `eval`: retrieval and clustering quality of embeddings in files.

use anyhow::{Result, ensure};
use nearfar_core::kernel::{Backend, SearchView};
use nearfar_core::metric::cluster::{Agreement, k_means};
use nearfar_core::metric::retrieval::Retrieval;
use nearfar_core::{Key, Stream};
use serde_json::{Map, json};

use super::{Answer, backend, read_embedded};
use crate::args::{Common, EvalArgs};
use crate::data::npy::{self, Matrix};

pub(super) fn run(args: &EvalArgs, common: &Common) -> Result<Answer> {
    ensure!(args.k.iter().all(|&k| k >= 1), "--k holds 0: ranks are counted from 1");
    let backend = backend(common)?;
    let set = read_embedded(&args.embeddings, &args.labels)?;
    let count = set.labels.len();
    let mut buffer = backend.zeros(set.values.len())?;
    backend.upload(&set.values, &mut buffer)?;
    let depth = args.k.iter().copied().max().unwrap_or(0);
    let gallery = SearchView { embeddings: &buffer, labels: &set.labels, count };
    let ranks = match (&args.queries, &args.query_labels) {
        (Some(embeddings), Some(labels)) => {
            let Matrix { cols: dim, values, .. } = npy::read_matrix(embeddings)?;
            ensure!(
                dim == set.dim,
                "{} has {dim} numbers a row, {} has {}",
                embeddings.display(),
                args.embeddings.display(),
                set.dim
            );
            let labels = among(&npy::read_labels(labels)?, &set.originals);
            ensure!(
                labels.len() * dim == values.len(),
                "{} query labels for {} queries",
                labels.len(),
                values.len() / dim
            );
            let mut queries = backend.zeros(values.len())?;
            backend.upload(&values, &mut queries)?;
            let queries = SearchView { embeddings: &queries, labels: &labels, count: labels.len() };
            backend.match_ranks(dim, depth, queries, Some(gallery))?
        }
        _ => backend.match_ranks(set.dim, depth, gallery, None)?,
    };
    let quality = Retrieval::of(&ranks, &args.k);
    let key = Key::new(common.seed.unwrap_or(0), Stream::Cluster, 0);
    let clusters = k_means(&backend, &set.values, set.dim, set.originals.len(), key)?;
    let agreement = Agreement::of(&set.labels, &clusters);

    let recall: Map<_, _> =
        args.k.iter().zip(&quality.recall).map(|(k, v)| (k.to_string(), json!(v))).collect();
    let json = json!({
        "n": count,
        "dim": set.dim,
        "classes": set.originals.len(),
        "recall": recall,
        "precision_at_1": quality.precision_at_1,
        "r_precision": quality.r_precision,
        "map_at_r": quality.map_at_r,
        "nmi": agreement.nmi_arithmetic(),
        "nmi_geometric": agreement.nmi_geometric(),
        "ami": agreement.ami(),
        "queries": quality.queries,
        "queries_without_match": quality.without_match,
    });
    let mut text = format!("{count} embeddings of {} numbers, {} classes\n", set.dim, set.originals.len());
    for (k, recall) in args.k.iter().zip(&quality.recall) {
        text += &format!("{:<16}{recall:.4}\n", format!("Recall@{k}"));
    }
    let rest = [
        ("Precision@1", quality.precision_at_1),
        ("R-precision", quality.r_precision),
        ("MAP@R", quality.map_at_r),
        ("NMI", agreement.nmi_arithmetic()),
        ("AMI", agreement.ami()),
    ];
    for (name, value) in rest {
        text += &format!("{name:<16}{value:.4}\n");
    }
    if quality.without_match > 0 {
        text += &format!("{} queries have no match and are left out\n", quality.without_match);
    }
    Ok(Answer { text, json })
}

/// Labels in the numbering of another set; one that is not there gets a number that no sample has.
fn among(labels: &[i64], originals: &[i64]) -> Vec<u32> {
    labels.iter().map(|label| originals.binary_search(label).map_or(u32::MAX, |i| i as u32)).collect()
}
