//! Counters and gauges of the outbound half. Counted in here and handed to the host on the tick, as those of the inbound half.

use core::time::Duration;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use rustc_hash::FxBuildHasher;

use super::name::name;
use crate::base::{Observation, Timestamp};
use crate::oauth::BreakerState;
use crate::outbound::{Injector, Outbound, Purge, TokenChange, TokenEvent};

/// The metrics of one outbound half.
#[derive(Debug)]
pub struct TokenMetrics {
    clients: Vec<Rc<str>>,
    /// Labels are the configuration's and our own, and no caller's: their hash needs no key.
    counters: HashMap<(Counter, Option<usize>), Series, FxBuildHasher>,
    gauges: BTreeMap<(Gauge, usize), Level>,
    latencies: HashMap<Option<usize>, Rc<str>, FxBuildHasher>,
    is_dirty: bool,
    /// When the gauges were handed over last; `None` when it is not for us to do.
    gauges_at: Option<Timestamp>,
    /// How many requests of this thread wait, as the host knows it.
    waiting: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Counter {
    Injections(&'static str),
    Requests(&'static str),
    Shared(&'static str),
    Purges(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Gauge {
    SecondsToExpiry,
    Failures,
    Breaker,
}

#[derive(Debug)]
struct Series {
    name: Rc<str>,
    pending: u64,
}

#[derive(Debug)]
struct Level {
    name: Rc<str>,
    shown: Option<u64>,
}

impl TokenMetrics {
    /// No counts yet.
    pub fn new(settings: &Outbound) -> Self {
        Self {
            clients: settings.clients.iter().map(|client| Rc::clone(&client.name)).collect(),
            counters: HashMap::default(),
            gauges: BTreeMap::new(),
            latencies: HashMap::default(),
            is_dirty: false,
            gauges_at: None,
            waiting: 0,
        }
    }

    /// Counts what became of a request that goes out.
    pub fn record_injection(&mut self, client: Option<usize>, outcome: &'static str) {
        self.count(Counter::Injections(outcome), client);
    }

    /// How a refusal reads in an access log: `outcome=deny reason=… client=…`.
    pub fn annotation(&self, client: Option<usize>, reason: &str) -> Rc<str> {
        format!("outcome=deny reason={reason} client={}", self.label(client)).into()
    }

    /// Counts what happened to a client's token, and how long its request took.
    pub fn record_event(&mut self, client: usize, event: &TokenEvent, observations: &mut Vec<Observation>) {
        let client = Some(client);
        match &event.what {
            TokenChange::Obtained { is_shared: true, .. } => self.count(Counter::Shared("adopted"), client),
            TokenChange::Obtained { .. } => self.count(Counter::Requests("obtained"), client),
            TokenChange::Failed(fault) => self.count(Counter::Requests(fault.label()), client),
            TokenChange::Refused(_) => self.count(Counter::Shared("rejected"), client),
            // The gauge tells.
            TokenChange::Expired => {}
        }
        if let Some(took) = event.took {
            let of = if self.latencies.len() < MAX_HISTOGRAMS || self.latencies.contains_key(&client) {
                client
            } else {
                None
            };
            let label = self.label(of);
            let name = self
                .latencies
                .entry(of)
                .or_insert_with_key(|_| name("attache_token_request_milliseconds", &[("client", &label)]));
            let value = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            observations.push(Observation::Sample { name: Rc::clone(name), value });
        }
        // Something has changed that gauges show.
        self.gauges_at = None;
    }

    /// Counts a 401 of an upstream.
    pub fn record_purge(&mut self, client: usize, purge: Purge) {
        let result = match purge {
            Purge::Purged => "purged",
            Purge::Retained => "retained",
        };
        self.count(Counter::Purges(result), Some(client));
    }

    /// Hands over all that has changed since the last time. `is_leader`: whether this thread sets the gauges of the process.
    pub fn flush(
        &mut self,
        injector: &Injector,
        waiting: usize,
        is_leader: bool,
        now: Timestamp,
        observations: &mut Vec<Observation>,
    ) {
        let waiting = u64::try_from(waiting).unwrap_or(u64::MAX);
        let before = core::mem::replace(&mut self.waiting, waiting);
        if before != waiting {
            // All threads add to one gauge.
            let by = i64::try_from(waiting).unwrap_or(i64::MAX).saturating_sub_unsigned(before);
            observations
                .push(Observation::Adjust { name: name("attache_requests_waiting_for_tokens", &[]), by });
        }
        if !is_leader {
            self.gauges_at = None;
        } else if self.gauges_at.is_none_or(|at| now < at || now.since(at) >= GAUGE_PERIOD) {
            self.gauges_at = Some(now);
            self.flush_gauges(injector, now, observations);
        }
        if core::mem::take(&mut self.is_dirty) {
            for series in self.counters.values_mut().filter(|series| series.pending > 0) {
                let by = core::mem::take(&mut series.pending);
                observations.push(Observation::Count { name: Rc::clone(&series.name), by });
            }
        }
    }

    fn flush_gauges(&mut self, injector: &Injector, now: Timestamp, observations: &mut Vec<Observation>) {
        for client in 0..self.clients.len().min(MAX_GAUGED_CLIENTS) {
            if let Some(store) = injector.token_store(client) {
                let left = store.held().map_or(0, |token| token.expires().since(now).as_secs());
                self.gauge(Gauge::SecondsToExpiry, client, left, observations);
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

    fn gauge(&mut self, gauge: Gauge, client: usize, value: u64, observations: &mut Vec<Observation>) {
        let metric = match gauge {
            Gauge::SecondsToExpiry => "attache_token_seconds_to_expiry",
            Gauge::Failures => "attache_token_request_failures",
            Gauge::Breaker => "attache_token_endpoint_breaker",
        };
        let label = self.label(Some(client));
        let level = self
            .gauges
            .entry((gauge, client))
            .or_insert_with(|| Level { name: name(metric, &[("client", &label)]), shown: None });
        if level.shown.replace(value) != Some(value) {
            observations.push(Observation::Gauge { name: Rc::clone(&level.name), value });
        }
    }

    fn count(&mut self, counter: Counter, client: Option<usize>) {
        self.is_dirty = true;
        if let Some(series) = self.counters.get_mut(&(counter, client)) {
            series.pending = series.pending.saturating_add(1);
            return;
        }
        // What has no room of its own is counted with the others of its kind, which are a few dozen.
        let (client, label) = if self.counters.len() < MAX_SERIES {
            (client, self.label(client))
        } else {
            (Some(usize::MAX), "other".into())
        };
        let (metric, result) = match counter {
            Counter::Injections(outcome) => ("attache_injections", ("outcome", outcome)),
            Counter::Requests(result) => ("attache_token_requests", ("result", result)),
            Counter::Shared(result) => ("attache_shared_tokens", ("result", result)),
            Counter::Purges(result) => ("attache_token_purges", ("result", result)),
        };
        let series = self
            .counters
            .entry((counter, client))
            .or_insert_with(|| Series { name: name(metric, &[("client", &label), result]), pending: 0 });
        series.pending = series.pending.saturating_add(1);
    }

    fn label(&self, client: Option<usize>) -> Rc<str> {
        match client {
            None => "none".into(),
            Some(place) => self.clients.get(place).map_or_else(|| "other".into(), Rc::clone),
        }
    }
}

/// The most counters with names of their own. Envoy never forgets a metric, and each takes some 500 bytes there.
const MAX_SERIES: usize = 4096;
/// The most clients with a histogram of their own: one takes some ten kilobytes in Envoy. The others share one.
const MAX_HISTOGRAMS: usize = 64;
/// The most clients that gauges show: three for each, as many as there may be counters.
const MAX_GAUGED_CLIENTS: usize = 1024;
/// How often gauges are handed over. Nobody looks more often.
const GAUGE_PERIOD: Duration = Duration::from_secs(1);
