//! The list `outbound.destinations`.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::reader::{Node, printable};
use super::{routes, values};
use crate::outbound::{CallerCredential, ChosenBy, ClientId, Destination, DestinationTable};
use crate::policy::{LetterCase, PathPattern, Pattern};

/// What destinations refer to.
pub(super) struct DestinationContext<'c> {
    /// The clients' places by name.
    pub(super) clients: HashMap<&'c str, ClientId>,
    /// Whether all clients have a name that could be read: one that is not there does not exist.
    pub(super) knows_all_clients: bool,
    /// The clients that put what they get in exchange where callers' tokens sit.
    pub(super) exchanging: HashSet<ClientId>,
    /// The clusters that carry the filter's own calls.
    pub(super) own_clusters: HashSet<&'c str>,
    /// Whether route metadata is read; `None` when that could not be read.
    pub(super) reads_route_metadata: Option<bool>,
}

/// What became of the list.
pub(super) struct Destinations {
    /// The table, if all of it holds together.
    pub(super) table: Option<DestinationTable>,
    /// What the list names, if all of that could be read.
    pub(super) named: Option<References>,
}

/// What destinations name.
#[derive(Default)]
pub(super) struct References {
    /// Clients, by their places.
    pub(super) clients: HashSet<ClientId>,
    pub(super) clusters: HashSet<Rc<str>>,
}

pub(super) fn read(node: &Node<'_>, context: &DestinationContext<'_>) -> Option<Destinations> {
    let mut named = Some(References::default());
    let destinations = node.each(MAX_DESTINATIONS, |item| destination(item, context, &mut named))?;
    let is_whole = destinations.iter().all(|(_, destination)| destination.is_some());
    // What clashes is told even where other destinations are not understood.
    let placed = destinations.into_iter().enumerate();
    let (places, destinations): (Vec<_>, Vec<_>) =
        placed.filter_map(|(index, (node, destination))| Some(((index, node), destination?))).unzip();
    let table = if destinations.iter().map(places_of).fold(0, usize::saturating_add) > MAX_PLACES {
        node.problem(format_args!(
            "more than {MAX_PLACES} combinations of cluster, authority and route name: name fewer, or \
             use suffixes like *.internal"
        ))
    } else {
        table(node, destinations, &places, context.reads_route_metadata == Some(true))
    };
    Some(Destinations { table: table.filter(|_| is_whole), named })
}

