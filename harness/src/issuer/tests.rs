//! The issuer keeps the promises that chaos and discovery rest on. On the loopback, as its users have it.

mod assertion;
mod caching;
mod exchange;
mod key_set;
mod token;

use std::time::Instant;

use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};

use super::*;
use crate::http::{Request, Response};

fn issuer() -> Issuer {
    Issuer::start(IssuerOptions::default()).unwrap()
}

fn request(issuer: &Issuer, path: &str) -> Request {
    Request::get(format!("{}{path}", issuer.url()))
}

fn get(issuer: &Issuer, path: &str) -> Response {
    request(issuer, path).send().unwrap()
}

fn admin(issuer: &Issuer, method: &str, path: &str, body: &Value) -> Response {
    Request::new(method, format!("{}/admin/{path}", issuer.url())).json(body).send().unwrap()
}

fn post(issuer: &Issuer, path: &str) -> Response {
    admin(issuer, "POST", path, &Value::Null)
}

/// The keys that `/jwks` serves.
fn keys(issuer: &Issuer) -> Vec<Value> {
    get(issuer, "/jwks").json().unwrap()["keys"].as_array().unwrap().clone()
}

fn members(keys: &[Value], name: &str) -> Vec<String> {
    keys.iter().map(|key| key[name].as_str().unwrap_or_default().to_owned()).collect()
}

fn bytes(key: &Value, name: &str) -> Vec<u8> {
    Base64UrlUnpadded::decode_vec(key[name].as_str().unwrap()).unwrap()
}

fn kid(token: &str) -> String {
    let header = Base64UrlUnpadded::decode_vec(token.split('.').next().unwrap()).unwrap();
    serde_json::from_slice::<Value>(&header).unwrap()["kid"].as_str().unwrap().to_owned()
}

/// Whether an EdDSA token's signature is this JWK's.
fn is_signed_by(token: &str, key: &Value) -> bool {
    let (message, signature) = token.rsplit_once('.').unwrap();
    let signature = Base64UrlUnpadded::decode_vec(signature).unwrap();
    let public = ed25519_dalek::VerifyingKey::from_bytes(&bytes(key, "x").try_into().unwrap()).unwrap();
    let signature = ed25519_dalek::Signature::from_slice(&signature).unwrap();
    public.verify_strict(message.as_bytes(), &signature).is_ok()
}

#[test]
fn the_second_path_serves_the_same_keys_and_counts_for_itself() {
    let issuer = issuer();
    issuer.rotate().unwrap();
    assert_eq!(get(&issuer, "/jwks2").body, get(&issuer, "/jwks").body);
    issuer.replace_jwks("{}");
    assert_eq!(get(&issuer, "/jwks2").text(), "{}");
    assert_eq!((issuer.jwks_requests(), issuer.second_jwks_requests()), (1, 2));
}

#[test]
fn metadata_is_served_where_the_path_of_the_identifier_puts_it() {
    let identifier = Some("https://issuer.example/tenant".into());
    let issuer = Issuer::start(IssuerOptions { identifier, ..IssuerOptions::default() }).unwrap();
    for path in [
        "/.well-known/oauth-authorization-server/tenant",
        "/tenant/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
    ] {
        let answer = get(&issuer, path).json().unwrap();
        assert_eq!(answer["issuer"], "https://issuer.example/tenant", "{path}");
        assert_eq!(answer["jwks_uri"], format!("{}/jwks", issuer.url()));
    }
    for path in [
        "/.well-known/oauth-authorization-server/other",
        "/.well-known/openid-configuration/tenant",
        "/tenant",
    ] {
        assert_eq!(get(&issuer, path).status, 404, "{path}");
    }
    assert_eq!(Request::post(format!("{}/nowhere", issuer.url())).send().unwrap().status, 404);
    assert_eq!((issuer.oauth_metadata_requests(), issuer.openid_metadata_requests()), (2, 2));
    assert_eq!(issuer.metadata_requests(), 4);
}

