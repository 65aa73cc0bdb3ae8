//! Scopes on Envoy's own route, as route metadata under `attache`: they only add.

use attache::base::{Level, encode_pairs};
use serde_json::{Value, json};

use crate::proxy::{Proxy, Request, Signer, config, issuer, partner};

fn table() -> Value {
    config(json!({
        "route_metadata": "read",
        "forward_claims": [{ "claim": "sub", "header": "x-auth-subject" }],
    }))
}

#[test]
fn metadata_and_the_table_must_both_hold() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&table(), &[&key]);
    let mut tells = |path: &str, scope: &str, metadata: &[(&str, &str)]| {
        let token = key.token().claim("scope", scope).sign();
        proxy.request(Request::get(path).bearer(&token).metadata(metadata)).tells()
    };
    let extra = &[("scopes", "extra")][..];
    assert_eq!(tells("/orders", "orders:read extra", extra), "forwarded");
    assert_eq!(tells("/orders", "orders:read", extra), "403 scope_insufficient");
    assert_eq!(tells("/orders", "extra", extra), "403 scope_insufficient");
    let any = &[("any_scope", "a b")][..];
    assert_eq!(tells("/orders", "orders:read b", any), "forwarded");
    assert_eq!(tells("/orders", "orders:read", any), "403 scope_insufficient");
    // Where the table is silent, metadata alone is the requirement.
    assert_eq!(tells("/unlisted", "extra", extra), "forwarded");
    assert_eq!(tells("/unlisted", "other", extra), "403 scope_insufficient");
    // It never makes a closed route open, nor a public one less than it says.
    assert_eq!(tells("/internal", "extra", extra), "403 route_denied");
    assert_eq!(tells("/healthz", "other", extra), "403 scope_insufficient");
    assert_eq!(tells("/healthz", "extra", extra), "forwarded");
}

#[test]
fn a_virtual_hosts_metadata_counts_for_all_its_routes() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&table(), &[&key]);
    let mut tells = |path: &str, scope: &str, metadata: &[(&str, &str)]| {
        let token = key.token().claim("scope", scope).sign();
        let request = Request::get(path).bearer(&token).host_metadata(&[("scopes", "host")]);
        proxy.request(if metadata.is_empty() { request } else { request.metadata(metadata) }).tells()
    };
    assert_eq!(tells("/orders", "orders:read host", &[]), "forwarded");
    assert_eq!(tells("/orders", "orders:read", &[]), "403 scope_insufficient");
    // It adds to the route's, and demands what it says where nothing else demands anything.
    let extra = &[("scopes", "extra")][..];
    assert_eq!(tells("/orders", "orders:read host extra", extra), "forwarded");
    assert_eq!(tells("/orders", "orders:read extra", extra), "403 scope_insufficient");
    assert_eq!(tells("/healthz", "other", &[]), "403 scope_insufficient");
    assert_eq!(tells("/unlisted", "host", &[]), "forwarded");
    assert_eq!(tells("/internal", "host", &[]), "403 route_denied");
    assert_eq!(tells("/orders", "orders:read host", &[("scope", "x")]), "403 route_metadata");
    let malformed = Request::get("/healthz").host_metadata(&[("scope", "x")]);
    assert_eq!(proxy.request(malformed).tells(), "403 route_metadata");
}

#[test]
fn the_challenge_names_what_table_and_metadata_need_together() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&table(), &[&key]);
    let token = key.token().claim("scope", "none").sign();
    let request = Request::get("/orders").bearer(&token).metadata(&[("scopes", "extra orders:read")]);
    let refused = proxy.request(request).refused();
    assert_eq!(
        refused.challenge(),
        Some(
            "Bearer error=\"insufficient_scope\", error_description=\"the token lacks a scope\", scope=\"extra orders:read\""
        )
    );
}

#[test]
fn a_request_without_a_token_is_asked_for_one_wherever_metadata_stands() {
    let mut proxy = Proxy::ready(&table(), &[&Signer::new("k1")]);
    for path in ["/healthz", "/unlisted", "/orders"] {
        let request = Request::get(path).metadata(&[("scopes", "extra")]);
        assert_eq!(proxy.request(request).tells(), "401 credential_missing", "{path}");
    }
}

#[test]
fn malformed_metadata_denies_even_a_public_route() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&table(), &[&key]);
    let token = key.token().sign();
    let list = |items: &[&str]| encode_pairs(items.iter().map(|item| (*item, "")));
    let nested = |key: &str, value: &[u8]| {
        let mut bytes = 1_u32.to_le_bytes().to_vec();
        bytes.extend(u32::try_from(key.len()).unwrap().to_le_bytes());
        bytes.extend(u32::try_from(value.len()).unwrap().to_le_bytes());
        bytes.extend(key.as_bytes());
        bytes.push(0);
        bytes.extend(value);
        bytes.push(0);
        bytes
    };
    for bytes in [
        Vec::new(),
        b"scopes".to_vec(),
        nested("scopes", b""),
        nested("scopes", &5_f64.to_le_bytes()),
        nested("scopes", &[1]),
        nested("scopes", &list(&[])),
        nested("scopes", &list(&["a b"])),
        nested("scopes", b"a\"b"),
        nested("scopes", b"\xff"),
        nested("scope", b"a"),
        nested("public", b"true"),
        nested("issuers", b"corp"),
        nested("issuers", b"stranger"),
    ] {
        for path in ["/healthz", "/orders", "/unlisted"] {
            let request = Request::get(path).bearer(&token).raw_metadata(bytes.clone());
            assert_eq!(proxy.request(request).tells(), "403 route_metadata", "{path} {bytes:?}");
        }
    }
    let listed = nested("scopes", &list(&["orders:read"]));
    assert_eq!(
        proxy.request(Request::get("/healthz").bearer(&token).raw_metadata(listed)).tells(),
        "forwarded"
    );
    proxy.shut_down();
    assert_eq!(
        proxy.counter(
            "route=.=health;.;issuer=.=none;.;outcome=.=deny;.;reason=.=route_metadata;.;attache_decisions_total"
        ),
        13
    );
}

