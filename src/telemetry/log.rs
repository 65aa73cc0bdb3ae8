//! Which event is worth which line.

use core::fmt::Write as _;
use core::time::Duration;

use super::audit::AuditSettings;
use super::message::Message;
use super::token_record::TokenRecord;
use super::words::Owner;
use crate::base::{Observation, RequestHead, Timestamp, request_id};
use crate::inbound::{Decision, DecisionOutcome, Denial};
use crate::issuer::{DocumentKind, IssuerChange, IssuerEvent};
use crate::oauth::{CallSummary, DocumentEvent, FetchOutcome};
use crate::outbound::{BreakerChange, Client, TokenChange, TokenEvent};

/// The line about what happened to an issuer's document, if it is worth one.
pub fn fetch_line<'a>(
    owner: Owner<'a>,
    IssuerEvent { document, event }: &'a IssuerEvent,
    call: &'a CallSummary,
) -> Option<Message<'a>> {
    let is_shared = event.is_shared;
    match &event.outcome {
        FetchOutcome::Changed(IssuerChange::Keys(change)) => {
            Some(Message::KeysChanged { owner, change, is_shared, call })
        }
        FetchOutcome::Changed(IssuerChange::Address) => {
            (!is_shared).then_some(Message::Located { owner, call })
        }
        FetchOutcome::Unchanged
        | FetchOutcome::Confirmed
        | FetchOutcome::Failed(_)
        | FetchOutcome::NotFoundHere(_)
        | FetchOutcome::Rejected(_)
        | FetchOutcome::Expired => document_line(owner, document.kind, event, call),
    }
}

/// The line about what happened to the metadata that names a token endpoint, if it is worth one.
pub fn endpoint_line<'a>(
    owner: Owner<'a>,
    event: &'a DocumentEvent<()>,
    call: &'a CallSummary,
) -> Option<Message<'a>> {
    match &event.outcome {
        FetchOutcome::Changed(()) => (!event.is_shared).then_some(Message::Located { owner, call }),
        FetchOutcome::Unchanged
        | FetchOutcome::Confirmed
        | FetchOutcome::Failed(_)
        | FetchOutcome::NotFoundHere(_)
        | FetchOutcome::Rejected(_)
        | FetchOutcome::Expired => document_line(owner, DocumentKind::Metadata, event, call),
    }
}

/// What all documents have in common.
fn document_line<'a, C>(
    owner: Owner<'a>,
    kind: DocumentKind,
    &DocumentEvent { is_shared, failures, ref outcome }: &'a DocumentEvent<C>,
    call: &'a CallSummary,
) -> Option<Message<'a>> {
    match outcome {
        FetchOutcome::Failed(error) => {
            let failures = failures.saturating_add(1);
            Some(Message::FetchFailed { owner, kind, failures, error, call })
        }
        FetchOutcome::NotFoundHere(error) => Some(Message::NotFoundHere { owner, kind, error, call }),
        FetchOutcome::Unchanged if failures > 0 && !is_shared => {
            Some(Message::FetchedAgain { owner, kind, failures, call })
        }
        FetchOutcome::Expired => Some(Message::Expired { owner, kind, call }),
        FetchOutcome::Changed(_)
        | FetchOutcome::Unchanged
        | FetchOutcome::Confirmed
        | FetchOutcome::Rejected(_) => None,
    }
}

/// The line about what happened to a client's token, if it is worth one.
pub fn token_line<'a>(
    owner: Owner<'a>,
    event: &'a TokenEvent,
    is_exchange: bool,
    call: &'a CallSummary,
) -> Option<Message<'a>> {
    let failures = event.failures;
    match &event.change {
        TokenChange::Failed(fault) => {
            let failures = failures.saturating_add(1);
            Some(Message::NoToken { owner, failures, fault, is_exchange, call })
        }
        TokenChange::Obtained { lifetime, scopes, is_shared } => Some(Message::Obtained {
            owner,
            lifetime: *lifetime,
            is_shared: *is_shared,
            is_exchange,
            failures,
            missing_scopes: scopes.missing.len(),
            call,
        }),
        TokenChange::Expired => Some(Message::TokenExpired { owner, call }),
        TokenChange::Rejected(_) => None,
    }
}

/// The line about the breaker of the token endpoint of a client.
pub fn breaker_line<'a>(
    owner: Owner<'a>,
    change: BreakerChange,
    call: &'a CallSummary,
) -> Option<Message<'a>> {
    match change {
        BreakerChange::None => None,
        BreakerChange::Opened => Some(Message::BreakerOpened { owner, call }),
        BreakerChange::Closed => Some(Message::BreakerClosed { owner, call }),
    }
}

