//! The Envoys: one with Attaché that logs by `deploy/observability/envoy-otel.yaml` and `envoy-grpc-als.yaml`, and the
//! one between the collector and the plane, of `envoy-plane.yaml`.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use attache_harness::envoy::{Envoy, EnvoyOptions};
use attache_harness::issuer::Issuer;
use attache_harness::upstream::Upstream;
use serde_json::{Value, json};

use crate::world::{checkout, module};

/// What the gateway is told of its peers.
pub(crate) struct Gateway<'a> {
    pub(crate) issuer: &'a Issuer,
    pub(crate) upstream: &'a Upstream,
    /// The file of `deploy/observability` with its access log and cluster.
    pub(crate) log: &'a str,
    /// Where its records go.
    pub(crate) service: SocketAddr,
    /// What is changed in the file's `common_config`.
    pub(crate) changes: Value,
}

impl Gateway<'_> {
    pub(crate) fn start(&self) -> Result<Envoy> {
        let file = deployed(self.log)?;
        let mut log = file["access_log"].clone();
        merge(&mut log[0]["typed_config"]["common_config"], &self.changes);
        let mut service = file["clusters"][0].clone();
        service["type"] = "STATIC".into();
        let name = service["name"].as_str().context("a cluster has a name")?.to_owned();
        service["load_assignment"] = endpoint(&name, self.service);
        let cluster = |name: &str, address: SocketAddr| {
            let endpoint = endpoint(name, address);
            json!({ "name": name, "type": "STATIC", "connect_timeout": "5s", "load_assignment": endpoint })
        };
        let bootstrap = json!({
            "node": { "id": "gateway-1", "cluster": "gateways" },
            "admin": { "address": socket(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))) },
            "static_resources": {
                "clusters": [cluster("upstream", self.upstream.addr()), cluster("corp", self.issuer.addr()), service],
                "listeners": [self.listener(&log)],
            },
        });
        Envoy::start(EnvoyOptions { bootstrap: bootstrap.to_string(), ..EnvoyOptions::default() })
    }

    fn listener(&self, log: &Value) -> Value {
        let policy = json!({
            "audit": { "fields": "all" },
            "inbound": {
                "issuers": [{
                    "name": "corp", "issuer": ISSUER, "audiences": "any",
                    "keys": { "jwks": { "uri": format!("{ISSUER}/jwks"), "cluster": "corp" } },
                }],
                "routes": [
                    { "name": "read-orders", "api": "orders", "match": { "path": "/orders/{id}", "methods": ["GET"] },
                      "require": { "scopes": ["orders:read"] } },
                    { "name": "write-orders", "api": "orders", "match": { "path": "/orders", "methods": ["POST"] },
                      "require": { "scopes": ["orders:write"] } },
                    { "name": "health", "match": { "path": "/healthz" }, "public": {} },
                ],
                "default": "deny",
            },
        });
        let attache = json!({ "name": "attache", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": {
                "name": "attache",
                "configuration": {
                    "@type": "type.googleapis.com/google.protobuf.StringValue",
                    "value": policy.to_string(),
                },
                "vm_config": {
                    "vm_id": "attache", "runtime": "envoy.wasm.runtime.v8",
                    "code": { "local": { "filename": module() } },
                },
                "failure_policy": "FAIL_RELOAD",
            },
        }});
        let router = json!({ "name": "router", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" } });
        let all = json!({ "match": { "prefix": "/" }, "route": { "cluster": "upstream" } });
        json!({
            "name": LISTENER,
            "address": socket(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            "filter_chains": [{ "filters": [{
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": {
                    "@type": MANAGER,
                    "stat_prefix": "gateway",
                    "access_log": log,
                    "http_filters": [attache, router],
                    "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": [all] }] },
                },
            }]}],
        })
    }
}

/// The Envoy before the plane.
pub(crate) fn before_plane(plane: SocketAddr) -> Result<Envoy> {
    let mut file = deployed("envoy-plane.yaml")?;
    file["listeners"][0]["address"] = socket(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let cluster = &mut file["clusters"][0];
    cluster["type"] = "STATIC".into();
    cluster["load_assignment"] = endpoint("plane", plane);
    // The plane of the tests has no certificate.
    cluster.as_object_mut().context("a cluster is an object")?.remove("transport_socket");
    // The collector's own patience is shorter here, and so is this one.
    file["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]["route_config"]["virtual_hosts"]
        [0]["routes"][0]["route"]["timeout"] = "1s".into();
    let bootstrap = json!({
        "admin": { "address": socket(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))) },
        "static_resources": file,
    });
    Envoy::start(EnvoyOptions { bootstrap: bootstrap.to_string(), concurrency: 1, ..EnvoyOptions::default() })
}

fn deployed(file: &str) -> Result<Value> {
    let text = fs::read_to_string(checkout("deploy/observability").join(file))?;
    serde_saphyr::from_str(&text).with_context(|| file.to_owned())
}

/// Adds to a JSON object, and replaces what both have.
pub(crate) fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

fn endpoint(name: &str, address: SocketAddr) -> Value {
    let endpoint = json!({ "endpoint": { "address": socket(address) } });
    json!({ "cluster_name": name, "endpoints": [{ "lb_endpoints": [endpoint] }] })
}

fn socket(address: SocketAddr) -> Value {
    json!({ "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } })
}

pub(crate) const ISSUER: &str = "https://corp.example";
const MANAGER: &str = concat!(
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.",
    "HttpConnectionManager"
);
pub(crate) const LISTENER: &str = "gateway";
