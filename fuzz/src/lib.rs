//! Laws that hold for every input. Each takes bytes, makes of them what it needs, and panics where its law is broken.

mod layouts;

use std::fs;
use std::path::Path;

use nearfar::args::Part;
use nearfar::calibration::Calibration;
use nearfar::data::pairs::{read_pairs, read_trials};
use nearfar::data::{load_all, npy};
use nearfar::model::ModelFile;
use nearfar::plan;
use nearfar::{config::Config, recipe::Recipe};
use nearfar_core::isotonic::{Direction, Isotonic, Options};
use nearfar_core::metric::verify::{Crossing, Judged, KFold, Roc};
use nearfar_core::{Cap, Density, EmptyRow, FarCut, Key, Row, Sampler, Stream, Weighting};

/// A law by its name.
pub type Law = (&'static str, fn(&[u8]));

/// All laws.
pub const LAWS: [Law; 10] = [
    ("density", density),
    ("draw", draw),
    ("isotonic", isotonic),
    ("readers", readers),
    ("config", config),
    ("model", model),
    ("pairs", pairs),
    ("verify", verify),
    ("layouts", layouts::layouts),
    ("pictures", layouts::pictures),
];

/// Bytes taken one after the other; 0 when they are used up.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    /// Any number, NaN and infinity among them.
    fn any(&mut self) -> f64 {
        f64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// Within 0 and 1, both ends among them.
    fn share(&mut self) -> f64 {
        f64::from(u16::from_le_bytes([self.byte(), self.byte()])) / 65535.0
    }
}

/// A density exists exactly for finite n >= 2; its distribution function rises from 0 to 1, and the quantile leads
/// back to where it came from.
pub fn density(data: &[u8]) {
    let mut bytes = Bytes(data);
    let n = if bytes.byte() < 128 { bytes.any() } else { 2.0 + 3000.0 * bytes.share() * bytes.share() };
    let law = Density::new(n);
    assert_eq!(law.is_ok(), n >= 2.0 && n.is_finite());
    let Ok(law) = law else { return };
    if n > 1e5 {
        return; // the continued fraction is stated for less
    }
    let (a, b) = (2.0 * bytes.share(), 2.0 * bytes.share());
    let (low, high) = (law.cdf(a.min(b)), law.cdf(a.max(b)));
    assert!((0.0..=1.0 + 1e-12).contains(&low) && low <= high + 1e-12, "n = {n}: cdf {low} {high}");
    assert!(!law.ln_q(a).is_nan() && law.ln_q(a) < f64::INFINITY || n < 3.0);
    let p = bytes.share();
    assert!((law.cdf(law.quantile(p)) - p).abs() < 1e-9, "n = {n}, p = {p}");
    let any = bytes.any();
    assert!(law.quantile(any).is_nan() != (0.0..=1.0).contains(&any));
}

/// Weights are within 0 and 1 and never those of a positive or of the anchor; every draw is a candidate, with a
/// log-probability of at most 0; the same row drawn again gives the same.
pub fn draw(data: &[u8]) {
    let mut bytes = Bytes(data);
    let n = 2.0 + 2500.0 * bytes.share() * bytes.share();
    let near = 0.01 + 1.9 * bytes.share();
    let far = match bytes.byte() % 3 {
        0 => FarCut::None,
        1 => FarCut::At((0.1 + 2.0 * bytes.share()) as f32),
        _ => FarCut::Active { margin: bytes.share() as f32 },
    };
    let empty = [EmptyRow::Skip, EmptyRow::Nearest, EmptyRow::Uniform][bytes.byte() as usize % 3];
    let beta = 2.0 * bytes.share() as f32;
    let (mut labels, mut distances) = (Vec::new(), Vec::new());
    while !bytes.0.is_empty() && labels.len() < 300 {
        labels.push(u32::from(bytes.byte() % 5));
        distances.push(2.0 * bytes.share() as f32);
    }
    if labels.is_empty() {
        return;
    }
    let anchor = labels.len() / 2;
    let row = Row { anchor, anchors: labels.len(), labels: &labels, distances: &distances, beta };
    let weighting = Weighting::new(n, Cap::Near(near as f32), far, empty).expect("the numbers are in range");
    let mut weights = vec![0.0; labels.len()];
    let sums = weighting.row(&row, &mut weights);
    for (j, weight) in weights.iter().enumerate() {
        assert!((0.0..=1.0).contains(weight), "weight {weight}");
        assert!(*weight == 0.0 || labels[j] != labels[anchor]);
    }
    assert!(sums.candidates == 0 || sums.total >= 0.999, "{sums:?}");
    let sampler = Sampler::DistanceWeighted(weighting);
    let once = || {
        let mut drawn = Vec::new();
        let key = Key::new(1, Stream::Negatives, 0);
        let report =
            sampler.draw_row(&row, None, key, &mut vec![0.0; labels.len()], &mut |draw| drawn.push(draw));
        (drawn, report)
    };
    let (drawn, report) = once();
    assert_eq!(report.triplets, drawn.len() as u64);
    for draw in &drawn {
        assert_ne!(labels[draw.triplet.negative as usize], labels[anchor]);
        assert!(draw.log_prob <= 1e-6 && draw.log_prob.is_finite(), "{draw:?}");
    }
    assert_eq!(once(), (drawn, report));
}

/// A fit that exists never falls, keeps the weighted mean, and fitted again stays; one that does not says why.
pub fn isotonic(data: &[u8]) {
    let mut bytes = Bytes(data);
    let wild = bytes.byte() < 32;
    let (mut x, mut y, mut w) = (Vec::new(), Vec::new(), Vec::new());
    while !bytes.0.is_empty() && x.len() < 200 {
        if wild {
            x.push(bytes.any());
            y.push(bytes.any());
            w.push(bytes.any());
        } else {
            x.push(f64::from(bytes.byte() % 32));
            y.push(bytes.share());
            w.push(f64::from(bytes.byte() % 4));
        }
    }
    let fit = Isotonic::fit(&x, &y, Some(&w), Options::default());
    let valid = |v: &[f64]| v.iter().all(|v| v.is_finite());
    let good =
        valid(&x) && valid(&y) && valid(&w) && w.iter().all(|&w| w >= 0.0) && w.iter().any(|&w| w > 0.0);
    assert_eq!(fit.is_ok(), good);
    let Ok(curve) = fit else { return };
    if wild {
        return; // sums of numbers near the largest overflow; the laws below are those of ordinary ones
    }
    assert!(curve.blocks().windows(2).all(|pair| pair[0].level < pair[1].level && pair[0].to < pair[1].from));
    let moved: f64 = (0..x.len()).map(|i| w[i] * (y[i] - curve.fitted()[i])).sum();
    assert!(moved.abs() < 1e-9, "the mean moved by {moved}");
    let again = Isotonic::fit(&x, curve.fitted(), Some(&w), Options::default()).expect("the same points");
    for (a, b) in again.fitted().iter().zip(curve.fitted()) {
        assert!((a - b).abs() < 1e-12);
    }
    let options = Options { direction: Direction::Decreasing, ..Options::default() };
    let mirrored: Vec<f64> = y.iter().map(|y| -y).collect();
    let down = Isotonic::fit(&x, &mirrored, Some(&w), options).expect("the same points");
    for (a, b) in down.fitted().iter().zip(curve.fitted()) {
        assert!((a + b).abs() < 1e-12);
    }
}

/// A reader gives samples that fit together, or one error; it does not panic, and takes no memory for what is not
/// there. The first byte chooses the format, the rest is the file.
pub fn readers(data: &[u8]) {
    let Some((&kind, content)) = data.split_first() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write =
        |name: &str, content: &[u8]| fs::write(folder.path().join(name), content).expect("a small file");
    let labels = [0, 0, 8, 1, 0, 0, 0, 2, 3, 4];
    let name = match kind % 7 {
        0 => {
            write("x-labels-idx1-ubyte", &labels);
            "x-images-idx3-ubyte"
        }
        1 => "x.npy",
        2 => "x.npz",
        3 => "x.csv",
        4 => "x.safetensors",
        5 => {
            write("x-labels-idx1-ubyte", content);
            write("x-images-idx3-ubyte", &[0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 9]);
            ""
        }
        _ => {
            let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut packed, content).expect("memory is written");
            write("x.csv.gz", &packed.finish().expect("memory is written"));
            ""
        }
    };
    if !name.is_empty() {
        write(name, content);
    }
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    if kind % 7 == 1 {
        if let Ok(matrix) = npy::read_matrix::<f64>(Path::new(&path(name))) {
            assert_eq!(matrix.values.len(), matrix.rows * matrix.cols);
            assert!(matrix.values.iter().all(|v| v.is_finite()));
        }
        let _ = npy::read_labels(Path::new(&path(name)));
        return;
    }
    let source = match kind % 7 {
        5 => path("x-images-idx3-ubyte"),
        6 => path("x.csv.gz"),
        _ => path(name),
    };
    if let Ok(samples) = load_all(&source, Part::All) {
        assert_eq!(samples.values().len(), samples.count() * samples.size());
        assert!(samples.values().iter().all(|v| v.is_finite()));
        assert!(samples.labels.iter().all(|&label| (label as usize) < samples.classes.len()));
    }
}

