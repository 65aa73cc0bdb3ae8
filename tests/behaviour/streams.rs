//! Streams that end with the token that let them in: when, which, and how many.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::outbound::{client, destination};
use crate::proxy::{
    Forwarded, Proxy, Request, START, Signer, TICK, Time as _, compile, config, good, issuer, jwks,
};

/// Streams of every route end with their token, which counts for not a second longer than it says.
fn ending(streams: Value, patch: Value) -> Value {
    let mut bounds = json!({ "end": "at_expiry" });
    crate::proxy::merge(&mut bounds, streams);
    let mut whole = json!({ "streams": bounds, "issuers": [issuer(json!({ "clock_skew": "0s" }))] });
    crate::proxy::merge(&mut whole, patch);
    config(whole)
}

/// A request that is let in with a token for so many seconds.
#[track_caller]
fn open(proxy: &mut Proxy, key: &Signer, path: &str, secs: u64) -> Forwarded {
    let token = key.token().claim("exp", START + secs).sign();
    proxy.request(Request::get(path).bearer(&token)).forwarded()
}

fn counter(route: &str, outcome: &str) -> String {
    format!("route=.={route};.;issuer=.=corp;.;outcome=.={outcome};.;attache_streams_total")
}

#[test]
fn a_stream_ends_at_the_second_its_token_expires_and_not_before() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&ending(json!({}), json!({})), &[&key]);
    let stream = open(&mut proxy, &key, "/orders", 60).stream;
    let longer = open(&mut proxy, &key, "/orders", 61).stream;
    proxy.advance(60.secs() - TICK);
    assert!(proxy.resets().is_empty());
    assert_eq!(proxy.gauge("attache_open_streams"), Some(2));
    proxy.advance(TICK);
    let annotation = "outcome=end reason=expired route=orders issuer=corp";
    assert_eq!(proxy.resets(), [(stream, annotation.to_owned())]);
    assert_eq!(proxy.counter(&counter("orders", "end")), 1);
    assert_eq!(proxy.gauge("attache_open_streams"), Some(1));
    proxy.advance(1.secs());
    assert_eq!(proxy.resets()[1].0, longer);
    proxy.advance(1.hours());
    assert_eq!(proxy.resets().len(), 2, "once each");
    assert_eq!(proxy.gauge("attache_open_streams"), Some(0));
}

#[test]
fn the_clock_skew_that_a_token_is_accepted_with_its_stream_has_as_well() {
    let key = Signer::new("k1");
    let skewed = json!({ "issuers": [issuer(json!({ "clock_skew": "20s" }))] });
    let mut proxy = Proxy::ready(&ending(json!({}), skewed), &[&key]);
    open(&mut proxy, &key, "/orders", 10);
    proxy.advance(30.secs() - TICK);
    assert!(proxy.resets().is_empty());
    assert_eq!(proxy.get("/orders", &key.token().claim("exp", START + 10).sign()), "forwarded");
    proxy.advance(TICK);
    // Together with the stream of the same token that has come since.
    assert_eq!(proxy.resets().len(), 2);
    assert_eq!(proxy.get("/orders", &key.token().claim("exp", START + 10).sign()), "401 expired");
}

#[test]
fn a_stream_that_has_ended_is_not_reset() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&ending(json!({}), json!({})), &[&key]);
    let ended = open(&mut proxy, &key, "/orders", 60);
    let left = open(&mut proxy, &key, "/orders", 60);
    proxy.upstream_answers(&ended, 200);
    proxy.advance(2.minutes());
    assert_eq!(proxy.resets().iter().map(|(stream, _)| *stream).collect::<Vec<_>>(), [left.stream]);
}

#[test]
fn streams_end_by_themselves_alone_where_nothing_is_said() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&config(json!({})), &[&key]);
    open(&mut proxy, &key, "/orders", 60);
    proxy.advance(1.hours());
    assert!(proxy.resets().is_empty());
    assert!(proxy.metrics().all(|(_, name)| !name.contains("stream")), "nor is anything counted");
}

