//! VMs without a `vm_id`, as Istio makes them: any module of the proxy reads and writes what the threads share, and without a seal
//! none of it decides anything. It spares fetches that would have brought what a thread has, and no more.

use std::rc::Rc;

use attache::base::Level;
use prost::Message as _;
use serde_json::{Value, json};

use crate::outbound;
use crate::process::Memory;
use crate::proxy::{Request, Signer, Time as _, config, good, issuer, jwks, status};
use crate::threads::{Lease, Published, Threads, counted, fresh, long, scheduled, sealed};

const STRANGER: u64 = 0xbad;

/// Threads whose `vm_id` is empty, with keys that each has fetched a moment ago.
fn ready(config: &Value, count: usize, keys: &[&Signer]) -> Threads {
    let mut threads = Threads::within(&Rc::new(Memory::of_everybody()), config, count);
    threads.serve("idp", good(&jwks(keys)));
    threads.tick();
    threads.pass(1.ms());
    threads
}

/// What another module leaves where a thread would have published, as if it had just been fetched.
fn plant(threads: &Threads, keys: &[&Signer]) {
    let now = threads.ago(0.ms());
    let document = Published {
        sent: now,
        received: now,
        freshness: Some(u64::MAX),
        entity_tag: Some("\"planted\"".to_owned()),
        origin: "https://idp.example/jwks".to_owned(),
        body: jwks(keys).into_bytes(),
        unchanged: u32::MAX,
    };
    threads.memory.plant(&threads.name("/document"), &document.encode_to_vec());
    threads.forge_lease(&Lease { published: now, ..threads.lease() });
}

#[test]
fn a_planted_key_set_lets_no_caller_in() {
    let (key, evil) = (Signer::new("k1"), Signer::new("evil"));
    let mut threads = ready(&config(json!({})), 4, &[&key]);
    for _ in 0..3 {
        threads.advance_with(7.minutes(), |threads| plant(threads, &[&evil]));
        let late = threads.join();
        // Neither before its first tick nor after it.
        assert_ne!(threads[late].get("/orders", &long(&evil).sign()), "forwarded");
        threads.advance(100.ms());
        threads.all_tell(&fresh(&key, late), "forwarded");
        assert!(!threads.get("/orders", &fresh(&evil, late)).contains(&"forwarded".to_owned()));
    }
    assert_eq!(threads.counter(&counted("attache_shared_documents_total", "adopted")), 0);
}

#[test]
fn with_a_seal_all_is_shared_as_with_a_vm_id() {
    let key = Signer::new("k1");
    let threads = ready(&sealed(config(json!({})), "SEAL"), 8, &[&key]);
    assert_eq!(threads.calls("idp"), 1);
    assert_eq!(threads.counter(&counted("attache_shared_documents_total", "adopted")), 7);
}

#[test]
fn each_thread_fetches_its_first_keys_at_once_and_waits_for_no_other() {
    let key = Signer::new("k1");
    let mut threads = Threads::within(&Rc::new(Memory::of_everybody()), &config(json!({})), 8);
    threads.tick();
    assert_eq!(threads.calls("idp"), 8);
    threads.serve("idp", good(&jwks(&[&key])));
    let late = threads.join();
    threads.tick_one(late);
    assert_eq!(threads[late].get("/orders", &long(&key).sign()), "forwarded");
}

/// A refresh that changes nothing is one fetch for all; what each still asks for itself is about what its turns come to.
#[test]
fn refreshes_that_change_nothing_are_shared() {
    let key = Signer::new("k1");
    for (count, most) in [(1, 32), (3, 45), (9, 90)] {
        let mut threads = ready(&config(json!({})), count, &[&key]);
        threads.advance(4.hours());
        let calls = threads.calls("idp");
        // Each for itself, they would come to 26 and more a thread.
        assert!(calls <= count + most, "{count} threads: {calls}");
        threads.all_tell(&fresh(&key, 1), "forwarded");
        let confirmed = threads.counter(&counted("attache_shared_documents_total", "confirmed"));
        assert_eq!(confirmed > 0, count > 1);
        assert_eq!(threads.counter(&counted("attache_shared_documents_total", "adopted")), 0);
        assert_eq!(threads.logs(Level::Warn), [""; 0]);
    }
}

