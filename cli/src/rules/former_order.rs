//! Which requests another version gave to another route: it had every whole path before every prefix, told a path with
//! a slash at its end from the one without, and `HEAD` from `GET`. For operators whose rules rested on that.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::rc::Rc;

use attache::policy::{
    Authority, LetterCase, PathPattern, Pattern, RequestAuthority, RequestPath, Route, RouteTable, Rule,
    Segment,
};

/// What an operator is told: each pair of routes with other rules between which requests have moved, and one such
/// request. `patterns` are those of the table's routes, in their order.
pub(crate) fn changes(patterns: &[Pattern], table: &RouteTable) -> Vec<String> {
    let former = Former::new(patterns);
    let mut moved: BTreeMap<(&str, String), Moved> = BTreeMap::new();
    let samples = heads(patterns).chain(slashes(patterns)).chain(prefixes(patterns));
    for (why, sample) in samples.take(MAX_SAMPLES) {
        let Some((before, now)) = former.find(&sample).zip(sample.find(table)) else { continue };
        let before = before.and_then(|place| table.routes().get(place)).or(table.routes().last());
        let has_moved = |before: &&Route| before.name != now.name && !has_same_rule(before, now);
        // What a closed default refused has to meet a rule now, as its author meant it.
        let is_closed = |before: &&Route| is_default(before) && matches!(before.rule, Rule::Deny);
        let Some(before) = before.filter(has_moved).filter(|before| !is_closed(before)) else { continue };
        let all = moved.entry((why, named(before))).or_default();
        if all.first.is_empty() {
            all.first = format!("{sample} was {}'s and is {}'s", named(before), named(now));
            all.to = Rc::clone(&now.name);
        }
        all.others.insert(Rc::clone(&now.name));
    }
    let told = |((why, before), mut all): ((&str, String), Moved)| {
        all.others.remove(&all.to);
        let (shown, rest) = (all.others.iter().take(MAX_NAMED), all.others.len().saturating_sub(MAX_NAMED));
        let mut shown = shown.map(|name| &**name).collect::<Vec<_>>().join(", ");
        if rest > 0 {
            let _ = write!(shown, " and {rest} more");
        }
        let more =
            if shown.is_empty() { shown } else { format!("; other requests of {before} went to {shown}") };
        format!("{}: {why}{more}", all.first)
    };
    moved.into_iter().map(told).collect()
}

/// Requests of one route that are others' now.
#[derive(Default)]
struct Moved {
    first: String,
    /// The route that has got the first.
    to: Rc<str>,
    others: BTreeSet<Rc<str>>,
}

fn named(route: &Route) -> String {
    if is_default(route) { "the default".to_owned() } else { format!("route {}", route.name) }
}

/// No route may have its name.
fn is_default(route: &Route) -> bool {
    *route.name == *"default"
}

fn has_same_rule(one: &Route, other: &Route) -> bool {
    let rule = |route: &Route| format!("{:?} {:?} {:?}", route.rule, route.mode, route.allowed);
    rule(one) == rule(other)
}

/// A request.
struct Sample {
    authority: String,
    segments: Vec<String>,
    method: String,
}

impl Sample {
    fn find<'t>(&self, table: &'t RouteTable) -> Option<&'t Route> {
        let authority = RequestAuthority::parse(self.authority.as_bytes()).ok()?;
        let path = self.path();
        let path = RequestPath::parse(path.as_bytes()).ok()?;
        table.route(table.find(Some(&authority), &path, self.method.as_bytes()))
    }

    fn path(&self) -> String {
        let mut path = String::new();
        for segment in &self.segments {
            path.push('/');
            for byte in segment.bytes() {
                if byte.is_ascii_alphanumeric() || b"-._~:@".contains(&byte) {
                    path.push(char::from(byte));
                } else {
                    let _ = write!(path, "%{byte:02X}");
                }
            }
        }
        path
    }
}

impl core::fmt::Display for Sample {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let authority = if self.authority == ANY { "" } else { &self.authority };
        write!(f, "`{} {authority}{}`", self.method, self.path())
    }
}

/// `HEAD` of what is listed for `GET`.
fn heads(patterns: &[Pattern]) -> impl Iterator<Item = (&'static str, Sample)> {
    let lists_get = |pattern: &&Pattern| pattern.methods.iter().any(|method| **method == *"GET");
    patterns.iter().filter(lists_get).flat_map(|pattern| {
        let sample =
            move |authority| Sample { authority, segments: example(pattern), method: "HEAD".to_owned() };
        authorities(pattern)
            .map(move |authority| ("`GET` covers `HEAD` where that is not listed", sample(authority)))
    })
}

