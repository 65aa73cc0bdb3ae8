//! A server that answers, and issues one client what is of no use to it, counted as down: each such client opened the circuit breaker
//! for all others that ask there, which came too late to renew short tokens.

use serde_json::json;

use super::exchanging::issued;
use crate::outbound::{client, header, to, with_clients};
use crate::proxy::{Proxy, Time as _, good, status};

#[test]
fn whatever_one_client_gets_the_others_keep_their_tokens() {
    for odd in [
        json!({ "access_token": "t", "token_type": "DPoP" }).to_string(),
        json!({ "access_token": "x".repeat(20_000), "token_type": "Bearer" }).to_string(),
        json!({ "access_token": "t", "token_type": "Bearer", "expires_in": 0 }).to_string(),
        json!({ "access_token": "t", "token_type": "Bearer", "expires_in": "soon" }).to_string(),
        json!({ "access_token": "a b", "token_type": "Bearer" }).to_string(),
        json!({ "token_type": "Bearer" }).to_string(),
    ] {
        // The longest backoff comes to the breaker's longest pause.
        let clients = ["odd", "even"].map(|name| client(name, json!({})));
        let mut proxy = Proxy::new(&with_clients(&clients, json!({ "breaker": { "failures": 2 } })));
        // Basic credentials that begin with `odd:`.
        proxy.script("idp", move |call| {
            let is_odd = header(call, "authorization").starts_with("Basic b2Rk");
            Some(if is_odd { good(&odd) } else { issued("t", 20) })
        });
        proxy.tick();
        for _ in 0..600 {
            proxy.advance(1.secs());
            assert_eq!(proxy.request(to("even")).tells(), "forwarded");
        }
    }
}

#[test]
fn an_endpoint_that_is_down_is_left_alone_as_before() {
    for down in [status(503), status(429), good("<html>"), good("oops"), good(&" ".repeat(70_000))] {
        let clients = ["odd", "even"].map(|name| client(name, json!({ "obtain": "on_demand" })));
        let mut proxy = Proxy::new(&with_clients(&clients, json!({ "breaker": { "failures": 1 } })));
        proxy.serve("idp", down);
        proxy.request(to("odd"));
        proxy.advance(200.ms());
        assert_eq!(proxy.request(to("even")).tells(), "503 token_unavailable");
        assert_eq!(proxy.calls("idp"), 1);
    }
}
