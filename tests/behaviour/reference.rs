//! The lists of the reference documentation, which are kept by hand, against what the filter does.

use std::collections::BTreeSet;

use attache::outbound::{EgressDenial, InjectionOutcome};
use serde_json::json;

use crate::proxy::{compile, config};
use crate::refusals;

/// Each way to be refused is a row of docs/errors.md, under its own kind, and no row is left over.
#[test]
fn the_table_of_refusals_lists_every_reason_once_with_its_kind() {
    let text = include_str!("../../docs/errors.md");
    let (_, reasons) = text.split_once("## The reasons").expect("docs/errors.md lists the reasons");
    let reasons = reasons.split("\n## ").next().unwrap();
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
        let response = settings.inbound.as_ref().unwrap().denial_response(&denial, None);
        let challenge = response.headers.iter().find(|(name, _)| *name == "www-authenticate");
        let kind = match (response.status, challenge.map(|(_, challenge)| challenge.as_str())) {
            (400, Some(_)) => "bad request",
            (401, Some(challenge)) if challenge.contains("error=") => "bad token",
            (401, Some(_)) => "no credential",
            (403, Some(_)) => "scope lacking",
            (403, None) => "closed",
            (413, None) => "too large",
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

/// Each way in which a request that goes out is denied is a row of docs/errors.md and of docs/tokens.md, and a result of
/// the metric.
#[test]
fn the_tables_of_outbound_denials_list_every_reason_once_with_its_answer() {
    let text = include_str!("../../docs/errors.md");
    let (_, section) = text.split_once("## Outbound reasons").expect("docs/errors.md lists them");
    let row = |denial: &EgressDenial| {
        let response = denial.response();
        let grpc = response.grpc_status.unwrap();
        format!("| `{}` | {} | {grpc} | {denial} |", denial.label(), response.status)
    };
    let expected: Vec<String> = every_egress_denial().iter().map(row).collect();
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(rows, expected);

    let text = include_str!("../../docs/tokens.md");
    let (_, section) = text.split_once("## What the workload sees").expect("docs/tokens.md lists them");
    let rows = section
        .split("\n## ")
        .next()
        .unwrap()
        .lines()
        .filter(|line| line.ends_with("` |") && !line.contains("| status |"));
    let rows: BTreeSet<(String, String)> = rows
        .map(|row| {
            let mut cells = row.trim_matches('|').split('|').map(str::trim).skip(1);
            (cells.next().unwrap()[..3].to_owned(), cells.next().unwrap().trim_matches('`').to_owned())
        })
        .collect();
    let of = |denial: &EgressDenial| (denial.response().status.to_string(), denial.label().to_owned());
    assert_eq!(rows, every_egress_denial().iter().map(of).collect());

    let labels = every_egress_denial().map(EgressDenial::label);
    let others = ["passed", "stripped", "kept", "injected"];
    assert_eq!(InjectionOutcome::LABELS.to_vec(), [&others[..], &labels].concat());
}

fn every_egress_denial() -> [EgressDenial; 14] {
    let retry_after = core::time::Duration::from_secs(1);
    let all = [
        EgressDenial::TokenUnavailable { retry_after },
        EgressDenial::WaitingFull { retry_after },
        EgressDenial::SubjectRefused,
        EgressDenial::SubjectMissing,
        EgressDenial::Plaintext,
        EgressDenial::NotAllowed,
        EgressDenial::ClientUnknown,
        EgressDenial::CallerCredential,
        EgressDenial::HeaderHopByHop,
        EgressDenial::PathAmbiguous,
        EgressDenial::Authority,
        EgressDenial::Method,
        EgressDenial::Overridden,
        EgressDenial::Unmatched,
    ];
    // Stops compiling when one is added.
    let place = |denial: &EgressDenial| match denial {
        EgressDenial::TokenUnavailable { .. } => 0,
        EgressDenial::WaitingFull { .. } => 1,
        EgressDenial::SubjectRefused => 2,
        EgressDenial::SubjectMissing => 3,
        EgressDenial::Plaintext => 4,
        EgressDenial::NotAllowed => 5,
        EgressDenial::ClientUnknown => 6,
        EgressDenial::CallerCredential => 7,
        EgressDenial::HeaderHopByHop => 8,
        EgressDenial::PathAmbiguous => 9,
        EgressDenial::Authority => 10,
        EgressDenial::Method => 11,
        EgressDenial::Overridden => 12,
        EgressDenial::Unmatched => 13,
    };
    assert!(all.iter().map(place).eq(0..14));
    all
}
