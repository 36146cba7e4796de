//! Where the program computes, on a machine as it is: CI's has no GPU. With one: tests/device.

use std::fs;

use nearfar::data::npy;
use nearfar_tests::generate::{clusters, single};
use tempfile::TempDir;

use crate::cli::{embedded, failure, json, nearfar};

#[test]
fn a_device_that_is_not_there_is_one_line_and_auto_does_without() {
    let folder = embedded();
    let at = folder.path();
    let doctor = json(at, &["doctor"]);
    let gpu = &doctor["gpu"];
    assert_eq!(gpu["present"] == true, gpu["name"].is_string());
    assert_eq!(gpu["present"] == false, gpu["reason"].is_string());
    if gpu["present"] == true {
        return println!("skipped: here is a GPU; tests/device runs on it");
    }
    let error = failure(at, &["train", "--device", "cuda", "--out", "run"]);
    assert_eq!(error, format!("error: {}\n", gpu["reason"].as_str().unwrap()));
    assert!(!at.join("run").exists());
    npy::write(&at.join("S.npy"), &[48, 8], &single(&clusters(2, 12, 4, 8, 1.0).0)).unwrap();
    let eval = ["eval", "--embeddings", "S.npy", "--labels", "L.npy"];
    for device in [["--device", "auto"], ["--device", "cpu"]] {
        let output = nearfar(at, &[&eval[..], &device].concat());
        // A machine without a driver is an ordinary machine; one with a driver is told what is wrong with it.
        let note = String::from_utf8(output.stderr).unwrap();
        let expected = device[1] == "auto" && gpu["driver"].is_string();
        assert!(output.status.success() && note.lines().count() == usize::from(expected), "{note}");
    }
}

#[test]
fn tensor_cores_that_are_not_there_are_one_line_and_nothing_is_written() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    let gpu = &json(at, &["doctor"])["gpu"];
    let train = ["train", "--precision", "tf32", "--out", "run"];
    assert_eq!(
        failure(at, &[&train[..], &["--device", "cpu"]].concat()),
        "error: --precision tf32 needs the tensor cores of a GPU, and --device cpu has none: leave one of the two out\n"
    );
    if gpu["present"] == false {
        let reason = gpu["reason"].as_str().unwrap();
        assert_eq!(
            failure(at, &train),
            format!(
                "error: --precision tf32 needs the tensor cores of a GPU, and none can be used here ({reason}): leave \
                 it out to compute on the CPU\n"
            )
        );
    }
    assert!(!at.join("run").exists());
    let output = nearfar(at, &["train", "--precision", "tf16"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && text.contains("expected single, tf32 or bf16"), "{text}");
}

#[test]
fn bf16_on_the_processor_is_near_single_precision_and_the_same_bytes_for_any_threads() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    let features = &json(at, &["doctor"])["cpu"]["features"];
    let units = features.as_array().unwrap().iter().any(|feature| feature == "amx-bf16");
    let train = |out: &str, more: &[&str]| {
        let args = ["train", "--steps", "12", "--device", "cpu", "--out", out, "--json"];
        let output = nearfar(at, &[&args[..], more].concat());
        let note = String::from_utf8(output.stderr.clone()).unwrap();
        assert!(output.status.success(), "{note}");
        // Who would wait longer for it is told so.
        assert_eq!(note.contains("has no tile units"), !units && more.contains(&"bf16"), "{note}");
        let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (summary, fs::read(at.join(out).join("model.safetensors")).unwrap())
    };
    let (single, first) = train("single", &["--threads", "1"]);
    let (half, one) = train("one", &["--threads", "1", "--precision", "bf16"]);
    let (_, two) = train("two", &["--threads", "2", "--precision", "bf16"]);
    assert_eq!((&single["device"], &half["device"]), (&"cpu".into(), &"cpu bf16".into()));
    assert!(one == two && one != first);
    let recall = |summary: &serde_json::Value| summary["test"]["recall"]["1"].as_f64().unwrap();
    let apart = (recall(&single) - recall(&half)).abs();
    // 1,065 queries: a standard error of a recall is 0.015, and these two share all randomness.
    assert!(apart < 0.05, "{} and {}", recall(&single), recall(&half));
}

#[test]
fn eval_of_single_precision_is_that_of_the_same_numbers_in_double() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    // Many near ties: what single precision cannot tell apart must not fall otherwise.
    let (x, labels) = clusters(4, 40, 6, 3, 2.0);
    let mut x = single(&x);
    for i in (7..240).step_by(5) {
        x.copy_within((i - 7) * 3..(i - 6) * 3, i * 3);
        x[i * 3] = x[i * 3].next_up();
    }
    let labels: Vec<i64> = labels.into_iter().map(i64::from).collect();
    npy::write(&at.join("L.npy"), &[240], &labels).unwrap();
    npy::write(&at.join("single.npy"), &[240, 3], &x).unwrap();
    let double: Vec<f64> = x.iter().map(|&v| v.into()).collect();
    npy::write(&at.join("double.npy"), &[240, 3], &double).unwrap();
    let eval = |file| json(at, &["eval", "--embeddings", file, "--labels", "L.npy", "--device", "cpu"]);
    let (single, double) = (eval("single.npy"), eval("double.npy"));
    for key in ["recall", "precision_at_1", "r_precision", "map_at_r", "queries_without_match"] {
        assert_eq!(single[key], double[key], "{key}");
    }
    let error = failure(at, &["eval", "--embeddings", "double.npy", "--labels", "L.npy", "--device", "cuda"]);
    assert!(error.contains("single precision") && error.contains("--device cuda"), "{error}");
}
