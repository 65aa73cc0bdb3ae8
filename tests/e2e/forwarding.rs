use attache_harness::http::Request;
use attache_harness::issuer::TokenSpec;
use attache_harness::upstream::Echo;
use serde_json::{Value, json};

use crate::proxy::{Document, Listener, echo, inbound, route, trust};
use crate::raw;
use crate::secrets::{scoped, token};
use crate::world;

pub(crate) fn listeners() -> Vec<Listener> {
    let claims = json!([
        { "claim": "sub", "header": "x-auth-subject" },
        { "claim": "client_id", "header": "X-Auth-Client" },
        { "claim": ["realm_access", "roles"], "header": "x-auth-roles", "type": "strings", "separator": " " },
        { "claim": "tier", "header": "x-auth-tier", "type": "integer" },
        { "claim": "verified", "header": "x-auth-verified", "type": "boolean" },
        { "claim": "name", "header": "x-auth-name" },
    ]);
    let sources = json!([
        { "header": { "name": "authorization", "scheme": "Bearer" } },
        { "header": { "name": "x-token" } },
        { "query": { "name": "access_token" } },
        { "cookie": { "name": "token" } },
    ]);
    let routes = [
        route("forwarding-orders", "/orders", json!({ "require": { "scopes": ["orders:read"] } })),
        route("forwarding-public", "/public", json!({ "public": {} })),
        route(
            "forwarding-reported",
            "/reported",
            json!({ "require": { "scopes": ["orders:read"] }, "mode": "report_only" }),
        ),
    ];
    let listener = |name: &str, after: &str| {
        let token = json!({ "sources": sources, "after_verification": after });
        let document = inbound(
            &[trust("corp", json!({}))],
            &routes,
            json!({ "forward_claims": claims, "token": token }),
        );
        Listener::new(name, Document::Struct(document))
    };
    vec![listener("forwarding", "forward"), listener("stripping", "strip")]
}

const HEADERS: [&str; 6] =
    ["x-auth-subject", "x-auth-client", "x-auth-roles", "x-auth-tier", "x-auth-verified", "x-auth-name"];

#[test]
fn claims_reach_the_upstream_as_headers() {
    let world = world::visit();
    let spec = TokenSpec::scoped("orders:read")
        .claim("sub", "the subject itself")
        .claim("client_id", "warehouse")
        .claim("realm_access", json!({ "roles": ["picker", "packer"] }))
        .claim("tier", 7)
        .claim("verified", true)
        .claim("name", "Ada Lovelace");
    let token = token(world.issuer("corp"), &spec);
    // Twice on each worker: verified anew, and out of the cache.
    for _ in 0..4 {
        let seen = echo(&world.get("forwarding", "/orders").bearer(&token).send().unwrap());
        let values = HEADERS.map(|name| seen.header(name));
        let expected = ["the subject itself", "warehouse", "picker packer", "7", "true", "Ada Lovelace"];
        assert_eq!(values, expected.map(Some));
        assert_eq!(seen.header("authorization"), Some(format!("Bearer {token}").as_str()));
    }
}

#[test]
fn a_claim_without_a_text_leaves_its_header_absent_even_if_forged() {
    let world = world::visit();
    let spec = TokenSpec::scoped("orders:read")
        .without("sub")
        .without("client_id")
        .claim("realm_access", json!({ "roles": [1, 2] }))
        .claim("tier", Value::Null)
        .claim("verified", "no\r\nx-injected: yes")
        .claim("name", "no\r\nx-injected: yes");
    let request = forged(world.get("forwarding", "/orders").bearer(&token(world.issuer("corp"), &spec)));
    let seen = echo(&request.send().unwrap());
    assert_no_claims(&seen);
    assert_eq!(seen.header("x-injected"), None);
}

#[test]
fn a_long_claim_is_not_forwarded() {
    let world = world::visit();
    for (length, expected) in [(1024, Some("n".repeat(1024))), (1025, None)] {
        let spec = TokenSpec::scoped("orders:read").claim("name", "n".repeat(length));
        let request = world.get("forwarding", "/orders").bearer(&token(world.issuer("corp"), &spec));
        assert_eq!(echo(&request.send().unwrap()).header("x-auth-name"), expected.as_deref());
    }
}

