//! jwt-compact as a second reader: what it does not read and verify, we must not accept, but for members that we ignore whatever they
//! say: those of the header that name keys (RFC 8725 §3.5) and `cty`, and dates beyond its calendar. It asks our engines through its `Algorithm` trait, so that the two
//! readers are compared and not two implementations of RSA.

use core::cell::Cell;
use core::convert::Infallible;
use std::borrow::Cow;

use attache::base::{Random, Secret};
use attache::jose::{Algorithm, Crypto as _, Key, KeySet, RustCrypto, SigningKey, TokenParts, TokenWriter};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use jwt_compact::{AlgorithmExt as _, AlgorithmSignature, Empty, UntrustedToken};

/// Whether we accept the token.
fn ours(text: &str, key: &Key) -> bool {
    let Ok(parts) = TokenParts::decode(text) else { return false };
    parts.read().is_ok_and(|token| token.verify(key, &RustCrypto).is_ok())
}

/// Whether jwt-compact does, for this algorithm and no other.
fn theirs(text: &str, algorithm: Algorithm, key: &Key) -> bool {
    let engine = Checked { algorithm, said_yes: Cell::new(false) };
    let valid =
        UntrustedToken::new(text).is_ok_and(|token| engine.validator::<Empty>(key).validate(&token).is_ok());
    valid && engine.said_yes.get()
}

struct Checked {
    algorithm: Algorithm,
    said_yes: Cell<bool>,
}

impl jwt_compact::Algorithm for Checked {
    type SigningKey = Infallible;
    type VerifyingKey = Key;
    type Signature = Bytes;

    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(self.algorithm.name())
    }

    fn sign(&self, key: &Infallible, _: &[u8]) -> Bytes {
        match *key {}
    }

    fn verify_signature(&self, signature: &Bytes, key: &Key, message: &[u8]) -> bool {
        self.said_yes.set(RustCrypto.verify(self.algorithm, key, message, &signature.0).is_ok());
        self.said_yes.get()
    }
}

struct Bytes(Vec<u8>);

impl AlgorithmSignature for Bytes {
    fn try_from_slice(bytes: &[u8]) -> anyhow::Result<Self> {
        Ok(Self(bytes.to_vec()))
    }

    fn as_bytes(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.0)
    }
}

/// A token of each algorithm, with its key.
fn samples() -> Vec<(Algorithm, Key, String)> {
    let samples: serde_json::Value = serde_json::from_str(include_str!("tokens.json")).unwrap();
    let samples = samples.as_array().unwrap().iter().map(|sample| {
        let set = serde_json::json!({ "keys": [sample["jwk"]] }).to_string();
        let key = Key::clone(KeySet::parse_inline(set.as_bytes()).unwrap().set.iter().next().unwrap());
        let algorithm = Algorithm::parse(sample["alg"].as_str().unwrap()).unwrap();
        (algorithm, key, sample["token"].as_str().unwrap().to_owned())
    });
    samples.collect()
}

#[test]
fn both_readers_accept_a_token_of_every_algorithm() {
    let samples = samples();
    assert_eq!(samples.len(), Algorithm::ALL.len());
    for (algorithm, key, text) in samples {
        assert!(ours(&text, &key) && theirs(&text, algorithm, &key), "{algorithm}");
    }
}

/// Where a salt or a mask is drawn, any will do.
struct Ones;

impl Random for Ones {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(1);
    }
}

/// jwt-compact writes the token, our engine signs it, and both read it.
#[test]
fn both_readers_accept_what_we_sign_with_every_algorithm_that_we_sign_with() {
    let keys: Vec<serde_json::Value> = serde_json::from_str(include_str!("signing_keys.json")).unwrap();
    let mut signed = 0;
    for key in keys {
        let key = SigningKey::parse(&Secret::new(key["jwk"].to_string())).unwrap().allow_portable_rsa(true);
        for algorithm in key.algorithms().iter() {
            let writer = TokenWriter {
                algorithm: algorithm.name(),
                typ: Some("JWT"),
                kid: key.kid(),
                thumbprint: None,
            };
            let sign = |message: &[u8]| RustCrypto.sign(algorithm, &key, message, &Ones);
            let token = writer.write(serde_json::json!({ "exp": 1_893_456_000 }), sign).unwrap();
            let (own, public) = (ours(&token, key.public()), key.public());
            assert!(own && theirs(&token, algorithm, public), "{algorithm}");
            signed += 1;
        }
    }
    assert_eq!(signed, 8);
}

