//! Events in, effects out: the only code that knows all the parts. Deterministic: the same events at the same times give the
//! same effects.
//!
//! - [`Filter::handle_request`]: a request's headers have come; the answer is its return value.
//! - [`Filter::handle_response`]: the upstream has answered a request that carries a token of ours.
//! - [`Filter::handle_tick`]: time has passed: fetches, deadlines, metrics.
//! - [`Filter::handle_reply`]: a call that an effect asked for has ended.
//! - [`Filter::handle_wake`]: another thread of the process has news.
//! - [`Filter::handle_stream_end`]: a request is over, answered or not.
//! - [`Filter::handle_shutdown`]: this configuration's time is over.
//!
//! A request passes the inbound half (`gate`), which verifies the caller's token, and then the outbound half (`departure`), which
//! puts ours on it; a half that is not configured lets everything pass.

mod inbound_half;
mod outbound_half;
mod shared;

use std::rc::Rc;

use crate::base::{
    CallId, Edit, Effect, HttpReply, Needs, Random, RequestHead, Response, StreamId, Timestamp,
};
use crate::config::Config;
use crate::inbound::Observer;
use crate::issuer::IssuerDocument;
use crate::jose::Crypto;
use crate::oauth;
use crate::outbound::OutboundCall;
use crate::sharing::{News, QueueId, SharedState, WorkerGroup};
use inbound_half::{InboundHalf, InboundVerdict, Resumed};
use outbound_half::{AdmittedRequest, OutboundHalf};
use shared::Shared;

/// One configured filter on one thread.
#[derive(Debug)]
pub struct Filter {
    gate: Option<InboundHalf>,
    departures: Option<OutboundHalf>,
    shared: Shared,
    /// The latest time that any event has come at.
    latest: Timestamp,
}

/// What an event meets: the time, and what the host can do at once.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// The time.
    pub now: Timestamp,
    /// Checks and makes signatures.
    pub crypto: &'a dyn Crypto,
    /// Makes what must not be guessed.
    pub random: &'a dyn Random,
    /// What the threads of the process share.
    pub process: &'a dyn SharedState,
}

impl<'a> World<'a> {
    fn of_documents(self, shared: &'a mut Shared) -> oauth::Surroundings<'a> {
        let Self { now, random, process, .. } = self;
        oauth::Surroundings { now, process, random, jitter: &mut shared.jitter }
    }
}

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallPurpose {
    /// A document of an issuer's.
    Issuer {
        /// The issuer, by its place in the configuration.
        issuer: usize,
        /// Which of its documents.
        place: IssuerDocument,
    },
    /// A token of ours, or where to ask for one.
    Outbound(OutboundCall),
}

/// What is to become of a request now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It goes on.
    Forward {
        /// What changes in its headers first.
        edits: Vec<Edit>,
        /// The decision, for filter state, if it is to be written there.
        annotation: Option<Rc<str>>,
    },
    /// It is answered here.
    Respond {
        /// The answer.
        response: Response,
        /// The decision, for filter state.
        annotation: Rc<str>,
    },
    /// It waits: an effect will let it go on or answer it.
    Wait,
}

impl Filter {
    /// A filter that has what its process has. `seed` is random; it keys the hashes of what is remembered, spreads times, and tells
    /// this thread from others.
    pub fn new(config: &Config, seed: [u8; 16], world: World<'_>) -> Self {
        let mut shared = Shared::new(config, seed);
        let gate = config.inbound.as_ref();
        let gate = gate
            .map(|settings| InboundHalf::new(settings, config.sharing.as_ref(), seed, &mut shared, world));
        let departures = config.outbound.as_ref().map(|settings| {
            let inbound = config.inbound.clone();
            OutboundHalf::new(settings, inbound, config.sharing.as_ref(), seed, &mut shared, world)
        });
        let mut filter = Self { gate, departures, shared, latest: world.now };
        // Nobody waits yet, and nothing that is worth a line can have happened.
        let mut effects = Vec::new();
        if let Some(gate) = &mut filter.gate {
            gate.look_at_some(world, &mut filter.shared, &mut effects);
        }
        if let Some(departures) = &mut filter.departures {
            departures.take_news(&News::All, world, &mut filter.shared, &mut effects);
        }
        filter
    }

    /// What of a request the host has to look for.
    pub fn needs(&self) -> Needs {
        let gate = self.gate.as_ref().map(InboundHalf::needs).unwrap_or_default();
        let departures = self.departures.as_ref().map(OutboundHalf::needs).unwrap_or_default();
        Needs {
            route_metadata: gate.route_metadata || departures.route_metadata,
            virtual_host_metadata: gate.virtual_host_metadata || departures.virtual_host_metadata,
            ..departures
        }
    }

    /// Decides about a request.
    pub fn handle_request(
        &mut self,
        stream: StreamId,
        head: RequestHead,
        world: World<'_>,
        effects: &mut Vec<Effect>,
    ) -> Outcome {
        self.request(stream, head, world, &mut (), effects)
    }

