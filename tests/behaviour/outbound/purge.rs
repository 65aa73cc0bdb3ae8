//! A 401 of an upstream's purges the token once, and one upstream that refuses everything does not set the pace.

use attache::base::Level;
use serde_json::json;

use super::{
    carried, client, client_at, counted, document, gauge, numbered, ready, threads, to, with_clients,
};
use crate::proxy::{Forwarded, Proxy, Time as _, status};
use crate::threads::sealed;

#[track_caller]
fn sent(proxy: &mut Proxy) -> Forwarded {
    proxy.request(to("billing")).forwarded()
}

#[test]
fn a_401_purges_the_token_and_the_next_request_carries_a_new_one() {
    let (mut proxy, _) = ready(&document(json!({})));
    proxy.advance(10.secs());
    let request = sent(&mut proxy);
    proxy.upstream_answers(&request, 401);
    // It is asked for at once, since threads can be woken.
    assert_eq!(proxy.calls("idp"), 2);
    assert_eq!(carried(proxy.request(to("billing"))), numbered(2));
    proxy.tick();
    assert_eq!(proxy.counter(&counted("attache_token_purges_total", "result", "purged")), 1);
}

#[test]
fn a_request_that_comes_between_waits_for_the_new_token() {
    let (mut proxy, tokens) = ready(&document(json!({})));
    proxy.advance(10.secs());
    let request = sent(&mut proxy);
    tokens.fall_silent();
    proxy.upstream_answers(&request, 401);
    let waits = proxy.request(to("billing")).waiting();
    proxy.tick();
    assert_eq!(proxy.calls("idp"), 2);
    let answer = tokens.issue();
    proxy.reply(answer);
    assert_eq!(carried(proxy.answer(waits)), numbered(2));
}

#[test]
fn a_token_that_is_too_new_stays() {
    let (mut proxy, _) = ready(&document(json!({ "purge_interval": "20s" })));
    proxy.advance(19_900.ms());
    for _ in 0..50 {
        let request = sent(&mut proxy);
        proxy.upstream_answers(&request, 401);
    }
    proxy.tick();
    assert_eq!(proxy.calls("idp"), 1);
    assert_eq!(proxy.counter(&counted("attache_token_purges_total", "result", "retained")), 50);
    proxy.advance(100.ms());
    let request = sent(&mut proxy);
    proxy.upstream_answers(&request, 401);
    proxy.tick();
    assert_eq!(proxy.calls("idp"), 2);
}

#[test]
fn an_upstream_that_refuses_everything_costs_one_request_per_interval() {
    let (mut proxy, _) = ready(&document(json!({})));
    for _ in 0..600 {
        proxy.advance(100.ms());
        let request = sent(&mut proxy);
        proxy.upstream_answers(&request, 401);
    }
    assert!((6..=7).contains(&proxy.calls("idp")), "{}", proxy.calls("idp"));
}

#[test]
fn while_no_new_token_can_be_had_the_old_one_stays() {
    let (mut proxy, tokens) = ready(&document(json!({})));
    tokens.fail(status(503));
    proxy.advance(3400.secs());
    let request = sent(&mut proxy);
    proxy.upstream_answers(&request, 401);
    assert_eq!(carried(proxy.request(to("billing"))), numbered(1));
    proxy.tick();
    assert_eq!(proxy.counter(&counted("attache_token_purges_total", "result", "retained")), 1);
    assert_eq!(proxy.counter(&counted("attache_token_purges_total", "result", "purged")), 0);
}

#[test]
fn no_other_status_purges() {
    let (mut proxy, _) = ready(&document(json!({})));
    proxy.advance(1.minutes());
    for code in [200, 204, 302, 400, 403, 404, 407, 429, 500, 503, 0] {
        let request = sent(&mut proxy);
        proxy.upstream_answers(&request, code);
    }
    proxy.advance(1.secs());
    assert_eq!(proxy.calls("idp"), 1);
    assert!(proxy.counters().keys().all(|name| !name.contains("purges")));
}

