//! Statistics: a real Envoy logs to a real collector, which counts and sends to a plane that has every fault. Each row
//! says how many requests were sent, counted and lost, and whether anything came twice. The files of
//! `deploy/observability` are used as they are, but for addresses and patience.

mod access_log_service;
mod apigee;
mod collector;
mod load;
mod plane;
mod proxy;
pub(crate) mod station;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use attache_harness::envoy::Envoy;
use attache_harness::issuer::{Algorithm, Client, Endpoint, Issuer, IssuerOptions};
use attache_harness::upstream::Upstream;
use attache_harness::wait::wait_for;
use serde_json::{Value, json};

use self::collector::{CLIENT, Collector, Peers, Ports, SECRET};
use self::load::Load;
use self::plane::{Fault, Plane, Taken};
use self::proxy::{Gateway, ISSUER, LISTENER, before_plane};
use crate::report::{Place, Report};
use crate::world::World;

/// All from the clients to the plane.
struct Chain {
    load: Load,
    issuer: Issuer,
    _upstream: Upstream,
    gateway: Envoy,
    collector: Collector,
    _before_plane: Envoy,
    plane: Plane,
    /// What the collector had accepted when the row began.
    accepted: f64,
}

/// How a chain differs from the one that is shipped.
#[derive(Default)]
struct Differences {
    /// The collector sends to the plane itself.
    is_direct: bool,
    /// In the `common_config` of Envoy's log.
    log: Value,
    /// Files that the collector gets beside `collector.yaml`.
    files: &'static [&'static str],
    /// In the collector's configuration.
    collector: Value,
}

pub(crate) fn run(world: &World, report: &mut Report) -> Result<()> {
    let mut chain = Chain::start(world, "statistics", Differences::default())?;
    plane_faults(&mut chain, report)?;
    collector_faults(&mut chain, report)?;
    let strangers = chain.plane.taken().strangers.to_string();
    report.row(PLACE, "requests to the plane without a good access token", 0, "0", Ok(strangers));
    drop(chain);
    others(world, report)?;
    apigee::rows(world, report)?;
    access_log_service::rows(world, report)
}

/// Whatever the plane does, nothing is lost.
fn plane_faults(chain: &mut Chain, report: &mut Report) -> Result<()> {
    chain.row(report, "all is well", ALL, |_| Ok(()), |_| Ok(()))?;
    for (scenario, fault, expected) in [
        ("the plane answers 500", Fault::Answer(500), ALL),
        ("the plane answers 503", Fault::Answer(503), ALL),
        ("the plane answers 401", Fault::Answer(401), ALL),
        ("the plane does not answer", Fault::Silence, ALL),
        ("the plane resets connections", Fault::Reset, ALL),
        ("the plane takes a batch, and its answer is lost", Fault::AnswerLost, SOME_TWICE),
    ] {
        let before = |chain: &mut Chain| chain.has_fault(fault);
        chain.row(report, scenario, expected, before, |chain| {
            chain.has_failed()?;
            chain.has_fault(Fault::None)
        })?;
    }
    chain.row(report, "the plane is away", ALL, Chain::plane_leaves, |chain| {
        chain.has_accepted_all()?;
        chain.plane.come_back()
    })
}

