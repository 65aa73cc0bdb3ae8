//! Known tokens while a thousand forged ones a second come: how much longer the slowest of them take.

use anyhow::{Context, Result};
use fastrand::Rng;

use crate::comparison::{Effort, issuer};
use crate::contender::{Contender, Modules};
use crate::envoy_under_test::{Cost, EnvoyUnderTest, Testbed};
use crate::key::Algorithm;
use crate::load::Extent;
use crate::progress::Progress;
use crate::requests::Requests;
use crate::statistics::{Estimate, median, ratio};
use crate::workload::{Workload, forgeries};

/// One kind of flood, and what known tokens cost beside it and without it in the same round, by run.
pub(crate) struct Flood {
    algorithm: Algorithm,
    names_key: bool,
    beside: Vec<Vec<Cost>>,
    without: Vec<Vec<Cost>>,
}

impl Flood {
    /// Measures all kinds.
    pub(crate) fn measure(effort: &Effort, testbed: &Testbed, modules: Modules<'_>) -> Result<Vec<Self>> {
        let mut rng = Rng::with_seed(effort.seed);
        let issuer = issuer(&mut rng)?;
        let kinds = Algorithm::ALL.into_iter().flat_map(|algorithm| [(algorithm, true), (algorithm, false)]);
        let mut floods: Vec<Self> = kinds
            .map(|(algorithm, names_key)| Self {
                algorithm,
                names_key,
                beside: Vec::new(),
                without: Vec::new(),
            })
            .collect();
        let status = |expectation| Contender::Attache.status(expectation);
        let progress = Progress::new("flood", effort.runs * effort.rounds * floods.len());
        let count = (effort.part.as_secs_f64() * f64::from(A_SECOND)).ceil() as usize;
        for run in 1..=effort.runs {
            let envoy = EnvoyUnderTest::start(testbed, Contender::Attache.bootstrap(modules, &issuer)?)?;
            let known = Workload::HotPool.requests(&issuer, 0, rng.u64(..))?;
            // Twice round, so that every token is in the cache and all that is called often is compiled.
            envoy.measure(&known, &mut 0, Extent::Count(2 * known.len()), status)?;
            for round in 1..=effort.rounds {
                for flood in &mut floods {
                    progress.step(&format!("run {run}, round {round}: {}", flood.title()));
                    let kind = (flood.algorithm, flood.names_key);
                    let forged = forgeries(&issuer, kind, count, rng.u64(..))?;
                    let measure = |forged: &Requests, a_second: u32| {
                        let cost = envoy.measure_beside(&known, effort.part, (forged, a_second), status);
                        cost.with_context(|| format!("{} beside {a_second} a second", flood.title()))
                    };
                    let (without, beside) = (measure(&forged, 0)?, measure(&forged, A_SECOND)?);
                    for (costs, cost) in [(&mut flood.without, without), (&mut flood.beside, beside)] {
                        costs.resize_with(run, Vec::new);
                        costs.last_mut().context("a run without a list")?.push(cost);
                    }
                }
            }
        }
        progress.end();
        Ok(floods)
    }

    /// Its name in `summary.json`.
    pub(crate) fn key(&self) -> String {
        let kid = if self.names_key { "named" } else { "unnamed" };
        format!("{}_{kid}", self.algorithm.name().to_lowercase())
    }

    /// What it is, for a table.
    pub(crate) fn title(&self) -> String {
        let kid = if self.names_key { "with kid" } else { "without kid" };
        format!("{A_SECOND} forged {} a second, {kid}", self.algorithm.name())
    }

    /// In microseconds.
    pub(crate) fn p99(&self) -> Option<f64> {
        median(self.beside.iter().flatten().map(p99))
    }

    /// The same without the flood.
    pub(crate) fn quiet_p99(&self) -> Option<f64> {
        median(self.without.iter().flatten().map(p99))
    }

    /// The one by the other, of the same round.
    pub(crate) fn ratio(&self) -> Option<Estimate> {
        let values = |costs: &[Vec<Cost>]| -> Vec<Vec<f64>> {
            costs.iter().map(|rounds| rounds.iter().map(p99).collect()).collect()
        };
        ratio(&values(&self.beside), &values(&self.without))
    }

    /// Which part of the time the worker was on its core, with the flood and without.
    pub(crate) fn busy(&self) -> [Option<f64>; 2] {
        [&self.beside, &self.without].map(|costs| median(costs.iter().flatten().map(Cost::busy)))
    }
}

fn p99(cost: &Cost) -> f64 {
    cost.latency_micros(0.99)
}

/// How many forged tokens come in a second, on one worker.
const A_SECOND: u32 = 1_000;
