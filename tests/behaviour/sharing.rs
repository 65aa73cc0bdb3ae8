//! One fetch for a whole process: its threads take turns, hear of news at once, and outlive each other.

use attache::base::Level;
use serde_json::{Value, json};

use crate::proxy::{Request, Signer, Time as _, config, good, issuer, jwks, status};
use crate::threads::{Threads, counted, fresh, gauge, long, scheduled, sealed};

fn elsewhere(jwks: Value) -> Value {
    config(json!({ "issuers": [issuer(json!({ "keys": { "jwks": jwks } }))] }))
}

#[test]
fn eight_threads_fetch_once_at_start() {
    let key = Signer::new("k1");
    let mut threads = Threads::new(&config(json!({})), 8);
    threads.serve("idp", good(&jwks(&[&key])));
    threads.tick();
    assert_eq!(threads.calls("idp"), 1);
    threads.all_tell(&long(&key).sign(), "forwarded");
    threads.advance(1.minutes());
    assert_eq!(threads.calls("idp"), 1);
    assert_eq!(threads.counter(&counted("attache_key_fetches_total", "changed")), 1);
    assert_eq!(threads.counter(&counted("attache_shared_documents_total", "adopted")), 7);
}

#[test]
fn each_refresh_of_eight_threads_is_one_call() {
    let key = Signer::new("k1");
    let mut threads = Threads::ready(&config(json!({})), 8, &[&key]);
    threads.advance(4.hours());
    let pauses = threads.pauses();
    assert!(pauses.len() >= 24, "{pauses:?}");
    // Of eight draws between 80 and 95 % of ten minutes the first one counts.
    assert!(pauses.iter().all(|pause| (480_000..=571_000).contains(pause)), "{pauses:?}");
    threads.all_tell(&fresh(&key, 1), "forwarded");
    // What one has fetched, all have taken over: no thread's keys are older than the last call.
    assert_eq!(
        threads.counter(&counted("attache_shared_documents_total", "adopted")),
        7 * u64::try_from(threads.calls("idp")).unwrap()
    );
}

#[test]
fn a_withdrawn_key_stops_in_every_thread_within_one_refresh() {
    let (old, new) = (Signer::new("k1"), Signer::new("k2"));
    let mut threads = Threads::ready(&config(json!({})), 8, &[&old, &new]);
    let token = long(&old).sign();
    threads.all_tell(&token, "forwarded");
    threads.serve("idp", good(&jwks(&[&new])));
    threads.advance(571.secs());
    // Not from the cache either.
    threads.all_tell(&token, "waiting");
    threads.all_tell(&long(&new).sign(), "forwarded");
    assert_eq!(threads.calls("idp"), 2);
}

#[test]
fn requests_that_wait_in_any_thread_are_answered_when_one_thread_has_the_keys() {
    let (key, stranger) = (Signer::new("k1"), Signer::unnamed("x").named(Some("k1")));
    let mut threads = Threads::new(&config(json!({})), 8);
    threads.tick();
    assert_eq!(threads.calls("idp"), 1);
    let mut waits = Vec::new();
    for number in threads.alive() {
        for token in [long(&key).sign(), long(&stranger).sign()] {
            let request = Request::get("/orders").bearer(&token);
            waits.push((number, threads[number].request(request).waiting()));
        }
    }
    // No time passes, and no thread ticks.
    threads.reply(good(&jwks(&[&key])));
    for pair in waits.chunks(2) {
        assert_eq!(threads[pair[0].0].answer(pair[0].1).tells(), "forwarded");
        assert_eq!(threads[pair[1].0].answer(pair[1].1).tells(), "401 signature_invalid");
    }
}

#[test]
fn a_change_is_told_once_for_all_threads() {
    let (old, new) = (Signer::new("k1"), Signer::new("k2"));
    let mut threads = Threads::ready(&config(json!({})), 8, &[&old]);
    threads.serve("idp", good(&jwks(&[&new])));
    threads.advance_to_call("idp", 2);
    threads.advance(1.hours());
    let lines = threads.events(Level::Info);
    assert_eq!(
        lines,
        [
            "issuer corp: keys changed: 1 usable, 1 added (k1), 0 removed",
            "issuer corp: keys changed: 1 usable, 1 added (k2), 1 removed (k1)"
        ]
    );
}

/// Its VM has crashed, or its reply is lost: timeout and ten seconds, and another thread goes on.
#[test]
fn a_thread_that_dies_with_the_lease_stops_no_fetch() {
    let key = Signer::new("k1");
    for others in [1, 7] {
        let mut threads = Threads::new(&config(json!({})), 1 + others);
        threads.tick();
        threads.kill(0);
        threads.serve("idp", good(&jwks(&[&key])));
        threads.advance(14_900.ms());
        assert_eq!(threads.calls("idp"), 1);
        threads.advance(200.ms());
        assert_eq!(threads.calls("idp"), 2);
        threads.all_tell(&long(&key).sign(), "forwarded");
    }
}

