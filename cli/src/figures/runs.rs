//! What runs wrote down while they trained: Recall@1 on classes held out, and the distances of negatives.

use std::path::Path;

use anyhow::{Result, ensure};

use super::Shown;
use crate::chart::{COLOURS, Chart, Figure, Mark, Series};
use crate::record::Look;
use crate::report::read_looks;

/// Most runs in one figure: as many curves can be told apart, by colour and by dashes.
pub const MOST: usize = 2 * COLOURS.len();

/// Looks of a run whose histograms are drawn: the first, the last, and some between.
const SHOWN: usize = 5;

/// The looks of a run under a name.
#[derive(Clone, Debug)]
pub struct Run {
    name: String,
    looks: Vec<Look>,
}

impl Run {
    /// Reads the looks of the run in each of these folders. Runs are named by their folder, or by the whole path where
    /// two folders have one name.
    pub fn read(folders: &[impl AsRef<Path>]) -> Result<Vec<Self>> {
        ensure!(folders.len() <= MOST, "{} runs cannot be told apart: {MOST} at most", folders.len());
        let short = |folder: &Path| folder.file_name().map(|name| name.to_string_lossy().into_owned());
        let read = |(at, folder): (usize, &dyn AsRef<Path>)| {
            let folder = folder.as_ref();
            let others = folders.iter().enumerate().filter(|(other, _)| *other != at);
            let mut alike = others.map(|(_, path)| path.as_ref());
            ensure!(alike.clone().all(|path| path != folder), "--run {} is given twice", folder.display());
            let own = short(folder).filter(|name| alike.all(|path| short(path).as_ref() != Some(name)));
            let metrics = folder.join("metrics.jsonl");
            ensure!(metrics.exists(), "{} is no run folder: it has no metrics.jsonl", folder.display());
            let looks = read_looks(&metrics)?;
            ensure!(
                !looks.is_empty(),
                "the run in {} broke off before its first look: {} is empty",
                folder.display(),
                metrics.display()
            );
            Ok(Self { name: own.unwrap_or_else(|| folder.display().to_string()), looks })
        };
        folders.iter().map(|folder| folder as &dyn AsRef<Path>).enumerate().map(read).collect()
    }

    /// Recall@1 over steps; empty if no classes were held out.
    fn recall(&self) -> Vec<(f64, f64)> {
        let first = |look: &Look| look.validation.as_ref()?.recall.get("1").copied();
        self.looks.iter().filter_map(|look| Some((f64::from(look.step), first(look)?))).collect()
    }

    /// The looks that are drawn, spread evenly.
    fn some(&self) -> Vec<&Look> {
        let count = self.looks.len().min(SHOWN);
        (0..count).map(|at| &self.looks[at * (self.looks.len() - 1) / (count - 1).max(1)]).collect()
    }
}

/// The figures of these runs, and a line for each that is left out.
pub(super) fn figures(runs: &[Run]) -> (Vec<Shown>, Vec<String>) {
    let mut left_out = Vec::new();
    if runs.is_empty() {
        left_out.push("convergence and negatives are left out: they are of runs, named by --run".to_owned());
        return (Vec::new(), left_out);
    }
    let mut shown = Vec::new();
    let (with, without): (Vec<&Run>, Vec<&Run>) = runs.iter().partition(|run| !run.recall().is_empty());
    if !without.is_empty() {
        let names: Vec<&str> = without.iter().map(|run| &*run.name).collect();
        let names = names.join(", ");
        left_out.push(format!("convergence is without {names}: no classes were held out (data.validation)"));
    }
    if !with.is_empty() {
        shown.push(convergence(&with));
    }
    shown.push(negatives(runs));
    (shown, left_out)
}

