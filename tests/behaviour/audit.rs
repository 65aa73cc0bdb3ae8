//! The audit record: each field of each request, from the decision, and what is never in it.

use attache::base::Level;
use attache::telemetry::AuditField;
use base64ct::{Base64UrlUnpadded, Encoding as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::outbound::{self, client, destination, to};
use crate::proxy::{Proxy, Request, Signer, Time as _, config, good, issuer, jwks, merge};

/// The configuration of the tests, with an API, and `audit`; `patch` is for `inbound`.
fn audited(audit: Value, patch: Value) -> Value {
    let mut document = config(patch);
    document["inbound"]["routes"][0]["api"] = "orders-v2".into();
    document["audit"] = audit;
    document
}

fn all() -> Value {
    audited(json!({ "fields": "all", "subject": "plain" }), json!({}))
}

fn orders(token: &str) -> Request {
    Request::get("/orders").bearer(token).header("x-request-id", "r-1")
}

#[test]
fn a_permit_is_recorded_with_all_that_is_known() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&all(), &[&key]);
    let token = key.token().claim("scope", "orders:read").claim("sub", "jane").claim("jti", "t-7").sign();
    let who = "issuer=corp client=orders subject=jane token_id=t-7 path_template=/orders key_id=k1";
    assert_eq!(
        proxy.request(orders(&token)).audit(),
        format!(
            "outcome=permit reason=ok route=orders api=orders-v2 {who} engine=portable work=checked request_id=r-1"
        )
    );
    assert_eq!(
        proxy.request(orders(&token)).audit(),
        format!("outcome=permit reason=ok route=orders api=orders-v2 {who} work=cached request_id=r-1")
    );
}

/// What another module has written under a key, or this one when the request came through before, does not stay.
#[test]
fn every_field_that_is_listed_is_written_on_every_request_and_no_other() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&all(), &[&key]);
    let fields = AuditField::ALL.map(AuditField::word);
    for request in [Request::get("/healthz"), Request::get("/orders"), Request::get("x"), Request::get("/..")]
    {
        let answer = proxy.request(request);
        for field in &fields {
            let is_there = answer.audited(field).is_some();
            assert_eq!(is_there, !field.starts_with("outbound_"), "{field}");
        }
    }
    let mut proxy = Proxy::ready(&audited(json!({ "fields": ["reason"] }), json!({})), &[&key]);
    let answer = proxy.request(Request::get("/orders"));
    assert_eq!(answer.audit(), "reason=credential_missing");
    assert_eq!(answer.audited("route"), None);
    let mut proxy = Proxy::ready(&config(json!({})), &[&key]);
    assert_eq!(proxy.request(Request::get("/healthz")).forwarded().audit, []);
}

#[test]
fn a_denial_is_recorded_with_what_was_missing() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&all(), &[&key]);
    let mut told = |request: Request| proxy.request(request).audit();
    let needed = "route=orders api=orders-v2 requirement=scopes issuer=corp client=orders";
    assert_eq!(
        told(orders(&key.token().claim("scope", "x").claim("sub", "s").claim("jti", "j").sign())),
        format!(
            "outcome=deny reason=scope_insufficient {needed} subject=s token_id=j scopes_needed=orders:read \
             scopes_missing=orders:read path_template=/orders key_id=k1 engine=portable work=checked request_id=r-1"
        )
    );
    assert_eq!(
        told(Request::get("/orders")),
        "outcome=deny reason=credential_missing route=orders api=orders-v2 scopes_needed=orders:read \
         scopes_missing=orders:read path_template=/orders"
    );
    assert_eq!(
        told(Request::get("/healthz")),
        "outcome=permit reason=ok route=health path_template=/healthz"
    );
    assert_eq!(told(Request::get("/nowhere")), "outcome=deny reason=route_unknown route=default");
    assert_eq!(
        told(Request::get("/internal/x")),
        "outcome=deny reason=route_denied route=closed path_template=/internal/*"
    );
    assert_eq!(told(Request::get("x")), "outcome=deny reason=path_invalid");
}

