//! The list `inbound.routes` and the default.

use std::rc::Rc;

use super::mcp;
use super::reader::{Fields, Node, refuse_repeated};
use super::requirements::Requirements;
use super::value::Value;
use super::{streams, values};
use crate::policy::{
    Authority, LetterCase, Mode, PathFeatures, PathPattern, Pattern, RequestAuthority, RequestPath, Route,
    RouteAudit, RouteId, RouteTable, Rule, Segment, StreamEnd, TableProblem,
};

/// What routes depend on besides.
#[derive(Clone, Copy)]
pub(super) struct RouteContext<'c, 'n> {
    /// What reads requirements.
    pub(super) requirements: &'c Requirements<'n>,
    /// What the case of letters counts for where a route says nothing.
    pub(super) case: LetterCase,
    /// What every route lets through.
    pub(super) allowed: PathFeatures,
    /// Whether Envoy's own routes add requirements.
    pub(super) reads_metadata: bool,
    /// When a stream ends where a route says nothing.
    pub(super) stream_end: StreamEnd,
    /// Whether paths are recorded as they are written.
    pub(super) keeps_templates: bool,
}

/// Reads both.
pub(super) fn read<'n>(inbound: &Fields<'n>, context: RouteContext<'_, 'n>) -> Option<RouteTable> {
    let routes = inbound.or("routes", Vec::new(), |node| {
        let routes = node.each(MAX_ROUTES, |item| route(item, context))?;
        let names = routes.iter().map(|(node, route)| (node, route.as_ref().map(|(_, route)| &route.name)));
        refuse_repeated(names, ".name", "route name");
        Some(routes)
    });
    let default = inbound.read("default", |node| default(node, context.requirements));
    let default =
        default.map(|route| Route { allowed: context.allowed, stream_end: context.stream_end, ..route });
    let routes = routes?;
    let is_whole = default.is_some() && routes.iter().all(|(_, route)| route.is_some());
    // What clashes is told even where other routes are not understood.
    let placed = routes.into_iter().enumerate();
    let (places, routes): (Vec<_>, Vec<_>) =
        placed.filter_map(|(index, (node, route))| Some(((index, node), route?))).unzip();
    match RouteTable::new(routes, default.unwrap_or_else(closed)) {
        Ok(table) => is_whole.then_some(table),
        Err(problems) => {
            let place = |id: RouteId| usize::try_from(id.0).ok().filter(|place| *place < places.len());
            // The one that is missing may be one that is not understood.
            let is_known =
                |problem: &TableProblem<_>| is_whole || !matches!(problem, TableProblem::NoBase { .. });
            let problems = problems.into_iter().filter(is_known);
            for problem in problems.filter_map(|problem| problem.renamed(place)) {
                let matches = "authority, path and method";
                report(inbound.node(), "routes", &problem, matches, |place| places.get(place));
            }
            None
        }
    }
}

/// The patterns of all routes of `inbound` that can be read.
pub(super) fn patterns(inbound: &Node<'_>) -> Vec<Pattern> {
    let patterns = || {
        let members = inbound.value().as_object()?;
        let member = |name: &str| members.iter().find(|(member, _)| member == name).map(|(_, value)| value);
        let case = match member("case_sensitive") {
            Some(Value::Bool(false)) => LetterCase::Ignored,
            Some(_) | None => LetterCase::Matters,
        };
        let routes = inbound.fields(&[]);
        let routes = routes?.optional("routes")?.list(MAX_ROUTES)?;
        let of = |route: Node<'_>| pattern(&route.fields(&[])?.optional("match")?, case);
        Some(routes.into_iter().filter_map(of).collect())
    };
    patterns().unwrap_or_default()
}

