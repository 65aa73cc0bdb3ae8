//! What an export does not say, and the operator does.

use anyhow::{Result, bail};

/// What the export does not say.
#[derive(Clone, Debug)]
pub struct Options {
    /// The issuer of the tokens.
    pub issuer: String,
    /// The audiences of the API.
    pub audiences: Vec<String>,
    /// Where its keys are, if it has no metadata.
    pub jwks_uri: Option<String>,
    /// The cluster that leads to it.
    pub cluster: String,
    /// Where the proxies are.
    pub base_paths: Vec<BasePath>,
    /// Only products of this environment.
    pub environment: Option<String>,
    /// How many of a product's scopes a token needs.
    pub scopes: ScopeUse,
    /// The claim of a token that lists its products.
    pub product_claim: Option<String>,
    /// Whether any valid token may use a product without scopes.
    pub opens_unscoped: bool,
}

/// Where a proxy is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasePath {
    /// The proxy; `None` is each that has no other.
    pub proxy: Option<String>,
    /// The path, which begins with a slash.
    pub path: String,
}

/// How many of a product's scopes a token needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScopeUse {
    /// One of them.
    Any,
    /// All of them.
    All,
}

impl BasePath {
    /// Reads `PROXY=PATH` or `PATH`.
    ///
    /// # Errors
    /// The path is none.
    pub fn parse(text: &str) -> Result<Self> {
        let (proxy, path) = match text.split_once('=') {
            Some((proxy, path)) if !proxy.starts_with('/') => (Some(proxy.to_owned()), path),
            Some(_) | None => (None, text),
        };
        if !path.starts_with('/') {
            bail!("--base-path {text}: expected PROXY=/PATH, or /PATH for all proxies");
        }
        Ok(Self { proxy, path: path.to_owned() })
    }
}
