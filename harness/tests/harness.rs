//! The harness itself: the issuer keeps its promises, and a real Envoy starts, is refused and ends.

#![allow(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

use std::time::Duration;

use attache_harness::bootstrap::Bootstrap;
use attache_harness::envoy::{self, Envoy, EnvoyOptions};
use attache_harness::http::{Request, Response};
use attache_harness::issuer::{Algorithm, Endpoint, Fault, Issuer, IssuerOptions, Signer, Tamper, TokenSpec};
use attache_harness::upstream::{Echo, Upstream};
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};

fn issuer() -> Issuer {
    Issuer::start(IssuerOptions::default()).unwrap()
}

fn ask(issuer: &Issuer, fields: &[(&str, &str)]) -> Response {
    Request::post(format!("{}/token", issuer.url())).form(fields).send().unwrap()
}

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&Base64UrlUnpadded::decode_vec(part).unwrap()).unwrap()
}

fn jwks(issuer: &Issuer) -> Response {
    Request::get(format!("{}/jwks", issuer.url())).send().unwrap()
}

const CREDENTIALS: [(&str, &str); 3] =
    [("grant_type", "client_credentials"), ("client_id", "orders-service"), ("client_secret", "demo-secret")];

#[test]
fn client_credentials_in_the_form_give_a_token_of_rfc_9068() {
    let issuer = issuer();
    let answer = ask(&issuer, &[CREDENTIALS.as_slice(), &[("scope", "orders:read")]].concat());
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let body = answer.json().unwrap();
    assert_eq!((&body["token_type"], &body["scope"]), (&json!("Bearer"), &json!("orders:read")));
    let token = body["access_token"].as_str().unwrap();
    assert_eq!(part(token, 0), json!({ "alg": "ES256", "kid": "key-1", "typ": "at+jwt" }));
    let claims = part(token, 1);
    assert_eq!(claims["iss"], issuer.url());
    assert_eq!(claims["client_id"], "orders-service");
    assert_eq!(claims["aud"], "https://orders.example");
    assert_eq!(claims["scope"], "orders:read");
    assert_eq!(issuer.token_requests(), 1);
}

#[test]
fn basic_credentials_are_form_urlencoded_first() {
    let client = attache_harness::issuer::Client::new("a:b c").secret("p%=&+");
    let issuer = Issuer::start(IssuerOptions { clients: vec![client], ..IssuerOptions::default() }).unwrap();
    let basic = base64ct::Base64::encode_string(b"a%3Ab+c:p%25%3D%26%2B");
    let send = |authorization: String| {
        Request::post(format!("{}/token", issuer.url()))
            .header("authorization", authorization)
            .form(&[("grant_type", "client_credentials")])
            .send()
            .unwrap()
    };
    assert_eq!(send(format!("Basic {basic}")).status, 200);
    let refused = send("Basic YTpi".into());
    assert_eq!(refused.status, 401);
    assert!(refused.header("www-authenticate").is_some());
}

#[test]
fn token_requests_are_refused_as_rfc_6749_says() {
    let issuer = issuer();
    let with = |extra: &[(&str, &str)]| {
        let answer = ask(&issuer, &[CREDENTIALS.as_slice(), extra].concat());
        (answer.status, answer.json().unwrap()["error"].as_str().unwrap().to_owned())
    };
    assert_eq!(with(&[("scope", "admin")]), (400, "invalid_scope".into()));
    assert_eq!(with(&[("resource", "no-uri")]), (400, "invalid_target".into()));
    assert_eq!(with(&[("client_id", "again")]), (400, "invalid_request".into()));
    let answer = ask(&issuer, &[("grant_type", "password"), CREDENTIALS[1], CREDENTIALS[2]]);
    assert_eq!(answer.json().unwrap()["error"], "unsupported_grant_type");
    let answer = ask(&issuer, &[CREDENTIALS[0], CREDENTIALS[1], ("client_secret", "wrong")]);
    assert_eq!((answer.status, &answer.json().unwrap()["error"]), (401, &json!("invalid_client")));
}

#[test]
fn every_algorithm_signs_under_its_own_key() {
    let start = std::time::Instant::now();
    let issuer = Issuer::with_algorithms(&Algorithm::ALL).unwrap();
    println!("ten keys took {:?}", start.elapsed());
    let set = jwks(&issuer).json().unwrap();
    for (algorithm, jwk) in Algorithm::ALL.into_iter().zip(set["keys"].as_array().unwrap()) {
        assert_eq!(jwk["alg"], algorithm.name());
        let token = issuer.mint(&TokenSpec::default().algorithm(algorithm)).unwrap();
        assert_eq!(part(&token, 0)["kid"], jwk["kid"]);
        assert_eq!(part(&token, 0)["alg"], algorithm.name());
    }
}

