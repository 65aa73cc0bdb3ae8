use attache_harness::issuer::TokenSpec;
use serde_json::json;

use crate::proxy::{Document, Listener, echo, eventually, inbound, route, trust};
use crate::secrets::{scoped, token};
use crate::world;

pub(crate) fn listeners() -> Vec<Listener> {
    let reported = json!({ "require": { "scopes": ["orders:read"] }, "mode": "report_only" });
    let routes = [
        route("report-only", "/orders", reported),
        route("report-only-closed", "/closed", json!({ "deny": {}, "mode": "report_only" })),
        route("enforced", "/enforced", json!({ "require": { "scopes": ["orders:read"] } })),
    ];
    vec![Listener::new(
        "reporting",
        Document::Struct(inbound(&[trust("corp", json!({}))], &routes, json!({}))),
    )]
}

#[test]
fn a_report_only_denial_is_forwarded_counted_and_logged() {
    let world = world::visit();
    let corp = world.issuer("corp");
    let get = |mark: &str| world.get("reporting", "/orders").header("x-mark", mark);
    for (mark, request, reason, issuer) in [
        ("reported-1", get("reported-1"), "credential_missing", "none"),
        (
            "reported-2",
            get("reported-2").bearer(&token(corp, &TokenSpec::default().expired())),
            "expired",
            "corp",
        ),
        ("reported-3", get("reported-3").bearer(&scoped(corp, "orders")), "scope_insufficient", "corp"),
    ] {
        echo(&request.send().unwrap());
        let labels =
            [("route", "report-only"), ("outcome", "report"), ("reason", reason), ("issuer", issuer)];
        world.expect_metric("attache_decisions", &labels, 1);
        let decision = format!("outcome=report reason={reason} route=report-only issuer={issuer}");
        assert_eq!(world.logged(mark)["decision"], decision);
        eventually("the log line", || {
            world.envoy().logs().contains(&format!("report-only, would deny: {decision}")).then_some(())
        });
    }
    echo(&get("reported-4").bearer(&scoped(corp, "orders:read")).send().unwrap());
    assert_eq!(
        world.logged("reported-4")["decision"],
        "outcome=permit reason=ok route=report-only issuer=corp"
    );
    let labels = [("route", "report-only"), ("outcome", "permit")];
    world.expect_metric("attache_decisions", &labels, 1);
}

#[test]
fn report_only_is_for_its_own_route() {
    let world = world::visit();
    echo(&world.get("reporting", "/closed").send().unwrap());
    for (path, status) in [("/enforced", 401), ("/elsewhere", 403)] {
        assert_eq!(world.get("reporting", path).send().unwrap().status, status, "{path}");
    }
}
