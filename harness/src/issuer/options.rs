//! How an issuer starts; the defaults are the demo's.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::client::Client;
use super::keys::Algorithm;

/// How an issuer starts.
#[derive(Clone, Debug)]
pub struct IssuerOptions {
    /// Where it listens; port 0: a free one. Default: 127.0.0.1, free port.
    pub listen: SocketAddr,
    /// The `iss` of its tokens. Default: its own URL.
    pub identifier: Option<String>,
    /// The `aud` of tokens whose request names none.
    pub audience: String,
    /// How long its tokens live.
    pub lifetime: Duration,
    /// What the token endpoint issues.
    pub tokens: TokenFormat,
    /// One key is made for each at the start; the first signs. RSA keys take a moment each.
    pub algorithms: Vec<Algorithm>,
    /// Key ids are this, a hyphen and a number from 1.
    pub kid_prefix: String,
    /// Who may ask for tokens. Minted tokens are the first one's.
    pub clients: Vec<Client>,
}

/// What the token endpoint issues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenFormat {
    /// Signed tokens.
    #[default]
    Jwt,
    /// Random text, which means something to the issuer only.
    Opaque,
}

impl Default for IssuerOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            identifier: None,
            audience: DEMO_AUDIENCE.into(),
            lifetime: Duration::from_secs(300),
            tokens: TokenFormat::Jwt,
            algorithms: vec![Algorithm::Es256],
            kid_prefix: "key".into(),
            clients: vec![Client::demo()],
        }
    }
}

/// The `iss` that `envoy.yaml` expects.
pub const DEMO_IDENTIFIER: &str = "https://issuer.example";
/// The `aud` that `envoy.yaml` expects.
pub const DEMO_AUDIENCE: &str = "https://orders.example";
