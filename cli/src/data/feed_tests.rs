//! Tests of batches made in the background: the same bytes whatever is ahead, errors, and early ends.

use std::time::{Duration, Instant};

use image::{Rgb, RgbImage};
use nearfar_core::SmallClass;

use super::*;
use crate::config::{AugmentConfig, Config, DataConfig};
use crate::data::{self, DataSet, Geometry, Reading};
use crate::recipe::Recipe;
use crate::write::replace_file;

/// Five classes of four coloured pictures of different sizes.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for class in 0..5_u32 {
        let name = folder.path().join(format!("class-{class}"));
        std::fs::create_dir(&name).unwrap();
        for i in 0..4_u32 {
            let (width, height) = (14 + 3 * i, 20 + class);
            let pixel = |x, y| Rgb([(x * 9) as u8, (y * 7 + class * 31) as u8, (i * 40) as u8]);
            RgbImage::from_fn(width, height, pixel).save(name.join(format!("{i}.png"))).unwrap();
        }
    }
    folder
}

const GEOMETRY: Geometry = Geometry { resize: 12, crop: 9, mirror: true, boxes: false };

fn load(folder: &tempfile::TempDir, workers: usize, memory: u64) -> DataSet {
    let config = DataConfig { test: 0.4, validation: 0.0, ..Config::recipe(Recipe::Best).data };
    let reading = Reading { geometry: GEOMETRY, workers, memory };
    data::load_as(folder.path().to_str().unwrap(), &config, &reading).unwrap()
}

fn maker(samples: &Samples) -> Maker {
    Maker {
        samples: samples.clone(),
        composer: Composer::new(&samples.labels, 2, 3, SmallClass::Take, 5).unwrap(),
        alike: 1,
        order: None,
        augmentation: Augmentation::new(&Config::recipe(Recipe::Best).augment, samples.shape).unwrap(),
        mirror: true,
        normalization: Normalization::fit(samples).unwrap(),
        seed: 5,
    }
}

#[test]
fn bytes_depend_neither_on_threads_nor_on_memory() {
    let folder = folder();
    let batches = |workers, memory| {
        let set = load(&folder, workers, memory);
        assert_eq!(set.train.values().is_empty(), memory == 0);
        assert_eq!((set.train.shape, set.train.frame()), ([9, 9, 3], [12, 12, 3]));
        let mut feed = Feed::new(maker(&set.train));
        let batches: Vec<Batch> = (0..7).map(|step| feed.batch(step, 7).unwrap()).collect();
        let shown: Vec<Vec<f32>> =
            (0..set.test.count()).map(|index| set.test.sample(index).unwrap().into_owned()).collect();
        (batches, shown, feed.maker().normalization.clone())
    };
    let expected = batches(1, u64::MAX);
    assert_ne!(expected.0[0].inputs, expected.0[1].inputs);
    for (workers, memory) in [(1, 0), (2, u64::MAX), (2, 0), (5, 0)] {
        assert!(batches(workers, memory) == expected, "{workers} workers, {memory} bytes");
    }
}

#[test]
fn a_feed_may_jump_and_goes_on_from_there() {
    let folder = folder();
    let set = load(&folder, 3, 0);
    let mut feed = Feed::new(maker(&set.train));
    for (step, end) in [(0, 9), (1, 9), (7, 9), (8, 9), (3, 9), (20, 9), (21, 9)] {
        assert_eq!(feed.batch(step, end).unwrap(), feed.maker().batch(step).unwrap(), "{step}");
    }
}

