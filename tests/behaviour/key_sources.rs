//! Issuers whose keys come from several places, and many issuers: each by itself, each with its share.

use attache::base::{HttpReply, Level};
use attache::issuer::KeyBounds;
use serde_json::{Value, json};

use crate::proxy::{Proxy, Request, Signer, Time as _, config, good, issuer, jwks, status};
use crate::threads::{Threads, counted, fresh, gauge, long};

/// `corp` with keys from the clusters `idp` and `other`.
fn two() -> Value {
    let source = |cluster: &str| json!({ "jwks": { "uri": format!("https://{cluster}.example/jwks"), "cluster": cluster } });
    config(json!({ "issuers": [issuer(json!({ "keys": [source("idp"), source("other")] }))] }))
}

fn inline_and_remote(fixed: &Signer) -> Value {
    let keys = json!([
        { "inline": { "keys": [fixed.jwk()] } },
        { "jwks": { "uri": "https://idp.example/jwks", "cluster": "idp" } },
    ]);
    config(json!({ "issuers": [issuer(json!({ "keys": keys }))] }))
}

#[test]
fn the_keys_of_two_sources_count_together() {
    let (one, other, both) = (Signer::new("k1"), Signer::new("k2"), Signer::new("k3"));
    let mut threads = Threads::new(&two(), 4);
    threads.serve("idp", good(&jwks(&[&one, &both])));
    threads.serve("other", good(&jwks(&[&both, &other])));
    threads.tick();
    for key in [&one, &other, &both] {
        threads.all_tell(&long(key).sign(), "forwarded");
    }
    assert_eq!((threads.calls("idp"), threads.calls("other")), (1, 1));
    // What one withdraws and the other has stays.
    threads.serve("idp", good(&jwks(&[&one])));
    threads.advance(571.secs());
    threads.all_tell(&fresh(&both, 1), "forwarded");
    threads.serve("other", good(&jwks(&[&other])));
    threads.advance(571.secs());
    assert!(!threads.get("/orders", &fresh(&both, 2)).contains(&"forwarded".to_owned()));
}

#[test]
fn one_source_that_is_down_takes_nothing_from_the_other() {
    let (one, other) = (Signer::new("k1"), Signer::new("k2"));
    for fault in [status(503), status(404), HttpReply::Reset, HttpReply::NotSent, good("<html>")] {
        let mut proxy = Proxy::new(&two());
        proxy.serve("idp", fault.clone());
        proxy.serve("other", good(&jwks(&[&other])));
        proxy.tick();
        assert_eq!(proxy.get("/orders", &long(&other).sign()), "forwarded", "{fault:?}");
        // A key of the one that is down may be good: its tokens get 503, never 401.
        let answer = proxy.request(Request::get("/orders").bearer(&long(&one).sign()));
        let stream = answer.waiting();
        proxy.advance(5.secs());
        assert_eq!(proxy.answer(stream).tells(), "503 keys_unavailable", "{fault:?}");
        proxy.advance(1.hours());
        assert_eq!(proxy.get("/orders", &fresh(&other, 1)), "forwarded", "{fault:?}");
        proxy.serve("idp", good(&jwks(&[&one])));
        proxy.advance(31.secs());
        assert_eq!(proxy.get("/orders", &long(&one).sign()), "forwarded", "{fault:?}");
    }
}

#[test]
fn a_source_that_never_answers_delays_no_caller_whose_key_the_other_has() {
    let other = Signer::new("k2");
    let mut proxy = Proxy::new(&two());
    proxy.silence("idp");
    proxy.serve("other", good(&jwks(&[&other])));
    let waits = proxy.request(Request::get("/orders").bearer(&long(&other).sign())).waiting();
    proxy.tick();
    assert_eq!(proxy.answer(waits).tells(), "forwarded");
}

#[test]
fn an_unknown_key_waits_for_every_source() {
    let (one, other, new) = (Signer::new("k1"), Signer::new("k2"), Signer::new("k3"));
    let mut proxy = Proxy::new(&two());
    proxy.serve("idp", good(&jwks(&[&one])));
    proxy.serve("other", good(&jwks(&[&other])));
    proxy.tick();
    proxy.advance(10.secs());
    proxy.sleep(1.ms());
    proxy.silence("other");
    let request = || Request::get("/orders").bearer(&long(&new).sign());
    let waits = proxy.request(request()).waiting();
    proxy.advance(100.ms());
    assert_eq!((proxy.calls("idp"), proxy.calls("other")), (2, 2));
    // The first source does not have it; the second may.
    assert_eq!(proxy.answer(waits).tells(), "waiting");
    proxy.reply(good(&jwks(&[&other, &new])));
    assert_eq!(proxy.answer(waits).tells(), "forwarded");

    let gone = Request::get("/orders").bearer(&long(&Signer::new("k4")).sign());
    proxy.advance(10.secs());
    proxy.sleep(1.ms());
    let waits = proxy.request(gone).waiting();
    proxy.advance(100.ms());
    assert_eq!(proxy.answer(waits).tells(), "waiting");
    proxy.reply(good(&jwks(&[&other, &new])));
    assert_eq!(proxy.answer(waits).tells(), "401 key_unknown");
}

