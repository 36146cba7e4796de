//! `report.html`: one file without links to anything outside it.

use anyhow::Result;
use base64::Engine;
use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::chart::{Chart, Series};
use super::table::rows;
use crate::record::{Look, Neighbours, Picture, Story};

const STYLE: &str = "
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1180px; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; } th, td { padding: .25rem .8rem; text-align: right; }
th:first-child, td:first-child { text-align: left; } tr:last-child { font-weight: 600; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(540px, 1fr)); gap: 1rem; }
figure { margin: 0; } figure svg { background: #fff; border-radius: 6px; width: 100%; height: auto; }
figcaption { font-size: 13px; opacity: .8; }
.strip { display: flex; gap: 6px; margin-bottom: 6px; }
.strip div { text-align: center; font-size: 12px; }
.strip img { width: 56px; height: 56px; image-rendering: pixelated; border: 3px solid #888; border-radius: 4px; }
.hit img { border-color: #009e73; } .miss img { border-color: #d55e00; }
pre { overflow-x: auto; font-size: 13px; }
";

/// The page of a run; `target` are points of the law of distances that negatives are spread against. The same story
/// gives the same bytes.
pub fn page(story: &Story, target: &[(f64, f64)]) -> Result<String> {
    let summary = &story.summary;
    let [samples, classes] = summary.unseen;
    let best = summary.test.recall.get("1").copied().unwrap_or(0.0);
    let body = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                title { "nearfar: " (story.name) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "nearfar: " (story.name) }
                p {
                    "Trained on " (summary.train[0]) " samples of " (summary.train[1]) " classes for "
                    (summary.steps) " steps (seed " (summary.seed) "). On " (samples) " samples of " (classes)
                    " classes that it never saw, the nearest neighbour is of the same class for "
                    b { (format!("{:.1} %", 100.0 * best)) } "."
                }
                h2 { "Quality on unseen classes" }
                (table(story))
                h2 { "The run" }
                div class="charts" { (charts(story, target)?) }
                @if !story.neighbours.is_empty() {
                    h2 { "Nearest neighbours of unseen classes" }
                    p { "A query, then its nearest neighbours. \u{2713} and green: of its class. \u{2717} and orange: of another." }
                    @for neighbours in &story.neighbours { (strip(neighbours)?) }
                }
                h2 { "Configuration" }
                p { "Saved as a file, this makes the same run again: " code { "nearfar train --config FILE.toml" } }
                pre { (story.config) }
            }
        }
    };
    Ok(body.into_string())
}

fn table(story: &Story) -> Markup {
    let summary = &story.summary;
    html! {
        table {
            tr {
                th { }
                @for k in summary.test.recall.keys() { th { "Recall@" (k) } }
                th { "MAP@R" } th { "R-precision" }
            }
            @for (name, scores) in rows(summary) {
                tr {
                    td { (name) }
                    @for value in scores.recall.values().chain([&scores.map_at_r, &scores.r_precision]) {
                        td { (format!("{value:.3}")) }
                    }
                }
            }
        }
    }
}

