//! The program with `--device cuda`.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use nearfar::data::npy;
use nearfar_tests::folder::{assert_same, content};
use nearfar_tests::generate::clusters;
use serde_json::Value;
use tempfile::TempDir;

use crate::device;

/// A run of seconds on a simulator, by the best recipe: expected gradients, the dimension and the exact boundary found
/// from the data.
const TINY: &str = "
[data]
validation = 0.25
[model]
kind = \"cnn\"
dim = 8
channels = [4, 8]
[batch]
classes = 4
per_class = 3
[train]
steps = 12
every = 4
";

fn nearfar(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nearfar-under-test")).args(args).current_dir(folder).output().unwrap()
}

fn json(folder: &Path, args: &[&str]) -> Value {
    let output = nearfar(folder, &[args, &["--json"]].concat());
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Sixteen classes of six images of 8 x 8, as files that a run can read, and the run file.
fn prepared() -> TempDir {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    let (x, labels) = clusters(8, 16, 6, 64, 0.8);
    let images: Vec<f32> = x.iter().map(|&v| (128.0 + 300.0 * v) as f32).collect();
    let labels: Vec<i64> = labels.into_iter().map(i64::from).collect();
    fs::create_dir(at.join("set")).unwrap();
    npy::write(&at.join("set/images.npy"), &[96, 8, 8], &images).unwrap();
    npy::write(&at.join("set/labels.npy"), &[96], &labels).unwrap();
    fs::write(at.join("c.toml"), TINY).unwrap();
    folder
}

fn looks(run: &Path) -> Vec<Value> {
    let lines = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Whether both are near in all of `keys`, relative to the size of what is wanted.
fn assert_near(got: &Value, wanted: &Value, keys: &[&str], tolerance: f64) {
    for key in keys {
        let (g, w) = (got[key].as_f64().unwrap(), wanted[key].as_f64().unwrap());
        assert!((g - w).abs() <= tolerance * w.abs(), "{key}: {g}, on the CPU {w}");
    }
}

#[test]
fn a_run_on_the_device_is_that_of_the_cpu_and_repeats_to_the_byte() {
    let Some(cuda) = device() else { return };
    let folder = prepared();
    let at = folder.path();
    let train = |out: &str, device: &str| {
        json(at, &["train", "--data", "set", "--config", "c.toml", "--out", out, "--device", device])
    };
    let (cpu, gpu) = (train("cpu", "cpu"), train("gpu", "cuda"));
    assert_eq!((cpu["device"].as_str(), gpu["device"].as_str()), (Some("cpu"), Some(cuda.name())));
    train("again", "cuda:0");
    let run = content(&at.join("gpu"));
    assert!(run.contains_key("model.safetensors") && run.contains_key("report.html"));
    assert_same(&at.join("gpu"), &at.join("again"));

    // As in steps.rs; here the boundary and the dimension follow the embeddings, which adds their rounding.
    let (wanted, got) = (looks(&at.join("cpu")), looks(&at.join("gpu")));
    assert_eq!((got.len(), wanted.len()), (3, 3));
    for (got, wanted) in got.iter().zip(&wanted) {
        println!("loss {}, on the device {}", wanted["loss"], got["loss"]);
        assert_eq!((&got["step"], &got["rate"]), (&wanted["step"], &wanted["rate"]));
        let keys = ["loss", "beta", "dimension", "effective_negatives", "positive_distance"];
        assert_near(got, wanted, &keys, 1e-4);
    }
    assert!(wanted[0]["loss"] != wanted[2]["loss"]);
    // Of 48 samples of unseen classes one may find another neighbour, at a near tie.
    for (key, sample) in [("map_at_r", 0.02), ("r_precision", 0.02)] {
        let (g, w) = (gpu["test"][key].as_f64().unwrap(), cpu["test"][key].as_f64().unwrap());
        assert!((g - w).abs() <= sample, "{key}: {g}, on the CPU {w}");
    }
    let recall = |answer: &Value| answer["test"]["recall"]["1"].as_f64().unwrap();
    assert!((recall(&gpu) - recall(&cpu)).abs() < 1.5 / 48.0, "{} and {}", recall(&gpu), recall(&cpu));
    assert_eq!(gpu["baselines"]["raw"], cpu["baselines"]["raw"]);

    // The same model embeds on both.
    for device in ["cpu", "cuda"] {
        let out = format!("{device}.npy");
        let args = ["embed", "--run", "gpu", "--data", "set", "--out", &out, "--labels-out", "L.npy"];
        json(at, &[&args[..], &["--device", device]].concat());
    }
    let read = |name: &str| npy::read_matrix::<f32>(&at.join(name)).unwrap().values;
    let (got, wanted) = (read("cuda.npy"), read("cpu.npy"));
    assert!(got.iter().zip(&wanted).all(|(g, w)| (g - w).abs() < 1e-5), "embeddings differ");

    // Quality of a file of f32 is counted alike, wherever the search ran.
    let eval = |device: &str| {
        json(at, &["eval", "--embeddings", "cpu.npy", "--labels", "L.npy", "--device", device])
    };
    let (got, wanted) = (eval("cuda"), eval("cpu"));
    assert_eq!(got["device"].as_str(), Some(cuda.name()));
    for key in ["recall", "map_at_r", "r_precision"] {
        assert_eq!(got[key], wanted[key], "{key}");
    }
}

#[test]
fn a_run_on_tensor_cores_says_so_repeats_to_the_byte_and_stays_near_single_precision() {
    let Some(cuda) = device() else { return };
    let folder = prepared();
    let at = folder.path();
    let train = |out: &str, precision: &str| {
        let args = ["train", "--data", "set", "--config", "c.toml", "--steps", "3", "--every", "1"];
        json(at, &[&args[..], &["--out", out, "--device", "cuda", "--precision", precision]].concat())
    };
    // The loss is a mean over active terms, and jumps where one of them enters with next to nothing. Their sum does
    // not.
    let sums = |out: &str| {
        let mut looks = looks(&at.join(out));
        for look in &mut looks {
            look["sum"] = (look["loss"].as_f64().unwrap() * look["active"].as_f64().unwrap()).into();
        }
        looks
    };
    assert_eq!(train("single", "single")["device"].as_str(), Some(cuda.name()));
    let wanted = sums("single");
    // A few roundings of 2^-11 or 2^-8 on the way to an embedding, and Adam's sign where a gradient is all rounding.
    // Seen on the simulator: sums and distances 2e-4 and 1e-3 away, embeddings 3e-4 and 2e-3.
    for (precision, look_most, embedding_least, embedding_most) in
        [("tf32", 2e-3, 1e-5, 3e-3), ("bf16", 1e-2, 1e-4, 2e-2)]
    {
        let said = format!("{} {precision}", cuda.name());
        assert_eq!(train(precision, precision)["device"], said);
        let again = format!("{precision}-again");
        train(&again, precision);
        assert_same(&at.join(precision), &at.join(again));
        let got = sums(precision);
        assert_eq!((got.len(), wanted.len()), (3, 3));
        for (got, wanted) in got.iter().zip(&wanted) {
            println!("sum {}, in {precision} {}", wanted["sum"], got["sum"]);
            assert_ne!(got["loss"], wanted["loss"]);
            assert_near(got, wanted, &["sum", "positive_distance"], look_most);
        }

        let embed = |by: &str| {
            let args = ["embed", "--run", precision, "--data", "set", "--out", "e.npy", "--device", "cuda"];
            let answer = json(at, &[&args[..], &["--precision", by]].concat());
            (answer["device"].clone(), npy::read_matrix::<f32>(&at.join("e.npy")).unwrap().values)
        };
        let ((single, wanted), (device, got)) = (embed("single"), embed(precision));
        assert_eq!((single, device), (cuda.name().into(), said.into()));
        let apart = got.iter().zip(&wanted).fold(0.0_f32, |apart, (g, w)| apart.max((g - w).abs()));
        println!("embeddings in {precision} {apart} away");
        assert!(embedding_least < apart && apart < embedding_most, "{precision}: {apart}");
    }
}

#[test]
fn doctor_checks_every_kernel_of_the_device() {
    let Some(cuda) = device() else { return };
    let folder = TempDir::new().unwrap();
    let answer = json(folder.path(), &["doctor"]);
    assert_eq!(answer["gpu"]["present"], true);
    assert_eq!(answer["gpu"]["name"].as_str(), Some(cuda.device()));
    assert!(answer["gpu"]["driver"].as_str().unwrap().starts_with("CUDA "));
    let rows = answer["kernels"].as_array().unwrap();
    let of = |backend: &str| rows.iter().filter(|row| row["backend"] == backend).collect::<Vec<_>>();
    assert_eq!(of("cuda").len(), of("fast").len());
    assert!(of("cuda").len() > 20 && rows.iter().all(|row| row["ok"] == true));
    let text = String::from_utf8(nearfar(folder.path(), &["doctor"]).stdout).unwrap();
    assert!(text.contains(&format!("gpu       {}, {}; CUDA", cuda.name(), cuda.device())), "{text}");
}

#[test]
fn auto_takes_the_device_and_what_is_not_there_is_one_line() {
    let Some(cuda) = device() else { return };
    let folder = prepared();
    let at = folder.path();
    let args = ["train", "--data", "set", "--config", "c.toml", "--steps", "1", "--every", "1"];
    assert_eq!(json(at, &[&args[..], &["--out", "auto"]].concat())["device"].as_str(), Some(cuda.name()));
    let output = nearfar(at, &[&args[..], &["--out", "none", "--device", "cuda:77"]].concat());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && text.lines().count() == 1, "{text}");
    assert!(text.starts_with("error: no GPU with number 77") && !at.join("none").exists(), "{text}");
}
