//! All that the demo needs, running: the issuer, the upstream, Envoy with the repository's `envoy.yaml`, and another
//! with `sidecar.yaml`, which calls it. Its ports are used as they are written; one that is taken is replaced by a free
//! one, and nothing else in the file changes.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::bootstrap::Bootstrap;
use crate::envoy::{Envoy, EnvoyOptions};
use crate::issuer::{Algorithm, DEMO_IDENTIFIER, Issuer, IssuerOptions};
use crate::upstream::Upstream;

/// The running parts. All end when dropped.
#[derive(Debug)]
pub struct DemoEnvironment {
    envoy: Envoy,
    sidecar: Envoy,
    issuer: Issuer,
    _upstream: Upstream,
    notes: Vec<String>,
}

/// What to put on the stage.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// The Envoy program; none: the installed one.
    pub envoy: Option<PathBuf>,
    /// The filter; none: the one that the bootstrap names.
    pub wasm: Option<PathBuf>,
    /// The bootstrap.
    pub config: PathBuf,
    /// The bootstrap of the sidecar that calls it.
    pub sidecar: PathBuf,
    /// How many workers.
    pub concurrency: u32,
}

/// Where the parts are: base URLs without a slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// The proxy's listener.
    pub proxy: String,
    /// Envoy's admin.
    pub admin: String,
    /// The issuer.
    pub issuer: String,
    /// The sidecar of a service that calls what is behind the proxy.
    pub sidecar: Option<Sidecar>,
}

/// Where the parts of the sidecar are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sidecar {
    /// What others call the service by.
    pub inbound: String,
    /// What the service calls others by.
    pub outbound: String,
    /// Its admin.
    pub admin: String,
}

impl DemoEnvironment {
    /// Starts all parts and waits until Envoy is ready.
    pub fn start(options: DemoOptions) -> Result<Self> {
        let mut bootstrap = Bootstrap::read(&options.config)?;
        let mut notes = Vec::new();
        let issuer =
            start_at(cluster_address(&bootstrap, ISSUER_CLUSTER)?, "the issuer", &mut notes, |listen| {
                Issuer::start(IssuerOptions {
                    listen,
                    identifier: Some(DEMO_IDENTIFIER.into()),
                    algorithms: vec![Algorithm::Rs256],
                    ..IssuerOptions::default()
                })
            })?;
        // Envoys share a listener's port (SO_REUSEPORT), and so would those of two demos that start at the same time.
        // Who has the issuer's port has the others too; who has not uses none of them.
        let is_first = notes.is_empty();
        if !is_first {
            notes.push("so do all other parts".into());
        }
        let at = |addr: SocketAddr| if is_first { addr } else { SocketAddr::new(addr.ip(), 0) };
        let upstream = start_at(
            at(cluster_address(&bootstrap, UPSTREAM_CLUSTER)?),
            "the upstream",
            &mut notes,
            Upstream::listen,
        )?;
        for (name, addr) in [(ISSUER_CLUSTER, issuer.addr()), (UPSTREAM_CLUSTER, upstream.addr())] {
            bootstrap.set_cluster(name, &addr.ip().to_string(), addr.port())?;
        }
        let admin = free_or_any(at(bootstrap.admin()?), "Envoy's admin", &mut notes);
        bootstrap.set_admin(admin)?;
        let listener = free_or_any(at(bootstrap.listener(LISTENER)?), "the proxy", &mut notes);
        bootstrap.set_listener(LISTENER, listener)?;
        let mut sidecar = Bootstrap::read(&options.sidecar)?;
        let admin = free_or_any(at(sidecar.admin()?), "the sidecar's admin", &mut notes);
        sidecar.set_admin(admin)?;
        for name in [INBOUND, OUTBOUND] {
            let listener = free_or_any(at(sidecar.listener(name)?), "the sidecar", &mut notes);
            sidecar.set_listener(name, listener)?;
        }
        if let Some(wasm) = &options.wasm {
            let wasm = std::fs::canonicalize(wasm)
                .with_context(|| format!("no filter at {}: run `make build`", wasm.display()))?;
            bootstrap.set_wasm(&wasm)?;
            sidecar.set_wasm(&wasm)?;
        }
        let start = |bootstrap: &Bootstrap| {
            Envoy::start(EnvoyOptions {
                binary: options.envoy.clone(),
                bootstrap: bootstrap.to_json(),
                concurrency: options.concurrency,
                ..EnvoyOptions::default()
            })
        };
        let envoy = start(&bootstrap)?;
        let orders = envoy.listener(LISTENER)?;
        for (name, addr) in [
            ("orders", orders),
            ("service", upstream.addr()),
            (ISSUER_CLUSTER, issuer.addr()),
            ("idp-keys", issuer.addr()),
        ] {
            sidecar.set_cluster(name, &addr.ip().to_string(), addr.port())?;
        }
        let sidecar = start(&sidecar)?;
        Ok(Self { envoy, sidecar, issuer, _upstream: upstream, notes })
    }

    /// Returns where the parts are.
    pub fn places(&self) -> Result<Endpoints> {
        Ok(Endpoints {
            proxy: self.envoy.url(LISTENER)?,
            admin: format!("http://{}", self.envoy.admin()),
            issuer: self.issuer.url().to_owned(),
            sidecar: Some(Sidecar {
                inbound: self.sidecar.url(INBOUND)?,
                outbound: self.sidecar.url(OUTBOUND)?,
                admin: format!("http://{}", self.sidecar.admin()),
            }),
        })
    }

    /// Returns what differs from the file, in words.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Returns what both proxies have written to their access logs so far.
    pub fn access_logs(&self) -> String {
        let logs = [self.envoy.output(), self.sidecar.output()];
        logs.join("\n")
    }

    /// Returns Envoy, to look at.
    pub fn envoy(&mut self) -> &mut Envoy {
        &mut self.envoy
    }
}

fn cluster_address(bootstrap: &Bootstrap, name: &str) -> Result<SocketAddr> {
    let (host, port) = bootstrap.cluster(name)?;
    let ip = host
        .parse()
        .with_context(|| format!("cluster `{name}` is at `{host}`: write an IP address of this machine"))?;
    Ok(SocketAddr::new(ip, port))
}

/// Starts a part at this address, or at a free port if something else is there.
fn start_at<T>(
    addr: SocketAddr,
    what: &str,
    notes: &mut Vec<String>,
    start: impl Fn(SocketAddr) -> Result<T>,
) -> Result<T> {
    start(addr).or_else(|error| {
        let kind = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
        if kind != Some(io::ErrorKind::AddrInUse) {
            return Err(error);
        }
        notes.push(taken(addr, what));
        start(SocketAddr::new(addr.ip(), 0))
    })
}

/// Returns the address if nothing listens there, else the same with port 0.
fn free_or_any(addr: SocketAddr, what: &str, notes: &mut Vec<String>) -> SocketAddr {
    if TcpListener::bind(addr).is_ok() {
        return addr;
    }
    notes.push(taken(addr, what));
    SocketAddr::new(addr.ip(), 0)
}

fn taken(addr: SocketAddr, what: &str) -> String {
    format!("port {} is taken: {what} gets a free one", addr.port())
}

const LISTENER: &str = "proxy";
const INBOUND: &str = "inbound";
const OUTBOUND: &str = "outbound";
const ISSUER_CLUSTER: &str = "idp";
const UPSTREAM_CLUSTER: &str = "upstream";
