use std::time::{Duration, Instant};

use attache_harness::issuer::{Endpoint, Fault, RawAnswer};
use attache_harness::wait::wait_for;
use serde_json::json;

use crate::egress::{
    CLIENT, HOST, SECRET, assert_all_good, bare, call, client, destination, document, hosts, in_listener,
    setup, under_load, upstream,
};
use crate::h2;
use crate::proxy::{Proxy, echo, eventually, join};

fn breaker(proxy: &Proxy) -> u64 {
    proxy.metric("attache_token_endpoint_breaker", &[("client", "billing")])
}

#[test]
fn an_outage_that_is_shorter_than_a_tokens_life_fails_no_request() {
    let proxy = in_listener(json!({}), json!({}))
        .workers(4)
        .start_with(|issuers| issuers["idp"].set_lifetime(Duration::from_secs(9)));
    let issuer = proxy.issuer("idp");
    proxy.upstream().accept_tokens(issuer.liveness());
    let (came, ()) = under_load(
        || call(&proxy, "egress", "/"),
        |load| {
            eventually("some answers", || (load.count(200) > 20).then_some(()));
            issuer.fault_at(Endpoint::Token, Fault::Reset);
            // The renewal, and another try.
            eventually("failures", || (issuer.token_requests() >= 3).then_some(()));
            assert_eq!(issuer.issued_tokens().len(), 1);
            issuer.heal();
            eventually("the next token", || (issuer.issued_tokens().len() >= 3).then_some(()));
        },
    );
    assert_all_good(&came);
}

#[test]
fn an_outage_that_is_longer_ends_for_callers_within_one_probe_of_its_end() {
    let more = json!({ "outbound": {
        "waiting": { "deadline": "500ms" }, "breaker": { "failures": 3, "open_duration": "1s" } } });
    let proxy = in_listener(json!({}), more)
        .workers(4)
        .start_with(|issuers| issuers["idp"].set_lifetime(Duration::from_secs(3)));
    let issuer = proxy.issuer("idp");
    proxy.upstream().accept_tokens(issuer.liveness());
    let (came, (healed, asked)) = under_load(
        || call(&proxy, "egress", "/"),
        |load| {
            eventually("some answers", || (load.count(200) > 20).then_some(()));
            assert_eq!(breaker(&proxy), 0);
            issuer.fault_at(Endpoint::Token, Fault::Status(503));
            eventually("the outage to be felt", || (load.count(503) > 20).then_some(()));
            eventually("the breaker to open", || (breaker(&proxy) == 2).then_some(()));
            let asked = issuer.token_requests();
            eventually("a probe", || (issuer.token_requests() > asked).then_some(()));
            let before = load.count(200);
            issuer.set_lifetime(Duration::from_secs(300));
            let healed = Instant::now();
            issuer.heal();
            let asked = issuer.token_requests();
            eventually("good answers", || (load.count(200) > before + 200).then_some(()));
            eventually("the breaker to close", || (breaker(&proxy) == 0).then_some(()));
            (healed, asked)
        },
    );
    let refused: Vec<_> = came.iter().filter(|came| came.status != 200).collect();
    assert!(refused.iter().all(|came| came.status == 503 && came.retry_after.is_some()), "{refused:?}");
    let first =
        came.iter().filter(|came| came.status == 200 && came.at > healed).map(|came| came.at).min().unwrap();
    // A caller that comes back as late as told finds it over, once all threads have heard of the last probe.
    let heard = healed + Duration::from_millis(500);
    let waited: Vec<_> = refused.iter().filter(|came| came.at > heard && came.at < first).collect();
    for came in &waited {
        let told = Duration::from_secs(came.retry_after.unwrap());
        assert!(
            first - came.at < told + Duration::from_millis(700),
            "{:?} after a caller was told {told:?}",
            first - came.at
        );
    }
    assert_eq!(issuer.token_requests(), asked + 1, "the first probe");
    let last = refused.iter().map(|came| came.at).max().unwrap();
    assert!(last < first + Duration::from_secs(1), "{:?} after the first good answer", last - first);
    let log = proxy.envoy().logs();
    assert!(log.contains("client billing: its token endpoint fails: circuit breaker opened"));
    assert!(log.contains("client billing: its token endpoint answers again"));
}

