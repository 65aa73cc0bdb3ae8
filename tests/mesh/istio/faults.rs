//! What goes wrong with registry, module, configuration and control plane: each line of the table in
//! `deploy/istio/README.md`, at a pod that serves and at one that has had no policy yet.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use attache_harness::http::Request;
use attache_harness::upstream::Upstream;
use attache_harness::wait::wait_for;
use base64ct::{Base64, Encoding};
use serde_json::json;

use super::agent::{Agent, Kind, Pod};
use super::control_plane::{ControlPlane, deployed};
use super::fault_table::{Line, Table};
use super::outbound::calling;
use super::plugin::{Plugin, Policy};
use super::watch::Watch;
use crate::keycloak::Keycloak;
use crate::program::run;
use crate::registry::{Access, FILE, PASSWORD, Registry, USER};
use crate::report::{Place, Report};
use crate::world::{World, module};

/// What the rows need.
struct Mesh<'a> {
    world: &'a World,
    registry: &'a Registry,
    control_plane: ControlPlane,
    keycloak: &'a Keycloak,
    /// Tokens that were used, the last one with its time.
    tokens: RefCell<Vec<String>>,
    obtained: Cell<Instant>,
    _workload: Upstream,
}

/// A line of the table: what the registry and the control plane have then.
struct Fault {
    what: &'static str,
    access: Access,
    plugin: Plugin,
    /// What a pod without a policy gets instead: one that has fetched nothing.
    unfetched: Option<Plugin>,
}

pub(crate) fn rows(world: &World, report: &mut Report) -> Result<()> {
    let (registry, keycloak) = (world.registry()?, world.keycloak()?);
    let _later_groups_can_pull = OpenAgain { world, registry };
    let mut table = Table::read()?;
    let (orders, issuer) = (include_str!("orders.yaml"), deployed("istio/issuer.yaml")?);
    let manifests = [("orders", orders), ("issuer", &issuer), ("kubernetes/accounts", ACCOUNT)];
    let mut mesh = Mesh {
        world,
        registry,
        control_plane: ControlPlane::start(world, GROUP, &manifests)?,
        keycloak,
        tokens: RefCell::new(vec![keycloak.token("orders:read")?]),
        obtained: Cell::new(Instant::now()),
        _workload: Upstream::listen(WORKLOAD)?,
    };
    let faults = faults(registry)?;
    let agent = mesh.start_agent("serving")?;
    mesh.first_policy(&agent, report)?;
    let watch = Watch::start(format!("{BASE}/orders"));
    for fault in &faults {
        let line = table.line(fault.what)?;
        report.row(PLACE, fault.what, REQUESTS, &line.serving, mesh.at_one_that_serves(&agent, fault, &line));
    }
    mesh.modules(&agent, report)?;
    mesh.private_registry(&agent, report)?;
    mesh.control_plane_gone(&agent, &mut table, report)?;
    let logs = mesh.without_policy(agent, &faults, &mut table, report)?;
    let requests = watch.finish();
    let (asked, got) = (requests.len(), told(&requests));
    report.row(PLACE, "a client without a token, all the while", asked, "never let through", Ok(got));
    report.row(PLACE, "the table of deploy/istio", 0, "each line tried", Ok(table.untried()));
    let tokens = mesh.tokens.take();
    let leaks = tokens.iter().map(String::as_str).chain([PASSWORD]).filter(|secret| logs.contains(secret));
    report.row(PLACE, "tokens and secrets in the logs", 0, "0", Ok(leaks.count().to_string()));
    Ok(())
}

/// Opens the registry to everybody again, however the group ends.
struct OpenAgain<'a> {
    world: &'a World,
    registry: &'a Registry,
}

impl Drop for OpenAgain<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.registry.open(self.world, Access::Public) {
            println!("mesh: the registry cannot be opened again: {error:#}");
        }
    }
}

