//! The endpoints whose answers a test can bend.

use anyhow::{Result, bail};

/// Where a fault takes place, or caching.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `/jwks`.
    Jwks,
    /// `/jwks2`: the same keys; faults and caching of its own.
    SecondJwks,
    /// `/token`.
    Token,
    /// Both metadata documents under `/.well-known/`.
    Metadata,
}

impl Endpoint {
    /// Every endpoint.
    pub const ALL: [Self; 4] = [Self::Jwks, Self::SecondJwks, Self::Token, Self::Metadata];

    /// Reads an endpoint from its name, as the admin endpoint gets it.
    pub fn parse(name: &str) -> Result<Self> {
        Ok(match name {
            "jwks" => Self::Jwks,
            "jwks2" => Self::SecondJwks,
            "token" => Self::Token,
            "metadata" => Self::Metadata,
            other => bail!("unknown endpoint `{other}`: use jwks, jwks2, token or metadata"),
        })
    }

    /// Whether keys are served here.
    pub(super) fn is_jwks(self) -> bool {
        matches!(self, Self::Jwks | Self::SecondJwks)
    }
}