#[test]
fn rotation_keeps_the_old_key_until_it_is_withdrawn() {
    let issuer = issuer();
    assert_eq!(issuer.rotate().unwrap(), "key-2");
    assert_eq!(issuer.kids(), ["key-1", "key-2"]);
    assert_eq!(part(&issuer.mint(&TokenSpec::default()).unwrap(), 0)["kid"], "key-2");
    assert_eq!(issuer.withdraw_old(), ["key-1"]);
    assert_eq!(issuer.kids(), ["key-2"]);
    let old = issuer.mint(&TokenSpec::default().signer(Signer::Kid("key-1".into()))).unwrap();
    assert_eq!(part(&old, 0)["kid"], "key-1");
}

#[test]
fn minted_tokens_deviate_as_told() {
    let issuer = Issuer::with_algorithms(&[Algorithm::Rs256]).unwrap();
    let mint = |spec| issuer.mint(&spec).unwrap();
    let token = mint(
        TokenSpec::scoped("a b")
            .claim("aud", json!(["x"]))
            .without("exp")
            .header("typ", "JWT")
            .without_header("kid"),
    );
    assert_eq!(part(&token, 0), json!({ "alg": "RS256", "typ": "JWT" }));
    assert_eq!((&part(&token, 1)["scope"], &part(&token, 1)["aud"]), (&json!("a b"), &json!(["x"])));
    assert!(part(&token, 1).get("exp").is_none());
    let none = mint(TokenSpec::default().signer(Signer::None));
    assert!(none.ends_with('.') && part(&none, 0)["alg"] == "none");
    assert_eq!(part(&mint(TokenSpec::default().signer(Signer::Hs256WithPublicKey)), 0)["alg"], "HS256");
    let expired = part(&mint(TokenSpec::default().expired()), 1);
    assert!(expired["iat"].as_i64() < expired["exp"].as_i64());
    assert!(mint(TokenSpec::default().tamper(Tamper::Claims)).contains('.'));
    assert_eq!(part(&mint(TokenSpec::default().raw_claims("{\"a\":1}")), 1), json!({ "a": 1 }));
    assert_eq!(part(&mint(TokenSpec::default().signer(Signer::Forger)), 0)["kid"], "key-1");
}

#[test]
fn faults_happen_where_and_as_often_as_told() {
    let issuer = issuer();
    let url = format!("{}/jwks", issuer.url());
    let get = || Request::get(&url).send();
    issuer.fault_next(Endpoint::Jwks, Fault::Status(500), 2);
    assert_eq!([jwks(&issuer), jwks(&issuer), jwks(&issuer)].map(|answer| answer.status), [500, 500, 200]);
    issuer.fault(Fault::Reset);
    let error = format!("{:#}", get().unwrap_err());
    assert!(error.contains("reset"), "{error}");
    issuer.fault(Fault::Hang);
    assert!(Request::get(&url).timeout(Duration::from_millis(500)).send().is_err());
    issuer.fault(Fault::Truncated);
    assert!(get().is_err());
    issuer.fault(Fault::HalfJson);
    assert!(jwks(&issuer).json().is_err());
    issuer.fault(Fault::EmptyBody);
    assert!(jwks(&issuer).body.is_empty());
    issuer.fault(Fault::Huge(2_000_000));
    let huge = jwks(&issuer);
    assert_eq!(huge.body.len(), 2_000_000);
    assert!(huge.json().unwrap()["keys"].is_array());
    issuer.fault(Fault::RetryAfter { status: 503, seconds: 7 });
    assert_eq!(jwks(&issuer).header("retry-after"), Some("7"));
    issuer.fault(Fault::EmptySet);
    assert_eq!(jwks(&issuer).json().unwrap(), json!({ "keys": [] }));
    issuer.heal();
    issuer.replace_jwks("{");
    assert_eq!(jwks(&issuer).text(), "{");
    issuer.restore_jwks();
    assert_eq!(jwks(&issuer).json().unwrap()["keys"][0]["kid"], "key-1");
    assert_eq!(issuer.jwks_requests(), 13);
}

