//! How the token endpoint learns who asks: by a secret or by an assertion, never by two ways at once (RFC 6749 §2.3).

use axum::http::HeaderMap;

use super::assertion;
use super::basic::basic;
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

fn with_secret(issuer: &State, id: &str, secret: &str) -> Result<Client, Refusal> {
    match issuer.clients.find(id) {
        Some(client) if client.secret.as_deref() == Some(secret) => Ok(client),
        Some(_) | None => refuse("invalid_client", "no such client, or another secret"),
    }
}
