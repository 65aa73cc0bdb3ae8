//! A key set from its bytes to keys: no more than may be, each for something, none from the network that is a shared secret, and no
//! token is good but by a key that the set has.

use attache::jose::{
    Algorithm, Crypto as _, Key, KeySet, MAX_KEYS, MAX_KID_BYTES, ParsedKeySet, RustCrypto, TokenParts,
    admissible, offload,
};
use serde_json::Value;

use crate::json_mutator;
use crate::signer::{START, Signer, claims};

pub(super) fn run(data: &[u8]) {
    for is_inline in [false, true] {
        let parsed = if is_inline { KeySet::parse_inline(data) } else { KeySet::parse(data) };
        let Ok(ParsedKeySet { set, skipped, .. }) = parsed else { continue };
        assert!(set.len() + skipped.len() <= MAX_KEYS, "more keys than may be");
        for key in set.iter() {
            check_key(key, is_inline, data);
            assert!(set.contains(&key.id()));
        }
        let document: Value = serde_json::from_slice(data).expect("a second reader reads it");
        let own = Signer::new("k1").jwk();
        let has_own = document["keys"].as_array().unwrap().iter().any(|key| same_bytes(&key["x"], &own["x"]));
        check_tokens(&set, has_own);
        assert_eq!(KeySet::united(&[&set, &set]).len(), set.len());
        assert!(set.iter().filter_map(|key| key.kid()).all(|kid| set.has_kid(kid)));
        let _ = set.size();
    }
}

pub(super) fn mutate(data: &[u8], seed: u32) -> Option<Vec<u8>> {
    json_mutator::mutate(data, seed, WORDS)
}

fn check_key(key: &Key, is_inline: bool, data: &[u8]) {
    let may = key.algorithms();
    assert!(!may.is_empty(), "a key for nothing");
    assert!(key.kid().is_none_or(|kid| kid.len() <= MAX_KID_BYTES));
    assert!(key.size() < 100_000);
    let (symmetric, public) = Algorithm::ALL.split_at(3);
    let is_symmetric = symmetric.iter().any(|algorithm| may.contains(*algorithm));
    assert!(is_inline || !is_symmetric, "a shared secret from the network");
    // RFC 8725 §3.1: a public key never is a secret of HMAC.
    assert!(!is_symmetric || !public.iter().any(|algorithm| may.contains(*algorithm)), "a key of two kinds");
    for algorithm in may.iter() {
        for length in [0, 32, 48, 64, 96, 132, 256, 257, 384, 512, 1024] {
            let signature: Vec<u8> = data.iter().rev().copied().cycle().take(length).collect();
            if admissible(algorithm, key, &signature).is_ok() {
                let verdict = RustCrypto.verify(algorithm, key, b"message", &signature);
                assert!(verdict.is_err(), "{algorithm} of {length} bytes that no key signed");
                let _ = offload::arguments(algorithm, key, b"message", &signature);
            }
        }
    }
}

fn check_tokens(set: &KeySet, has_own: bool) {
    TOKENS.with(|tokens| {
        for token in tokens {
            let parts = TokenParts::decode(token).unwrap();
            let read = parts.read().unwrap();
            let (algorithm, kid) = (read.header().algorithm, read.header().kid.as_deref());
            let candidates: Vec<_> = set.candidates(algorithm, kid).collect();
            assert!(candidates.len() <= MAX_KEYS);
            for key in candidates {
                assert!(key.algorithms().contains(algorithm));
                assert!(key.kid().is_none() || kid.is_none() || key.kid() == kid, "a key of another name");
                if read.verify(key, &RustCrypto).is_ok() {
                    assert!(has_own && algorithm == Algorithm::EdDsa, "by a key that is not there");
                }
            }
        }
    });
}

/// Whether two texts are the same in base64url, whose padding some issuers write.
fn same_bytes(one: &Value, other: &Value) -> bool {
    let text = |value: &Value| value.as_str().map(|text| text.trim_end_matches('=').to_owned());
    text(one).is_some() && text(one) == text(other)
}

thread_local! {
    static TOKENS: [String; 4] = {
        let signer = Signer::new("k1");
        [
            signer.token(&claims("https://idp.example", "a", START + 60, "s")),
            signer.sign(r#"{"alg":"EdDSA"}"#, "{}"),
            signer.sign(r#"{"alg":"RS256","kid":"k1"}"#, "{}"),
            signer.sign(r#"{"alg":"ES256"}"#, "{}"),
        ]
    };
}

const WORDS: &[&str] = &[
    "keys",
    "kty",
    "kid",
    "use",
    "alg",
    "key_ops",
    "n",
    "e",
    "d",
    "p",
    "k",
    "x",
    "y",
    "crv",
    "x5c",
    "x5t",
    "RSA",
    "EC",
    "OKP",
    "oct",
    "sig",
    "enc",
    "verify",
    "sign",
    "P-256",
    "P-384",
    "P-521",
    "Ed25519",
    "Ed448",
    "secp256k1",
    "RS256",
    "PS256",
    "ES256",
    "ES512",
    "EdDSA",
    "HS256",
    "AQAB",
    "AQ",
    "Aw",
    "AA",
    "AAAA",
    "k1",
    "ext",
    "oth",
    "jwt-svid",
];
