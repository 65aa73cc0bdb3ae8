//! Requests that go out: an authorization server, a listener, the cluster of an API, and who puts a token on the way
//! there.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use attache_harness::issuer::{Client, Issuer, IssuerOptions};
use serde_json::{Value, json};

use crate::contender::{Contender, Modules, router, wasm};
use crate::envoy_under_test::{Bootstrap, EnvoyUnderTest, LISTENER, Testbed};
use crate::load::Extent;
use crate::requests::{HOST, Requests};
use crate::upstream::{Credential, Upstream};

/// Where a filter stands that puts tokens on requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Position {
    /// In the listener.
    Downstream,
    /// In the cluster.
    Upstream,
}

/// The authorization server.
pub(crate) struct Server(Issuer);

impl Server {
    /// Starts it. All clients of all configurations are the same one to it.
    pub(crate) fn start() -> Result<Self> {
        let issuer = Issuer::start(IssuerOptions {
            identifier: Some("https://idp.example".into()),
            // None is renewed while it counts.
            lifetime: Duration::from_secs(6 * 3_600),
            clients: vec![Client::new(CLIENT).secret(SECRET).scopes(&["orders:read"])],
            ..IssuerOptions::default()
        });
        Ok(Self(issuer?))
    }

    /// How often it was asked for a token.
    pub(crate) fn token_requests(&self) -> u64 {
        self.0.token_requests()
    }

    /// Envoy's bootstrap with these filters in this position.
    pub(crate) fn bootstrap(
        &self,
        position: Position,
        mut filters: Vec<Value>,
        upstream: SocketAddr,
    ) -> Bootstrap {
        let mut api = cluster(API, upstream);
        // As a cluster with TLS says.
        api["metadata"] = json!({ "filter_metadata": { "attache": { "tls": "asserted" } } });
        if position == Position::Upstream && !filters.is_empty() {
            filters.push(json!({ "name": "envoy.filters.http.upstream_codec", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec" } }));
            let options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
            api["typed_extension_protocol_options"] = json!({ options: {
                "@type": format!("type.googleapis.com/{options}"),
                "explicit_http_config": { "http_protocol_options": {} },
                "http_filters": std::mem::take(&mut filters),
            } });
        }
        filters.push(router());
        let manager = json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "bench",
            "http_filters": filters,
            "route_config": { "name": "bench", "validate_clusters": false, "virtual_hosts": [{
                "name": "all",
                "domains": ["*"],
                "routes": [{ "match": { "prefix": "/" }, "route": { "cluster": API } }],
            }] },
        });
        let anywhere = json!({ "socket_address": { "address": "127.0.0.1", "port_value": 0 } });
        // By CDS: Envoy 1.40 ends with a segmentation fault where a static cluster has a `credential_injector` that
        // fetches tokens.
        api["@type"] = "type.googleapis.com/envoy.config.cluster.v3.Cluster".into();
        let clusters = json!({ "version_info": "1", "resources": [api] });
        let bootstrap = json!({
            "node": { "id": "bench", "cluster": "bench" },
            "admin": { "address": anywhere },
            "static_resources": {
                "listeners": [{
                    "name": LISTENER,
                    "address": anywhere,
                    "filter_chains": [{ "filters": [{ "name": "http", "typed_config": manager }] }],
                }],
                "clusters": [cluster(IDP, self.0.addr())],
                "secrets": [{ "name": SECRET_NAME, "generic_secret": { "secret": { "inline_string": SECRET } } }],
            },
            "dynamic_resources": { "cds_config": {
                "path_config_source": { "path": format!("{{{{dir}}}}/{CLUSTERS}") },
                "resource_api_version": "V3",
            } },
        });
        let files = vec![(CLUSTERS.into(), clusters.to_string().into_bytes())];
        Bootstrap { text: bootstrap.to_string(), files }
    }

    /// Starts an Envoy with these filters, and waits until its requests arrive with tokens, or without any if it has no
    /// filter that would put one there.
    pub(crate) fn start_envoy(
        &self,
        testbed: &Testbed,
        position: Position,
        filters: Vec<Value>,
        carries: Carries,
    ) -> Result<EnvoyUnderTest> {
        let wanted = match carries {
            Carries::Nothing => Credential::None,
            Carries::Token => Credential::Bearer(Box::new(self.0.liveness())),
        };
        let upstream = Upstream::listen(wanted)?;
        let bootstrap = self.bootstrap(position, filters, upstream.addr());
        EnvoyUnderTest::start_before(testbed, bootstrap, upstream)
    }

    /// Starts a contender, and waits until it does what it is there for.
    pub(crate) fn contender(
        &self,
        testbed: &Testbed,
        position: Position,
        contender: Contender,
        modules: Modules<'_>,
    ) -> Result<EnvoyUnderTest> {
        let (filters, carries) = match contender {
            Contender::None => (vec![], Carries::Nothing),
            Contender::Noop => (vec![wasm("noop", modules.noop, None)], Carries::Nothing),
            Contender::CredentialInjector => (vec![credential_injector()], Carries::Token),
            Contender::Attache => {
                (vec![attache(modules, &document(position, vec![HOST.into()]))], Carries::Token)
            }
            Contender::Jwt
            | Contender::JwtCache
            | Contender::JwtRbac
            | Contender::JwtCacheRbac
            | Contender::JwtCacheRbacText
            | Contender::JwtCacheRbacClaims
            | Contender::VerifyOnly
            | Contender::AttacheDefaults
            | Contender::AttacheClaims => bail!("{} puts no token on a request", contender.name()),
        };
        let envoy = self.start_envoy(testbed, position, filters, carries)?;
        let mut requests = Requests::default();
        requests.add_outgoing(HOST);
        settle(&envoy, &requests)?;
        Ok(envoy)
    }
}

/// What the requests of an Envoy carry when they arrive.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Carries {
    Nothing,
    Token,
}

