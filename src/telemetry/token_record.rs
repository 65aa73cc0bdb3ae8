//! Token requests, purges and changes of circuit breakers as records: what an operator keeps, and a program reads.

use core::fmt;

use serde::Serialize;

use super::audit::joined;
use crate::base::AuditText;
use crate::oauth::{CallSummary, Grant};
use crate::outbound::{BreakerChange, Client, TokenChange, TokenEvent};

/// One record. Its names are documented in docs/audit.md, and are an interface.
#[derive(Clone, Debug, Serialize)]
pub struct TokenRecord {
    /// `token_request`, `token_purge` or `breaker`.
    pub event: &'static str,
    /// The client.
    pub client: AuditText,
    /// `client_credentials` or `token_exchange`.
    pub grant: &'static str,
    /// The URL of the token endpoint without its query; empty while it is not known.
    pub endpoint: AuditText,
    /// The cluster that carries its calls.
    pub cluster: AuditText,
    /// What came of it.
    pub result: &'static str,
    /// Of a request that was sent, or tried: how long it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Of a request that brought a token.
    #[serde(flatten)]
    pub issued: Option<IssuedRecord>,
    /// How many records of exchanges were not written before this one.
    #[serde(skip_serializing_if = "is_zero")]
    pub not_written: u32,
}

/// What a token endpoint issued.
#[derive(Clone, Debug, Serialize)]
pub struct IssuedRecord {
    /// How long the token lives, in seconds from the request.
    pub lifetime_s: u64,
    /// The scopes that were asked for and granted, with a space between.
    pub scopes_granted: AuditText,
    /// Those that were asked for and not granted.
    pub scopes_missing: AuditText,
    /// How many scopes were granted that were not asked for.
    pub scopes_further: usize,
}

impl TokenRecord {
    /// What came of a token request of this thread; `None` where the event is about none.
    pub fn of_request(client: &Client, event: &TokenEvent, call: &CallSummary) -> Option<Self> {
        let result = event.result(client.exchanges())?;
        let duration_ms = event.took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        let issued = IssuedRecord::new(client, &event.change);
        Some(Self { duration_ms, issued, ..Self::new("token_request", result, client, call) })
    }

    /// What that did to the circuit breaker of the endpoint, if anything.
    pub fn of_breaker(client: &Client, event: &TokenEvent, call: &CallSummary) -> Option<Self> {
        let result = match event.breaker {
            BreakerChange::None => return None,
            BreakerChange::Opened => "opened",
            BreakerChange::Closed => "closed",
        };
        Some(Self::new("breaker", result, client, call))
    }

    /// That a 401 of an upstream has purged a token.
    pub fn of_purge(client: &Client, call: &CallSummary) -> Self {
        Self::new("token_purge", "purged", client, call)
    }

    fn new(event: &'static str, result: &'static str, client: &Client, call: &CallSummary) -> Self {
        let endpoint = call.url.split_once('?').map_or(&*call.url, |(endpoint, _)| endpoint);
        Self {
            event,
            client: (&client.name).into(),
            grant: match client.request.grant {
                Grant::ClientCredentials => "client_credentials",
                Grant::TokenExchange { .. } => "token_exchange",
            },
            endpoint: AuditText::of(endpoint),
            cluster: AuditText::of(&call.cluster),
            result,
            duration_ms: None,
            issued: None,
            not_written: 0,
        }
    }
}

impl IssuedRecord {
    fn new(client: &Client, change: &TokenChange) -> Option<Self> {
        let TokenChange::Obtained { lifetime, scopes, .. } = change else { return None };
        let is_missing = |scope: &str| scopes.missing.iter().any(|missing| **missing == *scope);
        Some(Self {
            lifetime_s: lifetime.as_secs(),
            scopes_granted: joined(client.request.scopes.iter().filter(|scope| !is_missing(scope))),
            scopes_missing: joined(scopes.missing.iter()),
            scopes_further: scopes.further,
        })
    }
}

impl fmt::Display for TokenRecord {
    /// JSON, on one line: what is no visible ASCII is escaped already.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

// The form is serde's.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}
