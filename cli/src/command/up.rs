use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use attache_harness::demo;
use attache_harness::demo_environment::{DemoEnvironment, DemoOptions, Endpoints};
use attache_harness::issuer::{DEMO_CLIENT, DEMO_SECRET};
use clap::Args;

use super::signal::Signals;

/// What to start on this machine.
#[derive(Debug, Args)]
pub(crate) struct Local {
    /// The Envoy program [default: what `make` installed].
    #[arg(long, env = "ATTACHE_ENVOY", value_name = "PATH")]
    envoy: Option<PathBuf>,
    /// The filter [default: the file that the bootstrap names].
    #[arg(long, value_name = "PATH")]
    wasm: Option<PathBuf>,
    /// The bootstrap.
    #[arg(long, value_name = "PATH", default_value = "envoy.yaml")]
    config: PathBuf,
    /// The bootstrap of the sidecar that calls it.
    #[arg(long, value_name = "PATH", default_value = "sidecar.yaml")]
    sidecar: PathBuf,
    /// How many workers Envoy runs.
    #[arg(long, value_name = "N", default_value_t = 2)]
    concurrency: u32,
}

/// The options of `up`.
#[derive(Debug, Args)]
pub(crate) struct Up {
    #[command(flatten)]
    local: Local,
}

impl From<Local> for DemoOptions {
    fn from(local: Local) -> Self {
        let Local { envoy, wasm, config, sidecar, concurrency } = local;
        Self { envoy, wasm, config, sidecar, concurrency }
    }
}

impl Up {
    pub(super) fn run(self) -> Result<ExitCode> {
        let signals = Signals::new()?;
        let mut stage = DemoEnvironment::start(self.local.into())?;
        tell_notes(&stage);
        let places = stage.places()?;
        stay(&mut stage, &places, &signals)?;
        Ok(ExitCode::SUCCESS)
    }
}

pub(super) fn tell_notes(stage: &DemoEnvironment) {
    for note in stage.notes() {
        eprintln!("note: {note}");
    }
}

/// Prints what can be tried, and waits for Ctrl-C.
pub(super) fn stay(stage: &mut DemoEnvironment, places: &Endpoints, signals: &Signals) -> Result<()> {
    let Endpoints { proxy, admin, issuer, sidecar } = places;
    let outbound = sidecar.as_ref().map(|sidecar| sidecar.outbound.as_str()).unwrap_or_default();
    let token = demo::token(places, "orders:read")?;
    println!(
        "
proxy   {proxy}
issuer  {issuer}
admin   {admin}
log     {log}

# a token, good for five minutes
TOKEN={token}
# another one
TOKEN=$(curl -s -u {DEMO_CLIENT}:{DEMO_SECRET} -d grant_type=client_credentials -d scope=orders:read {issuer}/token | sed 's/.*\"access_token\":\"\\([^\"]*\\).*/\\1/')

curl -i -H \"authorization: Bearer $TOKEN\" {proxy}/orders           # 200: see x-auth-client-id in the echo
curl -i {proxy}/orders                                             # 401: a token is required
curl -i -X POST -H \"authorization: Bearer $TOKEN\" {proxy}/orders   # 403: it lacks orders:write
curl -i {proxy}/healthz                                            # 200: public
curl -i {proxy}/nowhere                                            # 403: no such route

# what a service calls by its sidecar, without any token
curl -i -H 'host: orders.internal' {outbound}/orders              # 200: the echo shows the sidecar's token
curl -X POST '{issuer}/admin/fault?at=token&kind=status&value=503' # the token endpoint fails; calls go on

curl -X POST {issuer}/admin/rotate                                 # a new key signs; get another token
curl -X POST {issuer}/admin/withdraw                               # tokens of older keys are refused soon
curl -X POST '{issuer}/admin/fault?kind=status&value=503'          # the issuer's keys fail; kind=none ends it
curl -X POST -H 'content-type: application/json' -d '{{\"expires_in\": -60}}' {issuer}/admin/mint   # any token you like
curl -s {admin}/stats/prometheus | grep attache

Ctrl-C ends everything.",
        log = stage.envoy().directory().join("stderr").display(),
    );
    while !signals.wait_for(GLANCE) {
        if let Some(status) = stage.envoy().exited()? {
            bail!("Envoy ended by itself with {status}; its log:\n{}", stage.envoy().logs());
        }
    }
    Ok(())
}

const GLANCE: Duration = Duration::from_millis(500);
