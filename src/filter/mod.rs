//! Events in, effects out: the only code that knows all the parts. Deterministic: the same events at the same times give the
//! same effects.
//!
//! - [`Filter::handle_request`]: a request's headers have come; the answer is its return value.
//! - [`Filter::handle_tick`]: time has passed: fetches, deadlines, metrics.
//! - [`Filter::handle_reply`]: a call that an effect asked for has ended.
//! - [`Filter::handle_stream_end`]: a request is over, answered or not.
//! - [`Filter::handle_shutdown`]: this configuration's time is over.

use std::rc::Rc;

use crate::base::{CallId, Edit, Effect, HttpReply, Level, RequestHead, Response, StreamId, Timestamp};
use crate::inbound::{
    Authorizer, Decision, Denial, Evaluation, Inbound, MetadataUse, Moment, Observer, Parked, Wait, Waiting,
    Work,
};
use crate::issuer::{FetchOutcome, KeyStore};
use crate::jose::Crypto;
use crate::policy::{IssuerId, Mode};
use crate::telemetry::{Metrics, Reports, fetch_line};

/// One configured filter on one worker.
#[derive(Debug)]
pub struct Filter {
    settings: Rc<Inbound>,
    authorizer: Authorizer,
    stores: Vec<KeyStore>,
    waiting: Waiting,
    metrics: Metrics,
    reports: Reports,
    last_tick: Timestamp,
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
        /// The decision, for filter state.
        annotation: Rc<str>,
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
    /// A filter that has no keys yet. `seed` is random; it keys the hash of the token cache.
    pub fn new(settings: Rc<Inbound>, seed: [u8; 16], now: Timestamp) -> Self {
        let stores = settings.issuers.iter().map(|issuer| KeyStore::new(issuer.keys.clone(), now)).collect();
        Self {
            authorizer: Authorizer::new(Rc::clone(&settings), seed),
            stores,
            waiting: Waiting::new(settings.waiting, settings.issuers.len()),
            metrics: Metrics::new(&settings),
            reports: Reports::default(),
            last_tick: now,
            settings,
        }
    }

    /// Decides about a request.
    pub fn handle_request(
        &mut self,
        stream: StreamId,
        head: RequestHead,
        now: Timestamp,
        crypto: &dyn Crypto,
        effects: &mut Vec<Effect>,
    ) -> Outcome {
        self.request(stream, head, now, crypto, &mut (), effects)
    }

    /// As [`Filter::handle_request`], and tells `observer` of each check that passes.
    pub fn explain_request(
        &mut self,
        head: RequestHead,
        now: Timestamp,
        crypto: &dyn Crypto,
        observer: &mut dyn Observer,
    ) -> Outcome {
        self.request(StreamId(0), head, now, crypto, observer, &mut Vec::new())
    }

    /// Sends the fetches that are due, answers the requests whose time is up, and hands over the metrics.
    pub fn handle_tick(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let stepped_back = self.last_tick.since(now) > CLOCK_TOLERANCE;
        self.last_tick = now;
        if stepped_back {
            // What was to happen at a time of the old clock might not happen for hours: it all happens now.
            self.stores.iter_mut().for_each(|store| store.handle_clock_step(now));
            let all = self.waiting.take_all();
            self.refuse(all, now, effects);
        }
        for index in 0..self.stores.len() {
            let Some(store) = self.stores.get_mut(index) else { continue };
            let failures = store.failures();
            let (outcome, call) = store.handle_tick(now);
            if let Some(outcome) = outcome {
                self.tell_fetch(index, &outcome, failures, effects);
            }
            if let (Some(call), Ok(id)) = (call, u32::try_from(index)) {
                effects.push(Effect::Call { id: CallId(id), call });
            }
        }
        let overdue = self.waiting.take_overdue(now);
        self.refuse(overdue, now, effects);
        self.metrics.flush(&self.stores, now, effects);
    }

    /// There will be no more ticks: answers all that wait, and hands over the metrics for the last time.
    pub fn handle_shutdown(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let all = self.waiting.take_all();
        self.refuse(all, now, effects);
        self.metrics.flush(&self.stores, now, effects);
    }

    /// Takes what came of a call, and wakes the requests that waited for it.
    pub fn handle_reply(
        &mut self,
        id: CallId,
        reply: HttpReply,
        now: Timestamp,
        crypto: &dyn Crypto,
        effects: &mut Vec<Effect>,
    ) {
        let Ok(index) = usize::try_from(id.0) else { return };
        let Some(store) = self.stores.get_mut(index) else { return };
        let failures = store.failures();
        let Some(outcome) = store.handle_reply(reply, now) else { return };
        self.tell_fetch(index, &outcome, failures, effects);
        if matches!(outcome, FetchOutcome::Failed(_)) {
            return;
        }
        let Some(issuer) = IssuerId::at(index) else { return };
        for parked in self.waiting.take_issuer(issuer) {
            let stream = parked.stream;
            let arrival = Arrival {
                stream,
                head: parked.head,
                at: parked.arrived,
                tried: Some(parked.wait.generation),
            };
            let outcome = self.evaluate(arrival, now, crypto, &mut (), effects);
            effects.extend(resume(stream, outcome));
        }
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
        now: Timestamp,
        crypto: &dyn Crypto,
        observer: &mut dyn Observer,
        effects: &mut Vec<Effect>,
    ) -> Outcome {
        if let Some(response) = self.settings.resource.as_ref().and_then(|resource| resource.serve(&head)) {
            return Outcome::Respond { response, annotation: "outcome=resource_metadata".into() };
        }
        let arrival = Arrival { stream, head, at: now, tried: None };
        self.evaluate(arrival, now, crypto, observer, effects)
    }

    fn evaluate(
        &mut self,
        arrival: Arrival,
        now: Timestamp,
        crypto: &dyn Crypto,
        observer: &mut dyn Observer,
        effects: &mut Vec<Effect>,
    ) -> Outcome {
        let Arrival { stream, head, at: arrived, tried } = arrival;
        let mut moment = Moment { now, arrived, tried, crypto, stores: &mut self.stores };
        let evaluation = self.authorizer.authorize(&head, &mut moment, observer);
        observer.evaluated(&evaluation);
        match evaluation {
            Evaluation::Decided(decision) => self.conclude(&decision, &head, now, effects),
            Evaluation::Wait(wait) => {
                self.metrics.record_work(wait.work);
                match self.waiting.park(Parked { stream, head, arrived, wait }) {
                    Ok(()) => Outcome::Wait,
                    Err(parked) => {
                        let denial = Denial::WaitingFull { retry_after: self.retry_after(wait, now) };
                        self.conclude(&undecided(wait, denial), &parked.head, now, effects)
                    }
                }
            }
        }
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
                Outcome::Forward { edits: self.settings.edits(head, decision), annotation }
            }
            Ok(_) => Outcome::Forward { edits: self.settings.edits(head, decision), annotation },
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

    fn tell_fetch(&mut self, index: usize, outcome: &FetchOutcome, failures: u32, effects: &mut Vec<Effect>) {
        let (Some(issuer), Some(settings)) = (IssuerId::at(index), self.settings.issuers.get(index)) else {
            return;
        };
        self.metrics.record_fetch(issuer, outcome);
        let failed = u32::from(matches!(outcome, FetchOutcome::Failed(_)));
        effects.extend(fetch_line(&settings.name, outcome, failures.saturating_add(failed)));
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
