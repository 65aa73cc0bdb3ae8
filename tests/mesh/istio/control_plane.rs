//! Istio's control plane, on 127.0.0.1:15010, with manifests in a directory in place of Kubernetes: its own program
//! (`tools/go/istio`) around Istio's own parts.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::program::Program;
use crate::world::{World, checkout, installed};

/// A control plane, running or not.
pub(crate) struct ControlPlane {
    program: Option<Program>,
    /// What the program writes.
    directory: PathBuf,
    /// What it reads.
    manifests: PathBuf,
    starts: usize,
}

impl ControlPlane {
    /// Starts one that has these manifests.
    pub(crate) fn start(world: &World, group: &str, manifests: &[(&str, &str)]) -> Result<Self> {
        let directory = world.directory(group)?;
        let mut control_plane =
            Self { program: None, manifests: directory.join("manifests"), directory, starts: 0 };
        fs::create_dir_all(&control_plane.manifests)?;
        for (name, text) in manifests {
            control_plane.apply(name, text)?;
        }
        control_plane.start_again()?;
        Ok(control_plane)
    }

    /// Adds a manifest of this name or replaces it: `kubectl apply`. The control plane notices it soon. Secrets are in
    /// `kubernetes/`; so are ServiceAccounts, which are there from the start.
    pub(crate) fn apply(&self, name: &str, text: &str) -> Result<()> {
        let (new, path) = (self.directory.join("new"), self.manifests.join(format!("{name}.yaml")));
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(&new, text)?;
        Ok(fs::rename(new, path)?)
    }

    /// How often it has made a new configuration for the agents.
    pub(crate) fn pushes(&self) -> usize {
        let log = fs::read_to_string(self.directory.join("istio.log")).unwrap_or_default();
        log.matches("XDS: Pushing").count()
    }

    /// Takes a manifest away: `kubectl delete`.
    pub(crate) fn delete(&self, name: &str) -> Result<()> {
        Ok(fs::remove_file(self.manifests.join(format!("{name}.yaml")))?)
    }

    /// Ends it at once, as when its machine fails. The agents lose their connections.
    pub(crate) fn kill(&mut self) {
        self.program = None;
    }

    /// Starts it after it was killed, with the manifests that are there now, and waits until it serves.
    pub(crate) fn start_again(&mut self) -> Result<()> {
        let mut command = Command::new(installed("istio")?);
        command.arg(&self.manifests).arg(ADDRESS);
        for (name, value) in ENVIRONMENT {
            command.env(name, value);
        }
        self.starts += 1;
        let mut program = Program::start("istio", &self.directory, &mut command)?;
        let starts = self.starts;
        let log = self.directory.join("istio.log");
        program.wait_until("Istio's control plane", PATIENCE, || {
            let log = fs::read_to_string(&log).unwrap_or_default();
            (log.matches("serving").count() == starts).then_some(())
        })?;
        self.program = Some(program);
        Ok(())
    }
}

/// A manifest of `deploy`, with the addresses that differ here.
pub(crate) fn deployed(path: &str) -> Result<String> {
    let text = fs::read_to_string(checkout("deploy").join(path))?;
    Ok(ADDRESSES.iter().fold(text, |text, (from, to)| {
        let (from, to) =
            (from.replace('$', "\n"), if from.ends_with('$') { format!("{to}\n") } else { (*to).into() });
        text.replace(&from, &to)
    }))
}

/// The paths of Keycloak. `$` is the end of a line.
pub(crate) const ADDRESSES: [(&str, &str); 3] = [
    ("issuer: https://issuer.example$", "issuer: https://issuer.example/realms/orders"),
    ("https://issuer.example/jwks", "https://issuer.example/realms/orders/protocol/openid-connect/certs"),
    ("https://issuer.example/token", "https://issuer.example/realms/orders/protocol/openid-connect/token"),
];
/// Where the agents find it.
pub(crate) const ADDRESS: &str = "127.0.0.1:15010";
/// Without Istio's own filters, which are not in Envoy as its project publishes it.
const ENVIRONMENT: [(&str, &str); 2] =
    [("PILOT_ENABLE_METADATA_EXCHANGE", "false"), ("PILOT_ENABLE_ALPN_FILTER", "false")];
const PATIENCE: Duration = Duration::from_secs(60);
