//! The list `inbound.routes` and the default.

use std::rc::Rc;

use super::issuers::MAX_ISSUERS;
use super::reader::{Fields, Node, printable, refuse_repeated};
use super::value::Value;
use super::values;
use crate::policy::{
    Authority, IssuerId, LetterCase, Mode, PathFeatures, PathPattern, Pattern, RequestAuthority, RequestPath,
    Requirement, Route, RouteId, RouteTable, Rule, Segment, TableProblem,
};

/// What routes depend on besides.
#[derive(Clone, Copy)]
pub(super) struct RouteContext<'a> {
    /// The names of the issuers in order; `None` when those could not be read.
    pub(super) issuers: Option<&'a [Rc<str>]>,
    /// What the case of letters counts for where a route says nothing.
    pub(super) case: LetterCase,
    /// What every route lets through.
    pub(super) allowed: PathFeatures,
}

/// Reads both.
pub(super) fn read(inbound: &Fields<'_>, context: RouteContext<'_>) -> Option<RouteTable> {
    let issuers = context.issuers;
    let routes = inbound.or("routes", Vec::new(), |node| {
        let routes = node.each(MAX_ROUTES, |item| route(item, context))?;
        let names = routes.iter().map(|(node, route)| (node, route.as_ref().map(|(_, route)| &route.name)));
        refuse_repeated(names, ".name", "route name");
        Some(routes)
    });
    let default = inbound.read("default", |node| default(node, issuers));
    let default = default.map(|route| Route { allowed: context.allowed, ..route });
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
            for problem in problems.into_iter().filter_map(|problem| problem.renamed(place)) {
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

fn route(node: &Node<'_>, context: RouteContext<'_>) -> Option<(Pattern, Route)> {
    let fields = node.fields(&["name", "match", "require", "public", "deny", "mode", "allow_in_path"])?;
    let name = fields.read("name", values::name);
    let pattern = fields.read("match", |node| pattern(node, context.case));
    let rule = rule(&fields, context.issuers);
    let mode = fields.or("mode", Mode::Enforce, |node| {
        let mode = node.word(&[("enforce", Mode::Enforce), ("report_only", Mode::ReportOnly)])?;
        if mode == Mode::ReportOnly && matches!(rule, Some(Rule::Public)) {
            return node.problem("a public route has nothing to report");
        }
        Some(mode)
    });
    let allowed = allowed_in_path(&fields).map(|allowed| allowed.with(context.allowed));
    Some((pattern?, Route { name: name?, rule: rule?, mode: mode?, allowed: allowed? }))
}

/// The features that `allow_in_path` names.
pub(super) fn allowed_in_path(fields: &Fields<'_>) -> Option<PathFeatures> {
    fields.or("allow_in_path", PathFeatures::NONE, |node| {
        let names = PathFeatures::NAMES;
        let features = node.distinct(names.len(), "feature", |item| item.word(&names))?;
        Some(features.into_iter().fold(PathFeatures::NONE, PathFeatures::with))
    })
}

fn default(node: &Node<'_>, issuers: Option<&[Rc<str>]>) -> Option<Route> {
    let rule = if node.value().as_str().is_some() {
        node.string_that("deny, { public: {} } or { require: { … } }", |text| text == "deny")
            .map(|_| Rule::Deny)
    } else {
        let fields = node.fields(&["require", "public"])?;
        rule(&fields, issuers)
    };
    Some(Route { rule: rule?, ..closed() })
}

/// The default `deny`.
fn closed() -> Route {
    Route { name: "default".into(), rule: Rule::Deny, mode: Mode::Enforce, allowed: PathFeatures::NONE }
}

fn rule(fields: &Fields<'_>, issuers: Option<&[Rc<str>]>) -> Option<Rule> {
    let (require, public, deny) =
        (fields.optional("require"), fields.optional("public"), fields.optional("deny"));
    match (require, public, deny) {
        (Some(node), None, None) => {
            requirement(&node, issuers).map(|requirement| Rule::Require(requirement.into()))
        }
        (None, Some(node), None) => node.empty().map(|()| Rule::Public),
        (None, None, Some(node)) => node.empty().map(|()| Rule::Deny),
        _ => fields.node().problem("expected exactly one of require, public, deny"),
    }
}

fn requirement(node: &Node<'_>, issuers: Option<&[Rc<str>]>) -> Option<Requirement> {
    let fields = node.fields(&["issuers", "scopes", "any_scope", "authenticated"])?;
    let accepted = match (fields.optional("issuers"), issuers) {
        (Some(node), _) => accepted_issuers(&node, issuers),
        (None, Some([_])) => Some([IssuerId(0)].into()),
        (None, Some(_)) => node.problem("name `issuers`: more than one is configured"),
        (None, None) => None,
    };
    let all_of = fields.or("scopes", Vec::new(), scopes);
    let any_of = fields.or("any_scope", Vec::new(), scopes);
    let names_scopes = fields.optional("scopes").is_some() || fields.optional("any_scope").is_some();
    match fields.optional("authenticated") {
        Some(node) if names_scopes => return node.problem("scopes are named: leave `authenticated` out"),
        Some(node) => node.empty()?,
        None if names_scopes => {}
        None => {
            return node.problem("name scopes, any_scope, or write `authenticated: {}` for any valid token");
        }
    }
    Some(Requirement::new(accepted?, all_of?, any_of?))
}

fn accepted_issuers(node: &Node<'_>, issuers: Option<&[Rc<str>]>) -> Option<Rc<[IssuerId]>> {
    let accepted = node.distinct(MAX_ISSUERS, "issuer", |item| {
        let name = item.string()?;
        let place = issuers?.iter().position(|issuer| **issuer == *name);
        let Some(place) = place else {
            return item.problem(format_args!("unknown issuer `{}`", printable(name)));
        };
        IssuerId::at(place)
    });
    accepted.map(Rc::from)
}

pub(super) fn scopes(node: &Node<'_>) -> Option<Vec<Rc<str>>> {
    node.distinct(MAX_SCOPES, "scope", values::scope)
}

fn pattern(node: &Node<'_>, case: LetterCase) -> Option<Pattern> {
    let fields = node.fields(&["path", "prefix", "methods", "authorities", "case_sensitive"])?;
    let path = match (fields.optional("path"), fields.optional("prefix")) {
        (Some(node), None) => segments(&node).map(PathPattern::Whole),
        (None, Some(node)) => prefix(&node).map(PathPattern::Prefix),
        (None, None) | (Some(_), Some(_)) => node.problem("expected exactly one of path, prefix"),
    };
    let methods = fields.or("methods", Vec::new(), methods);
    let authorities = fields.or("authorities", Vec::new(), authorities);
    let case = letter_case(&fields, case);
    Some(Pattern { authorities: authorities?, path: path?, methods: methods?, case: case? })
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
/// They are all named in one challenge, which has to fit a header.
const MAX_SCOPES: usize = 64;
/// There are nine in RFC 9110 and RFC 5789, and WebDAV's.
const MAX_METHODS: usize = 32;
/// A route for more hosts than this is a route for a suffix, or for any host.
const MAX_AUTHORITIES: usize = 64;
