//! The filter on a route of a gateway: `envoyextensionpolicy.yaml` as it stands, before the module has come, with its
//! policy changed, and with mistakes.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use attache_harness::wait::wait_for;

use super::fault_table::Table;
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
    let mut table = Table::read()?;
    let line = table.line("a new proxy gets no module")?;
    let before = line.told(&mesh.control_plane, 0).map(|()| answer(&good));
    report.row(PLACE, "a new proxy cannot fetch the module from Envoy Gateway", 1, &line.callers, before);
    mesh.control_plane.certify_proxies(&mesh.control_plane.own_certificate())?;
    report.row(PLACE, "the same once it has it", 1, "200", until(&good, "200"));
    let walk = [2, 3].map(|n| mesh.block(heading, n).map(|answer| status(&answer)));
    let [refused, permitted] = walk;
    let walk = refused.and_then(|refused| Ok(format!("{refused} without a token, {} with one", permitted?)));
    report.row(PLACE, "the walk-through", 2, "401 without a token, 200 with one", walk);
    policy::report_each(report, PLACE, policy::walk(BASE, mesh.keycloak)?);
    let keys = Call::get(format!("{BASE}/jwks")).bearer(&token).shown();
    report.row(PLACE, "the issuer's keys, by its own route", 1, "403", keys);
    let tokens = Call::post(format!("{BASE}/token")).bearer(&token).shown();
    report.row(PLACE, "the issuer's token endpoint", 1, "403", tokens);
    second_route(mesh)?;
    let second = Call::get(format!("{BASE}/orders/second")).shown();
    report.row(PLACE, "a second route, no token", 1, "401 Bearer orders:read", second);
    report.row(PLACE, "metrics have labels", 0, LABELS, labels(mesh));

    let (rows, answers) = under_load(&token, || changes(mesh, &good, &mut table));
    let (requests, others) = answers?;
    for (scenario, expected, got) in rows? {
        report.row(PLACE, scenario, 1, &expected, Ok(got));
    }
    report.row(PLACE, "other requests meanwhile, wrongly answered", requests, "0", Ok(others));
    for (what, image) in [
        ("the registry does not have the image", "url: registry.example.com/attache:0.0.0"),
        ("the registry cannot be reached", "url: registry.example.com:444/attache:0.1.0"),
        ("the image has another digest than `sha256` says", OTHER_DIGEST),
    ] {
        let line = table.line(what)?;
        let before = mesh.control_plane.log().len();
        mesh.change(POLICY, &[(IMAGE, image)])?;
        let got =
            until(&good, &line.callers).and_then(|got| line.told(&mesh.control_plane, before).map(|()| got));
        report.row(PLACE, what, 1, &line.callers, got);
        mesh.change(POLICY, &[(image, IMAGE)])?;
        report.row(PLACE, "and corrected", 1, "200", until(&good, "200"));
    }
    report.row(PLACE, "the table of deploy/envoy-gateway", 0, "each line tried", Ok(table.untried()));
    Ok(())
}

/// A changed policy, one with a mistake, and a right one again: what was tried, what should come of it and came.
fn changes(mesh: &Mesh<'_>, good: &Call, table: &mut Table) -> Result<[(&'static str, String, String); 3]> {
    let narrow = LIST.replace("orders:read", "orders:list");
    let refused = "403 Bearer insufficient_scope orders:list";
    let line = table.line("a changed policy has a mistake")?;
    mesh.change(POLICY, &[(LIST, &narrow)])?;
    let changed = until(good, refused)?;
    let before = mesh.control_plane.log().len();
    mesh.change(POLICY, &[("[orders:list]", "orders:list")])?;
    line.told(&mesh.control_plane, before)?;
    let kept = answer(good);
    let as_before = line.callers.replace("as before", refused);
    mesh.change(POLICY, &[("scopes: orders:list", "scopes: [orders:read]")])?;
    Ok([
        ("a changed policy", refused.to_owned(), changed),
        ("a policy with a mistake: Envoy refuses it, the last good one stays", as_before, kept),
        ("the mistake corrected", "200".to_owned(), until(good, "200")?),
    ])
}

/// Does something while a client sends requests that no change concerns: how many they were, and how many of them were
/// not answered as they should.
fn under_load<T>(token: &str, during: impl FnOnce() -> T) -> (T, Result<(usize, String)>) {
    let call = |path: &str| Call::get(format!("{BASE}{path}"));
    let cases = [
        (call("/orders/42").bearer(token), "200"),
        (call("/orders/42"), "401 Bearer orders:read"),
        (call("/admin").bearer(token), "403 Bearer insufficient_scope admin:all"),
        (call("/healthz"), "200"),
    ];
    let (is_over, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    let client = || {
        let mut answers = Vec::new();
        while !is_over.load(Ordering::Relaxed) {
            for (call, expected) in &cases {
                answers.push((answer(call), *expected));
                count.fetch_add(1, Ordering::Relaxed);
                // The machine has other things to do.
                std::thread::sleep(PAUSE);
            }
        }
        answers
    };
    let (done, answers) = std::thread::scope(|scope| {
        let client = scope.spawn(client);
        let end = End(&is_over);
        let done = during();
        let enough = || Ok((count.load(Ordering::Relaxed) >= ENOUGH).then_some(()));
        let enough = wait_for("answers of the client", PATIENCE, enough);
        drop(end);
        let answers = client.join().map_err(|_| anyhow!("the client panicked"));
        (done, enough.and(answers))
    });
    let answers = match answers {
        Ok(answers) => answers,
        Err(error) => return (done, Err(error)),
    };
    let wrong: Vec<_> = answers.iter().filter(|(got, expected)| got != expected).collect();
    let first = wrong.first().map(|(got, expected)| format!(": {got} in place of {expected}"));
    (done, Ok((answers.len(), format!("{}{}", wrong.len(), first.unwrap_or_default()))))
}

/// Says when dropped that it is over, also in a panic: the group does not wait for a client that never ends.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Adds a second route to the gateway, and waits until its proxy has it.
fn second_route(mesh: &Mesh<'_>) -> Result<()> {
    mesh.control_plane.apply("second", SECOND_ROUTE)?;
    wait_for("the second route", PATIENCE, || {
        let dumps = mesh.control_plane.configurations()?;
        Ok(dumps.iter().any(|dump| dump.contains("httproute/orders/second/")).then_some(()))
    })
}

/// The labels of the decisions on a route.
fn labels(mesh: &Mesh<'_>) -> Result<String> {
    let samples = mesh.control_plane.samples("attache_key_fetches_total")?;
    let is_it = |name: &str| samples.iter().find(|sample| sample.name == name && sample.labels.len() > 2);
    let sample = is_it("attache_decisions_total").context("no attache_decisions_total with labels")?;
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
/// Between two requests of the client that sends them all the time.
const PAUSE: Duration = Duration::from_millis(20);
/// So many answers it gets at least.
const ENOUGH: usize = 20;
const LABELS: &str = "route, issuer, outcome, reason";
const SECOND_ROUTE: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: second, namespace: orders }
spec:
  parentRefs: [{ name: orders }]
  rules:
  - matches: [{ path: { type: Exact, value: /orders/second } }]
    backendRefs: [{ group: gateway.envoyproxy.io, kind: Backend, name: orders }]
"#;
const OTHER_DIGEST: &str = "url: registry.example.com/attache:0.1.0\n        \
    sha256: \"0000000000000000000000000000000000000000000000000000000000000000\"";
