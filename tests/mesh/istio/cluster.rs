//! What stands in for a Kubernetes cluster with Istio: its control plane, pods with agents, and a `kubectl` that gives
//! them what a command says.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use attache_harness::wait::wait_for;
use serde_json::Value;

use super::agent::{Agent, Kind, Pod};
use super::control_plane::{ADDRESSES, ControlPlane};
use crate::manifests::attachectl;
use crate::world::{World, checkout};

/// A cluster. Its pods are started by `kubectl rollout status`.
pub(crate) struct Cluster<'a> {
    world: &'a World,
    group: &'static str,
    directory: PathBuf,
    pub(crate) control_plane: ControlPlane,
    pods: BTreeMap<&'static str, Agent>,
    /// What the operator's shell has, beside the password of the page's client.
    variables: Vec<(&'static str, PathBuf)>,
}

impl<'a> Cluster<'a> {
    /// An empty one, but for service accounts.
    pub(crate) fn start(world: &'a World, group: &'static str) -> Result<Self> {
        let directory = world.directory(group)?;
        let manifests = directory.join("manifests");
        fs::create_dir_all(manifests.join("kubernetes"))?;
        fs::write(manifests.join("kubernetes/accounts.yaml"), include_str!("accounts.yaml"))?;
        let scripts = ADDRESSES.map(|(from, to)| format!("s#{from}#{to}#g\n"));
        fs::write(directory.join("addresses.sed"), scripts.concat())?;
        fs::create_dir_all(directory.join("bin"))?;
        symlink(checkout("tests/mesh/istio/kubectl"), directory.join("bin/kubectl"))?;
        let control_plane = ControlPlane::start(world, group, &[])?;
        Ok(Self { world, group, directory, control_plane, pods: BTreeMap::new(), variables: Vec::new() })
    }

    /// Sets a variable of the operator's shell.
    pub(crate) fn variable(&mut self, name: &'static str, path: &Path) {
        self.variables.push((name, path.to_owned()));
    }

    /// Runs commands of a page and returns what they wrote.
    pub(crate) fn run(&mut self, commands: &str) -> Result<String> {
        let mut commands = commands.replace("target/debug/attachectl", &attachectl()?.display().to_string());
        for (from, to) in ADDRESSES {
            commands = commands.replace(from.trim_end_matches('$'), to);
        }
        let script = self.directory.join("commands");
        fs::write(&script, &commands)?;
        let output = self.directory.join("output");
        let mut bash = Command::new("bash");
        let file = fs::File::create(&output)?;
        bash.args(["-euo", "pipefail"])
            .arg(&script)
            .current_dir(checkout(""))
            .env("CLUSTER", &self.directory);
        let own = [self.directory.join("bin"), checkout(".tools/mesh/bin")];
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(own.into_iter().chain(std::env::split_paths(&path)))?;
        bash.env("PATH", path).env("CLIENT_SECRET", crate::keycloak::SECRET);
        bash.envs(self.variables.iter().cloned());
        bash.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let mut bash = bash.spawn().context("cannot start bash")?;
        let ended = wait_for("the commands of a page", PATIENCE, || {
            self.roll_out()?;
            Ok(bash.try_wait()?)
        });
        let output = fs::read_to_string(output)?;
        match ended {
            Ok(status) if status.success() => Ok(output),
            Ok(status) => bail!("{status}: {commands}{output}"),
            Err(error) => {
                let _ = bash.kill();
                Err(error.context(format!("{commands}{output}")))
            }
        }
    }

    /// A pod's agent.
    pub(crate) fn agent(&self, pod: &str) -> Result<&Agent> {
        self.pods.get(pod).with_context(|| format!("no pod {pod}"))
    }

    /// Ends a pod.
    pub(crate) fn end(&mut self, pod: &str) {
        self.pods.remove(pod);
    }

    /// What a Secret holds.
    pub(crate) fn secret(&self, name: &str, key: &str) -> Result<String> {
        Ok(fs::read_to_string(self.directory.join("secrets").join(name).join(key))?)
    }

    /// Starts the pods that `kubectl rollout status` waits for.
    fn roll_out(&mut self) -> Result<()> {
        for (name, kind, ports, address) in PODS {
            let about = self.directory.join("pods").join(name);
            if fs::remove_file(about.join("rollout")).is_err() {
                continue;
            }
            self.pods.remove(name);
            let mut pod = Pod::new(name, kind);
            pod.ports = ports;
            let patches = patches(&about)?;
            for patch in &patches {
                pod = pod.patched(patch);
                for (variable, value) in self.variables(patch)? {
                    pod = pod.variable(variable, &value);
                }
            }
            let agent = Agent::start(self.world, self.group, &pod)?;
            agent.listens(address)?;
            let _ = fs::remove_file(about.join("directory"));
            symlink(agent.directory(), about.join("directory"))?;
            let _ = fs::remove_file(about.join("log"));
            symlink(agent.directory().join("pilot-agent.log"), about.join("log"))?;
            fs::write(about.join("ready"), "")?;
            self.pods.insert(name, agent);
        }
        Ok(())
    }

    /// The environment that a patch gives to the container `istio-proxy`, from Secrets.
    fn variables<'p>(&self, patch: &'p Value) -> Result<Vec<(&'p str, String)>> {
        let variables = patch.pointer("/spec/template/spec/containers/0/env").and_then(Value::as_array);
        let variables = variables.into_iter().flatten().map(|variable| {
            let text = |path: &str| {
                variable.pointer(path).and_then(Value::as_str).context("a variable by secretKeyRef")
            };
            let secret = self.directory.join("secrets").join(text("/valueFrom/secretKeyRef/name")?);
            Ok((text("/name")?, fs::read_to_string(secret.join(text("/valueFrom/secretKeyRef/key")?))?))
        });
        variables.collect()
    }
}

fn patches(pod: &Path) -> Result<Vec<Value>> {
    let Ok(files) = fs::read_dir(pod.join("patches")) else { return Ok(Vec::new()) };
    let files = files.map(|file| Ok(serde_saphyr::from_str(&fs::read_to_string(file?.path())?)?));
    files.collect()
}

/// The pods of these tests, with the first of each one's own ports, and where each takes requests.
const PODS: [(&str, Kind, u16, SocketAddr); 2] =
    [("orders", Kind::Sidecar, 15000, SIDECAR), ("orders-gateway", Kind::Router, 15200, GATEWAY)];
pub(crate) const SIDECAR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 6)), 80);
const GATEWAY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 5)), 443);
/// Where the workload takes requests from its sidecar.
pub(crate) const WORKLOAD: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9001);
pub(super) const PATIENCE: Duration = Duration::from_secs(180);
