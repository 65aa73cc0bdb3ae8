//! When a key set is asked for again: what its server states, within the bounds of the configuration; tags, pauses, backoff.

use std::time::{Duration, UNIX_EPOCH};

use attache::base::{HttpReply, Level, Timestamp};
use serde_json::json;

use crate::proxy::{Proxy, Request, START, Signer, Time as _, config, good, jwks, status, with};
use crate::threads::{Threads, counted, fresh, gauge, header_of, long, scheduled};

/// At least a minute, at most ten.
fn bounded() -> serde_json::Value {
    scheduled(json!({ "refresh": "10m", "min_refresh": "1m" }))
}

fn date(at: Timestamp) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(at.secs()))
}

fn at(offset: i64) -> String {
    date(Timestamp::from_secs(START.checked_add_signed(offset).unwrap()))
}

/// The time from the first call, at the start, to the second, when the first answer had these headers.
fn pause_after(reply: HttpReply) -> u64 {
    let mut proxy = Proxy::new(&bounded());
    proxy.serve("idp", reply);
    proxy.tick();
    proxy.advance_to_call("idp", 2);
    proxy.call_times()[1]
}

#[test]
fn a_set_is_asked_for_again_ahead_of_the_end_of_what_its_server_states() {
    let document = jwks(&[&Signer::new("k1")]);
    let (expires, past, far) = (at(300), at(-300), at(86_400));
    let cases: [(&[(&str, &str)], u64); 20] = [
        (&[], 600),
        (&[("cache-control", "public")], 600),
        (&[("cache-control", "max-age=300")], 300),
        (&[("cache-control", "public, max-age=300, must-revalidate")], 300),
        (&[("cache-control", "max-age=600")], 600),
        (&[("cache-control", "max-age=601")], 600),
        (&[("cache-control", "max-age=86400")], 600),
        (&[("cache-control", "max-age=99999999999999999999")], 600),
        (&[("cache-control", "max-age=60")], 60),
        (&[("cache-control", "max-age=59")], 60),
        (&[("cache-control", "max-age=0")], 60),
        (&[("cache-control", "max-age=-1")], 60),
        (&[("cache-control", "no-store")], 60),
        (&[("cache-control", "no-cache, max-age=300")], 60),
        (&[("cache-control", "max-age=400"), ("age", "100")], 300),
        (&[("cache-control", "max-age=300"), ("age", "86400")], 60),
        (&[("expires", &expires)], 300),
        (&[("expires", &past)], 60),
        (&[("expires", &far)], 600),
        (&[("expires", "soon")], 60),
    ];
    for (fields, lifetime) in cases {
        let pause = pause_after(with(good(&document), fields));
        // Never before the shortest refresh.
        let (least, most) = ((lifetime * 800).max(60_000), (lifetime * 950).max(60_000));
        assert!((least..=most + 100).contains(&pause), "{fields:?}: {pause} ms");
    }
}

/// Keycloak sends its keys with `no-cache`: 26 fetches in 13 minutes told 26 times the same.
#[test]
fn a_set_that_stays_what_it_is_is_asked_for_ever_more_rarely_where_its_server_forbids_to_keep_it() {
    let (key, new) = (Signer::new("k1"), Signer::new("k2"));
    for stated in ["no-cache", "no-store, must-revalidate, max-age=0", "max-age=5"] {
        let mut threads = Threads::new(&config(json!({})), 4);
        let uncached = |keys: &[&Signer]| with(good(&jwks(keys)), &[("cache-control", stated)]);
        threads.serve("idp", uncached(&[&key]));
        threads.tick();
        threads.advance(13.minutes());
        assert!(threads.calls("idp") <= 6, "{stated}: {:?}", threads.pauses());
        threads.advance(2.hours());
        let pauses = threads.pauses();
        for (index, lifetime) in [30, 60, 120, 240, 480].into_iter().enumerate() {
            let within = (lifetime * 800).max(30_000)..=(lifetime * 950).max(30_000) + 1_000;
            assert!(within.contains(&pauses[index]), "{stated}: {pauses:?}");
        }
        assert!(pauses[5..].iter().all(|pause| (480_000..=571_000).contains(pause)), "{stated}: {pauses:?}");
        // A thread that comes later, or a reload, sets no other pace.
        let asked = threads.calls("idp");
        threads.join();
        threads.reload(0, &config(json!({})));
        threads.advance(8.minutes());
        assert!(threads.calls("idp") <= asked + 1, "{stated}");
        // A new key is found at its first token, and then all begins anew.
        threads.serve("idp", uncached(&[&key, &new]));
        threads.pass(2.secs());
        let asked = threads.calls("idp");
        let waits = threads[1].request(Request::get("/orders").bearer(&long(&new).sign())).waiting();
        threads.advance(200.ms());
        assert_eq!(threads[1].answer(waits).tells(), "forwarded", "{stated}");
        threads.advance(31.secs());
        assert_eq!(threads.calls("idp"), asked + 2, "{stated}");
    }
}

