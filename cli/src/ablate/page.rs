//! The table for people and for programs: csv, markdown, and one page of html without links to anything outside it.

use anyhow::Result;
use maud::{Markup, PreEscaped, html};

use super::Grid;
use super::chart;
use super::table::{Mean, Outcome, Row, Table};
use crate::report::document;

/// One run a line.
pub fn per_run_csv(outcomes: &[Outcome]) -> Result<Vec<u8>> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    let ranks: Vec<String> = outcomes.first().map(|o| o.recall.keys().cloned().collect()).unwrap_or_default();
    let mut head = vec!["cell".to_owned(), "variant".into(), "seed".into(), "steps".into()];
    head.extend(ranks.iter().map(|k| format!("recall_{k}")));
    head.extend(["map_at_r", "validation_map_at_r", "cpu_seconds"].map(str::to_owned));
    csv.write_record(&head)?;
    let optional = |value: Option<f64>| value.map(|v| v.to_string()).unwrap_or_default();
    for o in outcomes {
        let mut record = vec![o.cell.clone(), o.variant.clone(), o.seed.to_string(), o.steps.to_string()];
        record.extend(ranks.iter().map(|k| optional(o.recall.get(k).copied())));
        record.extend([o.map_at_r.to_string(), optional(o.validation), optional(o.cpu_seconds)]);
        csv.write_record(&record)?;
    }
    Ok(csv.into_inner()?)
}

/// One cell a line.
pub fn table_csv(table: &Table) -> Result<Vec<u8>> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record([
        "cell",
        "variant",
        "seeds",
        "steps",
        "recall_1",
        "recall_1_error",
        "map_at_r",
        "map_at_r_error",
        "validation_map_at_r",
        "behind_best",
        "behind_best_error",
        "seeds_lost_to_best",
        "cpu_seconds",
    ])?;
    let optional = |value: Option<f64>| value.map(|v| v.to_string()).unwrap_or_default();
    for row in &table.rows {
        csv.write_record([
            row.cell.clone(),
            row.variant.clone(),
            row.seeds.to_string(),
            row.steps.to_string(),
            row.recall_1.mean.to_string(),
            optional(row.recall_1.error),
            row.map_at_r.mean.to_string(),
            optional(row.map_at_r.error),
            optional(row.validation.map(|m| m.mean)),
            optional(row.behind.map(|m| m.mean)),
            optional(row.behind.and_then(|m| m.error)),
            row.lost.to_string(),
            optional(row.cpu_seconds.map(|m| m.mean)),
        ])?;
    }
    Ok(csv.into_inner()?)
}

/// `0.853 ± 0.004`.
fn plus_minus(mean: Mean) -> String {
    match mean.error {
        Some(error) => format!("{:.3} ± {error:.3}", mean.mean),
        None => format!("{:.3}", mean.mean),
    }
}

/// Distinct values in the order of their first appearance.
fn distinct<'t>(rows: &'t [Row], of: impl Fn(&'t Row) -> &'t str) -> Vec<&'t str> {
    let mut seen = Vec::new();
    for value in rows.iter().map(of) {
        if !seen.contains(&value) {
            seen.push(value);
        }
    }
    seen
}

/// Means by row and column of the grid.
struct Matrix<'t> {
    columns: Vec<&'t str>,
    lines: Vec<(&'t str, Vec<Option<Shown>>)>,
}

/// A mean as it is printed, and whether it is the best cell's.
struct Shown {
    text: String,
    best: bool,
}

impl<'t> Matrix<'t> {
    fn of(table: &'t Table, value: impl Fn(&Row) -> Mean) -> Self {
        let columns = distinct(&table.rows, |row| &row.column);
        let best = table.best.map(|at| &table.rows[at].cell);
        let lines = distinct(&table.rows, |row| &row.row)
            .into_iter()
            .map(|line| {
                let cell = |column: &&str| {
                    let row = table.rows.iter().find(|row| row.row == line && row.column == *column)?;
                    Some(Shown { text: plus_minus(value(row)), best: Some(&row.cell) == best })
                };
                (line, columns.iter().map(cell).collect())
            })
            .collect();
        Self { columns, lines }
    }
}

/// The columns of the table cell by cell.
const COLUMNS: [&str; 8] =
    ["cell", "seeds", "steps", "Recall@1", "MAP@R", "behind the best", "seeds lost to it", "CPU s"];

/// What the columns say of a row.
fn line(row: &Row) -> [String; 8] {
    let name =
        if row.variant.is_empty() { row.cell.clone() } else { format!("{} ({})", row.cell, row.variant) };
    [
        name,
        row.seeds.to_string(),
        row.steps.to_string(),
        plus_minus(row.recall_1),
        plus_minus(row.map_at_r),
        row.behind.map_or_else(|| "best".into(), plus_minus),
        row.behind.map_or_else(String::new, |_| row.lost.to_string()),
        row.cpu_seconds.map(|m| format!("{:.0}", m.mean)).unwrap_or_default(),
    ]
}

/// Both tables, for a README.
#[must_use]
pub fn markdown(table: &Table) -> String {
    let mut text = String::from("Recall@1 on unseen classes, mean over seeds ± standard error.\n\n");
    let Matrix { columns, lines } = Matrix::of(table, |row| row.recall_1);
    text += &format!("| | {} |\n|---|{}\n", columns.join(" | "), "---|".repeat(columns.len()));
    for (name, cells) in lines {
        let cells: Vec<String> = cells
            .into_iter()
            .map(|cell| match cell {
                Some(Shown { text, best: true }) => format!("**{text}**"),
                Some(Shown { text, best: false }) => text,
                None => String::new(),
            })
            .collect();
        text += &format!("| {name} | {} |\n", cells.join(" | "));
    }
    text += &format!("\n| {} |\n|{}\n", COLUMNS.join(" | "), "---|".repeat(COLUMNS.len()));
    for row in &table.rows {
        text += &format!("| {} |\n", line(row).join(" | "));
    }
    text
}

