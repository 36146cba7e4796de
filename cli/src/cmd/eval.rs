//! `eval`: retrieval and clustering quality of embeddings in files.

use anyhow::{Result, ensure};
use nearfar_core::kernel::{Backend, MatchRanks, SearchView};
use nearfar_core::metric::bootstrap::{Interval, RESAMPLES, class_intervals};
use nearfar_core::metric::cluster::{Agreement, k_means};
use nearfar_core::metric::retrieval::Retrieval;
use nearfar_core::{Key, Stream};
use serde_json::{Map, Value, json};

use super::{Answer, backend, ensure_directions, ensure_near_and_far, ensure_two_classes, read_embedded};
use crate::args::{Common, EvalArgs};
use crate::data::npy::{self, Matrix};

/// Level of confidence intervals.
const LEVEL: f64 = 0.95;

pub(super) fn run(args: &EvalArgs, common: &Common) -> Result<Answer> {
    ensure!(args.k.iter().all(|&k| k >= 1), "--k holds 0: ranks are counted from 1");
    let backend = backend(common)?;
    let set = read_embedded(&args.embeddings, &args.labels)?;
    if args.queries.is_some() {
        ensure_two_classes(&set, &args.labels)?;
    } else {
        ensure_near_and_far(&set, &args.labels)?;
    }
    ensure_directions(&set.values, set.dim, &args.embeddings)?;
    let count = set.labels.len();
    let mut buffer = backend.zeros(set.values.len())?;
    backend.upload(&set.values, &mut buffer)?;
    let depth = args.k.iter().copied().max().unwrap_or(0);
    let gallery = SearchView { embeddings: &buffer, labels: &set.labels, count };
    let (ranks, of_queries) = match (&args.queries, &args.query_labels) {
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
            ensure_directions(&values, dim, embeddings)?;
            let mut queries = backend.zeros(values.len())?;
            backend.upload(&values, &mut queries)?;
            let queries = SearchView { embeddings: &queries, labels: &labels, count: labels.len() };
            (backend.match_ranks(dim, depth, queries, Some(gallery))?, labels)
        }
        _ => (backend.match_ranks(set.dim, depth, gallery, None)?, set.labels.clone()),
    };
    let quality = Retrieval::of(&ranks, &args.k);
    ensure!(quality.queries > 0, "no query has a sample of its class to find");
    let seed = common.seed.unwrap_or(0);
    let confidence = confidence(&ranks, &of_queries, &args.k, seed);
    let key = Key::new(seed, Stream::Cluster, 0);
    let clusters = k_means(&backend, &set.values, set.dim, set.originals.len(), key)?;
    let agreement = Agreement::of(&set.labels, &clusters);

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
        "nmi": agreement.nmi_arithmetic(),
        "nmi_geometric": agreement.nmi_geometric(),
        "ami": agreement.ami(),
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
    let interval = |at: usize| confidence.as_ref().map(|c| &c.0[at]);
    for (at, (k, recall)) in args.k.iter().zip(&quality.recall).enumerate() {
        line(&format!("Recall@{k}"), *recall, interval(RECALL + at));
    }
    for (k, precision) in args.k.iter().zip(&quality.precision) {
        line(&format!("Precision@{k}"), *precision, None);
    }
    line("R-precision", quality.r_precision, interval(R_PRECISION));
    line("MAP@R", quality.map_at_r, interval(MAP_AT_R));
    line("NMI", agreement.nmi_arithmetic(), None);
    line("NMI, geometric", agreement.nmi_geometric(), None);
    line("AMI", agreement.ami(), None);
    if confidence.is_some() {
        text += "[ , ]: 95 % of resamples, whole classes of queries drawn anew among the same candidates\n";
    }
    if quality.without_match > 0 {
        text += &format!("{} queries have no match and are left out\n", quality.without_match);
    }
    Ok(Answer { text, json })
}

/// Places in [`Confidence`].
const R_PRECISION: usize = 0;
const MAP_AT_R: usize = 1;
const RECALL: usize = 2;

/// Intervals of R-precision, MAP@R, and Recall at each K.
struct Confidence(Vec<Interval>);

impl Confidence {
    fn json(&self, ks: &[usize]) -> Value {
        let ends = |at: usize| json!([self.0[at].low, self.0[at].high]);
        let recall: Map<_, _> =
            ks.iter().enumerate().map(|(at, k)| (k.to_string(), ends(RECALL + at))).collect();
        json!({
            "level": LEVEL,
            "method": "percentile bootstrap over classes of queries",
            "resamples": RESAMPLES,
            "recall": recall,
            "r_precision": ends(R_PRECISION),
            "map_at_r": ends(MAP_AT_R),
        })
    }
}

/// Intervals by drawing classes of queries anew; `None` if all queries with a match are of one class.
fn confidence(ranks: &MatchRanks, labels: &[u32], ks: &[usize], seed: u64) -> Option<Confidence> {
    let (mut values, mut classes) = (vec![Vec::new(); RECALL + ks.len()], Vec::new());
    for (query, &label) in labels.iter().enumerate() {
        let Some(one) = Retrieval::of_query(ranks, query, ks) else { continue };
        classes.push(label);
        let all = [one.r_precision, one.map_at_r].into_iter().chain(one.recall);
        values.iter_mut().zip(all).for_each(|(values, value)| values.push(value));
    }
    let values: Vec<&[f64]> = values.iter().map(Vec::as_slice).collect();
    class_intervals(&values, &classes, LEVEL, Key::new(seed, Stream::Bootstrap, 0)).map(Confidence)
}

/// Labels in the numbering of another set; one that is not there gets a number that no sample has.
fn among(labels: &[i64], originals: &[i64]) -> Vec<u32> {
    labels.iter().map(|label| originals.binary_search(label).map_or(u32::MAX, |i| i as u32)).collect()
}
