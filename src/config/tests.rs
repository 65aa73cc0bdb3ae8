//! Every problem that a document can have, with its words and its path.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::unwrap_in_result,
    clippy::string_slice,
    clippy::as_conversions
)]

use std::collections::BTreeMap;

use prost::Message as _;
use prost_types::value::Kind;
use serde_json::{Value as Json, json};

use super::*;
use crate::claims::ForwardedType;
use crate::inbound::{Fact, FilterState};
use crate::policy::Mode;

/// `GOOD` holds 64 bytes, `SHORT` 16, `MIDDLE` 32; `TEXT` is no base64url.
struct Variables;

impl Environment for Variables {
    fn variable(&self, name: &str) -> Option<String> {
        let value = match name {
            "GOOD" => "A".repeat(86),
            "MIDDLE" => "A".repeat(43),
            "SHORT" => "A".repeat(22),
            "TEXT" => "hunter2 is the secret!".to_owned(),
            _ => return None,
        };
        Some(value)
    }

    fn has_vm_id(&self) -> bool {
        true
    }
}

fn base() -> Json {
    json!({ "inbound": {
        "issuers": [{
            "name": "corp", "issuer": "https://idp.example", "audiences": ["https://api.example"],
            "keys": { "jwks": { "uri": "https://idp.example/jwks", "cluster": "idp" } },
        }],
        "routes": [{ "name": "orders", "match": { "path": "/orders" }, "require": { "scopes": ["orders:read"] } }],
        "default": "deny",
    }})
}

/// The base with something at `pointer` (below `/inbound`), which is made where it is not there.
fn with(pointer: &str, value: Json) -> Json {
    let mut document = base();
    set(&mut document["inbound"], pointer, value);
    document
}

fn set(target: &mut Json, pointer: &str, value: Json) {
    let mut node = target;
    for step in pointer.split('/').filter(|step| !step.is_empty()) {
        node = match step.parse::<usize>() {
            Ok(index) => {
                let list = node.as_array_mut().unwrap();
                if index == list.len() {
                    list.push(Json::Null);
                }
                &mut list[index]
            }
            Err(_) => &mut node[step],
        };
    }
    *node = value;
}

fn without(pointer: &str, name: &str) -> Json {
    let mut document = base();
    document.pointer_mut(&format!("/inbound{pointer}")).unwrap().as_object_mut().unwrap().remove(name);
    document
}

fn compiled(document: &Json) -> Result<Config, ConfigErrors> {
    parse(document.to_string().as_bytes(), &Variables)
}

fn problems(document: &Json) -> Vec<String> {
    match compiled(document) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.0.iter().map(ToString::to_string).collect(),
    }
}

/// Something at a place is this problem, at that place, and nothing else is.
#[track_caller]
fn refuses(pointer: &str, value: Json, problem: &str) {
    assert_eq!(problems(&with(pointer, value.clone())), [problem], "{pointer}: {value:.200}");
}

#[track_caller]
fn accepts(pointer: &str, value: Json) {
    let document = with(pointer, value);
    assert_eq!(problems(&document), Vec::<String>::new());
}

fn many(n: usize, item: impl Fn(usize) -> Json) -> Json {
    Json::Array((0..n).map(item).collect())
}

#[test]
fn the_smallest_document_compiles() {
    assert_eq!(problems(&base()), Vec::<String>::new());
    assert_eq!(problems(&without("", "routes")), Vec::<String>::new());
}

