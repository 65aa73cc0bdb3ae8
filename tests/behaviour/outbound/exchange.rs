//! Tokens in exchange for the callers' (RFC 8693): one for each caller, for no longer than the caller's own, and for no other caller.

use attache::base::{Headers, HttpReply, Level};
use serde_json::{Value, json};

use super::{
    Tokens, carried, client, counted, destination, document, field, keep_secrets, numbered, serve, to,
};
use crate::proxy::{Proxy, Request, START, Signer, Time as _, config, good, jwks, status};

/// The client `billing` exchanges, and has done nothing yet; the keys are there.
fn exchanging(exchange: Value, outbound: Value) -> (Proxy, Tokens, Signer) {
    exchanging_with(exchange, outbound, json!({}))
}

/// The same, with another block.
pub fn exchanging_with(exchange: Value, outbound: Value, blocks: Value) -> (Proxy, Tokens, Signer) {
    let client = client(
        "billing",
        json!({
            "token_endpoint": { "uri": "https://sts.example/token", "cluster": "sts" },
            "token_exchange": exchange,
            "audience": "billing-api",
        }),
    );
    let mut config = config(json!({}));
    config["outbound"] = document(json!({
        "clients": [client],
        "destinations": [destination("billing", json!({ "caller_credential": "replace" }))],
    }))["outbound"]
        .clone();
    crate::proxy::merge(&mut config["outbound"], outbound);
    crate::proxy::merge(&mut config, blocks);
    let mut proxy = Proxy::new(&config);
    keep_secrets(&mut proxy);
    let (key, tokens) = (Signer::new("k1"), Tokens::new());
    proxy.serve("idp", good(&jwks(&[&key])));
    serve(&mut proxy, "sts", &tokens);
    proxy.tick();
    proxy.sleep(1.ms());
    (proxy, tokens, key)
}

fn plain() -> (Proxy, Tokens, Signer) {
    exchanging(json!({}), json!({}))
}

/// The token of a caller.
pub fn caller(key: &Signer, number: usize) -> String {
    key.token().claim("jti", format!("caller-{number}")).sign()
}

pub fn by(token: &str) -> Request {
    to("billing").without(":path").header(":path", "/orders").bearer(token)
}

/// What the request of this caller carries in the end.
#[track_caller]
fn exchanged(proxy: &mut Proxy, token: &str) -> String {
    let answer = proxy.request(by(token));
    if answer.tells() == "waiting" {
        let stream = answer.waiting();
        proxy.advance(100.ms());
        return carried(proxy.answer(stream));
    }
    carried(answer)
}

#[test]
fn each_caller_has_a_token_of_its_own_and_it_is_asked_for_once() {
    let (mut proxy, tokens, key) = plain();
    assert_eq!(proxy.calls("sts"), 0, "nothing is asked for without a caller");
    let callers: Vec<_> = (0..3).map(|number| caller(&key, number)).collect();
    for _ in 0..3 {
        for (number, token) in (1..).zip(&callers) {
            assert_eq!(exchanged(&mut proxy, token), numbered(number));
        }
    }
    assert_eq!(tokens.issued(), 3);
    for (asked, token) in tokens.asked().iter().zip(&callers) {
        assert_eq!(field(asked, "grant_type"), ["urn:ietf:params:oauth:grant-type:token-exchange"]);
        assert_eq!(field(asked, "subject_token"), std::slice::from_ref(token));
        assert_eq!(field(asked, "subject_token_type"), ["urn:ietf:params:oauth:token-type:access_token"]);
        assert_eq!(field(asked, "requested_token_type"), [""; 0]);
        assert_eq!(field(asked, "audience"), ["billing-api"]);
    }
}

#[test]
fn types_are_configurable() {
    let (subject, requested) =
        ("urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token");
    let exchange = json!({ "subject_token_type": subject, "requested_token_type": requested });
    let (mut proxy, tokens, key) = exchanging(exchange, json!({}));
    exchanged(&mut proxy, &caller(&key, 1));
    assert_eq!(field(&tokens.asked()[0], "subject_token_type"), [subject]);
    assert_eq!(field(&tokens.asked()[0], "requested_token_type"), [requested]);
}