/// What its server lets be kept for less than ten minutes, and for no less than the configuration allows, is asked for as it says.
#[test]
fn a_set_whose_server_states_a_short_lifetime_is_asked_for_as_it_says() {
    let mut proxy = Proxy::new(&config(json!({})));
    let minute = with(good(&jwks(&[&Signer::new("k1")])), &[("cache-control", "max-age=60")]);
    proxy.serve("idp", minute);
    proxy.tick();
    proxy.advance(1.hours());
    assert!((63..=76).contains(&proxy.calls("idp")), "{}", proxy.calls("idp"));
}

/// Two processes that started together do not stay together.
#[test]
fn refreshes_are_spread() {
    let document = with(good(&jwks(&[&Signer::new("k1")])), &[("cache-control", "max-age=300")]);
    let mut proxy = Proxy::new(&bounded());
    proxy.serve("idp", document);
    proxy.tick();
    proxy.advance_to_call("idp", 30);
    let pauses: Vec<u64> = proxy.call_times().windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.iter().all(|pause| (240_000..=285_100).contains(pause)), "{pauses:?}");
    assert!(pauses.iter().max().unwrap() - pauses.iter().min().unwrap() > 20_000, "{pauses:?}");
}

/// What another thread has fetched is as fresh for all as for the one that fetched it.
#[test]
fn what_a_server_states_counts_for_all_threads() {
    let key = Signer::new("k1");
    let mut threads = Threads::new(&bounded(), 4);
    threads.serve("idp", with(good(&jwks(&[&key])), &[("cache-control", "max-age=120")]));
    threads.tick();
    threads.advance(1.hours());
    let pauses = threads.pauses();
    assert!(pauses.iter().all(|pause| (96_000..=115_000).contains(pause)), "{pauses:?}");
}

#[test]
fn a_tag_is_sent_back_and_304_makes_the_keys_as_good_as_new() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::new(&bounded());
    proxy.serve("idp", with(good(&jwks(&[&key])), &[("etag", "\"v1\"")]));
    proxy.tick();
    assert_eq!(header_of(proxy.last_call(), "if-none-match"), None);
    proxy.serve("idp", status(304));
    proxy.advance_to_call("idp", 2);
    assert_eq!(header_of(proxy.last_call(), "if-none-match"), Some("\"v1\""));
    proxy.advance(2.secs());
    assert!(proxy.gauge(&gauge("attache_key_age_seconds")).unwrap() <= 2);
    let next = proxy.gauge(&gauge("attache_key_next_fetch_timestamp_seconds")).unwrap();
    let second = START + proxy.call_times()[1] / 1000;
    assert!((second + 480..=second + 571).contains(&next), "{next} {second}");
    assert_eq!(proxy.counter(&counted("attache_key_fetches_total", "unchanged")), 1);
    proxy.advance_to_call("idp", 12);
    assert_eq!(proxy.get("/orders", &fresh(&key, 1)), "forwarded");
    assert_eq!(proxy.counter(&counted("attache_key_fetches_total", "status")), 0);
    // One that was asked for after a request tells that there is no such key.
    proxy.sleep(1.ms());
    let waits = proxy.get("/orders", &fresh(&Signer::new("k2"), 1));
    assert_eq!(waits, "waiting");
    proxy.advance(2.secs());
    assert_eq!(proxy.get("/orders", &fresh(&Signer::new("k2"), 1)), "401 key_unknown");
}

