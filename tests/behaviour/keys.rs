//! The life of an issuer's keys: the first ones, refresh, rotation, outages, and whatever an issuer may answer.

use attache::base::{Headers, HttpReply, Level};
use attache::jose::{MAX_KEY_SET_BYTES, MAX_KEYS};
use serde_json::json;

use crate::proxy::{
    Proxy, Request, START, Signer, Time as _, Token, config, good, issuer, jwks, local_reply, status,
};

fn long(key: &Signer) -> Token {
    key.token().claim("exp", START + 30 * 24 * 3600)
}

fn fetches(result: &str) -> String {
    format!("issuer=.=corp;.;result=.={result};.;attache_key_fetches_total")
}

/// What an issuer may do instead of answering with keys: the reply, how it is counted, and what the log says of it.
fn faults() -> Vec<(HttpReply, &'static str, String)> {
    let padded = |size: usize| {
        let document = jwks(&[&Signer::new("k2")]);
        good(&format!("{document}{}", " ".repeat(size - document.len())))
    };
    let too_large = HttpReply::Response { status: 200, headers: Headers::default(), body: Err(1_000_000) };
    let many = |n: usize| good(&json!({ "keys": vec![Signer::new("k2").jwk(); n] }).to_string());
    let oct = json!({ "keys": [{ "kty": "oct", "k": "A".repeat(86) }, { "kty": "RSA" }, 7] }).to_string();
    let good_but_500 = HttpReply::Response {
        status: 500,
        headers: Headers::default(),
        body: Ok(jwks(&[&Signer::new("k2")]).into_bytes()),
    };
    let truncated = jwks(&[&Signer::new("k2")]);
    let fault = |reply, label, text: &str| (reply, label, text.to_owned());
    let size = MAX_KEY_SET_BYTES;
    vec![
        fault(status(500), "status", "the server answered 500"),
        fault(good_but_500, "status", "the server answered 500"),
        fault(status(503), "status", "the server answered 503"),
        fault(status(504), "status", "the server answered 504"),
        fault(status(301), "status", "the server answered 301"),
        fault(status(302), "status", "the server answered 302"),
        fault(status(304), "status", "the server answered 304"),
        fault(status(204), "status", "the server answered 204"),
        fault(status(404), "status", "the server answered 404"),
        fault(status(0), "status", "the server answered 0"),
        fault(status(200), "malformed", "the key set: not JSON at line 1, column 0"),
        fault(
            good(&truncated[..truncated.len() - 5]),
            "malformed",
            &format!("the key set: not JSON at line 1, column {}", truncated.len() - 5),
        ),
        fault(good("<html>login</html>"), "malformed", "the key set: not JSON at line 1, column 1"),
        fault(good("[]"), "malformed", "the key set: not an object"),
        fault(good("{}"), "malformed", "`keys` is missing"),
        fault(good(r#"{"keys":{}}"#), "malformed", "`keys` is not an array"),
        fault(good(r#"{"keys":[],"keys":[]}"#), "malformed", "the key set: duplicate member"),
        fault(good(r#"{"keys":[]}"#), "empty_set", "the set is empty"),
        fault(
            good(&oct),
            "no_usable_key",
            "the set holds no usable key: keys[0]: a symmetric key is only accepted from the configuration; keys[1]: `n` is missing; keys[2]: not an object",
        ),
        fault(
            padded(size + 1),
            "too_large",
            &format!("the answer has {} bytes, more than a document may have", size + 1),
        ),
        fault(
            many(MAX_KEYS + 1),
            "malformed",
            &format!("the key set has {} keys, more than {MAX_KEYS}", MAX_KEYS + 1),
        ),
        fault(too_large, "too_large", "the answer has 1000000 bytes, more than a document may have"),
        fault(HttpReply::Reset, "reset", "the connection was reset"),
        fault(HttpReply::NotSent, "not_sent", "the call could not be sent: the cluster has no healthy host"),
        fault(
            HttpReply::ClusterUnknown,
            "cluster_unknown",
            "the call could not be sent: Envoy knows no cluster of this name",
        ),
        fault(
            local_reply(503, "no healthy upstream"),
            "not_reached",
            "no server answered, but Envoy itself, with 503: the cluster has no healthy host",
        ),
    ]
}

/// Seen in other filters.
#[test]
fn no_fault_of_the_issuer_takes_the_last_good_keys_away() {
    let key = Signer::new("k1");
    for (reply, label, text) in faults() {
        let mut proxy = Proxy::ready(&config(json!({})), &[&key]);
        proxy.serve("idp", reply);
        proxy.advance(601.secs());
        assert_eq!(proxy.get("/orders", &long(&key).sign()), "forwarded", "{text}");
        assert!(proxy.counter(&fetches(label)) >= 1, "{text}: {:?}", proxy.counters());
        let line = format!("issuer corp: fetching keys failed (1 in a row): {text}");
        assert_eq!(proxy.events(Level::Warn).first(), Some(&line.as_str()));
        assert_eq!(proxy.gauge("issuer=.=corp;.;attache_keys"), Some(1), "{text}");
    }
}

/// seen in other filters: without keys no request gets through.
#[test]
fn no_fault_of_the_issuer_lets_a_request_in_before_the_first_keys() {
    let key = Signer::new("k1");
    for (reply, _, text) in faults() {
        let mut proxy = Proxy::new(&config(json!({})));
        proxy.serve("idp", reply);
        proxy.tick();
        let waits = proxy.request(Request::get("/orders").bearer(&key.token().sign())).waiting();
        proxy.advance(5.secs());
        assert_eq!(proxy.answer(waits).tells(), "503 keys_unavailable", "{text}");
    }
}

#[test]
fn a_key_set_of_exactly_the_largest_size_is_read() {
    let key = Signer::new("k1");
    let document = jwks(&[&key]);
    let mut proxy = Proxy::new(&config(json!({})));
    proxy.serve("idp", good(&format!("{document}{}", " ".repeat(MAX_KEY_SET_BYTES - document.len()))));
    proxy.tick();
    assert_eq!(proxy.get("/orders", &key.token().sign()), "forwarded");

    let keys: Vec<_> = (0..MAX_KEYS).map(|n| Signer::new(&format!("k{n}"))).collect();
    let mut proxy = Proxy::ready(&config(json!({})), &keys.iter().collect::<Vec<_>>());
    assert_eq!(proxy.get("/orders", &keys[MAX_KEYS - 1].token().sign()), "forwarded");
}

#[test]
fn a_fetch_is_a_get_through_the_configured_cluster_and_nothing_else() {
    let remote =
        json!({ "keys": { "jwks": { "uri": "http://idp.example:8080/a/jwks?v=1", "timeout": "3s" } } });
    let mut proxy = Proxy::new(&config(json!({ "issuers": [issuer(remote)] })));
    proxy.tick();
    let call = proxy.last_call();
    let headers: Vec<_> =
        call.headers.iter().map(|(name, value)| (&**name, str::from_utf8(value.expose()).unwrap())).collect();
    assert_eq!(
        headers,
        [
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "idp.example:8080"),
            (":path", "/a/jwks?v=1"),
            ("accept", "application/jwk-set+json, application/json"),
            ("accept-encoding", "identity"),
            ("user-agent", concat!("attache/", env!("CARGO_PKG_VERSION"))),
        ]
    );
    assert_eq!((&*call.cluster, call.body.expose().len(), call.timeout), ("idp", 0, 3.secs()));
}

#[test]
fn keys_are_fetched_again_at_every_refresh() {
    let mut proxy = Proxy::ready(&config(json!({})), &[&Signer::new("k1")]);
    proxy.advance_to_call("idp", 20);
    proxy.tick();
    // Ahead of the end of ten minutes, and not always at the same time.
    let pauses: Vec<u64> = proxy.call_times().windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.iter().all(|pause| (480_000..=570_100).contains(pause)), "{pauses:?}");
    assert!(pauses.iter().collect::<std::collections::BTreeSet<_>>().len() > 15, "{pauses:?}");
    assert_eq!(proxy.counter(&fetches("changed")), 1);
    assert_eq!(proxy.counter(&fetches("unchanged")), 19);
}

#[test]
fn requests_do_not_fetch() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&config(json!({})), &[&key]);
    for _ in 0..1000 {
        proxy.get("/orders", &key.token().sign());
        proxy.sleep(1.ms());
    }
    assert_eq!(proxy.calls("idp"), 1);
}

/// 250 ms, doubled at each failure, at most 30 s; at the tick after, and up to a half of it sooner.
#[test]
fn failures_are_retried_ever_more_slowly() {
    let mut proxy = Proxy::new(&config(json!({})));
    proxy.serve("idp", status(503));
    proxy.tick();
    proxy.advance_to_call("idp", 30);
    let pauses: Vec<u64> = proxy.call_times().windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (index, pause) in pauses.iter().enumerate() {
        let longest = (250 << index.min(7)).min(30_000);
        assert!((longest / 2..=longest + 100).contains(pause), "{pauses:?}");
    }
    assert!(pauses[10..].iter().collect::<std::collections::BTreeSet<_>>().len() > 10, "{pauses:?}");
}

#[test]
fn an_outage_is_told_ever_more_rarely_and_its_end_once() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&config(json!({})), &[&key]);
    proxy.serve("idp", status(503));
    proxy.advance(2.hours());
    let told = proxy.logs(Level::Warn).len();
    assert!(proxy.calls("idp") > 200 && told <= 9, "{told} lines about {} failures", proxy.calls("idp"));
    proxy.serve("idp", good(&jwks(&[&key])));
    proxy.advance(31.secs());
    let failures = proxy.counter(&fetches("status"));
    let end = format!("issuer corp: keys fetched again after {failures} failures");
    assert_eq!(proxy.events(Level::Info).last(), Some(&end.as_str()));
}

