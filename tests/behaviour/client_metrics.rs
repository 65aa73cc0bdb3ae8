//! Decisions by client: those that requirements name have a label, and what tokens say names no metric.

use std::collections::BTreeSet;

use attache::telemetry::MAX_CLIENT_SERIES;
use serde_json::{Value, json};

use crate::proxy::{ISSUER, Proxy, Request, Signer, config, issuer};

fn name(issuer: &str, client: &str, outcome: &str) -> String {
    format!("issuer=.={issuer};.;client=.={client};.;outcome=.={outcome};.;attache_decisions_by_client_total")
}

fn counted(proxy: &Proxy, client: &str, outcome: &str) -> u64 {
    proxy.counter(&name("corp", client, outcome))
}

fn series(proxy: &Proxy) -> Vec<&String> {
    let all = proxy.counters().keys().chain(proxy.defined());
    all.filter(|name| name.ends_with("attache_decisions_by_client_total")).collect()
}

/// A configuration in which this requirement has a route of its own, and any token is good for another.
fn requiring(requirement: Value) -> Value {
    config(json!({ "routes": [
        { "name": "named", "match": { "path": "/named" }, "require": requirement },
        { "name": "any", "match": { "path": "/any" }, "require": { "authenticated": {} } },
        { "name": "health", "match": { "path": "/healthz" }, "public": {} },
    ]}))
}

#[test]
fn decisions_are_counted_by_client_for_those_that_a_requirement_names() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&requiring(json!({ "clients": ["billing", "stock"] })), &[&key]);
    let of = |client: &str| key.token().claim("client_id", client).sign();
    for _ in 0..3 {
        assert_eq!(proxy.get("/named", &of("billing")), "forwarded");
    }
    assert_eq!(proxy.get("/named", &of("shop")), "403 client_not_accepted");
    assert_eq!(proxy.get("/any", &of("shop")), "forwarded");
    // A token that no key has signed has no client, and neither has one that names none, nor a request without one.
    let forged = Signer::new("k2").named(Some("k1")).token().claim("client_id", "billing").sign();
    assert_eq!(proxy.get("/named", &forged), "401 signature_invalid");
    assert_eq!(proxy.get("/any", &key.token().no_claim("client_id").no_claim("azp").sign()), "forwarded");
    proxy.request(Request::get("/healthz"));
    proxy.tick();
    for (client, outcome, count) in [
        ("billing", "permit", 3),
        ("billing", "deny", 0),
        ("stock", "permit", 0),
        ("other", "deny", 1),
        ("other", "permit", 1),
        ("none", "deny", 1),
        ("none", "permit", 1),
    ] {
        assert_eq!(counted(&proxy, client, outcome), count, "{client} {outcome}");
    }
    assert_eq!(proxy.counter(&name("none", "none", "permit")), 1);
    // As many as there are decisions.
    let sum = |metric: &str| -> u64 {
        let counters = proxy.counters().iter().filter(|(name, _)| name.ends_with(metric));
        counters.map(|(_, count)| count).sum()
    };
    assert_eq!(sum(";attache_decisions_by_client_total"), sum(";attache_decisions_total"));
    // An alert on an increase sees the first event.
    for client in ["billing", "stock"] {
        for outcome in ["permit", "deny"] {
            assert!(proxy.defined().contains(&name("corp", client, outcome)), "{client} {outcome}");
        }
    }
}

#[test]
fn a_report_only_mode_is_told_apart() {
    let key = Signer::new("k1");
    let mut trial = requiring(json!({ "clients": ["billing"], "scopes": ["x"] }));
    trial["inbound"]["routes"][0]["mode"] = json!("report_only");
    let mut proxy = Proxy::ready(&trial, &[&key]);
    assert_eq!(
        proxy.get("/named", &key.token().claim("client_id", "billing").sign()),
        "forwarded, would be scope_insufficient"
    );
    proxy.tick();
    assert_eq!(counted(&proxy, "billing", "report"), 1);
    assert_eq!(counted(&proxy, "billing", "permit"), 0);
}

#[test]
fn clients_are_found_wherever_a_requirement_stands() {
    let tree = json!({ "any": [{ "clients": ["a"] }, { "all": [{ "clients": ["b", "c"] }, "named"] }] });
    let mut document = requiring(tree);
    document["inbound"]["requirements"] =
        json!({ "named": { "clients": ["c"] }, "of_envoys_routes": { "clients": ["d", "a"] } });
    document["inbound"]["routes"][1] =
        json!({ "name": "any", "match": { "path": "/any" }, "optional": { "clients": ["e"] } });
    document["inbound"]["default"] = json!({ "require": { "clients": ["f"] } });
    let mut proxy = Proxy::new(&document);
    proxy.tick();
    let series = series(&proxy);
    for client in ["a", "b", "c", "d", "e", "f"] {
        assert!(series.contains(&&name("corp", client, "deny")), "{client}");
    }
    assert_eq!(series.len(), 12);
}

