//! Events in, effects out: the only code that knows all the parts. Deterministic: the same events at the same times give the
//! same effects.
//!
//! - [`Filter::handle_request`]: a request's headers have come; the answer is its return value.
//! - [`Filter::handle_tick`]: time has passed: fetches, deadlines, metrics.
//! - [`Filter::handle_reply`]: a call that an effect asked for has ended.
//! - [`Filter::handle_wake`]: another thread of the process has news.
//! - [`Filter::handle_stream_end`]: a request is over, answered or not.
//! - [`Filter::handle_shutdown`]: this configuration's time is over.

mod fetches;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::base::{
    CallId, Edit, Effect, HttpReply, Jitter, Level, RequestHead, Response, StreamId, Timestamp,
};
use crate::config::Config;
use crate::inbound::{
    Authorizer, Decision, Denial, Evaluation, FilterState, Inbound, MetadataUse, Moment, Observer, Parked,
    Wait, Waiting, Work,
};
use crate::issuer::{KeyBounds, KeyStore, Place};
use crate::jose::{Crypto, Portable};
use crate::policy::Mode;
use crate::sharing::{Group, Process, QueueId};
use crate::telemetry::{Metrics, Reports};

/// One configured filter on one thread.
#[derive(Debug)]
pub struct Filter {
    settings: Rc<Inbound>,
    authorizer: Authorizer,
    stores: Vec<KeyStore>,
    /// The store that may call first at the next tick.
    first_store: usize,
    /// The stores that other threads may have news for.
    to_look_at: BTreeSet<usize>,
    calls: BTreeMap<u32, Target>,
    next_call: u32,
    waiting: Waiting,
    group: Group,
    jitter: Jitter,
    metrics: Metrics,
    reports: Reports,
    last_tick: Timestamp,
}

/// What an event meets: the time, and what the host can do at once.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// The time.
    pub now: Timestamp,
    /// Checks signatures.
    pub crypto: &'a dyn Crypto,
    /// What the threads of the process share.
    pub process: &'a dyn Process,
}

/// Whose document a call fetches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The issuer, by its place in the configuration.
    pub issuer: usize,
    /// Which of its documents.
    pub place: Place,
}

