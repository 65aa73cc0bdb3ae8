//! Another module of the same `vm_id` writes to shared data: what it can cost, and what it can never do.

use attache::base::{HttpReply, Level};
use prost::Message as _;
use serde_json::{Value, json};

use crate::proxy::{Request, Signer, Time as _, config, good, jwks, status};
use crate::threads::{Lease, Published, Threads, counted, fresh, long, sealed};

/// A thread that is none of ours.
const STRANGER: u64 = 0xbad;

fn unheld() -> Lease {
    Lease::default()
}

/// Leases that say what they like, as of now.
fn forged(threads: &Threads) -> Vec<(&'static str, Lease)> {
    let (soon, far) = (threads.ahead(75.secs()), u64::MAX);
    let (now, past) = (threads.ago(0.ms()), 1);
    let pause = threads.ahead(600.secs());
    vec![
        ("held for ever", Lease { holder: STRANGER, until: far, ..unheld() }),
        ("held as long as is believed", Lease { holder: STRANGER, until: soon, ..unheld() }),
        ("held in the past", Lease { holder: STRANGER, until: past, ..unheld() }),
        ("held by every bit", Lease { holder: u64::MAX, until: soon, ..unheld() }),
        ("sent in the future", Lease { sent: far, ..unheld() }),
        ("sent now", Lease { sent: now, ..unheld() }),
        ("sent long ago", Lease { sent: past, ..unheld() }),
        ("never before the end of time", Lease { failures: 1, not_before: far, ..unheld() }),
        ("not before as late as is believed", Lease { failures: 1, not_before: pause, ..unheld() }),
        ("a pause without a failure", Lease { not_before: pause, ..unheld() }),
        ("failures without end", Lease { failures: u32::MAX, not_before: pause, ..unheld() }),
        ("published in the future", Lease { published: far, ..unheld() }),
        ("published now", Lease { published: now, ..unheld() }),
        ("nothing", unheld()),
    ]
}

/// At most ten minutes, the longest pause that is believed, on top of what a refresh takes.
#[test]
fn a_forged_lease_puts_a_refresh_off_by_ten_minutes_at_most() {
    let count = forged(&Threads::ready(&config(json!({})), 1, &[&Signer::new("k1")])).len();
    for delay in [60.secs(), 479.secs()] {
        for index in 0..count {
            let (old, new) = (Signer::new("k1"), Signer::new("k2"));
            let mut threads = Threads::ready(&config(json!({})), 4, &[&old]);
            threads.advance(delay);
            let (what, lease) = forged(&threads)[index];
            threads.serve("idp", good(&jwks(&[&new])));
            threads.forge_lease(&lease);
            threads.advance(571.secs());
            threads.advance(601.secs());
            let told = threads.get("/orders", &long(&new).sign());
            assert_eq!(told, ["forwarded"; 4], "{what}");
            // And no thread asks more often than without it; a lost publication costs a call a thread.
            let calls = threads.calls("idp");
            assert!(calls <= 1 + 3 + 4, "{what}: {calls} calls in {:?}", threads.pauses());
        }
    }
}

#[test]
fn garbage_in_place_of_a_lease_puts_nothing_off() {
    for garbage in [&b""[..], b"\xff", b"\xff\xff\xff\xff", b"{}", &[0; 100_000]] {
        let (old, new) = (Signer::new("k1"), Signer::new("k2"));
        let mut threads = Threads::ready(&config(json!({})), 4, &[&old]);
        threads.memory.plant(&threads.name("/lease"), garbage);
        threads.call_news();
        threads.serve("idp", good(&jwks(&[&new])));
        threads.advance(571.secs());
        threads.all_tell(&long(&new).sign(), "forwarded");
        assert_eq!(threads.calls("idp"), 2);
    }
}

/// Half an hour in which a stranger writes between any two ticks, and says that there is news. Each thread still refreshes within
/// twenty minutes, and at most as often as if it were alone.
fn harass(meddle: impl Fn(&Threads)) {
    harass_so_many(4, &meddle);
    harass_so_many(1, &meddle);
}

