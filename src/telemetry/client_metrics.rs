//! Decisions by client. A client gets a label only if a requirement of the configuration names it: what tokens say
//! names no metric.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use rustc_hash::FxBuildHasher;

use super::name::{Label, name, of_issuer};
use super::series::{Counter, CounterKey, Counters, MAX_DEFINED_PAIRS};
use crate::base::Observation;
use crate::inbound::{self, Decision, DecisionOutcome};
use crate::policy::IssuerId;

/// The counters of one inbound half whose requirements name clients.
#[derive(Debug)]
pub(super) struct ClientMetrics {
    clients: Vec<Rc<str>>,
    /// The place of each in that list.
    places: HashMap<Rc<str>, Label, FxBuildHasher>,
    issuers: Vec<Rc<str>>,
    counters: Counters<ClientCounter>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct ClientCounter {
    issuer: Label,
    client: Label,
    outcome: DecisionOutcome,
}

impl ClientMetrics {
    /// No counts yet; the first clients' are defined, so that the first event is an increase. `None` where no client is
    /// named.
    pub(super) fn new(inbound: &inbound::Settings) -> Option<Self> {
        let clients = named_clients(inbound);
        if clients.is_empty() {
            return None;
        }
        let places = (0..).zip(&clients).map(|(place, client)| (Rc::clone(client), Label::at(place)));
        let mut metrics = Self {
            places: places.collect(),
            clients,
            issuers: inbound.issuers.iter().map(|issuer| Rc::clone(&issuer.name)).collect(),
            counters: Counters::up_to(MAX_CLIENT_SERIES),
        };
        let issuers = || (0..inbound.issuers.len()).filter_map(IssuerId::at);
        let clients = (0..).map(Label::at).take(metrics.clients.len());
        let pairs = clients.flat_map(|client| issuers().map(move |issuer| (client, of_issuer(issuer))));
        for (client, issuer) in pairs.take(MAX_DEFINED_PAIRS) {
            for outcome in [DecisionOutcome::Permit, DecisionOutcome::Deny] {
                let names = (&*metrics.issuers, &*metrics.clients);
                let counter = ClientCounter { issuer, client, outcome };
                metrics.counters.define(counter, |counter| counter.named(names));
            }
        }
        Some(metrics)
    }

    /// Counts a decision.
    pub(super) fn record(&mut self, decision: &Decision) {
        let client = match decision.token().and_then(|token| token.client()) {
            None => Label::NONE,
            Some(client) if client.len() > MAX_CLIENT_LABEL => Label::OTHER,
            Some(client) => self.places.get(client).copied().unwrap_or(Label::OTHER),
        };
        let issuer = decision.issuer.map_or(Label::NONE, of_issuer);
        let names = (&*self.issuers, &*self.clients);
        let counter = ClientCounter { issuer, client, outcome: decision.outcome() };
        self.counters.add(counter, 1, |counter| counter.named(names));
    }

    /// Hands over what has been counted since the last time.
    pub(super) fn flush(&mut self, observations: &mut Vec<Observation>) {
        self.counters.flush(observations);
    }
}

impl CounterKey for ClientCounter {
    fn merged(self) -> Self {
        Self { issuer: Label::OTHER, client: Label::OTHER, ..self }
    }
}

impl ClientCounter {
    fn named(self, (issuers, clients): (&[Rc<str>], &[Rc<str>])) -> Counter {
        let (issuer, client) = (self.issuer.text(issuers), self.client.text(clients));
        let labels = [("issuer", issuer), ("client", client), ("outcome", self.outcome.label())];
        Counter::new(name("attache_decisions_by_client_total", &labels), "".into())
    }
}

/// The clients that requirements name, each once, in the order of the configuration: as many as there may be series.
fn named_clients(inbound: &inbound::Settings) -> Vec<Rc<str>> {
    let mut seen = HashSet::new();
    let of_routes = inbound.routes.routes().iter().filter_map(|route| route.rule.requirement());
    // Routes that demand the same share it.
    let of_routes = of_routes.filter(|requirement| seen.insert(Rc::as_ptr(requirement))).map(|rule| &**rule);
    let of_names = inbound.requirements.values().map(|named| named.requirement());
    let mut names = HashSet::new();
    let clients = of_routes.chain(of_names).flat_map(|requirement| requirement.clients());
    let clients = clients.filter(|client| is_label(client) && names.insert(Rc::clone(client)));
    clients.take(MAX_CLIENT_SERIES).cloned().collect()
}

/// Whether a client's name can be a label's value: it holds no separator, nothing that a query would have to escape, no
/// dot at an end, where Envoy drops it and two names would become one, and is not one of our own words.
fn is_label(client: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b";=\"\\".contains(&byte);
    let is_ours = ["none", "other"].contains(&client);
    let is_cut = client.starts_with('.') || client.ends_with('.');
    client.len() <= MAX_CLIENT_LABEL && client.bytes().all(is_plain) && !is_ours && !is_cut
}

/// The most counters of clients with names of their own, and the most clients that have labels: what a dashboard shows.
pub const MAX_CLIENT_SERIES: usize = 256;
/// The longest name of a client that is a label, in bytes: twice a SPIFFE ID as people write them.
const MAX_CLIENT_LABEL: usize = 128;
