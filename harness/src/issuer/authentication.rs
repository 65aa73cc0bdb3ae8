//! How the token endpoint learns who asks: by a secret or by an assertion, never by two ways at once (RFC 6749 §2.3).

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64ct::{Base64, Encoding};

use super::assertion;
use super::client::{AuthMethod, Client};
use super::form::Form;
use super::refusal::{Refusal, refuse};
use super::state::State;

/// Returns the client that this request proves to come from.
pub(super) fn authenticate(issuer: &State, headers: &HeaderMap, form: &Form) -> Result<Client, Refusal> {
    let basic = basic(headers)?;
    let secret = form.one("client_secret")?;
    let assertion = form.one("client_assertion")?;
    let id = form.one("client_id")?;
    let (client, method) = match (basic, secret, assertion) {
        (Some((own, secret)), None, None) => {
            if id.is_some_and(|id| id != own) {
                return refuse("invalid_request", "client_id is another one than that of authorization");
            }
            (with_secret(issuer, &own, &secret)?, AuthMethod::ClientSecretBasic)
        }
        (None, Some(secret), None) => {
            (with_secret(issuer, id.unwrap_or_default(), secret)?, AuthMethod::ClientSecretPost)
        }
        (None, None, Some(token)) => {
            if form.one("client_assertion_type")? != Some(assertion::TYPE) {
                return refuse("invalid_client", "client_assertion_type is not that of a JWT");
            }
            (assertion::verify(issuer, token, id)?, AuthMethod::PrivateKeyJwt)
        }
        (None, None, None) => return refuse("invalid_client", "the client does not authenticate"),
        (Some(_) | None, _, _) => {
            return refuse("invalid_request", "the client authenticates in two ways at once");
        }
    };
    if client.methods.contains(&method) {
        Ok(client)
    } else {
        refuse("invalid_client", "the client may not authenticate in this way")
    }
}

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

fn with_secret(issuer: &State, id: &str, secret: &str) -> Result<Client, Refusal> {
    match issuer.clients.find(id) {
        Some(client) if client.secret.as_deref() == Some(secret) => Ok(client),
        Some(_) | None => refuse("invalid_client", "no such client, or another secret"),
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
