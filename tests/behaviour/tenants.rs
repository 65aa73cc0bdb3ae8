//! An issuer that is a template with tenants, as Entra's for applications of several tenants is.

use attache::base::HttpReply;
use serde_json::{Value, json};

use crate::proxy::{Proxy, Request, Signer, Time as _, Token, config, good, issuer, merge, status};
use crate::threads::path_of;

const TEMPLATE: &str = "https://login.example/{tenantid}/v2.0";
const OURS: &str = "6babcaad-604b-40ac-a9d7-9fd97c0b779f";
const THEIRS: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

fn of(tenant: &str) -> String {
    TEMPLATE.replace("{tenantid}", tenant)
}

fn settings(patch: Value) -> Value {
    let mut entra = issuer(json!({ "issuer": TEMPLATE, "tenants": [OURS, THEIRS] }));
    merge(&mut entra, patch);
    config(json!({ "issuers": [entra] }))
}

fn jwk(key: &Signer, issuer: Value) -> Value {
    let mut jwk = key.jwk();
    merge(&mut jwk, json!({ "issuer": issuer }));
    jwk
}

fn proxy(keys: &[Value]) -> Proxy {
    let mut proxy = Proxy::new(&settings(json!({})));
    proxy.serve("idp", good(&json!({ "keys": keys }).to_string()));
    proxy.tick();
    proxy.sleep(1.ms());
    proxy
}

fn token(key: &Signer, tenant: &str) -> Token {
    key.token().claim("iss", of(tenant)).claim("tid", tenant)
}

#[test]
fn tokens_of_each_listed_tenant_are_taken_and_of_no_other() {
    let key = Signer::new("k1");
    let mut proxy = proxy(&[jwk(&key, json!(TEMPLATE))]);
    for tenant in [OURS, THEIRS] {
        assert_eq!(proxy.get("/orders", &token(&key, tenant).sign()), "forwarded");
    }
    let other = "11111111-604b-40ac-a9d7-9fd97c0b779f";
    for iss in [
        of(other),
        of(&OURS.to_uppercase()),
        of(""),
        of("{tenantid}"),
        of(&format!("{OURS}/v2.0/{THEIRS}")),
        format!("{}/", of(OURS)),
        of(OURS).to_uppercase(),
        of(OURS).replace("https", "http"),
        format!(" {}", of(OURS)),
        TEMPLATE.to_owned(),
        OURS.to_owned(),
    ] {
        let token = token(&key, OURS).claim("iss", iss.clone()).sign();
        assert_eq!(proxy.get("/orders", &token), "401 issuer_unknown", "{iss}");
    }
    assert_eq!(proxy.signature_checks(), 2);
}

#[test]
fn the_claim_tid_agrees_with_the_issuer() {
    let key = Signer::new("k1");
    let mut proxy = proxy(&[jwk(&key, json!(TEMPLATE))]);
    let with = |tid: Value| token(&key, OURS).claim("tid", tid).sign();
    for (tid, tells) in [
        (json!(THEIRS), "401 wrong_tenant"),
        (json!(OURS.to_uppercase()), "401 wrong_tenant"),
        (json!(""), "401 wrong_tenant"),
        (json!([OURS]), "401 claim_malformed"),
        (json!(null), "401 claim_missing"),
    ] {
        assert_eq!(proxy.get("/orders", &with(tid.clone())), tells, "{tid}");
    }
    assert_eq!(proxy.get("/orders", &token(&key, OURS).no_claim("tid").sign()), "401 claim_missing");
    assert_eq!(proxy.signature_checks(), 0);
}

/// A set for all tenants has keys of single ones; Entra's documents call this the validation of the key's issuer.
#[test]
fn a_key_that_is_for_one_tenant_signs_for_no_other() {
    let (all, theirs, plain) = (Signer::new("all"), Signer::new("theirs"), Signer::new("plain"));
    let keys = [jwk(&all, json!(TEMPLATE)), jwk(&theirs, json!(of(THEIRS))), plain.jwk()];
    let mut proxy = proxy(&keys);
    for (key, tenant, tells) in [
        (&all, OURS, "forwarded"),
        (&all, THEIRS, "forwarded"),
        (&plain, OURS, "forwarded"),
        (&theirs, THEIRS, "forwarded"),
        (&theirs, OURS, "401 signature_invalid"),
    ] {
        for _ in 0..2 {
            assert_eq!(proxy.get("/orders", &token(key, tenant).sign()), tells, "{:?} {tenant}", key.kid);
        }
    }
    // Without a name all keys are tried, and none that is another tenant's.
    let nameless = |key: &Signer, tenant| token(&key.named(None), tenant).sign();
    assert_eq!(proxy.get("/orders", &nameless(&theirs, THEIRS)), "forwarded");
    assert_eq!(proxy.get("/orders", &nameless(&theirs, OURS)), "waiting");
}

