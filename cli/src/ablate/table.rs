//! From runs to a table: means over seeds with their standard errors, and each cell against the best one, seed by seed.

use std::collections::BTreeMap;

use nearfar_core::metric::mean_with_error;
use serde::Serialize;

/// What one run came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// Name of the cell.
    pub cell: String,
    /// Its variant; empty where there is one only.
    pub variant: String,
    /// Seed.
    pub seed: u64,
    /// Steps done.
    pub steps: u32,
    /// Recall@K of the unseen classes by K.
    pub recall: BTreeMap<String, f64>,
    /// MAP@R of the unseen classes.
    pub map_at_r: f64,
    /// MAP@R of the validation classes after the last step, where there are any.
    pub validation: Option<f64>,
    /// CPU seconds of the training steps; none for a run that was broken off and taken up.
    pub cpu_seconds: Option<f64>,
}

impl Outcome {
    /// Recall@1.
    #[must_use]
    pub fn recall_1(&self) -> f64 {
        self.recall.get("1").copied().unwrap_or(f64::NAN)
    }
}

/// A mean with its standard error, as [`mean_with_error`] has it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Mean {
    /// The mean.
    pub mean: f64,
    /// Its standard error; none of a single number.
    pub error: Option<f64>,
}

impl Mean {
    /// Of at least one number.
    ///
    /// ```
    /// use nearfar::ablate::Mean;
    /// let mean = Mean::of(&[1.0, 2.0, 3.0]);
    /// assert_eq!(mean.mean, 2.0);
    /// assert!((mean.error.unwrap() - (1.0_f64 / 3.0).sqrt()).abs() < 1e-15); // deviation 1, three numbers
    /// assert_eq!(Mean::of(&[5.0]).error, None);
    /// ```
    #[must_use]
    pub fn of(values: &[f64]) -> Self {
        let (mean, error) = mean_with_error(values);
        Self { mean, error }
    }
}

/// A cell of the grid, with the variant that validation chose; empty where there is one only.
#[derive(Clone, Debug, PartialEq)]
pub struct Chosen {
    /// Its row in the table.
    pub row: String,
    /// Its column.
    pub column: String,
    /// Its name.
    pub cell: String,
    /// The variant.
    pub variant: String,
}

/// A cell over its seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Name of the cell.
    pub cell: String,
    /// Row of the matrix.
    pub row: String,
    /// Column of the matrix.
    pub column: String,
    /// The variant that validation chose; empty where there is one only.
    pub variant: String,
    /// Seeds that have run.
    pub seeds: usize,
    /// Steps of a run.
    pub steps: u32,
    /// Recall@1.
    pub recall_1: Mean,
    /// MAP@R.
    pub map_at_r: Mean,
    /// MAP@R of the validation classes.
    pub validation: Option<Mean>,
    /// Recall@1 of the best cell less that of this one, by seed; none for the best itself.
    pub behind: Option<Mean>,
    /// Seeds by which the best cell is better than this one.
    pub lost: usize,
    /// CPU seconds of the steps.
    pub cpu_seconds: Option<Mean>,
}

impl Row {
    /// Whether it is no more than one standard error of the paired difference behind the best, or the best itself.
    #[must_use]
    pub fn ties_with_best(&self) -> bool {
        self.behind.is_none_or(|behind| behind.mean <= behind.error.unwrap_or(0.0))
    }
}

/// All cells that have run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Table {
    /// In the order of the grid.
    pub rows: Vec<Row>,
    /// The row with the highest mean Recall@1; the first of several.
    pub best: Option<usize>,
}

