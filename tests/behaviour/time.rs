//! Time decides: at its borders, and for tokens that are in the cache already.

use serde_json::json;

use crate::proxy::{Host, Proxy, Request, START, Signer, Time as _, config, good, issuer, jwks, status};

fn proxy(patch: serde_json::Value, key: &Signer) -> Proxy {
    Proxy::ready(&config(json!({ "issuers": [issuer(patch)] })), &[key])
}

/// RFC 7519 §4.1.4: "on or after".
#[test]
fn a_token_is_denied_the_second_it_expires() {
    let key = Signer::new("k1");
    let mut proxy = proxy(json!({ "clock_skew": "0s" }), &key);
    let token = key.token().claim("exp", START + 60).sign();
    proxy.sleep(59_999.ms());
    assert_eq!(proxy.get("/orders", &token), "forwarded");
    proxy.sleep(1.ms());
    assert_eq!(proxy.get("/orders", &token), "401 expired");
}

#[test]
fn skew_moves_every_border_by_itself_and_no_further() {
    let key = Signer::new("k1");
    for (skew, secs) in [("0s", 0), ("30s", 30), ("5m", 300)] {
        let mut proxy = proxy(json!({ "clock_skew": skew, "expiry": "optional" }), &key);
        let mut tells = |claim: &str, at: u64| proxy.get("/orders", &key.token().claim(claim, at).sign());
        assert_eq!(tells("exp", START - secs), "401 expired");
        assert_eq!(tells("exp", START - secs + 1), "forwarded");
        assert_eq!(tells("nbf", START + secs), "forwarded");
        assert_eq!(tells("nbf", START + secs + 1), "401 not_yet_valid");
        assert_eq!(tells("iat", START + secs), "forwarded");
        assert_eq!(tells("iat", START + secs + 1), "401 issued_in_future");
    }
}

#[test]
fn fractions_of_a_second_count() {
    let key = Signer::new("k1");
    let mut proxy = proxy(json!({ "clock_skew": "0s" }), &key);
    let fraction =
        |secs: u64, half: &str| serde_json::from_str::<serde_json::Value>(&format!("{secs}{half}")).unwrap();
    let token = key.token().claim("exp", fraction(START + 10, ".5")).sign();
    proxy.sleep(10_400.ms());
    assert_eq!(proxy.get("/orders", &token), "forwarded");
    proxy.sleep(100.ms());
    assert_eq!(proxy.get("/orders", &token), "401 expired");
    let token = key.token().claim("nbf", fraction(START + 20, ".25")).sign();
    proxy.sleep(9_700.ms());
    assert_eq!(proxy.get("/orders", &token), "401 not_yet_valid");
    proxy.sleep(150.ms());
    assert_eq!(proxy.get("/orders", &token), "forwarded");
}

#[test]
fn expiry_is_required_unless_it_is_written_out_as_optional() {
    let key = Signer::new("k1");
    let eternal = key.token().no_claim("exp").sign();
    assert_eq!(proxy(json!({}), &key).get("/orders", &eternal), "401 claim_missing");
    let mut proxy = proxy(json!({ "expiry": "optional" }), &key);
    assert_eq!(proxy.get("/orders", &eternal), "forwarded");
    let expired = key.token().claim("exp", START - 31).sign();
    assert_eq!(proxy.get("/orders", &expired), "401 expired");
}

#[test]
fn a_lifetime_is_at_most_what_is_configured() {
    let key = Signer::new("k1");
    let limited = json!({ "max_lifetime": "1h", "expiry": "optional" });
    let mut proxy = proxy(limited, &key);
    let mut tells = |token: crate::proxy::Token| proxy.get("/orders", &token.sign());
    let lives = |secs: u64| key.token().claim("iat", START - 10).claim("exp", START - 10 + secs);
    assert_eq!(tells(lives(3600)), "forwarded");
    assert_eq!(tells(lives(3601)), "401 lifetime_too_long");
    let whole = key.token().claim("iat", START).claim("exp", 1_800_003_600.001);
    assert_eq!(tells(whole), "401 lifetime_too_long");
    assert_eq!(tells(key.token().no_claim("iat")), "401 claim_missing");
    assert_eq!(tells(key.token().no_claim("exp")), "401 claim_missing");
    // exp before iat is no lifetime at all, and long past.
    assert_eq!(tells(key.token().claim("iat", START).claim("exp", START - 100)), "401 expired");
}

#[test]
fn a_cached_token_lives_until_it_expires_and_not_longer() {
    let key = Signer::new("k1");
    let mut proxy = proxy(json!({}), &key);
    let token = key.token().claim("exp", START + 300).sign();
    assert_eq!(proxy.get("/orders", &token), "forwarded");
    for _ in 0..10 {
        proxy.advance(32.secs());
        assert_eq!(proxy.get("/orders", &token), "forwarded");
    }
    assert_eq!(proxy.signature_checks(), 1);
    proxy.advance(9_900.ms());
    assert_eq!(proxy.get("/orders", &token), "forwarded");
    proxy.advance(100.ms());
    assert_eq!(proxy.get("/orders", &token), "401 expired");
    assert_eq!(proxy.signature_checks(), 1);
}

