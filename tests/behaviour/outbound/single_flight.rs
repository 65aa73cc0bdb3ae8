//! One token request for a whole process where tokens may be shared, one for each thread where not, and never a token of another
//! else's.

use attache::base::Level;
use attache::sharing::{Sharing, SingleFlight};
use serde_json::{Value, json};

use super::{
    Tokens, carried, client, counted, document, gauge, header, keep_secrets, numbered, threads, to,
    with_clients,
};
use crate::proxy::{CLIENT_SECRET, Time as _, status};
use crate::threads::{Published, Threads, sealed};

fn shared() -> Value {
    sealed(document(json!({})), "SEAL")
}

fn unsealed(mut config: Value) -> Value {
    config["sharing"] = json!({ "process": { "tokens": "unsealed" } });
    config
}

/// What each living thread's request carries.
#[track_caller]
fn all_carry(threads: &mut Threads, token: &str) {
    for number in threads.alive() {
        assert_eq!(carried(threads[number].request(to("billing"))), token, "thread {number}");
    }
}

#[test]
fn four_threads_ask_once_at_start_and_once_for_each_renewal() {
    for config in [shared(), unsealed(document(json!({})))] {
        let (mut threads, _) = threads(&config, 4);
        threads.tick();
        assert_eq!(threads.calls("idp"), 1);
        all_carry(&mut threads, &numbered(1));
        threads.advance(5.hours());
        let calls = threads.calls("idp");
        assert!((6..=7).contains(&calls), "{:?}", threads.pauses());
        all_carry(&mut threads, &numbered(u32::try_from(calls).unwrap()));
        assert_eq!(
            threads.counter(&counted("attache_shared_tokens_total", "result", "adopted")),
            3 * u64::try_from(calls).unwrap()
        );
        assert_eq!(
            threads.counter(&counted("attache_token_requests_total", "result", "obtained")),
            u64::try_from(calls).unwrap()
        );
        assert_eq!(threads.logs(Level::Warn), [""; 0]);
    }
}

#[test]
fn without_a_sealing_secret_each_thread_asks_for_itself_and_shows_nothing() {
    let (mut threads, _) = threads(&document(json!({})), 4);
    threads.tick();
    assert_eq!(threads.calls("idp"), 4);
    for number in 0..4 {
        let token = carried(threads[number].request(to("billing")));
        assert_eq!(token, numbered(u32::try_from(number).unwrap() + 1));
    }
    assert_nothing_is_shown(&threads);
}

/// Neither tokens nor secrets lie open in the memory of the process.
#[track_caller]
fn assert_nothing_is_shown(threads: &Threads) {
    for name in threads.memory.names() {
        let value = threads.memory.value(&name).unwrap();
        let text = String::from_utf8_lossy(&value);
        assert!(!text.contains("token-") && !text.contains(&CLIENT_SECRET[..7]), "{name}");
    }
}

#[test]
fn a_sealed_token_is_not_to_be_read_in_the_memory() {
    let (mut threads, _) = threads(&shared(), 2);
    threads.tick();
    assert!(threads.memory.names().iter().any(|name| name.ends_with("/document")));
    assert_nothing_is_shown(&threads);
}

#[test]
fn requests_that_wait_in_any_thread_go_on_when_one_thread_has_the_token() {
    let (mut threads, tokens) = threads(&shared(), 4);
    tokens.fall_silent();
    threads.tick();
    assert_eq!(threads.calls("idp"), 1);
    let waits: Vec<_> = (0..4).map(|number| threads[number].request(to("billing")).waiting()).collect();
    let answer = tokens.issue();
    threads.reply(answer);
    for (number, stream) in waits.into_iter().enumerate() {
        assert_eq!(carried(threads[number].answer(stream)), numbered(1));
    }
}

#[test]
fn a_thread_that_dies_with_the_lease_stops_no_request() {
    let (mut threads, tokens) = threads(&shared(), 4);
    tokens.fall_silent();
    threads.tick();
    threads.kill(0);
    tokens.recover();
    threads.advance(14_900.ms());
    assert_eq!(threads.calls("idp"), 1);
    threads.advance(200.ms());
    assert_eq!(threads.calls("idp"), 2);
    all_carry(&mut threads, &numbered(1));
}

