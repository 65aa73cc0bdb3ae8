//! An Envoy of listeners, each with a document of its own, and the clusters that they need.

use anyhow::{Context, Result};
use attache_harness::envoy::{Envoy, EnvoyOptions};
use serde_json::{Value, json};

use crate::world::{World, module};

/// An Envoy to be started.
pub(super) struct Proxy<'w> {
    world: &'w World,
    listeners: Vec<Value>,
    clusters: Vec<Value>,
}

impl<'w> Proxy<'w> {
    pub(super) fn new(world: &'w World) -> Self {
        Self { world, listeners: Vec::new(), clusters: Vec::new() }
    }

    /// A listener on a free port that sends all to a cluster.
    pub(super) fn listener(mut self, name: &str, document: &Value, cluster: &str) -> Self {
        self.listeners.push(listener(
            name,
            document,
            cluster,
            json!({ "address": "127.0.0.1", "port_value": 0 }),
        ));
        self
    }

    /// The API behind `https://orders.example`.
    pub(super) fn api(mut self, document: &Value, cluster: &str) -> Self {
        let address = json!({ "address": "127.0.0.5", "port_value": 443 });
        let mut listener = listener("api", document, cluster, address);
        listener["filter_chains"][0]["transport_socket"] = json!({
            "name": "tls",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                "common_tls_context": { "tls_certificates": [{
                    "certificate_chain": { "filename": self.world.certificate("server.crt") },
                    "private_key": { "filename": self.world.certificate("server.key") },
                }] },
            },
        });
        self.listeners.push(listener);
        self
    }

    pub(super) fn cluster(mut self, cluster: Value) -> Self {
        self.clusters.push(cluster);
        self
    }

    pub(super) fn start(self, environment: &[(&str, &str)]) -> Result<Envoy> {
        let bootstrap = json!({
            "admin": { "address": { "socket_address": { "address": "127.0.0.1", "port_value": 0 } } },
            "static_resources": { "listeners": self.listeners, "clusters": self.clusters },
        });
        // What is not there, Envoy does not take.
        let unset = VARIABLES.iter().filter(|name| environment.iter().all(|(set, _)| set != *name));
        let set = environment.iter().copied().chain(unset.map(|name| (*name, UNUSED)));
        Envoy::start(EnvoyOptions {
            bootstrap: bootstrap.to_string(),
            environment: set.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            ..EnvoyOptions::default()
        })
    }
}

/// A cluster of another name.
pub(super) fn renamed(cluster: &Value, name: &str) -> Value {
    let mut cluster = cluster.clone();
    cluster["name"] = json!(name);
    cluster["load_assignment"]["cluster_name"] = json!(name);
    cluster
}

/// A document that reaches Keycloak by another cluster.
pub(super) fn through(document: &Value, cluster: &str) -> Result<Value> {
    let text = document.to_string().replace(r#""cluster":"keycloak""#, &format!(r#""cluster":"{cluster}""#));
    serde_json::from_str(&text).context("a document")
}

/// A cluster like the page's, with another host, to which tokens may go.
pub(super) fn api_cluster(like: &Value) -> Result<Value> {
    let text = renamed(like, "orders").to_string().replace("issuer.example", "orders.example");
    let mut cluster: Value = serde_json::from_str(&text)?;
    cluster["metadata"] = json!({ "filter_metadata": { "attache": { "tls": "asserted" } } });
    Ok(cluster)
}

/// A cluster of one address, without TLS.
pub(super) fn plain_cluster(name: &str, address: std::net::SocketAddr) -> Value {
    json!({
        "name": name,
        "load_assignment": { "cluster_name": name, "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": {
            "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } } } }] }] },
    })
}

fn listener(name: &str, document: &Value, cluster: &str, address: Value) -> Value {
    let wasm = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        "config": {
            "name": name,
            "root_id": "attache",
            "failure_policy": "FAIL_RELOAD",
            "vm_config": {
                "vm_id": "attache",
                "runtime": "envoy.wasm.runtime.v8",
                "code": { "local": { "filename": module() } },
                "environment_variables": { "host_env_keys": VARIABLES },
            },
            "configuration": { "@type": "type.googleapis.com/google.protobuf.Struct", "value": document },
        },
    });
    let router = json!({ "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" });
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "http_filters": [
            { "name": "attache", "typed_config": wasm },
            { "name": "envoy.filters.http.router", "typed_config": router },
        ],
        "route_config": { "virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "routes": [{ "match": { "prefix": "/" }, "route": { "cluster": cluster } }],
        }] },
    });
    json!({
        "name": name,
        "address": { "socket_address": address },
        "filter_chains": [{ "filters": [{
            "name": "envoy.filters.network.http_connection_manager", "typed_config": manager }] }],
    })
}

const VARIABLES: [&str; 3] = ["ORDERS_SECRET", "ORDERS_KEY", "ATTACHE_SEAL"];
const UNUSED: &str = "unused";
