//! Apigee's analytics records, made of the same records by `deploy/observability/apigee.yaml` and the command of
//! docs/statistics.md.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use attache_harness::wait::wait_for;
use serde_json::{Value, json};

use super::plane::{Taken, attribute};
use super::proxy::LISTENER;
use super::{Chain, Differences, PATIENCE, PLACE, REQUESTS};
use crate::program;
use crate::report::Report;
use crate::walkthrough::Page;
use crate::world::{World, checkout};

pub(super) fn rows(world: &World, report: &mut Report) -> Result<()> {
    let file = world.directory("statistics-apigee")?.join("apigee.json");
    let chain = Chain::start(
        world,
        "statistics-apigee",
        Differences {
            files: &["apigee.yaml"],
            collector: json!({ "exporters": { "file/apigee": { "path": file, "flush_interval": "100ms" } } }),
            ..Differences::default()
        },
    )?;
    chain.load.send(&chain.gateway.url(LISTENER)?, REQUESTS)?;
    let taken = chain.settled(REQUESTS)?;
    let of_apis =
        chain.load.counts(REQUESTS).into_iter().filter(|(labels, _)| !labels.starts_with("none none"));
    let expected = usize::try_from(of_apis.map(|(_, count)| count).sum::<u64>())?;
    let command = Page::read("docs/statistics.md")?.take("Apigee", 0)?;
    let records = wait_for("Apigee's records", PATIENCE, || {
        let records = made(&command, &file)?;
        Ok((records.len() >= expected).then_some(records))
    });
    let got = records.and_then(|records| told(&records, &taken));
    report.row(
        PLACE,
        "Apigee's records, of requests of an API",
        REQUESTS,
        "250, each as its record says",
        got,
    );
    Ok(())
}

/// What the page's command makes of a file of the collector's.
fn made(command: &str, file: &Path) -> Result<Vec<Value>> {
    const SHIPPED: &str = "/var/lib/attache/apigee.json";
    ensure!(command.contains(SHIPPED), "a command without {SHIPPED}: {command}");
    let complete = file.with_extension("complete");
    let text = fs::read_to_string(file)?;
    // The collector may be writing the last line.
    fs::write(&complete, &text[..text.rfind('\n').map_or(0, |end| end + 1)])?;
    let command = command.replace(SHIPPED, &complete.display().to_string());
    let lines = program::run(Command::new("bash").args(["-euc", &command]).current_dir(checkout("")))?;
    lines.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

fn told(made: &[Value], taken: &Taken) -> Result<String> {
    let mut wrong = BTreeMap::new();
    for record in made {
        let id = record["gateway_flow_id"].as_str().context("a record without its identifier")?;
        let of = taken
            .records
            .get(id)
            .with_context(|| format!("a record that the plane does not have: {record}"))?;
        if let Some(what) = difference(record, of) {
            *wrong.entry(what).or_insert(0) += 1;
        }
    }
    let each = if wrong.is_empty() { "each as its record says".to_owned() } else { format!("{wrong:?}") };
    Ok(format!("{}, {each}", made.len()))
}

/// What is wrong with one of Apigee's records.
fn difference(made: &Value, of: &Value) -> Option<String> {
    let text = |name: &str| Value::from(attribute(of, name));
    let client = attribute(of, "client");
    let status: u64 = attribute(of, "status").parse().unwrap_or_default();
    let same = [
        ("recordType", "APIAnalytics".into()),
        ("organization", "example".into()),
        ("environment", "test".into()),
        ("gateway_source", "envoy".into()),
        ("apiproxy", text("api")),
        ("apiproxy_revision", 1.into()),
        ("client_id", if client.is_empty() { Value::Null } else { client.into() }),
        ("request_verb", text("method")),
        ("request_path", text("path_template")),
        ("request_uri", text("path_template")),
        ("response_status_code", status.into()),
    ];
    if let Some((name, expected)) = same.iter().find(|(name, expected)| made[name] != *expected) {
        return Some(format!("{name} is {}, not {expected}", made[name]));
    }
    // Refused requests never went to a target.
    let times: &[&str] = if status == 200 { &TIMES } else { &[TIMES[0], TIMES[1], TIMES[5], TIMES[7]] };
    let absent = TIMES.iter().find(|name| made[name].is_null() == times.contains(name));
    if let Some(name) = absent {
        return Some(format!("{name} is {} for {status}", made[name]));
    }
    let at: Vec<_> = times.iter().filter_map(|name| made[name].as_u64()).collect();
    let is_now = at.first().is_some_and(|first| *first > 1_700_000_000_000);
    (at.len() != times.len() || !at.is_sorted() || !is_now).then(|| format!("times {at:?}"))
}

/// In their order.
const TIMES: [&str; 8] = [
    "client_received_start_timestamp",
    "client_received_end_timestamp",
    "target_sent_start_timestamp",
    "target_sent_end_timestamp",
    "target_received_start_timestamp",
    "client_sent_start_timestamp",
    "target_received_end_timestamp",
    "client_sent_end_timestamp",
];
