//! The inbound half: which requests may pass, and the keys that it takes to know.

use core::time::Duration;
use std::collections::BTreeSet;
use std::rc::Rc;

use super::admitted::{AdmittedRequest, AdmittedToken};
use super::calls::{CallPurpose, Calls};
use super::common::{MAX_RETRY_AFTER, Turn};
use super::streams::Streams;
use crate::base::{Command, HttpReply, Needs, Outcome, RequestHead, Secret, StreamId, Timestamp, request_id};
use crate::inbound::{
    self, Authorizer, Decision, Denial, Evaluation, FilterState, MetadataUse, Observer, Request, Wait,
    WaitReason, WaitingLists, WaitingRequest,
};
use crate::issuer::{IssuerDocument, IssuerEvent, KeyBounds, KeyStore};
use crate::oauth::{ClientTokens, DocumentEvent, FetchClient, FetchOutcome};
use crate::policy::{IssuerId, Mode, RequestMetadata, RouteId};
use crate::sharing::{Context, Sharing, Updates};
use crate::telemetry::{InboundAudit, Message, Owner, fetch_line};

#[derive(Debug)]
pub(super) struct InboundHalf {
    settings: Rc<inbound::Settings>,
    authorizer: Authorizer,
    stores: Vec<KeyStore>,
    /// The store that may call first at the next tick.
    first_store: usize,
    /// The stores whose documents other threads have published.
    outdated: BTreeSet<usize>,
    waiting: WaitingLists,
    /// Where some streams end with their token.
    streams: Option<Box<Streams>>,
}

/// A request that has waited for keys.
pub(super) struct Resumed {
    pub(super) stream: StreamId,
    pub(super) head: RequestHead,
    pub(super) verdict: InboundVerdict,
}

/// What the inbound half makes of a request.
pub(super) enum InboundVerdict {
    /// It may pass.
    Admitted(AdmittedRequest),
    /// It is answered.
    Answered(Outcome),
    /// It waits for keys.
    Waits,
    /// It waits for its body.
    NeedsBody(usize),
}

/// A request to decide about, for the first time or after it has waited.
#[derive(Clone, Copy)]
struct Pending {
    stream: StreamId,
    arrived: Timestamp,
    waited_for: Option<WaitReason>,
    route: Option<RouteId>,
}