#[test]
fn a_key_whose_issuer_cannot_be_understood_is_for_nobody() {
    let key = Signer::new("k1");
    for (issuer, tells) in [
        (json!(7), "401 signature_invalid"),
        (json!(""), "401 signature_invalid"),
        (json!([TEMPLATE]), "401 signature_invalid"),
        (json!("x".repeat(513)), "401 signature_invalid"),
        (json!(TEMPLATE.to_uppercase()), "401 signature_invalid"),
        (json!("https://login.example/{tenantid}/"), "401 signature_invalid"),
        (json!(null), "forwarded"),
    ] {
        let mut jwk = key.jwk();
        jwk["issuer"] = issuer.clone();
        assert_eq!(proxy(&[jwk]).get("/orders", &token(&key, OURS).sign()), tells, "{issuer}");
    }
}

/// What was verified while the key was for all tenants does not outlive that.
#[test]
fn a_key_that_becomes_another_tenant_s_is_another_key() {
    let key = Signer::new("k1");
    let mut proxy = proxy(&[jwk(&key, json!(TEMPLATE))]);
    let token = token(&key, OURS).sign();
    assert_eq!(proxy.get("/orders", &token), "forwarded");
    proxy.serve("idp", good(&json!({ "keys": [jwk(&key, json!(of(THEIRS)))] }).to_string()));
    proxy.advance(15.minutes());
    assert_eq!(proxy.get("/orders", &token), "401 signature_invalid");
}

/// A set that is shared with other tenants has keys of theirs: one tenant's own issuer does not take them either.
#[test]
fn a_key_of_another_issuer_signs_for_no_issuer_that_is_written_out() {
    let key = Signer::new("k1");
    let entra = issuer(json!({ "issuer": of(OURS) }));
    // Version 1 of a tenant's tokens, by the keys of version 2.
    let first = issuer(json!({
        "issuer": "https://sts.example/ours/",
        "keys": { "jwks": null, "discovery": { "cluster": "idp", "issuer": of(OURS) } },
    }));
    for (issuer, iss, of_key, tells) in [
        (&entra, of(OURS), json!(of(OURS)), "forwarded"),
        (&entra, of(OURS), json!(TEMPLATE), "forwarded"),
        (&entra, of(OURS), json!(null), "forwarded"),
        (&entra, of(OURS), json!(of(THEIRS)), "401 signature_invalid"),
        (&entra, of(OURS), json!(format!("{}/", of(OURS))), "401 signature_invalid"),
        (&entra, of(OURS), json!(7), "401 signature_invalid"),
        (&first, "https://sts.example/ours/".to_owned(), json!(of(OURS)), "forwarded"),
        (&first, "https://sts.example/ours/".to_owned(), json!(TEMPLATE), "forwarded"),
        (&first, "https://sts.example/ours/".to_owned(), json!(of(THEIRS)), "401 signature_invalid"),
    ] {
        let mut proxy = Proxy::new(&config(json!({ "issuers": [issuer] })));
        let keys = json!({ "keys": [jwk(&key, of_key.clone())] }).to_string();
        let metadata = json!({ "issuer": of(OURS), "jwks_uri": "https://login.example/keys" }).to_string();
        proxy.script("idp", move |call| {
            Some(good(if path_of(call).contains("well-known") { &metadata } else { &keys }))
        });
        proxy.advance(1.secs());
        assert_eq!(proxy.get("/orders", &key.token().claim("iss", iss).sign()), tells, "{of_key}");
    }
}

/// What `tenants` of this configuration are asked: a client of ours, and what it is told as.
fn with_rule(clients: Value) -> Value {
    let mut document = settings(json!({}));
    document["inbound"]["filter_state"] = json!({ "facts": ["client", "principal"] });
    document["inbound"]["routes"][0]["require"] = json!({ "clients": clients });
    document
}

#[test]
fn clients_of_the_same_name_in_two_tenants_are_two_clients() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::new(&with_rule(json!([format!("{OURS}/orders")])));
    proxy.serve("idp", good(&json!({ "keys": [jwk(&key, json!(TEMPLATE))] }).to_string()));
    proxy.tick();
    let mut told = |tenant: &str, client: &str| {
        let token = token(&key, tenant).claim("client_id", client).sign();
        let answer = proxy.request(Request::get("/orders").bearer(&token));
        format!("{} {}", answer.tells(), answer.facts())
    };
    // Verified the first time, known the second time.
    for _ in 0..2 {
        assert_eq!(
            told(OURS, "orders"),
            format!("forwarded client={OURS}/orders principal=corp/{OURS}/orders")
        );
        let theirs = format!("403 client_not_accepted client={THEIRS}/orders principal=corp/{THEIRS}/orders");
        assert_eq!(told(THEIRS, "orders"), theirs);
    }
    // A name cannot hide whose it is.
    for name in
        [format!("{OURS}/orders"), format!("../{OURS}/orders"), format!("/{OURS}/orders"), "/".to_owned()]
    {
        let told = told(THEIRS, &name);
        assert!(told.starts_with(&format!("403 client_not_accepted client={THEIRS}/{name} ")), "{told}");
    }
}

