//! Issuers of tokens: Ed25519 keys, each from its name.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use ed25519_dalek::Signer as _;
use serde_json::{Value, json};
use sha2::Digest as _;

/// When each world begins.
pub(crate) const START: u64 = 1_800_000_000;

pub(crate) struct Signer {
    kid: String,
    key: ed25519_dalek::SigningKey,
}

impl Signer {
    pub(crate) fn new(kid: &str) -> Self {
        let seed: [u8; 32] = sha2::Sha256::digest(kid).into();
        Self { kid: kid.to_owned(), key: ed25519_dalek::SigningKey::from_bytes(&seed) }
    }

    pub(crate) fn jwk(&self) -> Value {
        let x = Base64UrlUnpadded::encode_string(self.key.verifying_key().as_bytes());
        json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": self.kid })
    }

    pub(crate) fn private_jwk(&self) -> String {
        let mut jwk = self.jwk();
        jwk["d"] = json!(Base64UrlUnpadded::encode_string(&self.key.to_bytes()));
        jwk.to_string()
    }

    pub(crate) fn sign(&self, header: &str, claims: &str) -> String {
        let message = signing_input(header, claims);
        let signature = self.key.sign(message.as_bytes()).to_bytes();
        format!("{message}.{}", Base64UrlUnpadded::encode_string(&signature))
    }

    pub(crate) fn token(&self, claims: &Value) -> String {
        let header = json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": self.kid });
        self.sign(&header.to_string(), &claims.to_string())
    }
}

/// What is signed of a token (RFC 7515 §5.1).
pub(crate) fn signing_input(header: &str, claims: &str) -> String {
    let [header, claims] = [header, claims].map(|part| Base64UrlUnpadded::encode_string(part.as_bytes()));
    format!("{header}.{claims}")
}

/// The claims of an access token (RFC 9068 §2.2) for `https://api.example`.
pub(crate) fn claims(issuer: &str, scope: &str, expiry: u64, subject: &str) -> Value {
    json!({ "iss": issuer, "aud": "https://api.example", "sub": subject, "client_id": "orders", "jti": subject,
        "iat": START - 10, "exp": expiry, "scope": scope })
}