#[test]
fn the_last_good_keys_serve_through_hours_of_outage() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&config(json!({})), &[&key]);
    proxy.serve("idp", HttpReply::Reset);
    for _ in 0..12 {
        proxy.advance(1.hours());
        assert_eq!(proxy.get("/orders", &long(&key).claim("jti", proxy.calls("idp")).sign()), "forwarded");
    }
    assert_eq!(proxy.gauge("issuer=.=corp;.;attache_key_age_seconds"), Some(12 * 3600));
}

#[test]
fn an_issuer_that_is_back_is_found_within_thirty_seconds() {
    let (old, new) = (Signer::new("k1"), Signer::new("k2"));
    let mut proxy = Proxy::ready(&config(json!({})), &[&old]);
    proxy.serve("idp", status(503));
    proxy.advance(3.hours());
    proxy.serve("idp", good(&jwks(&[&new])));
    proxy.advance(31.secs());
    assert_eq!(proxy.get("/orders", &long(&new).sign()), "forwarded");
}

#[test]
fn unknown_kid_causes_one_refresh_for_a_hundred_requests() {
    let (old, new) = (Signer::new("k1"), Signer::new("k2"));
    let mut proxy = Proxy::ready(&config(json!({})), &[&old]);
    proxy.advance(1.minutes());
    proxy.serve("idp", good(&jwks(&[&old, &new])));
    let tokens = (0..100).map(|n| new.token().claim("jti", n).sign());
    let requests: Vec<Request> = tokens.map(|token| Request::get("/orders").bearer(&token)).collect();
    let waits: Vec<_> = requests.into_iter().map(|request| proxy.request(request).waiting()).collect();
    proxy.tick();
    assert_eq!(proxy.calls("idp"), 2);
    for stream in waits {
        assert_eq!(proxy.answer(stream).tells(), "forwarded");
    }
    assert_eq!(proxy.waiting(), 0);
    assert_eq!(proxy.get("/orders", &old.token().sign()), "forwarded");
    proxy.advance(1.minutes());
    assert_eq!(proxy.calls("idp"), 2);
}

