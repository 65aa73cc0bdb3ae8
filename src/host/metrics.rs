//! The host's numbers of our metrics, asked for once each.

use std::collections::HashMap;
use std::rc::Rc;

use super::abi::{self, Metric};

#[derive(Debug, Default)]
pub(super) struct Numbers(HashMap<Rc<str>, Option<u32>>);

impl Numbers {
    pub(super) fn count(&mut self, name: &Rc<str>, by: u64) {
        if let Some(id) = self.number(Metric::Counter, name) {
            // A metric that is lost must not cost a request.
            let _ = abi::increment_metric(id, i64::try_from(by).unwrap_or(i64::MAX));
        }
    }

    pub(super) fn adjust(&mut self, name: &Rc<str>, by: i64) {
        if let Some(id) = self.number(Metric::Gauge, name) {
            let _ = abi::increment_metric(id, by);
        }
    }

    pub(super) fn sample(&mut self, name: &Rc<str>, value: u64) {
        if let Some(id) = self.number(Metric::Histogram, name) {
            let _ = abi::record_metric(id, value);
        }
    }

    pub(super) fn set(&mut self, name: &Rc<str>, value: u64) {
        if let Some(id) = self.number(Metric::Gauge, name) {
            let _ = abi::record_metric(id, value);
        }
    }

    fn number(&mut self, kind: Metric, name: &Rc<str>) -> Option<u32> {
        *self.0.entry(Rc::clone(name)).or_insert_with(|| abi::define_metric(kind, name).ok())
    }
}
