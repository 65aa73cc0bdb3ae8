//! The engine that runs everywhere: RustCrypto and dalek, in constant time where a secret is involved.

use hmac::{Hmac, KeyInit as _, Mac as _};
use p256::ecdsa::signature::{Signer as _, Verifier};
use rsa::{Pkcs1v15Sign, Pss, RsaPublicKey};
use sha2::digest::DynDigest;
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use super::algorithm::{Algorithm, Hash, Scheme};
use super::crypto::{Crypto, Engine, SignatureError, SigningError, admissible};
use super::key::{Key, Material};
use super::key_pair::Private;
use super::rsa_private::{RsaPrivateKey, pkcs1_block, pss_block};
use super::signing_key::SigningKey;
use crate::base::Random;

/// Checks and makes signatures in this module, without a host.
#[derive(Clone, Copy, Debug, Default)]
pub struct RustCrypto;

impl Crypto for RustCrypto {
    fn verify(
        &self,
        algorithm: Algorithm,
        key: &Key,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        admissible(algorithm, key, signature)?;
        match key.material() {
            Material::Symmetric(secret) => hmac(algorithm, secret.expose(), message, signature),
            Material::Rsa(public, _) => rsa(algorithm, &public.key, message, signature),
            Material::P256(public) => ecdsa::<p256::ecdsa::Signature>(&public.key, message, signature),
            Material::P384(public) => ecdsa::<p384::ecdsa::Signature>(&public.key, message, signature),
            Material::P521(public) => ecdsa::<p521::ecdsa::Signature>(&public.key, message, signature),
            Material::Ed25519(key) => {
                let signature = ed25519_dalek::Signature::from_slice(signature).map_err(mismatch)?;
                // Strict: one signature per message and key, and none by points of small order (RFC 8032 §5.1.7, §8.4).
                key.verify_strict(message, &signature).map_err(mismatch)
            }
        }
    }

    fn engine(&self, _algorithm: Algorithm) -> Engine {
        Engine::RustCrypto
    }

    fn sign(
        &self,
        algorithm: Algorithm,
        key: &SigningKey,
        message: &[u8],
        random: &dyn Random,
    ) -> Result<Vec<u8>, SigningError> {
        if !key.algorithms().contains(algorithm) {
            return Err(SigningError::AlgorithmNotForKey { algorithm });
        }
        if !key.may_be_portable() {
            return Err(SigningError::PortableRsa);
        }
        match key.private() {
            Private::Rsa(private) => rsa_signature(algorithm, private, message, random),
            Private::P256(private) => {
                let signature: Result<p256::ecdsa::Signature, _> = private.try_sign(message);
                signature.map(|signature| signature.to_bytes().to_vec()).map_err(unusable)
            }
            Private::Ed25519(private) => {
                private.try_sign(message).map(|signature| signature.to_bytes().to_vec()).map_err(unusable)
            }
        }
    }
}

fn ecdsa<S: for<'s> TryFrom<&'s [u8]>>(
    key: &impl Verifier<S>,
    message: &[u8],
    signature: &[u8],
) -> Result<(), SignatureError> {
    let signature = S::try_from(signature).map_err(out_of_range)?;
    key.verify(message, &signature).map_err(mismatch)
}

fn hmac(algorithm: Algorithm, secret: &[u8], message: &[u8], tag: &[u8]) -> Result<(), SignatureError> {
    // HMAC takes a secret of any length, so `new_from_slice` does not fail; `verify_slice` compares in constant time.
    macro_rules! check {
        ($hash:ty) => {
            Hmac::<$hash>::new_from_slice(secret)
                .map_err(mismatch)?
                .chain_update(message)
                .verify_slice(tag)
                .map_err(mismatch)
        };
    }
    match (algorithm.scheme(), algorithm.hash()) {
        (Scheme::Hmac, Hash::Sha256) => check!(Sha256),
        (Scheme::Hmac, Hash::Sha384) => check!(Sha384),
        (Scheme::Hmac, Hash::Sha512) => check!(Sha512),
        (Scheme::RsaPkcs1 | Scheme::RsaPss | Scheme::Ecdsa | Scheme::EdDsa, _) => {
            Err(SignatureError::AlgorithmNotForKey { algorithm })
        }
    }
}

