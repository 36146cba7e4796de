//! The kernels that nearfar ships: every one is understood.

use std::path::PathBuf;

use ptx_sim::Device;

fn shipped() -> Vec<(PathBuf, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../cuda/kernels");
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "ptx"))
        .map(|path| (path.clone(), std::fs::read_to_string(path).unwrap()))
        .collect();
    found.sort();
    assert!(!found.is_empty(), "{folder} has no PTX");
    found
}

#[test]
fn every_kernel_loads() {
    for (path, text) in shipped() {
        let module =
            Device::new(64 << 20).load(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for part in text.split(".entry ").skip(1) {
            let name = part.split('(').next().unwrap();
            assert!(module.kernel(name).is_some(), "{}: no {name}", path.display());
        }
        assert_eq!(module.kernels().count(), text.matches(".entry ").count(), "{}", path.display());
    }
}

#[test]
fn one_unknown_instruction_among_them_is_refused_with_its_line() {
    for (path, text) in shipped() {
        let changed = text.replacen("add.s64", "add.s65", 1);
        assert_ne!(changed, text, "{}", path.display());
        let line = changed.lines().position(|line| line.contains("add.s65")).unwrap() + 1;
        let error = Device::new(64 << 20).load(&changed).err().unwrap();
        assert_eq!(
            error.to_string(),
            format!("PTX line {line}: unknown instruction add.s65"),
            "{}",
            path.display()
        );
    }
}
