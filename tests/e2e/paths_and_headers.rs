use attache_harness::issuer::TokenSpec;
use attache_harness::upstream::Echo;
use serde_json::{Value, json};

use crate::proxy::{Document, Listener, Visit, inbound, trust};
use crate::secrets::{scoped, token};
use crate::world;
use crate::{h2, raw};

pub(crate) fn listeners() -> Vec<Listener> {
    let route = |name: &str, matches: Value, rule: Value| {
        let mut route = json!({ "name": name, "match": matches });
        route.as_object_mut().unwrap().extend(rule.as_object().unwrap().clone());
        route
    };
    let scope = |scope: &str| json!({ "require": { "scopes": [scope] } });
    let files = json!({ "require": { "scopes": ["files:read"] }, "allow_in_path": ["encoded_slash"] });
    let routes = [
        route("paths-public", json!({ "prefix": "/public" }), json!({ "public": {} })),
        route("paths-admin", json!({ "prefix": "/admin" }), scope("admin:all")),
        route("paths-secret", json!({ "prefix": "/public/secret" }), scope("admin:all")),
        route("paths-files", json!({ "prefix": "/files" }), files),
        route("paths-order", json!({ "path": "/orders/{id}" }), scope("orders:read")),
        route("paths-orders", json!({ "path": "/orders", "methods": ["GET"] }), scope("orders:read")),
        route("paths-special", json!({ "path": "/orders/special" }), scope("orders:special")),
        route(
            "paths-host",
            json!({ "path": "/host", "authorities": ["api.example", "*.internal"] }),
            json!({ "public": {} }),
        ),
        route("paths-latin", json!({ "path": "/caf%C3%A9" }), json!({ "public": {} })),
    ];
    let more = json!({
        "denials": { "body": "problem_json" },
        "forward_claims": [{ "claim": "sub", "header": "x-auth-subject" }],
        "token": { "sources": [
            { "header": { "name": "authorization", "scheme": "Bearer" } },
            { "header": { "name": "x-token" } },
        ] },
    });
    vec![Listener::new("paths", Document::Struct(inbound(&[trust("corp", json!({}))], &routes, more)))]
}

#[test]
fn a_path_that_servers_understand_differently_is_refused_without_envoys_help() {
    let world = world::visit();
    let good = bearer(&world, "admin:all orders:read files:read");
    for (path, feature) in [
        ("//admin", "empty_segment"),
        ("/public//secret", "empty_segment"),
        ("/public/../admin", "dot_segment"),
        ("/public/./secret", "dot_segment"),
        ("/public/..", "dot_segment"),
        ("/public/%2e%2e/admin", "dot_segment"),
        ("/public/%2E./admin", "dot_segment"),
        ("/public/..;/admin", "dot_segment"),
        ("/public/..;a=b/admin", "dot_segment"),
        ("/public/..%3b/admin", "dot_segment"),
        ("/public/%2e", "dot_segment"),
        ("/public/a%2eb", "encoded_dot"),
        ("/public%2fsecret", "encoded_slash"),
        ("/public/..%2Fadmin", "dot_segment"),
        ("/public/x%2f..%2f..%2fadmin", "dot_segment"),
        ("/public%5csecret", "encoded_backslash"),
        ("/public/..%5C..%5Cadmin", "dot_segment"),
        ("/public/a;b", "semicolon"),
        ("/public;jsessionid=1/secret", "semicolon"),
        ("/public/a%3Bb", "semicolon"),
        ("/public/a%00", "encoded_control"),
        ("/public/secret%00.html", "encoded_control"),
        ("/public/a%0a", "encoded_control"),
        ("/public/a%7f", "encoded_control"),
        ("/public/a%", "bad_escape"),
        ("/public/a%2", "bad_escape"),
        ("/public/a%zz", "bad_escape"),
        ("/public/a%u002f", "bad_escape"),
        ("/public/a%ff", "bad_escape"),
        ("/public/a%c0%af", "bad_escape"),
        ("/public/a%c0%ae%c0%ae/admin", "bad_escape"),
    ] {
        for headers in [&[&good[..]][..], &[]] {
            let answer = raw::get(world.addr("paths"), path, headers);
            let problem = answer.json();
            assert_eq!(
                (answer.status, &problem["reason"]),
                (400, &json!("path_ambiguous")),
                "{path} {problem}"
            );
            assert_eq!(problem["detail"], format!("the path is ambiguous: {feature}"), "{path}");
        }
        // It is the path that counts, not the query.
        let query = format!("/public?{}", &path[1..]);
        assert_eq!(raw::get(world.addr("paths"), &query, &[]).status, 200, "{query}");
    }
}