#[test]
fn an_issuer_in_metadata_must_be_configured_and_named_where_there_are_several() {
    let (corp, theirs) = (Signer::new("k1"), Signer::new("k2"));
    let both = json!({
        "route_metadata": "read",
        "issuers": [issuer(json!({})), partner()],
        "routes": [{ "name": "both", "match": { "path": "/both" },
                     "require": { "issuers": ["corp", "partner"], "authenticated": {} } }],
    });
    let mut proxy = Proxy::new(&config(both));
    proxy.serve("idp", crate::proxy::good(&crate::proxy::jwks(&[&corp])));
    proxy.serve("partner", crate::proxy::good(&crate::proxy::jwks(&[&theirs])));
    proxy.tick();
    let ours = corp.token().claim("scope", "a").sign();
    let token = theirs.token().claim("scope", "a").claim("iss", "https://partner.example").sign();
    let mut tells = |path: &str, token: &str, metadata: &[(&str, &str)]| {
        proxy.request(Request::get(path).bearer(token).metadata(metadata)).tells()
    };
    assert_eq!(tells("/alone", &ours, &[("scopes", "a")]), "403 route_metadata");
    assert_eq!(tells("/alone", &ours, &[("scopes", "a"), ("issuers", "corp")]), "forwarded");
    assert_eq!(tells("/alone", &token, &[("scopes", "a"), ("issuers", "corp")]), "401 issuer_not_accepted");
    assert_eq!(tells("/alone", &token, &[("scopes", "a"), ("issuers", "corp partner")]), "forwarded");
    assert_eq!(tells("/alone", &ours, &[("scopes", "a"), ("issuers", "stranger")]), "403 route_metadata");
    // Beside a requirement of the table, the table's issuers hold.
    assert_eq!(tells("/both", &token, &[("scopes", "a")]), "forwarded");
    assert_eq!(tells("/both", &token, &[("scopes", "a"), ("issuers", "corp")]), "401 issuer_not_accepted");
}

/// Measured in Envoy: removing a header makes Envoy choose the route again, perhaps one that demands more.
#[test]
fn a_protected_header_on_a_route_with_metadata_is_refused() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&table(), &[&key]);
    let token = key.token().claim("scope", "extra orders:read").sign();
    let forged = |path: &str| Request::get(path).bearer(&token).header("x-auth-subject", "root");
    for path in ["/orders", "/unlisted", "/healthz"] {
        let request = forged(path).metadata(&[("scopes", "extra")]);
        assert_eq!(proxy.request(request).tells(), "400 header_reserved", "{path}");
        // The route that the header picked may have no metadata, while the one behind it does.
        assert_eq!(proxy.request(forged(path)).tells(), "400 header_reserved", "{path}");
    }
}

#[test]
fn metadata_that_the_configuration_does_not_mention_closes_the_route() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&config(json!({})), &[&key]);
    let token = key.token().claim("scope", "extra orders:read").sign();
    let request = |path: &str| Request::get(path).bearer(&token);
    assert_eq!(proxy.request(request("/orders")).tells(), "forwarded");
    for path in ["/orders", "/unlisted"] {
        let request = request(path).metadata(&[("scopes", "extra")]);
        assert_eq!(proxy.request(request).tells(), "403 route_metadata", "{path}");
    }
}

#[test]
fn metadata_is_not_looked_at_when_the_configuration_says_so() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&config(json!({ "route_metadata": "ignore" })), &[&key]);
    let token = key.token().sign();
    let request = |path: &str| Request::get(path).bearer(&token).raw_metadata(b"garbage".to_vec());
    assert_eq!(proxy.request(request("/orders")).tells(), "forwarded");
    assert_eq!(proxy.request(request("/unlisted")).tells(), "403 route_unknown");
}

/// It is the operator's fault, so it is the operator who is told; at most ten times a second.
#[test]
fn metadata_that_closes_a_route_is_logged() {
    let mut proxy = Proxy::new(&config(json!({})));
    for _ in 0..11 {
        proxy.request(Request::get("/orders").metadata(&[("scopes", "extra")]));
    }
    let logs = proxy.logs(Level::Warn);
    assert_eq!(logs.len(), 10);
    assert_eq!(
        logs[0],
        "the route carries metadata `attache`: configure `route_metadata: read` to apply it: \
         outcome=deny reason=route_metadata route=orders issuer=none"
    );
}