#[test]
fn a_burst_of_one_caller_is_one_request() {
    let (mut proxy, tokens, key) = plain();
    tokens.fall_silent();
    let token = caller(&key, 1);
    let waits: Vec<_> = (0..20).map(|_| proxy.request(by(&token)).waiting()).collect();
    proxy.advance(1.secs());
    assert_eq!(proxy.calls("sts"), 1);
    let answer = tokens.issue();
    proxy.reply(answer);
    for stream in waits {
        assert_eq!(carried(proxy.answer(stream)), numbered(1));
    }
}

#[test]
fn only_a_verified_token_is_exchanged() {
    let (mut proxy, tokens, key) = plain();
    let public = || to("billing").without(":path").header(":path", "/healthz");
    let refused = proxy.request(public()).refused();
    assert_eq!(refused.response.status, 403);
    assert_eq!(refused.annotation, "outcome=deny reason=subject_missing client=billing");
    // It is there, and no half has looked at it.
    assert_eq!(proxy.request(public().bearer(&caller(&key, 1))).tells(), "403 subject_missing");
    assert_eq!(proxy.request(by("garbage")).tells(), "401 token_parts");
    assert_eq!(proxy.request(by(&Signer::new("evil").token().sign())).tells(), "waiting");
    proxy.tick();
    assert_eq!(tokens.issued(), 0);
}

/// Neither the callers' own token nor ours outlives the other.
#[test]
fn an_exchanged_token_is_bounded_by_both_lifetimes() {
    let (mut proxy, tokens, key) = plain();
    tokens.live(600);
    let token = key.token().claim("exp", START + 7200).sign();
    assert_eq!(exchanged(&mut proxy, &token), numbered(1));
    proxy.advance(584.secs());
    assert_eq!(exchanged(&mut proxy, &token), numbered(1));
    proxy.advance(2.secs());
    assert_eq!(exchanged(&mut proxy, &token), numbered(2));
    // A caller's that is about to expire.
    tokens.live(3600);
    let soon = key.token().claim("exp", proxy.now().secs() + 60).sign();
    assert_eq!(exchanged(&mut proxy, &soon), numbered(3));
    // It is accepted for 30 s of clock skew longer, and ours is not sent in the last tenth of its life.
    proxy.advance(80.secs());
    assert_eq!(exchanged(&mut proxy, &soon), numbered(3));
    proxy.advance(2.secs());
    assert_eq!(exchanged(&mut proxy, &soon), numbered(4));
}

#[test]
fn as_many_are_kept_as_may_be_and_the_one_used_longest_ago_goes() {
    let (mut proxy, tokens, key) = exchanging(json!({ "tokens": 3 }), json!({}));
    let callers: Vec<_> = (0..4).map(|number| caller(&key, number)).collect();
    for (number, token) in (1..).zip(&callers[..3]) {
        assert_eq!(exchanged(&mut proxy, token), numbered(number));
    }
    // The first is used again, so the second goes.
    assert_eq!(exchanged(&mut proxy, &callers[0]), numbered(1));
    assert_eq!(exchanged(&mut proxy, &callers[3]), numbered(4));
    assert_eq!(exchanged(&mut proxy, &callers[0]), numbered(1));
    assert_eq!(exchanged(&mut proxy, &callers[2]), numbered(3));
    assert_eq!(tokens.issued(), 4);
    assert_eq!(exchanged(&mut proxy, &callers[1]), numbered(5));
}

#[test]
fn more_callers_than_may_be_kept_are_refused_while_all_the_others_wait() {
    let (mut proxy, tokens, key) = exchanging(json!({ "tokens": 2 }), json!({}));
    tokens.fall_silent();
    for number in 0..2 {
        proxy.request(by(&caller(&key, number))).waiting();
    }
    let refused = proxy.request(by(&caller(&key, 2))).refused();
    assert_eq!((refused.response.status, refused.header("retry-after")), (503, Some("1")));
    assert!(refused.annotation.contains("token_waiting_full"));
}

/// Callers who were refused while the server was down must not keep others out when it is back.
#[test]
fn those_who_have_gone_leave_their_places_to_others() {
    let (mut proxy, tokens, key) = exchanging(json!({ "tokens": 2 }), json!({}));
    tokens.fail(status(503));
    for number in 0..20 {
        let answer = proxy.request(by(&caller(&key, number)));
        assert_ne!(answer.tells(), "forwarded");
        proxy.advance(10.secs());
    }
    tokens.recover();
    proxy.advance(36.secs());
    let before = tokens.asked().len();
    assert!(before <= 20 + 15, "{before}");
    for number in 30..33 {
        exchanged(&mut proxy, &caller(&key, number));
    }
}

