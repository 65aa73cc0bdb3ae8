//! Floods of tokens that do not verify: what they cost a worker, and how honest callers fare meanwhile.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde_json::json;
use sha2::Digest as _;

use crate::proxy::{Proxy, Request, Signer, Time as _, Token, config, good, issuer, jwks, partner};
use crate::threads::{fresh, long};

/// What failing checks have cost, in microseconds.
const FAILED: &str = "attache_failed_check_microseconds_total";
/// A check of EdDSA, as the filter counts it: the arithmetic and a KiB of message.
const CHECK: u64 = 136 + 6;
const LIMITED: &str = "503 checks_limited";

/// The token with random bytes for a signature, none twice.
fn forged(token: &Token, number: usize) -> String {
    let good = token.sign();
    let mut signature: [u8; 64] = sha2::Sha512::digest(number.to_le_bytes()).into();
    // Below the order of the group, so that the arithmetic is done.
    signature[63] = 0;
    format!("{}.{}", good.rsplit_once('.').unwrap().0, Base64UrlUnpadded::encode_string(&signature))
}

/// A second in which a thousand forged tokens come; how many of them are told each thing.
struct Flood {
    number: usize,
    refused: u64,
    limited: u64,
}

impl Flood {
    fn new() -> Self {
        Self { number: 0, refused: 0, limited: 0 }
    }

    fn second(&mut self, proxy: &mut Proxy, token: &Token) {
        for _ in 0..10 {
            for _ in 0..100 {
                self.number += 1;
                match proxy.get("/orders", &forged(token, self.number)).as_str() {
                    "401 signature_invalid" => self.refused += 1,
                    LIMITED => self.limited += 1,
                    other => panic!("{other}"),
                }
            }
            proxy.advance(100.ms());
        }
    }

    /// Forged tokens until one is not looked at.
    fn exhaust(&mut self, proxy: &mut Proxy, token: &Token) {
        loop {
            self.number += 1;
            if proxy.get("/orders", &forged(token, self.number)) == LIMITED {
                return;
            }
        }
    }
}

/// An issuer whose keys are written out: no token of it waits for a newer set.
fn inline(keys: &[&Signer]) -> serde_json::Value {
    let set: serde_json::Value = serde_json::from_str(&jwks(keys)).unwrap();
    issuer(json!({ "keys": { "jwks": null, "inline": set } }))
}

#[test]
fn forged_tokens_cost_no_more_than_a_twentieth_of_the_time_and_known_ones_go_on() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&config(json!({})), &[&key]);
    let known = long(&key).sign();
    assert_eq!(proxy.get("/orders", &known), "forwarded");
    let (mut flood, before) = (Flood::new(), proxy.signature_checks());
    // Strangers know the key's name, which is published, and no client's.
    let token = long(&key).claim("client_id", "stranger");
    for second in 1..=2 {
        flood.second(&mut proxy, &token);
        let checks = u64::from(proxy.signature_checks() - before);
        assert_eq!((flood.refused, checks * CHECK), (checks, proxy.counter(FAILED)));
        assert!(proxy.counter(FAILED) <= 50_000 * (second + 1), "{second} s: {}", proxy.counter(FAILED));
        let checks = proxy.signature_checks();
        assert_eq!(proxy.get("/orders", &known), "forwarded");
        assert_eq!(proxy.signature_checks(), checks);
    }
    assert!(flood.refused >= 400 && flood.limited >= 1_000, "{} and {}", flood.refused, flood.limited);
    let counted =
        "route=.=orders;.;issuer=.=corp;.;outcome=.=deny;.;reason=.=checks_limited;.;attache_decisions_total";
    assert_eq!(proxy.counter(counted), flood.limited);
}

