//! The grid of losses and samplers: what it leaves, that it goes on where it was broken off, what it refuses.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::cli::{failure, json, nearfar};

/// A network that learns little in little time, with classes to choose by.
const SMALL: &str = "
data.validation = 0.2
model = { kind = \"mlp\", dim = 8, hidden = [16] }
batch = { classes = 8, per_class = 3 }
train = { steps = 6, every = 3 }
";

fn prepared() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("c.toml"), SMALL).unwrap();
    folder
}

fn options<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let shared = ["ablate", "--config", "c.toml", "--losses", "margin,npair", "--threads", "1"];
    [&shared[..], &["--samplers", "uniform,distance-weighted", "--seeds", "2", "--out", "grid"], more]
        .concat()
}

/// The lines of `table.csv` without the CPU seconds, their last column.
fn table(folder: &Path) -> Vec<String> {
    let text = fs::read_to_string(folder.join("grid/table.csv")).unwrap();
    text.lines().map(|line| line.rsplit_once(',').unwrap().0.to_owned()).collect()
}

#[test]
fn a_grid_leaves_tables_and_goes_on_where_it_was_broken_off() {
    let folder = prepared();
    let answer = json(folder.path(), &options(&["--jobs", "2"]));
    // The N-pair loss takes the whole batch: one cell.
    let cells: Vec<&str> =
        answer["rows"].as_array().unwrap().iter().map(|r| r["cell"].as_str().unwrap()).collect();
    assert_eq!(cells, ["margin-uniform", "margin-distance-weighted", "npair-all"]);
    assert!(cells.contains(&answer["best"].as_str().unwrap()));
    for row in answer["rows"].as_array().unwrap() {
        assert_eq!((&row["seeds"], &row["steps"]), (&2.into(), &6.into()));
        assert!(row["recall_1"]["error"].is_number() && row["cpu_seconds"]["mean"].as_f64().unwrap() > 0.0);
    }
    let grid = folder.path().join("grid");
    for name in ["grid.json", "runs.csv", "table.csv", "table.md", "table.svg", "index.html"] {
        assert!(grid.join(name).metadata().unwrap().len() > 100, "{name}");
    }
    assert_eq!(fs::read_to_string(grid.join("runs.csv")).unwrap().lines().count(), 1 + 6);

    // One run is lost, another was broken off before its first state; a third is done and stays as it is.
    let before = table(folder.path());
    let cell = grid.join("cells/margin-uniform");
    fs::remove_dir_all(cell.join("seed-0")).unwrap();
    fs::remove_file(cell.join("seed-1/model.safetensors")).unwrap();
    let kept = grid.join("cells/npair-all/seed-1/model.safetensors");
    let written = kept.metadata().unwrap().modified().unwrap();
    json(folder.path(), &options(&[]));
    assert_eq!(table(folder.path()), before);
    assert_eq!(kept.metadata().unwrap().modified().unwrap(), written);

    let line = failure(folder.path(), &options(&["--steps", "7"]));
    assert!(line.contains("grid holds another grid") && line.contains("--out"), "{line}");
}

#[test]
fn a_cell_takes_the_margin_that_validation_chose() {
    let folder = prepared();
    let options = [
        "ablate",
        "--config",
        "c.toml",
        "--losses",
        "triplet",
        "--samplers",
        "semihard",
        "--seeds",
        "2",
        "--alphas",
        "0.1,0.4",
        "--out",
        "grid",
    ];
    let answer = json(folder.path(), &options);
    let chosen = answer["rows"][0]["variant"].as_str().unwrap();
    let runs = fs::read_to_string(folder.path().join("grid/runs.csv")).unwrap();
    // Both with the first seed, the better one with the other.
    let mut csv = csv_lines(&runs);
    assert_eq!(csv.len(), 3);
    assert_eq!((csv[2][1].as_str(), csv[2][2].as_str()), (chosen, "1"));
    let validation = |row: &Vec<String>| row[row.len() - 2].parse::<f64>().unwrap();
    csv.truncate(2);
    let best = if validation(&csv[1]) > validation(&csv[0]) { &csv[1] } else { &csv[0] };
    assert_eq!(best[1], chosen);
}

fn csv_lines(text: &str) -> Vec<Vec<String>> {
    text.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

#[test]
fn equal_cpu_time_gives_steps_by_what_a_step_costs() {
    let folder = prepared();
    let options = [
        "ablate",
        "--config",
        "c.toml",
        "--preset",
        "dimension",
        "--seeds",
        "1",
        "--cpu-seconds",
        "0.2",
        "--out",
        "grid",
        "--threads",
        "1",
    ];
    let answer = json(folder.path(), &options);
    let steps = |answer: &serde_json::Value| -> Vec<u64> {
        answer["rows"].as_array().unwrap().iter().map(|row| row["steps"].as_u64().unwrap()).collect()
    };
    assert_eq!(steps(&answer).len(), 3);
    assert!(steps(&answer).iter().all(|&steps| steps > 6), "{answer}");
    // What a trial found is kept: a grid that goes on has the steps that it began with.
    assert_eq!(steps(&json(folder.path(), &options)), steps(&answer));
}

#[test]
fn grids_that_cannot_run_are_refused_before_anything_is_written() {
    let folder = prepared();
    for (more, word) in [
        (&["--config", "c.toml", "--data", "nowhere"][..], "nowhere"),
        (&["--config", "absent.toml"], "absent.toml"),
        (&["--losses", "margin,margin", "--samplers", "hard"], "margin-hard is asked for twice"),
    ] {
        let line = failure(folder.path(), &[&["ablate", "--out", "grid"], more].concat());
        assert!(line.contains(word), "{line}");
        assert!(!folder.path().join("grid").exists());
    }
    fs::create_dir(folder.path().join("full")).unwrap();
    fs::write(folder.path().join("full/mine.txt"), "x").unwrap();
    let line = failure(folder.path(), &["ablate", "--out", "full"]);
    assert!(line.contains("full exists already"), "{line}");
    let wrong = nearfar(folder.path(), &["ablate", "--losses", "margin", "--out", "grid"]);
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn a_run_that_fails_is_named_with_its_reason() {
    let folder = prepared();
    json(folder.path(), &options(&[]));
    let cell = folder.path().join("grid/cells/npair-all");
    fs::remove_file(cell.join("seed-0/model.safetensors")).unwrap();
    fs::write(cell.join("seed-0/config.toml"), "seed = \"x\"").unwrap();
    let line = failure(folder.path(), &options(&[]));
    assert!(line.contains("npair-all, seed 0") && line.contains("config.toml"), "{line}");
}
