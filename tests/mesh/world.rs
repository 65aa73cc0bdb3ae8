//! What the groups share: where the programs are, and the servers that are started once, when the first group asks.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use attache_harness::CHECKOUT;
use tempfile::TempDir;

use crate::keycloak::Keycloak;
use crate::registry::Registry;

/// Lives as long as the tests.
pub(crate) struct World {
    directory: TempDir,
    certificates: PathBuf,
    keycloak: OnceCell<Keycloak>,
    registry: OnceCell<Registry>,
}

impl World {
    pub(crate) fn new() -> Result<Self> {
        let certificates = std::env::var_os("ATTACHE_MESH").context(
            "these tests change the machine that they run in: `make mesh` gives them one of their own",
        )?;
        let directory = tempfile::Builder::new().prefix("attache-mesh-").tempdir()?;
        Ok(Self {
            directory,
            certificates: certificates.into(),
            keycloak: OnceCell::new(),
            registry: OnceCell::new(),
        })
    }

    /// A new directory for what a program writes.
    pub(crate) fn directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.directory.path().join(name);
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// `ca.crt`, which all in this machine trust, and `server.crt` with `server.key`, for the names of `hosts`.
    pub(crate) fn certificate(&self, file: &str) -> PathBuf {
        self.certificates.join(file)
    }

    /// The authorization server.
    pub(crate) fn keycloak(&self) -> Result<&Keycloak> {
        if self.keycloak.get().is_none() {
            let _ = self.keycloak.set(Keycloak::start(self)?);
        }
        self.keycloak.get().context("Keycloak has not started")
    }

    /// The registry, with the module's image in it.
    pub(crate) fn registry(&self) -> Result<&Registry> {
        if self.registry.get().is_none() {
            let _ = self.registry.set(Registry::start(self)?);
        }
        self.registry.get().context("the registry has not started")
    }
}

/// A program that `tools/setup mesh` has installed.
pub(crate) fn installed(program: &str) -> Result<PathBuf> {
    let path = checkout(".tools/mesh/bin").join(program);
    if !path.is_file() {
        bail!("no {}: run `make mesh`", path.display());
    }
    Ok(path)
}

/// A file of the checkout.
pub(crate) fn checkout(path: &str) -> PathBuf {
    Path::new(CHECKOUT).join(path)
}

/// The module under test.
pub(crate) fn module() -> PathBuf {
    checkout("target/attache.wasm")
}
