use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use attache_harness::http::Request;
use attache_harness::issuer::{Algorithm, Endpoint, Fault, Issuer};
use base64ct::Encoding as _;
use serde_json::{Value, json};

use crate::gate::Gate;
use crate::module::{ringer, with_trap_door};
use crate::proxy::{
    Document, Listener, Proxy, Setup, VMS, WORKERS, completed, ecds_file, echo, eventually, issuer, jwks,
    module, plugin_of, reading, trust,
};
use crate::secrets::scoped;

/// The n-th configuration: keys are not due in the time of these tests.
fn document(n: u64) -> Value {
    let keys = json!({ "keys": { "jwks": jwks("corp", json!({ "refresh": "1h" })) } });
    reading("corp", &[trust("corp", keys)], json!({ "inbound": { "version": n } }))
}

/// What the module never reads, but Envoy makes new VMs for.
fn vm_configuration(n: u64) -> Value {
    json!({ "@type": "type.googleapis.com/google.protobuf.StringValue", "value": n.to_string() })
}

fn get(proxy: &Proxy, listener: &str) -> u16 {
    let token = scoped(proxy.issuer("corp"), "orders:read");
    proxy.get(listener, "/").bearer(&token).send().unwrap().status
}

/// Has the issuer, and keys in each VM of the only listener; and takes the issuer away. Returns how often it was asked.
fn lose(proxy: &Proxy) -> (&Issuer, u64) {
    eventually("keys in every VM", || (proxy.taken("corp") == VMS - 1).then_some(()));
    let issuer = proxy.issuer("corp");
    issuer.fault(Fault::Reset);
    assert_eq!(issuer.jwks_requests(), 1);
    (issuer, 1)
}

#[test]
fn new_configurations_and_new_vms_have_the_keys_while_the_issuer_is_down() {
    let proxy = Setup::new()
        .issuer("corp")
        .file("ecds.json", ecds_file("rebuilt", "1", &Document::Struct(document(1))).to_string())
        .listener(Listener::ecds("rebuilt", "ecds.json"))
        .start();
    let (issuer, asked) = lose(&proxy);
    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let statuses = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut statuses = BTreeMap::<u16, u64>::new();
            while !stop.load(Ordering::Relaxed) {
                *statuses.entry(get(&proxy, "rebuilt")).or_default() += 1;
                sent.fetch_add(1, Ordering::Relaxed);
            }
            statuses
        });
        let swapped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for n in 2..=6 {
                let mut file = ecds_file("rebuilt", &n.to_string(), &Document::Struct(document(n)));
                // Another configuration has a new filter in the same VMs; another one of the VM has new VMs.
                let is_new = n > 3;
                if is_new {
                    plugin_of(&mut file)["vm_config"]["configuration"] = vm_configuration(n);
                }
                let taken = proxy.taken("corp");
                proxy.envoy().replace_file("ecds.json", &completed(file)).unwrap();
                proxy.expect_metric("attache_config_version", &[], n);
                // Envoy forgets what a VM has counted when the VM is gone.
                let expected = if is_new { VMS } else { taken + VMS };
                eventually("keys in every VM", || (proxy.taken("corp") >= expected).then_some(()));
                let log = proxy.envoy().logs();
                let modules = log.lines().filter(|line| line.contains("Base Wasm created")).count();
                assert_eq!(modules as u64, 1 + n.saturating_sub(3), "new VMs");
                let before = sent.load(Ordering::Relaxed);
                eventually("requests", || (sent.load(Ordering::Relaxed) > before + 20).then_some(()));
            }
        }));
        stop.store(true, Ordering::Relaxed);
        let statuses = load.join().unwrap();
        swapped.unwrap();
        statuses
    });
    assert_eq!(statuses.keys().collect::<Vec<_>>(), [&200], "{statuses:?}");
    assert_eq!(issuer.jwks_requests(), asked, "no issuer was asked");
    assert!(proxy.metric("attache_key_fetches_total", &[]) <= 1);
    proxy.expect_metric("attache_keys", &[("issuer", "corp")], 1);
}

/// Neither in the same VMs nor in new ones: the call goes with the filter that made it, and another thread may ask
/// at once.
#[test]
fn a_new_configuration_does_not_wait_for_a_fetch_of_the_one_before() {
    let document = |n: u64| {
        let keys = json!({ "keys": { "jwks": jwks("corp", json!({ "refresh": "1h", "timeout": "60s" })) } });
        let more = json!({ "inbound": { "version": n, "waiting": { "deadline": "1s" } } });
        Document::Struct(reading("corp", &[trust("corp", keys)], more))
    };
    for is_new in [false, true] {
        let corp = issuer("corp", &[Algorithm::Es256]);
        corp.fault_next(Endpoint::Jwks, Fault::Hang, 1);
        let proxy = Setup::new()
            .with_issuer("corp", corp)
            .file("ecds.json", ecds_file("rebuilt", "1", &document(1)).to_string())
            .listener(Listener::ecds("rebuilt", "ecds.json"))
            .start();
        let issuer = proxy.issuer("corp");
        eventually("the first fetch", || (issuer.jwks_requests() == 1).then_some(()));
        assert_eq!(get(&proxy, "rebuilt"), 503);
        let mut file = ecds_file("rebuilt", "2", &document(2));
        if is_new {
            plugin_of(&mut file)["vm_config"]["configuration"] = vm_configuration(2);
        }
        proxy.envoy().replace_file("ecds.json", &completed(file)).unwrap();
        let replaced = Instant::now();
        eventually("keys", || (get(&proxy, "rebuilt") == 200).then_some(()));
        assert!(replaced.elapsed() < Duration::from_secs(30), "new VMs: {is_new}: {:?}", replaced.elapsed());
        assert_eq!(issuer.jwks_requests(), 2, "new VMs: {is_new}");
    }
}

