//! The metrics of requests and of issuers' documents.

use core::time::Duration;
use std::rc::Rc;

use super::client_metrics::ClientMetrics;
use super::decision_times::DecisionTimes;
use super::name::{Label, Word, name, of_issuer};
use super::series::{Counter, CounterKey, Counters, Gauges, MAX_DEFINED_PAIRS};
use crate::base::{Observation, Stopwatch, Timestamp};
use crate::inbound::{self, CacheResult, Decision, DecisionOutcome, Work};
use crate::issuer::{DocumentKind, IssuerEvent, KeySource, KeyStore};
use crate::jose::Engine;
use crate::oauth::{FetchError, FetchOutcome};
use crate::policy::{IssuerId, Mode, RouteId, StreamEnd};

/// The metrics of one filter.
#[derive(Debug)]
pub struct Metrics {
    names: Names,
    /// Neither kind takes the other's room.
    decisions: Counters<DecisionCounter>,
    /// Where requirements name clients.
    clients: Option<ClientMetrics>,
    documents: Counters<DocumentCounter>,
    work: WorkSum,
    work_counters: Counters<WorkCounter>,
    times: DecisionTimes,
    gauges: Gauges<Gauge>,
    plugin: Rc<str>,
    version: u64,
}

/// The names that labels stand for, in the order of the configuration.
#[derive(Debug, Default)]
struct Names {
    routes: Vec<Rc<str>>,
    issuers: Vec<Rc<str>>,
}

/// What requests took since the last time: added up for each, and a counter like the others only when it is handed
/// over.
#[derive(Debug, Default)]
struct WorkSum {
    hits: u64,
    misses: u64,
    checks_by_envoy: u64,
    checks_by_us: u64,
    /// What failing checks have cost; less than a microsecond of it is kept for the next time.
    failed_checks: Duration,
}

/// What is counted about decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct DecisionCounter {
    route: Label,
    issuer: Label,
    outcome: DecisionOutcome,
    reason: Word,
}

/// What is counted about the work that decisions took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum WorkCounter {
    Cache(CacheResult),
    Signatures(Engine),
    FailedChecks,
}

