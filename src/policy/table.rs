//! Which route a request matches. See [`RouteTable::find`] for the order.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use rustc_hash::FxBuildHasher;

use super::authority::{ByAuthority, RequestAuthority};
use super::mcp::{McpBuilder, McpProblem, McpRules};
use super::path::RequestPath;
use super::requirement::Requirement;
use super::route::{LetterCase, PathPattern, Pattern, Route, RouteId, Rule, Segment, StreamEnd};
use super::trie::Trie;

/// All routes of a configuration, the default included.
#[derive(Clone, Debug)]
pub struct RouteTable {
    routes: Vec<Route>,
    tries: ByAuthority<Trie>,
    /// By base route.
    mcp: HashMap<RouteId, McpRules, FxBuildHasher>,
    loses_message_rules: bool,
    asks_for_methods: bool,
    asks_for_paths: bool,
}

/// Why routes make no table; `Id` tells one from another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TableProblem<Id> {
    /// Two match the same requests.
    Duplicate {
        /// The one that matches the same.
        second: Id,
        /// As this one, which is there already.
        first: Id,
    },
    /// Two name the same message of an MCP endpoint.
    DuplicateMessage {
        /// The one that names it as well.
        second: Id,
        /// The one that is there already.
        first: Id,
    },
    /// Of an MCP endpoint's messages, those that no route names would meet the rule of another path.
    NoBase {
        /// A route of messages, beside which no route of the same path stands.
        route: Id,
    },
    /// A request could cost more than [`RouteTable::MAX_STEPS`].
    Costly {
        /// How many places a look-up may have to visit.
        steps: usize,
        /// Some of those in which literals and variables stand beside each other.
        routes: Vec<Id>,
    },
}

impl<Id> TableProblem<Id> {
    /// The same problem by other names; `None` where there is none.
    pub fn renamed<Other>(self, name: impl Fn(Id) -> Option<Other>) -> Option<TableProblem<Other>> {
        Some(match self {
            Self::Duplicate { first, second } => {
                TableProblem::Duplicate { first: name(first)?, second: name(second)? }
            }
            Self::DuplicateMessage { first, second } => {
                TableProblem::DuplicateMessage { first: name(first)?, second: name(second)? }
            }
            Self::NoBase { route } => TableProblem::NoBase { route: name(route)? },
            Self::Costly { steps, routes } => {
                TableProblem::Costly { steps, routes: routes.into_iter().filter_map(name).collect() }
            }
        })
    }
}

impl RouteTable {
    /// Builds the table; `default` answers for requests that no route matches.
    ///
    /// # Errors
    /// Every pair of routes of which neither is more specific: same authority, same path pattern, same method, same
    /// message. Routes of messages without a base route: one of the same authorities and path, for the messages that no
    /// route names, and for what is no message. And
    /// routes for which a request could cost too much: to tell which of many patterns with a literal here and a
    /// variable there is the first to match, all of them may have to be looked at.
    pub fn new(routes: Vec<(Pattern, Route)>, default: Route) -> Result<Self, Vec<TableProblem<RouteId>>> {
        let mut table = Self {
            routes: Vec::new(),
            tries: ByAuthority::default(),
            mcp: HashMap::default(),
            loses_message_rules: false,
            asks_for_methods: false,
            asks_for_paths: false,
        };
        let mut problems = Vec::new();
        let mut shared = Shared::default();
        let ignores_case = |(pattern, _): &(Pattern, Route)| pattern.case == LetterCase::Ignored;
        let has_messages = routes.iter().any(|(pattern, _)| pattern.mcp.is_some());
        let mut mcp = McpBuilder::default();
        let is_mixed = routes.iter().any(ignores_case) && !routes.iter().all(ignores_case);
        for (mut pattern, mut route) in routes {
            shared.share(&mut pattern, &mut route);
            // Messages come by one method alone.
            table.asks_for_methods |= !pattern.methods.is_empty() || pattern.mcp.is_some();
            table.asks_for_paths |= !pattern.path.is_any();
            let id = RouteId(u32::try_from(table.routes.len()).unwrap_or(u32::MAX));
            let mode = route.mode;
            table.routes.push(route);
            if let Some(messages) = pattern.mcp.take() {
                mcp.message(&pattern, messages, id, mode);
                continue;
            }
            if has_messages {
                mcp.base(&pattern, id, mode);
            }
            table.tries.change(&pattern.authorities, |trie| {
                if is_mixed {
                    trie.rank(&pattern, id);
                }
                if let Err(first) = trie.insert(&pattern, id)
                    // One that names an authority twice, or two ports that clients leave out, matches the same as
                    // itself.
                    && first != id
                {
                    problems.push(TableProblem::Duplicate { first, second: id });
                }
            });
        }
        table.loses_message_rules = mcp.loses_rules();
        let (mut rules, of_messages) = mcp.build();
        for (base, rules) in &mut rules {
            rules.note_demands(*base, |route| {
                table.route(route).is_some_and(|route| route.rule.demands_token())
            });
        }
        table.mcp = rules;
        problems.extend(of_messages.into_iter().map(|problem| match problem {
            McpProblem::NoBase(route) => TableProblem::NoBase { route },
            McpProblem::Duplicate { first, second } => TableProblem::DuplicateMessage { first, second },
        }));
        table.tries.all_mut().for_each(Trie::measure);
        let (steps, trie) = table.tries.heaviest(Trie::steps);
        if steps > Self::MAX_STEPS {
            problems.push(TableProblem::Costly { steps, routes: trie.costliest() });
        }
        table.routes.push(default);
        if problems.is_empty() { Ok(table) } else { Err(problems) }
    }

