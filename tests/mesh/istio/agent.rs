//! Istio's agent with its Envoy: what a pod's container `istio-proxy` runs. Each has a directory of its own in place of
//! the container's `/`, and admin ports of its own; its log is the container's log.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use attache_harness::envoy::find_binary;
use attache_harness::http::{Request, Response};
use attache_harness::prometheus::{self, Sample};
use attache_harness::wait::wait_for;
use base64ct::{Base64, Encoding};
use serde_json::{Value, json};

use super::control_plane::ADDRESS;
use crate::program::Program;
use crate::world::{World, checkout, installed};

/// A running agent. Ends when dropped.
pub(crate) struct Agent {
    program: Program,
    directory: PathBuf,
    /// The first of its ports.
    ports: u16,
}

/// What a pod says of itself.
pub(crate) struct Pod<'a> {
    /// Its name, and its label `app`.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// `metadata.annotations`, as the downward API gives them to the container.
    pub(crate) annotations: Vec<(&'a str, String)>,
    /// The environment of the container `istio-proxy`.
    pub(crate) environment: Vec<(&'a str, String)>,
    /// Its ports are `ports` (Envoy's admin; in a pod, 15000) to `ports + 90` (metrics; in a pod, 15090).
    pub(crate) ports: u16,
    /// Envoy's log level: `warning`, as Istio has it, or more.
    pub(crate) log_level: &'a str,
}

/// The agent's two kinds.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// Beside a workload.
    Sidecar,
    /// A gateway.
    Router,
}

impl<'a> Pod<'a> {
    pub(crate) fn new(name: &'static str, kind: Kind) -> Self {
        let (annotations, environment) = (Vec::new(), Vec::new());
        Self { name, kind, annotations, environment, ports: 15000, log_level: "warning" }
    }

    /// With the annotations of a patch of `deploy`.
    pub(crate) fn patched(mut self, patch: &'a Value) -> Self {
        let annotations = patch.pointer("/spec/template/metadata/annotations").and_then(Value::as_object);
        let annotations = annotations.into_iter().flatten();
        self.annotations.extend(
            annotations.map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default().to_owned())),
        );
        self
    }

    /// With a variable in the container's environment.
    pub(crate) fn variable(mut self, name: &'a str, value: &str) -> Self {
        self.environment.push((name, value.to_owned()));
        self
    }
}

impl Agent {
    /// Starts it and waits until it is ready: until its Envoy has a first configuration.
    pub(crate) fn start(world: &World, group: &str, pod: &Pod) -> Result<Self> {
        let mut agent = Self::spawn(world, group, pod)?;
        let ready = agent.ready_url();
        agent.program.wait_until("the agent to be ready", PATIENCE, || {
            Request::get(&ready).timeout(ANSWER).send().is_ok_and(|answer| answer.status == 200).then_some(())
        })?;
        Ok(agent)
    }

    /// Starts it. `group` names the directory of its files.
    pub(crate) fn spawn(world: &World, group: &str, pod: &Pod) -> Result<Self> {
        let directory = world.directory(group)?.join(pod.name);
        let about = directory.join("etc/istio/pod");
        fs::create_dir_all(&about)?;
        fs::write(about.join("labels"), format!("app={:?}\n", pod.name))?;
        let annotations: Vec<String> =
            pod.annotations.iter().map(|(name, value)| format!("{name}={value:?}\n")).collect();
        fs::write(about.join("annotations"), annotations.concat())?;
        let mut command = Command::new(installed("pilot-agent")?);
        command.current_dir(&directory).args(["proxy", pod.kind.name(), "--proxyLogLevel", pod.log_level]);
        for (name, value) in ENVIRONMENT {
            command.env(name, value);
        }
        command.env("POD_NAME", format!("{}-0", pod.name)).env("SERVICE_ACCOUNT", pod.name);
        command.env("ISTIO_META_WORKLOAD_NAME", pod.name);
        command.env("ISTIO_METAJSON_LABELS", json!({ "app": pod.name }).to_string());
        command.env("ISTIO_BOOTSTRAP", bootstrap()?);
        command.env("PROXY_CONFIG", proxy_config(pod, &directory)?.to_string());
        command.env("ENVOY_STATUS_PORT", (pod.ports + 21).to_string());
        command.env("ENVOY_PROMETHEUS_PORT", (pod.ports + 90).to_string());
        for (name, value) in &pod.environment {
            command.env(name, value);
        }
        let program = Program::start("pilot-agent", &directory, &mut command)?;
        Ok(Self { program, directory, ports: pod.ports })
    }

    /// What Kubernetes asks for whether the pod may get requests.
    pub(crate) fn is_ready(&self) -> bool {
        let answer = Request::get(self.ready_url()).timeout(ANSWER).send();
        answer.is_ok_and(|answer| answer.status == 200)
    }

    fn ready_url(&self) -> String {
        format!("http://127.0.0.1:{}/healthz/ready", self.ports + 20)
    }