/// Reports why routes make no table, where they stand. `matches` is what two have in common that match the same.
pub(super) fn report<'n, 'a: 'n>(
    block: &Node<'_>,
    list: &str,
    problem: &TableProblem<usize>,
    matches: &str,
    place: impl Fn(usize) -> Option<&'n (usize, Node<'a>)>,
) {
    match problem {
        // What is its own duplicate names something twice, which is reported where that stands.
        TableProblem::Duplicate { first, second } if first == second => {}
        TableProblem::Duplicate { first, second } => {
            if let (Some((first, _)), Some((_, node))) = (place(*first), place(*second)) {
                node.below(".match").problem::<()>(format_args!(
                    "matches the same requests as {list}[{first}]: same {matches}"
                ));
            }
        }
        TableProblem::DuplicateMessage { first, second } if first == second => {}
        TableProblem::DuplicateMessage { first, second } => {
            if let (Some((first, _)), Some((_, node))) = (place(*first), place(*second)) {
                node.below(".match.mcp")
                    .problem::<()>(format_args!("names a message that {list}[{first}] names already"));
            }
        }
        TableProblem::NoBase { route } => {
            if let Some((_, node)) = place(*route) {
                node.below(".match").problem::<()>(
                    "no route without `mcp` has the same path and authorities: add one, for all that no such route \
                     names",
                );
            }
        }
        TableProblem::Costly { steps, routes } => {
            let named: Vec<String> = routes
                .iter()
                .filter_map(|route| place(*route))
                .map(|(index, _)| format!("{list}[{index}]"))
                .collect();
            block.below(format_args!(".{list}")).problem::<()>(format_args!(
                "a request might have to be compared with {steps} patterns, more than {}: too many segments have a \
                 variable beside a literal, as in {}",
                RouteTable::MAX_STEPS,
                named.join(", ")
            ));
        }
    }
}

fn route<'n>(node: &Node<'n>, context: RouteContext<'_, 'n>) -> Option<(Pattern, Route)> {
    let fields = node.fields(&[
        "name",
        "api",
        "match",
        "require",
        "optional",
        "public",
        "deny",
        "mode",
        "allow_in_path",
        "streams",
    ])?;
    let name = fields.read("name", values::name);
    let api = fields.maybe("api", values::name);
    let pattern = fields.read("match", |node| pattern(node, context.case));
    let rule = rule(&fields, context.requirements);
    let mode = fields.or("mode", Mode::Enforce, |node| {
        let mode = values::mode(node)?;
        if mode == Mode::ReportOnly && matches!(rule, Some(Rule::Public)) {
            return node.problem("a public route has nothing to report");
        }
        Some(mode)
    });
    let allowed = allowed_in_path(&fields).map(|allowed| allowed.with(context.allowed));
    let has_messages = pattern.as_ref().is_some_and(|pattern| pattern.mcp.is_some());
    if let Some(node) = fields.optional("allow_in_path").filter(|_| has_messages) {
        return node.problem("what the path may have, the route without `mcp` says: leave it out");
    }
    let stream_end = streams::of_route(&fields, context.stream_end, |node| match rule {
        Some(Rule::Deny) => node.problem("a closed route has no streams"),
        Some(Rule::Public) if !context.reads_metadata => {
            node.problem("a public route's streams have no token to end with")
        }
        Some(Rule::Public | Rule::Require(_) | Rule::Optional(_)) | None => Some(()),
    });
    let path_template = context.keeps_templates.then(|| path_template(&fields)).flatten();
    let audit = RouteAudit { api: api?, path_template };
    let (rule, mode, allowed, stream_end) = (rule?, mode?, allowed?, stream_end?);
    Some((pattern?, Route { name: name?, rule, mode, allowed, stream_end, audit }))
}

/// The pattern of a route's path as it is written, whatever else there is to say of it. No pattern has a literal `*`.
fn path_template(route: &Fields<'_>) -> Option<Rc<str>> {
    let members = route.optional("match")?.value().as_object()?;
    let member = |name: &str| members.iter().find(|(member, _)| member == name)?.1.as_str();
    match (member("path"), member("prefix")) {
        (Some(path), _) => Some(path.into()),
        (None, Some(prefix)) => Some(format!("{}/*", prefix.trim_end_matches('/')).into()),
        (None, None) => None,
    }
}