    /// The most specific route that matches; authority, path and method must all match. An exact authority (with the
    /// port, then without it) comes before a suffix, the longest suffix first, and that before any authority. Within
    /// one authority the first segment in which two patterns differ decides: a literal comes before a variable, and
    /// that before the end of a prefix. A slash at the end makes no other path, unless both are written. Then a listed
    /// method comes before any method; `GET` covers `HEAD` where that is not listed. Of two patterns that differ in
    /// nothing else, the one that looks at the case of letters comes first. A request that no route matches gets the
    /// default.
    ///
    /// `authority` may be `None` where no route [names one](Self::names_authorities).
    pub fn find(
        &self,
        authority: Option<&RequestAuthority<'_>>,
        path: &RequestPath<'_>,
        method: &[u8],
    ) -> RouteId {
        let mut tries = self.tries.matching(authority);
        let found = if path.has_escapes() || path.as_str().len() > LONG_PATH {
            // Each step of a look-up reads its segment again.
            let segments: Vec<Cow<'_, str>> = path.segments().collect();
            let segments = segments.iter().map(|segment| Cow::Borrowed(&**segment));
            tries.find_map(|trie| trie.find(segments.clone(), method))
        } else {
            tries.find_map(|trie| trie.find(path.segments(), method))
        };
        found.unwrap_or(self.default_id())
    }

    /// A route by its place.
    pub fn route(&self, id: RouteId) -> Option<&Route> {
        self.routes.get(usize::try_from(id.0).ok()?)
    }

    /// The rules for the messages that requests of this route carry, if it has any.
    pub fn mcp(&self, id: RouteId) -> Option<&McpRules> {
        if self.mcp.is_empty() { None } else { self.mcp.get(&id) }
    }

    /// Whether some route asks for the messages of an MCP endpoint.
    pub fn has_mcp(&self) -> bool {
        !self.mcp.is_empty()
    }

    /// Whether a route without rules for messages takes requests from one of the same path that has some.
    pub fn loses_message_rules(&self) -> bool {
        self.loses_message_rules
    }

    /// The routes, but for those of an MCP endpoint's messages: what a client needs at first.
    pub fn basic_routes(&self) -> impl Iterator<Item = &Route> {
        let of_messages: HashSet<RouteId> = self.mcp.values().flat_map(McpRules::routes).collect();
        let is_basic = move |place: usize| {
            u32::try_from(place).map_or(true, |place| !of_messages.contains(&RouteId(place)))
        };
        self.routes.iter().enumerate().filter_map(move |(place, route)| is_basic(place).then_some(route))
    }

    /// The place of the default.
    pub fn default_id(&self) -> RouteId {
        RouteId(u32::try_from(self.routes.len().saturating_sub(1)).unwrap_or(u32::MAX))
    }

    /// All routes in the order of the configuration, the default last.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Whether streams of some route end with their token.
    pub fn ends_streams(&self) -> bool {
        let ends =
            |route: &Route| route.stream_end == StreamEnd::AtExpiry && !matches!(route.rule, Rule::Deny);
        self.routes.iter().any(ends)
    }

    /// Whether some route asks for an authority.
    pub fn names_authorities(&self) -> bool {
        self.tries.names_any()
    }

    /// Whether some route asks for a method.
    pub fn asks_for_methods(&self) -> bool {
        self.asks_for_methods
    }

    /// Whether some route asks for a path.
    pub fn asks_for_paths(&self) -> bool {
        self.asks_for_paths
    }

    /// The most places that a look-up may visit: some 40 µs, as much as a signature check. Tables as people write them
    /// take less than a hundred.
    pub const MAX_STEPS: usize = 1024;
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
        if let Rule::Require(requirement) | Rule::Optional(requirement) = &mut route.rule {
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

/// Longer than almost every path: a segment of it that is read at each step of a look-up should have been read once.
const LONG_PATH: usize = 512;
