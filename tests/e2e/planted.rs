use std::cell::RefCell;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};

use attache::base::{Jitter, Random, Secret, Timestamp};
use attache::jose::RustCrypto;
use attache::sharing::{
    Context, FetchState, Publication, QueueId, Seal, SharedState, Sharing, SingleFlight, Version,
};
use attache_harness::issuer::Algorithm;
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};

use crate::module::planter;
use crate::proxy::{
    Document, Listener, Setup, VMS, completed, ecds_file, echo, eventually, issuer, jwks, plugin_of, reading,
    trust, verdict,
};
use crate::secrets::{self, scoped};

/// Another module of the same `vm_id` puts a set of its own keys where the filters share theirs. With a sealing secret it is
/// refused; without one, every module that can write there is trusted (docs/configuration.md), which here proves that it was planted well.
#[test]
fn a_planted_key_set_is_refused_by_its_seal() {
    let secret = [9; 32];
    let variable = Base64UrlUnpadded::encode_string(&secret);
    secrets::remember(&variable);
    let document = |name: &str, sharing: Value| {
        let keys = jwks("corp", json!({ "refresh": "1h", "min_refresh": "1h" }));
        let issuer = trust("corp", json!({ "name": name, "keys": { "jwks": keys } }));
        Document::Struct(reading(name, &[issuer], json!({ "sharing": sharing })))
    };
    let sealing = json!({ "process": { "sealing_secret": { "env": "SEAL" } } });
    let first = ecds_file("planter", "1", &document("planter", json!("none")));
    let proxy = Setup::new()
        .issuer("corp")
        .environment("SEAL", &variable)
        .file("planter.json", first.to_string())
        .listener(Listener::ecds("planter", "planter.json"))
        .listener(Listener::new("sealed", document("sealed", sealing)))
        .listener(Listener::new("trusting", document("trusting", json!("process"))))
        .start();
    let corp = proxy.issuer("corp");
    for listener in ["sealed", "trusting"] {
        eventually("keys in every VM", || (proxy.taken(listener) == VMS - 1).then_some(()));
    }
    let attacker = issuer("corp", &[Algorithm::Es256]);
    let send = |listener: &str, issuer| {
        let answer = proxy.get(listener, "/").bearer(&scoped(issuer, "orders:read")).send().unwrap();
        verdict(&answer)
    };
    for listener in ["sealed", "trusting"] {
        assert_eq!(send(listener, corp), (200, "forwarded".into()));
        assert_eq!(send(listener, &attacker), (401, "signature_invalid".into()));
    }

    // The attacker knows all but the secret: how things are named, encoded and dated.
    let seal = Seal::new(&Secret::new(secret)).unwrap();
    let mut values = publication(None, &attacker.jwks());
    for (name, mut value) in publication(Some(Rc::new(seal)), &attacker.jwks()) {
        if name.ends_with("/document") {
            value[0] ^= 1;
        }
        values.push((name, value));
    }
    // What cannot be read of the news makes everybody look at everything.
    values.push(("attache/1/news".to_owned(), vec![0xff]));
    let mut update = ecds_file("planter", "2", &Document::Text(String::new()));
    let planter = base64ct::Base64::encode_string(&planter(&values));
    plugin_of(&mut update)["vm_config"]["code"] = json!({ "local": { "inline_bytes": planter } });
    proxy.envoy().replace_file("planter.json", update.to_string().as_bytes()).unwrap();
    // It lets everything through.
    eventually("the planter", || (proxy.get("planter", "/").send().unwrap().status == 200).then_some(()));

    eventually("the trusting filters to take it", || (proxy.taken("trusting") == 2 * VMS - 1).then_some(()));
    let refused = [("issuer", "sealed"), ("result", "rejected")];
    eventually("the sealed ones to refuse it", || {
        (proxy.metric("attache_shared_documents_total", &refused) >= VMS).then_some(())
    });
    for _ in 0..6 {
        assert_eq!(send("trusting", &attacker), (200, "forwarded".into()));
        assert_eq!(send("sealed", &attacker), (401, "signature_invalid".into()));
        echo(&proxy.get("sealed", "/").bearer(&scoped(corp, "orders:read")).send().unwrap());
    }
    assert_eq!(proxy.taken("sealed"), VMS - 1);
    let line = "issuer sealed: a document that another module has left in shared data is refused: its seal is not from this secret";
    assert!(proxy.envoy().logs().contains(line));
    // A thread that is new there asks the issuer.
    let asked = corp.jwks_requests();
    let back = ecds_file("planter", "3", &document("planter", json!("none")));
    proxy.envoy().replace_file("planter.json", &completed(back)).unwrap();
    eventually("the filter", || (proxy.get("planter", "/").send().unwrap().status == 401).then_some(()));
    eventually("its own keys", || (corp.jwks_requests() == asked + VMS).then_some(()));
}

