//! Envoy Gateway, standalone: it reads manifests from a directory, and starts Envoy as a process for each gateway.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use attache_harness::http::Request;
use attache_harness::prometheus::{self, Sample};
use base64ct::{Base64, Encoding};
use serde_json::json;

use crate::keycloak;
use crate::manifests;
use crate::program::{Program, run};
use crate::world::{World, checkout, installed};

/// A running Envoy Gateway. Its proxies end with it.
pub(crate) struct ControlPlane {
    program: Program,
    directory: PathBuf,
}

impl ControlPlane {
    /// Starts it without any manifest.
    pub(crate) fn start(world: &World) -> Result<Self> {
        let directory = world.directory("envoy-gateway")?;
        let at = |name: &str| directory.join(name);
        fs::create_dir_all(at("manifests"))?;
        // Where it would put an Envoy that it has downloaded.
        let envoys = at("data/envoy-versions/1.40.0/bin");
        fs::create_dir_all(&envoys)?;
        fs::copy(attache_harness::envoy::find_binary()?, envoys.join("envoy"))?;
        let program = installed("envoy-gateway")?;
        run(Command::new(&program)
            .args(["certgen", "--local", "--config-home"])
            .arg(&directory)
            .env("HOME", &directory))?;
        fs::copy(at("certs/envoy/ca.crt"), "/certs/ca.crt")?;
        let host = json!({
            "configHome": directory, "dataHome": at("data"), "stateHome": at("state"), "runtimeDir": at("run"),
        });
        let configuration = json!({
            "apiVersion": "gateway.envoyproxy.io/v1alpha1",
            "kind": "EnvoyGateway",
            "gateway": { "controllerName": "gateway.envoyproxy.io/gatewayclass-controller" },
            "provider": { "type": "Custom", "custom": {
                "resource": { "type": "File", "file": { "paths": [at("manifests")] } },
                "infrastructure": { "type": "Host", "host": host },
            } },
            "extensionApis": { "enableBackend": true },
        });
        fs::write(at("standalone.yaml"), configuration.to_string())?;
        let mut command = Command::new(program);
        command.args(["server", "--config-path"]).arg(at("standalone.yaml")).env("HOME", &directory);
        // The Secret of the proxies.
        command.env("ATTACHE_CLIENT_SECRET", keycloak::SECRET).env("ATTACHE_SEAL", SEAL);
        let mut program = Program::start("envoy-gateway", &directory, &mut command)?;
        program.wait_until("Envoy Gateway", PATIENCE, || {
            let answer = Request::get("http://127.0.0.1:8081/readyz").send();
            answer.is_ok_and(|answer| answer.status == 200).then_some(())
        })?;
        Ok(Self { program, directory })
    }

    /// Gives its proxies a certificate (`NAME.crt` and `NAME.key`) with which they fetch modules from it. In Kubernetes
    /// it makes this Secret itself.
    pub(crate) fn certify_proxies(&self, name: &Path) -> Result<()> {
        let encoded = |file: &Path| -> Result<String> { Ok(Base64::encode_string(&fs::read(file)?)) };
        let authority = encoded(&self.own_certificate().with_file_name("ca.crt"))?;
        let (certificate, key) = (name.with_extension("crt"), name.with_extension("key"));
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": "envoy", "namespace": "envoy-gateway-system" },
            "type": "kubernetes.io/tls",
            "data": { "ca.crt": authority, "tls.crt": encoded(&certificate)?, "tls.key": encoded(&key)? },
        });
        self.apply("secret-envoy", &secret.to_string())
    }

    /// The one that it accepts, without its extension.
    pub(crate) fn own_certificate(&self) -> PathBuf {
        self.directory.join("certs/envoy/tls")
    }

    /// Replaces a manifest.
    pub(crate) fn apply(&self, name: &str, manifest: &str) -> Result<()> {
        let new = self.directory.join("new");
        fs::write(&new, manifest)?;
        Ok(fs::rename(new, self.manifest_file(name))?)
    }

    /// A manifest as it was applied.
    pub(crate) fn manifest(&self, name: &str) -> Result<String> {
        Ok(fs::read_to_string(self.manifest_file(name))?)
    }

    /// Runs commands of a page, with the addresses of this machine, and returns what they wrote.
    pub(crate) fn commands(&self, world: &World, commands: &str) -> Result<String> {
        let script = self.directory.join("commands");
        let attachectl = manifests::attachectl()?;
        fs::write(&script, commands.replace("target/debug/attachectl", &attachectl.to_string_lossy()))?;
        let mut sed = Command::new("sed");
        sed.args(["--in-place", "--file"]).arg(checkout(DIFFERENCES)).arg(&script);
        run(sed.arg("--expression=s#https://orders.example/#https://orders.example:10443/#"))?;
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail"]).arg(&script).current_dir(checkout(""));
        bash.env("CLUSTER", &self.directory).env("CLIENT_SECRET", keycloak::SECRET);
        bash.env("CERTIFICATE", world.certificate("server.crt")).env("KEY", world.certificate("server.key"));
        // The tests' `kubectl` comes first.
        let path = std::env::var("PATH").context("no PATH")?;
        bash.env("PATH", format!("{}:{path}", checkout("tests/mesh/envoy_gateway").display()));
        run(&mut bash)
    }

    /// The metrics of the proxy that has a counter or gauge of this name.
    pub(crate) fn samples(&self, name: &str) -> Result<Vec<Sample>> {
        let pages = self.ask_proxies("stats/prometheus")?;
        let mut pages = pages.iter().map(|page| prometheus::parse(page));
        let page = pages.find(|page| page.iter().any(|sample| sample.name == name));
        Ok(page.unwrap_or_default())
    }

    /// The configuration of each of its proxies, as its administration interface shows it.
    pub(crate) fn configurations(&self) -> Result<Vec<String>> {
        self.ask_proxies("config_dump")
    }

    /// What the administration interfaces of its proxies answer.
    fn ask_proxies(&self, path: &str) -> Result<Vec<String>> {
        // Not there before the first proxy.
        let Ok(proxies) = fs::read_dir(self.directory.join("run")) else { return Ok(Vec::new()) };
        let mut answers = Vec::new();
        for proxy in proxies {
            let Ok(admin) = fs::read_to_string(proxy?.path().join("admin-address.txt")) else { continue };
            let answer = Request::get(format!("http://{}/{path}", admin.trim())).send();
            answers.extend(answer.ok().map(|answer| answer.text()));
        }
        Ok(answers)
    }

    /// What it and its proxies have written.
    pub(crate) fn log(&self) -> String {
        self.program.log()
    }

    fn manifest_file(&self, name: &str) -> PathBuf {
        self.directory.join("manifests").join(format!("{name}.yaml"))
    }
}

const DIFFERENCES: &str = "tests/mesh/envoy_gateway/differences.sed";
/// 32 bytes, in base64url.
pub(crate) const SEAL: &str = "bWVzaC1tZXNoLW1lc2gtbWVzaC1tZXNoLW1lc2gtMTI";
const PATIENCE: Duration = Duration::from_secs(90);
