//! Whatever the escaping, the case of a host and of escapes, the slash or the authority's spelling: a request that a server behind us
//! takes for a protected one never meets a laxer rule than that one.

use proptest::prelude::*;
use serde_json::json;

use crate::proxy::{Proxy, Request, Signer, config};

/// One request in some spelling.
#[derive(Clone, Debug)]
struct Spelt {
    method: &'static str,
    authority: String,
    path: String,
}

/// A character of a path, or one that has to be escaped.
fn unit(plain: &str) -> impl Strategy<Value = String> + use<> {
    let spellings = match plain.strip_prefix('%') {
        Some(_) => vec![plain.to_owned(), plain.to_ascii_lowercase()],
        None => {
            let byte = plain.as_bytes()[0];
            vec![plain.to_owned(), format!("%{byte:02X}"), format!("%{byte:02x}")]
        }
    };
    prop_oneof![12 => Just(plain.to_owned()), 2 => prop::sample::select(spellings)]
}

/// The plain path, character by character.
const UNITS: &str = "v 1 / o r d e r s : b a t c h @ c a f %C3 %A9 / ~ a ( b )";

fn plain() -> String {
    format!("/{}", UNITS.replace(' ', ""))
}

fn path() -> impl Strategy<Value = String> {
    let units: Vec<_> = UNITS.split(' ').map(unit).collect();
    let end = prop::sample::select(vec!["", "", "", "/", "//", "/.", ";", "?x=%2F"]);
    let start = prop::sample::select(vec!["/", "/", "/", "//", "/./", "/x/../"]);
    (start, units, end).prop_map(|(start, units, end)| format!("{start}{}{end}", units.concat()))
}

fn authority(plain: &'static str) -> impl Strategy<Value = String> {
    let letter = |letter: char| prop_oneof![3 => Just(letter), 1 => Just(letter.to_ascii_uppercase())];
    let letters: Vec<_> = plain.chars().map(letter).collect();
    let before = prop::sample::select(vec!["", "", "", "", "x@", "[", " ", "."]);
    let after = prop::sample::select(vec![
        "", "", "", ".", ":", ":80", ":443", ":0443", ":8443", ".:443", "..", ",", "]", ":x", ":80:80",
        ":443.", ":-1", ":65979", "%2e", "\\", "/", "?", "#",
    ]);
    (before, letters, after).prop_map(|(before, letters, after)| {
        format!("{before}{}{after}", letters.into_iter().collect::<String>())
    })
}

fn spelt() -> impl Strategy<Value = Spelt> {
    let method = prop::sample::select(vec!["GET", "HEAD"]);
    (method, authority("admin.example"), path()).prop_map(|(method, authority, path)| Spelt {
        method,
        authority,
        path,
    })
}

