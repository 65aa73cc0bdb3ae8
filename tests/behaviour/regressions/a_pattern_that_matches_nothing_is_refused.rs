//! Patterns in another product's language compiled, matched nothing, and left their requests to a laxer route.

use serde_json::{Value, json};

use crate::proxy::{Proxy, Request, compile, config};

#[track_caller]
fn refused(pattern: Value, problem: &str) {
    let routes = json!([{ "name": "r", "match": pattern, "deny": {} }]);
    let errors = compile(&config(json!({ "routes": routes }))).unwrap_err();
    assert_eq!(errors.to_string(), format!("inbound.routes[0].match.{problem}"));
}

#[test]
fn wildcards_and_colons_are_no_variables() {
    let text = "a variable is {name}, and a prefix is `prefix`; a literal * is %2A, a literal : is %3A";
    for path in ["/admin/*", "/admin/**", "/admin/:id", "/*"] {
        refused(json!({ "path": path }), &format!("path: {text}"));
    }
    refused(json!({ "prefix": "/admin/*" }), &format!("prefix: {text}"));
}

#[test]
fn what_is_escaped_is_meant_literally() {
    let mut proxy = Proxy::new(&config(json!({ "routes": [
        { "name": "docs", "match": { "path": "/docs/%7Bid%7D/%2A" }, "public": {} },
    ]})));
    assert_eq!(proxy.request(Request::get("/docs/%7bid%7d/*")).tells(), "forwarded");
    assert_eq!(proxy.request(Request::get("/docs/other/*")).tells(), "403 route_unknown");
}

#[test]
fn a_host_has_no_leading_dot_and_a_port_is_a_number() {
    let host = |authority: &str| json!({ "path": "/", "authorities": [authority] });
    refused(host(".internal.example"), "authorities[0]: a suffix is written *.example.com");
    for authority in
        ["api.example:https", "api.example:08443", "api.example:0", "api.example:65536", "api.example:"]
    {
        refused(host(authority), "authorities[0]: expected a port from 1 to 65535 after the colon");
    }
    for authority in ["api.example:8443", "[::1]", "[::1]:443"] {
        let routes = json!([{ "name": "r", "match": host(authority), "deny": {} }]);
        assert!(compile(&config(json!({ "routes": routes }))).is_ok(), "{authority}");
    }
}

#[test]
fn any_is_no_method() {
    for method in ["ANY", "ALL"] {
        refused(
            json!({ "path": "/", "methods": [method] }),
            "methods[0]: expected a method in upper case, like GET",
        );
    }
}