#[test]
fn each_route_says_for_itself_and_where_it_does_not_the_block_does() {
    let key = Signer::new("k1");
    let route = |name: &str, streams: Value| {
        let mut route = json!({ "name": name, "match": { "path": format!("/{name}") },
            "require": { "authenticated": {} } });
        crate::proxy::merge(&mut route, json!({ "streams": streams }));
        route
    };
    let routes = json!([
        route("silent", Value::Null),
        route("ends", json!({ "end": "at_expiry" })),
        route("stays", json!({ "end": "never" })),
        { "name": "open", "match": { "path": "/open" }, "public": {} },
    ]);
    let default = json!({ "require": { "authenticated": {} } });
    for (block, expected) in [
        (json!({ "end": "at_expiry" }), &["default", "ends", "silent"][..]),
        (json!({ "end": "never" }), &["ends"]),
        (Value::Null, &["ends"]),
    ] {
        let patch = json!({ "streams": block, "routes": routes, "default": default });
        let mut proxy = Proxy::ready(&config(patch), &[&key]);
        for path in ["/silent", "/ends", "/stays", "/open", "/elsewhere"] {
            open(&mut proxy, &key, path, 60);
        }
        proxy.advance(2.minutes());
        let mut ended: Vec<&str> = proxy
            .resets()
            .iter()
            .map(|(_, annotation)| annotation.split("route=").nth(1).unwrap().split(' ').next().unwrap())
            .collect();
        ended.sort_unstable();
        assert_eq!(ended, expected, "{block}");
    }
}

/// Nothing ends for want of an `exp`, nor for one that no clock reaches; and neither takes room.
#[test]
fn the_stream_of_a_token_that_does_not_expire_does_not_end_and_takes_no_room() {
    let key = Signer::new("k1");
    let lasting = json!({ "issuers": [issuer(json!({ "clock_skew": "0s", "expiry": "optional" }))] });
    let mut proxy = Proxy::ready(&ending(json!({ "max": 1 }), lasting), &[&key]);
    for token in [key.token().no_claim("exp"), key.token().claim("exp", 9_000_000_000_000_u64)] {
        assert_eq!(proxy.get("/orders", &token.sign()), "forwarded");
    }
    open(&mut proxy, &key, "/orders", 60);
    proxy.advance(24.hours());
    assert_eq!(proxy.resets().len(), 1);
}

#[test]
fn one_more_stream_than_may_be_open_is_denied_until_one_has_ended() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&ending(json!({ "max": 3 }), json!({})), &[&key]);
    let streams: Vec<_> = (0..3).map(|_| open(&mut proxy, &key, "/orders", 60)).collect();
    let token = key.token().sign();
    let refused = proxy.request(Request::get("/orders").bearer(&token)).refused();
    assert_eq!(refused.annotation, "outcome=deny reason=streams_full route=orders issuer=corp");
    assert_eq!((refused.response.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(refused.challenge(), None);
    // What has no stream that ends is not concerned, nor what is refused anyway.
    assert_eq!(proxy.request(Request::get("/healthz")).tells(), "forwarded");
    assert_eq!(proxy.get("/admin", &token), "403 scope_insufficient");
    proxy.upstream_answers(&streams[1], 200);
    assert_eq!(proxy.get("/orders", &token), "forwarded");
    assert_eq!(proxy.get("/orders", &token), "503 streams_full");
    // So are those that the filter has ended.
    proxy.advance(60.secs());
    assert_eq!(proxy.resets().len(), 2);
    assert_eq!(proxy.get("/orders", &token), "forwarded");
}

#[test]
fn an_operator_may_have_streams_outlive_their_tokens_beyond_the_bound() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&ending(json!({ "max": 2, "beyond": "forward" }), json!({})), &[&key]);
    let streams: Vec<_> = (0..4).map(|_| open(&mut proxy, &key, "/orders", 60).stream).collect();
    proxy.advance(2.minutes());
    assert_eq!(proxy.resets().iter().map(|(stream, _)| *stream).collect::<Vec<_>>(), streams[..2]);
    assert_eq!(proxy.counter(&counter("orders", "unlimited")), 2);
}

