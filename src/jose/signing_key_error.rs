//! Why a text is not a private key that signs.

use super::json::JsonError;
use super::key::KeyError;

/// Why a text is not a key that signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningKeyError {
    /// The text is longer than [`MAX_SIGNING_KEY_BYTES`].
    #[error("longer than {MAX_SIGNING_KEY_BYTES} bytes")]
    TooLong,
    /// The text is not a JSON object and has no PEM block with a private key.
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
    #[error("an unsupported private key format: convert it with `openssl pkcs8 -topk8 -nodes`")]
    Label,
    /// The bytes inside the PEM block are not what its label says.
    #[error("the content of the PEM block does not match its label")]
    Der,
    /// The text begins like JSON but is not JSON.
    #[error("invalid JSON Web Key: {0}")]
    Json(JsonError),
    /// A member of the JWK, or the public half of the key, is not usable.
    #[error("unusable key: {0}")]
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
