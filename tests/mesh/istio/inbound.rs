//! The filter in front of a workload: `deploy/istio` as it stands, its policy changed under load, and with mistakes.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use attache_harness::http::Request;
use attache_harness::upstream::Upstream;
use attache_harness::wait::wait_for;
use serde_json::Value;

use super::agent::{Agent, Kind, Pod};
use super::cluster::{Cluster, SIDECAR, WORKLOAD};
use super::control_plane::deployed;
use crate::client::Call;
use crate::judge::{self, Record, Tally};
use crate::keycloak::Keycloak;
use crate::load::{Load, Shot};
use crate::policy;
use crate::report::{Place, Report};
use crate::walkthrough::Page;
use crate::world::World;

/// What the rows need.
struct Sidecar<'a> {
    keycloak: &'a Keycloak,
    cluster: Cluster<'a>,
    readme: Page,
}

pub(crate) fn run(world: &World, report: &mut Report) -> Result<()> {
    let (_, keycloak, _workload) = (world.registry()?, world.keycloak()?, Upstream::listen(WORKLOAD)?);
    let hasty = keycloak.token_of("hasty-service", "hasty-secret", "orders:read")?;
    let readme = Page::read("deploy/istio/README.md")?;
    let mut sidecar = Sidecar { keycloak, cluster: Cluster::start(world, "istio-inbound")?, readme };
    report.row(PLACE, "the walk-through", 2, "401 without a token, 200 with one", sidecar.walk_through());
    let agent = sidecar.cluster.agent(POD)?;
    report.row(PLACE, "what Envoy gets", 0, "the module as a file, FAIL_RELOAD, no vm_id", delivered(agent));
    report.row(PLACE, "keys, without a sealing secret", 0, FETCHED, fetched_by_each(agent));
    policy::report_each(report, PLACE, policy::walk(BASE, keycloak)?);
    report.row(PLACE, "metrics have labels", 0, LABELS, labels(agent));
    let (requests, got) = sidecar.changes_under_load();
    report.row(PLACE, "10 changed policies under load", requests, NONE_FAILED, got);
    let (requests, got) = sidecar.wrong_change();
    report.row(PLACE, "a wrong policy, under load", requests, "refused: 0 failed, 0 wrongly allowed", got);
    report.row(
        PLACE,
        "with a sealing secret",
        0,
        "one thread fetches keys, two adopt them",
        sidecar.sealed(),
    );
    let (requests, got) = sidecar.trafficextension_under_load();
    report.row(PLACE, "TrafficExtension in place of WasmPlugin, under load", requests, NONE_FAILED, got);
    policy::report_all(
        report,
        PLACE,
        "the same requests, by TrafficExtension",
        policy::walk(BASE, keycloak)?,
    );
    report.row(PLACE, "an expired token", 1, "401 Bearer invalid_token, the token expired", expired(&hasty));
    report.row(PLACE, "commands of the page that were not run", 0, "none", sidecar.commands_left());
    report.row(
        PLACE,
        "tokens in the proxy's log",
        0,
        "none",
        without_tokens(&sidecar.cluster.agent(POD)?.log()),
    );
    let got = sidecar.wrong_at_first(world);
    report.row(PLACE, "a wrong policy at the start", 1, "the pod is ready, and answers 500", got);
    Ok(())
}