fn table(
    node: &Node<'_>,
    destinations: Vec<(Pattern, Destination)>,
    places: &[(usize, Node<'_>)],
    reads_route_metadata: bool,
) -> Option<DestinationTable> {
    let problems = match DestinationTable::new(destinations, reads_route_metadata) {
        Ok(table) => return Some(table),
        Err(problems) => problems,
    };
    for problem in problems {
        let matches = "cluster, authority, path, method and route name";
        routes::report(node, "destinations", &problem, matches, |place| places.get(place));
    }
    None
}

/// In how many places of the table a destination stands.
fn places_of((pattern, destination): &(Pattern, Destination)) -> usize {
    match destination.chosen_by {
        ChosenBy::Match => {
            let names = destination.route_names.len().max(1);
            pattern.authorities.len().saturating_mul(destination.clusters.len()).saturating_mul(names)
        }
        ChosenBy::RouteMetadata => 0,
    }
}

fn destination(
    node: &Node<'_>,
    context: &DestinationContext<'_>,
    named: &mut Option<References>,
) -> Option<(Pattern, Destination)> {
    let Some(fields) = node.fields(&["match", "client", "caller_credential", "chosen_by", "allow_in_path"])
    else {
        *named = None;
        return None;
    };
    let chosen_by = fields.or("chosen_by", ChosenBy::Match, |node| {
        let word = node.word(&[("match", ChosenBy::Match), ("route_metadata", ChosenBy::RouteMetadata)])?;
        if word == ChosenBy::RouteMetadata && context.reads_route_metadata == Some(false) {
            return node.problem("route metadata is not read: write `route_metadata: read` in `outbound`");
        }
        Some(word)
    });
    let matches = fields.read("match", |node| matches(node, chosen_by, context));
    let client = fields.read("client", |node| client(node, context));
    let caller_credential = fields.or("caller_credential", CallerCredential::Deny, |node| {
        node.word(&[
            ("deny", CallerCredential::Deny),
            ("replace", CallerCredential::Replace),
            ("keep", CallerCredential::Keep),
        ])
    });
    let allowed = routes::allowed_in_path(&fields);
    let is_exchanging = client.is_some_and(|client| context.exchanging.contains(&client));
    if is_exchanging && caller_credential.is_some_and(|one| one != CallerCredential::Replace) {
        node.problem::<()>(
            "the exchanged token goes where the caller's token is: write `caller_credential: replace`",
        );
    }
    match (named.as_mut(), client, matches.as_ref()) {
        (Some(named), Some(client), Some(matches)) => {
            named.clients.insert(client);
            named.clusters.extend(matches.clusters.iter().cloned());
        }
        _ => *named = None,
    }
    let ParsedMatch { pattern, clusters, route_names } = matches?;
    let destination = Destination {
        client: client?,
        clusters,
        route_names,
        caller_credential: caller_credential?,
        chosen_by: chosen_by?,
        allowed: allowed?,
    };
    Some((pattern, destination))
}

fn client(node: &Node<'_>, context: &DestinationContext<'_>) -> Option<ClientId> {
    let name = node.string()?;
    match context.clients.get(name) {
        Some(place) => Some(*place),
        None if context.knows_all_clients => {
            node.problem(format_args!("unknown client `{}`", printable(name)))
        }
        None => None,
    }
}

/// The patterns of a list that has been found good.
pub(super) fn patterns(outbound: &Node<'_>) -> Vec<Pattern> {
    let context = DestinationContext {
        clients: HashMap::new(),
        knows_all_clients: false,
        exchanging: HashSet::new(),
        own_clusters: HashSet::new(),
        reads_route_metadata: None,
    };
    let of = |item: Node<'_>| {
        let node = item.fields(&[])?.optional("match")?;
        matches(&node, None, &context).map(|matches| matches.pattern)
    };
    let destinations = || outbound.fields(&[])?.optional("destinations")?.list(MAX_DESTINATIONS);
    destinations().unwrap_or_default().into_iter().filter_map(of).collect()
}

struct ParsedMatch {
    pattern: Pattern,
    clusters: Vec<Rc<str>>,
    route_names: Vec<Rc<str>>,
}

fn matches(
    node: &Node<'_>,
    chosen_by: Option<ChosenBy>,
    context: &DestinationContext<'_>,
) -> Option<ParsedMatch> {
    let fields = node.fields(&[
        "authorities",
        "clusters",
        "path",
        "prefix",
        "case_sensitive",
        "methods",
        "route_names",
    ])?;
    let authorities = fields.read("authorities", routes::authorities);
    let clusters = fields.read("clusters", |node| clusters(node, context));
    let path = match (fields.optional("path"), fields.optional("prefix")) {
        (Some(node), None) => routes::segments(&node).map(PathPattern::Whole),
        (None, Some(node)) => routes::prefix(&node).map(PathPattern::Prefix),
        (None, None) => Some(PathPattern::Prefix(Vec::new())),
        (Some(_), Some(_)) => node.problem("expected path or prefix, not both"),
    };
    let case = routes::letter_case(&fields, LetterCase::Matters);
    let methods = fields.or("methods", Vec::new(), routes::methods);
    let route_names = fields
        .or("route_names", Vec::new(), |node| node.distinct(MAX_ROUTE_NAMES, "route name", values::plain));
    let narrows =
        ["path", "prefix", "methods", "route_names"].iter().any(|name| fields.optional(name).is_some());
    if chosen_by == Some(ChosenBy::RouteMetadata) && narrows {
        return node.problem(
            "the route's metadata chooses this destination: leave path, prefix, methods and route_names out",
        );
    }
    let pattern =
        Pattern { authorities: authorities?, path: path?, methods: methods?, case: case?, mcp: None };
    Some(ParsedMatch { pattern, clusters: clusters?, route_names: route_names? })
}

fn clusters(node: &Node<'_>, context: &DestinationContext<'_>) -> Option<Vec<Rc<str>>> {
    node.distinct(MAX_CLUSTERS, "cluster", |item| {
        let cluster = values::plain(item)?;
        if context.own_clusters.contains(&*cluster) {
            return item.problem(
                "this cluster carries a client's token requests or metadata, and the filter never \
                 handles its own calls: give the destination a cluster of its own",
            );
        }
        Some(cluster)
    })
}

/// As many as an inbound half has routes: a mesh's whole egress.
pub const MAX_DESTINATIONS: usize = 20_000;
/// A service in so many versions and zones is one for a destination of each.
const MAX_CLUSTERS: usize = 64;
/// As many routes as a virtual host gives names to.
const MAX_ROUTE_NAMES: usize = 64;
/// Five for each of the most destinations.
const MAX_PLACES: usize = 100_000;
