//! The capability to check and to make signatures, which the rim hands in, and what both engines must agree on.

use super::algorithm::Algorithm;
use super::key::Key;
use super::signing_key::SigningKey;
use super::token_writer::Unsigned;
use crate::base::Random;

/// Checks signatures, and makes them.
///
/// Whatever the engine, the answer is the same: an implementation calls [`admissible`] first, and the conformance
/// vectors run through each.
pub trait Crypto {
    /// Checks `signature` over `message` (RFC 7518 §3, RFC 8037 §3.1), in the encoding that JOSE prescribes.
    fn verify(
        &self,
        algorithm: Algorithm,
        key: &Key,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError>;

    /// Which engine checks signatures of this algorithm.
    fn engine(&self, algorithm: Algorithm) -> Engine;

    /// Signs `message`; the signature is in the encoding that JOSE prescribes. `random` is for the salt of PS* and for
    /// blinding in operations with a private RSA key; ECDSA (RFC 6979) and EdDSA need none.
    fn sign(
        &self,
        algorithm: Algorithm,
        key: &SigningKey,
        message: &[u8],
        random: &dyn Random,
    ) -> Result<Vec<u8>, SigningError>;
}

/// What runs a signature check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    /// Envoy's BoringSSL, by a foreign function.
    Envoy,
    /// Pure Rust, in this module.
    RustCrypto,
}

impl Engine {
    /// A stable name for metrics and logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Envoy => "envoy",
            Self::RustCrypto => "portable",
        }
    }
}

/// What holds before any arithmetic: the key allows the algorithm, and the signature has the one length that
/// algorithm and key leave it (RFC 7518 §3.3, §3.4). Both engines call this, so neither can be laxer than the other.
pub fn admissible(algorithm: Algorithm, key: &Key, signature: &[u8]) -> Result<(), SignatureError> {
    if !key.algorithms().contains(algorithm) {
        return Err(SignatureError::AlgorithmNotForKey { algorithm });
    }
    let expected = key.signature_len(algorithm);
    if signature.len() != expected {
        return Err(SignatureError::BadLength { expected, got: signature.len() });
    }
    Ok(())
}

/// Why a signature check failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The signature is not this key's over these bytes.
    #[error("the signature does not match")]
    Mismatch,
    /// The key may not verify this algorithm (RFC 8725 §3.1).
    #[error("the key is not for {algorithm}")]
    AlgorithmNotForKey {
        /// The token's algorithm.
        algorithm: Algorithm,
    },
    /// The key's set says that the key is for tokens of another issuer.
    #[error("the key is for tokens of another issuer")]
    KeyOfOtherIssuer,
    /// The signature has another length than algorithm and key prescribe.
    #[error("expected a signature of {expected} bytes, got {got}")]
    BadLength {
        /// The length that it must have.
        expected: usize,
        /// The length that it has.
        got: usize,
    },
    /// A half of an ECDSA signature is zero or not below the order of the curve.
    #[error("r or s is out of range")]
    OutOfRange,
}

/// Why there is no signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningError {
    /// The key may not sign with this algorithm.
    #[error("the key is not for {algorithm}")]
    AlgorithmNotForKey {
        /// The algorithm that was asked for.
        algorithm: Algorithm,
    },
    /// The host does not sign with this RSA key, and `portable_rsa` does not allow the module to: that the time of its
    /// operations with private RSA keys does not depend on the key has not been proved (compare RUSTSEC-2023-0071).
    #[error("the host does not sign with this RSA key, and `portable_rsa` does not allow the module to")]
    PortableRsa,
    /// No signature could be computed: the key's primes are not prime, or the source of randomness is broken.
    #[error("the key or the source of randomness is unusable")]
    Unusable,
    /// The host gave no signature.
    #[error("the host does not sign")]
    Host,
    /// There was a signature of no bytes, or nothing to sign.
    #[error(transparent)]
    Unsigned(#[from] Unsigned),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_says_what_is_wrong() {
        let errors = [
            (SignatureError::Mismatch, "the signature does not match"),
            (SignatureError::AlgorithmNotForKey { algorithm: Algorithm::Es256 }, "the key is not for ES256"),
            (SignatureError::BadLength { expected: 64, got: 63 }, "expected a signature of 64 bytes, got 63"),
            (SignatureError::OutOfRange, "r or s is out of range"),
        ];
        for (error, text) in errors {
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn every_reason_to_sign_nothing_has_a_text() {
        let errors = [
            (SigningError::AlgorithmNotForKey { algorithm: Algorithm::Ps256 }, "the key is not for PS256"),
            (
                SigningError::PortableRsa,
                "the host does not sign with this RSA key, and `portable_rsa` does not allow the module to",
            ),
            (SigningError::Unusable, "the key or the source of randomness is unusable"),
            (SigningError::Host, "the host does not sign"),
            (SigningError::Unsigned(Unsigned), "the token could not be signed"),
        ];
        for (error, text) in errors {
            assert_eq!(error.to_string(), text);
        }
    }
}
