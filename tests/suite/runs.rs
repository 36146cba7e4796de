//! Training end to end: bytes that depend on the seed alone, runs that are broken off and taken up again, collapse.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use nearfar::config::LossKind;
use nearfar::model::{JOINT, ModelFile};
use nearfar_tests::folder::{assert_same, content};
use tempfile::TempDir;

use crate::cli::{json, nearfar};

/// A short run of a small network on the embedded set, with all that has a state: classes of their own boundary,
/// momentum, Adam, norms.
const SMALL: &str = "
[model]
kind = \"cnn\"
dim = 16
channels = [4, 8]
[batch]
classes = 8
per_class = 4
[boundary]
mode = \"gradient\"
rate = 0.001
per_class = true
per_image = true
[train]
steps = 24
every = 6
";

/// What a run with a memory has beside that: a ring that is not a whole number of batches, classes that are turned.
const REMEMBERING: &str = "
[memory]
size = 75
warmup = 5
[augment]
symmetry = 0.4
";

/// Classes that are turned.
const TURNED: &str = "
[augment]
symmetry = 0.5
";

fn prepared() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("c.toml"), SMALL).unwrap();
    let turned = SMALL.replace("dim = 16", "dim = 16\nviews = 8");
    fs::write(folder.path().join("t.toml"), format!("{turned}{TURNED}")).unwrap();
    fs::write(folder.path().join("m.toml"), format!("{SMALL}{REMEMBERING}")).unwrap();
    // Looks, and what is saved with them, fall in the middle of passes: there are nine batches in one.
    let near =
        SMALL.replace("per_class = 4", "per_class = 4\nnear_classes = 4").replace("every = 6", "every = 4");
    fs::write(folder.path().join("n.toml"), format!("{near}{TURNED}")).unwrap();
    folder
}

#[test]
fn a_run_is_a_function_of_its_seed_and_of_nothing_else() {
    let folder = prepared();
    let at = folder.path();
    let answer = json(at, &["train", "--config", "c.toml", "--out", "one", "--threads", "1"]);
    for key in ["run", "steps", "seconds", "cpu_seconds", "device", "seed"] {
        assert!(!answer[key].is_null(), "{key}");
    }
    assert!(answer["test"]["map_at_r"].is_number() && answer["baselines"]["raw"]["recall"]["1"].is_number());
    json(at, &["train", "--config", "c.toml", "--out", "two", "--threads", "2"]);
    assert_same(&at.join("one"), &at.join("two"));
    let files: Vec<String> = content(&at.join("one")).into_keys().collect();
    assert_eq!(files, ["config.toml", "metrics.jsonl", "model.safetensors", "report.html", "summary.json"]);
    // Its own configuration makes the same run again; another seed makes another.
    fs::copy(at.join("one/config.toml"), at.join("again.toml")).unwrap();
    json(at, &["train", "--config", "again.toml", "--out", "three"]);
    assert_same(&at.join("one"), &at.join("three"));
    json(at, &["train", "--config", "c.toml", "--out", "four", "--seed", "1"]);
    let model = |run: &str| fs::read(at.join(run).join("model.safetensors")).unwrap();
    assert!(model("one") != model("four"));

    // `embed` needs nothing but the run, and finds the quality that the run reported.
    json(at, &["embed", "--run", "one", "--data", "kana", "--out", "E.npy", "--labels-out", "L.npy"]);
    let eval = json(at, &["eval", "--embeddings", "E.npy", "--labels", "L.npy"]);
    let reported = answer["test"]["recall"]["1"].as_f64().unwrap();
    // One is counted in f64, the other in f32, where a tie within rounding may fall otherwise.
    assert!((eval["recall"]["1"].as_f64().unwrap() - reported).abs() < 2e-3);
}