#[test]
fn every_bad_answer_of_a_token_endpoint_is_a_line_in_the_log_and_over_when_it_is_over() {
    let proxy = in_listener(json!({}), json!({}))
        .start_with(|issuers| issuers["idp"].set_lifetime(Duration::from_secs(2)));
    let issuer = proxy.issuer("idp");
    let good = |value: serde_json::Value| Fault::Answer(RawAnswer::json(200, &value));
    let faults = [
        (
            Fault::Reset,
            "no server answered, but Envoy itself, with 503: the connection ended before an answer",
        ),
        (Fault::Status(500), "the server answered 500"),
        (Fault::RetryAfter { status: 429, seconds: 1 }, "the server answered 429"),
        (Fault::Html, "the answer is HTML or XML, not JSON: is this the token endpoint?"),
        (Fault::Huge(2 << 20), "more than a token answer may have"),
        (Fault::Patch(json!({ "access_token": null })), "the answer has no `access_token`"),
        (Fault::Patch(json!({ "expires_in": 0 })), "the token has expired already"),
        (Fault::Patch(json!({ "expires_in": "soon" })), "`expires_in` is not a number of seconds"),
        (good(json!([])), "the answer: "),
        (Fault::EmptyBody, "the answer: "),
        (Fault::HalfJson, "the answer: "),
        (Fault::Truncated, ""),
        (Fault::Redirect, "the server answered 302"),
    ];
    for (fault, told) in faults {
        let what = format!("{fault:?}");
        let told =
            if what.starts_with("Huge") { told.to_owned() } else { format!(" failed (1 in a row): {told}") };
        let before = proxy.envoy().logs().len();
        issuer.fault_at(Endpoint::Token, fault);
        // The token at hand still serves, and its renewal is told of; or there is none any more.
        let is_told = |line: &str| {
            let line = line.replace("no token (", "renewal failed (");
            line.contains("client billing: renewal failed (") && line.contains(&told)
        };
        eventually(&what, || proxy.envoy().logs().get(before..).unwrap().lines().any(is_told).then_some(()));
        issuer.heal();
        eventually("the next token", || {
            let answer = call(&proxy, "egress", "/").send().unwrap();
            (answer.status == 200 && issuer.is_live(echo(&answer).bearer().unwrap())).then_some(())
        });
        let issued = issuer.issued_tokens().len();
        eventually("a renewal", || (issuer.issued_tokens().len() > issued).then_some(()));
    }
}

/// What the server's operator has to mend is told at once, and asked about again after a minute.
#[test]
fn a_token_that_no_header_may_hold_or_of_another_type_is_told_as_what_an_operator_has_to_mend() {
    let faults = [
        (json!({ "token_type": "mac" }), "the `token_type` is `mac`: it is neither Bearer"),
        (json!({ "access_token": "line\nfeed" }), "the token holds "),
    ];
    for (patch, told) in faults {
        let proxy = in_listener(json!({}), json!({}))
            .start_with(|issuers| issuers["idp"].fault_at(Endpoint::Token, Fault::Patch(patch)));
        let told = format!("client billing: no token (1 in a row): {told}");
        let line = eventually("the line", || {
            proxy.envoy().logs().lines().find(|line| line.contains(&told)).map(str::to_owned)
        });
        assert!(line.contains("[error]"), "{line}");
    }
}

