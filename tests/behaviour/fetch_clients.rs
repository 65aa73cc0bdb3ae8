//! Keys behind authentication: a fetch carries the token of a client of the outbound block.

use std::cell::RefCell;
use std::rc::Rc;

use attache::base::{HttpCall, Timestamp};
use serde_json::{Value, json};

use crate::outbound::{Tokens, client, destination, serve};
use crate::process::Memory;
use crate::proxy::{
    ISSUER, Proxy, Request, START, Signer, TICK, Time as _, compile, config, good, issuer, jwks, merge,
    status,
};
use crate::threads::header_of;

/// An issuer at `keys` whose key set is for the client `reader` alone, which asks at `idp`.
fn document(patch: Value) -> Value {
    let keys =
        json!({ "jwks": { "uri": "https://keys.example/jwks", "cluster": "keys", "client": "reader" } });
    let mut document = config(json!({ "issuers": [issuer(json!({ "keys": keys }))] }));
    document["outbound"] = json!({ "position": "downstream", "clients": [client("reader", json!({}))] });
    merge(&mut document, patch);
    document
}

/// A server of keys that lets in who has one of these tokens, and what it was asked.
#[derive(Clone, Default)]
struct Keys(Rc<RefCell<(Vec<HttpCall>, Option<String>)>>);

impl Keys {
    fn attach(&self, proxy: &mut Proxy, key: &Signer) {
        let (state, body) = (Rc::clone(&self.0), jwks(&[key]));
        proxy.script("keys", move |call| {
            state.borrow_mut().0.push(call.clone());
            let token = header_of(call, "authorization");
            let is_good = match &state.borrow().1 {
                Some(accepted) => token == Some(accepted),
                None => token.is_some_and(|token| token.starts_with("Bearer ")),
            };
            Some(if is_good { good(&body) } else { status(401) })
        });
    }

    fn accept(&self, token: &str) {
        self.0.borrow_mut().1 = Some(token.to_owned());
    }

    fn accept_all(&self) {
        self.0.borrow_mut().1 = None;
    }

    fn asked(&self) -> usize {
        self.0.borrow().0.len()
    }

    fn token(&self, call: usize) -> String {
        header_of(&self.0.borrow().0[call], "authorization").unwrap().to_owned()
    }
}

fn ready(document: &Value) -> (Proxy, Tokens, Keys, Signer) {
    let (key, tokens, keys) = (Signer::new("k1"), Tokens::new(), Keys::default());
    let mut proxy = Proxy::new(document);
    serve(&mut proxy, "idp", &tokens);
    keys.attach(&mut proxy, &key);
    (proxy, tokens, keys, key)
}

#[test]
fn a_fetch_waits_for_the_first_token_and_carries_it() {
    let (mut proxy, tokens, keys, key) = ready(&document(json!({})));
    tokens.fall_silent();
    let stream = proxy.request(Request::get("/orders").bearer(&key.token().sign())).waiting();
    proxy.advance(1.secs());
    assert_eq!((keys.asked(), proxy.calls("idp")), (0, 1), "nothing is asked for without a token");
    assert_eq!(proxy.answer(stream).tells(), "waiting");
    let (mut proxy, _, keys, key) = ready(&document(json!({})));
    let stream = proxy.request(Request::get("/orders").bearer(&key.token().sign())).waiting();
    proxy.advance(1.secs());
    assert_eq!(proxy.answer(stream).tells(), "forwarded");
    assert_eq!(keys.asked(), 1);
    assert!(keys.token(0).starts_with("Bearer "), "{}", keys.token(0));
    // The request of the caller is none of this: nothing is put on it, and nothing taken.
    let token = key.token().sign();
    let forwarded = proxy.request(Request::get("/orders").bearer(&token)).forwarded();
    assert_eq!(forwarded.upstream("authorization"), [format!("Bearer {token}")]);
    assert!(proxy.counters().keys().all(|name| !name.ends_with("attache_injections_total")));
}

