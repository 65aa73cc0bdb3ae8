//! Token exchange (RFC 8693): a client trades a token of its caller's for one of its own that still names the caller.

use serde_json::{Map, Value, json};

use super::client::Client;
use super::form::Form;
use super::jwt::{seconds_from_now, signed_claims, text};
use super::options::TokenFormat;
use super::refusal::{Refusal, refuse};
use super::state::State;

/// What the token of an exchange says beyond that of client credentials.
pub(super) struct Exchange {
    /// Its claims: whom it names, and who acts for them.
    pub(super) claims: Map<String, Value>,
    /// Its type, as asked for.
    pub(super) issued_token_type: &'static str,
}

impl Exchange {
    /// Checks what the client wants to trade, and for what. It refuses as RFC 8693 §2.2.2 says.
    pub(super) fn read(issuer: &State, client: &Client, form: &Form) -> Result<Self, Refusal> {
        let Some(token) = form.one("subject_token")? else {
            return refuse("invalid_request", "subject_token is missing");
        };
        match form.one("subject_token_type")? {
            Some(ACCESS_TOKEN | JWT) => {}
            Some(_) => return refuse("invalid_request", "this issuer exchanges access tokens only"),
            None => return refuse("invalid_request", "subject_token_type is missing"),
        }
        if form.one("actor_token")?.is_some() {
            return refuse("invalid_request", "this issuer takes no actor_token: the client is the actor");
        }
        let issued_token_type = match form.one("requested_token_type")? {
            None | Some(ACCESS_TOKEN) => ACCESS_TOKEN,
            Some(JWT) if issuer.options.tokens == TokenFormat::Jwt => JWT,
            Some(_) => return refuse("invalid_request", "this issuer does not issue tokens of that type"),
        };
        let Some(subject) = subject(issuer, token) else {
            return refuse(
                "invalid_request",
                "the subject token is not this issuer's, or not valid any more",
            );
        };
        let Some(name) = text(&subject, "sub") else {
            return refuse("invalid_request", "the subject token has no sub");
        };
        // The latest actor outside, those before it within (RFC 8693 §4.1).
        let mut actor = json!({ "sub": client.id });
        if let (Some(members), Some(earlier)) = (actor.as_object_mut(), subject.get("act")) {
            members.insert("act".into(), earlier.clone());
        }
        let claims = Map::from_iter([("sub".to_owned(), name.into()), ("act".to_owned(), actor)]);
        Ok(Self { claims, issued_token_type })
    }
}

/// Returns the claims of a token that this issuer signed, that has not expired and that was not revoked.
fn subject(issuer: &State, token: &str) -> Option<Map<String, Value>> {
    let claims = signed_claims(token, &issuer.own_keys())?;
    let is_own = text(&claims, "iss") == Some(&issuer.identifier);
    let lives = seconds_from_now(&claims, "exp").is_some_and(|seconds| seconds > 0.0);
    (is_own && lives && !issuer.issued.is_revoked(token)).then_some(claims)
}

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
