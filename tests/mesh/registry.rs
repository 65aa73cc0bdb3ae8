//! A registry of images with the module in it, `https://registry.example.com`: a real one behind an Envoy that speaks
//! TLS.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use attache_harness::envoy::{Envoy, EnvoyOptions};
use attache_harness::http::Request;
use serde_json::json;

use crate::image::build;
use crate::program::{Program, run};
use crate::world::{World, installed, module};

/// A running registry.
pub(crate) struct Registry {
    _program: Program,
    _tls: Envoy,
}

impl Registry {
    pub(crate) fn start(world: &World) -> Result<Self> {
        let directory = world.directory("registry")?;
        let mut command = Command::new(installed("registry")?);
        let mut program = Program::start("registry", &directory, command.args(["-port", "5000"]))?;
        program.wait_until("the registry", PATIENCE, || {
            Request::get("http://127.0.0.1:5000/v2/")
                .send()
                .is_ok_and(|answer| answer.status == 200)
                .then_some(())
        })?;
        push(&directory, &module(), IMAGE)?;
        let tls = Envoy::start(EnvoyOptions { bootstrap: tls_front(world), ..EnvoyOptions::default() })?;
        Ok(Self { _program: program, _tls: tls })
    }
}

/// Puts a file as `plugin.wasm` into an image as `make image` builds it, and returns the digest of its manifest.
fn push(directory: &Path, file: &Path, image: &str) -> Result<String> {
    let built = directory.join("image");
    let digest = build(file, &built)?;
    run(Command::new(installed("crane")?)
        .arg("push")
        .arg(built.join("attache"))
        .arg(format!("{LOCAL}/{image}")))?;
    Ok(digest)
}

fn tls_front(world: &World) -> String {
    let address =
        |host: &str, port: u16| json!({ "socket_address": { "address": host, "port_value": port } });
    json!({
        "admin": { "address": address("127.0.0.1", 0) },
        "static_resources": {
            "listeners": [{
                "name": "registry",
                "address": address("127.0.0.3", 443),
                "filter_chains": [{
                    "transport_socket": {
                        "name": "tls",
                        "typed_config": {
                            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                            "common_tls_context": { "tls_certificates": [{
                                "certificate_chain": { "filename": world.certificate("server.crt") },
                                "private_key": { "filename": world.certificate("server.key") },
                            }] },
                        },
                    },
                    "filters": [{
                        "name": "tcp",
                        "typed_config": {
                            "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                            "stat_prefix": "registry",
                            "cluster": "registry",
                        },
                    }],
                }],
            }],
            "clusters": [{
                "name": "registry",
                "load_assignment": { "cluster_name": "registry", "endpoints": [{ "lb_endpoints": [
                    { "endpoint": { "address": address("127.0.0.1", 5000) } },
                ] }] },
            }],
        },
    })
    .to_string()
}

/// The image that the manifests of `deploy` name.
pub(crate) const IMAGE: &str = "attache:0.1.0";
/// The registry without TLS.
pub(crate) const LOCAL: &str = "127.0.0.1:5000";
const PATIENCE: Duration = Duration::from_secs(30);
