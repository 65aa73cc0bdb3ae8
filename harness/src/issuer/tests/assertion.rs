//! `private_key_jwt`: an assertion is good once, for this issuer, for minutes.

use std::time::{SystemTime, UNIX_EPOCH};

use super::keys::Key;
use super::token::{ask, claims, refusal};
use super::*;
use crate::issuer::assertion::TYPE;
use crate::jws::TokenWriter;

const ID: &str = "signing-service";

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn sign(key: &Key, claims: &Value) -> String {
    let (algorithm, kid) = (key.algorithm.name(), Some(key.kid.as_str()));
    let writer = TokenWriter { algorithm, typ: None, kid, thumbprint: None };
    writer.write(claims, |message| key.sign(message)).unwrap()
}

fn key(algorithm: Algorithm) -> Key {
    Key::generate("client-key".into(), algorithm).unwrap()
}

fn client(key: &Key) -> Client {
    Client::new(ID).keys(json!({ "keys": [key.jwk()] })).scopes(&["a"])
}

fn present(issuer: &Issuer, assertion: &str, more: &[(&str, &str)]) -> Response {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", TYPE),
        ("client_assertion", assertion),
    ];
    ask(issuer, &[form.as_slice(), more].concat())
}

fn good(issuer: &Issuer, jti: &str) -> Value {
    let (now, aud) = (now(), issuer.identifier());
    json!({ "iss": ID, "sub": ID, "aud": aud, "jti": jti, "iat": now, "exp": now.saturating_add(60) })
}

#[test]
fn an_assertion_of_each_algorithm_gets_a_token() {
    let issuer = issuer();
    for algorithm in [Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256, Algorithm::EdDsa] {
        let key = key(algorithm);
        issuer.add_client(client(&key)).unwrap();
        let answer = present(&issuer, &sign(&key, &good(&issuer, algorithm.name())), &[]);
        assert_eq!(answer.status, 200, "{algorithm}: {}", answer.text());
        let token = answer.json().unwrap()["access_token"].as_str().unwrap().to_owned();
        assert_eq!((&claims(&token)["sub"], &claims(&token)["scope"]), (&json!(ID), &json!("a")));
    }
    assert_eq!(issuer.token_requests_of(ID), 4);
}

#[test]
fn an_assertion_is_for_the_issuer_or_for_its_token_endpoint_and_for_no_other_server() {
    let identifier = "https://issuer.example/tenant";
    let options = IssuerOptions { identifier: Some(identifier.into()), ..IssuerOptions::default() };
    let issuer = Issuer::start(options).unwrap();
    issuer.set_token_endpoint(Some("https://issuer.example/oauth/token".into()));
    let key = key(Algorithm::Es256);
    issuer.add_client(client(&key)).unwrap();
    let mut number = 0;
    let mut status = |audience: Value| {
        number += 1;
        let mut claims = good(&issuer, &number.to_string());
        claims["aud"] = audience;
        present(&issuer, &sign(&key, &claims), &[]).status
    };
    let under = |base: &str| json!(format!("{base}/token"));
    for own in [
        json!(identifier),
        under(identifier),
        under(issuer.url()),
        json!("https://issuer.example/oauth/token"),
    ] {
        assert_eq!(status(own.clone()), 200, "{own}");
    }
    for other in [json!([identifier]), json!([identifier, "x"]), json!("https://issuer.example"), json!(null)]
    {
        assert_eq!(status(other.clone()), 401, "{other}");
    }
}

#[test]
fn an_assertion_is_refused_whatever_of_it_is_wrong() {
    let issuer = issuer();
    let key = key(Algorithm::EdDsa);
    issuer.add_client(client(&key)).unwrap();
    let now = now();
    let mut wrong = vec![
        ("iss", json!("other")),
        ("sub", json!("other")),
        ("iss", json!(null)),
        ("jti", json!(null)),
        ("exp", json!(null)),
        ("exp", json!("soon")),
        ("exp", json!(now)),
        ("exp", json!(now + 310)),
        ("nbf", json!(now + 30)),
        ("iat", json!(now + 30)),
    ];
    for (name, value) in wrong.drain(..) {
        let mut claims = good(&issuer, "wrong");
        claims[name] = value.clone();
        let answer = present(&issuer, &sign(&key, &claims), &[]);
        assert_eq!(refusal(&answer), (401, "invalid_client".into()), "{name}: {value}");
    }
    let forger = Key::generate(key.kid.clone(), Algorithm::EdDsa).unwrap();
    let assertion = sign(&key, &good(&issuer, "right"));
    assert_eq!(present(&issuer, &sign(&forger, &good(&issuer, "right")), &[]).status, 401);
    assert_eq!(present(&issuer, "no.jwt", &[]).status, 401);
    assert_eq!(present(&issuer, &assertion, &[("client_id", "other")]).status, 401);
    let untyped = [("grant_type", "client_credentials"), ("client_assertion", assertion.as_str())];
    assert_eq!(ask(&issuer, &untyped).status, 401);
    // None of those has used it up.
    assert_eq!(present(&issuer, &assertion, &[("client_id", ID)]).status, 200);
}

#[test]
fn an_assertion_is_good_once() {
    let issuer = issuer();
    let key = key(Algorithm::Es256);
    issuer.add_client(client(&key)).unwrap();
    issuer.add_client(Client { id: "other".into(), ..client(&key) }).unwrap();
    let statuses = |claims: &Value| [(); 2].map(|()| present(&issuer, &sign(&key, claims), &[]).status);
    assert_eq!(statuses(&good(&issuer, "same")), [200, 401]);
    let mut others = good(&issuer, "same");
    others["iss"] = "other".into();
    others["sub"] = "other".into();
    assert_eq!(statuses(&others), [200, 401], "another client's is another");
}

#[test]
fn a_client_signs_only_if_it_may_and_has_keys() {
    let issuer = issuer();
    let key = key(Algorithm::EdDsa);
    issuer.add_client(client(&key).methods(&[AuthMethod::ClientSecretBasic])).unwrap();
    assert_eq!(present(&issuer, &sign(&key, &good(&issuer, "1")), &[]).status, 401);
    issuer.add_client(Client { keys: None, ..client(&key) }).unwrap();
    assert_eq!(present(&issuer, &sign(&key, &good(&issuer, "2")), &[]).status, 401);
    for keys in [json!({}), json!({ "keys": [] }), json!({ "keys": [{ "kty": "oct", "k": "AAAA" }] })] {
        assert!(issuer.add_client(Client::new(ID).keys(keys.clone())).is_err(), "{keys}");
        let clients = vec![Client::new(ID).keys(keys)];
        assert!(Issuer::start(IssuerOptions { clients, ..IssuerOptions::default() }).is_err());
    }
}