fn rsa(
    algorithm: Algorithm,
    key: &RsaPublicKey,
    message: &[u8],
    signature: &[u8],
) -> Result<(), SignatureError> {
    macro_rules! check {
        ($scheme:expr, $hash:ty) => {
            key.verify($scheme, &<$hash>::digest(message), signature).map_err(mismatch)
        };
    }
    match (algorithm.scheme(), algorithm.hash()) {
        (Scheme::RsaPkcs1, Hash::Sha256) => check!(Pkcs1v15Sign::new::<Sha256>(), Sha256),
        (Scheme::RsaPkcs1, Hash::Sha384) => check!(Pkcs1v15Sign::new::<Sha384>(), Sha384),
        (Scheme::RsaPkcs1, Hash::Sha512) => check!(Pkcs1v15Sign::new::<Sha512>(), Sha512),
        // The salt is as long as the hash, and MGF1 uses the same hash (RFC 7518 §3.5).
        (Scheme::RsaPss, Hash::Sha256) => check!(Pss::<Sha256>::new(), Sha256),
        (Scheme::RsaPss, Hash::Sha384) => check!(Pss::<Sha384>::new(), Sha384),
        (Scheme::RsaPss, Hash::Sha512) => check!(Pss::<Sha512>::new(), Sha512),
        (Scheme::Hmac | Scheme::Ecdsa | Scheme::EdDsa, _) => {
            Err(SignatureError::AlgorithmNotForKey { algorithm })
        }
    }
}

fn rsa_signature(
    algorithm: Algorithm,
    key: &RsaPrivateKey,
    message: &[u8],
    random: &dyn Random,
) -> Result<Vec<u8>, SigningError> {
    let pkcs1 = |scheme: Pkcs1v15Sign, hash: &[u8]| pkcs1_block(&scheme.prefix, hash, key.bits().div_ceil(8));
    let pss = |digest: &mut dyn DynDigest| {
        digest.update(message);
        let hash = digest.finalize_reset();
        // RFC 7518 §3.5: the salt is as long as the hash.
        let mut salt = vec![0; hash.len()];
        random.fill(&mut salt);
        pss_block(digest, &hash, &salt, key.bits())
    };
    let block = match (algorithm.scheme(), algorithm.hash()) {
        (Scheme::RsaPkcs1, Hash::Sha256) => pkcs1(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(message)),
        (Scheme::RsaPkcs1, Hash::Sha384) => pkcs1(Pkcs1v15Sign::new::<Sha384>(), &Sha384::digest(message)),
        (Scheme::RsaPkcs1, Hash::Sha512) => pkcs1(Pkcs1v15Sign::new::<Sha512>(), &Sha512::digest(message)),
        (Scheme::RsaPss, Hash::Sha256) => pss(&mut Sha256::new()),
        (Scheme::RsaPss, Hash::Sha384) => pss(&mut Sha384::new()),
        (Scheme::RsaPss, Hash::Sha512) => pss(&mut Sha512::new()),
        (Scheme::Hmac | Scheme::Ecdsa | Scheme::EdDsa, _) => {
            return Err(SigningError::AlgorithmNotForKey { algorithm });
        }
    };
    key.sign(&block, random).ok_or(SigningError::Unusable)
}

fn unusable<E>(_: E) -> SigningError {
    SigningError::Unusable
}

fn mismatch<E>(_: E) -> SignatureError {
    SignatureError::Mismatch
}

fn out_of_range<E>(_: E) -> SignatureError {
    SignatureError::OutOfRange
}

#[cfg(test)]
#[path = "rust_crypto_tests.rs"]
mod tests;