fn harass_so_many(count: usize, meddle: &dyn Fn(&Threads)) {
    let (old, new) = (Signer::new("k1"), Signer::new("k2"));
    let mut threads = Threads::ready(&config(json!({})), count, &[&old]);
    threads.advance_with(10.minutes(), |threads| meddle(threads));
    threads.serve("idp", good(&jwks(&[&new])));
    threads.advance_with(20.minutes(), |threads| meddle(threads));
    let calls = threads.calls("idp");
    assert!(calls <= count * (1 + 1800 / 480), "{calls} calls in half an hour");
    threads.all_tell(&long(&new).sign(), "forwarded");
}

#[test]
fn a_lease_that_is_reset_at_every_step_stops_no_refresh_and_makes_none() {
    harass(|threads| threads.forge_lease(&unheld()));
    harass(|threads| threads.forge_lease(&Lease { published: 1, sent: 1, ..unheld() }));
    harass(|threads| {
        threads.memory.plant(&threads.name("/lease"), b"\xff");
        threads.call_news();
    });
}

#[test]
fn a_lease_that_always_says_published_now_stops_no_refresh_and_makes_none() {
    harass(|threads| threads.forge_lease(&Lease { published: threads.ago(0.ms()), ..unheld() }));
}

#[test]
fn a_lease_that_always_says_sent_now_stops_no_refresh_and_makes_none() {
    harass(|threads| threads.forge_lease(&Lease { sent: threads.ago(0.ms()), ..unheld() }));
}

/// Written again and again for twenty minutes: what is past its lifetime, each thread asks for once itself.
#[test]
fn a_lease_holds_a_fetch_back_no_longer_than_a_lifetime_and_the_time_of_a_fetch() {
    let held: fn(&Threads) -> Lease =
        |threads| Lease { holder: STRANGER, until: threads.ahead(75.secs()), ..unheld() };
    // A pause is believed only of a fetch that was sent.
    let pause: fn(&Threads) -> Lease = |threads| Lease {
        failures: 1,
        sent: threads.ago(0.ms()),
        not_before: threads.ahead(600.secs()),
        ..unheld()
    };
    for forge in [held, pause] {
        let (old, new) = (Signer::new("k1"), Signer::new("k2"));
        let mut threads = Threads::ready(&config(json!({})), 4, &[&old]);
        threads.serve("idp", good(&jwks(&[&new])));
        threads.advance_with(614.secs(), |threads| threads.forge_lease(&forge(threads)));
        // What there was goes on, and nothing else.
        threads.all_tell(&long(&old).sign(), "forwarded");
        assert_eq!(threads.calls("idp"), 1);
        threads.advance_with(2.secs(), |threads| threads.forge_lease(&forge(threads)));
        threads.all_tell(&long(&new).sign(), "forwarded");
        assert!(!threads.get("/orders", &long(&old).sign()).contains(&"forwarded".to_owned()));
        assert!((2..=5).contains(&threads.calls("idp")), "{}", threads.calls("idp"));
    }
}

#[test]
fn failures_that_another_module_tells_of_make_no_calls() {
    harass(|threads| threads.forge_lease(&Lease { failures: 1, ..unheld() }));
}

#[test]
fn a_lease_that_is_always_deleted_stops_no_refresh() {
    harass(|threads| threads.memory.clear());
}

/// A reset makes the others forget of the failures; each one remembers its own.
#[test]
fn a_reset_at_every_step_takes_no_backoff_away() {
    let mut threads = Threads::new(&config(json!({})), 4);
    threads.serve("idp", status(503));
    threads.tick();
    threads.advance_with(2.minutes(), |threads| threads.forge_lease(&unheld()));
    for number in threads.alive() {
        let pauses: Vec<u64> = threads[number].call_times().windows(2).map(|two| two[1] - two[0]).collect();
        assert!(pauses.len() <= 14, "{pauses:?}");
        for (index, pause) in pauses.iter().enumerate() {
            assert!(*pause >= (250 << index.min(7)).min(30_000) / 2, "{pauses:?}");
        }
    }
}

/// A flood of requests with made-up keys on top of it.
#[test]
fn a_reset_at_every_step_lets_strangers_ask_once_an_interval_and_thread() {
    let key = Signer::new("k1");
    let mut threads = Threads::ready(&config(json!({})), 4, &[&key]);
    let mut count = 0;
    threads.advance_with(20.secs(), |threads| {
        threads.forge_lease(&unheld());
        for number in threads.alive() {
            count += 1;
            let token = fresh(&key.named(Some(&format!("made-up-{count}"))), count);
            threads[number].get("/orders", &token);
        }
    });
    assert!(threads.calls("idp") <= 1 + 4 * 10, "{:?}", threads.pauses());
    threads.all_tell(&long(&key).sign(), "forwarded");
}

