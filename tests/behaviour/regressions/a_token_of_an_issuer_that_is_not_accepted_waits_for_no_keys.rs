//! A route that accepts one issuer let forged tokens of another one, whose keys were not there, fill its waiting list.

use serde_json::json;

use crate::proxy::{Proxy, Request, Signer, config, issuer, partner};

#[test]
fn it_is_refused_before_any_key_is_looked_for() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(
        &config(json!({
            "issuers": [issuer(json!({})), partner()],
            "routes": [{ "name": "orders", "match": { "path": "/orders" },
                         "require": { "issuers": ["corp"], "scopes": ["orders:read"] } }],
        })),
        &[&key],
    );
    let forged = key.token().claim("iss", "https://partner.example").sign();
    let answer = proxy.request(Request::get("/orders").bearer(&forged));
    assert_eq!(answer.tells(), "401 issuer_not_accepted");
    assert_eq!((proxy.waiting(), proxy.signature_checks()), (0, 0));
}
