//! Preflight, report-only, and the metadata document of the protected resource.

use attache::base::Level;
use serde_json::{Value, json};

use crate::proxy::{Proxy, Request, Signer, Time as _, config};

fn preflight(path: &str, method: &str) -> Request {
    Request::new("OPTIONS", path)
        .header("origin", "https://app.example")
        .header("access-control-request-method", method)
}

fn cors(preflight: &str) -> Proxy {
    Proxy::new(&config(json!({ "cors_preflight": preflight, "routes": [
        { "name": "get", "match": { "path": "/orders", "methods": ["GET"] }, "require": { "scopes": ["a"] } },
        { "name": "post", "match": { "path": "/orders", "methods": ["POST"] }, "deny": {} },
    ]})))
}

#[test]
fn a_preflight_needs_no_token_where_it_is_configured() {
    let mut proxy = cors("forward");
    let mut tells = |request: Request| proxy.request(request).tells();
    assert_eq!(tells(preflight("/orders", "GET")), "forwarded");
    // It is let through for a method that has a chance only.
    assert_eq!(tells(preflight("/orders", "POST")), "403 route_denied");
    assert_eq!(tells(preflight("/orders", "DELETE")), "403 route_unknown");
    assert_eq!(tells(preflight("/other", "GET")), "403 route_unknown");
    assert_eq!(tells(preflight("/orders/../x", "GET")), "400 path_ambiguous");
    // What is not quite one is none.
    assert_eq!(tells(preflight("/orders", "GET").without("origin")), "403 route_unknown");
    assert_eq!(tells(Request::new("OPTIONS", "/orders").header("origin", "x")), "403 route_unknown");
    let get = preflight("/orders", "GET").without(":method").header(":method", "GET");
    assert_eq!(tells(get), "401 credential_missing");
}

#[test]
fn what_asks_about_no_method_or_brings_a_body_is_no_preflight() {
    let mut proxy = cors("forward");
    for request in [
        preflight("/orders", ""),
        preflight("/orders", "GET, POST"),
        preflight("/orders", "GET").header("access-control-request-method", "POST"),
        preflight("/orders", "GET").header("origin", "https://other.example"),
        preflight("/orders", "GET").without("origin").header("origin", ""),
        preflight("/orders", "GET").with_body(),
    ] {
        assert_eq!(proxy.request(request.clone()).tells(), "403 route_unknown", "{request:?}");
    }
    assert_eq!(proxy.request(preflight("/orders", "HEAD")).tells(), "forwarded");
}

#[test]
fn a_preflight_is_a_request_like_any_other_by_default() {
    assert_eq!(cors("authorize").request(preflight("/orders", "GET")).tells(), "403 route_unknown");
    let mut proxy = Proxy::new(&config(json!({})));
    assert_eq!(proxy.request(preflight("/orders", "GET")).tells(), "401 credential_missing");
}

fn trial() -> Value {
    config(json!({ "routes": [
        { "name": "trial", "match": { "path": "/trial" }, "require": { "scopes": ["a"] }, "mode": "report_only" },
        { "name": "shut", "match": { "path": "/shut" }, "deny": {}, "mode": "report_only" },
        { "name": "real", "match": { "path": "/real" }, "require": { "scopes": ["a"] } },
    ]}))
}

#[test]
fn report_only_forwards_counts_and_logs_what_it_would_have_denied() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&trial(), &[&key]);
    let token = key.token().claim("scope", "b").sign();
    assert_eq!(proxy.get("/trial", &token), "forwarded, would be scope_insufficient");
    assert_eq!(proxy.request(Request::get("/trial")).tells(), "forwarded, would be credential_missing");
    assert_eq!(proxy.get("/trial", "garbage"), "forwarded, would be token_parts");
    assert_eq!(proxy.get("/shut", &token), "forwarded, would be route_denied");
    assert_eq!(proxy.get("/trial", &key.token().claim("scope", "a").sign()), "forwarded");
    assert_eq!(proxy.get("/trial//", &token), "400 path_ambiguous");
    assert_eq!(proxy.get("/real", &token), "403 scope_insufficient");
    proxy.shut_down();
    let decisions = |outcome: &str, reason: &str, issuer: &str| {
        format!(
            "route=.=trial;.;issuer=.={issuer};.;outcome=.={outcome};.;reason=.={reason};.;attache_decisions_total"
        )
    };
    assert_eq!(proxy.counter(&decisions("report", "scope_insufficient", "corp")), 1);
    assert_eq!(proxy.counter(&decisions("report", "credential_missing", "none")), 1);
    assert_eq!(proxy.counter(&decisions("permit", "ok", "corp")), 1);
    let logs = proxy.logs(Level::Info);
    assert_eq!(
        logs[1..],
        [
            "report-only, would deny: outcome=report reason=scope_insufficient route=trial issuer=corp",
            "report-only, would deny: outcome=report reason=credential_missing route=trial issuer=none",
            "report-only, would deny: outcome=report reason=token_parts route=trial issuer=none",
            "report-only, would deny: outcome=report reason=route_denied route=shut issuer=none",
        ]
    );
}