/// Whole paths with a slash more or less.
fn slashes(patterns: &[Pattern]) -> impl Iterator<Item = (&'static str, Sample)> {
    let is_whole = |pattern: &&Pattern| matches!(pattern.path, PathPattern::Whole(_));
    patterns.iter().filter(is_whole).flat_map(|pattern| {
        let mut segments = example(pattern);
        match segments.last() {
            Some(last) if last.is_empty() && segments.len() > 1 => drop(segments.pop()),
            Some(last) if last.is_empty() => {}
            Some(_) | None => segments.push(String::new()),
        }
        let why = "with and without a slash at its end is one path, unless both are written";
        each_method(pattern, segments).map(move |sample| (why, sample))
    })
}

/// What matches a prefix as well as a whole path that has a variable where the prefix has a literal.
fn prefixes(patterns: &[Pattern]) -> impl Iterator<Item = (&'static str, Sample)> {
    let prefixes = patterns.iter().filter_map(|pattern| match &pattern.path {
        PathPattern::Prefix(literals) => Some((pattern, literals)),
        PathPattern::Whole(_) => None,
    });
    let why = "the first segment in which two patterns differ decides, and a literal comes before a variable";
    prefixes.flat_map(move |(prefix, literals)| {
        let crossing = patterns.iter().filter(move |pattern| match &pattern.path {
            PathPattern::Whole(segments) => crosses(literals, segments),
            PathPattern::Prefix(_) => false,
        });
        crossing.flat_map(move |whole| {
            let rest = example(whole).into_iter().skip(literals.len());
            let segments: Vec<String> = literals.iter().map(text).chain(rest).collect();
            let both = each_method(prefix, segments.clone()).chain(each_method(whole, segments));
            both.map(move |sample| (why, sample))
        })
    })
}

fn crosses(literals: &[Segment], whole: &[Segment]) -> bool {
    let mut has_variable = false;
    let mut pairs = literals.iter().zip(whole);
    literals.len() <= whole.len()
        && pairs.all(|(literal, segment)| {
            has_variable |= *segment == Segment::Variable;
            *segment == Segment::Variable || literal == segment
        })
        && has_variable
}

fn each_method(pattern: &Pattern, segments: Vec<String>) -> impl Iterator<Item = Sample> {
    let listed = pattern.methods.iter().map(ToString::to_string);
    let any = ["GET", "POST"].map(str::to_owned);
    let methods: Vec<String> =
        if pattern.methods.is_empty() { any.into_iter().collect() } else { listed.collect() };
    authorities(pattern).flat_map(move |authority| {
        let segments = segments.clone();
        methods.clone().into_iter().map(move |method| Sample {
            authority: authority.clone(),
            segments: segments.clone(),
            method,
        })
    })
}

fn authorities(pattern: &Pattern) -> impl Iterator<Item = String> + use<> {
    let name = |authority: &Authority| match authority {
        Authority::Exact(name) => name.to_string(),
        Authority::Suffix(suffix) => format!("{ANY}{suffix}"),
    };
    let names: Vec<String> = pattern.authorities.iter().map(name).collect();
    let names = if names.is_empty() { vec![ANY.to_owned()] } else { names };
    names.into_iter()
}

fn example(pattern: &Pattern) -> Vec<String> {
    let (PathPattern::Whole(segments) | PathPattern::Prefix(segments)) = &pattern.path;
    segments.iter().map(text).collect()
}

fn text(segment: &Segment) -> String {
    match segment {
        Segment::Literal(text) => text.to_string(),
        Segment::Variable => "1".to_owned(),
    }
}

/// The table as another version had it, by places.
#[derive(Default)]
struct Former {
    exact: HashMap<Rc<str>, Node>,
    suffixes: HashMap<Rc<str>, Node>,
    any: Node,
}

#[derive(Default)]
struct Node {
    literals: HashMap<Rc<str>, Self>,
    variable: Option<Box<Self>>,
    whole: Methods,
    prefix: Methods,
}

/// By method; the empty one is any.
type Methods = HashMap<Rc<str>, usize>;

impl Former {
    fn new(patterns: &[Pattern]) -> Self {
        let mut former = Self::default();
        // It knew no other case than the pattern's.
        let known = patterns.iter().enumerate().filter(|(_, pattern)| pattern.case == LetterCase::Matters);
        for (place, pattern) in known {
            if pattern.authorities.is_empty() {
                former.any.insert(pattern, place);
            }
            for authority in &pattern.authorities {
                let node = match authority {
                    Authority::Exact(name) => former.exact.entry(Rc::clone(name)),
                    Authority::Suffix(suffix) => former.suffixes.entry(Rc::clone(suffix)),
                };
                node.or_default().insert(pattern, place);
            }
        }
        former
    }

