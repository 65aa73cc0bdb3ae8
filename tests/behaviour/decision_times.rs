//! How long decisions about tokens take: a few samples of each path, and hardly a look at the host's clock.

use std::time::Duration;

use serde_json::json;

use crate::proxy::{Proxy, Request, Signer, Time as _, config, good, jwks};

const MOMENT: Duration = Duration::from_micros(7);

fn samples<'a>(proxy: &'a Proxy, path: &str) -> &'a [u64] {
    proxy.samples(&format!("path=.={path};.;attache_decision_microseconds"))
}

#[test]
fn a_new_token_is_timed_and_then_one_in_64_of_its_requests() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&config(json!({})), &[&key]);
    proxy.take(MOMENT);
    let token = key.token().sign();
    for _ in 0..129 {
        proxy.get("/orders", &token);
    }
    assert_eq!(proxy.looks_at_stopwatch(), 3);
    proxy.tick();
    assert_eq!(samples(&proxy, "new"), [7]);
    assert_eq!(samples(&proxy, "known"), [7, 7]);
    assert!(samples(&proxy, "waited").is_empty());
}

/// Waiting is what the client has seen of it.
#[test]
fn a_request_that_waited_for_keys_is_timed_from_when_it_came() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::new(&config(json!({})));
    proxy.take(MOMENT);
    proxy.silence("idp");
    proxy.tick();
    let waits = proxy.request(Request::get("/orders").bearer(&key.token().sign())).waiting();
    proxy.advance(1.secs());
    proxy.reply(good(&jwks(&[&key])));
    proxy.answer(waits).forwarded();
    proxy.tick();
    assert_eq!(samples(&proxy, "waited"), [1_000_007]);
    assert!(samples(&proxy, "new").is_empty() && samples(&proxy, "known").is_empty());
    // One that waited in vain has waited all the same.
    let mut proxy = Proxy::new(&config(json!({})));
    proxy.silence("idp");
    proxy.tick();
    proxy.request(Request::get("/orders").bearer(&key.token().sign())).waiting();
    proxy.advance(30.secs());
    let waited = samples(&proxy, "waited");
    assert!(waited.len() == 1 && waited[0] >= 1_000_000, "{waited:?}");
}

#[test]
fn what_no_token_is_looked_at_for_is_not_timed() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&config(json!({})), &[&key]);
    for path in ["/healthz", "/orders", "/nowhere", "*"] {
        proxy.request(Request::get(path));
    }
    assert_eq!(proxy.looks_at_stopwatch(), 0);
    // One that is denied is, whatever it is denied for.
    proxy.get("/orders", &key.token().claim("exp", 1).sign());
    proxy.get("/orders", &Signer::new("k2").named(Some("k1")).token().sign());
    assert_eq!(proxy.looks_at_stopwatch(), 2);
}

#[test]
fn without_a_cache_each_token_is_new() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&config(json!({ "token_cache": "off" })), &[&key]);
    let token = key.token().sign();
    for _ in 0..3 {
        proxy.get("/orders", &token);
    }
    proxy.tick();
    assert_eq!(samples(&proxy, "new").len(), 3);
}

/// A flood costs no more of them than a busy worker's own clients do.
#[test]
fn no_more_than_64_samples_of_a_path_are_taken_between_two_ticks() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&config(json!({})), &[&key]);
    let forger = Signer::new("k2").named(Some("k1"));
    for n in 0..100 {
        proxy.get("/orders", &forger.token().claim("jti", n).sign());
    }
    assert_eq!(proxy.looks_at_stopwatch(), 64);
    proxy.tick();
    assert_eq!(samples(&proxy, "new").len(), 64);
    proxy.get("/orders", &key.token().sign());
    proxy.shut_down();
    assert_eq!(
        samples(&proxy, "new").len(),
        65,
        "they are handed over when a configuration is replaced, too"
    );
}
