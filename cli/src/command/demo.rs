use std::process::ExitCode;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

use anyhow::Result;
use attache_harness::demo::audit::{Recorded, recorded};
use attache_harness::demo::{self, Row};
use attache_harness::demo_environment::{DemoEnvironment, Endpoints, Sidecar};
use clap::Args;

use super::signal::Signals;
use super::up::{self, Local};

/// The demo's options: what to start, or where it runs already.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    #[command(flatten)]
    local: Local,
    /// Leave everything running afterwards, until Ctrl-C.
    #[arg(long, conflicts_with = "proxy")]
    keep: bool,
    /// Start nothing: the proxy's base URL.
    #[arg(long, requires_all = ["admin", "issuer"], value_name = "URL")]
    proxy: Option<String>,
    /// Start nothing: the base URL of Envoy's admin.
    #[arg(long, requires = "proxy", value_name = "URL")]
    admin: Option<String>,
    /// Start nothing: the issuer's base URL.
    #[arg(long, requires = "proxy", value_name = "URL")]
    issuer: Option<String>,
    /// Start nothing: what others call the sidecar's service by. Without it, the second part is left out.
    #[arg(long, requires_all = ["proxy", "sidecar_outbound", "sidecar_admin"], value_name = "URL")]
    sidecar_inbound: Option<String>,
    /// Start nothing: what the sidecar's service calls others by.
    #[arg(long, requires = "sidecar_inbound", value_name = "URL")]
    sidecar_outbound: Option<String>,
    /// Start nothing: the base URL of the sidecar's admin.
    #[arg(long, requires = "sidecar_inbound", value_name = "URL")]
    sidecar_admin: Option<String>,
}

impl Demo {
    pub(super) fn run(self) -> Result<ExitCode> {
        let signals = Signals::new()?;
        if let (Some(proxy), Some(admin), Some(issuer)) = (self.proxy, self.admin, self.issuer) {
            let sidecar = match (self.sidecar_inbound, self.sidecar_outbound, self.sidecar_admin) {
                (Some(inbound), Some(outbound), Some(admin)) => Some(Sidecar { inbound, outbound, admin }),
                _ => None,
            };
            let places = Endpoints { proxy, admin, issuer, sidecar };
            demo::wait_until_up(&places, PATIENCE)?;
            return Ok(show(&places, &signals).map_or(INTERRUPTED.into(), |rows| tell_result(&rows)));
        }
        // The stage is ours, not the walk's: a signal ends it whatever the walk is waiting for.
        let mut stage = DemoEnvironment::start(self.local.into())?;
        up::tell_notes(&stage);
        let places = stage.places()?;
        let Some(rows) = show(&places, &signals) else { return Ok(INTERRUPTED.into()) };
        tell_records(&stage, &rows, &signals);
        let code = tell_result(&rows);
        if self.keep {
            up::stay(&mut stage, &places, &signals)?;
        }
        Ok(code)
    }
}

/// Walks on a thread of its own and prints the table as it grows; `None` if a signal came.
fn show(places: &Endpoints, signals: &Signals) -> Option<Vec<Row>> {
    let (sender, rows) = channel();
    let walked = places.clone();
    std::thread::spawn(move || {
        demo::walk(&walked, &mut |row| {
            let _ = sender.send(row);
        });
    });
    println!("     {:<STEP$}  {:<EXPECTED$}  got", "step", "expected");
    let mut told = Vec::new();
    loop {
        match next(&rows, signals) {
            Next::Row(row) => {
                let mark = if row.is_ok() { "ok" } else { "FAIL" };
                println!("{mark:<4} {:<STEP$}  {:<EXPECTED$}  {}", row.step, row.expected, row.got);
                told.push(row);
            }
            Next::End => return Some(told),
            Next::Interrupted => {
                eprintln!("interrupted");
                return None;
            }
        }
    }
}

/// Prints what the access logs have recorded of each step, once they are written.
fn tell_records(stage: &DemoEnvironment, rows: &[Row], signals: &Signals) {
    let start = Instant::now();
    let mut steps = recorded(&stage.access_logs(), rows);
    while steps.iter().any(|one| one.records.is_empty()) && start.elapsed() < LOGGING {
        if signals.wait_for(GLANCE) {
            return;
        }
        steps = recorded(&stage.access_logs(), rows);
    }
    println!("\n     {:<SENT$}  what the access log recorded of it, or of its last request", "step");
    for Recorded { step, requests, records } in steps {
        let step = if requests > 1 { format!("{step} ({requests})") } else { step };
        if records.is_empty() {
            println!("     {step:<SENT$}  nothing");
        }
        for (place, record) in records.iter().enumerate() {
            println!("     {:<SENT$}  {record}", if place == 0 { step.as_str() } else { "" });
        }
    }
    println!();
}

fn tell_result(rows: &[Row]) -> ExitCode {
    let passed = rows.iter().filter(|row| row.is_ok()).count();
    let failed = rows.len().saturating_sub(passed);
    println!("demo: {passed} passed, {failed} failed");
    if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

enum Next {
    Row(Row),
    End,
    Interrupted,
}

fn next(rows: &Receiver<Row>, signals: &Signals) -> Next {
    loop {
        match rows.try_recv() {
            Ok(row) => return Next::Row(row),
            Err(TryRecvError::Disconnected) => return Next::End,
            Err(TryRecvError::Empty) if signals.wait_for(GLANCE) => return Next::Interrupted,
            Err(TryRecvError::Empty) => {}
        }
    }
}

const STEP: usize = 42;
/// A step, and how many requests it sent.
const SENT: usize = STEP + 5;
const EXPECTED: usize = 44;
const GLANCE: Duration = Duration::from_millis(20);
/// How a process ends that a signal has ended.
const INTERRUPTED: u8 = 130;
/// Envoy writes its access log some time after the response.
const LOGGING: Duration = Duration::from_secs(15);
const PATIENCE: Duration = Duration::from_secs(120);
