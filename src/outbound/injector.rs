//! All clients at work: their tokens, the endpoints that they ask, and what each request gets of it.

mod lending;
mod summary;
mod updates;

use core::time::Duration;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use rustc_hash::FxBuildHasher;

use super::denial::EgressDenial;
use super::destination::{CallerCredential, Destination};
use super::egress::{Entitlement, entitlement};
use super::endpoint::{EndpointState, StoreTurn};
use super::exchange_store::{ExchangeBounds, ExchangeStore, Exchanged, MAX_KNOWN_EXCHANGED_TOKENS};
use super::ids::{ClientId, EndpointId};
use super::injection::{InjectedToken, Injection, OutboundCall, OutboundEvent, Outgoing};
use super::issued_token::MAX_ACCESS_TOKEN_BYTES;
use super::settings::{Client, Settings};
use super::subject::SubjectDigest;
use super::token::{Fingerprint, IssuedTokens, MAX_KNOWN_TOKENS};
use super::token_store::TokenStore;
use super::unauthorized::{Purge, UnauthorizedReport};
use crate::base::{CallBudget, Edit, HttpCall, HttpReply, NameFilter, StreamId, Timestamp};
use crate::oauth::LOST_AFTER;
use crate::sharing::{Context, Sharing, SingleFlight};

/// The outbound half of a filter on one thread.
#[derive(Debug)]
pub struct Injector {
    settings: Rc<Settings>,
    endpoints: Vec<EndpointState>,
    stores: Vec<Store>,
    issued: IssuedTokens,
    /// The headers that take tokens, each once, and a filter of their names.
    headers: HashSet<Rc<str>>,
    names: NameFilter,
    /// The requests that carry a token of ours, until they are answered.
    injected: HashMap<StreamId, Injected, FxBuildHasher>,
    /// The client that may call first at the next tick.
    first: usize,
    /// A request waits for a call that can be made at once.
    is_urgent: bool,
}

#[derive(Debug)]
enum Store {
    Own(Box<TokenStore>),
    Exchange(Box<ExchangeStore>),
}

#[derive(Clone, Copy, Debug)]
struct Injected {
    client: ClientId,
    token: Fingerprint,
    subject: Option<SubjectDigest>,
}

impl Injector {
    /// Clients that hold nothing but what the process has. `seed` is random.
    pub fn new(
        settings: Rc<Settings>,
        sharing: Option<&Sharing>,
        seed: [u8; 16],
        context: &mut Context<'_>,
    ) -> Self {
        let now = context.now;
        let exchanges = settings.clients.iter().filter(|client| client.exchanges()).count();
        let own = settings.clients.len().saturating_sub(exchanges);
        let share = |all: usize, parts: usize| all.checked_div(parts).unwrap_or(all);
        let token_bytes = share(MAX_TOKENS_BYTES, own).min(MAX_ACCESS_TOKEN_BYTES);
        let exchange_bounds = ExchangeBounds {
            bytes: share(MAX_EXCHANGED_BYTES, exchanges),
            pending_bytes: share(MAX_PENDING_BYTES, exchanges),
            known: share(MAX_KNOWN_EXCHANGED_TOKENS, exchanges).max(MAX_KNOWN_TOKENS),
        };
        // What all threads may know is only what the configuration says they may.
        let token_sharing = sharing.filter(|sharing| sharing.shares_tokens());
        let endpoints: Vec<_> = settings
            .endpoints
            .iter()
            .map(|endpoint| {
                let me = context.jitter.number();
                EndpointState::new(endpoint, settings.breaker, sharing, me, now)
            })
            .collect();
        let stores: Vec<_> = settings
            .clients
            .iter()
            .map(|client| {
                if client.exchanges() {
                    return Store::Exchange(Box::new(ExchangeStore::new(
                        Rc::clone(client),
                        exchange_bounds,
                        now,
                    )));
                }
                let me = context.jitter.number();
                let flight = flight(client, &settings, token_sharing, me);
                Store::Own(Box::new(TokenStore::new(Rc::clone(client), flight, token_bytes, now)))
            })
            .collect();
        endpoints.iter().for_each(|endpoint| endpoint.seed(context));
        stores.iter().for_each(|store| {
            if let Store::Own(store) = store {
                store.seed(context);
            }
        });
        let headers: HashSet<_> = settings.clients.iter().map(|client| Rc::clone(&client.header)).collect();
        let names = headers.iter().fold(NameFilter::default(), |names, name| names.with(name));
        Self {
            settings,
            endpoints,
            stores,
            issued: IssuedTokens::new(seed),
            headers,
            names,
            injected: HashMap::default(),
            first: 0,
            is_urgent: false,
        }
    }

