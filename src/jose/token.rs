//! A token's way from bytes to a checked signature: [`UnverifiedToken`], then [`SignedToken`].
//!
//! Each type is made only by its check. Time, issuer, audience and scopes are not looked at here.

use core::fmt;
use std::rc::Rc;

use super::base64url;
use super::crypto::{Crypto, SignatureError};
use super::frame;
use super::header::Header;
use super::json::{JsonError, Object};
use super::key::{Key, KeyId};

/// A token whose syntax is that of RFC 7515 §7.1 and RFC 7519 §7.2, and of which nothing else is known.
#[derive(Clone)]
pub struct UnverifiedToken {
    text: Rc<str>,
    content: Rc<Content>,
}

#[derive(Debug)]
struct Content {
    header: Header,
    claims: Object,
}

impl UnverifiedToken {
    /// Reads a token in compact serialization: exactly three parts, each in strict base64url; a header that we
    /// understand wholly; claims that are an object.
    pub fn parse(text: impl AsRef<[u8]>) -> Result<Self, TokenError> {
        let text = text.as_ref();
        if text.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::TooLong { bytes: text.len(), limit: MAX_TOKEN_BYTES });
        }
        let mut parts = text.split(|byte| *byte == b'.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(wrong_parts(text));
        };
        let header = Header::parse(&part(header, Part::Header)?)?;
        let claims = Object::parse(&part(claims, Part::Claims)?)
            .map_err(|error| TokenError::Json { part: Part::Claims, error })?;
        part(signature, Part::Signature)?;
        // Base64url and dots: this cannot fail any more.
        let text = core::str::from_utf8(text).map_err(|_| TokenError::Encoding { part: Part::Header })?;
        Ok(Self { text: text.into(), content: Rc::new(Content { header, claims }) })
    }

    /// The header, which may choose among keys and nothing else.
    pub fn header(&self) -> &Header {
        &self.content.header
    }

    /// The claims, **not** to be trusted: for the prescreen only, which may refuse by them and never accept.
    pub fn claims(&self) -> &Object {
        &self.content.claims
    }

    /// Checks the signature with `key`. The algorithm is the token's only in so far as the key allows it.
    pub fn verify(&self, key: &Key, crypto: &dyn Crypto) -> Result<SignedToken, SignatureError> {
        frame::verify(&self.text, self.content.header.algorithm, key, crypto)?;
        Ok(SignedToken { content: Rc::clone(&self.content), key: key.id() })
    }
}

impl fmt::Debug for UnverifiedToken {
    /// Shows neither text nor claims: the text is a credential.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnverifiedToken").field("header", self.header()).finish_non_exhaustive()
    }
}

/// A token that the holder of a key has signed. Made only by [`UnverifiedToken::verify`].
#[derive(Clone, Debug)]
pub struct SignedToken {
    content: Rc<Content>,
    key: KeyId,
}

impl SignedToken {
    /// The header.
    pub fn header(&self) -> &Header {
        &self.content.header
    }

    /// The claims: the words of whoever holds the key.
    pub fn claims(&self) -> &Object {
        &self.content.claims
    }

    /// The key that verified the token.
    pub fn key(&self) -> KeyId {
        self.key
    }
}

fn part(text: &[u8], part: Part) -> Result<Vec<u8>, TokenError> {
    if text.is_empty() {
        return Err(TokenError::EmptyPart { part });
    }
    base64url::decode(text).ok_or(TokenError::Encoding { part })
}

fn wrong_parts(text: &[u8]) -> TokenError {
    match text.split(|byte| *byte == b'.').count() {
        // RFC 7516 §7.1: five parts are an encrypted token.
        5 => TokenError::Encrypted,
        found => TokenError::Parts { found },
    }
}

/// A part of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The JOSE header.
    Header,
    /// The claims.
    Claims,
    /// The signature.
    Signature,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Claims => "claims",
            Self::Signature => "signature",
        })
    }
}

/// Why bytes are not a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Longer than [`MAX_TOKEN_BYTES`].
    #[error("a token of {bytes} bytes, at most {limit} are read")]
    TooLong {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// Not three parts (RFC 7515 §7.1).
    #[error("expected 3 parts separated by dots, got {found}")]
    Parts {
        /// How many there are.
        found: usize,
    },
    /// Five parts: an encrypted token (RFC 7516 §7.1).
    #[error("the token is encrypted")]
    Encrypted,
    /// A part is empty.
    #[error("the {part} is empty")]
    EmptyPart {
        /// Which one.
        part: Part,
    },
    /// A part is not base64url without padding (RFC 7515 §2).
    #[error("the {part} is not base64url")]
    Encoding {
        /// Which one.
        part: Part,
    },
    /// A part is not the JSON object that it should be.
    #[error("the {part}: {error}")]
    Json {
        /// Which one.
        part: Part,
        /// What is wrong with it.
        error: JsonError,
    },
    /// A member of the header is not a string.
    #[error("`{member}` in the header is not a string")]
    MemberType {
        /// Which one.
        member: &'static str,
    },
    /// A member of the header is too long.
    #[error("`{member}` in the header is longer than {limit} bytes")]
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
    Critical,
    /// The header has `b64` (RFC 7797 §3).
    #[error("`b64` is not understood")]
    UnencodedPayload,
    /// The header has `zip`.
    #[error("`zip` is not understood")]
    Compressed,
    /// The content is not plain claims (RFC 7519 §5.2).
    #[error("`cty` is not understood")]
    ContentType,
}

impl TokenError {
    /// A stable name for metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "token_too_long",
            Self::Parts { .. } => "token_parts",
            Self::Encrypted => "token_encrypted",
            Self::EmptyPart { .. } => "token_empty_part",
            Self::Encoding { .. } => "token_encoding",
            Self::Json { .. } => "token_json",
            Self::MemberType { .. } => "header_member_type",
            Self::MemberTooLong { .. } => "header_member_too_long",
            Self::AlgorithmMissing => "algorithm_missing",
            Self::AlgorithmNone => "algorithm_none",
            Self::AlgorithmUnknown => "algorithm_unknown",
            Self::Critical => "critical_extension",
            Self::UnencodedPayload => "unencoded_payload",
            Self::Compressed => "compressed",
            Self::ContentType => "content_type",
        }
    }
}

/// How long a token may be. Envoy lets 60 KiB of headers through by default, and common servers stop at 8 KiB per
/// field; access tokens with group lists come close to that.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
