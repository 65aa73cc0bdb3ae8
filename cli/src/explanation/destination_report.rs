//! The destination that a request nearly matched: each criterion by itself, as the filter's own tables judge it.

use attache::config::{Value, destination_patterns};
use attache::outbound::{ChosenBy, Destination, Settings};
use attache::policy::{
    Authority, LetterCase, Mode, PathFeatures, PathPattern, Pattern, RequestAuthority, RequestPath, Route,
    RouteAudit, RouteTable, Rule, Segment, StreamEnd,
};

use super::difference::{difference, distance, nearest};
use super::page::{Mark, Page, quoted, quoted_list};

/// A request that goes out, as destinations see it.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) cluster: &'a str,
    pub(super) authority: &'a str,
    pub(super) path: &'a str,
    pub(super) method: &'a str,
    pub(super) route_name: Option<&'a str>,
    /// The client that the metadata of its route names.
    pub(super) named: Option<&'a str>,
}

/// How a request fares with one destination.
struct Comparison {
    place: usize,
    client: String,
    rows: Vec<Row>,
    /// How far the authority is from the nearest of the destination's.
    distance: usize,
}

struct Row {
    is_met: bool,
    name: &'static str,
    given: String,
    wanted: Vec<String>,
}

/// Writes the nearest destination, and why it is not the request's.
pub(super) fn write_nearest(page: &mut Page, wanted: Wanted<'_>, settings: &Settings, document: &Value) {
    let patterns = destination_patterns(document);
    let pairs = settings.destinations.all().iter().zip(&patterns).enumerate();
    let compared = pairs.map(|(place, (destination, pattern))| {
        Comparison::new(place, destination, pattern, wanted, settings)
    });
    let nearest = compared.min_by_key(|one| (one.failures(), one.distance, one.place));
    let Some(nearest) = nearest else { return page.note("there are no destinations") };
    page.heading(&format!(
        "the nearest is outbound.destinations[{}], of client {}",
        nearest.place, nearest.client
    ));
    for row in &nearest.rows {
        page.compared(Mark::of(row.is_met), row.name, &row.given, &row.wanted);
    }
}

impl Comparison {
    fn new(
        place: usize,
        destination: &Destination,
        pattern: &Pattern,
        wanted: Wanted<'_>,
        settings: &Settings,
    ) -> Self {
        let client = settings.client(destination.client).map(|client| client.name.to_string());
        let client = client.unwrap_or_default();
        let spelled: Vec<String> = pattern.authorities.iter().map(spelled).collect();
        let likeness = spelled.iter().map(|spelled| distance(wanted.authority, spelled)).min();
        let mut rows = vec![
            Row::cluster(destination, wanted.cluster),
            Row::authority(pattern, &spelled, wanted.authority),
        ];
        rows.extend(Row::path(pattern, wanted.path));
        rows.extend(Row::method(pattern, wanted.method));
        rows.extend(Row::route_name(destination, wanted.route_name));
        rows.extend(Row::route_metadata(destination, &client, wanted.named));
        Self { place, client, rows, distance: likeness.unwrap_or(usize::MAX) }
    }

    fn failures(&self) -> usize {
        self.rows.iter().filter(|row| !row.is_met).count()
    }
}

impl Row {
    fn cluster(destination: &Destination, cluster: &str) -> Self {
        let is_met = destination.clusters.iter().any(|name| **name == *cluster);
        let mut wanted = vec![quoted_list(destination.clusters.iter().map(|name| &**name))];
        if cluster.is_empty() {
            wanted.push("Envoy has not chosen a cluster, or it was not given (--cluster)".to_owned());
        }
        Self { is_met, name: "cluster", given: quoted(cluster), wanted }
    }

