//! A server that refuses one caller's token in other words than `invalid_grant` stopped the exchange for all callers for a minute;
//! and callers whose tokens were about to expire opened the circuit breaker for all clients of the endpoint.

use attache::base::Level;
use serde_json::json;

use super::exchanging::{caller, exchange, issued, proxy, refusal, settled};
use crate::outbound::{client, field, to};
use crate::proxy::Time as _;

#[test]
fn whatever_a_server_says_of_one_callers_token_the_others_are_served() {
    for code in ["access_denied", "interaction_required", "invalid_scope", "invalid_target", "invalid_grant"]
    {
        let (mut proxy, key) = proxy(&[exchange("billing", json!({}))]);
        let odd = caller(&key, "odd");
        let its = odd.clone();
        proxy.script("sts", move |call| {
            Some(if field(call, "subject_token") == [its.clone()] { refusal(code) } else { issued("t", 60) })
        });
        assert_eq!(settled(&mut proxy, to("billing").bearer(&odd)).tells(), "403 subject_refused", "{code}");
        let other = to("billing").bearer(&caller(&key, "other"));
        assert_eq!(settled(&mut proxy, other).tells(), "forwarded", "{code}");
        assert_eq!(proxy.logs(Level::Warn), [""; 0], "{code}");
    }
}

#[test]
fn what_is_wrong_with_the_client_itself_still_stops_it() {
    for code in ["invalid_client", "unauthorized_client", "unsupported_grant_type"] {
        let (mut proxy, key) = proxy(&[exchange("billing", json!({}))]);
        proxy.serve("sts", refusal(code));
        let one = to("billing").bearer(&caller(&key, 1));
        assert_eq!(settled(&mut proxy, one).tells(), "503 token_unavailable", "{code}");
        let other = to("billing").bearer(&caller(&key, 2));
        assert_eq!(proxy.request(other).tells(), "503 token_unavailable", "{code}");
        assert_eq!(proxy.calls("sts"), 1);
    }
}

#[test]
fn callers_whose_tokens_are_about_to_expire_open_no_breaker() {
    let at_sts = json!({ "uri": "https://sts.example/token", "cluster": "sts" });
    let own = client("own", json!({ "token_endpoint": at_sts, "obtain": "on_demand" }));
    let (mut proxy, key) = proxy(&[exchange("billing", json!({})), own]);
    // The server bounds what it issues by what it got.
    proxy.script("sts", |call| Some(issued("t", u64::from(field(call, "subject_token").is_empty()) * 60)));
    for number in 0..20 {
        let request = to("billing").bearer(&caller(&key, number));
        assert_eq!(settled(&mut proxy, request).tells(), "403 subject_refused");
    }
    assert_eq!(settled(&mut proxy, to("own").bearer(&caller(&key, 0))).tells(), "forwarded");
}

#[test]
fn a_callers_token_that_has_expired_meanwhile_is_not_sent() {
    let (mut proxy, key) = proxy(&[exchange("billing", json!({}))]);
    proxy.silence("sts");
    // As many as are asked for at once, so that the next one has to wait its turn.
    for number in 0..attache::outbound::MAX_UNDER_WAY {
        proxy.request(to("billing").bearer(&caller(&key, number))).waiting();
    }
    let soon = key.token().claim("exp", proxy.now().secs() + 1 - 30).sign();
    let waits = proxy.request(to("billing").bearer(&soon)).waiting();
    proxy.advance(2.secs());
    while proxy.is_asking() {
        proxy.reply(issued("t", 60));
    }
    proxy.tick();
    proxy.tick();
    assert_eq!(proxy.answer(waits).tells(), "403 subject_refused");
    assert_eq!(proxy.calls("sts"), attache::outbound::MAX_UNDER_WAY);
}
