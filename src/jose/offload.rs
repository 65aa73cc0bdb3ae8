//! What Envoy's `verify_signature` and `sign` want and answer: protobuf messages and DER signatures.
//!
//! No host call is made here, so all of it runs in native tests. Envoy: `source/extensions/common/wasm/foreign.cc`.

use std::borrow::Cow;

use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};
use zeroize::Zeroizing;

use super::algorithm::Algorithm;
use super::crypto::{SignatureError, SigningError};
use super::key::Key;
use super::signing_key::SigningKey;

/// The name under which Envoy registers the function that checks.
pub const FUNCTION: &str = "verify_signature";
/// The name of the one that signs, from Envoy 1.37 on.
pub const SIGN_FUNCTION: &str = "sign";

/// The algorithms that it signs with, of those that our keys are for.
pub const SIGNING: [Algorithm; 4] = [Algorithm::Rs256, Algorithm::Rs384, Algorithm::Rs512, Algorithm::Es256];

/// The algorithms that BoringSSL checks for us there: neither RSASSA-PSS nor EdDSA nor HMAC.
pub const ALGORITHMS: [Algorithm; 6] = [
    Algorithm::Rs256,
    Algorithm::Rs384,
    Algorithm::Rs512,
    Algorithm::Es256,
    Algorithm::Es384,
    Algorithm::Es512,
];

/// The function's arguments, encoded. `signature` is in JOSE's encoding and [`admissible`](super::admissible) already.
pub fn arguments(
    algorithm: Algorithm,
    key: &Key,
    message: &[u8],
    signature: &[u8],
) -> Result<Vec<u8>, SignatureError> {
    let not_for_key = SignatureError::AlgorithmNotForKey { algorithm };
    let as_it_is = Cow::Borrowed(signature);
    let (hash_function, signature) = match algorithm {
        Algorithm::Rs256 => ("sha256", as_it_is),
        Algorithm::Rs384 => ("sha384", as_it_is),
        Algorithm::Rs512 => ("sha512", as_it_is),
        Algorithm::Es256 => ("sha256", p256_der(signature)?.into()),
        Algorithm::Es384 => ("sha384", p384_der(signature)?.into()),
        Algorithm::Es512 => ("sha512", p521_der(signature)?.into()),
        Algorithm::Hs256
        | Algorithm::Hs384
        | Algorithm::Hs512
        | Algorithm::Ps256
        | Algorithm::Ps384
        | Algorithm::Ps512
        | Algorithm::EdDsa => return Err(not_for_key),
    };
    Ok(encode(&[hash_function.as_bytes(), key.spki().ok_or(not_for_key)?, &signature, message]))
}

/// The arguments of [`SIGN_FUNCTION`], encoded: the private key is among them, so they are wiped when dropped.
pub fn sign_arguments(
    algorithm: Algorithm,
    key: &SigningKey,
    message: &[u8],
) -> Result<Zeroizing<Vec<u8>>, SigningError> {
    let not_for_key = SigningError::AlgorithmNotForKey { algorithm };
    let hash_function = match algorithm {
        Algorithm::Rs256 | Algorithm::Es256 => "sha256",
        Algorithm::Rs384 => "sha384",
        Algorithm::Rs512 => "sha512",
        Algorithm::Hs256
        | Algorithm::Hs384
        | Algorithm::Hs512
        | Algorithm::Es384
        | Algorithm::Es512
        | Algorithm::Ps256
        | Algorithm::Ps384
        | Algorithm::Ps512
        | Algorithm::EdDsa => return Err(not_for_key),
    };
    if !key.algorithms().contains(algorithm) {
        return Err(not_for_key);
    }
    let pkcs8 = key.pkcs8().ok_or(not_for_key)?;
    Ok(Zeroizing::new(encode(&[hash_function.as_bytes(), pkcs8.expose(), message])))
}

