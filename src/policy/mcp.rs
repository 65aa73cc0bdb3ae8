//! The messages of an MCP endpoint (Model Context Protocol, transport "Streamable HTTP"): one path carries every tool,
//! prompt and resource, and what a message asks for stands in its headers or in its body, not in its path.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use rustc_hash::FxBuildHasher;

use super::authority::Authority;
use super::resource_uri::{essence, is_normal_uri};
use super::route::{LetterCase, McpPattern, Mode, PathPattern, Pattern, RouteId};

/// What one message asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct McpCall<'a> {
    /// The method.
    pub method: &'a str,
    /// What [`McpCall::named_by`] names, where the method has it.
    pub name: Option<&'a str>,
}

impl McpCall<'_> {
    /// The member of `params` that names what a message of this method asks for. Other methods name nothing.
    pub fn named_by(method: &str) -> Option<&'static str> {
        match method {
            "tools/call" | "prompts/get" => Some("name"),
            "resources/read" | "resources/subscribe" | "resources/unsubscribe" => Some("uri"),
            _ => None,
        }
    }

    /// Whether messages of this method name a resource, by its URI.
    pub fn names_resource(method: &str) -> bool {
        Self::named_by(method) == Some("uri")
    }
}

/// The URI of a message's resource is not in normal form, or differs from one that a route names by nothing that all
/// servers look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AmbiguousUri;

/// The routes of the messages that one base route's requests carry. Letters of another case, or another way to write a
/// letter in Unicode, make another name, as they do for servers. For URIs, servers differ: of those that some server
/// may take for one that a route names, only the one that is written as the route writes it is any.
#[derive(Clone, Debug)]
pub struct McpRules {
    methods: HashMap<Rc<str>, MethodRules, FxBuildHasher>,
    /// Report-only if every one of these routes is, and the base route too.
    mode: Mode,
    /// Whether not one of these routes, nor the base route, lets a request without a token through.
    demands_token: bool,
}

#[derive(Clone, Debug, Default)]
struct MethodRules {
    names: HashMap<Rc<str>, RouteId, FxBuildHasher>,
    /// The essences of these names, where they are URIs.
    resources: HashSet<Vec<u8>, FxBuildHasher>,
    any: Option<RouteId>,
}

impl McpRules {
    /// No rules, beside a base route of this mode.
    fn new(mode: Mode) -> Self {
        Self { methods: HashMap::default(), mode, demands_token: false }
    }

    /// Adds a route. `Err` names one that has a method and name of it already.
    fn insert(&mut self, pattern: &McpPattern, route: RouteId, mode: Mode) -> Result<(), RouteId> {
        if mode == Mode::Enforce {
            self.mode = mode;
        }
        let mut first = Ok(());
        for method in &pattern.methods {
            let rules = self.methods.entry(Rc::clone(method)).or_default();
            if pattern.names.is_empty() {
                first = first.and(rules.any.replace(route).map_or(Ok(()), Err));
            }
            for name in &pattern.names {
                if McpCall::names_resource(method) {
                    rules.resources.insert(essence(name));
                }
                first = first.and(rules.names.insert(Rc::clone(name), route).map_or(Ok(()), Err));
            }
        }
        first
    }

    /// The most specific route for a message: method and name, then the method. `None` leaves it to the base route.
    pub fn find(&self, call: McpCall<'_>) -> Result<Option<RouteId>, AmbiguousUri> {
        let Some(rules) = self.methods.get(call.method) else { return Ok(None) };
        let Some(name) = call.name else { return Ok(rules.any) };
        if let Some(route) = rules.names.get(name) {
            return Ok(Some(*route));
        }
        let is_ambiguous = || !is_normal_uri(name) || rules.resources.contains(&essence(name));
        if !rules.resources.is_empty() && is_ambiguous() { Err(AmbiguousUri) } else { Ok(rules.any) }
    }

    /// Whether routes name some of what messages of this method ask for.
    pub fn has_names(&self, method: &str) -> bool {
        self.methods.get(method).is_some_and(|rules| !rules.names.is_empty())
    }

