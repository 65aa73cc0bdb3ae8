//! What becomes of a request, as host calls on the current context. Headers change first, and the request goes on last:
//! after that the host refuses changes.

use proxy_wasm::types::MapType;

use super::observations;
use super::raw::{self, HostFailure};
use crate::base::{Edit, Response, encode_pairs};
use crate::telemetry::{HostFault, Message};

/// Changes the request's headers and records the decision. The caller lets the request go on.
///
/// # Errors
/// When a header could not be changed: the request must not go on then.
pub(super) fn edit(edits: &[Edit], annotation: Option<&str>) -> Result<(), HostFailure> {
    for edit in edits {
        match edit {
            Edit::Remove(name) => raw::remove_header(MapType::HttpRequestHeaders, name)?,
            Edit::Set(name, value) => raw::set_header(MapType::HttpRequestHeaders, name, value)?,
        }
    }
    if let Some(annotation) = annotation {
        annotate(annotation);
    }
    Ok(())
}

/// Answers the request in the upstream's place.
pub(super) fn respond(response: &Response, annotation: &str) {
    annotate(annotation);
    let headers = encode_pairs(response.headers.iter().map(|(name, value)| (*name, value.as_str())));
    let details = format!("attache_{}", response.details);
    let body = response.body.as_bytes();
    if raw::send_response(response.status, &details, &headers, body, response.grpc_status).is_err() {
        // The request stays where it is: nothing is forwarded, and the host's own timeout ends it.
        observations::write(&Message::Host(HostFault::ResponseNotTaken));
    }
}

/// Answers a request that this filter could not handle: not forwarded, whatever the reason.
pub(super) fn fail(why: HostFault) {
    observations::write(&Message::Host(why));
    respond(
        &Response { status: 500, details: "internal", grpc_status: Some(13), ..Response::default() },
        "outcome=deny reason=internal",
    );
}

fn annotate(annotation: &str) {
    // Filter state is for access logs; a request does not fail for want of it.
    let _ = raw::set_property(FILTER_STATE, annotation);
}

/// Access logs read `%FILTER_STATE(wasm.attache.decision:PLAIN)%`.
const FILTER_STATE: &str = "attache.decision";
