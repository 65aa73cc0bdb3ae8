//! What a token shall look like, and what shall go wrong: the orders that tests and the demo give the issuer.

use std::time::Duration;

use anyhow::{Result, bail};
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
    /// One more scope, signed by nobody.
    Claims,
    /// One bit of the signature.
    Signature,
    /// The signature is cut in half.
    HalfSignature,
    /// The signature is empty.
    NoSignature,
}

/// What goes wrong at an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answers this status and a short JSON body.
    Status(u16),
    /// Answers this status with `Retry-After`.
    RetryAfter {
        /// The status.
        status: u16,
        /// The header's value, in seconds.
        seconds: u64,
    },
    /// Answers as usual, later.
    Delay(Duration),
    /// Never answers; the connection stays open.
    Hang,
    /// Cuts the connection without an answer.
    Reset,
    /// Answers 200 without a body.
    EmptyBody,
    /// Announces the whole body, sends half, ends the connection.
    Truncated,
    /// Answers 200 with half of the JSON, complete as HTTP goes.
    HalfJson,
    /// Answers 200 with a web page.
    Html,
    /// Answers 200 with bytes that are not UTF-8.
    NotUtf8,
    /// Answers as usual, in JSON padded to this many bytes.
    Huge(usize),
    /// Answers 200 with a set of no keys (elsewhere: an empty object).
    EmptySet,
    /// Answers 302 to the same path.
    Redirect,
}

/// Where a fault takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `/jwks`.
    Jwks,
    /// `/token`.
    Token,
    /// Both metadata documents under `/.well-known/`.
    Metadata,
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

impl Fault {
    /// Reads a fault from its name and its number, as the admin endpoint gets them.
    pub fn parse(kind: &str, value: Option<u64>) -> Result<Self> {
        let number = || value.ok_or_else(|| anyhow::anyhow!("fault `{kind}` needs a number: add `&value=`"));
        let status = |or: u16| Ok::<u16, anyhow::Error>(value.map_or(Ok(or), u16::try_from)?);
        Ok(match kind {
            "status" => Self::Status(status(503)?),
            "retry_after" => Self::RetryAfter { status: 503, seconds: number()? },
            "delay" => Self::Delay(Duration::from_millis(number()?)),
            "hang" => Self::Hang,
            "reset" => Self::Reset,
            "empty_body" => Self::EmptyBody,
            "truncated" => Self::Truncated,
            "half_json" => Self::HalfJson,
            "html" => Self::Html,
            "not_utf8" => Self::NotUtf8,
            "huge" => Self::Huge(usize::try_from(number()?)?),
            "empty_set" => Self::EmptySet,
            "redirect" => Self::Redirect,
            other => bail!("unknown fault `{other}`: use one of {FAULTS}, or none"),
        })
    }
}

impl Endpoint {
    /// Reads an endpoint from its name, as the admin endpoint gets it.
    pub fn parse(name: &str) -> Result<Self> {
        Ok(match name {
            "jwks" => Self::Jwks,
            "token" => Self::Token,
            "metadata" => Self::Metadata,
            other => bail!("unknown endpoint `{other}`: use jwks, token or metadata"),
        })
    }
}

const FAULTS: &str = "status, retry_after, delay (ms), hang, reset, empty_body, truncated, half_json, html, not_utf8, huge \
                      (bytes), empty_set, redirect";
