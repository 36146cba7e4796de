//! Laws of sets of pictures: whatever their lists and their files say, they are read whole or refused in one line.

use std::fs;
use std::path::Path;

use anyhow::Result;
use nearfar::args::Part;
use nearfar::data::{Geometry, Reading, Samples, lfw, load_all_as};
use tempfile::TempDir;

/// Eight pictures, in folders as every known set has them, and the set's own lists.
struct Set(TempDir);

impl Set {
    fn new() -> Self {
        let set = Self(tempfile::tempdir().expect("a temporary folder"));
        // A black and a white pixel.
        let picture = b"P5 2 1 255\n\x00\xFF";
        for class in ["a", "b", "c", "d"] {
            set.put(&format!("images/{class}/{class}_0001.pgm"), picture);
            set.put(&format!("images/{class}/{class}_0002.pgm"), picture);
        }
        set
    }

    fn put(&self, name: &str, content: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a name below the folder")).expect("a temporary folder");
        fs::write(path, content).expect("a small file");
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    /// Reads all that is at a path, decoding on demand, and holds the outcome to the law.
    fn load(&self, path: &Path, boxes: bool) -> Option<Samples> {
        let geometry = Geometry { resize: 3, crop: 2, mirror: false, boxes };
        let reading = Reading { geometry, workers: 1, memory: 0 };
        let samples = whole_or_one_line(load_all_as(path.to_str()?, Part::All, &reading))?;
        let pictures = samples.pictures().expect("every set here is of pictures");
        assert_eq!(samples.original.len(), samples.count());
        for index in 0..samples.count() {
            assert!(pictures.path(index).starts_with(self.0.path()), "{}", pictures.path(index).display());
            assert!((samples.labels[index] as usize) < samples.classes.len());
            if let Some(shown) = whole_or_one_line(samples.sample(index)) {
                assert_eq!(shown.len(), samples.size());
                assert!(shown.iter().all(|v| (0.0..=255.0).contains(v)));
            }
        }
        Some(samples)
    }
}

/// The outcome, or nothing where there was one line of error.
fn whole_or_one_line<V>(outcome: Result<V>) -> Option<V> {
    outcome.map_err(|error| assert!(!format!("{error:#}").contains('\n'), "{error:#}")).ok()
}

/// A list of a known set gives samples that fit together and lie below its folder, or one line of error. The first
/// byte chooses the list, the rest is its content.
pub fn layouts(data: &[u8]) {
    let Some((&kind, content)) = data.split_first() else { return };
    let set = Set::new();
    let root = set.0.path();
    match kind % 9 {
        0..=3 => {
            set.put("images.txt", b"1 a/a_0001.pgm\n2 a/a_0002.pgm\n3 b/b_0001.pgm\n4 b/b_0002.pgm\n");
            set.put("image_class_labels.txt", b"1 1\n2 1\n3 101\n4 101\n");
            set.put("classes.txt", b"1 a\n101 b\n");
            set.put("bounding_boxes.txt", b"1 0 0 1 1\n2 0 0 1 1\n3 0 0 1 1\n4 0 0 1 1\n");
            let lists = ["images.txt", "image_class_labels.txt", "classes.txt", "bounding_boxes.txt"];
            set.put(lists[usize::from(kind % 9)], content);
            set.load(root, kind % 9 == 3);
        }
        4 => {
            set.put("cars_annos.mat", content);
            set.load(root, true);
            set.load(root, false);
        }
        5 => {
            let head = "image_id class_id super_class_id path\n";
            set.put("Ebay_test.txt", format!("{head}9 9 1 images/d/d_0001.pgm\n").as_bytes());
            set.put("Ebay_train.txt", content);
            set.load(root, false);
        }
        6 => {
            fs::rename(set.path("images"), set.path("img")).expect("a temporary folder");
            set.put("list_eval_partition.txt", content);
            set.load(root, false);
        }
        7 => {
            fs::rename(set.path("images"), set.path("lfw")).expect("a temporary folder");
            set.put("peopleDevTrain.txt", b"2\na 2\nb 2\n");
            set.put("peopleDevTest.txt", content);
            set.load(root, false);
            // The same as pairs.
            fs::remove_file(set.path("peopleDevTrain.txt")).expect("it was there");
            let samples = set.load(root, false).expect("folders of people");
            let pairs = whole_or_one_line(lfw::pairs(&set.path("peopleDevTest.txt"), &samples));
            for pair in pairs.unwrap_or_default() {
                assert!(pair.i < samples.count() && pair.j < samples.count());
                let [one, other] = [pair.i, pair.j].map(|index| samples.labels[index]);
                assert!(!pair.same || one == other);
            }
        }
        _ => {
            // A list of one's own may lead anywhere; here it may not even start.
            let reading = Reading { memory: 0, workers: 1, ..Reading::default() };
            set.put("images/list.csv", content);
            let list = set.path("images/list.csv");
            if let Some(path) = list.to_str() {
                whole_or_one_line(load_all_as(path, Part::All, &reading));
            }
        }
    }
}

/// A picture is decoded to the size that was asked for, or refused in one line; never more memory than its limit. The
/// bytes are the file, whatever format they say.
pub fn pictures(data: &[u8]) {
    let set = Set::new();
    set.put("images/a/a_0003.pgm", data);
    set.load(&set.path("images"), false);
    // As it is: all others are of one size.
    let reading = Reading { workers: 1, ..Reading::default() };
    if let Some(path) = set.path("images").to_str()
        && let Some(samples) = whole_or_one_line(load_all_as(path, Part::All, &reading))
    {
        assert_eq!(samples.shape[..2], [1, 2]);
        assert_eq!(samples.values().len(), samples.count() * samples.size());
    }
}
