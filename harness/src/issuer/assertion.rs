//! The assertion of `private_key_jwt` (RFC 7523 §3, OpenID Connect Core §9): who wrote it, for whom, until when, and
//! that it comes the first time.

use serde_json::{Map, Value};

use super::client::Client;
use super::jwt::{seconds_from_now, signed_claims, text, unverified_claims};
use super::refusal::{Refusal, refuse};
use super::state::State;

/// Returns the client that wrote this assertion; `client_id`, if the request has one, has to name the same.
pub(super) fn verify(issuer: &State, token: &str, client_id: Option<&str>) -> Result<Client, Refusal> {
    let Some(claims) = unverified_claims(token) else {
        return refuse("invalid_client", "the assertion is no JWT");
    };
    // RFC 7521 §4.2
    let id = text(&claims, "sub").filter(|id| client_id.is_none_or(|other| other == *id));
    let Some(client) = id.and_then(|id| issuer.clients.find(id)) else {
        return refuse("invalid_client", "the assertion's sub is no client, or not that of client_id");
    };
    let keys = client.keys.as_ref().map(Value::to_string).unwrap_or_default();
    let Some(claims) = signed_claims(token, keys.as_bytes()) else {
        return refuse("invalid_client", "none of the client's keys has signed the assertion");
    };
    check(issuer, &client, &claims)?;
    match text(&claims, "jti") {
        Some(jti) if issuer.assertions.insert(&client.id, jti) => Ok(client),
        Some(_) => refuse("invalid_client", "the assertion came before"),
        None => refuse("invalid_client", "the assertion has no jti"),
    }
}

fn check(issuer: &State, client: &Client, claims: &Map<String, Value>) -> Result<(), Refusal> {
    if text(claims, "iss") != Some(&client.id) {
        return refuse("invalid_client", "the assertion's iss is not its sub");
    }
    // One text, not an array: an assertion for several is one of them's to replay at the others.
    if !text(claims, "aud").is_some_and(|audience| issuer.is_own_name(audience)) {
        return refuse("invalid_client", "the assertion's aud is not this issuer alone");
    }
    let is_early = |name| seconds_from_now(claims, name).is_some_and(|seconds| seconds > CLOCK_SKEW);
    if is_early("nbf") || is_early("iat") {
        return refuse("invalid_client", "the assertion comes before its time");
    }
    match seconds_from_now(claims, "exp") {
        Some(seconds) if seconds <= 0.0 => refuse("invalid_client", "the assertion has expired"),
        Some(seconds) if seconds <= MAX_LIFETIME => Ok(()),
        Some(_) => refuse("invalid_client", "the assertion lives longer than five minutes"),
        None => refuse("invalid_client", "the assertion has no exp"),
    }
}

/// The `client_assertion_type` of a JWT (RFC 7523 §2.2).
pub(super) const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// The most that the authorization servers in use allow, in seconds.
const MAX_LIFETIME: f64 = 300.0;
/// As strict as an issuer with good clocks would be, in seconds.
const CLOCK_SKEW: f64 = 5.0;
