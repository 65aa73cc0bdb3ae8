//! An OpenTelemetry collector with `deploy/observability/collector.yaml`, told only where its peers are and to have
//! less patience: a test does not wait half a minute.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use attache_harness::http::Request;
use attache_harness::prometheus;
use serde_json::{Value, json};

use crate::program::Program;
use crate::world::{World, checkout, installed};

/// A collector, running or not. Its queue outlives it.
pub(crate) struct Collector {
    program: Option<Program>,
    directory: PathBuf,
    ports: Ports,
    files: Vec<&'static str>,
}

/// Where it listens.
#[derive(Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) otlp: u16,
    /// Its own metrics.
    pub(crate) metrics: u16,
}

/// Whom it talks to.
pub(crate) struct Peers {
    /// The URL of the token endpoint.
    pub(crate) tokens: String,
    pub(crate) plane: SocketAddr,
}

impl Collector {
    /// Starts one with a queue of its own.
    /// `files` are those that are added to collector.yaml, and `more` is added at the end.
    pub(crate) fn start(
        world: &World,
        name: &str,
        ports: Ports,
        peers: &Peers,
        files: &[&'static str],
        more: &Value,
    ) -> Result<Self> {
        let (directory, files) = (world.directory(name)?, files.to_vec());
        fs::write(
            directory.join("peers.json"),
            settings(&directory.join("queue"), ports, peers).to_string(),
        )?;
        fs::write(directory.join("more.json"), more.to_string())?;
        let mut collector = Self { program: None, directory, ports, files };
        collector.start_again()?;
        Ok(collector)
    }

    /// Starts it with the queue that it left.
    pub(crate) fn start_again(&mut self) -> Result<()> {
        let mut command = Command::new(installed("collector")?);
        for file in ["collector.yaml"].iter().chain(&self.files) {
            command.arg("--config").arg(checkout("deploy/observability").join(file));
        }
        command.arg("--config").arg(self.directory.join("peers.json"));
        command.arg("--config").arg(self.directory.join("more.json"));
        command.env("CLIENT_ID", CLIENT).env("CLIENT_SECRET", SECRET);
        command.env("APIGEE_ORGANIZATION", "example").env("APIGEE_ENVIRONMENT", "test");
        let mut program = Program::start("collector", &self.directory, &mut command)?;
        let addresses =
            [self.ports.otlp, self.ports.metrics].map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        program.wait_until("the collector", PATIENCE, || {
            addresses.iter().all(|address| TcpStream::connect(address).is_ok()).then_some(())
        })?;
        self.program = Some(program);
        Ok(())
    }

    /// Ends it as its operator does, and waits for its end.
    pub(crate) fn stop(&mut self) -> Result<()> {
        if let Some(program) = &mut self.program {
            program.stop(PATIENCE)?;
        }
        self.program = None;
        Ok(())
    }

    /// Ends it as a machine's failure would.
    pub(crate) fn kill(&mut self) {
        self.program = None;
    }

    /// Lets it do nothing until it goes on.
    pub(crate) fn pause(&mut self) -> Result<()> {
        self.signal("STOP")
    }

    pub(crate) fn go_on(&mut self) -> Result<()> {
        self.signal("CONT")
    }

    fn signal(&self, signal: &str) -> Result<()> {
        self.program.as_ref().context("no collector runs")?.signal(signal);
        Ok(())
    }

    /// What waits in its queues.
    pub(crate) fn queued(&self) -> Result<f64> {
        self.metric("otelcol_exporter_queue_size")
    }

    /// How many records it has accepted since it started.
    pub(crate) fn accepted(&self) -> Result<f64> {
        self.metric("otelcol_receiver_accepted_log_records")
    }

    fn metric(&self, name: &str) -> Result<f64> {
        let url = format!("http://127.0.0.1:{}/metrics", self.ports.metrics);
        let page = Request::get(url).timeout(ANSWER).send()?.text();
        Ok(prometheus::sum(&prometheus::parse(&page), name, &[]))
    }
}

fn settings(queue: &Path, ports: Ports, peers: &Peers) -> Value {
    let metrics = json!({ "host": "127.0.0.1", "port": ports.metrics });
    json!({
        "extensions": {
            "file_storage": { "directory": queue, "compaction": { "directory": queue } },
            "oauth2client": { "token_url": peers.tokens },
        },
        "receivers": { "otlp": { "protocols": { "grpc": { "endpoint": format!("127.0.0.1:{}", ports.otlp) } } } },
        "exporters": { "otlp_http/plane": {
            "endpoint": format!("http://{}", peers.plane),
            // What the plane of the tests reads.
            "encoding": "json",
            "compression": "none",
            "timeout": "2s",
            "retry_on_failure": { "initial_interval": "100ms", "max_interval": "300ms" },
            "sending_queue": { "batch": { "flush_timeout": "100ms" } },
        }},
        "service": { "telemetry": { "metrics": { "readers": [
            { "pull": { "exporter": { "prometheus": metrics } } },
        ]}}},
    })
}

/// The collector's own client at the issuer.
pub(crate) const CLIENT: &str = "collector";
pub(crate) const SECRET: &str = "collector-secret";
const ANSWER: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(60);