/// The collector restarts and dies: what it has accepted is in its queue.
fn collector_faults(chain: &mut Chain, report: &mut Report) -> Result<()> {
    let scenario = "the plane is away, and the collector is restarted";
    chain.row(report, scenario, ALL, Chain::plane_leaves, |chain| {
        chain.has_accepted_all()?;
        chain.collector.stop()?;
        chain.collector.start_again()?;
        chain.plane.come_back()
    })?;
    let scenario = "the plane is away, and the collector is killed";
    chain.row(report, scenario, ALL, Chain::plane_leaves, |chain| {
        chain.has_accepted_all()?;
        chain.collector.kill();
        chain.collector.start_again()?;
        chain.plane.come_back()
    })?;
    let scenario = "the plane's answers are lost, and the collector is killed";
    chain.row(
        report,
        scenario,
        SOME_TWICE,
        |chain| chain.has_fault(Fault::AnswerLost),
        |chain| {
            chain.has_accepted_all()?;
            chain.has_failed()?;
            chain.collector.kill();
            chain.has_fault(Fault::None)?;
            chain.collector.start_again()
        },
    )?;
    let scenario = "the issuer answers 500 to a collector that has just started";
    let issuer_fails = |chain: &mut Chain| {
        chain.collector.stop()?;
        chain.issuer.fault_at(Endpoint::Token, attache_harness::issuer::Fault::Status(500));
        chain.collector.start_again()
    };
    chain.row(report, scenario, ALL, issuer_fails, |chain| {
        chain.has_accepted_all()?;
        let before = chain.issuer.token_requests();
        wait_for("requests for a token", PATIENCE, || {
            Ok((chain.issuer.token_requests() >= before + FAILED).then_some(()))
        })?;
        chain.issuer.heal();
        Ok(())
    })?;
    let scenario = "the collector is stopped, within Envoy's patience";
    chain.row(
        report,
        scenario,
        ALL,
        |chain| chain.collector.stop(),
        |chain| {
            chain.gateway_waits()?;
            chain.collector.start_again()
        },
    )?;
    let scenario = "the collector does not answer for a while";
    chain.row(
        report,
        scenario,
        ALL,
        |chain| chain.collector.pause(),
        |chain| {
            wait_for("batches that wait", PATIENCE, || Ok((chain.gateway.stat(ACTIVE)? > 0).then_some(())))?;
            chain.collector.go_on()
        },
    )?;
    killed_under_load(chain, report)
}

/// What was on its way to a collector that is killed is lost, and nothing else.
fn killed_under_load(chain: &mut Chain, report: &mut Report) -> Result<()> {
    chain.begin()?;
    let sent = 4 * REQUESTS;
    let base = chain.gateway.url(LISTENER)?;
    std::thread::scope(|scope| {
        let client = scope.spawn(|| chain.load.send(&base, sent));
        let half = chain.gateway.stat(WRITTEN)? + sent as u64 / 4;
        wait_for("half of the load", PATIENCE, || Ok((chain.gateway.stat(WRITTEN)? >= half).then_some(())))?;
        chain.collector.kill();
        chain.collector.start_again()?;
        client.join().map_err(|_| anyhow!("the client panicked"))?
    })?;
    let taken = chain.settled(sent)?;
    let lost = (sent as u64).saturating_sub(taken.counted());
    let got = if lost <= ON_THE_WAY { format!("at most {ON_THE_WAY} lost") } else { format!("{lost} lost") };
    let expected = format!("at most {ON_THE_WAY} lost");
    report.row(PLACE, "the collector is killed under load, and started again", sent, &expected, Ok(got));
    Ok(())
}

/// What is lost without a part of what is shipped.
fn others(world: &World, report: &mut Report) -> Result<()> {
    let log = json!({ "grpc_stream_retry_policy": null });
    let differences = Differences { is_direct: true, log, ..Differences::default() };
    let mut chain = Chain::start(world, "statistics-bare", differences)?;
    let answers_500 = |chain: &mut Chain| chain.has_fault(Fault::Answer(500));
    chain.row(report, "the plane answers 500, without envoy-plane.yaml", NOTHING, answers_500, |chain| {
        chain.has_accepted_all()?;
        chain.is_empty()?;
        chain.has_fault(Fault::None)
    })?;
    let scenario = "the collector is stopped, without `grpc_stream_retry_policy`";
    chain.row(
        report,
        scenario,
        NOTHING,
        |chain| chain.collector.stop(),
        |chain| {
            chain.gateway_gives_up()?;
            chain.collector.start_again()
        },
    )?;
    drop(chain);
    // Room for one batch of counts, and one of records.
    let queue = json!({ "sizer": "requests", "queue_size": 1, "batch": { "min_size": 1 } });
    let collector = json!({ "exporters": { "otlp_http/plane": { "sending_queue": queue } } });
    // A patience that a test can wait for. The longest pause is how long Envoy waits for an answer, too.
    let patience =
        json!({ "num_retries": 2, "retry_back_off": { "base_interval": "0.05s", "max_interval": "60s" } });
    let log = json!({ "grpc_stream_retry_policy": patience });
    let differences = Differences { log, collector, ..Differences::default() };
    let mut chain = Chain::start(world, "statistics-full", differences)?;
    chain.row(
        report,
        "the plane is away, and the collector's queue is full",
        ALL,
        Chain::plane_leaves,
        |chain| {
            wait_for("batches that wait in Envoy", PATIENCE, || {
                Ok((chain.gateway.stat(ACTIVE)? > 0).then_some(()))
            })?;
            chain.plane.come_back()
        },
    )?;
    chain.row(
        report,
        "the collector is stopped for longer than Envoy's patience",
        NOTHING,
        |chain| chain.collector.stop(),
        |chain| {
            chain.gateway_gives_up()?;
            chain.collector.start_again()
        },
    )
}

