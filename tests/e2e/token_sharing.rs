use std::cell::RefCell;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::{Duration, UNIX_EPOCH};

use attache::base::{Jitter, Timestamp};
use attache::config::{self, Environment};
use attache::filter::Filter;
use attache::jose::RustCrypto;
use attache::sharing::{Context, QueueId, SharedState, Version};
use attache_harness::issuer::{Endpoint, Fault};
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};

use crate::egress::{
    SECRET, assert_all_good, asserted, call, client, destination, document, hosts, setup, under_load,
};
use crate::module::reader;
use crate::planted::Sevens;
use crate::proxy::{
    Document, Listener, Proxy, Setup, at_once, completed_with, ecds_file, echo, eventually, plugin_of,
};

/// The n-th configuration: what becomes of other hosts changes, the client stays.
fn document_of(n: u64, sharing: Value) -> Value {
    let unmatched = if n.is_multiple_of(2) { "deny" } else { "pass" };
    let more = json!({ "outbound": { "unmatched": unmatched } });
    let mut document = document("downstream", &[client(json!({}))], &[destination(json!({}))], more);
    document["sharing"] = sharing;
    document
}

fn sealed() -> Value {
    json!({ "process": { "sealing_secret": { "env": "SEALING_SECRET" } } })
}

fn file(n: u64) -> Value {
    ecds_file("egress", &n.to_string(), &Document::Struct(document_of(n, sealed())))
}

#[test]
fn configurations_that_change_under_load_ask_for_no_second_token() {
    let proxy = setup()
        .workers(4)
        .cluster("billing", asserted())
        .file("ecds.json", file(1).to_string())
        .listener(Listener::ecds("egress", "ecds.json").manager(hosts(json!({}))))
        .start();
    // The token is there before the first change. The configuration of a thread without requests, as Envoy's main thread is,
    // ends at once, and if it is the one that asks, its call with it: another thread has to ask again.
    echo(&call(&proxy, "egress", "/").send().unwrap());
    let (came, ()) = under_load(
        || call(&proxy, "egress", "/"),
        |load| {
            for n in 2..=8 {
                let before = load.count(200);
                proxy.envoy().replace_file("ecds.json", &completed_with(file(n), &environment())).unwrap();
                let expected = if n % 2 == 0 { 403 } else { 200 };
                eventually("the new configuration on every worker", || {
                    let status = || proxy.get("egress", "/").send().unwrap().status;
                    (0..12).all(|_| status() == expected).then_some(())
                });
                eventually("requests under it", || (load.count(200) > before + 50).then_some(()));
            }
        },
    );
    assert_all_good(&came);
    assert_eq!(proxy.issuer("idp").token_requests(), 1);
}

#[test]
fn requests_that_wait_for_a_token_survive_a_change_of_the_configuration() {
    // No answer comes before the gate is opened, and no request gives up before. On demand, a worker asks that has a request
    // which waits: its old configuration lives until that is answered. Envoy's main thread has a VM too, which could ask at the
    // start, and whose old configuration ends at once, and its call with it.
    let patient = |n: u64| {
        let mut document = document_of(n, sealed());
        document["outbound"]["clients"][0]["token_endpoint"]["timeout"] = "60s".into();
        document["outbound"]["clients"][0]["obtain"] = "on_demand".into();
        document["outbound"]["waiting"] = json!({ "deadline": "60s" });
        ecds_file("egress", &n.to_string(), &Document::Struct(document))
    };
    let (setup, gate) = setup().gated("idp");
    let proxy = setup
        .cluster("billing", asserted())
        .file("ecds.json", patient(1).to_string())
        .listener(Listener::ecds("egress", "ecds.json").manager(hosts(json!({}))))
        .start();
    std::thread::scope(|scope| {
        let calls = (0..10).map(|_| call(&proxy, "egress", "/").timeout(Duration::from_secs(120)));
        let waiting = scope.spawn(|| at_once(calls.collect()));
        eventually("all to wait", || (proxy.active("egress") == 10).then_some(()));
        proxy.envoy().replace_file("ecds.json", &completed_with(patient(2), &environment())).unwrap();
        eventually("the new configuration on every worker", || {
            (0..12).all(|_| proxy.get("egress", "/").send().unwrap().status == 403).then_some(())
        });
        assert_eq!(proxy.active("egress"), 10, "they wait still");
        gate.open();
        waiting.join().unwrap().iter().for_each(|answer| assert!(echo(answer).bearer().is_some()));
    });
    assert!(echo(&call(&proxy, "egress", "/").send().unwrap()).bearer().is_some());
    assert_eq!(proxy.issuer("idp").token_requests(), 1);
}

/// What a VM's end, by a trap or an update, must not cost: what the process shares survives it.
#[test]
fn new_vms_have_the_token_while_the_token_endpoint_is_down() {
    let proxy = setup()
        .cluster("billing", asserted())
        .file("ecds.json", file(1).to_string())
        .listener(Listener::ecds("egress", "ecds.json").manager(hosts(json!({}))))
        .start();
    echo(&call(&proxy, "egress", "/").send().unwrap());
    proxy.issuer("idp").fault_at(Endpoint::Token, Fault::Reset);
    let (came, ()) = under_load(
        || call(&proxy, "egress", "/"),
        |load| {
            for n in 2..=4 {
                let before = load.count(200);
                let mut file = file(n);
                let other_vm = json!({ "@type": "type.googleapis.com/google.protobuf.StringValue", "value": n.to_string() });
                plugin_of(&mut file)["vm_config"]["configuration"] = other_vm;
                proxy.envoy().replace_file("ecds.json", &completed_with(file, &environment())).unwrap();
                let expected = if n % 2 == 0 { 403 } else { 200 };
                eventually("the new VMs", || {
                    let status = || proxy.get("egress", "/").send().unwrap().status;
                    (0..12).all(|_| status() == expected).then_some(())
                });
                eventually("requests in them", || (load.count(200) > before + 50).then_some(()));
                let log = proxy.envoy().logs();
                assert_eq!(log.lines().filter(|line| line.contains("Base Wasm created")).count() as u64, n);
            }
        },
    );
    assert_all_good(&came);
    assert_eq!(proxy.issuer("idp").token_requests(), 1);
}