#[test]
fn a_thread_that_is_shut_down_gives_the_lease_back() {
    let (mut threads, tokens) = threads(&shared(), 2);
    tokens.fall_silent();
    threads.tick();
    tokens.recover();
    let new = threads.reload(0, &shared());
    keep_secrets(&mut threads[new]);
    threads.tick();
    assert_eq!(threads.calls("idp"), 2);
    all_carry(&mut threads, &numbered(1));
}

#[test]
fn a_thread_that_comes_later_or_reloads_has_the_token_at_once_and_asks_no_server() {
    let (mut threads, _) = threads(&shared(), 2);
    threads.tick();
    threads.advance(10.minutes());
    let late = threads.join();
    let mut patched = sealed(document(json!({ "unmatched": "deny", "purge_interval": "1m" })), "SEAL");
    patched["outbound"]["waiting"] = json!({ "deadline": "1s" });
    let reloaded = threads.reload(0, &patched);
    for number in [late, reloaded] {
        assert_eq!(carried(threads[number].request(to("billing"))), numbered(1), "before any tick");
    }
    threads.advance(1.minutes());
    assert_eq!(threads.calls("idp"), 1);
}

#[test]
fn another_sealing_secret_shares_nothing() {
    let (mut threads, _) = threads(&shared(), 1);
    threads.tick();
    let other = threads.join_with(&sealed(document(json!({})), "OTHER_SEAL"));
    threads.tick();
    assert_eq!(threads.calls("idp"), 2);
    assert_eq!(carried(threads[other].request(to("billing"))), numbered(2));
    assert_eq!(threads.counter(&counted("attache_shared_tokens_total", "result", "rejected")), 0);
}

/// Peers have left out the scope (Kong 3.9), the URL (Oathkeeper#870), or all of it.
#[test]
fn clients_that_differ_in_any_one_field_share_no_token() {
    let key = json!({ "private_key_jwt": {
        "key": { "env": "OWN_KEY" }, "algorithm": "EdDSA", "audience": "https://idp.example" } });
    let with_key = |patch: Value| {
        let mut key = key.clone();
        crate::proxy::merge(&mut key["private_key_jwt"], patch);
        json!({ "authentication": { "client_secret_basic": null, "private_key_jwt": key["private_key_jwt"] } })
    };
    let secret = |method: &str, variable: &str| json!({ "authentication": { "client_secret_basic": null, method: { "secret": { "env": variable } } } });
    let plain = [
        json!({ "scopes": ["a"] }),
        json!({ "scopes": ["a", "b"] }),
        json!({ "scopes": ["ab"] }),
        json!({ "audience": "a" }),
        json!({ "resources": ["https://a"] }),
        json!({ "resources": ["https://a", "https://b"] }),
        json!({ "parameters": { "a": "b" } }),
        json!({ "parameters": { "a": "c" } }),
        json!({ "headers": { "a": "b" } }),
        json!({ "headers": { "x-a": "b" } }),
        json!({ "client_id": "somebody-else" }),
        json!({ "authentication": { "client_secret_basic": { "secret": { "env": "OTHER_SECRET" } } } }),
        secret("client_secret_post", "CLIENT_SECRET"),
        json!({ "authentication": { "client_secret_basic": null, "tls_client_auth": {} } }),
        json!({ "authentication": { "client_secret_basic": null, "set_by_cluster": {} } }),
        with_key(json!({})),
        with_key(json!({ "key": { "env": "OTHER_KEY" } })),
        with_key(json!({ "audience": "https://idp.example/other-tenant" })),
        with_key(json!({ "kid": "renamed" })),
        json!({ "token_endpoint": { "uri": "https://idp.example/token2" } }),
        json!({ "token_endpoint": { "uri": "https://idp.example:8443/token" } }),
        json!({ "token_endpoint": { "uri": "http://idp.example/token", "tls": "optional" } }),
        json!({ "token_endpoint": { "cluster": "other" } }),
        json!({}),
    ];
    let config = |patch: &Value| sealed(with_clients(&[client("billing", patch.clone())], json!({})), "SEAL");
    let tokens = Tokens::new();
    let mut threads = Threads::new(&config(&plain[0]), 0);
    for cluster in ["idp", "other"] {
        let tokens = tokens.clone();
        threads.script(cluster, move |call| tokens.answer(call));
    }
    for (place, patch) in plain.iter().enumerate() {
        let number = threads.join_with(&config(patch));
        threads.tick();
        let token = carried(threads[number].request(to("billing")));
        assert_eq!(token, numbered(u32::try_from(place).unwrap() + 1), "{patch}");
        assert_eq!(header(&tokens.asked()[place], ":method"), "POST");
    }
}