#[test]
fn where_nothing_is_shared_every_fetch_after_the_first_sends_the_tag_back() {
    let mut alone = bounded();
    alone["sharing"] = serde_json::json!("none");
    let mut proxy = Proxy::new(&alone);
    proxy.serve("idp", with(good(&jwks(&[&Signer::new("k1")])), &[("etag", "\"v1\"")]));
    proxy.tick();
    proxy.serve("idp", status(304));
    proxy.advance_to_call("idp", 5);
    let sent = proxy.sent();
    assert!(sent[1..].iter().all(|(_, call)| header_of(call, "if-none-match") == Some("\"v1\"")));
}

#[test]
fn a_304_renews_the_keys_of_all_threads_and_states_a_date_of_its_own() {
    let key = Signer::new("k1");
    let mut threads = Threads::new(&bounded(), 4);
    threads.serve("idp", with(good(&jwks(&[&key])), &[("etag", "W/\"v1\"")]));
    threads.tick();
    threads.serve("idp", with(status(304), &[("cache-control", "max-age=120")]));
    threads.advance_to_call("idp", 2);
    threads.advance(10.minutes());
    let (first, pauses) = (threads.pauses()[0], threads.pauses()[1..].to_vec());
    assert!((480_000..=571_000).contains(&first), "{first}");
    assert!(pauses.iter().all(|pause| (96_000..=115_000).contains(pause)), "{pauses:?}");
    let sent = threads.sent();
    assert!(sent[1..].iter().all(|(_, call)| header_of(call, "if-none-match") == Some("W/\"v1\"")));
    // A thread that comes now has the document with its new date.
    let late = threads.join();
    threads.advance(2.secs());
    assert_eq!(threads[late].get("/orders", &fresh(&key, 1)), "forwarded");
    threads.all_tell(&fresh(&key, 2), "forwarded");
}

#[test]
fn a_304_without_a_condition_is_a_failure() {
    for etag in [None, Some("v1"), Some("\"a b\""), Some("\"\u{7f}\"")] {
        let mut proxy = Proxy::new(&bounded());
        let document = good(&jwks(&[&Signer::new("k1")]));
        proxy.serve("idp", etag.map_or(document.clone(), |etag| with(document, &[("etag", etag)])));
        proxy.tick();
        proxy.serve("idp", status(304));
        proxy.advance_to_call("idp", 2);
        proxy.advance(100.ms());
        assert_eq!(header_of(&proxy.sent()[1].1, "if-none-match"), None, "{etag:?}");
        assert!(proxy.counter(&counted("attache_key_fetches_total", "status")) >= 1, "{etag:?}");
    }
    let mut proxy = Proxy::new(&bounded());
    proxy.serve("idp", status(304));
    proxy.tick();
    proxy.advance(1.secs());
    assert_eq!(proxy.gauge(&gauge("attache_keys")), Some(0));
}

/// The document that others would take over is gone from shared data, or is another one: the next answer is to bring all of it.
#[test]
fn after_a_304_without_the_published_document_the_next_fetch_is_unconditional() {
    let key = Signer::new("k1");
    for planted in [None, Some(&b"garbage"[..])] {
        let mut threads = Threads::new(&bounded(), 2);
        threads.script("idp", {
            let document = with(good(&jwks(&[&key])), &[("etag", "\"v1\"")]);
            move |call| {
                let asks = header_of(call, "if-none-match") == Some("\"v1\"");
                Some(if asks { status(304) } else { document.clone() })
            }
        });
        threads.tick();
        let name = threads.name("/document");
        match planted {
            None => threads.memory.remove(&name),
            Some(bytes) => threads.memory.plant(&name, bytes),
        }
        threads.advance(40.minutes());
        let asked: Vec<_> =
            threads.sent().iter().map(|(_, call)| header_of(call, "if-none-match").is_some()).collect();
        assert!(asked[1], "{asked:?}");
        assert!(asked[2..].contains(&false), "{asked:?}");
        // Then all is as before.
        assert!(asked[asked.len() - 1], "{asked:?}");
        assert!(threads.memory.value(&name).is_some_and(|value| value.len() > 50));
        threads.all_tell(&fresh(&key, 1), "forwarded");
    }
}

