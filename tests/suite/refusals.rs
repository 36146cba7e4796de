//! What the program refuses, each with one clear line and nothing left behind.

use std::fs;
use std::path::Path;

use nearfar::data::npy;
use nearfar_tests::generate::clusters;
use tempfile::TempDir;

use crate::cli::{FILES, embedded, failure, json, nearfar};

#[test]
fn bad_embeddings_are_named_with_file_and_row() {
    let folder = embedded();
    let at = folder.path();
    let (x, _) = clusters(2, 12, 4, 8, 1.0);
    let write = |name: &str, change: &dyn Fn(&mut Vec<f64>)| {
        let mut bad = x.clone();
        change(&mut bad);
        npy::write(&at.join(name), &[48, 8], &bad).unwrap();
    };
    write("nan.npy", &|x| x[17 * 8 + 3] = f64::NAN);
    write("zero.npy", &|x| x[17 * 8..18 * 8].fill(0.0));
    write("long.npy", &|x| x[17 * 8..18 * 8].iter_mut().for_each(|v| *v *= 2.0));
    npy::write(&at.join("few.npy"), &[47], &[1_i64; 47]).unwrap();
    npy::write(&at.join("fraction.npy"), &[48], &[1.5_f64; 48]).unwrap();
    fs::write(at.join("empty.npy"), "").unwrap();
    let sample = |embeddings: &str, extra: &[&str]| {
        let args = [
            "sample",
            "--embeddings",
            embeddings,
            "--labels",
            "L.npy",
            "--sampler",
            "uniform",
            "--out",
            "T.csv",
        ];
        let text = failure(at, &[&args, extra].concat());
        assert!(!at.join("T.csv").exists(), "something was written");
        text
    };
    let error = sample("nan.npy", &[]);
    assert!(error.contains("nan.npy") && error.contains("row 17"), "{error}");
    for extra in [&[][..], &["--normalize"]] {
        let error = sample("zero.npy", extra);
        assert!(error.contains("zero.npy") && error.contains("row 17"), "{error}");
    }
    let error = sample("long.npy", &[]);
    assert!(error.contains("row 17 has length 2") && error.contains("--normalize"), "{error}");
    assert!(sample("empty.npy", &[]).contains("empty"));
    assert!(sample("absent.npy", &[]).contains("absent.npy"));
    let eval = |labels: &str| failure(at, &["eval", "--embeddings", "E.npy", "--labels", labels]);
    let error = eval("few.npy");
    assert!(error.contains("47 labels") && error.contains("48 embeddings"), "{error}");
    assert!(eval("fraction.npy").contains("fraction.npy"));

    // Truncated and lying files.
    let whole = fs::read(at.join("E.npy")).unwrap();
    for length in [5, 30, whole.len() - 1] {
        fs::write(at.join("cut.npy"), &whole[..length]).unwrap();
        assert!(sample("cut.npy", &[]).contains("cut.npy"));
    }
    let lying = String::from_utf8_lossy(&whole[..128]).replace("(48, 8", "(99999999999, 99999999");
    fs::write(
        at.join("lie.npy"),
        [&whole[..10], &lying.as_bytes()[lying.len() - 118..], &whole[128..]].concat(),
    )
    .unwrap();
    assert!(sample("lie.npy", &[]).contains("lie.npy"));
}

#[test]
fn bad_tuples_are_named_with_their_line() {
    let folder = embedded();
    let at = folder.path();
    let loss = |csv: &str| {
        fs::write(at.join("T.csv"), csv).unwrap();
        failure(at, &[&["loss"], &FILES[..], &["--triplets", "T.csv", "--loss", "margin"]].concat())
    };
    for (csv, part) in [
        ("anchor,positive,negative\n0,1,4\n0,1,99\n", "line 3: there is no sample 99"),
        ("anchor,positive,negative\n0,0,4\n", "0 is no positive of 0"),
        ("anchor,positive,negative\n0,1,2\n", "2 is no negative of 0"),
        ("anchor,positive,negative\n0,x,2\n", "line 2"),
        ("anchor,positive\n0,1\n", "line 2"),
        ("anchor,positive,negative\n", "no tuples"),
    ] {
        let error = loss(csv);
        assert!(error.contains("T.csv") && error.contains(part), "{error}");
    }
}

