//! Counters and gauges. Counted in here and handed to the host on the tick, so that a request costs no host call.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::name::name;
use crate::base::{Effect, Timestamp};
use crate::inbound::{Decision, Inbound, Work};
use crate::issuer::{FetchOutcome, KeyStore};
use crate::policy::{IssuerId, Mode, RouteId};

/// The metrics of one filter.
#[derive(Debug)]
pub struct Metrics {
    routes: Vec<Rc<str>>,
    issuers: Vec<Rc<str>>,
    counters: BTreeMap<Counter, Series>,
    gauges: BTreeMap<Gauge, Level>,
    version: u64,
    is_dirty: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Counter {
    Decisions { route: Label, issuer: Label, outcome: &'static str, reason: &'static str },
    Cache { result: &'static str },
    Signatures { engine: &'static str },
    Fetches { issuer: IssuerId, result: &'static str },
}

/// A label whose values the configuration gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
}

#[derive(Debug)]
struct Level {
    name: Rc<str>,
    shown: Option<u64>,
}

impl Metrics {
    /// No counts yet.
    pub fn new(settings: &Inbound) -> Self {
        Self {
            routes: settings.routes.routes().iter().map(|route| Rc::clone(&route.name)).collect(),
            issuers: settings.issuers.iter().map(|issuer| Rc::clone(&issuer.name)).collect(),
            counters: BTreeMap::new(),
            gauges: BTreeMap::new(),
            version: settings.version,
            is_dirty: false,
        }
    }

    /// Counts a decision, and says how it reads in an access log: `outcome=… reason=… route=… issuer=…`.
    pub fn record(&mut self, decision: &Decision) -> Rc<str> {
        self.record_work(decision.work);
        let reason = decision.verdict.as_ref().map_or_else(|denial| denial.label(), |_| "ok");
        let outcome = match (&decision.verdict, decision.mode) {
            (Ok(_), Mode::Enforce | Mode::ReportOnly) => "permit",
            (Err(_), Mode::Enforce) => "deny",
            (Err(_), Mode::ReportOnly) => "report",
        };
        let route = decision.route.map_or(Label::None, |RouteId(place)| Label::At(place));
        let issuer = decision.issuer.map_or(Label::None, |IssuerId(place)| Label::At(u32::from(place)));
        self.count(Counter::Decisions { route, issuer, outcome, reason }, 1)
    }

    /// Counts what a decision took, or what it took to find that it has to wait.
    pub fn record_work(&mut self, work: Work) {
        if let Some(hit) = work.cache_hit {
            self.count(Counter::Cache { result: if hit { "hit" } else { "miss" } }, 1);
        }
        if let Some((engine, checks)) = work.signatures {
            self.count(Counter::Signatures { engine: engine.label() }, u64::from(checks));
        }
    }

    /// Counts what became of a fetch of keys.
    pub fn record_fetch(&mut self, issuer: IssuerId, outcome: &FetchOutcome) {
        let result = match outcome {
            FetchOutcome::Changed(_) => "changed",
            FetchOutcome::Unchanged => "unchanged",
            FetchOutcome::Failed(error) => error.label(),
        };
        self.count(Counter::Fetches { issuer, result }, 1);
    }

    /// Hands over all that has changed since the last time.
    pub fn flush(&mut self, stores: &[KeyStore], now: Timestamp, effects: &mut Vec<Effect>) {
        self.gauge(Gauge::ConfigVersion, self.version, effects);
        for (index, store) in stores.iter().enumerate() {
            let Some(issuer) = IssuerId::at(index) else { continue };
            let keys = store.keys().map_or(0, |keys| keys.len());
            self.gauge(Gauge::Keys(issuer), u64::try_from(keys).unwrap_or(u64::MAX), effects);
            if let Some(fetched) = store.last_good() {
                self.gauge(Gauge::KeyAge(issuer), now.since(fetched).as_secs(), effects);
            }
        }
        if !core::mem::take(&mut self.is_dirty) {
            return;
        }
        for series in self.counters.values_mut().filter(|series| series.pending > 0) {
            let by = core::mem::take(&mut series.pending);
            effects.push(Effect::Count { name: Rc::clone(&series.name), by });
        }
    }

    fn count(&mut self, counter: Counter, by: u64) -> Rc<str> {
        self.is_dirty = true;
        let is_full = self.counters.len() >= MAX_SERIES && !self.counters.contains_key(&counter);
        let counter = if is_full { counter.merged() } else { counter };
        let (routes, issuers) = (&self.routes, &self.issuers);
        let series = self.counters.entry(counter).or_insert_with(|| counter.series(routes, issuers));
        series.pending = series.pending.saturating_add(by);
        Rc::clone(&series.annotation)
    }

    fn gauge(&mut self, gauge: Gauge, value: u64, effects: &mut Vec<Effect>) {
        let issuers = &self.issuers;
        let level =
            self.gauges.entry(gauge).or_insert_with(|| Level { name: gauge.name(issuers), shown: None });
        if level.shown.replace(value) != Some(value) {
            effects.push(Effect::Gauge { name: Rc::clone(&level.name), value });
        }
    }
}

impl Counter {
    /// The series that takes what has no room of its own. There are as many of these as reasons, and no more.
    fn merged(self) -> Self {
        match self {
            Self::Decisions { outcome, reason, .. } => {
                Self::Decisions { route: Label::Other, issuer: Label::Other, outcome, reason }
            }
            Self::Cache { .. } | Self::Signatures { .. } | Self::Fetches { .. } => self,
        }
    }

    fn series(self, routes: &[Rc<str>], issuers: &[Rc<str>]) -> Series {
        let mut annotation = String::new();
        let name = match self {
            Self::Decisions { route, issuer, outcome, reason } => {
                let (route, issuer) = (route.text(routes), issuer.text(issuers));
                annotation = format!("outcome={outcome} reason={reason} route={route} issuer={issuer}");
                let labels = [("route", route), ("issuer", issuer), ("outcome", outcome), ("reason", reason)];
                name("attache_decisions", &labels)
            }
            Self::Cache { result } => name("attache_token_cache", &[("result", result)]),
            Self::Signatures { engine } => name("attache_signature_checks", &[("engine", engine)]),
            Self::Fetches { issuer, result } => {
                let issuer = Label::At(u32::from(issuer.0)).text(issuers);
                name("attache_key_fetches", &[("issuer", issuer), ("result", result)])
            }
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
        }
    }
}

/// The most counters with names of their own. Envoy never forgets a metric, and each takes some 500 bytes there.
pub const MAX_SERIES: usize = 4096;