#[test]
fn what_is_beyond_the_budget_is_told_to_come_again_and_how_many_keys_were_tried() {
    let keys: Vec<Signer> = (0..12).map(|n| Signer::new(&format!("k{n}"))).collect();
    let problem = json!({ "issuers": [inline(&keys.iter().collect::<Vec<_>>())], "denials": { "body": "problem_json" } });
    let mut proxy = Proxy::new(&config(problem));
    Flood::new().exhaust(&mut proxy, &long(&keys[0].named(None)));
    let refused = proxy.request(Request::get("/orders").bearer(&fresh(&keys[11].named(None), 1))).refused();
    assert_eq!((refused.response.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(refused.challenge(), None);
    assert!(refused.response.body.contains("of 12 keys were tried"), "{}", refused.response.body);
    // It is not held against it.
    proxy.advance(1.secs());
    assert_eq!(proxy.get("/orders", &fresh(&keys[11].named(None), 1)), "forwarded");
}

#[test]
fn a_token_that_any_of_many_keys_has_signed_is_verified_and_owes_nothing() {
    let keys: Vec<Signer> = (0..128).map(|n| Signer::new(&format!("k{n}"))).collect();
    let mut proxy = Proxy::ready(&config(json!({})), &keys.iter().collect::<Vec<_>>());
    for place in [10, 11, 127] {
        assert_eq!(proxy.get("/orders", &fresh(&keys[place].named(None), place)), "forwarded", "{place}");
    }
    proxy.tick();
    assert_eq!(proxy.counter(FAILED), 0);
}

/// The flood names another issuer, which is all that a stranger needs for that.
#[test]
fn a_flood_on_one_issuer_leaves_new_tokens_of_another_alone() {
    let (corp, theirs) = (Signer::new("k1"), Signer::new("k2"));
    let require = json!({ "issuers": ["corp", "partner"], "scopes": ["orders:read"] });
    let routes = json!([{ "name": "orders", "match": { "path": "/orders" }, "require": require }]);
    let mut proxy =
        Proxy::new(&config(json!({ "issuers": [issuer(json!({})), partner()], "routes": routes })));
    proxy.serve("idp", good(&jwks(&[&corp])));
    proxy.serve("partner", good(&jwks(&[&theirs])));
    proxy.tick();
    let mut flood = Flood::new();
    for number in 0..100 {
        flood.exhaust(&mut proxy, &long(&corp));
        let partners = long(&theirs).claim("iss", "https://partner.example").claim("jti", number).sign();
        assert_eq!(proxy.get("/orders", &partners), "forwarded");
        proxy.advance(10.ms());
    }
}

#[test]
fn a_flood_without_key_ids_leaves_tokens_that_name_their_key_alone() {
    let keys: Vec<Signer> = (0..8).map(|n| Signer::new(&format!("k{n}"))).collect();
    let mut proxy = Proxy::new(&config(json!({ "issuers": [inline(&keys.iter().collect::<Vec<_>>())] })));
    let mut flood = Flood::new();
    for number in 0..50 {
        flood.exhaust(&mut proxy, &long(&keys[0].named(None)));
        assert_eq!(proxy.get("/orders", &fresh(&keys[number % 8], number)), "forwarded");
        proxy.advance(10.ms());
    }
    // And the other way round: a flood that names keys leaves those that name none.
    proxy.advance(1.secs());
    for number in 50..100 {
        flood.exhaust(&mut proxy, &long(&keys[0]));
        assert_eq!(proxy.get("/orders", &fresh(&keys[0].named(None), number)), "forwarded");
        proxy.advance(10.ms());
    }
}

/// With many keys a flood without key ids leaves nothing for a second check; an honest token needs none.
#[test]
fn tokens_without_key_id_that_the_current_key_has_signed_pass_in_a_flood_without_key_ids() {
    let keys: Vec<Signer> = (0..8).map(|n| Signer::new(&format!("k{n}"))).collect();
    let mut proxy = Proxy::new(&config(json!({ "issuers": [inline(&keys.iter().collect::<Vec<_>>())] })));
    let honest = |number| fresh(&keys[5].named(None), number);
    assert_eq!(proxy.get("/orders", &honest(0)), "forwarded");
    let stranger = long(&keys[0].named(None)).claim("client_id", "stranger");
    let mut number = 0;
    for _ in 0..100 {
        // Ten a tenth of a second: the first checks are within the budget, all eight of each are far beyond it.
        for _ in 0..10 {
            number += 1;
            proxy.get("/orders", &forged(&stranger, number));
        }
        assert_eq!(proxy.get("/orders", &honest(number)), "forwarded");
        proxy.advance(100.ms());
    }
    assert!(proxy.counter(FAILED) <= 50_000 * 11, "{}", proxy.counter(FAILED));
}

/// Strangers do not know who the clients are, and a client that goes mad spends what is its own.
#[test]
fn new_tokens_of_known_clients_pass_while_strangers_and_one_of_them_forge() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&config(json!({})), &[&key]);
    let of = |client: &str, number: usize| long(&key).claim("client_id", client).claim("jti", number);
    for client in ["honest", "mad"] {
        assert_eq!(proxy.get("/orders", &of(client, 0).sign()), "forwarded");
    }
    let mut flood = Flood::new();
    for round in 1..=50 {
        for flooding in ["stranger", "mad"] {
            flood.exhaust(&mut proxy, &of(flooding, 0));
        }
        assert_eq!(proxy.get("/orders", &of("stranger", round).sign()), LIMITED);
        assert_eq!(proxy.get("/orders", &of("mad", round).sign()), LIMITED);
        assert_eq!(proxy.get("/orders", &of("honest", round).sign()), "forwarded");
        proxy.advance(20.ms());
    }
}