#[test]
fn a_consumer_that_stops_early_is_not_waited_for() {
    let folder = folder();
    let set = load(&folder, 2, 0);
    let start = Instant::now();
    for steps in 0..4 {
        let mut feed = Feed::new(maker(&set.train));
        for step in 0..steps {
            feed.batch(step, u32::MAX).unwrap();
        }
    }
    // What is in the making takes milliseconds; a thread that waited for ever would hang the test.
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_picture_that_breaks_meanwhile_is_named() {
    let folder = folder();
    for workers in [1, 3] {
        let set = load(&folder, workers, 0);
        let mut feed = Feed::new(maker(&set.train));
        feed.batch(0, 99).unwrap();
        let pictures = set.train.pictures().unwrap();
        let paths: Vec<_> = (0..set.train.count()).map(|index| pictures.path(index).to_owned()).collect();
        let kept: Vec<_> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
        // As a whole: the thread behind the feed may be reading, and half of a change is another error.
        for path in &paths {
            replace_file(path, b"broken").unwrap();
        }
        let error = (1..9).find_map(|step| feed.batch(step, 99).err()).unwrap();
        let error = format!("{error:#}");
        assert!(error.contains(".png: not an image") && !error.contains('\n'), "{error}");
        for (path, kept) in paths.iter().zip(kept) {
            replace_file(path, &kept).unwrap();
        }
        // An error does not end the feed: what is whole again is read again.
        assert_eq!(feed.batch(2, 99).unwrap(), feed.maker().batch(2).unwrap());
    }
}

#[test]
fn without_a_size_pictures_of_different_sizes_are_refused_with_advice() {
    let folder = folder();
    let config = Config::recipe(Recipe::Best).data;
    let error = data::load(folder.path().to_str().unwrap(), &config).unwrap_err();
    assert!(format!("{error:#}").contains("--resize 256 --crop 227 --mirror"), "{error:#}");
    let reading = Reading { geometry: Geometry { resize: 8, crop: 9, ..GEOMETRY }, ..Reading::default() };
    let error = data::load_as(folder.path().to_str().unwrap(), &config, &reading).unwrap_err();
    assert!(format!("{error:#}").contains("data.crop is 9, but pictures are 8 x 8"), "{error:#}");
    let error = data::load_as("kana", &config, &reading).unwrap_err();
    assert!(error.to_string().contains("no set of pictures in files"), "{error:#}");
}

#[test]
fn a_group_of_classes_is_turned_alike_and_follows_the_order_given() {
    let labels: Vec<i64> = (0..12).flat_map(|class| [class; 3]).collect();
    let samples = Samples::new([3, 3, 1], (0..36 * 9).map(|value| value as f32).collect(), labels).unwrap();
    let mut maker = maker(&samples);
    let augment = AugmentConfig { symmetry: 0.7, ..Config::recipe(Recipe::Best).augment };
    maker.augmentation = Augmentation::new(&augment, samples.shape).unwrap();
    maker.composer = Composer::new(&samples.labels, 6, 3, SmallClass::Take, 5).unwrap();
    (maker.alike, maker.mirror) = (3, false);
    let mut feed = Feed::new(maker);
    let turns = |batch: &Batch| -> Vec<u32> { batch.shown.iter().map(|shown| shown % 8).collect() };
    let mut between = 0;
    for step in 0..20 {
        let order: Vec<u32> = (0..12).map(|at| (at * 5 + step) % 12).collect();
        feed.follow(order.clone());
        let batch = feed.batch(step, 99).unwrap();
        let place = step as usize % 2 * 6;
        let wanted: Vec<u32> = order[place..place + 6].iter().flat_map(|&class| [class; 3]).collect();
        assert_eq!(batch.labels, wanted);
        assert!(batch.shown.iter().zip(&wanted).all(|(shown, class)| shown / 8 == *class));
        let turns = turns(&batch);
        assert!(turns.chunks(9).all(|group| group.iter().all(|turn| *turn == group[0])), "{turns:?}");
        between += usize::from(turns[0] != turns[9]);
    }
    // Two groups are turned alike with chance 0.3² + 2 x 0.3 x 0.7 / 8 + 0.7² / 8 = 0.2; all of 20: never.
    assert!(between > 0);
}
