use attache_harness::http::Request;
use serde_json::json;

use crate::proxy::{Document, Listener, inbound, route, trust};
use crate::raw;
use crate::world;

pub(crate) fn listeners() -> Vec<Listener> {
    let routes = [
        route(
            "resource-read",
            "/orders",
            json!({ "require": { "issuers": ["corp"], "scopes": ["orders:read", "orders:audit"] } }),
        ),
        route(
            "resource-write",
            "/write",
            json!({ "require": { "issuers": ["second"], "any_scope": ["orders:write"] } }),
        ),
    ];
    let resource = json!({ "resource": {
        "identifier": "https://api.example/v1/orders",
        "documentation": "https://docs.example/orders",
    } });
    let issuers = [trust("corp", json!({})), trust("second", json!({}))];
    vec![
        Listener::new("resource", Document::Struct(inbound(&issuers, &routes, resource))),
        Listener::new("no-resource", Document::Struct(inbound(&issuers, &routes, json!({})))),
    ]
}

const PATH: &str = "/.well-known/oauth-protected-resource/v1/orders";

#[test]
fn the_metadata_document_describes_the_resource_and_needs_no_token() {
    let world = world::visit();
    let answer = world.get("resource", PATH).send().unwrap();
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let expected = json!({
        "resource": "https://api.example/v1/orders",
        "authorization_servers": ["https://corp.example", "https://second.example"],
        "bearer_methods_supported": ["header"],
        "scopes_supported": ["orders:audit", "orders:read", "orders:write"],
        "resource_documentation": "https://docs.example/orders",
    });
    assert_eq!(answer.json().unwrap(), expected);
    assert_eq!(world.get("resource", &format!("{PATH}?a=b")).send().unwrap().json().unwrap(), expected);
    let head = Request::new("HEAD", world.url("resource", PATH)).send().unwrap();
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[test]
fn only_the_documents_own_path_is_served() {
    let world = world::visit();
    for path in [
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/",
        "/.well-known/oauth-protected-resource/v1",
        "/.well-known/oauth-protected-resource/v1/orders/",
        "/.well-known/oauth-protected-resource/v1%2Forders",
    ] {
        assert_ne!(world.get("resource", path).send().unwrap().status, 200, "{path}");
    }
    assert_eq!(Request::post(world.url("resource", PATH)).send().unwrap().status, 403);
    assert_eq!(world.get("no-resource", PATH).send().unwrap().status, 403);
}

#[test]
fn challenges_name_the_document_and_the_host_header_has_no_influence() {
    let world = world::visit();
    let named = "Bearer scope=\"orders:audit orders:read\", \
         resource_metadata=\"https://api.example/.well-known/oauth-protected-resource/v1/orders\"";
    let addr = world.addr("resource");
    for headers in [
        &b"host: evil.example"[..],
        b"host: api.example:8443",
        b"x-forwarded-host: evil.example",
        b"forwarded: host=evil.example;proto=http",
    ] {
        let request = [b"GET /orders HTTP/1.1\r\n", headers, b"\r\n"].concat();
        let host: &[u8] = if headers.starts_with(b"host") { b"" } else { b"host: evil.example\r\n" };
        let answer = raw::exchange(addr, &[&request, host, b"connection: close\r\n\r\n"].concat());
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some(named)));
    }
    let plain = world.get("no-resource", "/orders").send().unwrap();
    assert_eq!(plain.header("www-authenticate"), Some("Bearer scope=\"orders:audit orders:read\""));
}