#[test]
fn a_client_that_obtains_on_demand_does_so_when_a_fetch_is_due() {
    let lazy = json!({ "outbound": { "clients": [client("reader", json!({ "obtain": "on_demand" }))] } });
    let (mut proxy, tokens, keys, _) = ready(&document(lazy));
    tokens.live(60);
    proxy.advance(1.secs());
    assert_eq!((keys.asked(), tokens.issued()), (1, 1));
    proxy.advance(5.minutes());
    assert_eq!((keys.asked(), tokens.issued()), (1, 1), "no fetch is due, and no token is renewed");
    proxy.advance(10.minutes());
    assert_eq!((keys.asked(), tokens.issued()), (2, 2));
}

#[test]
fn without_a_token_keys_are_not_asked_for_and_requests_get_503_until_there_is_one() {
    let (mut proxy, tokens, keys, key) = ready(&document(json!({})));
    tokens.fail(status(500));
    let get = Request::get("/orders").bearer(&key.token().sign());
    let stream = proxy.request(get.clone()).waiting();
    proxy.advance(6.secs());
    let refused = proxy.answer(stream).refused();
    assert_eq!(refused.response.status, 503);
    assert!(refused.annotation.contains("reason=keys_unavailable"), "{}", refused.annotation);
    assert_eq!(keys.asked(), 0);
    tokens.recover();
    proxy.advance(60.secs());
    assert_eq!(proxy.request(get).tells(), "forwarded");
}

#[test]
fn keys_at_hand_serve_while_no_token_can_be_had() {
    let (mut proxy, tokens, keys, key) = ready(&document(json!({})));
    tokens.live(60);
    proxy.advance(1.secs());
    tokens.fail(status(500));
    proxy.advance(2.hours());
    assert_eq!(keys.asked(), 1);
    assert_eq!(proxy.get("/orders", &key.token().claim("exp", START + 9_000).sign()), "forwarded");
    tokens.recover();
    proxy.advance(3.minutes());
    assert_eq!(keys.asked(), 2);
}

#[test]
fn a_401_purges_the_token_once_and_the_next_fetch_carries_a_new_one() {
    let (mut proxy, tokens, keys, _) = ready(&document(json!({})));
    proxy.advance(1.secs());
    assert_eq!((keys.asked(), tokens.issued()), (1, 1));
    let first = keys.token(0);
    keys.accept("Bearer of nobody");
    proxy.advance_to_call("keys", 2);
    assert_eq!(keys.token(1), first);
    proxy.advance(1.secs());
    assert_eq!(tokens.issued(), 2, "the refused token is replaced");
    assert_ne!(keys.token(keys.asked() - 1), first);
    let purges = "client=.=reader;.;result=.=purged;.;attache_token_purges_total";
    assert_eq!(proxy.counter(purges), 1);
    // A server that refuses every token gets neither storms of fetches nor, by them, the token endpoint.
    proxy.advance(1.hours());
    assert!(keys.asked() < 200, "{}", keys.asked());
    assert!(tokens.issued() < 200, "{}", tokens.issued());
    keys.accept_all();
    proxy.advance(2.minutes());
    assert_eq!(proxy.gauge("issuer=.=corp;.;attache_key_fetch_failures"), Some(0));
}

#[test]
fn what_the_metadata_leads_to_is_fetched_with_the_token_as_the_metadata_is() {
    let keys = json!({ "jwks": null, "discovery": { "cluster": "keys", "client": "reader" } });
    let mut document = document(json!({}));
    merge(&mut document["inbound"]["issuers"][0]["keys"], keys);
    let key = Signer::new("k1");
    let mut proxy = Proxy::new(&document);
    serve(&mut proxy, "idp", &Tokens::new());
    let (asked, set) = (Rc::new(RefCell::new(Vec::new())), jwks(&[&key]));
    let seen = Rc::clone(&asked);
    proxy.script("keys", move |call| {
        let path = header_of(call, ":path").unwrap().to_owned();
        let is_in = header_of(call, "authorization").is_some_and(|value| value.starts_with("Bearer "));
        seen.borrow_mut().push((path.clone(), is_in));
        let metadata = json!({ "issuer": ISSUER, "jwks_uri": "https://idp.example/jwks" }).to_string();
        Some(if path == "/jwks" { good(&set) } else { good(&metadata) })
    });
    proxy.advance(1.secs());
    assert_eq!(proxy.get("/orders", &key.token().sign()), "forwarded");
    assert_eq!(asked.borrow().len(), 2);
    assert!(asked.borrow().iter().all(|(_, is_in)| *is_in), "{asked:?}");
}

