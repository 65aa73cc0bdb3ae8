//! A client's id and secret in the Basic scheme (RFC 6749 §2.3.1, RFC 7617).

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64ct::{Base64, Encoding};

use super::refusal::{Refusal, refuse};

/// Returns the id and the secret of the Basic scheme.
pub(super) fn basic(headers: &HeaderMap) -> Result<Option<(String, String)>, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return refuse("invalid_request", "authorization is repeated");
    }
    let pair = value.to_str().ok().and_then(|value| {
        let (scheme, credentials) = value.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let credentials = String::from_utf8(Base64::decode_vec(credentials.trim()).ok()?).ok()?;
        let (id, secret) = credentials.split_once(':')?;
        // Both were form-urlencoded before they were joined (RFC 6749 §2.3.1).
        Some((form_decode(id)?, form_decode(secret)?))
    });
    match pair {
        Some(pair) => Ok(Some(pair)),
        None => refuse("invalid_client", "authorization is not Basic with an id and a secret"),
    }
}

fn form_decode(text: &str) -> Option<String> {
    // A value without a name parses as a name without a value.
    let escaped = text.replace('&', "%26").replace('=', "%3D");
    match form_urlencoded::parse(escaped.as_bytes()).next() {
        Some((decoded, _)) => Some(decoded.into_owned()),
        None => Some(String::new()),
    }
}
