//! The committed PTX is that of the committed sources: no compiler is needed to find a stale file.

use std::path::Path;

use sha2::{Digest, Sha256};
use toml::{Table, Value};

/// Cargo runs a package's tests in its folder.
const FOLDER: &str = "kernels";

fn sha256(name: &str) -> String {
    let bytes = std::fs::read(Path::new(FOLDER).join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn manifest() -> Table {
    std::fs::read_to_string(Path::new(FOLDER).join("MANIFEST.toml")).unwrap().parse().unwrap()
}

/// Names in the folder with this ending, without it.
fn stems(ending: &str) -> Vec<String> {
    let mut stems: Vec<String> = std::fs::read_dir(FOLDER)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(ending).map(str::to_owned))
        .collect();
    stems.sort();
    stems
}

/// Headers that a source includes, and theirs.
fn headers(name: &str, found: &mut Vec<String>) {
    let text = std::fs::read_to_string(Path::new(FOLDER).join(name)).unwrap();
    let included = text.lines().filter_map(|line| line.strip_prefix("#include \"")?.strip_suffix('"'));
    for header in included {
        if !found.iter().any(|seen| seen == header) {
            found.push(header.to_owned());
            headers(header, found);
        }
    }
}

#[test]
fn no_ptx_is_older_than_its_sources() {
    let manifest = manifest();
    for stem in stems(".cu") {
        let entry = manifest.get(&stem).unwrap_or_else(|| panic!("{stem} is not in the manifest"));
        assert_eq!(
            entry["ptx"].as_str(),
            Some(&*sha256(&format!("{stem}.ptx"))),
            "{stem}.ptx was changed by hand"
        );
        let mut names = vec![format!("{stem}.cu")];
        headers(&names[0].clone(), &mut names);
        let recorded = entry["sources"].as_table().unwrap();
        assert_eq!(recorded.len(), names.len(), "{stem} includes other headers: run kernels/build.sh");
        for name in names {
            let found = recorded.get(&name).and_then(Value::as_str);
            assert_eq!(found, Some(&*sha256(&name)), "{stem}.ptx is older than {name}: run kernels/build.sh");
        }
    }
}

#[test]
fn every_file_has_its_place() {
    let manifest = manifest();
    let recorded: Vec<String> =
        manifest.iter().filter(|(_, value)| value.is_table()).map(|(name, _)| name.clone()).collect();
    assert_eq!(recorded, stems(".cu"));
    assert_eq!(stems(".ptx"), stems(".cu"));
}

#[test]
fn every_kernel_is_assembled_for_every_chip() {
    let manifest = manifest();
    let chips = manifest["chips"].as_array().unwrap().len();
    for stem in stems(".ptx") {
        let text = std::fs::read_to_string(Path::new(FOLDER).join(format!("{stem}.ptx"))).unwrap();
        assert!(text.contains(".version 8.0\n.target sm_80\n"), "{stem} is not PTX 8.0 for sm_80");
        let kernels = manifest[&stem]["kernels"].as_table().unwrap();
        let entries: Vec<&str> =
            text.split(".entry ").skip(1).map(|part| part.split('(').next().unwrap()).collect();
        assert_eq!(entries.len(), kernels.len(), "{stem}");
        for name in entries {
            let registers = kernels[name]["registers"].as_array().unwrap();
            let within = registers.iter().all(|count| (1..=255).contains(&count.as_integer().unwrap()));
            assert!(registers.len() == chips && within, "{name}: {registers:?}");
        }
    }
}

#[test]
fn every_kernel_is_started_by_some_operation() {
    let sources: String = std::fs::read_dir("src")
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    for stem in stems(".ptx") {
        for name in manifest()[&stem]["kernels"].as_table().unwrap().keys() {
            assert!(sources.contains(&format!("\"{name}\"")), "nothing starts {name} of {stem}.cu");
        }
    }
}
