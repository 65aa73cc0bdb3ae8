//! Events in, commands and observations out: the only code that knows all the parts. Deterministic: the same events at
//! the same times give the same commands.
//!
//! - [`Filter::handle_request`]: a request's headers have come; the answer is its return value.
//! - [`Filter::handle_response`]: the upstream has answered a request that carries a token of ours.
//! - [`Filter::handle_tick`]: time has passed: fetches, deadlines, metrics.
//! - [`Filter::handle_reply`]: a call that a command asked for has ended.
//! - [`Filter::handle_wake`]: another thread of the process has published something.
//! - [`Filter::handle_stream_end`]: a request is over, answered or not.
//! - [`Filter::handle_shutdown`]: this configuration's time is over.
//!
//! A request passes the inbound half, which verifies the caller's token, and then the outbound half, which puts ours on
//! it. Both have the same events; a half that is not configured lets everything pass.

mod admitted;
mod calls;
mod common;
mod inbound_half;
mod outbound_half;
mod streams;
mod unmatched;

use crate::base::{CallId, Command, HttpReply, Needs, Outcome, RequestHead, StreamId, Timestamp};
use crate::config::Config;
use crate::inbound::Observer;
use crate::oauth::{ClientTokens, NoTokens};
use crate::policy::RequestMetadata;
use crate::sharing::{Context, QueueId, Updates};
use admitted::AdmittedRequest;
pub use calls::CallPurpose;
use calls::Calls;
use common::{Common, Turn};
use inbound_half::{InboundHalf, InboundVerdict, Resumed};
use outbound_half::OutboundHalf;

/// One configured filter on one thread.
#[derive(Debug)]
pub struct Filter {
    inbound: Option<InboundHalf>,
    outbound: Option<OutboundHalf>,
    calls: Calls,
    common: Common,
    /// The latest time that any event has come at.
    latest: Timestamp,
}

impl Filter {
    /// A filter that has what its process has. `seed` is random, and keys the hashes of what is remembered.
    pub fn new(config: &Config, seed: [u8; 16], context: &mut Context<'_>) -> Self {
        let mut common = Common::new(config, context);
        let sharing = config.sharing.as_ref();
        let mut inbound =
            config.inbound.as_ref().map(|settings| InboundHalf::new(settings, sharing, seed, context));
        let mut outbound =
            config.outbound.as_ref().map(|settings| OutboundHalf::new(settings, config, seed, context));
        if let Some(inbound) = &mut inbound {
            inbound.handle_updates(&Updates::None, &mut common.turn(context));
        }
        if let Some(outbound) = &mut outbound {
            outbound.handle_updates(&Updates::All, &mut common.turn(context));
        }
        Self { inbound, outbound, calls: Calls::default(), common, latest: context.now }
    }

    /// What of a request the host has to look for.
    pub fn needs(&self) -> Needs {
        let inbound = self.inbound.as_ref().map(InboundHalf::needs).unwrap_or_default();
        let outbound = self.outbound.as_ref().map(OutboundHalf::needs).unwrap_or_default();
        Needs {
            route_metadata: inbound.route_metadata || outbound.route_metadata,
            virtual_host_metadata: inbound.virtual_host_metadata || outbound.virtual_host_metadata,
            ..outbound
        }
    }

    /// Decides about a request; `None` while it waits: a command resumes it. One that has to come with its body is
    /// handed in again when that has come.
    pub fn handle_request(
        &mut self,
        stream: StreamId,
        head: RequestHead,
        context: &mut Context<'_>,
    ) -> Option<Outcome> {
        self.decide(stream, head, &mut (), context)
    }

    /// As [`Filter::handle_request`], and tells `observer` of each check that passes.
    pub fn explain_request(
        &mut self,
        head: RequestHead,
        observer: &mut dyn Observer,
        context: &mut Context<'_>,
    ) -> Option<Outcome> {
        self.decide(StreamId(0), head, observer, context)
    }

    /// Whether a request carries a token of ours, so that its answer matters.
    pub fn carries_token(&self, stream: StreamId) -> bool {
        self.outbound.as_ref().is_some_and(|outbound| outbound.carries_token(stream))
    }

    /// The upstream has answered a request with this status.
    pub fn handle_response(&mut self, stream: StreamId, status: u16, context: &mut Context<'_>) {
        if let Some(outbound) = &mut self.outbound {
            outbound.handle_response(stream, status, context);
            self.note(context.now);
            self.call_again(context);
        }
    }