#[test]
fn threads_that_die_one_after_the_other_with_the_lease_stop_no_refresh() {
    let (key, new) = (Signer::new("k1"), Signer::new("k2"));
    let mut threads = Threads::ready(&config(json!({})), 4, &[&key]);
    threads.silence("idp");
    for calls in 2..=4 {
        threads.advance_to_call("idp", calls);
        let asking = threads.alive().into_iter().find(|number| threads[*number].is_asking());
        threads.kill(asking.unwrap());
        threads.all_tell(&long(&key).sign(), "forwarded");
    }
    threads.serve("idp", good(&jwks(&[&new])));
    // Each one's own date comes by then, and the lease of the one before ends.
    threads.advance(571.secs() + 16.secs() - threads.call_times()[3].ms());
    assert_eq!(threads.calls("idp"), 5, "{:?}", threads.call_times());
    threads.all_tell(&long(&new).sign(), "forwarded");
}

/// A new worker, a VM that Envoy has built anew, a reload: none of them asks the issuer.
#[test]
fn a_thread_that_comes_later_has_keys_at_once_and_asks_no_issuer() {
    let key = Signer::new("k1");
    let mut threads = Threads::ready(&config(json!({})), 2, &[&key]);
    threads.silence("idp");
    threads.advance(5.minutes());
    let late = threads.join();
    threads.kill(1);
    let rebuilt = threads.join();
    let reloaded = threads.reload(0, &config(json!({})));
    let patched = config(json!({ "version": 2, "default": "deny", "routes": [
        { "name": "new", "match": { "prefix": "/" }, "require": { "authenticated": {} } },
    ]}));
    let changed = threads.reload(reloaded, &patched);
    for number in [late, rebuilt, changed] {
        // Before the first tick.
        assert_eq!(threads[number].get("/orders", &long(&key).sign()), "forwarded");
    }
    threads.advance(1.minutes());
    assert_eq!(threads.calls("idp"), 1);
    assert_eq!(threads.get("/orders", &fresh(&key, 1)), ["forwarded"; 3]);
}

#[test]
fn a_thread_that_comes_later_does_not_take_the_document_for_fresher_than_it_is() {
    let (old, new) = (Signer::new("k1"), Signer::new("k2"));
    let mut threads = Threads::ready(&config(json!({})), 1, &[&old]);
    threads.advance(470.secs());
    let late = threads.join();
    threads.kill(0);
    threads.serve("idp", good(&jwks(&[&new])));
    threads.advance(101.secs());
    assert_eq!(threads.calls("idp"), 2);
    assert_eq!(threads[late].get("/orders", &long(&old).sign()), "waiting");
}

#[test]
fn another_address_or_another_cluster_shares_no_keys() {
    for other in [
        json!({ "uri": "https://idp.example/jwks2" }),
        json!({ "uri": "http://idp.example/jwks" }),
        json!({ "uri": "https://idp.example:8443/jwks" }),
        json!({ "cluster": "other" }),
    ] {
        let (key, theirs) = (Signer::new("k1"), Signer::new("k2"));
        let mut threads = Threads::ready(&config(json!({})), 2, &[&key]);
        threads.serve("idp", good(&jwks(&[&theirs])));
        threads.serve("other", good(&jwks(&[&theirs])));
        let neighbour = threads.join_with(&elsewhere(other.clone()));
        assert_eq!(threads[neighbour].get("/orders", &long(&key).sign()), "waiting", "{other}");
        threads.advance(1.secs());
        assert_eq!(threads[neighbour].get("/orders", &long(&theirs).sign()), "forwarded", "{other}");
        assert_ne!(threads[neighbour].get("/orders", &fresh(&key, 1)), "forwarded", "{other}");
        assert_eq!(threads[0].get("/orders", &long(&key).sign()), "forwarded", "{other}");
        assert_ne!(threads[0].get("/orders", &fresh(&theirs, 1)), "forwarded", "{other}");
    }
}

#[test]
fn a_document_under_another_seal_or_none_is_another_document() {
    let plain = config(json!({}));
    let kinds = [plain.clone(), sealed(plain.clone(), "SEAL"), sealed(plain.clone(), "OTHER_SEAL")];
    for (at, ours) in kinds.iter().enumerate() {
        for theirs in kinds.iter().skip(at + 1) {
            let (key, new) = (Signer::new("k1"), Signer::new("k2"));
            let mut threads = Threads::ready(ours, 2, &[&key]);
            threads.serve("idp", good(&jwks(&[&new])));
            let neighbour = threads.join_with(theirs);
            threads.advance(1.secs());
            assert_eq!(threads[neighbour].get("/orders", &long(&new).sign()), "forwarded");
            assert_eq!(threads[0].get("/orders", &long(&key).sign()), "forwarded");
            assert_eq!(threads.calls("idp"), 2);
            // Neither takes the other one's for a forgery.
            assert_eq!(threads.counter(&counted("attache_shared_documents_total", "rejected")), 0);
        }
    }
}

