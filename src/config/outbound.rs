//! The block `outbound`.

use core::time::Duration;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::clients::ParsedClient;
use super::destinations::{Destinations, References};
use super::environment::Environment;
use super::reader::{Node, refuse_repeated};
use super::{clients, destinations, inbound, values};
use crate::oauth::{BreakerSettings, Grant, MAX_OPEN};
use crate::outbound::{self, Client, ClientId, DestinationTable, Endpoint, EndpointId, Position, Unmatched};
use crate::policy::Overrides;

/// What the block is read with.
pub(super) struct OutboundContext<'c> {
    pub(super) environment: &'c dyn Environment,
    /// Whether there is a block `inbound`.
    pub(super) has_inbound: bool,
    /// The clients that fetch keys for it; `None` when that could not be read.
    pub(super) fetching: Option<&'c [Rc<str>]>,
}

pub(super) fn read(node: &Node<'_>, context: &OutboundContext<'_>) -> Option<outbound::Settings> {
    let &OutboundContext { environment, has_inbound, fetching } = context;
    let fields = node.fields(&[
        "position",
        "clients",
        "destinations",
        "unmatched",
        "route_metadata",
        "allow_overrides",
        "plaintext_clusters",
        "waiting",
        "purge_interval",
        "breaker",
    ])?;
    let position = fields.read("position", |node| {
        let position =
            node.word(&[("downstream", Position::Downstream), ("upstream", Position::Upstream)])?;
        if position == Position::Upstream && has_inbound {
            node.problem::<()>(
                "the block `inbound` runs in a listener: leave it out of an upstream filter's configuration",
            );
        }
        Some(position)
    });
    let context = clients::ClientContext { environment, position, has_inbound };
    let clients = fields.read("clients", |node| clients::read(node, &context));
    let route_metadata =
        fields.or("route_metadata", false, |node| node.word(&[("ignore", false), ("read", true)]));
    let read = |node: &Node<'_>| {
        let context = destination_context(clients.as_deref(), route_metadata);
        destinations::read(node, &context)
    };
    // Clients that fetch keys need none.
    let is_fetching = fetching.is_none_or(|fetching| !fetching.is_empty());
    let destinations = if is_fetching {
        let table = DestinationTable::new(Vec::new(), false).ok();
        fields.or("destinations", Destinations { table, named: Some(References::default()) }, read)
    } else {
        fields.read("destinations", read)
    };
    let has_destinations = !is_fetching || fields.optional("destinations").is_some();
    let (table, named) =
        destinations.map_or((None, None), |destinations| (destinations.table, destinations.named));
    if let (Some(clients), Some(named)) = (&clients, &named) {
        refuse_unused(clients, named, fetching);
    }
    let read = |node: &Node<'_>| {
        let word = node.word(&[("pass", Unmatched::Pass), ("deny", Unmatched::Deny)])?;
        if word == Unmatched::Deny && !has_destinations {
            return node.problem("without `destinations` every request would be denied: leave this out");
        }
        Some(word)
    };
    let unmatched = match fields.optional("unmatched") {
        Some(node) => read(&node),
        None if has_destinations => node.problem("missing field `unmatched`"),
        None => Some(Unmatched::Pass),
    };
    let plaintext_clusters =
        fields.or("plaintext_clusters", HashSet::new(), |node| plaintext_clusters(node, named.as_ref()));
    let allowed_overrides = fields.or("allow_overrides", Vec::new(), inbound::allowed_overrides);
    let waiting = fields.or("waiting", inbound::DEFAULT_WAITING, inbound::waiting);
    let purge_interval = fields.or("purge_interval", DEFAULT_PURGE_INTERVAL, |node| {
        node.duration(Duration::from_secs(1), Duration::from_secs(3600))
    });
    let breaker = fields.or("breaker", DEFAULT_BREAKER, breaker);

    let (clients, endpoints) = assembled(clients?)?;
    let table = table?;
    let allowed_overrides = allowed_overrides?;
    Some(outbound::Settings {
        position: position?,
        names: (0..).map(ClientId).zip(&clients).map(|(id, client)| (Rc::clone(&client.name), id)).collect(),
        clients,
        own_clusters: endpoints.iter().flat_map(Endpoint::clusters).cloned().collect(),
        endpoints,
        overrides: Overrides::guarding(|overridden| table.asks_for(overridden), &allowed_overrides),
        destinations: table,
        unmatched: unmatched?,
        reads_route_metadata: route_metadata?,
        plaintext_clusters: plaintext_clusters?,
        waiting: waiting?,
        purge_interval: purge_interval?,
        breaker: breaker?,
    })
}

