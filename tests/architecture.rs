//! The house rules that no compiler holds: layers, the rim, the file map, bounds that say where they come from.

#![cfg(not(target_family = "wasm"))]
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::arithmetic_side_effects, clippy::string_slice)]

#[path = "architecture/imports.rs"]
mod imports;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A file of `src`, by its path below it.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The module of the crate's root that it belongs to.
    fn layer(&self) -> &str {
        self.path.split('/').next().unwrap().trim_end_matches(".rs")
    }

    fn is_test(&self) -> bool {
        self.path.ends_with("tests.rs")
    }

    /// Its lines without comments and without its unit tests, each with its number.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(index, line)| (index + 1, line));
        let lines = lines.take_while(|(_, line)| *line != "mod tests {");
        lines.map(|(number, line)| (number, without_comment(line)))
    }
}

fn without_comment(line: &str) -> &str {
    // `//` inside a text follows a colon (URLs) or a quote; a comment follows white space or begins the line.
    if line.trim_start().starts_with("//") {
        return "";
    }
    line.split_once(" // ").map_or(line, |(code, _)| code)
}

fn sources() -> Vec<Source> {
    let src = root().join("src");
    let mut sources = Vec::new();
    let mut folders = vec![src.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(&src).unwrap().to_str().unwrap().replace('\\', "/");
                sources.push(Source { path, text });
            }
        }
    }
    assert!(sources.len() > 50, "{} sources", sources.len());
    sources
}

/// The layers in the order of the table in lib.rs, top first.
fn layers() -> Vec<String> {
    let text = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    // The host is no link: it is not there on the targets that documentation is built for.
    let cells = text.lines().filter_map(|line| line.strip_prefix("//! | ")?.split_once(" |"));
    let names =
        cells.filter_map(|(cell, _)| cell.trim_matches(['[', ']']).strip_prefix('`')?.strip_suffix('`'));
    names.map(str::to_owned).collect()
}

/// What a line of code names of the crate: `crate::claims::…` and `use crate::{claims, jose::…}`.
fn named(code: &str, at: usize) -> Vec<String> {
    let rest = &code[at..];
    let word = |text: &str| -> String {
        text.trim_start_matches([',', ' ', '\n'])
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
            .collect()
    };
    let Some(group) = rest.strip_prefix('{') else { return vec![word(rest)] };
    let mut names = Vec::new();
    let mut depth = 0;
    let mut item = String::new();
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(word(&std::mem::take(&mut item))),
            _ => {}
        }
        item.push(c);
    }
    names.push(word(&item));
    names.retain(|name| !name.is_empty());
    names
}

#[test]
fn the_table_lists_the_modules_of_the_crate() {
    let text = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let modules: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let layers = layers();
    assert_eq!(layers.iter().map(String::as_str).collect::<BTreeSet<_>>(), modules);
    assert_eq!(layers.len(), modules.len(), "a layer is there twice");
    let found: BTreeSet<String> = sources().iter().map(|source| source.layer().to_owned()).collect();
    let expected: BTreeSet<String> = layers.into_iter().chain(["lib".to_owned()]).collect();
    assert_eq!(found, expected, "every folder of src is a layer");
}

#[test]
fn imports_point_down() {
    let layers = layers();
    let place = |name: &str| layers.iter().position(|layer| layer == name);
    let mut seen = 0;
    for source in sources().iter().filter(|source| source.layer() != "lib") {
        let own = place(source.layer()).unwrap();
        // Whole file as one text: a group may span lines.
        let code: String = source.code().map(|(_, line)| format!("{line}\n")).collect();
        for (at, found) in code.match_indices("crate::") {
            for name in named(&code, at + found.len()) {
                let Some(other) = place(&name) else { panic!("{}: crate::{name} is no layer", source.path) };
                assert!(other >= own, "{}: {} must not know of {name}", source.path, source.layer());
                seen += 1;
            }
        }
        // `super` of a layer's own mod.rs is the crate.
        if source.path.matches('/').count() == 1 && source.path.ends_with("/mod.rs") {
            assert!(!code.contains("\nuse super::"), "{}: name layers by `crate::`", source.path);
        }
        assert!(!code.contains("super::super::super"), "{}: too deep to follow", source.path);
    }
    assert!(seen > 80, "only {seen} imports were found: does this test still read the sources?");
}