    /// The route of a request; `Some(None)` is the default.
    fn find(&self, sample: &Sample) -> Option<Option<usize>> {
        let authority = RequestAuthority::parse(sample.authority.as_bytes()).ok()?;
        let host = authority.host();
        let with_port = authority.port().map(|port| format!("{host}:{port}"));
        let exact = with_port.as_deref().into_iter().chain([host]).filter_map(|name| self.exact.get(name));
        let dots = host.match_indices('.').filter_map(|(place, _)| self.suffixes.get(host.get(place..)?));
        let mut nodes = exact.chain(dots).chain([&self.any]);
        Some(nodes.find_map(|node| {
            let mut prefix = None;
            node.find_whole(&sample.segments, &sample.method, &mut prefix).or(prefix)
        }))
    }
}

impl Node {
    fn insert(&mut self, pattern: &Pattern, place: usize) {
        let (PathPattern::Whole(segments) | PathPattern::Prefix(segments)) = &pattern.path;
        let mut node = self;
        for segment in segments {
            node = match segment {
                Segment::Literal(text) => node.literals.entry(Rc::clone(text)).or_default(),
                Segment::Variable => node.variable.get_or_insert_default(),
            };
        }
        let ends = match &pattern.path {
            PathPattern::Whole(_) => &mut node.whole,
            PathPattern::Prefix(_) => &mut node.prefix,
        };
        let any: &[Rc<str>] = &["".into()];
        let methods = if pattern.methods.is_empty() { any } else { &pattern.methods };
        ends.extend(methods.iter().map(|method| (Rc::clone(method), place)));
    }

    fn find_whole(&self, segments: &[String], method: &str, prefix: &mut Option<usize>) -> Option<usize> {
        let at = |ends: &Methods| ends.get(method).or_else(|| ends.get("")).copied();
        *prefix = at(&self.prefix).or(*prefix);
        let Some((segment, rest)) = segments.split_first() else { return at(&self.whole) };
        let literal = self.literals.get(&**segment);
        let by_literal = literal.and_then(|next| next.find_whole(rest, method, prefix));
        let variable = self.variable.as_ref().filter(|_| !segment.is_empty());
        by_literal.or_else(|| variable.and_then(|next| next.find_whole(rest, method, &mut None)))
    }
}

/// A name that no pattern has.
const ANY: &str = "_";
/// As many as an operator needs to see what is meant.
const MAX_NAMED: usize = 5;
/// As many as take a second or two.
const MAX_SAMPLES: usize = 200_000;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]
mod tests {
    use crate::check::check_text;
    use crate::finding::table;

    fn notes(routes: &str) -> Vec<String> {
        let text = format!(
            r#"
inbound:
  issuers:
  - {{ name: corp, issuer: "https://idp.example", audiences: any, keys: {{ jwks: {{ uri: "https://idp.example/", cluster: idp }} }} }}
  default: deny
  routes:
{routes}"#
        );
        let findings =
            check_text("-", &text).findings.into_iter().filter(|finding| finding.rule == table::ROUTE_MOVED);
        findings.map(|finding| finding.message).collect()
    }

    #[test]
    fn routes_between_which_requests_have_moved_are_named_with_one_of_these() {
        let told = notes(
            r#"
  - { name: admin, match: { prefix: /admin }, deny: {} }
  - { name: status, match: { path: "/{tenant}/status" }, public: {} }
  - { name: lax, match: { prefix: / }, public: {} }
  - { name: post, match: { path: /orders, methods: [POST] }, require: { scopes: [a] } }
  - { name: get, match: { path: /orders, methods: [GET], authorities: [api.example] }, require: { scopes: [b] } }
"#,
        );
        assert_eq!(
            told,
            [
                "`HEAD api.example/orders` was route lax's and is route get's: `GET` covers `HEAD` where that is not \
                listed",
                "`GET /admin/status` was route status's and is route admin's: the first segment in which two \
                patterns differ \
                 decides, and a literal comes before a variable",
                "`POST /orders/` was route lax's and is route post's: with and without a slash at its end is one \
                path, unless \
                 both are written; other requests of route lax went to get",
            ]
        );
    }

    #[test]
    fn where_nothing_has_moved_or_the_rule_is_the_same_there_is_nothing_to_tell() {
        let told = notes(
            r#"
  - { name: lax, match: { prefix: / }, public: {} }
  - { name: health, match: { path: /healthz, methods: [GET] }, public: {} }
  - { name: order, match: { path: "/orders/{id}" }, require: { scopes: [a] } }
  - { name: orders, match: { prefix: /orders }, require: { scopes: [a] } }
"#,
        );
        assert_eq!(told, [""; 0]);
        let closed = notes(
            r#"
  - { name: order, match: { path: "/orders/{id}", methods: [GET] }, require: { scopes: [a] } }
"#,
        );
        assert_eq!(closed, [""; 0]);
    }
}