#[test]
fn there_are_no_such_counters_where_no_client_is_named() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&config(json!({})), &[&key]);
    proxy.get("/orders", &key.token().claim("client_id", "billing").sign());
    proxy.tick();
    assert!(series(&proxy).is_empty());
}

/// Separators of labels, what a query would have to escape, our own words, and what is too long.
#[test]
fn a_client_whose_name_can_be_no_label_is_another() {
    let key = Signer::new("k1");
    let longest = format!("spiffe://{}", "x".repeat(119));
    let too_long = format!("{longest}y");
    let odd = [
        "a;.;outcome=.=deny",
        "a=b",
        "a\"b",
        "a\\b",
        "a\nb",
        "a b",
        "é",
        ".a",
        "a.",
        "none",
        "other",
        &too_long,
    ];
    let named: Vec<&str> = odd.into_iter().chain([&*longest, "https://c.example:8443/x"]).collect();
    let mut proxy = Proxy::ready(&requiring(json!({ "clients": named })), &[&key]);
    for client in &named {
        assert_eq!(
            proxy.get("/named", &key.token().claim("client_id", *client).sign()),
            "forwarded",
            "{client}"
        );
    }
    proxy.tick();
    assert_eq!(counted(&proxy, "other", "permit"), u64::try_from(odd.len()).unwrap());
    for client in [&*longest, "https://c.example:8443/x"] {
        assert_eq!(counted(&proxy, client, "permit"), 1, "{client}");
    }
    assert_eq!(series(&proxy).into_iter().collect::<BTreeSet<_>>().len(), 5);
}

/// Envoy never forgets a metric.
#[test]
fn there_are_256_series_of_clients_and_what_is_beyond_is_counted_as_other() {
    let key = Signer::new("k1");
    let clients: Vec<_> = (0..150).map(|n| format!("c{n:03}")).collect();
    let mut proxy =
        Proxy::ready(&requiring(json!({ "clients": clients, "scopes": ["orders:read"] })), &[&key]);
    for (scope, answer) in [("orders:read", "forwarded"), ("x", "403 scope_insufficient")] {
        for client in &clients {
            let token = key.token().claim("client_id", &**client).claim("scope", scope).sign();
            assert_eq!(proxy.get("/named", &token), answer);
        }
        proxy.tick();
    }
    // All permits have their series; with them, so many denials.
    let denials = MAX_CLIENT_SERIES - clients.len();
    assert_eq!(counted(&proxy, &clients[denials - 1], "deny"), 1);
    assert_eq!(counted(&proxy, &clients[denials], "deny"), 0);
    assert_eq!(
        proxy.counter(&name("other", "other", "deny")),
        u64::try_from(clients.len() - denials).unwrap()
    );
    let series: BTreeSet<_> = series(&proxy).into_iter().collect();
    assert_eq!(series.len(), MAX_CLIENT_SERIES + 1);
}

#[test]
fn the_first_256_clients_that_requirements_name_have_labels() {
    let key = Signer::new("k1");
    let clients: Vec<_> = (0..=MAX_CLIENT_SERIES).map(|n| format!("c{n:04}")).collect();
    let mut document = requiring(json!({ "clients": clients[..200] }));
    document["inbound"]["routes"][1]["require"] = json!({ "clients": clients[200..] });
    let mut proxy = Proxy::ready(&document, &[&key]);
    for client in &clients[MAX_CLIENT_SERIES - 1..] {
        assert_eq!(proxy.get("/any", &key.token().claim("client_id", &**client).sign()), "forwarded");
    }
    proxy.tick();
    assert_eq!(counted(&proxy, "c0255", "permit"), 1);
    assert_eq!(counted(&proxy, "other", "permit"), 1);
}

/// Two issuers may have clients of one name.
#[test]
fn the_same_name_at_two_issuers_is_two_series() {
    let key = Signer::new("k1");
    let second = json!({ "name": "second", "issuer": "https://second.example" });
    let mut document = requiring(json!({ "clients": ["billing"], "issuers": ["corp", "second"] }));
    document["inbound"]["routes"][1]["require"]["issuers"] = json!(["corp"]);
    document["inbound"]["issuers"] = json!([issuer(json!({})), issuer(second)]);
    let mut proxy = Proxy::ready(&document, &[&key]);
    let token = |iss: &str| key.token().claim("iss", iss).claim("client_id", "billing").sign();
    proxy.get("/named", &token("https://second.example"));
    proxy.get("/named", &token(ISSUER));
    proxy.tick();
    for issuer in ["second", "corp"] {
        let counts = ["permit", "deny"].map(|outcome| proxy.counter(&name(issuer, "billing", outcome)));
        assert_eq!(counts.iter().sum::<u64>(), 1, "{issuer}");
    }
}