/// What a token says counts once its issuer has signed it; of an issuer, its configured name alone is told.
#[test]
fn nothing_of_a_token_is_recorded_before_its_signature_is_checked() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&all(), &[&key]);
    let stranger = Signer::unnamed("stranger").named(Some("k1"));
    let token = stranger.token().claim("client_id", "root").claim("sub", "root").claim("jti", "root").sign();
    let record = proxy.request(Request::get("/orders").bearer(&token)).audit();
    assert_eq!(
        record,
        "outcome=deny reason=signature_invalid route=orders api=orders-v2 issuer=corp path_template=/orders \
         engine=portable work=checked"
    );
    let other = key.token().claim("iss", "https://evil.example/root").claim("client_id", "root").sign();
    let record = proxy.request(Request::get("/orders").bearer(&other)).audit();
    assert_eq!(record, "outcome=deny reason=issuer_unknown route=orders api=orders-v2 path_template=/orders");
    let expired = key.token().claim("exp", 1).claim("client_id", "root").sign();
    let record = proxy.request(Request::get("/orders").bearer(&expired)).audit();
    assert_eq!(
        record,
        "outcome=deny reason=expired route=orders api=orders-v2 issuer=corp path_template=/orders"
    );
}

#[test]
fn the_requirement_that_decided_is_named() {
    let key = Signer::new("k1");
    let patch = json!({
        "requirements": {
            "reader": { "scopes": ["orders:read"] },
            "batch": { "clients": ["batch"] },
            "either": { "any": ["batch", "reader"] },
            "outer": { "all": ["either", { "claims": [{ "claim": "tier", "one_of": ["gold"] }] }] },
        },
        "routes": [
            { "name": "either", "match": { "path": "/either" }, "require": "either" },
            { "name": "both", "match": { "path": "/both" },
              "require": { "any": ["batch", "reader"] } },
            { "name": "outer", "match": { "path": "/outer" }, "require": "outer" },
            { "name": "client", "match": { "path": "/client" }, "require": { "clients": ["batch"] } },
            { "name": "plain", "match": { "path": "/plain" }, "require": { "authenticated": {} } },
        ],
    });
    let mut document = config(patch);
    document["audit"] = json!({ "fields": ["requirement"] });
    let mut proxy = Proxy::ready(&document, &[&key]);
    let mut told = |path: &str, scope: &str, client: &str, tier: &str| {
        let token = key.token().claim("scope", scope).claim("client_id", client).claim("tier", tier).sign();
        proxy.request(Request::get(path).bearer(&token)).audited("requirement").unwrap()
    };
    assert_eq!(told("/either", "orders:read", "x", ""), "either");
    assert_eq!(told("/both", "orders:read", "x", ""), "reader");
    assert_eq!(told("/both", "", "batch", ""), "batch");
    assert_eq!(told("/either", "", "x", ""), "reader");
    assert_eq!(told("/both", "", "x", ""), "reader");
    assert_eq!(told("/outer", "orders:read", "x", "tin"), "outer");
    assert_eq!(told("/outer", "", "x", "gold"), "reader");
    assert_eq!(told("/outer", "orders:read", "x", "gold"), "outer");
    assert_eq!(told("/client", "", "x", ""), "clients");
    assert_eq!(told("/client", "", "batch", ""), "");
    assert_eq!(told("/plain", "", "x", ""), "");
    assert_eq!(proxy.request(Request::get("/outer")).audited("requirement").unwrap(), "outer");
}