/// An alert on an increase sees the first one.
#[test]
fn the_counters_of_streams_for_which_there_is_no_room_are_there_from_the_start() {
    let full =
        "route=.=orders;.;issuer=.=corp;.;outcome=.=deny;.;reason=.=streams_full;.;attache_decisions_total";
    let mut proxy = Proxy::new(&ending(json!({}), json!({})));
    proxy.tick();
    for counter in [&counter("orders", "unlimited"), full] {
        assert!(proxy.defined().contains(counter), "{counter}: {:?}", proxy.defined());
    }
    let mut proxy = Proxy::new(&config(json!({})));
    proxy.tick();
    assert!(!proxy.defined().contains(full));
}

/// A limit of another filter counts it for the client, not for the requests without one.
#[test]
fn a_stream_that_is_denied_for_want_of_room_is_still_its_clients() {
    let key = Signer::new("k1");
    let facts = json!({ "filter_state": { "facts": ["principal", "reason"] } });
    let mut proxy = Proxy::ready(&ending(json!({ "max": 1 }), facts), &[&key]);
    open(&mut proxy, &key, "/orders", 60);
    let request = Request::get("/orders").bearer(&key.token().sign());
    assert_eq!(proxy.request(request).facts(), "principal=corp/orders reason=streams_full");
}

#[test]
fn a_report_only_route_reports_the_end_of_streams_and_refuses_none() {
    let key = Signer::new("k1");
    let route = json!({ "name": "orders", "match": { "path": "/orders" }, "mode": "report_only",
        "require": { "scopes": ["orders:read"] } });
    let patch = json!({ "routes": [route] });
    let mut proxy = Proxy::ready(&ending(json!({ "max": 1 }), patch), &[&key]);
    for _ in 0..2 {
        let forwarded = open(&mut proxy, &key, "/orders", 60);
        assert_eq!(forwarded.annotation, "outcome=permit reason=ok route=orders issuer=corp");
    }
    proxy.advance(2.minutes());
    assert!(proxy.resets().is_empty());
    assert_eq!(proxy.counter(&counter("orders", "report")), 1);
    assert_eq!(proxy.counter(&counter("orders", "unlimited")), 1);
    // What is let in without a good token has none to end with.
    let expired = key.token().claim("exp", START + 60).sign();
    assert_eq!(proxy.get("/orders", &expired), "forwarded, would be expired");
    proxy.advance(2.minutes());
    assert_eq!(proxy.counter(&counter("orders", "report")), 1);
}

#[test]
fn a_clock_that_is_set_forward_ends_streams_and_one_that_is_set_back_waits_for_their_time() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&ending(json!({}), json!({})), &[&key]);
    open(&mut proxy, &key, "/orders", 600);
    proxy.sleep(10.minutes());
    proxy.tick();
    assert_eq!(proxy.resets().len(), 1);
    open(&mut proxy, &key, "/orders", 1_200);
    proxy.advance(9.minutes());
    proxy.set_back(9.minutes());
    proxy.advance(9.minutes());
    assert_eq!(proxy.resets().len(), 1, "by the clock as it is now, the token is good");
    proxy.advance(1.minutes());
    assert_eq!(proxy.resets().len(), 2);
}

/// A token that thousands share expires for all of them at once.
#[test]
fn many_streams_end_in_several_ticks_the_first_to_expire_first() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&ending(json!({ "max": 1_000 }), json!({})), &[&key]);
    let later: Vec<_> = (0..400).map(|_| open(&mut proxy, &key, "/orders", 60).stream).collect();
    let first: Vec<_> = (0..200).map(|_| open(&mut proxy, &key, "/orders", 59).stream).collect();
    proxy.sleep(60.secs());
    proxy.tick();
    let ended = |proxy: &Proxy| proxy.resets().iter().map(|(stream, _)| *stream).collect::<Vec<_>>();
    assert_eq!(ended(&proxy).len(), 256);
    assert_eq!(ended(&proxy)[..200], first);
    proxy.tick();
    assert_eq!(ended(&proxy).len(), 512);
    proxy.tick();
    assert_eq!(ended(&proxy)[200..], later);

    let mut proxy = Proxy::ready(&ending(json!({ "max": 20_000 }), json!({})), &[&key]);
    (0..1_000).for_each(|_| drop(open(&mut proxy, &key, "/orders", 60)));
    proxy.sleep(60.secs());
    proxy.tick();
    assert_eq!(proxy.resets().len(), 313);
    proxy.advance(TICK * 3);
    assert_eq!(proxy.resets().len(), 1_000);
}

