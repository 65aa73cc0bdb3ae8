//! Whatever a token endpoint does: it is asked again in time and not too often, the operator is told once, and nothing traps.

use attache::base::{Headers, HttpReply, Level};
use base64ct::Encoding as _;
use serde_json::{Value, json};

use super::{
    Tokens, carried, client, client_at, counted, counted_of, document, gauge, keep_secrets, numbered, proxy,
    ready, serve, threads, to, with_clients,
};
use crate::proxy::{Proxy, START, Time as _, good, local_reply, status, with};
use crate::threads::{Lease, sealed};

const BREAKER: &str = "attache_token_endpoint_breaker";

fn pauses(proxy: &Proxy) -> Vec<u64> {
    proxy.call_times().windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// An error of OAuth's.
fn error(code: u16, name: &str) -> HttpReply {
    let body = json!({ "error": name, "error_description": "hunter2 is wrong" }).to_string();
    HttpReply::Response { status: code, headers: Headers::default(), body: Ok(body.into_bytes()) }
}

/// A document whose breaker never opens.
fn without_breaker() -> Value {
    document(json!({ "breaker": { "failures": 100 } }))
}

#[test]
fn pauses_grow_and_stay_within_their_bounds() {
    let (mut proxy, tokens) = proxy(&without_breaker());
    tokens.fail(status(500));
    for _ in 0..6 {
        proxy.advance(100.secs());
    }
    let pauses = pauses(&proxy);
    assert!(pauses.len() > 20, "{pauses:?}");
    for (index, pause) in pauses.iter().enumerate() {
        let longest = (250 << index.min(7)).min(30_000);
        assert!((longest / 2..=longest + 100).contains(pause), "{index}: {pauses:?}");
    }
    tokens.recover();
    proxy.advance(31.secs());
    assert_eq!(carried(proxy.request(to("billing"))), numbered(1));
}

#[test]
fn a_server_that_wants_to_be_left_alone_is_within_reason() {
    for (value, pause) in [
        ("20", 20_000),
        ("0", 0),
        ("Fri, 15 Jan 2027 08:00:45 GMT", 45_000),
        ("99999999999999999999", 0),
        ("86400", 600_000),
        ("-5", 0),
        ("soon", 0),
        ("Fri, 15 Jan 1999 08:00:45 GMT", 0),
    ] {
        for code in [429, 503] {
            let (mut proxy, tokens) = proxy(&document(json!({})));
            tokens.fail(with(status(code), &[("retry-after", value)]));
            proxy.tick();
            proxy.advance(100.ms());
            tokens.recover();
            for _ in 0..70 {
                proxy.advance(10.secs());
            }
            let times = proxy.call_times();
            // The longest that is heeded at all is ten minutes.
            let expected =
                if value.len() == 20 { 0..=600_100 } else { pause.max(125)..=pause.max(250) + 100 };
            assert!(expected.contains(&times[1]), "{value}: {times:?}");
        }
    }
}

#[test]
fn a_breaker_opens_for_all_clients_of_its_endpoint_and_for_no_other() {
    let clients = [client("billing", json!({})), client("stock", json!({})), client_at("third", "elsewhere")];
    let (mut proxy, tokens) = proxy(&with_clients(&clients, json!({})));
    let others = Tokens::new();
    serve(&mut proxy, "elsewhere", &others);
    tokens.fail(status(502));
    proxy.advance(3.secs());
    // Five in a row, of whichever client.
    assert_eq!(proxy.calls("idp"), 5);
    proxy.tick();
    let of = |client: &str| format!("client=.={client};.;{BREAKER}");
    assert_eq!((proxy.gauge(&of("billing")), proxy.gauge(&of("stock"))), (Some(2), Some(2)));
    assert_eq!(proxy.gauge(&of("third")), Some(0));
    assert_eq!(carried(proxy.request(to("third"))), numbered(1));
    assert_ne!(proxy.request(to("billing")).tells(), "forwarded");
    let lines = proxy.logs(Level::Warn);
    assert_eq!(lines.iter().filter(|line| line.contains("circuit breaker opened")).count(), 1, "{lines:?}");
}

#[test]
fn an_open_breaker_lets_one_probe_through_and_closes_when_it_succeeds() {
    let clients = [client("billing", json!({})), client("stock", json!({}))];
    let (mut proxy, tokens) =
        proxy(&with_clients(&clients, json!({ "breaker": { "failures": 2, "open_duration": "3s" } })));
    tokens.fail(status(503));
    proxy.tick();
    assert_eq!(proxy.calls("idp"), 2);
    let opened = proxy.now();
    tokens.fall_silent();
    proxy.advance_to_call("idp", 3);
    assert!((3.secs()..=3_700.ms()).contains(&proxy.now().since(opened)));
    proxy.advance(3.secs());
    assert_eq!(proxy.calls("idp"), 3, "one at a time");
    assert_eq!(proxy.gauge(&gauge(BREAKER)), Some(1));
    // A probe that fails opens it for twice as long.
    proxy.reply(status(503));
    let failed = proxy.now();
    proxy.advance(100.ms());
    assert_eq!(proxy.gauge(&gauge(BREAKER)), Some(2));
    proxy.advance_to_call("idp", 4);
    assert!((6.secs()..=7_300.ms()).contains(&proxy.now().since(failed)));
    let answer = tokens.issue();
    proxy.reply(answer);
    proxy.advance(100.ms());
    assert_eq!(proxy.gauge(&gauge(BREAKER)), Some(0));
    assert!(
        proxy
            .logs(Level::Info)
            .iter()
            .any(|line| line
                .ends_with("circuit breaker closed; https://idp.example/token through cluster idp"))
    );
    tokens.recover();
    proxy.advance(31.secs());
    for client in ["billing", "stock"] {
        assert_eq!(proxy.request(to(client)).tells(), "forwarded");
    }
}

#[test]
fn an_endpoint_that_is_back_is_found_within_a_minute_and_a_bit() {
    let (mut proxy, tokens) = proxy(&document(json!({})));
    tokens.fail(HttpReply::Reset);
    proxy.advance(2.hours());
    tokens.recover();
    proxy.advance(67.secs());
    assert_eq!(carried(proxy.request(to("billing"))), numbered(1));
}

#[test]
fn a_breaker_counts_over_all_threads() {
    let (mut threads, tokens) = threads(&sealed(document(json!({})), "SEAL"), 4);
    tokens.fail(status(503));
    threads.advance(1.minutes());
    let calls = threads.calls("idp");
    // Five, and then probes after 5, 10, 20 and 30 s.
    assert!((7..=9).contains(&calls), "{:?}", threads.call_times());
    tokens.recover();
    threads.advance(67.secs());
    assert_eq!(threads.calls("idp"), calls + 1);
    for number in 0..4 {
        assert_eq!(carried(threads[number].request(to("billing"))), numbered(1));
    }
}

/// Without a seal threads share no token, and know together that an endpoint is down.
#[test]
fn threads_that_share_no_token_share_the_breaker() {
    let (mut threads, tokens) = threads(&document(json!({})), 8);
    tokens.fail(status(503));
    threads.tick();
    assert_eq!(threads.calls("idp"), 5);
    threads.advance(1.minutes());
    assert!(threads.calls("idp") <= 10, "{:?}", threads.call_times());
}

/// Another module writes the longest pause that a lease may hold; a breaker's are never that long.
#[test]
fn a_forged_pause_keeps_no_thread_from_a_token_for_long() {
    let (mut threads, _) = threads(&document(json!({})), 1);
    let lease = Lease {
        holder: 0,
        until: 0,
        sent: threads.ago(0.secs()),
        failures: 100,
        not_before: threads.ahead(599.secs()),
        published: 0,
    };
    threads.forge_lease(&lease);
    threads.advance(40.secs());
    assert_eq!(threads[0].request(to("billing")).tells(), "forwarded");
}

/// The memory takes no writes any more while the breaker is open.
#[test]
fn memory_that_keeps_no_lease_keeps_no_thread_from_a_token() {
    let (mut threads, tokens) = threads(&sealed(document(json!({})), "SEAL"), 2);
    tokens.fail(status(503));
    threads.advance(10.secs());
    threads.memory.take_no_writes();
    tokens.recover();
    threads.advance(2.minutes());
    for number in 0..2 {
        assert_eq!(threads[number].request(to("billing")).tells(), "forwarded");
    }
}

#[test]
fn a_clock_that_is_set_back_keeps_no_breaker_open() {
    let (mut threads, tokens) = threads(&sealed(document(json!({})), "SEAL"), 2);
    tokens.fail(status(503));
    threads.advance(2.minutes());
    for by in [5.minutes(), 5.hours()] {
        threads.set_back(by);
        threads.advance(2.minutes());
    }
    tokens.recover();
    threads.advance(67.secs());
    assert_eq!(threads[0].request(to("billing")).tells(), "forwarded");
}

/// Nor a pause that the threads have told each other by the old clock.
#[test]
fn a_clock_that_is_set_back_makes_no_pause_longer() {
    for by in [10.secs(), 2.minutes(), 9.minutes(), 3.hours()] {
        let (mut threads, tokens) = threads(&sealed(document(json!({})), "SEAL"), 4);
        tokens.fail(status(503));
        threads.advance(500.ms());
        threads.set_back(by);
        tokens.recover();
        threads.advance(20.secs());
        for number in 0..4 {
            assert_eq!(threads[number].request(to("billing")).tells(), "forwarded", "{by:?}");
        }
        // And a pause by the new one holds all of them.
        let calls = threads.calls("idp");
        tokens.fail(with(status(503), &[("retry-after", "600")]));
        threads.advance(61.minutes());
        assert!(threads.calls("idp") - calls <= 2, "{:?}", threads.call_times());
    }
}

#[test]
fn credentials_that_are_refused_are_tried_again_once_a_minute_and_told_ever_less() {
    for code in [400, 401] {
        let (mut proxy, tokens) = proxy(&document(json!({})));
        tokens.fail(error(code, "invalid_client"));
        proxy.advance(1.hours());
        assert!((55..=61).contains(&proxy.calls("idp")), "{}", proxy.calls("idp"));
        assert!(pauses(&proxy).iter().all(|pause| *pause >= 60_000));
        let line = |n: u32| {
            format!(
                "client billing: no token ({n} in a row): the server says `invalid_client`: check `client_id`, the secret or key, and the way of authentication"
            )
        };
        assert_eq!(proxy.events(Level::Error), [line(1), line(2), line(4), line(8), line(16), line(32)]);
        // It answers: it is not down.
        assert_eq!(proxy.gauge(&gauge(BREAKER)), Some(0));
        assert!(proxy.counter(&counted("attache_token_requests_total", "result", "invalid_client")) >= 55);
        proxy.advance_to_call("idp", proxy.calls("idp") + 1);
        assert_eq!(proxy.request(to("billing")).tells(), "503 token_unavailable");
        // Mended at the server: no restart.
        tokens.recover();
        proxy.advance(61.secs());
        assert_eq!(carried(proxy.request(to("billing"))), numbered(1));
        let lines = proxy.logs(Level::Info);
        assert!(
            lines.last().unwrap().contains("client billing: a token for 60 min again after"),
            "{lines:?}"
        );
    }
}

#[test]
fn one_clients_wrong_secret_is_no_matter_to_another_client_of_the_endpoint() {
    let clients = [client("billing", json!({})), client("stock", json!({}))];
    let mut proxy = Proxy::new(&with_clients(&clients, json!({ "breaker": { "failures": 1 } })));
    keep_secrets(&mut proxy);
    let tokens = Tokens::new();
    proxy.script("idp", move |call| {
        let header = super::header(call, "authorization");
        let pair = base64ct::Base64::decode_vec(header.strip_prefix("Basic ").unwrap()).unwrap();
        if pair.starts_with(b"stock:") { tokens.answer(call) } else { Some(error(401, "invalid_client")) }
    });
    proxy.advance(10.secs());
    assert_eq!(proxy.request(to("stock")).tells(), "forwarded");
    assert_eq!(proxy.request(to("billing")).tells(), "503 token_unavailable");
    let result = counted_of("billing", "attache_token_requests_total", "result", "invalid_client");
    assert_eq!(proxy.counter(&result), 1);
}

/// Whatever an endpoint answers: a line with the client's name, a counter, no token, no trap; and then it works again.
#[test]
fn every_malformed_answer_is_told_and_got_over() {
    let token = |members: &str| good(&format!(r#"{{"access_token":"t",{members}"x":1}}"#));
    let long = "x".repeat(17 * 1024);
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let too_large = HttpReply::Response { status: 200, headers: Headers::default(), body: Err(10_000_000) };
    for (reply, label) in [
        (good(""), "malformed"),
        (good("null"), "malformed"),
        (good("[]"), "malformed"),
        (good("\u{feff}{}"), "malformed"),
        (good(&deep), "malformed"),
        (good(r#"{"access_token":"a","access_token":"b","token_type":"Bearer"}"#), "malformed"),
        (good("access_token=t&token_type=bearer"), "malformed"),
        (good("<!doctype html><p>maintenance"), "markup"),
        (good("{}"), "token_missing"),
        (good(r#"{"access_token":"","token_type":"Bearer"}"#), "token_missing"),
        (good(r#"{"access_token":null,"token_type":"Bearer"}"#), "token_missing"),
        (good(r#"{"access_token":{"a":1},"token_type":"Bearer"}"#), "token_missing"),
        (good(r#"{"access_token":"a\r\nx: y","token_type":"Bearer"}"#), "token_characters"),
        (good(r#"{"access_token":"a b","token_type":"Bearer"}"#), "token_characters"),
        (good(r#"{"access_token":"ä","token_type":"Bearer"}"#), "token_characters"),
        (good(&format!(r#"{{"access_token":"{long}","token_type":"Bearer"}}"#)), "token_too_long"),
        (good(r#"{"access_token":"a,b","token_type":"Bearer"}"#), "token_characters"),
        (token(r#""token_type":"DPoP","#), "token_type"),
        (token(r#""token_type":7,"#), "token_type"),
        (token(r#""token_type":"Bearer","expires_in":"soon","#), "expires_in"),
        (token(r#""token_type":"Bearer","expires_in":0,"#), "expired_at_issue"),
        (good(&" ".repeat(70_000)), "too_large"),
        (too_large, "too_large"),
        (good(r#"{"error":"invalid_scope"}"#), "invalid_scope"),
        (error(400, "something_new"), "other_error"),
        (error(400, "invalid_target"), "invalid_target"),
        (error(400, "unauthorized_client"), "unauthorized_client"),
        (error(503, "invalid_client"), "status"),
        (status(0), "status"),
        (status(204), "status"),
        (status(302), "status"),
        (status(404), "status"),
        (status(429), "too_many_requests"),
        (HttpReply::Reset, "reset"),
        (HttpReply::NotSent, "not_sent"),
        (HttpReply::ClusterUnknown, "cluster_unknown"),
        (local_reply(503, "upstream connect error or disconnect/reset before headers. x"), "not_reached"),
    ] {
        let (mut proxy, tokens) = proxy(&document(json!({})));
        tokens.fail(reply.clone());
        proxy.tick();
        let waits = proxy.request(to("billing"));
        assert_ne!(waits.tells(), "forwarded", "{label}");
        proxy.tick();
        let lines = proxy.logs(Level::Warn);
        assert_eq!(lines.len(), 1, "{label}: {lines:?}");
        assert!(lines[0].starts_with("client billing: no token (1 in a row): "), "{lines:?}");
        assert!(!lines[0].contains("hunter2"));
        assert_eq!(
            proxy.counter(&counted("attache_token_requests_total", "result", label)),
            1,
            "{:?}",
            proxy.counters()
        );
        tokens.recover();
        proxy.advance(61.secs());
        assert_eq!(carried(proxy.request(to("billing"))), numbered(1), "{label}");
    }
}

/// What servers and the proxies before them make of RFC 6749 §5.1, and mean no harm by.
#[test]
fn a_careless_answer_that_holds_a_token_is_taken() {
    let token = |code: u16, members: &str| HttpReply::Response {
        status: code,
        headers: Headers::default(),
        body: Ok(format!(r#"{{"access_token":"t0",{members}"expires_in":3600}}"#).into_bytes()),
    };
    for reply in [
        token(203, r#""token_type":"Bearer","#),
        token(201, r#""token_type":"bearer","#),
        token(200, ""),
        token(200, r#""token_type":null,"#),
        token(200, r#""token_type":"Bearer ","#),
    ] {
        let (mut proxy, tokens) = proxy(&document(json!({})));
        tokens.fail(reply.clone());
        proxy.tick();
        assert_eq!(carried(proxy.request(to("billing"))), "t0", "{reply:?}");
        proxy.advance(1.minutes());
        assert_eq!(proxy.calls("idp"), 1, "{reply:?}");
        assert_eq!(proxy.gauge(&gauge(BREAKER)), Some(0));
    }
}

/// A server does not say by chance that its tokens want proofs.
#[test]
fn a_token_of_another_type_is_told_with_its_word_and_asked_for_once_a_minute() {
    let answer = |token_type: &str| {
        good(&json!({ "access_token": "t0", "token_type": token_type, "expires_in": 3600 }).to_string())
    };
    let (mut refusing, tokens) = proxy(&document(json!({})));
    tokens.fail(answer("BearerToken"));
    refusing.advance(10.minutes());
    assert!((10..=11).contains(&refusing.calls("idp")), "{:?}", refusing.call_times());
    assert_eq!(
        refusing.events(Level::Error)[0],
        "client billing: no token (1 in a row): the `token_type` is `BearerToken`: it is neither Bearer nor one of the client's `token_types`"
    );
    assert_eq!(refusing.gauge(&gauge(BREAKER)), Some(0));
    assert!(refusing.counter(&counted("attache_token_requests_total", "result", "token_type")) >= 10);
    // No word of the server's labels a metric, and none that holds a secret is told.
    assert!(!format!("{:?}", refusing.counters()).contains("BearerToken"));
    let (mut leaking, tokens) = proxy(&document(json!({})));
    tokens.fail(answer("hunter2"));
    leaking.tick();
    assert!(leaking.logs(Level::Error)[0].contains("the `token_type` is another: "));

    let own = client("billing", json!({ "token_types": ["bearertoken"] }));
    let (mut taking, tokens) = proxy(&with_clients(&[own], json!({})));
    tokens.fail(answer("BearerToken"));
    taking.tick();
    assert_eq!(carried(taking.request(to("billing"))), "t0");
}

#[test]
fn a_refusal_in_the_servers_own_words_is_told_with_them() {
    let (mut proxy, tokens) = proxy(&document(json!({})));
    let body = json!({ "error": "consent_required", "error_codes": [65001], "error_description": "hunter2" });
    tokens.fail(HttpReply::Response {
        status: 400,
        headers: Headers::default(),
        body: Ok(body.to_string().into_bytes()),
    });
    proxy.tick();
    assert_eq!(
        proxy.events(Level::Error),
        [
            "client billing: no token (1 in a row): the server says `consent_required` (65001): see its documentation"
        ]
    );
    proxy.tick();
    assert_eq!(proxy.counter(&counted("attache_token_requests_total", "result", "other_error")), 1);
}

#[test]
fn a_call_that_the_host_loses_is_given_up_and_made_again() {
    let (mut proxy, tokens) = proxy(&document(json!({})));
    tokens.fall_silent();
    proxy.tick();
    tokens.recover();
    proxy.advance(14_900.ms());
    assert_eq!(proxy.calls("idp"), 1);
    proxy.advance(500.ms());
    assert_eq!(carried(proxy.request(to("billing"))), numbered(1));
    // Its answer comes after all, and no call waits for it.
    let answer = tokens.issue();
    proxy.reply(answer);
    assert_eq!(carried(proxy.request(to("billing"))), numbered(1));
}

#[test]
fn a_cluster_that_comes_late_is_used_within_a_second_or_so() {
    let (mut proxy, tokens) = proxy(&document(json!({})));
    tokens.fail(HttpReply::NotSent);
    proxy.advance(2.minutes());
    tokens.recover();
    proxy.advance(1_100.ms());
    assert_eq!(carried(proxy.request(to("billing"))), numbered(1));
}

#[test]
fn a_renewal_that_fails_takes_no_token_away() {
    let (mut proxy, tokens) = ready(&document(json!({})));
    tokens.fail(error(400, "invalid_scope"));
    proxy.advance(58.minutes());
    assert!(proxy.calls("idp") > 1);
    assert_eq!(carried(proxy.request(to("billing"))), numbered(1));
}

/// A minute's pause after a refusal would outlast what is left of a short token, or of one whose secret is mended at the last moment.
#[test]
fn while_a_token_serves_no_pause_is_longer_than_half_of_what_is_left_of_it() {
    for (lifetime, reply) in [
        (60, error(401, "invalid_client")),
        (300, error(400, "invalid_scope")),
        (3600, error(400, "unauthorized_client")),
        (600, good(r#"{"access_token":"t","token_type":"DPoP"}"#)),
        (3600, status(500)),
        (120, status(429)),
    ] {
        let (mut proxy, tokens) = proxy(&without_breaker());
        tokens.live(lifetime);
        proxy.tick();
        tokens.fail(reply.clone());
        let ends = proxy.now();
        let serves = |proxy: &mut Proxy| proxy.request(to("billing")).tells() == "forwarded";
        while serves(&mut proxy) {
            proxy.advance(100.ms());
        }
        let until = u64::try_from(proxy.now().since(ends).as_millis()).unwrap();
        let times = proxy.call_times();
        let tries = &times[1..];
        let start = times[0];
        for pair in tries.windows(2) {
            let left = (start + until).saturating_sub(pair[0]);
            // A tick comes every 100 ms, and no server is asked more often than four times a second.
            assert!(pair[1] - pair[0] <= (left / 2).max(250) + 100, "{lifetime}: {times:?}");
        }
        let last = tries.iter().filter(|time| **time < start + until).max().unwrap();
        assert!(start + until - last <= 700, "a try before its end, {lifetime}: {until} {times:?}");
        assert!(tries.len() <= 30, "{lifetime}: {times:?}");
    }
}

/// What a server asks for goes before: it may be in trouble, and our next tries its worst.
#[test]
fn a_server_that_wants_to_be_left_alone_is_also_while_a_token_serves() {
    for code in [401, 429, 503] {
        let (mut proxy, tokens) = proxy(&without_breaker());
        tokens.live(120);
        proxy.tick();
        tokens.fail(with(status(code), &[("retry-after", "600")]));
        proxy.advance(9.minutes());
        assert_eq!(proxy.calls("idp"), 2, "{:?}", proxy.call_times());
        tokens.recover();
        proxy.advance(3.minutes());
        assert_eq!(proxy.request(to("billing")).tells(), "forwarded");
    }
}

#[test]
fn a_secret_that_is_right_again_before_the_token_ends_costs_no_request() {
    for before_its_end in [20, 10, 4, 2] {
        let (mut proxy, tokens) = proxy(&document(json!({})));
        tokens.live(300);
        proxy.tick();
        tokens.fail(error(401, "invalid_client"));
        // A token is used until fifteen seconds before it expires.
        let until = 285 - before_its_end;
        proxy.advance(until.secs());
        tokens.recover();
        for _ in 0..600 {
            assert_eq!(proxy.request(to("billing")).tells(), "forwarded", "{before_its_end}");
            proxy.advance(100.ms());
        }
        assert!(proxy.calls("idp") <= 15, "{:?}", proxy.call_times());
    }
}

/// The thread that holds the lease tells the others when it is worth a try: they do not wait for longer either.
#[test]
fn all_threads_try_again_while_the_token_serves() {
    let (mut threads, tokens) = threads(&sealed(document(json!({})), "SEAL"), 4);
    tokens.live(300);
    threads.advance(1.secs());
    tokens.fail(error(401, "invalid_client"));
    threads.advance(270.secs());
    let calls = threads.calls("idp");
    assert!(calls <= 10, "{:?}", threads.call_times());
    tokens.recover();
    for second in 0..60 {
        threads.advance(1.secs());
        for number in 0..4 {
            assert_eq!(threads[number].request(to("billing")).tells(), "forwarded", "{number} at {second}");
        }
    }
}

const ISSUER: &str = "https://idp.example";

fn discovered() -> Value {
    let discovery = json!({ "token_endpoint": null,
        "discovery": { "issuer": ISSUER, "cluster": "meta", "token_cluster": "idp" } });
    with_clients(&[client("billing", discovery)], json!({}))
}

fn metadata(issuer: &str, endpoint: &str) -> HttpReply {
    good(
        &json!({ "issuer": issuer, "token_endpoint": endpoint, "jwks_uri": "https://idp.example/jwks" })
            .to_string(),
    )
}

#[test]
fn the_metadata_names_the_endpoint() {
    let (mut proxy, tokens) = proxy(&discovered());
    let waits = proxy.request(to("billing")).waiting();
    proxy.serve("meta", metadata(ISSUER, "https://login.example/oauth/token"));
    proxy.advance(300.ms());
    assert_eq!(carried(proxy.answer(waits)), numbered(1));
    let asked = &tokens.asked()[0];
    assert_eq!(super::header(asked, ":authority"), "login.example");
    assert_eq!(super::header(asked, ":path"), "/oauth/token");
    assert_eq!(&*asked.cluster, "idp");
}

#[test]
fn metadata_of_another_issuer_or_without_tls_sends_no_secret_anywhere() {
    for reply in [
        metadata("https://evil.example", "https://idp.example/token"),
        metadata(ISSUER, "http://idp.example/token"),
        good("{}"),
        status(500),
    ] {
        let (mut proxy, tokens) = proxy(&discovered());
        proxy.serve("meta", reply);
        proxy.advance(1.minutes());
        assert_eq!(proxy.calls("idp"), 0);
        assert_eq!(tokens.issued(), 0);
        assert!(!proxy.logs(Level::Warn).is_empty());
        assert_eq!(proxy.request(to("billing")).refused().response.status, 503);
        proxy.serve("meta", metadata(ISSUER, "https://idp.example/token"));
        proxy.advance(31.secs());
        assert_eq!(carried(proxy.request(to("billing"))), numbered(1));
    }
    assert_eq!(START, 1_800_000_000);
}