#[test]
fn the_two_halves_of_life_cycles_do_not_meet() {
    for source in sources() {
        let other = match source.layer() {
            "issuer" => "outbound",
            "outbound" => "issuer",
            _ => continue,
        };
        for (number, line) in source.code() {
            assert!(!line.contains(&format!("crate::{other}")), "src/{}:{number}", source.path);
        }
    }
}

/// Words that only the rim may use, and in it only some files.
#[test]
fn the_core_knows_no_host_no_clock_and_no_network() {
    let rim = [
        "SystemTime::now",
        "Instant",
        "std::env",
        "std::net",
        "std::thread",
        "std::fs",
        "std::process",
        "RandomState",
    ];
    for source in sources() {
        for (number, line) in source.code() {
            for word in rim {
                let used = has_word(line, word);
                assert!(!used || source.layer() == "host", "src/{}:{number}: {word}", source.path);
            }
            let is_unsafe = has_word(line, "unsafe") || has_word(line, "unsafe_code");
            let may = ["host/dispatcher.rs", "host/raw.rs"].contains(&source.path.as_str());
            assert!(!is_unsafe || may, "src/{}:{number}: unsafe", source.path);
        }
    }
}

fn has_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].chars().next_back().is_some_and(part)
            && !line[at + word.len()..].chars().next().is_some_and(part)
    })
}

/// The packages that the project was asked to be built with: each is a dependency, with what it is for, and is used.
#[test]
fn the_packages_that_the_module_is_built_with_are_there_and_used() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let lines: Vec<&str> = manifest.lines().collect();
    let sources = sources();
    let tests = fs::read_to_string(root().join("tests/wasm.rs")).unwrap();
    for package in ["base64", "jwt-compact", "log", "proxy-wasm", "serde", "serde_json", "wasm-bindgen-test"]
    {
        let section = if package == "wasm-bindgen-test" { "dev-dependencies]" } else { "dependencies]" };
        let place = lines.iter().position(|line| line.starts_with(&format!("{package} = ")));
        let place = place.unwrap_or_else(|| panic!("Cargo.toml names no {package}"));
        let above = lines[..place].iter().rev().find(|line| line.starts_with('[')).unwrap();
        assert!(above.ends_with(section), "{package} stands below {above}");
        assert!(section != "dependencies]" || !above.contains("dev-"), "{package} is a test's");
        assert!(lines[place - 1].starts_with("# "), "Cargo.toml does not say what {package} is for");
        let name = format!("{}::", package.replace('-', "_"));
        let is_used = |text: &str| text.lines().any(|line| without_comment(line).contains(&name));
        let used = tests.contains(&name) || sources.iter().any(|source| is_used(&source.text));
        assert!(used, "nothing uses {package}");
    }
}

#[test]
fn the_host_is_compiled_for_wasi_only() {
    let text = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    assert!(text.contains("#[cfg(target_os = \"wasi\")]\npub mod host;"));
}

#[test]
fn no_file_is_too_long_to_be_read() {
    for source in sources().iter().filter(|source| !source.is_test()) {
        let lines = source.text.lines().count();
        assert!(lines <= 450, "src/{} has {lines} lines", source.path);
    }
}

