//! Counters and gauges. Counted in here and handed to the host on the tick, so that a request costs no host call.

use core::time::Duration;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use rustc_hash::FxBuildHasher;

use super::name::name;
use crate::base::{Observation, Timestamp};
use crate::inbound::{Decision, Inbound, Work};
use crate::issuer::{DocumentKind, KeyStore, Outcome, Report};
use crate::jose::Engine;
use crate::policy::{IssuerId, Mode, RouteId};

/// The metrics of one filter.
#[derive(Debug)]
pub struct Metrics {
    routes: Vec<Rc<str>>,
    issuers: Vec<Rc<str>>,
    /// The counters of permits, of which almost every request needs one, by route and issuer. Labels are the configuration's,
    /// and no caller's: their hash needs no key.
    permits: HashMap<(Label, Label), Series, FxBuildHasher>,
    /// Of those that have no counter of their own.
    other_permits: Option<Series>,
    /// What requests took since the last time.
    taken: Taken,
    counters: BTreeMap<Counter, Series>,
    /// How many of them have names of their own: neither kind takes the other's room.
    of_requests: usize,
    of_fetches: usize,
    gauges: BTreeMap<Gauge, Level>,
    version: u64,
    is_dirty: bool,
    /// When the gauges of keys were handed over last; `None` when it is not for us to do.
    gauges_at: Option<Timestamp>,
    /// Something has happened since.
    keys_changed: bool,
}

