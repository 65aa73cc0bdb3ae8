//! docs/metrics.md lists every metric with its kind, labels and unit, and their values, and no other.

use std::collections::{BTreeMap, BTreeSet};

use attache::inbound::WorkPath;
use attache::jose::Engine;
use attache::oauth::{FetchError, TokenFault};
use attache::outbound::InjectionOutcome;
use attache::telemetry::{MAX_CLIENT_SERIES, MAX_SERIES, MAX_STREAM_SERIES};
use serde_json::json;

use crate::outbound::{Tokens, client, serve, to, with_clients};
use crate::proxy::{Proxy, Signer, config, good, issuer, jwks};

const PAGE: &str = include_str!("../../docs/metrics.md");
const CODE: [&str; 5] = [
    include_str!("../../src/telemetry/client_metrics.rs"),
    include_str!("../../src/telemetry/decision_times.rs"),
    include_str!("../../src/telemetry/metrics.rs"),
    include_str!("../../src/telemetry/stream_metrics.rs"),
    include_str!("../../src/telemetry/token_metrics.rs"),
];

/// A row of the table of all metrics.
#[derive(Debug)]
struct Row {
    kind: &'static str,
    labels: BTreeSet<&'static str>,
    unit: &'static str,
    exists: &'static str,
    most: &'static str,
}

/// The words in backquotes of a text.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// All names that the code gives to metrics.
fn names() -> BTreeSet<&'static str> {
    let own = CODE.iter().map(|code| code.split("#[cfg(test)]").next().unwrap());
    own.flat_map(|code| code.split('"').skip(1).step_by(2))
        .filter(|text| text.starts_with("attache_"))
        .collect()
}

fn rows() -> BTreeMap<&'static str, Row> {
    let lines = PAGE.lines().filter(|line| line.starts_with("| `attache_"));
    let rows: Vec<_> = lines
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let ["", name, kind, labels, unit, exists, most, ""] = cells[..] else { panic!("{line}") };
            let labels = words(labels).collect();
            (name.trim_matches('`'), Row { kind, labels, unit, exists, most })
        })
        .collect();
    let table: BTreeMap<_, _> = rows.into_iter().collect();
    let lines = PAGE.lines().filter(|line| line.starts_with("| `attache_")).count();
    assert_eq!(table.len(), lines, "a metric is there twice");
    table
}

#[test]
fn the_page_lists_every_metric_and_no_other() {
    assert_eq!(rows().into_keys().collect::<BTreeSet<_>>(), names());
    // Nor does a query or a sentence; each but the table's own says what the metric is.
    let is_part = |c: char| c.is_ascii_lowercase() || c == '_';
    for (start, _) in PAGE.match_indices("attache_") {
        let name = &PAGE[start..];
        let name = &name[..name.find(|c| !is_part(c)).unwrap_or(name.len())];
        let is_envoys = PAGE[..start].ends_with("envoy_wasm_");
        let own = name.strip_suffix("_bucket").unwrap_or(name);
        assert!(is_envoys || name == "attache_" || names().contains(own), "{name}");
    }
    for name in names() {
        let told = PAGE.lines().filter(|line| line.starts_with("- `attache_")).any(|line| {
            let about = line.split(':').next().unwrap();
            words(about).any(|word| word == name)
        });
        assert!(told, "no sentence says what {name} is");
    }
}

/// Prometheus' conventions: a counter's name ends in `_total`, and a unit is a part of the name.
#[test]
fn each_name_tells_its_kind_and_unit_as_the_page_does() {
    for (name, Row { kind, unit, exists, most, .. }) in rows() {
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
        let stem = name.strip_suffix("_total").unwrap_or(name);
        for measure in ["microseconds", "milliseconds", "seconds", "percent"] {
            let is_named = stem.split('_').any(|part| part == measure);
            assert_eq!(is_named, unit == measure, "{name} is in {unit}");
        }
        assert!(!unit.is_empty() && !exists.is_empty() && !most.is_empty(), "{name}");
    }
}

