//! The cache of verified tokens: bounded in entries and bytes, and no issuer fills more than a share.

use std::rc::Rc;

use attache::base::Timestamp;
use attache::claims::{Rules, VerifiedToken};
use attache::inbound::{CacheSettings, TokenCache};
use attache::issuer::{KeyBounds, KeyStore};
use attache::jose::{KeySet, RustCrypto, TokenParts};
use attache::policy::IssuerId;
use serde_json::json;

use crate::proxy::{Proxy, START, Signer, Token, compile, config, issuer, jwks};

const NOW: Timestamp = Timestamp::from_secs(START);

/// A cache on its own, with the keys of each issuer.
pub(crate) struct Bench {
    cache: TokenCache,
    stores: Vec<KeyStore>,
    rules: Rules,
    key: Signer,
}

impl Bench {
    pub(crate) fn new(entries: usize, bytes: usize, issuers: usize) -> Self {
        let key = Signer::new("k1");
        let inline = json!({ "keys": { "jwks": null, "inline": { "keys": [key.jwk()] } } });
        let settings = compile(&config(json!({ "issuers": [issuer(inline)] }))).unwrap().inbound.unwrap();
        let store = KeyStore::new(
            &settings.issuers[0].keys,
            KeyBounds::for_sources(settings.issuers[0].keys.iter()),
            None,
            1,
            NOW,
        );
        Self {
            cache: TokenCache::new(CacheSettings { entries, bytes }, issuers, [3; 16]),
            stores: vec![store; issuers],
            rules: settings.issuers[0].rules.clone(),
            key,
        }
    }

    pub(crate) fn of(&self, client: &str, n: usize) -> Token {
        self.key.token().claim("client_id", client).claim("jti", n)
    }

    /// Verifies a token and inserts it, as often as it is presented and not found: twice.
    pub(crate) fn insert(&mut self, issuer: u16, token: &Token) -> String {
        let text = self.insert_once(issuer, token);
        if !self.holds(&text) {
            self.insert_once(issuer, token);
        }
        text
    }

    fn insert_once(&mut self, issuer: u16, token: &Token) -> String {
        self.insert_at(NOW, issuer, token)
    }

    fn insert_at(&mut self, now: Timestamp, issuer: u16, token: &Token) -> String {
        let text = token.sign();
        let verified = self.verified(&text);
        self.cache.insert(text.as_bytes(), &verified, IssuerId(issuer), 0, now);
        text
    }

    fn verified(&self, text: &str) -> Rc<VerifiedToken> {
        let keys = KeySet::parse(jwks(&[&self.key]).as_bytes()).unwrap().set;
        let parts = TokenParts::decode(text).unwrap();
        let token = parts.read().unwrap();
        let checked = self.rules.check(&token, NOW).unwrap();
        let signed = token.verify(keys.iter().next().unwrap(), &RustCrypto).unwrap();
        let accepted = checked.signed(signed).unwrap();
        Rc::new(VerifiedToken::new(&accepted).unwrap())
    }

    pub(crate) fn holds(&mut self, text: &str) -> bool {
        self.cache.lookup(text.as_bytes(), &self.stores, NOW).is_some()
    }

    fn held(&mut self, texts: &[String]) -> usize {
        texts.iter().filter(|text| self.cache.lookup(text.as_bytes(), &self.stores, NOW).is_some()).count()
    }
}

#[test]
fn a_token_is_found_by_all_of_its_bytes() {
    let mut bench = Bench::new(64, 1 << 20, 1);
    let text = bench.insert(0, &bench.of("a", 1));
    assert!(bench.holds(&text));
    // Same signature, other claims: the hash sees only the end, the comparison all.
    let parts: Vec<&str> = text.split('.').collect();
    let other = bench.of("a", 2).sign();
    let forged = format!("{}.{}.{}", parts[0], other.split('.').nth(1).unwrap(), parts[2]);
    assert!(!bench.holds(&forged));
    assert!(!bench.holds(&text[1..]) && !bench.holds("") && !bench.holds(&text[..text.len() - 1]));
}

#[test]
fn entries_are_bounded() {
    for entries in [1, 2, 7, 8, 9, 100] {
        let mut bench = Bench::new(entries, 1 << 24, 1);
        for n in 0..3 * entries + 10 {
            let text = bench.insert(0, &bench.of(&format!("client-{n}"), n));
            assert!(bench.cache.len() <= entries, "{} of {entries}", bench.cache.len());
            assert!(entries > 1 || bench.holds(&text), "the newest of a cache of one");
        }
        assert!(bench.cache.len() * 2 >= entries, "{} of {entries} places in use", bench.cache.len());
    }
}

