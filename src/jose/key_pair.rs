//! Both halves of a key, from numbers that have been read: made only where they belong together.

use zeroize::Zeroizing;

use super::der::{self, EXPLICIT_1, OCTET_STRING, SEQUENCE, element};
use super::key::Material;
use super::rsa_private::{RsaNumbers, RsaPrivateKey};
use super::signing_key_error::SigningKeyError;
use crate::base::Secret;

/// A private key, its public half, and its PKCS#8 for the engine that wants that.
pub(super) struct KeyPair {
    pub(super) private: Private,
    pub(super) public: Material,
    /// `None` for Ed25519, which no host signs with.
    pub(super) pkcs8: Option<Secret>,
}

/// The private half in the form in which `RustCrypto` takes it. Each wipes itself when dropped.
pub(super) enum Private {
    Rsa(Box<RsaPrivateKey>),
    P256(Box<p256::ecdsa::SigningKey>),
    Ed25519(Box<ed25519_dalek::SigningKey>),
}

impl KeyPair {
    /// An RSA key of two primes, within the bounds of RSA keys that verify.
    pub(super) fn rsa(numbers: &RsaNumbers<'_>) -> Result<Self, SigningKeyError> {
        let public = Material::rsa(numbers.modulus, numbers.public_exponent)?;
        let Material::Rsa(half, _) = &public else { return Err(SigningKeyError::Inconsistent) };
        let private = RsaPrivateKey::new(&half.key, numbers).ok_or(SigningKeyError::Inconsistent)?;
        let [first, second] = numbers.primes;
        let [first_exponent, second_exponent] = numbers.exponents;
        let numbers = [
            &[],
            numbers.modulus,
            numbers.public_exponent,
            numbers.private_exponent,
            first,
            second,
            first_exponent,
            second_exponent,
            numbers.coefficient,
        ];
        let numbers: Vec<_> = numbers.into_iter().map(der::number).collect();
        let numbers: Vec<_> = numbers.iter().map(|number| number.as_slice()).collect();
        let pkcs1 = element(SEQUENCE, &numbers);
        let pkcs8 = Some(pkcs8(RSA, &pkcs1));
        Ok(Self { private: Private::Rsa(Box::new(private)), public, pkcs8 })
    }

    /// A key of P-256; `declared` is what the key says that its public half is (SEC 1 §2.3.3).
    pub(super) fn p256(scalar: &[u8], declared: Option<&[u8]>) -> Result<Self, SigningKeyError> {
        let private =
            scalar.try_into().ok().and_then(|scalar| p256::ecdsa::SigningKey::from_bytes(scalar).ok());
        let private = private.ok_or(SigningKeyError::Inconsistent)?;
        let own = private.verifying_key().to_sec1_point(false);
        // A point has two encodings, and OpenSSL writes either.
        let short = private.verifying_key().to_sec1_point(true);
        if declared.is_some_and(|declared| declared != own.as_bytes() && declared != short.as_bytes()) {
            return Err(SigningKeyError::Inconsistent);
        }
        let public = Material::p256(own.as_bytes())?;
        let point = element(EXPLICIT_1, &[&element(der::BIT_STRING, &[&[0], own.as_bytes()])]);
        let sec1 = element(SEQUENCE, &[&der::number(&[1]), &element(OCTET_STRING, &[scalar]), &point]);
        let pkcs8 = Some(pkcs8(P256, &sec1));
        Ok(Self { private: Private::P256(Box::new(private)), public, pkcs8 })
    }

    /// An Ed25519 key, from its seed (RFC 8032 §5.1.5); `declared` is what the key says that its public half is.
    pub(super) fn ed25519(seed: &[u8], declared: Option<&[u8]>) -> Result<Self, SigningKeyError> {
        let seed = seed.try_into().map_err(|_| SigningKeyError::Inconsistent)?;
        let private = ed25519_dalek::SigningKey::from_bytes(seed);
        let own = private.verifying_key();
        if declared.is_some_and(|declared| declared != own.as_bytes()) {
            return Err(SigningKeyError::Inconsistent);
        }
        let public = Material::ed25519(own.as_bytes())?;
        Ok(Self { private: Private::Ed25519(Box::new(private)), public, pkcs8: None })
    }
}

/// The one encoding in which the host gets it, however the key came to us (RFC 5958 §2, version 1).
fn pkcs8(algorithm: &[u8], key: &[u8]) -> Secret {
    let parts: [Zeroizing<Vec<u8>>; 3] =
        [der::number(&[]), element(SEQUENCE, &[algorithm]), element(OCTET_STRING, &[key])];
    let pkcs8 = element(SEQUENCE, &parts.each_ref().map(|part| part.as_slice()));
    Secret::new(pkcs8.as_slice())
}

/// What an AlgorithmIdentifier says of an RSA key (RFC 8017 §A.1): rsaEncryption, NULL.
pub(super) const RSA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
/// Of one on P-256 (RFC 5480 §2.1.1): id-ecPublicKey, and the curve's name.
pub(super) const P256: &[u8] =
    b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
/// Of Ed25519 (RFC 8410 §3).
pub(super) const ED25519: &[u8] = b"\x06\x03\x2b\x65\x70";
