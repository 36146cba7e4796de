//! The verbs that judge pairs and trials, from outside: `verify`, `calibrate`, `embed --pairs`, `oneshot`, and the
//! intervals of `eval`.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use nearfar::data::npy;
use nearfar_core::metric::verify::{Crossing, Judged, KFold, Roc};
use nearfar_core::{Key, Stream};
use nearfar_tests::generate::clusters;
use nearfar_tests::oracle::distance;
use tempfile::TempDir;

use crate::cli::{failure, json, nearfar};

const DIM: usize = 8;

/// `E.npy`, `L.npy` and `P.tsv`: twenty classes of five, and five folds of forty pairs each, half of them same.
fn prepared() -> (TempDir, Vec<(u32, usize, usize, bool)>) {
    let folder = TempDir::new().unwrap();
    let (x, labels) = clusters(2, 20, 5, DIM, 1.0);
    npy::write(&folder.path().join("E.npy"), &[100, DIM], &x).unwrap();
    let labels: Vec<i64> = labels.into_iter().map(i64::from).collect();
    npy::write(&folder.path().join("L.npy"), &[100], &labels).unwrap();
    let key = Key::new(1, Stream::Init, 0);
    let mut pairs = Vec::new();
    let mut text = String::from("fold\ti\tj\tsame\n");
    for at in 0..200_u32 {
        let (fold, same) = (at / 40, at % 2 == 0);
        let i = key.below(at, 0, 100);
        let offset = if same { 1 + key.below(at, 1, 4) } else { 5 + key.below(at, 1, 90) };
        let j = if same { i / 5 * 5 + (i + offset) % 5 } else { (i / 5 * 5 + offset) % 100 };
        writeln!(text, "{fold}\t{i}\t{j}\t{}", u8::from(same)).unwrap();
        pairs.push((fold, i, j, same));
    }
    fs::write(folder.path().join("P.tsv"), text).unwrap();
    (folder, pairs)
}

const VERIFY: [&str; 5] = ["verify", "--embeddings", "E.npy", "--pairs", "P.tsv"];

#[test]
fn verify_answers_with_the_promised_keys_and_the_right_numbers() {
    let (folder, pairs) = prepared();
    let at = folder.path();
    let answer = json(at, &VERIFY);
    let x = npy::read_matrix::<f64>(&at.join("E.npy")).unwrap().values;
    let row = |i: usize| &x[i * DIM..][..DIM];
    let judged: Vec<Judged> =
        pairs.iter().map(|&(_, i, j, same)| Judged { distance: distance(row(i), row(j)), same }).collect();
    let folds: Vec<u32> = pairs.iter().map(|p| p.0).collect();
    let (roc, cross) = (Roc::of(&judged).unwrap(), KFold::of(&judged, &folds).unwrap());
    for (key, wanted) in [
        ("accuracy_mean", cross.mean),
        ("accuracy_stderr", cross.stderr),
        ("eer", roc.eer(Crossing::Points)),
        ("eer_hull", roc.eer(Crossing::Hull)),
        ("auc", roc.auc()),
    ] {
        let got = answer[key].as_f64().unwrap();
        assert!((got - wanted).abs() < 1e-12, "{key}: {got} {wanted}");
    }
    assert!(answer["tar_at_far"]["0.01"].is_number() && answer["tar_at_far"]["0.001"].is_number());
    assert_eq!(answer["folds"].as_array().unwrap().len(), 5);
    assert!(answer["accuracy_mean"].as_f64().unwrap() > 0.6, "clusters are told apart");
    let own = json(at, &[&VERIFY[..], &["--far", "0.5"]].concat());
    assert_eq!(own["tar_at_far"]["0.5"].as_f64(), Some(roc.at_far(0.5).unwrap().tar));
    assert!(own["tar_at_far"]["0.01"].is_null());
}

