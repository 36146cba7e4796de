//! Where the program computes, on a machine as it is: CI's has no GPU. With one: tests/device.

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
    for precision in ["tf32", "bf16"] {
        let train = ["train", "--precision", precision, "--out", "run"];
        assert_eq!(
            failure(at, &[&train[..], &["--device", "cpu"]].concat()),
            format!(
                "error: --precision {precision} needs the tensor cores of a GPU, and --device cpu has none: leave one \
                 of the two out\n"
            )
        );
        if gpu["present"] == false {
            let reason = gpu["reason"].as_str().unwrap();
            assert_eq!(
                failure(at, &train),
                format!(
                    "error: --precision {precision} needs the tensor cores of a GPU, and none can be used here \
                     ({reason}): leave it out to compute on the CPU\n"
                )
            );
        }
    }
    assert!(!at.join("run").exists());
    let output = nearfar(at, &["train", "--precision", "tf16"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && text.contains("expected single, tf32 or bf16"), "{text}");
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