/// Whoever writes the metadata chooses where the keys are, and not who gets the token.
#[test]
fn a_host_that_only_the_metadata_names_gets_no_token() {
    let keys = json!({ "jwks": null, "discovery": { "cluster": "keys", "client": "reader" } });
    let mut document = document(json!({}));
    merge(&mut document["inbound"]["issuers"][0]["keys"], keys);
    for uri in
        ["https://elsewhere.example/jwks", "https://idp.example:8443/jwks", "https://idp.example.evil/jwks"]
    {
        let key = Signer::new("k1");
        let mut proxy = Proxy::new(&document);
        serve(&mut proxy, "idp", &Tokens::new());
        let (asked, set) = (Rc::new(RefCell::new(Vec::new())), jwks(&[&key]));
        let seen = Rc::clone(&asked);
        proxy.script("keys", move |call| {
            let is_metadata = header_of(call, ":authority") == Some("idp.example");
            seen.borrow_mut().push((is_metadata, header_of(call, "authorization").is_some()));
            let metadata = json!({ "issuer": ISSUER, "jwks_uri": uri }).to_string();
            Some(if is_metadata { good(&metadata) } else { good(&set) })
        });
        proxy.advance(1.secs());
        // The keys may be for everybody there.
        assert_eq!(proxy.get("/orders", &key.token().sign()), "forwarded", "{uri}");
        assert_eq!(*asked.borrow(), [(true, true), (false, false)], "{uri}");
    }
}

#[test]
fn a_401_for_a_token_that_has_been_renewed_since_leaves_the_new_one() {
    let mut document = document(json!({ "outbound": { "purge_interval": "1s" } }));
    document["inbound"]["issuers"][0]["keys"]["jwks"]["timeout"] = json!("60s");
    let (mut proxy, tokens, _, key) = ready(&document);
    tokens.live(60);
    proxy.advance(1.secs());
    // A fetch that nobody answers for as long as the token takes to be renewed.
    let sent = Rc::new(RefCell::new(None));
    let seen = Rc::clone(&sent);
    proxy.script("keys", move |call| {
        *seen.borrow_mut() = header_of(call, "authorization").map(str::to_owned);
        None
    });
    let calls = proxy.calls("keys");
    for _ in 0..7_200 {
        proxy.advance(1.secs());
        if proxy.calls("keys") > calls {
            break;
        }
    }
    let issued = tokens.issued();
    while tokens.issued() == issued {
        proxy.advance(TICK);
    }
    assert!(sent.borrow().is_some());
    // The new one is old enough to be purged.
    proxy.advance(2.secs());
    assert_eq!(tokens.issued(), issued + 1);
    proxy.reply(status(401));
    let purges = "client=.=reader;.;result=.=purged;.;attache_token_purges_total";
    assert_eq!(proxy.counter(purges), 0);
    assert_eq!(tokens.issued(), issued + 1);
    assert_eq!(proxy.get("/orders", &key.token().claim("exp", START + 9_000).sign()), "forwarded");
}