#[test]
fn the_admin_endpoints_do_what_the_handle_does() {
    let issuer = issuer();
    let post = |path: &str| Request::post(format!("{}/admin/{path}", issuer.url())).send().unwrap();
    assert_eq!(post("rotate?alg=EdDSA").json().unwrap(), json!({ "kid": "key-2" }));
    assert_eq!(post("withdraw").json().unwrap(), json!({ "withdrawn": ["key-1"] }));
    assert_eq!(post("fault?kind=status&value=418&times=1").status, 200);
    assert_eq!([jwks(&issuer).status, jwks(&issuer).status], [418, 200]);
    assert_eq!(post("fault?kind=nonsense").status, 400);
    let mint =
        |spec: Value| Request::post(format!("{}/admin/mint", issuer.url())).json(&spec).send().unwrap();
    let token = mint(json!({ "signer": { "kid": "key-1" }, "claims": { "scope": "x" }, "expires_in": -60 }));
    let token = token.json().unwrap()["token"].as_str().unwrap().to_owned();
    assert_eq!((&part(&token, 0)["kid"], &part(&token, 1)["scope"]), (&json!("key-1"), &json!("x")));
    assert_eq!(mint(json!({ "signer": "forger", "tamper": "claims" })).status, 200);
    assert_ne!(mint(json!({ "signr": 1 })).status, 200);
    let status = Request::get(format!("{}/admin/status", issuer.url())).send().unwrap().json().unwrap();
    assert_eq!(status["kids"], json!(["key-2"]));
}

#[test]
fn upstream_echoes_repeated_headers_and_the_body() {
    let upstream = Upstream::start().unwrap();
    let url = format!("http://{}/a/../b?c=%2f", upstream.addr());
    let answer =
        Request::new("PUT", url).header("x-a", "1").header("x-a", vec![0xff]).body("hello").send().unwrap();
    let echo = Echo::parse(&answer.body).unwrap();
    assert_eq!((echo.method.as_str(), echo.path.as_str(), echo.body_length), ("PUT", "/a/../b?c=%2f", 5));
    assert_eq!(echo.header_values("x-a").collect::<Vec<_>>(), ["1", "\u{ff}"]);
    assert!(echo.body_sha256.starts_with("2cf24dba"));
    assert_eq!(upstream.requests(), 1);
}

const PLAIN: &str = r#"
admin: { address: { socket_address: { address: 127.0.0.1, port_value: 9901 } } }
static_resources:
  listeners:
  - name: proxy
    address: { socket_address: { address: 127.0.0.1, port_value: 10000 } }
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: proxy
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{ match: { prefix: / }, route: { cluster: upstream } }]
          http_filters:
          - name: envoy.filters.http.router
            typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
  clusters:
  - name: upstream
    type: STRICT_DNS
    load_assignment:
      cluster_name: upstream
      endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 9001 } } } }] }]
"#;

fn plain(upstream: &Upstream) -> EnvoyOptions {
    let mut bootstrap = Bootstrap::parse(PLAIN).unwrap();
    bootstrap.use_free_ports().unwrap();
    bootstrap.set_cluster("upstream", "127.0.0.1", upstream.addr().port()).unwrap();
    EnvoyOptions { bootstrap: bootstrap.to_json(), ..EnvoyOptions::default() }
}

#[test]
fn envoy_proxies_and_ends_when_dropped() {
    let upstream = Upstream::start().unwrap();
    let envoy = Envoy::start(plain(&upstream)).unwrap();
    let answer = Request::get(format!("{}/hello", envoy.url("proxy").unwrap())).send().unwrap();
    assert_eq!(Echo::parse(&answer.body).unwrap().path, "/hello");
    assert_eq!(envoy.stat("http.proxy.downstream_rq_2xx").unwrap(), 1);
    let answered = envoy.metric(
        "envoy_http_downstream_rq_xx",
        &[("envoy_http_conn_manager_prefix", "proxy"), ("envoy_response_code_class", "2")],
    );
    assert!((answered.unwrap() - 1.0).abs() < f64::EPSILON);
    let process = std::path::PathBuf::from(format!("/proc/{}", envoy.pid().unwrap()));
    assert!(process.exists());
    drop(envoy);
    assert!(!process.exists());
}

#[test]
fn envoy_that_refuses_its_bootstrap_tells_why() {
    let upstream = Upstream::start().unwrap();
    let mut options = plain(&upstream);
    options.bootstrap = options.bootstrap.replace("stat_prefix", "stat_prefiks");
    let refused = Envoy::expect_refused(options.clone()).unwrap();
    assert_eq!(refused.status, Some(1));
    assert!(refused.log.contains("stat_prefiks"), "{}", refused.log);
    let error = Envoy::start(options).unwrap_err();
    assert!(format!("{error:#}").contains("stat_prefiks"));
    assert!(Envoy::expect_refused(plain(&upstream)).is_err());
    envoy::find_binary().unwrap();
}