    /// As [`Filter::handle_request`], and tells `observer` of each check that passes.
    pub fn explain_request(
        &mut self,
        head: RequestHead,
        world: World<'_>,
        observer: &mut dyn Observer,
    ) -> Outcome {
        self.request(StreamId(0), head, world, observer, &mut Vec::new())
    }

    /// Whether a request carries a token of ours, so that its answer matters.
    pub fn carries_token(&self, stream: StreamId) -> bool {
        self.departures.as_ref().is_some_and(|departures| departures.carries_token(stream))
    }

    /// The upstream has answered a request with this status.
    pub fn handle_response(
        &mut self,
        stream: StreamId,
        status: u16,
        world: World<'_>,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(departures) = &mut self.departures {
            departures.handle_response(stream, status, world, effects);
            self.note(world.now);
            self.call_again(world.process);
        }
    }

    /// Sends the calls that are due, answers the requests whose time is up, and hands over the metrics.
    pub fn handle_tick(&mut self, world: World<'_>, effects: &mut Vec<Effect>) {
        let now = world.now;
        let before = core::mem::replace(&mut self.latest, now);
        if before.since(now) > CLOCK_TOLERANCE {
            // What was to happen at a time of the old clock might not happen for hours: it all happens now.
            if let Some(gate) = &mut self.gate {
                let waited = gate.handle_clock_step(before, now, &mut self.shared, effects);
                self.depart_all(waited, world, effects);
            }
            if let Some(departures) = &mut self.departures {
                departures.handle_clock_step(before, now, &mut self.shared, effects);
            }
        }
        self.shared.group.handle_tick(world.process, now);
        self.take_news(world, effects);
        let mut calls = MAX_CALLS_PER_TICK;
        if let Some(gate) = &mut self.gate {
            gate.fetch(&mut calls, world, &mut self.shared, effects);
        }
        self.obtain(calls, world, effects);
        self.resume_ready(world, effects);
        self.call_again(world.process);
        if let Some(gate) = &mut self.gate {
            let waited = gate.take_overdue(now, &mut self.shared, effects);
            self.depart_all(waited, world, effects);
        }
        if let Some(departures) = &mut self.departures {
            departures.refuse_overdue(now, &mut self.shared, effects);
        }
        self.flush(now, effects);
    }

    /// Another thread says that there is news, or this one that it has work left.
    pub fn handle_wake(&mut self, queue: QueueId, world: World<'_>, effects: &mut Vec<Effect>) {
        self.note(world.now);
        if self.shared.group.handle_wake(world.process, queue) {
            self.take_news(world, effects);
            self.obtain(MAX_CALLS_PER_TICK, world, effects);
            self.resume_ready(world, effects);
            self.call_again(world.process);
        }
    }

    /// There will be no more ticks: answers all that wait, and hands over the metrics for the last time.
    pub fn handle_shutdown(&mut self, world: World<'_>, effects: &mut Vec<Effect>) {
        if let Some(gate) = &mut self.gate {
            let waited = gate.handle_shutdown(world, &mut self.shared, effects);
            self.depart_all(waited, world, effects);
        }
        if let Some(departures) = &mut self.departures {
            departures.handle_shutdown(world, &mut self.shared, effects);
        }
        self.shared.group.leave(world.process);
        self.flush(world.now, effects);
    }

    /// Takes what came of a call, and wakes the requests that waited for it.
    pub fn handle_reply(
        &mut self,
        id: CallId,
        reply: HttpReply,
        world: World<'_>,
        effects: &mut Vec<Effect>,
    ) {
        self.note(world.now);
        match self.shared.take_call(id) {
            Some(CallPurpose::Issuer { issuer, place }) => {
                let Some(gate) = &mut self.gate else { return };
                if !gate.handle_reply(issuer, place, reply, world, &mut self.shared, effects) {
                    return;
                }
            }
            Some(CallPurpose::Outbound(errand)) => {
                let Some(departures) = &mut self.departures else { return };
                departures.handle_reply(errand, reply, world, &mut self.shared, effects);
            }
            None => return,
        }
        self.resume_ready(world, effects);
        self.call_again(world.process);
    }

    /// What a call is for, while it is under way.
    pub fn target(&self, id: CallId) -> Option<CallPurpose> {
        self.shared.target(id)
    }

    /// Forgets a request: it is over.
    pub fn handle_stream_end(&mut self, stream: StreamId) {
        if let Some(gate) = &mut self.gate {
            gate.forget(stream);
        }
        if let Some(departures) = &mut self.departures {
            departures.forget(stream);
        }
    }

    /// How many requests wait, for keys or for tokens.
    pub fn waiting(&self) -> usize {
        let departures = self.departures.as_ref().map_or(0, OutboundHalf::waiting);
        self.gate.as_ref().map_or(0, InboundHalf::waiting).saturating_add(departures)
    }

    /// How large the body of a reply may be before it is not worth reading.
    pub const MAX_REPLY_BYTES: usize = crate::jose::MAX_KEY_SET_BYTES;

    fn request(
        &mut self,
        stream: StreamId,
        mut head: RequestHead,
        world: World<'_>,
        observer: &mut (impl Observer + ?Sized),
        effects: &mut Vec<Effect>,
    ) -> Outcome {
        self.note(world.now);
        let passage = match &mut self.gate {
            Some(gate) => gate.request(stream, &mut head, world, observer, &mut self.shared, effects),
            None => InboundVerdict::Open(AdmittedRequest::plain(stream, world.now)),
        };
        self.depart(passage, &mut head, world, effects)
    }

    /// Takes note of an event's time: what it sets a date by, a step back of the clock makes meaningless.
    fn note(&mut self, now: Timestamp) {
        self.latest = self.latest.max(now);
    }

    /// Hands a request that has passed the gate on to the outbound half.
    fn depart(
        &mut self,
        passage: InboundVerdict,
        head: &mut RequestHead,
        world: World<'_>,
        effects: &mut Vec<Effect>,
    ) -> Outcome {
        let departing = match passage {
            InboundVerdict::Open(departing) => departing,
            InboundVerdict::Closed(outcome) => return outcome,
        };
        let Some(departures) = &mut self.departures else { return departing.forward(Vec::new()) };
        let outcome = departures.request(departing, head, world.now, &mut self.shared, effects);
        if outcome == Outcome::Wait {
            self.call_again(world.process);
        }
        outcome
    }

    fn depart_all(&mut self, waited: Vec<Resumed>, world: World<'_>, effects: &mut Vec<Effect>) {
        for Resumed { stream, mut head, passage } in waited {
            let outcome = self.depart(passage, &mut head, world, effects);
            effects.extend(resume(stream, outcome));
        }
    }

    fn take_news(&mut self, world: World<'_>, effects: &mut Vec<Effect>) {
        let news = self.shared.group.news(world.process);
        if let Some(gate) = &mut self.gate {
            gate.take_news(&news, world, &mut self.shared, effects);
        }
        if let Some(departures) = &mut self.departures {
            departures.take_news(&news, world, &mut self.shared, effects);
        }
    }

    fn obtain(&mut self, calls: usize, world: World<'_>, effects: &mut Vec<Effect>) {
        if let Some(departures) = &mut self.departures {
            departures.obtain(calls, world, &mut self.shared, effects);
        }
    }

    fn resume_ready(&mut self, world: World<'_>, effects: &mut Vec<Effect>) {
        if let Some(gate) = &mut self.gate {
            let waited = gate.take_ready(world, &mut self.shared, effects);
            self.depart_all(waited, world, effects);
        }
        if let Some(departures) = &mut self.departures {
            departures.resume_ready(world.now, &mut self.shared, effects);
        }
    }

    /// Has itself called at once where work is left.
    fn call_again(&mut self, process: &dyn SharedState) {
        let gate = self.gate.as_ref().is_some_and(InboundHalf::has_work);
        let departures = self.departures.as_mut().is_some_and(OutboundHalf::take_work);
        if gate || departures {
            self.shared.group.call_again(process);
        }
    }

    fn flush(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let stores = self.gate.as_ref().map_or(&[][..], InboundHalf::stores);
        let is_leader = self.shared.group.is_leader();
        self.shared.metrics.flush(stores, is_leader, now, effects);
        if let Some(departures) = &mut self.departures {
            departures.flush(is_leader, now, effects);
        }
    }
}

