//! Paths and header names that we and a server behind us could read in two ways.

use attache::policy::{PathFeatures, RequestPath};
use serde_json::{Value, json};

use crate::proxy::{Proxy, Request, Signer, config};

/// A path for each odd feature that has that feature and no other.
const ODD: [(&str, &str); 11] = [
    ("empty_segment", "/files//a"),
    ("dot_segment", "/files/../a"),
    ("encoded_slash", "/files/a%2Fb"),
    ("encoded_backslash", "/files/a%5Cb"),
    ("encoded_dot", "/files/a%2Eb"),
    ("encoded_control", "/files/a%00"),
    ("backslash", "/files/a\\b"),
    ("semicolon", "/files/a;b=c"),
    ("bad_escape", "/files/a%zz"),
    ("needless_escape", "/files/a%3Ab"),
    ("lower_case_escape", "/files/caf%c3%A9"),
];

fn files(allowed: Value) -> Value {
    let route = |prefix: &str, name: &str, rule: &str, what: Value| {
        let mut route = json!({ "name": name, "match": { "prefix": prefix }, rule: what });
        if allowed != json!([]) {
            route["allow_in_path"] = allowed.clone();
        }
        route
    };
    // Where Envoy's own route has no part in it, other spellings of a path are no oddity.
    config(json!({ "route_metadata": "read", "routes": [
        route("/files", "files", "require", json!({ "authenticated": {} })),
        route("/open", "open", "public", json!({})),
        route("/shut", "shut", "deny", json!({})),
    ]}))
}

#[test]
fn an_ambiguous_path_is_refused_under_every_rule() {
    assert_eq!(ODD.map(|(name, _)| name), PathFeatures::NAMES.map(|(name, _)| name));
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&files(json!([])), &[&key]);
    let token = key.token().sign();
    for (feature, path) in ODD {
        for path in [path.to_owned(), path.replace("/files", "/open"), path.replace("/files", "/shut")] {
            let refused = proxy.request(Request::get(&path).bearer(&token)).refused();
            assert_eq!(refused.response.status, 400, "{path}");
            let text = format!("error_description=\"the path is ambiguous: {feature}\"");
            assert!(refused.challenge().unwrap().contains(&text), "{path}: {:?}", refused.challenge());
        }
    }
    // Where no route matches, too.
    assert_eq!(proxy.get("/a/..;/b", &token), "400 path_ambiguous");
    assert_eq!(proxy.signature_checks(), 0);
}

#[test]
fn a_feature_is_allowed_by_its_own_name_and_no_other() {
    let key = Signer::new("k1");
    let token = key.token().sign();
    for (allowed, _) in ODD {
        let mut proxy = Proxy::ready(&files(json!([allowed])), &[&key]);
        for (feature, path) in ODD {
            let expected = if feature == allowed { "forwarded" } else { "400 path_ambiguous" };
            assert_eq!(proxy.get(path, &token), expected, "{path} where {allowed} is allowed");
        }
    }
    let all: Vec<&str> = ODD.iter().map(|(name, _)| *name).collect();
    let mut proxy = Proxy::ready(&files(json!(all)), &[&key]);
    assert!(ODD.iter().all(|(_, path)| proxy.get(path, &token) == "forwarded"));
}

#[test]
fn what_is_no_path_is_refused_before_any_route_is_looked_up() {
    let key = Signer::new("k1");
    let open = config(json!({ "default": { "public": {} }, "routes": [
        { "name": "trial", "match": { "prefix": "/" }, "require": { "scopes": ["x"] }, "mode": "report_only" },
    ]}));
    let mut proxy = Proxy::ready(&open, &[&key]);
    for path in ["", "*", "?a", "orders", "http://api.example/orders", "/a b", "/a#b", "/\u{e4}", "/a\u{7f}"]
    {
        let answer = proxy.request(Request::new("OPTIONS", path));
        assert_eq!(answer.tells(), "400 path_invalid", "{path:?}");
        assert_eq!(answer.refused().annotation, "outcome=deny reason=path_invalid route=none issuer=none");
    }
    assert_eq!(proxy.request(Request::get("/x").without(":path")).tells(), "400 path_invalid");
    assert_eq!(
        proxy.request(Request::get("/x").without(":path").header(":path", b"/\xff")).tells(),
        "400 path_invalid"
    );
    let deepest = "/a".repeat(RequestPath::MAX_SEGMENTS);
    assert_eq!(proxy.request(Request::get(&deepest)).tells(), "forwarded, would be credential_missing");
    assert_eq!(proxy.request(Request::get(&format!("{deepest}/a"))).tells(), "400 path_invalid");
}

