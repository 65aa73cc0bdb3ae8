use attache_harness::http::{Request, Response};
use attache_harness::issuer::TokenSpec;
use serde_json::{Value, json};

use crate::proxy::{Document, Listener, Visit, inbound, route, trust};
use crate::secrets::{scoped, token};
use crate::world;

pub(crate) fn listeners() -> Vec<Listener> {
    let routes = [
        route(
            "refusals-audit",
            "/audit",
            json!({ "require": { "scopes": ["orders:read", "orders:audit"] } }),
        ),
        route("refusals-closed", "/closed", json!({ "deny": {} })),
        route(
            "refusals-either",
            "/either",
            json!({ "require": { "any_scope": ["orders:read", "orders:admin"] } }),
        ),
    ];
    let listener = |name: &str, mut more: Value| {
        more["token"] = json!({ "sources": [
            { "header": { "name": "authorization", "scheme": "Bearer" } },
            { "query": { "name": "access_token" } },
            { "cookie": { "name": "token" } },
        ] });
        Listener::new(name, Document::Struct(inbound(&[trust("corp", json!({}))], &routes, more)))
    };
    vec![
        listener("refusals-plain", json!({})),
        listener(
            "refusals-full",
            json!({
                "denials": { "realm": "orders", "body": "problem_json" },
                "resource": { "identifier": "https://orders.example" },
            }),
        ),
        listener("refusals-terse", json!({ "denials": { "detail": "terse" } })),
    ]
}

/// What each kind of refused request gets: status, error and description of the challenge, scopes, reason.
struct Refused {
    request: fn(&Visit, Request) -> Request,
    path: &'static str,
    status: u16,
    title: &'static str,
    /// The challenge without realm, scope and resource metadata; none where no token would help.
    challenge: Option<&'static str>,
    scope: Option<&'static str>,
    detail: &'static str,
    reason: &'static str,
}

const REFUSED: [Refused; 8] = [
    Refused {
        request: |_, request| request,
        path: "/audit",
        status: 401,
        title: "Unauthorized",
        challenge: Some(""),
        scope: Some("orders:audit orders:read"),
        detail: "a bearer token is required",
        reason: "credential_missing",
    },
    Refused {
        request: |world, request| {
            request.bearer(&token(world.issuer("corp"), &TokenSpec::default().expired()))
        },
        path: "/audit",
        status: 401,
        title: "Unauthorized",
        challenge: Some("error=\"invalid_token\", error_description=\"the token expired\""),
        scope: None,
        detail: "the token expired",
        reason: "expired",
    },
    Refused {
        request: |world, request| request.bearer(&scoped(world.issuer("corp"), "orders:read")),
        path: "/audit",
        status: 403,
        title: "Forbidden",
        challenge: Some("error=\"insufficient_scope\", error_description=\"the token lacks a scope\""),
        scope: Some("orders:audit orders:read"),
        detail: "the token lacks a scope",
        reason: "scope_insufficient",
    },
    Refused {
        request: |world, request| request.bearer(&scoped(world.issuer("corp"), "orders")),
        path: "/either",
        status: 403,
        title: "Forbidden",
        challenge: Some("error=\"insufficient_scope\", error_description=\"the token lacks a scope\""),
        scope: Some("orders:admin orders:read"),
        detail: "the token lacks a scope",
        reason: "scope_insufficient",
    },
    Refused {
        request: |world, request| {
            let token = scoped(world.issuer("corp"), "orders:read");
            request.bearer(&token).header("cookie", format!("token={token}"))
        },
        path: "/either",
        status: 400,
        title: "Bad Request",
        challenge: Some(
            "error=\"invalid_request\", error_description=\"the request carries more than one token\"",
        ),
        scope: None,
        detail: "the request carries more than one token",
        reason: "credential_repeated",
    },
    Refused {
        request: |_, request| request.header("authorization", "Bearer not a token"),
        path: "/either",
        status: 400,
        title: "Bad Request",
        challenge: Some("error=\"invalid_request\", error_description=\"the token is not well-formed\""),
        scope: None,
        detail: "the token is not well-formed",
        reason: "credential_malformed",
    },
    Refused {
        request: |world, request| request.bearer(&scoped(world.issuer("corp"), "orders:read")),
        path: "/closed",
        status: 403,
        title: "Forbidden",
        challenge: None,
        scope: None,
        detail: "the route is closed",
        reason: "route_denied",
    },
    Refused {
        request: |world, request| request.bearer(&scoped(world.issuer("corp"), "orders:read")),
        path: "/nowhere",
        status: 403,
        title: "Forbidden",
        challenge: None,
        scope: None,
        detail: "no route matches",
        reason: "route_unknown",
    },
];