/// The module as built, but that a request's body makes it trap: Envoy makes a new VM then (`FAIL_RELOAD`).
#[test]
fn a_vm_that_trapped_comes_back_with_the_keys_while_the_issuer_is_down() {
    let proxy = Setup::new()
        .trapping_module(with_trap_door(&std::fs::read(module()).unwrap(), "proxy_on_request_body"))
        .issuer("corp")
        .listener(Listener::new("trapped", Document::Struct(document(1))))
        .start();
    let (issuer, asked) = lose(&proxy);
    let reloads = || -> u64 {
        let stats = proxy.envoy().stats().unwrap();
        let counts = stats.iter().filter(|(name, _)| name.ends_with(".vm_reload_success"));
        counts.map(|(_, count)| count).sum()
    };
    assert_eq!(reloads(), 0);
    let body = || {
        let token = scoped(issuer, "orders:read");
        let request = Request::post(proxy.url("trapped", "/")).bearer(&token).body(b"now".to_vec());
        request.send().unwrap().status
    };
    for n in 1..=2 * u64::from(WORKERS) {
        let taken = proxy.taken("corp");
        assert_eq!(body(), 503, "the {n}th trap: nothing is forwarded");
        eventually("a new VM", || {
            // Until there is one, requests that meet this worker are refused.
            assert!([200, 503].contains(&get(&proxy, "trapped")));
            (reloads() == n).then_some(())
        });
        eventually("its keys", || (proxy.taken("corp") > taken).then_some(()));
        for _ in 0..8 {
            echo(&proxy.get("trapped", "/").bearer(&scoped(issuer, "orders:read")).send().unwrap());
        }
    }
    assert_eq!(issuer.jwks_requests(), asked, "no issuer was asked");
}

/// A queue outlives the VM that opened it: its message arrives at whatever has its root context's number in the next one, which may
/// be a request. The SDK's dispatcher panics there; ours does not ask it.
#[test]
fn a_message_for_a_root_context_that_is_gone_costs_no_vm() {
    let keys = jwks("corp", json!({ "cluster": "late", "timeout": "60s" }));
    let late = trust("corp", json!({ "name": "late", "keys": { "jwks": keys } }));
    let waiting = json!({ "sharing": "none", "inbound": { "waiting": { "deadline": "60s" } } });
    let mut setup = Setup::new()
        .workers(1)
        .trapping_module(with_trap_door(&std::fs::read(module()).unwrap(), "proxy_on_request_body"))
        .issuer("corp")
        .file("ringer.json", ecds_file("ringer", "1", &Document::Struct(document(1))).to_string())
        .listener(Listener::new("late", Document::Struct(reading("late", &[late], waiting))));
    // In the next VM, requests of the first listener have the numbers that these root contexts had.
    let others = ["second", "third", "fourth"];
    for name in others {
        let document = reading(name, &[trust("corp", json!({ "name": name }))], json!({}));
        setup = setup.listener(Listener::new(name, Document::Struct(document)));
    }
    let gate = Gate::closed(setup.issuer_addr("corp"));
    let proxy = setup.listener(Listener::ecds("ringer", "ringer.json")).start_without("late", gate.addr());
    for name in others {
        eventually("keys", || (get(&proxy, name) == 200).then_some(()));
    }
    // A module that rings at every queue stands where a filter stood.
    let mut update = ecds_file("ringer", "2", &Document::Text(String::new()));
    let code = base64ct::Base64::encode_string(&ringer(MAX_QUEUES));
    plugin_of(&mut update)["vm_config"]["code"] = json!({ "local": { "inline_bytes": code } });
    proxy.envoy().replace_file("ringer.json", update.to_string().as_bytes()).unwrap();
    eventually("the ringer", || (proxy.get("ringer", "/").send().unwrap().status == 200).then_some(()));

    let token = scoped(proxy.issuer("corp"), "orders:read");
    let trap = Request::post(proxy.url("second", "/")).bearer(&token).body(b"now".to_vec());
    assert_eq!(trap.send().unwrap().status, 503);
    let wait = || {
        // Refused at once until there is a new VM.
        eventually("an answer of a new VM", || {
            let request = proxy.get("late", "/").bearer(&token).timeout(Duration::from_secs(120));
            Some(request.send().unwrap().status).filter(|status| *status != 503)
        })
    };
    std::thread::scope(|scope| {
        let requests: Vec<_> = (0..8).map(|_| scope.spawn(wait)).collect();
        eventually("all to wait", || (proxy.active("late") == 8).then_some(()));
        assert_eq!(proxy.get("ringer", "/").send().unwrap().status, 200);
        gate.open();
        for request in requests {
            assert_eq!(request.join().unwrap(), 200);
        }
    });
    let stats = proxy.envoy().stats().unwrap();
    let reloads = stats.iter().filter(|(name, _)| name.ends_with(".vm_reload_success"));
    assert_eq!(reloads.map(|(_, count)| count).sum::<u64>(), 1, "the trap's, and none for a message");
}

/// More queues than the filters of these tests open in one process.
const MAX_QUEUES: usize = 64;
