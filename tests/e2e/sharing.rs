use std::time::Duration;

use attache_harness::http::Request;
use attache_harness::issuer::{Algorithm, Endpoint, Fault};
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};

use crate::gate::Gate;
use crate::proxy::{
    Document, Listener, Setup, Shared, VMS, at_once, echo, eventually, issuer, jwks, reading, trust,
    trust_with, verdict, visit,
};
use crate::secrets::{self, scoped};

/// Each test has an issuer of its own, so that none disturbs another.
static PROXY: Shared = Shared::new(|| {
    let secrets = [sealing_secret(1, 32), sealing_secret(2, 32)];
    secrets.iter().for_each(|secret| secrets::remember(secret));
    let paths = issuer("paths", &[Algorithm::Es256]);
    paths.fault_at(Endpoint::SecondJwks, Fault::Status(500));
    let mut setup = Setup::new()
        .issuer("alone")
        .issuer("twins")
        .issuer("sealed")
        .with_issuer("paths", paths)
        .environment("SEAL_1", &secrets[0])
        .environment("SEAL_2", &secrets[1]);
    let sealed = |variable: &str| json!({ "process": { "sealing_secret": { "env": variable } } });
    // A listener, its issuer's cluster, the path of the keys, and how it shares.
    let listeners = [
        ("alone", "alone", "/jwks", json!("none")),
        ("twin-one", "twins", "/jwks", json!("process")),
        ("twin-two", "twins", "/jwks", json!("process")),
        ("first-path", "paths", "/jwks", json!("process")),
        ("second-path", "paths", "/jwks2", json!("process")),
        ("sealed", "sealed", "/jwks", sealed("SEAL_1")),
        ("sealed-alike", "sealed", "/jwks", sealed("SEAL_1")),
        ("sealed-otherwise", "sealed", "/jwks", sealed("SEAL_2")),
        ("unsealed", "sealed", "/jwks", json!("process")),
    ];
    for (name, cluster, path, sharing) in listeners {
        setup =
            setup.listener(Listener::new(name, Document::Struct(document(name, cluster, path, &sharing))));
    }
    setup.start()
});

/// A listener of its own makes metrics of its own: its issuer has its name.
fn document(name: &str, cluster: &str, path: &str, sharing: &Value) -> Value {
    let more = json!({ "refresh": "1h", "uri": format!("https://{cluster}.example{path}") });
    let issuer = trust(cluster, json!({ "name": name, "keys": { "jwks": jwks(cluster, more) } }));
    let more = json!({ "inbound": { "waiting": { "deadline": "2s" } }, "sharing": sharing });
    reading(name, &[issuer], more)
}

fn sealing_secret(byte: u8, length: usize) -> String {
    Base64UrlUnpadded::encode_string(&vec![byte; length])
}

#[test]
fn one_fetch_serves_all_who_wait_on_eight_workers_from_the_first_moment() {
    const WORKERS: u32 = 8;
    let corp = issuer("corp", &[Algorithm::Es256]);
    let gate = Gate::closed(corp.addr());
    let keys = json!({ "jwks": jwks("corp", json!({ "timeout": "60s", "refresh": "1h" })) });
    let more = json!({ "inbound": { "waiting": { "deadline": "60s" } } });
    let document = reading("first", &[trust_with("corp", keys)], more);
    let proxy = Setup::new()
        .workers(WORKERS)
        .listener(Listener::new("first", Document::Struct(document)))
        .start_without("corp", gate.addr());
    let requests: Vec<Request> = (0..WAITING)
        .map(|_| proxy.get("first", "/").bearer(&scoped(&corp, "orders:read")).timeout(PATIENCE))
        .collect();
    std::thread::scope(|scope| {
        let answers = scope.spawn(|| at_once(requests));
        eventually("all to wait", || (proxy.active("first") == WAITING).then_some(()));
        let stats = proxy.envoy().stats().unwrap();
        let port = proxy.addr("first").port().to_string();
        let connections = stats.iter().filter(|(name, _)| {
            name.starts_with("listener.")
                && name.contains(".worker_")
                && name.ends_with(".downstream_cx_total")
        });
        let connections: Vec<u64> = connections.map(|(_, count)| *count).collect();
        assert_eq!(connections.len(), WORKERS as usize, "of port {port}: {stats:?}");
        assert!(connections.iter().all(|count| *count > 0), "a request waits on each: {connections:?}");
        gate.open();
        for answer in answers.join().unwrap() {
            echo(&answer);
        }
    });
    assert_eq!(corp.jwks_requests(), 1);
    proxy.expect_fetched("corp", "changed", 1);
    let taken = [("issuer", "corp"), ("result", "adopted")];
    proxy.expect_metric("attache_shared_documents_total", &taken, WORKERS.into());
    proxy.expect_metric("attache_key_fetches_total", &[], 1);
}

