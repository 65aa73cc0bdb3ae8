//! What came, as the upstream answers and remembers it.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// What the upstream received, as it answers it in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Echo {
    /// The method.
    pub method: String,
    /// The path with its query, as it came.
    pub path: String,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub version: String,
    /// All headers in order, repeated ones too; bytes outside ASCII are shown as in Latin-1.
    pub headers: Vec<(String, String)>,
    /// The body's length in bytes.
    pub body_length: usize,
    /// The body's SHA-256 in hex.
    pub body_sha256: String,
}

impl Echo {
    /// Reads an echo from a response's body.
    pub fn parse(body: &[u8]) -> Result<Self> {
        serde_json::from_slice(body).context("the body is not the upstream's echo")
    }

    /// Returns all values of a header.
    pub fn header_values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Returns a header's value if it came exactly once.
    pub fn header<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        let mut values = self.header_values(name);
        let first = values.next();
        if values.next().is_some() { None } else { first }
    }

    /// Returns the token of an `Authorization` that came exactly once, with the scheme `Bearer`.
    pub fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.header("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token)
    }
}