/// The page and its picture.
pub fn page(grid: &Grid, table: &Table, name: &str) -> Result<(String, String)> {
    let svg = chart::draw(table, &format!("Losses and samplers on {name}"))?;
    let budget = match grid.cpu_seconds {
        Some(seconds) => format!("the steps that take {seconds} CPU seconds of training"),
        None => "the same number of steps".to_owned(),
    };
    let chosen = if grid.cells.iter().any(|cell| cell.variants.len() > 1) {
        " Of a cell with several margins, the one with the best MAP@R on the validation classes (first seed) stands in \
         the table; test classes chose nothing."
    } else {
        ""
    };
    let shown = grid.cells.first().map(|cell| cell.variants[0].config.to_toml()).unwrap_or_default();
    let body = html! {
        h1 { "Losses and samplers on " (name) }
        p {
            "Each cell was trained with " (grid.seeds.len()) " seeds, each run with " (budget) ". All are tested "
            "on classes that no run saw." (chosen)
        }
        h2 { "Recall@1" }
        div class="wide" { (matrix_table(table, |row| row.recall_1)) }
        h2 { "MAP@R" }
        div class="wide" { (matrix_table(table, |row| row.map_at_r)) }
        figure { (PreEscaped(svg.clone())) }
        h2 { "Cell by cell" }
        p {
            "Behind the best: the mean over seeds of its Recall@1 less this cell's with the same seed, with "
            "the standard error of that difference. A cell that is no more than one standard error behind is "
            "marked \u{2248}."
        }
        div class="wide" {
            table {
                tr { @for column in COLUMNS { th { (column) } } }
                @for row in &table.rows {
                    tr {
                        @for (at, cell) in line(row).into_iter().enumerate() {
                            td {
                                (cell)
                                @if at == 5 && row.behind.is_some() && row.ties_with_best() { " \u{2248}" }
                            }
                        }
                    }
                }
            }
        }
        h2 { "Configuration of the first cell" }
        p { "Cells differ in loss, sampler and boundary; grid.json has them all." }
        pre { (shown) }
    };
    Ok((document(&format!("nearfar ablate: {name}"), &body), svg))
}

fn matrix_table(table: &Table, value: impl Fn(&Row) -> Mean) -> Markup {
    let Matrix { columns, lines } = Matrix::of(table, value);
    html! {
        table {
            tr { th { } @for column in &columns { th { (column) } } }
            @for (name, cells) in lines {
                tr {
                    td { (name) }
                    @for cell in cells {
                        td {
                            @match cell {
                                Some(Shown { text, best: true }) => b { (text) },
                                Some(Shown { text, best: false }) => (text),
                                None => "",
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ablate::{Cell, Chosen, Preset};
    use crate::{config::Config, recipe::Recipe};

    fn example() -> (Grid, Vec<Outcome>, Table) {
        let grid = Grid {
            cells: Preset::Paper.cells(&Config::recipe(Recipe::Best)),
            seeds: vec![0, 1],
            cpu_seconds: None,
        };
        let outcomes: Vec<Outcome> = grid
            .cells
            .iter()
            .enumerate()
            .flat_map(|(at, cell)| {
                grid.seeds.iter().map(move |&seed| Outcome {
                    cell: cell.name(),
                    variant: String::new(),
                    seed,
                    steps: 10,
                    recall: [("1".to_owned(), 0.5 + 0.02 * at as f64 + 0.01 * seed as f64)].into(),
                    map_at_r: 0.3,
                    validation: Some(0.4),
                    cpu_seconds: None,
                })
            })
            .collect();
        let chosen = |cell: &Cell| Chosen {
            row: cell.row.clone(),
            column: cell.column.clone(),
            cell: cell.name(),
            variant: String::new(),
        };
        let cells: Vec<Chosen> = grid.cells.iter().map(chosen).collect();
        let table = Table::new(&cells, &outcomes);
        (grid, outcomes, table)
    }

    #[test]
    fn the_matrix_has_the_papers_rows_and_columns_and_marks_the_best() {
        let (_, _, table) = example();
        let text = markdown(&table);
        assert!(text.contains("| | uniform | hard | semihard | distance-weighted | recipe |"), "{text}");
        assert!(text.contains("| contrastive | 0.505 ± 0.005 | 0.525 ± 0.005 |"), "{text}");
        assert!(text.contains("| best |  |  |  |  | **0.825 ± 0.005** |"), "{text}");
        assert!(
            text.contains("| margin-uniform | 2 | 10 | 0.745 ± 0.005 | 0.300 ± 0.000 | 0.080 ± 0.000 | 2 |"),
            "{text}"
        );
    }

    #[test]
    fn the_page_is_one_file_that_names_every_cell() {
        let (grid, outcomes, table) = example();
        let (page, svg) = page(&grid, &table, "kana <b>").unwrap();
        assert!(
            !page.replace("http://www.w3.org/2000/svg", "").contains("http") && !page.contains("kana <b>")
        );
        for row in &table.rows {
            assert!(page.contains(&row.cell) && svg.contains(&row.cell), "{}", row.cell);
        }
        let lines = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().lines().count();
        assert_eq!(lines(per_run_csv(&outcomes).unwrap()), 1 + 34);
        assert_eq!(lines(table_csv(&table).unwrap()), 1 + 17);
    }

    #[test]
    fn a_grid_without_runs_has_a_page() {
        let (grid, ..) = example();
        assert!(page(&grid, &Table { rows: vec![], best: None }, "x").unwrap().0.contains("</html>"));
    }
}
