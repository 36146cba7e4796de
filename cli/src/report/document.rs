//! The frame of every page: one file without links to anything outside it.

use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = "
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1180px; margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; } th, td { padding: .25rem .8rem; text-align: right; white-space: nowrap; }
th { font-weight: 400; opacity: .8; } th:first-child, td:first-child { text-align: left; }
.warning { border-left: 4px solid #d55e00; padding: .5rem 1rem; background: rgb(213 94 0 / .1); }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr)); gap: 1.5rem; }
figure { margin: 0; min-width: 0; } figure svg { background: #fff; border-radius: 6px; width: 100%; height: auto; }
figcaption { font-size: 13px; opacity: .8; }
.strip { display: flex; gap: 6px; margin-bottom: 6px; overflow-x: auto; }
.strip div { text-align: center; font-size: 12px; flex: 0 0 62px; width: 62px; }
.strip span { display: block; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.strip img { width: 56px; height: 56px; image-rendering: pixelated; border: 3px solid #888; border-radius: 4px; }
.hit img { border-color: #009e73; } .miss img { border-color: #d55e00; }
pre { overflow-x: auto; font-size: 13px; }
";

/// A whole page with this title.
pub fn document(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    };
    page.into_string()
}