#[test]
fn an_escaped_letter_is_the_letter() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&config(json!({})), &[&key]);
    let token = key.token().claim("scope", "none").sign();
    for path in ["/%61dmin", "/admi%6E", "/%61%64%6d%69%6e", "/admin/"] {
        assert_eq!(proxy.get(path, &token), "403 scope_insufficient", "{path}");
    }
    // Decoded once, not twice; and a path is not its own with another case.
    for path in ["/%2561dmin", "/Admin"] {
        assert_eq!(proxy.get(path, &token), "403 route_unknown", "{path}");
    }
}

#[test]
fn a_prefix_ends_at_a_segment() {
    let mut proxy = Proxy::new(&config(json!({})));
    for (path, tells) in [
        ("/internal", "403 route_denied"),
        ("/internal/", "403 route_denied"),
        ("/internal/a/b", "403 route_denied"),
        ("/internal?x", "403 route_denied"),
        ("/internals", "403 route_unknown"),
        ("/internal.html", "403 route_unknown"),
        ("/x/internal", "403 route_unknown"),
    ] {
        assert_eq!(proxy.request(Request::get(path)).tells(), tells, "{path}");
    }
}

/// `x_auth_subject` is `x-auth-subject` to CGI and WSGI; Envoy may or may not drop it before us.
#[test]
fn a_header_that_imitates_one_of_ours_is_refused_everywhere() {
    let key = Signer::new("k1");
    let claims = json!({
        "forward_claims": [{ "claim": "sub", "header": "x-auth-subject" }],
        "token": { "sources": [{ "header": { "name": "authorization", "scheme": "Bearer" } },
                               { "header": { "name": "x-token" } }] },
    });
    let mut proxy = Proxy::ready(&config(claims), &[&key]);
    let token = key.token().sign();
    for name in [
        "x_auth_subject",
        "x-auth_subject",
        "X-Auth-Subject",
        "x_token",
        "X_TOKEN",
        "Authorization",
        "AUTHORIZATION",
    ] {
        assert_eq!(
            proxy.request(Request::get("/orders").bearer(&token).header(name, "a")).tells(),
            "400 header_lookalike",
            "{name}"
        );
        assert_eq!(
            proxy.request(Request::get("/healthz").header(name, "a")).tells(),
            "400 header_lookalike",
            "{name}"
        );
    }
    for name in ["x_auth", "user_agent", "x_auth_subjects", "x-auth-subject-2"] {
        assert_eq!(
            proxy.request(Request::get("/orders").bearer(&token).header(name, "a")).tells(),
            "forwarded",
            "{name}"
        );
    }
    assert_eq!(proxy.request(Request::get("/healthz").header(b"x_\xff", b"\xff")).tells(), "forwarded");
}

#[test]
fn an_imitation_is_removed_where_report_only_lets_the_request_through() {
    let trial = json!({
        "forward_claims": [{ "claim": "sub", "header": "x-auth-subject" }],
        "routes": [{ "name": "trial", "match": { "prefix": "/" }, "require": { "scopes": ["x"] }, "mode": "report_only" }],
    });
    let mut proxy = Proxy::new(&config(trial));
    let request = Request::get("/a").header("X_Auth-Subject", "root").header("x_auth_subject", "root");
    let seen = proxy.request(request).forwarded();
    assert!(seen.annotation.contains("reason=header_lookalike"));
    assert_eq!((seen.upstream("X_Auth-Subject"), seen.upstream("x_auth_subject")), (vec![], vec![]));
}

#[test]
fn hostile_headers_change_nothing() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&config(json!({})), &[&key]);
    let mut request = Request::get("/orders").bearer(&key.token().sign());
    for n in 0..500 {
        request = request.header(format!("x-{n}").as_bytes(), b"\xff\xfe\x00\r\n");
    }
    request = request.header("", "").header("x-long", "a".repeat(60_000));
    assert_eq!(proxy.request(request).tells(), "forwarded");
    let long = Request::get("/orders").header("authorization", format!("Bearer {}", "a".repeat(60_000)));
    assert_eq!(proxy.request(long).tells(), "401 token_too_long");
}