fn convergence(runs: &[&Run]) -> Shown {
    let curve = |(at, run): (usize, &&Run)| {
        let mark = if at < COLOURS.len() { Mark::Line } else { Mark::Dashed };
        Series::new(&run.name, mark, run.recall())
    };
    let curves = runs.iter().enumerate().map(curve).collect();
    let chart = Chart::new("step", "Recall@1 (share of queries)", curves);
    // A single curve has no legend: its name stands above.
    let title = if let [only] = runs { only.name.clone() } else { String::new() };
    Shown {
        name: "convergence",
        caption: "How fast, and how far, each run learned to put a sample of the same class nearest.",
        figure: Figure {
            title: "Recall@1 on validation classes over training",
            note: "Classes that the run did not learn from; fewer, and so easier, than those that it is tested on."
                .into(),
            columns: 1,
            panel: (800, 440),
            charts: vec![chart.titled(title)],
        },
    }
}

fn negatives(runs: &[Run]) -> Shown {
    let chart = |run: &Run, of: fn(&Look) -> &[u64], what: &str| {
        let with = run.some().into_iter().enumerate().filter(|(_, look)| !of(look).is_empty());
        // Lines through the middles of the bins: staircases on top of each other cannot be told apart.
        let curves = with.map(|(at, look)| {
            let bins = Series::counts(&format!("step {}", look.step), of(look));
            Series { mark: Mark::Line, ..bins }.coloured(at)
        });
        Chart::new("distance (chord length, 0 to 2)", "density (per unit of distance)", curves.collect())
            .titled(format!("{}: {what}", run.name))
            .up_to(2.0)
            .ordered()
    };
    // Runs in which every negative counts draw none.
    let columns =
        if runs.iter().all(|run| run.looks.iter().all(|look| look.drawn.is_empty())) { 1 } else { 2 };
    let charts = runs.iter().flat_map(|run| {
        let all = chart(run, |look| &look.negatives, "all negatives");
        let drawn = (columns > 1).then(|| chart(run, |look| &look.drawn, "drawn ones"));
        [Some(all), drawn].into_iter().flatten()
    });
    Shown {
        name: "negatives",
        caption: "Training pushes negatives apart, until most lie where random points of the sphere do; which of them \
                  are drawn is the sampler's choice.",
        figure: Figure {
            title: "Distances of negatives over training",
            note: "Of the last batch before each look, in 40 bins; later steps are lighter.".into(),
            columns,
            panel: (500, 330),
            charts: charts.collect(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{BINS, Scores};

    fn run(steps: u32, recall: Option<f64>, drawn: bool) -> Run {
        let scores = |step: u32| {
            recall.map(|last| Scores {
                recall: [("1".to_owned(), last * f64::from(step) / f64::from(steps))].into(),
                ..Scores::default()
            })
        };
        let looks = (1..=steps).map(|step| Look {
            step,
            negatives: vec![u64::from(step); BINS],
            drawn: if drawn { vec![1; BINS] } else { Vec::new() },
            validation: scores(step),
            ..Look::default()
        });
        Run { name: "a".into(), looks: looks.collect() }
    }

    #[test]
    fn first_last_and_some_looks_between_are_drawn() {
        let steps = |count| run(count, None, false).some().iter().map(|look| look.step).collect::<Vec<_>>();
        assert_eq!(steps(1), [1]);
        assert_eq!(steps(3), [1, 2, 3]);
        assert_eq!(steps(41), [1, 11, 21, 31, 41]);
    }

    #[test]
    fn what_runs_did_not_measure_is_left_out_with_a_line() {
        let (shown, lines) = figures(&[]);
        assert!(shown.is_empty() && lines.len() == 1 && lines[0].contains("--run"));
        let (shown, lines) = figures(&[run(2, None, false)]);
        assert_eq!(shown.iter().map(|s| s.name).collect::<Vec<_>>(), ["negatives"]);
        assert!(lines[0].contains("without a") && lines[0].contains("data.validation"), "{lines:?}");
        assert_eq!(shown[0].figure.charts.len(), 1);
        let (shown, lines) = figures(&[run(2, Some(0.5), true), run(3, None, false)]);
        assert_eq!((shown.len(), lines.len()), (2, 1));
        assert_eq!(shown[0].figure.charts[0].series[0].points, [(1.0, 0.25), (2.0, 0.5)]);
        // All and drawn of each run, the second without a drawn one.
        let counts: Vec<usize> = shown[1].figure.charts.iter().map(|chart| chart.series.len()).collect();
        assert_eq!(counts, [2, 2, 3, 0]);
    }
}