#[test]
fn equal_clients_share_whatever_they_are_called() {
    let same = |name: &str| client(name, json!({ "client_id": "one" }));
    let config = sealed(with_clients(&[same("billing"), same("stock")], json!({})), "SEAL");
    let (mut threads, _) = threads(&config, 2);
    threads.advance(1.secs());
    for number in 0..2 {
        assert_eq!(carried(threads[number].request(to("billing"))), numbered(1));
        assert_eq!(carried(threads[number].request(to("stock"))), numbered(1));
    }
    assert_eq!(threads.calls("idp"), 1);
}

#[test]
fn what_another_module_plants_is_refused_and_does_no_harm() {
    let (mut threads, _) = threads(&shared(), 2);
    threads.tick();
    let name = threads.name("/document");
    let ours = threads.memory.value(&name).unwrap();
    let mut altered = ours.clone();
    *altered.last_mut().unwrap() ^= 1;
    let plain =
        Published { sent: threads.ago(1.secs()), received: threads.ago(1.secs()), ..Published::default() };
    let plants = [Vec::new(), vec![0xff; 100], altered, prost::Message::encode_to_vec(&plain)];
    for (count, plant) in (1..).zip(plants) {
        threads.pass(1.secs());
        threads.memory.plant(&name, &plant);
        let late = threads.join();
        keep_secrets(&mut threads[late]);
        threads.call_news();
        threads.tick();
        all_carry(&mut threads, &numbered(count + 1));
    }
    assert!(threads.counter(&counted("attache_shared_tokens_total", "result", "rejected")) >= 4);
}

/// Shared without a seal: what can be read counts, whatever else lies there is refused, and told once.
#[test]
fn unsealed_what_cannot_be_a_token_is_refused_once_and_not_at_every_tick() {
    for body in [&b"\xff\xff"[..], b"", b"\x0a\x03a\r\nx"] {
        let (mut threads, tokens) = threads(&unsealed(document(json!({}))), 1);
        tokens.fail(status(503));
        threads.tick();
        let lease = threads.memory.names().into_iter().filter(|name| name.ends_with("/lease"));
        let names: Vec<_> = lease.map(|name| name.replace("/lease", "/document")).collect();
        let (sent, received) = (threads.ago(1.secs()), threads.ago(1.secs()));
        let planted = Published { sent, received, body: body.to_vec(), ..Published::default() };
        names.iter().for_each(|name| threads.memory.plant(name, &prost::Message::encode_to_vec(&planted)));
        for name in threads.memory.names().iter().filter(|name| name.ends_with("/lease")) {
            let mut lease: crate::threads::Lease =
                prost::Message::decode(&*threads.memory.value(name).unwrap()).unwrap();
            lease.published = sent;
            threads.memory.plant(name, &prost::Message::encode_to_vec(&lease));
        }
        threads.call_news();
        threads.advance(20.secs());
        let refused = threads.counter(&counted("attache_shared_tokens_total", "result", "rejected"));
        assert_eq!(refused, 1, "{body:?}");
        tokens.recover();
        threads.advance(31.secs());
        assert_eq!(threads[0].request(to("billing")).tells(), "forwarded");
    }
}

