//! Counters, gauges, annotations and log lines: what dashboards, access logs and alerts are built on.

use attache::base::{Level, Observation};
use attache::telemetry::MAX_SERIES;
use serde_json::{Value, json};

use crate::proxy::{Host, Proxy, Request, START, Signer, Time as _, config, good, issuer, jwks, partner};

#[test]
fn every_decision_is_counted_by_route_issuer_outcome_and_reason() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&config(json!({})), &[&key]);
    let token = key.token().sign();
    for _ in 0..3 {
        proxy.get("/orders", &token);
    }
    proxy.get("/admin", &token);
    proxy.get("/orders", &key.token().claim("exp", 1).sign());
    proxy.get("/orders", "garbage");
    proxy.get("/nowhere", &token);
    proxy.get("/healthz", &token);
    proxy.request(Request::get("*"));
    proxy.tick();
    let decisions = |route: &str, issuer: &str, outcome: &str, reason: &str| {
        format!(
            "route=.={route};.;issuer=.={issuer};.;outcome=.={outcome};.;reason=.={reason};.;attache_decisions_total"
        )
    };
    let expected = [
        (decisions("orders", "corp", "permit", "ok"), 3),
        (decisions("admin", "corp", "deny", "scope_insufficient"), 1),
        (decisions("orders", "corp", "deny", "expired"), 1),
        (decisions("orders", "none", "deny", "token_parts"), 1),
        (decisions("default", "none", "deny", "route_unknown"), 1),
        (decisions("health", "none", "permit", "ok"), 1),
        (decisions("none", "none", "deny", "path_invalid"), 1),
        ("issuer=.=corp;.;result=.=changed;.;attache_key_fetches_total".to_owned(), 1),
        ("engine=.=portable;.;attache_signature_checks_total".to_owned(), 1),
        ("result=.=hit;.;attache_token_cache_total".to_owned(), 3),
        ("result=.=miss;.;attache_token_cache_total".to_owned(), 3),
    ];
    for (name, value) in &expected {
        assert_eq!(proxy.counter(name), *value, "{name}");
    }
    assert_eq!(proxy.counters().len(), expected.len(), "{:#?}", proxy.counters());
}

/// What cannot be a token at all is another fault than a token that is badly written, and nothing that was looked for.
#[test]
fn a_credential_of_wrong_characters_is_malformed_and_no_miss_of_the_cache() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&config(json!({})), &[&key]);
    let good = key.token().sign();
    let (header, rest) = good.split_once('.').unwrap();
    for bad in ["a b".to_owned(), "a,b".to_owned(), "a".to_owned() + "!", format!("{header}.!{rest}")] {
        assert_eq!(proxy.get("/orders", &bad), "400 credential_malformed", "{bad}");
    }
    proxy.tick();
    assert_eq!(proxy.counter("result=.=miss;.;attache_token_cache_total"), 0);
    assert_eq!(proxy.get("/orders", &format!("{header}.~{rest}")), "401 token_encoding");
    proxy.tick();
    assert_eq!(proxy.counter("result=.=miss;.;attache_token_cache_total"), 1);
}

#[test]
fn a_request_that_waited_is_counted_once() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::new(&config(json!({})));
    let waits = proxy.request(Request::get("/orders").bearer(&key.token().sign())).waiting();
    proxy.serve("idp", good(&jwks(&[&key])));
    proxy.tick();
    assert_eq!(
        proxy.answer(waits).forwarded().annotation,
        "outcome=permit reason=ok route=orders issuer=corp"
    );
    proxy.tick();
    let decisions: u64 = proxy
        .counters()
        .iter()
        .filter(|(name, _)| name.ends_with("attache_decisions_total"))
        .map(|(_, n)| n)
        .sum();
    assert_eq!(decisions, 1);
    assert_eq!(proxy.counter("result=.=miss;.;attache_token_cache_total"), 1);
}

