//! `ablate`: does sampling matter on these data? A grid of losses and samplers, with statistics over seeds.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::settings::load;
use super::{Answer, threads};
use crate::ablate::{
    self, Cell, Chosen, Grid, Preset, Runner, Table, markdown, per_run_csv, product, steps_for, table_csv,
};
use crate::args::{AblateArgs, Common, Device};
use crate::config::Config;
use crate::data::Samples;
use crate::overlay::Overlay;
use crate::plan;
use crate::recipe::Recipe;
use crate::write::{ensure_vacant, replace_file};

pub(super) fn run(args: &AblateArgs, common: &Common) -> Result<Answer> {
    let base = base(args)?;
    let data = load(&base, common)?;
    let cells = cells(args, &base, &data.train)?;
    let first = common.seed.unwrap_or(base.seed);
    let mut grid =
        Grid { cells, seeds: (first..first + args.seeds).collect(), cpu_seconds: args.cpu_seconds };
    let jobs = usize::from(args.jobs);
    let runner = Runner {
        program: std::env::current_exe().context("cannot find this program to start runs with")?,
        out: args.out.clone(),
        jobs,
        threads: common.threads.map_or_else(|| (threads(common) / jobs).max(1), usize::from),
        device: match common.device {
            Device::Auto => "auto".into(),
            Device::Cpu => "cpu".into(),
            Device::Cuda(at) => format!("cuda:{at}"),
        },
    };
    settle(args, &runner, &mut grid)?;

    let (outcomes, chosen) = runner.run(&grid)?;
    let names: Vec<_> = grid
        .cells
        .iter()
        .zip(chosen)
        .map(|(cell, variant)| Chosen {
            row: cell.row.clone(),
            column: cell.column.clone(),
            cell: cell.name(),
            variant,
        })
        .collect();
    let table = Table::new(&names, &outcomes);
    let (page, svg) = ablate::page(&grid, &table, &data.name)?;
    let text = markdown(&table);
    for (name, bytes) in [
        ("runs.csv", per_run_csv(&outcomes)?),
        ("table.csv", table_csv(&table)?),
        ("table.md", text.clone().into_bytes()),
        ("table.svg", svg.into_bytes()),
        ("index.html", page.into_bytes()),
    ] {
        replace_file(&args.out.join(name), &bytes)?;
    }
    Ok(Answer {
        text: format!("{text}\n{}: open its index.html\n", args.out.display()),
        json: json!({
            "out": args.out,
            "seeds": grid.seeds,
            "best": table.best.map(|at| &table.rows[at].cell),
            "rows": table.rows,
        }),
    })
}

/// What all cells share: the recipe `best`, overlaid by the file and by the options.
fn base(args: &AblateArgs) -> Result<Config> {
    let recipe = Config::recipe(Recipe::Best);
    let overlay = args.config.as_deref().map(|path| Overlay::of_file(&recipe, path)).transpose()?;
    let (mut base, mistakes) = overlay.map_or((recipe, Vec::new()), |o| (o.config, o.mistakes));
    if let Some(data) = &args.data {
        base.data.source.clone_from(data);
    }
    if let Some(steps) = args.steps {
        base.train.steps = steps;
    }
    plan::check_beside(&base, mistakes)?;
    Ok(base)
}

/// The cells that were asked for, each looked at before the first runs.
fn cells(args: &AblateArgs, base: &Config, samples: &Samples) -> Result<Vec<Cell>> {
    let mut base = base.clone();
    plan::settle(&mut base, samples.count(), samples.shape);
    let cells = if args.losses.is_empty() {
        args.preset.unwrap_or(Preset::Paper).cells(&base)
    } else {
        product(&base, &args.losses, &args.samplers)
    };
    let cells: Vec<Cell> = cells.into_iter().map(|cell| cell.with_margins(&args.alphas)).collect();
    for (at, cell) in cells.iter().enumerate() {
        let name = cell.name();
        ensure!(cells[..at].iter().all(|other| other.name() != name), "{name} is asked for twice");
        for variant in &cell.variants {
            plan::check(&variant.config).with_context(|| format!("cell {name}"))?;
        }
    }
    Ok(cells)
}

/// Takes the grid that the folder holds, or finds what is open in this one and writes it there.
fn settle(args: &AblateArgs, runner: &Runner, grid: &mut Grid) -> Result<()> {
    let path = args.out.join("grid.json");
    if path.exists() {
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let there: Grid =
            serde_json::from_str(&text).with_context(|| format!("{} is no grid", path.display()))?;
        // Steps that were found by a trial are kept: another would find others.
        let alike = |one: &Grid| {
            let mut one = one.clone();
            if one.cpu_seconds.is_some() {
                let variants = one.cells.iter_mut().flat_map(|cell| &mut cell.variants);
                variants
                    .for_each(|variant| (variant.config.train.steps, variant.config.train.every) = (0, 0));
            }
            one
        };
        ensure!(
            alike(&there) == alike(grid),
            "{} holds another grid: choose another --out, or the options that it was begun with",
            args.out.display()
        );
        *grid = there;
        return Ok(());
    }
    ensure_vacant(&args.out)?;
    if let Some(seconds) = grid.cpu_seconds {
        for cell in &mut grid.cells {
            let steps = steps_for(runner, &cell.variants[0].config, seconds)
                .with_context(|| format!("cell {}", cell.name()))?;
            for variant in &mut cell.variants {
                variant.config.train.steps = steps;
                variant.config.train.every = steps.div_ceil(6);
            }
        }
    }
    fs::create_dir_all(&args.out).with_context(|| format!("cannot create {}", args.out.display()))?;
    let mut text = serde_json::to_string_pretty(grid)?;
    text.push('\n');
    replace_file(&path, text.as_bytes())
}
