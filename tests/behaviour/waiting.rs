//! Requests that wait for keys: in their number, bytes and time each one is bounded.

use serde_json::json;

use crate::proxy::{Proxy, Request, Signer, Time as _, config, good, jwks, status};

fn orders(key: &Signer) -> Request {
    Request::get("/orders").bearer(&key.token().sign())
}

/// Users ask for it most after rotation: an issuer that is down at start.
#[test]
fn a_request_before_the_first_keys_waits_and_is_served() {
    let (key, other) = (Signer::new("k1"), Signer::unnamed("x").named(Some("k1")));
    let mut proxy = Proxy::new(&config(json!({})));
    let good_one = proxy.request(orders(&key)).waiting();
    let forged = proxy.request(orders(&other)).waiting();
    let no_scope = proxy.request(Request::get("/admin").bearer(&key.token().sign())).waiting();
    assert_eq!(proxy.waiting(), 3);
    proxy.serve("idp", status(503));
    proxy.advance(2.secs());
    assert_eq!(proxy.answer(good_one).tells(), "waiting");
    proxy.serve("idp", good(&jwks(&[&key])));
    proxy.advance(2.secs());
    assert_eq!(proxy.answer(good_one).tells(), "forwarded");
    assert_eq!(proxy.answer(forged).tells(), "401 signature_invalid");
    assert_eq!(proxy.answer(no_scope).tells(), "403 scope_insufficient");
    assert_eq!(proxy.waiting(), 0);
}

#[test]
fn only_what_needs_keys_waits() {
    let mut proxy = Proxy::new(&config(json!({})));
    assert_eq!(proxy.request(Request::get("/healthz")).tells(), "forwarded");
    assert_eq!(proxy.request(Request::get("/orders")).tells(), "401 credential_missing");
    assert_eq!(proxy.get("/orders", "garbage"), "401 token_parts");
    assert_eq!(proxy.get("/unknown", "garbage"), "403 route_unknown");
    assert_eq!(proxy.get("/orders", &Signer::new("k").token().claim("exp", 1).sign()), "401 expired");
    assert_eq!(proxy.waiting(), 0);
}

/// 503 with Retry-After: 401 would send the caller for a new token, which does not help.
#[test]
fn the_deadline_is_503_with_retry_after_and_no_challenge() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::new(&config(json!({ "waiting": { "deadline": "2s" } })));
    proxy.serve("idp", status(503));
    let first = proxy.request(orders(&key)).waiting();
    proxy.advance(1.secs());
    let second = proxy.request(orders(&key)).waiting();
    proxy.advance(900.ms());
    assert_eq!(proxy.answer(first).tells(), "waiting");
    proxy.advance(100.ms());
    let refused = proxy.answer(first).refused();
    assert_eq!(refused.response.status, 503);
    assert_eq!(refused.challenge(), None);
    // The fourth retry was sent within two seconds, and the fifth comes two seconds after it at the latest.
    assert!(["1", "2"].contains(&refused.header("retry-after").unwrap()));
    assert_eq!(refused.annotation, "outcome=deny reason=keys_unavailable route=orders issuer=corp");
    assert_eq!(proxy.answer(second).tells(), "waiting");
    proxy.advance(1.secs());
    assert_eq!(proxy.answer(second).tells(), "503 keys_unavailable");
}

#[test]
fn retry_after_is_at_most_a_minute_and_at_least_a_second() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::new(&config(json!({ "waiting": { "deadline": "60s" } })));
    // A call is under way, and its reply may come at any moment.
    proxy.tick();
    let waits = proxy.request(orders(&key)).waiting();
    proxy.advance(60.secs());
    let retry: u64 = proxy.answer(waits).refused().header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&retry));
}

#[test]
fn one_more_than_may_wait_is_refused_at_once() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::new(&config(json!({ "waiting": { "requests": 3 } })));
    for _ in 0..3 {
        proxy.request(orders(&key)).waiting();
    }
    let refused = proxy.request(orders(&key)).refused();
    assert_eq!((refused.response.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(refused.annotation, "outcome=deny reason=waiting_full route=orders issuer=corp");
    assert_eq!(proxy.waiting(), 3);
}

/// 16 MiB of headers, whatever their number.
#[test]
fn headers_that_wait_are_bounded_in_bytes() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::new(&config(json!({ "waiting": { "requests": 10_000 } })));
    let filler = "x".repeat(1024 * 1024);
    let heavy = || orders(&key).header("x-filler", &filler);
    let size = heavy().head().headers.size();
    let fit = 16 * 1024 * 1024 / size;
    for n in 0..fit {
        assert_eq!(proxy.request(heavy()).tells(), "waiting", "request {n}");
    }
    assert_eq!(proxy.request(heavy()).tells(), "503 waiting_full");
    // To the byte.
    let light =
        |bytes: usize| Request::get("/orders").bearer(&key.token().sign()).header("x", "x".repeat(bytes));
    let left = 16 * 1024 * 1024 - fit * size;
    let empty = light(0).head().headers.size();
    assert_eq!(proxy.request(light(left - empty + 1)).tells(), "503 waiting_full");
    assert_eq!(proxy.request(light(left - empty)).tells(), "waiting");
    assert_eq!(proxy.request(light(0)).tells(), "503 waiting_full");
}

