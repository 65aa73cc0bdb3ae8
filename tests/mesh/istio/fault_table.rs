//! The table of `deploy/istio/README.md` that says what happens when something fails. The rows take from it what they
//! expect, so that it cannot say anything else than what comes.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result};

use crate::world::checkout;

/// The table, and which of its lines have been tried.
pub(crate) struct Table {
    lines: Vec<Line>,
    tried: BTreeSet<String>,
}

/// One line of it.
#[derive(Clone)]
pub(crate) struct Line {
    pub(crate) what: String,
    /// What requests get at a pod that has had a policy.
    pub(crate) serving: String,
    /// And at one that has not.
    pub(crate) new: String,
    log: String,
}

impl Table {
    pub(crate) fn read() -> Result<Self> {
        let page = fs::read_to_string(checkout("deploy/istio/README.md"))?;
        let (_, after) = page.split_once(HEAD).with_context(|| format!("the page has no table {HEAD}"))?;
        let rows = after.lines().skip(2).take_while(|line| line.starts_with('|'));
        let lines = rows.map(|row| {
            let mut cells = row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned());
            let mut cell = || cells.next().with_context(|| format!("a cell is missing: {row}"));
            Ok(Line { what: cell()?, serving: cell()?, new: cell()?, log: cell()? })
        });
        Ok(Self { lines: lines.collect::<Result<_>>()?, tried: BTreeSet::new() })
    }

    /// The line that begins so; from now on it has been tried.
    pub(crate) fn line(&mut self, what: &str) -> Result<Line> {
        let line = self.lines.iter().find(|line| line.what == what);
        let line = line.with_context(|| format!("the table has no line `{what}`"))?.clone();
        self.tried.insert(line.what.clone());
        Ok(line)
    }

    /// `each line tried`, or which are not.
    pub(crate) fn untried(&self) -> String {
        let untried = self.lines.iter().filter(|line| !self.tried.contains(&line.what));
        let untried: Vec<_> = untried.map(|line| line.what.as_str()).collect();
        if untried.is_empty() {
            "each line tried".to_owned()
        } else {
            format!("not tried: {}", untried.join(", "))
        }
    }
}

impl Line {
    /// The parts of the log line that the table shows; between them is `…`.
    pub(crate) fn log(&self) -> Vec<&str> {
        self.log.trim_matches('`').split('…').map(str::trim).filter(|part| !part.is_empty()).collect()
    }
}

const HEAD: &str = "| what happens | a pod that has a policy | a pod without one yet | log line |";