#[test]
fn keys_that_are_written_out_serve_before_the_first_fetch_and_without_it() {
    let (fixed, key) = (Signer::new("k1"), Signer::new("k2"));
    let mut proxy = Proxy::new(&inline_and_remote(&fixed));
    assert_eq!(proxy.get("/orders", &long(&fixed).sign()), "forwarded");
    let waits = proxy.request(Request::get("/orders").bearer(&long(&key).sign())).waiting();
    proxy.serve("idp", good(&jwks(&[&key])));
    proxy.tick();
    assert_eq!(proxy.answer(waits).tells(), "forwarded");
    proxy.tick();
    assert_eq!(proxy.gauge(&gauge("attache_keys")), Some(2));
    proxy.serve("idp", status(503));
    proxy.advance(1.hours());
    assert_eq!(proxy.get("/orders", &fresh(&fixed, 1)), "forwarded");
}

/// The log tells of each document by itself: while one source is down, the other has not been fetched *again*.
#[test]
fn a_source_that_is_fine_is_not_told_to_be_back_because_another_is_down() {
    let other = Signer::new("k2");
    let mut proxy = Proxy::new(&two());
    proxy.serve("idp", status(503));
    proxy.serve("other", good(&jwks(&[&other])));
    proxy.advance(1.hours());
    let lines = proxy.logs(Level::Info);
    assert!(!lines.iter().any(|line| line.contains("fetched again")), "{lines:?}");
}

/// Two issuers of one server, as tenants and versions are.
fn twins() -> Value {
    let twin = issuer(json!({ "name": "twin", "issuer": "https://idp.example/v2" }));
    config(json!({ "issuers": [issuer(json!({})), twin], "routes": [
        { "name": "orders", "match": { "path": "/orders" },
          "require": { "issuers": ["corp", "twin"], "authenticated": {} } },
    ]}))
}

#[test]
fn a_document_that_two_issuers_name_is_fetched_once() {
    let mut threads = Threads::new(&twins(), 4);
    threads.serve("idp", good(&jwks(&[&Signer::new("k1")])));
    threads.advance(1.secs());
    assert_eq!(threads.calls("idp"), 1);
}

#[test]
fn a_document_that_two_issuers_name_serves_both_and_is_refreshed_once() {
    let (key, new) = (Signer::new("k1"), Signer::new("k2"));
    let mut threads = Threads::new(&twins(), 4);
    threads.serve("idp", good(&jwks(&[&key])));
    threads.advance(1.secs());
    let first = threads.calls("idp");
    assert!(first <= 2, "{first}");
    for iss in ["https://idp.example", "https://idp.example/v2"] {
        threads.all_tell(&long(&key).claim("iss", iss).sign(), "forwarded");
    }
    threads.serve("idp", good(&jwks(&[&new])));
    threads.advance(571.secs());
    for iss in ["https://idp.example", "https://idp.example/v2"] {
        threads.all_tell(&long(&new).claim("iss", iss).sign(), "forwarded");
    }
    threads.advance(1.hours());
    assert!(threads.calls("idp") <= first + 9, "{:?}", threads.pauses());
}

fn many(count: usize) -> Value {
    let issuers: Vec<_> = (0..count)
        .map(|n| {
            issuer(json!({
                "name": format!("i{n}"), "issuer": format!("https://i{n}.example"),
                "keys": { "jwks": { "uri": format!("https://i{n}.example/jwks"), "cluster": "idp" } },
            }))
        })
        .collect();
    config(json!({ "issuers": issuers, "routes": [
        { "name": "orders", "match": { "path": "/orders" }, "require": { "issuers": ["i0", "i999"], "authenticated": {} } },
    ]}))
}

fn per_tick(threads: &Threads) -> usize {
    let mut ticks = std::collections::BTreeMap::<u64, usize>::new();
    threads.call_times().into_iter().for_each(|at| *ticks.entry(at).or_default() += 1);
    ticks.into_values().max().unwrap()
}