    fn authority(pattern: &Pattern, spelled: &[String], authority: &str) -> Self {
        let mut wanted = vec![quoted_list(spelled.iter().map(String::as_str))];
        let is_met = match RequestAuthority::parse(authority.as_bytes()) {
            Ok(read) => {
                let is_met = pattern.authorities.iter().any(|pattern| pattern.matches(&read));
                let near = nearest(authority, spelled.iter().map(String::as_str));
                if let (false, Some(near)) = (is_met, near.and_then(|place| spelled.get(place))) {
                    wanted.push(format!("what differs: {}", difference(authority, near)));
                }
                is_met
            }
            Err(error) => {
                wanted.push(error.to_string());
                false
            }
        };
        Self { is_met, name: "authority", given: quoted(authority), wanted }
    }

    fn path(pattern: &Pattern, path: &str) -> Option<Self> {
        if pattern.path.is_any() {
            return None;
        }
        let alone = Pattern { authorities: Vec::new(), methods: Vec::new(), ..pattern.clone() };
        let is_met = matches(alone, path, "GET");
        let case = match pattern.case {
            LetterCase::Matters => "",
            LetterCase::Ignored => ", upper and lower case alike",
        };
        let wanted = vec![format!("{}{case}", path_in_words(&pattern.path))];
        Some(Self { is_met, name: "path", given: quoted(path), wanted })
    }

    fn method(pattern: &Pattern, method: &str) -> Option<Self> {
        if pattern.methods.is_empty() {
            return None;
        }
        let any = PathPattern::Prefix(Vec::new());
        let is_met = matches(Pattern { authorities: Vec::new(), path: any, ..pattern.clone() }, "/", method);
        let wanted = vec![quoted_list(pattern.methods.iter().map(|method| &**method))];
        Some(Self { is_met, name: "method", given: quoted(method), wanted })
    }

    fn route_name(destination: &Destination, route_name: Option<&str>) -> Option<Self> {
        if destination.route_names.is_empty() {
            return None;
        }
        let is_met = destination.route_names.iter().any(|name| Some(&**name) == route_name);
        let given = route_name.map_or("none (--route-name)".to_owned(), quoted);
        let wanted = vec![quoted_list(destination.route_names.iter().map(|name| &**name))];
        Some(Self { is_met, name: "route name", given, wanted })
    }

    fn route_metadata(destination: &Destination, client: &str, named: Option<&str>) -> Option<Self> {
        let wanted = match (destination.chosen_by, named) {
            (ChosenBy::Match, None) => return None,
            (ChosenBy::RouteMetadata, _) => format!("{} (`chosen_by: route_metadata`)", quoted(client)),
            (ChosenBy::Match, Some(_)) => quoted(client),
        };
        let given = named.map_or("none (--route-client)".to_owned(), quoted);
        Some(Self { is_met: named == Some(client), name: "client", given, wanted: vec![wanted] })
    }
}

/// Whether a table of this pattern alone finds the request.
fn matches(pattern: Pattern, path: &str, method: &str) -> bool {
    let route = Route {
        name: "".into(),
        rule: Rule::Public,
        mode: Mode::Enforce,
        allowed: PathFeatures::NONE,
        stream_end: StreamEnd::Never,
        audit: RouteAudit::default(),
    };
    let Ok(table) = RouteTable::new(vec![(pattern, route.clone())], route) else { return false };
    let Ok(path) = RequestPath::parse(path.as_bytes()) else { return false };
    table.find(None, &path, method.as_bytes()) != table.default_id()
}

fn spelled(authority: &Authority) -> String {
    match authority {
        Authority::Exact(name) => name.to_string(),
        Authority::Suffix(suffix) => format!("*{suffix}"),
    }
}

fn path_in_words(path: &PathPattern) -> String {
    let (kind, segments) = match path {
        PathPattern::Whole(segments) => ("path", segments),
        PathPattern::Prefix(segments) => ("prefix", segments),
    };
    let segment = |segment: &Segment| match segment {
        Segment::Literal(text) => format!("/{text}"),
        Segment::Variable => "/{}".to_owned(),
    };
    let text: String = segments.iter().map(segment).collect();
    format!("{kind} {}", quoted(if text.is_empty() { "/" } else { &text }))
}