impl Chain {
    fn start(world: &World, name: &str, differences: Differences) -> Result<Self> {
        let upstream = Upstream::start()?;
        let client = Client::new(CLIENT).secret(SECRET).scopes(&["statistics:write"]);
        let issuer = Issuer::start(IssuerOptions {
            identifier: Some(ISSUER.to_owned()),
            algorithms: vec![Algorithm::Es256],
            clients: vec![Client::demo(), client],
            ..IssuerOptions::default()
        })?;
        let plane = Plane::start(issuer.liveness())?;
        let before_plane = before_plane(plane.address())?;
        let ports = Ports { otlp: free_port()?, metrics: free_port()? };
        let next = if differences.is_direct { plane.address() } else { before_plane.listener("plane")? };
        let peers = Peers { tokens: format!("{}/token", issuer.url()), plane: next };
        let collector =
            Collector::start(world, name, ports, &peers, differences.files, &differences.collector)?;
        let mut changes = json!({ "buffer_flush_interval": "0.2s" });
        if differences.log.is_object() {
            proxy::merge(&mut changes, &differences.log);
        }
        let gateway = Gateway {
            issuer: &issuer,
            upstream: &upstream,
            log: "envoy-otel.yaml",
            service: SocketAddr::from((Ipv4Addr::LOCALHOST, ports.otlp)),
            changes,
        };
        let gateway = gateway.start()?;
        let load = Load::new(&issuer)?;
        let _before_plane = before_plane;
        Ok(Self {
            load,
            issuer,
            _upstream: upstream,
            gateway,
            collector,
            _before_plane,
            plane,
            accepted: 0.0,
        })
    }

    /// Makes a fault, sends requests, ends the fault, and says what the plane has counted then.
    fn row(
        &mut self,
        report: &mut Report,
        scenario: &str,
        expected: &str,
        before: impl FnOnce(&mut Self) -> Result<()>,
        after: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        before(self)?;
        self.begin()?;
        self.load.send(&self.gateway.url(LISTENER)?, REQUESTS)?;
        after(self)?;
        let taken = self.settled(if expected == NOTHING { 0 } else { REQUESTS })?;
        report.row(PLACE, scenario, REQUESTS, expected, self.told(&taken));
        Ok(())
    }

    fn begin(&mut self) -> Result<()> {
        self.plane.forget();
        self.accepted = self.collector.accepted().unwrap_or(0.0);
        Ok(())
    }

    /// What the plane has once it has all, or nothing more comes.
    fn settled(&self, requests: usize) -> Result<Taken> {
        // If it never has all, the row says so.
        let mut quiet: Option<Instant> = None;
        let _ = wait_for("the plane to have all", PATIENCE, || {
            let taken = self.plane.taken();
            if requests > 0 && taken.counted() >= requests as u64 && taken.records.len() >= requests {
                return Ok(Some(()));
            }
            let is_idle = self.gateway_has_sent()? && self.collector.queued()? < 0.5;
            let since = if is_idle { *quiet.get_or_insert_with(Instant::now) } else { Instant::now() };
            if !is_idle {
                quiet = None;
            }
            Ok((since.elapsed() > QUIET).then_some(()))
        });
        self.is_empty()?;
        Ok(self.plane.taken())
    }

