//! Every page and picture in a real browser: nothing on its console, nothing asked for outside the file, no text cut off
//! or on top of another. Headless Chromium, if there is one; else the test says that it was skipped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::cli::json;

/// Watches a page from inside. A page is one file: any request for what is not in it is refused by the policy, and a
/// refusal is a line of the console, where a request that fails is none. Boxes of texts may touch, but not by more than
/// two pixels.
const WATCH: &str = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; \
style-src 'unsafe-inline'; script-src 'unsafe-inline'\"><script>
addEventListener('load', () => {
  for (const picture of document.images) if (!picture.naturalWidth) console.error('no picture: ' + picture.alt);
  for (const svg of document.querySelectorAll('svg')) {
    const frame = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll('text')].map(t => [t.textContent.trim(), t.getBoundingClientRect()]);
    texts.forEach(([name, a], at) => {
      const out = Math.max(frame.left - a.left, frame.top - a.top, a.right - frame.right, a.bottom - frame.bottom);
      if (out > 1) console.error('text is cut: ' + name);
      for (const [other, b] of texts.slice(at + 1)) {
        const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (wide > 2 && high > 2) console.error('texts overlap: ' + name + ' / ' + other);
      }
    });
  }
  document.documentElement.dataset.watched = 'to the end';
});
</script>";

/// A Chromium on the path.
fn browser() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|path| path.is_file())
}

/// Loads a page, watched; all that there is to complain about.
fn complaints(browser: &Path, page: &str) -> Vec<String> {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("page.html");
    assert!(page.contains("<head>"), "the page has no head to watch from");
    fs::write(&file, page.replacen("<head>", &format!("<head>{WATCH}"), 1)).unwrap();
    loaded(browser, &format!("file://{}", file.display()), folder.path())
}

fn loaded(browser: &Path, address: &str, folder: &Path) -> Vec<String> {
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"])
        .args(["--window-size=1280,1000", "--timeout=30000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .arg(address)
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    let mut complaints: Vec<String> =
        log.lines().filter(|line| line.contains(":CONSOLE")).map(str::to_owned).collect();
    if !String::from_utf8_lossy(&output.stdout).contains("data-watched=\"to the end\"") {
        complaints.push(format!("{address} did not load: {log}"));
    }
    complaints
}

/// A page that reads pictures as strictly as XML is read, and shows them.
fn gallery(pictures: &[String]) -> String {
    // In a script `</` might end it.
    let texts = serde_json::to_string(pictures).unwrap().replace("</", "<\\/");
    format!(
        "<!DOCTYPE html><html><head></head><body><script>for (const text of {texts}) {{
           const picture = new DOMParser().parseFromString(text, 'image/svg+xml');
           if (picture.querySelector('parsererror')) console.error('no XML: ' + text.slice(0, 200));
           else document.body.append(picture.documentElement);
         }}</script></body></html>"
    )
}

/// Everything that the program draws, made by small runs: pages, and pictures by themselves.
fn drawn(here: &Path) -> (Vec<String>, Vec<String>) {
    let config = "data.validation = 0.2\nmodel = { kind = \"mlp\", dim = 8, hidden = [16] }\n\
                  batch = { classes = 8, per_class = 3 }\ntrain = { steps = 9, every = 3 }\n";
    fs::write(here.join("c.toml"), config).unwrap();
    // A name that must be escaped, and is too long for a legend.
    let run = format!("a & <b> {}", "long-name-".repeat(12));
    json(here, &["train", "--config", "c.toml", "--out", &run]);
    json(
        here,
        &["train", "--config", "c.toml", "--loss", "triplet", "--sampler", "semihard", "--out", "other"],
    );
    json(here, &["ablate", "--config", "c.toml", "--seeds", "2", "--preset", "cap", "--out", "grid"]);
    json(here, &["figures", "--run", &run, "--run", "other", "--out", "figures"]);
    json(here, &["figures", "--run", "other", "--out", "alone"]);
    json(here, &["embed", "--run", "other", "--data", "kana", "--out", "E.npy"]);
    let pairs: String = (0..900)
        .map(|i| {
            format!("{}\t{}\t{}\t{}\n", i % 3, i, (i + 1 + 14 * (i % 2)) % 1065, {
                u8::from(i / 15 == (i + 1 + 14 * (i % 2)) % 1065 / 15)
            })
        })
        .collect();
    fs::write(here.join("P.tsv"), format!("fold\ti\tj\tsame\n{pairs}")).unwrap();
    let calibrate = ["calibrate", "--embeddings", "E.npy", "--pairs", "P.tsv", "--out", "C.json"];
    json(here, &[&calibrate[..], &["--far", "0.1", "--plot", "C.svg"]].concat());
    json(here, &["density", "--n", "128", "--plot", "q.svg"]);
    let read = |name: &PathBuf| fs::read_to_string(here.join(name)).unwrap();
    let pages = [Path::new(&run).join("report.html"), "other/report.html".into(), "grid/index.html".into()];
    let pages =
        pages.iter().chain(&["figures/index.html".into(), "alone/index.html".into()]).map(read).collect();
    let mut pictures: Vec<PathBuf> = vec!["C.svg".into(), "q.svg".into(), "grid/table.svg".into()];
    for entry in fs::read_dir(here.join("figures")).unwrap() {
        let path = entry.unwrap().path();
        pictures.extend(path.extension().is_some_and(|end| end == "svg").then_some(path));
    }
    (pages, pictures.iter().map(read).collect())
}

#[test]
fn pages_and_pictures_are_sound_in_a_browser_and_faults_would_be_found() {
    let Some(browser) = browser() else {
        println!("skipped: no chromium");
        return;
    };
    // First the watcher itself: each fault that it is for, planted.
    let faulty = "<!DOCTYPE html><html><head><link rel=\"stylesheet\" href=\"absent.css\"></head>
        <body style=\"background: url(absent-background.png)\"><img src=\"absent.png\">
        <img alt=\"broken bytes\" src=\"data:image/png;base64,AAAA\">
        <script>console.error('planted error')</script><script>this is no script</script>
        <svg width=\"200\" height=\"60\"><text x=\"10\" y=\"20\">one text</text><text x=\"20\" y=\"22\">another</text>
        <text x=\"180\" y=\"50\">beyond the edge</text></svg></body></html>";
    let found = complaints(&browser, faulty).join("\n");
    for fault in [
        "planted error",
        "SyntaxError",
        "absent.png",
        "no picture: broken bytes",
        "absent.css",
        "absent-background.png",
        "texts overlap: one text / another",
        "text is cut: beyond the edge",
    ] {
        assert!(found.contains(fault), "{fault} was not found:\n{found}");
    }
    assert!(complaints(&browser, &gallery(&["<svg><text>a & b</svg>".into()])).join("").contains("no XML"));
    let nowhere = TempDir::new().unwrap();
    let absent = format!("file://{}/absent.html", nowhere.path().display());
    assert!(loaded(&browser, &absent, nowhere.path()).join("").contains("did not load"));

    let folder = TempDir::new().unwrap();
    let (pages, pictures) = drawn(folder.path());
    assert_eq!((pages.len(), pictures.len()), (5, 9));
    for page in pages.iter().chain([&gallery(&pictures)]) {
        let found = complaints(&browser, page);
        let title = page.split("<title>").nth(1).and_then(|rest| rest.split('<').next());
        assert!(found.is_empty(), "{}:\n{}", title.unwrap_or("the pictures"), found.join("\n"));
    }
    println!("{} pages and {} pictures are sound in {}", pages.len(), pictures.len(), browser.display());
}