/// seen in other filters: strangers with made-up key ids do not drive the issuer.
#[test]
fn unknown_kids_cause_at_most_one_fetch_an_interval() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&config(json!({})), &[&key]);
    for n in 0..1000 {
        let stranger = key.named(Some(&format!("made-up-{n}")));
        let answer = proxy.request(Request::get("/orders").bearer(&stranger.token().sign())).tells();
        assert!(["waiting", "503 waiting_full", "401 key_unknown"].contains(&answer.as_str()), "{answer}");
        proxy.advance(20.ms());
    }
    // Twenty seconds at two seconds each, and the first one.
    assert_eq!(proxy.calls("idp"), 11);
    let times = proxy.call_times();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 2000), "{times:?}");
    assert_eq!(proxy.get("/orders", &key.token().sign()), "forwarded");
}

#[test]
fn an_unknown_key_is_refused_only_after_a_fetch_that_was_sent_after_the_request() {
    let (old, new) = (Signer::new("k1"), Signer::new("k2"));
    let mut proxy = Proxy::ready(&config(json!({})), &[&old]);
    proxy.silence("idp");
    proxy.advance_to_call("idp", 2);
    // The refresh is under way, and what it brings may be older than the key of this request.
    proxy.sleep(50.ms());
    let waits = proxy.request(Request::get("/orders").bearer(&long(&new).sign())).waiting();
    proxy.reply(good(&jwks(&[&old])));
    assert_eq!(proxy.answer(waits).tells(), "waiting");
    proxy.advance(2.secs());
    assert_eq!(proxy.calls("idp"), 3);
    proxy.reply(good(&jwks(&[&old])));
    assert_eq!(proxy.answer(waits).tells(), "401 key_unknown");
}

