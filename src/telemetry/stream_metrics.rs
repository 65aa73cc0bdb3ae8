//! The metrics of the streams that end with their token, and what an access log shows of one that has.

use std::rc::Rc;

use super::name::{Label, name, of_issuer};
use super::series::{Counter, CounterKey, Counters, MAX_DEFINED_PAIRS};
use crate::base::Observation;
use crate::inbound::{self, OpenStream};
use crate::policy::{IssuerId, Mode, RouteId, StreamEnd};

/// The metrics of one inbound half that has such streams.
#[derive(Debug)]
pub struct StreamMetrics {
    routes: Vec<Rc<str>>,
    issuers: Vec<Rc<str>>,
    counters: Counters<StreamCounter>,
    /// How many of this thread are open, as the host knows it; `None` before it knows of any.
    open: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct StreamCounter {
    event: StreamEvent,
    route: Label,
    issuer: Label,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum StreamEvent {
    /// It was ended.
    Ended,
    /// It would have been.
    Reported,
    /// There was no room for it, and it was let in.
    Unlimited,
}

impl StreamMetrics {
    /// No counts yet; those that alerts rest on are defined, so that the first event is an increase.
    pub fn new(inbound: &inbound::Settings) -> Self {
        let routes = inbound.routes.routes();
        let mut metrics = Self {
            routes: routes.iter().map(|route| Rc::clone(&route.name)).collect(),
            issuers: inbound.issuers.iter().map(|issuer| Rc::clone(&issuer.name)).collect(),
            counters: Counters::up_to(MAX_STREAM_SERIES),
            open: None,
        };
        let ends = (0..).zip(routes).filter(|(_, route)| route.stream_end == StreamEnd::AtExpiry);
        let issuers = || (0..inbound.issuers.len()).filter_map(IssuerId::at);
        let defined = ends.flat_map(|(place, _)| issuers().map(move |issuer| (RouteId(place), issuer)));
        for (route, issuer) in defined.take(MAX_DEFINED_PAIRS) {
            metrics.define(StreamEvent::Unlimited, route, issuer);
        }
        metrics
    }

    /// Counts a stream that has ended, or would have, and says how that reads in an access log:
    /// `outcome=end reason=expired route=… issuer=…`.
    pub fn record_end(&mut self, stream: OpenStream) -> &Rc<str> {
        let event = match stream.mode {
            Mode::Enforce => StreamEvent::Ended,
            Mode::ReportOnly => StreamEvent::Reported,
        };
        &self.count(event, stream).annotation
    }

    /// Counts a stream that was let in although there was no room for it.
    pub fn record_unlimited(&mut self, stream: OpenStream) {
        self.count(StreamEvent::Unlimited, stream);
    }

    /// Hands over what has changed since the last time; so many streams are open.
    pub fn flush(&mut self, open: usize, observations: &mut Vec<Observation>) {
        let open = u64::try_from(open).unwrap_or(u64::MAX);
        let before = self.open.replace(open);
        if before != Some(open) {
            // All threads add to one gauge.
            let by =
                i64::try_from(open).unwrap_or(i64::MAX).saturating_sub_unsigned(before.unwrap_or_default());
            observations.push(Observation::Adjust { name: name("attache_open_streams", &[]), by });
        }
        self.counters.flush(observations);
    }

    fn count(&mut self, event: StreamEvent, OpenStream { route, issuer, .. }: OpenStream) -> &Counter {
        let (routes, issuers) = (&self.routes, &self.issuers);
        let counter = StreamCounter::new(event, route, issuer);
        self.counters.add(counter, 1, |counter| counter.named(routes, issuers))
    }

    fn define(&mut self, event: StreamEvent, route: RouteId, issuer: IssuerId) {
        let (routes, issuers) = (&self.routes, &self.issuers);
        let counter = StreamCounter::new(event, route, issuer);
        self.counters.define(counter, |counter| counter.named(routes, issuers));
    }
}

impl CounterKey for StreamCounter {
    fn merged(self) -> Self {
        Self { route: Label::OTHER, issuer: Label::OTHER, ..self }
    }
}

impl StreamCounter {
    fn new(event: StreamEvent, RouteId(route): RouteId, issuer: IssuerId) -> Self {
        Self { event, route: Label::at(route), issuer: of_issuer(issuer) }
    }

    fn named(self, routes: &[Rc<str>], issuers: &[Rc<str>]) -> Counter {
        let (route, issuer) = (self.route.text(routes), self.issuer.text(issuers));
        let outcome = match self.event {
            StreamEvent::Ended => "end",
            StreamEvent::Reported => "report",
            StreamEvent::Unlimited => "unlimited",
        };
        let annotation = format!("outcome={outcome} reason=expired route={route} issuer={issuer}");
        let labels = [("route", route), ("issuer", issuer), ("outcome", outcome)];
        Counter::new(name("attache_streams_total", &labels), annotation.into())
    }
}

/// The most counters of streams with names of their own: routes whose streams outlive their tokens are few.
pub const MAX_STREAM_SERIES: usize = 1024;
