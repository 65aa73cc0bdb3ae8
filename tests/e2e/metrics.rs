use std::collections::BTreeSet;
use std::time::UNIX_EPOCH;

use attache_harness::issuer::{Algorithm, Fault, TokenSpec};
use attache_harness::prometheus::Sample;
use serde_json::json;

use crate::proxy::{
    Document, Listener, Proxy, Setup, VMS, WORKERS, eventually, inbound, issuer, jwks, route, trust,
    trust_with,
};
use crate::secrets::{scoped, token};

fn start() -> Proxy {
    let keys = |name: &str| json!({ "keys": { "jwks": jwks(name, json!({ "refresh": "1s", "timeout": "500ms" })) } });
    let inline = issuer("fixed", &[Algorithm::Es256]);
    let inline: serde_json::Value = serde_json::from_slice(&inline.jwks()).unwrap();
    let fixed = trust_with("fixed", json!({ "inline": inline }));
    let found = json!({ "discovery": { "cluster": "found", "refresh": "1h" } });
    let discovered = issuer("found", &[Algorithm::Es256]);
    discovered.set_jwks_uri(Some("https://found.example/jwks".to_owned()));
    let both = json!({ "require": { "issuers": ["corp", "second"], "scopes": ["orders:read"] } });
    let document = inbound(
        &[trust("corp", keys("corp")), trust("second", keys("second")), trust_with("found", found), fixed],
        &[route("orders", "/orders", both), route("health", "/healthz", json!({ "public": {} }))],
        json!({ "version": 4711 }),
    );
    let three = [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256];
    Setup::new()
        .with_issuer("corp", issuer("corp", &three))
        .issuer("second")
        .with_issuer("found", discovered)
        .listener(Listener::new("metrics", Document::Struct(document)))
        .start()
}

#[test]
fn the_prometheus_page_shows_all_metrics_with_their_labels() {
    let proxy = start();
    let (corp, other) = (proxy.issuer("corp"), proxy.issuer("second"));
    let get = || proxy.get("metrics", "/orders");
    let send = |request: attache_harness::http::Request, status: u16| {
        assert_eq!(request.send().unwrap().status, status)
    };
    let eddsa = token(corp, &TokenSpec::scoped("orders:read").algorithm(Algorithm::EdDsa));
    let es256 = scoped(other, "orders:read");
    for _ in 0..6 {
        send(get().bearer(&eddsa), 200);
    }
    send(get().bearer(&es256), 200);
    for _ in 0..3 {
        send(get(), 401);
    }
    send(get().bearer(&token(corp, &TokenSpec::default().expired())), 401);
    send(get().bearer(&scoped(other, "orders")), 403);
    send(proxy.get("metrics", "/healthz"), 200);
    send(proxy.get("metrics", "/elsewhere"), 403);

    let decisions = |route, issuer, outcome, reason, count: u64| {
        let labels = [("route", route), ("issuer", issuer), ("outcome", outcome), ("reason", reason)];
        proxy.expect_metric("attache_decisions_total", &labels, count);
    };
    decisions("orders", "corp", "permit", "ok", 6);
    decisions("orders", "second", "permit", "ok", 1);
    decisions("orders", "none", "deny", "credential_missing", 3);
    decisions("orders", "corp", "deny", "expired", 1);
    decisions("orders", "second", "deny", "scope_insufficient", 1);
    decisions("health", "none", "permit", "ok", 1);
    decisions("default", "none", "deny", "route_unknown", 1);
    proxy.expect_metric("attache_decisions_total", &[], 14);

    // Each worker verifies a token once and then knows it. One token was refused before its signature was looked at.
    let sum = |name: &str, labels: &[(&str, &str)]| proxy.metric(name, labels);
    let misses = sum("attache_token_cache_total", &[("result", "miss")]);
    let hits = sum("attache_token_cache_total", &[("result", "hit")]);
    assert_eq!(hits + misses, 9);
    let portable = sum("attache_signature_checks_total", &[("engine", "portable")]);
    let envoy = sum("attache_signature_checks_total", &[("engine", "envoy")]);
    assert!(
        (1..=u64::from(WORKERS)).contains(&portable),
        "EdDSA is checked by the portable engine: {portable}"
    );
    assert_eq!(envoy, 2, "ES256 is checked by Envoy");
    assert_eq!(misses, portable + envoy + 1);

    proxy.expect_metric("attache_config_version", &[], 4711);
    for (issuer, keys) in [("corp", 3), ("second", 1), ("found", 1), ("fixed", 1)] {
        proxy.expect_metric("attache_keys", &[("issuer", issuer)], keys);
    }
    let seen: BTreeSet<String> = attache_samples(&proxy).into_iter().map(|sample| sample.name).collect();
    // A histogram is three.
    assert_eq!(seen.len(), 15, "all that are documented: {seen:?}");
    for sample in attache_samples(&proxy) {
        let names: Vec<&str> = sample.labels.iter().map(|(name, _)| name.as_str()).collect();
        let expected: &[&str] = match sample.name.as_str() {
            "attache_decisions_total" => &["issuer", "outcome", "reason", "route"],
            "attache_token_cache_total" => &["result"],
            "attache_signature_checks_total" => &["engine"],
            "attache_key_fetches_total"
            | "attache_metadata_fetches_total"
            | "attache_shared_documents_total" => &["issuer", "result"],
            "attache_keys"
            | "attache_key_age_seconds"
            | "attache_key_fetch_failures"
            | "attache_key_next_fetch_timestamp_seconds" => &["issuer"],
            "attache_config_version" => &["plugin"],
            "attache_failed_check_microseconds_total" => &[],
            "attache_decision_microseconds_bucket" => &["le", "path"],
            "attache_decision_microseconds_sum" | "attache_decision_microseconds_count" => &["path"],
            other => panic!("{other} is no metric that we document"),
        };
        let mut sorted = names.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, expected, "{}", sample.name);
        assert!(
            sample.labels.iter().all(|(_, value)| !value.contains(";.;") && !value.is_empty()),
            "{sample:?}"
        );
    }
}

