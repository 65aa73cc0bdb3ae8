//! Tokens are there before they are needed, serve until their end and never after, and are not asked for in a loop.

use std::time::Duration;

use attache::base::Level;
use serde_json::{Value, json};

use super::{
    Tokens, carried, client, client_at, counted, document, gauge, numbered, proxy, ready, serve, to,
    with_clients,
};
use crate::proxy::{Proxy, START, Signer, Time as _, good, status, with};

const EXPIRY: &str = "attache_token_seconds_to_expiry";

#[test]
fn a_token_is_there_before_the_first_request() {
    let (mut proxy, tokens) = proxy(&document(json!({})));
    proxy.tick();
    assert_eq!(proxy.calls("idp"), 1);
    assert_eq!(carried(proxy.request(to("billing"))), numbered(1));
    proxy.tick();
    assert_eq!(proxy.gauge(&gauge(EXPIRY)), Some(3600));
    assert_eq!(proxy.counter(&counted("attache_injections_total", "outcome", "injected")), 1);
    assert_eq!(proxy.counter(&counted("attache_token_requests_total", "result", "obtained")), 1);
    assert_eq!(tokens.issued(), 1);
}

#[test]
fn on_demand_nothing_is_asked_for_until_a_request_needs_it() {
    let (mut proxy, _) =
        proxy(&with_clients(&[client("billing", json!({ "obtain": "on_demand" }))], json!({})));
    proxy.advance(1.hours());
    assert_eq!(proxy.calls("idp"), 0);
    let waits = proxy.request(to("billing")).waiting();
    proxy.advance(100.ms());
    assert_eq!(carried(proxy.answer(waits)), numbered(1));
    assert_eq!(proxy.calls("idp"), 1);
}

#[test]
fn on_demand_a_token_that_no_request_uses_is_let_go_without_a_word() {
    let (mut proxy, _) =
        proxy(&with_clients(&[client("billing", json!({ "obtain": "on_demand" }))], json!({})));
    proxy.request(to("billing")).waiting();
    proxy.advance(5.hours());
    // It is renewed once, since it has been used.
    assert_eq!(proxy.calls("idp"), 2);
    assert_eq!(proxy.logs(Level::Warn), [""; 0]);
    assert_eq!(proxy.gauge(&gauge(EXPIRY)), Some(0));
    // The next request that needs one waits for it once.
    let waits = proxy.request(to("billing")).waiting();
    proxy.tick();
    assert_eq!(carried(proxy.answer(waits)), numbered(3));
}

#[test]
fn on_demand_a_token_that_is_used_is_kept_fresh() {
    let (mut proxy, _) =
        proxy(&with_clients(&[client("billing", json!({ "obtain": "on_demand" }))], json!({})));
    proxy.request(to("billing")).waiting();
    proxy.tick();
    for _ in 0..10 {
        proxy.advance(20.minutes());
        carried(proxy.request(to("billing")));
    }
    // Every 54 minutes or so.
    assert!((3..=4).contains(&proxy.calls("idp")), "{}", proxy.calls("idp"));
}

#[test]
fn all_who_wait_for_the_first_token_are_let_go_when_it_comes() {
    let (mut proxy, tokens) = proxy(&document(json!({})));
    tokens.fall_silent();
    let waits: Vec<_> = (0..200).map(|_| proxy.request(to("billing")).waiting()).collect();
    proxy.advance(2.secs());
    assert_eq!((proxy.calls("idp"), proxy.waiting()), (1, 200));
    let answer = tokens.issue();
    proxy.reply(answer);
    proxy.advance(700.ms());
    for stream in waits {
        assert_eq!(carried(proxy.answer(stream)), numbered(1));
    }
    assert_eq!(proxy.gauge("attache_requests_waiting_for_tokens"), Some(0));
}

#[test]
fn a_token_that_does_not_come_is_503_with_retry_after_and_never_401() {
    let (mut proxy, tokens) = proxy(&document(json!({ "waiting": { "deadline": "2s" } })));
    tokens.fall_silent();
    let waits = proxy.request(to("billing")).waiting();
    proxy.advance(1900.ms());
    assert_eq!(proxy.answer(waits).tells(), "waiting");
    proxy.advance(100.ms());
    let refused = proxy.answer(waits).refused();
    assert_eq!(refused.response.status, 503);
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    assert_eq!(refused.challenge(), None);
    assert_eq!(refused.annotation, "outcome=deny reason=token_unavailable client=billing");
    proxy.tick();
    assert_eq!(proxy.counter(&counted("attache_injections_total", "outcome", "token_unavailable")), 1);
}