/// The fields 1, 2, 3… of a message. Reserves their room at once: a buffer that grows leaves its contents behind.
fn encode(fields: &[&[u8]]) -> Vec<u8> {
    let mut bytes =
        Vec::with_capacity(fields.iter().fold(MAX_FRAMING, |sum, field| sum.saturating_add(field.len())));
    for (tag, field) in (1..).zip(fields) {
        encode_key(tag, WireType::LengthDelimited, &mut bytes);
        encode_varint(u64::try_from(field.len()).unwrap_or(u64::MAX), &mut bytes);
        bytes.extend_from_slice(field);
    }
    bytes
}

/// The function's answer: `Some(verdict)`, or `None` when the bytes are no answer. An answer without a verdict is
/// `false`, as protobuf leaves out what is false.
pub fn verdict(answer: &[u8]) -> Option<bool> {
    VerifySignatureResult::decode(answer).ok().map(|answer| answer.result)
}

/// The signature in the answer of [`SIGN_FUNCTION`], in JOSE's encoding; `None` when there is none.
pub fn signature(algorithm: Algorithm, answer: &[u8]) -> Option<Vec<u8>> {
    let SignResult { result: true, signature } = SignResult::decode(answer).ok()? else { return None };
    match algorithm {
        Algorithm::Rs256 | Algorithm::Rs384 | Algorithm::Rs512 => Some(signature),
        Algorithm::Es256 => Some(p256::ecdsa::Signature::from_der(&signature).ok()?.to_bytes().to_vec()),
        Algorithm::Hs256
        | Algorithm::Hs384
        | Algorithm::Hs512
        | Algorithm::Ps256
        | Algorithm::Ps384
        | Algorithm::Ps512
        | Algorithm::Es384
        | Algorithm::Es512
        | Algorithm::EdDsa => None,
    }
}

// The checks of r and s in [1, n-1] are `from_slice`'s.
fn p256_der(signature: &[u8]) -> Result<Vec<u8>, SignatureError> {
    let signature = p256::ecdsa::Signature::from_slice(signature).map_err(|_| SignatureError::OutOfRange)?;
    Ok(signature.to_der().as_bytes().to_vec())
}

fn p384_der(signature: &[u8]) -> Result<Vec<u8>, SignatureError> {
    let signature = p384::ecdsa::Signature::from_slice(signature).map_err(|_| SignatureError::OutOfRange)?;
    Ok(signature.to_der().as_bytes().to_vec())
}

fn p521_der(signature: &[u8]) -> Result<Vec<u8>, SignatureError> {
    let signature = p521::ecdsa::Signature::from_slice(signature).map_err(|_| SignatureError::OutOfRange)?;
    Ok(signature.to_der().as_bytes().to_vec())
}

/// Four fields at most, each with a key of one byte and a length of at most ten.
const MAX_FRAMING: usize = 44;

/// `envoy.source.extensions.common.wasm.VerifySignatureArguments`, of which [`arguments`] writes each field without a copy.
#[cfg(test)]
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct VerifySignatureArguments {
    #[prost(string, tag = "1")]
    hash_function: String,
    #[prost(bytes = "vec", tag = "2")]
    public_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    signature: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    text: Vec<u8>,
}

/// `envoy.source.extensions.common.wasm.VerifySignatureResult`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct VerifySignatureResult {
    #[prost(bool, tag = "1")]
    result: bool,
    #[prost(string, tag = "2")]
    error: String,
}

/// `envoy.source.extensions.common.wasm.SignResult`, without the text of an error, which nobody reads.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct SignResult {
    #[prost(bool, tag = "1")]
    result: bool,
    #[prost(bytes = "vec", tag = "2")]
    signature: Vec<u8>,
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::unwrap_in_result)]
mod tests {
    use super::super::KeySet;
    use super::*;

    const P256: &[u8] = br#"{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;

    fn fields(algorithm: Algorithm, signature: &[u8]) -> Result<VerifySignatureArguments, SignatureError> {
        let set = KeySet::parse(P256).unwrap().set;
        let bytes = arguments(algorithm, set.iter().next().unwrap(), b"text", signature)?;
        Ok(VerifySignatureArguments::decode(&bytes[..]).unwrap())
    }