    /// What it is configured to do.
    pub fn settings(&self) -> &Rc<Settings> {
        &self.settings
    }

    /// What becomes of a request.
    pub fn inject(&mut self, request: &Outgoing<'_>, now: Timestamp) -> Injection {
        let settings = Rc::clone(&self.settings);
        match entitlement(&settings, request.head, request.client) {
            Err((client, denial)) => Injection::Denied(client, denial),
            Ok(Entitlement::OwnCall) => Injection::OwnCall(self.removals(request, None)),
            Ok(Entitlement::Nothing) => Injection::Passed(self.removals(request, None)),
            Ok(Entitlement::Token(destination)) => self.inject_into(request, destination, now),
        }
    }

    fn inject_into(
        &mut self,
        request: &Outgoing<'_>,
        destination: &Destination,
        now: Timestamp,
    ) -> Injection {
        let index = destination.client;
        let Some(client) = self.settings.client(index).map(Rc::clone) else {
            return Injection::Denied(None, EgressDenial::ClientUnknown);
        };
        if request.head.headers.is_hop_by_hop(&client.header) {
            return Injection::Denied(Some(index), EgressDenial::HeaderHopByHop);
        }
        // A token of ours that is there already is an earlier attempt's, or came along by a redirect: never the
        // caller's.
        let mut is_retry = false;
        let is_callers = |value: &[u8]| {
            let is_ours = self.issued.is_ours(&client.header, value);
            is_retry |= is_ours;
            !is_ours
        };
        if request.values(&client.header).any(is_callers) {
            match destination.caller_credential {
                CallerCredential::Replace => {}
                CallerCredential::Keep => return Injection::Kept(index, self.removals(request, None)),
                CallerCredential::Deny => {
                    return Injection::Denied(Some(index), EgressDenial::CallerCredential);
                }
            }
        }
        let endpoint = self.endpoints.get(client.endpoint.0);
        let soonest = |own: Timestamp| own.max(endpoint.map_or(now, |endpoint| endpoint.next_attempt(now)));
        let (token, subject) = match self.stores.get_mut(index.0) {
            Some(Store::Own(store)) => {
                store.want();
                match store.token(now) {
                    Some(token) => (token.clone(), None),
                    None => {
                        self.is_urgent |= !store.is_under_way() && soonest(store.next_attempt()) <= now;
                        return Injection::Wait(index, None);
                    }
                }
            }
            Some(Store::Exchange(store)) => {
                let Some(subject) = (request.subject)() else {
                    return Injection::Denied(Some(index), EgressDenial::SubjectMissing);
                };
                let may_wait = soonest(store.next_attempt()) < request.patience;
                match store.get(&subject, may_wait, &mut self.issued, now) {
                    Exchanged::Token(token) => (token, Some(subject.digest)),
                    Exchanged::Wait => {
                        let is_under_way = store.is_under_way(&subject.digest);
                        self.is_urgent |= !is_under_way && soonest(store.next_attempt()) <= now;
                        return Injection::Wait(index, Some(subject.digest));
                    }
                    Exchanged::Refused => {
                        return Injection::Denied(Some(index), EgressDenial::SubjectRefused);
                    }
                    Exchanged::Full => {
                        let retry_after = Duration::from_secs(1);
                        return Injection::Denied(Some(index), EgressDenial::WaitingFull { retry_after });
                    }
                }
            }
            None => return Injection::Denied(Some(index), EgressDenial::ClientUnknown),
        };
        let mut edits = self.removals(request, Some(&client.header));
        edits.push(Edit::Set(Rc::clone(&client.header), Rc::clone(token.header_value())));
        let injected = Injected { client: index, token: token.fingerprint(), subject };
        self.injected.insert(request.stream, injected);
        Injection::Injected(index, edits, InjectedToken { age: now.since(token.sent), is_retry })
    }

