//! An Envoy that is ready to be measured: started, pinned, with its listener known.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use attache_harness::envoy::{Envoy, EnvoyOptions};
use hdrhistogram::Histogram;
use serde_json::Value;

use crate::load::{Extent, Load, Observation};
use crate::process::{Cores, Process};
use crate::requests::{Expectation, Requests};
use crate::upstream::Upstream;

/// A running Envoy. Stopped when dropped.
pub(crate) struct EnvoyUnderTest {
    envoy: Envoy,
    process: Process,
    addr: SocketAddr,
    cores: Option<Cores>,
    /// Where its requests go, if they go anywhere.
    upstream: Option<Mutex<Upstream>>,
}

/// What is measured with, and on which cores.
#[derive(Clone, Debug)]
pub(crate) struct Testbed {
    /// Envoy's program.
    pub(crate) envoy: PathBuf,
    /// What it says of itself.
    pub(crate) version: String,
    pub(crate) cores: Option<Cores>,
}

/// What an Envoy is started with.
#[derive(Clone, Debug)]
pub(crate) struct Bootstrap {
    pub(crate) text: String,
    /// Files in Envoy's own directory, `{{dir}}`.
    pub(crate) files: Vec<(String, Vec<u8>)>,
}

/// What a load cost.
#[derive(Clone, Debug)]
pub(crate) struct Cost {
    pub(crate) answers: usize,
    pub(crate) elapsed: Duration,
    /// The worker's time on its core.
    pub(crate) worker: Duration,
    /// The time of Envoy's other threads.
    pub(crate) others: Duration,
    /// In nanoseconds.
    pub(crate) latency: Histogram<u64>,
}

impl EnvoyUnderTest {
    /// Starts an Envoy with one worker.
    pub(crate) fn start(testbed: &Testbed, bootstrap: Bootstrap) -> Result<Self> {
        Self::launch(testbed, bootstrap, None)
    }

    /// Starts one whose requests go to this upstream.
    pub(crate) fn start_before(testbed: &Testbed, bootstrap: Bootstrap, upstream: Upstream) -> Result<Self> {
        Self::launch(testbed, bootstrap, Some(Mutex::new(upstream)))
    }

    fn launch(testbed: &Testbed, bootstrap: Bootstrap, upstream: Option<Mutex<Upstream>>) -> Result<Self> {
        let envoy = launch(testbed, bootstrap, 1)?;
        let process = Process::new(envoy.pid()?)?;
        if let Some(cores) = testbed.cores {
            process.pin(cores)?;
        }
        let addr = envoy.listener(LISTENER)?;
        Ok(Self { envoy, process, addr, cores: testbed.cores, upstream })
    }

    /// Sends a load and measures what it costs, from a thread on the other core.
    pub(crate) fn measure(
        &self,
        requests: &Requests,
        cursor: &mut usize,
        extent: Extent,
        status: impl Fn(Expectation) -> &'static [u16] + Send,
    ) -> Result<Cost> {
        self.observe(move || {
            let mut load = Load::connect(self.addr)?;
            // A load that failed has left the upstream as it was.
            let upstream = self.upstream.as_ref();
            let mut upstream =
                upstream.map(|upstream| upstream.lock().unwrap_or_else(PoisonError::into_inner));
            load.run(requests, cursor, extent, status, upstream.as_deref_mut())
        })
    }

    /// Sends a load for a time while another one sends so many of its requests a second.
    pub(crate) fn measure_beside(
        &self,
        requests: &Requests,
        time: Duration,
        flood: (&Requests, u32),
        status: impl Fn(Expectation) -> &'static [u16] + Send,
    ) -> Result<Cost> {
        self.observe(move || {
            let (mut load, mut other) = (Load::connect(self.addr)?, Load::connect(self.addr)?);
            load.run_beside(requests, time, &mut other, flood, status)
        })
    }

    /// What a load costs, sent from a thread on the other core.
    fn observe(&self, send: impl FnOnce() -> Result<Observation> + Send) -> Result<Cost> {
        std::thread::scope(|scope| {
            let load = scope.spawn(move || {
                if let Some(cores) = self.cores {
                    cores.keep_this_thread()?;
                }
                let (worker, all) = (self.process.worker_time()?, self.process.time()?);
                let observed = send()?;
                let worker = self.process.worker_time()?.saturating_sub(worker);
                let all = self.process.time()?.saturating_sub(all);
                Ok(Cost {
                    answers: observed.answers,
                    elapsed: observed.elapsed,
                    worker,
                    others: all.saturating_sub(worker),
                    latency: observed.latency,
                })
            });
            load.join().ok().context("the thread of the load ended early")?
        })
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn envoy(&self) -> &Envoy {
        &self.envoy
    }

    /// What it holds in memory, in bytes.
    pub(crate) fn memory(&self) -> Result<u64> {
        self.process.memory()
    }

    /// What its largest VM holds in memory, in bytes, if it has one.
    pub(crate) fn vm_memory(&self) -> Result<Option<u64>> {
        self.process.vm_memory()
    }
}

impl From<Value> for Bootstrap {
    fn from(document: Value) -> Self {
        Self { text: document.to_string(), files: Vec::new() }
    }
}

impl Cost {
    pub(crate) fn per_second(&self) -> f64 {
        self.answers as f64 / self.elapsed.as_secs_f64()
    }

    /// The worker's microseconds for a request.
    pub(crate) fn worker_micros(&self) -> f64 {
        self.worker.as_secs_f64() * 1e6 / self.answers as f64
    }

    /// The other threads' microseconds for a request.
    pub(crate) fn others_micros(&self) -> f64 {
        self.others.as_secs_f64() * 1e6 / self.answers as f64
    }

    /// Which part of the time the worker was on its core: under load, all of it.
    pub(crate) fn busy(&self) -> f64 {
        self.worker.as_secs_f64() / self.elapsed.as_secs_f64()
    }

    /// A quantile of the latency, in microseconds.
    pub(crate) fn latency_micros(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1e3
    }
}

/// Starts an Envoy with so many workers.
pub(crate) fn launch(testbed: &Testbed, bootstrap: Bootstrap, concurrency: u32) -> Result<Envoy> {
    Envoy::start(EnvoyOptions {
        binary: Some(testbed.envoy.clone()),
        bootstrap: bootstrap.text,
        files: bootstrap.files,
        concurrency,
        log_level: "warn".into(),
        ..EnvoyOptions::default()
    })
}

/// The name of the listener that is measured.
pub(crate) const LISTENER: &str = "bench";