#[test]
fn reports_are_logged_ten_a_second_and_the_rest_is_counted() {
    let mut proxy = Proxy::new(&trial());
    let reports =
        |proxy: &Proxy| proxy.logs(Level::Info).iter().filter(|line| line.contains("report-only")).count();
    for _ in 0..100 {
        assert_eq!(proxy.request(Request::get("/trial")).tells(), "forwarded, would be credential_missing");
    }
    assert_eq!(reports(&proxy), 10);
    proxy.sleep(999.ms());
    proxy.request(Request::get("/trial"));
    assert_eq!(reports(&proxy), 10);
    proxy.sleep(1.ms());
    proxy.request(Request::get("/trial"));
    assert_eq!(
        proxy.logs(Level::Info).last(),
        Some(
            &"report-only, would deny: outcome=report reason=credential_missing route=trial issuer=none (91 more before this one)"
        )
    );
    proxy.shut_down();
    let name = "route=.=trial;.;issuer=.=none;.;outcome=.=report;.;reason=.=credential_missing;.;attache_decisions_total";
    assert_eq!(proxy.counter(name), 102);
}

/// Keys that do not come hold a request up to its deadline, and a full list not at all.
#[test]
fn report_only_forwards_what_waited_in_vain() {
    let key = Signer::new("k1");
    let mut trial = trial();
    trial["inbound"]["waiting"] = json!({ "requests": 1 });
    let mut proxy = Proxy::new(&trial);
    let waits = proxy.request(Request::get("/trial").bearer(&key.token().sign())).waiting();
    assert_eq!(proxy.get("/trial", &key.token().sign()), "forwarded, would be waiting_full");
    proxy.advance(5.secs());
    assert_eq!(proxy.answer(waits).tells(), "forwarded, would be keys_unavailable");
}

fn resource(identifier: &str) -> Value {
    config(json!({ "resource": { "identifier": identifier, "documentation": "https://docs.example" } }))
}

/// RFC 9728 §3.1, §3.2.
#[test]
fn the_metadata_document_is_served_without_a_token() {
    for (identifier, path) in [
        ("https://api.example", "/.well-known/oauth-protected-resource"),
        ("https://api.example/", "/.well-known/oauth-protected-resource"),
        ("https://api.example/v1/orders", "/.well-known/oauth-protected-resource/v1/orders"),
        ("https://api.example:8443/v1/", "/.well-known/oauth-protected-resource/v1/"),
    ] {
        let mut proxy = Proxy::new(&resource(identifier));
        let served = proxy.request(Request::get(path)).refused();
        assert_eq!(served.annotation, "outcome=resource_metadata");
        assert_eq!(
            (served.response.status, served.header("content-type")),
            (200, Some("application/json")),
            "{path}"
        );
        let document: Value = serde_json::from_str(&served.response.body).unwrap();
        assert_eq!(
            document,
            json!({
                "resource": identifier,
                "authorization_servers": ["https://idp.example"],
                "bearer_methods_supported": ["header"],
                "scopes_supported": ["orders:admin", "orders:read"],
                "resource_documentation": "https://docs.example",
            })
        );
        let head = proxy.request(Request::new("HEAD", path)).refused();
        assert_eq!((head.response.status, head.response.body.as_str()), (200, ""));
        assert_eq!(proxy.request(Request::get(&format!("{path}?x=1"))).refused().response.status, 200);
        assert_eq!(proxy.request(Request::new("POST", path)).tells(), "403 route_unknown");
        assert_eq!(proxy.request(Request::new("OPTIONS", path)).tells(), "403 route_unknown");
        assert_eq!(proxy.request(Request::get(&format!("{path}x"))).tells(), "403 route_unknown");
        let below = Request::get(&format!("{}/x", path.trim_end_matches('/')));
        assert_eq!(proxy.request(below).tells(), "403 route_unknown");
    }
}

#[test]
fn without_a_resource_there_is_no_document() {
    let mut proxy = Proxy::new(&config(json!({})));
    assert_eq!(
        proxy.request(Request::get("/.well-known/oauth-protected-resource")).tells(),
        "403 route_unknown"
    );
    let refused = proxy.request(Request::get("/orders")).refused();
    assert_eq!(refused.challenge(), Some("Bearer scope=\"orders:read\""));
}

/// A caller that could choose the URL could send others to an authorization server of its own.
#[test]
fn the_challenge_names_the_configured_document_whatever_the_host() {
    let mut proxy = Proxy::new(&resource("https://api.example:8443/v1"));
    let expected = "Bearer scope=\"orders:read\", \
         resource_metadata=\"https://api.example:8443/.well-known/oauth-protected-resource/v1\"";
    for authority in ["api.example", "evil.example", "", "a\"b"] {
        let request = Request::get("/orders").authority(authority).header("x-forwarded-host", "evil.example");
        assert_eq!(proxy.request(request).refused().challenge(), Some(expected), "{authority}");
    }
    let evil = Request::get("/.well-known/oauth-protected-resource/v1").authority("evil.example");
    assert!(!proxy.request(evil).refused().response.body.contains("evil"));
}

/// RFC 9728 §2 knows `header`, `body` and `query`; what it has no word for is not named.
#[test]
fn the_document_names_the_places_that_a_token_may_be_in() {
    let header = || json!({ "header": { "name": "authorization", "scheme": "Bearer" } });
    let own = || json!({ "header": { "name": "x-token" } });
    let query = || json!({ "query": { "name": "access_token" } });
    let cookie = || json!({ "cookie": { "name": "token" } });
    for (sources, methods) in [
        (json!([header()]), json!(["header"])),
        (json!([query()]), json!(["query"])),
        (json!([cookie(), query(), header(), own()]), json!(["header", "query"])),
        (json!([cookie(), own()]), json!([])),
    ] {
        let mut config = resource("https://api.example");
        config["inbound"]["token"] = json!({ "sources": sources });
        let served =
            Proxy::new(&config).request(Request::get("/.well-known/oauth-protected-resource")).refused();
        let document: Value = serde_json::from_str(&served.response.body).unwrap();
        assert_eq!(document["bearer_methods_supported"], methods);
    }
}
