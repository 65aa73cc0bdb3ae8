//! Every token that a test makes is remembered with what must never show in a log: its parts, its claims' values, and secrets.

use std::collections::BTreeSet;
use std::sync::Mutex;

use attache_harness::issuer::{Issuer, TokenSpec};
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::Value;

static SECRETS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Makes a token and remembers it.
pub(crate) fn token(issuer: &Issuer, spec: &TokenSpec) -> String {
    let token = issuer.mint(spec).unwrap();
    remember_token(&token);
    token
}

/// Makes a token with these scopes.
pub(crate) fn scoped(issuer: &Issuer, scopes: &str) -> String {
    token(issuer, &TokenSpec::scoped(scopes))
}

/// Remembers a token that another issuer made: its claims, its signature, and the values of its claims.
pub(crate) fn remember_token(token: &str) {
    if !token.contains('.') {
        remember(token);
    }
    let mut parts = token.split('.').skip(1);
    let claims = parts.next().unwrap_or_default();
    for part in [Some(claims), parts.next()].into_iter().flatten().filter(|part| part.len() >= 16) {
        remember(part);
    }
    let claims = Base64UrlUnpadded::decode_vec(claims).unwrap_or_default();
    if let Ok(Value::Object(claims)) = serde_json::from_slice(&claims) {
        // Issuer, audience and scopes stand in the configuration too.
        let own = claims.iter().filter(|(name, _)| !["iss", "aud", "scope", "scp"].contains(&name.as_str()));
        own.for_each(|(_, value)| remember_texts(value));
    }
}

/// Remembers a text that must never show.
pub(crate) fn remember(text: &str) {
    SECRETS.lock().unwrap().insert(text.to_owned());
}

/// Fails if a text that must never show does.
#[track_caller]
pub(crate) fn assert_none_in(what: &str, log: &str) {
    let secrets = SECRETS.lock().unwrap().clone();
    for secret in secrets {
        if let Some(at) = log.find(&secret) {
            let line = log[at..].lines().next().unwrap_or_default();
            panic!("{what} tells a token, a claim's value or a secret: …{line}");
        }
    }
}

/// The access log without what an audit record may say: the names that its fields are for.
pub(crate) fn without_recorded_names(log: &str) -> String {
    let line = |line: &str| match serde_json::from_str::<Value>(line) {
        Ok(Value::Object(mut record)) => {
            for field in ["client", "subject", "token_id"] {
                record.remove(field);
            }
            Value::Object(record).to_string()
        }
        Ok(_) | Err(_) => line.to_owned(),
    };
    log.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn remember_texts(value: &Value) {
    match value {
        Value::String(text) if text.len() >= 6 => remember(text),
        Value::Array(items) => items.iter().for_each(remember_texts),
        Value::Object(members) => members.values().for_each(remember_texts),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn a_secret_in_a_log_does_not_go_unnoticed() {
    let issuer = Issuer::with_algorithms(&[attache_harness::issuer::Algorithm::Es256]).unwrap();
    let token = token(&issuer, &TokenSpec::default().claim("email", "ada@orders.example"));
    let signature = token.rsplit('.').next().unwrap();
    for told in [token.as_str(), signature, "ada@orders.example"] {
        let log = format!("[info] one line\n[debug] sub={told} and more\n");
        assert!(std::panic::catch_unwind(|| assert_none_in("the log", &log)).is_err());
    }
    assert_none_in("the log", "[info] issuer corp: keys changed: 1 usable, 1 added, 0 removed\n");
}
