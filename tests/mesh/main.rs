//! Attaché as control planes deliver it: Istio's and Envoy Gateway's own programs read the manifests of `deploy`, fetch
//! the module and configure Envoy, and Keycloak issues the tokens. Each scenario adds rows to one table of what was
//! tried, what should come of it and what came.
//!
//! `make mesh` runs them, by `tools/mesh`: in namespaces where each server has its usual name and port. An argument
//! chooses groups by a part of their names.

#![cfg(not(target_family = "wasm"))]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test may fail"
)]
#![allow(clippy::disallowed_methods, reason = "real processes run in real time")]
#![allow(clippy::print_stdout, reason = "the table is what this is for")]

/// Alerts and the dashboard, by a real Prometheus.
mod alerts;
/// A client outside of the mesh.
mod client;
/// One connection of a load.
#[allow(dead_code, reason = "the chaos tests use all of it")]
#[path = "../e2e_chaos/connection.rs"]
mod connection;
/// Envoy Gateway.
mod envoy_gateway;
/// An Envoy that speaks TLS in front of another server.
mod front;
/// The image.
mod image;
/// Istio's control plane and agent.
mod istio;
/// Answers against the rule of their moment.
#[allow(dead_code, reason = "the chaos tests use all of it")]
#[path = "../e2e_chaos/judge.rs"]
mod judge;
/// An authorization server as its users run it.
mod keycloak;
/// What the page for its users promises.
mod keycloak_rows;
/// Limits per client over several Envoys.
mod limits;
/// Requests all the time.
#[allow(dead_code, reason = "the chaos tests use all of it")]
#[path = "../e2e_chaos/load.rs"]
mod load;
/// What `deploy` holds, and what validators say of it.
mod manifests;
/// What the policy of the manifests decides.
mod policy;
/// Started programs.
mod program;
/// A registry of images behind TLS.
mod registry;
/// The table.
mod report;
/// Statistics from Envoy to an API-management plane.
mod statistics;
/// The commands of a page.
mod walkthrough;
/// What the groups share.
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use anyhow::Result;

use self::report::Report;
use self::world::World;

/// Rows that need the same programs.
struct Group {
    name: &'static str,
    run: fn(&World, &mut Report) -> Result<()>,
}

const GROUPS: &[Group] = &[
    Group { name: "manifests", run: manifests::run },
    Group { name: "image", run: image::image },
    Group { name: "limits", run: limits::run },
    Group { name: "alerts", run: alerts::run },
    Group { name: "statistics", run: statistics::run },
    Group { name: "keycloak", run: keycloak_rows::rows },
    Group { name: "istio-inbound", run: istio::inbound::run },
    Group { name: "istio-gateway", run: istio::gateway::run },
    Group { name: "istio-records", run: istio::statistics::rows },
    Group { name: "istio-outbound", run: istio::outbound::rows },
    Group { name: "istio-faults", run: istio::faults::rows },
    Group { name: "envoy-gateway", run: envoy_gateway::run },
];

fn main() -> ExitCode {
    let names: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let world = match World::new() {
        Ok(world) => world,
        Err(error) => {
            println!("mesh: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let mut report = Report::default();
    for group in GROUPS {
        if names.is_empty() || names.iter().any(|name| group.name.contains(name.as_str())) {
            report.begin(group.name);
            match catch_unwind(AssertUnwindSafe(|| (group.run)(&world, &mut report))) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => report.ended_early(group.name, &format!("{error:#}")),
                Err(_) => report.ended_early(group.name, "it panicked; see above"),
            }
        }
    }
    report.print();
    if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