/// What another module leaves where a thread would have published: these keys, sent and received then.
fn plant(threads: &Threads, keys: &[&Signer], sent: u64, received: u64) {
    let body = jwks(keys).into_bytes();
    let origin = "https://idp.example/jwks".to_owned();
    let freshness = Some(u64::MAX);
    let document = Published { sent, received, origin, body, freshness, entity_tag: None, unchanged: 0 };
    threads.memory.plant(&threads.name("/document"), &document.encode_to_vec());
    let lease = Lease { published: threads.ago(0.ms()), ..threads.lease() };
    threads.forge_lease(&lease);
}

/// Without a seal every module of the `vm_id` is trusted, but never with more than one refresh.
#[test]
fn an_unsealed_document_is_believed_until_the_next_refresh() {
    let (key, evil) = (Signer::new("k1"), Signer::new("evil"));
    let mut threads = Threads::ready(&config(json!({})), 4, &[&key]);
    threads.advance(1.minutes());
    plant(&threads, &[&evil], threads.ago(1.secs()), threads.ago(1.secs()));
    threads.advance(100.ms());
    threads.all_tell(&long(&evil).sign(), "forwarded");
    threads.advance(571.secs());
    threads.all_tell(&fresh(&key, 1), "forwarded");
    assert_ne!(threads[0].get("/orders", &fresh(&evil, 1)), "forwarded");
}

#[test]
fn an_unsealed_document_that_is_not_newer_or_of_the_future_is_never_believed() {
    let (key, evil) = (Signer::new("k1"), Signer::new("evil"));
    for (sent, received) in
        [(-61, -61), (-60 * 60, -1), (3, 3), (-1, 3), (3600, 3600), (-1, -2), (1 << 30, 1 << 30)]
    {
        let mut threads = Threads::ready(&config(json!({})), 4, &[&key]);
        threads.advance(1.minutes());
        let at = |offset: i64| threads.ago(0.ms()).saturating_add_signed(offset * 1_000_000_000);
        plant(&threads, &[&evil], at(sent), at(received));
        threads.advance(100.ms());
        let late = threads.join();
        assert_eq!(threads[0].get("/orders", &long(&evil).sign()), "waiting", "{sent} {received}");
        // A thread that has no keys of its own takes an old one over, as long as one that we left.
        if received > -600 && sent <= received && received <= 0 {
            continue;
        }
        assert_eq!(threads[late].get("/orders", &long(&evil).sign()), "waiting", "{sent} {received}");
        threads.advance(571.secs());
        threads.all_tell(&fresh(&key, 1), "forwarded");
    }
}

fn refused() -> String {
    counted("attache_shared_documents_total", "rejected")
}

/// The thread then does without: it fetches for itself when that is due.
#[test]
fn a_document_without_our_seal_is_refused_told_and_fetched_instead() {
    let (key, new, evil) = (Signer::new("k1"), Signer::new("k2"), Signer::new("evil"));
    let mut threads = Threads::ready(&sealed(config(json!({})), "SEAL"), 4, &[&key]);
    threads.advance(1.minutes());
    plant(&threads, &[&evil], threads.ago(1.secs()), threads.ago(1.secs()));
    threads.advance(1.secs());
    assert_ne!(threads[0].get("/orders", &long(&evil).sign()), "forwarded");
    assert_eq!(threads.counter(&refused()), 4);
    let line = "issuer corp: a document that another module has left in shared data is refused: its seal is not from this secret";
    assert_eq!(threads.logs(Level::Warn), [line; 4]);
    // One that starts now has nothing to take over, and asks.
    threads.serve("idp", good(&jwks(&[&new])));
    let late = threads.join();
    threads.advance(100.ms());
    assert_eq!(threads[late].get("/orders", &long(&new).sign()), "forwarded");
    threads.all_tell(&long(&new).sign(), "forwarded");
}

