//! The program from outside: answers and exit codes. What it refuses stands in `refusals.rs`.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use nearfar::data::npy;
use nearfar_tests::generate::clusters;
use serde_json::Value;
use tempfile::TempDir;

/// Runs the program in `folder`.
pub(crate) fn nearfar(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nearfar-under-test")).args(args).current_dir(folder).output().unwrap()
}

/// The object on stdout of a run that must succeed.
pub(crate) fn json(folder: &Path, args: &[&str]) -> Value {
    let output = nearfar(folder, &[args, &["--json"]].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {errors}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{args:?}: {e}"))
}

/// The one line of a run that must fail with exit code 1.
pub(crate) fn failure(folder: &Path, args: &[&str]) -> String {
    let output = nearfar(folder, args);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{args:?}: {text}");
    assert_eq!(text.lines().count(), 1, "{args:?}: {text}");
    assert!(text.starts_with("error: ") && !text.contains("panicked"), "{args:?}: {text}");
    text
}

/// `E.npy` and `L.npy`: twelve classes of four, D = 8.
pub(crate) fn embedded() -> TempDir {
    let folder = TempDir::new().unwrap();
    let (x, labels) = clusters(2, 12, 4, 8, 1.0);
    let labels: Vec<i64> = labels.into_iter().map(|label| i64::from(label) * 10 - 5).collect();
    npy::write(&folder.path().join("E.npy"), &[48, 8], &x).unwrap();
    npy::write(&folder.path().join("L.npy"), &[48], &labels).unwrap();
    folder
}

pub(crate) const FILES: [&str; 4] = ["--embeddings", "E.npy", "--labels", "L.npy"];

#[test]
fn sample_and_loss_speak_to_each_other() {
    let folder = embedded();
    let at = folder.path();
    let sampled =
        json(at, &[&["sample"], &FILES[..], &["--sampler", "distance-weighted", "--out", "T.csv"]].concat());
    assert_eq!((sampled["anchors"].as_u64(), sampled["triplets"].as_u64()), (Some(48), Some(144)));
    let csv = fs::read_to_string(at.join("T.csv")).unwrap();
    assert_eq!(csv.lines().next(), Some("anchor,positive,negative,log_prob"));
    assert_eq!(csv.lines().count(), 145);
    let again = json(
        at,
        &[&["sample"], &FILES[..], &["--sampler", "distance-weighted", "--out", "T2.csv", "--threads", "5"]]
            .concat(),
    );
    assert_eq!(again, sampled);
    assert_eq!(fs::read(at.join("T.csv")).unwrap(), fs::read(at.join("T2.csv")).unwrap());

    let loss = |extra: &[&str]| json(at, &[&["loss"], &FILES[..], &["--triplets", "T.csv"], extra].concat());
    let margin = loss(&["--loss", "margin", "--grad-out", "G.npy", "--beta-grad-out", "B.npy"]);
    assert_eq!(margin["terms"].as_f64(), Some(288.0));
    let gradient = npy::read_matrix::<f64>(&at.join("G.npy")).unwrap();
    assert_eq!((gradient.rows, gradient.cols), (48, 8));
    let through = loss(&["--loss", "margin", "--grad-out", "G2.npy", "--through-normalization"]);
    assert_eq!(through["loss"], margin["loss"]);
    // Through the normalisation nothing pulls along the row itself.
    let (rows, gradient) = (
        npy::read_matrix::<f64>(&at.join("E.npy")).unwrap(),
        npy::read_matrix::<f64>(&at.join("G2.npy")).unwrap(),
    );
    for (x, g) in rows.values.chunks_exact(8).zip(gradient.values.chunks_exact(8)) {
        assert!(x.iter().zip(g).map(|(x, g)| x * g).sum::<f64>().abs() < 1e-14);
    }
    let penalized = loss(&["--loss", "margin", "--nu", "0.5", "--penalty", "paper"]);
    let difference = penalized["loss"].as_f64().unwrap() - margin["loss"].as_f64().unwrap();
    assert!((difference - 0.5 * 1.2).abs() < 1e-12);
    for name in ["contrastive", "triplet", "triplet-l2"] {
        assert!(loss(&["--loss", name])["loss"].as_f64().unwrap() >= 0.0);
    }
    for name in ["npair", "lifted", "multi-similarity"] {
        let value = json(at, &[&["loss"], &FILES[..], &["--loss", name]].concat());
        assert!(value["loss"].as_f64().unwrap() > 0.0, "{name}");
    }
}

#[test]
fn eval_answers_with_the_promised_keys() {
    let folder = embedded();
    let answer = json(folder.path(), &[&["eval"], &FILES[..], &["--k", "1,3"]].concat());
    for key in
        ["n", "dim", "classes", "precision_at_1", "r_precision", "map_at_r", "nmi", "queries_without_match"]
    {
        assert!(answer[key].is_number(), "{key}");
    }
    assert_eq!((answer["n"].as_u64(), answer["classes"].as_u64()), (Some(48), Some(12)));
    assert!(answer["recall"]["3"].as_f64().unwrap() >= answer["recall"]["1"].as_f64().unwrap());
    let fewer = json(folder.path(), &[&["eval"], &FILES[..], &["--k", "1,3", "--no-clusters"]].concat());
    assert!(fewer["nmi"].is_null() && fewer["ami"].is_null() && fewer["map_at_r"] == answer["map_at_r"]);
    let queries = [&["eval"], &FILES[..], &["--queries", "E.npy", "--query-labels", "L.npy"]].concat();
    // A query that is in the gallery finds itself.
    assert_eq!(json(folder.path(), &queries)["recall"]["1"].as_f64(), Some(1.0));
}

#[test]
fn density_isotonic_and_doctor_answer() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    let answer = json(at, &["density", "--n", "128", "--at", "0.5,1.0", "--plot", "q.svg"]);
    assert!((answer["ln_z"].as_f64().unwrap() + 1.5012).abs() < 1e-4);
    assert!((answer["rows"][1]["ln_weight"].as_f64().unwrap() - 17.98).abs() < 0.01);
    assert!(fs::read_to_string(at.join("q.svg")).unwrap().contains("<svg"));
    fs::write(at.join("xy.csv"), "x,y\n1,1\n2,3\n3,2\n").unwrap();
    let answer = json(at, &["isotonic", "--in", "xy.csv", "--out", "f.csv"]);
    assert_eq!(answer["blocks"][1]["level"].as_f64(), Some(2.5));
    assert_eq!(fs::read_to_string(at.join("f.csv")).unwrap(), "x,y,fit\n1,1,1\n2,3,2.5\n3,2,2.5\n");
    let answer = json(at, &["doctor", "--threads", "2"]);
    assert!(answer["kernels"].as_array().unwrap().iter().all(|kernel| kernel["ok"] == true));
    let backends: Vec<_> = answer["kernels"]
        .as_array()
        .unwrap()
        .iter()
        .map(|kernel| kernel["backend"].as_str().unwrap())
        .collect();
    assert_eq!(backends.contains(&"cuda"), answer["gpu"]["present"] == true);
}

