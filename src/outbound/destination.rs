//! Where tokens may go: cluster **and** authority, then path, method and Envoy's route.

use std::collections::HashMap;
use std::rc::Rc;

use super::ids::ClientId;
use crate::policy::{
    Authority, ByAuthority, Mode, Overridden, PathFeatures, Pattern, RequestAuthority, RequestPath, Route,
    RouteAudit, RouteId, RouteTable, Rule, StreamEnd, TableProblem,
};

/// Requests that get the token of one client.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The client, by its place in the configuration.
    pub client: ClientId,
    /// The clusters; at least one.
    pub clusters: Vec<Rc<str>>,
    /// The names of Envoy's routes; empty means any.
    pub route_names: Vec<Rc<str>>,
    /// What becomes of a credential of the caller's.
    pub caller_credential: CallerCredential,
    /// What it takes to choose it.
    pub chosen_by: ChosenBy,
    /// The odd path features that it lets through, where the path or Envoy's route counts.
    pub allowed: PathFeatures,
}

/// What becomes of a credential that the caller has put where ours goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerCredential {
    /// The request is refused.
    Deny,
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
    /// Envoy's route has a part in some of it.
    is_routed: bool,
    destinations: Vec<Destination>,
    /// The hosts of each, in the same order.
    authorities: Vec<Vec<Authority>>,
    /// The places of each client's.
    of_clients: HashMap<ClientId, Vec<usize>>,
    /// By cluster.
    tables: HashMap<Rc<str>, Tables>,
}

/// Those of one cluster.
#[derive(Clone, Debug, Default)]
struct Tables {
    /// By Envoy's route.
    named: HashMap<Rc<str>, Table>,
    any: Option<Table>,
    /// The authorities for which Envoy's choice of a route decides something.
    routed: ByAuthority<bool>,
}

#[derive(Clone, Debug)]
struct Table {
    routes: RouteTable,
    /// The destination of each route, in order.
    places: Vec<usize>,
}

/// What the table says of a request.
#[derive(Clone, Copy, Debug)]
pub enum Match<'a> {
    /// It goes there.
    Destination(&'a Destination),
    /// Servers may understand its path differently, and here the path matters.
    AmbiguousPath,
    /// It goes to a cluster of some destination, and its authority is none, or in a spelling by which Envoy chooses
    /// another route.
    BadAuthority,
    /// Its method has a lower-case letter, and here the method or Envoy's route matters: servers that do not look at
    /// case take it for another one.
    BadMethod,
    /// It goes nowhere that is known.
    None,
}

