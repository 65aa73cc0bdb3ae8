//! From bytes to a checked signature, and to a signature of ours: tokens, keys and key sets of RFC 7515, 7517, 7518,
//! 7519 and 8037.
//!
//! Knows no clock, no issuer and no claim's meaning. Whatever a client or issuer sends, the answer is a value of a
//! closed type: nothing here traps. The order of types is the order of trust: bytes → [`UnverifiedToken`] →
//! [`SignedToken`].

mod algorithm;
mod base64url;
mod cost;
mod crypto;
mod der;
mod header;
mod json;
mod jwk;
mod key;
mod key_pair;
mod key_set;
pub mod known_answer;
mod known_headers;
pub mod offload;
mod private_der;
mod private_jwk;
mod rsa_private;
mod rust_crypto;
mod signing_key;
mod signing_key_error;
mod token;
mod token_error;
mod token_writer;

pub use algorithm::{Algorithm, AlgorithmSet};
pub use crypto::{Crypto, Engine, SignatureError, SigningError, admissible};
pub use header::{Header, MAX_KID_BYTES, MAX_TYP_BYTES};
pub use json::{Json, JsonError, MAX_JSON_DEPTH, MAX_JSON_MEMBERS, MAX_JSON_VALUES, Object};
pub use key::{Key, KeyError, KeyId, MAX_RSA_BITS, MAX_SECRET_BYTES, MIN_RSA_BITS};
pub use key_set::{KeySet, KeySetError, MAX_KEY_SET_BYTES, MAX_KEYS, ParsedKeySet, SkippedKey, SkippedKeys};
pub use known_headers::{KnownHeaders, MAX_KNOWN_HEADER_BYTES, MAX_KNOWN_HEADERS};
pub use rust_crypto::RustCrypto;
pub use signing_key::SigningKey;
pub use signing_key_error::{MAX_SIGNING_KEY_BYTES, SigningKeyError};
pub use token::{SignedToken, TokenParts, UnverifiedToken};
pub use token_error::{MAX_TOKEN_BYTES, TokenError, TokenPart};
pub use token_writer::{TokenWriter, Unsigned};