#[test]
fn the_stream_of_a_request_that_waited_for_keys_ends_as_well() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::new(&ending(json!({}), json!({})));
    let token = key.token().claim("exp", START + 60).sign();
    let stream = proxy.request(Request::get("/orders").bearer(&token)).waiting();
    proxy.tick();
    assert!(proxy.resets().is_empty(), "what waits is not reset");
    proxy.serve("idp", good(&jwks(&[&key])));
    proxy.advance(10.secs());
    proxy.advance(50.secs());
    assert_eq!(proxy.answer(stream).tells(), "503 keys_unavailable", "the call before was never answered");
    let mut proxy = Proxy::new(&ending(json!({}), json!({})));
    let stream = proxy.request(Request::get("/orders").bearer(&token)).waiting();
    proxy.serve("idp", good(&jwks(&[&key])));
    proxy.advance(1.secs());
    assert_eq!(proxy.answer(stream).tells(), "forwarded");
    proxy.advance(60.secs());
    assert_eq!(proxy.resets()[0].0, stream.0);
}

/// Nothing else is commanded about a stream that is reset, in whatever order the ends come.
#[test]
fn a_request_that_waits_for_a_token_of_ours_is_given_up_with_its_own() {
    let key = Signer::new("k1");
    let mut document = ending(json!({}), json!({}));
    document["outbound"] = json!({
        "position": "downstream", "unmatched": "pass", "waiting": { "deadline": "60s" },
        "clients": [client("billing", json!({ "token_endpoint": { "cluster": "tokens", "timeout": "60s" } }))],
        "destinations": [destination("billing", json!({ "caller_credential": "replace" }))],
    });
    let mut proxy = Proxy::ready(&document, &[&key]);
    let token = key.token().claim("exp", START + 10).sign();
    let request = || Request::get("/orders").authority("billing.internal").to("billing").bearer(&token);
    let stream = proxy.request(request()).waiting();
    proxy.advance(10.secs() - TICK);
    assert_eq!((proxy.waiting(), proxy.resets().len()), (1, 0));
    proxy.advance(TICK);
    assert_eq!((proxy.waiting(), proxy.resets().len()), (0, 1));
    assert_eq!(proxy.resets()[0].0, stream.0);
    proxy.advance(2.minutes());
    assert_eq!(proxy.resets().len(), 1);
    // A clock that is set back gives up what waits, and one that jumps ends what has expired: not both of one stream.
    let token = key.token().claim("exp", START + 600).sign();
    let request = || Request::get("/orders").authority("billing.internal").to("billing").bearer(&token);
    let stream = proxy.request(request()).waiting();
    proxy.set_back(1.minutes());
    proxy.tick();
    assert_eq!(proxy.answer(stream).tells(), "503 token_unavailable");
    assert_eq!(proxy.resets().len(), 1);
}

#[test]
fn when_the_configuration_is_replaced_no_stream_is_counted_as_open() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&ending(json!({}), json!({})), &[&key]);
    open(&mut proxy, &key, "/orders", 60);
    proxy.tick();
    assert_eq!(proxy.gauge("attache_open_streams"), Some(1));
    proxy.shut_down();
    assert_eq!(proxy.gauge("attache_open_streams"), Some(0));
}