impl DestinationTable {
    /// Builds the table. `reads_route_metadata`: Envoy's route may name the client.
    ///
    /// # Errors
    /// As [`RouteTable::new`], by the places of the destinations, among those of one cluster and route.
    pub fn new(
        destinations: Vec<(Pattern, Destination)>,
        reads_route_metadata: bool,
    ) -> Result<Self, Vec<TableProblem<usize>>> {
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
            if reads_route_metadata || !destination.route_names.is_empty() {
                table.is_routed = true;
                for cluster in &destination.clusters {
                    let tables = table.tables.entry(Rc::clone(cluster)).or_default();
                    tables.routed.change(&pattern.authorities, |is_routed| *is_routed = true);
                }
            }
            table.of_clients.entry(destination.client).or_default().push(place);
            table.authorities.push(pattern.authorities);
            table.destinations.push(destination);
        }
        let mut problems = Vec::new();
        for ((cluster, route_name), routes) in grouped {
            let places: Vec<usize> = routes.iter().map(|(_, place)| *place).collect();
            let routes = routes.into_iter().map(|(pattern, _)| (pattern, nothing())).collect();
            match RouteTable::new(routes, nothing()) {
                Ok(routes) => {
                    let tables = table.tables.entry(cluster).or_default();
                    let routes = Table { routes, places };
                    match route_name {
                        Some(name) => drop(tables.named.insert(name, routes)),
                        None => tables.any = Some(routes),
                    }
                }
                Err(found) => {
                    let place = |id: RouteId| places.get(usize::try_from(id.0).ok()?).copied();
                    problems.extend(found.into_iter().filter_map(|problem| problem.renamed(place)));
                }
            }
        }
        // Several clusters in common are one problem.
        problems.sort_unstable();
        problems.dedup();
        if problems.is_empty() { Ok(table) } else { Err(problems) }
    }

    /// Whether a request's method, or path, has a part in which token it gets: by a destination, or by Envoy's route.
    pub fn asks_for(&self, part: Overridden) -> bool {
        self.is_routed
            || self.tables.values().any(|tables| {
                let asks = |table: &Table| match part {
                    Overridden::Method => table.routes.asks_for_methods(),
                    Overridden::Path => table.routes.asks_for_paths(),
                };
                tables.named.values().chain(&tables.any).any(asks)
            })
    }

    /// The cluster of this name, if it is one of this client's destinations: as it is configured.
    pub fn cluster_of(&self, client: ClientId, cluster: &[u8]) -> Option<&Rc<str>> {
        let places = self.of_clients.get(&client)?.iter();
        let mut clusters =
            places.filter_map(|place| self.destinations.get(*place)).flat_map(|one| &one.clusters);
        clusters.find(|name| name.as_bytes() == cluster)
    }

    /// The most specific destination of a request: a named route comes before any route, then as [`RouteTable::find`].
    pub fn find(&self, cluster: &str, route_name: Option<&[u8]>, to: &Target<'_>) -> Match<'_> {
        let Some(tables) = self.tables.get(cluster) else { return Match::None };
        let (authority, is_routed) = match tables.read(to) {
            Ok(read) => read,
            Err(bad) => return bad,
        };
        let named = route_name.and_then(|name| tables.named.get(str::from_utf8(name).ok()?));
        for table in named.into_iter().chain(&tables.any) {
            if table.routes.asks_for_methods() && !to.has_plain_method() {
                return Match::BadMethod;
            }
            let (path, features) = match (&to.path, table.routes.asks_for_paths(), is_routed) {
                (Some(path), _, true) => (*path, path.features()),
                // Another spelling of a path leads to no other pattern.
                (Some(path), true, false) => (*path, path.features().without(PathFeatures::SPELLINGS)),
                (None, true, _) | (None, _, true) => return Match::AmbiguousPath,
                (_, false, false) => (RequestPath::ROOT, PathFeatures::NONE),
            };
            let id = table.routes.find(Some(&authority), &path, to.method);
            let place = usize::try_from(id.0).ok().and_then(|place| table.places.get(place));
            let destination = place.and_then(|place| self.destinations.get(*place));
            let allowed = destination.map_or(PathFeatures::NONE, |destination| destination.allowed);
            if features.first_not_in(allowed).is_some() {
                return Match::AmbiguousPath;
            }
            if let Some(destination) = destination {
                return Match::Destination(destination);
            }
        }
        // Another spelling of the path might lead to a route that names a client.
        let is_plain = |path: &RequestPath<'_>| path.features() == PathFeatures::NONE;
        if is_routed && !to.path.as_ref().is_some_and(is_plain) {
            return Match::AmbiguousPath;
        }
        Match::None
    }

    /// A destination that lets the tokens of this client go where a request goes, whatever else it asks for: Envoy's
    /// route has named the client.
    pub fn of_client(&self, client: ClientId, cluster: &str, to: &Target<'_>) -> Match<'_> {
        let Some(tables) = self.tables.get(cluster) else { return Match::None };
        let authority = match tables.read(to) {
            Ok((authority, _)) => authority,
            Err(bad) => return bad,
        };
        let places = self.of_clients.get(&client).into_iter().flatten();
        let mut of_client =
            places.filter_map(|place| Some((self.destinations.get(*place)?, self.authorities.get(*place)?)));
        let is_there = |(one, authorities): &(&Destination, &Vec<Authority>)| {
            one.clusters.iter().any(|name| **name == *cluster)
                && authorities.iter().any(|pattern| pattern.matches(&authority))
        };
        let Some((destination, _)) = of_client.find(is_there) else { return Match::None };
        let is_allowed = |path: &RequestPath<'_>| path.features().first_not_in(destination.allowed).is_none();
        if to.path.as_ref().is_some_and(is_allowed) {
            Match::Destination(destination)
        } else {
            Match::AmbiguousPath
        }
    }

    /// All destinations in the order of the configuration.
    pub fn all(&self) -> &[Destination] {
        &self.destinations
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.destinations.is_empty()
    }

    /// Whether any destination names Envoy's routes.
    pub fn names_routes(&self) -> bool {
        self.destinations.iter().any(|destination| !destination.route_names.is_empty())
    }
}

impl Tables {
    /// Reads an authority, and whether Envoy's choice of a route decides something there.
    fn read<'a>(&self, to: &Target<'a>) -> Result<(RequestAuthority<'a>, bool), Match<'static>> {
        let read = RequestAuthority::parse(to.authority).map_err(|_| Match::BadAuthority)?;
        let is_routed = self.routed.matching(Some(&read)).any(|is_routed| *is_routed);
        if is_routed && !read.is_plain() {
            return Err(Match::BadAuthority);
        }
        if is_routed && !to.has_plain_method() {
            return Err(Match::BadMethod);
        }
        Ok((read, is_routed))
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

impl Target<'_> {
    /// Whether the method is the same one to servers that look at case and to those that do not.
    fn has_plain_method(&self) -> bool {
        !self.method.iter().any(u8::is_ascii_lowercase)
    }
}

/// The route of a table in which only the places count.
fn nothing() -> Route {
    Route {
        name: "".into(),
        rule: Rule::Public,
        mode: Mode::Enforce,
        allowed: PathFeatures::NONE,
        stream_end: StreamEnd::Never,
        audit: RouteAudit::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{LetterCase, PathPattern};

    fn pattern(authority: &str, path: PathPattern) -> Pattern {
        let authorities = vec![Authority::Exact(authority.into())];
        Pattern { authorities, path, methods: Vec::new(), case: LetterCase::Matters, mcp: None }
    }

    fn any() -> PathPattern {
        PathPattern::Prefix(Vec::new())
    }

    fn destination(client: usize, cluster: &str) -> Destination {
        Destination {
            client: ClientId(client),
            clusters: vec![cluster.into()],
            route_names: Vec::new(),
            caller_credential: CallerCredential::Deny,
            chosen_by: ChosenBy::Match,
            allowed: PathFeatures::NONE,
        }
    }

    fn table(destinations: Vec<(Pattern, Destination)>) -> DestinationTable {
        DestinationTable::new(destinations, false).unwrap()
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
            Match::Destination(destination) => Some(destination.client.0),
            Match::AmbiguousPath | Match::BadAuthority | Match::BadMethod | Match::None => None,
        }
    }

    #[test]
    fn both_the_cluster_and_the_authority_have_to_match() {
        let table = table(vec![(pattern("a.internal", any()), destination(7, "a"))]);
        assert_eq!(client(&table, "a", None, &to("a.internal", "/x")), Some(7));
        assert_eq!(client(&table, "a", None, &to("A.internal.:8080", "*")), Some(7));
        assert_eq!(client(&table, "b", None, &to("a.internal", "/x")), None);
        assert_eq!(client(&table, "a", None, &to("b.internal", "/x")), None);
        let of = |client, cluster, authority| {
            matches!(table.of_client(ClientId(client), cluster, &to(authority, "/")), Match::Destination(_))
        };
        assert!(of(7, "a", "a.internal:80"));
        assert!(!of(7, "a", "b.internal") && !of(7, "b", "a.internal") && !of(6, "a", "a.internal"));
        for authority in ["a.internal:x", "x@a.internal", "a.internal..", ""] {
            let is_bad = |found| matches!(found, Match::BadAuthority);
            assert!(is_bad(table.find("a", None, &to(authority, "/"))), "{authority}");
            assert!(is_bad(table.of_client(ClientId(7), "a", &to(authority, "/"))), "{authority}");
            assert!(matches!(table.find("b", None, &to(authority, "/")), Match::None), "{authority}");
        }
    }

    #[test]
    fn where_paths_matter_an_ambiguous_one_chooses_none() {
        let admin = PathPattern::Prefix(vec![crate::policy::Segment::Literal("admin".into())]);
        let table = table(vec![
            (pattern("a", any()), destination(1, "a")),
            (pattern("a", admin), destination(2, "a")),
        ]);
        assert_eq!(client(&table, "a", None, &to("a", "/admin/x")), Some(2));
        assert_eq!(client(&table, "a", None, &to("a", "/x")), Some(1));
        for path in ["/x/../admin", "//admin", "*", "/%61dmin/..;/x"] {
            assert!(matches!(table.find("a", None, &to("a", path)), Match::AmbiguousPath), "{path}");
        }
    }

    #[test]
    fn a_named_route_comes_before_any_route() {
        let named = Destination { route_names: vec!["batch".into()], ..destination(2, "a") };
        let table = table(vec![(pattern("a", any()), destination(1, "a")), (pattern("a", any()), named)]);
        assert_eq!(client(&table, "a", Some("batch"), &to("a", "/")), Some(2));
        assert_eq!(client(&table, "a", Some("other"), &to("a", "/")), Some(1));
        assert_eq!(client(&table, "a", None, &to("a", "/")), Some(1));
        assert!(table.names_routes());
    }

    #[test]
    fn two_that_match_the_same_clash_and_one_that_metadata_chooses_clashes_with_none() {
        let two =
            vec![(pattern("a", any()), destination(1, "a")), (pattern("a", any()), destination(2, "a"))];
        let clash = DestinationTable::new(two, false);
        assert_eq!(clash.unwrap_err(), [TableProblem::Duplicate { first: 0, second: 1 }]);
        let by_metadata = Destination { chosen_by: ChosenBy::RouteMetadata, ..destination(2, "a") };
        let table = DestinationTable::new(
            vec![(pattern("a", any()), destination(1, "a")), (pattern("a", any()), by_metadata)],
            true,
        )
        .unwrap();
        assert_eq!(client(&table, "a", None, &to("a", "/")), Some(1));
        assert!(matches!(table.of_client(ClientId(2), "a", &to("a", "/")), Match::Destination(_)));
    }

    /// Envoy compares bytes: another spelling may lead to another of its routes.
    #[test]
    fn where_envoys_route_decides_a_path_and_a_host_have_one_spelling() {
        let named = Destination { route_names: vec!["batch".into()], ..destination(2, "a") };
        let by_name = table(vec![(pattern("a", any()), destination(1, "a")), (pattern("a", any()), named)]);
        let lenient = Destination { allowed: PathFeatures::NEEDLESS_ESCAPE, ..destination(1, "a") };
        let by_metadata = |one| DestinationTable::new(vec![(pattern("a", any()), one)], true).unwrap();
        let by_metadata = [by_metadata(lenient), by_metadata(destination(1, "a"))];
        for path in ["/v1/orders%3Abatch", "/caf%c3%A9", "/x/../y"] {
            assert!(matches!(by_name.find("a", None, &to("a", path)), Match::AmbiguousPath), "{path}");
            for table in &by_metadata {
                let is_allowed = path.contains("%3A") && table.all()[0].allowed != PathFeatures::NONE;
                let found = [
                    table.find("a", None, &to("a", path)),
                    table.of_client(ClientId(1), "a", &to("a", path)),
                ];
                for found in found {
                    assert_eq!(matches!(found, Match::Destination(_)), is_allowed, "{path}");
                    assert_eq!(matches!(found, Match::AmbiguousPath), !is_allowed, "{path}");
                }
            }
        }
        for authority in ["a.", "a:", "a:080"] {
            assert!(
                matches!(by_name.find("a", None, &to(authority, "/")), Match::BadAuthority),
                "{authority}"
            );
        }
        // Where it decides nothing, there is nothing to escape.
        assert!(matches!(by_name.find("a", None, &to("b.", "/%3A")), Match::None));
    }
}
