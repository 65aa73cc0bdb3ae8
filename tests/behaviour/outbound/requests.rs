//! What is sent to a token endpoint, and that nothing of it is ever told elsewhere.

use attache::base::Level;
use base64ct::{Base64, Base64UrlUnpadded, Encoding as _};
use serde_json::{Value, json};

use super::{carried, client, field, form, header, numbered, proxy, ready, threads, to, with_clients};
use crate::proxy::{CLIENT_SECRET, START, Signer, Signing, Time as _, status};
use crate::threads::sealed;

/// The first token request of a client.
#[track_caller]
fn asked(patch: Value) -> attache::base::HttpCall {
    let (mut proxy, tokens) = ready(&with_clients(&[client("billing", patch)], json!({})));
    assert_eq!(carried(proxy.request(to("billing"))), numbered(1));
    tokens.asked().remove(0)
}

fn authentication(method: &str, settings: Value) -> Value {
    let mut authentication = json!({ "client_secret_basic": null });
    authentication[method] = settings;
    json!({ "authentication": authentication })
}

/// RFC 6749 §2.3.1; Envoy before 1.40 made a space of the plus.
#[test]
fn id_and_secret_in_the_basic_header_are_form_encoded_first() {
    let call = asked(json!({ "client_id": "https://my.app:8443/ä+b" }));
    let header = header(&call, "authorization");
    let pair = Base64::decode_vec(header.strip_prefix("Basic ").unwrap()).unwrap();
    let pair = String::from_utf8(pair).unwrap();
    let (id, secret) = pair.split_once(':').unwrap();
    assert_eq!(id, "https%3A%2F%2Fmy.app%3A8443%2F%C3%A4%2Bb");
    // A space is `%20`, which servers read that decode a form, and those that decode a URI.
    assert_eq!(secret, "hunter2%2Bplus%3Acolon%25percent%20%C3%A4%26%3Dend");
    assert_eq!(form(&call), [("grant_type".to_owned(), "client_credentials".to_owned())]);
}

#[test]
fn id_and_secret_in_the_basic_header_are_as_they_are_for_servers_that_decode_nothing() {
    let settings = json!({ "secret": { "env": "CLIENT_SECRET" }, "encoding": "none" });
    let mut patch = authentication("client_secret_basic", settings);
    patch["client_id"] = json!("my app/ä+b");
    let header = header(&asked(patch), "authorization");
    let pair = Base64::decode_vec(header.strip_prefix("Basic ").unwrap()).unwrap();
    assert_eq!(String::from_utf8(pair).unwrap(), format!("my app/ä+b:{CLIENT_SECRET}"));
}

#[test]
fn the_secret_in_the_body_survives_as_it_is() {
    let call = asked(authentication("client_secret_post", json!({ "secret": { "env": "CLIENT_SECRET" } })));
    assert_eq!(header(&call, "authorization"), "");
    assert_eq!(field(&call, "client_id"), ["billing"]);
    assert_eq!(field(&call, "client_secret"), [CLIENT_SECRET]);
    assert_eq!(field(&call, "grant_type"), ["client_credentials"]);
}

#[test]
fn with_a_certificate_the_body_names_the_client_and_with_the_clusters_credential_it_need_not() {
    let call = asked(authentication("tls_client_auth", json!({})));
    assert_eq!(
        (field(&call, "client_id"), header(&call, "authorization")),
        (vec!["billing".to_owned()], String::new())
    );
    let mut patch = authentication("set_by_cluster", json!({}));
    patch["client_id"] = Value::Null;
    let call = asked(patch);
    assert_eq!(form(&call), [("grant_type".to_owned(), "client_credentials".to_owned())]);
}

/// RFC 6749 §4.4.2, RFC 8707 §2.
#[test]
fn all_that_is_configured_is_in_the_form_and_nothing_else() {
    let call = asked(json!({
        "scopes": ["invoices:read", "a/b"],
        "audience": "https://billing.example/?a=b&c",
        "resources": ["https://a.example/x", "https://b.example/"],
        "parameters": { "tenant": "blue & green" },
        "headers": { "X-Tenant": "blue" },
    }));
    let pairs = [
        ("grant_type", "client_credentials"),
        ("scope", "invoices:read a/b"),
        ("audience", "https://billing.example/?a=b&c"),
        ("resource", "https://a.example/x"),
        ("resource", "https://b.example/"),
        ("tenant", "blue & green"),
    ];
    assert_eq!(form(&call), pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "idp.example"),
        (":path", "/token"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("accept", "application/json"),
        ("x-tenant", "blue"),
    ] {
        assert_eq!(header(&call, name), value, "{name}");
    }
    let names: Vec<_> = call.headers.iter().map(|(name, _)| &**name).collect();
    let mut unique = names.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), names.len(), "{names:?}");
}

fn assertion(patch: Value) -> Value {
    let mut settings = json!({
        "key": { "env": "OWN_KEY" }, "algorithm": "EdDSA", "audience": "https://idp.example" });
    crate::proxy::merge(&mut settings, patch);
    authentication("private_key_jwt", settings)
}