/// A configuration that is read survives its own text; one that passes the check makes an objective.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(config) = Config::recipe(Recipe::Best).overlay(text) else { return };
    if plan::check(&config).is_ok() {
        assert_eq!(Config::recipe(Recipe::Paper).overlay(&config.to_toml()).expect("its own text"), config);
        plan::objective::<f32>(&config.loss, &config.sampler, config.model.dim).expect("it was checked");
    }
}

/// A model file that is read makes a network, or says why not.
pub fn model(data: &[u8]) {
    if let Ok(file) = ModelFile::decode(data) {
        let _ = file.network(&nearfar_core::kernel::scalar::Reference, 1, false);
    }
}

/// Samples that the files of [`pairs`] speak of.
const SAMPLES: usize = 20;

/// Pairs, trials and calibrations that are read hold what they promise: samples that are there, answers for every
/// pair, a right candidate, a probability that never rises. The first byte chooses the format, the rest is the file.
pub fn pairs(data: &[u8]) {
    let Some((&kind, content)) = data.split_first() else { return };
    let within = |i: u32| assert!((i as usize) < SAMPLES, "sample {i}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("x.tsv");
    fs::write(&path, content).expect("a small file");
    match kind % 4 {
        known @ (0 | 1) => {
            let Ok(pairs) = read_pairs(&path, SAMPLES, known == 1) else { return };
            assert!(!pairs.is_empty());
            for pair in pairs {
                within(pair.i);
                within(pair.j);
                assert!(pair.i != pair.j && pair.known.is_some() == (known == 1), "{pair:?}");
            }
        }
        2 => {
            let Ok(trials) = read_trials(&path, SAMPLES) else { return };
            for trial in &trials {
                within(trial.test);
                trial.candidates.iter().copied().for_each(within);
                assert!(trial.right < trial.candidates.len() && trial.candidates.len() >= 2, "{trial:?}");
                assert_eq!(trial.candidates.len(), trials[0].candidates.len());
            }
        }
        _ => {
            let Ok(calibration) = Calibration::load(&path) else { return };
            let p: Vec<f64> = (0..40).map(|i| calibration.p_same(f64::from(i) * 0.05)).collect();
            assert!(
                p.iter().all(|p| (0.0..=1.0).contains(p)) && p.windows(2).all(|w| w[0] >= w[1] - 1e-12),
                "{p:?}"
            );
            calibration.save(&path).expect("a small file");
            assert_eq!(Calibration::load(&path).expect("its own file"), calibration);
        }
    }
}

/// Every pair set has a curve or says why not; rates lie within 0 and 1, the hull is no worse than the points, and a
/// threshold keeps the false accept rate that it was chosen for.
pub fn verify(data: &[u8]) {
    let mut bytes = Bytes(data);
    let wild = bytes.byte() < 32;
    let wanted = bytes.share();
    let (mut pairs, mut folds) = (Vec::new(), Vec::new());
    while !bytes.0.is_empty() && pairs.len() < 200 {
        let distance = if wild { bytes.any() } else { f64::from(bytes.byte() % 32) / 16.0 };
        let flags = bytes.byte();
        pairs.push(Judged { distance, same: flags & 1 == 1 });
        folds.push(u32::from(flags >> 5));
    }
    let both = [true, false].iter().all(|kind| pairs.iter().any(|pair| pair.same == *kind));
    let roc = Roc::of(&pairs);
    assert_eq!(roc.is_ok(), both && pairs.iter().all(|pair| pair.distance.is_finite()));
    let Ok(roc) = roc else { return };
    let (eer, hull) = (roc.eer(Crossing::Points), roc.eer(Crossing::Hull));
    assert!((0.0..=1.0).contains(&roc.auc()) && 0.0 <= hull && hull <= eer + 1e-12 && eer <= 1.0);
    let strict = roc.at_far(wanted).expect("a share");
    assert!(strict.far <= wanted && roc.at_threshold(strict.threshold) == strict, "{strict:?}");
    let best = roc.best();
    assert!(best.accuracy >= strict.accuracy && best.accuracy >= 0.5, "{best:?}");
    if let Ok(cross) = KFold::of(&pairs, &folds) {
        assert!((0.0..=1.0).contains(&cross.mean) && cross.stderr >= 0.0 && cross.folds.len() > 1);
    }
}