#[test]
fn memory_that_stops_taking_writes_stops_no_renewal() {
    let (mut threads, _) = threads(&shared(), 2);
    threads.tick();
    threads.memory.take_no_writes();
    threads.advance(2.hours());
    for number in 0..2 {
        carried(threads[number].request(to("billing")));
    }
    threads.memory.clear();
    threads.advance(2.hours());
    for number in 0..2 {
        carried(threads[number].request(to("billing")));
    }
    assert!(threads.calls("idp") <= 12, "{:?}", threads.call_times());
}

/// What lies in the memory from before says by a clock that is wrong how long it lives.
#[test]
fn a_clock_that_is_set_back_brings_no_expired_token_back() {
    for by in [12.secs(), 60.secs(), 10.minutes()] {
        let (mut threads, tokens) = threads(&shared(), 2);
        tokens.live(20);
        threads.tick();
        tokens.fail(status(503));
        threads.set_back(by);
        threads.advance(17.secs());
        all_carry(&mut threads, &numbered(1));
        // It was used for nine tenths of its life, and a tick that the step has hidden.
        threads.advance(1200.ms());
        for _ in 0..u32::try_from(by.as_secs()).unwrap() + 20 {
            threads.advance(1.secs());
            for number in 0..2 {
                assert_ne!(threads[number].request(to("billing")).tells(), "forwarded", "{by:?}");
            }
        }
    }
}

/// Nor one that no request has needed since it expired.
#[test]
fn a_clock_that_is_set_back_brings_no_idle_token_back() {
    let on_demand = client("billing", json!({ "obtain": "on_demand" }));
    let (mut threads, tokens) = threads(&sealed(with_clients(&[on_demand], json!({})), "SEAL"), 1);
    tokens.live(20);
    threads[0].request(to("billing"));
    threads.advance(60.secs());
    let issued = tokens.issued();
    threads.set_back(70.secs());
    threads.advance(30.secs());
    let waits = threads[0].request(to("billing")).waiting();
    threads.advance(100.ms());
    assert_eq!(carried(threads[0].answer(waits)), numbered(issued + 1));
}

#[test]
fn a_clock_that_is_set_back_makes_one_request_for_all_threads() {
    let (mut threads, _) = threads(&shared(), 4);
    threads.tick();
    threads.advance(1.minutes());
    threads.set_back(24.hours());
    threads.advance(1.minutes());
    assert_eq!(threads.calls("idp"), 2);
    all_carry(&mut threads, &numbered(2));
}

/// The names in the memory are hashes of everything, and the same for everybody.
#[test]
fn names_tell_apart_what_reads_alike_when_joined() {
    let sharing = Sharing { seal: None, shares_unsealed_tokens: true, has_vm_id: true, group: 0 };
    let flight = |fields: &[&[u8]]| SingleFlight::new(fields, Some(&sharing), 1, 1.secs()).id();
    assert_ne!(flight(&[b"ab", b"c"]), flight(&[b"a", b"bc"]));
    assert_ne!(flight(&[b"a", b""]), flight(&[b"a"]));
}

/// The thread that sets the gauges may get no request at all, as Envoy's main thread.
#[test]
fn no_margin_is_left_where_requests_of_another_thread_go_without_a_token() {
    let on_demand = client("billing", json!({ "obtain": "on_demand" }));
    let (mut threads, tokens) = threads(&sealed(with_clients(&[on_demand], json!({})), "SEAL"), 2);
    let margin = gauge("attache_token_margin_left_percent");
    threads.advance(2.secs());
    assert_eq!(threads[0].gauge(&margin), Some(100), "no request needs it");
    tokens.fail(status(503));
    let _ = threads[1].request(to("billing")).waiting();
    threads.advance(2.secs());
    assert_eq!(threads[0].gauge(&margin), Some(0));
    tokens.recover();
    threads.advance(60.secs());
    assert_eq!(threads[0].gauge(&margin), Some(100));
}
