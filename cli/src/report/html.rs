//! `report.html`: one file without links to anything outside it.

use anyhow::Result;
use base64::Engine;
use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
use maud::{Markup, html};

use super::charts::charts;
use super::document::document;
use super::table::rows;
use crate::record::{Neighbours, Picture, Scores, Story};

/// The page of a run; `target` are points of the law of distances that negatives are spread against. The same story
/// gives the same bytes.
pub fn page(story: &Story, target: &[(f64, f64)]) -> Result<String> {
    let summary = &story.summary;
    let [samples, classes] = summary.unseen;
    let best = summary.test.recall.get("1").copied().unwrap_or(0.0);
    let body = html! {
        h1 { "nearfar: " (story.name) }
        p {
            "Trained on " (summary.train[0]) " samples of " (summary.train[1]) " classes for "
            (summary.steps) " steps (seed " (summary.seed) "). On " (samples) " samples of " (classes)
            " classes that it never saw, the nearest neighbour is of the same class for "
            b { (format!("{:.1} %", 100.0 * best)) } "."
        }
        @let not_helped = summary.not_helped();
        @if !not_helped.is_empty() {
            p class="warning" {
                b { "Training did not help here: " }
                "by " (not_helped.join(" and ")) " the raw inputs, without any network, are as good as this "
                "embedding or better. More steps, more training classes or less variation of the inputs "
                "(augment) may change that; until then compare the inputs themselves."
            }
        }
        h2 { "Quality on unseen classes" }
        div class="wide" { (table(story)) }
        h2 { "The run" }
        @if let Some(memory) = story.looks.last().and_then(|look| look.memory) {
            p {
                "Beside those of its batch an anchor has negatives that are remembered from earlier ones: at the end "
                (memory.rows) " embeddings, on average " (format!("{:.1}", memory.mean_age)) " steps old and at most "
                (memory.max_age) ". " (format!("{:.0} %", 100.0 * memory.share)) " of the negatives came from there."
            }
        }
        div class="charts" { (charts(story, target)?) }
        @if !story.neighbours.is_empty() {
            h2 { "Nearest neighbours of unseen classes" }
            p { "A query, then its nearest neighbours. \u{2713} and green: of its class. \u{2717} and orange: of another." }
            @for neighbours in &story.neighbours { (strip(neighbours)?) }
        }
        h2 { "Configuration" }
        p { "Saved as a file, this makes the same run again: " code { "nearfar train --config FILE.toml" } }
        pre { (story.config.to_toml()) }
    };
    Ok(document(&format!("nearfar: {}", story.name), &body))
}

/// Quality by row; the best of each column is bold.
fn table(story: &Story) -> Markup {
    let summary = &story.summary;
    let cells = |scores: &Scores| -> Vec<String> {
        let values = scores.recall.values().chain([&scores.map_at_r, &scores.r_precision]);
        values.map(|value| format!("{value:.3}")).collect()
    };
    let rows = rows(summary).map(|(name, scores)| (name, cells(scores)));
    // Of what is shown: numbers that look alike are alike. They have as many digits, so text compares as numbers.
    let best = |column: usize| rows.iter().filter_map(|(_, cells)| cells.get(column)).max();
    html! {
        table {
            tr {
                th { }
                @for k in summary.test.recall.keys() { th { "Recall@" (k) } }
                th { "MAP@R" } th { "R-precision" }
            }
            @for (name, cells) in &rows {
                tr {
                    td { (name) }
                    @for (column, cell) in cells.iter().enumerate() {
                        td { @if best(column) == Some(cell) { b { (cell) } } @else { (cell) } }
                    }
                }
            }
        }
    }
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
            div title=(neighbours.query.label) {
                img src=(query) alt={ "query of class " (neighbours.query.label) };
                span { (neighbours.query.label) }
            }
            @for (uri, picture, class, mark) in found {
                div class=(class) title=(picture.label) {
                    img src=(uri) alt={ "neighbour of class " (picture.label) };
                    span { (mark) " " (picture.label) }
                }
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
    use crate::config::{Config, SamplerKind};
    use crate::recipe::Recipe;
    use crate::record::{Look, Remembered, Summary};

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
            config: Config::recipe(Recipe::Best),
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

    /// Recall@1 and MAP@R of raw inputs and of the trained network.
    fn scored(raw: [f64; 2], trained: [f64; 2]) -> String {
        let scores = |[recall, map_at_r]: [f64; 2]| Scores {
            recall: [("1".to_owned(), recall)].into(),
            map_at_r,
            r_precision: 0.0,
        };
        let mut story = story();
        story.summary.baselines.raw = scores(raw);
        story.summary.baselines.untrained = scores([0.1, 0.1]);
        story.summary.test = scores(trained);
        super::page(&story, &[]).unwrap()
    }

    #[test]
    fn training_that_did_not_help_is_said_at_the_top_and_the_best_is_bold() {
        let page = scored([0.9, 0.5], [0.8, 0.6]);
        let (warning, table) = (page.find("Training did not help").unwrap(), page.find("<table").unwrap());
        assert!(warning < table && page.contains("by Recall@1 the raw inputs"));
        assert!(page.contains("<td><b>0.900</b></td>") && page.contains("<td><b>0.600</b></td>"));
        assert!(page.contains("<td>0.800</td>") && page.contains("<td>0.500</td>"));
        assert!(scored([0.9, 0.7], [0.8, 0.6]).contains("by MAP@R and Recall@1 the raw"));
        assert!(!scored([0.7, 0.5], [0.8, 0.6]).contains("did not help"));
    }

    #[test]
    fn captions_say_what_the_sampler_did() {
        for (kind, part) in [
            (SamplerKind::Expected, "nothing is drawn"),
            (SamplerKind::DistanceWeighted, "draws evenly"),
            (SamplerKind::Hard, "nearest negative"),
            (SamplerKind::All, "Every negative enters"),
        ] {
            let mut story = story();
            story.config.sampler.kind = kind;
            let page = super::page(&story, &[]).unwrap();
            assert!(page.contains(part), "{kind}");
            assert_eq!(page.contains("draws evenly"), kind == SamplerKind::DistanceWeighted);
        }
    }

    #[test]
    fn names_that_have_nothing_to_show_are_left_out() {
        let page = super::page(&story(), &[]).unwrap();
        assert!(!page.contains("validation classes"), "no look has validation classes");
        let long = "x".repeat(120);
        let mut wide = story();
        wide.neighbours[0].query.label = long.clone();
        let page = super::page(&wide, &[]).unwrap();
        assert!(page.contains(&format!("title=\"{long}\"")) && page.contains("text-overflow: ellipsis"));
    }

    #[test]
    fn a_memory_is_told_of_where_there_is_one() {
        assert!(!super::page(&story(), &[]).unwrap().contains("remembered"));
        let mut story = story();
        story.config.memory.size = 640;
        let memory = Remembered { rows: 640, mean_age: 2.5, max_age: 4, share: 0.8 };
        story.looks.iter_mut().for_each(|look| look.memory = Some(memory));
        let page = super::page(&story, &[]).unwrap();
        for part in
            ["640 embeddings", "2.5 steps old and at most 4", "80 % of the negatives", "remembered negatives"]
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
