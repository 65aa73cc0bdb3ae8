//! A token's way from bytes to a checked signature: [`UnverifiedToken`], then [`SignedToken`].
//!
//! Each type is made only by its check. Time, issuer, audience and scopes are not looked at here.

use core::time::Duration;
use std::rc::Rc;

use super::base64url;
use super::cost;
use super::crypto::{Crypto, Engine, SignatureError, admissible};
use super::header::Header;
use super::json::Object;
use super::key::{Key, KeyId};
use super::known_headers::KnownHeaders;
use super::token_error::{MAX_TOKEN_BYTES, TokenError, TokenPart};

/// The three parts of a token in compact serialization (RFC 7515 §7.1), decoded. What they say has not been read.
#[derive(derive_more::Debug)]
#[debug("TokenParts {{ .. }}")]
pub struct TokenParts<'t> {
    /// All of it, as it came.
    text: &'t [u8],
    /// Header and claims with the dot between them: what is signed (RFC 7515 §5.1).
    signed: &'t [u8],
    /// The first part, as it came.
    header: &'t [u8],
    /// What it says, when an earlier token has said the same: it is not decoded then.
    known: Option<Rc<Header<'static>>>,
    /// Header, unless it is known, claims and signature, one behind the other.
    decoded: Vec<u8>,
    claims_at: usize,
    signature_at: usize,
    fault: Option<TokenError>,
}

impl<'t> TokenParts<'t> {
    /// Takes a token apart: exactly three parts, each in strict base64url.
    ///
    /// # Errors
    /// When there are not three parts, or too many bytes. What is wrong with a part itself is a [`TokenParts::fault`].
    pub fn decode(text: &'t (impl AsRef<[u8]> + ?Sized)) -> Result<Self, TokenError> {
        Self::decode_with(text, &KnownHeaders::default())
    }

    /// As [`TokenParts::decode`]; a header that is known is not read again.
    ///
    /// # Errors
    /// The same.
    pub fn decode_with(
        text: &'t (impl AsRef<[u8]> + ?Sized),
        headers: &KnownHeaders,
    ) -> Result<Self, TokenError> {
        let text = text.as_ref();
        if text.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::TooLong { bytes: text.len(), limit: MAX_TOKEN_BYTES });
        }
        let (header, rest) = split(text).ok_or_else(|| wrong_parts(text))?;
        let (claims, signature) = split(rest).ok_or_else(|| wrong_parts(text))?;
        let signed = text.get(..text.len().saturating_sub(signature.len()).saturating_sub(1));
        let mut parts = Self {
            text,
            signed: signed.unwrap_or_default(),
            header,
            known: headers.get(header),
            decoded: Vec::with_capacity(text.len()),
            claims_at: 0,
            signature_at: 0,
            fault: None,
        };
        if parts.known.is_none() {
            parts.add(TokenPart::Header, header);
        }
        parts.claims_at = parts.decoded.len();
        parts.add(TokenPart::Claims, claims);
        parts.signature_at = parts.decoded.len();
        parts.add(TokenPart::Signature, signature);
        // What could be decoded has no dot in it.
        if parts.fault.is_some() && split(signature).is_some() {
            return Err(wrong_parts(text));
        }
        Ok(parts)
    }

    /// The first part that is empty or not base64url, if there is one: such a token can be read up to there.
    pub fn fault(&self) -> Option<TokenError> {
        self.fault
    }

    /// Reads a header that we understand wholly, and claims that are an object.
    ///
    /// # Errors
    /// What of them we do not read, or do not let pass; the [`TokenParts::fault`] where its part is reached.
    pub fn read(&self) -> Result<UnverifiedToken<'_>, TokenError> {
        let header = match &self.known {
            Some(header) => header.borrowed(),
            None => {
                self.check(TokenPart::Header)?;
                Header::parse(self.decoded.get(..self.claims_at).unwrap_or_default())?
            }
        };
        self.check(TokenPart::Claims)?;
        let claims = self.decoded.get(self.claims_at..self.signature_at).unwrap_or_default();
        let claims =
            Object::parse(claims).map_err(|error| TokenError::Json { part: TokenPart::Claims, error })?;
        self.check(TokenPart::Signature)?;
        Ok(UnverifiedToken { parts: self, header, claims })
    }

    /// Decodes a part, unless one before it has a fault already.
    fn add(&mut self, part: TokenPart, text: &[u8]) {
        if self.fault.is_some() {
            return;
        }
        if text.is_empty() {
            self.fault = Some(TokenError::EmptyPart { part });
        } else if base64url::decode_into(text, &mut self.decoded).is_none() {
            self.fault = Some(TokenError::Encoding { part });
        }
    }

    /// An error when the fault is this part's.
    fn check(&self, this: TokenPart) -> Result<(), TokenError> {
        match self.fault {
            Some(fault @ (TokenError::EmptyPart { part } | TokenError::Encoding { part }))
                if part == this =>
            {
                Err(fault)
            }
            _ => Ok(()),
        }
    }

    fn signature(&self) -> &[u8] {
        self.decoded.get(self.signature_at..).unwrap_or_default()
    }
}

