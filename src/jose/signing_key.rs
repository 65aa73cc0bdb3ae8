//! A key that signs what we say of ourselves: client assertions (RFC 7523 §2.2). It comes from the operator, so each way in
//! which it can be wrong has a message of its own; none shows a byte of it.

use core::fmt;

use super::algorithm::AlgorithmSet;
use super::json::JsonError;
use super::key::{Key, KeyError};
use super::key_pair::{KeyPair, Private};
use super::{private_der, private_jwk};
use crate::base::Secret;

/// A private key, wiped when dropped, with what it may sign and its public half.
pub struct SigningKey {
    private: Private,
    public: Key,
    pkcs8: Option<Secret>,
    portable_rsa: bool,
}

impl SigningKey {
    /// Reads a key of RSA, P-256 or Ed25519, as a private JWK or in PEM, of at most [`MAX_SIGNING_KEY_BYTES`]
    /// bytes. Only a JWK can name it.
    pub fn parse(text: &Secret) -> Result<Self, SigningKeyError> {
        if text.expose().len() > MAX_SIGNING_KEY_BYTES {
            return Err(SigningKeyError::TooLong);
        }
        let text = text.expose().trim_ascii();
        if text.starts_with(b"{") {
            let jwk = private_jwk::parse(text)?;
            return Ok(Self::new(jwk.pair, jwk.kid, jwk.algorithms));
        }
        let pair = private_der::parse(str::from_utf8(text).map_err(|_| SigningKeyError::NoPrivateKey)?)?;
        let algorithms = pair.public.algorithms();
        Ok(Self::new(pair, None, algorithms))
    }

    fn new(pair: KeyPair, kid: Option<String>, algorithms: AlgorithmSet) -> Self {
        let public = Key::new(kid, algorithms, pair.public);
        Self { private: pair.private, public, pkcs8: pair.pkcs8, portable_rsa: false }
    }

    /// Whether the portable engine may sign with this key if it is one of RSA. It may not until somebody says so here: that its
    /// time tells nothing of the key is what it is built for, and what nobody has shown (compare RUSTSEC-2023-0071).
    #[must_use]
    pub fn allow_portable_rsa(mut self, allowed: bool) -> Self {
        self.portable_rsa = allowed;
        self
    }

    /// The key's name.
    pub fn kid(&self) -> Option<&str> {
        self.public.kid()
    }

    /// What the key may sign.
    pub fn algorithms(&self) -> AlgorithmSet {
        self.public.algorithms()
    }

    /// The key that checks what this one signs.
    pub fn public(&self) -> &Key {
        &self.public
    }

    /// A digest that names the key and does not give it away: of the public half, the name and the algorithms.
    pub fn digest(&self) -> [u8; 32] {
        *self.public.id().as_bytes()
    }

    /// The PKCS#8 (RFC 5958) in DER, for RSA and ECDSA keys.
    pub fn pkcs8(&self) -> Option<&Secret> {
        self.pkcs8.as_ref()
    }

    pub(super) fn private(&self) -> &Private {
        &self.private
    }

    /// Whether the portable engine may sign with it; else only the host can.
    pub fn may_be_portable(&self) -> bool {
        self.portable_rsa || !matches!(self.private, Private::Rsa(_))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid())
            .field("algorithms", &self.algorithms())
            .field("portable_rsa", &self.portable_rsa)
            .finish_non_exhaustive()
    }
}

/// Why a text is no key that signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningKeyError {
    /// The text is longer than [`MAX_SIGNING_KEY_BYTES`].
    #[error("longer than {MAX_SIGNING_KEY_BYTES} bytes")]
    TooLong,
    /// The text is no JSON object and has no PEM block with a private key.
    #[error("expected a private key in PEM, or a private JSON Web Key")]
    NoPrivateKey,
    /// There is more than one private key, and which one is meant is not ours to guess.
    #[error("expected one private key, got several")]
    TwoKeys,
    /// The PEM block has no end, or is not base64.
    #[error("the PEM block is damaged")]
    Pem,
    /// The private key is encrypted.
    #[error("the private key is encrypted: decrypt it with `openssl pkcs8 -topk8 -nodes`")]
    Encrypted,
    /// The PEM block is of a kind that we do not read.
    #[error("a private key in a format of its own: convert it with `openssl pkcs8 -topk8 -nodes`")]
    Label,
    /// The bytes inside the PEM block are not what its label says.
    #[error("what is in the PEM block is not what its label says")]
    Der,
    /// The text begins like JSON and is none.
    #[error("a JSON Web Key that cannot be read: {0}")]
    Json(JsonError),
    /// A member of the JWK, or the public half of the key, is not usable.
    #[error("an unusable key: {0}")]
    Key(#[from] KeyError),
    /// `key_ops` does not say `sign` (RFC 7517 §4.3).
    #[error("`key_ops` lacks sign")]
    Operations,
    /// A type or curve that we do not sign with.
    #[error("expected a key of RSA with two primes, of P-256 or of Ed25519")]
    Kind,
    /// Numbers of the key are out of range, or public and private ones do not belong together.
    #[error("the parts of the key are out of range, or do not belong together")]
    Inconsistent,
}

/// A key of RSA with 8192 bits takes 6,400 bytes as PEM, and as many as JWK; certificates may stand beside it.
pub const MAX_SIGNING_KEY_BYTES: usize = 16 * 1024;

#[cfg(test)]
#[path = "signing_key_tests.rs"]
mod tests;