#[test]
fn a_calibration_is_saved_and_used_by_verify() {
    let (folder, _) = prepared();
    let at = folder.path();
    let calibrate = ["calibrate", "--embeddings", "E.npy", "--pairs", "P.tsv", "--out", "C.json"];
    let answer = json(at, &[&calibrate[..], &["--far", "0.1", "--plot", "C.svg"]].concat());
    let blocks = answer["blocks"].as_array().unwrap();
    for key in ["distance_from", "distance_to", "p_same", "weight"] {
        assert!(blocks.iter().all(|block| block[key].is_number()), "{key}");
    }
    assert!(answer["eer"].is_number() && answer["far"].as_f64().unwrap() <= 0.1);
    assert!(answer["reliability"]["brier"].as_f64().unwrap() < 0.25);
    let svg = fs::read_to_string(at.join("C.svg")).unwrap();
    for part in ["isotonic fit", "threshold", "predicted P(same class)", "Reliability", "distance"] {
        assert!(svg.contains(part), "{part}");
    }
    let judged = json(at, &[&VERIFY[..], &["--calibration", "C.json"]].concat());
    let by = &judged["calibration"];
    assert_eq!((&by["threshold"], &by["far"]), (&answer["threshold"], &answer["far"]));
    assert!(by["brier"].as_f64().unwrap() < 0.25);
    // On its own pairs an isotonic fit is true in every block; bins of probability hold whole blocks.
    assert!(by["calibration_error"].as_f64().unwrap() < 1e-12);
    // Without --far it is the threshold with most right answers.
    let best = json(at, &calibrate);
    let accuracy = |threshold: &str| {
        json(at, &[&VERIFY[..], &["--calibration", threshold]].concat())["calibration"]["accuracy"]
            .as_f64()
            .unwrap()
    };
    assert!(accuracy("C.json") >= by["accuracy"].as_f64().unwrap());
    assert!(best["far_wanted"].is_null());
    let error = failure(at, &[&VERIFY[..], &["--calibration", "E.npy"]].concat());
    assert!(error.contains("E.npy is no calibration"), "{error}");
}

fn written(at: &Path, name: &str, content: &[u8]) -> PathBuf {
    fs::write(at.join(name), content).unwrap();
    at.join(name)
}

#[test]
fn bad_pairs_are_one_line_that_names_file_and_place() {
    let (folder, _) = prepared();
    let at = folder.path();
    for (content, part) in [
        (&b""[..], "empty"),
        (b"fold\ti\tj\tsame\n", "a header and no pairs"),
        (b"0\t1\t100\t1\n", "line 1, field 3: there is no sample 100 among 100"),
        (b"0\t1\t2\n", "line 1 has 3 fields"),
        (b"0\t1\t2\t1\n0\t1.5\t2\t1\n", "line 2, field 2: \"1.5\" is no whole number"),
        (b"0\t1\t2\t1\n1\t3\t4\t1\n", "no pair is of two classes"),
        (b"0\t1\t2\t0\n1\t3\t4\t0\n", "no pair is of one class"),
        (b"3\t1\t2\t0\n3\t3\t4\t1\n", "all pairs are in fold 3"),
        (b"0\t1\t2\t0\n0\t3\t4\t1\n1\t5\t6\t1\n", "outside fold 0 all pairs are of one kind"),
        (b"\x1f\x8b\x08\x00broken", "bad.tsv"),
        (b"\x00\xff\xfe\t\n", "bad.tsv"),
    ] {
        written(at, "bad.tsv", content);
        let verify = ["verify", "--embeddings", "E.npy", "--pairs", "bad.tsv"];
        let error = failure(at, &verify);
        assert!(error.contains("bad.tsv") && error.contains(part), "{part}: {error}");
        if part.starts_with("outside fold") {
            // A curve needs no threshold of the others.
            continue;
        }
        let calibrate = [
            "calibrate",
            "--embeddings",
            "E.npy",
            "--pairs",
            "bad.tsv",
            "--out",
            "C.json",
            "--plot",
            "C.svg",
        ];
        failure(at, &calibrate);
        assert!(!at.join("C.json").exists() && !at.join("C.svg").exists(), "something was written");
    }
    assert_eq!(nearfar(at, &[&VERIFY[..], &["--far", "1.5"]].concat()).status.code(), Some(2));
}