#[test]
fn documents_that_are_planted_at_every_step_are_refused_and_told_ten_times_a_second() {
    let (key, new, evil) = (Signer::new("k1"), Signer::new("k2"), Signer::new("evil"));
    let mut threads = Threads::ready(&sealed(config(json!({})), "SEAL"), 2, &[&key]);
    threads.serve("idp", good(&jwks(&[&new])));
    threads.advance_with(20.minutes(), |threads| {
        for _ in 0..15 {
            plant(threads, &[&evil], threads.ago(0.ms()), threads.ago(0.ms()));
            threads.tick();
        }
    });
    assert!(threads.counter(&refused()) >= 30_000, "{}", threads.counter(&refused()));
    assert!(threads.logs(Level::Warn).len() <= 2 * 1200 * 10, "{}", threads.logs(Level::Warn).len());
    threads.all_tell(&long(&new).sign(), "forwarded");
    assert_ne!(threads[0].get("/orders", &long(&evil).sign()), "forwarded");
    assert!(threads.calls("idp") <= 2 * 4, "{:?}", threads.pauses());
}

#[test]
fn a_sealed_document_that_is_altered_is_refused() {
    let (key, new) = (Signer::new("k1"), Signer::new("k2"));
    let mut threads = Threads::ready(&sealed(config(json!({})), "SEAL"), 2, &[&key]);
    let document = threads.memory.value(&threads.name("/document")).unwrap();
    let halves = [document[..document.len() / 2].to_vec(), document[32..].to_vec(), Vec::new()];
    let bits = (0..document.len()).step_by(11).map(|at| {
        let mut altered = document.clone();
        altered[at] ^= 1;
        altered
    });
    for altered in bits.chain(halves) {
        threads.memory.plant(&threads.name("/document"), &altered);
        let before = threads.counter(&refused());
        let late = threads.join();
        assert_eq!(threads[late].get("/orders", &long(&key).sign()), "waiting");
        threads[late].shut_down();
        assert_eq!(threads.counter(&refused()), before + 1);
        threads.kill(late);
    }
    threads.serve("idp", good(&jwks(&[&new])));
    threads.advance(571.secs());
    threads.all_tell(&long(&new).sign(), "forwarded");
}

/// A document that we sealed once and that has been replaced brings no withdrawn key back to a
/// thread that has seen the new one.
#[test]
fn a_sealed_document_that_is_replayed_brings_no_withdrawn_key_back() {
    let (old, new) = (Signer::new("k1"), Signer::new("k2"));
    let mut threads = Threads::ready(&sealed(config(json!({})), "SEAL"), 2, &[&old]);
    let name = threads.name("/document");
    let replayed = threads.memory.value(&name).unwrap();
    threads.serve("idp", good(&jwks(&[&new])));
    threads.advance_to_call("idp", 2);
    threads.advance_with(20.minutes(), |threads| {
        threads.memory.plant(&name, &replayed);
        threads.forge_lease(&Lease { published: threads.ago(0.ms()), ..unheld() });
    });
    assert_ne!(threads[0].get("/orders", &long(&old).sign()), "forwarded");
    assert_ne!(threads[1].get("/orders", &long(&old).sign()), "forwarded");
    threads.all_tell(&long(&new).sign(), "forwarded");
    // Nor has a thread taken it for a moment, and asked again because of its age.
    assert!(threads.calls("idp") <= 2 + 2 * 3, "{:?}", threads.pauses());
}

/// As above for a thread that has nothing of its own, and is told that another one is at it, for as long as it lasts.
#[test]
fn a_sealed_document_past_its_lifetime_that_is_put_back_is_not_believed_before_a_fetch_of_ones_own() {
    for age in [601.secs(), 24.hours()] {
        let (old, new) = (Signer::new("k1"), Signer::new("k2"));
        let mut threads = Threads::ready(&sealed(config(json!({})), "SEAL"), 1, &[&old]);
        let name = threads.name("/document");
        let replayed = threads.memory.value(&name).unwrap();
        threads.kill(0);
        threads.pass(age);
        threads.serve("idp", good(&jwks(&[&new])));
        let forge = |threads: &Threads| {
            threads.memory.plant(&name, &replayed);
            let until = threads.ahead(70.secs());
            let lease = Lease { holder: STRANGER, until, failures: 1, not_before: until, ..unheld() };
            let sent = threads.ago(0.ms());
            threads.forge_lease(&Lease { sent, published: sent, ..lease });
        };
        forge(&threads);
        let late = threads.join();
        assert_ne!(threads[late].get("/orders", &long(&old).sign()), "forwarded", "{age:?}");
        threads.advance_with(1.minutes(), |threads| forge(threads));
        assert_eq!(threads[late].get("/orders", &long(&new).sign()), "forwarded", "{age:?}");
        assert_ne!(threads[late].get("/orders", &long(&old).sign()), "forwarded", "{age:?}");
        assert_eq!(threads.calls("idp"), 2);
    }
}