impl Table {
    /// Of the cells and all outcomes; cells without outcome are left out.
    #[must_use]
    pub fn new(cells: &[Chosen], outcomes: &[Outcome]) -> Self {
        let of = |cell: &str, variant: &str| -> Vec<&Outcome> {
            let mut of: Vec<&Outcome> =
                outcomes.iter().filter(|o| o.cell == cell && o.variant == variant).collect();
            of.sort_by_key(|outcome| outcome.seed);
            of
        };
        let run: Vec<_> = cells
            .iter()
            .map(|chosen| (chosen, of(&chosen.cell, &chosen.variant)))
            .filter(|(_, outcomes)| !outcomes.is_empty())
            .collect();
        let mean = |outcomes: &[&Outcome], value: &dyn Fn(&Outcome) -> f64| {
            Mean::of(&outcomes.iter().map(|o| value(o)).collect::<Vec<_>>())
        };
        let recall: Vec<f64> = run.iter().map(|(_, o)| mean(o, &Outcome::recall_1).mean).collect();
        let best = (0..run.len()).reduce(|best, at| if recall[at] > recall[best] { at } else { best });
        let rows = run
            .iter()
            .enumerate()
            .map(|(at, (chosen, outcomes))| {
                let known = |value: &dyn Fn(&Outcome) -> Option<f64>| {
                    let values: Vec<f64> = outcomes.iter().filter_map(|o| value(o)).collect();
                    (!values.is_empty()).then(|| Mean::of(&values))
                };
                let behind = differences(&run[best.unwrap_or(at)].1, outcomes);
                Row {
                    cell: chosen.cell.clone(),
                    row: chosen.row.clone(),
                    column: chosen.column.clone(),
                    variant: chosen.variant.clone(),
                    seeds: outcomes.len(),
                    steps: outcomes[0].steps,
                    recall_1: mean(outcomes, &Outcome::recall_1),
                    map_at_r: mean(outcomes, &|o| o.map_at_r),
                    validation: known(&|o| o.validation),
                    behind: (best != Some(at) && !behind.is_empty()).then(|| Mean::of(&behind)),
                    lost: behind.iter().filter(|&&d| d > 0.0).count(),
                    cpu_seconds: known(&|o| o.cpu_seconds),
                }
            })
            .collect();
        Self { rows, best }
    }
}

/// Recall@1 of one less that of the other for each seed that both have.
fn differences(one: &[&Outcome], other: &[&Outcome]) -> Vec<f64> {
    one.iter()
        .filter_map(|a| other.iter().find(|b| a.seed == b.seed).map(|b| a.recall_1() - b.recall_1()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(cell: &str, seed: u64, recall: f64) -> Outcome {
        Outcome {
            cell: cell.into(),
            variant: String::new(),
            seed,
            steps: 7,
            recall: [("1".to_owned(), recall)].into(),
            map_at_r: recall / 2.0,
            validation: None,
            cpu_seconds: Some(1.0),
        }
    }

    fn names(cells: &[&str]) -> Vec<Chosen> {
        let chosen = |cell: &&str| Chosen {
            row: (*cell).into(),
            column: "x".into(),
            cell: (*cell).into(),
            variant: String::new(),
        };
        cells.iter().map(chosen).collect()
    }

    #[test]
    fn differences_are_taken_seed_by_seed() {
        // Both scatter by 0.2, their difference by 0.01.
        let outcomes: Vec<Outcome> = [(0, 0.5, 0.48), (1, 0.7, 0.69), (2, 0.9, 0.88)]
            .iter()
            .flat_map(|&(seed, a, b)| [outcome("a", seed, a), outcome("b", seed, b)])
            .collect();
        let table = Table::new(&names(&["b", "a", "never ran"]), &outcomes);
        assert_eq!((table.rows.len(), table.best), (2, Some(1)));
        let behind = table.rows[0].behind.unwrap();
        assert!((behind.mean - 0.05 / 3.0).abs() < 1e-12 && behind.error.unwrap() < 0.004);
        assert_eq!((table.rows[0].lost, table.rows[1].behind), (3, None));
        assert!(!table.rows[0].ties_with_best() && table.rows[1].ties_with_best());
        assert!(table.rows[0].recall_1.error.unwrap() > 0.1);
    }

    #[test]
    fn seeds_that_only_one_has_do_not_enter_the_difference() {
        let outcomes = [outcome("a", 0, 0.9), outcome("a", 1, 0.1), outcome("b", 0, 0.4)];
        let table = Table::new(&names(&["a", "b"]), &outcomes);
        assert_eq!(table.best, Some(0));
        assert_eq!(table.rows[1].behind, Some(Mean { mean: 0.5, error: None }));
    }

    #[test]
    fn nothing_has_no_best() {
        assert_eq!(Table::new(&names(&["a"]), &[]), Table { rows: vec![], best: None });
    }
}
