//! The table of `deploy/envoy-gateway/README.md` that says what happens when something fails. The rows take from it
//! what they expect, so that it cannot say anything else than what comes.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, bail};
use attache_harness::prometheus::sum;
use attache_harness::wait::wait_for;

use super::PATIENCE;
use super::control_plane::ControlPlane;
use crate::world::checkout;

/// The table, and which of its lines have been tried.
pub(super) struct Table {
    lines: Vec<Line>,
    tried: BTreeSet<String>,
}

/// One line of it.
#[derive(Clone)]
pub(super) struct Line {
    what: String,
    /// What callers get.
    pub(super) callers: String,
    operator: String,
}

impl Table {
    pub(super) fn read() -> Result<Self> {
        let page = fs::read_to_string(checkout("deploy/envoy-gateway/README.md"))?;
        let (_, after) = page.split_once(HEAD).with_context(|| format!("the page has no table {HEAD}"))?;
        let rows = after.lines().skip(2).take_while(|line| line.starts_with('|'));
        let lines = rows.map(|row| {
            let mut cells = row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned());
            let mut cell = || cells.next().with_context(|| format!("a cell is missing: {row}"));
            Ok(Line { what: cell()?, callers: cell()?, operator: cell()? })
        });
        Ok(Self { lines: lines.collect::<Result<_>>()?, tried: BTreeSet::new() })
    }

    /// The line for this; from now on it has been tried.
    pub(super) fn line(&mut self, what: &str) -> Result<Line> {
        let line = self.lines.iter().find(|line| line.what == what);
        let line = line.with_context(|| format!("the table has no line `{what}`"))?.clone();
        self.tried.insert(line.what.clone());
        Ok(line)
    }

    /// `each line tried`, or which are not.
    pub(super) fn untried(&self) -> String {
        let untried = self.lines.iter().filter(|line| !self.tried.contains(&line.what));
        let untried: Vec<_> = untried.map(|line| line.what.as_str()).collect();
        if untried.is_empty() { "each line tried".to_owned() } else { format!("not tried: {untried:?}") }
    }
}

impl Line {
    /// Waits until the operator can see what the table says: a metric that is not 0, or a line of the log behind what
    /// it held before.
    pub(super) fn told(&self, control_plane: &ControlPlane, log_before: usize) -> Result<()> {
        let (kind, rest) = self.operator.split_once(": `").context("`metric: …` or `log: …`")?;
        let (shown, _) = rest.split_once('`').context("a closing mark")?;
        wait_for(&self.operator, PATIENCE, || {
            let is_there = match kind {
                "metric" => {
                    let (name, labels) = metric(shown)?;
                    sum(&control_plane.samples(name)?, name, &labels) > 0.0
                }
                "log" => {
                    let log = control_plane.log();
                    let parts: Vec<&str> = shown.split('…').map(str::trim).collect();
                    let mut new = log.get(log_before..).unwrap_or_default().lines();
                    new.any(|line| parts.iter().all(|part| line.contains(part)))
                }
                other => bail!("the operator sees `{other}`, which is neither a metric nor a log"),
            };
            Ok(is_there.then_some(()))
        })
    }
}

/// A metric as `NAME{LABEL="VALUE",…}`.
fn metric(shown: &str) -> Result<(&str, Vec<(&str, &str)>)> {
    let (name, labels) = shown.trim_end_matches('}').split_once('{').context("a metric with labels")?;
    let labels = labels.split(',').map(|label| {
        let (label, value) = label.split_once('=').with_context(|| format!("a label in {label}"))?;
        Ok((label, value.trim_matches('"')))
    });
    Ok((name, labels.collect::<Result<_>>()?))
}

const HEAD: &str = "| what | what callers get | what the operator sees |";
