//! Who may sign for whom, and what a stranger's token costs.

use serde_json::json;

use crate::proxy::{Proxy, START, Signer, Time as _, config, good, issuer, jwks, partner, status};

const PARTNER: &str = "https://partner.example";

fn two(corp: &Signer, theirs: &Signer) -> Proxy {
    let mut proxy = Proxy::new(&config(json!({
        "issuers": [issuer(json!({})), partner()],
        "routes": [
            { "name": "ours", "match": { "path": "/ours" }, "require": { "issuers": ["corp"], "authenticated": {} } },
            { "name": "both", "match": { "path": "/both" },
              "require": { "issuers": ["corp", "partner"], "authenticated": {} } },
            { "name": "theirs", "match": { "path": "/theirs" },
              "require": { "issuers": ["partner"], "scopes": ["never"] } },
        ],
    })));
    proxy.serve("idp", good(&jwks(&[corp])));
    proxy.serve("partner", good(&jwks(&[theirs])));
    proxy.tick();
    proxy
}

/// RFC 8725 §3.8, and the collision of Kong 3.6: an issuer's key signs for that issuer only, even under the same key id.
#[test]
fn no_issuer_signs_for_another() {
    let (corp, theirs) = (Signer::new("k1"), Signer::unnamed("theirs").named(Some("k1")));
    let mut proxy = two(&corp, &theirs);
    assert_eq!(proxy.get("/both", &corp.token().sign()), "forwarded");
    assert_eq!(proxy.get("/both", &theirs.token().claim("iss", PARTNER).sign()), "forwarded");
    assert_eq!(proxy.get("/both", &theirs.token().sign()), "401 signature_invalid");
    assert_eq!(proxy.get("/both", &corp.token().claim("iss", PARTNER).sign()), "401 signature_invalid");
    // Without a key id all keys of the issuer are tried, and none of another.
    assert_eq!(proxy.get("/both", &theirs.named(None).token().sign()), "401 signature_invalid");
}

#[test]
fn an_issuer_is_accepted_only_where_the_route_names_it() {
    let (corp, theirs) = (Signer::new("k1"), Signer::new("k2"));
    let mut proxy = two(&corp, &theirs);
    let token = theirs.token().claim("iss", PARTNER).sign();
    for _ in 0..2 {
        assert_eq!(proxy.get("/both", &token), "forwarded");
        assert_eq!(proxy.get("/ours", &token), "401 issuer_not_accepted");
    }
    // The issuer comes before the scope: a foreign token is not told what it would need.
    let answer = proxy.request(crate::proxy::Request::get("/theirs").bearer(&corp.token().sign())).refused();
    assert_eq!(answer.response.status, 401);
    assert!(!answer.challenge().unwrap().contains("never"));
}

/// The prescreen: only a token that could be good costs a signature check, by the rules of the issuer that it names.
#[test]
fn a_token_that_cannot_be_good_costs_no_signature_check() {
    let (corp, theirs) = (Signer::new("k1"), Signer::new("k2"));
    let mut proxy = two(&corp, &theirs);
    for (token, tells) in [
        (corp.token().claim("iss", "https://stranger.example"), "401 issuer_unknown"),
        (corp.token().no_claim("iss"), "401 issuer_unknown"),
        (corp.token().claim("aud", "https://other.example"), "401 wrong_audience"),
        (corp.token().claim("exp", START - 3600), "401 expired"),
        (corp.token().claim("nbf", START + 3600), "401 not_yet_valid"),
        (corp.token().claim("iat", START + 3600), "401 issued_in_future"),
        (corp.token().no_claim("exp"), "401 claim_missing"),
        (corp.token().header("alg", "HS256"), "401 algorithm_not_allowed"),
    ] {
        assert_eq!(proxy.get("/both", &token.sign()), tells);
    }
    assert_eq!(proxy.signature_checks(), 0);
    assert_eq!(proxy.calls("idp") + proxy.calls("partner"), 2);
}

/// A stranger's token must not make us fetch, wait or hold anything.
#[test]
fn a_stranger_s_token_costs_no_fetch_even_before_the_first_keys() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::new(&config(json!({})));
    let token = key.token().claim("iss", "https://stranger.example").claim("exp", START + 100_000).sign();
    assert_eq!(proxy.get("/orders", &token), "401 issuer_unknown");
    assert_eq!((proxy.waiting(), proxy.calls("idp")), (0, 0));
}

#[test]
fn one_issuer_s_outage_is_no_other_issuer_s() {
    let (corp, theirs) = (Signer::new("k1"), Signer::new("k2"));
    let mut proxy = Proxy::new(&config(json!({
        "issuers": [issuer(json!({})), partner()],
        "routes": [{ "name": "both", "match": { "path": "/both" },
                     "require": { "issuers": ["corp", "partner"], "authenticated": {} } }],
    })));
    proxy.serve("idp", status(503));
    proxy.serve("partner", good(&jwks(&[&theirs])));
    proxy.tick();
    let waits = proxy.request(crate::proxy::Request::get("/both").bearer(&corp.token().sign())).waiting();
    assert_eq!(proxy.get("/both", &theirs.token().claim("iss", PARTNER).sign()), "forwarded");
    proxy.advance(5.secs());
    assert_eq!(proxy.answer(waits).tells(), "503 keys_unavailable");
    assert_eq!(proxy.get("/both", &theirs.token().claim("iss", PARTNER).sign()), "forwarded");
}