    /// Ends the streams whose token has expired, sends the calls that are due, answers the requests whose time is up,
    /// and hands over the metrics.
    pub fn handle_tick(&mut self, context: &mut Context<'_>, commands: &mut Vec<Command>) {
        self.end_streams(context.now, commands);
        let before = core::mem::replace(&mut self.latest, context.now);
        if before.since(context.now) > CLOCK_TOLERANCE {
            // What was to happen at a time of the old clock might not happen for hours: it all happens now.
            let of_inbound =
                |half: &mut InboundHalf, turn: &mut Turn<'_, '_>| half.handle_clock_step(before, turn);
            let of_outbound =
                |half: &mut OutboundHalf, turn: &mut Turn<'_, '_>| half.handle_clock_step(before, turn);
            self.resume(&of_inbound, &of_outbound, context, commands);
        }
        self.common.group.handle_tick(context);
        self.handle_updates(context);
        self.calls.refill();
        if let Some(inbound) = &mut self.inbound {
            let mut none = NoTokens;
            let tokens: &mut dyn ClientTokens = match &mut self.outbound {
                Some(outbound) => outbound,
                None => &mut none,
            };
            inbound.handle_tick((&mut self.calls, tokens), &mut self.common.turn(context), commands);
        }
        if let Some(outbound) = &mut self.outbound {
            outbound.handle_tick(&mut self.calls, &mut self.common.turn(context), commands);
        }
        self.resume(&InboundHalf::resume_ready, &OutboundHalf::resume_ready, context, commands);
        self.call_again(context);
        self.resume(&InboundHalf::answer_overdue, &OutboundHalf::answer_overdue, context, commands);
        self.flush(context);
    }

    /// Another thread has published something, or this one has work left.
    pub fn handle_wake(&mut self, queue: QueueId, context: &mut Context<'_>, commands: &mut Vec<Command>) {
        self.note(context.now);
        if self.common.group.handle_wake(queue, context) {
            self.handle_updates(context);
            self.calls.refill();
            // Issuers are asked at ticks only: no request is resumed the sooner for it.
            if let Some(outbound) = &mut self.outbound {
                outbound.handle_tick(&mut self.calls, &mut self.common.turn(context), commands);
            }
            self.resume(&InboundHalf::resume_ready, &OutboundHalf::resume_ready, context, commands);
            self.call_again(context);
        }
    }

    /// There will be no more ticks: answers all that wait, and hands over the metrics for the last time.
    pub fn handle_shutdown(&mut self, context: &mut Context<'_>, commands: &mut Vec<Command>) {
        self.resume(&InboundHalf::handle_shutdown, &OutboundHalf::handle_shutdown, context, commands);
        self.common.group.leave(context);
        self.flush(context);
    }

    /// Takes what came of a call, and resumes the requests that waited for it.
    pub fn handle_reply(
        &mut self,
        id: CallId,
        reply: HttpReply,
        context: &mut Context<'_>,
        commands: &mut Vec<Command>,
    ) {
        self.note(context.now);
        match self.calls.take(id) {
            Some(CallPurpose::Issuer { issuer, document }) => {
                let Some(inbound) = &mut self.inbound else { return };
                let is_refused = matches!(reply, HttpReply::Response { status: 401, .. });
                if let Some((client, sent)) = inbound.sent_credential(issuer, document).filter(|_| is_refused)
                    && let Some(outbound) = &mut self.outbound
                {
                    outbound.handle_refused_fetch(client, sent, context);
                }
                inbound.handle_reply((issuer, document), reply, &mut self.common.turn(context));
            }
            Some(CallPurpose::Outbound(purpose)) => {
                let Some(outbound) = &mut self.outbound else { return };
                outbound.handle_reply(purpose, reply, &mut self.common.turn(context));
            }
            None => return,
        }
        self.resume(&InboundHalf::resume_ready, &OutboundHalf::resume_ready, context, commands);
        self.call_again(context);
    }

    /// What a call is for, while it is under way.
    pub fn purpose(&self, id: CallId) -> Option<CallPurpose> {
        self.calls.purpose(id)
    }

    /// Forgets a request: it is over.
    pub fn handle_stream_end(&mut self, stream: StreamId) {
        if let Some(inbound) = &mut self.inbound {
            inbound.handle_stream_end(stream);
        }
        if let Some(outbound) = &mut self.outbound {
            outbound.handle_stream_end(stream);
        }
    }

    /// How many requests wait, for keys or for tokens.
    pub fn waiting(&self) -> usize {
        let outbound = self.outbound.as_ref().map_or(0, OutboundHalf::waiting);
        self.inbound.as_ref().map_or(0, InboundHalf::waiting).saturating_add(outbound)
    }

    /// How large the body of a reply may be before it is not worth reading.
    pub const MAX_REPLY_BYTES: usize = crate::jose::MAX_KEY_SET_BYTES;