/// Eight views joined by a map that the run fits at its end and the model file brings along.
#[test]
fn turned_views_are_joined_by_what_the_model_file_has() {
    let folder = prepared();
    let at = folder.path();
    let answer = json(at, &["train", "--config", "t.toml", "--out", "one", "--threads", "1"]);
    json(at, &["train", "--config", "t.toml", "--out", "two", "--threads", "2"]);
    assert_same(&at.join("one"), &at.join("two"));
    json(at, &["embed", "--run", "one", "--data", "kana", "--out", "E.npy", "--labels-out", "L.npy"]);
    let eval = json(at, &["eval", "--embeddings", "E.npy", "--labels", "L.npy"]);
    let reported = answer["test"]["recall"]["1"].as_f64().unwrap();
    assert!((eval["recall"]["1"].as_f64().unwrap() - reported).abs() < 2e-3);
    let path = at.join("one/model.safetensors");
    let model = ModelFile::load(&path).unwrap();
    assert_eq!(model.tensors[JOINT].shape, [16, 8 * 16]);
    for broken in ["gone", "short"] {
        let mut tensors: Vec<_> = model.tensors.values().cloned().collect();
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        let joint = tensors.iter().position(|tensor| tensor.name == JOINT).unwrap();
        if broken == "gone" {
            tensors.remove(joint);
        } else {
            (tensors[joint].shape, tensors[joint].values) = (vec![16, 16], vec![0.5; 256]);
        }
        ModelFile::save(&path, &model.card, &[], &tensors).unwrap();
        let said = nearfar(at, &["embed", "--run", "one", "--data", "kana", "--out", "F.npy"]);
        assert!(!said.status.success() && String::from_utf8_lossy(&said.stderr).contains(JOINT), "{said:?}");
    }
}

fn looks(run: &Path) -> Vec<nearfar::record::Look> {
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    metrics.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_run_with_a_memory_is_a_function_of_its_seed_too() {
    let folder = prepared();
    let at = folder.path();
    for sampler in ["expected", "distance-weighted", "hard"] {
        let [one, two] = ["1", "2"].map(|threads| {
            let out = format!("{sampler}-{threads}");
            let choice = ["--sampler", sampler, "--every", "4", "--boundary", "exact"];
            let args = ["train", "--config", "m.toml", "--threads", threads, "--out", &out];
            json(at, &[&args[..], &choice].concat());
            at.join(out)
        });
        assert_same(&one, &two);
        let remembered: Vec<_> = looks(&one).into_iter().map(|look| look.memory.unwrap()).collect();
        // After steps 4, 8, ...: 32 rows a step, none of them in use before step number 5, no more than 75.
        assert_eq!((remembered[0].rows, remembered[0].share), (75, 0.0));
        for later in &remembered[1..] {
            // 32 rows of the last step, 32 of the one before, 11 older ones.
            assert_eq!((later.rows, later.max_age), (75, 3));
            assert!((later.mean_age - (32.0 + 64.0 + 33.0) / 75.0).abs() < 1e-12);
            assert!(later.share > 0.3 && later.share < 1.0, "{sampler}: {later:?}");
        }
        assert!(fs::read_to_string(one.join("report.html")).unwrap().contains("remembered"));
    }
    json(at, &["train", "--config", "c.toml", "--out", "without"]);
    assert!(looks(&at.join("without")).iter().all(|look| look.memory.is_none()));
    assert!(!fs::read_to_string(at.join("without/metrics.jsonl")).unwrap().contains("memory"));
    assert!(!fs::read_to_string(at.join("without/report.html")).unwrap().contains("remembered"));
    // A memory that never comes into use changes no number of the run.
    json(at, &["train", "--config", "c.toml", "--memory", "0", "--out", "none"]);
    assert_same(&at.join("without"), &at.join("none"));
    let late = format!("{SMALL}[memory]\nsize = 75\nwarmup = 24\n");
    fs::write(at.join("late.toml"), late).unwrap();
    json(at, &["train", "--config", "late.toml", "--out", "late"]);
    let losses =
        |run: &str| -> Vec<(f64, f64)> { looks(&at.join(run)).iter().map(|l| (l.loss, l.beta)).collect() };
    assert_eq!(losses("without"), losses("late"));
}

#[test]
fn a_run_with_near_classes_is_a_function_of_its_seed_too() {
    let folder = prepared();
    let at = folder.path();
    json(at, &["train", "--config", "n.toml", "--out", "one", "--threads", "1"]);
    json(at, &["train", "--config", "n.toml", "--out", "two", "--threads", "2"]);
    assert_same(&at.join("one"), &at.join("two"));
    // Groups of one are no groups: the run is that of chance, whose first pass already has other batches.
    let config = fs::read_to_string(at.join("n.toml")).unwrap();
    for (name, near) in [("chance.toml", ""), ("alone.toml", "near_classes = 1\n")] {
        fs::write(at.join(name), config.replace("near_classes = 4\n", near)).unwrap();
        json(at, &["train", "--config", name, "--out", &name.replace(".toml", "")]);
    }
    assert_same(&at.join("chance"), &at.join("alone"));
    assert_ne!(looks(&at.join("one"))[0].loss, looks(&at.join("alone"))[0].loss);
}

#[test]
fn a_run_that_is_killed_goes_on_to_the_same_bytes() {
    killed_and_taken_up("c.toml");
}

#[test]
fn a_run_with_a_memory_that_is_killed_goes_on_to_the_same_bytes() {
    killed_and_taken_up("m.toml");
}

#[test]
fn a_run_with_near_classes_that_is_killed_goes_on_to_the_same_bytes() {
    killed_and_taken_up("n.toml");
}

fn killed_and_taken_up(config: &str) {
    let folder = prepared();
    let at = folder.path();
    json(at, &["train", "--config", config, "--out", "whole"]);
    let mut kills = 0;
    // Killed at whatever point it has reached, as often as it takes to see it in the middle.
    for delay in [0, 20, 60, 120] {
        let run = at.join(format!("killed-{delay}"));
        let mut child = Command::new(env!("CARGO_BIN_EXE_nearfar-under-test"))
            .args(["train", "--config", config, "--out"])
            .arg(&run)
            .current_dir(at)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while !run.join("state.safetensors").exists() && begun.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(delay));
        child.kill().unwrap();
        child.wait().unwrap();
        if run.join("model.safetensors").exists() {
            continue; // it was faster
        }
        kills += 1;
        // What a kill in the middle of a line would leave behind.
        let metrics = run.join("metrics.jsonl");
        fs::write(&metrics, fs::read_to_string(&metrics).unwrap() + "{\"step\":").unwrap();
        json(at, &["train", "--resume", run.to_str().unwrap()]);
        assert_same(&at.join("whole"), &run);
    }
    assert!(kills > 0, "no run was caught in the middle");
}

