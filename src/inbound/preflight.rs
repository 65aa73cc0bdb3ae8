//! CORS preflights (Fetch standard, "CORS-preflight fetch"): browsers send them without credentials, and without a
//! body.

use crate::base::RequestHead;

/// Whether this is one: `OPTIONS` with one origin and the one method that it asks about, and nothing else to be done.
pub(super) fn is_preflight(head: &RequestHead) -> bool {
    head.headers.first(":method") == Some(b"OPTIONS")
        && !head.has_body
        && only(head, "origin").is_some()
        && only(head, REQUESTED_METHOD).is_some_and(|method| method.iter().all(is_token_byte))
}

/// The method of the request that is asked about.
pub(super) fn requested_method(head: &RequestHead) -> &[u8] {
    head.headers.first(REQUESTED_METHOD).unwrap_or_default()
}

/// The value of a header that is there once and is not empty.
fn only<'a>(head: &'a RequestHead, name: &str) -> Option<&'a [u8]> {
    let mut values = head.headers.values(name);
    let value = values.next().filter(|value| !value.is_empty());
    value.filter(|_| values.next().is_none())
}

/// RFC 9110 §5.6.2.
fn is_token_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}

const REQUESTED_METHOD: &str = "access-control-request-method";