#[test]
fn a_304_that_forbids_to_keep_the_set_is_asked_for_ever_more_rarely_too() {
    let mut proxy = Proxy::new(&config(json!({})));
    let uncached = [("cache-control", "no-cache"), ("etag", "\"v1\"")];
    proxy.serve("idp", with(good(&jwks(&[&Signer::new("k1")])), &uncached));
    proxy.tick();
    proxy.serve("idp", with(status(304), &uncached));
    proxy.advance(13.minutes());
    assert!(proxy.calls("idp") <= 6, "{:?}", proxy.call_times());
}

#[test]
fn an_answer_that_is_compressed_is_named_so_and_takes_no_keys_away() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&config(json!({})), &[&key]);
    proxy.serve("idp", with(good("\u{1f}\u{8b}"), &[("content-encoding", "gzip")]));
    proxy.advance_to_call("idp", 2);
    proxy.advance(1.secs());
    assert!(proxy.counter(&counted("attache_key_fetches_total", "content_coding")) > 0);
    let line = "issuer corp: fetching keys failed (1 in a row): the answer is compressed or otherwise coded (gzip): \
                it was asked for with `accept-encoding: identity`";
    assert_eq!(proxy.events(Level::Warn)[0], line);
    assert_eq!(proxy.get("/orders", &long(&key).sign()), "forwarded");
    assert!(proxy.sent().iter().all(|(_, call)| header_of(call, "accept-encoding") == Some("identity")));
    // The word says so, and it is none: object stores and careless servers write others too.
    for coding in ["identity", "aws-chunked", "utf-8", "gzip"] {
        let mut proxy = Proxy::new(&config(json!({})));
        proxy.serve("idp", with(good(&jwks(&[&key])), &[("content-encoding", coding)]));
        proxy.tick();
        assert_eq!(proxy.get("/orders", &long(&key).sign()), "forwarded", "{coding}");
    }
}

#[test]
fn a_new_document_for_a_conditional_request_replaces_the_old_one_and_its_tag() {
    let (old, new) = (Signer::new("k1"), Signer::new("k2"));
    let mut proxy = Proxy::new(&bounded());
    proxy.serve("idp", with(good(&jwks(&[&old])), &[("etag", "\"v1\"")]));
    proxy.tick();
    proxy.serve("idp", with(good(&jwks(&[&new])), &[("etag", "\"v2\"")]));
    proxy.advance_to_call("idp", 3);
    assert_eq!(header_of(proxy.last_call(), "if-none-match"), Some("\"v2\""));
    proxy.serve("idp", good(&jwks(&[&new])));
    proxy.advance_to_call("idp", 5);
    assert_eq!(header_of(proxy.last_call(), "if-none-match"), None);
    assert_eq!(proxy.get("/orders", &long(&new).sign()), "forwarded");
}

/// The pause between a call that fails so, at the start, and the next one.
fn pause_after_failure(reply: HttpReply) -> u64 {
    let mut proxy = Proxy::new(&bounded());
    proxy.serve("idp", reply);
    proxy.tick();
    proxy.advance_to_call("idp", 2);
    proxy.call_times()[1]
}

