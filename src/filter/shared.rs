//! What both halves use: the calls that are under way, the other threads, what is told to the operator.

use std::collections::BTreeMap;

use super::CallPurpose;
use crate::base::{CallId, Jitter};
use crate::config::Config;
use crate::sharing::WorkerGroup;
use crate::telemetry::{Metrics, Reports};

#[derive(Debug)]
pub(super) struct Shared {
    calls: BTreeMap<u32, CallPurpose>,
    next_call: u32,
    pub(super) group: WorkerGroup,
    pub(super) jitter: Jitter,
    pub(super) metrics: Metrics,
    pub(super) reports: Reports,
}

impl Shared {
    pub(super) fn new(config: &Config, seed: [u8; 16]) -> Self {
        let mut jitter = Jitter::new(seed);
        let me = jitter.number();
        Self {
            calls: BTreeMap::new(),
            next_call: 0,
            group: WorkerGroup::new(config.sharing.as_ref().map(|sharing| sharing.group), me),
            jitter,
            metrics: Metrics::new(config.inbound.as_deref(), config.version),
            reports: Reports::default(),
        }
    }

    /// A number for a call. An earlier call for the same has been given up: its reply is nobody's.
    pub(super) fn call_id(&mut self, target: CallPurpose) -> CallId {
        self.calls.retain(|_, other| *other != target);
        self.next_call = self.next_call.wrapping_add(1);
        self.calls.insert(self.next_call, target);
        CallId(self.next_call)
    }

    pub(super) fn take_call(&mut self, id: CallId) -> Option<CallPurpose> {
        self.calls.remove(&id.0)
    }

    pub(super) fn target(&self, id: CallId) -> Option<CallPurpose> {
        self.calls.get(&id.0).copied()
    }
}