/// Attaché with this document.
pub(crate) fn attache(modules: Modules<'_>, document: &Value) -> Value {
    let mut filter = wasm("attache", modules.attache, Some(document));
    filter["typed_config"]["config"]["vm_config"]["environment_variables"] =
        json!({ "key_values": { VARIABLE: SECRET } });
    filter
}

/// Attaché's configuration: a client for each authority, and all of them at one token endpoint.
pub(crate) fn document(position: Position, authorities: Vec<String>) -> Value {
    let name = |number: usize| format!("client-{number}");
    let client = |(number, authority): (usize, &String)| {
        json!({
            "name": name(number),
            "token_endpoint": { "uri": "https://idp.example/token", "cluster": IDP },
            "client_id": CLIENT,
            "authentication": { "client_secret_basic": { "secret": { "env": VARIABLE } } },
            "audience": format!("https://{authority}"),
            // The VM on the main thread sees no requests.
            "obtain": "on_demand",
        })
    };
    let destination = |(number, authority): (usize, &String)| json!({ "match": { "authorities": [authority], "clusters": [API] }, "client": name(number) });
    json!({ "outbound": {
        "position": match position {
            Position::Downstream => "downstream",
            Position::Upstream => "upstream",
        },
        "clients": authorities.iter().enumerate().map(client).collect::<Vec<_>>(),
        "destinations": authorities.iter().enumerate().map(destination).collect::<Vec<_>>(),
        "unmatched": "deny",
        // However busy the machine is: no request waits while it counts.
        "waiting": { "deadline": "60s" },
    } })
}

/// Envoy's own filter for client credentials, with the same client at the same server.
fn credential_injector() -> Value {
    json!({
        "name": "envoy.filters.http.credential_injector",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.credential_injector.v3.CredentialInjector",
            "credential": {
                "name": "envoy.http.injected_credentials.oauth2",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.http.injected_credentials.oauth2.v3.OAuth2",
                    "token_endpoint": { "uri": "https://idp.example/token", "cluster": IDP, "timeout": "5s" },
                    "client_credentials": {
                        "client_id": CLIENT,
                        "client_secret": { "name": SECRET_NAME },
                        "auth_type": "BASIC_AUTH",
                    },
                    "endpoint_params": [{ "name": "audience", "value": format!("https://{HOST}") }],
                },
            },
        },
    })
}

fn cluster(name: &str, addr: SocketAddr) -> Value {
    let address =
        json!({ "socket_address": { "address": addr.ip().to_string(), "port_value": addr.port() } });
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "2s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address } }] }],
        },
    })
}

/// Asks until a request gets through: `credential_injector` answers 401 until its first token has come.
fn settle(envoy: &EnvoyUnderTest, requests: &Requests) -> Result<()> {
    let begin = Instant::now();
    loop {
        match envoy.measure(requests, &mut 0, Extent::Count(1), |_| &[200]) {
            Ok(_) => return Ok(()),
            Err(error) if begin.elapsed() > PATIENCE => {
                return Err(error).context("no request gets through as it should");
            }
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

const CLIENT: &str = "bench";
const SECRET: &str = "bench-secret";
const SECRET_NAME: &str = "client-secret";
/// In the VM's environment.
const VARIABLE: &str = "CLIENT_SECRET";
const API: &str = "api";
const IDP: &str = "idp";
const CLUSTERS: &str = "clusters.json";
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);
