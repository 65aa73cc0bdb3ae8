//! A key that signs what we say of ourselves: client assertions (RFC 7523 §2.2). It comes from the operator, so each
//! way in which it can be wrong has a message of its own; none shows a byte of it.

use super::algorithm::AlgorithmSet;
use super::key::Key;
use super::key_pair::{KeyPair, Private};
use super::signing_key_error::{MAX_SIGNING_KEY_BYTES, SigningKeyError};
use super::{private_der, private_jwk};
use crate::base::Secret;

/// A private key, wiped when dropped, with what it may sign and its public half.
#[derive(derive_more::Debug)]
#[debug("SigningKey {{ public: {public:?}, portable_rsa: {portable_rsa:?}, .. }}")]
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

    /// Whether [`RustCrypto`](super::RustCrypto) may sign with this key if it is one of RSA. By default it may not: it
    /// is built so that its time does not depend on the key, but that has not been proved (compare RUSTSEC-2023-0071).
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

    /// Whether `RustCrypto` may sign with it; otherwise only the host can.
    pub fn may_be_portable(&self) -> bool {
        self.portable_rsa || !matches!(self.private, Private::Rsa(_))
    }
}

#[cfg(test)]
#[path = "signing_key_tests.rs"]
mod tests;