#[test]
fn what_contradicts_or_is_unknown_is_an_error_at_its_place() {
    let with = |streams: Value, of_health: Value, metadata: Value| {
        let mut document = config(json!({ "streams": streams, "route_metadata": metadata }));
        for (route, name) in [(3, "health"), (4, "closed")] {
            assert_eq!(document["inbound"]["routes"][route]["name"], name);
        }
        document["inbound"]["routes"][3]["streams"] = of_health;
        crate::proxy::merge(&mut document, json!({}));
        if document["inbound"]["routes"][3]["streams"].is_null() {
            document["inbound"]["routes"][3].as_object_mut().unwrap().remove("streams");
        }
        compile(&document).err().map(|errors| errors.to_string()).unwrap_or_default()
    };
    let (none, ends) = (Value::Null, json!({ "end": "at_expiry" }));
    for (streams, of_health, metadata, told) in [
        (
            json!({ "end": "expiry" }),
            none.clone(),
            none.clone(),
            "inbound.streams.end: expected one of never, at_expiry",
        ),
        (
            json!({ "max": 0 }),
            none.clone(),
            none.clone(),
            "inbound.streams.max: expected a whole number from 1 to 100000",
        ),
        (
            json!({ "max": 100_001 }),
            none.clone(),
            none.clone(),
            "inbound.streams.max: expected a whole number from 1 to",
        ),
        (
            json!({ "beyond": "pass" }),
            none.clone(),
            none.clone(),
            "inbound.streams.beyond: expected one of deny, forward",
        ),
        (json!({ "requests": 1 }), none.clone(), none.clone(), "inbound.streams: unknown field `requests`"),
        (
            none.clone(),
            ends.clone(),
            none.clone(),
            "inbound.routes[3].streams: a public route's streams have no token to end with",
        ),
        (none.clone(), json!({ "max": 1 }), json!("read"), "inbound.routes[3].streams: unknown field `max`"),
    ] {
        let problems = with(streams, of_health, metadata);
        assert!(problems.contains(told), "{told}: {problems}");
    }
    // Envoy's own route may require a token where the table does not.
    assert_eq!(with(none, ends.clone(), json!("read")), "");
    let mut document = config(json!({}));
    document["inbound"]["routes"][4]["streams"] = ends;
    let problems = compile(&document).unwrap_err().to_string();
    assert!(problems.contains("inbound.routes[4].streams: a closed route has no streams"), "{problems}");
}

/// What happens to streams, by the naive list.
#[derive(Clone, Debug)]
enum Event {
    Open { secs: u64 },
    Close { which: usize },
    Wait { ticks: u64 },
    Back { secs: u64 },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0_u64..40).prop_map(|secs| Event::Open { secs }),
        2 => (0_usize..16).prop_map(|which| Event::Close { which }),
        4 => (1_u64..30).prop_map(|ticks| Event::Wait { ticks }),
        1 => (2_u64..10).prop_map(|secs| Event::Back { secs }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn each_stream_ends_once_at_its_time_whatever_happens_to_the_others(
        events in prop::collection::vec(event(), 1..60),
    ) {
        const MAX: usize = 5;
        let key = Signer::new("k1");
        let mut proxy = Proxy::ready(&ending(json!({ "max": MAX }), json!({})), &[&key]);
        let mut left: BTreeMap<u32, (u64, Forwarded)> = BTreeMap::new();
        let mut now = START * 1_000;
        for event in events {
            let before = proxy.resets().len();
            let mut due = Vec::new();
            match event {
                Event::Open { secs } => {
                    // A second that has begun is over for a token that expires in it.
                    let exp = now.div_ceil(1_000) + 1 + secs;
                    let answer = proxy.request(Request::get("/orders").bearer(&key.token().claim("exp", exp).claim("iat", 1).sign()));
                    if left.len() < MAX {
                        let forwarded = answer.forwarded();
                        left.insert(forwarded.stream, (exp * 1_000, forwarded));
                    } else {
                        prop_assert_eq!(answer.tells(), "503 streams_full");
                    }
                }
                Event::Close { which } => {
                    if let Some((&stream, (_, forwarded))) = left.iter().nth(which) {
                        proxy.upstream_answers(forwarded, 200);
                        left.remove(&stream);
                    }
                }
                Event::Wait { ticks } => {
                    proxy.advance(TICK * u32::try_from(ticks).unwrap());
                    now += ticks * 100;
                    due = left.iter().filter(|(_, (end, _))| *end <= now).map(|(stream, _)| *stream).collect();
                }
                Event::Back { secs } => {
                    proxy.set_back(secs.secs());
                    now -= secs * 1_000;
                }
            }
            let mut ended: Vec<u32> = proxy.resets()[before..].iter().map(|(stream, _)| *stream).collect();
            ended.sort_unstable();
            prop_assert_eq!(&ended, &due);
            left.retain(|stream, _| !ended.contains(stream));
        }
    }
}
