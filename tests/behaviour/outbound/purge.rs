//! A 401 of an upstream's purges the token once, and one upstream that refuses everything does not set the pace.

use serde_json::json;

use super::{carried, client_at, counted, document, numbered, ready, threads, to, with_clients};
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
