//! A collector and a plane, to which a control plane's proxies log.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use attache_harness::issuer::{Algorithm, Client, Issuer, IssuerOptions};
use attache_harness::wait::wait_for;
use serde_json::Value;

use super::collector::{CLIENT, Collector, Peers, Ports, SECRET};
use super::free_port;
use super::plane::Plane;
use crate::world::World;

/// They end when dropped.
pub(crate) struct Station {
    /// Where the collector takes records.
    pub(crate) port: u16,
    plane: Plane,
    _collector: Collector,
    _issuer: Issuer,
}

impl Station {
    pub(crate) fn start(world: &World, name: &str) -> Result<Self> {
        let client = Client::new(CLIENT).secret(SECRET).scopes(&["statistics:write"]);
        let issuer = Issuer::start(IssuerOptions {
            algorithms: vec![Algorithm::Es256],
            clients: vec![client],
            ..IssuerOptions::default()
        })?;
        let plane = Plane::start(issuer.liveness())?;
        let ports = Ports { otlp: free_port()?, metrics: free_port()? };
        let peers = Peers { tokens: format!("{}/token", issuer.url()), plane: plane.address() };
        let collector = Collector::start(world, name, ports, &peers, &[], &Value::Null)?;
        Ok(Self { port: ports.otlp, plane, _collector: collector, _issuer: issuer })
    }

    /// Forgets what was counted.
    pub(crate) fn forget(&self) {
        self.plane.forget();
    }

    /// Whether it has counted requests whose labels begin so.
    pub(crate) fn has(&self, labels: &str) -> bool {
        self.plane.taken().counts.keys().any(|counted| counted.starts_with(labels))
    }

    /// Waits until nothing more has come for longer than the proxies and the collector keep what they have.
    pub(crate) fn is_quiet(&self) -> Result<()> {
        let (mut last, mut since) = (self.counted(), Instant::now());
        wait_for("no more records", PATIENCE, || {
            if self.counted() != last {
                (last, since) = (self.counted(), Instant::now());
            }
            Ok((since.elapsed() > QUIET).then_some(()))
        })
    }

    /// How many requests the plane has counted.
    pub(crate) fn counted(&self) -> u64 {
        self.plane.taken().counted()
    }

    /// Waits for so many requests, and tells them by their labels.
    pub(crate) fn told(&self, requests: u64) -> Result<String> {
        let all = wait_for("the requests at the plane", PATIENCE, || {
            let taken = self.plane.taken();
            let is_all = taken.counted() >= requests && taken.records.len() as u64 >= requests;
            Ok(is_all.then_some(taken))
        })?;
        let counts: BTreeMap<String, u64> = all.counts;
        let told: Vec<String> = counts.iter().map(|(labels, count)| format!("{count} {labels}")).collect();
        Ok(told.join(", "))
    }
}

/// Envoy keeps records for a second.
const QUIET: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(60);