#[test]
fn a_server_that_wants_to_be_left_alone_is_left_alone_for_ten_minutes_at_most() {
    let (minute, past, hours) = (at(60), at(-60), at(86_400));
    for code in [429, 503, 500] {
        for (value, least) in [
            ("1", 1_000),
            ("120", 120_000),
            ("600", 600_000),
            ("601", 600_000),
            ("99999999999999999999999", 600_000),
            (&minute, 60_000),
            (&hours, 600_000),
        ] {
            let pause = pause_after_failure(with(status(code), &[("retry-after", value)]));
            assert!((least..=least + 100).contains(&pause), "{code} {value}: {pause}");
        }
        for value in ["0", "-1", "soon", "1.5", "", &past] {
            let pause = pause_after_failure(with(status(code), &[("retry-after", value)]));
            assert!((125..=350).contains(&pause), "{code} {value}: {pause}");
        }
    }
}

#[test]
fn a_short_retry_after_takes_no_backoff_away() {
    let mut proxy = Proxy::new(&bounded());
    proxy.serve("idp", with(status(429), &[("retry-after", "1")]));
    proxy.tick();
    proxy.advance_to_call("idp", 12);
    let pauses: Vec<u64> = proxy.call_times().windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (index, pause) in pauses.iter().enumerate() {
        let longest = (250 << index.min(7)).min(30_000);
        let least = (longest / 2).max(1_000);
        assert!((least..=longest.max(1_000) + 100).contains(pause), "{index}: {pauses:?}");
    }
}

#[test]
fn a_pause_that_a_server_asked_for_holds_for_all_threads() {
    let key = Signer::new("k1");
    let mut threads = Threads::new(&bounded(), 8);
    threads.serve("idp", with(status(429), &[("retry-after", "300")]));
    threads.tick();
    threads.advance(119.secs());
    // Nor does a thread that comes later ask.
    threads.join();
    threads.advance(110.secs());
    threads.advance(70.secs());
    assert_eq!(threads.calls("idp"), 1);
    threads.serve("idp", good(&jwks(&[&key])));
    threads.advance(1_200.ms());
    assert_eq!(threads.calls("idp"), 2);
    threads.all_tell(&long(&key).sign(), "forwarded");
}

/// Our host did not take the call: no server was asked, and another thread may have better luck.
#[test]
fn a_call_that_was_not_sent_holds_up_no_other_thread() {
    let key = Signer::new("k1");
    let mut threads = Threads::new(&bounded(), 2);
    threads[0].serve("idp", HttpReply::NotSent);
    threads[1].serve("idp", good(&jwks(&[&key])));
    threads.tick();
    threads.all_tell(&long(&key).sign(), "forwarded");
    assert_eq!(threads.calls("idp"), 2);
    threads.advance(100.secs());
    assert_eq!(threads.calls("idp"), 2);
}

#[test]
fn the_gauges_tell_of_failures_and_of_the_next_fetch() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::new(&bounded());
    proxy.serve("idp", with(status(503), &[("retry-after", "100")]));
    proxy.tick();
    assert_eq!(proxy.gauge(&gauge("attache_key_fetch_failures")), Some(0));
    proxy.advance(1.secs());
    assert_eq!(proxy.gauge(&gauge("attache_key_fetch_failures")), Some(1));
    assert_eq!(proxy.gauge(&gauge("attache_key_next_fetch_timestamp_seconds")), Some(START + 100));
    assert_eq!(proxy.gauge(&gauge("attache_key_age_seconds")), None);
    proxy.advance_to_call("idp", 3);
    proxy.advance(1.secs());
    assert_eq!(proxy.gauge(&gauge("attache_key_fetch_failures")), Some(3));
    proxy.serve("idp", good(&jwks(&[&key])));
    proxy.advance_to_call("idp", 4);
    proxy.advance(1.secs());
    assert_eq!(proxy.gauge(&gauge("attache_key_fetch_failures")), Some(0));
    assert!(proxy.gauge(&gauge("attache_key_age_seconds")).unwrap() <= 1);
    let now = proxy.now().secs();
    let next = proxy.gauge(&gauge("attache_key_next_fetch_timestamp_seconds")).unwrap();
    assert!((now + 470..=now + 570).contains(&next), "{next} at {now}");
    proxy.advance(100.secs());
    let age = proxy.gauge(&gauge("attache_key_age_seconds")).unwrap();
    assert!((99..=102).contains(&age), "{age}");
}
