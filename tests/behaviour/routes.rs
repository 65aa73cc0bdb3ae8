//! Which route a request matches: the documented order, against a reference that looks at every route.

use std::rc::Rc;

use attache::policy::{
    Authority, Mode, PathFeatures, PathPattern, Pattern, RequestPath, Route, RouteId, RouteTable, Rule,
    Segment,
};
use proptest::prelude::*;
use serde_json::json;

use crate::proxy::{Proxy, Request, config};

fn route(name: &str) -> Route {
    Route { name: name.into(), rule: Rule::Deny, mode: Mode::Enforce, allowed: PathFeatures::NONE }
}

/// How well a route fits, best first in `Ord`'s order; `None` when it does not. Word for word the documentation of
/// `RouteTable::find`.
fn fit(
    pattern: &Pattern,
    authority: &str,
    path: &str,
    method: &str,
) -> Option<(usize, usize, Vec<u8>, usize, bool)> {
    let lower = authority.to_ascii_lowercase();
    let host = match lower.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => host.to_owned(),
        _ => lower.clone(),
    };
    let by_authority = |one: &Authority| match one {
        Authority::Exact(name) if **name == *lower => Some(usize::MAX),
        Authority::Exact(name) if **name == *host => Some(usize::MAX - 1),
        Authority::Suffix(suffix) if host.len() > suffix.len() && host.ends_with(&**suffix) => {
            Some(suffix.len())
        }
        _ => None,
    };
    let authority = if pattern.authorities.is_empty() {
        0
    } else {
        pattern.authorities.iter().filter_map(by_authority).max()?
    };
    let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    let fits = |pattern: &[Segment], segments: &[&str]| {
        pattern.iter().zip(segments).all(|(pattern, segment)| match pattern {
            Segment::Literal(text) => **text == **segment,
            Segment::Variable => !segment.is_empty(),
        })
    };
    let literals =
        |pattern: &[Segment]| pattern.iter().map(|one| u8::from(*one != Segment::Variable)).collect();
    let (whole, literals, length) = match &pattern.path {
        PathPattern::Whole(one) if one.len() == segments.len() && fits(one, &segments) => {
            (1, literals(one), 0)
        }
        PathPattern::Prefix(one) if one.len() <= segments.len() && fits(one, &segments) => {
            (0, vec![], one.len())
        }
        _ => return None,
    };
    let listed = pattern.methods.iter().any(|one| **one == *method);
    (listed || pattern.methods.is_empty()).then_some((authority, whole, literals, length, listed))
}

fn segment() -> impl Strategy<Value = Segment> {
    prop_oneof![
        3 => prop::sample::select(vec!["a", "b", ""]).prop_map(|text| Segment::Literal(text.into())),
        1 => Just(Segment::Variable),
    ]
}

