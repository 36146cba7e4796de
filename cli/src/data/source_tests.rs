//! Tests of what is found where: names, pairs, parts; and the real sets, where they are.

use super::super::bytes::tests::fold;
use super::super::idx::tests::{idx_i16, idx_u8};
use super::*;
use crate::args::Part;
use crate::config::{Config, DataConfig};
use crate::data;
use crate::recipe::Recipe;

fn folder(files: &[(&str, Vec<u8>)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    folder
}

fn whole(path: &Path) -> Samples {
    match read(path, &Reading::default()).unwrap() {
        Found::Whole(samples) => samples,
        Found::Parts(_) => panic!("it has no parts"),
    }
}

fn parts(path: &Path) -> Parts {
    match read(path, &Reading::default()).unwrap() {
        Found::Parts(parts) => *parts,
        Found::Whole(_) => panic!("it has parts"),
    }
}

fn error(path: &Path) -> String {
    let error = format!("{:#}", read(path, &Reading::default()).unwrap_err());
    assert!(!error.contains('\n'), "{error}");
    error
}

#[test]
fn names_say_what_files_are() {
    let of = |name: &str| Piece::of(Path::new(name)).map(|piece| (piece.role, piece.format, piece.holds));
    for (name, expected) in [
        ("background-images-28x28-idx3-ubyte.gz", (Role::Train, Format::Idx, Holds::Inputs)),
        ("evaluation-labels-idx1-short.gz", (Role::Test, Format::Idx, Holds::Labels)),
        ("background-alphabets-idx1-ubyte.gz", (Role::Train, Format::Idx, Holds::Groups)),
        ("t10k-images-idx3-ubyte", (Role::Test, Format::Idx, Holds::Inputs)),
        ("val_labels.npy", (Role::Validation, Format::Npy, Holds::Labels)),
        ("Embeddings.npy", (Role::Whole, Format::Npy, Holds::Inputs)),
        ("train.npz", (Role::Train, Format::Npz, Holds::Everything)),
        ("letter.csv.gz", (Role::Whole, Format::Csv, Holds::Everything)),
        ("test.safetensors", (Role::Test, Format::Safetensors, Holds::Everything)),
    ] {
        assert_eq!(of(name), Some(expected), "{name}");
    }
    for name in [
        "background-drawers-idx1-ubyte.gz",
        "LICENSE",
        "a.npy",
        "x.txt",
        "",
        "..",
        "background-images-105x105-bitpacked-idx2-ubyte.gz",
    ] {
        assert_eq!(of(name), None, "{name}");
    }
}

#[test]
fn idx_files_make_parts_with_groups() {
    let set = folder(&[
        ("background-images-2x1-idx3-ubyte.gz", fold(&idx_u8(&[2, 2, 1], &[1, 2, 3, 4]))),
        ("background-labels-idx1-short.gz", fold(&idx_i16(&[300, 301]))),
        ("background-alphabets-idx1-ubyte.gz", fold(&idx_u8(&[2], &[7, 9]))),
        ("background-drawers-idx1-ubyte.gz", fold(b"never read")),
        ("evaluation-images-2x1-idx3-ubyte", idx_u8(&[1, 2, 1], &[5, 6])),
        ("evaluation-labels-idx1-short", idx_i16(&[500])),
        ("LICENSE", b"text".to_vec()),
    ]);
    let Parts { train, validation, test, .. } = parts(set.path());
    assert_eq!((train.shape, train.values()), ([2, 1, 1], &[1.0, 2.0, 3.0, 4.0][..]));
    assert_eq!((train.original, train.groups), (vec![300, 301], Some(vec![0, 1])));
    assert!(validation.is_none());
    assert_eq!((test.original, test.groups), (vec![500], None));
    // One of its files is that part alone.
    let part = whole(&set.path().join("evaluation-images-2x1-idx3-ubyte"));
    assert_eq!(part.values(), [5.0, 6.0]);
}

#[test]
fn named_classes_get_one_numbering_over_all_parts() {
    let set = folder(&[
        ("train.csv", b"1,d\n2,b\n".to_vec()),
        ("val.csv", b"3,c\n".to_vec()),
        ("test.csv", b"4,a\n".to_vec()),
    ]);
    let Parts { train, validation, test, .. } = parts(set.path());
    assert_eq!(
        (&train.original[..], &train.labels[..], train.values()),
        (&[3, 1][..], &[1, 0][..], &[1.0, 2.0][..])
    );
    assert_eq!(train.classes, ["b", "d"]);
    assert_eq!((validation.unwrap().original, test.original), (vec![2], vec![0]));
    let all = data::load_all(set.path().to_str().unwrap(), Part::All).unwrap();
    assert_eq!(
        (all.original, all.classes),
        (vec![3, 1, 2, 0], ["b", "d", "c", "a"].map(String::from).to_vec())
    );
    assert_eq!(all.labels, [1, 0, 2, 3]);
}

#[test]
fn class_folders_may_lie_in_parts() {
    let image = |value| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image::GrayImage::from_pixel(1, 1, image::Luma([value]))
            .write_to(&mut bytes, image::ImageFormat::Png)
            .unwrap();
        bytes.into_inner()
    };
    let set =
        folder(&[("train/b/0.png", image(1)), ("test/a/0.png", image(2)), ("README.md", b"text".to_vec())]);
    let Parts { train, test, .. } = parts(set.path());
    assert_eq!((train.values(), &train.original[..]), (&[1.0][..], &[1][..]));
    assert_eq!((test.values(), &test.classes[..]), (&[2.0][..], &["a".to_owned()][..]));
    assert_eq!(whole(&set.path().join("train")).classes, ["b"]);
}

