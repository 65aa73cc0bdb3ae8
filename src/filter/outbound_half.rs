//! The outbound half: what leaves with a token of ours, and the tokens that it takes.

use core::time::Duration;
use std::rc::Rc;

use sha2::{Digest as _, Sha256};

use super::shared::Shared;
use super::{CallPurpose, MAX_RETRY_AFTER, Outcome, World, resume, resumed_at_once};
use crate::base::{
    self, Edit, Effect, HttpReply, Needs, RequestHead, Secret, StreamId, Timestamp, WaitingBounds,
    WaitingList,
};
use crate::inbound::Inbound;
use crate::outbound::{
    BreakerChange, EndpointEvent, Injection, Injector, Moment, Outbound, OutboundCall, OutboundEvent,
    Outgoing, Refusal, Subject, SubjectDigest, TokenChange,
};
use crate::sharing::{News, Sharing};
use crate::telemetry::{TokenMetrics, breaker_line, endpoint_line, purge_line, token_line};

#[derive(Debug)]
pub(super) struct OutboundHalf {
    injector: Injector,
    /// Where a caller's token sits, for an exchange.
    inbound: Option<Rc<Inbound>>,
    /// By client.
    waiting: WaitingList<usize, (RequestHead, AdmittedRequest)>,
    longest: usize,
    metrics: TokenMetrics,
}

/// A request that may leave: what there is to know of it, beside its head.
#[derive(Debug)]
pub(super) struct AdmittedRequest {
    pub(super) stream: StreamId,
    /// When it came to this half.
    pub(super) arrived: Timestamp,
    /// What the inbound half changes in its headers.
    pub(super) edits: Vec<Edit>,
    /// What the inbound half decided, for filter state.
    pub(super) annotation: Option<Rc<str>>,
    /// The caller's token was verified, and expires then.
    pub(super) verified_until: Option<Timestamp>,
    /// The caller whose token it waits for.
    pub(super) subject: Option<SubjectDigest>,
}

impl AdmittedRequest {
    /// A request that no inbound half has looked at.
    pub(super) fn plain(stream: StreamId, arrived: Timestamp) -> Self {
        Self { stream, arrived, edits: Vec::new(), annotation: None, verified_until: None, subject: None }
    }

    /// Lets it go on, with more edits.
    pub(super) fn forward(self, more: Vec<Edit>) -> Outcome {
        let mut edits = self.edits;
        edits.extend(more);
        Outcome::Forward { edits, annotation: self.annotation }
    }
}

impl OutboundHalf {
    pub(super) fn new(
        settings: &Rc<Outbound>,
        inbound: Option<Rc<Inbound>>,
        sharing: Option<&Sharing>,
        seed: [u8; 16],
        shared: &mut Shared,
        world: World<'_>,
    ) -> Self {
        let bounds = settings.waiting;
        // While one client's server is down, the others are still waited for.
        let share = if settings.clients.len() > 1 { bounds.requests.div_ceil(2) } else { bounds.requests };
        let bounds = WaitingBounds { requests: bounds.requests, share, deadline: bounds.deadline };
        Self {
            injector: Injector::new(
                Rc::clone(settings),
                sharing,
                seed,
                &mut shared.jitter,
                world.now,
                world.process,
            ),
            inbound,
            waiting: WaitingList::new(bounds),
            longest: bounds.requests,
            metrics: TokenMetrics::new(settings),
        }
    }

    pub(super) fn needs(&self) -> Needs {
        let settings = self.injector.settings();
        Needs {
            route_metadata: settings.reads_route_metadata,
            virtual_host_metadata: settings.reads_route_metadata,
            cluster: true,
            route_name: settings.destinations.names_routes(),
        }
    }

