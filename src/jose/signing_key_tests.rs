#![allow(clippy::arithmetic_side_effects, clippy::string_slice, clippy::unwrap_in_result)]

use std::cell::RefCell;

use base64ct::{Base64, Base64UrlUnpadded, Encoding as _};
use serde_json::{Value, json};

use super::super::{Algorithm, Crypto, JsonError, Key, KeyError, KeySet, RustCrypto, SigningError};
use super::*;
use crate::base::{Jitter, Random};

struct Dice(RefCell<Jitter>);

impl Random for Dice {
    fn fill(&self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte = self.0.borrow_mut().number().to_le_bytes()[0];
        }
    }
}

fn dice() -> Dice {
    Dice(RefCell::new(Jitter::new([5; 16])))
}

/// Answers always the same.
struct Stuck(u8);

impl Random for Stuck {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0);
    }
}

fn parse(text: &str) -> Result<SigningKey, SigningKeyError> {
    SigningKey::parse(&Secret::new(text))
}

fn error(text: &str) -> SigningKeyError {
    parse(text).map(|_| ()).unwrap_err()
}

fn pem(label: &str, base64: &str) -> String {
    let lines: Vec<&str> =
        (0..base64.len()).step_by(64).map(|at| &base64[at..base64.len().min(at + 64)]).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// The private keys of RFC 7515 §A.2.1 (RSA), RFC 6979 §A.2.5 (P-256) and RFC 8037 §A.1 (Ed25519).
fn jwks() -> [Value; 3] {
    let keys: Vec<Value> =
        serde_json::from_str(include_str!("../../tests/conformance/signing_keys.json")).unwrap();
    keys.into_iter().map(|key| key["jwk"].clone()).collect::<Vec<_>>().try_into().unwrap()
}

fn with(mut jwk: Value, member: &str, value: Value) -> String {
    jwk[member] = value;
    jwk.to_string()
}

fn without(mut jwk: Value, member: &str) -> String {
    jwk.as_object_mut().unwrap().remove(member);
    jwk.to_string()
}

/// What everybody else gets to see of a key.
fn published(key: &Value) -> Key {
    let mut key = key.clone();
    for member in ["d", "p", "q", "dp", "dq", "qi"] {
        key.as_object_mut().unwrap().remove(member);
    }
    let set = KeySet::parse(json!({ "keys": [key] }).to_string().as_bytes()).unwrap().set;
    Key::clone(set.iter().next().unwrap())
}

#[test]
fn the_type_of_key_decides_what_it_may_sign() {
    use Algorithm::*;
    let expected: [&[Algorithm]; 3] = [&[Rs256, Rs384, Rs512, Ps256, Ps384, Ps512], &[Es256], &[EdDsa]];
    for (jwk, algorithms) in jwks().into_iter().zip(expected) {
        let key = parse(&jwk.to_string()).unwrap();
        assert_eq!(key.algorithms().iter().collect::<Vec<_>>(), algorithms);
        assert_eq!(key.kid(), None);
        assert_eq!(key.public().id(), published(&jwk).id());
        assert_eq!(key.digest(), *published(&jwk).id().as_bytes());
    }
}

#[test]
fn what_is_signed_verifies_by_the_published_key_and_by_no_other_message() {
    for jwk in jwks() {
        let key = parse(&jwk.to_string()).unwrap().allow_portable_rsa(true);
        let public = published(&jwk);
        for algorithm in key.algorithms().iter() {
            let signature = RustCrypto.sign(algorithm, &key, b"message", &dice()).unwrap();
            assert_eq!(RustCrypto.verify(algorithm, &public, b"message", &signature), Ok(()), "{algorithm}");
            assert!(RustCrypto.verify(algorithm, &public, b"massage", &signature).is_err(), "{algorithm}");
            let again = RustCrypto.sign(algorithm, &key, b"message", &Stuck(7)).unwrap();
            let is_salted = matches!(algorithm, Algorithm::Ps256 | Algorithm::Ps384 | Algorithm::Ps512);
            assert_eq!(again != signature, is_salted, "{algorithm}: only a salt makes two signatures differ");
        }
        for algorithm in Algorithm::ALL.into_iter().filter(|one| !key.algorithms().contains(*one)) {
            let outcome = RustCrypto.sign(algorithm, &key, b"message", &dice());
            assert_eq!(outcome, Err(SigningError::AlgorithmNotForKey { algorithm }));
        }
    }
}

#[test]
fn the_examples_of_the_rfcs_come_out() {
    let [rsa, p256, ed25519] = jwks();
    // RFC 7515 §A.2: what is signed there is in the tests of `RustCrypto` too.
    let message = concat!(
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ij",
        "p0cnVlfQ"
    );
    let key = parse(&rsa.to_string()).unwrap().allow_portable_rsa(true);
    let signature = RustCrypto.sign(Algorithm::Rs256, &key, message.as_bytes(), &dice()).unwrap();
    let expected =
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5juj";
    assert!(Base64UrlUnpadded::encode_string(&signature).starts_with(expected));
    // RFC 6979 §A.2.5.
    let key = parse(&p256.to_string()).unwrap();
    for (message, expected) in [
        (
            "sample",
            "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
        ),
        (
            "test",
            "f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083",
        ),
    ] {
        let signature = RustCrypto.sign(Algorithm::Es256, &key, message.as_bytes(), &dice()).unwrap();
        let hex: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected);
    }
    // RFC 8037 §A.4.
    let key = parse(&ed25519.to_string()).unwrap();
    let message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature = RustCrypto.sign(Algorithm::EdDsa, &key, message, &dice()).unwrap();
    let expected = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    assert_eq!(Base64UrlUnpadded::encode_string(&signature), expected);
}

