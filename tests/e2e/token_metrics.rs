use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use attache_harness::issuer::{Endpoint, Fault};
use serde_json::json;

use crate::egress::{PATIENCE, call, grow_old, in_listener, patient};
use crate::proxy::{at_once, echo, eventually};

#[test]
fn the_prometheus_page_shows_the_outbound_half_with_its_labels() {
    let (client, more) = patient();
    let (setup, gate) = in_listener(client, more).gated("idp");
    let begun = Instant::now();
    let proxy = setup.start();
    let gauge = |name: &str| proxy.metric(name, &[("client", "billing")]);
    std::thread::scope(|scope| {
        let waiting =
            scope.spawn(|| at_once((0..10).map(|_| call(&proxy, "egress", "/").timeout(PATIENCE)).collect()));
        eventually("those who wait to show", || {
            (proxy.metric("attache_requests_waiting_for_tokens", &[]) == 10).then_some(())
        });
        gate.open();
        waiting.join().unwrap().iter().for_each(|answer| assert!(echo(answer).bearer().is_some()));
    });
    proxy.expect_metric("attache_requests_waiting_for_tokens", &[], 0);
    for _ in 0..5 {
        echo(&call(&proxy, "egress", "/").send().unwrap());
    }
    assert_eq!(call(&proxy, "egress", "/").bearer("own").send().unwrap().status, 400);
    echo(&proxy.get("egress", "/").send().unwrap());
    let injected = |client: &str, outcome: &str, count: u64| {
        proxy.expect_metric("attache_injections_total", &[("client", client), ("outcome", outcome)], count);
    };
    injected("billing", "injected", 15);
    injected("billing", "caller_credential", 1);
    injected("none", "passed", 1);
    proxy.expect_metric("attache_injections_total", &[], 17);
    proxy.expect_metric("attache_token_requests_total", &[("client", "billing"), ("result", "obtained")], 1);
    proxy.expect_metric("attache_shared_tokens_total", &[("client", "billing"), ("result", "adopted")], 2);
    eventually("the time to the expiry", || {
        (280..=300).contains(&gauge("attache_token_seconds_to_expiry")).then_some(())
    });
    assert_eq!(gauge("attache_token_request_failures"), 0);
    assert_eq!(gauge("attache_token_endpoint_breaker"), 0);
    // The only token request took as long as the gate was closed.
    eventually("the histogram", || (gauge("attache_token_request_milliseconds_count") == 1).then_some(()));
    let most = u64::try_from(begun.elapsed().as_millis()).unwrap();
    assert!((1..=most).contains(&gauge("attache_token_request_milliseconds_sum")));

    let mut labels: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let of_ours = |name: &str| name.starts_with("attache_") && !name.contains("_milliseconds");
    for sample in proxy.samples().into_iter().filter(|sample| of_ours(&sample.name)) {
        assert!(
            sample.labels.iter().all(|(_, value)| !value.contains(";.;") && !value.is_empty()),
            "{sample:?}"
        );
        labels.entry(sample.name).or_default().extend(sample.labels.into_iter().map(|(name, _)| name));
    }
    let expected = [
        ("attache_config_version", &["plugin"][..]),
        ("attache_injections_total", &["client", "outcome"]),
        ("attache_requests_waiting_for_tokens", &[]),
        ("attache_shared_tokens_total", &["client", "result"]),
        ("attache_token_endpoint_breaker", &["client"]),
        ("attache_token_margin_left_percent", &["client"]),
        ("attache_token_purges_total", &["client", "result"]),
        ("attache_token_request_failures", &["client"]),
        ("attache_token_requests_total", &["client", "result"]),
        ("attache_token_seconds_to_expiry", &["client"]),
    ];
    let expected: BTreeMap<String, BTreeSet<String>> = expected
        .into_iter()
        .map(|(name, labels)| (name.to_owned(), labels.iter().map(|&label| label.to_owned()).collect()))
        .collect();
    assert_eq!(labels, expected);
}

/// Which thread has the 401, and which one sets the gauges, is Envoy's choice. Callers see the API's answer.
#[test]
fn the_gauges_show_that_a_token_the_api_refuses_cannot_be_replaced() {
    let purging = json!({ "outbound": { "purge_interval": "1s" } });
    let proxy = in_listener(json!({}), purging).workers(2).start();
    let issuer = proxy.issuer("idp");
    proxy.upstream().accept_tokens(issuer.liveness());
    let status = || call(&proxy, "egress", "/").send().unwrap().status;
    assert_eq!(status(), 200);
    grow_old(Instant::now(), Duration::from_millis(1_100));
    issuer.fault_at(Endpoint::Token, Fault::Status(503));
    issuer.revoke_all_tokens();
    let statuses: BTreeSet<u16> = (0..20).map(|_| status()).collect();
    assert_eq!(statuses, BTreeSet::from([401]), "the token at hand is better than none");
    let gauge = |name: &str| proxy.metric(name, &[("client", "billing")]);
    eventually("the failures", || (gauge("attache_token_request_failures") >= 5).then_some(()));
    eventually("the open circuit breaker", || (gauge("attache_token_endpoint_breaker") == 2).then_some(()));
    assert_eq!(gauge("attache_token_margin_left_percent"), 100, "its own end is far");
    issuer.heal();
    eventually("a token that the API accepts", || (status() == 200).then_some(()));
    eventually("the closed circuit breaker", || (gauge("attache_token_endpoint_breaker") == 0).then_some(()));
    assert_eq!(gauge("attache_token_request_failures"), 0);
}