/// Strangers with made-up key ids fill their own list, not that of those who wait for the first keys.
#[test]
fn each_reason_to_wait_has_a_list_of_its_own() {
    let (corp, theirs) = (Signer::new("k1"), Signer::new("k2"));
    let mut proxy = Proxy::new(&config(json!({
        "issuers": [crate::proxy::issuer(json!({})), crate::proxy::partner()],
        "waiting": { "requests": 4 },
        "routes": [{ "name": "both", "match": { "path": "/both" },
                     "require": { "issuers": ["corp", "partner"], "authenticated": {} } }],
    })));
    proxy.serve("idp", good(&jwks(&[&corp])));
    proxy.tick();
    proxy.sleep(1.ms());
    let unknown = corp.named(Some("made-up")).token().sign();
    assert_eq!(proxy.get("/both", &unknown), "waiting");
    assert_eq!(proxy.get("/both", &unknown), "waiting");
    assert_eq!(proxy.get("/both", &unknown), "503 waiting_full");
    let first = theirs.token().claim("iss", "https://partner.example").sign();
    assert_eq!(proxy.get("/both", &first), "waiting");
    assert_eq!(proxy.get("/both", &first), "waiting");
    assert_eq!(proxy.get("/both", &first), "503 waiting_full");
}

/// Strangers of one issuer do not take the places of those who wait for another one.
#[test]
fn one_issuer_takes_no_more_than_half_of_a_list() {
    let (corp, theirs) = (Signer::new("k1"), Signer::new("k2"));
    let mut proxy = Proxy::new(&config(json!({
        "issuers": [crate::proxy::issuer(json!({})), crate::proxy::partner()],
        "waiting": { "requests": 4 },
        "routes": [{ "name": "both", "match": { "path": "/both" },
                     "require": { "issuers": ["corp", "partner"], "authenticated": {} } }],
    })));
    let ours = corp.token().sign();
    let token = theirs.token().claim("iss", "https://partner.example").sign();
    for (token, got) in [
        (&ours, "waiting"),
        (&ours, "waiting"),
        (&ours, "503 waiting_full"),
        (&token, "waiting"),
        (&token, "waiting"),
    ] {
        assert_eq!(proxy.get("/both", token), got);
    }
}

#[test]
fn a_request_that_ends_is_off_the_list() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::new(&config(json!({ "waiting": { "requests": 1 } })));
    let gone = proxy.request(orders(&key)).waiting();
    assert_eq!(proxy.request(orders(&key)).tells(), "503 waiting_full");
    proxy.end(gone);
    assert_eq!(proxy.waiting(), 0);
    let stays = proxy.request(orders(&key)).waiting();
    proxy.serve("idp", good(&jwks(&[&key])));
    proxy.tick();
    assert_eq!(proxy.answer(stays).tells(), "forwarded");
    assert_eq!(proxy.answer(gone).tells(), "waiting");
    // Again, and one that never was: nothing happens.
    proxy.end(gone);
    proxy.end(attache::base::StreamId(9999));
}

/// The token may have expired, or be of a new key, by the time that keys come.
#[test]
fn a_request_that_waited_is_judged_by_the_time_at_which_keys_come() {
    let (key, new) = (Signer::new("k1"), Signer::new("k2"));
    let mut proxy = Proxy::new(&config(json!({})));
    proxy.tick();
    let expiring = key.token().claim("exp", crate::proxy::START + 2 - 30).sign();
    let expiring = proxy.request(Request::get("/orders").bearer(&expiring)).waiting();
    let unknown = proxy.request(orders(&new)).waiting();
    proxy.advance(3.secs());
    proxy.reply(good(&jwks(&[&key])));
    assert_eq!(proxy.answer(expiring).tells(), "401 expired");
    // The set was asked for when the request came, not before: what it lacks, the issuer does not have.
    assert_eq!(proxy.answer(unknown).tells(), "401 key_unknown");
}

/// A reload ends this configuration: no request is left waiting for ticks that do not come.
#[test]
fn requests_that_wait_when_the_configuration_goes_are_answered() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::new(&config(json!({})));
    let waits = proxy.request(orders(&key)).waiting();
    proxy.shut_down();
    assert_eq!(proxy.answer(waits).tells(), "503 keys_unavailable");
    assert_eq!(proxy.waiting(), 0);
}
