//! A token that two clients had was forgotten when one of them had had sixteen others, and an exchanged one when 16,384 others had
//! come after it: then it passed for the caller's own, and went along to wherever a redirect led.

use serde_json::json;

use super::exchanging::{caller, exchange, issued, proxy, settled};
use crate::outbound::{client, field, to, with_clients};
use crate::proxy::{Proxy, Request, Time as _};

/// What a request that goes nowhere known takes along.
fn elsewhere(proxy: &mut Proxy, header: &str, value: &str) -> Vec<String> {
    let request = Request::get("/").authority("evil").to("evil").header(header, value);
    proxy.request(request).forwarded().upstream(header)
}

#[test]
fn a_token_that_two_clients_have_is_known_as_long_as_one_of_them_has_it() {
    let clients = ["short", "long"].map(|name| client(name, json!({})));
    let mut proxy = Proxy::new(&with_clients(&clients, json!({})));
    let issues = std::cell::Cell::new(0);
    proxy.script("idp", move |call| {
        issues.set(issues.get() + 1);
        let is_long = field(call, "scope").is_empty()
            && crate::outbound::header(call, "authorization").contains("bG9uZ");
        Some(match issues.get() {
            1 | 2 => issued("same", if is_long { 86_400 } else { 60 }),
            number => issued(&format!("t{number}"), 60),
        })
    });
    proxy.tick();
    proxy.advance(30.minutes());
    assert!(proxy.calls("idp") > 20);
    assert_eq!(proxy.request(to("long")).forwarded().upstream("authorization"), ["Bearer same"]);
    assert_eq!(proxy.request(to("long").bearer("same")).tells(), "forwarded");
    assert_eq!(elsewhere(&mut proxy, "authorization", "Bearer same"), [""; 0]);
}

#[test]
fn exchanged_tokens_are_known_as_long_as_they_are_held_and_a_while_longer() {
    // Each has its share of those that are known again: the least there is.
    let header = json!({ "name": "x-token" });
    let clients: Vec<_> = (0..1_100)
        .map(|number| {
            let mut client = exchange(&format!("c{number}"), json!({ "tokens": 40 }));
            client["header"] = header.clone();
            client
        })
        .collect();
    let (mut proxy, key) = proxy(&clients);
    let issues = std::cell::Cell::new(0);
    proxy.script("sts", move |_| {
        issues.set(issues.get() + 1);
        Some(issued(&format!("t{}", issues.get()), 3600))
    });
    let callers: Vec<_> = (0..45).map(|number| caller(&key, number)).collect();
    for token in &callers {
        assert_eq!(settled(&mut proxy, to("c0").bearer(token)).tells(), "forwarded");
    }
    let mut goes_along = |number: usize| {
        let request = Request::get("/").authority("evil").to("evil").bearer(&callers[44]);
        let request = request.header("x-token", format!("t{number}"));
        !proxy.request(request).forwarded().upstream("x-token").is_empty()
    };
    // Forty are held, five were.
    assert!((1..=45).all(|number| !goes_along(number)));
    assert!(goes_along(46));
}
