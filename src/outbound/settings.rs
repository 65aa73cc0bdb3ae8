//! What the outbound half is configured to do.

use core::time::Duration;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use sha2::{Digest as _, Sha256};

use super::destination::DestinationTable;
use super::ids::{ClientId, EndpointId};
use super::lifetime::LifetimeRules;
use crate::base::WaitingBounds;
use crate::oauth::{Address, BreakerSettings, FetchClient, Grant, MetadataSource, TokenRequest};
use crate::policy::Overrides;

/// The compiled block `outbound`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the filter runs.
    pub position: Position,
    /// The identities, in the order of the configuration.
    pub clients: Vec<Rc<Client>>,
    /// The places of the identities, by name.
    pub names: HashMap<Rc<str>, ClientId>,
    /// Where they ask, each once however many clients ask there.
    pub endpoints: Vec<Endpoint>,
    /// The clusters that carry calls of ours: the filter leaves what goes to them alone.
    pub own_clusters: HashSet<Rc<str>>,
    /// Which requests get whose token.
    pub destinations: DestinationTable,
    /// The headers by which a caller's request could become another one than that which a token was put on.
    pub overrides: Overrides,
    /// What becomes of the others.
    pub unmatched: Unmatched,
    /// Whether a route's metadata may choose the client.
    pub reads_route_metadata: bool,
    /// Clusters to which tokens may go without TLS.
    pub plaintext_clusters: HashSet<Rc<str>>,
    /// Bounds for requests that wait for tokens.
    pub waiting: WaitingBounds,
    /// The least age of a token that a 401 purges. Not zero.
    pub purge_interval: Duration,
    /// When endpoints are left alone.
    pub breaker: BreakerSettings,
}

/// Where the filter runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// In a listener: once for each request.
    Downstream,
    /// In a cluster: once for each attempt, and what it sets goes to that cluster only.
    Upstream,
}

/// What becomes of a request of no destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmatched {
    /// It goes on without a token.
    Pass,
    /// It is refused.
    Deny,
}

/// An identity that we act under.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its name, which labels metrics.
    pub name: Rc<str>,
    /// Where it asks.
    pub endpoint: EndpointId,
    /// What it asks for.
    pub request: TokenRequest,
    /// The header that takes the token, lower case.
    pub header: Rc<str>,
    /// What stands before the token: `Bearer `, or nothing.
    pub prefix: Rc<str>,
    /// How long its tokens count.
    pub lifetime: LifetimeRules,
    /// When it asks for the first time.
    pub obtain: Obtain,
    /// The most tokens that an exchange keeps; unused otherwise.
    pub exchanged_tokens: usize,
}

/// When a token is obtained for the first time, and whether it is kept fresh while no request needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obtain {
    /// When the filter starts, and always.
    AtStart,
    /// When a request needs it, and while requests do.
    OnDemand,
}

/// A token endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The cluster that carries the token requests.
    pub cluster: Rc<str>,
    /// How long one may take. Not zero.
    pub timeout: Duration,
    /// Where it is.
    pub location: EndpointLocation,
}

/// Where a token endpoint is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EndpointLocation {
    /// Here.
    At(Address),
    /// Where the metadata of an issuer says (RFC 8414).
    Discovered(MetadataSource),
}

impl Client {
    /// Whether it exchanges callers' tokens (RFC 8693).
    pub fn exchanges(&self) -> bool {
        matches!(self.request.grant, Grant::TokenExchange { .. })
    }
}

impl Settings {
    /// A client.
    pub fn client(&self, ClientId(place): ClientId) -> Option<&Rc<Client>> {
        self.clients.get(place)
    }

    /// The clients that ask an endpoint.
    pub fn clients_of(&self, endpoint: EndpointId) -> impl Iterator<Item = (ClientId, &Rc<Client>)> {
        let clients = (0..).map(ClientId).zip(&self.clients);
        clients.filter(move |(_, client)| client.endpoint == endpoint)
    }

    /// All that tells a client from others: where it asks, and what for.
    pub(super) fn fields_of(&self, client: &Client) -> Vec<Vec<u8>> {
        let endpoint = self.endpoints.get(client.endpoint.0);
        let (cluster, place) = endpoint.map_or((Vec::new(), String::new()), |endpoint| {
            let place = match &endpoint.location {
                EndpointLocation::At(address) => address.url(),
                // A client that would not accept an address without TLS shares nothing with one that would.
                EndpointLocation::Discovered(discovery) => {
                    let rules = if discovery.allow_http { "loose" } else { "strict" };
                    format!("{} by {}, {rules}", discovery.issuer, discovery.cluster)
                }
            };
            (endpoint.cluster.as_bytes().to_vec(), place)
        });
        [cluster, place.into_bytes()].into_iter().chain(client.request.fields()).collect()
    }

    /// A client by its name, for fetches that carry its token. `None` where there is none of that name, or it has no
    /// token of its own.
    pub fn fetch_client(&self, name: &str) -> Option<FetchClient> {
        let client = self.client(*self.names.get(name)?)?;
        if client.exchanges() {
            return None;
        }
        let mut hash = Sha256::new();
        for field in self.fields_of(client) {
            hash.update(field.len().to_le_bytes());
            hash.update(&field);
        }
        Some(FetchClient { name: Rc::clone(&client.name), identity: hash.finalize().into() })
    }

    /// The endpoint that a client asks.
    pub fn endpoint_of(&self, client: ClientId) -> Option<EndpointId> {
        self.client(client).map(|client| client.endpoint)
    }
}

impl Endpoint {
    /// The clusters that carry its calls.
    pub fn clusters(&self) -> impl Iterator<Item = &Rc<str>> {
        let metadata = match &self.location {
            EndpointLocation::At(_) => None,
            EndpointLocation::Discovered(discovery) => Some(&discovery.cluster),
        };
        core::iter::once(&self.cluster).chain(metadata)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::{Authentication, Credentials};

    impl Client {
        /// A client that puts its token into `authorization`, behind this prefix.
        pub(in crate::outbound) fn example(prefix: &str) -> Self {
            let credentials = Credentials { client_id: None, authentication: Authentication::SetByCluster };
            let request = TokenRequest {
                credentials,
                grant: Grant::ClientCredentials,
                scopes: [].into(),
                audience: None,
                resources: Vec::new(),
                parameters: Vec::new(),
                headers: Vec::new(),
                token_types: Vec::new(),
            };
            Self {
                name: "c".into(),
                endpoint: EndpointId(0),
                request,
                header: "authorization".into(),
                prefix: prefix.into(),
                lifetime: LifetimeRules { margin: None, assumed: Duration::from_secs(300) },
                obtain: Obtain::OnDemand,
                exchanged_tokens: 1_000,
            }
        }
    }
}
