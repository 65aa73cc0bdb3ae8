//! Random bytes, and good input with random damage, into every parser: an answer, and never a trap.

use attache::base::{Headers, Outcome, StreamId, Timestamp};
use attache::config;
use attache::filter::Filter;
use attache::jose::{KeySet, TokenParts};
use attache::policy::{RequestPath, RouteMetadata};
use proptest::prelude::*;
use serde_json::json;

use crate::proxy::{Host, Request, START, Signer, Variables, compile, config, issuer, jwks};

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..200)
}

/// These bytes with a few of them replaced, a piece cut out, or something put in.
fn damaged(good: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 0..6);
    damage.prop_map(move |damage| {
        let mut bytes = good.clone();
        for (at, byte, how) in damage {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => {
                    bytes.remove(at);
                }
            }
        }
        bytes
    })
}

/// Pieces that parsers have opinions about.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "/",
        "//",
        "..",
        ".",
        "%2f",
        "%",
        "%zz",
        ";",
        "\\",
        "?",
        "&",
        "=",
        "access_token",
        "token",
        "Bearer",
        " ",
        "\0",
        "a",
        "eyJ",
        "{",
        "}",
        "\"",
        ",",
        ":",
        "é",
        "\u{ff}",
        "[",
        "]",
        "1e999",
        "null",
        "inbound",
        "%c0%af",
        "#",
        "+",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat().into_bytes())
}

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![bytes(), text()]
}

const NOW: Timestamp = Timestamp::from_secs(START);

fn proxy() -> (Filter, Signer) {
    let key = Signer::new("k1");
    let settings = config(json!({
        "issuers": [issuer(json!({ "keys": { "jwks": null, "inline": { "keys": [key.jwk()] } } }))],
        "forward_claims": [{ "claim": "sub", "header": "x-auth-subject" }],
        "cors_preflight": "forward",
        "resource": { "identifier": "https://api.example/v1" },
        "denials": { "body": "problem_json" },
        "token": { "after_verification": "strip", "sources": [
            { "header": { "name": "authorization", "scheme": "Bearer" } }, { "header": { "name": "x-token" } },
            { "query": { "name": "access_token" } }, { "cookie": { "name": "token" } } ] },
        "routes": [
            { "name": "trial", "match": { "prefix": "/a" }, "require": { "scopes": ["x"] }, "mode": "report_only" },
            { "name": "host", "match": { "path": "/{x}", "authorities": ["a", "*.b"] }, "public": {} },
            { "name": "all", "match": { "prefix": "/" }, "require": { "authenticated": {} } },
        ],
    }));
    (Filter::new(&compile(&settings).unwrap(), [1; 16], &mut Host::default().at(NOW)), key)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_trap_a_parser(bytes in any_bytes()) {
        if let Ok(headers) = Headers::from_pairs(bytes.clone()) {
            prop_assert!(headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() <= bytes.len());
        }
        let _ = RouteMetadata::parse(&bytes);
        if let Ok(path) = RequestPath::parse(&bytes) {
            let _ = path.segments().count();
        }
        if let Ok(parts) = TokenParts::decode(&bytes) {
            let _ = parts.read();
        }
        let _ = KeySet::parse(&bytes);
        prop_assert!(config::parse(&bytes, &Variables).is_err());
    }

    #[test]
    fn no_damage_to_a_token_traps_or_verifies(token in Just(Signer::new("k1").token().sign().into_bytes()).prop_flat_map(damaged)) {
        let (mut filter, key) = proxy();
        let good = key.token().sign().into_bytes();
        let request = Request::get("/").header("authorization", [b"Bearer ", &*token].concat());
        let outcome = filter.handle_request(StreamId(1), request.head(), &mut Host::default().at(NOW));
        let forwarded = matches!(outcome, Some(Outcome::Forward { .. }));
        // White space around the token is none of it.
        prop_assert_eq!(forwarded, token.trim_ascii() == good);
    }

    #[test]
    fn no_damage_to_a_key_set_or_a_configuration_traps(
        keys in Just(jwks(&[&Signer::new("k1"), &Signer::new("k2")]).into_bytes()).prop_flat_map(damaged),
        text in Just(config(json!({})).to_string().into_bytes()).prop_flat_map(damaged),
    ) {
        let _ = KeySet::parse(&keys);
        let _ = config::parse(&text, &Variables);
    }

    #[test]
    fn no_request_traps_the_filter(
        fields in prop::collection::vec((prop_oneof![
            Just(b"authorization".to_vec()), Just(b"cookie".to_vec()), Just(b"x-token".to_vec()),
            Just(b":path".to_vec()), Just(b":method".to_vec()), Just(b":authority".to_vec()), Just(b"origin".to_vec()),
            Just(b"x-auth-subject".to_vec()), Just(b"x_auth_subject".to_vec()), any_bytes(),
        ], any_bytes()), 0..12),
        path in text(),
        metadata in prop::option::of(any_bytes()),
    ) {
        let (mut filter, _) = proxy();
        let mut request = Request::get("/").without(":path").header(":path", [b"/", &*path].concat());
        for (name, value) in fields {
            request = request.header(name, value);
        }
        if let Some(metadata) = metadata {
            request = request.raw_metadata(metadata);
        }
        let _ = filter.handle_request(StreamId(1), request.head(), &mut Host::default().at(NOW));
    }
}
