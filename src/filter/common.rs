//! What both halves use: the other threads, and what is told to the operator.

use core::time::Duration;
use std::rc::Rc;

use crate::base::{RequestHead, request_id};
use crate::config::Config;
use crate::sharing::{Context, WorkerGroup};
use crate::telemetry::{AuditSettings, Message, Metrics, Reports};

#[derive(Debug)]
pub(super) struct Common {
    pub(super) group: WorkerGroup,
    pub(super) metrics: Metrics,
    pub(super) reports: Reports,
    pub(super) audit: Rc<AuditSettings>,
}

/// The handling of one event.
pub(super) struct Turn<'a, 'c> {
    pub(super) context: &'a mut Context<'c>,
    pub(super) common: &'a mut Common,
}

impl Turn<'_, '_> {
    /// Writes lines to the log.
    pub(super) fn tell<'m>(&mut self, messages: impl IntoIterator<Item = Message<'m>>) {
        self.context.observations.extend(messages.into_iter().map(|message| message.observe()));
    }

    /// Writes a line that requests, or another module, can cause at will: so many each second.
    pub(super) fn tell_limited(&mut self, message: &Message<'_>) {
        let line = self.common.reports.limited(message, self.context.now);
        self.context.observations.extend(line);
    }

    /// The same about a request.
    pub(super) fn tell_limited_about(&mut self, message: &Message<'_>, head: &RequestHead) {
        let line = self.common.reports.limited_about(message, request_id(head), self.context.now);
        self.context.observations.extend(line);
    }
}

impl Common {
    pub(super) fn new(config: &Config, context: &mut Context<'_>) -> Self {
        let group = config.sharing.as_ref().map(|sharing| sharing.group);
        Self {
            group: WorkerGroup::new(group, context.jitter.number()),
            metrics: Metrics::new(config.inbound.as_deref(), &config.plugin, config.version),
            reports: Reports::default(),
            audit: Rc::clone(&config.audit),
        }
    }

    /// An event comes.
    pub(super) fn turn<'a, 'c>(&'a mut self, context: &'a mut Context<'c>) -> Turn<'a, 'c> {
        Turn { context, common: self }
    }

    /// The most waiting requests, of a list of `longest`, that one callback may take on. Where there is no other
    /// callback before the next tick, the longest list still is empty within seconds.
    pub(super) fn resumed_at_once(&self, longest: usize) -> usize {
        if self.group.has_queue() { MAX_RESUMED } else { MAX_RESUMED.max(longest.div_ceil(MAX_RESUMED)) }
    }
}

/// The most waiting requests, of each list, that one callback decides about: each may cost a signature check, and a
/// worker does nothing else meanwhile.
const MAX_RESUMED: usize = 32;
/// A caller that is told to come back later than this would be better off not being told.
pub(super) const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);
