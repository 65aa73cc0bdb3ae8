//! Where tokens may go: cluster **and** authority, then path, method and Envoy's route.

use std::collections::HashMap;
use std::rc::Rc;

use crate::policy::{
    Authority, Mode, PathFeatures, PathPattern, Pattern, RequestPath, Route, RouteId, RouteTable, Rule,
};

/// Requests that get the token of one client.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The client, by its place in the configuration.
    pub client: usize,
    /// The clusters; at least one.
    pub clusters: Vec<Rc<str>>,
    /// The names of Envoy's routes; empty means any.
    pub route_names: Vec<Rc<str>>,
    /// What becomes of a credential of the caller's.
    pub caller_credential: CallerCredential,
    /// What it takes to choose it.
    pub chosen_by: ChosenBy,
}

/// What becomes of a credential that the caller has put where ours goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerCredential {
    /// The request is refused.
    Refuse,
    /// Ours takes its place.
    Replace,
    /// It stays, and ours is not sent.
    Keep,
}

/// What it takes to choose a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChosenBy {
    /// The request matches.
    Match,
    /// The request matches, and its route's metadata names the client.
    RouteMetadata,
}

/// All destinations.
#[derive(Clone, Debug, Default)]
pub struct DestinationTable {
    destinations: Vec<Destination>,
    /// The hosts of each, in the same order.
    authorities: Vec<Vec<Authority>>,
    /// The places of each client's.
    of_clients: HashMap<usize, Vec<usize>>,
    /// By cluster.
    tables: HashMap<Rc<str>, Tables>,
}

/// Those of one cluster.
#[derive(Clone, Debug, Default)]
struct Tables {
    /// By Envoy's route.
    named: HashMap<Rc<str>, Table>,
    any: Option<Table>,
}

#[derive(Clone, Debug)]
struct Table {
    routes: RouteTable,
    /// The destination of each route, in order.
    places: Vec<usize>,
    /// Some path matters.
    has_paths: bool,
}

/// Two destinations of which neither is more specific.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clash {
    /// The one that is there already.
    pub first: usize,
    /// The one that matches the same.
    pub second: usize,
}

/// What the table says of a request.
#[derive(Clone, Copy, Debug)]
pub enum Match<'a> {
    /// It goes there.
    Destination(&'a Destination),
    /// Servers may understand its path differently, and here the path matters.
    AmbiguousPath,
    /// It goes nowhere that is known.
    None,
}

impl DestinationTable {
    /// Builds the table.
    ///
    /// # Errors
    /// Every pair of which neither is more specific: same cluster, authority, path, method and route.
    pub fn new(destinations: Vec<(Pattern, Destination)>) -> Result<Self, Vec<Clash>> {
        type Routes = Vec<(Pattern, usize)>;
        let mut table = Self::default();
        let mut grouped: HashMap<(Rc<str>, Option<Rc<str>>), Routes> = HashMap::new();
        for (place, (pattern, destination)) in destinations.into_iter().enumerate() {
            if destination.chosen_by == ChosenBy::Match {
                let named: Vec<_> = destination.route_names.iter().cloned().map(Some).collect();
                let names = if named.is_empty() { vec![None] } else { named };
                for cluster in &destination.clusters {
                    for name in &names {
                        let group = grouped.entry((Rc::clone(cluster), name.clone())).or_default();
                        group.push((pattern.clone(), place));
                    }
                }
            }
            table.of_clients.entry(destination.client).or_default().push(place);
            table.authorities.push(pattern.authorities);
            table.destinations.push(destination);
        }
        let mut clashes = Vec::new();
        for ((cluster, route_name), routes) in grouped {
            let places: Vec<usize> = routes.iter().map(|(_, place)| *place).collect();
            let is_any =
                |path: &PathPattern| matches!(path, PathPattern::Prefix(segments) if segments.is_empty());
            let has_paths = routes.iter().any(|(pattern, _)| !is_any(&pattern.path));
            let routes = routes.into_iter().map(|(pattern, _)| (pattern, nothing())).collect();
            match RouteTable::new(routes, nothing()) {
                Ok(routes) => {
                    let tables = table.tables.entry(cluster).or_default();
                    let routes = Table { routes, places, has_paths };
                    match route_name {
                        Some(name) => drop(tables.named.insert(name, routes)),
                        None => tables.any = Some(routes),
                    }
                }
                Err(duplicates) => clashes.extend(duplicates.into_iter().filter_map(|duplicate| {
                    let place = |id: RouteId| places.get(usize::try_from(id.0).ok()?).copied();
                    Some(Clash { first: place(duplicate.first)?, second: place(duplicate.second)? })
                })),
            }
        }
        // Several clusters in common are one clash.
        clashes.sort_by_key(|clash| (clash.second, clash.first));
        clashes.dedup();
        if clashes.is_empty() { Ok(table) } else { Err(clashes) }
    }

