//! A 401 purged the token of a client whose own last request had succeeded, although the circuit breaker, which other clients had
//! opened, kept it from getting another: one API's 401 made an outage of all others.

use serde_json::json;

use crate::outbound::{Tokens, client, keep_secrets, serve, to, with_clients};
use crate::proxy::{Proxy, Time as _, status};

#[test]
fn a_token_stays_while_the_breaker_is_open() {
    let clients = [client("billing", json!({})), client("idle", json!({ "obtain": "on_demand" }))];
    let mut proxy = Proxy::new(&with_clients(&clients, json!({})));
    keep_secrets(&mut proxy);
    let tokens = Tokens::new();
    serve(&mut proxy, "idp", &tokens);
    proxy.tick();
    tokens.fail(status(503));
    for _ in 0..100 {
        let _ = proxy.request(to("idle"));
        proxy.advance(200.ms());
    }
    let request = proxy.request(to("billing")).forwarded();
    proxy.upstream_answers(&request, 401);
    assert_eq!(proxy.request(to("billing")).tells(), "forwarded");
    // When it is back, the next 401 is heard.
    tokens.recover();
    proxy.advance(40.secs());
    assert_eq!(proxy.request(to("idle")).tells(), "forwarded");
    let request = proxy.request(to("billing")).forwarded();
    proxy.upstream_answers(&request, 401);
    proxy.tick();
    let renewed = proxy.request(to("billing")).forwarded().upstream("authorization");
    assert_ne!(renewed, request.upstream("authorization"));
}
