//! How long keys count that cannot be fetched again: the last good ones for a day, and then none.

use attache::base::{HttpReply, Level};
use serde_json::{Value, json};

use crate::proxy::{Proxy, Request, Signer, Time as _, config, good, issuer, jwks, status, with};
use crate::threads::{Threads, counted, fresh, gauge, long, scheduled};

/// Fetched every minute, and too old ten minutes after that.
fn short() -> Value {
    scheduled(json!({ "refresh": "1m", "max_staleness": "10m" }))
}

const TOO_OLD: &str = "issuer corp: the keys expired: requests that need them get 503";

#[test]
fn the_last_good_keys_serve_to_the_end_of_their_time_and_not_a_tick_longer() {
    let key = Signer::new("k1");
    for reply in [status(503), status(404), good("<html>"), good(r#"{"keys":[]}"#), HttpReply::Reset] {
        let mut proxy = Proxy::new(&short());
        proxy.serve("idp", good(&jwks(&[&key])));
        proxy.tick();
        proxy.serve("idp", reply.clone());
        // Seen in the cache of tokens, too.
        let cached = long(&key).sign();
        assert_eq!(proxy.get("/orders", &cached), "forwarded");
        proxy.advance(660.secs() - 100.ms());
        assert_eq!(proxy.get("/orders", &cached), "forwarded", "{reply:?}");
        assert_eq!(proxy.get("/orders", &fresh(&key, 1)), "forwarded", "{reply:?}");
        assert_eq!(proxy.logs(Level::Error), [""; 0]);
        proxy.advance(100.ms());
        for token in [&cached, &fresh(&key, 2), &fresh(&Signer::new("k2"), 1)] {
            let answer = proxy.request(Request::get("/orders").bearer(token));
            let told = match answer.tells().as_str() {
                "waiting" => {
                    let stream = answer.waiting();
                    proxy.advance(5.secs());
                    proxy.answer(stream).tells()
                }
                told => told.to_owned(),
            };
            assert_eq!(told, "503 keys_unavailable", "{reply:?}");
        }
        proxy.advance(1.hours());
        assert_eq!(proxy.events(Level::Error), [TOO_OLD]);
        assert_eq!(proxy.gauge(&gauge("attache_keys")), Some(0));
        // By itself, and with no more than the backoff.
        proxy.serve("idp", good(&jwks(&[&key])));
        proxy.advance(31.secs());
        assert_eq!(proxy.get("/orders", &cached), "forwarded", "{reply:?}");
        assert_eq!(proxy.gauge(&gauge("attache_keys")), Some(1));
    }
}

#[test]
fn a_day_after_the_last_refresh_is_the_end_by_default() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::new(&config(json!({})));
    proxy.serve("idp", good(&jwks(&[&key])));
    proxy.tick();
    proxy.serve("idp", status(503));
    proxy.advance(24.hours() + 599.secs());
    assert_eq!(proxy.get("/orders", &long(&key).sign()), "forwarded");
    proxy.advance(1.secs());
    assert_ne!(proxy.get("/orders", &long(&key).sign()), "forwarded");
}

/// The end is counted from the end of what the server states, within the bounds of the configuration.
#[test]
fn keys_that_a_server_calls_fresh_for_longer_do_not_serve_for_longer() {
    let key = Signer::new("k1");
    for (stated, lifetime) in [("max-age=86400", 60), ("max-age=45", 45), ("no-store", 30)] {
        let mut proxy = Proxy::new(&short());
        proxy.serve("idp", with(good(&jwks(&[&key])), &[("cache-control", stated)]));
        proxy.tick();
        proxy.serve("idp", status(503));
        proxy.advance((lifetime + 600).secs() - 100.ms());
        assert_eq!(proxy.get("/orders", &long(&key).sign()), "forwarded", "{stated}");
        proxy.advance(100.ms());
        assert_ne!(proxy.get("/orders", &long(&key).sign()), "forwarded", "{stated}");
    }
}

/// An issuer that takes calls and never answers is no reason to go on with old keys.
#[test]
fn a_call_that_hangs_keeps_no_old_keys_alive() {
    let key = Signer::new("k1");
    let slow = scheduled(json!({ "refresh": "1m", "max_staleness": "10m", "timeout": "60s" }));
    let mut proxy = Proxy::new(&slow);
    proxy.serve("idp", good(&jwks(&[&key])));
    proxy.tick();
    proxy.serve("idp", status(503));
    proxy.advance(600.secs());
    let calls = proxy.calls("idp");
    proxy.silence("idp");
    // Within half a minute, and for the seventy seconds after that.
    proxy.advance_to_call("idp", calls + 1);
    proxy.advance(60.secs());
    assert_ne!(proxy.get("/orders", &long(&key).sign()), "forwarded");
}

