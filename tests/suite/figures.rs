//! The figures: their curves against closed forms by other means, the same bytes twice, what is refused.

use std::fs;
use std::path::Path;

use nearfar_tests::folder::{assert_same, content};
use serde_json::Value;
use statrs::distribution::{Beta, Continuous};
use tempfile::TempDir;

use crate::cli::{failure, json, nearfar};

/// A line of a csv: panel, curve, the point, and its standard error.
struct Point {
    panel: String,
    curve: String,
    x: f64,
    y: f64,
    error: Option<f64>,
}

/// No panel or curve of the figures that these tests read has a comma in its name.
fn points(folder: &Path, name: &str) -> Vec<Point> {
    let text = fs::read_to_string(folder.join(name).with_extension("csv")).unwrap();
    let number = |text: &str| text.parse::<f64>().unwrap();
    text.lines()
        .skip(1)
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            Point {
                panel: cells[0].into(),
                curve: cells[1].into(),
                x: number(cells[2]),
                y: number(cells[3]),
                error: cells.get(4).filter(|cell| !cell.is_empty()).map(|cell| number(cell)),
            }
        })
        .collect()
}

/// The points of one curve.
fn curve(points: &[Point], panel: &str, curve: &str) -> Vec<(f64, f64)> {
    let found: Vec<_> = points
        .iter()
        .filter(|p| p.panel.starts_with(panel) && p.curve == curve)
        .map(|p| (p.x, p.y))
        .collect();
    assert!(!found.is_empty(), "{panel}, {curve} is not there");
    found
}

fn at(curve: &[(f64, f64)], x: f64) -> f64 {
    curve.iter().find(|p| (p.0 - x).abs() < 1e-9).unwrap_or_else(|| panic!("no point at {x}")).1
}

#[test]
fn curves_agree_with_closed_forms_and_the_bytes_are_those_of_the_seed() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    let answer = json(here, &["figures", "--out", "one"]);
    let names: Vec<String> = content(&here.join("one")).into_keys().collect();
    let figures = ["density", "gradient-noise", "losses", "samplers"];
    let mut wanted: Vec<String> =
        figures.iter().flat_map(|name| [format!("{name}.csv"), format!("{name}.svg")]).collect();
    wanted.push("index.html".into());
    wanted.sort();
    assert_eq!(names, wanted);
    assert_eq!(answer["files"].as_array().unwrap().len(), 9);
    assert!(answer["left_out"][0].as_str().unwrap().contains("--run"), "{answer}");
    let output = nearfar(here, &["figures", "--out", "two", "--threads", "1"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.ends_with("convergence and negatives are left out: they are of runs, named by --run\n"));
    assert_same(&here.join("one"), &here.join("two"));
    json(here, &["figures", "--out", "three", "--seed", "1"]);
    let (one, three) = (content(&here.join("one")), content(&here.join("three")));
    for (name, drawn) in [("density.csv", false), ("losses.csv", false), ("gradient-noise.csv", true)] {
        assert_eq!(one[name] != three[name], drawn, "{name}");
    }

    densities_are_beta_laws(&points(&here.join("one"), "density"));
    noise_is_what_the_specification_says(&points(&here.join("one"), "gradient-noise"));
    weighted_draws_are_even(&points(&here.join("one"), "samplers"));
    let losses = points(&here.join("one"), "losses");
    let margin = curve(&losses, "margin", "negative pair");
    assert!((at(&margin, 0.5) - 0.9).abs() < 1e-12 && at(&margin, 1.41) == 0.0);
    let contrastive = curve(&losses, "contrastive", "negative pair: derivative");
    assert!((at(&contrastive, 0.25) + 1.5).abs() < 1e-12);
}

