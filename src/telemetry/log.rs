//! Log lines: one for each event that an operator acts on. Names of the configuration and numbers, never a token's content.

use core::time::Duration;

use crate::base::{Effect, Level, Timestamp};
use crate::issuer::FetchOutcome;

/// The line about a fetch of keys, if it is worth one.
///
/// `failures` counts the failures in a row, this one included, or those before a success.
pub fn fetch_line(issuer: &str, outcome: &FetchOutcome, failures: u32) -> Option<Effect> {
    let (level, line) = match outcome {
        FetchOutcome::Failed(error) => {
            // The first, then ever fewer: an outage is told once, not at every retry.
            let level = if failures.is_power_of_two() { Level::Warn } else { Level::Debug };
            (level, format!("issuer {issuer}: fetching keys failed ({failures} in a row): {error}"))
        }
        FetchOutcome::Changed(change) => {
            let level = if change.private_members { Level::Warn } else { Level::Info };
            let mut line = format!(
                "issuer {issuer}: keys changed: {} usable, {} added, {} removed",
                change.keys, change.added, change.removed
            );
            if change.skipped > 0 {
                line.push_str(&format!(", {} not usable", change.skipped));
            }
            if change.private_members {
                line.push_str("; the document publishes PRIVATE key material: replace those keys");
            }
            (level, line)
        }
        FetchOutcome::Unchanged if failures > 0 => {
            (Level::Info, format!("issuer {issuer}: keys fetched again after {failures} failures"))
        }
        FetchOutcome::Unchanged => return None,
    };
    Some(Effect::Log { level, line })
}

/// Log lines about report-only denials: some each second, the rest counted.
#[derive(Debug, Default)]
pub struct Reports {
    since: Timestamp,
    written: u32,
    withheld: u32,
}

impl Reports {
    /// The line about a request that would have been denied.
    pub fn report(&mut self, annotation: &str, now: Timestamp) -> Option<Effect> {
        if now.since(self.since) >= PERIOD {
            *self = Self { since: now, written: 0, withheld: self.withheld };
        }
        if self.written >= MAX_LINES {
            self.withheld = self.withheld.saturating_add(1);
            return None;
        }
        self.written = self.written.saturating_add(1);
        let withheld = core::mem::take(&mut self.withheld);
        let more = if withheld > 0 { format!(" ({withheld} more before this one)") } else { String::new() };
        Some(Effect::Log { level: Level::Info, line: format!("report-only, would deny: {annotation}{more}") })
    }
}

const PERIOD: Duration = Duration::from_secs(1);
/// Enough to see what is going on; the metrics have the numbers.
const MAX_LINES: u32 = 10;
