//! The planted mistakes still have their place in the sources; `make fuzz-oracles` plants them.

#![cfg(not(target_family = "wasm"))]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use attache_fuzz::{TARGETS, Target};

fn patches() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("mistakes");
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// The target that is named before the first hyphen.
fn target_of(patch: &Path) -> &'static Target {
    let name = patch.file_name().unwrap().to_str().unwrap();
    Target::named(name.split('-').next().unwrap()).unwrap_or_else(|| panic!("{name} names no target"))
}

#[test]
fn every_planted_mistake_applies() {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for patch in patches() {
        let check = Command::new("git").args(["apply", "--check"]).arg(&patch).current_dir(checkout).output();
        let check = check.unwrap_or_else(|error| panic!("git, which plants mistakes, does not run: {error}"));
        let said = String::from_utf8_lossy(&check.stderr);
        assert!(
            check.status.success(),
            "{}: move the mistake to where the code is now: {said}",
            patch.display()
        );
    }
}

#[test]
fn every_target_has_a_planted_mistake() {
    let planted: Vec<&str> = patches().iter().map(|patch| target_of(patch).name).collect();
    let spared = TARGETS.iter().filter(|target| !planted.contains(&target.name));
    assert_eq!(spared.map(|target| target.name).collect::<Vec<_>>(), [""; 0]);
}
