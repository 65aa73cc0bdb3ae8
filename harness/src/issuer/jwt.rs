//! JWTs that others present to the issuer: assertions and subject tokens. Checked by the filter's own code, which
//! holds more than this issuer needs.

use std::time::{SystemTime, UNIX_EPOCH};

use attache::jose::{KeySet, RustCrypto, TokenParts};
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Map, Value};

/// Returns the claims of a token if one of the keys in this JWKS document has signed it.
pub(super) fn signed_claims(token: &str, jwks: &[u8]) -> Option<Map<String, Value>> {
    let keys = KeySet::parse(jwks).ok()?.set;
    let parts = TokenParts::decode(token).ok()?;
    let unverified = parts.read().ok()?;
    let header = unverified.header();
    let mut candidates = keys.candidates(header.algorithm, header.kid.as_deref());
    let is_signed = candidates.any(|key| unverified.verify(key, &RustCrypto).is_ok());
    if is_signed { unverified_claims(token) } else { None }
}

/// Returns the claims of a token, not to be trusted.
pub(super) fn unverified_claims(token: &str) -> Option<Map<String, Value>> {
    let claims = Base64UrlUnpadded::decode_vec(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&claims).ok()
}

/// Returns a claim that is a text.
pub(super) fn text<'c>(claims: &'c Map<String, Value>, name: &str) -> Option<&'c str> {
    claims.get(name).and_then(Value::as_str)
}

/// Returns a claim that is a NumericDate (RFC 7519 §2), as seconds from now.
pub(super) fn seconds_from_now(claims: &Map<String, Value>, name: &str) -> Option<f64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs_f64();
    claims.get(name).and_then(Value::as_f64).map(|date| date - now)
}
