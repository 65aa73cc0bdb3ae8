//! What `deploy/observability` gives to an operator's Prometheus and Grafana: the alerts by promtool, and then a real
//! Prometheus that scrapes the demo's two Envoys under load, and while their issuer is down. Each query of the
//! dashboard has data.

mod dashboard;
mod demo;
mod pages;
mod prometheus;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use attache_harness::wait::wait_for;

use self::demo::Demo;
use self::prometheus::Prometheus;
use crate::program::run as run_program;
use crate::report::{Place, Report};
use crate::world::{World, checkout};

pub(crate) fn run(world: &World, report: &mut Report) -> Result<()> {
    promtool(report);
    let directory = world.directory("alerts")?;
    let demo = Demo::start()?;
    let prometheus = Prometheus::start(&directory, &demo.admins())?;
    under_load(&demo, &prometheus, report)?;
    // The rule has seen the counter before it counts: it looks each 15 s.
    prometheus.wait_for("count_over_time(envoy_listener_manager_lds_update_rejected[5m:15s]) > 0")?;
    demo.offer_bad_configuration()?;
    alerts(&prometheus, report, "a configuration that is rejected", &["AttacheConfigurationRejected"], || {});
    demo.fail_token_endpoint();
    alerts(&prometheus, report, "the token endpoint is down", &TOKEN_ENDPOINT_DOWN, || demo.call());
    let token = demo.fail_keys()?;
    alerts(&prometheus, report, "the keys cannot be fetched", &KEYS_DOWN, || demo.call_with(&token));
    demo.remove_filter()?;
    alerts(&prometheus, report, "the filter is removed from one of two", &["AttacheNotConfigured"], || {});
    Ok(())
}

/// The rules, their tests, and the configuration.
fn promtool(report: &mut Report) {
    for (scenario, arguments) in [
        ("the alerts are valid", ["check", "rules", "alerts.yaml"]),
        ("each fires when it should, and not when it should not", ["test", "rules", "alerts.test.yaml"]),
        ("the configuration of Prometheus is valid", ["check", "config", "prometheus.yaml"]),
    ] {
        let mut command = Command::new(program("promtool"));
        let ran = run_program(command.args(arguments).current_dir(checkout(DIRECTORY)));
        report.row(PLACE, scenario, 0, "success", ran.map(|_| "success".to_owned()));
    }
}

/// Everything that the demo does, many times; all queries of the dashboard, and no alert without a cause.
fn under_load(demo: &Demo, prometheus: &Prometheus, report: &mut Report) -> Result<()> {
    let requests = demo.load(|| {
        prometheus.has_scraped(SCRAPES / 3)?;
        demo.replace_token()?;
        prometheus.has_scraped(SCRAPES)
    })?;
    let variables = dashboard::variables(prometheus);
    report.row(PLACE, "the dashboard's variables have values", requests, "all", variables);
    for row in dashboard::rows()? {
        let got = row.without_data(prometheus);
        report.row(PLACE, &format!("dashboard, {}: queries without data", row.title), 0, "none", got);
    }
    report.row(PLACE, "queries of the pages that are not answered", 0, "none", pages::queries(prometheus));
    report.row(PLACE, "commands of the runbooks that find nothing", 0, "none", pages::commands(demo));
    let rules = prometheus.rules()?;
    let broken: BTreeSet<_> =
        rules.iter().filter(|rule| rule.health != "ok").map(|rule| &*rule.name).collect();
    report.row(PLACE, "rules that cannot be evaluated", 0, "{}", Ok(format!("{broken:?}")));
    let firing = prometheus.firing().map(|alerts| format!("{alerts:?}"));
    report.row(PLACE, "alerts that fire where nothing is wrong", 0, "{}", firing);
    // A good part of the load is denied; it would have to last.
    alerts(prometheus, report, "many requests are denied", &["AttacheDenialRateHigh"], || {});
    Ok(())
}

/// Waits until these alerts are pending or firing.
fn alerts(prometheus: &Prometheus, report: &mut Report, what: &str, names: &[&str], meanwhile: impl Fn()) {
    let reached = wait_for("the alerts", PATIENCE, || {
        meanwhile();
        let active = prometheus.active()?;
        Ok(names.iter().all(|name| active.contains(*name)).then_some(()))
    });
    let active = prometheus.active().unwrap_or_default();
    let got: Vec<_> = names.iter().filter(|name| active.contains(**name)).collect();
    let got = if reached.is_ok() { names.join(", ") } else { format!("only {got:?} of {active:?}") };
    report.row(PLACE, &format!("alerts, {what}"), 0, &names.join(", "), Ok(got));
}

/// A program of Debian's package, as `tools/setup` has unpacked it.
fn program(name: &str) -> PathBuf {
    checkout(".tools/mesh/prometheus/usr/bin").join(name)
}

fn file(name: &str) -> PathBuf {
    checkout(DIRECTORY).join(name)
}

const DIRECTORY: &str = "deploy/observability";
const PLACE: Place = Place { control_plane: "none", position: "two Envoys" };
/// What an outage of the token endpoint shows by.
const TOKEN_ENDPOINT_DOWN: [&str; 3] =
    ["AttacheTokenBreakerOpen", "AttacheTokenNearExpiry", "AttacheTokenUnavailable"];
/// What an outage of the JWKS shows by, where tokens are signed by a new key.
const KEYS_DOWN: [&str; 2] = ["AttacheKeyFetchesFailing", "AttacheKeysUnavailable"];
/// As many as rates need, and a few more.
const SCRAPES: usize = 12;
const PATIENCE: Duration = Duration::from_secs(60);
