//! The filter on a route of a gateway: `envoyextensionpolicy.yaml` as it stands, before the module has come, with its
//! policy changed, and with mistakes.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use attache_harness::prometheus::sum;
use attache_harness::wait::wait_for;

use super::{CONTROL_PLANE, Mesh, PATIENCE, answer, until};
use crate::client::Call;
use crate::policy;
use crate::report::{Place, Report};

pub(super) fn run(mesh: &mut Mesh<'_>, report: &mut Report) -> Result<()> {
    let token = mesh.keycloak.token("orders:read")?;
    let good = Call::get(format!("{BASE}/orders")).bearer(&token);
    let heading = "From an empty namespace";
    mesh.block(heading, 0)?;
    mesh.block(heading, 1)?;
    // With another certificate they cannot fetch the module.
    mesh.control_plane.certify_proxies(&mesh.world.certificate("server"))?;
    let before = fetch_has_failed(mesh).map(|()| answer(&good));
    report.row(PLACE, "a new proxy that does not have the module yet", 1, "no answer", before);
    mesh.control_plane.certify_proxies(&mesh.control_plane.own_certificate())?;
    report.row(PLACE, "the same once it has it", 1, "200", until(&good, "200"));
    let walk = [2, 3].map(|n| mesh.block(heading, n).map(|answer| status(&answer)));
    let [refused, permitted] = walk;
    let walk = refused.and_then(|refused| Ok(format!("{refused} without a token, {} with one", permitted?)));
    report.row(PLACE, "the walk-through", 2, "401 without a token, 200 with one", walk);
    policy::report_each(report, PLACE, policy::walk(BASE, mesh.keycloak)?);
    report.row(PLACE, "metrics have labels", 0, LABELS, labels(mesh));

    let (rows, (requests, others)) = under_load(&token, || changes(mesh, &good));
    for (scenario, expected, got) in rows? {
        report.row(PLACE, scenario, 1, expected, Ok(got));
    }
    report.row(PLACE, "other requests meanwhile, wrongly answered", requests, "0", Ok(others));
    for (scenario, edit) in [
        ("an image that the registry does not have", (IMAGE, "url: registry.example.com/attache:0.0.0")),
        ("a registry that is not there", (IMAGE, "url: registry.example.com:444/attache:0.1.0")),
        ("another digest than the image's", (IMAGE, OTHER_DIGEST)),
    ] {
        mesh.change(POLICY, &[edit])?;
        report.row(PLACE, &format!("{scenario}: the route"), 1, "500", until(&good, "500"));
        mesh.change(POLICY, &[(edit.1, edit.0)])?;
        report.row(PLACE, "and corrected", 1, "200", until(&good, "200"));
    }
    Ok(())
}

/// A changed policy, one with a mistake, and a right one again: what was tried, what should come of it and came.
fn changes(mesh: &Mesh<'_>, good: &Call) -> Result<[(&'static str, &'static str, String); 3]> {
    let narrow = LIST.replace("orders:read", "orders:list");
    let refused = "403 Bearer insufficient_scope orders:list";
    mesh.change(POLICY, &[(LIST, &narrow)])?;
    let changed = until(good, refused)?;
    mesh.change(POLICY, &[("[orders:list]", "orders:list")])?;
    wrong(mesh)?;
    let kept = answer(good);
    mesh.change(POLICY, &[("scopes: orders:list", "scopes: [orders:read]")])?;
    Ok([
        ("a changed policy", refused, changed),
        ("a policy with a mistake: Envoy refuses it, the last good one stays", refused, kept),
        ("the mistake corrected", "200", until(good, "200")?),
    ])
}

/// Does something while clients send requests that no change concerns: how many they were, and how many of them were
/// not answered as they should.
fn under_load<T>(token: &str, during: impl FnOnce() -> T) -> (T, (usize, String)) {
    let call = |path: &str| Call::get(format!("{BASE}{path}"));
    let cases = [
        (call("/orders/42").bearer(token), "200"),
        (call("/orders/42"), "401 Bearer orders:read"),
        (call("/admin").bearer(token), "403 Bearer insufficient_scope admin:all"),
        (call("/healthz"), "200"),
    ];
    let is_over = AtomicBool::new(false);
    let client = || {
        let mut answers = Vec::new();
        while !is_over.load(Ordering::Relaxed) {
            answers.extend(cases.iter().map(|(call, expected)| (answer(call), *expected)));
        }
        answers
    };
    let (done, answers) = std::thread::scope(|scope| {
        let clients = [scope.spawn(client), scope.spawn(client)];
        let done = during();
        is_over.store(true, Ordering::Relaxed);
        (done, clients.map(|client| client.join().unwrap_or_default()).concat())
    });
    let wrong: Vec<_> = answers.iter().filter(|(got, expected)| got != expected).collect();
    let first = wrong.first().map(|(got, expected)| format!(": {got} in place of {expected}"));
    (done, (answers.len(), format!("{}{}", wrong.len(), first.unwrap_or_default())))
}

/// Waits until the proxy has tried to fetch the module.
fn fetch_has_failed(mesh: &Mesh<'_>) -> Result<()> {
    wait_for("the proxy to ask for the module", PATIENCE, || {
        let name = "envoy_cluster_upstream_cx_total";
        let samples = mesh.control_plane.samples(name)?;
        Ok((sum(&samples, name, &[("envoy_cluster_name", "wasm_cluster")]) > 0.0).then_some(()))
    })
}

/// Waits until Envoy has refused the policy, and the log says what is wrong.
fn wrong(mesh: &Mesh<'_>) -> Result<()> {
    wait_for("Envoy to say what is wrong with the policy", PATIENCE, || {
        let log = mesh.control_plane.log();
        Ok(log.lines().any(|line| line.contains("wasm log attache") && line.contains("scopes")).then_some(()))
    })
}

/// The labels of the decisions on a route.
fn labels(mesh: &Mesh<'_>) -> Result<String> {
    let samples = mesh.control_plane.samples("attache_key_fetches")?;
    let is_it = |name: &str| samples.iter().find(|sample| sample.name == name && sample.labels.len() > 2);
    let sample = is_it("attache_decisions").context("no attache_decisions with labels")?;
    let names: Vec<&str> = sample.labels.iter().map(|(name, _)| name.as_str()).collect();
    Ok(names.join(", "))
}

/// The status of an answer as `curl --include` shows it.
pub(super) fn status(answer: &str) -> String {
    let line = answer.lines().find(|line| line.starts_with("HTTP/")).unwrap_or(answer);
    line.split(' ').nth(1).unwrap_or(line).to_owned()
}

const PLACE: Place = Place { control_plane: CONTROL_PLANE, position: "gateway, inbound" };
const BASE: &str = "https://orders.example:10443";
const POLICY: &str = "envoyextensionpolicy";
const IMAGE: &str = "url: registry.example.com/attache:0.1.0";
const LIST: &str = "match: { path: /orders, methods: [GET] }\n          require: { scopes: [orders:read] }";
const LABELS: &str = "route, issuer, outcome, reason";
const OTHER_DIGEST: &str = "url: registry.example.com/attache:0.1.0\n        \
    sha256: \"0000000000000000000000000000000000000000000000000000000000000000\"";