/// A zip archive of one member that is not compressed.
fn stored_zip(name: &str, content: &[u8]) -> Vec<u8> {
    let crc = {
        let mut crc = flate2::Crc::new();
        crc.update(content);
        crc.sum()
    };
    let (size, length) = ((content.len() as u32).to_le_bytes(), (name.len() as u16).to_le_bytes());
    // Version 2.0, no flags, stored, no time; then checksum, both sizes, name's length, no extra field.
    let common =
        [&[20, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &crc.to_le_bytes(), &size, &size, &length, &[0, 0]].concat();
    let local = [&b"PK\x03\x04"[..], &common, name.as_bytes(), content].concat();
    let central = [&b"PK\x01\x02\x14\x00"[..], &common, &[0; 14], name.as_bytes()].concat();
    let place = (local.len() as u32).to_le_bytes();
    let central_size = (central.len() as u32).to_le_bytes();
    let end = [&b"PK\x05\x06\0\0\0\0\x01\x00\x01\x00"[..], &central_size, &place, &[0, 0]].concat();
    [local, central, end].concat()
}

#[test]
fn bad_training_data_leave_nothing_behind() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    let train = |data: &str| {
        let error = failure(at, &["train", "--data", data, "--steps", "1", "--out", "run"]);
        assert!(!at.join("run").exists(), "{data}: a run folder is left");
        error
    };
    let rows = |labels: &[&str]| -> String {
        labels.iter().enumerate().map(|(i, label)| format!("{i},1.5,{label}\n")).collect()
    };
    fs::write(at.join("one.csv"), rows(&["a"; 8])).unwrap();
    fs::write(at.join("singles.csv"), rows(&["a", "b", "c", "d", "e", "f"])).unwrap();
    fs::write(at.join("nan.csv"), rows(&["a"; 17]) + "NaN,1,b\n").unwrap();
    fs::write(at.join("empty.csv"), "").unwrap();
    fs::write(
        at.join("images-idx3-ubyte"),
        [0, 0, 8, 3, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 28, 0, 0, 0, 28, 1],
    )
    .unwrap();
    fs::write(at.join("labels-idx1-ubyte"), [0, 0, 8, 1, 0, 0, 0, 1, 1]).unwrap();
    fs::create_dir_all(at.join("pictures/a")).unwrap();
    fs::write(at.join("pictures/a/x.png"), "this is text").unwrap();
    fs::write(at.join("broken.npz"), "PK\u{3}\u{4}nothing").unwrap();
    // A whole archive whose member claims a million images and holds none.
    let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000, 28, 28), }";
    let mut member = b"\x93NUMPY\x01\x00".to_vec();
    member.extend((header.len() as u16 + 1).to_le_bytes());
    member.extend(format!("{header}\n").bytes());
    fs::write(at.join("lying.npz"), stored_zip("images.npy", &member)).unwrap();
    fs::write(at.join("broken.csv.gz"), [0x1f, 0x8b, 8, 0, 1, 2]).unwrap();
    for (data, part) in [
        ("one.csv", "class"),
        ("singles.csv", "one sample"),
        ("nan.csv", "NaN"),
        ("empty.csv", "empty"),
        ("images-idx3-ubyte", "images-idx3-ubyte"),
        ("pictures", "x.png"),
        ("broken.npz", "broken.npz"),
        ("lying.npz", "lying.npz"),
        ("broken.csv.gz", "broken.csv.gz"),
        ("absent", "absent"),
    ] {
        let error = train(data);
        assert!(error.contains(part), "{data}: {error}");
    }
}

