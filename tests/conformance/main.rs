//! Signature checks against vectors that others have made: each engine gives the right answer on every one.

#![cfg(not(target_family = "wasm"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, missing_docs)]
#![allow(clippy::wildcard_enum_match_arm, clippy::panic, clippy::expect_used)]

mod vectors;

use attache::jose::Portable;
use base64ct::Encoding as _;

#[test]
fn the_portable_engine_answers_every_vector_right() {
    let vectors = vectors::all();
    let (ran, wrong) = vectors::run(&Portable, &vectors);
    assert!(wrong.is_empty(), "{} wrong answers:\n{}", wrong.len(), wrong.join("\n"));
    for (algorithm, least) in vectors::AT_LEAST {
        let count = ran.get(algorithm).copied().unwrap_or_default();
        assert!(count >= least, "only {count} vectors for {algorithm}, expected {least}");
    }
}

/// jwt-compact's own HMAC as a second opinion; its other backends would bring a second RSA and a second P-256 into
/// the build.
#[test]
fn jwt_compact_accepts_the_tokens_that_we_accept() {
    use attache::jose::{Algorithm, KeySet, UnverifiedToken};
    use jwt_compact::alg::{Hs256, Hs256Key, Hs384, Hs384Key, Hs512, Hs512Key};
    use jwt_compact::{AlgorithmExt as _, Empty, UntrustedToken};

    let samples: serde_json::Value = serde_json::from_str(include_str!("tokens.json")).unwrap();
    let mut asked = 0;
    for sample in samples.as_array().unwrap() {
        let text = sample["token"].as_str().unwrap();
        let (rest, last) = text.split_at(text.len() - 8);
        let forged = format!("{rest}{}", if last == "AAAAAAAA" { "BBBBBBBB" } else { "AAAAAAAA" });
        for (text, genuine) in [(text, true), (&forged, false)] {
            let theirs = UntrustedToken::new(text).unwrap();
            let secret =
                || base64ct::Base64UrlUnpadded::decode_vec(sample["jwk"]["k"].as_str().unwrap()).unwrap();
            let verdict = match UnverifiedToken::parse(text).unwrap().header().algorithm {
                Algorithm::Hs256 => {
                    Hs256.validator::<Empty>(&Hs256Key::new(secret())).validate(&theirs).is_ok()
                }
                Algorithm::Hs384 => {
                    Hs384.validator::<Empty>(&Hs384Key::new(secret())).validate(&theirs).is_ok()
                }
                Algorithm::Hs512 => {
                    Hs512.validator::<Empty>(&Hs512Key::new(secret())).validate(&theirs).is_ok()
                }
                _ => continue,
            };
            let set = serde_json::json!({ "keys": [sample["jwk"]] }).to_string();
            let set = KeySet::parse_inline(set.as_bytes()).unwrap().set;
            let ours =
                UnverifiedToken::parse(text).unwrap().verify(set.iter().next().unwrap(), &Portable).is_ok();
            assert_eq!((ours, verdict), (genuine, genuine), "{text}");
            asked += 1;
        }
    }
    assert_eq!(asked, 6);
}
