//! Which route a request matches. See [`RouteTable::find`] for the order.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::path::RequestPath;
use super::requirement::Requirement;
use super::route::{Authority, PathPattern, Pattern, Route, RouteId, Rule, Segment};
use super::trie::Trie;

/// All routes of a configuration, the default included.
#[derive(Clone, Debug)]
pub struct RouteTable {
    routes: Vec<Route>,
    exact: HashMap<Rc<str>, Trie>,
    /// Longest first.
    suffixes: Vec<(Rc<str>, Trie)>,
    any: Trie,
}

/// Two routes match the same requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// The route that is there already.
    pub first: RouteId,
    /// The one that matches the same.
    pub second: RouteId,
}

impl RouteTable {
    /// Builds the table; `default` answers for requests that no route matches.
    ///
    /// # Errors
    /// Every pair of routes of which neither is more specific: same authority, same path pattern, same method.
    pub fn new(routes: Vec<(Pattern, Route)>, default: Route) -> Result<Self, Vec<Duplicate>> {
        let mut table =
            Self { routes: Vec::new(), exact: HashMap::new(), suffixes: Vec::new(), any: Trie::default() };
        let mut suffixes: HashMap<Rc<str>, Trie> = HashMap::new();
        let mut duplicates = Vec::new();
        let mut shared = Shared::default();
        for (mut pattern, mut route) in routes {
            shared.share(&mut pattern, &mut route);
            let id = RouteId(u32::try_from(table.routes.len()).unwrap_or(u32::MAX));
            table.routes.push(route);
            let mut insert = |trie: &mut Trie| {
                if let Err(first) = trie.insert(&pattern.path, &pattern.methods, id) {
                    duplicates.push(Duplicate { first, second: id });
                }
            };
            if pattern.authorities.is_empty() {
                insert(&mut table.any);
            }
            for authority in &pattern.authorities {
                match authority {
                    Authority::Exact(name) => insert(table.exact.entry(Rc::clone(name)).or_default()),
                    Authority::Suffix(suffix) => insert(suffixes.entry(Rc::clone(suffix)).or_default()),
                }
            }
        }
        table.suffixes = suffixes.into_iter().collect();
        table.suffixes.sort_by_key(|(suffix, _)| core::cmp::Reverse(suffix.len()));
        table.routes.push(default);
        if duplicates.is_empty() { Ok(table) } else { Err(duplicates) }
    }

    /// The most specific route that matches; authority, path and method must all match. An exact authority (with the port,
    /// then without it; a dot at its end does not matter) comes before a suffix, the longest suffix first, and that before any authority; within one authority
    /// a whole path comes before a prefix, a literal segment before a variable from the left, the longer prefix before the
    /// shorter; then a listed method before any method. A request that no route matches gets the default.
    pub fn find(&self, authority: &[u8], path: &RequestPath<'_>, method: &[u8]) -> RouteId {
        self.find_listed(authority, path, method).unwrap_or(self.default_id())
    }

    /// A route by its place.
    pub fn route(&self, id: RouteId) -> Option<&Route> {
        self.routes.get(usize::try_from(id.0).ok()?)
    }

    /// The place of the default.
    pub fn default_id(&self) -> RouteId {
        RouteId(u32::try_from(self.routes.len().saturating_sub(1)).unwrap_or(u32::MAX))
    }

    /// All routes in the order of the configuration, the default last.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    fn find_listed(&self, authority: &[u8], path: &RequestPath<'_>, method: &[u8]) -> Option<RouteId> {
        let in_trie = |trie: &Trie| trie.find(path.segments(), method);
        if !self.exact.is_empty() || !self.suffixes.is_empty() {
            let authority = str::from_utf8(authority).unwrap_or_default().to_ascii_lowercase();
            let (host, port) = split_port(&authority);
            // `api.example.` is `api.example` to DNS and to servers: a dot must not lead to another route.
            let host = host.strip_suffix('.').unwrap_or(host);
            let with_port = port.map(|port| format!("{host}:{port}"));
            let by_name = [with_port.as_deref(), Some(host)]
                .into_iter()
                .flatten()
                .find_map(|name| self.exact.get(name).and_then(in_trie))
                .or_else(|| {
                    let mut matching = self.suffixes.iter().filter(|(suffix, _)| has_suffix(host, suffix));
                    matching.find_map(|(_, trie)| in_trie(trie))
                });
            if by_name.is_some() {
                return by_name;
            }
        }
        in_trie(&self.any)
    }
}

/// What many routes say alike, kept once: thousands of routes name a handful of methods, segments and requirements.
#[derive(Default)]
struct Shared {
    texts: HashSet<Rc<str>>,
    requirements: HashSet<Rc<Requirement>>,
}

impl Shared {
    fn share(&mut self, pattern: &mut Pattern, route: &mut Route) {
        let (PathPattern::Whole(segments) | PathPattern::Prefix(segments)) = &mut pattern.path;
        let literals = segments.iter_mut().filter_map(|segment| match segment {
            Segment::Literal(text) => Some(text),
            Segment::Variable => None,
        });
        literals.chain(&mut pattern.methods).for_each(|text| once(&mut self.texts, text));
        if let Rule::Require(requirement) = &mut route.rule {
            once(&mut self.requirements, requirement);
        }
    }
}

/// Puts what was there first in the place of its equal.
fn once<T: ?Sized + Eq + core::hash::Hash>(known: &mut HashSet<Rc<T>>, one: &mut Rc<T>) {
    match known.get(one) {
        Some(first) => *one = Rc::clone(first),
        None => drop(known.insert(Rc::clone(one))),
    }
}

fn has_suffix(host: &str, suffix: &str) -> bool {
    host.len() > suffix.len() && host.ends_with(suffix)
}

impl Authority {
    /// Whether a request's `:authority` matches, as [`RouteTable::find`] has it.
    pub fn matches(&self, authority: &[u8]) -> bool {
        let authority = str::from_utf8(authority).unwrap_or_default().to_ascii_lowercase();
        let (host, port) = split_port(&authority);
        let host = host.strip_suffix('.').unwrap_or(host);
        match self {
            Self::Exact(name) => {
                **name == *host
                    || port.is_some_and(|port| name.strip_prefix(host) == Some(&format!(":{port}")))
            }
            Self::Suffix(suffix) => has_suffix(host, suffix),
        }
    }
}

/// `[::1]:80` → `[::1]` and `80`; what follows the last colon is a port only if it is a number.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            (host, Some(port))
        }
        _ => (authority, None),
    }
}
