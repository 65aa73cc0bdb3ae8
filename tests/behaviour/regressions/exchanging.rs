//! What several of them share: callers' tokens that are exchanged.

use attache::base::HttpReply;
use serde_json::{Value, json};

use crate::outbound::{client, with_clients};
use crate::proxy::{Answer, Proxy, Request, Signer, config, good, status};

/// A client that exchanges at the cluster `sts`.
pub fn exchange(name: &str, exchange: Value) -> Value {
    client(
        name,
        json!({
            "token_endpoint": { "uri": "https://sts.example/token", "cluster": "sts" },
            "token_exchange": exchange,
        }),
    )
}

/// A proxy of these clients, to which every route lets every caller; it takes the callers' own tokens off.
pub fn proxy(clients: &[Value]) -> (Proxy, Signer) {
    let key = Signer::new("k1");
    let mut document = config(json!({
        "routes": [{ "name": "all", "match": { "prefix": "/" }, "require": { "authenticated": {} } }],
        "token": { "after_verification": "strip" },
    }));
    document["outbound"] = with_clients(clients, json!({}))["outbound"].clone();
    let proxy = Proxy::ready(&document, &[&key]);
    (proxy, key)
}

/// The token of a caller.
pub fn caller(key: &Signer, name: impl std::fmt::Display) -> String {
    key.token().claim("jti", format!("caller-{name}")).sign()
}

/// What comes of a request within a few ticks.
pub fn settled(proxy: &mut Proxy, request: Request) -> Answer {
    match proxy.request(request) {
        Answer::Waiting(stream) => {
            proxy.tick();
            proxy.tick();
            proxy.answer(stream)
        }
        answer => answer,
    }
}

/// 200 with this token, good for so long.
pub fn issued(token: &str, expires_in: u64) -> HttpReply {
    good(
        &json!({
            "access_token": token, "token_type": "Bearer", "expires_in": expires_in,
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        })
        .to_string(),
    )
}

/// 400 with this code.
pub fn refusal(code: &str) -> HttpReply {
    match status(400) {
        HttpReply::Response { status, headers, .. } => {
            let body = Ok(json!({ "error": code }).to_string().into_bytes());
            HttpReply::Response { status, headers, body }
        }
        other => other,
    }
}
