//! Tokens of unknown keys, over all threads: when they are refused, and what they may cost an issuer.

use serde_json::{Value, json};

use crate::proxy::{Proxy, Request, Signer, Time as _, config, good, jwks, status, with};
use crate::threads::{Threads, fresh, long, scheduled};

fn stranger(key: &Signer, number: usize) -> Signer {
    key.named(Some(&format!("made-up-{number}")))
}

fn counted_calls(threads: &mut Threads, rounds: usize, every: core::time::Duration) -> Vec<u64> {
    let key = Signer::new("k1");
    for round in 0..rounds {
        for number in threads.alive() {
            let count = round * 100 + number;
            threads[number].get("/orders", &fresh(&stranger(&key, count), count));
        }
        threads.advance(every);
    }
    threads.pauses()
}

#[test]
fn made_up_key_ids_on_all_threads_cause_one_fetch_an_interval() {
    for (interval, millis, least) in [("2s", 2_000, 13), ("500ms", 500, 58), ("10s", 10_000, 2)] {
        let key = Signer::new("k1");
        let schedule = scheduled(json!({ "unknown_key_interval": interval }));
        let mut threads = Threads::ready(&schedule, 8, &[&key]);
        let pauses = counted_calls(&mut threads, 300, 100.ms());
        assert!(pauses.iter().all(|pause| *pause >= millis), "{interval}: {pauses:?}");
        assert!(pauses.len() >= least, "{interval}: {pauses:?}");
        threads.all_tell(&long(&key).sign(), "forwarded");
    }
}

/// The answer differs each time, and each change reaches all.
#[test]
fn a_set_that_changes_all_the_time_is_asked_for_no_more_often() {
    let key = Signer::new("k1");
    let mut threads = Threads::ready(&config(json!({})), 4, &[&key]);
    for round in 0..60 {
        threads.serve("idp", good(&jwks(&[&key, &Signer::new(&format!("n{round}"))])));
        for number in threads.alive() {
            threads[number].get("/orders", &fresh(&stranger(&key, round), round));
        }
        threads.advance(500.ms());
    }
    let pauses = threads.pauses();
    assert!(pauses.iter().all(|pause| *pause >= 2_000), "{pauses:?}");
}

#[test]
fn an_unknown_key_is_refused_only_after_a_fetch_that_any_thread_sent_after_the_request() {
    let (key, new) = (Signer::new("k1"), Signer::new("k2"));
    let mut threads = Threads::ready(&config(json!({})), 4, &[&key]);
    threads.pass(10.secs());
    threads.silence("idp");
    threads[0].get("/orders", &fresh(&stranger(&key, 0), 0));
    threads.tick();
    assert!(threads[0].is_asking());
    threads.pass(50.ms());
    // What is under way was asked before this came, on another thread.
    let waits = threads[3].request(Request::get("/orders").bearer(&long(&new).sign())).waiting();
    threads.reply(good(&jwks(&[&key])));
    assert_eq!(threads[3].answer(waits).tells(), "waiting");
    // Two seconds after the last call, of whichever thread.
    threads.advance(2.secs());
    assert_eq!(threads.calls("idp"), 3);
    assert_eq!(threads[3].answer(waits).tells(), "waiting");
    threads.reply(good(&jwks(&[&key])));
    assert_eq!(threads[3].answer(waits).tells(), "401 key_unknown");
}

#[test]
fn a_new_key_that_another_thread_brings_is_used_at_once() {
    let (key, new) = (Signer::new("k1"), Signer::new("k2"));
    let mut threads = Threads::ready(&config(json!({})), 4, &[&key]);
    threads.pass(10.secs());
    threads.serve("idp", good(&jwks(&[&key, &new])));
    let waits: Vec<_> = threads
        .alive()
        .into_iter()
        .map(|number| threads[number].request(Request::get("/orders").bearer(&long(&new).sign())).waiting())
        .collect();
    threads.tick_one(2);
    for (number, stream) in waits.into_iter().enumerate() {
        assert_eq!(threads[number].answer(stream).tells(), "forwarded");
    }
    threads.advance(1.minutes());
    assert_eq!(threads.calls("idp"), 2);
}

