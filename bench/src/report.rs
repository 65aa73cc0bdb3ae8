//! The tables for a terminal.

use std::fmt::Write as _;

use crate::comparison::Comparison;
use crate::envoy_under_test::Cost;
use crate::flood::Flood;
use crate::growth::Growth;
use crate::presence::{CACHING, Presence, STARTED};
use crate::statistics::{CONFIDENCE, Estimate, Verdict};
use crate::target::Target;

/// The contenders of each workload, with what Attaché's throughput is of theirs.
pub(crate) fn of_comparison(comparison: &Comparison) -> String {
    let mut text = String::new();
    for workload in comparison.workloads() {
        let _ = writeln!(text, "\n{}", workload.title());
        let _ = writeln!(
            text,
            "  {:<33} {:>10} {:>9} {:>9} {:>10} {:>6}  {:<22} {:<22}",
            "",
            "requests/s",
            "p50 µs",
            "p99 µs",
            "worker µs",
            "busy",
            "Attaché: × throughput",
            "… by worker's time"
        );
        for contender in comparison.contenders(workload) {
            let value = |of: fn(&Cost) -> f64| comparison.median(workload, contender, of).unwrap_or_default();
            let ratio = |of: fn(&Cost) -> f64| {
                let ratio =
                    comparison.ratio(workload, contender, of).filter(|_| contender != workload.ours());
                ratio.map(|ratio| estimate(&ratio)).unwrap_or_default()
            };
            let _ = writeln!(
                text,
                "  {:<33} {:>10.0} {:>9.1} {:>9.1} {:>10.2} {:>4.0} %  {:<22} {:<22}",
                contender.name(),
                value(Cost::per_second),
                value(|cost| cost.latency_micros(0.5)),
                value(|cost| cost.latency_micros(0.99)),
                value(Cost::worker_micros),
                value(Cost::busy) * 100.0,
                ratio(Cost::per_second),
                ratio(|cost| 1.0 / cost.worker_micros()),
            );
        }
    }
    text
}

/// How long known tokens take while forged ones come.
pub(crate) fn of_floods(floods: &[Flood]) -> String {
    let mut text = String::new();
    if !floods.is_empty() {
        let _ = writeln!(
            text,
            "\n{:<36} {:>10} {:>10} {:<22}",
            "known tokens beside a flood", "p99 µs", "without", "×"
        );
    }
    for flood in floods {
        let _ = writeln!(
            text,
            "  {:<34} {:>10.1} {:>10.1} {:<22}",
            flood.title(),
            flood.p99().unwrap_or_default(),
            flood.quiet_p99().unwrap_or_default(),
            flood.ratio().map(|ratio| estimate(&ratio)).unwrap_or_default(),
        );
    }
    text
}

/// What a request costs at each size.
pub(crate) fn of_growth(growths: &[Growth]) -> String {
    let mut text = String::new();
    for growth in growths {
        let _ = writeln!(
            text,
            "\n{:<28} {:>10} {:<22} {:>12} {:>10} {:>10}",
            growth.axis.title(),
            "worker µs",
            "× the smallest's",
            "no filter µs",
            "memory",
            "its VM"
        );
        for point in &growth.points {
            let _ = writeln!(
                text,
                "  {:<26} {:>10.2} {:<22} {:>12.2} {:>10} {:>10}",
                point.size,
                point.worker_micros().unwrap_or_default(),
                growth.ratio(point).map(|ratio| estimate(&ratio)).unwrap_or_default(),
                point.plain_micros().unwrap_or_default(),
                megabytes(point.memory().unwrap_or_default()),
                megabytes(point.vm_memory().unwrap_or_default()),
            );
        }
    }
    text
}

/// What being there costs.
pub(crate) fn of_presence(presence: &Presence) -> String {
    let mut text = format!("\nmodule: {} bytes\n", presence.module_size);
    let _ = writeln!(
        text,
        "  {:<26} {:<24} {:>14} {:>16} {:>12}",
        "", "ready after ms", "one worker", "each further one", "full cache"
    );
    for contender in STARTED {
        let key = contender.key();
        let ready = presence.ready_ms.get(key).and_then(Option::as_ref);
        let ready = ready.map(|of| format!("{:.0} ({:.0}–{:.0})", of.median, of.low, of.high));
        let memory = |of: Option<&Option<f64>>| of.copied().flatten().map(megabytes).unwrap_or_default();
        let full = presence.memory_of_full_cache.get(key).filter(|_| CACHING.contains(&contender));
        let _ = writeln!(
            text,
            "  {:<26} {:<24} {:>14} {:>16} {:>12}",
            contender.name(),
            ready.unwrap_or_default(),
            memory(presence.memory_at_rest.get(key)),
            memory(presence.memory_per_worker.get(key)),
            full.map(|bytes| format!("+ {}", megabytes(*bytes))).unwrap_or_default(),
        );
    }
    text
}

/// What was promised, and what was found.
pub(crate) fn of_targets(targets: &[Target]) -> String {
    let mut text = String::new();
    if targets.is_empty() {
        return text;
    }
    let _ = writeln!(text, "\ntargets");
    for target in targets {
        let verdict = match target.verdict {
            Verdict::Pass => "pass",
            Verdict::Fail => "FAIL",
            Verdict::Open => "open",
            Verdict::Disturbed => "disturbed",
        };
        let worker = target.by_worker_time.map(|of| format!(", by worker's time {}", estimate(&of)));
        let confidence = if target.found.confidence < CONFIDENCE {
            format!(" (only {:.0} % sure: {} values)", target.found.confidence * 100.0, target.found.values)
        } else {
            String::new()
        };
        let _ = writeln!(
            text,
            "  {verdict:<9} {:<56} {:.2} wanted, {}{}{confidence}",
            target.name,
            target.target,
            estimate(&target.found),
            worker.unwrap_or_default(),
        );
    }
    text
}

fn estimate(of: &Estimate) -> String {
    format!("{:.3} ({:.3}–{:.3})", of.median, of.low, of.high)
}

fn megabytes(bytes: f64) -> String {
    format!("{:.1} MB", bytes / 1e6)
}
