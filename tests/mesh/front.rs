//! An Envoy in front of a server of this machine that does not speak TLS: at port 443 with TLS, at port 80 without.

use anyhow::Result;
use attache_harness::envoy::{Envoy, EnvoyOptions};
use serde_json::{Value, json};

use crate::world::World;

/// How it stands in front of a server.
pub(crate) struct Front {
    /// The address of a name of `hosts`.
    address: &'static str,
    /// The server's port on 127.0.0.1.
    server: u16,
    /// Routes of Envoy before the one to the server.
    routes: Vec<Value>,
    /// Filters of Envoy before its router.
    filters: Vec<Value>,
    /// Whether it listens without TLS, too.
    is_plain_too: bool,
}

impl Front {
    pub(crate) fn new(address: &'static str, server: u16) -> Self {
        Self { address, server, routes: Vec::new(), filters: Vec::new(), is_plain_too: false }
    }

    /// Listens at port 80 as well.
    pub(crate) fn plain_too(mut self) -> Self {
        self.is_plain_too = true;
        self
    }

    /// Answers a path with a file of this machine.
    pub(crate) fn file(mut self, path: &str, file: &str) -> Self {
        let body = json!({ "filename": file });
        self.routes
            .push(json!({ "match": { "path": path }, "direct_response": { "status": 200, "body": body } }));
        self
    }

    /// Lets only those in who have this line of an `htpasswd` file; all others get 401.
    pub(crate) fn users(mut self, htpasswd: &str) -> Self {
        self.filters.push(json!({
            "name": "basic_auth",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.basic_auth.v3.BasicAuth",
                "users": { "inline_string": htpasswd },
            },
        }));
        self
    }

    pub(crate) fn start(self, world: &World) -> Result<Envoy> {
        Envoy::start(EnvoyOptions {
            bootstrap: self.bootstrap(world).to_string(),
            concurrency: 1,
            ..EnvoyOptions::default()
        })
    }

    fn bootstrap(mut self, world: &World) -> Value {
        let address =
            |host: &str, port: u16| json!({ "socket_address": { "address": host, "port_value": port } });
        self.routes
            .push(json!({ "match": { "prefix": "/" }, "route": { "cluster": "server", "timeout": "0s" } }));
        self.filters.push(json!({
            "name": "router",
            "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
        }));
        let manager = json!({
            "@type":
                "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "front",
            "route_config": {
                "max_direct_response_body_size_bytes": MAX_FILE,
                "virtual_hosts": [{ "name": "server", "domains": ["*"], "routes": self.routes }],
            },
            "http_filters": self.filters,
        });
        let tls = json!({
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": { "tls_certificates": [{
                "certificate_chain": { "filename": world.certificate("server.crt") },
                "private_key": { "filename": world.certificate("server.key") },
            }] },
        });
        let manager = json!({ "name": "manager", "typed_config": manager });
        let mut listeners = vec![json!({
            "name": "front",
            "address": address(self.address, 443),
            "filter_chains": [{
                "transport_socket": { "name": "tls", "typed_config": tls },
                "filters": [manager.clone()],
            }],
        })];
        if self.is_plain_too {
            listeners.push(json!({
                "name": "plain",
                "address": address(self.address, 80),
                "filter_chains": [{ "filters": [manager] }],
            }));
        }
        json!({
            "admin": { "address": address("127.0.0.1", 0) },
            "static_resources": {
                "listeners": listeners,
                "clusters": [{
                    "name": "server",
                    "load_assignment": { "cluster_name": "server", "endpoints": [{ "lb_endpoints": [
                        { "endpoint": { "address": address("127.0.0.1", self.server) } },
                    ] }] },
                }],
            },
        })
    }
}

/// A module has about one megabyte.
const MAX_FILE: u32 = 16 << 20;