#[test]
fn a_refusal_says_exactly_why() {
    let world = world::visit();
    for case in &REFUSED {
        let answer = ask(&world, "refusals-full", case);
        let scope = case.scope.map(|scope| format!("scope=\"{scope}\""));
        let parts: Vec<&str> = ["realm=\"orders\""]
            .into_iter()
            .chain(case.challenge.filter(|challenge| !challenge.is_empty()))
            .chain(scope.as_deref())
            .chain(["resource_metadata=\"https://orders.example/.well-known/oauth-protected-resource\""])
            .collect();
        let challenge = case.challenge.map(|_| format!("Bearer {}", parts.join(", ")));
        assert_eq!(
            challenges(&answer),
            challenge.iter().map(String::as_str).collect::<Vec<_>>(),
            "{}",
            case.reason
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        let mut body = answer.json().unwrap();
        // Envoy's own, a UUID: it is another one for each request.
        let id = body.as_object_mut().unwrap().remove("request_id");
        assert_eq!(id.as_ref().and_then(Value::as_str).map(str::len), Some(36), "{}", case.reason);
        let problem = json!({
            "type": "about:blank",
            "title": case.title,
            "status": case.status,
            "detail": case.detail,
            "reason": case.reason,
        });
        assert_eq!(body, problem);
    }
}

#[test]
fn a_refusal_without_realm_body_and_resource_is_only_its_challenge() {
    let world = world::visit();
    for case in &REFUSED {
        let answer = ask(&world, "refusals-plain", case);
        let scope = case.scope.map(|scope| format!("scope=\"{scope}\""));
        let challenge = case.challenge.map(|error| {
            let parts = [Some(error).filter(|error| !error.is_empty()), scope.as_deref()];
            format!("Bearer {}", parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
        });
        assert_eq!(
            challenges(&answer),
            challenge.iter().map(String::as_str).collect::<Vec<_>>(),
            "{}",
            case.reason
        );
        assert!(answer.body.is_empty(), "{}", answer.text());
    }
}

#[test]
fn a_terse_refusal_tells_nothing() {
    let world = world::visit();
    for case in &REFUSED {
        let answer = ask(&world, "refusals-terse", case);
        let challenge: Vec<_> = case.challenge.iter().map(|_| "Bearer").collect();
        assert_eq!(challenges(&answer), challenge, "{}", case.reason);
        assert!(answer.body.is_empty(), "{}", answer.text());
        assert_eq!(answer.header("content-type"), None);
    }
}

#[test]
fn a_token_in_two_places_is_refused_even_when_both_are_the_same() {
    let world = world::visit();
    let token = scoped(world.issuer("corp"), "orders:read");
    let get = |query: &str| world.get("refusals-full", &format!("/either{query}"));
    let cookie = format!("token={token}");
    let query = format!("?access_token={token}");
    for (places, request) in [
        ("header and query", get(&query).bearer(&token)),
        ("header and cookie", get("").bearer(&token).header("cookie", cookie.clone())),
        ("query and cookie", get(&query).header("cookie", cookie.clone())),
        ("query twice", get(&format!("{query}&access_token={token}"))),
        ("cookie twice", get("").header("cookie", format!("{cookie}; {cookie}"))),
        ("cookie headers", get("").header("cookie", cookie.clone()).header("cookie", cookie.clone())),
    ] {
        let answer = request.send().unwrap();
        assert_eq!(
            (answer.status, &answer.json().unwrap()["reason"]),
            (400, &json!("credential_repeated")),
            "{places}"
        );
    }
    for (place, request) in [
        ("header", get("").bearer(&token)),
        ("scheme in other letters", get("").header("authorization", format!("bEARER {token}"))),
        ("query", get(&query)),
        ("cookie", get("").header("cookie", cookie)),
    ] {
        assert_eq!(request.send().unwrap().status, 200, "{place}");
    }
}

/// Envoy joins repeated `authorization` headers with a comma before the filter sees them.
#[test]
fn repeated_authorization_headers_are_refused_in_whatever_order() {
    let world = world::visit();
    let good = format!("Bearer {}", scoped(world.issuer("corp"), "orders:read"));
    for (first, second) in [
        (good.as_str(), good.as_str()),
        (&good, "Bearer"),
        (&good, "Basic YTpi"),
        (&good, "nothing"),
        ("Bearer a.b.c", &good),
        ("Basic YTpi", &good),
        ("nothing", &good),
    ] {
        let request = world
            .get("refusals-full", "/either")
            .header("authorization", first)
            .header("authorization", second);
        let answer = request.send().unwrap();
        let scheme = |value: &str| value.split(' ').next().unwrap_or_default().to_owned();
        assert_eq!(answer.status, 400, "{} and {}: {}", scheme(first), scheme(second), answer.text());
        assert!(answer.header("www-authenticate").unwrap().contains("error=\"invalid_request\""));
    }
}

#[test]
fn a_refused_request_does_not_reach_the_upstream() {
    let world = world::visit();
    for case in &REFUSED {
        let answer = ask(&world, "refusals-plain", case);
        assert_eq!(answer.header("x-envoy-upstream-service-time"), None, "{}", case.reason);
    }
    let permitted = scoped(world.issuer("corp"), "orders:read");
    let answer = world.get("refusals-plain", "/either").bearer(&permitted).send().unwrap();
    assert!(answer.header("x-envoy-upstream-service-time").is_some());
}

fn ask(world: &Visit, listener: &str, case: &Refused) -> Response {
    let answer = (case.request)(world, world.get(listener, case.path)).send().unwrap();
    assert_eq!(answer.status, case.status, "{} {}", case.reason, answer.text());
    answer
}

fn challenges(answer: &Response) -> Vec<&str> {
    answer
        .headers
        .iter()
        .filter(|(name, _)| name == "www-authenticate")
        .map(|(_, value)| value.as_str())
        .collect()
}