/// The features that `allow_in_path` names.
pub(super) fn allowed_in_path(fields: &Fields<'_>) -> Option<PathFeatures> {
    fields.or("allow_in_path", PathFeatures::NONE, |node| {
        let names = PathFeatures::NAMES;
        let features = node.distinct(names.len(), "feature", |item| item.word(&names))?;
        Some(features.into_iter().fold(PathFeatures::NONE, PathFeatures::with))
    })
}

fn default<'n>(node: &Node<'n>, requirements: &Requirements<'n>) -> Option<Route> {
    let rule = if node.is_string() {
        let expected = "deny, { public: {} }, { require: { … } } or { optional: { … } }";
        node.lone_word("deny", expected).map(|()| Rule::Deny)
    } else {
        let fields = node.fields(&["require", "optional", "public"])?;
        rule(&fields, requirements)
    };
    Some(Route { rule: rule?, ..closed() })
}

/// The default `deny`.
fn closed() -> Route {
    Route {
        name: "default".into(),
        rule: Rule::Deny,
        mode: Mode::Enforce,
        allowed: PathFeatures::NONE,
        stream_end: StreamEnd::Never,
        audit: RouteAudit::default(),
    }
}

fn rule<'n>(fields: &Fields<'n>, requirements: &Requirements<'n>) -> Option<Rule> {
    let required = |node: Node<'n>| requirements.read(&node).map(Rc::new);
    match ["require", "optional", "public", "deny"].map(|rule| fields.optional(rule)) {
        [Some(node), None, None, None] => required(node).map(Rule::Require),
        [None, Some(node), None, None] => required(node).map(Rule::Optional),
        [None, None, Some(node), None] => node.empty().map(|()| Rule::Public),
        [None, None, None, Some(node)] => node.empty().map(|()| Rule::Deny),
        _ => fields.node().problem("expected exactly one of require, optional, public, deny"),
    }
}

fn pattern(node: &Node<'_>, case: LetterCase) -> Option<Pattern> {
    let fields = node.fields(&["path", "prefix", "methods", "authorities", "case_sensitive", "mcp"])?;
    let path = match (fields.optional("path"), fields.optional("prefix")) {
        (Some(node), None) => segments(&node).map(PathPattern::Whole),
        (None, Some(node)) => prefix(&node).map(PathPattern::Prefix),
        (None, None) | (Some(_), Some(_)) => node.problem("expected exactly one of path, prefix"),
    };
    let methods = fields.or("methods", Vec::new(), methods);
    let authorities = fields.or("authorities", Vec::new(), authorities);
    let case = letter_case(&fields, case);
    let mcp = mcp::pattern(&fields, methods.as_deref());
    Some(Pattern { authorities: authorities?, path: path?, methods: methods?, case: case?, mcp: mcp? })
}

/// `case_sensitive`, by Envoy's word for it.
pub(super) fn letter_case(fields: &Fields<'_>, default: LetterCase) -> Option<LetterCase> {
    fields.or("case_sensitive", default, |node| {
        node.boolean().map(|matters| if matters { LetterCase::Matters } else { LetterCase::Ignored })
    })
}

pub(super) fn methods(node: &Node<'_>) -> Option<Vec<Rc<str>>> {
    let is_method = |text: &str| {
        let is_word = text.len() <= 32 && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
        // Clients do not send these; an operator who writes them means that the list should be left out.
        is_word && !["ANY", "ALL"].contains(&text)
    };
    let read =
        |item: &Node<'_>| item.string_that("a method in upper case, like GET", is_method).map(Rc::from);
    node.distinct(MAX_METHODS, "method", read)
}

pub(super) fn authorities(node: &Node<'_>) -> Option<Vec<Authority>> {
    node.distinct(MAX_AUTHORITIES, "authority", authority)
}