/// What Envoy's parser refuses even without its guards never reaches us; what it lets through, we refuse.
#[test]
fn a_path_with_bytes_that_no_uri_may_hold_is_refused() {
    let world = world::visit();
    for path in [
        &b"/public\\..\\admin"[..],
        b"/public/\\admin",
        b"/public/#/../admin",
        b"/public/a\x7f",
        b"/public/\xc3\xa9",
        b"/public/\xff",
        b"/public/a\tb",
        b"/public/a\x01b",
        b"public/secret",
        b"*",
        b"",
    ] {
        let answer = raw::get(world.addr("paths"), path, &[]);
        assert_eq!(answer.status, 400, "{:?} {:?}", String::from_utf8_lossy(path), answer);
    }
    // As a URL, the form for proxies: Envoy takes host and path apart before we see them.
    let absolute = raw::get(world.addr("paths"), "http://orders.example/public/../admin", &[]);
    assert_eq!((absolute.status, &absolute.json()["reason"]), (400, &json!("path_ambiguous")));
    let connect = raw::send(world.addr("paths"), b"CONNECT orders.example:443 HTTP/1.1", &[]);
    assert!(connect.status >= 400, "{connect:?}");
}

#[test]
fn a_route_lets_through_only_what_it_names() {
    let world = world::visit();
    let good = bearer(&world, "files:read");
    let get = |path: &str| raw::get(world.addr("paths"), path, &[&good]);
    let answer = get("/files/a%2fb");
    assert_eq!((answer.status, Echo::parse(&answer.body).unwrap().path.as_str()), (200, "/files/a%2fb"));
    for path in ["/files/a%2f..%2fb", "/files/..%2f..%2fadmin", "/files//a", "/files/a%5cb"] {
        let answer = get(path);
        // The decoded segment `a/../b` is one segment to us; servers that decode first see dot segments in it.
        assert_eq!(answer.status, 400, "{path}: {}", String::from_utf8_lossy(&answer.body));
    }
}

#[test]
fn prefixes_end_at_segments_and_the_most_specific_route_decides() {
    let world = world::visit();
    let orders = bearer(&world, "orders:read");
    let status = |path: &str, headers: &[&[u8]]| raw::get(world.addr("paths"), path, headers).status;
    for (path, expected) in [
        ("/public", 200),
        ("/public/", 200),
        ("/public/a/b", 200),
        ("/publicity", 403),
        ("/public.html", 403),
        ("/public/secret", 401),
        ("/public/secret/x", 401),
        ("/public/secrets", 200),
        ("/Public", 403),
        ("/orders", 401),
        ("/caf%C3%A9", 200),
        ("/caf%c3%a9", 200),
        ("/publi%63", 200),
        ("/public/secre%74", 401),
        ("/%61dmin", 401),
    ] {
        assert_eq!(status(path, &[]), expected, "{path}");
    }
    for (path, expected) in [
        ("/orders", 200),
        ("/orders/1", 200),
        ("/orders/a%20b", 200),
        ("/orders/special", 403),
        ("/orders/speci%61l", 403),
        ("/orders/", 200),
        ("/orders/1/2", 403),
        ("/admin", 403),
    ] {
        assert_eq!(status(path, &[&orders]), expected, "{path}");
    }
    let post = raw::send(world.addr("paths"), b"POST /orders HTTP/1.1", &[&orders, b"content-length: 0"]);
    assert_eq!(post.status, 403, "the method is not listed");
}

