//! The figures of the paper's argument, each as a picture and as the csv of its curves.
//!
//! ```text
//! density          distances of random points of the sphere, n = 4 to 512          closed form
//! gradient-noise   how noisy a gradient's direction is, by distance                closed form, and simulated
//! samplers         the distances at which each sampler chooses                     simulated, and the law wanted
//! losses           each loss of one pair, and its derivative                       closed form
//! convergence      Recall@1 over the steps of runs                                 from their looks
//! negatives        distances of negatives over the steps of runs                   from their looks
//! ```
//! Everything is in double precision on one thread, and a function of the seed and of the runs' files alone.

mod density;
mod losses;
mod noise;
mod runs;
mod samplers;

use anyhow::Result;
use maud::{PreEscaped, html};

use crate::chart::Figure;
use crate::report::document;

pub use runs::{MOST, Run};

/// A figure with its name and what to see in it.
struct Shown {
    name: &'static str,
    caption: &'static str,
    figure: Figure<'static>,
}

/// What is written: files by name, and what was left out and why.
#[derive(Clone, Debug, Default)]
pub struct Drawn {
    /// A picture and a csv for each figure, and a page of all pictures.
    pub files: Vec<(String, Vec<u8>)>,
    /// One line for each figure that was left out.
    pub left_out: Vec<String>,
}

/// All figures; those of training for `runs`.
pub fn draw(seed: u64, runs: &[Run]) -> Result<Drawn> {
    let mut shown =
        vec![density::figure()?, noise::figure(seed)?, samplers::figure(seed)?, losses::figure()?];
    let (of_runs, left_out) = runs::figures(runs);
    shown.extend(of_runs);
    let mut drawn = Drawn { left_out, ..Drawn::default() };
    let mut pictures = Vec::new();
    for Shown { name, caption, figure } in shown {
        let svg = figure.draw()?;
        drawn.files.push((format!("{name}.csv"), figure.csv()?));
        drawn.files.push((format!("{name}.svg"), svg.clone().into_bytes()));
        pictures.push((svg, name, caption));
    }
    let body = html! {
        h1 { "Why sampling matters" }
        p {
            "The argument of Wu, Manmatha, Smola and Krähenbühl (ICCV 2017) in figures, computed by nearfar (seed "
            (seed) "). Every curve is in the csv of the same name."
        }
        @for (svg, name, caption) in pictures {
            h2 { (name) }
            p { (caption) }
            figure { (PreEscaped(svg)) }
        }
        @for line in &drawn.left_out { p { (line) } }
    };
    drawn.files.push(("index.html".into(), document("nearfar figures", &body).into_bytes()));
    Ok(drawn)
}
