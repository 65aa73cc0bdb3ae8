//! The streams that end with their token: which are taken on, which have ended, and what is counted of them.

use core::time::Duration;
use std::rc::Rc;

use crate::base::{Observation, StreamId, Timestamp};
use crate::inbound::{self, Decision, Denial, OpenStream, OpenStreams, StreamSettings, StreamsBeyond};
use crate::policy::{Mode, StreamEnd};
use crate::telemetry::StreamMetrics;

#[derive(Debug)]
pub(super) struct Streams {
    open: OpenStreams,
    beyond: StreamsBeyond,
    metrics: StreamMetrics,
}

impl Streams {
    pub(super) fn new(settings: &inbound::Settings, bounds: StreamSettings) -> Self {
        Self { open: OpenStreams::new(bounds), beyond: bounds.beyond, metrics: StreamMetrics::new(settings) }
    }

    /// Takes on the stream of a request that is permitted for its token, where it is to end with that. Where there is
    /// no room for it, it is denied, unless the operator would rather have it outlive its token.
    pub(super) fn open(&mut self, stream: StreamId, decision: &mut Decision, settings: &inbound::Settings) {
        let Some(token) = decision.verdict.as_ref().ok().and_then(|permit| permit.token()) else { return };
        let (Some(id), Some(issuer)) = (decision.route, decision.issuer) else { return };
        let Some(route) = settings.routes.route(id) else { return };
        if route.stream_end != StreamEnd::AtExpiry {
            return;
        }
        let mode = settings.mode_once_signed(route, issuer);
        let open = OpenStream { route: id, issuer, mode };
        if self.open.open(stream, token.expires_at(), open).is_ok() {
            return;
        }
        match (self.beyond, mode) {
            (StreamsBeyond::Deny, Mode::Enforce) => {
                decision.revoke(Denial::StreamsFull { retry_after: RETRY_AFTER });
            }
            // A report of what is not the caller's fault would take its claims' headers from the request.
            (StreamsBeyond::Deny, Mode::ReportOnly) | (StreamsBeyond::Forward, _) => {
                self.metrics.record_unlimited(open);
            }
        }
    }

    pub(super) fn handle_stream_end(&mut self, stream: StreamId) {
        self.open.close(stream);
    }

    /// Takes off those whose token has expired, as many as one callback may end, and returns those that are to be
    /// ended, each with what an access log shows of it.
    pub(super) fn take_expired(&mut self, now: Timestamp) -> Vec<(StreamId, Rc<str>)> {
        let mut ended = Vec::new();
        for _ in 0..self.open.ended_at_once() {
            let Some((stream, open)) = self.open.take_due(now) else { break };
            let annotation = self.metrics.record_end(open);
            if open.mode == Mode::Enforce {
                ended.push((stream, Rc::clone(annotation)));
            }
        }
        ended
    }

    pub(super) fn clear(&mut self) {
        self.open.clear();
    }

    /// Hands over the metrics.
    pub(super) fn flush(&mut self, observations: &mut Vec<Observation>) {
        self.metrics.flush(self.open.len(), observations);
    }
}

/// Streams end all the time.
const RETRY_AFTER: Duration = Duration::from_secs(1);