#[test]
fn the_page_lists_every_metric_with_its_kind_and_labels() {
    let key = Signer::new("k1");
    let keys = json!({ "keys": { "jwks": null, "discovery": { "cluster": "found" } } });
    let mut found = Proxy::new(&config(json!({ "issuers": [issuer(keys)] })));
    found.tick();
    let named = json!({ "streams": { "end": "at_expiry" }, "requirements": { "r": { "clients": ["c"] } } });
    let mut inbound = Proxy::ready(&config(named), &[&key]);
    inbound.serve("idp", good(&jwks(&[&key])));
    inbound.get("/orders", &key.token().sign());
    // Signed by none of the keys.
    let forger = Signer::new("k2").named(Some("k1"));
    for n in 0..10 {
        inbound.get("/orders", &forger.token().claim("jti", n).sign());
        inbound.tick();
    }
    inbound.shut_down();
    let discovering = json!({ "token_endpoint": null,
        "discovery": { "issuer": "https://found.example", "cluster": "found" } });
    let clients = [client("billing", json!({})), client("stock", discovering)];
    let mut outbound = Proxy::new(&with_clients(&clients, json!({})));
    let tokens = Tokens::new();
    serve(&mut outbound, "idp", &tokens);
    outbound.request(to("billing"));
    tokens.fail(crate::proxy::status(500));
    outbound.tick();
    tokens.recover();
    outbound.tick();
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (kind, name) in [&found, &inbound, &outbound].into_iter().flat_map(Proxy::metrics) {
        let (labels, name) = name.rsplit_once(";.;").unwrap_or(("", name));
        let labels = labels.split(";.;").filter_map(|label| Some(label.split_once("=.=")?.0.to_owned()));
        seen.entry(format!("{kind} {name}")).or_default().extend(labels);
    }
    let listed = rows().into_iter().map(|(name, Row { kind, labels, .. })| {
        (format!("{kind} {name}"), labels.into_iter().map(str::to_owned).collect())
    });
    assert_eq!(seen, listed.collect());
}

/// What the table says exists from the start does, before any request, and before any issuer or token endpoint has
/// answered.
#[test]
fn what_the_page_says_to_exist_from_the_start_does() {
    let streams = json!({ "streams": { "end": "at_expiry" }, "requirements": { "r": { "clients": ["c"] } } });
    let mut inbound = Proxy::new(&config(streams));
    let discovery = json!({ "keys": { "jwks": null, "discovery": { "cluster": "found" } } });
    let mut found = Proxy::new(&config(json!({ "issuers": [issuer(discovery)] })));
    let discovering = json!({ "token_endpoint": null,
        "discovery": { "issuer": "https://found.example", "cluster": "found" } });
    let clients = [client("billing", json!({})), client("stock", discovering)];
    let mut outbound = Proxy::new(&with_clients(&clients, json!({})));
    [&mut inbound, &mut found, &mut outbound].into_iter().for_each(Proxy::tick);
    let seen = |proxy: &Proxy, name: &str| {
        proxy.metrics().any(|(_, full)| full.rsplit_once(";.;").map_or(&**full, |(_, name)| name) == name)
    };
    for (name, Row { exists, .. }) in rows() {
        let is_there = [&inbound, &found, &outbound].into_iter().any(|proxy| seen(proxy, name));
        let is_promised = exists.ends_with("from the start") || exists == "always";
        assert_eq!(is_there, is_promised, "{name} exists: {exists}");
    }
    for proxy in [&inbound, &found, &outbound] {
        assert!(proxy.counters().is_empty(), "{:?}", proxy.counters());
    }
}

#[test]
fn the_numbers_of_series_are_those_of_the_code() {
    let rows = rows();
    let thousands = |number: usize| match number / 1_000 {
        0 => number.to_string(),
        thousands => format!("{thousands},{:03}", number % 1_000),
    };
    for (name, most) in [
        ("attache_decisions_total", MAX_SERIES),
        ("attache_key_fetches_total", MAX_SERIES),
        ("attache_injections_total", MAX_SERIES),
        ("attache_decisions_by_client_total", MAX_CLIENT_SERIES),
        ("attache_streams_total", MAX_STREAM_SERIES),
    ] {
        assert!(rows[name].most.starts_with(&thousands(most)), "{name}: {}", rows[name].most);
    }
}

