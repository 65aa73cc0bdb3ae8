//! Headers by which frameworks behind us take another method or path than the request line's.

use serde_json::{Value, json};

use crate::proxy::{Proxy, Request, config};

fn proxy(patch: Value) -> Proxy {
    let mut inbound = json!({ "routes": [
        { "name": "delete", "match": { "path": "/orders", "methods": ["DELETE"] }, "deny": {} },
        { "name": "admin", "match": { "prefix": "/admin" }, "deny": {} },
        { "name": "lax", "match": { "prefix": "/" }, "public": {} },
    ]});
    crate::proxy::merge(&mut inbound, patch);
    Proxy::new(&config(inbound))
}

const METHODS: [&str; 3] = ["x-http-method-override", "x-method-override", "x-http-method"];
const PATHS: [&str; 2] = ["x-original-url", "x-rewrite-url"];

#[test]
fn a_method_or_path_that_takes_the_place_of_the_judged_one_is_refused() {
    let mut proxy = proxy(json!({}));
    let mut tells =
        |name: &str, value: &str| proxy.request(Request::new("POST", "/orders").header(name, value)).tells();
    for name in METHODS.into_iter().chain(["x_http_method_override"]) {
        assert_eq!(tells(name, "DELETE"), "400 method_overridden", "{name}");
        // What says the same takes nothing's place.
        assert_eq!(tells(name, "POST"), "forwarded", "{name}");
    }
    for name in PATHS.into_iter().chain(["x_original_url"]) {
        assert_eq!(tells(name, "/admin"), "400 path_overridden", "{name}");
        assert_eq!(tells(name, "/orders"), "forwarded", "{name}");
    }
}

/// A server behind would do what a route that is not on trial forbids.
#[test]
fn a_route_on_trial_lets_no_override_through() {
    let route =
        json!({ "name": "trial", "match": { "prefix": "/trial" }, "deny": {}, "mode": "report_only" });
    let mut inbound = json!({ "routes": [
        { "name": "admin", "match": { "path": "/admin", "methods": ["DELETE"] }, "deny": {} },
        route,
    ]});
    crate::proxy::merge(&mut inbound, json!({}));
    let mut proxy = Proxy::new(&config(inbound));
    assert_eq!(proxy.request(Request::new("POST", "/trial")).tells(), "forwarded, would be route_denied");
    for (name, value, reason) in [
        ("x-original-url", "/admin", "400 path_overridden"),
        ("x-http-method-override", "DELETE", "400 method_overridden"),
    ] {
        let request = Request::new("POST", "/trial").header(name, value);
        assert_eq!(proxy.request(request).tells(), reason);
    }
}

#[test]
fn one_of_several_that_says_something_else_is_enough() {
    let request = Request::new("POST", "/orders").header(METHODS[0], "POST").header(METHODS[0], "DELETE");
    assert_eq!(proxy(json!({})).request(request).tells(), "400 method_overridden");
}

#[test]
fn where_no_rule_asks_for_it_a_method_or_path_may_be_replaced() {
    let everything = |rule: Value| json!([{ "name": "all", "match": rule, "public": {} }]);
    let post = |name: &str| Request::new("POST", "/orders").header(name, "/x");
    let mut any = proxy(json!({ "routes": everything(json!({ "prefix": "/" })) }));
    let mut by_path = proxy(json!({ "routes": everything(json!({ "prefix": "/orders" })) }));
    let mut by_method = proxy(json!({ "routes": everything(json!({ "prefix": "/", "methods": ["POST"] })) }));
    let reading = json!({ "routes": everything(json!({ "prefix": "/" })), "route_metadata": "read" });
    let mut by_envoy = proxy(reading);
    for name in METHODS {
        assert_eq!(any.request(post(name)).tells(), "forwarded");
        assert_eq!(by_path.request(post(name)).tells(), "forwarded");
        assert_eq!(by_method.request(post(name)).tells(), "400 method_overridden");
        assert_eq!(by_envoy.request(post(name)).tells(), "400 method_overridden");
    }
    for name in PATHS {
        assert_eq!(any.request(post(name)).tells(), "forwarded");
        assert_eq!(by_path.request(post(name)).tells(), "400 path_overridden");
        assert_eq!(by_method.request(post(name)).tells(), "forwarded");
        assert_eq!(by_envoy.request(post(name)).tells(), "400 path_overridden");
    }
}

#[test]
fn each_header_may_be_allowed_by_name() {
    let mut proxy = proxy(json!({ "allow_overrides": ["x-http-method", "x-original-url"] }));
    for (name, told) in [
        ("x-http-method", "forwarded"),
        ("x-http-method-override", "400 method_overridden"),
        ("x-original-url", "forwarded"),
        ("x-rewrite-url", "400 path_overridden"),
    ] {
        assert_eq!(proxy.request(Request::new("POST", "/orders").header(name, "/x")).tells(), told, "{name}");
    }
}

/// It needs no token because it asks about a method, and does nothing.
#[test]
fn a_preflight_that_a_server_would_take_for_another_method_is_refused() {
    let all = json!({ "name": "all", "match": { "prefix": "/" }, "require": { "authenticated": {} } });
    let mut proxy = proxy(json!({ "routes": [all], "cors_preflight": "forward" }));
    let preflight = || {
        let request = Request::new("OPTIONS", "/orders").header("origin", "https://app.example");
        request.header("access-control-request-method", "POST")
    };
    for name in METHODS {
        assert_eq!(
            proxy.request(preflight().header(name, "DELETE")).tells(),
            "400 method_overridden",
            "{name}"
        );
        assert_eq!(proxy.request(preflight().header(name, "OPTIONS")).tells(), "forwarded", "{name}");
    }
    assert_eq!(proxy.request(preflight()).tells(), "forwarded");
}