#[test]
fn a_token_of_an_unknown_key_is_refused_at_once_the_second_time_and_asks_for_nothing() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&config(json!({})), &[&key]);
    let token = fresh(&stranger(&key, 1), 1);
    proxy.advance(10.secs());
    proxy.sleep(1.ms());
    let waits = proxy.request(Request::get("/orders").bearer(&token)).waiting();
    proxy.advance(100.ms());
    assert_eq!(proxy.answer(waits).tells(), "401 key_unknown");
    let (calls, checks) = (proxy.calls("idp"), proxy.signature_checks());
    for _ in 0..29 {
        proxy.advance(1.secs());
        for _ in 0..10 {
            assert_eq!(proxy.get("/orders", &token), "401 key_unknown");
        }
    }
    assert_eq!((proxy.calls("idp"), proxy.signature_checks()), (calls, checks));
    // Half a minute later the issuer may have published it.
    proxy.advance(1.secs());
    assert_eq!(proxy.get("/orders", &token), "waiting");
}

#[test]
fn a_refused_token_is_looked_at_again_as_soon_as_the_set_changes() {
    let (key, new) = (Signer::new("k1"), Signer::new("k2"));
    let mut threads = Threads::ready(&config(json!({})), 2, &[&key]);
    let token = long(&new).sign();
    threads.advance(10.secs());
    threads.pass(1.ms());
    threads.all_tell(&token, "waiting");
    threads.advance(100.ms());
    threads.all_tell(&token, "401 key_unknown");
    threads.serve("idp", good(&jwks(&[&key, &new])));
    // Another caller's unknown key makes the first thread ask, and both see the change.
    threads.advance(2.secs());
    threads[0].get("/orders", &fresh(&stranger(&key, 1), 1));
    threads.advance(100.ms());
    threads.all_tell(&token, "forwarded");
}

/// A caller who names a key that is still to come does not have the tokens refused that it will sign.
#[test]
fn a_refused_token_takes_no_other_token_of_its_key_id_with_it() {
    let (key, new, evil) = (Signer::new("k1"), Signer::new("k2"), Signer::unnamed("x").named(Some("k2")));
    let mut proxy = Proxy::ready(&config(json!({})), &[&key]);
    proxy.advance(10.secs());
    proxy.sleep(1.ms());
    let forged = proxy.request(Request::get("/orders").bearer(&fresh(&evil, 1))).waiting();
    proxy.advance(100.ms());
    assert_eq!(proxy.answer(forged).tells(), "401 key_unknown");
    proxy.serve("idp", good(&jwks(&[&key, &new])));
    proxy.advance(1.secs());
    let waits = proxy.request(Request::get("/orders").bearer(&long(&new).sign())).waiting();
    proxy.advance(1.secs());
    assert_eq!(proxy.answer(waits).tells(), "forwarded");
    assert_eq!(proxy.get("/orders", &fresh(&evil, 1)), "401 signature_invalid");
}

/// The longer of `unknown_key_interval` and `min_refresh`, from the last fetch.
#[test]
fn a_key_that_is_replaced_under_its_name_is_taken_up_after_a_signature_that_fails() {
    for (schedule, limit) in [
        (json!({}), 30),
        (json!({ "min_refresh": "5s" }), 5),
        (json!({ "min_refresh": "1s", "unknown_key_interval": "20s" }), 20),
    ] {
        let (old, new) = (Signer::new("k1"), Signer::unnamed("k1 again").named(Some("k1")));
        let mut threads = Threads::ready(&scheduled(schedule), 4, &[&old]);
        threads.serve("idp", good(&jwks(&[&new])));
        threads.advance(1.secs());
        assert_eq!(threads[3].get("/orders", &long(&new).sign()), "401 signature_invalid");
        threads.advance((limit - 2).secs());
        assert_eq!(threads.calls("idp"), 1, "{limit}");
        threads.advance(1100.ms());
        assert_eq!(threads.calls("idp"), 2, "{limit}");
        threads.all_tell(&fresh(&new, 1), "forwarded");
        // Once is enough: what is replaced asks no more.
        threads.all_tell(&fresh(&old, 1), "401 signature_invalid");
        threads.advance((limit + 1).secs());
        assert_eq!(threads.calls("idp"), 3, "{limit}");
    }
}

#[test]
fn forged_signatures_cause_no_more_than_a_fetch_in_the_shortest_refresh() {
    let (key, evil) = (Signer::new("k1"), Signer::unnamed("x").named(Some("k1")));
    let mut threads = Threads::ready(&scheduled(json!({ "min_refresh": "10s" })), 4, &[&key]);
    let mut count = 0;
    threads.advance_with(100.secs(), |threads| {
        for number in threads.alive() {
            count += 1;
            assert_eq!(threads[number].get("/orders", &fresh(&evil, count)), "401 signature_invalid");
        }
    });
    let pauses = threads.pauses();
    assert!(pauses.iter().all(|pause| *pause >= 10_000), "{pauses:?}");
}

