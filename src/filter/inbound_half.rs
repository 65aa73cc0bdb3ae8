//! The inbound half: which requests may pass, and the keys that it takes to know.

use core::time::Duration;
use std::collections::BTreeSet;
use std::rc::Rc;

use super::outbound_half::AdmittedRequest;
use super::shared::Shared;
use super::{CallPurpose, MAX_RETRY_AFTER, Outcome, World, resumed_at_once};
use crate::base::{Effect, HttpReply, Level, Needs, RequestHead, StreamId, Timestamp};
use crate::inbound::{
    Authorizer, Decision, Denial, Evaluation, FilterState, Inbound, MetadataUse, Moment, Observer, Parked,
    TriedKeys, Wait, Waiting, Work,
};
use crate::issuer::{self, IssuerDocument, KeyBounds, KeyStore, Report};
use crate::policy::{IssuerId, Mode};
use crate::sharing::{News, Sharing};
use crate::telemetry::fetch_line;

#[derive(Debug)]
pub(super) struct InboundHalf {
    settings: Rc<Inbound>,
    authorizer: Authorizer,
    stores: Vec<KeyStore>,
    /// The store that may call first at the next tick.
    first_store: usize,
    /// The stores that other threads may have news for.
    to_look_at: BTreeSet<usize>,
    waiting: Waiting,
}

/// A request that has waited for keys.
pub(super) struct Resumed {
    pub(super) stream: StreamId,
    pub(super) head: RequestHead,
    pub(super) passage: InboundVerdict,
}

/// Where a request stands after the gate.
pub(super) enum InboundVerdict {
    /// It may pass.
    Open(AdmittedRequest),
    /// It is answered, or waits.
    Closed(Outcome),
}

/// A request to decide about, for the first time or after it has waited.
#[derive(Clone, Copy)]
struct Arrival {
    stream: StreamId,
    at: Timestamp,
    /// The keys that failed it before it waited.
    tried: Option<TriedKeys>,
}

impl InboundHalf {
    pub(super) fn new(
        settings: &Rc<Inbound>,
        sharing: Option<&Sharing>,
        seed: [u8; 16],
        shared: &mut Shared,
        world: World<'_>,
    ) -> Self {
        let bounds = KeyBounds::for_sources(settings.issuers.iter().flat_map(|issuer| &issuer.keys));
        // Issuers that name one document exclude each other from fetching it just as threads do.
        let mut store =
            |keys| KeyStore::new(keys, bounds, sharing.cloned(), shared.jitter.number(), world.now);
        let stores: Vec<_> = settings.issuers.iter().map(|issuer| store(&issuer.keys)).collect();
        stores.iter().for_each(|store| store.seed(world.process));
        Self {
            authorizer: Authorizer::new(Rc::clone(settings), seed),
            to_look_at: (0..stores.len()).collect(),
            stores,
            first_store: 0,
            waiting: Waiting::new(settings.waiting, settings.issuers.len()),
            settings: Rc::clone(settings),
        }
    }

    pub(super) fn needs(&self) -> Needs {
        let metadata = self.settings.route_metadata;
        Needs {
            route_metadata: metadata != MetadataUse::Ignore,
            virtual_host_metadata: metadata == MetadataUse::Read,
            ..Needs::default()
        }
    }

