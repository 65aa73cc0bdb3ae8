//! Rounds of all contenders with all workloads, in turn and in random order, from Envoys that are started anew for each
//! run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use attache_harness::http::Request;
use fastrand::Rng;

use crate::contender::{CLAIMS, Contender, Modules};
use crate::envoy_under_test::{Cost, EnvoyUnderTest, Testbed};
use crate::key::{Algorithm, Key};
use crate::load::Extent;
use crate::outbound::{Position, Server};
use crate::progress::Progress;
use crate::requests::{ECHO_PATH, Requests};
use crate::statistics::{Estimate, median, ratio};
use crate::token::{Flaw, Issuer, Order, mint};
use crate::workload::{Workload, probes};

/// How much is measured.
#[derive(Clone, Debug)]
pub(crate) struct Effort {
    /// How often all Envoys are started.
    pub(crate) runs: usize,
    /// How many rounds each start has.
    pub(crate) rounds: usize,
    /// How long a part of a round is, about.
    pub(crate) part: Duration,
    pub(crate) seed: u64,
}

/// What was measured: for each workload and contender, the rounds of each run.
pub(crate) struct Comparison {
    costs: BTreeMap<Workload, BTreeMap<Contender, Vec<Vec<Cost>>>>,
}

/// What to compare.
pub(crate) struct Plan<'p> {
    pub(crate) workloads: &'p [Workload],
    /// Leaves contenders out.
    pub(crate) contenders: &'p [Contender],
    pub(crate) effort: &'p Effort,
}

impl Comparison {
    /// Measures.
    pub(crate) fn measure(plan: &Plan<'_>, testbed: &Testbed, modules: Modules<'_>) -> Result<Self> {
        let effort = plan.effort;
        let mut rng = Rng::with_seed(effort.seed);
        let issuer = issuer(&mut rng)?;
        let server = Server::start()?;
        let mut costs: BTreeMap<Workload, BTreeMap<Contender, Vec<Vec<Cost>>>> = BTreeMap::new();
        let progress = Progress::new("compare", effort.runs * effort.rounds * plan.workloads.len());
        for run in 1..=effort.runs {
            let envoys = start(plan, testbed, modules, (&issuer, &server), &progress, rng.u64(..))?;
            let mut kept: BTreeMap<Workload, Requests> = BTreeMap::new();
            for round in 1..=effort.rounds {
                for workload in plan.workloads {
                    progress.step(&format!(
                        "run {run}/{}, round {round}/{}: {}",
                        effort.runs,
                        effort.rounds,
                        workload.key()
                    ));
                    let seed = rng.u64(..);
                    let part = Part::new(*workload, effort.part);
                    let fresh;
                    let requests = if workload.fresh().is_some() {
                        fresh = workload.requests(&issuer, part.warm_up + part.requests, seed)?;
                        &fresh
                    } else {
                        if !kept.contains_key(workload) {
                            kept.insert(*workload, workload.requests(&issuer, 0, seed)?);
                        }
                        kept.get(workload).context("requests that were made are gone")?
                    };
                    let mut order: Vec<&Contender> = plan.contenders_of(*workload).collect();
                    rng.shuffle(&mut order);
                    for contender in order {
                        let envoy = envoys.get(&(workload.position(), *contender));
                        let envoy = envoy.context("a contender that was not started")?;
                        let cost = part
                            .measure(envoy, *contender, requests)
                            .with_context(|| format!("{} with {}", contender.name(), workload.key()))?;
                        let runs = costs.entry(*workload).or_default().entry(*contender).or_default();
                        runs.resize_with(run, Vec::new);
                        runs.last_mut().context("a run without a list")?.push(cost);
                    }
                }
            }
        }
        progress.end();
        Ok(Self { costs })
    }

    /// The workloads that were measured.
    pub(crate) fn workloads(&self) -> impl Iterator<Item = Workload> {
        self.costs.keys().copied()
    }

    /// The contenders of a workload, ours last.
    pub(crate) fn contenders(&self, workload: Workload) -> impl Iterator<Item = Contender> {
        self.costs.get(&workload).into_iter().flat_map(|costs| costs.keys().copied())
    }

    /// The median over all rounds of something about a cost.
    pub(crate) fn median(
        &self,
        workload: Workload,
        contender: Contender,
        of: fn(&Cost) -> f64,
    ) -> Option<f64> {
        median(self.costs.get(&workload)?.get(&contender)?.iter().flatten().map(of))
    }

    /// Ours by another's in the same round.
    pub(crate) fn ratio(
        &self,
        workload: Workload,
        other: Contender,
        of: fn(&Cost) -> f64,
    ) -> Option<Estimate> {
        let costs = self.costs.get(&workload)?;
        let values = |contender| -> Option<Vec<Vec<f64>>> {
            Some(costs.get(&contender)?.iter().map(|rounds| rounds.iter().map(of).collect()).collect())
        };
        ratio(&values(workload.ours())?, &values(other)?)
    }
}

