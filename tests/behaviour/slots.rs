//! How threads wake each other, and which of them speaks for all.

use serde_json::json;

use crate::proxy::{Request, Signer, Time as _, config, good, jwks};
use crate::threads::{Threads, gauge, long};

/// `sharing`'s MAX_SLOTS.
const SLOTS: usize = attache::sharing::MAX_SLOTS;

#[test]
fn no_queue_ever_holds_two_messages() {
    let key = Signer::new("k1");
    let mut threads = Threads::ready(&config(json!({})), 8, &[&key]);
    for round in 0..50 {
        threads.serve("idp", good(&jwks(&[&key, &Signer::new(&format!("next-{round}"))])));
        for number in threads.alive() {
            for _ in 0..3 {
                let token = long(&key.named(Some(&format!("made-up-{round}"))))
                    .claim("jti", format!("{round} {number}"))
                    .sign();
                threads[number].get("/orders", &token);
            }
        }
        threads.advance(1.secs());
    }
    assert!(threads.calls("idp") > 20, "{}", threads.calls("idp"));
    assert_eq!(threads.memory.most_messages(), 1);
}

/// A worker that is busy takes no messages: news pile up nowhere.
#[test]
fn a_thread_that_is_held_up_finds_one_message_and_all_the_news() {
    let (old, new) = (Signer::new("k1"), Signer::new("k2"));
    let mut threads = Threads::ready(&config(json!({})), 2, &[&old]);
    threads.silence("idp");
    let stranger = |jti: usize| long(&old.named(Some("made-up"))).claim("jti", jti).sign();
    for jti in 0..20 {
        threads.pass(2.secs());
        threads[0].get("/orders", &stranger(jti));
        threads[0].tick();
        let keys = if jti == 19 { vec![&new] } else { vec![&old] };
        threads[0].reply(good(&jwks(&keys)));
    }
    assert_eq!(threads.calls("idp"), 21);
    assert_eq!(threads.memory.most_messages(), 1);
    assert_eq!(threads[1].get("/orders", &long(&old).sign()), "forwarded");
    threads.deliver();
    assert_eq!(threads[1].get("/orders", &long(&new).sign()), "forwarded");
    assert_ne!(threads[1].get("/orders", &long(&old).sign()), "forwarded");
}

#[test]
fn one_thread_more_than_there_are_slots_hears_of_news_at_its_tick() {
    let (old, new) = (Signer::new("k1"), Signer::new("k2"));
    let mut threads = Threads::ready(&config(json!({})), SLOTS + 1, &[&old]);
    let slots = |threads: &Threads| {
        let names = threads.memory.names();
        names.iter().filter(|name| name.starts_with("attache/1/slot/")).count()
    };
    assert_eq!((slots(&threads), threads.calls("idp")), (SLOTS, 1));
    let last = SLOTS;
    threads.pass(2.secs());
    threads.serve("idp", good(&jwks(&[&new])));
    threads[0].get("/orders", &long(&new).sign());
    let waits: Vec<_> = [last - 1, last]
        .map(|number| threads[number].request(Request::get("/orders").bearer(&long(&new).sign())).waiting())
        .into();
    threads.tick_one(0);
    assert_eq!(threads.calls("idp"), 2);
    // The one with the last slot was woken, and the one without was not.
    assert_eq!(threads[last - 1].answer(waits[0]).tells(), "forwarded");
    assert_eq!(threads[last].answer(waits[1]).tells(), "waiting");
    threads.tick_one(last);
    assert_eq!(threads[last].answer(waits[1]).tells(), "forwarded");
    assert_eq!((slots(&threads), threads.calls("idp")), (SLOTS, 2));
}

#[test]
fn the_slots_of_dead_threads_are_used_again() {
    let (old, new) = (Signer::new("k1"), Signer::new("k2"));
    let mut threads = Threads::ready(&config(json!({})), 8, &[&old]);
    // Every twenty seconds all VMs are built anew, and none takes leave.
    for _ in 0..5 {
        for number in threads.alive() {
            threads.kill(number);
            threads.join();
        }
        threads.advance(20.secs());
    }
    let names = threads.memory.names();
    let slots = names.iter().filter(|name| name.starts_with("attache/1/slot/")).count();
    assert!(slots <= 16, "{slots} slots for 8 threads");
    // Those that live wake each other.
    threads.pass(2.secs());
    threads.serve("idp", good(&jwks(&[&new])));
    let alive = threads.alive();
    let waits: Vec<_> = alive
        .iter()
        .map(|number| {
            let request = Request::get("/orders").bearer(&long(&new).sign());
            (*number, threads[*number].request(request).waiting())
        })
        .collect();
    threads.tick_one(alive[0]);
    for (number, stream) in waits {
        assert_eq!(threads[number].answer(stream).tells(), "forwarded");
    }
}

#[test]
fn a_slot_that_is_left_is_free_at_once() {
    let mut threads = Threads::ready(&config(json!({})), 4, &[&Signer::new("k1")]);
    for _ in 0..20 {
        let first = threads.alive()[0];
        threads.reload(first, &config(json!({})));
        threads.advance(100.ms());
    }
    let names = threads.memory.names();
    assert!(names.iter().filter(|name| name.starts_with("attache/1/slot/")).count() <= 5, "{names:?}");
}

fn speakers(threads: &Threads) -> Vec<usize> {
    let has = |number: &usize| threads[*number].gauge(&gauge("attache_keys")).is_some();
    threads.alive().into_iter().filter(has).collect()
}

#[test]
fn one_thread_writes_the_gauges_and_another_one_when_it_is_gone() {
    let mut threads = Threads::ready(&config(json!({})), 8, &[&Signer::new("k1")]);
    threads.advance(2.minutes());
    assert_eq!(speakers(&threads), [0]);
    threads.kill(0);
    threads.advance(22.secs());
    assert_eq!(speakers(&threads), [1]);
    // A reload takes leave, and the next one speaks at its next beat.
    threads.reload(1, &config(json!({})));
    threads.advance(6.secs());
    assert!(speakers(&threads).contains(&2) || speakers(&threads).contains(&8), "{:?}", speakers(&threads));
}

#[test]
fn each_configuration_has_a_thread_that_writes_its_gauges() {
    let mut threads = Threads::ready(&config(json!({})), 3, &[&Signer::new("k1")]);
    let other = config(json!({ "version": 2 }));
    let theirs: Vec<_> = (0..3).map(|_| threads.join_with(&other)).collect();
    threads.advance(30.secs());
    assert_eq!(speakers(&threads), [0, theirs[0]]);
}

#[test]
fn a_thread_without_a_slot_leaves_the_gauges_to_those_that_have_one() {
    let mut threads = Threads::ready(&config(json!({})), SLOTS + 1, &[&Signer::new("k1")]);
    threads.advance(6.secs());
    assert_eq!(speakers(&threads), [0]);
}