fn environment() -> serde_json::Map<String, Value> {
    let sealing = Base64UrlUnpadded::encode_string(&[7; 32]);
    let variables = json!({ "BILLING_SECRET": SECRET, "SEALING_SECRET": sealing });
    variables.as_object().unwrap().clone()
}

/// What another module of the same `vm_id` finds where the filter shares the client's token.
fn found(sharing: &Value) -> (Proxy, Vec<(u16, Vec<u8>)>) {
    let document = document_of(1, sharing.clone());
    let names = names(&document);
    let mut start: Setup = setup()
        .cluster("billing", asserted())
        .listener(Listener::new("egress", Document::Struct(document)).manager(hosts(json!({}))));
    for (index, name) in names.iter().enumerate() {
        let mut module = ecds_file(&format!("reader{index}"), "1", &Document::Text(String::new()));
        let code = base64ct::Base64::encode_string(&reader(&name.replace("/lease", "/document")));
        plugin_of(&mut module)["vm_config"]["code"] = json!({ "local": { "inline_bytes": code } });
        start = start
            .file(&format!("reader{index}"), module.to_string())
            .listener(Listener::ecds(&format!("reader{index}"), &format!("reader{index}")));
    }
    let proxy = start.start();
    echo(&call(&proxy, "egress", "/").send().unwrap());
    let answers = (0..names.len()).map(|index| {
        let answer = proxy.get(&format!("reader{index}"), "/").send().unwrap();
        (answer.status, answer.body)
    });
    let answers = answers.collect();
    (proxy, answers)
}

#[test]
fn another_module_cannot_read_a_sealed_token_and_one_that_is_shared_unsealed_it_can() {
    for (sharing, is_readable) in [(sealed(), false), (json!({ "process": { "tokens": "unsealed" } }), true)]
    {
        let (proxy, found) = found(&sharing);
        let token = proxy.issuer("idp").issued_tokens().remove(0);
        let claims = token.split('.').nth(1).unwrap();
        let there: Vec<_> = found.iter().filter(|(status, _)| *status == 200).collect();
        assert_eq!(there.len(), 1, "{found:?}");
        assert!(there[0].1.len() > token.len(), "it is the token that lies there");
        let text = String::from_utf8_lossy(&there[0].1);
        assert_eq!(text.contains(claims), is_readable, "{sharing}");
        let requests = proxy.issuer("idp").token_requests();
        assert_eq!(requests, 1);
    }
}

#[test]
fn without_a_seal_or_a_word_each_thread_obtains_its_own_token() {
    for sharing in [json!("none"), json!("process")] {
        let document = document_of(1, sharing);
        let proxy = setup()
            .cluster("billing", asserted())
            .listener(Listener::new("egress", Document::Struct(document)).manager(hosts(json!({}))))
            .start();
        eventually("a token in each VM", || {
            (proxy.issuer("idp").token_requests() == crate::proxy::VMS).then_some(())
        });
        for _ in 0..10 {
            echo(&call(&proxy, "egress", "/").send().unwrap());
        }
        assert_eq!(proxy.issuer("idp").token_requests(), crate::proxy::VMS);
    }
}

/// The names under which a filter of this document shares leases.
fn names(document: &Value) -> Vec<String> {
    struct Variables;
    impl Environment for Variables {
        fn variable(&self, name: &str) -> Option<String> {
            environment().get(name)?.as_str().map(str::to_owned)
        }

        fn has_vm_id(&self) -> bool {
            true
        }
    }
    let config = config::parse(document.to_string().as_bytes(), &Variables).unwrap();
    let now = UNIX_EPOCH.elapsed().unwrap().as_nanos();
    let board = Board::default();
    let now = Timestamp::from_nanos(now.try_into().unwrap());
    let mut context = Context {
        now,
        stopwatch: &(),
        crypto: &RustCrypto,
        random: &Sevens,
        shared: &board,
        jitter: &mut Jitter::new([7; 16]),
        observations: &mut Vec::new(),
    };
    let _ = Filter::new(&config, [7; 16], &mut context);
    board.0.into_inner().into_keys().filter(|name| name.ends_with("/lease")).collect()
}

/// Shared data, as Envoy keeps it.
#[derive(Default)]
struct Board(RefCell<BTreeMap<String, Vec<u8>>>);

impl SharedState for Board {
    fn get(&self, name: &str) -> Option<(Vec<u8>, Version)> {
        self.0.borrow().get(name).map(|value| (value.clone(), Version(NonZeroU32::MIN)))
    }

    fn set(&self, name: &str, value: &[u8], _version: Option<Version>) -> bool {
        self.0.borrow_mut().insert(name.to_owned(), value.to_vec());
        true
    }

    fn open_queue(&self, _name: &str) -> Option<QueueId> {
        None
    }

    fn wake(&self, _queue: QueueId) {}

    fn drain(&self, _queue: QueueId) {}
}
