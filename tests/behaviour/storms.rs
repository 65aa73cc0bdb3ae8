//! Many requests at once: each callback does a bounded part of the work, and no request is forgotten.

use attache::base::StreamId;
use serde_json::{Value, json};

use crate::proxy::{Proxy, Request, Signer, Time as _, config, good, jwks, status};
use crate::threads::{Threads, fresh, long};

/// 32 of each of two lists.
const MOST: u32 = 64;

fn park(proxy: &mut Proxy, key: &Signer, count: usize) -> Vec<StreamId> {
    (0..count).map(|n| proxy.request(Request::get("/orders").bearer(&fresh(key, n))).waiting()).collect()
}

fn answered(proxy: &Proxy, streams: &[StreamId]) -> usize {
    streams.iter().filter(|stream| proxy.answer(**stream).tells() != "waiting").count()
}

#[test]
fn a_full_list_is_decided_about_in_parts_and_at_once() {
    let key = Signer::new("k1");
    let mut threads = Threads::new(&config(json!({})), 2);
    threads.tick();
    for number in [0, 1] {
        let streams = park(&mut threads[number], &key, 256);
        if number == 1 {
            // The other thread's: woken by news, and then by itself.
            threads.reply(good(&jwks(&[&key])));
            assert_eq!(answered(&threads[1], &streams), 256);
        }
    }
    for number in [0, 1] {
        assert_eq!(threads[number].waiting(), 0);
        assert_eq!(threads[number].signature_checks(), 256);
        assert!(threads[number].most_checks() <= MOST, "{}", threads[number].most_checks());
    }
}

/// The first come first.
#[test]
fn who_has_waited_longest_is_answered_first() {
    let key = Signer::new("k1");
    let mut alone = config(json!({}));
    alone["sharing"] = json!("none");
    let mut proxy = Proxy::new(&alone);
    proxy.tick();
    let streams = park(&mut proxy, &key, 256);
    proxy.reply(good(&jwks(&[&key])));
    // Without a queue, the rest comes with the ticks.
    for part in 1..=8 {
        assert_eq!(answered(&proxy, &streams[..part * 32]), part * 32);
        assert_eq!(answered(&proxy, &streams), part * 32);
        proxy.advance(100.ms());
    }
    assert!(proxy.most_checks() <= MOST);
}

#[test]
fn both_lists_at_once_are_bounded_too() {
    let (key, new) = (Signer::new("k1"), Signer::new("k2"));
    let mut proxy = Proxy::ready(&config(json!({})), &[&key]);
    proxy.advance(10.secs());
    proxy.silence("idp");
    let streams = park(&mut proxy, &new, 256);
    proxy.advance(100.ms());
    proxy.reply(good(&jwks(&[&key, &new])));
    assert_eq!(answered(&proxy, &streams), 256);
    assert!(proxy.most_checks() <= MOST, "{}", proxy.most_checks());
}

/// Those whose time is up while their turn has not come yet are still decided about, and not refused.
#[test]
fn requests_whose_keys_come_in_time_are_served_though_it_takes_a_moment() {
    let key = Signer::new("k1");
    let mut alone = config(json!({}));
    alone["sharing"] = json!("none");
    let mut proxy = Proxy::new(&alone);
    proxy.tick();
    let streams = park(&mut proxy, &key, 256);
    proxy.advance(4_900.ms());
    proxy.reply(good(&jwks(&[&key])));
    proxy.advance(800.ms());
    assert!(streams.iter().all(|stream| proxy.answer(*stream).tells() == "forwarded"));
}

#[test]
fn those_that_end_while_they_are_ready_are_off_the_list() {
    let key = Signer::new("k1");
    let mut alone = config(json!({}));
    alone["sharing"] = json!("none");
    let mut proxy = Proxy::new(&alone);
    proxy.tick();
    let streams = park(&mut proxy, &key, 256);
    proxy.reply(good(&jwks(&[&key])));
    streams[32..].iter().for_each(|stream| proxy.end(*stream));
    assert_eq!(proxy.waiting(), 0);
    proxy.advance(2.secs());
    assert_eq!(proxy.signature_checks(), 32);
    assert_eq!(answered(&proxy, &streams), 32);
}

/// An outage, a thousand requests, keys: no request waits for longer than its deadline and a tick.
#[test]
fn no_request_waits_for_longer_than_the_deadline() {
    let key = Signer::new("k1");
    let mut threads = Threads::new(&config(json!({ "waiting": { "deadline": "2s" } })), 4);
    threads.serve("idp", status(503));
    let mut waits = Vec::new();
    for step in 0..100 {
        for number in threads.alive() {
            let token = fresh(&key, step * 10 + number);
            let answer = threads[number].request(Request::get("/orders").bearer(&token));
            if answer.tells() == "waiting" {
                waits.push((step, number, answer.waiting()));
            }
        }
        threads.advance(100.ms());
        let late = waits.iter().filter(|(at, number, stream)| {
            step >= at + 20 && threads[*number].answer(*stream).tells() == "waiting"
        });
        assert_eq!(late.count(), 0, "after {step}");
    }
    assert!(waits.len() >= 80, "{}", waits.len());
}

/// A configuration that ends with a full list, while keys have come for half of it.
#[test]
fn a_configuration_that_ends_answers_those_that_are_ready_too() {
    let key = Signer::new("k1");
    let mut alone = config(json!({}));
    alone["sharing"] = json!("none");
    let mut proxy = Proxy::new(&alone);
    proxy.tick();
    let streams = park(&mut proxy, &key, 100);
    proxy.reply(good(&jwks(&[&key])));
    proxy.shut_down();
    assert_eq!(answered(&proxy, &streams), 100);
    assert_eq!(proxy.waiting(), 0);
}

fn without_key_ids() -> (Vec<Signer>, Value) {
    let keys: Vec<_> = (0..8).map(|n| Signer::unnamed(&format!("u{n}"))).collect();
    (keys, config(json!({})))
}

/// Without key ids each token may have to be held against eight keys.
#[test]
fn tokens_without_a_key_id_cost_at_most_eight_times_as_much() {
    let (keys, config) = without_key_ids();
    let all: Vec<_> = keys.iter().collect();
    let mut proxy = Proxy::new(&config);
    proxy.tick();
    let streams = park(&mut proxy, &keys[7], 256);
    proxy.reply(good(&jwks(&all)));
    assert_eq!(answered(&proxy, &streams), 256);
    assert!(proxy.most_checks() <= 8 * MOST, "{}", proxy.most_checks());
    assert_eq!(proxy.get("/orders", &long(&keys[0]).sign()), "forwarded");
}

/// The other threads' messages and one's own: still no more than one of each in a queue.
#[test]
fn a_storm_on_every_thread_fills_no_queue() {
    let key = Signer::new("k1");
    let mut threads = Threads::new(&config(json!({})), 4);
    threads.tick();
    let streams: Vec<_> =
        threads.alive().into_iter().map(|number| park(&mut threads[number], &key, 256)).collect();
    threads.reply(good(&jwks(&[&key])));
    for (number, streams) in streams.iter().enumerate() {
        assert_eq!(answered(&threads[number], streams), 256);
    }
    assert_eq!(threads.memory.most_messages(), 1);
}
