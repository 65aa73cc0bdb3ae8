//! The token request: client credentials (RFC 6749 §4.4) or an exchange (RFC 8693), and the resources it asks for
//! (RFC 8707).

use axum::http::HeaderMap;
use serde_json::{Map, Value, json};

use super::authentication::authenticate;
use super::client::Client;
use super::exchange::Exchange;
use super::form::Form;
use super::metadata::{CLIENT_CREDENTIALS, TOKEN_EXCHANGE};
use super::refusal::{Refusal, refuse};
use super::spec::TokenSpec;
use super::state::State;

/// Grants a token, or refuses.
pub(super) fn grant(issuer: &State, headers: &HeaderMap, body: &[u8]) -> Result<Value, Refusal> {
    let form = Form::parse(headers, body)?;
    let client = authenticate(issuer, headers, &form)?;
    let exchange = match form.one("grant_type")? {
        Some(CLIENT_CREDENTIALS) => None,
        Some(TOKEN_EXCHANGE) => Some(Exchange::read(issuer, &client, &form)?),
        Some(_) => {
            return refuse("unsupported_grant_type", "use client_credentials or a token exchange");
        }
        None => return refuse("invalid_request", "grant_type is missing"),
    };
    let scope = scope(&client, &form)?;
    let audiences = audiences(&form)?;
    let (claims, issued_token_type) = match exchange {
        Some(exchange) => (exchange.claims, Some(exchange.issued_token_type)),
        None => (Map::new(), None),
    };
    let Ok((token, lifetime)) = issuer.issue(spec(&client, &scope, &audiences, claims)) else {
        return refuse("invalid_request", "the issuer failed to sign");
    };
    let mut granted = json!({
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": lifetime.as_secs(),
        "scope": scope,
    });
    if let (Some(members), Some(issued)) = (granted.as_object_mut(), issued_token_type) {
        members.insert("issued_token_type".into(), issued.into());
    }
    Ok(granted)
}

/// The token that is granted: the client's own, for these audiences or, without any, for the issuer's usual one.
/// `claims` replace or join the usual ones.
fn spec(client: &Client, scope: &str, audiences: &[String], claims: Map<String, Value>) -> TokenSpec {
    let id = client.id.as_str();
    let mut spec = TokenSpec::scoped(scope).claim("sub", id).claim("client_id", id);
    match audiences {
        [] => {}
        [one] => spec = spec.claim("aud", one.as_str()),
        many => spec = spec.claim("aud", many),
    }
    if scope.is_empty() {
        spec = spec.without("scope");
    }
    spec.claims.extend(claims);
    spec
}

fn scope(client: &Client, form: &Form) -> Result<String, Refusal> {
    match form.one("scope")? {
        None | Some("") => Ok(client.scopes.join(" ")),
        Some(asked) => {
            if asked.split(' ').any(|scope| !client.scopes.iter().any(|allowed| allowed == scope)) {
                return refuse("invalid_scope", "the client may not have one of the scopes it asked for");
            }
            Ok(asked.to_owned())
        }
    }
}

/// The resources and the audiences, all in one list.
fn audiences(form: &Form) -> Result<Vec<String>, Refusal> {
    // RFC 8707: `resource` may be repeated, and is an absolute URI without a fragment.
    let mut audiences: Vec<String> = form.all("resource").map(str::to_owned).collect();
    if audiences.iter().any(|resource| !resource.contains(':') || resource.contains('#')) {
        return refuse("invalid_target", "a resource is an absolute URI without a fragment");
    }
    audiences.extend(form.all("audience").map(str::to_owned));
    Ok(audiences)
}