#[test]
fn a_401_to_a_token_that_is_replaced_already_does_nothing() {
    let (mut proxy, _) = ready(&document(json!({})));
    proxy.advance(10.secs());
    let (first, second) = (sent(&mut proxy), sent(&mut proxy));
    proxy.upstream_answers(&first, 401);
    proxy.advance(30.secs());
    proxy.upstream_answers(&second, 401);
    proxy.tick();
    assert_eq!(proxy.calls("idp"), 2);
    assert_eq!(carried(proxy.request(to("billing"))), numbered(2));
    assert_eq!(proxy.counter(&counted("attache_token_purges_total", "result", "retained")), 0);
}

#[test]
fn a_401_counts_once_for_each_request() {
    let (mut proxy, _) = ready(&document(json!({})));
    proxy.advance(10.secs());
    let request = sent(&mut proxy);
    proxy.upstream_answers(&request, 200);
    proxy.upstream_answers(&request, 401);
    proxy.tick();
    assert_eq!(proxy.calls("idp"), 1);
}

#[test]
fn a_401_purges_no_other_clients_token() {
    let clients = [client_at("billing", "idp"), client_at("stock", "other")];
    let (mut proxy, _) = ready(&with_clients(&clients, json!({})));
    super::serve(&mut proxy, "other", &super::Tokens::new());
    proxy.advance(10.secs());
    let request = sent(&mut proxy);
    proxy.upstream_answers(&request, 401);
    proxy.tick();
    assert_eq!(proxy.calls("other"), 1);
    assert_eq!(proxy.calls("idp"), 2);
}

#[test]
fn four_threads_that_all_see_401_cause_one_request() {
    for is_slow in [false, true] {
        let (mut threads, tokens) = threads(&sealed(document(json!({})), "SEAL"), 4);
        threads.tick();
        threads.advance(10.secs());
        let requests: Vec<_> = (0..4).map(|number| sent(&mut threads[number])).collect();
        if is_slow {
            tokens.fall_silent();
        }
        for (number, request) in requests.iter().enumerate() {
            threads[number].upstream_answers(request, 401);
            if !is_slow {
                threads.deliver();
            }
        }
        threads.tick();
        assert_eq!(threads.calls("idp"), 2);
        if is_slow {
            threads.advance(1.secs());
            let answer = tokens.issue();
            threads.reply(answer);
        }
        for number in 0..4 {
            assert_eq!(carried(threads[number].request(to("billing"))), numbered(2));
        }
        threads.advance(1.minutes());
        assert_eq!(threads.calls("idp"), 2);
    }
}

/// That the token endpoint is down shows only when the next token is asked for.
#[test]
fn a_purged_token_comes_back_when_no_other_can_be_had() {
    let (mut proxy, tokens) = ready(&document(json!({})));
    proxy.advance(10.secs());
    let requests = [sent(&mut proxy), sent(&mut proxy)];
    tokens.fall_silent();
    proxy.upstream_answers(&requests[0], 401);
    // Once for each token.
    proxy.upstream_answers(&requests[1], 401);
    let waits = proxy.request(to("billing")).waiting();
    proxy.reply(status(503));
    assert_eq!(carried(proxy.answer(waits)), numbered(1), "it is better than none");
    let request = sent(&mut proxy);
    proxy.upstream_answers(&request, 401);
    assert_eq!(carried(proxy.request(to("billing"))), numbered(1));
    proxy.tick();
    assert_eq!(proxy.counter(&counted("attache_token_purges_total", "result", "purged")), 1);
    assert_eq!(proxy.counter(&counted("attache_token_purges_total", "result", "retained")), 1);
    assert_eq!(proxy.gauge(&gauge("attache_token_request_failures")), Some(1));
    tokens.recover();
    proxy.advance(1.secs());
    assert_eq!(carried(proxy.request(to("billing"))), numbered(2));
}

#[test]
fn a_purged_token_comes_back_for_no_longer_than_it_lives() {
    let (mut proxy, tokens) = ready(&document(json!({})));
    tokens.fail(status(503));
    proxy.advance(10.secs());
    let request = sent(&mut proxy);
    proxy.upstream_answers(&request, 401);
    assert_eq!(carried(proxy.request(to("billing"))), numbered(1));
    proxy.advance(3574.secs());
    assert_eq!(carried(proxy.request(to("billing"))), numbered(1));
    proxy.advance(2.secs());
    assert_ne!(proxy.request(to("billing")).tells(), "forwarded");
    assert_eq!(proxy.gauge(&gauge("attache_token_margin_left_percent")), Some(0));
}