impl Plan<'_> {
    fn contenders_of(&self, workload: Workload) -> impl Iterator<Item = &Contender> {
        workload.contenders().iter().filter(|contender| self.contenders.contains(contender))
    }
}

/// A part of a round: one contender with one workload.
struct Part {
    warm_up: usize,
    requests: usize,
    extent: Extent,
}

impl Part {
    fn new(workload: Workload, time: Duration) -> Self {
        match workload.fresh() {
            Some(rate) => {
                let requests = ((rate as f64 * time.as_secs_f64()) as usize).max(MIN_FRESH);
                Self { warm_up: requests / 10, requests, extent: Extent::Count(requests) }
            }
            // Once round the pool at least, so that every token is in the cache.
            None => Self { warm_up: WARM_UP, requests: 0, extent: Extent::Time(time) },
        }
    }

    fn measure(&self, envoy: &EnvoyUnderTest, contender: Contender, requests: &Requests) -> Result<Cost> {
        let mut cursor = 0;
        let status = |expectation| contender.status(expectation);
        envoy.measure(requests, &mut cursor, Extent::Count(self.warm_up), status)?;
        envoy.measure(requests, &mut cursor, self.extent, status)
    }
}

/// An issuer with a key of each algorithm.
pub(crate) fn issuer(rng: &mut Rng) -> Result<Issuer> {
    let keys = Algorithm::ALL
        .into_iter()
        .map(|algorithm| Key::generate(format!("{}-1", algorithm.name().to_lowercase()), algorithm, rng));
    Ok(Issuer { identifier: "https://issuer.example".into(), keys: keys.collect::<Result<_>>()? })
}

fn start(
    plan: &Plan<'_>,
    testbed: &Testbed,
    modules: Modules<'_>,
    (issuer, server): (&Issuer, &Server),
    progress: &Progress,
    seed: u64,
) -> Result<BTreeMap<(Option<Position>, Contender), EnvoyUnderTest>> {
    let needed: BTreeSet<(Option<Position>, Contender)> = plan
        .workloads
        .iter()
        .flat_map(|workload| plan.contenders_of(*workload).map(|contender| (workload.position(), *contender)))
        .collect();
    let mut envoys = BTreeMap::new();
    for (position, contender) in needed {
        progress.note(&format!("starting Envoy: {}", contender.name()));
        if let Some(position) = position {
            // The upstream looks at the credential of every request.
            let envoy = server
                .contender(testbed, position, contender, modules)
                .with_context(|| format!("Envoy with {}, {position:?}", contender.name()))?;
            envoys.insert((Some(position), contender), envoy);
            continue;
        }
        let envoy = EnvoyUnderTest::start(testbed, contender.bootstrap(modules, issuer)?)
            .with_context(|| format!("Envoy with {}", contender.name()))?;
        let probes = probes(contender, issuer, seed)?;
        for extent in [Extent::Count(probes.len()), Extent::Time(TIER_UP)] {
            envoy
                .measure(&probes, &mut 0, extent, |expectation| contender.status(expectation))
                .with_context(|| format!("{} does not answer as the others do", contender.name()))?;
        }
        check_claims(&envoy, contender, issuer, seed)?;
        envoys.insert((None, contender), envoy);
    }
    Ok(envoys)
}

/// The upstream sees the same claims from every contender that forwards them, and none from the others.
fn check_claims(envoy: &EnvoyUnderTest, contender: Contender, issuer: &Issuer, seed: u64) -> Result<()> {
    let order = Order { issuer: &issuer.identifier, key: issuer.key(Algorithm::Es256)?, flaw: Flaw::Nothing };
    let token = mint(&[order], seed)?.pop().context("no token was made")?;
    let url = format!("http://{}{ECHO_PATH}", envoy.addr());
    let response = Request::get(url).bearer(&token).send()?;
    for (claim, header) in CLAIMS {
        let seen = response.header(&format!("echo-{header}")).filter(|value| *value != "-");
        ensure!(
            seen.is_some_and(|value| value.starts_with("client-")) == contender.forwards_claims(),
            "{}: the upstream sees {header} as {seen:?}, which should {}be the claim {claim}",
            contender.name(),
            if contender.forwards_claims() { "" } else { "not " },
        );
    }
    Ok(())
}

/// More than a pool has.
const WARM_UP: usize = 2_100;
const MIN_FRESH: usize = 500;
/// V8 compiles anew what is called often, on Envoy's other threads, which share their core with the load: it gets the
/// time for that before anything counts.
const TIER_UP: Duration = Duration::from_secs(1);
