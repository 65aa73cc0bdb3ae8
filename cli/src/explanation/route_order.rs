//! A table of routes in the order in which a request is compared with them, and what each demands.
//!
//! The filter looks a route up and compares a request with few of them; of the list, the first line that matches is the
//! route that it finds.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::rc::Rc;

use attache::inbound::{Issuer, MetadataUse, Settings};
use attache::policy::{
    Authority, IssuerId, LetterCase, Mode, NamedRequirement, PathFeatures, PathPattern, Pattern, Requirement,
    Route, Rule, Segment, StreamEnd,
};

use super::requirement::in_words;

/// One route, for one of its hosts.
struct Row<'a> {
    authority: Option<&'a Authority>,
    pattern: &'a Pattern,
    route: &'a Route,
}

/// How a part of a path compares with another one: the lesser comes first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// The path is at its end, written without and with a slash.
    End(bool),
    /// A text. Where letters differ only in their case, the rest of the two decides.
    Literal(String),
    Variable,
    /// The end of a prefix.
    Rest,
}

/// Writes the table. `patterns` are those of its routes, in their order.
pub(crate) fn route_order(settings: &Settings, patterns: &[Pattern]) -> String {
    let routes = settings.routes.routes();
    let mut rows = rows(settings, patterns);
    rows.sort_by_cached_key(Row::place);
    let mut cells: Vec<[String; 5]> = rows.iter().map(|row| row.cells(settings)).collect();
    if let Some(default) = routes.last() {
        let all = rows.iter().find(|row| row.takes_all()).map(|row| &row.route.name);
        let never = all.map(|name| format!(" (never reached: {name} takes every request)"));
        let demand = format!("{}{}", demand(default, settings), never.unwrap_or_default());
        cells.push(["else".into(), String::new(), String::new(), "default".into(), demand]);
    }
    let mut text = for_all(settings);
    text.push_str(&columns(&cells));
    let mut named = BTreeMap::new();
    for route in routes {
        if let Some(requirement) = route.rule.requirement() {
            collect(requirement, &mut named);
        }
    }
    for (name, requirement) in named {
        let _ = writeln!(text, "  {name}: {}", in_words(requirement.requirement(), settings));
    }
    text
}

fn rows<'a>(settings: &'a Settings, patterns: &'a [Pattern]) -> Vec<Row<'a>> {
    let mut rows = Vec::new();
    for (pattern, route) in patterns.iter().zip(settings.routes.routes()) {
        let authorities = pattern.authorities.iter().map(Some);
        let any = pattern.authorities.is_empty().then_some(None);
        rows.extend(authorities.chain(any).map(|authority| Row { authority, pattern, route }));
    }
    rows
}

impl Row<'_> {
    /// Its place in the order.
    fn place(&self) -> impl Ord + use<> {
        let (class, length, host) = match self.authority {
            // A port is part of the name.
            Some(Authority::Exact(name))
                if name.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']')) =>
            {
                (0, 0, name.to_string())
            }
            Some(Authority::Exact(name)) => (1, 0, name.to_string()),
            Some(Authority::Suffix(suffix)) => {
                (2, usize::MAX.saturating_sub(suffix.len()), suffix.to_string())
            }
            None => (3, 0, String::new()),
        };
        let methods = &self.pattern.methods;
        // `GET` covers `HEAD`, unless that is listed for the same path.
        let by_method = match methods.iter().any(|method| **method == *"HEAD") {
            true => 0,
            false if !methods.is_empty() => 1,
            false => 2,
        };
        // Messages come before the route that has all the others of the path.
        let by_message = match &self.pattern.mcp {
            Some(messages) if !messages.names.is_empty() => 0,
            Some(_) => 1,
            None => 2,
        };
        let ignores_case = self.pattern.case == LetterCase::Ignored;
        ((class, length, host), self.parts(), (by_message, by_method), methods.clone(), ignores_case)
    }

    fn parts(&self) -> Vec<Part> {
        let (segments, is_whole) = match &self.pattern.path {
            PathPattern::Whole(segments) => (segments, true),
            PathPattern::Prefix(segments) => (segments, false),
        };
        let mut is_slashed = false;
        let mut parts = Vec::new();
        for segment in segments {
            match segment {
                Segment::Literal(text) if text.is_empty() => is_slashed = true,
                Segment::Literal(text) => parts.push(Part::Literal(text.to_lowercase())),
                Segment::Variable => parts.push(Part::Variable),
            }
        }
        parts.push(if is_whole { Part::End(is_slashed) } else { Part::Rest });
        parts
    }

    fn takes_all(&self) -> bool {
        let pattern = self.pattern;
        self.authority.is_none()
            && pattern.path.is_any()
            && pattern.methods.is_empty()
            && pattern.mcp.is_none()
    }

    fn cells(&self, settings: &Settings) -> [String; 5] {
        let host = match self.authority {
            Some(Authority::Exact(name)) => name.to_string(),
            Some(Authority::Suffix(suffix)) => format!("*{suffix}"),
            None => "any host".to_owned(),
        };
        let methods = match &self.pattern.mcp {
            Some(messages) if messages.names.is_empty() => messages.methods.join(" "),
            Some(messages) => format!("{}: {}", messages.methods.join(" "), messages.names.join(" ")),
            None if self.pattern.methods.is_empty() => "any method".to_owned(),
            None => self.pattern.methods.join(" "),
        };
        let case = if self.pattern.case == LetterCase::Ignored { " (any case)" } else { "" };
        let path = format!("{}{case}", path(&self.pattern.path));
        [host, methods, path, self.route.name.to_string(), demand(self.route, settings)]
    }
}

