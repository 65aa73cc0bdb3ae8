//! What the audit record says of a verified token beside its client: its subject and its own name, or keyed digests of
//! them. A digest is made once, when the token is verified.

use std::rc::Rc;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::base::{AuditText, Secret};
use crate::jose::{Json, SignedToken};

/// What is asked of tokens for the audit record.
#[derive(Clone, Debug, Default)]
pub struct AskedAudit {
    /// `sub`.
    pub subject: Option<AuditedForm>,
    /// What tells a token from others: `jti`, or a digest of the token itself.
    pub token: Option<AuditedForm>,
}

/// How a name is written.
#[derive(Clone, Debug)]
pub enum AuditedForm {
    /// As the issuer writes it.
    Plain,
    /// As a digest, by which those who have the key know it again.
    Digest(Rc<DigestKey>),
}

/// The key of digests.
#[derive(Debug)]
pub struct DigestKey(Secret);

/// What is kept of a token for the audit record.
#[derive(Clone, Debug)]
pub struct AuditedNames {
    /// Its subject.
    pub subject: AuditText,
    /// What tells it from other tokens.
    pub token: AuditText,
}

impl AskedAudit {
    /// Reads what is asked; `None` where that is nothing.
    pub(super) fn read(&self, token: &SignedToken<'_>) -> Option<Box<AuditedNames>> {
        if self.subject.is_none() && self.token.is_none() {
            return None;
        }
        let claim = |name: &str| token.claims().get(name).and_then(Json::as_str).unwrap_or_default();
        let subject = match &self.subject {
            None => AuditText::EMPTY,
            Some(AuditedForm::Plain) => AuditText::of(claim("sub")),
            Some(AuditedForm::Digest(key)) => key.digest(SUBJECT, claim("sub").as_bytes()),
        };
        let token = match &self.token {
            None => AuditText::EMPTY,
            Some(AuditedForm::Plain) => AuditText::of(claim("jti")),
            Some(AuditedForm::Digest(key)) => key.digest(TOKEN, token.text()),
        };
        Some(Box::new(AuditedNames { subject, token }))
    }
}

impl AuditedNames {
    pub(super) fn size(&self) -> usize {
        size_of::<Self>().saturating_add(self.subject.len()).saturating_add(self.token.len())
    }
}

impl DigestKey {
    /// `None` when the secret has fewer than [`MIN_DIGEST_KEY_BYTES`].
    pub fn new(secret: Secret) -> Option<Self> {
        (secret.expose().len() >= MIN_DIGEST_KEY_BYTES).then_some(Self(secret))
    }

    /// The first 16 bytes of HMAC-SHA-256 (RFC 2104) over the label and the text, in base64url. Nothing has no digest.
    fn digest(&self, label: &[u8], text: &[u8]) -> AuditText {
        if text.is_empty() {
            return AuditText::EMPTY;
        }
        // A key of any length will do.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.0.expose()) else { return AuditText::EMPTY };
        mac.update(label);
        mac.update(text);
        let digest: [u8; 32] = mac.finalize().into_bytes().into();
        let half = digest.first_chunk::<16>().copied().unwrap_or_default();
        AuditText::of(&Base64UrlUnpadded::encode_string(&half))
    }
}

/// As long as the digest (RFC 2104 §3).
pub const MIN_DIGEST_KEY_BYTES: usize = 32;
/// A subject that looks like a token has another digest than that token.
const SUBJECT: &[u8] = b"attache.audit.subject\n";
const TOKEN: &[u8] = b"attache.audit.token\n";
