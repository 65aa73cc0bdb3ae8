//! The JOSE frame: jwt-compact reads the token once more and asks our engines through its `Algorithm` trait.
//!
//! It sees only what the strict front has let through: by itself it accepts `crit`, `b64`, `zip` and repeated
//! members. What it refuses beyond that (a `jku` that is no string, an `exp` outside the calendar) is an error here
//! and never a panic.

use core::cell::Cell;
use core::convert::Infallible;
use std::borrow::Cow;

use jwt_compact::{AlgorithmExt as _, AlgorithmSignature, Empty, UntrustedToken, ValidationError};

use super::algorithm::Algorithm;
use super::crypto::{Crypto, SignatureError};
use super::key::Key;

/// Checks the signature of `text` with `key`, for `algorithm` and no other.
pub(super) fn verify(
    text: &str,
    algorithm: Algorithm,
    key: &Key,
    crypto: &dyn Crypto,
) -> Result<(), SignatureError> {
    let token = UntrustedToken::new(text).map_err(|_| SignatureError::FrameHeader)?;
    let engine = Checked { algorithm, crypto, outcome: Cell::new(Err(SignatureError::Mismatch)) };
    match engine.validator::<Empty>(key).validate(&token) {
        // Two witnesses: the frame's verdict, and our engine's own.
        Ok(_) => engine.outcome.get(),
        Err(ValidationError::MalformedClaims(_)) => Err(SignatureError::FrameClaims),
        Err(_) => Err(engine.outcome.get().err().unwrap_or(SignatureError::Mismatch)),
    }
}

/// One algorithm and the engine that runs it, as jwt-compact wants to see them.
struct Checked<'a> {
    algorithm: Algorithm,
    crypto: &'a dyn Crypto,
    /// Why the engine said no: jwt-compact passes on only that it did.
    outcome: Cell<Result<(), SignatureError>>,
}

impl jwt_compact::Algorithm for Checked<'_> {
    /// Nobody signs here, so there is no signing key that could exist.
    type SigningKey = Infallible;
    type VerifyingKey = Key;
    type Signature = Bytes;

    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(self.algorithm.name())
    }

    fn sign(&self, signing_key: &Infallible, _message: &[u8]) -> Bytes {
        match *signing_key {}
    }

    fn verify_signature(&self, signature: &Bytes, key: &Key, message: &[u8]) -> bool {
        let outcome = self.crypto.verify(self.algorithm, key, message, &signature.0);
        self.outcome.set(outcome);
        outcome.is_ok()
    }
}

/// A signature as it came: lengths and ranges are the engine's business, which knows the key.
struct Bytes(Vec<u8>);

impl AlgorithmSignature for Bytes {
    fn try_from_slice(bytes: &[u8]) -> anyhow::Result<Self> {
        Ok(Self(bytes.to_vec()))
    }

    fn as_bytes(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.0)
    }
}