#[test]
fn threads_with_one_seal_fetch_once() {
    let key = Signer::new("k1");
    let mut threads = Threads::ready(&sealed(config(json!({})), "SEAL"), 8, &[&key]);
    threads.advance(1.hours());
    assert!(threads.calls("idp") <= 8, "{:?}", threads.pauses());
    threads.all_tell(&fresh(&key, 1), "forwarded");
}

#[test]
fn sharing_none_shares_nothing() {
    let key = Signer::new("k1");
    let mut alone = config(json!({}));
    alone["sharing"] = json!("none");
    let mut threads = Threads::ready(&alone, 8, &[&key]);
    threads.advance(1.minutes());
    assert_eq!(threads.calls("idp"), 8);
    assert_eq!(threads.memory.names(), [""; 0]);
    for number in threads.alive() {
        assert_eq!(threads[number].get("/orders", &long(&key).sign()), "forwarded");
        assert_eq!(threads[number].gauge(&gauge("attache_keys")), Some(1));
    }
}

#[test]
fn shared_data_that_never_takes_a_write_leaves_each_thread_to_itself() {
    let key = Signer::new("k1");
    let mut threads = Threads::new(&config(json!({})), 4);
    threads.memory.clear();
    threads.memory.take_no_writes();
    threads.serve("idp", good(&jwks(&[&key])));
    threads.advance(1.secs());
    assert_eq!(threads.calls("idp"), 4);
    threads.all_tell(&long(&key).sign(), "forwarded");
    threads.advance(1.hours());
    assert!((4 * 6..=4 * 9).contains(&threads.calls("idp")), "{}", threads.calls("idp"));
}

#[test]
fn shared_data_that_stops_taking_writes_stops_no_refresh() {
    let (key, new) = (Signer::new("k1"), Signer::new("k2"));
    let mut threads = Threads::ready(&config(json!({})), 4, &[&key]);
    threads.advance(1.minutes());
    threads.memory.take_no_writes();
    threads.serve("idp", good(&jwks(&[&new])));
    threads.advance(20.minutes());
    threads.all_tell(&long(&new).sign(), "forwarded");
}

/// Over all threads the calls of an outage are those of one.
#[test]
fn the_failures_of_all_threads_are_one_row() {
    let mut threads = Threads::new(&config(json!({})), 8);
    threads.serve("idp", status(503));
    threads.tick();
    threads.advance(10.minutes());
    let pauses = threads.pauses();
    assert!(pauses.len() > 20, "{pauses:?}");
    for (index, pause) in pauses.iter().enumerate() {
        let longest = (250 << index.min(7)).min(30_000);
        // Over ten minutes there is a tick each second.
        assert!((longest / 2..=longest + 1_000).contains(pause), "{index}: {pauses:?}");
    }
}

#[test]
fn an_issuer_that_is_back_is_back_for_all_threads_within_thirty_seconds() {
    let (old, new) = (Signer::new("k1"), Signer::new("k2"));
    let mut threads = Threads::ready(&scheduled(json!({ "refresh": "1m" })), 8, &[&old]);
    threads.serve("idp", status(503));
    threads.advance(1.hours());
    let failed = threads.calls("idp");
    threads.serve("idp", good(&jwks(&[&new])));
    threads.advance(30_100.ms());
    threads.all_tell(&long(&new).sign(), "forwarded");
    assert_eq!(threads.calls("idp"), failed + 1);
}

#[test]
fn a_clock_that_is_set_back_makes_one_call_for_all_threads() {
    let (old, new) = (Signer::new("k1"), Signer::new("k2"));
    let mut threads = Threads::ready(&config(json!({})), 8, &[&old]);
    threads.advance(1.minutes());
    threads.set_back(24.hours());
    threads.serve("idp", good(&jwks(&[&new])));
    threads.advance(1.secs());
    assert_eq!(threads.calls("idp"), 2);
    threads.all_tell(&long(&new).claim("iat", crate::proxy::START - 100_000).sign(), "forwarded");
}

/// What was fetched before the clock was set back is no newer than a request that came since.
#[test]
fn what_was_published_before_the_clock_was_set_back_refuses_no_caller() {
    let (old, new) = (Signer::new("k1"), Signer::new("k2"));
    let mut threads = Threads::ready(&config(json!({})), 2, &[&old]);
    threads.set_back(1_500.ms());
    threads.serve("idp", status(503));
    threads.tick();
    threads.pass(1.ms());
    let token = long(&new).claim("iat", crate::proxy::START - 100).sign();
    let waits = threads[1].request(Request::get("/orders").bearer(&token)).waiting();
    threads.advance(5.secs());
    assert_eq!(threads[1].answer(waits).tells(), "503 keys_unavailable");
}
