//! An authorization server for demos and tests: client credentials (RFC 6749 §4.4), token exchange (RFC 8693), JWT
//! access tokens (RFC 9068) or opaque ones, a JWKS, metadata (RFC 8414), key rotation, caching and faults on demand. It
//! mints any token for any client that asks: never run it where its tokens mean something.

mod admin;
mod answer;
mod assertion;
mod authentication;
mod basic;
mod caching;
mod client;
mod counters;
mod endpoint;
mod exchange;
mod fault;
mod form;
mod grant;
mod issued;
mod jwt;
mod key_pair;
mod key_ring;
mod key_set;
mod keys;
mod metadata;
mod options;
mod raw_answer;
mod refusal;
mod response;
mod routes;
mod seen_assertions;
mod spec;
mod state;
#[cfg(test)]
mod tests;
mod token_request;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

pub use self::caching::Caching;
pub use self::client::{AuthMethod, Client, DEMO_CLIENT, DEMO_SCOPES, DEMO_SECRET};
pub use self::endpoint::Endpoint;
pub use self::fault::Fault;
pub use self::key_pair::KeyPair;
pub use self::keys::Algorithm;
pub use self::metadata::MetadataForm;
pub use self::options::{DEMO_AUDIENCE, DEMO_IDENTIFIER, IssuerOptions, TokenFormat};
pub use self::raw_answer::RawAnswer;
pub use self::spec::{Signer, Tamper, TokenSpec};
pub use self::token_request::TokenRequest;

use self::state::State;
use crate::server::Server;

/// A running issuer. Ends when dropped; needs no async runtime around it.
#[derive(Debug)]
pub struct Issuer {
    state: Arc<State>,
    server: Server,
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

    /// Replaces the current key by a new one of its algorithm under its id, which is returned; the old one is gone.
    pub fn rotate_in_place(&self) -> Result<String> {
        self.state.rotate_in_place()
    }

    /// Withdraws one key, the current one too; it can still sign. Returns whether it was published.
    pub fn withdraw(&self, kid: &str) -> bool {
        self.state.withdraw(kid)
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

    /// Serves these bytes as metadata, of both forms, from now on; without any: its own again.
    pub fn replace_metadata(&self, raw: Option<Vec<u8>>) {
        self.state.replace_metadata(raw);
    }

    /// Hides one form of the metadata behind a 404, or shows it again.
    pub fn hide_metadata(&self, form: MetadataForm, hidden: bool) {
        self.state.hide_metadata(form, hidden);
    }

    /// Sets the metadata's `jwks_uri`; without one: that of `/jwks` again.
    pub fn set_jwks_uri(&self, uri: Option<String>) {
        self.state.set_jwks_uri(uri);
    }

    /// Sets the metadata's `token_endpoint`; without one: that of `/token` again.
    pub fn set_token_endpoint(&self, uri: Option<String>) {
        self.state.set_token_endpoint(uri);
    }

    /// Adds a client, in the place of the one of its id if there is one. Fails where its keys are none.
    pub fn add_client(&self, client: Client) -> Result<()> {
        self.state.clients.add(client)
    }

    /// Removes a client; its tokens stay. Returns whether there was one.
    pub fn remove_client(&self, id: &str) -> bool {
        self.state.clients.remove(id)
    }

    /// Sets a client's secret, and thereby revokes the old one. Returns whether there is such a client.
    pub fn set_secret(&self, id: &str, secret: &str) -> bool {
        self.state.clients.set_secret(id, secret)
    }

    /// Sets how long the tokens that follow live.
    pub fn set_lifetime(&self, lifetime: Duration) {
        self.state.set_lifetime(lifetime);
    }

    /// Revokes a token. Returns whether it was live.
    pub fn revoke_token(&self, token: &str) -> bool {
        self.state.issued.revoke(token)
    }

    /// Revokes all tokens that the token endpoint issued until now.
    pub fn revoke_all_tokens(&self) {
        self.state.issued.revoke_all();
    }

    /// Whether the token endpoint issued this token, and it has neither expired nor been revoked.
    pub fn is_live(&self, token: &str) -> bool {
        self.state.issued.is_live(token)
    }

    /// Returns the last 20,000 tokens that were issued or revoked, oldest first: for those who look for leaks.
    pub fn issued_tokens(&self) -> Vec<String> {
        self.state.issued.all()
    }

    /// Returns `is_live` as a function of its own, for an upstream to ask.
    pub fn liveness(&self) -> impl Fn(&str) -> bool + Clone + Send + Sync + 'static {
        let state = Arc::clone(&self.state);
        move |token| state.issued.is_live(token)
    }

    /// Sets what an endpoint says about caching. The token endpoint keeps to `no-store`.
    pub fn set_caching(&self, at: Endpoint, caching: Caching) {
        self.state.set_caching(at, caching);
    }

    /// Lets every request for `/jwks` meet this fault until `heal`.
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
        for at in Endpoint::ALL {
            self.state.set_fault(at, None, None);
        }
    }

    /// Returns how many requests for `/jwks` came, faults included.
    pub fn jwks_requests(&self) -> u64 {
        self.state.requests.jwks.read()
    }

    /// Returns how many requests for `/jwks2` came, faults included.
    pub fn second_jwks_requests(&self) -> u64 {
        self.state.requests.second_jwks.read()
    }

    /// Returns how many of the requests for either of both were answered that nothing changed.
    pub fn jwks_not_modified(&self) -> u64 {
        self.state.requests.jwks_not_modified.read()
    }

    /// Returns when each request for either of both came, oldest first; of the last 100,000.
    pub fn jwks_request_times(&self) -> Vec<Instant> {
        self.state.requests.jwks_times.read()
    }

    /// Returns how many token requests came, refused ones included.
    pub fn token_requests(&self) -> u64 {
        self.state.requests.token.read()
    }

    /// Returns how many of them said that they come from this client.
    pub fn token_requests_of(&self, client_id: &str) -> u64 {
        self.state.requests.clients.read(client_id)
    }

    /// Returns how many of them had this `grant_type`.
    pub fn token_requests_with(&self, grant_type: &str) -> u64 {
        self.state.requests.grants.read(grant_type)
    }

    /// Returns when each token request came, oldest first; of the last 100,000.
    pub fn token_request_times(&self) -> Vec<Instant> {
        self.state.requests.token_times.read()
    }

    /// Returns the last 1,000 token requests, oldest first, without their secrets.
    pub fn token_log(&self) -> Vec<TokenRequest> {
        self.state.token_log.read()
    }

    /// Returns how many requests for metadata came, of both forms, hidden ones included.
    pub fn metadata_requests(&self) -> u64 {
        self.state.requests.metadata()
    }

    /// Returns how many of them were for the form of RFC 8414.
    pub fn oauth_metadata_requests(&self) -> u64 {
        self.state.requests.oauth_metadata.read()
    }

    /// Returns how many of them were for OpenID's form.
    pub fn openid_metadata_requests(&self) -> u64 {
        self.state.requests.openid_metadata.read()
    }
}