fn resume(stream: StreamId, outcome: Outcome) -> Option<Effect> {
    match outcome {
        Outcome::Forward { edits, annotation } => Some(Effect::Forward { stream, edits, annotation }),
        Outcome::Respond { response, annotation } => Some(Effect::Respond { stream, response, annotation }),
        Outcome::Wait => None,
    }
}

/// The most waiting requests that one callback may take on: each may cost a signature check, and a worker does nothing else meanwhile.
/// Where there is no other callback before the next tick, the longest list still is empty within seconds.
fn resumed_at_once(longest: usize, group: &WorkerGroup) -> usize {
    if group.has_queue() { MAX_RESUMED } else { MAX_RESUMED.max(longest.div_ceil(MAX_RESUMED)) }
}

/// A caller that is told to come back later than this would be better off not being told.
const MAX_RETRY_AFTER: core::time::Duration = core::time::Duration::from_secs(60);
/// Clocks are slewed by less than this between two events; what is more is a step.
const CLOCK_TOLERANCE: core::time::Duration = core::time::Duration::from_secs(1);
/// The most waiting requests, of each list, that one callback decides about: each may cost a signature check, and a worker does
/// nothing else meanwhile.
const MAX_RESUMED: usize = 32;
/// The most calls that one tick makes: with a thousand issuers, all are asked within seconds, and none of it at once.
const MAX_CALLS_PER_TICK: usize = 32;
