//! What the pages tell an operator to ask: queries, of Prometheus, and commands, of the admin page.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::demo::Demo;
use super::prometheus::Prometheus;
use crate::program::run;
use crate::world::checkout;

/// Asks all queries of docs/runbooks.md and docs/metrics.md. Names those that Prometheus does not answer; it may answer
/// that there is nothing.
pub(crate) fn queries(prometheus: &Prometheus) -> Result<String> {
    let metrics = fs::read_to_string(checkout("docs/metrics.md"))?;
    let (_, metrics) = metrics.split_once("\n## Queries").context("docs/metrics.md has queries")?;
    let (metrics, _) = metrics.split_once("\n## ").unwrap_or((metrics, ""));
    let runbooks = fs::read_to_string(checkout("docs/runbooks.md"))?;
    let blocks = blocks(metrics, "text").chain(blocks(metrics, "promql")).chain(blocks(&runbooks, "promql"));
    let (mut count, mut wrong) = (0, Vec::new());
    for query in blocks.flat_map(whole_lines) {
        count += 1;
        if let Err(error) = prometheus.instant(&query) {
            wrong.push(format!("{query}: {error}"));
        }
    }
    ensure!(count > 30, "{count} queries: are the pages still read?");
    Ok(if wrong.is_empty() { "none".to_owned() } else { wrong.join("; ") })
}

/// Runs all commands of docs/runbooks.md that ask Envoy's admin page. Names those that find nothing.
pub(crate) fn commands(demo: &Demo) -> Result<String> {
    let runbooks = fs::read_to_string(checkout("docs/runbooks.md"))?;
    let commands = blocks(&runbooks, "sh").flat_map(str::lines).filter(|line| line.contains(ADMIN));
    let (mut count, mut wrong) = (0, Vec::new());
    for command in commands {
        count += 1;
        let finds = |admin: &std::net::SocketAddr| {
            let command = format!("set -o pipefail; {}", command.replace(ADMIN, &admin.to_string()));
            run(Command::new("bash").args(["-c", &command])).is_ok_and(|output| !output.is_empty())
        };
        if !demo.admins().iter().all(finds) {
            wrong.push(command);
        }
    }
    ensure!(count > 5, "{count} commands: is the page still read?");
    Ok(if wrong.is_empty() { "none".to_owned() } else { wrong.join("; ") })
}

/// The blocks of a page in this language.
fn blocks<'p>(page: &'p str, language: &str) -> impl Iterator<Item = &'p str> {
    let fence = format!("```{language}\n");
    let parts: Vec<_> =
        page.split(&*fence).skip(1).map(|part| part.split("```").next().unwrap_or(part)).collect();
    parts.into_iter()
}

/// The queries of a block: a line with what is indented below it. Comments are for the reader.
fn whole_lines(block: &str) -> Vec<String> {
    let mut queries: Vec<String> = Vec::new();
    for line in block.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        match queries.last_mut().filter(|_| line.starts_with(' ')) {
            Some(query) => *query += line,
            None => queries.push(line.to_owned()),
        }
    }
    queries
}

/// The admin page as the runbooks write it.
const ADMIN: &str = "127.0.0.1:9901";