#[test]
fn bad_configurations_name_all_their_mistakes() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    let train = |toml: &str| {
        fs::write(at.join("c.toml"), toml).unwrap();
        failure(at, &["train", "--config", "c.toml", "--out", "run"])
    };
    let error = train("[loss]\nalpha = -1\n[optimizer]\nrate = 0\n");
    assert!(error.contains("alpha") && error.contains("optimizer.rate"), "{error}");
    assert!(train("[loss]\nalfa = 1\n").contains("c.toml, line 2: loss.alfa is not known"));
    // Unknown keys, wrong types and ranges, each with its place, in one error.
    let error = train(
        "[loss]\nalpha = -1\nalfa = 2\nnu = \"much\"\n[sampler]\nkind = \"dws\"\nnear = 3\nfar = -1\n[bach]\nclasses = 3\n",
    );
    for part in [
        "has 7 mistakes",
        "line 3: loss.alfa is not known",
        "line 4: loss.nu: ",
        "line 6: sampler.kind: unknown variant `dws`",
        "line 9: bach is not known",
        "loss.alpha = -1",
        "sampler.near = 3",
        "sampler.far = -1",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(train("not toml at all").contains("c.toml"));
    assert!(!at.join("run").exists());
    // One hidden unit, dead for some sample: the network has no embedding of it, and the line says what to do.
    let error = train("model = { kind = \"mlp\", hidden = [1], dim = 2 }");
    assert!(error.contains("too narrow") && !at.join("run").exists(), "{error}");
    let error = failure(at, &["train", "--out", "c.toml/run"]);
    assert!(error.contains("c.toml/run"), "{error}");
}

#[test]
fn a_model_of_another_kind_is_refused() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    for (name, content) in [("empty.safetensors", &b""[..]), ("text.safetensors", b"hello, this is no model")]
    {
        fs::write(at.join(name), content).unwrap();
        let error = failure(at, &["embed", "--run", name, "--data", "kana", "--out", "E.npy"]);
        assert!(error.contains(name), "{error}");
        assert!(!at.join("E.npy").exists());
    }
}

/// Wrong usage: exit code 2, and what the message holds.
fn wrong(folder: &Path, args: &[&str], part: &str) {
    let output = nearfar(folder, args);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {text}");
    assert!(text.contains(part), "{args:?}: {text}");
}

#[test]
fn numbers_that_make_no_sense_are_wrong_usage() {
    let folder = embedded();
    let at = folder.path();
    let sample = [&["sample"], &FILES[..], &["--out", "T.csv", "--sampler", "semihard-band"]].concat();
    let loss = [&["loss"], &FILES[..], &["--loss", "margin", "--triplets", "T.csv"]].concat();
    for (verb, option) in [
        (&sample, "--alpha"),
        (&sample, "--near"),
        (&sample, "--far"),
        (&sample, "--dimension"),
        (&loss, "--alpha"),
        (&loss, "--beta"),
        (&loss, "--nu"),
        (&loss, "--scale"),
        (&vec!["train"], "--alpha"),
        (&vec!["train"], "--near"),
        (&vec!["train"], "--far"),
        (&vec!["train"], "--nu"),
        (&vec!["train"], "--epochs"),
        (&vec!["train"], "--rate"),
        (&vec!["train"], "--validation"),
        (&vec!["density"], "--n"),
        (&vec!["density", "--n", "8"], "--near"),
        (&vec!["density", "--n", "8"], "--at"),
        (&vec!["isotonic", "--in", "a", "--out", "b"], "--quantile"),
    ] {
        for bad in ["NaN", "-1", "inf"] {
            wrong(at, &[&verb[..], &[option, bad]].concat(), ": expected ");
        }
    }
    wrong(at, &["train", "--steps", "0"], "0 is not in 1..");
    wrong(at, &[&sample[..], &["--draws", "4000000000"]].concat(), "is not in 1..");
    let sampler = |name| [&["sample"], &FILES[..], &["--out", "T.csv", "--sampler", name]].concat();
    wrong(at, &sampler("expected"), "draws nothing");
    wrong(at, &sampler("all"), "draws nothing");
    assert!(!at.join("T.csv").exists());
}

