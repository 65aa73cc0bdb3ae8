//! The core in V8: the same vectors as the native conformance test, on wasm32-unknown-unknown in Node, whose engine
//! is Envoy's.
//!
//! Arithmetic that is right on a 64-bit machine can be wrong on this one; the filter runs on this one.

#![cfg(all(target_family = "wasm", target_os = "unknown"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, missing_docs)]
#![allow(clippy::wildcard_enum_match_arm, clippy::panic, clippy::expect_used)]

#[path = "conformance/vectors.rs"]
mod vectors;

use attache::base::{Random, Secret};
use attache::jose::{
    Algorithm, Crypto as _, KeySet, RustCrypto, SignatureError, SigningKey, TokenParts, known_answer, offload,
};
use wasm_bindgen_test::wasm_bindgen_test;

#[wasm_bindgen_test]
fn the_portable_engine_answers_every_vector_right() {
    let vectors = vectors::all();
    let (ran, wrong) = vectors::run(&RustCrypto, &vectors);
    assert!(wrong.is_empty(), "{} wrong answers:\n{}", wrong.len(), wrong.join("\n"));
    for (algorithm, least) in vectors::AT_LEAST {
        let count = ran.get(algorithm).copied().unwrap_or_default();
        assert!(count >= least, "only {count} vectors for {algorithm}, expected {least}");
    }
}

#[wasm_bindgen_test]
fn the_portable_engine_knows_every_answer() {
    for algorithm in offload::ALGORITHMS {
        let passes = known_answer::passes(algorithm, |key, message, signature| {
            RustCrypto.verify(algorithm, key, message, signature)
        });
        assert!(passes, "{algorithm}");
    }
}

#[wasm_bindgen_test]
fn every_algorithm_verifies_its_token_and_no_other() {
    let samples: serde_json::Value = serde_json::from_str(include_str!("conformance/tokens.json")).unwrap();
    let samples = samples.as_array().unwrap();
    assert_eq!(samples.len(), Algorithm::ALL.len());
    for sample in samples {
        let set = serde_json::json!({ "keys": [sample["jwk"]] }).to_string();
        let set = KeySet::parse_inline(set.as_bytes()).unwrap().set;
        let key = set.iter().next().unwrap();
        for other in samples {
            let parts = TokenParts::decode(other["token"].as_str().unwrap()).unwrap();
            let token = parts.read().unwrap();
            let algorithm = token.header().algorithm;
            let outcome = token.verify(key, &RustCrypto).map(|_| ());
            if key.algorithms().contains(algorithm) {
                assert_eq!(outcome, Ok(()), "{algorithm}");
            } else {
                assert_eq!(outcome, Err(SignatureError::AlgorithmNotForKey { algorithm }));
            }
        }
    }
}

/// Where a salt or a mask is drawn, any will do.
struct Ones;

impl Random for Ones {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(1);
    }
}

#[wasm_bindgen_test]
fn the_portable_engine_signs_what_it_verifies() {
    assert!(known_answer::signs(|key, message| RustCrypto.sign(Algorithm::Es256, key, message, &Ones)));
    let keys: Vec<serde_json::Value> =
        serde_json::from_str(include_str!("conformance/signing_keys.json")).unwrap();
    for key in keys {
        let key = SigningKey::parse(&Secret::new(key["jwk"].to_string())).unwrap().allow_portable_rsa(true);
        for algorithm in key.algorithms().iter() {
            let signature = RustCrypto.sign(algorithm, &key, b"message", &Ones).unwrap();
            let verdict = RustCrypto.verify(algorithm, key.public(), b"message", &signature);
            assert_eq!(verdict, Ok(()), "{algorithm}");
        }
    }
}
