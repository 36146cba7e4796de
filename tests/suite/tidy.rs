//! The house stays tidy: what no compiler looks at.

use std::path::{Path, PathBuf};

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// All text files of the project, with their content.
fn files(endings: &[&str]) -> Vec<(String, String)> {
    let mut list = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !["target", ".git", ".cuda12", "runs", "corpus", "artifacts"].contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                let relative = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
                list.push((relative, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(!list.is_empty());
    list
}

#[test]
fn only_math_names_libm() {
    for (name, text) in files(&[".rs"]).iter().filter(|(name, _)| name.starts_with("core/src")) {
        if name != "core/src/math.rs" && !text.contains("#[cfg(test)]") {
            assert!(!text.contains("libm::"), "{name} names libm");
        }
        let code = text.split("#[cfg(test)]").next().unwrap();
        assert!(name == "core/src/math.rs" || !code.contains("libm::"), "{name} names libm");
    }
}

#[test]
fn unsafe_code_has_its_doors() {
    for (name, text) in files(&[".rs"]) {
        let doors = [
            "core/src/kernel/fast/half/amx.rs",
            "core/src/kernel/fast/half/dots.rs",
            "cuda/src/launch.rs",
            "tests/allocations/main.rs",
            "tests/suite/tidy.rs",
        ];
        let door = doors.contains(&name.as_str());
        // The stand-in driver has the C interface of CUDA, and its test launches a kernel through it.
        let driver =
            name.starts_with("tests/ptx-sim/src/driver/") || name == "tests/ptx-sim/tests/end_to_end.rs";
        let freestanding = name.starts_with("tests/no_std/");
        let found =
            text.lines().any(|line| line.trim_start().starts_with("unsafe ") || line.contains(" unsafe {"));
        assert!(door || driver || freestanding || !found, "{name} holds unsafe code");
    }
}

#[test]
fn nothing_is_left_behind() {
    let words = ["todo!", "unimplemented!", "dbg!", "TODO", "FIXME", "XXX", "allow(dead_code)"];
    for (name, text) in files(&[".rs", ".toml", ".md", ".sh", ".py"]) {
        if name == "tests/suite/tidy.rs" {
            continue;
        }
        for word in words {
            assert!(!text.contains(word), "{name} holds {word}");
        }
    }
}

#[test]
fn files_are_short_enough_to_read() {
    for (name, text) in files(&[".rs"]) {
        let lines = text.lines().count();
        assert!(lines <= 520, "{name} has {lines} lines: it holds more than one idea");
    }
}

#[test]
fn every_source_file_opens_with_what_it_is() {
    for (name, text) in files(&[".rs"]) {
        let head = text.lines().next().unwrap_or("");
        // Tests kept apart from a long file belong to its head.
        assert!(head.starts_with("//!") || name.ends_with("_tests.rs"), "{name} has no module head");
    }
}

#[test]
fn imports_climb_one_way() {
    // What each storey of the core must not see.
    let rules: [(&str, &[&str]); 8] = [
        ("core/src/math.rs", &["crate::"]),
        ("core/src/rng.rs", &["crate::batch", "crate::kernel", "crate::net", "crate::loss", "crate::sample"]),
        (
            "core/src/density.rs",
            &["crate::batch", "crate::kernel", "crate::net", "crate::loss", "crate::sample"],
        ),
        ("core/src/weight.rs", &["crate::kernel", "crate::net", "crate::loss"]),
        ("core/src/sample/", &["crate::kernel", "crate::net", "crate::loss"]),
        ("core/src/loss/", &["crate::kernel", "crate::net"]),
        ("core/src/isotonic/", &["crate::kernel", "crate::net", "crate::batch"]),
        ("core/src/kernel/", &["crate::net", "crate::compose", "crate::metric::cluster"]),
    ];
    for (name, text) in files(&[".rs"]) {
        let code = text.split("#[cfg(test)]").next().unwrap();
        for (place, banned) in rules.iter().filter(|(place, _)| name.starts_with(place)) {
            for word in *banned {
                let found =
                    code.lines().any(|line| line.trim_start().starts_with("use ") && line.contains(word));
                assert!(!found, "{name} (under {place}) imports {word}");
            }
        }
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    for (name, text) in files(&[".md"]) {
        let folder = root().join(&name).parent().unwrap().to_owned();
        for part in text.split("](").skip(1) {
            let target = part.split(')').next().unwrap().split('#').next().unwrap();
            if !target.is_empty() && !target.contains("://") {
                assert!(folder.join(target).exists(), "{name} links to {target}, which is not there");
            }
        }
    }
}