/// A token whose syntax is that of RFC 7515 §7.1 and RFC 7519 §7.2, and of which nothing else is known.
#[derive(derive_more::Debug)]
#[debug("UnverifiedToken {{ header: {header:?}, .. }}")]
pub struct UnverifiedToken<'t> {
    parts: &'t TokenParts<'t>,
    header: Header<'t>,
    claims: Object<'t>,
}

impl<'t> UnverifiedToken<'t> {
    /// The header, which may choose among keys and nothing else.
    pub fn header(&self) -> &Header<'t> {
        &self.header
    }

    /// The claims, **not** to be trusted: for the prescreen only, which may refuse by them and never accept.
    pub fn claims(&self) -> &Object<'t> {
        &self.claims
    }

    /// Whether `key` could have made the signature, as far as that takes no arithmetic.
    ///
    /// # Errors
    /// See [`admissible`].
    pub fn admits(&self, key: &Key) -> Result<(), SignatureError> {
        admissible(self.header.algorithm, key, self.parts.signature())
    }

    /// What it costs to check the signature with `key`, by an estimate.
    pub fn check_cost(&self, key: &Key, engine: Engine) -> Duration {
        cost::of_check(engine, self.header.algorithm, key, self.parts.signed.len())
    }

    /// Checks the signature with `key`. The algorithm is the token's only in so far as the key allows it.
    ///
    /// # Errors
    /// Why `key` has not signed this token, or may not have.
    pub fn verify<'a>(&'a self, key: &Key, crypto: &dyn Crypto) -> Result<SignedToken<'a>, SignatureError> {
        crypto.verify(self.header.algorithm, key, self.parts.signed, self.parts.signature())?;
        Ok(SignedToken { token: self, key: key.id() })
    }
}

/// A token that the holder of a key has signed. Made only by [`UnverifiedToken::verify`].
#[derive(Clone, Copy, Debug)]
pub struct SignedToken<'t> {
    token: &'t UnverifiedToken<'t>,
    key: KeyId,
}

impl<'t> SignedToken<'t> {
    /// The claims: what the holder of the key says.
    pub fn claims(&self) -> &'t Object<'t> {
        &self.token.claims
    }

    /// The token as it came. It must not be printed.
    pub fn text(&self) -> &'t [u8] {
        self.token.parts.text
    }

    /// Whether this is that very token, and not one that says the same.
    pub fn is_of(&self, token: &UnverifiedToken<'_>) -> bool {
        core::ptr::eq(self.token.parts, token.parts)
    }

    /// The key that verified the token.
    pub fn key(&self) -> KeyId {
        self.key
    }

    /// Has `headers` remember what the header says, unless that was known before. A signature has been checked: only an
    /// issuer can fill the few places.
    pub fn remember_header(&self, headers: &mut KnownHeaders) {
        let parts = self.token.parts;
        if parts.known.is_none() {
            headers.add(parts.header, &self.token.header);
        }
    }
}

/// What stands before and behind the first dot.
fn split(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let dot = memchr::memchr(b'.', text)?;
    Some((text.get(..dot)?, text.get(dot.saturating_add(1)..)?))
}

fn wrong_parts(text: &[u8]) -> TokenError {
    match text.split(|byte| *byte == b'.').count() {
        // RFC 7516 §7.1: five parts are an encrypted token.
        5 => TokenError::Encrypted,
        found => TokenError::Parts { found },
    }
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