    /// Notes whether all routes are such, and the base route.
    pub(super) fn note_demands(&mut self, base: RouteId, demands_token: impl Fn(RouteId) -> bool) {
        self.demands_token = demands_token(base) && self.routes().all(demands_token);
    }

    /// Whether a request without a token is denied whatever its message asks for.
    pub fn demands_token(&self) -> bool {
        self.demands_token
    }

    /// All of these routes.
    pub(super) fn routes(&self) -> impl Iterator<Item = RouteId> {
        self.methods.values().flat_map(|rules| rules.names.values().chain(&rules.any).copied())
    }

    /// The mode of what is wrong with a message itself: which of these routes it would meet at a server that reads it
    /// in another way, nobody knows.
    pub fn mode(&self) -> Mode {
        self.mode
    }
}

/// Finds for each route of messages the base route that stands at the same place of the table.
#[derive(Default)]
pub(super) struct McpBuilder {
    bases: HashMap<Place, Vec<(RouteId, Mode, bool)>>,
    messages: Vec<(Place, McpPattern, RouteId, Mode)>,
}

/// Which requests a route matches, but for method and message.
type Place = (Vec<Authority>, PathPattern, LetterCase);

/// Why a route of messages has no place.
pub(super) enum McpProblem {
    /// No route without messages stands there.
    NoBase(RouteId),
    /// Two name the same message.
    Duplicate {
        /// The one that names it too.
        second: RouteId,
        /// The one that has it already.
        first: RouteId,
    },
}

impl McpBuilder {
    /// A route that may be another's base.
    pub(super) fn base(&mut self, pattern: &Pattern, route: RouteId, mode: Mode) {
        let lists_post = pattern.methods.iter().any(|method| **method == *MESSAGE_METHOD);
        if lists_post || pattern.methods.is_empty() {
            self.bases.entry(place(pattern)).or_default().push((route, mode, lists_post));
        }
    }

    /// A route of messages.
    pub(super) fn message(&mut self, pattern: &Pattern, mcp: McpPattern, route: RouteId, mode: Mode) {
        self.messages.push((place(pattern), mcp, route, mode));
    }

    /// Whether, of the routes for one path, some have rules for messages, and another has none and yet takes requests
    /// from them: by a host of its own, or by a slash at the path's end.
    pub(super) fn loses_rules(&self) -> bool {
        let mut judged: HashMap<_, Vec<&[Authority]>> = HashMap::new();
        for ((authorities, path, case), ..) in &self.messages {
            judged.entry((path.without_last_slash(), case)).or_default().push(authorities);
        }
        let own: HashSet<&Place> = self.messages.iter().map(|(place, ..)| place).collect();
        self.bases.keys().filter(|place| !own.contains(place)).any(|(authorities, path, case)| {
            let judged = judged.get(&(path.without_last_slash(), case)).into_iter().flatten();
            { judged }.any(|judged| is_within(authorities, judged))
        })
    }

    /// The rules by base route.
    pub(super) fn build(self) -> (HashMap<RouteId, McpRules, FxBuildHasher>, Vec<McpProblem>) {
        let (mut rules, mut problems) = (HashMap::default(), Vec::new());
        for (place, pattern, route, mode) in self.messages {
            // Of two, requests by POST meet the one that lists it.
            let bases = self.bases.get(&place).into_iter().flatten();
            let Some((base, base_mode, _)) = bases.max_by_key(|(_, _, lists_post)| *lists_post) else {
                problems.push(McpProblem::NoBase(route));
                continue;
            };
            let rules = rules.entry(*base).or_insert_with(|| McpRules::new(*base_mode));
            if let Err(first) = rules.insert(&pattern, route, mode) {
                problems.push(McpProblem::Duplicate { first, second: route });
            }
        }
        (rules, problems)
    }
}

/// Whether some of these hosts are among the others; none are any.
fn is_within(some: &[Authority], others: &[Authority]) -> bool {
    others.is_empty() || some.iter().any(|one| others.iter().any(|other| other.covers(one)))
}

