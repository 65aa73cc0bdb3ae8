//! The outbound half: what leaves with a token of ours, and the tokens that it takes.

use core::time::Duration;
use std::rc::Rc;

use sha2::{Digest as _, Sha256};

use super::admitted::{AdmittedRequest, AdmittedToken};
use super::calls::{CallPurpose, Calls};
use super::common::{MAX_RETRY_AFTER, Turn};
use super::unmatched::UnmatchedAuthorities;
use crate::base::{
    self, AuditEntry, Command, HttpReply, Needs, Outcome, RequestHead, Secret, StreamId, Timestamp,
    WaitingList,
};
use crate::config::Config;
use crate::inbound;
use crate::oauth::{ClientTokens, Credential, FetchClient, FetchOutcome};
use crate::outbound::{
    self, ClientId, EgressDenial, InjectedToken, Injection, InjectionOutcome, Injector, OutboundCall,
    OutboundEvent, Outgoing, Purge, Subject, SubjectDigest, TokenChange,
};
use crate::sharing::{Context, Updates};
use crate::telemetry::{
    Message, OutboundAudit, Owner, TokenMetrics, TokenRecords, breaker_line, endpoint_line, token_line,
};

#[derive(Debug)]
pub(super) struct OutboundHalf {
    injector: Injector,
    /// Where a caller's token sits, for an exchange.
    inbound: Option<Rc<inbound::Settings>>,
    /// By client.
    waiting: WaitingList<ClientId, WaitingRequest>,
    longest: usize,
    metrics: TokenMetrics,
    records: TokenRecords,
    unmatched: UnmatchedAuthorities,
}

/// A request that waits for a token.
#[derive(Debug)]
struct WaitingRequest {
    head: RequestHead,
    admitted: AdmittedRequest,
    /// The caller, where the token is an exchanged one.
    subject: Option<SubjectDigest>,
}

impl ClientTokens for OutboundHalf {
    fn credential(&mut self, client: &FetchClient, now: Timestamp) -> Option<Credential> {
        let settings = Rc::clone(self.injector.settings());
        let id = *settings.names.get(&client.name)?;
        let token = self.injector.lend(id, now)?;
        let value = Secret::new(token.header_value().as_bytes());
        Some((Rc::clone(&settings.client(id)?.header), value))
    }
}

impl OutboundHalf {
    pub(super) fn new(
        settings: &Rc<outbound::Settings>,
        config: &Config,
        seed: [u8; 16],
        context: &mut Context<'_>,
    ) -> Self {
        Self {
            injector: Injector::new(Rc::clone(settings), config.sharing.as_ref(), seed, context),
            inbound: config.inbound.clone(),
            waiting: WaitingList::new(settings.waiting, settings.clients.len()),
            longest: settings.waiting.requests,
            metrics: TokenMetrics::new(settings),
            records: TokenRecords::new(&config.audit),
            unmatched: UnmatchedAuthorities::default(),
        }
    }

    pub(super) fn needs(&self) -> Needs {
        let settings = self.injector.settings();
        if settings.destinations.is_empty() {
            return Needs::default();
        }
        Needs {
            route_metadata: settings.reads_route_metadata,
            virtual_host_metadata: settings.reads_route_metadata,
            cluster: true,
            route_name: settings.destinations.names_routes(),
        }
    }