#[test]
fn counts_that_differ_are_both_given_with_the_files() {
    let set = folder(&[("images.npy", Vec::new()), ("labels.npy", Vec::new())]);
    npy::write(&set.path().join("images.npy"), &[3, 1], &[1.0_f32, 2.0, 3.0]).unwrap();
    npy::write(&set.path().join("labels.npy"), &[2], &[1_i64, 2]).unwrap();
    let error = error(set.path());
    assert!(error.contains("images.npy with") && error.contains("3 samples but 2 labels"), "{error}");
}

#[test]
fn what_does_not_fit_together_is_named() {
    let same = folder(&[("train.csv", b"1,0\n".to_vec()), ("test.csv", b"1,0\n".to_vec())]);
    assert!(error(same.path()).contains("class 0 is in two parts"));
    let shapes = folder(&[("train.csv", b"1,0\n".to_vec()), ("test.csv", b"1,2,1\n".to_vec())]);
    assert!(error(shapes.path()).contains("[1, 1, 1], of another [1, 1, 2]"));
    let halves = folder(&[("train.csv", b"1,0\n".to_vec()), ("val.csv", b"1,1\n".to_vec())]);
    assert!(error(halves.path()).contains("not both train and test"));
    let stray = folder(&[("train.csv", b"1,0\n".to_vec()), ("more.csv", b"1,1\n".to_vec())]);
    assert!(error(stray.path()).contains("more.csv belongs to no part"));
    let twice = folder(&[("a.csv", b"1,0\n".to_vec()), ("b.csv", b"1,1\n".to_vec())]);
    assert!(error(twice.path()).contains("a.csv and"));
    let alone = folder(&[("images.npy", Vec::new()), ("notes.txt", Vec::new())]);
    assert!(error(alone.path()).contains("no labels beside"));
    assert!(error(&alone.path().join("notes.txt")).contains("does not say what it holds"));
    assert!(error(&alone.path().join("gone")).contains("cannot read"));
    let labels = folder(&[("labels.npy", Vec::new())]);
    assert!(error(labels.path()).contains("labels without inputs"));
    assert!(error(&labels.path().join("labels.npy")).contains("holds no inputs"));
    assert!(error(folder(&[]).path()).contains("holds no data"));
    assert!(error(folder(&[("x.csv", Vec::new())]).path()).contains("x.csv is empty"));
}

#[test]
fn sizes_of_inputs_are_taken_by_their_number() {
    let shape = |sizes: &[usize]| {
        let count: usize = sizes.iter().product();
        samples(sizes, vec![0.0; count], vec![0; sizes[0]], None).map(|samples| samples.shape)
    };
    assert_eq!(shape(&[2, 5]).unwrap(), [1, 1, 5]);
    assert_eq!(shape(&[2, 5, 6]).unwrap(), [5, 6, 1]);
    assert_eq!(shape(&[2, 5, 6, 3]).unwrap(), [5, 6, 3]);
    assert!(shape(&[2, 3, 5, 6]).unwrap_err().to_string().contains("channels come last"));
    assert!(shape(&[2]).is_err());
    assert!(shape(&[2, 1, 1, 1, 1]).is_err());
}

#[test]
fn parts_that_a_set_lacks_are_errors() {
    let set = folder(&[("set.csv", b"1,0\n2,0\n".to_vec())]);
    let path = set.path().join("set.csv");
    let load = |part| data::load_all(path.to_str().unwrap(), part);
    assert_eq!(load(Part::Test).unwrap(), load(Part::All).unwrap());
    assert!(load(Part::Train).unwrap_err().to_string().contains("no train part"));
    assert!(data::load_all("kana", Part::Validation).is_err());
    assert_eq!(data::load_all("kana", Part::All).unwrap().classes.len(), 142);
    assert_eq!(name(&path), "set");
}

#[test]
fn the_shared_sets_are_read_whole() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    if !shared.is_dir() {
        eprintln!("skipped: ../shared/data absent");
        return;
    }
    let config = DataConfig { validation: 0.1, ..Config::recipe(Recipe::Best).data };
    let load = |name: &str| data::load(shared.join(name).to_str().unwrap(), &config).unwrap();
    let classes =
        |set: &data::DataSet| [&set.train, &set.validation, &set.test].map(|part| part.classes.len());
    let counts = |set: &data::DataSet| [&set.train, &set.validation, &set.test].map(Samples::count);

    let omniglot = load("omniglot");
    assert_eq!((omniglot.name.as_str(), omniglot.train.shape), ("omniglot", [28, 28, 1]));
    assert_eq!(omniglot.train.count() + omniglot.validation.count(), 19_280);
    assert_eq!((omniglot.test.classes.len(), omniglot.test.count()), (659, 13_180));
    let alphabets: BTreeSet<u32> = omniglot.validation.groups.iter().flatten().copied().collect();
    assert_eq!(alphabets.len(), 3);
    assert!(omniglot.train.groups.iter().flatten().all(|group| !alphabets.contains(group)));

    let kanji = load("kanji-fonts");
    assert_eq!((classes(&kanji), counts(&kanji)), ([800, 200, 500], [16_000, 4_000, 10_000]));
    let letter = load("letter/letter.csv.gz");
    assert_eq!((letter.name.as_str(), classes(&letter)), ("letter", [13, 0, 13]));
    assert_eq!(letter.train.shape, [1, 1, 16]);
    assert_eq!(classes(&load("fashion-mnist")), [5, 0, 5]);
    let digits = load("digits-8x8");
    assert_eq!(digits.train.count() + digits.test.count(), 1_797);
}
