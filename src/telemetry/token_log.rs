//! Log lines of the outbound half: one for each event that an operator acts on. Names and numbers, never a token or a
//! secret.

use crate::base::{Level, Observation};
use crate::oauth::{DocumentEvent, FaultClass, FetchOutcome};
use crate::outbound::{BreakerChange, Purge, TokenChange, TokenEvent};

/// The line about what happened to a client's token, if it is worth one.
pub fn token_line(client: &str, event: &TokenEvent, is_exchange: bool) -> Option<Observation> {
    let failures = event.failures;
    let (level, what) = match &event.change {
        TokenChange::Failed(fault) => {
            let failures = failures.saturating_add(1);
            // The first, then ever fewer: an outage is told once, not at every retry.
            let level = match fault.class() {
                _ if !failures.is_power_of_two() => Level::Debug,
                // A client's fault, as often as clients like.
                _ if is_exchange && fault.is_about_subject() => Level::Debug,
                FaultClass::Configuration => Level::Error,
                FaultClass::Transient => Level::Warn,
            };
            (level, format!("no token ({failures} in a row): {fault}"))
        }
        TokenChange::Obtained { missing_scopes, .. } if *missing_scopes > 0 => {
            (Level::Warn, format!("the token lacks {missing_scopes} of the scopes that were asked for"))
        }
        TokenChange::Obtained { is_shared: false, .. } if failures > 0 => {
            (Level::Info, format!("a token again after {failures} failures"))
        }
        TokenChange::Obtained { lifetime, is_shared, .. } => {
            let level = if is_exchange || *is_shared { Level::Debug } else { Level::Info };
            (level, format!("a token for {} s", lifetime.as_secs()))
        }
        TokenChange::Expired => (Level::Warn, "the token expired before there was a new one".to_owned()),
        TokenChange::Rejected(_) => return None,
    };
    Some(Observation::Log { level, line: format!("client {client}: {what}") })
}

/// The line about the breaker of the token endpoint of a client.
pub fn breaker_line(client: &str, change: BreakerChange) -> Option<Observation> {
    let (level, what) = match change {
        BreakerChange::None => return None,
        BreakerChange::Opened => (Level::Warn, "its token endpoint fails: circuit breaker opened"),
        BreakerChange::Closed => (Level::Info, "its token endpoint answers again: circuit breaker closed"),
    };
    Some(Observation::Log { level, line: format!("client {client}: {what}") })
}

/// The line about what happened to the metadata that names a token endpoint, by the cluster that it is asked through.
pub fn endpoint_line(cluster: &str, event: &DocumentEvent<()>) -> Option<Observation> {
    let (level, what) = match &event.outcome {
        FetchOutcome::Changed(()) => (Level::Info, "the metadata names it".to_owned()),
        FetchOutcome::Failed(error) => (Level::Warn, format!("fetching the metadata failed: {error}")),
        FetchOutcome::Expired => (Level::Error, "the metadata expired: no token is obtained".to_owned()),
        FetchOutcome::Unchanged
        | FetchOutcome::Confirmed
        | FetchOutcome::NotFoundHere(_)
        | FetchOutcome::Rejected(_) => return None,
    };
    Some(Observation::Log { level, line: format!("token endpoint at {cluster}: {what}") })
}

/// The line about a token that an upstream answered 401 to.
pub fn purge_line(client: &str, purge: Purge) -> Option<Observation> {
    let (level, what) = match purge {
        Purge::Purged => (Level::Info, "an upstream answered 401: the token is purged and asked for anew"),
        // One for each request that meets such an upstream.
        Purge::Retained => (Level::Debug, "an upstream answered 401 to a token that stays"),
    };
    Some(Observation::Log { level, line: format!("client {client}: {what}") })
}
