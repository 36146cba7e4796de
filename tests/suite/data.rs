//! Data from outside: sets of pictures as they are published, and features of any backbone.

use std::fs;
use std::path::Path;

use nearfar::data::npy;
use nearfar_tests::generate::clusters;
use tempfile::TempDir;

use crate::cli::{json, nearfar};

/// What a short run needs: few steps of a small network.
const SHORT: &str = "[model]\nchannels = [4, 8]\nhidden = [32]\ndim = 8\n[train]\nsteps = 30\nevery = 15\n\
                     [batch]\nclasses = 4\nper_class = 3\n";

fn picture(path: &Path, [width, height]: [u32; 2], class: u32, i: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let pixel = |x, y| image::Rgb([(class * 37 + x) as u8, (y * 5 + i * 11) as u8, (class * 71 + i) as u8]);
    image::RgbImage::from_fn(width, height, pixel).save(path).unwrap();
}

/// In-Shop: four items to learn from, three to test on, their pictures of different sizes.
fn clothes() -> TempDir {
    let folder = TempDir::new().unwrap();
    let mut lines = Vec::new();
    for item in 0..7_u32 {
        for i in 0..4_u32 {
            let name = format!("img/MEN/Denim/id_{item:08}/{i:02}_front.jpg");
            picture(&folder.path().join("Img").join(&name), [20 + 2 * i, 30], item, i);
            let status = ["gallery", "query"][usize::from(i == 0)];
            lines.push(format!("{name} id_{item:08} {}", if item < 4 { "train" } else { status }));
        }
    }
    fs::create_dir(folder.path().join("Eval")).unwrap();
    let list = format!("{}\nimage_name item_id evaluation_status\n{}\n", lines.len(), lines.join("\n"));
    fs::write(folder.path().join("Eval/list_eval_partition.txt"), list).unwrap();
    fs::write(folder.path().join("short.toml"), SHORT).unwrap();
    folder
}

#[test]
fn clothes_train_to_the_same_bytes_with_any_threads_and_queries_meet_the_gallery() {
    let folder = clothes();
    let at = folder.path();
    let run = |threads: &str| {
        let out = format!("run-{threads}");
        let args = ["train", "--data", ".", "--config", "short.toml", "--threads", threads, "--out", &out];
        json(at, &[&args[..], &["--resize", "16", "--crop", "12", "--mirror"]].concat())
    };
    let (one, three) = (run("1"), run("3"));
    assert_eq!(one["test"], three["test"]);
    assert_eq!(
        fs::read(at.join("run-1/model.safetensors")).unwrap(),
        fs::read(at.join("run-3/model.safetensors")).unwrap()
    );
    // The test part is the gallery; what `eval` finds for the queries in it is what `train` has said.
    for (part, count) in [("query", 3), ("test", 9), ("all", 28)] {
        let (out, labels) = (format!("{part}.npy"), format!("{part}-labels.npy"));
        let args = ["embed", "--run", "run-1", "--data", ".", "--part", part, "--out", &out];
        assert_eq!(json(at, &[&args[..], &["--labels-out", &labels]].concat())["n"], count, "{part}");
    }
    let gallery = ["--embeddings", "test.npy", "--labels", "test-labels.npy"];
    let queries = ["--queries", "query.npy", "--query-labels", "query-labels.npy"];
    let found = json(at, &[&["eval"], &gallery[..], &queries].concat());
    let (ours, theirs) = (&one["test"]["recall"]["1"], &found["recall"]["1"]);
    assert!((ours.as_f64().unwrap() - theirs.as_f64().unwrap()).abs() < 1e-12, "{ours} {theirs}");
    assert!((one["test"]["map_at_r"].as_f64().unwrap() - found["map_at_r"].as_f64().unwrap()).abs() < 1e-9);
}

#[test]
fn a_picture_that_breaks_off_stops_the_run_with_its_name() {
    let folder = clothes();
    let broken = folder.path().join("Img/img/MEN/Denim/id_00000005/02_front.jpg");
    let whole = fs::read(&broken).unwrap();
    fs::write(&broken, &whole[..whole.len() - 30]).unwrap();
    let output = nearfar(folder.path(), &["train", "--data", ".", "--config", "short.toml", "--out", "run"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), text.lines().count()), (Some(1), 1), "{text}");
    assert!(text.contains("id_00000005/02_front.jpg: not an image: it breaks off"), "{text}");
    assert!(!folder.path().join("run").exists());
}

#[test]
fn cars_as_another_program_writes_their_annotations_are_read() {
    // Written by scipy: see tests/vectors/cars.py.
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    let annotations = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/cars_annos.mat");
    fs::copy(annotations, at.join("cars_annos.mat")).unwrap();
    for i in 1..=8 {
        picture(&at.join(format!("car_ims/{i:06}.jpg")), [16, 12], i, i);
    }
    let config = nearfar::config::Config::recipe(nearfar::recipe::Recipe::Best).data;
    let set = nearfar::data::load(at.to_str().unwrap(), &config).unwrap();
    assert_eq!((set.train.count(), set.test.count()), (4, 4));
    assert_eq!(set.train.classes, ["AM General Hummer SUV 2000", "Car 98"]);
    assert_eq!((set.test.classes[1].as_str(), set.test.original[3]), ("smart fortwo Convertible 2012", 196));
}