#[test]
fn an_outage_shows_in_the_fetches_and_in_the_gauges_of_its_issuer_alone() {
    let proxy = start();
    eventually("first keys in every VM", || (proxy.taken("corp") >= VMS - 1).then_some(()));
    proxy.expect_fetched("corp", "changed", 1);
    eventually("refreshes", || (proxy.fetched("corp", "unchanged") > 2).then_some(()));
    let gauge = |name: &str, issuer: &str| proxy.metric(name, &[("issuer", issuer)]);
    let failures = |issuer: &str| gauge("attache_key_fetch_failures", issuer);
    let ahead = |issuer: &str| {
        let next = gauge("attache_key_next_fetch_timestamp_seconds", issuer);
        i128::from(next) - i128::from(UNIX_EPOCH.elapsed().unwrap().as_secs())
    };
    assert_eq!(failures("corp"), 0);
    assert!((-3..=1).contains(&ahead("corp")), "a refresh each second: the next in {} s", ahead("corp"));
    proxy.issuer("corp").fault(Fault::RetryAfter { status: 500, seconds: 8 });
    eventually("failed fetches", || (proxy.fetched("corp", "status") == 1).then_some(()));
    eventually("a failure to show", || (failures("corp") == 1).then_some(()));
    eventually("the date of the next fetch to move", || (ahead("corp") > 2).then_some(()));
    eventually("old keys", || (gauge("attache_key_age_seconds", "corp") >= 4).then_some(()));
    eventually("another failure", || (failures("corp") == 2).then_some(()));
    // As often as the issuer allows.
    proxy.expect_fetched("corp", "status", 2);
    assert!(gauge("attache_key_age_seconds", "second") <= 3, "an issuer that is up has fresh keys");
    assert_eq!(failures("second"), 0);
    proxy.expect_metric("attache_keys", &[("issuer", "corp")], 3);
    proxy.issuer("corp").heal();
    eventually("fresh keys", || (gauge("attache_key_age_seconds", "corp") <= 1).then_some(()));
    assert_eq!(failures("corp"), 0);
    let absent = |name: &str| {
        proxy
            .samples()
            .iter()
            .all(|sample| sample.name != name || sample.labels.iter().all(|(_, value)| value != "fixed"))
    };
    assert!(
        absent("attache_key_age_seconds") && absent("attache_key_fetch_failures"),
        "no thread fetches `fixed`"
    );
}