fn place(pattern: &Pattern) -> Place {
    let mut authorities = pattern.authorities.clone();
    authorities.sort_unstable();
    (authorities, pattern.path.clone(), pattern.case)
}

/// The one method of HTTP by which messages come.
pub const MESSAGE_METHOD: &str = "POST";

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(patterns: &[(&[&str], &[&str])]) -> (McpRules, Vec<Result<(), RouteId>>) {
        let texts = |list: &[&str]| list.iter().map(|text| Rc::from(*text)).collect();
        let mut rules = McpRules::new(Mode::ReportOnly);
        let insert = |(index, (methods, names)): (usize, &(&[&str], &[&str]))| {
            let pattern = McpPattern { methods: texts(methods), names: texts(names) };
            rules.insert(&pattern, RouteId(u32::try_from(index).unwrap()), Mode::ReportOnly)
        };
        let inserted = patterns.iter().enumerate().map(insert).collect();
        (rules, inserted)
    }

    fn found(rules: &McpRules, method: &str, name: Option<&str>) -> Option<u32> {
        rules.find(McpCall { method, name }).unwrap().map(|route| route.0)
    }

    #[test]
    fn a_name_comes_before_its_method_and_that_before_the_base_route() {
        let (rules, _) =
            rules(&[(&["tools/call"], &["orders.delete"]), (&["tools/call", "prompts/get"], &[])]);
        assert_eq!(found(&rules, "tools/call", Some("orders.delete")), Some(0));
        assert_eq!(found(&rules, "tools/call", Some("orders.list")), Some(1));
        assert_eq!(found(&rules, "prompts/get", Some("orders.delete")), Some(1));
        assert_eq!(found(&rules, "tools/list", None), None);
    }

    #[test]
    fn names_are_compared_byte_by_byte() {
        let (rules, _) = rules(&[(&["tools/call"], &["caf\u{e9}"])]);
        assert_eq!(found(&rules, "tools/call", Some("caf\u{e9}")), Some(0));
        for name in ["cafe\u{301}", "CAF\u{c9}", "caf\u{e9} ", ""] {
            assert_eq!(found(&rules, "tools/call", Some(name)), None, "{name}");
        }
        assert_eq!(found(&rules, "Tools/Call", Some("caf\u{e9}")), None);
    }

    #[test]
    fn a_resource_is_found_by_one_uri_and_by_no_other_that_may_mean_it() {
        let (rules, _) =
            rules(&[(&["resources/read", "tools/call"], &["file:///a,b"]), (&["resources/read"], &[])]);
        assert_eq!(found(&rules, "resources/read", Some("file:///a,b")), Some(0));
        assert_eq!(found(&rules, "resources/read", Some("file:///a,c")), Some(1));
        for name in ["FILE:///a,b", "file:///a%2Cb", "file:///a,b#", "file:///a,c ", ""] {
            let call = |method| McpCall { method, name: Some(name) };
            assert_eq!(rules.find(call("resources/read")), Err(AmbiguousUri), "{name}");
            assert_eq!(rules.find(call("tools/call")), Ok(None), "{name}");
            assert_eq!(rules.find(call("resources/subscribe")), Ok(None), "{name}");
        }
    }

    #[test]
    fn what_two_routes_name_is_told() {
        let (_, inserted) = rules(&[
            (&["tools/call"], &["a", "b"]),
            (&["tools/call"], &[]),
            (&["prompts/get", "tools/call"], &["b"]),
            (&["tools/call"], &[]),
        ]);
        assert_eq!(inserted, [Ok(()), Ok(()), Err(RouteId(0)), Err(RouteId(1))]);
    }

    #[test]
    fn rules_are_report_only_if_every_route_is() {
        let (mut rules, _) = rules(&[(&["tools/call"], &["a"])]);
        assert_eq!(rules.mode(), Mode::ReportOnly);
        let pattern = McpPattern { methods: vec!["tools/list".into()], names: Vec::new() };
        rules.insert(&pattern, RouteId(7), Mode::Enforce).unwrap();
        assert_eq!(rules.mode(), Mode::Enforce);
    }
}
