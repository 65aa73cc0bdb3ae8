#![allow(clippy::arithmetic_side_effects, clippy::string_slice, clippy::unwrap_in_result)]

use super::super::{Algorithm, JsonError, KeySet, RustCrypto};
use std::rc::Rc;

use super::*;
use base64ct::{Base64UrlUnpadded, Encoding as _};

fn raw_token(header: &str, claims: &str) -> String {
    let encode = |text: &str| Base64UrlUnpadded::encode_string(text.as_bytes());
    format!("{}.{}.AAAA", encode(header), encode(claims))
}

fn error(text: impl AsRef<[u8]>) -> TokenError {
    TokenParts::decode(&text).and_then(|parts| parts.read().map(|_| ())).unwrap_err()
}

/// The verdict about a token that can be read.
fn outcome(text: &str, key: &Key) -> Result<(), SignatureError> {
    let parts = TokenParts::decode(text).unwrap();
    parts.read().unwrap().verify(key, &RustCrypto).map(|_| ())
}

/// One token per algorithm, each with its key, made with OpenSSL.
fn samples() -> Vec<(Algorithm, Rc<Key>, String)> {
    let samples: serde_json::Value =
        serde_json::from_str(include_str!("../../tests/conformance/tokens.json")).unwrap();
    let samples = samples.as_array().unwrap().iter().map(|sample| {
        let set = serde_json::json!({ "keys": [sample["jwk"]] }).to_string();
        let key = Rc::clone(KeySet::parse_inline(set.as_bytes()).unwrap().set.iter().next().unwrap());
        let algorithm = Algorithm::parse(sample["alg"].as_str().unwrap()).unwrap();
        (algorithm, key, sample["token"].as_str().unwrap().to_owned())
    });
    samples.collect()
}

fn verify(text: &str, key: &Key) -> Result<(), String> {
    let parts = TokenParts::decode(text).map_err(|error| error.to_string())?;
    let token = parts.read().map_err(|error| error.to_string())?;
    token.verify(key, &RustCrypto).map(|_| ()).map_err(|error| error.to_string())
}

#[test]
fn every_algorithm_verifies_its_token_and_names_the_key() {
    let samples = samples();
    assert_eq!(samples.len(), Algorithm::ALL.len());
    for (algorithm, key, text) in samples {
        let parts = TokenParts::decode(&text).unwrap();
        let token = parts.read().unwrap();
        let token = token.verify(&key, &RustCrypto).unwrap();
        assert_eq!(token.token.header.algorithm, algorithm);
        assert_eq!(token.token.header.typ.as_deref(), Some("at+jwt"));
        assert_eq!(token.claims().get("iss").unwrap().as_str(), Some("https://issuer.example"));
        assert_eq!(token.key(), key.id());
    }
}

/// Every bit of every part; of long RSA signatures every fifth bit, which still reaches every byte.
#[test]
fn no_bit_of_a_token_can_be_flipped() {
    for (algorithm, key, text) in samples() {
        let parts: Vec<_> =
            text.split('.').map(|part| Base64UrlUnpadded::decode_vec(part).unwrap()).collect();
        for (index, part) in parts.iter().enumerate() {
            let step = if part.len() > 132 { 5 } else { 1 };
            for bit in (0..part.len() * 8).step_by(step) {
                let mut forged = parts.clone();
                forged[index][bit / 8] ^= 1 << (bit % 8);
                let forged: Vec<_> =
                    forged.iter().map(|part| Base64UrlUnpadded::encode_string(part)).collect();
                assert!(verify(&forged.join("."), &key).is_err(), "{algorithm}: part {index}, bit {bit}");
            }
        }
    }
}

#[test]
fn no_character_of_a_token_can_be_replaced_added_or_dropped() {
    let (_, key, text) =
        samples().into_iter().find(|(algorithm, ..)| *algorithm == Algorithm::EdDsa).unwrap();
    for at in 0..text.len() {
        for other in ["A", "_", ".", "=", " ", "\n", ""] {
            let forged = format!("{}{other}{}", &text[..at], &text[at + 1..]);
            assert!(forged == text || verify(&forged, &key).is_err(), "{other:?} at {at}");
        }
        let forged = format!("{}A{}", &text[..at], &text[at..]);
        assert!(verify(&forged, &key).is_err(), "one more at {at}");
    }
    for forged in [format!("{text}="), format!("{text} "), format!(" {text}"), format!("{text}.")] {
        assert!(verify(&forged, &key).is_err(), "{forged}");
    }
}