    /// The most specific destination of a request: a named route comes before any route, then as [`RouteTable::find`].
    pub fn find(&self, cluster: &str, route_name: Option<&[u8]>, to: &Target<'_>) -> Match<'_> {
        let Some(tables) = self.tables.get(cluster) else { return Match::None };
        let named = route_name.and_then(|name| tables.named.get(str::from_utf8(name).ok()?));
        for table in named.into_iter().chain(&tables.any) {
            let path = match (&to.path, table.has_paths) {
                (Some(path), true) if path.features().first_not_in(PathFeatures::NONE).is_some() => {
                    return Match::AmbiguousPath;
                }
                (Some(path), true) => *path,
                (None, true) => return Match::AmbiguousPath,
                (_, false) => RequestPath::ROOT,
            };
            let id = table.routes.find(to.authority, &path, to.method);
            let place = usize::try_from(id.0).ok().and_then(|place| table.places.get(place));
            if let Some(destination) = place.and_then(|place| self.destinations.get(*place)) {
                return Match::Destination(destination);
            }
        }
        Match::None
    }

    /// A destination that lets the tokens of this client go to this cluster and authority, whatever else it asks for.
    pub fn of_client(&self, client: usize, cluster: &str, authority: &[u8]) -> Option<&Destination> {
        let places = self.of_clients.get(&client).into_iter().flatten();
        let mut of_client =
            places.filter_map(|place| Some((self.destinations.get(*place)?, self.authorities.get(*place)?)));
        let is_there = |(one, authorities): &(&Destination, &Vec<Authority>)| {
            one.clusters.iter().any(|name| **name == *cluster)
                && authorities.iter().any(|pattern| pattern.matches(authority))
        };
        of_client.find(is_there).map(|(one, _)| one)
    }

    /// All destinations in the order of the configuration.
    pub fn all(&self) -> &[Destination] {
        &self.destinations
    }

    /// Whether any destination names Envoy's routes.
    pub fn names_routes(&self) -> bool {
        self.destinations.iter().any(|destination| !destination.route_names.is_empty())
    }
}

/// Where a request wants to go.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// `:authority`.
    pub authority: &'a [u8],
    /// `:path`; `None` when it is none that a pattern could match.
    pub path: Option<RequestPath<'a>>,
    /// `:method`.
    pub method: &'a [u8],
}

/// The route of a table in which only the places count.
fn nothing() -> Route {
    Route { name: "".into(), rule: Rule::Public, mode: Mode::Enforce, allowed: PathFeatures::NONE }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(authority: &str, path: PathPattern) -> Pattern {
        Pattern { authorities: vec![Authority::Exact(authority.into())], path, methods: Vec::new() }
    }

    fn any() -> PathPattern {
        PathPattern::Prefix(Vec::new())
    }

    fn destination(client: usize, cluster: &str) -> Destination {
        Destination {
            client,
            clusters: vec![cluster.into()],
            route_names: Vec::new(),
            caller_credential: CallerCredential::Refuse,
            chosen_by: ChosenBy::Match,
        }
    }

    fn to<'a>(authority: &'a str, path: &'a str) -> Target<'a> {
        Target {
            authority: authority.as_bytes(),
            path: RequestPath::parse(path.as_bytes()).ok(),
            method: b"GET",
        }
    }

    fn client(
        table: &DestinationTable,
        cluster: &str,
        route: Option<&str>,
        to: &Target<'_>,
    ) -> Option<usize> {
        match table.find(cluster, route.map(str::as_bytes), to) {
            Match::Destination(destination) => Some(destination.client),
            Match::AmbiguousPath | Match::None => None,
        }
    }

    #[test]
    fn both_the_cluster_and_the_authority_have_to_match() {
        let table = DestinationTable::new(vec![(pattern("a.internal", any()), destination(7, "a"))]).unwrap();
        assert_eq!(client(&table, "a", None, &to("a.internal", "/x")), Some(7));
        assert_eq!(client(&table, "a", None, &to("A.internal.:8080", "*")), Some(7));
        assert_eq!(client(&table, "b", None, &to("a.internal", "/x")), None);
        assert_eq!(client(&table, "a", None, &to("b.internal", "/x")), None);
        assert!(table.of_client(7, "a", b"a.internal:80").is_some());
        assert!(table.of_client(7, "a", b"b.internal").is_none());
        assert!(table.of_client(7, "b", b"a.internal").is_none());
        assert!(table.of_client(6, "a", b"a.internal").is_none());
    }

    #[test]
    fn where_paths_matter_an_ambiguous_one_chooses_nobody() {
        let admin = PathPattern::Prefix(vec![crate::policy::Segment::Literal("admin".into())]);
        let table = DestinationTable::new(vec![
            (pattern("a", any()), destination(1, "a")),
            (pattern("a", admin), destination(2, "a")),
        ])
        .unwrap();
        assert_eq!(client(&table, "a", None, &to("a", "/admin/x")), Some(2));
        assert_eq!(client(&table, "a", None, &to("a", "/x")), Some(1));
        for path in ["/x/../admin", "//admin", "*", "/%61dmin/..;/x"] {
            assert!(matches!(table.find("a", None, &to("a", path)), Match::AmbiguousPath), "{path}");
        }
    }

    #[test]
    fn a_named_route_comes_before_any_route() {
        let named = Destination { route_names: vec!["batch".into()], ..destination(2, "a") };
        let table = DestinationTable::new(vec![
            (pattern("a", any()), destination(1, "a")),
            (pattern("a", any()), named),
        ])
        .unwrap();
        assert_eq!(client(&table, "a", Some("batch"), &to("a", "/")), Some(2));
        assert_eq!(client(&table, "a", Some("other"), &to("a", "/")), Some(1));
        assert_eq!(client(&table, "a", None, &to("a", "/")), Some(1));
        assert!(table.names_routes());
    }

    #[test]
    fn two_that_match_the_same_clash_and_one_that_metadata_chooses_clashes_with_none() {
        let clash = DestinationTable::new(vec![
            (pattern("a", any()), destination(1, "a")),
            (pattern("a", any()), destination(2, "a")),
        ]);
        assert_eq!(clash.unwrap_err(), [Clash { first: 0, second: 1 }]);
        let by_metadata = Destination { chosen_by: ChosenBy::RouteMetadata, ..destination(2, "a") };
        let table = DestinationTable::new(vec![
            (pattern("a", any()), destination(1, "a")),
            (pattern("a", any()), by_metadata),
        ])
        .unwrap();
        assert_eq!(client(&table, "a", None, &to("a", "/")), Some(1));
        assert!(table.of_client(2, "a", b"a").is_some());
    }
}
