//! The table, and below it what was wrong.

use crate::judge::{Tally, Wrong};
use crate::scenario::{Bound, Fetches, Outcome};

/// A scenario's line.
pub(crate) struct Row {
    pub(crate) scenario: &'static str,
    /// None if it panicked, which has told why.
    pub(crate) outcome: Option<Outcome>,
}

impl Row {
    pub(crate) fn is_good(&self) -> bool {
        self.outcome.as_ref().is_some_and(|outcome| {
            let Tally { wrongly_allowed, wrongly_refused, .. } = outcome.tally;
            wrongly_allowed == 0
                && wrongly_refused == 0
                && outcome.problems.is_empty()
                && outcome.fetches.iter().all(Fetches::is_within)
        })
    }

    fn cells(&self) -> Vec<String> {
        let Some(outcome) = &self.outcome else { return vec![self.scenario.to_owned(), "failed".to_owned()] };
        let tally = &outcome.tally;
        let counts =
            [tally.requests, tally.allowed, tally.refused, tally.wrongly_allowed, tally.wrongly_refused];
        let mut cells = vec![self.scenario.to_owned()];
        cells.extend(counts.iter().map(u64::to_string));
        cells.push(fetches(&outcome.fetches));
        cells
    }

    fn findings(&self) -> Vec<String> {
        let Some(outcome) = &self.outcome else { return vec!["it ended early; see above".to_owned()] };
        let wrong = outcome.tally.wrong.iter();
        let mut findings: Vec<String> =
            wrong.map(|(what, wrong)| format!("{what}: {}", words(wrong))).collect();
        let beyond = outcome.fetches.iter().filter(|fetches| !fetches.is_within());
        findings.extend(
            beyond.map(|one| format!("issuer {}: {} requests, {}", one.issuer, one.seen, one.bound.words())),
        );
        findings.extend(outcome.problems.iter().cloned());
        findings
    }
}

pub(crate) fn print(rows: &[Row]) {
    let mut table: Vec<Vec<String>> = vec![HEAD.iter().map(|&title| title.to_owned()).collect()];
    table.extend(rows.iter().map(Row::cells));
    let width =
        |column: usize| table.iter().filter_map(|row| Some(row.get(column)?.len())).max().unwrap_or(0);
    println!();
    for row in &table {
        let cells = row.iter().enumerate().map(|(column, cell)| match column {
            0 => format!("{cell:<width$}", width = width(column)),
            _ => format!("{cell:>width$}", width = width(column)),
        });
        println!("{}", cells.collect::<Vec<_>>().join(" | "));
    }
    for row in rows.iter().filter(|row| !row.is_good()) {
        println!("\n{}:", row.scenario);
        row.findings().iter().for_each(|finding| println!("  {finding}"));
    }
    let failed = rows.iter().filter(|row| !row.is_good()).count();
    println!("\nchaos: {} passed, {failed} failed", rows.len() - failed);
}

fn words(wrong: &Wrong) -> String {
    let Wrong { count, numbers, first, last } = wrong;
    let times = format!("{count} times, sent {:.3} s to {:.3} s", first.as_secs_f32(), last.as_secs_f32());
    if numbers.is_empty() { times } else { format!("{times}, numbers {numbers:?}") }
}

fn fetches(all: &[Fetches]) -> String {
    match all {
        [one] => format!("{} ({})", one.seen, one.bound.words()),
        _ => {
            let seen: u64 = all.iter().map(|one| one.seen).sum();
            let most = all.iter().map(|one| one.bound.most()).sum();
            format!("{seen} of {} issuers ({})", all.len(), Bound::AtMost(most).words())
        }
    }
}

const HEAD: [&str; 7] =
    ["scenario", "requests", "allowed", "refused", "wrongly allowed", "wrongly refused", "issuer requests"];