/// Another client's failures open the circuit breaker before the next token could be asked for.
#[test]
fn a_purged_token_comes_back_when_the_breaker_keeps_the_next_one_away() {
    let clients = [client("billing", json!({})), client("stock", json!({ "obtain": "on_demand" }))];
    let (mut threads, tokens) = threads(&sealed(with_clients(&clients, json!({})), "SEAL"), 2);
    threads.tick();
    threads.advance(10.secs());
    let request = sent(&mut threads[0]);
    tokens.fail(status(503));
    let _ = threads[1].request(to("stock"));
    for _ in 0..60 {
        threads.pass(100.ms());
        threads[1].tick();
    }
    assert!(threads[1].logs(Level::Warn).iter().any(|line| line.contains("circuit breaker")));
    // This thread has not heard of it.
    threads[0].upstream_answers(&request, 401);
    threads.tick();
    assert_eq!(carried(threads[0].request(to("billing"))), numbered(1));
}

/// The thread that sets the gauges had no 401, and has tried nothing.
#[test]
fn the_gauges_show_what_another_threads_401_has_led_to() {
    let (mut threads, tokens) = threads(&sealed(document(json!({})), "SEAL"), 3);
    threads.tick();
    threads.advance(10.secs());
    let requests: Vec<_> = (0..3).map(|number| sent(&mut threads[number])).collect();
    tokens.fail(status(503));
    threads[2].upstream_answers(&requests[2], 401);
    threads.deliver();
    threads.advance(2.secs());
    assert!(threads[0].gauge(&gauge(FAILURES)).unwrap() >= 2);
    threads.advance(10.secs());
    assert!(threads[0].gauge(&gauge(BREAKER)).unwrap() >= 1, "it is open, or lets a probe through");
    // And no other thread purges a token while it is known that there is no other.
    for number in 0..2 {
        threads[number].upstream_answers(&requests[number], 401);
        threads.deliver();
        threads[number].tick();
        assert_eq!(threads[number].counter(&counted(PURGES, "result", "purged")), 0);
        assert_eq!(threads[number].counter(&counted(PURGES, "result", "retained")), 1);
    }
    for number in 0..3 {
        assert_eq!(carried(threads[number].request(to("billing"))), numbered(1));
    }
    tokens.recover();
    threads.advance(60.secs());
    assert_eq!([FAILURES, BREAKER].map(|metric| threads[0].gauge(&gauge(metric))), [Some(0); 2]);
    for number in 0..3 {
        assert_eq!(carried(threads[number].request(to("billing"))), numbered(2));
    }
}

/// The threads' tokens are their own, and the endpoint's circuit breaker is not.
#[test]
fn the_gauges_show_the_breaker_that_another_thread_has_opened() {
    let (mut threads, tokens) = threads(&document(json!({})), 2);
    threads.tick();
    threads.advance(10.secs());
    let request = sent(&mut threads[1]);
    tokens.fail(status(503));
    threads[1].upstream_answers(&request, 401);
    threads.advance(10.secs());
    assert!(threads[0].gauge(&gauge(BREAKER)).unwrap() >= 1);
    tokens.recover();
    threads.advance(60.secs());
    assert_eq!(threads[0].gauge(&gauge(BREAKER)), Some(0));
}

/// Each has had its 401, one asks for the next token, and all learn of its failure.
#[test]
fn requests_that_wait_in_any_thread_go_on_with_the_purged_token_when_no_other_can_be_had() {
    let (mut threads, tokens) = threads(&sealed(document(json!({})), "SEAL"), 3);
    threads.tick();
    threads.advance(10.secs());
    let requests: Vec<_> = (0..3).map(|number| sent(&mut threads[number])).collect();
    tokens.fall_silent();
    let mut waits = Vec::new();
    for (number, request) in requests.iter().enumerate() {
        threads[number].upstream_answers(request, 401);
        waits.push(threads[number].request(to("billing")).waiting());
    }
    threads.tick();
    assert_eq!(threads.calls("idp"), 2);
    threads.reply(status(503));
    for (number, stream) in waits.into_iter().enumerate() {
        assert_eq!(carried(threads[number].answer(stream)), numbered(1), "thread {number}");
    }
}

const BREAKER: &str = "attache_token_endpoint_breaker";
const FAILURES: &str = "attache_token_request_failures";
const PURGES: &str = "attache_token_purges_total";