    /// Takes our tokens out of all headers but one.
    fn removals(&self, request: &Outgoing<'_>, but: Option<&Rc<str>>) -> Vec<Edit> {
        let edited = request.edits.iter().map(Edit::name);
        let there = request.head.headers.fields(self.names).filter_map(|(name, _)| str::from_utf8(name).ok());
        let mut names: Vec<&Rc<str>> =
            edited.chain(there).filter_map(|name| self.headers.get(name)).collect();
        names.sort_unstable();
        names.dedup();
        let others = names.into_iter().filter(|name| Some(*name) != but);
        others
            .filter(|name| request.values(name).any(|value| self.issued.is_ours(name, value)))
            .map(|name| Edit::Remove(Rc::clone(name)))
            .collect()
    }

    /// An upstream has answered a request.
    pub fn handle_response(
        &mut self,
        stream: StreamId,
        status: u16,
        now: Timestamp,
    ) -> Option<(ClientId, Purge)> {
        let injected = self.injected.remove(&stream).filter(|_| status == 401)?;
        Some((injected.client, self.handle_unauthorized(injected, now)?))
    }

    fn handle_unauthorized(&mut self, injected: Injected, now: Timestamp) -> Option<Purge> {
        let Injected { client, token, subject } = injected;
        let report = UnauthorizedReport {
            token,
            interval: self.settings.purge_interval,
            is_endpoint_there: self.endpoint(client).is_some_and(|endpoint| endpoint.is_available(now)),
            now,
        };
        let purge = match (self.stores.get_mut(client.0)?, subject) {
            (Store::Own(store), _) => store.handle_unauthorized(&report),
            (Store::Exchange(store), Some(subject)) => {
                store.handle_unauthorized(&report, &subject, &mut self.issued)
            }
            (Store::Exchange(_), None) => None,
        }?;
        self.is_urgent |= purge == Purge::Purged;
        Some(purge)
    }

    /// Whether this request carries a token, so that its answer matters.
    pub fn awaits_response(&self, stream: StreamId) -> bool {
        !self.injected.is_empty() && self.injected.contains_key(&stream)
    }

    /// A request is over.
    pub fn handle_stream_end(&mut self, stream: StreamId) {
        self.injected.remove(&stream);
    }

    /// Whether a request waits for a call that can be made now.
    pub fn take_urgency(&mut self) -> bool {
        core::mem::take(&mut self.is_urgent)
    }

    /// When a token of this client may come at the earliest: at any moment where one is asked for.
    pub fn next_attempt(&self, client: ClientId, now: Timestamp) -> Timestamp {
        let endpoint = self.endpoint(client);
        let (own, is_under_way) = match self.stores.get(client.0) {
            Some(Store::Own(store)) => (store.next_attempt(), store.is_under_way()),
            Some(Store::Exchange(store)) => (store.next_attempt(), false),
            None => (now, false),
        };
        if is_under_way {
            return now;
        }
        own.max(endpoint.map_or(now, |endpoint| endpoint.next_attempt(now)))
    }

    /// The token of a client that has one of its own.
    pub fn token_store(&self, client: ClientId) -> Option<&TokenStore> {
        match self.stores.get(client.0)? {
            Store::Own(store) => Some(store),
            Store::Exchange(_) => None,
        }
    }

    /// The endpoint that a client asks.
    pub fn endpoint(&self, client: ClientId) -> Option<&EndpointState> {
        self.endpoints.get(self.settings.endpoint_of(client)?.0)
    }

    /// Time has passed: what happened, and the calls to make now, as many as `budget` allows.
    pub fn handle_tick(
        &mut self,
        budget: &mut CallBudget,
        context: &mut Context<'_>,
    ) -> (Vec<OutboundEvent>, Vec<(OutboundCall, HttpCall)>) {
        let (mut events, mut made) = (Vec::new(), Vec::new());
        for (id, endpoint) in (0..).map(EndpointId).zip(&mut self.endpoints) {
            let (event, call) = endpoint.handle_tick(budget, context);
            events.extend(event.map(|event| OutboundEvent::Endpoint { endpoint: id, event }));
            made.extend(call.map(|call| (OutboundCall::Metadata(id), call)));
        }
        let first = self.first;
        for client in (first..self.stores.len()).chain(0..first).map(ClientId) {
            let endpoint = self.settings.endpoint_of(client).and_then(|id| self.endpoints.get_mut(id.0));
            let (Some(store), Some(endpoint)) = (self.stores.get_mut(client.0), endpoint) else { continue };
            let could_call = !budget.is_spent();
            let mut turn = StoreTurn { endpoint, issued: &mut self.issued, context };
            match store {
                Store::Own(store) => {
                    let (event, call) = store.handle_tick(budget, &mut turn);
                    events.extend(event.map(|event| OutboundEvent::Token { client, event, subject: None }));
                    made.extend(call.map(|call| (OutboundCall::Token(client), call)));
                }
                Store::Exchange(store) => {
                    let (happened, sent) = store.handle_tick(budget, &mut turn);
                    let event =
                        |(subject, event)| OutboundEvent::Token { client, event, subject: Some(subject) };
                    events.extend(happened.into_iter().map(event));
                    made.extend(
                        sent.into_iter()
                            .map(|(subject, call)| (OutboundCall::Exchange(client, subject), call)),
                    );
                }
            }
            if could_call && budget.is_spent() {
                self.first = client.0.saturating_add(1);
            }
        }
        (events, made)
    }

