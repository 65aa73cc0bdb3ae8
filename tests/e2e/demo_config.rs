use std::collections::BTreeMap;
use std::time::Duration;

use attache_harness::demo;
use attache_harness::demo_environment::Endpoints;
use attache_harness::http::Request;
use attache_harness::issuer::{Algorithm, DEMO_IDENTIFIER, Issuer, IssuerOptions};
use attache_harness::upstream::Upstream;
use serde_json::Value;

use crate::proxy::{Proxy, Shared, echo, eventually, shipped, visit};
use crate::raw;
use crate::secrets::scoped;

/// The repository's `envoy.yaml`; nothing but ports and the module's path is changed.
static SHIPPED: Shared = Shared::new(start);

fn start() -> Proxy {
    let issuer = Issuer::start(IssuerOptions {
        identifier: Some(DEMO_IDENTIFIER.into()),
        algorithms: vec![Algorithm::Rs256],
        ..IssuerOptions::default()
    });
    Proxy::run(shipped(), Upstream::start().unwrap(), BTreeMap::from([("idp".to_owned(), issuer.unwrap())]))
}

#[test]
fn every_row_of_the_demo_is_as_expected() {
    let proxy = start();
    let places = Endpoints {
        proxy: proxy.url("proxy", ""),
        admin: format!("http://{}", proxy.envoy().admin()),
        issuer: proxy.issuer("idp").url().to_owned(),
        sidecar: None,
    };
    demo::wait_until_up(&places, Duration::from_secs(30)).unwrap();
    let mut rows = Vec::new();
    demo::walk(&places, &mut |row| rows.push(row));
    let failed: Vec<_> = rows.iter().filter(|row| !row.is_ok()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    // The demo must not become an easier one.
    let expected: Vec<&str> = rows.iter().map(|row| row.expected.as_str()).collect();
    for (answer, least) in [
        ("200, upstream sees orders-service", 1),
        ("401 Bearer orders:read", 1),
        ("401 Bearer invalid_token", 4),
        ("403 Bearer insufficient_scope orders:write", 1),
        ("403", 1),
        ("200", 3),
    ] {
        let count = expected.iter().filter(|text| **text == answer).count();
        assert!(count >= least, "{count} rows expect {answer}");
    }
    assert!(rows.len() >= 20, "{} rows", rows.len());
}

#[test]
fn the_claim_headers_are_removed_before_envoy_chooses_a_route() {
    let mut bootstrap = shipped();
    let document = bootstrap.plugin_configuration().unwrap();
    let claims = document["inbound"]["forward_claims"].as_array().unwrap();
    let mut forwarded: Vec<&str> = claims.iter().map(|claim| claim["header"].as_str().unwrap()).collect();
    let manager = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
    let early = bootstrap
        .at(&format!("{manager}/early_header_mutation_extensions/0/typed_config/mutations"))
        .unwrap();
    let mut removed: Vec<&str> =
        early.as_array().unwrap().iter().map(|one| one["remove"].as_str().unwrap()).collect();
    forwarded.sort_unstable();
    removed.sort_unstable();
    assert_eq!(removed, forwarded, "the two lists of envoy.yaml");

    // So even where the policy is the route's own, a forged header is not the caller's to send.
    let proxy = visit(&SHIPPED);
    let stock = scoped(proxy.issuer("idp"), "inventory:read");
    let request = proxy.get("proxy", "/inventory/7").bearer(&stock).header("x-auth-subject", "somebody");
    let seen = echo(&request.send().unwrap());
    assert_eq!(seen.header("x-auth-subject"), Some("orders-service"));
}

#[test]
fn envoys_own_guards_are_on() {
    let proxy = visit(&SHIPPED);
    let good = format!("authorization: Bearer {}", scoped(proxy.issuer("idp"), "orders:read"));
    let addr = proxy.addr("proxy");
    let get = |path: &str, line: &str| raw::get(addr, path, &[good.as_bytes(), line.as_bytes()]);
    assert_eq!(get("/orders", "x-other: 1").status, 200);
    for (path, line) in [
        ("/orders%2F1", "x-other: 1"),
        ("/orders%5C1", "x-other: 1"),
        ("/orders", "x_auth_subject: somebody"),
    ] {
        let answer = get(path, line);
        assert_eq!(
            (answer.status, answer.header("www-authenticate")),
            (400, None),
            "Envoy answers, not the filter: {path} {line}"
        );
    }
    // Made plain before the filter looks: what the upstream gets is what was decided about.
    for path in ["//orders", "/x/../orders", "/./orders", "/x/%2e%2e/orders"] {
        let answer = get(path, "x-other: 1");
        let seen: Value = answer.json();
        assert_eq!((answer.status, seen["path"].as_str()), (200, Some("/orders")), "{path}");
    }
}

#[test]
fn the_access_log_of_the_demo_shows_the_decision() {
    let proxy = visit(&SHIPPED);
    assert_eq!(Request::new("PATCH", proxy.url("proxy", "/healthz")).send().unwrap().status, 200);
    let entry = eventually("the entry", || {
        let output = proxy.envoy().output();
        let mut entries = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        entries.find(|entry| entry["method"] == "PATCH")
    });
    assert_eq!(entry["decision"], "outcome=permit reason=ok route=health issuer=none");
}

#[test]
fn a_denied_caller_can_quote_the_id_by_which_the_demos_access_log_has_the_record() {
    let proxy = visit(&SHIPPED);
    let answer = proxy.get("proxy", "/orders").send().unwrap();
    assert_eq!(answer.status, 401);
    let id = answer.header("x-request-id").expect("an id").to_owned();
    let entry = eventually("the record", || {
        let output = proxy.envoy().output();
        let mut entries = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        entries.find(|entry| entry["request_id"] == id.as_str())
    });
    for (field, value) in [
        ("outcome", "deny"),
        ("reason", "credential_missing"),
        ("route", "list-orders"),
        ("path_template", "/orders"),
        ("scopes_missing", "orders:read"),
        ("client", ""),
    ] {
        assert_eq!(entry[field], value, "{field}: {entry}");
    }
}
