//! Which route a request matches: the documented order, against a reference that looks at every route.

use std::rc::Rc;

use attache::policy::{
    Authority, LetterCase, Mode, PathFeatures, PathPattern, Pattern, RequestAuthority, RequestPath, Route,
    RouteAudit, RouteId, RouteTable, Rule, Segment, StreamEnd,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::proxy::{Proxy, Request, config};

fn route(name: &str) -> Route {
    Route {
        name: name.into(),
        rule: Rule::Deny,
        mode: Mode::Enforce,
        allowed: PathFeatures::NONE,
        stream_end: StreamEnd::Never,
        audit: RouteAudit::default(),
    }
}

/// How well a route fits, best last in `Ord`'s order; `None` when it does not. Word for word the documentation of
/// `RouteTable::find`.
fn fit(pattern: &Pattern, authority: &str, path: &str, method: &str) -> Option<(usize, Vec<u8>, u8, bool)> {
    let authority = RequestAuthority::parse(authority.as_bytes()).unwrap();
    let host = authority.host();
    let by_authority = |one: &Authority| match one {
        Authority::Exact(name) if **name == *host => Some(usize::MAX - 1),
        Authority::Exact(name) => {
            let port = name.strip_prefix(host)?.strip_prefix(':')?;
            let is_it = match authority.port() {
                Some(own) => own.to_string() == port,
                None => ["80", "443"].contains(&port),
            };
            is_it.then_some(usize::MAX)
        }
        Authority::Suffix(suffix) => host.ends_with(&**suffix).then_some(suffix.len()),
    };
    let authority = if pattern.authorities.is_empty() {
        0
    } else {
        pattern.authorities.iter().filter_map(by_authority).max()?
    };
    let split = |segments: &[String]| match segments.split_last() {
        Some((last, others)) if last.is_empty() => (others.to_vec(), true),
        _ => (segments.to_vec(), false),
    };
    let (segments, is_slashed) =
        split(&path.strip_prefix('/')?.split('/').map(str::to_owned).collect::<Vec<_>>());
    let (PathPattern::Whole(written) | PathPattern::Prefix(written)) = &pattern.path;
    let is_last_empty = matches!(written.last(), Some(Segment::Literal(text)) if text.is_empty());
    let written = if is_last_empty { &written[..written.len() - 1] } else { &written[..] };
    if written.len() > segments.len() {
        return None;
    }
    // Larger is better, at the first segment in which two patterns differ.
    let mut order = Vec::new();
    for (pattern_segment, segment) in written.iter().zip(&segments) {
        order.push(match (pattern_segment, pattern.case) {
            (Segment::Literal(text), LetterCase::Matters) if **text == **segment => 2,
            (Segment::Literal(text), LetterCase::Ignored) if text.eq_ignore_ascii_case(segment) => 2,
            (Segment::Variable, _) if !segment.is_empty() => 1,
            _ => return None,
        });
    }
    order.push(match &pattern.path {
        PathPattern::Whole(_) if written.len() != segments.len() => return None,
        PathPattern::Whole(_) => 4 + u8::from(is_last_empty == is_slashed),
        PathPattern::Prefix(_) => 0,
    });
    let lists = |method: &str| pattern.methods.iter().any(|one| **one == *method);
    let by_method = match method {
        _ if lists(method) => 2,
        "HEAD" if lists("GET") => 1,
        _ if pattern.methods.is_empty() => 0,
        _ => return None,
    };
    Some((authority, order, by_method, pattern.case == LetterCase::Matters))
}

fn segment() -> impl Strategy<Value = Segment> {
    prop_oneof![
        3 => prop::sample::select(vec!["a", "b", "A"]).prop_map(|text| Segment::Literal(text.into())),
        1 => Just(Segment::Variable),
    ]
}

fn pattern() -> impl Strategy<Value = Pattern> {
    let names = ["x.example", "x.example:80", "y.example"];
    let exact = prop::sample::select(names.to_vec()).prop_map(|name| Authority::Exact(name.into()));
    let suffix = prop::sample::select(vec![".example", ".x.example", ".com"])
        .prop_map(|suffix| Authority::Suffix(suffix.into()));
    let literal = prop::sample::select(vec!["a", "b"]).prop_map(|text| Segment::Literal(text.into()));
    let whole =
        (prop::collection::vec(segment(), 0..4), any::<bool>()).prop_map(|(mut segments, is_slashed)| {
            if is_slashed || segments.is_empty() {
                segments.push(Segment::Literal("".into()));
            }
            PathPattern::Whole(segments)
        });
    let path = prop_oneof![
        2 => whole,
        1 => prop::collection::vec(literal, 0..4).prop_map(PathPattern::Prefix),
    ];
    let methods = prop::collection::vec(prop::sample::select(vec!["GET", "POST", "HEAD"]), 0..3);
    let case = prop_oneof![3 => Just(LetterCase::Matters), 1 => Just(LetterCase::Ignored)];
    (prop::collection::vec(prop_oneof![exact, suffix], 0..3), path, methods, case).prop_map(
        |(authorities, path, methods, case)| {
            let mut methods: Vec<Rc<str>> = methods.into_iter().map(Rc::from).collect();
            methods.sort();
            methods.dedup();
            let mut unique: Vec<Authority> = Vec::new();
            for one in authorities {
                if !unique.contains(&one) {
                    unique.push(one);
                }
            }
            Pattern { authorities: unique, path, methods, case, mcp: None }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_most_specific_route_wins_as_documented(
        patterns in prop::collection::vec(pattern(), 1..12),
        requests in prop::collection::vec((
            prop::sample::select(vec!["x.example", "X.Example.", "x.example:80", "x.example:81", "y.example:", "z.example",
                                      "a.x.example:443", "other.com", "localhost", "example", "[::1]:80"]),
            prop::collection::vec(prop::sample::select(vec!["a", "b", "A", "c", ""]), 1..5),
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
            let asked = RequestAuthority::parse(authority.as_bytes()).unwrap();
            let found = table.find(Some(&asked), &parsed, method.as_bytes());
            prop_assert_eq!(found, RouteId(u32::try_from(expected).unwrap()), "{} {} {}", authority, path, method);
        }
    }
}

/// Which route decides, told by its name in the annotation.
fn decides(proxy: &mut Proxy, authority: &str, path: &str, method: &str) -> String {
    let annotation = match proxy.request(Request::new(method, path).authority(authority)) {
        crate::proxy::Answer::Forwarded(forwarded) => forwarded.annotation,
        crate::proxy::Answer::Refused(refused) => refused.annotation,
        crate::proxy::Answer::Waiting(_) | crate::proxy::Answer::NeedsBody(_) => String::new(),
    };
    annotation.split(' ').find_map(|part| part.strip_prefix("route=")).unwrap_or_default().to_owned()
}

fn table(routes: &[(&str, Value)]) -> Proxy {
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
        ("x", "/orders/", "GET", "list"),
        ("x", "/orders/", "POST", "post"),
        ("x", "/orders/7", "GET", "one"),
        ("x", "/orders/latest", "GET", "latest"),
        ("x", "/orders/archive", "GET", "archive"),
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
        [("[::1]", "v6"), ("[0:0::1]:8080", "v6"), ("[::2]:8080", "default"), ("[::1].", "none")]
    {
        assert_eq!(decides(&mut proxy, authority, "/", "GET"), name, "{authority}");
    }
}

#[test]
fn a_method_is_matched_whole_and_get_covers_head() {
    let mut proxy = table(&[
        ("get", json!({ "path": "/", "methods": ["GET"] })),
        ("lax", json!({ "prefix": "/" })),
        ("read", json!({ "path": "/both", "methods": ["GET"] })),
        ("head", json!({ "path": "/both", "methods": ["HEAD"] })),
        ("rest", json!({ "path": "/both" })),
    ]);
    for (path, method, name) in [
        ("/", "GET", "get"),
        ("/", "HEAD", "get"),
        ("/", "", "lax"),
        ("/", "GETS", "lax"),
        ("/both", "GET", "read"),
        ("/both", "HEAD", "head"),
        ("/both", "POST", "rest"),
    ] {
        assert_eq!(decides(&mut proxy, "x", path, method), name, "{method} {path}");
    }
}

#[test]
fn the_first_segment_in_which_two_patterns_differ_decides() {
    let mut proxy = table(&[
        ("admin", json!({ "prefix": "/admin" })),
        ("status", json!({ "path": "/{tenant}/status" })),
        ("users", json!({ "path": "/admin/{id}" })),
        ("tenant", json!({ "path": "/{tenant}/{id}/{part}" })),
    ]);
    for (path, name) in [
        ("/admin/status", "users"),
        ("/admin/status/x", "admin"),
        ("/admin", "admin"),
        ("/acme/status", "status"),
        ("/acme/1/x", "tenant"),
    ] {
        assert_eq!(decides(&mut proxy, "x", path, "GET"), name, "{path}");
    }
}

#[test]
fn a_slash_at_the_end_makes_no_other_path_unless_both_are_written() {
    let mut proxy = table(&[
        ("post", json!({ "path": "/orders", "methods": ["POST"] })),
        ("slashed", json!({ "path": "/strict/" })),
        ("one", json!({ "path": "/orders/{id}" })),
        ("bare", json!({ "path": "/both" })),
        ("both", json!({ "path": "/both/" })),
        ("lax", json!({ "prefix": "/" })),
    ]);
    for (path, method, name) in [
        ("/orders", "POST", "post"),
        ("/orders/", "POST", "post"),
        ("/orders/", "GET", "lax"),
        ("/strict", "GET", "slashed"),
        ("/strict/", "GET", "slashed"),
        ("/orders/7/", "GET", "one"),
        ("/both", "GET", "bare"),
        ("/both/", "GET", "both"),
        ("/", "GET", "lax"),
    ] {
        assert_eq!(decides(&mut proxy, "x", path, method), name, "{method} {path}");
    }
}

#[test]
fn letter_case_counts_for_nothing_where_a_table_or_a_route_says_so() {
    let routes = json!([
        { "name": "admin", "match": { "prefix": "/admin", "case_sensitive": false }, "deny": {} },
        { "name": "exact", "match": { "path": "/Files" }, "deny": {} },
        { "name": "lax", "match": { "prefix": "/" }, "public": {} },
    ]);
    let mut proxy = Proxy::new(&config(json!({ "routes": routes })));
    for (path, name) in [
        ("/admin", "admin"),
        ("/ADMIN/x", "admin"),
        ("/%41dmin", "admin"),
        ("/Files", "exact"),
        ("/files", "lax"),
        // No letter outside of ASCII is one of its letters: `ADMİN`, with a dot above.
        ("/ADM%C4%B0N", "lax"),
    ] {
        assert_eq!(decides(&mut proxy, "x", path, "GET"), name, "{path}");
    }
    let mut proxy = Proxy::new(&config(json!({ "case_sensitive": false, "routes": [
        { "name": "cafe", "match": { "path": "/caf%C3%A9/{id}" }, "deny": {} },
        { "name": "exact", "match": { "path": "/a/b", "case_sensitive": true }, "deny": {} },
        { "name": "lax", "match": { "prefix": "/" }, "public": {} },
    ]})));
    for (path, name) in
        [("/CAF%C3%89/X", "cafe"), ("/caf%C3%A9/x", "cafe"), ("/a/b", "exact"), ("/A/b", "lax")]
    {
        assert_eq!(decides(&mut proxy, "x", path, "GET"), name, "{path}");
    }
}

/// The partial match problem: which of many patterns with a literal here and a variable there fits first cannot be told without
/// looking at them all, unless memory is spent on every mixture.
#[test]
fn routes_whose_look_up_could_take_too_long_are_refused_by_name() {
    let mixtures = |segments: usize| {
        let route = |number: usize| {
            let segment = |place| if number >> place & 1 == 1 { format!("{{v{place}}}") } else { "a".into() };
            let path: Vec<String> = (0..segments).map(segment).collect();
            json!({ "name": format!("r{number}"), "match": { "path": format!("/{}", path.join("/")) }, "public": {} })
        };
        json!({ "routes": (0..1_usize << segments).map(route).collect::<Vec<_>>() })
    };
    // Of nine segments there are 1,023 places.
    let mut proxy = Proxy::new(&config(mixtures(9)));
    assert_eq!(decides(&mut proxy, "x", "/a/a/x/a/a/a/a/a/a", "GET"), "r4");
    assert_eq!(decides(&mut proxy, "x", "/a/a/a/a/a/a/a/a/a/b", "GET"), "default");
    let errors = crate::proxy::compile(&config(mixtures(10))).unwrap_err().to_string();
    assert_eq!(
        errors,
        "inbound.routes: a request might have to be compared with 2047 patterns, more than 1024: too many segments have a \
         variable beside a literal, as in routes[1023], routes[511], routes[767], routes[255], \
         routes[895], routes[383], routes[639], routes[127]"
    );
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

/// A rule that is made to look less closely must not lose what it covered.
#[test]
fn a_route_that_ignores_case_stays_as_specific_as_its_pattern() {
    let strict = |pattern: Value| json!({ "name": "strict", "match": pattern, "deny": {} });
    let lax = |pattern: Value| json!({ "name": "lax", "match": pattern, "public": {} });
    let tells = |routes: [Value; 2], method: &str, path: &str| {
        Proxy::new(&config(json!({ "routes": routes }))).request(Request::new(method, path)).tells()
    };
    let ignoring = |key: &str, path: &str| json!({ key: path, "case_sensitive": false });
    for path in ["/orders/admin", "/orders/admin/", "/ORDERS/Admin"] {
        let routes = [lax(json!({ "prefix": "/orders" })), strict(ignoring("path", "/orders/admin"))];
        assert_eq!(tells(routes, "GET", path), "403 route_denied", "{path}");
    }
    let routes = || [lax(json!({ "path": "/orders/{id}" })), strict(ignoring("prefix", "/orders/admin"))];
    assert_eq!(tells(routes(), "GET", "/orders/admin"), "403 route_denied");
    assert_eq!(tells(routes(), "GET", "/orders/7"), "forwarded");
    let routes = || [lax(json!({ "prefix": "/orders" })), strict(ignoring("path", "/orders"))];
    assert_eq!(tells(routes(), "GET", "/orders"), "403 route_denied");
    assert_eq!(tells(routes(), "GET", "/orders/7"), "forwarded");
    let posting = json!({ "path": "/orders", "methods": ["POST"], "case_sensitive": false });
    let routes = || [lax(json!({ "path": "/orders" })), strict(posting.clone())];
    assert_eq!(tells(routes(), "POST", "/orders"), "403 route_denied");
    assert_eq!(tells(routes(), "GET", "/orders"), "forwarded");
    let routes = || [lax(json!({ "path": "/orders/" })), strict(ignoring("path", "/orders"))];
    assert_eq!(tells(routes(), "GET", "/orders"), "403 route_denied");
    assert_eq!(tells(routes(), "GET", "/orders/"), "forwarded");
    // Where they differ in nothing else, the one that looks at case comes first.
    let routes = || [lax(json!({ "path": "/orders" })), strict(ignoring("path", "/orders"))];
    assert_eq!(tells(routes(), "GET", "/orders"), "forwarded");
    assert_eq!(tells(routes(), "GET", "/Orders"), "403 route_denied");
}