/// Those that a change of the plugin brings, in the order in which a pod that has had no policy can have them: what
/// Envoy does not take first, since what the agent puts in the place of a module is taken.
fn faults(registry: &Registry) -> Result<Vec<Fault>> {
    let module = module();
    let bytes = std::fs::read(&module)?;
    registry.push_layer("half:1", "plugin.wasm", &bytes[..bytes.len() / 2])?;
    // The head of a module, and nothing in it.
    registry.push_layer("empty:1", "plugin.wasm", b"\0asm\x01\0\0\0")?;
    registry.push_layer("text:1", "plugin.wasm", b"a page that says that the module has moved")?;
    registry.push_layer("other:1", "attache.wasm", &bytes)?;
    registry.push("pinned:1", &module)?;
    registry.push("private:1", &module)?;
    let public = |what, plugin| Fault { what, access: Access::Public, plugin, unfetched: None };
    let image = |image: &str| Plugin::new(Policy::Other).image(image);
    let another = "a".repeat(64);
    Ok(vec![
        public("the image has half a module", image("half:1")),
        public("the image has a module that is no filter", image("empty:1")),
        public("the configuration has an error", Plugin::new(Policy::Mistaken)),
        public("the image has a file that is no module", image("text:1")),
        public("the image has no `plugin.wasm`", image("other:1")),
        public("the tag is not there", image("attache:0.2.0")),
        public("the image has another digest", image("pinned:1").sha256(&another)),
        Fault { access: Access::Private, ..public("the registry answers 401", image("private:1")) },
        Fault {
            access: Access::Gone,
            unfetched: Some(image("unfetched:1")),
            ..public("the registry is gone", Plugin::new(Policy::Other))
        },
    ])
}