    /// Hands over the metrics.
    pub(super) fn flush(&mut self, is_leader: bool, now: Timestamp, effects: &mut Vec<Effect>) {
        self.metrics.flush(&self.injector, self.waiting.len(), is_leader, now, effects);
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether there is work that need not wait for the next tick.
    pub(super) fn take_work(&mut self) -> bool {
        // Both are asked: an urgency is told once.
        let is_urgent = self.injector.take_urgency();
        self.waiting.has_ready() || is_urgent
    }

    pub(super) fn forget(&mut self, stream: StreamId) {
        self.injector.handle_stream_end(stream);
        if !self.waiting.is_empty() {
            self.waiting.forget(stream);
        }
    }

    pub(super) fn carries_token(&self, stream: StreamId) -> bool {
        self.injector.awaits_response(stream)
    }

    /// Puts a token on a request, if it is to have one. Its head is taken only where it has to wait.
    pub(super) fn request(
        &mut self,
        departing: AdmittedRequest,
        head: &mut RequestHead,
        now: Timestamp,
        shared: &mut Shared,
        effects: &mut Vec<Effect>,
    ) -> Outcome {
        let inbound = self.inbound.as_deref();
        let subject = || {
            let expires = departing.verified_until?;
            let token = Secret::new(inbound?.presented_token(head)?);
            Some(Subject { digest: Sha256::digest(token.expose()).into(), token, expires })
        };
        let AdmittedRequest { stream, edits, .. } = &departing;
        let patience = departing.arrived.after(self.waiting.deadline());
        let outgoing = Outgoing { stream: *stream, head, edits, patience, subject: &subject };
        let injection = self.injector.inject(&outgoing, now);
        match injection {
            Injection::OwnCall(edits) => departing.forward(edits),
            Injection::Passed(edits) => {
                let outcome = if edits.is_empty() { "passed" } else { "stripped" };
                self.metrics.record_injection(None, outcome);
                departing.forward(edits)
            }
            Injection::Kept(client, edits) => {
                self.metrics.record_injection(Some(client), "kept");
                departing.forward(edits)
            }
            Injection::Injected(client, edits) => {
                self.metrics.record_injection(Some(client), "injected");
                departing.forward(edits)
            }
            Injection::Wait(client, subject) => {
                let retry_after = self.retry_after(client, now);
                if self.injector.next_attempt(client, now) >= patience {
                    let refusal = Refusal::TokenUnavailable { retry_after };
                    return self.refuse(Some(client), refusal, now, shared, effects);
                }
                let (stream, arrived, bytes) = (departing.stream, departing.arrived, head.size());
                let item = (core::mem::take(head), AdmittedRequest { subject, ..departing });
                match self.waiting.park(base::Parked { stream, arrived, key: client, bytes, item }) {
                    Ok(()) => Outcome::Wait,
                    Err(_) => {
                        let refusal = Refusal::WaitingFull { retry_after };
                        self.refuse(Some(client), refusal, now, shared, effects)
                    }
                }
            }
            Injection::Refused(client, refusal) => self.refuse(client, refusal, now, shared, effects),
        }
    }

    pub(super) fn handle_response(
        &mut self,
        stream: StreamId,
        status: u16,
        world: World<'_>,
        effects: &mut Vec<Effect>,
    ) {
        if let Some((client, purge)) = self.injector.handle_response(stream, status, world.now) {
            self.metrics.record_purge(client, purge);
            if let Some(client) = self.injector.settings().clients.get(client) {
                effects.extend(purge_line(&client.name, purge));
            }
        }
    }

    pub(super) fn take_news(
        &mut self,
        news: &News,
        world: World<'_>,
        shared: &mut Shared,
        effects: &mut Vec<Effect>,
    ) {
        if *news != News::None {
            let events = self.injector.handle_updates(news, moment(world, shared));
            self.take_events(events, world, shared, effects);
        }
    }

    /// Sends what is due, at most `calls`.
    pub(super) fn obtain(
        &mut self,
        calls: usize,
        world: World<'_>,
        shared: &mut Shared,
        effects: &mut Vec<Effect>,
    ) {
        let (events, made) = self.injector.handle_tick(calls, moment(world, shared));
        for (errand, call) in made {
            let id = shared.call_id(CallPurpose::Outbound(errand));
            effects.push(Effect::Call { id, call });
        }
        self.take_events(events, world, shared, effects);
    }

    pub(super) fn handle_reply(
        &mut self,
        errand: OutboundCall,
        reply: HttpReply,
        world: World<'_>,
        shared: &mut Shared,
        effects: &mut Vec<Effect>,
    ) {
        let event = self.injector.handle_reply(errand, reply, moment(world, shared));
        self.take_events(event.into_iter().collect(), world, shared, effects);
    }

    /// Lets those go on for whom a token has come: as many as one callback may take.
    pub(super) fn resume_ready(&mut self, now: Timestamp, shared: &mut Shared, effects: &mut Vec<Effect>) {
        let most = resumed_at_once(self.longest, &shared.group);
        for parked in self.waiting.take_ready(most) {
            let (mut head, departing) = parked.item;
            let outcome = self.request(departing, &mut head, now, shared, effects);
            effects.extend(resume(parked.stream, outcome));
        }
    }

    pub(super) fn refuse_overdue(&mut self, now: Timestamp, shared: &mut Shared, effects: &mut Vec<Effect>) {
        let overdue = self.waiting.take_overdue(now);
        self.give_up(overdue, now, shared, effects);
    }

    pub(super) fn handle_clock_step(
        &mut self,
        before: Timestamp,
        now: Timestamp,
        shared: &mut Shared,
        effects: &mut Vec<Effect>,
    ) {
        self.injector.handle_clock_step(before, now);
        let all = self.waiting.take_all();
        self.give_up(all, now, shared, effects);
    }

    pub(super) fn handle_shutdown(
        &mut self,
        world: World<'_>,
        shared: &mut Shared,
        effects: &mut Vec<Effect>,
    ) {
        self.injector.handle_shutdown(moment(world, shared));
        let all = self.waiting.take_all();
        self.give_up(all, world.now, shared, effects);
    }

    fn give_up(
        &mut self,
        waited: Vec<base::Parked<usize, (RequestHead, AdmittedRequest)>>,
        now: Timestamp,
        shared: &mut Shared,
        effects: &mut Vec<Effect>,
    ) {
        for parked in waited {
            let refusal = Refusal::TokenUnavailable { retry_after: self.retry_after(parked.key, now) };
            let outcome = self.refuse(Some(parked.key), refusal, now, shared, effects);
            effects.extend(resume(parked.stream, outcome));
        }
    }

    fn refuse(
        &mut self,
        client: Option<usize>,
        refusal: Refusal,
        now: Timestamp,
        shared: &mut Shared,
        effects: &mut Vec<Effect>,
    ) -> Outcome {
        self.metrics.record_injection(client, refusal.label());
        let annotation = self.metrics.annotation(client, refusal.label());
        if refusal.is_operators() {
            effects.extend(shared.reports.egress(refusal, &annotation, now));
        }
        Outcome::Respond { response: refusal.response(), annotation }
    }

    fn retry_after(&self, client: usize, now: Timestamp) -> Duration {
        self.injector.next_attempt(client, now).since(now).min(MAX_RETRY_AFTER)
    }

    /// Tells of what happened, lets others know of what this thread obtained, and wakes those who waited for it.
    fn take_events(
        &mut self,
        events: Vec<OutboundEvent>,
        world: World<'_>,
        shared: &mut Shared,
        effects: &mut Vec<Effect>,
    ) {
        let settings = Rc::clone(self.injector.settings());
        for event in events {
            let (is_new, errand) = match &event {
                OutboundEvent::Token { client, event, subject } => {
                    self.metrics.record_event(*client, event, effects);
                    let name = settings
                        .clients
                        .get(*client)
                        .map(|client| Rc::clone(&client.name))
                        .unwrap_or_default();
                    if let TokenChange::Refused(why) = &event.what {
                        effects.extend(shared.reports.refused("client", &name, *why, world.now));
                    }
                    // All threads see a token expire, and one tells of it.
                    if event.what != TokenChange::Expired || shared.group.is_leader() {
                        effects.extend(token_line(&name, event, subject.is_some()));
                    }
                    if event.breaker != BreakerChange::None {
                        effects.extend(breaker_line(&name, event.breaker));
                    }
                    // Those who wait learn of a failure as well: what they wait for may be too far off now.
                    // What concerns one caller is no news to the others.
                    let is_of_one = match &event.what {
                        TokenChange::Failed(fault) => fault.is_about_subject(),
                        TokenChange::Obtained { .. } | TokenChange::Refused(_) | TokenChange::Expired => true,
                    };
                    let one = subject.as_ref().filter(|_| is_of_one);
                    self.waiting.make_ready(|waiting, (_, departing)| {
                        waiting == client && (one.is_none() || departing.subject.as_ref() == one)
                    });
                    let is_obtained = matches!(event.what, TokenChange::Obtained { is_shared: false, .. });
                    (is_obtained && subject.is_none(), OutboundCall::Token(*client))
                }
                OutboundEvent::Endpoint { endpoint, event } => {
                    let name = settings
                        .endpoints
                        .get(*endpoint)
                        .map(|one| Rc::clone(&one.cluster))
                        .unwrap_or_default();
                    effects.extend(endpoint_line(&name, event));
                    (*event == EndpointEvent::Located, OutboundCall::Metadata(*endpoint))
                }
            };
            if let Some(document) = self.injector.id(errand).filter(|_| is_new) {
                shared.group.spread_news(document, world.process, world.now);
            }
        }
    }
}

fn moment<'a>(world: World<'a>, shared: &'a mut Shared) -> Moment<'a> {
    let World { now, crypto, random, process } = world;
    Moment { now, process, crypto, random, jitter: &mut shared.jitter }
}