#[test]
fn forged_claim_headers_never_reach_the_upstream() {
    let world = world::visit();
    for listener in ["forwarding", "stripping"] {
        let good = scoped(world.issuer("corp"), "orders:read");
        let seen = echo(&forged(world.get(listener, "/orders").bearer(&good)).send().unwrap());
        assert_eq!(seen.header("x-auth-client"), Some("orders-service"));
        assert_eq!(seen.header("x-auth-tier"), None);

        assert_no_claims(&echo(&forged(world.get(listener, "/public")).send().unwrap()));
        assert_no_claims(&echo(&forged(world.get(listener, "/public").bearer(&good)).send().unwrap()));
        // Denied, reported, forwarded: no claim of a token that was not verified.
        assert_no_claims(&echo(&forged(world.get(listener, "/reported")).send().unwrap()));
        let expired = token(world.issuer("corp"), &TokenSpec::scoped("orders:read").expired());
        assert_no_claims(&echo(&forged(world.get(listener, "/reported").bearer(&expired)).send().unwrap()));
        let narrow = scoped(world.issuer("corp"), "orders");
        assert_no_claims(&echo(&forged(world.get(listener, "/reported").bearer(&narrow)).send().unwrap()));
    }
}

#[test]
fn names_that_the_upstream_may_take_for_claims_are_stripped_where_nothing_is_refused() {
    let world = world::visit();
    let headers: [&[u8]; 4] = [
        b"X_Auth_Subject: forged",
        b"x-auth_client: forged",
        b"x_token: forged",
        b"aUTHORIZATION: Basic YTpi",
    ];
    let answer = raw::get(world.addr("forwarding"), "/reported", &headers);
    let seen = Echo::parse(&answer.body).unwrap();
    assert!(!format!("{:?}", seen.headers).contains("forged"), "{:?}", seen.headers);
    assert_eq!(seen.header("authorization"), Some("Basic YTpi"));
}

#[test]
fn a_token_is_stripped_from_wherever_it_sat_and_nothing_else_is() {
    let world = world::visit();
    let good = scoped(world.issuer("corp"), "orders:read");
    let get = |path: &str| world.get("stripping", path).header("x-other", "stays");
    let seen = |request: Request| {
        let seen = echo(&request.send().unwrap());
        let everything = format!("{} {:?}", seen.path, seen.headers);
        assert!(!everything.contains(&good), "{everything}");
        assert_eq!(seen.header("x-other"), Some("stays"));
        seen
    };
    assert_eq!(seen(get("/orders").bearer(&good)).header("authorization"), None);
    assert_eq!(seen(get("/orders").header("x-token", good.clone())).header("x-token"), None);
    assert_eq!(seen(get(&format!("/orders?access_token={good}"))).path, "/orders");
    assert_eq!(seen(get(&format!("/orders?a=%20b&access_token={good}&c=d&"))).path, "/orders?a=%20b&c=d&");
    assert_eq!(seen(get(&format!("/orders?acc%65ss_token={good}&c"))).path, "/orders?c");
    assert_eq!(seen(get("/orders").header("cookie", format!("token={good}"))).header("cookie"), None);
    let cookies = format!("a=b; token={good}; c=\"d\"");
    assert_eq!(seen(get("/orders").header("cookie", cookies)).header("cookie"), Some("a=b; c=\"d\""));
    // A credential of another kind is not ours to take.
    let basic = world.get("stripping", "/public").header("authorization", "Basic YTpi");
    assert_eq!(echo(&basic.send().unwrap()).header("authorization"), Some("Basic YTpi"));
}

#[test]
fn a_token_is_forwarded_where_it_sat_if_configured() {
    let world = world::visit();
    let good = scoped(world.issuer("corp"), "orders:read");
    let path = format!("/orders?a=b&access_token={good}");
    assert_eq!(echo(&world.get("forwarding", &path).send().unwrap()).path, path);
    let cookie = format!("token={good}");
    let request = world.get("forwarding", "/orders").header("cookie", cookie.clone());
    assert_eq!(echo(&request.send().unwrap()).header("cookie"), Some(cookie.as_str()));
}

#[test]
fn a_request_body_goes_through_unchanged() {
    let world = world::visit();
    let good = scoped(world.issuer("corp"), "orders:read");
    let body = vec![b'x'; 300_000];
    let request = Request::post(world.url("forwarding", "/orders")).bearer(&good).body(body);
    assert_eq!(echo(&request.send().unwrap()).body_length, 300_000);
}

fn forged(request: Request) -> Request {
    HEADERS.into_iter().fold(request, |request, name| request.header(name, "forged").header(name, "twice"))
}

#[track_caller]
fn assert_no_claims(seen: &Echo) {
    for name in HEADERS {
        assert_eq!(seen.header_values(name).count(), 0, "{name}: {:?}", seen.headers);
    }
}
