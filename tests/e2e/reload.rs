use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::config::config_failures;
use crate::proxy::{
    Document, Listener, Proxy, Setup, completed, ecds_file, eventually, inbound, jwks, route, trust,
};
use crate::secrets::scoped;

/// The n-th configuration. `/flip` needs one scope in even ones and another in odd ones; the rest stays.
fn document(n: u64) -> Value {
    let flip = if n.is_multiple_of(2) { "even" } else { "odd" };
    let routes = [
        route("stays", "/stays", json!({ "require": { "scopes": ["orders:read"] } })),
        route("flips", "/flip", json!({ "require": { "scopes": [flip] } })),
        route("never", "/never", json!({ "require": { "scopes": ["never"] } })),
        route("open", "/open", json!({ "public": {} })),
    ];
    let keys = json!({ "keys": { "jwks": jwks("corp", json!({ "timeout": "60s", "refresh": "1h", "unknown_key_interval": "100ms" })) } });
    let more = json!({ "version": n, "waiting": { "deadline": "60s", "requests": 10_000 } });
    inbound(&[trust("corp", keys)], &routes, more)
}

fn encoded(n: u64) -> Document {
    if n.is_multiple_of(3) { Document::Text(document(n).to_string()) } else { Document::Struct(document(n)) }
}

fn start() -> Proxy {
    started(Setup::new().issuer("corp"))
}

fn started(setup: Setup) -> Proxy {
    setup
        .file("ecds.json", ecds_file("reload", "1", &encoded(1)).to_string())
        .listener(Listener::ecds("reload", "ecds.json"))
        .start()
}

fn swap(proxy: &Proxy, n: u64) {
    proxy
        .envoy()
        .replace_file("ecds.json", &completed(ecds_file("reload", &n.to_string(), &encoded(n))))
        .unwrap();
    eventually("the new configuration", || (proxy.metric("attache_config_version", &[]) == n).then_some(()));
}

#[test]
fn no_request_fails_and_none_is_wrongly_allowed_while_configurations_change() {
    let proxy = start();
    let corp = proxy.issuer("corp");
    let both = scoped(corp, "orders:read even odd");
    let even = scoped(corp, "even");
    let narrow = scoped(corp, "orders");
    // What is right whatever configuration is in force; `/flip` depends on it.
    let load: [(&str, &str, Option<&str>, &[u16]); 7] = [
        ("good", "/stays", Some(&both), &[200]),
        ("either", "/flip", Some(&both), &[200]),
        ("even", "/flip", Some(&even), &[200, 403]),
        ("narrow", "/stays", Some(&narrow), &[403]),
        ("nobody", "/stays", None, &[401]),
        ("never", "/never", Some(&both), &[403]),
        ("public", "/open", None, &[200]),
    ];
    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let wrong: Vec<BTreeMap<String, u64>> = std::thread::scope(|scope| {
        let threads: Vec<_> = load
            .iter()
            .map(|(what, path, token, expected)| {
                let (proxy, stop, sent) = (&proxy, &stop, &sent);
                scope.spawn(move || {
                    let mut wrong = BTreeMap::new();
                    while !stop.load(Ordering::Relaxed) {
                        let mut request = proxy.get("reload", path).timeout(Duration::from_secs(60));
                        if let Some(token) = token {
                            request = request.bearer(token);
                        }
                        let got = request
                            .send()
                            .map_or_else(|error| format!("{error:#}"), |answer| answer.status.to_string());
                        if !expected.iter().any(|status| status.to_string() == got) {
                            *wrong.entry(format!("{what}: {got}")).or_default() += 1;
                        }
                        sent.fetch_add(1, Ordering::Relaxed);
                    }
                    wrong
                })
            })
            .collect();
        let swapped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for n in 2..=SWAPS {
                let before = sent.load(Ordering::Relaxed);
                swap(&proxy, n);
                eventually("requests under it", || {
                    (sent.load(Ordering::Relaxed) > before + 50).then_some(())
                });
            }
        }));
        stop.store(true, Ordering::Relaxed);
        let wrong = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        swapped.unwrap();
        wrong
    });
    assert!(wrong.iter().all(BTreeMap::is_empty), "of {}: {wrong:?}", sent.into_inner());
    // The last one is in force everywhere, and the cache of the one before does not count.
    for _ in 0..10 {
        let expected = if SWAPS.is_multiple_of(2) { 200 } else { 403 };
        assert_eq!(proxy.get("reload", "/flip").bearer(&even).send().unwrap().status, expected);
    }
}

#[test]
fn requests_that_wait_survive_a_reload() {
    let (setup, gate) = Setup::new().issuer("corp").gated("corp");
    gate.open();
    let proxy = started(setup);
    let corp = proxy.issuer("corp");
    let get = |token: &str| {
        proxy.get("reload", "/stays").bearer(token).timeout(Duration::from_secs(120)).send().unwrap().status
    };
    let old = scoped(corp, "orders:read");
    assert_eq!(get(&old), 200);
    // The new key does not come before the gate is opened, and no request gives up before.
    gate.close();
    corp.rotate().unwrap();
    let new = scoped(corp, "orders:read");
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..10).map(|_| scope.spawn(|| get(&new))).collect();
        eventually("all to wait", || (proxy.active("reload") == 10).then_some(()));
        // Their filter is replaced while they wait for its keys.
        swap(&proxy, 2);
        assert_eq!(get(&old), 200, "the new one has the old one's keys");
        assert_eq!(proxy.active("reload"), 10, "they wait still");
        gate.open();
        for status in waiting {
            assert_eq!(status.join().unwrap(), 200);
        }
    });
    assert_eq!(corp.jwks_requests(), 2, "no call but for the new key");
}

#[test]
fn a_bad_update_under_load_changes_nothing() {
    let proxy = start();
    let token = scoped(proxy.issuer("corp"), "orders:read");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut statuses = BTreeMap::<u16, u64>::new();
            while !stop.load(Ordering::Relaxed) {
                *statuses
                    .entry(proxy.get("reload", "/stays").bearer(&token).send().unwrap().status)
                    .or_default() += 1;
            }
            statuses
        });
        let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for n in 0..3 {
                let failures = config_failures(&proxy);
                let bad = Document::Text(format!("{{\"inbound\":{n}}}"));
                proxy
                    .envoy()
                    .replace_file("ecds.json", &completed(ecds_file("reload", &format!("bad{n}"), &bad)))
                    .unwrap();
                eventually("Envoy to refuse it", || (config_failures(&proxy) > failures).then_some(()));
            }
        }));
        stop.store(true, Ordering::Relaxed);
        let statuses = load.join().unwrap();
        tried.unwrap();
        assert_eq!(statuses.keys().collect::<Vec<_>>(), [&200], "{statuses:?}");
    });
    proxy.expect_metric("attache_config_version", &[], 1);
}

const SWAPS: u64 = 11;
