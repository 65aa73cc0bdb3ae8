//! The block `outbound`.

use core::time::Duration;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::clients::ParsedClient;
use super::destinations::Named;
use super::environment::Environment;
use super::reader::{Node, refuse_repeated};
use super::{clients, destinations, inbound, values};
use crate::oauth::{BreakerSettings, Grant, MAX_OPEN};
use crate::outbound::{Client, Endpoint, Outbound, Position, Unmatched, WaitingSettings};
use crate::policy::Overrides;

pub(super) fn read(node: &Node<'_>, environment: &dyn Environment, has_inbound: bool) -> Option<Outbound> {
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
    let position = fields.required("position").and_then(|node| {
        let position =
            node.word(&[("downstream", Position::Downstream), ("upstream", Position::Upstream)])?;
        if position == Position::Upstream && has_inbound {
            node.problem::<()>(
                "`inbound` runs in the listener: give the cluster's filter a configuration of its own",
            );
        }
        Some(position)
    });
    let setting = clients::ClientContext { environment, position, has_inbound };
    let clients = fields.required("clients").and_then(|node| clients::read(&node, &setting));
    let route_metadata =
        fields.or("route_metadata", false, |node| node.word(&[("ignore", false), ("read", true)]));
    let destinations = fields.required("destinations").and_then(|node| {
        let setting = what_destinations_refer_to(clients.as_deref(), route_metadata);
        destinations::read(&node, &setting)
    });
    let (table, named) =
        destinations.map_or((None, None), |destinations| (destinations.table, destinations.named));
    if let (Some(clients), Some(named)) = (&clients, &named) {
        refuse_unused(clients, named);
    }
    let unmatched = fields
        .required("unmatched")
        .and_then(|node| node.word(&[("pass", Unmatched::Pass), ("deny", Unmatched::Deny)]));
    let plaintext_clusters =
        fields.or("plaintext_clusters", HashSet::new(), |node| plaintext_clusters(&node, named.as_ref()));
    let allowed_overrides =
        fields.or("allow_overrides", Vec::new(), |node| inbound::allowed_overrides(&node));
    let waiting = fields.or("waiting", inbound::DEFAULT_WAITING, |node| inbound::waiting(&node));
    let purge_interval = fields.or("purge_interval", DEFAULT_PURGE_INTERVAL, |node| {
        node.duration(Duration::from_secs(1), Duration::from_secs(3600))
    });
    let breaker = fields.or("breaker", DEFAULT_BREAKER, |node| breaker(&node));

    let (clients, endpoints) = assembled(clients?)?;
    let waiting = waiting?;
    let table = table?;
    let allowed_overrides = allowed_overrides?;
    Some(Outbound {
        position: position?,
        names: clients.iter().enumerate().map(|(place, client)| (Rc::clone(&client.name), place)).collect(),
        clients,
        own_clusters: endpoints.iter().flat_map(Endpoint::clusters).cloned().collect(),
        endpoints,
        overrides: Overrides::guarding(|overridden| table.asks_for(overridden), &allowed_overrides),
        destinations: table,
        unmatched: unmatched?,
        reads_route_metadata: route_metadata?,
        plaintext_clusters: plaintext_clusters?,
        waiting: WaitingSettings { requests: waiting.requests, deadline: waiting.deadline },
        purge_interval: purge_interval?,
        breaker: breaker?,
    })
}

fn what_destinations_refer_to<'c>(
    clients: Option<&'c [ParsedClient<'_>]>,
    reads_route_metadata: Option<bool>,
) -> destinations::DestinationContext<'c> {
    let mut setting = destinations::DestinationContext {
        clients: HashMap::new(),
        knows_all_clients: clients.is_some(),
        exchanging: HashSet::new(),
        own_clusters: HashSet::new(),
        reads_route_metadata,
    };
    for (place, client) in clients.unwrap_or_default().iter().enumerate() {
        match &client.name {
            Some(name) => {
                setting.clients.entry(name).or_insert(place);
            }
            None => setting.knows_all_clients = false,
        }
        let takes_its_place = |client: &Client| {
            matches!(client.request.grant, Grant::TokenExchange { .. }) && *client.header == *"authorization"
        };
        if client.client.as_ref().is_some_and(takes_its_place) {
            setting.exchanging.insert(place);
        }
        if let Some(endpoint) = &client.endpoint {
            setting.own_clusters.extend(endpoint.clusters().map(|cluster| &**cluster));
        }
    }
    setting
}

fn refuse_unused(clients: &[ParsedClient<'_>], named: &Named) {
    let mut names = HashSet::new();
    for (place, client) in clients.iter().enumerate() {
        // The second of a name is another problem.
        let is_first = client.name.as_ref().is_some_and(|name| names.insert(name));
        if is_first && !named.clients.contains(&place) {
            client
                .node
                .problem::<()>("no destination names this client: its token would be obtained for nobody");
        }
    }
}

/// The clients, and each endpoint once however many of them ask there.
fn assembled(written: Vec<ParsedClient<'_>>) -> Option<(Vec<Rc<Client>>, Vec<Endpoint>)> {
    let mut places: HashMap<Endpoint, usize> = HashMap::new();
    let mut endpoints = Vec::new();
    let mut clients = Vec::new();
    for ParsedClient { client, endpoint, .. } in written {
        let endpoint = endpoint?;
        let new = endpoints.len();
        let place = *places.entry(endpoint.clone()).or_insert(new);
        if place == new {
            endpoints.push(endpoint);
        }
        clients.push(Rc::new(Client { endpoint: place, ..client? }));
    }
    Some((clients, endpoints))
}

fn plaintext_clusters(node: &Node<'_>, named: Option<&Named>) -> Option<HashSet<Rc<str>>> {
    let clusters = node.each(destinations::MAX_DESTINATIONS, |item| {
        let cluster = values::plain(&item)?;
        if named.is_some_and(|named| !named.clusters.contains(&cluster)) {
            return item.problem("no destination has this cluster: leave it out");
        }
        Some((item, cluster))
    })?;
    refuse_repeated(clusters.iter().map(|(node, cluster)| (node, cluster)), "this cluster");
    Some(clusters.into_iter().map(|(_, cluster)| cluster).collect())
}

fn breaker(node: &Node<'_>) -> Option<BreakerSettings> {
    let fields = node.fields(&["failures", "open_duration"])?;
    let failures = fields.or("failures", DEFAULT_BREAKER.failures, |node| {
        node.integer(1, 100).and_then(|number| u32::try_from(number).ok())
    });
    let open_duration = fields.or("open_duration", DEFAULT_BREAKER.open_duration, |node| {
        node.duration(Duration::from_millis(100), MAX_OPEN)
    });
    Some(BreakerSettings { failures: failures?, open_duration: open_duration? })
}

/// A token that was good is refused for a key that was withdrawn or a clock that differs, and a new one mends either: once is enough
/// to find out.
const DEFAULT_PURGE_INTERVAL: Duration = Duration::from_secs(10);
/// One bad answer is chance; five in a row are an outage, and a restart takes some seconds.
const DEFAULT_BREAKER: BreakerSettings =
    BreakerSettings { failures: 5, open_duration: Duration::from_secs(5) };
