//! Keys whose address the issuer's metadata names: where the metadata is, what it may say, and what becomes of keys when it moves
//! or cannot be had.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use attache::base::{HttpReply, Level};
use serde_json::{Value, json};

use crate::proxy::{ISSUER, Proxy, Request, Signer, Time as _, config, good, issuer, jwks, status, with};
use crate::threads::{Threads, counted, fresh, header_of, long, path_of};

const OAUTH: &str = "/.well-known/oauth-authorization-server";
const OPENID: &str = "/.well-known/openid-configuration";

/// What is there by path; 404 for all else.
#[derive(Clone, Default)]
struct Site(Rc<RefCell<BTreeMap<String, HttpReply>>>);

impl Site {
    /// Metadata at the first place and these keys where it says.
    fn of(keys: &[&Signer]) -> Self {
        Self::default()
            .put(OAUTH, good(&metadata("https://idp.example/jwks")))
            .put("/jwks", good(&jwks(keys)))
    }

    fn put(self, path: &str, reply: HttpReply) -> Self {
        self.0.borrow_mut().insert(path.to_owned(), reply);
        self
    }

    fn set(&self, path: &str, reply: HttpReply) {
        self.0.borrow_mut().insert(path.to_owned(), reply);
    }

    fn answer(&self, call: &attache::base::HttpCall) -> Option<HttpReply> {
        Some(self.0.borrow().get(path_of(call)).cloned().unwrap_or_else(|| status(404)))
    }

    fn proxy(&self, config: &Value) -> Proxy {
        let (mut proxy, site) = (Proxy::new(config), self.clone());
        proxy.script("idp", move |call| site.answer(call));
        proxy
    }

    fn threads(&self, config: &Value, count: usize) -> Threads {
        let (mut threads, site) = (Threads::new(config, count), self.clone());
        threads.script("idp", move |call| site.answer(call));
        threads
    }
}

fn metadata(jwks_uri: &str) -> String {
    json!({ "issuer": ISSUER, "jwks_uri": jwks_uri, "token_endpoint": "https://idp.example/token" })
        .to_string()
}

fn discovery(patch: Value) -> Value {
    let mut source = json!({ "cluster": "idp" });
    source.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
    config(json!({ "issuers": [issuer(json!({ "keys": { "jwks": null, "discovery": source } }))] }))
}

fn paths(proxy: &Proxy) -> Vec<&str> {
    proxy.sent().iter().map(|(_, call)| path_of(call)).collect()
}

#[test]
fn the_place_of_rfc_8414_is_asked_first_and_then_the_keys() {
    let key = Signer::new("k1");
    let mut proxy = Site::of(&[&key]).proxy(&discovery(json!({})));
    let waits = proxy.request(Request::get("/orders").bearer(&long(&key).sign())).waiting();
    proxy.advance(300.ms());
    assert_eq!(paths(&proxy), [OAUTH, "/jwks"]);
    assert_eq!(proxy.answer(waits).tells(), "forwarded");
    assert_eq!(proxy.counter(&counted("attache_metadata_fetches_total", "changed")), 1);
    assert_eq!(proxy.counter(&counted("attache_key_fetches_total", "changed")), 1);
    assert_eq!(header_of(proxy.last_call(), ":authority"), Some("idp.example"));
}