fn path(pattern: &PathPattern) -> String {
    let (segments, end) = match pattern {
        PathPattern::Whole(segments) => (segments, ""),
        PathPattern::Prefix(segments) => (segments, "/…"),
    };
    let mut text = String::new();
    for segment in segments {
        match segment {
            Segment::Literal(literal) => text.extend(["/", literal]),
            Segment::Variable => text.push_str("/{}"),
        }
    }
    text.push_str(end);
    text
}

/// What holds for every line.
fn for_all(settings: &Settings) -> String {
    let mut text = String::new();
    if settings.issuers.iter().all(reports) {
        text.push_str("  report-only for all issuers: what a verified token lacks denies nothing\n");
    }
    if settings.route_metadata == MetadataUse::Read {
        text.push_str(
            "  Envoy's routes may demand more; where the default is `denied`, what they demand is enough\n",
        );
    }
    text
}

fn demand(route: &Route, settings: &Settings) -> String {
    let mut demand = match &route.rule {
        Rule::Public => "public".to_owned(),
        Rule::Deny => "denied".to_owned(),
        Rule::Require(requirement) => in_words(requirement, settings),
        Rule::Optional(requirement) => format!("no token, or {}", in_words(requirement, settings)),
    };
    for exception in exceptions(route, settings) {
        let _ = write!(demand, " ({exception})");
    }
    demand
}

/// What takes something away from a demand, or adds to it.
fn exceptions(route: &Route, settings: &Settings) -> impl Iterator<Item = String> {
    let is_report = route.mode == Mode::ReportOnly;
    let reporting = Some(reporting(route, settings)).filter(|names| !is_report && !names.is_empty());
    let expires = route.stream_end == StreamEnd::AtExpiry && !matches!(route.rule, Rule::Deny);
    let allowed = Some(allowed(route, settings)).filter(|names| !names.is_empty());
    let exceptions = [
        is_report.then(|| "report-only".to_owned()),
        reporting.map(|names| format!("report-only once {} has signed", names.join(" or "))),
        expires.then(|| "streams end with the token".to_owned()),
        allowed.map(|names| format!("paths may have {}", names.join(", "))),
    ];
    exceptions.into_iter().flatten()
}

/// The issuers that are accepted here and are report-only themselves; none where all are, which is told once.
fn reporting<'a>(route: &Route, settings: &'a Settings) -> Vec<&'a str> {
    let Some(requirement) = route.rule.requirement() else { return Vec::new() };
    if settings.issuers.iter().all(reports) {
        return Vec::new();
    }
    let issuers = settings.issuers.iter().enumerate().filter(|(_, issuer)| reports(issuer));
    let accepted =
        issuers.filter(|(place, _)| IssuerId::at(*place).is_some_and(|id| requirement.accepts(id)));
    accepted.map(|(_, issuer)| &*issuer.name).collect()
}

fn reports(issuer: &Issuer) -> bool {
    issuer.mode == Mode::ReportOnly
}

/// What its paths may have beyond those of the default.
fn allowed(route: &Route, settings: &Settings) -> Vec<&'static str> {
    let common = settings.routes.routes().last().map_or(PathFeatures::NONE, |default| default.allowed);
    let own = route.allowed.without(common);
    let names = PathFeatures::NAMES.iter().filter(|(_, feature)| feature.first_not_in(own).is_none());
    names.map(|(name, _)| *name).collect()
}

/// The requirements with a name that this one leads to.
fn collect<'a>(requirement: &'a Requirement, named: &mut BTreeMap<&'a str, &'a Rc<NamedRequirement>>) {
    match requirement {
        Requirement::All(parts) | Requirement::Any(parts) => {
            parts.iter().for_each(|part| collect(part, named));
        }
        Requirement::Named(inner) => {
            if named.insert(inner.name(), inner).is_none() {
                collect(inner.requirement(), named);
            }
        }
        Requirement::Leaf(_) => {}
    }
}

/// Lines of cells, each as wide as the widest of its column, the last one as wide as it is.
fn columns(rows: &[[String; 5]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..4).map(width).collect();
    let mut text = String::new();
    for (number, row) in (1_usize..).zip(rows) {
        let _ = write!(text, "{number:>5}. ");
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(text, "{cell:<width$}  ");
        }
        let _ = writeln!(text, "{}", row.last().map_or("", String::as_str));
    }
    text
}

