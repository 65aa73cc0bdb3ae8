use std::time::Duration;

use attache_harness::http::Request;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::egress::{
    HOST, asserted, call, client, destination, document, downstream, hosts, setup, upstream,
};
use crate::proxy::{Document, Listener, Setup, at_once, echo, eventually};

fn routed(name: &str, more: serde_json::Value) -> Listener {
    Listener::new(name, Document::Text(String::new())).without_filter().manager(hosts(more))
}

fn plain() -> Setup {
    let document = document("downstream", &[client(json!({}))], &[destination(json!({}))], json!({}));
    setup().cluster("billing", asserted()).listener(downstream("egress", document))
}

#[test]
fn a_request_leaves_with_a_token_that_the_workload_knows_nothing_of() {
    let proxy = plain().start();
    let seen = echo(&call(&proxy, "egress", "/invoices").send().unwrap());
    let token = seen.bearer().expect("a bearer token").to_owned();
    assert!(proxy.issuer("idp").is_live(&token));
    // The same token, and where no token goes, none.
    assert_eq!(echo(&call(&proxy, "egress", "/invoices").send().unwrap()).bearer(), Some(&*token));
    assert_eq!(echo(&proxy.get("egress", "/").send().unwrap()).header("authorization"), None);
    assert_eq!(proxy.issuer("idp").token_requests(), 1);
    proxy.expect_metric("attache_injections_total", &[("client", "billing"), ("outcome", "injected")], 2);
}

#[test]
fn a_cold_start_under_load_is_one_token_request_of_four_workers() {
    let proxy = plain().workers(4).start();
    proxy.issuer("idp").revoke_all_tokens();
    let calls = (0..64).map(|_| call(&proxy, "egress", "/invoices")).collect();
    for answer in at_once(calls) {
        assert!(echo(&answer).bearer().is_some());
    }
    assert_eq!(proxy.issuer("idp").token_requests(), 1);
}

#[test]
fn a_post_is_replayed_with_a_new_token_when_the_api_says_401() {
    let document = document(
        "upstream",
        &[client(json!({}))],
        &[destination(json!({}))],
        json!({ "outbound": { "purge_interval": "1s" } }),
    );
    let retries = json!({ "route": { "retry_policy": {
        "retry_on": "retriable-status-codes", "retriable_status_codes": [401], "num_retries": 2 } } });
    let proxy =
        setup().cluster("billing", upstream("egress", document)).listener(routed("out", retries)).start();
    let live = proxy.issuer("idp").liveness();
    proxy.upstream().accept_tokens(live);
    let first = echo(&call(&proxy, "out", "/invoices").send().unwrap()).bearer().unwrap().to_owned();
    // Old enough to be purged.
    let obtained = std::time::Instant::now();
    eventually("a second", || (obtained.elapsed() > Duration::from_millis(1_100)).then_some(()));
    assert!(proxy.issuer("idp").revoke_token(&first));
    let body = vec![b'x'; 100 * 1024];
    let answer =
        Request::post(proxy.url("out", "/invoices")).header("host", HOST).body(body.clone()).send().unwrap();
    let seen = echo(&answer);
    assert_ne!(seen.bearer(), Some(&*first));
    assert_eq!(seen.body_length, body.len());
    let digest: String = Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(seen.body_sha256, digest);
    assert_eq!(proxy.issuer("idp").token_requests(), 2);
    proxy.expect_metric("attache_token_purges_total", &[("client", "billing"), ("result", "purged")], 1);
}
