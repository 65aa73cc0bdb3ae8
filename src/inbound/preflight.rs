//! CORS preflights (Fetch standard, "CORS-preflight request"): browsers send them without credentials.

use crate::base::RequestHead;

/// Whether this is one: `OPTIONS` with an origin and the method that it asks about.
pub(super) fn is_preflight(head: &RequestHead) -> bool {
    head.headers.first(":method") == Some(b"OPTIONS")
        && head.headers.first("origin").is_some()
        && head.headers.first(REQUESTED_METHOD).is_some()
}

/// The method of the request that is asked about.
pub(super) fn requested_method(head: &RequestHead) -> &[u8] {
    head.headers.first(REQUESTED_METHOD).unwrap_or_default()
}

const REQUESTED_METHOD: &str = "access-control-request-method";