/// Log lines that requests cause: some each second, the rest counted.
#[derive(Debug, Default)]
pub struct Reports {
    limit: LineLimit,
}

/// So many lines each second, and how many there would have been besides.
#[derive(Debug, Default)]
struct LineLimit {
    since: Timestamp,
    written: u32,
    withheld: u32,
}

impl LineLimit {
    /// How many lines were not written before this one, if this one may be.
    fn admit(&mut self, now: Timestamp) -> Option<u32> {
        if now < self.since || now.since(self.since) >= PERIOD {
            *self = Self { since: now, written: 0, withheld: self.withheld };
        }
        if self.written >= MAX_LINES {
            self.withheld = self.withheld.saturating_add(1);
            return None;
        }
        self.written = self.written.saturating_add(1);
        Some(core::mem::take(&mut self.withheld))
    }
}

impl Reports {
    /// The lines about a decision: a denial that is only reported, and faults that are not the client's. `annotation`
    /// is how the decision reads in an access log; the line ends in the request's id.
    pub fn record(
        &mut self,
        decision: &Decision,
        (annotation, head): (&str, &RequestHead),
        now: Timestamp,
        observations: &mut Vec<Observation>,
    ) {
        let Err(denial) = &decision.verdict else { return };
        // Looked for here: a request that is permitted does not pay for it.
        let request_id = request_id(head);
        if let Denial::Internal(why) = denial {
            observations.push(Message::Internal(why).observe());
        }
        observations.extend(match (decision.outcome(), denial) {
            (DecisionOutcome::Report, _) => {
                self.limited_about(&Message::WouldDeny(annotation), request_id, now)
            }
            (_, Denial::RouteMetadata(error)) => {
                self.limited_about(&Message::Denied(error, annotation), request_id, now)
            }
            (DecisionOutcome::Permit | DecisionOutcome::Deny, _) => None,
        });
    }

    /// A line that requests, or another module, can cause at will.
    pub fn limited(&mut self, message: &Message<'_>, now: Timestamp) -> Option<Observation> {
        self.limited_about(message, None, now)
    }

    /// The same about a request, whose id it ends in.
    pub fn limited_about(
        &mut self,
        message: &Message<'_>,
        request_id: Option<&str>,
        now: Timestamp,
    ) -> Option<Observation> {
        let withheld = self.limit.admit(now)?;
        let mut end = request_id.map(|id| format!(" request_id={id}")).unwrap_or_default();
        if withheld > 0 {
            // A string takes all that is written to it.
            let _ = write!(end, " ({withheld} more before this one)");
        }
        Some(message.observe_with(&end))
    }
}

/// The records of what happens to tokens, where they are configured. Only those of exchanges are limited; `purge_interval`
/// limits the others that a caller can cause.
#[derive(Debug)]
pub struct TokenRecords {
    is_configured: bool,
    /// Exchanges happen as often as callers like.
    exchanges: LineLimit,
}

impl TokenRecords {
    /// For a configuration with this block `audit`.
    pub fn new(audit: &AuditSettings) -> Self {
        Self { is_configured: audit.token_events, exchanges: LineLimit::default() }
    }

    /// The lines about what happened to a client's token, and to the circuit breaker of its endpoint.
    pub fn record_event(
        &mut self,
        (client, call): (&Client, &CallSummary),
        event: &TokenEvent,
        now: Timestamp,
        observations: &mut Vec<Observation>,
    ) {
        if self.is_configured {
            let request = TokenRecord::of_request(client, event, call);
            observations.extend(request.and_then(|record| self.line(record, client, now)));
            // One breaker is for all callers.
            let breaker = TokenRecord::of_breaker(client, event, call);
            observations.extend(breaker.map(|record| Message::TokenRecord(&record).observe()));
        }
    }

    /// The line about a token that a 401 of an upstream has purged.
    pub fn record_purge(
        &mut self,
        (client, call): (&Client, &CallSummary),
        now: Timestamp,
        observations: &mut Vec<Observation>,
    ) {
        if self.is_configured {
            observations.extend(self.line(TokenRecord::of_purge(client, call), client, now));
        }
    }

    fn line(&mut self, record: TokenRecord, client: &Client, now: Timestamp) -> Option<Observation> {
        let not_written = if client.exchanges() { self.exchanges.admit(now)? } else { 0 };
        Some(Message::TokenRecord(&TokenRecord { not_written, ..record }).observe())
    }
}

const PERIOD: Duration = Duration::from_secs(1);
/// Enough to see what is going on; the metrics have the numbers.
const MAX_LINES: u32 = 10;