#[test]
fn embed_compares_pairs_by_the_calibration_of_its_run() {
    let (folder, _) = prepared();
    let at = folder.path();
    fs::write(at.join("c.toml"), "[model]\nkind = \"mlp\"\nhidden = [16]\ndim = 8\n[train]\nsteps = 3\n")
        .unwrap();
    json(at, &["train", "--config", "c.toml", "--out", "run"]);
    let embed = ["embed", "--run", "run", "--data", "kana", "--out", "K.npy", "--labels-out", "KL.npy"];
    json(at, &embed);
    fs::write(at.join("K.tsv"), "0\t0\t1\t1\n0\t3\t40\t0\n1\t15\t16\t1\n1\t0\t17\t0\n0\t60\t61\t1\n")
        .unwrap();
    let compare = [
        "embed",
        "--run",
        "run",
        "--data",
        "kana",
        "--out",
        "K2.npy",
        "--pairs",
        "K.tsv",
        "--pairs-out",
        "D.tsv",
    ];
    let error = failure(at, &compare);
    assert!(error.contains("--calibration") && error.contains("run/calibration.json"), "{error}");
    assert!(!at.join("K2.npy").exists() && !at.join("D.tsv").exists());
    let calibrated = json(
        at,
        &["calibrate", "--embeddings", "K.npy", "--pairs", "K.tsv", "--out", "run/calibration.json"],
    );
    let answer = json(at, &compare);
    assert_eq!(answer["pairs"], 5);
    assert_eq!(fs::read(at.join("K.npy")).unwrap(), fs::read(at.join("K2.npy")).unwrap());
    let text = fs::read_to_string(at.join("D.tsv")).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("i\tj\tdistance\tp_same\taccepted"));
    let x = npy::read_matrix::<f64>(&at.join("K.npy")).unwrap();
    let threshold = calibrated["threshold"].as_f64().unwrap();
    let mut accepted = 0;
    for line in lines {
        let fields: Vec<f64> = line.split('\t').map(|field| field.parse().unwrap()).collect();
        let row = |i: f64| &x.values[i as usize * x.cols..][..x.cols];
        let wanted = distance(row(fields[0]), row(fields[1]));
        assert!((fields[2] - wanted).abs() < 1e-12 && (0.0..=1.0).contains(&fields[3]), "{line}");
        assert_eq!(fields[4] == 1.0, fields[2] <= threshold, "{line}");
        accepted += fields[4] as u64;
    }
    assert_eq!(answer["pairs_accepted"].as_u64(), Some(accepted));
    // Two columns will do here.
    fs::write(at.join("K.tsv"), "i\tj\n0\t1\n0\t2000\n").unwrap();
    let error = failure(at, &compare);
    assert!(error.contains("K.tsv") && error.contains("line 3, field 2: there is no sample 2000"), "{error}");
    assert_eq!(nearfar(at, &compare[..9]).status.code(), Some(2), "--pairs needs --pairs-out");
}

#[test]
fn runs_that_split_their_data_otherwise_are_not_joined() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    let rows: String = (0..120).map(|i| format!("{},{},{}\n", i % 12, (i * 7) % 5, i % 12)).collect();
    fs::write(at.join("d.csv"), rows).unwrap();
    for seed in [1, 2] {
        let toml = format!(
            "[data]\nsplit_seed = {seed}\n[model]\nkind = \"mlp\"\nhidden = [8]\ndim = 3\n[train]\nsteps = 2\n"
        );
        fs::write(at.join("c.toml"), toml).unwrap();
        json(at, &["train", "--config", "c.toml", "--data", "d.csv", "--out", &format!("run{seed}")]);
    }
    let embed = ["embed", "--run", "run1", "--run", "run2", "--data", "d.csv", "--out", "E.npy"];
    let error = failure(at, &embed);
    assert!(error.contains("different parts of d.csv"), "{error}");
    assert!(!at.join("E.npy").exists());
}