/// What one client may read is no other's, of another filter of the process neither.
#[test]
fn threads_share_a_fetch_and_filters_whose_clients_differ_do_not() {
    let key = Signer::new("k1");
    let process: Rc<Memory> = Rc::default();
    let start = |document: &Value, seed: u16| {
        let mut proxy = Proxy::within(&process, document, seed, Timestamp::from_secs(START));
        let (tokens, keys) = (Tokens::new(), Keys::default());
        serve(&mut proxy, "idp", &tokens);
        keys.attach(&mut proxy, &key);
        (proxy, keys)
    };
    let same = document(json!({}));
    let other =
        document(json!({ "outbound": { "clients": [client("reader", json!({ "client_id": "another" }))] } }));
    let (mut first, first_keys) = start(&same, 1);
    first.advance(1.secs());
    let (mut second, second_keys) = start(&same, 2);
    let (mut third, third_keys) = start(&other, 3);
    for proxy in [&mut second, &mut third] {
        proxy.advance(1.secs());
        assert_eq!(proxy.get("/orders", &key.token().sign()), "forwarded");
    }
    assert_eq!((first_keys.asked(), second_keys.asked(), third_keys.asked()), (1, 0, 1));
}

#[test]
fn what_a_fetch_needs_of_the_outbound_block_must_be_there() {
    let problems =
        |document: &Value| compile(document).err().map(|errors| errors.to_string()).unwrap_or_default();
    assert_eq!(problems(&document(json!({}))), "");
    let place = "inbound.issuers[0].keys.jwks";
    let mut none = document(json!({}));
    none.as_object_mut().unwrap().remove("outbound");
    let told = problems(&none);
    assert!(
        told.contains(&format!("{place}.client: there is no block `outbound` with this client")),
        "{told}"
    );
    let mut unknown = document(json!({}));
    unknown["inbound"]["issuers"][0]["keys"]["jwks"]["client"] = json!("raeder");
    let told = problems(&unknown);
    assert!(told.contains(&format!("{place}.client: unknown client `raeder`")), "{told}");
    let mut plain = document(json!({}));
    plain["inbound"]["issuers"][0]["keys"]["jwks"]["uri"] = json!("http://keys.example/jwks");
    let told = problems(&plain);
    assert!(told.contains(&format!("{place}.uri: the client's token would be sent without TLS")), "{told}");
    let mut optional = document(json!({}));
    optional["inbound"]["issuers"][0]["keys"] =
        json!({ "discovery": { "cluster": "keys", "client": "reader", "tls": "optional" } });
    let told = problems(&optional);
    assert!(told.contains("keys.discovery: the client's token could be sent without TLS"), "{told}");
    let exchanges = json!({ "outbound": { "clients": [client("reader", json!({ "token_exchange": {} }))] } });
    let told = problems(&document(exchanges));
    assert!(told.contains("this client exchanges the tokens of callers"), "{told}");
    let told = problems(&document(json!({ "outbound": { "unmatched": "deny" } })));
    assert!(
        told.contains("outbound.unmatched: without `destinations` every request would be denied"),
        "{told}"
    );
    // A client that nothing names is of no use, and destinations are needed where no fetch needs a client.
    let two = json!({ "outbound": { "clients": [client("reader", json!({})), client("idle", json!({}))] } });
    assert!(problems(&document(two)).contains("outbound.clients[1]: no destination names this client"));
    let mut inline = document(json!({}));
    inline["inbound"]["issuers"][0]["keys"]["jwks"].as_object_mut().unwrap().remove("client");
    let told = problems(&inline);
    assert!(told.contains("`destinations` is missing") || told.contains("outbound: "), "{told}");
    // With destinations all is as ever, and the client may serve both.
    let both =
        json!({ "outbound": { "unmatched": "pass", "destinations": [destination("reader", json!({}))] } });
    assert_eq!(problems(&document(both)), "");
}

/// Without destinations no request that comes in is the outbound half's business.
#[test]
fn a_protected_header_is_replaced_as_without_an_outbound_block() {
    let claims = json!({ "inbound": { "forward_claims": [{ "claim": "sub", "header": "x-sub" }] } });
    let (mut proxy, _, _, key) = ready(&document(claims));
    proxy.advance(1.secs());
    let request = Request::get("/orders").bearer(&key.token().sign()).header("x-sub", "forged");
    assert_eq!(proxy.request(request).forwarded().upstream("x-sub"), ["orders-service"]);
}