/// What is counted about an issuer's documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct DocumentCounter {
    metric: DocumentMetric,
    issuer: Label,
    result: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum DocumentMetric {
    KeyFetches,
    MetadataFetches,
    Shared,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Gauge {
    ConfigVersion,
    Keys(IssuerId),
    KeyAge(IssuerId),
    Failures(IssuerId),
    NextFetch(IssuerId),
}

impl Metrics {
    /// No counts yet; those that alerts rest on are defined, so that the first event is an increase.
    pub fn new(inbound: Option<&inbound::Settings>, plugin: &Rc<str>, version: u64) -> Self {
        let routes = inbound.into_iter().flat_map(|inbound| inbound.routes.routes());
        let issuers = inbound.into_iter().flat_map(|inbound| &inbound.issuers);
        let names = Names {
            routes: routes.map(|route| Rc::clone(&route.name)).collect(),
            issuers: issuers.map(|issuer| Rc::clone(&issuer.name)).collect(),
        };
        let mut metrics = Self {
            names,
            decisions: Counters::new(),
            clients: inbound.and_then(ClientMetrics::new),
            documents: Counters::new(),
            work: WorkSum::default(),
            work_counters: Counters::new(),
            times: DecisionTimes::new(inbound.map(|inbound| inbound.timing).unwrap_or_default()),
            gauges: Gauges::new(),
            plugin: Rc::clone(plugin),
            version,
        };
        if let Some(inbound) = inbound {
            metrics.define_work(inbound);
            metrics.define_decisions(inbound);
            metrics.define_fetches(inbound);
        }
        metrics
    }

    /// All that decisions may take.
    fn define_work(&mut self, inbound: &inbound::Settings) {
        let cache = [CacheResult::Hit, CacheResult::Miss].map(WorkCounter::Cache);
        let cache = cache.into_iter().filter(|_| inbound.cache.is_some());
        let checks = [Engine::Envoy, Engine::RustCrypto].map(WorkCounter::Signatures);
        for counter in cache.chain(checks).chain([WorkCounter::FailedChecks]) {
            self.work_counters.define(counter, WorkCounter::named);
        }
    }

    /// Denials that are not the callers' fault, of every route and issuer, if those are few.
    fn define_decisions(&mut self, inbound: &inbound::Settings) {
        let issuers = inbound.issuers.len();
        let routes = inbound.routes.routes();
        if routes.len().saturating_mul(issuers.saturating_add(1)) > MAX_DEFINED_PAIRS {
            return;
        }
        for (place, route) in (0..).zip(inbound.routes.routes()) {
            let outcome = match route.mode {
                Mode::Enforce => DecisionOutcome::Deny,
                Mode::ReportOnly => DecisionOutcome::Report,
            };
            let mut define = |issuer, outcome, reason| {
                let (route, reason) = (Label::at(place), Word(reason));
                let counter = DecisionCounter { route, issuer, outcome, reason };
                self.decisions.define(counter, |counter| counter.named(&self.names));
            };
            for reason in inbound::Denial::OPERATORS {
                define(Label::NONE, DecisionOutcome::Deny, reason);
            }
            for issuer in (0..issuers).filter_map(IssuerId::at) {
                for reason in inbound::Denial::NOT_AVAILABLE {
                    define(of_issuer(issuer), outcome, reason);
                }
                // A report-only mode denies no stream.
                if route.stream_end == StreamEnd::AtExpiry
                    && inbound.mode_once_signed(route, issuer) == Mode::Enforce
                {
                    define(of_issuer(issuer), DecisionOutcome::Deny, inbound::Denial::STREAMS_FULL);
                }
            }
        }
    }

    /// What may come of the fetches of each issuer's documents.
    fn define_fetches(&mut self, inbound: &inbound::Settings) {
        for (place, issuer) in inbound.issuers.iter().enumerate().take(MAX_DEFINED_OWNERS) {
            let Some(issuer_label) = IssuerId::at(place).map(of_issuer) else { continue };
            let is_discovered = |source: &KeySource| matches!(source, KeySource::Discovery(_));
            let is_remote = |source: &KeySource| !matches!(source, KeySource::Inline(_));
            if !issuer.keys.iter().any(is_remote) {
                continue;
            }
            let mut define = |metric, results: &[&'static str]| {
                for result in results {
                    let counter = DocumentCounter { metric, issuer: issuer_label, result };
                    self.documents.define(counter, |counter| counter.named(&self.names));
                }
            };
            define(DocumentMetric::KeyFetches, &FetchError::KEY_SET_RESULTS);
            define(DocumentMetric::Shared, &SHARED_RESULTS);
            if issuer.keys.iter().any(is_discovered) {
                define(DocumentMetric::MetadataFetches, &FetchError::METADATA_RESULTS);
            }
        }
    }

    /// How long a decision has taken since `start`, if it is one that is timed.
    pub fn time(&mut self, work: Work, start: Timestamp, stopwatch: &dyn Stopwatch) -> Option<Duration> {
        self.times.time(work, start, stopwatch)
    }

    /// Counts a decision, and says how it reads in an access log: `outcome=… reason=… route=… issuer=…`.
    pub fn record(&mut self, decision: &Decision) -> &Rc<str> {
        self.record_work(decision.work);
        if let Some(clients) = &mut self.clients {
            clients.record(decision);
        }
        let counter = DecisionCounter {
            route: decision.route.map_or(Label::NONE, |RouteId(place)| Label::at(place)),
            issuer: decision.issuer.map_or(Label::NONE, of_issuer),
            outcome: decision.outcome(),
            reason: Word(decision.reason()),
        };
        let names = &self.names;
        &self.decisions.add(counter, 1, |counter| counter.named(names)).annotation
    }

    /// Counts what a decision took, or what it took to find that it has to wait.
    pub fn record_work(&mut self, work: Work) {
        let WorkSum { hits, misses, checks_by_envoy, checks_by_us, failed_checks } = &mut self.work;
        *failed_checks = failed_checks.saturating_add(work.failed_checks);
        // A request that has waited was counted when it came.
        match work.cache.filter(|_| work.waited_for.is_none()) {
            Some(CacheResult::Hit) => *hits = hits.saturating_add(1),
            Some(CacheResult::Miss) => *misses = misses.saturating_add(1),
            None => {}
        }
        if let Some((engine, checks)) = work.signatures {
            let checked = match engine {
                Engine::Envoy => checks_by_envoy,
                Engine::RustCrypto => checks_by_us,
            };
            *checked = checked.saturating_add(u64::from(checks));
        }
    }

    /// Counts what became of a fetch, or of what another thread has fetched.
    pub fn record_fetch(&mut self, issuer: IssuerId, IssuerEvent { document, event }: &IssuerEvent) {
        let issuer = of_issuer(issuer);
        self.gauges.mark_changed();
        let result = match &event.outcome {
            FetchOutcome::Changed(_) => "changed",
            FetchOutcome::Unchanged => "unchanged",
            FetchOutcome::Confirmed => "confirmed",
            FetchOutcome::Failed(error) | FetchOutcome::NotFoundHere(error) => error.label(),
            FetchOutcome::Rejected(_) => "rejected",
            // No fetch; the gauges tell.
            FetchOutcome::Expired => return,
        };
        let (metric, result) = match (document.kind, event.is_shared) {
            (_, true) if matches!(event.outcome, FetchOutcome::Rejected(_) | FetchOutcome::Confirmed) => {
                (DocumentMetric::Shared, result)
            }
            (_, true) => (DocumentMetric::Shared, "adopted"),
            (DocumentKind::Keys, false) => (DocumentMetric::KeyFetches, result),
            (DocumentKind::Metadata, false) => (DocumentMetric::MetadataFetches, result),
        };
        let names = &self.names;
        self.documents.add(DocumentCounter { metric, issuer, result }, 1, |counter| counter.named(names));
    }

    /// Hands over all that has changed since the last time. `is_leader`: whether this thread sets the gauges that all
    /// see alike.
    pub fn flush(
        &mut self,
        stores: &[KeyStore],
        is_leader: bool,
        now: Timestamp,
        observations: &mut Vec<Observation>,
    ) {
        self.gauge(Gauge::ConfigVersion, self.version, observations);
        if self.gauges.is_due(is_leader, now) {
            self.flush_keys(stores, now, observations);
        }
        let WorkSum { hits, misses, checks_by_envoy, checks_by_us, failed_checks } =
            core::mem::take(&mut self.work);
        let failed_micros = u64::try_from(failed_checks.as_micros()).unwrap_or(u64::MAX);
        self.work.failed_checks = failed_checks.saturating_sub(Duration::from_micros(failed_micros));
        for (counter, by) in [
            (WorkCounter::Cache(CacheResult::Hit), hits),
            (WorkCounter::Cache(CacheResult::Miss), misses),
            (WorkCounter::Signatures(Engine::Envoy), checks_by_envoy),
            (WorkCounter::Signatures(Engine::RustCrypto), checks_by_us),
            (WorkCounter::FailedChecks, failed_micros),
        ] {
            if by > 0 {
                self.work_counters.add(counter, by, WorkCounter::named);
            }
        }
        self.decisions.flush(observations);
        if let Some(clients) = &mut self.clients {
            clients.flush(observations);
        }
        self.times.flush(observations);
        self.work_counters.flush(observations);
        self.documents.flush(observations);
    }

    fn flush_keys(&mut self, stores: &[KeyStore], now: Timestamp, observations: &mut Vec<Observation>) {
        for (index, store) in stores.iter().enumerate() {
            let Some(issuer) = IssuerId::at(index) else { continue };
            let keys = store.keys().map_or(0, |keys| keys.len());
            self.gauge(Gauge::Keys(issuer), u64::try_from(keys).unwrap_or(u64::MAX), observations);
            if !store.is_remote() {
                continue;
            }
            if let Some(fetched) = store.last_good() {
                self.gauge(Gauge::KeyAge(issuer), now.since(fetched).as_secs(), observations);
            }
            self.gauge(Gauge::Failures(issuer), u64::from(store.failures()), observations);
            self.gauge(Gauge::NextFetch(issuer), store.next_attempt().secs(), observations);
        }
    }

    fn gauge(&mut self, gauge: Gauge, value: u64, observations: &mut Vec<Observation>) {
        self.gauges.set(gauge, value, || gauge.name(&self.names, &self.plugin), observations);
    }
}

impl CounterKey for DecisionCounter {
    fn merged(self) -> Self {
        Self { route: Label::OTHER, issuer: Label::OTHER, ..self }
    }
}

impl DecisionCounter {
    fn named(self, names: &Names) -> Counter {
        let Self { route, issuer, outcome, reason: Word(reason) } = self;
        let (route, issuer) = (route.text(&names.routes), issuer.text(&names.issuers));
        let outcome = outcome.label();
        let annotation = format!("outcome={outcome} reason={reason} route={route} issuer={issuer}");
        let labels = [("route", route), ("issuer", issuer), ("outcome", outcome), ("reason", reason)];
        Counter::new(name("attache_decisions_total", &labels), annotation.into())
    }
}

impl CounterKey for WorkCounter {
    fn merged(self) -> Self {
        self
    }
}

impl WorkCounter {
    fn named(self) -> Counter {
        let name = match self {
            Self::Cache(result) => name("attache_token_cache_total", &[("result", result.label())]),
            Self::Signatures(engine) => name("attache_signature_checks_total", &[("engine", engine.label())]),
            Self::FailedChecks => name("attache_failed_check_microseconds_total", &[]),
        };
        Counter::new(name, "".into())
    }
}

impl CounterKey for DocumentCounter {
    fn merged(self) -> Self {
        Self { issuer: Label::OTHER, ..self }
    }
}

impl DocumentCounter {
    fn named(self, names: &Names) -> Counter {
        let metric = match self.metric {
            DocumentMetric::KeyFetches => "attache_key_fetches_total",
            DocumentMetric::MetadataFetches => "attache_metadata_fetches_total",
            DocumentMetric::Shared => "attache_shared_documents_total",
        };
        let labels = [("issuer", self.issuer.text(&names.issuers)), ("result", self.result)];
        Counter::new(name(metric, &labels), "".into())
    }
}

impl Gauge {
    fn name(self, names: &Names, plugin: &str) -> Rc<str> {
        let of = |metric, issuer| name(metric, &[("issuer", of_issuer(issuer).text(&names.issuers))]);
        match self {
            Self::ConfigVersion => config_version(plugin),
            Self::Keys(issuer) => of("attache_keys", issuer),
            Self::KeyAge(issuer) => of("attache_key_age_seconds", issuer),
            Self::Failures(issuer) => of("attache_key_fetch_failures", issuer),
            Self::NextFetch(issuer) => of("attache_key_next_fetch_timestamp_seconds", issuer),
        }
    }
}

/// The name of the gauge that tells a filter's configuration.
pub fn config_version(plugin: &str) -> Rc<str> {
    name("attache_config_version", &[("plugin", plugin)])
}

/// What another thread's publication may be worth.
const SHARED_RESULTS: [&str; 3] = ["adopted", "confirmed", "rejected"];
/// The most issuers, and clients, whose counters are defined before they count: each takes some twenty kilobytes in
/// Envoy by it.
pub(super) const MAX_DEFINED_OWNERS: usize = 32;

#[cfg(test)]
mod tests {
    use super::super::series::MAX_SERIES;
    use super::*;

    /// A thousand issuers and their faults leave requests their names, and the other way round.
    #[test]
    fn fetches_and_requests_take_none_of_each_others_room() {
        let mut metrics = Metrics::new(None, &"p".into(), 1);
        metrics.names.issuers = (0..MAX_SERIES).map(|n| format!("i{n}").into()).collect();
        let fetch = |issuer, result| DocumentCounter { metric: DocumentMetric::KeyFetches, issuer, result };
        let mut count = |n: usize, result| {
            let counter = fetch(Label::at(u32::try_from(n).unwrap()), result);
            metrics.documents.add(counter, 1, |counter| counter.named(&metrics.names));
        };
        (0..MAX_SERIES).for_each(|n| count(n, "changed"));
        (0..10).for_each(|n| count(n, "status"));
        let request = DecisionCounter {
            route: Label::at(0),
            issuer: Label::NONE,
            outcome: DecisionOutcome::Permit,
            reason: Word("ok"),
        };
        metrics.decisions.add(request, 1, |counter| counter.named(&metrics.names));
        let mut observations = Vec::new();
        metrics.flush(&[], false, Timestamp::from_secs(1), &mut observations);
        let counts: Vec<_> = observations
            .iter()
            .filter(|observation| matches!(observation, Observation::Count { .. }))
            .collect();
        assert_eq!(counts.len(), MAX_SERIES + 2);
        for (counter, by) in [
            (fetch(Label::at(0), "changed").named(&metrics.names), 1),
            (fetch(Label::OTHER, "status").named(&metrics.names), 10),
            (request.named(&metrics.names), 1),
        ] {
            assert!(
                counts.contains(&&Observation::Count { name: Rc::clone(&counter.name), by }),
                "{counter:?}"
            );
        }
    }
}
