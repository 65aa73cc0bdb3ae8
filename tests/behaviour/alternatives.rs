//! docs/alternatives.md: our cells are tests that exist, and the others' are as the page says that they are.

use std::fs;
use std::path::{Path, PathBuf};

const PAGE: &str = include_str!("../../docs/alternatives.md");
/// What a number in a cell is written with.
const SUPERSCRIPTS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];

/// The rows under one heading, and how many notes follow them.
struct Table {
    heading: &'static str,
    rows: Vec<Vec<&'static str>>,
    notes: usize,
}

fn tables() -> Vec<Table> {
    let sections = PAGE.split("\n## ").skip(1);
    let tables = sections.filter(|section| section.contains("| | Attaché |")).map(|section| {
        let rows = section.lines().filter(|line| line.starts_with("| ")).skip(1);
        let rows = rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect();
        let number = |line: &str| line.split_once(". ").and_then(|(number, _)| number.parse::<usize>().ok());
        let notes: Vec<usize> = section.lines().filter_map(number).collect();
        assert!(notes.iter().copied().eq(1..=notes.len()), "notes are counted from 1: {notes:?}");
        Table { heading: section.lines().next().unwrap(), rows, notes: notes.len() }
    });
    tables.collect()
}

/// Every Rust file of a folder and of those in it.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("node_modules") {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn each_cell_of_ours_is_a_test() {
    let mut paths = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"), &mut paths);
    let is_test = |module: &str, name: &str| {
        let modules = paths.iter().filter(|path| path.file_stem().is_some_and(|stem| stem == module));
        let marked = format!("#[test]\nfn {name}() {{");
        modules.into_iter().any(|path| fs::read_to_string(path).unwrap().contains(&marked))
    };
    assert!(!is_test("alternatives", "tables"), "a function is no test");
    let tables = tables();
    assert!(tables.iter().map(|table| table.rows.len()).sum::<usize>() >= 20, "is the page still read?");
    for Table { heading, rows, .. } in tables {
        for row in rows {
            let named = row[1].trim_matches('`').split_once("::");
            let (module, name) = named.unwrap_or_else(|| panic!("{heading}: {row:?}"));
            assert!(is_test(module, name), "{heading}, {}: no test is called {}", row[0], row[1]);
        }
    }
}

#[test]
fn each_cell_of_the_others_says_yes_no_or_partly_with_a_note_that_is_there() {
    for Table { heading, rows, notes } in tables() {
        let mut used = vec![false; notes];
        for row in rows {
            assert_eq!(row.len(), 7, "{heading}: {row:?}");
            for cell in &row[2..] {
                let (word, note) = cell.split_once(' ').unwrap_or((cell, ""));
                assert!(["yes", "no", "partly"].contains(&word), "{heading}, {}: {cell}", row[0]);
                assert!(word != "partly" || !note.is_empty(), "{heading}, {}: partly, but how?", row[0]);
                let digits = note.chars().map(|c| SUPERSCRIPTS.iter().position(|digit| *digit == c).unwrap());
                let number = digits.fold(0, |number, digit| number * 10 + digit);
                if !note.is_empty() {
                    *used.get_mut(number - 1).unwrap_or_else(|| panic!("{heading}: no note {number}")) = true;
                }
            }
        }
        assert!(used.iter().all(|used| *used), "{heading}: a note that no cell refers to: {used:?}");
    }
}