#[test]
fn faces_give_pairs_for_verification() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    for (person, name) in (0..).zip(["Abel_Pacheco", "Zico", "Dean_Barker", "Ai_Sugiyama"]) {
        for i in 1..=3 {
            picture(&at.join(format!("faces/lfw/{name}/{name}_{i:04}.jpg")), [25, 25], person, i);
        }
    }
    let pairs = "1\nZico\t1\t3\nZico\t2\tDean_Barker\t1\n";
    fs::write(at.join("faces/pairsDevTest.txt"), pairs).unwrap();
    fs::write(at.join("short.toml"), SHORT).unwrap();
    let train = ["train", "--data", "faces", "--config", "short.toml", "--out", "run", "--resize", "12"];
    json(at, &train);
    let embed = ["embed", "--run", "run", "--data", "faces", "--part", "all", "--out", "E.npy"];
    let pairs = ["--lfw-pairs", "faces/pairsDevTest.txt", "--pairs-tsv", "P.tsv", "--labels-out", "L.npy"];
    json(at, &[&embed[..], &pairs].concat());
    let text = fs::read_to_string(at.join("P.tsv")).unwrap();
    let rows: Vec<Vec<usize>> = text
        .lines()
        .skip(1)
        .map(|line| line.split('\t').map(|field| field.parse().unwrap()).collect())
        .collect();
    let labels = npy::read_labels(&at.join("L.npy")).unwrap();
    assert_eq!((text.lines().next(), rows.len()), (Some("fold\ti\tj\tsame"), 2));
    for row in rows {
        assert_eq!((row[0], usize::from(labels[row[1]] == labels[row[2]])), (0, row[3]));
    }
    // One option without the other is wrong usage.
    assert_eq!(nearfar(at, &[&embed[..], &["--pairs-tsv", "P.tsv"]].concat()).status.code(), Some(2));
}

/// Features of a backbone, in halves: classes in eight dimensions, beside as many that say nothing, but loudly.
fn features(at: &Path) {
    let (x, labels) = clusters(3, 40, 12, 8, 0.5);
    let (noise, _) = clusters(9, 480, 1, 8, 0.0);
    let rows = x.chunks_exact(8).zip(noise.chunks_exact(8));
    let values: Vec<f64> =
        rows.flat_map(|(x, noise)| x.iter().copied().chain(noise.iter().map(|n| 3.0 * n))).collect();
    let half = |value: f64| {
        // Cut to ten bits of fraction; what is smaller than 2^-14 is 0.
        let bits = (value as f32).to_bits();
        let exponent = (bits >> 23 & 255) as i32 - 112;
        let sign = (bits >> 16 & 0x8000) as u16;
        if exponent < 1 { sign } else { sign | (exponent as u16) << 10 | (bits >> 13 & 0x3FF) as u16 }
    };
    let head = "{'descr': '<f2', 'fortran_order': False, 'shape': (480, 16), }";
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((head.len() as u16 + 1).to_le_bytes());
    file.extend(head.as_bytes());
    file.push(b'\n');
    file.extend(values.iter().flat_map(|&value| half(value).to_le_bytes()));
    fs::write(at.join("features.npy"), file).unwrap();
    let labels: Vec<i64> = labels.into_iter().map(i64::from).collect();
    npy::write(&at.join("labels.npy"), &[480], &labels).unwrap();
    npy::write(&at.join("features-64.npy"), &[480, 16], &values).unwrap();
}

#[test]
fn features_of_a_backbone_train_a_head_that_finds_unseen_classes_better() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    features(at);
    let train = |extra: &[&str]| {
        let args = ["train", "--data", "features.npy", "--steps", "120", "--dim", "16", "--validation", "0"];
        json(at, &[&args[..], extra].concat())
    };
    let head = train(&["--model", "mlp", "--out", "head"]);
    let recall = |scores: &serde_json::Value| scores["recall"]["1"].as_f64().unwrap();
    let (trained, raw) = (recall(&head["test"]), recall(&head["baselines"]["raw"]));
    assert!(trained > raw + 0.3, "trained {trained}, raw {raw}");
    // Vectors get the mlp unasked.
    let unasked = train(&["--out", "unasked"]);
    assert_eq!((&unasked["test"], &unasked["baselines"]), (&head["test"], &head["baselines"]));
    // Other features of the same size go through it, in any precision.
    let embed =
        ["embed", "--run", "head", "--data", "features-64.npy", "--out", "E.npy", "--labels-out", "L.npy"];
    assert_eq!(json(at, &embed)["dim"], 16);
    assert_eq!(json(at, &["eval", "--embeddings", "E.npy", "--labels", "L.npy"])["n"], 480);
}