    fn decide(
        &mut self,
        stream: StreamId,
        mut head: RequestHead,
        observer: &mut (impl Observer + ?Sized),
        context: &mut Context<'_>,
    ) -> Option<Outcome> {
        self.note(context.now);
        let verdict = match &mut self.inbound {
            Some(inbound) => {
                inbound.handle_request(stream, &mut head, observer, &mut self.common.turn(context))
            }
            None => {
                let client = RequestMetadata::read(&head).client();
                InboundVerdict::Admitted(AdmittedRequest::unchecked(stream, context.now, client))
            }
        };
        self.hand_over(verdict, &mut head, context)
    }

    /// Takes note of an event's time: what it sets a date by, a step back of the clock makes meaningless.
    fn note(&mut self, now: Timestamp) {
        self.latest = self.latest.max(now);
    }

    /// Hands a request that has passed the inbound half over to the outbound half.
    fn hand_over(
        &mut self,
        verdict: InboundVerdict,
        head: &mut RequestHead,
        context: &mut Context<'_>,
    ) -> Option<Outcome> {
        let admitted = match verdict {
            InboundVerdict::Admitted(admitted) => admitted,
            InboundVerdict::Answered(outcome) => return Some(outcome),
            InboundVerdict::Waits => return None,
            InboundVerdict::NeedsBody(most) => return Some(Outcome::AwaitBody { most }),
        };
        let Some(outbound) = &mut self.outbound else { return Some(admitted.forward(Vec::new())) };
        let outcome = outbound.handle_request(admitted, head, &mut self.common.turn(context));
        if outcome.is_none() {
            self.call_again(context);
        }
        outcome
    }

    /// Ends the streams whose token has expired. What waits in the outbound half waits no more: nothing else may be
    /// commanded about a stream that is reset.
    fn end_streams(&mut self, now: Timestamp, commands: &mut Vec<Command>) {
        let Some(inbound) = &mut self.inbound else { return };
        for (stream, annotation) in inbound.take_expired_streams(now) {
            if let Some(outbound) = &mut self.outbound {
                outbound.handle_stream_end(stream);
            }
            let audit = self.common.audit.of_end();
            commands.push(Command::Reset { stream, annotation, audit });
        }
    }

    /// Goes on with requests that have waited in the one half or the other. Those whose wait for the inbound half is
    /// over are handed over.
    fn resume(
        &mut self,
        of_inbound: &dyn Fn(&mut InboundHalf, &mut Turn<'_, '_>) -> Vec<Resumed>,
        of_outbound: &dyn Fn(&mut OutboundHalf, &mut Turn<'_, '_>) -> Vec<Command>,
        context: &mut Context<'_>,
        commands: &mut Vec<Command>,
    ) {
        let inbound = self.inbound.as_mut();
        let resumed = inbound.map(|inbound| of_inbound(inbound, &mut self.common.turn(context)));
        for Resumed { stream, mut head, verdict } in resumed.into_iter().flatten() {
            let outcome = self.hand_over(verdict, &mut head, context);
            commands.extend(outcome.map(|outcome| Command::Resume { stream, outcome }));
        }
        if let Some(outbound) = &mut self.outbound {
            commands.extend(of_outbound(outbound, &mut self.common.turn(context)));
        }
    }

    fn handle_updates(&mut self, context: &mut Context<'_>) {
        let updates = self.common.group.updates(context);
        if let Some(inbound) = &mut self.inbound {
            inbound.handle_updates(&updates, &mut self.common.turn(context));
        }
        if let Some(outbound) = &mut self.outbound {
            outbound.handle_updates(&updates, &mut self.common.turn(context));
        }
    }

    /// Has itself called at once where work is left.
    fn call_again(&mut self, context: &Context<'_>) {
        let inbound = self.inbound.as_ref().is_some_and(InboundHalf::has_work);
        let outbound = self.outbound.as_mut().is_some_and(OutboundHalf::take_work);
        if inbound || outbound {
            self.common.group.call_again(context);
        }
    }

    fn flush(&mut self, context: &mut Context<'_>) {
        let stores = self.inbound.as_ref().map_or(&[][..], InboundHalf::stores);
        let is_leader = self.common.group.is_leader();
        self.common.metrics.flush(stores, is_leader, context.now, context.observations);
        if let Some(inbound) = &mut self.inbound {
            inbound.flush(context);
        }
        if let Some(outbound) = &mut self.outbound {
            outbound.flush(is_leader, context);
        }
    }
}

/// Clocks are slewed by less than this between two events; what is more is a step.
const CLOCK_TOLERANCE: core::time::Duration = core::time::Duration::from_secs(1);
