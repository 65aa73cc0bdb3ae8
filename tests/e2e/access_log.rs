use attache_harness::issuer::TokenSpec;
use serde_json::json;

use crate::proxy::{Document, Listener, inbound, route, trust};
use crate::secrets::{scoped, token};
use crate::world;

pub(crate) fn listeners() -> Vec<Listener> {
    let routes = [
        route("log-orders", "/orders", json!({ "require": { "scopes": ["orders:read"] } })),
        route("log-health", "/healthz", json!({ "public": {} })),
    ];
    let resource = json!({ "resource": { "identifier": "https://orders.example" } });
    vec![Listener::new("log", Document::Struct(inbound(&[trust("corp", json!({}))], &routes, resource)))]
}

#[test]
fn the_access_log_shows_each_decision_and_why() {
    let world = world::visit();
    let corp = world.issuer("corp");
    let get = |path: &str, mark: &str| world.get("log", path).header("x-mark", mark);
    let document = "/.well-known/oauth-protected-resource";
    for (mark, request, status, decision, details) in [
        (
            "log-1",
            get("/orders", "log-1").bearer(&scoped(corp, "orders:read")),
            200,
            "outcome=permit reason=ok route=log-orders issuer=corp",
            "via_upstream",
        ),
        (
            "log-2",
            get("/orders", "log-2"),
            401,
            "outcome=deny reason=credential_missing route=log-orders issuer=none",
            "attache_credential_missing",
        ),
        (
            "log-3",
            get("/orders", "log-3").bearer(&token(corp, &TokenSpec::default().expired())),
            401,
            "outcome=deny reason=expired route=log-orders issuer=corp",
            "attache_expired",
        ),
        (
            "log-4",
            get("/elsewhere", "log-4"),
            403,
            "outcome=deny reason=route_unknown route=default issuer=none",
            "attache_route_unknown",
        ),
        (
            "log-5",
            get("/healthz", "log-5"),
            200,
            "outcome=permit reason=ok route=log-health issuer=none",
            "via_upstream",
        ),
        ("log-6", get(document, "log-6"), 200, "outcome=resource_metadata", "attache_resource_metadata"),
    ] {
        assert_eq!(request.send().unwrap().status, status, "{mark}");
        let entry = world.logged(mark);
        assert_eq!(entry["decision"], decision);
        assert_eq!(entry["details"], details, "{mark}");
        assert_eq!(entry["status"].to_string().trim_matches('"'), status.to_string(), "{mark}");
    }
}