#[test]
fn of_several_scopes_those_that_a_token_lacks_are_told() {
    let key = Signer::new("k1");
    let patch = json!({ "routes": [{ "name": "r", "match": { "path": "/r" }, "require": { "scopes": ["b", "a", "c"] } }] });
    let mut document = config(patch);
    document["audit"] = json!({ "fields": ["scopes_needed", "scopes_missing"] });
    let mut proxy = Proxy::ready(&document, &[&key]);
    let token = key.token().claim("scope", "b secret-other").sign();
    assert_eq!(
        proxy.request(Request::get("/r").bearer(&token)).audit(),
        "scopes_needed=a b c scopes_missing=a c"
    );
}

#[test]
fn a_request_that_has_waited_is_recorded_once_it_is_decided() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::new(&all());
    let token = key.token().claim("scope", "orders:read").sign();
    let (served, late) = (proxy.request(orders(&token)).waiting(), proxy.request(orders(&token)).waiting());
    proxy.end(late);
    proxy.serve("idp", good(&jwks(&[&key])));
    proxy.advance(3.secs());
    let record = proxy.answer(served).audit();
    assert!(record.ends_with("key_id=k1 engine=portable work=waited request_id=r-1"), "{record}");
    let mut proxy = Proxy::new(&all());
    let waits = proxy.request(orders(&token)).waiting();
    proxy.advance(6.secs());
    assert_eq!(
        proxy.answer(waits).audit(),
        "outcome=deny reason=keys_unavailable route=orders api=orders-v2 issuer=corp path_template=/orders \
         work=waited request_id=r-1"
    );
}

#[test]
fn what_would_have_been_denied_is_recorded_as_a_report() {
    let key = Signer::new("k1");
    let document =
        audited(json!({ "fields": ["outcome", "reason", "client"] }), json!({ "mode": "report_only" }));
    let mut proxy = Proxy::ready(&document, &[&key]);
    let token = key.token().claim("scope", "x").sign();
    assert_eq!(
        proxy.request(orders(&token)).audit(),
        "outcome=report reason=scope_insufficient client=orders"
    );
}

#[test]
fn the_end_of_a_stream_changes_its_record() {
    let key = Signer::new("k1");
    let document = audited(json!({ "fields": "all" }), json!({ "streams": { "end": "at_expiry" } }));
    let mut proxy = Proxy::ready(&document, &[&key]);
    let token = key.token().claim("scope", "orders:read").sign();
    assert_eq!(proxy.request(orders(&token)).audited("outcome").unwrap(), "permit");
    proxy.advance(2.hours());
    assert_eq!(proxy.records_at_end, ["outcome=end reason=expired"]);
}

#[test]
fn the_resources_metadata_is_recorded() {
    let key = Signer::new("k1");
    let resource = json!({ "resource": { "identifier": "https://orders.example" } });
    let mut proxy = Proxy::ready(&audited(json!({ "fields": "all" }), resource), &[&key]);
    let get = Request::get("/.well-known/oauth-protected-resource").header("x-request-id", "r");
    assert_eq!(proxy.request(get).audit(), "outcome=resource_metadata request_id=r");
}

#[test]
fn digests_are_told_in_the_place_of_names_and_differ_by_what_they_are_of() {
    let key = Signer::new("k1");
    let audit = json!({
        "fields": ["subject", "token_id"], "subject": "digest", "token": "digest", "digest_key": { "env": "SEAL" },
    });
    let mut proxy = Proxy::ready(&audited(audit, json!({})), &[&key]);
    let token = key.token().claim("scope", "orders:read").claim("sub", "jane").sign();
    let digest = |label: &str, text: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(&[1; 32]).unwrap();
        mac.update(format!("attache.audit.{label}\n{text}").as_bytes());
        Base64UrlUnpadded::encode_string(&mac.finalize().into_bytes()[..16])
    };
    let expected = format!("subject={} token_id={}", digest("subject", "jane"), digest("token", &token));
    for _ in 0..2 {
        assert_eq!(proxy.request(orders(&token)).audit(), expected);
    }
    // A subject that reads like a token is not that token.
    let tricky = key.token().claim("scope", "orders:read").claim("sub", token.as_str()).sign();
    let record = proxy.request(orders(&tricky)).audit();
    assert!(!record.contains(&digest("token", &token)), "{record}");
    // Nothing has no digest.
    let unnamed = key.token().claim("scope", "orders:read").claim("sub", Value::Null).sign();
    assert_eq!(proxy.request(orders(&unnamed)).audited("subject").unwrap(), "");
}