#[test]
fn a_thousand_issuers_are_asked_within_seconds_and_not_all_at_once() {
    let key = Signer::new("k1");
    let mut threads = Threads::new(&many(1_000), 1);
    threads.serve("idp", good(&jwks(&[&key])));
    threads.tick();
    assert_eq!(threads.calls("idp"), 32);
    threads.advance(3_100.ms());
    assert_eq!(threads.calls("idp"), 1_000);
    assert_eq!(per_tick(&threads), 32);
    for n in [0, 999] {
        let token = long(&key).claim("iss", format!("https://i{n}.example")).sign();
        threads.all_tell(&token, "forwarded");
    }
    // Refreshes come to all of them, too; there are no more than one for each.
    threads.advance(571.secs());
    assert!(threads.calls("idp") >= 2_000 && threads.calls("idp") <= 2_200, "{}", threads.calls("idp"));
    assert_eq!(per_tick(&threads), 32);
}

/// Each has its turn, however many of them fail.
#[test]
fn issuers_that_fail_keep_no_turn_from_the_others() {
    let key = Signer::new("k1");
    let mut threads = Threads::new(&many(1_000), 1);
    let document = jwks(&[&key]);
    threads.script("idp", move |call| {
        let is_last = call.headers.iter().any(|(_, value)| value.expose() == b"i999.example");
        Some(if is_last { good(&document) } else { status(503) })
    });
    threads.advance(10.secs());
    threads.all_tell(&long(&key).claim("iss", "https://i999.example").sign(), "forwarded");
    assert!(per_tick(&threads) <= 32);
}

fn bounds_of(config: &Value) -> KeyBounds {
    let settings = crate::proxy::compile(config).unwrap().inbound.unwrap();
    KeyBounds::for_sources(settings.issuers.iter().flat_map(|issuer| &issuer.keys))
}

#[test]
fn a_document_and_its_keys_have_an_equal_share_to_the_byte() {
    let bounds = bounds_of(&many(1_000));
    assert_eq!((bounds.document_bytes, bounds.key_bytes), (67_108, 58_720));
    let key = Signer::new("k1");
    let metric = |result: &str| format!("issuer=.=i0;.;result=.={result};.;attache_key_fetches_total");
    let document = jwks(&[&key]);
    for (bytes, result) in [(67_108, "changed"), (67_109, "too_large")] {
        let mut proxy = Proxy::new(&many(1_000));
        proxy.serve("idp", good(&format!("{document}{}", " ".repeat(bytes - document.len()))));
        proxy.tick();
        proxy.tick();
        assert_eq!(proxy.counter(&metric(result)), 1, "{bytes}: {result}");
    }
}

#[test]
fn keys_beyond_their_share_are_no_room_and_the_last_good_ones_stay() {
    let keys: Vec<_> = (0..128).map(|n| Signer::new(&format!("k{n}"))).collect();
    let all = jwks(&keys.iter().collect::<Vec<_>>());
    assert!(all.len() <= bounds_of(&many(1_000)).document_bytes);
    let mut proxy = Proxy::new(&many(1_000));
    proxy.serve("idp", good(&jwks(&[&keys[0]])));
    proxy.advance(5.secs());
    let token = long(&keys[0]).claim("iss", "https://i0.example").sign();
    assert_eq!(proxy.get("/orders", &token), "forwarded");
    proxy.script("idp", move |call| {
        let is_first = call.headers.iter().any(|(_, value)| value.expose() == b"i0.example");
        is_first.then(|| good(&all))
    });
    proxy.advance(600.secs());
    assert!(proxy.counter("issuer=.=i0;.;result=.=no_room;.;attache_key_fetches_total") >= 1);
    assert_eq!(proxy.get("/orders", &token), "forwarded");
    let told = |line: &&str| {
        line.starts_with("issuer i0: ") && line.contains("this issuer's share of 58720; https://")
    };
    assert!(proxy.logs(Level::Warn).iter().any(told));
}

#[test]
fn fetches_of_each_source_are_counted_for_their_issuer() {
    let mut proxy = Proxy::new(&two());
    proxy.serve("idp", status(503));
    proxy.serve("other", good(&jwks(&[&Signer::new("k1")])));
    proxy.advance(1.secs());
    assert_eq!(proxy.counter(&counted("attache_key_fetches_total", "changed")), 1);
    assert!(proxy.counter(&counted("attache_key_fetches_total", "status")) >= 2);
    // The worst of them is shown.
    assert!(proxy.gauge(&gauge("attache_key_fetch_failures")).unwrap() >= 2);
}
