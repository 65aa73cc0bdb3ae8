//! The client assertion of `private_key_jwt` (RFC 7523 §3, OpenID Connect Core §9).

use core::time::Duration;
use std::rc::Rc;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde::Serialize;

use crate::jose::{Algorithm, SigningError, SigningKey, TokenWriter};
use crate::sharing::Context;

/// How assertions are made.
#[derive(Clone, Debug)]
pub struct Assertion {
    /// What signs them.
    pub key: Rc<SigningKey>,
    /// How; one of the key's algorithms.
    pub algorithm: Algorithm,
    /// `kid` of the header.
    pub kid: Option<Rc<str>>,
    /// `x5t#S256` of the header: the SHA-256 of the certificate.
    pub thumbprint: Option<[u8; 32]>,
    /// `aud`: the issuer, as a single text.
    pub audience: Rc<str>,
    /// From `iat` to `exp`; at most [`MAX_ASSERTION_LIFETIME`].
    pub lifetime: Duration,
}

impl Assertion {
    /// Tells apart what a server may tell apart: the key and all that is said with it, but for the times.
    pub(crate) fn digest(&self) -> [u8; 32] {
        use sha2::Digest as _;
        let kid = self.kid.as_deref().unwrap_or_default().as_bytes();
        let thumbprint = self.thumbprint.as_ref().map(<[u8; 32]>::as_slice).unwrap_or_default();
        let fields = [self.algorithm.name().as_bytes(), kid, thumbprint, self.audience.as_bytes()];
        let mut digest = sha2::Sha256::new_with_prefix(self.key.digest());
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
    pub(crate) fn sign(&self, client_id: &str, context: &Context<'_>) -> Result<String, SigningError> {
        let mut id = [0; 16];
        context.random.fill(&mut id);
        let header = TokenWriter {
            algorithm: self.algorithm.name(),
            typ: Some("JWT"),
            kid: self.kid.as_deref(),
            thumbprint: self.thumbprint,
        };
        let now = context.now.secs();
        let claims = Claims {
            iss: client_id,
            sub: client_id,
            aud: &self.audience,
            jti: Base64UrlUnpadded::encode_string(&id),
            iat: now,
            exp: now.saturating_add(self.lifetime.as_secs()),
        };
        let sign = |message: &[u8]| context.crypto.sign(self.algorithm, &self.key, message, context.random);
        header.write(claims, sign)
    }
}

/// What an assertion says (RFC 7523 §3). `iat` and `exp` are here too: jwt-compact's own are dates of a calendar with
/// an end, and these are numbers.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    jti: String,
    iat: u64,
    exp: u64,
}

/// Who gets hold of an assertion can use it for that long where the server keeps no list of those it has seen.
pub const MAX_ASSERTION_LIFETIME: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Secret, Timestamp};
    use crate::jose::{RustCrypto, TokenParts};
    use crate::sharing::TestHost;

    fn assertion(lifetime: Duration) -> Assertion {
        let keys: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/conformance/signing_keys.json")).unwrap();
        let key = SigningKey::parse(&Secret::new(keys[1]["jwk"].to_string())).unwrap();
        let audience = "https://idp.example".into();
        let (key, algorithm) = (Rc::new(key), Algorithm::Es256);
        Assertion { key, algorithm, kid: Some("a".into()), thumbprint: Some([1; 32]), audience, lifetime }
    }

    /// `iat` and `exp` of an assertion, if its signature is the key's.
    fn times(now: Timestamp, lifetime: Duration) -> (u64, u64) {
        let assertion = assertion(lifetime);
        let text = assertion.sign("client", &TestHost::new().at(now)).unwrap();
        let parts = TokenParts::decode(&text).unwrap();
        let token = parts.read().unwrap();
        let token = token.verify(assertion.key.public(), &RustCrypto).unwrap();
        let claims: serde_json::Value = serde_json::from_str(&payload(&text)).unwrap();
        assert_eq!(token.claims().len(), 6);
        (claims["iat"].as_u64().unwrap(), claims["exp"].as_u64().unwrap())
    }

    fn payload(text: &str) -> String {
        let claims = Base64UrlUnpadded::decode_vec(text.split('.').nth(1).unwrap()).unwrap();
        String::from_utf8(claims).unwrap()
    }

    #[test]
    fn no_time_and_no_lifetime_is_beyond_an_assertion() {
        assert_eq!(times(Timestamp::from_secs(5), Duration::from_secs(60)), (5, 65));
        assert_eq!(times(Timestamp::EPOCH, Duration::ZERO), (0, 0));
        assert_eq!(times(Timestamp::EPOCH, Duration::MAX), (0, u64::MAX));
        assert_eq!(times(Timestamp::MAX, Duration::MAX), (Timestamp::MAX.secs(), u64::MAX));
    }

    #[test]
    fn debug_output_of_an_assertion_shows_no_key() {
        let shown = format!("{:?}", assertion(Duration::ZERO));
        let keys = include_str!("../../tests/conformance/signing_keys.json");
        let keys: serde_json::Value = serde_json::from_str(keys).unwrap();
        assert!(
            shown.contains("SigningKey") && !shown.contains(keys[1]["jwk"]["d"].as_str().unwrap()),
            "{shown}"
        );
    }
}