/// A clock that is set back makes a token too young again, cached or not.
#[test]
fn a_cached_token_is_not_used_before_its_time() {
    let key = Signer::new("k1");
    let inline = json!({ "keys": { "jwks": null, "inline": { "keys": [key.jwk()] } } });
    let settings = crate::proxy::compile(&config(json!({ "issuers": [issuer(inline)] }))).unwrap();
    let mut host = Host::default();
    let mut filter = attache::filter::Filter::new(&settings, [0; 16], &mut host.at(at(START)));
    let token =
        key.token().claim("nbf", START + 100).claim("iat", START + 100).claim("exp", START + 900).sign();
    let mut forwards = |now: u64| {
        let head = Request::get("/orders").bearer(&token).head();
        let id = attache::base::StreamId(1);
        let outcome = filter.handle_request(id, head, &mut host.at(at(now)));
        matches!(outcome, Some(attache::base::Outcome::Forward { .. }))
    };
    assert!(forwards(START + 200));
    assert!(!forwards(START + 50));
    assert!(forwards(START + 200));
}

fn at(secs: u64) -> attache::base::Timestamp {
    attache::base::Timestamp::from_secs(secs)
}

/// seen in other filters: a withdrawn key takes its tokens with it, at the first request after the refresh.
#[test]
fn a_cached_token_does_not_outlive_its_key() {
    let (old, new) = (Signer::new("k1"), Signer::new("k2"));
    let mut proxy = Proxy::ready(&config(json!({})), &[&old, &new]);
    let (theirs, ours) = (old.token().sign(), new.token().sign());
    assert_eq!(proxy.get("/orders", &theirs), "forwarded");
    assert_eq!(proxy.get("/orders", &ours), "forwarded");
    proxy.serve("idp", good(&jwks(&[&new])));
    proxy.advance(479.secs());
    assert_eq!(proxy.get("/orders", &theirs), "forwarded");
    proxy.advance_to_call("idp", 2);
    proxy.sleep(1.ms());
    // The key id is unknown now, and this request came after the set was asked for: one more fetch settles it.
    let waits = proxy.request(Request::get("/orders").bearer(&theirs)).waiting();
    proxy.advance(3.secs());
    assert_eq!(proxy.answer(waits).tells(), "401 key_unknown");
    // The key that stayed keeps its tokens, without another check.
    let checks = proxy.signature_checks();
    assert_eq!(proxy.get("/orders", &ours), "forwarded");
    assert_eq!(proxy.signature_checks(), checks);
}

#[test]
fn a_key_that_is_replaced_under_its_name_takes_its_tokens_with_it() {
    let (old, new) = (Signer::new("k1"), Signer::unnamed("new").named(Some("k1")));
    let mut proxy = Proxy::ready(&config(json!({})), &[&old]);
    let token = old.token().claim("exp", START + 7200).sign();
    assert_eq!(proxy.get("/orders", &token), "forwarded");
    proxy.serve("idp", good(&jwks(&[&new])));
    proxy.advance(601.secs());
    assert_eq!(proxy.get("/orders", &token), "401 signature_invalid");
}

/// A key that is told to verify less from now on is another key: what it verified before counts no more.
#[test]
fn a_key_that_is_narrowed_takes_its_tokens_with_it() {
    let (key, other) = (Signer::new("k1"), Signer::new("k2"));
    let mut proxy = Proxy::ready(&config(json!({})), &[&key]);
    let token = key.token().claim("exp", START + 7200).sign();
    assert_eq!(proxy.get("/orders", &token), "forwarded");
    let mut narrowed = key.jwk();
    narrowed["use"] = json!("enc");
    proxy.serve("idp", good(&json!({ "keys": [narrowed, other.jwk()] }).to_string()));
    proxy.advance(601.secs());
    assert_eq!(proxy.get("/orders", &token), "waiting");
}

/// seen in other filters: the cache knows tokens, not decisions.
#[test]
fn policy_is_looked_at_on_every_request_cached_or_not() {
    let key = Signer::new("k1");
    let mut proxy = proxy(json!({}), &key);
    let token = key.token().sign();
    for _ in 0..2 {
        assert_eq!(proxy.get("/orders", &token), "forwarded");
        assert_eq!(proxy.get("/admin", &token), "403 scope_insufficient");
        assert_eq!(proxy.get("/whoami", &token), "forwarded");
        assert_eq!(proxy.get("/internal", &token), "403 route_denied");
    }
    assert_eq!(proxy.signature_checks(), 1);
}

#[test]
fn a_refused_token_does_not_enter_the_cache() {
    let (key, stranger) = (Signer::new("k1"), Signer::unnamed("x").named(Some("k1")));
    let mut proxy = proxy(json!({}), &key);
    let forged = stranger.token().sign();
    for _ in 0..3 {
        assert_eq!(proxy.get("/orders", &forged), "401 signature_invalid");
    }
    // It is remembered as refused.
    assert_eq!(proxy.signature_checks(), 1);
    proxy.serve("idp", status(500));
    proxy.advance(1.secs());
    assert_eq!(proxy.counter("result=.=hit;.;attache_token_cache_total"), 0);
    assert_eq!(proxy.counter("result=.=miss;.;attache_token_cache_total"), 3);
}