#[test]
fn no_value_is_longer_than_1024_bytes_or_anything_but_visible_ascii() {
    let key = Signer::new("k1");
    let audit = json!({ "fields": ["client", "subject", "token_id", "request_id"], "subject": "plain" });
    let mut proxy = Proxy::ready(&audited(audit, json!({})), &[&key]);
    let longest = "x".repeat(16_000);
    for odd in [
        "a\"b'c,d\\",
        "a\nb\r\n",
        "gr\u{fc}n \u{1f600}",
        "a\0\u{7f}\u{1b}[31m",
        "100%",
        &longest,
        "\n\n",
        "a ",
        "",
    ] {
        let token = key.token().claim("scope", "orders:read");
        let token = token.claim("client_id", odd).claim("sub", odd).claim("jti", odd).sign();
        let answer = proxy.request(Request::get("/orders").bearer(&token).header("x-request-id", odd));
        for field in ["client", "subject", "token_id", "request_id"] {
            let text = answer.audited(field).unwrap();
            assert!(
                text.len() <= 1024 && text.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
                "{field}: {text}"
            );
        }
        let is_word = !odd.is_empty() && odd.len() <= 128 && odd.bytes().all(|byte| byte.is_ascii_graphic());
        assert_eq!(answer.audited("request_id").unwrap(), if is_word { odd } else { "" });
    }
    let token = key.token().claim("scope", "orders:read").claim("client_id", "gr\u{fc}n, \"x\"\n").sign();
    let answer = proxy.request(orders(&token));
    assert_eq!(answer.audited("client").unwrap(), "gr%C3%BCn, \"x\"%0A");
}

#[test]
fn a_client_can_write_no_field() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&all(), &[&key]);
    let names = ["attache.audit.client", "wasm.attache.audit.client", "x-attache-audit-client", "client"];
    let forge = |request: Request| names.iter().fold(request, |request, name| request.header(name, "root"));
    assert!(!proxy.request(forge(Request::get("/healthz"))).audit().contains("root"));
    assert!(!proxy.request(forge(orders(&key.token().sign()))).audit().contains("root"));
}

fn both() -> Value {
    let key = json!({ "fields": "all" });
    let mut document = audited(key, json!({}));
    document["outbound"] = outbound::document(json!({}))["outbound"].take();
    document
}

#[test]
fn the_outbound_half_adds_what_it_did() {
    let mut document = both();
    document["inbound"] = json!({ "issuers": [issuer(json!({}))], "default": { "public": {} } });
    let (mut proxy, _) = outbound::proxy(&document);
    proxy.tick();
    proxy.advance(1.secs());
    let get = || to("billing").header("x-request-id", "r");
    let inbound = "outcome=permit reason=ok route=default request_id=r";
    proxy.advance(41.secs());
    assert_eq!(
        proxy.request(get()).audit(),
        format!(
            "{inbound} outbound_outcome=injected outbound_client=billing outbound_destination=billing \
             outbound_token_age_s=42 outbound_retried=false"
        )
    );
    assert_eq!(
        proxy.request(Request::get("/x").authority("elsewhere").to("elsewhere")).audit(),
        "outcome=permit reason=ok route=default outbound_outcome=passed"
    );
    // A token of ours that comes along is an earlier attempt's.
    let carried = outbound::carried(proxy.request(get()));
    let again = proxy.request(get().bearer(&carried));
    assert_eq!(again.audited("outbound_retried").unwrap(), "true");
    let own = proxy.request(get().bearer("of-the-caller"));
    assert_eq!(
        own.audit(),
        format!(
            "{inbound} outbound_outcome=caller_credential outbound_client=billing outbound_destination=billing"
        )
    );
}