#[test]
fn the_place_of_openid_is_asked_when_the_first_has_nothing_and_is_remembered() {
    let key = Signer::new("k1");
    for nothing in
        [status(404), status(403), status(410), good("<html>"), good(r#"{"issuer":"https://other"}"#)]
    {
        let site =
            Site::of(&[&key]).put(OAUTH, nothing.clone()).put(OPENID, good(&metadata("https://h/jwks")));
        let mut proxy = site.proxy(&discovery(json!({ "metadata_refresh": "10m" })));
        proxy.advance(1.secs());
        assert_eq!(paths(&proxy), [OAUTH, OPENID, "/jwks"], "{nothing:?}");
        assert_eq!(proxy.get("/orders", &long(&key).sign()), "forwarded");
        proxy.advance(1.hours());
        let again: Vec<_> = paths(&proxy).into_iter().skip(3).filter(|path| *path != "/jwks").collect();
        assert!(again.len() >= 6 && again.iter().all(|path| *path == OPENID), "{again:?}");
    }
}

/// An outage says nothing about where the metadata is.
#[test]
fn an_outage_of_the_first_place_is_no_reason_to_ask_the_other() {
    for fault in [status(500), status(503), status(429), status(408), HttpReply::Reset] {
        let site = Site::of(&[]).put(OAUTH, fault.clone()).put(OPENID, good(&metadata("https://h/jwks")));
        let mut proxy = site.proxy(&discovery(json!({})));
        proxy.advance(10.secs());
        assert!(paths(&proxy).iter().all(|path| *path == OAUTH), "{fault:?}: {:?}", paths(&proxy));
    }
}

#[test]
fn metadata_that_is_nowhere_is_looked_for_by_backoff() {
    let mut proxy = Site::default().proxy(&discovery(json!({})));
    proxy.advance(2.minutes());
    // Two calls an attempt, and attempts as any failures.
    let attempts: Vec<u64> = proxy.call_times().into_iter().step_by(2).collect();
    let pauses: Vec<u64> = attempts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (index, pause) in pauses.iter().enumerate() {
        let longest = (250 << index.min(7)).min(30_000);
        // The second place is asked at the tick after.
        assert!((longest / 2..=longest + 300).contains(pause), "{index}: {pauses:?}");
    }
}

/// The first keys come from where the issuer says, or not at all; keys that are there stay.
#[test]
fn metadata_that_is_not_believed_takes_no_keys_away_and_brings_none() {
    let key = Signer::new("k1");
    let text = |value: Value| good(&value.to_string());
    let uri = |uri: &str| text(json!({ "issuer": ISSUER, "jwks_uri": uri }));
    let big = format!("{}{}", metadata("https://idp.example/jwks"), " ".repeat(64 * 1024));
    for (reply, label) in [
        (
            text(json!({ "issuer": "https://idp.example/", "jwks_uri": "https://evil.example/jwks" })),
            "metadata_other_issuer",
        ),
        (text(json!({ "jwks_uri": "https://evil.example/jwks" })), "metadata_without_issuer"),
        (text(json!({ "issuer": ISSUER })), "metadata_without_jwks_uri"),
        (uri("http://idp.example/jwks"), "metadata_plaintext"),
        (uri("/jwks"), "metadata_jwks_uri"),
        (uri("https://user@idp.example/jwks"), "metadata_jwks_uri"),
        (good("<html>login</html>"), "metadata_json"),
        (good(""), "metadata_json"),
        (good(&big), "too_large"),
        (status(503), "status"),
        (status(302), "status"),
        (HttpReply::Reset, "reset"),
    ] {
        let metric = counted("attache_metadata_fetches_total", label);
        let site = Site::of(&[&key]).put(OAUTH, reply.clone());
        let mut proxy = site.proxy(&discovery(json!({ "metadata_refresh": "10m" })));
        proxy.advance(2.secs());
        assert!(proxy.counter(&metric) >= 1, "{label}: {:?}", proxy.counters());
        assert!(!paths(&proxy).contains(&"/jwks"), "{label}");
        assert_ne!(proxy.get("/orders", &long(&key).sign()), "forwarded", "{label}");

        let site = Site::of(&[&key]);
        let mut proxy = site.proxy(&discovery(json!({ "metadata_refresh": "10m" })));
        proxy.advance(1.secs());
        site.set(OAUTH, reply);
        proxy.advance(2.hours());
        assert!(proxy.counter(&metric) >= 10, "{label}: {:?}", proxy.counters());
        assert_eq!(proxy.get("/orders", &long(&key).sign()), "forwarded", "{label}");
        // The keys are kept fresh all the same.
        assert!(paths(&proxy).iter().filter(|path| **path == "/jwks").count() >= 12, "{label}");
    }
}

#[test]
fn keys_that_move_count_until_the_new_place_has_answered_and_then_no_more() {
    let (old, new) = (Signer::new("k1"), Signer::new("k2"));
    let site = Site::of(&[&old]);
    let mut threads = site.threads(&discovery(json!({ "metadata_refresh": "1m" })), 4);
    threads.advance(1.secs());
    threads.all_tell(&long(&old).sign(), "forwarded");
    site.set(OAUTH, good(&metadata("https://keys.example:8443/new?v=2")));
    site.set("/new?v=2", status(503));
    threads.advance(2.minutes());
    threads.all_tell(&fresh(&old, 1), "forwarded");
    assert!(threads.paths().contains(&"/new?v=2".to_owned()));
    site.set("/new?v=2", good(&jwks(&[&new])));
    threads.advance(31.secs());
    threads.all_tell(&long(&new).sign(), "forwarded");
    assert!(!threads.get("/orders", &long(&old).sign()).contains(&"forwarded".to_owned()));
    let call = threads.sent().into_iter().rev().find(|(_, call)| path_of(call) == "/new?v=2").unwrap().1;
    assert_eq!(header_of(&call, ":authority"), Some("keys.example:8443"));
    // No thread asks the old place any more.
    let old_calls = threads.paths().iter().filter(|path| *path == "/jwks").count();
    threads.advance(1.hours());
    assert_eq!(threads.paths().iter().filter(|path| *path == "/jwks").count(), old_calls);
}

/// What has moved to a place that never answers is no better for it.
#[test]
fn keys_that_move_serve_no_longer_than_they_would_have() {
    let key = Signer::new("k1");
    let site = Site::of(&[&key]);
    let schedule = json!({ "metadata_refresh": "1m", "refresh": "10m", "max_staleness": "10m" });
    let mut proxy = site.proxy(&discovery(schedule));
    proxy.advance(200.ms());
    site.set("/new", status(503));
    for minute in 0..19 {
        // It moves again and again.
        let at = if minute % 2 == 0 { "https://idp.example/new" } else { "https://idp.example/newer" };
        site.set(OAUTH, good(&metadata(at)));
        site.set("/newer", status(503));
        proxy.advance(1.minutes());
    }
    assert_eq!(proxy.get("/orders", &long(&key).sign()), "forwarded");
    proxy.advance(61.secs());
    assert_ne!(proxy.get("/orders", &long(&key).sign()), "forwarded");
}

#[test]
fn keys_whose_address_no_metadata_vouches_for_any_more_count_no_more() {
    let key = Signer::new("k1");
    let site = Site::of(&[&key]);
    let schedule = json!({ "metadata_refresh": "10m", "max_staleness": "10m" });
    let mut proxy = site.proxy(&discovery(schedule));
    proxy.tick();
    site.set(OAUTH, status(503));
    proxy.advance(1_200.secs() - 100.ms());
    // Fetched minutes ago, and yet.
    assert_eq!(proxy.get("/orders", &long(&key).sign()), "forwarded");
    proxy.advance(100.ms());
    let answer = proxy.request(Request::get("/orders").bearer(&long(&key).sign()));
    assert!(["waiting", "503 keys_unavailable"].contains(&answer.tells().as_str()), "{}", answer.tells());
    let line = "issuer corp: the metadata expired: requests that need its keys get 503";
    assert_eq!(proxy.events(Level::Error), [line]);
    let asked = paths(&proxy).iter().filter(|path| **path == "/jwks").count();
    proxy.advance(20.minutes());
    assert_eq!(paths(&proxy).iter().filter(|path| **path == "/jwks").count(), asked);
    site.set(OAUTH, good(&metadata("https://idp.example/jwks")));
    proxy.advance(31.secs());
    assert_eq!(proxy.get("/orders", &long(&key).sign()), "forwarded");
}

#[test]
fn metadata_and_keys_are_fetched_once_for_all_threads() {
    let (key, new) = (Signer::new("k1"), Signer::new("k2"));
    let site = Site::of(&[&key]);
    let mut threads = site.threads(&discovery(json!({})), 8);
    threads.advance(1.secs());
    assert_eq!(threads.paths(), [OAUTH, "/jwks"]);
    threads.all_tell(&long(&key).sign(), "forwarded");
    // One that comes later has the address and the keys.
    let late = threads.join();
    assert_eq!(threads[late].get("/orders", &long(&key).sign()), "forwarded");
    site.set("/jwks", good(&jwks(&[&new])));
    threads.advance(571.secs());
    threads.all_tell(&long(&new).sign(), "forwarded");
    threads.advance(50.minutes());
    let metadata = threads.paths().iter().filter(|path| *path == OAUTH).count();
    assert_eq!(metadata, 2, "{:?}", threads.paths());
}

#[test]
fn the_other_threads_go_to_the_place_where_the_first_has_found_metadata() {
    let key = Signer::new("k1");
    let site = Site::of(&[&key]).put(OAUTH, status(404)).put(OPENID, good(&metadata("https://h/jwks")));
    let mut threads = site.threads(&discovery(json!({ "metadata_refresh": "1m" })), 8);
    threads.advance(1.secs());
    threads.all_tell(&long(&key).sign(), "forwarded");
    // Each may have asked in vain once.
    let asked = |threads: &Threads, at: &str| threads.paths().iter().filter(|path| *path == at).count();
    assert!(asked(&threads, OAUTH) <= 8, "{:?}", threads.paths());
    assert_eq!((asked(&threads, OPENID), asked(&threads, "/jwks")), (1, 1), "{:?}", threads.paths());
    let first = asked(&threads, OAUTH);
    threads.advance(20.minutes());
    assert_eq!(asked(&threads, OAUTH), first);
}

/// A gateway that says 404 until its issuer is up: found in seconds, however many threads have looked.
#[test]
fn metadata_that_comes_a_moment_late_is_found_within_seconds() {
    let key = Signer::new("k1");
    let site = Site::default();
    let mut threads = site.threads(&discovery(json!({})), 8);
    threads.advance(2.secs());
    site.set(OAUTH, good(&metadata("https://idp.example/jwks")));
    site.set("/jwks", good(&jwks(&[&key])));
    threads.advance(5.secs());
    threads.all_tell(&long(&key).sign(), "forwarded");
}

#[test]
fn keys_that_are_not_there_any_more_make_the_metadata_be_read_again() {
    let (old, new) = (Signer::new("k1"), Signer::new("k2"));
    let site = Site::of(&[&old]);
    let mut threads = site.threads(&discovery(json!({})), 4);
    threads.advance(1.secs());
    // The issuer has moved its keys and says so; the metadata would be read in an hour.
    site.set("/jwks", status(404));
    site.set(OAUTH, good(&metadata("https://idp.example/moved")));
    site.set("/moved", good(&jwks(&[&new])));
    threads.advance(571.secs());
    threads.advance(31.secs());
    threads.all_tell(&long(&new).sign(), "forwarded");
    // While they are nowhere, once in half a minute at most.
    site.set("/moved", status(404));
    let before = threads.paths().iter().filter(|path| *path == OAUTH).count();
    threads.advance(20.minutes());
    let asked = threads.paths().iter().filter(|path| *path == OAUTH).count() - before;
    assert!((1..=41).contains(&asked), "{asked}");
    threads.all_tell(&fresh(&new, 1), "forwarded");
}

#[test]
fn metadata_is_kept_fresh_as_its_server_states() {
    let key = Signer::new("k1");
    let site = Site::of(&[&key]);
    let stated = [("cache-control", "max-age=300"), ("etag", "\"m1\"")];
    site.set(OAUTH, with(good(&metadata("https://idp.example/jwks")), &stated));
    let mut proxy = site.proxy(&discovery(json!({})));
    proxy.advance(1.secs());
    site.set(OAUTH, with(status(304), &[("cache-control", "max-age=300")]));
    proxy.advance(1.hours());
    let calls: Vec<_> = proxy.sent().iter().filter(|(_, call)| path_of(call) == OAUTH).collect();
    assert!((12..=16).contains(&calls.len()), "{}", calls.len());
    assert!(calls[1..].iter().all(|(_, call)| header_of(call, "if-none-match") == Some("\"m1\"")));
    assert!(proxy.counter(&counted("attache_metadata_fetches_total", "unchanged")) >= 11);
    assert_eq!(proxy.get("/orders", &long(&key).sign()), "forwarded");
}

#[test]
fn metadata_that_its_server_forbids_to_keep_is_asked_for_ever_more_rarely_and_no_sooner_than_configured() {
    let key = Signer::new("k1");
    let asked = |patch: Value, minutes: u64| {
        let site = Site::of(&[&key]);
        let uncached = [("cache-control", "no-cache")];
        site.set(OAUTH, with(good(&metadata("https://idp.example/jwks")), &uncached));
        let mut threads = site.threads(&discovery(patch), 2);
        threads.advance(minutes.minutes());
        threads.paths().iter().filter(|path| *path == OAUTH).count()
    };
    assert!(asked(json!({}), 13) <= 6);
    // Three more fetches in 25 minutes.
    assert!(asked(json!({}), 38) <= 10);
    assert_eq!(asked(json!({ "metadata_min_refresh": "30m" }), 29), 1);
    assert_eq!(asked(json!({ "metadata_min_refresh": "30m" }), 59), 2);
    // Nor is it asked for more rarely than configured.
    assert!(asked(json!({ "metadata_refresh": "1m" }), 38) >= 39);
}

/// A callback that began before another thread's reads what that one has published since.
#[test]
fn a_thread_whose_time_was_read_a_moment_earlier_takes_each_document_once() {
    let key = Signer::new("k1");
    let mut threads = Site::of(&[&key]).threads(&discovery(json!({})), 2);
    threads[0].sleep(50.ms());
    threads[0].tick();
    threads[1].tick();
    // The keys come later, and make the other thread look at all of the issuer's documents.
    threads[0].sleep(50.ms());
    threads[0].tick();
    threads[1].sleep(60.ms());
    threads[1].tick();
    threads.advance(5.secs());
    threads.all_tell(&long(&key).sign(), "forwarded");
    let taken = "issuer=.=corp;.;result=.=adopted;.;attache_shared_documents_total";
    assert_eq!((threads.calls("idp"), threads.counter(taken)), (2, 2));
}
