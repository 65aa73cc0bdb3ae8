use attache_harness::issuer::TokenSpec;
use serde_json::json;

use crate::h2;
use crate::proxy::{Document, Listener, inbound, trust};
use crate::secrets::{scoped, token};
use crate::world;

pub(crate) fn listeners() -> Vec<Listener> {
    let routes = [json!({
        "name": "grpc",
        "match": { "path": "/orders.Orders/Read", "methods": ["POST"] },
        "require": { "scopes": ["orders:read"] },
    })];
    let document = Document::Struct(inbound(&[trust("corp", json!({}))], &routes, json!({})));
    let all = json!({ "match": { "prefix": "/" }, "route": { "cluster": "upstream-h2" } });
    vec![Listener::new("grpc", document).routes(&[all])]
}

/// What it is, its path and headers, and the grpc-status and challenge that come.
type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a str, Option<&'a str>);

#[test]
fn a_grpc_caller_gets_a_grpc_status() {
    let world = world::visit();
    let corp = world.issuer("corp");
    let bearer = |spec: &TokenSpec| format!("Bearer {}", token(corp, spec));
    let expired = bearer(&TokenSpec::scoped("orders:read").expired());
    let narrow = bearer(&TokenSpec::scoped("orders"));
    let good = format!("Bearer {}", scoped(corp, "orders:read"));
    const READ: &str = "/orders.Orders/Read";
    let cases: [Case; 6] = [
        ("no token", READ, &[], "16", Some("Bearer scope=\"orders:read\"")),
        (
            "an expired token",
            READ,
            &[("authorization", &expired)],
            "16",
            Some("Bearer error=\"invalid_token\", error_description=\"the token expired\""),
        ),
        (
            "a scope lacking",
            READ,
            &[("authorization", &narrow)],
            "7",
            Some(
                "Bearer error=\"insufficient_scope\", error_description=\"the token lacks a scope\", scope=\"orders:read\"",
            ),
        ),
        ("an unknown method", "/orders.Orders/Write", &[("authorization", &good)], "7", None),
        (
            "two tokens, which Envoy joins with a comma",
            READ,
            &[("authorization", &good), ("authorization", &good)],
            "3",
            Some(
                "Bearer error=\"invalid_request\", error_description=\"the request carries more than one token\"",
            ),
        ),
        (
            "an ambiguous path",
            "/orders.Orders//Read",
            &[],
            "3",
            Some(
                "Bearer error=\"invalid_request\", error_description=\"the path is ambiguous: empty_segment\"",
            ),
        ),
    ];
    let addr = world.addr("grpc");
    let requests = cases.iter().map(|(_, path, headers, ..)| h2::grpc(addr, path, headers)).collect();
    for ((what, _, _, status, challenge), answer) in cases.iter().zip(h2::send_all(addr, requests)) {
        // gRPC over HTTP: 200, and the status beside it.
        assert_eq!(
            (answer.status, answer.field("grpc-status")),
            (200, Some(*status)),
            "{what}: {:?}",
            answer.headers
        );
        assert_eq!(answer.field("content-type"), Some("application/grpc"), "{what}");
        assert_eq!(answer.field("www-authenticate"), *challenge, "{what}");
    }
}

#[test]
fn a_grpc_call_with_a_good_token_reaches_the_upstream() {
    let world = world::visit();
    let good = format!("Bearer {}", scoped(world.issuer("corp"), "orders:read"));
    let addr = world.addr("grpc");
    let call = h2::grpc(addr, "/orders.Orders/Read", &[("authorization", &good), ("x-call", "mine")]);
    let answer = h2::send_all(addr, vec![call]).remove(0);
    assert_eq!((answer.status, answer.field("echo-x-call")), (200, Some("mine")), "{:?}", answer.headers);
    assert_eq!(answer.trailers.get("grpc-status").unwrap(), "0");
}
