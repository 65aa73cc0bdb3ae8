//! Metrics and log lines on their way to the host. Each metric's number is asked for once.

use std::collections::HashMap;
use std::rc::Rc;

use proxy_wasm::hostcalls;
use proxy_wasm::types::MetricType;

use crate::base::Observation;
use crate::telemetry::{Message, config_version};

/// The host's numbers of our metrics.
#[derive(Debug, Default)]
pub(super) struct HostMetrics(HashMap<Rc<str>, Option<u32>>);

/// Writes a line to the log.
pub(super) fn write(message: &Message<'_>) {
    log::log!(message.level(), "{message}");
}

impl HostMetrics {
    /// Makes each of the host calls below once: see [`super::plugin`].
    pub(super) fn prove_host_calls(plugin: &str) {
        let _ = hostcalls::define_metric(MetricType::Gauge, &config_version(plugin));
        let _ = hostcalls::increment_metric(NO_METRIC, 0);
        let _ = hostcalls::record_metric(NO_METRIC, 0);
    }

    /// Makes an observation known. A metric that the host does not take must not cost a request.
    pub(super) fn record(&mut self, observation: Observation) {
        match observation {
            Observation::Count { name, by } => {
                self.increment(MetricType::Counter, &name, i64::try_from(by).unwrap_or(i64::MAX));
            }
            Observation::Adjust { name, by } => self.increment(MetricType::Gauge, &name, by),
            Observation::Sample { name, value } => self.set(MetricType::Histogram, &name, value),
            Observation::Gauge { name, value } => self.set(MetricType::Gauge, &name, value),
            Observation::Log { level, line } => log::log!(level, "{line}"),
        }
    }

    fn increment(&mut self, kind: MetricType, name: &Rc<str>, by: i64) {
        if let Some(id) = self.number(kind, name) {
            let _ = hostcalls::increment_metric(id, by);
        }
    }

    fn set(&mut self, kind: MetricType, name: &Rc<str>, value: u64) {
        if let Some(id) = self.number(kind, name) {
            let _ = hostcalls::record_metric(id, value);
        }
    }

    fn number(&mut self, kind: MetricType, name: &Rc<str>) -> Option<u32> {
        *self.0.entry(Rc::clone(name)).or_insert_with(|| hostcalls::define_metric(kind, name).ok())
    }
}

/// The host begins to count behind it: it finds none of this number, and does nothing.
const NO_METRIC: u32 = 0;