#[test]
fn what_is_no_document_says_so() {
    let error = |bytes: &[u8]| parse(bytes, &Variables).unwrap_err().to_string();
    for empty in [&b""[..], b" \n\t "] {
        assert_eq!(error(empty), "the document is empty: give the plugin a `configuration`");
    }
    assert_eq!(
        error(b"{"),
        "neither JSON nor a protobuf Struct: EOF while parsing an object at line 1 column 1"
    );
    assert_eq!(error(b"nonsense"), "neither JSON nor a protobuf Struct: expected ident at line 1 column 2");
    assert_eq!(error(b"\xff\xff"), "neither JSON nor a protobuf Struct: expected value at line 1 column 1");
    assert_eq!(error(b"[]"), "expected an object, got a list");
    assert_eq!(error(b"7"), "expected an object, got a number");
    assert_eq!(error(b"null"), "expected an object, got null");
    assert_eq!(error(b"true"), "expected an object, got a boolean");
    assert_eq!(error(b"\"x\""), "expected an object, got a string");
    assert_eq!(error(b"{}"), "expected a block `inbound` or `outbound`");
    assert_eq!(error(br#"{"inbound":null}"#), "inbound: expected an object, got null");
}

#[test]
fn what_follows_the_document_is_refused() {
    for garbage in ["x", "{}", ",", "\0"] {
        let text = format!("{}{garbage}", base());
        let column = base().to_string().len() + 1;
        assert_eq!(
            parse(text.as_bytes(), &Variables).unwrap_err().to_string(),
            format!("neither JSON nor a protobuf Struct: trailing characters at line 1 column {column}")
        );
    }
    assert!(parse(format!("\n {} \n", base()).as_bytes(), &Variables).is_ok());
}

#[test]
fn a_document_is_bounded_at_its_limit() {
    let text = base().to_string();
    let padded = |size: usize| format!("{text}{}", " ".repeat(size - text.len()));
    assert!(parse(padded(MAX_CONFIG_BYTES).as_bytes(), &Variables).is_ok());
    assert_eq!(
        parse(padded(MAX_CONFIG_BYTES + 1).as_bytes(), &Variables).unwrap_err().to_string(),
        "the document is larger than 8388608 bytes"
    );
    assert!(parse("[".repeat(100_000).as_bytes(), &Variables).is_err());
}

#[test]
fn unknown_fields_are_refused_everywhere() {
    let inbound = "version, mode, issuers, token, forward_claims, forward_payload, report_header, resource, denials, \
        cors_preflight, case_sensitive, allow_overrides, route_metadata, mcp, filter_state, waiting, token_cache, \
        requirements, streams, routes, default";
    let mut document = base();
    document["outbond"] = json!({});
    assert_eq!(
        problems(&document),
        ["unknown field `outbond`, expected one of inbound, outbound, sharing, audit"]
    );
    for (place, known) in [
        ("", inbound),
        (
            "/issuers/0",
            "name, issuer, tenants, trust_domain, audiences, keys, algorithms, type, required_claims, expiry, \
             max_lifetime, clock_skew, scopes_from, scope_separators, scope_matching, scope_levels, client_from, mode",
        ),
        ("/issuers/0/keys", "jwks, discovery, inline, shared_secret"),
        (
            "/issuers/0/keys/jwks",
            "uri, cluster, client, empty_set, timeout, refresh, min_refresh, unknown_key_interval, max_staleness",
        ),
        ("/routes/0", "name, api, match, require, optional, public, deny, mode, allow_in_path, streams"),
        ("/routes/0/match", "path, prefix, methods, authorities, case_sensitive, mcp"),
        (
            "/routes/0/require",
            "issuers, scopes, any_scope, clients, subjects, audiences, claims, authenticated, all, any",
        ),
    ] {
        let path = format!("inbound{}", place.replace("/0", "[0]").replace('/', "."));
        refuses(
            &format!("{place}/scoops"),
            json!(1),
            &format!("{path}: unknown field `scoops`, expected one of {known}"),
        );
    }
    for (place, whole, known) in [
        ("/token", json!({ "x": 1 }), "sources, after_verification"),
        ("/resource", json!({ "identifier": "https://a.example", "x": 1 }), "identifier, documentation"),
        ("/denials", json!({ "x": 1 }), "realm, body, detail"),
        ("/waiting", json!({ "x": 1 }), "requests, deadline"),
        ("/token_cache", json!({ "x": 1 }), "entries, bytes"),
        ("/streams", json!({ "x": 1 }), "end, max, beyond"),
    ] {
        let path = place.replace('/', "inbound.");
        refuses(place, whole, &format!("{path}: unknown field `x`, expected one of {known}"));
    }
    refuses(
        "/default",
        json!({ "public": {}, "mode": "enforce" }),
        "inbound.default: unknown field `mode`, expected one of require, optional, public",
    );
    // A name that the document makes up is shown short and without control characters.
    let long = format!("a\n{}", "b".repeat(100));
    refuses(
        &format!("/waiting/{long}"),
        json!(1),
        &format!("inbound.waiting: unknown field `a?{}`, expected one of requests, deadline", "b".repeat(62)),
    );
}

#[test]
fn required_fields_must_be_there() {
    for (place, field) in [
        ("", "issuers"),
        ("", "default"),
        ("/issuers/0", "name"),
        ("/issuers/0", "audiences"),
        ("/issuers/0", "keys"),
        ("/issuers/0/keys/jwks", "uri"),
        ("/issuers/0/keys/jwks", "cluster"),
        ("/routes/0", "name"),
        ("/routes/0", "match"),
    ] {
        let path = format!("inbound{}", place.replace("/0", "[0]").replace('/', "."));
        assert_eq!(problems(&without(place, field)), [format!("{path}: missing field `{field}`")]);
    }
    refuses("/resource", json!({}), "inbound.resource: missing field `identifier`");
    refuses(
        "/forward_claims",
        json!([{ "claim": "sub" }]),
        "inbound.forward_claims[0]: missing field `header`",
    );
    refuses(
        "/forward_claims",
        json!([{ "header": "x-a" }]),
        "inbound.forward_claims[0]: missing field `claim`",
    );
    refuses(
        "/token/sources",
        json!([{ "query": {} }]),
        "inbound.token.sources[0].query: missing field `name`",
    );
}

#[test]
fn a_repeated_field_is_refused_at_any_depth() {
    let text = base().to_string();
    for (once, twice, problem) in [
        (
            r#""default":"deny""#,
            r#""default":"deny","default":{"public":{}}"#,
            "inbound: duplicate field `default`",
        ),
        (
            r#""path":"/orders""#,
            r#""path":"/a","path":"/b""#,
            "inbound.routes[0].match: duplicate field `path`",
        ),
        (
            r#""cluster":"idp""#,
            r#""cluster":"a","cluster":"b""#,
            "inbound.issuers[0].keys.jwks: duplicate field `cluster`",
        ),
        (r#"{"inbound":"#, r#"{"inbound":{},"inbound":"#, "duplicate field `inbound`"),
    ] {
        assert!(text.contains(once), "{once}");
        let errors = parse(text.replacen(once, twice, 1).as_bytes(), &Variables).unwrap_err();
        assert!(errors.0.iter().any(|found| found.to_string() == problem), "{problem}: {errors}");
    }
}

#[test]
fn numbers_are_whole_and_in_range() {
    let version = "inbound.version: expected a whole number from 1 to 9007199254740991";
    for number in
        [json!(0), json!(-1), json!(1.5), json!(9_007_199_254_740_992_u64), json!(u64::MAX), json!(1e300)]
    {
        refuses("/version", number, version);
    }
    for number in [json!(1), json!(7.0), json!(9_007_199_254_740_991_u64)] {
        accepts("/version", number);
    }
    // Envoy's YAML reader hands over numbers above 2³¹ − 1 as strings.
    accepts("/version", json!("20261120"));
    refuses("/version", json!("9007199254740992"), version);
    refuses("/version", json!("99999999999999999999999"), version);
    for text in ["seven", "-7", "7.0", " 7"] {
        refuses("/version", json!(text), "inbound.version: expected a number, got a string");
    }
    refuses("/version", json!(null), "inbound.version: expected a number, got null");
    for (pointer, min, max) in [
        ("/waiting/requests", 1_u64, 10_000_u64),
        ("/token_cache/entries", 1, 1_000_000),
        ("/token_cache/bytes", 65_536, 134_217_728),
    ] {
        let path = pointer.replacen('/', "inbound.", 1).replace('/', ".");
        let problem = format!("{path}: expected a whole number from {min} to {max}");
        accepts(pointer, json!(min));
        accepts(pointer, json!(max));
        refuses(pointer, json!(min - 1), &problem);
        refuses(pointer, json!(max + 1), &problem);
        refuses(pointer, json!(min as f64 + 0.5), &problem);
    }
}

#[test]
fn durations_have_a_unit_and_a_range() {
    for (pointer, min, max, range) in [
        ("/issuers/0/max_lifetime", "1s", "8784h", "1s to 31622400s"),
        ("/issuers/0/clock_skew", "0s", "5m", "0ns to 300s"),
        ("/issuers/0/keys/jwks/timeout", "10ms", "60s", "10ms to 60s"),
        ("/issuers/0/keys/jwks/refresh", "1s", "24h", "1s to 86400s"),
        ("/issuers/0/keys/jwks/unknown_key_interval", "100ms", "1h", "100ms to 3600s"),
        ("/waiting/deadline", "10ms", "60s", "10ms to 60s"),
    ] {
        let path = format!("inbound{}", pointer.replace("/0", "[0]").replace('/', "."));
        accepts(pointer, json!(min));
        accepts(pointer, json!(max));
        let problem = format!("{path}: expected a duration from {range}");
        let step = |text: &str, by: i64| {
            let digits = text.trim_end_matches(char::is_alphabetic);
            format!("{}{}", digits.parse::<i64>().unwrap() + by, &text[digits.len()..])
        };
        refuses(pointer, json!(step(max, 1)), &problem);
        if min != "0s" {
            refuses(pointer, json!(step(min, -1)), &problem);
        }
        let unit =
            format!("{path}: expected a duration with a unit, like \"250ms\", \"5s\", \"10m\" or \"24h\"");
        let odd = [
            json!(5),
            json!("5"),
            json!("s"),
            json!(""),
            json!("5 s"),
            json!("5sec"),
            json!("-5s"),
            json!("1.5s"),
            json!("+5s"),
            json!("5S"),
            json!("5d"),
            json!(null),
            json!(["5s"]),
            json!("99999999999999999999s"),
            json!("9999999999999999999h"),
        ];
        for odd in odd {
            refuses(pointer, odd, &unit);
        }
    }
}

#[test]
fn lists_are_neither_empty_nor_too_long() {
    let empty = "the list is empty";
    for (pointer, max, item) in [
        ("/issuers/0/audiences", 64, (|n| json!(format!("a{n}"))) as fn(usize) -> Json),
        ("/issuers/0/scopes_from", 8, |n| json!(format!("c{n}"))),
        ("/issuers/0/scope_separators", 8, |n| json!("!$%&+,;|/"[n..=n])),
        ("/issuers/0/client_from", 8, |n| json!(format!("c{n}"))),
        ("/issuers/0/required_claims", 16, |n| json!(format!("c{n}"))),
        ("/forward_claims", 16, |n| json!({ "claim": "sub", "header": format!("x-{n}") })),
        ("/token/sources", 8, |n| json!({ "query": { "name": format!("q{n}") } })),
        ("/routes/0/match/methods", 32, |n| json!("A".repeat(n + 1))),
        ("/routes/0/match/authorities", 64, |n| json!(format!("a{n}.example"))),
        ("/routes/0/require/scopes", 64, |n| json!(format!("s{n}"))),
        ("/routes/0/require/any_scope", 64, |n| json!(format!("s{n}"))),
    ] {
        let path = format!("inbound{}", pointer.replace("/0", "[0]").replace('/', "."));
        refuses(pointer, json!([]), &format!("{path}: {empty}"));
        accepts(pointer, many(max, item));
        refuses(pointer, many(max + 1, item), &format!("{path}: more than {max} entries"));
        refuses(pointer, json!({}), &format!("{path}: expected a list, got an object"));
    }
    refuses("/issuers", json!([]), &format!("inbound.issuers: {empty}"));
    refuses("/routes", json!([]), &format!("inbound.routes: {empty}"));
    refuses("/issuers/0/algorithms", json!([]), &format!("inbound.issuers[0].algorithms: {empty}"));
    refuses("/routes/0/allow_in_path", json!([]), &format!("inbound.routes[0].allow_in_path: {empty}"));
    refuses("/routes/0/require/issuers", json!([]), &format!("inbound.routes[0].require.issuers: {empty}"));
}

#[test]
fn issuers_and_routes_are_bounded_at_their_limits() {
    let issuers = |n: usize| {
        let issuer = |n: usize| {
            json!({ "name": format!("i{n}"), "issuer": format!("https://{n}.example"), "audiences": "any",
                    "keys": { "jwks": { "uri": "https://h.example/", "cluster": "c" } } })
        };
        with("/issuers", many(n, issuer))
    };
    let named = |n: usize| many(n, |n| json!(format!("i{n}")));
    let mut document = issuers(MAX_ISSUERS);
    document["inbound"]["routes"][0]["require"]["issuers"] = named(MAX_ISSUERS);
    assert_eq!(problems(&document), Vec::<String>::new());
    let mut document = issuers(MAX_ISSUERS + 1);
    document["inbound"]["routes"][0]["require"]["issuers"] = named(MAX_ISSUERS + 1);
    assert_eq!(
        problems(&document),
        [
            "inbound.issuers: more than 1000 entries",
            "inbound.routes[0].require.issuers: more than 1000 entries"
        ]
    );
    let route =
        |n: usize| json!({ "name": format!("r{n}"), "match": { "path": format!("/{n}") }, "public": {} });
    accepts("/routes", many(20_000, route));
    refuses("/routes", many(20_001, route), "inbound.routes: more than 20000 entries");
}

#[test]
fn names_label_metrics() {
    for pointer in ["/issuers/0/name", "/routes/0/name"] {
        let path = format!("inbound{}", pointer.replace("/0", "[0]").replace('/', "."));
        accepts(pointer, json!("a".repeat(64)));
        accepts(pointer, json!("a-z_0-9"));
        let odd = format!("{path}: expected a name of a-z, 0-9, _ and -, at most 64 characters");
        for name in ["Corp", "a b", "a.b", "ä", "a;b", "a=b", &"a".repeat(65)] {
            refuses(pointer, json!(name), &odd);
        }
        refuses(pointer, json!(""), &format!("{path}: the string is empty"));
        refuses(pointer, json!(7), &format!("{path}: expected a string, got a number"));
        refuses(pointer, json!("a".repeat(4097)), &format!("{path}: longer than 4096 bytes"));
        for name in ["default", "none", "other"] {
            refuses(
                pointer,
                json!(name),
                &format!("{path}: the name `{name}` is reserved for metrics: choose another"),
            );
        }
    }
}

#[test]
fn issuers_are_described_without_contradiction() {
    let issuer = "inbound.issuers[0]";
    refuses(
        "/issuers/0/issuer",
        json!("a b"),
        &format!("{issuer}.issuer: expected an issuer of visible ASCII characters"),
    );
    refuses(
        "/issuers/0/audiences",
        json!("all"),
        &format!("{issuer}.audiences: expected a list of audiences, or the word any"),
    );
    refuses("/issuers/0/audiences", json!(["a", ""]), &format!("{issuer}.audiences[1]: the string is empty"));
    refuses("/issuers/0/type", json!("jwt"), &format!("{issuer}.type: expected one of any, at+jwt"));
    refuses(
        "/issuers/0/expiry",
        json!("no"),
        &format!("{issuer}.expiry: expected one of required, optional"),
    );
    refuses(
        "/issuers/0/scopes_from",
        json!([["a", ""]]),
        &format!("{issuer}.scopes_from[0][1]: the string is empty"),
    );
    for odd in [json!("a b"), json!("ä"), json!(["a".repeat(64), "b".repeat(64)])] {
        let plain = "expected a claim whose name has visible ASCII characters, at most 128";
        refuses("/issuers/0/required_claims", json!([odd]), &format!("{issuer}.required_claims[0]: {plain}"));
    }
    accepts("/issuers/0/required_claims", json!([["a".repeat(64), "b".repeat(63)]]));
    refuses("/issuers/0/scopes_from", json!([[]]), &format!("{issuer}.scopes_from[0]: the list is empty"));
    accepts("/issuers/0/scopes_from", json!([["a", "b", "c", "d", "e", "f", "g", "h"]]));
    refuses(
        "/issuers/0/scopes_from",
        json!([["a", "b", "c", "d", "e", "f", "g", "h", "i"]]),
        &format!("{issuer}.scopes_from[0]: more than 8 entries"),
    );
    refuses(
        "/issuers/0/algorithms",
        json!(["RS256", "none"]),
        &format!(
            "{issuer}.algorithms[1]: expected one of HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, \
             ES256, ES384, ES512, EdDSA"
        ),
    );
    refuses(
        "/issuers/0/algorithms",
        json!(["HS256", "RS256"]),
        &format!(
            "{issuer}.algorithms: HS* cannot be combined with other algorithms: its key is a secret, theirs is public"
        ),
    );
    refuses(
        "/issuers/0/algorithms",
        json!(["HS256"]),
        &format!(
            "{issuer}.keys.jwks: HS* keys are secrets, and fetched documents are public: use shared_secret"
        ),
    );
    let one_of = format!("{issuer}.keys: expected exactly one of jwks, discovery, inline, shared_secret");
    refuses("/issuers/0/keys", json!({}), &one_of);
    refuses("/issuers/0/keys/inline", json!({ "keys": [] }), &one_of);
}

#[test]
fn urls_are_plain() {
    let path = "inbound.issuers[0].keys.jwks.uri";
    let plain = format!("{path}: expected an http or https URL without user, password and fragment");
    for url in [
        "ftp://h.example/",
        "https://u@h.example/",
        "https://u:p@h.example/",
        "https://h.example/#f",
        "data:x",
    ] {
        refuses("/issuers/0/keys/jwks/uri", json!(url), &plain);
    }
    for url in ["h.example/jwks", "https://", "/jwks"] {
        refuses(
            "/issuers/0/keys/jwks/uri",
            json!(url),
            &format!("{path}: expected a URL like https://host/path"),
        );
    }
    for url in ["https://h.example/\"", "https://h.example/a b", "https://h.exämple/", "https://h.example/\\"]
    {
        refuses(
            "/issuers/0/keys/jwks/uri",
            json!(url),
            &format!("{path}: expected a URL of visible ASCII characters without quotes"),
        );
    }
    refuses(
        "/resource/identifier",
        json!("https://h.example/?q"),
        "inbound.resource.identifier: a resource identifier must not have a query",
    );
    refuses(
        "/resource/identifier",
        json!("h"),
        "inbound.resource.identifier: expected a URL like https://host/path",
    );
}

fn inline(keys: Json) -> Json {
    let mut document = base();
    document["inbound"]["issuers"][0]["keys"] = json!({ "inline": keys });
    document
}

#[test]
fn inline_keys_are_all_usable_or_refused() {
    let good = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    assert_eq!(problems(&inline(json!({ "keys": [good] }))), Vec::<String>::new());
    let path = "inbound.issuers[0].keys.inline";
    let one = |keys: Json, problem: &str| assert_eq!(problems(&inline(keys)), [format!("{path}{problem}")]);
    one(json!({}), ": `keys` is missing");
    one(json!({ "keys": {} }), ": `keys` is not an array");
    one(json!([]), ": the key set: not an object");
    one(json!({ "keys": [] }), ": no key here verifies any of `algorithms`");
    one(json!({ "keys": [good, { "kty": "XXX" }] }), ".keys[1]: `kty` is not RSA, EC, OKP or oct");
    one(json!({ "keys": [good, 7] }), ".keys[1]: not an object");
    let mut private = good.clone();
    private["d"] = json!("aHVudGVyMi1odW50ZXIyLWh1bnRlcjItaHVudGVyMi0");
    one(json!({ "keys": [private] }), ": a private key does not belong here: keep only its public members");
    let mut document = inline(json!({ "keys": [good] }));
    document["inbound"]["issuers"][0]["algorithms"] = json!(["ES256"]);
    assert_eq!(problems(&document), [format!("{path}: no key here verifies any of `algorithms`")]);
}

fn shared(variable: &str, algorithms: Json) -> Vec<String> {
    let mut document = base();
    document["inbound"]["issuers"][0]["keys"] = json!({ "shared_secret": { "env": variable } });
    if algorithms != json!(null) {
        document["inbound"]["issuers"][0]["algorithms"] = algorithms;
    }
    problems(&document)
}

#[test]
fn a_shared_secret_is_as_long_as_its_hash_and_never_shown() {
    let path = "inbound.issuers[0].keys.shared_secret";
    assert_eq!(shared("GOOD", json!(["HS256", "HS384", "HS512"])), Vec::<String>::new());
    assert_eq!(shared("MIDDLE", json!(["HS256"])), Vec::<String>::new());
    assert_eq!(
        shared("MIDDLE", json!(["HS256", "HS384"])),
        [format!("{path}: the secret is shorter than the hash of HS384 (RFC 7518, 3.2)")]
    );
    assert_eq!(
        shared("SHORT", json!(["HS256"])),
        [format!("{path}: the secret has 16 bytes, fewer than 32")]
    );
    assert_eq!(
        shared("UNSET", json!(["HS256"])),
        [format!(
            "{path}.env: the environment variable UNSET is not set: pass it to the VM, or export it for attachectl"
        )]
    );
    assert_eq!(
        shared("TEXT", json!(["HS256"])),
        [format!("{path}.env: the variable does not hold base64url without padding")]
    );
    let list = format!("{path}: list HS256, HS384 or HS512 in `algorithms` to use a shared secret");
    assert_eq!(shared("GOOD", json!(null)), std::slice::from_ref(&list));
    assert_eq!(shared("GOOD", json!(["RS256"])), [list]);
    let secret = compiled(&{
        let mut document = base();
        document["inbound"]["issuers"][0]["keys"] = json!({ "shared_secret": { "env": "GOOD" } });
        document["inbound"]["issuers"][0]["algorithms"] = json!(["HS512"]);
        document
    });
    assert!(!format!("{secret:?}").contains("AAAA"));
}

#[test]
fn token_sources_are_places_that_exist() {
    let path = "inbound.token.sources[0]";
    let source = |source: Json, problem: String| refuses("/token/sources", json!([source]), &problem);
    source(json!({}), format!("{path}: expected exactly one of header, query, cookie"));
    source(
        json!({ "query": { "name": "a" }, "cookie": { "name": "b" } }),
        format!("{path}: expected exactly one of header, query, cookie"),
    );
    assert_eq!(
        problems(&with("/token/sources", json!([{ "body": { "name": "a" } }]))),
        [
            format!("{path}: unknown field `body`, expected one of header, query, cookie"),
            format!("{path}: expected exactly one of header, query, cookie"),
        ]
    );
    let name = "expected a header name of letters, digits and dashes, at most 64 characters";
    for odd in ["x_token", "x token", "x:y", "ä", &"x".repeat(65)] {
        source(json!({ "header": { "name": odd } }), format!("{path}.header.name: {name}"));
    }
    accepts("/token/sources", json!([{ "header": { "name": "x".repeat(64) } }]));
    source(
        json!({ "header": { "name": "Authorization" } }),
        format!("{path}.header: the header authorization needs a `scheme`, like Bearer"),
    );
    source(
        json!({ "header": { "name": "x-token", "scheme": "Bea rer" } }),
        format!("{path}.header.scheme: expected a scheme like Bearer"),
    );
    for kind in ["query", "cookie"] {
        source(
            json!({ kind: { "name": "a b" } }),
            format!("{path}.{kind}.name: expected a name of letters, digits, -, _ and ., at most 64"),
        );
    }
    let twice = json!([{ "header": { "name": "X-Token" } }, { "header": { "name": "x-token" } }]);
    refuses("/token/sources", twice, "inbound.token.sources[1]: duplicate source");
    refuses(
        "/token/after_verification",
        json!("drop"),
        "inbound.token.after_verification: expected one of forward, strip",
    );
}

#[test]
fn claims_go_to_headers_that_are_free() {
    let header = |header: &str, problem: &str| {
        refuses(
            "/forward_claims",
            json!([{ "claim": "sub", "header": header }]),
            &format!("inbound.forward_claims[0].header: {problem}"),
        );
    };
    for reserved in [
        "Host",
        "connection",
        "content-length",
        "cookie",
        "te",
        "transfer-encoding",
        "upgrade",
        "x-forwarded-for",
    ] {
        header(reserved, "this header controls the connection or the proxy: choose another");
    }
    header(":path", "expected a header name of letters, digits and dashes, at most 64 characters");
    header("x_sub", "expected a header name of letters, digits and dashes, at most 64 characters");
    let mut document = with("/token/sources", json!([{ "header": { "name": "x-token" } }]));
    document["inbound"]["forward_claims"] = json!([{ "claim": "sub", "header": "X-Token" }]);
    assert_eq!(
        problems(&document),
        ["inbound.forward_claims[0].header: the token is in this header: choose another"]
    );
    refuses(
        "/forward_claims",
        json!([{ "claim": "sub", "header": "x-a" }, { "claim": "iss", "header": "X-A" }]),
        "inbound.forward_claims[1]: duplicate header",
    );
    refuses(
        "/forward_claims",
        json!([{ "claim": 7, "header": "x-a" }]),
        "inbound.forward_claims[0].claim: expected a string, got a number",
    );
}

#[test]
fn a_claim_is_forwarded_as_the_type_that_is_named() {
    let kinds = |claims: Json| {
        let config = compiled(&with("/forward_claims", claims)).unwrap();
        config.inbound.unwrap().forwarded_claims.iter().map(|claim| claim.kind).collect::<Vec<_>>()
    };
    let read = kinds(json!([
        { "claim": "a", "header": "x-a" },
        { "claim": "b", "header": "x-b", "type": "string" },
        { "claim": "c", "header": "x-c", "type": "integer" },
        { "claim": "d", "header": "x-d", "type": "boolean" },
        { "claim": "e", "header": "x-e", "type": "strings", "separator": "," },
        { "claim": "f", "header": "x-f", "type": "strings", "separator": " " },
    ]));
    let list = |separator| ForwardedType::Strings { separator };
    let text = ForwardedType::String;
    assert_eq!(read, [text, text, ForwardedType::Integer, ForwardedType::Boolean, list(b','), list(b' ')]);
    let entry = |more: Json, problem: &str| {
        let mut entry = json!({ "claim": "sub", "header": "x-a" });
        for (name, value) in more.as_object().unwrap() {
            entry[name] = value.clone();
        }
        refuses("/forward_claims", json!([entry]), &format!("inbound.forward_claims[0]{problem}"));
    };
    entry(json!({ "type": "list" }), ".type: expected one of string, integer, boolean, strings, json");
    entry(json!({ "type": "strings" }), ": missing field `separator`");
    for separator in ["ab", "a", "7", "é", "\t", "\u{7f}"] {
        let expected = ".separator: expected one character: a space or a punctuation mark";
        entry(json!({ "type": "strings", "separator": separator }), expected);
    }
    for kind in ["string", "integer", "boolean", "json"] {
        let unused = ".separator: only `type: strings` has a separator: leave it out";
        entry(json!({ "type": kind, "separator": "," }), unused);
    }
}

#[test]
fn a_text_may_be_encoded_where_it_may_be_any() {
    let entry = |kind: &str, encoding: &str| json!([{ "claim": "sub", "header": "x-a", "type": kind, "separator": ",", "encoding": encoding }]);
    let without = |mut entries: Json| {
        entries[0].as_object_mut().unwrap().remove("separator");
        entries
    };
    for kind in ["string", "json"] {
        for encoding in ["plain", "base64url"] {
            accepts("/forward_claims", without(entry(kind, encoding)));
        }
        refuses(
            "/forward_claims",
            without(entry(kind, "base64")),
            "inbound.forward_claims[0].encoding: expected one of plain, base64url",
        );
    }
    for entries in [without(entry("integer", "plain")), entry("strings", "base64url")] {
        let problem = "only `type: string` and `type: json` have an encoding: leave it out";
        refuses("/forward_claims", entries, &format!("inbound.forward_claims[0].encoding: {problem}"));
    }
}

#[test]
fn each_header_of_ours_is_its_own() {
    let mut document = base();
    document["inbound"]["token"] = json!({ "sources": [{ "header": { "name": "x-token" } }] });
    document["inbound"]["forward_claims"] = json!([{ "claim": "sub", "header": "x-sub" }]);
    let mut of = |payload: &str, report: &str| {
        document["inbound"]["forward_payload"] = json!({ "header": payload });
        document["inbound"]["report_header"] = json!(report);
        problems(&document)
    };
    assert_eq!(of("x-payload", "x-report"), [""; 0]);
    let another = "another setting sets this header: choose another";
    assert_eq!(of("X-Sub", "x-report"), [format!("inbound.forward_payload.header: {another}")]);
    assert_eq!(of("x-payload", "x-sub"), [format!("inbound.report_header: {another}")]);
    assert_eq!(of("x-both", "X-Both"), [format!("inbound.report_header: {another}")]);
    let token = "the token is in this header: choose another";
    assert_eq!(of("x-payload", "x-token"), [format!("inbound.report_header: {token}")]);
    assert_eq!(of("x-token", "x-report"), [format!("inbound.forward_payload.header: {token}")]);
    let reserved = "this header controls the connection or the proxy: choose another";
    assert_eq!(of("x-payload", "x-envoy-report"), [format!("inbound.report_header: {reserved}")]);
    assert_eq!(of("cookie", "x-report"), [format!("inbound.forward_payload.header: {reserved}")]);
    refuses("/forward_payload", json!({}), "inbound.forward_payload: missing field `header`");
}

#[test]
fn facts_for_filter_state_are_listed() {
    let read = |state: Json| {
        let inbound = compiled(&with("/filter_state", state)).unwrap().inbound.unwrap();
        (inbound.filter_state, inbound.facts.to_vec(), inbound.issuers[0].rules.asked.subject)
    };
    assert_eq!(read(json!("all")), (FilterState::All, vec![], false));
    let facts = json!({ "facts": ["route", "client"] });
    assert_eq!(read(facts), (FilterState::Denials, vec![Fact::Route, Fact::Client], false));
    let all: Vec<&str> = Fact::ALL.map(Fact::word).into();
    assert_eq!(all, ["client", "principal", "issuer", "subject", "scopes", "route", "outcome", "reason"]);
    let everything = json!({ "decisions": "all", "facts": all });
    assert_eq!(read(everything), (FilterState::All, Fact::ALL.to_vec(), true));
    refuses("/filter_state", json!({}), "inbound.filter_state: missing field `facts`");
    refuses("/filter_state", json!({ "facts": [] }), "inbound.filter_state.facts: the list is empty");
    refuses(
        "/filter_state",
        json!({ "facts": ["client", "client"] }),
        "inbound.filter_state.facts[1]: duplicate fact",
    );
    refuses(
        "/filter_state",
        json!({ "facts": ["azp"] }),
        "inbound.filter_state.facts[0]: expected one of client, principal, issuer, subject, scopes, route, outcome, \
         reason",
    );
    refuses(
        "/filter_state",
        json!({ "facts": ["client"], "decisions": "none" }),
        "inbound.filter_state.decisions: expected one of denials, all",
    );
}

/// What an issuer says of itself comes before what is said for all.
#[test]
fn a_mode_for_all_is_that_of_each_issuer_that_names_none() {
    let modes = |all: Option<&str>, own: Option<&str>| {
        let mut document = base();
        document["inbound"]["issuers"][0].as_object_mut().unwrap().remove("mode");
        if let Some(all) = all {
            document["inbound"]["mode"] = json!(all);
        }
        if let Some(own) = own {
            document["inbound"]["issuers"][0]["mode"] = json!(own);
        }
        compiled(&document).unwrap().inbound.unwrap().issuers[0].mode
    };
    assert_eq!(modes(None, None), Mode::Enforce);
    assert_eq!(modes(Some("report_only"), None), Mode::ReportOnly);
    assert_eq!(modes(Some("report_only"), Some("enforce")), Mode::Enforce);
    assert_eq!(modes(None, Some("report_only")), Mode::ReportOnly);
}

#[test]
fn words_are_those_that_are_listed() {
    for (pointer, known) in [
        ("/denials/body", "none, problem_json, json_rpc"),
        ("/denials/detail", "full, terse"),
        ("/cors_preflight", "authorize, forward"),
        ("/filter_state", "denials, all"),
        ("/route_metadata", "read, ignore"),
        ("/token_cache", "off"),
        ("/routes/0/mode", "enforce, report_only"),
        ("/issuers/0/mode", "enforce, report_only"),
        ("/mode", "enforce, report_only"),
    ] {
        let path = format!("inbound{}", pointer.replace("/0", "[0]").replace('/', "."));
        refuses(pointer, json!("yes"), &format!("{path}: expected one of {known}"));
        refuses(pointer, json!("OFF"), &format!("{path}: expected one of {known}"));
    }
    accepts("/token_cache", json!("off"));
    refuses("/token_cache", json!(false), "inbound.token_cache: expected an object, got a boolean");
    refuses(
        "/denials/realm",
        json!("a\"b"),
        "inbound.denials.realm: expected visible ASCII without quotes and backslashes, at most 128 characters",
    );
    accepts("/denials/realm", json!("a".repeat(128)));
    for (member, value) in [("realm", "api"), ("body", "problem_json")] {
        refuses(
            "/denials",
            json!({ "detail": "terse", member: value }),
            "inbound.denials: `detail: terse` shows neither `realm` nor `body`: leave them out",
        );
    }
}

#[test]
fn a_route_says_exactly_one_thing() {
    let one_of = "inbound.routes[0]: expected exactly one of require, optional, public, deny";
    refuses("/routes/0/public", json!({}), one_of);
    refuses("/routes/0/optional", json!({ "authenticated": {} }), one_of);
    refuses("/routes/0/deny", json!({}), one_of);
    assert_eq!(problems(&without("/routes/0", "require")), [one_of]);
    let route = |rule: &str, what: Json, more: Json| {
        let mut route = json!({ "name": "r", "match": { "path": "/r" }, rule: what });
        for (name, value) in more.as_object().unwrap() {
            route[name] = value.clone();
        }
        json!([route])
    };
    refuses(
        "/routes",
        route("public", json!({ "x": 1 }), json!({})),
        "inbound.routes[0].public: expected {}",
    );
    refuses("/routes", route("public", json!(true), json!({})), "inbound.routes[0].public: expected {}");
    refuses("/routes", route("deny", json!(null), json!({})), "inbound.routes[0].deny: expected {}");
    refuses(
        "/routes",
        route("public", json!({}), json!({ "mode": "report_only" })),
        "inbound.routes[0].mode: a public route has nothing to report",
    );
    accepts("/routes", route("deny", json!({}), json!({ "mode": "report_only" })));
    refuses(
        "/routes/0/allow_in_path",
        json!(["double_slash"]),
        "inbound.routes[0].allow_in_path[0]: expected one of empty_segment, dot_segment, encoded_slash, \
         encoded_backslash, encoded_dot, encoded_control, backslash, semicolon, bad_escape, needless_escape, \
         lower_case_escape",
    );
}

#[test]
fn patterns_are_paths_that_cannot_be_misread() {
    let path = |path: &str, problem: &str| {
        refuses("/routes/0/match/path", json!(path), &format!("inbound.routes[0].match.path: {problem}"));
    };
    for odd in ["orders", "*", "/a?b", "https://h/a"] {
        path(odd, "expected a path without query: it begins with /");
    }
    path("/a//b", "the path is ambiguous: empty_segment");
    path("/a/../b", "the path is ambiguous: dot_segment");
    path("/a%2fb", "the path is ambiguous: encoded_slash");
    path("/a;b", "the path is ambiguous: semicolon");
    path("/a b", "the path holds a character that is not allowed in a URI");
    path("/a#b", "the path holds a character that is not allowed in a URI");
    path(&"/a".repeat(129), "the path has more than 128 segments");
    path("/{a}/x/{a}", "duplicate variable");
    for odd in ["/x{a}", "/{a}x", "/{}", "/{a b}".replace(' ', "-").as_str(), "/{a", "/a}"] {
        path(odd, "a variable is a whole segment, like {order_id}");
    }
    accepts("/routes/0/match/path", json!(format!("{}/", "/a".repeat(127))));
    let prefix = |text: &str, problem: &str| {
        let mut document = base();
        document["inbound"]["routes"][0]["match"] = json!({ "prefix": text });
        assert_eq!(problems(&document), [format!("inbound.routes[0].match.prefix: {problem}")]);
    };
    prefix("/a/{b}", "a prefix has no variables: use `path`");
    prefix("/a/", "a prefix ends at a segment anyway: leave the last slash out");
    let one_of = "inbound.routes[0].match: expected exactly one of path, prefix";
    refuses("/routes/0/match", json!({}), one_of);
    refuses("/routes/0/match", json!({ "path": "/", "prefix": "/" }), one_of);
    for method in ["get", "GET POST", "*", "GÉT"] {
        refuses(
            "/routes/0/match/methods",
            json!([method]),
            "inbound.routes[0].match.methods[0]: expected a method in upper case, like GET",
        );
    }
    for host in ["a b", "https://a", "a/b", "*", "*.", "*a", "a.*", "ä"] {
        refuses(
            "/routes/0/match/authorities",
            json!([host]),
            "inbound.routes[0].match.authorities[0]: expected a host like api.example.com, or *.example.com",
        );
    }
    refuses(
        "/routes/0/match/authorities",
        json!(["*.a:80"]),
        "inbound.routes[0].match.authorities[0]: a suffix has no port",
    );
    for host in ["a", "A.Example", "a:80", "*.a", "[::1]", "[::1]:80", "10.0.0.1", "a_b.svc"] {
        accepts("/routes/0/match/authorities", json!([host]));
    }
    for host in ["a..b", "[a]", "::1:80", "127.1", "*.a..b", &"a.".repeat(127)] {
        let host = host.strip_suffix('.').unwrap_or(host);
        let host = if host.len() == 253 { format!("aa{host}") } else { host.to_owned() };
        refuses(
            "/routes/0/match/authorities",
            json!([host]),
            "inbound.routes[0].match.authorities[0]: expected a host of labels with single dots between them, or an \
             address",
        );
    }
    for port in ["a:0", "a:080", "a:65536", "a:", "[::1]a"] {
        refuses(
            "/routes/0/match/authorities",
            json!([port]),
            "inbound.routes[0].match.authorities[0]: expected a port from 1 to 65535 after the colon",
        );
    }
    for word in [json!("no"), json!(0), json!(null)] {
        let kind = if word.is_string() {
            "a string"
        } else if word.is_null() {
            "null"
        } else {
            "a number"
        };
        let expected = format!("expected a boolean, got {kind}");
        refuses("/case_sensitive", word.clone(), &format!("inbound.case_sensitive: {expected}"));
        let path = "inbound.routes[0].match.case_sensitive";
        refuses("/routes/0/match/case_sensitive", word, &format!("{path}: {expected}"));
    }
    accepts("/case_sensitive", json!(false));
    let listed = "x-http-method-override, x-method-override, x-http-method, x-original-url, x-rewrite-url";
    refuses(
        "/allow_overrides",
        json!(["x-host"]),
        &format!("inbound.allow_overrides[0]: expected one of {listed}"),
    );
    refuses(
        "/allow_overrides",
        json!(["x-http-method", "x-http-method"]),
        "inbound.allow_overrides[1]: duplicate header",
    );
    refuses("/allow_overrides", json!([]), "inbound.allow_overrides: the list is empty");
    accepts("/allow_overrides", json!(["x-original-url"]));
}

#[test]
fn a_requirement_is_never_empty_by_accident() {
    let require = |require: Json, problem: &str| {
        refuses("/routes/0/require", require, &format!("inbound.routes[0].require{problem}"));
    };
    require(
        json!({}),
        ": name scopes, any_scope, clients, subjects, audiences, claims, all or any, or write `authenticated: {}` for any valid token",
    );
    require(
        json!({ "issuers": ["corp"] }),
        ": name scopes, any_scope, clients, subjects, audiences, claims, all or any, or write `authenticated: {}` for any valid token",
    );
    require(
        json!({ "authenticated": {}, "scopes": ["a"] }),
        ".authenticated: more is demanded: leave `authenticated` out",
    );
    require(json!({ "authenticated": true }), ".authenticated: expected {}");
    for scope in ["a b", "a\"", "a\\", "ä", &"a".repeat(257)] {
        require(
            json!({ "scopes": [scope] }),
            ".scopes[0]: expected a scope: visible characters without space, quote and backslash, at most 256",
        );
    }
    accepts("/routes/0/require", json!({ "scopes": ["a".repeat(256)] }));
    require(json!({ "issuers": ["stranger"], "scopes": ["a"] }), ".issuers[0]: unknown issuer `stranger`");
    let mut two = base();
    let mut second = two["inbound"]["issuers"][0].clone();
    second["name"] = json!("second");
    second["issuer"] = json!("https://second.example");
    two["inbound"]["issuers"].as_array_mut().unwrap().push(second);
    assert_eq!(problems(&two), ["inbound.routes[0].require: name `issuers`: more than one is configured"]);
    two["inbound"]["routes"][0]["require"]["issuers"] = json!(["second"]);
    assert_eq!(problems(&two), Vec::<String>::new());
}

#[test]
fn the_default_is_written_out() {
    let expected =
        "inbound.default: expected deny, { public: {} }, { require: { … } } or { optional: { … } }";
    for word in ["allow", "public", "forward", "DENY"] {
        refuses("/default", json!(word), expected);
    }
    refuses(
        "/default",
        json!({}),
        "inbound.default: expected exactly one of require, optional, public, deny",
    );
    refuses("/default", json!(false), "inbound.default: expected an object, got a boolean");
    accepts("/default", json!({ "public": {} }));
    accepts("/default", json!({ "require": { "scopes": ["a"] } }));
}

#[test]
fn nothing_is_there_twice() {
    for (pointer, value, problem) in [
        ("/issuers/0/audiences", json!(["a", "a"]), "inbound.issuers[0].audiences[1]: duplicate audience"),
        (
            "/issuers/0/algorithms",
            json!(["RS256", "ES256", "RS256"]),
            "inbound.issuers[0].algorithms[2]: duplicate algorithm",
        ),
        (
            "/issuers/0/scopes_from",
            json!(["scope", ["scope"]]),
            "inbound.issuers[0].scopes_from[1]: duplicate claim",
        ),
        (
            "/issuers/0/client_from",
            json!(["cid", "cid"]),
            "inbound.issuers[0].client_from[1]: duplicate claim",
        ),
        (
            "/issuers/0/required_claims",
            json!(["sub", "sub"]),
            "inbound.issuers[0].required_claims[1]: duplicate claim",
        ),
        (
            "/routes/0/allow_in_path",
            json!(["semicolon", "semicolon"]),
            "inbound.routes[0].allow_in_path[1]: duplicate feature",
        ),
        (
            "/routes/0/match/methods",
            json!(["GET", "GET"]),
            "inbound.routes[0].match.methods[1]: duplicate method",
        ),
        (
            "/routes/0/match/authorities",
            json!(["a.b", "A.B"]),
            "inbound.routes[0].match.authorities[1]: duplicate authority",
        ),
        (
            "/routes/0/require/scopes",
            json!(["a", "a"]),
            "inbound.routes[0].require.scopes[1]: duplicate scope",
        ),
        (
            "/routes/0/require/any_scope",
            json!(["a", "a"]),
            "inbound.routes[0].require.any_scope[1]: duplicate scope",
        ),
        (
            "/routes/0/require/issuers",
            json!(["corp", "corp"]),
            "inbound.routes[0].require.issuers[1]: duplicate issuer",
        ),
    ] {
        refuses(pointer, value, problem);
    }
    let mut issuer = base()["inbound"]["issuers"][0].clone();
    let mut named = base();
    named["inbound"]["routes"][0]["require"]["issuers"] = json!(["corp"]);
    issuer["issuer"] = json!("https://other.example");
    let mut same_name = named.clone();
    same_name["inbound"]["issuers"].as_array_mut().unwrap().push(issuer.clone());
    assert_eq!(problems(&same_name), ["inbound.issuers[1]: duplicate issuer name"]);
    issuer["issuer"] = json!("https://idp.example");
    issuer["name"] = json!("other-name");
    named["inbound"]["issuers"].as_array_mut().unwrap().push(issuer);
    assert_eq!(problems(&named), ["inbound.issuers[1]: duplicate issuer"]);
    let route = |name: &str, path: &str, methods: &[&str]| {
        let mut route = json!({ "name": name, "match": { "path": path }, "public": {} });
        if !methods.is_empty() {
            route["match"]["methods"] = json!(methods);
        }
        route
    };
    refuses(
        "/routes",
        json!([route("a", "/a", &[]), route("a", "/b", &[])]),
        "inbound.routes[1].name: duplicate route name",
    );
    let same =
        "inbound.routes[1].match: matches the same requests as routes[0]: same authority, path and method";
    refuses("/routes", json!([route("a", "/a/{x}", &[]), route("b", "/a/{y}", &[])]), same);
    refuses(
        "/routes",
        json!([route("a", "/a", &["GET", "PUT"]), route("b", "/%61", &["POST", "PUT"])]),
        same,
    );
    accepts("/routes", json!([route("a", "/a", &["GET"]), route("b", "/a", &[]), route("c", "/a/", &[])]));
}

#[test]
fn every_problem_is_reported_in_the_order_of_the_document() {
    let document = json!({
        "outbond": {},
        "inbound": {
            "version": 0,
            "issuers": [{ "name": "A", "issuer": "", "keys": { "jwks": { "uri": "x" } }, "colour": 1 }],
            "token": { "sources": [] },
            "denials": { "detail": "loud" },
            "waiting": { "requests": 0, "deadline": "0s" },
            "token_cache": "on",
            "routes": [
                { "match": { "path": "x", "methods": ["get"] }, "require": {} },
                { "name": "b", "match": {}, "public": {}, "deny": {} },
            ],
        },
    });
    assert_eq!(
        problems(&document),
        [
            "unknown field `outbond`, expected one of inbound, outbound, sharing, audit",
            "inbound.version: expected a whole number from 1 to 9007199254740991",
            "inbound.issuers[0]: unknown field `colour`, expected one of name, issuer, tenants, \
             trust_domain, audiences, keys, algorithms, type, required_claims, expiry, max_lifetime, clock_skew, \
             scopes_from, scope_separators, scope_matching, scope_levels, client_from, mode",
            "inbound.issuers[0].name: expected a name of a-z, 0-9, _ and -, at most 64 characters",
            "inbound.issuers[0].issuer: the string is empty",
            "inbound.issuers[0]: missing field `audiences`",
            "inbound.issuers[0].keys.jwks.uri: expected a URL like https://host/path",
            "inbound.issuers[0].keys.jwks: missing field `cluster`",
            "inbound.token.sources: the list is empty",
            "inbound.denials.detail: expected one of full, terse",
            "inbound.waiting.requests: expected a whole number from 1 to 10000",
            "inbound.waiting.deadline: expected a duration from 10ms to 60s",
            "inbound.token_cache: expected one of off",
            "inbound.routes[0]: missing field `name`",
            "inbound.routes[0].match.path: expected a path without query: it begins with /",
            "inbound.routes[0].match.methods[0]: expected a method in upper case, like GET",
            "inbound.routes[0].require: name scopes, any_scope, clients, subjects, audiences, claims, all or any, or write `authenticated: {}` for any valid token",
            "inbound.routes[1].match: expected exactly one of path, prefix",
            "inbound.routes[1]: expected exactly one of require, optional, public, deny",
            "inbound: missing field `default`",
        ]
    );
}

#[test]
fn no_more_than_a_hundred_problems_are_reported() {
    let routes = |n: usize| {
        with("/routes", many(n, |_| json!({ "name": "X", "match": { "path": "/" }, "public": {} })))
    };
    assert_eq!(problems(&routes(100)).len(), 100);
    assert_eq!(problems(&routes(101)).len(), 100);
}

fn to_struct(value: &Json) -> prost_types::Struct {
    let fields: BTreeMap<_, _> =
        value.as_object().unwrap().iter().map(|(name, value)| (name.clone(), to_proto(value))).collect();
    prost_types::Struct { fields }
}

fn to_proto(value: &Json) -> prost_types::Value {
    let kind = match value {
        Json::Null => Kind::NullValue(0),
        Json::Bool(value) => Kind::BoolValue(*value),
        Json::Number(number) => Kind::NumberValue(number.as_f64().unwrap()),
        Json::String(text) => Kind::StringValue(text.clone()),
        Json::Array(items) => {
            Kind::ListValue(prost_types::ListValue { values: items.iter().map(to_proto).collect() })
        }
        Json::Object(_) => Kind::StructValue(to_struct(value)),
    };
    prost_types::Value { kind: Some(kind) }
}

#[test]
fn a_struct_is_read_as_json_is() {
    assert!(parse(&to_struct(&base()).encode_to_vec(), &Variables).is_ok());
    for document in [
        json!({}),
        json!({ "inbound": [] }),
        with("/version", json!(0)),
        with("/version", json!(9_007_199_254_740_992_u64)),
        with("/waiting/requests", json!(1.5)),
        with("/routes/0/name", json!(7)),
        with("/routes/0/match/path", json!("x")),
        with("/issuers/0/audiences", json!(null)),
    ] {
        let encoded = to_struct(&document).encode_to_vec();
        let from_struct = parse(&encoded, &Variables).unwrap_err();
        let expected = if encoded.is_empty() {
            "the document is empty: give the plugin a `configuration`".to_owned()
        } else {
            compiled(&document).unwrap_err().to_string()
        };
        assert_eq!(from_struct.to_string(), expected);
    }
}

/// JSON has no such numbers; a `Struct` has.
#[test]
fn a_number_that_is_none_is_refused() {
    for number in
        [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.5, 9_007_199_254_740_992.0, f64::MIN_POSITIVE]
    {
        let mut document = to_struct(&base());
        let Some(Kind::StructValue(inbound)) = &mut document.fields.get_mut("inbound").unwrap().kind else {
            panic!()
        };
        inbound.fields.insert("version".into(), prost_types::Value { kind: Some(Kind::NumberValue(number)) });
        assert_eq!(
            parse(&document.encode_to_vec(), &Variables).unwrap_err().to_string(),
            "inbound.version: expected a whole number from 1 to 9007199254740991",
            "{number}"
        );
    }
    let mut document = to_struct(&base());
    document.fields.insert("inbound".into(), prost_types::Value { kind: None });
    let error = parse(&document.encode_to_vec(), &Variables).unwrap_err().to_string();
    assert_eq!(error, "inbound: expected an object, got null");
}

/// A `Struct` begins with a byte that JSON reads as white space, and its lengths may be any letter.
#[test]
fn json_text_and_struct_are_never_taken_for_each_other() {
    for indent in ["", "\n", "\n\n", "\r\n\t ", " \n"] {
        let text = format!("{indent}{}", base());
        assert!(parse(text.as_bytes(), &Variables).is_ok(), "{indent:?}");
        // Broken text is told as broken text, with its place.
        let broken = format!("{indent}{}", &base().to_string()[1..]);
        let error = parse(broken.as_bytes(), &Variables).unwrap_err().to_string();
        assert!(error.starts_with("neither JSON nor a protobuf Struct: "), "{error}");
        let cut = format!("{indent}{{\"inbound\":");
        let error = parse(cut.as_bytes(), &Variables).unwrap_err().to_string();
        assert!(
            error.starts_with("neither JSON nor a protobuf Struct: EOF while parsing a value at line "),
            "{error}"
        );
    }
    // A text that is a `Struct` too, of fields that protobuf skips: a line feed, a length of 123, then fields 4 of 105
    // bytes and of one byte each. It is told as the broken text that it is.
    let both = format!("\n{{\"i{}{}", "x".repeat(105), " a".repeat(8));
    assert!(prost_types::Struct::decode(both.as_bytes()).is_ok());
    let error = parse(both.as_bytes(), &Variables).unwrap_err().to_string();
    assert!(
        error.starts_with("neither JSON nor a protobuf Struct: EOF while parsing a string at line 2 "),
        "{error}"
    );
    // Lengths of 123 (`{`), 34 (`"`), 32 and 10: what comes after the first byte looks like the beginning of a text.
    for size in [123, 34, 32, 10] {
        let name = "a".repeat(size);
        let document =
            prost_types::Struct { fields: [(name.clone(), prost_types::Value { kind: None })].into() };
        let error = parse(&document.encode_to_vec(), &Variables).unwrap_err().to_string();
        let shown: String = name.chars().take(64).collect();
        assert!(
            error.starts_with(&format!(
                "unknown field `{shown}`, expected one of inbound, outbound, sharing, audit"
            )),
            "{error}"
        );
    }
}

#[test]
fn settings_are_what_the_document_says_and_the_defaults_what_it_does_not() {
    let inbound = compiled(&base()).unwrap().inbound.unwrap();
    assert_eq!(inbound.waiting.requests, 256);
    assert_eq!(inbound.waiting.deadline.as_secs(), 5);
    assert_eq!(inbound.cache.map(|cache| (cache.entries, cache.bytes)), Some((8192, 16_777_216)));
    assert_eq!(inbound.issuers[0].rules.clock_skew.as_secs(), 30);
    assert_eq!(inbound.route_metadata, crate::inbound::MetadataUse::Deny);
    let [crate::issuer::KeySource::Jwks(jwks)] = &*inbound.issuers[0].keys else { panic!() };
    let schedule = &jwks.schedule;
    let seconds = [
        schedule.timeout,
        schedule.refresh,
        schedule.min_refresh,
        schedule.unknown_key_interval,
        schedule.max_staleness,
    ];
    assert_eq!(seconds.map(|duration| duration.as_secs()), [5, 600, 30, 2, 86_400]);
    assert!(!jwks.accepts_empty_set);
    assert!(inbound.issuers[0].rules.algorithms.iter().all(|algorithm| !algorithm.is_symmetric()));
}

#[test]
fn a_token_is_not_stripped_where_route_metadata_is_read() {
    let token = json!({ "after_verification": "strip" });
    let mut document = base();
    document["inbound"]["token"] = token;
    assert!(compiled(&document).is_ok());
    document["inbound"]["route_metadata"] = json!("read");
    let errors = compiled(&document).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "inbound.route_metadata: stripping the token can change Envoy's route: forward it, or ignore metadata"
    );
    document["inbound"]["token"]["after_verification"] = json!("forward");
    assert!(compiled(&document).is_ok());
}

#[test]
fn routes_that_clash_are_told_beside_other_problems() {
    let mut document = base();
    document["inbound"]["routes"] = json!([
        { "name": "broken", "match": { "path": "x" }, "public": {} },
        { "name": "one", "match": { "path": "/x" }, "public": {} },
        { "name": "two", "match": { "path": "/x" }, "deny": {} },
    ]);
    let errors = compiled(&document).unwrap_err();
    let problems: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
    assert_eq!(
        problems,
        [
            "inbound.routes[0].match.path: expected a path without query: it begins with /",
            "inbound.routes[2].match: matches the same requests as routes[1]: same authority, path and method",
        ]
    );
}

/// Of a path without letters there is one case: a route that ignores it would never be found.
#[test]
fn a_route_that_can_never_match_is_refused() {
    let same = "same authority, path and method";
    let of = |path: &str, ignoring: &str| {
        let route = |name: &str, path: &str, case: bool| json!({ "name": name, "match": { "path": path, "case_sensitive": case }, "public": {} });
        problems(&with("/routes", json!([route("a", path, true), route("b", ignoring, false)])))
    };
    for path in ["/1/2.3", "/{id}", "/-/{id}/", "/%3F"] {
        assert_eq!(
            of(path, path),
            [format!("inbound.routes[1].match: matches the same requests as routes[0]: {same}")],
            "{path}"
        );
    }
    for path in ["/1/a", "/%C3%A4", "/1a", "/{id}/v"] {
        assert_eq!(of(path, path), Vec::<String>::new(), "{path}");
    }
    assert_eq!(of("/1", "/2"), Vec::<String>::new());
}

mod audit;
mod keys;
mod outbound;
mod renamed;
mod requirements;
#[test]
fn scopes_are_split_and_matched_as_written() {
    let issuer = "inbound.issuers[0]";
    let separator = "expected one character: a space, a tab, a line feed or a punctuation mark";
    for odd in ["ab", "a", "1", "ä", "\r", "*", "  "] {
        refuses(
            "/issuers/0/scope_separators",
            json!([" ", odd]),
            &format!("{issuer}.scope_separators[1]: {separator}"),
        );
    }
    for good in [" ", "\t", "\n", ",", ";", "|"] {
        accepts("/issuers/0/scope_separators", json!([good]));
    }
    refuses(
        "/issuers/0/scope_matching",
        json!("prefix"),
        &format!("{issuer}.scope_matching: expected one of exact, hierarchical, wildcard"),
    );
    let with = |members: Json| {
        let mut document = base();
        members.as_object().unwrap().iter().for_each(|(name, value)| {
            document["inbound"]["issuers"][0][name] = value.clone();
        });
        problems(&document)
    };
    let levels = |matching: &str, levels: Json| {
        with(json!({ "scope_matching": matching, "scope_levels": levels, "scope_separators": [" ", ","] }))
    };
    assert_eq!(levels("hierarchical", json!([":", "."])), Vec::<String>::new());
    assert_eq!(levels("wildcard", json!(["/"])), Vec::<String>::new());
    let problem = |text: &str| vec![format!("{issuer}.scope_levels{text}")];
    assert_eq!(
        levels("exact", json!([":"])),
        problem(": only hierarchical and wildcard scopes have levels: leave it out")
    );
    let meets = vec![format!("{issuer}: `scope_separators` splits at one of the `scope_levels`")];
    assert_eq!(levels("wildcard", json!([","])), meets);
    assert_eq!(with(json!({ "scope_matching": "hierarchical", "scope_separators": [":"] })), meets);
    for odd in [" ", "*", "::", "a"] {
        assert_eq!(
            levels("wildcard", json!([odd])),
            problem("[0]: expected one character: a punctuation mark other than *")
        );
    }
    assert_eq!(levels("wildcard", json!([":", ":"])), problem("[1]: duplicate character"));
}

#[test]
fn whose_tokens_an_issuer_s_are_is_said_in_one_way() {
    let issuer = "inbound.issuers[0]";
    let with = |members: Json| {
        let mut document = base();
        members.as_object().unwrap().iter().for_each(|(name, value)| {
            let entry = &mut document["inbound"]["issuers"][0];
            if value.is_null() {
                entry.as_object_mut().unwrap().remove(name);
            } else {
                entry[name] = value.clone();
            }
        });
        problems(&document)
    };
    let template = "https://login.example/{tenantid}/v2.0";
    let one_of = format!("{issuer}: expected exactly one of issuer, trust_domain");
    for (members, expected) in [
        (json!({ "issuer": null }), one_of.clone()),
        (json!({ "trust_domain": "example.org" }), one_of),
        (
            json!({ "issuer": template }),
            format!("{issuer}.issuer: a template for several tenants: list those to accept in `tenants`"),
        ),
        (
            json!({ "tenants": ["a"] }),
            format!("{issuer}.tenants: tenants belong to a template: write {{tenantid}} into `issuer`"),
        ),
        (
            json!({ "issuer": "https://login.example/{tenant}", "tenants": ["a"] }),
            format!("{issuer}.issuer: expected {{tenantid}} once, and no other braces"),
        ),
        (
            json!({ "issuer": "https://login.example/{tenantid}/{tenantid}", "tenants": ["a"] }),
            format!("{issuer}.issuer: expected {{tenantid}} once, and no other braces"),
        ),
        (
            json!({ "issuer": template, "tenants": ["a", "a/b"] }),
            format!(
                "{issuer}.tenants[1]: expected a tenant of letters, digits, `.`, `_` and `-`, at most 128"
            ),
        ),
        (
            json!({ "issuer": template, "tenants": ["a", "a"] }),
            format!("{issuer}.tenants[1]: duplicate tenant"),
        ),
        (json!({ "issuer": template, "tenants": [] }), format!("{issuer}.tenants: the list is empty")),
        (
            json!({ "issuer": null, "trust_domain": "Example.org" }),
            format!(
                "{issuer}.trust_domain: expected a SPIFFE trust domain of a-z, 0-9, `.`, `-` and `_`, at most 255 \
                 characters"
            ),
        ),
        (
            json!({ "issuer": null, "trust_domain": "a", "tenants": ["a"] }),
            format!("{issuer}.tenants: a trust domain has no tenants: leave them out"),
        ),
        (
            json!({ "issuer": null, "trust_domain": "a", "audiences": "any" }),
            format!("{issuer}.audiences: a JWT-SVID is for an audience: list those to accept"),
        ),
        (
            json!({ "issuer": null, "trust_domain": "a", "expiry": "optional" }),
            format!("{issuer}.expiry: a JWT-SVID expires: leave it out"),
        ),
        (
            json!({ "issuer": null, "trust_domain": "a", "type": "any" }),
            format!("{issuer}.type: a trust domain has tokens of one type: leave it out"),
        ),
    ] {
        assert_eq!(with(members.clone()), [expected], "{members}");
    }
    assert_eq!(with(json!({ "issuer": null, "trust_domain": "a".repeat(255) })), Vec::<String>::new());
    assert_eq!(with(json!({ "issuer": null, "trust_domain": "a".repeat(256) })).len(), 1);
    let tenants = |count: usize| (0..count).map(|n| json!(format!("t{n}"))).collect::<Vec<_>>();
    assert_eq!(with(json!({ "issuer": template, "tenants": tenants(999) })), Vec::<String>::new());
    assert_eq!(
        with(json!({ "issuer": template, "tenants": tenants(1_000) })),
        ["inbound.issuers: more than 1000 issuers and tenants in all"]
    );
    assert_eq!(
        with(json!({ "issuer": template, "tenants": tenants(1_001) })),
        [format!("{issuer}.tenants: more than 1000 entries")]
    );
}

#[test]
fn no_two_issuers_have_an_iss_in_common() {
    let template = |name: &str, issuer: &str, tenants: Json| {
        let mut entry = base()["inbound"]["issuers"][0].clone();
        entry["name"] = json!(name);
        entry["issuer"] = json!(issuer);
        entry["tenants"] = tenants;
        entry
    };
    let with = |second: Json, third: Json| {
        let mut document = base();
        document["inbound"]["issuers"] = json!([second, third]);
        document["inbound"].as_object_mut().unwrap().remove("routes");
        problems(&document)
    };
    let written = |issuer: &str| {
        let mut entry = template("b", issuer, json!([]));
        entry.as_object_mut().unwrap().remove("tenants");
        entry
    };
    let a = || template("a", "https://x/{tenantid}/v2", json!(["a", "b", "a.b"]));
    let clash = ["inbound.issuers[1]: duplicate issuer"];
    assert_eq!(with(a(), written("https://x/b/v2")), clash);
    assert_eq!(with(a(), template("b", "https://x/{tenantid}", json!(["b"]))), Vec::<String>::new());
    assert_eq!(with(a(), template("b", "https://x/{tenantid}/v2", json!(["c"]))), Vec::<String>::new());
    assert_eq!(with(a(), template("b", "https://x/a.{tenantid}/v2", json!(["b"]))), clash);
    let domain = |name: &str| {
        let mut entry = written("x");
        entry["name"] = json!(name);
        entry.as_object_mut().unwrap().remove("issuer");
        entry["trust_domain"] = json!("example.org");
        entry
    };
    assert_eq!(with(domain("a"), domain("b")), ["inbound.issuers[1]: duplicate trust domain"]);
    let many = |name: &str, count: usize| {
        let tenants: Vec<_> = (0..count).map(|n| json!(format!("t{n}"))).collect();
        template(name, &format!("https://{name}/{{tenantid}}"), json!(tenants))
    };
    assert_eq!(with(many("a", 500), many("b", 498)), Vec::<String>::new());
    let many = with(many("a", 500), many("b", 499));
    assert_eq!(many, ["inbound.issuers: more than 1000 issuers and tenants in all"]);
}

#[test]
fn metadata_that_is_elsewhere_is_named() {
    let path = "inbound.issuers[0].keys.discovery";
    let with = |entry: Json, discovery: Json| {
        let mut document = base();
        let issuer = &mut document["inbound"]["issuers"][0];
        issuer["keys"] = json!({ "discovery": { "cluster": "idp" } });
        for (name, value) in entry.as_object().unwrap() {
            issuer[name] = value.clone();
        }
        for (name, value) in discovery.as_object().unwrap() {
            issuer["keys"]["discovery"][name] = value.clone();
        }
        if entry.get("trust_domain").is_some() {
            issuer.as_object_mut().unwrap().remove("issuer");
        }
        problems(&document)
    };
    let tenants = || json!({ "issuer": "https://x/{tenantid}", "tenants": ["a"] });
    let uri = "https://x/common/.well-known/openid-configuration";
    assert_eq!(
        with(tenants(), json!({})),
        [format!("{path}: discovery for all tenants needs `metadata_uri`")]
    );
    assert_eq!(with(tenants(), json!({ "metadata_uri": uri })), Vec::<String>::new());
    assert_eq!(with(tenants(), json!({ "issuer": "https://x/common" })), Vec::<String>::new());
    assert_eq!(with(json!({ "issuer": "no-url" }), json!({ "metadata_uri": uri })), Vec::<String>::new());
    assert_eq!(
        with(json!({}), json!({ "metadata_uri": "http://x/y" })),
        [format!("{path}: `metadata_uri` is not https: discovery without TLS needs `tls: optional`")]
    );
    assert_eq!(
        with(json!({}), json!({ "metadata_uri": "http://x/y", "tls": "optional" })),
        Vec::<String>::new()
    );
    let domain = || json!({ "trust_domain": "example.org" });
    let nameless = [format!("{path}: a trust domain has no metadata: name the `issuer` that has")];
    assert_eq!(with(domain(), json!({})), nameless);
    assert_eq!(with(domain(), json!({ "metadata_uri": uri })), nameless);
    assert_eq!(with(domain(), json!({ "issuer": "https://oidc.example.org" })), Vec::<String>::new());
}