#[test]
fn the_page_lists_every_value_of_result_outcome_and_engine() {
    let part = |from: &str, to: &str| {
        let (_, text) = PAGE.split_once(from).unwrap_or_else(|| panic!("the page lacks {from}"));
        text.split(to).next().unwrap()
    };
    // Fetches: a table, and what the other document has in place of some.
    let table = part("The `result` of `attache_key_fetches_total`", "\n### ");
    let table: BTreeSet<&str> =
        table.lines().filter(|line| line.starts_with("| `")).filter_map(|row| words(row).next()).collect();
    let fetches = [&FetchError::KEY_SET_RESULTS[..], &FetchError::METADATA_RESULTS].concat();
    assert_eq!(table, fetches.into_iter().collect());
    let endpoint: BTreeSet<&str> = FetchError::ENDPOINT_METADATA_RESULTS.into_iter().collect();
    let sentence = part("- `attache_token_endpoint_metadata_fetches_total`", "\n- ");
    let sentence = sentence.split("`result` is one of").nth(1).unwrap();
    let more: BTreeSet<&str> = endpoint.difference(&table).copied().collect();
    let told: BTreeSet<&str> =
        words(sentence).filter(|word| !["result", "jwks_uri"].contains(word)).collect();
    assert_eq!(told, more);
    // Token requests: a list.
    let list = part("The `result` of `attache_token_requests_total`:", "\n### ");
    let items = list.lines().map(|line| {
        let is_list = line.contains("as above")
            || line.contains("the token is missing")
            || line.contains("error codes");
        if is_list || !line.starts_with("- ") { line } else { line.split(": ").next().unwrap() }
    });
    let items: Vec<&str> = items.collect();
    let known: BTreeSet<&str> = TokenFault::RESULTS.into_iter().collect();
    let listed: BTreeSet<&str> = items.iter().flat_map(|line| words(line)).collect();
    let strays = ["token_types"];
    let listed: BTreeSet<&str> = listed.into_iter().filter(|word| !strays.contains(word)).collect();
    assert_eq!(listed, known);
    // Injections: four outcomes, and the reasons of docs/errors.md.
    let outcomes = part("Its `outcome`:", "`client`");
    let outcomes: Vec<&str> = outcomes.split("`").skip(1).step_by(2).collect();
    for outcome in &InjectionOutcome::LABELS[..4] {
        assert!(outcomes.contains(outcome), "{outcome}");
    }
    assert!(outcomes.len() == 4, "{outcomes:?}");
    let paths = part("`path` is", "One `known`");
    let paths: BTreeSet<&str> = words(paths).collect();
    assert_eq!(paths, [WorkPath::Known, WorkPath::New, WorkPath::Waited].map(WorkPath::label).into());
    // Signature checks.
    for engine in [Engine::Envoy, Engine::RustCrypto] {
        assert!(PAGE.contains(&format!("`{}`", engine.label())));
    }
}

/// An alert on an increase sees the first event.
#[test]
fn counters_that_alerts_rest_on_are_there_from_the_start() {
    let mut proxy = Proxy::new(&config(json!({})));
    proxy.tick();
    for result in FetchError::KEY_SET_RESULTS {
        let name = format!("issuer=.=corp;.;result=.={result};.;attache_key_fetches_total");
        assert!(proxy.defined().contains(&name) || proxy.counter(&name) > 0, "{name}");
    }
    for reason in ["keys_unavailable", "waiting_full", "checks_limited"] {
        let end = format!("issuer=.=corp;.;outcome=.=deny;.;reason=.={reason};.;attache_decisions_total");
        assert!(proxy.defined().iter().any(|name| name.ends_with(&end)), "{end}");
    }
    let mut proxy = Proxy::new(&with_clients(&[client("billing", json!({}))], json!({})));
    proxy.tick();
    for result in TokenFault::RESULTS {
        let name = format!("client=.=billing;.;result=.={result};.;attache_token_requests_total");
        assert!(proxy.defined().contains(&name), "{name}");
    }
    // Bounded, whatever the configuration is.
    let clients: Vec<_> = (0..100).map(|n| client(&format!("c{n}"), json!({}))).collect();
    let mut proxy = Proxy::new(&with_clients(&clients, json!({})));
    proxy.tick();
    let of =
        |n: usize| proxy.defined().iter().filter(|name| name.starts_with(&format!("client=.=c{n};"))).count();
    assert!(of(31) > 30);
    assert_eq!(of(32), 0);
}

/// `attache_token_margin_left_percent < 50` for a minute: never for a healthy client, nor for an idle one, whatever the
/// lifetime of its tokens; and always before requests go without.
#[test]
fn the_gauge_for_alerts_falls_only_where_a_renewal_that_is_needed_fails() {
    use crate::outbound::{document, proxy};
    use crate::proxy::{Time as _, status};
    let gauge = "client=.=billing;.;attache_token_margin_left_percent";
    for lifetime in [60, 120, 3_600, 86_400] {
        for obtain in ["at_start", "on_demand"] {
            let healthy = document(json!({}));
            let mut healthy = healthy;
            healthy["outbound"]["clients"][0]["obtain"] = json!(obtain);
            let (mut proxy, tokens) = proxy(&healthy);
            tokens.live(lifetime);
            proxy.advance(2.secs());
            if obtain == "at_start" {
                proxy.advance(3.secs());
            }
            let step = (lifetime / 200).max(1);
            // Healthy, or idle: no request at all, for three lifetimes.
            for _ in 0..600 {
                proxy.advance(step.secs());
                assert!(proxy.gauge(gauge).unwrap() >= 95, "{lifetime} {obtain}: {:?}", proxy.gauge(gauge));
            }
        }
        let (mut proxy, tokens) = proxy(&document(json!({})));
        tokens.live(lifetime);
        proxy.advance(2.secs());
        tokens.fail(status(500));
        let mut last = 100;
        while proxy.request(to("billing")).tells() == "forwarded" {
            proxy.advance(1.secs());
            let now = proxy.gauge(gauge).unwrap();
            assert!(now <= last, "it rises from {last} to {now}");
            last = now;
        }
        assert!(last < 50, "{lifetime}: {last}");
    }
}
