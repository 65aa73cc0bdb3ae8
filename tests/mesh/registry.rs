//! A registry of images with the module in it, `https://registry.example.com`: a real one behind an Envoy that speaks
//! TLS. It can be private, or gone, and can hold images that are no good.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use attache_harness::envoy::Envoy;
use attache_harness::http::Request;

use crate::front::Front;
use crate::image::build;
use crate::program::{Program, run};
use crate::world::{World, installed, module};

/// A running registry.
pub(crate) struct Registry {
    directory: PathBuf,
    front: RefCell<Option<Envoy>>,
    _program: Program,
}

/// What clients meet at its address.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everybody may pull.
    Public,
    /// Who does not say `USER` and `PASSWORD` gets 401.
    Private,
    /// Connections are refused.
    Gone,
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
        let registry = Self { directory, front: RefCell::new(None), _program: program };
        registry.push(IMAGE, &module())?;
        registry.open(world, Access::Public)?;
        Ok(registry)
    }

    /// From now on clients meet this. Connections that are open are cut.
    pub(crate) fn open(&self, world: &World, access: Access) -> Result<()> {
        // Two cannot listen at one address.
        drop(self.front.borrow_mut().take());
        let path = module();
        let front = Front::new("127.0.0.3", 5000).plain_too();
        let front = front.file(FILE, path.to_str().context("a path that is not UTF-8")?);
        let front = match access {
            Access::Public => front,
            Access::Private => front.users(HTPASSWD),
            Access::Gone => return Ok(()),
        };
        *self.front.borrow_mut() = Some(front.start(world)?);
        Ok(())
    }

    /// Puts a file as `plugin.wasm` into an image as `make image` builds it, and returns the digest of its manifest.
    pub(crate) fn push(&self, image: &str, file: &Path) -> Result<String> {
        let built = self.directory.join("image");
        let digest = build(file, &built)?;
        let mut command = Command::new(installed("crane")?);
        run(command.arg("push").arg(built.join("attache")).arg(format!("{LOCAL}/{image}")))?;
        Ok(digest)
    }

    /// Puts a file of this name, with these contents, into an image of one layer.
    pub(crate) fn push_layer(&self, image: &str, name: &str, bytes: &[u8]) -> Result<()> {
        fs::write(self.directory.join(name), bytes)?;
        run(Command::new("tar").current_dir(&self.directory).args(["-czf", "layer.tgz", name]))?;
        let image = format!("{LOCAL}/{image}");
        let mut command = Command::new(installed("crane")?);
        command.current_dir(&self.directory).args(["append", "--oci-empty-base", "--new_layer", "layer.tgz"]);
        run(command.args(["--new_tag", &image])).map(drop)
    }
}

/// The image that the manifests of `deploy` name.
pub(crate) const IMAGE: &str = "attache:0.1.0";
/// The registry without TLS.
pub(crate) const LOCAL: &str = "127.0.0.1:5000";
/// Where the module is as a file, over HTTPS and plain HTTP.
pub(crate) const FILE: &str = "/files/attache.wasm";
pub(crate) const USER: &str = "mesh";
pub(crate) const PASSWORD: &str = "a-secret-for-pulling";
/// Both, as `htpasswd -s` writes them.
const HTPASSWD: &str = "mesh:{SHA}DY+EEx29bvWaudvmAmdMxmQuaMM=";
const PATIENCE: Duration = Duration::from_secs(30);