#[test]
fn as_many_wait_as_may_and_one_more_is_refused_at_once() {
    let (mut proxy, tokens) = proxy(&document(json!({ "waiting": { "requests": 3 } })));
    tokens.fall_silent();
    for _ in 0..3 {
        proxy.request(to("billing")).waiting();
    }
    let refused = proxy.request(to("billing")).refused();
    assert_eq!(refused.response.status, 503);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.annotation, "outcome=deny reason=token_waiting_full client=billing");
    assert_eq!(proxy.waiting(), 3);
}

#[test]
fn a_place_is_free_again_when_a_request_ends() {
    let (mut proxy, tokens) = proxy(&document(json!({ "waiting": { "requests": 1 } })));
    tokens.fall_silent();
    let gone = proxy.request(to("billing")).waiting();
    proxy.end(gone);
    let stays = proxy.request(to("billing")).waiting();
    proxy.tick();
    let answer = tokens.issue();
    proxy.reply(answer);
    assert_eq!(carried(proxy.answer(stays)), numbered(1));
    assert_eq!(proxy.answer(gone).tells(), "waiting");
}

#[test]
fn one_clients_outage_leaves_the_others_their_places() {
    let clients = [client_at("billing", "idp"), client_at("stock", "other")];
    let (mut proxy, tokens) = proxy(&with_clients(&clients, json!({ "waiting": { "requests": 4 } })));
    tokens.fall_silent();
    assert_eq!(proxy.request(to("billing")).tells(), "waiting");
    assert_eq!(proxy.request(to("billing")).tells(), "waiting");
    assert_eq!(proxy.request(to("billing")).tells(), "503 token_waiting_full");
    let waits = [proxy.request(to("stock")).waiting(), proxy.request(to("stock")).waiting()];
    serve(&mut proxy, "other", &Tokens::new());
    proxy.tick();
    for stream in waits {
        assert_eq!(carried(proxy.answer(stream)), numbered(1));
    }
    assert_eq!(proxy.waiting(), 2);
}

#[test]
fn a_request_that_would_wait_in_vain_is_told_at_once() {
    let (mut proxy, tokens) = proxy(&document(json!({})));
    tokens.fail(with(status(503), &[("retry-after", "40")]));
    proxy.tick();
    let refused = proxy.request(to("billing")).refused();
    assert_eq!((refused.response.status, refused.header("retry-after")), (503, Some("40")));
    assert_eq!(refused.annotation, "outcome=deny reason=token_unavailable client=billing");
    // Near its end it pays to wait.
    proxy.advance(36.secs());
    tokens.recover();
    let waits = proxy.request(to("billing")).waiting();
    proxy.advance(4.secs());
    assert_eq!(carried(proxy.answer(waits)), numbered(1));
}

#[test]
fn a_waiting_request_is_answered_when_it_turns_out_to_wait_in_vain() {
    let (mut proxy, tokens) = proxy(&document(json!({})));
    tokens.fall_silent();
    proxy.tick();
    let waits = proxy.request(to("billing")).waiting();
    proxy.reply(with(status(429), &[("retry-after", "30")]));
    assert_eq!(proxy.answer(waits).tells(), "503 token_unavailable");
}

#[test]
fn requests_that_wait_when_the_configuration_goes_are_answered() {
    let (mut proxy, tokens) = proxy(&document(json!({})));
    tokens.fall_silent();
    let waits = proxy.request(to("billing")).waiting();
    proxy.shut_down();
    assert_eq!(proxy.answer(waits).tells(), "503 token_unavailable");
}

/// When the second request is sent, in seconds after the first.
fn renewal(lifetime: u64, patch: Value) -> u64 {
    let (mut proxy, tokens) = proxy(&with_clients(&[client("billing", patch)], json!({})));
    tokens.live(lifetime);
    proxy.tick();
    for _ in 0..lifetime {
        if proxy.calls("idp") > 1 {
            break;
        }
        proxy.advance(1.secs());
    }
    assert_eq!(proxy.calls("idp"), 2);
    assert_eq!(proxy.logs(Level::Warn), [""; 0], "it was there before the old one had expired");
    (proxy.call_times()[1] - proxy.call_times()[0]).div_ceil(1000)
}

#[test]
fn a_token_is_renewed_ahead_of_its_expiry() {
    // Five minutes, and up to a fifth of that less so that not all are renewed at once.
    assert!((3300..=3360).contains(&renewal(3600, json!({}))));
    assert!((86_100..=86_160).contains(&renewal(86_400, json!({}))));
    // A third of a short life.
    assert!((80..=88).contains(&renewal(120, json!({}))));
    assert!((40..=44).contains(&renewal(60, json!({}))));
    let margin = |margin: &str| json!({ "renewal_margin": margin });
    assert!((3540..=3552).contains(&renewal(3600, margin("60s"))));
    // Not before half of its life is over.
    assert!((1800..=2160).contains(&renewal(3600, margin("2h"))));
    // Well before it is no longer used.
    assert!((570..=576).contains(&renewal(600, margin("1s"))));
}

