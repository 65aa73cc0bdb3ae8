//! An authorization server for demos and tests: client credentials (RFC 6749 §4.4), JWT access tokens (RFC 9068), a
//! JWKS, metadata (RFC 8414), key rotation and faults on demand. It mints whatever it is asked for, to whoever asks:
//! never run it where its tokens mean something.

mod keys;
mod routes;
mod spec;
mod state;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};

pub use self::keys::Algorithm;
pub use self::spec::{Endpoint, Fault, Signer, Tamper, TokenSpec};

use self::state::State;
use crate::server::Server;

/// A running issuer. Ends when dropped; needs no async runtime around it.
#[derive(Debug)]
pub struct Issuer {
    state: Arc<State>,
    server: Server,
}

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
    /// One key is made for each at the start; the first signs. RSA keys take a moment each.
    pub algorithms: Vec<Algorithm>,
    /// Key ids are this, a hyphen and a number from 1.
    pub kid_prefix: String,
    /// Who may ask for tokens. Minted tokens are the first one's.
    pub clients: Vec<Client>,
}

/// A confidential client.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its `client_id`.
    pub id: String,
    /// Its `client_secret`.
    pub secret: String,
    /// The scopes it may ask for, and gets when it asks for none.
    pub scopes: Vec<String>,
}

impl Issuer {
    /// Starts an issuer.
    pub fn start(options: IssuerOptions) -> Result<Self> {
        // The port comes first, since the default identifier names it; the keys come before the first request.
        let mut made = None;
        let listen = options.listen;
        let server =
            Server::start("issuer", listen, |addr| match State::new(options, format!("http://{addr}")) {
                Ok(state) => {
                    let state = Arc::new(state);
                    made = Some(Ok(Arc::clone(&state)));
                    routes::router(state)
                }
                Err(error) => {
                    made = Some(Err(error));
                    axum::Router::new()
                }
            })
            .with_context(|| {
                format!("the issuer cannot listen on {listen}: choose another address with --listen")
            })?;
        let state = made.context("the issuer did not start")??;
        Ok(Self { state, server })
    }

    /// Starts one with these algorithms and defaults for the rest.
    pub fn with_algorithms(algorithms: &[Algorithm]) -> Result<Self> {
        Self::start(IssuerOptions { algorithms: algorithms.to_vec(), ..IssuerOptions::default() })
    }

    /// Returns its base URL, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.state.url
    }

    /// Returns the address that it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Returns the `iss` of its tokens.
    pub fn identifier(&self) -> &str {
        &self.state.identifier
    }

    /// Makes the token that the specification describes.
    pub fn mint(&self, spec: &TokenSpec) -> Result<String> {
        self.state.mint(spec)
    }

    /// Adds a key and signs with it from now on; the others stay published. Returns its id.
    pub fn rotate(&self) -> Result<String> {
        self.state.rotate(None)
    }

    /// Rotates to a key of another algorithm.
    pub fn rotate_to(&self, algorithm: Algorithm) -> Result<String> {
        self.state.rotate(Some(algorithm))
    }

    /// Withdraws all keys but the current one; they can still sign by their ids. Returns those ids.
    pub fn withdraw_old(&self) -> Vec<String> {
        self.state.withdraw_old()
    }

    /// Returns the current key's id.
    pub fn kid(&self) -> String {
        self.state.kid()
    }

    /// Returns the ids of the published keys, oldest first.
    pub fn kids(&self) -> Vec<String> {
        self.state.kids()
    }

    /// Returns the JWKS document that it serves: what a configuration's `inline` takes.
    pub fn jwks(&self) -> Vec<u8> {
        self.state.jwks()
    }

    /// Returns the current RSA key's public half as PEM.
    pub fn public_pem(&self) -> Result<String> {
        self.state.public_pem()
    }

    /// Serves these bytes as the JWKS from now on.
    pub fn replace_jwks(&self, raw: impl Into<Vec<u8>>) {
        self.state.replace_jwks(Some(raw.into()));
    }

    /// Serves its own keys again.
    pub fn restore_jwks(&self) {
        self.state.replace_jwks(None);
    }

    /// Lets every JWKS request meet this fault until `heal`.
    pub fn fault(&self, fault: Fault) {
        self.fault_at(Endpoint::Jwks, fault);
    }

    /// Lets every request at this endpoint meet this fault until `heal`.
    pub fn fault_at(&self, at: Endpoint, fault: Fault) {
        self.state.set_fault(at, Some(fault), None);
    }

    /// Lets the next requests at this endpoint meet this fault; those after them do not.
    pub fn fault_next(&self, at: Endpoint, fault: Fault, requests: u64) {
        self.state.set_fault(at, Some(fault), Some(requests));
    }

    /// Ends all faults. Requests that hang keep hanging.
    pub fn heal(&self) {
        for at in [Endpoint::Jwks, Endpoint::Token, Endpoint::Metadata] {
            self.state.set_fault(at, None, None);
        }
    }

    /// Returns how many requests for the JWKS came, faults included.
    pub fn jwks_requests(&self) -> u64 {
        read(&self.state.requests.jwks)
    }

    /// Returns how many token requests came, refused ones included.
    pub fn token_requests(&self) -> u64 {
        read(&self.state.requests.token)
    }

    /// Returns how many requests for metadata came.
    pub fn metadata_requests(&self) -> u64 {
        read(&self.state.requests.metadata)
    }
}

impl Default for IssuerOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            identifier: None,
            audience: DEMO_AUDIENCE.into(),
            lifetime: Duration::from_secs(300),
            algorithms: vec![Algorithm::Es256],
            kid_prefix: "key".into(),
            clients: vec![Client::demo()],
        }
    }
}

impl Client {
    /// The demo's client.
    pub fn demo() -> Self {
        Self {
            id: DEMO_CLIENT.into(),
            secret: DEMO_SECRET.into(),
            scopes: DEMO_SCOPES.iter().map(|&scope| scope.into()).collect(),
        }
    }
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// The `iss` that `envoy.yaml` expects.
pub const DEMO_IDENTIFIER: &str = "https://issuer.example";
/// The `aud` that `envoy.yaml` expects.
pub const DEMO_AUDIENCE: &str = "https://orders.example";
/// The demo client's id.
pub const DEMO_CLIENT: &str = "orders-service";
/// The demo client's secret, which is none.
pub const DEMO_SECRET: &str = "demo-secret";
/// The demo client's scopes.
pub const DEMO_SCOPES: [&str; 3] = ["orders:read", "orders:write", "inventory:read"];
