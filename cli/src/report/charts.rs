//! The charts of a run, each with what to see in it.

use anyhow::Result;
use maud::{Markup, PreEscaped, html};

use crate::chart::{Chart, Series};
use crate::config::{LossKind, SamplerKind};
use crate::record::{Look, Scores, Story};

/// A chart and its caption.
type Figure<'a> = (Chart, &'a str);

/// All charts; `target` are points of the law of distances.
pub(super) fn charts(story: &Story, target: &[(f64, f64)]) -> Result<Markup> {
    let mut figures = vec![loss(story), recall(story)];
    figures.extend(distances(story, target));
    figures.extend([negatives(story), shares(story)]);
    if story.config.loss.kind == LossKind::Margin {
        figures.push(boundary(story));
    }
    let mut drawn = Vec::new();
    for (chart, caption) in figures {
        drawn.push((chart.draw()?, caption));
    }
    Ok(html! {
        @for (svg, caption) in drawn { figure { (PreEscaped(svg)) figcaption { (caption) } } }
    })
}

/// A number of each look, over its step.
fn curve(looks: &[Look], value: impl Fn(&Look) -> Option<f64>) -> Vec<(f64, f64)> {
    looks.iter().filter_map(|look| Some((f64::from(look.step), value(look)?))).collect()
}

fn line(story: &Story, name: &str, value: impl Fn(&Look) -> Option<f64>) -> Series {
    Series::line(name, curve(&story.looks, value))
}

/// Whether negatives are weighted by the inverse density of their distances.
fn weighted(story: &Story) -> bool {
    matches!(story.config.sampler.kind, SamplerKind::DistanceWeighted | SamplerKind::Expected)
}

fn loss(story: &Story) -> Figure<'_> {
    (
        Chart::new("step", "loss", vec![line(story, "loss", |l| Some(l.loss))]),
        "Mean loss between looks. With a mean over active terms it need not fall far: terms that are satisfied leave \
         the mean.",
    )
}

fn recall(story: &Story) -> Figure<'_> {
    let summary = &story.summary;
    let first = |scores: &Scores| scores.recall.get("1").copied();
    let level = |name: &str, scores: &Scores| {
        let steps = [0, summary.steps];
        let points = first(scores).map(|v| steps.map(|step| (f64::from(step), v)).to_vec());
        Series::line(name, points.unwrap_or_default())
    };
    let validation = line(story, "validation classes", |l| l.validation.as_ref().and_then(first));
    let caption = if validation.points.is_empty() {
        "Should lie well above both baselines. No classes were held out to look at on the way."
    } else {
        "Should climb well above both baselines. Few validation classes are easier than many unseen ones."
    };
    let series = vec![
        validation,
        level("unseen classes, at the end", &summary.test),
        level("raw input", &summary.baselines.raw),
        level("untrained network", &summary.baselines.untrained),
    ];
    (Chart::new("step", "Recall@1", series), caption)
}

/// Histograms of the first and the last look; none without looks.
fn distances<'a>(story: &'a Story, target: &[(f64, f64)]) -> Option<Figure<'a>> {
    let (first, last) = (story.looks.first()?, story.looks.last()?);
    let sampler = story.config.sampler.kind;
    let mut series = vec![Series::counts("all negatives, first look", &first.negatives)];
    if story.looks.len() > 1 {
        series.push(Series::counts("all negatives, last look", &last.negatives));
    }
    if !last.drawn.is_empty() {
        let name = match sampler {
            SamplerKind::Expected => "as the boundary was fitted to, last look",
            _ => "drawn negatives, last look",
        };
        series.push(Series::counts(name, &last.drawn));
    }
    if !target.is_empty() {
        let name = last.dimension.map_or("law".into(), |n| format!("law of the sphere, n = {n:.1}"));
        series.push(Series::line(&name, target.to_vec()));
    }
    let caption = match sampler {
        SamplerKind::DistanceWeighted => {
            "Distance weighted sampling draws evenly where all negatives pile up around the law of the sphere."
        }
        SamplerKind::Expected => {
            "For the loss nothing is drawn: every negative counts with the probability that distance weighted \
             sampling would draw it with, which spreads them evenly where all of them pile up around the law of the \
             sphere."
        }
        SamplerKind::Uniform => {
            "Negatives are drawn as they come, so the drawn pile up where all negatives do."
        }
        SamplerKind::Hard => "Drawn is the nearest negative of each anchor: the left end of all negatives.",
        SamplerKind::Semihard => "Drawn is the nearest negative beyond the positive.",
        SamplerKind::SemihardBand => "Drawn is any negative a little beyond the positive.",
        SamplerKind::All => "Every negative enters the loss alike; nothing is drawn.",
    };
    Some((Chart::new("distance", "density", series), caption))
}

fn negatives(story: &Story) -> Figure<'_> {
    let series = vec![line(story, "effective negatives", |l| Some(l.effective_negatives))];
    (
        Chart::new("step", "effective negatives", series),
        "How many negatives an anchor effectively chooses from. Near 1 it is hardest mining under another name.",
    )
}

fn shares(story: &Story) -> Figure<'_> {
    let mut series = vec![line(story, "active terms", |l| Some(l.active))];
    if story.config.memory.size > 0 {
        series.push(line(story, "remembered negatives", |l| l.memory.map(|memory| memory.share)));
    }
    if !weighted(story) {
        series.push(line(story, "pairs without candidate", |l| Some(l.without_candidate)));
        return (
            Chart::new("step", "share", series),
            "Terms with a positive loss; positive pairs that found no negative.",
        );
    }
    series.push(line(story, "capped weights", |l| Some(l.capped)));
    series.push(line(story, "pairs without candidate", |l| Some(l.without_candidate)));
    (
        Chart::new("step", "share", series),
        "Terms with a positive loss; candidates whose weight is cut at the cap; positive pairs that found no negative.",
    )
}

fn boundary(story: &Story) -> Figure<'_> {
    let mut series = vec![line(story, "beta0", |l| Some(l.beta))];
    for (at, name) in ["least of a class", "median class", "largest of a class"].into_iter().enumerate() {
        series.push(line(story, name, |l| l.beta_classes.map(|classes| l.beta + classes[at])));
    }
    (Chart::new("step", "boundary", series), "The boundary of the margin loss between near and far.")
}