#[test]
fn without_sharing_each_vm_fetches_for_itself() {
    let proxy = visit(&PROXY);
    proxy.expect_fetched("alone", "changed", VMS);
    for _ in 0..6 {
        echo(&proxy.get("alone", "/").bearer(&scoped(proxy.issuer("alone"), "orders:read")).send().unwrap());
    }
    assert_eq!(proxy.issuer("alone").jwks_requests(), VMS);
    assert_eq!(proxy.taken("alone"), 0);
}

/// As two chains of one gateway do, or two gateways' filters in one Envoy.
#[test]
fn filters_with_equal_sources_share_one_fetch_whatever_else_differs() {
    let proxy = visit(&PROXY);
    let taken = || proxy.taken("twin-one") + proxy.taken("twin-two");
    eventually("keys in the VMs of both", || (taken() == 2 * VMS - 1).then_some(()));
    for listener in ["twin-one", "twin-two"] {
        let token = scoped(proxy.issuer("twins"), "orders:read");
        echo(&proxy.get(listener, "/").bearer(&token).send().unwrap());
    }
    assert_eq!(proxy.issuer("twins").jwks_requests(), 1);
}

#[test]
fn different_documents_of_one_cluster_do_not_mix() {
    let proxy = visit(&PROXY);
    let issuer = proxy.issuer("paths");
    eventually("keys from the first", || (proxy.taken("first-path") == VMS - 1).then_some(()));
    eventually("failures at the second", || (issuer.second_jwks_requests() >= 2).then_some(()));
    let get = |listener: &str| {
        let answer = proxy.get(listener, "/").bearer(&scoped(issuer, "orders:read")).send().unwrap();
        verdict(&answer)
    };
    for _ in 0..6 {
        assert_eq!(get("first-path"), (200, "forwarded".into()));
    }
    assert_eq!(get("second-path"), (503, "keys_unavailable".into()));
    assert_eq!(issuer.jwks_requests(), 1, "the other's failures are not its own");
    assert_eq!(proxy.taken("second-path"), 0);
    issuer.heal();
    eventually("keys from the second", || (get("second-path").0 == 200).then_some(()));
    eventually("all VMs to have them", || (proxy.taken("second-path") == VMS - 1).then_some(()));
    proxy.expect_fetched("second-path", "changed", 1);
}

#[test]
fn filters_share_with_those_of_the_same_sealing_secret_and_with_no_others() {
    let proxy = visit(&PROXY);
    let alike = || proxy.taken("sealed") + proxy.taken("sealed-alike");
    eventually("keys in the VMs of both", || (alike() == 2 * VMS - 1).then_some(()));
    for other in ["sealed-otherwise", "unsealed"] {
        eventually(other, || (proxy.taken(other) == VMS - 1).then_some(()));
        proxy.expect_fetched(other, "changed", 1);
    }
    for listener in ["sealed", "sealed-alike", "sealed-otherwise", "unsealed"] {
        let token = scoped(proxy.issuer("sealed"), "orders:read");
        echo(&proxy.get(listener, "/").bearer(&token).send().unwrap());
    }
    assert_eq!(proxy.issuer("sealed").jwks_requests(), 3, "one for each secret, and one for those without");
    proxy.expect_metric("attache_shared_documents_total", &[("result", "rejected")], 0);
}

#[test]
fn a_sealing_secret_that_is_missing_or_too_short_is_refused() {
    let short = sealing_secret(3, 31);
    secrets::remember(&short);
    for (variable, told) in [
        ("SEAL_SHORT", "a sealing secret has at least 32 bytes"),
        ("SEAL_MISSING", "the environment variable SEAL_MISSING is not set"),
        ("SEAL_NO_BASE64", "the variable does not hold base64url without padding"),
    ] {
        let sharing = json!({ "process": { "sealing_secret": { "env": variable } } });
        let document = document("refused", "corp", "/jwks", &sharing);
        let ended = Setup::new()
            .issuer("corp")
            .environment("SEAL_SHORT", &short)
            .environment("SEAL_NO_BASE64", "32 bytes, and not one of base64url")
            .listener(Listener::new("refused", Document::Struct(document)))
            .start_refused();
        assert_ne!(ended.status, Some(0));
        let path = "configuration refused: sharing.process.sealing_secret.env: ";
        assert!(ended.log.contains(&format!("{path}{told}")), "{variable}:\n{}", ended.log);
        secrets::assert_none_in("Envoy's log", &ended.log);
    }
}

/// Enough that each of eight workers has some: to miss one is a matter of 1 in 10⁸.
const WAITING: u64 = 160;
/// As long as a request of these tests may wait.
const PATIENCE: Duration = Duration::from_secs(60);
