//! What Envoy's `verify_signature` and `sign` want and answer: protobuf messages and DER signatures.
//!
//! No host call is made here, so all of it runs in native tests. Envoy: `source/extensions/common/wasm/foreign.cc`.

use std::borrow::Cow;

use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};
use zeroize::Zeroizing;

use super::algorithm::{Algorithm, Hash, Scheme};
use super::crypto::{SignatureError, SigningError};
use super::der;
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
    let signature: Cow<'_, [u8]> = match (algorithm.scheme(), algorithm.hash()) {
        (Scheme::RsaPkcs1, _) => signature.into(),
        (Scheme::Ecdsa, Hash::Sha256) => der_of(signature, &P256_ORDER)?.into(),
        (Scheme::Ecdsa, Hash::Sha384) => der_of(signature, &P384_ORDER)?.into(),
        (Scheme::Ecdsa, Hash::Sha512) => der_of(signature, &P521_ORDER)?.into(),
        (Scheme::Hmac | Scheme::RsaPss | Scheme::EdDsa, _) => return Err(not_for_key),
    };
    Ok(encode(&[algorithm.hash().name().as_bytes(), key.spki().ok_or(not_for_key)?, &signature, message]))
}

/// The arguments of [`SIGN_FUNCTION`], encoded: the private key is among them, so they are wiped when dropped.
pub fn sign_arguments(
    algorithm: Algorithm,
    key: &SigningKey,
    message: &[u8],
) -> Result<Zeroizing<Vec<u8>>, SigningError> {
    let not_for_key = SigningError::AlgorithmNotForKey { algorithm };
    if !SIGNING.contains(&algorithm) || !key.algorithms().contains(algorithm) {
        return Err(not_for_key);
    }
    let pkcs8 = key.pkcs8().ok_or(not_for_key)?;
    Ok(Zeroizing::new(encode(&[algorithm.hash().name().as_bytes(), pkcs8.expose(), message])))
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
    match (algorithm.scheme(), algorithm.hash()) {
        (Scheme::RsaPkcs1, _) => Some(signature),
        (Scheme::Ecdsa, Hash::Sha256) => {
            Some(p256::ecdsa::Signature::from_der(&signature).ok()?.to_bytes().to_vec())
        }
        (Scheme::Ecdsa | Scheme::Hmac | Scheme::RsaPss | Scheme::EdDsa, _) => None,
    }
}

/// An ECDSA signature as DER wants it (RFC 3279 §2.2.3): r and s as numbers. Each is in [1, n-1], n being the order of
/// the curve.
fn der_of(signature: &[u8], order: &[u8]) -> Result<Vec<u8>, SignatureError> {
    let (r, s) = signature.split_at_checked(order.len()).ok_or(SignatureError::OutOfRange)?;
    // As long as the order, so that their bytes compare as the numbers do.
    let in_range =
        |half: &[u8]| half.len() == order.len() && half < order && half.iter().any(|byte| *byte != 0);
    if in_range(r) && in_range(s) { Ok(der::public_numbers([r, s])) } else { Err(SignatureError::OutOfRange) }
}

/// The orders of the curves' groups (SEC 2 §2.4.2, §2.5.1, §2.6.1).
const P256_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
    0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];
const P384_ORDER: [u8; 48] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xc7, 0x63, 0x4d, 0x81, 0xf4, 0x37, 0x2d, 0xdf, 0x58, 0x1a,
    0x0d, 0xb2, 0x48, 0xb0, 0xa7, 0x7a, 0xec, 0xec, 0x19, 0x6a, 0xcc, 0xc5, 0x29, 0x73,
];
const P521_ORDER: [u8; 66] = [
    0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfa,
    0x51, 0x86, 0x87, 0x83, 0xbf, 0x2f, 0x96, 0x6b, 0x7f, 0xcc, 0x01, 0x48, 0xf7, 0x09, 0xa5, 0xd0, 0x3b,
    0xb5, 0xc9, 0xb8, 0x89, 0x9c, 0x47, 0xae, 0xbb, 0x6f, 0xb7, 0x1e, 0x91, 0x38, 0x64, 0x09,
];
/// Four fields at most, each with a key of one byte and a length of at most ten.
const MAX_FRAMING: usize = 44;

/// `envoy.source.extensions.common.wasm.VerifySignatureResult`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct VerifySignatureResult {
    #[prost(bool, tag = "1")]
    result: bool,
    #[prost(string, tag = "2")]
    error: String,
}

/// `envoy.source.extensions.common.wasm.SignResult`, without the text of an error, which is not used.
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

    /// `envoy.source.extensions.common.wasm.VerifySignatureArguments`, of which [`arguments`] writes each field without a
    /// copy.
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

    /// As a number has it: the bytes, a bit less, or a bit more.
    fn near(order: &[u8]) -> [Vec<u8>; 6] {
        let changed = |place: usize, by: i8| {
            let mut number = order.to_vec();
            number[place] = number[place].wrapping_add_signed(by);
            number
        };
        let last = order.len() - 1;
        let mut one = vec![0; order.len()];
        one[last] = 1;
        [one, vec![0; order.len()], order.to_vec(), changed(last, -1), changed(last, 1), changed(0, 1)]
    }

    #[test]
    fn a_signature_is_in_range_and_its_der_is_as_the_curves_crates_have_it() {
        fn check(order: &[u8], of_crate: impl Fn(&[u8]) -> Option<Vec<u8>>) {
            for r in near(order) {
                for s in near(order) {
                    let signature = [r.clone(), s].concat();
                    assert_eq!(der_of(&signature, order).ok(), of_crate(&signature), "{signature:x?}");
                }
            }
            let whole = [near(order)[0].clone(), near(order)[3].clone()].concat();
            assert!(der_of(&whole, order).is_ok());
            assert!(
                der_of(&whole[1..], order).is_err() && der_of(&[whole, vec![0]].concat(), order).is_err()
            );
        }
        check(&P256_ORDER, |signature| {
            p256::ecdsa::Signature::from_slice(signature).ok().map(|it| it.to_der().as_bytes().to_vec())
        });
        check(&P384_ORDER, |signature| {
            p384::ecdsa::Signature::from_slice(signature).ok().map(|it| it.to_der().as_bytes().to_vec())
        });
        check(&P521_ORDER, |signature| {
            p521::ecdsa::Signature::from_slice(signature).ok().map(|it| it.to_der().as_bytes().to_vec())
        });
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