    #[test]
    fn a_signature_becomes_the_shortest_der() {
        let mut signature = [0; 64];
        (signature[31], signature[32]) = (1, 0x80);
        let fields = fields(Algorithm::Es256, &signature).unwrap();
        assert_eq!((fields.hash_function.as_str(), fields.text.as_slice()), ("sha256", &b"text"[..]));
        let mut der = vec![0x30, 38, 2, 1, 1, 2, 33, 0, 0x80];
        der.resize(40, 0);
        assert_eq!(fields.signature, der);
        // SEQUENCE, SEQUENCE { id-ecPublicKey, prime256v1 }, BIT STRING 04 ‖ x ‖ y.
        assert_eq!(fields.public_key.len(), 91);
        assert_eq!(fields.public_key[..4], [0x30, 0x59, 0x30, 0x13]);
    }

    #[test]
    fn what_boringssl_does_not_check_is_not_asked() {
        assert_eq!(fields(Algorithm::Es256, &[0; 64]), Err(SignatureError::OutOfRange));
        assert_eq!(fields(Algorithm::Es256, &[0xff; 64]), Err(SignatureError::OutOfRange));
        for algorithm in Algorithm::ALL.into_iter().filter(|one| !ALGORITHMS.contains(one)) {
            assert_eq!(fields(algorithm, &[1; 64]), Err(SignatureError::AlgorithmNotForKey { algorithm }));
        }
    }

    #[test]
    fn the_arguments_to_sign_are_hash_key_and_text() {
        let key = known_key();
        let bytes = sign_arguments(Algorithm::Es256, &key, b"text").unwrap();
        // The same fields, by another message's numbers.
        let fields = VerifySignatureArguments::decode(&bytes[..]).unwrap();
        assert_eq!((fields.hash_function.as_str(), fields.signature.as_slice()), ("sha256", &b"text"[..]));
        assert_eq!(fields.public_key, key.pkcs8().unwrap().expose());
        assert!(bytes.capacity() <= bytes.len() + MAX_FRAMING, "it has not grown");
        for algorithm in Algorithm::ALL.into_iter().filter(|one| *one != Algorithm::Es256) {
            let error = Some(SigningError::AlgorithmNotForKey { algorithm });
            assert_eq!(sign_arguments(algorithm, &key, b"text").err(), error);
        }
    }

    fn known_key() -> SigningKey {
        let keys: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/conformance/signing_keys.json")).unwrap();
        SigningKey::parse(&crate::base::Secret::new(keys[1]["jwk"].to_string())).unwrap()
    }

    #[test]
    fn a_signature_comes_back_in_joses_encoding_or_not_at_all() {
        let answer = |result: bool, signature: &[u8]| {
            SignResult { result, signature: signature.to_vec() }.encode_to_vec()
        };
        let mut jose = [0; 64];
        (jose[31], jose[63]) = (1, 2);
        let der = [0x30, 6, 2, 1, 1, 2, 1, 2];
        assert_eq!(signature(Algorithm::Es256, &answer(true, &der)), Some(jose.to_vec()));
        assert_eq!(signature(Algorithm::Rs256, &answer(true, &der)), Some(der.to_vec()));
        assert_eq!(signature(Algorithm::Es256, &answer(false, &der)), None);
        assert_eq!(
            signature(Algorithm::Rs256, &[answer(false, b"").as_slice(), b"\x1a\x03bad"].concat()),
            None
        );
        assert_eq!(signature(Algorithm::Es256, &answer(true, &der[..7])), None);
        assert_eq!(signature(Algorithm::Es256, &answer(true, &jose)), None);
        assert_eq!(signature(Algorithm::EdDsa, &answer(true, &jose)), None);
        assert_eq!(signature(Algorithm::Ps256, &answer(true, &jose)), None);
        assert_eq!(signature(Algorithm::Rs256, b"true"), None);
        assert_eq!(signature(Algorithm::Rs256, b""), None);
    }

    #[test]
    fn only_a_plain_yes_is_a_yes() {
        assert_eq!(verdict(&[8, 1]), Some(true));
        assert_eq!(verdict(&[8, 0]), Some(false));
        assert_eq!(verdict(&[]), Some(false));
        assert_eq!(verdict(b"\x12\x03bad"), Some(false));
        assert_eq!(verdict(&[8]), None);
        assert_eq!(verdict(b"true"), None);
    }
}