impl Sidecar<'_> {
    fn block(&mut self, heading: &str, n: usize) -> Result<String> {
        let commands = self.readme.take(heading, n)?;
        self.cluster.run(&commands)
    }

    /// The page's way from an empty namespace to the first permitted request.
    fn walk_through(&mut self) -> Result<String> {
        let heading = "From an empty namespace";
        self.block(heading, 0)?;
        self.block(heading, 1)?;
        let refused = status(&self.block(heading, 2)?);
        let permitted = status(&self.block(heading, 3)?);
        let seen = self.block(heading, 4)?;
        let counted = if seen.contains("attache_decisions_total{") { "" } else { ", not counted" };
        Ok(format!("{refused} without a token, {permitted} with one{counted}"))
    }

    /// The policy of the manifest in its n-th version. In odd ones `/flip` needs a scope that the token has, in even
    /// ones another.
    fn version(n: u64) -> Result<String> {
        let scope = if n.is_multiple_of(2) { "orders:write" } else { "orders:read" };
        let route = "      routes:\n      - name: flip\n        match: { path: /flip }\n";
        let route = format!("{route}        require: {{ scopes: [{scope}] }}\n");
        let text = deployed("istio/wasmplugin.yaml")?;
        let text = text.replacen("      version: 1\n", &format!("      version: {n}\n"), 1);
        Ok(text.replacen("      routes:\n", &route, 1))
    }

    fn changes_under_load(&self) -> (usize, Result<String>) {
        judged(self.load(|load| {
            let flip = Request::get(format!("{BASE}/flip")).bearer(&self.keycloak.token("orders:read")?);
            let mut periods = Vec::new();
            for n in 2..=11_u64 {
                let right: &'static [u16] = if n.is_multiple_of(2) { &[403] } else { &[200] };
                self.cluster.control_plane.apply("wasmplugin", &Self::version(n)?)?;
                in_force(self.cluster.agent(POD)?, n)?;
                // New connections, of which each worker gets some.
                wait_for("the policy in each worker", PATIENCE, || {
                    let statuses = (0..CONNECTIONS_FOR_EACH).map(|_| Ok(flip.clone().send()?.status));
                    let statuses: Vec<u16> = statuses.collect::<Result<_>>()?;
                    Ok(statuses.iter().all(|status| right.contains(status)).then_some(()))
                })?;
                let from = load.now();
                load.until(from + UNDER_EACH);
                load.every_last(0, "requests under it", |record| record.sent > from);
                periods.push(Period { from, to: load.now(), flip: right });
            }
            Ok(periods)
        }))
    }

    /// Envoy refuses a policy with a mistake, and says so to the control plane; the last good one stays.
    fn wrong_change(&self) -> (usize, Result<String>) {
        let (requests, told) = judged(self.load(|load| {
            let agent = self.cluster.agent(POD)?;
            let before = agent.log().len();
            self.cluster.control_plane.apply("wasmplugin", &wrong()?)?;
            agent.logs(before, &["wasm log attache: configuration refused: inbound.routes["])?;
            agent.logs(before, &["rejected: Unable to create Wasm plugin orders.attache"])?;
            let refused = load.now();
            load.every_last(0, "requests after it", |record| record.sent > refused);
            self.cluster.control_plane.apply("wasmplugin", &Self::version(13)?)?;
            in_force(agent, 13)?;
            load.until(load.now() + UNDER_EACH);
            // Versions 11 and 13 allow it; the one with the mistake has no such route.
            Ok(vec![Period { from: Duration::ZERO, to: Duration::MAX, flip: &[200] }])
        }));
        (requests, told.map(|told| format!("refused: {told}")))
    }

    /// The page's way to a sealing secret.
    fn sealed(&mut self) -> Result<String> {
        self.block("The sealing secret", 0)?;
        let agent = self.cluster.agent(POD)?;
        in_force(agent, 1)?;
        wait_for("threads that adopt keys", PATIENCE, || {
            let adopted = agent.metric("attache_shared_documents_total", &[("result", "adopted")])?;
            Ok((adopted > 1.5).then(|| "one thread fetches keys, two adopt them".to_owned()))
        })
    }

    /// A pod starts with a policy that Envoy refuses.
    fn wrong_at_first(&mut self, world: &World) -> Result<String> {
        self.cluster.end(POD);
        self.cluster.control_plane.delete("trafficextension")?;
        let pushes = self.cluster.control_plane.pushes();
        self.cluster.control_plane.apply("wasmplugin", &wrong()?)?;
        let is_new = || self.cluster.control_plane.pushes() > pushes;
        wait_for("the control plane", PATIENCE, || Ok(is_new().then_some(())))?;
        let agent = Agent::spawn(world, "istio-inbound/wrong", &Pod::new(POD, Kind::Sidecar))?;
        agent.logs(0, &["rejected: Unable to create Wasm plugin orders.attache"])?;
        agent.listens(SIDECAR)?;
        let answer = Call::get(format!("{BASE}/orders")).shown();
        wait_for("the pod to be ready", PATIENCE, || Ok(agent.is_ready().then_some(())))?;
        Ok(format!("the pod is ready, and answers {}", answer?))
    }

    /// Those of the section about gateways are run by another group.
    fn commands_left(&mut self) -> Result<String> {
        self.readme.take("At a gateway", 0)?;
        Ok(self.readme.left().unwrap_or("none").to_owned())
    }

    /// As the page has it: the new one first, then the old one away.
    fn trafficextension_under_load(&mut self) -> (usize, Result<String>) {
        let commands = self.readme.take("TrafficExtension", 0);
        let load = self.start_load();
        judged(commands.and_then(|commands| {
            let load = load?;
            let commands: Vec<String> = commands.lines().map(|line| format!("{line}\n")).collect();
            ensure!(commands.len() == 2, "not two commands: {commands:?}");
            for (line, filters) in commands.iter().zip([2, 1]) {
                self.cluster.run(line)?;
                have_filters(self.cluster.agent(POD)?, filters)?;
            }
            let swapped = load.now();
            load.every_last(0, "requests under it", |record| record.sent > swapped);
            load.until(swapped + UNDER_EACH);
            // Neither has such a route.
            tally(load, &[Period { from: Duration::ZERO, to: Duration::MAX, flip: &[403] }])
        }))
    }

    fn load(&self, during: impl FnOnce(&Load) -> Result<Vec<Period>>) -> Result<Tally> {
        let load = self.start_load()?;
        let periods = during(&load)?;
        tally(load, &periods)
    }

    fn start_load(&self) -> Result<Load> {
        let read = self.keycloak.token("orders:read")?;
        let write = self.keycloak.token("orders:write")?;
        let shots = vec![
            Shot::new(judge::Kind::Good(0), "/orders", Some(&read)),
            Shot::new(judge::Kind::Good(0), "/orders/42", Some(&read)),
            Shot::new(judge::Kind::Narrow(0), "/orders", Some(&write)),
            Shot::new(judge::Kind::Sometimes, "/flip", Some(&read)),
            Shot::new(judge::Kind::Never, "/admin", Some(&read)),
            Shot::new(judge::Kind::Nobody, "/orders", None),
            Shot::new(judge::Kind::Public, "/healthz", None),
        ];
        let load = Load::start(SIDECAR, vec![(CONNECTIONS, shots)]);
        load.pace(0, A_SECOND);
        Ok(load)
    }
}