fn pattern() -> impl Strategy<Value = Pattern> {
    let names = ["x.example", "x.example:80", "y.example"];
    let exact = prop::sample::select(names.to_vec()).prop_map(|name| Authority::Exact(name.into()));
    let suffix = prop::sample::select(vec![".example", ".x.example", ".com"])
        .prop_map(|suffix| Authority::Suffix(suffix.into()));
    let literal = prop::sample::select(vec!["a", "b"]).prop_map(|text| Segment::Literal(text.into()));
    let path = prop_oneof![
        2 => prop::collection::vec(segment(), 1..4).prop_map(PathPattern::Whole),
        1 => prop::collection::vec(literal, 0..4).prop_map(PathPattern::Prefix),
    ];
    let methods = prop::collection::vec(prop::sample::select(vec!["GET", "POST", "PUT"]), 0..3);
    (prop::collection::vec(prop_oneof![exact, suffix], 0..3), path, methods).prop_map(
        |(authorities, path, methods)| {
            let mut methods: Vec<Rc<str>> = methods.into_iter().map(Rc::from).collect();
            methods.sort();
            methods.dedup();
            let mut unique: Vec<Authority> = Vec::new();
            for one in authorities {
                if !unique.contains(&one) {
                    unique.push(one);
                }
            }
            Pattern { authorities: unique, path, methods }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_most_specific_route_wins_as_documented(
        patterns in prop::collection::vec(pattern(), 1..12),
        requests in prop::collection::vec((
            prop::sample::select(vec!["x.example", "X.Example", "x.example:80", "x.example:81", "y.example:", "z.example",
                                      "a.x.example:443", "other.com", "localhost", "", ".example", "[::1]:80"]),
            prop::collection::vec(prop::sample::select(vec!["a", "b", "c", ""]), 1..5),
            prop::sample::select(vec!["GET", "POST", "PUT", "HEAD", ""]),
        ), 20),
    ) {
        // Routes that match the same requests are refused as duplicates: what is left is a table.
        let mut kept: Vec<Pattern> = Vec::new();
        for pattern in patterns {
            let with: Vec<_> = kept.iter().chain([&pattern]).map(|one| (one.clone(), route("r"))).collect();
            if RouteTable::new(with, route("default")).is_ok() {
                kept.push(pattern);
            }
        }
        let table = RouteTable::new(kept.iter().map(|one| (one.clone(), route("r"))).collect(), route("default"));
        let table = table.unwrap();
        for (authority, segments, method) in requests {
            let path = format!("/{}", segments.join("/"));
            let best = kept.iter().enumerate()
                .filter_map(|(place, one)| Some((fit(one, authority, &path, method)?, place)))
                .max_by(|(a, _), (b, _)| a.cmp(b));
            let expected = best.map_or(kept.len(), |(_, place)| place);
            let parsed = RequestPath::parse(path.as_bytes()).unwrap();
            let found = table.find(authority.as_bytes(), &parsed, method.as_bytes());
            prop_assert_eq!(found, RouteId(u32::try_from(expected).unwrap()), "{} {} {}", authority, path, method);
        }
    }
}

/// Which route decides, told by its name in the annotation.
fn decides(proxy: &mut Proxy, authority: &str, path: &str, method: &str) -> String {
    let annotation = match proxy.request(Request::new(method, path).authority(authority)) {
        crate::proxy::Answer::Forwarded(forwarded) => forwarded.annotation,
        crate::proxy::Answer::Refused(refused) => refused.annotation,
        crate::proxy::Answer::Waiting(_) => String::new(),
    };
    annotation.split(' ').find_map(|part| part.strip_prefix("route=")).unwrap_or_default().to_owned()
}

fn table(routes: &[(&str, serde_json::Value)]) -> Proxy {
    let routes: Vec<_> = routes
        .iter()
        .map(|(name, pattern)| json!({ "name": name, "match": pattern, "public": {} }))
        .collect();
    Proxy::new(&config(json!({ "routes": routes })))
}

#[test]
fn the_documented_order_by_example() {
    let mut proxy = table(&[
        ("any", json!({ "prefix": "/" })),
        ("orders", json!({ "prefix": "/orders" })),
        ("archive", json!({ "prefix": "/orders/archive" })),
        ("list", json!({ "path": "/orders" })),
        ("post", json!({ "path": "/orders", "methods": ["POST"] })),
        ("one", json!({ "path": "/orders/{id}" })),
        ("latest", json!({ "path": "/orders/latest" })),
        ("lines", json!({ "path": "/{what}/latest/{n}" })),
        ("lines-of", json!({ "path": "/orders/{id}/{n}" })),
        ("host", json!({ "prefix": "/", "authorities": ["api.example"] })),
        ("zone", json!({ "prefix": "/", "authorities": ["*.internal"] })),
        ("deep-zone", json!({ "prefix": "/", "authorities": ["*.eu.internal"] })),
        ("port", json!({ "prefix": "/", "authorities": ["api.example:8443"] })),
    ]);
    for (authority, path, method, name) in [
        ("x", "/", "GET", "any"),
        ("x", "/orders", "GET", "list"),
        ("x", "/orders", "POST", "post"),
        ("x", "/orders/", "GET", "orders"),
        ("x", "/orders/7", "GET", "one"),
        ("x", "/orders/latest", "GET", "latest"),
        ("x", "/orders/archive", "GET", "one"),
        ("x", "/orders/archive/", "GET", "archive"),
        ("x", "/orders/archive/7/8", "GET", "archive"),
        ("x", "/orders/latest/7", "GET", "lines-of"),
        ("x", "/other/latest/7", "GET", "lines"),
        ("x", "/other/7", "GET", "any"),
        ("api.example", "/orders", "POST", "host"),
        ("API.Example", "/orders", "POST", "host"),
        ("api.example:80", "/orders", "POST", "host"),
        ("api.example:", "/orders", "POST", "host"),
        ("api.example:8443", "/orders", "POST", "port"),
        ("api.example:x", "/", "GET", "any"),
        ("a.internal", "/", "GET", "zone"),
        ("a.b.internal:80", "/", "GET", "zone"),
        ("a.eu.internal", "/", "GET", "deep-zone"),
        ("eu.internal", "/", "GET", "zone"),
        ("internal", "/", "GET", "any"),
        ("ainternal", "/", "GET", "any"),
    ] {
        assert_eq!(decides(&mut proxy, authority, path, method), name, "{method} {authority}{path}");
    }
}

#[test]
fn an_ipv6_literal_is_matched_with_and_without_its_port() {
    let mut proxy = table(&[("v6", json!({ "prefix": "/", "authorities": ["[::1]"] }))]);
    for (authority, name) in
        [("[::1]", "v6"), ("[::1]:8080", "v6"), ("[::2]:8080", "default"), ("::1", "default")]
    {
        assert_eq!(decides(&mut proxy, authority, "/", "GET"), name, "{authority}");
    }
}

#[test]
fn a_method_is_matched_whole_and_head_is_not_get() {
    let mut proxy = table(&[("get", json!({ "path": "/", "methods": ["GET"] }))]);
    for (method, name) in [("GET", "get"), ("HEAD", "default"), ("", "default"), ("GETS", "default")] {
        assert_eq!(decides(&mut proxy, "x", "/", method), name, "{method}");
    }
}

/// A look-up does not grow with the number of routes (its cost is a matter of the benchmark; here it only has to be right).
#[test]
fn twenty_thousand_routes_are_told_apart() {
    let routes: Vec<_> = (0..20_000)
        .map(|n| json!({ "name": format!("r{n}"), "match": { "path": format!("/a/{n}/{{id}}") }, "public": {} }))
        .collect();
    let mut proxy = Proxy::new(&config(json!({ "routes": routes })));
    assert_eq!(decides(&mut proxy, "x", "/a/19999/7", "GET"), "r19999");
    assert_eq!(decides(&mut proxy, "x", "/a/20000/7", "GET"), "default");
}