#[test]
fn an_authority_matches_by_name_whatever_its_port_and_case() {
    let world = world::visit();
    for (host, status) in [
        ("api.example", 200),
        ("API.example:8443", 200),
        ("a.internal", 200),
        ("a.b.Internal:80", 200),
        ("internal", 403),
        ("evilinternal", 403),
        (".internal", 403),
        ("api.example.evil", 403),
        ("xapi.example", 403),
        ("api.example:443.evil", 403),
    ] {
        let request = format!("GET /host HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        let answer = raw::exchange(world.addr("paths"), request.as_bytes());
        // Envoy itself refuses some of these as no host at all.
        let expected = if status == 403 { [403, 400] } else { [status, status] };
        assert!(expected.contains(&answer.status), "{host}: {answer:?}");
    }
}

/// Envoy lets most of these through, and servers take them for `api.example`.
#[test]
fn an_authority_that_is_no_host_meets_no_rule() {
    let world = world::visit();
    for host in [
        "api.example:x",
        "api.example:80:80",
        "api.example:443.",
        "api.example:-1",
        "x@api.example",
        "api.example..",
        "[api.example]",
        "api.example,",
        ".internal",
    ] {
        let request = format!("GET /public HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        let answer = raw::exchange(world.addr("paths"), request.as_bytes());
        assert_eq!(answer.status, 400, "{host}: {answer:?}");
    }
    for host in ["api.example", "api.example.", "API.example:", "[::1]:8080", "127.0.0.1:80", "a_b.svc"] {
        let request = format!("GET /public HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        let answer = raw::exchange(world.addr("paths"), request.as_bytes());
        assert_eq!(answer.status, 200, "{host}: {answer:?}");
    }
}

#[test]
fn a_header_that_takes_the_request_lines_place_is_refused() {
    let world = world::visit();
    for (line, reason) in [
        ("x-http-method-override: DELETE", "method_overridden"),
        ("X_HTTP_Method_Override: DELETE", "method_overridden"),
        ("x-original-url: /admin", "path_overridden"),
        ("x-rewrite-url: /admin", "path_overridden"),
    ] {
        let answer = raw::get(world.addr("paths"), "/public", &[line.as_bytes()]);
        assert_eq!((answer.status, &answer.json()["reason"]), (400, &json!(reason)), "{line}");
    }
    for line in ["x-http-method-override: GET", "x-original-url: /public"] {
        assert_eq!(raw::get(world.addr("paths"), "/public", &[line.as_bytes()]).status, 200, "{line}");
    }
}

#[test]
fn a_method_in_lower_case_is_refused_over_http2() {
    let world = world::visit();
    let addr = world.addr("paths");
    let methods = ["GET", "DELETE", "get", "Delete"];
    let requests = methods.iter().map(|method| h2::of_method(method, addr, "/public")).collect();
    let statuses: Vec<u16> = h2::send_all(addr, requests).iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 200, 400, 400]);
}

#[test]
fn a_header_that_may_be_taken_for_a_protected_one_is_refused() {
    let world = world::visit();
    let good = bearer(&world, "orders:read");
    for twin in [
        "X_Auth_Subject",
        "x_auth_subject",
        "x-auth_subject",
        "X_AUTH-Subject",
        "x.auth.subject",
        "x_token",
        "X_Token",
    ] {
        let line = format!("{twin}: forged");
        for (path, headers) in [
            ("/orders", &[&good[..], line.as_bytes()][..]),
            ("/orders", &[line.as_bytes()]),
            ("/public", &[line.as_bytes()]),
        ] {
            let answer = raw::get(world.addr("paths"), path, headers);
            assert_eq!(
                (answer.status, &answer.json()["reason"]),
                (400, &json!("header_lookalike")),
                "{twin} {path}"
            );
        }
    }
    for other in ["x_auth", "x_auth_subject_", "user_agent", "x.auth"] {
        let line = format!("{other}: mine");
        assert_eq!(
            raw::get(world.addr("paths"), "/orders", &[&good, line.as_bytes()]).status,
            200,
            "{other}"
        );
    }
}

#[test]
fn a_claim_header_in_any_case_is_replaced_by_the_claim() {
    let world = world::visit();
    let good = bearer(&world, "orders:read");
    let answer = raw::get(
        world.addr("paths"),
        "/orders",
        &[&good, b"X-Auth-Subject: forged", b"X-AUTH-SUBJECT: again"],
    );
    let seen = Echo::parse(&answer.body).unwrap();
    assert_eq!(seen.header("x-auth-subject"), Some("orders-service"));
    let without = token(world.issuer("corp"), &TokenSpec::scoped("orders:read").without("sub"));
    let line = format!("authorization: Bearer {without}");
    let answer = raw::get(world.addr("paths"), "/orders", &[line.as_bytes(), b"X-Auth-Subject: forged"]);
    assert_eq!(Echo::parse(&answer.body).unwrap().header_values("x-auth-subject").count(), 0);
}

fn bearer(world: &Visit, scopes: &str) -> Vec<u8> {
    format!("authorization: Bearer {}", scoped(world.issuer("corp"), scopes)).into_bytes()
}