/// While one policy is in force: what requests to `/flip` get that are sent and answered in it.
struct Period {
    from: Duration,
    to: Duration,
    flip: &'static [u16],
}

impl Period {
    fn has(&self, record: &Record) -> bool {
        record.kind == judge::Kind::Sometimes && self.from <= record.sent && record.received <= self.to
    }
}

/// Ends a load and judges it. There must be requests to `/flip` in the periods.
fn tally(load: Load, periods: &[Period]) -> Result<Tally> {
    let records = load.finish();
    let period = |record: &Record| periods.iter().find(|period| period.has(record));
    let flips = records.iter().filter(|record| period(record).is_some()).count();
    ensure!(flips >= FLIPS, "only {flips} requests to /flip were judged by the policy in force");
    Ok(Tally::of(&records, |record| period(record).map_or(record.kind.usual(), |period| period.flip)))
}

/// A token of one second, once the clock skew that the policy allows is over too.
fn expired(token: &str) -> Result<String> {
    wait_for("a token to be refused", PATIENCE, || {
        let shown = policy::refusal(&Call::get(format!("{BASE}/orders")).bearer(token))?;
        Ok((!shown.starts_with("200")).then_some(shown))
    })
}

/// Each part of a token begins as the base64 of `{"` does.
pub(super) fn without_tokens(log: &str) -> Result<String> {
    let line = log.lines().find(|line| line.contains("eyJ"));
    Ok(line.unwrap_or("none").to_owned())
}

/// The status in what `curl --include` wrote.
pub(super) fn status(output: &str) -> String {
    let status = output.lines().find_map(|line| line.strip_prefix("HTTP/")?.split(' ').nth(1));
    status.unwrap_or("no answer").to_owned()
}

/// The manifest with a scope that is none.
fn wrong() -> Result<String> {
    Ok(deployed("istio/wasmplugin.yaml")?.replacen("[orders:read]", "[orders read]", 1))
}

/// What came of a load, and how many requests it was.
fn judged(tally: Result<Tally>) -> (usize, Result<String>) {
    let tally = match tally {
        Ok(tally) => tally,
        Err(error) => return (0, Err(error)),
    };
    let wrong =
        tally.wrong.iter().map(|(what, wrong)| format!("; {} × {what}", wrong.count)).collect::<String>();
    let told = format!("{} failed, {} wrongly allowed{wrong}", tally.wrongly_refused, tally.wrongly_allowed);
    (usize::try_from(tally.requests).unwrap_or(0), Ok(told))
}