/// A minute long: what an operator has to mend is not mended within seconds.
#[test]
fn a_wrong_secret_is_told_and_asked_about_slowly_and_needs_no_restart_once_it_is_right() {
    let more = json!({ "outbound": { "waiting": { "deadline": "1s" } } });
    let proxy = in_listener(json!({}), more).workers(4).start_with(|issuers| {
        assert!(issuers["idp"].set_secret(CLIENT, "another secret"));
    });
    let issuer = proxy.issuer("idp");
    let told = "client billing: no token (1 in a row): the server says `invalid_client`: check `client_id`, the secret or key, and the way of authentication";
    eventually("the line", || proxy.envoy().logs().contains(told).then_some(()));
    let line = proxy.envoy().logs().lines().find(|line| line.contains(told)).unwrap().to_owned();
    assert!(line.contains("[error]"), "{line}");
    let begun = Instant::now();
    let (came, ()) = under_load(
        || call(&proxy, "egress", "/"),
        |_| {
            eventually("some time", || (begun.elapsed() > Duration::from_secs(5)).then_some(()));
        },
    );
    assert!(
        came.iter().all(|came| came.status == 503 && came.retry_after.is_some_and(|seconds| seconds > 30)),
        "{:?}",
        came.first()
    );
    assert_eq!(issuer.token_requests(), 1, "whatever the load");
    proxy.expect_metric(
        "attache_token_requests_total",
        &[("client", "billing"), ("result", "invalid_client")],
        1,
    );
    assert_eq!(breaker(&proxy), 0, "the endpoint works");
    assert!(issuer.set_secret(CLIENT, SECRET));
    let patience = Duration::from_secs(75);
    wait_for("the right secret to be tried", patience, || {
        Ok((call(&proxy, "egress", "/").send()?.status == 200).then_some(()))
    })
    .unwrap();
    assert_eq!(issuer.token_requests(), 2);
}

#[test]
fn a_grpc_caller_is_told_that_the_service_is_unavailable() {
    let more = json!({ "outbound": { "waiting": { "deadline": "500ms" } } });
    let proxy = in_listener(json!({}), more)
        .start_with(|issuers| issuers["idp"].fault_at(Endpoint::Token, Fault::Status(500)));
    let addr = proxy.addr("egress");
    let mut request = h2::grpc(addr, "/billing.Invoices/Read", &[]);
    *request.uri_mut() = format!("http://{}/billing.Invoices/Read", HOST).parse().unwrap();
    let answer = h2::send_all(addr, vec![request]).remove(0);
    assert_eq!((answer.status, answer.field("grpc-status")), (200, Some("14")), "{:?}", answer.headers);
    assert_eq!(answer.field("grpc-message"), Some("no access token could be obtained"));
    assert!(answer.field("retry-after").is_some());
}

/// What the filter answers in a cluster is not its hosts' fault, and no better the second time.
#[test]
fn a_refusal_in_a_cluster_is_neither_retried_nor_held_against_its_hosts() {
    let more = json!({ "outbound": { "waiting": { "deadline": "500ms" }, "breaker": { "failures": 100 } } });
    let document = document("upstream", &[client(json!({}))], &[destination(json!({}))], more);
    let mut cluster = upstream("egress", document);
    let outliers = json!({ "outlier_detection": {
        "consecutive_5xx": 3, "consecutive_gateway_failure": 3, "enforcing_consecutive_gateway_failure": 100,
        "base_ejection_time": "60s", "max_ejection_percent": 100 } });
    join(&mut cluster, outliers);
    let retries =
        json!({ "route": { "retry_policy": { "retry_on": "5xx,gateway-error", "num_retries": 3 } } });
    let proxy = setup()
        .workers(1)
        .cluster("billing", cluster)
        .listener(bare("egress").manager(hosts(retries)))
        .start_with(|issuers| issuers["idp"].fault_at(Endpoint::Token, Fault::Status(500)));
    for _ in 0..6 {
        assert_eq!(call(&proxy, "egress", "/").send().unwrap().status, 503);
    }
    proxy.expect_metric("attache_injections_total", &[("outcome", "token_unavailable")], 6);
    let stat = |name: &str| proxy.envoy().stat(&format!("cluster.billing.{name}")).unwrap();
    assert_eq!((stat("upstream_rq_retry"), stat("outlier_detection.ejections_enforced_total")), (0, 0));
    proxy.issuer("idp").heal();
    eventually("a token", || (call(&proxy, "egress", "/").send().unwrap().status == 200).then_some(()));
}