#[test]
fn a_hidden_form_of_the_metadata_is_not_found_and_the_other_is() {
    let issuer = issuer();
    let statuses = || [metadata::OAUTH_PATH, metadata::OPEN_ID_PATH].map(|path| get(&issuer, path).status);
    issuer.hide_metadata(MetadataForm::OAuth, true);
    assert_eq!(statuses(), [404, 200]);
    issuer.hide_metadata(MetadataForm::OpenId, true);
    issuer.hide_metadata(MetadataForm::OAuth, false);
    assert_eq!(statuses(), [200, 404]);
    issuer.hide_metadata(MetadataForm::OpenId, false);
    assert_eq!(statuses(), [200, 200]);
    assert_eq!((issuer.oauth_metadata_requests(), issuer.openid_metadata_requests()), (3, 3));
}

#[test]
fn metadata_is_replaced_and_restored() {
    let issuer = issuer();
    let own = get(&issuer, metadata::OAUTH_PATH).body;
    issuer.replace_metadata(Some(b"{\"issuer\":1".to_vec()));
    assert_eq!(get(&issuer, metadata::OAUTH_PATH).text(), "{\"issuer\":1");
    assert_eq!(get(&issuer, metadata::OPEN_ID_PATH).text(), "{\"issuer\":1");
    issuer.replace_metadata(None);
    assert_eq!(get(&issuer, metadata::OPEN_ID_PATH).body, own);
}

#[test]
fn the_jwks_uri_says_what_it_was_told() {
    let issuer = issuer();
    let uri = || get(&issuer, metadata::OAUTH_PATH).json().unwrap()["jwks_uri"].clone();
    let second = format!("{}/jwks2", issuer.url());
    issuer.set_jwks_uri(Some(second.clone()));
    assert_eq!(uri(), second);
    issuer.set_jwks_uri(None);
    assert_eq!(uri(), format!("{}/jwks", issuer.url()));
}

#[test]
fn a_key_rotated_in_place_keeps_its_id_and_leaves_nothing_of_the_old_one() {
    let issuer = Issuer::with_algorithms(&[Algorithm::EdDsa, Algorithm::Es256]).unwrap();
    let before = keys(&issuer);
    let old = issuer.mint(&TokenSpec::default()).unwrap();
    assert_eq!(issuer.rotate_in_place().unwrap(), "key-1");
    let after = keys(&issuer);
    assert_eq!(members(&after, "kid"), ["key-1", "key-2"]);
    assert_eq!((&after[0]["alg"], &after[1]), (&before[0]["alg"], &before[1]));
    assert_ne!(after[0]["x"], before[0]["x"]);
    let new = issuer.mint(&TokenSpec::default()).unwrap();
    assert_eq!((kid(&old), kid(&new)), ("key-1".into(), "key-1".into()));
    assert!(is_signed_by(&old, &before[0]) && is_signed_by(&new, &after[0]));
    assert!(!is_signed_by(&old, &after[0]) && !is_signed_by(&new, &before[0]));
    assert_eq!(issuer.rotate().unwrap(), "key-3");
}

#[test]
fn a_withdrawn_key_is_not_published_and_still_signs() {
    let issuer = Issuer::with_algorithms(&[Algorithm::EdDsa, Algorithm::Es256]).unwrap();
    assert!(issuer.withdraw("key-1"));
    assert!(!issuer.withdraw("key-1") && !issuer.withdraw("key-9"));
    assert_eq!((issuer.kids(), issuer.kid()), (vec!["key-2".into()], "key-1".into()));
    assert_eq!(kid(&issuer.mint(&TokenSpec::default()).unwrap()), "key-1");
    issuer.rotate_in_place().unwrap();
    assert_eq!(issuer.kids(), ["key-1", "key-2"]);
    assert!(issuer.withdraw("key-1") && issuer.withdraw("key-2"));
    for fault in [None, Some(Fault::ManyKeys(2)), Some(Fault::DuplicateKids)] {
        issuer.heal();
        if let Some(fault) = fault {
            issuer.fault(fault);
        }
        assert_eq!(keys(&issuer).len(), 0);
    }
}

#[test]
fn each_jwks_request_has_its_time() {
    let issuer = issuer();
    let start = Instant::now();
    assert!(issuer.jwks_request_times().is_empty());
    issuer.fault_next(Endpoint::Jwks, Fault::Status(500), 1);
    for path in ["/jwks", "/jwks2", "/jwks", metadata::OAUTH_PATH] {
        get(&issuer, path);
    }
    let times = issuer.jwks_request_times();
    assert!(times.len() == 3 && times.is_sorted());
    assert!(times.iter().all(|time| (start..=Instant::now()).contains(time)));
}