/// By statrs: `t = d²/4` is Beta((n-1)/2, (n-1)/2), so `q(d) = pdf(t) d/2`; and the area is 1.
fn densities_are_beta_laws(points: &[Point]) {
    for n in [4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0] {
        let a = 0.5 * (n - 1.0);
        let law = Beta::new(a, a).unwrap();
        let q = curve(points, "", &format!("n = {n}"));
        for &(d, q) in &q {
            let wanted = law.pdf(0.25 * d * d) * 0.5 * d;
            assert!((q - wanted).abs() < 1e-9 * wanted.max(1.0), "n = {n}, d = {d}: {q}, {wanted}");
        }
        let area: f64 = q.windows(2).map(|p| 0.5 * (p[1].0 - p[0].0) * (p[0].1 + p[1].1)).sum();
        // The trapezoid rule; at n = 4 the curve ends steeply.
        assert!((area - 1.0).abs() < if n == 4.0 { 2e-4 } else { 1e-5 }, "n = {n}: {area}");
    }
}

/// Lines by [O2]; every simulated point within five of its standard errors of its line, and none of them wide.
fn noise_is_what_the_specification_says(points: &[Point]) {
    let by_dimension = "s = 0.1: by the dimension n";
    for (n, d, trace) in
        [(128, 0.1, 0.992), (128, 0.3, 0.935), (128, 1.0, 0.561), (3, 0.1, 0.766), (3, 1.0, 0.02)]
    {
        let line = curve(points, by_dimension, &format!("n = {n}"));
        assert!((at(&line, d) - trace).abs() < 6e-4, "n = {n}, d = {d}: {}", at(&line, d));
    }
    let mut simulated = 0;
    for point in points.iter().filter(|point| point.error.is_some()) {
        let (error, name) = (point.error.unwrap(), point.curve.strip_suffix(" simulated").unwrap());
        let closed = at(&curve(points, &point.panel, name), point.x);
        assert!((point.y - closed).abs() < 5.0 * error, "{name}, {}: {} ± {error}", point.x, point.y);
        assert!(error < 0.02, "{name}, {}: {error}", point.x);
        simulated += 1;
    }
    assert_eq!(simulated, 100);
}

/// Evenness over the 18 bins between the cap and the far cut, `1 / (18 sum p²)`: 1 if all hold as much.
fn weighted_draws_are_even(points: &[Point]) {
    let evenness = |panel: &str, name: &str| {
        let bins = curve(points, panel, name);
        let (sum, squares) = bins
            .iter()
            .filter(|(d, _)| (0.5..1.4).contains(d))
            .fold((0.0, 0.0), |(s, q), (_, p)| (s + p, q + p * p));
        sum * sum / squares / 18.0
    };
    let all = evenness("uniform", "all negatives");
    let uniform = evenness("uniform", "chosen");
    assert!((uniform - all).abs() < 0.05 && uniform < 0.6, "{uniform} of {all}");
    for kind in ["distance-weighted", "expected"] {
        assert!(evenness(kind, "chosen") > 0.95, "{kind}: {}", evenness(kind, "chosen"));
    }
    for kind in ["hard:", "semihard:", "semihard-band:"] {
        let far = curve(points, kind, "chosen").iter().filter(|p| p.0 > 1.4).map(|p| p.1).sum::<f64>();
        assert!(far < 0.2, "{kind}: {far}");
        assert!(evenness(kind, "chosen") < 0.75, "{kind}: {}", evenness(kind, "chosen"));
    }
}

/// A run of a network that learns little in little time, with classes to look at on the way.
fn train(folder: &Path, out: &str, seed: &str, validation: &str) {
    let config = format!(
        "data.validation = {validation}\nmodel = {{ kind = \"mlp\", dim = 8, hidden = [16] }}\n\
         batch = {{ classes = 8, per_class = 3 }}\ntrain = {{ steps = 9, every = 3 }}\n"
    );
    fs::write(folder.join("c.toml"), config).unwrap();
    json(folder, &["train", "--config", "c.toml", "--seed", seed, "--threads", "1", "--out", out]);
}