#[test]
fn sets_without_near_or_far_are_errors() {
    let folder = embedded();
    let at = folder.path();
    npy::write(&at.join("one.npy"), &[48], &[7_i64; 48]).unwrap();
    npy::write(&at.join("singles.npy"), &[48], &(0..48_i64).collect::<Vec<_>>()).unwrap();
    let (mut x, _) = clusters(2, 12, 4, 8, 1.0);
    x[17 * 8..18 * 8].fill(0.0);
    npy::write(&at.join("zero.npy"), &[48, 8], &x).unwrap();
    let verbs: [&[&str]; 3] =
        [&["eval"], &["sample", "--sampler", "uniform", "--out", "T.csv"], &["loss", "--loss", "npair"]];
    for verb in verbs {
        let fails = |embeddings: &str, labels: &str| {
            failure(at, &[verb, &["--embeddings", embeddings, "--labels", labels]].concat())
        };
        let error = fails("E.npy", "one.npy");
        assert!(error.contains("one.npy have one label, 7"), "{error}");
        let error = fails("E.npy", "singles.npy");
        assert!(error.contains("every class of singles.npy has one sample"), "{error}");
        let error = fails("zero.npy", "L.npy");
        assert!(error.contains("zero.npy") && error.contains("row 17"), "{error}");
    }
    // Queries without a match are left out, but not all of them.
    npy::write(&at.join("Q.npy"), &[2, 8], &x[..16]).unwrap();
    npy::write(&at.join("half.npy"), &[2], &[-5_i64, 999]).unwrap();
    npy::write(&at.join("none.npy"), &[2], &[998_i64, 999]).unwrap();
    let eval = [&["eval"], &FILES[..], &["--queries", "Q.npy", "--query-labels"]].concat();
    assert_eq!(json(at, &[&eval[..], &["half.npy"]].concat())["queries_without_match"], 1);
    assert!(failure(at, &[&eval[..], &["none.npy"]].concat()).contains("no query has"));
    let zeros = [&["eval"], &FILES[..], &["--queries", "zero.npy", "--query-labels", "L.npy"]].concat();
    assert!(failure(at, &zeros).contains("row 17 of zero.npy"));
}

#[test]
fn options_without_effect_are_errors() {
    let folder = embedded();
    let at = folder.path();
    for (loss, option) in
        [("npair", "--alpha"), ("lifted", "--nu"), ("multi-similarity", "--beta"), ("npair", "--alpha2")]
    {
        let error = failure(at, &[&["loss"], &FILES[..], &["--loss", loss, option, "0.1"]].concat());
        assert!(error.contains(&format!("{option} would have no effect with --loss {loss}")), "{error}");
    }
    let train = |args: &[&str]| failure(at, &[&["train", "--out", "run"], args].concat());
    assert!(train(&["--loss", "triplet", "--nu", "0.1"]).contains("--nu would have no effect"));
    assert!(
        train(&["--sampler", "uniform", "--far", "1.2", "--near", "0.4"]).contains("--far, --near would")
    );
    assert!(train(&["--boundary", "fixed", "--beta-rate", "0.1"]).contains("--beta-rate would"));
    for loss in ["npair", "lifted", "multi-similarity"] {
        let error = train(&["--loss", loss, "--sampler", "hard"]);
        assert!(
            error.contains(&format!("{loss} takes all pairs of the batch: its sampler is all, not hard")),
            "{error}"
        );
    }
    assert!(!at.join("run").exists());
}

#[test]
fn instructions_that_the_machine_lacks_are_an_error() {
    let folder = TempDir::new().unwrap();
    // No machine has both.
    let other = if cfg!(target_arch = "aarch64") { "avx2" } else { "neon" };
    let error = failure(folder.path(), &["bench", "--instructions", other]);
    assert!(error.contains("this machine has no") && error.contains("leave --instructions out"), "{error}");
}