fn authority(node: &Node<'_>) -> Option<Authority> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    let is_host = |text: &str| !text.is_empty() && text.len() <= 261 && text.bytes().all(allowed);
    let text = node.string_that("a host like api.example.com, or *.example.com", |text| {
        is_host(text.strip_prefix("*.").unwrap_or(text))
    })?;
    let lower = text.to_ascii_lowercase();
    if lower.ends_with('.') || lower.contains(".:") {
        return node.problem("leave the last dot out: a host matches with and without it");
    }
    if lower.starts_with('.') {
        return node.problem("a suffix is written *.example.com");
    }
    if let Some(suffix) = lower.strip_prefix('*') {
        if suffix.contains(':') {
            return node.problem("a suffix has no port");
        }
        let is_below_it = RequestAuthority::parse(format!("_{suffix}").as_bytes()).is_ok();
        return if is_below_it { Some(Authority::Suffix(suffix.into())) } else { node.problem(NO_HOST) };
    }
    // What follows the last colon of a name that is not an address in brackets is a port.
    let port = lower.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).map(|(_, port)| port);
    if port.is_some_and(|port| port.starts_with('0') || port.parse::<u16>().is_err()) {
        return node.problem("expected a port from 1 to 65535 after the colon");
    }
    let Ok(read) = RequestAuthority::parse(lower.as_bytes()) else { return node.problem(NO_HOST) };
    let host = read.host();
    Some(Authority::Exact(port.map_or(host.into(), |port| format!("{host}:{port}").into())))
}

/// A prefix ends at a segment: `/files` is `/files` and `/files/…`.
pub(super) fn prefix(node: &Node<'_>) -> Option<Vec<Segment>> {
    let mut segments = segments(node)?;
    if segments.contains(&Segment::Variable) {
        return node.problem("a prefix has no variables: use `path`");
    }
    if segments.last() == Some(&Segment::Literal("".into())) {
        segments.pop();
        if !segments.is_empty() {
            return node.problem("a prefix ends at a segment anyway: leave the last slash out");
        }
    }
    Some(segments)
}

pub(super) fn segments(node: &Node<'_>) -> Option<Vec<Segment>> {
    let text = node.string_that("a path without query: it begins with /", |text| {
        text.starts_with('/') && !text.contains('?')
    })?;
    let path = match RequestPath::parse(text.as_bytes()) {
        Ok(path) => path,
        Err(error) => return node.problem(error),
    };
    // In a pattern, what is escaped is meant literally.
    if let Some(feature) = path.features().first_not_in(PathFeatures::SPELLINGS) {
        return node.problem(format_args!("the path is ambiguous: {feature}"));
    }
    let raw = text.strip_prefix('/').unwrap_or_default().split('/');
    let segments: Vec<_> =
        path.segments().zip(raw).map(|(decoded, raw)| segment(node, raw, &decoded)).collect();
    let segments: Option<Vec<(Segment, Option<String>)>> = segments.into_iter().collect();
    let segments = segments?;
    let names: Vec<&String> = segments.iter().filter_map(|(_, name)| name.as_ref()).collect();
    if names.iter().enumerate().any(|(index, name)| names.iter().take(index).any(|other| other == name)) {
        return node.problem("duplicate variable");
    }
    Some(segments.into_iter().map(|(segment, _)| segment).collect())
}

/// A segment as written, and decoded: what is escaped is meant literally.
fn segment(node: &Node<'_>, text: &str, decoded: &str) -> Option<(Segment, Option<String>)> {
    if text.contains('*') || text.starts_with(':') {
        return node.problem(
            "a variable is {name}, and a prefix is `prefix`; a literal * is %2A, a literal : is %3A",
        );
    }
    if !text.contains(['{', '}']) {
        return Some((Segment::Literal(decoded.into()), None));
    }
    let name = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or_default();
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return node.problem("a variable is a whole segment, like {order_id}");
    }
    Some((Segment::Variable, Some(name.to_owned())))
}

const NO_HOST: &str = "expected a host of labels with single dots between them, or an address";
/// A gateway in front of everything an enterprise has.
const MAX_ROUTES: usize = 20_000;
/// There are nine in RFC 9110 and RFC 5789, and WebDAV's.
const MAX_METHODS: usize = 32;
/// A route for more hosts than this is a route for a suffix, or for any host.
const MAX_AUTHORITIES: usize = 64;