/// seen in other filters: the token's `alg` decides.
#[test]
fn a_token_signed_with_the_public_key_as_a_secret_is_refused() {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let samples = samples();
    let (_, key, _) = samples.iter().find(|(algorithm, ..)| *algorithm == Algorithm::Rs256).unwrap();
    let signed = raw_token(r#"{"alg":"HS256"}"#, "{}");
    let (message, _) = signed.rsplit_once('.').unwrap();
    let tag = Hmac::<sha2::Sha256>::new_from_slice(key.spki().unwrap()).unwrap().chain_update(message);
    let forged = format!("{message}.{}", Base64UrlUnpadded::encode_string(&tag.finalize().into_bytes()));
    let outcome = outcome(&forged, key);
    assert_eq!(outcome, Err(SignatureError::AlgorithmNotForKey { algorithm: Algorithm::Hs256 }));
}

/// seen in other filters: a key that the token brings along verifies nothing.
#[test]
fn an_embedded_key_is_ignored() {
    let samples = samples();
    let header = r#"{"alg":"EdDSA","jwk":{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}}"#;
    let text = raw_token(header, "{}").replace(".AAAA", &format!(".{}", "A".repeat(86)));
    let (_, key, _) = samples.iter().find(|(algorithm, ..)| *algorithm == Algorithm::EdDsa).unwrap();
    let outcome = outcome(&text, key);
    assert_eq!(outcome, Err(SignatureError::Mismatch));
}

#[test]
fn a_key_verifies_no_token_of_another_algorithm() {
    let samples = samples();
    for (_, key, _) in &samples {
        for (algorithm, _, text) in &samples {
            let outcome = outcome(text, key);
            if key.algorithms().contains(*algorithm) {
                assert_eq!(outcome, Ok(()), "{algorithm}");
            } else {
                assert_eq!(outcome, Err(SignatureError::AlgorithmNotForKey { algorithm: *algorithm }));
            }
        }
    }
}

#[test]
fn a_signature_of_another_length_is_refused_before_any_arithmetic() {
    for (algorithm, key, text) in samples() {
        let (message, signature) = text.rsplit_once('.').unwrap();
        let signature = Base64UrlUnpadded::decode_vec(signature).unwrap();
        let longer = [&signature[..], &[0]].concat();
        let padded = [&[0], &signature[..]].concat();
        for other in [&longer[..], &padded[..], &signature[1..], &signature[..1]] {
            let text = format!("{message}.{}", Base64UrlUnpadded::encode_string(other));
            let outcome = outcome(&text, &key);
            let expected = SignatureError::BadLength { expected: signature.len(), got: other.len() };
            assert_eq!(outcome, Err(expected), "{algorithm}");
        }
    }
}

#[test]
fn the_number_of_parts_is_three() {
    assert_eq!(error(""), TokenError::Parts { found: 1 });
    assert_eq!(error("a.b"), TokenError::Parts { found: 2 });
    assert_eq!(error("a.b.c.d"), TokenError::Parts { found: 4 });
    assert_eq!(error("a.b.c.d.e"), TokenError::Encrypted);
    assert_eq!(error("a.b.c.d.e.f"), TokenError::Parts { found: 6 });
    assert_eq!(error("...."), TokenError::Encrypted);
}

#[test]
fn no_part_may_be_empty_or_loosely_encoded() {
    let good = raw_token(r#"{"alg":"RS256"}"#, "{}");
    let parts: Vec<_> = good.split('.').collect();
    for (index, part) in [TokenPart::Header, TokenPart::Claims, TokenPart::Signature].into_iter().enumerate()
    {
        let with = |text: &str| {
            let mut parts = parts.clone();
            parts[index] = text;
            error(parts.join("."))
        };
        assert_eq!(with(""), TokenError::EmptyPart { part });
        for text in ["A", "AB", "AA==", "AA ", "A+/A", "\u{e9}AA"] {
            assert_eq!(with(text), TokenError::Encoding { part }, "{text}");
        }
    }
    let bytes = [&good.as_bytes()[..good.len() - 4], b"\xff\xff\xff\xff"].concat();
    assert_eq!(error(bytes), TokenError::Encoding { part: TokenPart::Signature });
}

/// What a token says of itself explains more than how it is written: `none` comes with an empty signature.
#[test]
fn a_part_is_read_before_the_next_one_is_asked_for() {
    let without_signature =
        |header: &str, claims: &str| error(raw_token(header, claims).trim_end_matches('A'));
    assert_eq!(without_signature(r#"{"alg":"none"}"#, "{}"), TokenError::AlgorithmNone);
    let no_object = TokenError::Json { part: TokenPart::Claims, error: JsonError::NotAnObject };
    assert_eq!(without_signature(r#"{"alg":"RS256"}"#, "[]"), no_object);
    let empty = TokenError::EmptyPart { part: TokenPart::Signature };
    assert_eq!(without_signature(r#"{"alg":"RS256"}"#, "{}"), empty);
}

#[test]
fn header_and_claims_are_strict_objects() {
    let duplicate = |part| TokenError::Json { part, error: JsonError::DuplicateMember };
    assert_eq!(error(raw_token(r#"{"alg":"RS256","alg":"RS256"}"#, "{}")), duplicate(TokenPart::Header));
    assert_eq!(
        error(raw_token(r#"{"alg":"RS256"}"#, r#"{"sub":"a","sub":"b"}"#)),
        duplicate(TokenPart::Claims)
    );
    assert_eq!(
        error(raw_token(r#"{"alg":"RS256"}"#, r#"{"a":[{"b":1,"b":2}]}"#)),
        duplicate(TokenPart::Claims)
    );
    let no_object = TokenError::Json { part: TokenPart::Claims, error: JsonError::NotAnObject };
    assert_eq!(error(raw_token(r#"{"alg":"RS256"}"#, "[]")), no_object);
    let trailing = TokenError::Json { part: TokenPart::Header, error: JsonError::TrailingData };
    assert_eq!(error(raw_token(r#"{"alg":"RS256"}{}"#, "{}")), trailing);
}

#[test]
fn a_token_is_read_up_to_its_limit() {
    let prefix = raw_token(r#"{"alg":"RS256"}"#, "{}");
    let full = |bytes: usize| format!("{prefix}{}", "A".repeat(bytes - prefix.len()));
    assert!(TokenParts::decode(&full(MAX_TOKEN_BYTES)).is_ok());
    let over = MAX_TOKEN_BYTES + 1;
    assert_eq!(error(full(over)), TokenError::TooLong { bytes: over, limit: MAX_TOKEN_BYTES });
}

#[test]
fn debug_output_shows_no_credential() {
    let (_, _, text) = samples().into_iter().next().unwrap();
    let parts = TokenParts::decode(&text).unwrap();
    let shown = format!("{parts:?} {:?}", parts.read().unwrap());
    assert!(!shown.contains("issuer.example"), "{shown}");
    for part in text.split('.') {
        assert!(!shown.contains(part), "{shown}");
    }
}

#[test]
fn every_error_says_what_is_wrong_and_has_a_label_of_its_own() {
    let json = TokenError::Json { part: TokenPart::Claims, error: JsonError::TooDeep };
    let errors = [
        (TokenError::TooLong { bytes: 16385, limit: 16384 }, "the token has 16385 bytes, more than 16384"),
        (TokenError::Parts { found: 2 }, "expected 3 parts separated by dots, got 2"),
        (TokenError::Encrypted, "the token is encrypted"),
        (TokenError::EmptyPart { part: TokenPart::Signature }, "the signature is empty"),
        (TokenError::Encoding { part: TokenPart::Header }, "the header is not base64url"),
        (json, "the claims: nested deeper than 16 levels"),
        (TokenError::MemberType { member: "kid" }, "`kid` in the header is not a string"),
        (
            TokenError::MemberTooLong { member: "kid", limit: 256 },
            "`kid` in the header is longer than 256 bytes",
        ),
        (TokenError::AlgorithmMissing, "`alg` is missing"),
        (TokenError::AlgorithmNone, "`alg` is none: the token is not signed"),
        (TokenError::AlgorithmUnknown, "`alg` is not a known signature algorithm"),
        (TokenError::Critical, "`crit` names extensions that are not understood"),
        (TokenError::UnencodedPayload, "`b64` is not supported"),
        (TokenError::Compressed, "`zip` is not supported"),
    ];
    let mut labels: Vec<_> = errors.iter().map(|(error, _)| error.label()).collect();
    for (error, text) in &errors {
        assert_eq!(error.to_string(), *text);
    }
    labels.sort_unstable();
    labels.dedup();
    assert_eq!(labels.len(), errors.len());
}