impl Mesh<'_> {
    fn start_agent(&self, directory: &str) -> Result<Agent> {
        let pod = Pod::new("orders", Kind::Sidecar);
        let agent = Agent::start(self.world, &format!("{GROUP}/{directory}"), &pod)?;
        agent.listens(SIDECAR)?;
        Ok(agent)
    }

    /// The registry is gone when a pod that serves without a policy gets its first one.
    fn first_policy(&self, agent: &Agent, report: &mut Report) -> Result<()> {
        self.registry.open(self.world, Access::Gone)?;
        self.apply(&Plugin::new(Policy::Good))?;
        let mut seen: Vec<u16> = Vec::new();
        let given_up = wait_for("the agent to give up", PATIENCE, || {
            let status = Request::get(format!("{BASE}/orders")).send()?.status;
            if seen.last() != Some(&status) {
                seen.push(status);
            }
            Ok((status == 403).then_some(()))
        });
        let got = given_up.map(|()| format!("{seen:?}"));
        report.row(PLACE, "a first policy, the registry is gone", seen.len(), "[200, 403]", got);
        let from = agent.log().len();
        self.registry.open(self.world, Access::Public)?;
        // Something else comes from the control plane; when it has come, the agent had its chance.
        self.control_plane.apply("api", &deployed("istio/outbound/api.yaml")?)?;
        self.control_plane.apply("orders", &calling()?)?;
        wait_for("the other change", PATIENCE, || {
            Ok(agent.admin("/clusters")?.text().contains("api.example").then_some(()))
        })?;
        let asked = agent.log()[from..].contains("fetching image");
        let got = self.policy("").map(|got| format!("{got}{}", if asked { ", asked again" } else { "" }));
        report.row(PLACE, "and the registry is back", REQUESTS, "403", got);
        self.apply(&Plugin::new(Policy::Good).annotated("1"))?;
        let got = self.settled("the last good policy", "the new policy");
        report.row(PLACE, "and the WasmPlugin is annotated", REQUESTS, "the last good policy", got);
        Ok(())
    }

    fn at_one_that_serves(&self, agent: &Agent, fault: &Fault, line: &Line) -> Result<String> {
        self.registry.open(self.world, Access::Public)?;
        self.apply(&Plugin::new(Policy::Good))?;
        self.holds(LAST_GOOD)?;
        let from = agent.log().len();
        self.registry.open(self.world, fault.access)?;
        self.apply(&fault.plugin)?;
        self.after_line(agent, from, line, &line.serving)
    }

    /// What requests get when the line is in the log and what it tells of is done.
    fn after_line(&self, agent: &Agent, from: usize, line: &Line, expected: &str) -> Result<String> {
        // A policy that comes into force leaves no such line.
        if expected != NEW {
            agent.logs(from, &line.log())?;
        }
        if [LAST_GOOD, "500"].contains(&expected) {
            agent.logs(from, &["rejected: Unable to create Wasm plugin"])?;
        }
        self.settled(expected, NEW)
    }

    /// Returns the logs of both agents.
    fn without_policy(
        &self,
        before: Agent,
        faults: &[Fault],
        table: &mut Table,
        report: &mut Report,
    ) -> Result<String> {
        // The control plane has the first fault before the pod starts: otherwise the pod would get a policy.
        let from = before.log().len();
        self.apply(&faults[0].plugin)?;
        before.logs(from, &table.line(faults[0].what)?.log())?;
        let log = before.log();
        drop(before);
        let mut from = 0;
        let agent = self.start_agent("without-policy")?;
        for fault in faults {
            let line = table.line(fault.what)?;
            self.registry.open(self.world, fault.access)?;
            self.apply(fault.unfetched.as_ref().unwrap_or(&fault.plugin))?;
            let got = self.after_line(&agent, from, &line, &line.new);
            from = agent.log().len();
            report.row(NEW_POD, fault.what, REQUESTS, &line.new, got);
        }
        self.registry.open(self.world, Access::Public)?;
        self.apply(&Plugin::new(Policy::Other))?;
        report.row(NEW_POD, "all is well again", REQUESTS, NEW, self.settled(NEW, NEW));
        Ok(log + &agent.log())
    }

    /// Where a module may come from, and what its digest is the digest of.
    fn modules(&self, agent: &Agent, report: &mut Report) -> Result<()> {
        self.registry.open(self.world, Access::Public)?;
        let digest = self.registry.push("pinned:1", &module())?;
        let digest = digest.trim_start_matches("sha256:");
        let module = run(Command::new("sha256sum").arg(module()))?;
        let module = module.split(' ').next().unwrap_or_default();
        let plain = format!("http://registry.example.com{FILE}");
        let url = format!("https://registry.example.com{FILE}");
        let rows = [
            (
                "the digest of the image's manifest",
                Plugin::new(Policy::Other).image("pinned:1").sha256(digest),
                NEW,
            ),
            (
                "the digest of the module in the image",
                Plugin::new(Policy::Other).image("pinned:1").sha256(module),
                "403",
            ),
            (
                "over plain HTTP, the module's digest",
                Plugin::new(Policy::Other).url(&plain).sha256(module),
                NEW,
            ),
            ("over plain HTTP, another digest", Plugin::new(Policy::Other).url(&plain).sha256(digest), "403"),
            ("over HTTPS", Plugin::new(Policy::Other).url(&url), NEW),
            ("over HTTPS, the module's digest", Plugin::new(Policy::Other).url(&url).sha256(module), NEW),
            ("over HTTPS, another digest", Plugin::new(Policy::Other).url(&url).sha256(digest), "403"),
            (
                "over HTTPS, no such file",
                Plugin::new(Policy::Other).url("https://registry.example.com/no.wasm"),
                "403",
            ),
        ];
        for (what, plugin, expected) in rows {
            self.apply(&Plugin::new(Policy::Good))?;
            self.holds(LAST_GOOD)?;
            let from = agent.log().len();
            self.apply(&plugin)?;
            let got = self.settled(expected, NEW);
            let is_told = expected == NEW || agent.log()[from..].contains("applying deny RBAC filter");
            report.row(
                PLACE,
                what,
                REQUESTS,
                expected,
                got.map(|got| if is_told { got } else { format!("{got}, no line") }),
            );
        }
        Ok(())
    }

    /// The control plane reads the Secret and gives it to the agent with the plugin.
    fn private_registry(&self, agent: &Agent, report: &mut Report) -> Result<()> {
        self.registry.open(self.world, Access::Private)?;
        self.apply(&Plugin::new(Policy::Good))?;
        self.holds(LAST_GOOD)?;
        let image = Plugin::new(Policy::Other).image("private:1");
        for (what, secret, expected) in
            [("imagePullSecret, wrong", "another", "403"), ("imagePullSecret", PASSWORD, NEW)]
        {
            self.control_plane.apply("kubernetes/pull", &pull_secret(secret))?;
            // The agent asks anew when the plugin has changed.
            let from = agent.log().len();
            self.apply(&image.clone().field("imagePullSecret: pull").annotated(what))?;
            let is_told = match expected {
                NEW => Ok(()),
                _ => agent.logs(from, &["applying deny RBAC filter"]).map(drop),
            };
            let got = is_told.and_then(|()| self.settled(expected, NEW));
            report.row(PLACE, &format!("a private registry, {what}"), REQUESTS, expected, got);
        }
        let secrets = [PASSWORD.to_owned(), auth(PASSWORD)];
        report.row(PLACE, "the pull secret in a configuration dump", 0, "no", agent.dumps(&secrets));
        Ok(())
    }

    fn control_plane_gone(&mut self, agent: &Agent, table: &mut Table, report: &mut Report) -> Result<()> {
        self.registry.open(self.world, Access::Public)?;
        self.apply(&Plugin::new(Policy::Good))?;
        self.holds(LAST_GOOD)?;
        let line = table.line("the control plane is gone")?;
        let from = agent.log().len();
        self.control_plane.kill();
        let got = agent.logs(from, &line.log()).and_then(|_| self.policy(NEW));
        report.row(PLACE, &line.what, REQUESTS, &line.serving, got);
        let line = table.line("it comes back with an older policy")?;
        self.apply(&Plugin::new(Policy::Other))?;
        let from = agent.log().len();
        self.control_plane.start_again()?;
        let got = agent.logs(from, &line.log()).and_then(|_| self.settled(&line.serving, "the older policy"));
        report.row(PLACE, &line.what, REQUESTS, &line.serving, got);
        Ok(())
    }

    fn apply(&self, plugin: &Plugin) -> Result<()> {
        self.control_plane.apply("wasmplugin", &plugin.manifest()?)
    }

    /// Waits until requests get this; a row that comes then cannot begin without it.
    fn holds(&self, expected: &str) -> Result<()> {
        let got = self.settled(expected, NEW)?;
        ensure!(got == expected, "before the change, requests get {got}, not {expected}");
        Ok(())
    }

    /// Waits until requests get what is expected; what they get, if they do not in time.
    fn settled(&self, expected: &str, other: &str) -> Result<String> {
        let mut last = Ok(String::new());
        let _ = wait_for("the policy", SETTLED, || {
            last = self.policy(other);
            Ok(last.as_ref().is_ok_and(|got| got == expected).then_some(()))
        });
        last
    }

    /// A token that is good for some more minutes.
    fn token(&self) -> Result<String> {
        if self.obtained.get().elapsed() > RENEWED {
            self.tokens.borrow_mut().push(self.keycloak.token("orders:read")?);
            self.obtained.set(Instant::now());
        }
        self.tokens.borrow().last().cloned().context("no token")
    }

    /// What requests get now. `other` is what to call the other of the two policies.
    fn policy(&self, other: &str) -> Result<String> {
        let get = |path: &str| Request::get(format!("{BASE}{path}"));
        let status = |request: Request| request.send().map(|answer| answer.status);
        let statuses = [
            status(get("/orders"))?,
            status(get("/orders").bearer(&self.token()?))?,
            status(get("/healthz"))?,
        ];
        Ok(match statuses {
            [401, 200, 200] => LAST_GOOD.to_owned(),
            [401, 403, 200] => other.to_owned(),
            [one, two, three] if one == two && two == three => one.to_string(),
            _ => format!("{statuses:?}"),
        })
    }
}