/// RFC 7523 §3, OpenID Connect Core §9: header and claims, if the signature is the key's.
#[track_caller]
fn verified(call: &attache::base::HttpCall) -> (Value, Value) {
    assert_eq!(
        field(call, "client_assertion_type"),
        ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"]
    );
    let assertion = field(call, "client_assertion").remove(0);
    let (message, signature) = assertion.rsplit_once('.').unwrap();
    let signature = Base64UrlUnpadded::decode_vec(signature).unwrap();
    assert!(Signer::new("own").has_signed(message.as_bytes(), &signature));
    let part = |text: &str| serde_json::from_slice(&Base64UrlUnpadded::decode_vec(text).unwrap()).unwrap();
    let (header, claims) = message.split_once('.').unwrap();
    (part(header), part(claims))
}

#[test]
fn an_assertion_says_who_asks_whom_and_until_when() {
    let call = asked(assertion(json!({})));
    let (header, mut claims) = verified(&call);
    assert_eq!(header, json!({ "alg": "EdDSA", "typ": "JWT", "kid": "own" }));
    let id = claims.as_object_mut().unwrap().remove("jti").unwrap();
    assert_eq!(Base64UrlUnpadded::decode_vec(id.as_str().unwrap()).unwrap().len(), 16);
    assert_eq!(
        claims,
        json!({ "iss": "billing", "sub": "billing", "aud": "https://idp.example", "iat": START, "exp": START + 60 })
    );
    assert_eq!(field(&call, "client_id"), ["billing"]);
    assert_eq!(super::header(&call, "authorization"), "");
}

#[test]
fn an_assertions_header_and_lifetime_are_configurable() {
    let thumbprint = Base64UrlUnpadded::encode_string(&[5; 32]);
    let call = asked(assertion(json!({
        "kid": "renamed", "certificate_thumbprint": thumbprint, "lifetime": "5m", "audience": "https://idp.example/token" })));
    let (header, claims) = verified(&call);
    assert_eq!(header, json!({ "alg": "EdDSA", "typ": "JWT", "kid": "renamed", "x5t#S256": thumbprint }));
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 300);
    assert_eq!(claims["aud"], "https://idp.example/token");
}

#[test]
fn no_two_assertions_are_the_same() {
    let (mut proxy, tokens) = ready(&with_clients(&[client("billing", assertion(json!({})))], json!({})));
    tokens.fail(status(503));
    proxy.advance(10.minutes());
    tokens.recover();
    proxy.advance(2.hours());
    let ids: Vec<_> = tokens.asked().iter().map(|call| verified(call).1["jti"].to_string()).collect();
    let mut unique = ids.clone();
    unique.sort_unstable();
    unique.dedup();
    assert!(ids.len() > 2);
    assert_eq!(unique.len(), ids.len());
}

#[test]
fn what_no_engine_signs_does_not_leave_and_the_operator_reads_why() {
    let document = with_clients(&[client("billing", assertion(json!({})))], json!({}));
    for (signing, why) in [
        (Signing::Refuses, "the host does not sign"),
        (Signing::SignsNothing, "the token could not be signed"),
    ] {
        let (mut proxy, tokens) = proxy(&document);
        proxy.set_signing(signing);
        proxy.advance(1.minutes());
        assert_ne!(proxy.request(to("billing")).tells(), "forwarded", "{why}");
        assert_eq!((proxy.calls("idp"), tokens.asked().len()), (0, 0), "{why}");
        let expected = format!("the client assertion could not be signed: {why}");
        let lines = proxy.logs(Level::Warn);
        assert!(lines.iter().any(|line| line.contains(&expected)), "{lines:?}");
        proxy.set_signing(Signing::Signs);
        proxy.advance(2.minutes());
        assert_eq!(carried(proxy.request(to("billing"))), numbered(1), "{why}");
        verified(&tokens.asked()[0]);
    }
}

/// The rig looks for tokens and secrets in every log line, metric, annotation, refusal and debug output; here is one of each.
#[test]
fn no_token_and_no_secret_is_told() {
    let secrets = json!({ "authentication": { "client_secret_basic": null,
        "client_secret_post": { "secret": { "env": "CLIENT_SECRET" } } } });
    let config =
        sealed(with_clients(&[client("billing", secrets)], json!({ "waiting": { "requests": 1 } })), "SEAL");
    let (mut threads, tokens) = threads(&config, 2);
    tokens.fall_silent();
    threads.tick();
    let waits = threads[0].request(to("billing")).waiting();
    threads[0].request(to("billing")).refused();
    let answer = tokens.issue();
    threads.reply(answer);
    assert_eq!(carried(threads[0].answer(waits)), numbered(1));
    let calls = threads.sent();
    let shown = format!("{calls:?} {:?}", threads[0].answer(waits).forwarded().edits);
    assert!(!shown.contains("0123456789abcdef") && !shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("Secret(..)"));
    tokens.fail(status(401));
    threads.advance(2.hours());
    threads[1].request(to("billing").bearer(&numbered(1))).refused();
    threads[1].shut_down();
}

#[test]
fn debug_output_of_the_configuration_shows_no_secret() {
    for patch in [json!({}), assertion(json!({}))] {
        let config = crate::proxy::compile(&with_clients(&[client("billing", patch)], json!({}))).unwrap();
        let shown = format!("{config:?}");
        let d = serde_json::from_str::<Value>(&Signer::new("own").private_jwk()).unwrap()["d"].clone();
        assert!(!shown.contains("hunter2") && !shown.contains(d.as_str().unwrap()));
    }
}
