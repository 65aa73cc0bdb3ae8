//! `summary.json`: what was measured, for programs.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::comparison::{Comparison, Effort};
use crate::envoy_under_test::{Cost, Testbed};
use crate::flood::Flood;
use crate::growth::{Growth, Point};
use crate::presence::Presence;
use crate::target::Target;

/// What the summary is made of.
pub(crate) struct Summary<'s> {
    pub(crate) effort: &'s Effort,
    pub(crate) testbed: &'s Testbed,
    /// The filter's file.
    pub(crate) module: &'s Path,
    pub(crate) comparison: Option<&'s Comparison>,
    pub(crate) floods: &'s [Flood],
    pub(crate) growths: &'s [Growth],
    pub(crate) presence: Option<&'s Presence>,
    pub(crate) targets: &'s [Target],
}

impl Summary<'_> {
    /// The document. A workload's `vs_…` is the median ratio of throughputs, Attaché's to the other's.
    pub(crate) fn document(&self) -> Result<Value> {
        let mut document = Map::new();
        document.insert("machine".into(), self.machine());
        let module = std::fs::read(self.module)
            .with_context(|| format!("{} is gone, so which module was measured?", self.module.display()))?;
        let digest = Sha256::digest(&module).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        document.insert("module".into(), json!({ "bytes": module.len(), "sha256": digest }));
        document.insert(
            "effort".into(),
            json!({
                "runs": self.effort.runs,
                "rounds": self.effort.rounds,
                "part_ms": self.effort.part.as_millis() as u64,
                "seed": self.effort.seed,
            }),
        );
        if let Some(comparison) = self.comparison {
            workloads(comparison, &mut document)?;
        }
        if !self.floods.is_empty() {
            let floods = self.floods.iter().map(|flood| {
                let entry = json!({
                    "p99_us": flood.p99(),
                    "p99_us_without": flood.quiet_p99(),
                    "vs_without": flood.ratio(),
                });
                (flood.key(), entry)
            });
            document.insert("floods".into(), floods.collect::<Map<_, _>>().into());
        }
        if !self.growths.is_empty() {
            let growths = self.growths.iter().map(|growth| (growth.axis.key().to_owned(), points(growth)));
            document.insert("growth".into(), growths.collect::<Map<_, _>>().into());
        }
        if let Some(presence) = self.presence {
            document.insert("presence".into(), serde_json::to_value(presence)?);
        }
        document.insert("targets".into(), serde_json::to_value(self.targets)?);
        Ok(document.into())
    }

    fn machine(&self) -> Value {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let processor = read("/proc/cpuinfo");
        let processor = processor.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        json!({
            "processor": processor.map(|(_, name)| name),
            "cores": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            "kernel": read("/proc/sys/kernel/osrelease").trim(),
            "pinned": self.testbed.cores.is_some(),
            "envoy": self.testbed.version,
        })
    }
}

fn workloads(comparison: &Comparison, document: &mut Map<String, Value>) -> Result<()> {
    for workload in comparison.workloads() {
        let mut entry = Map::new();
        entry.insert("title".into(), workload.title().into());
        let (mut throughput, mut worker, mut contenders) = (Map::new(), Map::new(), Map::new());
        for contender in comparison.contenders(workload) {
            let value = |of: fn(&Cost) -> f64| comparison.median(workload, contender, of);
            contenders.insert(
                contender.key().into(),
                json!({
                    "requests_per_second": value(Cost::per_second),
                    "p50_us": value(|cost| cost.latency_micros(0.5)),
                    "p99_us": value(|cost| cost.latency_micros(0.99)),
                    "worker_us": value(Cost::worker_micros),
                    "other_threads_us": value(Cost::others_micros),
                    "worker_busy": value(Cost::busy),
                }),
            );
            if contender == workload.ours() {
                continue;
            }
            let name = format!("vs_{}", contender.key());
            let ratio = comparison.ratio(workload, contender, Cost::per_second);
            let ratio = ratio.with_context(|| format!("{} was not measured with Attaché", workload.key()))?;
            entry.insert(name.clone(), ratio.median.into());
            throughput.insert(name.clone(), serde_json::to_value(ratio)?);
            let ratio = comparison.ratio(workload, contender, |cost| 1.0 / cost.worker_micros());
            worker.insert(name, serde_json::to_value(ratio)?);
        }
        entry.insert("throughput".into(), throughput.into());
        entry.insert("worker_time".into(), worker.into());
        entry.insert("contenders".into(), contenders.into());
        document.insert(workload.key(), entry.into());
    }
    Ok(())
}

fn points(growth: &Growth) -> Value {
    let point = |of: &Point| {
        json!({
            "size": of.size,
            "worker_us": of.worker_micros(),
            "vs_smallest": growth.ratio(of),
            "no_filter_us": of.plain_micros(),
            "memory_bytes": of.memory(),
            "vm_memory_bytes": of.vm_memory(),
        })
    };
    growth.points.iter().map(point).collect()
}