/// What Envoy's own route says of a request: it compares a path's bytes, and a host's letters without their case.
fn envoys_metadata(spelt: &Spelt) -> Option<[(&'static str, &'static str); 1]> {
    let authority = spelt.authority.to_ascii_lowercase();
    let is_domain = authority == "admin.example" || authority.starts_with("admin.example:");
    let path = spelt.path.split('?').next().unwrap_or_default();
    let is_below = path.strip_prefix(&plain()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    (is_domain && is_below).then_some([("scopes", "batch")])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_spelling_of_a_protected_request_meets_a_laxer_rule_of_the_table(spelt in spelt()) {
        let pattern = plain();
        for pattern in [json!({ "path": pattern }), json!({ "path": format!("{pattern}/") }), json!({ "prefix": pattern })] {
            let mut strict = pattern.clone();
            strict["methods"] = json!(["GET"]);
            strict["authorities"] = json!(["admin.example"]);
            let mut proxy = Proxy::new(&config(json!({ "routes": [
                { "name": "strict", "match": strict, "require": { "scopes": ["batch"] } },
                { "name": "lax", "match": { "prefix": "/" }, "public": {} },
            ]})));
            let request = Request::new(spelt.method, &spelt.path).authority(&spelt.authority);
            let told = proxy.request(request).tells();
            prop_assert!(told != "forwarded", "{pattern}: {told}");
        }
    }

    #[test]
    fn no_spelling_of_a_protected_request_escapes_from_envoys_own_route(spelt in spelt()) {
        let routes = json!([{ "name": "lax", "match": { "prefix": "/" }, "public": {} }]);
        let mut proxy = Proxy::new(&config(json!({ "route_metadata": "read", "routes": routes })));
        let request = Request::new(spelt.method, &spelt.path).authority(&spelt.authority);
        let request = match envoys_metadata(&spelt) {
            Some(metadata) => request.metadata(&metadata),
            None => request,
        };
        let told = proxy.request(request).tells();
        prop_assert!(told != "forwarded", "{told}");
    }
}

#[test]
fn where_envoys_route_decides_an_escape_has_one_spelling() {
    let key = Signer::new("k1");
    let reading = |routes| config(json!({ "route_metadata": "read", "routes": routes }));
    let mut proxy =
        Proxy::ready(&reading(json!([{ "name": "lax", "match": { "prefix": "/" }, "public": {} }])), &[&key]);
    for byte in b"ABCXYZabcxyz019-_~!$&'()*+,=:@\"<>^{|}[]`" {
        let raw = char::from(*byte);
        assert_eq!(proxy.request(Request::get(&format!("/v1/x{raw}"))).tells(), "forwarded", "{raw}");
        let escaped = format!("/v1/x%{byte:02X}");
        assert_eq!(proxy.request(Request::get(&escaped)).tells(), "400 path_ambiguous", "{escaped}");
    }
    for (path, told) in [
        ("/caf%C3%A9", "forwarded"),
        ("/a%20b%25%23%3F", "forwarded"),
        ("/caf%c3%A9", "400 path_ambiguous"),
        ("/caf%C3%a9", "400 path_ambiguous"),
    ] {
        assert_eq!(proxy.request(Request::get(path)).tells(), told, "{path}");
    }
    // Each by its name.
    let mut lenient = Proxy::new(&reading(json!([
        { "name": "lax", "match": { "prefix": "/" }, "public": {}, "allow_in_path": ["needless_escape"] },
        { "name": "files", "match": { "prefix": "/files" }, "public": {}, "allow_in_path": ["lower_case_escape"] },
    ])));
    for (path, told) in [
        ("/%40", "forwarded"),
        ("/%C3%a9", "400 path_ambiguous"),
        ("/files/%C3%a9", "forwarded"),
        ("/files/%40", "400 path_ambiguous"),
    ] {
        assert_eq!(lenient.request(Request::get(path)).tells(), told, "{path}");
    }
    // Where only the table decides, it decodes as servers do.
    for metadata in [json!(null), json!("ignore")] {
        let mut proxy = Proxy::new(&config(json!({ "route_metadata": metadata })));
        for path in ["/%68ealthz", "/health%7a", "/h%65althz/"] {
            assert_eq!(proxy.request(Request::get(path)).tells(), "forwarded", "{path}");
        }
    }
}

#[test]
fn what_is_no_host_is_refused_where_a_host_could_lead_to_another_rule() {
    let strict = json!([
        { "name": "admin", "match": { "prefix": "/", "authorities": ["admin.example", "[::1]:8443"] }, "deny": {} },
        { "name": "lax", "match": { "prefix": "/" }, "public": {} },
    ]);
    let mut proxy = Proxy::new(&config(json!({ "routes": strict })));
    for authority in [
        "admin.example:x",
        "admin.example:80:80",
        "admin.example:443.",
        "admin.example:-1",
        "x@admin.example",
        "admin.example..",
        "[admin.example]",
        "admin.example,",
        "",
    ] {
        let request = Request::get("/").authority(authority);
        assert_eq!(proxy.request(request).tells(), "400 authority_invalid", "{authority}");
    }
    for (authority, told) in [
        ("admin.example", "403 route_denied"),
        ("ADMIN.example.:8080", "403 route_denied"),
        ("admin.example:", "403 route_denied"),
        ("[0:0::1]:8443", "403 route_denied"),
        ("[::1]:8080", "forwarded"),
        ("other.example:8080", "forwarded"),
        ("10.0.0.1", "forwarded"),
        ("a_b.svc", "forwarded"),
    ] {
        assert_eq!(proxy.request(Request::get("/").authority(authority)).tells(), told, "{authority}");
    }
    // Where none does, any may come.
    let mut proxy = Proxy::new(&config(json!({})));
    assert_eq!(proxy.request(Request::get("/healthz").authority("a,b")).tells(), "forwarded");
    // Envoy's virtual hosts are found letter by letter.
    let mut proxy = Proxy::new(&config(json!({ "route_metadata": "read" })));
    for (authority, told) in [
        ("Api.example:8080", "forwarded"),
        ("api.example.", "400 authority_invalid"),
        ("api.example:", "400 authority_invalid"),
        ("api.example:080", "400 authority_invalid"),
        ("a,b", "400 authority_invalid"),
    ] {
        assert_eq!(proxy.request(Request::get("/healthz").authority(authority)).tells(), told, "{authority}");
    }
}

/// Clients leave the port of their scheme out.
#[test]
fn a_rule_for_the_usual_port_is_met_without_it() {
    let mut proxy = Proxy::new(&config(json!({ "routes": [
        { "name": "admin", "match": { "prefix": "/", "authorities": ["admin.example:443"] }, "deny": {} },
        { "name": "lax", "match": { "prefix": "/" }, "public": {} },
    ]})));
    for (authority, told) in [
        ("admin.example:443", "403 route_denied"),
        ("admin.example", "403 route_denied"),
        ("admin.example:", "403 route_denied"),
        ("admin.example:8443", "forwarded"),
    ] {
        assert_eq!(proxy.request(Request::get("/").authority(authority)).tells(), told, "{authority}");
    }
}