#[test]
fn a_new_key_that_a_fetch_under_way_brings_is_used_at_once() {
    let (old, new) = (Signer::new("k1"), Signer::new("k2"));
    let mut proxy = Proxy::ready(&config(json!({})), &[&old]);
    proxy.silence("idp");
    proxy.advance_to_call("idp", 2);
    let waits = proxy.request(Request::get("/orders").bearer(&long(&new).sign())).waiting();
    proxy.reply(good(&jwks(&[&old, &new])));
    assert_eq!(proxy.answer(waits).tells(), "forwarded");
    // And it asks for nothing more.
    proxy.serve("idp", good(&jwks(&[&old, &new])));
    proxy.advance(1.minutes());
    assert_eq!(proxy.calls("idp"), 2);
}

/// Our failure, not the caller's: never 401.
#[test]
fn an_unknown_key_while_the_issuer_is_down_is_503() {
    let (old, new) = (Signer::new("k1"), Signer::new("k2"));
    let mut proxy = Proxy::ready(&config(json!({})), &[&old]);
    proxy.serve("idp", status(503));
    proxy.advance(10.secs());
    let waits = proxy.request(Request::get("/orders").bearer(&new.token().sign())).waiting();
    proxy.advance(4_900.ms());
    assert_eq!(proxy.answer(waits).tells(), "waiting");
    proxy.advance(100.ms());
    let refused = proxy.answer(waits).refused();
    assert_eq!(refused.response.status, 503);
    assert_eq!(refused.challenge(), None);
    let retry: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&retry), "{retry}");
    assert_eq!(proxy.get("/orders", &old.token().sign()), "forwarded");
}

#[test]
fn a_rotation_is_a_non_event() {
    let (old, new) = (Signer::new("k1"), Signer::new("k2"));
    let mut proxy = Proxy::ready(&config(json!({})), &[&old]);
    proxy.advance(1.minutes());
    // The issuer publishes and signs with the new key at once.
    proxy.serve("idp", good(&jwks(&[&old, &new])));
    let waits = proxy.request(Request::get("/orders").bearer(&long(&new).sign())).waiting();
    assert_eq!(proxy.get("/orders", &long(&old).sign()), "forwarded");
    proxy.advance(100.ms());
    assert_eq!(proxy.answer(waits).tells(), "forwarded");
    assert_eq!(
        proxy.events(Level::Info).last(),
        Some(&"issuer corp: keys changed: 2 usable, 1 added (k2), 0 removed")
    );
    // Then it withdraws the old one.
    proxy.serve("idp", good(&jwks(&[&new])));
    proxy.advance(600.secs());
    assert_eq!(proxy.get("/orders", &long(&new).sign()), "forwarded");
    assert_eq!(
        proxy.events(Level::Info).last(),
        Some(&"issuer corp: keys changed: 1 usable, 0 added, 1 removed (k1)")
    );
    proxy.sleep(1.ms());
    let waits = proxy.request(Request::get("/orders").bearer(&long(&old).sign())).waiting();
    proxy.advance(3.secs());
    assert_eq!(proxy.answer(waits).tells(), "401 key_unknown");
}

