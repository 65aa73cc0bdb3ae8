//! What being there costs: the module's size, the time until Envoy is ready, memory at rest and with full caches.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fastrand::Rng;
use serde::Serialize;

use crate::comparison::{Effort, issuer};
use crate::contender::{Contender, Modules};
use crate::envoy_under_test::{EnvoyUnderTest, Testbed, launch};
use crate::key::Algorithm;
use crate::load::Extent;
use crate::process::memory;
use crate::progress::Progress;
use crate::statistics::{Estimate, median};
use crate::workload::Workload;

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Presence {
    /// In bytes.
    pub(crate) module_size: u64,
    /// Milliseconds from the start of the process until it is ready, by the contender's key.
    pub(crate) ready_ms: BTreeMap<&'static str, Option<Estimate>>,
    /// Bytes of the process with one worker, at rest.
    pub(crate) memory_at_rest: BTreeMap<&'static str, Option<f64>>,
    /// Bytes that each further worker takes, at rest.
    pub(crate) memory_per_worker: BTreeMap<&'static str, Option<f64>>,
    /// Bytes that a worker's cache takes when it is full.
    pub(crate) memory_of_full_cache: BTreeMap<&'static str, f64>,
}

impl Presence {
    /// Measures.
    pub(crate) fn measure(effort: &Effort, testbed: &Testbed, modules: Modules<'_>) -> Result<Self> {
        let mut rng = Rng::with_seed(effort.seed);
        let issuer = issuer(&mut rng)?;
        let starts = effort.runs.max(MIN_STARTS);
        let progress = Progress::new("presence", starts + CACHING.len());
        let mut ready: BTreeMap<Contender, Vec<f64>> = BTreeMap::new();
        let mut rest: BTreeMap<Contender, Vec<f64>> = BTreeMap::new();
        let mut share: BTreeMap<Contender, Vec<f64>> = BTreeMap::new();
        for start in 1..=starts {
            progress.step(&format!("start {start}/{starts}"));
            let mut order = STARTED;
            rng.shuffle(&mut order);
            for contender in order {
                let begin = Instant::now();
                let envoy = launch(testbed, contender.bootstrap(modules, &issuer)?, 1)?;
                ready.entry(contender).or_default().push(begin.elapsed().as_secs_f64() * 1e3);
                let alone = memory(envoy.pid()?)? as f64;
                drop(envoy);
                let envoy = launch(testbed, contender.bootstrap(modules, &issuer)?, WORKERS)?;
                let together = memory(envoy.pid()?)? as f64;
                rest.entry(contender).or_default().push(alone);
                share.entry(contender).or_default().push((together - alone) / f64::from(WORKERS - 1));
            }
        }
        let mut full = BTreeMap::new();
        for contender in CACHING {
            progress.step(&format!("filling the cache of {}", contender.name()));
            let envoy = EnvoyUnderTest::start(testbed, contender.bootstrap(modules, &issuer)?)?;
            let status = |expectation| contender.status(expectation);
            // What the connections take is there before and after.
            let one = Workload::HotOne(Algorithm::Rs256).requests(&issuer, 1, rng.u64(..))?;
            envoy.measure(&one, &mut 0, Extent::Time(SETTLE), status)?;
            let before = envoy.memory()? as f64;
            let many = Workload::Cold(Algorithm::Rs256).requests(&issuer, FILL, rng.u64(..))?;
            envoy.measure(&many, &mut 0, Extent::Count(many.len()), status)?;
            full.insert(contender.key(), envoy.memory()? as f64 - before);
        }
        progress.end();
        let size = std::fs::metadata(modules.attache);
        Ok(Self {
            module_size: size.context("the module is gone: run `make build`")?.len(),
            ready_ms: ready.into_iter().map(|(of, values)| (of.key(), Estimate::of(values))).collect(),
            memory_at_rest: medians(rest),
            memory_per_worker: medians(share),
            memory_of_full_cache: full,
        })
    }
}

fn medians(values: BTreeMap<Contender, Vec<f64>>) -> BTreeMap<&'static str, Option<f64>> {
    values.into_iter().map(|(contender, values)| (contender.key(), median(values))).collect()
}

/// Whose start is measured.
pub(crate) const STARTED: [Contender; 4] =
    [Contender::None, Contender::Noop, Contender::JwtCacheRbac, Contender::Attache];
/// Who has a cache.
pub(crate) const CACHING: [Contender; 2] = [Contender::JwtCacheRbac, Contender::Attache];
/// Three, so that what two workers more take is halved.
const WORKERS: u32 = 3;
/// From six on, intervals have 95 %.
const MIN_STARTS: usize = 6;
/// Twice as many tokens as either cache holds.
const FILL: usize = 16_384;
const SETTLE: Duration = Duration::from_millis(200);
