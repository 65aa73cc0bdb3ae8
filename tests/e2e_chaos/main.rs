//! Key rotation, issuer outages and new configurations under load, in a real Envoy with several workers: none of them is an
//! event. Each scenario judges every single answer against the rule of the moment in which its request was sent and answered,
//! and holds the issuer's count of requests against a bound.
//!
//! Without arguments each scenario takes seconds; `--long` (`make chaos`) gives it the time in which rare things happen. Another
//! argument chooses scenarios by a part of their names. Needs `ATTACHE_ENVOY` and `ATTACHE_WASM`, as `tests/e2e` does.

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
#![allow(clippy::disallowed_methods, reason = "a real process runs in real time")]
#![allow(clippy::print_stdout, reason = "the table is what this is for")]

/// A connection that is kept.
mod connection;
/// Which answers are right.
mod judge;
/// Requests all the time, on many connections.
mod load;
/// A real Envoy with the filter in it.
#[path = "../e2e/proxy.rs"]
#[allow(dead_code, unused_imports, reason = "tests/e2e uses the rest")]
mod proxy;
/// The table.
mod report;
/// What the filter promises about fetches, and the configuration that asks for it.
mod rules;
/// What scenarios have in common.
mod scenario;
/// Tokens, and what must never be in a log.
#[path = "../e2e/secrets.rs"]
#[allow(dead_code, reason = "tests/e2e uses the rest")]
mod secrets;

/// The first moment.
mod cold_start;
/// All that an issuer can do wrong.
mod faults;
/// Attackers beside callers.
mod flood;
/// A thousand forged tokens a second.
mod forgery;
/// The issuer is away for longer than its keys are believed.
mod outage;
/// New configurations.
mod reload;
/// New keys all the time.
mod rotation_storm;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use self::report::Row;
use self::scenario::{Pace, Scenario};

/// A worker's death is not among them: the module has no way to trap, and that another one's trap closes the proxy is shown by
/// `proxy::a_trap_does_not_go_unnoticed`.
const SCENARIOS: [Scenario; 8] = [
    Scenario { name: "cold_start", run: cold_start::run },
    Scenario { name: "rotation_storm", run: rotation_storm::run },
    Scenario { name: "outage", run: outage::run },
    Scenario { name: "faults", run: faults::run },
    Scenario { name: "reload_ecds", run: reload::ecds },
    Scenario { name: "reload_lds", run: reload::lds },
    Scenario { name: "flood", run: flood::run },
    Scenario { name: "forgery", run: forgery::run },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_long = arguments.iter().any(|argument| argument == "--long");
    let names = names(&arguments);
    let chosen = |scenario: &&Scenario| {
        names.is_empty() || names.iter().any(|name| scenario.name.contains(name.as_str()))
    };
    if arguments.iter().any(|argument| argument == "--list") {
        SCENARIOS.iter().filter(chosen).for_each(|scenario| println!("{}: test", scenario.name));
        return ExitCode::SUCCESS;
    }
    let rows: Vec<Row> =
        SCENARIOS.iter().filter(chosen).map(|scenario| run(scenario, Pace::new(is_long))).collect();
    report::print(&rows);
    if rows.iter().all(Row::is_good) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(scenario: &Scenario, pace: Pace) -> Row {
    println!("chaos: {} ({pace})", scenario.name);
    let outcome = catch_unwind(AssertUnwindSafe(|| (scenario.run)(pace)));
    Row { scenario: scenario.name, outcome: outcome.ok() }
}

/// What is no option, nor the value of one: `cargo test` hands on what it is given for other targets.
fn names(arguments: &[String]) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if WITH_VALUE.contains(&argument.as_str()) {
            rest.next();
        } else if !argument.starts_with('-') {
            names.push(argument.clone());
        }
    }
    names
}

/// The test harness's options whose value is an argument of its own.
const WITH_VALUE: [&str; 6] = ["--test-threads", "--skip", "--format", "--color", "--logfile", "-Z"];