#[test]
fn every_bound_says_where_its_number_comes_from() {
    let mut bounds = 0;
    for source in sources() {
        let mut documentation = String::new();
        for line in source.text.lines() {
            let code = line.trim_start();
            if let Some(text) = code.strip_prefix("///") {
                documentation.push_str(text);
                continue;
            }
            let start = ["const MAX_", "pub const MAX_", "pub(super) const MAX_", "pub(crate) const MAX_"];
            if start.iter().any(|start| code.starts_with(start)) {
                assert!(documentation.split_whitespace().count() >= 4, "src/{}: {code}", source.path);
                bounds += 1;
            }
            documentation.clear();
        }
    }
    assert!(bounds >= 30, "only {bounds} bounds were found");
}

/// The file map: each line's first word is a path.
fn map() -> Vec<String> {
    let page = fs::read_to_string(root().join("docs/files.md")).unwrap();
    let (_, section) =
        page.split_once("## The file map\n").expect("docs/files.md has a section \"The file map\"");
    let (_, block) = section.split_once("```").unwrap();
    let (_, block) = block.split_once('\n').unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let paths = block.lines().filter_map(|line| line.split_whitespace().next());
    paths.map(|path| path.trim_end_matches('/').to_owned()).collect()
}

#[test]
fn the_file_map_names_only_what_exists() {
    let map = map();
    assert!(map.len() > 10, "{map:?}");
    for path in map {
        assert!(root().join(&path).exists(), "docs/files.md's map names {path}");
    }
}

#[test]
fn the_file_map_names_everything_at_the_top() {
    let map: BTreeSet<String> = map().into_iter().collect();
    let ignored = fs::read_to_string(root().join(".gitignore")).unwrap();
    let ignored: BTreeSet<&str> =
        ignored.lines().map(|line| line.trim_matches('/')).chain([".git"]).collect();
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let is_listed = map.contains(&name) || map.iter().any(|path| path.starts_with(&format!("{name}/")));
        assert!(is_listed || ignored.contains(&*name), "docs/files.md's map lacks {name}");
    }
    for layer in layers() {
        assert!(map.contains(&format!("src/{layer}")), "docs/files.md's map lacks src/{layer}");
    }
}

#[test]
fn the_changelog_has_a_place_for_what_comes() {
    let text = fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    let unreleased = text.lines().any(|line| line.starts_with("## ") && line.contains("Unreleased"));
    assert!(unreleased, "CHANGELOG.md has no section \"Unreleased\"");
}

/// Each entry of the comparison ends with the test that proves it.
#[test]
fn the_tests_that_the_documentation_names_are_there() {
    let tokens = fs::read_to_string(root().join("docs/tokens.md")).unwrap();
    let (_, comparison) = tokens.split_once("## Comparison with credential_injector").unwrap();
    let entries: Vec<&str> = comparison.split("\n- ").skip(1).collect();
    assert!(entries.len() >= 15, "{} entries", entries.len());
    let mut code: String = sources().into_iter().map(|source| source.text).collect();
    let mut folders = vec![root().join("tests/behaviour"), root().join("tests/e2e")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if has_extension(&path, "rs") {
                code.push_str(&fs::read_to_string(&path).unwrap());
            }
        }
    }
    for entry in entries {
        let test = entry.split_whitespace().next_back().unwrap().trim_matches(['`', '.']);
        assert!(code.contains(&format!("fn {test}()")), "docs/tokens.md names no test: {entry}");
    }
}

#[test]
fn no_test_is_named_test() {
    let mut folders = vec![root().join("tests/behaviour")];
    let mut texts: Vec<(String, String)> =
        sources().into_iter().map(|source| (source.path, source.text)).collect();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if has_extension(&path, "rs") {
                texts.push((path.display().to_string(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    for (path, text) in texts {
        assert!(!text.contains("fn test_"), "{path}: a test's name is a promise");
    }
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

#[test]
fn groups_of_imports_are_read_to_their_end() {
    assert_eq!(named("crate::claims::X;", 7), ["claims"]);
    assert_eq!(named("use crate::{base::{A, B}, jose, policy::C};", 11), ["base", "jose", "policy"]);
    assert_eq!(named("use crate::{\n    base::A,\n    config,\n};", 11), ["base", "config"]);
}