#[test]
fn curves_of_runs_are_those_of_their_looks() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    train(here, "a", "0", "0.2");
    train(here, "sub/a", "1", "0.2");
    train(here, "blind", "0", "0.0");
    let runs = ["figures", "--run", "a", "--run", "sub/a", "--run", "blind", "--out"];
    let answer = json(here, &[&runs[..], &["f"]].concat());
    assert_eq!(answer["files"].as_array().unwrap().len(), 13);
    assert!(answer["left_out"][0].as_str().unwrap().contains("without blind"), "{answer}");
    json(here, &[&runs[..], &["g"]].concat());
    assert_same(&here.join("f"), &here.join("g"));

    let looks = |run: &str| -> Vec<Value> {
        let text = fs::read_to_string(here.join(run).join("metrics.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let convergence = points(&here.join("f"), "convergence");
    let negatives = points(&here.join("f"), "negatives");
    for run in ["a", "sub/a"] {
        let wanted: Vec<(f64, f64)> = looks(run)
            .iter()
            .map(|look| (look["step"].as_f64().unwrap(), look["validation"]["recall"]["1"].as_f64().unwrap()))
            .collect();
        assert_eq!(curve(&convergence, "", run), wanted);
    }
    for look in looks("blind") {
        let counts: Vec<f64> =
            look["negatives"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
        let total: f64 = counts.iter().sum();
        let drawn = curve(&negatives, "blind: all negatives", &format!("step {}", look["step"]));
        for ((d, density), (bin, count)) in drawn.iter().zip(counts.iter().enumerate()) {
            assert!((d - (bin as f64 + 0.5) * 0.05).abs() < 1e-12);
            assert!((density - count / total / 0.05).abs() < 1e-9, "bin {bin}");
        }
    }
    // A single run stands alone, with its name on the panel.
    json(here, &["figures", "--run", "a", "--out", "h"]);
    assert_eq!(points(&here.join("h"), "convergence")[0].panel, "a");
}

#[test]
fn what_cannot_be_drawn_or_written_is_one_line_and_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    for name in ["empty", "cut", "full", "file"] {
        fs::create_dir(here.join(name)).unwrap();
    }
    fs::write(here.join("empty/metrics.jsonl"), "").unwrap();
    fs::write(here.join("cut/metrics.jsonl"), "{\"step\":4").unwrap();
    fs::write(here.join("full/mine.txt"), "x").unwrap();
    fs::write(here.join("plain"), "x").unwrap();
    for (run, words) in [
        ("absent", "absent is no run folder"),
        ("full", "full is no run folder"),
        ("plain", "plain is no run folder"),
        ("empty", "broke off before its first look"),
        ("cut", "cut/metrics.jsonl, line 1"),
    ] {
        let line = failure(here, &["figures", "--run", run, "--out", "out"]);
        assert!(line.contains(words) && !here.join("out").exists(), "{line}");
    }
    let many: Vec<String> = (0..17).flat_map(|run| ["--run".to_owned(), format!("run-{run}")]).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(failure(here, &[&["figures", "--out", "out"], &many[..]].concat()).contains("16 at most"));
    let twice = ["figures", "--run", "full", "--run", "full", "--out", "out"];
    assert!(failure(here, &twice).contains("full is given twice"));
    for (out, words) in [
        ("full", "full exists already and is not empty"),
        ("plain", "plain exists already and is no folder"),
        ("plain/figures", "cannot create plain/figures"),
    ] {
        let line = failure(here, &["figures", "--out", out]);
        assert!(line.contains(words), "{line}");
    }
    assert_eq!(fs::read_dir(here.join("full")).unwrap().count(), 1);
    assert!(
        failure(here, &["figures", "--out", "out", "--device", "cuda"]).contains("leave --device cuda out")
    );
    assert_eq!(nearfar(here, &["figures"]).status.code(), Some(2));
    let help = nearfar(here, &["figures", "--help"]);
    assert!(String::from_utf8_lossy(&help.stdout).contains("Example:"));
    // An empty folder is as good as none.
    fs::create_dir(here.join("new")).unwrap();
    json(here, &["figures", "--out", "new"]);
}