/// As above for VMs without a `vm_id`, as Istio makes them, and without a seal: what was planted decides nothing, neither for a
/// filter that has keys nor for one that comes when it lies there.
#[test]
fn without_a_vm_id_a_planted_key_set_lets_no_caller_in() {
    let document = |version: u64| {
        let keys = jwks("corp", json!({ "refresh": "1h", "min_refresh": "1h" }));
        let issuer = trust("corp", json!({ "keys": { "jwks": keys } }));
        Document::Struct(reading("corp", &[issuer], json!({ "inbound": { "version": version } })))
    };
    let nameless = |name: &str, version: u64, document: &Document| {
        let mut file = ecds_file(name, &version.to_string(), document);
        plugin_of(&mut file)["vm_config"]["vm_id"] = "".into();
        file
    };
    let attacker = issuer("corp", &[Algorithm::Es256]);
    let mut planting = nameless("planter", 1, &Document::Text(String::new()));
    let mut values = publication(None, &attacker.jwks());
    values.push(("attache/1/news".to_owned(), vec![0xff]));
    let code = base64ct::Base64::encode_string(&planter(&values));
    plugin_of(&mut planting)["vm_config"]["code"] = json!({ "local": { "inline_bytes": code } });
    let proxy = Setup::new()
        .issuer("corp")
        .file("planter", planting.to_string())
        .file("nameless.json", nameless("nameless", 1, &document(1)).to_string())
        .listener(Listener::ecds("planter", "planter"))
        .listener(Listener::ecds("nameless", "nameless.json"))
        .start();
    let corp = proxy.issuer("corp");
    let expect_only_ours = || {
        for _ in 0..6 {
            let send = |issuer| {
                let request = proxy.get("nameless", "/").bearer(&scoped(issuer, "orders:read"));
                verdict(&request.send().unwrap())
            };
            assert_eq!(send(&attacker), (401, "signature_invalid".into()));
            assert_eq!(send(corp), (200, "forwarded".into()));
        }
    };
    eventually("keys in every VM", || (corp.jwks_requests() == VMS).then_some(()));
    expect_only_ours();
    eventually("the planter", || (proxy.get("planter", "/").send().unwrap().status == 200).then_some(()));
    expect_only_ours();
    proxy.envoy().replace_file("nameless.json", &completed(nameless("nameless", 2, &document(2)))).unwrap();
    proxy.expect_metric("attache_config_version", &[], 2);
    eventually("keys in every new filter", || (corp.jwks_requests() == 2 * VMS).then_some(()));
    expect_only_ours();
    assert_eq!(proxy.taken("corp"), 0);
    let line = "threads share no documents and no tokens: there is neither a `vm_id` nor a sealing secret";
    assert!(proxy.envoy().logs().contains(line));
}

/// What filters with this seal would find in shared data if one of them had fetched this now.
fn publication(seal: Option<Rc<Seal>>, body: &[u8]) -> Vec<(String, Vec<u8>)> {
    let board = Board::default();
    // As `issuer::definition` names a document.
    let fields: [&[u8]; 4] = [b"jwks", b"corp", b"https://corp.example/jwks", b"strict"];
    let sharing = Sharing { seal, shares_unsealed_tokens: false, has_vm_id: true, group: 0 };
    let mut flight = SingleFlight::new(&fields, Some(&sharing), 7, Duration::from_secs(1));
    let now = UNIX_EPOCH.elapsed().unwrap().as_nanos();
    let now = Timestamp::from_nanos(now.try_into().unwrap());
    let context = Context {
        now,
        stopwatch: &(),
        crypto: &RustCrypto,
        random: &Sevens,
        shared: &board,
        jitter: &mut Jitter::new([7; 16]),
        observations: &mut Vec::new(),
    };
    flight.seed(&context);
    let lookup = flight.look(&context);
    assert!(lookup.found().is_some(), "there is a lease");
    assert!(flight.acquire(lookup, &context));
    let publication = Publication {
        sent: now,
        received: now,
        freshness: None,
        unchanged: 0,
        entity_tag: None,
        origin: "https://corp.example/jwks".to_owned(),
        body: Secret::new(body),
    };
    flight.publish(&publication, &context);
    flight.release(FetchState { sent: Some(now), published: Some(now), ..FetchState::default() }, &context);
    let values = board.0.into_inner();
    assert_eq!(values.len(), 2, "a lease and a document");
    values.into_iter().map(|(name, (value, _))| (name, value)).collect()
}

/// Randomness for what need not be secret.
pub(crate) struct Sevens;

impl Random for Sevens {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

/// Shared data, as Envoy keeps it.
#[derive(Default)]
struct Board(RefCell<BTreeMap<String, (Vec<u8>, NonZeroU32)>>);

impl SharedState for Board {
    fn get(&self, name: &str) -> Option<(Vec<u8>, Version)> {
        self.0.borrow().get(name).map(|(value, version)| (value.clone(), Version(*version)))
    }

    fn set(&self, name: &str, value: &[u8], version: Option<Version>) -> bool {
        let there = self.0.borrow().get(name).map(|(_, version)| *version);
        if version.is_some_and(|Version(version)| Some(version) != there) {
            return false;
        }
        let next = there.unwrap_or(NonZeroU32::MIN).saturating_add(1);
        self.0.borrow_mut().insert(name.to_owned(), (value.to_vec(), next));
        true
    }

    fn open_queue(&self, _name: &str) -> Option<QueueId> {
        None
    }

    fn wake(&self, _queue: QueueId) {}

    fn drain(&self, _queue: QueueId) {}
}
