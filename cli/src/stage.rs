//! All that the demo needs, running: the issuer, the upstream, and Envoy with the repository's `envoy.yaml`. Its ports
//! are used as they are written; one that is taken is replaced by a free one, and nothing else in the file changes.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::bootstrap::Bootstrap;
use crate::envoy::{Envoy, EnvoyOptions};
use crate::issuer::{Algorithm, DEMO_IDENTIFIER, Issuer, IssuerOptions};
use crate::upstream::Upstream;

/// The running parts. All end when dropped.
#[derive(Debug)]
pub struct Stage {
    envoy: Envoy,
    issuer: Issuer,
    _upstream: Upstream,
    notes: Vec<String>,
}

/// What to put on the stage.
#[derive(Clone, Debug)]
pub struct StageOptions {
    /// The Envoy program; none: the installed one.
    pub envoy: Option<PathBuf>,
    /// The filter; none: the one that the bootstrap names.
    pub wasm: Option<PathBuf>,
    /// The bootstrap.
    pub config: PathBuf,
    /// How many workers.
    pub concurrency: u32,
}

/// Where the parts are: base URLs without a slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// The proxy's listener.
    pub proxy: String,
    /// Envoy's admin.
    pub admin: String,
    /// The issuer.
    pub issuer: String,
}

impl Stage {
    /// Starts all parts and waits until Envoy is ready.
    pub fn start(options: StageOptions) -> Result<Self> {
        let mut bootstrap = Bootstrap::read(&options.config)?;
        let mut notes = Vec::new();
        let listen = cluster_address(&bootstrap, ISSUER_CLUSTER, &mut notes)?;
        let issuer = Issuer::start(IssuerOptions {
            listen,
            identifier: Some(DEMO_IDENTIFIER.into()),
            algorithms: vec![Algorithm::Rs256],
            ..IssuerOptions::default()
        })?;
        let upstream = Upstream::listen(cluster_address(&bootstrap, UPSTREAM_CLUSTER, &mut notes)?)?;
        for (name, addr) in [(ISSUER_CLUSTER, issuer.addr()), (UPSTREAM_CLUSTER, upstream.addr())] {
            bootstrap.set_cluster(name, &addr.ip().to_string(), addr.port())?;
        }
        let admin = free_or_any(bootstrap.admin()?, "Envoy's admin", &mut notes);
        bootstrap.set_admin(admin)?;
        let listener = free_or_any(bootstrap.listener(LISTENER)?, "the proxy", &mut notes);
        bootstrap.set_listener(LISTENER, listener)?;
        if let Some(wasm) = &options.wasm {
            let wasm = std::fs::canonicalize(wasm)
                .with_context(|| format!("no filter at {}: run `make build`", wasm.display()))?;
            bootstrap.set_wasm(&wasm)?;
        }
        let envoy = Envoy::start(EnvoyOptions {
            binary: options.envoy,
            bootstrap: bootstrap.to_json(),
            concurrency: options.concurrency,
            ..EnvoyOptions::default()
        })?;
        Ok(Self { envoy, issuer, _upstream: upstream, notes })
    }

    /// Returns where the parts are.
    pub fn places(&self) -> Result<Places> {
        Ok(Places {
            proxy: self.envoy.url(LISTENER)?,
            admin: format!("http://{}", self.envoy.admin()),
            issuer: self.issuer.url().to_owned(),
        })
    }

    /// Returns what differs from the file, in words.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Returns Envoy, to look at.
    pub fn envoy(&mut self) -> &mut Envoy {
        &mut self.envoy
    }
}

fn cluster_address(bootstrap: &Bootstrap, name: &str, notes: &mut Vec<String>) -> Result<SocketAddr> {
    let (host, port) = bootstrap.cluster(name)?;
    let ip = host
        .parse()
        .with_context(|| format!("cluster `{name}` is at `{host}`: write an IP address of this machine"))?;
    Ok(free_or_any(SocketAddr::new(ip, port), &format!("cluster `{name}`"), notes))
}

/// Returns the address if nothing listens there, else the same with port 0.
fn free_or_any(addr: SocketAddr, what: &str, notes: &mut Vec<String>) -> SocketAddr {
    if TcpListener::bind(addr).is_ok() {
        return addr;
    }
    notes.push(format!("port {} is taken: {what} gets a free one", addr.port()));
    SocketAddr::new(addr.ip(), 0)
}

const LISTENER: &str = "proxy";
const ISSUER_CLUSTER: &str = "idp";
const UPSTREAM_CLUSTER: &str = "upstream";