    pub(super) fn stores(&self) -> &[KeyStore] {
        &self.stores
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn has_work(&self) -> bool {
        self.waiting.has_ready() || !self.to_look_at.is_empty()
    }

    pub(super) fn forget(&mut self, stream: StreamId) {
        self.waiting.forget(stream);
    }

    /// Decides about a request. Its head is taken only where it has to wait.
    pub(super) fn request(
        &mut self,
        stream: StreamId,
        head: &mut RequestHead,
        world: World<'_>,
        observer: &mut (impl Observer + ?Sized),
        shared: &mut Shared,
        effects: &mut Vec<Effect>,
    ) -> InboundVerdict {
        if let Some(response) = self.settings.resource.as_ref().and_then(|resource| resource.serve(head)) {
            let annotation = "outcome=resource_metadata".into();
            return InboundVerdict::Closed(Outcome::Respond { response, annotation });
        }
        let arrival = Arrival { stream, at: world.now, tried: None };
        self.evaluate(arrival, head, world, observer, shared, effects)
    }

    /// Decides about those for whom keys have come: as many as one callback may take.
    pub(super) fn take_ready(
        &mut self,
        world: World<'_>,
        shared: &mut Shared,
        effects: &mut Vec<Effect>,
    ) -> Vec<Resumed> {
        let most = resumed_at_once(self.settings.waiting.requests, &shared.group);
        let ready = self.waiting.take_ready(most).into_iter();
        ready
            .map(|parked| {
                let (stream, (mut head, wait)) = (parked.stream, parked.item);
                let arrival = Arrival { stream, at: parked.arrived, tried: Some(wait.tried) };
                let passage = self.evaluate(arrival, &mut head, world, &mut (), shared, effects);
                Resumed { stream, head, passage }
            })
            .collect()
    }

    /// Decides about those whose time is up.
    pub(super) fn take_overdue(
        &mut self,
        now: Timestamp,
        shared: &mut Shared,
        effects: &mut Vec<Effect>,
    ) -> Vec<Resumed> {
        let overdue = self.waiting.take_overdue(now);
        self.give_up(overdue, now, shared, effects)
    }

    /// The clock has been set back from `before`: nobody's deadline means anything any more.
    pub(super) fn handle_clock_step(
        &mut self,
        before: Timestamp,
        now: Timestamp,
        shared: &mut Shared,
        effects: &mut Vec<Effect>,
    ) -> Vec<Resumed> {
        self.stores.iter_mut().for_each(|store| store.handle_clock_step(before, now));
        let all = self.waiting.take_all();
        self.give_up(all, now, shared, effects)
    }

    pub(super) fn handle_shutdown(
        &mut self,
        world: World<'_>,
        shared: &mut Shared,
        effects: &mut Vec<Effect>,
    ) -> Vec<Resumed> {
        for store in &mut self.stores {
            store.handle_shutdown(&world.of_documents(shared));
        }
        let all = self.waiting.take_all();
        self.give_up(all, world.now, shared, effects)
    }

    /// Looks at what other threads have fetched since the last time.
    pub(super) fn take_news(
        &mut self,
        news: &News,
        world: World<'_>,
        shared: &mut Shared,
        effects: &mut Vec<Effect>,
    ) {
        if *news != News::None {
            let concerns = |store: &KeyStore| store.ids().any(|id| news.concerns(id));
            let places = self.stores.iter().enumerate().filter(|(_, store)| concerns(store));
            self.to_look_at.extend(places.map(|(index, _)| index));
        }
        self.look_at_some(world, shared, effects);
    }

    /// As many as one callback may take, since each may cost the reading of a document.
    pub(super) fn look_at_some(&mut self, world: World<'_>, shared: &mut Shared, effects: &mut Vec<Effect>) {
        for _ in 0..MAX_LOOKS {
            let Some(index) = self.to_look_at.pop_first() else { break };
            let mut reports = Vec::new();
            let Some(store) = self.stores.get_mut(index) else { continue };
            store.handle_updates(&mut world.of_documents(shared), &mut reports);
            self.take_reports(index, reports, world, shared, effects);
        }
    }

    /// Sends what is due, at most `calls`, which is lowered by as many; each store has its turn.
    pub(super) fn fetch(
        &mut self,
        calls: &mut usize,
        world: World<'_>,
        shared: &mut Shared,
        effects: &mut Vec<Effect>,
    ) {
        let first = self.first_store;
        for index in (first..self.stores.len()).chain(0..first) {
            let mut reports = Vec::new();
            let Some(store) = self.stores.get_mut(index) else { continue };
            let could_call = *calls > 0;
            let made = store.handle_tick(calls, &mut world.of_documents(shared), &mut reports);
            if could_call && *calls == 0 {
                self.first_store = index.saturating_add(1);
            }
            for (place, call) in made {
                let id = shared.call_id(CallPurpose::Issuer { issuer: index, place });
                effects.push(Effect::Call { id, call });
            }
            self.take_reports(index, reports, world, shared, effects);
        }
    }

    /// Takes the reply to a fetch; whether it was waited for.
    pub(super) fn handle_reply(
        &mut self,
        issuer: usize,
        place: IssuerDocument,
        reply: HttpReply,
        world: World<'_>,
        shared: &mut Shared,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let Some(store) = self.stores.get_mut(issuer) else { return false };
        let report = store.handle_reply(place, reply, &mut world.of_documents(shared));
        let Some(report) = report else { return false };
        self.take_reports(issuer, vec![report], world, shared, effects);
        true
    }

    /// Tells of what happened to an issuer's documents, and lets others know of what this thread fetched.
    fn take_reports(
        &mut self,
        index: usize,
        reports: Vec<Report>,
        world: World<'_>,
        shared: &mut Shared,
        effects: &mut Vec<Effect>,
    ) {
        use issuer::Outcome;
        let (Some(issuer), Some(settings)) = (IssuerId::at(index), self.settings.issuers.get(index)) else {
            return;
        };
        for report in reports {
            shared.metrics.record_report(Some(issuer), &report);
            let is_new = match &report.outcome {
                Outcome::Changed(_) | Outcome::Unchanged | Outcome::Moved => true,
                Outcome::Confirmed
                | Outcome::Failed(_)
                | Outcome::Elsewhere(_)
                | Outcome::Refused(_)
                | Outcome::Expired => false,
            };
            if is_new {
                self.waiting.make_ready(issuer);
            }
            let document = self.stores.get(index).and_then(|store| store.id(report.place));
            if let Some(document) = document.filter(|_| is_new && !report.is_shared) {
                shared.group.spread_news(document, world.process, world.now);
            }
            if let Outcome::Refused(why) = &report.outcome {
                effects.extend(shared.reports.refused("issuer", &settings.name, *why, world.now));
            }
            // All threads see a document grow too old, and one tells of it.
            if report.outcome != Outcome::Expired || shared.group.is_leader() {
                effects.extend(fetch_line(&settings.name, &report));
            }
        }
    }

    fn evaluate(
        &mut self,
        arrival: Arrival,
        head: &mut RequestHead,
        world: World<'_>,
        observer: &mut (impl Observer + ?Sized),
        shared: &mut Shared,
        effects: &mut Vec<Effect>,
    ) -> InboundVerdict {
        let Arrival { stream, at: arrived, tried } = arrival;
        let World { now, crypto, .. } = world;
        let mut moment = Moment { now, arrived, tried, crypto, stores: &mut self.stores };
        let evaluation = self.authorizer.authorize(head, &mut moment, observer);
        observer.evaluated(&evaluation);
        match evaluation {
            Evaluation::Decided(decision) => self.conclude(stream, &decision, head, now, shared, effects),
            Evaluation::Wait(wait) => {
                shared.metrics.record_work(wait.work);
                let retry_after = self.retry_after(wait, now);
                if self.is_hopeless(wait, arrived) {
                    let denial = Denial::KeysUnavailable { retry_after };
                    return self.conclude(stream, &undecided(wait, denial), head, now, shared, effects);
                }
                match self.waiting.park(stream, core::mem::take(head), arrived, wait) {
                    Ok(()) => InboundVerdict::Closed(Outcome::Wait),
                    Err(parked) => {
                        *head = parked.item.0;
                        let decision = undecided(wait, Denial::WaitingFull { retry_after });
                        self.conclude(stream, &decision, head, now, shared, effects)
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
        &self,
        stream: StreamId,
        decision: &Decision,
        head: &RequestHead,
        now: Timestamp,
        shared: &mut Shared,
        effects: &mut Vec<Effect>,
    ) -> InboundVerdict {
        let annotation = shared.metrics.record(decision);
        if let Err(Denial::Internal(why)) = &decision.verdict {
            effects.push(Effect::Log { level: Level::Error, line: format!("internal error: {why}") });
        }
        let (annotation, verified_until) = match &decision.verdict {
            Err(denial) if decision.mode == Mode::Enforce => {
                if let Denial::RouteMetadata(error) = denial {
                    effects.extend(shared.reports.fault(error, annotation, now));
                }
                let mut response = self.settings.refuse(denial);
                if is_grpc(head) && !response.body.is_empty() {
                    // It becomes the grpc-message, which is a text.
                    response.body = denial.to_string();
                }
                let annotation = Rc::clone(annotation);
                return InboundVerdict::Closed(Outcome::Respond { response, annotation });
            }
            Err(_) => {
                effects.extend(shared.reports.report(annotation, now));
                (Some(Rc::clone(annotation)), None)
            }
            Ok(permit) => {
                let is_written = self.settings.filter_state == FilterState::All;
                let verified_until = permit.token().map(|token| token.expires_at());
                (is_written.then(|| Rc::clone(annotation)), verified_until)
            }
        };
        let edits = self.settings.edits(head, decision);
        InboundVerdict::Open(AdmittedRequest {
            stream,
            arrived: now,
            edits,
            annotation,
            verified_until,
            subject: None,
        })
    }

    fn give_up(
        &self,
        waited: Vec<Parked>,
        now: Timestamp,
        shared: &mut Shared,
        effects: &mut Vec<Effect>,
    ) -> Vec<Resumed> {
        let waited = waited.into_iter().map(|parked| {
            let (stream, (head, wait)) = (parked.stream, parked.item);
            let denial = Denial::KeysUnavailable { retry_after: self.retry_after(wait, now) };
            let passage = self.conclude(stream, &undecided(wait, denial), &head, now, shared, effects);
            Resumed { stream, head, passage }
        });
        waited.collect()
    }

    fn retry_after(&self, wait: Wait, now: Timestamp) -> Duration {
        let store = self.stores.get(wait.issuer.place());
        store.map_or(Duration::ZERO, |store| store.next_attempt().since(now)).min(MAX_RETRY_AFTER)
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

/// The most issuers that one callback reads the documents of: a key set of ten keys takes half a millisecond.
const MAX_LOOKS: usize = 32;