/// However short they live, an hour costs no more requests than a renewal each second.
#[test]
fn short_lives_make_no_loop_of_requests() {
    for (lifetime, most) in [(1, 3601), (2, 3601), (10, 900), (3600, 3), (86_400, 1)] {
        let (mut proxy, tokens) = proxy(&document(json!({})));
        tokens.live(lifetime);
        for _ in 0..36 {
            proxy.advance(100.secs());
        }
        assert!(proxy.calls("idp") <= most, "{lifetime} s: {}", proxy.calls("idp"));
        let pauses: Vec<_> = proxy.call_times().windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(pauses.iter().all(|pause| *pause >= 1000), "{lifetime} s: {:?}", pauses.iter().min());
    }
}

/// A JWT may expire within a moment, whatever `expires_in` says.
#[test]
fn a_token_that_expires_within_a_moment_makes_no_loop_of_requests() {
    let mut proxy = Proxy::new(&document(json!({})));
    proxy.script("idp", |_| None);
    proxy.tick();
    for n in 0..100_u64 {
        if proxy.is_asking() {
            let exp = Duration::from_nanos(proxy.now().nanos()).as_secs_f64() + 0.3;
            proxy.reply(good(&jwt(&json!({ "exp": exp, "n": n }), Some(json!(3600)))));
        }
        proxy.advance(100.ms());
    }
    assert!(proxy.calls("idp") <= 11, "{}", proxy.calls("idp"));
}

/// envoy#44674.
#[test]
fn the_old_token_serves_through_an_outage_until_just_before_its_end_and_never_after() {
    let (mut proxy, tokens) = ready(&document(json!({})));
    tokens.fail(status(503));
    proxy.advance(3580.secs());
    assert!(proxy.calls("idp") > 5);
    assert_eq!(carried(proxy.request(to("billing"))), numbered(1));
    proxy.advance(4900.ms());
    assert_eq!(carried(proxy.request(to("billing"))), numbered(1));
    // 15 s before its end.
    proxy.sleep(100.ms());
    assert_ne!(proxy.request(to("billing")).tells(), "forwarded", "before any tick");
    proxy.advance(1.minutes());
    assert_ne!(proxy.request(to("billing")).tells(), "forwarded");
    assert_eq!(
        proxy.events(Level::Warn).iter().filter(|line| line.contains("expired")).collect::<Vec<_>>(),
        [&"client billing: the token expired before there was a new one: requests get 503"]
    );
    tokens.recover();
    proxy.advance(40.secs());
    assert_eq!(carried(proxy.request(to("billing"))), numbered(2));
}

fn answer(expires_in: Option<Value>) -> String {
    let mut answer = json!({ "access_token": numbered(1), "token_type": "Bearer" });
    if let Some(expires_in) = expires_in {
        answer["expires_in"] = expires_in;
    }
    answer.to_string()
}

fn jwt(claims: &Value, expires_in: Option<Value>) -> String {
    let token = Signer::new("idp").sign(claims);
    let mut answer = json!({ "access_token": token, "token_type": "Bearer" });
    if let Some(expires_in) = expires_in {
        answer["expires_in"] = expires_in;
    }
    answer.to_string()
}

/// How many seconds the token of this answer lives.
fn life(answer: &str) -> Option<u64> {
    let mut proxy = Proxy::new(&document(json!({})));
    proxy.serve("idp", good(answer));
    proxy.tick();
    proxy.tick();
    let is_there = matches!(proxy.request(to("billing")).tells().as_str(), "forwarded");
    is_there.then(|| proxy.gauge(&gauge(EXPIRY)).unwrap())
}

/// envoy#42009, and others for whom 0 meant for ever.
#[test]
fn each_form_of_expires_in_means_what_it_says_or_is_refused() {
    assert_eq!(life(&answer(None)), Some(300));
    assert_eq!(life(&answer(Some(Value::Null))), Some(300));
    assert_eq!(life(&answer(Some(json!(60)))), Some(60));
    assert_eq!(life(&answer(Some(json!("60")))), Some(60));
    for day in [json!(1e300), json!(u64::MAX), json!("99999999999999999999"), json!(31_536_000)] {
        assert_eq!(life(&answer(Some(day.clone()))), Some(86_400), "{day}");
    }
    for none in [json!(0), json!(-1), json!("0"), json!("soon"), json!([]), json!(true), json!("-5")] {
        assert_eq!(life(&answer(Some(none.clone()))), None, "{none}");
    }
}