/// What requests took: counted for each, and a counter like the others only when it is handed over.
#[derive(Debug, Default)]
struct Taken {
    hits: u64,
    misses: u64,
    by_envoy: u64,
    by_us: u64,
    /// What failing checks have cost; less than a microsecond of it is kept for the next time.
    failed: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Counter {
    Decisions { route: Label, issuer: Label, outcome: &'static str, reason: &'static str },
    Cache { result: &'static str },
    Signatures { engine: &'static str },
    FailedChecks,
    Fetches { issuer: Label, result: &'static str },
    MetadataFetches { issuer: Label, result: &'static str },
    Shared { issuer: Label, result: &'static str },
}

/// A label whose values the configuration gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Label {
    None,
    /// There are too many series to tell this one apart.
    Other,
    At(u32),
}

#[derive(Debug)]
struct Series {
    name: Rc<str>,
    /// How the decision reads in an access log; empty where it is none.
    annotation: Rc<str>,
    pending: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Gauge {
    ConfigVersion,
    Keys(IssuerId),
    KeyAge(IssuerId),
    Failures(IssuerId),
    NextFetch(IssuerId),
}

#[derive(Debug)]
struct Level {
    name: Rc<str>,
    shown: Option<u64>,
}

impl Metrics {
    /// No counts yet.
    pub fn new(inbound: Option<&Inbound>, version: u64) -> Self {
        let routes = inbound.into_iter().flat_map(|inbound| inbound.routes.routes());
        let issuers = inbound.into_iter().flat_map(|inbound| &inbound.issuers);
        Self {
            routes: routes.map(|route| Rc::clone(&route.name)).collect(),
            issuers: issuers.map(|issuer| Rc::clone(&issuer.name)).collect(),
            permits: HashMap::default(),
            other_permits: None,
            taken: Taken::default(),
            counters: BTreeMap::new(),
            of_requests: 0,
            of_fetches: 0,
            gauges: BTreeMap::new(),
            version,
            is_dirty: false,
            gauges_at: None,
            keys_changed: false,
        }
    }

    /// Counts a decision, and says how it reads in an access log: `outcome=… reason=… route=… issuer=…`.
    pub fn record(&mut self, decision: &Decision) -> &Rc<str> {
        self.record_work(decision.work);
        let route = decision.route.map_or(Label::None, |RouteId(place)| Label::At(place));
        let issuer = decision.issuer.map_or(Label::None, |IssuerId(place)| Label::At(u32::from(place)));
        let (outcome, reason) = match (&decision.verdict, decision.mode) {
            (Ok(_), Mode::Enforce | Mode::ReportOnly) => return self.permit(route, issuer),
            (Err(denial), Mode::Enforce) => ("deny", denial.label()),
            (Err(denial), Mode::ReportOnly) => ("report", denial.label()),
        };
        self.count(Counter::Decisions { route, issuer, outcome, reason }, 1)
    }

    /// Counts what a decision took, or what it took to find that it has to wait.
    pub fn record_work(&mut self, work: Work) {
        let Taken { hits, misses, by_envoy, by_us, failed } = &mut self.taken;
        *failed = failed.saturating_add(work.failed_checks);
        match work.cache_hit {
            Some(true) => *hits = hits.saturating_add(1),
            Some(false) => *misses = misses.saturating_add(1),
            None => {}
        }
        if let Some((engine, checks)) = work.signatures {
            let checked = match engine {
                Engine::Envoy => by_envoy,
                Engine::RustCrypto => by_us,
            };
            *checked = checked.saturating_add(u64::from(checks));
        }
    }

    /// Counts what became of a fetch, or of what another thread has fetched.
    pub fn record_report(&mut self, issuer: Option<IssuerId>, report: &Report) {
        let Some(issuer) = issuer.map(|IssuerId(place)| Label::At(u32::from(place))) else { return };
        self.keys_changed = true;
        let result = match &report.outcome {
            Outcome::Changed(_) | Outcome::Moved => "changed",
            Outcome::Unchanged => "unchanged",
            Outcome::Confirmed => "confirmed",
            Outcome::Failed(error) | Outcome::Elsewhere(error) => error.label(),
            Outcome::Refused(_) => "rejected",
            // No fetch; the gauges tell.
            Outcome::Expired => return,
        };
        let counter = match (report.place.part, report.is_shared) {
            (_, true) if matches!(report.outcome, Outcome::Refused(_) | Outcome::Confirmed) => {
                Counter::Shared { issuer, result }
            }
            (_, true) => Counter::Shared { issuer, result: "adopted" },
            (DocumentKind::Keys, false) => Counter::Fetches { issuer, result },
            (DocumentKind::Metadata, false) => Counter::MetadataFetches { issuer, result },
        };
        self.count(counter, 1);
    }

    /// Hands over all that has changed since the last time. `is_leader`: whether this thread sets the gauges that all see alike.
    pub fn flush(
        &mut self,
        stores: &[KeyStore],
        is_leader: bool,
        now: Timestamp,
        observations: &mut Vec<Observation>,
    ) {
        self.gauge(Gauge::ConfigVersion, self.version, observations);
        let shown_at = self.gauges_at.replace(now);
        if !is_leader {
            self.gauges_at = None;
        } else if core::mem::take(&mut self.keys_changed)
            || shown_at.is_none_or(|at| now < at || now.since(at) >= GAUGE_PERIOD)
        {
            if shown_at.is_none() {
                // Somebody else has set them meanwhile.
                self.gauges.values_mut().for_each(|level| level.shown = None);
            }
            self.flush_keys(stores, now, observations);
        } else {
            self.gauges_at = shown_at;
        }
        let Taken { hits, misses, by_envoy, by_us, failed } = core::mem::take(&mut self.taken);
        let failed_micros = u64::try_from(failed.as_micros()).unwrap_or(u64::MAX);
        self.taken.failed = failed.saturating_sub(Duration::from_micros(failed_micros));
        for (counter, by) in [
            (Counter::Cache { result: "hit" }, hits),
            (Counter::Cache { result: "miss" }, misses),
            (Counter::Signatures { engine: Engine::Envoy.label() }, by_envoy),
            (Counter::Signatures { engine: Engine::RustCrypto.label() }, by_us),
            (Counter::FailedChecks, failed_micros),
        ] {
            if by > 0 {
                self.count(counter, by);
            }
        }
        if !core::mem::take(&mut self.is_dirty) {
            return;
        }
        let all = self.permits.values_mut().chain(&mut self.other_permits).chain(self.counters.values_mut());
        for series in all.filter(|series| series.pending > 0) {
            let by = core::mem::take(&mut series.pending);
            observations.push(Observation::Count { name: Rc::clone(&series.name), by });
        }
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

    fn permit(&mut self, route: Label, issuer: Label) -> &Rc<str> {
        self.is_dirty = true;
        let (routes, issuers) = (&self.routes, &self.issuers);
        let new = |route, issuer| {
            Counter::Decisions { route, issuer, outcome: "permit", reason: "ok" }.series(routes, issuers)
        };
        let series = match self.permits.entry((route, issuer)) {
            Entry::Occupied(series) => series.into_mut(),
            Entry::Vacant(place) if self.of_requests < MAX_SERIES => {
                self.of_requests = self.of_requests.saturating_add(1);
                place.insert(new(route, issuer))
            }
            Entry::Vacant(_) => self.other_permits.get_or_insert_with(|| new(Label::Other, Label::Other)),
        };
        series.pending = series.pending.saturating_add(1);
        &series.annotation
    }

    fn count(&mut self, counter: Counter, by: u64) -> &Rc<str> {
        self.is_dirty = true;
        let held = if counter.is_of_request() { &mut self.of_requests } else { &mut self.of_fetches };
        let is_new = !self.counters.contains_key(&counter);
        let counter = if is_new && *held >= MAX_SERIES { counter.merged() } else { counter };
        if is_new && *held < MAX_SERIES {
            *held = held.saturating_add(1);
        }
        let (routes, issuers) = (&self.routes, &self.issuers);
        let series = self.counters.entry(counter).or_insert_with(|| counter.series(routes, issuers));
        series.pending = series.pending.saturating_add(by);
        &series.annotation
    }

    fn gauge(&mut self, gauge: Gauge, value: u64, observations: &mut Vec<Observation>) {
        let issuers = &self.issuers;
        let level =
            self.gauges.entry(gauge).or_insert_with(|| Level { name: gauge.name(issuers), shown: None });
        if level.shown.replace(value) != Some(value) {
            observations.push(Observation::Gauge { name: Rc::clone(&level.name), value });
        }
    }
}

impl Counter {
    /// Whether requests make it, and not the issuers' documents.
    fn is_of_request(self) -> bool {
        match self {
            Self::Decisions { .. } | Self::Cache { .. } | Self::Signatures { .. } | Self::FailedChecks => {
                true
            }
            Self::Fetches { .. } | Self::MetadataFetches { .. } | Self::Shared { .. } => false,
        }
    }

    /// The series that takes what has no room of its own. There are as many of these as reasons, and no more.
    fn merged(self) -> Self {
        match self {
            Self::Decisions { outcome, reason, .. } => {
                Self::Decisions { route: Label::Other, issuer: Label::Other, outcome, reason }
            }
            Self::Fetches { result, .. } => Self::Fetches { issuer: Label::Other, result },
            Self::MetadataFetches { result, .. } => Self::MetadataFetches { issuer: Label::Other, result },
            Self::Shared { result, .. } => Self::Shared { issuer: Label::Other, result },
            Self::Cache { .. } | Self::Signatures { .. } | Self::FailedChecks => self,
        }
    }

    fn series(self, routes: &[Rc<str>], issuers: &[Rc<str>]) -> Series {
        let mut annotation = String::new();
        let of_issuer = |metric, issuer: Label, result| {
            name(metric, &[("issuer", issuer.text(issuers)), ("result", result)])
        };
        let name = match self {
            Self::Decisions { route, issuer, outcome, reason } => {
                let (route, issuer) = (route.text(routes), issuer.text(issuers));
                annotation = format!("outcome={outcome} reason={reason} route={route} issuer={issuer}");
                let labels = [("route", route), ("issuer", issuer), ("outcome", outcome), ("reason", reason)];
                name("attache_decisions", &labels)
            }
            Self::Cache { result } => name("attache_token_cache", &[("result", result)]),
            Self::Signatures { engine } => name("attache_signature_checks", &[("engine", engine)]),
            Self::FailedChecks => name("attache_failed_check_microseconds", &[]),
            Self::Fetches { issuer, result } => of_issuer("attache_key_fetches", issuer, result),
            Self::MetadataFetches { issuer, result } => of_issuer("attache_metadata_fetches", issuer, result),
            Self::Shared { issuer, result } => of_issuer("attache_shared_documents", issuer, result),
        };
        Series { name, annotation: annotation.into(), pending: 0 }
    }
}

impl Label {
    fn text(self, names: &[Rc<str>]) -> &str {
        match self {
            Self::None => "none",
            Self::Other => "other",
            Self::At(place) => {
                usize::try_from(place).ok().and_then(|place| names.get(place)).map_or("other", |name| name)
            }
        }
    }
}

impl Gauge {
    fn name(self, issuers: &[Rc<str>]) -> Rc<str> {
        let of = |issuer: IssuerId| Label::At(u32::from(issuer.0)).text(issuers);
        match self {
            Self::ConfigVersion => name("attache_config_version", &[]),
            Self::Keys(issuer) => name("attache_keys", &[("issuer", of(issuer))]),
            Self::KeyAge(issuer) => name("attache_key_age_seconds", &[("issuer", of(issuer))]),
            Self::Failures(issuer) => name("attache_key_fetch_failures", &[("issuer", of(issuer))]),
            Self::NextFetch(issuer) => {
                name("attache_key_next_fetch_timestamp_seconds", &[("issuer", of(issuer))])
            }
        }
    }
}

/// The most counters of requests with names of their own, and as many of fetches. Envoy never forgets a metric, and each takes some 500 bytes there.
pub const MAX_SERIES: usize = 4096;
/// How often gauges are handed over. Nobody looks more often.
const GAUGE_PERIOD: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    /// A thousand issuers and their faults leave requests their names, and the other way round.
    #[test]
    fn fetches_and_requests_take_none_of_each_others_room() {
        let mut metrics = Metrics {
            routes: Vec::new(),
            issuers: (0..MAX_SERIES).map(|n| format!("i{n}").into()).collect(),
            permits: HashMap::default(),
            other_permits: None,
            taken: Taken::default(),
            counters: BTreeMap::new(),
            of_requests: 0,
            of_fetches: 0,
            gauges: BTreeMap::new(),
            version: 1,
            is_dirty: false,
            gauges_at: None,
            keys_changed: false,
        };
        let fetch =
            |n: usize, result| Counter::Fetches { issuer: Label::At(u32::try_from(n).unwrap()), result };
        for n in 0..MAX_SERIES {
            metrics.count(fetch(n, "changed"), 1);
        }
        assert_eq!((metrics.of_fetches, metrics.counters.len()), (MAX_SERIES, MAX_SERIES));
        for n in 0..10 {
            metrics.count(fetch(n, "status"), 1);
        }
        let other = Counter::Fetches { issuer: Label::Other, result: "status" };
        assert_eq!(metrics.counters.get(&other).map(|series| series.pending), Some(10));
        assert_eq!(metrics.counters.len(), MAX_SERIES + 1);
        let request = Counter::Cache { result: "hit" };
        metrics.count(request, 1);
        assert_eq!((metrics.of_requests, metrics.counters.contains_key(&request)), (1, true));
    }
}
