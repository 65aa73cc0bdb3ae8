//! Caching headers, tags, and answers that nothing changed.

use super::*;

const CACHING: [&str; 4] = ["cache-control", "age", "expires", "etag"];

#[test]
fn nothing_is_said_about_caching_by_default() {
    let issuer = issuer();
    for path in ["/jwks", "/jwks2", "/.well-known/oauth-authorization-server"] {
        let answer = request(&issuer, path).header("if-none-match", "*").send().unwrap();
        assert_eq!((answer.status, CACHING.map(|name| answer.header(name))), (200, [None; 4]), "{path}");
    }
}

#[test]
fn an_endpoint_says_about_caching_what_it_was_told() {
    let issuer = issuer();
    let caching = Caching {
        cache_control: Some("public, max-age=60".into()),
        age: Some(7),
        expires: Some("0".into()),
        etag: false,
    };
    issuer.set_caching(Endpoint::Jwks, caching.clone());
    let said = [Some("public, max-age=60"), Some("7"), Some("0"), None];
    assert_eq!(
        CACHING.map(|name| get(&issuer, "/jwks").header(name).map(str::to_owned)),
        said.map(|v| v.map(str::to_owned))
    );
    assert_eq!(get(&issuer, "/jwks2").header("age"), None);
    assert_eq!(get(&issuer, "/.well-known/openid-configuration").header("age"), None);
    issuer.set_caching(Endpoint::Metadata, caching);
    assert_eq!(get(&issuer, "/.well-known/openid-configuration").header("age"), Some("7"));
    assert_eq!(get(&issuer, "/.well-known/oauth-authorization-server").header("expires"), Some("0"));
    issuer.set_caching(
        Endpoint::Jwks,
        Caching { cache_control: Some("no\nheader".into()), ..Caching::default() },
    );
    assert_eq!(CACHING.map(|name| get(&issuer, "/jwks").header(name).is_some()), [false; 4]);
}

#[test]
fn a_client_that_has_the_set_is_answered_that_nothing_changed() {
    let issuer = issuer();
    let caching =
        Caching { cache_control: Some("max-age=5".into()), age: Some(1), expires: None, etag: true };
    issuer.set_caching(Endpoint::Jwks, caching);
    let first = get(&issuer, "/jwks");
    let tag = first.header("etag").unwrap().to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 40, "{tag}");
    assert_eq!(get(&issuer, "/jwks").header("etag"), Some(tag.as_str()));
    for named in [tag.clone(), format!("W/{tag}"), format!("\"a\", {tag}"), "*".into()] {
        let answer = request(&issuer, "/jwks").header("if-none-match", named.as_str()).send().unwrap();
        assert_eq!((answer.status, answer.body.len()), (304, 0), "{named}");
        let said = CACHING.map(|name| answer.header(name));
        assert_eq!(said, [Some("max-age=5"), Some("1"), None, Some(tag.as_str())]);
        assert_eq!((answer.header("content-type"), answer.header("content-length")), (None, None));
    }
    for other in ["\"a\"", tag.trim_matches('"'), ""] {
        let answer = request(&issuer, "/jwks").header("if-none-match", other).send().unwrap();
        assert_eq!((answer.status, &answer.body), (200, &first.body), "{other}");
    }
    assert_eq!((issuer.jwks_requests(), issuer.jwks_not_modified()), (9, 4));
    issuer.rotate().unwrap();
    let changed = request(&issuer, "/jwks").header("if-none-match", tag.as_str()).send().unwrap();
    assert_eq!(changed.status, 200);
    assert_ne!(changed.header("etag"), Some(tag.as_str()));
    assert_eq!(issuer.jwks_not_modified(), 4);
}

#[test]
fn metadata_that_did_not_change_is_no_jwks_that_did_not() {
    let issuer = issuer();
    issuer.set_caching(Endpoint::Metadata, Caching { etag: true, ..Caching::default() });
    let path = "/.well-known/oauth-authorization-server";
    let tag = get(&issuer, path).header("etag").unwrap().to_owned();
    assert_eq!(request(&issuer, path).header("if-none-match", tag).send().unwrap().status, 304);
    assert_eq!((issuer.metadata_requests(), issuer.jwks_not_modified()), (2, 0));
}

#[test]
fn faults_have_the_tag_of_what_they_send_and_none_when_they_fail() {
    let issuer = issuer();
    issuer.set_caching(Endpoint::Jwks, Caching { etag: true, age: Some(1), ..Caching::default() });
    let real = get(&issuer, "/jwks").header("etag").unwrap().to_owned();
    issuer.fault(Fault::HalfJson);
    let half = request(&issuer, "/jwks").header("if-none-match", real.as_str()).send().unwrap();
    assert_eq!(half.status, 200);
    assert_ne!(half.header("etag").unwrap(), real);
    for status in [500, 304] {
        issuer.fault(Fault::Status(status));
        let failed = request(&issuer, "/jwks").header("if-none-match", real.as_str()).send().unwrap();
        assert_eq!((failed.status, CACHING.map(|name| failed.header(name))), (status, [None; 4]));
    }
    assert_eq!(issuer.jwks_not_modified(), 0);
    issuer.fault(Fault::Truncated);
    assert!(request(&issuer, "/jwks").header("if-none-match", real).send().is_err());
}
