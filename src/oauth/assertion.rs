//! The client assertion of `private_key_jwt` (RFC 7523 §3, OpenID Connect Core §9).

use core::time::Duration;
use std::rc::Rc;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde_json::json;

use super::authentication::Signing;
use crate::jose::{Algorithm, SigningError, SigningKey};

/// How assertions are made.
#[derive(Clone, Debug)]
pub struct Assertion {
    /// What signs them.
    pub key: Rc<SigningKey>,
    /// How; one of the key's algorithms.
    pub algorithm: Algorithm,
    /// `kid` of the header.
    pub kid: Option<Rc<str>>,
    /// `x5t#S256` of the header: the SHA-256 of the certificate, base64url.
    pub thumbprint: Option<Rc<str>>,
    /// `aud`: the issuer, as a single text.
    pub audience: Rc<str>,
    /// From `iat` to `exp`; at most [`MAX_ASSERTION_LIFETIME`].
    pub lifetime: Duration,
}

impl Assertion {
    /// Tells apart what a server may tell apart: the key and all that is said with it, but for the times.
    pub(crate) fn digest(&self) -> [u8; 32] {
        use sha2::Digest as _;
        let key = self.key.digest();
        let text = |text: &Option<Rc<str>>| text.as_deref().unwrap_or_default().to_owned();
        let (kid, thumbprint) = (text(&self.kid), text(&self.thumbprint));
        let fields = [self.algorithm.name(), &kid, &thumbprint, &self.audience];
        let mut digest = sha2::Sha256::new_with_prefix(key);
        for field in fields {
            digest.update(u64::try_from(field.len()).unwrap_or(u64::MAX).to_le_bytes());
            digest.update(field);
        }
        digest.finalize().into()
    }

    /// An assertion of this client, good now and for one use.
    ///
    /// # Errors
    /// When no engine signs with this key.
    pub(crate) fn sign(&self, client_id: &str, signing: &Signing<'_>) -> Result<String, SigningError> {
        let mut id = [0; 16];
        signing.random.fill(&mut id);
        let now = signing.now.secs();
        let mut header = json!({ "alg": self.algorithm.name(), "typ": "JWT" });
        if let Some(members) = header.as_object_mut() {
            let kid = self.kid.as_ref().map(|kid| ("kid", kid));
            let thumbprint = self.thumbprint.as_ref().map(|thumbprint| ("x5t#S256", thumbprint));
            members.extend(
                kid.into_iter().chain(thumbprint).map(|(name, text)| (name.to_owned(), json!(&**text))),
            );
        }
        let claims = json!({
            "iss": client_id,
            "sub": client_id,
            "aud": &*self.audience,
            "jti": Base64UrlUnpadded::encode_string(&id),
            "iat": now,
            "exp": now.saturating_add(self.lifetime.as_secs()),
        });
        let mut token = Base64UrlUnpadded::encode_string(header.to_string().as_bytes());
        token.push('.');
        token.push_str(&Base64UrlUnpadded::encode_string(claims.to_string().as_bytes()));
        let signature = signing.crypto.sign(self.algorithm, &self.key, token.as_bytes(), signing.random)?;
        token.push('.');
        token.push_str(&Base64UrlUnpadded::encode_string(&signature));
        Ok(token)
    }
}

/// Who gets hold of an assertion can use it for that long where the server keeps no list of those it has seen.
pub const MAX_ASSERTION_LIFETIME: Duration = Duration::from_secs(300);