    /// Takes what came of a call.
    pub fn handle_reply(
        &mut self,
        purpose: OutboundCall,
        reply: HttpReply,
        context: &mut Context<'_>,
    ) -> Option<OutboundEvent> {
        if let OutboundCall::Metadata(endpoint) = purpose {
            let event = self.endpoints.get_mut(endpoint.0)?.handle_reply(reply, context)?;
            return Some(OutboundEvent::Endpoint { endpoint, event });
        }
        let (OutboundCall::Token(client) | OutboundCall::Exchange(client, _)) = purpose else { return None };
        let endpoint = self.endpoints.get_mut(self.settings.endpoint_of(client)?.0)?;
        let mut turn = StoreTurn { endpoint, issued: &mut self.issued, context };
        let (event, subject) = match (self.stores.get_mut(client.0)?, purpose) {
            (Store::Own(store), OutboundCall::Token(_)) => (store.handle_reply(reply, &mut turn)?, None),
            (Store::Exchange(store), OutboundCall::Exchange(_, subject)) => {
                (store.handle_reply(subject, reply, &mut turn)?, Some(subject))
            }
            (Store::Own(_) | Store::Exchange(_), _) => return None,
        };
        Some(OutboundEvent::Token { client, event, subject })
    }

    /// The clock has been set back from `before`.
    pub fn handle_clock_step(&mut self, before: Timestamp, now: Timestamp) {
        self.endpoints.iter_mut().for_each(|endpoint| endpoint.handle_clock_step(before, now));
        for store in &mut self.stores {
            match store {
                Store::Own(store) => store.handle_clock_step(before, now),
                Store::Exchange(store) => store.handle_clock_step(&mut self.issued, now),
            }
        }
    }

    /// There will be no more replies.
    pub fn handle_shutdown(&mut self, context: &mut Context<'_>) {
        self.endpoints.iter_mut().for_each(|endpoint| endpoint.handle_shutdown(context));
        for store in &mut self.stores {
            match store {
                Store::Own(store) => store.handle_shutdown(context),
                Store::Exchange(store) => store.handle_shutdown(),
            }
        }
    }
}

/// What the threads share about the token of a client: two clients that differ in anything that changes the answer
/// share nothing.
fn flight(client: &Client, settings: &Settings, sharing: Option<&Sharing>, me: u64) -> SingleFlight {
    let fields = settings.fields_of(client);
    let all: Vec<&[u8]> = core::iter::once(&b"token"[..]).chain(fields.iter().map(Vec::as_slice)).collect();
    let timeout =
        settings.endpoints.get(client.endpoint.0).map_or(Duration::ZERO, |endpoint| endpoint.timeout);
    SingleFlight::new(&all, sharing, me, timeout.saturating_add(LOST_AFTER))
}

/// What the tokens of all clients take: the longest for a thousand of them, 1.6 KiB for each of ten thousand.
pub const MAX_TOKENS_BYTES: usize = 16 * 1024 * 1024;
/// What all exchanged tokens take, in equal shares for the clients that exchange: some seven thousand tokens of 2 KiB.
pub const MAX_EXCHANGED_BYTES: usize = 16 * 1024 * 1024;
/// What callers' tokens take that wait to be exchanged, in equal shares as well: two thousand of 2 KiB.
pub const MAX_PENDING_BYTES: usize = 4 * 1024 * 1024;
