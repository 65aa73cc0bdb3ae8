//! What came to the token endpoint, refused requests and faults included: when, whose, and saying what. Secrets are
//! not kept.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Instant;

use axum::http::HeaderMap;
use serde::Serialize;

use super::basic::basic;
use super::client::AuthMethod;
use super::form::Form;
use super::jwt::{text, unverified_claims};
use crate::lock::lock;

/// A request for a token. What it says of itself, whether or not it is true.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenRequest {
    /// When it came.
    #[serde(skip)]
    pub at: Instant,
    /// Whose it is: the id of the Basic scheme, `client_id`, or the assertion's `sub`.
    pub client_id: Option<String>,
    /// How the client authenticates; none: not at all, or not in a way we understand.
    pub method: Option<AuthMethod>,
    /// The `grant_type`.
    pub grant_type: Option<String>,
    /// The form, in its order. JWTs are without their signatures, other secrets are `[secret]`.
    pub parameters: Vec<(String, String)>,
    /// The names of the headers, in lower case, each once.
    pub headers: Vec<String>,
}

/// The latest token requests.
#[derive(Debug, Default)]
pub(super) struct TokenLog(Mutex<VecDeque<TokenRequest>>);

impl TokenRequest {
    pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Self {
        let form = Form::read(body);
        let basic = basic(headers).ok().flatten();
        let assertion = form.first("client_assertion");
        let method = if basic.is_some() {
            Some(AuthMethod::ClientSecretBasic)
        } else if assertion.is_some() {
            Some(AuthMethod::PrivateKeyJwt)
        } else {
            form.first("client_secret").map(|_| AuthMethod::ClientSecretPost)
        };
        let claims = assertion.and_then(unverified_claims);
        let client_id = basic
            .map(|(id, _)| id)
            .or_else(|| form.first("client_id").map(str::to_owned))
            .or_else(|| claims.and_then(|claims| text(&claims, "sub").map(str::to_owned)));
        let grant_type = form.first("grant_type").map(str::to_owned);
        let mut parameters = form.into_parameters();
        for (name, value) in &mut parameters {
            if name == "client_secret" {
                HIDDEN.clone_into(value);
            } else if TOKENS.contains(&name.as_str()) {
                *value = without_signature(value);
            }
        }
        let headers = headers.keys().map(|name| name.as_str().to_owned()).collect();
        Self { at: Instant::now(), client_id, method, grant_type, parameters, headers }
    }

    /// Returns a parameter if it came exactly once.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let mut values = self.parameters.iter().filter(|(key, _)| key == name);
        let first = values.next();
        if values.next().is_some() { None } else { first.map(|(_, value)| value.as_str()) }
    }
}

impl TokenLog {
    pub(super) fn add(&self, request: TokenRequest) {
        let mut log = lock(&self.0);
        if log.len() >= MAX_REQUESTS {
            log.pop_front();
        }
        log.push_back(request);
    }

    pub(super) fn read(&self) -> Vec<TokenRequest> {
        lock(&self.0).iter().cloned().collect()
    }
}

/// A JWT without its signature proves nothing, and still says what it said.
fn without_signature(token: &str) -> String {
    match (unverified_claims(token), token.rsplit_once('.')) {
        (Some(_), Some((signed, _))) if signed.contains('.') => format!("{signed}."),
        (Some(_) | None, _) => HIDDEN.to_owned(),
    }
}

const HIDDEN: &str = "[secret]";
/// The parameters that hold a token.
const TOKENS: [&str; 3] = ["client_assertion", "subject_token", "actor_token"];
/// More than a test reads. About 1 KB each; the endpoint takes no body of more than 2 MB.
const MAX_REQUESTS: usize = 1_000;