/// The neighbour says at every step that the set is what it was.
#[test]
fn a_withdrawn_key_is_confirmed_for_four_lifetimes_at_most() {
    let (old, new) = (Signer::new("k1"), Signer::new("k2"));
    for (schedule, lifetime) in [(json!({}), 600), (json!({ "refresh": "1m", "max_staleness": "1m" }), 60)] {
        let mut threads = ready(&scheduled(schedule), 4, &[&old]);
        threads.serve("idp", good(&jwks(&[&new])));
        threads.advance_with((4 * lifetime).secs(), |threads| plant(threads, &[&old]));
        threads.all_tell(&long(&new).sign(), "forwarded");
        assert!(!threads.get("/orders", &long(&old).sign()).contains(&"forwarded".to_owned()));
    }
}

/// And without any such module, at the next refresh of each thread.
#[test]
fn a_withdrawn_key_stops_in_every_thread_within_one_refresh() {
    let (old, new) = (Signer::new("k1"), Signer::new("k2"));
    let mut threads = ready(&config(json!({})), 4, &[&old, &new]);
    threads.advance(1.hours());
    threads.serve("idp", good(&jwks(&[&new])));
    threads.advance(571.secs());
    assert!(!threads.get("/orders", &long(&old).sign()).contains(&"forwarded".to_owned()));
    threads.all_tell(&long(&new).sign(), "forwarded");
}

#[test]
fn what_is_confirmed_counts_no_longer_than_what_was_fetched() {
    let key = Signer::new("k1");
    let mut threads = ready(&scheduled(json!({ "refresh": "1m", "max_staleness": "9m" })), 2, &[&key]);
    threads.serve("idp", status(503));
    threads.advance_with(600.secs() - 100.ms(), |threads| plant(threads, &[&key]));
    threads.all_tell(&long(&key).sign(), "forwarded");
    threads.advance_with(100.ms(), |threads| plant(threads, &[&key]));
    assert!(!threads.get("/orders", &long(&key).sign()).contains(&"forwarded".to_owned()));
}

/// A new key is found by each thread at its first token, whatever leases, pauses and confirmations say.
#[test]
fn no_module_keeps_a_new_key_from_a_thread() {
    let (old, new) = (Signer::new("k1"), Signer::new("k2"));
    let mut threads = ready(&config(json!({})), 4, &[&old]);
    threads.serve("idp", good(&jwks(&[&old, &new])));
    let forge = |threads: &Threads| {
        plant(threads, &[&old]);
        let (now, soon) = (threads.ago(0.ms()), threads.ahead(70.secs()));
        let lease =
            Lease { holder: STRANGER, until: soon, failures: 9, not_before: soon, ..Lease::default() };
        threads.forge_lease(&Lease { sent: now, published: now, ..lease });
    };
    threads.advance_with(1.minutes(), |threads| forge(threads));
    let numbers = threads.alive();
    let waits = numbers
        .iter()
        .map(|number| threads[*number].request(Request::get("/orders").bearer(&long(&new).sign())).waiting());
    let waits: Vec<_> = waits.collect();
    threads.advance_with(200.ms(), |threads| forge(threads));
    for (number, waits) in numbers.into_iter().zip(waits) {
        assert_eq!(threads[number].answer(waits).tells(), "forwarded");
    }
}

/// "There is no such key" is what the issuer says, and no other.
#[test]
fn a_confirmation_refuses_no_caller() {
    let (key, unknown) = (Signer::new("k1"), Signer::new("k2"));
    let mut threads = ready(&config(json!({})), 2, &[&key]);
    threads.serve("idp", status(503));
    threads.advance(1.minutes());
    let waits = threads[0].request(Request::get("/orders").bearer(&long(&unknown).sign())).waiting();
    threads.advance_with(6.secs(), |threads| plant(threads, &[&key]));
    assert_eq!(threads[0].answer(waits).tells(), "503 keys_unavailable");
}

