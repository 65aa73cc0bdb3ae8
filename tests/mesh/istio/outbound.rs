//! The filter adds tokens to the requests that a workload makes: `deploy/istio/outbound` as it stands, in both
//! positions.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use attache_harness::envoy::Envoy;
use attache_harness::upstream::{Echo, Upstream};
use attache_harness::wait::wait_for;
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::Value;

use super::agent::Agent;
use super::cluster::Cluster;
use super::control_plane::deployed;
use crate::client::Call;
use crate::front::Front;
use crate::keycloak::SECRET;
use crate::report::{Place, Report};
use crate::walkthrough::Page;
use crate::world::World;

/// What the rows need.
struct Mesh<'a> {
    cluster: Cluster<'a>,
    page: Page,
    /// The API that the workload calls, and TLS in front of it.
    api: Upstream,
    _tls: Envoy,
    _workload: Upstream,
}

pub(crate) fn rows(world: &World, report: &mut Report) -> Result<()> {
    let (_, _) = (world.registry()?, world.keycloak()?);
    let mut mesh = Mesh {
        cluster: Cluster::start(world, "istio-outbound")?,
        page: Page::read("deploy/istio/outbound/README.md")?,
        api: Upstream::listen(API)?,
        _tls: Front::new("127.0.0.4", API.port()).start(world)?,
        _workload: Upstream::listen(WORKLOAD)?,
    };
    mesh.cluster.control_plane.apply("orders", &calling()?)?;
    mesh.block(SECRETS)?;
    mesh.block(APPLY_DOWNSTREAM)?;
    mesh.calls(DOWNSTREAM, report)?;
    report.row(DOWNSTREAM, "the API answers 401 to the token", 1, "401", mesh.refused());
    mesh.virtual_machines(report)?;
    mesh.changes("downstream", DOWNSTREAM, ["403", "applying deny RBAC filter"], report)?;
    let secrets = mesh.secrets()?;
    let downstream = mesh.agent()?.log();
    mesh.cluster.control_plane.delete("downstream")?;
    // Pods anew, with the same secrets.
    mesh.block(SECRETS)?;
    mesh.block(APPLY_UPSTREAM)?;
    mesh.calls(UPSTREAM, report)?;
    report.row(UPSTREAM, "the API answers 401 to the token", 1, "200 with another token", mesh.retried());
    mesh.changes("upstream", UPSTREAM, [GRANTED, MISSING_UPSTREAM], report)?;
    let changed = mesh.agent()?.log();
    mesh.at_a_new_pod(report)?;
    let left = mesh.page.left().map_or_else(|| "each of them".to_owned(), str::to_owned);
    report.row(UPSTREAM, "the commands of deploy/istio/outbound", 0, "each of them", Ok(left));
    let logs = [downstream, changed, mesh.agent()?.log()].concat();
    let secrets = [secrets, mesh.secrets()?].concat();
    let leaks = secrets.iter().filter(|secret| logs.contains(secret.as_str())).count();
    report.row(UPSTREAM, "tokens and secrets in the logs", 0, "0", Ok(leaks.to_string()));
    Ok(())
}

