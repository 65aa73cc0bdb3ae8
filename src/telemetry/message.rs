//! Every line that the filter writes to the log, and nothing writes any other: docs/log-lines.md has each with its
//! cause and cure. Names of the configuration, numbers, and of others' words what [`Excerpt`](crate::base::Excerpt) and
//! [`Word`](crate::oauth::Word) let through; never a token's content.

use core::fmt;
use core::time::Duration;

use super::token_record::TokenRecord;
use super::words::{Algorithms, Change, Owner, Tail, Time};
use crate::base::{Level, Observation};
use crate::issuer::{DocumentKind, KeyChange};
use crate::jose::AlgorithmSet;
use crate::oauth::{CallSummary, FaultClass, FetchError, TokenFault};
use crate::outbound::{EgressDenial, Purge};
use crate::policy::RouteMetadataError;
use crate::sharing::Unreadable;

/// One line.
#[derive(Clone, Debug)]
pub enum Message<'a> {
    /// A configuration is in use.
    Configured {
        /// The name of the filter, as the host tells it.
        plugin: &'a str,
        /// Its version, as the gauge shows it.
        version: u64,
        /// The algorithms whose signatures the host checks.
        checked: AlgorithmSet,
    },
    /// The algorithms that the host signs with.
    Signs(AlgorithmSet),
    /// What an operator should know about a configuration that holds together.
    Notice(Level, &'static str),
    /// A problem of a configuration that is refused.
    Refused(&'a str),
    /// A document could not be fetched.
    FetchFailed {
        /// Whose it is.
        owner: Owner<'a>,
        /// Which.
        kind: DocumentKind,
        /// How often in a row.
        failures: u32,
        /// Why.
        error: &'a FetchError,
        /// Where, what is left, and what is next.
        call: &'a CallSummary,
    },
    /// A document is not at the first of its addresses.
    NotFoundHere {
        /// Whose it is.
        owner: Owner<'a>,
        /// Which.
        kind: DocumentKind,
        /// What the server said.
        error: &'a FetchError,
        /// Where.
        call: &'a CallSummary,
    },
    /// A document has been fetched after failures.
    FetchedAgain {
        /// Whose it is.
        owner: Owner<'a>,
        /// Which.
        kind: DocumentKind,
        /// How many failures.
        failures: u32,
        /// Where, and what is next.
        call: &'a CallSummary,
    },
    /// A document counts no more.
    Expired {
        /// Whose it was.
        owner: Owner<'a>,
        /// Which.
        kind: DocumentKind,
        /// Where, and what is next.
        call: &'a CallSummary,
    },
    /// The metadata names an address, for the first time or another one.
    Located {
        /// Whose it is.
        owner: Owner<'a>,
        /// Where the metadata is, and when it is fetched next.
        call: &'a CallSummary,
    },
    /// An issuer's keys are other ones.
    KeysChanged {
        /// The issuer.
        owner: Owner<'a>,
        /// How.
        change: &'a KeyChange,
        /// Another thread fetched them.
        is_shared: bool,
        /// Where, and what is next.
        call: &'a CallSummary,
    },
    /// What lies in shared data is not to be believed.
    SharedRefused {
        /// Whose it would be.
        owner: Owner<'a>,
        /// Why.
        why: Unreadable,
    },
    /// A denial that is only reported, as an access log has it.
    WouldDeny(&'a str),
    /// A denial for metadata of a route, which is the operator's to mend.
    Denied(&'a RouteMetadataError, &'a str),
    /// The same of a request that goes out.
    EgressDenied(EgressDenial, &'a str),
    /// A state that should be impossible.
    Internal(&'static str),
    /// The host did not do what it does.
    Host(HostFault),
    /// There is a token.
    Obtained {
        /// Whose it is.
        owner: Owner<'a>,
        /// How long it lives.
        lifetime: Duration,
        /// Another thread obtained it.
        is_shared: bool,
        /// It is one of many, for one caller.
        is_exchange: bool,
        /// How many failures there were before.
        failures: u32,
        /// How many of the scopes it lacks.
        missing_scopes: usize,
        /// Where, and when it is renewed.
        call: &'a CallSummary,
    },
    /// There is no new token.
    NoToken {
        /// Whose it would be.
        owner: Owner<'a>,
        /// How often in a row.
        failures: u32,
        /// Why.
        fault: &'a TokenFault,
        /// It was to be one of many, for one caller.
        is_exchange: bool,
        /// Where, what is left, and what is next.
        call: &'a CallSummary,
    },
    /// The token expired before there was a new one.
    TokenExpired {
        /// Whose it was.
        owner: Owner<'a>,
        /// Where, and what is next.
        call: &'a CallSummary,
    },
    /// A circuit breaker opened.
    BreakerOpened {
        /// The client whose request opened it.
        owner: Owner<'a>,
        /// Where, and what is next.
        call: &'a CallSummary,
    },
    /// A circuit breaker closed.
    BreakerClosed {
        /// The client whose request closed it.
        owner: Owner<'a>,
        /// Where.
        call: &'a CallSummary,
    },
    /// An upstream answered 401.
    Purged(Owner<'a>, Purge),
    /// What happened to a client's token or circuit breaker, for programs.
    TokenRecord(&'a TokenRecord),
    /// No destination matches requests of this authority.
    Unmatched {
        /// The authority, or that no more are told.
        authority: Option<&'a crate::base::Excerpt>,
        /// The cluster that they go to.
        cluster: &'a crate::base::Excerpt,
        /// They go on without a token.
        is_passed: bool,
    },
}

/// A fault between host and filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostFault {
    /// It calls back within a callback, and the event is lost.
    EventLost,
    /// It calls back within a callback, with a request.
    CallbackWithinCallback,
    /// It does not take a response.
    ResponseNotTaken,
    /// It does not break off a stream.
    StreamNotEnded,
    /// It does not let a request that waited go on.
    WaitingNotResumed,
    /// It does not change a header.
    HeaderNotChanged,
    /// It does not write a fact for other filters.
    FactNotWritten,
    /// It does not show a request's headers.
    HeadersUnreadable,
    /// It does not show the body of a request that is held back for it.
    BodyUnreadable,
    /// A request that was held back for its body is over, and nothing of it came.
    BodyNotShown,
    /// It sends a request to a filter without a configuration.
    NotConfigured,
    /// It does not write a field of an audit record.
    AuditNotWritten,
}

impl Message<'_> {
    /// How grave it is. What is repeated is told at its level the 1st, 2nd, 4th, 8th … time, and at debug otherwise.
    pub fn level(&self) -> Level {
        let thinned =
            |level: Level, failures: u32| if failures.is_power_of_two() { level } else { Level::Debug };
        match self {
            Self::Notice(level, _) => *level,
            Self::Refused(_) | Self::Expired { .. } | Self::Internal(_) | Self::Host(_) => Level::Error,
            Self::FetchFailed { failures, .. } => thinned(Level::Warn, *failures),
            Self::NotFoundHere { .. } | Self::Purged(_, Purge::Retained) => Level::Debug,
            // One thread tells of it for all.
            Self::KeysChanged { is_shared: true, .. } => Level::Debug,
            Self::KeysChanged { change, .. } if change.private_members => Level::Warn,
            // One thread tells of it for all; and a caller's token is asked for as often as callers like.
            Self::Obtained { is_shared: true, .. }
            | Self::Obtained { is_exchange: true, failures: 0, .. } => Level::Debug,
            Self::Obtained { missing_scopes: 1.., .. } => Level::Warn,
            // A caller's fault, as often as callers like.
            Self::NoToken { fault, is_exchange: true, .. } if fault.is_about_subject() => Level::Debug,
            Self::NoToken { fault, failures, .. } => match fault.class() {
                FaultClass::Configuration => thinned(Level::Error, *failures),
                FaultClass::Transient => thinned(Level::Warn, *failures),
            },
            Self::SharedRefused { .. }
            | Self::Denied(..)
            | Self::EgressDenied(..)
            | Self::TokenExpired { .. }
            | Self::BreakerOpened { .. } => Level::Warn,
            Self::Configured { .. }
            | Self::Signs(_)
            | Self::FetchedAgain { .. }
            | Self::Located { .. }
            | Self::KeysChanged { .. }
            | Self::WouldDeny(_)
            | Self::Obtained { .. }
            | Self::BreakerClosed { .. }
            | Self::TokenRecord(_)
            | Self::Purged(_, Purge::Purged)
            | Self::Unmatched { .. } => Level::Info,
        }
    }

    /// The line, on its way to the host.
    pub fn observe(&self) -> Observation {
        self.observe_with("")
    }

    /// The same, with something at its end.
    pub(super) fn observe_with(&self, end: &str) -> Observation {
        Observation::Log { level: self.level(), line: format!("{self}{end}") }
    }
}

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configured { plugin, version, checked } => {
                write!(f, "filter {plugin} configured, version {version}; ")?;
                if checked.iter().next().is_none() {
                    return f.write_str("all signatures are checked by the portable engine");
                }
                let checked = Algorithms(*checked);
                write!(f, "Envoy checks the signatures of {checked}, the portable engine all others")
            }
            Self::Signs(signed) if signed.iter().next().is_none() => {
                f.write_str("Envoy signs nothing: a client with an RSA key needs `portable_rsa: allow`")
            }
            Self::Signs(signed) => {
                write!(f, "Envoy signs {}, the portable engine all others", Algorithms(*signed))
            }
            Self::Notice(_, text) => f.write_str(text),
            Self::Refused(problem) => write!(f, "configuration refused: {problem}"),
            Self::FetchFailed { owner, kind, failures, error, call } => {
                write!(f, "{owner}: fetching {} failed ({failures} in a row): {error}", kind.name())?;
                write!(f, "; {}", Tail { call, left: Some(owner.left(*kind)), next: "next attempt" })
            }
            Self::NotFoundHere { owner, kind, error, call } => {
                write!(f, "{owner}: no {} at the first address: {error}", kind.name())?;
                write!(f, "; {}", Tail { call, left: None, next: "the other address is asked" })
            }
            Self::FetchedAgain { owner, kind, failures, call } => {
                write!(f, "{owner}: {} fetched again after {failures} failures", kind.name())?;
                write!(f, "; {}", Tail { call, left: None, next: "next fetch" })
            }
            Self::Expired { owner, kind, call } => {
                write!(f, "{owner}: the {} expired: {}", kind.name(), owner.left(*kind).without)?;
                write!(f, "; {}", Tail { call, left: None, next: "next attempt" })
            }
            Self::Located { owner, call } => {
                write!(f, "{owner}: the metadata names the address of {}", owner.located())?;
                write!(f, "; {}", Tail { call, left: None, next: "next fetch" })
            }
            Self::KeysChanged { owner, change, call, .. } => {
                write!(f, "{owner}: keys changed: {}", Change(change))?;
                write!(f, "; {}", Tail { call, left: None, next: "next fetch" })
            }
            Self::SharedRefused { owner, why } => {
                write!(f, "{owner}: a document that another module has left in shared data is refused: {why}")
            }
            Self::WouldDeny(annotation) => write!(f, "report-only, would deny: {annotation}"),
            Self::Denied(error, annotation) => write!(f, "{error}: {annotation}"),
            Self::EgressDenied(denial, annotation) => write!(f, "{denial}: {annotation}"),
            Self::Internal(why) => write!(f, "internal error: {why}"),
            Self::Host(fault) => f.write_str(fault.text()),
            Self::Obtained { owner, lifetime, failures, missing_scopes, is_shared, is_exchange, call } => {
                write!(f, "{owner}: a token for {}", Time(*lifetime))?;
                if *failures > 0 && !is_shared {
                    write!(f, " again after {failures} failures")?;
                }
                if *missing_scopes > 0 {
                    write!(f, ", which lacks {missing_scopes} of the scopes that were asked for")?;
                }
                if *is_exchange {
                    return write!(f, "; {} through cluster {}", call.url, call.cluster);
                }
                write!(f, "; {}", Tail { call, left: None, next: "renewal" })
            }
            Self::NoToken { owner, fault, is_exchange: true, call, .. } if fault.is_about_subject() => {
                write!(f, "{owner}: no token for one caller: {fault}; {}", call.url)?;
                write!(f, " through cluster {}; other callers are not affected", call.cluster)
            }
            Self::NoToken { owner, failures, fault, is_exchange, call } => {
                let what = if call.serves.is_some() { "renewal failed" } else { "no token" };
                write!(f, "{owner}: {what} ({failures} in a row): {fault}")?;
                let left = Some(Owner::token_left(*is_exchange));
                write!(f, "; {}", Tail { call, left, next: "next attempt" })
            }
            Self::TokenExpired { owner, call } => {
                write!(f, "{owner}: the token expired before there was a new one: requests get 503")?;
                write!(f, "; {}", Tail { call, left: None, next: "next attempt" })
            }
            Self::BreakerOpened { owner, call } => {
                write!(f, "{owner}: its token endpoint fails: circuit breaker opened")?;
                write!(f, "; {}", Tail { call, left: None, next: "next attempt" })
            }
            Self::BreakerClosed { owner, call } => {
                write!(f, "{owner}: its token endpoint answers again: circuit breaker closed")?;
                write!(f, "; {} through cluster {}", call.url, call.cluster)
            }
            Self::Purged(owner, Purge::Purged) => {
                write!(f, "{owner}: an upstream answered 401: the token is purged and asked for anew")
            }
            Self::Purged(owner, Purge::Retained) => {
                write!(f, "{owner}: an upstream answered 401 to a token that stays")
            }
            Self::TokenRecord(record) => write!(f, "audit: {record}"),
            Self::Unmatched { authority: Some(authority), cluster, is_passed } => {
                let fate = if *is_passed { "pass without a token" } else { "are denied" };
                write!(
                    f,
                    "no destination matches a request to authority `{authority}` and cluster `{cluster}`: "
                )?;
                write!(f, "such requests {fate}")
            }
            Self::Unmatched { authority: None, .. } => {
                f.write_str("more authorities match no destination: no more of them are logged")
            }
        }
    }
}

impl HostFault {
    const fn text(self) -> &'static str {
        match self {
            Self::EventLost => "a callback within a callback is lost",
            Self::CallbackWithinCallback => "a callback came within another one",
            Self::ResponseNotTaken => "the host did not take a response",
            Self::StreamNotEnded => "a stream cannot be ended",
            Self::WaitingNotResumed => "a waiting request cannot go on",
            Self::HeaderNotChanged => "a request header cannot be changed",
            Self::FactNotWritten => "a fact for other filters cannot be written to filter state",
            Self::HeadersUnreadable => "the request's headers cannot be read",
            Self::BodyUnreadable => "the request's body cannot be read",
            Self::BodyNotShown => {
                "a request ended before anything of its body came: set `allow_on_headers_stop_iteration: true` beside \
                 the module's `vm_config`"
            }
            Self::NotConfigured => "the filter is not configured",
            Self::AuditNotWritten => {
                "a field of the audit record cannot be written: another filter has made it read-only, or the host \
                 does not take it. It is told once"
            }
        }
    }
}
