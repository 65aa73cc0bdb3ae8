//! Keys that sign, from the operator's text to a signature that the public half checks. A key whose numbers belong together is
//! taken in each format; one whose numbers do not is not.
//!
//! Random bytes are hardly ever a key, so most inputs choose among keys, formats and faults: the first byte says which.

use attache::base::Secret;
use attache::jose::{Algorithm, Crypto as _, RustCrypto, SigningKey, offload};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::input::Input;
use crate::json_mutator;
use crate::random::Drawn;

#[path = "key_formats.rs"]
mod formats;

use formats::{Curve, Format, Key};

pub(super) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() {
        b'R' => made(&mut input, rsa),
        b'E' => made(&mut input, |input| elliptic(Curve::P256, input)),
        b'O' => made(&mut input, |input| elliptic(Curve::Ed25519, input)),
        label @ b'1'..=b'4' => {
            let label = LABELS[usize::from(label - b'1')];
            given(formats::pem(label, input.rest()).into_bytes());
        }
        _ => given(data.to_vec()),
    }
    for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
        if let Some(signature) = offload::signature(algorithm, data) {
            assert!(
                algorithm != Algorithm::Es256 || signature.len() == 64,
                "r and s of {} bytes",
                signature.len()
            );
        }
    }
    let _ = offload::verdict(data);
}

pub(super) fn mutate(data: &[u8], seed: u32) -> Option<Vec<u8>> {
    (data.first() == Some(&b'{')).then(|| json_mutator::mutate(data, seed, WORDS))?
}

/// Any text: nothing traps, and what is taken signs.
fn given(text: Vec<u8>) {
    match SigningKey::parse(&Secret::new(text)) {
        Ok(key) => signs(key.allow_portable_rsa(true), 0),
        Err(error) => drop(error.to_string()),
    }
}

/// A key whose numbers belong together, in a format, and perhaps with one bit of one number changed.
fn made(input: &mut Input<'_>, key: impl FnOnce(&mut Input<'_>) -> Key) {
    let format = input.one_of(&[Format::Jwk, Format::Pkcs8, Format::Own, Format::OwnWithoutPublic]);
    let algorithm = usize::from(input.byte());
    let fault = input.byte();
    let (byte, bit) = (input.byte(), input.byte() % 8);
    let mut key = key(input);
    let is_sound = fault < 0x80;
    if !is_sound {
        let number = key.number_mut(fault);
        let byte = usize::from(byte) % number.len();
        number[byte] ^= 1 << bit;
    }
    let text = key.text(format);
    let parsed = SigningKey::parse(&Secret::new(text.clone().into_bytes()));
    match parsed {
        Ok(_) if !is_sound && key.tells_twice(format) => panic!("its numbers do not belong together: {text}"),
        Err(error) if is_sound => panic!("{error}: {text}"),
        Ok(key) => signs(key.allow_portable_rsa(true), algorithm),
        Err(error) => drop(error.to_string()),
    }
}

/// Signs with one of the key's algorithms, and has the public half check it.
fn signs(key: SigningKey, algorithm: usize) {
    let algorithms: Vec<Algorithm> = key.algorithms().iter().collect();
    assert!(!algorithms.is_empty(), "a key for nothing");
    let _ = (key.kid(), key.digest(), key.pkcs8(), format!("{key:?}"));
    for algorithm in &algorithms {
        let _ = offload::sign_arguments(*algorithm, &key, MESSAGE);
    }
    let algorithm = algorithms[algorithm % algorithms.len()];
    match RustCrypto.sign(algorithm, &key, MESSAGE, &Drawn::new()) {
        Ok(signature) => {
            let verdict = RustCrypto.verify(algorithm, key.public(), MESSAGE, &signature);
            assert_eq!(verdict, Ok(()), "{algorithm}: its own signature");
        }
        Err(error) => drop(error.to_string()),
    }
}

fn rsa(input: &mut Input<'_>) -> Key {
    let keys: Vec<Value> = serde_json::from_str(include_str!("rsa_keys.json")).unwrap();
    let chosen = usize::from(input.byte());
    let key = &keys[chosen % keys.len()];
    let number = |name: &str| Base64UrlUnpadded::decode_vec(key[name].as_str().unwrap()).unwrap();
    let names = ["n", "e", "d", "p", "q", "dp", "dq", "qi"];
    Key::Rsa(names.map(|name| (name, number(name))).to_vec())
}

fn elliptic(curve: Curve, input: &mut Input<'_>) -> Key {
    let secret: [u8; 32] = Sha256::digest(input.rest()).into();
    let numbers = match curve {
        Curve::P256 => {
            let key = p256::ecdsa::SigningKey::from_bytes(&secret.into()).unwrap();
            let point = key.verifying_key().to_sec1_point(false);
            let (x, y) = point.as_bytes()[1..].split_at(32);
            vec![("d", secret.to_vec()), ("x", x.to_vec()), ("y", y.to_vec())]
        }
        Curve::Ed25519 => {
            let key = ed25519_dalek::SigningKey::from_bytes(&secret);
            vec![("d", secret.to_vec()), ("x", key.verifying_key().to_bytes().to_vec())]
        }
    };
    Key::Elliptic(curve, numbers)
}

const MESSAGE: &[u8] = b"message";
const LABELS: [&str; 4] = ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY"];

const WORDS: &[&str] = &[
    "kty", "kid", "use", "alg", "key_ops", "n", "e", "d", "p", "q", "dp", "dq", "qi", "oth", "x", "y", "crv",
    "RSA", "EC", "OKP", "sig", "sign", "verify", "P-256", "Ed25519", "AQAB", "AA", "AQ", "Aw", "RS256",
    "PS256", "ES256", "EdDSA",
];