#[test]
fn rsa_is_not_signed_with_by_the_portable_engine_until_that_is_allowed() {
    let [rsa, ..] = jwks();
    let key = parse(&rsa.to_string()).unwrap();
    for algorithm in key.algorithms().iter() {
        let outcome = RustCrypto.sign(algorithm, &key, b"message", &dice());
        assert_eq!(outcome, Err(SigningError::PortableRsa), "{algorithm}");
    }
    let key = key.allow_portable_rsa(true).allow_portable_rsa(false);
    assert_eq!(RustCrypto.sign(Algorithm::Rs256, &key, b"", &dice()), Err(SigningError::PortableRsa));
}

/// With PSS the block is one bit shorter than the modulus: a byte shorter for the first of these, and not for the
/// second.
#[test]
fn a_modulus_of_no_whole_bytes_signs_like_any_other() {
    for base64 in [RSA_2049, RSA_2055] {
        let key = parse(&pem("RSA PRIVATE KEY", base64)).unwrap().allow_portable_rsa(true);
        for algorithm in key.algorithms().iter() {
            let signature = RustCrypto.sign(algorithm, &key, b"message", &dice()).unwrap();
            assert_eq!(signature.len(), 257, "{algorithm}");
            assert_eq!(
                RustCrypto.verify(algorithm, key.public(), b"message", &signature),
                Ok(()),
                "{algorithm}"
            );
        }
    }
}

#[test]
fn a_source_of_zeros_gives_no_rsa_signature_and_does_not_hang() {
    let [rsa, ..] = jwks();
    let key = parse(&rsa.to_string()).unwrap().allow_portable_rsa(true);
    assert_eq!(RustCrypto.sign(Algorithm::Rs256, &key, b"", &Stuck(0)), Err(SigningError::Unusable));
}

/// Made by OpenSSL from the same numbers.
#[test]
fn every_format_is_the_same_key_and_becomes_openssls_pkcs8() {
    let [rsa, p256, _] = jwks();
    for (label, base64, jwk, pkcs8) in [
        ("PRIVATE KEY", RSA_PKCS8, &rsa, RSA_PKCS8),
        ("RSA PRIVATE KEY", RSA_PKCS1, &rsa, RSA_PKCS8),
        ("PRIVATE KEY", P256_PKCS8, &p256, P256_PKCS8),
        ("EC PRIVATE KEY", P256_SEC1, &p256, P256_PKCS8),
        ("EC PRIVATE KEY", P256_COMPRESSED, &p256, P256_PKCS8),
    ] {
        for key in [parse(&pem(label, base64)).unwrap(), parse(&jwk.to_string()).unwrap()] {
            assert_eq!(Base64::encode_string(key.pkcs8().unwrap().expose()), pkcs8, "{label}");
            assert_eq!(key.digest(), *published(jwk).id().as_bytes());
        }
    }
}

/// RFC 8410 §10.3: with and without the public half.
#[test]
fn ed25519_is_read_in_both_versions_of_pkcs8() {
    let first = "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC";
    let second = concat!(
        "MHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhCoB8wHQYKKoZIhvcNAQkJFDEPDA1DdXJkbGUgQ2hh",
        "aXJzgSEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="
    );
    let keys = [first, second].map(|base64| parse(&pem("PRIVATE KEY", base64)).unwrap());
    assert_eq!(keys[0].digest(), keys[1].digest());
    assert!(keys[0].pkcs8().is_none(), "no host signs with it");
    assert_eq!(error(&pem("PRIVATE KEY", &second.replace("wtrbL", "wtrbM"))), SigningKeyError::Inconsistent);
}

#[test]
fn pem_is_read_as_environments_mangle_it() {
    let good = pem("PRIVATE KEY", P256_PKCS8);
    let digest = parse(&good).unwrap().digest();
    let certificate = pem("CERTIFICATE", "AAAA");
    for text in [
        good.replace('\n', "\\n"),
        good.replace('\n', "\\r\\n"),
        good.replace('\n', "\r\n"),
        good.replace('\n', " "),
        good.replace('\n', ""),
        format!("\n\n  {good}  \n"),
        format!("{certificate}{good}{certificate}"),
        format!("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{good}"),
    ] {
        assert_eq!(parse(&text).unwrap().digest(), digest, "{text}");
    }
}