#[test]
fn the_annotation_says_how_it_was_decided() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&config(json!({})), &[&key]);
    let token = key.token().sign();
    let permit = proxy.request(Request::get("/orders").bearer(&token)).forwarded().annotation;
    assert_eq!(permit, "outcome=permit reason=ok route=orders issuer=corp");
    let deny = proxy.request(Request::get("/admin").bearer(&token)).refused().annotation;
    assert_eq!(deny, "outcome=deny reason=scope_insufficient route=admin issuer=corp");
    let public = proxy.request(Request::get("/healthz")).forwarded().annotation;
    assert_eq!(public, "outcome=permit reason=ok route=health issuer=none");
}

/// Writing filter state costs as much as the rest of a permit.
#[test]
fn only_denials_are_annotated_unless_all_is_asked_for() {
    let key = Signer::new("k1");
    let routes = json!([
        { "name": "orders", "match": { "path": "/orders" }, "require": { "scopes": ["orders:read"] } },
        { "name": "tried", "match": { "path": "/tried" }, "require": { "scopes": ["x"] }, "mode": "report_only" },
    ]);
    for word in [json!(null), json!("denials")] {
        let mut proxy =
            Proxy::ready(&config(json!({ "filter_state": word, "routes": routes.clone() })), &[&key]);
        let token = key.token().sign();
        let permit = proxy.request(Request::get("/orders").bearer(&token)).forwarded().annotation;
        assert_eq!(permit, "");
        let report = proxy.request(Request::get("/tried").bearer(&token)).forwarded().annotation;
        assert_eq!(report, "outcome=report reason=scope_insufficient route=tried issuer=corp");
        let deny = proxy.request(Request::get("/nowhere").bearer(&token)).refused().annotation;
        assert_eq!(deny, "outcome=deny reason=route_unknown route=default issuer=none");
        proxy.tick();
        let permits =
            "route=.=orders;.;issuer=.=corp;.;outcome=.=permit;.;reason=.=ok;.;attache_decisions_total";
        assert_eq!(proxy.counter(permits), 1);
    }
}

/// Envoy never forgets a metric: what a configuration can make of them is bounded, and nothing is lost beyond the bound.
#[test]
fn series_are_bounded_and_nothing_goes_uncounted() {
    // Each route gives two series: no token, and a token that is none.
    let count = MAX_SERIES / 2 + 10;
    let routes: Vec<Value> = (0..count)
        .map(|n| json!({ "name": format!("r{n}"), "match": { "path": format!("/{n}") }, "require": { "authenticated": {} } }))
        .collect();
    let mut proxy = Proxy::new(&config(json!({ "routes": routes, "token_cache": "off" })));
    let decided = |proxy: &Proxy| {
        let names = proxy.counters().iter().filter(|(name, _)| name.ends_with("attache_decisions_total"));
        names.fold((0, 0, 0), |(names, merged, sum), (name, value)| {
            (
                names + 1,
                merged + u64::from(name.starts_with("route=.=other;.;issuer=.=other;.;")),
                sum + value,
            )
        })
    };
    for n in 0..MAX_SERIES / 2 {
        let path = format!("/{n}");
        proxy.request(Request::get(&path));
        proxy.get(&path, "garbage");
    }
    proxy.shut_down();
    assert_eq!(decided(&proxy), (MAX_SERIES, 0, u64::try_from(MAX_SERIES).unwrap()));
    for n in MAX_SERIES / 2..count {
        let path = format!("/{n}");
        let annotation = proxy.request(Request::get(&path)).refused().annotation;
        assert_eq!(annotation, "outcome=deny reason=credential_missing route=other issuer=other");
        proxy.get(&path, "garbage");
    }
    proxy.get("/0", "garbage");
    proxy.shut_down();
    let all = u64::try_from(MAX_SERIES).unwrap();
    assert_eq!(decided(&proxy), (MAX_SERIES + 2, 2, all + 21));
    assert_eq!(
        proxy.counter(
            "route=.=r0;.;issuer=.=none;.;outcome=.=deny;.;reason=.=token_parts;.;attache_decisions_total"
        ),
        2
    );
}

