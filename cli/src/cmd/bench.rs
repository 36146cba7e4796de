//! `bench`: the hot paths against the least time that their arithmetic needs on this machine.

use anyhow::{Result, ensure};
use nearfar_core::kernel::fast::{InstructionSet, Rates};
use serde_json::json;

use super::{Answer, backend, threads};
use crate::args::{BenchArgs, Common};
use crate::hot::{self, Timing};

pub(super) fn run(args: &BenchArgs, common: &Common) -> Result<Answer> {
    // Refuses a GPU: what is timed here is the CPU.
    backend(common)?;
    let set = args.instructions.map_or_else(InstructionSet::best, InstructionSet::from);
    ensure!(
        set.is_available(),
        "this machine has no {set}: leave --instructions out for {}",
        InstructionSet::best()
    );
    let rates = Rates::measure(set);
    let mut timings = hot::all(1, set, &args.n, args.dim)?;
    if threads(common) > 1 {
        timings.extend(hot::all(threads(common), set, &args.n, args.dim)?);
    }
    let [fma, ln, exp] = [rates.multiply_adds, rates.logarithms, rates.exponentials].map(|rate| rate * 1e-9);
    let tiles = rates
        .tile_multiply_adds
        .map_or_else(String::new, |rate| format!("; {:.0} multiply-adds of bf16 by tile units", rate * 1e-9));
    let mut text = format!(
        "{set}, one thread, in 1e9 a second: {fma:.1} multiply-adds, {ln:.2} logarithms, {exp:.2} exponentials{}\n\n\
         {:<18}{:>9}{:>6}{:>9}{:>12}{:>12}{:>12}{:>8}{:>10}\n",
        tiles, "", "n", "dim", "threads", "median us", "least us", "floor us", "ratio", "MiB"
    );
    for Timing { name, n, dim, threads, median_us, least_us, floor_us, ratio, peak_bytes } in &timings {
        let mib =
            peak_bytes.map_or_else(|| "-".to_owned(), |bytes| format!("{:.1}", bytes as f64 / 1048576.0));
        text += &format!(
            "{name:<18}{n:>9}{dim:>6}{threads:>9}{median_us:>12.1}{least_us:>12.1}{floor_us:>12.1}{ratio:>8.2}{mib:>10}\n"
        );
    }
    text += "\nThe ratio is the median of time over floor, by rates of the same moment; above are those of the start.\n\
             The floor: each pair's product once, one logarithm and one exponential a pair (step); each pair's product \
             once (eval);\nthe products of forward and backward (mlp, cnn: batches of n); a sort of as many whole numbers \
             (isotonic).\n";
    let rows: Vec<_> = timings
        .iter()
        .map(|t| {
            json!({
                "name": t.name, "n": t.n, "dim": t.dim, "threads": t.threads, "median_us": t.median_us,
                "least_us": t.least_us,
                "floor_us": t.floor_us, "ratio": t.ratio, "peak_bytes": t.peak_bytes,
            })
        })
        .collect();
    let json = json!({
        "instruction_set": set.to_string(),
        "rates": {
            "multiply_adds": rates.multiply_adds,
            "logarithms": rates.logarithms,
            "exponentials": rates.exponentials,
            "tile_multiply_adds": rates.tile_multiply_adds,
        },
        "rows": rows,
    });
    Ok(Answer { text, json })
}
