//! The host's numbers of our metrics, asked for once each.

use std::collections::HashMap;
use std::rc::Rc;

use proxy_wasm::hostcalls;
use proxy_wasm::types::MetricType;

#[derive(Debug, Default)]
pub(super) struct Metrics(HashMap<Rc<str>, Option<u32>>);

impl Metrics {
    /// Makes each of the host calls below once: see [`super::plugin`].
    pub(super) fn prove_host_calls() {
        let _ = hostcalls::define_metric(MetricType::Gauge, "attache_config_version");
        let _ = hostcalls::increment_metric(NO_METRIC, 0);
        let _ = hostcalls::record_metric(NO_METRIC, 0);
    }

    pub(super) fn count(&mut self, name: &Rc<str>, by: u64) {
        if let Some(id) = self.number(MetricType::Counter, name) {
            // A metric that is lost must not cost a request.
            let _ = hostcalls::increment_metric(id, i64::try_from(by).unwrap_or(i64::MAX));
        }
    }

    pub(super) fn adjust(&mut self, name: &Rc<str>, by: i64) {
        if let Some(id) = self.number(MetricType::Gauge, name) {
            let _ = hostcalls::increment_metric(id, by);
        }
    }

    pub(super) fn sample(&mut self, name: &Rc<str>, value: u64) {
        if let Some(id) = self.number(MetricType::Histogram, name) {
            let _ = hostcalls::record_metric(id, value);
        }
    }

    pub(super) fn set(&mut self, name: &Rc<str>, value: u64) {
        if let Some(id) = self.number(MetricType::Gauge, name) {
            let _ = hostcalls::record_metric(id, value);
        }
    }

    fn number(&mut self, kind: MetricType, name: &Rc<str>) -> Option<u32> {
        *self.0.entry(Rc::clone(name)).or_insert_with(|| hostcalls::define_metric(kind, name).ok())
    }
}

/// The host begins to count behind it: it finds none of this number, and does nothing.
const NO_METRIC: u32 = 0;