impl Mesh<'_> {
    fn block(&mut self, n: usize) -> Result<String> {
        let commands = self.page.take("From the secrets to the first call", n)?;
        self.cluster.run(&commands)
    }

    fn agent(&self) -> Result<&Agent> {
        self.cluster.agent("orders")
    }

    /// The tokens that the API has seen, and the secrets that the sidecar has.
    fn secrets(&self) -> Result<Vec<String>> {
        let tokens: Vec<_> =
            self.api.seen().iter().filter_map(|echo| echo.bearer().map(str::to_owned)).collect();
        ensure!(!tokens.is_empty(), "the API saw no token");
        let seal = self.cluster.secret("attache-outbound", "seal")?;
        Ok([tokens, vec![SECRET.to_owned(), seal]].concat())
    }

    fn calls(&mut self, place: Place, report: &mut Report) -> Result<()> {
        self.agent()?.listens(SIDECAR)?;
        let call = || Call::get("http://api.example/stock");
        report.row(place, "the workload calls http://api.example", 1, GRANTED, settled(GRANTED));
        let answer = self.block(CALL)?;
        let first = answer.lines().next().unwrap_or_default().trim();
        report.row(place, "and by the command of the page", 1, "HTTP/1.1 200 OK", Ok(first.to_owned()));
        let own = call().bearer("the-workloads-own");
        report.row(place, "with a credential of its own", 1, "400", own.shown());
        report.row(
            place,
            "tokens for three threads, sealed",
            0,
            "1 obtained, 2 adopted",
            tokens(self.agent()?),
        );
        let dumped = self.agent()?.dumps(&self.secrets()?);
        report.row(place, "tokens and secrets in a configuration dump", 0, "no", dumped);
        Ok(())
    }

    /// How many virtual machines two plugins need.
    fn virtual_machines(&self, report: &mut Report) -> Result<()> {
        let agent = self.agent()?;
        let alone = machines(agent)?;
        let inbound = deployed("istio/wasmplugin.yaml")?;
        let shared = uncommented(&inbound)?;
        let with_other = shared.replace("    - { name: ORDERS_CLIENT_SECRET, valueFrom: HOST }\n", "");
        ensure!(with_other != shared, "the environment of the two plugins is the same");
        report.row(DOWNSTREAM, "virtual machines of one plugin", 0, "4", Ok(alone.to_string()));
        for (what, manifest, expected) in [
            ("and of two with the same vmConfig", shared, "4"),
            ("and of two with different ones", with_other, "8"),
        ] {
            self.cluster.control_plane.apply("wasmplugin", &manifest)?;
            let got = wait_for("the inbound plugin", PATIENCE, || {
                let is_there = Call::get("http://orders.orders/orders").send()?.status == 401;
                let machines = machines(agent)?.to_string();
                Ok((is_there && machines == expected).then_some(machines))
            });
            report.row(DOWNSTREAM, what, 0, expected, got);
        }
        self.cluster.control_plane.delete("wasmplugin")
    }

    /// In the listener, the workload sees what the API answers.
    fn refused(&self) -> Result<String> {
        let seen = self.api.seen();
        let old = seen.iter().rev().find_map(Echo::bearer).context("no token was seen")?.to_owned();
        self.api.answer_401_to(vec![old]);
        let answer = Call::get("http://api.example/stock").send();
        self.api.accept_all();
        Ok(answer?.status.to_string())
    }

    /// The API answers 401 to the token that it has seen last, which is old enough to be replaced.
    fn retried(&self) -> Result<String> {
        let start = Instant::now();
        let seen = self.api.seen();
        let old = seen.iter().rev().find_map(Echo::bearer).context("no token was seen")?.to_owned();
        wait_for("the token to be old enough", PATIENCE, || {
            Ok((start.elapsed() > PURGE_INTERVAL).then_some(()))
        })?;
        self.api.answer_401_to(vec![old.clone()]);
        // On a busy machine the next token may take longer than requests wait.
        let answer = wait_for("the next token", PATIENCE, || {
            Ok(Some(Call::get("http://api.example/stock").send()?).filter(|answer| answer.status != 503))
        });
        self.api.accept_all();
        let answer = answer?;
        let token = Echo::parse(&answer.body).ok().and_then(|echo| echo.bearer().map(str::to_owned));
        let which = if token.as_ref() == Some(&old) { "the same token" } else { "another token" };
        Ok(format!("{} with {which}", answer.status))
    }

    /// A change that brings a mistake to a sidecar that serves. `file` is the manifest of the filter.
    fn changes(&self, file: &str, place: Place, missing: [&str; 2], report: &mut Report) -> Result<()> {
        let agent = self.agent()?;
        let good = deployed(&format!("istio/outbound/{file}.yaml"))?;
        let [expected, line] = missing;
        for (what, (right, wrong), line, expected) in [
            ("a change: an image that is not there", MISSING_IMAGE, line, expected),
            ("a change: an error in the configuration", ERROR, "configuration refused", GRANTED),
        ] {
            self.cluster.control_plane.apply(file, &good)?;
            let before = settled(GRANTED)?;
            ensure!(before == GRANTED, "before the change, the workload gets {before}");
            let from = agent.log().len();
            self.cluster.control_plane.apply(file, &good.replace(right, wrong))?;
            let got = agent.logs(from, &[line]).and_then(|_| settled(expected));
            report.row(place, what, 1, expected, got);
        }
        Ok(())
    }

    /// The same mistakes at a sidecar that has had no filter yet.
    fn at_a_new_pod(&mut self, report: &mut Report) -> Result<()> {
        let good = deployed("istio/outbound/upstream.yaml")?;
        self.cluster.control_plane.apply("upstream", &good.replace(ERROR.0, ERROR.1))?;
        self.block(SECRETS)?;
        let agent = self.agent()?;
        agent.listens(SIDECAR)?;
        let mut from = 0;
        for (what, (right, wrong), line) in [
            ("a new pod: an error in the configuration", ERROR, "configuration refused"),
            ("a new pod: an image that is not there", MISSING_IMAGE, MISSING_UPSTREAM),
            ("a new pod: a variable that is not passed", NOT_PASSED, "ORDERS_CLIENT_SECRET is not set"),
        ] {
            ensure!(good.contains(right), "upstream.yaml has no {right:?}");
            self.cluster.control_plane.apply("upstream", &good.replace(right, wrong))?;
            let got = agent.logs(from, &[line]).and_then(|_| settled("500"));
            from = agent.log().len();
            report.row(UPSTREAM, what, 1, "500", got);
        }
        Ok(())
    }
}