#[cfg(test)]
mod tests {
    use attache::config;
    use attache::policy::{RequestAuthority, RequestPath};
    use serde_json::json;

    use super::*;

    struct NoVariables;

    impl config::Environment for NoVariables {
        fn variable(&self, _name: &str) -> Option<String> {
            None
        }
    }

    impl Row<'_> {
        fn matches(&self, host: &str, path: &str, method: &str) -> bool {
            let authority = RequestAuthority::parse(host.as_bytes()).unwrap();
            let asked: Vec<&str> = path.split('/').skip(1).collect();
            let (segments, is_whole) = match &self.pattern.path {
                PathPattern::Whole(segments) => (segments, true),
                PathPattern::Prefix(segments) => (segments, false),
            };
            let is_same = |(segment, text): (&Segment, &&str)| match segment {
                Segment::Variable => true,
                Segment::Literal(literal) if self.pattern.case == LetterCase::Ignored => {
                    literal.eq_ignore_ascii_case(text)
                }
                Segment::Literal(literal) => **literal == **text,
            };
            let fits = if is_whole { segments.len() == asked.len() } else { segments.len() <= asked.len() };
            let methods = &self.pattern.methods;
            let by_method = methods.is_empty()
                || methods
                    .iter()
                    .any(|listed| **listed == *method || (method == "HEAD" && **listed == *"GET"));
            self.authority.is_none_or(|pattern| pattern.matches(&authority))
                && fits
                && segments.iter().zip(&asked).all(is_same)
                && by_method
        }
    }

    /// Of random tables and requests, the first line that matches is the route that the filter finds.
    #[test]
    fn the_first_line_that_matches_is_the_route_that_is_found() {
        let mut state = 7_u64;
        let mut pick = |n: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            usize::try_from(state >> 33).unwrap() % n
        };
        let paths = ["/a", "/A/b", "/a/B", "/a/{x}", "/{x}/b", "/{x}", "/a/b/c", "/{x}/{y}", "/1/{x}"];
        let hosts =
            [json!(["a.b.c"]), json!(["a.b.c:81"]), json!(["*.b.c"]), json!(["*.c", "x"]), json!(null)];
        let methods = [json!(["GET"]), json!(["HEAD", "POST"]), json!(null)];
        let (mut tables, mut compared) = (0, 0);
        while tables < 400 {
            let routes: Vec<_> = (0..pick(9) + 1)
                .map(|number| {
                    let mut pattern = json!({ "case_sensitive": pick(3) > 0 });
                    match pick(3) {
                        0 => pattern["prefix"] = json!(["/", "/a", "/A/b", "/1"][pick(4)]),
                        _ => pattern["path"] = json!(paths[pick(paths.len())]),
                    }
                    for (name, value) in [("authorities", &hosts[pick(5)]), ("methods", &methods[pick(3)])] {
                        if !value.is_null() {
                            pattern[name] = value.clone();
                        }
                    }
                    json!({ "name": format!("r{number}"), "match": pattern, "public": {} })
                })
                .collect();
            let issuer = json!({ "name": "corp", "issuer": "https://idp.example", "audiences": "any",
                "keys": { "jwks": { "uri": "https://idp.example/jwks", "cluster": "idp" } } });
            let document = json!({ "inbound": { "issuers": [issuer], "routes": routes, "default": "deny" } });
            let value: config::Value = serde_json::from_value(document.clone()).unwrap();
            // Two may match the same.
            let Ok(config) = config::parse_value(&value, &NoVariables) else { continue };
            tables += 1;
            let settings = config.inbound.unwrap();
            let patterns = config::route_patterns(&value);
            let mut rows = rows(&settings, &patterns);
            rows.sort_by_cached_key(Row::place);
            for host in ["a.b.c", "a.b.c:81", "z.b.c", "z.c", "x", "other"] {
                for path in ["/a", "/A", "/a/b", "/A/b", "/a/B", "/z", "/z/b", "/a/z", "/a/b/c", "/1/2", "/1"]
                {
                    for method in ["GET", "HEAD", "POST", "PUT"] {
                        let authority = RequestAuthority::parse(host.as_bytes()).unwrap();
                        let parsed = RequestPath::parse(path.as_bytes()).unwrap();
                        let found = settings.routes.find(Some(&authority), &parsed, method.as_bytes());
                        let found = &settings.routes.route(found).unwrap().name;
                        let first = rows.iter().find(|row| row.matches(host, path, method));
                        let first = first.map_or("default", |row| &*row.route.name);
                        assert_eq!(first, &**found, "{method} {host}{path} of {document}");
                        compared += 1;
                    }
                }
            }
        }
        assert!(compared > 100_000);
    }
}
