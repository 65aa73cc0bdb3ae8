//! After a step back of a day no keys were fetched for a day, a withdrawn key went on, and a request waited for ever.

use attache::base::Level;
use serde_json::json;

use crate::proxy::Time as _;
use crate::proxy::{Proxy, Request, Signer, config, good, jwks};

#[test]
fn keys_are_fetched_again_at_once() {
    let (old, new) = (Signer::new("k1"), Signer::new("k2"));
    let mut proxy = Proxy::ready(&config(json!({})), &[&old]);
    let token = |key: &Signer| key.token().claim("iat", crate::proxy::START - 100_000).sign();
    assert_eq!(proxy.get("/orders", &token(&old)), "forwarded");
    proxy.set_back(24.hours());
    proxy.serve("idp", good(&jwks(&[&new])));
    proxy.advance(1.secs());
    assert_eq!(proxy.calls("idp"), 2);
    assert_ne!(proxy.get("/orders", &token(&old)), "forwarded");
    assert_eq!(proxy.get("/orders", &token(&new)), "forwarded");
}

#[test]
fn a_request_that_waits_is_answered() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::new(&config(json!({})));
    proxy.silence("idp");
    proxy.tick();
    let waits = proxy.request(Request::get("/orders").bearer(&key.token().sign())).waiting();
    proxy.set_back(1.hours());
    proxy.tick();
    assert_eq!(proxy.answer(waits).tells(), "503 keys_unavailable");
}

/// The clock was an hour ahead between two ticks, and only a request came meanwhile.
#[test]
fn a_request_that_came_while_the_clock_was_ahead_is_answered() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::new(&config(json!({})));
    proxy.silence("idp");
    proxy.tick();
    proxy.sleep(1.hours());
    let token = key.token().claim("exp", crate::proxy::START + 7200).sign();
    let waits = proxy.request(Request::get("/orders").bearer(&token)).waiting();
    proxy.serve("idp", good(&jwks(&[&key])));
    proxy.set_back(1.hours());
    proxy.sleep(100.ms());
    proxy.tick();
    assert_eq!(proxy.answer(waits).tells(), "503 keys_unavailable");
    // `exp` is judged by what the clock says now, whatever it has said before.
    assert_eq!(proxy.get("/orders", &token), "forwarded");
    proxy.sleep(7_300.secs());
    assert_eq!(proxy.get("/orders", &token), "401 expired");
    proxy.set_back(7_300.secs());
    assert_eq!(proxy.get("/orders", &token), "forwarded");
}

#[test]
fn a_request_that_waits_for_a_token_since_the_clock_was_ahead_is_answered() {
    let (mut proxy, tokens) = crate::outbound::proxy(&crate::outbound::document(json!({})));
    tokens.fall_silent();
    proxy.tick();
    proxy.sleep(1.hours());
    let waits = proxy.request(crate::outbound::to("billing")).waiting();
    proxy.set_back(1.hours());
    proxy.sleep(100.ms());
    proxy.tick();
    assert_eq!(proxy.answer(waits).tells(), "503 token_unavailable");
}

/// Keys that came while the clock was ahead are due again when it has returned, not an hour later.
#[test]
fn what_a_reply_brought_while_the_clock_was_ahead_is_fetched_again() {
    let (old, new) = (Signer::new("k1"), Signer::new("k2"));
    let mut proxy = Proxy::new(&config(json!({})));
    proxy.silence("idp");
    proxy.tick();
    proxy.sleep(1.hours());
    proxy.reply(good(&jwks(&[&old])));
    proxy.set_back(1.hours());
    proxy.serve("idp", good(&jwks(&[&new])));
    proxy.advance(200.ms());
    assert_eq!(proxy.get("/orders", &new.token().sign()), "forwarded");
    assert_eq!(proxy.calls("idp"), 2);
}

#[test]
fn report_only_lines_go_on() {
    let mut proxy = Proxy::new(&config(json!({ "routes": [
        { "name": "dry", "match": { "path": "/dry" }, "require": { "scopes": ["a"] }, "mode": "report_only" },
    ]})));
    for _ in 0..11 {
        proxy.request(Request::get("/dry"));
    }
    let before = proxy.logs(Level::Info).len();
    proxy.set_back(1.hours());
    proxy.request(Request::get("/dry"));
    assert_eq!(proxy.logs(Level::Info).len(), before + 1);
}
