//! The upstream does what it is told while it runs, and remembers what came. On the loopback, as its users have it.

use std::time::Instant;

use super::*;
use crate::http::{Request, Response};
use crate::issuer::{DEMO_CLIENT, DEMO_SECRET, Issuer, IssuerOptions};

fn get(upstream: &Upstream, path: &str) -> Request {
    Request::get(format!("http://{}{path}", upstream.addr()))
}

fn with(upstream: &Upstream, token: &str) -> Response {
    get(upstream, "/").bearer(token).send().unwrap()
}

#[test]
fn a_request_gets_the_status_that_the_judge_returns_and_its_echo() {
    let upstream = Upstream::start().unwrap();
    upstream.accept_only(|echo| if echo.path == "/teapot" { 418 } else { 204 });
    let answer = get(&upstream, "/teapot").send().unwrap();
    assert_eq!((answer.status, Echo::parse(&answer.body).unwrap().path.as_str()), (418, "/teapot"));
    assert_eq!(get(&upstream, "/").send().unwrap().status, 204);
    upstream.accept_only(|_| 0);
    assert_eq!(get(&upstream, "/").send().unwrap().status, 500, "no status");
    upstream.accept_all();
    assert_eq!(get(&upstream, "/teapot").send().unwrap().status, 200);
}

#[test]
fn tokens_that_it_was_told_get_401_with_a_challenge() {
    let upstream = Upstream::start().unwrap();
    upstream.answer_401_to(vec!["a".into(), "b".into()]);
    assert_eq!(["a", "b", "c"].map(|token| with(&upstream, token).status), [401, 401, 200]);
    assert_eq!(with(&upstream, "a").header("www-authenticate"), Some("Bearer error=\"invalid_token\""));
    assert_eq!(get(&upstream, "/").send().unwrap().status, 200);
}

#[test]
fn a_token_is_good_as_long_as_the_issuer_says_so() {
    let (upstream, issuer) = (Upstream::start().unwrap(), Issuer::start(IssuerOptions::default()).unwrap());
    upstream.accept_tokens(issuer.liveness());
    let form =
        [("grant_type", "client_credentials"), ("client_id", DEMO_CLIENT), ("client_secret", DEMO_SECRET)];
    let answer = Request::post(format!("{}/token", issuer.url())).form(&form).send().unwrap();
    let token = answer.json().unwrap()["access_token"].as_str().unwrap().to_owned();
    assert_eq!([with(&upstream, &token).status, with(&upstream, "other").status], [200, 401]);
    assert_eq!(get(&upstream, "/").send().unwrap().status, 401);
    assert_eq!(get(&upstream, "/").bearer(&token).bearer(&token).send().unwrap().status, 401, "two");
    issuer.revoke_token(&token);
    assert_eq!(with(&upstream, &token).status, 401);
}

#[test]
fn a_grpc_request_may_be_refused_too() {
    let upstream = Upstream::start().unwrap();
    let call = || get(&upstream, "/a.B/C").header("content-type", "application/grpc").send().unwrap();
    assert_eq!(call().header("content-type"), Some("application/grpc"));
    upstream.accept_tokens(|_| false);
    assert_eq!(call().status, 401);
    assert_eq!(upstream.seen().len(), 2);
}

#[test]
fn what_came_is_remembered_in_order_refused_or_not() {
    let upstream = Upstream::start().unwrap();
    upstream.accept_only(|_| 503);
    let url = format!("http://{}/b", upstream.addr());
    with(&upstream, "t");
    Request::post(url).header("authorization", "bEARER u").body("hello").send().unwrap();
    let seen = upstream.seen();
    assert_eq!(seen.iter().map(Echo::bearer).collect::<Vec<_>>(), [Some("t"), Some("u")]);
    assert_eq!((seen[1].method.as_str(), seen[1].path.as_str(), seen[1].body_length), ("POST", "/b", 5));
    assert!(seen[1].body_sha256.starts_with("2cf24dba"));
    upstream.forget();
    assert_eq!((upstream.seen().len(), upstream.requests()), (0, 2));
}

#[test]
fn paths_under_the_prefix_are_redirected() {
    let upstream = Upstream::start().unwrap();
    upstream.redirect("/old/", "http://other.example/new");
    let answer = get(&upstream, "/old/a?b").send().unwrap();
    assert_eq!((answer.status, answer.header("location")), (302, Some("http://other.example/new")));
    assert_eq!(get(&upstream, "/old").send().unwrap().status, 200);
    upstream.stop_redirecting();
    assert_eq!(get(&upstream, "/old/a").send().unwrap().status, 200);
}

#[test]
fn an_answer_comes_as_late_as_told() {
    let upstream = Upstream::start().unwrap();
    upstream.delay(Duration::from_millis(200));
    let start = Instant::now();
    assert_eq!(get(&upstream, "/").send().unwrap().status, 200);
    assert!(start.elapsed() >= Duration::from_millis(200));
    assert!(get(&upstream, "/").timeout(Duration::from_millis(20)).send().is_err());
    upstream.delay(Duration::ZERO);
    assert_eq!(get(&upstream, "/").timeout(Duration::from_secs(5)).send().unwrap().status, 200);
}