/// Both kinds together are no more than the faster one alone.
#[test]
fn forgeries_of_both_kinds_cause_one_fetch_an_interval() {
    let (key, evil) = (Signer::new("k1"), Signer::unnamed("x").named(Some("k1")));
    let mut threads = Threads::ready(&scheduled(json!({ "min_refresh": "3s" })), 4, &[&key]);
    let mut count = 0;
    threads.advance_with(60.secs(), |threads| {
        for number in threads.alive() {
            count += 1;
            threads[number].get("/orders", &fresh(&evil, count));
            threads[number].get("/orders", &fresh(&stranger(&evil, count), count));
        }
    });
    let pauses = threads.pauses();
    assert!(pauses.iter().all(|pause| *pause >= 2_000), "{pauses:?}");
}

/// An outage on top of it: failures are retried by backoff, whatever strangers send.
#[test]
fn made_up_key_ids_take_no_backoff_away() {
    let key = Signer::new("k1");
    let mut threads = Threads::ready(&config(json!({})), 4, &[&key]);
    threads.advance(10.secs());
    threads.serve("idp", status(503));
    counted_calls(&mut threads, 600, 100.ms());
    let pauses = threads.pauses();
    for (index, pause) in pauses[1..].iter().enumerate() {
        assert!(*pause >= (250 << index.min(7)).min(30_000) / 2, "{pauses:?}");
    }
    assert!(pauses.len() <= 15, "{pauses:?}");
}

fn patient() -> Value {
    let mut config = scheduled(json!({ "unknown_key_interval": "1m" }));
    config["inbound"]["waiting"] = json!({ "deadline": "5s" });
    config
}

#[test]
fn a_request_whose_keys_cannot_come_in_time_is_refused_at_once() {
    let (key, new) = (Signer::new("k1"), Signer::new("k2"));
    let mut proxy = Proxy::ready(&patient(), &[&key]);
    proxy.advance(10.secs());
    let refused = proxy.request(Request::get("/orders").bearer(&long(&new).sign())).refused();
    assert_eq!((refused.response.status, refused.challenge()), (503, None));
    let retry: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((49..=51).contains(&retry), "{retry}");
    assert_eq!(proxy.waiting(), 0);
    // It has asked for a fetch all the same, and who comes shortly before it waits for it.
    proxy.serve("idp", good(&jwks(&[&key, &new])));
    proxy.advance(46.secs());
    let waits = proxy.request(Request::get("/orders").bearer(&long(&new).sign())).waiting();
    proxy.advance(4.secs());
    assert_eq!(proxy.answer(waits).tells(), "forwarded");
}

#[test]
fn before_the_first_keys_a_pause_of_the_server_is_told_at_once() {
    let key = Signer::new("k1");
    let mut threads = Threads::new(&config(json!({})), 3);
    threads.serve("idp", with(status(503), &[("retry-after", "40")]));
    threads.tick();
    for number in threads.alive() {
        let refused = threads[number].request(Request::get("/orders").bearer(&long(&key).sign())).refused();
        assert_eq!(refused.response.status, 503);
        assert_eq!(refused.header("retry-after"), Some("40"));
    }
    threads.serve("idp", good(&jwks(&[&key])));
    threads.advance(36.secs());
    let waits = threads[1].request(Request::get("/orders").bearer(&long(&key).sign())).waiting();
    threads.advance(5.secs());
    assert_eq!(threads[1].answer(waits).tells(), "forwarded");
}

/// While a call is under way its answer may come at any moment, so it is worth waiting for.
#[test]
fn a_request_waits_while_a_call_is_under_way() {
    let (key, new) = (Signer::new("k1"), Signer::new("k2"));
    let mut proxy = Proxy::ready(&patient(), &[&key]);
    proxy.silence("idp");
    proxy.advance_to_call("idp", 2);
    let waits = proxy.request(Request::get("/orders").bearer(&long(&new).sign())).waiting();
    proxy.reply(good(&jwks(&[&key, &new])));
    assert_eq!(proxy.answer(waits).tells(), "forwarded");
}