#[test]
fn a_request_that_the_inbound_half_denies_has_empty_fields_of_the_other() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&both(), &[&key]);
    let answer = proxy.request(Request::get("/orders"));
    assert_eq!(answer.audited("outcome").unwrap(), "deny");
    for field in AuditField::ALL.iter().filter(|field| field.is_outbound()) {
        assert_eq!(answer.audited(field.word()).unwrap(), "");
    }
}

#[test]
fn a_request_that_waits_for_a_token_in_vain_is_recorded() {
    let mut document = outbound::document(json!({}));
    document["audit"] = json!({ "fields": "all" });
    let (mut proxy, tokens) = outbound::proxy(&document);
    tokens.fall_silent();
    let waits = proxy.request(to("billing")).waiting();
    proxy.advance(6.secs());
    assert_eq!(
        proxy.answer(waits).audit(),
        "outbound_outcome=token_unavailable outbound_client=billing outbound_destination=billing"
    );
    let passed = proxy.request(Request::get("/x").authority("elsewhere").to("elsewhere"));
    assert_eq!(passed.audit(), "outbound_outcome=passed");
    assert_eq!(passed.audited("outcome"), None, "there is no inbound half");
}

#[test]
fn a_destination_is_told_only_where_it_is_one_of_the_clients() {
    let clients = [client("billing", json!({})), client("orders", json!({}))];
    let mut document = outbound::with_clients(&clients, json!({ "route_metadata": "read" }));
    merge(
        &mut document["outbound"],
        json!({ "destinations": [destination("billing", json!({})), destination("orders", json!({}))] }),
    );
    document["audit"] = json!({ "fields": "all" });
    let (mut proxy, _) = outbound::proxy(&document);
    proxy.tick();
    let answer = proxy.request(to("billing").to("cluster\nof-the-clients-choice"));
    assert_eq!(answer.audited("outbound_destination").unwrap(), "");
}

#[test]
fn a_denial_can_be_found_by_the_id_of_its_request() {
    let key = Signer::new("k1");
    let patch = json!({ "denials": { "body": "problem_json" } });
    let mut proxy = Proxy::ready(&audited(json!({ "fields": ["request_id"] }), patch), &[&key]);
    let body = |proxy: &mut Proxy, id: &str| {
        let refused = proxy.request(Request::get("/orders").header("x-request-id", id)).refused();
        serde_json::from_str::<Value>(&refused.response.body).unwrap()["request_id"].clone()
    };
    assert_eq!(body(&mut proxy, "4f3e-\"1\","), "4f3e-\"1\",");
    for odd in ["", "a b", "a\nb", "gr\u{fc}n", &"x".repeat(129)] {
        assert_eq!(body(&mut proxy, odd), Value::Null, "{odd}");
    }
    let plain = proxy.request(Request::get("/orders")).refused();
    assert!(!plain.response.body.contains("request_id"));
    let mut proxy = Proxy::ready(&config(json!({ "mode": "report_only" })), &[&key]);
    let token = key.token().claim("scope", "x").sign();
    proxy.request(Request::get("/orders").bearer(&token).header("x-request-id", "r-77"));
    let lines = proxy.logs(Level::Info);
    assert!(lines.iter().any(|line| line.ends_with("issuer=corp request_id=r-77")), "{lines:?}");
}

#[test]
fn each_decision_is_timed_where_its_time_is_recorded() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&audited(json!({ "fields": ["duration_us"] }), json!({})), &[&key]);
    let token = key.token().claim("scope", "orders:read").sign();
    proxy.take(std::time::Duration::from_micros(1_234));
    for _ in 0..3 {
        assert_eq!(proxy.request(orders(&token)).audited("duration_us").unwrap(), "1234");
    }
}