#[test]
fn requests_that_wait_when_keys_come_back_are_served() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::new(&short());
    proxy.serve("idp", good(&jwks(&[&key])));
    proxy.tick();
    proxy.serve("idp", status(503));
    proxy.advance(700.secs());
    let calls = proxy.calls("idp");
    proxy.silence("idp");
    proxy.advance_to_call("idp", calls + 1);
    let waits = proxy.request(Request::get("/orders").bearer(&long(&key).sign())).waiting();
    proxy.reply(good(&jwks(&[&key])));
    assert_eq!(proxy.answer(waits).tells(), "forwarded");
}

#[test]
fn keys_that_are_too_old_stop_in_every_thread_and_come_back_in_every_thread() {
    let (key, new) = (Signer::new("k1"), Signer::new("k2"));
    let mut threads = Threads::ready(&short(), 4, &[&key]);
    threads.serve("idp", status(503));
    threads.advance(659.secs());
    threads.all_tell(&long(&key).sign(), "forwarded");
    threads.advance(1.secs());
    assert!(!threads.get("/orders", &long(&key).sign()).contains(&"forwarded".to_owned()));
    threads.advance(10.secs());
    // One that starts now does not take over what all others have let go.
    let late = threads.join();
    assert_ne!(threads[late].get("/orders", &long(&key).sign()), "forwarded");
    threads.serve("idp", good(&jwks(&[&new])));
    threads.advance(31.secs());
    threads.all_tell(&long(&new).sign(), "forwarded");
}

#[test]
fn a_published_document_that_is_too_old_is_not_taken_over() {
    let key = Signer::new("k1");
    for (age, told) in [(659, "forwarded"), (660, "waiting")] {
        let mut threads = Threads::new(&short(), 1);
        threads.serve("idp", good(&jwks(&[&key])));
        threads.tick();
        threads.kill(0);
        threads.pass(age.secs());
        let late = threads.join();
        threads.serve("idp", status(503));
        // It has tried for itself, and what there is counts then.
        threads.advance(200.ms());
        assert_eq!(threads[late].get("/orders", &long(&key).sign()), told, "{age}");
    }
}

#[test]
fn keys_that_are_written_out_go_on_when_fetched_ones_are_too_old() {
    let (fixed, key) = (Signer::new("k1"), Signer::new("k2"));
    let both = json!([
        { "inline": { "keys": [fixed.jwk()] } },
        { "jwks": { "uri": "https://idp.example/jwks", "cluster": "idp", "refresh": "1m", "max_staleness": "10m" } },
    ]);
    let mut proxy = Proxy::new(&config(json!({ "issuers": [issuer(json!({ "keys": both }))] })));
    proxy.serve("idp", good(&jwks(&[&key])));
    proxy.tick();
    proxy.serve("idp", status(503));
    proxy.advance(661.secs());
    assert_eq!(proxy.get("/orders", &long(&fixed).sign()), "forwarded");
    let told = proxy.request(Request::get("/orders").bearer(&long(&key).sign()));
    assert!(["waiting", "503 keys_unavailable"].contains(&told.tells().as_str()), "{}", told.tells());
    assert_eq!(proxy.events(Level::Error), [TOO_OLD]);
    assert_eq!(proxy.gauge(&gauge("attache_keys")), Some(1));
}

#[test]
fn an_empty_set_is_a_failure_unless_the_configuration_believes_it() {
    let key = Signer::new("k1");
    for (patch, stays) in
        [(json!({}), true), (json!({ "empty_set": "keep" }), true), (json!({ "empty_set": "accept" }), false)]
    {
        let mut threads = Threads::ready(&scheduled(patch.clone()), 3, &[&key]);
        let cached = long(&key).sign();
        threads.all_tell(&cached, "forwarded");
        threads.serve("idp", good(r#"{"keys":[]}"#));
        threads.advance(571.secs());
        let told = threads.get("/orders", &cached);
        if stays {
            assert_eq!(told, ["forwarded"; 3], "{patch}");
            assert!(threads.counter(&counted("attache_key_fetches_total", "empty_set")) >= 1);
            continue;
        }
        // What was signed under it stops at once; no thread knows the key any more.
        assert_eq!(told, ["waiting"; 3]);
        threads.advance(3.secs());
        threads.all_tell(&cached, "401 key_unknown");
        assert_eq!(threads[0].gauge(&gauge("attache_keys")), Some(0));
        threads.serve("idp", good(&jwks(&[&key])));
        threads.advance(571.secs());
        threads.all_tell(&cached, "forwarded");
    }
}

#[test]
fn a_set_without_a_usable_key_is_never_believed() {
    let key = Signer::new("k1");
    let unusable = r#"{"keys":[{"kty":"oct","k":"AAAA"},{"kty":"RSA"},7]}"#;
    for patch in [json!({}), json!({ "empty_set": "accept" })] {
        let mut threads = Threads::ready(&scheduled(patch), 2, &[&key]);
        threads.serve("idp", good(unusable));
        threads.advance(1.hours());
        threads.all_tell(&long(&key).sign(), "forwarded");
        assert!(threads.counter(&counted("attache_key_fetches_total", "no_usable_key")) > 10);
    }
}