#[test]
fn a_rotation_to_a_curve_is_cheap() {
    let issuer = issuer();
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
        let start = Instant::now();
        for _ in 0..200 {
            issuer.rotate_to(algorithm).unwrap();
        }
        // Ten milliseconds each: an RSA key takes more than a hundred.
        assert!(start.elapsed() < Duration::from_secs(2), "{algorithm}: {:?}", start.elapsed());
    }
}

#[test]
fn the_admin_endpoints_do_what_the_handle_does() {
    let issuer = issuer();
    let caching = json!({ "cache_control": "max-age=5", "age": 1, "expires": "0", "etag": true });
    assert_eq!(admin(&issuer, "POST", "caching", &caching).status, 200);
    let answer = get(&issuer, "/jwks");
    assert_eq!(answer.header("cache-control"), Some("max-age=5"));
    let tag = answer.header("etag").unwrap().to_owned();
    assert_eq!(request(&issuer, "/jwks").header("if-none-match", tag).send().unwrap().status, 304);
    assert_eq!(admin(&issuer, "POST", "caching?at=metadata", &caching).status, 200);
    assert_eq!(get(&issuer, metadata::OAUTH_PATH).header("age"), Some("1"));
    assert_ne!(admin(&issuer, "POST", "caching", &json!({ "etags": true })).status, 200);
    assert_eq!(admin(&issuer, "POST", "caching?at=nowhere", &json!({})).status, 400);

    assert_eq!(post(&issuer, "metadata/hidden?form=openid").status, 200);
    assert_eq!(get(&issuer, metadata::OPEN_ID_PATH).status, 404);
    assert_eq!(admin(&issuer, "DELETE", "metadata/hidden?form=openid", &Value::Null).status, 200);
    assert_eq!(get(&issuer, metadata::OPEN_ID_PATH).status, 200);
    assert_eq!(post(&issuer, "metadata/hidden?form=saml").status, 400);
    admin(&issuer, "POST", "metadata", &json!({ "issuer": "x" }));
    assert_eq!(get(&issuer, metadata::OAUTH_PATH).json().unwrap(), json!({ "issuer": "x" }));
    admin(&issuer, "DELETE", "metadata", &Value::Null);
    post(&issuer, "jwks_uri?uri=http://x.example/keys");
    assert_eq!(get(&issuer, metadata::OAUTH_PATH).json().unwrap()["jwks_uri"], "http://x.example/keys");
    admin(&issuer, "DELETE", "jwks_uri", &Value::Null);
    assert_ne!(get(&issuer, metadata::OAUTH_PATH).json().unwrap()["jwks_uri"], "http://x.example/keys");

    let before = keys(&issuer);
    assert_eq!(post(&issuer, "rotate_in_place").json().unwrap(), json!({ "kid": "key-1" }));
    assert_ne!(keys(&issuer), before);
    assert_eq!(post(&issuer, "withdraw?kid=key-1").json().unwrap(), json!({ "withdrawn": ["key-1"] }));
    assert_eq!(post(&issuer, "withdraw?kid=key-1").json().unwrap(), json!({ "withdrawn": [] }));
    post(&issuer, "fault?kind=weak_rsa&at=jwks2");
    assert_eq!(get(&issuer, "/jwks2").json().unwrap()["keys"][0]["kty"], "RSA");

    let times = get(&issuer, "/admin/jwks/times").json().unwrap();
    assert_eq!(times["milliseconds_ago"].as_array().unwrap().len(), 5);
    let status = get(&issuer, "/admin/status").json().unwrap();
    for (name, count) in [
        ("jwks_requests", 4),
        ("second_jwks_requests", 1),
        ("jwks_not_modified", 1),
        ("token_requests", 0),
        ("metadata_requests", 6),
        ("oauth_metadata_requests", 4),
        ("openid_metadata_requests", 2),
    ] {
        assert_eq!(status[name], count, "{name}");
    }
}
