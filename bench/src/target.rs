//! What is promised, and whether the measurement keeps it.

use serde::Serialize;

use crate::comparison::Comparison;
use crate::contender::Contender;
use crate::envoy_under_test::Cost;
use crate::flood::Flood;
use crate::growth::Growth;
use crate::key::Algorithm;
use crate::statistics::{Estimate, Verdict};
use crate::workload::Workload;

/// A promise, judged.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    /// The least ratio, or the most for what grows.
    pub(crate) target: f64,
    pub(crate) found: Estimate,
    /// The same from the worker's time in place of the throughput, where both are known.
    pub(crate) by_worker_time: Option<Estimate>,
    pub(crate) verdict: Verdict,
}

/// Judges what a comparison says.
pub(crate) fn of_comparison(comparison: &Comparison) -> Vec<Target> {
    let promises = PROMISES.iter().filter_map(|(workload, other, target)| {
        let found = comparison.ratio(*workload, *other, Cost::per_second)?;
        Some(Target {
            name: format!("{} vs {}", workload.title(), other.name()),
            target: *target,
            found,
            by_worker_time: comparison.ratio(*workload, *other, |cost| 1.0 / cost.worker_micros()),
            verdict: judge(
                found.at_least(*target),
                &[*other, workload.ours()]
                    .map(|contender| comparison.median(*workload, contender, Cost::busy)),
            ),
        })
    });
    promises.collect()
}

/// Judges how much costs grow from the smallest size to the largest.
pub(crate) fn of_growth(growths: &[Growth]) -> Vec<Target> {
    let promises = growths.iter().filter_map(|growth| {
        let (first, last) = (growth.points.first()?, growth.points.last()?);
        let found = growth.ratio(last)?;
        Some(Target {
            name: format!("{}: {} to {}", growth.axis.title(), first.size, last.size),
            target: MAX_GROWTH,
            found,
            by_worker_time: None,
            verdict: judge(found.at_most(MAX_GROWTH), &[first.busy(), last.busy()]),
        })
    });
    promises.collect()
}

/// Judges how long known tokens take while forged ones come.
pub(crate) fn of_floods(floods: &[Flood]) -> Vec<Target> {
    let promises = floods.iter().filter_map(|flood| {
        let found = flood.ratio()?;
        Some(Target {
            name: format!("p99 of known tokens, {}", flood.title()),
            target: MAX_BESIDE_FLOOD,
            found,
            by_worker_time: None,
            verdict: judge(found.at_most(MAX_BESIDE_FLOOD), &flood.busy()),
        })
    });
    promises.collect()
}

/// A verdict, if the workers were on their cores so much of the time.
fn judge(verdict: Verdict, busy: &[Option<f64>]) -> Verdict {
    if busy.iter().all(|busy| busy.is_some_and(|busy| busy >= MIN_BUSY)) {
        verdict
    } else {
        Verdict::Disturbed
    }
}

/// Throughput of Attaché by that of another, at least.
const PROMISES: [(Workload, Contender, f64); 7] = [
    (Workload::HotOne(Algorithm::Rs256), Contender::JwtCacheRbac, 1.10),
    (Workload::HotPool, Contender::JwtCacheRbac, 1.10),
    (Workload::Cold(Algorithm::Rs256), Contender::JwtRbac, 1.15),
    (Workload::Cold(Algorithm::Es256), Contender::JwtRbac, 1.15),
    (Workload::Forged(Algorithm::Rs256), Contender::Jwt, 1.0),
    (Workload::Forged(Algorithm::Es256), Contender::Jwt, 1.0),
    (Workload::Expired, Contender::Jwt, 1.0),
];
/// The 99th percentile of a known token's latency beside a flood by that without one, at most.
pub(crate) const MAX_BESIDE_FLOOD: f64 = 2.0;
/// The worker's time for a request at the largest size by that at the smallest, at most.
pub(crate) const MAX_GROWTH: f64 = 1.10;
/// A worker under load is on its core all the time; the rest is what the kernel has to do there.
pub(crate) const MIN_BUSY: f64 = 0.9;