/// A client with one bad token that it goes on sending.
#[test]
fn the_same_forged_token_is_checked_once_as_long_as_the_keys_stay() {
    let (key, new) = (Signer::new("k1"), Signer::new("k2"));
    let mut proxy = Proxy::ready(&config(json!({})), &[&key]);
    let token = forged(&long(&key), 1);
    for _ in 0..100 {
        assert_eq!(proxy.get("/orders", &token), "401 signature_invalid");
    }
    assert_eq!(proxy.signature_checks(), 1);
    // It has asked for a fetch, as a signature does that fails, and the set is another one now.
    proxy.serve("idp", good(&jwks(&[&key, &new])));
    proxy.advance(5.minutes());
    assert_eq!(proxy.get("/orders", &token), "401 signature_invalid");
    assert_eq!(proxy.signature_checks(), 2);
}

#[test]
fn what_is_refused_without_a_check_is_no_part_of_the_budget() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&config(json!({})), &[&key]);
    let short = |number: usize| {
        let token = long(&key).claim("jti", number).sign();
        token[..token.len() - 6].to_owned()
    };
    for number in 0..300 {
        let expired = key.token().claim("exp", 1).claim("jti", number).sign();
        assert_eq!(proxy.get("/orders", &expired), "401 expired");
        let stranger = key.token().claim("iss", "https://stranger.example").claim("jti", number).sign();
        assert_eq!(proxy.get("/orders", &stranger), "401 issuer_unknown");
        assert_eq!(proxy.get("/orders", &format!("e30.e30.{}", number + 1_000)), "401 algorithm_missing");
        assert_eq!(proxy.get("/orders", &short(number)), "401 signature_invalid");
    }
    proxy.tick();
    assert_eq!((proxy.signature_checks(), proxy.counter(FAILED)), (0, 0));
}

/// A token that waits for a newer set has cost what it cost before, once.
#[test]
fn tokens_that_find_no_place_to_wait_are_bounded_too() {
    let keys: Vec<Signer> = (0..8).map(|n| Signer::new(&format!("k{n}"))).collect();
    let mut proxy =
        Proxy::ready(&config(json!({ "waiting": { "requests": 1 } })), &keys.iter().collect::<Vec<_>>());
    proxy.advance(10.secs());
    proxy.silence("idp");
    let flood = long(&keys[0].named(None));
    for number in 0..1_000 {
        let tells = proxy.get("/orders", &forged(&flood, number));
        assert!(["waiting", "503 waiting_full", LIMITED].contains(&tells.as_str()), "{tells}");
    }
    proxy.tick();
    assert!(proxy.counter(FAILED) <= 50_000, "{}", proxy.counter(FAILED));
    // The same token, again and again.
    proxy.advance(2.secs());
    let before = proxy.signature_checks();
    for _ in 0..100 {
        proxy.get("/orders", &forged(&flood, 5_000));
    }
    assert_eq!(proxy.signature_checks() - before, 8);
}