#[test]
fn one_shot_trials_are_counted_by_run_and_ties_are_errors() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    // Points on a line: 0, 1, 2, ...; 5 and 6 coincide.
    let x: [f64; 7] = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 5.0];
    npy::write(&at.join("E.npy"), &[7, 1], &x).unwrap();
    let trials = "run\ttest\tright\tcandidates\n\
                  1\t0\t1\t1\t3\n1\t0\t3\t1\t3\n2\t4\t3\t2\t3\n2\t4\t5\t5\t6\n";
    fs::write(at.join("T.tsv"), trials).unwrap();
    let oneshot = ["oneshot", "--embeddings", "E.npy", "--trials", "T.tsv"];
    let answer = json(at, &oneshot);
    // Right; wrong; right; two candidates at one place: wrong.
    assert_eq!((answer["accuracy"].as_f64(), answer["error"].as_f64()), (Some(0.5), Some(0.5)));
    assert_eq!((answer["trials"].as_u64(), answer["ways"].as_u64()), (Some(4), Some(2)));
    assert_eq!(answer["accuracy_stderr"].as_f64(), Some(0.0));
    assert_eq!(answer["runs"][1]["right"].as_u64(), Some(1));
    fs::write(at.join("T.tsv"), "1\t0\t1\t1\t3\n1\t0\t2\t1\t3\n").unwrap();
    let error = failure(at, &oneshot);
    assert!(error.contains("T.tsv") && error.contains("line 2: 2 is not among the candidates"), "{error}");
}

#[test]
fn eval_gives_intervals_around_its_means() {
    let (folder, _) = prepared();
    let at = folder.path();
    let eval = ["eval", "--embeddings", "E.npy", "--labels", "L.npy", "--k", "1,4"];
    let answer = json(at, &eval);
    let confidence = &answer["confidence"];
    let holds = |interval: &serde_json::Value, value: &serde_json::Value| {
        let [low, high, value] = [&interval[0], &interval[1], value].map(|v| v.as_f64().unwrap());
        assert!(low <= value && value <= high && low < high, "{low} {value} {high}");
    };
    holds(&confidence["recall"]["1"], &answer["recall"]["1"]);
    holds(&confidence["map_at_r"], &answer["map_at_r"]);
    holds(&confidence["r_precision"], &answer["r_precision"]);
    assert_eq!(answer["precision"]["1"], answer["recall"]["1"]);
    assert!(answer["precision"]["4"].as_f64().unwrap() <= answer["recall"]["4"].as_f64().unwrap());
    assert_eq!(json(at, &eval), answer);
    let other = json(at, &[&eval[..], &["--seed", "1"]].concat());
    assert!(other["confidence"] != *confidence && other["map_at_r"] == answer["map_at_r"]);
    // Queries of one class: nothing varies, and no interval is made up.
    let x = npy::read_matrix::<f64>(&at.join("E.npy")).unwrap();
    npy::write(&at.join("Q.npy"), &[5, DIM], &x.values[..5 * DIM]).unwrap();
    npy::write(&at.join("QL.npy"), &[5], &[0_i64; 5]).unwrap();
    let queries = [&eval[..], &["--queries", "Q.npy", "--query-labels", "QL.npy"]].concat();
    assert!(json(at, &queries)["confidence"].is_null());
}

#[test]
fn every_new_verb_has_an_example() {
    let folder = TempDir::new().unwrap();
    for verb in ["verify", "calibrate", "oneshot", "export"] {
        let help = nearfar(folder.path(), &[verb, "--help"]);
        assert!(String::from_utf8_lossy(&help.stdout).contains("Example:"), "{verb}");
        assert_eq!(nearfar(folder.path(), &[verb]).status.code(), Some(2), "{verb}");
    }
}

/// The protocols of Omniglot: Lake's 400 trials and the pairs, on raw drawings.
#[test]
fn the_lists_of_omniglot_are_read_as_they_are() {
    let shared = crate::tidy::root().join("../shared/data/omniglot");
    let (pairs, trials) = (shared.join("evaluation-pairs.tsv"), shared.join("oneshot-20way-runs.tsv"));
    if !pairs.exists() {
        println!("skipped: ../shared/data absent");
        return;
    }
    let pairs = nearfar::data::pairs::read_pairs(&pairs, 13180, true).unwrap();
    assert_eq!(pairs.iter().filter(|pair| pair.known.unwrap().same).count(), 3000);
    let trials = nearfar::data::pairs::read_trials(&trials, 13180).unwrap();
    assert_eq!((trials.len(), trials[0].candidates.len()), (400, 20));
}