fn told(statuses: &[u16]) -> String {
    if statuses.len() < 100 {
        return format!("only {} answers", statuses.len());
    }
    let wrong = statuses.iter().filter(|status| !matches!(status, 401 | 403 | 500 | 503)).count();
    if wrong == 0 { "never let through".to_owned() } else { format!("{wrong} times another answer") }
}

/// What `kubectl create secret docker-registry` makes.
fn pull_secret(password: &str) -> String {
    let config = json!({ "auths": { "registry.example.com": { "auth": auth(password) } } });
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": "pull", "namespace": "orders" },
        "type": "kubernetes.io/dockerconfigjson",
        "data": { ".dockerconfigjson": Base64::encode_string(config.to_string().as_bytes()) },
    })
    .to_string()
}

/// What the registry gets in `authorization: Basic`.
fn auth(password: &str) -> String {
    Base64::encode_string(format!("{USER}:{password}").as_bytes())
}

const GROUP: &str = "istio-faults";
const PLACE: Place = Place { control_plane: "Istio", position: "sidecar, inbound" };
const NEW_POD: Place = Place { control_plane: "Istio", position: "sidecar, no policy yet" };
/// Istio gives Secrets to agents with an identity only.
const ACCOUNT: &str = "apiVersion: v1\nkind: ServiceAccount\nmetadata: { name: orders, namespace: orders }\n";
const LAST_GOOD: &str = "the last good policy";
const NEW: &str = "the new policy";
/// What `policy` sends.
const REQUESTS: usize = 3;
/// Where the sidecar takes requests, and where it passes them to.
const SIDECAR: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 6)), 80);
const WORKLOAD: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9001);
const BASE: &str = "http://orders.orders";
const PATIENCE: Duration = Duration::from_secs(120);
/// Keycloak's tokens live for five minutes.
const RENEWED: Duration = Duration::from_secs(120);
const SETTLED: Duration = Duration::from_secs(60);
