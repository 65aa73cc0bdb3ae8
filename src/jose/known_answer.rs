//! Signatures whose verdict is known: an engine that gets one of them wrong, either way, is not used. And a key to sign
//! with, for an engine that may not be there.
//!
//! Made once for this purpose with OpenSSL over one message; the private keys were not kept.

use std::rc::Rc;

use super::algorithm::Algorithm;
use super::base64url;
use super::crypto::{Crypto as _, SignatureError, SigningError};
use super::json::Object;
use super::key::Key;
use super::key_set::KeySet;
use super::rust_crypto::RustCrypto;
use super::signing_key::SigningKey;
use crate::base::Secret;

/// Whether `check`, of a key, a message and a signature, accepts the known signature of `algorithm` and refuses it when
/// one bit of it, or one of the message, is changed. `false` for algorithms of which no answer is known.
pub fn passes(
    algorithm: Algorithm,
    check: impl Fn(&Key, &[u8], &[u8]) -> Result<(), SignatureError>,
) -> bool {
    let Some((key, signature)) = known(algorithm) else {
        return false;
    };
    let mut forged = signature.clone();
    if let Some(last) = forged.last_mut() {
        *last ^= 1;
    }
    let mismatch = Err(SignatureError::Mismatch);
    check(&key, MESSAGE, &signature) == Ok(())
        && check(&key, MESSAGE, &forged) == mismatch
        && check(&key, b"attache: another message", &signature) == mismatch
}

/// Whether `sign`, of a key and a message, signs with ES256, and signs what verifies: tried with a key that everybody
/// knows (RFC 6979 §A.2.5).
pub fn signs(sign: impl Fn(&SigningKey, &[u8]) -> Result<Vec<u8>, SigningError>) -> bool {
    let Ok(key) = SigningKey::parse(&Secret::new(SIGNING_KEY)) else {
        return false;
    };
    let signature = sign(&key, MESSAGE);
    signature.is_ok_and(|made| RustCrypto.verify(Algorithm::Es256, key.public(), MESSAGE, &made).is_ok())
}

/// The key and the signature over [`MESSAGE`].
fn known(algorithm: Algorithm) -> Option<(Rc<Key>, Vec<u8>)> {
    let answers = Object::parse(KNOWN_ANSWERS).ok()?;
    let signature = answers.get("signatures")?.as_object()?.get(algorithm.name())?.as_str()?;
    let keys = KeySet::parse(KNOWN_ANSWERS).ok()?.set;
    let key = Rc::clone(keys.candidates(algorithm, None).next()?);
    Some((key, base64url::decode(signature.as_bytes())?))
}

/// What was signed.
const MESSAGE: &[u8] = b"attache: known answer";

/// A key set, and what its keys made of [`MESSAGE`].
const KNOWN_ANSWERS: &[u8] = include_bytes!("known_answers.json");
const SIGNING_KEY: &str = concat!(
    r#"{"kty":"EC","crv":"P-256","d":"ya-p2EW6dRZrXCFXZ7HWk05Qw9s26JsSe4piKxIPZyE","x":"YP7UuiVanTHJYet0xjV"#,
    r#"taMBJuJI7Yfps5mliLmDyn7Y","y":"eQP-EAi4vJmkGunpVii8ZPLxsgwtfp9Rd6PClNRGIpk"}"#
);

#[cfg(test)]
mod tests {
    use super::super::offload::ALGORITHMS;
    use super::*;
    use crate::base::Random;

    #[test]
    fn the_portable_engine_knows_every_answer_and_a_yes_man_none() {
        for algorithm in ALGORITHMS {
            let check = |key: &Key, message: &[u8], signature: &[u8]| {
                RustCrypto.verify(algorithm, key, message, signature)
            };
            assert!(passes(algorithm, check), "{algorithm}");
            assert!(!passes(algorithm, |_, _, _| Ok(())), "{algorithm}");
        }
    }

    struct Zeros;

    impl Random for Zeros {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0);
        }
    }

    #[test]
    fn the_portable_engine_signs_and_garbage_is_no_signature() {
        assert!(signs(|key, message| RustCrypto.sign(Algorithm::Es256, key, message, &Zeros)));
        assert!(!signs(|_, _| Ok(vec![0; 64])));
    }
}
