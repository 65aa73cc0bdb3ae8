//! Log lines: one for each event that an operator acts on. Names of the configuration and numbers, never a token's content.

use core::fmt;
use core::time::Duration;

use crate::base::{Effect, Level, Timestamp};
use crate::issuer::FetchOutcome;
use crate::policy::MetadataError;

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

/// Log lines that requests cause: some each second, the rest counted.
#[derive(Debug, Default)]
pub struct Reports {
    since: Timestamp,
    written: u32,
    withheld: u32,
}

impl Reports {
    /// The line about a request that would have been denied.
    pub fn report(&mut self, annotation: &str, now: Timestamp) -> Option<Effect> {
        self.line(Level::Info, format_args!("report-only, would deny: {annotation}"), now)
    }

    /// The line about a request that was denied for a fault of the operator's.
    pub fn fault(&mut self, fault: &MetadataError, annotation: &str, now: Timestamp) -> Option<Effect> {
        self.line(Level::Warn, format_args!("{fault}: {annotation}"), now)
    }

    fn line(&mut self, level: Level, line: fmt::Arguments<'_>, now: Timestamp) -> Option<Effect> {
        if now < self.since || now.since(self.since) >= PERIOD {
            *self = Self { since: now, written: 0, withheld: self.withheld };
        }
        if self.written >= MAX_LINES {
            self.withheld = self.withheld.saturating_add(1);
            return None;
        }
        self.written = self.written.saturating_add(1);
        let withheld = core::mem::take(&mut self.withheld);
        let more = if withheld > 0 { format!(" ({withheld} more before this one)") } else { String::new() };
        Some(Effect::Log { level, line: format!("{line}{more}") })
    }
}

const PERIOD: Duration = Duration::from_secs(1);
/// Enough to see what is going on; the metrics have the numbers.
const MAX_LINES: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issuer::{FetchError, KeyChange};

    fn line(outcome: &FetchOutcome, failures: u32) -> Option<(Level, String)> {
        let effect = fetch_line("corp", outcome, failures)?;
        let Effect::Log { level, line } = effect else { panic!("{effect:?}") };
        Some((level, line))
    }

    #[test]
    fn a_failure_is_a_warning_the_first_time_and_then_ever_more_rarely() {
        let failed = FetchOutcome::Failed(FetchError::Status(503));
        let warned = |n: &u32| line(&failed, *n).unwrap().0 == Level::Warn;
        assert_eq!((1..=100).filter(warned).collect::<Vec<_>>(), [1, 2, 4, 8, 16, 32, 64]);
        let text = "issuer corp: fetching keys failed (3 in a row): status 503";
        assert_eq!(line(&failed, 3), Some((Level::Debug, text.to_owned())));
    }

    #[test]
    fn a_set_that_stays_what_it_was_is_worth_no_line_but_after_failures() {
        assert_eq!(line(&FetchOutcome::Unchanged, 0), None);
        let text = "issuer corp: keys fetched again after 2 failures";
        assert_eq!(line(&FetchOutcome::Unchanged, 2), Some((Level::Info, text.to_owned())));
    }

    #[test]
    fn a_change_is_told_in_numbers_and_a_leaked_key_is_a_warning() {
        let mut change = KeyChange { keys: 3, added: 2, removed: 1, ..KeyChange::default() };
        let text = "issuer corp: keys changed: 3 usable, 2 added, 1 removed";
        assert_eq!(line(&FetchOutcome::Changed(change.clone()), 0), Some((Level::Info, text.to_owned())));
        change.skipped = 4;
        change.private_members = true;
        let (level, line) = line(&FetchOutcome::Changed(change), 0).unwrap();
        assert_eq!(level, Level::Warn);
        let more = ", 4 not usable; the document publishes PRIVATE key material: replace those keys";
        assert_eq!(line, format!("{text}{more}"));
    }
}