/// Client ids are GUIDs, URLs and SPIFFE IDs: each comes through Envoy as it is.
#[test]
fn clients_that_a_requirement_names_are_labels_of_the_prometheus_page() {
    let clients = [
        "cart-service",
        "6731de76-14a6-49ae-97bc-6eba6914391e",
        "https://client.example:8443/app?x~(1)",
        "spiffe://prod.example/ns/shop/sa/cart",
        "cart..service",
        "%7B$1'",
    ];
    let named = json!({ "require": { "clients": clients } });
    let any = json!({ "require": { "authenticated": {} } });
    let document = inbound(
        &[trust("corp", json!({}))],
        &[route("named", "/named", named), route("any", "/any", any)],
        json!({}),
    );
    let proxy =
        Setup::new().issuer("corp").listener(Listener::new("clients", Document::Struct(document))).start();
    let send = |path: &str, client: &str, count: usize| {
        let spec = TokenSpec::default().claim("client_id", client);
        for _ in 0..count {
            let request = proxy.get("clients", path).bearer(&token(proxy.issuer("corp"), &spec));
            assert_eq!(request.send().unwrap().status, 200, "{client}");
        }
    };
    for (place, client) in clients.into_iter().enumerate() {
        send("/named", client, place + 1);
    }
    send("/any", "unknown\"} 1\nattache_keys{issuer=\"x", 2);
    let by_client = |client: &str, outcome: &str, count: u64| {
        let labels = [("issuer", "corp"), ("client", client), ("outcome", outcome)];
        proxy.expect_metric("attache_decisions_by_client_total", &labels, count);
    };
    for (place, client) in clients.into_iter().enumerate() {
        by_client(client, "permit", place as u64 + 1);
    }
    by_client("other", "permit", 2);
    // What alerts rest on is there before it happens.
    let samples = proxy.samples();
    let denied = samples.iter().filter(|sample| sample.name == "attache_decisions_by_client_total");
    let denied = denied.filter(|sample| sample.label("outcome") == Some("deny") && sample.value == 0.0);
    assert_eq!(denied.count(), clients.len());
    assert!(samples.iter().all(|sample| sample.label("issuer") != Some("x")));
}

/// In microseconds, and between a host call and the patience of a client.
#[test]
fn the_times_of_decisions_are_those_of_a_clock() {
    let proxy = start();
    let read = scoped(proxy.issuer("corp"), "orders:read");
    for _ in 0..200 {
        assert_eq!(proxy.get("metrics", "/orders").bearer(&read).send().unwrap().status, 200);
    }
    let of = |suffix: &str, path: &str| {
        proxy.metric(&format!("attache_decision_microseconds_{suffix}"), &[("path", path)])
    };
    eventually("samples", || (of("count", "known") >= 2 && of("count", "new") >= 1).then_some(()));
    for path in ["known", "new"] {
        let (sum, count) = (of("sum", path), of("count", path));
        assert!((1..=1_000_000).contains(&(sum / count)), "{path}: {sum} us in {count}");
    }
    assert!(of("count", "known") <= 200 / 64 + u64::from(WORKERS));
}

fn attache_samples(proxy: &Proxy) -> Vec<Sample> {
    let samples: Vec<_> =
        proxy.samples().into_iter().filter(|sample| sample.name.contains("attache_")).collect();
    // Envoy's own of our plugin's name are others.
    samples.into_iter().filter(|sample| !sample.name.starts_with("envoy_")).collect()
}