fn charts(story: &Story, target: &[(f64, f64)]) -> Result<Markup> {
    let looks = &story.looks;
    let curve = |value: &dyn Fn(&Look) -> Option<f64>| -> Vec<(f64, f64)> {
        looks.iter().filter_map(|look| Some((f64::from(look.step), value(look)?))).collect()
    };
    let recall = |scores: &crate::record::Scores| scores.recall.get("1").copied();
    let level = |name: &str, value: Option<f64>| {
        let steps = [0, story.summary.steps];
        let points = value.map(|v| steps.map(|step| (f64::from(step), v)).to_vec()).unwrap_or_default();
        Series::line(name, points)
    };
    let summary = &story.summary;
    let mut list = vec![
        (
            Chart { x: "step", y: "loss", series: vec![Series::line("loss", curve(&|l| Some(l.loss)))] },
            "Mean loss between looks. With a mean over active terms it need not fall far: terms that are satisfied \
             leave the mean.",
        ),
        (
            Chart {
                x: "step",
                y: "Recall@1",
                series: vec![
                    Series::line("validation classes", curve(&|l| l.validation.as_ref().and_then(recall))),
                    level("unseen classes, at the end", recall(&summary.test)),
                    level("raw input", recall(&summary.baselines.raw)),
                    level("untrained network", recall(&summary.baselines.untrained)),
                ],
            },
            "Should climb well above both baselines. Few validation classes are easier than many unseen ones.",
        ),
    ];
    if let (Some(first), Some(last)) = (looks.first(), looks.last()) {
        let mut series = vec![Series::histogram("all negatives, first look", &first.negatives)];
        if looks.len() > 1 {
            series.push(Series::histogram("all negatives, last look", &last.negatives));
        }
        if !last.drawn.is_empty() {
            series.push(Series::histogram("drawn negatives, last look", &last.drawn));
        }
        if !target.is_empty() {
            let name = last.dimension.map_or("law".into(), |n| format!("law of the sphere, n = {n:.1}"));
            series.push(Series::line(&name, target.to_vec()));
        }
        list.push((
            Chart { x: "distance", y: "density", series },
            "Distance weighted sampling draws evenly where all negatives pile up around the law of the sphere.",
        ));
    }
    list.push((
        Chart {
            x: "step",
            y: "negatives",
            series: vec![Series::line("effective negatives", curve(&|l| Some(l.effective_negatives)))],
        },
        "How many negatives an anchor effectively chooses from. Near 1 it is hardest mining under another name.",
    ));
    list.push((
        Chart {
            x: "step",
            y: "share",
            series: vec![
                Series::line("active terms", curve(&|l| Some(l.active))),
                Series::line("capped weights", curve(&|l| Some(l.capped))),
                Series::line("pairs without candidate", curve(&|l| Some(l.without_candidate))),
            ],
        },
        "Terms with a positive loss; candidates whose weight is cut at the cap; positive pairs that found no negative.",
    ));
    let spread = |at: usize| curve(&|l| l.beta_classes.map(|classes| l.beta + classes[at]));
    let mut series = vec![Series::line("beta0", curve(&|l| Some(l.beta)))];
    if looks.iter().any(|look| look.beta_classes.is_some()) {
        for (at, name) in ["least of a class", "median class", "largest of a class"].into_iter().enumerate() {
            series.push(Series::line(name, spread(at)));
        }
    }
    list.push((
        Chart { x: "step", y: "boundary", series },
        "The boundary of the margin loss between near and far.",
    ));
    let mut markup = Vec::new();
    for (chart, caption) in list {
        markup.push(html! { figure { (PreEscaped(chart.draw()?)) figcaption { (caption) } } });
    }
    Ok(html! { @for figure in markup { (figure) } })
}

fn strip(neighbours: &Neighbours) -> Result<Markup> {
    let query = data_uri(&neighbours.query)?;
    let mut found = Vec::new();
    for (picture, hit) in &neighbours.found {
        let (class, mark) = if *hit { ("hit", "\u{2713}") } else { ("miss", "\u{2717}") };
        found.push((data_uri(picture)?, picture, class, mark));
    }
    Ok(html! {
        div class="strip" {
            div { img src=(query) alt={ "query of class " (neighbours.query.label) }; br; (neighbours.query.label) }
            @for (uri, picture, class, mark) in found {
                div class=(class) { img src=(uri) alt={ "neighbour of class " (picture.label) }; br; (mark) " " (picture.label) }
            }
        }
    })
}

fn data_uri(picture: &Picture) -> Result<String> {
    let colour = if picture.channels == 3 { ExtendedColorType::Rgb8 } else { ExtendedColorType::L8 };
    let mut png = Vec::new();
    PngEncoder::new(&mut png).write_image(
        &picture.bytes,
        picture.width as u32,
        picture.height as u32,
        colour,
    )?;
    Ok(format!("data:image/png;base64,{}", base64::engine::general_purpose::STANDARD.encode(png)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Summary;

    fn story() -> Story {
        let picture = |label: &str| Picture {
            label: label.into(),
            height: 2,
            width: 2,
            channels: 1,
            bytes: vec![0, 9, 200, 255],
        };
        let look = |step| Look {
            step,
            loss: 0.5,
            negatives: vec![1, 2, 3],
            drawn: vec![0, 1, 0],
            dimension: Some(12.0),
            beta_classes: Some([-0.1, 0.0, 0.1]),
            ..Look::default()
        };
        Story {
            name: "kana".into(),
            config: "seed = 0".into(),
            looks: vec![look(10), look(20)],
            summary: Summary::default(),
            neighbours: vec![Neighbours { query: picture("<script>x"), found: vec![(picture("b"), true)] }],
        }
    }

    #[test]
    fn the_page_is_one_file_and_the_same_every_time() {
        let page = super::page(&story(), &[(0.5, 1.0), (1.0, 2.0)]).unwrap();
        assert_eq!(page, super::page(&story(), &[(0.5, 1.0), (1.0, 2.0)]).unwrap());
        let links = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!links.contains("http") && !page.contains("<script"), "something outside is named");
        for part in
            ["Quality on unseen classes", "Nearest neighbours", "Configuration", "boundary", "data:image/png"]
        {
            assert!(page.contains(part), "{part}");
        }
    }

    #[test]
    fn a_run_without_looks_and_pictures_has_a_page() {
        let bare = Story { looks: Vec::new(), neighbours: Vec::new(), ..story() };
        assert!(super::page(&bare, &[]).unwrap().contains("</html>"));
    }
}