/// Every character of the parts that are read, and some of the signature, replaced, dropped and doubled.
#[test]
fn no_damaged_token_is_accepted_that_the_second_reader_refuses() {
    let mut refused = 0;
    for (algorithm, key, text) in samples() {
        let signature = text.rfind('.').unwrap();
        let places = (0..text.len()).filter(|at| *at <= signature || at % 7 == 0 || *at + 3 > text.len());
        for at in places {
            for other in ["A", "_", ".", "=", "", "AA"] {
                let damaged = format!("{}{other}{}", &text[..at], &text[at + 1..]);
                let verdict = ours(&damaged, &key);
                assert!(!verdict || theirs(&damaged, algorithm, &key), "{algorithm}: {other:?} at {at}");
                assert!(!verdict || damaged == text, "{algorithm}: {other:?} at {at}");
                refused += usize::from(!verdict);
            }
        }
    }
    assert!(refused > 10_000, "{refused}");
}

/// Signed by the right key, so that only the readers can refuse.
#[test]
fn our_reader_is_laxer_only_about_members_that_it_ignores() {
    let (_, key, _) = samples().into_iter().find(|(algorithm, ..)| *algorithm == Algorithm::Hs256).unwrap();
    let bodies = [
        (r#"{"alg":"HS256"}"#, r#"{"exp":1893456000}"#, true, true),
        (r#"{"alg":"HS256","kid":"a","typ":"JWT","x":1}"#, "{}", true, true),
        // RFC 7515 §4.1.11, RFC 7797, and what two readers can read differently.
        (r#"{"alg":"HS256","crit":["exp"]}"#, "{}", false, true),
        (r#"{"alg":"HS256","b64":false}"#, "{}", false, true),
        (r#"{"alg":"HS256","zip":"DEF"}"#, "{}", false, true),
        // What changes nothing is as good as absent.
        (r#"{"alg":"HS256","b64":true,"zip":""}"#, "{}", true, true),
        (r#"{"alg":"HS256","b64":null,"zip":null}"#, "{}", true, true),
        (r#"{"alg":"HS256","typ":null,"cty":null,"kid":null}"#, "{}", true, true),
        (r#"{"alg":"HS256","kid":"","cty":"JSON"}"#, "{}", true, true),
        (r#"{"alg":"HS256","cty":""}"#, "{}", true, false),
        (r#"{"alg":"HS256","cty":"JWT"}"#, "{}", true, false),
        (r#"{"alg":"HS256","cty":"application/json"}"#, "{}", true, false),
        (r#"{"alg":"HS256","cty":7}"#, "{}", true, false),
        // Such dates never come; what they mean is for the rules of claims.
        (r#"{"alg":"HS256"}"#, r#"{"exp":32503680000000}"#, true, false),
        (r#"{"alg":"HS256"}"#, r#"{"exp":9223372036854775807}"#, true, false),
        (r#"{"alg":"HS256"}"#, r#"{"sub":"a","sub":"b"}"#, false, true),
        (r#"{"alg":"HS256","jku":5}"#, "{}", true, false),
        (r#"{"alg":"HS256","x5u":[]}"#, "{}", true, false),
        (r#"{"alg":"HS256","x5t":"!"}"#, "{}", true, false),
        (r#"{"alg":"HS256","x5t#S256":1}"#, "{}", true, false),
        (r#"{"alg":"none"}"#, "{}", false, false),
        (r#"{"alg":"HS384"}"#, "{}", false, false),
        (r#"{"alg":"HS256","alg":"HS256"}"#, "{}", false, false),
        (r#"{"alg":"HS256"}"#, "[]", false, false),
        (r#"{"alg":"HS256"}"#, "{} {}", false, false),
    ];
    for (header, claims, we_accept, they_accept) in bodies {
        let text = signed_raw(header, claims);
        let verdicts = (ours(&text, &key), theirs(&text, Algorithm::Hs256, &key));
        assert_eq!(verdicts, (we_accept, they_accept), "{header} {claims}");
    }
}

/// Signed with the secret of the samples, whatever it says.
fn signed_raw(header: &str, claims: &str) -> String {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let secret: Vec<u8> = (0..64).collect();
    let encode = |bytes: &[u8]| Base64UrlUnpadded::encode_string(bytes);
    let message = format!("{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()));
    let mac = Hmac::<sha2::Sha256>::new_from_slice(&secret).unwrap().chain_update(&message);
    format!("{message}.{}", encode(&mac.finalize().into_bytes()))
}