#[test]
fn wrong_usage_is_exit_code_two_and_help_has_an_example() {
    let folder = TempDir::new().unwrap();
    assert_eq!(nearfar(folder.path(), &["eval"]).status.code(), Some(2));
    assert_eq!(nearfar(folder.path(), &["train", "--loss", "hinge"]).status.code(), Some(2));
    for verb in ["train", "embed", "eval", "sample", "loss", "density", "isotonic", "doctor"] {
        let help = nearfar(folder.path(), &[verb, "--help"]);
        assert!(String::from_utf8_lossy(&help.stdout).contains("Example:"), "{verb}");
    }
}

#[test]
fn a_quadruplet_gets_its_second_negative_when_asked() {
    let folder = embedded();
    let at = folder.path();
    let sample = [&["sample"], &FILES[..], &["--sampler", "uniform", "--out", "Q.csv"]].concat();
    let loss = [&["loss"], &FILES[..], &["--triplets", "Q.csv", "--loss", "quadruplet"]].concat();
    json(at, &sample);
    assert!(failure(at, &loss).contains("sample --second"));
    json(at, &[&sample[..], &["--second"]].concat());
    let csv = fs::read_to_string(at.join("Q.csv")).unwrap();
    assert!(csv.starts_with("anchor,positive,negative,second,log_prob\n"));
    assert_eq!(json(at, &loss)["terms"].as_f64(), Some(288.0));
    let labels: Vec<i64> = (0..48).map(|i| i % 2).collect();
    npy::write(&at.join("two.npy"), &[48], &labels).unwrap();
    let two = ["sample", "--embeddings", "E.npy", "--labels", "two.npy", "--sampler", "uniform", "--second"];
    assert!(failure(at, &[&two[..], &["--out", "T.csv"]].concat()).contains("third class"));
}

#[test]
fn what_cannot_be_written_is_known_before_the_work() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    let args = ["train", "--model", "mlp", "--steps", "1", "--classes-per-batch", "4", "--out", "run"];
    json(at, &args);
    let embed = ["embed", "--run", "run", "--data", "kana", "--out", "E.npy", "--labels-out", "absent/L.npy"];
    assert!(failure(at, &embed).contains("absent/L.npy"));
    assert!(!at.join("E.npy").exists());
    // The data are not there either, but the folder is looked at first.
    assert!(failure(at, &["train", "--data", "absent", "--out", "run"]).contains("run exists already"));
}

#[cfg(unix)]
#[test]
fn a_reader_that_leaves_is_no_failure_and_a_full_disk_is_one_line() {
    use std::process::Stdio;
    let run = |stdout: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nearfar-under-test"));
        command.args(["density", "--n", "8"]).stdout(stdout).stderr(Stdio::piped()).output().unwrap()
    };
    // A pipe whose reading end is closed.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = run(writer.into());
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    if let Ok(full) = fs::OpenOptions::new().write(true).open("/dev/full") {
        let output = run(full.into());
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.lines().count() == 1 && text.contains("cannot be written to stdout"), "{text}");
    }
}

#[test]
fn the_run_file_explains_itself() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    let output = nearfar(at, &["train", "--show-config", "--recipe", "paper"]);
    assert!(output.status.success());
    fs::write(at.join("c.toml"), &output.stdout).unwrap();
    let args = ["--model", "mlp", "--steps", "1", "--classes-per-batch", "4", "--out", "run"];
    json(at, &[&["train", "--config", "c.toml"], &args[..]].concat());
    assert!(String::from_utf8(output.stdout).unwrap().contains("# beta0 at the start"));
}