/// A request to decide about, for the first time or after it has waited.
struct Arrival {
    stream: StreamId,
    head: RequestHead,
    at: Timestamp,
    /// The generation of keys that failed it before it waited.
    tried: Option<u64>,
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
    /// A filter that has the keys that its process has. `seed` is random; it keys the hashes of what is remembered, spreads
    /// times, and tells this thread from others.
    pub fn new(config: &Config, seed: [u8; 16], now: Timestamp, process: &dyn Process) -> Self {
        let settings = Rc::clone(&config.inbound);
        let mut jitter = Jitter::new(seed);
        let me = jitter.number();
        let bounds = KeyBounds::for_sources(settings.issuers.iter().flat_map(|issuer| &issuer.keys));
        // Issuers that name one document exclude each other from fetching it just as threads do.
        let mut store = |keys| KeyStore::new(keys, bounds, config.sharing.clone(), jitter.number(), now);
        let stores: Vec<_> = settings.issuers.iter().map(|issuer| store(&issuer.keys)).collect();
        let mut filter = Self {
            authorizer: Authorizer::new(Rc::clone(&settings), seed),
            to_look_at: (0..stores.len()).collect(),
            stores,
            first_store: 0,
            calls: BTreeMap::new(),
            next_call: 0,
            waiting: Waiting::new(settings.waiting, settings.issuers.len()),
            group: Group::new(config.sharing.as_ref().map(|sharing| sharing.group), me),
            jitter,
            metrics: Metrics::new(&settings),
            reports: Reports::default(),
            last_tick: now,
            settings,
        };
        filter.stores.iter_mut().for_each(|store| store.seed(process));
        // Nobody waits yet, and nothing that is worth a line can have happened.
        let world = World { now, crypto: &Portable, process };
        filter.look_at_some(world, &mut Vec::new());
        filter
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

    /// Sends the fetches that are due, answers the requests whose time is up, and hands over the metrics.
    pub fn handle_tick(&mut self, world: World<'_>, effects: &mut Vec<Effect>) {
        let now = world.now;
        let before = core::mem::replace(&mut self.last_tick, now);
        if before.since(now) > CLOCK_TOLERANCE {
            // What was to happen at a time of the old clock might not happen for hours: it all happens now.
            self.stores.iter_mut().for_each(|store| store.handle_clock_step(before, now));
            let all = self.waiting.take_all();
            self.refuse(all, now, effects);
        }
        self.group.handle_tick(world.process, now);
        self.take_news(world, effects);
        self.fetch(world, effects);
        self.resume_ready(world, effects);
        self.call_again(world.process);
        let overdue = self.waiting.take_overdue(now);
        self.refuse(overdue, now, effects);
        self.metrics.flush(&self.stores, self.group.is_speaker(), now, effects);
    }

    /// Another thread says that there is news, or this one that it has work left.
    pub fn handle_wake(&mut self, queue: QueueId, world: World<'_>, effects: &mut Vec<Effect>) {
        if self.group.handle_wake(world.process, queue) {
            self.take_news(world, effects);
            self.resume_ready(world, effects);
            self.call_again(world.process);
        }
    }

    /// There will be no more ticks: answers all that wait, and hands over the metrics for the last time.
    pub fn handle_shutdown(&mut self, world: World<'_>, effects: &mut Vec<Effect>) {
        for store in &mut self.stores {
            store.handle_shutdown(world.now, world.process, &mut self.jitter);
        }
        self.group.leave(world.process);
        let all = self.waiting.take_all();
        self.refuse(all, world.now, effects);
        self.metrics.flush(&self.stores, self.group.is_speaker(), world.now, effects);
    }

    /// Takes what came of a call, and wakes the requests that waited for it.
    pub fn handle_reply(
        &mut self,
        id: CallId,
        reply: HttpReply,
        world: World<'_>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(Target { issuer, place }) = self.calls.remove(&id.0) else { return };
        let Some(store) = self.stores.get_mut(issuer) else { return };
        let Some(report) = store.handle_reply(place, reply, world.now, world.process, &mut self.jitter)
        else {
            return;
        };
        self.take_reports(issuer, vec![report], world, effects);
        self.resume_ready(world, effects);
        self.call_again(world.process);
    }

    /// Whose document a call fetches, while it is under way.
    pub fn target(&self, id: CallId) -> Option<Target> {
        self.calls.get(&id.0).copied()
    }

    /// Forgets a request: it is over.
    pub fn handle_stream_end(&mut self, stream: StreamId) {
        self.waiting.forget(stream);
    }

    /// Whether the host has to look for metadata on Envoy's route.
    pub fn reads_route_metadata(&self) -> bool {
        self.settings.route_metadata != MetadataUse::Ignore
    }

    /// How many requests wait for keys.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How large the body of a reply may be before it is not worth reading.
    pub const MAX_REPLY_BYTES: usize = crate::jose::MAX_KEY_SET_BYTES;

    fn request(
        &mut self,
        stream: StreamId,
        head: RequestHead,
        world: World<'_>,
        observer: &mut (impl Observer + ?Sized),
        effects: &mut Vec<Effect>,
    ) -> Outcome {
        if let Some(response) = self.settings.resource.as_ref().and_then(|resource| resource.serve(&head)) {
            return Outcome::Respond { response, annotation: "outcome=resource_metadata".into() };
        }
        let arrival = Arrival { stream, head, at: world.now, tried: None };
        self.evaluate(arrival, world, observer, effects)
    }

    /// Decides about those for whom keys have come: as many as one callback may take, since each may cost a signature check.
    fn resume_ready(&mut self, world: World<'_>, effects: &mut Vec<Effect>) {
        // Where there is no other callback before the next tick, the longest list still is empty within seconds.
        let share = self.settings.waiting.requests.div_ceil(MAX_RESUMED);
        let most = if self.group.has_queue() { MAX_RESUMED } else { MAX_RESUMED.max(share) };
        for parked in self.waiting.take_ready(most) {
            let stream = parked.stream;
            let tried = Some(parked.wait.generation);
            let arrival = Arrival { stream, head: parked.head, at: parked.arrived, tried };
            let outcome = self.evaluate(arrival, world, &mut (), effects);
            effects.extend(resume(stream, outcome));
        }
    }

    /// Has itself called at once where work is left.
    fn call_again(&self, process: &dyn Process) {
        if self.waiting.has_ready() || !self.to_look_at.is_empty() {
            self.group.call_again(process);
        }
    }

    fn evaluate(
        &mut self,
        arrival: Arrival,
        world: World<'_>,
        observer: &mut (impl Observer + ?Sized),
        effects: &mut Vec<Effect>,
    ) -> Outcome {
        let Arrival { stream, head, at: arrived, tried } = arrival;
        let World { now, crypto, .. } = world;
        let mut moment = Moment { now, arrived, tried, crypto, stores: &mut self.stores };
        let evaluation = self.authorizer.authorize(&head, &mut moment, observer);
        observer.evaluated(&evaluation);
        match evaluation {
            Evaluation::Decided(decision) => self.conclude(&decision, &head, now, effects),
            Evaluation::Wait(wait) => {
                self.metrics.record_work(wait.work);
                let retry_after = self.retry_after(wait, now);
                if self.is_hopeless(wait, arrived) {
                    let denial = Denial::KeysUnavailable { retry_after };
                    return self.conclude(&undecided(wait, denial), &head, now, effects);
                }
                match self.waiting.park(Parked { stream, head, arrived, wait }) {
                    Ok(()) => Outcome::Wait,
                    Err(parked) => {
                        let denial = Denial::WaitingFull { retry_after };
                        self.conclude(&undecided(wait, denial), &parked.head, now, effects)
                    }
                }
            }
        }
    }

    /// Whether a request's time would be up before anybody is asked: it need not wait for that.
    fn is_hopeless(&self, wait: Wait, arrived: Timestamp) -> bool {
        let end = arrived.after(self.waiting.deadline());
        let store = self.stores.get(wait.issuer.place());
        store.is_some_and(|store| !store.is_under_way() && store.next_attempt() >= end)
    }

    /// Counts a decision and turns it into what becomes of the request.
    fn conclude(
        &mut self,
        decision: &Decision,
        head: &RequestHead,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Outcome {
        let annotation = self.metrics.record(decision);
        if let Err(Denial::Internal(why)) = &decision.verdict {
            effects.push(Effect::Log { level: Level::Error, line: format!("internal error: {why}") });
        }
        match &decision.verdict {
            Err(denial) if decision.mode == Mode::Enforce => {
                if let Denial::RouteMetadata(error) = denial {
                    effects.extend(self.reports.fault(error, &annotation, now));
                }
                let mut response = self.settings.refuse(denial);
                if is_grpc(head) && !response.body.is_empty() {
                    // It becomes the grpc-message, which is a text.
                    response.body = denial.to_string();
                }
                Outcome::Respond { response, annotation }
            }
            Err(_) => {
                effects.extend(self.reports.report(&annotation, now));
                Outcome::Forward { edits: self.settings.edits(head, decision), annotation: Some(annotation) }
            }
            Ok(_) => {
                let is_written = self.settings.filter_state == FilterState::All;
                let annotation = is_written.then_some(annotation);
                Outcome::Forward { edits: self.settings.edits(head, decision), annotation }
            }
        }
    }

    fn refuse(&mut self, waited: Vec<Parked>, now: Timestamp, effects: &mut Vec<Effect>) {
        for parked in waited {
            let denial = Denial::KeysUnavailable { retry_after: self.retry_after(parked.wait, now) };
            let outcome = self.conclude(&undecided(parked.wait, denial), &parked.head, now, effects);
            effects.extend(resume(parked.stream, outcome));
        }
    }

    fn retry_after(&self, wait: Wait, now: Timestamp) -> core::time::Duration {
        let store = self.stores.get(wait.issuer.place());
        store.map_or(core::time::Duration::ZERO, |store| store.next_attempt().since(now)).min(MAX_RETRY_AFTER)
    }
}

/// A decision about a request that waited in vain, or could not wait.
fn undecided(wait: Wait, denial: Denial) -> Decision {
    Decision {
        route: Some(wait.route),
        mode: wait.mode,
        issuer: Some(wait.issuer),
        work: Work::default(),
        verdict: Err(denial),
    }
}

fn is_grpc(head: &RequestHead) -> bool {
    head.headers.first("content-type").is_some_and(|value| value.starts_with(b"application/grpc"))
}

fn resume(stream: StreamId, outcome: Outcome) -> Option<Effect> {
    match outcome {
        Outcome::Forward { edits, annotation } => Some(Effect::Forward { stream, edits, annotation }),
        Outcome::Respond { response, annotation } => Some(Effect::Respond { stream, response, annotation }),
        Outcome::Wait => None,
    }
}

/// A caller that is told to come back later than this would be better off not being told.
const MAX_RETRY_AFTER: core::time::Duration = core::time::Duration::from_secs(60);
/// Clocks are slewed by less than this between two ticks; what is more is a step.
const CLOCK_TOLERANCE: core::time::Duration = core::time::Duration::from_secs(1);
/// The most waiting requests, of each list, that one callback decides about: each may cost a signature check, and a worker does
/// nothing else meanwhile.
const MAX_RESUMED: usize = 32;