#[test]
fn folders_of_runs_are_never_overwritten() {
    let folder = prepared();
    let at = folder.path();
    fs::create_dir(at.join("taken")).unwrap();
    let output = nearfar(at, &["train", "--config", "c.toml", "--out", "taken"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--resume"));
    fs::write(at.join("file"), "").unwrap();
    let output = nearfar(at, &["train", "--config", "c.toml", "--out", "file/run"]);
    assert_eq!(output.status.code(), Some(1), "a folder in a file cannot be made");
    for k in [1, 2] {
        let answer = json(at, &["train", "--config", "c.toml", "--steps", "1"]);
        assert_eq!(answer["run"], format!("runs/kana-{k}"));
    }
    let output = nearfar(at, &["train", "--resume", "runs/kana-1"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("finished"));
    let output = nearfar(at, &["train", "--resume", "taken"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("no run folder"));
}

#[test]
fn every_loss_and_sampler_trains() {
    let folder = prepared();
    let at = folder.path();
    let mut run = 0;
    let mut train = |loss: &str, sampler: &str, extra: &[&str]| {
        run += 1;
        let out = format!("run-{run}");
        let args = ["train", "--config", "c.toml", "--model", "mlp", "--steps", "3", "--every", "3"];
        json(at, &[&args[..], &["--loss", loss, "--sampler", sampler, "--out", &out], extra].concat());
        let metrics = fs::read_to_string(at.join(&out).join("metrics.jsonl")).unwrap();
        let look: nearfar::record::Look = serde_json::from_str(metrics.lines().next().unwrap()).unwrap();
        assert!(look.loss.is_finite() && look.loss >= 0.0, "{loss} {sampler}: {}", look.loss);
    };
    for loss in ["contrastive", "triplet", "triplet-l2", "margin"] {
        for sampler in
            ["uniform", "hard", "semihard", "semihard-band", "distance-weighted", "expected", "all"]
        {
            train(loss, sampler, &[]);
        }
    }
    for sampler in ["uniform", "hard", "semihard", "semihard-band", "distance-weighted"] {
        train("quadruplet", sampler, &[]);
    }
    for loss in ["npair", "lifted", "multi-similarity"] {
        train(loss, "all", &[]);
    }
    // Each name alone is enough: the recipe's sampler follows the loss where it must.
    for loss in LossKind::value_variants() {
        let loss = loss.to_string();
        let args = ["train", "--model", "mlp", "--steps", "1", "--classes-per-batch", "4", "--loss", &loss];
        json(at, &[&args[..], &["--out", &format!("alone-{loss}")]].concat());
        let recorded = fs::read_to_string(at.join(format!("alone-{loss}/config.toml"))).unwrap();
        let takes_all = ["npair", "lifted", "multi-similarity"].contains(&loss.as_str());
        assert_eq!(recorded.contains("kind = \"all\""), takes_all, "{loss}");
    }
    for form in ["paper", "batch"] {
        for boundary in ["fixed", "gradient", "exact"] {
            train(
                "margin",
                "distance-weighted",
                &["--nu", "0.01", "--penalty", form, "--boundary", boundary],
            );
        }
    }
    for dimension in ["ambient", "effective", "fitted", "7.5"] {
        train("margin", "distance-weighted", &["--dimension", dimension, "--optimizer", "sgd"]);
    }
}

#[test]
fn a_growing_penalty_lowers_the_boundary_in_every_form_and_mode() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    for form in ["batch", "paper"] {
        for (mode, rate) in [("exact", "0.3"), ("gradient", "0.02")] {
            let mut last = f64::INFINITY;
            for nu in ["0", "0.1", "0.4"] {
                let out = format!("{form}-{mode}-{nu}");
                let sizes = ["train", "--model", "mlp", "--dim", "16", "--classes-per-batch", "8"];
                let steps = ["--steps", "12", "--every", "12", "--out", &out];
                let boundary = ["--boundary", mode, "--beta-rate", rate, "--nu", nu, "--penalty", form];
                json(at, &[&sizes[..], &steps, &boundary].concat());
                let metrics = fs::read_to_string(at.join(&out).join("metrics.jsonl")).unwrap();
                let look: nearfar::record::Look =
                    serde_json::from_str(metrics.lines().last().unwrap()).unwrap();
                assert!(look.beta < last - 0.005, "{out}: {} after {last}", look.beta);
                last = look.beta;
            }
        }
    }
}

/// A run that was broken off after its first look, in `at`/`run`.
fn broken_off(at: &Path, run: &str, extra: &[&str]) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_nearfar-under-test"))
        .args(["train", "--config", "c.toml", "--steps", "100000", "--out", run])
        .args(extra)
        .current_dir(at)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while !at.join(run).join("state.safetensors").exists() && begun.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(1));
    }
    // While it is at work nobody else may be.
    let second = nearfar(at, &["train", "--resume", run]);
    assert!(String::from_utf8_lossy(&second.stderr).contains("another process is at work"), "{second:?}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_run_goes_on_only_as_what_it_was() {
    let folder = prepared();
    let at = folder.path();
    let rows = |last: f64| -> String {
        let value = |i: u32| if i == 79 { last } else { f64::from(i * i % 23) };
        (0..80).map(|i| format!("{},{},c{}\n", value(i), i % 7, i / 5)).collect()
    };
    fs::write(at.join("d.csv"), rows(1.0)).unwrap();
    broken_off(at, "run", &["--data", "d.csv"]);
    let resume = |folder: &Path, run: &str, extra: &[&str]| {
        let output = nearfar(folder, &[&["train", "--resume", run], extra].concat());
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for extra in [&["--steps", "9"][..], &["--loss", "triplet"], &["--recipe", "paper"], &["--near", "0.4"]] {
        assert_eq!(resume(at, "run", extra).0, Some(2), "{extra:?}");
    }
    let refused = |(code, text): (Option<i32>, String), part: &str| {
        assert_eq!((code, text.lines().count()), (Some(1), 1), "{text}");
        assert!(text.contains(part), "{text}");
    };
    refused(resume(at, "run", &["--seed", "1"]), "--seed cannot be used with --resume");
    let elsewhere = at.join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    refused(resume(&elsewhere, "../run", &[]), "names its data as d.csv, which from here is");
    fs::write(at.join("d.csv"), rows(2.0)).unwrap();
    refused(resume(at, "run", &[]), "d.csv is not what it was");
    fs::write(at.join("d.csv"), rows(1.0)).unwrap();
    let config = fs::read_to_string(at.join("run/config.toml")).unwrap();
    fs::write(at.join("run/config.toml"), config.replace("alpha = 0.2", "alpha = 0.3")).unwrap();
    refused(resume(at, "run", &[]), "config.toml was changed since the run was saved");
}

#[test]
fn a_collapse_is_named_with_advice() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    // A linear map of constant inputs plus a hair: every sample lands on one point.
    let rows: String =
        (0..40).map(|i| format!("1000,1000,{},c{}\n", 1000.0 + f64::from(i) * 1e-3, i / 5)).collect();
    fs::write(at.join("flat.csv"), rows).unwrap();
    fs::write(at.join("c.toml"), "[model]\nkind = \"mlp\"\nhidden = [4]\ndim = 2\n[loss]\nkind = \"contrastive\"\nalpha = 0.0\n[sampler]\nkind = \"uniform\"\n[optimizer]\nrate = 0.05\nwarmup = 0\n[train]\nsteps = 400\nevery = 400\n").unwrap();
    let output = nearfar(at, &["train", "--data", "flat.csv", "--config", "c.toml", "--out", "run"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("collapsed") && text.contains("optimizer.rate"), "{text}");
}
