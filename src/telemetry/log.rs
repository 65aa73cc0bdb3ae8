//! Log lines: one for each event that an operator acts on. Names of the configuration and numbers, never a token's
//! content.

use core::fmt;
use core::time::Duration;

use crate::base::{Level, Observation, Timestamp};
use crate::inbound::{Decision, DecisionOutcome, Denial};
use crate::issuer::{DocumentKind, IssuerChange, IssuerEvent, KeyChange};
use crate::oauth::{DocumentEvent, FetchOutcome};
use crate::outbound::EgressDenial;
use crate::sharing::Unreadable;

/// The line about what happened to an issuer's documents, if it is worth one.
pub fn fetch_line(issuer: &str, IssuerEvent { document, event }: &IssuerEvent) -> Option<Observation> {
    let &DocumentEvent { is_shared, failures, ref outcome } = event;
    let what = match document.kind {
        DocumentKind::Keys => "keys",
        DocumentKind::Metadata => "metadata",
    };
    let (level, line) = match outcome {
        FetchOutcome::Failed(error) => {
            let failures = failures.saturating_add(1);
            // The first, then ever fewer: an outage is told once, not at every retry.
            let level = if failures.is_power_of_two() { Level::Warn } else { Level::Debug };
            (level, format!("fetching {what} failed ({failures} in a row): {error}"))
        }
        FetchOutcome::Changed(IssuerChange::Keys(change)) => {
            let level = if change.private_members { Level::Warn } else { Level::Info };
            // One thread tells of it for all.
            let level = if is_shared { Level::Debug } else { level };
            (level, format!("keys changed: {}", ChangeText(change)))
        }
        FetchOutcome::Changed(IssuerChange::Address) if is_shared => return None,
        FetchOutcome::Changed(IssuerChange::Address) => {
            (Level::Info, "the metadata names the address of the keys".to_owned())
        }
        FetchOutcome::NotFoundHere(error) => {
            (Level::Debug, format!("no {what} at the first address: {error}"))
        }
        FetchOutcome::Unchanged if failures > 0 && !is_shared => {
            (Level::Info, format!("{what} fetched again after {failures} failures"))
        }
        FetchOutcome::Expired => (Level::Error, format!("the {what} expired: requests get 503")),
        FetchOutcome::Unchanged | FetchOutcome::Confirmed | FetchOutcome::Rejected(_) => return None,
    };
    Some(Observation::Log { level, line: format!("issuer {issuer}: {line}") })
}

/// A change in words: numbers, and the names of a few keys.
struct ChangeText<'a>(&'a KeyChange);

impl fmt::Display for ChangeText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(change) = self;
        write!(f, "{} usable, ", change.keys)?;
        write!(f, "{} added{}, ", change.added.len(), KeyNames(&change.added))?;
        write!(f, "{} removed{}", change.removed.len(), KeyNames(&change.removed))?;
        if change.skipped > 0 {
            write!(f, ", {} not usable", change.skipped)?;
        }
        if change.private_members {
            f.write_str("; the document publishes PRIVATE key material: replace those keys")?;
        }
        Ok(())
    }
}

/// Key ids in brackets. They are the issuer's texts: shown in part, and nothing in them but visible ASCII.
struct KeyNames<'a>(&'a [Option<String>]);

impl fmt::Display for KeyNames<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        f.write_str(" (")?;
        for (index, name) in self.0.iter().take(MAX_NAMES).enumerate() {
            f.write_str(if index > 0 { ", " } else { "" })?;
            match name {
                Some(name) => {
                    let shown = |c: char| if c.is_ascii_graphic() { c } else { '?' };
                    for c in name.chars().take(MAX_NAME_CHARS).map(shown) {
                        write!(f, "{c}")?;
                    }
                }
                None => f.write_str("without a name")?,
            }
        }
        f.write_str(if self.0.len() > MAX_NAMES { ", …)" } else { ")" })
    }
}

/// Log lines that requests cause: some each second, the rest counted.
#[derive(Debug, Default)]
pub struct Reports {
    since: Timestamp,
    written: u32,
    withheld: u32,
}

impl Reports {
    /// The lines about a decision: a denial that is only reported, and faults that are not the client's. `annotation`
    /// is how the decision reads in an access log.
    pub fn record(
        &mut self,
        decision: &Decision,
        annotation: &str,
        now: Timestamp,
        observations: &mut Vec<Observation>,
    ) {
        let Err(denial) = &decision.verdict else { return };
        if let Denial::Internal(why) = denial {
            observations
                .push(Observation::Log { level: Level::Error, line: format!("internal error: {why}") });
        }
        observations.extend(match (decision.outcome(), denial) {
            (DecisionOutcome::Report, _) => {
                self.line(Level::Info, format_args!("report-only, would deny: {annotation}"), now)
            }
            (_, Denial::RouteMetadata(error)) => {
                self.line(Level::Warn, format_args!("{error}: {annotation}"), now)
            }
            (DecisionOutcome::Permit | DecisionOutcome::Deny, _) => None,
        });
    }