#[test]
fn unusable_and_private_keys_are_told() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::new(&config(json!({})));
    let mut leaked = key.jwk();
    leaked["d"] = json!("c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I");
    proxy.serve("idp", good(&json!({ "keys": [leaked, { "kty": "RSA" }] }).to_string()));
    proxy.tick();
    let line = "issuer corp: keys changed: 1 usable, 1 added (k1), 0 removed, 1 not usable (keys[1]: `n` is missing); the document publishes PRIVATE key material: replace those keys";
    assert_eq!(proxy.events(Level::Warn), [line]);
    assert_eq!(proxy.get("/orders", &key.token().sign()), "forwarded");
}

/// An issuer that begins to publish private members is named in the log, though no key has changed.
#[test]
fn private_halves_of_known_keys_are_told_too() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&config(json!({})), &[&key]);
    let mut jwk = key.jwk();
    jwk["d"] = json!("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A");
    proxy.serve("idp", good(&json!({ "keys": [jwk] }).to_string()));
    proxy.advance_to_call("idp", 3);
    let line = "issuer corp: keys changed: 1 usable, 0 added, 0 removed; the document publishes PRIVATE key material: replace those keys";
    assert_eq!(proxy.events(Level::Warn), [line]);
    assert_eq!(proxy.get("/orders", &long(&key).sign()), "forwarded");
}

/// Envoy answers each call within its timeout. Should it ever not, a refresh still comes.
#[test]
fn a_reply_that_never_comes_is_given_up() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::new(&config(json!({})));
    proxy.tick();
    proxy.advance(14_900.ms());
    assert_eq!(proxy.calls("idp"), 1);
    proxy.advance(500.ms());
    let [0, again] = proxy.call_times()[..] else { panic!("{:?}", proxy.call_times()) };
    assert!((15_100..=15_400).contains(&again), "{again}");
    assert_eq!(proxy.counter(&fetches("lost")), 1);
    // Late, and its call is over: not taken for the answer to the call after it.
    proxy.reply(status(503));
    assert_eq!(proxy.counter(&fetches("status")), 0);
    proxy.reply(good(&jwks(&[&key])));
    assert_eq!(proxy.get("/orders", &key.token().sign()), "forwarded");
}

#[test]
fn a_reply_to_no_call_changes_nothing() {
    let (key, evil) = (Signer::new("k1"), Signer::new("evil"));
    let mut proxy = Proxy::ready(&config(json!({})), &[&key]);
    for id in [0, 1, u32::MAX] {
        proxy.hand_in(attache::base::CallId(id), good(&jwks(&[&evil])));
    }
    assert_eq!(proxy.get("/orders", &key.token().sign()), "forwarded");
    assert_eq!(proxy.get("/orders", &evil.token().sign()), "waiting");
}

#[test]
fn inline_keys_are_never_fetched_and_never_waited_for() {
    let (key, other) = (Signer::new("k1"), Signer::new("k2"));
    let inline = json!({ "keys": { "jwks": null, "inline": { "keys": [key.jwk()] } } });
    let mut proxy = Proxy::new(&config(json!({ "issuers": [issuer(inline)] })));
    assert_eq!(proxy.get("/orders", &key.token().sign()), "forwarded");
    assert_eq!(proxy.get("/orders", &other.token().sign()), "401 key_unknown");
    proxy.advance(1.hours());
    assert_eq!(proxy.calls("idp"), 0);
}

#[test]
fn unknown_kids_never_put_a_refresh_off() {
    let key = Signer::new("k1");
    let rare = json!({ "keys": { "jwks": { "refresh": "10s", "unknown_key_interval": "1h" } } });
    let mut proxy = Proxy::ready(&config(json!({ "issuers": [issuer(rare)] })), &[&key]);
    for _ in 0..30 {
        proxy.get("/orders", &key.named(Some("made-up")).token().sign());
        proxy.advance(1.secs());
    }
    assert_eq!(proxy.calls("idp"), 4);
}