/// What an outage costs a thread that comes while it lasts: one call of its own, and then it has what all others have.
#[test]
fn in_an_outage_a_thread_that_comes_later_tries_once_and_takes_over_what_there_is() {
    let key = Signer::new("k1");
    for service in [status(503), HttpReply::Reset, HttpReply::NotSent] {
        let mut threads = Threads::ready(&config(json!({})), 2, &[&key]);
        threads.serve("idp", service.clone());
        threads.advance(20.minutes());
        let asked = threads.calls("idp");
        let late = threads.join();
        let waits = threads[late].request(Request::get("/orders").bearer(&long(&key).sign())).waiting();
        threads.tick_one(late);
        threads.pass(100.ms());
        threads.tick_one(late);
        assert_eq!(threads[late].answer(waits).tells(), "forwarded", "{service:?}");
        assert_eq!(threads.calls("idp"), asked + 1, "{service:?}");
    }
}

#[test]
fn values_that_are_all_gone_at_once_are_nothing_but_gone() {
    let (old, new) = (Signer::new("k1"), Signer::new("k2"));
    let mut threads = Threads::ready(&config(json!({})), 8, &[&old]);
    threads.advance(1.minutes());
    threads.memory.clear();
    threads.advance(6.secs());
    threads.all_tell(&long(&old).sign(), "forwarded");
    assert_eq!(threads.calls("idp"), 1);
    threads.serve("idp", good(&jwks(&[&new])));
    threads.advance(571.secs());
    threads.all_tell(&long(&new).sign(), "forwarded");
    assert_eq!(threads.calls("idp"), 2);
    // Slots and wake-ups work again, too.
    threads.pass(2.secs());
    let waits = threads[7].request(Request::get("/orders").bearer(&fresh(&Signer::new("k3"), 1))).waiting();
    threads[0].get("/orders", &fresh(&Signer::new("k3"), 1));
    threads.tick_one(0);
    assert_eq!(threads[7].answer(waits).tells(), "401 key_unknown");
}

/// Entries of threads that there are not, or none at all: the others hear of news at their tick.
#[test]
fn forged_slots_cost_wake_ups_and_nothing_else() {
    let forged: [fn(&Threads) -> Vec<u8>; 3] = [
        |threads| Lease { holder: STRANGER, until: 7, failures: 1, ..slot(threads) }.encode_to_vec(),
        |_| b"\xff\xff".to_vec(),
        |_| Vec::new(),
    ];
    for forge in forged {
        let (old, new) = (Signer::new("k1"), Signer::new("k2"));
        let mut threads = Threads::ready(&config(json!({})), 4, &[&old]);
        threads.serve("idp", good(&jwks(&[&new])));
        threads.advance_with(600.secs(), |threads| {
            let bytes = forge(threads);
            for index in 0..attache::sharing::MAX_SLOTS {
                threads.memory.plant(&format!("attache/1/slot/{index}"), &bytes);
            }
        });
        threads.all_tell(&long(&new).sign(), "forwarded");
        assert_eq!(threads.calls("idp"), 2);
    }
}

/// A slot's fields lie where a lease has its own: owner, group, queue, beat.
fn slot(threads: &Threads) -> Lease {
    Lease { failures: u32::MAX, not_before: threads.ago(0.ms()), ..unheld() }
}

#[test]
fn requests_are_answered_in_time_whatever_lies_in_shared_data() {
    let key = Signer::new("k1");
    let plain: Value = config(json!({}));
    let mut threads = Threads::new(&plain, 2);
    threads.serve("idp", good(&jwks(&[&key])));
    threads.forge_lease(&Lease { holder: STRANGER, until: threads.ahead(70.secs()), ..unheld() });
    let waits = threads[0].request(Request::get("/orders").bearer(&long(&key).sign())).waiting();
    threads.advance(5.secs());
    assert_eq!(threads[0].answer(waits).tells(), "503 keys_unavailable");
    threads.advance(71.secs());
    threads.all_tell(&long(&key).sign(), "forwarded");
    assert_eq!(threads.calls("idp"), 1);
}