#[test]
fn gauges_tell_keys_their_age_and_the_configuration() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::new(&config(json!({ "version": 7, "issuers": [issuer(json!({})), partner()],
        "routes": [{ "name": "r", "match": { "path": "/" }, "public": {} }] })));
    proxy.serve("idp", crate::proxy::status(503));
    proxy.tick();
    assert_eq!(proxy.gauge("plugin=.=none;.;attache_config_version"), Some(7));
    assert_eq!(proxy.gauge("issuer=.=corp;.;attache_keys"), Some(0));
    assert_eq!(proxy.gauge("issuer=.=corp;.;attache_key_age_seconds"), None);
    proxy.serve("idp", good(&jwks(&[&key, &Signer::new("k2")])));
    proxy.advance_to_call("idp", 2);
    proxy.advance(90.secs());
    assert_eq!(proxy.gauge("issuer=.=corp;.;attache_keys"), Some(2));
    // Set once in a second.
    let age = proxy.gauge("issuer=.=corp;.;attache_key_age_seconds").unwrap();
    assert!((89..=90).contains(&age), "{age}");
    assert_eq!(proxy.gauge("issuer=.=partner;.;attache_keys"), Some(0));
    assert_eq!(proxy.gauge("issuer=.=partner;.;attache_key_age_seconds"), None);
}

#[test]
fn a_document_without_a_number_has_a_version_of_its_own() {
    let version = |patch: Value| {
        let mut proxy = Proxy::new(&config(patch));
        proxy.shut_down();
        proxy.gauge("plugin=.=none;.;attache_config_version").unwrap()
    };
    let (one, again, other) =
        (version(json!({})), version(json!({})), version(json!({ "waiting": { "requests": 7 } })));
    assert_eq!(one, again);
    assert_ne!(one, other);
    assert!(one > 0 && one <= u64::from(u32::MAX));
}

/// A request costs no host call for a metric: nothing is handed over before the tick, and then only what changed.
#[test]
fn metrics_are_handed_over_on_the_tick_and_only_when_they_change() {
    let settings = crate::proxy::compile(&config(json!({}))).unwrap();
    let now = attache::base::Timestamp::from_secs(START);
    let (mut host, mut commands) = (Host::default(), Vec::new());
    let mut filter = attache::filter::Filter::new(&settings, [0; 16], &mut host.at(now));
    let head = Request::get("/healthz").head();
    filter.handle_request(attache::base::StreamId(1), head, &mut host.at(now));
    assert_eq!(host.observations, []);
    filter.handle_shutdown(&mut host.at(now), &mut commands);
    // What is defined before it counts is a count of nothing.
    let is_zero = |observation: &Observation| matches!(observation, Observation::Count { by: 0, .. });
    assert_eq!(host.observations.iter().filter(|observation| !is_zero(observation)).count(), 2);
    host.observations.clear();
    filter.handle_shutdown(&mut host.at(now), &mut commands);
    assert_eq!((host.observations, commands), (vec![], vec![]));
}

/// Every test of this binary scrubs (see `Proxy::scrub_text`); this one makes sure that the net has no hole.
#[test]
fn no_log_line_of_a_bad_day_holds_a_token() {
    let (key, stranger) = (Signer::new("k1"), Signer::new("k2"));
    let mut proxy = Proxy::new(&config(json!({ "denials": { "body": "problem_json" } })));
    for fault in [0, 301, 500, 503] {
        proxy.serve("idp", crate::proxy::status(fault));
        for token in
            [key.token(), stranger.token(), key.token().claim("sub", "a-very-secret-subject-of-someone")]
        {
            proxy.get("/orders", &token.sign());
        }
        proxy.advance(10.secs());
    }
    let lines = proxy.logs(Level::Debug);
    assert!(lines.len() > 5);
    assert!(lines.iter().all(|line| !line.contains("eyJ") && !line.contains("secret")), "{lines:?}");
}

#[test]
#[should_panic(expected = "a token's content is told")]
fn the_scrub_sees_what_it_looks_for() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&config(json!({})), &[&key]);
    // A "token" that is the name of a metric, which will be told.
    proxy.request(Request::get("/healthz").header("x", "attache_signature_checks_total"));
    proxy.get("/orders", &key.token().sign());
    proxy.advance(1.secs());
}