#[test]
fn bytes_are_bounded_at_the_byte() {
    let mut probe = Bench::new(64, 1 << 24, 1);
    probe.insert(0, &probe.of("a", 1));
    let size = probe.cache.bytes();
    assert!(size > 300, "{size}");

    let mut exact = Bench::new(64, 2 * size, 1);
    for n in 1..=2 {
        exact.insert(0, &exact.of("a", n));
    }
    assert_eq!((exact.cache.len(), exact.cache.bytes()), (2, 2 * size));
    let third = exact.insert(0, &exact.of("a", 3));
    assert_eq!((exact.cache.len(), exact.cache.bytes()), (2, 2 * size));
    assert!(exact.holds(&third));

    let mut short = Bench::new(64, 2 * size - 1, 1);
    for n in 1..=2 {
        short.insert(0, &short.of("a", n));
    }
    assert_eq!((short.cache.len(), short.cache.bytes()), (1, size));

    // One that is larger than all of it is not kept, and displaces nothing.
    let mut tight = Bench::new(64, size, 1);
    let kept = tight.insert(0, &tight.of("a", 1));
    tight.insert(0, &tight.of("a", 2).claim("scope", "x".repeat(500)));
    assert!(tight.holds(&kept));
}

#[test]
fn what_is_removed_gives_its_room_back() {
    let mut bench = Bench::new(64, 1 << 20, 1);
    let text = bench.insert(0, &bench.of("a", 1));
    let late = NOW.after(core::time::Duration::from_secs(4000));
    assert!(bench.cache.lookup(text.as_bytes(), &bench.stores, late).is_none());
    assert_eq!((bench.cache.len(), bench.cache.bytes()), (0, 0));
    assert!(bench.cache.is_empty());
}

/// Many tokens of one client never push out the token of another.
#[test]
fn a_heavy_client_does_not_displace_a_light_one() {
    let mut bench = Bench::new(64, 1 << 24, 1);
    let light: Vec<String> = (0..5).map(|n| bench.insert(0, &bench.of(&format!("light-{n}"), n))).collect();
    for n in 0..2000 {
        bench.insert(0, &bench.of("heavy", n));
    }
    assert_eq!(bench.held(&light), 5);
    // And one who comes late finds a place among the heavy one's.
    let late = bench.insert(0, &bench.of("late", 0));
    assert!(bench.holds(&late));
}

#[test]
fn a_heavy_client_does_not_displace_a_light_one_by_bytes() {
    let mut probe = Bench::new(64, 1 << 24, 1);
    probe.insert(0, &probe.of("heavy", 1000));
    let size = probe.cache.bytes();
    let mut bench = Bench::new(1000, 20 * size, 1);
    let light: Vec<String> = (0..5).map(|n| bench.insert(0, &bench.of(&format!("light-{n}"), n))).collect();
    for n in 0..500 {
        bench.insert(0, &bench.of("heavy", n));
    }
    assert_eq!(bench.held(&light), 5);
    assert!(bench.cache.bytes() <= 20 * size);
}

/// An issuer that gives every request another client and another token fills its share, and then only its own places.
#[test]
fn an_issuer_over_its_share_displaces_only_its_own() {
    let mut bench = Bench::new(64, 1 << 24, 2);
    let quiet: Vec<String> = (0..20).map(|n| bench.insert(0, &bench.of(&format!("q{n}"), n))).collect();
    let quiet: Vec<String> = quiet.into_iter().filter(|text| bench.holds(text)).collect();
    assert!(quiet.len() >= 15);
    for n in 0..3000 {
        bench.insert(1, &bench.of(&format!("flood-{n}"), n));
    }
    let left = bench.held(&quiet);
    // Up to its share of half the places it may push others out where a bucket is full; beyond it never.
    assert!(left * 4 >= quiet.len() * 3, "{left} of {} are left", quiet.len());
}

