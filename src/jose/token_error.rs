//! Why bytes are not a token that we read.

use super::json::JsonError;

/// A part of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "snake_case")]
pub enum TokenPart {
    /// The JOSE header.
    Header,
    /// The claims.
    Claims,
    /// The signature.
    Signature,
}

/// Why bytes are not a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum TokenError {
    /// Longer than [`MAX_TOKEN_BYTES`].
    #[error("the token has {bytes} bytes, more than {limit}")]
    #[strum(serialize = "token_too_long")]
    TooLong {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// Not three parts (RFC 7515 §7.1).
    #[error("expected 3 parts separated by dots, got {found}")]
    #[strum(serialize = "token_parts")]
    Parts {
        /// How many there are.
        found: usize,
    },
    /// Five parts: an encrypted token (RFC 7516 §7.1).
    #[error("the token is encrypted")]
    #[strum(serialize = "token_encrypted")]
    Encrypted,
    /// A part is empty.
    #[error("the {part} is empty")]
    #[strum(serialize = "token_empty_part")]
    EmptyPart {
        /// Which one.
        part: TokenPart,
    },
    /// A part is not base64url without padding (RFC 7515 §2).
    #[error("the {part} is not base64url")]
    #[strum(serialize = "token_encoding")]
    Encoding {
        /// Which one.
        part: TokenPart,
    },
    /// A part is not the JSON object that it should be.
    #[error("the {part}: {error}")]
    #[strum(serialize = "token_json")]
    Json {
        /// Which one.
        part: TokenPart,
        /// What is wrong with it.
        error: JsonError,
    },
    /// A member of the header is not a string.
    #[error("`{member}` in the header is not a string")]
    #[strum(serialize = "header_member_type")]
    MemberType {
        /// Which one.
        member: &'static str,
    },
    /// A member of the header is too long.
    #[error("`{member}` in the header is longer than {limit} bytes")]
    #[strum(serialize = "header_member_too_long")]
    MemberTooLong {
        /// Which one.
        member: &'static str,
        /// How long it may be.
        limit: usize,
    },
    /// The header has no `alg` (RFC 7515 §4.1.1).
    #[error("`alg` is missing")]
    AlgorithmMissing,
    /// The token says that it is not signed (RFC 8725 §3.2).
    #[error("`alg` is none: the token is not signed")]
    AlgorithmNone,
    /// `alg` is none of [`Algorithm::ALL`](super::Algorithm::ALL).
    #[error("`alg` is not a known signature algorithm")]
    AlgorithmUnknown,
    /// The header has `crit`, and we understand no extension (RFC 7515 §4.1.11).
    #[error("`crit` names extensions that are not understood")]
    #[strum(serialize = "critical_extension")]
    Critical,
    /// The header has a `b64` other than `true` (RFC 7797 §3).
    #[error("`b64` is not supported")]
    UnencodedPayload,
    /// The header has a `zip` that names something.
    #[error("`zip` is not supported")]
    Compressed,
}

impl TokenError {
    /// A stable name for metrics.
    pub fn label(&self) -> &'static str {
        self.into()
    }
}

/// How long a token may be. Envoy lets 60 KiB of headers through by default, and common servers stop at 8 KiB per
/// field; access tokens with group lists come close to that.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;