fn destination_context<'c>(
    clients: Option<&'c [ParsedClient<'_>]>,
    reads_route_metadata: Option<bool>,
) -> destinations::DestinationContext<'c> {
    let mut context = destinations::DestinationContext {
        clients: HashMap::new(),
        knows_all_clients: clients.is_some(),
        exchanging: HashSet::new(),
        own_clusters: HashSet::new(),
        reads_route_metadata,
    };
    for (id, client) in (0..).map(ClientId).zip(clients.unwrap_or_default()) {
        match &client.name {
            Some(name) => {
                context.clients.entry(name).or_insert(id);
            }
            None => context.knows_all_clients = false,
        }
        let takes_its_place = |client: &Client| {
            matches!(client.request.grant, Grant::TokenExchange { .. }) && *client.header == *"authorization"
        };
        if client.client.as_ref().is_some_and(takes_its_place) {
            context.exchanging.insert(id);
        }
        if let Some(endpoint) = &client.endpoint {
            context.own_clusters.extend(endpoint.clusters().map(|cluster| &**cluster));
        }
    }
    context
}

fn refuse_unused(clients: &[ParsedClient<'_>], named: &References, fetching: Option<&[Rc<str>]>) {
    // Where the keys' sources could not be read, any client may be theirs.
    let Some(fetching) = fetching else { return };
    let mut names = HashSet::new();
    for (id, client) in (0..).map(ClientId).zip(clients) {
        // The second of a name is another problem.
        let is_first = client.name.as_ref().is_some_and(|name| names.insert(name));
        let fetches = client.name.as_ref().is_some_and(|name| fetching.contains(name));
        if is_first && !fetches && !named.clients.contains(&id) {
            client.node.problem::<()>("no destination names this client: leave it out");
        }
    }
}

/// The clients, and each endpoint once however many of them ask there.
fn assembled(parsed: Vec<ParsedClient<'_>>) -> Option<(Vec<Rc<Client>>, Vec<Endpoint>)> {
    let mut places: HashMap<Endpoint, usize> = HashMap::new();
    let mut endpoints = Vec::new();
    let mut clients = Vec::new();
    for ParsedClient { client, endpoint, .. } in parsed {
        let endpoint = endpoint?;
        let new = endpoints.len();
        let place = *places.entry(endpoint.clone()).or_insert(new);
        if place == new {
            endpoints.push(endpoint);
        }
        clients.push(Rc::new(Client { endpoint: EndpointId(place), ..client? }));
    }
    Some((clients, endpoints))
}

fn plaintext_clusters(node: &Node<'_>, named: Option<&References>) -> Option<HashSet<Rc<str>>> {
    let clusters = node.each(destinations::MAX_DESTINATIONS, |item| {
        let cluster = values::plain(item)?;
        if named.is_some_and(|named| !named.clusters.contains(&cluster)) {
            return item.problem("no destination has this cluster: leave it out");
        }
        Some(cluster)
    })?;
    refuse_repeated(clusters.iter().map(|(node, cluster)| (node, cluster.as_ref())), "", "cluster");
    clusters.into_iter().map(|(_, cluster)| cluster).collect()
}

fn breaker(node: &Node<'_>) -> Option<BreakerSettings> {
    let fields = node.fields(&["failures", "open_duration"])?;
    let failures = fields.or("failures", DEFAULT_BREAKER.failures, |node| node.integer(1, 100));
    let open_duration = fields.or("open_duration", DEFAULT_BREAKER.open_duration, |node| {
        node.duration(Duration::from_millis(100), MAX_OPEN)
    });
    Some(BreakerSettings { failures: failures?, open_duration: open_duration? })
}

/// A token that was good is refused for a key that was withdrawn or a clock that differs, and a new one mends either:
/// once is enough to find out.
const DEFAULT_PURGE_INTERVAL: Duration = Duration::from_secs(10);
/// One bad answer is chance; five in a row are an outage, and a restart takes some seconds.
const DEFAULT_BREAKER: BreakerSettings =
    BreakerSettings { failures: 5, open_duration: Duration::from_secs(5) };
