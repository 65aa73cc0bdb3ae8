use attache_harness::http::Request;
use serde_json::{Value, json};

use crate::proxy::{Document, Listener, Visit, echo, inbound, trust};
use crate::world;

pub(crate) fn listeners() -> Vec<Listener> {
    let route = |name: &str, path: &str, methods: Value, rule: &str, how: Value| json!({ "name": name, "match": { "path": path, "methods": methods }, rule: how });
    let scopes = json!({ "scopes": ["orders:read"] });
    let routes = [
        route("cors-orders", "/orders", json!(["GET"]), "require", scopes.clone()),
        route("cors-closed", "/closed", json!(["GET"]), "deny", json!({})),
        route("cors-options", "/options", json!(["OPTIONS"]), "require", scopes),
    ];
    let listener = |name: &str, more: Value| {
        Listener::new(name, Document::Struct(inbound(&[trust("corp", json!({}))], &routes, more)))
    };
    vec![
        listener("cors-forward", json!({ "cors_preflight": "forward" })),
        listener("cors-deny", json!({ "cors_preflight": "authorize" })),
        listener("cors-default", json!({})),
    ]
}

#[test]
fn a_preflight_for_a_route_that_needs_a_token_passes_when_configured() {
    let world = world::visit();
    let seen = echo(&preflight(&world, "cors-forward", "/orders", "GET").send().unwrap());
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("OPTIONS", "/orders"));
}

#[test]
fn a_preflight_needs_a_token_unless_configured() {
    let world = world::visit();
    for listener in ["cors-deny", "cors-default"] {
        let answer = preflight(&world, listener, "/orders", "GET").send().unwrap();
        assert_eq!(answer.status, 403, "{listener}: no route is for OPTIONS");
        let answer = preflight(&world, listener, "/options", "GET").send().unwrap();
        assert_eq!(answer.status, 401, "{listener}");
    }
}

#[test]
fn what_brings_a_body_or_asks_about_nothing_is_no_preflight() {
    let world = world::visit();
    let with_body = preflight(&world, "cors-forward", "/options", "OPTIONS").body("x").send().unwrap();
    assert_eq!(with_body.status, 401);
    let of_nothing = preflight(&world, "cors-forward", "/options", "").send().unwrap();
    assert_eq!(of_nothing.status, 401);
}

#[test]
fn a_preflight_opens_nothing() {
    let world = world::visit();
    let get = |path: &str| world.get("cors-forward", path);
    let options = |path: &str| Request::new("OPTIONS", world.url("cors-forward", path));
    let asking = |request: Request| {
        request.header("origin", "https://app.example").header("access-control-request-method", "GET")
    };
    for (what, request, status) in [
        ("a closed route", preflight(&world, "cors-forward", "/closed", "GET"), 403),
        ("an unknown route", preflight(&world, "cors-forward", "/nowhere", "GET"), 403),
        ("a method that has no route", preflight(&world, "cors-forward", "/orders", "DELETE"), 403),
        ("an ambiguous path", preflight(&world, "cors-forward", "/x/../orders", "GET"), 400),
        ("no origin", options("/options").header("access-control-request-method", "GET"), 401),
        ("no requested method", options("/options").header("origin", "https://app.example"), 401),
        ("a GET that looks like one", asking(get("/orders")), 401),
        ("a POST that looks like one", asking(Request::post(world.url("cors-forward", "/orders"))), 403),
    ] {
        assert_eq!(request.send().unwrap().status, status, "{what}");
    }
}

fn preflight(world: &Visit, listener: &str, path: &str, method: &str) -> Request {
    Request::new("OPTIONS", world.url(listener, path))
        .header("origin", "https://app.example")
        .header("access-control-request-method", method)
}
