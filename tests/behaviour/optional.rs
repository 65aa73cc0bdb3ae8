//! `optional`: a token is verified if there is one, a request without one is anonymous, and a bad token is refused.

use serde_json::{Value, json};

use crate::proxy::{Proxy, Request, START, Signer, config};

fn proxy(key: &Signer, patch: Value) -> Proxy {
    let optional = json!({ "scopes": ["orders:read"] });
    let mut inbound = json!({
        "routes": [{ "name": "shop", "match": { "path": "/shop" }, "optional": optional }],
        "forward_claims": [{ "claim": "sub", "header": "x-auth-subject" }],
    });
    crate::proxy::merge(&mut inbound, patch);
    Proxy::ready(&config(inbound), &[key])
}

#[test]
fn a_request_without_a_token_is_anonymous_and_a_token_is_held_against_the_requirement() {
    let key = Signer::new("k1");
    let mut proxy = proxy(&key, json!({}));
    let anonymous = proxy.request(Request::get("/shop").header("x-auth-subject", "forged")).forwarded();
    assert_eq!(anonymous.upstream("x-auth-subject"), Vec::<String>::new());
    let good = proxy.request(Request::get("/shop").bearer(&key.token().sign())).forwarded();
    assert_eq!(good.upstream("x-auth-subject"), ["orders-service"]);
    proxy.tick();
    let count = |issuer: &str, reason: &str| {
        proxy.counter(&format!(
            "route=.=shop;.;issuer=.={issuer};.;outcome=.=permit;.;reason=.={reason};.;attache_decisions_total"
        ))
    };
    assert_eq!((count("none", "anonymous"), count("corp", "ok")), (1, 1));
}

#[test]
fn a_bad_token_is_refused_as_where_one_is_required() {
    let (key, other) = (Signer::new("k1"), Signer::unnamed("other").named(Some("k1")));
    let mut proxy = proxy(&key, json!({}));
    let mut tell = |request: Request| proxy.request(request).tells();
    let get = || Request::get("/shop");
    let good = key.token().sign();
    assert_eq!(tell(get()), "forwarded");
    assert_eq!(tell(get().header("authorization", "Basic YTpi")), "forwarded");
    for (request, tells) in [
        (get().bearer("garbage"), "401 token_parts"),
        (get().header("authorization", "Bearer"), "400 credential_malformed"),
        (get().header("authorization", "Bearer "), "400 credential_malformed"),
        (get().bearer(&good).bearer(&good), "400 credential_repeated"),
        (get().bearer(&other.token().sign()), "401 signature_invalid"),
        (get().bearer(&key.token().claim("exp", START - 3600).sign()), "401 expired"),
        (get().bearer(&key.token().claim("aud", "other").sign()), "401 wrong_audience"),
        (get().bearer(&key.token().claim("iss", "https://stranger.example").sign()), "401 issuer_unknown"),
        (get().bearer(&key.token().claim("scope", "orders").sign()), "403 scope_insufficient"),
    ] {
        assert_eq!(tell(request), tells);
    }
}

#[test]
fn the_default_may_be_optional() {
    let key = Signer::new("k1");
    let mut proxy = proxy(&key, json!({ "default": { "optional": { "authenticated": {} } } }));
    assert_eq!(proxy.request(Request::get("/elsewhere")).tells(), "forwarded");
    assert_eq!(proxy.get("/elsewhere", &key.token().claim("scope", "x").sign()), "forwarded");
    assert_eq!(proxy.get("/elsewhere", "garbage"), "401 token_parts");
}

/// Metadata only adds: what Envoy's route demands, it demands of every request.
#[test]
fn what_envoy_s_route_demands_is_demanded_of_every_request() {
    let key = Signer::new("k1");
    let mut proxy = proxy(&key, json!({ "route_metadata": "read", "forward_claims": null }));
    let get = || Request::get("/shop").metadata(&[("scopes", "orders:write")]);
    assert_eq!(proxy.request(Request::get("/shop")).tells(), "forwarded");
    let refused = proxy.request(get()).refused();
    assert_eq!(refused.response.details, "credential_missing");
    assert!(refused.challenge().unwrap().contains("scope=\"orders:read orders:write\""));
    let both = key.token().claim("scope", "orders:read orders:write");
    assert_eq!(proxy.request(get().bearer(&both.sign())).tells(), "forwarded");
    assert_eq!(proxy.request(get().bearer(&key.token().sign())).tells(), "403 scope_insufficient");
}

/// What a client may ask the authorization server for is the same, whether the route insists or not.
#[test]
fn the_scopes_of_optional_routes_are_in_the_resource_s_metadata() {
    let key = Signer::new("k1");
    let mut proxy = proxy(&key, json!({ "resource": { "identifier": "https://api.example" } }));
    let answer = proxy.request(Request::get("/.well-known/oauth-protected-resource")).refused();
    assert!(answer.response.body.contains("\"scopes_supported\":[\"orders:read\"]"));
}

#[test]
fn a_bad_token_on_a_report_only_route_is_forwarded_and_reported() {
    let key = Signer::new("k1");
    let optional = json!({ "authenticated": {} });
    let route =
        json!({ "name": "shop", "match": { "path": "/shop" }, "optional": optional, "mode": "report_only" });
    let mut proxy = proxy(&key, json!({ "routes": [route] }));
    let forwarded = proxy.request(Request::get("/shop").bearer("garbage")).forwarded();
    assert_eq!(forwarded.upstream("x-auth-subject"), Vec::<String>::new());
}