    /// The line about something in shared data that is not to be believed; `whose` is an issuer's or a client's.
    pub fn refused(
        &mut self,
        whose: &str,
        name: &str,
        why: Unreadable,
        now: Timestamp,
    ) -> Option<Observation> {
        let line = format_args!(
            "{whose} {name}: a document that another module has left in shared data is refused: {why}"
        );
        self.line(Level::Warn, line, now)
    }

    /// The line about a request that did not leave for a fault of the operator's.
    pub fn egress(&mut self, denial: EgressDenial, annotation: &str, now: Timestamp) -> Option<Observation> {
        self.line(Level::Warn, format_args!("{denial}: {annotation}"), now)
    }

    fn line(&mut self, level: Level, line: fmt::Arguments<'_>, now: Timestamp) -> Option<Observation> {
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
        Some(Observation::Log { level, line: format!("{line}{more}") })
    }
}

/// How many keys a line names: issuers rotate one key at a time, or all of a handful.
const MAX_NAMES: usize = 8;
/// How much of a key's name a line shows: thumbprints have 43 characters.
const MAX_NAME_CHARS: usize = 64;
const PERIOD: Duration = Duration::from_secs(1);
/// Enough to see what is going on; the metrics have the numbers.
const MAX_LINES: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issuer::IssuerDocument;
    use crate::oauth::FetchError;

    fn line(outcome: FetchOutcome<IssuerChange>, failures: u32) -> Option<(Level, String)> {
        told(outcome, failures, false)
    }

    fn told(outcome: FetchOutcome<IssuerChange>, failures: u32, is_shared: bool) -> Option<(Level, String)> {
        let document = IssuerDocument { source: 0, kind: DocumentKind::Keys };
        let event = DocumentEvent { is_shared, failures, outcome };
        let observation = fetch_line("corp", &IssuerEvent { document, event })?;
        let Observation::Log { level, line } = observation else { panic!("{observation:?}") };
        Some((level, line))
    }

    #[test]
    fn a_failure_is_a_warning_the_first_time_and_then_ever_more_rarely() {
        let failed = || FetchOutcome::Failed(FetchError::Status(503));
        let warned = |n: &u32| line(failed(), *n - 1).unwrap().0 == Level::Warn;
        assert_eq!((1..=100).filter(warned).collect::<Vec<_>>(), [1, 2, 4, 8, 16, 32, 64]);
        let text = "issuer corp: fetching keys failed (3 in a row): status 503";
        assert_eq!(line(failed(), 2), Some((Level::Debug, text.to_owned())));
    }

    #[test]
    fn a_set_that_stays_what_it_was_is_worth_no_line_but_after_failures() {
        assert_eq!(line(FetchOutcome::Unchanged, 0), None);
        let text = "issuer corp: keys fetched again after 2 failures";
        assert_eq!(line(FetchOutcome::Unchanged, 2), Some((Level::Info, text.to_owned())));
    }

    #[test]
    fn a_change_is_told_once_with_the_names_of_keys_and_a_leaked_key_is_a_warning() {
        let names = |names: &[&str]| names.iter().map(|name| Some((*name).to_owned())).collect::<Vec<_>>();
        let mut change =
            KeyChange { keys: 3, added: names(&["k2", "k3"]), removed: vec![None], ..KeyChange::default() };
        let text = "issuer corp: keys changed: 3 usable, 2 added (k2, k3), 1 removed (without a name)";
        assert_eq!(
            line(FetchOutcome::Changed(IssuerChange::Keys(change.clone())), 0),
            Some((Level::Info, text.to_owned()))
        );
        assert_eq!(
            told(FetchOutcome::Changed(IssuerChange::Keys(change.clone())), 0, true),
            Some((Level::Debug, text.to_owned()))
        );
        change.skipped = 4;
        change.private_members = true;
        let (level, line) = line(FetchOutcome::Changed(IssuerChange::Keys(change)), 0).unwrap();
        assert_eq!(level, Level::Warn);
        let more = ", 4 not usable; the document publishes PRIVATE key material: replace those keys";
        assert_eq!(line, format!("{text}{more}"));
    }

    #[test]
    fn names_of_keys_are_shown_in_part_and_nothing_else_of_them() {
        let many: Vec<_> = (0..9).map(|n| Some(format!("k{n}"))).collect();
        assert_eq!(KeyNames(&many).to_string(), " (k0, k1, k2, k3, k4, k5, k6, k7, …)");
        let odd = [Some(format!("a\nb\u{1b}[31mé{}", "x".repeat(100)))];
        assert_eq!(KeyNames(&odd).to_string(), format!(" (a?b?[31m?{})", "x".repeat(55)));
        assert_eq!(KeyNames(&[]).to_string(), "");
    }
}