#[test]
fn every_text_that_is_no_key_is_told_why() {
    let good = pem("PRIVATE KEY", P256_PKCS8);
    let body = &P256_PKCS8[..64];
    for (text, expected) in [
        (String::new(), SigningKeyError::NoPrivateKey),
        ("hunter2".to_owned(), SigningKeyError::NoPrivateKey),
        (pem("CERTIFICATE", "AAAA"), SigningKeyError::NoPrivateKey),
        (pem("PUBLIC KEY", "AAAA"), SigningKeyError::NoPrivateKey),
        (good.repeat(2), SigningKeyError::TwoKeys),
        (good.replace("END PRIVATE", "END EC PRIVATE"), SigningKeyError::Pem),
        (good[..good.len() - 10].to_owned(), SigningKeyError::Pem),
        (good.replace(body, &body.replace('A', "!")), SigningKeyError::Pem),
        (good.replace("\n-----END", "\\x\n-----END"), SigningKeyError::Pem),
        (pem("ENCRYPTED PRIVATE KEY", "AAAA"), SigningKeyError::Encrypted),
        (pem("RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED AAAA"), SigningKeyError::Encrypted),
        (pem("OPENSSH PRIVATE KEY", "AAAA"), SigningKeyError::Label),
        (pem("DSA PRIVATE KEY", "AAAA"), SigningKeyError::Label),
        (pem("PRIVATE KEY", P256_SEC1), SigningKeyError::Der),
        (pem("RSA PRIVATE KEY", P256_SEC1), SigningKeyError::Kind),
        (pem("EC PRIVATE KEY", P256_PKCS8), SigningKeyError::Der),
        (pem("PRIVATE KEY", P384_PKCS8), SigningKeyError::Kind),
        ("x".repeat(MAX_SIGNING_KEY_BYTES), SigningKeyError::NoPrivateKey),
        ("x".repeat(MAX_SIGNING_KEY_BYTES + 1), SigningKeyError::TooLong),
        ("{".to_owned(), SigningKeyError::Json(JsonError::Syntax { line: 1, column: 1 })),
        ("{}".to_owned(), SigningKeyError::Key(KeyError::MemberMissing { member: "kty" })),
        (r#"{"kty":"oct","k":"AAAA"}"#.to_owned(), SigningKeyError::Kind),
        (r#"{"kty":"OKP","crv":"X25519"}"#.to_owned(), SigningKeyError::Kind),
        (r#"{"kty":"EC","crv":"P-384"}"#.to_owned(), SigningKeyError::Kind),
    ] {
        assert_eq!(error(&text), expected, "{text}");
    }
    assert_eq!(
        error(&pem("PRIVATE KEY", RSA_1024)),
        SigningKeyError::Key(KeyError::ModulusSize { bits: 1024 })
    );
}

#[test]
fn halves_that_do_not_belong_together_are_refused() {
    let [rsa, p256, ed25519] = jwks();
    let swapped = |jwk: &Value, one: &str, other: &str| {
        let (first, second) = (jwk[one].clone(), jwk[other].clone());
        let mut jwk = jwk.clone();
        (jwk[one], jwk[other]) = (second, first);
        jwk.to_string()
    };
    // Another number of the same length: the last digit but one, so that the encoding stays the one.
    let changed = |jwk: &Value, member: &str| {
        let mut text = jwk[member].as_str().unwrap().to_owned();
        let at = text.len() - 3;
        let other = if &text[at..=at] == "A" { "B" } else { "A" };
        text.replace_range(at..=at, other);
        with(jwk.clone(), member, json!(text))
    };
    for text in [
        changed(&rsa, "n"),
        changed(&rsa, "d"),
        changed(&rsa, "p"),
        changed(&rsa, "q"),
        changed(&rsa, "dp"),
        changed(&rsa, "dq"),
        changed(&rsa, "qi"),
        swapped(&rsa, "p", "q"),
        with(rsa.clone(), "e", json!("Aw")),
        with(rsa.clone(), "p", json!("AQ")),
        with(rsa.clone(), "p", json!("AA")),
        with(rsa.clone(), "p", json!("")),
        with(rsa.clone(), "q", rsa["p"].clone()),
        with(rsa.clone(), "p", rsa["n"].clone()),
        changed(&p256, "d"),
        with(p256.clone(), "d", json!("AA")),
        with(p256.clone(), "d", json!(Base64UrlUnpadded::encode_string(&[0; 32]))),
        with(p256.clone(), "d", json!(Base64UrlUnpadded::encode_string(&[0xff; 32]))),
        changed(&ed25519, "d"),
        changed(&ed25519, "x"),
        with(ed25519.clone(), "d", json!("AA")),
        with(ed25519.clone(), "x", json!("")),
    ] {
        assert_eq!(error(&text), SigningKeyError::Inconsistent, "{text}");
    }
    // The other way round a point is no point of the curve, or one that the private number does not give.
    assert_eq!(error(&swapped(&p256, "x", "y")), SigningKeyError::Inconsistent);
}

#[test]
fn a_jwk_names_its_key_and_narrows_it() {
    let [rsa, p256, ed25519] = jwks();
    let key = parse(&with(with_kid(&rsa), "alg", json!("PS256"))).unwrap();
    assert_eq!((key.kid(), key.algorithms()), (Some("2026-11"), AlgorithmSet::of(&[Algorithm::Ps256])));
    assert_ne!(key.digest(), parse(&rsa.to_string()).unwrap().digest());
    let long = "k".repeat(257);
    for (text, expected) in [
        (with(p256.clone(), "use", json!("enc")), SigningKeyError::Key(KeyError::Use)),
        (with(p256.clone(), "alg", json!("RS256")), SigningKeyError::Key(KeyError::Algorithm)),
        (with(p256.clone(), "key_ops", json!(["verify"])), SigningKeyError::Operations),
        (
            with(p256.clone(), "kid", json!(long)),
            SigningKeyError::Key(KeyError::MemberTooLong { member: "kid", limit: 256 }),
        ),
        (with(rsa.clone(), "oth", json!([])), SigningKeyError::Kind),
        (without(p256.clone(), "d"), SigningKeyError::Key(KeyError::MemberMissing { member: "d" })),
        (without(p256.clone(), "x"), SigningKeyError::Key(KeyError::MemberMissing { member: "x" })),
        (without(rsa.clone(), "p"), SigningKeyError::Key(KeyError::MemberMissing { member: "p" })),
        (without(rsa, "qi"), SigningKeyError::Key(KeyError::MemberMissing { member: "qi" })),
        (without(ed25519, "x"), SigningKeyError::Key(KeyError::MemberMissing { member: "x" })),
        (
            with(p256.clone(), "d", json!("a+b/")),
            SigningKeyError::Key(KeyError::MemberEncoding { member: "d" }),
        ),
    ] {
        assert_eq!(error(&text), expected, "{text}");
    }
    assert!(parse(&with(p256.clone(), "key_ops", json!(["sign"]))).is_ok());
    assert!(parse(&with(p256, "use", json!("sig"))).is_ok());
}

fn with_kid(jwk: &Value) -> Value {
    serde_json::from_str(&with(jwk.clone(), "kid", json!("2026-11"))).unwrap()
}

#[test]
fn a_text_that_ends_early_is_refused_and_does_not_trap() {
    let [_, p256, ed25519] = jwks();
    let texts = [
        pem("PRIVATE KEY", P256_PKCS8),
        pem("EC PRIVATE KEY", P256_SEC1),
        p256.to_string(),
        ed25519.to_string(),
    ];
    for text in texts {
        for end in 0..text.trim_end().len() {
            assert!(parse(&text[..end]).is_err(), "{}", &text[..end]);
        }
    }
}

/// Each byte of the DER: absent with all that follow, and replaced by others.
#[test]
fn der_that_is_damaged_anywhere_is_refused_or_the_same_key_and_does_not_trap() {
    let keys = [("PRIVATE KEY", P256_PKCS8), ("EC PRIVATE KEY", P256_SEC1), ("RSA PRIVATE KEY", RSA_PKCS1)];
    for (label, base64) in keys {
        let der = Base64::decode_vec(base64).unwrap();
        let digest = parse(&pem(label, base64)).unwrap().digest();
        for at in 0..der.len() {
            assert!(parse(&pem(label, &Base64::encode_string(&der[..at]))).is_err(), "{label}: {at}");
        }
        // Arithmetic with large numbers is slow here, so only the places around each number's beginning.
        for at in (0..der.len()).filter(|at| label != "RSA PRIVATE KEY" || *at < 32 || at % 97 == 0) {
            for other in [0, 1, 0x7f, 0x80, 0xff] {
                let mut der = der.clone();
                der[at] = other;
                if let Ok(key) = parse(&pem(label, &Base64::encode_string(&der))) {
                    assert_eq!(key.digest(), digest, "{label}: {other} at {at}");
                }
            }
        }
        let longer = [der.as_slice(), &[0]].concat();
        assert_eq!(error(&pem(label, &Base64::encode_string(&longer))), SigningKeyError::Der);
    }
}

#[test]
fn nothing_secret_is_shown() {
    let [rsa, p256, ed25519] = jwks();
    for jwk in [rsa, p256, ed25519] {
        let key = parse(&with_kid(&jwk).to_string()).unwrap();
        let shown = format!("{key:?}");
        assert!(shown.contains("2026-11") && shown.len() < 200, "{shown}");
        for member in ["d", "p", "q", "dp", "dq", "qi"] {
            let Some(secret) = jwk[member].as_str() else { continue };
            let damaged = with(jwk.clone(), member, json!(format!("{secret}!")));
            let text = error(&damaged).to_string();
            assert_eq!(text, format!("unusable key: `{member}` is not base64url"));
        }
    }
    let text = error(r#"{"kty":"OKP","crv":"Ed25519","d":"hunter2"hunter3"}"#).to_string();
    assert!(!text.contains("hunter"), "{text}");
}

#[test]
fn messages_say_what_to_do() {
    let texts = [
        (
            SigningKeyError::Label,
            "an unsupported private key format: convert it with `openssl pkcs8 -topk8 -nodes`",
        ),
        (
            SigningKeyError::Encrypted,
            "the private key is encrypted: decrypt it with `openssl pkcs8 -topk8 -nodes`",
        ),
        (SigningKeyError::TooLong, "longer than 16384 bytes"),
    ];
    for (error, text) in texts {
        assert_eq!(error.to_string(), text);
    }
}

const RSA_PKCS8: &str = concat!(
    "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQCh+BYK4uPJtGXOjS1lYmM2K5J9vinh8CR3/BYlzJChNuOL2TSX",
    "xbbqY913EeZ8dCn5VrD7io8ImtxLaYk8wTM/U+3QGbh3hCUv7JFP5IV3aVlL6kKA0ywPVb9ilE8TA5a8bpvfbr3SvaNnjuygxmj3",
    "AbONv/s4yDQs4v5tJ/reSlpIdJed1LnPmt7Ex1sFhSwsD174pcF1A5L5ROjtZMEQxrZHYJqkeDrrnGya11UxMFBji4NmXG9veoKj",
    "lnAqH2QbgtPr8jkiGUkftoaHLFcW9Qr4NY2ai50Xw0Byj3+H2JoY2PyrZ62EWQwuz3WTOTY8BwNNb2BvniHgVFbK5emhAgMBAAEC",
    "ggEAEq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7/GQ5sLKMgvfTeXZx9SE+7YwVol2NXOoAJe",
    "46sui395IW/GO+pWJ1O0BkTGoVEn2bKVRUCgu+GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzjkn439X0M/V51gfpRLI9JYanr",
    "C4D4qAdGcopV/0ZHHzQlBjudU2QvXt4ehNYTCBr6XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGUl/x/jTj3ccPDVZFD9pIuhLhBOneuf",
    "uBiB4cS98l2SR/RQyGWSeWjnczT0QU91p1DhOVRuOopznQKBgQDgHMQQ60imZV1URk0KpLttoLhyt3SmqdEf/kgHePDdtzEafpAu",
    "+cS191R2JiuoF2yzWXnwFDcqGigp5BNr0AHQfD8/Lk8l1Mk09jxxCfui5nYooNyac8YFjm3vItzVCVDnEd3BbVWG8qf6deqElMGA",
    "g+C2V0L4oNXnP7LZcPAZRwKBgQC5A8R+CZW2MvRTLLHzwZkUXV866cff7tx6kqa0finGG0KgeqlaZPxgCZnFp7AeAcCMtiynVlJ7",
    "vMVgePsLq6XtON4tB5kP9jAPrq3rbAOal78eUH5OcED6eNuCV8ixEu1eWcPNCS/l1OW1EnXUEoEHKl54Xrrz2uNwkgMTP1FZ1wKB",
    "gAcCn1dwJKufzBWQxWQp1vsM5fggqPN1qGb5y0MAk3g7/Ls5bkUp5u9SN0Ai3Ya6hNnvWJMb7sXQX6U/zyO2M/hTip7tUeh7CXgw",
    "o59dkpN75gJLVds29+DAncu3KXU4f2Fa+7bLNrur53k8KwPOq2bbuTG69QtV7Jr5MR0AHWKNAoGBAIf/evpitUf+4JYbLpvNXWcY",
    "052Mpz22aR84mY3nh3F2LF2mjMJDpTg7FmuyPcVw6EcGyoAe9fa65iNqCq+jdw6PVNGo2hxfjSiZ8IIzHdsPXI89//pMjZcQK9r+",
    "CCoRjaZjOYiIDktVWZzmevJuv6WywUqd57LE3Zar3dLSIkx1AoGAIYd7DHOhrWvxkwPQsRM2tOgrjbcrfvtQJipd+DlcxyVuuM9s",
    "QLdgjVk2oy26F0EmpScGLq2MowX7fhd/QJQ3ydy5cY7YIBi87w93IKLEdfnbJtoOPLUW0ITrJReOgo1cq9SbsxYawBgfp/gh6A56",
    "03k2+ZQwVK0JKSHuLFkuQ3U="
);
const RSA_PKCS1: &str = concat!(
    "MIIEowIBAAKCAQEAofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd/wWJcyQoTbji9k0l8W26mPddxHmfHQp+Vaw+4qPCJrcS2mJPMEz",
    "P1Pt0Bm4d4QlL+yRT+SFd2lZS+pCgNMsD1W/YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb/7OMg0LOL+bSf63kpaSHSXndS5z5re",
    "xMdbBYUsLA9e+KXBdQOS+UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6/I5IhlJH7aGhyxXFvUK+DWN",
    "moudF8NAco9/h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQIDAQABAoIBABKucaRpzQorw35SbEUAVx8dYXUdZOlJ",
    "cHtiWQ+dC6V8ljxAHj/PLyzTveyI5QO/xkObCyjIL303l2cfUhPu2MFaJdjVzqACXuOrLot/eSFvxjvqVidTtAZExqFRJ9mylUVA",
    "oLvhowVWmC1On95fZCXxTUtxNEG1Xcc7m0rtzJKs45J+N/V9DP1edYH6USyPSWGp6wuA+KgHRnKKVf9GRx80JQY7nVNkL17eHoTW",
    "Ewga+lwi0FEoW9Y7lDtWXYmKBWhUE+U8PGxlJf8f40493HDw1WRQ/aSLoS4QTp3rn7gYgeHEvfJdkkf0UMhlknlo53M09EFPdadQ",
    "4TlUbjqKc50CgYEA4BzEEOtIpmVdVEZNCqS7baC4crd0pqnRH/5IB3jw3bcxGn6QLvnEtfdUdiYrqBdss1l58BQ3KhooKeQTa9AB",
    "0Hw/Py5PJdTJNPY8cQn7ouZ2KKDcmnPGBY5t7yLc1QlQ5xHdwW1VhvKn+nXqhJTBgIPgtldC+KDV5z+y2XDwGUcCgYEAuQPEfgmV",
    "tjL0Uyyx88GZFF1fOunH3+7cepKmtH4pxhtCoHqpWmT8YAmZxaewHgHAjLYsp1ZSe7zFYHj7C6ul7TjeLQeZD/YwD66t62wDmpe/",
    "HlB+TnBA+njbglfIsRLtXlnDzQkv5dTltRJ11BKBBypeeF6689rjcJIDEz9RWdcCgYAHAp9XcCSrn8wVkMVkKdb7DOX4IKjzdahm",
    "+ctDAJN4O/y7OW5FKebvUjdAIt2GuoTZ71iTG+7F0F+lP88jtjP4U4qe7VHoewl4MKOfXZKTe+YCS1XbNvfgwJ3Ltyl1OH9hWvu2",
    "yza7q+d5PCsDzqtm27kxuvULVeya+TEdAB1ijQKBgQCH/3r6YrVH/uCWGy6bzV1nGNOdjKc9tmkfOJmN54dxdixdpozCQ6U4OxZr",
    "sj3FcOhHBsqAHvX2uuYjagqvo3cOj1TRqNocX40omfCCMx3bD1yPPf/6TI2XECva/ggqEY2mYzmIiA5LVVmc5nrybr+lssFKneey",
    "xN2Wq93S0iJMdQKBgCGHewxzoa1r8ZMD0LETNrToK423K377UCYqXfg5XMclbrjPbEC3YI1ZNqMtuhdBJqUnBi6tjKMF+34Xf0CU",
    "N8ncuXGO2CAYvO8PdyCixHX52ybaDjy1FtCE6yUXjoKNXKvUm7MWGsAYH6f4IegOetN5NvmUMFStCSkh7ixZLkN1"
);
const P256_PKCS8: &str = concat!(
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgya+p2EW6dRZrXCFXZ7HWk05Qw9s26JsSe4piKxIPZyGhRANCAARg",
    "/tS6JVqdMclh63TGNW1owEm4kjth+mzmaWIuYPKftnkD/hAIuLyZpBrp6VYovGTy8bIMLX6fUXejwpTURiKZ"
);
const P256_SEC1: &str = concat!(
    "MHcCAQEEIMmvqdhFunUWa1whV2ex1pNOUMPbNuibEnuKYisSD2choAoGCCqGSM49AwEHoUQDQgAEYP7UuiVanTHJYet0xjVtaMBJ",
    "uJI7Yfps5mliLmDyn7Z5A/4QCLi8maQa6elWKLxk8vGyDC1+n1F3o8KU1EYimQ=="
);
const P384_PKCS8: &str = concat!(
    "MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDAAAAAAAAAAAAAAAAAAAAAAya+p2EW6dRZrXCFXZ7HWk05Qw9s26JsS",
    "e4piKxIPZyGhZANiAAQHwjDSC1rLhOJ1EkXP6mxmKJK8+EhqAYEnql4WBJpv3Yq1Mm0PabW3COtZWrTtbvZVd7DbO8vUoKhDBuAz",
    "bvZcO3mUn4c7WzTRtmj+60QUOiW/4HncS+w26C6HrmQkGek="
);
const RSA_1024: &str = concat!(
    "MIICdwIBADANBgkqhkiG9w0BAQEFAASCAmEwggJdAgEAAoGBAKTf4p3+bvKWTOanYWl2BZyuJY2uTRotseb2YMk47tW5dUviFiMf",
    "27scZ8hopXwiC3iFZ41VNamy3HZZggg2RAfnWd/gkwiuYML2XGOdGGkvyb2DV5rguW7TmO7vqpJnw2/De5PN28BTh149GRYGOBQn",
    "HltZmu9MV/78b5Ry1mSJAgMBAAECgYAKFzW8a7UIndBJEZdxp+qCA1qDCFbpskBAHXYg+p4LcJVQNp8aOTnugreLWXQ/W6oOD0Qe",
    "L0fggfTiPWoq7H9PT1wwf/mzkqBts0zkhiHAid6W+7HZ3onVTgur87jGeuh0RpwaLwEqcEUB8wd+SjqtfAjkD5xndFiKjpTlHEoW",
    "gQJBANU/UrjxrWaJSdw2Wsjh1D27TVAhL244HSVzRxn5kJOLV5cAL0xKfORHiD051T2uMNLjRqzAykV5Ah5I73J0kJECQQDF7eIY",
    "PFnrXCSt/fbD20UgEM8nGLSQto8F+Jh94ueuYBnD6dJ4CQif2upbbpUc+wDVlDzJ7Sj/+nBBLX5P5RB5AkEAiM7YRlieU2MOpJ2m",
    "fqwLGxOYFSlFIaQUZttfKTXn4BCMQA7ZSUucdmPB7u20dZ7UKeevhtMksY9hoYZPQBGyUQJBALwyy9e1kt5q9+mE4N0sIhcyRHZt",
    "VEuBeo736K9SUG8Kq5UQQHKoTE4LTulvRVOQCyQJ1p895M046QHgawk2yikCQFX/PLSwhcIftLvUkcVLIcjJmdGfQKKesJWT2DaJ",
    "aXfLWbohTlPTNg+GuOBis8wS91IRMbNHC8qeXzRVExTvH+k="
);
const P256_COMPRESSED: &str = concat!(
    "MFcCAQEEIMmvqdhFunUWa1whV2ex1pNOUMPbNuibEnuKYisSD2choAoGCCqGSM49AwEHoSQDIgADYP7UuiVanTHJYet0xjVtaMBJ",
    "uJI7Yfps5mliLmDyn7Y="
);
const RSA_2049: &str = concat!(
    "MIIEpAIBAAKCAQEBhHEtzJx1TqjT4ga9UmQmt/qnVVzN7C13hq/vemi0QupaXLtZl40xdxuG3rookNKazAikJ4v8EozgGlcOkos7",
    "k8SopxL1jZF2O1EoA0tvbzTbqFWWz1ABnpB48PkhTlBcfW2hzOuzvIDLF3GKMX/X8r/szjjH6qRXS0zgCha07VUxfZirDHKauicI",
    "bn7BUQ2SE8KOUs2RtRkwypRXGp3Lfd8spTnREeATexFzdDiJaS5TYFFKxI+0HbpEYOXYogewDwAIwcx85sueMBFLigG/D9tGmMOF",
    "nO8CwQuZZYl/z8uFeWZgtb8diB/gcCRyW59hEXF9EyN9qk5bZJtxaTWjlQIDAQABAoIBAQCpOsXBRsi0pEjrSBRjOM7FiKYuQmhU",
    "ZNqWC0BCDCu8m20SyWyW4iSSx6NSlbfmoFpgWcNql0oSqt1XnGX04kPqdNslLtVb/+uKnCjahprd0CGCjQdO+oQ6GKcYFPG1tL0W",
    "yBSdunJrxZC1ffm+5vul/oeksIgoacC+RZe1zX61hi05Ia9Fn6D4bgg5hCGOdB3XFXCkulUsKwyljvPavctdxaW1thla8vSeS9gH",
    "9B1ThxcskJcOacuKLjfuHl/RR7r55dXpmtzNaY6Ov+VyckG+sc99cwXQ806nLWGJ8kAbMY0Gu1iUZrKkfP/8kg8BudA3OxpHXKGF",
    "r/JW6YkMgyphAoGBAbvOXsZfALuCfiSewf89CZ+p+8aJt/s8PRa0rIKL8+1jnQNOMAFX7pr9jb4evQFHEw9T7yTXh5ilgsw2lZqj",
    "G6FDulBGMlGrhz5gaH6tnwrBUcZn7f0zOA4b1pQ8BponWpkh4y1GK0ZYVYClM8OQCZYM3pXTx6UT6gW3HOntiRjDAoGBAOAQgApX",
    "YVCxGwEnEF3HNvq0fQuxdXjcj49bToiCdHJVf1CeBAKAPBKNbyMd2wbz8f9fBF29ZWivk1XEsGCSeOUa4k5mpoU/qEHBCmKuaPqX",
    "qyhmwGpSrf48FpnKSxLeuZUd+5FnHrdPf3MAgNNXzrpwbJYsAHSmBACweNzt+MzHAoGAHcaZyztihDIcHn7cSzCgLass7kQdKOkA",
    "vD5A+L1FD19IkIk1ZVGt+44ZbXEIg0Zue+/IsrMXMOGh5eufm/FnkClIHcyn4ZzdhQzY1e72JbWUs/gTGpLOJvwtKGLimoMba/y/",
    "DjGQA7c3fVsYHv3R9tRENs8vrN6qK9n+QZ+jPBsCgYAFEtqTYV8mwJvn7saEGRq5mpSqSx5p2jS1/k9M8AdK/3yeirV0iQrTMLiv",
    "huGKysNUEQa8SKmfMTqY2pdT2H08UtuFAvYKVmKs+n4Ntf1Sj1Sk2Y7J2Y1vEFVCrj3882YoZkFoDXm4lOhB5mUEZByeRCVxURXB",
    "jnDQwy45cnoLyQKBgQF2yGWJ4hnfGqgMWV9621d+BdGyhpDtd2UL8gpNmWnukuPjwANvEZxMD+UG+N1thGEu/VIUfhTG4rEOiIYX",
    "TotvA9cLUlov0A0waYlAGP7o895Dh/U3H77QYURkONZhuUDBYT66Ra9HiL3K2J6NSpXQviundharjWXP2N2hK9S8Kg=="
);
const RSA_2055: &str = concat!(
    "MIIEpgIBAAKCAQFiM7g+Ig9I9W18PFVWheGHAExR8Iv2/mHgJHyAX+KiTsvcQmXyfMIgpJossCB7CYbVFJk7+HmKLb4phsyIU417",
    "5Fu1d1rOx/E0fo6u0sz/eOF1xsnf39xh1RiNhFNsW3wcoRgkmc5oGYaEJ4MTqmCzCqrRHoIxou5ma5smEDPh/OvvtD0iB2ro43Ps",
    "WOQW1ReZdLxQ4uiu0XgWzDSkkReeSuXr1BQbpFZDb5TtF7fe17YUbrhhFu3l5tvn6268uNw9WxLpRa83gC4HjdBKIaITj6tszOy3",
    "mheQQVjiuGt0mc+y+EBZeukCgYxdToEBZo5ZQhDSLO+QwxrKaUgSj9tu9QIDAQABAoIBAQrZngy3ZKrx+wPUArXJmw54ePZAtqY2",
    "mwfR4DOq5HZ8cEfIykzNfgFvTl2LpDsT5WLboMaggIVE4pLiAu05FhPPOlbFdjIMo1jids9YGTBM4dRKf3mN2WKx0cGpEjKRtRfQ",
    "sMMyfzy/PT6SwwfENmTx08fBMC9dyitkzkKZXbIlZoO3d9YJXlnge4q6yGw4NoJlz6S4nAQztD2itq7BBUUDK0c1bos4mbFQbJwP",
    "szhzyI7lMi4t3JO3eeiJVYeeWVq00uDL2tg6I3zIP8j7DDk0czvja8ekqwrYCOqldiOiFNkRQuB/HG3vPZy0YweKKt5hBTf+7BYK",
    "ia2EeoSsVooNAoGBDOpUVVabr5cRu2hDDNBaSpRgfZ3P1CJEKZRy1kMdmNx8p8GSlGchweF8vjL/UKfOiSP7Ku6OhHxZ+M7TZ+bC",
    "89dWANmaNNfw8BTcx2uI1oQC63cfRUy61Gi5gs9tU7T0YzE/fHNEF8K2gb3jWm7Ci0spoyfyb/Z2rtSbQbo5mG1vAoGBB5p/2Jwc",
    "EJ7lt2mX8Gl+RnCmkxtKNPCvX1xzcueqk4JCMccY9M+D/zDWYZ3WGqHgTkEaYvA3NjLtGWbUSSBrvpKPUf6+ngr1G40XwQWHHF8g",
    "RH2gp8TMJZSGZSpLqoAtcy70IIAlmjyEUE7Pmfi8mqJ7JtCDHPc5Ba2tNvy0ML/bAoGBBDU0VLlq78JgXJaTgdFAGZxN858+3vZr",
    "DsD2ySgEtJDhbCZ9Ayy2qtw0MCOdW0HQ4I2Af3RJqpB5H78C0Y81ZQx7ULuUqjLQpOenJrG6W2mXKfAdmA5vsFSOXDgIfoUuOkMJ",
    "VBqZzMP7gjnDoOsFJyzN3AJf0mqSMFPEYZ2yth6xAoGBBnM23t7XI/ZXcrbd0HD9UO4BMKum0LAYZTH9Mc16szV9x9JYxlw/Yjzg",
    "r+CAHwmRSXEK3EFg5NZgsfq8POiG3hxf/jO3KkSrVtri+rggvJ2pttBHd+qHL54GQE2X8KRZaeu75tIuk9+gcqvYiooqHJeXFv8t",
    "KmZCdiG13f6TMQOfAoGBDOYuLLdhWQhCferoKI/WbHTsF8Ajz9FTjGXWQUHb2cm0KbeFceaGg3jJ9Ww8RQz29+NwALxTcQFlgOQr",
    "n8DWemtFfVg02wCDeYkS9UETO1a3duha1JVCd7RyjlKWj0UCjvkBwz3f+ci6sNGbm69UzvGuh7db2EQmVz3bDuhiPwCz"
);
