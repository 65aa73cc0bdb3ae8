//! Who may ask for tokens, and how they prove who they are. A test adds, changes and removes clients while the issuer
//! runs.

use std::sync::Mutex;

use anyhow::{Context, Result, bail};
use attache::jose::KeySet;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::lock::lock;

/// A confidential client.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Its `client_id`.
    pub id: String,
    /// Its `client_secret`, if it has one.
    #[serde(default)]
    pub secret: Option<String>,
    /// Its public keys, if it has some: a JWKS document (RFC 7591 §2, `jwks`).
    #[serde(default)]
    pub keys: Option<Value>,
    /// How it may authenticate, as far as it has what that takes. Default: in all ways.
    #[serde(default = "all_methods")]
    pub methods: Vec<AuthMethod>,
    /// The scopes it may ask for, and gets when it asks for none.
    #[serde(default)]
    pub scopes: Vec<String>,
}

/// How a client authenticates, by its name in metadata (RFC 8414 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// A secret in the Basic scheme (RFC 6749 §2.3.1).
    ClientSecretBasic,
    /// A secret in the form (RFC 6749 §2.3.1).
    ClientSecretPost,
    /// An assertion that its key signed (RFC 7523 §2.2).
    PrivateKeyJwt,
}

/// All clients that there are now.
#[derive(Debug)]
pub(super) struct Clients(Mutex<Vec<Client>>);

impl Client {
    /// A client without scopes and without a way to authenticate yet.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), secret: None, keys: None, methods: all_methods(), scopes: Vec::new() }
    }

    /// The demo's client.
    pub fn demo() -> Self {
        Self::new(DEMO_CLIENT).secret(DEMO_SECRET).scopes(&DEMO_SCOPES)
    }

    /// Sets its secret.
    pub fn secret(mut self, secret: impl Into<String>) -> Self {
        self.secret = Some(secret.into());
        self
    }

    /// Sets its public keys: a JWKS document.
    pub fn keys(mut self, jwks: Value) -> Self {
        self.keys = Some(jwks);
        self
    }

    /// Sets how it may authenticate.
    pub fn methods(mut self, methods: &[AuthMethod]) -> Self {
        self.methods = methods.to_vec();
        self
    }

    /// Sets its scopes.
    pub fn scopes(mut self, scopes: &[&str]) -> Self {
        self.scopes = scopes.iter().map(|&scope| scope.to_owned()).collect();
        self
    }

    /// Fails where its keys are no keys: each of its requests would be refused without a hint at the cause.
    fn check(&self) -> Result<()> {
        let Some(keys) = &self.keys else { return Ok(()) };
        let parsed = KeySet::parse(keys.to_string().as_bytes())
            .with_context(|| format!("the keys of client `{}` are no JWKS", self.id))?;
        if parsed.set.is_empty() {
            bail!("the keys of client `{}` have none that verifies", self.id);
        }
        Ok(())
    }
}

impl AuthMethod {
    /// Every method.
    pub const ALL: [Self; 3] = [Self::ClientSecretBasic, Self::ClientSecretPost, Self::PrivateKeyJwt];

    /// Returns the name in metadata.
    pub fn name(self) -> &'static str {
        match self {
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
        }
    }
}

impl Clients {
    pub(super) fn new(clients: Vec<Client>) -> Result<Self> {
        clients.iter().try_for_each(Client::check)?;
        Ok(Self(Mutex::new(clients)))
    }

    pub(super) fn find(&self, id: &str) -> Option<Client> {
        lock(&self.0).iter().find(|client| client.id == id).cloned()
    }

    /// Adds a client, in the place of the one of this id if there is one.
    pub(super) fn add(&self, client: Client) -> Result<()> {
        client.check()?;
        let mut clients = lock(&self.0);
        match clients.iter_mut().find(|other| other.id == client.id) {
            Some(other) => *other = client,
            None => clients.push(client),
        }
        Ok(())
    }

    /// Removes a client. Returns whether there was one.
    pub(super) fn remove(&self, id: &str) -> bool {
        let mut clients = lock(&self.0);
        let before = clients.len();
        clients.retain(|client| client.id != id);
        clients.len() != before
    }

    /// Sets a client's secret, and thereby revokes the old one. Returns whether there is such a client.
    pub(super) fn set_secret(&self, id: &str, secret: &str) -> bool {
        let mut clients = lock(&self.0);
        let client = clients.iter_mut().find(|client| client.id == id);
        client.map(|client| client.secret = Some(secret.to_owned())).is_some()
    }
}

fn all_methods() -> Vec<AuthMethod> {
    AuthMethod::ALL.to_vec()
}

/// The demo client's id.
pub const DEMO_CLIENT: &str = "orders-service";
/// The demo client's secret, which is none.
pub const DEMO_SECRET: &str = "demo-secret";
/// The demo client's scopes.
pub const DEMO_SCOPES: [&str; 3] = ["orders:read", "orders:write", "inventory:read"];
