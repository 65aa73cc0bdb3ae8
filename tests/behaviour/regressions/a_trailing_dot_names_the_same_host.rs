//! `api.example.` is `api.example` to DNS and to most servers. The table took it for an unknown host, so that a client could
//! choose the laxer route for "any authority" by a dot.

use serde_json::json;

use crate::proxy::{Proxy, Request, compile, config};

#[test]
fn a_dot_at_the_end_does_not_escape_the_host_s_routes() {
    let mut proxy = Proxy::new(&config(json!({ "default": { "public": {} }, "routes": [
        { "name": "api", "match": { "prefix": "/", "authorities": ["api.example"] }, "deny": {} },
        { "name": "port", "match": { "prefix": "/", "authorities": ["port.example:8443"] }, "deny": {} },
        { "name": "zone", "match": { "prefix": "/", "authorities": ["*.internal"] }, "deny": {} },
    ]})));
    for authority in [
        "api.example",
        "api.example.",
        "API.EXAMPLE.",
        "api.example.:80",
        "port.example:8443",
        "port.example.:8443",
        "a.internal",
        "a.internal.",
        "a.internal.:80",
    ] {
        assert_eq!(
            proxy.request(Request::get("/").authority(authority)).tells(),
            "403 route_denied",
            "{authority}"
        );
    }
    for (authority, told) in [
        ("example", "forwarded"),
        ("port.example.", "forwarded"),
        ("internal.", "forwarded"),
        // One dot, at the end of a name.
        (".", "400 authority_invalid"),
        ("", "400 authority_invalid"),
        ("api.example..", "400 authority_invalid"),
    ] {
        assert_eq!(proxy.request(Request::get("/").authority(authority)).tells(), told, "{authority}");
    }
}

#[test]
fn a_pattern_is_written_without_it() {
    for authority in ["api.example.", "*.internal.", "api.example.:80"] {
        let routes =
            json!([{ "name": "r", "match": { "prefix": "/", "authorities": [authority] }, "deny": {} }]);
        let errors = compile(&config(json!({ "routes": routes }))).unwrap_err();
        assert_eq!(
            errors.to_string(),
            "inbound.routes[0].match.authorities[0]: leave the last dot out: a host matches with and without it"
        );
    }
}