/// Waits until the workload's call gets what is expected; what it gets, if it does not in time.
fn settled(expected: &str) -> Result<String> {
    let mut last = Ok(String::new());
    let _ = wait_for("the filter", PATIENCE, || {
        last = seen(&Call::get("http://api.example/stock"));
        Ok(last.as_ref().is_ok_and(|got| got == expected).then_some(()))
    });
    last
}

/// The status and, where the request passed, whose token the API sees.
fn seen(call: &Call) -> Result<String> {
    let answer = call.send()?;
    if answer.status != 200 {
        return Ok(answer.status.to_string());
    }
    let echo = Echo::parse(&answer.body)?;
    let Some(token) = echo.bearer() else { return Ok("200, no token".into()) };
    let claims = token.split('.').nth(1).context("a token of three parts")?;
    let claims: Value = serde_json::from_slice(&Base64UrlUnpadded::decode_vec(claims)?)?;
    let text = |name: &str| claims[name].as_str().unwrap_or("none");
    Ok(format!("200, upstream sees {} with {}", text("client_id"), text("scope")))
}

/// Where the tokens of the threads come from, once each has one.
fn tokens(agent: &Agent) -> Result<String> {
    wait_for("a token in each thread", PATIENCE, || {
        let count = |metric: &str, result| agent.metric(metric, &[("client", "orders"), ("result", result)]);
        let obtained = count("attache_token_requests_total", "obtained")?;
        let adopted = count("attache_shared_tokens_total", "adopted")?;
        Ok((obtained + adopted >= THREADS).then(|| format!("{obtained} obtained, {adopted} adopted")))
    })
}

fn machines(agent: &Agent) -> Result<u64> {
    agent.stat("wasm.envoy.wasm.runtime.v8.active")
}

/// The inbound plugin with the same `vmConfig` as the outbound one.
fn uncommented(inbound: &str) -> Result<String> {
    let (_, environment) = inbound.split_once("  # vmConfig:\n").context("no commented vmConfig")?;
    ensure!(
        environment.starts_with("  #   env:\n  #   - { name: ATTACHE_SEAL, valueFrom: HOST }\n"),
        "its env"
    );
    let outbound = deployed("istio/outbound/downstream.yaml")?;
    let (_, from) = outbound.split_once("  vmConfig:\n").context("no vmConfig")?;
    let (environment, _) = from.split_once("  pluginConfig:").context("no pluginConfig")?;
    Ok(inbound
        .replace(
            "  # vmConfig:\n  #   env:\n  #   - { name: ATTACHE_SEAL, valueFrom: HOST }\n",
            &format!("  vmConfig:\n{environment}"),
        )
        .replace("    # sharing: {", "    sharing: {"))
}

/// `orders.yaml` with a workload that also calls the API, at its usual address.
pub(super) fn calling() -> Result<String> {
    let orders = include_str!("orders.yaml");
    let old = "  egress: [{ hosts: [./issuer.example] }]\n";
    let new = "  egress:\n  - port: { number: 80, name: http, protocol: HTTP }\n    bind: 127.0.0.4\n    \
               hosts: [./api.example]\n  - hosts: [./issuer.example]\n";
    ensure!(orders.contains(old), "orders.yaml has another egress");
    Ok(orders.replace(old, new))
}

/// The blocks of the page, in their order there.
const SECRETS: usize = 0;
const APPLY_UPSTREAM: usize = 1;
const APPLY_DOWNSTREAM: usize = 2;
const CALL: usize = 3;
const DOWNSTREAM: Place = Place { control_plane: "Istio", position: "sidecar, outbound, downstream" };
const UPSTREAM: Place = Place { control_plane: "Istio", position: "sidecar, outbound, upstream" };
const GRANTED: &str = "200, upstream sees orders-service with orders:read";
/// Mistakes: what stands in the manifest, and what in its place.
const MISSING_IMAGE: (&str, &str) = ("attache:0.1.0", "attache:0.2.0");
const ERROR: (&str, &str) = ("unmatched: pass", "unmatched: forward");
const NOT_PASSED: (&str, &str) = ("[ATTACHE_SEAL, ORDERS_CLIENT_SECRET]", "[ATTACHE_SEAL]");
/// What Envoy says of the filter that the agent puts in the place of a module in a cluster.
const MISSING_UPSTREAM: &str = "filter config has type URL";
/// Where the sidecar takes the workload's calls.
const SIDECAR: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 4)), 80);
const API: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9004);
const WORKLOAD: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9001);
/// Two workers, and Envoy's main thread.
const THREADS: f64 = 3.0;
/// Younger tokens survive a 401.
const PURGE_INTERVAL: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(60);
