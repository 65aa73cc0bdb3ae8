//! What the filter hands to the outbound half, and what comes of it.

use core::time::Duration;

use super::denial::EgressDenial;
use super::event::TokenEvent;
use super::ids::{ClientId, EndpointId};
use super::subject::{Subject, SubjectDigest};
use crate::base::{Edit, RequestHead, StreamId, Timestamp};
use crate::oauth::DocumentEvent;
use crate::policy::MetadataClient;

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OutboundCall {
    /// The token of a client.
    Token(ClientId),
    /// The token of a client for one of its callers.
    Exchange(ClientId, SubjectDigest),
    /// The metadata that says where a token endpoint is.
    Metadata(EndpointId),
}

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutboundEvent {
    /// To a client's token.
    Token {
        /// The client.
        client: ClientId,
        /// What.
        event: TokenEvent,
        /// For which caller, if it is one of many that callers' tokens are exchanged for.
        subject: Option<SubjectDigest>,
    },
    /// To an endpoint's metadata.
    Endpoint {
        /// The endpoint.
        endpoint: EndpointId,
        /// What.
        event: DocumentEvent<()>,
    },
}

/// What became of a request that goes out, as metrics count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InjectionOutcome {
    /// It goes where no token goes.
    Passed,
    /// The same, and a token of ours was taken out of it.
    Stripped,
    /// It keeps its own credential.
    Kept,
    /// It carries a token.
    Injected,
    /// It is denied.
    Denied(EgressDenial),
}

impl InjectionOutcome {
    /// All labels.
    pub const LABELS: [&'static str; 18] = [
        "passed",
        "stripped",
        "kept",
        "injected",
        "token_unavailable",
        "token_waiting_full",
        "subject_refused",
        "subject_missing",
        "plaintext",
        "not_allowed",
        "client_unknown",
        "caller_credential",
        "outbound_header_hop_by_hop",
        "outbound_path_ambiguous",
        "outbound_authority_invalid",
        "outbound_method_invalid",
        "outbound_overridden",
        "unmatched",
    ];

    /// A stable name for metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Stripped => "stripped",
            Self::Kept => "kept",
            Self::Injected => "injected",
            Self::Denied(denial) => denial.label(),
        }
    }
}

/// A request that goes out.
pub struct Outgoing<'a> {
    /// Its number.
    pub stream: StreamId,
    /// What it says.
    pub head: &'a RequestHead,
    /// The client that the metadata of its route names.
    pub client: &'a MetadataClient,
    /// What the inbound half changes in it first.
    pub edits: &'a [Edit],
    /// Until when it waits at most.
    pub patience: Timestamp,
    /// The caller's token, verified, for an exchange.
    pub subject: &'a dyn Fn() -> Option<Subject>,
}

/// What becomes of a request that goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Injection {
    /// It goes to a cluster that carries calls of our own, and most likely is one; the edits take out tokens of ours
    /// that a redirect has brought there.
    OwnCall(Vec<Edit>),
    /// It goes where no token goes; the edits take out those of ours that it carries.
    Passed(Vec<Edit>),
    /// It keeps its own credential; the edits take out tokens of ours that it carries beside it.
    Kept(ClientId, Vec<Edit>),
    /// It carries this client's token.
    Injected(ClientId, Vec<Edit>, InjectedToken),
    /// It waits for this client's token, or for the one of a caller.
    Wait(ClientId, Option<SubjectDigest>),
    /// It is denied.
    Denied(Option<ClientId>, EgressDenial),
}

/// A token that a request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InjectedToken {
    /// How long ago it was asked for.
    pub age: Duration,
    /// The request has carried one of ours before: it is another attempt, or was redirected.
    pub is_retry: bool,
}

impl Outgoing<'_> {
    /// The values of a header after the edits: those of the request, unless an edit has taken their place.
    pub(super) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let edit = self.edits.iter().rev().find(|edit| edit.name() == name);
        let set = edit.and_then(|edit| match edit {
            Edit::Set(_, value) => Some(value.as_bytes()),
            Edit::Remove(_) => None,
        });
        let there = edit.is_none().then(|| self.head.headers.values(name));
        set.into_iter().chain(there.into_iter().flatten())
    }
}