    /// Hands over the metrics.
    pub(super) fn flush(&mut self, is_leader: bool, context: &mut Context<'_>) {
        let waiting = self.waiting.len();
        self.metrics.flush(&self.injector, waiting, is_leader, context.now, context.observations);
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

    pub(super) fn handle_stream_end(&mut self, stream: StreamId) {
        self.injector.handle_stream_end(stream);
        if !self.waiting.is_empty() {
            self.waiting.forget(stream);
        }
    }

    pub(super) fn carries_token(&self, stream: StreamId) -> bool {
        self.injector.awaits_response(stream)
    }

    /// Puts a token on a request, if it is to have one; `None` where it waits. Its head is taken only then.
    pub(super) fn handle_request(
        &mut self,
        mut admitted: AdmittedRequest,
        head: &mut RequestHead,
        turn: &mut Turn<'_, '_>,
    ) -> Option<Outcome> {
        if self.injector.settings().destinations.is_empty() {
            // Its clients are for fetches only.
            return Some(admitted.forward(Vec::new()));
        }
        let now = turn.context.now;
        let inbound = self.inbound.as_deref();
        let subject = || {
            let AdmittedToken { place, expires } = admitted.token?;
            let token = Secret::new(inbound?.token_at(place, head)?);
            Some(Subject { digest: Sha256::digest(token.expose()).into(), token, expires })
        };
        let AdmittedRequest { stream, edits, client, .. } = &admitted;
        let patience = admitted.arrived.after(self.waiting.deadline());
        let outgoing = Outgoing { stream: *stream, head, client, edits, patience, subject: &subject };
        let mut token = None;
        let (client, outcome, edits) = match self.injector.inject(&outgoing, now) {
            Injection::OwnCall(edits) => {
                turn.common.audit.add_outbound(&mut admitted.audit, &OutboundAudit::default());
                return Some(admitted.forward(edits));
            }
            Injection::Passed(edits) if edits.is_empty() => (None, InjectionOutcome::Passed, edits),
            Injection::Passed(edits) => (None, InjectionOutcome::Stripped, edits),
            Injection::Kept(client, edits) => (Some(client), InjectionOutcome::Kept, edits),
            Injection::Injected(client, edits, injected) => {
                token = Some(injected);
                (Some(client), InjectionOutcome::Injected, edits)
            }
            Injection::Wait(client, subject) => {
                let retry_after = self.retry_after(client, now);
                if self.injector.next_attempt(client, now) >= patience {
                    let denial = EgressDenial::TokenUnavailable { retry_after };
                    return Some(self.deny((admitted, head), Some(client), denial, turn));
                }
                let (stream, arrived) = (admitted.stream, admitted.arrived);
                let bytes = head.size().saturating_add(admitted.audit_size());
                let item = WaitingRequest { head: core::mem::take(head), admitted, subject };
                return match self.waiting.park(base::Parked { stream, arrived, key: client, bytes, item }) {
                    Ok(()) => None,
                    Err(parked) => {
                        let denial = EgressDenial::WaitingFull { retry_after };
                        let WaitingRequest { head, admitted, .. } = parked.item;
                        Some(self.deny((admitted, &head), Some(client), denial, turn))
                    }
                };
            }
            Injection::Denied(client, denial) => {
                if denial == EgressDenial::Unmatched {
                    self.tell_unmatched(head, false, turn);
                }
                return Some(self.deny((admitted, head), client, denial, turn));
            }
        };
        if client.is_none() {
            self.tell_unmatched(head, true, turn);
        }
        self.metrics.record_injection(client, outcome);
        self.audit(&mut admitted.audit, (client, head), (outcome, token), turn);
        Some(admitted.forward(edits))
    }

    /// Fills in what the audit record says of this half.
    fn audit(
        &self,
        record: &mut Vec<AuditEntry>,
        (client, head): (Option<ClientId>, &RequestHead),
        (outcome, token): (InjectionOutcome, Option<InjectedToken>),
        turn: &Turn<'_, '_>,
    ) {
        let settings = self.injector.settings();
        let cluster = head.cluster.as_deref().unwrap_or_default();
        let audit = OutboundAudit {
            outcome: Some(outcome),
            client: client.and_then(|client| settings.client(client)).map(|client| &client.name),
            destination: client.and_then(|client| settings.destinations.cluster_of(client, cluster)),
            token,
        };
        turn.common.audit.add_outbound(record, &audit);
    }

    fn tell_unmatched(&mut self, head: &RequestHead, is_passed: bool, turn: &mut Turn<'_, '_>) {
        self.unmatched.record(head, is_passed, |message| turn.tell([message]));
    }

    pub(super) fn handle_response(&mut self, stream: StreamId, status: u16, context: &mut Context<'_>) {
        if let Some((client, purge)) = self.injector.handle_response(stream, status, context.now) {
            self.tell_purge(client, purge, context);
        }
    }

    /// An issuer's server has answered 401 to a fetch that carried a token of this client: `sent`, the header's value.
    pub(super) fn handle_refused_fetch(
        &mut self,
        client: &FetchClient,
        sent: &Secret,
        context: &mut Context<'_>,
    ) {
        let Some(client) = self.injector.settings().names.get(&client.name).copied() else { return };
        if let Some(purge) = self.injector.handle_refused_call(client, sent, context.now) {
            self.tell_purge(client, purge, context);
        }
    }

    fn tell_purge(&mut self, client: ClientId, purge: Purge, context: &mut Context<'_>) {
        self.metrics.record_purge(client, purge);
        let settings = Rc::clone(self.injector.settings());
        if let Some(named) = settings.client(client) {
            // One that stays is no record, and may come as often as requests do.
            if purge == Purge::Purged {
                let call = self.injector.summary(client, context.now);
                self.records.record_purge((named, &call), context.now, context.observations);
            }
            context.observations.push(Message::Purged(Owner::Client(&named.name), purge).observe());
        }
    }

    /// Takes over what other threads have published.
    pub(super) fn handle_updates(&mut self, updates: &Updates, turn: &mut Turn<'_, '_>) {
        if *updates != Updates::None {
            let events = self.injector.handle_updates(updates, turn.context);
            self.take_events(events, turn);
            self.wake_restored();
        }
    }

    /// Sends the calls that are due, as many as there may be.
    pub(super) fn handle_tick(
        &mut self,
        calls: &mut Calls,
        turn: &mut Turn<'_, '_>,
        commands: &mut Vec<Command>,
    ) {
        self.unmatched.handle_tick();
        let (events, made) = self.injector.handle_tick(&mut calls.budget, turn.context);
        for (purpose, call) in made {
            calls.send(CallPurpose::Outbound(purpose), call, commands);
        }
        self.take_events(events, turn);
        self.wake_restored();
    }

    /// Those who wait for a client's next token go on with the old one where that is used again.
    fn wake_restored(&mut self) {
        for client in self.injector.take_restored() {
            self.waiting.make_ready(|waiting, _| *waiting == client);
        }
    }

    /// Takes the reply to a call.
    pub(super) fn handle_reply(&mut self, purpose: OutboundCall, reply: HttpReply, turn: &mut Turn<'_, '_>) {
        let event = self.injector.handle_reply(purpose, reply, turn.context);
        self.take_events(event.into_iter().collect(), turn);
    }

    /// Decides about the requests whose token has come: as many as one callback may take.
    pub(super) fn resume_ready(&mut self, turn: &mut Turn<'_, '_>) -> Vec<Command> {
        let ready = self.waiting.take_ready(turn.common.resumed_at_once(self.longest)).into_iter();
        ready
            .filter_map(|parked| {
                let WaitingRequest { mut head, admitted, .. } = parked.item;
                let outcome = self.handle_request(admitted, &mut head, turn)?;
                Some(Command::Resume { stream: parked.stream, outcome })
            })
            .collect()
    }

    /// Answers the requests whose time is up.
    pub(super) fn answer_overdue(&mut self, turn: &mut Turn<'_, '_>) -> Vec<Command> {
        let overdue = self.waiting.take_overdue(turn.context.now);
        self.give_up(overdue, turn)
    }

    /// The clock has been set back from `before`: no deadline of a waiting request means anything any more.
    pub(super) fn handle_clock_step(&mut self, before: Timestamp, turn: &mut Turn<'_, '_>) -> Vec<Command> {
        self.injector.handle_clock_step(before, turn.context.now);
        let all = self.waiting.take_all();
        self.give_up(all, turn)
    }

    pub(super) fn handle_shutdown(&mut self, turn: &mut Turn<'_, '_>) -> Vec<Command> {
        self.injector.handle_shutdown(turn.context);
        let all = self.waiting.take_all();
        self.give_up(all, turn)
    }

    fn give_up(
        &mut self,
        waited: Vec<base::Parked<ClientId, WaitingRequest>>,
        turn: &mut Turn<'_, '_>,
    ) -> Vec<Command> {
        let waited = waited.into_iter().map(|parked| {
            let retry_after = self.retry_after(parked.key, turn.context.now);
            let denial = EgressDenial::TokenUnavailable { retry_after };
            let WaitingRequest { head, admitted, .. } = parked.item;
            let outcome = self.deny((admitted, &head), Some(parked.key), denial, turn);
            Command::Resume { stream: parked.stream, outcome }
        });
        waited.collect()
    }

    fn deny(
        &mut self,
        (admitted, head): (AdmittedRequest, &RequestHead),
        client: Option<ClientId>,
        denial: EgressDenial,
        turn: &mut Turn<'_, '_>,
    ) -> Outcome {
        let mut audit = admitted.audit;
        self.audit(&mut audit, (client, head), (InjectionOutcome::Denied(denial), None), turn);
        self.metrics.record_injection(client, InjectionOutcome::Denied(denial));
        let annotation = self.metrics.annotation(client, denial);
        if denial.is_operators_fault() {
            let message = Message::EgressDenied(denial, &annotation);
            turn.tell_limited_about(&message, head);
        }
        Outcome::Respond { response: denial.response(), annotation, facts: Vec::new(), audit }
    }

    fn retry_after(&self, client: ClientId, now: Timestamp) -> Duration {
        self.injector.next_attempt(client, now).since(now).min(MAX_RETRY_AFTER)
    }

    /// Tells of what happened, lets others know of what this thread obtained, and wakes those who waited for it.
    fn take_events(&mut self, events: Vec<OutboundEvent>, turn: &mut Turn<'_, '_>) {
        let settings = Rc::clone(self.injector.settings());
        for event in events {
            match &event {
                OutboundEvent::Token { client, event, subject } => {
                    self.metrics.record_event(*client, event, subject.is_some(), turn.context.observations);
                    let name =
                        settings.client(*client).map(|client| Rc::clone(&client.name)).unwrap_or_default();
                    let owner = Owner::Client(&name);
                    if let TokenChange::Rejected(why) = event.change {
                        let message = Message::SharedRefused { owner, why };
                        turn.tell_limited(&message);
                    }
                    let call = self.injector.summary(*client, turn.context.now);
                    if let Some(client) = settings.client(*client) {
                        let about = (&**client, &call);
                        self.records.record_event(about, event, turn.context.now, turn.context.observations);
                    }
                    // All threads see a token expire, and one tells of it.
                    let is_told = event.change != TokenChange::Expired || turn.common.group.is_leader();
                    let line = token_line(owner, event, subject.is_some(), &call).filter(|_| is_told);
                    let messages = line.into_iter().chain(breaker_line(owner, event.breaker, &call));
                    turn.tell(messages);
                    // Those who wait learn of a failure as well: what they wait for may be too far off now.
                    // What concerns one caller resumes no others.
                    let is_of_one = match &event.change {
                        TokenChange::Failed(fault) => fault.is_about_subject(),
                        TokenChange::Obtained { .. } | TokenChange::Rejected(_) | TokenChange::Expired => {
                            true
                        }
                    };
                    let one = subject.as_ref().filter(|_| is_of_one);
                    self.waiting.make_ready(|waiting, request| {
                        waiting == client && (one.is_none() || request.subject.as_ref() == one)
                    });
                }
                OutboundEvent::Endpoint { endpoint, event } => {
                    let clients: Vec<_> = settings.clients_of(*endpoint).collect();
                    clients.iter().for_each(|(client, _)| self.metrics.record_metadata(*client, event));
                    let names: Vec<_> =
                        clients.into_iter().map(|(_, client)| Rc::clone(&client.name)).collect();
                    let owner = Owner::Clients(&names);
                    if let FetchOutcome::Rejected(why) = event.outcome {
                        let message = Message::SharedRefused { owner, why };
                        turn.tell_limited(&message);
                    }
                    let call = self.injector.metadata_summary(*endpoint, turn.context.now);
                    // All threads see metadata grow too old, and one tells of it.
                    let is_told = event.outcome != FetchOutcome::Expired || turn.common.group.is_leader();
                    let message = call.as_ref().and_then(|call| endpoint_line(owner, event, call));
                    let message = message.filter(|_| is_told);
                    turn.tell(message);
                }
            }
            for document in self.injector.updates_of(&event) {
                turn.common.group.publish_update(document, turn.context);
            }
        }
    }
}
