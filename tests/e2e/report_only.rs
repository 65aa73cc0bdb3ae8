use attache_harness::issuer::{Signer, TokenSpec};
use serde_json::json;

use crate::proxy::{Document, Listener, Visit, echo, eventually, inbound, route, trust, verdict};
use crate::secrets::{scoped, token};
use crate::world;

pub(crate) fn listeners() -> Vec<Listener> {
    let reported = json!({ "require": { "scopes": ["orders:read"] }, "mode": "report_only" });
    let routes = [
        route("report-only", "/orders", reported),
        route("report-only-closed", "/closed", json!({ "deny": {}, "mode": "report_only" })),
        route("enforced", "/enforced", json!({ "require": { "scopes": ["orders:read"] } })),
    ];
    let signed = inbound(
        &[trust("corp", json!({ "mode": "report_only" }))],
        &[route("signed", "/orders", json!({ "require": { "scopes": ["orders:read"] } }))],
        json!({
            "report_header": "x-attache-report",
            "forward_payload": { "header": "x-jwt-payload" },
            "denials": { "body": "problem_json" },
        }),
    );
    vec![
        Listener::new(
            "reporting",
            Document::Struct(inbound(&[trust("corp", json!({}))], &routes, json!({}))),
        ),
        Listener::new("reporting-signed", Document::Struct(signed)),
    ]
}

/// What an upstream sees of a request that lies about what is ours.
fn seen(world: &Visit, token: &str) -> (Option<String>, Option<String>) {
    let request = world.get("reporting-signed", "/orders").bearer(token);
    let request = request.header("x-attache-report", "forged").header("x-jwt-payload", "forged");
    let echo = echo(&request.send().unwrap());
    let header = |name| {
        let values: Vec<&str> = echo.header_values(name).collect();
        assert!(values.len() < 2, "{name}: {values:?}");
        values.first().map(|value| (*value).to_owned())
    };
    (header("x-attache-report"), header("x-jwt-payload"))
}

#[test]
fn the_upstream_learns_what_is_wrong_with_a_token_that_its_issuer_has_signed() {
    let world = world::visit();
    let corp = world.issuer("corp");
    let reported = |reason: &str| (Some(reason.to_owned()), None);
    for _ in 0..2 {
        let expired = token(corp, &TokenSpec::scoped("orders:read").expired());
        assert_eq!(seen(&world, &expired), reported("expired"));
        let elsewhere = token(corp, &TokenSpec::scoped("orders:read").claim("aud", "https://other.example"));
        assert_eq!(seen(&world, &elsewhere), reported("wrong_audience"));
        assert_eq!(seen(&world, &scoped(corp, "orders")), reported("scope_insufficient"));
        let good = scoped(corp, "orders:read");
        let payload = good.split('.').nth(1).map(str::to_owned);
        assert_eq!(seen(&world, &good), (None, payload));
    }
}

#[test]
fn a_token_that_nobody_has_signed_is_denied_by_a_report_only_issuer() {
    let world = world::visit();
    let forger = TokenSpec { signer: Signer::Forger, ..TokenSpec::scoped("orders:read") };
    let forged = token(world.issuer("corp"), &forger);
    let forged_and_expired = token(world.issuer("corp"), &forger.expired());
    for (token, reason) in [(forged, "signature_invalid"), (forged_and_expired, "signature_invalid")] {
        let answer = world.get("reporting-signed", "/orders").bearer(&token).send().unwrap();
        assert_eq!(verdict(&answer), (401, reason.to_owned()));
    }
    let answer = world.get("reporting-signed", "/orders").send().unwrap();
    assert_eq!(verdict(&answer), (401, "credential_missing".to_owned()));
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
        world.expect_metric("attache_decisions_total", &labels, 1);
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
    world.expect_metric("attache_decisions_total", &labels, 1);
}

#[test]
fn report_only_is_for_its_own_route() {
    let world = world::visit();
    echo(&world.get("reporting", "/closed").send().unwrap());
    for (path, status) in [("/enforced", 401), ("/elsewhere", 403)] {
        assert_eq!(world.get("reporting", path).send().unwrap().status, status, "{path}");
    }
}
