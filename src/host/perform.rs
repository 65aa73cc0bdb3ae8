//! What becomes of a request, as host calls on the current context. Headers change first, and the request goes on last:
//! after that the host refuses changes.

use proxy_wasm::types::MapType;

use super::observations;
use super::raw::{self, HostFailure};
use crate::base::{AuditEntry, Edit, Response, StateEntry, encode_pairs};
use crate::telemetry::{HostFault, Message};

/// Changes the request's headers and records the decision. The caller lets the request go on.
///
/// # Errors
/// When a header could not be changed or a fact not be written: the request must not go on then.
pub(super) fn edit(edits: &[Edit], annotation: Option<&str>, facts: &[StateEntry]) -> Result<(), HostFault> {
    for edit in edits {
        let changed = match edit {
            Edit::Remove(name) => raw::remove_header(MapType::HttpRequestHeaders, name),
            Edit::Set(name, value) => raw::set_header(MapType::HttpRequestHeaders, name, value),
        };
        changed.map_err(|_| HostFault::HeaderNotChanged)?;
    }
    if let Some(annotation) = annotation {
        annotate(annotation);
    }
    write(facts).map_err(|_| HostFault::FactNotWritten)
}

/// Answers the request in the upstream's place.
pub(super) fn respond(response: &Response, annotation: &str, facts: &[StateEntry]) {
    annotate(annotation);
    // Only access logs read them now.
    let _ = write(facts);
    let headers = encode_pairs(response.headers.iter().map(|(name, value)| (*name, value.as_str())));
    let details = format!("attache_{}", response.details);
    let body = response.body.as_bytes();
    if raw::send_response(response.status, &details, &headers, body, response.grpc_status).is_err() {
        // The request stays where it is: nothing is forwarded, and the host's own timeout ends it.
        observations::write(&Message::Host(HostFault::ResponseNotTaken));
    }
}

/// Breaks off a request that has gone on.
pub(super) fn reset(annotation: &str) {
    annotate(annotation);
    if raw::close_request().is_err() {
        // It was proved when the configuration was read.
        observations::write(&Message::Host(HostFault::StreamNotEnded));
    }
}

/// Answers a request that this filter could not handle: not forwarded, whatever the reason.
pub(super) fn fail(why: HostFault) {
    observations::write(&Message::Host(why));
    respond(
        &Response { status: 500, details: "internal", grpc_status: Some(13), ..Response::default() },
        "outcome=deny reason=internal",
        &[],
    );
}

/// Writes the audit record.
///
/// # Errors
/// When a field could not be written. The others are.
pub(super) fn record(audit: &[AuditEntry]) -> Result<(), HostFailure> {
    let write = |result: Result<(), _>, (key, text): &AuditEntry| raw::set_property(key, text).and(result);
    audit.iter().fold(Ok(()), write)
}

fn annotate(annotation: &str) {
    // Filter state is for access logs; a request does not fail for want of it.
    let _ = raw::set_property(FILTER_STATE, annotation);
}

/// Other filters decide by facts: a request does not go on without them.
fn write(facts: &[StateEntry]) -> Result<(), HostFailure> {
    facts.iter().try_for_each(|(key, text)| raw::set_property(key, text))
}

/// Access logs read `%FILTER_STATE(wasm.attache.decision:PLAIN)%`.
const FILTER_STATE: &str = "attache.decision";