/// Where it names no client, a token has no client of its tenant either.
#[test]
fn a_tenant_s_token_without_a_client_names_none() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::new(&with_rule(json!([format!("{OURS}/jane")])));
    proxy.serve("idp", good(&json!({ "keys": [jwk(&key, json!(TEMPLATE))] }).to_string()));
    proxy.tick();
    for client in [json!(""), json!(["jane"]), json!(null)] {
        let token = token(&key, OURS).claim("client_id", client.clone()).claim("sub", "jane").sign();
        let answer = proxy.request(Request::get("/orders").bearer(&token));
        assert_eq!(
            (answer.tells(), answer.facts()),
            ("403 client_not_accepted".into(), "client= principal=".into()),
            "{client}"
        );
    }
}

#[test]
fn a_tenant_that_floods_takes_no_place_of_a_client_of_the_same_name() {
    let key = Signer::new("k1");
    let mut document = settings(json!({}));
    document["inbound"]["token_cache"] = json!({ "entries": 8 });
    let mut proxy = Proxy::new(&document);
    proxy.serve("idp", good(&json!({ "keys": [jwk(&key, json!(TEMPLATE))] }).to_string()));
    proxy.tick();
    let ours: Vec<String> = (0..2).map(|n| token(&key, OURS).claim("jti", n).sign()).collect();
    for token in &ours {
        proxy.get("/orders", token);
    }
    for _ in 0..2 {
        for n in 0..50 {
            proxy.get("/orders", &token(&key, THEIRS).claim("jti", n).sign());
        }
    }
    let before = proxy.signature_checks();
    for token in &ours {
        proxy.get("/orders", token);
    }
    assert_eq!(proxy.signature_checks(), before);
}

/// Entra's metadata for all tenants has the template as its issuer, and is not at a place that a template names.
#[test]
fn metadata_is_where_its_uri_says_and_names_the_template() {
    let key = Signer::new("k1");
    let discovery = json!({
        "cluster": "idp",
        "metadata_uri": "https://login.example/common/v2.0/.well-known/openid-configuration?appid=1",
    });
    let document = settings(json!({ "keys": { "jwks": null, "discovery": discovery } }));
    let metadata = |issuer: &str| {
        json!({ "issuer": issuer, "jwks_uri": "https://login.example/common/keys" }).to_string()
    };
    for (issuer, tells) in [
        (TEMPLATE, "forwarded"),
        (&*of(OURS), "503 keys_unavailable"),
        (&*of("common"), "503 keys_unavailable"),
    ] {
        let mut proxy = Proxy::new(&document);
        let (metadata, keys) =
            (metadata(issuer), json!({ "keys": [jwk(&key, json!(TEMPLATE))] }).to_string());
        proxy.script("idp", move |call| {
            Some(match path_of(call) {
                "/common/v2.0/.well-known/openid-configuration?appid=1" => good(&metadata),
                "/common/keys" => good(&keys),
                _ => HttpReply::Reset,
            })
        });
        proxy.advance(1.secs());
        let answer = proxy.request(Request::get("/orders").bearer(&token(&key, OURS).sign()));
        let answer = if answer.tells() == "waiting" {
            let stream = answer.waiting();
            proxy.advance(10.secs());
            proxy.answer(stream)
        } else {
            answer
        };
        assert_eq!(answer.tells(), tells, "{issuer}");
    }
}

/// The metadata of another issuer leads to the keys: ADFS signs with `iss` of its own.
#[test]
fn the_issuer_of_the_metadata_may_be_another_than_that_of_the_tokens() {
    let key = Signer::new("k1");
    let adfs = json!({
        "issuer": "http://adfs.example/adfs/services/trust",
        "keys": { "jwks": null, "discovery": { "cluster": "idp", "issuer": "https://adfs.example/adfs" } },
    });
    let mut proxy = Proxy::new(&config(json!({ "issuers": [issuer(adfs)] })));
    let keys = crate::proxy::jwks(&[&key]);
    proxy.script("idp", move |call| {
        let metadata =
            json!({ "issuer": "https://adfs.example/adfs", "jwks_uri": "https://adfs.example/keys" });
        Some(match path_of(call) {
            "/adfs/.well-known/openid-configuration" => good(&metadata.to_string()),
            "/keys" => good(&keys),
            _ => status(404),
        })
    });
    proxy.advance(1.secs());
    let token = |iss: &str| key.token().claim("iss", iss).sign();
    assert_eq!(proxy.get("/orders", &token("http://adfs.example/adfs/services/trust")), "forwarded");
    assert_eq!(proxy.get("/orders", &token("https://adfs.example/adfs")), "401 issuer_unknown");
}

#[test]
fn the_resource_s_metadata_names_each_tenant_s_server() {
    let mut document = settings(json!({}));
    document["inbound"]["resource"] = json!({ "identifier": "https://api.example" });
    let mut proxy = Proxy::new(&document);
    let answer = proxy.request(Request::get("/.well-known/oauth-protected-resource")).refused();
    let document: Value = serde_json::from_str(&answer.response.body).unwrap();
    assert_eq!(document["authorization_servers"], json!([of(OURS), of(THEIRS)]));
}
