//! Counters and gauges of the outbound half. Counted in here and handed to the host on the tick, as those of the
//! inbound half.

use std::collections::HashMap;
use std::rc::Rc;

use rustc_hash::FxBuildHasher;

use super::metrics::MAX_DEFINED_OWNERS;
use super::name::{Label, Word, name};
use super::series::{self, CounterKey, Counters, Gauges};
use crate::base::{Observation, Timestamp};
use crate::oauth::{BreakerState, DocumentEvent, FetchError, FetchOutcome, TokenFault};
use crate::outbound::{
    self, ClientId, EgressDenial, EndpointLocation, InjectionOutcome, Injector, Purge, TokenChange,
    TokenEvent,
};

/// The metrics of one outbound half.
#[derive(Debug)]
pub struct TokenMetrics {
    clients: Vec<Rc<str>>,
    counters: Counters<(Counter, Label)>,
    gauges: Gauges<(Gauge, ClientId)>,
    latencies: HashMap<Option<ClientId>, Rc<str>, FxBuildHasher>,
    /// How many requests of this thread wait, as the host knows it; `None` before it knows of any.
    waiting: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Counter {
    Injections(Word),
    Requests(Word),
    Shared(Word),
    Purges(Word),
    Metadata(Word),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Gauge {
    SecondsToExpiry,
    MarginLeft,
    Failures,
    Breaker,
}

impl TokenMetrics {
    /// No counts yet; those that alerts rest on are defined, so that the first event is an increase.
    pub fn new(settings: &outbound::Settings) -> Self {
        let mut metrics = Self {
            clients: settings.clients.iter().map(|client| Rc::clone(&client.name)).collect(),
            counters: Counters::new(),
            gauges: Gauges::new(),
            latencies: HashMap::default(),
            waiting: None,
        };
        for (place, client) in (0..).map(ClientId).zip(&settings.clients).take(MAX_DEFINED_OWNERS) {
            let mut define = |counter: fn(Word) -> Counter, results: &[&'static str]| {
                results.iter().for_each(|result| metrics.define(counter(Word(result)), place));
            };
            define(Counter::Injections, &OWNED_OUTCOMES);
            define(Counter::Requests, &TokenFault::RESULTS);
            define(Counter::Shared, &["adopted", "rejected"]);
            define(Counter::Purges, &["purged", "retained"]);
            let endpoint = settings.endpoints.get(client.endpoint.0);
            if endpoint.is_some_and(|endpoint| matches!(endpoint.location, EndpointLocation::Discovered(_))) {
                define(Counter::Metadata, &FetchError::ENDPOINT_METADATA_RESULTS);
            }
        }
        metrics
    }

    /// Counts what became of a request that goes out.
    pub fn record_injection(&mut self, client: Option<ClientId>, outcome: InjectionOutcome) {
        self.count(Counter::Injections(Word(outcome.label())), client);
    }

    /// How a denial reads in an access log: `outcome=deny reason=… client=…`.
    pub fn annotation(&self, client: Option<ClientId>, denial: EgressDenial) -> Rc<str> {
        let (reason, client) = (denial.label(), of_client(client).text(&self.clients));
        format!("outcome=deny reason={reason} client={client}").into()
    }

    /// Counts what happened to a client's token, or to one that it exchanged for a caller's, and how long its request
    /// took.
    pub fn record_event(
        &mut self,
        client: ClientId,
        event: &TokenEvent,
        is_exchange: bool,
        observations: &mut Vec<Observation>,
    ) {
        let client = Some(client);
        let counter = match (event.result(is_exchange), &event.change) {
            (Some(result), _) => Some(Counter::Requests(Word(result))),
            (None, TokenChange::Obtained { .. }) => Some(Counter::Shared(Word("adopted"))),
            (None, TokenChange::Rejected(_)) => Some(Counter::Shared(Word("rejected"))),
            // The gauge tells.
            (None, TokenChange::Failed(_) | TokenChange::Expired) => None,
        };
        if let Some(counter) = counter {
            self.count(counter, client);
        }
        if let Some(took) = event.took {
            let of = if self.latencies.len() < MAX_HISTOGRAMS || self.latencies.contains_key(&client) {
                client
            } else {
                None
            };
            let label = of_client(of).text(&self.clients);
            let name = self
                .latencies
                .entry(of)
                .or_insert_with(|| name("attache_token_request_milliseconds", &[("client", label)]));
            let value = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            observations.push(Observation::Sample { name: Rc::clone(name), value });
        }
        self.gauges.mark_changed();
    }

    /// Counts what became of a fetch of the metadata that names a client's token endpoint.
    pub fn record_metadata(&mut self, client: ClientId, event: &DocumentEvent<()>) {
        self.gauges.mark_changed();
        let result = match &event.outcome {
            FetchOutcome::Rejected(_) => "rejected",
            // No fetch of this thread.
            FetchOutcome::Confirmed | FetchOutcome::Expired => return,
            _ if event.is_shared => "adopted",
            FetchOutcome::Changed(()) => "changed",
            FetchOutcome::Unchanged => "unchanged",
            FetchOutcome::Failed(error) | FetchOutcome::NotFoundHere(error) => error.label(),
        };
        self.count(Counter::Metadata(Word(result)), Some(client));
    }

    /// Counts a 401 of an upstream.
    pub fn record_purge(&mut self, client: ClientId, purge: Purge) {
        let result = match purge {
            Purge::Purged => "purged",
            Purge::Retained => "retained",
        };
        self.count(Counter::Purges(Word(result)), Some(client));
    }

    /// Hands over all that has changed since the last time. `is_leader`: whether this thread sets the gauges of the
    /// process.
    pub fn flush(
        &mut self,
        injector: &Injector,
        waiting: usize,
        is_leader: bool,
        now: Timestamp,
        observations: &mut Vec<Observation>,
    ) {
        let waiting = u64::try_from(waiting).unwrap_or(u64::MAX);
        let before = self.waiting.replace(waiting);
        if before != Some(waiting) {
            // All threads add to one gauge.
            let before = before.unwrap_or_default();
            let by = i64::try_from(waiting).unwrap_or(i64::MAX).saturating_sub_unsigned(before);
            observations
                .push(Observation::Adjust { name: name("attache_requests_waiting_for_tokens", &[]), by });
        }
        if self.gauges.is_due(is_leader, now) {
            self.flush_gauges(injector, now, observations);
        }
        self.counters.flush(observations);
    }

    fn flush_gauges(&mut self, injector: &Injector, now: Timestamp, observations: &mut Vec<Observation>) {
        for client in (0..self.clients.len().min(MAX_GAUGED_CLIENTS)).map(ClientId) {
            if let Some(store) = injector.token_store(client) {
                let left = store.held().map_or(0, |token| token.expires().since(now).as_secs());
                self.gauge(Gauge::SecondsToExpiry, client, left, observations);
                let margin = u64::from(store.margin_left(now));
                self.gauge(Gauge::MarginLeft, client, margin, observations);
                self.gauge(Gauge::Failures, client, u64::from(store.failures()), observations);
            }
            if let Some(endpoint) = injector.endpoint(client) {
                let state = match endpoint.breaker(now) {
                    BreakerState::Closed => 0,
                    BreakerState::HalfOpen => 1,
                    BreakerState::Open => 2,
                };
                self.gauge(Gauge::Breaker, client, state, observations);
            }
        }
    }

    fn gauge(&mut self, gauge: Gauge, client: ClientId, value: u64, observations: &mut Vec<Observation>) {
        let metric = match gauge {
            Gauge::SecondsToExpiry => "attache_token_seconds_to_expiry",
            Gauge::MarginLeft => "attache_token_margin_left_percent",
            Gauge::Failures => "attache_token_request_failures",
            Gauge::Breaker => "attache_token_endpoint_breaker",
        };
        let label = || of_client(Some(client)).text(&self.clients);
        self.gauges.set((gauge, client), value, || name(metric, &[("client", label())]), observations);
    }

    fn count(&mut self, counter: Counter, client: Option<ClientId>) {
        let clients = &self.clients;
        self.counters.add((counter, of_client(client)), 1, |(counter, label)| counter.named(label, clients));
    }

    fn define(&mut self, counter: Counter, client: ClientId) {
        let clients = &self.clients;
        let key = (counter, of_client(Some(client)));
        self.counters.define(key, |(counter, label)| counter.named(label, clients));
    }
}

impl Counter {
    fn named(self, client: Label, clients: &[Rc<str>]) -> series::Counter {
        let (metric, result) = match self {
            Self::Injections(Word(outcome)) => ("attache_injections_total", ("outcome", outcome)),
            Self::Requests(Word(result)) => ("attache_token_requests_total", ("result", result)),
            Self::Shared(Word(result)) => ("attache_shared_tokens_total", ("result", result)),
            Self::Purges(Word(result)) => ("attache_token_purges_total", ("result", result)),
            Self::Metadata(Word(result)) => {
                ("attache_token_endpoint_metadata_fetches_total", ("result", result))
            }
        };
        series::Counter::new(name(metric, &[("client", client.text(clients)), result]), "".into())
    }
}

impl CounterKey for (Counter, Label) {
    fn merged(self) -> Self {
        (self.0, Label::OTHER)
    }
}

fn of_client(client: Option<ClientId>) -> Label {
    client.map_or(Label::NONE, |ClientId(place)| u32::try_from(place).map_or(Label::OTHER, Label::at))
}

/// The most clients with a histogram of their own: one takes some ten kilobytes in Envoy. The others share one.
const MAX_HISTOGRAMS: usize = 64;
/// What becomes of requests that have a client, and is worth an alert, or the measure of one.
const OWNED_OUTCOMES: [&str; 5] =
    ["injected", "token_unavailable", "token_waiting_full", "plaintext", "not_allowed"];
/// The most clients that gauges show: four for each, as many as there may be counters.
const MAX_GAUGED_CLIENTS: usize = 1024;