#[test]
fn leases_and_pauses_hold_refreshes_back_for_four_lifetimes_at_most() {
    let (old, new) = (Signer::new("k1"), Signer::new("k2"));
    let mut threads = ready(&config(json!({})), 4, &[&old]);
    threads.serve("idp", good(&jwks(&[&new])));
    threads.advance_with(40.minutes(), |threads| {
        let soon = threads.ahead(70.secs());
        let lease =
            Lease { holder: STRANGER, until: soon, failures: 9, not_before: soon, ..Lease::default() };
        threads.forge_lease(&Lease { sent: threads.ago(0.ms()), ..lease });
    });
    threads.all_tell(&long(&new).sign(), "forwarded");
    assert!(threads.calls("idp") <= 8, "{}", threads.calls("idp"));
}

#[test]
fn a_clock_that_is_set_back_makes_each_thread_fetch_for_itself() {
    let (old, new) = (Signer::new("k1"), Signer::new("k2"));
    let mut threads = ready(&config(json!({})), 4, &[&old]);
    threads.advance(1.minutes());
    threads.set_back(1.hours());
    threads.serve("idp", good(&jwks(&[&new])));
    threads.advance_with(200.ms(), |threads| plant(threads, &[&old]));
    threads.all_tell(&long(&new).claim("iat", crate::proxy::START - 5_000).sign(), "forwarded");
}

/// Metadata that another module planted would say where to fetch keys.
#[test]
fn planted_metadata_leads_no_thread_to_other_keys() {
    let (key, evil) = (Signer::new("k1"), Signer::new("evil"));
    let metadata = |at: &str| json!({ "issuer": "https://idp.example", "jwks_uri": at }).to_string();
    let source = json!({ "keys": { "jwks": null, "discovery": { "cluster": "idp" } } });
    let document = config(json!({ "issuers": [issuer(source)] }));
    let mut threads = Threads::within(&Rc::new(Memory::of_everybody()), &document, 3);
    let (ours, theirs) = (good(&jwks(&[&key])), good(&jwks(&[&evil])));
    let located = good(&metadata("https://idp.example/jwks"));
    threads.script("idp", move |call| {
        Some(match crate::threads::path_of(call) {
            "/jwks" => ours.clone(),
            "/evil" => theirs.clone(),
            _ => located.clone(),
        })
    });
    threads.advance(1.secs());
    threads.advance_with(2.hours(), |threads| {
        let now = threads.ago(0.ms());
        let leases = threads.memory.names().into_iter().filter(|name| name.ends_with("/lease"));
        for lease in leases.collect::<Vec<_>>() {
            let planted = Published {
                sent: now,
                received: now,
                freshness: None,
                entity_tag: None,
                origin: "https://idp.example/.well-known/oauth-authorization-server".to_owned(),
                body: metadata("https://idp.example/evil").into_bytes(),
                unchanged: 0,
            };
            threads.memory.plant(&lease.replace("/lease", "/document"), &planted.encode_to_vec());
            threads.memory.plant(&lease, &Lease { published: now, ..Lease::default() }.encode_to_vec());
        }
        threads.call_news();
    });
    assert!(!threads.paths().contains(&"/evil".to_owned()));
    threads.all_tell(&fresh(&key, 1), "forwarded");
}

/// Neither tokens, nor whether their endpoint works.
#[test]
fn nothing_of_the_outbound_half_is_shared_even_if_the_configuration_says_unsealed() {
    for sharing in [json!("process"), json!({ "process": { "tokens": "unsealed" } })] {
        let mut document = outbound::document(json!({}));
        document["sharing"] = sharing;
        let mut threads = Threads::within(&Rc::new(Memory::of_everybody()), &document, 3);
        let tokens = outbound::Tokens::new();
        let answering = tokens.clone();
        threads.script("idp", move |call| answering.answer(call));
        threads.advance(1.secs());
        assert_eq!(tokens.issued(), 3);
        let ours = |name: &String| name.ends_with("/document") || name.ends_with("/lease");
        assert_eq!(threads.memory.names().into_iter().filter(ours).collect::<Vec<_>>(), [""; 0]);
    }
}
