//! Envoy Gateway delivers `deploy/envoy-gateway`, as its page says, to a gateway in front of a service and to one
//! through which workloads call an API.

mod control_plane;
mod fault_table;
mod inbound;
mod outbound;
mod statistics;

use std::time::Duration;

use anyhow::{Result, bail};
use attache_harness::upstream::Upstream;
use attache_harness::wait::wait_for;
use base64ct::{Base64, Encoding};

use self::control_plane::{ControlPlane, SEAL};
use crate::client::Call;
use crate::front::Front;
use crate::keycloak::{Keycloak, SECRET};
use crate::registry::Access;
use crate::report::{Place, Report};
use crate::walkthrough::Page;
use crate::world::World;

/// What the rows need.
struct Mesh<'a> {
    world: &'a World,
    keycloak: &'a Keycloak,
    control_plane: ControlPlane,
    readme: Page,
}

pub(crate) fn run(world: &World, report: &mut Report) -> Result<()> {
    let keycloak = world.keycloak()?;
    // Whatever the groups before this one have made of it.
    world.registry()?.open(world, Access::Public)?;
    let _service = Upstream::listen(SERVICE.parse()?)?;
    let api = Upstream::start()?;
    let _api_tls = Front::new(API, api.addr().port()).start(world)?;
    let readme = Page::read("deploy/envoy-gateway/README.md")?;
    let control_plane = ControlPlane::start(world)?;
    let mut mesh = Mesh { world, keycloak, control_plane, readme };
    inbound::run(&mut mesh, report)?;
    outbound::run(&mut mesh, &api, report)?;
    statistics::run(&mesh, report)?;
    let place = Place { control_plane: CONTROL_PLANE, position: "both" };
    let left = mesh.readme.left().unwrap_or("none").to_owned();
    report.row(place, "a command of the page that was not run", 0, "none", Ok(left));
    let logs = mesh.secrets(&mesh.control_plane.log());
    report.row(place, "tokens and secrets in the logs", 0, "none", logs);
    let dumps = mesh.dumps();
    report.row(place, "tokens and secrets in the proxies' configuration dumps", 0, "none of 2", dumps);
    Ok(())
}

impl Mesh<'_> {
    /// Runs a block of the page.
    fn block(&mut self, heading: &str, n: usize) -> Result<String> {
        let commands = self.readme.take(heading, n)?;
        self.control_plane.commands(self.world, &commands)
    }

    /// Changes a manifest: what is replaced, and by what.
    fn change(&self, manifest: &str, edits: &[(&str, &str)]) -> Result<()> {
        let mut text = self.control_plane.manifest(manifest)?;
        for (from, to) in edits {
            if text.matches(from).count() != 1 {
                bail!("{manifest} does not have `{from}` once");
            }
            text = text.replace(from, to);
        }
        self.control_plane.apply(manifest, &text)
    }

    /// What of tokens and secrets the configuration dumps of the proxies hold, each of which has the filter.
    fn dumps(&self) -> Result<String> {
        let dumps = self.control_plane.configurations()?;
        let with_filter = dumps.iter().filter(|dump| dump.contains("wasm_cluster")).count();
        Ok(format!("{} of {with_filter}", self.secrets(&dumps.concat())?))
    }

    /// What of tokens and secrets a text holds.
    fn secrets(&self, text: &str) -> Result<String> {
        let basic = Base64::encode_string(format!("orders-service:{SECRET}").as_bytes());
        // Each of Keycloak's tokens begins with the same header.
        let token = self.keycloak.token("orders:read")?;
        let head = token.split('.').next().unwrap_or_default();
        let found = [
            ("the client's secret", SECRET),
            ("its base64", &Base64::encode_string(SECRET.as_bytes())),
            ("its credential", &basic),
            ("a token", head),
            ("the seal", SEAL),
        ];
        let found: Vec<_> =
            found.iter().filter(|(_, secret)| text.contains(secret)).map(|(what, _)| *what).collect();
        Ok(if found.is_empty() { "none".to_owned() } else { found.join(", ") })
    }
}

/// Sends a request until it is answered as expected.
fn until(call: &Call, expected: &str) -> Result<String> {
    let mut last = String::new();
    let answered = wait_for(expected, PATIENCE, || {
        last = answer(call);
        Ok((last == expected).then_some(()))
    });
    Ok(if answered.is_ok() { last } else { format!("{last}, for {} s", PATIENCE.as_secs()) })
}

/// What a client sees. The error itself holds the request, with its token.
fn answer(call: &Call) -> String {
    call.shown().unwrap_or_else(|_| "no answer".to_owned())
}

const CONTROL_PLANE: &str = "Envoy Gateway";
const API: &str = "127.0.0.4";
/// The Backend of host.yaml.
const SERVICE: &str = "127.0.0.5:8088";
const PATIENCE: Duration = Duration::from_secs(90);