fn refusal(code: &str) -> HttpReply {
    let body = json!({ "error": code }).to_string().into_bytes();
    HttpReply::Response { status: 400, headers: Headers::default(), body: Ok(body) }
}

#[test]
fn a_caller_whose_token_is_not_accepted_is_403_and_not_asked_for_again_for_ten_seconds() {
    for code in ["invalid_request", "invalid_grant"] {
        let (mut proxy, tokens, key) = plain();
        tokens.fail(refusal(code));
        let token = caller(&key, 1);
        let waits = proxy.request(by(&token)).waiting();
        proxy.tick();
        let refused = proxy.answer(waits).refused();
        assert_eq!(refused.response.status, 403);
        assert_eq!(refused.annotation, "outcome=deny reason=subject_refused client=billing");
        // The others are no worse off for it.
        tokens.recover();
        assert_eq!(exchanged(&mut proxy, &caller(&key, 2)), numbered(1));
        proxy.advance(9_800.ms());
        assert_eq!(proxy.request(by(&token)).tells(), "403 subject_refused");
        assert_eq!(proxy.calls("sts"), 2);
        proxy.advance(200.ms());
        assert_eq!(exchanged(&mut proxy, &token), numbered(2));
    }
}

/// Callers must not fill the operator's log.
#[test]
fn callers_who_are_refused_are_no_errors_of_the_operators() {
    let (mut proxy, tokens, key) = plain();
    tokens.fail(refusal("invalid_grant"));
    for number in 0..50 {
        proxy.request(by(&caller(&key, number)));
        proxy.tick();
    }
    // No operator has to change anything, and no alert is to say so.
    assert_eq!(proxy.counter(&counted("attache_token_requests_total", "result", "subject_refused")), 50);
    assert_eq!(proxy.counter(&counted("attache_token_requests_total", "result", "invalid_grant")), 0);
    assert_eq!(proxy.logs(Level::Warn), [""; 0]);
}

#[test]
fn a_server_that_is_down_is_503_and_not_403() {
    let (mut proxy, tokens, key) = plain();
    tokens.fail(status(503));
    let waits = proxy.request(by(&caller(&key, 1))).waiting();
    proxy.advance(5.secs());
    assert_eq!(proxy.answer(waits).tells(), "503 token_unavailable");
    tokens.recover();
    proxy.advance(30.secs());
    exchanged(&mut proxy, &caller(&key, 1));
}

#[test]
fn an_answer_without_the_issued_type_is_none() {
    let (mut proxy, _, key) = plain();
    proxy.serve("sts", good(r#"{"access_token":"t","token_type":"Bearer"}"#));
    proxy.request(by(&caller(&key, 1))).waiting();
    proxy.tick();
    proxy.tick();
    assert_eq!(proxy.counter(&counted("attache_token_requests_total", "result", "issued_type_missing")), 1);
}

#[test]
fn a_401_purges_the_token_of_this_caller_only() {
    let (mut proxy, _, key) = plain();
    let (one, two) = (caller(&key, 1), caller(&key, 2));
    assert_eq!(exchanged(&mut proxy, &one), numbered(1));
    assert_eq!(exchanged(&mut proxy, &two), numbered(2));
    proxy.advance(10.secs());
    let request = proxy.request(by(&one)).forwarded();
    proxy.upstream_answers(&request, 401);
    assert_eq!(exchanged(&mut proxy, &two), numbered(2));
    assert_eq!(exchanged(&mut proxy, &one), numbered(3));
}

#[test]
fn no_more_than_a_bounded_number_is_asked_for_at_once() {
    let (mut proxy, tokens, key) = plain();
    tokens.fall_silent();
    for number in 0..100 {
        proxy.request(by(&caller(&key, number))).waiting();
    }
    proxy.advance(1.secs());
    assert_eq!(proxy.calls("sts"), attache::outbound::MAX_UNDER_WAY);
}

#[test]
fn a_clock_that_is_set_back_forgets_all_and_asks_again() {
    let (mut proxy, _, key) = plain();
    let token = key.token().claim("iat", START - 100_000).claim("exp", START + 7200).sign();
    assert_eq!(exchanged(&mut proxy, &token), numbered(1));
    proxy.set_back(3.hours());
    proxy.tick();
    proxy.tick();
    assert_eq!(exchanged(&mut proxy, &token), numbered(2));
}