    /// Waits until Envoy has a listener at an address.
    pub(crate) fn listens(&self, addr: SocketAddr) -> Result<()> {
        wait_for(&format!("a listener at {addr}"), PATIENCE, || {
            Ok(self.admin("/listeners")?.text().contains(&format!("::{addr}\n")).then_some(()))
        })
    }

    /// Asks Envoy's admin interface.
    pub(crate) fn admin(&self, path: &str) -> Result<Response> {
        Request::get(format!("http://127.0.0.1:{}{path}", self.ports)).timeout(ANSWER).send()
    }

    /// The samples that Prometheus would scrape from this pod.
    pub(crate) fn samples(&self) -> Result<Vec<Sample>> {
        let url = format!("http://127.0.0.1:{}/stats/prometheus", self.ports + 90);
        Ok(prometheus::parse(&Request::get(url).timeout(ANSWER).send()?.text()))
    }

    /// The sum of a metric's samples that have all of these labels.
    pub(crate) fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Result<f64> {
        Ok(prometheus::sum(&self.samples()?, name, labels))
    }

    /// A counter or gauge of Envoy by its full name, or zero.
    pub(crate) fn stat(&self, name: &str) -> Result<u64> {
        let page = self.admin("/stats")?.text();
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        Ok(value.and_then(|value| value.parse().ok()).unwrap_or(0))
    }

    /// What Envoy has of the control plane: `kind` is a type in a configuration dump, such as `EcdsConfigDump`.
    pub(crate) fn configuration(&self, kind: &str) -> Result<Value> {
        let dump = self.admin("/config_dump?include_eds")?.json()?;
        let configs = dump.get("configs").and_then(Value::as_array).cloned().unwrap_or_default();
        let of_kind = |config: &&Value| {
            config.get("@type").and_then(Value::as_str).is_some_and(|name| name.ends_with(kind))
        };
        Ok(configs.iter().find(of_kind).cloned().unwrap_or_default())
    }

    /// Whether a configuration dump of Envoy shows one of these, as it is or in base64: `no`, or which.
    pub(crate) fn dumps(&self, secrets: &[String]) -> Result<String> {
        let dump = self.admin("/config_dump?include_eds")?.text();
        ensure!(dump.contains("attache"), "a configuration dump without the filter");
        let all = secrets.iter().enumerate();
        let shown = all.filter(|(_, secret)| {
            let encoded = Base64::encode_string(secret.as_bytes());
            dump.contains(secret.as_str()) || dump.contains(encoded.trim_end_matches('='))
        });
        let shown: Vec<_> = shown.map(|(index, _)| format!("yes: secret {index}")).collect();
        Ok(if shown.is_empty() { "no".to_owned() } else { shown.join(", ") })
    }

    /// Its log and Envoy's.
    pub(crate) fn log(&self) -> String {
        self.program.log()
    }

    /// Waits until a line of the log contains all of these, and returns the first such line after `from` bytes.
    pub(crate) fn logs(&self, from: usize, parts: &[&str]) -> Result<String> {
        wait_for(&format!("a line of the log with {parts:?}"), PATIENCE, || {
            let log = self.log();
            let mut lines = log.get(from..).unwrap_or_default().lines();
            Ok(lines.find(|line| parts.iter().all(|part| line.contains(part))).map(str::to_owned))
        })
    }

    /// The container's `/`.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Sidecar => "sidecar",
            Self::Router => "router",
        }
    }
}

fn proxy_config(pod: &Pod, directory: &Path) -> Result<Value> {
    Ok(json!({
        "discoveryAddress": ADDRESS,
        "controlPlaneAuthPolicy": "NONE",
        "binaryPath": find_binary()?,
        "configPath": directory.join("etc/istio/proxy"),
        "concurrency": 2,
        "proxyAdminPort": pod.ports,
        "statusPort": pod.ports + 20,
        // An end of a test is no end of a pod.
        "terminationDrainDuration": "0s",
    }))
}

/// The template of Envoy's bootstrap that is in Istio's images.
fn bootstrap() -> Result<PathBuf> {
    let path = checkout(".tools/mesh/istio/envoy_bootstrap.json");
    path.is_file().then_some(path).context("no .tools/mesh/istio/envoy_bootstrap.json: run `make mesh`")
}

const ENVIRONMENT: [(&str, &str); 7] = [
    ("POD_NAMESPACE", "orders"),
    ("INSTANCE_IP", "127.0.0.1"),
    // Else the agent asks the metadata servers of clouds.
    ("CLOUD_PLATFORM", "none"),
    ("ISTIO_META_CLUSTER_ID", "Kubernetes"),
    ("ISTIO_META_INTERCEPTION_MODE", "NONE"),
    // There is no certification authority, and no mTLS between workloads.
    ("FILE_MOUNTED_CERTS", "true"),
    ("JWT_POLICY", "none"),
];
const ANSWER: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(120);