    fn told(&self, taken: &Taken) -> Result<String> {
        let sent = u64::try_from(REQUESTS)?;
        let counted = taken.counted();
        let mut told = format!("{sent} sent, {counted} counted, {} lost", sent.saturating_sub(counted));
        told += if taken.batches_again + taken.records_again == 0 {
            ", none twice"
        } else {
            ", some twice: told"
        };
        if counted == 0 {
            return Ok(told);
        }
        if taken.counts != self.load.counts(REQUESTS) {
            told += &format!("; by labels: {:?}", taken.counts);
        }
        if taken.durations != sent {
            told += &format!("; {} durations", taken.durations);
        }
        if taken.records.len() != REQUESTS {
            told += &format!("; {} records", taken.records.len());
        }
        Ok(told)
    }

    fn has_fault(&mut self, fault: Fault) -> Result<()> {
        self.plane.fault(fault);
        Ok(())
    }

    fn plane_leaves(&mut self) -> Result<()> {
        self.plane.leave();
        Ok(())
    }

    /// Waits until the fault has met requests.
    fn has_failed(&self) -> Result<()> {
        wait_for("requests that fail", PATIENCE, || Ok((self.plane.taken().failed >= FAILED).then_some(())))
    }

    /// Waits until the collector has accepted a record of each request.
    fn has_accepted_all(&self) -> Result<()> {
        let all = self.accepted + REQUESTS as f64;
        wait_for("the collector to have all", PATIENCE, || {
            Ok((self.collector.accepted()? > all - 0.5).then_some(()))
        })
    }

    /// Waits until the collector has nothing more to send.
    fn is_empty(&self) -> Result<()> {
        wait_for("the collector to have sent all", PATIENCE, || {
            Ok((self.collector.queued()? < 0.5).then_some(()))
        })
    }

    /// Whether Envoy has sent or dropped a record of each request.
    fn gateway_has_sent(&self) -> Result<bool> {
        let stats = self.gateway.stats()?;
        let stat = |name: &str| stats.get(name).copied().unwrap_or(0);
        Ok(stat(WRITTEN) + stat(DROPPED) >= stat("http.gateway.downstream_rq_completed"))
    }

    /// Waits until Envoy has dropped the records of a row.
    fn gateway_gives_up(&self) -> Result<()> {
        wait_for("Envoy to give up", PATIENCE, || {
            Ok((self.gateway.stat(DROPPED)? >= REQUESTS as u64).then_some(()))
        })
    }

    /// Waits until Envoy has tried to reach the collector.
    fn gateway_waits(&self) -> Result<()> {
        let before = self.gateway.stat("cluster.collector.upstream_rq_retry")?;
        wait_for("Envoy to try again", PATIENCE, || {
            let tried = self.gateway.stat("cluster.collector.upstream_rq_retry")?;
            Ok((tried >= before + FAILED).then_some(()))
        })
    }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("a free port")?.local_addr()?.port())
}

const PLACE: Place = Place { control_plane: "none", position: "statistics" };
const ALL: &str = "300 sent, 300 counted, 0 lost, none twice";
const SOME_TWICE: &str = "300 sent, 300 counted, 0 lost, some twice: told";
const NOTHING: &str = "300 sent, 0 counted, 300 lost, none twice";
const REQUESTS: usize = 300;
/// A batch of each of Envoy's two threads, of 64 KB: a record has about 0.4 KB.
const ON_THE_WAY: u64 = 320;
/// So many requests meet a fault before it ends.
const FAILED: u64 = 3;
const WRITTEN: &str = "access_logs.open_telemetry_access_log.logs_written";
const ACTIVE: &str = "cluster.collector.upstream_rq_active";
const DROPPED: &str = "access_logs.open_telemetry_access_log.logs_dropped";
/// Longer than Envoy and the collector here keep what they have.
const QUIET: Duration = Duration::from_millis(1500);
const PATIENCE: Duration = Duration::from_secs(30);