#[test]
fn the_tokens_own_exp_can_only_shorten_its_life() {
    let exp = |after: u64| json!({ "exp": START + after });
    assert_eq!(life(&jwt(&exp(100), Some(json!(3600)))), Some(100));
    assert_eq!(life(&jwt(&exp(9000), Some(json!(3600)))), Some(3600));
    assert_eq!(life(&jwt(&exp(100), None)), Some(100));
    assert_eq!(life(&jwt(&exp(1_000_000), None)), Some(86_400));
    assert_eq!(life(&jwt(&json!({ "exp": START - 1 }), Some(json!(3600)))), None);
    assert_eq!(life(&jwt(&json!({ "exp": "soon" }), Some(json!(60)))), Some(60));
}

#[test]
fn the_lifetime_of_a_token_that_does_not_tell_it_is_configurable() {
    let (mut proxy, tokens) =
        proxy(&with_clients(&[client("billing", json!({ "default_lifetime": "2h" }))], json!({})));
    tokens.live(Value::Null);
    proxy.tick();
    proxy.tick();
    assert_eq!(proxy.gauge(&gauge(EXPIRY)), Some(7200));
}

#[test]
fn a_token_lives_from_when_it_was_asked_for() {
    let (mut proxy, tokens) = proxy(&document(json!({})));
    tokens.fall_silent();
    proxy.tick();
    proxy.advance(4.secs());
    let answer = tokens.issue();
    proxy.reply(answer);
    proxy.tick();
    assert_eq!(proxy.gauge(&gauge(EXPIRY)), Some(3596));
    assert_eq!(proxy.samples("client=.=billing;.;attache_token_request_milliseconds"), [4000]);
}

/// It has as long to live as it had, whatever the clock says now.
#[test]
fn a_clock_that_is_set_back_makes_no_token_live_longer() {
    let (mut proxy, tokens) = ready(&document(json!({})));
    proxy.advance(3000.secs());
    proxy.set_back(5.hours());
    tokens.fail(status(503));
    proxy.tick();
    assert_eq!(proxy.calls("idp"), 2, "a new one is asked for at once");
    assert_eq!(carried(proxy.request(to("billing"))), numbered(1));
    proxy.advance(584.secs());
    assert_eq!(carried(proxy.request(to("billing"))), numbered(1));
    proxy.advance(2.secs());
    assert_ne!(proxy.request(to("billing")).tells(), "forwarded");
    tokens.recover();
    proxy.advance(40.secs());
    assert_eq!(carried(proxy.request(to("billing"))), numbered(2));
    let calls = proxy.calls("idp");
    proxy.advance(50.minutes());
    assert_eq!(proxy.calls("idp"), calls);
}

#[test]
fn a_clock_that_is_set_back_forgets_no_waiting_request() {
    let (mut proxy, tokens) = proxy(&document(json!({})));
    tokens.fall_silent();
    proxy.tick();
    let waits = proxy.request(to("billing")).waiting();
    proxy.set_back(2.hours());
    proxy.tick();
    assert_eq!(proxy.answer(waits).tells(), "503 token_unavailable");
    assert_eq!(proxy.calls("idp"), 2);
    // The answer to the first request is lost, that to the second is not.
    let answer = tokens.issue();
    proxy.reply(answer);
    assert_eq!(proxy.request(to("billing")).tells(), "waiting");
    let answer = tokens.issue();
    proxy.reply(answer);
    assert_eq!(carried(proxy.request(to("billing"))), numbered(2));
}

#[test]
fn a_clock_that_is_set_forward_takes_the_token_away_and_brings_a_new_one() {
    let (mut proxy, _) = ready(&document(json!({})));
    proxy.sleep(Duration::from_secs(7 * 3600));
    assert_eq!(proxy.request(to("billing")).tells(), "waiting");
    proxy.advance(200.ms());
    assert_eq!(carried(proxy.request(to("billing"))), numbered(2));
    assert_eq!(proxy.calls("idp"), 2);
}

#[test]
fn a_token_for_fewer_scopes_is_used_and_told_of() {
    let scopes = json!({ "scopes": ["invoices:read", "invoices:write"] });
    let (mut proxy, tokens) = proxy(&with_clients(&[client("billing", scopes)], json!({})));
    tokens.grant("invoices:read other");
    proxy.tick();
    assert_eq!(carried(proxy.request(to("billing"))), numbered(1));
    assert_eq!(
        proxy.events(Level::Warn),
        ["client billing: a token for 60 min, which lacks 1 of the scopes that were asked for"]
    );
}