impl InboundHalf {
    pub(super) fn new(
        settings: &Rc<inbound::Settings>,
        sharing: Option<&Sharing>,
        seed: [u8; 16],
        context: &mut Context<'_>,
    ) -> Self {
        let bounds = KeyBounds::for_sources(settings.issuers.iter().flat_map(|issuer| &issuer.keys));
        // Issuers that name one document exclude each other from fetching it just as threads do.
        let mut store =
            |keys| KeyStore::new(keys, bounds, sharing.cloned(), context.jitter.number(), context.now);
        let stores: Vec<_> = settings.issuers.iter().map(|issuer| store(&issuer.keys)).collect();
        stores.iter().for_each(|store| store.seed(context));
        Self {
            authorizer: Authorizer::new(Rc::clone(settings), seed),
            outdated: (0..stores.len()).collect(),
            stores,
            first_store: 0,
            waiting: WaitingLists::new(settings.waiting, settings.issuers.len()),
            streams: settings.streams.map(|bounds| Box::new(Streams::new(settings, bounds))),
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
        self.waiting.has_ready() || !self.outdated.is_empty()
    }

    pub(super) fn handle_stream_end(&mut self, stream: StreamId) {
        self.waiting.forget(stream);
        if let Some(streams) = &mut self.streams {
            streams.handle_stream_end(stream);
        }
    }

    /// Takes off the streams whose token has expired, as many as one callback may end, each with what an access log
    /// shows of it.
    pub(super) fn take_expired_streams(&mut self, now: Timestamp) -> Vec<(StreamId, Rc<str>)> {
        self.streams.as_mut().map(|streams| streams.take_expired(now)).unwrap_or_default()
    }

    /// Hands over the metrics of its own.
    pub(super) fn flush(&mut self, context: &mut Context<'_>) {
        if let Some(streams) = &mut self.streams {
            streams.flush(context.observations);
        }
    }

    /// Decides about a request. Its head is taken only where it has to wait.
    pub(super) fn handle_request(
        &mut self,
        stream: StreamId,
        head: &mut RequestHead,
        observer: &mut (impl Observer + ?Sized),
        turn: &mut Turn<'_, '_>,
    ) -> InboundVerdict {
        if let Some(response) = self.settings.resource.as_ref().and_then(|resource| resource.serve(head)) {
            let annotation = "outcome=resource_metadata".into();
            let (facts, audit) = (Vec::new(), turn.common.audit.of_resource_metadata(head));
            return InboundVerdict::Answered(Outcome::Respond { response, annotation, facts, audit });
        }
        let pending = Pending { stream, arrived: turn.context.now, waited_for: None, route: None };
        self.evaluate(pending, head, observer, turn)
    }

    /// Decides about the requests whose keys have come: as many as one callback may take.
    pub(super) fn resume_ready(&mut self, turn: &mut Turn<'_, '_>) -> Vec<Resumed> {
        let most = turn.common.resumed_at_once(self.settings.waiting.requests);
        let ready = self.waiting.take_ready(most).into_iter();
        ready
            .map(|parked| {
                let (stream, (mut head, wait)) = (parked.stream, parked.item);
                let (arrived, waited_for) = (parked.arrived, Some(wait.reason));
                let pending = Pending { stream, arrived, waited_for, route: Some(wait.route) };
                let verdict = self.evaluate(pending, &mut head, &mut (), turn);
                Resumed { stream, head, verdict }
            })
            .collect()
    }

    /// Decides about the requests whose time is up.
    pub(super) fn answer_overdue(&mut self, turn: &mut Turn<'_, '_>) -> Vec<Resumed> {
        let overdue = self.waiting.take_overdue(turn.context.now);
        self.give_up(overdue, turn)
    }

    /// The clock has been set back from `before`: no deadline of a waiting request means anything any more.
    pub(super) fn handle_clock_step(&mut self, before: Timestamp, turn: &mut Turn<'_, '_>) -> Vec<Resumed> {
        self.stores.iter_mut().for_each(|store| store.handle_clock_step(before, turn.context.now));
        let all = self.waiting.take_all();
        self.give_up(all, turn)
    }

    pub(super) fn handle_shutdown(&mut self, turn: &mut Turn<'_, '_>) -> Vec<Resumed> {
        self.stores.iter_mut().for_each(|store| store.handle_shutdown(turn.context));
        if let Some(streams) = &mut self.streams {
            streams.clear();
        }
        let all = self.waiting.take_all();
        self.give_up(all, turn)
    }

    /// Takes over what other threads have published: as many documents as one callback may read.
    pub(super) fn handle_updates(&mut self, updates: &Updates, turn: &mut Turn<'_, '_>) {
        if *updates != Updates::None {
            let concerns = |store: &KeyStore| store.ids().any(|id| updates.contains(id));
            let stores = self.stores.iter().enumerate().filter(|(_, store)| concerns(store));
            self.outdated.extend(stores.map(|(index, _)| index));
        }
        for _ in 0..MAX_UPDATED {
            let Some(index) = self.outdated.pop_first() else { break };
            let Some(store) = self.stores.get_mut(index) else { continue };
            let events = store.handle_updates(turn.context);
            self.take_events(index, events, turn);
        }
    }

    /// Sends the calls that are due, as many as there may be; each store has its turn.
    pub(super) fn handle_tick(
        &mut self,
        (calls, tokens): (&mut Calls, &mut dyn ClientTokens),
        turn: &mut Turn<'_, '_>,
        commands: &mut Vec<Command>,
    ) {
        let first = self.first_store;
        for index in (first..self.stores.len()).chain(0..first) {
            let Some(store) = self.stores.get_mut(index) else { continue };
            let could_call = !calls.budget.is_spent();
            let (events, made) = store.handle_tick((&mut calls.budget, tokens), turn.context);
            if could_call && calls.budget.is_spent() {
                self.first_store = index.saturating_add(1);
            }
            for (document, call) in made {
                calls.send(CallPurpose::Issuer { issuer: index, document }, call, commands);
            }
            self.take_events(index, events, turn);
        }
    }

    /// The client whose token the fetch of a document carries, and the header's value as it was sent.
    pub(super) fn sent_credential(
        &self,
        issuer: usize,
        document: IssuerDocument,
    ) -> Option<(&FetchClient, &Secret)> {
        self.stores.get(issuer)?.sent_credential(document)
    }

    /// Takes the reply to a fetch.
    pub(super) fn handle_reply(
        &mut self,
        (issuer, document): (usize, IssuerDocument),
        reply: HttpReply,
        turn: &mut Turn<'_, '_>,
    ) {
        let Some(store) = self.stores.get_mut(issuer) else { return };
        let event = store.handle_reply(document, reply, turn.context);
        self.take_events(issuer, event.into_iter().collect(), turn);
    }

    /// Tells of what happened to an issuer's documents, and lets others know of what this thread fetched.
    fn take_events(&mut self, index: usize, events: Vec<IssuerEvent>, turn: &mut Turn<'_, '_>) {
        let (Some(issuer), Some(settings)) = (IssuerId::at(index), self.settings.issuers.get(index)) else {
            return;
        };
        for event in events {
            turn.common.metrics.record_fetch(issuer, &event);
            let IssuerEvent { document, event: DocumentEvent { is_shared, outcome, .. } } = &event;
            if matches!(outcome, FetchOutcome::Changed(_) | FetchOutcome::Unchanged) {
                self.waiting.make_ready(issuer);
                let id = self.stores.get(index).and_then(|store| store.id(*document));
                if let Some(id) = id.filter(|_| !is_shared) {
                    turn.common.group.publish_update(id, turn.context);
                }
            }
            let owner = Owner::Issuer(&settings.name);
            if let &FetchOutcome::Rejected(why) = outcome {
                let message = Message::SharedRefused { owner, why };
                turn.tell_limited(&message);
            }
            // All threads see a document grow too old, and one tells of it.
            if *outcome != FetchOutcome::Expired || turn.common.group.is_leader() {
                let store = self.stores.get(index);
                let call = store.and_then(|store| store.summary(*document, turn.context.now));
                let message = call.as_ref().and_then(|call| fetch_line(owner, &event, call));
                turn.tell(message);
            }
        }
    }

    fn evaluate(
        &mut self,
        pending: Pending,
        head: &mut RequestHead,
        observer: &mut (impl Observer + ?Sized),
        turn: &mut Turn<'_, '_>,
    ) -> InboundVerdict {
        let Pending { stream, arrived, waited_for, route } = pending;
        let metadata = RequestMetadata::read(head);
        let request = Request { head, metadata: &metadata, arrived, waited_for, route };
        let evaluation = self.authorizer.authorize(&request, &mut self.stores, turn.context, observer);
        observer.evaluated(&evaluation);
        match evaluation {
            Evaluation::Decided(mut decision) => {
                if let Some(streams) = &mut self.streams {
                    streams.open(stream, &mut decision, &self.settings);
                }
                self.conclude(stream, &mut decision, &request, turn)
            }
            Evaluation::NeedsBody(most) => InboundVerdict::NeedsBody(most),
            Evaluation::Wait(wait) => {
                turn.common.metrics.record_work(wait.work);
                let retry_after = self.retry_after(wait, turn.context.now);
                if self.is_hopeless(wait, arrived) {
                    let denial = Denial::KeysUnavailable { retry_after };
                    let mut decision = Decision::without_keys(wait, waited_for, denial);
                    return self.conclude(stream, &mut decision, &request, turn);
                }
                // What it says has been read, and the host has it still.
                head.body = None;
                match self.waiting.park(stream, core::mem::take(head), arrived, wait) {
                    Ok(()) => InboundVerdict::Waits,
                    Err(parked) => {
                        *head = parked.item.0;
                        let request = Request { head, metadata: &metadata, arrived, waited_for, route };
                        let denial = Denial::WaitingFull { retry_after };
                        let mut decision = Decision::without_keys(wait, waited_for, denial);
                        self.conclude(stream, &mut decision, &request, turn)
                    }
                }
            }
        }
    }

    /// Whether a request's time would be up before the issuer is asked again: it need not wait for that.
    fn is_hopeless(&self, wait: Wait, arrived: Timestamp) -> bool {
        let end = arrived.after(self.waiting.deadline());
        let store = self.stores.get(wait.issuer.place());
        store.is_some_and(|store| !store.is_under_way() && store.next_attempt() >= end)
    }

    /// Times and counts a decision, and turns it into what becomes of the request.
    fn conclude(
        &self,
        stream: StreamId,
        decision: &mut Decision,
        request: &Request<'_>,
        turn: &mut Turn<'_, '_>,
    ) -> InboundVerdict {
        let (now, head) = (turn.context.now, request.head);
        let metrics = &mut turn.common.metrics;
        decision.work.taken = metrics.time(decision.work, request.arrived, turn.context.stopwatch);
        let decision = &*decision;
        let annotation = metrics.record(decision);
        let told = (&**annotation, head);
        turn.common.reports.record(decision, told, now, turn.context.observations);
        let facts = self.settings.facts(decision);
        let audit = InboundAudit { settings: &self.settings, stores: &self.stores, request, decision };
        let audit = turn.common.audit.of_decision(&audit);
        let (annotation, token) = match &decision.verdict {
            Err(denial) if decision.mode == Mode::Enforce => {
                let mut response = self.settings.denial_response(denial, request_id(head));
                if is_grpc(head) && !response.body.is_empty() {
                    // It becomes the grpc-message, which is a text.
                    response.body = denial.to_string();
                }
                let annotation = Rc::clone(annotation);
                return InboundVerdict::Answered(Outcome::Respond { response, annotation, facts, audit });
            }
            Err(_) => (Some(Rc::clone(annotation)), None),
            Ok(permit) => {
                let is_written = self.settings.filter_state == FilterState::All;
                let token = permit.token().zip(permit.token_place());
                let token = token.map(|(token, place)| AdmittedToken { place, expires: token.expires_at() });
                (is_written.then(|| Rc::clone(annotation)), token)
            }
        };
        let edits = self.settings.edits(head, decision);
        InboundVerdict::Admitted(AdmittedRequest {
            stream,
            arrived: now,
            edits,
            annotation,
            facts,
            audit,
            client: request.metadata.client(),
            token,
        })
    }

    fn give_up(&self, waited: Vec<WaitingRequest>, turn: &mut Turn<'_, '_>) -> Vec<Resumed> {
        let waited = waited.into_iter().map(|parked| {
            let (stream, (head, wait)) = (parked.stream, parked.item);
            let denial = Denial::KeysUnavailable { retry_after: self.retry_after(wait, turn.context.now) };
            let (arrived, waited_for) = (parked.arrived, Some(wait.reason));
            let metadata = RequestMetadata::read(&head);
            let route = Some(wait.route);
            let request = Request { head: &head, metadata: &metadata, arrived, waited_for, route };
            let mut decision = Decision::without_keys(wait, waited_for, denial);
            let verdict = self.conclude(stream, &mut decision, &request, turn);
            Resumed { stream, head, verdict }
        });
        waited.collect()
    }

    fn retry_after(&self, wait: Wait, now: Timestamp) -> Duration {
        let store = self.stores.get(wait.issuer.place());
        store.map_or(Duration::ZERO, |store| store.next_attempt().since(now)).min(MAX_RETRY_AFTER)
    }
}

fn is_grpc(head: &RequestHead) -> bool {
    head.headers.first("content-type").is_some_and(|value| value.starts_with(b"application/grpc"))
}

/// The most issuers that one callback reads the documents of: a key set of ten keys takes half a millisecond.
const MAX_UPDATED: usize = 32;