/// A client that gets itself a token for each request fills what is free, and nothing else.
#[test]
fn a_token_that_comes_once_displaces_no_other() {
    let mut bench = Bench::new(64, 1 << 24, 1);
    let of = |bench: &Bench, n: usize| bench.of(&format!("client-{}", n % 16), n);
    let kept: Vec<String> = (0..1_000).map(|n| bench.insert_once(0, &of(&bench, n))).collect();
    let kept: Vec<String> = kept.into_iter().filter(|text| bench.holds(text)).collect();
    assert!(kept.len() > 56 && bench.cache.len() == kept.len(), "{}", kept.len());
    for n in 1_000..1_050 {
        bench.insert_once(0, &of(&bench, n));
    }
    // One of a few is taken for one that came before.
    assert!(bench.held(&kept) * 10 >= kept.len() * 7, "{} of {}", bench.held(&kept), kept.len());
    let held = (2_000..2_020).filter(|n| {
        let again = of(&bench, *n);
        bench.insert_once(0, &again);
        let text = bench.insert_once(0, &again);
        bench.holds(&text)
    });
    assert!(held.count() > 10);
}

/// One client's tokens, of which none comes twice, must not keep the tokens of others out.
#[test]
fn a_light_client_is_let_in_at_its_first_visit() {
    let mut bench = Bench::new(64, 1 << 24, 1);
    for n in 0..1_000 {
        bench.insert_once(0, &bench.of("heavy", n));
    }
    for n in 0..20 {
        let text = bench.insert_once(0, &bench.of(&format!("light-{n}"), n));
        assert!(bench.holds(&text), "{n}");
        for n in 0..100 {
            bench.insert_once(0, &bench.of("heavy", 2_000 + n));
        }
    }
}

#[test]
fn an_expired_token_gives_way_to_one_that_comes_for_the_first_time() {
    let mut bench = Bench::new(1, 1 << 20, 1);
    bench.insert_once(0, &bench.of("a", 1));
    let late = NOW.after(core::time::Duration::from_secs(4000));
    let next = bench.of("b", 2).claim("exp", START + 9000);
    let text = bench.insert_at(late, 0, &next);
    assert!(bench.cache.lookup(text.as_bytes(), &bench.stores, late).is_some());
}

/// Tokens with the same end, whose hash is the same, are held apart by all of their bytes, whichever was there first.
#[test]
fn tokens_of_one_hash_are_each_found() {
    let mut bench = Bench::new(64, 1 << 20, 1);
    let tokens: Vec<Token> = (0..8).map(|n| bench.of("a", n)).collect();
    let verified = bench.verified(&tokens[0].sign());
    let tail = "x".repeat(64);
    let texts: Vec<String> = (0..8).map(|n| format!("{}{n}{tail}", "y".repeat(n * 3))).collect();
    for text in &texts {
        bench.cache.insert(text.as_bytes(), &verified, IssuerId(0), 0, NOW);
    }
    assert_eq!(bench.held(&texts), 8);
    for (n, text) in texts.iter().enumerate() {
        for at in 0..text.len() {
            let mut other = text.clone().into_bytes();
            other[at] ^= 1;
            assert!(!bench.holds(&String::from_utf8(other).unwrap()), "{n}: {at}");
        }
    }
}

#[test]
fn a_cache_that_is_off_verifies_every_time() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&config(json!({ "token_cache": "off" })), &[&key]);
    let token = key.token().sign();
    for n in 1..=3 {
        assert_eq!(proxy.get("/orders", &token), "forwarded");
        assert_eq!(proxy.signature_checks(), n);
    }
    proxy.shut_down();
    assert!(proxy.counters().keys().all(|name| !name.contains("token_cache")));
}

#[test]
fn the_cache_is_a_matter_of_speed_only() {
    let key = Signer::new("k1");
    let mut with = Proxy::ready(&config(json!({ "token_cache": { "entries": 2, "bytes": 65536 } })), &[&key]);
    let mut without = Proxy::ready(&config(json!({ "token_cache": "off" })), &[&key]);
    let tokens = [
        key.token(),
        key.token().claim("scope", "orders:admin"),
        key.token().claim("exp", START + 5),
        Signer::unnamed("x").named(Some("k1")).token(),
    ];
    for step in 0..200_u64 {
        let token = tokens[usize::try_from(step * 7 % 4).unwrap()].sign();
        let path = ["/orders", "/admin", "/whoami", "/internal"][usize::try_from(step * 5 % 3).unwrap()];
        assert_eq!(with.get(path, &token), without.get(path, &token), "{step}");
        with.sleep(core::time::Duration::from_millis(300));
        without.sleep(core::time::Duration::from_millis(300));
    }
    assert!(with.signature_checks() < without.signature_checks());
}
