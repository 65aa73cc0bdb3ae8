//! The lists of the reference documentation, which are kept by hand, against what the filter does.

use std::collections::BTreeSet;

use serde_json::json;

use crate::proxy::{compile, config};
use crate::refusals;

/// Each way to be refused is a row of docs/errors.md, under its own kind, and no row is left over.
#[test]
fn the_table_of_refusals_lists_every_reason_once_with_its_kind() {
    let text = include_str!("../../docs/errors.md");
    let (_, reasons) = text.split_once("## The reasons").expect("docs/errors.md lists the reasons");
    let rows = reasons.lines().filter(|line| line.starts_with("| `"));
    let rows: Vec<(&str, &str)> = rows
        .map(|row| {
            let mut cells = row.split('|').map(str::trim).skip(1);
            (cells.next().unwrap().trim_matches('`'), cells.next().unwrap())
        })
        .collect();
    let settings = compile(&config(json!({}))).unwrap();
    let mut expected = BTreeSet::new();
    for denial in refusals::every() {
        let response = settings.inbound.as_ref().unwrap().denial_response(&denial);
        let challenge = response.headers.iter().find(|(name, _)| *name == "www-authenticate");
        let kind = match (response.status, challenge.map(|(_, challenge)| challenge.as_str())) {
            (400, Some(_)) => "bad request",
            (401, Some("Bearer")) => "no credential",
            (401, Some(_)) => "bad token",
            (403, Some(_)) => "scope lacking",
            (403, None) => "closed",
            (500, None) => "internal",
            (503, None) => "not available",
            other => panic!("{other:?}"),
        };
        expected.insert((denial.label(), kind));
    }
    assert_eq!(rows.iter().copied().collect::<BTreeSet<_>>(), expected);
    assert_eq!(rows.len(), expected.len(), "a reason is there twice");
}

#[test]
fn the_metrics_reference_lists_every_reason() {
    let text = include_str!("../../docs/metrics.md");
    let (_, reasons) = text.split_once("## Reasons").expect("docs/metrics.md lists the reasons");
    let reasons = reasons.split("\n## ").next().unwrap();
    let (first, listed) = reasons.split_once(':').unwrap();
    assert!(first.contains("`ok`"));
    let listed = listed.trim_start().split("\n\n").next().unwrap();
    let listed: Vec<&str> = listed.split('·').map(|word| word.trim().trim_matches(['`', '.'])).collect();
    let expected: BTreeSet<&str> = refusals::every().iter().map(|denial| denial.label()).collect();
    assert_eq!(listed, expected.into_iter().collect::<Vec<_>>(), "in the order of the alphabet");
}