/// Waits until the listener in use has so many filters of plugins.
fn have_filters(agent: &Agent, count: usize) -> Result<()> {
    wait_for("Envoy's filters", PATIENCE, || {
        let dump = agent.configuration("ListenersConfigDump")?;
        let listeners = dump.get("dynamic_listeners").and_then(Value::as_array).into_iter().flatten();
        let of_plugins = listeners.filter_map(|listener| {
            let active = listener.get("active_state")?.to_string();
            Some(active.matches(r#""name":"extensions.istio.io/"#).count())
        });
        Ok((of_plugins.sum::<usize>() == count).then_some(()))
    })
}

/// Waits until the policy of this version is in force.
fn in_force(agent: &Agent, version: u64) -> Result<()> {
    wait_for(&format!("version {version} of the policy"), PATIENCE, || {
        let current = agent.metric("attache_config_version", &[])?;
        Ok((current.to_string() == version.to_string()).then_some(()))
    })
}

/// What the agent has made of the control plane's plugin.
fn delivered(agent: &Agent) -> Result<String> {
    let dump = agent.configuration("EcdsConfigDump")?;
    let config =
        dump.pointer("/ecds_filters/0/ecds_filter/typed_config/config").context("no filter by ECDS")?;
    let file = config.pointer("/vm_config/code/local/filename").and_then(Value::as_str).unwrap_or_default();
    let place = if file.starts_with("/var/lib/istio/data/") { "as a file" } else { "elsewhere" };
    let policy = config["failure_policy"].as_str().unwrap_or("no failure policy");
    let vm_id = if config.pointer("/vm_config/vm_id").is_some() { "a vm_id" } else { "no vm_id" };
    Ok(format!("the module {place}, {policy}, {vm_id}"))
}

/// Whether the metrics that the walk has moved have their labels, and none keeps them in its name.
fn labels(agent: &Agent) -> Result<String> {
    let labels = [("route", "list-orders"), ("issuer", "demo"), ("outcome", "permit"), ("reason", "ok")];
    wait_for("the counts", PATIENCE, || {
        let samples = agent.samples()?;
        if let Some(bare) = samples.iter().find(|sample| sample.name.contains("wasmcustom")) {
            return Ok(Some(bare.name.clone()));
        }
        let decisions: Vec<_> =
            samples.iter().filter(|sample| sample.name == "attache_decisions_total").collect();
        let is_labelled = decisions
            .iter()
            .any(|sample| labels.iter().all(|(name, value)| sample.label(name) == Some(value)));
        Ok(is_labelled.then(|| LABELS.to_owned()))
    })
}

/// Waits until each thread has fetched keys. Later fetches find the same ones, and do not count.
fn fetched_by_each(agent: &Agent) -> Result<String> {
    wait_for("keys", PATIENCE, || {
        let fetched =
            agent.metric("attache_key_fetches_total", &[("issuer", "demo"), ("result", "changed")])?;
        let adopted = agent.metric("attache_shared_documents_total", &[("result", "adopted")])?;
        let told = if adopted < 0.5 { FETCHED.to_owned() } else { format!("{adopted} adopted") };
        Ok((fetched >= THREADS).then_some(told))
    })
}

const POD: &str = "orders";
const PLACE: Place = Place { control_plane: "Istio", position: "sidecar, inbound" };
const LABELS: &str = "route, issuer, outcome and reason";
const NONE_FAILED: &str = "0 failed, 0 wrongly allowed";
const BASE: &str = "http://orders.orders";
const FETCHED: &str = "each of 3 threads fetches them, none adopts them";
/// Two workers, and Envoy's main thread.
const THREADS: f64 = 3.0;
/// The load's connections, and how many requests they send in a second together.
const CONNECTIONS: usize = 4;
const A_SECOND: usize = 200;
/// Enough new connections for each worker to get some.
const CONNECTIONS_FOR_EACH: usize = 16;
/// How long the load goes on under each policy; one in seven of its requests goes to `/flip`.
const UNDER_EACH: Duration = Duration::from_millis(400);
const FLIPS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(60);
