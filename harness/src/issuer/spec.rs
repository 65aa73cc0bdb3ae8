//! What a token shall look like: the order that tests and the demo give the issuer. The default is a valid token.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::keys::Algorithm;

/// A token to mint. Starts from a valid one; every deviation is written out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenSpec {
    /// Who signs.
    pub signer: Signer,
    /// Claims that replace or join the usual ones.
    pub claims: Map<String, Value>,
    /// Claims that are left out.
    pub without: Vec<String>,
    /// Header members that replace or join the usual ones.
    pub header: Map<String, Value>,
    /// Header members that are left out.
    pub without_header: Vec<String>,
    /// Seconds from now until `exp`; negative: it expired then. Default: the issuer's lifetime.
    pub expires_in: Option<i64>,
    /// What is done to the token after it was signed.
    pub tamper: Tamper,
    /// The header as raw text, in place of all that was said above: for duplicate members and broken JSON.
    pub raw_header: Option<String>,
    /// The claims as raw text, in place of all that was said above.
    pub raw_claims: Option<String>,
}

/// Who signs a token, and thereby its `alg` and `kid`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signer {
    /// The issuer's current key.
    #[default]
    Current,
    /// The key with this id, published or withdrawn.
    Kid(String),
    /// The newest published key of this algorithm.
    Algorithm(Algorithm),
    /// A fresh key of this algorithm that is published nowhere, under a new `kid`.
    Unknown(Algorithm),
    /// A fresh key that is published nowhere, under the current key's `kid` and `alg`.
    Forger,
    /// `alg: none`, with an empty signature.
    None,
    /// HMAC with SHA-256 under a shared secret; no `kid`.
    Hs256(String),
    /// HMAC with SHA-256 under the current RSA key's public PEM, and with its `kid`: key confusion (RFC 8725 §2.1).
    Hs256WithPublicKey,
}

/// What is done to a token after it was signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tamper {
    /// Nothing.
    #[default]
    Nothing,
    /// One more scope, added after the signature was made.
    Claims,
    /// One bit of the signature.
    Signature,
    /// The signature is cut in half.
    HalfSignature,
    /// The signature is empty.
    NoSignature,
}

impl TokenSpec {
    /// A valid token of the default client with these scopes.
    pub fn scoped(scopes: &str) -> Self {
        Self::default().claim("scope", scopes)
    }

    /// Sets a claim.
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    /// Leaves a claim out.
    pub fn without(mut self, name: &str) -> Self {
        self.without.push(name.to_owned());
        self
    }

    /// Sets a header member.
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header.insert(name.to_owned(), value.into());
        self
    }

    /// Leaves a header member out.
    pub fn without_header(mut self, name: &str) -> Self {
        self.without_header.push(name.to_owned());
        self
    }

    /// Chooses who signs.
    pub fn signer(mut self, signer: Signer) -> Self {
        self.signer = signer;
        self
    }

    /// Chooses the algorithm: the newest published key of it signs.
    pub fn algorithm(self, algorithm: Algorithm) -> Self {
        self.signer(Signer::Algorithm(algorithm))
    }

    /// Sets `exp` to this many seconds from now.
    pub fn expires_in(mut self, seconds: i64) -> Self {
        self.expires_in = Some(seconds);
        self
    }

    /// Makes it a token that expired an hour ago.
    pub fn expired(self) -> Self {
        self.expires_in(-3_600)
    }

    /// Does this to the signed token.
    pub fn tamper(mut self, tamper: Tamper) -> Self {
        self.tamper = tamper;
        self
    }

    /// Writes the header out as raw text.
    pub fn raw_header(mut self, text: impl Into<String>) -> Self {
        self.raw_header = Some(text.into());
        self
    }

    /// Writes the claims out as raw text.
    pub fn raw_claims(mut self, text: impl Into<String>) -> Self {
        self.raw_claims = Some(text.into());
        self
    }
}
